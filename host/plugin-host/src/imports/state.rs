//! `state`.

use super::{Answered, ask};
use crate::{
    instance::Sandbox,
    wit::v0_1::piper::base::state::{Entry, Host},
};
use std::time::Duration;

impl Host for Sandbox {
    async fn get(&mut self, key: String) -> Answered<Option<Entry>> {
        ask!(self, state, "policy.state", "state", |state| async {
            let entry = state.get(key).await?;
            Ok(entry.map(|entry| Entry {
                value: entry.value,
                version: entry.version,
            }))
        })
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        expect: Option<u64>,
        ttl_s: Option<u32>,
    ) -> Answered<u64> {
        let ttl = ttl_s.map(|seconds| Duration::from_secs(seconds.into()));
        ask!(self, state, "policy.state", "state", |state| state
            .put(key, value, expect, ttl))
    }

    async fn delete(&mut self, key: String, expect: Option<u64>) -> Answered<()> {
        ask!(self, state, "policy.state", "state", |state| state
            .delete(key, expect))
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answered<Vec<String>> {
        ask!(self, state, "policy.state", "state", |state| state
            .keys(prefix, after, limit))
    }
}
