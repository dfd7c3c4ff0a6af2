//! Whether what a planner plans could be built: its steps are read and ordered as `piper exec` does it, for a project of one step.
//!
//! What the steps lean on in their project (parameters, axes, secrets) nobody knows here, so it is taken to be there.

use piper_core::{
    codes, pipeline,
    plan::{Plan, Request, expand, resolve},
    problem::{Code, Problem, Source},
    project::Project,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// What depends on the project that uses the planner.
const OF_A_PROJECT: [Code; 2] = [codes::UNDECLARED_PARAM, codes::UNDECLARED_AXIS];

/// What is wrong with the answer of a planner, as `piper exec` would say it.
pub(super) fn mistakes(plugin: &str, answer: &str) -> Vec<Problem> {
    let read: Value = serde_json::from_str(answer).unwrap_or_default();
    let steps = read["steps"].as_object().into_iter().flatten();
    let secrets = steps.flat_map(|(_, step)| step["secrets"].as_array().into_iter().flatten());
    let secrets: BTreeSet<&str> = secrets.filter_map(Value::as_str).collect();
    let source = Arc::new(Source {
        path: "piper.toml".into(),
        text: format!(
            "[steps.planned]\nuses = {}\nsecrets = {}\n",
            in_toml(&json!(plugin)),
            in_toml(&json!(secrets))
        ),
    });
    let (project, plans) = match plans(&source) {
        Ok(planned) => planned,
        // A secret whose name is none, or none that can be had.
        Err(problems) => return bare(problems),
    };
    let mut mistakes = Vec::new();
    for plan in plans {
        let mut answer = Some(answer.to_owned());
        // Planners that it plans are judged by themselves.
        let expanded = expand(&project, &source, plan, |_, _| Ok(answer.take()));
        mistakes.extend(expanded.err().into_iter().flatten());
    }
    mistakes.retain(|mistake| !OF_A_PROJECT.contains(&mistake.code));
    bare(mistakes)
}

/// The plans of a project's step `planned`, or all that is wrong with it.
fn plans(source: &Arc<Source>) -> Result<(Project, Vec<Plan>), Vec<Problem>> {
    let request = Request {
        target: Some("planned".to_owned()),
        ..Request::default()
    };
    let loaded = pipeline::load(Arc::clone(source));
    let project = loaded.project.ok_or(loaded.problems)?;
    let plans = resolve(&project, &request, "")?;
    Ok((project, plans))
}

/// A string or a list of strings: JSON's are TOML's, but for the one control character that JSON does not escape.
fn in_toml(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007F")
}

/// A mistake in a line.
pub(super) fn sentence(mistake: Problem) -> String {
    let message = format!("{} ({})", mistake.message, mistake.code);
    mistake
        .help
        .iter()
        .fold(message, |text, help| format!("{text}: {help}"))
}

/// Without the places, which lie in a file that there is not.
fn bare(problems: Vec<Problem>) -> Vec<Problem> {
    let bare = |problem: Problem| Problem {
        help: problem.help,
        ..Problem::error(problem.code, problem.message)
    };
    problems.into_iter().map(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(&json!({"steps": {}}), &[]; "nothing")]
    #[test_case(&json!({"steps": {"a": {"run": "x", "secrets": ["TOKEN"]}, "b": {"run": "echo ${params.x}", "needs": ["a"]}}}), &[]; "what leans on the project")]
    #[test_case(&json!({"steps": {"a": {"uses": "self/a"}}}), &[]; "a planner again")]
    #[test_case(&json!({"steps": {"a b": {"run": "x"}}}), &["P0105"]; "no name")]
    #[test_case(&json!({"steps": {"a": {"run": "x", "needs": ["b"]}}}), &["P0201"]; "a step that is not there")]
    #[test_case(&json!({"steps": {"a": {"run": "x", "needs": ["b"]}, "b": {"run": "x", "needs": ["a"]}}}), &["P0202"]; "a circle")]
    #[test_case(&json!({"steps": {"a": {"rnu": "x"}}}), &["P0107"]; "no key")]
    #[test_case(&json!({"steps": {"a": {"run": null}}}), &["P0317"]; "a null")]
    #[test_case(&json!({"stages": []}), &["P0317"]; "another thing")]
    fn a_plan_is_read_as_a_build_reads_it(answer: &Value, expected: &[&str]) {
        let mistakes = mistakes("odd", &answer.to_string());
        let codes: Vec<_> = mistakes.iter().map(|one| one.code.to_string()).collect();
        assert_eq!(codes, expected, "{mistakes:?}");
        for mistake in mistakes {
            assert!(
                mistake
                    .message
                    .starts_with("the plan of `odd` for step `planned`"),
                "{mistake:?}"
            );
        }
    }

    #[test]
    fn a_secret_with_a_control_character_in_its_name_is_named() {
        let answer = json!({"steps": {"a": {"run": "x", "secrets": ["A\u{7f}"]}}});
        let mistakes = mistakes("odd", &answer.to_string());
        let codes: Vec<_> = mistakes.iter().map(|one| one.code).collect();
        assert_eq!(codes, [codes::BAD_VARIABLE], "{mistakes:?}");
    }

    #[test]
    fn what_cannot_be_resolved_is_not_taken_for_what_can_be_built() {
        let source = Source {
            path: "piper.toml".into(),
            text: "[steps.other]\nrun = \"x\"\n".to_owned(),
        };
        let problems = plans(&Arc::new(source)).unwrap_err();
        let codes: Vec<_> = problems.iter().map(|one| one.code).collect();
        assert_eq!(codes, [codes::UNKNOWN_TARGET]);
    }

    #[test]
    fn every_character_comes_through_the_file() {
        let all: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        let text = format!("all = {}", in_toml(&json!(all)));
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["all"].as_str(), Some(all.as_str()));
    }
}
