//! What every plugin of a kind must do, whatever it is for.
//!
//! A plugin is free to fail: a [`CallError::Failed`] is an answer. It must not trap, hang or lie, and a few questions have one right
//! answer for all. Nothing here is granted, so nothing here does harm; and what a plugin does after it was refused something is only seen
//! as far as that.

use super::{
    calling::{self, Input, ask, event, ship},
    planned,
    refusal::Refusals,
};
use crate::plugins::{limits, used::common_facts};
use piper_plugin_host::{
    CallError, Cancel, FailureKind, Invocation, Plugin,
    kind::{Batch, Call, Delivery, Kind},
    policy::{
        grant,
        manifest::{Manifest, Role},
    },
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The plugin and with what it is called.
pub(super) struct Subject<'a> {
    pub(super) title: &'a str,
    pub(super) plugin: &'a Plugin,
    pub(super) manifest: Option<&'a Manifest>,
    pub(super) config: String,
    pub(super) options: String,
    pub(super) limits: grant::Limits,
}

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It does so.
    Passed,
    /// It does so as far as it came without what it was refused.
    Refused(BTreeSet<&'static str>),
    /// It does not, and what it does instead.
    Failed(String),
    /// Nobody can say, and what would help.
    Skipped(String),
}

/// A rule, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) kind: Kind,
    /// As it is called in the manifest, if it has a name.
    pub(super) name: String,
    pub(super) rule: &'static str,
    pub(super) outcome: Outcome,
}

/// How often a plugin is called to see that it stays the same.
const REPEATS: usize = 20;

/// When a call is cancelled: late enough that most have begun.
const SOON: Duration = Duration::from_millis(5);

/// Judges a plugin by the rules of all its kinds.
pub(super) async fn judge(subject: &Subject<'_>) -> Vec<Judged> {
    let mut judged = Vec::new();
    for kind in subject.plugin.kinds() {
        for name in names(subject.manifest, *kind) {
            let case = Case {
                subject,
                kind: *kind,
                name,
            };
            let mut rules = case.common().await;
            rules.extend(match kind {
                Kind::StepPlanner => case.planner().await,
                Kind::StepRunner => Vec::new(),
                Kind::ConfigCheck => case.config_check().await,
                Kind::Notifier => case.notifier().await,
                Kind::LogSink => case.sink().await,
                Kind::LogReader => case.reader().await,
                Kind::TriggerPoll => case.poll().await,
                Kind::TriggerWebhook => case.webhook().await,
            });
            judged.extend(rules.into_iter().map(|(rule, outcome)| Judged {
                kind: *kind,
                name: case.name.clone(),
                rule,
                outcome,
            }));
        }
    }
    judged
}

/// What the manifest calls the plugin's things of a kind; one without a name if it says nothing.
pub(super) fn names(manifest: Option<&Manifest>, kind: Kind) -> Vec<String> {
    let steps = |role: Role| {
        let steps = manifest.iter().flat_map(|manifest| &manifest.steps);
        steps
            .filter(move |step| step.role == role)
            .map(|step| step.name.as_ref())
    };
    let names: Vec<_> = match (kind, manifest) {
        (Kind::StepPlanner, _) => steps(Role::Planner).collect(),
        (Kind::StepRunner, _) => steps(Role::Runner).collect(),
        (Kind::TriggerPoll, Some(manifest)) => manifest
            .triggers
            .iter()
            .map(|one| one.name.as_ref())
            .collect(),
        (Kind::TriggerWebhook, Some(manifest)) => manifest
            .webhooks
            .iter()
            .map(|one| one.name.as_ref())
            .collect(),
        (Kind::Notifier, Some(manifest)) => manifest
            .notifiers
            .iter()
            .map(|one| one.name.as_ref())
            .collect(),
        (_, _) => Vec::new(),
    };
    let names = names
        .into_iter()
        .map(|name| name.map_or_else(String::new, ToString::to_string));
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names.push(String::new());
    }
    names
}

type Rules = Vec<(&'static str, Outcome)>;

/// An answer, and what was refused before it was there.
struct Answer {
    said: Result<Value, CallError>,
    refused: BTreeSet<&'static str>,
}

impl Answer {
    /// It is as it must be.
    fn passed(&self) -> Outcome {
        match self.refused.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Refused(self.refused.clone()),
        }
    }
}

/// One thing that the plugin is, called in many ways.
struct Case<'a> {
    subject: &'a Subject<'a>,
    kind: Kind,
    name: String,
}

