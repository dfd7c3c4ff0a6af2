//! `piper plugin inspect`: what a plugin is, what it asks for and why, and what of that it is given here.

use super::{CliError, GlobalArgs, catalogue, check, grants_file, permissions};
use crate::{
    cli::past::{self, bytes},
    exit_code,
    plugins::{
        self, catalogue::Catalogue, component::Component, limits, settings, standing::Standing,
    },
    ui::{
        OutputFormat, Ui, problem,
        sanitize::words,
        style::{Paint, Style},
    },
};
use clap::Args;
use piper_core::problem::Problem;
use piper_plugin_host::{
    Limits, Plugin,
    kind::Kind,
    policy::{
        grant,
        limit::{Limit, Row, TABLE, Unit},
        manifest::Manifest,
    },
};
use serde_json::{Map, Value, json};

/// Show what a plugin is, what it asks for and why, and what it is granted
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A name of `piper plugin list`, or a component's file
    #[arg(value_name = "NAME|FILE")]
    plugin: String,
}

/// All that can be said of one plugin.
struct Seen<'a> {
    component: &'a Component,
    plugin: &'a Plugin,
    manifest: Option<Manifest>,
    standing: Option<Standing>,
    problems: Vec<Problem>,
}

pub(super) fn run(args: &InspectArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let catalogue = catalogue(global)?;
    let component = super::find(&catalogue, global, &args.plugin)?;
    let plugin = component.load(&plugins::host(&catalogue.places))?;
    let (loaded, mut problems) = check::examine(&component, &plugin);
    let manifest = loaded.and_then(|loaded| loaded.manifest);
    let standing = match &manifest {
        Some(manifest) => match catalogue.standing(&component, manifest) {
            Ok(standing) => Some(standing),
            Err(problem) => {
                problems.push(*problem);
                None
            }
        },
        None => None,
    };
    if let Some((manifest, standing)) = manifest.as_ref().zip(standing.as_ref()) {
        problems.extend(check::undeclared_secrets(
            component.title(),
            manifest,
            standing,
        ));
    }
    let seen = Seen {
        component: &component,
        plugin: &plugin,
        manifest,
        standing,
        problems,
    };
    let here = std::env::current_dir().ok();
    match ui.format {
        OutputFormat::Json => ui.print(&seen.json(here.as_deref()).to_string())?,
        OutputFormat::Text => {
            if !seen.problems.is_empty() {
                ui.complain(&problem::text(
                    &seen.problems,
                    ui.err.color,
                    here.as_deref(),
                ));
            }
            ui.print(&seen.text(&catalogue, past::style(ui.out)))?;
        }
    }
    Ok(match super::errors(seen.problems).is_empty() {
        true => exit_code::SUCCESS,
        false => exit_code::USAGE,
    })
}

