//! What a person sees before he agrees: all that would hold afterwards, and all that would not any more.

use super::wanted::Wanted;
use crate::{
    cli::plugin::permissions,
    plugins::component::Component,
    ui::{
        sanitize::words,
        style::{Paint, Style},
    },
};
use piper_plugin_host::policy::{
    grant::{Difference, Limits, Missing, PluginGrant},
    limit::TABLE,
};
use serde_json::Value;

pub(super) struct Shown<'a> {
    pub(super) component: &'a Component,
    /// What it lacks with what it has before.
    pub(super) difference: &'a Difference,
    /// What it has before.
    pub(super) base: &'a PluginGrant,
    /// What it has afterwards.
    pub(super) after: &'a PluginGrant,
    /// What another plugin of its name has.
    pub(super) other: Option<&'a PluginGrant>,
    /// Whether it gets that, too.
    pub(super) is_kept: bool,
}

/// An option of the command line, or a key of the file, and its value.
type Item = (&'static str, String);

impl Shown<'_> {
    pub(super) fn text(&self, style: Style) -> String {
        let mut lines = vec![format!(
            "plugin `{}` ({}, {})",
            words(self.component.title()),
            words(&self.component.source),
            self.component.digest
        )];
        let (before, after) = (items(self.base), items(self.after));
        let stays = match self.other {
            Some(_) if self.is_kept => "what the other one has",
            Some(_) | None => "it has this already",
        };
        for item in after.iter().filter(|item| before.contains(item)) {
            lines.push(line(style, '=', item, Paint::Dim, stays));
        }
        for item in after.iter().filter(|item| !before.contains(item)) {
            let (paint, why) = self.why(item);
            lines.push(line(style, '+', item, paint, &why));
        }
        if let Some(other) = self.other {
            lines.extend(self.of_other(other, &after, style));
        }
        if after.iter().any(|(option, _)| *option == "--exec") {
            let warning = "a command runs outside the sandbox, with your rights";
            lines.push(style.paint(Paint::Odd, warning).into_owned());
        }
        let given = after
            .iter()
            .filter_map(|(option, value)| Wanted::asked(self.difference, option, value));
        let given: Vec<&Missing> = given.collect();
        let open = self.difference.missing.iter();
        let left = open.filter(|missing| missing.is_open() && !given.contains(missing));
        lines.extend(left.map(|missing| {
            let option = permissions::option(missing.option, &missing.value);
            format!(
                "it asks for more, which only you can fill in: {}",
                words(&option)
            )
        }));
        lines.join("\n")
    }

    /// Why the plugin asks for something, if it does.
    fn why(&self, (option, value): &Item) -> (Paint, String) {
        match Wanted::asked(self.difference, option, value) {
            Some(missing) => {
                let optional = if missing.optional { " (optional)" } else { "" };
                (Paint::Dim, format!("{}{optional}", words(&missing.why)))
            }
            None => (Paint::Odd, "not in these words in its manifest".to_owned()),
        }
    }

    fn of_other(&self, other: &PluginGrant, after: &[Item], style: Style) -> Vec<String> {
        let whose = match other.given_to() {
            Some(digest) => format!("{digest}"),
            None => "a plugin that is not this one".to_owned(),
        };
        if self.is_kept {
            return vec![format!("what it keeps was given to {whose}")];
        }
        let lost = items(other);
        let mut lines: Vec<String> = lost
            .iter()
            .filter(|item| !after.contains(item))
            .map(|item| line(style, '-', item, Paint::Dim, "what the other one had"))
            .collect();
        lines.push(format!(
            "another one of this name had something: {whose}. It loses it; `--keep` gives it to this one"
        ));
        lines
    }
}

/// All that a plugin has before and not afterwards.
pub(super) fn lost(before: &PluginGrant, after: &PluginGrant, style: Style) -> Vec<String> {
    let (before, after) = (items(before), items(after));
    let lost = before.iter().filter(|item| !after.contains(item));
    lost.map(|item| line(style, '-', item, Paint::Dim, "it has this now"))
        .collect()
}

fn line(style: Style, mark: char, (option, value): &Item, paint: Paint, why: &str) -> String {
    let what = permissions::joined(option.trim_start_matches('-'), value);
    format!(
        "{mark} {}  {}",
        style.paint(Paint::Name, what),
        style.paint(paint, why)
    )
}

/// All that is written of a plugin but where it comes from and which one it is.
fn items(grant: &PluginGrant) -> Vec<Item> {
    let allow = &grant.allow;
    let mut items: Vec<Item> = Vec::new();
    items.extend(allow.http.iter().map(|rule| ("--http", rule.to_string())));
    let networks = allow.private_networks.iter();
    items.extend(networks.map(|network| ("--private-network", network.to_string())));
    items.extend(
        allow
            .files
            .parts()
            .into_iter()
            .map(|part| ("--files", part)),
    );
    items.extend(allow.exec.iter().map(|rule| ("--exec", rule.to_string())));
    for (name, secret) in &grant.secrets {
        items.push(("--secret", format!("{name}={}", secret.from)));
        let to = secret.to.iter();
        items.extend(to.map(|origin| ("--to", format!("{name}={origin}"))));
        let uses = [
            (secret.uses.path, "path"),
            (secret.uses.body, "body"),
            (secret.uses.reveal, "reveal"),
        ];
        let uses = uses.into_iter().filter(|(is_given, _)| *is_given);
        items.extend(uses.map(|(_, word)| ("--use", format!("{name}={word}"))));
    }
    items.extend(allow.state.then(|| ("--state", String::new())));
    if grant
        .config
        .as_object()
        .is_some_and(|config| !config.is_empty())
    {
        items.push(("config", Value::to_string(&grant.config)));
    }
    items.extend(limited(&grant.limits).map(|limit| ("limits", limit)));
    items
}

fn limited(limits: &Limits) -> impl Iterator<Item = String> {
    TABLE.iter().filter_map(|row| {
        let value = row.unit.written(limits.get(row.limit)?);
        Some(format!("{}={}", row.key, value.replace('"', "")))
    })
}
