//! `piper list`: the pipelines and steps of the project, with what they are for.
//!
//! Shows the file as it stands; what a request would make of it is `piper plan`'s business.

use super::{
    CliError, GlobalArgs, past,
    project::{LoadedProject, load_project},
};
use crate::{
    exit_code,
    ui::{
        OutputFormat, Ui,
        sanitize::words,
        style::{Paint, Style, width},
    },
};
use clap::Args;
use indexmap::IndexMap;
use piper_core::{
    id::{ParamName, PipelineName, StepName},
    project::{Action, Param, Pipeline, Project, Slot, Step, Value as Word},
    wire::path::to_text,
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
        OutputFormat::Text => {
            let style = past::style(ui.out);
            let params = args.params || ui.verbose;
            style.drawn(text(&loaded.project, params, style, past::columns(ui)?))
        }
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
/// Between a name and what it is for.
const GAP: usize = 2;

fn text(project: &Project, with_params: bool, style: Style, columns: usize) -> String {
    let names = project.pipelines.keys().map(|name| name.as_str());
    let names = names.chain(project.steps.keys().map(|name| name.as_str()));
    let table = Table::new(names, "  ", style, columns);
    let mut text = String::new();
    if !project.pipelines.is_empty() {
        heading(&mut text, "Pipelines", style);
        for (name, pipeline) in &project.pipelines {
            let about = match &pipeline.about {
                Some(about) => (Paint::Plain, first_line(about)),
                None => (Paint::Dim, slots(&pipeline.steps)),
            };
            table.row(&mut text, (Paint::Name, name.as_str()), [about]);
            if with_params {
                params(&mut text, &pipeline.params, "    ", style, columns);
            }
        }
    }
    if !project.steps.is_empty() {
        heading(&mut text, "Steps", style);
        for (name, step) in &project.steps {
            let about = match &step.about {
                Some(about) => (Paint::Plain, first_line(about)),
                None => (Paint::Dim, command(step)),
            };
            table.row(&mut text, (Paint::Name, name.as_str()), [about]);
        }
    }
    if with_params && !project.params.is_empty() {
        heading(&mut text, "Parameters of all", style);
        params(&mut text, &project.params, "  ", style, columns);
    }
    text.pop();
    text
}

fn heading(text: &mut String, words: &str, style: Style) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&style.paint(Paint::Strong, words));
    text.push('\n');
}

fn params(
    text: &mut String,
    params: &IndexMap<ParamName, Param>,
    indent: &str,
    style: Style,
    columns: usize,
) {
    let shown: Vec<String> = params
        .iter()
        .map(|(name, param)| format!("{name}={}", values(param)))
        .collect();
    let table = Table::new(shown.iter().map(String::as_str), indent, style, columns);
    for (word, param) in shown.iter().zip(params.values()) {
        let about = first_line(param.about.as_deref().unwrap_or_default());
        let gap = if about.is_empty() { "" } else { " " };
        let note = match &param.default {
            None => format!("{gap}(required)"),
            Some(_) if param.choices.is_empty() => String::new(),
            Some(default) => format!("{gap}(default {})", words(default)),
        };
        let parts = [(Paint::Plain, about), (Paint::Dim, note)];
        table.row(text, (Paint::Plain, word), parts);
    }
}

/// What a parameter can be.
fn values(param: &Param) -> String {
    match (param.choices.as_slice(), &param.default) {
        ([], Some(default)) => words(default).into_owned(),
        ([], None) => "…".to_owned(),
        (choices, _) => {
            let shown: Vec<_> = choices.iter().map(|choice| words(choice)).collect();
            shown.join("|")
        }
    }
}

/// Names with what they are for, in two columns, one line each.
struct Table<'a> {
    indent: &'a str,
    style: Style,
    /// Where the second column begins, counted from the indent.
    second: usize,
    /// How wide the terminal is.
    columns: usize,
}

