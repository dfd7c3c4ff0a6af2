//! Decides what becomes of deliveries to one configured plugin: when each is sent, sent again, parted or given up, and when the plugin
//! is left alone.
//!
//! ```text
//!   delivery ─▶ waiting ─▶ under way ─┬─ durable ─────────────────────────▶ settled
//!                  ▲                  ├─ transient: wait, send again
//!                  │                  ├─ crash: send again once ─ crash: part in halves ─ alone: dead letter
//!                  └──────────────────┴─ crashes on three deliveries in a minute, an hour of "all of it again", or wrong configuration:
//!                                        quarantine
//! ```
//!
//! A pure machine: time and chance come in with each event, and what is to be done comes out. [`ship`] carries it out.

mod entries;
pub mod ship;

pub use entries::Entries;

use crate::{
    CallError, FailureKind,
    policy::manifest::{LogSink, Order},
};
use piper_core::time::Monotonic;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// The first wait after a failure; each further one may be twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long all must go well until the next wait is a first one again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The longest that a plugin may ask to be waited for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// How many different deliveries may crash the plugin within this time.
const FAULTS: usize = 3;
const FAULT_WINDOW: Duration = Duration::from_secs(60);
/// How often, and for how long, a plugin may answer that all of a delivery is to be sent again. It is no failure of the destination:
/// that answers, and there is something that it will never take or that the plugin does not understand.
const FRUITLESS: u32 = 10;
const FRUITLESS_FOR: Duration = Duration::from_secs(3600);
/// When an instance is replaced, so that what it leaks has an end.
const MOST_CALLS: u32 = 10_000;
const OLDEST: Duration = Duration::from_secs(3600);

/// Names a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its name, new for each.
    pub id: DeliveryId,
    /// How many entries it has; at least one.
    pub entries: u32,
    /// What must stay in order: of two deliveries with the same lane the second waits until the first is settled.
    pub lane: Option<u64>,
}

/// How much happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Deliveries that are not settled; more are refused, and stay where they come from.
    pub queue: usize,
    /// Instances.
    pub instances: usize,
}

impl Plan {
    /// As the manifest of a sink says.
    pub fn of_sink(sink: &LogSink) -> Self {
        let instances = match sink.order {
            Order::All => 1,
            Order::None | Order::Attempt => sink.in_flight as usize,
        };
        Self {
            queue: 2 * instances,
            instances,
        }
    }
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something is to be delivered.
    Submitted(Delivery),
    /// A call came to its end.
    Finished {
        /// Which instance's.
        slot: usize,
        /// How.
        outcome: Outcome,
    },
    /// The time of [`Action::Wake`] has come.
    Woken,
    /// The operator says that the plugin is to be tried again.
    Resumed,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered(Answer),
    /// With a failure; the instance lives.
    Failed(Trouble),
    /// The instance is gone.
    Crashed(Trouble),
    /// There was no instance to be had.
    NotOpened(Trouble),
}

/// What became of the entries of a call. What is not named is durable; entries by their place in what was sent, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// To be sent again.
    pub again: Vec<u32>,
    /// Never to be sent again.
    pub rejected: Vec<u32>,
    /// What the destination said of the first of these.
    pub why: Option<Trouble>,
    /// Nothing is to be sent for so long.
    pub wait: Option<Duration>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What to do about it.
    pub kind: FailureKind,
    /// Machine-readable.
    pub code: String,
    /// For a person, in one line.
    pub message: String,
    /// How long the plugin asks to be waited for.
    pub retry_after: Option<Duration>,
}

impl From<&CallError> for Trouble {
    fn from(error: &CallError) -> Self {
        let (message, retry_after) = match error {
            CallError::Failed(failure) => (failure.message.clone(), failure.retry_after),
            CallError::Crashed(crash) => (crash.message.clone(), None),
        };
        Self {
            kind: error.kind(),
            code: error.code().to_owned(),
            message,
            retry_after,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these entries with this instance, and open it first if it has none.
    Call {
        /// Which instance.
        slot: usize,
        /// Which delivery.
        delivery: DeliveryId,
        /// Which of its entries.
        entries: Entries,
    },
    /// Close the instance.
    Close {
        /// Which.
        slot: usize,
    },
    /// Say [`Event::Woken`] at this time.
    Wake {
        /// When.
        at: Monotonic,
    },
    /// Put these entries where a person finds them: the plugin will never take them.
    Bury {
        /// Which delivery.
        delivery: DeliveryId,
        /// Which of its entries.
        entries: Entries,
        /// Why.
        why: Option<Trouble>,
    },
    /// All its entries are durable or buried: forget it.
    Settle {
        /// Which delivery.
        delivery: DeliveryId,
    },
    /// Keep the delivery: there is no room for it.
    Refuse {
        /// Which delivery.
        delivery: DeliveryId,
    },
}

/// An event that cannot happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// A call ended that was not under way.
    #[error("instance {slot} ended a call, but it had none")]
    NoCall {
        /// Which instance's.
        slot: usize,
    },
    /// A delivery without entries, or one that is there already.
    #[error("delivery {} is empty or not new", .id.0)]
    NoDelivery {
        /// Which.
        id: DeliveryId,
    },
}

/// When something happens, and chance for how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Monotonic,
    /// Any number, drawn anew for each event.
    pub chance: u32,
}

