//! Calls that end before their answer: by themselves, by their time, or because nobody wants them any more.
//!
//! What attacks is in [`hostile`](super::hostile).

use super::guests::{batch, call, crash, invocation, logged, plugin, tight};
use crate::policy::limit::Limit;
use crate::{
    CallError, Cancel, FailureKind, Invocation, Limits,
    log::{Level, Line, Receiver},
};
use std::{sync::Arc, time::Duration};
use test_case::test_case;
use tokio::time::Instant;

#[test_case("panic", "plugin.trap", FailureKind::Permanent)]
#[test_case("exit", "plugin.exit", FailureKind::Permanent)]
#[tokio::test]
async fn a_guest_that_ends_itself_costs_its_call(name: &str, code: &str, kind: FailureKind) {
    let crash = crash(&plugin(), &tight(), name).await;
    assert_eq!((crash.code, crash.kind()), (code, kind), "{crash}");
    assert_eq!(crash.call, "run");
    let next = plugin().run(&tight(), call("echo")).await;
    assert!(next.is_ok(), "the next call works: {next:?}");
}

#[tokio::test]
async fn a_panic_is_told_with_its_text_and_its_function() {
    let crash = crash(&plugin(), &tight(), "panic").await;
    assert!(
        crash.log.iter().any(|line| line == "before the panic"),
        "{crash}"
    );
    assert!(
        crash
            .log
            .iter()
            .any(|line| line.contains("panics on purpose")),
        "{crash}"
    );
    assert!(
        crash.frames.iter().any(|frame| frame.contains("misbehave")),
        "{crash}"
    );
}

