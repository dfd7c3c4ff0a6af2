//! What a request becomes: tables for the rules, properties for any project.

use super::*;
use crate::{
    plugin::{Options, Uses},
    problem::Problem,
    project::{Action, Matrix, Param, Pipeline, Project, Slot, Step, Value},
};
use proptest::prelude::*;
use std::collections::HashSet;
use test_case::test_case;

/// A project in a few words: `"a b [c d] e"` is the list of the pipeline `build`, `needs` are added to its steps.
fn project(list: &str, needs: &[(&str, &[&str])]) -> Project {
    let mut project = Project::default();
    let mut slots = Vec::new();
    let mut group: Option<Vec<StepName>> = None;
    for word in list.split_whitespace() {
        let name = StepName::parse(word.trim_matches(['[', ']'])).unwrap();
        project
            .steps
            .insert(name.clone(), Step::new(Action::Run(format!("./{name}"))));
        if word.starts_with('[') {
            group = Some(Vec::new());
        }
        match &mut group {
            Some(members) => members.push(name),
            None => slots.push(Slot::One(name)),
        }
        if word.ends_with(']') {
            slots.extend(group.take().map(Slot::Group));
        }
    }
    for (name, needs) in needs {
        let needs = needs
            .iter()
            .map(|need| StepName::parse(need).unwrap())
            .collect();
        project.steps.get_mut(*name).unwrap().needs = Some(needs);
    }
    let pipeline = Pipeline {
        steps: slots,
        ..Pipeline::default()
    };
    project
        .pipelines
        .insert(PipelineName::parse("build").unwrap(), pipeline);
    project
}

