use piper_plugin::prelude::*;

#[settings]
struct Greet {
    #[setting(default = "world")]
    name: String,
}
impl StepRunner for Greet {
    fn run(&self, step: &Step) -> Result<Verdict> {
        step.print(format_args!("hello, {}\n", self.name));
        step.output("greeted", &self.name)?;
        Ok(Verdict::passed())
    }
}
piper_plugin::plugin! { step_runner: Greet }

#[cfg(test)]
mod tests;
