//! Why an instance ended without an answer, so that a person can mend it and a supervisor can act.
//!
//! The codes are part of the contract. Nothing here decides what follows.

use crate::{
    failure::FailureKind,
    limits::Limits,
    policy::limit::{Limit, Reached, Unit},
};
use std::{fmt, time::Duration};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

/// How many functions of a trap's backtrace are kept: the first ones say where, the rest is the language's runtime.
const FRAMES: usize = 20;

/// A limit that ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overrun {
    #[error("it used more than its {} of memory", Unit::Size.shown(*limit as u64))]
    Memory { limit: usize, wanted: usize },
    #[error("it used more than {limit} elements of tables")]
    Table { limit: usize, wanted: usize },
    #[error("it computed for more than {} ms", limit.as_millis())]
    Cpu { limit: Duration },
    #[error("it took more than {} ms", limit.as_millis())]
    Time { limit: Duration },
    #[error("it was cancelled")]
    Cancelled,
}

/// A function that this host lacks and that has no failure to say so with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it called `{0}`, which this piper does not have")]
pub(crate) struct Unsupported(pub(crate) String);

/// A call that ended without the plugin's answer; its instance is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Machine-readable: `plugin.trap`, `plugin.exit`, `plugin.broken`, `plugin.quarantined`, `limit.cpu`, `limit.memory`,
    /// `limit.table`, `limit.stack`, `limit.handles`, `limit.instances`, `limit.host-data`, `limit.time`, `call.cancelled`, `host.busy`, `host.unsupported`.
    pub code: &'static str,
    /// Which export was called.
    pub call: &'static str,
    /// What happened, as a clause about the plugin: "it used more than its 128 MiB of memory".
    pub message: String,
    /// The limit that ended it, if it is one that can be set.
    pub limit: Option<Reached>,
    /// The functions that were running, innermost first, if the component has names.
    pub frames: Vec<String>,
    /// The last lines of the plugin's log, oldest first; a panic's text is among them.
    pub log: Vec<String>,
}

impl Crash {
    /// What to do about it.
    pub fn kind(&self) -> FailureKind {
        match self.code {
            "call.cancelled" => FailureKind::Cancelled,
            // A server that hangs may answer the next time; a loop will loop again.
            "limit.time" | "host.busy" => FailureKind::Transient,
            _ => FailureKind::Permanent,
        }
    }

    pub(crate) fn new(code: &'static str, call: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            call,
            message: message.into(),
            limit: None,
            frames: Vec::new(),
            log: Vec::new(),
        }
    }

    /// What an overrun means.
    pub(crate) fn overrun(overrun: Overrun, call: &'static str) -> Self {
        let reached = match overrun {
            Overrun::Memory { limit, wanted } => {
                Reached::of(Limit::Memory, limit).wanting(wanted as u64)
            }
            Overrun::Table { limit, wanted } => {
                Reached::of(Limit::TableElements, limit).wanting(wanted as u64)
            }
            Overrun::Cpu { limit } => Reached::after(Limit::Cpu, limit),
            Overrun::Time { limit } => Reached::after(Limit::Wall, limit),
            Overrun::Cancelled => return Self::new("call.cancelled", call, overrun.to_string()),
        };
        Self::limited(reached, call, overrun.to_string())
    }

    /// A call that a limit ended.
    pub(crate) fn limited(
        reached: Reached,
        call: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            limit: Some(reached),
            ..Self::new(reached.limit.row().code(), call, message)
        }
    }

    /// What an error of wasmtime means in a call with these limits.
    pub(crate) fn classify(error: &wasmtime::Error, call: &'static str, limits: &Limits) -> Self {
        let mut crash = if let Some(overrun) = error.downcast_ref::<Overrun>() {
            Self::overrun(*overrun, call)
        } else if let Some(I32Exit(status)) = error.downcast_ref() {
            let message = format!("it ended itself with exit status {status} instead of returning");
            Self::new("plugin.exit", call, message)
        } else if let Some(unsupported) = error.downcast_ref::<Unsupported>() {
            Self::new("host.unsupported", call, unsupported.to_string())
        } else if error.is::<PoolConcurrencyLimitError>() {
            Self::new("host.busy", call, "there was no room for another instance")
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            Self::trapped(*trap, call)
        } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
            Self::too_many_handles(call, limits)
        } else {
            Self::told(error, call, limits)
        };
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            crash.frames = frames(backtrace);
        }
        crash
    }

    fn trapped(trap: Trap, call: &'static str) -> Self {
        match trap {
            Trap::StackOverflow => {
                let kib = crate::limits::STACK_BYTES >> 10;
                Self::new(
                    "limit.stack",
                    call,
                    format!("it used more than its {kib} KiB of stack"),
                )
            }
            Trap::UnreachableCodeReached => {
                Self::new("plugin.trap", call, "it panicked or aborted")
            }
            other => {
                let text = other.to_string();
                let what = text.strip_prefix("wasm trap: ").unwrap_or(&text);
                Self::new("plugin.trap", call, format!("it trapped: {what}"))
            }
        }
    }

    fn too_many_handles(call: &'static str, limits: &Limits) -> Self {
        let message = format!("it holds more than {} handles", limits.handles);
        Self::limited(limits.reached(Limit::Handles), call, message)
    }

    /// Errors that wasmtime only words; a test for each keeps the words.
    fn told(error: &wasmtime::Error, call: &'static str, limits: &Limits) -> Self {
        let text = error.root_cause().to_string();
        if text.contains("hostcalls has been exhausted") {
            let message = "it handed over more data in one call than its limit allows";
            return Self::limited(limits.reached(Limit::HostData), call, message);
        }
        if text.contains("component handles")
            || text.contains("handle table")
            || text.contains("handle limit")
        {
            return Self::too_many_handles(call, limits);
        }
        if text.contains("instance count too high") {
            let most = crate::limits::INSTANCES;
            let message = format!("it is made of more than {most} instances");
            return Self::new("limit.instances", call, message);
        }
        // Nothing that a plugin does is a system call that fails; this is one of the runtime's own, mostly for want of memory.
        if text.contains("(os error ") {
            let message = format!("piper could not give it what it needs: {text}");
            return Self::new("host.busy", call, message);
        }
        Self::new(
            "plugin.trap",
            call,
            format!("it broke the contract: {text}"),
        )
    }
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let mut frames: Vec<String> = backtrace
        .frames()
        .iter()
        .map(|frame| match frame.func_name() {
            Some(name) => readable(name),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    // Recursion says nothing new by repeating itself.
    frames.dedup();
    frames.truncate(FRAMES);
    frames
}

/// A Rust name without its hash and its escapes; any other as it is.
fn readable(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the plugin's `{}` ended: {} ({})",
            self.call, self.message, self.code
        )?;
        if !self.frames.is_empty() {
            write!(f, "\n  in {}", self.frames.join("\n     "))?;
        }
        if !self.log.is_empty() {
            write!(f, "\n  it last said:\n    {}", self.log.join("\n    "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Crash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_lacks_is_not_the_plugins_fault() {
        let lack = std::io::Error::from_raw_os_error(libc::ENOMEM);
        let error = wasmtime::Error::from(lack).context("cannot make a memory");
        assert_eq!(
            Crash::classify(&error, "run", &Limits::default()).code,
            "host.busy"
        );
    }
}
