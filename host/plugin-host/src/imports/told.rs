//! What the host refused a guest last, so that the limit is named when the call fails of it.
//!
//! A failure that a guest passes on has crossed the wall twice and lost its limit on the way; one that its language made an exception of
//! has lost even its code.

use crate::{
    failure::{Failure, FailureKind},
    policy::limit::Reached,
    wit::v0_1::types,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the guest was answered in this call. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    /// The limit of the last failure of each code. The codes are the host's, so they are few.
    limits: BTreeMap<String, Reached>,
    /// The limit that the very last answer named, if it was a refusal for good.
    last: Option<Reached>,
}

impl Told {
    /// Hands an answer to the guest.
    pub(crate) fn answer<T>(&self, answer: Result<T, Failure>) -> Result<T, types::Failure> {
        match answer {
            Ok(answer) => {
                self.worked();
                Ok(answer)
            }
            Err(failure) => {
                self.note(&failure);
                Err(failure.into())
            }
        }
    }

    /// Something worked since: what was refused before is no reason unless the guest names it.
    pub(crate) fn worked(&self) {
        self.memory().last = None;
    }

    /// Keeps in mind what the guest is told in other words.
    pub(crate) fn note(&self, failure: &Failure) {
        let mut memory = self.memory();
        memory.last = failure
            .limit
            .filter(|_| failure.kind == FailureKind::Permanent);
        match failure.limit {
            Some(limit) => drop(memory.limits.insert(failure.code.clone(), limit)),
            None => drop(memory.limits.remove(&failure.code)),
        }
    }

    /// Forgets it, for the next call of a long-lived instance.
    pub(crate) fn begin_call(&self) {
        *self.memory() = Memory::default();
    }

    /// A failure with the limit that it comes from, if the guest says so by its code.
    pub(crate) fn named(&self, failure: Failure) -> Failure {
        let limit = self.memory().limits.get(&failure.code).copied();
        Failure { limit, ..failure }
    }

    /// The failure of a call, with the limit that it comes from: the one that it names, or else what was refused for good and was the
    /// last answer of all. What is worth another attempt is what a plugin goes by in its daily work, and what a plugin finds invalid
    /// or forbidden it judged itself.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let failure = self.named(failure);
        let last = self.memory().last;
        let last = last.filter(|_| failure.kind == FailureKind::Permanent);
        Failure {
            limit: failure.limit.or(last),
            ..failure
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::Limit;
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

    #[test]
    fn what_a_guest_caught_is_the_reason_only_of_what_it_names() {
        let memory = Told::default();
        let refuse = || memory.note(&refused(Limit::HttpResponse, FailureKind::Permanent));
        let limit = |kind, code| memory.explain(Failure::new(kind, code, "own words")).limit;
        refuse();
        assert_eq!(limit(FailureKind::Invalid, "config"), None, "it judged");
        memory.answer(Ok(())).unwrap();
        assert_eq!(limit(FailureKind::Permanent, "own"), None, "it went on");
        let named = limit(FailureKind::Permanent, "limit.body").map(|reached| reached.limit);
        assert_eq!(named, Some(Limit::HttpResponse));
        refuse();
        let one = Failure::new(FailureKind::Permanent, "own", "one of many");
        assert_eq!(memory.named(one).limit, None);
    }
}