#[tokio::test]
async fn time_runs_out_even_if_the_guest_only_waits() {
    let short = Invocation {
        limits: Limits {
            wall: Duration::from_millis(300),
            ..Limits::default()
        },
        ..invocation()
    };
    let began = Instant::now();
    let crash = crash(&plugin(), &short, "wait").await;
    assert_eq!(
        (crash.code, crash.kind()),
        ("limit.time", FailureKind::Transient)
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_guest_that_waits_for_the_host_is_told_before_its_time_is_over() {
    let short = Invocation {
        limits: Limits {
            wall: Duration::from_secs(2),
            ..Limits::default()
        },
        ..invocation()
    };
    let error = plugin().run(&short, call("sleep")).await.unwrap_err();
    let CallError::Failed(failure) = error else {
        panic!("it had the grace period to say so: {error}");
    };
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert_eq!(failure.message, "limit.time cancelled=true more=false");
}

/// Cancels the call as soon as the plugin says anything.
struct Impatient(Cancel);

impl Receiver for Impatient {
    fn is_enabled(&self, _: Level) -> bool {
        true
    }

    fn line(&self, _: Line) {
        self.0.cancel();
    }
}

fn impatient() -> Invocation {
    let cancel = Cancel::new();
    Invocation {
        cancel: cancel.clone(),
        log: Arc::new(Impatient(cancel)),
        limits: Limits {
            grace: Duration::from_secs(1),
            ..Limits::default()
        },
        ..invocation()
    }
}

#[tokio::test]
async fn a_cancelled_call_may_clean_up_and_say_so() {
    let error = plugin().run(&impatient(), call("sleep")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin failed: call.cancelled cancelled=true more=false (call.cancelled)"
    );
}

#[tokio::test]
async fn a_cancelled_call_that_does_not_listen_is_dropped() {
    let crash = crash(&plugin(), &impatient(), "wait").await;
    assert_eq!(
        (crash.code, crash.kind()),
        ("call.cancelled", FailureKind::Cancelled)
    );
}

#[tokio::test]
async fn what_was_cancelled_before_it_began_does_not_begin() {
    let cancelled = invocation();
    cancelled.cancel.cancel();
    let crash = crash(&plugin(), &cancelled, "echo").await;
    assert_eq!(crash.code, "call.cancelled");
}

#[tokio::test]
async fn waiting_costs_no_time_on_the_processor() {
    let tight = Invocation {
        limits: Limits {
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(2),
            grace: Duration::from_millis(500),
            ..Limits::default()
        },
        ..invocation()
    };
    let error = plugin().run(&tight, call("sleep")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Cancelled, "{error}");
}

#[tokio::test]
async fn a_sink_gets_its_time_anew_with_each_write() {
    let mut sink = plugin().open_sink(tight(), call("")).await.unwrap();
    for _ in 0..20 {
        sink.write(vec![batch(10_000)]).await.unwrap();
    }
    let mut sink = plugin()
        .open_sink(tight(), call("spin-on-2"))
        .await
        .unwrap();
    sink.write(vec![batch(1)]).await.unwrap();
    let error = sink.write(vec![batch(1)]).await.unwrap_err();
    assert_eq!(error.code(), "limit.cpu");
}

#[tokio::test]
async fn a_flood_of_lines_is_counted_and_dropped() {
    let (kept, invocation) = logged();
    plugin().run(&invocation, call("flood")).await.unwrap();
    let messages = kept.messages();
    let lines = messages.len();
    assert!((1_000..2_000).contains(&lines), "{lines} lines arrived");
    let last = messages.last().unwrap();
    let told = "lines of this plugin were dropped (log-rate: 200 a second); `limits.log-rate = 400` in its table of plugins.toml allows more";
    assert!(last.ends_with(told), "{last}");
}

#[tokio::test]
async fn what_a_guest_says_cannot_touch_a_terminal() {
    let (kept, invocation) = logged();
    let error = plugin().run(&invocation, call("escape")).await.unwrap_err();
    assert_eq!(error.to_string(), "the plugin failed: [31mred (code)");
    let lines = kept.0.lock().unwrap();
    assert_eq!(lines[0].message, "[2Jab c");
    assert_eq!(lines[0].fields, [("k".into(), "v".into())]);
}

#[tokio::test]
async fn a_planner_that_computes_for_ever_has_a_second() {
    let invocation = Invocation {
        limits: Limits::of_planner(),
        ..invocation()
    };
    let error = plugin().plan(&invocation, call("spin")).await.unwrap_err();
    assert_eq!(error.code(), "limit.cpu");
}

#[tokio::test]
async fn a_memory_that_begins_above_its_limit_is_refused_before_anything_runs() {
    let limits = Limits {
        memory: 64 << 10,
        ..Limits::default()
    };
    let small = Invocation {
        limits: limits.clone(),
        ..invocation()
    };
    let crash = crash(&plugin(), &small, "echo").await;
    assert_eq!((crash.code, crash.call), ("limit.memory", "run"));
    let said = "its memory begins with ";
    assert!(crash.message.starts_with(said), "{crash}");
    assert!(
        crash.message.ends_with(", and it may have 64 KiB"),
        "{crash}"
    );
    let limit = crash.limit.expect("it is a limit");
    assert_eq!((limit.limit, limit.value), (Limit::Memory, 64 << 10));
    let enough = limit.wanted().unwrap().div_ceil(1 << 20);
    let line = format!("limits.memory = \"{enough}MiB\"");
    assert_eq!(limit.line(), Some(line));
    assert_eq!(
        plugin().fits(&limits, "run").unwrap_err().message,
        crash.message
    );
    assert!(plugin().fits(&Limits::default(), "run").is_ok());
}

#[test_case("spin", Limit::Cpu, "cpu: 100 ms")]
#[test_case("allocate", Limit::Memory, "memory: 16 MiB")]
#[test_case("hoard", Limit::Handles, "handles: 1000")]
#[tokio::test]
async fn a_crash_names_its_limit_and_its_number(name: &str, limit: Limit, shown: &str) {
    let crash = crash(&plugin(), &tight(), name).await;
    let reached = crash.limit.unwrap();
    assert_eq!(
        (reached.limit, reached.to_string().as_str()),
        (limit, shown)
    );
    assert_eq!(limit.row().code, Some(crash.code));
}
