//! `piper logs`: what the steps of a build printed, as it came or as it comes.
//!
//! Which frames have to be read for that is the reader's business.

use super::{CliError, GlobalArgs, kept::Kept, past};
use crate::{
    exit_code,
    history::KILLED,
    ui::{OutputFormat, Ui, output::Outputs},
};
use piper_core::{
    log::{Record, Stream},
    record::BuildSummary,
    time::Timestamp,
    wire::v1::{Event, Outcome},
};
use piper_engine::{
    clock,
    logs::{Follow, Followed, PlogReader, ReadError, Select, Selection, State},
};
use print::{Form, Printer};
use std::{io, ops::RangeInclusive, path::Path, time::Duration};

mod print;

/// Print the log of a build
#[derive(Debug, clap::Args)]
#[command(
    after_help = "On a terminal, a line shows where another try of a step begins; elsewhere there are the lines of the steps alone."
)]
pub struct LogsArgs {
    /// Which build or step: BUILD[/STEP[#TRY]], where BUILD is the beginning of an id, @ (the newest here, also if nothing is given), @PIPELINE or @failed
    #[arg(value_name = "BUILD")]
    address: Option<String>,
    /// Go on until the build ends
    #[arg(short, long)]
    follow: bool,
    /// Only this step; may be given several times
    #[arg(long, value_name = "STEP")]
    step: Vec<String>,
    /// Only from this time on: so long ago (10m, 1h30m), or a point in time (2026-01-31T14:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only these lines, counted from 1: A-B, A-, -B or A
    #[arg(long, value_name = "A-B", value_parser = lines, allow_hyphen_values = true, conflicts_with = "tail")]
    lines: Option<RangeInclusive<u64>>,
    /// Only the last N lines of what there is
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    tail: Option<u64>,
    /// Print the very bytes that the steps wrote
    #[arg(long, conflicts_with = "timestamps")]
    raw: bool,
    /// Only what was written to this stream
    #[arg(long, value_enum, value_name = "STREAM")]
    stream: Option<Only>,
    /// Print the local time before each line
    #[arg(long)]
    timestamps: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Only {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    past::duration(text)
        .map(Since::Ago)
        .or_else(|| Timestamp::parse(text).map(Since::At))
        .ok_or_else(|| {
            "give a duration such as `10m`, or a time such as `2026-01-31T14:00:00Z`".to_owned()
        })
}

fn count(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "write how many lines from the end, such as 20".to_owned())
}

fn lines(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str, open: u64| match text {
        "" => Some(open),
        text => text.parse::<u64>().ok().filter(|&number| number > 0),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first, 1), number(last, u64::MAX)) {
        (Some(first), Some(last)) if first <= last && text != "-" && !text.is_empty() => {
            Ok(first..=last)
        }
        _ => Err("give lines as `5-10`, `5-`, `-10` or `7`, counted from 1".to_owned()),
    }
}

