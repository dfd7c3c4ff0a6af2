//! Carries out what the [`Supervisor`] decides, for one log sink: opens instances, writes, waits, closes.
//!
//! Nothing here decides anything. Where deliveries come from and where dead letters go is the [`Outlet`]'s.

use super::{
    Action, Answer, Delivery, DeliveryId, Event, Health, Moment, Outcome, Plan, Supervisor,
    Trouble,
    entries::{Entries, places},
};
use crate::{
    CallError, Failure, Invocation, Plugin, Sink,
    kind::{Batch, Call, Receipt},
};
use piper_core::time::Monotonic;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// How long an instance has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(30);

/// Hears what became of deliveries. Is asked while others wait, and so must not block.
pub trait Outlet: Send + Sync {
    /// A delivery is done: each of its entries is durable or was buried.
    fn settled(&self, delivery: DeliveryId);
    /// These will never be taken.
    fn buried(&self, delivery: DeliveryId, batches: Vec<Batch>, why: Option<Trouble>);
}

/// A sink to be supervised.
pub struct Shipping {
    /// The plugin.
    pub plugin: Plugin,
    /// With what each instance is opened.
    pub call: Call,
    /// How much happens at once.
    pub plan: Plan,
    /// What each instance gets, anew for each: placeholders are an instance's own.
    pub invocation: Box<dyn Fn() -> Result<Invocation, Failure> + Send>,
    /// Who hears of it.
    pub outlet: Arc<dyn Outlet>,
}

/// The way to a sink that is supervised.
#[derive(Clone)]
pub struct Shipper {
    deliveries: mpsc::Sender<(Delivery, Vec<Batch>)>,
    /// Its other end also learns by it that nobody is left here.
    resumptions: mpsc::Sender<()>,
    health: watch::Receiver<Health>,
}

impl Shipper {
    /// Hands over a delivery as soon as there is room for one; gives it back if nobody ships any more.
    ///
    /// # Errors
    ///
    /// The batches, if the future of [`Shipping::start`] is gone.
    pub async fn ship(
        &self,
        id: DeliveryId,
        lane: Option<u64>,
        batches: Vec<Batch>,
    ) -> Result<(), Vec<Batch>> {
        let entries = batches.iter().map(|batch| batch.ends.len() as u32).sum();
        let delivery = Delivery { id, entries, lane };
        let sent = self.deliveries.send((delivery, batches)).await;
        sent.map_err(|mpsc::error::SendError((_, batches))| batches)
    }

    /// Ends a quarantine.
    pub fn resume(&self) {
        // If there is one already, it is as good as two.
        let _ = self.resumptions.try_send(());
    }

    /// How the sink is, now and whenever that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

impl Shipping {
    /// The way to it, and the work, which ends when every [`Shipper`] is gone and all that can be shipped is. Dropping it ends it at
    /// once.
    pub fn start(self) -> (Shipper, impl Future<Output = ()> + Send) {
        let (deliveries, incoming) = mpsc::channel(1);
        let (resumptions, resumed) = mpsc::channel(1);
        let supervisor = Supervisor::new(self.plan);
        let (told, health) = watch::channel(supervisor.health(Monotonic::default()));
        let shipper = Shipper {
            deliveries,
            resumptions,
            health,
        };
        let work = Work {
            sinks: supervisor.slots.iter().map(|_| None).collect(),
            shipping: self,
            supervisor,
            began: Instant::now(),
            wake: None,
            batches: HashMap::new(),
            calls: JoinSet::new(),
            goodbyes: JoinSet::new(),
        };
        (shipper, work.run(incoming, resumed, told))
    }
}

/// What a call was, when it is over.
struct Called {
    slot: usize,
    sink: Option<Box<Sink>>,
    outcome: Outcome,
}

struct Work {
    shipping: Shipping,
    supervisor: Supervisor,
    began: Instant,
    wake: Option<Instant>,
    /// What is not settled.
    batches: HashMap<DeliveryId, Arc<Vec<Batch>>>,
    /// The instances that are not under way.
    sinks: Vec<Option<Box<Sink>>>,
    calls: JoinSet<Called>,
    /// Instances that are being closed.
    goodbyes: JoinSet<()>,
}

impl Work {
    async fn run(
        mut self,
        mut incoming: mpsc::Receiver<(Delivery, Vec<Batch>)>,
        mut resumed: mpsc::Receiver<()>,
        told: watch::Sender<Health>,
    ) {
        let (mut is_wanted, mut is_open) = (true, true);
        // Without anybody who could resume it, what is in quarantine stays with whoever keeps it, and so does what finds no room.
        while is_wanted
            || !self.calls.is_empty()
            || self.wake.is_some()
            || (is_open && self.supervisor.has_room())
        {
            let wake = self.wake;
            let woken = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                Some(called) = self.calls.join_next() => match called {
                    Ok(Called { slot, sink, outcome }) => {
                        self.sinks[slot] = sink;
                        Event::Finished { slot, outcome }
                    }
                    // A mistake of ours in a call is one here: there is no instance any more that could tell its slot.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = woken => Event::Woken,
                resumption = resumed.recv(), if is_wanted => match resumption {
                    Some(()) => Event::Resumed,
                    None => {
                        is_wanted = false;
                        continue;
                    }
                },
                delivery = incoming.recv(), if is_open && self.supervisor.has_room() => {
                    match delivery {
                        Some((delivery, _)) if delivery.entries == 0 => {
                            self.shipping.outlet.settled(delivery.id);
                            continue;
                        }
                        Some((delivery, batches)) => {
                            self.batches.insert(delivery.id, Arc::new(batches));
                            Event::Submitted(delivery)
                        }
                        None => {
                            is_open = false;
                            continue;
                        }
                    }
                }
            };
            self.apply(event);
            told.send_replace(self.supervisor.health(self.now()));
        }
        for sink in self.sinks.into_iter().flatten() {
            self.goodbyes.spawn(close(sink));
        }
        while self.goodbyes.join_next().await.is_some() {}
    }

