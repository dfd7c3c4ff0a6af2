//! One plugin as it was found: its bytes, who says that it is used, and its manifest.
//!
//! Nothing here decides what it may do.

use super::{
    Error,
    files::{self, Authority},
    shown,
};
use piper_builtin_plugins::Builtin;
use piper_core::{
    codes,
    id::PluginName,
    problem::{Problem, Source},
};
use piper_plugin_host::{
    Host, Plugin,
    load::{self, Description, Error as LoadError},
    policy::{
        limit::{Limit, Reached, Unit},
        manifest::{self, Loaded},
        source::PluginDigest,
    },
};
use sha2::{Digest as _, Sha256};
use std::{
    borrow::Cow,
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Who says that a plugin is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file that was named on the command line.
    File,
    /// The project, in its `piper.lock`.
    Project,
    /// The operator, in his own file.
    Operator,
    /// It is a part of piper.
    Builtin,
}

impl Origin {
    /// As it is shown: `project`, `operator`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Project => "project",
            Self::Operator => "operator",
            Self::Builtin => "built in",
        }
    }
}

/// A plugin's component.
#[derive(Debug, Clone)]
pub struct Component {
    /// What it is called here; a file has no name.
    pub name: Option<PluginName>,
    /// Who says that it is used.
    pub origin: Origin,
    /// Where it comes from, as somebody wrote it.
    pub source: String,
    /// Which one it is.
    pub digest: PluginDigest,
    /// The component.
    pub bytes: Cow<'static, [u8]>,
    /// What it says of itself, once somebody asked for that.
    pub(super) description: OnceCell<Description>,
}

impl Component {
    /// Takes the bytes as they are.
    pub fn new(
        name: Option<PluginName>,
        origin: Origin,
        source: String,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let bytes = bytes.into();
        Self {
            name,
            origin,
            source,
            digest: digest(&bytes),
            bytes,
            description: OnceCell::new(),
        }
    }

    /// One that is a part of piper. Its digest was computed when piper was built.
    pub(super) fn builtin(name: PluginName, builtin: &Builtin) -> Self {
        Self {
            name: Some(name),
            origin: Origin::Builtin,
            source: "piper".to_owned(),
            digest: PluginDigest(builtin.digest),
            bytes: Cow::Borrowed(builtin.component),
            description: OnceCell::new(),
        }
    }

    /// What messages call it: its name, or where it comes from.
    pub fn title(&self) -> &str {
        self.name.as_ref().map_or(&self.source, PluginName::as_str)
    }

    /// Makes it ready to be called. May take seconds the first time.
    ///
    /// # Errors
    ///
    /// When it is no plugin, or the machine cannot run it.
    pub fn load(&self, host: &Host) -> Result<Plugin, Error> {
        let description = self.describe()?.clone();
        host.load_known(self.digest, &self.bytes, description)
            .map_err(|error| self.refused(&error))
    }

    /// Its manifest with all that is wrong with it; `None` if it has none. Nothing is compiled.
    ///
    /// # Errors
    ///
    /// When it is no plugin.
    pub fn manifest(&self) -> Result<Option<Loaded>, Error> {
        Ok(self
            .describe()?
            .manifest
            .clone()
            .map(|text| self.read_manifest(text)))
    }

    /// What it says of itself. Nothing is compiled.
    ///
    /// # Errors
    ///
    /// When it is no plugin.
    pub fn describe(&self) -> Result<&Description, Error> {
        if let Some(description) = self.description.get() {
            return Ok(description);
        }
        let description = load::describe(&self.bytes).map_err(|error| self.refused(&error))?;
        Ok(self.description.get_or_init(|| description))
    }

    /// Reads the text of its manifest.
    pub fn read_manifest(&self, text: String) -> Loaded {
        manifest::load(&Arc::new(Source {
            // The text is a part of a file that no editor shows.
            path: PathBuf::from(format!("{} (piper-plugin.toml)", self.source)),
            text,
        }))
    }

