//! Who is told of builds, and when: the `[notify]` rules of a project.
//!
//! Which rules fire follows from what became of a build and of the one before it, and what they tell from what is known of it; nothing
//! here tells anybody anything.

use crate::{
    id::{PipelineName, RuleName},
    plan::{Plan, PluginCall, Target},
    plugin::{Options, Uses},
    project::{Project, Value},
    record::BuildSummary,
    time::Timestamp,
    wire::v1::{
        self, Annotation, Exit, Outcome, Previous, Snapshot, SnapshotEnd, SnapshotFailure,
        SnapshotStep,
    },
};
use serde::Serialize;

/// A table of `[notify]`: who is told of which builds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The notifier.
    pub uses: Uses,
    /// Its options; they refer to parameters of `[params]` only.
    pub with: Options,
    /// When it is told: at any of these.
    pub on: Vec<Occasion>,
    /// Of which pipelines; of all, if empty.
    pub pipelines: Vec<PipelineName>,
}

impl Rule {
    /// The notifier, with its options in this plan.
    pub fn call(&self, project: &Project, plan: &Plan) -> PluginCall {
        PluginCall {
            uses: self.uses.clone(),
            declared: project.declared(&self.uses).cloned(),
            with: self.with.resolve(|value| match value {
                Value::Text(text) => text.clone(),
                Value::Param(name) => plan.params.get(name).cloned().unwrap_or_default(),
                // The file was refused if a rule refers to one.
                Value::Matrix(_) => String::new(),
            }),
        }
    }
}

/// When somebody wants to hear of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// It begins.
    Started,
    /// It failed, or piper or the machine did.
    Failed,
    /// It succeeded, and the one before it had failed.
    Recovered,
    /// It failed and the one before had not, or the other way round.
    Changed,
    /// It ended, in whatever way.
    Always,
}

impl Occasion {
    /// All of them, with the word that the file uses.
    pub const ALL: [(&'static str, Self); 5] = [
        ("started", Self::Started),
        ("failed", Self::Failed),
        ("recovered", Self::Recovered),
        ("changed", Self::Changed),
        ("always", Self::Always),
    ];

    /// What a rule without `on` means.
    pub const DEFAULT: [Self; 2] = [Self::Failed, Self::Recovered];
}

/// Something happened to a build of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It began.
    Started,
    /// It is done.
    Ended {
        /// How it ended.
        outcome: Outcome,
        /// How the one before it ended: see [`previous`].
        previous: Option<Outcome>,
    },
}

impl Moment {
    /// Whether this is such an occasion.
    ///
    /// A cancelled build says nothing of what it built: it is neither a failure nor a change. Where there is no build before, things were
    /// well: a first failure is a change, and a first success is none.
    pub fn is(self, occasion: Occasion) -> bool {
        let Self::Ended { outcome, previous } = self else {
            return occasion == Occasion::Started;
        };
        let is_bad = |outcome| matches!(outcome, Outcome::Failed | Outcome::Errored);
        let (bad, was_bad) = (is_bad(outcome), previous.is_some_and(is_bad));
        let recovered = outcome == Outcome::Succeeded && was_bad;
        match occasion {
            Occasion::Started => false,
            Occasion::Failed => bad,
            Occasion::Recovered => recovered,
            Occasion::Changed => recovered || (bad && !was_bad),
            Occasion::Always => true,
        }
    }

    fn name(self) -> &'static str {
        let [started, finished] = EVENTS;
        match self {
            Self::Started => started,
            Self::Ended { .. } => finished,
        }
    }
}

/// The kinds of events that this piper tells notifiers of.
pub const EVENTS: [&str; 2] = ["build.started", "build.finished"];

/// The build that `build` is compared with: of `builds`, the newest before it of the same project, pipeline and cell that says something
/// of what it built.
pub fn previous<'b>(
    builds: impl IntoIterator<Item = &'b BuildSummary>,
    build: &BuildSummary,
) -> Option<(&'b BuildSummary, Outcome)> {
    let comparable = builds.into_iter().filter_map(|other| {
        let outcome = other.end.as_ref()?.outcome;
        let alike =
            (&other.root, &other.target, &other.cell) == (&build.root, &build.target, &build.cell);
        let before = (other.created, other.id) < (build.created, build.id);
        (alike && before && outcome != Outcome::Cancelled).then_some((other, outcome))
    });
    comparable.max_by_key(|(other, _)| (other.created, other.id))
}