impl Case<'_> {
    fn invocation(&self, refusals: &Refusals) -> Invocation {
        Invocation {
            limits: limits::of(self.kind, &self.subject.limits),
            services: refusals.services(),
            ..Invocation::default()
        }
    }

    fn call(&self) -> Call {
        Call {
            name: self.name.clone(),
            config: self.subject.config.clone(),
            options: self.subject.options.clone(),
            facts: Value::Object(self.facts()).to_string(),
        }
    }

    /// What every call is told.
    fn facts(&self) -> Map<String, Value> {
        self.subject.manifest.map(common_facts).unwrap_or_default()
    }

    async fn ask(&self, call: Call, input: Input) -> Answer {
        let refusals = Refusals::default();
        let invocation = self.invocation(&refusals);
        let said = ask(self.subject.plugin, self.kind, &invocation, call, input).await;
        Answer {
            said,
            refused: refusals.seen(),
        }
    }

    async fn example(&self) -> Answer {
        self.ask(self.call(), Input::example(self.kind)).await
    }

    /// It may say no, but must not die.
    fn survives(&self, answer: &Answer) -> Outcome {
        match &answer.said {
            Ok(_) | Err(CallError::Failed(_)) => answer.passed(),
            Err(error @ CallError::Crashed(_)) => {
                Outcome::Failed(calling::story(self.subject.title, self.kind, error))
            }
        }
    }

    /// It must say yes, and this must hold of what it says.
    fn answers(
        &self,
        answer: &Answer,
        holds: impl FnOnce(&Value) -> Result<(), String>,
    ) -> Outcome {
        match &answer.said {
            Ok(value) => match holds(value) {
                Ok(()) => answer.passed(),
                Err(why) => Outcome::Failed(why),
            },
            // Whoever needs options cannot be judged without any.
            Err(CallError::Failed(failure)) if matches!(failure.kind, FailureKind::Invalid) => {
                Outcome::Skipped(format!(
                    "it says `{failure}`: give it what it needs with --config and --options"
                ))
            }
            Err(CallError::Failed(failure)) if matches!(failure.kind, FailureKind::Denied) => {
                Outcome::Skipped(format!(
                    "it says `{failure}`, and nothing is granted in a test"
                ))
            }
            Err(error) => Outcome::Failed(calling::story(self.subject.title, self.kind, error)),
        }
    }

    /// The rules of all kinds.
    async fn common(&self) -> Rules {
        let strange = r#"{"\ud83d\ude00": [null, {"deep": [[[[0.5e300]]]]}], "": "\u0000"}"#;
        let with = |settings: &str| Call {
            config: settings.to_owned(),
            options: settings.to_owned(),
            ..self.call()
        };
        let mut facts: Map<String, Value> =
            serde_json::from_str(strange).expect("it is strange, but an object");
        facts.extend(self.facts());
        let more_facts = Call {
            facts: Value::Object(facts).to_string(),
            ..self.call()
        };
        let input = || Input::example(self.kind);
        let mut rules = vec![
            (
                "answers when it is called as the manifest says",
                self.survives(&self.example().await),
            ),
            (
                "takes an empty configuration and empty options",
                self.survives(&self.ask(with("{}"), input()).await),
            ),
            (
                "takes a configuration and options that nobody would write",
                self.survives(&self.ask(with(strange), input()).await),
            ),
            (
                "takes facts that it does not know",
                self.survives(&self.ask(more_facts, input()).await),
            ),
        ];
        let unknown = Call {
            name: "a-name-of-nothing".to_owned(),
            ..self.call()
        };
        rules.push((
            "takes a name that its manifest does not have",
            self.survives(&self.ask(unknown, input()).await),
        ));
        rules.push((
            "does the same when it is called again and again",
            self.repeats().await,
        ));
        rules.push(("ends soon when it is cancelled", self.is_cancelled().await));
        rules
    }

    async fn repeats(&self) -> Outcome {
        let first = self.example().await;
        for _ in 1..REPEATS {
            let again = self.example().await;
            if let failed @ Outcome::Failed(_) = self.survives(&again) {
                return failed;
            }
            let differs = match (&first.said, &again.said) {
                (Ok(one), Ok(other)) => match (self.lasting(one), self.lasting(other)) {
                    (one, other) if one == other => continue,
                    (one, other) => {
                        format!("it answered `{one}` and then `{other}` to the same arguments")
                    }
                },
                (Err(one), Err(other)) if one.code() == other.code() => continue,
                (Err(_), Ok(_)) => {
                    "it failed the first time and not later, with the same arguments".to_owned()
                }
                (_, Err(error)) => calling::story(self.subject.title, self.kind, error),
            };
            return Outcome::Failed(differs);
        }
        first.passed()
    }

    /// What of an answer must be the same for the same arguments: what others act on. What is only read may tell the time, and a poll
    /// and a reader tell of something outside that goes on.
    fn lasting(&self, answer: &Value) -> Value {
        let only = |keys: &[&str]| {
            let kept = keys.iter().map(|key| (*key, answer[*key].clone()));
            Value::from_iter(kept)
        };
        match self.kind {
            Kind::StepPlanner | Kind::ConfigCheck => answer.clone(),
            Kind::StepRunner => only(&["status", "outputs"]),
            Kind::Notifier => {
                let undelivered = answer["undelivered"].as_array().into_iter().flatten();
                let codes = undelivered.map(|one| json!([one["index"], one["why"]["code"]]));
                codes.collect()
            }
            Kind::LogSink => only(&["again", "rejected"]),
            Kind::TriggerWebhook => only(&["status"]),
            Kind::TriggerPoll | Kind::LogReader => Value::Null,
        }
    }

    async fn is_cancelled(&self) -> Outcome {
        let (cancel, refusals) = (Cancel::new(), Refusals::default());
        let invocation = Invocation {
            cancel: cancel.clone(),
            ..self.invocation(&refusals)
        };
        let answer = |said| Answer {
            said,
            refused: refusals.seen(),
        };
        let input = Input::example(self.kind);
        let called = ask(
            self.subject.plugin,
            self.kind,
            &invocation,
            self.call(),
            input,
        );
        let mut called = std::pin::pin!(called);
        let said = tokio::select! {
            biased;
            said = &mut called => return match self.survives(&answer(said)) {
                Outcome::Passed => Outcome::Skipped(format!(
                    "it ended by itself within {} ms, before it was cancelled: give it more to do with --config and --options",
                    SOON.as_millis()
                )),
                other => other,
            },
            () = tokio::time::sleep(SOON) => {
                cancel.cancel();
                called.await
            }
        };
        match said {
            Err(CallError::Crashed(crash)) if crash.code == "call.cancelled" => {
                Outcome::Failed(format!(
                    "it went on for {} after it was cancelled, and was ended: look at `control.cancelled` in loops",
                    limits::seconds(invocation.limits.warning())
                ))
            }
            said => self.survives(&answer(said)),
        }
    }

    async fn planner(&self) -> Rules {
        let (first, again) = (self.example().await, self.example().await.said);
        let invocation = self.invocation(&Refusals::default());
        let plan = self.subject.plugin.plan(&invocation, self.call()).await;
        let title = self.subject.manifest;
        let title = title.map_or("plugin", |manifest| manifest.name.as_str());
        let mistakes = plan.map(|plan| planned::mistakes(title, &plan));
        let mistakes = mistakes.unwrap_or_default().into_iter();
        let mistakes: Vec<String> = mistakes.map(planned::sentence).collect();
        // One that is too large is no answer at all.
        let is_plan = |value: &Value| match value["steps"].is_object() {
            true => Ok(()),
            false => Err(format!(
                "it answered `{value}`, which is not {{\"steps\": {{…}}}}"
            )),
        };
        let is_same = |value: &Value| match &again {
            Ok(other) if other == value => Ok(()),
            _ => {
                Err("it planned something else the second time, with the same arguments".to_owned())
            }
        };
        vec![
            (
                "answers with an object of steps",
                self.answers(&first, is_plan),
            ),
            (
                "plans the same for the same arguments",
                self.answers(&first, is_same),
            ),
            (
                "plans steps that can be built",
                self.answers(&first, |_| match mistakes.as_slice() {
                    [] => Ok(()),
                    mistakes => Err(mistakes.join("\n")),
                }),
            ),
        ]
    }

    async fn config_check(&self) -> Rules {
        let call = || Call {
            config: "{}".to_owned(),
            options: "{}".to_owned(),
            ..self.call()
        };
        let empty = self.ask(call(), Input::None).await;
        let again = self.ask(call(), Input::None).await.said;
        let has_places = |value: &Value| {
            let problems = value["problems"].as_array().into_iter().flatten();
            let paths = problems.filter_map(|problem| problem["path"].as_str());
            match paths
                .into_iter()
                .find(|path| !path.is_empty() && !path.starts_with('/'))
            {
                None => Ok(()),
                Some(path) => Err(format!(
                    "`{path}` is not a JSON pointer: write `/config/KEY` or `/options/KEY`"
                )),
            }
        };
        let is_same = |value: &Value| match &again {
            Ok(other) if other == value => Ok(()),
            _ => Err(
                "it found something else the second time, with the same configuration".to_owned(),
            ),
        };
        vec![
            (
                "answers an empty configuration with problems and no failure",
                self.answers(&empty, has_places),
            ),
            (
                "finds the same in the same configuration",
                self.answers(&empty, is_same),
            ),
        ]
    }

    async fn notifier(&self) -> Rules {
        let tell = |events| self.ask(self.call(), Input::Events(events));
        let all_told = |value: &Value| match value["undelivered"].as_array() {
            Some(undelivered) if undelivered.is_empty() => Ok(()),
            _ => Err(format!(
                "it says that something was not delivered: {}",
                value["undelivered"]
            )),
        };
        let unknown = vec![event("piper.test.unknown", 1)];
        let mut bare = event("build.finished", 1);
        bare.body = "{}".to_owned();
        let known = ["build.started", "build.finished"];
        let twice = [known, known]
            .concat()
            .into_iter()
            .map(|kind| event(kind, 1))
            .collect();
        vec![
            (
                "takes an empty batch",
                self.answers(&tell(Vec::new()).await, all_told),
            ),
            (
                "answers an unknown kind of event with success",
                self.answers(&tell(unknown).await, all_told),
            ),
            (
                "takes an event that says nothing",
                self.survives(&tell(vec![bare]).await),
            ),
            (
                "takes the same event twice",
                self.survives(&tell(twice).await),
            ),
        ]
    }

    async fn sink(&self) -> Rules {
        let write = |batches| async {
            let refusals = Refusals::default();
            let invocation = self.invocation(&refusals);
            let said = ship(self.subject.plugin, &invocation, self.call(), batches).await;
            Answer {
                said,
                refused: refusals.seen(),
            }
        };
        let is_done = |value: &Value| {
            let is_empty = |key: &str| value[key].as_array().is_some_and(Vec::is_empty);
            match is_empty("again") && is_empty("rejected") {
                true => Ok(()),
                false => Err(format!(
                    "it says of nothing that it was not written: {value}"
                )),
            }
        };
        let odd = Batch {
            text: b"\xff\xfe\x00\x1b[31m".to_vec(),
            ends: vec![0, 4, 8],
            times: vec![0, u64::MAX, 1],
            marks: vec![0xff; 3],
            step_of: vec![0; 3],
            columns: vec![("of-a-later-piper".to_owned(), vec![1, 2, 3])],
            ..calling::batch(&[])
        };
        let one = calling::batch(&["one".to_owned(), "two".to_owned()]);
        let other = Batch {
            build: "another".to_owned(),
            ..one.clone()
        };
        vec![
            (
                "takes a write of nothing",
                self.answers(&write(Vec::new()).await, is_done),
            ),
            (
                "takes a batch without entries",
                self.answers(&write(vec![calling::batch(&[])]).await, is_done),
            ),
            (
                "takes bytes that are no text, marks and columns that it does not know",
                self.survives(&write(vec![odd]).await),
            ),
            (
                "takes batches of two builds at once",
                self.survives(&write(vec![one.clone(), other]).await),
            ),
            (
                "takes the same batch again",
                self.survives(&write(vec![one.clone(), one]).await),
            ),
        ]
    }

    async fn reader(&self) -> Rules {
        let range = Input::Range(r#"{"build": "a-build-of-nobody", "attempt": 1}"#.to_owned());
        let query = r#"{"all": [{"field": "text", "op": "contains", "value": "nowhere"}]}"#;
        let query = Input::Query(query.to_owned());
        vec![
            (
                "answers for a build that there is not",
                self.survives(&self.ask(self.call(), range).await),
            ),
            (
                "answers a search that finds nothing",
                self.survives(&self.ask(self.call(), query).await),
            ),
        ]
    }

    async fn poll(&self) -> Rules {
        let cursor = Input::Cursor(Some("\u{1f600} a cursor of another plugin".to_owned()));
        vec![(
            "takes a cursor that it never gave",
            self.survives(&self.ask(self.call(), cursor).await),
        )]
    }

    async fn webhook(&self) -> Rules {
        let deliver = |method: &str, body: &[u8]| {
            let delivery = Delivery {
                method: method.to_owned(),
                target: "/piper-test?a=%00".to_owned(),
                headers: vec![("x-of-nobody".to_owned(), "1".to_owned())],
                body: body.to_vec(),
            };
            self.ask(self.call(), Input::Delivery(delivery))
        };
        let has_status = |value: &Value| match value["status"].as_u64() {
            Some(100..=599) => Ok(()),
            _ => Err(format!("{} is not a status", value["status"])),
        };
        vec![
            (
                "answers an empty request with a status",
                self.answers(&deliver("GET", b"").await, has_status),
            ),
            (
                "answers a body that it does not understand",
                self.survives(&deliver("POST", b"\xff{").await),
            ),
            (
                "answers an event that it does not know",
                self.survives(&deliver("POST", b"{\"action\": \"unknown\"}").await),
            ),
        ]
    }
}
