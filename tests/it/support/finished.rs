//! What a call of `piper` came to, and the questions that tests ask about it.

use serde_json::Value;
use std::{sync::LazyLock, time::Duration};

/// How every line of `--output json` must look.
static LINE: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(piper_core::wire::v1::SCHEMA).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

/// A call that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status, if no signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it, as its parent sees it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) took: Duration,
}

impl Finished {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Everything, for messages.
    fn story(&self) -> String {
        let short = |text: String| text.chars().take(20_000).collect::<String>();
        let (out, err) = (short(self.out()), short(self.err()));
        format!(
            "exit {:?}, signal {:?}\n--- stdout\n{out}--- stderr\n{err}",
            self.code, self.signal
        )
    }

    /// Ended with this exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.story());
        self
    }

    /// Ended with exit status 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits(0)
    }

    /// Was ended by this signal.
    #[track_caller]
    pub(crate) fn dies_of(self, signal: i32) -> Self {
        assert_eq!(self.signal, Some(signal), "{}", self.story());
        self
    }

    /// Wrote exactly this to its standard output.
    #[track_caller]
    pub(crate) fn says(self, out: &str) -> Self {
        assert_eq!(self.out(), out, "{}", self.story());
        self
    }

    /// Has this text on its standard error.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(
            self.err().contains(text),
            "no {text:?} in: {}",
            self.story()
        );
        self
    }

    /// Has this text nowhere.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        let found = self.out().contains(text) || self.err().contains(text);
        assert!(!found, "{text:?} in: {}", self.story());
        self
    }

    /// The lines of its standard output.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out().lines().map(str::to_owned).collect()
    }

    /// The events of `--output json`; each must be as the schema says, and their numbers without gaps.
    #[track_caller]
    pub(crate) fn events(&self) -> Events {
        let events: Vec<Value> = self
            .lines()
            .iter()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"))
            })
            .collect();
        for (place, event) in events.iter().enumerate() {
            if let Err(error) = LINE.validate(event) {
                panic!("{error} in: {event}");
            }
            assert_eq!(event["seq"], place, "{event}");
        }
        assert_eq!(events[0]["type"], "stream.opened", "{}", self.story());
        Events(events)
    }
}

/// A stream of events.
pub(crate) struct Events(pub(crate) Vec<Value>);

impl Events {
    /// The events of this type.
    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        self.0
            .iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }

    /// The end of this step.
    #[track_caller]
    pub(crate) fn step(&self, label: &str) -> &Value {
        let ends = self.of("step.finished");
        let found = ends.into_iter().find(|event| event["step"] == label);
        found.unwrap_or_else(|| panic!("{label} did not finish: {:#?}", self.0))
    }

    /// How this step ended.
    #[track_caller]
    pub(crate) fn outcome(&self, label: &str) -> &str {
        self.step(label)["outcome"].as_str().unwrap()
    }

    /// The end of the build.
    #[track_caller]
    pub(crate) fn end(&self) -> &Value {
        let last = self.0.last().unwrap();
        assert_eq!(last["type"], "build.finished", "{last}");
        last
    }

    /// The steps in the order in which they began.
    pub(crate) fn began(&self) -> Vec<&str> {
        let starts = self.of("step.started");
        starts
            .into_iter()
            .map(|event| event["step"].as_str().unwrap())
            .collect()
    }

    /// What a step printed, as text.
    pub(crate) fn printed(&self, label: &str) -> Vec<&str> {
        let records = self
            .of("log")
            .into_iter()
            .filter(|event| event["step"] == label);
        records
            .map(|event| event["text"].as_str().unwrap())
            .collect()
    }
}
