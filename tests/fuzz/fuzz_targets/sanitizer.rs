//! Whatever a step prints, only text and colours reach a terminal, however the bytes were cut on their way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sanitize::{Policy, Returns, Sanitizer};

// The files alone: the crate `piper` would have every fuzzer wait for SQLite to be built with a sanitizer.
#[rustfmt::skip]
#[expect(dead_code, reason = "not all of it is tried here")]
#[path = "../../../host/piper/src/ui/sanitize.rs"]
mod sanitize;
#[rustfmt::skip]
#[path = "../../../host/piper/src/ui/sgr.rs"]
mod sgr;

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (policy, chunk, text) = input;
    let terminal = |color, returns| Policy::Terminal { color, returns };
    let policy = match policy % 6 {
        0 => Policy::Pass,
        1 => Policy::WithoutColor,
        2 => terminal(false, Returns::Pass),
        3 => terminal(false, Returns::Replace),
        4 => terminal(true, Returns::Pass),
        _ => terminal(true, Returns::Replace),
    };
    let whole = run(policy, &text, usize::MAX);
    assert_eq!(run(policy, &text, usize::from(chunk).max(1)), whole);
    match policy {
        Policy::Pass => assert_eq!(whole, text),
        Policy::WithoutColor => {}
        Policy::Terminal { color, returns } => assert_harmless(&whole, color, returns),
    }
});

fn run(policy: Policy, text: &[u8], chunk: usize) -> Vec<u8> {
    let mut sanitizer = Sanitizer::new(policy);
    let mut out = Vec::new();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if at > 0 {
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

fn assert_harmless(out: &[u8], color: bool, returns: Returns) {
    let text = str::from_utf8(out).expect("what passes is text");
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once('\x1b') {
        assert_plain(before, returns);
        assert!(color, "{text:?}");
        let body = sequence.strip_prefix('[').expect("only control sequences");
        let (parameters, after) = body.split_once('m').expect("only colours");
        let of_colors = |c: char| c.is_ascii_digit() || c == ';' || c == ':';
        assert!(parameters.chars().all(of_colors), "{text:?}");
        rest = after;
    }
    assert_plain(rest, returns);
}

fn assert_plain(text: &str, returns: Returns) {
    let passes = |c: char| match c {
        '\t' | '\n' => true,
        '\r' => returns == Returns::Pass,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    assert!(text.chars().all(passes), "{text:?}");
}
