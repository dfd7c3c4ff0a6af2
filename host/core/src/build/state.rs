//! What a build is at one moment.

use crate::{
    id::StepIx,
    plan::{Plan, PlannedStep},
    project::{RetryOn, WhenStatus},
    time::{Monotonic, Now},
    wire::v1::{Counts, Outcome},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long an `always` step may take once the build is cancelled.
pub const ALWAYS_LIMIT: Duration = Duration::from_secs(60);

/// How a process or a plugin ended, as the executor saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran.
    NotStarted {
        /// Why, in words.
        why: String,
        /// Who is to blame.
        fault: Fault,
    },
    /// With status 0, but what it left cannot be used.
    Rejected {
        /// Why, in words.
        why: String,
    },
    /// A plugin says that the step failed.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// A plugin says that there was nothing to do.
    Skipped {
        /// Why, in words.
        why: String,
    },
    /// A plugin broke, or could not do its work: no verdict on what was built.
    Errored {
        /// Why, in words.
        why: String,
        /// Whether another try may help.
        passing: bool,
    },
}

/// Who is to blame for a step that could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The user: no such program (126, 127), no such folder.
    User,
    /// The machine: no memory, no file descriptors.
    Machine,
}

/// How a try ended, with what piper did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryResult {
    /// By itself.
    Ended(Ended),
    /// piper ended it.
    Stopped(StopReason),
}

/// Why piper ended a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// `timeout` ran out.
    Timeout,
    /// `idle-timeout` ran out.
    IdleTimeout,
    /// The build is being cancelled.
    Cancelled,
}

/// Why a build is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The pipeline's `timeout` ran out: the user's failure.
    Timeout,
    /// A signal, by its number: whoever started piper wants it to end.
    Signal(i32),
}

/// Why a step never ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// Its own `when`; the text says which part.
    When(String),
    /// It ran, and says that there was nothing to do.
    Itself(String),
    /// This step failed, and the skipped one waits for it, directly or not.
    NeedFailed(StepIx),
    /// This step failed, and nothing new is started after a failure.
    FailFast(StepIx),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// It passed.
    Succeeded,
    /// The user's command failed.
    Failed {
        /// Its last try.
        result: TryResult,
        /// Whether `allow-failure` covers it.
        allowed: bool,
    },
    /// piper, a plugin or the machine failed.
    Errored {
        /// Why, in words.
        why: String,
        /// Whether it ever ran.
        ran: bool,
    },
    /// It never ran.
    Skipped(Skip),
    /// It was ended, or never began, because the build was cancelled.
    Cancelled,
}

/// Where a step stands. See the table of [`build`](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// For others.
    Waiting,
    /// For free cores.
    Ready {
        /// How its last try ended, if this is for a further one.
        last: Option<TryResult>,
    },
    /// It runs.
    Running {
        /// When this try began.
        since: Monotonic,
        /// When `timeout` runs out.
        deadline: Option<Monotonic>,
        /// When it last printed, or began.
        heard: Monotonic,
    },
    /// It was asked to end.
    Stopping {
        /// When this try began.
        since: Monotonic,
        /// Why.
        why: StopReason,
        /// When it is killed; `None` when it was.
        kill_at: Option<Monotonic>,
    },
    /// Before its next try.
    BackingOff {
        /// When that begins.
        until: Monotonic,
        /// How the last one ended.
        last: TryResult,
    },
    /// It will not run (again).
    Done(StepOutcome),
}

/// One step of a build.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) state: StepState,
    /// How many tries began.
    pub(super) tries: u32,
    /// When the first try began.
    pub(super) first: Option<Monotonic>,
    /// The step whose failure is felt by those that wait for this one: itself, or the one that kept it from running.
    pub(super) blame: Option<StepIx>,
    /// How many of its `needs` are not done.
    pub(super) needs_left: u32,
    /// The first failure among its `needs`.
    pub(super) need_blame: Option<StepIx>,
    /// Whether everything listed before it that it waits for is done.
    pub(super) listed_done: bool,
}

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Fresh,
    Running,
    Cancelling(CancelReason),
    /// The second request: everything is killed, nothing is started.
    Killing(CancelReason),
    Finished,
}

/// What a build is given beside its plan.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// How many cores steps may take together; at least 1.
    pub jobs: u32,
    /// For steps whose `when` does not hold in a part that the build cannot change (branch, event, paths, param): which part.
    pub unmet: Vec<(StepIx, String)>,
}

