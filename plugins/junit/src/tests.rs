use super::Junit;
use piper_plugin::{prelude::*, testing::Fake};
use test_case::test_case;

const GREEN: &str = r#"<testsuite><testcase name="a" classname="k" time="1.5"/></testsuite>"#;
const RED: &str =
    r#"<testsuite><testcase name="a" classname="k"><failure message="no"/></testcase></testsuite>"#;

fn run(fake: &Fake, options: Value) -> Verdict {
    fake.run::<Junit, _>(options).unwrap()
}

/// A workspace with these reports below `target/`.
fn fake(reports: &[&str]) -> Fake {
    let fake = Fake::new();
    for (at, report) in reports.iter().enumerate() {
        fake.file(&format!("target/{at}.xml"), *report);
    }
    fake
}

fn outputs(fake: &Fake) -> [String; 6] {
    ["tests", "failures", "errors", "skipped", "flaky", "time"]
        .map(|name| fake.output(name).unwrap())
}

/// A report of a real tool, the files of its project, what is in its outputs, and where it points.
type Sample = (
    &'static str,
    &'static [&'static str],
    [&'static str; 6],
    &'static [&'static str],
);

const PYTEST: Sample = (
    include_str!("../samples/pytest.xml"),
    &["tests/test_calc.py"],
    ["6", "2", "1", "1", "0", "0.001"],
    &[
        "tests.test_calc test_divides tests/test_calc.py:7",
        "tests.test_calc.TestRemainders test_remainder[0] tests/test_calc.py:12",
        "tests.test_calc test_errors tests/test_calc.py:20",
    ],
);
const XUNIT1: Sample = (
    include_str!("../samples/pytest-xunit1.xml"),
    PYTEST.1,
    ["6", "2", "1", "1", "0", "0.002"],
    PYTEST.3,
);
const GOTESTSUM: Sample = (
    include_str!("../samples/gotestsum.xml"),
    &["calc/calc.go", "calc/calc_test.go"],
    ["7", "5", "0", "1", "0", "0.000"],
    &[
        "TestMain -",
        "example.com/sample/calc TestDivides calc/calc_test.go:9",
        "example.com/sample/calc TestGroup/inner_case calc/calc_test.go:16",
        "example.com/sample/calc TestGroup -",
        "example.com/sample/calc TestPanics calc/calc.go:3",
    ],
);
const JEST: Sample = (
    include_str!("../samples/jest-junit.xml"),
    &["src/calc.test.js", "src/broken.test.js"],
    ["6", "2", "1", "1", "0", "0.006"],
    &[
        "calc divides <7> & 2 src/calc.test.js:3",
        "Test suite failed to run src/broken.test.js src/broken.test.js:1",
        "Test suite failed to run src/broken.test.js src/broken.test.js",
    ],
);
const SUREFIRE: Sample = (
    include_str!("../samples/surefire.xml"),
    &["src/test/java/com/acme/CalcTest.java"],
    ["5", "1", "1", "1", "1", "0.166"],
    &[
        "com.acme.CalcTest throwsIt src/test/java/com/acme/CalcTest.java:13",
        "com.acme.CalcTest divides src/test/java/com/acme/CalcTest.java:11",
    ],
);
const NEXTEST: Sample = (
    include_str!("../samples/cargo-nextest.xml"),
    &["src/lib.rs"],
    ["3", "1", "0", "0", "1", "0.045"],
    &["calc tests::divides src/lib.rs:8"],
);
const GOOGLETEST: Sample = (
    include_str!("../samples/googletest.xml"),
    &["calc_test.cc"],
    ["4", "1", "0", "2", "0", "0.000"],
    &["Calc Divides calc_test.cc:5"],
);
const CTEST: Sample = (
    include_str!("../samples/ctest.xml"),
    &["calc_test.cc"],
    ["3", "1", "0", "1", "0", "0.021"],
    &["calc calc_test.cc:5"],
);

