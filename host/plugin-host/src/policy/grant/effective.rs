//! What a plugin may do at last, what it lacks, and what changed.

use super::{Allow, PluginGrant, SecretGrant};
use crate::policy::{
    command::quote,
    exec::ArgvRule,
    fault::printable,
    files::FilesRule,
    host::Origin,
    http_rule::{self, AnyHost, HostPattern, HttpRule, TemplateError},
    manifest::{Asked, Manifest, SecretAsk, SecretUse},
    network::Network,
    source::PluginDigest,
};
use piper_core::{codes, id::PluginName, problem::Problem};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// What a plugin may do: what is declared *and* granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// Requests that may be sent.
    pub http: Vec<HttpRule>,
    /// Networks that may be reached though they are not the world's.
    pub private_networks: Vec<Network>,
    /// Files.
    pub files: FilesRule,
    /// Whether it may keep something from call to call.
    pub state: bool,
    /// Its secrets.
    pub secrets: BTreeMap<String, EffectiveSecret>,
    /// The commands that are declared and those that are granted; one must be in both sets: two names may be the same program, which no
    /// words show.
    exec: [Vec<ArgvRule>; 2],
}

/// A secret that is declared and granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSecret {
    /// Where it is and where it may go.
    pub grant: SecretGrant,
    /// What for.
    pub uses: SecretUse,
}

/// Whether the plugin is the operator's or a repository's.
#[derive(Debug, Clone, Copy)]
pub enum Origins<'a> {
    /// In the operator's file.
    Operator,
    /// In a repository's, which has this digest, and may at most what the ceiling says unless the operator granted more to exactly
    /// this digest.
    Project {
        /// Which plugin it is.
        digest: PluginDigest,
        /// What repositories' plugins may do.
        ceiling: &'a Allow,
    },
}

impl Effective {
    /// Computes it.
    ///
    /// # Errors
    ///
    /// When the configuration does not fit a template of the manifest.
    pub fn new(
        manifest: &Manifest,
        grant: Option<&PluginGrant>,
        origins: Origins<'_>,
    ) -> Result<Self, TemplateError> {
        let grant = grant.filter(|grant| match origins {
            Origins::Operator => true,
            Origins::Project { digest, .. } => grant.given_to() == Some(digest),
        });
        let nothing = PluginGrant::default();
        let given = grant.unwrap_or(&nothing);
        let allow = match origins {
            Origins::Operator => given.allow.clone(),
            Origins::Project { ceiling, .. } => given.allow.union(ceiling),
        };
        let asked = &manifest.permissions;
        let declared_commands = asked.exec.iter().map(|asked| asked.what.clone());
        Ok(Self {
            http: http_rule::intersection(&declared(manifest, given)?, &allow.http),
            private_networks: allow.private_networks,
            files: asked.files_rule().intersection(allow.files),
            state: asked.state.is_some() && allow.state,
            secrets: secrets(manifest, given),
            exec: [declared_commands.collect(), allow.exec],
        })
    }

    /// The program of a command that may be started, as its rule writes it; nothing if it may not. `resolve` as in
    /// [`ArgvRule::matches`].
    pub fn granted_program(
        &self,
        argv: &[String],
        resolve: impl Fn(&str) -> Option<PathBuf>,
    ) -> Option<&str> {
        let mut program = None;
        for rules in &self.exec {
            let rule = rules.iter().find(|rule| rule.matches(argv, &resolve))?;
            program = Some(rule.program());
        }
        program
    }
}

/// The declared rules with the configuration filled in.
fn declared(manifest: &Manifest, grant: &PluginGrant) -> Result<Vec<HttpRule>, TemplateError> {
    let mut rules = Vec::new();
    for asked in &manifest.permissions.http {
        rules.extend(asked.what.resolve(&grant.config)?);
    }
    Ok(rules)
}

fn secrets(manifest: &Manifest, grant: &PluginGrant) -> BTreeMap<String, EffectiveSecret> {
    let mut secrets = BTreeMap::new();
    for Asked { what, .. } in &manifest.permissions.secrets {
        let Some(granted) = grant.secrets.get(&what.name) else {
            continue;
        };
        let uses = SecretUse {
            path: what.uses.path && granted.uses.path,
            body: what.uses.body && granted.uses.body,
            reveal: what.uses.reveal && granted.uses.reveal,
            ..what.uses.clone()
        };
        let secret = EffectiveSecret {
            grant: granted.clone(),
            uses,
        };
        secrets.insert(what.name.clone(), secret);
    }
    secrets
}

