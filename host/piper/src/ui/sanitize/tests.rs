use super::*;
use proptest::prelude::*;
use test_case::test_case;

const SCROLLING: Policy = Policy::Terminal {
    color: true,
    returns: Returns::Replace,
};
const ALONE: Policy = Policy::Terminal {
    color: true,
    returns: Returns::Pass,
};
const COLORLESS: Policy = Policy::Terminal {
    color: false,
    returns: Returns::Replace,
};

/// Runs lines through a sanitizer, each cut into `chunks` bytes.
fn run(policy: Policy, lines: &[u8], chunk: usize) -> Vec<u8> {
    let mut sanitizer = Sanitizer::new(policy);
    let mut out = Vec::new();
    for (n, line) in lines.split(|&b| b == b'\n').enumerate() {
        if n > 0 {
            sanitizer.end_line(&mut out);
            out.push(b'\n');
        }
        let start = out.len();
        for part in line.chunks(chunk) {
            sanitizer.push(part, &mut out, start);
        }
    }
    sanitizer.end_line(&mut out);
    out
}

fn shown(policy: Policy, lines: &[u8]) -> String {
    String::from_utf8(run(policy, lines, 1 << 20)).unwrap()
}

#[test_case(b"a\x1b[31mb", "a\x1b[31mb\x1b[0m"; "colours stay and end with the line")]
#[test_case(b"\x1b[31ma\nb", "\x1b[31ma\x1b[0m\n\x1b[31mb\x1b[0m"; "the next line opens them again")]
#[test_case(b"\x1b[31ma\x1b[0m", "\x1b[31ma\x1b[0m"; "a reset is not doubled")]
#[test_case(b"\x1b[38;2;1;2;3mx\x1b[m", "\x1b[38;2;1;2;3mx\x1b[0m"; "true colour")]
#[test_case(b"a\x1b[2Jb\x1b[10;10Hc\x1b[1Ad", "abcd"; "the cursor does not move")]
#[test_case(b"a\x1b[?1049hb\x1b[6nc\x1b[?25ld", "abcd"; "no other screen, no question, no hidden cursor")]
#[test_case(b"a\x1b[>4;2mb\x1b[4 qc\x1b[?4md", "abcd"; "what only looks like colours")]
#[test_case(b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\c", "ablinkc"; "titles and hyperlinks")]
#[test_case(b"a\x1bP1$r\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d\x1bXx\x1b\\e", "abcde"; "device control, APC, PM, SOS")]
#[test_case(b"a\x1b]0;never ended\nb", "a\nb"; "a string hides no other line")]
#[test_case(b"a\x1bc\x1b7\x1b(0b\x1b#8c\x1bMd", "abcd"; "reset, charset, alignment, reverse index")]
#[test_case(b"a\xc2\x9b2Jb\xc2\x90c\xc2\x85d", "a2Jbcd"; "C1 in UTF-8")]
#[test_case(b"a\x9b2Jb", "a\u{fffd}2Jb"; "C1 in eight bits")]
#[test_case(b"a\x00\x07\x08\x0b\x0c\x0e\x0f\x7fb\tc", "ab\tc"; "control characters but tabs")]
#[test_case(b"a\xe2\x80\xaeb\xe2\x81\xa6c", "abc"; "direction overrides")]
#[test_case("aé漢🦀b".as_bytes(), "aé漢🦀b"; "text")]
#[test_case(b"\xe6\xbca\xff\xc0\x80\xed\xa0\x80", "\u{fffd}a\u{fffd}\u{fffd}\u{fffd}\u{fffd}"; "not UTF-8")]
#[test_case(b"a\xe6\xbc\nb", "a\u{fffd}\nb"; "half a character at the end of a line")]
#[test_case(b"10%\r50%\r99%", "99%"; "only what follows the last return")]
#[test_case(b"done\r\nnext\r", "done\nnext"; "a return before the line end")]
#[test_case(b"\x1b[31mred\rgreen", "\x1b[31mgreen\x1b[0m"; "a return keeps the colour")]
#[test_case(b"\x1b[31\x1b[32ma", "\x1b[32ma\x1b[0m"; "a sequence in a sequence")]
#[test_case(b"\x1b[31\rmx", "mx"; "a control character ends a sequence")]
fn only_text_and_colours_reach_a_terminal(bytes: &[u8], seen: &str) {
    assert_eq!(shown(SCROLLING, bytes), seen);
}

