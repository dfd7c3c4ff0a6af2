//! "Did you mean": the nearest of some names.

/// The name that `word` is most likely a slip of, if one is near enough.
///
/// Near enough means that at most a third of the letters are wrong, so that nothing is suggested for a wholly different word.
pub fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        // The distance is at least the difference in length: with 100,000 names, most need no closer look.
        .filter(|name| name.len().abs_diff(word.len()) <= 4 * most)
        .map(|name| {
            let same_but_case = name.eq_ignore_ascii_case(word);
            let distance = strsim::damerau_levenshtein(name, word);
            (if same_but_case { 0 } else { distance }, name)
        })
        .filter(|&(distance, _)| distance <= most)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// At most this many names are listed in a message.
const LISTED: usize = 20;

/// Names in backquotes, with commas; a long list is cut.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut text = names
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("buidl", Some("build"); "swapped letters")]
    #[test_case("BUILD", Some("build"); "other case")]
    #[test_case("unti", Some("unit"); "short word")]
    #[test_case("deploy", None; "another word")]
    #[test_case("", None; "nothing")]
    fn only_a_slip_gets_a_suggestion(word: &str, expected: Option<&str>) {
        assert_eq!(closest(word, ["unit", "build", "lint"]), expected);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.ends_with("`s19` and 10 more"), "{text}");
    }
}