/// In the place of a secret's source, which only the operator knows. It is none, so a command that was not filled in is refused.
pub const UNKNOWN_SOURCE: &str = "env:…";

/// In the place of an origin that the declared rules do not name, likewise.
pub const UNKNOWN_ORIGIN: &str = "https://…";

/// Something that is asked for and not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What, in the words of the command line: an option and its value.
    pub option: &'static str,
    /// The value; with [`UNKNOWN_SOURCE`] or [`UNKNOWN_ORIGIN`] in it where only the operator knows it.
    pub value: String,
    /// Why the plugin asks for it.
    pub why: String,
    /// Whether it works without it.
    pub optional: bool,
}

impl Missing {
    /// Whether somebody has to fill in what only he knows.
    pub fn is_open(&self) -> bool {
        let open = |unknown| self.value.ends_with(unknown);
        match self.option {
            "--secret" => open(UNKNOWN_SOURCE),
            "--to" => open(UNKNOWN_ORIGIN),
            _ => false,
        }
    }
}

/// Something that is asked for and that no host of this version gives, so that nobody can grant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// The kind of permission.
    pub kind: &'static str,
    /// Why the plugin asks for it.
    pub why: String,
    /// Whether it works without it.
    pub optional: bool,
}

/// Requests of which only the operator's configuration says where they go, and does not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// The rule, with what is to be configured in braces.
    pub template: String,
    /// Why the plugin asks for it.
    pub why: String,
    /// A secret goes nowhere until then.
    pub is_needed: bool,
}

/// How what was granted differs from what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Asked for and not granted.
    pub missing: Vec<Missing>,
    /// Granted and not asked for (any more), as option and value.
    pub unused: Vec<(&'static str, String)>,
    /// Asked for, and nobody knows where it goes: requests whose host the operator's configuration has to say.
    pub unset: Vec<Unset>,
    /// Asked for, and not to be had in this version.
    pub unavailable: Vec<Unavailable>,
    /// To which one it was granted, if the plugin is another.
    pub was: Option<PluginDigest>,
}

impl Difference {
    /// Compares what a manifest asks for with what is granted to it.
    ///
    /// # Errors
    ///
    /// When the configuration does not fit a template of the manifest.
    pub fn new(
        manifest: &Manifest,
        grant: &PluginGrant,
        digest: Option<PluginDigest>,
    ) -> Result<Self, TemplateError> {
        let mut difference = Self {
            was: grant
                .given_to()
                .filter(|was| digest.is_some_and(|is| is != *was)),
            ..Self::default()
        };
        difference.http(manifest, grant)?;
        difference.files_and_commands(manifest, grant);
        difference.secrets(manifest, grant)?;
        let asked = &manifest.permissions;
        match &asked.state {
            Some(asked) if !grant.allow.state => difference.lacks("--state", String::new(), asked),
            None if grant.allow.state => difference.unused.push(("--state", String::new())),
            Some(_) | None => {}
        }
        difference.unavailable = unavailable(manifest).collect();
        Ok(difference)
    }

    /// Whether the plugin works with what is granted, and is the one to which it was.
    pub fn is_fine(&self) -> bool {
        self.was.is_none()
            && self.unusable().is_none()
            && self.unset.iter().all(|unset| !unset.is_needed)
            && self.missing.iter().all(|missing| missing.optional)
    }

    /// That without which the plugin does not work and which this version does not have.
    pub fn unusable(&self) -> Option<&Unavailable> {
        self.unavailable.iter().find(|asked| !asked.optional)
    }

    /// The command that grants all that is missing; nothing if nothing is.
    pub fn command(&self, plugin: &PluginName) -> Option<String> {
        if self.missing.is_empty() {
            return None;
        }
        let mut command = format!("piper plugin grant {}", plugin.as_str());
        for missing in &self.missing {
            command.push(' ');
            command.push_str(missing.option);
            if !missing.value.is_empty() {
                command.push(' ');
                command.push_str(&quote(&missing.value));
            }
        }
        let is_any_host = |missing: &Missing| {
            let rule = HttpRule::parse(&missing.value, AnyHost::Acknowledged);
            missing.option == "--http" && rule.is_ok_and(|rule| rule.is_any_host())
        };
        if self.missing.iter().any(is_any_host) {
            command.push_str(" --i-know");
        }
        Some(command)
    }

