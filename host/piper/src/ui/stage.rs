//! A build that is only played, for tests: events and records go to a reporter, and what it writes is kept.

use super::{
    ColorChoice, Face, OutputFormat, Ui,
    lines::Sharing,
    output::{Outputs, Sink, Size, fake::Fake},
    reporter::{Reporter, Setup, StepSetup},
};
use piper_core::{
    id::BuildId,
    log::{Marks, Record},
    time::{Monotonic, Now, Timestamp},
    wire::v1::{BuildStarted, Counts, Event, Exit, Outcome, PlannedStep, StepOutcome},
};
use std::{collections::HashMap, time::Duration};

/// 2026-01-02T03:04:05Z.
const EPOCH: Timestamp = Timestamp(1_767_323_045_000_000);

pub(crate) fn build() -> BuildId {
    BuildId::parse("bcdfghjklmnpqrst").unwrap()
}

/// How a stage is set up.
pub(crate) struct Stage {
    pub(crate) out: Fake,
    pub(crate) err: Fake,
    pub(crate) reporter: Reporter,
    pub(crate) time: Duration,
    /// Everything that was told, for `show`.
    pub(crate) events: Vec<(Timestamp, Event)>,
    places: HashMap<String, u32>,
    counts: Counts,
    seq: u64,
}

/// What the streams are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Two pipes.
    Pipes,
    /// One terminal.
    Terminal(usize, usize),
    /// A pipe for the data, a terminal for the talk.
    DataInPipe(usize, usize),
    /// Two pipes, for a program.
    Json,
}

impl Stage {
    pub(crate) fn new(scene: Scene, sharing: Sharing, steps: Vec<StepSetup>) -> Self {
        Self::with(scene, sharing, steps, |_| {})
    }

    pub(crate) fn with(
        scene: Scene,
        sharing: Sharing,
        steps: Vec<StepSetup>,
        adjust: impl FnOnce(&mut Ui),
    ) -> Self {
        let face = |terminal| Face {
            terminal,
            color: terminal,
        };
        let (out, err) = (Fake::default(), Fake::default());
        let (size, out_face, err_face) = match scene {
            Scene::Pipes | Scene::Json => (None, face(false), face(false)),
            Scene::Terminal(columns, rows) => {
                (Some(Size { columns, rows }), face(true), face(true))
            }
            Scene::DataInPipe(columns, rows) => {
                (Some(Size { columns, rows }), face(false), face(true))
            }
        };
        out.size.set(size);
        err.size.set(size);
        let mut ui = Ui::new(ColorChoice::Never, OutputFormat::Text, false, false);
        ui.format = if scene == Scene::Json {
            OutputFormat::Json
        } else {
            OutputFormat::Text
        };
        ui.live = err_face.terminal;
        (ui.out, ui.err) = (out_face, err_face);
        adjust(&mut ui);
        let joined = matches!(scene, Scene::Terminal(..));
        let outputs = Outputs::new(
            Sink::new(Box::new(out.clone()), ui.out),
            (!joined).then(|| Sink::new(Box::new(err.clone()), ui.err)),
        );
        let setup = Setup {
            build: build(),
            attempt: 1,
            sharing,
            piper: "0.1.0".to_owned(),
            steps,
        };
        Self {
            out,
            err,
            reporter: Reporter::new(&ui, setup, EPOCH, outputs, true),
            time: Duration::ZERO,
            events: Vec::new(),
            places: HashMap::new(),
            counts: Counts::default(),
            seq: 0,
        }
    }

    pub(crate) fn mono(&self) -> Monotonic {
        // Not from 0, so that nobody takes the one for the other.
        Monotonic(Duration::from_secs(1000) + self.time)
    }

