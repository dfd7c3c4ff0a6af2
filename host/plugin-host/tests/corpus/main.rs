//! Components that were built when a version of the contract was released, called by this host: see `README.md` beside this file.

use piper_plugin_host::{
    Host, HostOptions, Invocation, Plugin,
    kind::{Call, Kind, Status},
    service::{Services, StepContext},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn load(file: impl AsRef<Path>) -> Plugin {
    let component = fs::read(corpus().join(file)).expect("it is kept");
    Host::new(HostOptions::default())
        .load(&component)
        .expect("every later host loads it")
}

#[test]
fn every_released_component_is_loaded() {
    let mut count = 0;
    for version in fs::read_dir(corpus()).unwrap() {
        let version = version.unwrap().path();
        if version.is_dir() {
            for component in fs::read_dir(version).unwrap() {
                assert!(!load(component.unwrap().path()).kinds().is_empty());
                count += 1;
            }
        }
    }
    assert!(count >= 2);
}

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn note(&self, what: String) {
        self.0.lock().expect("no test panicked with it").push(what);
    }
}

impl StepContext for Said {
    fn print(&self, _is_stderr: bool, bytes: Vec<u8>) {
        self.note(String::from_utf8_lossy(&bytes).into_owned());
    }

    fn set_output(&self, name: String, value: String) -> Result<(), piper_plugin_host::Failure> {
        self.note(format!("{name}={value}"));
        Ok(())
    }

    fn report(&self, _: String, _: Vec<String>) -> Result<(), piper_plugin_host::Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_runner_of_0_1_0_runs() {
    let said = Arc::new(Said::default());
    let invocation = Invocation {
        services: Services {
            step: Some(said.clone()),
            ..Services::default()
        },
        ..Invocation::default()
    };
    let call = Call {
        options: r#"{"name": "you"}"#.into(),
        facts: r#"{"step": {"path": "a"}, "try": 1, "later": "members are ignored"}"#.into(),
        ..Call::default()
    };
    let verdict = load("0.1.0/step.wasm").run(&invocation, call).await;
    assert_eq!(verdict.unwrap().status, Status::Passed);
    assert_eq!(*said.0.lock().unwrap(), ["hello, you\n", "greeted=you"]);
}

#[tokio::test]
async fn a_planner_of_0_1_0_plans() {
    let plugin = load("0.1.0/all-kinds.wasm");
    assert!(plugin.kinds().contains(&Kind::StepPlanner));
    let call = Call {
        config: r#"{"place": "here"}"#.into(),
        options: r#"{"text": "said"}"#.into(),
        facts: r#"{"step": {"path": "a"}, "params": {}, "files": {}}"#.into(),
        ..Call::default()
    };
    let plan = plugin.plan(&Invocation::default(), call).await.unwrap();
    assert_eq!(
        plan,
        r#"{"steps":{"z":{"run":"said"},"a":{"argv":["here"]}}}"#
    );
}
