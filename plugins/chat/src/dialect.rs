//! A message in the words of each service.
//!
//! Wherever a service has a place for text without markup, the texts of others go there. Where it has none, they stand in code, from which
//! nothing leads out, and in which nobody is mentioned and nothing is a link.

use crate::{
    Service,
    message::{self, Message, Mood},
};
use piper_plugin::prelude::*;

/// The body of the request.
pub(crate) fn write(service: Service, message: &Message) -> Value {
    match service {
        Service::Slack => slack(message),
        Service::Mattermost => mattermost(message),
        Service::Discord => discord(message),
        Service::Teams => teams(message),
    }
}

/// Blocks. `plain_text` has no markup at all; `verbatim` makes no links of what looks like one.
fn slack(message: &Message) -> Value {
    let plain = |text: String| json!({"type": "plain_text", "text": text, "emoji": false});
    let markup = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
    let mut blocks = vec![json!({"type": "header", "text": plain(message.headline.clone())})];
    if !message.facts.is_empty() {
        let fields = message
            .facts
            .iter()
            .map(|(name, value)| plain(format!("{name}: {value}")));
        blocks.push(json!({"type": "section", "fields": fields.collect::<Vec<_>>()}));
    }
    if !message.log.is_empty() {
        // A section has at most 3,000 characters, escaped.
        let log = message::end(&unfenced(&message.log), 2_900, |c| {
            slack_escaped(c.encode_utf8(&mut [0; 4])).len()
        });
        blocks.push(markup(format!("```\n{}\n```", slack_escaped(&log))));
    }
    if let Some(url) = &message.url {
        blocks.push(markup(format!("<{}|Open the build>", slack_escaped(url))));
    }
    // What notifications show: markup again.
    json!({"text": slack_escaped(&message.headline), "unfurl_links": false, "unfurl_media": false, "blocks": blocks})
}

/// Slack's own three: everything that means something else than itself begins with `<`.
fn slack_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Markdown, in which code is the only place without mentions, links, emoji and hashtags.
fn mattermost(message: &Message) -> Value {
    json!({"text": markdown(message)})
}

/// The same in an embed, with a colour. Nobody is mentioned, whatever is said.
fn discord(message: &Message) -> Value {
    let color = match message.mood {
        Mood::Good => 0x2e_a0_43,
        Mood::Bad => 0xd7_3a_49,
        Mood::Neutral => 0x6e_77_81,
    };
    json!({
        "allowed_mentions": {"parse": []},
        "embeds": [{"description": markdown(message), "color": color}],
    })
}

fn markdown(message: &Message) -> String {
    let mark = match message.mood {
        Mood::Good => "🟢 ",
        Mood::Bad => "🔴 ",
        Mood::Neutral => "",
    };
    let mut text = format!("{mark}{}\n", code(&message.headline));
    for (name, value) in &message.facts {
        text.push_str(&format!("{}: {}\n", code(name), code(value)));
    }
    if !message.log.is_empty() {
        text.push_str(&format!("```\n{}\n```\n", unfenced(&message.log)));
    }
    if let Some(url) = &message.url {
        text.push_str(&format!("[Open the build](<{url}>)\n"));
    }
    text
}

/// A text as code. What would end the code is written with a letter that looks like it.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "ˋ"))
}

/// A text for a block of code: nothing in it ends the block.
fn unfenced(text: &str) -> String {
    text.replace("```", "ˋˋˋ")
}

/// An adaptive card for a workflow that is started by a webhook. A `TextRun` has no markup, and mentions would have to be declared.
fn teams(message: &Message) -> Value {
    let color = match message.mood {
        Mood::Good => "Good",
        Mood::Bad => "Attention",
        Mood::Neutral => "Default",
    };
    let block = |runs: Value| json!({"type": "RichTextBlock", "inlines": runs});
    let mut body = vec![block(json!([
        {"type": "TextRun", "text": message.headline, "size": "Medium", "weight": "Bolder", "color": color},
    ]))];
    for (name, value) in &message.facts {
        body.push(block(json!([
            {"type": "TextRun", "text": format!("{name}: "), "isSubtle": true},
            {"type": "TextRun", "text": value},
        ])));
    }
    if !message.log.is_empty() {
        let lines = message.log.lines();
        body.extend(lines.map(|line| {
            block(json!([{"type": "TextRun", "text": line, "fontType": "Monospace", "size": "Small"}]))
        }));
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(url) = &message.url {
        card["actions"] =
            json!([{"type": "Action.OpenUrl", "title": "Open the build", "url": url}]);
    }
    json!({
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    })
}
