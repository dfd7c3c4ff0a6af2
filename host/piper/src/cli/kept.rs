//! What is kept of one build: the events in its file, and what the index knows where that is damaged.
//!
//! Whatever is missing is said here, once. No record of the log is read.

use super::CliError;
use crate::{
    history::{LocalHistory, is_end_unknown},
    ui::{Ui, sanitize::words},
};
use piper_core::{
    codes::UNKNOWN_STEP_ARGUMENT,
    problem::Problem,
    record::BuildSummary,
    suggest::closest,
    time::Timestamp,
    wire::{
        path::to_text,
        v1::{BuildStarted, Event, Line, PlannedStep},
    },
};
use piper_engine::logs::{PlogReader, ReadError, State};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

/// A build, and what is left of it.
#[derive(Debug)]
pub(super) struct Kept {
    /// What the index knows.
    pub(super) build: BuildSummary,
    /// Its file.
    pub(super) path: PathBuf,
    /// The same, open.
    pub(super) reader: PlogReader,
    /// What the file tells, in order.
    pub(super) events: Vec<(Timestamp, Event)>,
    /// What the index knows of its beginning, if the file has lost that.
    begun: Option<Event>,
    /// Whether none of the events up to now is missing.
    pub(super) is_whole: bool,
}

impl Kept {
    /// Opens the file of a build, and says what is missing in it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is another build's.
    pub(super) fn open(
        history: &LocalHistory,
        build: BuildSummary,
        ui: &Ui,
    ) -> Result<Self, CliError> {
        let path = history.file(build.id);
        let reader = PlogReader::open(&path).map_err(|error| {
            let doing = format!("could not read `{}`", path.display());
            CliError::Failed(anyhow::Error::new(error).context(doing))
        })?;
        if let Some((other, _)) = reader.identity().filter(|(id, _)| *id != build.id) {
            let path = path.display();
            let why = anyhow::anyhow!("`{path}` is of build `{other}`: call it `{other}.plog`");
            return Err(CliError::Failed(why));
        }
        let mut kept = Self {
            build,
            path,
            reader,
            events: Vec::new(),
            begun: None,
            is_whole: true,
        };
        kept.read(ui)?;
        if !kept.has(|event| matches!(event, Event::BuildStarted(_))) {
            kept.begun = Some(beginning(&kept.build, &kept.events));
        }
        let lack = kept.lack();
        kept.is_whole &= lack.is_none();
        lack.into_iter().for_each(|lack| ui.warn(&lack));
        Ok(kept)
    }