/// Prints a log.
///
/// # Errors
///
/// When there is no such build or step, or its file cannot be read.
pub fn run(args: &LogsArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let now = clock::wall();
    let address = past::address(args.address.as_deref())?;
    let history = past::open(ui, now)?;
    let build = past::find(&history, &address, past::root(global)?.as_deref())?;
    let kept = Kept::open(&history, build, ui)?;
    let all = kept.labels();

    let mut selection = Selection {
        tries: address
            .step
            .as_ref()
            .and_then(|step| step.r#try)
            .into_iter()
            .collect(),
        stream: args.stream.map(|only| match only {
            Only::Stdout => Stream::Stdout,
            Only::Stderr => Stream::Stderr,
        }),
        since: args.since.map(|since| match since {
            Since::Ago(ago) => Timestamp(now.0.saturating_sub(ago.as_micros() as u64)),
            Since::At(at) => at,
        }),
        lines: args.lines.clone(),
        ..Selection::default()
    };
    for step in address
        .step
        .iter()
        .map(|step| &step.label)
        .chain(&args.step)
    {
        selection.steps.extend(kept.matching(step)?);
    }
    if let Some(wanted) = args.tail {
        selection.lines = Some(tail(&kept.reader, &selection, wanted));
    }
    let follows = args.follow && kept.is_running();
    if let Some(r#try) = address.step.as_ref().and_then(|step| step.r#try)
        && !follows
    {
        kept.check_try(&selection.steps, r#try)?;
    }
    let form = Form {
        raw: args.raw,
        timestamps: args.timestamps,
        // Whoever asked for one step knows whose lines these are.
        label: selection.steps.len() != 1 && all.len() != 1,
        tries: selection.tries.is_empty(),
    };
    let outputs = Outputs::of_stdout(ui.out)?;
    let mut printer = match ui.format {
        OutputFormat::Text => Printer::for_people(outputs, form, past::style(ui.out), &all),
        OutputFormat::Json => {
            let started = kept.events.iter();
            let started = { started }.find(|(_, event)| matches!(event, Event::BuildStarted(_)));
            Printer::for_programs(outputs, kept.build.id, now, started)
        }
    };
    let Kept {
        build,
        path,
        reader,
        ..
    } = kept;
    let mut source = match follows {
        true => Source::Growing(reader.follow(selection)),
        false => Source::Kept(reader.select(selection)),
    };
    pass(&mut source, &mut printer, ui)?;
    if follows {
        printer.ended(&ended(&path)?);
    }
    printer.finish();
    if let Some(wanted) = &args.lines
        && source.lines() < *wanted.start()
        && !printer.is_dead()
    {
        ui.say(&match source.lines() {
            0 => "there are no lines".to_owned(),
            1 => "there is only 1 line".to_owned(),
            lines => format!("there are only {lines} lines"),
        });
    }
    if was_killed(&build) || follows && died(&path)? {
        ui.warn("piper was killed while this build ran: what was printed in the last 200 ms before that may be missing");
    }
    match printer.trouble() {
        Some(error) => Err(error.into()),
        None => Ok(exit_code::SUCCESS),
    }
}

fn was_killed(build: &BuildSummary) -> bool {
    let killed = |end: &piper_core::record::BuildEnd| {
        end.outcome == Outcome::Errored && end.reason.as_deref() == Some(KILLED)
    };
    build.end.as_ref().is_some_and(killed)
}

/// Whether a build whose log was followed ended without a word.
fn died(path: &Path) -> io::Result<bool> {
    let is_closed = ended(path)?.iter().any(|(_, event)| {
        matches!(event, Event::BuildFinished { reason: Some(reason), .. } if reason == KILLED)
    });
    Ok(is_closed || PlogReader::open(path)?.state() == State::Dead)
}

/// The last event of a build that ended while its log was followed, for programs.
fn ended(path: &Path) -> io::Result<Vec<(Timestamp, Event)>> {
    let lines = PlogReader::open(path)?;
    // What is damaged was said when the log was read.
    let events = lines.events().flatten().map(|line| {
        let at = Timestamp::parse(&line.at).unwrap_or_default();
        (at, line.event)
    });
    Ok(events
        .filter(|(_, event)| matches!(event, Event::BuildFinished { .. }))
        .collect())
}

/// Where records come from.
enum Source {
    Kept(Select),
    Growing(Follow),
}

/// How long to wait for news before it is looked whether anybody still listens.
const WAIT: Duration = Duration::from_secs(1);

impl Source {
    /// How many lines there were, of those that only their numbers may have kept from being printed.
    fn lines(&self) -> u64 {
        match self {
            Self::Growing(follow) => follow.lines(),
            Self::Kept(select) => select.lines(),
        }
    }

    fn next(&mut self, wait: Duration) -> io::Result<Followed> {
        match self {
            Self::Growing(follow) => follow.next(wait),
            Self::Kept(select) => match select.next() {
                Some(Ok(batch)) => Ok(Followed::Batch(batch)),
                Some(Err(ReadError::Damage(damage))) => Ok(Followed::Damage(damage)),
                Some(Err(ReadError::Io(error))) => Err(error),
                None => Ok(Followed::End),
            },
        }
    }
}

/// The last `wanted` of the selected lines that are there, and all that come after them.
fn tail(reader: &PlogReader, selection: &Selection, wanted: u64) -> RangeInclusive<u64> {
    // Lines are counted, mostly by the index alone, and not kept: a single one may be larger than the memory.
    let mut counted = reader.select(Selection {
        lines: Some(u64::MAX..=u64::MAX),
        ..selection.clone()
    });
    // What is damaged is said when the lines are printed.
    counted.by_ref().for_each(drop);
    counted.lines().saturating_sub(wanted) + 1..=u64::MAX
}

/// Hands all records from the source to the printer.
fn pass(source: &mut Source, printer: &mut Printer, ui: &Ui) -> Result<(), CliError> {
    let mut wait = Duration::ZERO;
    while !printer.is_dead() {
        match source.next(wait)? {
            Followed::Batch(batch) => {
                printer.batch(&batch);
                // What is there is printed together; before anything is waited for, it goes out.
                wait = Duration::ZERO;
            }
            Followed::Damage(damage) => {
                printer.flush();
                ui.warn(&damage.to_string());
            }
            Followed::Idle => {
                printer.flush();
                wait = WAIT;
            }
            Followed::End => break,
        }
    }
    Ok(())
}

/// A record as the printers know it.
fn record<'a>(record: &piper_engine::logs::Record<'a>) -> Record<'a> {
    Record {
        seq: record.seq,
        at: record.at,
        step: record.source.step.0,
        r#try: record.source.r#try,
        marks: record.marks,
        text: record.text,
    }
}

#[cfg(test)]
mod tests;
