//! Which plugins there are, and how one is found by what a person calls it.
//!
//! A name is the project's first (`piper.lock`), then the operator's (`plugins.toml`), then one of piper's own. The name alone gives
//! nothing: a grant holds for a project's plugin only if it names the same digest ([`standing`](super::standing)).

use super::{
    Error, Places,
    committed::Committed,
    component::{self, Component, Origin, digest, short},
    fetch::fetch,
    files::{self, Authority},
};
use crate::exec::WorkspaceOrigin;
use piper_builtin_plugins::Builtin;
use piper_core::{
    codes,
    id::PluginName,
    problem::{Problem, Severity, Source, Span},
    suggest,
};
use piper_plugin_host::policy::{
    grant::{self, Grants, PluginGrant},
    limit::Limit,
    lock::{self, Lock, Locked},
    source::{PluginDigest, PluginSource},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of the file that pins a project's plugins, beside its project file.
pub const LOCK_NAME: &str = "piper.lock";

/// The plugins that can be named here.
#[derive(Debug)]
pub struct Catalogue {
    /// Where the operator's files are.
    pub places: Places,
    /// The project's root, if there is a project.
    pub root: Option<PathBuf>,
    /// What the project pins.
    pub lock: Lock,
    /// What the operator says.
    pub grants: Grants,
    /// The commit that the project's files are of, if they are not the working copy's.
    committed: Option<Committed>,
    lock_text: Option<Arc<Source>>,
    grants_text: Option<Arc<Source>>,
    builtins: &'static [Builtin],
}

/// A plugin that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// By this.
    pub name: PluginName,
    /// Who says so.
    pub origin: Origin,
    /// Where it comes from.
    pub source: String,
    /// Which one it is, if that is written down.
    pub digest: Option<PluginDigest>,
}

/// Whether a component may be fetched whose bytes nobody has pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// It must be pinned.
    Required,
    /// It is being added: what comes is shown, and pinned then.
    Adding,
}

impl Catalogue {
    /// Reads what the operator says, and what the project at `root` pins.
    ///
    /// # Errors
    ///
    /// All that is wrong with both files.
    pub fn open(places: Places, root: Option<PathBuf>) -> Result<Self, Error> {
        Self::of(places, root, None)
    }

    /// The same, with the project's files as a commit has them, if one is given.
    pub(super) fn of(
        places: Places,
        root: Option<PathBuf>,
        origin: Option<Arc<WorkspaceOrigin>>,
    ) -> Result<Self, Error> {
        let committed = origin.map(Committed::new);
        let mut problems = Vec::new();
        let mut text = |read: Result<Option<Arc<Source>>, Box<Problem>>| {
            read.unwrap_or_else(|problem| {
                problems.push(*problem);
                None
            })
        };
        let lock_text = text(match (&committed, &root) {
            (Some(committed), _) => committed_lock(committed),
            (None, Some(root)) => files::read_text(&root.join(LOCK_NAME), Authority::Anybody),
            (None, None) => Ok(None),
        });
        let grants_text = text(match &places.grants {
            Some(path) => files::read_text(path, Authority::Operator),
            None => Ok(None),
        });
        let lock = read(lock_text.as_ref(), lock::load, &mut problems);
        let grants = read(grants_text.as_ref(), grant::load, &mut problems);
        if !problems.is_empty() {
            return Err(Error::Problems(problems));
        }
        Ok(Self {
            places,
            root,
            lock,
            grants,
            committed,
            lock_text,
            grants_text,
            builtins: piper_builtin_plugins::ALL,
        })
    }

    /// All plugins with a name, by name; where two have the same, the one that is meant by it.
    pub fn entries(&self) -> Vec<Entry> {
        let project = self.lock.plugins.iter().map(|(name, locked)| Entry {
            name: name.clone(),
            origin: Origin::Project,
            source: locked.source.to_string(),
            digest: Some(locked.digest),
        });
        let operator = self.grants.plugins.iter().filter_map(|(name, grant)| {
            Some(Entry {
                name: name.clone(),
                origin: Origin::Operator,
                source: grant.source.as_ref()?.to_string(),
                digest: grant.digest,
            })
        });
        let builtin = self.builtins.iter().filter_map(|builtin| {
            Some(Entry {
                name: PluginName::parse(builtin.name).ok()?,
                origin: Origin::Builtin,
                source: "piper".to_owned(),
                digest: Some(PluginDigest(builtin.digest)),
            })
        });
        let mut entries: Vec<Entry> = project.chain(operator).chain(builtin).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        // The sort is stable, so the first of a name is the one that comes first above.
        entries.dedup_by(|later, first| later.name == first.name);
        entries
    }

