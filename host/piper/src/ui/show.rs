//! A recorded build as a page for people: `piper show`.
//!
//! Made from the same events that a running build tells, so both always agree.

use super::{
    progress::{End, Progress, State, Step},
    sanitize::words,
    style::{Paint, Style, width},
    text::{Text, all_counts, describe, has_run, pointed, reason_beside, title, took},
};
use piper_core::{
    id::BuildId,
    record::BuildEnd,
    time::{Human, Monotonic, Now, Timestamp},
    wire::v1::{Annotation, Event, Level, StepOutcome},
};
use std::{fmt::Write, path::Path};

/// Labels are padded to the widest one, but not further than this: they are there to be typed, so none is cut.
const WIDEST_LABEL: usize = 64;

/// How many annotations are shown; the log and `--output json` have all.
const MOST_ANNOTATIONS: usize = 10;

/// What a page shows beside the events of its build.
#[derive(Debug)]
pub struct Page<'a> {
    /// The build.
    pub build: BuildId,
    /// How it ended, in case its events do not say so any more. A build without an end still runs or died.
    pub end: Option<&'a BuildEnd>,
    /// Whether none of its events is missing.
    pub is_whole: bool,
    /// The file that keeps it.
    pub file: Option<&'a Path>,
    /// How it looks.
    pub style: Style,
}

