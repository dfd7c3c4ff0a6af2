//! One call of a plugin by hand, whatever its kind: JSON in, JSON out.
//!
//! Shared by `call` and `test`. What a call may do is its [`Invocation`]'s affair.

use crate::ui::sanitize::words;
use piper_core::{codes, problem::Problem, suggest};
use piper_plugin_host::{
    CallError, Crash, Failure, FailureKind, Invocation, Plugin,
    kind::{Ask, Batch, Call, Delivery, EntryRef, Event, Kind, Page, Status, StepRef},
    service::{Services, StepContext},
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What a kind is called with besides what every kind is called with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Input {
    /// Nothing.
    None,
    /// Events for a notifier.
    Events(Vec<Event>),
    /// Where a poll begins.
    Cursor(Option<String>),
    /// A request for a webhook.
    Delivery(Delivery),
    /// Lines for a sink.
    Lines(Vec<String>),
    /// A part of a log, as JSON.
    Range(String),
    /// A search, as JSON.
    Query(String),
}

impl Input {
    /// What a kind is called with if nobody says: something that every plugin of this kind must take.
    pub(super) fn example(kind: Kind) -> Self {
        match kind {
            Kind::StepPlanner | Kind::StepRunner | Kind::ConfigCheck => Self::None,
            Kind::Notifier => Self::Events(vec![event("build.finished", 1)]),
            Kind::TriggerPoll => Self::Cursor(None),
            Kind::TriggerWebhook => Self::Delivery(Delivery {
                method: "POST".to_owned(),
                target: "/".to_owned(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: b"{}".to_vec(),
            }),
            Kind::LogSink => Self::Lines(vec!["hello".to_owned()]),
            Kind::LogReader => Self::Range(range(Map::new())),
        }
    }

    /// Reads it from JSON.
    pub(super) fn read(kind: Kind, value: Value) -> Result<Self, Box<Problem>> {
        let read = || match kind {
            Kind::StepPlanner | Kind::StepRunner | Kind::ConfigCheck => {
                Err(Misread::Form("it takes none"))
            }
            Kind::Notifier => {
                let events = match value {
                    Value::Array(events) => events,
                    event => vec![event],
                };
                let read = (1..).zip(events).map(|(seq, value)| read_event(seq, value));
                Ok(Self::Events(read.collect::<Result<_, _>>()?))
            }
            Kind::TriggerPoll => match value {
                Value::Null => Ok(Self::Cursor(None)),
                Value::String(cursor) => Ok(Self::Cursor(Some(cursor))),
                _ => Err(Misread::Form("it is neither a text nor null")),
            },
            Kind::TriggerWebhook => Ok(Self::Delivery(read_delivery(value)?)),
            Kind::LogSink => {
                let lines = serde_json::from_value(value).map(Self::Lines);
                lines.map_err(|_| Misread::Form("it is not a list of texts"))
            }
            Kind::LogReader => read_request(value),
        };
        read().map_err(|misread| misread.problem(kind))
    }
}

/// What `--input` of a kind is, with an example.
fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::StepPlanner | Kind::StepRunner | Kind::ConfigCheck => {
            "nothing more: leave `--input` away; what it is told stands in `--options` and `--facts`"
        }
        Kind::Notifier => r#"events: {"kind": "build.finished", "body": {…}}, or a list of such"#,
        Kind::TriggerPoll => "a cursor: a text, or null for the first poll",
        Kind::TriggerWebhook => {
            r#"a request: {"method": "POST", "target": "/", "headers": {"x-name": "value"}, "body": …}"#
        }
        Kind::LogSink => r#"lines: ["one", "two"]"#,
        Kind::LogReader => {
            r#"a range or a query: {"read": {"build": "…", "attempt": 1}} or {"search": {"all": […]}}"#
        }
    }
}

