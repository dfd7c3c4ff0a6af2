//! Which scripts need no shell.
//!
//! As make does: a shell costs more than many a step. Whoever is in doubt says that one is needed; the step must not be able to
//! tell the difference.

/// Characters that mean something to some shell, anywhere in a line.
const SPECIAL: &[u8] = b"|&;<>()$`\\\"'*?[]#~!{}^";

/// First words that a shell does not look up in `PATH`, in any of the shells that are installed as `sh`.
///
/// `true` and `false` are not among them: the programs of these names do the same.
const OWN_WORDS: &[&str] = &[
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "newgrp",
    "popd",
    "print",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "whence",
    "while",
];

/// The words of `script`, if starting them is the same as giving it to `shell`.
pub(super) fn words<'a>(shell: &[String], script: &'a str) -> Option<Vec<&'a str>> {
    // Options other than these change what a line means (`-n`, `-v`, `-x`) or read start-up files (`-l`).
    let [program, flags] = shell else { return None };
    let plain_flags = flags
        .strip_prefix('-')
        .and_then(|flags| flags.strip_suffix('c'))
        .is_some_and(|flags| flags.bytes().all(|flag| flag == b'e' || flag == b'u'));
    if program != "sh" || !plain_flags {
        return None;
    }
    let script = script.trim_matches([' ', '\t', '\n']);
    if script
        .bytes()
        .any(|byte| SPECIAL.contains(&byte) || (byte.is_ascii_control() && byte != b'\t'))
    {
        return None;
    }
    let words: Vec<&str> = script
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .collect();
    let first = words.first()?;
    (!first.contains('=') && !OWN_WORDS.contains(first)).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("cargo build --release", Some(&["cargo", "build", "--release"]); "plain words")]
    #[test_case("  make\tall \n", Some(&["make", "all"]); "blanks around")]
    #[test_case("env A=1 x", Some(&["env", "A=1", "x"]); "assignment later")]
    #[test_case("true", Some(&["true"]); "a builtin that is the same")]
    #[test_case("A=1 x", None; "assignment first")]
    #[test_case("a | b", None; "pipe")]
    #[test_case("a\nb", None; "two lines")]
    #[test_case("a\rb", None; "carriage return")]
    #[test_case("echo hi", None; "a builtin that differs")]
    #[test_case("ls *.c", None; "pattern")]
    #[test_case("", None; "nothing")]
    fn a_shell_is_spared_where_nobody_could_tell(script: &str, expected: Option<&[&str]>) {
        let shell = ["sh", "-euc"].map(str::to_owned);
        assert_eq!(words(&shell, script).as_deref(), expected);
    }

    #[test_case(&["bash", "-c"]; "another shell")]
    #[test_case(&["sh", "-xc"]; "an option that shows")]
    #[test_case(&["sh", "-l", "-c"]; "a login shell")]
    #[test_case(&["sh"]; "a script by its name")]
    fn another_shell_is_always_started(shell: &[&str]) {
        let shell: Vec<String> = shell.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(words(&shell, "make"), None);
    }
}
