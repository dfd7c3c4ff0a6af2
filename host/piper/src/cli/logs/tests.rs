use super::{
    print::{Form, Printer},
    *,
};
use crate::{
    history::sample::{self, Running},
    ui::{
        Face,
        output::{Sink, fake::Fake},
        style::Style,
    },
};
use piper_engine::logs::PlogReader;
use test_case::test_case;

const PLAIN: Form = Form {
    raw: false,
    timestamps: false,
    label: true,
    tries: true,
};

fn log(form: Form, mut selection: Selection, last: Option<u64>) -> String {
    let (_folder, place) = sample::place();
    let build = sample::build(1, "/a");
    Running::begin(&place, &build, 3).finish(Outcome::Succeeded);
    let reader = PlogReader::open(&place.file(build.id)).unwrap();
    if let Some(wanted) = last {
        selection.lines = Some(tail(&reader, &selection, wanted));
    }
    let fake = Fake::default();
    let face = Face {
        terminal: false,
        color: false,
    };
    let outputs = Outputs::new(Sink::new(Box::new(fake.clone()), face), None);
    let labels = ["unit", "lint[os=a/b]"];
    let mut printer = Printer::for_people(outputs, form, Style::new(false, true), &labels);
    let ui = Ui {
        format: OutputFormat::Text,
        quiet: false,
        live: false,
        verbose: false,
        out: face,
        err: face,
    };
    pass(
        &mut Source::Kept(reader.select(selection)),
        &mut printer,
        &ui,
    )
    .unwrap();
    printer.finish();
    fake.text()
}

#[test]
fn each_line_says_which_step_wrote_it_and_cannot_do_harm() {
    insta::assert_snapshot!(log(PLAIN, Selection::default(), None), @"
    unit         │ unit try 1 line 0
    unit         │ unit try 1 line 1
    unit         │ unit try 1 line 2
    unit         │ a bad word
    unit         │ unit try 2 line 0
    unit         │ unit try 2 line 1
    unit         │ unit try 2 line 2
    unit         │ a bad word
    lint[os=a/b] │ lint[os=a/b] try 1 line 0
    lint[os=a/b] │ a bad word
    ");
}

#[test]
fn the_log_of_one_step_has_no_labels() {
    let lint = Selection {
        steps: vec!["lint[os=a/b]".to_owned()],
        ..Selection::default()
    };
    let form = Form {
        label: false,
        ..PLAIN
    };
    assert_eq!(
        log(form, lint, None),
        "lint[os=a/b] try 1 line 0\na bad\u{1b}[2J word"
    );
}

#[test]
fn raw_is_the_very_bytes() {
    let selection = Selection {
        tries: vec![1],
        steps: vec!["unit".to_owned()],
        ..Selection::default()
    };
    let raw = log(Form { raw: true, ..PLAIN }, selection, None);
    assert_eq!(
        raw,
        "unit try 1 line 0\nunit try 1 line 1\nunit try 1 line 2\na \u{1b}[31mbad\u{1b}[2J word"
    );
}

#[test]
fn a_timestamp_stands_before_each_line() {
    let selection = Selection {
        lines: Some(1..=1),
        ..Selection::default()
    };
    let line = log(
        Form {
            timestamps: true,
            ..PLAIN
        },
        selection,
        None,
    );
    assert!(
        line.ends_with(":01.000 unit         │ unit try 1 line 0\n"),
        "{line}"
    );
}

#[test_case(0, 0)]
#[test_case(1, 1)]
#[test_case(4, 4)]
#[test_case(99, 10; "more than there are")]
fn the_tail_is_the_last_lines(wanted: u64, lines: usize) {
    let all = log(PLAIN, Selection::default(), None);
    let tail = log(PLAIN, Selection::default(), Some(wanted));
    assert!(all.ends_with(&tail));
    assert_eq!(tail.lines().count(), lines);
}

#[test_case("5-10", Some(5..=10))]
#[test_case("5-", Some(5..=u64::MAX))]
#[test_case("-10", Some(1..=10))]
#[test_case("7", Some(7..=7))]
#[test_case("-", None; "nothing at all")]
#[test_case("", None; "empty")]
#[test_case("0", None; "zero")]
#[test_case("9-5", None; "backwards")]
#[test_case("a-b", None; "letters")]
fn lines_are_a_range_from_1(text: &str, range: Option<RangeInclusive<u64>>) {
    assert_eq!(lines(text).ok(), range);
}

#[test_case("10m", Some(Since::Ago(Duration::from_secs(600))))]
#[test_case("1970-01-01T00:00:01Z", Some(Since::At(Timestamp(1_000_000))))]
#[test_case("yesterday", None)]
fn a_beginning_is_a_duration_or_a_time(text: &str, expected: Option<Since>) {
    assert_eq!(since(text).ok(), expected);
}
