//! `piper gc`: removes builds that have been kept long enough, and says what that brings.

use super::{
    CliError, GlobalArgs,
    builds::print_json,
    past::{self, ago, bytes},
};
use crate::{
    exit_code,
    history::limits,
    ui::{OutputFormat, Ui, sanitize::words},
};
use piper_core::record::History;
use piper_engine::{clock, scratch};

/// The settings, with what holds without them.
const HELP: &str = "\
Remove old builds

Builds do this by themselves now and then. Kept are the newest builds, and of
each pipeline the newest that succeeded. How many stands in
$XDG_CONFIG_HOME/piper/config.toml; this is what holds without it:

[history]
keep-builds = 100      # of each project
keep-days = 30
keep-size = \"1GiB\"     # of all builds together";

/// Remove old builds
#[derive(Debug, clap::Args)]
#[command(long_about = HELP)]
pub struct GcArgs {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Removes old builds.
///
/// # Errors
///
/// When the settings are wrong, or a build cannot be removed.
pub fn run(args: &GcArgs, _global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let now = clock::wall();
    let limits = limits().map_err(CliError::Problems)?;
    let mut history = past::open(ui, now)?;
    let old = history
        .expendable(limits, now)
        .map_err(|error| CliError::Failed(error.into()))?;
    if !args.dry_run {
        scratch::remove_abandoned();
        let ids: Vec<_> = old.builds.iter().map(|build| build.id).collect();
        history
            .remove(&ids)
            .map_err(|error| CliError::Failed(error.into()))?;
    }
    if ui.format == OutputFormat::Json {
        let kind = if args.dry_run {
            "build.listed"
        } else {
            "build.removed"
        };
        let lines = (1..)
            .zip(&old.builds)
            .map(|(seq, build)| past::listed(build, seq, kind));
        print_json(ui, now, lines)?;
        return Ok(exit_code::SUCCESS);
    }
    let verb = if args.dry_run {
        "would remove"
    } else {
        "removed"
    };
    for build in &old.builds {
        ui.print(&format!(
            "{verb} {} ({} of {}, {})",
            build.id.short(),
            words(&build.target),
            words(&build.root.to_string_lossy()),
            ago(now, build.created)
        ))?;
    }
    let builds = match old.builds.len() {
        0 => "nothing is old enough to be removed".to_owned(),
        1 => format!("{verb} 1 build: {}", bytes(old.bytes)),
        count => format!("{verb} {count} builds: {}", bytes(old.bytes)),
    };
    ui.say(&builds);
    Ok(exit_code::SUCCESS)
}
