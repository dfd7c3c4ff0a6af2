use super::*;
use crate::history::sample::{self, Running};
use piper_core::wire::v1::Outcome;
use piper_engine::logs::PlogReader;
use test_case::test_case;

fn recorded() -> (BuildSummary, Vec<(Timestamp, Event)>) {
    let (_folder, place) = sample::place();
    let build = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Succeeded);
    let reader = PlogReader::open(&place.file(build.id)).unwrap();
    let events = reader
        .events()
        .map(|line| (Timestamp(1_000_000), line.unwrap().event))
        .collect();
    (build, events)
}

#[test]
fn a_step_is_shown_with_each_of_its_tries() {
    let (build, events) = recorded();
    let step = StepRef {
        label: "unit".to_owned(),
        r#try: None,
    };
    let wanted = events
        .iter()
        .filter(|(_, event)| concerns(event, &["unit".to_owned()], None));
    let page = tries(&build, &step, wanted, Style::new(false, true));
    let without_times: Vec<_> = page
        .lines()
        .map(|line| {
            line.get(21..)
                .filter(|_| line.starts_with("19"))
                .unwrap_or(line)
        })
        .collect();
    insta::assert_snapshot!(without_times.join("\n"), @"
    unit try 1 began
    unit try 1 ended after 0ms: exit code 1
    unit try 2 began
    unit try 2 ended after 0ms: exit code 0
    unit passed on try 2 (flaky)
    its log: piper logs cbbbbbb/unit
    ");
}

#[test]
fn one_try_is_shown_alone() {
    let (_, events) = recorded();
    let wanted = events
        .iter()
        .filter(|(_, event)| concerns(event, &["unit".to_owned()], Some(2)));
    assert_eq!(
        wanted.count(),
        3,
        "its beginning, its end, and what became of the step"
    );
}

fn finished(outcome: StepOutcome, tries: u32) -> Event {
    Event::StepFinished {
        step: "a".to_owned(),
        outcome,
        reason: None,
        exit: None,
        tries,
        flaky: outcome == StepOutcome::Succeeded && tries > 1,
        allowed: false,
        duration_us: 1,
    }
}

fn not_started(why: &str, outcome: StepOutcome) -> Vec<(Timestamp, Event)> {
    let exit = Exit::NotStarted(why.to_owned());
    let events = [
        Event::StepStarted {
            step: "a".to_owned(),
            r#try: 1,
        },
        Event::TryFinished {
            step: "a".to_owned(),
            r#try: 1,
            exit: exit.clone(),
            duration_us: 1,
            log_end: 0,
            retry_after_us: None,
            left_running: false,
        },
        Event::StepFinished {
            step: "a".to_owned(),
            outcome,
            reason: (outcome == StepOutcome::Errored).then(|| why.to_owned()),
            exit: Some(exit),
            tries: 1,
            flaky: false,
            allowed: false,
            duration_us: 1,
        },
    ];
    events.map(|event| (Timestamp(1), event)).into()
}

fn page(events: &[(Timestamp, Event)]) -> Vec<String> {
    let step = StepRef {
        label: "a".to_owned(),
        r#try: None,
    };
    let build = sample::build(1, "/a");
    let page = tries(&build, &step, events.iter(), Style::new(false, true));
    page.lines()
        .map(|line| line.split("  ").last().unwrap().to_owned())
        .collect()
}

#[test_case("there is no folder /x", StepOutcome::Failed, &["a try 1 could not be started: there is no folder /x", "a failed"]; "the user's fault")]
#[test_case("could not start `x`: EAGAIN", StepOutcome::Errored, &["a try 1 could not start `x`: EAGAIN", "a could not be run"]; "the machine's fault")]
fn a_step_that_could_not_be_started_says_so_once(why: &str, outcome: StepOutcome, lines: &[&str]) {
    assert_eq!(page(&not_started(why, outcome)), lines);
}

#[test_case(StepOutcome::Succeeded, 1, "a passed")]
#[test_case(StepOutcome::Succeeded, 2, "a passed on try 2 (flaky)")]
#[test_case(StepOutcome::Failed, 1, "a failed")]
#[test_case(StepOutcome::Failed, 3, "a failed after 3 tries")]
#[test_case(StepOutcome::Skipped, 0, "a was skipped")]
#[test_case(StepOutcome::Cancelled, 1, "a was cancelled")]
fn what_became_of_a_step_is_one_sentence(outcome: StepOutcome, tries: u32, sentence: &str) {
    assert_eq!(told(&finished(outcome, tries)).unwrap(), sentence);
}
