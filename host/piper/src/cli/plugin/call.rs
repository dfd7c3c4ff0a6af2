//! `piper plugin call`: one call of a plugin, with JSON from the command line.
//!
//! For authors who want to see what their plugin answers, and for operators who want to see why it fails. Nothing is retried.

use super::{
    CliError, GlobalArgs,
    calling::{self, Input, ask},
    catalogue,
    conformance::names,
    grants_file, permissions, planned,
};
use crate::{
    exit_code,
    plugins::{
        self,
        catalogue::Catalogue,
        component::Component,
        limits,
        settings::{self, Schema},
        standing::{Standing, nothing},
        talk::Talk,
        used::readable,
    },
    ui::{OutputFormat, Ui, problem, sanitize::words},
};
use anyhow::Context;
use clap::{Args, builder::PossibleValuesParser};
use piper_core::{codes, problem::Problem};
use piper_plugin_host::{
    CallError, Invocation, Plugin,
    kind::{Call, Kind},
    policy::manifest::Manifest,
};
use serde_json::{Value, json};
use std::{fs, io::Read as _, sync::Arc};

/// Call a plugin once, with JSON in and out
#[derive(Debug, Args)]
#[command(after_help = INPUTS)]
pub(super) struct CallArgs {
    /// A name of `piper plugin list`, or a component's file
    #[arg(value_name = "NAME|FILE")]
    plugin: String,
    /// As which of its kinds; may be left out if it has only one
    #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)), hide_possible_values = true)]
    kind: Option<String>,
    /// Which of the manifest's steps, notifiers, … of this kind is meant, if it has several
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// The plugin's configuration [default: the one in your plugins.toml, or {}]
    #[arg(long, value_name = "JSON", value_parser = object)]
    config: Option<Value>,
    /// The options of this use: a step's `with`, a rule's options
    #[arg(long, value_name = "JSON", value_parser = object)]
    options: Option<Value>,
    /// What the host says about the call
    #[arg(long, value_name = "JSON", value_parser = object)]
    facts: Option<Value>,
    /// What this kind is called with besides; see below
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    input: Option<Value>,
}

const INPUTS: &str = r#"JSON is given as it is, as @FILE, or as - for standard input.

`--input` of a notifier is events, {"kind": "build.finished"}, with a `body` of your own or that of an example; of a trigger-poll its cursor, "text" or null; of a trigger-webhook a request, {"method": "POST", "target": "/", "headers": {}, "body": {}}; of a log-sink lines, ["one", "two"]; of a log-reader {"read": {}} or {"search": {}}. Without it, each gets a small example.

The exit status is 1 if the plugin fails, plans what no build could run, or says that its step failed, that an event was not delivered or that a line was rejected."#;

