//! The contract of a plugin's state: a small store with compare-and-swap.
//!
//! The real stores are elsewhere; here is what each must do, in prose, as a trait, and as a [`memory`](MemoryState) that is stricter
//! than any of them. No clock is read: time comes in as an argument.
//!
//! * Every plugin of the operator's file has its own keys; all its kinds and instances share them.
//! * A version grows with every write to its key, also across a deletion and an expiry, and is never zero.
//! * `expect`: none writes anyway, 0 only if the key is absent, any other only over that version.
//! * A key whose time is over is absent: to `get`, to `keys`, to `expect` and to the limits.
//! * A call that fails changed nothing, and took nothing of the rate but its turn.

mod memory;
pub(crate) mod table;

pub use memory::MemoryState;

use super::{
    limit::{Limit, Reached},
    rate::Rate,
};
use piper_core::{id::PluginName, time::Now};
use std::time::Duration;

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was put.
    pub value: Vec<u8>,
    /// Which write put it.
    pub version: u64,
}

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Under which key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// Over which version only.
    pub expect: Option<u64>,
    /// After how long the key is gone by itself.
    pub ttl: Option<Duration>,
}

/// The state of plugins.
pub trait StateStore: Send + Sync {
    /// The value of a key, if there is one.
    ///
    /// # Errors
    ///
    /// [`StateError::Invalid`], [`StateError::Unavailable`].
    fn get(&self, plugin: &PluginName, key: &str, now: Now) -> Result<Option<Entry>, StateError>;

    /// Writes a value, and returns its version.
    ///
    /// # Errors
    ///
    /// All of [`StateError`].
    fn put(&self, plugin: &PluginName, put: Put<'_>, now: Now) -> Result<u64, StateError>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    ///
    /// All of [`StateError`] but that the store is full.
    fn delete(
        &self,
        plugin: &PluginName,
        key: &str,
        expect: Option<u64>,
        now: Now,
    ) -> Result<(), StateError>;

    /// The keys that begin with `prefix`, in the order of their bytes, strictly after `after`, at most `limit` and [`MOST_LISTED`].
    ///
    /// # Errors
    ///
    /// [`StateError::Unavailable`].
    fn keys(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Now,
    ) -> Result<Vec<String>, StateError>;
}

/// How many keys are listed at once.
pub const MOST_LISTED: u32 = 1000;

/// How much a plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Keys; expired ones do not count.
    pub keys: usize,
    /// Bytes of a key. Fixed: other stores have columns of this length.
    pub key: usize,
    /// Bytes of a value.
    pub value: usize,
    /// Bytes of all keys and values together.
    pub total: usize,
    /// Writes and deletions a second.
    pub writes_per_second: u32,
    /// Writes and deletions at once: a delivery writes a few keys, and several come together.
    pub write_burst: u32,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            keys: 100_000,
            key: 256,
            value: 64 * 1024,
            total: 16 * 1024 * 1024,
            writes_per_second: 10,
            write_burst: 100,
        }
    }
}

/// What a store refuses, or cannot do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The key has another version than was expected, or is there although it should not be.
    #[error("the key has version {found}, not the expected one")]
    Conflict {
        /// Its version; 0 if it is absent.
        found: u64,
    },
    /// No key, or one that some store could not hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// Larger than anything that is kept.
    #[error("{what} has {size} bytes, and at most {most} are kept")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        most: usize,
        /// The limit that says so, unless it is the same for all plugins.
        limit: Option<Limit>,
    },
    /// The plugin keeps as much as it may.
    #[error("the plugin keeps as much as it may")]
    Full {
        /// Of what.
        limit: Reached,
    },
    /// The plugin writes too often.
    #[error("the plugin writes too often; the next write is possible in {} ms", .retry_after.as_millis())]
    TooOften {
        /// When it may write again.
        retry_after: Duration,
        /// How often it may.
        limit: Reached,
    },
    /// The store does not work.
    #[error("the state of plugins cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StateError {
    /// The stable code of the failure that the plugin gets.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "state.conflict",
            Self::Invalid(_) => "state.invalid",
            Self::TooLarge { .. } | Self::Full { .. } | Self::TooOften { .. } => "quota.state",
            Self::Unavailable(_) => "state.unavailable",
        }
    }

    /// The limit that was reached, if it is one that can be set.
    pub fn limit(&self) -> Option<Reached> {
        match self {
            Self::TooLarge {
                size, most, limit, ..
            } => limit.map(|limit| Reached::of(limit, *most).wanting(*size as u64)),
            Self::Full { limit } | Self::TooOften { limit, .. } => Some(*limit),
            Self::Conflict { .. } | Self::Invalid(_) | Self::Unavailable(_) => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::TooOften { .. } | Self::Unavailable(_) => true,
            Self::Invalid(_) | Self::TooLarge { .. } | Self::Full { .. } => false,
        }
    }
}

impl StateLimits {
    /// A plugin's turns to write.
    pub(crate) fn writes(&self) -> Rate {
        Rate::new(self.writes_per_second, self.write_burst)
    }

    /// There is no turn before so much time.
    pub(crate) fn too_often(&self, retry_after: Duration) -> StateError {
        StateError::TooOften {
            retry_after,
            limit: Reached::of(Limit::StateWrites, self.writes_per_second as usize),
        }
    }

    /// Checks what can be checked without looking at what is kept; every store begins with it.
    ///
    /// # Errors
    ///
    /// When no store takes the key, the value or the time.
    pub fn check(&self, put: &Put<'_>) -> Result<(), StateError> {
        self.check_key(put.key)?;
        if put.value.len() > self.value {
            return Err(StateError::TooLarge {
                what: "the value",
                size: put.value.len(),
                most: self.value,
                limit: Some(Limit::StateValue),
            });
        }
        match put.ttl {
            Some(Duration::ZERO) => Err(StateError::Invalid(
                "a key cannot be gone at once: the time to live is zero",
            )),
            _ => Ok(()),
        }
    }

    /// Checks a key.
    ///
    /// # Errors
    ///
    /// When no store takes it.
    pub fn check_key(&self, key: &str) -> Result<(), StateError> {
        if key.is_empty() || key.contains('\0') {
            return Err(StateError::Invalid(
                "a key is text that is not empty and has no NUL",
            ));
        }
        if key.len() > self.key {
            return Err(StateError::TooLarge {
                what: "the key",
                size: key.len(),
                most: self.key,
                limit: None,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
