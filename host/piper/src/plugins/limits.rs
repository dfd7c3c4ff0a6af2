//! What a call may use up: the defaults of its kind, what the operator changed, and which line changes it.
//!
//! Which limits there are is said in [`piper_plugin_host::policy::limit`]; nothing is measured here.

use super::used::{into_part, readable};
use crate::ui::sanitize::words;
use piper_core::{codes, plan::PlannedStep, problem::Problem};
use piper_plugin_host::{
    Crash, Failure, Limits,
    kind::Kind,
    policy::{
        grant,
        limit::{Limit, Reached, Unit},
    },
};
use std::time::Duration;

/// How long a step may run in a pipeline that has no timeout: a year, which a clock can still add.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The limits of a call.
pub fn of(kind: Kind, granted: &grant::Limits) -> Limits {
    let limits = match kind {
        Kind::StepPlanner | Kind::ConfigCheck => Limits::of_planner(),
        Kind::TriggerWebhook => Limits::of_webhook(),
        Kind::Notifier => Limits::of_notifier(),
        // Called by hand, it has no timeout of its own.
        Kind::StepRunner => Limits::of_runner(Duration::from_millis(Limit::Wall.row().ceiling)),
        Kind::TriggerPoll | Kind::LogSink | Kind::LogReader => Limits::default(),
    };
    limits.set(granted)
}

/// The limits of a step that a plugin runs. Its timeout is the engine's to keep, which asks before it ends anything; here it only bounds
/// what is left after that.
pub fn of_step(step: &PlannedStep, granted: &grant::Limits) -> Limits {
    let wall = step.timeout.unwrap_or(ENDLESS).saturating_add(step.grace);
    Limits {
        grace: step.grace,
        wall,
        ..Limits::of_runner(wall).set(granted)
    }
}

/// Of whom it is told that a call ended early.
#[derive(Debug)]
pub struct Subject {
    /// What messages call the plugin.
    pub title: String,
    /// Where the operator can say something of it.
    pub table: Option<String>,
    /// The operator's file.
    pub file: String,
}

impl Subject {
    /// Which call ended, why, and which line to change, in one line.
    pub fn story(&self, crash: &Crash) -> String {
        let mut story = format!(
            "plugin `{}`: its `{}` ended: {} ({})",
            self.title, crash.call, crash.message, crash.code
        );
        if let Some(limit) = crash.limit {
            story.push_str("; ");
            story.push_str(&self.line(limit));
        }
        if let Some(frame) = crash.frames.first() {
            story.push_str(&format!("; in {frame}"));
        }
        story
    }

    /// Likewise of a call whose plugin says itself that it failed.
    pub fn failed(&self, call: &str, failure: &Failure) -> String {
        let title = &self.title;
        match failure.limit {
            Some(limit) => format!(
                "plugin `{title}`: its `{call}` failed: {failure}; {}",
                self.line(limit)
            ),
            None => format!("plugin `{title}`: {failure}{}", advice(failure)),
        }
    }

    /// The limit that was reached, and the line that allows more.
    pub fn line(&self, limit: Reached) -> String {
        line_to_change(limit, self.table.as_deref(), &self.file)
    }
}

/// Where the mistake is and what to do about it, as the end of a line, if the plugin says so.
pub fn advice(failure: &Failure) -> String {
    let place = failure.detail("path").and_then(|path| {
        let option = into_part(&path, "options").map(|pointer| ("option", pointer));
        let config = || into_part(&path, "config").map(|pointer| ("configuration", pointer));
        let (what, pointer) = option.or_else(config)?;
        Some(match pointer {
            "" => format!(", in its {what}"),
            _ => format!(", in its {what} `{}`", words(&readable(pointer))),
        })
    });
    let help = failure
        .detail("help")
        .map(|help| format!(": {}", words(&help)));
    place.unwrap_or_default() + &help.unwrap_or_default()
}

/// The limit that was reached with its number, and the line to change. It goes into the `table` of the plugin (`Standing::table`), if it
/// has a name.
pub fn line_to_change(limit: Reached, table: Option<&str>, file: &str) -> String {
    let Some(line) = limit.line() else {
        let row = limit.limit.row();
        let most = match limit.value < row.ceiling {
            true => format!(
                "and no more than {} can be allowed",
                row.unit.shown(row.ceiling)
            ),
            false => "as high as it can be".to_owned(),
        };
        return format!("its limit is {limit}, {most}: {}", instead(limit.limit));
    };
    match table {
        Some(table) => {
            format!("its limit is {limit}; to allow more, set `{line}` in {table}")
        }
        None => format!(
            "its limit is {limit}, the usual one of a file; `piper plugin add` gives it a name, and `{line}` in the table of that name in {file} allows more"
        ),
    }
}

