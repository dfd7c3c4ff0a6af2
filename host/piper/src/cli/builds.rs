//! `piper builds`: the builds of this project, or of this machine.

use super::{
    CliError, GlobalArgs, at_least_one,
    past::{self, ago},
};
use crate::{
    exit_code,
    history::is_end_unknown,
    ui::{
        OutputFormat, Ui,
        sanitize::words,
        style::{Paint, Style, width},
    },
};
use piper_core::{
    record::{BuildSummary, Filter, History},
    time::{Human, Timestamp},
    wire::v1::{Event, Line, Outcome},
};
use piper_engine::clock;
use serde::Serialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// List the builds of this project, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "`>1.0s` is the least that a build can have taken whose piper was killed.")]
pub struct BuildsArgs {
    /// List the builds of all projects on this machine
    #[arg(short, long)]
    all: bool,
    /// Only builds of this pipeline, or of this step by its name
    #[arg(short, long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only builds that failed
    #[arg(long)]
    failed: bool,
    /// List at most this many
    #[arg(short = 'n', long = "limit", value_name = "N", default_value = "20", value_parser = at_least_one, allow_negative_numbers = true)]
    limit: NonZeroU32,
}

/// Lists builds.
///
/// # Errors
///
/// When the history cannot be read.
pub fn run(args: &BuildsArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let now = clock::wall();
    let history = past::open(ui, now)?;
    let root = past::root(global)?.filter(|_| !args.all);
    let everywhere = root.is_none();
    let limit = args.limit.get() as usize;
    let filter = Filter {
        root,
        target: args.pipeline.clone(),
        outcome: args.failed.then_some(Outcome::Failed),
        id_prefix: None,
        // One more, to know whether there are more.
        limit: Some(limit.saturating_add(1)),
    };
    let mut builds = history
        .list(&filter)
        .map_err(|error| CliError::Failed(error.into()))?;
    let more = builds.len() > limit;
    builds.truncate(limit);
    if ui.format == OutputFormat::Json {
        let lines = (1..)
            .zip(&builds)
            .map(|(seq, build)| past::listed(build, seq, "build.listed"));
        print_json(ui, now, lines)?;
        return Ok(exit_code::SUCCESS);
    }
    if builds.is_empty() {
        ui.say(match &filter {
            Filter {
                target: None,
                outcome: None,
                ..
            } => "no builds yet: `piper exec` runs one",
            _ => "no such builds: `piper builds` lists all of this project",
        });
        return Ok(exit_code::SUCCESS);
    }
    let columns = past::columns(ui)?;
    ui.print(&table(
        &builds,
        now,
        everywhere,
        columns,
        past::style(ui.out),
    ))?;
    if more {
        ui.say(&format!(
            "there are more: `piper builds -n {}`",
            limit.saturating_mul(5)
        ));
    }
    Ok(exit_code::SUCCESS)
}

