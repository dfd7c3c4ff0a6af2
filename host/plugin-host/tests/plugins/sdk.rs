//! What the SDK makes of each kind, called by this host: what went in comes out again on the other side.

use crate::built;
use piper_plugin_host::{
    FailureKind, Invocation, Plugin,
    kind::{Batch, Call, Delivery, EntryRef, Event, Kind, Status, StepRef},
    log::{Level, Line, Receiver},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

fn plugin() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/tests/all-kinds");
    PLUGIN
        .get_or_init(|| built::loaded(&built::rust("piper-plugin-all-kinds", &folder)))
        .clone()
}

fn call(name: &str) -> Call {
    Call {
        name: name.into(),
        config: r#"{"place": "here"}"#.into(),
        options: r#"{"text": "said"}"#.into(),
        facts: r#"{"step": {"path": "a/b"}, "try": 3, "rule": {"name": "r"}, "verified": true, "unknown": []}"#.into(),
    }
}

/// Keeps the plugin's log.
#[derive(Default)]
struct Kept(Mutex<Vec<Line>>);

impl Receiver for Kept {
    fn is_enabled(&self, level: Level) -> bool {
        level >= Level::Info
    }

    fn line(&self, line: Line) {
        self.0.lock().unwrap().push(line);
    }
}

impl Kept {
    fn messages(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.message.clone())
            .collect()
    }
}

fn logged() -> (Arc<Kept>, Invocation) {
    let kept = Arc::new(Kept::default());
    (
        kept.clone(),
        Invocation {
            log: kept,
            ..Invocation::default()
        },
    )
}

#[test]
fn a_component_says_what_it_is() {
    let plugin = plugin();
    assert_eq!(plugin.kinds(), Kind::ALL);
    assert_eq!(plugin.unknown_exports(), &[] as &[String]);
    assert!(
        plugin
            .manifest()
            .is_some_and(|manifest| manifest.contains("all-kinds"))
    );
    let schema: Value =
        serde_json::from_str(plugin.config_schema().expect("it is embedded")).unwrap();
    assert_eq!(
        schema["properties"]["place"],
        json!({"type": "string", "default": "nowhere"})
    );
}

#[tokio::test]
async fn a_plan_keeps_its_order() {
    let plan = plugin()
        .plan(&Invocation::default(), call(""))
        .await
        .unwrap();
    assert_eq!(
        plan,
        r#"{"steps":{"z":{"run":"said"},"a":{"argv":["here"]}}}"#
    );
}

#[tokio::test]
async fn a_step_is_found_by_its_name() {
    let (invocation, plugin) = (Invocation::default(), plugin());
    let verdict = plugin.run(&invocation, call("say")).await.unwrap();
    assert_eq!(
        (verdict.status, verdict.message.as_str()),
        (Status::Skipped, "said here a/b 3")
    );
    let unknown = plugin.run(&invocation, call("sing")).await.unwrap_err();
    assert_eq!(
        (unknown.kind(), unknown.code()),
        (FailureKind::Permanent, "name.unknown")
    );
    let wrong = Call {
        options: r#"{"txt": 1}"#.into(),
        ..call("say")
    };
    let wrong = plugin.run(&invocation, wrong).await.unwrap_err();
    assert_eq!(
        (wrong.kind(), wrong.code()),
        (FailureKind::Invalid, "settings")
    );
}

#[tokio::test]
async fn every_import_is_there_and_refused_without_a_grant() {
    let call = Call {
        options: "{}".into(),
        ..call("effects")
    };
    let verdict = plugin().run(&Invocation::default(), call).await.unwrap();
    assert_eq!(
        verdict.message,
        "policy.http-host policy.http-host policy.fs policy.fs policy.fs policy.fs policy.fs policy.secret policy.secret \
         policy.secret policy.secret policy.state policy.state policy.exec ok host.no-step policy.vcs policy.builds"
    );
}

#[tokio::test]
async fn a_panic_says_where_on_one_line() {
    let (kept, invocation) = logged();
    let call = Call {
        options: "{}".into(),
        ..call("crash")
    };
    let crash = plugin().run(&invocation, call).await.unwrap_err();
    assert_eq!(crash.code(), "plugin.trap");
    let [said] = &kept.messages()[..] else {
        panic!("{:?}", kept.messages())
    };
    assert!(
        said.starts_with("the plugin panicked at plugin-sdk/tests/all-kinds/src/lib.rs:"),
        "{said}"
    );
    assert!(said.ends_with(": on purpose"), "{said}");
}

