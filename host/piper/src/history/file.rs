//! What a build's own file says of it, and the end of a build whose piper was killed.
//!
//! Nothing here reads a log record; the index is not known here.

use piper_core::{
    id::BuildId,
    record::{BuildEnd, BuildSummary},
    time::Timestamp,
    wire::v1::{BuildStarted, Counts, Event, Line, Outcome, StepOutcome},
};
use piper_engine::logs::{Dead, PlogReader, State};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// Why a build ended whose piper did not say so.
pub const KILLED: &str = "piper was killed";

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
    /// It does not say which build it is of.
    #[error(
        "`{}` does not say which build it is of: its beginning is damaged; remove it if you do not need it",
        path.display()
    )]
    Nameless { path: PathBuf },
}

/// What the file at `path` says of its build. One whose piper was killed is closed. `None` if there is nothing in it, or no file.
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
    let metadata = fs::metadata(path).map_err(read)?;
    let Some(mut story) = Story::read(&reader) else {
        return match metadata.len() {
            _ if running => Ok(None),
            // Killed before its first word, and older than a moment, or it would be running.
            0 => {
                let _ = fs::remove_file(path);
                Ok(None)
            }
            _ => Err(Error::Nameless {
                path: path.to_owned(),
            }),
        };
    };
    if story.build.end.is_none() && !running {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let last = modified.map_or(story.last, |time| Timestamp(time.as_micros() as u64));
        let end = story.killed(reader.records(), last.max(story.last));
        if let Some(dead) = dead {
            close(dead, story.build.id, &end);
        }
    }
    if let Some(end) = &mut story.build.end {
        end.size = fs::metadata(path).map_err(read)?.len();
    }
    Ok(Some(story.build))
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
                (
                    Some(story),
                    Event::BuildFinished {
                        outcome,
                        reason,
                        duration_us,
                        ..
                    },
                ) => {
                    story.build.end = Some(BuildEnd {
                        outcome,
                        reason,
                        duration: Duration::from_micros(duration_us),
                        size: 0,
                    });
                }
                _ => {}
            }
            if let Some(story) = &mut story {
                story.last = story.last.max(at);
                story.next_seq = line.seq + 1;
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

    /// Ends the build at `last`, and says so in the words of the wire.
    fn killed(&mut self, records: u64, last: Timestamp) -> Line {
        let duration = last.since(self.build.created);
        self.build.end = Some(BuildEnd {
            outcome: Outcome::Errored,
            reason: Some(KILLED.to_owned()),
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
                reason: Some(KILLED.to_owned()),
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
        root: about.root.into(),
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
