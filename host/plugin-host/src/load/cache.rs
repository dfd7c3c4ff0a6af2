//! Compiled components on disk, so that a plugin is compiled once and not whenever it is used.
//!
//! What is in these files is run as machine code without being checked, so the folder must be ours alone, and only files from
//! there are ever loaded. A file that does not fit is as good as none.

use super::{Error, fit};
use crate::{linker, policy::source::PluginDigest};
use std::{
    fs::{self, DirBuilder},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};
use wasmtime::{Engine, component::Component};

/// A folder that was found to be ours alone.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder if it is missing, and makes sure that nobody else can change what is in it.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Cache {
            path: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(unusable)?;
        // Whoever may write to the folder above can put another in this one's place.
        let above = folder
            .parent()
            .filter(|above| above.components().count() > 0);
        for path in above.into_iter().chain([folder]) {
            let found = fs::metadata(path).map_err(unusable)?;
            let is_sticky = found.mode() & 0o1000 != 0 && path != folder;
            let is_shared = found.mode() & 0o022 != 0 && !is_sticky;
            let is_foreign = found.uid() != our_id() && !(path != folder && found.uid() == 0);
            if is_shared || is_foreign {
                return Err(Error::ForeignCache {
                    path: path.to_owned(),
                });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The file of a component: what it is, for which engine, settings and processor it was compiled, and which contract it was found
    /// to fit.
    fn file(&self, engine: &Engine, digest: PluginDigest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        fit::CONTRACT_HASH.hash(&mut hasher);
        linker::names().for_each(|name| name.hash(&mut hasher));
        let compatibility = hasher.finish();
        let digest = crate::plugin::hex(&digest.0);
        self.folder
            .join(format!("{digest}-{compatibility:016x}.cwasm"))
    }

    /// The compiled component, if it is there and whole.
    pub(crate) fn find(&self, engine: &Engine, digest: PluginDigest) -> Option<Component> {
        let file = self.file(engine, digest);
        let found = fs::symlink_metadata(&file).ok()?;
        if !found.is_file() || found.uid() != our_id() {
            return None;
        }
        // SAFETY: the file lies in a folder that only we can write to, belongs to us, and was put there whole by `keep`. Wasmtime
        // itself checks that it was compiled by the same version with the same settings.
        unsafe { Component::deserialize_file(engine, &file) }.ok()
    }

    /// Keeps a compiled component.
    pub(super) fn keep(
        &self,
        engine: &Engine,
        digest: PluginDigest,
        component: &Component,
    ) -> io::Result<()> {
        let bytes = component.serialize().map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&bytes)?;
        // Without this, a crash of the machine could leave a file with its name and not its content.
        file.as_file().sync_all()?;
        file.persist(self.file(engine, digest))?;
        Ok(())
    }
}

fn our_id() -> u32 {
    // SAFETY: `geteuid` only returns a number and cannot fail.
    unsafe { libc::geteuid() }
}
