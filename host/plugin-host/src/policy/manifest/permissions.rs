//! `[[permission.…]]`: what a plugin asks for, each time with a reason.

use super::did_you_mean;
use crate::policy::{
    exec::ArgvRule,
    fault::shown,
    files::{Access, FilesRule},
    http_rule::HttpTemplate,
    read::{Fields, Once, Reader, entries},
};
use piper_core::{codes, problem::Problem};

/// Something that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    /// What.
    pub what: T,
    /// Why, in the author's words.
    pub why: String,
    /// Whether the plugin works without it, if less well.
    pub optional: bool,
}

/// All that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// To send these requests.
    pub http: Vec<Asked<HttpTemplate>>,
    /// To use these secrets.
    pub secrets: Vec<Asked<SecretAsk>>,
    /// To read and write files.
    pub files: Vec<Asked<FilesRule>>,
    /// To start these commands, outside of the sandbox.
    pub exec: Vec<Asked<ArgvRule>>,
    /// To keep something from call to call.
    pub state: Option<Asked<()>>,
    /// To have the host send mail.
    pub mail: Option<Asked<()>>,
    /// To look at builds.
    pub builds: Option<Asked<()>>,
    /// To look at the host's mirrors of sources.
    pub vcs: Option<Asked<()>>,
    /// Kinds that are not known here, without which the plugin works.
    pub unknown: Vec<String>,
}

impl Permissions {
    /// The files that are asked for, together.
    pub fn files_rule(&self) -> FilesRule {
        self.files
            .iter()
            .fold(FilesRule::default(), |all, asked| all.union(asked.what))
    }
}

/// A secret, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretAsk {
    /// What the plugin calls it.
    pub name: String,
    /// What it does with it.
    pub uses: SecretUse,
}

/// How a secret may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretUse {
    /// In the values of these headers, in small letters.
    pub headers: Vec<String>,
    /// In the path of a URL.
    pub path: bool,
    /// In a body.
    pub body: bool,
    /// As the key of HMACs, which the plugin sees.
    pub hmac: bool,
    /// As the key of signatures, which the plugin sees.
    pub sign: bool,
    /// To verify what somebody sent.
    pub verify: bool,
    /// The value itself, by which the plugin can give it to whomever it reaches.
    pub reveal: bool,
}

impl SecretUse {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it goes to somebody, in a request.
    pub fn is_sent(&self) -> bool {
        !self.headers.is_empty() || self.path || self.body
    }

    /// Its parts in words: `header authorization`, `hmac`.
    pub fn parts(&self) -> Vec<String> {
        let headers = self.headers.iter().map(|name| format!("header {name}"));
        let flags = [
            (self.path, "path"),
            (self.body, "body"),
            (self.hmac, "hmac"),
            (self.sign, "sign"),
            (self.verify, "verify"),
            (self.reveal, "reveal"),
        ];
        let flags = flags
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, word)| word.to_owned());
        headers.chain(flags).collect()
    }
}

const KINDS: [&str; 8] = [
    "http", "secret", "files", "exec", "state", "mail", "builds", "vcs",
];

/// Keys that every permission has.
const COMMON: [&str; 2] = ["why", "optional"];

pub(super) fn decode(reader: &mut Reader<'_>, manifest: &Fields<'_>) -> Permissions {
    let mut permissions = Permissions::default();
    let Some(node) = manifest.get("permission") else {
        return permissions;
    };
    let Some(table) = node.get_ref().as_table() else {
        reader.wrong_type(
            "`permission` of the manifest",
            "tables `[[permission.KIND]]`",
            node,
        );
        return permissions;
    };
    // Kinds are not keys to warn of: they are judged below.
    let names: Vec<&str> = entries(table).into_iter().map(|(name, ..)| name).collect();
    let all = reader.fields("`permission`", table, node.span(), &names);
    for kind in names.iter().filter(|kind| !KINDS.contains(*kind)) {
        unknown_kind(reader, &all, kind, &mut permissions);
    }
    for fields in each(reader, &all, "http", &["to"]) {
        let to = reader.required(&fields, "to", "\"POST https://example.com/hooks\"");
        let what = to.and_then(|text| reader.parsed(&text, HttpTemplate::parse));
        permissions.http.extend(asked(reader, &fields, what));
    }
    let mut once = Once::default();
    for fields in each(reader, &all, "secret", &["name", "use"]) {
        let what = secret(reader, &fields, &mut once);
        permissions.secrets.extend(asked(reader, &fields, what));
    }
    for fields in each(reader, &all, "files", &["workspace", "out", "cache"]) {
        let what = files(reader, &fields);
        permissions.files.extend(asked(reader, &fields, what));
    }
    for fields in each(reader, &all, "exec", &["argv"]) {
        reader.must_have(&fields, "argv", "[\"git\", \"fetch\"]");
        let what = fields
            .get("argv")
            .and_then(|node| argv(reader, &fields.owner, node));
        permissions.exec.extend(asked(reader, &fields, what));
    }
    permissions.state = single(reader, &all, "state");
    permissions.mail = single(reader, &all, "mail");
    permissions.builds = single(reader, &all, "builds");
    permissions.vcs = single(reader, &all, "vcs");
    permissions
}

