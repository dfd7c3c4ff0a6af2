//! Checks a configuration for what a JSON schema cannot say. Beside any kind.
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! #[settings]
//! struct Config {
//!     primary: String,
//!     replica: Option<String>,
//! }
//!
//! impl ConfigCheck for Config {
//!     fn check(&self, _options: &Value) -> Vec<Problem> {
//!         match &self.replica {
//!             Some(replica) if *replica == self.primary => {
//!                 vec![Problem::at("/config/replica", "it is the primary").help("leave it out")]
//!             }
//!             _ => vec![],
//!         }
//!     }
//! }
//! # #[settings]
//! # struct Chat {}
//! # impl Notifier<Config> for Chat {
//! #     fn tell(&self, _: &Event, _: &Rule<Config>) -> Result<()> { Ok(()) }
//! # }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     config: Config,
//!     config_check: Config,
//!     notifier: Chat,
//! }
//! # fn main() {
//! let fake = piper_plugin::testing::Fake::new();
//! let problems = fake.check::<Config>(json!({"primary": "a", "replica": "a"}), json!({}));
//! assert_eq!(problems[0].path, "/config/replica");
//! # }
//! ```
//!
//! Called before the plugin is called with a configuration and options, without any permission. The options come as JSON: they are those of
//! whichever kind is configured.

use crate::{
    host::RawCall,
    settings::{self, Settings},
};
use serde_json::Value;
use std::fmt::Display;

/// A configuration that can check itself.
pub trait ConfigCheck: Settings {
    /// All mistakes at once; none means fine.
    fn check(&self, options: &Value) -> Vec<Problem>;
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer into `{config, options}`.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A mistake at a place.
    pub fn at(path: impl Into<String>, message: impl Display) -> Self {
        Self {
            path: path.into(),
            message: message.to_string(),
            help: None,
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Reads a call and checks it.
#[doc(hidden)]
pub fn enter<C: ConfigCheck>(call: &RawCall) -> Vec<Problem> {
    let options = serde_json::from_str(&call.options).unwrap_or_default();
    match settings::read::<C>(&call.config, "/config") {
        Ok(config) => config.check(&options),
        Err(failure) => vec![Problem::at("/config", failure.message)],
    }
}
