//! The examples in every language, called by this host.

use crate::built::{component, load, loaded};
use piper_plugin_host::{
    Failure, FailureKind, Invocation, Limits,
    kind::{Call, Event, Kind, Status},
    load::describe,
    service::{
        Answer, Gate, Http, HttpBody, HttpRequest, HttpResponse, Patience, Services, StepContext,
        StreamBody,
    },
};
use std::sync::{Arc, Mutex};
use test_case::test_case;

/// A chat that answers with one status and keeps what it was sent.
struct Chat {
    status: u16,
    sent: Arc<Mutex<Vec<HttpRequest>>>,
}

impl Http for Chat {
    fn exchange(&self, request: HttpRequest) -> Answer<'static, HttpResponse> {
        self.sent.lock().unwrap().push(request);
        let status = self.status;
        Box::pin(async move {
            Ok(HttpResponse {
                status,
                ..HttpResponse::default()
            })
        })
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(Closed)
    }
}

/// The examples use piper's own `http`.
struct Closed;

impl Gate for Closed {
    fn send(
        &self,
        _: http::Request<StreamBody>,
        _: Patience,
    ) -> Answer<'static, http::Response<StreamBody>> {
        Box::pin(async { Err(Failure::denied("policy.http-host", "closed")) })
    }
}

/// Keeps what a step says.
#[derive(Default)]
struct Told {
    printed: Mutex<Vec<u8>>,
    outputs: Mutex<Vec<(String, String)>>,
}

impl StepContext for Told {
    fn print(&self, _: bool, bytes: Vec<u8>) {
        self.printed.lock().unwrap().extend(bytes);
    }

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        self.outputs.lock().unwrap().push((name, value));
        Ok(())
    }

    fn report(&self, _: String, _: Vec<String>) -> Result<(), Failure> {
        Ok(())
    }
}

/// What an operator may grant at most: the test's machine may be a slow one.
fn invocation(services: Services) -> Invocation {
    let defaults = Limits::default();
    let limits = Limits {
        cpu: defaults.cpu * 6,
        wall: defaults.wall * 6,
        ..defaults
    };
    Invocation {
        services,
        limits,
        ..Invocation::default()
    }
}

fn finished() -> Event {
    Event {
        kind: "build.finished".into(),
        id: "1".into(),
        subject: "b".into(),
        seq: 1,
        at: 0,
        body:
            r#"{"build": "b", "project": "hello", "target": "test", "end": {"outcome": "failed"}}"#
                .into(),
    }
}

#[test_case("rust-notifier")]
#[test_case("js-notifier")]
#[tokio::test]
async fn a_notifier_tells_a_chat(name: &str) {
    let Some(plugin) = load(name) else { return };
    assert_eq!(plugin.kinds(), [Kind::Notifier]);
    assert!(
        plugin
            .manifest()
            .is_some_and(|manifest| manifest.contains(name)),
        "{:?}",
        plugin.manifest()
    );
    let schema: serde_json::Value =
        serde_json::from_str(plugin.config_schema().expect("it is embedded")).unwrap();
    assert_eq!(schema["properties"]["url"]["type"], "string");

    let call = Call {
        config: r#"{"url": "https://chat.example/room"}"#.into(),
        ..Call::default()
    };
    for (status, undelivered) in [(200, 0), (503, 1)] {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let chat = Chat {
            status,
            sent: sent.clone(),
        };
        let invocation = invocation(Services {
            http: Some(Arc::new(chat)),
            ..Services::default()
        });
        let left = plugin
            .notify(&invocation, call.clone(), vec![finished()])
            .await
            .unwrap();
        assert_eq!(left.len(), undelivered);
        assert!(
            left.iter()
                .all(|one| one.why.kind == FailureKind::Transient && one.why.code == "http.503")
        );
        let sent = sent.lock().unwrap();
        assert_eq!(
            (sent[0].method.as_str(), sent[0].url.as_str()),
            ("POST", "https://chat.example/room")
        );
        let HttpBody::Bytes(body) = &sent[0].body else {
            panic!("it has a body")
        };
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["text"], "hello test: failed");
    }
}

#[test_case("rust-step", FailureKind::Invalid, "settings")]
#[test_case("js-step", FailureKind::Permanent, "exception")]
#[test_case("python-step", FailureKind::Permanent, "exception")]
#[tokio::test]
async fn a_step_greets(name: &str, kind: FailureKind, code: &str) {
    let Some(component) = component(name) else {
        return;
    };
    let plugin = loaded(&component);
    assert_eq!(plugin.kinds(), [Kind::StepRunner]);
    assert!(
        plugin
            .manifest()
            .is_some_and(|manifest| manifest.contains(name))
    );
    let schemas = describe(&component).unwrap().options_schema.unwrap();
    let schemas: serde_json::Value = serde_json::from_str(&schemas).unwrap();
    let types = schemas["step-runner"].as_object().unwrap();
    let schema = types.get("greet").unwrap_or_else(|| &types[""]);
    assert_eq!(
        schema["properties"]["name"]["default"], "world",
        "{schemas}"
    );

    let told = Arc::new(Told::default());
    let invocation = invocation(Services {
        step: Some(told.clone()),
        ..Services::default()
    });
    let call = |options: &str| Call {
        options: options.into(),
        ..Call::default()
    };
    let verdict = plugin
        .run(&invocation, call(r#"{"name": "piper"}"#))
        .await
        .unwrap();
    assert_eq!(verdict.status, Status::Passed);
    assert_eq!(*told.printed.lock().unwrap(), b"hello, piper\n");
    assert_eq!(
        *told.outputs.lock().unwrap(),
        [("greeted".into(), "piper".into())]
    );

    // The schema forbids it; here it makes the languages throw, and no trap may come of that.
    let failed = plugin.run(&invocation, call("7.5e")).await.unwrap_err();
    assert_eq!((failed.kind(), failed.code()), (kind, code), "{failed}");
}
