//! From core's own words to the wire's: names instead of places, microseconds instead of durations.

use super::v1;
use crate::{
    build::{CancelReason, Ended, Notice, Skip, StepOutcome, StopReason, TryResult},
    id::StepIx,
    plan::Plan,
};
use std::time::Duration;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The wire's event for a notice of a build of `plan`. `signal_name` turns a signal's number into its name, and `log_end` is the
/// number of log records so far.
pub fn event(
    plan: &Plan,
    notice: &Notice,
    signal_name: impl Fn(i32) -> String,
    log_end: u64,
) -> v1::Event {
    let label = |step: &StepIx| plan.steps[step.index()].label.clone();
    match notice {
        Notice::StepStarted { step, r#try } => v1::Event::StepStarted {
            step: label(step),
            r#try: *r#try,
        },
        Notice::StepStopping { step, r#try, why } => v1::Event::StepStopping {
            step: label(step),
            r#try: *r#try,
            why: stop_word(*why).to_owned(),
            signal: stop_signal_name(plan, *step),
        },
        Notice::TryFinished {
            step,
            r#try,
            result,
            duration,
            log_end,
            retry_after,
            left_running,
        } => v1::Event::TryFinished {
            step: label(step),
            r#try: *r#try,
            exit: exit(result, signal_name),
            duration_us: micros(*duration),
            log_end: *log_end,
            retry_after_us: retry_after.map(micros),
            left_running: *left_running,
        },
        Notice::StepFinished {
            step,
            outcome,
            tries,
            duration,
        } => {
            let (word, reason, exit) = step_end(plan, outcome, *tries, signal_name);
            v1::Event::StepFinished {
                step: label(step),
                outcome: word,
                reason,
                exit,
                tries: *tries,
                flaky: *outcome == StepOutcome::Succeeded && *tries > 1,
                allowed: matches!(outcome, StepOutcome::Failed { allowed: true, .. }),
                duration_us: micros(*duration),
            }
        }
        Notice::Cancelling(reason) => v1::Event::BuildCancelling {
            reason: match reason {
                CancelReason::Timeout => "build timeout".to_owned(),
                CancelReason::Signal(signal) => format!("interrupted ({})", signal_name(*signal)),
            },
        },
        Notice::Paused => v1::Event::BuildPaused {},
        Notice::Resumed => v1::Event::BuildResumed {},
        Notice::Finished {
            outcome,
            reason,
            duration,
            counts,
        } => v1::Event::BuildFinished {
            outcome: *outcome,
            reason: reason.clone(),
            duration_us: micros(*duration),
            counts: *counts,
            log_end,
        },
    }
}

/// How a step ended, why, and the end of its last try.
fn step_end(
    plan: &Plan,
    outcome: &StepOutcome,
    tries: u32,
    signal_name: impl Fn(i32) -> String,
) -> (v1::StepOutcome, Option<String>, Option<v1::Exit>) {
    match outcome {
        StepOutcome::Succeeded => (v1::StepOutcome::Succeeded, None, Some(v1::Exit::Status(0))),
        StepOutcome::Failed { result, .. } => (
            v1::StepOutcome::Failed,
            None,
            Some(exit(result, signal_name)),
        ),
        StepOutcome::Errored { why, ran } => (
            v1::StepOutcome::Errored,
            Some(why.clone()),
            Some(match ran {
                true => v1::Exit::Errored(why.clone()),
                false => v1::Exit::NotStarted(why.clone()),
            }),
        ),
        StepOutcome::Skipped(skip) => (
            v1::StepOutcome::Skipped,
            Some(skip_reason(plan, skip)),
            None,
        ),
        StepOutcome::Cancelled if tries > 0 => {
            (v1::StepOutcome::Cancelled, None, Some(v1::Exit::Cancelled))
        }
        StepOutcome::Cancelled => (v1::StepOutcome::Cancelled, None, None),
    }
}

fn stop_signal_name(plan: &Plan, step: StepIx) -> String {
    let own = plan.steps[step.index()].stop_signal;
    let name = crate::project::StopSignal::ALL
        .iter()
        .find(|(_, signal)| *signal == own)
        .map_or("TERM", |(name, _)| name);
    format!("SIG{name}")
}

fn stop_word(why: StopReason) -> &'static str {
    match why {
        StopReason::Timeout => "timeout",
        StopReason::IdleTimeout => "idle-timeout",
        StopReason::Cancelled => "cancelled",
    }
}

fn skip_reason(plan: &Plan, skip: &Skip) -> String {
    let label = |step: &StepIx| &plan.steps[step.index()].label;
    match skip {
        Skip::When(why) | Skip::Itself(why) => why.clone(),
        Skip::NeedFailed(step) => format!("{} failed", label(step)),
        Skip::FailFast(step) => format!("not started after {} failed", label(step)),
    }
}

fn exit(result: &TryResult, signal_name: impl Fn(i32) -> String) -> v1::Exit {
    match result {
        TryResult::Ended(Ended::Status(status)) => v1::Exit::Status(*status),
        TryResult::Ended(Ended::Signal(signal)) => v1::Exit::Signal(signal_name(*signal)),
        TryResult::Ended(Ended::NotStarted { why, .. }) => v1::Exit::NotStarted(why.clone()),
        TryResult::Ended(Ended::Rejected { why }) => v1::Exit::Rejected(why.clone()),
        TryResult::Ended(Ended::Failed { why }) => v1::Exit::Failed(why.clone()),
        TryResult::Ended(Ended::Skipped { why }) => v1::Exit::Skipped(why.clone()),
        TryResult::Ended(Ended::Errored { why, .. }) => v1::Exit::Errored(why.clone()),
        TryResult::Stopped(StopReason::Timeout) => v1::Exit::Timeout,
        TryResult::Stopped(StopReason::IdleTimeout) => v1::Exit::IdleTimeout,
        TryResult::Stopped(StopReason::Cancelled) => v1::Exit::Cancelled,
    }
}
