//! `piper plugin grant`: shows what a plugin asks for and why, and writes down what the operator gives it.
//!
//! The only command that gives a plugin anything, and it writes to the operator's own file, never to the project's.

use super::{CliError, GlobalArgs, add::write_grants, catalogue, permissions};
use crate::{
    cli::past,
    exit_code,
    plugins::{
        catalogue::Catalogue,
        component::{Component, Origin},
        shown,
        standing::Standing,
    },
    ui::{
        OutputFormat, Ui,
        sanitize::words,
        style::{Paint, Style},
    },
};
use clap::Args;
use piper_core::{codes, id::PluginName, problem::Problem};
use piper_plugin_host::policy::{
    exec::ArgvRule,
    files::{Access, FilesRule},
    grant::{Addition, Difference, Missing, PluginGrant, SecretGrant, SecretSource},
    host::Origin as To,
    http_rule::{AnyHost, HttpRule},
    network::Network,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, IsTerminal as _},
};

/// Give a plugin what it asks for, after showing what and why
///
/// Without options, all that it asks for. With options, only what they say.
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
    /// Requests to any host are meant
    #[arg(long)]
    i_know: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &GrantArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let mut catalogue = catalogue(global)?;
    let component = catalogue.find(&args.plugin)?;
    let Some(name) = component.name.clone() else {
        return Err(Problem::error(
            codes::UNKNOWN_PLUGIN,
            format!(
                "`{}` has no name here, and grants are by name",
                component.source
            ),
        )
        .help(format!(
            "add it first: piper plugin add {}",
            component.source
        ))
        .into());
    };
    if component.origin == Origin::Project
        && catalogue
            .grant(&name)
            .is_some_and(|grant| grant.source.is_some())
    {
        let message = format!(
            "`{name}` in {} is a plugin of your own, and this project calls another one so",
            super::grants_file(&catalogue)
        );
        return Err(Problem::error(codes::PLUGIN_CHANGED, message)
            .help(format!(
                "call the project's otherwise: piper plugin add --name OTHER {}",
                component.source
            ))
            .into());
    }
    let loaded = component.manifest()?;
    let manifest = match loaded {
        Some(loaded) => loaded
            .manifest
            .ok_or(loaded.problems)
            .map_err(|problems| CliError::Problems(super::errors(problems)))?,
        None => {
            return Err(Problem::error(
                codes::NOT_LOADABLE,
                format!("plugin `{name}` has no manifest, so it asks for nothing"),
            )
            .help("`piper plugin build` puts its manifest into it")
            .into());
        }
    };
    let standing = catalogue.standing(&component, &manifest)?;
    let written = catalogue.grant(&name).cloned().unwrap_or_default();
    for asked in &manifest.permissions.http {
        // Without the operator's word nobody knows which host that is.
        if asked
            .what
            .resolve(&written.config)
            .is_ok_and(|rules| rules.is_empty())
        {
            ui.warn(&format!(
                "`{}` cannot be granted yet: write what is in the braces as `config` of `[plugins.{name}]` into {}, then grant it",
                words(&asked.what.to_string()),
                super::grants_file(&catalogue)
            ));
        }
    }
    let asked = Wanted::of_args(args);
    let is_all = asked.is_empty();
    let wanted = match is_all {
        true => Wanted::missing(&standing.difference, &name)?,
        false => asked,
    };
    let mut additions = wanted
        .additions(&written, args.i_know)
        .map_err(CliError::Problems)?;
    if component.origin == Origin::Project && written.digest != Some(component.digest) {
        additions.insert(0, Addition::Digest(component.digest));
    }
    if additions.is_empty() {
        ui.say(&format!("plugin `{name}` has all that it asks for"));
        return Ok(exit_code::SUCCESS);
    }
    let shown = Shown {
        component: &component,
        standing: &standing,
        wanted: &wanted,
    };
    let style = past::style(ui.err);
    ui.complain(&shown.text(style));
    if !args.yes && !confirmed(ui, &component)? {
        ui.say("nothing was granted");
        return Ok(exit_code::USAGE);
    }
    let file = write_grants(&mut catalogue, &name, &additions)?;
    report(&catalogue, &component, &manifest, &file, ui)
}