/// What is wrong with `--input`.
#[derive(Debug)]
enum Misread {
    /// The whole.
    Form(&'static str),
    /// A member that nothing reads, among those that are.
    Unknown(String, &'static [&'static str]),
    /// A member that must be there.
    Missing(&'static str),
    /// A member of another type.
    Type(&'static str, &'static str),
}

impl Misread {
    fn problem(self, kind: Kind) -> Box<Problem> {
        let (why, near) = match self {
            Self::Form(why) => (why.to_owned(), None),
            Self::Unknown(member, known) => {
                let near = suggest::closest(&member, known.iter().copied());
                let near = near.map(|near| format!("did you mean `{near}`?"));
                (format!("there is no `{}` in it", words(&member)), near)
            }
            Self::Missing(member) => (format!("its `{member}` is missing"), None),
            Self::Type(member, wanted) => (format!("its `{member}` is not {wanted}"), None),
        };
        let message = format!("`--input` does not fit a {kind}: {why}");
        let mut problem = Problem::error(codes::BAD_ARGUMENT, message);
        problem.help.extend(near);
        Box::new(problem.help(format!("a {kind} is called with {}", form(kind))))
    }
}

/// The members of a value that has no others than these.
fn members(value: Value, known: &'static [&'static str]) -> Result<Map<String, Value>, Misread> {
    let Value::Object(members) = value else {
        return Err(Misread::Form("it is not an object"));
    };
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(Misread::Unknown(unknown.clone(), known)),
        None => Ok(members),
    }
}

/// A member, if it is there.
fn member<'a, T>(
    members: &'a Map<String, Value>,
    name: &'static str,
    wanted: &'static str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Misread> {
    let value = members.get(name);
    value
        .map(|value| read(value).ok_or(Misread::Type(name, wanted)))
        .transpose()
}

