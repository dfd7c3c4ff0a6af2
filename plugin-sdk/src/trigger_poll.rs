//! Asks somewhere for changes, now and then.
//!
//! ```
//! use piper_plugin::{prelude::*, trigger};
//!
//! /// Builds every branch that moved.
//! #[settings]
//! struct Branches {
//!     source: String,
//!     pipeline: String,
//! }
//!
//! impl TriggerPoll for Branches {
//!     fn poll(&self, poll: &Poll) -> Result<Polled> {
//!         let mut polled = Polled::default();
//!         let seen: Vec<String> = poll.cursor()?.unwrap_or_default();
//!         let mut now = Vec::new();
//!         for head in trigger::heads(&self.source)? {
//!             let key = format!("{} {}", head.r#ref, head.revision);
//!             if !seen.contains(&key) {
//!                 let ask = Ask::build(&key, &self.pipeline);
//!                 polled.asks.push(ask.source(&self.source, &head.r#ref, &head.revision));
//!             }
//!             now.push(key);
//!         }
//!         polled.set_cursor(&now)
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     trigger_poll: Branches,
//! }
//! # fn main() {
//! let fake = piper_plugin::testing::Fake::new();
//! fake.heads("hello", json!([{"ref": "refs/heads/main", "revision": "c0ffee"}]));
//! let options = json!({"source": "hello", "pipeline": "test"});
//! let polled = fake.poll::<Branches, _>(options.clone(), None).unwrap();
//! assert_eq!(polled.asks.len(), 1);
//! let again = fake.poll::<Branches, _>(options, polled.cursor).unwrap();
//! assert_eq!(again.asks, []);
//! # }
//! ```
//!
//! What a poll asks for and its cursor are committed together. A failure is shown as "unhealthy since", and polled again later.

use crate::{
    facts::{self, Polling},
    failure::Result,
    host::RawCall,
    settings::Settings,
    time::Timestamp,
    trigger::Ask,
};
use serde::{Serialize, de::DeserializeOwned};
use std::ops::Deref;

/// A trigger that polls; the implementing type is its options, `C` the plugin's configuration.
pub trait TriggerPoll<C: Settings = ()>: Settings {
    /// Polls once.
    ///
    /// # Errors
    ///
    /// When it could not look.
    fn poll(&self, poll: &Poll<C>) -> Result<Polled>;
}

/// A poll. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Poll<C = ()> {
    /// Which of the manifest's triggers is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    /// The text that the poll before this one left.
    pub raw_cursor: Option<String>,
    facts: Polling,
}

impl<C> Deref for Poll<C> {
    type Target = Polling;

    fn deref(&self) -> &Polling {
        &self.facts
    }
}

impl<C> Poll<C> {
    /// What the poll before this one left with [`Polled::set_cursor`].
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn cursor<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        Ok(self
            .raw_cursor
            .as_deref()
            .map(serde_json::from_str)
            .transpose()?)
    }
}

/// What a poll found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Polled {
    /// What it asks for, at most 1,000.
    pub asks: Vec<Ask>,
    /// Where the next poll begins, at most 1 MiB; without it, from the beginning again.
    pub cursor: Option<String>,
    /// Poll next at this time instead of after the interval.
    pub next_poll_at: Option<Timestamp>,
    /// There is more: poll again at once.
    pub more: bool,
}

impl Polled {
    /// Leaves something for the next poll.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn set_cursor(mut self, cursor: &impl Serialize) -> Result<Self> {
        self.cursor = Some(serde_json::to_string(cursor)?);
        Ok(self)
    }
}

/// Reads a call and polls.
#[doc(hidden)]
pub fn enter<T: TriggerPoll<C>, C: Settings>(
    call: RawCall,
    cursor: Option<String>,
) -> Result<Polled> {
    let parts = facts::parts::<T, C, Polling>(call)?;
    parts.options.poll(&Poll {
        name: parts.name,
        config: parts.config,
        raw_cursor: cursor,
        facts: parts.facts,
    })
}
