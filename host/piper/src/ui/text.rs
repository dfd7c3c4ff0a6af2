//! Every sentence that people read of a build, and nothing else: no stream, no terminal, no state.
//!
//! All texts that come in have gone through [`words`], but those of an [`Exit`].

use super::{
    progress::{About, Done, End, Progress, Step},
    sanitize::words,
    style::{Paint, Style, width},
};
use crate::history::is_end_unknown;
use piper_core::{
    id::BuildId,
    project::Survivors,
    time::Human,
    wire::v1::{Annotation, Counts, Exit, Outcome, StepOutcome},
};
use std::{borrow::Cow, fmt::Write, time::Duration};

/// Of a command at least this much is shown, however narrow the terminal.
const SHORTEST_COMMAND: usize = 16;

/// Makes sentences about one build.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// How they look.
    pub style: Style,
    /// The build.
    pub build: BuildId,
}

impl Text {
    /// A build began: what it is, and how to ask for it later.
    pub fn build_started(&self, about: &About) -> String {
        let dot = self.style.symbols.dot;
        let kind = if about.target_is_step {
            "step"
        } else {
            "pipeline"
        };
        let mut line = self.style.paint(Paint::Strong, title(about)).into_owned();
        if let Some(revision) = &about.revision {
            let short = revision.get(..10).unwrap_or(revision);
            let _ = write!(line, " ({short})");
        }
        let _ = write!(
            line,
            " {dot} {kind} {} {dot} {} {dot} build {}",
            about.target,
            about.environment,
            self.build.short()
        );
        line
    }

