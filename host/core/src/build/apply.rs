//! The only place where a build or a step changes its state.

use super::{
    event::{Action, Event, Notice, Push},
    state::{
        ALWAYS_LIMIT, Build, CancelReason, Ended, Fault, Phase, Skip, StepOutcome, StepState,
        StopReason, TryResult,
    },
};
use crate::{
    id::StepIx,
    project::WhenStatus,
    time::{Monotonic, Now},
};
use std::time::Duration;

/// An event that cannot happen in the state that the build is in: a bug of whoever sent it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen now: {why}")]
pub struct IllegalTransition {
    /// The event.
    pub event: Event,
    /// Why it cannot happen.
    pub why: &'static str,
}

/// Applies one event.
///
/// # Errors
///
/// When the event cannot happen in this state; the build is as it was.
pub fn apply(build: &mut Build, event: Event, now: Now) -> Result<Vec<Action>, IllegalTransition> {
    let illegal = |event: Event, why| Err(IllegalTransition { event, why });
    let mut turn = Turn {
        build,
        now: now.mono,
        actions: Vec::new(),
        done: Vec::new(),
    };
    match event {
        Event::Begin if turn.build.phase == Phase::Fresh => {
            turn.build.begin(now);
            turn.release_all_free();
        }
        Event::Begin => return illegal(event, "the build has begun already"),
        _ if turn.build.phase == Phase::Fresh => return illegal(event, "the build has not begun"),
        _ if turn.build.phase == Phase::Finished => return illegal(event, "the build is finished"),
        Event::Ended {
            step,
            r#try,
            ref how,
            log_end,
            left_running,
        } => {
            let Some(since) = turn.since(step, r#try) else {
                return illegal(event, "this try is not running");
            };
            turn.ended(step, how.clone(), since, log_end, left_running);
        }
        Event::Heard { step, at } => {
            if let StepState::Running { heard, .. } = &mut turn.build.steps[step.index()].state {
                *heard = at.max(*heard);
            }
        }
        Event::Tick => turn.tick(),
        Event::Cancel(reason) => turn.cancel(reason),
        Event::Pause => turn.actions.push(Action::Tell(Notice::Paused)),
        Event::Resume(after) => turn.resume(after),
    }
    turn.settle();
    Ok(turn.actions)
}

/// One call of [`apply`].
struct Turn<'a> {
    build: &'a mut Build,
    now: Monotonic,
    actions: Vec<Action>,
    /// Steps that are done and whose dependents do not know it yet. A list and not a recursion: a chain of 100,000 skipped
    /// steps would otherwise overflow the stack.
    done: Vec<StepIx>,
}