    /// Finds a plugin by its name, by a path, or by an `https` URL that is pinned.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not the one that was pinned.
    pub fn find(&self, reference: &str) -> Result<Component, Error> {
        match PluginName::parse(reference) {
            Ok(name) => self.named(&name),
            Err(_) => {
                let source =
                    PluginSource::parse(reference).map_err(|fault| fault.into_problem())?;
                let pinned = self
                    .lock
                    .plugins
                    .iter()
                    .find(|(_, locked)| locked.source == source);
                match (pinned, &source) {
                    (Some((name, locked)), _) => self.locked(name, locked),
                    // Somebody at a keyboard means the file in front of him.
                    (None, PluginSource::Path(path)) => component::at(Path::new(path), limit(None)),
                    (None, _) => self.from(None, Origin::File, &source, None, Pinning::Required),
                }
            }
        }
    }

    /// The project's plugin of this source, which its lock must pin: a repository does not run what nobody looked at. It is known here by
    /// what the project calls it, and by the name of its pin where the project names the source alone.
    ///
    /// # Errors
    ///
    /// When it is not pinned, is not there, or is not the one that was pinned.
    pub fn pinned(
        &self,
        source: &PluginSource,
        called: Option<&PluginName>,
    ) -> Result<Component, Error> {
        let same = |other: &PluginSource| match (other, source) {
            (PluginSource::Path(a), PluginSource::Path(b)) => {
                a.trim_start_matches("./") == b.trim_start_matches("./")
            }
            (a, b) => a == b,
        };
        let mut pins = self.lock.plugins.iter();
        let own = called.and_then(|called| self.lock.plugins.get_key_value(called));
        let own = own.filter(|(_, locked)| same(&locked.source));
        match own.or_else(|| pins.find(|(_, locked)| same(&locked.source))) {
            // One file may have many names, and what was granted to one of them is not another's.
            Some((name, locked)) => self.locked(called.unwrap_or(name), locked),
            None => Err(not_pinned(&source.to_string(), Origin::Project).into()),
        }
    }

    /// Whether this component is what the project's lock pins by its name: only such a name can be granted something.
    pub(crate) fn is_pinned_by_name(&self, component: &Component) -> bool {
        let pin = component
            .name
            .as_ref()
            .and_then(|name| self.lock.plugins.get(name));
        pin.is_some_and(|pin| pin.digest == component.digest)
    }

    /// Gets a component from where somebody says that it is, to be pinned.
    ///
    /// # Errors
    ///
    /// When it cannot be had.
    pub fn get(
        &self,
        name: Option<&PluginName>,
        source: &PluginSource,
    ) -> Result<Component, Error> {
        self.from(name, Origin::File, source, None, Pinning::Adding)
    }

    /// What the operator wrote about a plugin of this name.
    pub fn grant(&self, name: &PluginName) -> Option<&PluginGrant> {
        self.grants.plugins.get(name)
    }

    /// How large a component of this name may be, in bytes.
    pub fn limit(&self, name: Option<&PluginName>) -> u64 {
        limit(name.and_then(|name| self.grant(name)?.limits.get(Limit::ComponentSize)))
    }

    /// Keeps what a server gave, so that it is not fetched again; what is in a file is there already.
    pub fn keep(&self, source: &PluginSource, component: &Component) {
        let is_remote = matches!(source, PluginSource::Https(_));
        if let Some(file) = self.kept_file(component.digest).filter(|_| is_remote) {
            // A full disk must not keep a plugin from being added: it will be fetched again.
            let _ = files::write(&file, &component.bytes, 0o600);
        }
    }

    /// Whether the component of a server was fetched before.
    pub fn is_kept(&self, entry: &Entry) -> bool {
        let kept = entry.digest.and_then(|digest| self.kept_file(digest));
        kept.is_some_and(|file| file.exists())
    }

    /// The text of the operator's file; empty if there is none.
    pub fn grants_text(&self) -> &str {
        self.grants_text
            .as_ref()
            .map_or("", |source| source.text.as_str())
    }

