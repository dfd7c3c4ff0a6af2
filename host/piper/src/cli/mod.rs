//! The command line: one file a command, each with its arguments and its `run`.
//!
//! A command returns an exit code or a [`CliError`]; nothing below ends the process or writes past [`Ui`].

pub mod builds;
pub mod check;
pub mod completions;
pub mod exec;
pub mod explain;
pub mod export;
pub mod gc;
pub mod graph;
pub mod init;
mod kept;
pub mod list;
pub mod logs;
mod past;
pub mod plan;
pub mod plugin;
pub mod project;
pub(crate) mod quote;
pub mod request;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod show;

use crate::{
    exit_code,
    ui::{ColorChoice, OutputFormat, Ui, problem, sanitize::words},
};
use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use piper_core::{
    codes,
    id::{ParamName, StepName},
    problem::Problem,
};
use std::{ffi::OsString, io, num::NonZeroU32, path::PathBuf};

/// Build and test a project here the same way as on its build farm
#[derive(Debug, Parser)]
#[command(name = "piper", bin_name = "piper", version, after_help = FIRST_STEPS)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where somebody begins who sees piper for the first time.
const FIRST_STEPS: &str = "`piper init` writes a piper.toml, `piper list` shows what is in it, `piper exec NAME` runs it.";

/// What every command takes. Under a heading, so that a command's own options stand together.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Look for the project here instead of in the working directory
    #[arg(
        short = 'C',
        long = "directory",
        global = true,
        value_name = "DIR",
        help_heading = COMMON
    )]
    pub directory: Option<PathBuf>,
    /// When to use colours: `auto` (on a terminal, unless `NO_COLOR` is set), `always` or `never`
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "WHEN",
        help_heading = COMMON
    )]
    pub color: ColorChoice,
    /// How to print: `text` for people, `json` for programs, one object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "FORMAT",
        help_heading = COMMON
    )]
    pub output: OutputFormat,
    /// Say more about what piper itself does
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub verbose: bool,
    /// Print only what the steps print, and errors
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = COMMON
    )]
    pub quiet: bool,
}

const COMMON: &str = "Options of every command";

#[derive(Debug, Subcommand)]
enum Command {
    Exec(exec::ExecArgs),
    Plan(plan::PlanArgs),
    Check(check::CheckArgs),
    List(list::ListArgs),
    Graph(graph::GraphArgs),
    Init(init::InitArgs),
    Builds(builds::BuildsArgs),
    Show(show::ShowArgs),
    Logs(logs::LogsArgs),
    Gc(gc::GcArgs),
    Plugin(plugin::PluginArgs),
    Export(export::ExportArgs),
    Schema(schema::SchemaArgs),
    Explain(explain::ExplainArgs),
    Completions(completions::CompletionsArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completions::CompleteArgs),
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// The user's input is wrong: all that is wrong with it. Ends with [`exit_code::USAGE`].
    Problems(Vec<Problem>),
    /// piper or the machine failed. Ends with [`exit_code::ERRORED`].
    Failed(anyhow::Error),
    /// Standard output was closed: a quiet end, as for any tool in a pipe.
    Closed,
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<Box<Problem>> for CliError {
    fn from(problem: Box<Problem>) -> Self {
        Self::Problems(vec![*problem])
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// What a command writes itself, it writes to standard output.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(anyhow::Error::new(error).context("cannot write to standard output")),
        }
    }
}

/// A number of which 0 makes no sense.
fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| format!("give a whole number from 1 to {}", u32::MAX))
}

/// The description of the command line.
pub(crate) fn description() -> clap::Command {
    let command = Cli::command();
    // Where a terminal has no size, some programs say so by these.
    match std::env::var_os("COLUMNS").is_some_and(|columns| columns == "0") {
        true => command.term_width(80),
        false => command,
    }
}

