//! "Did you mean": finds what was probably meant.

/// Returns the candidate that is nearest to `word`, if one is near enough to be a slip of the hand.
///
/// Among equally near ones the first wins. Words that differ only in case or in `-` against `_` are always near.
/// If none is, it is the only one that begins with `word`.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = word;
    let word = fold(word);
    let length = word.chars().count();
    // One slip in three letters: fewer finds nothing in short names, more finds what nobody meant.
    let mut limit = (length / 3).clamp(1, 3);
    let mut best = None;
    // A beginning is no slip of the hand, but as good if only one begins so.
    let mut longer = Vec::new();
    for candidate in candidates {
        if length >= SHORTEST_BEGINNING
            && longer.len() < 2
            && candidate
                .as_bytes()
                .get(..written.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(written.as_bytes()))
        {
            longer.push(candidate);
        }
        // The distance is at least the difference of the lengths, which costs nothing to see.
        if candidate.len().abs_diff(word.len()) > 4 * limit {
            continue;
        }
        let folded = fold(candidate);
        if folded.chars().count().abs_diff(length) > limit {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&word, &folded);
        if distance == 0 {
            return Some(candidate);
        }
        if distance <= limit && (best.is_none() || distance < limit) && distance < length {
            best = Some(candidate);
            limit = distance;
        }
    }
    best.or(match *longer {
        [only] => Some(only),
        _ => None,
    })
}

/// From how many letters on a beginning stands for a whole word.
const SHORTEST_BEGINNING: usize = 3;

fn fold(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

/// At most this many names are listed in a message.
const LISTED: usize = 20;

/// Names in backquotes, with commas; a long list is cut.
pub(crate) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
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

    #[test_case("timout", Some("timeout"))]
    #[test_case("Needs", Some("needs"))]
    #[test_case("allow_failure", Some("allow-failure"))]
    #[test_case("need", Some("needs"))]
    #[test_case("allow", Some("allow-failure"); "a beginning")]
    #[test_case("xyz", None)]
    #[test_case("", None)]
    #[test_case("a", None)]
    fn the_nearest_is_suggested(word: &str, expected: Option<&str>) {
        let candidates = ["needs", "timeout", "allow-failure", "run"];
        assert_eq!(closest(word, candidates), expected);
    }

    #[test]
    fn the_first_of_equally_near_ones_wins_and_a_nearer_one_beats_it() {
        assert_eq!(closest("unit1", ["unit2", "unit3"]), Some("unit2"));
        assert_eq!(
            closest("compile", ["compil", "compile2", "Compile"]),
            Some("Compile")
        );
    }
}