    /// The digest that the plugin of a name must have, as far as somebody says so; it is not looked for.
    pub(crate) fn digest(&self, name: &PluginName) -> Option<PluginDigest> {
        if let Some(locked) = self.lock.plugins.get(name) {
            return Some(locked.digest);
        }
        if let Some(grant) = self.grant(name).filter(|grant| grant.source.is_some()) {
            return grant.digest;
        }
        let builtin = self.builtins.iter().find(|own| own.name == name.as_str());
        builtin.map(|builtin| PluginDigest(builtin.digest))
    }

    fn named(&self, name: &PluginName) -> Result<Component, Error> {
        if let Some(locked) = self.lock.plugins.get(name) {
            return self.locked(name, locked);
        }
        if let Some(grant) = self.grant(name)
            && let Some(source) = &grant.source
        {
            let found = self.from(
                Some(name),
                Origin::Operator,
                source,
                grant.digest,
                Pinning::Required,
            )?;
            return self.checked(found, grant.digest, self.grants_text.as_ref());
        }
        let builtin = self.builtins.iter().find(|own| own.name == name.as_str());
        if let Some(builtin) = builtin {
            return Ok(Component::builtin(name.clone(), builtin));
        }
        Err(self.unknown(name).into())
    }

    fn locked(&self, name: &PluginName, locked: &Locked) -> Result<Component, Error> {
        let digest = Some(locked.digest);
        let found = self.from(
            Some(name),
            Origin::Project,
            &locked.source,
            digest,
            Pinning::Required,
        )?;
        self.checked(found, digest, self.lock_text.as_ref())
    }

    /// A component of a source; `pinned` says where a fetched one may lie already.
    fn from(
        &self,
        name: Option<&PluginName>,
        origin: Origin,
        source: &PluginSource,
        pinned: Option<PluginDigest>,
        pinning: Pinning,
    ) -> Result<Component, Error> {
        let text = source.to_string();
        match source {
            PluginSource::Path(path)
                if origin == Origin::Project
                    && let Some(committed) = &self.committed =>
            {
                let bytes = committed
                    .read(path, self.limit(name))
                    .map_err(|problem| Error::from(*problem))?;
                let bytes = bytes.ok_or_else(|| {
                    let message = format!("there is no file `{}`", committed.title(path));
                    Problem::error(codes::UNREADABLE, message).help(
                        "`clean` builds HEAD, with its plugins: commit the component, or build in `local`",
                    )
                })?;
                Ok(Component::new(name.cloned(), origin, text, bytes))
            }
            PluginSource::Path(path) => {
                let place = self
                    .folder(origin)
                    .map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
                let found = component::at(&place, self.limit(name)).map_err(|error| {
                    match (error, name) {
                        (Error::Problems(problems), Some(name)) => Error::Problems(
                            problems
                                .into_iter()
                                .map(|problem| {
                                    problem.help(format!(
                                        "plugin `{name}` of the {} is to be there",
                                        origin.as_str()
                                    ))
                                })
                                .collect(),
                        ),
                        (error, _) => error,
                    }
                })?;
                Ok(Component {
                    name: name.cloned(),
                    origin,
                    source: text,
                    ..found
                })
            }
            PluginSource::Https(url) => {
                let bytes = match (pinned, pinning) {
                    (Some(pinned), _) => self.kept(url, pinned, self.limit(name))?,
                    (None, Pinning::Adding) => fetch(url, self.limit(name))?,
                    (None, Pinning::Required) => return Err(not_pinned(&text, origin).into()),
                };
                Ok(Component::new(name.cloned(), origin, text, bytes))
            }
            PluginSource::Oci(_) => {
                let message = format!("`{text}`: registries are not implemented in this version");
                let problem = Problem::error(codes::NOT_IMPLEMENTED, message);
                Err(problem
                    .help("download the component and name its path, or an `https://` URL")
                    .into())
            }
        }
    }

    /// Where relative paths begin.
    fn folder(&self, origin: Origin) -> Option<&Path> {
        match origin {
            Origin::Project => self.root.as_deref(),
            Origin::Operator => self.places.grants.as_deref()?.parent(),
            Origin::File | Origin::Builtin => None,
        }
    }

