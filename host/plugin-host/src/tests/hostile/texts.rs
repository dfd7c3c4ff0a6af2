//! Guests that say what nobody should read: secrets, sequences that move cursors, and far too much.

use super::next_is_unaffected;
use crate::{
    CallError, Invocation, Limits,
    effect::{
        Surroundings,
        tests::{Names, Said, bind, effective, effects},
    },
    kind::Call,
    log::{Level, Line, Receiver},
    tests::guests::{Kept, call, plugin},
};
use std::sync::{Arc, Mutex};

const SECRET: &str = "hunter2-hunter2";

const ASKS: &str =
    "[[permission.secret]]\nname = \"token\"\nuse = { hmac = true }\nwhy = \"sign\"\n";
const ALLOW: &str = "secrets.token = { from = \"env:TOKEN\", to = [] }\n";

/// A step with a secret, and what becomes of what it says.
pub(super) fn step() -> (Invocation, Arc<Said>, Arc<Kept>) {
    let (said, kept) = (Arc::new(Said::default()), Arc::new(Kept::default()));
    let effects = effects(Names::of(&[]), Vec::new());
    let binding = bind(
        &effects,
        effective(ASKS, ALLOW),
        Limits::default(),
        &[("TOKEN", SECRET)],
    );
    let services = binding.services(Surroundings {
        step: Some(said.clone()),
        ..Surroundings::default()
    });
    let invocation = Invocation {
        services: services.unwrap(),
        log: kept.clone(),
        ..Invocation::default()
    };
    (invocation, said, kept)
}

/// Everything that left the sandbox.
async fn all_said(call: Call) -> (String, String) {
    let (invocation, said, kept) = step();
    let (code, answer) = match plugin().run(&invocation, call).await {
        Ok(verdict) => (String::new(), verdict.message),
        Err(CallError::Failed(failure)) => {
            let details = failure.details.unwrap_or_default();
            (failure.code, failure.message + &details)
        }
        Err(CallError::Crashed(crash)) => panic!("{crash}"),
    };
    let mut all = vec![answer];
    let said = said.0.lock().unwrap();
    all.push(said.iter().map(|(_, text)| text.as_str()).collect());
    for line in &*kept.0.lock().unwrap() {
        all.push(line.message.clone());
        all.extend(
            line.fields
                .iter()
                .flat_map(|(name, value)| [name.clone(), value.clone()]),
        );
    }
    (code, all.join("\n"))
}

#[tokio::test]
pub(super) async fn a_secret_is_hidden_wherever_it_is_said() {
    for place in [
        "log",
        "stdout",
        "print",
        "verdict",
        "failure",
        "output",
        "base64 output",
        "name of an output",
        "kind of a report",
        "annotation",
    ] {
        let call = Call {
            config: SECRET.into(),
            facts: place.into(),
            ..call("leak")
        };
        let (code, said) = all_said(call).await;
        // What others find it by is refused, because it cannot be masked.
        let is_refused = place.ends_with("output") || place.contains(" of a");
        assert_eq!(code == "policy.secret-use", is_refused, "{place}: {code}");
        for shape in [
            SECRET,
            "aHVudGVyMi1odW50ZXIy",
            // In the base64 of a text that has one more letter before it.
            "bnRlcjItaHVudGVy",
            r"\u0068\u0075\u006e",
        ] {
            assert!(!said.contains(shape), "{place}: {shape} in {said}");
        }
        assert!(is_refused || said.contains("***"), "{place}: {said}");
    }
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn nothing_that_is_said_moves_a_cursor() {
    for (place, code) in [
        ("log", ""),
        ("stderr", ""),
        ("verdict", ""),
        ("failure", "]0;owned2J x"),
        ("output", "step.output-name"),
        ("annotation", "step.report-item"),
    ] {
        let (said_code, said) = all_said(call(&format!("paint {place}"))).await;
        assert_eq!(said_code, code, "{place}");
        let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(moves), "{place}: {said:?}");
        assert!(
            !code.is_empty() || said.contains("]0;owned2J"),
            "{place}: {said:?}"
        );
    }
    next_is_unaffected().await;
}

/// Counts what arrives.
#[derive(Default)]
struct Counted(Mutex<(usize, usize)>);

impl Receiver for Counted {
    fn is_enabled(&self, _: Level) -> bool {
        true
    }

    fn line(&self, line: Line) {
        let fields = line.fields.iter();
        let fields: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
        let mut counted = self.0.lock().unwrap();
        *counted = (counted.0 + 1, counted.1 + line.message.len() + fields);
    }
}

#[tokio::test]
pub(super) async fn a_flood_in_a_log_is_bounded() {
    for (name, most_bytes) in [
        ("flood", 20 << 10),
        ("overflow stdout", 20 << 10),
        ("overflow endless line", 8 << 10),
        // 20 lines of 8 KiB, each with 32 fields of 8 KiB.
        ("overflow fields", 20 * 33 * (8 << 10) + 20 * 32 * 64),
    ] {
        let counted = Arc::new(Counted::default());
        let invocation = Invocation {
            log: counted.clone(),
            ..Invocation::default()
        };
        plugin().run(&invocation, call(name)).await.unwrap();
        let (lines, bytes) = *counted.0.lock().unwrap();
        assert!((1..2_000).contains(&lines), "{name}: {lines} lines");
        assert!((1..=most_bytes).contains(&bytes), "{name}: {bytes} bytes");
    }
    next_is_unaffected().await;
}
