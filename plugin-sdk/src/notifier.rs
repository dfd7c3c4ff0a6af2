//! Tells somebody what became of builds.
//!
//! The type with a rule's options is the notifier. Where it sends to is the plugin's configuration, because that is what the operator
//! grants:
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! #[settings]
//! struct Config {
//!     /// The room's address.
//!     url: String,
//! }
//!
//! /// Posts to a chat.
//! #[settings]
//! struct Chat {
//!     /// What stands before each message.
//!     #[setting(default = "piper")]
//!     prefix: String,
//! }
//!
//! impl Notifier<Config> for Chat {
//!     fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
//!         let text = format!("{}: {}", self.prefix, event.build());
//!         http::post(&rule.config.url).json(&json!({"text": text})).send()?.ok()?;
//!         Ok(())
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     config: Config,
//!     notifier: Chat,
//! }
//!
//! # fn main() {
//! use piper_plugin::testing::{Fake, event};
//!
//! let fake = Fake::new();
//! fake.config(json!({"url": "https://chat.example/room"}));
//! fake.answer("POST https://chat.example/room", 503, "busy");
//! let body = json!({"build": "bcdf", "project": "hello", "target": "test", "end": {"outcome": "failed"}});
//! let undelivered = fake.notify::<Chat, _>(json!({}), vec![event("build.finished", body)]).unwrap();
//! assert!(undelivered[0].why.is_transient(), "it is delivered again later");
//! assert_eq!(fake.requests()[0].json()["text"], "piper: hello test: failed");
//! # }
//! ```
//!
//! Events come in batches, one by one in their order to [`Notifier::tell`]. One that fails is not delivered, and neither are those after
//! it that are about the same subject: the host delivers them again, if the failure is transient, in their order. Whoever can tell several
//! at once implements [`Notifier::tell_all`]. An event of a kind that a plugin does not know is answered with success.

use crate::{
    facts::{self, Telling},
    failure::{Failure, Result},
    host::{self, RawCall},
    settings::Settings,
    time::Timestamp,
};
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt, ops::Deref};

/// A notifier; the implementing type is a rule's options, `C` the plugin's configuration.
pub trait Notifier<C: Settings = ()>: Settings {
    /// Tells about one event.
    ///
    /// # Errors
    ///
    /// When nobody was told: transient to be asked again.
    fn tell(&self, event: &Event, rule: &Rule<C>) -> Result<()>;

    /// Tells about several events at once; what it returns was not delivered. By itself, one after the other.
    ///
    /// # Errors
    ///
    /// When none was delivered.
    fn tell_all(&self, events: &[Event], rule: &Rule<C>) -> Result<Vec<Undelivered>> {
        let mut undelivered = Vec::new();
        let mut stuck: HashMap<&str, Failure> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            let result = match stuck.get(event.subject.as_str()) {
                Some(failure) => Err(failure.clone()),
                None => self.tell(event, rule),
            };
            if let Err(why) = result {
                // What will never be delivered must not hold up what comes after it.
                if why.is_transient() {
                    stuck.entry(&event.subject).or_insert_with(|| why.clone());
                }
                undelivered.push(Undelivered { index, why });
            }
        }
        Ok(undelivered)
    }
}

/// The rule that made the notifier be called. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Rule<C = ()> {
    /// Which of the manifest's notifiers is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    facts: Telling,
}

impl<C> Deref for Rule<C> {
    type Target = Telling;

    fn deref(&self) -> &Telling {
        &self.facts
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `build.started`, `build.finished` and the like.
    pub kind: String,
    /// The same for every delivery of one event.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// Grows with each event of one subject.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// A snapshot of all that is known.
    pub body: Value,
}

impl Event {
    /// The build that it is about; what is not said is empty.
    pub fn build(&self) -> Build {
        let text = |at: &str| {
            let text = self.body.pointer(at).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let mut more = self.body.as_object().cloned().unwrap_or_default();
        for told in ["build", "url", "project", "target", "revision"] {
            more.remove(told);
        }
        Build {
            id: text("/build").unwrap_or_default(),
            url: text("/url"),
            project: text("/project").unwrap_or_default(),
            pipeline: text("/target").unwrap_or_default(),
            revision: text("/revision"),
            outcome: text("/end/outcome").unwrap_or_default(),
            previous_outcome: text("/previous/outcome"),
            more,
        }
    }
}

/// A build, as events tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Build {
    /// Its id. Opaque.
    pub id: String,
    /// Where people can look at it.
    pub url: Option<String>,
    /// The project's name.
    pub project: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The commit, if there is one.
    pub revision: Option<String>,
    /// `succeeded`, `failed`, `errored` or `cancelled`; empty while it runs.
    pub outcome: String,
    /// How the pipeline's build before this one ended.
    pub previous_outcome: Option<String>,
    /// All else, such as `params`, `steps`, `end` and `failure`.
    pub more: Map<String, Value>,
}

/// One line for people: `hello test: failed`.
impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome.as_str() {
            "" => "running",
            outcome => outcome,
        };
        write!(f, "{} {}: {outcome}", self.project, self.pipeline)
    }
}

/// An event that was not delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    /// Which of the events.
    pub index: usize,
    /// What to do about it: transient delivers it again.
    pub why: Failure,
}

/// Sends a mail through an account of the operator's: a whole message with its headers. Codes begin with `mail.`.
///
/// # Errors
///
/// When the account or an address is not granted, or the server refuses.
pub fn send_mail(account: &str, from: &str, to: &[String], message: &[u8]) -> Result<()> {
    host::mail_send(account, from, to, message)
}

/// A build as the API shows it, for what an event does not say. Needs the permission `builds`.
///
/// # Errors
///
/// When it is not granted or not there.
pub fn build(id: &str) -> Result<Value> {
    Ok(serde_json::from_str(&host::builds_get(id)?)?)
}

/// The end of a step's log, or of the whole build's, at most 256 KiB. Needs the permission `builds`.
///
/// # Errors
///
/// When it is not granted or not there.
pub fn log_tail(build: &str, step: Option<&str>, max_bytes: u32) -> Result<Vec<u8>> {
    host::builds_log_tail(build, step, max_bytes)
}

/// Reads a call and tells its events.
#[doc(hidden)]
pub fn enter<T: Notifier<C>, C: Settings>(
    call: RawCall,
    events: Vec<Event>,
) -> Result<Vec<Undelivered>> {
    let parts = facts::parts::<T, C, Telling>(call)?;
    let rule = Rule {
        name: parts.name,
        config: parts.config,
        facts: parts.facts,
    };
    parts.options.tell_all(&events, &rule)
}
