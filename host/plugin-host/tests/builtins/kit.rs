//! A built-in plugin with an operator's grant, as piper runs it.

use piper_core::{
    id::PluginName,
    problem::{Severity, Source},
    time::{Monotonic, Now, Timestamp},
};
use piper_plugin_host::{
    CallError, Failure, Host, HostOptions, Invocation, Limits, Plugin, Sink,
    effect::{
        Binding, Configured, EffectOptions, Effects, Surroundings,
        files::Places,
        http::{Resolve, Trust},
        secrets::Values,
    },
    kind::{Call, Event, Undelivered, Verdict},
    policy::{
        grant::{self, Effective, Origins},
        manifest,
    },
    service::{Answer, StepContext},
};
use serde_json::Value;
use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Every name is this machine.
struct Here;

impl Resolve for Here {
    fn resolve(&self, _: &str) -> Answer<'static, Vec<IpAddr>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

/// What a step told its build.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) printed: Mutex<String>,
    pub(crate) outputs: Mutex<Vec<(String, String)>>,
    pub(crate) reports: Mutex<Vec<(String, Value)>>,
}

impl Told {
    pub(crate) fn output(&self, name: &str) -> Option<String> {
        let outputs = self.outputs.lock().unwrap();
        let found = outputs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    pub(crate) fn annotations(&self) -> Vec<Value> {
        let reports = self.reports.lock().unwrap();
        let annotations = reports.iter().filter(|(kind, _)| kind == "annotation");
        annotations.map(|(_, item)| item.clone()).collect()
    }
}

impl StepContext for Told {
    fn print(&self, _: bool, bytes: Vec<u8>) {
        let mut printed = self.printed.lock().unwrap();
        printed.push_str(&String::from_utf8_lossy(&bytes));
    }

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        self.outputs.lock().unwrap().push((name, value));
        Ok(())
    }

    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        let items = items.iter().map(|item| serde_json::from_str(item).unwrap());
        let mut reports = self.reports.lock().unwrap();
        reports.extend(items.map(|item| (kind.clone(), item)));
        Ok(())
    }
}

/// A built-in plugin that was granted something.
pub(crate) struct Granted {
    pub(crate) plugin: Plugin,
    config: String,
    binding: Binding,
}

impl Granted {
    /// `granted` is the plugin's table in the operator's file; `variables` are those of piper's environment.
    pub(crate) fn new(name: &str, granted: &str, variables: &[(&str, &str)]) -> Self {
        let builtin = piper_builtin_plugins::find(name).expect("it is built in");
        let (binding, config) = Self::bound(name, builtin.manifest, granted, variables);
        Self {
            plugin: Host::new(HostOptions::default())
                .load(builtin.component)
                .expect("it is a plugin"),
            config,
            binding,
        }
    }

    /// What a plugin of this name and manifest may do, and its configuration.
    pub(crate) fn bound(
        name: &str,
        manifest: &str,
        granted: &str,
        variables: &[(&str, &str)],
    ) -> (Binding, String) {
        let source = |path: &str, text: String| {
            let path = path.into();
            Arc::new(Source { path, text })
        };
        let manifest = manifest::load(&source("piper-plugin.toml", manifest.to_owned()));
        assert_eq!(manifest.problems, []);
        let manifest = manifest.manifest.unwrap();
        let (grants, problems) = grant::load(&source(
            "plugins.toml",
            format!("[plugins.{name}]\n{granted}"),
        ));
        let errors: Vec<_> = problems
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        let plugin_name = PluginName::parse(name).unwrap();
        let grants = grants.unwrap();
        let grant = &grants.plugins[&plugin_name];
        let effective = Effective::new(&manifest, Some(grant), Origins::Operator).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let effects = Effects::new(EffectOptions {
            path: "/usr/bin:/bin".into(),
            resolver: Arc::new(Here),
            trust: Trust::default(),
            now: || Now {
                wall: Timestamp(1_000_000),
                mono: Monotonic::default(),
            },
        });
        let binding = effects.bind(Configured {
            name: plugin_name,
            version: manifest.version,
            secrets: Values::read(&effective, variable),
            effective,
            limits: limits(),
            state: None,
        });
        (binding, grant.config.to_string())
    }

    fn call(&self, name: &str, options: &Value) -> Call {
        Call {
            name: name.to_owned(),
            config: self.config.clone(),
            options: options.to_string(),
            ..Call::default()
        }
    }

    pub(crate) async fn run(
        &self,
        name: &str,
        options: Value,
        workspace: &Path,
    ) -> (Result<Verdict, CallError>, Arc<Told>) {
        let told = Arc::new(Told::default());
        let places = Places {
            workspace: Some(workspace.to_owned()),
            ..Places::default()
        };
        let invocation = self.invocation(places, Some(told.clone()));
        let ran = self
            .plugin
            .run(&invocation, self.call(name, &options))
            .await;
        (ran, told)
    }

    pub(crate) async fn notify(&self, options: Value, events: Vec<Event>) -> Vec<Undelivered> {
        let invocation = self.invocation(Places::default(), None);
        let told = self
            .plugin
            .notify(&invocation, self.call("", &options), events);
        told.await.unwrap()
    }

    pub(crate) async fn open_sink(&self, out: &Path) -> Result<Sink, CallError> {
        let places = Places {
            out: Some(out.to_owned()),
            ..Places::default()
        };
        let invocation = self.invocation(places, None);
        let call = self.call("", &Value::Object(serde_json::Map::new()));
        self.plugin.open_sink(invocation, call).await
    }

    fn invocation(&self, places: Places, step: Option<Arc<dyn StepContext>>) -> Invocation {
        let around = Surroundings {
            places,
            step,
            ..Surroundings::default()
        };
        Invocation {
            limits: limits(),
            services: self.binding.services(around).unwrap(),
            ..Invocation::default()
        }
    }
}

/// A runner's, in a step that may take some minutes: the test's machine may be a slow one.
fn limits() -> Limits {
    let limits = Limits::of_runner(Duration::from_secs(900));
    Limits {
        cpu: limits.cpu * 6,
        ..limits
    }
}

/// What piper tells of a build that failed.
pub(crate) fn failed() -> Event {
    Event {
        kind: "build.finished".into(),
        id: "bcdfghjklmnpqrst.1/build.finished".into(),
        subject: "bcdfghjklmnpqrst".into(),
        seq: 1,
        at: 1_772_366_400_000_000,
        body: r#"{"v": 1, "type": "build.finished", "build": "bcdfghjklmnpqrst", "attempt": 1, "project": "hello", "target": "test",
            "environment": "local", "trace": "0", "started_at": "2026-03-01T12:00:00.000000Z",
            "end": {"outcome": "failed", "at": "2026-03-01T12:00:01.000000Z", "duration_us": 1000000}}"#
            .into(),
    }
}
