//! The state of plugins in memory: for tests, and for plugins that are tried out. It refuses whatever a real store may refuse.

use super::{Entry, MOST_LISTED, Put, StateError, StateLimits, StateStore, expiry};
use crate::policy::rate::Rate;
use piper_core::{
    id::PluginName,
    time::{Now, Timestamp},
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The state of plugins in memory.
#[derive(Debug)]
pub struct MemoryState {
    limits: StateLimits,
    plugins: Mutex<HashMap<PluginName, Kept>>,
}

#[derive(Debug)]
struct Kept {
    entries: BTreeMap<String, (Entry, Option<Timestamp>)>,
    /// Bytes of all keys and values.
    total: usize,
    /// The last version that was given. One counter for all keys, so that a deletion need not be remembered.
    version: u64,
    writes: Rate,
}

impl MemoryState {
    /// An empty store with these limits for each plugin.
    pub fn new(limits: StateLimits) -> Self {
        Self {
            limits,
            plugins: Mutex::default(),
        }
    }

    /// Nothing panics while it holds the lock, and each change is made at its end.
    fn lock(&self) -> MutexGuard<'_, HashMap<PluginName, Kept>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn of a write, and returns what the plugin keeps, without what is over.
    fn for_write<'a>(
        &self,
        plugins: &'a mut HashMap<PluginName, Kept>,
        plugin: &PluginName,
        now: Now,
    ) -> Result<&'a mut Kept, StateError> {
        let kept = plugins.entry(plugin.clone()).or_insert_with(|| Kept {
            entries: BTreeMap::new(),
            total: 0,
            version: 0,
            writes: Rate::new(self.limits.writes_per_second, self.limits.write_burst),
        });
        let turn = kept.writes.take(now.mono);
        turn.map_err(|retry_after| StateError::TooOften { retry_after })?;
        kept.entries.retain(|_, (_, until)| is_there(*until, now));
        kept.total = kept
            .entries
            .iter()
            .map(|(key, (entry, _))| key.len() + entry.value.len())
            .sum();
        Ok(kept)
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new(StateLimits::default())
    }
}

impl Kept {
    fn check(&self, key: &str, expect: Option<u64>) -> Result<(), StateError> {
        let found = self.entries.get(key).map_or(0, |(entry, _)| entry.version);
        match expect {
            Some(expected) if expected != found => Err(StateError::Conflict { found }),
            _ => Ok(()),
        }
    }
}

fn is_there(until: Option<Timestamp>, now: Now) -> bool {
    until.is_none_or(|until| now.wall < until)
}

impl StateStore for MemoryState {
    fn get(&self, plugin: &PluginName, key: &str, now: Now) -> Result<Option<Entry>, StateError> {
        self.limits.check_key(key)?;
        let plugins = self.lock();
        let found = plugins.get(plugin).and_then(|kept| kept.entries.get(key));
        Ok(found
            .filter(|(_, until)| is_there(*until, now))
            .map(|(entry, _)| entry.clone()))
    }

    fn put(&self, plugin: &PluginName, put: Put<'_>, now: Now) -> Result<u64, StateError> {
        self.limits.check(&put)?;
        let mut plugins = self.lock();
        let kept = self.for_write(&mut plugins, plugin, now)?;
        kept.check(put.key, put.expect)?;
        let old = kept
            .entries
            .get(put.key)
            .map(|(entry, _)| put.key.len() + entry.value.len());
        if old.is_none() && kept.entries.len() >= self.limits.keys {
            return Err(StateError::Full { what: "keys" });
        }
        let total = kept.total - old.unwrap_or(0) + put.key.len() + put.value.len();
        if total > self.limits.total {
            return Err(StateError::Full { what: "bytes" });
        }
        kept.total = total;
        kept.version += 1;
        let entry = Entry {
            value: put.value.to_vec(),
            version: kept.version,
        };
        kept.entries
            .insert(put.key.to_owned(), (entry, expiry(put.ttl, now)));
        Ok(kept.version)
    }

    fn delete(
        &self,
        plugin: &PluginName,
        key: &str,
        expect: Option<u64>,
        now: Now,
    ) -> Result<(), StateError> {
        self.limits.check_key(key)?;
        let mut plugins = self.lock();
        let kept = self.for_write(&mut plugins, plugin, now)?;
        kept.check(key, expect)?;
        kept.entries.remove(key);
        Ok(())
    }

    fn keys(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Now,
    ) -> Result<Vec<String>, StateError> {
        let plugins = self.lock();
        let Some(kept) = plugins.get(plugin) else {
            return Ok(Vec::new());
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = kept
            .entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, (_, until))| is_there(*until, now))
            .map(|(key, _)| key.clone());
        Ok(found.take(limit.min(MOST_LISTED) as usize).collect())
    }
}
