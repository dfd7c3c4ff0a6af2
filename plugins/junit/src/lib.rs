//! Reads JUnit XML, points at the tests that failed, and sums up.
//!
//! Reports come from tools that run the project's code, so nothing in them is trusted: `bounded` limits what is held of them, `report`
//! knows the dialects, `place` finds the files. What of it all becomes of the step is decided here.

mod bounded;
mod place;
mod report;

use piper_plugin::{prelude::*, settings::OneOrMore};
use place::{Finder, Place};
use report::{Case, Outcome};
use std::{collections::BTreeSet, fmt::Write};

/// Reads the reports of tests.
#[settings]
struct Junit {
    /// The reports: a pattern of paths in the workspace, or several.
    files: OneOrMore,
    /// A test that failed fails the step. The tool that wrote the report may have been allowed to fail, so that this step has the last word.
    #[setting(default = true)]
    fail_on_failure: bool,
    /// A pattern that matches no file is no mistake.
    #[setting(default = false)]
    allow_missing: bool,
}

/// How many annotations a step may have.
const MOST_ANNOTATIONS: usize = 200;
/// How many failed tests are named in the step's message.
const MOST_NAMED: usize = 3;
/// How much an annotation says.
const LONGEST_ANNOTATION: usize = 4 << 10;
/// How many lines of a failure the step's log has.
const MOST_LINES: usize = 20;

impl StepRunner for Junit {
    fn run(&self, step: &Step) -> Result<Verdict> {
        let mut sum = Sum::default();
        for path in self.paths()? {
            sum.files += 1;
            let read = files::open(&path)
                .and_then(|file| report::read(file, &mut |case| sum.add(case, &path, step)));
            match read {
                Ok(()) => {}
                Err(failure) if failure.code == report::NO_REPORT => {
                    sum.unreadable(&path, &failure, step);
                }
                Err(failure) => return Err(failure.while_doing(format_args!("reading {path}"))),
            }
        }
        sum.outputs(step)?;
        // Of what is green, the sum is the verdict's message, which piper prints.
        if !sum.is_green() {
            step.print(format_args!("{sum}\n"));
        }
        step.summary(&sum)?;
        Ok(sum.verdict(self.fail_on_failure))
    }
}

impl Junit {
    fn paths(&self) -> Result<BTreeSet<String>> {
        self.files.paths("files", |mistake| match self.allow_missing {
            true => Ok(()),
            false => Err(mistake.help("did the tests run, and do they write their report there? If it may be missing: `allow-missing = true`")),
        })
    }
}

/// What all reports say together.
#[derive(Default)]
struct Sum {
    files: usize,
    unreadable: Vec<String>,
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
    flaky: u64,
    millis: u64,
    /// The first tests that failed.
    named: Vec<String>,
    annotations: usize,
    finder: Finder,
}

