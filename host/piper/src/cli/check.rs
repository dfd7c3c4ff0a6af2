//! `piper check`: every problem of the project file, and nothing run.

use crate::{
    cli::{CliError, GlobalArgs, project},
    exit_code, find,
    ui::{OutputFormat, Ui, problem},
};
use piper_core::{
    pipeline::{self, Loaded},
    problem::{Problem, Severity},
};
use serde_json::json;

/// Report every problem in the project file
#[derive(Debug, clap::Args)]
pub struct CheckArgs {}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(_args: &CheckArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let loaded = find::find(global.directory.as_deref()).map(|found| {
        let mut loaded = pipeline::load_bytes(found.path, found.bytes);
        project::ask_plugins(&mut loaded, found.root, None, ui);
        loaded
    });
    let (problems, loaded) = match &loaded {
        Ok(loaded) => (loaded.problems.as_slice(), Some(loaded)),
        Err(problem) => (std::slice::from_ref(&**problem), None),
    };
    let here = std::env::current_dir().ok();
    let count = |severity| {
        problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match ui.format {
        OutputFormat::Json => {
            for line in problem::json_lines(problems, here.as_deref()) {
                ui.print(&line)?;
            }
            let (steps, pipelines) = sizes(loaded);
            ui.print(
                &json!({
                    "v": 1,
                    "type": "checked",
                    "errors": errors,
                    "warnings": warnings,
                    "steps": steps,
                    "pipelines": pipelines,
                })
                .to_string(),
            )?;
        }
        OutputFormat::Text => {
            if !problems.is_empty() {
                ui.complain(&problem::all(problems, ui.err.color, here.as_deref()));
            }
            // Where there is no file, there is nothing to sum up.
            if loaded.is_some() {
                ui.print(&summary(problems, loaded, (errors, warnings)))?;
            }
        }
    }
    Ok(if errors > 0 {
        exit_code::USAGE
    } else {
        exit_code::SUCCESS
    })
}

fn sizes(loaded: Option<&Loaded>) -> (Option<usize>, Option<usize>) {
    let project = loaded.and_then(|loaded| loaded.project.as_ref());
    (
        project.map(|project| project.steps.len()),
        project.map(|project| project.pipelines.len()),
    )
}

fn summary(
    problems: &[Problem],
    loaded: Option<&Loaded>,
    (errors, warnings): (usize, usize),
) -> String {
    let mut parts = Vec::new();
    if let (Some(steps), Some(pipelines)) = sizes(loaded) {
        parts.push(counted(steps, "step"));
        parts.push(counted(pipelines, "pipeline"));
    }
    if errors > 0 {
        parts.push(counted(errors, "error"));
    }
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    if problems.is_empty() {
        parts.push("no problems".to_owned());
    }
    format!("{}: {}", find::FILE_NAME, parts.join(", "))
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
