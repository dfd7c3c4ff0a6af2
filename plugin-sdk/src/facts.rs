//! What the host says about a call, typed. The contract promises what all kinds are told; everything else may be missing, and is then empty.
//! What this SDK does not know yet is in `more`.

use crate::{
    failure::{Failure, Result},
    host::RawCall,
    settings::{self, Settings},
    time::Timestamp,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What all kinds are told.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// This plugin.
    pub plugin: Plugin,
    /// The piper that calls it.
    pub piper: Piper,
    /// All else.
    pub more: Map<String, Value>,
}

/// The plugin itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Plugin {
    /// Its name in the manifest.
    pub name: String,
    /// Its version in the manifest.
    pub version: String,
}

/// The piper that calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Piper {
    /// Its version.
    pub version: String,
}

/// A build, as far as a step is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Build {
    /// Its id. Opaque.
    pub id: String,
    /// The project's name.
    pub project: String,
    /// The commit, if there is one.
    pub revision: Option<String>,
}

/// The step that is planned or run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StepPlace {
    /// Its path in the build.
    pub path: String,
}

/// What a running step is told.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// The build.
    pub build: Build,
    /// The step.
    pub step: StepPlace,
    /// Which try, from 1.
    pub r#try: u32,
    /// The build's parameters.
    pub params: BTreeMap<String, String>,
    /// What all kinds are told.
    pub common: Facts,
}

/// What a planner is told.
#[derive(Debug, Clone, Default)]
pub struct Planning {
    /// The step.
    pub step: StepPlace,
    /// The build's parameters.
    pub params: BTreeMap<String, String>,
    /// The texts of the files that the manifest's `reads` names, by path.
    pub files: BTreeMap<String, String>,
    /// What all kinds are told.
    pub common: Facts,
}

/// The rule that made a notifier be called.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name.
    pub name: String,
}

/// What a notifier is told.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// The rule.
    pub rule: Rule,
    /// What all kinds are told.
    pub common: Facts,
}

/// The trigger that polls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// How often it polls.
    pub interval_ms: u64,
}

/// What a trigger that polls is told.
#[derive(Debug, Clone, Default)]
pub struct Polling {
    /// The trigger.
    pub trigger: Trigger,
    /// The time.
    pub now: Timestamp,
    /// What all kinds are told.
    pub common: Facts,
}

/// What a webhook is told.
#[derive(Debug, Clone, Default)]
pub struct Receiving {
    /// The sender's address.
    pub remote: String,
    /// The time.
    pub now: Timestamp,
    /// The host has verified the delivery as the manifest says.
    pub verified: bool,
    /// The delivery's id, if the manifest says where it is.
    pub delivery_id: Option<String>,
    /// What all kinds are told.
    pub common: Facts,
}

/// Facts that are read member by member: serde's `flatten` would be a fifth of a small plugin.
pub(crate) trait Told: Sized {
    /// Takes its members out of the object.
    fn take(facts: &mut Map<String, Value>) -> serde_json::Result<Self>;
}

/// A member, or what stands for one that is missing.
fn member<T: DeserializeOwned + Default>(
    facts: &mut Map<String, Value>,
    name: &str,
) -> serde_json::Result<T> {
    facts
        .remove(name)
        .map_or_else(|| Ok(T::default()), serde_json::from_value)
}

impl Told for Facts {
    fn take(facts: &mut Map<String, Value>) -> serde_json::Result<Self> {
        Ok(Self {
            plugin: member(facts, "plugin")?,
            piper: member(facts, "piper")?,
            more: std::mem::take(facts),
        })
    }
}

macro_rules! told {
    ($($ty:ident { $($field:ident: $name:literal),+ })+) => {
        $(impl Told for $ty {
            fn take(facts: &mut Map<String, Value>) -> serde_json::Result<Self> {
                Ok(Self {
                    $($field: member(facts, $name)?,)+
                    common: Facts::take(facts)?,
                })
            }
        })+
    };
}

told! {
    Running { build: "build", step: "step", r#try: "try", params: "params" }
    Planning { step: "step", params: "params", files: "files" }
    Telling { rule: "rule" }
    Polling { trigger: "trigger", now: "now" }
    Receiving { remote: "remote", now: "now", verified: "verified", delivery_id: "delivery-id" }
}

/// A call, taken apart.
pub(crate) struct Parts<O, C, F> {
    pub(crate) name: String,
    pub(crate) options: O,
    pub(crate) config: C,
    pub(crate) facts: F,
}

/// Takes a call apart; mistakes are those of whoever wrote the configuration or the options.
pub(crate) fn parts<O: Settings, C: Settings, F: Told>(call: RawCall) -> Result<Parts<O, C, F>> {
    let config = settings::read(&call.config, "/config")?;
    let options = settings::read(&call.options, "/options")?;
    let facts = serde_json::from_str(&call.facts)
        .and_then(|mut facts| F::take(&mut facts))
        .map_err(|error| Failure::from(error).while_doing("the host told something strange"))?;
    Ok(Parts {
        name: call.name,
        options,
        config,
        facts,
    })
}
