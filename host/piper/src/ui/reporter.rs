//! Tells a person or a program about a build while it runs.
//!
//! A reporter is a pure consumer: one thread hands it events and log records in their order, and asks
//! [`next_tick`](Reporter::next_tick) how long it may sleep. It never fails, because a closed terminal must not end a build.

use super::{
    OutputFormat, Ui,
    lines::{Lines, Sharing, Tail},
    live::Live,
    ndjson::Ndjson,
    output::Outputs,
    progress::{Progress, State},
    sanitize::words,
    style::{Style, is_unicode_locale},
    text::Text,
};
use piper_core::{
    id::BuildId,
    log::{Record, Stream},
    project::Survivors,
    time::{Monotonic, Now, Timestamp},
    wire::v1::{Event, Outcome, StepOutcome},
};
use std::{collections::BTreeSet, io, time::Duration};

/// How many failed steps are shown again at the end of a build.
const TAILS: usize = 3;

/// What a reporter has to know beside the events.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The build.
    pub build: BuildId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether steps share the streams.
    pub sharing: Sharing,
    /// The version of piper.
    pub piper: String,
    /// What is special about each step, in the plan's order.
    pub steps: Vec<StepSetup>,
}

/// What is special about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSetup {
    /// It has the terminal.
    pub tty: bool,
    /// Its tools are told to print colours.
    pub color: bool,
    /// How many tries it may have.
    pub tries: u32,
    /// What becomes of what it leaves running.
    pub survivors: Survivors,
}

impl Default for StepSetup {
    fn default() -> Self {
        Self {
            tty: false,
            color: true,
            tries: 1,
            survivors: Survivors::Stop,
        }
    }
}

/// Tells about a build.
pub enum Reporter {
    /// In lines for people, with a live part if standard error is a terminal.
    People(Box<People>),
    /// In objects for programs.
    Programs(Box<Ndjson>),
}

impl Reporter {
    /// A reporter on the streams of this process.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn of_process(ui: &Ui, setup: Setup, at: Timestamp) -> io::Result<Self> {
        let outputs = Outputs::of_process(ui.out, ui.err)?;
        let unicode = is_unicode_locale(|name| std::env::var_os(name));
        Ok(Self::new(ui, setup, at, outputs, unicode))
    }

    /// A reporter on these outputs.
    pub fn new(ui: &Ui, setup: Setup, at: Timestamp, outputs: Outputs, unicode: bool) -> Self {
        match ui.format {
            OutputFormat::Json => Self::Programs(Box::new(Ndjson::new(
                outputs,
                setup.build,
                setup.attempt,
                &setup.piper,
                at,
            ))),
            OutputFormat::Text => Self::People(Box::new(People::new(ui, setup, outputs, unicode))),
        }
    }

    /// Tells an event.
    pub fn event(&mut self, now: Now, event: &Event) {
        match self {
            Self::People(people) => people.event(now, event),
            Self::Programs(stream) => stream.event(now.wall, event),
        }
    }

    /// Takes log records, to be shown when enough have gathered or at the next [`show`](Self::show).
    pub fn records<'a>(&mut self, now: Monotonic, records: impl IntoIterator<Item = Record<'a>>) {
        match self {
            Self::People(people) => {
                for record in records {
                    people.record(now, &record);
                }
            }
            Self::Programs(stream) => {
                for record in records {
                    stream.record(&record);
                }
            }
        }
    }

    /// Takes many records of one try and one stream at once, whose text has its line ends; `false`, and none is taken, if they
    /// are to be handed over one by one.
    pub fn whole_lines(&mut self, now: Monotonic, lines: &Record<'_>) -> bool {
        match self {
            Self::People(people) => people.whole_lines(now, lines),
            Self::Programs(_) => false,
        }
    }

    /// Shows what was taken.
    pub fn show(&mut self, now: Monotonic) {
        match self {
            Self::People(people) => people.show(now),
            Self::Programs(stream) => stream.flush(),
        }
    }

    /// Says that records are left out before the next one.
    pub fn leave_out(&mut self, now: Now, message: String) {
        if let Self::People(people) = self {
            people.lines.leave_out(&mut people.outputs);
        }
        self.event(now, &Event::Warning { message });
    }

    /// Whether nobody reads what steps print any more.
    pub fn is_deaf(&mut self) -> bool {
        let sink = match self {
            Self::People(people) => people.outputs.sink(Stream::Stdout),
            Self::Programs(stream) => stream.sink(),
        };
        sink.is_dead()
    }

    /// When [`tick`](Self::tick) has something to do, if nothing else happens before.
    pub fn next_tick(&self, now: Monotonic) -> Option<Monotonic> {
        match self {
            Self::People(people) => people.next_tick(now),
            Self::Programs(_) => None,
        }
    }

    /// Shows what time alone has changed.
    pub fn tick(&mut self, now: Monotonic) {
        match self {
            Self::People(people) => people.tick(now),
            Self::Programs(_) => {}
        }
    }

    /// Writes what is left, removes what is not for ever, and says if output was lost. Also right when a build was given up.
    pub fn finish(self, now: Monotonic) {
        let mut outputs = match self {
            Self::People(mut people) => {
                people.leave(now);
                people.outputs
            }
            Self::Programs(stream) => stream.into_outputs(),
        };
        outputs.flush();
        if let Some(error) = outputs.sink(Stream::Stdout).trouble() {
            let message = format!("warning: standard output is incomplete: {error}");
            outputs.talk().line(&message);
            outputs.flush();
        }
    }
}

