use piper_plugin::prelude::*;

#[settings]
struct Config {
    url: String,
}
#[settings]
struct Chat {}
impl Notifier<Config> for Chat {
    fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
        let text = event.build().to_string();
        let post = http::post(&rule.config.url).json(&json!({"text": text}));
        post.send()?.ok().map(drop)
    }
}
piper_plugin::plugin! { config: Config, notifier: Chat }

#[cfg(test)]
mod tests;