fn text(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Misread> {
    member(members, name, "a text", |value| {
        value.as_str().map(str::to_owned)
    })
}

fn number(members: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, Misread> {
    member(members, name, "a whole number", Value::as_u64)
}

/// What a reader is asked for. The members of a range and of a query are the plugin's to know, as a later host may have more.
fn read_request(value: Value) -> Result<Input, Misread> {
    // A range may stand by itself: its members are not those of the whole.
    let is_range = value.get("build").is_some() || value.get("attempt").is_some();
    if is_range && let Value::Object(said) = value {
        return Ok(Input::Range(range(said)));
    }
    let mut said = members(value, &["read", "search"])?;
    let is_object = |name, value: Value| match value {
        Value::Object(members) => Ok(members),
        _ => Err(Misread::Type(name, "an object")),
    };
    match (said.remove("search"), said.remove("read")) {
        (Some(_), Some(_)) => Err(Misread::Form("it has both `read` and `search`")),
        (Some(query), None) => {
            let query = is_object("search", query)?;
            Ok(Input::Query(Value::Object(query).to_string()))
        }
        (None, said) => Ok(Input::Range(range(match said {
            Some(said) => is_object("read", said)?,
            None => Map::new(),
        }))),
    }
}

/// A range as every host gives it: it says of which attempt at which build.
fn range(mut said: Map<String, Value>) -> String {
    said.entry("build").or_insert_with(|| json!("example"));
    said.entry("attempt").or_insert_with(|| json!(1));
    Value::Object(said).to_string()
}

/// An event about a build that there never was.
pub(super) fn event(kind: &str, seq: u64) -> Event {
    let body = json!({
        "v": 1, "type": kind, "build": "example", "attempt": 1, "project": "example", "target": "build", "environment": "local",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "started_at": "1970-01-01T00:00:00.000000Z",
        "end": {
            "outcome": "failed", "reason": "test failed", "at": "1970-01-01T00:00:01.000000Z", "duration_us": 1_000_000,
            "counts": { "succeeded": 1, "failed": 1, "allowed": 0, "errored": 0, "skipped": 0, "cancelled": 0, "flaky": 0 },
        },
        "previous": { "build": "before", "outcome": "succeeded", "started_at": "1970-01-01T00:00:00.000000Z" },
        "steps": [{ "step": "test", "outcome": "failed", "exit": { "status": 1 }, "tries": 1, "duration_us": 1_000_000 }],
        "failure": { "step": "test", "log_tail": "1 of 2 tests failed" },
    });
    Event {
        kind: kind.to_owned(),
        id: format!("example-{seq}"),
        subject: "example".to_owned(),
        seq,
        at: 0,
        body: body.to_string(),
    }
}

fn read_event(seq: u64, value: Value) -> Result<Event, Misread> {
    let said = members(value, &["kind", "id", "subject", "seq", "at", "body"])?;
    let kind = text(&said, "kind")?.ok_or(Misread::Missing("kind"))?;
    let example = event(&kind, number(&said, "seq")?.unwrap_or(seq));
    Ok(Event {
        id: text(&said, "id")?.unwrap_or(example.id),
        subject: text(&said, "subject")?.unwrap_or(example.subject),
        at: number(&said, "at")?.unwrap_or_default(),
        body: said.get("body").map_or(example.body, Value::to_string),
        ..example
    })
}

fn read_delivery(value: Value) -> Result<Delivery, Misread> {
    let said = members(value, &["method", "target", "headers", "body"])?;
    let headers = member(&said, "headers", "an object of texts", |headers| {
        let headers = headers.as_object()?.iter();
        let header = |(name, value): (&String, &Value)| {
            Some((name.to_lowercase(), value.as_str()?.to_owned()))
        };
        headers.map(header).collect::<Option<_>>()
    })?;
    let body = match said.get("body") {
        None => Vec::new(),
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(json) => json.to_string().into_bytes(),
    };
    Ok(Delivery {
        method: text(&said, "method")?.unwrap_or_else(|| "POST".to_owned()),
        target: text(&said, "target")?.unwrap_or_else(|| "/".to_owned()),
        headers: headers.unwrap_or_default(),
        body,
    })
}

/// Lines as a batch of one step.
pub(super) fn batch(lines: &[String]) -> Batch {
    let mut batch = Batch {
        build: "example".to_owned(),
        attempt: 1,
        facts: "{}".to_owned(),
        steps: vec![StepRef {
            path: "example".to_owned(),
            r#try: 1,
            more: "{}".to_owned(),
        }],
        ..Batch::default()
    };
    for line in lines {
        batch.text.extend_from_slice(line.as_bytes());
        batch
            .ends
            .push(u32::try_from(batch.text.len()).unwrap_or(u32::MAX));
    }
    batch.times = vec![0; lines.len()];
    batch.step_of = vec![0; lines.len()];
    batch.marks = vec![0; lines.len()];
    batch.last = true;
    batch
}

/// Calls a plugin once, and returns its answer.
///
/// # Errors
///
/// When the plugin fails or crashes.
pub(super) async fn ask(
    plugin: &Plugin,
    kind: Kind,
    invocation: &Invocation,
    call: Call,
    input: Input,
) -> Result<Value, CallError> {
    match (kind, input) {
        (Kind::StepPlanner, _) => {
            let plan = plugin.plan(invocation, call).await?;
            Ok(as_json(&plan))
        }
        (Kind::StepRunner, _) => run(plugin, invocation, call).await,
        (Kind::ConfigCheck, _) => {
            let problems = plugin.check_config(invocation, call).await?;
            let problem = |problem: &piper_plugin_host::kind::ConfigProblem| json!({ "path": problem.path, "message": problem.message, "help": problem.help });
            Ok(json!({ "problems": problems.iter().map(problem).collect::<Vec<_>>() }))
        }
        (_, Input::Events(events)) => {
            let undelivered = plugin.notify(invocation, call, events).await?;
            let one = |one: &piper_plugin_host::kind::Undelivered| json!({ "index": one.index, "why": failure(&one.why) });
            Ok(json!({ "undelivered": undelivered.iter().map(one).collect::<Vec<_>>() }))
        }
        (_, Input::Cursor(cursor)) => {
            let polled = plugin.poll(invocation, call, cursor).await?;
            Ok(json!({
                "asks": asks(&polled.asks),
                "cursor": polled.cursor,
                "next_poll_at": polled.next_poll_at,
                "more": polled.more,
            }))
        }
        (_, Input::Delivery(delivery)) => {
            let received = plugin.receive(invocation, call, delivery).await?;
            Ok(json!({
                "status": received.status,
                "headers": received.headers.into_iter().collect::<BTreeMap<_, _>>(),
                "body": String::from_utf8_lossy(&received.body),
                "asks": asks(&received.asks),
            }))
        }
        (_, Input::Lines(lines)) => ship(plugin, invocation, call, vec![batch(&lines)]).await,
        (_, Input::Query(query)) => {
            let found = plugin
                .search_logs(invocation, call, query, None, 100)
                .await?;
            let hits = found.hits.iter().map(|hit| {
                json!({ "build": hit.build, "attempt": hit.attempt, "seq": hit.seq, "step": hit.step, "line": String::from_utf8_lossy(&hit.line) })
            });
            Ok(
                json!({ "hits": hits.collect::<Vec<_>>(), "next": found.next, "total": found.total }),
            )
        }
        (_, Input::Range(range)) => {
            let max = (1_000, 1 << 20);
            let page = plugin.read_logs(invocation, call, range, None, max).await?;
            Ok(json!({ "lines": lines(&page), "next": page.next, "complete": page.complete }))
        }
        // Only kinds that take nothing more are called with nothing more.
        (kind, Input::None) => {
            Box::pin(ask(plugin, kind, invocation, call, Input::example(kind))).await
        }
    }
}

async fn run(plugin: &Plugin, invocation: &Invocation, call: Call) -> Result<Value, CallError> {
    let step = Arc::new(Step::default());
    let invocation = Invocation {
        services: Services {
            step: Some(step.clone()),
            ..invocation.services.clone()
        },
        ..invocation.clone()
    };
    let verdict = plugin.run(&invocation, call).await?;
    let status = match verdict.status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    };
    let said = step.said();
    Ok(json!({
        "status": status,
        "message": verdict.message,
        "outputs": said.outputs,
        "reports": said.reports,
        "stdout": String::from_utf8_lossy(&said.streams[0]),
        "stderr": String::from_utf8_lossy(&said.streams[1]),
    }))
}

/// Opens a sink, hands it the batches, and closes it.
///
/// # Errors
///
/// When the plugin fails or crashes at any of the three.
pub(super) async fn ship(
    plugin: &Plugin,
    invocation: &Invocation,
    call: Call,
    batches: Vec<Batch>,
) -> Result<Value, CallError> {
    let mut sink = plugin.open_sink(invocation.clone(), call).await?;
    let receipt = sink.write(batches).await?;
    sink.close().await?;
    let entry = |entry: &EntryRef| json!({ "batch": entry.batch, "index": entry.index });
    let rejected = receipt.rejected.iter().map(|rejection| {
        json!({ "entry": entry(&rejection.entry), "code": rejection.code, "message": rejection.message })
    });
    Ok(json!({
        "again": receipt.again.iter().map(entry).collect::<Vec<_>>(),
        "rejected": rejected.collect::<Vec<_>>(),
        "wait_ms": receipt.wait_ms,
    }))
}

fn asks(asks: &[Ask]) -> Vec<Value> {
    let ask = |ask: &Ask| json!({ "kind": ask.kind, "dedup_key": ask.dedup_key, "body": as_json(&ask.body) });
    asks.iter().map(ask).collect()
}

fn lines(page: &Page) -> Vec<String> {
    let lines_of = |batch: &Batch| -> Vec<String> {
        let begins = std::iter::once(0).chain(batch.ends.iter().map(|end| *end as usize));
        begins
            .zip(&batch.ends)
            .map(|(begin, end)| {
                String::from_utf8_lossy(&batch.text[begin..*end as usize]).into_owned()
            })
            .collect()
    };
    page.batches.iter().flat_map(lines_of).collect()
}

/// The plugin's JSON, or its text if it is none.
pub(super) fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// A failure for programs.
pub(super) fn failure(failure: &Failure) -> Value {
    json!({
        "kind": kind_word(failure.kind),
        "code": failure.code,
        "message": failure.message,
        "retry_after_ms": failure.retry_after.map(|after| after.as_millis() as u64),
        "details": failure.details.as_deref().map(as_json),
    })
}

/// A crash for programs.
pub(super) fn crash(crash: &Crash) -> Value {
    json!({
        "kind": kind_word(crash.kind()),
        "code": crash.code,
        "call": crash.call,
        "message": crash.message,
        "frames": crash.frames,
        "log": crash.log,
    })
}

fn kind_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Transient => "transient",
        FailureKind::Permanent => "permanent",
        FailureKind::Denied => "denied",
        FailureKind::Invalid => "invalid",
        FailureKind::Cancelled => "cancelled",
    }
}

