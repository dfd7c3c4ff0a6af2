//! The kinds of things that a plugin can be, with what the host must know before it calls one.

use super::{did_you_mean, owned, path, permissions::Permissions};
use crate::policy::{
    fault::shown,
    files::{Patterns, WorkspacePath},
    read::{Fields, Once, Reader},
};
use piper_core::{codes, id::PluginName, problem::Problem};
use std::time::Duration;

/// A type of step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What a pipeline calls it; may be missing if there is only one.
    pub name: Option<PluginName>,
    /// What it does.
    pub role: Role,
    /// The file of the JSON schema of its `with`.
    pub schema: Option<WorkspacePath>,
    /// The files that a planner reads.
    pub reads: Option<Patterns>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Says what to run; pure.
    Planner,
    /// Runs.
    Runner,
}

/// A trigger that is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// What the operator calls it; may be missing if there is only one.
    pub name: Option<PluginName>,
    /// The file of the JSON schema of its options.
    pub schema: Option<WorkspacePath>,
}

/// Something that tells somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// What a rule calls it; may be missing if there is only one.
    pub name: Option<PluginName>,
    /// The file of the JSON schema of a rule's options.
    pub schema: Option<WorkspacePath>,
    /// The kinds of events that it wants; all if there are none.
    pub events: Vec<String>,
    /// How many events at once at most. Nothing goes by it yet: who is told of one build is told of one event.
    pub batch: u32,
    /// Whether the newest event of a subject is enough. Nothing goes by it yet: no event waits for another.
    pub supersede: bool,
}

/// How logs are shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSink {
    /// What must stay in order.
    pub order: Order,
    /// How many calls at once at most.
    pub in_flight: u32,
    /// What a call gets.
    pub batch: Batch,
}

/// What a sink must get in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// The lines of an attempt.
    Attempt,
    /// Everything.
    All,
}

/// How much a call of a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Lines, at most.
    pub entries: u32,
    /// Bytes, at most.
    pub bytes: u64,
    /// How long a line waits for others.
    pub linger: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            entries: 10_000,
            bytes: 4 << 20,
            linger: Duration::from_millis(500),
        }
    }
}

/// The largest batch; a larger one would not fit into the memory that a plugin has.
const MAX_BATCH: Batch = Batch {
    entries: 100_000,
    bytes: 16 << 20,
    linger: Duration::from_secs(60),
};

/// A place where others deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, a part of its path; may be missing if there is only one.
    pub name: Option<PluginName>,
    /// The file of the JSON schema of its options.
    pub schema: Option<WorkspacePath>,
    /// How a delivery is known to be genuine.
    pub verify: Verify,
    /// The header with the delivery's id, in small letters.
    pub id: Option<String>,
}

/// How a delivery is known to be genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// A header holds an HMAC of the body.
    Hmac {
        /// Of which digest.
        digest: Digest,
        /// In which header, in small letters.
        header: String,
        /// What stands before it there.
        prefix: String,
        /// How it is written.
        encoding: Encoding,
        /// Under which secret.
        secret: String,
    },
    /// A header holds the secret.
    Equals {
        /// Which header, in small letters.
        header: String,
        /// Which secret.
        secret: String,
    },
    /// The plugin finds out itself: every forgery costs a call.
    Plugin,
}

/// The digest of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-1, which some services still use; good enough in an HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Digest {
    const WORDS: [&str; 3] = ["sha256", "sha512", "sha1"];

    /// Reads its name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// How bytes are written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits.
    Hex,
    /// Base64, with padding.
    Base64,
}

const MOST_IN_FLIGHT: u64 = 64;
const MOST_EVENTS: u64 = 1000;

