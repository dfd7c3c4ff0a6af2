//! Runs plugins: WebAssembly components in a sandbox that denies by default.
//!
//! The only crate that names wasmtime, and none of its types leaves it: callers hand over and get back plain data.

#[cfg(test)]
mod contract;
pub mod policy;
