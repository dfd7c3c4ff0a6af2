use super::*;
use serde_json::{Value, json};

const GOLDEN: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/wire/v1.ndjson"
));

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// One of each, with every member that there is. A new variant does not compile before it has its sample.
fn samples() -> Vec<Event> {
    let step = || "unit[rust=1.95]".to_owned();
    let log = |text, base64| Event::Log {
        line: 7,
        step: step(),
        r#try: 1,
        stream: "stderr".to_owned(),
        text,
        base64,
        continues: true,
        no_eol: true,
    };
    let finished = |exit| Event::TryFinished {
        step: step(),
        r#try: 2,
        exit,
        duration_us: 1,
        log_end: 2,
        retry_after_us: Some(3),
        left_running: true,
    };
    let annotation = |level| {
        Event::Annotation(Box::new(Annotation {
            step: step(),
            r#try: 1,
            level,
            message: "1 != 2".to_owned(),
            title: Some("a breaks".to_owned()),
            file: Some("a.rs".to_owned()),
            line: Some(3),
            column: Some(1),
            end_line: Some(4),
        }))
    };
    let done = |outcome| Event::StepFinished {
        step: step(),
        outcome,
        reason: Some("why".to_owned()),
        exit: Some(Exit::Status(1)),
        tries: 2,
        flaky: true,
        allowed: true,
        duration_us: 1,
    };
    let ended = |outcome| Event::BuildFinished {
        outcome,
        reason: Some("why".to_owned()),
        duration_us: 1,
        counts: Counts::default(),
        log_end: 2,
    };
    vec![
        Event::StreamOpened {
            piper: "0.1.0".to_owned(),
        },
        Event::BuildStarted(Box::new(BuildStarted {
            piper: "0.1.0".to_owned(),
            project: "hello".to_owned(),
            root: "/src".to_owned(),
            target: "build".to_owned(),
            target_is_step: true,
            cell: [("rust".to_owned(), "1.95".to_owned())].into(),
            environment: "local".to_owned(),
            revision: Some("0123".to_owned()),
            version: Some("1.2.0".to_owned()),
            params: [("profile".to_owned(), "debug".to_owned())].into(),
            steps: vec![PlannedStep {
                step: step(),
                command: "cargo test".to_owned(),
                waits_for: vec![0],
            }],
            jobs: 2,
            pass_env_all: true,
        })),
        Event::StepStarted {
            step: step(),
            r#try: 1,
        },
        Event::StepStopping {
            step: step(),
            r#try: 1,
            why: "timeout".to_owned(),
            signal: "SIGTERM".to_owned(),
        },
        finished(Exit::Status(1)),
        finished(Exit::Signal("SIGKILL".to_owned())),
        finished(Exit::Timeout),
        finished(Exit::IdleTimeout),
        finished(Exit::Cancelled),
        finished(Exit::NotStarted("no memory".to_owned())),
        finished(Exit::Rejected("too many outputs".to_owned())),
        finished(Exit::Failed("2 tests failed".to_owned())),
        finished(Exit::Skipped("no reports".to_owned())),
        finished(Exit::Errored("it trapped".to_owned())),
        done(StepOutcome::Succeeded),
        done(StepOutcome::Failed),
        done(StepOutcome::Errored),
        done(StepOutcome::Skipped),
        done(StepOutcome::Cancelled),
        log(Some("text".to_owned()), None),
        log(None, Some("/wA=".to_owned())),
        annotation(Level::Notice),
        annotation(Level::Warning),
        annotation(Level::Error),
        Event::Warning {
            message: "what".to_owned(),
        },
        Event::BuildPaused {},
        Event::BuildResumed {},
        Event::BuildCancelling {
            reason: "why".to_owned(),
        },
        ended(Outcome::Succeeded),
        ended(Outcome::Failed),
        ended(Outcome::Errored),
        ended(Outcome::Cancelled),
    ]
}

