//! The seam to whatever runs plugins.
//!
//! Everything in this crate that meets a plugin asks here; what is behind it, a sandbox or nothing at all, is known nowhere else.

use crate::cli::project::LoadedProject;
use piper_core::{
    codes,
    plan::{Command, Plan},
    problem::Problem,
};
use piper_engine::task::TaskHost;
use std::{fmt, sync::Arc};

/// Plans and carries out the steps that are plugins.
pub trait Plugins: fmt::Debug {
    /// Puts what planners plan in the place of their steps: see [`piper_core::plan::expand`].
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the plugins' options and with what planners answered.
    fn expand(&self, loaded: &LoadedProject, plan: Plan) -> Result<Plan, Vec<Problem>>;

    /// What carries out the plugins of a plan, checked before anything runs; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Every plugin that cannot run: not found, not pinned, not granted.
    fn tasks(
        &self,
        loaded: &LoadedProject,
        plan: &Plan,
    ) -> Result<Option<Arc<dyn TaskHost>>, Vec<Problem>>;
}

/// Where no plugin can run: plans are shown as they are, and one with a plugin is not run.
#[derive(Debug)]
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn expand(&self, _loaded: &LoadedProject, plan: Plan) -> Result<Plan, Vec<Problem>> {
        Ok(plan)
    }

    fn tasks(
        &self,
        loaded: &LoadedProject,
        plan: &Plan,
    ) -> Result<Option<Arc<dyn TaskHost>>, Vec<Problem>> {
        let steps = plan.steps.iter();
        let refused: Vec<Problem> = steps
            .filter_map(|step| match &step.command {
                Command::Plugin(call) => {
                    let message = format!(
                        "step `{}` is the plugin `{}`, and this piper cannot run plugins yet",
                        step.label, call.uses
                    );
                    let problem = Problem::error(codes::NOT_IMPLEMENTED, message)
                        .help("use a later version, or write the step as `run`");
                    let pointer = format!("/steps/{}/uses", step.step);
                    Some(loaded.at(problem, &pointer, "a later version brings it"))
                }
                Command::Script { .. } | Command::Argv(_) => None,
            })
            .collect();
        if refused.is_empty() {
            Ok(None)
        } else {
            Err(refused)
        }
    }
}

/// What runs plugins here.
pub fn plugins() -> Box<dyn Plugins> {
    Box::new(NoPlugins)
}