impl Page<'_> {
    /// Renders the recorded `events` of the build; `moment` writes a time.
    pub fn render<'a>(
        &self,
        events: impl IntoIterator<Item = (Timestamp, &'a Event)>,
        moment: impl Fn(Timestamp) -> String,
    ) -> String {
        let mut progress = Progress::default();
        let (mut warnings, mut annotations) = (Vec::new(), Vec::new());
        for (at, event) in events {
            // Recorded times never go back within a build, so they serve as both clocks.
            let mono = Monotonic(at.since(Timestamp::default()));
            progress.apply(Now { wall: at, mono }, event);
            if let Event::Warning { message } = event {
                warnings.push(words(message));
            } else if let Event::Annotation(annotation) = event {
                annotations.push(&**annotation);
            } else if let Event::TryFinished {
                step,
                retry_after_us: Some(_),
                ..
            } = event
            {
                // What was wrong before it was tried again may be wrong no more.
                annotations.retain(|annotation| annotation.step != *step);
            }
        }
        let end = progress.end.clone().or(self.end.map(End::from));
        let text = Text {
            style: self.style,
            build: self.build,
        };
        let mut page = String::new();
        self.head(&mut page, &progress, end.as_ref(), moment);
        if !progress.steps.is_empty() {
            page.push('\n');
            self.table(&mut page, &progress, end.is_some());
        }
        self.annotations(&mut page, &annotations);
        for warning in warnings {
            let _ = writeln!(page, "\n{}", text.warning(&warning));
        }
        page.push('\n');
        match (&progress.end, end) {
            (Some(_), _) => page.push_str(&text.build_finished(&progress)),
            // How many steps ended in which way is lost with the end.
            (None, Some(end)) => page.push_str(&text.verdict(&progress, &end)),
            (None, None) => {
                let _ = write!(page, "not finished ({})", all_counts(progress.counts));
            }
        }
        page.push('\n');
        page
    }

    fn head(
        &self,
        page: &mut String,
        progress: &Progress,
        end: Option<&End>,
        moment: impl Fn(Timestamp) -> String,
    ) {
        let mut row = |name: &str, value: &str| {
            let name = self.style.paint(Paint::Dim, format!("{name:<12}"));
            let _ = writeln!(page, "{name} {value}");
        };
        row("build", self.build.as_str());
        if let Some(about) = &progress.about {
            row("project", &title(about));
            row(
                if about.target_is_step {
                    "step"
                } else {
                    "pipeline"
                },
                &about.target,
            );
            row("environment", &about.environment);
            if let Some(revision) = &about.revision {
                row("revision", revision);
            }
            if !about.params.is_empty() {
                row("parameters", &about.params.join(" "));
            }
            row("started", &moment(progress.began()));
        }
        if let Some(end) = end {
            row("took", &took(end));
        }
        if let Some(file) = self.file {
            row("record", &words(&file.to_string_lossy()));
        }
    }

    fn table(&self, page: &mut String, progress: &Progress, has_ended: bool) {
        let widest = progress.steps.iter().map(|step| width(&step.label)).max();
        let pad = widest.unwrap_or(0).min(WIDEST_LABEL);
        for step in &progress.steps {
            let (paint, symbol, word) = self.standing(step, has_ended);
            let spaces = " ".repeat(pad.saturating_sub(width(&step.label)));
            let mark = self.style.paint(paint, symbol);
            let word = self.style.paint(paint, format!("{word:<9}"));
            let _ = write!(page, "{mark} {}{spaces}  {word}", step.label);
            if let Some(done) = step.done() {
                let time = match has_run(done) {
                    true => Human(done.duration).to_string(),
                    false => String::new(),
                };
                let _ = write!(page, "  {time:>7}");
                if done.tries > 1 {
                    let _ = write!(page, "  {} tries", done.tries);
                }
                let told = matches!(done.outcome, StepOutcome::Failed | StepOutcome::Errored);
                if let Some(exit) = done.exit.as_ref().filter(|_| told) {
                    let _ = write!(page, "  {}", describe(exit));
                }
                if let Some(reason) = reason_beside(done.exit.as_ref(), done.reason.as_deref()) {
                    let _ = write!(page, "  {reason}");
                }
            }
            let end = page.trim_end().len();
            page.truncate(end);
            page.push('\n');
        }
    }

    /// What steps point at: how much of it, and the first of what matters most, each in one line.
    fn annotations(&self, page: &mut String, annotations: &[&Annotation]) {
        if annotations.is_empty() {
            return;
        }
        let of = |level| annotations.iter().filter(move |one| one.level == level);
        let levels = [Level::Error, Level::Warning, Level::Notice];
        let counts = levels.map(|level| match (of(level).count(), level.as_str()) {
            (0, _) => String::new(),
            (1, word) => format!("1 {word}"),
            (count, word) => format!("{count} {word}s"),
        });
        let counts: Vec<_> = counts
            .into_iter()
            .filter(|count| !count.is_empty())
            .collect();
        let _ = writeln!(page, "\nannotations: {}", counts.join(", "));
        for annotation in levels.into_iter().flat_map(of).take(MOST_ANNOTATIONS) {
            let line = pointed(annotation);
            let first = line.lines().next().unwrap_or_default();
            let _ = writeln!(page, "  {}: {}", words(&annotation.step), words(first));
        }
        if annotations.len() > MOST_ANNOTATIONS {
            let more = annotations.len() - MOST_ANNOTATIONS;
            let _ = writeln!(
                page,
                "  and {more} more: piper show --output json {}",
                self.build.short()
            );
        }
    }

    /// How a step stands, as a symbol and a word. One that runs although its build has ended was interrupted together with piper,
    /// unless what is missing said what became of it.
    fn standing(&self, step: &Step, has_ended: bool) -> (Paint, &'static str, &'static str) {
        let symbols = self.style.symbols;
        match &step.state {
            State::Waiting | State::Running { .. } | State::BackingOff { .. }
                if has_ended && !self.is_whole =>
            {
                (Paint::Dim, symbols.skip, "unknown")
            }
            State::Waiting if has_ended => (Paint::Dim, symbols.skip, "not begun"),
            State::Waiting => (Paint::Dim, symbols.skip, "waiting"),
            State::Running { .. } | State::BackingOff { .. } if has_ended => {
                (Paint::Bad, symbols.fail, "interrupted")
            }
            State::Running { .. } | State::BackingOff { .. } => {
                (Paint::Strong, symbols.dot, "running")
            }
            State::Done(done) => match done.outcome {
                StepOutcome::Succeeded if done.flaky => (Paint::Odd, symbols.pass, "flaky"),
                StepOutcome::Succeeded => (Paint::Good, symbols.pass, "passed"),
                StepOutcome::Failed if done.allowed => (Paint::Odd, symbols.warn, "allowed"),
                StepOutcome::Failed => (Paint::Bad, symbols.fail, "failed"),
                StepOutcome::Errored => (Paint::Bad, symbols.fail, "errored"),
                StepOutcome::Skipped => (Paint::Dim, symbols.skip, "skipped"),
                StepOutcome::Cancelled => (Paint::Dim, symbols.skip, "cancelled"),
            },
        }
    }
}
