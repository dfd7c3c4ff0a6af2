//! What there is to tell of a build. Texts are as they came: how they are written is for the dialects.

use crate::Chat;
use piper_plugin::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Bad,
    Neutral,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `hello test failed`.
    pub(crate) headline: String,
    pub(crate) mood: Mood,
    /// Where people can look at the build; only addresses that a browser opens.
    pub(crate) url: Option<String>,
    /// What is known of it, in a few words each.
    pub(crate) facts: Vec<(String, String)>,
    /// The end of the failing step's log.
    pub(crate) log: String,
}

/// How long texts may be in a message, in units of UTF-16: all together stay below the 4,096 that Discord takes, and services refuse what
/// is too long for them.
const LONGEST_HEADLINE: usize = 150;
const LONGEST_NAME: usize = 40;
const LONGEST_FACT: usize = 120;
const LONGEST_LOG: usize = 1_200;
const LONGEST_URL: usize = 500;
/// How many facts are told. Slack takes ten.
const MOST_FACTS: usize = 10;

/// An event's body, as much as is told of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    build: String,
    url: Option<String>,
    project: String,
    target: String,
    cell: BTreeMap<String, String>,
    revision: Option<String>,
    version: Option<String>,
    params: BTreeMap<String, String>,
    end: Option<End>,
    previous: Option<End>,
    failure: Option<Broken>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct End {
    outcome: String,
    reason: Option<String>,
    duration_us: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Broken {
    step: String,
    log_tail: String,
}

impl Message {
    /// What is told of an event; nothing of a kind that is not known.
    pub(crate) fn of(event: &Event, wanted: &Chat) -> Option<Self> {
        let body = Body::deserialize(&event.body).unwrap_or_default();
        let was_bad = body
            .previous
            .as_ref()
            .is_some_and(|end| is_bad(&end.outcome));
        let (what, mood) = match event.kind.as_str() {
            "build.started" => ("started".to_owned(), Mood::Neutral),
            "build.finished" => ended(body.end.as_ref(), was_bad),
            _ => return None,
        };
        let cell: Vec<_> = body
            .cell
            .iter()
            .map(|(axis, value)| format!("{axis}={value}"))
            .collect();
        let cell = match cell.is_empty() {
            true => String::new(),
            false => format!("[{}]", cell.join(",")),
        };
        let headline = format!("{} {}{cell} {what}", body.project, body.target);
        let log = body
            .failure
            .as_ref()
            .map(|failure| last_lines(&failure.log_tail, wanted.log_lines));
        Some(Self {
            headline: short(&headline, LONGEST_HEADLINE),
            mood,
            facts: facts(&body, wanted),
            url: body.url.filter(|url| is_address(url)),
            log: log.unwrap_or_default(),
        })
    }
}

fn is_bad(outcome: &str) -> bool {
    matches!(outcome, "failed" | "errored")
}

fn ended(end: Option<&End>, was_bad: bool) -> (String, Mood) {
    let outcome = end.map_or("", |end| end.outcome.as_str());
    match (outcome, was_bad) {
        ("succeeded", true) => ("succeeded again".into(), Mood::Good),
        ("succeeded", false) => ("succeeded".into(), Mood::Good),
        ("failed", true) => ("is still failing".into(), Mood::Bad),
        ("", _) => ("ended".into(), Mood::Neutral),
        (other, _) if is_bad(other) => (other.into(), Mood::Bad),
        (other, _) => (other.into(), Mood::Neutral),
    }
}

fn facts(body: &Body, wanted: &Chat) -> Vec<(String, String)> {
    let revision = body
        .revision
        .as_ref()
        .map(|revision| short_revision(revision));
    let end = body.end.as_ref();
    let mut facts = vec![
        ("build", Some(body.build.clone())),
        ("revision", revision),
        ("version", body.version.clone()),
        (
            "failed",
            body.failure.as_ref().map(|failure| failure.step.clone()),
        ),
        ("reason", end.and_then(|end| end.reason.clone())),
        ("took", end.map(|end| duration(end.duration_us / 1_000_000))),
    ];
    for name in wanted.params.iter().flatten() {
        facts.push((name, body.params.get(name).cloned()));
    }
    facts
        .into_iter()
        .filter_map(|(name, value)| Some((short(name, LONGEST_NAME), short(&value?, LONGEST_FACT))))
        .filter(|(_, value)| !value.is_empty())
        .take(MOST_FACTS)
        .collect()
}

/// A commit's hash as people write it; anything else as it is.
fn short_revision(revision: &str) -> String {
    match revision.len() >= 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => revision[..12].to_owned(),
        false => revision.to_owned(),
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// One line that is not too long, without what moves a cursor or turns the direction of writing.
fn short(text: &str, most: usize) -> String {
    let line = text.replace(['\n', '\t'], " ");
    let shown: String = line.chars().filter(|c| is_shown(*c)).collect();
    if shown.encode_utf16().count() <= most {
        return shown;
    }
    let mut length = 1;
    let fits = |c: &char| {
        length += c.len_utf16();
        length <= most
    };
    shown.chars().take_while(fits).chain(['…']).collect()
}

/// Not by these: they reorder or hide text, so that it reads as something else.
fn is_shown(c: char) -> bool {
    let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !hides
}

fn last_lines(log: &str, most: u32) -> String {
    let lines: Vec<&str> = log.trim_end().lines().collect();
    let first = lines.len().saturating_sub(most as usize);
    let text = lines[first..].join("\n");
    let shown = text
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || is_shown(*c));
    end(&shown.collect::<String>(), LONGEST_LOG, char::len_utf16)
}

/// The end of a text that is not too long, as `length` measures each character.
pub(crate) fn end(text: &str, most: usize, length: impl Fn(char) -> usize) -> String {
    let mut left = most;
    let begin = text
        .char_indices()
        .rev()
        .take_while(|(_, c)| match left.checked_sub(length(*c)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
    let begin = begin.last().map_or(text.len(), |(at, _)| at);
    text[begin..].to_owned()
}

/// Whether a browser opens it, and nothing in it ends the place where it is put.
fn is_address(url: &str) -> bool {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    is_web
        && url.len() <= LONGEST_URL
        && url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>|()[]\"'`\\".contains(&byte))
}
