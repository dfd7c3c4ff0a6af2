//! The life of a build: a pure state machine that is told what happened and says what to do.
//!
//! Nothing here runs, waits or reads a clock. The engine's dispatcher is the only caller of [`apply`], and does what it answers.
//!
//! | from | event | to |
//! |---|---|---|
//! | `Waiting` | the last one that it waits for is done | `Ready`, or `Done` if its `when` or the build's end says so |
//! | `Ready` | cores are free | `Running` |
//! | `Running` | a deadline passed, or a cancel | `Stopping` |
//! | `Stopping` | its grace period passed, or a second cancel | `Stopping`, killed |
//! | `Running`, `Stopping` | ended | `Done`, or `BackingOff` if it is worth another try |
//! | `BackingOff` | its delay passed | `Ready` |
//! | `BackingOff`, `Ready` | a cancel, or another step failed under fail-fast | `Done` |

mod apply;
mod event;
mod state;

pub use apply::{IllegalTransition, apply};
pub use event::{Action, Event, Notice, Push};
pub use state::{
    ALWAYS_LIMIT, Build, CancelReason, Ended, Fault, Setup, Skip, StepOutcome, StepState,
    StopReason, TryResult,
};

#[cfg(test)]
mod tests;
