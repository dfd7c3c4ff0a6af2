//! Turns a component's bytes into a [`Plugin`]: whether it may be one, what it is, and its compiled form.
//!
//! Nothing of the component runs here, and nothing is granted to it. Compiling takes from milliseconds to seconds, so callers with
//! something else to do call from a thread of their own.

mod cache;
mod fit;
mod parse;
mod stub;

use crate::{
    Plugin,
    engine::{Host, Running},
    kind::Kind,
    limits,
    plugin::{Facts, Template},
    policy::{
        limit::{Limit, Reached, Unit},
        source::PluginDigest,
    },
};
pub(crate) use cache::Cache;
pub use parse::Description;
use sha2::{Digest, Sha256};
use std::{io, path::PathBuf, sync::PoisonError};
use wasmtime::{ResourcesRequired, component::Component};

/// Why a component is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than the operator allows.
    #[error("the component has {}, and no more than {} is looked at: make it smaller", Unit::Size.shown(*bytes as u64), Unit::Size.shown(*limit as u64))]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It is not WebAssembly.
    #[error("this is not a WebAssembly component: it does not begin like one")]
    NotWasm,
    /// It is a core module.
    #[error(
        "this is a core WebAssembly module and not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It is damaged.
    #[error("the component is damaged: {0}")]
    Damaged(String),
    /// It is valid, but no instance of it can fit into the limits.
    #[error("the component asks for more than a plugin may have: {0}")]
    TooMuch(String),
    /// It uses wasm that plugins may not use.
    #[error("the component uses {0}, which piper does not accept: build it without")]
    Feature(&'static str),
    /// It has several manifests, or schemas, of which none comes before the others.
    #[error(
        "the component has {count} different `{name}` sections in {place}: one in the component itself, and no more, is the one that counts"
    )]
    Sections {
        /// The sections' name.
        name: &'static str,
        /// How many there are.
        count: usize,
        /// At which level, in words.
        place: &'static str,
    },
    /// A manifest or a schema is not text.
    #[error("the component's `{0}` section is not UTF-8")]
    SectionText(&'static str),
    /// It exports nothing that this host knows.
    #[error(
        "the component is no plugin for this piper: {}",
        parse::no_kind(exports)
    )]
    NoKind {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It imports something that no host gives it.
    #[error(
        "the component needs {}, which piper does not give to plugins",
        quoted(imports)
    )]
    Imports {
        /// What it imports.
        imports: Vec<String>,
    },
    /// An import or an export that has a name of the contract has another type.
    #[error("the component does not fit the contract: {0}")]
    Misfit(String),
    /// The folder of compiled components is not safe.
    #[error("`{}` belongs to somebody else or others may write to it, and what is in there would be run unchecked: mend that, or name another cache folder", path.display())]
    ForeignCache {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of compiled components cannot be used.
    #[error("`{}` cannot be used to keep compiled components in", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The engine does not start.
    #[error("WebAssembly cannot be run on this machine: {0}")]
    Engine(String),
}

impl Host {
    /// Loads a component: looks at it, compiles it or finds it compiled, and makes it ready to be called.
    ///
    /// # Errors
    ///
    /// When it is no plugin, or the machine cannot run it.
    pub fn load(&self, component: &[u8]) -> Result<Plugin, Error> {
        self.check_size(component)?;
        let digest = PluginDigest(Sha256::digest(component).into());
        self.load_known(digest, component, describe(component)?)
    }

    /// Loads a component whose digest and description are known: what was compiled before is found by the digest, so it must be that of
    /// these very bytes.
    ///
    /// # Errors
    ///
    /// See [`Self::load`].
    pub fn load_known(
        &self,
        digest: PluginDigest,
        component: &[u8],
        description: Description,
    ) -> Result<Plugin, Error> {
        self.check_size(component)?;
        let running = self.running().map_err(Error::Engine)?;
        // A home that cannot be written to must not keep a plugin from being run: it is compiled whenever it is used.
        let (cache, not_kept) = match self.cache() {
            Ok(cache) => (cache, None),
            Err(error @ Error::Cache { .. }) => (None, Some(described(&error))),
            Err(error) => return Err(error),
        };
        let kinds = &description.kinds;
        let compiled = match cache
            .as_ref()
            .and_then(|cache| self.kept(running, cache, digest))
        {
            Some(kept) => kept,
            None => compiled(running, cache.as_ref(), digest, component, kinds)?,
        };
        check_needs(&compiled)?;
        let (template, stubs) = template(running, &compiled, kinds)?;
        let no_clock =
            |error: io::Error| Error::Engine(format!("no thread for their clock: {error}"));
        running.pulse.begin().map_err(no_clock)?;
        let facts = Facts {
            digest,
            size: component.len(),
            description,
            begins_with: begins_with(&compiled),
            stubs,
            not_kept,
        };
        Ok(Plugin::new(running.clone(), template, facts))
    }

