//! Telling whom the project's `[notify]` rules name, if whoever runs the build asked for it.
//!
//! Nobody waits for a notifier while steps could run: that a build began is told beside it, and only its end is waited for. Nor does one
//! notifier wait for another.

use super::Hidden;
use crate::{
    history::{LocalHistory, Place},
    ui::Ui,
};
use piper_core::{
    notify::{self, Facts, Message, Moment, Notifier},
    plan::Plan,
    project::Project,
    record::{BuildSummary, Filter, History as _},
    time::Timestamp,
    wire::v1,
};
use piper_engine::{
    logs::{PlogReader, Selection},
    runner::Order,
};
use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How much of the failing step's log is looked at for its end, in bytes.
const TAIL: usize = 64 << 10;
/// Among how many builds the one before is looked for.
const BEFORE: usize = 1000;
/// How long nothing is said while a build that is over waits for notifiers.
const SILENCE: Duration = Duration::from_secs(2);

/// Whom to tell of builds. Cheap to clone.
#[derive(Clone)]
pub struct Telling {
    /// Whose rules hold.
    pub project: Arc<Project>,
    /// Who delivers.
    pub notifier: Arc<dyn Notifier + Send + Sync>,
    /// The secrets of those who deliver.
    pub hidden: Hidden,
}

impl Telling {
    /// Tells of one moment, and returns what went wrong with that.
    fn tell(&self, plan: &Plan, moment: Moment, event: &notify::Event) -> Vec<String> {
        let messages = notify::messages(&self.project, plan, moment, event);
        let deliver = |message: &Message<'_>| {
            let why = self.notifier.notify(message).err()?;
            Some(format!("could not tell `{}`: {why}", message.rule))
        };
        thread::scope(|scope| {
            let deliver = &deliver;
            let under_way: Vec<_> = messages
                .iter()
                .map(|message| {
                    let builder = thread::Builder::new().name("telling".to_owned());
                    builder
                        .spawn_scoped(scope, move || deliver(message))
                        .map_err(|_no_room| deliver(message))
                })
                .collect();
            let told = under_way.into_iter().filter_map(|told| match told {
                // One that panicked has said so on standard error.
                Ok(thread) => thread.join().ok().flatten(),
                Err(told) => told,
            });
            told.collect()
        })
    }
}

/// A build whose beginning is being told.
pub(super) struct Told {
    telling: Telling,
    plan: Arc<Plan>,
    attempt: u32,
    trace: String,
    beginning: Option<JoinHandle<Vec<String>>>,
}

impl Told {
    /// Tells that a build began.
    pub(super) fn begin(telling: Telling, order: &Order, summary: &BuildSummary) -> Self {
        let told = Self {
            telling: telling.clone(),
            plan: Arc::clone(&order.plan),
            attempt: order.attempt,
            trace: order.trace.clone(),
            beginning: None,
        };
        let event = told
            .facts(summary, &[])
            .event(Moment::Started, summary.created);
        let plan = Arc::clone(&order.plan);
        let beginning = thread::Builder::new()
            .name("telling".to_owned())
            .spawn(move || telling.tell(&plan, Moment::Started, &event));
        Self {
            beginning: beginning.ok(),
            ..told
        }
    }

    fn facts<'a>(&'a self, summary: &'a BuildSummary, events: &'a [v1::Event]) -> Facts<'a> {
        Facts {
            summary,
            attempt: self.attempt,
            plan: &self.plan,
            trace: &self.trace,
            previous: None,
            events,
            log_tail: None,
        }
    }

    /// Tells that it ended, once its beginning is told, says so on `ui` if that takes a while, and returns what went wrong with both.
    pub(super) fn end(
        self,
        summary: &BuildSummary,
        outcome: v1::Outcome,
        file: Option<&Path>,
        at: Timestamp,
        ui: Ui,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        let kept = file.and_then(|file| PlogReader::open(file).ok());
        let events: Vec<v1::Event> = kept.as_ref().map_or_else(Vec::new, |kept| {
            kept.events().flatten().map(|line| line.event).collect()
        });
        let tail = notify::failing_step(&events)
            .zip(kept.as_ref())
            .map(|(step, kept)| tail(kept, step));
        let builds = before(summary, at);
        let previous = notify::previous(&builds, summary);
        let facts = Facts {
            previous,
            log_tail: tail.as_deref(),
            ..self.facts(summary, &events)
        };
        let moment = Moment::Ended {
            outcome,
            previous: previous.map(|(_, outcome)| outcome),
        };
        let event = facts.event(moment, at);
        let (all_told, wait) = mpsc::channel::<()>();
        let patience = thread::Builder::new().name("patience".to_owned());
        let patience = patience.spawn(move || {
            if wait.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                ui.say("waiting for those whom `[notify]` tells of the build; Ctrl-C leaves without them");
            }
        });
        if let Some(beginning) = self.beginning {
            // It panicked: that is said on standard error already.
            warnings.extend(beginning.join().unwrap_or_default());
        }
        warnings.extend(self.telling.tell(&self.plan, moment, &event));
        drop(all_told);
        // A word that is being said stands before what comes next.
        _ = patience.map(JoinHandle::join);
        warnings
    }
}

/// The builds of the same target before this one, as far as anything is kept of them.
fn before(summary: &BuildSummary, now: Timestamp) -> Vec<BuildSummary> {
    let filter = Filter {
        root: Some(summary.root.clone()),
        target: Some(summary.target.clone()),
        limit: Some(BEFORE),
        ..Filter::default()
    };
    let history = Place::find()
        .ok()
        .and_then(|place| LocalHistory::open(place, now).ok());
    history
        .and_then(|history| history.list(&filter).ok())
        .unwrap_or_default()
}

/// The last bytes that a step printed, without the line end behind them.
fn tail(kept: &PlogReader, step: &str) -> Vec<u8> {
    let selection = Selection {
        steps: vec![step.to_owned()],
        ..Selection::default()
    };
    let mut tail = Vec::new();
    for batch in kept.select(selection).flatten() {
        for (_, text) in batch.runs() {
            tail.extend_from_slice(text);
        }
        if tail.len() > TAIL {
            tail.drain(..tail.len() - TAIL);
        }
    }
    if tail.ends_with(b"\n") {
        tail.pop();
    }
    tail
}
