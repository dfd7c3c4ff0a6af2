//! A plan for people.

use crate::ui::{
    sanitize::words,
    style::{Paint, Style},
};
use piper_core::{
    plan::{Command, Order, Plan, PlannedStep, PluginCall, Target, cell_text},
    project::{EnvPattern, EnvironmentKind, Project, Retry, RetryOn, When, WhenStatus},
    time::Human,
};
use std::{fmt::Write as _, time::Duration};

/// So many lines of a script are shown, unless everything is wanted.
const SCRIPT_LINES: usize = 6;
/// Up to so many steps are named as those that another waits for.
const NAMED_WAITS: usize = 6;

pub(super) fn render(project: &Project, plans: &[Plan], style: Style, verbose: bool) -> String {
    let mut text = String::new();
    for (at, plan) in plans.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        head(&mut text, project, plan, (at + 1, plans.len()), style);
        let digits = plan.steps.len().to_string().len();
        for (place, step) in plan.steps.iter().enumerate() {
            let about = project
                .steps
                .get(&step.step)
                .and_then(|step| step.about.as_deref());
            let _ = write!(
                text,
                "\n{:>digits$}  {}",
                place + 1,
                style.paint(Paint::Strong, step.label.as_str())
            );
            if let Some(about) = about {
                let _ = write!(text, "  {}", style.paint(Paint::Dim, words(about)));
            }
            for (key, value) in details(plan, step, verbose) {
                let _ = write!(
                    text,
                    "\n{:digits$}  {}",
                    "",
                    style.paint(Paint::Dim, format!("{key:<8}"))
                );
                // Every further line stands under the first.
                let _ = write!(
                    text,
                    "{}",
                    value.replace('\n', &format!("\n{:1$}", "", digits + 10))
                );
            }
            text.push('\n');
        }
    }
    text.pop();
    text
}

fn head(
    text: &mut String,
    project: &Project,
    plan: &Plan,
    (build, builds): (usize, usize),
    style: Style,
) {
    let (what, about) = match &plan.target {
        Target::Pipeline(name) => (
            "pipeline",
            project
                .pipelines
                .get(name)
                .and_then(|pipeline| pipeline.about.as_deref()),
        ),
        Target::Step(_) => ("step", None),
    };
    let (environment, kind) = &plan.environment;
    let place = match kind {
        EnvironmentKind::Local => "in the checkout",
        EnvironmentKind::Clean => "in a fresh copy of HEAD",
    };
    let _ = write!(
        text,
        "{what} {} of {}, environment {environment} ({place})",
        style.paint(Paint::Strong, plan.target.name()),
        words(&plan.project)
    );
    if builds > 1 {
        let _ = write!(
            text,
            ", build {build} of {builds}: {}",
            style.paint(Paint::Strong, cell_text(&plan.cell))
        );
    }
    text.push('\n');
    if let Some(about) = about {
        let _ = writeln!(text, "{}", style.paint(Paint::Dim, words(about)));
    }
    for (name, value) in &plan.params {
        let _ = writeln!(text, "  {name} = {value:?}");
    }
    if let Some(timeout) = plan.timeout {
        let _ = writeln!(text, "  all of it within {}", duration(timeout));
    }
    if plan.keep_going {
        text.push_str("  after a failure, steps that do not depend on it still run\n");
    }
    if plan.steps.is_empty() {
        text.push_str("  no step to run\n");
    }
}

/// What there is to say of a step: a word, and what it says.
fn details(plan: &Plan, step: &PlannedStep, verbose: bool) -> Vec<(&'static str, String)> {
    let mut details = vec![
        ("runs", command(&step.command, verbose)),
        ("after", waits(plan, step)),
    ];
    let mut add = |key, value: String| {
        if !value.is_empty() {
            details.push((key, value));
        }
    };
    add("if", when(&step.when));
    add(
        "in",
        step.cwd
            .as_deref()
            .map(|cwd| words(cwd).into_owned())
            .unwrap_or_default(),
    );
    let mut names: Vec<String> = step
        .env
        .iter()
        .map(|(name, _)| words(name).into_owned())
        .collect();
    names.extend(step.pass_env.iter().map(|pattern| match pattern {
        EnvPattern::Name(name) => format!("{} (the caller's)", words(name)),
        EnvPattern::Prefix(prefix) => format!("{}* (the caller's)", words(prefix)),
    }));
    if !step.color {
        names.push("no colours".to_owned());
    }
    add("env", names.join(", "));
    add(
        "secrets",
        step.secrets
            .iter()
            .map(|name| words(name))
            .collect::<Vec<_>>()
            .join(", "),
    );
    add("limits", limits(step));
    add("retry", retry(&step.retry));
    if step.command.ignores_its_arguments() {
        add(
            "note",
            "its script does not use \"$@\", so the arguments after `--` change nothing".to_owned(),
        );
    }
    details
}

