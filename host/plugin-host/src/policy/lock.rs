//! `piper.lock`: which plugins a project uses, down to the digest. It pins and grants nothing.

use super::{
    fault::Fault,
    read::{Reader, entries, is_fine},
    source::{PluginDigest, PluginSource},
};
use piper_core::{
    id::PluginName,
    pipeline::{self, quoted},
    problem::{Problem, Severity, Source},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The plugins of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// By the name that the project gives them.
    pub plugins: BTreeMap<PluginName, Locked>,
}

/// One plugin of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Where it came from.
    pub source: PluginSource,
    /// Which one it is.
    pub digest: PluginDigest,
}

/// Reads a lock file; there is none if anything is wrong with it.
pub fn load(source: &Arc<Source>) -> (Option<Lock>, Vec<Problem>) {
    let (lock, problems) = pipeline::decode_tables(source, |table| {
        let mut reader = Reader::new(source, Severity::Error);
        let fields = reader.fields("the lock file", table, 0..0, &["version", "plugins"]);
        reader.must_have(&fields, "version", "1");
        reader.count(&fields, "version", 1..=1);
        let mut lock = Lock::default();
        if let Some(node) = fields.get("plugins") {
            match node.get_ref().as_table() {
                Some(table) => lock.plugins = plugins(&mut reader, table),
                None => reader.wrong_type("`plugins` of the lock file", "a table", node),
            }
        }
        (lock, reader.problems)
    });
    (lock.filter(|_| is_fine(&problems)), problems)
}

fn plugins(reader: &mut Reader<'_>, table: &toml::de::DeTable<'_>) -> BTreeMap<PluginName, Locked> {
    let mut plugins = BTreeMap::new();
    for (name, at, node) in entries(table) {
        let owner = format!("plugin `{name}`");
        let name = reader.name("a plugin", &(name, at), PluginName::parse);
        let Some(fields) = reader.table(owner, node, &["source", "digest"]) else {
            continue;
        };
        let source = reader.required(&fields, "source", "\"plugins/es.wasm\"");
        let source = source.and_then(|text| reader.parsed(&text, PluginSource::parse));
        let digest = reader.required(&fields, "digest", "\"sha256:…\"");
        let parse = |text: &str| -> Result<PluginDigest, Fault> { PluginDigest::parse(text) };
        let digest = digest.and_then(|text| reader.parsed(&text, parse));
        if let (Some(name), Some(source), Some(digest)) = (name, source, digest) {
            plugins.insert(name, Locked { source, digest });
        }
    }
    plugins
}

/// The file, always the same for the same plugins.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "# Written by `piper plugin add`. It pins plugins; it grants nothing.\nversion = 1\n",
        )?;
        for (name, locked) in &self.plugins {
            let source = quoted(&locked.source.to_string());
            write!(
                f,
                "\n[plugins.{}]\nsource = {source}\ndigest = \"{}\"\n",
                name.as_str(),
                locked.digest
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::codes;
    use proptest::prelude::*;

    fn load_text(text: &str) -> (Option<Lock>, Vec<Problem>) {
        load(&Arc::new(Source {
            path: "piper.lock".into(),
            text: text.to_owned(),
        }))
    }

    #[test]
    fn a_lock_that_cannot_be_trusted_is_none() {
        let (lock, problems) = load_text(
            "version = 1\n[plugins.es]\nsource = \"http://x/y\"\ndigest = \"sha256:12\"\nallow = 1\n",
        );
        assert_eq!(lock, None);
        let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(
            codes,
            [codes::BAD_SOURCE, codes::BAD_DIGEST, codes::UNKNOWN_KEY],
            "nothing is granted here"
        );
        assert_eq!(load_text("version = 2\n").0, None);
        assert_eq!(load_text("").0, None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(plugins in proptest::collection::btree_map(
            "[a-z0-9][a-z0-9_-]{0,8}",
            ("[a-z'\"\\\\./]{1,12}", any::<[u8; 32]>()),
            0..4,
        )) {
            let plugins = plugins.into_iter().map(|(name, (path, digest))| {
                let locked = Locked { source: PluginSource::Path(path), digest: PluginDigest(digest) };
                (PluginName::parse(&name).expect("made as a name"), locked)
            });
            let lock = Lock { plugins: plugins.collect() };
            prop_assert_eq!(load_text(&lock.to_string()), (Some(lock), vec![]));
        }
    }
}
