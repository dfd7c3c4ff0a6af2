//! Each kind, called as it should be.

use super::guests::{batch, call, invocation, logged, plugin};
use crate::{
    Failure, FailureKind, Invocation, Limits,
    effect::{
        Surroundings,
        tests::{Names, bind, effective, effects},
    },
    kind::{Ask, Call, Delivery, EntryRef, Event, Status},
    service::{
        Answer, Gate, Http, HttpBody, HttpRequest, HttpResponse, Patience, Services, StepContext,
        StreamBody,
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use test_case::test_case;

#[tokio::test]
async fn a_planner_answers_with_steps() {
    let plan = plugin().plan(&invocation(), call("lint")).await.unwrap();
    assert_eq!(plan, r#"{"steps": {"lint": {"run": "true"}}}"#);
}

#[tokio::test]
async fn a_planner_sees_neither_time_nor_chance() {
    let first = plugin().plan(&invocation(), call("world")).await.unwrap();
    let second = plugin().plan(&invocation(), call("world")).await.unwrap();
    assert_eq!(first, second);
    assert!(first.starts_with("Ok(0) 0ns "), "{first}");
    let other = Call {
        options: r#"{"a":1}"#.into(),
        ..call("world")
    };
    let third = plugin().plan(&invocation(), other).await.unwrap();
    assert_ne!(first, third, "other arguments, other chance");
}

#[tokio::test]
async fn a_plan_has_at_most_a_mebibyte() {
    let answer = |bytes: usize| Call {
        options: "x".repeat(bytes),
        ..call("everything")
    };
    let largest = plugin().plan(&invocation(), answer(1 << 20)).await;
    assert_eq!(largest.unwrap().len(), 1 << 20);
    let larger = plugin().plan(&invocation(), answer((1 << 20) + 1)).await;
    let larger = larger.map(|plan| plan.len()).unwrap_err();
    assert_eq!(larger.code(), "plugin.broken");
    assert!(
        larger.to_string().contains(
            "its plan has 1048577 bytes, and 1048576 (1 MiB) are the most: plan fewer or shorter steps"
        ),
        "{larger}"
    );
}

#[tokio::test]
async fn a_runner_gets_its_arguments() {
    let call = Call {
        name: "echo".into(),
        config: r#"{"a":1}"#.into(),
        options: r#"{"b":2}"#.into(),
        facts: r#"{"c":3}"#.into(),
    };
    let verdict = plugin().run(&invocation(), call).await.unwrap();
    assert_eq!(verdict.message, r#"{"a":1} {"b":2} {"c":3}"#);
}

#[test_case("passed", Status::Passed)]
#[test_case("failed", Status::Failed)]
#[test_case("skipped", Status::Skipped)]
#[test_case("perhaps", Status::Failed; "an unknown one")]
#[tokio::test]
async fn a_verdict_is_one_of_three(said: &str, expected: Status) {
    let call = call(&format!("status {said}"));
    let verdict = plugin().run(&invocation(), call).await.unwrap();
    assert_eq!(verdict.status, expected);
}

#[tokio::test]
async fn nothing_is_granted_unless_it_is() {
    let verdict = plugin().run(&invocation(), call("everything")).await;
    assert_eq!(
        verdict.unwrap().message,
        "http=policy.http-host files=policy.fs secrets=policy.secret hmac=secret.no-message state=policy.state \
         exec=policy.exec output=host.no-step mail=policy.mail builds=policy.builds vcs=policy.vcs \
         fs=Err(NotFound) net=Err(PermissionDenied) name=Err(\"refused\") env=0 args=0 stdin=0"
    );
}

#[tokio::test]
async fn a_notifier_says_what_it_could_not_deliver() {
    let event = Event {
        kind: "build.finished".into(),
        id: "1".into(),
        subject: "b".into(),
        seq: 1,
        at: 2,
        body: "{}".into(),
    };
    let (kept, invocation) = logged();
    let events = vec![event.clone(), event];
    let none = plugin().notify(&invocation, call(""), events.clone()).await;
    assert_eq!(none.unwrap(), []);
    assert_eq!(kept.messages(), ["build.finished", "build.finished"]);
    let some = plugin()
        .notify(&invocation, call("some"), events.clone())
        .await;
    let some = some.unwrap();
    assert_eq!((some.len(), some[0].index), (1, 1));
    // An hour is the most that a plugin may ask to be waited for, and details that are no object are none.
    assert_eq!(some[0].why.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(some[0].why.details, None);
    let all = plugin()
        .notify(&invocation, call("all"), events.clone())
        .await;
    let all = all.unwrap_err();
    assert_eq!(
        (all.kind(), all.code()),
        (FailureKind::Transient, "http.503")
    );
    let lie = plugin().notify(&invocation, call("lie"), events).await;
    assert_eq!(lie.unwrap_err().code(), "plugin.broken");
}

#[tokio::test]
async fn a_check_finds_problems() {
    let wrong = Call {
        config: r#"{"url": 1}"#.into(),
        ..call("")
    };
    let problems = plugin().check_config(&invocation(), wrong).await.unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "/config/url");
}

#[tokio::test]
async fn triggers_ask_for_builds() {
    let ask = Ask {
        kind: "build".into(),
        dedup_key: "k".into(),
        body: "{}".into(),
    };
    let polled = plugin()
        .poll(&invocation(), call(""), Some("7".into()))
        .await;
    let polled = polled.unwrap();
    assert_eq!(polled.asks, std::slice::from_ref(&ask));
    assert_eq!(polled.cursor.as_deref(), Some("7+"));
    assert!(polled.more);
    let delivery = Delivery {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("a".into(), "b".into())],
        body: b"\xff\0".to_vec(),
    };
    let received = plugin().receive(&invocation(), call(""), delivery).await;
    let received = received.unwrap();
    assert_eq!((received.status, received.body), (202, b"\xff\0".to_vec()));
    assert_eq!(received.asks, [ask]);
}

#[tokio::test]
async fn a_sink_lives_from_open_to_close() {
    let (kept, invocation) = logged();
    let mut sink = plugin().open_sink(invocation, call("")).await.unwrap();
    for entries in [3, 1000] {
        let receipt = sink.write(vec![batch(entries), batch(1)]).await.unwrap();
        assert_eq!(receipt.wait_ms, Some(entries + 1));
    }
    sink.close().await.unwrap();
    assert_eq!(kept.messages(), ["closed"]);
}

#[tokio::test]
async fn a_sink_outlives_its_failures_but_not_its_crashes() {
    let refused = plugin().open_sink(invocation(), call("refuse")).await;
    assert_eq!(refused.err().unwrap().code(), "sink.config");

    let mut sink = plugin()
        .open_sink(invocation(), call("fail-on-2"))
        .await
        .unwrap();
    sink.write(vec![batch(1)]).await.unwrap();
    let failed = sink.write(vec![batch(1)]).await.unwrap_err();
    assert_eq!(failed.code(), "http.429");
    sink.write(vec![batch(1)]).await.unwrap();

    let mut sink = plugin()
        .open_sink(invocation(), call("trap-on-2"))
        .await
        .unwrap();
    sink.write(vec![batch(1)]).await.unwrap();
    assert_eq!(
        sink.write(vec![batch(1)]).await.unwrap_err().code(),
        "plugin.trap"
    );
    assert!(!sink.is_alive());
    assert_eq!(
        sink.write(vec![batch(1)]).await.unwrap_err().code(),
        "plugin.gone"
    );
}

#[tokio::test]
async fn a_receipt_is_believed_only_if_it_is_about_what_was_written() {
    let mut sink = plugin()
        .open_sink(invocation(), call("again"))
        .await
        .unwrap();
    let receipt = sink.write(vec![batch(2)]).await.unwrap();
    assert_eq!(receipt.again, [EntryRef { batch: 0, index: 1 }]);
    let mut sink = plugin().open_sink(invocation(), call("lie")).await.unwrap();
    assert_eq!(
        sink.write(vec![batch(2)]).await.unwrap_err().code(),
        "plugin.broken"
    );
    assert!(!sink.is_alive());
}

#[tokio::test]
async fn a_reader_gives_back_what_fits_together() {
    let read = |name: &str| {
        let call = call(name);
        async move {
            plugin()
                .read_logs(
                    &invocation(),
                    call,
                    "range".into(),
                    Some("c".into()),
                    (5, 9),
                )
                .await
        }
    };
    let page = read("").await.unwrap();
    assert_eq!(
        (page.batches[0].build.as_str(), page.batches[0].attempt),
        ("range", 5)
    );
    assert_eq!(page.next.as_deref(), Some("c"));
    assert_eq!(read("lie").await.unwrap_err().code(), "plugin.broken");
    let found = plugin()
        .search_logs(&invocation(), call(""), "query".into(), None, 4)
        .await
        .unwrap();
    assert_eq!(
        (found.hits[0].build.as_str(), found.total),
        ("query", Some(4))
    );
}

/// A gate that answers with what it was asked.
struct Mirror;

impl Http for Mirror {
    fn exchange(&self, request: HttpRequest) -> Answer<'static, HttpResponse> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(request.method != "POST" || request.headers == [("a".into(), "b".into())]);
            let body = match request.body {
                HttpBody::Bytes(bytes) => bytes,
                HttpBody::Empty | HttpBody::File { .. } => Vec::new(),
            };
            Ok(HttpResponse {
                status: 207,
                headers: Vec::new(),
                body,
            })
        })
    }

    fn gate(&self) -> Arc<dyn Gate> {
        struct Mirrored;
        impl Gate for Mirrored {
            fn send(
                &self,
                request: http::Request<StreamBody>,
                _: Patience,
            ) -> Answer<'static, http::Response<StreamBody>> {
                Box::pin(async move {
                    if request.uri() != "https://example.com/x" {
                        return Err(Failure::denied("policy.http-host", "another host"));
                    }
                    Ok(http::Response::new(request.into_body()))
                })
            }
        }
        Arc::new(Mirrored)
    }
}

