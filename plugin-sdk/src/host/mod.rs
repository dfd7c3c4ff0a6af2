//! The seam between the SDK and whatever is on the other side of it: the real host inside a component, the fake one everywhere else.
//!
//! Both sides have the same functions over the same plain data, so nothing above this line knows which one it talks to.

use std::time::Duration;

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::*;

/// What every export is called with; the last three are JSON objects.
#[derive(Debug, Clone)]
pub struct RawCall {
    /// Which of the manifest's is meant.
    pub name: String,
    /// The plugin's configuration.
    pub config: String,
    /// The options of this use.
    pub options: String,
    /// All else.
    pub facts: String,
}

/// A request as it was put together.
#[derive(Debug, Clone)]
pub(crate) struct RawRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: RawBody,
    pub(crate) gzip: bool,
    pub(crate) save_to: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(crate) enum RawBody {
    Empty,
    Text(String),
    Bytes(Vec<u8>),
    File {
        path: String,
        offset: u64,
        length: Option<u64>,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is at a path.
#[derive(Debug, Clone)]
pub(crate) struct RawInfo {
    pub(crate) kind: String,
    pub(crate) size: u64,
    pub(crate) modified: u64,
    pub(crate) mode: u32,
}

/// A command as it was put together.
#[derive(Debug, Clone)]
pub(crate) struct RawCommand {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
    pub(crate) stdin: RawStdin,
    pub(crate) stdout_file: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) quiet: bool,
}

/// What a command reads.
#[derive(Debug, Clone)]
pub(crate) enum RawStdin {
    Empty,
    Bytes(Vec<u8>),
    File(String),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct RawExit {
    pub(crate) status: Option<i32>,
    pub(crate) reason: String,
    pub(crate) duration: Duration,
}

/// What a process wrote.
#[derive(Debug, Clone)]
pub(crate) struct RawOutput {
    pub(crate) bytes: Vec<u8>,
    pub(crate) closed: bool,
    pub(crate) dropped: u64,
}

/// Milliseconds as the contract has them; what is longer is as good as for ever.
#[cfg_attr(
    not(target_family = "wasm"),
    expect(dead_code, reason = "the fake host has durations")
)]
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
