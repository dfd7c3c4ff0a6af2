//! Plugins with grants, for the tests of each effect; and all effects together, called by a guest.

use super::{
    Binding, Configured, EffectOptions, Effects, Surroundings,
    http::{Resolve, Trust},
};
use crate::{
    Failure, Invocation, Limits,
    kind::{Batch, Call, Delivery, Found, Hit, Page, StepRef},
    mask::Mask,
    policy::{
        grant::{self, Effective, Origins},
        manifest,
        state::MemoryState,
    },
    service::{Answer, StepContext},
    tests::guests,
};
use piper_core::{
    id::PluginName,
    problem::Source,
    time::{Monotonic, Now, Timestamp},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

/// What a plugin called `test` may do that asks for this and is granted that.
pub(crate) fn effective(asks: &str, granted: &str) -> Effective {
    let source = |path: &str, text: String| {
        let path = path.into();
        Arc::new(Source { path, text })
    };
    let text = format!("manifest = 1\nname = \"test\"\nversion = \"1.2.3\"\n{asks}");
    let manifest = manifest::load(&source("piper-plugin.toml", text));
    assert_eq!(manifest.problems, [], "{asks}");
    let text = format!("[plugins.test]\n{granted}");
    let (grants, problems) = grant::load(&source("plugins.toml", text));
    assert_eq!(problems, [], "{granted}");
    let grant = &grants.unwrap().plugins[&name()];
    Effective::new(&manifest.manifest.unwrap(), Some(grant), Origins::Operator).unwrap()
}

pub(crate) fn name() -> PluginName {
    PluginName::parse("test").unwrap()
}

/// Answers as it was told, for `*` whatever it is asked, and remembers what that was.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) known: HashMap<&'static str, Vec<IpAddr>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn of(known: &[(&'static str, &[&str])]) -> Arc<Self> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            known: known
                .iter()
                .map(|(name, texts)| (*name, addresses(texts)))
                .collect(),
            asked: Mutex::default(),
        })
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> Answer<'static, Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let found = self.known.get(name).or(self.known.get("*")).cloned();
        let missing = Failure::transient("http.connect", format!("no {name}"));
        Box::pin(async { found.ok_or(missing) })
    }
}

fn now() -> Now {
    Now {
        wall: Timestamp(1_000_000),
        mono: Monotonic::default(),
    }
}

pub(crate) fn effects(names: Arc<dyn Resolve>, authorities: Vec<Vec<u8>>) -> Effects {
    effects_with_path(names, authorities, "/usr/local/bin:/usr/bin:/bin")
}

/// The same, with the operator's `PATH`.
pub(crate) fn effects_with_path(
    names: Arc<dyn Resolve>,
    authorities: Vec<Vec<u8>>,
    path: &str,
) -> Effects {
    Effects::new(EffectOptions {
        path: path.into(),
        resolver: names,
        trust: Trust {
            system: false,
            further: authorities,
        },
        now,
    })
}

/// A plugin with these grants; its secrets are in `variables`.
pub(crate) fn bind(
    effects: &Effects,
    effective: Effective,
    limits: Limits,
    variables: &[(&str, &str)],
) -> Binding {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    effects.bind(Configured {
        name: name(),
        version: "1.2.3".into(),
        secrets: super::secrets::Values::read(&effective, variable),
        effective,
        limits,
        state: Some(Arc::new(MemoryState::default())),
    })
}

/// What a step said.
#[derive(Default)]
pub(crate) struct Said(pub(crate) Mutex<Vec<(bool, String)>>);

impl StepContext for Said {
    fn print(&self, is_stderr: bool, bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.0.lock().unwrap().push((is_stderr, text));
    }

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        self.0
            .lock()
            .unwrap()
            .push((false, format!("{name}={value}")));
        Ok(())
    }

    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        self.0
            .lock()
            .unwrap()
            .push((false, format!("{kind} {items:?}")));
        Ok(())
    }
}

const EVERYTHING: &str = r#"
[[permission.http]]
to = "GET https://example.com"
why = "look"
[[permission.secret]]
name = "a"
use = { header = "authorization", hmac = true }
why = "log in"
[[permission.files]]
workspace = "read"
why = "read"
[[permission.exec]]
argv = ["true"]
why = "nothing"
[[permission.state]]
why = "remember"
"#;

const GRANTED: &str = r#"
allow.http = ["GET https://example.com"]
allow.private-network = ["127.0.0.1"]
allow.files = { workspace = "read" }
allow.exec = [["true"]]
allow.state = true
secrets.a = { from = "env:A", to = ["https://example.com"] }
"#;

/// A plugin to which everything is granted, in a step with a workspace.
fn invocation(workspace: &std::path::Path, said: &Arc<Said>) -> Invocation {
    let effects = effects(Names::of(&[("example.com", &["127.0.0.1"])]), Vec::new());
    let effective = effective(EVERYTHING, GRANTED);
    let binding = bind(
        &effects,
        effective,
        Limits::default(),
        &[("A", "secret-value")],
    );
    let services = binding.services(Surroundings {
        places: super::files::Places {
            workspace: Some(workspace.to_owned()),
            ..Default::default()
        },
        step: Some(said.clone()),
        ..Surroundings::default()
    });
    Invocation {
        services: services.unwrap(),
        ..Invocation::default()
    }
}

