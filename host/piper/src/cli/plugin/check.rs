//! `piper plugin check`: whether a component is a plugin, with everything that is wrong with its manifest.
//!
//! Compiles and links it, and calls nothing: what a plugin does when it is called is `piper plugin test`'s business.

use super::{CliError, GlobalArgs, permissions};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        self, Places,
        catalogue::{self, Catalogue},
        component::{self, Component},
        files,
        limits::{self, Subject},
        settings::{self, Schema},
        standing::Standing,
        used::readable,
    },
    ui::{OutputFormat, Ui, problem, sanitize::words},
};
use clap::Args;
use piper_core::{
    codes,
    id::PluginName,
    notify::EVENTS,
    problem::{Problem, Severity, Source},
    suggest,
};
use piper_plugin_host::{
    Limits, Plugin,
    kind::Kind,
    policy::{
        command::quote,
        grant,
        limit::Limit,
        manifest::{self, Loaded, Manifest, Role},
    },
};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeSet, path::PathBuf, sync::Arc};

/// The manifest that a plugin's author writes.
pub(super) const MANIFEST: &str = "piper-plugin.toml";

/// Report every problem of a component and of its manifest
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A component, a name of `piper plugin list`, or a manifest alone
    #[arg(value_name = "NAME|FILE", default_value = MANIFEST)]
    file: String,
}

pub(super) fn run(args: &CheckArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let path = match &global.directory {
        Some(directory) => directory.join(&args.file),
        None => PathBuf::from(&args.file),
    };
    if args.file.ends_with(".toml") {
        let text = files::read_text(&path, files::Authority::Anybody)?;
        let text = text.ok_or_else(|| {
            Problem::error(
                codes::UNREADABLE,
                format!("there is no file `{}`", plugins::shown(&path)),
            )
            .help("name a component or a manifest; `piper plugin new` begins a plugin")
        })?;
        let loaded = read_manifest(&text);
        return report(&plugins::shown(&path), &loaded.problems, None, ui);
    }
    // A name that is also a file's means the file here, which is mostly just built.
    if PluginName::parse(&args.file).is_ok() && !path.is_file() {
        let catalogue = super::catalogue(global)?;
        let component = super::find(&catalogue, global, &args.file)?;
        return component_in(Some(&catalogue), &component, ui);
    }
    component_of(&component::at(&path, catalogue::limit(None))?, ui)
}

/// Reads a manifest, with all that can be said of it without its component.
pub(super) fn read_manifest(source: &Arc<Source>) -> Loaded {
    let mut loaded = manifest::load(source);
    if let Some(manifest) = &loaded.manifest {
        let kinds = declared(manifest).into_iter();
        let kinds = kinds.filter_map(|(kind, is_declared, _)| is_declared.then_some(kind));
        let kinds: Vec<Kind> = kinds.collect();
        let idle = idle_permissions(manifest.name.as_str(), manifest, &kinds);
        loaded.problems.extend(idle);
    }
    loaded
}

/// Checks a component, and says all that is wrong with it.
pub(super) fn component_of(component: &Component, ui: &Ui) -> Result<u8, CliError> {
    component_in(None, component, ui)
}

/// Likewise with the limits that were set for it, if it is in a catalogue.
fn component_in(
    catalogue: Option<&Catalogue>,
    component: &Component,
    ui: &Ui,
) -> Result<u8, CliError> {
    let plugin = component.load(&plugins::host(&Places::find()))?;
    let (loaded, mut problems) = examine(component, &plugin);
    let manifest = loaded.as_ref().and_then(|loaded| loaded.manifest.as_ref());
    let standing = catalogue
        .zip(manifest)
        .and_then(|(catalogue, manifest)| catalogue.standing(component, manifest).ok());
    if let Some((manifest, standing)) = manifest.zip(standing.as_ref()) {
        problems.extend(undeclared_secrets(component.title(), manifest, standing));
    }
    let granted = standing.as_ref().map(|standing| standing.grant.limits);
    let granted = granted.unwrap_or_default();
    let file = catalogue.map_or_else(|| "plugins.toml".to_owned(), super::grants_file);
    let subject = Subject {
        title: component.title().to_owned(),
        table: standing.and_then(|standing| standing.table(component, &file)),
        file,
    };
    let begun = plugin.fits(&Limits::default().set(&granted), "check");
    problems.extend(begun.err().map(|crash| limits::too_much(&crash, &subject)));
    let found = Found {
        plugin: &plugin,
        manifest,
        granted: &granted,
        reference: &reference(component),
    };
    report(&component.source, &problems, Some(found), ui)
}