    /// A try of a step began (P-21).
    pub fn step_started(&self, place: u32, steps: usize, label: &str, r#try: u32) -> String {
        let number = self.style.paint(Paint::Dim, self.number(place, steps));
        let label = self.style.paint(Paint::of_step(label), label);
        match r#try {
            0 | 1 => format!("{number} {label}"),
            _ => format!("{number} {label} (try {try})"),
        }
    }

    /// `[2/7]`.
    pub fn number(&self, place: u32, steps: usize) -> String {
        format!("[{}/{steps}]", place + 1)
    }

    /// A try failed and there will be another; `tries` is how many there may be, if that is known.
    pub fn trying_again(
        &self,
        label: &str,
        exit: &Exit,
        after: Duration,
        next: u32,
        tries: Option<u32>,
    ) -> String {
        let wait = match after {
            Duration::ZERO => "now".to_owned(),
            after => format!("in {}", Human(after)),
        };
        let of = tries.map(|tries| format!("/{tries}")).unwrap_or_default();
        let symbol = self.style.paint(Paint::Odd, self.style.symbols.warn);
        format!(
            "{symbol} {label} failed ({}), trying again {wait} ({next}{of})",
            short(exit)
        )
    }

    /// A step was asked to end because of its own limits.
    pub fn stopping(&self, label: &str, why: &str, signal: &str) -> String {
        let why = match why {
            "timeout" => "took too long",
            "idle-timeout" => "was silent for too long",
            other => other,
        };
        let symbol = self.style.paint(Paint::Odd, self.style.symbols.warn);
        format!("{symbol} {label} {why}: asked to end with {signal}")
    }

    /// A step ended but left something behind.
    pub fn left_running(&self, label: &str, survivors: Survivors) -> String {
        let symbol = self.style.paint(Paint::Odd, self.style.symbols.warn);
        let fate = match survivors {
            Survivors::Stop => "they end with the build",
            Survivors::Keep => "they are kept, as its `survivors` says",
        };
        format!("{symbol} {label} left processes behind that hold its output; {fate}")
    }

    /// A step is done; one line, and for a failed one a few more.
    pub fn step_finished(&self, step: &Step, done: &Done) -> String {
        let symbols = self.style.symbols;
        let label = &step.label;
        let time = Human(done.duration);
        match done.outcome {
            StepOutcome::Succeeded if done.flaky => {
                let symbol = self.style.paint(Paint::Odd, symbols.pass);
                format!(
                    "{symbol} {label} passed in {time} on try {} (flaky)",
                    done.tries
                )
            }
            StepOutcome::Succeeded => {
                let symbol = self.style.paint(Paint::Good, symbols.pass);
                format!("{symbol} {label} passed in {time}")
            }
            StepOutcome::Failed if done.allowed => {
                let symbol = self.style.paint(Paint::Odd, symbols.warn);
                let (verb, after, why) = failure(done);
                format!("{symbol} {label} {verb}{after}, which is allowed: {why}")
            }
            StepOutcome::Failed | StepOutcome::Errored => {
                let symbol = self.style.paint(Paint::Bad, symbols.fail);
                let (verb, after, why) = failure(done);
                let verb = self.style.paint(Paint::Bad, verb);
                let mut text = format!("{symbol} {label} {verb}{after}: {why}");
                let _ = write!(text, "\n    command: {}", self.command(&step.command));
                if let Some(hint) = done.exit.as_ref().and_then(hint) {
                    let _ = write!(text, "\n    hint: {hint}");
                }
                text
            }
            StepOutcome::Skipped => {
                let reason = reason_beside(None, done.reason.as_deref())
                    .map(|why| format!(": {why}"))
                    .unwrap_or_default();
                let line = format!("{} {label} skipped{reason}", symbols.skip);
                self.style.paint(Paint::Dim, line).into_owned()
            }
            StepOutcome::Cancelled => {
                let line = format!("{} {label} cancelled", symbols.skip);
                self.style.paint(Paint::Dim, line).into_owned()
            }
        }
    }

    /// Something that the user should know.
    pub fn warning(&self, message: &str) -> String {
        format!("{} {message}", self.style.paint(Paint::Odd, "warning:"))
    }

    /// Somebody asked the build to end.
    pub fn cancelling(&self, reason: &str, terminal: bool) -> String {
        // Nobody knows that a second one works, unless told.
        let more = if terminal {
            "; Ctrl-C once more kills what still runs"
        } else {
            ""
        };
        self.style
            .paint(Paint::Odd, format!("cancelling: {reason}{more}"))
            .into_owned()
    }

    /// Before the last lines of a failed step's log.
    pub fn tail_begins(&self, label: &str, shown: usize, all: bool) -> String {
        let rule = self.style.symbols.rule;
        let what = if all {
            "all that it printed".to_owned()
        } else {
            format!("its last {shown} lines; {} shows all", self.logs(label))
        };
        let label = self.style.paint(Paint::Bad, format!("{label} failed"));
        format!("{rule} {label}: {what} {rule}")
    }

    /// After the last lines of a failed step's log: one line of a terminal, if how the step ended leaves room for its command.
    pub fn tail_ends(&self, step: &Step, done: &Done, columns: usize) -> String {
        let rule = self.style.symbols.rule;
        let how = how(done);
        let room = columns.saturating_sub(width(&how) + 2 * width(rule) + 4);
        let command = self.style.cut(&step.command, room.max(SHORTEST_COMMAND));
        let command = self.style.paint(Paint::Strong, command);
        format!("{rule} {command}: {how} {rule}")
    }

    /// The build is done (P-23).
    pub fn build_finished(&self, progress: &Progress) -> String {
        let Some(end) = &progress.end else {
            return String::new();
        };
        let mut line = self.verdict(progress, end);
        if end.outcome == Outcome::Succeeded {
            let _ = write!(line, " ({})", success_counts(progress));
            return line;
        }
        let _ = write!(line, " ({})", all_counts(progress.counts));
        if let Some((step, _)) = culprit(progress, end).filter(|(_, done)| has_run(done)) {
            let _ = write!(
                line,
                " {} {}",
                self.style.symbols.dot,
                self.logs(&step.label)
            );
        }
        line
    }

    /// How a build ended, after how long and why.
    pub fn verdict(&self, progress: &Progress, end: &End) -> String {
        let name = progress.about.as_ref().map(title).unwrap_or_default();
        let time = took(end);
        let (paint, verb) = match end.outcome {
            Outcome::Succeeded => (Paint::Good, format!("finished successfully in {time}")),
            Outcome::Failed => (Paint::Bad, format!("failed after {time}")),
            Outcome::Errored => (Paint::Bad, format!("could not be finished, after {time}")),
            Outcome::Cancelled => (Paint::Odd, format!("cancelled after {time}")),
        };
        let line = format!("{name} {}", self.style.paint(paint, verb));
        let why = match (culprit(progress, end), &end.reason) {
            _ if end.outcome == Outcome::Succeeded => None,
            (Some((step, done)), reason) if is_about(step, reason.as_deref()) => {
                Some(format!("{} {}", step.label, predicate(done)))
            }
            (_, reason) => reason.clone(),
        };
        why.map(|why| format!("{line}: {why}")).unwrap_or(line)
    }

    /// The command that shows the whole log of a step.
    pub fn logs(&self, label: &str) -> String {
        format!(
            "piper logs {}",
            quoted(&format!("{}/{label}", self.build.short()))
        )
    }

    fn command<'a>(&self, command: &'a str) -> Cow<'a, str> {
        self.style
            .paint(Paint::Strong, self.style.cut(command, 200).into_owned())
    }
}

/// `hello 1.2.0 [rust=1.80]`.
pub fn title(about: &About) -> String {
    let mut title = about.project.clone();
    if let Some(version) = &about.version {
        let _ = write!(title, " {version}");
    }
    if !about.cell.is_empty() {
        let _ = write!(title, " [{}]", about.cell.join(","));
    }
    title
}