#[tokio::test]
async fn what_is_granted_works_from_inside_the_sandbox() {
    let workspace = tempfile::tempdir().unwrap();
    std::fs::write(workspace.path().join("a"), "a").unwrap();
    let invocation = invocation(workspace.path(), &Arc::default());
    let plugin = guests::plugin();
    let ran = plugin.run(&invocation, guests::call("everything"));
    // Nobody listens on port 443 of this machine, or if somebody does, not with a certificate that is believed.
    let said = ran
        .await
        .unwrap()
        .message
        .replace("http=http.tls", "http=http.connect");
    assert!(
        said.starts_with("http=http.connect files=ok secrets=ok hmac=secret.no-message state=ok exec=ok output=ok"),
        "{said}"
    );
}

#[tokio::test]
async fn the_value_of_a_secret_is_hidden_whatever_a_plugin_says() {
    let workspace = tempfile::tempdir().unwrap();
    let said = Arc::new(Said::default());
    let invocation = invocation(workspace.path(), &said);
    let call = |name: &str| Call {
        config: r#"{"is":"secret-value"}"#.into(),
        options: r#"{"message":"it is c2VjcmV0LXZhbHVl"}"#.into(),
        ..guests::call(name)
    };
    let plugin = guests::plugin();
    let verdict = plugin.run(&invocation, call("echo")).await.unwrap();
    assert!(
        verdict.message.starts_with(r#"{"is":"***"}"#),
        "{}",
        verdict.message
    );
    plugin
        .run(&invocation, call("report annotation"))
        .await
        .unwrap();
    let said = said.0.lock().unwrap();
    assert_eq!(said[0].1, r#"annotation ["{\"message\":\"it is ***\"}"]"#);
}

#[tokio::test]
async fn the_value_of_a_secret_is_hidden_in_what_triggers_and_readers_answer() {
    let workspace = tempfile::tempdir().unwrap();
    let invocation = invocation(workspace.path(), &Arc::default());
    let (plugin, call) = (guests::plugin(), || guests::call(""));
    let secret = || "secret-value".to_owned();
    let polled = plugin.poll(&invocation, call(), Some(secret())).await;
    assert_eq!(polled.unwrap().cursor.as_deref(), Some("***+"));
    let delivery = Delivery {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("x-echo".into(), secret())],
        body: b"a c2VjcmV0LXZhbHVl b".to_vec(),
    };
    let received = plugin.receive(&invocation, call(), delivery).await.unwrap();
    assert_eq!(received.headers, [("x-echo".into(), "***".into())]);
    assert_eq!(received.body, b"a *** b");
    let read = plugin.read_logs(&invocation, call(), secret(), Some(secret()), (1, 1));
    let page = read.await.unwrap();
    assert_eq!(
        (page.batches[0].build.as_str(), page.next.as_deref()),
        ("***", Some("***"))
    );
    let found = plugin
        .search_logs(&invocation, call(), secret(), None, 1)
        .await;
    assert_eq!(found.unwrap().hits[0].build, "***");
}

#[tokio::test]
async fn the_value_of_a_secret_is_hidden_in_each_line_of_a_log_that_is_read_back() {
    let workspace = tempfile::tempdir().unwrap();
    let mask = Mask::new(
        invocation(workspace.path(), &Arc::default())
            .services
            .secrets,
    );
    let lines = ["a secret-value b", "", "secret-", "value", "c"];
    let mut batch = Batch {
        facts: r#"{"is":"secret-value"}"#.into(),
        columns: vec![("later".into(), b"secret-value".to_vec())],
        steps: vec![StepRef {
            path: "a".into(),
            r#try: 1,
            more: r#"{"is":"secret\u002dvalue"}"#.into(),
        }],
        ..Batch::default()
    };
    for line in lines {
        batch.text.extend_from_slice(line.as_bytes());
        batch.ends.push(batch.text.len() as u32);
        batch.times.push(0);
        batch.step_of.push(0);
        batch.marks.push(0);
    }
    let page = mask.page(Page {
        batches: vec![batch],
        next: None,
        complete: true,
    });
    let batch = &page.batches[0];
    assert!(batch.is_consistent());
    let begins = [0].into_iter().chain(batch.ends.iter().copied());
    let shown: Vec<_> = begins
        .zip(&batch.ends)
        .map(|(begin, end)| str::from_utf8(&batch.text[begin as usize..*end as usize]).unwrap())
        .collect();
    assert_eq!(shown, ["a *** b", "", "secret-", "value", "c"]);
    assert_eq!(batch.facts, r#"{"is":"***"}"#);
    assert_eq!(batch.steps[0].more, r#"{"is":"***"}"#);
    assert_eq!(batch.columns[0].1, b"***");
    let hit = |line: &[u8]| Hit {
        build: "b".into(),
        attempt: 1,
        seq: 0,
        time: 0,
        step: "a".into(),
        line: line.to_vec(),
        highlights: vec![(0, 1)],
        more: "{}".into(),
    };
    let found = mask.found(Found {
        hits: vec![hit(b"a secret-value"), hit(b"a")],
        next: Some("secret-value".into()),
        total: None,
    });
    assert_eq!(
        (found.hits[0].line.as_slice(), found.next.as_deref()),
        (&b"a ***"[..], Some("***"))
    );
    assert_eq!(
        found.hits[0].highlights,
        [],
        "they pointed into another line"
    );
    assert_eq!(found.hits[1].highlights, [(0, 1)]);
}
