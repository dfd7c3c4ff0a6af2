//! Plans, written as one script.
//!
//! Every text of the project stands in single quotes or in a comment of which the line ends are removed: nothing of it is read by the shell
//! that reads the script. Each build is a subshell, so that the cells of a matrix cannot disturb each other.

use crate::{
    cli::quote::{quoted, word},
    ui::sanitize::words,
};
use piper_core::{
    plan::{Command, Plan, PlannedStep, Target, cell_text},
    project::{EnvironmentKind, RetryOn, StopSignal, VersionSource, WhenStatus},
};
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

/// The part that is the same in every script. `$tmp` is the folder of the whole run, `$dir` that of one build.
const FRAME: &str = include_str!("frame.sh");

/// The whole script. There is at least one plan.
pub(super) fn write(plans: &[Plan]) -> String {
    let mut text = head(plans);
    text.push_str(FRAME);
    secrets(&mut text, plans);
    for (at, plan) in plans.iter().enumerate() {
        build(&mut text, plan, at + 1);
    }
    text.push_str("\noutcome=0\n");
    for at in 1..=plans.len() {
        let _ = writeln!(text, "( build_{at} ) || outcome=1");
    }
    text.push_str("exit \"$outcome\"\n");
    text
}

fn head(plans: &[Plan]) -> String {
    let first = &plans[0];
    let what = match &first.target {
        Target::Pipeline(name) => format!("The pipeline `{name}`"),
        Target::Step(name) => format!("The step `{name}` with what it needs"),
    };
    let mut text = format!(
        "#!/bin/sh\n# {what} of {}, as piper {} read it in piper.toml.\n\
         # Run it in the folder of piper.toml; write it again with `piper export {}`.\n#\n",
        words(&first.project),
        env!("CARGO_PKG_VERSION"),
        first.target.name(),
    );
    text.push_str(
        "# What `piper exec` does and this script does not:\n\
         #  * steps side by side: here they run one after another, in the order of the plan;\n\
         #  * a built environment: here steps see all variables of whoever runs the script;\n\
         #  * secrets: they must be in the environment; nothing masks them in the output;\n\
         #  * limits of outputs: here a step hands on whatever lies in $PIPER_OUTPUTS, not only up to 64 plain files of 4096 bytes;\n\
         #  * `idle-timeout`, the timeout of the whole build and parts of a second in times;\n\
         #  * the log, the history, and an end for processes that outlive their step.\n",
    );
    for (label, what) in left_out(plans) {
        let _ = writeln!(text, "#  * {label}: {what}");
    }
    text.push_str("#\n# A step's script stands in single quotes on purpose, and functions are called by name:\n# shellcheck disable=SC2016,SC2034,SC2317,SC2329\n\n");
    text
}

/// What is special about some step, and lost.
fn left_out(plans: &[Plan]) -> BTreeSet<(&str, &str)> {
    let mut lost = BTreeSet::new();
    for plan in plans {
        for step in &plan.steps {
            let label = step.step.as_str();
            if matches!(step.command, Command::Plugin(_)) {
                lost.insert((
                    label,
                    "is a plugin, which only piper can run: here it fails",
                ));
            }
            if !step.when.paths.is_empty() {
                lost.insert((label, "runs whichever files changed"));
            }
            if !step.when.branch.is_empty() {
                lost.insert((label, "its branch patterns are read by `case`"));
            }
        }
    }
    lost
}

/// Says all that is missing before anything runs, as `exec` does.
fn secrets(text: &mut String, plans: &[Plan]) {
    let names: BTreeSet<&str> = plans
        .iter()
        .flat_map(|plan| &plan.steps)
        .flat_map(|step| &step.secrets)
        .map(String::as_str)
        .collect();
    if names.is_empty() {
        return;
    }
    text.push_str("\nmissing=\n");
    // No shell hands on a variable whose name it cannot say: such a secret is surely missing.
    for name in names {
        let _ = match is_identifier(name) {
            true => writeln!(
                text,
                "[ -n \"${{{name}+set}}\" ] || missing=\"$missing {name}\""
            ),
            false => writeln!(text, "missing=\"$missing \"{}", quoted(name)),
        };
    }
    text.push_str("if [ -n \"$missing\" ]; then\n  say \"these secrets are not in the environment:$missing\"\n  exit 2\nfi\n");
}

