//! Placeholders: what a plugin handles in the place of a secret's value.
//!
//! A placeholder is `piper-secret-` and 128 random bits in hex. It means something to the host alone, while the instance lives that
//! asked for it.

/// What every placeholder begins with.
pub const PREFIX: &str = "piper-secret-";

/// How many hex digits follow it.
const DIGITS: usize = 32;

/// Whether something that looks like a placeholder stands in the value.
pub fn has_placeholder(value: &[u8]) -> bool {
    value.windows(PREFIX.len() + DIGITS).any(|window| {
        window
            .strip_prefix(PREFIX.as_bytes())
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
