//! What masking must hide, must leave alone, and must not depend on.

use super::*;
use proptest::prelude::*;
use test_case::test_case;

fn mask_chunks(masker: &Masker, chunks: &[&[u8]]) -> Vec<u8> {
    let mut state = MaskState::default();
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(&mut state, chunk, &mut out);
    }
    masker.finish(&mut state, &mut out);
    out
}

fn mask(secret: &str, text: &str) -> String {
    let (masker, _) = Masker::new(&[("TOKEN", secret)]);
    String::from_utf8(mask_chunks(&masker, &[text.as_bytes()])).unwrap()
}

#[test_case("hunter2!", "a hunter2! b", "a *** b"; "as it is")]
#[test_case("hunter2!", "hunter2!hunter2!", "***"; "side by side")]
#[test_case("hunter2!", "aHVudGVyMiE=", "***"; "base64")]
#[test_case("hunter2!", "eGh1bnRlcjIh", "eG***"; "base64 one byte in")]
#[test_case("hunter2!", "eHhodW50ZXIyIQ==", "eHh***"; "base64 two bytes in")]
#[test_case("hunter2!", "aHVudGVyMiEK", "***"; "base64 with a line end")]
#[test_case("hunter2!", "68756e7465723221", "***"; "hex")]
#[test_case("hunter2!", "68756E7465723221", "***"; "capital hex")]
#[test_case("a b/c?d", "x=a%20b%2Fc%3Fd&", "x=***&"; "percent")]
#[test_case("a b/c?d", "x=a+b%2fc%3fd&", "x=***&"; "a form")]
#[test_case("a\"b\\cé", r#"{"k":"a\"b\\c\u00e9"}"#, r#"{"k":"***"}"#; "json")]
#[test_case("first line\nsecond line\n", "> first line\n> second line\n", "> ***\n> ***\n"; "line by line")]
#[test_case("ab\ncd\nef\n", "ab\ncd\nef\n", "***\n"; "short lines together")]
#[test_case("ab\ncd\nef\n", "ab\r\ncd\r\nef\r\n", "***\r\n"; "short lines from a terminal")]
#[test_case("-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----", "-----BEGIN KEY-----\n", "-----BEGIN KEY-----\n"; "armour stays")]
#[test_case("hunter2!", "-hun\x1b[31mter\x1b[0;1m\x1b[K2!\x1b[0m-", "-***\x1b[0m-"; "with colours in it")]
#[test_case("hunter2!", "\x1b[31mh\x1b[0munter2!", "\x1b[31m***"; "with a colour behind its first letter")]
#[test_case("hunter2!", "hunter\x1b(B\x1b[m2!", "***"; "with what ends a colour on xterm")]
#[test_case("hunter2!", "hunter\x1b]0;x\x072!", "***"; "with a title in it")]
#[test_case("hunter2!", "hunter\x1b]8;;http://x/\x1b\\2!", "***"; "with a link in it")]
#[test_case("hunter2!", "hunter\x1bM\x08\0\x7f2!", "***"; "with lone controls in it")]
#[test_case("hunter2!", "hunter\n2!", "hunter\n2!"; "a line end is none")]
#[test_case("hunter2!", "hunter\x1b]0;x", "hunter\x1b]0;x"; "a title without end")]
#[test_case("[31mabc", "\x1b[31mabc", "\x1b***"; "of which a part looks like a colour")]
fn a_secret_is_hidden(secret: &str, text: &str, expected: &str) {
    assert_eq!(mask(secret, text), expected);
}

#[test]
fn a_plain_text_is_hidden_as_it_is_and_in_json_only() {
    let (masker, _) = Masker::with_plain(&[("A", "secret-1")], &[b"plain/text", b"short"]);
    let shown = masker.text("plain/text plain\\/text cGxhaW4vdGV4dA== short secret-1".to_owned());
    assert_eq!(shown, "*** *** cGxhaW4vdGV4dA== short ***");
}

#[test]
fn base64_that_is_broken_into_lines_is_hidden() {
    let secret: String = ('!'..='~').cycle().take(200).collect();
    let (masker, _) = Masker::new(&[("KEY", &secret)]);
    let mut patterns = BTreeSet::new();
    encodings::add_patterns(secret.as_bytes(), &mut patterns);
    let encoded = patterns
        .iter()
        .max_by_key(|p| (p.len() % 4 == 0 && p.starts_with(b"ISIj"), p.len()))
        .unwrap();
    for width in [64, 76] {
        let lines: Vec<&[u8]> = encoded.chunks(width).collect();
        let masked = mask_chunks(&masker, &[&lines.join(&b'\n')]);
        let masked = String::from_utf8(masked).unwrap();
        assert!(
            masked.lines().all(|line| line == "***" || line.len() < 12),
            "{masked}"
        );
    }
}

#[test]
fn a_short_secret_is_named_and_not_hidden() {
    let (masker, too_short) = Masker::new(&[("PIN", "12345"), ("EMPTY", ""), ("LONG", "123456")]);
    assert!(!masker.is_empty());
    let names: Vec<&str> = too_short
        .iter()
        .map(|secret| secret.name.as_str())
        .collect();
    assert_eq!(names, ["PIN", "EMPTY"]);
    assert_eq!(mask_chunks(&masker, &[b"12345 123456"]), b"12345 ***");
}