/// Prints a stream of lines after the one that opens it.
pub(super) fn print_json<T: Serialize>(
    ui: &Ui,
    now: Timestamp,
    lines: impl IntoIterator<Item = T>,
) -> Result<(), CliError> {
    let opened = Line {
        v: 1,
        seq: 0,
        at: now.to_string(),
        build: String::new(),
        attempt: 1,
        event: Event::StreamOpened {
            piper: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    let mut text = json(&opened);
    for line in lines {
        text.push('\n');
        text.push_str(&json(&line));
    }
    Ok(ui.print(&text)?)
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("texts and numbers are always JSON")
}

/// One column of the table.
struct Column {
    title: &'static str,
    cells: Vec<(Paint, String)>,
    /// Which columns go first where there is little room; those without a number stay.
    goes: Option<u8>,
}

impl Column {
    fn width(&self) -> usize {
        let widest = self.cells.iter().map(|(_, text)| width(text)).max();
        widest.unwrap_or(0).max(self.title.len())
    }
}

/// A pipeline's name gives way to the other columns, but not below this: 60 columns then hold all but those that may go first.
const NAME: usize = 20;

/// Between columns.
const GAP: usize = 2;

fn table(
    builds: &[BuildSummary],
    now: Timestamp,
    everywhere: bool,
    room: usize,
    style: Style,
) -> String {
    let column = |title, goes, cell: &dyn Fn(&BuildSummary) -> (Paint, String)| Column {
        title,
        cells: builds.iter().map(cell).collect(),
        goes,
    };
    let plain = |text: &str| (Paint::Plain, words(text).into_owned());
    let mut columns = vec![
        column("BUILD", None, &|build| {
            (Paint::Strong, build.id.short().to_owned())
        }),
        column("PROJECT", Some(1), &|build| plain(&build.project)),
        column("PIPELINE", None, &|build| plain(&target(build))),
        column("OUTCOME", None, &|build| outcome(build)),
        column("WHEN", None, &|build| {
            (Paint::Plain, ago(now, build.created))
        }),
        column("TOOK", Some(0), &|build| (Paint::Plain, took(build))),
        column("REVISION", Some(2), &|build| {
            let revision = build.revision.as_deref().unwrap_or("");
            plain(revision.get(..7).unwrap_or(revision))
        }),
        column("ENVIRONMENT", Some(3), &|build| plain(&build.environment)),
    ];
    columns.retain(|column| everywhere || column.title != "PROJECT");
    columns.retain(|column| column.cells.iter().any(|(_, text)| !text.is_empty()));
    let total = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| column.width() + GAP)
            .sum::<usize>()
            - GAP
    };
    shorten(&mut columns, total, room, NAME, style);
    while total(&columns) > room {
        let dropped = (0..columns.len()).filter(|&at| columns[at].goes.is_some());
        let Some(dropped) = dropped.max_by_key(|&at| columns[at].goes) else {
            break;
        };
        columns.remove(dropped);
    }
    shorten(&mut columns, total, room, 0, style);
    render(&columns, builds.len(), style)
}

/// Cuts the pipelines' names as far as the rest needs room, but not below `least` columns.
fn shorten(
    columns: &mut [Column],
    total: impl Fn(&[Column]) -> usize,
    room: usize,
    least: usize,
    style: Style,
) {
    let over = total(columns).saturating_sub(room);
    if let Some(names) = columns.iter_mut().find(|column| column.title == "PIPELINE") {
        let most = names
            .width()
            .saturating_sub(over)
            .max(least)
            .max(names.title.len());
        for (_, text) in &mut names.cells {
            *text = style.cut(text, most).into_owned();
        }
    }
}

fn render(columns: &[Column], rows: usize, style: Style) -> String {
    let mut lines = Vec::with_capacity(rows + 1);
    let widths: Vec<_> = columns.iter().map(Column::width).collect();
    let row = |cells: &mut dyn Iterator<Item = (Paint, &str)>| {
        let mut line = String::new();
        let mut owed = 0;
        for ((paint, text), column) in cells.zip(&widths) {
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', owed));
                line.push_str(&style.paint(paint, text));
                owed = 0;
            }
            owed += column - width(text) + GAP;
        }
        line
    };
    lines.push(row(&mut columns
        .iter()
        .map(|column| (Paint::Dim, column.title))));
    for at in 0..rows {
        let cells = columns.iter().map(|column| {
            let (paint, text) = &column.cells[at];
            (*paint, text.as_str())
        });
        lines.push(row(&mut { cells }));
    }
    lines.join("\n")
}

fn target(build: &BuildSummary) -> String {
    match build.cell.as_str() {
        "" => build.target.clone(),
        cell => format!("{}[{cell}]", build.target),
    }
}

fn outcome(build: &BuildSummary) -> (Paint, String) {
    let Some(end) = &build.end else {
        return (Paint::Strong, "running".to_owned());
    };
    let paint = match end.outcome {
        Outcome::Succeeded => Paint::Good,
        Outcome::Failed | Outcome::Errored => Paint::Bad,
        Outcome::Cancelled => Paint::Odd,
    };
    (paint, end.outcome.as_str().to_owned())
}

fn took(build: &BuildSummary) -> String {
    let Some(end) = &build.end else {
        return String::new();
    };
    match is_end_unknown(end.outcome, end.reason.as_deref()) {
        false => Human(end.duration).to_string(),
        true if end.duration < Duration::from_millis(100) => "?".to_owned(),
        true => format!(">{}", Human(end.duration)),
    }
}

#[cfg(test)]
mod tests;
