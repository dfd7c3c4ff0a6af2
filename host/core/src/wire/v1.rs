//! The first version of the wire format. One JSON object a line.
//!
//! Converted from core's own types at the edge; nothing inside the program decides by these.

mod snapshot;

pub use snapshot::{Previous, Snapshot, SnapshotEnd, SnapshotFailure, SnapshotStep};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The JSON schema of [`Line`].
pub const SCHEMA: &str = include_str!("v1.schema.json");

/// One line of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The version of this format: 1.
    pub v: u32,
    /// The place of this line in its stream, from 0, without gaps.
    pub seq: u64,
    /// When it happened: RFC 3339, UTC, microseconds.
    pub at: String,
    /// The build; empty in `stream.opened`.
    #[serde(default)]
    pub build: String,
    /// The attempt, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

fn first_attempt() -> u32 {
    1
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The first line of every stream.
    #[serde(rename = "stream.opened")]
    StreamOpened {
        /// The version of piper that writes.
        piper: String,
    },
    /// A build began.
    #[serde(rename = "build.started")]
    BuildStarted(Box<BuildStarted>),
    /// A try of a step began.
    #[serde(rename = "step.started")]
    StepStarted {
        /// The step, by its label.
        step: String,
        /// Which try, from 1.
        r#try: u32,
    },
    /// A step was asked to end.
    #[serde(rename = "step.stopping")]
    StepStopping {
        /// The step, by its label.
        step: String,
        /// Which try, from 1.
        r#try: u32,
        /// Why: `timeout`, `idle-timeout`, `cancelled`, `build-timeout`.
        why: String,
        /// The signal's name, such as `SIGTERM`.
        signal: String,
    },
    /// A try of a step ended.
    #[serde(rename = "try.finished")]
    TryFinished {
        /// The step, by its label.
        step: String,
        /// Which try, from 1.
        r#try: u32,
        /// How it ended.
        exit: Exit,
        /// How long it took, in microseconds.
        duration_us: u64,
        /// The first log line that it cannot have written: all of its lines have a smaller number.
        log_end: u64,
        /// If it is tried again: after how many microseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_us: Option<u64>,
        /// Processes that still held its output when it ended; they end with the build, unless the step's `survivors` are kept.
        #[serde(default, skip_serializing_if = "is_false")]
        left_running: bool,
    },
    /// A step is done, and will not be tried again.
    #[serde(rename = "step.finished")]
    StepFinished {
        /// The step, by its label.
        step: String,
        /// How it ended.
        outcome: StepOutcome,
        /// Why, in words; for `skipped` and `errored` always.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How the last try ended; absent if there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// How many tries there were; 0 if it never started.
        tries: u32,
        /// It passed, but not at the first try.
        #[serde(default, skip_serializing_if = "is_false")]
        flaky: bool,
        /// It failed and was allowed to.
        #[serde(default, skip_serializing_if = "is_false")]
        allowed: bool,
        /// From the first try's start to the last one's end, in microseconds.
        duration_us: u64,
    },
    /// A log record. Only in streams; a build's file keeps its log in frames.
    #[serde(rename = "log")]
    Log {
        /// The record's number in this attempt.
        line: u64,
        /// The step, by its label.
        step: String,
        /// Which try, from 1.
        r#try: u32,
        /// `stdout` or `stderr`.
        stream: String,
        /// The record's bytes, if they are UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The record's bytes in base64, if they are not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
        /// The line goes on in the next record of this step, try and stream.
        #[serde(default, skip_serializing_if = "is_false")]
        continues: bool,
        /// The stream ended here, without a line end.
        #[serde(default, skip_serializing_if = "is_false")]
        no_eol: bool,
    },
    /// A step points at something in the code. It comes before the end of its try.
    #[serde(rename = "annotation")]
    Annotation(Box<Annotation>),
    /// Something that the user should know, and that fails nothing.
    #[serde(rename = "warning")]
    Warning {
        /// What, in one line.
        message: String,
    },
    /// The build was stopped by Ctrl-Z, with its steps.
    #[serde(rename = "build.paused")]
    BuildPaused {},
    /// The build goes on after Ctrl-Z.
    #[serde(rename = "build.resumed")]
    BuildResumed {},
    /// Somebody asked the build to end.
    #[serde(rename = "build.cancelling")]
    BuildCancelling {
        /// Why: `interrupted (SIGINT)`, `build timeout`, …
        reason: String,
    },
    /// The build is done. The last line of a build.
    #[serde(rename = "build.finished")]
    BuildFinished {
        /// How it ended.
        outcome: Outcome,
        /// Why, in words, if it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took, in microseconds. If its piper was killed: at least, up to the last event or log record.
        duration_us: u64,
        /// How many steps ended in which way.
        counts: Counts,
        /// How many log records there are.
        log_end: u64,
    },
    /// A type that this version does not know.
    #[serde(other)]
    Unknown,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What a build is, said once at its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildStarted {
    /// The version of piper that runs it.
    pub piper: String,
    /// The project's name.
    pub project: String,
    /// The canonical root of the project, as [`super::path`] writes it.
    pub root: String,
    /// The pipeline's name, or the step's if a step was asked for by name.
    pub target: String,
    /// Whether `target` is a step.
    #[serde(default, skip_serializing_if = "is_false")]
    pub target_is_step: bool,
    /// The cell of the pipeline's matrix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cell: BTreeMap<String, String>,
    /// The environment's name.
    pub environment: String,
    /// The commit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The version of what is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The steps, in the plan's order.
    pub steps: Vec<PlannedStep>,
    /// How many cores steps may take together.
    pub jobs: u32,
    /// Whether the whole environment of the caller was passed on (`--pass-env-all`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub pass_env_all: bool,
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its label: the name, with its cell in brackets if it has one.
    pub step: String,
    /// What it runs, as one line for people.
    pub command: String,
    /// The steps that it waits for, as places in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<u32>,
}

/// What a step says of the code, at a place if it has one. Texts that are too long are cut, and end with `…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// The step, by its label.
    pub step: String,
    /// Which try, from 1.
    pub r#try: u32,
    /// How much it matters.
    pub level: Level,
    /// What is the matter, in one or a few lines; at most 4 KiB.
    pub message: String,
    /// A few words above it; at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The file, relative to the workspace; at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
}

