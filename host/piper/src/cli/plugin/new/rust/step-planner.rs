//! A step that stands for others: one for each name.

use piper_plugin::prelude::*;

/// What stands in the step's `with`.
#[settings]
struct GreetAll {
    /// Whom.
    #[setting(default)]
    names: Vec<String>,
}

impl StepPlanner for GreetAll {
    fn plan(&self, _: &Planning) -> Result<Plan> {
        let mut plan = Plan::new();
        for name in &self.names {
            plan.step(name, PlannedStep::argv(["echo", "hello", name]));
        }
        Ok(plan)
    }
}

piper_plugin::plugin! { step_planner: GreetAll }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::Fake;

    #[test]
    fn plans_a_step_for_each_name() {
        let plan = Fake::new().plan::<GreetAll, _>(json!({"names": ["you"]})).unwrap();
        assert_eq!(plan.to_string(), r#"{"steps":{"you":{"argv":["echo","hello","you"]}}}"#);
    }
}