    fn check_size(&self, component: &[u8]) -> Result<(), Error> {
        let (bytes, limit) = (component.len(), self.options().component_bytes);
        match bytes > limit {
            true => Err(Error::TooLarge { bytes, limit }),
            false => Ok(()),
        }
    }
}

fn compiled(
    running: &Running,
    cache: Option<&Cache>,
    digest: PluginDigest,
    component: &[u8],
    kinds: &[Kind],
) -> Result<Component, Error> {
    // Validation happens here; `parse` has looked at names only. What is not accepted is named.
    parse::check_features(component)?;
    let compiled = Component::from_binary(&running.engine, component)
        .map_err(|error| Error::TooMuch(format!("{error:#}")))?;
    check_needs(&compiled)?;
    // What is kept has passed this, which costs as much as all else of loading it.
    let unknown = stub::unknown(&running.engine, &compiled);
    if !unknown.is_empty() {
        return Err(Error::Imports { imports: unknown });
    }
    let misfits = fit::misfits(&running.engine, &compiled, kinds);
    if !misfits.is_empty() {
        return Err(Error::Misfit(misfits.join("; ")));
    }
    if let Some(cache) = cache {
        // Nor must a full disk.
        let _ = cache.keep(&running.engine, digest, &compiled);
    }
    Ok(compiled)
}

/// Refuses what no instance can be made of. A pool says so by itself; how many instances its modules have, nobody knows before there
/// are any.
fn check_needs(component: &Component) -> Result<(), Error> {
    // No component that we accept imports modules, which would hide their needs.
    let Some(needs) = component.resources_required() else {
        return Ok(());
    };
    let most = |what: &str, has: u64, limit: usize, unit: Unit| match has > limit as u64 {
        true => {
            let [has, most] = [has, limit as u64].map(|value| unit.shown(value));
            Err(Error::TooMuch(format!(
                "{has} {what}, and {most} are allowed"
            )))
        }
        false => Ok(()),
    };
    let (memories, tables) = (needs.num_memories.into(), needs.num_tables.into());
    most("memories", memories, limits::MEMORIES, Unit::Count)?;
    most("tables", tables, limits::TABLES, Unit::Count)?;
    for Reached { limit, value, .. } in begins_with(component) {
        let (row, what) = match limit {
            Limit::Memory => (limit.row(), "in one memory"),
            _ => (limit.row(), "elements in one table"),
        };
        most(what, value, row.most(), row.unit)?;
    }
    Ok(())
}

/// What the largest of its memories and tables begin with. All of them may have more together, which is seen when they are made.
fn begins_with(component: &Component) -> [Reached; 2] {
    let resources = component.resources_required();
    let largest = |of: fn(&ResourcesRequired) -> Option<u64>| resources.as_ref().and_then(of);
    let pages = largest(|all| all.max_initial_memory_size).unwrap_or(0);
    let elements = largest(|all| all.max_initial_table_size).unwrap_or(0);
    [
        (Limit::Memory, pages.saturating_mul(PAGE)),
        (Limit::TableElements, elements),
    ]
    .map(|(limit, value)| Reached::new(limit, value))
}

/// The pages of all memories that plugins may have are of one size, in bytes.
const PAGE: u64 = 64 * 1024;

/// An error with its cause.
fn described(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Links a component; beside it, which functions of the contract it imports that this host lacks.
fn template(
    running: &Running,
    component: &Component,
    kinds: &[Kind],
) -> Result<(Template, Vec<String>), Error> {
    let misfit = |error: wasmtime::Error| Error::Misfit(format!("{error:#}"));
    let mut links = running.links.lock().unwrap_or_else(PoisonError::into_inner);
    let ty = component.component_type();
    let linker = links
        .with(ty.imports(&running.engine).map(|(name, _)| name))
        .map_err(misfit)?;
    let (pre, stubs) = match linker.instantiate_pre(component) {
        Ok(pre) => (pre, Vec::new()),
        // Something is not there. A linker of its own costs as much as all else of loading, and few plugins need one.
        Err(_) => {
            let mut linker = linker.clone();
            let stubs = stub::fill(&mut linker, &running.engine, component).map_err(misfit)?;
            let pre = linker.instantiate_pre(component).map_err(misfit)?;
            (pre, stubs)
        }
    };
    let template = Template::new(pre, kinds).map_err(misfit)?;
    Ok((template, stubs))
}

/// The types of what a component exports of the contract, as `exports.txt` has them.
#[cfg(test)]
pub(crate) fn exports(host: &Host, component: &[u8]) -> String {
    let running = host.running().expect("the engine starts");
    let component = Component::from_binary(&running.engine, component).expect("it compiles");
    fit::exports(&running.engine, &component)
}

/// Names for people.
pub(super) fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What a component says of itself. Nothing of it is compiled or run.
///
/// # Errors
///
/// When the component is no plugin, or something that it says is not text.
pub fn describe(component: &[u8]) -> Result<Description, Error> {
    Description::parse(component)
}