/// Something that a notifier is told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `build.started` or `build.finished`.
    pub kind: &'static str,
    /// The same for every delivery of it.
    pub id: String,
    /// What it is about: the build.
    pub subject: String,
    /// Grows with each event of one subject.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// All that is known of the build.
    pub body: Snapshot,
}

/// What one rule has a notifier told.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// The rule.
    pub rule: &'a RuleName,
    /// What happened.
    pub event: &'a Event,
}

/// Tells somebody.
pub trait Notifier {
    /// Delivers a message, within a few seconds. Trouble with it fails no build: it is one line for whoever runs the build.
    ///
    /// # Errors
    ///
    /// Why it was not delivered, in words.
    fn notify(&self, message: &Message<'_>) -> Result<(), String>;
}

/// The messages of all rules of a project that fire. A step that is run by its name tells nobody.
pub fn messages<'a>(
    project: &'a Project,
    plan: &Plan,
    moment: Moment,
    event: &'a Event,
) -> Vec<Message<'a>> {
    let Target::Pipeline(pipeline) = &plan.target else {
        return Vec::new();
    };
    let fires = |rule: &Rule| {
        (rule.pipelines.is_empty() || rule.pipelines.contains(pipeline))
            && rule.on.iter().any(|occasion| moment.is(*occasion))
    };
    let rules = project.notify.iter().filter(|(_, rule)| fires(rule));
    rules.map(|(rule, _)| Message { rule, event }).collect()
}

/// How much an event says of steps, in bytes of JSON; with the log, six bytes for each at worst, its body stays below 256 KiB.
const MOST_STEPS: usize = 128 << 10;
/// How much an event says of annotations, in bytes of JSON.
const MOST_ANNOTATIONS: usize = 16 << 10;
/// How much of a step's log an event has, in bytes.
const MOST_TAIL: usize = 16 << 10;
/// How long a reason in an event is, in bytes.
const MOST_WORDS: usize = 256;

/// What is known of a build when something happened to it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The build.
    pub summary: &'a BuildSummary,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Its plan.
    pub plan: &'a Plan,
    /// The trace that it belongs to, as 32 hex digits.
    pub trace: &'a str,
    /// The build before it: see [`previous`].
    pub previous: Option<(&'a BuildSummary, Outcome)>,
    /// What happened in it so far; only ends of steps and of the build count, and annotations.
    pub events: &'a [v1::Event],
    /// The last that the failing step printed: see [`failing_step`].
    pub log_tail: Option<&'a [u8]>,
}

/// The step because of which a build failed: the first in the order of events that was not allowed to fail.
pub fn failing_step(events: &[v1::Event]) -> Option<&str> {
    events.iter().find_map(|event| {
        let v1::Event::StepFinished {
            step,
            outcome: v1::StepOutcome::Failed | v1::StepOutcome::Errored,
            allowed: false,
            ..
        } = event
        else {
            return None;
        };
        Some(step.as_str())
    })
}

