//! The shapes in which events leave the program: NDJSON, the build's file, and later the API, event streams and notifiers.
//!
//! A version never loses or changes a member; it only gains some. Readers ignore what they do not know.

pub mod convert;
pub mod path;
pub mod v1;
