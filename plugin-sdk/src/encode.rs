//! Bytes as text: what signatures, digests and URLs are written in.
//!
//! ```
//! use piper_plugin::encode;
//!
//! assert_eq!(encode::hex(b"\x00\xff"), "00ff");
//! assert_eq!(encode::base64(b"hello"), "aGVsbG8=");
//! assert_eq!(encode::percent("a b/c~é"), "a%20b%2Fc~%C3%A9");
//! ```

use std::fmt::Write;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Hexadecimal digits in lower case.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for byte in bytes.as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Base64 in the usual alphabet, with padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for group in bytes.as_ref().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63];
            text.push(if at <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// A text as it is written in a part of a URL: everything but letters, digits and `-._~` as `%XX`, slashes too.
pub fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::base64;
    use test_case::test_case;

    // The examples of RFC 4648.
    #[test_case("", "")]
    #[test_case("f", "Zg==")]
    #[test_case("fo", "Zm8=")]
    #[test_case("foo", "Zm9v")]
    #[test_case("foobar", "Zm9vYmFy")]
    #[test_case("\u{3f}\u{7ff}", "P9+/")]
    fn base64_is_the_published_one(text: &str, expected: &str) {
        assert_eq!(base64(text), expected);
    }
}