    fn now(&self) -> Monotonic {
        Monotonic(self.began.elapsed())
    }

    fn apply(&mut self, event: Event) {
        let at = Moment {
            now: self.now(),
            // Without chance the longest wait is taken, which is never wrong.
            chance: getrandom::u32().unwrap_or(u32::MAX),
        };
        let actions = self.supervisor.apply(event, at);
        let actions = actions.expect("calls end once, and deliveries are new and not empty");
        // Said again with each event for as long as it is so.
        self.wake = None;
        for action in actions {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Call {
                slot,
                delivery,
                entries,
            } => self.begin(slot, delivery, &entries),
            Action::Close { slot } => {
                if let Some(sink) = self.sinks[slot].take() {
                    self.goodbyes.spawn(close(sink));
                }
            }
            Action::Wake { at } => self.wake = Some(self.began + at.0),
            Action::Bury {
                delivery,
                entries,
                why,
            } => {
                let batches = self.batches.get(&delivery);
                let batches = batches.map_or_else(Vec::new, |batches| entries.of(batches));
                self.shipping.outlet.buried(delivery, batches, why);
            }
            Action::Settle { delivery } => {
                self.batches.remove(&delivery);
                self.shipping.outlet.settled(delivery);
            }
            Action::Refuse { .. } => {
                unreachable!("a delivery is taken only if there is room for it")
            }
        }
    }

    fn begin(&mut self, slot: usize, delivery: DeliveryId, entries: &Entries) {
        let sink = self.sinks[slot].take();
        let (plugin, call) = (self.shipping.plugin.clone(), self.shipping.call.clone());
        let invocation = match &sink {
            Some(_) => Ok(Invocation::default()),
            None => (self.shipping.invocation)(),
        };
        let batches = self.batches.get(&delivery);
        let batches = batches.map_or_else(Vec::new, |batches| entries.of(batches));
        self.calls.spawn(async move {
            let opened = match (sink, invocation) {
                (Some(sink), _) => Ok(sink),
                (None, Ok(invocation)) => plugin.open_sink(invocation, call).await.map(Box::new),
                (None, Err(failure)) => Err(CallError::Failed(failure)),
            };
            match opened {
                Ok(sink) => write(slot, sink, batches).await,
                Err(error) => Called {
                    slot,
                    sink: None,
                    outcome: Outcome::NotOpened(Trouble::from(&error)),
                },
            }
        });
    }
}

/// Lets an instance say goodbye, whatever it says: all that it was given is settled or still with whoever gave it.
async fn close(sink: Box<Sink>) {
    let _ = timeout(GOODBYE, sink.close()).await;
}

async fn write(slot: usize, mut sink: Box<Sink>, batches: Vec<Batch>) -> Called {
    // The instance gets a copy in its own memory anyway; ours says which entry is which.
    let written = sink.write(batches.clone()).await;
    let outcome = match written {
        Ok(receipt) => answered(&batches, receipt),
        Err(error @ CallError::Failed(_)) => Outcome::Failed(Trouble::from(&error)),
        Err(error @ CallError::Crashed(_)) => Outcome::Crashed(Trouble::from(&error)),
    };
    let sink = sink.is_alive().then_some(sink);
    Called {
        slot,
        sink,
        outcome,
    }
}

fn answered(batches: &[Batch], receipt: Receipt) -> Outcome {
    let why = receipt.rejected.first().map(|rejection| Trouble {
        kind: crate::FailureKind::Permanent,
        code: rejection.code.clone(),
        message: rejection.message.clone(),
        retry_after: None,
    });
    Outcome::Answered(Answer {
        again: places(batches, receipt.again),
        rejected: places(batches, receipt.rejected.into_iter().map(|one| one.entry)),
        why,
        wait: receipt.wait_ms.map(|ms| Duration::from_millis(ms.into())),
    })
}

#[cfg(test)]
pub(crate) mod tests;
