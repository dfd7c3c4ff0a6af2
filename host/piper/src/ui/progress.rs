//! Where a build stands, as told by its events.
//!
//! Only remembers what was said; nothing here decides, prints or reads a clock.

use super::sanitize::words;
use piper_core::{
    record::BuildEnd,
    time::{Monotonic, Now, Timestamp},
    wire::v1::{BuildStarted, Counts, Event, Exit, Outcome, StepOutcome},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// A build.
#[derive(Debug, Default)]
pub struct Progress {
    /// What was said at its start.
    pub about: Option<About>,
    /// When that was; on the monotonic clock without the time for which the build was stopped.
    pub started: Now,
    /// Its steps, in the plan's order.
    pub steps: Vec<Step>,
    /// The steps that run or wait for another try, in the order in which they began.
    pub active: Vec<u32>,
    /// How many steps ended in which way, up to now or in the end.
    pub counts: Counts,
    /// The steps that failed and were not allowed to, or errored, in the order in which they did.
    pub failed: Vec<u32>,
    /// How it ended.
    pub end: Option<End>,
    places: HashMap<String, u32>,
    /// When the build was last paused.
    paused: Monotonic,
}

/// What a build is, fit to be printed.
#[derive(Debug)]
pub struct About {
    /// The project's name.
    pub project: String,
    /// The pipeline's or the step's name.
    pub target: String,
    /// Whether `target` is a step.
    pub target_is_step: bool,
    /// The environment's name.
    pub environment: String,
    /// The commit.
    pub revision: Option<String>,
    /// The version of what is built.
    pub version: Option<String>,
    /// The cell of the pipeline's matrix, as `axis=value`.
    pub cell: Vec<String>,
    /// The parameters, as `name=value`.
    pub params: Vec<String>,
}

/// How a build ended.
#[derive(Debug, Clone)]
pub struct End {
    /// In which way.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

impl From<&BuildEnd> for End {
    fn from(end: &BuildEnd) -> Self {
        Self {
            outcome: end.outcome,
            reason: end
                .reason
                .as_deref()
                .map(|reason| words(reason).into_owned()),
            duration: end.duration,
        }
    }
}

/// A step of a build.
#[derive(Debug)]
pub struct Step {
    /// Its label, fit to be printed.
    pub label: String,
    /// Its command, fit to be printed.
    pub command: String,
    /// Where it stands.
    pub state: State,
    /// When it last printed something, or began.
    pub heard: Monotonic,
}

/// Where a step stands.
#[derive(Debug, Clone)]
pub enum State {
    /// It has not begun.
    Waiting,
    /// It runs.
    Running {
        /// Which try, from 1.
        r#try: u32,
        /// Since when.
        since: Monotonic,
        /// It was asked to end, with this signal.
        stopping: Option<String>,
    },
    /// It will be tried again.
    BackingOff {
        /// Which try comes next.
        r#try: u32,
        /// When.
        until: Monotonic,
    },
    /// It is done.
    Done(Box<Done>),
}

/// How a step ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// In which way.
    pub outcome: StepOutcome,
    /// Why, in words, fit to be printed.
    pub reason: Option<String>,
    /// How its last try ended.
    pub exit: Option<Exit>,
    /// How many tries there were.
    pub tries: u32,
    /// It failed and was allowed to.
    pub allowed: bool,
    /// It passed, but not at the first try.
    pub flaky: bool,
    /// How long it took.
    pub duration: Duration,
}

impl Step {
    /// How it ended, if it did.
    pub fn done(&self) -> Option<&Done> {
        match &self.state {
            State::Done(done) => Some(done),
            State::Waiting | State::Running { .. } | State::BackingOff { .. } => None,
        }
    }
}

impl Progress {
    /// The place of the step with this label; labels that the plan did not name have none.
    pub fn place(&self, label: &str) -> Option<u32> {
        self.places.get(label).copied()
    }

    /// The step at a place.
    pub fn step(&self, place: u32) -> Option<&Step> {
        self.steps.get(place as usize)
    }

    /// How many steps are done.
    pub fn done(&self) -> u32 {
        let Counts {
            succeeded,
            failed,
            allowed,
            errored,
            skipped,
            cancelled,
            flaky: _,
        } = self.counts;
        succeeded + failed + allowed + errored + skipped + cancelled
    }

    /// When the build began.
    pub fn began(&self) -> Timestamp {
        self.started.wall
    }

    /// Remembers that a step printed something.
    pub fn heard(&mut self, place: u32, now: Monotonic) {
        if let Some(step) = self.steps.get_mut(place as usize) {
            step.heard = now;
        }
    }

    /// Remembers an event.
    pub fn apply(&mut self, now: Now, event: &Event) {
        match event {
            Event::BuildStarted(about) => self.begin(now, about),
            Event::StepStarted { step, r#try } => {
                let running = State::Running {
                    r#try: *r#try,
                    since: now.mono,
                    stopping: None,
                };
                if let Some(place) = self.set(step, running) {
                    self.heard(place, now.mono);
                }
            }
            Event::StepStopping { step, signal, .. } => {
                if let Some(place) = self.place(step)
                    && let State::Running { stopping, .. } = &mut self.steps[place as usize].state
                {
                    *stopping = Some(words(signal).into_owned());
                }
            }
            Event::TryFinished {
                step,
                r#try,
                retry_after_us: Some(after),
                ..
            } => {
                let backing_off = State::BackingOff {
                    r#try: r#try + 1,
                    until: now.mono + Duration::from_micros(*after),
                };
                self.set(step, backing_off);
            }
            Event::StepFinished { .. } => self.finish_step(event),
            Event::BuildFinished {
                outcome,
                reason,
                duration_us,
                counts,
                ..
            } => {
                self.counts = *counts;
                self.end = Some(End {
                    outcome: *outcome,
                    reason: reason.as_deref().map(|reason| words(reason).into_owned()),
                    duration: Duration::from_micros(*duration_us),
                });
            }
            Event::BuildPaused {} => self.paused = now.mono,
            Event::BuildResumed {} => self.leave_out(now.mono.since(self.paused)),
            Event::StreamOpened { .. }
            | Event::TryFinished { .. }
            | Event::Log { .. }
            | Event::Annotation(_)
            | Event::Warning { .. }
            | Event::BuildCancelling { .. }
            | Event::Unknown => {}
        }
    }

    /// Time that passed while everything was stopped does not count.
    fn leave_out(&mut self, time: Duration) {
        self.started.mono = self.started.mono + time;
        for &place in &self.active {
            let step = &mut self.steps[place as usize];
            step.heard = step.heard + time;
            match &mut step.state {
                State::Running { since: at, .. } | State::BackingOff { until: at, .. } => {
                    *at = *at + time;
                }
                State::Waiting | State::Done(_) => {}
            }
        }
    }

    fn begin(&mut self, now: Now, about: &BuildStarted) {
        self.started = now;
        self.steps.reserve(about.steps.len());
        self.places.reserve(about.steps.len());
        for (place, planned) in (0..).zip(&about.steps) {
            self.places.insert(planned.step.clone(), place);
            self.steps.push(Step {
                label: words(&planned.step).into_owned(),
                command: words(&planned.command).into_owned(),
                state: State::Waiting,
                heard: now.mono,
            });
        }
        let clean = |text: &String| words(text).into_owned();
        let pairs = |pairs: &BTreeMap<String, String>| {
            let pair = |(key, value)| format!("{}={}", clean(key), clean(value));
            pairs.iter().map(pair).collect()
        };
        self.about = Some(About {
            project: clean(&about.project),
            target: clean(&about.target),
            target_is_step: about.target_is_step,
            environment: clean(&about.environment),
            revision: about.revision.as_ref().map(clean),
            version: about.version.as_ref().map(clean),
            cell: pairs(&about.cell),
            params: pairs(&about.params),
        });
    }

    /// Gives a step another state, and keeps the list of active steps.
    fn set(&mut self, label: &str, state: State) -> Option<u32> {
        let place = self.place(label)?;
        let step = &mut self.steps[place as usize];
        let active =
            |state: &State| matches!(state, State::Running { .. } | State::BackingOff { .. });
        match (active(&step.state), active(&state)) {
            (false, true) => self.active.push(place),
            (true, false) => self.active.retain(|&other| other != place),
            (true, true) | (false, false) => {}
        }
        step.state = state;
        Some(place)
    }

    fn finish_step(&mut self, event: &Event) {
        let Event::StepFinished {
            step,
            outcome,
            reason,
            exit,
            tries,
            flaky,
            allowed,
            duration_us,
        } = event
        else {
            return;
        };
        let done = Done {
            outcome: *outcome,
            reason: reason.as_deref().map(|reason| words(reason).into_owned()),
            exit: exit.clone(),
            tries: *tries,
            allowed: *allowed,
            flaky: *flaky,
            duration: Duration::from_micros(*duration_us),
        };
        let counts = &mut self.counts;
        let failed = match (outcome, allowed) {
            (StepOutcome::Succeeded, _) => {
                counts.flaky += u32::from(*flaky);
                counts.succeeded += 1;
                false
            }
            (StepOutcome::Failed, true) => {
                counts.allowed += 1;
                false
            }
            (StepOutcome::Failed, false) => {
                counts.failed += 1;
                true
            }
            (StepOutcome::Errored, _) => {
                counts.errored += 1;
                true
            }
            (StepOutcome::Skipped, _) => {
                counts.skipped += 1;
                false
            }
            (StepOutcome::Cancelled, _) => {
                counts.cancelled += 1;
                false
            }
        };
        if let Some(place) = self.set(step, State::Done(Box::new(done)))
            && failed
        {
            self.failed.push(place);
        }
    }
}