#[test]
fn a_return_stays_where_a_step_has_the_terminal_alone() {
    assert_eq!(shown(ALONE, b"10%\r50%"), "10%\r50%");
}

#[test_case(b"a\x1b[1;31mb\x1b[0mc", b"abc"; "colours go")]
#[test_case(b"a\x1b[2Jb\x00\xff\x1b]0;t\x07\r", b"a\x1b[2Jb\x00\xff\x1b]0;t\x07\r"; "everything else stays")]
#[test_case(b"\x1b[31", b"\x1b[31"; "an unfinished sequence stays")]
#[test_case(b"\x1b[?1m\x1b\x1b[1mx", b"\x1b[?1m\x1bx"; "what only looks like colours stays")]
fn plain_output_differs_only_in_colours(bytes: &[u8], left: &[u8]) {
    assert_eq!(run(Policy::WithoutColor, bytes, 1 << 20), left);
}

#[test]
fn a_sequence_without_end_does_not_grow() {
    let mut bytes = b"\x1b[".to_vec();
    bytes.resize(1 << 20, b'1');
    bytes.extend_from_slice(b"mx");
    assert_eq!(shown(SCROLLING, &bytes), "x");
    assert_eq!(run(Policy::WithoutColor, &bytes, 7), bytes);
}

#[test_case("Compile — everything", "Compile — everything"; "plain")]
#[test_case("a\nb\tc", "a b c"; "blanks")]
#[test_case("cargo test\n", "cargo test"; "a line end")]
#[test_case("a\x1b[2Jb\x7f", "a␛[2Jb␡"; "escape sequence")]
#[test_case("a\u{202e}b\u{85}\u{200f}c", "a\u{fffd}b\u{fffd}\u{fffd}c"; "direction and C1")]
fn words_of_others_cannot_leave_their_line(text: &str, expected: &str) {
    assert_eq!(words(text), expected);
}

/// Bytes that are likely to begin, go on with or end something.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "[ -~]{0,6}".prop_map(String::into_bytes),
        2 => "[0-9;:]{0,5}m".prop_map(|s| [b"\x1b[", s.as_bytes()].concat()),
        1 => Just(b"\x1b[".to_vec()),
        1 => Just(b"\x1b]".to_vec()),
        1 => Just(b"\x1b".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => "\\PC{0,3}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Whether `text` has no control character but tabs, line feeds, returns and colours.
fn is_harmless(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) =
        rest.find(|c: char| (c.is_control() && !"\t\n\r".contains(c)) || is_harmful(c))
    {
        let Some(sequence) = rest[at..].strip_prefix("\x1b[") else {
            return false;
        };
        let Some(end) = sequence.find(|c: char| !"0123456789;:".contains(c)) else {
            return false;
        };
        if !sequence[end..].starts_with('m') {
            return false;
        }
        rest = &sequence[end..];
    }
    true
}

proptest! {
    #[test]
    fn nothing_but_colours_escapes(bytes in hostile()) {
        for policy in [SCROLLING, ALONE] {
            let seen = String::from_utf8(run(policy, &bytes, 1 << 20)).expect("text only");
            prop_assert!(is_harmless(&seen), "{seen:?}");
        }
        prop_assert!(!run(COLORLESS, &bytes, 1 << 20).contains(&ESC));
        prop_assert!(!run(COLORLESS, &bytes, 1 << 20).contains(&b'\r'));
    }

    #[test]
    fn it_does_not_matter_where_bytes_are_cut(bytes in hostile(), chunk in 1_usize..9) {
        for policy in [SCROLLING, ALONE, COLORLESS, Policy::WithoutColor, Policy::Pass] {
            prop_assert_eq!(run(policy, &bytes, chunk), run(policy, &bytes, 1 << 20));
        }
    }

    #[test]
    fn what_is_clean_stays_as_it_is(bytes in hostile()) {
        for policy in [SCROLLING, ALONE, COLORLESS] {
            let once = run(policy, &bytes, 1 << 20);
            prop_assert_eq!(run(policy, &once, 1 << 20), once);
        }
    }

    #[test]
    fn plain_text_is_not_changed(text in "[ -~\t\n\u{a0}-\u{2000}\u{1f600}-\u{1f64f}]{0,200}") {
        for policy in [SCROLLING, ALONE, COLORLESS, Policy::WithoutColor, Policy::Pass] {
            prop_assert_eq!(shown(policy, text.as_bytes()), text.clone());
        }
    }
}