fn command(command: &Command, verbose: bool) -> String {
    let (shown, args) = match command {
        Command::Argv(argv) => return format!("{} (no shell)", typed(argv)),
        Command::Plugin(call) => return plugin(call),
        Command::Script { script, args, .. } if command.without_shell().is_some() => {
            return format!(
                "{} (no shell needed){}",
                words(script.trim()),
                arguments(args)
            );
        }
        Command::Script { script, args, .. } => (script, args),
    };
    let Command::Script { shell, .. } = command else {
        return String::new();
    };
    let lines: Vec<&str> = shown.trim_end().lines().collect();
    let most = if verbose { lines.len() } else { SCRIPT_LINES };
    let mut text = match lines.as_slice() {
        [one] => format!("{} ({})", words(one), typed(shell)),
        _ => format!("({})", typed(shell)),
    };
    if lines.len() > 1 {
        for line in lines.iter().take(most) {
            text.push_str("\n  ");
            text.push_str(&words(line));
        }
    }
    if lines.len() > most {
        let _ = write!(
            text,
            "\n  … {} more lines (-v shows them)",
            lines.len() - most
        );
    }
    text + &arguments(args)
}

/// A plugin, where it is to be had, and its options, one a line.
fn plugin(call: &PluginCall) -> String {
    let mut text = format!("plugin {}", words(&call.uses.to_string()));
    if let Some(declared) = &call.declared {
        let _ = write!(text, " ({})", words(&declared.source.to_string()));
    }
    for (name, value) in call.with.as_object().into_iter().flatten() {
        let value = value.to_string();
        let _ = write!(text, "\n{} = {}", words(name), words(&value));
    }
    text
}

fn arguments(args: &[String]) -> String {
    if args.is_empty() {
        return String::new();
    }
    format!("\n\"$@\" is {}", typed(args))
}

/// Words as one could type them.
fn typed(argv: &[String]) -> String {
    let quoted = argv
        .iter()
        .map(|word| words(&crate::cli::quote::typed(word)).into_owned());
    quoted.collect::<Vec<_>>().join(" ")
}

fn waits(plan: &Plan, step: &PlannedStep) -> String {
    if step.starts_at_once() {
        return match step.order {
            Order::Alone => "nothing: what it waits for counts as done".to_owned(),
            Order::Needs => "nothing: its needs are empty".to_owned(),
            Order::Listed => "nothing: it comes first".to_owned(),
        };
    }
    let count = step.waits_for_all_before.map_or(0, |place| place.index()) + step.waits_for.len();
    let mut names: Vec<&str> = step
        .waits_on()
        .take(NAMED_WAITS)
        .map(|need| plan.steps[need.index()].label.as_str())
        .collect();
    let more = format!("{} more", count.saturating_sub(names.len()));
    if count > names.len() {
        names.push(&more);
    }
    let why = match step.order {
        Order::Needs => "its needs",
        Order::Listed | Order::Alone => "listed before it",
    };
    format!("{} ({why})", names.join(", "))
}

fn when(when: &When) -> String {
    let mut parts = Vec::new();
    match when.status {
        WhenStatus::Success => {}
        WhenStatus::Failure => parts.push("one of these failed".to_owned()),
        WhenStatus::Always => parts.push("always, also after a failure".to_owned()),
    }
    let one_of = |values: &[String]| {
        values
            .iter()
            .map(|value| words(value))
            .collect::<Vec<_>>()
            .join(" or ")
    };
    for (what, values) in [
        ("branch", &when.branch),
        ("event", &when.event),
        ("a changed file", &when.paths),
    ] {
        if !values.is_empty() {
            parts.push(format!("{what} is {}", one_of(values)));
        }
    }
    for (name, values) in &when.param {
        parts.push(format!("{name} is {}", one_of(values)));
    }
    parts.join(", and ")
}

fn limits(step: &PlannedStep) -> String {
    let mut parts = Vec::new();
    if let Some(timeout) = step.timeout {
        parts.push(format!("{} at most", duration(timeout)));
    }
    if let Some(silent) = step.idle_timeout {
        parts.push(format!("{} of silence", duration(silent)));
    }
    if step.cpus != 1 {
        parts.push(format!("{} cores", step.cpus));
    }
    if step.tty {
        parts.push("has the terminal".to_owned());
    }
    if step.allow_failure {
        parts.push("may fail".to_owned());
    }
    parts.join(", ")
}

fn retry(retry: &Retry) -> String {
    if retry.max == 0 {
        return String::new();
    }
    let tries = if retry.max == 1 {
        "once".to_owned()
    } else {
        format!("{} times", retry.max)
    };
    let on: Vec<String> = retry
        .on
        .iter()
        .map(|on| match on {
            RetryOn::Exit => "any exit status".to_owned(),
            RetryOn::Status(status) => format!("exit {status}"),
            RetryOn::Signal => "a signal".to_owned(),
            RetryOn::Timeout => "a timeout".to_owned(),
        })
        .collect();
    let on = if on.is_empty() {
        "any failure".to_owned()
    } else {
        on.join(" or ")
    };
    let delay = match retry.delay {
        Duration::ZERO => String::new(),
        delay => format!(", {} later", duration(delay)),
    };
    format!("{tries} after {on}{delay}")
}

/// A duration without needless digits: `10m`, `2s`, `1m30s`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 || seconds == 0 {
        return Human(duration).to_string();
    }
    let parts = [
        (seconds / 3600, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let shown = parts.into_iter().filter(|&(count, _)| count > 0);
    shown
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}
