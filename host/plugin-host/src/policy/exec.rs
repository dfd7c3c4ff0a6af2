//! Which commands a plugin may start: a program, and arguments that must come first.
//!
//! A granted command runs outside of the sandbox, so this is a gate and no cage: what `git` does with its arguments is `git`'s own
//! affair. Programs are compared by the file that they are, which the caller finds, and by their names: one file may be many programs
//! that tell by their name which of them they are to be (busybox, rustup). Nothing here looks at a file system.

use super::{
    command,
    fault::{Fault, shown},
};
use piper_core::codes;
use std::{fmt, path::PathBuf};

/// The code of a command that is not granted.
pub const EXEC: &str = "policy.exec";

/// Marks the processes of one command, wherever they went: a number that its environment carries.
pub const MARK: &str = "PIPER_COMMAND";

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
            && file_name(program) == file_name(&self.program)
            && resolve(&self.program).is_some_and(|own| resolve(program) == Some(own))
    }

    /// The program, as the rule writes it.
    pub fn program(&self) -> &str {
        &self.program
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

fn file_name(program: &str) -> &str {
    program
        .rsplit_once('/')
        .map_or(program, |(_, file_name)| file_name)
}

/// How variables begin that no plugin sets.
const FAMILIES: &[&str] = &[
    // Loaders, and what the C library and windows load.
    "DYLD_ GCONV_ GETCONF_ GIO_ GLIBC_ GTK_ LD_ MALLOC_ NIX_ QT_",
    // Shells, editors, and what shows a text.
    "BASH EMACS KSH LESS SHELL SUDO_ VIM XDG_ ZSH",
    // Version control, and what carries files and credentials.
    "AWS_ CURL_ CVS DOCKER_ GH_ GIT_ GNUPG GPG_ HG KUBE OPENSSL_ RSYNC_ SSH_ SVN_ TAR_ WGET",
    // Compilers and build tools.
    "CARGO CMAKE_ GCC_ GRADLE_ MAKE MAVEN_ PKG_CONFIG RUSTC RUSTDOC RUSTFLAGS RUSTUP_",
    // Interpreters and their package managers.
    "BUN_ BUNDLE_ COMPOSER_ CORECLR_ COR_ DENO_ DOTNET_ ELECTRON_ ERL_ GEM_ GO GUILE_ JAVA_ JDK_ JULIA_ JVM_ LUA_ NODE_ NPM_ PERL \
     PHP PIP_ PYTHON RUBY R_ TCL UV_ YARN_ _JAVA",
    // Ours, the mark of a command among them.
    "PIPER_",
];

/// Those that have no family.
const ALONE: &str = "AR AS BROWSER CC CDPATH CLASSPATH CPP CXX EDITOR ENV FPATH HOME IFS INPUTRC LD LIBRARY_PATH LOCPATH MANPAGER \
     MANPATH MFLAGS NLSPATH PAGER PATH PROMPT_COMMAND PS1 PS2 PS4 VISUAL ZDOTDIR";

/// Whether a plugin may set this variable of a command.
///
/// A variable can make a granted program run something else, or find its configuration elsewhere, which comes to the same. No list of
/// them is whole, because each program has its own. So a name has the plain form `[A-Z_][A-Z0-9_]*`, which shuts out the functions of
/// shells and the small letters of package managers; and it is none that loaders, shells, version control, compilers, build tools and
/// the usual interpreters obey. **Not** covered is what only the granted program obeys, or one of which nobody here thought: who grants
/// a command grants that as well.
pub fn may_set(name: &str) -> bool {
    let is_plain = name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name
            .bytes()
            .all(|letter| matches!(letter, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let mut families = FAMILIES.iter().flat_map(|group| group.split_whitespace());
    is_plain
        && !families.any(|family| name.starts_with(family))
        && ALONE.split_whitespace().all(|alone| name != alone)
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
            "git" | "/usr/bin/git" | "/opt/git" | "git-shell" | "/usr/bin/git-shell" => {
                Some("/opt/git".into())
            }
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
    #[test_case("git-shell fetch", false; "another program of the same file")]
    #[test_case("/usr/bin/git-shell fetch", false; "another program of the same file by its path")]
    #[test_case("git push", false; "another argument")]
    #[test_case("git -C x fetch", false; "an argument before it")]
    #[test_case("git", false; "no arguments")]
    #[test_case("sh fetch", false; "another program")]
    #[test_case("./git fetch", false; "a program of the workspace")]
    #[test_case("", false; "nothing")]
    fn a_command_is_compared_by_its_name_its_file_and_its_first_arguments(
        command: &str,
        allowed: bool,
    ) {
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

    #[test_case("LD_PRELOAD", false)]
    #[test_case("PATH", false)]
    #[test_case("BASH_ENV", false)]
    #[test_case("ENV", false)]
    #[test_case("BASH_FUNC_ls%%", false; "a function of a shell")]
    #[test_case("SHELLOPTS", false)]
    #[test_case("PS4", false)]
    #[test_case("HOME", false)]
    #[test_case("XDG_CONFIG_HOME", false)]
    #[test_case("GIT_SSH_COMMAND", false)]
    #[test_case("GIT_CONFIG_COUNT", false)]
    #[test_case("GIT_EXTERNAL_DIFF", false)]
    #[test_case("NODE_OPTIONS", false)]
    #[test_case("npm_config_script_shell", false; "small letters")]
    #[test_case("PYTHONPATH", false)]
    #[test_case("PYTHONSTARTUP", false)]
    #[test_case("PERL5OPT", false)]
    #[test_case("PERL5LIB", false)]
    #[test_case("RUBYOPT", false)]
    #[test_case("JAVA_TOOL_OPTIONS", false)]
    #[test_case("_JAVA_OPTIONS", false; "another one of java")]
    #[test_case("JDK_JAVA_OPTIONS", false)]
    #[test_case("GOFLAGS", false)]
    #[test_case("RUSTC_WRAPPER", false)]
    #[test_case("CARGO_BUILD_RUSTC_WRAPPER", false)]
    #[test_case("MAKEFLAGS", false; "flags of make")]
    #[test_case("GLIBC_TUNABLES", false)]
    #[test_case("DYLD_INSERT_LIBRARIES", false)]
    #[test_case("1A", false; "a digit in front")]
    #[test_case("É", false; "no letter of ASCII")]
    #[test_case("", false; "nothing")]
    #[test_case("_", true; "the last command")]
    #[test_case("CI", true)]
    #[test_case("VERSION", true)]
    #[test_case("ENVIRONMENT", true)]
    #[test_case("ARTIFACTS", true)]
    #[test_case("FORCE_COLOR", true)]
    #[test_case("RUST_LOG", true)]
    #[test_case("A1_", true)]
    fn a_variable_is_the_plugins_to_set_if_nothing_else_runs_by_it(name: &str, expected: bool) {
        assert_eq!(may_set(name), expected);
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
