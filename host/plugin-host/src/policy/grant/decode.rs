//! From the text of the operator's file to what it grants. A mistyped key is an error here: it would mean less or more than was meant.

use super::{Allow, ExtraUses, Grants, Limits, PluginGrant, SecretGrant, SecretSource};
use crate::policy::{
    fault::shown,
    host::{Host, Origin, Scheme},
    http_rule::{AnyHost, HttpRule},
    limit::{Row, TABLE, Unit},
    manifest::{self, Encoding},
    network::Network,
    read::{Fields, Node, Reader, Text, entries, is_fine},
    source::{PluginDigest, PluginSource},
};
use piper_core::{
    codes,
    id::PluginName,
    pipeline,
    problem::{Problem, Severity, Source},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use toml::de::{DeTable, DeValue};

const PLUGIN: [&str; 7] = [
    "source",
    "digest",
    "granted-to",
    "config",
    "allow",
    "secrets",
    "limits",
];
const ALLOW: [&str; 9] = [
    "http",
    "any-host",
    "private-network",
    "files",
    "exec",
    "state",
    "mail",
    "builds",
    "vcs",
];
/// Keys of a later version: there is nothing that they could give or limit yet, and who writes one believes otherwise.
const LATER: [&str; 4] = ["mail", "builds", "vcs", "webhook-body"];

/// Reads the operator's file; nothing is granted if anything is wrong with it but warnings.
pub fn load(source: &Arc<Source>) -> (Option<Grants>, Vec<Problem>) {
    let (grants, problems) = pipeline::decode_tables(source, |table| {
        let mut reader = Reader::new(source, Severity::Error);
        let grants = file(&mut reader, table);
        (grants, reader.problems)
    });
    (grants.filter(|_| is_fine(&problems)), problems)
}

fn file(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Grants {
    let fields = reader.fields("the file of grants", table, 0..0, &["plugins", "policy"]);
    let mut grants = Grants::default();
    for (name, at, node) in named(reader, &fields, "plugins") {
        let owner = format!("plugin `{name}`");
        let name = reader.name("a plugin", &(name, at), PluginName::parse);
        if let Some(fields) = reader.table(owner, node, &PLUGIN) {
            let grant = plugin(reader, &fields);
            grants.plugins.extend(name.map(|name| (name, grant)));
        }
    }
    if let Some(policy) = reader.inner(&fields, "policy", &["project-plugins"])
        && let Some(fields) = reader.inner(&policy, "project-plugins", &ALLOW)
    {
        grants.project_plugins = allow(reader, &fields);
    }
    grants
}

/// The entries of a table with free names.
fn named<'a>(
    reader: &mut Reader<'_>,
    fields: &Fields<'a>,
    key: &str,
) -> Vec<(&'a str, std::ops::Range<usize>, Node<'a>)> {
    let Some(node) = fields.get(key) else {
        return Vec::new();
    };
    if let DeValue::Table(table) = node.get_ref() {
        return entries(table);
    }
    reader.wrong_type(&format!("`{key}` of {}", fields.owner), "a table", node);
    Vec::new()
}

fn plugin(reader: &mut Reader<'_>, fields: &Fields<'_>) -> PluginGrant {
    let source = reader.text(fields, "source");
    let mut digest = |key| {
        let text = reader.text(fields, key)?;
        reader.parsed(&text, PluginDigest::parse)
    };
    let (digest, granted_to) = (digest("digest"), digest("granted-to"));
    let mut grant = PluginGrant {
        source: source.and_then(|text| reader.parsed(&text, PluginSource::parse)),
        digest,
        granted_to,
        config: Value::Object(serde_json::Map::new()),
        ..PluginGrant::default()
    };
    if let Some(node) = fields.get("config") {
        match node.get_ref() {
            DeValue::Table(_) => grant.config = json(node.get_ref()),
            _ => reader.wrong_type(&format!("`config` of {}", fields.owner), "a table", node),
        }
    }
    if let Some(table) = reader.inner(fields, "allow", &ALLOW) {
        grant.allow = allow(reader, &table);
    }
    for (name, _, node) in named(reader, fields, "secrets") {
        let owner = format!("secret {} of {}", shown(name), fields.owner);
        let keys = ["from", "to", "use", "strip", "decode"];
        if let Some(table) = reader.table(owner, node, &keys) {
            let secret = secret(reader, &table);
            grant
                .secrets
                .extend(secret.map(|secret| (name.to_owned(), secret)));
        }
    }
    let keys = TABLE.iter().map(|row| row.key).chain(["webhook-body"]);
    if let Some(table) = reader.inner(fields, "limits", &keys.collect::<Vec<_>>()) {
        grant.limits = limits(reader, &table);
    }
    grant
}

fn refuse_later(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in LATER {
        if let Some(node) = fields.get(key) {
            let message = format!(
                "`{key}` of {} is not implemented in this version of piper",
                fields.owner
            );
            let problem = Problem::error(codes::NOT_IMPLEMENTED, message)
                .help("remove it: it is for the farm's daemon, and nothing here goes by it");
            reader.report(problem, node.span(), "a later version brings it");
        }
    }
}

fn allow(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Allow {
    refuse_later(reader, fields);
    let any_host = match reader.flag(fields, "any-host") {
        true => AnyHost::Acknowledged,
        false => AnyHost::Refused,
    };
    let rules = reader.texts(fields, "http");
    let networks = reader.texts(fields, "private-network");
    let files = reader.inner(fields, "files", &["workspace", "out", "cache"]);
    Allow {
        http: rules
            .iter()
            .filter_map(|text| rule(reader, text, any_host))
            .collect(),
        private_networks: networks
            .iter()
            .filter_map(|text| reader.parsed(text, Network::parse))
            .collect(),
        files: files
            .and_then(|table| manifest::files(reader, &table))
            .unwrap_or_default(),
        exec: commands(reader, fields),
        state: reader.flag(fields, "state"),
    }
}

/// A literal rule: what a template stands for would be for the plugin's configuration to say.
fn rule(reader: &mut Reader<'_>, text: &Text<'_>, any_host: AnyHost) -> Option<HttpRule> {
    if text.0.contains("{config") {
        let message = format!("{} is a template, and a grant is literal", shown(text.0));
        let problem = Problem::error(codes::BAD_TEMPLATE, message)
            .help("write the host itself; `piper plugin grant` fills it in from the configuration");
        reader.report(problem, text.1.clone(), "only declarations have templates");
        return None;
    }
    reader.parsed(text, |text| HttpRule::parse(text, any_host))
}

fn commands(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<crate::policy::exec::ArgvRule> {
    let Some(node) = fields.get("exec") else {
        return Vec::new();
    };
    match node.get_ref().as_array() {
        Some(list) => list
            .iter()
            .filter_map(|node| manifest::argv(reader, &fields.owner, node))
            .collect(),
        None => {
            let expected = "a list of commands such as [[\"git\", \"fetch\"]]";
            reader.wrong_type(&format!("`exec` of {}", fields.owner), expected, node);
            Vec::new()
        }
    }
}

fn secret(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<SecretGrant> {
    let from = reader
        .required(fields, "from", "\"env:NAME\"")
        .and_then(|(text, at)| {
            let from = SecretSource::parse(text);
            if from.is_none() {
                let message = format!("{} does not say where the secret is", shown(text));
                let mut problem = Problem::error(codes::BAD_SECRET_SOURCE, message).help(
                    "write `env:NAME` or `file:/path`; the value itself does not belong here",
                );
                let guess = [format!("env:{text}"), format!("file:{text}")];
                if let Some(guess) = guess
                    .iter()
                    .find(|guess| SecretSource::parse(guess).is_some())
                {
                    problem = problem.help(format!("did you mean `{guess}`?"));
                }
                reader.report(problem, at, "not a source of a secret");
            }
            from
        });
    let to = reader.texts(fields, "to");
    let to = to.iter().filter_map(|text| origin(reader, text)).collect();
    let mut uses = ExtraUses::default();
    for text in reader.texts(fields, "use") {
        match reader.word_of(
            &format!("`use` of {}", fields.owner),
            &text,
            &["path", "body", "reveal"],
        ) {
            Some("path") => uses.path = true,
            Some("body") => uses.body = true,
            Some(_) => uses.reveal = true,
            None => {}
        }
    }
    let strip = reader
        .text(fields, "strip")
        .map(|(text, _)| text.to_owned());
    let decode = match reader.word(fields, "decode", &["hex", "base64"]) {
        Some("hex") => Some(Encoding::Hex),
        Some(_) => Some(Encoding::Base64),
        None => None,
    };
    Some(SecretGrant {
        from: from?,
        to,
        uses,
        strip,
        decode,
    })
}

fn origin(reader: &mut Reader<'_>, (text, at): &Text<'_>) -> Option<Origin> {
    let Ok(origin) = Origin::parse(text) else {
        let mut problem = Problem::error(
            codes::BAD_ORIGIN,
            format!("{} is not an origin", shown(text)),
        )
        .help("an origin is a scheme, a host and perhaps a port: \"https://example.com:9200\"");
        if let Ok(guess) = Origin::parse(&format!("https://{text}")) {
            problem = problem.help(format!("did you mean `{guess}`?"));
        }
        reader.report(problem, at.clone(), "not an origin");
        return None;
    };
    let here = match &origin.host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::V4(address) => address.is_loopback(),
        Host::V6(address) => address.is_loopback(),
    };
    if origin.scheme == Scheme::Http && !here {
        let message = format!("the secret goes to {} without encryption", shown(text));
        let problem = Problem::warning(codes::SECRET_IN_THE_CLEAR, message)
            .help("use `https://` if the server has it: everybody on the way can read the secret");
        reader.report(problem, at.clone(), "in the clear");
    }
    Some(origin)
}

fn limits(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Limits {
    refuse_later(reader, fields);
    let mut limits = Limits::default();
    for Row {
        limit,
        key,
        unit,
        ceiling,
        ..
    } in &TABLE
    {
        let value = match unit {
            Unit::Size => reader.size(fields, key, *ceiling),
            Unit::Time => {
                let time = reader.duration(fields, key, Duration::from_millis(*ceiling));
                // It is not above the ceiling, and none is written in less than milliseconds.
                time.map(|time| time.as_millis() as u64)
            }
            Unit::Count | Unit::Rate => reader.count(fields, key, 1..=*ceiling),
        };
        if let Some(value) = value {
            limits = limits.with(*limit, value);
        }
    }
    limits
}

/// A plugin is given its configuration as JSON, which has no dates: they become texts.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::from(integer.as_str()), Value::from),
        DeValue::Float(float) => float
            .as_str()
            .parse::<f64>()
            .map_or_else(|_| Value::from(float.as_str()), Value::from),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(list) => list.iter().map(|node| json(node.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries: BTreeMap<String, Value> = table
                .iter()
                .map(|(key, node)| (key.get_ref().to_string(), json(node.get_ref())))
                .collect();
            Value::Object(entries.into_iter().collect())
        }
    }
}
