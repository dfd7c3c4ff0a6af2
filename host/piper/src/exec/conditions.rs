//! The parts of `when` that no build changes: branch, event, paths and parameters.

use anyhow::Context as _;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use piper_core::{
    id::StepIx,
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
) -> anyhow::Result<Vec<(StepIx, String)>> {
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
    fn against(&mut self, plan: &Plan, step: &PlannedStep) -> anyhow::Result<Option<String>> {
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
            if !self.changed()?.iter().any(|path| wanted.is_match(path)) {
                return Ok(Some(format!(
                    "no changed file matches {}",
                    when.paths.join(", ")
                )));
            }
        }
        Ok(None)
    }

    /// The changed files, relative to the workspace.
    fn changed(&mut self) -> anyhow::Result<&[String]> {
        if self.changed.is_none() {
            let repository = self
                .repository
                .context("`when.paths` asks git, but the project is in no repository")?;
            let files = repository
                .changed_files()
                .context("could not find out which files changed")?;
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

fn patterns(texts: &[String]) -> anyhow::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        set.add(glob.with_context(|| format!("`{text}` is not a pattern"))?);
    }
    set.build().context("the patterns are too many")
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("src/**", "src/a/b.rs", true)]
    #[test_case("src/*", "src/a/b.rs", false; "a star stays in its folder")]
    #[test_case("release/*", "release/1.2", true)]
    #[test_case("main", "main2", false)]
    fn patterns_match_whole_paths(pattern: &str, path: &str, matches: bool) {
        assert_eq!(
            patterns(&[pattern.to_owned()]).unwrap().is_match(path),
            matches
        );
    }
}
