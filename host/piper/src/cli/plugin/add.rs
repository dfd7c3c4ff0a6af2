//! `piper plugin add`: pins a plugin, so that the project, or this user, uses this one and no other.
//!
//! Pins and grants nothing: what the plugin asks for is shown, and the command that grants it.

use super::{CliError, GlobalArgs, catalogue, check, grants_file, permissions};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        self,
        catalogue::Catalogue,
        change::Kept,
        component::{self, Component, Origin, short},
        shown,
    },
    ui::{OutputFormat, Ui, sanitize::words},
};
use clap::Args;
use piper_core::{codes, id::PluginName, problem::Problem};
use piper_plugin_host::policy::{
    grant::{Change, PluginGrant},
    lock::Locked,
    manifest::Manifest,
    source::{PluginDigest, PluginSource},
};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Pin a plugin in piper.lock, or fetch and pin another version of it
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// A component's file, or an https:// URL
    #[arg(value_name = "SOURCE")]
    source: String,
    /// What to call it here [default: the name in its manifest]
    #[arg(long)]
    name: Option<String>,
    /// Add it for all projects of this user, in plugins.toml, instead of to this project
    #[arg(long)]
    user: bool,
}

pub(super) fn run(args: &AddArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let mut catalogue = catalogue(global)?;
    let origin = if args.user {
        Origin::Operator
    } else {
        Origin::Project
    };
    let (source, mut component) = found(args, global, &catalogue)?;
    let plugin = component.load(&plugins::host(&catalogue.places))?;
    let (loaded, problems) = check::examine(&component, &plugin);
    let problems = super::errors(problems);
    let Some(manifest) = loaded
        .and_then(|loaded| loaded.manifest)
        .filter(|_| problems.is_empty())
    else {
        return Err(CliError::Problems(problems));
    };
    let name = match &args.name {
        Some(name) => PluginName::parse(name).map_err(|error| {
            Problem::error(codes::BAD_NAME, error.to_string()).help("choose another with --name")
        })?,
        None => manifest.name.clone(),
    };
    catalogue.keep(&source, &component);
    component.name = Some(name.clone());
    component.origin = origin;
    component.source = source.to_string();
    let was = match origin {
        Origin::Operator => catalogue.grant(&name).and_then(|grant| grant.digest),
        Origin::File | Origin::Project | Origin::Builtin => catalogue
            .lock
            .plugins
            .get(&name)
            .map(|locked| locked.digest),
    };
    let file = match origin {
        Origin::Operator => pin_for_user(&mut catalogue, &name, source, component.digest)?,
        Origin::File | Origin::Project | Origin::Builtin => {
            let digest = component.digest;
            catalogue.pin(&name, Locked { source, digest })?
        }
    };
    report(&catalogue, &component, &manifest, (was, &file), ui)?;
    Ok(exit_code::SUCCESS)
}

/// The component, and how its source is to be written down.
fn found(
    args: &AddArgs,
    global: &GlobalArgs,
    catalogue: &Catalogue,
) -> Result<(PluginSource, Component), CliError> {
    let root = match (&catalogue.root, args.user) {
        (_, true) => None,
        (Some(root), false) => Some(root.as_path()),
        (None, false) => {
            return Err(Problem::error(
                codes::NO_PROJECT,
                "there is no project here to add a plugin to",
            )
            .help("`piper init` begins one; `--user` adds the plugin for all projects of yours")
            .into());
        }
    };
    let source = PluginSource::parse(&args.source).map_err(|fault| fault.into_problem())?;
    let name = args
        .name
        .as_deref()
        .and_then(|name| PluginName::parse(name).ok());
    let PluginSource::Path(path) = &source else {
        let component = catalogue.get(name.as_ref(), &source)?;
        return Ok((source, component));
    };
    let path = global
        .directory
        .as_deref()
        .unwrap_or(Path::new(""))
        .join(path);
    let component = component::at(&path, catalogue.limit(name.as_ref()))?;
    Ok((PluginSource::Path(written(&path, root)?), component))
}

