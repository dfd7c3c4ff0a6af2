//! Runs plugins: WebAssembly components in a sandbox that denies by default.
//!
//! The only crate that names wasmtime, and none of its types leaves it: callers hand over and get back plain data.
//!
//! ```text
//!   bytes ──Host::load──▶ Plugin (kinds, manifest, template) ──Plugin::run, notify, …──▶ fresh Instance ──▶ answer | Failure | Crash
//!                                                                   ▲
//!                       Invocation: limits, services (what was granted), log, cancel
//! ```
//!
//! * [`load`] turns bytes into a [`Plugin`]: what it is, whether it may be, its compiled form on disk.
//! * [`kind`] has the data that each kind of plugin is called with and answers with.
//! * [`service`] are the effects that a grant opens; without one, a call to it is refused. [`effect`] carries them out.
//! * [`supervise`] decides when a delivery is sent, sent again or given up, and when a plugin is left alone.
//! * [`limits`] bounds everything a plugin can use up; [`crash`] says what happened when it did.
//! * [`policy`] decides what a plugin is granted, without running anything.

pub mod call;
#[cfg(test)]
mod contract;
pub mod crash;
pub mod effect;
mod engine;
pub mod failure;
mod imports;
mod instance;
pub mod kind;
pub mod limits;
mod linker;
pub mod load;
pub mod log;
mod mask;
mod plugin;
pub mod policy;
pub mod service;
pub mod supervise;
#[cfg(test)]
mod tests;
mod wit;

pub use crate::{
    call::Cancel,
    crash::Crash,
    engine::{Host, HostOptions},
    failure::{CallError, Failure, FailureKind},
    instance::Invocation,
    limits::Limits,
    plugin::{Plugin, Sink},
};
