//! Owns the build, is told what happens, and has done what follows.

use super::{Order, executor::Executor};
use crate::{
    capture::{Capture, Happening},
    clock::Clock,
    logs::LogWriter,
    process::{Pid, adopt_orphans, sessions, signal_name},
    signals::{self, Signals},
};
use piper_core::{
    build::{self, Action, Build, CancelReason, Ended, Event, Notice, Setup, StepOutcome},
    id::StepIx,
    plan::Command,
    project::DEFAULT_GRACE,
    time::{Human, Monotonic, Now},
    wire::{self, v1},
};
use std::{collections::VecDeque, io, os::fd::AsFd, sync::Arc, time::Duration};

/// When a build is a long one: a short one is over before a process and two threads would pay for themselves.
const LONG_AFTER: Duration = Duration::from_millis(20);
/// How long survivors may take to end before anybody is told what is waited for.
const SILENT_END: Duration = Duration::from_millis(500);
/// How often it is looked whether survivors are gone.
const SURVIVOR_POLL: Duration = Duration::from_millis(10);

/// Who is told what happens, in order. It must not wait for anybody.
pub trait Listener {
    /// Something happened.
    fn tell(&mut self, now: Now, event: v1::Event);
    /// The build is a long one: from now on what happens is to be shown while it happens.
    fn became_long(&mut self);
    /// The program is about to be stopped by Ctrl-Z: returns when the terminal is left in order, or after a moment.
    fn about_to_stop(&mut self);
}

/// How a build ended.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: v1::Outcome,
    /// Why, if it did not succeed.
    pub reason: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// The signal that ended it, if one did.
    pub signal: Option<libc::c_int>,
}

/// Runs a build to its end. Nothing that its steps started is left when this returns, but for what was asked to be kept.
///
/// # Errors
///
/// When the build could not even begin: no thread, no descriptor, no temporary folder.
pub fn run(
    order: &Order,
    log: LogWriter,
    clock: Clock,
    signals: &Signals,
    listener: &mut dyn Listener,
) -> io::Result<Report> {
    adopt_orphans();
    let capture = Capture::new(log, clock, signals.as_fd())?;
    let executor = Executor::new(order, capture)?;
    let setup = Setup {
        jobs: order.jobs,
        unmet: order.unmet.clone(),
    };
    let build = Build::new(Arc::clone(&order.plan), setup);
    Dispatcher {
        order,
        clock,
        signals,
        executor,
        build,
        listener,
        signal: None,
        cancels: 0,
        log_end: 0,
        long_at: clock.now().mono + LONG_AFTER,
        is_long: false,
        end_paused: Duration::ZERO,
        end: None,
    }
    .run()
}

struct Dispatcher<'a> {
    order: &'a Order,
    clock: Clock,
    signals: &'a Signals,
    executor: Executor<'a>,
    build: Build,
    listener: &'a mut dyn Listener,
    /// The first signal that asked for the end.
    signal: Option<libc::c_int>,
    /// How often the end was asked for.
    cancels: u32,
    log_end: u64,
    /// When it is a long one at the latest, however little it prints.
    long_at: Monotonic,
    /// It is a long one: the watcher and the listener know.
    is_long: bool,
    /// How long Ctrl-Z kept the end of survivors waiting.
    end_paused: Duration,
    /// The last notice, kept back until nothing runs any more.
    end: Option<Notice>,
}

