//! Which commands a plugin may start: a program, and arguments that must come first.
//!
//! A granted command runs outside of the sandbox, so this is a gate and no cage: what `git` does with its arguments is `git`'s own
//! affair. Programs are compared by the file that they are, which the caller finds; nothing here looks at a file system.

use super::{
    command,
    fault::{Fault, shown},
};
use piper_core::codes;
use std::{fmt, path::PathBuf};

/// The code of a command that is not granted.
pub const EXEC: &str = "policy.exec";

/// Commands that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArgvRule {
    program: String,
    leading: Vec<String>,
}

impl ArgvRule {
    /// Reads a rule from its words.
    ///
    /// # Errors
    ///
    /// When there is no program, or one that the workspace could bring along. The fault's place is in the word with the number that
    /// is returned with it.
    pub fn parse(words: &[&str]) -> Result<Self, (usize, Fault)> {
        let bad = |at: usize, message: String, label: &str, help: &str| {
            let length = words.get(at).map_or(0, |word| word.len());
            let fault = Fault::new(codes::BAD_COMMAND, message, 0..length, label);
            Err((at, fault.help(help)))
        };
        let name_a_program =
            "write [\"git\", \"fetch\"]: a program, and arguments that must come first";
        let Some((program, leading)) = words.split_first() else {
            return bad(
                0,
                "a command without a program".to_owned(),
                "",
                name_a_program,
            );
        };
        if program.is_empty() || *program == "*" {
            let message = format!("{} is not a program", shown(program));
            return bad(0, message, "not a program", name_a_program);
        }
        if let Some(at) = words.iter().position(|word| word.contains('\0')) {
            return bad(
                at,
                "a NUL byte in a command".to_owned(),
                "holds U+0000",
                "remove it",
            );
        }
        let from_workspace = program.contains('/') && !program.starts_with('/');
        if from_workspace || program.split('/').any(|part| part == "..") {
            return bad(
                0,
                format!("{} is a program of the workspace", shown(program)),
                "neither a name nor a whole path",
                "name a program of the machine: what a repository brings along must not become a granted command",
            );
        }
        Ok(Self {
            program: (*program).to_owned(),
            leading: leading.iter().map(|&word| word.to_owned()).collect(),
        })
    }

    /// Whether the command may be started. `resolve` finds the file of a program, links followed, as it will be started; a program
    /// that it does not find is none.
    pub fn matches(&self, argv: &[String], resolve: impl Fn(&str) -> Option<PathBuf>) -> bool {
        let Some((program, arguments)) = argv.split_first() else {
            return false;
        };
        arguments.starts_with(&self.leading)
            && resolve(&self.program).is_some_and(|own| resolve(program) == Some(own))
    }

    /// Whether every command of `other` is one of these, as far as the words tell.
    pub fn covers(&self, other: &Self) -> bool {
        self.program == other.program && other.leading.starts_with(&self.leading)
    }

    /// The commands that are in both.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else {
            other.covers(self).then(|| self.clone())
        }
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.program)
            .chain(&self.leading)
            .map(String::as_str)
    }
}

/// The words as a shell takes them.
impl fmt::Display for ArgvRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.words().map(command::quote).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    /// `git` is a link to a file of another name.
    fn resolve(program: &str) -> Option<PathBuf> {
        match program {
            "git" | "/usr/bin/git" | "/opt/git" => Some("/opt/git".into()),
            "sh" | "/bin/sh" => Some("/bin/sh".into()),
            _ => None,
        }
    }

    fn argv(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test_case("git fetch --all", true; "further arguments")]
    #[test_case("git fetch", true; "no further arguments")]
    #[test_case("/opt/git fetch", true; "the file itself")]
    #[test_case("/usr/bin/git fetch", true; "a link")]
    #[test_case("git push", false; "another argument")]
    #[test_case("git -C x fetch", false; "an argument before it")]
    #[test_case("git", false; "no arguments")]
    #[test_case("sh fetch", false; "another program")]
    #[test_case("./git fetch", false; "a program of the workspace")]
    #[test_case("", false; "nothing")]
    fn a_command_is_compared_by_its_file_and_its_first_arguments(command: &str, allowed: bool) {
        let rule = ArgvRule::parse(&["git", "fetch"]).unwrap();
        assert_eq!(rule.matches(&argv(command), resolve), allowed);
    }

    #[test]
    fn a_program_that_is_not_there_matches_nothing() {
        let rule = ArgvRule::parse(&["gti"]).unwrap();
        assert!(
            !rule.matches(&argv("gti"), resolve),
            "no file is not the same file"
        );
    }

    #[test_case(&[], 0; "no words")]
    #[test_case(&[""], 0; "no program")]
    #[test_case(&["*"], 0; "any program")]
    #[test_case(&["./git"], 0; "a file here")]
    #[test_case(&["bin/git"], 0; "a file below")]
    #[test_case(&["/usr/../work/git"], 0; "a way up")]
    #[test_case(&["git", "a\0b"], 1; "a NUL")]
    fn what_is_no_command_is_refused(words: &[&str], at: usize) {
        assert_eq!(ArgvRule::parse(words).unwrap_err().0, at);
    }

    fn rules() -> impl Strategy<Value = ArgvRule> {
        let program = proptest::sample::select(vec!["git", "sh"]);
        (program, proptest::collection::vec("[ab]", 0..3)).prop_map(|(program, leading)| ArgvRule {
            program: program.to_owned(),
            leading,
        })
    }

    proptest! {
        #[test]
        fn the_intersection_holds_what_is_in_both(
            one in rules(),
            two in rules(),
            command in proptest::collection::vec("git|sh|a|b", 0..5),
        ) {
            let matches = |rule: &ArgvRule| rule.matches(&command, resolve);
            let common = one.intersection(&two);
            prop_assert_eq!(common.is_some_and(|common| matches(&common)), matches(&one) && matches(&two));
        }
    }
}
