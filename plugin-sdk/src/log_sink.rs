//! Ships logs elsewhere. The one kind whose instances live long: the host opens one, writes to it many times, and closes it.
//!
//! ```
//! use piper_plugin::prelude::*;
//! use std::fmt::Write;
//!
//! /// Where the store is.
//! #[settings]
//! struct Config {
//!     /// Lines are posted here, as JSON.
//!     url: String,
//! }
//!
//! struct Store {
//!     url: String,
//! }
//!
//! impl LogSink<Config> for Store {
//!     type Options = ();
//!
//!     fn open(opening: Opening<Config, ()>) -> Result<Self> {
//!         Ok(Self { url: opening.config.url })
//!     }
//!
//!     fn write(&mut self, batches: &[Batch]) -> Result<Receipt> {
//!         let mut lines = String::new();
//!         for batch in batches {
//!             for entry in batch.entries() {
//!                 let id = format!("{}/{}/{}", batch.build, batch.attempt, entry.seq);
//!                 let line = json!({"_id": id, "time": entry.time.to_string(), "text": entry.text()});
//!                 writeln!(lines, "{line}")?;
//!             }
//!         }
//!         http::post(&self.url).text(lines).gzip().send()?.ok()?;
//!         Ok(Receipt::all())
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     config: Config,
//!     log_sink: Store,
//! }
//!
//! # fn main() {
//! use piper_plugin::testing::{Fake, batch};
//!
//! let fake = Fake::new();
//! fake.config(json!({"url": "https://logs.example/in"}));
//! fake.answer("POST https://logs.example/in", 200, "");
//! let mut sink = fake.open_sink::<Store, _>(json!({})).unwrap();
//! let receipt = fake.write(&mut sink, vec![batch("b", 0, &["one", "two"])]).unwrap();
//! assert_eq!(receipt, Receipt::all());
//! assert!(fake.requests()[0].text().contains(r#""_id":"b/1/1""#));
//! # }
//! ```
//!
//! Lines come at least once: use their ids. What a receipt names nowhere must be safe at the destination, because nothing else keeps it.
//! A failure of [`LogSink::write`] concerns the whole write; transient sends it again. Spooling, batching, backoff and several instances
//! side by side are the host's business; the manifest says how many and how large.

use crate::{
    facts::{self, Facts},
    failure::Result,
    host::RawCall,
    settings::Settings,
};
use std::{marker::PhantomData, ops::Deref, time::Duration};

pub use crate::logs::{Batch, Entry, Marks, StepRef};

/// A log sink; `C` is the plugin's configuration.
pub trait LogSink<C: Settings = ()>: Sized + 'static {
    /// What a use of the sink may say; `()` for nothing.
    type Options: Settings;

    /// Once for each instance, before anything else.
    ///
    /// # Errors
    ///
    /// Backs off the whole sink.
    fn open(opening: Opening<C, Self::Options>) -> Result<Self>;

    /// Writes batches of one or several builds.
    ///
    /// # Errors
    ///
    /// When none of it is safe: transient sends it again, permanent and invalid give it up.
    fn write(&mut self, batches: &[Batch]) -> Result<Receipt>;

    /// Before the instance is dropped; what was acknowledged must not depend on it.
    ///
    /// # Errors
    ///
    /// Is logged.
    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// What a sink is opened with. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Opening<C = (), O = ()> {
    /// Which of the manifest's sinks is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    /// What this use says.
    pub options: O,
    facts: Facts,
}

impl<C, O> Deref for Opening<C, O> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// One entry of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which of the batches.
    pub batch: u32,
    /// Which entry of it.
    pub index: u32,
}

/// An entry that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which.
    pub entry: Place,
    /// Machine-readable, as in a failure.
    pub code: String,
    /// Why, in one line.
    pub message: String,
}

/// What became of a write. What it names nowhere is safe at the destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// To be sent again, in a later write.
    pub again: Vec<Place>,
    /// Never to be sent again.
    pub rejected: Vec<Rejection>,
    /// Send nothing for this long.
    pub wait: Option<Duration>,
}

impl Receipt {
    /// Everything is safe.
    pub fn all() -> Self {
        Self::default()
    }
}

/// Reads a call and opens a sink.
pub(crate) fn open<T: LogSink<C>, C: Settings>(call: RawCall) -> Result<T> {
    let parts = facts::parts::<T::Options, C, Facts>(call)?;
    T::open(Opening {
        name: parts.name,
        config: parts.config,
        options: parts.options,
        facts: parts.facts,
    })
}

/// An opened sink of whatever type.
#[doc(hidden)]
pub trait Sink {
    fn write(&mut self, batches: &[Batch]) -> Result<Receipt>;
    fn close(self: Box<Self>) -> Result<()>;
}

/// Forgets what its configuration was.
struct Opened<T, C>(T, PhantomData<C>);

impl<T: LogSink<C>, C: Settings> Sink for Opened<T, C> {
    fn write(&mut self, batches: &[Batch]) -> Result<Receipt> {
        self.0.write(batches)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.close()
    }
}

/// Reads a call and opens a sink of any type.
#[doc(hidden)]
pub fn enter<T: LogSink<C>, C: Settings + 'static>(call: RawCall) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Opened(open::<T, C>(call)?, PhantomData::<C>)))
}