#[tokio::test]
async fn events_and_failures_cross_with_all_that_they_have() {
    let (kept, invocation) = logged();
    let event = |seq: u64| Event {
        kind: "build.finished".into(),
        id: seq.to_string(),
        subject: "b".into(),
        seq,
        at: 1_000_001,
        body: r#"{"build": "b", "project": "p", "target": "t", "end": {"outcome": "failed"}}"#
            .into(),
    };
    let left = plugin()
        .notify(&invocation, call(""), vec![event(1), event(2), event(3)])
        .await
        .unwrap();
    assert_eq!(left.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
    let why = &left[0].why;
    assert_eq!(
        (why.kind, why.code.as_str(), why.message.as_str()),
        (FailureKind::Transient, "chat.busy", "said")
    );
    assert_eq!(why.retry_after, Some(Duration::from_secs(7)));
    let details: Value =
        serde_json::from_str(why.details.as_deref().expect("it has some")).unwrap();
    assert_eq!(details, json!({"path": "/options/text", "help": "wait"}));
    assert_eq!(
        kept.messages()[0],
        "p t: failed 1970-01-01T00:00:01.000001Z r"
    );
    assert_eq!(
        kept.0.lock().unwrap()[0].fields,
        [("seq".into(), "1".into())]
    );
}

#[tokio::test]
async fn triggers_ask_and_remember() {
    let (invocation, plugin) = (Invocation::default(), plugin());
    let polled = plugin
        .poll(&invocation, call(""), Some("4".into()))
        .await
        .unwrap();
    assert_eq!(
        (polled.cursor.as_deref(), polled.next_poll_at),
        (Some("5"), Some(7))
    );
    assert_eq!(
        (
            polled.asks[0].kind.as_str(),
            polled.asks[0].dedup_key.as_str()
        ),
        ("build", "4")
    );
    let body: Value = serde_json::from_str(&polled.asks[0].body).unwrap();
    assert_eq!(
        body,
        json!({"pipeline": "said", "source": {"url": "here", "ref": "main", "revision": "c0ffee"}})
    );
    let delivery = Delivery {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![],
        body: b"[1]".to_vec(),
    };
    let received = plugin
        .receive(&invocation, call(""), delivery)
        .await
        .unwrap();
    assert_eq!(
        (received.status, received.body),
        (200, b"POST true [1]".to_vec())
    );
}

fn batch(lines: &[&str]) -> Batch {
    let mut batch = Batch {
        build: "b".into(),
        attempt: 1,
        facts: "{}".into(),
        times: vec![1; lines.len()],
        step_of: vec![0; lines.len()],
        marks: vec![0; lines.len()],
        steps: vec![StepRef {
            path: "a".into(),
            r#try: 1,
            more: "{}".into(),
        }],
        ..Batch::default()
    };
    for line in lines {
        batch.text.extend(line.bytes());
        batch.ends.push(batch.text.len() as u32);
    }
    batch
}

#[tokio::test]
async fn a_sink_lives_from_open_to_close() {
    let (kept, invocation) = logged();
    let mut sink = plugin().open_sink(invocation, call("")).await.unwrap();
    let receipt = sink
        .write(vec![batch(&["one"]), batch(&["", "again"])])
        .await
        .unwrap();
    assert_eq!(receipt.again, [EntryRef { batch: 1, index: 1 }]);
    sink.write(vec![batch(&["four"])]).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(kept.messages(), ["4 lines to here"]);
}

#[tokio::test]
async fn logs_are_read_back_in_batches() {
    let (invocation, plugin) = (Invocation::default(), plugin());
    let range = r#"{"build": "b", "attempt": 2}"#.to_owned();
    let page = plugin
        .read_logs(&invocation, call(""), range, Some("c".into()), (10, 1000))
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("c"));
    let firsts: Vec<_> = page
        .batches
        .iter()
        .map(|batch| (batch.first_seq, batch.ends.len()))
        .collect();
    assert_eq!(firsts, [(3, 2), (9, 1)], "a gap begins a new batch");
    assert_eq!(page.batches[0].text, b"threefour");
    let query = r#"{"all":[]}"#.to_owned();
    let found = plugin
        .search_logs(&invocation, call(""), query, None, 5)
        .await
        .unwrap();
    assert_eq!(
        (found.total, found.hits[0].line.as_slice()),
        (Some(5), &br#"{"all":[]}"#[..])
    );
}

#[tokio::test]
async fn a_configuration_is_checked() {
    let problems = plugin()
        .check_config(&Invocation::default(), call(""))
        .await
        .unwrap();
    assert_eq!(problems[0].message, r#"here {"text":"said"}"#);
    assert_eq!(problems[0].help.as_deref(), Some("go there"));
}