fn with_http() -> Invocation {
    Invocation {
        services: Services {
            http: Some(Arc::new(Mirror)),
            ..Services::default()
        },
        ..invocation()
    }
}

#[tokio::test]
async fn a_request_is_sent_once_and_answered() {
    let verdict = plugin().run(&with_http(), call("request")).await.unwrap();
    assert_eq!(verdict.message, "207 body http.request");
}

#[tokio::test]
async fn the_http_of_wasi_goes_through_the_same_gate() {
    let denied = plugin()
        .run(&invocation(), call("wasi-http"))
        .await
        .unwrap();
    assert_eq!(denied.message, "ErrorCode::HttpRequestDenied");
    let sent = plugin().run(&with_http(), call("wasi-http")).await.unwrap();
    assert_eq!(sent.message, "200");
}

#[tokio::test]
async fn a_mistake_in_a_request_is_answered_when_it_is_sent() {
    let error = plugin()
        .run(&with_http(), call("two-bodies"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (FailureKind::Invalid, "http.request")
    );
}

#[tokio::test]
async fn only_so_many_requests_are_under_way_at_once() {
    let verdict = plugin().run(&with_http(), call("requests")).await.unwrap();
    assert_eq!(verdict.message, "8 quota.http-concurrency 207");
}

#[tokio::test]
async fn a_command_that_is_refused_takes_no_place_of_one_that_is_granted() {
    let asks = "[[permission.exec]]\nargv = [\"sh\", \"-c\"]\nwhy = \"test\"\n";
    let effects = effects(Names::of(&[]), Vec::new());
    let granted = effective(asks, "allow.exec = [[\"sh\", \"-c\"]]\n");
    let services =
        bind(&effects, granted, Limits::default(), &[]).services(Surroundings::default());
    let invocation = Invocation {
        services: services.unwrap(),
        ..invocation()
    };
    let verdict = plugin().run(&invocation, call("refused-commands")).await;
    assert_eq!(verdict.unwrap().message, "{\"policy.exec\"} Some(3)");
}

/// Remembers what a step was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl StepContext for Told {
    fn print(&self, _: bool, _: Vec<u8>) {}

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        self.0.lock().unwrap().push(format!("{name}={value}"));
        Ok(())
    }

    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        self.0
            .lock()
            .unwrap()
            .push(format!("{kind} {}", items.len()));
        Ok(())
    }
}

