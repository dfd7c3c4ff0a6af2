use piper_plugin::prelude::*;

#[settings]
struct Chat {
    url: String,
}
impl Notifier for Chat {
    fn tell(&self, event: &Event, _: &Rule) -> Result<()> {
        let build = event.build();
        let text = format!("{} {}: {}", build.project, build.pipeline, build.outcome);
        http::post(&self.url)
            .json(&json!({"text": text}))
            .send()?
            .ok()?;
        Ok(())
    }
}
piper_plugin::plugin! { notifier: Chat }

#[cfg(test)]
mod tests;