/// The tables of one kind, and the name of each, which is there once; only a single table may have none.
fn each<'a>(
    reader: &mut Reader<'_>,
    manifest: &Fields<'a>,
    kind: &str,
    keys: &[&str],
) -> Vec<(Fields<'a>, Option<PluginName>)> {
    let known = [&["name"], keys].concat();
    let tables = reader.tables(manifest, kind);
    let several = tables.len() > 1;
    let mut once = Once::default();
    let mut found = Vec::with_capacity(tables.len());
    for (table, at) in tables {
        let fields = reader.fields(format_args!("`[[{kind}]]`"), table, at, &known);
        if several {
            reader.must_have(&fields, "name", "\"…\"");
        }
        let name = reader.text(&fields, "name").and_then(|text| {
            once.check(reader, kind, text.0, &text.1);
            reader.name(kind, &text, PluginName::parse)
        });
        found.push((fields, name));
    }
    found
}

pub(super) fn steps(reader: &mut Reader<'_>, manifest: &Fields<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (fields, name) in each(reader, manifest, "step", &["role", "schema", "reads"]) {
        reader.must_have(&fields, "role", "\"runner\"");
        let role = match reader.word(&fields, "role", &["planner", "runner"]) {
            Some("planner") => Role::Planner,
            _ => Role::Runner,
        };
        let reads = reads(reader, &fields);
        if let (Role::Runner, Some(node)) = (role, fields.get("reads")) {
            let problem = Problem::warning(codes::BAD_VALUE, "`reads` means nothing for a runner")
                .help("a runner reads files by itself: ask for `[[permission.files]]`");
            reader.report(problem, node.span(), "only planners are given files");
        }
        steps.push(Step {
            name,
            role,
            schema: path(reader, &fields, "schema"),
            reads,
        });
    }
    steps
}

fn reads(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Patterns> {
    let texts = reader.texts(fields, "reads");
    let patterns: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
    match Patterns::parse(&patterns) {
        Ok(parsed) => (!patterns.is_empty()).then_some(parsed),
        Err((at, fault)) => {
            if let Some(text) = texts.get(at) {
                reader.fault(fault, text);
            }
            None
        }
    }
}

pub(super) fn triggers(reader: &mut Reader<'_>, manifest: &Fields<'_>) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (fields, name) in each(reader, manifest, "trigger", &["schema"]) {
        let schema = path(reader, &fields, "schema");
        triggers.push(Trigger { name, schema });
    }
    triggers
}

pub(super) fn notifiers(reader: &mut Reader<'_>, manifest: &Fields<'_>) -> Vec<Notifier> {
    let mut notifiers = Vec::new();
    for (fields, name) in each(
        reader,
        manifest,
        "notifier",
        &["schema", "events", "batch", "supersede"],
    ) {
        let events = reader.texts(&fields, "events");
        notifiers.push(Notifier {
            name,
            schema: path(reader, &fields, "schema"),
            events: events
                .into_iter()
                .map(|(text, _)| text.to_owned())
                .collect(),
            batch: reader.count(&fields, "batch", 1..=MOST_EVENTS).unwrap_or(1) as u32,
            supersede: reader.flag(&fields, "supersede"),
        });
    }
    notifiers
}

pub(super) fn log_sink(reader: &mut Reader<'_>, manifest: &Fields<'_>) -> Option<LogSink> {
    let fields = reader.inner(manifest, "log-sink", &["order", "in-flight", "batch"])?;
    let order = match reader.word(&fields, "order", &["none", "attempt", "all"]) {
        Some("none") => Order::None,
        Some("all") => Order::All,
        _ => Order::Attempt,
    };
    let mut batch = Batch::default();
    if let Some(table) = reader.inner(&fields, "batch", &["entries", "bytes", "linger"]) {
        let entries = reader.count(&table, "entries", 1..=u64::from(MAX_BATCH.entries));
        batch = Batch {
            entries: entries.map_or(batch.entries, |entries| entries as u32),
            bytes: reader
                .size(&table, "bytes", MAX_BATCH.bytes)
                .unwrap_or(batch.bytes),
            linger: reader
                .duration(&table, "linger", MAX_BATCH.linger)
                .unwrap_or(batch.linger),
        };
    }
    let in_flight = reader.count(&fields, "in-flight", 1..=MOST_IN_FLIGHT);
    Some(LogSink {
        order,
        in_flight: in_flight.unwrap_or(1) as u32,
        batch,
    })
}