impl Seen<'_> {
    fn limits(&self) -> grant::Limits {
        self.standing
            .as_ref()
            .map(|standing| standing.grant.limits)
            .unwrap_or_default()
    }

    fn text(&self, catalogue: &Catalogue, style: Style) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        let component = self.component;
        match &self.manifest {
            Some(manifest) => {
                let name = style.paint(Paint::Strong, manifest.name.as_str());
                let license = manifest
                    .license
                    .as_deref()
                    .map_or_else(String::new, |license| format!(" · {}", words(license)));
                line(&format!("{name} {}{license}", manifest.version));
                if let Some(description) = &manifest.description {
                    line(&words(description));
                }
            }
            None => line(&style.paint(Paint::Strong, words(component.title()))),
        }
        line("");
        line(&format!(
            "from    {} ({})",
            words(&component.source),
            component.origin.as_str()
        ));
        line(&format!("digest  {}", component.digest));
        line(&format!("size    {}", bytes(component.bytes.len() as u64)));
        line(&format!("kinds   {}", check::kinds(self.plugin).join(", ")));
        let unknown = self.plugin.unknown_exports();
        if !unknown.is_empty() {
            line(&format!(
                "unknown {} (exports that this piper does not know)",
                words(&unknown.join(", "))
            ));
        }
        let mut section = |title: &str, lines: Vec<String>| {
            if lines.is_empty() {
                return;
            }
            text.push_str(&format!("\n{}\n", style.paint(Paint::Strong, title)));
            for line in lines {
                text.push_str(&format!("  {line}\n"));
            }
        };
        for (title, schema) in self.schemas() {
            section(&title, said(&schema, style));
        }
        if let Some(manifest) = &self.manifest {
            let asks = permissions::text(manifest, style);
            section("Asks for", or_nothing(asks));
            if let Some(standing) = &self.standing {
                section("May do here", or_nothing(granted(standing)));
                section("Lacks", missing(self.component, standing, style));
                section(
                    "Granted and not asked for",
                    unused(standing, &grants_file(catalogue)),
                );
            }
        }
        section(
            "May use up, each call",
            limit_lines(self.plugin.kinds(), &self.limits()),
        );
        section(
            "Imports (a hint: what it may do is above)",
            imports(self.plugin),
        );
        text.trim_end().to_owned()
    }

    /// The schemas of what is said to it, each with a title.
    fn schemas(&self) -> Vec<(String, Value)> {
        let mut schemas: Vec<(String, Value)> = self
            .config_schema()
            .map(|schema| ("Configuration".to_owned(), schema))
            .into_iter()
            .collect();
        let kinds = self.options_schemas();
        for (kind, types) in kinds.iter().filter_map(Value::as_object).flatten() {
            for (name, schema) in types.as_object().into_iter().flatten() {
                let title = match name.as_str() {
                    "" => format!("Options of a {}", words(kind)),
                    name => format!("Options of {} ({})", words(name), words(kind)),
                };
                schemas.push((title, schema.clone()));
            }
        }
        schemas
    }

    fn config_schema(&self) -> Option<Value> {
        serde_json::from_str(self.plugin.config_schema()?).ok()
    }

    /// The schemas of its options, by kind and name.
    fn options_schemas(&self) -> Option<Value> {
        settings::schemas(self.plugin.options_schema()?).ok()
    }

    fn json(&self, here: Option<&std::path::Path>) -> Value {
        let component = self.component;
        let manifest = self.manifest.as_ref().map(|manifest| {
            json!({
                "name": manifest.name.as_str(),
                "version": manifest.version,
                "license": manifest.license,
                "description": manifest.description,
            })
        });
        let granted = self.limits();
        let limits = self.plugin.kinds().iter().map(|kind| {
            let mut all = limits_json(&limits::of(*kind, &granted));
            all.insert("kind".to_owned(), kind.name().into());
            Value::Object(all)
        });
        let permissions = self.manifest.as_ref().zip(self.standing.as_ref());
        json!({
            "v": 1,
            "type": "plugin.inspected",
            "name": component.name.as_ref().map(|name| name.as_str()),
            "origin": component.origin.as_str(),
            "source": component.source,
            "digest": component.digest.to_string(),
            "size": component.bytes.len(),
            "kinds": check::kinds(self.plugin),
            "imports": self.plugin.imports(),
            "stubs": self.plugin.stubs(),
            "unknown_exports": self.plugin.unknown_exports(),
            "manifest": manifest,
            "permissions": permissions.map(|(manifest, standing)| permissions::json(manifest, standing)),
            "limits": limits.collect::<Vec<_>>(),
            "config_schema": self.config_schema(),
            "options_schemas": self.options_schemas(),
            "problems": problem::json(&self.problems, here),
        })
    }
}

/// What an object may have by its schema, a line each.
fn said(schema: &Value, style: Style) -> Vec<String> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let line = |(name, schema): (&String, &Value)| {
        let kind = kind(schema);
        let default = match (schema.get("default"), required.contains(&json!(name))) {
            (Some(default), _) => format!(" = {default}"),
            (None, true) => ", required".to_owned(),
            (None, false) => String::new(),
        };
        let about = schema["description"].as_str().unwrap_or_default();
        let about = style.paint(Paint::Dim, words(about));
        let name = style.paint(Paint::Name, words(name));
        format!("{name}: {}  {about}", words(&format!("{kind}{default}")))
            .trim_end()
            .to_owned()
    };
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().map(line).collect()
}

/// Of which type a value is, as far as that is said in a word.
fn kind(schema: &Value) -> String {
    let each = |all: &[Value], of: fn(&Value) -> String| {
        let all: Vec<String> = all.iter().map(of).collect();
        all.join(" or ")
    };
    match (&schema["enum"], &schema["type"], &schema["anyOf"]) {
        (Value::Array(values), ..) => each(values, Value::to_string),
        (_, Value::String(kind), _) => kind.clone(),
        (_, Value::Array(kinds), _) => each(kinds, |kind| kind.as_str().unwrap_or("?").to_owned()),
        (_, _, Value::Array(schemas)) => each(schemas, kind),
        _ => "any value".to_owned(),
    }
}

fn or_nothing(lines: Vec<String>) -> Vec<String> {
    match lines.is_empty() {
        true => vec!["nothing".to_owned()],
        false => lines,
    }
}

