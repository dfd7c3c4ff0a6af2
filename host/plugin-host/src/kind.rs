//! The kinds of plugins, and the data that each is called with and answers with.
//!
//! Plain data of no version: the bindings of each version of the contract convert to it and from it. What each field means is said in
//! the contract (`plugin-sdk/wit`) and only repeated where the host must act on it.

use crate::failure::Failure;
use std::fmt;

/// What a plugin can be. A component is every kind whose interface it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Says which steps to run.
    StepPlanner,
    /// Runs a step.
    StepRunner,
    /// Asks for changes now and then.
    TriggerPoll,
    /// Turns requests into builds.
    TriggerWebhook,
    /// Ships logs elsewhere.
    LogSink,
    /// Reads shipped logs back.
    LogReader,
    /// Tells somebody.
    Notifier,
    /// Checks a configuration; never alone.
    ConfigCheck,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::StepPlanner,
        Self::StepRunner,
        Self::TriggerPoll,
        Self::TriggerWebhook,
        Self::LogSink,
        Self::LogReader,
        Self::Notifier,
        Self::ConfigCheck,
    ];

    /// The name in manifests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::StepPlanner => "step-planner",
            Self::StepRunner => "step-runner",
            Self::TriggerPoll => "trigger-poll",
            Self::TriggerWebhook => "trigger-webhook",
            Self::LogSink => "log-sink",
            Self::LogReader => "log-reader",
            Self::Notifier => "notifier",
            Self::ConfigCheck => "config-check",
        }
    }

    /// The interface that makes a component one, with the version that this host has.
    pub fn interface(self) -> &'static str {
        match self {
            Self::StepPlanner => "piper:step/step-planner@0.1.0",
            Self::StepRunner => "piper:step/step-runner@0.1.0",
            Self::TriggerPoll => "piper:trigger/trigger-poll@0.1.0-draft.1",
            Self::TriggerWebhook => "piper:trigger/trigger-webhook@0.1.0-draft.1",
            Self::LogSink => "piper:logs/log-sink@0.1.0-draft.1",
            Self::LogReader => "piper:logs/log-reader@0.1.0-draft.1",
            Self::Notifier => "piper:notify/notifier@0.1.0-draft.1",
            Self::ConfigCheck => "piper:base/config-check@0.1.0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What every export is called with; the last three are JSON objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which of the manifest's is meant.
    pub name: String,
    /// The plugin's configuration.
    pub config: String,
    /// The options of this use.
    pub options: String,
    /// All else.
    pub facts: String,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            name: String::new(),
            config: "{}".into(),
            options: "{}".into(),
            facts: "{}".into(),
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It passed.
    Passed,
    /// It failed, or said something that this host does not know.
    Failed,
    /// There was nothing to do.
    Skipped,
}

/// How a step ended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How.
    pub status: Status,
    /// Why, in one line.
    pub message: String,
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// A JSON pointer into {config, options}.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What a trigger asks of the farm. Not checked: kind and body are the plugin's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `build`, `cancel` or `retry`.
    pub kind: String,
    /// What makes two asks the same.
    pub dedup_key: String,
    /// JSON text.
    pub body: String,
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// What it asks for.
    pub asks: Vec<Ask>,
    /// Where the next poll begins.
    pub cursor: Option<String>,
    /// When to poll next, in microseconds since the epoch.
    pub next_poll_at: Option<u64>,
    /// Poll again at once.
    pub more: bool,
}

/// A request that reached the plugin's mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The method.
    pub method: String,
    /// The path below the mount point, and the query.
    pub target: String,
    /// Headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to a request, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What the request asks for.
    pub asks: Vec<Ask>,
}

/// A step that lines belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// Its path.
    pub path: String,
    /// Which try of it.
    pub r#try: u32,
    /// A JSON object.
    pub more: String,
}

/// Log entries, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The build.
    pub build: String,
    /// Which attempt at it.
    pub attempt: u32,
    /// A JSON object about the attempt.
    pub facts: String,
    /// The number of the first entry.
    pub first_seq: u64,
    /// Every line's bytes, back to back.
    pub text: Vec<u8>,
    /// Where each entry ends in `text`.
    pub ends: Vec<u32>,
    /// When each entry was read, in microseconds since the epoch.
    pub times: Vec<u64>,
    /// Each entry's step, as an index into `steps`.
    pub step_of: Vec<u16>,
    /// Bits about each entry.
    pub marks: Vec<u8>,
    /// The steps.
    pub steps: Vec<StepRef>,
    /// Later columns by name.
    pub columns: Vec<(String, Vec<u8>)>,
    /// No entry of this attempt follows.
    pub last: bool,
}

impl Batch {
    /// Whether every column has one element an entry and every index points somewhere; a batch from a plugin may lie.
    pub fn is_consistent(&self) -> bool {
        let entries = self.ends.len();
        let grows = self.ends.is_sorted();
        let ends = self.ends.last().map_or(0, |end| *end as usize) <= self.text.len();
        let steps = self
            .step_of
            .iter()
            .all(|step| usize::from(*step) < self.steps.len());
        let columns = [self.times.len(), self.step_of.len(), self.marks.len()];
        columns == [entries; 3] && grows && ends && steps
    }
}

/// One entry of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryRef {
    /// Which batch.
    pub batch: u32,
    /// Which entry of it.
    pub index: u32,
}

/// An entry that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which.
    pub entry: EntryRef,
    /// Machine-readable.
    pub code: String,
    /// Why, in one line.
    pub message: String,
}

/// What became of a write. Every entry in it is one that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// To be sent again.
    pub again: Vec<EntryRef>,
    /// Never to be sent again.
    pub rejected: Vec<Rejection>,
    /// Send nothing for so many milliseconds.
    pub wait_ms: Option<u32>,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its batches, each consistent.
    pub batches: Vec<Batch>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// There will never be more.
    pub complete: bool,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its build.
    pub build: String,
    /// Its attempt.
    pub attempt: u32,
    /// Its number.
    pub seq: u64,
    /// When it was read, in microseconds since the epoch.
    pub time: u64,
    /// Its step's path.
    pub step: String,
    /// Its bytes.
    pub line: Vec<u8>,
    /// What matched, as begin and end in `line`.
    pub highlights: Vec<(u32, u32)>,
    /// A JSON object.
    pub more: String,
}

/// A part of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The lines.
    pub hits: Vec<Hit>,
    /// Where the next part begins.
    pub next: Option<String>,
    /// How many there are in all.
    pub total: Option<u64>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: String,
    /// The same for every delivery of it.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// Grows with each event of one subject.
    pub seq: u64,
    /// When, in microseconds since the epoch.
    pub at: u64,
    /// A snapshot, as JSON.
    pub body: String,
}

/// An event that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// Which of the events.
    pub index: u32,
    /// What to do about it.
    pub why: Failure,
}