    /// What a server gave before, or gives now; only bytes of this digest are kept.
    fn kept(&self, url: &str, pinned: PluginDigest, limit: u64) -> Result<Vec<u8>, Error> {
        let file = self.kept_file(pinned);
        let is_it = |bytes: &Vec<u8>| digest(bytes) == pinned;
        let found = file.as_ref().and_then(|file| {
            files::read(file, limit, Authority::Anybody)
                .ok()
                .flatten()
                .filter(is_it)
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let bytes = fetch(url, limit)?;
        if let Some(file) = file.filter(|_| is_it(&bytes)) {
            // A full disk must not keep a plugin from being run: it will be fetched again the next time.
            let _ = files::write(&file, &bytes, 0o600);
        }
        Ok(bytes)
    }

    fn kept_file(&self, digest: PluginDigest) -> Option<PathBuf> {
        let digits = digest.to_string();
        let name = format!("{}.wasm", digits.trim_start_matches("sha256:"));
        Some(self.places.cache.as_ref()?.join(name))
    }

    fn checked(
        &self,
        found: Component,
        pinned: Option<PluginDigest>,
        written: Option<&Arc<Source>>,
    ) -> Result<Component, Error> {
        let Some(pinned) = pinned.filter(|pinned| *pinned != found.digest) else {
            return Ok(found);
        };
        let title = found.title();
        let message = format!(
            "plugin `{title}` is another than the one that was added: `{}` has changed",
            found.source
        );
        let again = match found.origin {
            Origin::Operator => format!("piper plugin add --user --name {title} {}", found.source),
            Origin::File | Origin::Project | Origin::Builtin => {
                format!("piper plugin add --name {title} {}", found.source)
            }
        };
        let mut problem = Problem::error(codes::PLUGIN_CHANGED, message)
            .help(format!("it is {} now", found.digest))
            .help(format!(
                "if that is meant, look at what it asks for: {again}"
            ));
        let text = pinned.to_string();
        if let Some((source, start)) =
            written.and_then(|source| Some((source, source.text.find(&text)?)))
        {
            let span = Span {
                source: Arc::clone(source),
                bytes: start..start + text.len(),
            };
            problem = problem.at(span, "this one was added");
        }
        Err(problem.into())
    }

    fn unknown(&self, name: &PluginName) -> Problem {
        let problem = Problem::error(
            codes::UNKNOWN_PLUGIN,
            format!("there is no plugin `{name}`"),
        );
        let entries = self.entries();
        let known = entries.iter().map(|entry| entry.name.as_str());
        let problem = match suggest::closest(name.as_str(), known) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        };
        problem.help(format!(
            "`piper plugin list` shows which there are, `piper plugin add` adds one; a file is named by a path: `./{name}.wasm`"
        ))
    }
}

/// The lock of a commit, if it has one.
fn committed_lock(committed: &Committed) -> Result<Option<Arc<Source>>, Box<Problem>> {
    let Some(bytes) = committed.read(LOCK_NAME, files::LARGEST_TEXT)? else {
        return Ok(None);
    };
    files::text(&PathBuf::from(committed.title(LOCK_NAME)), bytes).map(Some)
}

/// Understands a file that may be missing.
fn read<T: Default>(
    source: Option<&Arc<Source>>,
    load: impl FnOnce(&Arc<Source>) -> (Option<T>, Vec<Problem>),
    problems: &mut Vec<Problem>,
) -> T {
    let Some(source) = source else {
        return T::default();
    };
    let (value, found) = load(source);
    // Warnings are said when the file is written, not whenever it is read.
    problems.extend(
        found
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error),
    );
    value.unwrap_or_default()
}

/// How large a component may be.
pub fn limit(granted: Option<u64>) -> u64 {
    granted.unwrap_or(Limit::ComponentSize.row().usual)
}

fn not_pinned(source: &str, origin: Origin) -> Problem {
    let message = format!("`{source}` is not pinned: nothing says which plugin that is");
    let user = if origin == Origin::Operator {
        " --user"
    } else {
        ""
    };
    Problem::error(codes::NOT_PINNED, message).help(format!(
        "`piper plugin add{user} {source}` shows what it is, and pins it"
    ))
}

/// The name by which people tell digests apart.
pub fn label(entry: &Entry) -> String {
    entry.digest.map_or_else(String::new, short)
}

#[cfg(test)]
mod tests;
