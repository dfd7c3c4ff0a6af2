//! What one plugin keeps, as every store has it: the rules of the contract, and nothing about where it is kept.

use super::{Entry, MOST_LISTED, Put, StateError, StateLimits};
use crate::policy::limit::{Limit, Reached};
use piper_core::time::{Now, Timestamp};
use std::{collections::BTreeMap, ops::Bound, time::Duration};

/// The keys of one plugin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
    /// Bytes of all keys and values.
    total: usize,
    /// The last version that was given. One counter for all keys, so that a deletion need not be remembered.
    version: u64,
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) entry: Entry,
    /// When it is gone.
    pub(crate) until: Option<Timestamp>,
}

impl Table {
    pub(crate) fn get(&self, key: &str, now: Now) -> Option<&Entry> {
        let row = self.rows.get(key)?;
        is_there(row.until, now).then_some(&row.entry)
    }

    /// What a write would put; [`Self::insert`] carries it out.
    pub(crate) fn plan(
        &mut self,
        limits: &StateLimits,
        put: &Put<'_>,
        now: Now,
    ) -> Result<Row, StateError> {
        self.expire(now);
        self.check(put.key, put.expect)?;
        let old = self.rows.get(put.key).map(|row| weight(put.key, row));
        if old.is_none() && self.rows.len() >= limits.keys {
            return Err(full(Limit::StateKeys, limits.keys, limits.keys + 1));
        }
        let total = self.total - old.unwrap_or(0) + put.key.len() + put.value.len();
        if total > limits.total {
            return Err(full(Limit::State, limits.total, total));
        }
        Ok(Row {
            entry: Entry {
                value: put.value.to_vec(),
                version: self.version + 1,
            },
            until: expiry(put.ttl, now),
        })
    }

    /// Checks a deletion; says whether there is something to delete.
    pub(crate) fn plan_delete(
        &mut self,
        key: &str,
        expect: Option<u64>,
        now: Now,
    ) -> Result<bool, StateError> {
        self.expire(now);
        self.check(key, expect)?;
        Ok(self.rows.contains_key(key))
    }

    pub(crate) fn insert(&mut self, key: String, row: Row) {
        self.version = self.version.max(row.entry.version);
        self.total += weight(&key, &row);
        let weight_of_key = key.len();
        if let Some(old) = self.rows.insert(key, row) {
            self.total -= weight_of_key + old.entry.value.len();
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(old) = self.rows.remove(key) {
            self.total -= weight(key, &old);
        }
    }

    pub(crate) fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Now,
    ) -> Vec<String> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = self
            .rows
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, row)| is_there(row.until, now))
            .map(|(key, _)| key.clone());
        found.take(limit.min(MOST_LISTED) as usize).collect()
    }

    /// All rows, those too that are over and were not removed yet.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows.iter().map(|(key, row)| (key.as_str(), row))
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of all keys and values.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The last version that was given.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Goes on counting from here.
    pub(crate) fn count_from(&mut self, version: u64) {
        self.version = self.version.max(version);
    }

    pub(crate) fn expire(&mut self, now: Now) {
        let total = &mut self.total;
        self.rows.retain(|key, row| {
            let is_there = is_there(row.until, now);
            if !is_there {
                *total -= weight(key, row);
            }
            is_there
        });
    }

    fn check(&self, key: &str, expect: Option<u64>) -> Result<(), StateError> {
        let found = self.rows.get(key).map_or(0, |row| row.entry.version);
        match expect {
            Some(expected) if expected != found => Err(StateError::Conflict { found }),
            _ => Ok(()),
        }
    }
}

fn full(limit: Limit, most: usize, wanted: usize) -> StateError {
    let limit = Reached::of(limit, most).wanting(wanted as u64);
    StateError::Full { limit }
}

fn weight(key: &str, row: &Row) -> usize {
    key.len() + row.entry.value.len()
}

fn is_there(until: Option<Timestamp>, now: Now) -> bool {
    until.is_none_or(|until| now.wall < until)
}

/// When a key is gone that is written now.
fn expiry(ttl: Option<Duration>, now: Now) -> Option<Timestamp> {
    // A time beyond all calendars is no time.
    let micros = u64::try_from(ttl?.as_micros()).ok()?;
    now.wall.0.checked_add(micros).map(Timestamp)
}
