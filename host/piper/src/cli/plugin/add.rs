//! `piper plugin add`: pins a plugin, so that the project, or this user, uses this one and no other.
//!
//! Pins and grants nothing: what the plugin asks for is shown, and the command that grants it.

use super::{CliError, GlobalArgs, catalogue, check, grants_file, permissions};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        self,
        catalogue::{Catalogue, LOCK_NAME},
        component::{self, Component, Origin, short},
        files, shown,
    },
    ui::{OutputFormat, Ui, sanitize::words},
};
use clap::Args;
use piper_core::{
    codes,
    id::PluginName,
    problem::{Problem, Source},
};
use piper_plugin_host::policy::{
    grant::{self, Addition},
    lock::Locked,
    manifest::Manifest,
    source::{PluginDigest, PluginSource},
};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
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
        Origin::Operator => pin_for_user(&mut catalogue, &name, &source, component.digest)?,
        Origin::File | Origin::Project | Origin::Builtin => {
            pin_for_project(&mut catalogue, &name, source, component.digest)?
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
    let PluginSource::Path(path) = &source else {
        let component = catalogue.get(&source)?;
        return Ok((source, component));
    };
    let path = global
        .directory
        .as_deref()
        .unwrap_or(Path::new(""))
        .join(path);
    let name = args
        .name
        .as_deref()
        .and_then(|name| PluginName::parse(name).ok());
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

fn pin_for_project(
    catalogue: &mut Catalogue,
    name: &PluginName,
    source: PluginSource,
    digest: PluginDigest,
) -> Result<PathBuf, CliError> {
    catalogue
        .lock
        .plugins
        .insert(name.clone(), Locked { source, digest });
    let root = catalogue
        .root
        .clone()
        .expect("a project was found, or nothing is added to it");
    let file = root.join(LOCK_NAME);
    files::write(&file, catalogue.lock.to_string().as_bytes(), 0o644)?;
    Ok(file)
}

fn pin_for_user(
    catalogue: &mut Catalogue,
    name: &PluginName,
    source: &PluginSource,
    digest: PluginDigest,
) -> Result<PathBuf, CliError> {
    let additions = [Addition::Source(source.clone()), Addition::Digest(digest)];
    write_grants(catalogue, name, &additions)
}

/// Writes into the operator's file what he decided, unless it would be wrong then.
pub(super) fn write_grants(
    catalogue: &mut Catalogue,
    name: &PluginName,
    additions: &[Addition],
) -> Result<PathBuf, CliError> {
    let file = catalogue.places.grants.clone().ok_or_else(|| {
        CliError::Failed(anyhow::anyhow!(
            "there is no home folder to keep grants in: set HOME or XDG_CONFIG_HOME"
        ))
    })?;
    let text = grant::add(catalogue.grants_text(), name, additions).map_err(|error| {
        CliError::Failed(
            anyhow::Error::new(error).context(format!("cannot write `{}`", shown(&file))),
        )
    })?;
    let source = Arc::new(Source {
        path: file.clone(),
        text,
    });
    let (grants, problems) = grant::load(&source);
    match grants {
        Some(grants) => catalogue.grants = grants,
        None => return Err(CliError::Problems(problems)),
    }
    files::write(&file, source.text.as_bytes(), 0o600)?;
    Ok(file)
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
    if standing.difference.missing.is_empty() && standing.difference.was.is_none() {
        return Ok(());
    }
    let count = standing.difference.missing.len();
    ui.say(&match count {
        0 => format!("what was granted was granted to another one: `piper plugin grant {name}` grants it to this one, in {}", grants_file(catalogue)),
        1 => format!("1 permission is not granted yet: `piper plugin grant {name}`"),
        count => format!("{count} permissions are not granted yet: `piper plugin grant {name}`"),
    });
    Ok(())
}