    fn refused(&self, error: &LoadError) -> Error {
        match error {
            LoadError::Engine(_) | LoadError::Cache { .. } | LoadError::ForeignCache { .. } => {
                let cause = std::error::Error::source(error);
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                Error::Machine(format!("{error}{cause}"))
            }
            LoadError::TooLarge { bytes, limit } => {
                let reached = Reached::of(Limit::ComponentSize, *limit).wanting(*bytes as u64);
                let message = format!(
                    "`{}`: the component has {}, and {} are allowed",
                    self.title(),
                    Unit::Size.shown(*bytes as u64),
                    Unit::Size.shown(*limit as u64)
                );
                Problem::error(codes::NOT_LOADABLE, message)
                    .help(if_too_large(reached))
                    .into()
            }
            LoadError::NotWasm
            | LoadError::CoreModule
            | LoadError::Damaged(_)
            | LoadError::TooMuch(_)
            | LoadError::Feature(_)
            | LoadError::Sections { .. }
            | LoadError::SectionText(_)
            | LoadError::NoKind { .. }
            | LoadError::Imports { .. }
            | LoadError::Misfit(_) => {
                Problem::error(codes::NOT_LOADABLE, format!("`{}`: {error}", self.title())).into()
            }
        }
    }
}

/// The component in a file, of at most `limit` bytes.
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub fn at(path: &Path, limit: u64) -> Result<Component, Error> {
    let source = shown(path);
    let bytes = match files::read(path, limit, Authority::Anybody) {
        Ok(bytes) => bytes.ok_or_else(|| {
            Problem::error(codes::UNREADABLE, format!("there is no file `{source}`"))
                .help("a plugin is built with `piper plugin build`")
        })?,
        Err(problem) if problem.code == codes::TOO_LARGE => {
            let reached = Reached::new(Limit::ComponentSize, limit);
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            return Err(problem.help(if_too_large(reached.wanting(size))).into());
        }
        Err(problem) => return Err((*problem).into()),
    };
    Ok(Component::new(None, Origin::File, source, bytes))
}

/// What to do about a component that is too large. Whether it has a name is not asked: a file may have been named on the command line.
pub(super) fn if_too_large(reached: Reached) -> String {
    match reached.line() {
        Some(line) => format!(
            "make it smaller, or write `{line}` into the table of its name in plugins.toml; `piper plugin add` gives a name to a file that has none"
        ),
        None => {
            let row = reached.limit.row();
            let most = row.unit.shown(row.ceiling);
            format!("make it smaller: no plugin may have more than {most}")
        }
    }
}

/// The digest of a component's bytes.
pub fn digest(bytes: &[u8]) -> PluginDigest {
    PluginDigest(Sha256::digest(bytes).into())
}

/// The first twelve digits of a digest: enough to tell plugins apart by eye.
pub fn short(digest: PluginDigest) -> String {
    digest.to_string()["sha256:".len()..][..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_is_too_large_names_the_line_that_is_enough_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.wasm");
        let file = fs::File::create(&path).unwrap();
        let help = |limit| match at(&path, limit).unwrap_err() {
            Error::Problems(problems) => problems[0].help[0].clone(),
            other => panic!("{other:?}"),
        };
        file.set_len(100 << 20).unwrap();
        let line = "write `limits.component-size = \"100MiB\"` into the table of its name";
        assert!(help(32 << 20).contains(line), "{}", help(32 << 20));
        file.set_len(200 << 20).unwrap();
        let none = "make it smaller: no plugin may have more than 128 MiB";
        assert_eq!([help(32 << 20), help(128 << 20)], [none, none]);
    }

    #[test]
    fn at_the_ceiling_nobody_is_told_to_raise_a_limit() {
        let component = Component::new(None, Origin::File, "big.wasm".into(), Vec::new());
        let limit = Limit::ComponentSize.row().most();
        let error = component.refused(&LoadError::TooLarge {
            bytes: limit + 1,
            limit,
        });
        let Error::Problems(problems) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            problems[0].message,
            "`big.wasm`: the component has 128.1 MiB, and 128 MiB are allowed"
        );
        assert!(problems[0].help[0].starts_with("make it smaller: no"));
    }
}