/// A path as it is written down: below the project's root, so that it is the same on every machine, or whole.
fn written(path: &Path, root: Option<&Path>) -> Result<String, CliError> {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let not_text = || {
        Problem::error(codes::BAD_SOURCE, format!("`{}` is not UTF-8", shown(path)))
            .help("rename it")
    };
    let Some(root) = root else {
        return Ok(whole.to_str().ok_or_else(not_text)?.to_owned());
    };
    let below = whole.strip_prefix(root).map_err(|_| {
        Problem::error(codes::BAD_SOURCE, format!("`{}` is not a file of this project", shown(path)))
            .help("copy it into the project, or name an `https://` URL; `--user` adds it for all projects of yours")
    })?;
    Ok(format!("./{}", below.to_str().ok_or_else(not_text)?))
}

/// Pins it in the operator's file, unless what is written there under its name is for another plugin and nobody knows for which.
fn pin_for_user(
    catalogue: &mut Catalogue,
    name: &PluginName,
    source: PluginSource,
    digest: PluginDigest,
) -> Result<PathBuf, CliError> {
    let written = catalogue.grant(name);
    let is_anybodys = |grant: &&PluginGrant| {
        grant.given_to().is_none() && grant.gives() && grant.source.as_ref() != Some(&source)
    };
    if written.is_some_and(|grant| is_anybodys(&grant)) {
        let message = format!(
            "`[plugins.{name}]` of {} grants something, and does not say to which plugin",
            grants_file(catalogue)
        );
        return Err(Problem::error(codes::PLUGIN_CHANGED, message)
            .help("call this one otherwise with --name, or take `allow` and `secrets` out of that table")
            .into());
    }
    let changes = [Change::Pin(source, digest)];
    Ok(catalogue.change(name, &changes, Kept::Stays)?.file)
}

fn report(
    catalogue: &Catalogue,
    component: &Component,
    manifest: &Manifest,
    (was, file): (Option<PluginDigest>, &Path),
    ui: &Ui,
) -> Result<(), CliError> {
    let standing = catalogue.standing(component, manifest)?;
    let name = component.title();
    if ui.format == OutputFormat::Json {
        let object = json!({
            "v": 1,
            "type": "plugin.added",
            "name": name,
            "version": manifest.version,
            "source": component.source,
            "digest": component.digest.to_string(),
            "was": was.map(|was| was.to_string()),
            "file": file.to_string_lossy(),
            "permissions": permissions::json(manifest, &standing),
        });
        return Ok(ui.print(&object.to_string())?);
    }
    let now = short(component.digest);
    let change = match was {
        None => format!(
            "added {name} {} ({now}) to {}",
            manifest.version,
            shown(file)
        ),
        Some(was) if was == component.digest => format!(
            "{name} {} ({now}) is in {} already",
            manifest.version,
            shown(file)
        ),
        Some(was) => format!(
            "changed {name} in {} from {} to {} ({now})",
            shown(file),
            short(was),
            manifest.version
        ),
    };
    ui.print(&words(&change))?;
    for ask in permissions::text(manifest, past::style(ui.out)) {
        ui.print(&format!("  asks for {ask}"))?;
    }
    let lacks = standing.difference.missing.len() + standing.difference.unset.len();
    if lacks == 0 && standing.difference.was.is_none() {
        return Ok(());
    }
    if standing.difference.was.is_some() {
        ui.say(&format!(
            "what {} grants, it grants to another one: `piper plugin grant {name}` shows what this one asks for",
            grants_file(catalogue)
        ));
        return Ok(());
    }
    ui.say(&match lacks {
        1 => format!("1 permission is not granted yet: `piper plugin grant {name}`"),
        count => format!("{count} permissions are not granted yet: `piper plugin grant {name}`"),
    });
    Ok(())
}
