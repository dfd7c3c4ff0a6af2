//! `piper show`: one build, or one step of it, from what was recorded.

use super::{CliError, GlobalArgs, kept::Kept, past, quote};
use crate::{
    exit_code,
    ui::{
        OutputFormat, Ui,
        ndjson::Ndjson,
        output::Outputs,
        sanitize::words,
        show::Page,
        style::{Paint, Style},
        text::{describe, pointed, reason_beside},
    },
};
use piper_core::{
    address::StepRef,
    record::BuildSummary,
    time::{Human, Timestamp},
    wire::v1::{Event, Exit, StepOutcome},
};
use piper_engine::clock;
use std::{fmt::Write, time::Duration};

/// Show a build and its steps, or the tries of one step
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Which build or step: BUILD[/STEP[#TRY]], where BUILD is the beginning of an id, @ (the newest here, also if nothing is given), @PIPELINE or @failed
    #[arg(value_name = "BUILD")]
    address: Option<String>,
}

/// Shows a build.
///
/// # Errors
///
/// When there is no such build or step, or its file cannot be read.
pub fn run(args: &ShowArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let now = clock::wall();
    let address = past::address(args.address.as_deref())?;
    let history = past::open(ui, now)?;
    let build = past::find(&history, &address, past::root(global)?.as_deref())?;
    let kept = Kept::open(&history, build, ui)?;
    let labels = match &address.step {
        Some(step) => kept.matching(&step.label)?,
        None => Vec::new(),
    };
    if let Some(r#try) = address.step.as_ref().and_then(|step| step.r#try) {
        kept.check_try(&labels, r#try)?;
    }
    let wanted = |event: &Event| match &address.step {
        None => true,
        Some(step) => concerns(event, &labels, step.r#try),
    };
    if ui.format == OutputFormat::Json {
        let outputs = Outputs::of_stdout(ui.out)?;
        let mut stream = Ndjson::new(outputs, kept.build.id, 1, env!("CARGO_PKG_VERSION"), now);
        for (at, event) in kept.events.iter().filter(|(_, event)| wanted(event)) {
            stream.event(*at, event);
        }
        return Ok(exit_code::SUCCESS);
    }
    let style = past::style(ui.out);
    let page = match &address.step {
        None => Page {
            build: kept.build.id,
            end: kept.build.end.as_ref(),
            is_whole: kept.is_whole,
            file: Some(&kept.path),
            style,
        }
        .render(kept.story(), past::moment),
        Some(step) => {
            let wanted = kept.events.iter().filter(|(_, event)| wanted(event));
            tries(&kept.build, step, wanted, style)
        }
    };
    ui.print(page.trim_end())?;
    Ok(exit_code::SUCCESS)
}

/// Whether an event is about one of these steps, and about this try if one is given.
fn concerns(event: &Event, labels: &[String], only: Option<u32>) -> bool {
    match event {
        Event::StepStarted { step, r#try, .. }
        | Event::StepStopping { step, r#try, .. }
        | Event::TryFinished { step, r#try, .. } => {
            labels.contains(step) && only.is_none_or(|only| only == *r#try)
        }
        Event::Annotation(annotation) => {
            labels.contains(&annotation.step) && only.is_none_or(|only| only == annotation.r#try)
        }
        Event::StepFinished { step, .. } => labels.contains(step),
        Event::StreamOpened { .. }
        | Event::BuildStarted(_)
        | Event::BuildPaused {}
        | Event::BuildCancelling { .. }
        | Event::Warning { .. }
        | Event::BuildResumed {}
        | Event::BuildFinished { .. }
        | Event::Log { .. }
        | Event::Unknown => false,
    }
}

/// The tries of a step, one a line, and what to read next.
fn tries<'a>(
    build: &BuildSummary,
    address: &StepRef,
    events: impl Iterator<Item = &'a (Timestamp, Event)>,
    style: Style,
) -> String {
    let mut page = String::new();
    let mut has_log = false;
    let mut events = events.peekable();
    while let Some((at, event)) = events.next() {
        // A try that could not be started is told as one thing.
        let came_to_nothing = events.peek().is_some_and(|(_, next)| {
            matches!((event, next),
                (Event::StepStarted { step, r#try }, Event::TryFinished { step: own, r#try: ended, exit: Exit::NotStarted(_), .. })
                if (step, r#try) == (own, ended))
        });
        if came_to_nothing {
            continue;
        }
        has_log |= matches!(event, Event::StepStarted { .. });
        let time = style.paint(Paint::Dim, past::moment(*at));
        if let Some(line) = told(event) {
            let _ = writeln!(page, "{time}  {line}");
        }
    }
    let name = words(&address.to_string()).into_owned();
    if page.is_empty() {
        page = format!("{name} has not begun\n");
    }
    if has_log {
        let log = format!("{}/{name}", build.id.short());
        let _ = write!(page, "its log: piper logs {}", quote::word(&log));
    }
    page
}

/// An event of a step as a sentence.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepStarted { step, r#try } => format!("{} try {try} began", words(step)),
        Event::StepStopping {
            step,
            r#try,
            why,
            signal,
        } => format!(
            "{} try {try} was asked to end with {signal}: {}",
            words(step),
            words(why)
        ),
        Event::TryFinished {
            step,
            r#try,
            exit: exit @ Exit::NotStarted(_),
            ..
        } => format!("{} try {try} {}", words(step), words(&describe(exit))),
        Event::TryFinished {
            step,
            r#try,
            exit,
            duration_us,
            left_running,
            ..
        } => {
            let took = Human(Duration::from_micros(*duration_us));
            let left = if *left_running {
                ", and left processes behind"
            } else {
                ""
            };
            format!(
                "{} try {try} ended after {took}: {}{left}",
                words(step),
                words(&describe(exit))
            )
        }
        Event::StepFinished { .. } => concluded(event)?,
        Event::Annotation(annotation) => format!(
            "{} try {}: {}",
            words(&annotation.step),
            annotation.r#try,
            words(&pointed(annotation))
        ),
        Event::StreamOpened { .. }
        | Event::BuildStarted(_)
        | Event::BuildPaused {}
        | Event::BuildCancelling { .. }
        | Event::Warning { .. }
        | Event::BuildResumed {}
        | Event::BuildFinished { .. }
        | Event::Log { .. }
        | Event::Unknown => return None,
    })
}

/// What became of a step, after all that was said of its tries.
fn concluded(event: &Event) -> Option<String> {
    let Event::StepFinished {
        step,
        outcome,
        reason,
        exit,
        tries,
        flaky,
        allowed,
        ..
    } = event
    else {
        return None;
    };
    let verb = match outcome {
        StepOutcome::Succeeded => "passed",
        StepOutcome::Failed => "failed",
        StepOutcome::Errored if matches!(exit, Some(Exit::Errored(_))) => "broke",
        StepOutcome::Errored => "could not be run",
        StepOutcome::Skipped => "was skipped",
        StepOutcome::Cancelled => "was cancelled",
    };
    let mut line = format!("{} {verb}", words(step));
    match (flaky, tries) {
        (true, tries) => {
            let _ = write!(line, " on try {tries} (flaky)");
        }
        (false, 0 | 1) => {}
        (false, tries) => {
            let _ = write!(line, " after {tries} tries");
        }
    }
    if *allowed {
        line.push_str(", which is allowed");
    }
    if let Some(reason) = reason_beside(exit.as_ref(), reason.as_deref()) {
        let _ = write!(line, ": {}", words(reason));
    }
    Some(line)
}

#[cfg(test)]
mod tests;
