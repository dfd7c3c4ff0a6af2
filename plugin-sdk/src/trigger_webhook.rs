//! Turns requests that reach the farm into asks. The host has verified them before, as the manifest says.
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! /// Builds what a forge says was pushed.
//! #[settings]
//! struct Push {
//!     pipeline: String,
//! }
//!
//! impl TriggerWebhook for Push {
//!     fn receive(&self, delivery: &Delivery) -> Result<Received> {
//!         if delivery.header("x-forge-event") != Some("push") {
//!             return Ok(Received::ignored("only pushes are of interest"));
//!         }
//!         let push: Value = delivery.json()?;
//!         let text = |name: &str| push[name].as_str().unwrap_or_default().to_owned();
//!         let (url, r#ref, after) = (text("repository"), text("ref"), text("after"));
//!         let ask = Ask::build(format!("{url} {ref} {after}"), &self.pipeline);
//!         Ok(Received::accepted([ask.source(&url, &r#ref, &after)]))
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     trigger_webhook: Push,
//! }
//! # fn main() {
//! use piper_plugin::testing::{Fake, request};
//!
//! let fake = Fake::new();
//! let push = json!({"repository": "https://git.example/a", "ref": "refs/heads/main", "after": "c0ffee"});
//! let delivery = request("POST", "/", &[("x-forge-event", "push")], push.to_string());
//! let received = fake.receive::<Push, _>(json!({"pipeline": "test"}), delivery).unwrap();
//! assert_eq!((received.status, received.asks.len()), (202, 1));
//! # }
//! ```
//!
//! A failure is answered as 500, a transient one as 503, so that the sender tries again.

use crate::{
    facts::{self, Receiving},
    failure::{Failure, Result},
    host::RawCall,
    settings::Settings,
    trigger::Ask,
};
use serde::de::DeserializeOwned;
use std::{fmt::Display, ops::Deref};

/// A trigger that is called; the implementing type is its options, `C` the plugin's configuration.
pub trait TriggerWebhook<C: Settings = ()>: Settings {
    /// Receives one delivery.
    ///
    /// # Errors
    ///
    /// When the sender should try again.
    fn receive(&self, delivery: &Delivery<C>) -> Result<Received>;
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// Below the plugin's own mount point, with its query.
    pub target: String,
    /// In the sender's order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most 1 MiB.
    pub body: Vec<u8>,
}

/// A request and what it came with. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Delivery<C = ()> {
    /// Which of the manifest's webhooks is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    /// The request.
    pub request: Request,
    facts: Receiving,
}

impl<C> Deref for Delivery<C> {
    type Target = Receiving;

    fn deref(&self) -> &Receiving {
        &self.facts
    }
}

impl<C> Delivery<C> {
    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.request.headers;
        headers
            .iter()
            .find(|(has, _)| has == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// When it is not, or is something else than expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.request.body).map_err(|error| {
            Failure::from(error).while_doing("the delivery is not what was expected")
        })
    }
}

/// What a delivery means. The answer is sent after the asks are committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The answer's status, 200 to 599.
    pub status: u16,
    /// The answer's headers.
    pub headers: Vec<(String, String)>,
    /// The answer's body, at most 64 KiB.
    pub body: Vec<u8>,
    /// What is asked of the farm, at most 1,000.
    pub asks: Vec<Ask>,
}

impl Received {
    /// An answer with a text and without asks.
    pub fn answer(status: u16, text: impl Display) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: text.to_string().into_bytes(),
            asks: Vec::new(),
        }
    }

    /// 202 and what is asked for.
    pub fn accepted(asks: impl IntoIterator<Item = Ask>) -> Self {
        Self {
            asks: asks.into_iter().collect(),
            ..Self::answer(202, "")
        }
    }

    /// 200 and why nothing is asked for.
    pub fn ignored(why: impl Display) -> Self {
        Self::answer(200, why)
    }
}

/// Reads a call and receives its delivery.
#[doc(hidden)]
pub fn enter<T: TriggerWebhook<C>, C: Settings>(
    call: RawCall,
    request: Request,
) -> Result<Received> {
    let parts = facts::parts::<T, C, Receiving>(call)?;
    parts.options.receive(&Delivery {
        name: parts.name,
        config: parts.config,
        request,
        facts: parts.facts,
    })
}
