//! A step that greets somebody.

use piper_plugin::prelude::*;

/// What stands in the step's `with`.
#[settings]
struct Greet {
    /// Whom.
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
mod tests {
    use super::*;
    use piper_plugin::testing::Fake;

    #[test]
    fn greets_the_world_unless_told_otherwise() {
        let fake = Fake::new();
        let verdict = fake.run::<Greet, _>(json!({})).unwrap();
        assert_eq!(verdict.status, Status::Passed);
        assert_eq!(fake.stdout(), "hello, world\n");
        assert_eq!(fake.output("greeted").as_deref(), Some("world"));
    }
}