/// What is to be granted, in the words of the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted(Vec<(&'static str, String)>);

impl Wanted {
    fn of_args(args: &GrantArgs) -> Self {
        let lists = [
            ("--http", &args.http),
            ("--private-network", &args.private_network),
            ("--files", &args.files),
            ("--exec", &args.exec),
            ("--secret", &args.secret),
            ("--to", &args.to),
            ("--use", &args.uses),
        ];
        let flags = [
            ("--state", args.state),
            ("--mail", args.mail.is_some()),
            ("--builds", args.builds),
            ("--vcs", args.vcs),
        ];
        let lists = lists
            .into_iter()
            .flat_map(|(option, values)| values.iter().map(move |value| (option, value.clone())));
        let flags = flags
            .into_iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(option, _)| (option, String::new()));
        Self(lists.chain(flags).collect())
    }

    /// All that is missing, but for optional secrets of which nobody said where they are.
    fn missing(difference: &Difference, plugin: &PluginName) -> Result<Self, Box<Problem>> {
        let (open, known): (Vec<&Missing>, Vec<&Missing>) = difference
            .missing
            .iter()
            .partition(|missing| missing.is_open());
        if let Some(needed) = open.iter().find(|missing| !missing.optional) {
            return Err(Box::new(open_secret(needed, difference, plugin)));
        }
        let is_of_open = |missing: &&&Missing| {
            matches!(missing.option, "--to" | "--use")
                && open
                    .iter()
                    .any(|open| secret_name(open) == secret_name(missing))
        };
        let known = known.iter().filter(|missing| !is_of_open(missing));
        Ok(Self(
            known
                .map(|missing| (missing.option, missing.value.clone()))
                .collect(),
        ))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to write down; or all that is wrong with the words.
    fn additions(
        &self,
        written: &PluginGrant,
        i_know: bool,
    ) -> Result<Vec<Addition>, Vec<Problem>> {
        let any_host = match i_know {
            true => AnyHost::Acknowledged,
            false => AnyHost::Refused,
        };
        let mut additions = Vec::new();
        let mut problems = Vec::new();
        let mut secrets = Secrets::new(written);
        for (option, value) in &self.0 {
            let addition = match *option {
                "--http" => HttpRule::parse(value, any_host)
                    .map(Addition::Http)
                    .map_err(|fault| Box::new(fault.into_problem())),
                "--private-network" => Network::parse(value)
                    .map(Addition::PrivateNetwork)
                    .map_err(|fault| Box::new(fault.into_problem())),
                "--files" => files(value).map(Addition::Files),
                "--exec" => command(value).map(Addition::Exec),
                "--state" => Ok(Addition::State),
                "--mail" | "--builds" | "--vcs" => Err(not_given(option)),
                option => {
                    problems.extend(secrets.take(option, value).err().map(|problem| *problem));
                    continue;
                }
            };
            match addition {
                Ok(addition) => additions.push(addition),
                Err(problem) => problems.push(*problem),
            }
        }
        problems.extend(secrets.unknown());
        additions.extend(secrets.additions());
        match problems.is_empty() {
            true => Ok(additions),
            false => Err(problems),
        }
    }
}

/// The secret that an option is about.
fn secret_name(missing: &Missing) -> &str {
    let pair = missing.value.split_once('=');
    pair.map_or(missing.value.as_str(), |(name, _)| name)
}

