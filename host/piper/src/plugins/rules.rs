//! The notifiers of a project's `[notify]` rules, ready to be called.

use super::{
    limits::{Subject, advice},
    wait,
};
use crate::ui::sanitize::words;
use piper_core::{
    codes,
    id::RuleName,
    notify::{EVENTS, Message, Notifier, Occasion},
    problem::Problem,
};
use piper_engine::clock::Clock;
use piper_plugin_host::{
    CallError, FailureKind, Invocation, Plugin,
    effect::{Binding, Surroundings},
    kind::{Call, Event},
};
use std::{collections::BTreeMap, fmt, path::PathBuf, thread, time::Duration};

/// How long is waited before each further try of a delivery that did not work for now. Somebody sits before this build.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// How long after the first try another one begins at most: one that hangs has cost enough.
const PATIENCE: Duration = Duration::from_secs(8);

/// Those whom the rules of a project tell of the builds of one plan.
#[derive(Debug)]
pub struct Rules(pub(super) BTreeMap<RuleName, Rule>);

pub(super) struct Rule {
    pub(super) subject: Subject,
    pub(super) plugin: Plugin,
    pub(super) binding: Binding,
    /// The project's folder.
    pub(super) project: PathBuf,
    pub(super) call: Call,
    pub(super) invocation: Invocation,
    /// The kinds of events that its plugin wants; all if there are none.
    pub(super) events: Vec<String>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

/// Why a message was not delivered.
struct Undelivered {
    why: String,
    /// Whether it may be another time, and when the other end asked for it.
    again: Option<Option<Duration>>,
}

impl Undelivered {
    fn for_good(why: impl fmt::Display) -> Self {
        Self {
            why: words(&why.to_string()).into_owned(),
            again: None,
        }
    }
}

impl Notifier for Rules {
    fn notify(&self, message: &Message<'_>) -> Result<(), String> {
        let rule = self.0.get(message.rule);
        let rule = rule.ok_or_else(|| "its notifier was not made ready".to_owned())?;
        if !wants(&rule.events, message.event.kind) {
            return Ok(());
        }
        let event = event(message).map_err(|error| error.to_string())?;
        let mut waits = AGAIN_AFTER.into_iter();
        let clock = Clock::start();
        let began = clock.now().mono;
        loop {
            let Err(undelivered) = rule.deliver(event.clone()) else {
                return Ok(());
            };
            let (Some(asked), Some(wait)) = (undelivered.again, waits.next()) else {
                return Err(undelivered.why);
            };
            let wait = asked.unwrap_or(wait);
            if !is_worth(wait, clock.now().mono.since(began)) {
                return Err(undelivered.why);
            }
            thread::sleep(wait);
        }
    }
}

impl Rule {
    fn deliver(&self, event: Event) -> Result<(), Undelivered> {
        let around = Surroundings {
            repository: vec![self.project.clone()],
            ..Surroundings::default()
        };
        let services = self
            .binding
            .services(around)
            .map_err(Undelivered::for_good)?;
        let invocation = Invocation {
            services,
            ..self.invocation.clone()
        };
        let told = wait(
            self.plugin
                .notify(&invocation, self.call.clone(), vec![event]),
        );
        let failure = match told.map_err(Undelivered::for_good)? {
            Ok(undelivered) => match undelivered.into_iter().next() {
                None => return Ok(()),
                Some(one) => one.why,
            },
            Err(CallError::Failed(why)) => why,
            Err(CallError::Crashed(crash)) => {
                let why = self.subject.story(&crash);
                let is_passing = crash.kind() == FailureKind::Transient;
                return Err(Undelivered {
                    again: is_passing.then_some(None),
                    ..Undelivered::for_good(why)
                });
            }
        };
        let is_passing = failure.kind == FailureKind::Transient;
        let why = match failure.limit {
            Some(_) => self.subject.failed("notify", &failure),
            None => format!("{failure}{}", advice(&failure)),
        };
        Err(Undelivered {
            again: is_passing.then_some(failure.retry_after),
            ..Undelivered::for_good(why)
        })
    }
}

/// Whether a further try is waited for, after as long as this: whoever asks for more patience than we have, or hung before, is not.
fn is_worth(wait: Duration, passed: Duration) -> bool {
    wait <= AGAIN_AFTER[1] && passed + wait <= PATIENCE
}

/// Whether a plugin that names these kinds of events is told of one; if it names none, it is told of all.
fn wants(events: &[String], kind: &str) -> bool {
    events.is_empty() || events.iter().any(|wanted| wanted == kind)
}

/// What is wrong with a rule for these occasions if its notifier wants none of the events that it would be told of.
pub(super) fn unheard(title: &str, events: &[String], on: &[Occasion]) -> Option<Problem> {
    let [started, finished] = EVENTS;
    let told = |occasion: &Occasion| match occasion {
        Occasion::Started => started,
        Occasion::Failed | Occasion::Recovered | Occasion::Changed | Occasion::Always => finished,
    };
    if on.is_empty() || on.iter().any(|occasion| wants(events, told(occasion))) {
        return None;
    }
    let message = format!(
        "nobody is told by this rule: `{title}` wants to hear of `{}` only",
        words(&events.join("`, `"))
    );
    let help = match wants(events, started) {
        true => "write `on = [\"started\"]`, or choose another notifier",
        false if wants(events, finished) => {
            "write `on = [\"always\"]`, or another occasion of the end, or choose another notifier"
        }
        false => "choose another notifier: this piper does not tell of that",
    };
    Some(Problem::warning(codes::BAD_VALUE, message).help(help))
}

fn event(message: &Message<'_>) -> serde_json::Result<Event> {
    let event = message.event;
    Ok(Event {
        kind: event.kind.to_owned(),
        id: event.id.clone(),
        subject: event.subject.clone(),
        seq: event.seq,
        at: event.at.0,
        body: serde_json::to_string(&event.body)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(250, 100, true; "a server that was busy")]
    #[test_case(2_000, 3_000, true; "a slow one")]
    #[test_case(60_000, 100, false; "one that asks for a minute")]
    #[test_case(250, 30_000, false; "one that hung")]
    fn somebody_sits_before_this_build(wait: u64, passed: u64, expected: bool) {
        let [wait, passed] = [wait, passed].map(Duration::from_millis);
        assert_eq!(is_worth(wait, passed), expected);
    }

    #[test_case(&[], &[Occasion::Started], None; "who wants everything")]
    #[test_case(&["build.finished"], &[Occasion::Started, Occasion::Failed], None; "one of two")]
    #[test_case(&["build.finished"], &[Occasion::Started], Some("on = [\"always\"]"); "the end only")]
    #[test_case(&["build.started"], &Occasion::DEFAULT, Some("on = [\"started\"]"); "the beginning only")]
    #[test_case(&["step.finished"], &[Occasion::Always], Some("does not tell of that"); "what nobody tells")]
    fn a_rule_of_which_nobody_hears_is_a_warning(
        events: &[&str],
        on: &[Occasion],
        help: Option<&str>,
    ) {
        let events: Vec<String> = events.iter().map(|&event| event.to_owned()).collect();
        let problem = unheard("odd", &events, on);
        let said = problem.map(|problem| problem.help.join("\n"));
        assert_eq!(said.is_some(), help.is_some());
        assert!(said.unwrap_or_default().contains(help.unwrap_or_default()));
    }

    #[test_case(&[], true; "of everything")]
    #[test_case(&["build.started", "build.finished"], true; "of this")]
    #[test_case(&["build.started"], false; "of something else")]
    fn a_notifier_is_told_of_what_its_manifest_names(events: &[&str], expected: bool) {
        let events: Vec<String> = events.iter().map(|&event| event.to_owned()).collect();
        assert_eq!(wants(&events, "build.finished"), expected);
    }
}
