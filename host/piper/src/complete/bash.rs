//! The words of `bash`, which hands them over as they were typed and inserts what it is given as it is.
//!
//! So everything that is inserted is quoted here: a choice of a parameter may be `$(rm -rf ~)`, and must stay a choice.

use super::quotes::{Quoting, Typed};

/// A break that `bash` leaves to the word behind it (`rl_special_prefixes`).
const KEPT_BREAK: char = '@';

/// What replaces the part of the word that `bash` takes for the whole.
pub(super) fn insertion(value: &str, typed: &str, breaks: &str) -> String {
    let typed = Typed::read(typed, Quoting::Posix);
    // Inside the user's quotes nothing is a break, and a few characters still mean something.
    if let Some((open, at)) = typed.open {
        let rest = value.get(at..).unwrap_or(value);
        return rest
            .chars()
            .flat_map(|c| match (open, c) {
                ('\'', '\'') => r"'\''".chars().collect::<Vec<_>>(),
                ('"', '"' | '\\' | '$' | '`') => vec!['\\', c],
                (_, c) => vec![c],
            })
            .collect();
    }
    let is_break = |&&(_, c): &&(usize, char)| breaks.contains(c);
    let last = typed.bare.iter().rev().find(is_break);
    let kept = last.map_or(0, |&(at, c)| match c {
        KEPT_BREAK => at,
        _ => at + c.len_utf8(),
    });
    let rest = value.get(kept..).unwrap_or(value);
    let mut text = String::with_capacity(rest.len());
    for c in rest.chars() {
        // What is not ASCII means nothing to the shell; brackets alone are patterns that match no file, and easier to read.
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"_-./=@+,:%[]".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