pub(super) fn webhooks(
    reader: &mut Reader<'_>,
    manifest: &Fields<'_>,
    permissions: &Permissions,
) -> Vec<Webhook> {
    let mut webhooks = Vec::new();
    for (fields, name) in each(reader, manifest, "webhook", &["schema", "verify", "id"]) {
        let id = reader
            .text(&fields, "id")
            .map(|(name, _)| name.to_ascii_lowercase());
        let schema = path(reader, &fields, "schema");
        let verify = verify(reader, &fields, permissions);
        webhooks.extend(verify.map(|verify| Webhook {
            name,
            schema,
            verify,
            id,
        }));
    }
    webhooks
}

fn verify(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    permissions: &Permissions,
) -> Option<Verify> {
    const EXAMPLE: &str = "{ hmac = \"sha256\", header = \"x-signature\", secret = \"webhook\" }";
    reader.must_have(fields, "verify", EXAMPLE);
    let node = fields.get("verify")?;
    if let Some(text) = node.get_ref().as_str() {
        let what = format!("`verify` of {}", fields.owner);
        reader.word_of(&what, &(text, node.span()), &["plugin"])?;
        return Some(Verify::Plugin);
    }
    let keys = ["hmac", "equals", "header", "prefix", "encoding", "secret"];
    let table = reader.inner(fields, "verify", &keys)?;
    let secret = reader.required(&table, "secret", "\"webhook\"");
    if let Some((name, at)) = &secret {
        declared(reader, name, at, permissions);
    }
    if table.has("hmac") == table.has("equals") {
        let message = format!(
            "{} is verified either by `hmac` or by `equals`",
            fields.owner
        );
        let problem = Problem::error(codes::EXCLUSIVE_KEYS, message)
            .help(format!("write `verify = {EXAMPLE}`, `{{ equals = \"x-token\", secret = \"webhook\" }}`, or `\"plugin\"`"));
        reader.report(problem, table.at.clone(), "");
        return None;
    }
    if table.has("equals") {
        let header = reader.text(&table, "equals")?.0.to_ascii_lowercase();
        return Some(Verify::Equals {
            header,
            secret: secret?.0.to_owned(),
        });
    }
    let digest = reader
        .word(&table, "hmac", &Digest::WORDS)
        .and_then(Digest::parse);
    let header = reader.required(&table, "header", "\"x-signature\"");
    let prefix = owned(reader.text(&table, "prefix")).unwrap_or_default();
    let encoding = match reader.word(&table, "encoding", &["hex", "base64"]) {
        Some("base64") => Encoding::Base64,
        _ => Encoding::Hex,
    };
    Some(Verify::Hmac {
        digest: digest?,
        header: header?.0.to_ascii_lowercase(),
        prefix,
        encoding,
        secret: secret?.0.to_owned(),
    })
}

fn declared(
    reader: &mut Reader<'_>,
    name: &str,
    at: &std::ops::Range<usize>,
    permissions: &Permissions,
) {
    let names = || {
        permissions
            .secrets
            .iter()
            .map(|asked| asked.what.name.as_str())
    };
    if !names().any(|known| known == name) {
        let message = format!("the secret {} is not declared", shown(name));
        let problem = Problem::error(codes::UNDECLARED_SECRET, message).help(
            "add `[[permission.secret]]` with its `name`, `use = { verify = true }` and a `why`",
        );
        let problem = did_you_mean(problem, name, names());
        reader.report(
            problem,
            at.clone(),
            "no `[[permission.secret]]` has this name",
        );
    }
}
