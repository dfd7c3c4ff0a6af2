//! What a build's own file says of it, and the end of a build whose piper was killed.
//!
//! Nothing here reads a log record; the index is not known here.

use super::Place;
use piper_core::{
    id::BuildId,
    record::{BuildEnd, BuildSummary},
    time::Timestamp,
    wire::{
        path::from_text,
        v1::{BuildStarted, Counts, Event, Line, Outcome, StepOutcome},
    },
};
use piper_engine::logs::{Dead, PlogReader, State};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a build ended whose piper did not say so.
pub const KILLED: &str = "piper was killed";

/// Why a build ended whose piper said it where the file is damaged.
const LOST: &str = "how it ended is lost with a damaged part of its file";

/// Whether nobody knows when the build ended. Its duration is then the least that it can have taken, up to the last sign of life
/// in its file: a step that prints nothing leaves none, and the time of the file is that of whoever copied it last.
pub fn is_end_unknown(outcome: Outcome, reason: Option<&str>) -> bool {
    outcome == Outcome::Errored && matches!(reason, Some(KILLED | LOST))
}

/// A build's file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The system refused.
    #[error("could not read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Its piper was killed before its first word, or somebody emptied it.
    #[error("`{}` is empty: nothing is left of its build; remove it", path.display())]
    Empty { path: PathBuf },
    /// There is no frame in it that this piper can read.
    #[error("`{}` is no log of piper's, or nothing in it can be read: move it away", path.display())]
    Foreign { path: PathBuf },
    /// There are frames in it that this piper cannot read.
    #[error("`{}` is of a newer piper: only that one can read it", path.display())]
    Newer { path: PathBuf },
    /// It has the name of another build.
    #[error("`{}` is of build `{build}`: call it `{build}.plog`", path.display())]
    Misnamed { path: PathBuf, build: BuildId },
    /// It does not say what the build was.
    #[error(
        "`{}` does not say what its build was, because its beginning is damaged: `piper logs {build}` prints what is left of it; remove it if you do not need it",
        path.display()
    )]
    Nameless { path: PathBuf, build: BuildId },
}

/// What the file at `path` says of its build. One whose piper was killed is closed. `None` if there is nothing in it yet, or no file.
pub(super) fn settle(path: &Path) -> Result<Option<BuildSummary>, Error> {
    match try_settle(path) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        settled => settled,
    }
}

fn try_settle(path: &Path) -> Result<Option<BuildSummary>, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = PlogReader::open(path).map_err(read)?;
    let mut dead = None;
    if reader.state() == State::Dead {
        // Without the right to write, the end is known all the same; it is only not kept.
        dead = PlogReader::dead(path).unwrap_or(None);
        // Somebody else may have closed it, or its writer has ended just now.
        reader = PlogReader::open(path).map_err(read)?;
    }
    // While `dead` is held, its own lock makes the file look as if its writer lived.
    let running = dead.is_none() && reader.state() == State::Running;
    let story = Story::read(&reader);
    let Some(mut story) = story.filter(|story| is_named(path, story.build.id)) else {
        return match running {
            true => Ok(None),
            false => Err(useless(path, &reader)),
        };
    };
    if story.build.end.is_none() && !running {
        if reader.is_newer() {
            return Err(useless(path, &reader));
        }
        let why = match reader.state() {
            State::Finished => LOST,
            State::Dead | State::Running => KILLED,
        };
        let last = reader.last_record_at().unwrap_or_default();
        let end = story.end(why, reader.records(), last);
        if let Some(dead) = dead {
            close(dead, story.build.id, &end);
        }
    }
    if let Some(end) = &mut story.build.end {
        end.size = Place::size(path);
    }
    Ok(Some(story.build))
}

fn is_named(path: &Path, build: BuildId) -> bool {
    path.file_stem().is_some_and(|stem| stem == build.as_str())
}

/// Why a file says of no build what it was.
fn useless(path: &Path, reader: &PlogReader) -> Error {
    let path = path.to_owned();
    match reader.identity() {
        _ if reader.bytes() == 0 => Error::Empty { path },
        _ if reader.is_newer() => Error::Newer { path },
        None => Error::Foreign { path },
        Some((build, _)) if is_named(&path, build) => Error::Nameless { path, build },
        Some((build, _)) => Error::Misnamed { path, build },
    }
}

