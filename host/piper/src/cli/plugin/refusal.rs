//! Effects that are refused, as they are to a plugin that was granted nothing, but noted down.
//!
//! What a plugin does after a refusal says nothing of what it does otherwise, so whoever judges it must know that there was one.

use piper_core::log::mask::Masker;
use piper_plugin_host::{
    Failure,
    service::{
        Answer, Builds, Command, Exec, FileInfo, Files, Gate, Http, HttpRequest, HttpResponse,
        Mail, Patience, Process, Secrets, Services, StateEntry, StateStore, StreamBody, Vcs,
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What was asked for, in words.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<BTreeSet<&'static str>>>);

impl Refusals {
    /// Everything that can be refused; what a step may always do, nobody refuses.
    pub(super) fn services(&self) -> Services {
        let all = Arc::new(self.clone());
        Services {
            http: Some(all.clone()),
            files: Some(all.clone()),
            secrets: Some(all.clone()),
            state: Some(all.clone()),
            exec: Some(all.clone()),
            mail: Some(all.clone()),
            builds: Some(all.clone()),
            vcs: Some(all),
            step: None,
        }
    }

    /// What was refused so far.
    pub(super) fn seen(&self) -> BTreeSet<&'static str> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn refuse<'a, T: Send + 'a>(&self, code: &str, what: &'static str) -> Answer<'a, T> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(what);
        let refusal = Failure::denied(code, format!("nothing is granted in a test: no {what}"));
        Box::pin(std::future::ready(Err(refusal)))
    }

    fn requests<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.http-host", "requests")
    }

    fn files<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.fs", "files")
    }

    fn secrets<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.secret", "secrets")
    }

    fn state<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.state", "state")
    }

    fn builds<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.builds", "builds")
    }

    fn repositories<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        self.refuse("policy.vcs", "repositories")
    }
}

impl Http for Refusals {
    fn exchange(&self, _: HttpRequest) -> Answer<'static, HttpResponse> {
        self.requests()
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(self.clone())
    }
}

impl Gate for Refusals {
    fn send(
        &self,
        _: http::Request<StreamBody>,
        _: Patience,
    ) -> Answer<'static, http::Response<StreamBody>> {
        self.requests()
    }
}

impl Files for Refusals {
    fn glob(&self, _: Vec<String>, _: Option<String>, _: u32) -> Answer<'_, Vec<String>> {
        self.files()
    }

    fn stat(&self, _: String) -> Answer<'_, FileInfo> {
        self.files()
    }

    fn read(&self, _: String, _: u64, _: u32) -> Answer<'_, Vec<u8>> {
        self.files()
    }

    fn write(&self, _: String, _: u64, _: Vec<u8>) -> Answer<'_, ()> {
        self.files()
    }

    fn digest(&self, _: String, _: u64, _: Option<u64>, _: String) -> Answer<'_, Vec<u8>> {
        self.files()
    }
}

impl Secrets for Refusals {
    fn placeholder(&self, _: String) -> Answer<'_, String> {
        self.secrets()
    }

    fn basic(&self, _: String, _: String) -> Answer<'_, String> {
        self.secrets()
    }

    fn adopt(&self, _: String, _: String) -> Answer<'_, String> {
        self.secrets()
    }

    fn hmac(&self, _: String, _: String, _: String, _: Vec<Vec<u8>>) -> Answer<'_, Vec<u8>> {
        self.secrets()
    }

    fn sign(&self, _: String, _: String, _: Vec<u8>) -> Answer<'_, Vec<u8>> {
        self.secrets()
    }

    fn verify_hmac(&self, _: String, _: String, _: Vec<u8>, _: Vec<u8>) -> Answer<'_, bool> {
        self.secrets()
    }

    fn equals(&self, _: String, _: Vec<u8>) -> Answer<'_, bool> {
        self.secrets()
    }

    fn reveal(&self, _: String) -> Answer<'_, String> {
        self.secrets()
    }

    fn masker(&self) -> Arc<Masker> {
        Arc::new(Masker::new::<&str, &str>(&[]).0)
    }
}

impl StateStore for Refusals {
    fn get(&self, _: String) -> Answer<'_, Option<StateEntry>> {
        self.state()
    }

    fn put(&self, _: String, _: Vec<u8>, _: Option<u64>, _: Option<Duration>) -> Answer<'_, u64> {
        self.state()
    }

    fn delete(&self, _: String, _: Option<u64>) -> Answer<'_, ()> {
        self.state()
    }

    fn keys(&self, _: String, _: Option<String>, _: u32) -> Answer<'_, Vec<String>> {
        self.state()
    }
}

impl Exec for Refusals {
    fn start(&self, _: Command) -> Answer<'_, Arc<dyn Process>> {
        self.refuse("policy.exec", "commands")
    }

    fn end(&self, _: Option<Instant>) {}

    fn ended(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Mail for Refusals {
    fn send(&self, _: String, _: String, _: Vec<String>, _: Vec<u8>) -> Answer<'_, ()> {
        self.refuse("policy.mail", "mail")
    }
}

impl Builds for Refusals {
    fn get(&self, _: String) -> Answer<'_, String> {
        self.builds()
    }

    fn log_tail(&self, _: String, _: Option<String>, _: u32) -> Answer<'_, Vec<u8>> {
        self.builds()
    }
}

impl Vcs for Refusals {
    fn heads(&self, _: String) -> Answer<'_, String> {
        self.repositories()
    }

    fn changes(&self, _: String, _: Option<String>, _: String, _: u32) -> Answer<'_, String> {
        self.repositories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_effect_that_a_plugin_may_ask_for_is_refused_and_noted() {
        let refusals = Refusals::default();
        // All of them by name: one that is new must be refused, too.
        let Services {
            http,
            files,
            secrets,
            state,
            exec,
            mail,
            builds,
            vcs,
            step: _,
        } = refusals.services();
        let word = String::new;
        let code = |failure: Option<Failure>| failure.unwrap().code;
        let codes = [
            code(http.unwrap().exchange(HttpRequest::default()).await.err()),
            code(files.unwrap().stat(word()).await.err()),
            code(secrets.unwrap().reveal(word()).await.err()),
            code(state.unwrap().get(word()).await.err()),
            code(exec.unwrap().start(Command::default()).await.err()),
            code(
                mail.unwrap()
                    .send(word(), word(), Vec::new(), Vec::new())
                    .await
                    .err(),
            ),
            code(builds.unwrap().get(word()).await.err()),
            code(vcs.unwrap().heads(word()).await.err()),
        ];
        assert_eq!(
            codes.map(|code| code.trim_start_matches("policy.").to_owned()),
            [
                "http-host",
                "fs",
                "secret",
                "state",
                "exec",
                "mail",
                "builds",
                "vcs"
            ]
        );
        let seen: Vec<_> = refusals.seen().into_iter().collect();
        assert_eq!(
            seen,
            [
                "builds",
                "commands",
                "files",
                "mail",
                "repositories",
                "requests",
                "secrets",
                "state"
            ]
        );
    }
}
