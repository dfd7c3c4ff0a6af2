//! Between a running build and whoever looks at it: one thread that shows, and the listener that feeds it.
//!
//! A short build, which is over before anybody could have seen it run, gets no thread and is shown at its end. A long one never waits
//! for the screen. Log records are read with a cursor of the log; events queue here, each with the number of the record that must have
//! been shown before it.

use super::Asides;
use crate::ui::reporter::Reporter;
use piper_core::{
    id::BuildId,
    log::{Record, mask::Masker},
    time::{Monotonic, Now},
    wire::v1::{Annotation, Event, Line, Outcome},
};
use piper_engine::{
    clock::Clock,
    logs::{Batch, LiveReader, LogHandle, Next, Run},
    runner::{Listener, Report},
};
use std::{
    collections::VecDeque,
    io, iter,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long Ctrl-Z waits for the screen to be left in order. A terminal stopped by Ctrl-S would keep it waiting for ever.
const ABOUT_TO_STOP: Duration = Duration::from_millis(200);
/// How long the thread lets small things gather: being woken for each of them costs short steps as much as they cost themselves.
const GATHER: Duration = Duration::from_millis(4);
/// Records of so many bytes do not gather: they would only leave the memory before they are shown.
const LARGE: usize = 16 * 1024;
/// How many of the last records are shown of what else is left out: a few screens. They are read all the same, so few of them.
const LAST_RECORDS: u64 = 100;
/// How many bytes of them: slow terminals take no more in a second or two.
const LAST_BYTES: usize = 16 * 1024;
/// How long the thread sleeps if it knows of nothing to come.
const IDLE: Duration = Duration::from_secs(3600);
const STACK: usize = 512 * 1024;

/// An event on its way to the screen.
struct Told {
    /// All records before this number are shown first.
    after: u64,
    now: Now,
    event: Event,
}

#[derive(Default)]
struct Waiting {
    told: VecDeque<Told>,
    /// How often the build was paused, and how often that was shown.
    pauses: (u64, u64),
    /// Somebody waits until everything is shown.
    hurry: bool,
    /// Everything is shown.
    finished: bool,
    /// The thread waits for events alone, because there are no more records.
    listening: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Records that are not shown yet are left out, but for the last. Asked at each record, so it is not behind the lock.
    skip_backlog: AtomicBool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Feeds the build's file and the screen with events.
pub(super) struct Screen {
    log: LogHandle,
    build: BuildId,
    clock: Clock,
    seq: u64,
    /// The number of records that the last event knew of.
    log_end: u64,
    queue: Arc<Queue>,
    asides: Asides,
    /// Hides the build's secrets in what its plugins point at, which comes past the log.
    masker: Masker,
    thread: Thread,
}

/// Makes the reporter and shows everything until the end: once, on the thread that comes first. A thread that cannot be started
/// must not take it along.
struct Showing(Mutex<Option<Once>>);

type Once = Box<dyn FnOnce() -> io::Result<()> + Send>;

impl Showing {
    fn run(&self) -> io::Result<()> {
        let show = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        show.map_or(Ok(()), |show| show())
    }
}

enum Thread {
    /// The build is still a short one, or there can be no thread.
    NotYet(Arc<Showing>),
    Runs(JoinHandle<io::Result<()>>),
}

impl Screen {
    /// A screen for a build that is about to begin; the reporter is made by the thread, because what it writes to belongs to it.
    pub(super) fn new(
        reporter: impl FnOnce() -> io::Result<Reporter> + Send + 'static,
        log: LogHandle,
        reader: LiveReader,
        build: BuildId,
        clock: Clock,
        (asides, masker): (Asides, Masker),
    ) -> Self {
        let queue = Arc::new(Queue::default());
        let shown = Arc::clone(&queue);
        let show = move || {
            let reporter = reporter()?;
            Show {
                reporter,
                reader,
                queue: shown,
                build,
                clock,
                events: VecDeque::new(),
                shown: 0,
                skipped: false,
                ended: false,
                finished: false,
            }
            .run();
            Ok(())
        };
        Self {
            log,
            build,
            clock,
            seq: 0,
            log_end: 0,
            queue,
            asides,
            masker,
            thread: Thread::NotYet(Arc::new(Showing(Mutex::new(Some(Box::new(show)))))),
        }
    }

    /// Ends a build that could not even begin.
    pub(super) fn give_up(&mut self, error: &io::Error) -> Report {
        let now = self.clock.now();
        let reason = Some(format!("piper could not run it: {error}"));
        let (outcome, duration) = (Outcome::Errored, now.mono.0);
        let duration_us = duration.as_micros() as u64;
        let counts = piper_core::wire::v1::Counts::default();
        let log_end = self.log_end;
        self.tell(
            now,
            Event::BuildFinished {
                outcome,
                reason: reason.clone(),
                duration_us,
                counts,
                log_end,
            },
        );
        Report {
            outcome,
            reason,
            duration,
            signal: None,
        }
    }

    /// Waits a moment for everything to be shown; `false` if something still is, on another thread.
    pub(super) fn is_shown_within(&self, most: Duration) -> bool {
        if !matches!(self.thread, Thread::Runs(_)) {
            return true;
        }
        let shows = |waiting: &mut Waiting| !waiting.finished;
        let (waiting, _) = self
            .queue
            .changed
            .wait_timeout_while(self.queue.lock(), most, shows)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.finished
    }

    /// Leaves out what is not shown yet of a build that is over, but for the last lines and how it ended.
    pub(super) fn skip_backlog(&self) {
        self.queue.skip_backlog.store(true, Ordering::Relaxed);
        self.queue.changed.notify_all();
    }

    /// Waits until everything is shown.
    ///
    /// # Errors
    ///
    /// When nothing could be shown at all.
    pub(super) fn join(self) -> io::Result<()> {
        match self.thread {
            Thread::NotYet(show) => show.run(),
            // A panic there has printed its message, and the build is recorded.
            Thread::Runs(thread) => thread.join().unwrap_or(Ok(())),
        }
    }

    fn masked(&self, aside: Event) -> Event {
        let Event::Annotation(annotation) = aside else {
            return aside;
        };
        let text = |text| self.masker.text(text);
        Event::Annotation(Box::new(Annotation {
            message: text(annotation.message),
            title: annotation.title.map(text),
            file: annotation.file.map(text),
            ..*annotation
        }))
    }

    fn pass_on(&mut self, now: Now, event: Event) {
        if let Event::TryFinished { log_end, .. } | Event::BuildFinished { log_end, .. } = &event {
            self.log_end = self.log_end.max(*log_end);
        }
        let line = Line {
            v: 1,
            seq: self.seq,
            at: now.wall.to_string(),
            build: self.build.as_str().to_owned(),
            attempt: 1,
            event,
        };
        self.seq += 1;
        let bytes = serde_json::to_vec(&line).expect("events have only keys that are strings");
        let mut waiting = self.queue.lock();
        waiting.pauses.0 += u64::from(matches!(line.event, Event::BuildPaused {}));
        let hurry = matches!(
            line.event,
            Event::BuildPaused {} | Event::BuildFinished { .. }
        );
        waiting.hurry |= hurry;
        waiting.told.push_back(Told {
            after: self.log_end,
            now,
            event: line.event,
        });
        let is_awaited = hurry || waiting.listening;
        drop(waiting);
        if is_awaited {
            self.queue.changed.notify_all();
        }
        // Wakes the thread, too, if it waits for records.
        self.log.event(&bytes);
    }
}

impl Listener for Screen {
    fn tell(&mut self, now: Now, event: Event) {
        // The first event says what the build is, so nothing may stand before it.
        let asides = match matches!(event, Event::BuildStarted(_)) {
            true => Vec::new(),
            false => self.asides.take(),
        };
        for aside in asides {
            let aside = self.masked(aside);
            self.pass_on(now, aside);
        }
        self.pass_on(now, event);
    }

    fn became_long(&mut self) {
        self.log.keep_up();
        let Thread::NotYet(show) = &self.thread else {
            return;
        };
        let theirs = Arc::clone(show);
        let spawned = thread::Builder::new()
            .name("screen".to_owned())
            .stack_size(STACK)
            .spawn(move || theirs.run());
        // Without a thread, the build is shown at its end.
        if let Ok(thread) = spawned {
            self.thread = Thread::Runs(thread);
        }
    }

    fn about_to_stop(&mut self) {
        self.became_long();
        let shown = |waiting: &mut Waiting| waiting.pauses.0 > waiting.pauses.1;
        let _ = self
            .queue
            .changed
            .wait_timeout_while(self.queue.lock(), ABOUT_TO_STOP, shown);
    }
}

/// The thread.
struct Show {
    reporter: Reporter,
    reader: LiveReader,
    queue: Arc<Queue>,
    build: BuildId,
    clock: Clock,
    events: VecDeque<Told>,
    /// The number of the record that is shown next.
    shown: u64,
    /// The backlog was left out.
    skipped: bool,
    /// There are no more records.
    ended: bool,
    /// The last event was shown.
    finished: bool,
}

impl Show {
    fn run(mut self) {
        loop {
            self.show_events(self.shown);
            if self.is_to_skip() {
                self.skip_backlog();
                continue;
            }
            if self.finished {
                self.reporter.finish(self.clock.now().mono);
                self.queue.lock().finished = true;
                self.queue.changed.notify_all();
                return;
            }
            let now = self.clock.now().mono;
            let wait = self
                .reporter
                .next_tick(now)
                .map_or(IDLE, |at| at.since(now));
            if self.ended {
                self.wait_for_events(wait);
            } else if self.show_records(wait) < LARGE {
                self.gather();
            }
            let now = self.clock.now().mono;
            if self.reporter.next_tick(now).is_some_and(|at| at <= now) {
                self.reporter.tick(now);
            }
        }
    }

    /// Shows the events whose time has come when all records before this number were shown.
    fn show_events(&mut self, shown: u64) {
        let mut waiting = self.queue.lock();
        self.events.extend(waiting.told.drain(..));
        let is_in_vain = waiting.hurry && self.reporter.is_deaf();
        drop(waiting);
        if is_in_vain && !self.ended {
            self.ended = true;
            self.say_what_is_left_out();
        }
        while let Some(told) = self.events.front() {
            if !self.ended && told.after > shown {
                return;
            }
            let Some(told) = self.events.pop_front() else {
                return;
            };
            self.reporter.event(told.now, &told.event);
            match told.event {
                Event::BuildFinished { .. } => self.finished = true,
                Event::BuildPaused {} => {
                    let mut waiting = self.queue.lock();
                    waiting.pauses.1 += 1;
                    waiting.hurry = false;
                    drop(waiting);
                    self.queue.changed.notify_all();
                }
                Event::StreamOpened { .. }
                | Event::BuildStarted(_)
                | Event::StepStarted { .. }
                | Event::StepStopping { .. }
                | Event::TryFinished { .. }
                | Event::StepFinished { .. }
                | Event::BuildResumed {}
                | Event::Log { .. }
                | Event::Annotation(_)
                | Event::Warning { .. }
                | Event::BuildCancelling { .. }
                | Event::Unknown => {}
            }
        }
    }

    /// The number after that of the last record that anybody told of.
    fn log_end(&self) -> u64 {
        self.events.iter().map(|told| told.after).max().unwrap_or(0)
    }

    fn is_to_skip(&self) -> bool {
        !self.skipped && !self.finished && self.queue.skip_backlog.load(Ordering::Relaxed)
    }

    /// Shows the last of what is not shown yet, and says that the rest of it is left out.
    fn skip_backlog(&mut self) {
        self.skipped = true;
        let end = self.log_end();
        if end <= self.shown {
            return;
        }
        let earliest = end.saturating_sub(LAST_RECORDS).max(self.shown);
        self.reader.skip_to(earliest);
        let mut batches = Vec::new();
        loop {
            match self.reader.next(Duration::ZERO) {
                Next::Batch(batch) => batches.push(batch),
                Next::Missed(_) => {}
                Next::Idle | Next::End => break,
            }
        }
        let first = first_of_last(&batches, earliest).unwrap_or(end);
        let left_out = first - self.shown;
        if left_out > 0 {
            let message = format!(
                "{left_out} lines are not shown here, because they came faster than they were read; all of them are in `piper logs {}`",
                self.build.short()
            );
            self.reporter.leave_out(self.clock.now(), message);
        }
        self.shown = first;
        for batch in batches {
            self.show_batch(&batch);
        }
        self.shown = self.shown.max(end);
    }

    fn say_what_is_left_out(&mut self) {
        if self.log_end() > self.shown {
            let message = format!(
                "the rest of what was printed is not shown; all of it is in `piper logs {}`",
                self.build.short()
            );
            self.reporter
                .event(self.clock.now(), &Event::Warning { message });
        }
    }

    /// Shows the next records; returns how many bytes they had.
    fn show_records(&mut self, wait: Duration) -> usize {
        match self.reader.next(wait) {
            Next::Batch(batch) => {
                self.show_batch(&batch);
                return batch.runs().map(|(_, text)| text.len()).sum();
            }
            Next::Missed(range) => {
                let count = range.end - range.start;
                let message = format!(
                    "{count} lines of the log could not be read back and are not shown here"
                );
                self.reporter.leave_out(self.clock.now(), message);
                self.shown = range.end;
            }
            Next::Idle => {}
            Next::End => self.ended = true,
        }
        0
    }

    /// Shows those records of a batch that were not shown yet.
    fn show_batch(&mut self, batch: &Batch) {
        // What was told while this thread waited for records comes before them: a step's first line may be here together with its
        // start (test: it::cli::output::a_step_begins_before_its_first_line).
        self.show_events(self.shown.max(batch.first_seq()));
        let now = self.clock.now().mono;
        for (run, text) in batch.runs() {
            // Nobody wants to see the rest of what was interrupted.
            if self.finished || self.is_to_skip() {
                break;
            }
            if run.end_seq() > self.shown {
                self.show_run(now, run, text);
            }
        }
        self.reporter.show(now);
    }

    /// Shows those records of a run that were not shown yet, as far as the backlog is not left out.
    fn show_run(&mut self, now: Monotonic, run: &Run, text: &[u8]) {
        let lines = Record {
            seq: run.first_seq,
            at: run.at,
            step: run.source.step.0,
            r#try: run.source.r#try,
            marks: run.marks,
            text,
        };
        // Nearly always: a million lines and no event among them.
        if run.first_seq >= self.shown
            && self.next_event() >= run.end_seq()
            && self.reporter.whole_lines(now, &lines)
        {
            self.shown = run.end_seq();
            return;
        }
        let from = self.shown;
        let mut records = run
            .records(text)
            .skip_while(|record| record.seq < from)
            .peekable();
        while let Some(first) = records.peek().map(|record| record.seq) {
            if self.next_event() <= first {
                self.show_events(first);
            }
            if self.finished || self.is_to_skip() {
                return;
            }
            let next = self.next_event();
            let (queue, skipped, shown) = (&self.queue, self.skipped, &mut self.shown);
            let is_to_skip = || !skipped && queue.skip_backlog.load(Ordering::Relaxed);
            let before = iter::from_fn(|| {
                let record = records.next_if(|record| record.seq < next && !is_to_skip())?;
                *shown = record.seq + 1;
                Some(Record {
                    text: record.text,
                    seq: record.seq,
                    ..lines
                })
            });
            self.reporter.records(now, before);
        }
    }

    /// The number of the record before which the next event is shown.
    fn next_event(&self) -> u64 {
        self.events.front().map_or(u64::MAX, |told| told.after)
    }

    /// Lets more happen before it is shown, unless somebody waits.
    fn gather(&self) {
        let at_leisure = |waiting: &mut Waiting| !waiting.hurry;
        let _ = self
            .queue
            .changed
            .wait_timeout_while(self.queue.lock(), GATHER, at_leisure);
    }

    fn wait_for_events(&self, wait: Duration) {
        let mut waiting = self.queue.lock();
        waiting.listening = true;
        let nothing = |waiting: &mut Waiting| waiting.told.is_empty();
        let _ = self
            .queue
            .changed
            .wait_timeout_while(waiting, wait, nothing);
    }
}

/// The number of the first of the last few records, none of them before `earliest`.
fn first_of_last(batches: &[Arc<Batch>], earliest: u64) -> Option<u64> {
    let records = batches.iter().flat_map(|batch| batch.records());
    let mut sizes: Vec<(u64, usize)> = records
        .skip_while(|record| record.seq < earliest)
        .map(|record| (record.seq, record.text.len()))
        .collect();
    let (mut first, mut bytes) = sizes.pop()?;
    while let Some((seq, size)) = sizes.pop() {
        bytes += size;
        if bytes > LAST_BYTES {
            break;
        }
        first = seq;
    }
    Some(first)
}
