//! `piper init`: looks at the repository and writes a `piper.toml` that works at once.
//!
//! `look` only reads, `write` only makes text; here the file is put in its place, whole or not at all.

mod look;
mod makefile;
mod write;

#[cfg(test)]
mod tests;

use super::{CliError, GlobalArgs};
use crate::{
    exit_code, find,
    ui::{OutputFormat, Ui, sanitize::words},
};
use anyhow::Context as _;
use clap::Args;
use piper_core::{codes, problem::Problem};
use serde_json::json;
use std::{
    env,
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Look at the repository and write a piper.toml for it
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Replace a piper.toml that is there
    #[arg(long)]
    force: bool,
}

const FILE: &str = "piper.toml";

/// Writes the file, and says what was found and what to do next.
///
/// # Errors
///
/// When there is a file already, or it cannot be written.
pub fn run(args: &InitArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let folder = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    let file = global
        .directory
        .as_ref()
        .map_or_else(|| PathBuf::from(FILE), |folder| folder.join(FILE));
    find::start(Some(&folder))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let has_tool = |tool: &str| {
        env::split_paths(&path).any(|place| {
            fs::metadata(place.join(tool))
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
    };
    let found = look::look(&folder, &has_tool);
    place(&file, &write::file(&found), args.force)?;
    match ui.format {
        OutputFormat::Json => {
            let kinds: Vec<_> = found
                .kinds
                .iter()
                .map(|kind| json!({ "kind": kind.name, "folder": kind.folder }))
                .collect();
            let line = json!({ "v": 1, "type": "init", "file": file.to_string_lossy(), "found": kinds, "left_out": found.left_out });
            ui.print(&line.to_string())?;
        }
        OutputFormat::Text => {
            for kind in &found.kinds {
                let place = if kind.folder.is_empty() {
                    String::new()
                } else {
                    format!(" in {}", kind.folder)
                };
                let names: Vec<&str> = kind.steps.iter().map(|step| step.name.as_str()).collect();
                ui.say(&format!("found {}{place}: {}", kind.name, names.join(", ")));
            }
            for line in &found.left_out {
                ui.say(&format!("left out {line}"));
            }
            if found.kinds.is_empty() {
                ui.say("found nothing that piper can build here: the file says hello, and waits for your own commands");
            }
            ui.say(&format!(
                "wrote {}; next: `piper plan` shows what would run, `piper exec` runs it",
                words(&file.to_string_lossy())
            ));
        }
    }
    Ok(exit_code::SUCCESS)
}

/// Puts the text into its place in one step: whoever reads the file sees the old one or the new one.
fn place(file: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let refused = || {
        Problem::error(
            codes::FILE_EXISTS,
            format!("`{}` exists already", file.display()),
        )
        .help("`piper init --force` replaces it")
    };
    // A link that leads nowhere is something, too.
    if !force && file.symlink_metadata().is_ok() {
        return Err(refused().into());
    }
    let failed = || format!("cannot write `{}`", file.display());
    let folder = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".piper.toml.")
        // As any new file: the user's mask decides.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .with_context(failed)?;
    temporary.write_all(text.as_bytes()).with_context(failed)?;
    if force {
        // Replaces a link itself, and never what it leads to.
        temporary
            .persist(file)
            .map_err(|error| error.error)
            .with_context(failed)?;
        return Ok(());
    }
    match temporary.persist_noclobber(file) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(refused().into())
        }
        Err(error) => Err(anyhow::Error::new(error.error).context(failed()).into()),
    }
}