    /// What a person is told who wants to use the plugin, unless all is fine.
    pub fn problem(&self, plugin: &PluginName) -> Option<Problem> {
        if self.is_fine() {
            return None;
        }
        let name = plugin.as_str();
        let needed = || self.missing.iter().filter(|missing| !missing.optional);
        let message = match (self.was, needed().count()) {
            (Some(_), 0) => {
                format!("plugin `{name}` is not the one to which you granted something")
            }
            (Some(_), count) => format!("plugin `{name}` changed, and asks for {count} more"),
            (None, 0) => format!("nothing says where plugin `{name}` may send its secrets"),
            (None, 1) => format!("plugin `{name}` asks for something that is not granted"),
            (None, count) => {
                format!("plugin `{name}` asks for {count} things that are not granted")
            }
        };
        let code = match self.was {
            Some(_) => codes::PLUGIN_CHANGED,
            None => codes::NOT_GRANTED,
        };
        let (code, message) = match self.unusable() {
            Some(asked) => (
                codes::NOT_IMPLEMENTED,
                format!(
                    "plugin `{name}` asks for {}, which this version of piper gives to nobody",
                    asked.kind
                ),
            ),
            None => (code, message),
        };
        let mut problem = Problem::error(code, message);
        problem
            .help
            .extend(self.to_string().lines().map(str::to_owned));
        if self.was.is_some() {
            return Some(problem.help(format!(
                "`piper plugin grant {name}` shows all that it asks for; `--keep` gives it also what the other one had"
            )));
        }
        if let Some(unset) = self.unset.iter().find(|unset| unset.is_needed) {
            return Some(problem.help(format!(
                "first write what stands in the braces of `{}` as `config` of `[plugins.{name}]` into your plugins.toml, because you say where it sends; then: piper plugin grant {name}",
                printable(&unset.template)
            )));
        }
        if let Some(command) = self.command(plugin) {
            problem = problem.help(format!("to grant it: {command}"));
        }
        Some(problem)
    }

    fn lacks<T>(&mut self, option: &'static str, value: String, asked: &Asked<T>) {
        self.missing.push(Missing {
            option,
            value,
            why: asked.why.clone(),
            optional: asked.optional,
        });
    }

    fn http(&mut self, manifest: &Manifest, grant: &PluginGrant) -> Result<(), TemplateError> {
        let granted = &grant.allow.http;
        for asked in &manifest.permissions.http {
            let rules = asked.what.resolve(&grant.config)?;
            if rules.is_empty() {
                self.unset.push(Unset {
                    template: asked.what.to_string(),
                    why: asked.why.clone(),
                    is_needed: false,
                });
            }
            for rule in rules {
                if !granted.iter().any(|known| known.covers(&rule)) {
                    self.lacks("--http", rule.to_string(), asked);
                }
            }
        }
        let declared = declared(manifest, grant)?;
        let is_unused = |rule: &&HttpRule| {
            declared
                .iter()
                .all(|asked| asked.intersection(rule).is_none())
        };
        let unused = granted
            .iter()
            .filter(is_unused)
            .map(|rule| ("--http", rule.to_string()));
        self.unused.extend(unused);
        Ok(())
    }

    fn files_and_commands(&mut self, manifest: &Manifest, grant: &PluginGrant) {
        let granted = grant.allow.files;
        for asked in &manifest.permissions.files {
            let known = granted.intersection(asked.what).parts();
            for part in asked
                .what
                .parts()
                .into_iter()
                .filter(|part| !known.contains(part))
            {
                self.lacks("--files", part, asked);
            }
        }
        let declared = manifest.permissions.files_rule();
        let used = granted.intersection(declared).parts();
        let unused = granted
            .parts()
            .into_iter()
            .filter(|part| !used.contains(part));
        self.unused.extend(unused.map(|part| ("--files", part)));
        for asked in &manifest.permissions.exec {
            if !grant
                .allow
                .exec
                .iter()
                .any(|known| known.covers(&asked.what))
            {
                self.lacks("--exec", asked.what.to_string(), asked);
            }
        }
        let declared = &manifest.permissions.exec;
        let is_unused = |rule: &&ArgvRule| {
            declared
                .iter()
                .all(|asked| asked.what.intersection(rule).is_none())
        };
        let unused = grant.allow.exec.iter().filter(is_unused);
        self.unused
            .extend(unused.map(|rule| ("--exec", rule.to_string())));
    }