#[test]
fn the_same_value_under_two_names_is_hidden_and_not_reported() {
    let (_, too_short) = Masker::new(&[("A", "hunter2!"), ("B", "hunter2!")]);
    assert_eq!(too_short, []);
}

#[test]
fn only_what_may_begin_a_secret_is_held_back() {
    let (masker, _) = Masker::new(&[("A", "secret-1")]);
    let mut state = MaskState::default();
    let mut out = Vec::new();
    masker.push(&mut state, b"password: s", &mut out);
    assert_eq!(out, b"password: ");
    masker.push(&mut state, b"ecret-1", &mut out);
    assert_eq!(out, b"password: ***");
    masker.push(&mut state, b" sec", &mut out);
    assert_eq!(out, b"password: *** ");
    masker.finish(&mut state, &mut out);
    assert_eq!(out, b"password: *** sec");
}

#[test]
fn colours_without_end_are_not_held_back() {
    let (masker, _) = Masker::new(&[("A", "secret-1")]);
    let text = [b"sec".as_slice(), &b"\x1b[1m".repeat(65), b"ret-1"].concat();
    assert_eq!(mask_chunks(&masker, &[&text]), text);
    let mut state = MaskState::default();
    let mut out = Vec::new();
    for byte in &text[..text.len() - 5] {
        masker.push(&mut state, &[*byte], &mut out);
        assert!(state.held.len() <= 3 + CONTROLS + 4, "{}", state.held.len());
    }
}

#[test]
fn secrets_that_overlap_are_hidden_together() {
    let (masker, _) = Masker::new(&[
        ("A", "abcdefgh"),
        ("B", "efghijkl"),
        ("C", "abcdefghijkl12"),
    ]);
    assert_eq!(mask_chunks(&masker, &[b"-abcdefghijkl-"]), b"-***-");
    assert_eq!(mask_chunks(&masker, &[b"-abcdefg", b"hijkl12-"]), b"-***-");
}

/// Few letters, so that secrets overlap, repeat and almost occur.
fn tight(length: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n')], length)
}

/// A secret with a few colours in it.
fn coloured((secret, seed): (Vec<u8>, usize)) -> Vec<u8> {
    let part = |(place, byte)| {
        let colour: &[u8] = match (place + seed) % 5 {
            0 => b"\x1b[1m",
            1 => b"\x1b[m\x1b[0;31m",
            _ => b"",
        };
        [&[byte], colour].concat()
    };
    secret.into_iter().enumerate().flat_map(part).collect()
}

/// Without colours.
fn plain(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| match part.find(|c: char| !matches!(c, ' '..='?')) {
        Some(end) if part[end..].starts_with(|c| matches!(c, '@'..='~')) => {
            part[end + 1..].to_owned()
        }
        _ => format!("\x1b[{part}"),
    });
    (first + &rest.collect::<String>()).into_bytes()
}

fn text_with(secrets: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let piece = prop_oneof![
        tight(0..8),
        proptest::sample::select(secrets.clone()),
        (proptest::sample::select(secrets.clone()), 0..100_usize).prop_map(coloured),
        proptest::sample::select(vec![
            "\x1b[1m", "\x1b[", "\x1b", "[1", "m", "\x1b(B", "\x1b]0;a", "\x07", "\x1b\\", "\0"
        ])
        .prop_map(|part| part.into()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    let text = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (Just(secrets), text)
}

proptest! {
    #[test]
    fn any_chunks_give_what_one_chunk_gives(
        (secrets, text) in proptest::collection::vec(tight(6..12), 1..4).prop_flat_map(text_with),
        mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
    ) {
        let named: Vec<_> = secrets.iter().map(|secret| ("S", secret)).collect();
        let (masker, _) = Masker::new(&named);
        let whole = mask_chunks(&masker, &[&text]);
        let mut at: Vec<usize> = cuts.drain(..).map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&mask_chunks(&masker, &chunks), &whole);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&mask_chunks(&masker, &bytes), &whole);
        for secret in &secrets {
            let secret: &[u8] = secret.trim_ascii();
            if secret.len() >= MIN_SECRET {
                prop_assert!(!whole.windows(secret.len()).any(|window| window == secret));
                // What is hidden can stand between the parts of another, and so can more colours than are looked through.
                let has_others = text.windows(2).any(|pair| pair[0] == ESCAPE && pair[1] != b'[');
                if !whole.contains(&b'*') && !has_others {
                    let plain = plain(&whole);
                    let runs = whole.split(|byte| !b"\x1b[01;3m".contains(byte));
                    let is_long = { runs }.any(|run| run.len() > CONTROLS);
                    prop_assert!(is_long || !plain.windows(secret.len()).any(|window| window == secret));
                }
            }
        }
    }

    #[test]
    fn text_without_secrets_is_unchanged(text in proptest::collection::vec(0_u8..0x80, 0..200)) {
        let (masker, _) = Masker::new(&[("S", "\u{e9}\u{e9}\u{e9}\u{e9}")]);
        let text: Vec<u8> = text.into_iter().filter(|byte| !b"%\\cCwW".contains(byte)).collect();
        prop_assert_eq!(mask_chunks(&masker, &[&text]), text);
    }
}
