//! `piper plugin grant`: shows what a plugin asks for and why, and writes down what the operator gives it.
//!
//! The only command that gives a plugin anything, and it writes to the operator's own file, never to the project's. What was given to
//! another plugin of the same name is not this one's, unless the operator says so.

mod shown;
mod wanted;

use self::{shown::Shown, wanted::Wanted};
use super::{CliError, GlobalArgs, catalogue, grants_file, permissions};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        catalogue::Catalogue,
        change::{Kept, Written},
        component::{Component, Origin},
        shown as shown_path,
        standing::{self, Standing, nothing},
    },
    ui::{OutputFormat, Ui, sanitize::words},
};
use clap::Args;
use piper_core::{codes, id::PluginName, problem::Problem};
use piper_plugin_host::policy::{
    grant::{Change, Difference, PluginGrant},
    manifest::Manifest,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, IsTerminal as _},
};

/// Give a plugin what it asks for, after showing what and why
///
/// Without options, all that it asks for. With options, only what they say. Where a secret is, only you know.
#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// A name of `piper plugin list`
    #[arg(value_name = "NAME")]
    plugin: String,
    /// Requests, such as 'POST https://logs.example.com:9200/_bulk'
    #[arg(long, value_name = "RULE")]
    http: Vec<String>,
    /// A network that is not the world's, such as 10.2.0.0/16
    #[arg(long, value_name = "NETWORK")]
    private_network: Vec<String>,
    /// Files: workspace=read, workspace=write, out, cache
    #[arg(long, value_name = "FILES")]
    files: Vec<String>,
    /// A command and its first arguments, such as 'git fetch'; it runs outside the sandbox
    #[arg(long, value_name = "COMMAND")]
    exec: Vec<String>,
    /// A secret by the plugin's name for it, and where it is: NAME=env:VARIABLE or NAME=file:/PATH
    #[arg(long, value_name = "NAME=SOURCE")]
    secret: Vec<String>,
    /// Where a secret may go: NAME=https://host[:port]
    #[arg(long, value_name = "NAME=ORIGIN")]
    to: Vec<String>,
    /// A more dangerous use of a secret: NAME=path, NAME=body or NAME=reveal
    #[arg(long = "use", value_name = "NAME=USE")]
    uses: Vec<String>,
    /// To keep something from call to call
    #[arg(long)]
    state: bool,
    /// Something that a manifest may ask for and this version does not give
    #[arg(long, hide = true)]
    mail: Option<Option<String>>,
    #[arg(long, hide = true)]
    builds: bool,
    #[arg(long, hide = true)]
    vcs: bool,
    /// Give it also what another plugin of this name has: its permissions, secrets, configuration, limits, and what it kept
    #[arg(long)]
    keep: bool,
    /// Take away all that it was granted, with its secrets, configuration and limits
    #[arg(long, conflicts_with_all = ["http", "private_network", "files", "exec", "secret", "to", "uses", "state", "mail", "builds", "vcs", "keep", "i_know"])]
    revoke: bool,
    /// Requests to any host are meant
    #[arg(long)]
    i_know: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &GrantArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let mut catalogue = catalogue(global)?;
    if args.revoke {
        return revoke(args, &mut catalogue, ui);
    }
    let component = catalogue.find(&args.plugin)?;
    let name = grantable(&catalogue, &component)?;
    let manifest = manifest(&component, &name)?;
    undeclared_secrets(args, &manifest, &name)?;
    let standing = catalogue.standing(&component, &manifest)?;
    let decision = Decision::new(args, &catalogue, &component, &manifest, &standing)?;
    let waits = warn_of_templates(&catalogue, &manifest, &name, &decision.base, ui);
    // Whoever asks for all of it, a script perhaps, must not believe that it is granted.
    let done = match waits && Wanted::of_args(args).is_empty() {
        true => exit_code::USAGE,
        false => exit_code::SUCCESS,
    };
    // To say whose it is gives nothing; the table is for whoever now writes the configuration.
    let gives = |change: &Change| !matches!(change, Change::Give(_));
    let is_nothing = done != exit_code::SUCCESS && !decision.changes.iter().any(gives);
    if decision.changes.is_empty() || is_nothing {
        ui.say(&match decision.difference.unusable() {
            Some(asked) => format!(
                "nothing more can be granted: plugin `{name}` also asks for {}, which this version of piper gives to nobody",
                asked.kind
            ),
            None if !decision.difference.unset.is_empty() => {
                format!("nothing more can be granted to plugin `{name}` before that")
            }
            None => format!("plugin `{name}` has all that it asks for"),
        });
        return Ok(done);
    }
    let after = catalogue.preview(&name, &decision.changes)?;
    let shown = Shown {
        component: &component,
        difference: &decision.difference,
        base: &decision.base,
        after: &after,
        other: standing.other.as_ref(),
        is_kept: args.keep,
    };
    ui.complain(&shown.text(past::style(ui.err)));
    if !args.yes && !confirmed(ui, "Grant this?", component.title())? {
        ui.say("nothing was granted");
        return Ok(exit_code::USAGE);
    }
    // Who may keep something from now on begins with nothing: what is there was kept by another.
    let is_new = after.allow.state && !decision.base.allow.state && !args.keep;
    let kept = match is_new {
        true => Kept::SetAside,
        false => Kept::Stays,
    };
    let written = catalogue.change(&name, &decision.changes, kept)?;
    report(&catalogue, &component, &manifest, &written, ui)?;
    Ok(done)
}

