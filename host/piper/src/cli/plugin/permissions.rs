//! What a plugin asks for and what it gets, in the words of the command line; shared by the commands that show it.

use crate::{
    plugins::standing::Standing,
    ui::{
        sanitize::words,
        style::{Paint, Style, width},
    },
};
use piper_core::{codes, problem::Problem, suggest};
use piper_plugin_host::policy::{
    command::quote,
    manifest::{Asked, Manifest},
};
use serde_json::{Value, json};

/// One thing that is asked for.
pub(super) struct Ask<'a> {
    /// `http`, `secret`, …
    pub(super) kind: &'static str,
    /// What of that kind; empty where there is nothing to choose.
    pub(super) what: String,
    /// Why, in the author's words.
    pub(super) why: &'a str,
    /// Whether the plugin works without it.
    pub(super) optional: bool,
}

/// All that a manifest asks for, in its own words: templates are not filled in.
pub(super) fn asked(manifest: &Manifest) -> Vec<Ask<'_>> {
    fn each<'a, T>(
        kind: &'static str,
        asked: impl IntoIterator<Item = &'a Asked<T>>,
        what: impl Fn(&T) -> String,
    ) -> Vec<Ask<'a>>
    where
        T: 'a,
    {
        let ask = |asked: &'a Asked<T>| Ask {
            kind,
            what: what(&asked.what),
            why: &asked.why,
            optional: asked.optional,
        };
        asked.into_iter().map(ask).collect()
    }
    let all = &manifest.permissions;
    let nothing = |(): &()| String::new();
    let mut asks = each("http", &all.http, ToString::to_string);
    asks.extend(each("secret", &all.secrets, |secret| {
        format!("{} ({})", secret.name, secret.uses.parts().join(", "))
    }));
    asks.extend(each("files", &all.files, |files| files.parts().join(", ")));
    asks.extend(each("exec", &all.exec, ToString::to_string));
    asks.extend(each("state", &all.state, nothing));
    asks.extend(each("mail", &all.mail, nothing));
    asks.extend(each("builds", &all.builds, nothing));
    asks.extend(each("vcs", &all.vcs, nothing));
    asks
}

/// What the plugin may do here, as kind and what.
pub(super) fn granted(standing: &Standing) -> Vec<(&'static str, String)> {
    let effective = &standing.effective;
    let mut granted: Vec<(&'static str, String)> = Vec::new();
    granted.extend(effective.http.iter().map(|rule| ("http", rule.to_string())));
    let networks = effective.private_networks.iter();
    granted.extend(networks.map(|network| ("private-network", network.to_string())));
    for (name, secret) in &effective.secrets {
        let to: Vec<String> = secret.grant.to.iter().map(ToString::to_string).collect();
        let to = match to.is_empty() {
            true => "nowhere".to_owned(),
            false => to.join(", "),
        };
        let uses = secret.uses.parts().join(", ");
        granted.push((
            "secret",
            format!("{name} ({uses}) from {} to {to}", secret.grant.from),
        ));
    }
    granted.extend(
        effective
            .files
            .parts()
            .into_iter()
            .map(|part| ("files", part)),
    );
    let commands = standing.commands.iter();
    granted.extend(commands.map(|rule| ("exec", format!("{rule}, outside the sandbox"))));
    granted.extend(effective.state.then(|| ("state", String::new())));
    granted
}

/// Lines for people: what is asked for, then what of it is missing.
pub(super) fn text(manifest: &Manifest, style: Style) -> Vec<String> {
    let asks = asked(manifest);
    let shown: Vec<String> = asks.iter().map(|ask| joined(ask.kind, &ask.what)).collect();
    let column = shown
        .iter()
        .map(|ask| width(ask))
        .filter(|own| *own <= MOST)
        .max()
        .unwrap_or(0);
    asks.iter()
        .zip(&shown)
        .map(|(ask, shown)| {
            let gap = " ".repeat(column.saturating_sub(width(shown)) + 2);
            let optional = if ask.optional { " (optional)" } else { "" };
            let why = format!("{}{optional}", words(ask.why));
            format!(
                "{}{gap}{}",
                style.paint(Paint::Name, shown.as_str()),
                style.paint(Paint::Dim, why)
            )
        })
        .collect()
}

/// What is longer pushes its own reason to the right.
const MOST: usize = 48;

/// Kind and what, harmless on a terminal.
pub(super) fn joined(kind: &str, what: &str) -> String {
    words(&format!("{kind} {what}")).trim_end().to_owned()
}

/// The same for programs.
pub(super) fn json(manifest: &Manifest, standing: &Standing) -> Value {
    let asks = asked(manifest).into_iter().map(|ask| {
        json!({ "kind": ask.kind, "what": ask.what, "why": ask.why, "optional": ask.optional })
    });
    let granted = granted(standing)
        .into_iter()
        .map(|(kind, what)| json!({ "kind": kind, "what": what }));
    let missing = standing.difference.missing.iter().map(|missing| {
        json!({
            "kind": missing.option.trim_start_matches('-'),
            "what": missing.value,
            "why": missing.why,
            "optional": missing.optional,
            "option": option(missing.option, &missing.value),
        })
    });
    let unused =
        standing.difference.unused.iter().map(
            |(option, value)| json!({ "kind": option.trim_start_matches('-'), "what": value }),
        );
    let unavailable =
        standing.difference.unavailable.iter().map(
            |asked| json!({ "kind": asked.kind, "why": asked.why, "optional": asked.optional }),
        );
    json!({
        "was": standing.difference.was.map(|was| was.to_string()),
        "asked": asks.collect::<Vec<_>>(),
        "granted": granted.collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
        "unused": unused.collect::<Vec<_>>(),
        "unavailable": unavailable.collect::<Vec<_>>(),
    })
}

/// What is wrong with a secret of which the plugin has never heard: it lies there for nobody, and what was meant is still missing.
pub(super) fn undeclared_secret(plugin: &str, manifest: &Manifest, name: &str) -> Option<Problem> {
    let secrets = manifest.permissions.secrets.iter();
    let declared: Vec<&str> = secrets.map(|asked| asked.what.name.as_str()).collect();
    if declared.contains(&name) {
        return None;
    }
    let message = format!("plugin `{plugin}` declares no secret `{}`", words(name));
    let near = suggest::closest(name, declared.iter().copied());
    let help = match (near, &declared[..]) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "it declares none".to_owned(),
        (None, declared) => format!("it declares `{}`", declared.join("`, `")),
    };
    Some(Problem::error(codes::UNDECLARED_SECRET, message).help(help))
}

/// An option of `piper plugin grant`, to be pasted.
pub(super) fn option(option: &str, value: &str) -> String {
    match value {
        "" => option.to_owned(),
        value => format!("{option} {}", quote(value)),
    }
}
