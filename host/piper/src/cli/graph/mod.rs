//! `piper graph`: which step waits for which, drawn.
//!
//! Draws the structure only: parameters change no edge, so none has to be given.

mod draw;
mod edges;

use super::{CliError, GlobalArgs, past, project::load_project};
use crate::{
    exit_code,
    plugins::pipeline::Plugins,
    ui::{OutputFormat, Ui},
};
use clap::Args;
use piper_core::{
    plan::{self, Plan, Request, declared_params},
    project::Project,
};

/// Draw which step waits for which
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// A pipeline or a step (`build` if there is none)
    name: Option<String>,
    /// The language of the drawing
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The language of the drawing.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// For a terminal
    #[default]
    Text,
    /// For Graphviz: `piper graph --format dot | dot -Tsvg`
    Dot,
    /// For Mermaid, which many forges draw in Markdown
    Mermaid,
}

/// Draws the steps of a pipeline, or of a step and all that it needs.
///
/// # Errors
///
/// When the project or the name is wrong, or standard output cannot be written.
pub fn run(args: &GraphArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let loaded = load_project(global, ui)?;
    let plan = structure(&loaded.project, args.name.as_deref(), &loaded.name)?;
    let plan = Plugins::new(ui)
        .expand(&loaded, plan)
        .map_err(CliError::Problems)?;
    let drawing = match (ui.format, args.format) {
        (OutputFormat::Json, _) => draw::json(&plan),
        (OutputFormat::Text, Format::Text) => {
            let style = past::style(ui.out);
            style.drawn(draw::text(&plan, style))
        }
        (OutputFormat::Text, Format::Dot) => draw::dot(&plan),
        (OutputFormat::Text, Format::Mermaid) => draw::mermaid(&plan),
    };
    ui.print(&drawing)?;
    Ok(exit_code::SUCCESS)
}

/// The first plan of a target, with some value for each parameter that needs one: the cells of a pipeline differ in values only.
pub(crate) fn structure(
    project: &Project,
    name: Option<&str>,
    folder: &str,
) -> Result<Plan, CliError> {
    let base = name.and_then(|name| name.split('[').next());
    let pipeline = project.pipelines.get(base.unwrap_or("build"));
    let required = declared_params(project, pipeline)
        .into_iter()
        .filter(|(_, param)| param.default.is_none())
        .map(|(name, param)| {
            (
                name.to_string(),
                param.choices.first().cloned().unwrap_or_default(),
            )
        });
    let request = Request {
        target: name.map(str::to_owned),
        params: required.collect(),
        ..Request::default()
    };
    let plans = plan::resolve(project, &request, folder).map_err(CliError::Problems)?;
    Ok(plans
        .into_iter()
        .next()
        .expect("a request has a plan or a problem"))
}

#[cfg(test)]
mod tests;
