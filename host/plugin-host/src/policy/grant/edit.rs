//! Writes into the operator's file what he just decided. Comments, order and everything else stay as they are,
//! but for dotted keys of one table that stood apart (`allow.http`, `limits.cpu`, `allow.exec`): the writer brings them together.

use super::SecretGrant;
use crate::policy::{
    exec::ArgvRule,
    files::FilesRule,
    http_rule::{AnyHost, HttpRule},
    manifest::Encoding,
    network::Network,
    source::{PluginDigest, PluginSource},
};
use piper_core::id::PluginName;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// Something that the operator decided of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The plugin of this name is this one, from here. What was given to another stays that one's.
    Pin(PluginSource, PluginDigest),
    /// What is written of the plugin is given to this one; to whatever its source has, if none is named.
    Give(Option<PluginDigest>),
    /// Nothing is written of the plugin any more but where it comes from and which one it is.
    Forget,
    /// To send these requests. A rule for any host is written together with its acknowledgment.
    Http(HttpRule),
    /// To reach these addresses.
    PrivateNetwork(Network),
    /// To use these files.
    Files(FilesRule),
    /// To start these commands.
    Exec(ArgvRule),
    /// To keep something.
    State,
    /// To use a secret, by the plugin's name for it.
    Secret(String, SecretGrant),
}

/// A file that cannot be edited; [`load`](super::load) says more about it.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is not TOML.
    #[error("the file is not TOML")]
    Syntax(#[source] toml_edit::TomlError),
    /// Something else stands where a table or a list belongs.
    #[error("`{key}` is not what it should be")]
    WrongType {
        /// Which key.
        key: String,
    },
}

/// Changes what is written of a plugin, and begins it if there is nothing. What is there already is not added again.
///
/// # Errors
///
/// When the text is no such file.
pub fn change(text: &str, plugin: &PluginName, changes: &[Change]) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(EditError::Syntax)?;
    let mut plugins = Table::new();
    plugins.set_implicit(true);
    let plugins = table(document.as_table_mut(), "plugins", Item::Table(plugins))?;
    // In an inline table only values can stand.
    let fresh = Item::Table(Table::new());
    let plugin = table(plugins, plugin.as_str(), fresh)?;
    for change in changes {
        apply(plugin, change)?;
    }
    Ok(document.to_string())
}

fn apply(plugin: &mut dyn TableLike, change: &Change) -> Result<(), EditError> {
    match change {
        Change::Pin(source, digest) => {
            let digest = digest.to_string();
            let given = ["granted-to", "digest"]
                .into_iter()
                .find_map(|key| plugin.get(key)?.as_str());
            match given.filter(|given| *given != digest).map(str::to_owned) {
                Some(given) => set(plugin, "granted-to", given),
                None => _ = plugin.remove("granted-to"),
            }
            set(plugin, "source", source.to_string());
            set(plugin, "digest", digest);
        }
        Change::Give(digest) => {
            plugin.remove("granted-to");
            match digest {
                Some(digest) => set(plugin, "digest", digest.to_string()),
                None => _ = plugin.remove("digest"),
            }
        }
        Change::Forget => {
            for key in ["config", "allow", "secrets", "limits"] {
                plugin.remove(key);
            }
        }
        Change::Http(rule) => {
            let allow = allow(plugin)?;
            if rule.is_any_host() {
                set(allow, "any-host", true);
            }
            let known = |text: &str| {
                HttpRule::parse(text, AnyHost::Acknowledged).is_ok_and(|known| known.covers(rule))
            };
            push(allow, "http", rule.to_string(), known)?;
        }
        Change::PrivateNetwork(network) => {
            let known = |text: &str| Network::parse(text).is_ok_and(|known| known == *network);
            push(
                allow(plugin)?,
                "private-network",
                network.to_string(),
                known,
            )?;
        }
        Change::Files(rule) => files(table(allow(plugin)?, "files", inline())?, *rule),
        Change::Exec(rule) => {
            let list = list(allow(plugin)?, "exec")?;
            let known = |value: &Value| {
                let words = value
                    .as_array()
                    .map(|words| words.iter().filter_map(Value::as_str));
                words.is_some_and(|words| words.eq(rule.words()))
            };
            if !list.iter().any(known) {
                append(list, Value::Array(rule.words().collect()));
            }
        }
        Change::State => set(allow(plugin)?, "state", true),
        Change::Secret(name, grant) => {
            let secrets = table(plugin, "secrets", dotted())?;
            secret(table(secrets, name, inline())?, grant)?;
        }
    }
    Ok(())
}

