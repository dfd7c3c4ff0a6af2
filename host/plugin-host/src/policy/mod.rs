//! What a plugin may do: what it asks for, what the operator grants, and what follows from both.
//!
//! Pure rules over plain data. Nothing here runs a plugin, opens a file or a connection, reads a clock or names wasmtime: whoever
//! calls has the texts, the addresses and the time, and carries out what is decided.

pub mod command;
pub mod egress;
pub mod exec;
pub mod fault;
pub mod files;
pub mod grant;
pub mod host;
pub mod http_rule;
pub mod limit;
pub mod lock;
pub mod manifest;
pub mod network;
pub mod rate;
mod read;
pub mod secrets;
pub mod source;
pub mod state;