impl Facts<'_> {
    /// The event of this moment.
    pub fn event(&self, moment: Moment, at: Timestamp) -> Event {
        let build = self.summary.id.to_string();
        let kind = moment.name();
        Event {
            kind,
            id: format!("{build}.{}/{kind}", self.attempt),
            subject: build,
            seq: u64::from(moment != Moment::Started),
            at,
            body: self.snapshot(kind, at),
        }
    }

    fn snapshot(&self, kind: &str, at: Timestamp) -> Snapshot {
        let (summary, plan) = (self.summary, self.plan);
        let texts = |pairs: &mut dyn Iterator<Item = (String, String)>| pairs.collect();
        let (steps, steps_left_out) = self.steps();
        let (annotations, annotations_left_out) = self.annotations();
        let tail = failing_step(self.events).zip(self.log_tail);
        Snapshot {
            v: 1,
            r#type: kind.to_owned(),
            build: summary.id.to_string(),
            attempt: self.attempt,
            project: summary.project.clone(),
            target: summary.target.clone(),
            cell: texts(&mut plan.cell.iter().map(|(a, v)| (a.to_string(), v.clone()))),
            environment: summary.environment.clone(),
            revision: summary.revision.clone(),
            version: summary.version.clone(),
            params: texts(&mut plan.params.iter().map(|(p, v)| (p.to_string(), v.clone()))),
            trace: self.trace.to_owned(),
            started_at: summary.created.to_string(),
            end: self.events.iter().find_map(|event| end(event, at)),
            previous: self.previous.map(|(build, outcome)| Previous {
                build: build.id.to_string(),
                outcome,
                started_at: build.created.to_string(),
            }),
            steps,
            steps_left_out,
            annotations,
            annotations_left_out,
            failure: tail.map(|(step, tail)| SnapshotFailure {
                step: step.to_owned(),
                log_tail: last_lines(tail),
            }),
        }
    }

    /// The steps that are done, and how many of them are left out.
    fn steps(&self) -> (Vec<SnapshotStep>, usize) {
        let mut steps: Vec<SnapshotStep> = self.events.iter().filter_map(step).collect();
        let all = steps.len();
        if steps.iter().map(size).sum::<usize>() > MOST_STEPS {
            steps.retain(|step| step.outcome != v1::StepOutcome::Succeeded || step.flaky);
            // What failed must not be left out for what was only skipped after it.
            let skipped = |step: &SnapshotStep| step.outcome == v1::StepOutcome::Skipped;
            steps.sort_by_key(skipped);
            keep_fitting(&mut steps, MOST_STEPS);
        }
        let left_out = all - steps.len();
        (steps, left_out)
    }

    /// What the steps point at, errors first, and how much of it is left out.
    fn annotations(&self) -> (Vec<Annotation>, usize) {
        let annotations = self.events.iter().filter_map(|event| match event {
            v1::Event::Annotation(annotation) => Some((**annotation).clone()),
            _ => None,
        });
        let mut annotations: Vec<Annotation> = annotations.collect();
        let all = annotations.len();
        annotations.sort_by_key(|annotation| annotation.level);
        keep_fitting(&mut annotations, MOST_ANNOTATIONS);
        let left_out = all - annotations.len();
        (annotations, left_out)
    }
}

/// How long an item of a list is in JSON, in bytes.
fn size(item: &impl Serialize) -> usize {
    serde_json::to_string(item).map_or(0, |json| json.len() + 1)
}

/// Keeps as many of the first items as fit into so many bytes of JSON.
fn keep_fitting(items: &mut Vec<impl Serialize>, most: usize) {
    let sizes = items.iter().scan(0, |sum, item| {
        *sum += size(item);
        Some(*sum)
    });
    let fitting = sizes.take_while(|sum| *sum <= most).count();
    items.truncate(fitting);
}

fn end(event: &v1::Event, at: Timestamp) -> Option<SnapshotEnd> {
    let v1::Event::BuildFinished {
        outcome,
        reason,
        duration_us,
        counts,
        log_end: _,
    } = event
    else {
        return None;
    };
    Some(SnapshotEnd {
        outcome: *outcome,
        reason: reason.as_deref().map(shortened),
        at: at.to_string(),
        duration_us: *duration_us,
        counts: *counts,
    })
}

fn step(event: &v1::Event) -> Option<SnapshotStep> {
    let v1::Event::StepFinished {
        step,
        outcome,
        reason,
        exit,
        tries,
        flaky,
        allowed,
        duration_us,
    } = event
    else {
        return None;
    };
    Some(SnapshotStep {
        step: step.clone(),
        outcome: *outcome,
        reason: reason.as_deref().map(shortened),
        exit: exit.clone().map(|exit| match exit {
            Exit::NotStarted(why) => Exit::NotStarted(shortened(&why)),
            Exit::Rejected(why) => Exit::Rejected(shortened(&why)),
            Exit::Failed(why) => Exit::Failed(shortened(&why)),
            Exit::Skipped(why) => Exit::Skipped(shortened(&why)),
            Exit::Errored(why) => Exit::Errored(shortened(&why)),
            other => other,
        }),
        tries: *tries,
        flaky: *flaky,
        allowed: *allowed,
        duration_us: *duration_us,
    })
}

fn shortened(words: &str) -> String {
    match words.floor_char_boundary(MOST_WORDS) {
        end if end < words.len() => format!("{}…", &words[..end]),
        _ => words.to_owned(),
    }
}

/// The end of a log, from the beginning of a line on if it has one.
fn last_lines(log: &[u8]) -> String {
    let start = log.len().saturating_sub(MOST_TAIL);
    let newline = log[start..].iter().position(|byte| *byte == b'\n');
    let start = match newline {
        Some(newline) if start > 0 && start + newline + 1 < log.len() => start + newline + 1,
        _ => start,
    };
    String::from_utf8_lossy(&log[start..]).into_owned()
}

#[cfg(test)]
mod tests;