    fn secrets(&mut self, manifest: &Manifest, grant: &PluginGrant) -> Result<(), TemplateError> {
        let declared = declared(manifest, grant)?;
        for asked in &manifest.permissions.secrets {
            let name = &asked.what.name;
            let granted = grant.secrets.get(name);
            if granted.is_none() {
                // Where it is, only the operator knows: a guess from the plugin's own name for it would let that name choose.
                self.lacks("--secret", format!("{name}={UNKNOWN_SOURCE}"), asked);
            }
            self.audience(&declared, asked, granted);
            let (wanted, extra) = (
                &asked.what.uses,
                granted.map(|granted| granted.uses).unwrap_or_default(),
            );
            let uses = [
                (wanted.path && !extra.path, "path"),
                (wanted.body && !extra.body, "body"),
                (wanted.reveal && !extra.reveal, "reveal"),
            ];
            for (_, word) in uses.into_iter().filter(|(lacks, _)| *lacks) {
                self.lacks("--use", format!("{name}={word}"), asked);
            }
        }
        let asked = &manifest.permissions.secrets;
        let is_unused = |name: &&String| asked.iter().all(|asked| asked.what.name != **name);
        self.unused.extend(
            grant
                .secrets
                .keys()
                .filter(is_unused)
                .map(|name| ("--secret", name.clone())),
        );
        Ok(())
    }

    /// Where a secret may go beside where the plugin sends. Fewer places are the operator's choice; with none in common the plugin can
    /// do nothing with it, and places where it never sends are of no use.
    fn audience(
        &mut self,
        declared: &[HttpRule],
        asked: &Asked<SecretAsk>,
        granted: Option<&SecretGrant>,
    ) {
        let name = &asked.what.name;
        let sends_to = |origin: &Origin| {
            declared.iter().any(|rule| {
                rule.scheme() == origin.scheme
                    && rule.port() == origin.port
                    && rule.host().matches(&origin.host)
            })
        };
        let to = granted.map_or(&[][..], |granted| &granted.to);
        let is_sent = asked.what.uses.is_sent();
        if is_sent && !to.iter().any(sends_to) {
            let mut known = origins(declared).peekable();
            match known.peek() {
                Some(_) => {}
                None if self.unset.is_empty() => {
                    self.lacks("--to", format!("{name}={UNKNOWN_ORIGIN}"), asked);
                }
                // An origin that was named now would be none of where it sends.
                None => {
                    for unset in &mut self.unset {
                        unset.is_needed |= !asked.optional;
                    }
                }
            }
            for origin in known {
                self.lacks("--to", format!("{name}={origin}"), asked);
            }
        }
        let is_unused = |origin: &&Origin| !is_sent || !sends_to(origin);
        let unused = to.iter().filter(is_unused);
        self.unused
            .extend(unused.map(|origin| ("--to", format!("{name}={origin}"))));
    }
}

/// What is declared and served by nothing yet: the daemon will.
fn unavailable(manifest: &Manifest) -> impl Iterator<Item = Unavailable> {
    let all = &manifest.permissions;
    let kinds = [
        ("mail", &all.mail),
        ("builds", &all.builds),
        ("vcs", &all.vcs),
    ];
    kinds.into_iter().filter_map(|(kind, asked)| {
        let asked = asked.as_ref()?;
        Some(Unavailable {
            kind,
            why: asked.why.clone(),
            optional: asked.optional,
        })
    })
}

/// The single origins that rules name, each once.
fn origins(rules: &[HttpRule]) -> impl Iterator<Item = Origin> {
    let origin = |rule: &HttpRule| match rule.host() {
        HostPattern::Only(host) => Some(Origin {
            scheme: rule.scheme(),
            host: host.clone(),
            port: rule.port(),
        }),
        HostPattern::Any | HostPattern::Under(_) => None,
    };
    let origins: std::collections::BTreeSet<Origin> = rules.iter().filter_map(origin).collect();
    origins.into_iter()
}

/// Lines with `+` for what is asked for and `-` for what is not any more.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(was) = &self.was {
            writeln!(f, "  was {was}")?;
        }
        for missing in &self.missing {
            let optional = optional(missing.optional);
            let what = join(missing.option, &missing.value);
            writeln!(f, "+ {what}{optional}: {}", printable(&missing.why))?;
        }
        for unset in &self.unset {
            let (template, why) = (printable(&unset.template), printable(&unset.why));
            writeln!(
                f,
                "? http {template}, to where `config` of its table in your plugins.toml says: {why}"
            )?;
        }
        for asked in &self.unavailable {
            let (optional, why) = (optional(asked.optional), printable(&asked.why));
            writeln!(f, "! {}{optional}, not in this version: {why}", asked.kind)?;
        }
        for (option, value) in &self.unused {
            writeln!(f, "- {}", join(option, value))?;
        }
        Ok(())
    }
}

fn optional(is_optional: bool) -> &'static str {
    if is_optional { " (optional)" } else { "" }
}

fn join(option: &str, value: &str) -> String {
    let word = option.trim_start_matches('-');
    format!("{word} {}", printable(value)).trim_end().to_owned()
}
