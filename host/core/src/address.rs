//! How people name a build and what is in it: `BUILD[.ATTEMPT][/STEP[#TRY]]`.
//!
//! Only the text is understood here; which build it means is found by [`History::find`](crate::record::History::find).

use crate::{
    codes::UNKNOWN_BUILD,
    id::{BuildId, PipelineName, StepName},
    problem::Problem,
};
use std::fmt;

/// A build, and perhaps an attempt and a step of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Which build.
    pub build: BuildRef,
    /// Which attempt, from 1; the newest if it does not say.
    pub attempt: Option<u32>,
    /// Which step; the whole build if it does not say.
    pub step: Option<StepRef>,
}

/// Which build is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildRef {
    /// `@`: the newest here.
    Newest,
    /// `@PIPELINE`: the newest of this pipeline, or of a step that was asked for by name.
    NewestOf(PipelineName),
    /// `@failed`: the newest that failed. A pipeline of this name has to be given by its builds' ids.
    NewestFailed,
    /// The one whose id begins so. Never empty, never longer than an id, and made of an id's letters.
    Prefix(String),
}

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// Its label: the name, with its cell in brackets if it has one: `unit[rust=1.80]`; of a planned step after its planner's:
    /// `report/upload`.
    pub label: String,
    /// Which try, from 1; all of them if it does not say.
    pub r#try: Option<u32>,
}

impl Address {
    /// The newest build here, as a whole: what a command means that is given no address.
    pub const NEWEST: Self = Self {
        build: BuildRef::Newest,
        attempt: None,
        step: None,
    };

    /// Reads an address.
    ///
    /// # Errors
    ///
    /// When `text` is not of the form `BUILD[.ATTEMPT][/STEP[#TRY]]`, or names a request.
    pub fn parse(text: &str) -> Result<Self, Box<Problem>> {
        let (build, step) = match text.split_once('/') {
            Some((build, step)) => (build, Some(StepRef::parse(step, text)?)),
            None => (text, None),
        };
        // Neither ids nor names have dots.
        let (build, attempt) = match build.split_once('.') {
            Some((build, attempt)) => {
                let attempt = number(attempt).ok_or_else(|| {
                    malformed(
                        text,
                        &format!("`{attempt}` is not the number of an attempt"),
                    )
                })?;
                (build, Some(attempt))
            }
            None => (build, None),
        };
        Ok(Self {
            build: BuildRef::parse(build, text)?,
            attempt,
            step,
        })
    }
}

impl BuildRef {
    fn parse(text: &str, address: &str) -> Result<Self, Box<Problem>> {
        match text.strip_prefix('@') {
            Some("") => Ok(Self::Newest),
            Some("failed") => Ok(Self::NewestFailed),
            Some(name) => match PipelineName::parse(name) {
                Ok(name) => Ok(Self::NewestOf(name)),
                Err(error) => Err(malformed(address, &error.to_string()).into()),
            },
            None if BuildId::is_prefix(text) => Ok(Self::Prefix(text.to_owned())),
            None if text.starts_with("r-") => Err(Problem::error(
                UNKNOWN_BUILD,
                format!("`{text}` is a request: farms keep requests, and this piper knows the builds of this machine only"),
            )
            .help("`piper builds` lists the builds of this project")
            .into()),
            None if text.is_empty() => Err(malformed(address, "it does not begin with a build").into()),
            None => Err(malformed(address, &format!("no build's id begins with `{text}`"))
                .help(format!("`@{text}` is the newest build of pipeline `{text}`, `@/{text}` is step `{text}` of the newest build"))
                .into()),
        }
    }
}

impl StepRef {
    fn parse(text: &str, address: &str) -> Result<Self, Box<Problem>> {
        // A cell's value may hold any character; but what follows a cell has no bracket that closes.
        let (label, r#try) = match text.rsplit_once('#') {
            Some((label, r#try)) if !r#try.contains(']') => {
                let number = number(r#try).ok_or_else(|| {
                    malformed(address, &format!("`{try}` is not the number of a try"))
                })?;
                (label, Some(number))
            }
            _ => (text, None),
        };
        if !is_label(label) {
            return Err(malformed(address, &format!("`{label}` is not a step")).into());
        }
        Ok(Self {
            label: label.to_owned(),
            r#try,
        })
    }
}

/// Whether a step can be called so: names with or without cells, a planner's before those that it planned.
fn is_label(label: &str) -> bool {
    let names = |text: &str| text.split('/').all(|name| StepName::parse(name).is_ok());
    match label.split_once('[') {
        None => names(label),
        // A cell's value may hold anything, what ends a cell included: only behind the last one there are surely names.
        Some((before, cell)) => {
            names(before)
                && (cell.ends_with(']')
                    || cell
                        .rsplit_once("]/")
                        .is_some_and(|(_, planned)| names(planned)))
        }
    }
}

/// Attempts and tries count from 1.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    digits.then(|| text.parse().ok())?
}

