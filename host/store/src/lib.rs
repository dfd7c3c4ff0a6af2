//! The only crate that names a database.
//!
//! For now that is SQLite as the [`index`] of the local history. What a build is, and when one is forgotten, is decided elsewhere.

pub mod index;

pub use index::{Error, Index};
