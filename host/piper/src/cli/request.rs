//! The words that say what to run: shared by every command that resolves a plan.
//!
//! Nothing here knows a project: whether a name exists is decided by `piper_core::plan::resolve`.

use clap::Args;
use piper_core::{codes, id::ParamName, plan::Request, problem::Problem};
use std::{fs::File, io::Read as _, path::Path};

/// What to run.
#[derive(Debug, Clone, Default, Args)]
pub struct RequestArgs {
    /// A pipeline or a step (`build` if there is none), an environment, and parameters; `NAME[AXIS=VALUE]` runs these cells of a
    /// matrix alone, and `KEY=@FILE` reads the value from a file
    #[arg(value_name = "NAME] [ENVIRONMENT] [KEY=VALUE")]
    pub words: Vec<String>,
    /// Run this step alone, without what it needs; may be given several times
    #[arg(long, value_name = "STEP")]
    pub step: Vec<String>,
    /// Run this step and all that come after it; what comes before counts as done
    #[arg(long, value_name = "STEP", conflicts_with = "step")]
    pub from_step: Option<String>,
    /// After a failure, go on with the steps that do not depend on it
    #[arg(long)]
    pub keep_going: bool,
    /// Arguments for the step, or for the last one of the pipeline: its script's "$@", or appended to its argv
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

impl RequestArgs {
    /// Tells names from parameters, and reads the values that stand in files.
    ///
    /// # Errors
    ///
    /// Every word that is malformed, and every file that gives no value.
    pub fn parse(&self) -> Result<Request, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut names = Vec::new();
        let mut params = Vec::new();
        for word in &self.words {
            let Some((name, value)) = param(word) else {
                names.push(word.clone());
                continue;
            };
            match ParamName::parse(name) {
                Err(error) => problems.push(
                    malformed(format!(
                        "`{}` names no parameter: {error}",
                        word.escape_debug()
                    ))
                    .help(
                        "write a parameter as `name=value`; arguments for the step come after `--`",
                    ),
                ),
                Ok(_) => match read_value(name, value) {
                    Ok(value) => params.push((name.to_owned(), value)),
                    Err(problem) => problems.push(*problem),
                },
            }
        }
        if let Some(third) = names.get(2) {
            problems.push(
                malformed(format!(
                    "`{}` is one word too many: a name and an environment are all",
                    third.escape_debug()
                ))
                .help(format!(
                    "a parameter is `{0}=value`; an argument for the step comes after `--`",
                    if ParamName::parse(third).is_ok() {
                        third
                    } else {
                        "name"
                    }
                )),
            );
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut names = names.into_iter();
        Ok(Request {
            target: names.next(),
            environment: names.next(),
            params,
            args: self.args.clone(),
            step: self.step.clone(),
            from_step: self.from_step.clone(),
            keep_going: self.keep_going,
        })
    }
}

/// A word as a parameter and its value; `unit[rust=1.80]` is the name of a cell.
pub(crate) fn param(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| !name.contains('['))
}

fn malformed(message: String) -> Problem {
    Problem::error(codes::BAD_ARGUMENT, message)
}

/// The longest value that still fits into a process's environment: Linux takes 128 KiB for one variable, name included.
const LONGEST_VALUE: u64 = 127 * 1024;

/// A parameter's value as it was typed: `@file` stands for what is in the file, less one line end; `@@` for one `@`.
fn read_value(name: &str, typed: &str) -> Result<String, Box<Problem>> {
    let Some(path) = typed.strip_prefix('@') else {
        return Ok(typed.to_owned());
    };
    if path.starts_with('@') {
        return Ok(path.to_owned());
    }
    let refuse = |what: String| {
        Box::new(
            malformed(format!(
                "parameter `{name}` takes its value from a file, but {what}"
            ))
            .help(format!("`{name}=@@…` is a value that begins with `@`")),
        )
    };
    let shown = Path::new(path).display();
    let mut bytes = Vec::new();
    // Reads no further than what could be used: the file may be a device that never ends.
    File::open(path)
        .and_then(|file| file.take(LONGEST_VALUE + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(format!("`{shown}` cannot be read: {error}")))?;
    if bytes.len() as u64 > LONGEST_VALUE {
        return Err(refuse(format!(
            "`{shown}` has more than {LONGEST_VALUE} bytes; pass the file's name instead"
        )));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(refuse(format!("`{shown}` is not a text in UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn args(words: &[&str]) -> RequestArgs {
        RequestArgs {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            ..RequestArgs::default()
        }
    }

    #[test_case(&[], None, None, &[]; "nothing")]
    #[test_case(&["a=b"], None, None, &[("a", "b")]; "only a parameter")]
    #[test_case(&["x=1", "deploy", "y=a=b", "clean"], Some("deploy"), Some("clean"), &[("x", "1"), ("y", "a=b")]; "mixed")]
    #[test_case(&["mx[a=1,b=x]", "c=[d]"], Some("mx[a=1,b=x]"), None, &[("c", "[d]")]; "a cell of a matrix")]
    #[test_case(&["a=", "_b=@@x"], None, None, &[("a", ""), ("_b", "@x")]; "empty and literal at sign")]
    fn words_with_an_equals_sign_are_parameters(
        words: &[&str],
        target: Option<&str>,
        environment: Option<&str>,
        params: &[(&str, &str)],
    ) {
        let request = args(words).parse().unwrap();
        assert_eq!(request.target.as_deref(), target);
        assert_eq!(request.environment.as_deref(), environment);
        let found: Vec<(&str, &str)> = request
            .params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, params);
    }

    #[test]
    fn everything_malformed_is_said_at_once() {
        let problems = args(&["a", "b", "c", "=x", "a b=c", "k=@/does/not/exist"])
            .parse()
            .unwrap_err();
        let text: Vec<String> = problems
            .iter()
            .map(|problem| {
                format!(
                    "{}: {}\n  {}",
                    problem.code,
                    problem.message,
                    problem.help.join("\n  ")
                )
            })
            .collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        P0310: `=x` names no parameter: "" is not a name: use up to 64 letters, digits, `_` and `-`, beginning with a letter or a digit
          write a parameter as `name=value`; arguments for the step come after `--`
        P0310: `a b=c` names no parameter: "a b" is not a name: use up to 64 letters, digits, `_` and `-`, beginning with a letter or a digit
          write a parameter as `name=value`; arguments for the step come after `--`
        P0310: parameter `k` takes its value from a file, but `/does/not/exist` cannot be read: No such file or directory (os error 2)
          `k=@@…` is a value that begins with `@`
        P0310: `c` is one word too many: a name and an environment are all
          a parameter is `c=value`; an argument for the step comes after `--`
        "#);
    }

    #[test_case(b"text\n\n", Some("text\n"); "one line end is removed")]
    #[test_case(b"", Some(""); "empty")]
    #[test_case(b"\xff", None; "not utf-8")]
    #[test_case(b"a\0b", None; "nul")]
    #[test_case(&[b'x'; 128 * 1024], None; "too long")]
    fn a_value_is_read_from_a_file(bytes: &[u8], expected: Option<&str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let value = read_value("k", &format!("@{}", file.path().display()));
        assert_eq!(value.ok().as_deref(), expected);
    }
}
