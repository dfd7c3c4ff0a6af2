//! `piper plan`: what would run, in which order, and why.
//!
//! Runs nothing and decides nothing: it shows what `piper_core::plan::resolve` made of the same words that `piper exec` takes.

mod json;
mod text;

use super::{
    CliError, GlobalArgs, past,
    project::{Requested, load_requested},
    request::RequestArgs,
};
use crate::{
    exit_code,
    ui::{OutputFormat, Ui},
};
use clap::Args;

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
    let Requested { loaded, plans, .. } = load_requested(&request, global, ui)?;
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
    use piper_core::plan;

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

    const PLUGINS: &str = r#"
        [plugins]
        near = "./ci/near.wasm"
        [steps]
        make = "make"
        report = { uses = "junit", with = { files = ["a.xml"], max = 3 } }
        upload = { uses = "near/put" }
        [pipelines.build]
        steps = ["make", "report", "upload"]
    "#;

    #[test]
    fn a_plugin_is_shown_with_its_options_and_where_it_is_to_be_had() {
        let project = sample::loaded(PLUGINS);
        let plans = plan::resolve(&project, &sample::request(&[]), "folder").unwrap();
        let text = text::render(&project, &plans, Style::new(false, true), false);
        assert!(
            text.contains(
                "runs    plugin junit\n           files = [\"a.xml\"]\n           max = 3\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("plugin near/put (./ci/near.wasm)\n"),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&json::render(&project, &plans)).unwrap();
        let command = |place: usize| &json["builds"][0]["steps"][place]["command"];
        assert_eq!(command(1)["uses"], "junit");
        assert_eq!(command(1)["with"]["max"], 3);
        assert_eq!(command(2)["source"], "./ci/near.wasm");
    }

    #[test]
    fn a_plugin_takes_no_arguments_from_the_command_line() {
        let project = sample::loaded(PLUGINS);
        let request = plan::Request {
            args: vec!["x".into()],
            ..plan::Request::default()
        };
        let problems = plan::resolve(&project, &request, "folder").unwrap_err();
        assert!(problems[0].message.contains("takes no arguments"));
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