/// Tells people.
pub struct People {
    outputs: Outputs,
    text: Text,
    progress: Progress,
    lines: Lines,
    live: Option<Live>,
    quiet: bool,
    sharing: Sharing,
    /// Steps that have the terminal while they run.
    tty: BTreeSet<u32>,
    /// Which steps may have how many tries.
    steps: Vec<StepSetup>,
    /// The last lines of the first steps that failed.
    tails: Vec<(u32, Tail)>,
}

impl People {
    fn new(ui: &Ui, setup: Setup, mut outputs: Outputs, unicode: bool) -> Self {
        let face = outputs.talk().face;
        let text = Text {
            style: Style::new(face.color, unicode),
            build: setup.build,
        };
        let live = (ui.live && !ui.quiet).then(|| Live::new(text, setup.sharing));
        let mut lines = Lines::new(setup.sharing, unicode, live.is_some());
        let mut tty = BTreeSet::new();
        for (place, step) in (0..).zip(&setup.steps) {
            if step.tty {
                tty.insert(place);
                lines.has_terminal(place);
            }
            if !step.color {
                lines.is_colorless(place);
            }
        }
        Self {
            outputs,
            text,
            progress: Progress::default(),
            lines,
            live,
            quiet: ui.quiet,
            sharing: setup.sharing,
            tty,
            steps: setup.steps,
            tails: Vec::new(),
        }
    }

    fn record(&mut self, now: Monotonic, record: &Record<'_>) {
        self.progress.heard(record.step, now);
        let label = self
            .progress
            .step(record.step)
            .map_or("", |step| step.label.as_str());
        self.lines.record(&mut self.outputs, now, label, record);
        self.write_what_is_full(now);
    }

    fn whole_lines(&mut self, now: Monotonic, lines: &Record<'_>) -> bool {
        let taken = self.lines.whole_lines(&mut self.outputs, lines);
        if taken {
            self.progress.heard(lines.step, now);
            self.write_what_is_full(now);
        }
        taken
    }

