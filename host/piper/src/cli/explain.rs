//! `piper explain`: what a code means and how to mend what it stands for.

use crate::{
    cli::CliError,
    exit_code,
    ui::{OutputFormat, Ui},
};
use piper_core::{
    codes::{self, CODES},
    problem::{Code, Problem},
    suggest,
};
use serde_json::json;

/// Explain the code of an error, or list all codes
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The code, such as P0107
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to, or the code is unknown.
pub fn run(args: &ExplainArgs, ui: &Ui) -> Result<u8, CliError> {
    let is_json = ui.format == OutputFormat::Json;
    let object = |code: &str, title: Option<&str>, text: &str| {
        json!({ "v": 1, "type": "code", "code": code, "title": title, "text": text.trim_end() })
            .to_string()
    };
    let Some(wanted) = &args.code else {
        let line = |(code, title, page): &(Code, &str, &str)| match is_json {
            true => object(&code.to_string(), Some(title), page),
            false => format!("{code}  {title}"),
        };
        let lines: Vec<String> = CODES.iter().map(line).collect();
        ui.print(&lines.join("\n"))?;
        return Ok(exit_code::SUCCESS);
    };
    let known = parse(wanted).and_then(|code| {
        let (title, page) = codes::find(code)?;
        Some((code.to_string(), Some(title), page))
    });
    let known = known.or_else(|| Some((wanted.clone(), None, family(wanted)?)));
    let (code, title, page) = known.ok_or_else(|| unknown(wanted))?;
    ui.print(&match is_json {
        true => object(&code, title, page),
        false => page.trim_end().to_owned(),
    })?;
    Ok(exit_code::SUCCESS)
}

/// What the failures of plugins are about, by the first word of their codes. Plugins have codes of their own beside these.
const FAMILIES: [(&str, &str); 11] = [
    (
        "policy",
        "A plugin wanted what it may not do here. Its manifest asks for what it needs (`[[permission.files]]`, `[[permission.http]]`, …), and you grant it:\n`piper plugin inspect NAME` shows what it asks for, what it has and what it lacks; `piper plugin grant NAME` gives it that.",
    ),
    (
        "limit",
        "A plugin used up what a call may use of time, memory, output or the like. The message names the line of plugins.toml that raises the limit;\n`piper plugin inspect NAME` shows all limits.",
    ),
    (
        "plugin",
        "A plugin broke: it panicked, aborted, or answered what makes no sense. That is for its author to mend; the message has the place in its code\nand what it said last. `piper plugin test NAME` tries it in many ways.",
    ),
    (
        "host",
        "piper could not do what a plugin asked for, although it was allowed: something here is missing, broken or busy.",
    ),
    (
        "http",
        "A request of a plugin did not work: no connection, no answer in time, or one with the status that the code names.",
    ),
    (
        "fs",
        "A plugin's use of a file did not work: it is missing, exists already, is of another kind, or has a path that leads out of its folder.",
    ),
    (
        "exec",
        "A plugin's command could not be started, or ended badly.",
    ),
    (
        "secret",
        "A secret of a plugin cannot be used: its source has no value, or the value is not as the grant says.",
    ),
    (
        "state",
        "What a plugin keeps from call to call could not be read or written, or somebody else wrote it meanwhile (`state.conflict`).",
    ),
    (
        "call",
        "A call of a plugin was cancelled, because the build was or its step ran out of time.",
    ),
    (
        "settings",
        "A plugin could not read its options or its configuration: they fit its schema, if it has one, and not its code.",
    ),
];

/// What a code of a plugin's failure is about.
fn family(code: &str) -> Option<&'static str> {
    let (first, _) = code.trim_matches(['(', ')']).split_once('.')?;
    let found = FAMILIES.iter().find(|(family, _)| *family == first);
    found.map(|(_, page)| *page)
}

/// Reads a code with or without its letter, its zeros and the brackets in which it is printed.
fn parse(text: &str) -> Option<Code> {
    let digits = text
        .trim_start_matches("error")
        .trim_start_matches("warning");
    let digits = digits
        .trim_matches(['[', ']'])
        .trim_start_matches(['P', 'p']);
    digits.parse().ok().map(Code)
}

fn unknown(code: &str) -> Problem {
    let near = parse(code).and_then(|code| {
        let known: Vec<String> = CODES.iter().map(|(code, ..)| code.to_string()).collect();
        let near = suggest::closest(&code.to_string(), known.iter().map(String::as_str))?;
        codes::find(parse(near)?).zip(parse(near))
    });
    let problem = Problem::error(codes::UNKNOWN_CODE, format!("there is no code `{code}`"));
    let problem = match near {
        Some(((title, _), near)) => problem.help(format!("did you mean {near}: {title}?")),
        None => problem,
    };
    problem.help("`piper explain` lists all codes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("P0107", Some(107))]
    #[test_case("p107", Some(107))]
    #[test_case("error[P0107]", Some(107))]
    #[test_case("107", Some(107))]
    #[test_case("E0107", None)]
    #[test_case("99999", None; "too large")]
    fn a_code_is_read_as_people_write_it(text: &str, code: Option<u16>) {
        assert_eq!(parse(text), code.map(Code));
    }

    #[test_case("policy.fs", Some("A plugin wanted what it may not do here"))]
    #[test_case("(limit.cpu)", Some("A plugin used up"); "as it is printed")]
    #[test_case("acme.broken", None; "a plugin's own")]
    #[test_case("policy", None; "no code")]
    fn the_failures_of_plugins_are_explained_by_what_they_are_about(
        code: &str,
        begins: Option<&str>,
    ) {
        let page = family(code);
        assert_eq!(page.is_some(), begins.is_some());
        assert!(
            page.unwrap_or_default()
                .starts_with(begins.unwrap_or_default())
        );
    }

    #[test_case("P0170", Some("P0107"); "two digits swapped")]
    #[test_case("P9999", None; "far from all")]
    fn only_a_near_code_is_suggested(code: &str, near: Option<&str>) {
        let help = unknown(code).help;
        let suggested = help
            .iter()
            .find_map(|line| line.strip_prefix("did you mean "));
        assert_eq!(suggested.map(|line| &line[..5]), near);
    }
}
