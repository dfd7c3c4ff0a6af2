//! The component that is every kind (`tests/guests`), and what tests call it with.

use super::build;
use crate::{
    CallError, Crash, Host, HostOptions, Invocation, Limits, Plugin,
    kind::{Batch, Call, StepRef},
    log::{Level, Line, Receiver},
};
use std::{
    env, fs,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// The variable with which the host of tests has no pool.
pub(super) const NO_POOL: &str = "PIPER_TEST_NO_POOL";

/// The component's bytes, built once for all tests.
pub(super) fn odd() -> &'static [u8] {
    static ODD: OnceLock<Vec<u8>> = OnceLock::new();
    ODD.get_or_init(|| fs::read(build::guest("piper-test-guests")).expect("the guest was built"))
}

/// One host for all tests that need none of their own.
pub(super) fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        Host::new(HostOptions {
            has_pool: env::var_os(NO_POOL).is_none(),
            ..HostOptions::default()
        })
    });
    host.clone()
}

/// The component, loaded once for all tests.
pub(crate) fn plugin() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    let plugin = PLUGIN.get_or_init(|| host().load(odd()).expect("the guest is a plugin"));
    plugin.clone()
}

/// Keeps the lines of a plugin's log.
#[derive(Default)]
pub(super) struct Kept(pub(super) Mutex<Vec<Line>>);

impl Receiver for Kept {
    fn is_enabled(&self, level: Level) -> bool {
        level >= Level::Info
    }

    fn line(&self, line: Line) {
        self.0.lock().unwrap().push(line);
    }
}

impl Kept {
    pub(super) fn messages(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| line.message.clone()).collect()
    }
}

pub(super) fn invocation() -> Invocation {
    Invocation::default()
}

pub(super) fn logged() -> (Arc<Kept>, Invocation) {
    let kept = Arc::new(Kept::default());
    let invocation = Invocation {
        log: kept.clone(),
        ..Invocation::default()
    };
    (kept, invocation)
}

/// With limits that are soon reached.
pub(super) fn tight() -> Invocation {
    Invocation {
        limits: Limits {
            memory: 16 << 20,
            cpu: Duration::from_millis(100),
            ..Limits::default()
        },
        ..invocation()
    }
}

/// How a run ends that the plugin does not survive.
pub(super) async fn crash(plugin: &Plugin, invocation: &Invocation, name: &str) -> Crash {
    match plugin.run(invocation, call(name)).await {
        Err(CallError::Crashed(crash)) => crash,
        other => panic!("{name} should crash, but: {other:?}"),
    }
}

pub(crate) fn call(name: &str) -> Call {
    Call {
        name: name.into(),
        ..Call::default()
    }
}

/// A batch of so many entries.
pub(crate) fn batch(entries: u32) -> Batch {
    let count = entries as usize;
    Batch {
        build: "b".into(),
        attempt: 1,
        facts: "{}".into(),
        text: b"line".repeat(count),
        ends: (1..=entries).map(|at| at * 4).collect(),
        times: vec![1; count],
        step_of: vec![0; count],
        marks: vec![0; count],
        steps: vec![StepRef {
            path: "a".into(),
            r#try: 1,
            more: "{}".into(),
        }],
        ..Batch::default()
    }
}