    fn write_what_is_full(&mut self, now: Monotonic) {
        if self.live.is_none() {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let sink = self.outputs.sink(stream);
                if sink.is_full() {
                    sink.flush();
                }
            }
        } else {
            if let Some(data) = self.outputs.data()
                && data.is_full()
            {
                data.flush();
            }
            if self.outputs.talk().is_full() {
                self.show(now);
            }
        }
    }

    fn event(&mut self, now: Now, event: &Event) {
        self.progress.apply(now, event);
        match event {
            Event::BuildStarted(_) => {
                let labels = self.progress.steps.iter().map(|step| step.label.as_str());
                self.lines.align(labels, self.outputs.columns());
                if let Some(about) = &self.progress.about {
                    self.say(self.text.build_started(about));
                }
            }
            Event::StepStarted { step, r#try } => self.step_started(step, *r#try),
            Event::TryFinished { .. } => self.try_finished(event),
            Event::StepStopping {
                step, why, signal, ..
            } if why.ends_with("timeout") && why != "build-timeout" => {
                self.say(
                    self.text
                        .stopping(&words(step), &words(why), &words(signal)),
                );
            }
            Event::StepFinished { step, outcome, .. } => self.step_finished(step, *outcome),
            Event::Warning { message } => self.say(self.text.warning(&words(message))),
            Event::BuildCancelling { reason } => {
                self.say(self.text.cancelling(&words(reason), self.live.is_some()))
            }
            Event::BuildPaused {} => self.set_away(true),
            Event::BuildResumed {} => self.set_away(false),
            Event::BuildFinished { outcome, .. } => self.build_finished(*outcome),
            Event::StepStopping { .. }
            | Event::StreamOpened { .. }
            | Event::Log { .. }
            // The log has it as a line.
            | Event::Annotation(_)
            | Event::Unknown => {}
        }
        match event {
            // After these somebody else has the terminal, or the program ends.
            Event::BuildPaused {} | Event::BuildResumed {} | Event::BuildFinished { .. } => {
                self.show_now(now.mono)
            }
            Event::StepStarted { step, .. }
                if self
                    .progress
                    .place(step)
                    .is_some_and(|place| self.tty.contains(&place)) =>
            {
                self.show_now(now.mono);
            }
            Event::StreamOpened { .. }
            | Event::BuildStarted(_)
            | Event::StepStarted { .. }
            | Event::StepStopping { .. }
            | Event::TryFinished { .. }
            | Event::StepFinished { .. }
            | Event::Log { .. }
            | Event::Annotation(_)
            | Event::Warning { .. }
            | Event::BuildCancelling { .. }
            | Event::Unknown => self.show(now.mono),
        }
    }

    fn step_started(&mut self, label: &str, r#try: u32) {
        // Where lines say at the bottom what runs, a line for each start would only make noise.
        if self.live.is_some() && self.sharing == Sharing::Labelled {
            return;
        }
        let Some(place) = self.progress.place(label) else {
            return;
        };
        let steps = self.progress.steps.len();
        self.say(self.text.step_started(place, steps, &words(label), r#try));
    }

    fn try_finished(&mut self, event: &Event) {
        let Event::TryFinished {
            step: label,
            r#try,
            exit,
            retry_after_us,
            left_running,
            ..
        } = event
        else {
            return;
        };
        let place = self.progress.place(label);
        let setup = place.and_then(|place| self.steps.get(place as usize).copied());
        let label = words(label);
        if *left_running {
            let survivors = setup.unwrap_or_default().survivors;
            self.say(self.text.left_running(&label, survivors));
        }
        if let Some(after) = retry_after_us {
            let tries = setup.map(|setup| setup.tries);
            let after = Duration::from_micros(*after);
            self.say(
                self.text
                    .trying_again(&label, exit, after, r#try + 1, tries),
            );
        }
    }

    fn step_finished(&mut self, label: &str, outcome: StepOutcome) {
        let Some(place) = self.progress.place(label) else {
            return;
        };
        let tail = self.lines.finish_step(&mut self.outputs, place);
        let step = &self.progress.steps[place as usize];
        let Some(done) = step.done() else { return };
        let failed = self.progress.failed.last() == Some(&place);
        let said = match outcome {
            StepOutcome::Failed | StepOutcome::Errored => failed || !self.quiet,
            // Only counted: a failure near the beginning of a large build skips thousands.
            StepOutcome::Skipped => !self.quiet && self.live.is_none(),
            StepOutcome::Succeeded | StepOutcome::Cancelled => !self.quiet,
        };
        if said {
            let line = self.text.step_finished(step, done);
            self.outputs.talk().line(&line);
        }
        if failed && self.tails.len() < TAILS && !tail.is_empty() {
            self.tails.push((place, tail));
        }
    }

    fn build_finished(&mut self, outcome: Outcome) {
        self.lines.finish(&mut self.outputs);
        self.set_away(true);
        if self.sharing == Sharing::Labelled {
            for (place, tail) in std::mem::take(&mut self.tails) {
                self.show_tail(place, &tail);
            }
        }
        if !self.quiet || outcome != Outcome::Succeeded {
            let line = self.text.build_finished(&self.progress);
            self.outputs.talk().line(&line);
        }
    }

    /// The last lines of a step that failed; between those of others they are hard to find.
    fn show_tail(&mut self, place: u32, tail: &Tail) {
        let step = &self.progress.steps[place as usize];
        let Some(done) = step.done() else { return };
        let (lines, count, all) = tail.last();
        let talk = self.outputs.talk();
        talk.line("");
        talk.line(&self.text.tail_begins(&step.label, count, all));
        talk.buffer.extend_from_slice(lines);
        let columns = talk.size().columns;
        talk.line(&self.text.tail_ends(step, done, columns));
        talk.line("");
    }

    fn say(&mut self, line: String) {
        if !self.quiet {
            self.outputs.talk().line(&line);
        }
    }

    fn set_away(&mut self, away: bool) {
        if let Some(live) = &mut self.live {
            live.away = away;
        }
    }

    /// Whether a step has the terminal at this moment.
    fn is_suspended(&self) -> bool {
        !self.tty.is_empty()
            && self.progress.active.iter().any(|place| {
                let runs = |place| {
                    matches!(
                        self.progress.step(place).map(|step| &step.state),
                        Some(State::Running { .. })
                    )
                };
                self.tty.contains(place) && runs(*place)
            })
    }

    /// Writes what was collected, soon.
    fn show(&mut self, now: Monotonic) {
        let suspended = self.is_suspended();
        match &mut self.live {
            None => self.outputs.flush(),
            Some(live) => {
                if let Some(data) = self.outputs.data() {
                    data.flush();
                }
                live.frame(self.outputs.talk(), &self.progress, suspended, now);
            }
        }
    }

    /// Writes what was collected, at once.
    fn show_now(&mut self, now: Monotonic) {
        let suspended = self.is_suspended();
        if let Some(data) = self.outputs.data() {
            data.flush();
        }
        match &mut self.live {
            None => self.outputs.flush(),
            Some(live) => live.frame_now(self.outputs.talk(), &self.progress, suspended, now),
        }
    }

    fn next_tick(&self, now: Monotonic) -> Option<Monotonic> {
        let live = self.live.as_ref();
        let frame = live.and_then(|live| live.next_frame(&self.progress, now));
        [self.lines.next_expiry(), frame]
            .into_iter()
            .flatten()
            .min()
    }

    fn tick(&mut self, now: Monotonic) {
        self.lines.expire(&mut self.outputs, now);
        self.show_now(now);
    }

    /// Leaves the terminal as it should be.
    fn leave(&mut self, now: Monotonic) {
        self.lines.finish(&mut self.outputs);
        self.set_away(true);
        self.show_now(now);
    }
}

#[cfg(test)]
mod tests;
