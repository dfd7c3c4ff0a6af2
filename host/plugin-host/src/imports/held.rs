//! What the host holds in its own memory for one instance: requests and commands that are being put together, and answers that nobody
//! took yet.
//!
//! The memory of a guest is bounded, and so is the number of its handles; without this each handle could stand for as much as a message
//! may have, also for a plugin that was granted nothing. Bytes are counted, and what they are is not known here.

use crate::{
    failure::{Failure, FailureKind},
    policy::limit::{Limit, Reached},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a header, a variable or a word costs besides its text.
pub(super) const ITEM: usize = 128;

/// What may be held. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    limit: usize,
    left: Arc<Semaphore>,
}

/// Bytes that are held; dropping it gives them back.
#[derive(Debug, Default)]
pub(super) struct Charge(Option<OwnedSemaphorePermit>);

/// Room for one answer while it comes; whatever nobody counts has all the room there is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Room(Option<Arc<Share>>);

#[derive(Debug)]
struct Share {
    budget: Budget,
    taken: Mutex<(Charge, usize)>,
}

impl Room {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self(Some(Arc::new(Share {
            budget: budget.clone(),
            taken: Mutex::default(),
        })))
    }

    /// Makes it hold so many bytes in all, if it holds fewer.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Failure> {
        let Some(share) = &self.0 else {
            return Ok(());
        };
        let mut taken = share.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (charge, held) = &mut *taken;
        share.budget.add(charge, bytes.saturating_sub(*held))?;
        *held = bytes.max(*held);
        Ok(())
    }
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self {
            limit,
            left: Arc::new(Semaphore::new(limit)),
        }
    }

    /// Adds so many bytes to what is held.
    pub(super) fn add(&self, charge: &mut Charge, bytes: usize) -> Result<(), Failure> {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.left).try_acquire_many_owned(bytes).ok());
        let more = more.ok_or_else(|| {
            let held = self.limit - self.left.available_permits();
            Failure::limited(
                FailureKind::Permanent,
                Reached::of(Limit::Held, self.limit).wanting(held.saturating_add(bytes) as u64),
                "too much of requests, commands and answers is held for this plugin already: send, take or drop some before the next",
            )
        })?;
        match &mut charge.0 {
            Some(held) => held.merge(more),
            None => charge.0 = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_its_room_piece_by_piece() {
        let budget = Budget::new(10);
        let (one, other) = (Room::new(&budget), Room::new(&budget));
        one.hold(4).unwrap();
        one.hold(6).unwrap();
        one.hold(3).unwrap();
        assert_eq!(other.hold(5).unwrap_err().code, "limit.held");
        other.hold(4).unwrap();
        drop(one);
        other.hold(10).unwrap();
        Room::default().hold(usize::MAX).unwrap();
    }

    #[test]
    fn what_is_dropped_can_be_held_again() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (Charge::default(), Charge::default());
        budget.add(&mut one, 4).unwrap();
        budget.add(&mut one, 4).unwrap();
        assert_eq!(budget.add(&mut other, 3).unwrap_err().code, "limit.held");
        budget.add(&mut other, 2).unwrap();
        drop(one);
        budget.add(&mut other, 8).unwrap();
        assert!(budget.add(&mut other, usize::MAX).is_err());
        drop(other);
        assert_eq!(budget.left.available_permits(), 10);
    }
}