/// Why a call brought nothing, for people, with the plugin's name and the call's.
pub(super) fn story(title: &str, kind: Kind, error: &CallError) -> String {
    match error {
        CallError::Failed(failure) => {
            let advice = match failure.kind {
                FailureKind::Transient => "; another attempt may work",
                FailureKind::Invalid => "; the configuration or the input is wrong",
                FailureKind::Permanent | FailureKind::Denied | FailureKind::Cancelled => "",
            };
            format!("plugin `{title}`, as {kind}, failed: {failure}{advice}")
        }
        CallError::Crashed(crash) => {
            let mut text = format!(
                "plugin `{title}`: its `{}` ended: {} ({})",
                crash.call, crash.message, crash.code
            );
            if !crash.frames.is_empty() {
                text.push_str(&format!("\n  in {}", crash.frames.join("\n     ")));
            }
            if !crash.log.is_empty() {
                text.push_str(&format!(
                    "\n  it last said:\n    {}",
                    crash.log.join("\n    ")
                ));
            }
            text
        }
    }
}

/// What a step says while it runs by hand.
#[derive(Default)]
struct Step(Mutex<Said>);

#[derive(Debug, Default, Clone)]
struct Said {
    outputs: BTreeMap<String, String>,
    reports: BTreeMap<String, Vec<Value>>,
    streams: [Vec<u8>; 2],
}

