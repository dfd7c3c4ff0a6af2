//! What a plugin may do: what it asks for, what the operator grants, and what follows from both.
//!
//! Pure rules over plain data. Nothing here runs a plugin, opens a file or a connection, or names wasmtime.
