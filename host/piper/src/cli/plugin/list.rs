//! `piper plugin list`: the plugins that can be named here, and how each stands.
//!
//! Looks at manifests only: nothing is compiled, and nothing is fetched.

use super::{CliError, GlobalArgs, catalogue};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        Error,
        catalogue::{Catalogue, Entry, label},
        component::Origin,
    },
    ui::{
        OutputFormat, Ui,
        sanitize::words,
        style::{Paint, width},
    },
};
use clap::Args;
use piper_plugin_host::policy::{grant::Difference, source::PluginSource};
use serde_json::json;

/// List the plugins of the project, of this user, and of piper itself
#[derive(Debug, Args)]
pub(super) struct ListArgs {}

/// What is known of a plugin without loading it.
struct Row {
    entry: Entry,
    version: Option<String>,
    description: Option<String>,
    state: State,
}

/// Whether it can be used.
enum State {
    Ready,
    Lacks(usize),
    /// What was granted, was granted to another one.
    Changed,
    Broken(String),
    /// It is on a server, and was never looked at.
    Elsewhere,
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Lacks(_) | Self::Changed => "not-granted",
            Self::Broken(_) => "broken",
            Self::Elsewhere => "not-fetched",
        }
    }
}

pub(super) fn run(_args: &ListArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let catalogue = catalogue(global)?;
    let rows: Vec<Row> = catalogue
        .entries()
        .into_iter()
        .map(|entry| row(&catalogue, entry))
        .collect();
    if ui.format == OutputFormat::Json {
        for row in &rows {
            ui.print(&json(row).to_string())?;
        }
        return Ok(exit_code::SUCCESS);
    }
    ui.print(&text(&rows, ui))?;
    Ok(exit_code::SUCCESS)
}

fn row(catalogue: &Catalogue, entry: Entry) -> Row {
    let mut row = Row {
        entry,
        version: None,
        description: None,
        state: State::Ready,
    };
    let is_remote = matches!(
        PluginSource::parse(&row.entry.source),
        Ok(PluginSource::Https(_))
    );
    if is_remote && row.entry.origin != Origin::Builtin && !catalogue.is_kept(&row.entry) {
        row.state = State::Elsewhere;
        return row;
    }
    let looked = catalogue
        .find(row.entry.name.as_str())
        .and_then(|component| {
            let loaded = component.manifest()?;
            Ok((component, loaded))
        });
    row.state = match looked {
        Err(error) => State::Broken(reason(&error)),
        Ok((component, loaded)) => {
            let Some(manifest) = loaded.and_then(|loaded| loaded.manifest) else {
                row.state = State::Broken("its manifest is missing or wrong".to_owned());
                return row;
            };
            let state = match catalogue.standing(&component, &manifest) {
                Err(problem) => State::Broken(problem.message),
                Ok(standing) => state(&standing.difference),
            };
            row.version = Some(manifest.version);
            row.description = manifest.description;
            state
        }
    };
    row
}

fn state(difference: &Difference) -> State {
    if let Some(asked) = difference.unusable() {
        let why = format!(
            "it asks for {}, which this version of piper gives to nobody",
            asked.kind
        );
        return State::Broken(why);
    }
    if difference.is_fine() {
        return State::Ready;
    }
    if difference.was.is_some() {
        return State::Changed;
    }
    let missing = difference.missing.iter();
    let needed = missing.filter(|missing| !missing.optional).count();
    State::Lacks(needed + difference.unset.len())
}

fn reason(error: &Error) -> String {
    match error {
        Error::Problems(problems) => problems
            .first()
            .map_or_else(String::new, |problem| problem.message.clone()),
        other => other.to_string(),
    }
}

fn text(rows: &[Row], ui: &Ui) -> String {
    let style = past::style(ui.out);
    let column = |of: fn(&Row) -> &str| rows.iter().map(|row| width(of(row))).max().unwrap_or(0);
    let names = column(|row| row.entry.name.as_str());
    let versions = column(|row| row.version.as_deref().unwrap_or("?"));
    let origins = column(|row| row.entry.origin.as_str());
    let lines = rows.iter().map(|row| {
        let name = row.entry.name.as_str();
        let version = row.version.as_deref().unwrap_or("?");
        let origin = row.entry.origin.as_str();
        let mut line = format!(
            "{}{}  {version:versions$}  {origin:origins$}  {}",
            style.paint(Paint::Name, name),
            " ".repeat(names - width(name)),
            style.paint(Paint::Dim, format!("{:12}", label(&row.entry))),
        );
        let (paint, words) = match &row.state {
            State::Ready => (
                Paint::Plain,
                row.description.as_deref().map(words).unwrap_or_default(),
            ),
            State::Changed => (
                Paint::Odd,
                "changed since it was granted something: `piper plugin grant` shows what".into(),
            ),
            State::Lacks(1) => (Paint::Odd, "1 permission is not granted".into()),
            State::Lacks(count) => (
                Paint::Odd,
                format!("{count} permissions are not granted").into(),
            ),
            State::Broken(why) => (Paint::Bad, words(why)),
            State::Elsewhere => (Paint::Dim, words(&row.entry.source)),
        };
        line.push_str("  ");
        line.push_str(&style.paint(paint, words));
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn json(row: &Row) -> serde_json::Value {
    json!({
        "v": 1,
        "type": "plugin.listed",
        "name": row.entry.name.as_str(),
        "origin": row.entry.origin.as_str(),
        "source": row.entry.source,
        "digest": row.entry.digest.map(|digest| digest.to_string()),
        "version": row.version,
        "description": row.description,
        "state": row.state.word(),
        "reason": match &row.state {
            State::Broken(why) => Some(why.as_str()),
            State::Ready | State::Lacks(_) | State::Changed | State::Elsewhere => None,
        },
    })
}
