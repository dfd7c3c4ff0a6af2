//! The words of `bash`, which hands them over as they were typed and inserts what it is given as it is.
//!
//! So everything that is inserted is quoted here: a choice of a parameter may be `$(rm -rf ~)`, and must stay a choice.

/// The word without its quotes; a quote that is not closed yet ends with the word.
pub(super) fn unquoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('"'), '\\') => text.extend(chars.next()),
            (_, c) => text.push(c),
        }
    }
    text
}

/// What replaces the part of the word that `bash` takes for the whole.
pub(super) fn insertion(value: &str, typed: &str, breaks: &str) -> String {
    if let Some(open @ ('\'' | '"')) = typed.chars().next() {
        // Inside the user's quotes nothing is a break, and a few characters still mean something.
        return value
            .chars()
            .flat_map(|c| match (open, c) {
                ('\'', '\'') => r"'\''".chars().collect::<Vec<_>>(),
                ('"', '"' | '\\' | '$' | '`') => vec!['\\', c],
                (_, c) => vec![c],
            })
            .collect();
    }
    let is_break = |c: char| breaks.contains(c) && !c.is_whitespace();
    let typed = unquoted(typed);
    let kept = typed.rfind(is_break).map_or(0, |at| {
        at + typed[at..].chars().next().map_or(0, char::len_utf8)
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
