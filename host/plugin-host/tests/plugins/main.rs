//! Whole plugins, built from their sources and called through the crate's own door. One binary, because each one more links wasmtime.

mod built;
mod examples;
mod sdk;
