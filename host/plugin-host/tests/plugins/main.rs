//! Whole plugins, built from their sources and called through the crate's own door. One binary, because each one more links wasmtime.

#![expect(
    clippy::unwrap_used,
    reason = "the lint knows test functions, but not the functions that they share"
)]

mod built;
mod examples;
mod sdk;
