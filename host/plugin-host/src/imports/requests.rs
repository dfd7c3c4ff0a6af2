//! How many requests a call makes, and how many at once: one count for `http` and `wasi:http`.
//!
//! What is sent and where to is not known here.

use crate::{
    failure::{Failure, FailureKind},
    limits::Limits,
    policy::limit::{Limit, Reached},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The count of one instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests {
    /// Requests that may still be begun before the answer of another is taken.
    slots: Arc<Semaphore>,
    concurrent: Reached,
    sent: Arc<AtomicUsize>,
    most: usize,
}

impl Requests {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limits.http_concurrent)),
            concurrent: limits.reached(Limit::HttpConcurrent),
            sent: Arc::default(),
            most: limits.http_requests,
        }
    }

    /// Counts one more; it is under way as long as the permit lives.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit, Failure> {
        // One guest asks at a time.
        let sent = self.sent.load(Ordering::Relaxed);
        if sent >= self.most {
            return Err(Failure::limited(
                FailureKind::Permanent,
                Reached::of(Limit::HttpRequests, self.most),
                "the call may make no more requests",
            ));
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            Failure::limited(
                FailureKind::Transient,
                self.concurrent,
                "too many requests are under way: take the answer of one before the next",
            )
        })?;
        self.sent.store(sent + 1, Ordering::Relaxed);
        Ok(slot)
    }

    /// Begins the next call of a long-lived instance.
    pub(crate) fn begin_call(&self) {
        self.sent.store(0, Ordering::Relaxed);
    }
}
