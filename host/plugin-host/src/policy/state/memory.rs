//! The state of plugins in memory: for tests, and for plugins that are tried out. It refuses whatever a real store may refuse.

use super::{Entry, Put, StateError, StateLimits, StateStore, table::Table};
use crate::policy::rate::Rate;
use piper_core::{id::PluginName, time::Now};
use std::{
    collections::HashMap,
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
    table: Table,
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

    /// Takes the turn of a write, and returns what the plugin keeps.
    fn for_write<'a>(
        &self,
        plugins: &'a mut HashMap<PluginName, Kept>,
        plugin: &PluginName,
        now: Now,
    ) -> Result<&'a mut Table, StateError> {
        let kept = plugins.entry(plugin.clone()).or_insert_with(|| Kept {
            table: Table::default(),
            writes: self.limits.writes(),
        });
        let turn = kept.writes.take(now.mono);
        turn.map_err(|retry_after| self.limits.too_often(retry_after))?;
        Ok(&mut kept.table)
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new(StateLimits::default())
    }
}

impl StateStore for MemoryState {
    fn get(&self, plugin: &PluginName, key: &str, now: Now) -> Result<Option<Entry>, StateError> {
        self.limits.check_key(key)?;
        let plugins = self.lock();
        let kept = plugins.get(plugin);
        Ok(kept.and_then(|kept| kept.table.get(key, now)).cloned())
    }

    fn put(&self, plugin: &PluginName, put: Put<'_>, now: Now) -> Result<u64, StateError> {
        self.limits.check(&put)?;
        let mut plugins = self.lock();
        let table = self.for_write(&mut plugins, plugin, now)?;
        let row = table.plan(&self.limits, &put, now)?;
        let version = row.entry.version;
        table.insert(put.key.to_owned(), row);
        Ok(version)
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
        let table = self.for_write(&mut plugins, plugin, now)?;
        table.plan_delete(key, expect, now)?;
        table.remove(key);
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
        let kept = plugins.get(plugin);
        Ok(kept.map_or_else(Vec::new, |kept| kept.table.keys(prefix, after, limit, now)))
    }
}
