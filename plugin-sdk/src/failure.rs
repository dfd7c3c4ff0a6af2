//! The one error type of plugins: what went wrong, and what the caller should do about it.

use serde_json::{Map, Value};
use std::{fmt, time::Duration};

/// What a plugin's functions return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the caller should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Worth another attempt later. It may already have happened once, so repeat it under the same id.
    Transient,
    /// Will fail the same way again. Never retried.
    Permanent,
    /// The host's policy said no; the message says which grant is missing.
    Denied,
    /// The configuration or the input is wrong; shown to whoever wrote it.
    Invalid,
    /// The call is being stopped: clean up and return.
    Cancelled,
}

/// A failure, in both directions: what the host answers and what a plugin answers.
///
/// `?` turns any other error into one: those of input and output that may pass (a timeout, a lost connection) are
/// [transient](FailureKind::Transient), everything else is [permanent](FailureKind::Permanent). What the host answers keeps its kind.
/// Like `anyhow::Error`, and for the same reason, it is no [`std::error::Error`] itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// Machine-readable: lower case, dotted, open-ended, such as `http.429`. The prefixes `policy.`, `quota.`, `limit.`, `state.`,
    /// `plugin.` and `host.` are the host's own.
    pub code: String,
    /// One line for people.
    pub message: String,
    /// How long to wait before the next attempt, in place of the host's own backoff.
    pub retry_after: Option<Duration>,
    /// More for machines and people; known are `path`, `help`, `url` and `sent`.
    pub details: Map<String, Value>,
}

impl Failure {
    /// Any kind of failure.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.to_string(),
            retry_after: None,
            details: Map::new(),
        }
    }

    /// Worth another attempt later.
    pub fn transient(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Transient, code, message)
    }

    /// Will fail the same way again.
    pub fn permanent(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Permanent, code, message)
    }

    /// The configuration or the options are wrong; say where with [`at`](Self::at).
    pub fn invalid(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Invalid, code, message)
    }

    /// The place of the mistake: a JSON pointer into `{config, options}`, such as `/options/url`.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Self {
        self.with("path", path.into())
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        self.with("help", help.into())
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Any other detail.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// Whether another attempt is worth it.
    pub fn is_transient(&self) -> bool {
        self.kind == FailureKind::Transient
    }

    /// Says what was being done, before what went wrong.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &(dyn std::error::Error + 'static) = &error;
        if let Some(carried) = carried(any) {
            return carried.clone();
        }
        let (kind, code) = if let Some(error) = any.downcast_ref::<std::io::Error>() {
            of_io(error.kind())
        } else if any.is::<serde_json::Error>() {
            (FailureKind::Permanent, "json")
        } else {
            (FailureKind::Permanent, "error")
        };
        Self::new(kind, code, chain(any))
    }
}

/// The failure of the host's that is inside an error of input and output.
fn carried<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Failure> {
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    inner.downcast_ref::<Carried>().map(|carried| &carried.0)
}

/// A failure on its way through an interface that knows only errors.
pub(crate) struct Carried(pub(crate) Failure);

/// Derived, it would bring the same for every kind of JSON into each plugin.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Carried {}

fn of_io(kind: std::io::ErrorKind) -> (FailureKind, &'static str) {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::TimedOut
        | ErrorKind::Interrupted
        | ErrorKind::WouldBlock
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => (FailureKind::Transient, "io"),
        // The sandbox says no like this.
        ErrorKind::PermissionDenied => (FailureKind::Denied, "io.denied"),
        _ => (FailureKind::Permanent, "io"),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use test_case::test_case;

    fn failed<E: std::error::Error + 'static>(error: E) -> Failure {
        let result: Result<()> = (|| Err(error)?)();
        result.unwrap_err()
    }

    #[test_case(io::ErrorKind::TimedOut, FailureKind::Transient)]
    #[test_case(io::ErrorKind::ConnectionReset, FailureKind::Transient)]
    #[test_case(io::ErrorKind::PermissionDenied, FailureKind::Denied)]
    #[test_case(io::ErrorKind::NotFound, FailureKind::Permanent)]
    fn an_error_of_input_and_output_may_pass(error: io::ErrorKind, expected: FailureKind) {
        assert_eq!(failed(io::Error::from(error)).kind, expected);
    }

    #[test]
    fn any_other_error_is_permanent_and_tells_its_causes() {
        let failure = failed(serde_json::from_str::<u8>("x").unwrap_err());
        assert_eq!(
            (failure.kind, failure.code.as_str()),
            (FailureKind::Permanent, "json")
        );
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no port")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = failed(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(failure.message, "no port: invalid digit found in string");
    }
}