/// Takes away what is written under a name, whether there is a plugin of that name or not.
fn revoke(args: &GrantArgs, catalogue: &mut Catalogue, ui: &Ui) -> Result<u8, CliError> {
    let name = PluginName::parse(&args.plugin).map_err(|error| {
        Problem::error(codes::BAD_NAME, error.to_string())
            .help("grants are by name: `piper plugin list` has them")
    })?;
    let before = catalogue.grant(&name).cloned().unwrap_or_else(nothing);
    let after = catalogue.preview(&name, &[Change::Forget])?;
    let lost = shown::lost(&before, &after, past::style(ui.err));
    if lost.is_empty() {
        ui.say(&format!(
            "{} grants nothing to plugin `{name}`",
            grants_file(catalogue)
        ));
        return Ok(exit_code::SUCCESS);
    }
    ui.complain(&format!("plugin `{name}`\n{}", lost.join("\n")));
    if !args.yes && !confirmed(ui, "Take this away?", name.as_str())? {
        ui.say("nothing was taken away");
        return Ok(exit_code::USAGE);
    }
    let written = catalogue.change(&name, &[Change::Forget], Kept::Stays)?;
    if ui.format == OutputFormat::Json {
        let file = written.file.to_string_lossy();
        let object =
            json!({ "v": 1, "type": "plugin.revoked", "name": name.as_str(), "file": file });
        ui.print(&object.to_string())?;
        return Ok(exit_code::SUCCESS);
    }
    ui.say(&format!("wrote {}", words(&shown_path(&written.file))));
    Ok(exit_code::SUCCESS)
}

/// Refuses secrets of which the plugin has never heard.
fn undeclared_secrets(
    args: &GrantArgs,
    manifest: &Manifest,
    plugin: &PluginName,
) -> Result<(), CliError> {
    let said = [&args.secret, &args.to, &args.uses].into_iter().flatten();
    let said: BTreeSet<&str> = said
        .filter_map(|value| Some(value.split_once('=')?.0))
        .collect();
    let problems: Vec<Problem> = said
        .into_iter()
        .filter_map(|name| permissions::undeclared_secret(plugin.as_str(), manifest, name))
        .collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(CliError::Problems(problems)),
    }
}

/// The name by which a plugin is granted something.
fn grantable(catalogue: &Catalogue, component: &Component) -> Result<PluginName, Box<Problem>> {
    let Some(name) = component.name.clone() else {
        let message = format!(
            "`{}` has no name here, and grants are by name",
            component.source
        );
        let help = format!("add it first: piper plugin add {}", component.source);
        return Err(Box::new(
            Problem::error(codes::UNKNOWN_PLUGIN, message).help(help),
        ));
    };
    let is_anothers = |grant: &PluginGrant| standing::is_anothers(component, grant);
    if catalogue.grant(&name).is_some_and(is_anothers) {
        let message = format!(
            "`{name}` in {} is a plugin of your own, and this project calls another one so",
            grants_file(catalogue)
        );
        let help = format!(
            "call the project's otherwise, in `uses` and as you add it: piper plugin add --name OTHER {}",
            component.source
        );
        return Err(Box::new(
            Problem::error(codes::PLUGIN_CHANGED, message).help(help),
        ));
    }
    Ok(name)
}

fn manifest(component: &Component, name: &PluginName) -> Result<Manifest, CliError> {
    let Some(loaded) = component.manifest()? else {
        let message = format!("plugin `{name}` has no manifest, so it asks for nothing");
        return Err(Problem::error(codes::NOT_LOADABLE, message)
            .help("`piper plugin build` puts its manifest into it")
            .into());
    };
    loaded
        .manifest
        .ok_or_else(|| CliError::Problems(super::errors(loaded.problems)))
}