/// Runs the command line of this process and says with which status to end.
pub fn main() -> u8 {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let mut error = without_controls(error, std::env::args_os());
            advise(&mut error, std::env::args_os());
            let printed = error.print();
            return if error.use_stderr() {
                tell_programs(&error, std::env::args_os());
                exit_code::USAGE
            } else {
                // Help and the version are answers.
                let ui = Ui::new(ColorChoice::Auto, OutputFormat::Text, false, false);
                printed.map_or_else(|error| report(error.into(), &ui), |()| exit_code::SUCCESS)
            };
        }
    };
    let global = &cli.global;
    let ui = Ui::new(global.color, global.output, global.quiet, global.verbose);
    let result = match cli.command {
        // P-05: no command is a question, not a mistake.
        None => ui
            .print(&description().render_help().to_string())
            .map(|()| exit_code::SUCCESS)
            .map_err(CliError::from),
        Some(Command::Exec(args)) => exec::run(&args, global, &ui),
        Some(Command::Plan(args)) => plan::run(&args, global, &ui),
        Some(Command::Check(args)) => check::run(&args, global, &ui),
        Some(Command::List(args)) => list::run(&args, global, &ui),
        Some(Command::Graph(args)) => graph::run(&args, global, &ui),
        Some(Command::Init(args)) => init::run(&args, global, &ui),
        Some(Command::Builds(args)) => builds::run(&args, global, &ui),
        Some(Command::Show(args)) => show::run(&args, global, &ui),
        Some(Command::Logs(args)) => logs::run(&args, global, &ui),
        Some(Command::Gc(args)) => gc::run(&args, global, &ui),
        Some(Command::Plugin(args)) => plugin::run(&args, global, &ui),
        Some(Command::Export(args)) => export::run(&args, global, &ui),
        Some(Command::Schema(args)) => schema::run(&args, &ui),
        Some(Command::Explain(args)) => explain::run(&args, &ui),
        Some(Command::Completions(args)) => completions::run(&args, &ui),
        Some(Command::Complete(args)) => completions::complete(&args, description(), global),
    };
    result.unwrap_or_else(|error| report(error, &ui))
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = description().try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// The same error of words that neither write to the terminal's controls nor fill its screen: the parser repeats them as they are.
fn without_controls(error: clap::Error, args: impl Iterator<Item = OsString>) -> clap::Error {
    const LONGEST: usize = 500;
    let shown = args.map(|arg| {
        let Some(text) = arg.to_str() else { return arg };
        let mut shown: String = words(text).chars().take(LONGEST).collect();
        if shown.len() < text.len() && shown.chars().count() == LONGEST {
            shown.push('…');
        }
        shown.into()
    });
    match parse(shown) {
        Err(shown) if shown.kind() == error.kind() => shown,
        _ => error,
    }
}

