use super::*;
use crate::history::sample;

fn rows() -> Vec<BuildSummary> {
    let running = BuildSummary {
        cell: "rust=1.80".to_owned(),
        ..sample::build(70, "/a")
    };
    let failed = BuildSummary {
        end: Some(sample::end(Outcome::Failed)),
        target: "a-long-name-for-a-pipeline\x1b[2J".to_owned(),
        revision: None,
        ..sample::build(10, "/a")
    };
    vec![running, failed]
}

fn drawn(room: usize) -> String {
    table(
        &rows(),
        Timestamp(370_000_000),
        false,
        room,
        Style::new(false, true),
    )
}

#[test]
fn builds_stand_in_columns() {
    insta::assert_snapshot!(drawn(usize::MAX), @"
    BUILD    PIPELINE                        OUTCOME  WHEN       TOOK  REVISION  ENVIRONMENT
    nfbbbbb  build[rust=1.80]                running  5 min ago        0123456   local
    nbbbbbb  a-long-name-for-a-pipeline␛[2J  failed   6 min ago  1.0s            local
    ");
}

#[test]
fn on_a_narrow_terminal_the_less_important_columns_go_and_names_are_cut() {
    insta::assert_snapshot!(drawn(60), @"
    BUILD    PIPELINE              OUTCOME  WHEN       TOOK
    nfbbbbb  build[rust=1.80]      running  5 min ago
    nbbbbbb  a-long-name-for-a-p…  failed   6 min ago  1.0s
    ");
    assert!(drawn(60).lines().all(|line| width(line) <= 60));
}
