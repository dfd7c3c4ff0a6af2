//! Paths, as a rule compares them: segment by segment, decoded.

use std::fmt;

/// A path that servers may read in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// It goes up: `..`, also encoded, also with a parameter behind it.
    #[error("its path has a `..`")]
    GoesUp,
    /// A slash or a backslash that is not a separator to everybody.
    #[error("its path has an encoded slash or a backslash")]
    HiddenSlash,
    /// A `%` without two digits, or an encoded control character.
    #[error("its path is not properly encoded")]
    BadEncoding,
    /// It does not begin with `/`.
    #[error("its path does not begin with `/`")]
    Relative,
}

/// The beginning of a path: whole segments, and any further ones. If it ends with `/`, something must follow it or nothing, but not
/// without that `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix {
    /// Decoded; the last one is empty if a `/` is at the end.
    segments: Vec<Vec<u8>>,
}

impl PathPrefix {
    /// Reads the path of a rule. `/` alone limits nothing, and so is none.
    ///
    /// # Errors
    ///
    /// When servers may read it in different ways.
    pub(super) fn parse(path: &str) -> Result<Option<Self>, AmbiguousPath> {
        let segments = segments(path)?;
        let limits = segments != [Vec::<u8>::new()];
        Ok(limits.then_some(Self { segments }))
    }

    /// Whether a request's path begins so.
    pub(super) fn matches(&self, path: &str) -> Result<bool, AmbiguousPath> {
        Ok(self.begins(&segments(path)?))
    }

    /// Whether every path that begins like `other` begins like this too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.begins(&other.segments)
    }

    fn begins(&self, path: &[Vec<u8>]) -> bool {
        match self.segments.split_last() {
            Some((last, folders)) if last.is_empty() => {
                path.len() > folders.len() && path.starts_with(folders)
            }
            _ => path.starts_with(&self.segments),
        }
    }
}

/// Decodes a path and removes its dots.
fn segments(path: &str) -> Result<Vec<Vec<u8>>, AmbiguousPath> {
    let path = path.strip_prefix('/').ok_or(AmbiguousPath::Relative)?;
    let mut segments = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let segment = decode(part.as_bytes())?;
        check(&segment)?;
        if segment != b"." {
            segments.push(segment);
        } else if parts.peek().is_none() {
            segments.push(Vec::new());
        }
    }
    Ok(segments)
}

/// Refuses what a server may read as something else: some decode twice, some cut off what follows a `;`.
fn check(segment: &[u8]) -> Result<(), AmbiguousPath> {
    let mut seen = segment.to_vec();
    loop {
        if seen.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            return Err(AmbiguousPath::HiddenSlash);
        }
        if seen.iter().any(u8::is_ascii_control) {
            return Err(AmbiguousPath::BadEncoding);
        }
        let name = seen.split(|&byte| byte == b';').next().unwrap_or_default();
        if name == b".." || (name == b"." && name.len() < seen.len()) {
            return Err(AmbiguousPath::GoesUp);
        }
        match decode(&seen) {
            Ok(again) if again.len() < seen.len() => seen = again,
            _ => return Ok(()),
        }
    }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, AmbiguousPath> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest
                .split_first_chunk::<2>()
                .ok_or(AmbiguousPath::BadEncoding)?;
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                return Err(AmbiguousPath::BadEncoding);
            };
            decoded.push((high << 4 | low) as u8);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}

/// What stands for itself in a segment, by RFC 3986; a `%` does not.
fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            f.write_str("/")?;
            for &byte in segment {
                if stands_for_itself(byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}
