use super::*;
use piper_plugin::testing::Fake;
use proptest::prelude::*;
use test_case::test_case;

#[test_case("src/lib.rs:12:5: error", &[("src/lib.rs", 12)]; "rust and compilers")]
#[test_case("at com.acme.FooTest.bar(FooTest.java:12)", &[("FooTest.java", 12)]; "java")]
#[test_case("  File \"a b.py\", line 3, in x", &[("a b.py", 3)]; "python")]
#[test_case("at Object.<anonymous> (/home/me/a.js:3:49)", &[("/home/me/a.js", 3)]; "javascript")]
#[test_case("calc_test.go:9: 7/2\n\tx.go:3 +0xa", &[("calc_test.go", 9), ("x.go", 3)]; "go")]
#[test_case("http://a.b:80/ 12:30:01 a:b v1.2:x a.rs: 5 a.rs:0", &[]; "neither addresses nor times")]
#[test_case("é:1 “é.rs:2”", &[("“é.rs", 2)]; "other letters")]
#[test_case(":", &[]; "a colon")]
fn texts_mention_places(text: &str, expected: &[(&str, u32)]) {
    let found: Vec<_> = mentions(text).collect();
    assert_eq!(found, expected);
}

#[test_case("com.acme.FooTest", &["com/acme/", "acme/"])]
#[test_case("example.com/hello/calc", &["example.com/hello/calc/", "hello/calc/", "calc/"])]
#[test_case("calc", &[])]
#[test_case("", &[])]
#[test_case("a b.c", &[])]
#[test_case("../../etc/x", &[])]
fn classes_are_in_folders(class: &str, expected: &[&str]) {
    assert_eq!(packages(class), expected);
}

fn place(files: &[&str], case: &Case, report: &str) -> Option<Place> {
    let fake = Fake::new();
    for file in files {
        fake.file(file, "");
    }
    Finder::default().place(case, report)
}

fn says(text: &str) -> Case {
    Case {
        text: text.into(),
        ..Case::default()
    }
}

#[test]
fn what_lies_near_the_report_is_meant() {
    let files = ["a/src/x.rs", "b/src/x.rs", "src/x.rs"];
    let found = place(&files, &says("src/x.rs:3"), "b/target/report.xml").unwrap();
    assert_eq!((&*found.file, found.line), ("b/src/x.rs", Some(3)));
}

#[test]
fn a_file_that_is_named_beats_others_that_are_mentioned() {
    let case = Case {
        file: "tests/test_a.py".into(),
        line: Some(1),
        text: "src/a.py:9: in divide\ntests/test_a.py:3: in test".into(),
        ..Case::default()
    };
    let found = place(&["src/a.py", "tests/test_a.py"], &case, "r.xml").unwrap();
    assert_eq!((&*found.file, found.line), ("tests/test_a.py", Some(3)));
}

#[test_case("/usr/lib/python3/site-packages/x/y.py:3"; "of a package")]
#[test_case("../../etc/passwd.conf:1"; "outside")]
#[test_case("/nowhere/b.rs:1"; "not there")]
#[test_case("src:1"; "a folder")]
fn what_is_not_the_workspaces_is_not_named(text: &str) {
    assert_eq!(
        place(&["src/a.rs", "x/y.py", "y.py"], &says(text), "r.xml"),
        None
    );
}

#[test]
fn the_host_is_not_asked_for_ever() {
    let _fake = Fake::new();
    let mut finder = Finder::default();
    for number in 0..2_000 {
        let text: String = (0..60).map(|at| format!("f{number}x{at}.rs:1 ")).collect();
        assert_eq!(finder.place(&says(&text), "a/b/c/r.xml"), None);
    }
    assert_eq!(finder.known.len(), MOST_LOOKS);
}

proptest! {
    #[test]
    fn any_text_can_be_searched(text in "\\PC{0,60}", class in "\\PC{0,20}") {
        let fake = Fake::new();
        fake.file("a.rs", "");
        let case = Case { class, file: text.clone(), ..says(&text) };
        let _ = Finder::default().place(&case, "target/r.xml");
    }
}
