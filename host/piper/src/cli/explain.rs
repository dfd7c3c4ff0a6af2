//! `piper explain`: what a code means and how to mend what it stands for.

use crate::{cli::CliError, exit_code, ui::Ui};
use piper_core::{
    codes::{self, CODES},
    problem::{Code, Problem},
    suggest,
};

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
    let Some(code) = &args.code else {
        let lines: Vec<String> = CODES
            .iter()
            .map(|(code, title, _)| format!("{code}  {title}"))
            .collect();
        ui.print(&lines.join("\n"))?;
        return Ok(exit_code::SUCCESS);
    };
    let (_, page) = parse(code)
        .and_then(codes::find)
        .ok_or_else(|| unknown(code))?;
    ui.print(page.trim_end())?;
    Ok(exit_code::SUCCESS)
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
