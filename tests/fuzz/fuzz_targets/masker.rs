//! A secret is hidden wherever it stands, however the bytes were cut on their way, and text without it stays as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use piper_core::log::mask::{MASK, MIN_SECRET, MaskState, Masker};

/// Where `text` has this byte, a secret is put in.
const HERE: u8 = 0xff;

fuzz_target!(|input: (u8, Vec<Vec<u8>>, Vec<u8>)| {
    let (chunk, secrets, text) = input;
    let named: Vec<_> = secrets.iter().map(|secret| ("NAME", secret)).collect();
    let (masker, _) = Masker::new(&named);
    let mut places = secrets.iter().cycle();
    let text: Vec<u8> = text
        .split(|&byte| byte == HERE)
        .flat_map(|part| [part, places.next().map_or(&[][..], Vec::as_slice)])
        .flatten()
        .copied()
        .collect();
    let whole = run(&masker, &text, usize::MAX);
    assert_eq!(run(&masker, &text, usize::from(chunk).max(1)), whole);
    if !contains(&whole, MASK.as_bytes()) {
        assert_eq!(whole, text);
    }
    for secret in &secrets {
        let trimmed = secret.trim_ascii();
        // A mask can complete a secret that has asterisks itself.
        if trimmed.len() >= MIN_SECRET && trimmed.len() == secret.len() && !secret.contains(&b'*') {
            assert!(!contains(&whole, secret), "{secret:?} in {whole:?}");
        }
    }
});

fn run(masker: &Masker, text: &[u8], chunk: usize) -> Vec<u8> {
    let mut state = MaskState::default();
    let mut out = Vec::new();
    for part in text.chunks(chunk) {
        masker.push(&mut state, part, &mut out);
    }
    masker.finish(&mut state, &mut out);
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
