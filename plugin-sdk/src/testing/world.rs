//! What a fake host has and what was done to it.

use super::placeholders::{Placeholder, Secret};
use crate::{failure::Result, log::Level, time::Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A line of the plugin's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

/// A request as its server saw it: placeholders filled in, not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers, names in lower case. Of `user-agent` the plugin's own part, which stands behind the host's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The host compresses the body.
    pub is_gzip: bool,
}

impl Request {
    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(has, _)| has == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as a text; bytes that are none become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a server answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A command that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The variables that were set.
    pub env: Vec<(String, String)>,
    /// The working folder, if it was another than the workspace.
    pub cwd: Option<String>,
    /// What it was given to read.
    pub stdin: Vec<u8>,
}

/// A mail that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Through which account.
    pub account: String,
    /// From whom.
    pub from: String,
    /// To whom.
    pub to: Vec<String>,
    /// The whole message.
    pub message: Vec<u8>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) name: String,
    pub(super) config: Value,
    pub(super) facts: Value,
    pub(super) now: Timestamp,
    pub(super) is_cancelled: bool,
    /// Milliseconds of the call's 30 seconds that were slept away.
    pub(super) slept: u64,
    pub(super) lines: Vec<Line>,
    pub(super) answers: BTreeMap<String, VecDeque<Result<Answer>>>,
    pub(super) requests: Vec<Request>,
    pub(super) under_way: usize,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) placeholders: Vec<Placeholder>,
    pub(super) state: BTreeMap<String, (Option<Vec<u8>>, u64)>,
    pub(super) commands: HashMap<Vec<String>, (i32, Vec<u8>)>,
    pub(super) started: Vec<Ran>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) reports: BTreeMap<String, Vec<Value>>,
    pub(super) accounts: Vec<String>,
    pub(super) mails: Vec<Mail>,
    pub(super) builds: BTreeMap<String, Value>,
    pub(super) logs: BTreeMap<(String, Option<String>), Vec<u8>>,
    pub(super) heads: BTreeMap<String, Value>,
    pub(super) changes: BTreeMap<String, Vec<Value>>,
}

impl Default for World {
    fn default() -> Self {
        let nothing = || Value::Object(Map::new());
        Self {
            name: String::new(),
            config: nothing(),
            facts: nothing(),
            now: Timestamp(0),
            is_cancelled: false,
            slept: 0,
            lines: Vec::new(),
            answers: BTreeMap::new(),
            requests: Vec::new(),
            under_way: 0,
            files: BTreeMap::new(),
            secrets: BTreeMap::new(),
            placeholders: Vec::new(),
            state: BTreeMap::new(),
            commands: HashMap::new(),
            started: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            outputs: BTreeMap::new(),
            reports: BTreeMap::new(),
            accounts: Vec::new(),
            mails: Vec::new(),
            builds: BTreeMap::new(),
            logs: BTreeMap::new(),
            heads: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }
}

impl World {
    /// Writes or removes a key; its version grows also across a removal.
    pub(super) fn write_state(&mut self, key: &str, value: Option<Vec<u8>>) -> u64 {
        let entry = self.state.entry(key.to_owned()).or_default();
        entry.0 = value;
        entry.1 += 1;
        entry.1
    }
}
