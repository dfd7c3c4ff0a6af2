use super::*;
use crate::history::sample::{self, Running};
use piper_core::wire::v1::Outcome;

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
    unit succeeded after 2 tries, flaky
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

#[test]
fn a_step_is_named_by_its_label_or_with_all_its_cells() {
    let (build, _) = recorded();
    let labels = vec!["unit", "lint[os=a/b]", "lint[os=c]"];
    let found = |wanted: &str| matching(&build, labels.clone(), wanted);
    assert_eq!(found("unit").unwrap(), ["unit"]);
    assert_eq!(found("lint").unwrap(), ["lint[os=a/b]", "lint[os=c]"]);
    assert_eq!(found("lint[os=c]").unwrap(), ["lint[os=c]"]);
    let Err(CliError::Problems(problems)) = found("unti") else {
        panic!("there is no such step")
    };
    assert_eq!(problems[0].help, ["did you mean `unit`?"]);
}
