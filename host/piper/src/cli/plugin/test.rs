//! `piper plugin test`: whether a plugin does what every plugin of its kind must do.

use super::{
    CliError, GlobalArgs, call, calling, catalogue, check,
    conformance::{Judged, Outcome, Subject, judge},
};
use crate::{
    cli::past,
    exit_code,
    plugins::{self},
    ui::{
        OutputFormat, Ui, problem,
        sanitize::words,
        style::{Paint, Style},
    },
};
use anyhow::Context;
use clap::Args;
use piper_plugin_host::policy::grant;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Try whether a plugin does what every plugin of its kind must do
///
/// Calls it in many odd ways, with nothing granted: it may say no, but it must not trap, hang or lie.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// A name of `piper plugin list`, or a component's file
    #[arg(value_name = "NAME|FILE")]
    plugin: String,
    /// A configuration with which it can work
    #[arg(long, value_name = "JSON", value_parser = call::object)]
    config: Option<Value>,
    /// Options with which it can work
    #[arg(long, value_name = "JSON", value_parser = call::object)]
    options: Option<Value>,
}

pub(super) fn run(args: &TestArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let catalogue = catalogue(global)?;
    let component = super::find(&catalogue, global, &args.plugin)?;
    let plugin = component.load(&plugins::host(&catalogue.places))?;
    let (loaded, problems) = check::examine(&component, &plugin);
    let manifest = loaded.and_then(|loaded| loaded.manifest);
    let subject = Subject {
        title: component.title(),
        plugin: &plugin,
        manifest: manifest.as_ref(),
        config: calling::object(args.config.as_ref()),
        options: calling::object(args.options.as_ref()),
        // The same for everybody, whatever was granted here.
        limits: grant::Limits::default(),
    };
    let judged = plugins::wait(judge(&subject)).context("cannot wait for a plugin")?;
    let errors = super::errors(problems);
    print(&judged, errors.len(), ui)?;
    if !errors.is_empty() && ui.format == OutputFormat::Text {
        let here = std::env::current_dir().ok();
        ui.complain(&problem::text(&errors, ui.err.color, here.as_deref()));
    }
    let is_failed = |one: &Judged| matches!(one.outcome, Outcome::Failed(_));
    Ok(match judged.iter().any(is_failed) || !errors.is_empty() {
        true => exit_code::BUILD_FAILED,
        false => exit_code::SUCCESS,
    })
}

/// How to see what a test cannot.
const UNSEEN: &str = "  = help: nothing is granted here, so what it does with an answer, a file or a secret was not seen: try that in tests of its own, with `Fake` or `fake()` of the SDK, or with `piper plugin grant` and `piper exec`";

fn print(judged: &[Judged], errors: usize, ui: &Ui) -> Result<(), CliError> {
    let count = |is: fn(&Outcome) -> bool| judged.iter().filter(|one| is(&one.outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed | Outcome::Refused(_)));
    let refused = count(|outcome| matches!(outcome, Outcome::Refused(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    if ui.format == OutputFormat::Json {
        for one in judged {
            ui.print(&json(one).to_string())?;
        }
        let end = json!({
            "v": 1, "type": "plugin.tested",
            "passed": passed, "refused": refused, "failed": failed, "skipped": skipped, "problems": errors,
        });
        return Ok(ui.print(&end.to_string())?);
    }
    let style = past::style(ui.out);
    for one in judged {
        ui.print(&line(one, style))?;
    }
    let only_as_far = match refused {
        0 => String::new(),
        count => format!(", {count} of them only as far as its permissions"),
    };
    ui.say(&format!(
        "{} checks{only_as_far}: {passed} passed, {failed} failed, {skipped} skipped",
        judged.len()
    ));
    if refused > 0 {
        ui.say(UNSEEN);
    }
    Ok(())
}

/// Why a rule was only seen in part.
fn refused(what: &BTreeSet<&str>) -> String {
    let what: Vec<_> = what.iter().copied().collect();
    format!("as far as it came: it was refused {}", what.join(", "))
}

fn line(one: &Judged, style: Style) -> String {
    let name = match one.name.as_str() {
        "" => one.kind.to_string(),
        name => format!("{} `{name}`", one.kind),
    };
    let (paint, symbol, more) = match &one.outcome {
        Outcome::Passed => (Paint::Good, style.symbols.pass, None),
        Outcome::Refused(what) => (Paint::Odd, style.symbols.pass, Some(&refused(what))),
        Outcome::Failed(why) => (Paint::Bad, style.symbols.fail, Some(why)),
        Outcome::Skipped(why) => (Paint::Dim, style.symbols.skip, Some(why)),
    };
    let mut text = format!("{} {name} {}", style.paint(paint, symbol), one.rule);
    for line in more.into_iter().flat_map(|why| why.lines()) {
        text.push_str("\n    ");
        text.push_str(&words(line));
    }
    text
}

fn json(one: &Judged) -> Value {
    let (outcome, reason) = match &one.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Refused(what) => ("refused", Some(&refused(what))),
        Outcome::Failed(why) => ("failed", Some(why)),
        Outcome::Skipped(why) => ("skipped", Some(why)),
    };
    json!({
        "v": 1,
        "type": "plugin.rule",
        "kind": one.kind.name(),
        "name": one.name,
        "rule": one.rule,
        "outcome": outcome,
        "reason": reason,
    })
}