    /// Lets time pass, and ticks as often as the reporter asks for.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.mono() + time;
        while let Some(next) = self
            .reporter
            .next_tick(self.mono())
            .filter(|next| *next <= end)
        {
            self.time = (next.0 - Duration::from_secs(1000)).max(self.time);
            self.reporter.tick(self.mono());
        }
        self.time = end.0 - Duration::from_secs(1000);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let wall = EPOCH + self.time;
        let mono = self.mono();
        self.reporter.event(Now { wall, mono }, &event);
        self.events.push((wall, event));
    }

    pub(crate) fn begin(&mut self, steps: &[(&str, &str)]) {
        let labels = steps.iter().map(|(label, _)| (*label).to_owned());
        self.places = labels.zip(0..).collect();
        let planned = |(label, command): &(&str, &str)| PlannedStep {
            step: (*label).to_owned(),
            command: (*command).to_owned(),
            waits_for: Vec::new(),
        };
        self.tell(Event::BuildStarted(Box::new(BuildStarted {
            piper: "0.1.0".to_owned(),
            project: "hello".to_owned(),
            root: "/src/hello".to_owned(),
            target: "build".to_owned(),
            target_is_step: false,
            cell: [].into(),
            environment: "local".to_owned(),
            revision: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            version: Some("1.2.0".to_owned()),
            params: [("profile".to_owned(), "debug".to_owned())].into(),
            steps: steps.iter().map(planned).collect(),
            jobs: 2,
            pass_env_all: false,
        })));
    }

    pub(crate) fn start(&mut self, label: &str) {
        self.start_try(label, 1);
    }

    pub(crate) fn start_try(&mut self, label: &str, r#try: u32) {
        self.tell(Event::StepStarted {
            step: label.to_owned(),
            r#try,
        });
    }

    pub(crate) fn end_try(
        &mut self,
        label: &str,
        r#try: u32,
        exit: Exit,
        retry_after_us: Option<u64>,
    ) {
        self.tell(Event::TryFinished {
            step: label.to_owned(),
            r#try,
            exit,
            duration_us: 100_000,
            log_end: self.seq,
            retry_after_us,
            left_running: false,
        });
    }

    pub(crate) fn pass(&mut self, label: &str) {
        self.finish(label, StepOutcome::Succeeded, Some(Exit::Status(0)), None);
    }

    pub(crate) fn fail(&mut self, label: &str, exit: Exit) {
        self.finish(label, StepOutcome::Failed, Some(exit), None);
    }

    pub(crate) fn skip(&mut self, label: &str, reason: &str) {
        self.finish(label, StepOutcome::Skipped, None, Some(reason));
    }

    pub(crate) fn finish(
        &mut self,
        label: &str,
        outcome: StepOutcome,
        exit: Option<Exit>,
        reason: Option<&str>,
    ) {
        let tries = u32::from(exit.is_some());
        if let Some(exit) = exit.clone() {
            self.end_try(label, 1, exit, None);
        }
        self.finish_with(Event::StepFinished {
            step: label.to_owned(),
            outcome,
            reason: reason.map(str::to_owned),
            exit,
            tries,
            flaky: false,
            allowed: false,
            duration_us: 1_200_000,
        });
    }

    pub(crate) fn finish_with(&mut self, event: Event) {
        let Event::StepFinished {
            outcome,
            allowed,
            flaky,
            ..
        } = &event
        else {
            panic!("only a step finishes here");
        };
        match outcome {
            StepOutcome::Succeeded => self.counts.succeeded += 1,
            StepOutcome::Failed if *allowed => self.counts.allowed += 1,
            StepOutcome::Failed => self.counts.failed += 1,
            StepOutcome::Errored => self.counts.errored += 1,
            StepOutcome::Skipped => self.counts.skipped += 1,
            StepOutcome::Cancelled => self.counts.cancelled += 1,
        }
        self.counts.flaky += u32::from(*flaky);
        self.tell(event);
    }

    pub(crate) fn end(&mut self, outcome: Outcome, reason: Option<&str>) {
        self.tell(Event::BuildFinished {
            outcome,
            reason: reason.map(str::to_owned),
            duration_us: self.time.as_micros() as u64,
            counts: self.counts,
            log_end: self.seq,
        });
    }

    pub(crate) fn record(&mut self, label: &str, r#try: u32, marks: Marks, text: &[u8]) {
        let step = self.places[label];
        let record = Record {
            seq: self.seq,
            at: EPOCH + self.time,
            step,
            r#try,
            marks,
            text,
        };
        self.seq += 1;
        self.reporter.records(self.mono(), [record]);
        self.reporter.show(self.mono());
    }

    pub(crate) fn line(&mut self, label: &str, text: &str) {
        self.record(label, 1, Marks::default(), text.as_bytes());
    }

    /// Ends the reporter; what it wrote to both streams.
    pub(crate) fn close(self) -> (String, String) {
        let now = self.mono();
        self.reporter.finish(now);
        (self.out.text(), self.err.text())
    }
}