/// The type's name; lists every variant so that [`samples`] cannot miss one unnoticed.
fn name(event: &Event) -> &'static str {
    match event {
        Event::StreamOpened { .. } => "stream.opened",
        Event::BuildStarted(_) => "build.started",
        Event::StepStarted { .. } => "step.started",
        Event::StepStopping { .. } => "step.stopping",
        Event::TryFinished { .. } => "try.finished",
        Event::StepFinished { .. } => "step.finished",
        Event::Log { .. } => "log",
        Event::Annotation(_) => "annotation",
        Event::Warning { .. } => "warning",
        Event::BuildPaused {} => "build.paused",
        Event::BuildResumed {} => "build.resumed",
        Event::BuildCancelling { .. } => "build.cancelling",
        Event::BuildFinished { .. } => "build.finished",
        Event::Unknown => "unknown",
    }
}

fn line(event: Event) -> Line {
    Line {
        v: 1,
        seq: 0,
        at: "2026-01-02T03:04:05.000000Z".to_owned(),
        build: "bcdfghjklmnpqrst".to_owned(),
        attempt: 1,
        event,
    }
}

/// Members of `object` that the schema does not name for its type.
fn undeclared<'a>(schema: &'a Value, object: &'a Value) -> Vec<&'a String> {
    let declared = |pointer: &str, member: &str| {
        schema
            .pointer(pointer)
            .and_then(|p| p.get(member))
            .is_some()
    };
    let own = format!("/$defs/{}/properties", object["type"].as_str().unwrap());
    let members = object.as_object().unwrap().keys();
    members
        .filter(|member| !declared("/properties", member) && !declared(&own, member))
        .collect()
}

#[test]
fn the_schema_knows_every_event_and_every_member() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for event in samples() {
        let object = serde_json::to_value(line(event)).unwrap();
        if let Err(error) = validator.validate(&object) {
            panic!("{error}: {object}");
        }
        assert_eq!(undeclared(&schema, &object), Vec::<&String>::new());
    }
}

#[test]
fn every_type_of_the_schema_has_its_event_and_the_other_way_round() {
    let schema = schema();
    let mut types: Vec<_> = schema["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["if"]["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    let mut names: Vec<_> = samples().iter().map(name).collect();
    names.dedup();
    types.sort_unstable();
    names.sort_unstable();
    assert_eq!(types, names);
}

#[test]
fn the_golden_stream_follows_the_schema_and_reads_back() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut missing: Vec<_> = samples().iter().map(name).collect();
    for (seq, text) in (0..).zip(GOLDEN.lines()) {
        let object: Value = serde_json::from_str(text).unwrap();
        if let Err(error) = validator.validate(&object) {
            panic!("{error}: {text}");
        }
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.seq, seq);
        assert_ne!(line.event, Event::Unknown);
        missing.retain(|other| *other != name(&line.event));
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            text,
            "members keep their order too"
        );
    }
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let good = serde_json::to_value(line(Event::StepStarted {
        step: "unit".to_owned(),
        r#try: 1,
    }))
    .unwrap();
    assert!(validator.is_valid(&good));
    for (member, value) in [
        ("try", json!(0)),
        ("step", json!(null)),
        ("at", json!("yesterday")),
        ("v", json!(2)),
        ("seq", json!(-1)),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let later = json!({"v": 1, "seq": 0, "at": "2026-01-02T03:04:05.000000Z", "build": "", "attempt": 1, "type": "step.teleported", "to": "mars"});
    assert!(validator.is_valid(&later));
    let line: Line = serde_json::from_value(later).unwrap();
    assert_eq!(line.event, Event::Unknown);
}

#[test]
fn an_annotation_of_a_level_that_a_later_version_adds_is_a_notice() {
    let later = json!({"v": 1, "seq": 0, "at": "2026-01-02T03:04:05.000000Z", "build": "", "attempt": 1, "type": "annotation", "step": "a", "try": 1, "level": "praise", "message": "m"});
    assert!(
        jsonschema::draft202012::new(&schema())
            .unwrap()
            .is_valid(&later)
    );
    let line: Line = serde_json::from_value(later).unwrap();
    let Event::Annotation(annotation) = line.event else {
        panic!("{:?}", line.event)
    };
    assert_eq!(annotation.level, Level::Notice);
}

#[test]
fn what_the_sdk_says_that_a_notifier_is_told_is_what_it_is_told() {
    let readme = include_str!("../../../../../plugin-sdk/README.md");
    let (_, rest) = readme.split_once("```json\n").unwrap();
    let said: Value = serde_json::from_str(rest.split_once("```").unwrap().0).unwrap();
    let snapshot: Snapshot = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(serde_json::to_value(snapshot).unwrap(), said);
}