impl Sum {
    fn add(&mut self, case: Case, report: &str, step: &Step) {
        self.tests += 1;
        self.millis = self.millis.saturating_add(case.millis);
        self.flaky += u64::from(case.is_flaky);
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Skipped => self.skipped += 1,
            Outcome::Failed => {
                self.failures += 1;
                self.point_at(&case, report, step);
            }
            Outcome::Errored => {
                self.errors += 1;
                self.point_at(&case, report, step);
            }
        }
    }

    /// Tells of a test that failed.
    fn point_at(&mut self, case: &Case, report: &str, step: &Step) {
        let name = name(case);
        if self.named.len() < MOST_NAMED {
            self.named.push(name.clone());
        }
        if self.annotations >= MOST_ANNOTATIONS {
            return;
        }
        let place = self.finder.place(case, report);
        let text = text(case);
        let mut lines = String::new();
        for line in text.lines().take(MOST_LINES) {
            let _ = writeln!(lines, "    {line}");
        }
        let at = place
            .as_ref()
            .map_or_else(String::new, |place| format!(" ({place})"));
        step.print(format_args!("FAILED {name}{at}\n{lines}"));
        let mut annotation = Annotation::error(report::cut(&text, LONGEST_ANNOTATION)).title(name);
        if let Some(Place { file, line }) = place {
            annotation = annotation.file(file);
            if let Some(line) = line.filter(|line| *line > 0) {
                annotation = annotation.line(line);
            }
        }
        self.annotate(&annotation, step);
    }

    fn unreadable(&mut self, path: &str, failure: &Failure, step: &Step) {
        let why = plain(&failure.message);
        step.print(format_args!("UNREADABLE {path}: {why}\n"));
        self.unreadable.push(path.to_owned());
        if self.annotations < MOST_ANNOTATIONS {
            let message = format!("this is no whole JUnit report: {why}");
            self.annotate(&Annotation::error(message).file(path), step);
        }
    }

    fn annotate(&mut self, annotation: &Annotation, step: &Step) {
        self.annotations += 1;
        if let Err(failure) = step.annotate(annotation) {
            // Other steps' plugins may have used the limit up; the log has it all.
            warn!("{failure}");
            self.annotations = MOST_ANNOTATIONS;
        }
    }

    fn outputs(&self, step: &Step) -> Result<()> {
        step.output("tests", self.tests)?;
        step.output("failures", self.failures)?;
        step.output("errors", self.errors)?;
        step.output("skipped", self.skipped)?;
        step.output("flaky", self.flaky)?;
        step.output("time", Seconds(self.millis))
    }

    /// Every test passed or was skipped, as far as anybody can know.
    fn is_green(&self) -> bool {
        self.bad() == 0 && self.unreadable.is_empty()
    }

    fn bad(&self) -> u64 {
        self.failures + self.errors
    }

    fn verdict(&self, fail_on_failure: bool) -> Verdict {
        if let Some(first) = self.unreadable.first() {
            let count = self.unreadable.len();
            return Verdict::failed(format_args!(
                "{count} of {} cannot be read: {first}{}",
                plural(self.files as u64, "report"),
                if count > 1 { ", …" } else { "" },
            ));
        }
        if self.is_green() {
            return Verdict::passed().because(self);
        }
        let bad = self.bad();
        let named = self.named.join(", ");
        let more = if bad > self.named.len() as u64 {
            ", …"
        } else {
            ""
        };
        let message = format!(
            "{bad} of {} failed: {named}{more}",
            plural(self.tests, "test")
        );
        match fail_on_failure {
            true => Verdict::failed(message),
            false => Verdict::passed().because(message),
        }
    }
}

/// One line: `12 tests in 3 files: 9 passed, 1 failed, 1 errored, 1 skipped, 1 flaky; 4.200 s`.
impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bad = self.failures + self.errors + self.skipped;
        write!(
            f,
            "{} in {}: {} passed",
            plural(self.tests, "test"),
            plural(self.files as u64, "file"),
            self.tests - bad
        )?;
        let others = [
            (self.failures, "failed"),
            (self.errors, "errored"),
            (self.skipped, "skipped"),
            (self.flaky, "flaky"),
            (self.unreadable.len() as u64, "unreadable"),
        ];
        for (count, word) in others.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {word}")?;
        }
        write!(f, "; {} s", Seconds(self.millis))
    }
}

struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// What people call a test. Some tools repeat the class in the name, or the name in the class.
fn name(case: &Case) -> String {
    let (class, name) = (plain(&case.class), plain(&case.name));
    let name = match (class.as_str(), name.as_str()) {
        ("", "") => plain(&case.suite),
        ("", _) => name,
        (_, "") => class,
        _ if name.starts_with(&class) || class.ends_with(&name) => name,
        _ => format!("{class} {name}"),
    };
    report::cut(&name.replace('\n', " "), 300).to_owned()
}

/// What went wrong, as people should read it.
fn text(case: &Case) -> String {
    let (message, text) = (plain(&case.message), plain(&case.text));
    let (message, text) = (message.trim(), text.trim());
    match (message.is_empty(), text.is_empty()) {
        (true, true) => match plain(&case.printed).trim() {
            "" => "failed, and its report does not say why".to_owned(),
            printed => printed.to_owned(),
        },
        (false, true) => message.to_owned(),
        // Go's message is always `Failed`.
        (true, false) => text.to_owned(),
        (false, false) if text.contains(message) || message == "Failed" => text.to_owned(),
        (false, false) => format!("{message}\n{text}"),
    }
}

/// Text without what would colour or move a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // A sequence ends with its first letter.
                let _ = chars.by_ref().find(|c| ('@'..='~').contains(c));
            }
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

piper_plugin::plugin! { step_runner: Junit }

#[cfg(test)]
mod tests;
