//! `piper-plugin.toml`: what a plugin is and what it asks for, as its author wrote it.
//!
//! A manifest gives nothing: what of it holds is said in [`grant`](super::grant). Unknown keys are warnings, since a manifest may be
//! younger than this piper; an unknown kind of permission is an error unless the author says that the plugin does without it.

mod kinds;
mod permissions;

pub use kinds::{
    Batch, Digest, Encoding, LogSink, Notifier, Order, Role, Step, Trigger, Verify, Webhook,
};
pub use permissions::{Asked, Permissions, SecretAsk, SecretUse};
pub(super) use permissions::{argv, files};

use super::{
    fault::shown,
    files::WorkspacePath,
    read::{Fields, Reader, is_fine},
};
use piper_core::{
    codes,
    id::PluginName,
    pipeline,
    problem::{Problem, Severity, Source},
    suggest,
};
use std::sync::Arc;
use toml::de::DeTable;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What its author calls it.
    pub name: PluginName,
    /// Its version, of three numbers and perhaps more.
    pub version: String,
    /// Its licence, as SPDX calls it.
    pub license: Option<String>,
    /// What it is for, in a line.
    pub description: Option<String>,
    /// The file of its configuration's JSON schema, beside the manifest.
    pub config_schema: Option<WorkspacePath>,
    /// Types of steps.
    pub steps: Vec<Step>,
    /// Triggers that are polled.
    pub triggers: Vec<Trigger>,
    /// Webhooks.
    pub webhooks: Vec<Webhook>,
    /// Notifiers.
    pub notifiers: Vec<Notifier>,
    /// How logs are shipped, if they are.
    pub log_sink: Option<LogSink>,
    /// What it asks for.
    pub permissions: Permissions,
}

impl Manifest {
    /// The files of the options' schemas that it names, each with the kind, as [`Kind::name`](crate::kind::Kind::name) has it, and the
    /// name of what has those options.
    pub fn option_schemas(
        &self,
    ) -> impl Iterator<Item = (&'static str, Option<&PluginName>, &WorkspacePath)> {
        let steps = self.steps.iter().map(|step| {
            let kind = match step.role {
                Role::Planner => "step-planner",
                Role::Runner => "step-runner",
            };
            (kind, &step.name, &step.schema)
        });
        let triggers = self.triggers.iter();
        let webhooks = self.webhooks.iter();
        let notifiers = self.notifiers.iter();
        steps
            .chain(triggers.map(|one| ("trigger-poll", &one.name, &one.schema)))
            .chain(webhooks.map(|one| ("trigger-webhook", &one.name, &one.schema)))
            .chain(notifiers.map(|one| ("notifier", &one.name, &one.schema)))
            .filter_map(|(kind, name, schema)| Some((kind, name.as_ref(), schema.as_ref()?)))
    }
}

/// What became of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The manifest, if nothing is wrong with it but warnings.
    pub manifest: Option<Manifest>,
    /// All that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

/// The version of manifests that is understood.
const VERSION: u64 = 1;

const KEYS: [&str; 12] = [
    "manifest",
    "name",
    "version",
    "license",
    "description",
    "config-schema",
    "step",
    "trigger",
    "notifier",
    "log-sink",
    "webhook",
    "permission",
];

/// Reads a manifest.
pub fn load(source: &Arc<Source>) -> Loaded {
    let (manifest, problems) = pipeline::decode_tables(source, |table| decode(source, table));
    Loaded {
        manifest: manifest.flatten().filter(|_| is_fine(&problems)),
        problems,
    }
}