pub(super) fn run(args: &CallArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let catalogue = catalogue(global)?;
    let component = super::find(&catalogue, global, &args.plugin)?;
    let plugin = component.load(&plugins::host(&catalogue.places))?;
    let kind = chosen(args.kind.as_deref(), &component, &plugin)?;
    let input = match &args.input {
        Some(value) => Input::read(kind, value.clone())?,
        None => Input::example(kind),
    };
    let manifest = plugin.manifest().map(str::to_owned);
    let manifest = manifest.and_then(|text| component.read_manifest(text).manifest);
    let standing = match &manifest {
        Some(manifest) => Some(standing(&catalogue, &component, manifest, ui)?),
        None => None,
    };
    let grant = standing
        .as_ref()
        .map_or_else(nothing, |standing| standing.grant.clone());
    let invocation = Invocation {
        limits: limits::of(kind, &grant.limits),
        log: Arc::new(Talk {
            title: component.title().to_owned(),
            ui: *ui,
        }),
        ..Invocation::default()
    };
    let config = args.config.as_ref().unwrap_or(&grant.config);
    let mut call = Call {
        name: args.name.clone(),
        config: calling::object(Some(config).filter(|config| config.is_object())),
        options: calling::object(args.options.as_ref()),
        facts: calling::object(args.facts.as_ref()),
    };
    check(
        (component.title(), &plugin),
        manifest.as_ref(),
        kind,
        &mut call,
    )?;
    let name = manifest
        .as_ref()
        .map_or("plugin", |manifest| manifest.name.as_str());
    let asked = answered((name, &plugin), kind, &invocation, call, input);
    let (answer, mistakes) = plugins::wait(asked).context("cannot wait for a plugin")?;
    print(&component, kind, (&answer, &mistakes), ui)?;
    // A step that failed, an event that was not delivered, a line that nobody will take.
    let has = |value: &Value, key: &str| value[key].as_array().is_some_and(|all| !all.is_empty());
    let is_red = |value: &Value| {
        value["status"] == "failed" || has(value, "undelivered") || has(value, "rejected")
    };
    if let Err(error) = &answer {
        let file = grants_file(&catalogue);
        let table = standing.and_then(|standing| standing.table(&component, &file));
        let help = error.limit().map_or_else(String::new, |limit| {
            let line = limits::line_to_change(limit, table.as_deref(), &file);
            format!("\n  = help: {line}")
        });
        ui.error(&format!(
            "{}{help}",
            calling::story(component.title(), kind, error)
        ));
    }
    Ok(match &answer {
        Ok(value) if !is_red(value) && mistakes.is_empty() => exit_code::SUCCESS,
        Ok(_) | Err(_) => exit_code::BUILD_FAILED,
    })
}

