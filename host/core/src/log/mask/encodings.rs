//! The shapes in which a secret may appear.
//!
//! Only what common tools write: `base64`, `xxd -p`, `curl --data-urlencode`, a JSON library. Nothing here searches.

use super::MIN_SECRET;
use std::collections::BTreeSet;

type Patterns = BTreeSet<Vec<u8>>;

/// How long the lines are into which tools break base64: by MIME, and by PEM.
const BASE64_LINES: [usize; 2] = [76, 64];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Adds every shape of a secret; `false` if it is too short for any.
pub(super) fn add_patterns(value: &[u8], patterns: &mut Patterns) -> bool {
    // A value from a file ends with a line feed that does not belong to it; `echo` adds one before a tool encodes it.
    let secret = trim_line_ends(value);
    if secret.len() < MIN_SECRET {
        return false;
    }
    add_lines(secret, patterns);
    let echoed = [secret, b"\n"].concat();
    for text in [secret, value, &echoed] {
        for alphabet in [STANDARD, FOR_URLS] {
            add_base64(text, alphabet, patterns);
        }
        add_hex(text, patterns);
    }
    add_percent(secret, patterns);
    if let Ok(text) = str::from_utf8(secret) {
        add_json(text, patterns);
    }
    true
}

/// Adds a text as it is and in JSON, if it is long enough.
pub(super) fn add_plain(text: &[u8], patterns: &mut Patterns) {
    if text.len() >= MIN_SECRET {
        add_lines(text, patterns);
        if let Ok(text) = str::from_utf8(text) {
            add_json(text, patterns);
        }
    }
}

fn trim_line_ends(mut text: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] | [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// The secret, and each of its lines: a terminal or a prefix may come between them.
fn add_lines(secret: &[u8], patterns: &mut Patterns) {
    patterns.insert(secret.to_vec());
    let lines = || secret.split(|&byte| byte == b'\n').map(trim_line_ends);
    if lines().count() > 1 {
        for line_end in [&b"\n"[..], b"\r\n"] {
            patterns.insert(lines().collect::<Vec<_>>().join(line_end));
        }
    }
    for line in lines() {
        // The armour of a key is no secret, and hiding it would say nothing to the reader.
        let armour = line.starts_with(b"-----") && line.ends_with(b"-----");
        if line.len() >= MIN_SECRET && !armour {
            patterns.insert(line.to_vec());
        }
    }
}

/// Base64 of the secret at each of the three places where it may begin in a group of three bytes.
fn add_base64(secret: &[u8], alphabet: &[u8; 64], patterns: &mut Patterns) {
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let letters = base64(&bytes, alphabet);
        // The first letters depend on the bytes before the secret, the last one maybe on those behind it.
        let first = (before * 8).div_ceil(6);
        let fixed = bytes.len() * 8 / 6;
        patterns.insert(letters[first..fixed].to_vec());
        patterns.insert(letters[first..].to_vec());
        let mut padded = letters[first..].to_vec();
        padded.resize(letters.len().next_multiple_of(4) - first, b'=');
        patterns.insert(padded);
        if before == 0 {
            for length in BASE64_LINES {
                let lines = letters
                    .chunks(length)
                    .filter(|line| line.len() >= MIN_SECRET);
                patterns.extend(lines.map(<[u8]>::to_vec));
            }
        }
    }
}

/// Base64 without padding.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut letters = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | usize::from(*group.get(i).unwrap_or(&0))
        });
        let of_group = (0..=group.len()).map(|i| alphabet[bits >> (18 - 6 * i) & 63]);
        letters.extend(of_group);
    }
    letters
}

fn add_hex(secret: &[u8], patterns: &mut Patterns) {
    let lower: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    patterns.insert(lower.to_uppercase().into_bytes());
    patterns.insert(lower.into_bytes());
}

/// Percent encoding, by the rules of RFC 3986, of JavaScript, of forms, and of those that leave slashes.
fn add_percent(secret: &[u8], patterns: &mut Patterns) {
    for kept in ["-_.~", "-_.!~*'()", "-_.*", "-_.~/"] {
        for lower in [false, true] {
            let encoded = secret.iter().flat_map(|&byte| match byte {
                b' ' if kept == "-_.*" => vec![b'+'],
                _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => vec![byte],
                _ if lower => format!("%{byte:02x}").into_bytes(),
                _ => format!("%{byte:02X}").into_bytes(),
            });
            patterns.insert(encoded.collect());
        }
    }
}

/// The inside of a JSON string: as most write it, with escaped slashes, in ASCII alone, and safe to stand in HTML.
fn add_json(secret: &str, patterns: &mut Patterns) {
    for (slash, ascii, html) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (false, false, true),
    ] {
        let mut encoded = String::new();
        for letter in secret.chars() {
            match letter {
                '"' => encoded.push_str("\\\""),
                '\\' => encoded.push_str("\\\\"),
                '/' if slash => encoded.push_str("\\/"),
                '\n' => encoded.push_str("\\n"),
                '\r' => encoded.push_str("\\r"),
                '\t' => encoded.push_str("\\t"),
                '\u{8}' => encoded.push_str("\\b"),
                '\u{c}' => encoded.push_str("\\f"),
                '<' | '>' | '&' if html => escape(letter, &mut encoded),
                _ if letter < ' ' || (ascii && !letter.is_ascii()) => escape(letter, &mut encoded),
                _ => encoded.push(letter),
            }
        }
        patterns.insert(encoded.into_bytes());
    }
}

fn escape(letter: char, out: &mut String) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}
