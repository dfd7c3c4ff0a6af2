//! Reads one report, a test at a time: the members that all dialects of JUnit XML share, and the ways in which they differ.
//!
//! What a test says is believed, what a suite says of its tests is not: the sums of some tools leave out what could not be loaded. But a
//! suite that could not be run at all says so itself, and one that says that tests failed and names none is not believed to be fine.

use crate::bounded::Bounded;
use piper_plugin::prelude::*;
use quick_xml::{
    Reader,
    escape::{resolve_predefined_entity, unescape_with},
    events::{BytesRef, BytesStart, Event as Xml},
};
use std::io::{BufReader, Read};

/// How deep elements may lie in each other. Reports have six.
const DEEPEST: usize = 64;
/// How much is kept of a name or a message.
const LONGEST_NAME: usize = 4 << 10;
/// How much is kept of what a failure or a test says.
const LONGEST_TEXT: usize = 16 << 10;

/// What became of a test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    #[default]
    Passed,
    /// What was expected is not so.
    Failed,
    /// It broke.
    Errored,
    Skipped,
}

/// A test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) suite: String,
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: Option<u32>,
    pub(crate) millis: u64,
    pub(crate) outcome: Outcome,
    /// It passed, but not at the first try.
    pub(crate) is_flaky: bool,
    /// What went wrong, in short.
    pub(crate) message: String,
    /// What went wrong, at length.
    pub(crate) text: String,
    /// What it printed; kept only for those that say nothing else.
    pub(crate) printed: String,
}

/// Calls `each` for every test of a report.
///
/// # Errors
///
/// When it is no report, or ends too early; the tests before were told.
pub(crate) fn read(input: impl Read, each: &mut dyn FnMut(Case)) -> Result<()> {
    let mut xml = Reader::from_reader(BufReader::new(Bounded::new(input)));
    let config = xml.config_mut();
    // A text may be cut anywhere.
    config.allow_dangling_amp = true;
    config.expand_empty_elements = true;
    let mut report = Report::default();
    let mut buffer = Vec::new();
    loop {
        let event = xml.read_event_into(&mut buffer).map_err(broken)?;
        match event {
            Xml::Start(element) => report.start(&element)?,
            Xml::End(element) => report.end(element.local_name().as_ref(), each),
            Xml::Text(text) => report.text(&text.xml10_content()),
            Xml::CData(text) => report.text(&text.xml10_content()),
            Xml::GeneralRef(reference) => report.reference(&reference),
            Xml::Eof => return report.finish(),
            Xml::Decl(_) | Xml::PI(_) | Xml::Comment(_) | Xml::DocType(_) | Xml::Empty(_) => {}
        }
        buffer.clear();
    }
}

fn broken(error: quick_xml::Error) -> Failure {
    match error {
        quick_xml::Error::Io(error) => {
            // What the host refused, or what `Bounded` did.
            let failure = match std::sync::Arc::try_unwrap(error) {
                Ok(error) => Failure::from(error),
                Err(error) => Failure::permanent("io", error),
            };
            match failure.code.as_str() {
                "io" => no_report(failure.message),
                _ => failure,
            }
        }
        other => no_report(format_args!("it is no proper XML: {other}")),
    }
}

/// The code of a file that is not what it should be.
pub(crate) const NO_REPORT: &str = "junit.report";

fn no_report(why: impl std::fmt::Display) -> Failure {
    Failure::permanent(NO_REPORT, why)
}

/// Which text is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Why the test failed.
    Why,
    /// What it printed.
    Printed,
}

#[derive(Default)]
struct Suite {
    name: String,
    file: String,
    /// How many tests it says failed or broke.
    bad: u64,
    /// Whether it has told of a test.
    has_told: bool,
}

#[derive(Default)]
struct Report {
    has_begun: bool,
    depth: usize,
    /// The suites that are open, the outermost first.
    suites: Vec<Suite>,
    /// The test that is open, and how deep.
    case: Option<(usize, Case)>,
    /// What is read, and how deep its element is.
    part: Option<(usize, Part)>,
}