/// Says what only the operator can say, and where in which command.
fn open_secret(open: &Missing, difference: &Difference, plugin: &PluginName) -> Problem {
    let name = secret_name(open);
    let what = match open.option {
        "--to" => "may go",
        _ => "is",
    };
    let message = format!("nothing says where the secret `{name}` of plugin `{plugin}` {what}");
    let mut problem = Problem::error(codes::NOT_GRANTED, message);
    let lines = difference.to_string();
    problem.help.extend(lines.lines().map(str::to_owned));
    match difference.command(plugin) {
        Some(command) => problem.help(format!("put it in the place of `…`: {command}")),
        None => problem,
    }
}

/// Secrets, each put together from several options.
struct Secrets<'a> {
    written: &'a PluginGrant,
    changed: BTreeMap<String, Option<SecretGrant>>,
}

impl<'a> Secrets<'a> {
    fn new(written: &'a PluginGrant) -> Self {
        Self {
            written,
            changed: BTreeMap::new(),
        }
    }

    /// What is known of a secret so far.
    fn at(&mut self, name: &str) -> &mut Option<SecretGrant> {
        let written = self.written.secrets.get(name).cloned();
        self.changed.entry(name.to_owned()).or_insert(written)
    }

    fn take(&mut self, option: &str, value: &str) -> Result<(), Box<Problem>> {
        let (name, value) = pair(option, value)?;
        match option {
            "--secret" => {
                let from = SecretSource::parse(value).ok_or_else(|| {
                    Problem::error(codes::BAD_SECRET_SOURCE, format!("`{option} {name}={value}` does not say where the secret is"))
                        .help("write NAME=env:VARIABLE or NAME=file:/PATH; the value itself does not belong here")
                })?;
                let secret = self.at(name);
                match secret {
                    Some(secret) => secret.from = from,
                    None => {
                        *secret = Some(SecretGrant {
                            from,
                            to: Vec::new(),
                            uses: Default::default(),
                            strip: None,
                            decode: None,
                        })
                    }
                }
            }
            "--to" => {
                let to = To::parse(value).map_err(|_| {
                    Problem::error(codes::BAD_ORIGIN, format!("`{value}` is not an origin"))
                        .help("an origin is a scheme, a host and perhaps a port: https://example.com:9200")
                })?;
                if let Some(secret) = self.at(name) {
                    secret.to.push(to);
                }
            }
            _ => {
                let secret = self.at(name);
                let mut nobody = Default::default();
                let uses = secret
                    .as_mut()
                    .map_or(&mut nobody, |secret| &mut secret.uses);
                match value {
                    "path" => uses.path = true,
                    "body" => uses.body = true,
                    "reveal" => uses.reveal = true,
                    other => {
                        let message = format!("`{other}` is not a use that is granted");
                        return Err(Problem::error(codes::BAD_VALUE, message)
                            .help("`--use` takes path, body and reveal; headers and keys need none")
                            .into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Secrets of which nobody said where they are.
    fn unknown(&self) -> Vec<Problem> {
        let unknown = self.changed.iter().filter(|(_, secret)| secret.is_none());
        unknown
            .map(|(name, _)| {
                Problem::error(
                    codes::BAD_SECRET_SOURCE,
                    format!("nothing says where the secret `{name}` is"),
                )
                .help(format!(
                    "say it before the others: --secret {name}=env:VARIABLE"
                ))
            })
            .collect()
    }

    fn additions(self) -> impl Iterator<Item = Addition> {
        self.changed
            .into_iter()
            .filter_map(|(name, secret)| Some(Addition::Secret(name, secret?)))
    }
}

fn pair<'a>(option: &str, value: &'a str) -> Result<(&'a str, &'a str), Box<Problem>> {
    let pair = value.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.ok_or_else(|| {
        let message = format!("`{option} {value}` is not NAME=VALUE");
        let problem = Problem::error(codes::BAD_ARGUMENT, message);
        Box::new(problem.help("NAME is the plugin's name for the secret"))
    })
}

/// What a manifest may ask for and no host of this version gives.
fn not_given(option: &str) -> Box<Problem> {
    let kind = option.trim_start_matches('-');
    let message =
        format!("`{option}` cannot be granted: this version of piper gives {kind} to nobody");
    let problem = Problem::error(codes::NOT_IMPLEMENTED, message);
    Box::new(problem.help("leave it away; a plugin that needs it needs a later version of piper"))
}

fn files(text: &str) -> Result<FilesRule, Box<Problem>> {
    let nothing = FilesRule::default();
    match text.split_once('=') {
        Some(("workspace", access)) => Access::parse(access).map(|workspace| FilesRule {
            workspace,
            ..nothing
        }),
        None if text == "out" => Some(FilesRule {
            out: true,
            ..nothing
        }),
        None if text == "cache" => Some(FilesRule {
            cache: true,
            ..nothing
        }),
        _ => None,
    }
    .ok_or_else(|| {
        let message = format!("`--files {text}` is not a use of files");
        let problem = Problem::error(codes::BAD_VALUE, message);
        Box::new(problem.help("write workspace=read, workspace=write, out or cache"))
    })
}

fn command(text: &str) -> Result<ArgvRule, Box<Problem>> {
    let words = split(text).ok_or_else(|| {
        Problem::error(
            codes::BAD_COMMAND,
            format!("`{text}` has a quote that is not closed"),
        )
        .help("write a command as a shell takes it")
    })?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ArgvRule::parse(&words).map_err(|(_, fault)| Box::new(fault.into_problem()))
}

/// The words of a command, as a shell would part them; only quotes and backslashes mean something. `None` if a quote is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == letter => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(letters.next()?),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// What a person sees before he agrees.
struct Shown<'a> {
    component: &'a Component,
    standing: &'a Standing,
    wanted: &'a Wanted,
}

impl Shown<'_> {
    fn text(&self, style: Style) -> String {
        let title = self.component.title();
        let mut lines = vec![format!(
            "plugin `{}` ({}, {})",
            words(title),
            words(&self.component.source),
            self.component.digest
        )];
        if let Some(was) = self.standing.difference.was {
            lines.push(format!("what it has was granted to {was}"));
        }
        for (option, value) in &self.wanted.0 {
            let missing = self.standing.difference.missing.iter().find(|missing| {
                let is_filled_in = || {
                    let secret = value.split_once('=').map(|(name, _)| name);
                    missing.is_open() && secret == Some(secret_name(missing))
                };
                missing.option == *option && (missing.value == *value || is_filled_in())
            });
            let (paint, why) = match missing {
                Some(missing) => (
                    Paint::Dim,
                    format!(
                        "{}{}",
                        words(&missing.why),
                        if missing.optional { " (optional)" } else { "" }
                    ),
                ),
                None => (Paint::Odd, "not in these words in its manifest".to_owned()),
            };
            let what = permissions::joined(option.trim_start_matches('-'), value);
            lines.push(format!(
                "+ {}  {}",
                style.paint(Paint::Name, what),
                style.paint(paint, why)
            ));
        }
        let is_exec = self.wanted.0.iter().any(|(option, _)| *option == "--exec");
        if is_exec {
            lines.push(
                style
                    .paint(
                        Paint::Odd,
                        "a command runs outside the sandbox, with your rights",
                    )
                    .into_owned(),
            );
        }
        lines.join("\n")
    }
}

/// Whether the person at the terminal agrees.
fn confirmed(ui: &Ui, component: &Component) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() || !ui.err.terminal {
        let title = component.title();
        return Err(Problem::error(
            codes::NOT_GRANTED,
            format!("nobody is here to agree to what plugin `{title}` gets"),
        )
        .help("say `--yes` if what stands above is what you want")
        .into());
    }
    ui.complain("Grant this? [y/N]");
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
    manifest: &piper_plugin_host::policy::manifest::Manifest,
    file: &std::path::Path,
    ui: &Ui,
) -> Result<u8, CliError> {
    let standing = catalogue.standing(component, manifest)?;
    if ui.format == OutputFormat::Json {
        let object = json!({
            "v": 1,
            "type": "plugin.granted",
            "name": component.title(),
            "digest": component.digest.to_string(),
            "file": file.to_string_lossy(),
            "permissions": permissions::json(manifest, &standing),
        });
        ui.print(&object.to_string())?;
        return Ok(exit_code::SUCCESS);
    }
    ui.say(&format!("wrote {}", words(&shown(file))));
    if let Some(command) = component
        .name
        .as_ref()
        .and_then(|name| standing.difference.command(name))
    {
        ui.say(&format!("it still lacks something: {}", words(&command)));
    }
    Ok(exit_code::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    fn words_of(pairs: &[(&'static str, &str)]) -> Wanted {
        Wanted(
            pairs
                .iter()
                .map(|(option, value)| (*option, (*value).to_owned()))
                .collect(),
        )
    }

    fn refused(pairs: &[(&'static str, &str)]) -> Vec<piper_core::problem::Code> {
        let problems = words_of(pairs)
            .additions(&PluginGrant::default(), false)
            .unwrap_err();
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn all_that_is_wrong_with_the_words_is_said_at_once() {
        assert_eq!(
            refused(&[
                ("--http", "post https://example.com"),
                ("--http", "https://*"),
                ("--files", "workspace=all"),
                ("--exec", "./git fetch"),
                ("--exec", "'git"),
                ("--secret", "key"),
                ("--secret", "key=VALUE"),
                ("--to", "other=https://example.com"),
                ("--use", "other=header"),
            ]),
            [
                codes::BAD_HTTP_RULE,
                codes::RULE_TOO_WIDE,
                codes::BAD_VALUE,
                codes::BAD_COMMAND,
                codes::BAD_COMMAND,
                codes::BAD_ARGUMENT,
                codes::BAD_SECRET_SOURCE,
                codes::BAD_VALUE,
                codes::BAD_SECRET_SOURCE,
            ]
        );
    }

    #[test]
    fn a_secret_is_put_together_from_its_options() {
        let wanted = words_of(&[
            ("--secret", "key=env:KEY"),
            ("--to", "key=https://example.com:9200"),
            ("--use", "key=path"),
        ]);
        let additions = wanted.additions(&PluginGrant::default(), false).unwrap();
        let [Addition::Secret(name, secret)] = additions.as_slice() else {
            panic!("{additions:?}")
        };
        assert_eq!(
            (name.as_str(), secret.from.to_string().as_str()),
            ("key", "env:KEY")
        );
        assert_eq!(secret.to[0].to_string(), "https://example.com:9200");
        assert!(secret.uses.path && !secret.uses.reveal);
    }

    #[test]
    fn a_secret_that_is_granted_already_may_go_to_one_more_place() {
        let mut written = PluginGrant::default();
        let first = words_of(&[("--secret", "key=env:KEY")])
            .additions(&written, false)
            .unwrap();
        if let Addition::Secret(name, secret) = &first[0] {
            written.secrets.insert(name.clone(), secret.clone());
        }
        let more = words_of(&[("--to", "key=https://example.com")])
            .additions(&written, false)
            .unwrap();
        assert!(
            matches!(&more[0], Addition::Secret(_, secret) if secret.to.len() == 1),
            "{more:?}"
        );
    }

    #[test_case("git fetch", &["git", "fetch"])]
    #[test_case("  a\t'b c' \"d'\\\"\" e\\ f ''", &["a", "b c", "d'\"", "e f", ""]; "quotes")]
    fn a_command_is_parted_as_a_shell_does(text: &str, expected: &[&str]) {
        assert_eq!(split(text).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn what_messages_print_reads_back(words in proptest::collection::vec("[ -~]{0,6}", 1..4)) {
            let quoted: Vec<String> = words.iter().map(|word| piper_plugin_host::policy::command::quote(word)).collect();
            prop_assert_eq!(split(&quoted.join(" ")), Some(words));
        }
    }
}
