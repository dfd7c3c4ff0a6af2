//! Everything that a person touches: the command line, what it prints, and the local history that it reads.
//!
//! Rules live in `piper-core`, moving parts in `piper-engine`; this crate joins them and speaks.

pub mod cli;
pub mod complete;
pub mod exec;
pub mod exit_code;
pub mod find;
pub mod history;
pub mod plugins;
#[cfg(test)]
#[path = "../../../tests/it/support/tools.rs"]
mod tools;
pub mod ui;