impl Report {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<()> {
        let name = element.local_name();
        let name = name.as_ref();
        self.has_begun = true;
        self.depth += 1;
        if self.depth == 1 && !matches!(name, "testsuites" | "testsuite") {
            return Err(no_report(format_args!(
                "its outermost element is `{}`, and a JUnit report's is `testsuites` or `testsuite`",
                cut(name, 100)
            )));
        }
        if self.depth > DEEPEST {
            return Err(no_report(format_args!(
                "its elements lie more than {DEEPEST} deep in each other"
            )));
        }
        match (&mut self.case, name) {
            (None, "testsuites" | "testsuite") => {
                let count = |key| attribute(element, key).parse().unwrap_or(0_u64);
                self.suites.push(Suite {
                    name: attribute(element, "name"),
                    file: attribute(element, "file"),
                    bad: count("failures").saturating_add(count("errors")),
                    has_told: false,
                });
            }
            // A suite that could not be run: what its tests would have said, nobody knows.
            (None, "error" | "failure") if self.depth == self.suites.len() + 1 => {
                let mut case = self.of_suite();
                self.part = case.add(name, element).map(|part| (self.depth, part));
                self.case = Some((self.depth, case));
            }
            (None, "testcase") => {
                let case = self.begin(element);
                self.case = Some((self.depth, case));
            }
            (Some((depth, case)), name) if self.depth == *depth + 1 => {
                self.part = case.add(name, element).map(|part| (self.depth, part));
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&self, element: &BytesStart<'_>) -> Case {
        let suite = self.suites.last();
        let is_off = |key, words: &[&str]| words.contains(&attribute(element, key).as_str());
        // CTest and GoogleTest say so here.
        let is_skipped = is_off("status", &["notrun", "disabled", "skipped"])
            || is_off("result", &["suppressed", "skipped"]);
        let file = match attribute(element, "file") {
            file if file.is_empty() => suite.map(|suite| suite.file.clone()),
            file => Some(file),
        };
        Case {
            suite: suite.map(|suite| suite.name.clone()).unwrap_or_default(),
            class: attribute(element, "classname"),
            name: attribute(element, "name"),
            file: file.unwrap_or_default(),
            line: attribute(element, "line").parse().ok(),
            millis: millis(&attribute(element, "time")),
            outcome: match is_skipped {
                true => Outcome::Skipped,
                false => Outcome::Passed,
            },
            ..Case::default()
        }
    }

    /// What stands for all tests of the innermost suite.
    fn of_suite(&self) -> Case {
        let suite = self.suites.last();
        let text = |get: fn(&Suite) -> &String| suite.map(get).cloned().unwrap_or_default();
        Case {
            suite: text(|suite| &suite.name),
            file: text(|suite| &suite.file),
            ..Case::default()
        }
    }

    fn end(&mut self, name: &str, each: &mut dyn FnMut(Case)) {
        if self.part.is_some_and(|(depth, _)| depth == self.depth) {
            self.part = None;
        }
        if let Some((_, case)) = self.case.take_if(|(depth, _)| *depth == self.depth) {
            if let Some(suite) = self.suites.last_mut() {
                suite.has_told = true;
            }
            each(case);
        } else if self.case.is_none() && matches!(name, "testsuites" | "testsuite") {
            self.end_suite(each);
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn end_suite(&mut self, each: &mut dyn FnMut(Case)) {
        let alone = self.of_suite();
        let Some(suite) = self.suites.pop() else {
            return;
        };
        let is_silent = suite.bad > 0 && !suite.has_told;
        if is_silent {
            each(Case {
                outcome: Outcome::Errored,
                message: format!("it says that {} failed, and names none", suite.bad),
                ..alone
            });
        }
        if let Some(outer) = self.suites.last_mut() {
            outer.has_told |= suite.has_told || is_silent;
        }
    }

    fn text(&mut self, text: &str) {
        if let (Some((_, case)), Some((_, part))) = (&mut self.case, self.part) {
            let into = match part {
                Part::Why => &mut case.text,
                Part::Printed => &mut case.printed,
            };
            into.push_str(cut(text, LONGEST_TEXT.saturating_sub(into.len())));
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) {
        match reference.resolve_char_ref() {
            Ok(Some(c)) => self.text(c.encode_utf8(&mut [0; 4])),
            // One that only a document type could explain is nothing.
            Ok(None) => {
                self.text(resolve_predefined_entity(&reference.xml10_content()).unwrap_or_default())
            }
            Err(_) => {}
        }
    }

    fn finish(self) -> Result<()> {
        match (self.has_begun, self.depth) {
            (false, _) => Err(no_report("it is empty")),
            (true, 0) => Ok(()),
            _ => Err(no_report("it ends before its outermost element does")),
        }
    }
}

impl Case {
    /// Reads what an element inside of a test says, and which text follows.
    fn add(&mut self, name: &str, element: &BytesStart<'_>) -> Option<Part> {
        let outcome = match name {
            "failure" => Outcome::Failed,
            "error" => Outcome::Errored,
            "skipped" | "disabled" => Outcome::Skipped,
            // Surefire and nextest try again: this one passed at last. (`rerunFailure` stands beside a `failure`.)
            "flakyFailure" | "flakyError" => {
                self.is_flaky = true;
                return None;
            }
            "system-out" | "system-err" => return Some(Part::Printed),
            _ => return None,
        };
        let is_bad = |outcome| matches!(outcome, Outcome::Failed | Outcome::Errored);
        if is_bad(self.outcome) {
            // GoogleTest has an element for each expectation; the first says enough.
            return None;
        }
        self.outcome = outcome;
        if !is_bad(outcome) {
            return None;
        }
        self.message = attribute(element, "message");
        let kind = attribute(element, "type");
        if self.message.is_empty() {
            self.message = kind;
        }
        Some(Part::Why)
    }
}

/// The value of an attribute; empty without one.
fn attribute(element: &BytesStart<'_>, key: &str) -> String {
    let mut attributes = element.attributes();
    // They would compare each with each.
    attributes.with_checks(false);
    let found = attributes.flatten().find(|one| one.key.as_ref() == key);
    let Some(found) = found else {
        return String::new();
    };
    let raw = cut(&found.value, LONGEST_NAME);
    let known = |name: &str| Some(resolve_predefined_entity(name).unwrap_or_default());
    match unescape_with(raw, known) {
        Ok(text) => text.into_owned(),
        Err(_) => raw.to_owned(),
    }
}

/// Milliseconds of seconds, as tools of all countries write them: `1.5`, `1,234.5`, `1,5`. Without floats, whose code would be a tenth of
/// the plugin.
fn millis(text: &str) -> u64 {
    let text = text.trim();
    let point = text.rfind(['.', ',']).unwrap_or(text.len());
    let (whole, fraction) = text.split_at(point);
    let fraction = fraction.get(1..).unwrap_or_default();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = whole.replace([',', '.'], "");
    if !is_number(&whole) || !is_number(fraction) {
        return 0;
    }
    let padded = format!("{fraction:0<3}");
    let whole: u64 = whole.parse().unwrap_or(0);
    let fraction: u64 = padded[..3].parse().unwrap_or(0);
    whole.saturating_mul(1_000).saturating_add(fraction)
}

/// At most so many bytes of a text, up to the end of a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests;
