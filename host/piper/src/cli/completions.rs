//! `piper completions`: prints the script that teaches a shell to complete; and `piper __complete`, which that script asks.

use super::{CliError, GlobalArgs, kept::Kept, past, project::load_project};
use crate::{
    complete::{Answer, Shell, World, answer, meant, meant_before, recent_builds, render},
    exit_code,
    ui::{ColorChoice, OutputFormat, Ui},
};
use clap::Args;
use piper_engine::clock;
use std::{ffi::OsString, path::Path};

/// Print the script that completes piper's words in a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell, and where its line goes
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(args: &CompletionsArgs, ui: &Ui) -> Result<u8, CliError> {
    ui.print(args.shell.script().trim_end())?;
    Ok(exit_code::SUCCESS)
}

/// What could stand at the cursor
#[derive(Debug, Args)]
pub struct CompleteArgs {
    #[arg(value_enum)]
    shell: Shell,
    /// The characters at which bash begins a new word
    breaks: String,
    /// The words after the program's name, up to the cursor
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Prints what could stand at the cursor, a line each. Status 1 asks the shell for the names of files.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn complete(
    args: &CompleteArgs,
    mut cli: clap::Command,
    global: &GlobalArgs,
) -> Result<u8, CliError> {
    const FILES: u8 = 1;
    // Nobody reads what is said while a line is completed.
    let ui = Ui::new(ColorChoice::Never, OutputFormat::Text, true, false);
    cli.build();
    let typed: Vec<String> = args
        .words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let (current, before) = typed
        .split_last()
        .map_or(("", &[][..]), |(current, before)| {
            (current.as_str(), before)
        });
    let words = before.iter().map(|word| meant_before(args.shell, word));
    let words: Vec<String> = words.chain([meant(args.shell, current)]).collect();
    let at = |directory: Option<&Path>| GlobalArgs {
        directory: directory
            .map(Path::to_owned)
            .or_else(|| global.directory.clone()),
        ..global.clone()
    };
    let world = World {
        project: &|directory| load_project(&at(directory), &ui).ok(),
        builds: &recent_builds,
        recorded: &|directory, address| {
            recorded_steps(&at(directory), address, &ui).unwrap_or_default()
        },
        plugins: &|directory| named_plugins(&at(directory)).unwrap_or_default(),
    };
    match answer(&cli, &words, &world) {
        Answer::Files => Ok(FILES),
        Answer::Candidates(candidates) => {
            ui.print(
                render(args.shell, &candidates, current, &args.breaks).trim_end_matches('\n'),
            )?;
            Ok(exit_code::SUCCESS)
        }
    }
}

/// The plugins that can be named, each with who says so.
fn named_plugins(global: &GlobalArgs) -> Result<Vec<(String, String)>, CliError> {
    let entries = super::plugin::catalogue(global)?.entries();
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name.to_string(), entry.origin.as_str().to_owned()))
        .collect())
}

/// The labels of the steps of the build at an address.
fn recorded_steps(global: &GlobalArgs, address: &str, ui: &Ui) -> Result<Vec<String>, CliError> {
    let address = past::address(Some(address))?;
    let history = past::open(ui, clock::wall())?;
    let build = past::find(&history, &address, past::root(global)?.as_deref())?;
    let kept = Kept::open(&history, build, ui)?;
    Ok(kept.labels().into_iter().map(str::to_owned).collect())
}
