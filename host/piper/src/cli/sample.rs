//! A project that uses most of what a file can say, for the tests of the commands that only look.

use super::request::RequestArgs;
use piper_core::{
    id::{AxisName, ParamName, PipelineName, StepName},
    pipeline as file,
    plan::Request,
    problem::Source,
    project::{
        Action, EnvPattern, Matrix, Param, Pipeline, Project, Retry, RetryOn, Slot, Step, Value,
        WhenStatus,
    },
};
use std::{sync::Arc, time::Duration};

pub(crate) fn request(words: &[&str]) -> Request {
    RequestArgs {
        words: words.iter().map(|&word| word.to_owned()).collect(),
        ..RequestArgs::default()
    }
    .parse()
    .unwrap()
}

/// The project that a file means.
pub(crate) fn loaded(text: &str) -> Project {
    let source = Source {
        path: "piper.toml".into(),
        text: text.to_owned(),
    };
    let loaded = file::load(Arc::new(source));
    loaded.project.expect("nothing is wrong with the file")
}

/// The file that nobody wrote.
pub(crate) fn source() -> Arc<Source> {
    Arc::new(Source {
        path: "piper.toml".into(),
        text: String::new(),
    })
}

pub(crate) fn step_name(name: &str) -> StepName {
    StepName::parse(name).unwrap()
}

pub(crate) fn run(script: &str) -> Step {
    Step::new(Action::Run(script.to_owned()))
}

pub(crate) fn pipeline(steps: &[&[&str]]) -> Pipeline {
    let slot = |names: &&[&str]| match names {
        [one] => Slot::One(step_name(one)),
        several => Slot::Group(several.iter().map(|name| step_name(name)).collect()),
    };
    Pipeline {
        steps: steps.iter().map(slot).collect(),
        ..Pipeline::default()
    }
}

pub(crate) fn matrix(axis: &str, values: &[&str]) -> Matrix {
    Matrix {
        axes: [(
            AxisName::parse(axis).unwrap(),
            values.iter().map(|&value| value.to_owned()).collect(),
        )]
        .into(),
        exclude: Vec::new(),
    }
}

pub(crate) fn project() -> Project {
    let mut project = Project {
        name: Some("hello".into()),
        ..Project::default()
    };
    let param = |name: &str, param: Param| (ParamName::parse(name).unwrap(), param);
    project.params.extend([param(
        "_x",
        Param {
            default: Some("0".into()),
            ..Param::default()
        },
    )]);

    let mut compile = run("cargo build --release");
    compile.about = Some("Compile everything".into());
    compile.timeout = Some(Duration::from_secs(600));
    let mut unit = run("for crate in host/*; do\n  (cd \"$crate\" && cargo test)\ndone\n");
    unit.matrix = Some(matrix("rust", &["1.80", "1.95"]));
    unit.needs = Some(vec![step_name("compile")]);
    unit.retry = Retry {
        max: 2,
        on: vec![RetryOn::Status(101), RetryOn::Signal, RetryOn::Timeout],
        delay: Duration::from_secs(2),
    };
    unit.settings
        .env
        .insert("RUST_LOG".into(), Value::Text("debug".into()));
    unit.settings
        .pass_env
        .push(EnvPattern::Prefix("AWS_".into()));
    let mut lint = Step::new(Action::Argv(vec![
        Value::Text("cargo".into()),
        Value::Text("clippy".into()),
        Value::Text("--profile".into()),
        Value::Param(ParamName::parse("profile").unwrap()),
    ]));
    lint.allow_failure = true;
    let mut report = run("./report >out.txt");
    report.when.status = WhenStatus::Always;
    report.cwd = Some(Value::Text("ci".into()));
    report.secrets = vec!["TOKEN".into()];
    let steps = [
        ("fmt", run("cargo fmt --check")),
        ("compile", compile),
        ("unit", unit),
        ("lint", lint),
        ("report", report),
    ];
    project
        .steps
        .extend(steps.map(|(name, step)| (step_name(name), step)));

    let mut build = pipeline(&[&["fmt"], &["compile"], &["unit", "lint"], &["report"]]);
    build.about = Some("Compile and test".into());
    build.params.extend([param(
        "profile",
        Param {
            default: Some("debug".into()),
            choices: vec!["debug".into(), "release".into()],
            about: Some("cargo profile".into()),
        },
    )]);
    let mut cross = pipeline(&[&["fmt"]]);
    cross.matrix = Some(matrix("target", &["x86 64", "arm"]));
    let pipelines = [("build", build), ("cross", cross)];
    project
        .pipelines
        .extend(pipelines.map(|(name, pipeline)| (PipelineName::parse(name).unwrap(), pipeline)));
    project
}
