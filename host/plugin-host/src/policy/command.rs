//! The command lines that messages print, ready to be pasted into a shell.

/// The command that grants `what` to a plugin.
pub fn grant(plugin: &str, option: &str, what: &str) -> String {
    format!(
        "piper plugin grant {} {option} {}",
        quote(plugin),
        quote(what)
    )
}

/// A word of a shell. Control characters are left out: no rule has any, and a terminal would obey them.
pub fn quote(word: &str) -> String {
    let word: String = word.chars().filter(|c| !c.is_control()).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("https://example.com", "https://example.com")]
    #[test_case("POST https://*", "'POST https://*'")]
    #[test_case("", "''")]
    #[test_case("it's $(x)", "'it'\\''s $(x)'")]
    #[test_case("\x1b[2J\n", "'[2J'")]
    fn a_word_is_quoted_for_a_shell(word: &str, expected: &str) {
        assert_eq!(quote(word), expected);
    }
}
