//! Words as they stand in a shell's line, with quotes and escapes.
//!
//! What a shell would put in the place of a variable or a pattern is not known here: such a word completes to nothing.

/// How a shell quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// As `sh` does: nothing is special in single quotes.
    Posix,
    /// As `fish` does: a quote can be escaped in single quotes, too.
    Fish,
}

/// A word up to the cursor, read as the shell would.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// What it says.
    pub(super) text: String,
    /// The characters that are neither quoted nor escaped, with their places in the text.
    pub(super) bare: Vec<(usize, char)>,
    /// The quote that is not closed yet, and where in the text it was opened.
    pub(super) open: Option<(char, usize)>,
}

impl Typed {
    pub(super) fn read(word: &str, quoting: Quoting) -> Self {
        let mut typed = Self::default();
        let mut chars = word.chars();
        while let Some(c) = chars.next() {
            let at = typed.text.len();
            match (typed.open.map(|(quote, _)| quote), c) {
                (Some(quote), c) if c == quote => typed.open = None,
                (None, '\'' | '"') => typed.open = Some((c, at)),
                (open, '\\') => {
                    let next = chars.clone().next();
                    if next.is_none_or(|next| is_escaped(open, next, quoting)) {
                        typed.text.extend(chars.next());
                    } else {
                        typed.text.push('\\');
                    }
                }
                (open, c) => {
                    typed.text.push(c);
                    if open.is_none() {
                        typed.bare.push((at, c));
                    }
                }
            }
        }
        typed
    }
}

/// Whether a backslash is gone before this character.
fn is_escaped(open: Option<char>, next: char, quoting: Quoting) -> bool {
    match (open, quoting) {
        (None, _) => true,
        (Some('"'), Quoting::Posix) => "$`\"\\".contains(next),
        (Some('"'), Quoting::Fish) => "$\"\\".contains(next),
        (Some(_), Quoting::Posix) => false,
        (Some(_), Quoting::Fish) => "'\\".contains(next),
    }
}