/// How a component is named on a command line: one without a name by a path that nobody takes for a name.
fn reference(component: &Component) -> Cow<'_, str> {
    match &component.name {
        Some(name) => name.as_str().into(),
        None if component.source.contains('/') => component.source.as_str().into(),
        None => format!("./{}", component.source).into(),
    }
}

/// What was checked, if it is a component.
#[derive(Clone, Copy)]
struct Found<'a> {
    plugin: &'a Plugin,
    manifest: Option<&'a Manifest>,
    granted: &'a grant::Limits,
    /// What names it on a command line.
    reference: &'a str,
}

/// All that is wrong with a component that can be loaded.
pub(super) fn examine(component: &Component, plugin: &Plugin) -> (Option<Loaded>, Vec<Problem>) {
    let title = component.title();
    let Some(text) = plugin.manifest() else {
        let problem = Problem::error(
            codes::NOT_LOADABLE,
            format!("`{title}` has no manifest, so it may do nothing, and nobody can name it"),
        )
        .help(format!(
            "write a {MANIFEST}; `piper plugin build` puts it into the component"
        ));
        return (None, vec![problem]);
    };
    let loaded = component.read_manifest(text.to_owned());
    let mut problems = loaded.problems.clone();
    if let Some(manifest) = &loaded.manifest {
        problems.extend(mismatches(title, manifest, plugin.kinds()));
        problems.extend(idle_permissions(title, manifest, plugin.kinds()));
        problems.extend(schema(title, manifest, plugin.config_schema()));
        problems.extend(unknown_events(title, manifest));
        problems.extend(unknown_config(title, manifest, plugin.config_schema()));
        problems.extend(options_schemas(title, manifest, plugin.options_schema()));
    }
    (Some(loaded), problems)
}

/// The kinds that a manifest can declare, whether it does, and how.
fn declared(manifest: &Manifest) -> [(Kind, bool, &'static str); 6] {
    let has_step = |role: Role| manifest.steps.iter().any(|step| step.role == role);
    [
        (
            Kind::StepPlanner,
            has_step(Role::Planner),
            "[[step]]\nrole = \"planner\"",
        ),
        (
            Kind::StepRunner,
            has_step(Role::Runner),
            "[[step]]\nrole = \"runner\"",
        ),
        (
            Kind::TriggerPoll,
            !manifest.triggers.is_empty(),
            "[[trigger]]",
        ),
        (
            Kind::TriggerWebhook,
            !manifest.webhooks.is_empty(),
            "[[webhook]]",
        ),
        (Kind::LogSink, manifest.log_sink.is_some(), "[log-sink]"),
        (
            Kind::Notifier,
            !manifest.notifiers.is_empty(),
            "[[notifier]]",
        ),
    ]
}

/// Kinds of which only the manifest or only the component knows.
fn mismatches(title: &str, manifest: &Manifest, kinds: &[Kind]) -> Vec<Problem> {
    let problem = |(kind, is_declared, table): (Kind, bool, &str)| {
        let table = table.replace('\n', ", ");
        match (kinds.contains(&kind), is_declared) {
            (true, false) => Some(
                Problem::error(codes::MISSING_KEY, format!("`{title}` exports `{}`, and its manifest has no `{table}`", kind.interface()))
                    .help(format!("add `{table}` to the manifest, or do not export it")),
            ),
            (false, true) => Some(
                Problem::error(codes::NOT_LOADABLE, format!("the manifest of `{title}` has `{table}`, and the component does not export `{}`", kind.interface()))
                    .help("export it, or take it out of the manifest"),
            ),
            (true, true) | (false, false) => None,
        }
    };
    declared(manifest).into_iter().filter_map(problem).collect()
}

/// The kinds that can use a permission.
fn users(permission: &str) -> &'static [Kind] {
    match permission {
        "exec" => &[Kind::StepRunner],
        "files" => &[Kind::StepRunner, Kind::LogSink, Kind::LogReader],
        "mail" | "builds" => &[Kind::Notifier],
        "vcs" => &[Kind::TriggerPoll],
        _ => &[
            Kind::StepRunner,
            Kind::TriggerPoll,
            Kind::TriggerWebhook,
            Kind::LogSink,
            Kind::LogReader,
            Kind::Notifier,
        ],
    }
}

