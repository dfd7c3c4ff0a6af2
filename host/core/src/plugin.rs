//! What a project says of plugins: which one is used where, and with which options.
//!
//! What a plugin *may do* is never said here: grants are the operator's. How a plugin is found, checked and run is not known
//! here either.

use crate::{
    id::{PluginName, StepType},
    project::Value,
};
use std::{
    fmt::{self, Write as _},
    path::Component,
};

/// A plugin, and which of its step types is meant: the value of `uses`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uses {
    /// Which plugin.
    pub plugin: PluginRef,
    /// Which of the types that it has; the only one, if it does not say.
    pub r#type: Option<StepType>,
}

/// Which plugin is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginRef {
    /// A name: of `[plugins]`, else the operator's, else built in.
    Named(PluginName),
    /// `./ci/junit.wasm`: a file below the project's root.
    Path(String),
    /// `https://…`; `piper.lock` says which bytes.
    Url(String),
    /// `self`: the planner that answers so. Nowhere else.
    Own,
}

/// A text that names no plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotAPlugin {
    /// What is wrong with it, as the end of a sentence that begins with the text.
    pub why: &'static str,
    /// What to write instead.
    pub help: String,
}

/// Which forms there are, for messages.
pub(crate) const FORMS: &str = "write a name such as \"junit\", \"name/type\" for one of several step types, a file of the project such as \"./ci/junit.wasm\", or an https:// URL";

impl Uses {
    /// Reads the value of `uses`.
    ///
    /// # Errors
    ///
    /// When it is neither a name, nor a file below the project's root, nor an `https` URL.
    pub fn parse(text: &str) -> Result<Self, NotAPlugin> {
        let whole = |plugin| Self {
            plugin,
            r#type: None,
        };
        if text.contains("://") || is_file(text) {
            return PluginRef::source(text).map(whole);
        }
        let (plugin, r#type) = match text.split_once('/') {
            Some((plugin, r#type)) => (plugin, Some(r#type)),
            None => (text, None),
        };
        let malformed = || wrong("names no plugin", FORMS);
        let r#type = r#type
            .map(StepType::parse)
            .transpose()
            .map_err(|_| malformed())?;
        let plugin = match (plugin, &r#type) {
            ("self", Some(_)) => PluginRef::Own,
            ("self", None) => {
                return Err(wrong("does not say which step type", "write \"self/type\""));
            }
            (name, _) => PluginName::parse(name)
                .map(PluginRef::Named)
                .map_err(|_| malformed())?,
        };
        Ok(Self { plugin, r#type })
    }
}

impl PluginRef {
    /// Reads where a plugin is to be had: a file or a URL.
    ///
    /// # Errors
    ///
    /// When it is neither a file below the project's root nor an `https` URL.
    pub fn source(text: &str) -> Result<Self, NotAPlugin> {
        match text.split_once("://") {
            Some(("https", rest)) => url(text, rest),
            Some(("http", rest)) => Err(wrong(
                "is not encrypted",
                format!("write \"https://{rest}\""),
            )),
            Some(("oci", _)) => Err(wrong(
                "is an OCI reference, which this version of piper does not know",
                "put the component into the project, or name an https:// URL",
            )),
            Some(("file", _)) => Err(wrong(
                "is a URL of this machine",
                "name a file of the project: \"./ci/junit.wasm\"",
            )),
            Some(_) => Err(wrong("is a URL of an unknown kind", FORMS)),
            None => path(text),
        }
    }
}

fn wrong(why: &'static str, help: impl Into<String>) -> NotAPlugin {
    NotAPlugin {
        why,
        help: help.into(),
    }
}

/// Whether somebody meant a file: what begins as a path does, or ends as components do.
fn is_file(text: &str) -> bool {
    text.starts_with(['.', '/', '~']) || text.ends_with(".wasm")
}

fn path(text: &str) -> Result<PluginRef, NotAPlugin> {
    let Some(below) = text.strip_prefix("./") else {
        let is_below = !text.starts_with(['.', '/', '~']) && text.ends_with(".wasm");
        return Err(if is_below {
            wrong(
                "does not begin as a file's name does",
                format!("write \"./{text}\""),
            )
        } else {
            wrong(
                "is no file below the project's root",
                "write a path that begins at the project's root and stays below it, such as \"./ci/junit.wasm\", or an https:// URL",
            )
        });
    };
    let inside = std::path::Path::new(below)
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if !inside || below.is_empty() || text.contains('\0') {
        return Err(wrong(
            "is no file below the project's root",
            "write it without `..`, such as \"./ci/junit.wasm\"",
        ));
    }
    if !below.ends_with(".wasm") {
        return Err(wrong(
            "is no WebAssembly component",
            "name the built component, a file that ends in .wasm",
        ));
    }
    Ok(PluginRef::Path(text.to_owned()))
}

fn url(text: &str, rest: &str) -> Result<PluginRef, NotAPlugin> {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("is no URL", FORMS));
    }
    if rest.contains("sha256") && rest.contains(['#', '@']) {
        return Err(wrong(
            "has a digest, which belongs in piper.lock",
            "leave it out: `piper plugin add` notes it in piper.lock",
        ));
    }
    if host.contains('@') || rest.contains('#') {
        return Err(wrong(
            "has a user or a fragment",
            "name only the host and the path",
        ));
    }
    Ok(PluginRef::Url(text.to_owned()))
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named(name) => name.as_str(),
            Self::Path(text) | Self::Url(text) => text,
            Self::Own => "self",
        })
    }
}