    fn read(&mut self, ui: &Ui) -> Result<(), CliError> {
        for line in self.reader.events() {
            match line {
                Ok(Line { at, event, .. }) => {
                    let at = Timestamp::parse(&at).unwrap_or_default();
                    self.events.push((at, event));
                }
                Err(ReadError::Damage(damage)) => {
                    self.is_whole = false;
                    ui.warn(&damage.to_string());
                }
                Err(ReadError::Io(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn has(&self, wanted: fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    /// Whether it still runs, as it was when it was opened.
    pub(super) fn is_running(&self) -> bool {
        self.build.end.is_none() && self.reader.state() == State::Running
    }

    /// What the file should say and does not, in words.
    fn lack(&self) -> Option<String> {
        if self.is_running() {
            return None;
        }
        let path = self.path.display();
        let bytes = self.reader.bytes();
        if bytes == 0 {
            return Some(format!(
                "`{path}` is empty: only what the index knows is left of this build"
            ));
        }
        if let Some(end) = &self.build.end
            && !is_end_unknown(end.outcome, end.reason.as_deref())
            && !self.has(|event| matches!(event, Event::BuildFinished { .. }))
        {
            if end.size <= bytes {
                return Some(format!(
                    "`{path}` does not say how the build ended: that part of it is damaged"
                ));
            }
            let log = match self.reader.records() {
                0 => "nothing of its log".to_owned(),
                records => format!("its log up to record {}", records - 1),
            };
            return Some(format!(
                "`{path}` was cut off: {bytes} of its {} bytes are left, with {log}",
                end.size
            ));
        }
        self.begun.as_ref().map(|_| {
            format!("`{path}` has lost its beginning: only the steps that left a trace are known")
        })
    }

    /// What the file tells people, and what the index knows in place of a beginning that is lost.
    pub(super) fn story(&self) -> impl Iterator<Item = (Timestamp, &Event)> {
        let begun = self.begun.iter().map(|event| (self.build.created, event));
        begun.chain(self.events.iter().map(|(at, event)| (*at, event)))
    }

    /// The labels of the build's steps; without the beginning of its file, of those that left a trace.
    pub(super) fn labels(&self) -> Vec<&str> {
        let begun = self.story().find_map(|(_, event)| {
            let Event::BuildStarted(about) = event else {
                return None;
            };
            Some(&about.steps)
        });
        let steps = begun.into_iter().flatten();
        steps.map(|step| step.step.as_str()).collect()
    }

    /// The labels that `wanted` means: the one that it is, or all cells and all planned steps of the step that it names.
    ///
    /// # Errors
    ///
    /// When there is no such step. If it cannot be known which steps there were, this one is believed to be one of them.
    pub(super) fn matching(&self, wanted: &str) -> Result<Vec<String>, CliError> {
        matching(&self.build, self.labels(), wanted).or_else(|error| match self.begun {
            Some(_) => Ok(vec![wanted.to_owned()]),
            None => Err(error),
        })
    }

    /// Refuses a try that none of these steps had.
    ///
    /// # Errors
    ///
    /// When there was no such try, as far as that is known.
    pub(super) fn check_try(&self, steps: &[String], wanted: u32) -> Result<(), CliError> {
        match self.is_whole {
            true => check_try(&self.build, &self.events, steps, wanted),
            false => Ok(()),
        }
    }
}

/// The beginning that a file without one would have, as far as that is known.
fn beginning(build: &BuildSummary, events: &[(Timestamp, Event)]) -> Event {
    let mut seen = HashSet::new();
    let steps = events.iter().filter_map(|(_, event)| {
        let (Event::StepStarted { step, .. } | Event::StepFinished { step, .. }) = event else {
            return None;
        };
        Some(step)
    });
    let steps = steps.filter(|step| seen.insert(step.as_str()));
    let cell = build.cell.split_once('=');
    Event::BuildStarted(Box::new(BuildStarted {
        piper: String::new(),
        project: build.project.clone(),
        root: to_text(&build.root).into_owned(),
        target: build.target.clone(),
        target_is_step: false,
        cell: cell
            .map(|(axis, rest)| (axis.to_owned(), rest.to_owned()))
            .into_iter()
            .collect(),
        environment: build.environment.clone(),
        revision: build.revision.clone(),
        version: build.version.clone(),
        params: BTreeMap::new(),
        steps: steps
            .map(|step| PlannedStep {
                step: step.clone(),
                command: String::new(),
                waits_for: Vec::new(),
            })
            .collect(),
        jobs: 0,
        pass_env_all: false,
    }))
}

/// The labels that `wanted` means: the one that it is, or all cells and all planned steps of the step that it names.
fn matching(
    build: &BuildSummary,
    labels: Vec<&str>,
    wanted: &str,
) -> Result<Vec<String>, CliError> {
    let is_part = |label: &str| {
        label
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with(['[', '/']))
    };
    let found: Vec<_> = match labels.contains(&wanted) {
        true => vec![wanted.to_owned()],
        false => labels
            .iter()
            .filter(|label| is_part(label))
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
    let near = closest(wanted, labels.iter().copied());
    // Enough to see what they are like; `show` has the rest.
    let some: Vec<_> = labels.iter().take(10).map(|label| words(label)).collect();
    let help = match near {
        Some(label) => format!("did you mean `{}`?", words(label)),
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

/// Refuses a try that none of these steps had.
fn check_try(
    build: &BuildSummary,
    events: &[(Timestamp, Event)],
    steps: &[String],
    wanted: u32,
) -> Result<(), CliError> {
    let tries = events.iter().filter_map(|(_, event)| {
        let Event::StepStarted { step, r#try } = event else {
            return None;
        };
        steps.contains(step).then_some(*r#try)
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

#[cfg(test)]
mod tests;
