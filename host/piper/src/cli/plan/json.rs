//! A plan for machines: one object, on one line. Members are only ever added.

use piper_core::{
    plan::{Cell, Command, Order, Plan, PlannedStep, Target},
    project::{EnvPattern, EnvironmentKind, Project, RetryOn, StopSignal, Survivors, WhenStatus},
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) fn render(project: &Project, plans: &[Plan]) -> String {
    let build = |plan| Build {
        head: head(plan),
        steps: Steps { project, plan },
    };
    let whole = Whole {
        v: 1,
        r#type: "plan",
        project: plans.first().map(|plan| plan.project.as_str()),
        builds: plans.iter().map(build).collect(),
    };
    serde_json::to_string(&whole).expect("every key is a text")
}

#[derive(Serialize)]
struct Whole<'a> {
    v: u8,
    r#type: &'a str,
    project: Option<&'a str>,
    builds: Vec<Build<'a>>,
}

#[derive(Serialize)]
struct Build<'a> {
    #[serde(flatten)]
    head: Value,
    steps: Steps<'a>,
}

/// They become values one at a time, on their way into the text: 100,000 of them at once would take most of a gigabyte.
struct Steps<'a> {
    project: &'a Project,
    plan: &'a Plan,
}

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let steps = self.plan.steps.iter();
        serializer.collect_seq(steps.map(|step| planned(self.project, step)))
    }
}

fn head(plan: &Plan) -> Value {
    let (environment, kind) = &plan.environment;
    let params: Map<String, Value> = plan
        .params
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect();
    json!({
        "target": plan.target.name(),
        "target_is_step": matches!(plan.target, Target::Step(_)),
        "cell": cell(&plan.cell),
        "environment": environment.as_str(),
        "environment_kind": match kind {
            EnvironmentKind::Local => "local",
            EnvironmentKind::Clean => "clean",
        },
        "params": params,
        "timeout_us": plan.timeout.map(micros),
        "keep_going": plan.keep_going,
    })
}

fn planned(project: &Project, step: &PlannedStep) -> Value {
    json!({
        "step": step.label,
        "name": step.step.as_str(),
        "about": project.steps.get(&step.step).and_then(|step| step.about.as_deref()),
        "cell": cell(&step.cell),
        "command": command(&step.command),
        "waits_for": step.waits_for.iter().map(|need| need.0).collect::<Vec<_>>(),
        "waits_for_all_before": step.waits_for_all_before.map(|place| place.0),
        "order": match step.order {
            Order::Listed => "listed",
            Order::Needs => "needs",
            Order::Alone => "alone",
        },
        "when": {
            "status": match step.when.status {
                WhenStatus::Success => "success",
                WhenStatus::Failure => "failure",
                WhenStatus::Always => "always",
            },
            "branch": step.when.branch,
            "event": step.when.event,
            "paths": step.when.paths,
            "param": step.when.param.iter().map(|(name, values)| (name.to_string(), json!(values))).collect::<Map<_, _>>(),
        },
        "env": step.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>(),
        "pass_env": step.pass_env.iter().map(|pattern| match pattern {
            EnvPattern::Name(name) => name.clone(),
            EnvPattern::Prefix(prefix) => format!("{prefix}*"),
        }).collect::<Vec<_>>(),
        "cwd": step.cwd,
        "timeout_us": step.timeout.map(micros),
        "idle_timeout_us": step.idle_timeout.map(micros),
        "retry": {
            "max": step.retry.max,
            "on": step.retry.on.iter().map(|on| match on {
                RetryOn::Exit => "exit".to_owned(),
                RetryOn::Status(status) => format!("exit:{status}"),
                RetryOn::Signal => "signal".to_owned(),
                RetryOn::Timeout => "timeout".to_owned(),
            }).collect::<Vec<_>>(),
            "delay_us": micros(step.retry.delay),
        },
        "allow_failure": step.allow_failure,
        "tty": step.tty,
        "stop_signal": stop_signal(step.stop_signal),
        "grace_us": micros(step.grace),
        "cpus": step.cpus,
        "survivors": match step.survivors {
            Survivors::Stop => "stop",
            Survivors::Keep => "keep",
        },
        "secrets": step.secrets,
        "color": step.color,
    })
}

fn command(command: &Command) -> Value {
    // `argv` is what is started, so that nobody has to know the rules of the other members; a plugin is no process and has none.
    let direct = command.without_shell();
    let argv = direct.clone().unwrap_or_else(|| command.argv());
    match command {
        Command::Argv(_) => json!({ "argv": argv }),
        Command::Plugin(call) => json!({
            "uses": call.uses.to_string(),
            "source": call.declared.as_ref().map(|plugin| plugin.source.to_string()),
            "with": call.with,
        }),
        Command::Script {
            shell,
            script,
            args,
        } => json!({
            "argv": argv,
            "shell": shell,
            "script": script,
            "args": args,
            "without_shell": direct.is_some(),
        }),
    }
}

fn stop_signal(signal: StopSignal) -> &'static str {
    StopSignal::ALL
        .iter()
        .find(|(_, own)| *own == signal)
        .map_or("TERM", |(name, _)| name)
}

fn cell(cell: &Cell) -> Map<String, Value> {
    let member = |(axis, value): &(_, String)| {
        (
            ToString::to_string(axis as &piper_core::id::AxisName),
            json!(value),
        )
    };
    cell.iter().map(member).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
