use super::*;
use proptest::prelude::*;
use test_case::test_case;

fn cases(xml: impl AsRef<[u8]>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    read(xml.as_ref(), &mut |case| cases.push(case))?;
    Ok(cases)
}

fn only(inner: &str) -> Case {
    let cases = cases(format!(
        "<testsuite><testcase name='a'>{inner}</testcase></testsuite>"
    ))
    .unwrap();
    cases.into_iter().next().expect("there is one")
}

#[test_case("<failure message='a &lt; b &amp;&#10;c'/>", "a < b &\nc", ""; "predefined entities and numbers")]
#[test_case("<failure message='&x; &#0; &'>t</failure>", "&x; &#0; &", "t"; "what is no character stays as it is")]
#[test_case("<failure>a &lt;&#x62;&gt; <![CDATA[<c> ]] >]]>&y;</failure>", "", "a <b> <c> ]] >"; "texts of all kinds")]
#[test_case("<error type='E'/>", "E", ""; "a type for want of a message")]
#[test_case("<x:failure xmlns:x='u' message='m'/>", "m", ""; "a namespace")]
#[test_case("<failure message='first'/><failure message='second'/>", "first", ""; "the first of several")]
#[test_case("<skipped message='s'/><failure message='f'/>", "f", ""; "failed beats skipped")]
#[test_case("<failure message='f'/><skipped message='s'/>", "f", ""; "in either order")]
fn a_failure_says_why(inner: &str, message: &str, text: &str) {
    let case = only(inner);
    assert_eq!((&*case.message, &*case.text), (message, text));
}

#[test_case("<system-out>a</system-out><flakyFailure/>", Outcome::Passed, true)]
#[test_case("<failure/><rerunFailure/>", Outcome::Failed, false)]
#[test_case("<error/>", Outcome::Errored, false)]
#[test_case("<skipped/>", Outcome::Skipped, false)]
#[test_case("<properties><property><failure/></property></properties>", Outcome::Passed, false; "not elsewhere")]
fn an_outcome_is_an_element(inner: &str, outcome: Outcome, is_flaky: bool) {
    let case = only(inner);
    assert_eq!((case.outcome, case.is_flaky), (outcome, is_flaky));
}

#[test]
fn suites_lie_in_each_other_and_name_files() {
    let xml = "<testsuites><testsuite name='a' file='a.js'><testsuite name='b'><testcase name='1'/></testsuite>\
               <testcase name='2'/></testsuite><testsuite name='c'><testcase name='3' file='3.js'/></testsuite></testsuites>";
    let cases = cases(xml).unwrap();
    let told: Vec<_> = cases
        .iter()
        .map(|case| (&*case.suite, &*case.name, &*case.file))
        .collect();
    assert_eq!(
        told,
        [("b", "1", ""), ("a", "2", "a.js"), ("c", "3", "3.js")]
    );
}

#[test_case("<testsuite name='s' errors='1'><error message='collect failed'>why</error></testsuite>", "collect failed", Outcome::Errored; "a suite that broke")]
#[test_case("<testsuites><testsuite name='s'><failure message='no'>why</failure></testsuite></testsuites>", "no", Outcome::Failed; "a suite that failed")]
fn a_suite_that_could_not_be_run_says_so(xml: &str, message: &str, outcome: Outcome) {
    let expected = Case {
        suite: "s".to_owned(),
        message: message.to_owned(),
        text: "why".to_owned(),
        outcome,
        ..Case::default()
    };
    assert_eq!(cases(xml).unwrap(), [expected]);
}

#[test_case("<testsuite tests='100' failures='50'/>", &["it says that 50 failed, and names none"]; "in words alone")]
#[test_case("<testsuites errors='2'><testsuite errors='2'/></testsuites>", &["it says that 2 failed, and names none"]; "counted once")]
#[test_case("<testsuites failures='1'><testsuite failures='1'><testcase><failure message='m'/></testcase></testsuite></testsuites>", &["m"]; "named")]
#[test_case("<testsuite tests='3' failures='0'/>", &[]; "nothing failed")]
fn a_suite_that_names_no_test_that_failed_is_not_fine(xml: &str, expected: &[&str]) {
    let cases = cases(xml).unwrap();
    let messages: Vec<_> = cases.iter().map(|case| case.message.as_str()).collect();
    assert_eq!(messages, expected);
    assert!(cases.iter().all(|case| case.outcome != Outcome::Passed));
}