impl fmt::Display for Uses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.plugin)?;
        match &self.r#type {
            Some(r#type) => write!(f, "/{type}"),
            None => Ok(()),
        }
    }
}

/// A table of `[plugins]`: a name for a plugin of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPlugin {
    /// Where it is to be had: never a name, never itself.
    pub source: PluginRef,
    /// The plugin's own configuration.
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// The options of one use of a plugin: a JSON object, in which some values are known only when a build is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The object, with `null` where a reference stands; nothing else in it is `null`.
    pub(crate) object: serde_json::Map<String, serde_json::Value>,
    /// Each reference by the JSON pointer of its place.
    pub(crate) references: Vec<(String, Value)>,
}

impl Options {
    /// The references, each with the JSON pointer of its place.
    pub fn references(&self) -> &[(String, Value)] {
        &self.references
    }

    /// The object with the texts that its references stand for.
    pub fn resolve(&self, mut text: impl FnMut(&Value) -> String) -> serde_json::Value {
        let mut object = serde_json::Value::Object(self.object.clone());
        for (pointer, reference) in &self.references {
            if let Some(place) = object.pointer_mut(pointer) {
                *place = text(reference).into();
            }
        }
        object
    }

    /// As one line for people, with references as the file writes them.
    pub fn one_line(&self) -> String {
        let written = self.resolve(|reference| match reference {
            Value::Text(text) => text.clone(),
            Value::Param(name) => format!("{{param {name}}}"),
            Value::Matrix(axis) => format!("{{matrix {axis}}}"),
        });
        one_line(&written)
    }
}

/// The members of an object as one line for people: `files="target/*.xml" max=3`.
pub(crate) fn one_line(options: &serde_json::Value) -> String {
    let mut line = String::new();
    for (name, value) in options.as_object().into_iter().flatten() {
        let space = if line.is_empty() { "" } else { " " };
        // Writing to a `String` cannot fail.
        let _ = write!(line, "{space}{name}={value}");
    }
    line
}

/// `name` as a part of a JSON pointer (RFC 6901).
pub fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("junit", "junit"; "name")]
    #[test_case("s3/upload", "s3/upload"; "type")]
    #[test_case("./ci/junit.wasm", "./ci/junit.wasm"; "file")]
    #[test_case("https://example.com/x.wasm", "https://example.com/x.wasm"; "url")]
    #[test_case("self/inner", "self/inner"; "the planner itself")]
    fn a_plugin_is_a_name_a_file_or_a_url(text: &str, shown: &str) {
        assert_eq!(Uses::parse(text).unwrap().to_string(), shown);
    }

    #[test_case("", "names no plugin"; "nothing")]
    #[test_case("a b", "names no plugin"; "space")]
    #[test_case("a/b/c", "names no plugin"; "two slashes")]
    #[test_case("self", "does not say which step type"; "self alone")]
    #[test_case("ci/junit.wasm", "does not begin as a file's name does"; "without dot")]
    #[test_case("../junit.wasm", "is no file below the project's root"; "above the root")]
    #[test_case("./a/../../junit.wasm", "is no file below the project's root"; "hidden way up")]
    #[test_case("/opt/junit.wasm", "is no file below the project's root"; "absolute")]
    #[test_case("./ci/junit", "is no WebAssembly component"; "source folder")]
    #[test_case("http://example.com/x.wasm", "is not encrypted"; "http")]
    #[test_case("https:///x.wasm", "is no URL"; "no host")]
    #[test_case("https://a@example.com/x.wasm", "has a user or a fragment"; "user")]
    #[test_case("https://example.com/x.wasm#sha256=00", "has a digest, which belongs in piper.lock"; "digest")]
    #[test_case("oci://ghcr.io/acme/x", "is an OCI reference, which this version of piper does not know"; "oci")]
    #[test_case("file:///x.wasm", "is a URL of this machine"; "file url")]
    #[test_case("ftp://x", "is a URL of an unknown kind"; "ftp")]
    fn what_names_no_plugin_says_why(text: &str, why: &str) {
        assert_eq!(Uses::parse(text).unwrap_err().why, why);
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_as_it_was_written(text in "(\\./|https://|self/)?[a-z./@#~-]{0,12}(\\.wasm)?") {
            if let Ok(uses) = Uses::parse(&text) {
                prop_assert_eq!(uses.to_string(), text);
            }
        }
    }
}
