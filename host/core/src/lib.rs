//! The words and the rules of piper: what a project file means, what a plan is, how a build lives.
//!
//! Nothing here touches the world: no file, no clock, no process, no thread. Every other crate depends on this one and this
//! one on none of them, so that each rule can be tested in microseconds.
//!
//! ```text
//!   text ──pipeline::load──▶ Project ──plan──▶ Plan ──build::apply──▶ Actions (start, signal, tell)
//!                                                        ▲
//!                                                        └── Events (exited, ticked, cancelled)
//! ```
//!
//! * [`project`] is `piper.toml` as understood; [`pipeline`] reads it and reports every [`problem`] in it at once.
//! * [`plan`] turns a project and a request into the steps that will run.
//! * [`plugin`] and [`notify`] are what a project says of plugins.
//! * [`build`] is the pure state machine of one build.
//! * [`wire`] is the only shape in which events leave the program or enter a file.

pub mod address;
pub mod build;
pub mod codes;
pub mod id;
pub mod log;
pub mod notify;
pub mod pattern;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod problem;
pub mod project;
pub mod record;
pub mod suggest;
pub mod time;
pub mod wire;
