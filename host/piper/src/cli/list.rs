//! `piper list`: the pipelines and steps of the project, with what they are for.
//!
//! Shows the file as it stands; what a request would make of it is `piper plan`'s business.

use super::{
    CliError, GlobalArgs, past,
    project::{LoadedProject, load_project},
    style::{Style, pad, visible, width},
};
use crate::{
    exit_code,
    ui::{Face, OutputFormat, Ui},
};
use clap::Args;
use indexmap::IndexMap;
use piper_core::{
    id::{ParamName, PipelineName, StepName},
    project::{Action, Param, Pipeline, Project, Slot, Step, Value as Word},
};
use serde_json::{Value, json};

/// List pipelines and steps
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show parameters, with their defaults and choices
    #[arg(long)]
    params: bool,
}

/// Prints what there is to run.
///
/// # Errors
///
/// When the project is wrong, or standard output cannot be written.
pub fn run(args: &ListArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let loaded = load_project(global, ui)?;
    let text = match ui.format {
        OutputFormat::Text => text(
            &loaded.project,
            args.params || ui.verbose,
            Style::of(ui.out),
            past::columns(ui)?,
        ),
        OutputFormat::Json => json(&loaded).to_string(),
    };
    if !text.is_empty() {
        ui.print(&text)?;
    }
    if loaded.project.pipelines.is_empty() && loaded.project.steps.is_empty() {
        ui.say("piper.toml declares no pipeline and no step yet");
    }
    Ok(exit_code::SUCCESS)
}

/// Of what a name is for, at least this much is shown.
const LEAST_ABOUT: usize = 16;
/// The longest name that the others are aligned to; longer ones push their text to the right.
const WIDEST_NAME: usize = 32;

fn text(project: &Project, with_params: bool, style: Style, columns: usize) -> String {
    let names = project.pipelines.keys().map(|name| name.as_str());
    let names = names.chain(project.steps.keys().map(|name| name.as_str()));
    let column = names
        .map(width)
        .filter(|&own| own <= WIDEST_NAME)
        .max()
        .unwrap_or(0)
        + 2;
    let plain = past::style(Face {
        terminal: false,
        color: false,
    });
    let mut text = String::new();
    let line = |text: &mut String, name: &str, about: &str, spare: &str| {
        text.push_str("  ");
        match (about, spare) {
            ("", "") => text.push_str(&style.name(name)),
            (about, spare) => {
                // A name as wide as the column still needs a blank after it.
                pad(text, name, &style.name(name), column.max(width(name) + 2));
                let room = columns.saturating_sub(2 + column.max(width(name) + 2));
                let cut = |text| plain.cut(text, room.max(LEAST_ABOUT)).into_owned();
                text.push_str(&cut(about));
                text.push_str(&style.dim(&cut(spare)));
            }
        }
        text.push('\n');
    };
    if !project.pipelines.is_empty() {
        text.push_str(&style.bold("Pipelines"));
        text.push('\n');
        for (name, pipeline) in &project.pipelines {
            let names = match &pipeline.about {
                Some(_) => String::new(),
                None => slots(&pipeline.steps),
            };
            line(
                &mut text,
                name.as_str(),
                &first_line(pipeline.about.as_deref()),
                &names,
            );
            if with_params {
                params(&mut text, &pipeline.params, "    ", style);
            }
        }
    }
    if !project.steps.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&style.bold("Steps"));
        text.push('\n');
        for (name, step) in &project.steps {
            let command = match &step.about {
                Some(_) => String::new(),
                None => command(step),
            };
            line(
                &mut text,
                name.as_str(),
                &first_line(step.about.as_deref()),
                &command,
            );
        }
    }
    if with_params && !project.params.is_empty() {
        text.push('\n');
        text.push_str(&style.bold("Parameters of all"));
        text.push('\n');
        params(&mut text, &project.params, "  ", style);
    }
    text.pop();
    text
}

