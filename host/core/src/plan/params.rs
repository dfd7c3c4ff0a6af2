//! The values of a build's parameters: what was given, else the default.

use super::{Request, Target};
use crate::{
    codes,
    id::ParamName,
    problem::Problem,
    project::{Param, Pipeline, Project},
    suggest::{closest, list},
};
use indexmap::IndexMap;
use std::collections::HashMap;

/// The parameters of a pipeline, or of a step that is run by its name: the project's first, and those of the pipeline in their
/// place or after them.
pub fn declared_params<'a>(
    project: &'a Project,
    pipeline: Option<&'a Pipeline>,
) -> IndexMap<&'a ParamName, &'a Param> {
    let own = pipeline.into_iter().flat_map(|pipeline| &pipeline.params);
    project.params.iter().chain(own).collect()
}

/// The value of every declared parameter.
pub(super) fn values(
    project: &Project,
    pipeline: Option<&Pipeline>,
    target: &Target,
    request: &Request,
    problems: &mut Vec<Problem>,
) -> IndexMap<ParamName, String> {
    let declared = declared_params(project, pipeline);
    let mut given = HashMap::new();
    for (word, value) in &request.params {
        if declared.keys().any(|name| name.as_str() == word) {
            // Most tools let the last one win. But here one of the two is often meant for something else, and nobody would see it.
            if given.insert(word.as_str(), value.as_str()).is_some() {
                problems.push(
                    Problem::error(
                        codes::PARAM_TWICE,
                        format!("parameter `{word}` is given twice"),
                    )
                    .help("give it one value"),
                );
            }
            continue;
        }
        let names = || declared.keys().map(|name| name.as_str());
        let mut problem = Problem::error(
            codes::UNKNOWN_PARAM,
            format!("`{}` has no parameter named `{word}`", target.name()),
        );
        let axes = pipeline.and_then(|pipeline| pipeline.matrix.as_ref());
        if axes.is_some_and(|matrix| matrix.axes.contains_key(word.as_str())) {
            problem = problem.help(format!(
                "`{word}` is an axis of its matrix: '{}[{word}={value}]' runs its cells of that value",
                target.name()
            ));
        }
        problem = match closest(word, names()) {
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None if names().len() == 0 => problem.help("it has no parameters at all; declare them in `[params]`, or in `params` of a pipeline"),
            None => problem.help(format!("its parameters are {}", list(names()))),
        };
        problems.push(problem);
    }
    let mut missing = Vec::new();
    let mut values = IndexMap::with_capacity(declared.len());
    for (name, param) in declared {
        let value = match given.get(name.as_str()) {
            Some(&value) => {
                if !param.choices.is_empty() && !param.choices.iter().any(|choice| choice == value)
                {
                    problems.push(not_a_choice(name, param, value));
                }
                value
            }
            None => param.default.as_deref().unwrap_or_else(|| {
                missing.push((name, param));
                // Nobody sees it: a missing value is a problem, and then there is no plan.
                ""
            }),
        };
        values.insert(name.clone(), value.to_owned());
    }
    if !missing.is_empty() {
        problems.push(required(&missing, target));
    }
    values
}

fn not_a_choice(name: &ParamName, param: &Param, value: &str) -> Problem {
    let problem = Problem::error(
        codes::NOT_A_CHOICE,
        format!("parameter `{name}` cannot be {value:?}"),
    );
    match closest(value, param.choices.iter().map(String::as_str)) {
        Some(choice) => problem.help(format!("did you mean `{name}={choice}`?")),
        None => problem,
    }
    .help(format!(
        "choices: {}",
        list(param.choices.iter().map(String::as_str))
    ))
}

fn required(missing: &[(&ParamName, &Param)], target: &Target) -> Problem {
    let names = list(missing.iter().map(|(name, _)| name.as_str()));
    let message = match missing {
        [_] => format!(
            "`{}` needs a value for its parameter {names}",
            target.name()
        ),
        _ => format!(
            "`{}` needs values for its parameters {names}",
            target.name()
        ),
    };
    let words: Vec<String> = missing
        .iter()
        .map(|(name, param)| match param.choices.as_slice() {
            [] => format!("{name}=…"),
            choices => format!("{name}={}", choices.join("|")),
        })
        .collect();
    Problem::error(codes::PARAM_REQUIRED, message).help(format!("add {}", words.join(" ")))
}
