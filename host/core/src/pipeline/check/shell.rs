//! Pipes in scripts under a shell that hides the failure of all but the last command.

use super::Check;
use crate::{codes, plan::DEFAULT_SHELL, problem::Problem, project::Action};

/// Shells in which `|` means a pipe. In the language of any other program it may mean anything.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

pub(super) fn check(check: &mut Check<'_>) {
    let project = check.project;
    for (at, (name, step)) in project.steps.iter().enumerate() {
        let Action::Run(script) = &step.action else {
            continue;
        };
        let (Some(pipe), Some(place)) = (pipe(script), &check.places.steps[at].run) else {
            continue;
        };
        let project_shell = project.settings.shell.as_deref();
        let hides = match &step.settings.shell {
            Some(shell) => hides_failures(Some(shell)),
            None if check.users[at].is_empty() => hides_failures(project_shell),
            None => check.users[at].iter().any(|user| {
                let own = check.pipeline(*user).1.settings.shell.as_deref();
                hides_failures(own.or(project_shell))
            }),
        };
        if hides {
            let before = script[..pipe].trim_end();
            let command = before.rsplit(['\n', ';', '|']).next().unwrap_or(before);
            let command = command.rsplit("&&").next().unwrap_or(command).trim();
            let shown: String = command.chars().take(40).collect();
            let place = place.clone();
            check.report(
                Problem::warning(codes::PIPE_WITHOUT_PIPEFAIL, format!("the script of step `{name}` has a pipe, and its shell has no pipefail"))
                    .help("set `shell = [\"bash\", \"-o\", \"pipefail\", \"-euc\"]`, or write to a file instead"),
                &place,
                format!("succeeds even if `{shown}` fails"),
            );
        }
    }
}

fn hides_failures(shell: Option<&[String]>) -> bool {
    let Some([program, arguments @ ..]) = shell else {
        return SHELLS.contains(&DEFAULT_SHELL[0]);
    };
    let program = program.rsplit('/').next().unwrap_or(program);
    SHELLS.contains(&program)
        && !arguments
            .iter()
            .any(|argument| argument.contains("pipefail"))
}

/// Where the first pipe of a shell script is: a `|` outside of quotes, comments and arithmetic that is not `||`.
///
/// A script that speaks of `pipefail` itself has none that matters, and in one with a `case` a `|` may separate patterns.
fn pipe(script: &str) -> Option<usize> {
    if !script.contains('|') || script.contains("pipefail") || script.contains("esac") {
        return None;
    }
    let bytes = script.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        let begins_word = at == 0 || bytes[at - 1].is_ascii_whitespace() || bytes[at - 1] == b';';
        at = match bytes[at] {
            b'\\' => at + 2,
            b'\'' => skip_to(bytes, at + 1, b'\''),
            b'"' => skip_to(bytes, at + 1, b'"'),
            b'#' if begins_word => skip_to(bytes, at + 1, b'\n'),
            b'(' if next == Some(b'(') => script[at..]
                .find("))")
                .map_or(bytes.len(), |end| at + end + 2),
            b'>' if next == Some(b'|') => at + 2,
            b'|' if next == Some(b'|') => at + 2,
            b'|' => return Some(at),
            _ => at + 1,
        };
    }
    None
}

/// The place behind the next `end`, which a backslash hides only in double quotes.
fn skip_to(bytes: &[u8], mut at: usize, end: u8) -> usize {
    while at < bytes.len() && bytes[at] != end {
        at += if bytes[at] == b'\\' && end == b'"' {
            2
        } else {
            1
        };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("a | b", true)]
    #[test_case("a |& b", true)]
    #[test_case("x=\"a\\\"\" | b", true; "behind an escaped quote")]
    #[test_case("a || b", false)]
    #[test_case("a '|' \"|\" \\|", false; "quoted")]
    #[test_case("a # | b", false; "in a comment")]
    #[test_case("echo $((1 | 2))", false; "in arithmetic")]
    #[test_case("a >| b", false; "clobber")]
    #[test_case("set -o pipefail; a | b", false; "pipefail in the script")]
    #[test_case("case x in a|b) ;; esac", false; "patterns of a case")]
    #[test_case("'", false; "an open quote")]
    #[test_case("| \\", true; "a backslash at the end")]
    fn a_pipe_is_a_bar_that_the_shell_sees(script: &str, expected: bool) {
        assert_eq!(pipe(script).is_some(), expected);
    }

    #[test]
    fn only_shells_without_pipefail_hide_failures() {
        let argv = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(hides_failures(None));
        assert!(hides_failures(Some(&argv("/bin/bash -euc"))));
        assert!(!hides_failures(Some(&argv("bash -o pipefail -euc"))));
        assert!(!hides_failures(Some(&argv("python3 -c"))));
    }
}