/// What helps where no line does.
fn instead(limit: Limit) -> &'static str {
    match (limit, limit.row().unit) {
        (Limit::ComponentSize, _) => "the component must become smaller",
        (Limit::Cpu, _) => "the plugin must compute less, or do it in several calls",
        (Limit::Wall, _) => {
            "the plugin and whom it waits for must be faster, or it must do less in one call"
        }
        (_, Unit::Time) => "the other end must answer faster, or be asked for less at once",
        (_, Unit::Rate) => "the plugin must do it less often",
        (_, Unit::Size | Unit::Count) => "the plugin must do with less, or do it in several calls",
    }
}

/// A plugin that does not even begin within its limits.
pub fn too_much(crash: &Crash, subject: &Subject) -> Problem {
    let message = format!(
        "plugin `{}` cannot be run: {} ({})",
        subject.title, crash.message, crash.code
    );
    let mut problem = Problem::error(codes::NOT_LOADABLE, message);
    problem
        .help
        .extend(crash.limit.map(|limit| subject.line(limit)));
    problem
}

/// As the operator's file has it.
pub fn seconds(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1000 != 0 => format!("{millis}ms"),
        millis => format!("{}s", millis / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin_host::policy::limit::TABLE;
    use serde_json::json;
    use test_case::test_case;

    #[test]
    fn what_the_operator_wrote_wins() {
        let mut granted = grant::Limits::default();
        for row in &TABLE {
            granted = granted.with(row.limit, row.ceiling / 2);
        }
        let limits = of(Kind::StepPlanner, &granted);
        for row in &TABLE {
            assert_eq!(limits.value(row.limit), row.ceiling / 2, "{}", row.key);
        }
        assert_eq!(
            of(Kind::StepPlanner, &grant::Limits::default()),
            Limits::of_planner()
        );
    }

    #[test_case(
        Some("`[plugins.es]`"),
        5_000,
        "its limit is cpu: 5 s; to allow more, set `limits.cpu = \"10s\"` in `[plugins.es]`"
    )]
    #[test_case(Some("`[plugins.es]`"), 60_000, "its limit is cpu: 60 s, as high as it can be"; "at the ceiling")]
    #[test_case(None, 5_000, "`piper plugin add` gives it a name, and `limits.cpu = \"10s\"` in the table"; "a file has no table until it has a name")]
    fn the_limit_and_the_line_to_change_are_named(table: Option<&str>, value: u64, expected: &str) {
        let limit = Limit::Cpu;
        let line = line_to_change(Reached::new(limit, value), table, "plugins.toml");
        assert!(line.contains(expected), "{line}");
    }

    #[test_case(json!({ "path": "/options/files/0", "help": "name\nanother" }), ", in its option `files[0]`: name another")]
    #[test_case(json!({ "path": "/config/url" }), ", in its configuration `url`")]
    #[test_case(json!({ "path": "/config" }), ", in its configuration"; "all of it")]
    #[test_case(json!({ "path": "/optionsmore" }), ""; "another part")]
    #[test_case(json!({ "path": "/facts", "help": "wait" }), ": wait"; "a place that nobody writes")]
    #[test_case(json!({}), ""; "nothing")]
    fn what_a_plugin_advises_is_said(details: serde_json::Value, expected: &str) {
        let mut failure = Failure::invalid("x", "no");
        failure.details = Some(details.to_string());
        assert_eq!(advice(&failure), expected);
    }

    #[test_case(
        Limit::HttpConnect,
        "as high as it can be: the other end must answer faster"
    )]
    #[test_case(Limit::Cpu, "as high as it can be: the plugin must compute less")]
    #[test_case(
        Limit::StateWrites,
        "as high as it can be: the plugin must do it less often"
    )]
    #[test_case(Limit::Memory, "as high as it can be: the plugin must do with less")]
    fn where_no_line_helps_something_else_is_advised(limit: Limit, expected: &str) {
        let reached = Reached::new(limit, limit.row().ceiling);
        let line = line_to_change(reached, None, "plugins.toml");
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn every_limit_that_was_reached_names_its_own_line() {
        // Some can only be lowered.
        for row in TABLE.iter().filter(|row| row.usual < row.ceiling) {
            let (limit, value) = (row.limit, row.usual);
            let line = line_to_change(Reached::new(limit, value), Some("`[plugins.es]`"), "");
            let key = format!("`limits.{} = ", row.key);
            assert!(line.contains(&key), "{line}");
        }
    }
}
