//! What `piper plugin new` writes passes its own tests: here all of it at once, in one compilation.

macro_rules! begun {
    ($($name:ident = $file:literal,)*) => {
        $(
            #[path = $file]
            mod $name;
        )*
    };
}

begun! {
    log_reader = "../../../../host/piper/src/cli/plugin/new/rust/log-reader.rs",
    log_sink = "../../../../host/piper/src/cli/plugin/new/rust/log-sink.rs",
    notifier = "../../../../host/piper/src/cli/plugin/new/rust/notifier.rs",
    step_planner = "../../../../host/piper/src/cli/plugin/new/rust/step-planner.rs",
    step_runner = "../../../../host/piper/src/cli/plugin/new/rust/step-runner.rs",
    trigger_poll = "../../../../host/piper/src/cli/plugin/new/rust/trigger-poll.rs",
    trigger_webhook = "../../../../host/piper/src/cli/plugin/new/rust/trigger-webhook.rs",
}
