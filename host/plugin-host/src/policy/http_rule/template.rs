//! Rules of a declaration, whose hosts stand in the operator's configuration: `POST {config.url}/_bulk`.
//!
//! A template means nothing until the operator's configuration fills it in, and only declarations may have one: a grant is literal.
//! What is filled in comes from the operator, but may have come to him from elsewhere, so it can only be what its place is for.

use super::{AnyHost, HttpRule};
use crate::policy::{
    fault::{Fault, shown},
    host::Host,
};
use piper_core::codes;
use serde_json::Value;
use std::fmt;

/// A rule with gaps for the plugin's configuration, or without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The keys that lead to a value of the configuration.
    Config(Vec<String>),
}

/// A configuration that does not fit a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The value is no text, number or list of texts, or one with characters that have no place there.
    #[error("`{key}` of the configuration cannot stand in the rule `{template}`")]
    Value {
        /// The key, with dots.
        key: String,
        /// The template.
        template: String,
    },
    /// With the configuration filled in, it is no rule.
    #[error("the rule `{template}` becomes `{rule}`: {message}")]
    Rule {
        /// The template.
        template: String,
        /// The template with its gaps filled.
        rule: String,
        /// What is wrong with it.
        message: String,
    },
}

/// How many rules a template may become: two lists in one rule multiply.
const MOST_RULES: usize = 256;

impl HttpTemplate {
    /// Reads a rule that may have gaps.
    ///
    /// # Errors
    ///
    /// When a gap is not closed or names no key, or when nothing could be filled in that makes it a rule.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let parts = parts(text)?;
        let template = Self {
            text: text.to_owned(),
            parts,
        };
        // Something that fits must make it a rule; the places of a fault are right only without gaps.
        let example = template.example();
        match HttpRule::parse(&example, AnyHost::Acknowledged) {
            Ok(_) => Ok(template),
            Err(fault) if example == text => Err(fault),
            Err(fault) => Err(Fault {
                at: 0..text.len(),
                label: format!("for instance `{example}`"),
                ..fault
            }),
        }
    }

    /// The rules that it becomes: one, or one for each element where the configuration has a list. None if the configuration lacks
    /// what belongs into a gap, since a plugin that is told no host needs none.
    ///
    /// # Errors
    ///
    /// When the configuration has something else there than a text, a number or a list of texts, or something that makes it no rule.
    pub fn resolve(&self, config: &Value) -> Result<Vec<HttpRule>, TemplateError> {
        let mut texts = vec![String::new()];
        for part in &self.parts {
            let values = match part {
                Part::Text(text) => vec![text.clone()],
                Part::Config(keys) => self.values(config, keys)?,
            };
            texts = texts
                .iter()
                .flat_map(|text| values.iter().map(move |value| (text, value)))
                .take(MOST_RULES)
                .map(|(before, value)| match part {
                    Part::Text(_) => Ok(format!("{before}{value}")),
                    Part::Config(keys) => join(before, value).ok_or_else(|| self.bad_value(keys)),
                })
                .collect::<Result<_, _>>()?;
        }
        // What the author wrote is only asked for; a `*` that the configuration brings was not meant by anybody.
        let any_host = match self.is_literal() {
            true => AnyHost::Acknowledged,
            false => AnyHost::Refused,
        };
        let rules = texts.into_iter().map(|rule| {
            HttpRule::parse(&rule, any_host).map_err(|fault| TemplateError::Rule {
                template: self.text.clone(),
                message: fault.message,
                rule,
            })
        });
        rules.collect()
    }

    /// Whether it has no gaps.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The keys of the configuration that it needs, with dots.
    pub fn config_keys(&self) -> impl Iterator<Item = String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Config(keys) => Some(keys.join(".")),
        })
    }

    fn values(&self, config: &Value, keys: &[String]) -> Result<Vec<String>, TemplateError> {
        let Some(value) = keys.iter().try_fold(config, |value, key| value.get(key)) else {
            return Ok(Vec::new());
        };
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let values = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(list) => list.iter().map(text).collect(),
            single => text(single).map(|text| vec![text]),
        };
        values.ok_or_else(|| self.bad_value(keys))
    }

    fn bad_value(&self, keys: &[String]) -> TemplateError {
        TemplateError::Value {
            key: keys.join("."),
            template: self.text.clone(),
        }
    }

    /// The template with something harmless in its gaps.
    fn example(&self) -> String {
        self.parts
            .iter()
            .fold(String::new(), |text, part| match part {
                Part::Text(part) => text + part,
                Part::Config(_) if begins_url(&text) => text + "https://host.example",
                Part::Config(_) if is_port(&text) => text + "1",
                Part::Config(_) => text + "name",
            })
    }
}

/// Puts a value behind what stands before it. At the beginning of a URL it is a URL; elsewhere it cannot end the part in which it
/// stands.
fn join(before: &str, value: &str) -> Option<String> {
    if begins_url(before) {
        return Some(format!("{before}{}", value.trim_end_matches('/')));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_address = before.ends_with("://") && Host::parse(value).is_ok();
    (!value.is_empty() && (value.bytes().all(plain) || is_address))
        .then(|| format!("{before}{value}"))
}

/// Whether a URL begins behind this text.
fn begins_url(before: &str) -> bool {
    before.is_empty() || before.ends_with(' ')
}

/// Whether a port follows this text.
fn is_port(before: &str) -> bool {
    before.ends_with(':')
}

fn parts(text: &str) -> Result<Vec<Part>, Fault> {
    let fault = |message: &str, at| {
        Fault::new(codes::BAD_TEMPLATE, message, at, "")
            .help("`{config.url}` stands for the value of `url` in the plugin's configuration")
    };
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find(['{', '}']).map(|found| at + found) {
        if open > at {
            parts.push(Part::Text(text[at..open].to_owned()));
        }
        if text.as_bytes()[open] == b'}' {
            return Err(fault("a `}` without its `{`", open..open + 1));
        }
        let Some(close) = text[open..].find('}').map(|found| open + found) else {
            return Err(fault("a `{` is not closed", open..open + 1));
        };
        let mut keys = text[open + 1..close].split('.').map(str::to_owned);
        let from_config = keys.next().as_deref() == Some("config");
        let keys: Vec<String> = keys.collect();
        let plain = |key: &String| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if !from_config || keys.is_empty() || !keys.iter().all(plain) {
            let gap = &text[open..=close];
            return Err(fault(
                &format!("{} names no value of the configuration", shown(gap)),
                open..close + 1,
            ));
        }
        parts.push(Part::Config(keys));
        at = close + 1;
    }
    if at < text.len() {
        parts.push(Part::Text(text[at..].to_owned()));
    }
    Ok(parts)
}

impl fmt::Display for HttpTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