/// One build.
#[derive(Debug)]
pub struct Build {
    pub(super) plan: Arc<Plan>,
    pub(super) phase: Phase,
    pub(super) steps: Vec<Step>,
    pub(super) unmet: Vec<Option<String>>,
    /// Who names whom in `needs`.
    pub(super) needed_by: Vec<Vec<StepIx>>,
    /// Steps that wait for a prefix of the plan, by the prefix's end; the next one last.
    pub(super) prefix_waiters: Vec<(StepIx, StepIx)>,
    /// All steps before this place are done.
    pub(super) done_prefix: u32,
    /// The first place whose failure is felt, and by whose blame.
    pub(super) first_blamed: Option<(StepIx, StepIx)>,
    pub(super) ready: BTreeSet<StepIx>,
    /// Running, stopping or backing off; few, whatever the size of the plan.
    pub(super) active: Vec<StepIx>,
    pub(super) jobs: u32,
    pub(super) free: u32,
    /// The step that owns the terminal: it runs alone.
    pub(super) tty_running: bool,
    /// The first failure under fail-fast.
    pub(super) failing: Option<StepIx>,
    pub(super) left: u32,
    pub(super) counts: Counts,
    pub(super) began: Monotonic,
    pub(super) deadline: Option<Monotonic>,
}

impl Build {
    /// A build that has not begun.
    pub fn new(plan: Arc<Plan>, setup: Setup) -> Self {
        let total = plan.steps.len();
        let mut needed_by = vec![Vec::new(); total];
        let mut prefix_waiters = Vec::new();
        let mut steps = Vec::with_capacity(total);
        for (place, step) in plan.steps.iter().enumerate() {
            let ix = StepIx(u32::try_from(place).expect("a plan has fewer than 2^32 steps"));
            for need in &step.waits_for {
                needed_by[need.index()].push(ix);
            }
            let bound = step.waits_for_all_before.filter(|bound| bound.0 > 0);
            if let Some(bound) = bound {
                prefix_waiters.push((bound, ix));
            }
            steps.push(Step {
                state: StepState::Waiting,
                tries: 0,
                first: None,
                blame: None,
                needs_left: step.waits_for.len() as u32,
                need_blame: None,
                listed_done: bound.is_none(),
            });
        }
        prefix_waiters.sort_unstable_by(|a, b| b.cmp(a));
        let mut unmet = vec![None; total];
        for (step, why) in setup.unmet {
            unmet[step.index()] = Some(why);
        }
        let jobs = setup.jobs.max(1);
        Self {
            phase: Phase::Fresh,
            steps,
            unmet,
            needed_by,
            prefix_waiters,
            done_prefix: 0,
            first_blamed: None,
            ready: BTreeSet::new(),
            active: Vec::new(),
            jobs,
            free: jobs,
            tty_running: false,
            failing: None,
            left: total as u32,
            counts: Counts::default(),
            began: Monotonic::default(),
            deadline: None,
            plan,
        }
    }

    /// The plan that is built.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Where a step stands.
    pub fn state(&self, step: StepIx) -> &StepState {
        &self.steps[step.index()].state
    }

    /// Whether every step is done.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Running steps that have an `idle-timeout`: for these the engine sends [`Event::Heard`](super::Event::Heard).
    pub fn listened_to(&self) -> impl Iterator<Item = StepIx> {
        self.active.iter().copied().filter(|&step| {
            self.planned(step).idle_timeout.is_some()
                && matches!(self.state(step), StepState::Running { .. })
        })
    }