fn params(text: &mut String, params: &IndexMap<ParamName, Param>, indent: &str, style: Style) {
    let shown: Vec<(String, &Param)> = params
        .iter()
        .map(|(name, param)| {
            let values = match (param.choices.as_slice(), &param.default) {
                ([], Some(default)) => visible(default).into_owned(),
                ([], None) => "…".to_owned(),
                (choices, _) => choices
                    .iter()
                    .map(|choice| visible(choice))
                    .collect::<Vec<_>>()
                    .join("|"),
            };
            (format!("{name}={values}"), param)
        })
        .collect();
    let column = shown
        .iter()
        .map(|(word, _)| width(word))
        .filter(|&own| own <= WIDEST_NAME)
        .max()
        .unwrap_or(0)
        + 2;
    for (word, param) in shown {
        text.push_str(indent);
        pad(text, &word, &word, column.max(width(&word) + 2));
        text.push_str(&first_line(param.about.as_deref()));
        let note = match &param.default {
            None => "(required)".to_owned(),
            Some(_) if param.choices.is_empty() => String::new(),
            Some(default) => format!("(default {})", visible(default)),
        };
        if param.about.is_some() && !note.is_empty() {
            text.push(' ');
        }
        text.push_str(&style.dim(&note));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

fn first_line(about: Option<&str>) -> String {
    let line = about.unwrap_or_default().trim().lines().next();
    visible(line.unwrap_or_default()).into_owned()
}

/// A pipeline's list as the file writes it.
fn slots(slots: &[Slot]) -> String {
    let shown = slots.iter().map(|slot| {
        let names: Vec<&str> = slot.steps().iter().map(|name| name.as_str()).collect();
        match slot {
            Slot::One(_) => names.join(" "),
            Slot::Group(_) => format!("[{}]", names.join(" ")),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// What a step runs, on one line.
fn command(step: &Step) -> String {
    match &step.action {
        Action::Run(script) => match script.trim().split_once('\n') {
            None => visible(script.trim()).into_owned(),
            Some((first, _)) => format!("{} …", visible(first)),
        },
        Action::Argv(argv) => argv.iter().map(word).collect::<Vec<_>>().join(" "),
        Action::Plugin(uses, with) => {
            visible(format!("{uses} {}", with.one_line()).trim_end()).into_owned()
        }
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Text(text) => visible(&super::quote::word(text)).into_owned(),
        Word::Param(name) => format!("{{param {name}}}"),
        Word::Matrix(axis) => format!("{{matrix {axis}}}"),
    }
}

fn json(loaded: &LoadedProject) -> Value {
    let project = &loaded.project;
    let params = |params: &IndexMap<ParamName, Param>| -> Vec<Value> {
        let param = |(name, param): (&ParamName, &Param)| {
            json!({
                "name": name.as_str(),
                "default": param.default,
                "choices": param.choices,
                "about": param.about,
            })
        };
        params.iter().map(param).collect()
    };
    let pipeline = |(name, pipeline): (&PipelineName, &Pipeline)| {
        let slots = pipeline.steps.iter().map(|slot| {
            let names: Vec<&str> = slot.steps().iter().map(|name| name.as_str()).collect();
            match slot {
                Slot::One(_) => json!(names[0]),
                Slot::Group(_) => json!(names),
            }
        });
        json!({
            "name": name.as_str(),
            "about": pipeline.about,
            "steps": slots.collect::<Vec<_>>(),
            "environment": pipeline.environment.as_ref().map(|name| name.as_str()),
            "params": params(&pipeline.params),
        })
    };
    let step = |(name, step): (&StepName, &Step)| json!({ "name": name.as_str(), "about": step.about, "command": command(step) });
    json!({
        "v": 1,
        "type": "list",
        "project": project.name.as_ref().unwrap_or(&loaded.name),
        "root": loaded.root,
        "pipelines": project.pipelines.iter().map(pipeline).collect::<Vec<_>>(),
        "steps": project.steps.iter().map(step).collect::<Vec<_>>(),
        "params": params(&project.params),
        "environments": project.environments.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn pipelines_and_steps_are_listed_in_columns() {
        insta::assert_snapshot!(text(&sample::project(), false, Style::plain(), usize::MAX), @r#"
        Pipelines
          build    Compile and test
          cross    fmt

        Steps
          fmt      cargo fmt --check
          compile  Compile everything
          unit     for crate in host/*; do …
          lint     cargo clippy --profile {param profile}
          report   ./report >out.txt
        "#);
    }

    #[test]
    fn parameters_are_shown_with_what_they_can_be() {
        let mut project = sample::project();
        project.steps.truncate(1);
        let required = Param {
            about: Some("where to".into()),
            ..Param::default()
        };
        project.pipelines[1]
            .params
            .insert(ParamName::parse("to").unwrap(), required);
        insta::assert_snapshot!(text(&project, true, Style::plain(), usize::MAX), @r#"
        Pipelines
          build  Compile and test
            profile=debug|release  cargo profile (default debug)
          cross  fmt
            to=…  where to (required)

        Steps
          fmt    cargo fmt --check

        Parameters of all
          _x=0
        "#);
    }

    #[test]
    fn a_narrow_list_has_one_line_for_each_name() {
        insta::assert_snapshot!(text(&sample::project(), false, Style::plain(), 28), @"
        Pipelines
          build    Compile and test
          cross    fmt

        Steps
          fmt      cargo fmt --check
          compile  Compile everythi…
          unit     for crate in hos…
          lint     cargo clippy --p…
          report   ./report >out.txt
        ");
    }

    #[test]
    fn what_the_file_says_cannot_reach_the_terminals_controls() {
        let mut project = sample::project();
        project.steps[0].about = Some("\x1b]0;owned\x07 about\nsecond".into());
        assert!(!text(&project, true, Style::plain(), usize::MAX).contains(['\x1b', '\x07']));
    }

    #[test]
    fn the_list_in_json_keeps_groups() {
        let loaded = LoadedProject {
            project: sample::project(),
            root: "/x".into(),
            name: "folder".into(),
            source: sample::source(),
        };
        let json = json(&loaded);
        assert_eq!(json["project"], "hello");
        assert_eq!(json["pipelines"][0]["steps"][2], json!(["unit", "lint"]));
        assert_eq!(
            json["pipelines"][0]["params"][0]["choices"],
            json!(["debug", "release"])
        );
        assert_eq!(
            json["steps"][3]["command"],
            "cargo clippy --profile {param profile}"
        );
    }
}
