//! What `piper plugin grant` is asked to give, in the words of its options, and what is written down of that.
//!
//! Only what the words mean: whether it is granted is decided by whoever sees it ([`super`]).

use super::GrantArgs;
use piper_core::{codes, id::PluginName, problem::Problem};
use piper_plugin_host::policy::{
    exec::ArgvRule,
    files::{Access, FilesRule},
    grant::{Change, Difference, Missing, PluginGrant, SecretGrant, SecretSource},
    host::Origin as To,
    http_rule::{AnyHost, HttpRule},
    network::Network,
};
use std::collections::BTreeMap;

/// What is to be granted, in the words of the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(Vec<(&'static str, String)>);

impl Wanted {
    pub(super) fn of_args(args: &GrantArgs) -> Self {
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

    /// All that is missing, but for optional secrets of which nobody said where they are. With `keep`, the command that is told to
    /// fill one in keeps what was to be kept.
    pub(super) fn missing(
        difference: &Difference,
        plugin: &PluginName,
        keep: bool,
    ) -> Result<Self, Box<Problem>> {
        let (open, known): (Vec<&Missing>, Vec<&Missing>) = difference
            .missing
            .iter()
            .partition(|missing| missing.is_open());
        if let Some(needed) = open.iter().find(|missing| !missing.optional) {
            return Err(Box::new(open_secret(needed, difference, plugin, keep)));
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

    /// What of this is missing, by the option and its value: the operator may have filled in what was open.
    pub(super) fn asked<'d>(
        difference: &'d Difference,
        option: &str,
        value: &str,
    ) -> Option<&'d Missing> {
        let secret = value.split_once('=').map(|(name, _)| name);
        difference.missing.iter().find(|missing| {
            let is_filled_in = missing.is_open() && secret == Some(secret_name(missing));
            missing.option == option && (missing.value == value || is_filled_in)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to write down; or all that is wrong with the words.
    pub(super) fn changes(
        &self,
        written: &PluginGrant,
        i_know: bool,
    ) -> Result<Vec<Change>, Vec<Problem>> {
        let any_host = match i_know {
            true => AnyHost::Acknowledged,
            false => AnyHost::Refused,
        };
        let mut changes = Vec::new();
        let mut problems = Vec::new();
        let mut secrets = Secrets::new(written);
        for (option, value) in &self.0 {
            let change = match *option {
                "--http" => HttpRule::parse(value, any_host)
                    .map(Change::Http)
                    .map_err(|fault| Box::new(fault.into_problem())),
                "--private-network" => Network::parse(value)
                    .map(Change::PrivateNetwork)
                    .map_err(|fault| Box::new(fault.into_problem())),
                "--files" => files(value).map(Change::Files),
                "--exec" => command(value).map(Change::Exec),
                "--state" => Ok(Change::State),
                "--mail" | "--builds" | "--vcs" => Err(not_given(option)),
                option => {
                    problems.extend(secrets.take(option, value).err().map(|problem| *problem));
                    continue;
                }
            };
            match change {
                Ok(change) => changes.push(change),
                Err(problem) => problems.push(*problem),
            }
        }
        problems.extend(secrets.unknown());
        changes.extend(secrets.changes());
        match problems.is_empty() {
            true => Ok(changes),
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
fn open_secret(
    open: &Missing,
    difference: &Difference,
    plugin: &PluginName,
    keep: bool,
) -> Problem {
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
        Some(command) => {
            let keep = if keep { " --keep" } else { "" };
            problem.help(format!("put it in the place of `…`: {command}{keep}"))
        }
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

    fn changes(self) -> impl Iterator<Item = Change> {
        self.changed
            .into_iter()
            .filter_map(|(name, secret)| Some(Change::Secret(name, secret?)))
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
            .changes(&PluginGrant::default(), false)
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
        let changes = wanted.changes(&PluginGrant::default(), false).unwrap();
        let [Change::Secret(name, secret)] = changes.as_slice() else {
            panic!("{changes:?}")
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
            .changes(&written, false)
            .unwrap();
        if let Change::Secret(name, secret) = &first[0] {
            written.secrets.insert(name.clone(), secret.clone());
        }
        let more = words_of(&[("--to", "key=https://example.com")])
            .changes(&written, false)
            .unwrap();
        assert!(
            matches!(&more[0], Change::Secret(_, secret) if secret.to.len() == 1),
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
