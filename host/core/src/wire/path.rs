//! Paths as text: the wire and the index have no bytes.
//!
//! Nothing here looks at the file system.

use std::{
    borrow::Cow,
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// Stands before two hexadecimal digits that are a byte. Unicode has it for what cannot be represented.
const SUBSTITUTE: char = '\u{1a}';

/// A path as text, another for each path: UTF-8 as it is; each byte that is none, and U+001A itself, as U+001A and two
/// hexadecimal digits.
pub fn to_text(path: &Path) -> Cow<'_, str> {
    let bytes = path.as_os_str().as_bytes();
    match path.to_str() {
        Some(text) if !text.contains(SUBSTITUTE) => return Cow::Borrowed(text),
        Some(_) | None => {}
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    let substitute = |text: &mut String, byte: u8| *text += &format!("{SUBSTITUTE}{byte:02x}");
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                SUBSTITUTE => substitute(&mut text, SUBSTITUTE as u8),
                char => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            substitute(&mut text, *byte);
        }
    }
    Cow::Owned(text)
}

/// The path that [`to_text`] makes this text of. What it makes of no path, an older piper wrote as it is.
pub fn from_text(text: &str) -> PathBuf {
    let mut pieces = text.split(SUBSTITUTE);
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let Some((byte, rest)) = piece
            .split_at_checked(2)
            .and_then(|(digits, rest)| Some((u8::from_str_radix(digits, 16).ok()?, rest)))
        else {
            return text.into();
        };
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    match to_text(&path) == text {
        true => path,
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;
    use test_case::test_case;

    #[test_case(b"/home/a b/\xc5\xbc", "/home/a b/ż"; "utf-8 as it is")]
    #[test_case(b"/\xff1", "/\u{1a}ff1"; "a byte that is no utf-8")]
    #[test_case(b"/\xfe1", "/\u{1a}fe1"; "another byte")]
    #[test_case(b"/\x1aff1", "/\u{1a}1aff1"; "the mark itself")]
    #[test_case(b"/\xe2\x82", "/\u{1a}e2\u{1a}82"; "half a letter")]
    fn a_path_is_written_one_to_one(path: &[u8], text: &str) {
        let path = Path::new(OsStr::from_bytes(path));
        assert_eq!(to_text(path), text);
        assert_eq!(from_text(text), path);
    }

    #[test_case("/\u{fffd}1"; "what an older piper made of no utf-8")]
    #[test_case("/\u{1a}"; "the mark at the end")]
    #[test_case("/\u{1a}zz"; "the mark before something else")]
    #[test_case("/\u{1a}+f"; "the mark before a number with a sign")]
    #[test_case("/\u{1a}FF"; "other digits")]
    #[test_case("/\u{1a}41"; "a byte that needs no mark")]
    fn what_is_not_written_so_is_read_as_it_is(text: &str) {
        assert_eq!(from_text(text), Path::new(text));
    }

    proptest! {
        #[test]
        fn every_path_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(from_text(&to_text(&path)), path);
        }

        #[test]
        fn different_texts_are_different_paths(one in "[\u{1a}a-f0-9]{0,6}", other in "[\u{1a}a-f0-9]{0,6}") {
            prop_assert_eq!(one == other, from_text(&one) == from_text(&other));
        }
    }
}
