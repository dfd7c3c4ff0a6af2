//! `piper show`: one build, or one step of it, from what was recorded.

use super::{CliError, GlobalArgs, past, quote};
use crate::{
    exit_code,
    history::LocalHistory,
    ui::{
        OutputFormat, Ui,
        ndjson::Ndjson,
        output::Outputs,
        sanitize::words,
        show,
        style::{Paint, Style},
        text::describe,
    },
};
use piper_core::{
    address::StepRef,
    codes::UNKNOWN_STEP_ARGUMENT,
    problem::Problem,
    record::BuildSummary,
    time::{Human, Timestamp},
    wire::v1::{Event, Line},
};
use piper_engine::{
    clock,
    logs::{PlogReader, ReadError},
};
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
    let build = past::find(&history, &address, past::root(global).as_deref())?;
    let reader = open(&history, &build)?;
    let events = events(&reader, ui)?;
    let labels = match &address.step {
        Some(step) => matching(&build, labels(&events), &step.label)?,
        None => Vec::new(),
    };
    if let Some(r#try) = address.step.as_ref().and_then(|step| step.r#try) {
        check_try(&build, &events, &labels, r#try)?;
    }
    let wanted = |event: &Event| match &address.step {
        None => true,
        Some(step) => concerns(event, &labels, step.r#try),
    };
    if ui.format == OutputFormat::Json {
        let outputs = Outputs::of_stdout(ui.out)?;
        let mut stream = Ndjson::new(outputs, build.id, 1, env!("CARGO_PKG_VERSION"), now);
        for (at, event) in events.iter().filter(|(_, event)| wanted(event)) {
            stream.event(*at, event);
        }
        return Ok(exit_code::SUCCESS);
    }
    let style = past::style(ui.out);
    let page = match &address.step {
        None => {
            let file = history.file(build.id);
            show::render(
                build.id,
                events.iter().map(|(at, event)| (*at, event)),
                Some(&file),
                past::moment,
                style,
            )
        }
        Some(step) => {
            let wanted = events.iter().filter(|(_, event)| wanted(event));
            tries(&build, step, wanted, style)
        }
    };
    ui.print(page.trim_end())?;
    Ok(exit_code::SUCCESS)
}

/// Opens a build's file.
pub(super) fn open(history: &LocalHistory, build: &BuildSummary) -> Result<PlogReader, CliError> {
    let path = history.file(build.id);
    PlogReader::open(&path).map_err(|error| {
        let doing = format!("could not read `{}`", path.display());
        CliError::Failed(anyhow::Error::new(error).context(doing))
    })
}

/// A build's events with their times; what is damaged is said.
pub(super) fn events(reader: &PlogReader, ui: &Ui) -> Result<Vec<(Timestamp, Event)>, CliError> {
    let mut events = Vec::new();
    for line in reader.events() {
        match line {
            Ok(Line { at, event, .. }) => {
                events.push((Timestamp::parse(&at).unwrap_or_default(), event));
            }
            Err(ReadError::Damage(damage)) => ui.say(&format!("warning: {damage}")),
            Err(ReadError::Io(error)) => return Err(error.into()),
        }
    }
    Ok(events)
}

/// The labels of a build's steps.
pub(super) fn labels(events: &[(Timestamp, Event)]) -> Vec<&str> {
    events
        .iter()
        .find_map(|(_, event)| match event {
            Event::BuildStarted(about) => {
                Some(about.steps.iter().map(|step| step.step.as_str()).collect())
            }
            _ => None,
        })
        .unwrap_or_default()
}

/// The labels that `wanted` means: the one that it is, or all cells of the step that it names.
pub(super) fn matching(
    build: &BuildSummary,
    labels: Vec<&str>,
    wanted: &str,
) -> Result<Vec<String>, CliError> {
    let is_cell = |label: &str| {
        label
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('['))
    };
    let found: Vec<_> = match labels.contains(&wanted) {
        true => vec![wanted.to_owned()],
        false => labels
            .iter()
            .filter(|label| is_cell(label))
            .map(|&l| l.to_owned())
            .collect(),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    let message = format!(
        "build `{}` has no step `{}`",
        build.id.short(),
        words(wanted)
    );
    let near = labels
        .iter()
        .map(|label| (strsim::osa_distance(wanted, label), label))
        .filter(|(distance, _)| *distance <= wanted.len() / 3 + 1)
        .min();
    // Enough to see what they are like; `show` has the rest.
    let some: Vec<_> = labels.iter().take(10).map(|label| words(label)).collect();
    let help = match near {
        Some((_, label)) => format!("did you mean `{}`?", words(label)),
        None => format!(
            "its steps are {}; `piper show {}` lists all",
            some.join(", "),
            build.id.short()
        ),
    };
    Err(Problem::error(UNKNOWN_STEP_ARGUMENT, message)
        .help(help)
        .into())
}

/// Whether an event is about one of these steps, and about this try if one is given.
fn concerns(event: &Event, labels: &[String], only: Option<u32>) -> bool {
    match event {
        Event::StepStarted { step, r#try, .. }
        | Event::StepStopping { step, r#try, .. }
        | Event::TryFinished { step, r#try, .. } => {
            labels.contains(step) && only.is_none_or(|only| only == *r#try)
        }
        Event::StepFinished { step, .. } => labels.contains(step),
        _ => false,
    }
}

/// Refuses a try that none of these steps had.
pub(super) fn check_try(
    build: &BuildSummary,
    events: &[(Timestamp, Event)],
    steps: &[String],
    wanted: u32,
) -> Result<(), CliError> {
    let tries = events.iter().filter_map(|(_, event)| match event {
        Event::StepStarted { step, r#try } if steps.contains(step) => Some(*r#try),
        _ => None,
    });
    let most = tries.max().unwrap_or(0);
    if (1..=most).contains(&wanted) {
        return Ok(());
    }
    let message = format!(
        "step `{}` of build `{}` has no try {wanted}",
        steps.join("`, `"),
        build.id.short()
    );
    let help = match most {
        0 => "it never started".to_owned(),
        1 => "it has one try".to_owned(),
        _ => format!("it has tries 1 to {most}"),
    };
    Err(Problem::error(UNKNOWN_STEP_ARGUMENT, message)
        .help(help)
        .into())
}

/// The tries of a step, one a line, and what to read next.
fn tries<'a>(
    build: &BuildSummary,
    address: &StepRef,
    events: impl Iterator<Item = &'a (Timestamp, Event)>,
    style: Style,
) -> String {
    let mut page = String::new();
    for (at, event) in events {
        let time = past::moment(*at);
        let line = match event {
            Event::StepStarted { step, r#try } => format!("{} try {try} began", words(step)),
            Event::StepStopping {
                step,
                r#try,
                why,
                signal,
            } => {
                format!(
                    "{} try {try} was asked to end with {signal}: {}",
                    words(step),
                    words(why)
                )
            }
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
            Event::StepFinished {
                step,
                outcome,
                reason,
                tries,
                flaky,
                allowed,
                ..
            } => {
                let outcome = format!("{outcome:?}").to_lowercase();
                let tries = match tries {
                    0 => String::new(),
                    1 => " after 1 try".to_owned(),
                    tries => format!(" after {tries} tries"),
                };
                let mut line = format!("{} {outcome}{tries}", words(step));
                for (holds, word) in [(*flaky, ", flaky"), (*allowed, ", which is allowed")] {
                    line.push_str(if holds { word } else { "" });
                }
                if let Some(reason) = reason {
                    let _ = write!(line, ": {}", words(reason));
                }
                line
            }
            _ => continue,
        };
        let _ = writeln!(page, "{}  {line}", style.paint(Paint::Dim, time));
    }
    if page.is_empty() {
        page = format!("{} has not begun\n", words(&address.to_string()));
    }
    let _ = write!(
        page,
        "its log: piper logs {}",
        quote::word(&format!(
            "{}/{}",
            build.id.short(),
            words(&address.to_string())
        ))
    );
    page
}

#[cfg(test)]
mod tests;