#[test_case(PYTEST; "pytest")]
#[test_case(XUNIT1; "pytest with the older family")]
#[test_case(GOTESTSUM; "gotestsum")]
#[test_case(JEST; "jest-junit")]
#[test_case(SUREFIRE; "surefire")]
#[test_case(NEXTEST; "cargo-nextest")]
#[test_case(GOOGLETEST; "googletest")]
#[test_case(CTEST; "ctest")]
fn the_reports_of_real_tools_are_understood((report, files, sums, places): Sample) {
    // As if the project were a part of a larger one, beside another.
    for folder in ["", "part/"] {
        let fake = Fake::new();
        fake.file(
            &format!("{folder}target/surefire-reports/report.xml"),
            report,
        );
        for file in files {
            fake.file(&format!("{folder}{file}"), "");
            fake.file(&format!("other/{file}"), "");
        }
        let verdict = run(&fake, json!({"files": "**/target/**/*.xml"}));
        assert_eq!(verdict.status, Status::Failed);
        let [.., time] = outputs(&fake);
        let [.., expected] = sums;
        // Sums of rounded times differ from machine to machine in which the samples are made.
        assert_eq!(outputs(&fake)[..5], sums[..5]);
        assert!(
            time.parse::<f64>().is_ok() && expected.parse::<f64>().is_ok(),
            "{time}"
        );
        let pointed: Vec<String> = fake
            .annotations()
            .iter()
            .map(|one| {
                let title = one["title"].as_str().unwrap();
                let file = one["file"]
                    .as_str()
                    .map(|file| file.strip_prefix(folder).unwrap());
                let line = one["line"].as_u64().map(|line| format!(":{line}"));
                format!(
                    "{title} {}{}",
                    file.unwrap_or("-"),
                    line.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(pointed, places);
    }
}

#[test]
fn a_green_report_passes_and_sums_up() {
    let fake = fake(&[GREEN, GREEN]);
    let verdict = run(&fake, json!({"files": "target/*.xml"}));
    assert_eq!(verdict.status, Status::Passed);
    assert_eq!(verdict.message, "2 tests in 2 files: 2 passed; 3.000 s");
    assert_eq!(outputs(&fake), ["2", "0", "0", "0", "0", "3.000"]);
    assert_eq!(fake.annotations(), Vec::<Value>::new());
    assert_eq!(fake.reports("summary").len(), 1);
}

#[test_case(GREEN, true, "1 test in 1 file: 1 passed; 1.500 s"; "passed")]
#[test_case(RED, true, "1 test in 1 file: 0 passed, 1 failed; 0.000 s"; "failed")]
#[test_case(RED, false, "1 test in 1 file: 0 passed, 1 failed; 0.000 s"; "failed and allowed")]
#[test_case("<testsuite>", true, "0 tests in 1 file: 0 passed, 1 unreadable; 0.000 s"; "not readable")]
fn the_sum_stands_once_in_the_log(report: &str, fail_on_failure: bool, sum: &str) {
    let fake = fake(&[report]);
    let options = json!({"files": "target/*.xml", "fail-on-failure": fail_on_failure});
    let verdict = run(&fake, options);
    let log = fake.stdout() + &verdict.message;
    assert_eq!(log.matches(sum).count(), 1, "{log}");
}

#[test]
fn a_failed_test_fails_the_step_and_says_why() {
    let fake = fake(&[GREEN, RED]);
    let verdict = run(&fake, json!({"files": "target/*.xml"}));
    assert_eq!(verdict.status, Status::Failed);
    assert_eq!(verdict.message, "1 of 2 tests failed: k a");
    assert_eq!(
        fake.stdout(),
        "FAILED k a\n    no\n2 tests in 2 files: 1 passed, 1 failed; 1.500 s\n"
    );
    assert_eq!(fake.annotations()[0]["message"], "no");
}

#[test]
fn a_failed_test_may_be_allowed() {
    let fake = fake(&[RED]);
    let verdict = run(
        &fake,
        json!({"files": ["target/0.xml"], "fail-on-failure": false}),
    );
    assert_eq!(verdict.status, Status::Passed);
    assert_eq!(verdict.message, "1 of 1 test failed: k a");
    assert_eq!(fake.annotations().len(), 1);
}

#[test_case(json!({"files": "nothing/*.xml"}), "/options/files"; "one pattern")]
#[test_case(json!({"files": ["target/*.xml", "nothing/*.xml"]}), "/options/files/1"; "one of two")]
fn a_pattern_that_matches_nothing_is_a_mistake(options: Value, place: &str) {
    let fake = fake(&[GREEN]);
    let failure = fake.run::<Junit, _>(options.clone()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(failure.details["path"], place);
    let mut options = options;
    options["allow-missing"] = json!(true);
    assert_eq!(run(&fake, options).status, Status::Passed);
}

#[test]
fn a_report_that_two_patterns_match_counts_once() {
    let fake = fake(&[GREEN]);
    run(&fake, json!({"files": ["target/*.xml", "target/0.*"]}));
    assert_eq!(fake.output("tests").as_deref(), Some("1"));
}

#[test_case("", "it is empty"; "nothing")]
#[test_case("<testsuite><testcase name='a'/>", "ends before"; "cut off")]
#[test_case("<testsuite><testcase name='a'", "no proper XML"; "cut off in a tag")]
#[test_case("<coverage/>", "`coverage`"; "something else")]
#[test_case("hello", "it is empty"; "no XML")]
#[test_case("<testsuite></testsuites>", "no proper XML"; "another end")]
#[test_case("\u{0}<testsuite/>", "UTF-16"; "another width")]
#[test_case("<!DOCTYPE a [<!ENTITY b \"c\">]><testsuite/>", "document type"; "entities")]
fn what_is_no_whole_report_fails_the_step(report: &str, why: &str) {
    let fake = fake(&[GREEN, report]);
    // Allowed or not: nobody knows what failed.
    let verdict = run(
        &fake,
        json!({"files": "target/*.xml", "fail-on-failure": false}),
    );
    assert_eq!(verdict.status, Status::Failed);
    assert_eq!(
        verdict.message,
        "1 of 2 reports cannot be read: target/1.xml"
    );
    let annotation = &fake.annotations()[0];
    assert_eq!(annotation["file"], "target/1.xml");
    let message = annotation["message"].as_str().unwrap();
    assert!(message.contains(why), "{message}");
    assert!(
        fake.output("tests").is_some(),
        "what was read before counts"
    );
}

#[test]
fn what_the_host_refuses_is_no_verdict() {
    let fake = fake(&[GREEN]);
    fake.cancel();
    // The fake's files do not wait; what does is refused.
    assert!(fake.run::<Junit, _>(json!({"files": "../*.xml"})).is_err());
}

#[test]
fn thousands_of_failures_are_counted_and_hundreds_shown() {
    let case = r#"<testcase name="a" classname="k"><failure message="no"/></testcase>"#;
    let fake = fake(&[&format!("<testsuite>{}</testsuite>", case.repeat(3_000))]);
    let verdict = run(&fake, json!({"files": "target/*.xml"}));
    assert_eq!(
        verdict.message,
        "3000 of 3000 tests failed: k a, k a, k a, …"
    );
    assert_eq!(fake.annotations().len(), 200);
}

#[test]
fn a_test_colours_no_terminal() {
    let report = "<testsuite><testcase name='\u{1b}[2Ja&#27;[31m&#7;'><failure>\u{1b}]0;x\u{7}red\r\n</failure></testcase></testsuite>";
    let fake = fake(&[report]);
    let verdict = run(&fake, json!({"files": "target/*.xml"}));
    for text in [fake.stdout(), verdict.message] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r']), "{text:?}");
    }
}