impl Dispatcher<'_> {
    fn run(mut self) -> io::Result<Report> {
        self.apply(Event::Begin);
        while !self.build.is_finished() {
            self.turn(self.due());
            let now = self.clock.now().mono;
            if self.build.next_deadline().is_some_and(|at| at <= now) {
                self.tick();
            }
            let is_long = self.long_at <= now || self.executor.log_is_long();
            if is_long && !self.is_long && !self.build.is_finished() {
                self.become_long();
            }
        }
        self.sweep();
        self.finish()
    }

    /// When something is to be done although nothing happens.
    fn due(&self) -> Option<Monotonic> {
        let long_at = (!self.is_long).then_some(self.long_at);
        self.build.next_deadline().into_iter().chain(long_at).min()
    }

    /// Waits until something happens or this time comes, and does what follows.
    fn turn(&mut self, until: Option<Monotonic>) {
        let most = until.map(|at| at.since(self.clock.now().mono));
        for happening in self.executor.turn(most) {
            match happening {
                Happening::Event(event) => self.hear(event),
                Happening::Signal => self.hear_signals(),
                Happening::Key if self.executor.type_on() => self.pause(Signals::stop_job_here),
                Happening::Key => {}
                Happening::KeyRoom => self.executor.type_ahead(),
                Happening::Unwatched => self.watch_over(),
            }
        }
    }

    fn hear(&mut self, mut event: Event) {
        if let Event::Ended {
            step, how, log_end, ..
        } = &mut event
        {
            self.log_end = self.log_end.max(*log_end);
            if let Some(why) = self.executor.ended(*step)
                && *how == Ended::Status(0)
            {
                *how = Ended::Rejected { why };
            }
        }
        self.apply(event);
    }

    fn tick(&mut self) {
        let listened: Vec<StepIx> = self.build.listened_to().collect();
        for step in listened {
            if let Some(at) = self.executor.heard(step) {
                self.apply(Event::Heard { step, at });
            }
        }
        self.apply(Event::Tick);
    }

    fn hear_signals(&mut self) {
        while let Some(signal) = self.signals.take() {
            match signal {
                libc::SIGWINCH => self.executor.resize(),
                libc::SIGTSTP if !self.build.is_finished() => self.pause(Signals::stop_here),
                libc::SIGTSTP => self.pause_end(),
                signal if signals::asks_to_end(signal) => self.hear_request(signal),
                _ => {}
            }
        }
    }

    fn hear_request(&mut self, signal: libc::c_int) {
        self.cancels += 1;
        // What comes when all steps are done only hurries the end.
        if !self.build.is_finished() {
            self.signal.get_or_insert(signal);
            self.apply(Event::Cancel(CancelReason::Signal(signal)));
        }
    }

    /// Ctrl-Z: the steps are stopped with piper, and the time until `fg` counts for none of them.
    fn pause(&mut self, stop: fn(&Signals)) {
        self.apply(Event::Pause);
        self.listener.about_to_stop();
        self.executor.suspend();
        let before = self.clock.now().mono;
        stop(self.signals);
        self.executor.resume();
        self.apply(Event::Resume(self.clock.now().mono.since(before)));
    }

    /// Ctrl-Z while survivors are ended: they go on ending, and nothing is due before `fg`.
    fn pause_end(&mut self) {
        self.listener.about_to_stop();
        let before = self.clock.now().mono;
        self.signals.stop_here();
        self.end_paused += self.clock.now().mono.since(before);
    }

    /// Applies an event and does what follows, until nothing follows.
    fn apply(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.clock.now();
            // An event that cannot happen is a bug of ours. The build goes on as it was: that is what the refusal guarantees.
            let actions = match build::apply(&mut self.build, event, now) {
                Ok(actions) => actions,
                Err(refused) => {
                    self.warn(format!("a bug in piper: {refused}"));
                    continue;
                }
            };
            // First what makes steps run or end, then what is said of it: the next step runs while the last one is reported.
            for action in &actions {
                match *action {
                    Action::Start { step, r#try } => {
                        if let Err(how) = self.executor.start(step, r#try) {
                            let log_end = self.log_end;
                            events.push_back(Event::Ended {
                                step,
                                r#try,
                                how,
                                log_end,
                                left_running: false,
                            });
                        }
                    }
                    Action::Push { step, how } => self.executor.push(step, how),
                    Action::Tell(_) => {}
                }
            }
            for action in actions {
                match action {
                    Action::Tell(notice @ Notice::Finished { .. }) => self.end = Some(notice),
                    Action::Tell(notice) => self.tell(now, &notice),
                    Action::Start { .. } | Action::Push { .. } => {}
                }
            }
        }
    }

    fn tell(&mut self, now: Now, notice: &Notice) {
        let event = wire::convert::event(&self.order.plan, notice, signal_name, self.log_end);
        self.listener.tell(now, event);
        if let Notice::StepFinished {
            step,
            outcome: StepOutcome::Failed { .. },
            ..
        } = notice
        {
            self.hint(*step);
        }
    }

    /// Names the variables that a failed step's script mentions and that the caller has, but the step was not given.
    fn hint(&mut self, step: StepIx) {
        let planned = &self.order.plan.steps[step.index()];
        let Command::Script { script, .. } = &planned.command else {
            return;
        };
        let withheld = self.order.environment.withheld(planned, script);
        if !withheld.is_empty() {
            let quoted = withheld
                .iter()
                .map(|name| format!("{name:?}"))
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!(
                "{} mentions ${}, which your environment has and the step does not: to pass it on, add `pass-env = [{quoted}]`",
                planned.label,
                withheld.join(", $"),
            );
            self.warn(message);
        }
    }

    /// Starts what short builds do without.
    fn become_long(&mut self) {
        self.is_long = true;
        self.listener.became_long();
        self.watch_over();
    }

    fn watch_over(&mut self) {
        if let Err(error) = self.executor.watch_over() {
            self.warn(format!(
                "steps will outlive piper if it is killed: could not start the watcher: {error}"
            ));
        }
    }

    /// Ends what steps left running: TERM, a grace period, KILL.
    fn sweep(&mut self) {
        let mut left = self.executor.survivors();
        if left.is_empty() {
            return;
        }
        let grace = self
            .order
            .plan
            .steps
            .iter()
            .map(|step| step.grace)
            .max()
            .unwrap_or(DEFAULT_GRACE);
        let asked = self.clock.now().mono;
        for &pid in &left {
            sessions::kill_one(pid, libc::SIGTERM);
            sessions::kill_one(pid, libc::SIGCONT);
        }
        if !self.is_long {
            // However short the build was, its end may take as long as the grace period.
            self.become_long();
        }
        // Nothing can be waited for here: survivors are nobody's children whom a descriptor would announce.
        let heard = self.cancels;
        let mut is_told = false;
        while !left.is_empty()
            && self.clock.now().mono < asked + grace + self.end_paused
            && heard < 2
            && self.cancels == heard
        {
            self.turn(Some(self.clock.now().mono + SURVIVOR_POLL));
            left = self.executor.survivors();
            if !is_told && !left.is_empty() && self.clock.now().mono >= asked + SILENT_END {
                is_told = true;
                let who = name_all(&left);
                let grace = Human(grace);
                self.warn(format!(
                    "ending what steps left running: {who}; what does not end within {grace} is killed"
                ));
            }
        }
        // Again and again, because a process can fork between the look and the kill; not for ever, because one that the kernel
        // holds (a dead network disk) cannot be killed at all.
        for _ in 0..100 {
            if left.is_empty() {
                return;
            }
            for &pid in &left {
                sessions::kill_one(pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
            left = self.executor.survivors();
        }
        let who = name_all(&left);
        self.warn(format!(
            "processes that steps left running could not be ended: {who}"
        ));
    }

    /// Tells what the user should know.
    fn warn(&mut self, message: String) {
        let warning = v1::Event::Warning { message };
        self.listener.tell(self.clock.now(), warning);
    }

    fn finish(self) -> io::Result<Report> {
        let (log_end, removed) = self.executor.close();
        let now = self.clock.now();
        if let Err(error) = removed {
            let message = error.to_string();
            self.listener.tell(now, v1::Event::Warning { message });
        }
        let notice = self
            .end
            .ok_or_else(|| io::Error::other("the build ended without saying how"))?;
        let event = wire::convert::event(&self.order.plan, &notice, signal_name, log_end);
        self.listener.tell(now, event);
        let Notice::Finished {
            outcome,
            reason,
            duration,
            ..
        } = notice
        else {
            unreachable!("only the last notice is kept back");
        };
        Ok(Report {
            outcome,
            reason,
            duration,
            signal: self.signal,
        })
    }
}

/// Processes for people: the program, its id, and the step that left it running.
fn name_all(pids: &[Pid]) -> String {
    const MOST: usize = 5;
    let name = |&pid: &Pid| {
        let program = sessions::program_of(pid).unwrap_or_else(|| "a process".to_owned());
        match sessions::variable_of(pid, "PIPER_STEP") {
            Some(step) => format!("{program} ({pid}) of {}", String::from_utf8_lossy(&step)),
            None => format!("{program} ({pid})"),
        }
    };
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    let named: Vec<String> = pids.iter().take(MOST).map(name).collect();
    let more = match pids.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    named.join(", ") + &more
}
