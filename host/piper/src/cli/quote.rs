//! Words as a POSIX shell reads them back, to the byte; those that are only shown need a shell that knows `$'…'`, as most do.

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

/// The word as somebody could type it in one line: characters that would not be seen stand as what they are escaped to.
pub(crate) fn typed(word: &str) -> Cow<'_, str> {
    if !word.contains(char::is_control) {
        return self::word(word);
    }
    let mut typed = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\n' => typed.push_str("\\n"),
            '\t' => typed.push_str("\\t"),
            '\r' => typed.push_str("\\r"),
            '\'' | '\\' => typed.extend(['\\', c]),
            c if c.is_control() => typed.extend(
                c.encode_utf8(&mut [0; 4])
                    .bytes()
                    .map(|byte| format!("\\{byte:03o}")),
            ),
            c => typed.push(c),
        }
    }
    typed.push('\'');
    Cow::Owned(typed)
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
    #[test_case("a b", "'a b'"; "nothing that is not seen")]
    #[test_case("[%s]\n", r"$'[%s]\n'"; "a line feed")]
    #[test_case("\t\r", r"$'\t\r'"; "a tab and a carriage return")]
    #[test_case("it's\\\n", r"$'it\'s\\\n'"; "what has a meaning there")]
    #[test_case("\x1b[1mä\u{9b}1", r"$'\033[1mä\302\2331'"; "control characters")]
    fn what_would_not_be_seen_is_escaped(text: &str, expected: &str) {
        assert_eq!(typed(text), expected);
    }
}