/// Permissions that are no use to anything that the plugin is. A planner is a pure function, so it is wrong to ask for one as nothing else.
fn idle_permissions(title: &str, manifest: &Manifest, kinds: &[Kind]) -> Vec<Problem> {
    let kinds = kinds.iter().filter(|kind| **kind != Kind::ConfigCheck);
    let kinds: Vec<Kind> = kinds.copied().collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let is_pure = kinds == [Kind::StepPlanner];
    let named = |kinds: &[Kind]| {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        names.join(", ")
    };
    let asked = permissions::asked(manifest);
    let asked: BTreeSet<&str> = asked.iter().map(|ask| ask.kind).collect();
    let idle = asked
        .into_iter()
        .filter(|asked| !users(asked).iter().any(|user| kinds.contains(user)));
    let problem = |permission: &str| {
        let help = format!(
            "take it out of the manifest; a plugin of these kinds can use it: {}",
            named(users(permission))
        );
        let problem = match is_pure {
            true => Problem::error(
                codes::BAD_VALUE,
                format!(
                    "`{title}` asks for `[[permission.{permission}]]`, and a step-planner may have no permission: it plans from what it is told, and nothing else"
                ),
            ),
            false => Problem::warning(
                codes::BAD_VALUE,
                format!(
                    "`{title}` asks for `[[permission.{permission}]]`, which is no use to what it is: {}",
                    named(&kinds)
                ),
            ),
        };
        problem.help(help)
    };
    idle.map(problem).collect()
}

/// Whether the configuration's schema is there where it is said to be, and is JSON.
fn schema(title: &str, manifest: &Manifest, schema: Option<&str>) -> Option<Problem> {
    match (schema, &manifest.config_schema) {
        (Some(text), _) if !matches!(serde_json::from_str(text), Ok(Value::Object(_))) => {
            let problem = Problem::error(
                codes::NOT_LOADABLE,
                format!("the configuration's schema of `{title}` is not a JSON object"),
            );
            Some(problem.help("mend the file that `config-schema` names, and build again"))
        }
        (None, Some(_)) => {
            let problem = Problem::error(
                codes::NOT_LOADABLE,
                format!(
                    "the manifest of `{title}` names a `config-schema`, and the component has none in it"
                ),
            );
            Some(problem.help("`piper plugin build` puts it into the component"))
        }
        (Some(text), _) => unusable(title, "configuration", &serde_json::from_str(text).ok()?),
        (None, None) => None,
    }
}

/// What keeps a schema from being used, or anything from being right by it.
fn unusable(title: &str, what: &str, schema: &Value) -> Option<Problem> {
    let why = match (Schema::new(schema), schema["type"].as_str()) {
        (Err(why), _) => why,
        (Ok(_), Some(other)) if other != "object" => {
            format!("its `type` is `{other}`, and what is said is always an object")
        }
        (Ok(schema), _) => {
            // What is missing is for whoever uses it to say; what stands here after that is a default.
            let mistakes = schema.check(&mut json!({}));
            let wrong = mistakes
                .into_iter()
                .find(|mistake| !mistake.pointer.is_empty())?;
            let place = readable(&wrong.pointer);
            format!("the default of `{place}`{}", wrong.message)
        }
    };
    let message = format!("the schema of the {what} of `{title}` cannot be used: {why}");
    let problem = Problem::error(codes::NOT_LOADABLE, message);
    Some(problem.help("mend the file that the manifest names, and build again"))
}