fn granted(standing: &Standing) -> Vec<String> {
    let granted = permissions::granted(standing);
    granted
        .iter()
        .map(|(kind, what)| permissions::joined(kind, what))
        .collect()
}

fn missing(component: &Component, standing: &Standing, style: Style) -> Vec<String> {
    let difference = &standing.difference;
    let mut lines = Vec::new();
    if let Some(was) = difference.was {
        lines.push(format!(
            "what was granted was granted to {was}, and nothing of it holds"
        ));
    }
    for missing in &difference.missing {
        let optional = if missing.optional { " (optional)" } else { "" };
        let option = permissions::option(missing.option, &missing.value);
        lines.push(format!(
            "{}{optional}",
            style.paint(Paint::Odd, words(&option))
        ));
    }
    let can_be_granted = !lines.is_empty();
    for unset in &difference.unset {
        lines.push(
            words(&format!(
                "config for {} in your plugins.toml",
                unset.template
            ))
            .into_owned(),
        );
    }
    for asked in &difference.unavailable {
        let optional = if asked.optional { " (optional)" } else { "" };
        lines.push(
            style
                .paint(
                    Paint::Bad,
                    format!(
                        "{}, which this version of piper gives to nobody{optional}",
                        asked.kind
                    ),
                )
                .into_owned(),
        );
    }
    if let Some(name) = component.name.as_ref().filter(|_| can_be_granted) {
        lines.push(
            style
                .paint(
                    Paint::Dim,
                    format!("to grant it: piper plugin grant {name}"),
                )
                .into_owned(),
        );
    }
    lines
}

fn unused(standing: &Standing, file: &str) -> Vec<String> {
    let unused = standing.difference.unused.iter();
    let mut lines: Vec<String> = unused
        .map(|(option, value)| permissions::joined(option.trim_start_matches('-'), value))
        .collect();
    if !lines.is_empty() {
        lines.push(format!("it can be taken out of {file}"));
    }
    lines
}

/// Every limit with what it allows, key and value in columns; where the kinds differ, with those that have it.
fn limit_lines(kinds: &[Kind], granted: &grant::Limits) -> Vec<String> {
    let all: Vec<(Kind, Limits)> = kinds
        .iter()
        .map(|kind| (*kind, limits::of(*kind, granted)))
        .collect();
    let column = TABLE.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let line = |row: &Row| {
        let mut values: Vec<(String, Vec<&str>)> = Vec::new();
        for (kind, of) in &all {
            let value = match (kind, row.limit) {
                (Kind::StepRunner, Limit::Wall) => check::OF_ITS_STEP.to_owned(),
                _ => row.unit.shown(of.value(row.limit)),
            };
            match values.iter_mut().find(|(same, _)| *same == value) {
                Some((_, kinds)) => kinds.push(kind.name()),
                None => values.push((value, vec![kind.name()])),
            }
        }
        let value = match &values[..] {
            [(value, _)] => value.clone(),
            values => {
                let values = values.iter();
                let values: Vec<String> = values
                    .map(|(value, kinds)| format!("{value} ({})", kinds.join(", ")))
                    .collect();
                values.join(", ")
            }
        };
        format!("{:column$}  {value}", row.key)
    };
    match all.is_empty() {
        true => Vec::new(),
        false => TABLE.iter().map(line).collect(),
    }
}

/// Every limit for programs, by its key in the words of JSON: `http-total` is `http_total_ms`.
fn limits_json(limits: &Limits) -> Map<String, Value> {
    let member = |row: &Row| {
        let unit = match row.unit {
            Unit::Time => "_ms",
            Unit::Size | Unit::Count | Unit::Rate => "",
        };
        let key = format!("{}{unit}", row.key.replace('-', "_"));
        (key, limits.value(row.limit).into())
    };
    TABLE.iter().map(member).collect()
}

/// What a plugin imports of piper, and that it imports others.
fn imports(plugin: &Plugin) -> Vec<String> {
    let (own, others): (Vec<&String>, Vec<&String>) = plugin
        .imports()
        .iter()
        .partition(|import| import.starts_with("piper:"));
    let mut lines: Vec<String> = own
        .iter()
        .map(|import| words(import).into_owned())
        .collect();
    let stubs = plugin.stubs().iter();
    lines.extend(stubs.map(|stub| format!("{}, which this piper lacks", words(stub))));
    if !others.is_empty() {
        lines.push(format!(
            "{} of WASI, which toolchains import whether they are called or not",
            others.len()
        ));
    }
    lines
}
