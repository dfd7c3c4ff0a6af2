//! What the host refused a guest last, so that the limit is named when the call fails of it.
//!
//! A failure that a guest passes on has crossed the wall twice and lost its limit on the way; one that its language made an exception of
//! has lost even its code.

use crate::{
    failure::{Failure, FailureKind},
    wit::v0_1::types,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The last failure that was handed to the guest in this call. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Option<Failure>>>);

impl Told {
    /// Hands an answer to the guest.
    pub(crate) fn answer<T>(&self, answer: Result<T, Failure>) -> Result<T, types::Failure> {
        answer.map_err(|failure| {
            self.note(&failure);
            failure.into()
        })
    }

    /// Keeps in mind what the guest is told in other words.
    pub(crate) fn note(&self, failure: &Failure) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
    }

    /// Forgets it, for the next call of a long-lived instance.
    pub(crate) fn begin_call(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The failure of a call, with the limit that it comes from. What is worth another attempt is what a plugin goes by in its daily
    /// work, so such a refusal is the reason only if the plugin says the same.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_reason =
            |last: &&Failure| last.kind == FailureKind::Permanent || last.code == failure.code;
        let limit = last.as_ref().filter(is_reason).and_then(|last| last.limit);
        Failure { limit, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::{Limit, Reached};
    use test_case::test_case;

    fn refused(limit: Limit, kind: FailureKind) -> Failure {
        Failure::limited(kind, Reached::new(limit, 8), "no more")
    }

    #[test_case(&[refused(Limit::HttpResponse, FailureKind::Permanent)], "exception", Some(Limit::HttpResponse); "an exception of it")]
    #[test_case(&[refused(Limit::HttpConcurrent, FailureKind::Transient)], "quota.http-concurrency", Some(Limit::HttpConcurrent); "passed on")]
    #[test_case(&[refused(Limit::HttpConcurrent, FailureKind::Transient)], "own", None; "in its daily work")]
    #[test_case(&[refused(Limit::HttpResponse, FailureKind::Permanent), Failure::transient("http.connect", "no")], "own", None; "something else went wrong since")]
    #[test_case(&[], "limit.body", None; "nothing was refused")]
    fn a_call_fails_of_what_it_was_refused_last(
        told: &[Failure],
        code: &str,
        expected: Option<Limit>,
    ) {
        let memory = Told::default();
        for failure in told {
            let _ = memory.answer::<()>(Err(failure.clone()));
        }
        let failure = Failure::new(FailureKind::Permanent, code, "own words");
        let limit = memory.explain(failure.clone()).limit;
        assert_eq!(limit.map(|reached| reached.limit), expected);
        memory.begin_call();
        assert_eq!(memory.explain(failure).limit, None);
    }
}