impl Turn<'_> {
    fn tell(&mut self, notice: Notice) {
        self.actions.push(Action::Tell(notice));
    }

    /// When the try began, if it is the one that runs.
    fn since(&self, step: StepIx, r#try: u32) -> Option<Monotonic> {
        let record = self.build.steps.get(step.index())?;
        let since = match record.state {
            StepState::Running { since, .. } | StepState::Stopping { since, .. } => since,
            StepState::Waiting
            | StepState::Ready { .. }
            | StepState::BackingOff { .. }
            | StepState::Done(_) => return None,
        };
        (record.tries == r#try).then_some(since)
    }

    fn release_all_free(&mut self) {
        for place in 0..self.build.steps.len() {
            let step = StepIx(place as u32);
            if self.build.steps[place].needs_left == 0 && self.build.steps[place].listed_done {
                self.release(step);
            }
        }
    }

    /// Decides about a step for which everything that it waits for is done.
    fn release(&mut self, step: StepIx) {
        let felt = self.build.felt(step);
        let skipped = match self.build.planned(step).when.status {
            WhenStatus::Success => felt.map(Skip::NeedFailed),
            WhenStatus::Failure if felt.is_none() => {
                Some(Skip::When("nothing that it waits for failed".to_owned()))
            }
            WhenStatus::Failure | WhenStatus::Always => None,
        };
        let open = match self.build.phase {
            Phase::Running => true,
            Phase::Cancelling(_) => self.build.outlives_cancel(step),
            Phase::Fresh | Phase::Killing(_) | Phase::Finished => false,
        };
        if !open {
            self.finish(step, StepOutcome::Cancelled);
        } else if let Some(skip) = skipped {
            self.finish(step, StepOutcome::Skipped(skip));
        } else if let Some(why) = self.build.unmet[step.index()].take() {
            self.finish(step, StepOutcome::Skipped(Skip::When(why)));
        } else if let Some(failed) = self.fails_fast(step) {
            self.finish(step, StepOutcome::Skipped(Skip::FailFast(failed)));
        } else {
            self.build.steps[step.index()].state = StepState::Ready { last: None };
            self.build.ready.insert(step);
        }
    }

    /// The failure because of which this step is not started any more.
    fn fails_fast(&self, step: StepIx) -> Option<StepIx> {
        let ordinary = self.build.planned(step).when.status == WhenStatus::Success;
        self.build.failing.filter(|_| ordinary)
    }

    fn finish(&mut self, step: StepIx, outcome: StepOutcome) {
        let counts = &mut self.build.counts;
        let record = &mut self.build.steps[step.index()];
        record.blame = match &outcome {
            StepOutcome::Succeeded
            | StepOutcome::Skipped(Skip::When(_) | Skip::Itself(_))
            | StepOutcome::Failed { allowed: true, .. } => None,
            StepOutcome::Failed { allowed: false, .. }
            | StepOutcome::Errored { .. }
            | StepOutcome::Cancelled => Some(step),
            StepOutcome::Skipped(Skip::NeedFailed(blame) | Skip::FailFast(blame)) => Some(*blame),
        };
        match &outcome {
            StepOutcome::Succeeded => {
                counts.succeeded += 1;
                counts.flaky += u32::from(record.tries > 1);
            }
            StepOutcome::Failed { allowed: true, .. } => counts.allowed += 1,
            StepOutcome::Failed { allowed: false, .. } => counts.failed += 1,
            StepOutcome::Errored { .. } => counts.errored += 1,
            StepOutcome::Skipped(_) => counts.skipped += 1,
            StepOutcome::Cancelled => counts.cancelled += 1,
        }
        // Noted here and not in `settle`: the prefix may pass over a step before its own turn there comes.
        if let Some(blame) = record.blame
            && self
                .build
                .first_blamed
                .is_none_or(|(place, _)| step < place)
        {
            self.build.first_blamed = Some((step, blame));
        }
        let duration = record
            .first
            .map(|first| self.now.since(first))
            .unwrap_or_default();
        let tries = record.tries;
        let fails = matches!(
            outcome,
            StepOutcome::Failed { allowed: false, .. } | StepOutcome::Errored { .. }
        );
        record.state = StepState::Done(outcome.clone());
        self.build.left -= 1;
        self.build.ready.remove(&step);
        self.tell(Notice::StepFinished {
            step,
            outcome,
            tries,
            duration,
        });
        self.done.push(step);
        if fails && !self.build.plan.keep_going && self.build.failing.is_none() {
            self.build.failing = Some(step);
            self.drop_queued(step);
        }
    }

    /// After a failure: what is ready or waits for another try does not begin any more.
    fn drop_queued(&mut self, failed: StepIx) {
        let queued: Vec<StepIx> = self
            .build
            .ready
            .iter()
            .copied()
            .filter(|&s| self.fails_fast(s).is_some())
            .collect();
        for step in queued {
            self.end_queued(step, StepOutcome::Skipped(Skip::FailFast(failed)));
        }
        self.end_backoffs(|turn, step| turn.fails_fast(step).is_some());
    }

    /// Ends a step that waits for cores: with the result of its last try, if there was one. That may be a failure, which ends others.
    fn end_queued(&mut self, step: StepIx, if_never_tried: StepOutcome) {
        match &mut self.build.steps[step.index()].state {
            StepState::Ready { last: Some(last) } => {
                let last = last.clone();
                self.conclude(step, last);
            }
            StepState::Ready { last: None } => self.finish(step, if_never_tried),
            // The end of one before it in the queue was this one's, too.
            StepState::Done(_) => {}
            StepState::Waiting
            | StepState::Running { .. }
            | StepState::Stopping { .. }
            | StepState::BackingOff { .. } => unreachable!("it is in no queue"),
        }
    }

    /// Ends the steps that wait for another try, with the result of their last one.
    fn end_backoffs(&mut self, which: impl Fn(&Self, StepIx) -> bool) {
        for step in self.build.active.clone() {
            if let StepState::BackingOff { last, .. } = &self.build.steps[step.index()].state
                && which(self, step)
            {
                let last = last.clone();
                self.build.active.retain(|&s| s != step);
                self.conclude(step, last);
            }
        }
    }

    /// Ends a step by the result of its last try.
    fn conclude(&mut self, step: StepIx, result: TryResult) {
        let allowed = self.build.planned(step).allow_failure;
        let outcome = match result {
            TryResult::Ended(Ended::Status(0)) => StepOutcome::Succeeded,
            // A plugin's trouble is its step's. What the machine lacks to begin it would be missing for the next step, too.
            TryResult::Ended(Ended::Errored { why, .. }) if allowed => StepOutcome::Failed {
                result: TryResult::Ended(Ended::Failed { why }),
                allowed,
            },
            TryResult::Ended(Ended::NotStarted {
                why,
                fault: Fault::Machine,
            }) => StepOutcome::Errored { why, ran: false },
            TryResult::Ended(Ended::Errored { why, .. }) => StepOutcome::Errored { why, ran: true },
            TryResult::Ended(Ended::Skipped { why }) => StepOutcome::Skipped(Skip::Itself(why)),
            TryResult::Stopped(StopReason::Cancelled) => StepOutcome::Cancelled,
            TryResult::Ended(
                Ended::Status(_)
                | Ended::Signal(_)
                | Ended::NotStarted {
                    fault: Fault::User, ..
                }
                | Ended::Rejected { .. }
                | Ended::Failed { .. },
            )
            | TryResult::Stopped(StopReason::Timeout | StopReason::IdleTimeout) => {
                StepOutcome::Failed { result, allowed }
            }
        };
        self.finish(step, outcome);
    }

    fn ended(
        &mut self,
        step: StepIx,
        how: Ended,
        since: Monotonic,
        log_end: u64,
        left_running: bool,
    ) {
        let record = &self.build.steps[step.index()];
        let r#try = record.tries;
        let result = if let StepState::Stopping { why, .. } = record.state {
            TryResult::Stopped(why)
        } else {
            TryResult::Ended(how)
        };
        self.build.free += self.build.cpus(step);
        self.build.tty_running &= !self.build.planned(step).tty;
        self.build.active.retain(|&s| s != step);
        let succeeded = result == TryResult::Ended(Ended::Status(0));
        let retry_after = (!succeeded && self.build.retries(step, &result))
            .then_some(self.build.planned(step).retry.delay);
        let duration = self.now.since(since);
        self.tell(Notice::TryFinished {
            step,
            r#try,
            result: result.clone(),
            duration,
            log_end,
            retry_after,
            left_running,
        });
        match retry_after {
            Some(delay) => {
                self.build.steps[step.index()].state = StepState::BackingOff {
                    until: self.now + delay,
                    last: result,
                };
                self.build.active.push(step);
                self.tick();
            }
            None => self.conclude(step, result),
        }
    }

    /// Does everything whose time has come.
    fn tick(&mut self) {
        if self.build.phase == Phase::Running
            && self.build.deadline.is_some_and(|at| at <= self.now)
        {
            self.cancel(CancelReason::Timeout);
        }
        for step in self.build.active.clone() {
            let Some((_, stop)) = self
                .build
                .step_deadline(step)
                .filter(|(at, _)| *at <= self.now)
            else {
                continue;
            };
            match (&mut self.build.steps[step.index()].state, stop) {
                (StepState::Running { .. }, Some(why)) => self.stop(step, why),
                (StepState::Stopping { kill_at, .. }, _) => {
                    *kill_at = None;
                    self.actions.push(Action::Push {
                        step,
                        how: Push::Kill,
                    });
                }
                (StepState::BackingOff { last, .. }, _) => {
                    let last = Some(last.clone());
                    self.build.steps[step.index()].state = StepState::Ready { last };
                    self.build.active.retain(|&s| s != step);
                    self.build.ready.insert(step);
                }
                (StepState::Running { .. }, None)
                | (StepState::Waiting | StepState::Ready { .. } | StepState::Done(_), _) => {}
            }
        }
    }

    /// Asks a running step to end.
    fn stop(&mut self, step: StepIx, why: StopReason) {
        let grace = self.build.planned(step).grace;
        let record = &mut self.build.steps[step.index()];
        let r#try = record.tries;
        if let StepState::Running { since, .. } = record.state {
            record.state = StepState::Stopping {
                since,
                why,
                kill_at: Some(self.now + grace),
            };
            self.tell(Notice::StepStopping { step, r#try, why });
            self.actions.push(Action::Push {
                step,
                how: Push::Ask,
            });
        }
    }

    fn cancel(&mut self, reason: CancelReason) {
        match self.build.phase {
            Phase::Running => self.cancel_gently(reason),
            // Nobody has asked for anything yet: the first Ctrl-C asks, and only the next one kills.
            Phase::Cancelling(CancelReason::Timeout)
                if matches!(reason, CancelReason::Signal(_)) =>
            {
                self.build.phase = Phase::Cancelling(reason);
                self.tell(Notice::Cancelling(reason));
            }
            Phase::Cancelling(first) => self.kill(first),
            // Everything is killed already; it only takes the system a moment.
            Phase::Killing(_) | Phase::Fresh | Phase::Finished => {}
        }
    }

    fn cancel_gently(&mut self, reason: CancelReason) {
        self.build.phase = Phase::Cancelling(reason);
        self.tell(Notice::Cancelling(reason));
        self.end_backoffs(|turn, step| !turn.build.outlives_cancel(step));
        let limit = self.now + ALWAYS_LIMIT;
        for step in self.build.active.clone() {
            if !self.build.outlives_cancel(step) {
                self.stop(step, StopReason::Cancelled);
            } else if let StepState::Running { deadline, .. } =
                &mut self.build.steps[step.index()].state
            {
                *deadline = Some(deadline.map_or(limit, |at| at.min(limit)));
            }
        }
        self.cancel_queued(|turn, step| !turn.build.outlives_cancel(step));
    }

    fn kill(&mut self, reason: CancelReason) {
        self.build.phase = Phase::Killing(reason);
        self.end_backoffs(|_, _| true);
        for step in self.build.active.clone() {
            let state = &mut self.build.steps[step.index()].state;
            let (since, why) = match *state {
                StepState::Running { since, .. } => (since, StopReason::Cancelled),
                StepState::Stopping { since, why, .. } => (since, why),
                StepState::Waiting
                | StepState::Ready { .. }
                | StepState::BackingOff { .. }
                | StepState::Done(_) => continue,
            };
            *state = StepState::Stopping {
                since,
                why,
                kill_at: None,
            };
            self.actions.push(Action::Push {
                step,
                how: Push::Kill,
            });
        }
        self.cancel_queued(|_, _| true);
    }

    fn cancel_queued(&mut self, which: impl Fn(&Self, StepIx) -> bool) {
        let queued: Vec<StepIx> = self
            .build
            .ready
            .iter()
            .copied()
            .filter(|&step| which(self, step))
            .collect();
        for step in queued {
            self.end_queued(step, StepOutcome::Cancelled);
        }
    }

    /// Time that passed while everything was stopped does not count: what began or is due before it is moved to behind it.
    fn resume(&mut self, after: Duration) {
        for &step in &self.build.active {
            match &mut self.build.steps[step.index()].state {
                StepState::Running {
                    since,
                    deadline,
                    heard,
                } => {
                    *since = *since + after;
                    *deadline = deadline.map(|at| at + after);
                    *heard = *heard + after;
                }
                StepState::Stopping { since, kill_at, .. } => {
                    *since = *since + after;
                    *kill_at = kill_at.map(|at| at + after);
                }
                StepState::BackingOff { until, .. } => *until = *until + after,
                StepState::Waiting | StepState::Ready { .. } | StepState::Done(_) => {}
            }
        }
        // Those that wait for cores for a further try are not active.
        for step in &mut self.build.steps {
            step.first = step.first.map(|first| first + after);
        }
        self.build.began = self.build.began + after;
        self.build.deadline = self.build.deadline.map(|at| at + after);
        self.tell(Notice::Resumed);
    }

    /// Passes on who is done until nothing changes, then starts what can be started.
    fn settle(&mut self) {
        while let Some(step) = self.done.pop() {
            let blame = self.build.steps[step.index()].blame;
            for waiter in std::mem::take(&mut self.build.needed_by[step.index()]) {
                let record = &mut self.build.steps[waiter.index()];
                record.need_blame = record.need_blame.or(blame);
                record.needs_left -= 1;
                self.release_if_free(waiter);
            }
            self.advance_prefix();
        }
        self.start_ready();
        if self.build.left == 0 {
            self.end();
        }
    }

    fn advance_prefix(&mut self) {
        let steps = &self.build.steps;
        while steps
            .get(self.build.done_prefix as usize)
            .is_some_and(|s| matches!(s.state, StepState::Done(_)))
        {
            self.build.done_prefix += 1;
        }
        while let Some(&(bound, waiter)) = self.build.prefix_waiters.last() {
            if bound.0 > self.build.done_prefix {
                break;
            }
            self.build.prefix_waiters.pop();
            self.build.steps[waiter.index()].listed_done = true;
            self.release_if_free(waiter);
        }
    }

    fn release_if_free(&mut self, step: StepIx) {
        let record = &self.build.steps[step.index()];
        if record.needs_left == 0 && record.listed_done && record.state == StepState::Waiting {
            self.release(step);
        }
    }

    /// Starts ready steps in the plan's order. One that needs more cores than are free keeps those behind it waiting, or a
    /// stream of small steps would starve it.
    fn start_ready(&mut self) {
        while let Some(&step) = self.build.ready.first() {
            let (cpus, tty) = (self.build.cpus(step), self.build.planned(step).tty);
            let room = if tty {
                self.build.free == self.build.jobs
            } else {
                cpus <= self.build.free
            };
            if !room || self.build.tty_running {
                break;
            }
            self.build.ready.pop_first();
            self.build.free -= cpus;
            self.build.tty_running = tty;
            self.build.active.push(step);
            let timeout = self.build.planned(step).timeout;
            let timeout = match self.build.phase {
                Phase::Fresh | Phase::Running | Phase::Finished => timeout,
                Phase::Cancelling(_) | Phase::Killing(_) => {
                    Some(timeout.map_or(ALWAYS_LIMIT, |own| own.min(ALWAYS_LIMIT)))
                }
            };
            let record = &mut self.build.steps[step.index()];
            record.tries += 1;
            record.first = record.first.or(Some(self.now));
            record.state = StepState::Running {
                since: self.now,
                deadline: timeout.map(|limit| self.now + limit),
                heard: self.now,
            };
            let r#try = record.tries;
            self.tell(Notice::StepStarted { step, r#try });
            self.actions.push(Action::Start { step, r#try });
        }
    }

    fn end(&mut self) {
        let cancelled = match self.build.phase {
            Phase::Cancelling(reason) | Phase::Killing(reason) => Some(reason),
            Phase::Fresh | Phase::Running | Phase::Finished => None,
        };
        self.build.phase = Phase::Finished;
        let (outcome, reason) = self.build.verdict(cancelled);
        let duration = self.now.since(self.build.began);
        self.tell(Notice::Finished {
            outcome,
            reason,
            duration,
            counts: self.build.counts,
        });
    }
}