fn matrix(axes: &[(&str, &[&str])]) -> Matrix {
    Matrix {
        axes: axes
            .iter()
            .map(|(axis, values)| {
                (
                    AxisName::parse(axis).unwrap(),
                    values.iter().map(|&value| value.to_owned()).collect(),
                )
            })
            .collect(),
        exclude: Vec::new(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn only(project: &Project, request: &Request) -> Plan {
    let mut plans = resolve(project, request, "folder").unwrap();
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

/// `a; b<a; c<a,b` says that b waits for a, and c for both.
fn order_of(plan: &Plan) -> String {
    let text = plan.steps.iter().map(|step| {
        let waits: Vec<&str> = step
            .waits_on()
            .map(|need| plan.steps[need.index()].label.as_str())
            .collect();
        match waits.as_slice() {
            [] => step.label.clone(),
            waits => format!("{}<{}", step.label, waits.join(",")),
        }
    });
    text.collect::<Vec<_>>().join("; ")
}

fn problems(project: &Project, request: &Request) -> String {
    let problems = resolve(project, request, "folder").unwrap_err();
    let text = |problem: &Problem| {
        let help: String = problem
            .help
            .iter()
            .map(|help| format!("\n  {help}"))
            .collect();
        format!("{}: {}{help}", problem.code, problem.message)
    };
    problems.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[test_case("a b c", &[], "a; b<a; c<a,b"; "a list is a sequence")]
#[test_case("a [b c] d", &[], "a; b<a; c<a; d<a,b,c"; "a group runs side by side")]
#[test_case("a b c", &[("c", &["a"])], "a; b<a; c<a"; "needs replace the list")]
#[test_case("a b c", &[("b", &[])], "a; b; c<a,b"; "empty needs start at once")]
#[test_case("a [b c] d", &[("c", &["b"])], "a; b<a; c<b; d<a,b,c"; "needs inside a group")]
#[test_case("a b c", &[("c", &["b", "a", "b"])], "a; b<a; c<a,b"; "a need named twice")]
fn order_is_explicit(list: &str, needs: &[(&str, &[&str])], expected: &str) {
    let project = project(list, needs);
    assert_eq!(order_of(&only(&project, &Request::default())), expected);
}

#[test]
fn a_step_by_its_name_brings_what_it_needs_in_the_order_of_the_file() {
    let project = project("z y a b c", &[("a", &["c"]), ("b", &["a", "y"])]);
    let request = Request {
        target: Some("b".into()),
        ..Request::default()
    };
    let plan = only(&project, &request);
    assert_eq!(order_of(&plan), "y; c; a<c; b<y,a");
    assert_eq!(plan.target, Target::Step(StepName::parse("b").unwrap()));
}

#[test_case(&["b"], None, "b"; "one alone")]
#[test_case(&["c", "a"], None, "a; c<a"; "order through one that is left out")]
#[test_case(&["e", "b"], None, "b; e<b"; "order of the list through a group")]
#[test_case(&[], Some("d"), "d; e<d"; "from a member of a group")]
#[test_case(&[], Some("b"), "b; c<b; d<b; e<b,c,d"; "from the middle")]
fn a_part_keeps_its_order(step: &[&str], from: Option<&str>, expected: &str) {
    let project = project("a b [c d] e", &[("c", &["b"]), ("b", &["a"])]);
    let request = Request {
        step: words(step),
        from_step: from.map(str::to_owned),
        ..Request::default()
    };
    let plan = only(&project, &request);
    assert_eq!(order_of(&plan), expected);
}

#[test]
fn a_step_whose_waits_are_all_left_out_says_that_it_is_alone() {
    let project = project("a b c", &[]);
    let request = Request {
        from_step: Some("b".into()),
        ..Request::default()
    };
    let orders: Vec<Order> = only(&project, &request)
        .steps
        .iter()
        .map(|step| step.order)
        .collect();
    assert_eq!(orders, [Order::Alone, Order::Listed]);
}

#[test]
fn who_needs_a_step_with_a_matrix_waits_for_all_its_cells() {
    let mut project = project("a unit z", &[("z", &["unit"])]);
    let mut cells = matrix(&[("os", &["a", "b"]), ("rust-v", &["1.80", "1.95"])]);
    let excluded = [("os", "b"), ("rust-v", "1.80")]
        .map(|(axis, value)| (AxisName::parse(axis).unwrap(), value.to_owned()));
    cells.exclude.push(excluded.into_iter().collect());
    let unit = project.steps.get_mut("unit").unwrap();
    unit.matrix = Some(cells);
    unit.action = Action::Argv(vec![
        Value::Text("t".into()),
        Value::Matrix(AxisName::parse("rust-v").unwrap()),
    ]);
    let plan = only(&project, &Request::default());
    assert_eq!(
        order_of(&plan),
        "a; unit[os=a,rust-v=1.80]<a; unit[os=a,rust-v=1.95]<a; unit[os=b,rust-v=1.95]<a; \
         z<unit[os=a,rust-v=1.80],unit[os=a,rust-v=1.95],unit[os=b,rust-v=1.95]"
    );
    assert_eq!(
        plan.steps[1].env,
        [("PIPER_MATRIX_OS", "a"), ("PIPER_MATRIX_RUST_V", "1.80")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(plan.steps[3].command, Command::Argv(words(&["t", "1.95"])));

    let request = Request {
        step: words(&["unit[os=b,rust-v=1.95]"]),
        args: words(&["x y"]),
        ..Request::default()
    };
    let plan = only(&project, &request);
    assert_eq!(order_of(&plan), "unit[os=b,rust-v=1.95]");
    assert_eq!(
        plan.steps[0].command,
        Command::Argv(words(&["t", "1.95", "x y"]))
    );
}

#[test]
fn a_pipeline_with_a_matrix_is_one_plan_a_cell() {
    let mut project = project("a b", &[]);
    project.pipelines[0].matrix = Some(matrix(&[("x", &["1", "2"])]));
    let plans = resolve(&project, &Request::default(), "folder").unwrap();
    let cells: Vec<String> = plans.iter().map(|plan| cell_text(&plan.cell)).collect();
    assert_eq!(cells, ["x=1", "x=2"]);
    let variable = ("PIPER_MATRIX_X".to_owned(), "2".to_owned());
    assert!(
        plans[1]
            .steps
            .iter()
            .all(|step| step.env == [variable.clone()])
    );
}

#[test]
fn the_nearest_setting_wins_and_variables_add_up() {
    let mut project = project("a", &[]);
    let set = |settings: &mut crate::project::Settings, env: &[(&str, &str)], shell: &str| {
        for (name, value) in env {
            settings
                .env
                .insert((*name).to_owned(), Value::Text((*value).to_owned()));
        }
        settings.shell = (!shell.is_empty()).then(|| words(&[shell, "-c"]));
        settings
            .pass_env
            .push(EnvPattern::Name(format!("P{}", env.len())));
    };
    set(
        &mut project.settings,
        &[("A", "p"), ("B", "p"), ("C", "p")],
        "bash",
    );
    set(
        &mut project.pipelines[0].settings,
        &[("B", "l"), ("C", "l")],
        "dash",
    );
    set(&mut project.steps[0].settings, &[("C", "s")], "");
    project.pipelines[0].settings.color = Some(false);
    let step = only(&project, &Request::default()).steps.remove(0);
    assert_eq!(
        step.env,
        [("A", "p"), ("B", "l"), ("C", "s")].map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    assert_eq!(step.pass_env.len(), 3);
    assert!(!step.color);
    assert!(matches!(step.command, Command::Script { shell, .. } if shell == ["dash", "-c"]));
}

#[test]
fn parameters_come_from_the_pipeline_then_the_project_and_are_values() {
    let mut project = project("a", &[]);
    let param = |name: &str, default: Option<&str>| {
        let param = Param {
            default: default.map(str::to_owned),
            ..Param::default()
        };
        (ParamName::parse(name).unwrap(), param)
    };
    project
        .params
        .extend([param("x", Some("project")), param("y", Some("y"))]);
    project.pipelines[0]
        .params
        .extend([param("x", Some("pipeline")), param("z", None)]);
    project.steps[0].action = Action::Argv(vec![Value::Param(ParamName::parse("z").unwrap())]);
    let request = Request {
        params: vec![("z".into(), "$(rm -rf /)".into())],
        ..Request::default()
    };
    let plan = only(&project, &request);
    let values: Vec<(&str, &str)> = plan
        .params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        values,
        [("x", "pipeline"), ("y", "y"), ("z", "$(rm -rf /)")]
    );
    assert_eq!(
        plan.steps[0].command,
        Command::Argv(words(&["$(rm -rf /)"]))
    );
}

#[test]
fn all_that_is_wrong_with_a_request_is_said_at_once() {
    let mut project = project("fmt compile [unit lint]", &[]);
    let pipeline = &mut project.pipelines[0];
    let choices = Param {
        default: Some("debug".into()),
        choices: words(&["debug", "release"]),
        about: None,
    };
    pipeline
        .params
        .insert(ParamName::parse("profile").unwrap(), choices.clone());
    pipeline
        .params
        .insert(ParamName::parse("tag").unwrap(), Param::default());
    let required = Param {
        default: None,
        ..choices
    };
    pipeline
        .params
        .insert(ParamName::parse("level").unwrap(), required);
    let request = Request {
        environment: Some("claen".into()),
        params: vec![
            ("profil".into(), "x".into()),
            ("profile".into(), "debug".into()),
            ("profile".into(), "relase".into()),
        ],
        step: words(&["unti"]),
        from_step: Some("deploy".into()),
        ..Request::default()
    };
    insta::assert_snapshot!(problems(&project, &request), @r#"
    P0302: no environment is named `claen`
      did you mean `clean`?
      environments: `local`, `clean`
    P0303: `build` has no parameter named `profil`
      did you mean `profile`?
    P0319: parameter `profile` is given twice
      give it one value
    P0305: parameter `profile` cannot be "relase"
      did you mean `profile=release`?
      choices: `debug`, `release`
    P0304: `build` needs values for its parameters `tag`, `level`
      add tag=… level=debug|release
    P0312: `build` has no step named `unti`
      did you mean `unit`?
    P0312: `build` has no step named `deploy`
      its steps are `fmt`, `compile`, `unit`, `lint`
    "#);
}

#[test]
fn a_step_of_a_planner_is_not_chosen_as_a_target() {
    let mut project = project("members unit", &[]);
    project.pipelines.clear();
    let planner = Uses::parse("planner").unwrap();
    project.steps["members"].action = Action::Plugin(planner, Options::default());
    let named = |target: &str| Request {
        target: Some(target.into()),
        ..Request::default()
    };
    insta::assert_snapshot!(problems(&project, &named("members/a")), @r"
    P0301: no pipeline or step is named `members/a`
      a step that `members` plans is chosen by `--step members/a`
      steps: `members`, `unit`
    ");
    let plain = problems(&project, &named("unit/a"));
    assert!(!plain.contains("--step"), "{plain}");
}

#[test]
fn an_unknown_name_gets_a_suggestion_and_the_names() {
    let project = project("fmt unit", &[]);
    let request = Request {
        target: Some("buidl".into()),
        ..Request::default()
    };
    insta::assert_snapshot!(problems(&project, &request), @r"
    P0301: no pipeline or step is named `buidl`
      did you mean `build`?
      pipelines: `build`
      steps: `fmt`, `unit`
    ");
}

#[test]
fn without_a_name_and_without_build_what_there_is_is_said() {
    let mut project = project("fmt unit", &[]);
    project.pipelines.clear();
    insta::assert_snapshot!(problems(&project, &Request::default()), @r"
    P0301: nothing was named, and no pipeline or step is named `build`
      steps: `fmt`, `unit`
      say which, as in `piper exec fmt`
    ");
    insta::assert_snapshot!(problems(&Project::default(), &Request::default()), @r#"
    P0301: nothing was named, and no pipeline or step is named `build`
      `piper.toml` declares no pipeline and no step yet: `[steps]` with `hello = "echo hello"` is enough
    "#);
}

#[test]
fn arguments_go_to_the_last_step_and_never_to_several() {
    let mut sequence = project("a b", &[]);
    let request = Request {
        args: words(&["--x", "y z"]),
        ..Request::default()
    };
    let plan = only(&sequence, &request);
    assert!(plan.steps[1].command.ignores_its_arguments());
    assert_eq!(
        plan.steps[1].command.argv(),
        ["sh", "-euc", "./b", "sh", "--x", "y z"]
    );
    assert_eq!(plan.steps[0].command.argv(), ["sh", "-euc", "./a"]);
    sequence.steps[1].action = Action::Run("./b \"$@\"".into());
    assert!(
        !only(&sequence, &request).steps[1]
            .command
            .ignores_its_arguments()
    );

    insta::assert_snapshot!(problems(&project("a [b c]", &[]), &request), @r"
    P0313: which step gets the arguments after `--`? `build` ends with 2 steps side by side
      they are `b`, `c`
      run one of them alone: `piper exec build --step 'b' -- …`
    ");
}

#[test]
fn a_reference_that_only_a_pipeline_can_resolve_says_which() {
    let mut project = project("a b", &[]);
    project.pipelines[0].params.insert(
        ParamName::parse("profile").unwrap(),
        Param {
            default: Some("x".into()),
            ..Param::default()
        },
    );
    project.steps[0].action =
        Action::Argv(vec![Value::Param(ParamName::parse("profile").unwrap())]);
    let request = Request {
        target: Some("a".into()),
        ..Request::default()
    };
    insta::assert_snapshot!(problems(&project, &request), @r"
    P0206: step `a` refers to the parameter `profile`, which `a` does not have
      run it as part of a pipeline that has it: `piper exec build --step a`
    ");
}

fn two_by_two() -> Project {
    let mut project = project("a unit", &[("unit", &["a"])]);
    let axes = matrix(&[("os", &["linux", "mac"]), ("rust", &["1.80", "1.95"])]);
    project.steps[1].matrix = Some(axes.clone());
    let cross = Pipeline {
        matrix: Some(axes),
        steps: vec![Slot::One(StepName::parse("a").unwrap())],
        ..Pipeline::default()
    };
    project
        .pipelines
        .insert(PipelineName::parse("cross").unwrap(), cross);
    project
}

#[test_case("unit[rust=1.80,os=mac]", &["a; unit[os=mac,rust=1.80]<a"]; "one cell of a step, in any order of its axes")]
#[test_case("unit[os=linux]", &["a; unit[os=linux,rust=1.80]<a; unit[os=linux,rust=1.95]<a"]; "all cells of a step with a value")]
#[test_case("cross[os=mac,rust=1.80]", &["os=mac,rust=1.80 a"]; "one cell of a pipeline")]
#[test_case("cross[rust=1.80]", &["os=linux,rust=1.80 a", "os=mac,rust=1.80 a"]; "all cells of a pipeline with a value")]
fn cells_of_the_target_can_be_named(target: &str, expected: &[&str]) {
    let request = Request {
        target: Some(target.to_owned()),
        ..Request::default()
    };
    let plans = resolve(&two_by_two(), &request, "folder").unwrap();
    let shown = plans.iter().map(|plan| {
        format!("{} {}", cell_text(&plan.cell), order_of(plan))
            .trim()
            .to_owned()
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn arguments_reach_the_only_cell_that_is_left() {
    let request = Request {
        target: Some("unit[os=mac,rust=1.80]".into()),
        args: words(&["x"]),
        ..Request::default()
    };
    let plan = only(&two_by_two(), &request);
    assert_eq!(*plan.steps[1].command.argv().last().unwrap(), "x");
}

#[test]
fn a_cell_that_does_not_exist_is_said_with_those_that_do() {
    let said = ["unit[os=bsd]", "cross[rust]", "a[os=mac]", "unti[os=mac]"].map(|target| {
        let request = Request {
            target: Some(target.into()),
            ..Request::default()
        };
        problems(&two_by_two(), &request)
    });
    insta::assert_snapshot!(said.join("\n"), @"
    P0301: `unit` has no cell `os=bsd`
      its cells are `os=linux,rust=1.80`, `os=linux,rust=1.95`, `os=mac,rust=1.80`, `os=mac,rust=1.95`
    P0301: `cross` has no cell `rust`
      its cells are `os=linux,rust=1.80`, `os=linux,rust=1.95`, `os=mac,rust=1.80`, `os=mac,rust=1.95`
    P0301: `a` has no cell `os=mac`
      it has no matrix: `piper exec a` runs it
    P0301: no pipeline or step is named `unti`
      did you mean `unit`?
      pipelines: `build`, `cross`
      steps: `a`, `unit`
    ");
    let request = Request {
        target: Some("cross".into()),
        params: vec![("os".into(), "mac".into())],
        ..Request::default()
    };
    insta::assert_snapshot!(problems(&two_by_two(), &request), @"
    P0303: `cross` has no parameter named `os`
      `os` is an axis of its matrix: 'cross[os=mac]' runs its cells of that value
      it has no parameters at all; declare them in `[params]`, or in `params` of a pipeline
    ");
}

#[test]
fn a_matrix_without_a_cell_or_with_too_many_is_refused() {
    let mut project = project("a", &[]);
    let ten: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    project.steps[0].matrix = Some(matrix(&[("a", ten), ("b", ten), ("c", ten), ("d", ten)]));
    let mut none = matrix(&[("x", &["1"])]);
    none.exclude
        .push([(AxisName::parse("x").unwrap(), "1".to_owned())].into());
    insta::assert_snapshot!(problems(&project, &Request::default()), @r"
    P0119: the matrix of step `a` has more than 1000 cells
      take values or axes away
    ");
    project.pipelines[0].matrix = Some(none);
    insta::assert_snapshot!(problems(&project, &Request::default()), @r"
    P0120: the matrix of pipeline `build` has no cell left
      its `exclude` leaves nothing to run
    ");
}

#[test]
fn a_list_of_100_000_steps_has_no_edges() {
    let mut project = Project::default();
    let names: Vec<StepName> = (0..100_000)
        .map(|n| StepName::parse(&format!("s{n}")).unwrap())
        .collect();
    for name in &names {
        project
            .steps
            .insert(name.clone(), Step::new(Action::Run("true".into())));
    }
    let pipeline = Pipeline {
        steps: names.iter().cloned().map(Slot::One).collect(),
        ..Pipeline::default()
    };
    project
        .pipelines
        .insert(PipelineName::parse("build").unwrap(), pipeline);
    let plan = only(&project, &Request::default());
    assert!(plan.steps.iter().all(|step| step.waits_for.is_empty()));
    assert_eq!(plan.steps[99_999].waits_on().count(), 99_999);
}

#[test]
fn a_chain_of_100_000_needs_does_not_exhaust_the_stack() {
    let mut project = Project::default();
    let name = |n: u32| StepName::parse(&format!("s{n}")).unwrap();
    for n in 0..100_000 {
        let mut step = Step::new(Action::Run("true".into()));
        step.needs = Some((n < 99_999).then(|| name(n + 1)).into_iter().collect());
        project.steps.insert(name(n), step);
    }
    let request = Request {
        target: Some("s0".into()),
        ..Request::default()
    };
    let plan = only(&project, &request);
    assert_eq!(plan.steps[0].label, "s99999");
    assert_eq!(plan.steps[99_999].waits_for, [StepIx(99_998)]);
}

#[test_case("a b", "x=a%20b"; "space")]
#[test_case("1,y=2", "x=1%2Cy%3D2"; "separators")]
#[test_case("é]\u{1b}[0m", "x=%C3%A9%5D%1B%5B0m"; "control characters")]
#[test_case("linux/amd64", "x=linux/amd64"; "plain")]
fn a_cell_is_printable(value: &str, expected: &str) {
    assert_eq!(
        cell_text(&vec![(AxisName::parse("x").unwrap(), value.to_owned())]),
        expected
    );
}

/// Any project whose needs point to steps that are listed earlier, which is what the loader lets through.
fn any_project() -> impl Strategy<Value = Project> {
    let step = (
        proptest::option::of(proptest::collection::vec(
            any::<prop::sample::Index>(),
            0..4,
        )),
        0..4_usize,
        any::<bool>(),
    );
    proptest::collection::vec(step, 1..20).prop_map(|drawn| {
        let mut project = Project::default();
        let mut slots: Vec<Slot> = Vec::new();
        for (place, (needs, cells, joins_group)) in drawn.into_iter().enumerate() {
            let name = StepName::parse(&format!("s{place}")).unwrap();
            let mut step = Step::new(Action::Run("true".into()));
            step.needs = needs.map(|needs| {
                let earlier = needs.iter().filter(|_| place > 0);
                earlier
                    .map(|need| StepName::parse(&format!("s{}", need.index(place.max(1)))).unwrap())
                    .collect()
            });
            if cells > 0 {
                let values: Vec<String> = (0..cells).map(|cell| format!("v{cell}")).collect();
                let axes = [(AxisName::parse("x").unwrap(), values)];
                step.matrix = Some(Matrix {
                    axes: axes.into(),
                    exclude: Vec::new(),
                });
            }
            project.steps.insert(name.clone(), step);
            match slots.last_mut() {
                Some(Slot::Group(members)) if joins_group => members.push(name),
                _ if joins_group => slots.push(Slot::Group(vec![name])),
                _ => slots.push(Slot::One(name)),
            }
        }
        let pipeline = Pipeline {
            steps: slots,
            ..Pipeline::default()
        };
        project
            .pipelines
            .insert(PipelineName::parse("build").unwrap(), pipeline);
        project
    })
}

/// For each label, the labels of all that must be done before, directly or not.
fn before(plan: &Plan) -> Vec<(String, HashSet<String>)> {
    let mut all: Vec<(String, HashSet<String>)> = Vec::new();
    for (place, step) in plan.steps.iter().enumerate() {
        let mut own = HashSet::new();
        for need in step.waits_on() {
            assert!(
                need.index() < place,
                "{} waits for a later step",
                step.label
            );
            let (label, theirs) = &all[need.index()];
            own.insert(label.clone());
            own.extend(theirs.iter().cloned());
        }
        all.push((step.label.clone(), own));
    }
    all
}

proptest! {
    #[test]
    fn each_step_comes_after_all_that_it_waits_for(project in any_project(), target in any::<prop::sample::Index>()) {
        let plan = only(&project, &Request::default());
        let labels: HashSet<&str> = plan.steps.iter().map(|step| step.label.as_str()).collect();
        prop_assert_eq!(labels.len(), plan.steps.len());
        before(&plan);
        let name = project.steps.get_index(target.index(project.steps.len())).unwrap().0;
        let request = Request { target: Some(name.to_string()), ..Request::default() };
        before(&only(&project, &request));
    }

    #[test]
    fn a_part_has_the_steps_asked_for_in_the_same_order(
        project in any_project(),
        chosen in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        from in any::<bool>(),
    ) {
        let whole = only(&project, &Request::default());
        let names: Vec<String> = chosen.iter().map(|c| whole.steps[c.index(whole.steps.len())].label.clone()).collect();
        let request = match from {
            true => Request { from_step: Some(names[0].clone()), ..Request::default() },
            false => Request { step: names.clone(), ..Request::default() },
        };
        let part = only(&project, &request);
        let kept: HashSet<String> = part.steps.iter().map(|step| step.label.clone()).collect();
        let asked: HashSet<String> = match from {
            true => whole.steps.iter().skip_while(|step| step.label != names[0]).map(|step| step.label.clone()).collect(),
            false => names.into_iter().collect(),
        };
        prop_assert_eq!(&kept, &asked);
        // Who waited for whom in the whole, directly or not, still does.
        let whole: Vec<(String, HashSet<String>)> = before(&whole)
            .into_iter()
            .filter(|(label, _)| kept.contains(label))
            .map(|(label, waits)| (label, waits.intersection(&kept).cloned().collect()))
            .collect();
        prop_assert_eq!(before(&part), whole);
    }

    #[test]
    fn there_are_as_many_cells_as_the_product_less_the_excluded(
        a in 1..5_usize, b in 1..5_usize, excluded in proptest::collection::hash_set((0..5_usize, 0..5_usize), 0..6),
    ) {
        let names = ["0", "1", "2", "3", "4"];
        let mut cells = matrix(&[("a", &names[..a]), ("b", &names[..b])]);
        for &(x, y) in &excluded {
            cells.exclude.push([("a", x), ("b", y)].map(|(axis, n)| (AxisName::parse(axis).unwrap(), names[n].to_owned())).into());
        }
        let gone = excluded.iter().filter(|&&(x, y)| x < a && y < b).count();
        let mut project = project("s", &[]);
        project.steps[0].matrix = Some(cells);
        match resolve(&project, &Request::default(), "x") {
            Ok(plans) => prop_assert_eq!(plans[0].steps.len(), a * b - gone),
            Err(_) => prop_assert_eq!(gone, a * b),
        }
    }

    #[test]
    fn different_cells_have_different_printable_labels(a in any::<(String, String)>(), b in any::<(String, String)>()) {
        let cell = |(x, y): &(String, String)| cell_text(&vec![
            (AxisName::parse("x").unwrap(), x.clone()),
            (AxisName::parse("y").unwrap(), y.clone()),
        ]);
        prop_assert_eq!(a == b, cell(&a) == cell(&b));
        prop_assert!(cell(&a).bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