/// Adds what the parser cannot know: a word that is no command may well be a pipeline or a step, and an option that is none a parameter.
fn advise(error: &mut clap::Error, args: impl Iterator<Item = OsString>) {
    let mut tips = Vec::new();
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && StepName::parse(word).is_ok()
    {
        tips.push(
            format!("to run a pipeline or a step of that name, use 'piper exec {word}'").into(),
        );
    }
    if let Some(tip) = parameter_tip(error, args) {
        tips.push(tip.into());
        // What the parser said beside it stays.
        if let Some(ContextValue::StyledStrs(others)) = error.get(ContextKind::Suggested) {
            tips.extend_from_slice(others);
        }
    }
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// How to write a parameter that somebody wrote as an option.
fn parameter_tip(error: &clap::Error, mut args: impl Iterator<Item = OsString>) -> Option<String> {
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let takes_parameters = error
        .get(ContextKind::Usage)?
        .to_string()
        .contains("[KEY=VALUE]");
    // A slip of the hand is more likely than a parameter that is nearly called like an option.
    let is_slip = error.get(ContextKind::SuggestedArg).is_some();
    let name = option.strip_prefix("--")?;
    if error.kind() != ErrorKind::UnknownArgument
        || !takes_parameters
        || is_slip
        || ParamName::parse(name).is_err()
    {
        return None;
    }
    let value = args.find_map(|arg| {
        let value = arg.to_str()?.strip_prefix(option)?.strip_prefix('=')?;
        Some(value.to_owned())
    });
    let word = format!("{name}={}", value.as_deref().unwrap_or("VALUE"));
    Some(format!(
        "to give the parameter '{name}' a value, use {}",
        words(&quote::quoted(&word))
    ))
}

/// Repeats what the parser said for a program that asked for JSON. The parser did not come as far as to know that.
fn tell_programs(error: &clap::Error, args: impl Iterator<Item = OsString>) {
    let words: Vec<OsString> = args.take_while(|word| word != "--").collect();
    let asked = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    if !words.windows(2).any(asked) && !words.iter().any(|word| word == "--output=json") {
        return;
    }
    let text = error.render().to_string();
    let said = text.strip_prefix("error: ").unwrap_or(&text);
    let message = said.split("\n\n").next().unwrap_or_default();
    let problem = Problem::error(codes::BAD_USAGE, message.to_owned());
    let ui = Ui::new(ColorChoice::Never, OutputFormat::Json, false, false);
    for line in problem::json_lines(&[problem], None) {
        // It is on standard error as well.
        let _ = ui.print(&line);
    }
}

/// Tells the user why nothing came of it, and says with which status to end.
fn report(error: CliError, ui: &Ui) -> u8 {
    match error {
        CliError::Problems(problems) => {
            let here = std::env::current_dir().ok();
            if ui.format == OutputFormat::Json {
                for line in problem::json_lines(&problems, here.as_deref()) {
                    // It is on standard error as well.
                    let _ = ui.print(&line);
                }
            }
            ui.complain(&problem::text(&problems, ui.err.color, here.as_deref()));
            exit_code::USAGE
        }
        CliError::Failed(error) => {
            ui.error(&format!("{error:#}"));
            exit_code::ERRORED
        }
        CliError::Closed => exit_code::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn refusal(words: &[&str]) -> String {
        let words = ["piper"].iter().chain(words).map(OsString::from);
        let error = parse(words.clone()).unwrap_err();
        let mut error = without_controls(error, words.clone());
        advise(&mut error, words);
        error.to_string()
    }

    #[test]
    fn the_description_of_the_command_line_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_word_that_is_no_command_may_be_a_pipeline() {
        insta::assert_snapshot!(refusal(&["build"]), @"
        error: unrecognized subcommand 'build'

          tip: a similar subcommand exists: 'builds'
          tip: to run a pipeline or a step of that name, use 'piper exec build'

        Usage: piper [OPTIONS] [COMMAND]

        For more information, try '--help'.
        ");
        assert!(!refusal(&["a b"]).contains("piper exec"));
    }

    #[test]
    fn an_option_that_there_is_not_may_be_a_parameter() {
        insta::assert_snapshot!(refusal(&["exec", "greet", "--name=you"]), @"
        error: unexpected argument '--name' found

          tip: to give the parameter 'name' a value, use 'name=you'
          tip: to pass '--name' as a value, use '-- --name'

        Usage: piper exec [OPTIONS] [NAME] [ENVIRONMENT] [KEY=VALUE]... [-- <ARGS>...]

        For more information, try '--help'.
        ");
    }

    #[test_case(&["exec", "--msg=it's a\x1b[2J"], Some(r"use 'msg=it'\''s a␛[2J'"); "a value to quote")]
    #[test_case(&["plan", "--name", "you"], Some("use 'name=VALUE'"); "a value that may be something else")]
    #[test_case(&["exec", "--quiett"], None; "a slip")]
    #[test_case(&["list", "--name=you"], None; "a command without parameters")]
    #[test_case(&["exec", "-n"], None; "a short option")]
    fn only_what_can_be_a_parameter_is_called_one(words: &[&str], tip: Option<&str>) {
        let text = refusal(words);
        match tip {
            Some(tip) => assert!(text.contains(tip), "{text}"),
            None => assert!(!text.contains("parameter"), "{text}"),
        }
    }

    #[test_case(&["init", "\x1b[2Jx"]; "an argument")]
    #[test_case(&["exec", "--\x1b]0;x\x07"]; "an option, and the tip for it")]
    #[test_case(&["list", "--output=\x1b[2J"]; "a value")]
    #[test_case(&["\x1b[2J"]; "a command")]
    fn what_is_refused_cannot_write_to_the_terminals_controls(words: &[&str]) {
        let text = refusal(words);
        assert!(
            text.contains('␛') && !text.contains(['\x1b', '\x07']),
            "{text:?}"
        );
    }

    #[test_case(&[]; "as a command")]
    #[test_case(&["logs", "--since"]; "as a value")]
    #[test_case(&["list"]; "as an argument")]
    fn a_word_of_100_000_letters_does_not_fill_the_screen(before: &[&str]) {
        let word = "x".repeat(100_000);
        let text = refusal(&[before, &[&word]].concat());
        assert!(
            text.contains("xxx…") && text.len() < 4_000,
            "{}",
            text.len()
        );
    }

    #[test_case(&["exec", "-j0"]; "jobs")]
    #[test_case(&["builds", "-n", "0"]; "builds")]
    fn nothing_is_not_a_number_of_things(words: &[&str]) {
        let text = refusal(words);
        assert!(
            text.contains("give a whole number from 1 to 4294967295"),
            "{text}"
        );
    }
}
