//! The one error of the contract, as plain data.
//!
//! What to do about it stands in [`FailureKind`]; nothing here retries or reports.

use crate::{crash::Crash, policy::limit::Reached};
use std::{fmt, time::Duration};

/// What the caller should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Worth another attempt later.
    Transient,
    /// Will fail the same way again.
    Permanent,
    /// The host's policy said no.
    Denied,
    /// The configuration or the input is wrong.
    Invalid,
    /// The call is being stopped.
    Cancelled,
}

/// Why something that the contract allows did not work; crosses the sandbox's wall in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// Machine-readable: `http.429`, `policy.http-host`.
    pub code: String,
    /// One line for a human.
    pub message: String,
    /// How long to wait before the next attempt.
    pub retry_after: Option<Duration>,
    /// An object as JSON text.
    pub details: Option<String>,
    /// The limit that was reached, if it is one that can be set. A guest is told of it in `message`; of a guest's own failure it is what
    /// the host refused it last.
    pub limit: Option<Reached>,
}

impl Failure {
    /// A failure of this kind, without details.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            details: None,
            limit: None,
        }
    }

    /// A limit was reached: `message` says how, and its key and its number are added.
    pub(crate) fn limited(kind: FailureKind, reached: Reached, message: &str) -> Self {
        let code = reached.limit.row().code();
        Self {
            limit: Some(reached),
            ..Self::new(kind, code, format!("{message} ({reached})"))
        }
    }

    /// A text of `details`: `path`, `help` and `url` are the contract's, `stack` is the SDK's for JavaScript. It is the guest's, masked but
    /// not cleaned.
    pub fn detail(&self, name: &str) -> Option<String> {
        let details: serde_json::Value = serde_json::from_str(self.details.as_deref()?).ok()?;
        let text = details[name].as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The host's policy said no.
    pub fn denied(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Denied, code, message)
    }

    /// Worth another attempt.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, code, message)
    }

    /// An argument is wrong.
    pub fn invalid(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, code, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Failure {}

/// Why a call brought no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The plugin says so.
    #[error("the plugin failed: {0}")]
    Failed(Failure),
    /// The host says so: the instance is gone.
    #[error(transparent)]
    Crashed(#[from] Crash),
}

impl From<Box<Crash>> for CallError {
    fn from(crash: Box<Crash>) -> Self {
        Self::Crashed(*crash)
    }
}

impl CallError {
    /// What to do about it.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Failed(failure) => failure.kind,
            Self::Crashed(crash) => crash.kind(),
        }
    }

    /// The limit that the call came up against, if it is one that can be set.
    pub fn limit(&self) -> Option<Reached> {
        match self {
            Self::Failed(failure) => failure.limit,
            Self::Crashed(crash) => crash.limit,
        }
    }

    /// Machine-readable.
    pub fn code(&self) -> &str {
        match self {
            Self::Failed(failure) => &failure.code,
            Self::Crashed(crash) => crash.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::TABLE;
    use test_case::test_case;

    #[test_case(Some(r#"{"stack":"run@plugin.js:8\n"}"#), Some("run@plugin.js:8"))]
    #[test_case(Some(r#"{"stack":""}"#), None; "an empty one")]
    #[test_case(Some(r#"{"stack":[1]}"#), None; "no text")]
    #[test_case(Some("{}"), None; "other details")]
    #[test_case(None, None; "no details")]
    fn a_detail_is_there_if_it_says_something(details: Option<&str>, expected: Option<&str>) {
        let mut failure = Failure::new(FailureKind::Permanent, "exception", "no");
        failure.details = details.map(str::to_owned);
        assert_eq!(failure.detail("stack").as_deref(), expected);
    }

    #[test]
    fn every_limit_can_be_said_to_be_reached() {
        for row in &TABLE {
            let reached = Reached::new(row.limit, row.usual);
            let failure = Failure::limited(FailureKind::Permanent, reached, "no more");
            let crash = Crash::limited(reached, "run", "no more");
            assert_eq!(
                (failure.code.as_str(), crash.code),
                (row.code(), row.code())
            );
        }
    }
}