fn malformed(address: &str, why: &str) -> Problem {
    Problem::error(UNKNOWN_BUILD, format!("`{address}` names no build: {why}")).help(
        "an address is `BUILD[.ATTEMPT][/STEP[#TRY]]`, where BUILD is the beginning of an id, `@` (the newest here), `@PIPELINE` or `@failed`",
    )
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.build)?;
        if let Some(attempt) = self.attempt {
            write!(f, ".{attempt}")?;
        }
        match &self.step {
            Some(step) => write!(f, "/{step}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BuildRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("@"),
            Self::NewestOf(name) => write!(f, "@{name}"),
            Self::NewestFailed => f.write_str("@failed"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)?;
        match self.r#try {
            Some(number) => write!(f, "#{number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    fn step(label: &str, r#try: Option<u32>) -> Option<StepRef> {
        Some(StepRef {
            label: label.to_owned(),
            r#try,
        })
    }

    #[test_case("@", BuildRef::Newest, None, None; "newest")]
    #[test_case("@failed", BuildRef::NewestFailed, None, None; "newest failed")]
    #[test_case("@deploy.2", BuildRef::NewestOf(PipelineName::parse("deploy").unwrap()), Some(2), None; "newest of a pipeline")]
    #[test_case("bcd", BuildRef::Prefix("bcd".to_owned()), None, None; "beginning of an id")]
    #[test_case("bcd.1/unit#3", BuildRef::Prefix("bcd".to_owned()), Some(1), step("unit", Some(3)); "a try of a step")]
    #[test_case("@/unit[os=a/b#2]", BuildRef::Newest, None, step("unit[os=a/b#2]", None); "a cell with odd characters")]
    #[test_case("@/report/upload#2", BuildRef::Newest, None, step("report/upload", Some(2)); "a planned step")]
    #[test_case("@/report[os=a/b]/up[n=1]/x", BuildRef::Newest, None, step("report[os=a/b]/up[n=1]/x", None); "a planned step of a cell")]
    #[test_case("@/unit[os=a]#2", BuildRef::Newest, None, step("unit[os=a]", Some(2)); "a try of a cell")]
    fn an_address_is_read(
        text: &str,
        build: BuildRef,
        attempt: Option<u32>,
        step: Option<StepRef>,
    ) {
        let address = Address {
            build,
            attempt,
            step,
        };
        assert_eq!(Address::parse(text), Ok(address));
    }

    #[test_case("", "names no build"; "nothing")]
    #[test_case("unit", "`@/unit` is step `unit` of the newest build"; "a step alone")]
    #[test_case("r-bcdfghj", "is a request"; "a request")]
    #[test_case("BCD", "no build's id begins with `BCD`"; "capitals")]
    #[test_case("bcdfghjklmnpqrstv", "no build's id begins"; "too long")]
    #[test_case("@.x", "`x` is not the number of an attempt"; "attempt in letters")]
    #[test_case("@.0", "`0` is not the number of an attempt"; "attempt zero")]
    #[test_case("@.+1", "`+1` is not the number of an attempt"; "attempt with a sign")]
    #[test_case("@/", "`` is not a step"; "no step")]
    #[test_case("@/a/", "`a/` is not a step"; "no planned step")]
    #[test_case("@/a[b]c", "`a[b]c` is not a step"; "more behind a cell")]
    #[test_case("@/unit#", "`` is not the number of a try"; "no try")]
    #[test_case("@/unit[a", "`unit[a` is not a step"; "open bracket")]
    #[test_case("@a b", "is not a name"; "no name")]
    #[test_case("bcd.99999999999", "is not the number"; "too large")]
    fn a_wrong_address_says_why(text: &str, why: &str) {
        let problem = Address::parse(text).unwrap_err();
        let said = format!("{} {}", problem.message, problem.help.join(" "));
        assert!(said.contains(why), "{said}");
        assert_eq!(problem.code, UNKNOWN_BUILD);
    }

    fn addresses() -> impl Strategy<Value = Address> {
        let name = "[A-Za-z0-9][A-Za-z0-9_-]{0,8}";
        let build = prop_oneof![
            Just(BuildRef::Newest),
            Just(BuildRef::NewestFailed),
            name.prop_filter("a word with a meaning", |name| name != "failed")
                .prop_map(|name| BuildRef::NewestOf(
                    PipelineName::parse(&name).expect("made as a name")
                )),
            "[bcdfghjklmnpqrstvwxz]{1,16}".prop_map(BuildRef::Prefix),
        ];
        let step = (
            name,
            proptest::option::of(any::<String>()),
            proptest::option::of(1_u32..),
        )
            .prop_map(|(name, cell, r#try)| StepRef {
                label: cell.map_or_else(|| name.clone(), |cell| format!("{name}[{cell}]")),
                r#try,
            });
        (
            build,
            proptest::option::of(1_u32..),
            proptest::option::of(step),
        )
            .prop_map(|(build, attempt, step)| Address {
                build,
                attempt,
                step,
            })
    }

    #[test_case("a[x=]/]", true; "a value that looks like the end of a cell")]
    #[test_case("a[x=]/]/b", true; "and a planned step behind it")]
    #[test_case("a[x=b]/c[y=d]", true; "cells of a planner and of its step")]
    #[test_case("a[x=b]/c/d", true; "planned by what was planned")]
    #[test_case("a/b", true; "planned")]
    #[test_case("a[x=b", false; "no end")]
    #[test_case("a[x=b]c", false; "a name behind a cell")]
    #[test_case("a[x=b]/", false; "no name behind a slash")]
    #[test_case("", false; "nothing")]
    fn a_step_with_any_cell_has_an_address(label: &str, is: bool) {
        assert_eq!(is_label(label), is);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(address in addresses()) {
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
