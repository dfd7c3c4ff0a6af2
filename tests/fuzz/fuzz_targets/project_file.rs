//! No bytes make the loader panic or point outside of the text, and whatever it reports can be shown.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use piper_core::{pipeline, problem::Span};
use std::path::{Path, PathBuf};

// The files alone: the crate `piper` would have every fuzzer wait for SQLite to be built with a sanitizer.
#[rustfmt::skip]
#[path = "../../../host/piper/src/ui/problem.rs"]
mod problem;
#[rustfmt::skip]
#[expect(dead_code, reason = "not all of it is used here")]
#[path = "../../../host/piper/src/ui/sanitize.rs"]
mod sanitize;
#[rustfmt::skip]
#[path = "../../../host/piper/src/ui/sgr.rs"]
mod sgr;

/// What is slow is slow with this much already.
const LARGEST: usize = 64 * 1024;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if bytes.len() > LARGEST {
        return Corpus::Reject;
    }
    // What the parser of TOML refuses is not taken for a file with less in it.
    let is_toml =
        str::from_utf8(bytes).is_ok_and(|text| toml::from_str::<toml::Table>(text).is_ok());
    let loaded = pipeline::load_bytes(PathBuf::from("/work/piper.toml"), bytes.to_vec());
    assert_eq!(loaded.project.is_none(), loaded.has_errors());
    assert!(is_toml || loaded.has_errors());
    for problem in &loaded.problems {
        let also = problem.also.iter().map(|(span, _)| span);
        also.chain(&problem.at).for_each(assert_inside);
    }
    let shown = problem::text(&loaded.problems, false, Some(Path::new("/work")));
    let harmless = |c: char| c == '\n' || !c.is_control();
    assert!(shown.chars().all(harmless), "{shown:?}");
    problem::json_lines(&loaded.problems, None);
    Corpus::Keep
});

fn assert_inside(span: &Span) {
    let text = span.source.text.get(span.bytes.clone());
    assert!(text.is_some(), "{:?} is no part of the text", span.bytes);
}
