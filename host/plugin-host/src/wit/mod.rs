//! The contract's versions as Rust: one module a version, with the bindings and the conversions to plain data.
//!
//! No effects here, so that an older version costs nothing but its conversions.

pub(crate) mod v0_1;