fn decode(source: &Arc<Source>, table: &DeTable<'_>) -> (Option<Manifest>, Vec<Problem>) {
    let mut reader = Reader::new(source, Severity::Warning);
    let start = 0..source.text.lines().next().map_or(0, str::len);
    // A later version may have other keys for everything: nothing more can be said of it.
    if !is_known_version(&mut reader, table, start.clone()) {
        return (None, reader.problems);
    }
    let fields = reader.fields("the manifest", table, start, &KEYS);
    let name = reader
        .required(&fields, "name", "\"…\"")
        .and_then(|text| reader.name("a plugin", &text, PluginName::parse));
    let version = version(&mut reader, &fields);
    let license = owned(reader.text(&fields, "license"));
    let description = owned(reader.text(&fields, "description"));
    let config_schema = path(&mut reader, &fields, "config-schema");
    let permissions = permissions::decode(&mut reader, &fields);
    let steps = kinds::steps(&mut reader, &fields);
    let triggers = kinds::triggers(&mut reader, &fields);
    let notifiers = kinds::notifiers(&mut reader, &fields);
    let log_sink = kinds::log_sink(&mut reader, &fields);
    let webhooks = kinds::webhooks(&mut reader, &fields, &permissions);
    let manifest = name.zip(version).map(|(name, version)| Manifest {
        name,
        version,
        license,
        description,
        config_schema,
        steps,
        triggers,
        webhooks,
        notifiers,
        log_sink,
        permissions,
    });
    (manifest, reader.problems)
}

fn is_known_version(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    start: std::ops::Range<usize>,
) -> bool {
    let Some(node) = table.get("manifest") else {
        let help = format!("add `manifest = {VERSION}`");
        reader.report(
            Problem::error(codes::MISSING_KEY, "the manifest has no `manifest`").help(help),
            start,
            "`manifest` is missing",
        );
        return true;
    };
    let Some(integer) = node.get_ref().as_integer() else {
        reader.wrong_type("`manifest`", "a whole number", node);
        return true;
    };
    if integer.as_str().parse() == Ok(VERSION) {
        return true;
    }
    let written = &integer.as_str();
    let message = format!("this piper reads `manifest = {VERSION}`, not {written}");
    let problem = Problem::error(codes::MANIFEST_VERSION, message)
        .help("a later version of piper reads it, or the plugin has a release for this one");
    reader.report(problem, node.span(), "not known");
    false
}

fn version(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<String> {
    let (text, at) = reader.required(fields, "version", "\"0.1.0\"")?;
    if is_version(text) {
        return Some(text.to_owned());
    }
    let mut problem = Problem::error(
        codes::BAD_VERSION,
        format!("{} is not a version", shown(text)),
    )
    .help("a version is three numbers: \"1.4.0\", \"1.4.0-beta.1\"");
    let guess = [
        text.trim_start_matches('v').to_owned(),
        format!("{text}.0"),
        format!("{text}.0.0"),
    ]
    .into_iter()
    .find(|guess| is_version(guess));
    if let Some(guess) = guess {
        problem = problem.help(format!("did you mean \"{guess}\"?"));
    }
    reader.report(problem, at, "not a version");
    None
}

/// By semantic versioning: three numbers, then letters, digits, `-` and dots behind `-` and `+`.
fn is_version(text: &str) -> bool {
    let (text, build) = text
        .split_once('+')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let (numbers, pre) = text
        .split_once('-')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let number = |part: &str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        digits && (1..=10).contains(&part.len()) && (part == "0" || !part.starts_with('0'))
    };
    let words = |words: &str| {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        words.len() <= 64 && words.split('.').all(word)
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && [pre, build].into_iter().flatten().all(words)
}

fn owned(text: Option<super::read::Text<'_>>) -> Option<String> {
    text.map(|(text, _)| text.to_owned())
}

/// A file beside the manifest.
fn path(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<WorkspacePath> {
    let text = reader.text(fields, key)?;
    let path = WorkspacePath::parse(text.0);
    if let Err(error) = &path {
        let message = format!(
            "`{key}` of {}: {} cannot be used: {error}",
            fields.owner,
            shown(text.0)
        );
        let problem = Problem::error(codes::BAD_PATH, message)
            .help("name a file beside the manifest or below it");
        reader.report(problem, text.1, "");
    }
    path.ok()
}

/// Help that names what was probably meant.
fn did_you_mean<'a>(
    problem: Problem,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Problem {
    match suggest::closest(word, known) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