/// Events that no notifier is told of here.
fn unknown_events(title: &str, manifest: &Manifest) -> Vec<Problem> {
    let events = manifest.notifiers.iter().flat_map(|one| &one.events);
    let unknown = events.filter(|event| !EVENTS.contains(&event.as_str()));
    let problem = |event: &String| {
        let message =
            format!("`{title}` waits for the event `{event}`, which this piper does not tell");
        let help = match suggest::closest(event, EVENTS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "it tells `{}`; a later one may know more",
                EVENTS.join("`, `")
            ),
        };
        Problem::warning(codes::BAD_VALUE, message).help(help)
    };
    unknown.map(problem).collect()
}

/// Places of a permission that the configuration can never fill.
fn unknown_config(title: &str, manifest: &Manifest, schema: Option<&str>) -> Vec<Problem> {
    let Some(schema) = schema.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Vec::new();
    };
    let can_be = |path: &str| {
        let mut here = &schema;
        path.split('.').all(|key| {
            let is_open = here["additionalProperties"] != false;
            let known = here["properties"].get(key);
            here = known.unwrap_or(&Value::Null);
            known.is_some() || is_open
        })
    };
    let http = &manifest.permissions.http;
    let keys: BTreeSet<String> = http
        .iter()
        .flat_map(|asked| asked.what.config_keys())
        .collect();
    let unknown = keys.into_iter().filter(|key| !can_be(key));
    let problem = |key: String| {
        let message = format!(
            "`{title}` asks for requests to `{{config.{key}}}`, and its configuration has no `{key}`"
        );
        let properties = schema["properties"].as_object();
        let names: Vec<&str> = properties
            .into_iter()
            .flat_map(|all| all.keys().map(String::as_str))
            .collect();
        let help = match suggest::closest(&key, names.iter().copied()) {
            Some(near) => format!("did you mean `{{config.{near}}}`?"),
            None => {
                "add it to the configuration's schema, or take it out of the manifest".to_owned()
            }
        };
        Problem::error(codes::BAD_VALUE, message).help(help)
    };
    unknown.map(problem).collect()
}

/// Secrets that were written down for a plugin which never heard of them, mostly by a slip that leaves the one that was meant missing.
pub(super) fn undeclared_secrets(
    title: &str,
    manifest: &Manifest,
    standing: &Standing,
) -> Vec<Problem> {
    let granted = standing.grant.secrets.keys();
    let problems = granted.filter_map(|name| permissions::undeclared_secret(title, manifest, name));
    let warning = |problem: Problem| Problem {
        severity: Severity::Warning,
        ..problem
    };
    problems.map(warning).collect()
}

/// Whether the schemas of options are there if one is named, stand by kind and name, and can be used.
fn options_schemas(title: &str, manifest: &Manifest, schemas: Option<&str>) -> Vec<Problem> {
    let refuse = |message: String, help: &str| {
        vec![Problem::error(codes::NOT_LOADABLE, message).help(help.to_owned())]
    };
    match schemas.map(settings::schemas) {
        Some(Ok(kinds)) => {
            let kinds = kinds.as_object().into_iter().flatten();
            let all = kinds.flat_map(|(_, types)| types.as_object().into_iter().flatten());
            all.filter_map(|(name, schema)| match name.as_str() {
                "" => unusable(title, "options", schema),
                name => unusable(title, &format!("options of `{name}`"), schema),
            })
            .collect()
        }
        Some(Err(why)) => refuse(
            format!("the options' schemas of `{title}` cannot be used: {why}"),
            "a file that `schema` names holds the JSON schema of one `with`; `piper plugin build` puts all of them into the component",
        ),
        None => manifest.option_schemas().next().map_or_else(Vec::new, |(.., file)| {
            refuse(
                format!(
                    "the manifest of `{title}` names the `schema` `{file}`, and the component has none in it"
                ),
                "`piper plugin build` puts it into the component",
            )
        }),
    }
}