/// How much an annotation matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Must be mended.
    Error,
    /// Should be looked at.
    Warning,
    /// Good to know. What a later version calls otherwise is read as this.
    #[default]
    #[serde(other)]
    Notice,
}

impl Level {
    /// The word that the wire uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One build of a list. A line of its own kind: lists are no streams of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The version of this format: 1.
    pub v: u32,
    /// The place of this line in its stream, which begins with `stream.opened`.
    pub seq: u64,
    /// When the build was created: RFC 3339, UTC, microseconds.
    pub at: String,
    /// The build.
    pub build: String,
    /// `build.listed`, or `build.removed` if it is not there any more.
    pub r#type: String,
    /// The canonical root of the project, as [`super::path`] writes it.
    pub root: String,
    /// The project's name.
    pub project: String,
    /// The pipeline's name, or the step's if a step was asked for by name.
    pub target: String,
    /// The cell of the pipeline's matrix, as `axis=value,…`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cell: String,
    /// The environment's name.
    pub environment: String,
    /// The commit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The version of what was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, in words, if it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took, in microseconds; absent while it runs. If its piper was killed: at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// How large its file is, in bytes; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// How a process or a plugin ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal, such as `SIGKILL`.
    Signal(String),
    /// It ran longer than its `timeout`.
    Timeout,
    /// It was silent for longer than its `idle-timeout`.
    IdleTimeout,
    /// piper ended it because the build was cancelled.
    Cancelled,
    /// It could not be started; the text says why.
    NotStarted(String),
    /// It ended with status 0, but what it left cannot be used; the text says why.
    Rejected(String),
    /// A plugin says that the step failed; the text says why.
    Failed(String),
    /// A plugin says that there was nothing to do; the text says why.
    Skipped(String),
    /// A plugin broke, or could not do its work; the text says why.
    Errored(String),
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It passed.
    Succeeded,
    /// The user's command failed.
    Failed,
    /// piper or the machine failed.
    Errored,
    /// It never ran.
    Skipped,
    /// It was ended, or never began, because the build was cancelled.
    Cancelled,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step passed, was allowed to fail, or was skipped by its own `when`.
    Succeeded,
    /// A step failed, or the build took too long.
    Failed,
    /// piper or the machine failed.
    Errored,
    /// Somebody ended it.
    Cancelled,
}

impl Outcome {
    /// The word that the wire uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word that the wire uses.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Succeeded,
            Self::Failed,
            Self::Errored,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|o| o.as_str() == word)
    }
}

/// How many steps ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed.
    pub succeeded: u32,
    /// Failed, and were not allowed to.
    pub failed: u32,
    /// Failed, and were allowed to.
    pub allowed: u32,
    /// Piper or the machine failed.
    pub errored: u32,
    /// Never ran.
    pub skipped: u32,
    /// Were ended by a cancel.
    pub cancelled: u32,
    /// Passed, but not at the first try; counted in `succeeded` too.
    pub flaky: u32,
}

#[cfg(test)]
mod tests;
