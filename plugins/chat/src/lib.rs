//! Tells a chat what became of builds: one message an event, in the dialect of Slack, Mattermost, Discord or Teams.
//!
//! `message` says what there is to tell, `dialect` how each service wants it said. Names of branches, steps and the like come from
//! whoever can push: no text of theirs is ever markup.

mod dialect;
mod message;

use message::Message;
use piper_plugin::prelude::*;

/// Where messages go.
#[settings]
struct Config {
    /// Which service it is.
    service: Service,
    /// The address for messages, without what is secret of it.
    url: String,
    /// What follows the address behind a `?`. Only Teams has something there.
    query: Option<String>,
}

/// A chat, by its dialect.
#[settings]
#[derive(Copy, PartialEq)]
enum Service {
    Slack,
    Mattermost,
    Discord,
    Teams,
}

/// What a rule can say.
#[settings]
struct Chat {
    /// The parameters of the build that are told, such as `branch`.
    params: Option<Vec<String>>,
    /// How many of the last lines of the failing step's log are told; 0 for none.
    #[setting(default = 10, max = 50)]
    log_lines: u32,
}

/// The name of the secret that is the end of the address.
const HOOK: &str = "hook";

impl Notifier<Config> for Chat {
    fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
        let Some(message) = Message::of(event, self) else {
            return Ok(());
        };
        let Config {
            service,
            url,
            query,
        } = &rule.config;
        let body = dialect::write(*service, &message);
        let answer = http::post(address(url, query.as_deref())?)
            .json(&body)
            .send()?;
        judge(answer)
    }
}

/// The address with its secret end, if there is one.
fn address(url: &str, query: Option<&str>) -> Result<String> {
    let mut address = url.trim_end_matches('/').to_owned();
    match secrets::placeholder(HOOK) {
        Ok(placeholder) => {
            address.push('/');
            address.push_str(&placeholder);
        }
        // The whole address is in the configuration. A secret that is granted, but for something else or without a value, is another
        // failure: without it the message would go to another address.
        Err(failure) if failure.code == "policy.secret" => {}
        Err(failure) => return Err(failure),
    }
    if let Some(query) = query {
        address.push('?');
        address.push_str(query.trim_start_matches('?'));
    }
    Ok(address)
}

fn judge(answer: http::Response) -> Result<()> {
    let status = answer.status;
    match answer.ok() {
        Ok(_) => Ok(()),
        Err(failure) => Err(match status {
            401 | 403 | 404 | 410 => failure.help(
                "the chat does not know this address (any more): compare `url` and the secret `hook` with what it shows for the webhook",
            ),
            _ => failure,
        }),
    }
}

piper_plugin::plugin! { config: Config, notifier: Chat }

#[cfg(test)]
mod tests;
