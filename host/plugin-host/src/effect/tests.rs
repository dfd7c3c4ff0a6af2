//! Plugins with grants, for the tests of each effect; and all effects together, called by a guest.

use super::{
    Binding, Configured, EffectOptions, Effects, Surroundings,
    http::{Resolve, Trust},
};
use crate::{
    Failure, Invocation, Limits,
    kind::Call,
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
    Effective::new(
        &manifest.manifest.unwrap(),
        Some(grant),
        Origins::Operator,
        None,
    )
    .unwrap()
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
    Effects::new(EffectOptions {
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
