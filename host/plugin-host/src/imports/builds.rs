//! What notifiers and triggers may ask of the farm: `builds`, `mail` and `vcs`.

use super::{Answered, ask};
use crate::{
    instance::Sandbox,
    wit::v0_1::piper::{
        notify::{builds, mail},
        trigger::vcs,
    },
};

impl builds::Host for Sandbox {
    async fn get(&mut self, build: String) -> Answered<String> {
        ask!(
            self,
            builds,
            "policy.builds",
            "a look at builds",
            |builds| builds.get(build)
        )
    }

    async fn log_tail(
        &mut self,
        build: String,
        step: Option<String>,
        max_bytes: u32,
    ) -> Answered<Vec<u8>> {
        ask!(
            self,
            builds,
            "policy.builds",
            "a look at builds",
            |builds| builds.log_tail(build, step, max_bytes)
        )
    }
}

impl mail::Host for Sandbox {
    async fn send(
        &mut self,
        account: String,
        from: String,
        to: Vec<String>,
        message: Vec<u8>,
    ) -> Answered<()> {
        ask!(self, mail, "policy.mail", "mail", |mail| mail
            .send(account, from, to, message))
    }
}

impl vcs::Host for Sandbox {
    async fn heads(&mut self, source: String) -> Answered<String> {
        ask!(self, vcs, "policy.vcs", "repositories", |vcs| vcs
            .heads(source))
    }

    async fn changes(
        &mut self,
        source: String,
        since: Option<String>,
        until: String,
        limit: u32,
    ) -> Answered<String> {
        ask!(self, vcs, "policy.vcs", "repositories", |vcs| vcs
            .changes(source, since, until, limit))
    }
}
