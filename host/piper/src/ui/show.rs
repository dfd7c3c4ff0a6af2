//! A recorded build as a page for people: `piper show`.
//!
//! Made from the same events that a running build tells, so both always agree.

use super::{
    progress::{Progress, State, Step},
    style::{Paint, Style, width},
    text::{Text, all_counts, describe, title},
};
use piper_core::{
    id::BuildId,
    time::{Human, Monotonic, Now, Timestamp},
    wire::v1::{Event, StepOutcome},
};
use std::{fmt::Write, path::Path};

/// Renders the recorded `events` of a build; `log` is the file that keeps it, `moment` writes a time. A build without an end still runs or died.
pub fn render<'a>(
    build: BuildId,
    events: impl IntoIterator<Item = (Timestamp, &'a Event)>,
    log: Option<&Path>,
    moment: impl Fn(Timestamp) -> String,
    style: Style,
) -> String {
    let mut progress = Progress::default();
    let mut warnings = Vec::new();
    for (at, event) in events {
        // Recorded times never go back within a build, so they serve as both clocks.
        let mono = Monotonic(at.since(Timestamp::default()));
        progress.apply(Now { wall: at, mono }, event);
        if let Event::Warning { message } = event {
            warnings.push(super::sanitize::words(message));
        }
    }
    let text = Text { style, build };
    let mut page = String::new();
    head(&mut page, &text, &progress, log, moment);
    if !progress.steps.is_empty() {
        page.push('\n');
        table(&mut page, &text, &progress);
    }
    for warning in warnings {
        let _ = writeln!(page, "\n{}", text.warning(&warning));
    }
    page.push('\n');
    match &progress.end {
        Some(_) => page.push_str(&text.build_finished(&progress)),
        None => {
            let _ = write!(page, "not finished ({})", all_counts(progress.counts));
        }
    }
    page.push('\n');
    page
}

fn head(
    page: &mut String,
    text: &Text,
    progress: &Progress,
    log: Option<&Path>,
    moment: impl Fn(Timestamp) -> String,
) {
    let mut row = |name: &str, value: &str| {
        let name = text.style.paint(Paint::Dim, format!("{name:<12}"));
        let _ = writeln!(page, "{name} {value}");
    };
    row("build", text.build.as_str());
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
    if let Some(end) = &progress.end {
        row("took", &Human(end.duration).to_string());
    }
    if let Some(log) = log {
        row("record", &super::sanitize::words(&log.to_string_lossy()));
    }
}

/// Labels are padded to the widest one, but not further than this: they are there to be typed, so none is cut.
const WIDEST_LABEL: usize = 64;

fn table(page: &mut String, text: &Text, progress: &Progress) {
    let widest = progress.steps.iter().map(|step| width(&step.label)).max();
    let pad = widest.unwrap_or(0).min(WIDEST_LABEL);
    for step in &progress.steps {
        let (paint, symbol, word) = standing(text, step, progress.end.is_some());
        let spaces = " ".repeat(pad.saturating_sub(width(&step.label)));
        let mark = text.style.paint(paint, symbol);
        let word = text.style.paint(paint, format!("{word:<9}"));
        let _ = write!(page, "{mark} {}{spaces}  {word}", step.label);
        if let Some(done) = step.done() {
            let time = match done.tries {
                0 => String::new(),
                _ => Human(done.duration).to_string(),
            };
            let _ = write!(page, "  {time:>7}");
            if done.tries > 1 {
                let _ = write!(page, "  {} tries", done.tries);
            }
            let told = matches!(done.outcome, StepOutcome::Failed | StepOutcome::Errored);
            if let Some(exit) = done.exit.as_ref().filter(|_| told) {
                let _ = write!(page, "  {}", describe(exit));
            }
            if let Some(reason) = &done.reason {
                let _ = write!(page, "  {reason}");
            }
        }
        let end = page.trim_end().len();
        page.truncate(end);
        page.push('\n');
    }
}

/// How a step stands, as a symbol and a word. One that runs although its build has ended was interrupted together with piper.
fn standing(text: &Text, step: &Step, has_ended: bool) -> (Paint, &'static str, &'static str) {
    let symbols = text.style.symbols;
    match &step.state {
        State::Waiting => (Paint::Dim, symbols.skip, "waiting"),
        State::Running { .. } | State::BackingOff { .. } if has_ended => {
            (Paint::Bad, symbols.fail, "interrupted")
        }
        State::Running { .. } | State::BackingOff { .. } => (Paint::Strong, symbols.dot, "running"),
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