fn unknown_kind(
    reader: &mut Reader<'_>,
    all: &Fields<'_>,
    kind: &str,
    permissions: &mut Permissions,
) {
    for (table, at) in reader.tables(all, kind) {
        let optional = table
            .get("optional")
            .and_then(|node| node.get_ref().as_bool());
        let message = format!(
            "`[[permission.{}]]` is not a kind of permission",
            shown(kind).trim_matches('`')
        );
        if optional == Some(true) {
            permissions.unknown.push(kind.to_owned());
            let warning = Problem::warning(codes::UNKNOWN_PERMISSION, message)
                .help("the plugin says that it works without it");
            reader.report(warning, at, "not known to this piper");
        } else {
            let problem = Problem::error(codes::UNKNOWN_PERMISSION, message).help(format!(
                "kinds are {}; a later piper may know more",
                KINDS.join(", ")
            ));
            let problem = did_you_mean(problem, kind, KINDS);
            reader.report(problem, at, "not known to this piper");
        }
    }
}

/// The tables of one kind.
fn each<'a>(
    reader: &mut Reader<'_>,
    all: &Fields<'a>,
    kind: &str,
    keys: &[&str],
) -> Vec<Fields<'a>> {
    let known = [keys, &COMMON].concat();
    let tables = reader.tables(all, kind);
    tables
        .into_iter()
        .map(|(table, at)| {
            reader.fields(format_args!("`[[permission.{kind}]]`"), table, at, &known)
        })
        .collect()
}

/// A kind of which there is nothing to say but why.
fn single(reader: &mut Reader<'_>, all: &Fields<'_>, kind: &str) -> Option<Asked<()>> {
    let mut once = Once::default();
    let mut found = None;
    for fields in each(reader, all, kind, &[]) {
        once.check(reader, "permission", kind, &fields.at);
        found = found.or(asked(reader, &fields, Some(())));
    }
    found
}

fn asked<T>(reader: &mut Reader<'_>, fields: &Fields<'_>, what: Option<T>) -> Option<Asked<T>> {
    let why = reader.required(fields, "why", "\"…\"");
    let optional = reader.flag(fields, "optional");
    Some(Asked {
        what: what?,
        why: why?.0.to_owned(),
        optional,
    })
}

fn secret(reader: &mut Reader<'_>, fields: &Fields<'_>, once: &mut Once) -> Option<SecretAsk> {
    let name = reader.required(fields, "name", "\"api-key\"");
    if let Some((name, at)) = &name {
        reader.name(
            "a secret",
            &(name, at.clone()),
            piper_core::id::PluginName::parse,
        );
        once.check(reader, "secret", name, at);
    }
    const EXAMPLE: &str = "{ header = \"authorization\" }";
    const KEYS: [&str; 7] = ["header", "path", "body", "hmac", "sign", "verify", "reveal"];
    reader.must_have(fields, "use", EXAMPLE);
    let table = reader.inner(fields, "use", &KEYS)?;
    let headers = match table.get("header") {
        Some(node) if node.get_ref().is_array() => reader.texts(&table, "header"),
        _ => reader.text(&table, "header").into_iter().collect(),
    };
    let uses = SecretUse {
        headers: headers
            .into_iter()
            .filter_map(|text| header(reader, &text))
            .collect(),
        path: reader.flag(&table, "path"),
        body: reader.flag(&table, "body"),
        hmac: reader.flag(&table, "hmac"),
        sign: reader.flag(&table, "sign"),
        verify: reader.flag(&table, "verify"),
        reveal: reader.flag(&table, "reveal"),
    };
    if uses.is_empty() && !table.has("header") {
        let problem = Problem::error(
            codes::EMPTY,
            format!("{} uses the secret for nothing", fields.owner),
        )
        .help(format!(
            "say what for: `use = {EXAMPLE}`; uses are {}",
            KEYS.join(", ")
        ));
        reader.report(problem, table.at.clone(), "nothing here");
    }
    Some(SecretAsk {
        name: name?.0.to_owned(),
        uses,
    })
}

/// The name of a header in which a secret may stand.
fn header(reader: &mut Reader<'_>, (name, at): &(&str, std::ops::Range<usize>)) -> Option<String> {
    let token = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if token && !crate::policy::egress::is_reserved_header(name) {
        return Some(name.to_ascii_lowercase());
    }
    let message = match token {
        true => format!("plugins may not set the header {}", shown(name)),
        false => format!("{} is not the name of a header", shown(name)),
    };
    reader.error(codes::BAD_VALUE, message, at.clone());
    None
}

/// `workspace`, `out` and `cache`, as a manifest and a grant have them.
pub(in crate::policy) fn files(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<FilesRule> {
    let workspace = reader.word(fields, "workspace", &Access::WORDS);
    let rule = FilesRule {
        workspace: workspace.and_then(Access::parse).unwrap_or_default(),
        out: reader.flag(fields, "out"),
        cache: reader.flag(fields, "cache"),
    };
    if !["workspace", "out", "cache"]
        .iter()
        .any(|key| fields.has(key))
    {
        let problem = Problem::error(codes::EMPTY, format!("{} names no files", fields.owner))
            .help("add `workspace = \"read\"`, `out = true` or `cache = true`");
        reader.report(problem, fields.at.clone(), "nothing here");
        return None;
    }
    Some(rule)
}

/// A list of words as a command.
pub(in crate::policy) fn argv(
    reader: &mut Reader<'_>,
    owner: &str,
    node: crate::policy::read::Node<'_>,
) -> Option<ArgvRule> {
    let before = reader.problems.len();
    let texts = reader.texts_of(&format!("the command of {owner}"), node);
    if reader.problems.len() > before {
        return None;
    }
    let words: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
    match ArgvRule::parse(&words) {
        Ok(rule) => Some(rule),
        Err((at, fault)) => {
            match texts.get(at) {
                Some(text) => reader.fault(fault, text),
                None => reader.report(fault.into_problem(), node.span(), ""),
            }
            None
        }
    }
}
