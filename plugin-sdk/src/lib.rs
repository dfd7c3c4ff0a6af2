//! Write plugins for piper: step types, notifiers, log sinks and triggers.
//!
//! A plugin is a crate with `crate-type = ["cdylib"]` that depends on `piper-plugin-sdk` and nothing else, built by
//! `cargo build --release --target wasm32-wasip2`. It is one or more of these kinds; each module has a whole example and how it is tested:
//!
//! | kind | what it does | trait |
//! |---|---|---|
//! | [`step_planner`] | says which commands stand for a step: pure, cached, shown by `piper plan` | [`StepPlanner`](step_planner::StepPlanner) |
//! | [`step_runner`] | is a step: files, HTTP, commands as granted | [`StepRunner`](step_runner::StepRunner) |
//! | [`notifier`] | tells somebody what became of builds | [`Notifier`](notifier::Notifier) |
//! | [`log_sink`] | ships logs elsewhere | [`LogSink`](log_sink::LogSink) |
//! | [`log_reader`] | reads them back | [`LogReader`](log_reader::LogReader) |
//! | [`trigger_poll`] | asks somewhere for changes | [`TriggerPoll`](trigger_poll::TriggerPoll) |
//! | [`trigger_webhook`] | turns requests into builds | [`TriggerWebhook`](trigger_webhook::TriggerWebhook) |
//! | [`config_check`] | checks what a schema cannot say; beside any other | [`ConfigCheck`](config_check::ConfigCheck) |
//!
//! What users write for it are [`settings`](mod@settings): types with a JSON schema. [`plugin!`] joins it all. What a plugin can do, if it is granted, are
//! [`http`], [`files`], [`secrets`], [`state`] and [`exec`]; always granted are [`log`](mod@log), [`control`] and the [`time`]. What goes wrong is a [`Failure`],
//! and its kind says what the host does about it.
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! /// Greets somebody.
//! #[settings]
//! struct Greet {
//!     /// Whom.
//!     #[setting(default = "world")]
//!     name: String,
//! }
//!
//! impl StepRunner for Greet {
//!     fn run(&self, step: &Step) -> Result<Verdict> {
//!         step.print(format_args!("hello, {}\n", self.name));
//!         Ok(Verdict::passed())
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     step_runner: Greet,
//! }
//! # fn main() {}
//! ```
//!
//! Beside `Cargo.toml` stands `piper-plugin.toml`, the manifest: what the plugin is called and what it asks for.
//!
//! # Tests
//!
//! Compiled for the machine at hand, the same code talks to a fake host instead of a real one: see [`testing`]. `cargo test` needs neither
//! WebAssembly nor piper.

// The examples and the macro name the crate as plugins do.
extern crate self as piper_plugin;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod config_check;
pub mod control;
pub mod encode;
pub mod exec;
mod export;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod exports;
pub mod facts;
mod failure;
pub mod files;
mod host;
pub mod http;
pub mod log;
pub mod log_reader;
pub mod log_sink;
pub mod logs;
pub mod notifier;
pub mod secrets;
pub mod settings;
pub mod state;
pub mod step_planner;
pub mod step_runner;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;
pub mod trigger;
pub mod trigger_poll;
pub mod trigger_webhook;

pub use failure::{Failure, FailureKind, Result};
pub use settings::settings;

/// What most plugins need, in one line.
pub mod prelude {
    pub use crate::{
        Failure, FailureKind, Result,
        config_check::{ConfigCheck, Problem},
        debug, encode, error, exec, files, http, info,
        log_reader::{Found, Hit, LogReader, Page, ReadRequest, SearchRequest},
        log_sink::{Batch, LogSink, Opening, Receipt},
        notifier::{Event, Notifier, Rule},
        secrets, settings, state,
        step_planner::{Plan, PlannedStep, Planning, StepPlanner},
        step_runner::{Annotation, Status, Step, StepRunner, Verdict},
        trigger::Ask,
        trigger_poll::{Poll, Polled, TriggerPoll},
        trigger_webhook::{Delivery, Received, TriggerWebhook},
        warn,
    };
    pub use serde_json::{Value, json};
}

/// For the macros only.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::{bindings, exports};
    pub use crate::{host::RawCall, log_sink::Sink};
    pub use serde;

    use crate::failure::Failure;

    /// The manifest has a name that the code does not.
    pub fn unknown_name(name: &str, known: &[&str]) -> Failure {
        Failure::permanent(
            "name.unknown",
            format_args!("the plugin has no `{name}`, only {}", known.join(", ")),
        )
        .help("the manifest and `plugin!` must name the same")
    }
}