#[test_case("1.5", 1_500)]
#[test_case("1,234.5", 1_234_500)]
#[test_case("1,5", 1_500; "a comma for a point")]
#[test_case("1.234,5", 1_234_500; "a point for a comma")]
#[test_case("0.0004", 0)]
#[test_case(".5", 500)]
#[test_case("7", 7_000)]
#[test_case("", 0)]
#[test_case("1e9", 0)]
#[test_case("-1", 0)]
#[test_case("NaN", 0)]
#[test_case("99999999999999999999999999", 0)]
#[test_case("1.é", 0)]
fn times_are_of_all_countries(text: &str, expected: u64) {
    assert_eq!(millis(text), expected);
}

#[test]
fn bytes_that_are_no_text_spoil_nothing() {
    let cases = cases(b"\xef\xbb\xbf<testsuite><testcase name='\xff\xc3'><failure>\xc3\xa9\xe2\x82</failure></testcase></testsuite>").unwrap();
    assert_eq!(cases[0].text, "é\u{fffd}");
    assert_eq!(cases[0].name, "\u{fffd}\u{fffd}");
}

#[test]
fn older_tools_write_latin_1() {
    let cases = cases(b"<?xml version='1.0' encoding='ISO-8859-1'?><testsuite><testcase name='\xe9'/></testsuite>").unwrap();
    assert_eq!(cases[0].name, "é");
}

#[test]
fn elements_too_deep_are_refused() {
    for xml in [
        "<testsuite>".repeat(1_000_000),
        format!("<testsuite><testcase>{}", "<a>".repeat(1_000_000)),
    ] {
        let failure = cases(xml).unwrap_err();
        assert!(failure.message.contains("64 deep"), "{failure}");
    }
}

/// Reads as much of a document as it is asked for.
struct Endless<'a> {
    start: &'a [u8],
    again: &'a [u8],
    left: usize,
}

impl Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if !self.start.is_empty() {
            return self.start.read(into);
        }
        let mut count = 0;
        while self.left > 0 && count + self.again.len() <= into.len() {
            into[count..count + self.again.len()].copy_from_slice(self.again);
            count += self.again.len();
            self.left -= 1;
        }
        Ok(count)
    }
}

#[test_case("<testsuite><system-out>", "0123456789abcdef", None; "text")]
#[test_case("<testsuite><testcase><failure>", "0123456789abcdef", None; "text that counts")]
#[test_case("<testsuite><system-out><![CDATA[", "]]]]]]]]]]]]]]]]", None; "brackets")]
#[test_case("<testsuite><!--", "----------------", None; "a comment")]
#[test_case("<testsuite><?a", "????????????????", None; "an instruction")]
#[test_case("<testsuite ", "a='aaaaaaaaaaa' ", Some("mebibyte"); "attributes")]
#[test_case("<testsuite a='", "0123456789abcdef", Some("mebibyte"); "a value")]
#[test_case("<", "0123456789abcdef", Some("mebibyte"); "a name")]
#[test_case("<testsuite>&", "0123456789abcdef", None; "a reference")]
#[test_case("<testsuite>", "&amp;&amp;&amp;a", None; "references")]
fn documents_without_end_are_read_in_bounded_memory(start: &str, again: &str, why: Option<&str>) {
    let input = Endless {
        start: start.as_bytes(),
        again: again.as_bytes(),
        left: 1 << 21,
    };
    let failure = read(input, &mut |case| {
        assert!(case.text.len() <= LONGEST_TEXT);
    });
    let message = failure.unwrap_err().message;
    assert!(why.is_none_or(|why| message.contains(why)), "{message}");
}

proptest! {
    #[test]
    fn whatever_it_is_there_is_an_answer(xml in "(<|</|>|/>|testsuite|testcase|failure| |a='|'|\"|<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?|\\?>|&|;|#1|x|é){0,60}") {
        let _ = cases(xml);
    }

    #[test]
    fn whatever_bytes_they_are_there_is_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = cases([b"<testsuite>".as_slice(), &bytes].concat());
    }

    #[test]
    fn what_is_written_is_read(name in "[^\\p{C}]{0,30}", why in "[^\\p{C}]{1,30}") {
        let escaped = |text: &str| {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        };
        let xml = format!(
            "<testsuite><testcase name=\"{}\"><failure>{}</failure></testcase></testsuite>",
            escaped(&name), escaped(&why)
        );
        let cases = cases(xml).unwrap();
        prop_assert_eq!(&cases[0].text, &why);
        prop_assert_eq!(&cases[0].name, &name);
    }
}
