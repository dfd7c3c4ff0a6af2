//! The clock and the brake of one call: how long it may take, how much it may compute, and how it is stopped.
//!
//! A call ends in two moves: first everything that it waits for ends with `cancelled`, then, after a grace period, its future is
//! dropped. Nothing here knows what is being called.

use crate::{
    crash::Overrun,
    failure::{Failure, FailureKind},
    limits::Limits,
    policy::limit::Limit,
};
use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// Stops calls from outside: cheap to clone, works for all calls that were given it, and cannot be taken back.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// Not cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the calls to stop.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether that happened.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as `self`, so this only ends when it is cancelled.
        let _ = self.0.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}

/// Why a call is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Time,
}

/// The brake of one call, shared with everything that waits on its behalf.
#[derive(Debug, Clone)]
pub(crate) struct Brake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    started: Instant,
    /// When the instance is dropped; comes nearer if the call is cancelled.
    end: Mutex<Instant>,
    stop: watch::Sender<Option<Stop>>,
}

impl Brake {
    pub(crate) fn new(limits: &Limits) -> Self {
        let started = Instant::now();
        Self(Arc::new(Inner {
            limits: limits.clone(),
            started,
            end: Mutex::new(started + limits.wall),
            stop: watch::Sender::new(None),
        }))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stop.borrow().is_some()
    }

    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`, so this only ends when it is stopped.
        let _ = self.0.stop.subscribe().wait_for(Option::is_some).await;
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.end().saturating_duration_since(Instant::now())
    }

    /// When the instance is dropped, if the call has not ended by then.
    pub(crate) fn end(&self) -> Instant {
        *self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an effect, but not beyond the moment in which the call is stopped. What begins after that moment may go on: a
    /// plugin that is being stopped may still have to abort an upload.
    pub(crate) async fn wait<T>(
        &self,
        effect: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if self.is_stopped() {
            return effect.await;
        }
        let mut stop = self.0.stop.subscribe();
        tokio::select! {
            biased;
            done = effect => done,
            _ = stop.wait_for(Option::is_some) => Err(self.why()),
        }
    }

    /// Waits for nothing but time; not at all once the call is stopped.
    pub(crate) async fn sleep(&self, time: Duration) -> Result<(), Failure> {
        if self.is_stopped() {
            return Err(self.why());
        }
        self.wait(async {
            sleep(time).await;
            Ok(())
        })
        .await
    }

    fn why(&self) -> Failure {
        let kind = FailureKind::Cancelled;
        match *self.0.stop.borrow() {
            Some(Stop::Time) => {
                let reached = self.0.limits.reached(Limit::Wall);
                Failure::limited(kind, reached, "the call's time is nearly over")
            }
            Some(Stop::Cancelled) | None => {
                Failure::new(kind, "call.cancelled", "the call was cancelled")
            }
        }
    }

    /// Carries out a call until it ends, is cancelled, or runs out of time.
    pub(crate) async fn drive<T>(
        &self,
        cancel: &Cancel,
        work: impl Future<Output = T>,
    ) -> Result<T, Overrun> {
        let Inner {
            limits,
            started,
            end,
            stop,
        } = &*self.0;
        if cancel.is_cancelled() {
            return Err(Overrun::Cancelled);
        }
        let mut work = pin!(work);
        let why = tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = cancel.cancelled() => Stop::Cancelled,
            () = sleep_until(*started + limits.wall.saturating_sub(limits.warning())) => Stop::Time,
        };
        let grace = match why {
            Stop::Cancelled => limits.grace,
            Stop::Time => limits.warning(),
        };
        let until = self.end().min(Instant::now() + grace);
        *end.lock().unwrap_or_else(PoisonError::into_inner) = until;
        stop.send_replace(Some(why));
        timeout_at(until, work).await.map_err(|_| match why {
            Stop::Cancelled => Overrun::Cancelled,
            Stop::Time => Overrun::Time { limit: limits.wall },
        })
    }
}

/// How long a guest has computed: the processor time of its thread while its future was polled.
///
/// Ticks of the epoch would count a guest that waits a lot for one that computes a lot, and a clock on the wall one that is kept waiting
/// by a busy machine.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Of all finished polls, in nanoseconds.
    spent: AtomicU64,
    /// What the thread had used when the poll under way began, in nanoseconds.
    began: AtomicU64,
}

impl Meter {
    /// Counts from zero again, for the next call of a long-lived instance.
    pub(crate) fn reset(&self) {
        self.spent.store(0, Ordering::Relaxed);
        self.began.store(processor_time(), Ordering::Relaxed);
    }

    /// All the time so far; asked from within a poll, on its thread.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed) + self.under_way())
    }

    fn under_way(&self) -> u64 {
        processor_time().saturating_sub(self.began.load(Ordering::Relaxed))
    }

    /// The work, with the time of its polls counted.
    pub(crate) fn count<F: Future>(self: &Arc<Self>, work: F) -> Counted<F> {
        Counted {
            meter: Arc::clone(self),
            work: Box::pin(work),
        }
    }
}

/// What this thread has used of its processor, in nanoseconds.
fn processor_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec`, which is what it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A future whose polls are counted.
pub(crate) struct Counted<F> {
    meter: Arc<Meter>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let meter = Arc::clone(&self.meter);
        meter.began.store(processor_time(), Ordering::Relaxed);
        let polled = self.work.as_mut().poll(context);
        meter.spent.fetch_add(meter.under_way(), Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[tokio::test]
    async fn a_cancelled_call_has_all_of_its_grace_period() {
        let limits = Limits {
            grace: Duration::from_secs(10),
            wall: Duration::from_secs(11),
            ..Limits::default()
        };
        let (brake, cancel) = (Brake::new(&limits), Cancel::new());
        let work = async {
            cancel.cancel();
            brake.stopped().await;
            brake.remaining()
        };
        let left = brake.drive(&cancel, work).await;
        assert!(left.is_ok_and(|left| left > Duration::from_secs(9)));
    }

    #[tokio::test]
    async fn what_keeps_a_guest_waiting_is_not_what_it_computes() {
        let meter = Arc::new(Meter::default());
        meter
            .count(async { thread::sleep(Duration::from_millis(100)) })
            .await;
        assert!(meter.spent() < Duration::from_millis(50));
        let until = processor_time() + 50_000_000;
        let busy = async { while processor_time() < until {} };
        meter.count(busy).await;
        assert!(meter.spent() >= Duration::from_millis(50));
        meter.reset();
        assert!(meter.spent() < Duration::from_millis(50));
    }
}