/// An argument, quoted if a shell would take it for something else.
fn quoted(text: &str) -> Cow<'_, str> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"/_-.=,:@%+".contains(&b);
    if text.bytes().all(safe) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''")).into()
    }
}

/// How long a build took. If nobody knows when it ended: at least, or not at all if its steps said nothing.
pub fn took(end: &End) -> String {
    match is_end_unknown(end.outcome, end.reason.as_deref()) {
        false => Human(end.duration).to_string(),
        true if end.duration < Duration::from_millis(100) => "an unknown time".to_owned(),
        true => format!("at least {}", Human(end.duration)),
    }
}

/// The step that made the build end as it did: the one that its reason names, or else the first that failed.
fn culprit<'a>(progress: &'a Progress, end: &End) -> Option<(&'a Step, &'a Done)> {
    let failed = progress.failed.iter();
    let failed = failed.filter_map(|&place| progress.step(place));
    let failed = failed.filter_map(|step| Some((step, step.done()?)));
    let reason = end.reason.as_deref();
    failed
        .clone()
        .find(|(step, _)| is_about(step, reason))
        .or_else(|| failed.clone().next())
}

/// Whether a build's reason says no more than that this step failed.
fn is_about(step: &Step, reason: Option<&str>) -> bool {
    let rest = reason.map(|reason| reason.strip_prefix(&*step.label));
    matches!(rest, None | Some(Some(" failed" | " could not be run")))
}

/// Whether a step's command ever ran.
pub fn has_run(done: &Done) -> bool {
    match done.tries {
        0 => false,
        1 => !matches!(done.exit, Some(Exit::NotStarted(_))),
        _ => true,
    }
}

/// What a failed step did, after how long, and why.
fn failure(done: &Done) -> (&'static str, String, String) {
    let verb = match (done.outcome, &done.exit) {
        (StepOutcome::Errored, Some(Exit::Errored(_))) => "broke",
        (StepOutcome::Errored, _) => "could not be run",
        (_, Some(Exit::NotStarted(_))) => "could not be started",
        _ => "failed",
    };
    let time = Human(done.duration);
    let after = match done.tries {
        _ if !has_run(done) => String::new(),
        1 => format!(" after {time}"),
        tries => format!(" after {time} and {tries} tries"),
    };
    let why = match &done.exit {
        Some(Exit::NotStarted(why)) => words(why).into_owned(),
        Some(
            Exit::Status(_)
            | Exit::Signal(_)
            | Exit::Timeout
            | Exit::IdleTimeout
            | Exit::Cancelled
            | Exit::Rejected(_)
            | Exit::Failed(_)
            | Exit::Skipped(_)
            | Exit::Errored(_),
        )
        | None => how(done),
    };
    (verb, after, why)
}

/// Why a step ended as it did: the reason that was given, or else its exit.
fn how(done: &Done) -> String {
    match (
        &done.exit,
        reason_beside(done.exit.as_ref(), done.reason.as_deref()),
    ) {
        (Some(exit), Some(reason)) => format!("{}: {reason}", describe(exit)),
        (Some(exit), None) => describe(exit),
        (None, Some(reason)) => reason.to_owned(),
        (None, None) => "for an unknown reason".to_owned(),
    }
}

/// What the reason says beyond the exit, if anything.
pub fn reason_beside<'a>(exit: Option<&Exit>, reason: Option<&'a str>) -> Option<&'a str> {
    let said = match exit {
        Some(Exit::NotStarted(why) | Exit::Rejected(why) | Exit::Errored(why)) => words(why),
        Some(
            Exit::Status(_)
            | Exit::Signal(_)
            | Exit::Timeout
            | Exit::IdleTimeout
            | Exit::Cancelled
            | Exit::Failed(_)
            | Exit::Skipped(_),
        )
        | None => Cow::Borrowed(""),
    };
    reason.filter(|reason| words(reason) != said)
}

/// How a process ended, as a part of a sentence.
pub fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exit code {status}"),
        Exit::Signal(signal) => format!("ended by {signal}"),
        Exit::Timeout => "took longer than its `timeout`".to_owned(),
        Exit::IdleTimeout => "was silent for longer than its `idle-timeout`".to_owned(),
        Exit::Cancelled => "ended because the build was cancelled".to_owned(),
        Exit::NotStarted(why) => match words(why) {
            why if why.starts_with("could not ") => why.into_owned(),
            why => format!("could not be started: {why}"),
        },
        Exit::Rejected(why) | Exit::Failed(why) | Exit::Skipped(why) | Exit::Errored(why) => {
            words(why).into_owned()
        }
    }
}

