//! Guests that let the host hold things for them: requests, commands and answers, as many and as large as they can be.

use super::next_is_unaffected;
use crate::{
    Failure, Invocation, Limits,
    kind::Call,
    service::{Answer, Gate, Http, HttpRequest, HttpResponse, Patience, Services, StreamBody},
    tests::guests::{call, invocation, plugin},
};
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// What the guest says of its hoard.
async fn said(invocation: &Invocation, name: &str) -> String {
    let call = Call {
        config: "https://example.com".into(),
        ..call(name)
    };
    let verdict = plugin().run(invocation, call).await;
    next_is_unaffected().await;
    verdict.expect("it goes on").message
}

/// Nothing is granted: the grant is asked when something is sent.
#[tokio::test]
pub(super) async fn requests_that_are_never_sent_cost_no_more_than_their_share() {
    let said = said(&invocation(), "draft requests").await;
    assert_eq!(
        said, "limit.held policy.http-host",
        "then all is given back"
    );
}

#[tokio::test]
pub(super) async fn commands_that_are_never_started_cost_no_more_than_their_share() {
    let said = said(&invocation(), "draft commands").await;
    assert_eq!(said, "limit.held policy.exec", "then all is given back");
}

#[tokio::test]
async fn a_command_begins_only_if_its_output_can_be_held() {
    for (held, expected) in [(3 * MIB, "policy.exec"), (MIB, "limit.held")] {
        let tight = Invocation {
            limits: Limits {
                held,
                ..Limits::default()
            },
            ..invocation()
        };
        let said = said(&tight, "draft commands").await;
        assert_eq!(said, format!("limit.held {expected}"));
    }
}

/// Answers everything with so many bytes.
struct Generous(usize);

impl Http for Generous {
    fn exchange(&self, _: HttpRequest) -> Answer<'static, HttpResponse> {
        let body = vec![b'x'; self.0];
        Box::pin(async move {
            Ok(HttpResponse {
                status: 200,
                headers: Vec::new(),
                body,
            })
        })
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(Closed)
    }
}

/// What this guest does not use.
struct Closed;

impl Gate for Closed {
    fn send(
        &self,
        _: http::Request<StreamBody>,
        _: Patience,
    ) -> Answer<'static, http::Response<StreamBody>> {
        Box::pin(async { Err(Failure::denied("policy.http-host", "it is closed")) })
    }
}

fn with_answers(bytes: usize, limits: Limits) -> Invocation {
    Invocation {
        services: Services {
            http: Some(Arc::new(Generous(bytes))),
            ..Services::default()
        },
        limits,
        ..invocation()
    }
}

#[tokio::test]
pub(super) async fn an_answer_that_is_not_taken_keeps_its_place() {
    let limits = Limits {
        http_concurrent: 3,
        ..Limits::default()
    };
    let said = said(&with_answers(10, limits), "park").await;
    assert_eq!(said, "3 quota.http-concurrency 10 10 10, then 10");
}

#[tokio::test]
pub(super) async fn answers_that_are_not_taken_cost_no_more_than_their_share() {
    let limits = Limits {
        held: 5 * MIB,
        http_concurrent: 4,
        ..Limits::default()
    };
    let said = said(&with_answers(2 * MIB, limits), "park").await;
    let taken = "2097152 2097152 limit.held limit.held, then 2097152";
    assert_eq!(said, format!("4 quota.http-concurrency {taken}"));
}

#[tokio::test]
pub(super) async fn both_ways_to_send_a_request_have_one_count() {
    for (most, expected) in [
        (5, "3 2 ErrorCode::ConnectionLimitReached"),
        (
            4,
            "2 2 the call may make no more requests (http-requests: 4)",
        ),
    ] {
        let limits = Limits {
            http_requests: most,
            ..Limits::default()
        };
        let said = said(&with_answers(10, limits), "count").await;
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn a_limit_is_named_though_the_guest_passes_its_failure_on() {
    let limits = Limits {
        http_requests: 3,
        ..Limits::default()
    };
    let call = Call {
        config: "https://example.com".into(),
        ..call("park")
    };
    let error = plugin().run(&with_answers(10, limits), call).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), "quota.http-requests");
    let limit = error.limit().unwrap();
    assert_eq!(limit.to_string(), "http-requests: 3");
    assert_eq!(limit.line().unwrap(), "limits.http-requests = 6");
}
