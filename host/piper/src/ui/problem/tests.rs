use super::*;
use piper_core::{
    codes::{self, CODES},
    pipeline,
    problem::{Code, Source},
};
use std::{collections::BTreeSet, fs};
use test_case::test_case;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/pipelines")
        .join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

/// `PIPER_BLESS=1` rewrites what is expected.
#[test]
fn invalid_files_are_reported_as_their_golden_text_says() {
    let bless = std::env::var_os("PIPER_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    for path in fixtures("invalid") {
        let loaded = pipeline::load_bytes("piper.toml".into(), fs::read(&path).unwrap());
        assert!(!loaded.problems.is_empty(), "{} is valid", path.display());
        codes.extend(loaded.problems.iter().map(|problem| problem.code));
        let text = text(&loaded.problems, false, None);
        let golden = path.with_extension("stderr");
        if bless {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nPIPER_BLESS=1 rewrites the golden files",
        wrong.join("\n")
    );
    let never: Vec<Code> = CODES
        .iter()
        .map(|(code, ..)| *code)
        .filter(|code| code.0 < 300 && !codes.contains(code))
        // Not of the text: a fixture of invalid UTF-8 stands in the unit tests of the reader, the others in those of `find`.
        .filter(|code| ![codes::NOT_UTF8, codes::UNREADABLE, codes::TOO_LARGE].contains(code))
        .collect();
    assert_eq!(never, [], "codes without a fixture");
}

#[test]
fn valid_files_have_at_most_warnings() {
    for path in fixtures("valid") {
        let loaded = pipeline::load_bytes(path.clone(), fs::read(&path).unwrap());
        assert!(
            !loaded.has_errors(),
            "{}",
            text(&loaded.problems, false, None)
        );
    }
}

fn span(text: &str, bytes: Range<usize>) -> Span {
    Span {
        source: Arc::new(Source {
            path: "/work/hello/piper.toml".into(),
            text: text.to_owned(),
        }),
        bytes,
    }
}

#[test]
fn a_problem_has_a_snippet_with_carets_and_help() {
    let text_of_file = "[steps.test]\nrun = \"x\"\ntimout = \"5m\"\n";
    let problem = Problem::error(codes::UNKNOWN_KEY, "unknown key `timout` in step `test`")
        .at(span(text_of_file, 23..29), "did you mean `timeout`?");
    let expected = "\
error[P0107]: unknown key `timout` in step `test`
 --> piper.toml:3:1
  |
3 | timout = \"5m\"
  | ^^^^^^ did you mean `timeout`?
  = help: run `piper explain P0107`
";
    assert_eq!(
        text(
            std::slice::from_ref(&problem),
            false,
            Some(Path::new("/work/hello"))
        ),
        expected
    );
    let elsewhere = text(&[problem], true, Some(Path::new("/work/other")));
    assert!(elsewhere.contains("/work/hello/piper.toml:3:1"));
    assert!(elsewhere.contains("\x1b[1;31m^^^^^^ did you mean"));
}

#[test]
fn a_problem_as_json_has_lines_and_columns_in_characters() {
    let problem = Problem::error(codes::BAD_VALUE, "no")
        .at(span("é = 1\nπρ = \"x\"\n", 14..17), "here")
        .help("mend it");
    assert_eq!(
        json(&[problem], Some(Path::new("/work"))),
        [json!({
            "code": "P0108",
            "severity": "error",
            "message": "no",
            "label": "here",
            "help": ["mend it"],
            "path": "hello/piper.toml",
            "line": 2,
            "column": 6,
            "end": { "line": 2, "column": 9 },
        })]
    );
}

#[test_case("a\tb", 2..3, "a    b", 5, 1; "a tab is four columns")]
#[test_case("日本x", 3..6, "日本x", 2, 2; "wide characters are two columns")]
#[test_case("\u{1b}[31mx", 6..7, "␛[31mx", 6, 0; "past the end")]
#[test_case("\u{1b}[31mx", 5..6, "␛[31mx", 5, 1; "an escape is shown and does nothing")]
#[test_case("a\u{202e}b", 4..5, "a\u{fffd}b", 2, 1; "the direction of writing is not changed")]
#[test_case("", 0..0, "", 0, 0; "nothing")]
fn carets_stand_under_what_is_marked(
    line: &str,
    marked: Range<usize>,
    shown: &str,
    before: usize,
    width: usize,
) {
    let cut = Cut::around(line, marked);
    assert_eq!(
        (cut.line.as_str(), cut.before, cut.width),
        (shown, before, width)
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let line = format!("{}HERE{}", "a".repeat(100_000), "b".repeat(100_000));
    let cut = Cut::around(&line, 100_000..100_004);
    assert!(cut.line.starts_with("…aaa") && cut.line.ends_with("bbb…"));
    let marked: String = cut.line.chars().skip(cut.before).take(cut.width).collect();
    assert_eq!(marked, "HERE");
    assert!(cut.line.chars().count() <= WIDEST + 2);
    let whole = Cut::around(&line, 0..line.len());
    assert!(whole.width <= WIDEST);
}

#[test]
fn after_twenty_problems_the_rest_is_counted() {
    let problems = vec![Problem::error(codes::BAD_NAME, "x"); 23];
    let shown = text(&problems, false, None);
    assert_eq!(shown.matches("error[P0105]").count(), 20);
    assert!(shown.ends_with("\n… and 3 more; `piper check` shows all of them\n"));
    let shown = all(&problems, false, None);
    assert_eq!(shown.matches("error[P0105]").count(), 23);
}

#[test]
fn places_of_problems_in_any_order_are_right() {
    let lines = "ab\ncd\nef\n";
    let span = span(lines, 0..0);
    let mut locator = Locator::default();
    let mut at = |byte| {
        let place = locator.locate(&span, byte);
        (place.line, place.column)
    };
    assert_eq!(
        [at(7), at(1), at(3), at(3), at(9), at(99)],
        [(3, 2), (1, 2), (2, 1), (2, 1), (4, 1), (4, 1)]
    );
}

#[test]
fn a_place_before_a_byte_order_mark_is_shown_at_the_first_character() {
    let span = span("\u{feff}a = 1\n", 0..0);
    let problem = Problem::error(codes::BAD_VALUE, "no").at(span, "here");
    let shown = text(&[problem], false, None);
    assert!(
        shown.contains(":1:1\n  |\n1 | a = 1\n  | ^ here\n"),
        "{shown}"
    );
}
