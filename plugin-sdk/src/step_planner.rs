//! A type of step that only says what to run: a pure function, so that `piper plan` shows it and its steps are cached like any others.
//! Prefer it to a [runner](crate::step_runner).
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! /// Tests every member of a workspace on its own.
//! #[settings]
//! struct Members {
//!     /// Further arguments of the tests.
//!     #[setting(default)]
//!     args: Vec<String>,
//! }
//!
//! impl StepPlanner for Members {
//!     fn plan(&self, planning: &Planning) -> Result<Plan> {
//!         let mut plan = Plan::new();
//!         for member in planning.files.get("members.txt").into_iter().flat_map(|text| text.lines()) {
//!             let mut argv = vec!["cargo", "test", "-p", member];
//!             argv.extend(self.args.iter().map(String::as_str));
//!             plan.step(member, PlannedStep::argv(argv).needs::<&str>([]).set("timeout", "10m"));
//!         }
//!         Ok(plan)
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     step_planner: Members,
//! }
//!
//! # fn main() {
//! let fake = piper_plugin::testing::Fake::new();
//! fake.facts(json!({"files": {"members.txt": "core\nengine\n"}}));
//! let plan = fake.plan::<Members, _>(json!({})).unwrap();
//! assert_eq!(
//!     plan.to_string(),
//!     r#"{"steps":{"core":{"argv":["cargo","test","-p","core"],"needs":[],"timeout":"10m"},"#.to_owned()
//!         + r#""engine":{"argv":["cargo","test","-p","engine"],"needs":[],"timeout":"10m"}}}"#
//! );
//! # }
//! ```
//!
//! A planner has no permissions; its clock stands at 0 and its random numbers are made from its arguments. The manifest's `reads` names the
//! files that it is given. Any failure is shown as a mistake at the step's `with`.

use crate::{facts, failure::Result, host::RawCall, settings::Settings};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use std::{fmt, ops::Deref};

/// A type of step that plans; the implementing type is its options, `C` the plugin's configuration.
pub trait StepPlanner<C: Settings = ()>: Settings {
    /// Says which steps stand for the one.
    ///
    /// # Errors
    ///
    /// When the options make no sense.
    fn plan(&self, planning: &Planning<C>) -> Result<Plan>;
}

/// The step that is planned. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Planning<C = ()> {
    /// Which of the manifest's step types is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    facts: facts::Planning,
}

impl<C> Deref for Planning<C> {
    type Target = facts::Planning;

    fn deref(&self) -> &facts::Planning {
        &self.facts
    }
}

/// Steps in order, as in `[steps]` of `piper.toml`. Displays as the JSON that the host gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    steps: Vec<(String, PlannedStep)>,
}

impl Plan {
    /// A plan without steps: there is nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step. It waits for everything before it, unless it says what it needs.
    pub fn step(&mut self, name: impl Into<String>, step: PlannedStep) -> &mut Self {
        self.steps.push((name.into(), step));
        self
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("steps", &Ordered(&self.steps))?;
        map.end()
    }
}

/// An object in the order in which it was made, which `serde_json::Map` does not keep.
struct Ordered<'a, T>(&'a [(String, T)]);

impl<T: Serialize> Serialize for Ordered<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A step, with the keys of `[steps.NAME]` of `piper.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    keys: Vec<(String, Value)>,
}

impl PlannedStep {
    /// A line for the shell.
    pub fn run(line: impl Into<String>) -> Self {
        Self {
            keys: vec![("run".into(), Value::String(line.into()))],
        }
    }

    /// A command and its arguments, without a shell: nothing in them is ever read as anything but text.
    pub fn argv<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self {
            keys: vec![("argv".into(), texts(argv))],
        }
    }

    /// What it waits for; an empty list starts at once.
    #[must_use]
    pub fn needs<A: Into<String>>(self, steps: impl IntoIterator<Item = A>) -> Self {
        self.set("needs", texts(steps))
    }

    /// Any other key.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let (key, value) = (key.into(), value.into());
        match self.keys.iter_mut().find(|(has, _)| *has == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
        self
    }
}

impl Serialize for PlannedStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Ordered(&self.keys).serialize(serializer)
    }
}

fn texts<A: Into<String>>(texts: impl IntoIterator<Item = A>) -> Value {
    Value::Array(
        texts
            .into_iter()
            .map(|text| Value::String(text.into()))
            .collect(),
    )
}

/// Reads a call and plans it.
#[doc(hidden)]
pub fn enter<T: StepPlanner<C>, C: Settings>(call: RawCall) -> Result<Plan> {
    let parts = facts::parts::<T, C, facts::Planning>(call)?;
    parts.options.plan(&Planning {
        name: parts.name,
        config: parts.config,
        facts: parts.facts,
    })
}