fn build(text: &mut String, plan: &Plan, number: usize) {
    if !plan.cell.is_empty() {
        let _ = write!(text, "\n# {}", cell_text(&plan.cell));
    }
    text.push('\n');
    let _ = writeln!(text, "build_{number}() {{");
    let _ = writeln!(text, "dir=$tmp/{number}\nmkdir \"$dir\"");
    text.push_str(match plan.environment.1 {
        EnvironmentKind::Local => "workspace=$root\n",
        EnvironmentKind::Clean => "fresh_copy\n",
    });
    let _ = writeln!(text, "open_build {}", word(plan.target.name()));
    match &plan.version {
        None => {}
        Some(VersionSource::Static(version)) => {
            let _ = writeln!(
                text,
                "PIPER_VERSION={}\nexport PIPER_VERSION",
                quoted(version)
            );
        }
        Some(VersionSource::GitDescribe(args)) => {
            let args: Vec<_> = args.iter().map(|arg| word(arg)).collect();
            let _ = writeln!(
                text,
                "PIPER_VERSION=$(git describe {} 2>/dev/null) || PIPER_VERSION=\nexport PIPER_VERSION",
                args.join(" ")
            );
        }
    }
    for (name, value) in &plan.params {
        let _ = writeln!(
            text,
            "param {} {} {}",
            word(name.as_str()),
            name.variable(),
            quoted(value)
        );
    }
    let _ = writeln!(
        text,
        "keep_going={}",
        if plan.keep_going { "1" } else { "" }
    );
    for (place, step) in plan.steps.iter().enumerate() {
        planned(text, plan, place, step);
    }
    let _ = writeln!(text, "close_build\n}}");
}

/// One step: a function that becomes its process, and the words that decide whether and how often it is called.
fn planned(text: &mut String, plan: &Plan, place: usize, step: &PlannedStep) {
    let number = place + 1;
    let _ = writeln!(text, "\nstep_{number}() {{");
    if let Command::Plugin(call) = &step.command {
        let message = format!(
            "{} is the plugin {}, which only piper can run",
            step.label, call.uses
        );
        let _ = writeln!(text, "say {}\nexit 1\n}}", quoted(&words(&message)));
    } else {
        process(text, step);
    }
    let needs: String = step
        .waits_for
        .iter()
        .map(|need| format!(" {}", need.0 + 1))
        .collect();
    let before = step.waits_for_all_before.map_or(0, |before| before.0);
    let _ = writeln!(text, "waits {before}{needs}");
    let retry_on: Vec<String> = step
        .retry
        .on
        .iter()
        .map(|on| match on {
            RetryOn::Exit => "exit".to_owned(),
            RetryOn::Status(status) => format!("exit:{status}"),
            RetryOn::Signal => "signal".to_owned(),
            RetryOn::Timeout => "timeout".to_owned(),
        })
        .collect();
    let status = match step.when.status {
        WhenStatus::Success => "success",
        WhenStatus::Failure => "failure",
        WhenStatus::Always => "always",
    };
    let flag = |on: bool| if on { "1" } else { "''" };
    let _ = writeln!(
        text,
        "when={status} allowed={} tty={} timed={} holds={}",
        flag(step.allow_failure),
        flag(step.tty),
        flag(step.timeout.is_some()),
        flag(known_conditions_hold(plan, step)),
    );
    if !step.when.branch.is_empty() {
        let patterns: Vec<String> = step
            .when
            .branch
            .iter()
            .map(|pattern| quoted(pattern))
            .collect();
        let _ = writeln!(text, "on_branch {} || holds=", patterns.join(" "));
    }
    let _ = writeln!(
        text,
        "step {number} {} {} {} {} {} {}",
        plan.steps.len(),
        word(&step.label),
        step.retry.max,
        whole_seconds(step.retry.delay),
        quoted(&retry_on.join(" ")),
        // A cell's value may have slashes.
        word(&step.label.replace('/', "%2F")),
    );
}

/// What becomes of a step's function: its process.
fn process(text: &mut String, step: &PlannedStep) {
    if let Some(cwd) = &step.cwd {
        let _ = writeln!(text, "enter {}", word(cwd));
    }
    let (plain, odd): (Vec<_>, Vec<_>) = step.env.iter().partition(|(name, _)| is_identifier(name));
    for (name, value) in plain {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    match step.timeout {
        None => text.push_str("exec "),
        Some(timeout) => {
            let signal = StopSignal::ALL
                .iter()
                .find(|(_, own)| *own == step.stop_signal);
            let _ = write!(
                text,
                "limited {} {} {} ",
                whole_seconds(timeout),
                whole_seconds(step.grace).max(1),
                signal.map_or("TERM", |(name, _)| name),
            );
        }
    }
    if !odd.is_empty() {
        // Names that a shell cannot say.
        text.push_str("env ");
        for (name, value) in odd {
            let _ = write!(text, "{} ", quoted(&format!("{name}={value}")));
        }
    }
    let argv: Vec<_> = step.command.argv().into_iter().map(word).collect();
    let _ = writeln!(text, "{}\n}}", argv.join(" "));
}

/// The conditions that do not change from run to run: parameters, and that a person asks.
fn known_conditions_hold(plan: &Plan, step: &PlannedStep) -> bool {
    let event = &step.when.event;
    (event.is_empty() || event.iter().any(|event| event == "manual"))
        && step.when.param.iter().all(|(name, values)| {
            plan.params
                .get(name)
                .is_some_and(|value| values.contains(value))
        })
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// In seconds, rounded up: POSIX knows no parts of them.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
