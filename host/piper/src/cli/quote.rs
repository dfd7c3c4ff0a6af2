//! Words as a POSIX shell reads them back, to the byte.

use std::borrow::Cow;

/// The word, in single quotes if any of its characters could mean something to a shell.
pub(crate) fn word(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(quoted(word))
}

/// The word in single quotes, in which nothing but the quote itself has a meaning.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("cargo", "cargo"; "plain")]
    #[test_case("--color=always", "--color=always"; "option")]
    #[test_case("", "''"; "empty")]
    #[test_case("a b", "'a b'"; "blank")]
    #[test_case("it's", r"'it'\''s'"; "quote")]
    #[test_case("$x", "'$x'"; "dollar")]
    #[test_case("~", "'~'"; "home")]
    fn a_word_is_quoted_only_if_it_must_be(text: &str, expected: &str) {
        assert_eq!(word(text), expected);
    }
}