impl<'a> Table<'a> {
    /// Aligned to the longest of these names that takes at most half of the line; longer ones push their own text to the right.
    fn new<'n>(
        names: impl Iterator<Item = &'n str>,
        indent: &'a str,
        style: Style,
        columns: usize,
    ) -> Self {
        let widths = names.map(width).filter(|&own| own <= columns / 2);
        Self {
            indent,
            style,
            second: widths.max().unwrap_or(0) + GAP,
            columns,
        }
    }

    fn row<const N: usize>(
        &self,
        text: &mut String,
        (paint, name): (Paint, &str),
        parts: [(Paint, String); N],
    ) {
        text.push_str(self.indent);
        text.push_str(&self.style.paint(paint, name));
        let mut at = width(name);
        let second = self.second.max(at + GAP);
        let room = self.columns.saturating_sub(self.indent.len() + second);
        let end = second.saturating_add(room.max(LEAST_ABOUT));
        for (paint, part) in parts {
            if !part.is_empty() {
                text.extend(std::iter::repeat_n(' ', second.saturating_sub(at)));
                let part = self.style.cut(&part, end - at.max(second));
                text.push_str(&self.style.paint(paint, &*part));
                at = at.max(second) + width(&part);
            }
        }
        text.push('\n');
    }
}

fn first_line(about: &str) -> String {
    let line = about.trim().lines().next();
    words(line.unwrap_or_default()).into_owned()
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
            None => words(script.trim()).into_owned(),
            Some((first, _)) => format!("{} …", words(first)),
        },
        Action::Argv(argv) => argv.iter().map(word).collect::<Vec<_>>().join(" "),
        Action::Plugin(uses, with) => {
            words(format!("{uses} {}", with.one_line()).trim_end()).into_owned()
        }
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Text(text) => words(&super::quote::typed(text)).into_owned(),
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
    let mut object = json!({
        "v": 1,
        "type": "list",
        "project": project.name.as_ref().unwrap_or(&loaded.name),
        "root": to_text(&loaded.root),
        "params": params(&project.params),
        "environments": project.environments.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
    });
    // `json!` would copy all of them, and there may be 100,000.
    object["pipelines"] = project.pipelines.iter().map(pipeline).collect();
    object["steps"] = project.steps.iter().map(step).collect();
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn pipelines_and_steps_are_listed_in_columns() {
        insta::assert_snapshot!(text(&sample::project(), false, Style::new(false, true), usize::MAX), @r#"
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
        insta::assert_snapshot!(text(&project, true, Style::new(false, true), usize::MAX), @r#"
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
        insta::assert_snapshot!(text(&sample::project(), false, Style::new(false, true), 28), @"
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
    fn names_up_to_half_a_line_are_aligned_and_longer_ones_push_their_own_text() {
        let mut project = sample::project();
        let step = project.steps[0].clone();
        project.pipelines.clear();
        project.steps.truncate(2);
        for name in ["x".repeat(30), "y".repeat(40)] {
            let name = StepName::parse(&name).unwrap();
            project.steps.insert(name, step.clone());
        }
        insta::assert_snapshot!(text(&project, false, Style::new(false, true), 60), @"
        Steps
          fmt                             cargo fmt --check
          compile                         Compile everything
          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  cargo fmt --check
          yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy  cargo fmt --che…
        ");
    }

    #[test]
    fn parameters_keep_to_one_line_each() {
        let mut project = sample::project();
        for (_, param) in &mut project.pipelines[0].params {
            param.about = Some("a long story ".repeat(20));
        }
        let text = text(&project, true, Style::new(false, true), 60);
        assert!(text.lines().all(|line| width(line) <= 60), "{text}");
    }

    #[test]
    fn what_the_file_says_cannot_reach_the_terminals_controls() {
        let mut project = sample::project();
        project.steps[0].about = Some("\x1b]0;owned\x07 about\nsecond".into());
        assert!(
            !text(&project, true, Style::new(false, true), usize::MAX).contains(['\x1b', '\x07'])
        );
    }

    #[test]
    fn the_list_in_json_keeps_groups() {
        let loaded = LoadedProject {
            project: sample::project(),
            root: "/x".into(),
            name: "folder".into(),
            source: sample::source(),
            origin: None,
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