/// The answer, and what is wrong with it if it is a plan.
async fn answered(
    (name, plugin): (&str, &Plugin),
    kind: Kind,
    invocation: &Invocation,
    call: Call,
    input: Input,
) -> (Result<Value, CallError>, Vec<Problem>) {
    if kind != Kind::StepPlanner {
        return (ask(plugin, kind, invocation, call, input).await, Vec::new());
    }
    match plugin.plan(invocation, call).await {
        Ok(plan) => (Ok(calling::as_json(&plan)), planned::mistakes(name, &plan)),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// Names the only thing of its kind, and holds configuration and options against their schemas, as a build would; defaults are filled in.
fn check(
    (title, plugin): (&str, &Plugin),
    manifest: Option<&Manifest>,
    kind: Kind,
    call: &mut Call,
) -> Result<(), CliError> {
    if call.name.is_empty()
        && let [only] = names(manifest, kind).as_slice()
    {
        call.name.clone_from(only);
    }
    let broken = |what: &str, why: &str| {
        let message = format!("the schema of the {what} of `{title}` cannot be used: {why}");
        Problem::error(codes::NOT_LOADABLE, message)
            .help("`piper plugin check` says what its author has to mend")
    };
    let schemas = plugin.options_schema().map(settings::schemas);
    let schemas = schemas.transpose().map_err(|why| broken("options", &why))?;
    let options = schemas
        .as_ref()
        .and_then(|schemas| settings::of(schemas, kind.name(), &call.name));
    let config = plugin.config_schema().map(serde_json::from_str::<Value>);
    let config = config
        .transpose()
        .map_err(|error| broken("configuration", &error.to_string()))?;
    let mut problems = Vec::new();
    for (what, schema, said) in [
        ("configuration", config.as_ref(), &mut call.config),
        ("options", options, &mut call.options),
    ] {
        let Some(schema) = schema else { continue };
        let schema = Schema::new(schema).map_err(|why| broken(what, &why))?;
        let mut value = serde_json::from_str(said).context("what is passed on is JSON")?;
        problems.extend(schema.check(&mut value).into_iter().map(|mistake| {
            let at = match mistake.pointer.as_str() {
                "" => String::new(),
                pointer => format!(", `{}`", readable(pointer)),
            };
            let message = format!("the {what} of `{title}`{at}{}", mistake.message);
            let mut problem = Problem::error(codes::BAD_OPTIONS, message);
            problem.help.extend(mistake.help);
            problem
        }));
        *said = value.to_string();
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(CliError::Problems(problems)),
    }
}

/// How a component stands: its limits and its configuration are what a call by hand has.
fn standing(
    catalogue: &Catalogue,
    component: &Component,
    manifest: &Manifest,
    ui: &Ui,
) -> Result<Standing, CliError> {
    let standing = catalogue.standing(component, manifest)?;
    if !permissions::asked(manifest).is_empty() {
        ui.warn("a call by hand gives a plugin nothing but its limits and its configuration: requests, files, secrets and commands are refused here, granted or not");
    }
    Ok(standing)
}

/// The kind that was asked for, or the only one.
fn chosen(
    asked: Option<&str>,
    component: &Component,
    plugin: &Plugin,
) -> Result<Kind, Box<Problem>> {
    let kinds = plugin.kinds();
    let title = component.title();
    let names = || {
        kinds
            .iter()
            .map(|kind| kind.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let asked = asked.and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
    if let Some(kind) = asked {
        return match kinds.contains(&kind) {
            true => Ok(kind),
            false => {
                let message = format!("plugin `{title}` is no {kind}");
                let help = format!("it is {}", names());
                Err(Box::new(
                    Problem::error(codes::BAD_VALUE, message).help(help),
                ))
            }
        };
    }
    let mut own = kinds.iter().filter(|kind| **kind != Kind::ConfigCheck);
    match (own.next(), own.next()) {
        (Some(kind), None) => Ok(*kind),
        _ => {
            let message = format!("plugin `{title}` is several kinds: {}", names());
            let help = format!(
                "say which is meant: piper plugin call {} KIND",
                words(title)
            );
            Err(Box::new(
                Problem::error(codes::BAD_VALUE, message).help(help),
            ))
        }
    }
}

fn print(
    component: &Component,
    kind: Kind,
    (answer, mistakes): (&Result<Value, CallError>, &[Problem]),
    ui: &Ui,
) -> Result<(), CliError> {
    let failed = |error: &CallError| match error {
        CallError::Failed(failure) => calling::failure(failure),
        CallError::Crashed(crash) => calling::crash(crash),
    };
    match (ui.format, answer) {
        (OutputFormat::Json, _) => {
            let mut object = json!({
                "v": 1,
                "type": "plugin.called",
                "plugin": component.title(),
                "digest": component.digest.to_string(),
                "kind": kind.name(),
            });
            match answer {
                Ok(value) => {
                    object["answer"] = value.clone();
                    object["problems"] = json!(problem::json(mistakes, None));
                }
                Err(error) => object["error"] = failed(error),
            }
            ui.print(&object.to_string())?;
        }
        (OutputFormat::Text, Ok(value)) => {
            ui.print(&format!("{value:#}"))?;
            if !mistakes.is_empty() {
                ui.complain(&problem::text(mistakes, ui.err.color, None));
            }
        }
        (OutputFormat::Text, Err(_)) => {}
    }
    Ok(())
}

/// Reads JSON from the command line, from a file, or from standard input.
pub(super) fn json_text(text: &str) -> Result<Value, String> {
    let given = match text.strip_prefix('@') {
        Some(file) => {
            fs::read_to_string(file).map_err(|error| format!("cannot read `{file}`: {error}"))?
        }
        None if text == "-" => {
            let mut input = String::new();
            std::io::stdin()
                .read_to_string(&mut input)
                .map_err(|error| error.to_string())?;
            input
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&given).map_err(|error| format!("not JSON: {error}"))
}

/// The same, and it must be an object.
pub(super) fn object(text: &str) -> Result<Value, String> {
    json_text(text).and_then(|value| match value {
        Value::Object(_) => Ok(value),
        _ => Err("not a JSON object: write {\"key\": \"value\"}".to_owned()),
    })
}
