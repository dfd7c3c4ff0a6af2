use super::super::{
    lines::Sharing,
    show::Page,
    stage::{Scene, Stage, build},
    style::Style,
};
use super::*;
use piper_core::{
    log::Marks,
    record::BuildEnd,
    wire::v1::{Annotation, Exit, Level},
};
use std::path::Path;
use test_case::test_case;

const STEPS: [(&str, &str); 4] = [
    ("fmt", "cargo fmt --check"),
    ("unit", "cargo test"),
    ("lint[rust=1.95]", "cargo clippy"),
    ("deploy", "./deploy"),
];

fn stderr() -> Marks {
    Marks::STDERR
}

fn stage(scene: Scene, sharing: Sharing) -> Stage {
    let mut stage = Stage::new(scene, sharing, Vec::new());
    stage.begin(&STEPS);
    stage
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A build in which everything happens that can happen.
fn eventful(stage: &mut Stage) {
    stage.start("fmt");
    stage.line("fmt", "Diff in src/lib.rs");
    stage.wait(seconds(1));
    stage.finish_with(Event::StepFinished {
        step: "fmt".into(),
        outcome: StepOutcome::Failed,
        reason: None,
        exit: Some(Exit::Status(1)),
        tries: 1,
        flaky: false,
        allowed: true,
        duration_us: 900_000,
    });
    stage.tell(Event::Warning {
        message: "the index is locked".into(),
    });
    stage.start("unit");
    stage.line("unit", "running 3 tests");
    stage.end_try("unit", 1, Exit::Signal("SIGSEGV".into()), Some(2_000_000));
    stage.wait(seconds(2));
    stage.start_try("unit", 2);
    stage.wait(seconds(1));
    stage.finish_with(Event::StepFinished {
        step: "unit".into(),
        outcome: StepOutcome::Succeeded,
        reason: None,
        exit: Some(Exit::Status(0)),
        tries: 2,
        flaky: true,
        allowed: false,
        duration_us: 3_100_000,
    });
    stage.start("lint[rust=1.95]");
    stage.record("lint[rust=1.95]", 1, stderr(), b"error: no");
    stage.tell(Event::StepStopping {
        step: "lint[rust=1.95]".into(),
        r#try: 1,
        why: "timeout".into(),
        signal: "SIGTERM".into(),
    });
    stage.wait(seconds(10));
    stage.fail("lint[rust=1.95]", Exit::Timeout);
    stage.skip("deploy", "lint[rust=1.95] failed");
    stage.end(Outcome::Failed, None);
}

#[test]
fn a_build_is_told_in_lines_where_there_is_no_terminal() {
    let mut stage = Stage::new(
        Scene::Pipes,
        Sharing::Alone,
        vec![
            StepSetup {
                tries: 3,
                ..StepSetup::default()
            };
            4
        ],
    );
    stage.begin(&STEPS);
    eventful(&mut stage);
    let (out, err) = stage.close();
    insta::assert_snapshot!(out, @r#"
    Diff in src/lib.rs
    running 3 tests
    "#);
    insta::assert_snapshot!(err, @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/4] fmt
    ! fmt failed after 0.9s, which is allowed: exit code 1
    warning: the index is locked
    [2/4] unit
    ! unit failed (SIGSEGV), trying again in 2.0s (2/3)
    [2/4] unit (try 2)
    ✓ unit passed in 3.1s on try 2 (flaky)
    [3/4] lint[rust=1.95]
    error: no
    ! lint[rust=1.95] took too long: asked to end with SIGTERM
    ✗ lint[rust=1.95] failed after 1.2s: took longer than its `timeout`
        command: cargo clippy
        hint: raise the step's `timeout`, or find out what it waits for
    ○ deploy skipped: lint[rust=1.95] failed
    hello 1.2.0 failed after 14.0s: lint[rust=1.95] took longer than its `timeout` (1 flaky, 1 failed, 1 allowed to fail, 1 skipped) · piper logs 'bcdfghj/lint[rust=1.95]'
    "#);
}

#[test]
fn quiet_leaves_what_the_steps_print_and_errors() {
    let mut stage = Stage::with(Scene::Pipes, Sharing::Alone, Vec::new(), |ui| {
        ui.quiet = true
    });
    stage.begin(&STEPS);
    eventful(&mut stage);
    let (out, err) = stage.close();
    insta::assert_snapshot!(out, @r#"
    Diff in src/lib.rs
    running 3 tests
    "#);
    insta::assert_snapshot!(err, @r#"
    error: no
    ✗ lint[rust=1.95] failed after 1.2s: took longer than its `timeout`
        command: cargo clippy
        hint: raise the step's `timeout`, or find out what it waits for
    hello 1.2.0 failed after 14.0s: lint[rust=1.95] took longer than its `timeout` (1 flaky, 1 failed, 1 allowed to fail, 1 skipped) · piper logs 'bcdfghj/lint[rust=1.95]'
    "#);
}

#[test]
fn a_success_is_one_line_at_the_end() {
    let mut stage = Stage::new(Scene::Pipes, Sharing::Alone, Vec::new());
    stage.begin(&STEPS[..1]);
    stage.start("fmt");
    stage.wait(seconds(12));
    stage.pass("fmt");
    stage.end(Outcome::Succeeded, None);
    let (_, err) = stage.close();
    insta::assert_snapshot!(err, @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/1] fmt
    ✓ fmt passed in 1.2s
    hello 1.2.0 finished successfully in 12.0s (1 step)
    "#);
}

#[test]
fn a_cancelled_build_says_who_cancelled_it() {
    let mut stage = stage(Scene::Pipes, Sharing::Labelled);
    stage.start("unit");
    stage.tell(Event::BuildCancelling {
        reason: "interrupted (SIGINT)".into(),
    });
    stage.finish("unit", StepOutcome::Cancelled, Some(Exit::Cancelled), None);
    stage.end(Outcome::Cancelled, Some("interrupted (SIGINT)"));
    let (_, err) = stage.close();
    insta::assert_snapshot!(err, @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [2/4] unit
    cancelling: interrupted (SIGINT)
    ○ unit cancelled
    hello 1.2.0 cancelled after 0ms: interrupted (SIGINT) (1 cancelled)
    "#);
}

#[test_case(Exit::Status(127), None; "not found")]
#[test_case(Exit::Status(126), None; "not executable")]
#[test_case(Exit::Signal("SIGKILL".into()), None; "killed")]
#[test_case(Exit::IdleTimeout, None; "idle")]
#[test_case(Exit::NotStarted("no such file".into()), Some("tool"); "not started")]
fn every_failure_has_its_command(exit: Exit, reason: Option<&str>) {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.finish("unit", StepOutcome::Failed, Some(exit), reason);
    let (_, err) = stage.close();
    assert!(err.contains("\n    command: cargo test\n"), "{err}");
}

#[test]
fn a_step_alone_writes_its_very_bytes() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.start("fmt");
    stage.record("fmt", 1, Marks::CONTINUES, b"\x1b[31m1.\x1b");
    stage.record("fmt", 1, Marks::CONTINUES, b"[0m2\x00\xff\r");
    assert_eq!(stage.out.bytes.borrow().as_slice(), b"1.2\x00\xff\r");
    stage.record("fmt", 1, Marks::NO_EOL, b".0");
    stage.pass("fmt");
    assert_eq!(stage.out.bytes.borrow().as_slice(), b"1.2\x00\xff\r.0");
}

#[test]
fn a_step_without_colours_is_not_looked_at() {
    let colorless = StepSetup {
        color: false,
        ..StepSetup::default()
    };
    let mut stage = Stage::new(Scene::Pipes, Sharing::Alone, vec![colorless]);
    stage.begin(&STEPS);
    stage.line("fmt", "\x1b[31mred");
    assert_eq!(stage.close().0, "\x1b[31mred\n");
}

#[test]
fn colours_stay_in_a_pipe_where_they_are_asked_for() {
    let mut stage = Stage::with(Scene::Pipes, Sharing::Alone, Vec::new(), |ui| {
        ui.out.color = true
    });
    stage.begin(&STEPS);
    stage.line("fmt", "\x1b[31mred\x1b[0m");
    assert_eq!(stage.close().0, "\x1b[31mred\x1b[0m\n");
}

#[test]
fn lines_of_steps_that_run_together_are_labelled_and_whole() {
    let mut stage = stage(Scene::Pipes, Sharing::Labelled);
    stage.start("fmt");
    stage.start("unit");
    stage.record("fmt", 1, Marks::CONTINUES, b"one ");
    stage.record("unit", 1, Marks::CONTINUES, b"two ");
    stage.record("unit", 1, stderr(), b"from stderr");
    stage.line("fmt", "\x1b[32mline");
    stage.line("unit", "lines\r");
    stage.line("unit", "10%\r50%\r100%");
    stage.line("fmt", "");
    stage.record("fmt", 1, Marks::NO_EOL, b"no line end");
    let (out, err) = stage.close();
    insta::assert_snapshot!(out, @r#"
    fmt             │ one line
    unit            │ two lines
    unit            │ 100%
    fmt             │ 
    fmt             │ no line end
    "#);
    insta::assert_snapshot!(err, @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/4] fmt
    [2/4] unit
    unit            │ from stderr
    "#);
}

#[test]
fn a_question_is_shown_after_a_second() {
    let mut stage = stage(Scene::Pipes, Sharing::Labelled);
    stage.start("fmt");
    stage.record("fmt", 1, Marks::CONTINUES, b"sure? ");
    stage.wait(Duration::from_millis(900));
    assert_eq!(stage.out.text(), "");
    stage.wait(Duration::from_millis(200));
    assert_eq!(stage.out.text(), "fmt             │ sure? \n");
    stage.line("fmt", "");
    stage.line("fmt", "next");
    let (out, _) = stage.close();
    assert_eq!(out, "fmt             │ sure? \nfmt             │ next\n");
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut stage = stage(Scene::Pipes, Sharing::Labelled);
    stage.start("fmt");
    let part = vec![b'x'; piper_core::log::MAX_RECORD];
    for _ in 0..16 {
        stage.record("fmt", 1, Marks::CONTINUES, &part);
    }
    assert!(stage.out.bytes.borrow().len() >= 16 * part.len());
}

#[test]
fn another_try_begins_with_a_clean_slate() {
    let mut stage = stage(Scene::Pipes, Sharing::Labelled);
    stage.record("fmt", 1, Marks::CONTINUES, b"\x1b]0;half a title");
    stage.record("fmt", 2, Marks::default(), b"text");
    let (out, _) = stage.close();
    assert_eq!(out, "fmt             │ text\n");
}

#[test]
fn names_from_the_file_cannot_damage_the_terminal() {
    let mut stage = Stage::new(Scene::Pipes, Sharing::Labelled, Vec::new());
    stage.begin(&[("a[x=\x1b[2J]", "echo\n\x1b]0;x\x07")]);
    stage.start("a[x=\x1b[2J]");
    stage.line("a[x=\x1b[2J]", "text");
    stage.fail("a[x=\x1b[2J]", Exit::Status(1));
    stage.end(Outcome::Failed, Some("\x1b[2J"));
    let (out, err) = stage.close();
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
}

#[test]
fn a_closed_terminal_ends_nothing() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.out.fail.set(Some(io::ErrorKind::BrokenPipe));
    stage.err.fail.set(Some(io::ErrorKind::BrokenPipe));
    eventful(&mut stage);
    stage.close();
}

#[test]
fn lost_output_is_told_at_the_end() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.out.fail.set(Some(io::ErrorKind::StorageFull));
    stage.line("fmt", "text");
    let (_, err) = stage.close();
    assert!(
        err.ends_with("warning: standard output is incomplete: no storage space\n"),
        "{err}"
    );
}

fn page(unicode: bool) -> Page<'static> {
    Page {
        build: build(),
        end: None,
        is_whole: true,
        file: None,
        style: Style::new(false, unicode),
    }
}

#[test]
fn a_recorded_build_is_shown_as_a_page() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    eventful(&mut stage);
    let events = stage.events.iter().map(|(at, event)| (*at, event));
    let page = Page {
        file: Some(Path::new("/state/bcdfghjklmnpqrst.plog")),
        ..page(true)
    };
    let page = page.render(events, |at| at.to_string());
    insta::assert_snapshot!(page, @r#"
    build        bcdfghjklmnpqrst
    project      hello 1.2.0
    pipeline     build
    environment  local
    revision     0123456789abcdef0123456789abcdef01234567
    parameters   profile=debug
    started      2026-01-02T03:04:05.000000Z
    took         14.0s
    record       /state/bcdfghjklmnpqrst.plog

    ! fmt              allowed       0.9s  exit code 1
    ✓ unit             flaky         3.1s  2 tries
    ✗ lint[rust=1.95]  failed        1.2s  took longer than its `timeout`
    ○ deploy           skipped             lint[rust=1.95] failed

    warning: the index is locked

    hello 1.2.0 failed after 14.0s: lint[rust=1.95] took longer than its `timeout` (1 flaky, 1 failed, 1 allowed to fail, 1 skipped) · piper logs 'bcdfghj/lint[rust=1.95]'
    "#);
}

#[test]
fn a_build_that_died_is_shown_as_not_finished() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.start("fmt");
    let events = stage.events.iter().map(|(at, event)| (*at, event));
    let page = page(false).render(events, |at| at.to_string());
    insta::assert_snapshot!(page, @r#"
    build        bcdfghjklmnpqrst
    project      hello 1.2.0
    pipeline     build
    environment  local
    revision     0123456789abcdef0123456789abcdef01234567
    parameters   profile=debug
    started      2026-01-02T03:04:05.000000Z

    - fmt              running
    - unit             waiting
    - lint[rust=1.95]  waiting
    - deploy           waiting

    not finished (no step is done)
    "#);
}

#[test]
fn a_damaged_record_is_shown_with_the_end_that_the_index_knows() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.start("fmt");
    stage.pass("fmt");
    stage.start("unit");
    let events = stage.events.iter().map(|(at, event)| (*at, event));
    let end = BuildEnd {
        outcome: Outcome::Succeeded,
        reason: None,
        duration: seconds(14),
        size: 1,
    };
    let page = Page {
        end: Some(&end),
        is_whole: false,
        ..page(true)
    };
    let page = page.render(events, |_| "then".to_owned());
    let (_, rest) = page.split_once("started").unwrap();
    insta::assert_snapshot!(rest.trim_start(), @r#"
    then
    took         14.0s

    ✓ fmt              passed        1.2s
    ○ unit             unknown
    ○ lint[rust=1.95]  unknown
    ○ deploy           unknown

    hello 1.2.0 finished successfully in 14.0s
    "#);
}

#[test]
fn a_killed_build_took_at_least_so_long() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    stage.start("fmt");
    stage.time = seconds(2);
    stage.end(Outcome::Errored, Some(crate::history::KILLED));
    let events = stage.events.iter().map(|(at, event)| (*at, event));
    let page = page(true).render(events, |_| "then".to_owned());
    let (_, rest) = page.split_once("started").unwrap();
    insta::assert_snapshot!(rest.trim_start(), @r#"
    then
    took         at least 2.0s

    ✗ fmt              interrupted
    ○ unit             not begun
    ○ lint[rust=1.95]  not begun
    ○ deploy           not begun

    hello 1.2.0 could not be finished, after at least 2.0s: piper was killed (no step is done)
    "#);
}

#[test]
fn a_step_that_could_not_be_started_says_why_once() {
    let mut stage = stage(Scene::Pipes, Sharing::Alone);
    let not_started = |why: &str| Some(Exit::NotStarted(why.to_owned()));
    let missing = not_started("`cargo` was not found in PATH");
    stage.start("fmt");
    stage.finish("fmt", StepOutcome::Failed, missing, None);
    let why = "could not start `cargo`: out of memory";
    stage.start("unit");
    stage.finish("unit", StepOutcome::Errored, not_started(why), Some(why));
    stage.end(Outcome::Errored, Some("unit could not be run"));
    let (_, err) = stage.close();
    let (_, rest) = err.split_once("[1/4] fmt\n").unwrap();
    insta::assert_snapshot!(rest, @r#"
    ✗ fmt could not be started: `cargo` was not found in PATH
        command: cargo fmt --check
    [2/4] unit
    ✗ unit could not be run: could not start `cargo`: out of memory
        command: cargo test
    hello 1.2.0 could not be finished, after 0ms: unit could not start `cargo`: out of memory (1 failed, 1 could not be run)
    "#);
}

#[test]
fn a_program_gets_one_object_a_line() {
    let mut stage = stage(Scene::Json, Sharing::Labelled);
    stage.tell(Event::BuildPaused {});
    stage.tell(Event::BuildResumed {});
    stage.record("fmt", 1, stderr() | Marks::NO_EOL, b"\xff\x00");
    stage.record("fmt", 1, Marks::CONTINUES, "é\x1b\"".as_bytes());
    stage.tell(Event::BuildCancelling {
        reason: "interrupted (SIGINT)".into(),
    });
    stage.tell(Event::Annotation(Box::new(Annotation {
        step: "unit".to_owned(),
        r#try: 1,
        level: Level::Error,
        message: "left: 1\nright: 2".to_owned(),
        title: Some("sums".to_owned()),
        file: Some("src/lib.rs".to_owned()),
        line: Some(7),
        column: None,
        end_line: None,
    })));
    eventful(&mut stage);
    let (out, err) = stage.close();
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/wire/v1.ndjson"
    );
    // A version only gains members, so the file changes only when this test tells more.
    if std::env::var_os("PIPER_WRITE_GOLDEN").is_some() {
        std::fs::write(golden, &out).unwrap();
    }
    assert_eq!(out, std::fs::read_to_string(golden).unwrap());
    assert_eq!(err, "");
}

#[test]
fn a_hundred_thousand_steps_are_no_burden() {
    let labels: Vec<_> = (0..100_000).map(|n| format!("step-{n}")).collect();
    let steps: Vec<_> = labels
        .iter()
        .map(|label| (label.as_str(), "true"))
        .collect();
    let mut stage = Stage::new(Scene::Terminal(80, 24), Sharing::Labelled, Vec::new());
    stage.begin(&steps);
    for label in &labels {
        stage.start(label);
        stage.line(label, "text");
        stage.pass(label);
        stage.wait(Duration::from_micros(10));
    }
    stage.end(Outcome::Succeeded, None);
    // Redrawn some 25 times in its second, and written whenever the buffer is full.
    assert!(stage.out.writes.get() < 1000, "{}", stage.out.writes.get());
    assert!(stage.out.text().contains("(100000 steps)\n"));
}
