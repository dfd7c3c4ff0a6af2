//! The built-in plugins as they are carried in the program, in this host, against real servers: what their own tests say of the fake host
//! holds for the real one too. One binary, because each one more links wasmtime.

#![expect(
    clippy::unwrap_used,
    reason = "the lint knows test functions, but not the functions that they share"
)]

mod all;
mod file;
mod junit;
mod kit;
mod notifiers;
mod requests;
mod s3;
mod server;
mod tools;