/// How much of what a step prints is kept.
const PRINTED: usize = 16 << 20;

impl Step {
    fn with<T>(&self, change: impl FnOnce(&mut Said) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn said(&self) -> Said {
        self.with(|said| said.clone())
    }
}

impl StepContext for Step {
    fn print(&self, is_stderr: bool, bytes: Vec<u8>) {
        self.with(|said| {
            let stream = &mut said.streams[usize::from(is_stderr)];
            let room = PRINTED.saturating_sub(stream.len());
            stream.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
    }

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        self.with(|said| said.outputs.insert(name, value));
        Ok(())
    }

    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        let items = items.iter().map(|item| as_json(item));
        self.with(|said| said.reports.entry(kind).or_default().extend(items));
        Ok(())
    }
}

/// An object of the command line, or an empty one.
pub(super) fn object(value: Option<&Value>) -> String {
    value.map_or_else(|| Value::Object(Map::new()).to_string(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::wire::v1::Snapshot;
    use test_case::test_case;

    #[test]
    fn the_example_of_an_event_is_one_that_builds_send() {
        let body: Value = serde_json::from_str(&event("build.finished", 1).body).unwrap();
        let snapshot: Snapshot = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(snapshot).unwrap(), body);
    }

    #[test_case(Kind::Notifier, json!({ "knid": "build.finished" }), "there is no `knid` in it", "did you mean `kind`?"; "a slip")]
    #[test_case(Kind::Notifier, json!([{ "body": {} }]), "its `kind` is missing", r#"events: {"kind": "build.finished""#; "a member that is missing")]
    #[test_case(Kind::Notifier, json!({ "kind": "a", "seq": "1" }), "its `seq` is not a whole number", "events: "; "another type")]
    #[test_case(Kind::TriggerWebhook, json!({ "header": {} }), "there is no `header` in it", "did you mean `headers`?"; "a slip in a request")]
    #[test_case(Kind::TriggerWebhook, json!({ "headers": { "a": 1 } }), "its `headers` is not an object of texts", "a request: "; "a header that is no text")]
    #[test_case(Kind::LogReader, json!({ "serach": {} }), "there is no `serach` in it", "did you mean `search`?"; "a slip in what is read")]
    #[test_case(Kind::LogReader, json!({ "read": [] }), "its `read` is not an object", "a range or a query: "; "a range that is none")]
    #[test_case(Kind::LogSink, json!([1]), "it is not a list of texts", r#"["one", "two"]"#; "lines that are none")]
    #[test_case(Kind::TriggerPoll, json!(1), "it is neither a text nor null", "a cursor: "; "a cursor that is none")]
    #[test_case(Kind::StepRunner, json!({}), "it takes none", "leave `--input` away"; "what takes none")]
    fn an_input_that_does_not_fit_says_what_would(kind: Kind, said: Value, why: &str, help: &str) {
        let problem = Input::read(kind, said).unwrap_err();
        assert_eq!(
            problem.message,
            format!("`--input` does not fit a {kind}: {why}")
        );
        assert!(problem.help.join("\n").contains(help), "{problem:?}");
    }

    #[test_case(json!({}), json!({ "build": "example", "attempt": 1 }); "nothing")]
    #[test_case(json!({ "read": { "build": "b" } }), json!({ "build": "b", "attempt": 1 }); "a part")]
    #[test_case(json!({ "build": "b", "attempt": 2, "last": 3 }), json!({ "build": "b", "attempt": 2, "last": 3 }); "without the word")]
    fn a_reader_is_always_told_of_which_attempt(said: Value, expected: Value) {
        let Ok(Input::Range(range)) = Input::read(Kind::LogReader, said) else {
            panic!("it is no range")
        };
        assert_eq!(serde_json::from_str::<Value>(&range).unwrap(), expected);
    }
}
