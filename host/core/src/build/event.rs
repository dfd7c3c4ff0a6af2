//! What goes into the state machine, and what comes out.

use super::state::{CancelReason, Ended, StepOutcome, StopReason, TryResult};
use crate::{
    id::StepIx,
    time::Monotonic,
    wire::v1::{Counts, Outcome},
};
use std::time::Duration;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The build may begin.
    Begin,
    /// A try ended, all of its output is recorded, and its processes were dealt with.
    Ended {
        /// The step.
        step: StepIx,
        /// Which try, from 1.
        r#try: u32,
        /// How.
        how: Ended,
        /// The first log record that it cannot have written.
        log_end: u64,
        /// Processes of it still hold its output.
        left_running: bool,
    },
    /// A step printed something; only worth telling for steps with an `idle-timeout`, before a [`Event::Tick`].
    Heard {
        /// The step.
        step: StepIx,
        /// When it last printed.
        at: Monotonic,
    },
    /// Time passed: [`Build::next_deadline`](super::Build::next_deadline) is reached.
    Tick,
    /// Somebody wants the build to end. The second time it is killed.
    Cancel(CancelReason),
    /// The program and its steps are about to be stopped (Ctrl-Z).
    Pause,
    /// They go on, after so long.
    Resume(Duration),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this try. [`Event::Ended`] answers, whatever happens.
    Start {
        /// The step.
        step: StepIx,
        /// Which try, from 1.
        r#try: u32,
    },
    /// Make a running step end.
    Push {
        /// The step.
        step: StepIx,
        /// How hard.
        how: Push,
    },
    /// Record and show this.
    Tell(Notice),
}

/// How hard a step is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Its stop signal.
    Ask,
    /// `SIGKILL`.
    Kill,
}

/// What became true: few, recorded and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A try begins.
    StepStarted {
        /// The step.
        step: StepIx,
        /// Which try, from 1.
        r#try: u32,
    },
    /// A step was asked to end.
    StepStopping {
        /// The step.
        step: StepIx,
        /// Which try, from 1.
        r#try: u32,
        /// Why.
        why: StopReason,
    },
    /// A try ended.
    TryFinished {
        /// The step.
        step: StepIx,
        /// Which try, from 1.
        r#try: u32,
        /// How.
        result: TryResult,
        /// How long it took.
        duration: Duration,
        /// The first log record that it cannot have written.
        log_end: u64,
        /// If it is tried again: after how long.
        retry_after: Option<Duration>,
        /// Processes of it still hold its output.
        left_running: bool,
    },
    /// A step is done.
    StepFinished {
        /// The step.
        step: StepIx,
        /// How it ended.
        outcome: StepOutcome,
        /// How many tries there were.
        tries: u32,
        /// From the first try's start to the last one's end.
        duration: Duration,
    },
    /// Somebody wants the build to end.
    Cancelling(CancelReason),
    /// Stopped by Ctrl-Z.
    Paused,
    /// Going on.
    Resumed,
    /// The build is done.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Why, if it did not succeed.
        reason: Option<String>,
        /// How long it took.
        duration: Duration,
        /// How its steps ended.
        counts: Counts,
    },
}