/// What is to be written, and from what it begins.
struct Decision {
    /// What the plugin has before, if it is its own or kept.
    base: PluginGrant,
    /// What it lacks with that.
    difference: Difference,
    changes: Vec<Change>,
}

impl Decision {
    fn new(
        args: &GrantArgs,
        catalogue: &Catalogue,
        component: &Component,
        manifest: &Manifest,
        standing: &Standing,
    ) -> Result<Self, CliError> {
        let name = component
            .name
            .as_ref()
            .expect("a plugin without a name is refused before");
        let written = catalogue.grant(name);
        let is_anothers = standing.other.is_some() && !args.keep;
        let base = match written {
            Some(written) if !is_anothers => written.clone(),
            Some(_) | None => nothing(),
        };
        let difference = catalogue.lacking(component, manifest, base.clone())?;
        let asked = Wanted::of_args(args);
        let wanted = match asked.is_empty() {
            true => Wanted::missing(&difference, name, args.keep).map_err(|problem| match is_anothers {
                true => Box::new(problem.help(format!(
                    "another plugin of this name was granted something, or this one before it was built anew: `piper plugin grant {name} --keep` gives it that"
                ))),
                false => problem,
            })?,
            false => asked,
        };
        let mut changes = Vec::new();
        if is_anothers {
            changes.push(Change::Forget);
        }
        let digest = match component.origin {
            Origin::Project => Some(component.digest),
            // Without one it is given to whatever the source has, or to this plugin of whichever piper.
            Origin::File | Origin::Operator | Origin::Builtin => written
                .and_then(|written| written.digest)
                .filter(|digest| *digest == component.digest),
        };
        let is_given = written.is_none_or(|written| written.granted_to.is_none())
            && written.and_then(|written| written.digest) == digest;
        if !is_given {
            changes.push(Change::Give(digest));
        }
        changes.extend(
            wanted
                .changes(&base, args.i_know)
                .map_err(CliError::Problems)?,
        );
        Ok(Self {
            base,
            difference,
            changes,
        })
    }
}

/// Says which requests nobody can grant yet: without the operator's word nobody knows which host that is. Returns whether the plugin
/// needs one of them.
fn warn_of_templates(
    catalogue: &Catalogue,
    manifest: &Manifest,
    name: &PluginName,
    base: &PluginGrant,
    ui: &Ui,
) -> bool {
    let mut waits = false;
    for asked in &manifest.permissions.http {
        let rules = asked.what.resolve(&base.config);
        if rules.is_ok_and(|rules| rules.is_empty()) {
            ui.warn(&format!(
                "`{}` cannot be granted yet: write what is in the braces as `config` of `[plugins.{name}]` into {}, then grant it",
                words(&asked.what.to_string()),
                grants_file(catalogue)
            ));
            waits |= !asked.optional;
        }
    }
    waits
}

/// Whether the person at the terminal agrees.
fn confirmed(ui: &Ui, question: &str, title: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() || !ui.err.terminal {
        return Err(Problem::error(
            codes::NOT_GRANTED,
            format!("nobody is here to agree to what plugin `{title}` gets or loses"),
        )
        .help("say `--yes` if what stands above is what you want")
        .into());
    }
    ui.complain(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::Failed(error.into()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn report(
    catalogue: &Catalogue,
    component: &Component,
    manifest: &Manifest,
    written: &Written,
    ui: &Ui,
) -> Result<(), CliError> {
    let standing = catalogue.standing(component, manifest)?;
    if let Some(aside) = &written.aside {
        ui.say(&format!(
            "what a plugin of this name kept before is not this one's; it is in {}",
            words(&shown_path(aside))
        ));
    }
    if ui.format == OutputFormat::Json {
        let object = json!({
            "v": 1,
            "type": "plugin.granted",
            "name": component.title(),
            "digest": component.digest.to_string(),
            "file": written.file.to_string_lossy(),
            "permissions": permissions::json(manifest, &standing),
        });
        ui.print(&object.to_string())?;
        return Ok(());
    }
    ui.say(&format!("wrote {}", words(&shown_path(&written.file))));
    if let Some(command) = component
        .name
        .as_ref()
        .and_then(|name| standing.difference.command(name))
    {
        ui.say(&format!("it still lacks something: {}", words(&command)));
    }
    Ok(())
}