fn report(
    title: &str,
    problems: &[Problem],
    found: Option<Found<'_>>,
    ui: &Ui,
) -> Result<u8, CliError> {
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
            let mut object = json!({ "v": 1, "type": "plugin.checked", "file": title, "errors": errors, "warnings": warnings });
            if let Some(Found { plugin, .. }) = found {
                object["kinds"] = json!(kinds(plugin));
                object["size"] = json!(plugin.size());
                object["digest"] = json!(plugin.digest().to_string());
                object["stubs"] = json!(plugin.stubs());
            }
            ui.print(&object.to_string())?;
        }
        OutputFormat::Text => {
            if !problems.is_empty() {
                ui.complain(&problem::text(problems, ui.err.color, here.as_deref()));
            }
            ui.print(&summary(title, found, (errors, warnings), ui))?;
        }
    }
    Ok(if errors > 0 {
        exit_code::USAGE
    } else {
        exit_code::SUCCESS
    })
}

fn summary(
    title: &str,
    found: Option<Found<'_>>,
    (errors, warnings): (usize, usize),
    ui: &Ui,
) -> String {
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let mut parts = Vec::new();
    if let Some(Found { plugin, .. }) = found {
        parts.push(kinds(plugin).join(", "));
        parts.push(past::bytes(plugin.size() as u64));
    }
    parts.extend(counted(errors, "error"));
    parts.extend(counted(warnings, "warning"));
    if errors + warnings == 0 {
        parts.push("no problems".to_owned());
    }
    let mut lines = vec![format!("{title}: {}", parts.join(", "))];
    if let Some(Found {
        plugin,
        manifest,
        granted,
        reference,
    }) = found
    {
        let asks = manifest.map(|manifest| permissions::text(manifest, past::style(ui.out)));
        match asks {
            Some(asks) if asks.is_empty() => lines.push("  asks for nothing".to_owned()),
            Some(asks) => lines.extend(asks.into_iter().map(|ask| format!("  asks for {ask}"))),
            None => {}
        }
        let limits = limit_lines(plugin.kinds(), granted).into_iter();
        lines.extend(limits.map(|line| format!("  a call of {line}")));
        lines.push(format!(
            "  the other limits: piper plugin inspect {} shows them",
            quote(reference)
        ));
        let stubs = plugin.stubs().iter();
        lines.extend(stubs.map(|stub| {
            format!(
                "  imports {}, which this piper lacks: a call to it fails",
                words(stub)
            )
        }));
        let unknown = plugin.unknown_exports();
        if !unknown.is_empty() {
            lines.push(format!(
                "  also exports {}, which piper does not know",
                words(&unknown.join(", "))
            ));
        }
    }
    lines.join("\n")
}

/// The wall time of a step.
pub(super) const OF_ITS_STEP: &str = "as long as its step may take";

/// What a call of each kind may use up at most, a line each: of memory and of time.
fn limit_lines(kinds: &[Kind], granted: &grant::Limits) -> Vec<String> {
    let line = |kind: &Kind| {
        let of = limits::of(*kind, granted);
        let shown = |limit: Limit| limit.row().unit.shown(of.value(limit));
        let wall = match kind {
            Kind::StepRunner => OF_ITS_STEP.to_owned(),
            _ => format!("{} in all", shown(Limit::Wall)),
        };
        let (memory, cpu) = (shown(Limit::Memory), shown(Limit::Cpu));
        format!("{kind}: {memory} of memory, {cpu} of CPU, {wall}")
    };
    kinds.iter().map(line).collect()
}

/// The names of a plugin's kinds.
pub(super) fn kinds(plugin: &Plugin) -> Vec<&'static str> {
    plugin.kinds().iter().map(|kind| kind.name()).collect()
}
