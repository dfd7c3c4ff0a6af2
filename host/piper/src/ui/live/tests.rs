use super::super::{
    lines::Sharing,
    output::Size,
    reporter::StepSetup,
    stage::{Scene, Stage},
};
use super::*;
use piper_core::{
    log::Marks,
    wire::v1::{Event, Exit, Outcome},
};
use std::num::NonZero;
use test_case::test_case;

/// What stands on a terminal of this size after these bytes, and how far it has scrolled.
fn screen(bytes: &str, columns: usize, rows: usize) -> vt100::Parser {
    let cells = |n: usize| NonZero::new(n as u16).unwrap();
    let mut parser = vt100::Parser::new(cells(rows), cells(columns), 1000);
    // As the terminal's driver does.
    parser.process(bytes.replace('\n', "\r\n").as_bytes());
    parser
}

fn text(stage: &Stage, columns: usize, rows: usize) -> String {
    let contents = screen(&stage.out.text(), columns, rows).screen().contents();
    let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn labels(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("step-{n}")).collect()
}

fn on(columns: usize, rows: usize, steps: &[String]) -> Stage {
    let mut stage = Stage::new(
        Scene::Terminal(columns, rows),
        Sharing::Labelled,
        Vec::new(),
    );
    let steps: Vec<_> = steps.iter().map(|label| (label.as_str(), "make")).collect();
    stage.begin(&steps);
    stage
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn what_runs_stands_at_the_bottom() {
    let steps = labels(4);
    let mut stage = on(80, 24, &steps);
    for label in &steps[..3] {
        stage.start(label);
    }
    stage.line("step-0", "compiling");
    stage.wait(seconds(12));
    stage.pass("step-1");
    stage.line("step-0", "still compiling");
    stage.wait(seconds(62));
    insta::assert_snapshot!(text(&stage, 80, 24), @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    step-0 │ compiling
    ✓ step-1 passed in 1.2s
    step-0 │ still compiling
      step-0  1:14 · quiet 1:02
      step-2  1:14 · quiet 1:14
    [1/4] 2 running · 1 passed · 0 failed · 1:14
    "#);
}

#[test]
fn a_step_alone_has_one_line() {
    let mut stage = Stage::new(Scene::Terminal(80, 24), Sharing::Alone, Vec::new());
    stage.begin(&[("fmt", "x"), ("unit", "y")]);
    stage.start("fmt");
    stage.pass("fmt");
    stage.start("unit");
    stage.line("unit", "running");
    stage.wait(seconds(34));
    insta::assert_snapshot!(text(&stage, 80, 24), @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/2] fmt
    ✓ fmt passed in 1.2s
    [2/2] unit
    running
    [2/2] unit 0:34 · quiet 0:34
    "#);
}

#[test_case(80, 24)]
#[test_case(20, 5)]
#[test_case(10, 3)]
#[test_case(1, 1)]
fn it_fits_on_any_screen(columns: usize, rows: usize) {
    let steps = labels(500);
    let mut stage = on(columns, rows, &steps);
    for label in &steps {
        stage.start(label);
    }
    for n in 0..100 {
        stage.wait(Duration::from_millis(100));
        stage.line(&format!("step-{n}"), &format!("line {n}"));
    }
    for label in &steps {
        stage.pass(label);
    }
    stage.wait(seconds(1));
    stage.end(Outcome::Succeeded, None);
    stage.out.bytes.borrow_mut().shrink_to_fit();
    // On a wide screen with the same rows, so that a row that was wrapped would be found as one that is left.
    let mut parser = screen(&stage.out.text(), 200.max(columns), 2000);
    let all = parser.screen_mut().contents();
    assert!(!all.contains("running"), "a line was left: {all}");
    assert_eq!(all.matches("│ line").count(), 100);
    assert_eq!(all.matches("passed in").count(), 500);
}

#[test_case(20, 5)]
#[test_case(10, 3)]
#[test_case(12, 24)]
fn nothing_is_wrapped_and_nothing_is_left_on_a_narrow_screen(columns: usize, rows: usize) {
    let steps = labels(40);
    let mut stage = on(columns, rows, &steps);
    for label in &steps {
        stage.start(label);
    }
    for n in 1..20 {
        stage.wait(seconds(1));
        let contents = text(&stage, columns, rows);
        let last = contents.lines().last().unwrap();
        assert!(last.starts_with("[0/40]"), "{contents}");
        let status = contents.lines().filter(|line| line.starts_with("[0/40]"));
        assert_eq!(status.count(), 1, "{n}: {contents}");
    }
}

#[test]
fn five_hundred_steps_are_folded() {
    let steps = labels(500);
    let mut stage = on(40, 10, &steps);
    for label in &steps {
        stage.start(label);
    }
    stage.wait(seconds(1));
    insta::assert_snapshot!(text(&stage, 40, 10), @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
      step-0  0:01
      step-1  0:01
      step-2  0:01
      … and 497 more
    [0/500] 500 running · 0 passed · 0 fai…
    "#);
}

#[test]
fn hostile_output_leaves_the_lines_where_they_are() {
    let steps = labels(2);
    let mut stage = on(60, 12, &steps);
    stage.start("step-0");
    stage.start("step-1");
    for attack in [
        "\x1b[2J\x1b[Hcleared",
        "\x1b[?1049hother screen",
        "\x1b[5Aup",
        "\x1b]0;title\x07titled",
        "\x1b[31mred for ever",
        "\x1b[8mhidden for ever",
        "back\x08\x08\x08\x08\x08\x08",
        "return\rreturned",
        "\u{9b}2Jc1",
        "\x1bc reset",
    ] {
        stage.line("step-0", attack);
    }
    stage.record("step-1", 1, Marks::CONTINUES, b"\x1b[");
    stage.wait(seconds(2));
    insta::assert_snapshot!(text(&stage, 60, 12), @r#"
    step-0 │ other screen
    step-0 │ up
    step-0 │ titled
    step-0 │ red for ever
    step-0 │ hidden for ever
    step-0 │ back
    step-0 │ returned
    step-0 │ 2Jc1
    step-0 │  reset
      step-0  0:02
      step-1  0:02
    [0/2] 2 running · 0 passed · 0 failed · 0:02
    "#);
    let parser = screen(&stage.out.text(), 60, 12);
    let cell = parser.screen().cell(11, 0).unwrap();
    assert_eq!(cell.fgcolor(), vt100::Color::Default);
}

#[test]
fn a_window_that_becomes_narrow_is_cleaned() {
    let steps = labels(3);
    let mut stage = on(60, 12, &steps);
    for label in &steps {
        stage.start(label);
    }
    stage.wait(seconds(1));
    let before = stage.out.text().len();
    stage.out.size.set(Some(Size {
        columns: 20,
        rows: 12,
    }));
    stage.wait(seconds(1));
    let after = stage.out.text().split_off(before);
    // Three rows of 14 columns stay one row each; the last one, of 42, has the cursor at its beginning.
    assert!(after.contains("\r\x1b[3A\x1b[J"), "{after:?}");
}

#[test]
fn a_prompt_has_the_last_line_for_itself() {
    let mut stage = Stage::new(Scene::Terminal(40, 6), Sharing::Alone, Vec::new());
    stage.begin(&[("ask", "x")]);
    stage.start("ask");
    stage.wait(seconds(1));
    stage.record("ask", 1, Marks::CONTINUES, b"Name: ");
    stage.wait(seconds(3));
    insta::assert_snapshot!(text(&stage, 40, 6), @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/1] ask
    Name:
    "#);
    stage.record("ask", 1, Marks::default(), b"me");
    stage.wait(seconds(1));
    insta::assert_snapshot!(text(&stage, 40, 6), @r#"
    hello 1.2.0 (0123456789) · pipeline build · local · build bcdfghj
    [1/1] ask
    Name: me
    [1/1] ask 0:05
    "#);
}

#[test]
fn a_step_with_the_terminal_is_left_alone() {
    let tty = StepSetup {
        tty: true,
        ..StepSetup::default()
    };
    let mut stage = Stage::new(
        Scene::Terminal(40, 6),
        Sharing::Alone,
        vec![StepSetup::default(), tty],
    );
    stage.begin(&[("fmt", "x"), ("edit", "vi")]);
    stage.start("fmt");
    stage.pass("fmt");
    stage.start("edit");
    let before = stage.out.bytes.borrow().len();
    stage.wait(seconds(100));
    stage.record("edit", 1, Marks::default(), b"\x1b[2Jmine");
    let after = stage.out.text().split_off(before);
    assert_eq!(after, "\x1b[2Jmine\n");
}

#[test]
fn the_lines_go_away_while_the_build_is_stopped() {
    let steps = labels(2);
    let mut stage = on(60, 12, &steps);
    stage.start("step-0");
    stage.wait(seconds(1));
    assert!(text(&stage, 60, 12).contains("[0/2] 1 running"));
    stage.tell(Event::BuildPaused {});
    assert!(!text(&stage, 60, 12).contains("running"));
    stage.wait(seconds(100));
    stage.tell(Event::BuildResumed {});
    let text = text(&stage, 60, 12);
    assert!(text.contains("[0/2] 1 running"), "{text}");
    assert!(
        text.contains("step-0  0:01"),
        "without the time of the stop: {text}"
    );
}

#[test]
fn only_the_lines_are_on_the_terminal_when_data_goes_elsewhere() {
    let mut stage = Stage::new(Scene::DataInPipe(60, 12), Sharing::Alone, Vec::new());
    stage.begin(&[("version", "x")]);
    stage.start("version");
    stage.record("version", 1, Marks::CONTINUES, b"1.2");
    stage.wait(seconds(2));
    stage.record("version", 1, Marks::NO_EOL, b".0");
    assert_eq!(stage.out.text(), "1.2.0");
    let contents = screen(&stage.err.text(), 60, 12).screen().contents();
    assert!(contents.contains("[1/1] version 0:02"), "{contents}");
}

#[test]
fn a_failed_step_is_shown_again_at_the_end() {
    let steps = labels(3);
    let mut stage = on(70, 40, &steps);
    for label in &steps {
        stage.start(label);
    }
    for n in 0..60 {
        stage.line("step-1", &format!("line {n}"));
        stage.line("step-0", "noise");
    }
    stage.fail("step-1", Exit::Status(101));
    stage.pass("step-0");
    stage.skip("step-2", "step-1 failed");
    stage.wait(seconds(3));
    stage.end(Outcome::Failed, None);
    let parser = screen(&stage.out.text(), 70, 400);
    let contents = parser.screen().contents();
    let (_, end) = contents.split_once("\n\n").unwrap();
    assert_eq!(
        end.lines().filter(|line| line.starts_with("line ")).count(),
        50
    );
    let short: Vec<_> = end
        .lines()
        .filter(|line| !line.starts_with("line "))
        .collect();
    insta::assert_snapshot!(short.join("\n"), @r#"
    ── step-1 failed: its last 50 lines; piper logs bcdfghj/step-1 shows all ──
    ── make: exit code 101 ──

    hello 1.2.0 failed after 3.0s: step-1 exited with 101 (1 passed, 1 failed, 1 skipped) · piper logs bcdfghj/step-1
    "#);
}

#[test]
fn an_idle_build_draws_once_a_second_and_a_busy_one_not_much_more() {
    let steps = labels(2);
    let mut stage = on(60, 12, &steps);
    stage.start("step-0");
    stage.wait(seconds(1));
    let before = stage.out.writes.get();
    stage.wait(seconds(60));
    assert!(stage.out.writes.get() - before <= 61);
    let before = stage.out.writes.get();
    for _ in 0..10_000 {
        stage.line("step-0", "text");
        stage.wait(Duration::from_micros(100));
    }
    assert!(stage.out.writes.get() - before <= 30);
}