/// What is known of a plugin's health: what the command line, the API and the page show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How it is.
    pub condition: Condition,
    /// Deliveries that wait or are under way.
    pub deliveries: usize,
    /// Entries that were taken for good.
    pub delivered: u64,
    /// Entries that were given up.
    pub buried: u64,
    /// How often an instance crashed.
    pub crashes: u64,
    /// What went wrong last, and when.
    pub trouble: Option<(Monotonic, Trouble)>,
    /// When something was taken last.
    pub success: Option<Monotonic>,
}

/// How a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is wrong.
    Healthy,
    /// Something went wrong; the next try is then.
    Waiting {
        /// When.
        until: Monotonic,
    },
    /// Nothing more is tried until somebody resumes it.
    Quarantined {
        /// Since when.
        since: Monotonic,
        /// What for.
        why: Trouble,
    },
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Supervisor {
    plan: Plan,
    waiting: VecDeque<Piece>,
    slots: Vec<Slot>,
    /// How many entries of each delivery are neither durable nor buried.
    open: BTreeMap<DeliveryId, u32>,
    /// Failures in a row, for the next wait.
    failures: u32,
    /// Since when all goes well.
    healthy: Option<Monotonic>,
    not_before: Monotonic,
    /// Who crashed it lately.
    faults: VecDeque<(Monotonic, DeliveryId)>,
    quarantine: Option<(Monotonic, Trouble)>,
    delivered: u64,
    buried: u64,
    crashes: u64,
    trouble: Option<(Monotonic, Trouble)>,
    success: Option<Monotonic>,
}

/// What is sent in one call.
#[derive(Debug, Clone)]
struct Piece {
    delivery: DeliveryId,
    entries: Entries,
    lane: Option<u64>,
    /// It was under way in a crash. The next one parts it.
    is_suspect: bool,
    /// Since when, and how often in a row, the answer was to send all of it again.
    fruitless: Option<(Monotonic, u32)>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// Since when there is an instance, and how often it was called.
    instance: Option<(Monotonic, u32)>,
    piece: Option<Piece>,
}