#[test_case("outputs", "{}", "limit.outputs", 64; "too many outputs")]
#[test_case("output -a", "{}", "step.output-name", 0; "an output that looks like an option")]
#[test_case("output a.b", "{}", "step.output-name", 0; "an output with a dot")]
#[test_case(concat!("output ", "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd", "e"), "{}", "step.output-name", 0; "an output with a long name")]
#[test_case("report ../../etc", "{}", "step.report-kind", 0; "a kind that is a path")]
#[test_case("report annotation", "[1]", "step.report-item", 0; "an item that is no object")]
#[tokio::test]
async fn what_a_step_tells_its_build_is_checked(
    name: &str,
    options: &str,
    code: &str,
    told: usize,
) {
    let step = Arc::new(Told::default());
    let invocation = Invocation {
        services: Services {
            step: Some(step.clone()),
            ..Services::default()
        },
        ..invocation()
    };
    let call = Call {
        options: options.into(),
        ..call(name)
    };
    let error = plugin().run(&invocation, call).await.unwrap_err();
    assert_eq!(error.code(), code);
    assert_eq!(step.0.lock().unwrap().len(), told);
}

#[test_case("1_a-B"; "all that a name may have")]
#[test_case("_aaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"; "as long as a name may be")]
#[tokio::test]
async fn an_output_is_called_as_the_file_of_any_step_may_be(name: &str) {
    let step = Arc::new(Told::default());
    let invocation = Invocation {
        services: Services {
            step: Some(step.clone()),
            ..Services::default()
        },
        ..invocation()
    };
    let call = call(&format!("output {name}"));
    plugin().run(&invocation, call).await.unwrap();
    assert_eq!(step.0.lock().unwrap().len(), 1);
}
