//! `piper explain`: what a code means and how to mend what it stands for.

use crate::{cli::CliError, exit_code, ui::Ui};
use piper_core::{
    codes::{self, CODES},
    problem::{Code, Problem},
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
        CODES
            .iter()
            .min_by_key(|(known, ..)| known.0.abs_diff(code.0))
    });
    let problem = Problem::error(codes::UNKNOWN_CODE, format!("there is no code `{code}`"));
    let problem = match near {
        Some((near, title, _)) => problem.help(format!("the nearest is {near}: {title}")),
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
}