    /// When [`Event::Tick`](super::Event::Tick) is due next.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let of_steps = self
            .active
            .iter()
            .filter_map(|&step| self.step_deadline(step).map(|(at, _)| at));
        let of_build = self.deadline.filter(|_| self.phase == Phase::Running);
        of_steps.chain(of_build).min()
    }

    /// The next deadline of a step, and why it would be stopped then.
    pub(super) fn step_deadline(&self, step: StepIx) -> Option<(Monotonic, Option<StopReason>)> {
        match self.state(step) {
            StepState::Running {
                deadline, heard, ..
            } => {
                let idle = self
                    .planned(step)
                    .idle_timeout
                    .map(|idle| (*heard + idle, Some(StopReason::IdleTimeout)));
                let timeout = deadline.map(|at| (at, Some(StopReason::Timeout)));
                timeout.into_iter().chain(idle).min_by_key(|(at, _)| *at)
            }
            StepState::Stopping { kill_at, .. } => kill_at.map(|at| (at, None)),
            StepState::BackingOff { until, .. } => Some((*until, None)),
            StepState::Waiting | StepState::Ready { .. } | StepState::Done(_) => None,
        }
    }

    pub(super) fn planned(&self, step: StepIx) -> &PlannedStep {
        &self.plan.steps[step.index()]
    }

    /// How many cores a step takes here: never more than there are, or it would wait for ever.
    pub(super) fn cpus(&self, step: StepIx) -> u32 {
        self.planned(step).cpus.clamp(1, self.jobs)
    }

    /// The failure that a step feels through what it waits for.
    pub(super) fn felt(&self, step: StepIx) -> Option<StepIx> {
        let bound = self.planned(step).waits_for_all_before;
        let listed = self
            .first_blamed
            .filter(|(place, _)| bound.is_some_and(|bound| *place < bound));
        self.steps[step.index()]
            .need_blame
            .or(listed.map(|(_, blame)| blame))
    }

    /// Whether a failed try is worth another one.
    pub(super) fn retries(&self, step: StepIx, result: &TryResult) -> bool {
        let retry = &self.planned(step).retry;
        // Nothing is new after a failure or a cancel, a further try neither.
        let open = self.phase == Phase::Running && self.failing.is_none();
        let may = |wanted: &[RetryOn]| {
            retry.on.is_empty() || retry.on.iter().any(|on| wanted.contains(on))
        };
        open && self.steps[step.index()].tries <= retry.max
            && match result {
                TryResult::Ended(Ended::Status(status @ 129..=192)) => may(&[
                    RetryOn::Exit,
                    RetryOn::Status(*status as u8),
                    RetryOn::Signal,
                ]),
                TryResult::Ended(Ended::Status(status)) => {
                    may(&[RetryOn::Exit, RetryOn::Status(*status as u8)])
                }
                TryResult::Ended(Ended::Signal(_)) => may(&[RetryOn::Signal]),
                // Another try would not find a program that is not there.
                TryResult::Ended(Ended::NotStarted { fault, .. }) => {
                    *fault == Fault::Machine && may(&[])
                }
                TryResult::Ended(Ended::Rejected { .. } | Ended::Failed { .. }) => {
                    may(&[RetryOn::Exit])
                }
                TryResult::Ended(Ended::Errored { passing, .. }) => *passing && may(&[]),
                TryResult::Ended(Ended::Skipped { .. }) => false,
                TryResult::Stopped(StopReason::Timeout | StopReason::IdleTimeout) => {
                    may(&[RetryOn::Timeout])
                }
                TryResult::Stopped(StopReason::Cancelled) => false,
            }
    }

    /// Whether a step still runs after a cancel.
    pub(super) fn outlives_cancel(&self, step: StepIx) -> bool {
        self.planned(step).when.status == WhenStatus::Always
    }

    /// How the whole build ended, and why.
    pub(super) fn verdict(&self, cancelled: Option<CancelReason>) -> (Outcome, Option<String>) {
        let first = |wanted: fn(&StepOutcome) -> bool| {
            let place = self
                .steps
                .iter()
                .position(|s| matches!(&s.state, StepState::Done(o) if wanted(o)))?;
            Some(self.plan.steps[place].label.as_str())
        };
        match cancelled {
            Some(CancelReason::Timeout) => {
                let limit = crate::time::Human(self.plan.timeout.unwrap_or_default());
                // Only pipelines have one.
                let name = self.plan.target.name();
                let why = format!("took longer than {limit}, the `timeout` of pipeline `{name}`");
                (Outcome::Failed, Some(why))
            }
            Some(CancelReason::Signal(_)) => (Outcome::Cancelled, Some("interrupted".to_owned())),
            None if self.counts.errored > 0 => {
                let unstarted = first(|o| matches!(o, StepOutcome::Errored { ran: false, .. }))
                    .map(|step| format!("{step} could not be run"));
                let broken = || {
                    first(|o| matches!(o, StepOutcome::Errored { .. }))
                        .map(|step| format!("{step} broke"))
                };
                (Outcome::Errored, unstarted.or_else(broken))
            }
            None if self.counts.failed > 0 => {
                let step = first(|o| matches!(o, StepOutcome::Failed { allowed: false, .. }));
                (Outcome::Failed, step.map(|step| format!("{step} failed")))
            }
            None => (Outcome::Succeeded, None),
        }
    }

    /// Notes the clock at the build's start.
    pub(super) fn begin(&mut self, now: Now) {
        self.phase = Phase::Running;
        self.began = now.mono;
        self.deadline = self.plan.timeout.map(|limit| now.mono + limit);
    }
}
