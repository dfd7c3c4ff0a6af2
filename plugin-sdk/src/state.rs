//! Small durable storage of one configured plugin, shared by all its kinds and by all agents of a farm.
//!
//! ```
//! use piper_plugin::{state, testing::Fake};
//!
//! # let fake = Fake::new();
//! let builds: u64 = state::update("builds", |count: Option<u64>| count.unwrap_or_default() + 1)?;
//! assert_eq!(builds, 1);
//! # Ok::<(), piper_plugin::Failure>(())
//! ```
//!
//! Keys have at most 256 bytes, values 64 KiB, and there may be 10 writes a second: a place for cursors and message ids, not a cache.

use crate::{
    failure::{Failure, Result},
    host,
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How many keys are asked for at once.
const PAGE: u32 = 1_000;
/// How often [`update`] begins anew because somebody else was faster.
const TRIES: u32 = 16;

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was put.
    pub value: Vec<u8>,
    /// Grows with every write to this key; never zero.
    pub version: u64,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Anything,
    /// Nothing.
    Absent,
    /// This version.
    Version(u64),
}

impl Expect {
    fn version(self) -> Option<u64> {
        match self {
            Self::Anything => None,
            Self::Absent => Some(0),
            Self::Version(version) => Some(version),
        }
    }
}

/// The value of a key, if there is one.
///
/// # Errors
///
/// When state is not granted or not within reach.
pub fn get(key: &str) -> Result<Option<Entry>> {
    Ok(host::state_get(key)?.map(|(value, version)| Entry { value, version }))
}

/// Writes a value and returns its version. With `ttl` the key is gone by itself after that time.
///
/// # Errors
///
/// `state.conflict` (transient) when something else is there than expected; `quota.state`.
pub fn put(
    key: &str,
    value: impl AsRef<[u8]>,
    expect: Expect,
    ttl: Option<Duration>,
) -> Result<u64> {
    host::state_put(key, value.as_ref(), expect.version(), ttl)
}

/// Removes a key; no failure if it is not there and nothing else was expected.
///
/// # Errors
///
/// `state.conflict` (transient) when something else is there than expected.
pub fn delete(key: &str, expect: Expect) -> Result<()> {
    host::state_delete(key, expect.version())
}

/// All keys with a prefix, in byte order.
///
/// # Errors
///
/// When state is not granted or not within reach.
pub fn keys(prefix: &str) -> Result<Vec<String>> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = host::state_keys(prefix, keys.last().map(String::as_str), PAGE)?;
        if page.is_empty() {
            return Ok(keys);
        }
        keys.extend(page);
    }
}

/// The value of a key, read from JSON.
///
/// # Errors
///
/// See [`get`]; and when it is something else.
pub fn read<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    get(key)?.map(|entry| from_json(key, &entry)).transpose()
}

/// Changes the value of a key, kept as JSON: begins anew if somebody else writes in between, so `change` may be called more than once.
/// Returns what was written.
///
/// # Errors
///
/// See [`get`] and [`put`].
pub fn update<T: Serialize + DeserializeOwned>(
    key: &str,
    mut change: impl FnMut(Option<T>) -> T,
) -> Result<T> {
    let mut tries = 0;
    loop {
        let old = get(key)?;
        let expect = old
            .as_ref()
            .map_or(Expect::Absent, |entry| Expect::Version(entry.version));
        let new = change(old.map(|entry| from_json(key, &entry)).transpose()?);
        tries += 1;
        match put(key, serde_json::to_vec(&new)?, expect, None) {
            Ok(_) => return Ok(new),
            Err(failure) if failure.code == "state.conflict" && tries < TRIES => {}
            Err(failure) => return Err(failure),
        }
    }
}

fn from_json<T: DeserializeOwned>(key: &str, entry: &Entry) -> Result<T> {
    serde_json::from_slice(&entry.value).map_err(|error| {
        Failure::from(error).while_doing(format_args!(
            "the state `{key}` is something else than expected"
        ))
    })
}