impl Supervisor {
    /// One that has nothing to do yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            waiting: VecDeque::new(),
            slots: vec![Slot::default(); plan.instances.max(1)],
            open: BTreeMap::new(),
            failures: 0,
            healthy: None,
            not_before: Monotonic::default(),
            faults: VecDeque::new(),
            quarantine: None,
            delivered: 0,
            buried: 0,
            crashes: 0,
            trouble: None,
            success: None,
        }
    }

    /// Whether another delivery would be taken.
    pub fn has_room(&self) -> bool {
        self.open.len() < self.plan.queue.max(1)
    }

    /// How it goes.
    pub fn health(&self, now: Monotonic) -> Health {
        let condition = match &self.quarantine {
            Some((since, why)) => Condition::Quarantined {
                since: *since,
                why: why.clone(),
            },
            None if now < self.not_before => Condition::Waiting {
                until: self.not_before,
            },
            None => Condition::Healthy,
        };
        Health {
            condition,
            deliveries: self.open.len(),
            delivered: self.delivered,
            buried: self.buried,
            crashes: self.crashes,
            trouble: self.trouble.clone(),
            success: self.success,
        }
    }

    /// Takes an event; the only place where anything changes.
    ///
    /// # Errors
    ///
    /// When it cannot have happened; nothing changed then.
    pub fn apply(&mut self, event: Event, at: Moment) -> Result<Vec<Action>, IllegalEvent> {
        let mut actions = Vec::new();
        match event {
            Event::Submitted(delivery) => self.submit(&delivery, &mut actions)?,
            Event::Finished { slot, outcome } => self.finish(slot, outcome, at, &mut actions)?,
            Event::Woken => {}
            Event::Resumed => {
                self.quarantine = None;
                self.faults.clear();
                self.failures = 0;
                self.not_before = at.now;
                for piece in &mut self.waiting {
                    piece.fruitless = None;
                }
            }
        }
        self.dispatch(at.now, &mut actions);
        Ok(actions)
    }

    fn submit(
        &mut self,
        delivery: &Delivery,
        actions: &mut Vec<Action>,
    ) -> Result<(), IllegalEvent> {
        let Delivery { id, entries, lane } = *delivery;
        if entries == 0 || self.open.contains_key(&id) {
            return Err(IllegalEvent::NoDelivery { id });
        }
        if !self.has_room() {
            actions.push(Action::Refuse { delivery: id });
            return Ok(());
        }
        self.open.insert(id, entries);
        self.waiting.push_back(Piece {
            delivery: id,
            entries: Entries::first(entries),
            lane,
            is_suspect: false,
            fruitless: None,
        });
        Ok(())
    }

    fn finish(
        &mut self,
        slot: usize,
        outcome: Outcome,
        at: Moment,
        actions: &mut Vec<Action>,
    ) -> Result<(), IllegalEvent> {
        let known = self.slots.get_mut(slot);
        let known = known.ok_or(IllegalEvent::NoCall { slot })?;
        let piece = known.piece.take().ok_or(IllegalEvent::NoCall { slot })?;
        match &outcome {
            Outcome::Answered(_) | Outcome::Failed(_) => {
                let (since, calls) = known.instance.unwrap_or((at.now, 0));
                known.instance = Some((since, calls + 1));
            }
            Outcome::Crashed(_) | Outcome::NotOpened(_) => known.instance = None,
        }
        match outcome {
            Outcome::Answered(answer) => self.answered(piece, answer, at, actions),
            Outcome::Failed(trouble) => self.failed(piece, trouble, at, actions),
            Outcome::NotOpened(trouble) => self.not_opened(piece, trouble, at),
            Outcome::Crashed(trouble) => self.crashed(piece, trouble, at, actions),
        }
        Ok(())
    }

    fn answered(&mut self, piece: Piece, answer: Answer, at: Moment, actions: &mut Vec<Action>) {
        let rejected: BTreeSet<u32> = answer.rejected.into_iter().collect();
        // What is in both lists was rejected: that is the stronger word.
        let again: BTreeSet<u32> = answer.again.into_iter().collect();
        let again = piece.entries.pick(again.difference(&rejected).copied());
        let rejected = piece.entries.pick(rejected);
        if !rejected.is_empty() {
            self.bury(piece.delivery, rejected.clone(), answer.why, actions);
        }
        let taken = piece.entries.count() - again.count() - rejected.count();
        self.take(piece.delivery, taken, at.now, actions);
        let is_fruitless = again == piece.entries;
        match answer.wait {
            // Whoever takes nothing and asks for no patience must not be called all the time.
            Some(wait) if is_fruitless => self.wait(wait.max(FIRST_WAIT), at),
            Some(wait) => self.wait(wait, at),
            None if !again.is_empty() => self.back_off(None, at),
            None => {}
        }
        if again.is_empty() {
            return;
        }
        let (since, answers) = piece.fruitless.unwrap_or((at.now, 0));
        let fruitless = is_fruitless.then_some((since, answers + 1));
        if answers + 1 >= FRUITLESS && is_fruitless && at.now.since(since) >= FRUITLESS_FOR {
            let trouble = Trouble {
                kind: FailureKind::Permanent,
                code: "plugin.no-progress".to_owned(),
                message: format!(
                    "it asked {} times for the same {} entries again, and took none of them",
                    answers + 1,
                    again.count()
                ),
                retry_after: None,
            };
            self.trouble = Some((at.now, trouble.clone()));
            self.quarantine = Some((at.now, trouble));
        }
        self.waiting.push_front(Piece {
            entries: again,
            fruitless,
            ..piece
        });
    }

    /// So many entries of a delivery are durable.
    fn take(
        &mut self,
        delivery: DeliveryId,
        count: u32,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        if count > 0 {
            self.success = Some(now);
            self.healthy.get_or_insert(now);
            self.delivered += u64::from(count);
            self.settle(delivery, count, actions);
        }
    }

    fn failed(&mut self, piece: Piece, trouble: Trouble, at: Moment, actions: &mut Vec<Action>) {
        self.trouble = Some((at.now, trouble.clone()));
        match trouble.kind {
            FailureKind::Transient | FailureKind::Cancelled => {
                self.back_off(trouble.retry_after, at);
                self.waiting.push_front(piece);
            }
            FailureKind::Permanent => {
                self.bury(piece.delivery, piece.entries, Some(trouble), actions);
            }
            // Only a person can mend what every delivery would meet.
            FailureKind::Denied | FailureKind::Invalid => {
                self.quarantine = Some((at.now, trouble));
                self.waiting.push_front(piece);
            }
        }
    }

    /// Says nothing of the delivery, which was not even sent.
    fn not_opened(&mut self, piece: Piece, trouble: Trouble, at: Moment) {
        self.trouble = Some((at.now, trouble.clone()));
        self.waiting.push_front(piece);
        match trouble.kind {
            FailureKind::Transient | FailureKind::Cancelled => {
                self.back_off(trouble.retry_after, at);
            }
            FailureKind::Permanent | FailureKind::Denied | FailureKind::Invalid => {
                self.quarantine = Some((at.now, trouble));
            }
        }
    }

    fn crashed(
        &mut self,
        mut piece: Piece,
        trouble: Trouble,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.crashes += 1;
        self.trouble = Some((at.now, trouble.clone()));
        // A destination that hangs is not the delivery's fault: parting and burying would lose what it will take tomorrow.
        if matches!(
            trouble.kind,
            FailureKind::Transient | FailureKind::Cancelled
        ) {
            self.back_off(None, at);
            self.waiting.push_front(piece);
            return;
        }
        if self.is_one_fault_too_many(piece.delivery, at.now) {
            self.waiting.push_front(piece);
            self.quarantine = Some((at.now, trouble));
            return;
        }
        if !piece.is_suspect {
            piece.is_suspect = true;
            self.back_off(None, at);
            self.waiting.push_front(piece);
        } else if piece.entries.count() > 1 {
            // Without a wait: the plugin is well, and a needle in 10,000 entries takes 14 crashes to find.
            let (one, two) = piece.entries.halves();
            for entries in [two, one] {
                self.waiting.push_front(Piece {
                    entries,
                    ..piece.clone()
                });
            }
        } else {
            self.bury(piece.delivery, piece.entries, Some(trouble), actions);
        }
    }

    /// Counts a crash; several of one delivery are one.
    fn is_one_fault_too_many(&mut self, delivery: DeliveryId, now: Monotonic) -> bool {
        self.faults
            .retain(|(at, other)| now.since(*at) < FAULT_WINDOW && *other != delivery);
        self.faults.push_back((now, delivery));
        self.faults.len() >= FAULTS
    }

    fn bury(
        &mut self,
        delivery: DeliveryId,
        entries: Entries,
        why: Option<Trouble>,
        actions: &mut Vec<Action>,
    ) {
        let count = entries.count();
        self.buried += u64::from(count);
        actions.push(Action::Bury {
            delivery,
            entries,
            why,
        });
        self.settle(delivery, count, actions);
    }

    fn settle(&mut self, delivery: DeliveryId, count: u32, actions: &mut Vec<Action>) {
        if let Some(open) = self.open.get_mut(&delivery) {
            *open -= count;
            if *open == 0 {
                self.open.remove(&delivery);
                actions.push(Action::Settle { delivery });
            }
        }
    }

    /// Waits as long as is asked, else for some time up to twice as long as the last time: all who failed together must not come back
    /// together.
    fn back_off(&mut self, asked: Option<Duration>, at: Moment) {
        let healthy = self.healthy.take();
        if healthy.is_some_and(|since| at.now.since(since) >= HEALTHY) {
            self.failures = 0;
        }
        let wait = asked.unwrap_or_else(|| {
            let longest = FIRST_WAIT * 2_u32.saturating_pow(self.failures.min(16));
            self.failures += 1;
            let part = f64::from(at.chance) / f64::from(u32::MAX);
            longest.min(LONGEST_WAIT).mul_f64(part)
        });
        self.wait(wait, at);
    }

    fn wait(&mut self, wait: Duration, at: Moment) {
        self.not_before = self.not_before.max(at.now + wait.min(LONGEST_ASKED));
    }

    /// Begins what can be begun.
    fn dispatch(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        if self.quarantine.is_some() || self.waiting.is_empty() {
            return;
        }
        if now < self.not_before {
            let at = self.not_before;
            actions.push(Action::Wake { at });
            return;
        }
        let mut at = 0;
        while let Some(slot) = self.slots.iter().position(|slot| slot.piece.is_none()) {
            let Some(next) = self.next(at) else { break };
            at = next;
            let piece = self.waiting.remove(next).expect("it was just found");
            let Slot { instance, .. } = &mut self.slots[slot];
            if instance
                .is_some_and(|(since, calls)| calls >= MOST_CALLS || now.since(since) >= OLDEST)
            {
                actions.push(Action::Close { slot });
                *instance = None;
            }
            instance.get_or_insert((now, 0));
            actions.push(Action::Call {
                slot,
                delivery: piece.delivery,
                entries: piece.entries.clone(),
            });
            self.slots[slot].piece = Some(piece);
        }
    }

    /// The first piece from there on that nothing of its lane keeps back.
    fn next(&self, from: usize) -> Option<usize> {
        let under_way = self.slots.iter().filter_map(|slot| slot.piece.as_ref());
        let mut taken: BTreeSet<u64> = under_way.filter_map(|piece| piece.lane).collect();
        taken.extend(
            self.waiting
                .iter()
                .take(from)
                .filter_map(|piece| piece.lane),
        );
        let mut pieces = self.waiting.iter().enumerate().skip(from);
        pieces
            .find(|(_, piece)| piece.lane.is_none_or(|lane| taken.insert(lane)))
            .map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests;
