//! `piper plan`: what would run, in which order, and why.
//!
//! Runs nothing and decides nothing: it shows what `piper_core::plan::resolve` made of the same words that `piper exec` takes.

mod json;
mod text;

use super::{CliError, GlobalArgs, past, project::load_project, request::RequestArgs};
use crate::{
    exit_code,
    ui::{OutputFormat, Ui},
};
use clap::Args;
use piper_core::plan;

/// Show what would run, in which order, and why
#[derive(Debug, Args)]
#[command(
    override_usage = "piper plan [OPTIONS] [NAME] [ENVIRONMENT] [KEY=VALUE]... [-- <ARGS>...]"
)]
pub struct PlanArgs {
    #[command(flatten)]
    request: RequestArgs,
}

/// Resolves the request and prints the plan.
///
/// # Errors
///
/// When the project or the request is wrong, or standard output cannot be written.
pub fn run(args: &PlanArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let request = args.request.parse().map_err(CliError::Problems)?;
    let loaded = load_project(global, ui)?;
    let plans =
        plan::resolve(&loaded.project, &request, &loaded.name).map_err(CliError::Problems)?;
    match ui.format {
        OutputFormat::Text => {
            let style = past::style(ui.out);
            let text = text::render(&loaded.project, &plans, style, ui.verbose);
            ui.print(&style.drawn(text))?;
        }
        OutputFormat::Json => ui.print(&json::render(&loaded.project, &plans))?,
    }
    Ok(exit_code::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::sample, ui::style::Style};

    #[test]
    fn a_plan_says_what_runs_and_why() {
        let project = sample::project();
        let plans = plan::resolve(&project, &sample::request(&["_x=1"]), "folder").unwrap();
        insta::assert_snapshot!(text::render(
            &project,
            &plans,
            Style::new(false, true),
            false
        ));
    }

    #[test]
    fn a_matrix_of_the_pipeline_is_shown_build_by_build() {
        let project = sample::project();
        let plans = plan::resolve(&project, &sample::request(&["cross"]), "folder").unwrap();
        insta::assert_snapshot!(text::render(
            &project,
            &plans,
            Style::new(false, true),
            false
        ));
    }

    #[test]
    fn a_plan_in_json_has_all_that_the_text_has() {
        let project = sample::project();
        let plans = plan::resolve(&project, &sample::request(&["_x=1"]), "folder").unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&json::render(&project, &plans)).unwrap();
        let steps = &json["builds"][0]["steps"];
        assert_eq!(json["builds"][0]["params"]["profile"], "debug");
        assert_eq!(steps[0]["command"]["argv"][0], "cargo");
        assert_eq!(steps[2]["step"], "unit[rust=1.80]");
        assert_eq!(steps[2]["waits_for"][0], 1);
        assert_eq!(steps[2]["retry"]["on"][0], "exit:101");
        assert_eq!(steps[5]["waits_for_all_before"], 5);
        assert_eq!(steps[5]["when"]["status"], "always");
    }
}
