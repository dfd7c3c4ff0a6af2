//! `$XDG_CONFIG_HOME/piper/plugins.toml`: what the operator grants, and what follows from it.
//!
//! Only this file gives a plugin anything. It is the operator's own, never a repository's, and all in it is literal. What a plugin may
//! do at last is what it declares *and* the operator grants ([`Effective`]): a project that uses it neither adds to that nor takes from it.
//! What is lacking is told with the command that gives it ([`Missing`]). Nothing here reads or writes a file.

mod decode;
mod edit;
mod effective;

pub use decode::load;
pub use edit::{Change, EditError, change};
pub use effective::{
    Difference, Effective, EffectiveSecret, Missing, Origins, UNKNOWN_ORIGIN, UNKNOWN_SOURCE,
    Unavailable,
};

use super::{
    exec::ArgvRule,
    files::{Access, FilesRule},
    host::Origin,
    http_rule::HttpRule,
    limit::{Limit, TABLE},
    manifest::Encoding,
    network::Network,
    source::{PluginDigest, PluginSource},
};
use piper_core::id::PluginName;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// The operator's file.
#[derive(Debug, Clone, PartialEq)]
pub struct Grants {
    /// Each plugin by the operator's name for it.
    pub plugins: BTreeMap<PluginName, PluginGrant>,
    /// What the plugins of a repository may do that have no grant of their own.
    pub project_plugins: Allow,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            plugins: BTreeMap::new(),
            project_plugins: Allow::for_project_plugins(),
        }
    }
}

/// One plugin as the operator configured it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PluginGrant {
    /// Where it comes from; a plugin of a project says so itself.
    pub source: Option<PluginSource>,
    /// Which one it is. Without it the grant holds for whatever the source has, and never for a plugin of a project: any repository
    /// could call its plugin by this name.
    pub digest: Option<PluginDigest>,
    /// To which one all below was given, if that is another: the operator added a new one of this name since.
    pub granted_to: Option<PluginDigest>,
    /// Its configuration.
    pub config: Value,
    /// What it may do.
    pub allow: Allow,
    /// Its secrets, by its own names for them.
    pub secrets: BTreeMap<String, SecretGrant>,
    /// Limits other than the defaults.
    pub limits: Limits,
}

impl PluginGrant {
    /// To which plugin it was given; none is whatever the source has.
    pub fn given_to(&self) -> Option<PluginDigest> {
        self.granted_to.or(self.digest)
    }

    /// Whether it lets a plugin do anything. A configuration alone does not: it may be written before anything is granted.
    pub fn gives(&self) -> bool {
        self.allow != Allow::default() || !self.secrets.is_empty()
    }
}

/// What is allowed, secrets apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Requests that may be sent.
    pub http: Vec<HttpRule>,
    /// Networks that may be reached though they are not the world's.
    pub private_networks: Vec<Network>,
    /// Files.
    pub files: FilesRule,
    /// Commands, outside of the sandbox.
    pub exec: Vec<ArgvRule>,
    /// To keep something from call to call.
    pub state: bool,
}

impl Allow {
    /// What the plugins of a repository may do unless the operator says otherwise: read the files that the repository brought itself.
    pub fn for_project_plugins() -> Self {
        Self {
            files: FilesRule {
                workspace: Access::Read,
                ..FilesRule::default()
            },
            ..Self::default()
        }
    }

    /// What is allowed by one or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            http: [&self.http[..], &other.http].concat(),
            private_networks: [&self.private_networks[..], &other.private_networks].concat(),
            files: self.files.union(other.files),
            exec: [&self.exec[..], &other.exec].concat(),
            state: self.state || other.state,
        }
    }
}

/// A secret and where it may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretGrant {
    /// Where the value is.
    pub from: SecretSource,
    /// The origins that may see it, and no others; none for one that is never sent.
    pub to: Vec<Origin>,
    /// Uses that must be granted one by one, beyond headers and keys.
    pub uses: ExtraUses,
    /// What stands before the value and does not belong to it.
    pub strip: Option<String>,
    /// How the value is written, if not as it is.
    pub decode: Option<Encoding>,
}

/// Uses of a secret that are more dangerous than a header: paths stand in logs of servers, bodies are large, and what was revealed is
/// the plugin's to give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtraUses {
    /// In the path of a URL.
    pub path: bool,
    /// In a body.
    pub body: bool,
    /// The value itself, by which the plugin can give it to whomever it reaches.
    pub reveal: bool,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of piper's environment.
    Env(String),
    /// A file of the operator.
    File(String),
}

impl SecretSource {
    /// Reads `env:NAME` or `file:/path`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("env", name) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                (begins && name.bytes().all(plain)).then(|| Self::Env(name.to_owned()))
            }
            // Relative to what? To the folder of whoever starts piper, which a repository may be.
            ("file", path) => {
                (path.starts_with('/') && !path.contains('\0')).then(|| Self::File(path.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Limits that the operator set, in their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits([Option<u64>; TABLE.len()]);

impl Limits {
    /// What the operator says of one of them.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0[limit as usize]
    }

    /// With one of them set.
    #[must_use]
    pub fn with(mut self, limit: Limit, value: u64) -> Self {
        self.0[limit as usize] = Some(value);
        self
    }
}

#[cfg(test)]
mod tests;
