//! What a call may use up: the defaults of its kind, what the operator changed, and which line changes it.
//!
//! Where each limit holds and what it stops is said in [`piper_plugin_host::limits`].

use piper_core::plan::PlannedStep;
use piper_plugin_host::{
    Crash, Limits,
    kind::Kind,
    limits::{CPU_CEILING, MEMORY_CEILING, WALL_CEILING, in_units},
    policy::grant,
};
use std::time::Duration;

/// How long a step may run that is called by hand and has no timeout of its own.
const RUN: Duration = WALL_CEILING;
/// How long a step may run in a pipeline that has no timeout: a year, which a clock can still add.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long somebody may take to be told something: whoever ran the build sits before it.
const TOLD: Duration = Duration::from_secs(10);

/// The limits of a call.
pub fn of(kind: Kind, granted: &grant::Limits) -> Limits {
    let limits = match kind {
        Kind::StepPlanner | Kind::ConfigCheck => Limits::of_planner(),
        Kind::TriggerWebhook => Limits::of_webhook(),
        Kind::StepRunner => Limits::of_runner(RUN),
        Kind::Notifier => Limits {
            wall: TOLD,
            ..Limits::default()
        },
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
    pub fn story(&self, crash: &Crash, limits: &Limits) -> String {
        let mut story = format!(
            "plugin `{}`: its `{}` ended: {} ({})",
            self.title, crash.call, crash.message, crash.code
        );
        if let Some(line) = line_to_change(crash.code, self.table.as_deref(), limits, &self.file) {
            story.push_str("; ");
            story.push_str(&line);
        }
        if let Some(frame) = crash.frames.first() {
            story.push_str(&format!("; in {frame}"));
        }
        story
    }
}

/// The line to change for a call that ended at this limit; `None` if it is none, or none that can be changed. It goes into the `table`
/// of the plugin (`Standing::table`), if it has a name.
pub fn line_to_change(
    code: &str,
    table: Option<&str>,
    limits: &Limits,
    file: &str,
) -> Option<String> {
    let (key, more) = match code {
        "limit.memory" => ("memory", size((limits.memory * 2).min(MEMORY_CEILING))),
        "limit.cpu" => ("cpu", seconds((limits.cpu * 2).min(CPU_CEILING))),
        "limit.time" => ("wall", seconds((limits.wall * 2).min(WALL_CEILING))),
        _ => return None,
    };
    let is_highest = match key {
        "memory" => limits.memory >= MEMORY_CEILING,
        "cpu" => limits.cpu >= CPU_CEILING,
        _ => limits.wall >= WALL_CEILING,
    };
    if is_highest {
        return Some(format!(
            "`limits.{key}` is as high as it can be: the plugin must do with less, or do it in several calls"
        ));
    }
    Some(match table {
        Some(table) => format!("to allow more, write `limits.{key} = \"{more}\"` into {table}"),
        None => format!(
            "a file has the usual limits; `piper plugin add` gives it a name, and `limits.{key} = \"{more}\"` in the table of that name in {file} allows more"
        ),
    })
}

/// As the operator's file has it.
pub fn size(bytes: usize) -> String {
    let (number, unit) = in_units(bytes);
    format!("{number}{unit}")
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
    use test_case::test_case;

    #[test]
    fn what_the_operator_wrote_wins() {
        let granted = grant::Limits {
            memory: Some(256 << 20),
            cpu: Some(Duration::from_secs(9)),
            wall: Some(Duration::from_secs(90)),
            http_concurrent: Some(2),
            ..grant::Limits::default()
        };
        let limits = of(Kind::StepPlanner, &granted);
        assert_eq!(
            (
                limits.memory,
                limits.cpu,
                limits.wall,
                limits.http_concurrent
            ),
            (
                256 << 20,
                Duration::from_secs(9),
                Duration::from_secs(90),
                2
            )
        );
        assert_eq!(
            of(Kind::StepPlanner, &grant::Limits::default()),
            Limits::of_planner()
        );
    }

    #[test_case("limit.cpu", Limits::default(), Some("limits.cpu = \"10s\""))]
    #[test_case("limit.memory", Limits::default(), Some("limits.memory = \"256MiB\""))]
    #[test_case("limit.time", Limits::of_planner(), Some("limits.wall = \"20s\""))]
    #[test_case("limit.cpu", Limits { cpu: CPU_CEILING, ..Limits::default() }, Some("as high as it can be"); "at the ceiling")]
    #[test_case("limit.stack", Limits::default(), None; "not to be changed")]
    #[test_case("plugin.trap", Limits::default(), None; "no limit")]
    fn the_line_to_change_is_named(code: &str, limits: Limits, expected: Option<&str>) {
        let line = line_to_change(code, Some("`[plugins.es]`"), &limits, "plugins.toml");
        match expected {
            Some(expected) => assert!(line.as_ref().unwrap().contains(expected), "{line:?}"),
            None => assert_eq!(line, None),
        }
    }

    #[test_case(128 << 20, "128MiB")]
    #[test_case(100 << 10, "100KiB")]
    #[test_case(1, "1KiB"; "never nothing")]
    fn a_size_is_written_as_it_is_read(bytes: usize, expected: &str) {
        assert_eq!(size(bytes), expected);
    }

    #[test]
    fn a_file_has_no_line_to_change_until_it_has_a_name() {
        let line = line_to_change("limit.cpu", None, &Limits::default(), "plugins.toml");
        let line = line.unwrap();
        assert!(
            line.contains("`piper plugin add` gives it a name"),
            "{line}"
        );
    }
}
