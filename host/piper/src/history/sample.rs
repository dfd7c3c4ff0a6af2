//! Builds for tests: a place in a scratch folder, and files in it as a running piper writes them.

use super::Place;
use piper_core::{
    id::{BuildId, StepIx},
    log::Stream,
    record::{BuildEnd, BuildSummary},
    time::Timestamp,
    wire::{
        path::to_text,
        v1::{BuildStarted, Counts, Event, Exit, Line, Outcome, PlannedStep, StepOutcome},
    },
};
use piper_engine::logs::{LogHandle, LogOptions, LogWriter, PlogReader};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, thread, time::Duration};
use tempfile::TempDir;

/// An empty place that was made safe.
pub(crate) fn place() -> (TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.prepare().unwrap();
    (folder, place)
}

/// The `n`th build, created `n` seconds after the epoch.
pub(crate) fn build(n: u64, root: &str) -> BuildSummary {
    BuildSummary {
        id: BuildId::from_random(u128::from(n)),
        root: root.into(),
        project: "hello".to_owned(),
        target: "build".to_owned(),
        cell: String::new(),
        environment: "local".to_owned(),
        revision: Some("0123456789abcdef".to_owned()),
        version: None,
        created: Timestamp(n * 1_000_000),
        end: None,
    }
}

/// How it ended.
pub(crate) fn end(outcome: Outcome) -> BuildEnd {
    BuildEnd {
        outcome,
        reason: None,
        duration: Duration::from_secs(1),
        size: 1,
    }
}

/// A build that writes its file: step `unit` prints `lines` lines in each of two tries, `lint` prints one.
pub(crate) struct Running {
    build: BuildSummary,
    seq: u64,
    handle: LogHandle,
    _writer: LogWriter,
}

impl Running {
    pub(crate) fn begin(place: &Place, build: &BuildSummary, lines: u64) -> Self {
        let options = LogOptions {
            file: Some(place.file(build.id)),
            build: build.id,
            attempt: 1,
            masker: None,
            warn: Arc::new(|warning| panic!("{warning}")),
        };
        let (mut writer, handle) = piper_engine::logs::start(options);
        handle.keep_up();
        let at = build.created;
        for (step, r#try, label, lines) in [
            (0, 1, "unit", lines),
            (0, 2, "unit", lines),
            (1, 1, "lint[os=a/b]", 1),
        ] {
            let source = writer.register(StepIx(step), r#try, label);
            for n in 0..lines {
                let text = format!("{label} try {try} line {n}\n");
                writer.append(source, Stream::Stdout, text.as_bytes(), at);
            }
            writer.append(source, Stream::Stderr, b"a \x1b[31mbad\x1b[2J word", at);
            writer.close(source, Stream::Stdout, at);
            writer.close(source, Stream::Stderr, at);
        }
        writer.publish();
        let mut running = Self {
            build: build.clone(),
            seq: 0,
            handle,
            _writer: writer,
        };
        running.tell();
        running.wait(&place.file(build.id));
        running
    }

    fn tell(&mut self) {
        let step = |step: &str| PlannedStep {
            step: step.to_owned(),
            command: "true".to_owned(),
            waits_for: Vec::new(),
        };
        let build = self.build.clone();
        self.event(Event::BuildStarted(Box::new(BuildStarted {
            piper: "0.0.0".to_owned(),
            project: build.project,
            root: to_text(&build.root).into_owned(),
            target: build.target,
            target_is_step: false,
            cell: BTreeMap::new(),
            environment: build.environment,
            revision: build.revision,
            version: build.version,
            params: BTreeMap::new(),
            steps: vec![step("unit"), step("lint[os=a/b]")],
            jobs: 1,
            pass_env_all: false,
        })));
        for (r#try, exit) in [(1, Exit::Status(1)), (2, Exit::Status(0))] {
            self.event(Event::StepStarted {
                step: "unit".to_owned(),
                r#try,
            });
            self.event(Event::TryFinished {
                step: "unit".to_owned(),
                r#try,
                exit,
                duration_us: 5,
                log_end: 0,
                retry_after_us: None,
                left_running: false,
            });
        }
        self.event(Event::StepFinished {
            step: "unit".to_owned(),
            outcome: StepOutcome::Succeeded,
            reason: None,
            exit: None,
            tries: 2,
            flaky: true,
            allowed: false,
            duration_us: 10,
        });
    }

    fn event(&mut self, event: Event) {
        let line = Line {
            v: 1,
            seq: self.seq,
            at: self.build.created.to_string(),
            build: self.build.id.to_string(),
            attempt: 1,
            event,
        };
        self.handle.event(&serde_json::to_vec(&line).unwrap());
        self.seq += 1;
    }

    /// Ends the build, and says what the index should know of it.
    pub(crate) fn finish(mut self, outcome: Outcome) -> BuildSummary {
        self.event(Event::BuildFinished {
            outcome,
            reason: None,
            duration_us: 1_000_000,
            counts: Counts::default(),
            log_end: 0,
        });
        drop(self._writer);
        let size = self.handle.finish().bytes;
        BuildSummary {
            end: Some(BuildEnd {
                size,
                ..end(outcome)
            }),
            ..self.build
        }
    }

    /// Until all events are in the file: the first one is at once, the others soon.
    fn wait(&self, path: &Path) {
        let told = || Some(PlogReader::open(path).ok()?.events().count() as u64);
        while told() != Some(self.seq) {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Leaves the file as a piper does that is killed: whole up to here, without an end, and not locked.
    pub(crate) fn kill(self, place: &Place) {
        let path = place.file(self.build.id);
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        drop(self.finish(Outcome::Failed));
        fs::rename(&copy, &path).unwrap();
    }
}