fn files(files: &mut dyn TableLike, rule: FilesRule) {
    let workspace = files.get("workspace").and_then(Item::as_str);
    let known = workspace
        .and_then(crate::policy::files::Access::parse)
        .unwrap_or_default();
    if rule.workspace > known {
        set(files, "workspace", rule.workspace.as_str());
    }
    for (is_granted, key) in [(rule.out, "out"), (rule.cache, "cache")] {
        if is_granted {
            set(files, key, true);
        }
    }
}

fn secret(table: &mut dyn TableLike, grant: &SecretGrant) -> Result<(), EditError> {
    set(table, "from", grant.from.to_string());
    for origin in &grant.to {
        let origin = origin.to_string();
        push(table, "to", origin.clone(), |known| known == origin)?;
    }
    let uses = grant.uses;
    for (is_granted, word) in [
        (uses.path, "path"),
        (uses.body, "body"),
        (uses.reveal, "reveal"),
    ] {
        if is_granted {
            push(table, "use", word.to_owned(), |known| known == word)?;
        }
    }
    if let Some(strip) = &grant.strip {
        set(table, "strip", strip.as_str());
    }
    match grant.decode {
        Some(Encoding::Hex) => set(table, "decode", "hex"),
        Some(Encoding::Base64) => set(table, "decode", "base64"),
        None => {}
    }
    Ok(())
}

fn allow(plugin: &mut dyn TableLike) -> Result<&mut dyn TableLike, EditError> {
    table(plugin, "allow", dotted())
}

/// A table whose keys are written `name.key = …`.
fn dotted() -> Item {
    let mut table = Table::new();
    table.set_dotted(true);
    Item::Table(table)
}

fn inline() -> Item {
    Item::Value(Value::InlineTable(InlineTable::new()))
}

/// The table at a key, made like `fresh` if there is none.
fn table<'a>(
    parent: &'a mut dyn TableLike,
    key: &str,
    fresh: Item,
) -> Result<&'a mut dyn TableLike, EditError> {
    parent
        .entry(key)
        .or_insert(fresh)
        .as_table_like_mut()
        .ok_or_else(|| wrong_type(key))
}

fn list<'a>(table: &'a mut dyn TableLike, key: &str) -> Result<&'a mut Array, EditError> {
    table
        .entry(key)
        .or_insert(Item::Value(Value::Array(Array::new())))
        .as_array_mut()
        .ok_or_else(|| wrong_type(key))
}

fn wrong_type(key: &str) -> EditError {
    EditError::WrongType {
        key: key.to_owned(),
    }
}

/// Sets a value; the comment behind the old one stays.
fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(Item::Value(old)) = table.get_mut(key) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(key, Item::Value(value));
    }
}

fn push(
    table: &mut dyn TableLike,
    key: &str,
    text: String,
    known: impl Fn(&str) -> bool,
) -> Result<(), EditError> {
    let list = list(table, key)?;
    if !list.iter().filter_map(Value::as_str).any(known) {
        append(list, text.into());
    }
    Ok(())
}

/// Adds an element, on a line of its own if the last one has one.
fn append(list: &mut Array, value: Value) {
    let last = list
        .iter()
        .last()
        .and_then(|last| last.decor().prefix()?.as_str());
    let indent = last.and_then(|prefix| Some(prefix[prefix.rfind('\n')?..].to_owned()));
    match indent {
        Some(indent) => list.push_formatted(value.decorated(indent, "")),
        None => list.push(value),
    }
}