/// How a process ended, in two words.
fn short(exit: &Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exit {status}"),
        Exit::Signal(signal) => signal.clone(),
        Exit::Timeout => "timeout".to_owned(),
        Exit::IdleTimeout => "idle timeout".to_owned(),
        Exit::Cancelled => "cancelled".to_owned(),
        Exit::NotStarted(_) => "not started".to_owned(),
        Exit::Rejected(_) => "unusable outputs".to_owned(),
        Exit::Failed(_) => "failed".to_owned(),
        Exit::Skipped(_) => "skipped".to_owned(),
        Exit::Errored(_) => "broke".to_owned(),
    }
}

/// What a failed step did, after its label.
fn predicate(done: &Done) -> String {
    match (
        &done.exit,
        reason_beside(done.exit.as_ref(), done.reason.as_deref()),
    ) {
        (Some(Exit::Status(status)), _) => format!("exited with {status}"),
        (Some(Exit::Signal(signal)), _) => format!("was ended by {signal}"),
        (Some(Exit::Failed(why)), _) => format!("failed: {}", words(why)),
        (Some(Exit::Errored(why)), _) => format!("broke: {}", words(why)),
        (Some(exit), _) => describe(exit),
        (None, Some(reason)) => format!("could not be run: {reason}"),
        (None, None) => "failed".to_owned(),
    }
}

/// What is worth trying.
fn hint(exit: &Exit) -> Option<&'static str> {
    match exit {
        Exit::Status(127) => {
            Some("a command was not found: is it installed, and on the step's PATH?")
        }
        Exit::Status(126) => {
            Some("a command was found but cannot be executed: is it marked executable?")
        }
        Exit::Signal(signal) if signal == "SIGKILL" => {
            Some("piper did not send it; when memory runs out, the system ends processes so")
        }
        Exit::Timeout => Some("raise the step's `timeout`, or find out what it waits for"),
        Exit::IdleTimeout => {
            Some("raise the step's `idle-timeout`, or let it print something while it works")
        }
        Exit::Status(_)
        | Exit::Signal(_)
        | Exit::Cancelled
        | Exit::NotStarted(_)
        | Exit::Rejected(_)
        | Exit::Failed(_)
        | Exit::Skipped(_)
        | Exit::Errored(_) => None,
    }
}

fn success_counts(progress: &Progress) -> String {
    let counts = progress.counts;
    let mut text = match progress.done() {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    };
    for (count, word) in [
        (counts.flaky, "flaky"),
        (counts.allowed, "allowed to fail"),
        (counts.skipped, "skipped"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text
}

/// All that is not zero: `3 passed, 1 failed, 2 skipped`. No step is counted twice.
pub fn all_counts(counts: Counts) -> String {
    let parts: Vec<_> = [
        (counts.succeeded.saturating_sub(counts.flaky), "passed"),
        (counts.flaky, "flaky"),
        (counts.failed, "failed"),
        (counts.errored, "could not be run"),
        (counts.allowed, "allowed to fail"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if parts.is_empty() {
        "no step is done".to_owned()
    } else {
        parts.join(", ")
    }
}
/// An annotation as compilers write it, which editors understand: `src/a.rs:3:1: error: it is wrong`.
pub fn pointed(annotation: &Annotation) -> String {
    let mut line = String::new();
    if let Some(file) = &annotation.file {
        line.push_str(file);
        for place in [annotation.line, annotation.column]
            .into_iter()
            .map_while(|n| n)
        {
            let _ = write!(line, ":{place}");
        }
        line.push_str(": ");
    }
    line.push_str(annotation.level.as_str());
    line.push_str(": ");
    if let Some(title) = &annotation.title {
        line.push_str(title);
        line.push_str(": ");
    }
    // What follows the first line belongs to it.
    line.push_str(&annotation.message.trim_end().replace('\n', "\n    "));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(r#"{"level":"error","message":"wrong","file":"a.rs","line":3,"column":1}"#, "a.rs:3:1: error: wrong"; "whole")]
    #[test_case(r#"{"level":"warning","message":"hm","title":"t","file":"a.rs"}"#, "a.rs: warning: t: hm"; "without a line")]
    #[test_case(r#"{"level":"notice","message":"hm","file":"a.rs","column":2}"#, "a.rs: notice: hm"; "a column without a line")]
    #[test_case(r#"{"level":"error","message":"a\nb\n"}"#, "error: a\n    b"; "several lines")]
    #[test_case(r#"{"level":"error","message":"wrong"}"#, "error: wrong"; "without a file")]
    fn an_annotation_is_shown_as_compilers_write(item: &str, line: &str) {
        let mut annotation: serde_json::Value = serde_json::from_str(item).unwrap();
        annotation["step"] = "a".into();
        annotation["try"] = 1.into();
        assert_eq!(pointed(&serde_json::from_value(annotation).unwrap()), line);
    }
}
