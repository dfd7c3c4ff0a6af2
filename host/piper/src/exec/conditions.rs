//! The parts of `when` that no build changes: branch, event, paths and parameters.

use super::Error;
use anyhow::Context as _;
use piper_core::{
    id::StepIx,
    pattern::Patterns,
    plan::{Plan, PlannedStep},
};
use piper_engine::git::{Head, Repository};
use std::path::Path;

/// Who asks for a build with `exec`.
const EVENT: &str = "manual";

/// The steps whose `when` does not hold, each with the part that does not.
pub(super) fn unmet(
    plan: &Plan,
    head: &Head,
    repository: Option<&Repository>,
    workspace: &Path,
) -> Result<Vec<(StepIx, String)>, Error> {
    let mut facts = Facts {
        head,
        repository,
        workspace,
        changed: None,
    };
    let mut unmet = Vec::new();
    for (place, step) in (0..).zip(&plan.steps) {
        if let Some(why) = facts.against(plan, step)? {
            unmet.push((StepIx(place), why));
        }
    }
    Ok(unmet)
}

struct Facts<'a> {
    head: &'a Head,
    repository: Option<&'a Repository>,
    workspace: &'a Path,
    /// Asked for once, and only if a step wants to know.
    changed: Option<Vec<String>>,
}

impl Facts<'_> {
    /// What speaks against a step.
    fn against(&mut self, plan: &Plan, step: &PlannedStep) -> Result<Option<String>, Error> {
        let when = &step.when;
        if !when.event.is_empty() && !when.event.iter().any(|event| event == EVENT) {
            return Ok(Some(format!(
                "only for {}, and this build is `{EVENT}`",
                when.event.join(", ")
            )));
        }
        for (name, values) in &when.param {
            let value = plan.params.get(name).map_or("", String::as_str);
            if !values.iter().any(|wanted| wanted == value) {
                return Ok(Some(format!(
                    "only for {name}={}, and it is `{value}`",
                    values.join("|")
                )));
            }
        }
        if !when.branch.is_empty() {
            let branch = self.head.branch.as_deref().unwrap_or_default();
            if !patterns(&when.branch)?.is_match(branch) {
                let is = if branch.is_empty() {
                    "HEAD is on none".to_owned()
                } else {
                    format!("this is `{branch}`")
                };
                return Ok(Some(format!(
                    "only on branch {}, and {is}",
                    when.branch.join(", ")
                )));
            }
        }
        if !when.paths.is_empty() {
            let wanted = patterns(&when.paths)?;
            if !self.changed(step)?.iter().any(|path| wanted.is_match(path)) {
                return Ok(Some(format!(
                    "no changed file matches {}",
                    when.paths.join(", ")
                )));
            }
        }
        Ok(None)
    }

    /// The changed files, relative to the workspace.
    fn changed(&mut self, step: &PlannedStep) -> Result<&[String], Error> {
        if self.changed.is_none() {
            let pointer = || format!("/steps/{}/when/paths", step.step);
            let repository = self.repository.ok_or_else(|| {
                let message =
                    "`when.paths` asks git what changed, but the project is in no git repository";
                let help = "run `git init` and commit the project, or leave the condition out";
                Error::unanswered(message.to_owned(), pointer(), &[help])
            })?;
            let files = repository.changed_files().map_err(|error| {
                let question = "`when.paths` asks git what changed";
                Error::of_git(error, question, pointer(), &["commit the project first"])
            })?;
            let prefix = self
                .workspace
                .strip_prefix(&repository.root)
                .unwrap_or(Path::new(""))
                .to_path_buf();
            let below = |file: &String| {
                Some(
                    Path::new(file)
                        .strip_prefix(&prefix)
                        .ok()?
                        .to_string_lossy()
                        .into_owned(),
                )
            };
            self.changed = Some(files.iter().filter_map(below).collect());
        }
        Ok(self.changed.as_deref().unwrap_or_default())
    }
}

fn patterns(texts: &[String]) -> anyhow::Result<Patterns> {
    Patterns::parse(texts)
        .with_context(|| format!("could not read the patterns {}", texts.join(", ")))
}
