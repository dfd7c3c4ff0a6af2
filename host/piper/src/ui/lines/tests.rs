use super::*;
use crate::ui::output::{Size, fake::Fake};
use piper_core::time::Timestamp;
use proptest::prelude::*;

const PLAIN: Face = Face {
    terminal: false,
    color: false,
};

/// Both streams in one buffer, and what was written.
fn joined() -> (Outputs, Fake) {
    let fake = Fake::default();
    let sink = Sink::new(Box::new(fake.clone()), PLAIN);
    (Outputs::new(sink, None), fake)
}

fn record(step: u32, marks: Marks, text: &[u8]) -> Record<'_> {
    Record {
        seq: 0,
        at: Timestamp(0),
        step,
        r#try: 1,
        marks,
        text,
    }
}

/// Who prints, on which stream, what, and whether the line ends with it.
type Piece = (u32, bool, String, bool);

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    proptest::collection::vec(
        (0..3_u32, any::<bool>(), "[a-z ]{0,5}", any::<bool>()),
        0..60,
    )
}

proptest! {
    #[test]
    fn no_line_is_torn_mixed_or_lost(pieces in pieces()) {
        let (mut outputs, fake) = joined();
        let mut lines = Lines::new(Sharing::Labelled, true, false);
        let mut whole: BTreeMap<(u32, bool), String> = BTreeMap::new();
        for (step, is_stderr, text, ends) in &pieces {
            let mut marks = if *is_stderr { Marks::STDERR } else { Marks::default() };
            if !ends {
                marks |= Marks::CONTINUES;
            }
            let label = format!("{step}{}", if *is_stderr { "e" } else { "o" });
            // Labels tell the streams apart here, which they do not otherwise.
            let place = step * 2 + u32::from(*is_stderr);
            lines.record(&mut outputs, Monotonic::default(), &label, &record(place, marks, text.as_bytes()));
            let line = whole.entry((*step, *is_stderr)).or_default();
            line.push_str(text);
            if *ends {
                line.push('\n');
            }
        }
        lines.finish(&mut outputs);
        outputs.flush();
        let written = fake.text();
        for ((step, is_stderr), mut text) in whole {
            let prefix = format!("{step}{} │ ", if is_stderr { "e" } else { "o" });
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            let mut own = String::new();
            for line in written.lines().filter_map(|line| line.strip_prefix(&prefix)) {
                own.push_str(line);
                own.push('\n');
            }
            prop_assert_eq!(own, text);
        }
    }

    #[test]
    fn bytes_of_a_step_alone_are_exact(chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..9), any::<bool>()), 0..20)) {
        let (mut outputs, fake) = joined();
        let mut lines = Lines::new(Sharing::Alone, true, false);
        lines.is_colorless(0);
        let mut expected = Vec::new();
        for (bytes, ends) in &chunks {
            let marks = if *ends { Marks::default() } else { Marks::CONTINUES };
            lines.record(&mut outputs, Monotonic::default(), "x", &record(0, marks, bytes));
            expected.extend_from_slice(bytes);
            if *ends {
                expected.push(b'\n');
            }
        }
        lines.finish(&mut outputs);
        outputs.flush();
        prop_assert_eq!(&*fake.bytes.borrow(), &expected);
    }
}

/// What a step that is alone prints: whole lines, and pieces of lines; letters, and the parts of colours.
fn runs() -> impl Strategy<Value = Vec<(Vec<Vec<u8>>, bool)>> {
    let line = proptest::collection::vec(proptest::sample::select(&b"ab\x1b[1m\xff"[..]), 0..6);
    let lines = proptest::collection::vec(line, 1..5);
    let piece = proptest::collection::vec(any::<u8>(), 0..4).prop_map(|piece| vec![piece]);
    proptest::collection::vec(
        prop_oneof![
            3 => lines.prop_map(|lines| (lines, true)),
            1 => piece.prop_map(|piece| (piece, false)),
        ],
        0..20,
    )
}

proptest! {
    #[test]
    fn many_lines_at_once_look_like_the_same_lines_one_by_one(runs in runs(), colorless: bool) {
        let written = |at_once: bool| {
            let (mut outputs, fake) = joined();
            let mut lines = Lines::new(Sharing::Alone, true, false);
            if colorless {
                lines.is_colorless(0);
            }
            for (run, ends) in &runs {
                let marks = if *ends { Marks::default() } else { Marks::CONTINUES };
                let whole: Vec<u8> = run.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
                if at_once && lines.whole_lines(&mut outputs, &record(0, marks, &whole)) {
                    continue;
                }
                for line in run {
                    lines.record(&mut outputs, Monotonic::default(), "x", &record(0, marks, line));
                }
            }
            let open = outputs.sink(Stream::Stdout).open;
            lines.finish(&mut outputs);
            outputs.flush();
            let bytes = fake.bytes.borrow().clone();
            (bytes, open)
        };
        prop_assert_eq!(written(true), written(false));
    }
}