/// What can be said of a build that the index does not know and whose file has lost its beginning; `None` if that is not so.
pub fn remains(path: &Path) -> Option<BuildSummary> {
    let reader = PlogReader::open(path).ok()?;
    let (id, _) = reader.identity().filter(|(id, _)| is_named(path, *id))?;
    let lines: Vec<_> = reader.events().flatten().collect();
    let unknown = || "(unknown)".to_owned();
    Some(BuildSummary {
        id,
        root: PathBuf::new(),
        project: unknown(),
        target: unknown(),
        cell: String::new(),
        environment: unknown(),
        revision: None,
        version: None,
        created: lines
            .first()
            .and_then(|line| Timestamp::parse(&line.at))
            .unwrap_or_default(),
        end: lines.iter().find_map(|line| told_end(&line.event)),
    })
}

/// How the build ended, if this is its end.
fn told_end(event: &Event) -> Option<BuildEnd> {
    let Event::BuildFinished {
        outcome,
        reason,
        duration_us,
        ..
    } = event
    else {
        return None;
    };
    Some(BuildEnd {
        outcome: *outcome,
        reason: reason.clone(),
        duration: Duration::from_micros(*duration_us),
        size: 0,
    })
}

/// Writes the end of a build that was killed. If it cannot be written, the next one to look tries again.
fn close(dead: Dead, build: BuildId, end: &Line) {
    if let Ok(line) = serde_json::to_vec(end) {
        let _ = dead.close(build, &[&line]);
    }
}

/// A build's events, as far as they matter to a list of builds.
struct Story {
    build: BuildSummary,
    counts: Counts,
    attempt: u32,
    next_seq: u64,
    last: Timestamp,
}

impl Story {
    /// `None` if the events do not say which build it is. What is damaged is left out.
    fn read(reader: &PlogReader) -> Option<Self> {
        let mut story: Option<Self> = None;
        for line in reader.events().flatten() {
            let at = Timestamp::parse(&line.at).unwrap_or_default();
            match (&mut story, line.event) {
                (None, Event::BuildStarted(about)) => {
                    story = Some(Self {
                        build: summary(BuildId::parse(&line.build)?, at, *about),
                        counts: Counts::default(),
                        attempt: line.attempt,
                        next_seq: 0,
                        last: at,
                    });
                }
                (
                    Some(story),
                    Event::StepFinished {
                        outcome,
                        allowed,
                        flaky,
                        ..
                    },
                ) => {
                    story.count(outcome, allowed, flaky);
                }
                (Some(story), event) => {
                    story.build.end = told_end(&event).or(story.build.end.take());
                }
                (None, _) => {}
            }
            if let Some(story) = &mut story {
                story.last = story.last.max(at);
                story.next_seq = line.seq.saturating_add(1);
            }
        }
        story
    }

    fn count(&mut self, outcome: StepOutcome, allowed: bool, flaky: bool) {
        let counts = &mut self.counts;
        let count = match outcome {
            StepOutcome::Succeeded => &mut counts.succeeded,
            StepOutcome::Failed if allowed => &mut counts.allowed,
            StepOutcome::Failed => &mut counts.failed,
            StepOutcome::Errored => &mut counts.errored,
            StepOutcome::Skipped => &mut counts.skipped,
            StepOutcome::Cancelled => &mut counts.cancelled,
        };
        *count += 1;
        counts.flaky += u32::from(flaky);
    }

    /// Ends the build with its last event or its last record, and says so in the words of the wire.
    fn end(&mut self, why: &str, records: u64, last_record: Timestamp) -> Line {
        let last = self.last.max(last_record);
        let duration = last.since(self.build.created);
        self.build.end = Some(BuildEnd {
            outcome: Outcome::Errored,
            reason: Some(why.to_owned()),
            duration,
            size: 0,
        });
        Line {
            v: 1,
            seq: self.next_seq,
            at: last.to_string(),
            build: self.build.id.to_string(),
            attempt: self.attempt,
            event: Event::BuildFinished {
                outcome: Outcome::Errored,
                reason: Some(why.to_owned()),
                duration_us: duration.as_micros() as u64,
                counts: self.counts,
                log_end: records,
            },
        }
    }
}

fn summary(id: BuildId, created: Timestamp, about: BuildStarted) -> BuildSummary {
    let cell: Vec<_> = about
        .cell
        .iter()
        .map(|(axis, value)| format!("{axis}={value}"))
        .collect();
    BuildSummary {
        id,
        root: from_text(&about.root),
        project: about.project,
        target: about.target,
        cell: cell.join(","),
        environment: about.environment,
        revision: about.revision,
        version: about.version,
        created,
        end: None,
    }
}

#[cfg(test)]
mod tests;