#[test]
fn plain_lines_are_taken_at_once() {
    let (mut outputs, fake) = joined();
    let mut lines = Lines::new(Sharing::Alone, true, false);
    let many = record(0, Marks::default(), b"b\nc\n");
    assert!(
        !lines.whole_lines(&mut outputs, &many),
        "nobody knows the step yet"
    );
    lines.record(
        &mut outputs,
        Monotonic::default(),
        "x",
        &record(0, Marks::default(), b"a"),
    );
    assert!(lines.whole_lines(&mut outputs, &many));
    outputs.flush();
    assert_eq!(fake.text(), "a\nb\nc\n");
}

#[test]
fn after_a_gap_nothing_goes_on_and_last_lines_are_not_all() {
    let (mut outputs, fake) = joined();
    let mut lines = Lines::new(Sharing::Labelled, true, true);
    for (marks, text) in [(Marks::CONTINUES, "half"), (Marks::default(), "whole")] {
        let record = record(0, marks, text.as_bytes());
        lines.record(&mut outputs, Monotonic::default(), "x", &record);
        if text == "half" {
            lines.leave_out(&mut outputs);
        }
    }
    let tail = lines.finish_step(&mut outputs, 0);
    assert_eq!(tail.last(), (&b"whole\n"[..], 1, false));
    outputs.flush();
    assert_eq!(fake.text(), "x │ half\nx │ whole\n");
}

/// What steps with these labels print, each one line, on a terminal of so many columns or elsewhere.
fn labelled(labels: &[&str], columns: Option<usize>) -> String {
    let fake = Fake::default();
    fake.size
        .set(columns.map(|columns| Size { columns, rows: 24 }));
    let face = Face {
        terminal: columns.is_some(),
        color: false,
    };
    let mut outputs = Outputs::new(Sink::new(Box::new(fake.clone()), face), None);
    let mut lines = Lines::new(Sharing::Labelled, true, false);
    lines.align(labels.iter().copied(), outputs.columns());
    for (place, label) in (0..).zip(labels) {
        let record = record(place, Marks::default(), b"text");
        lines.record(&mut outputs, Monotonic::default(), label, &record);
    }
    outputs.flush();
    fake.text()
}

#[test]
fn labels_leave_most_of_a_terminal_to_what_is_printed_and_stay_aligned() {
    let labels = [
        "fmt",
        "integration-tests[database=postgres-16,os=linux]",
        "integration-tests[database=sqlite,os=linux]",
    ];
    insta::assert_snapshot!(labelled(&labels, Some(80)), @"
    fmt                        │ text
    integration-t…16,os=linux] │ text
    integration-t…te,os=linux] │ text
    ");
    insta::assert_snapshot!(labelled(&labels, None), @"
    fmt                                              │ text
    integration-tests[database=postgres-16,os=linux] │ text
    integration-tests[database=sqlite,os=linux]      │ text
    ");
}

#[test]
fn labels_that_could_be_mixed_up_when_cut_are_shown_in_full() {
    let labels = [
        "unit[a=1,b=x,c=1]",
        "unit[a=1,b=y,c=1]",
        "unit[a=1,b=x,c=2]",
    ];
    insta::assert_snapshot!(labelled(&labels, Some(30)), @"
    unit[a=1,b=x,c=1] │ text
    unit[a=1,b=y,c=1] │ text
    unit[…c=2] │ text
    ");
}

#[test]
fn piper_s_own_words_are_talk() {
    let (out, err) = (Fake::default(), Fake::default());
    let sink = |fake: &Fake| Sink::new(Box::new(fake.clone()), PLAIN);
    let mut outputs = Outputs::new(sink(&out), Some(sink(&err)));
    let mut lines = Lines::new(Sharing::Alone, true, false);
    let own = record(0, Marks::PIPER, b"workspace is ready\x07");
    lines.record(&mut outputs, Monotonic::default(), "unit", &own);
    let after_gap = record(0, Marks::DROPPED_BEFORE, b"text");
    lines.record(&mut outputs, Monotonic::default(), "unit", &after_gap);
    outputs.flush();
    assert_eq!(out.text(), "text\n");
    assert_eq!(
        err.text(),
        "unit: workspace is ready␇\nunit: some of its output is missing here\n"
    );
}

#[test]
fn a_tail_is_the_last_lines_and_knows_whether_they_are_all() {
    let mut tail = Tail::default();
    for n in 0..TAIL_LINES {
        tail.push(format!("line {n}").as_bytes());
    }
    assert_eq!((tail.last().1, tail.last().2), (TAIL_LINES, true));
    tail.push(b"one more");
    let (lines, count, all) = tail.last();
    assert_eq!((count, all), (TAIL_LINES, false));
    assert!(lines.starts_with(b"line 1\n"));
    for _ in 0..10_000 {
        tail.push(&[b'x'; 100]);
    }
    assert!(tail.bytes.len() <= 2 * TAIL_BYTES);
    tail.push(&vec![b'x'; TAIL_BYTES + 1]);
    assert!(tail.last().0.ends_with(b"x\n"));
}
