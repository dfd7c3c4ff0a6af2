//! Which step runs when.

use crate::support::{Call, Finished, TestEnv};
use test_case::test_case;

/// A step that ends only when the other one runs, too: what cannot be done one after the other.
const MEET: &str = "#!/bin/sh\n: > met.$1\nwhile [ ! -e met.$2 ]; do sleep 0.005; done\n";

/// A step that fails if another one that does the same runs at the same time.
const ALONE: &str = "#!/bin/sh\nmkdir busy\nsleep 0.02\nrmdir busy\necho $1 >> order\n";

fn with_programs(file: &str) -> TestEnv {
    let env = TestEnv::new(file);
    env.program("meet", MEET);
    env.program("alone", ALONE);
    env
}

#[test]
fn a_plain_list_is_a_plain_sequence_on_any_number_of_cores() {
    let steps: Vec<(String, String)> = (0..8)
        .map(|n| (format!("s{n}"), format!("./alone s{n}")))
        .collect();
    let steps: Vec<(&str, &str)> = steps
        .iter()
        .map(|(n, s)| (n.as_str(), s.as_str()))
        .collect();
    let env = TestEnv::sequence(&steps);
    env.program("alone", ALONE);
    env.piper(&["exec", "-j8"]).succeeds();
    assert_eq!(
        env.words("order"),
        ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"]
    );
}

#[test]
fn an_inner_list_runs_side_by_side_and_what_follows_waits_for_all_of_it() {
    let env = with_programs(
        "[steps]\na = './meet a b'\nb = './meet b a'\nc = 'test -e met.a && test -e met.b'\n\
         [pipelines]\nbuild = { steps = [['a', 'b'], 'c'] }\n",
    );
    env.piper(&["exec", "-j2"]).succeeds();
}

#[test]
fn a_group_on_one_core_runs_one_after_the_other_and_in_the_order_of_the_file() {
    let env = with_programs(
        "[steps]\na = './alone a'\nb = './alone b'\nc = './alone c'\n\
         [pipelines]\nbuild = { steps = [['a', 'b', 'c']] }\n",
    );
    env.piper(&["exec", "-j1"]).succeeds();
    assert_eq!(env.words("order"), ["a", "b", "c"]);
}

#[test]
fn a_step_with_its_own_needs_does_not_wait_for_the_rest_of_the_list() {
    // `late` could not meet `slow`, which is listed before it, if it waited for it.
    let env = with_programs(
        "[steps]\nfirst = 'echo first >> order'\nslow = './meet slow late'\n\
         late = { run = './meet late slow', needs = ['first'] }\n\
         [pipelines]\nbuild = { steps = ['first', 'slow', 'late'] }\n",
    );
    env.piper(&["exec", "-j2"]).succeeds();
}

#[test]
fn a_step_that_needs_nothing_starts_at_once() {
    let env = with_programs(
        "[steps]\nlong = './meet long now'\nnow = { run = './meet now long', needs = [] }\n\
         [pipelines]\nbuild = { steps = ['long', 'now'] }\n",
    );
    env.piper(&["exec", "-j2"]).succeeds();
}

#[test]
fn a_diamond_joins_only_when_both_sides_are_done() {
    let env = with_programs(
        "[steps]\ntop = 'echo top >> order'\n\
         left = { run = './meet left right; echo side >> order', needs = ['top'] }\n\
         right = { run = './meet right left; echo side >> order', needs = ['top'] }\n\
         bottom = { run = 'echo bottom >> order', needs = ['left', 'right'] }\n\
         [pipelines]\nbuild = { steps = ['top', 'left', 'right', 'bottom'] }\n",
    );
    env.piper(&["exec", "-j2"]).succeeds();
    assert_eq!(env.words("order"), ["top", "side", "side", "bottom"]);
}

#[test]
fn a_step_that_takes_all_cores_runs_alone() {
    let env = with_programs(
        "[steps]\na = './alone a'\nbig = { run = './alone big', cpus = 4 }\nc = { run = './alone c', cpus = 3 }\n\
         [pipelines]\nbuild = { steps = [['a', 'big', 'c']] }\n",
    );
    // `a` and `c` fit side by side in four, so only three may be had here for the test to say something about `cpus`.
    env.piper(&["exec", "-j3"]).succeeds();
    assert_eq!(
        env.words("order").len(),
        3,
        "a step larger than the machine runs all the same"
    );
}

#[test]
fn every_cell_of_a_step_runs_with_its_own_variables_and_who_needs_the_step_waits_for_all() {
    let env = TestEnv::new(
        "[steps]\ncell = { run = 'echo $PIPER_MATRIX_OS-$PIPER_MATRIX_N >> cells', matrix = { os = ['a', 'b'], n = [1, 2], exclude = [{ os = 'b', n = 2 }] } }\n\
         after = { run = 'wc -l < cells', needs = ['cell'] }\n\
         [pipelines]\nbuild = { steps = ['cell', 'after'] }\n",
    );
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    let mut cells = env.words("cells");
    cells.sort();
    assert_eq!(cells, ["a-1", "a-2", "b-1"]);
    let events = done.events();
    assert_eq!(events.printed("after"), ["3"]);
    assert_eq!(events.outcome("cell[os=a,n=1]"), "succeeded");
}

#[test]
fn a_matrix_of_the_pipeline_is_one_build_a_cell_one_after_the_other() {
    let env = TestEnv::new(
        "[steps]\nsay = 'echo $PIPER_MATRIX_RUST $PIPER_BUILD'\n\
         [pipelines.build]\nsteps = ['say']\nmatrix = { rust = ['1.80', '1.95'] }\n",
    );
    let done = env.piper(&["exec"]).succeeds();
    let lines = done.lines();
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    assert_eq!((words[0][0], words[1][0]), ("1.80", "1.95"));
    assert_ne!(words[0][1], words[1][1]);
    assert_eq!(env.records().len(), 2);
}

#[test]
fn the_first_failed_cell_of_a_pipeline_ends_the_row_unless_it_is_to_keep_going() {
    let env = TestEnv::new(
        "[steps]\nsay = 'echo $PIPER_MATRIX_N; exit $PIPER_MATRIX_N'\n\
         [pipelines.build]\nsteps = ['say']\nmatrix = { n = [1, 0] }\n",
    );
    env.piper(&["exec"]).exits(1).says("1\n");
    env.piper(&["exec", "--keep-going"]).exits(1).says("1\n0\n");
}

#[test]
fn step_runs_one_step_alone_and_from_step_all_that_follow() {
    let env = TestEnv::sequence(&[("a", "echo a"), ("b", "echo b"), ("c", "echo c")]);
    env.piper(&["exec", "--step", "b"]).succeeds().says("b\n");
    env.piper(&["exec", "--step", "c", "--step", "a"])
        .succeeds()
        .says("a\nc\n");
    env.piper(&["exec", "--from-step", "b"])
        .succeeds()
        .says("b\nc\n");
}

#[test]
fn a_step_by_its_name_runs_with_what_it_needs() {
    let env = TestEnv::new(
        "[steps]\na = 'echo a'\nb = { run = 'echo b', needs = ['a'] }\nc = { run = 'echo c', needs = ['b'] }\nd = 'echo d'\n",
    );
    env.piper(&["exec", "c"]).succeeds().says("a\nb\nc\n");
    env.piper(&["exec", "d"]).succeeds().says("d\n");
}

#[test_case("run = '''printf '<%s>' \"$@\"'''"; "of a script")]
#[test_case("argv = ['printf', '<%s>']"; "of an argv")]
fn arguments_reach_the_step_as_they_are(command: &str) {
    let env = TestEnv::new(&format!("[steps.say]\n{command}\n"));
    let args = [
        "exec", "say", "--", "a b", "", "$HOME", "`id`", "*", "--step", "'\"\\",
    ];
    let said = "<a b><><$HOME><`id`><*><--step><'\"\\>";
    let done = env.piper(&args).succeeds();
    assert_eq!(done.out().trim_end_matches('\n'), said);
}

#[test]
fn arguments_go_to_the_last_step_of_a_pipeline_and_a_script_that_ignores_them_is_named() {
    let env = TestEnv::sequence(&[("a", "echo \"a $#\""), ("b", "echo \"b $#\"")]);
    env.piper(&["exec", "build", "--", "x", "y"])
        .succeeds()
        .says("a 0\nb 2\n");
    let env = TestEnv::sequence(&[("deaf", "echo deaf")]);
    env.piper(&["exec", "deaf", "--", "x"])
        .succeeds()
        .complains("does not use \"$@\"");
}

#[test]
fn five_hundred_steps_of_twenty_layers_run_each_once_and_layer_by_layer() {
    let mut file = "[steps]\n".to_owned();
    let mut layers = Vec::new();
    for layer in 0..20 {
        let names: Vec<String> = (0..25).map(|n| format!("s{layer}-{n}")).collect();
        for name in &names {
            file += &format!("{name} = 'echo {layer} >> order'\n");
        }
        layers.push(format!("{names:?}"));
    }
    let env = TestEnv::new(&format!(
        "{file}[pipelines]\nbuild = {{ steps = [{}] }}\n",
        layers.join(",")
    ));
    env.piper(&["exec", "-q", "-j4"]).succeeds().says("");
    let order: Vec<u32> = env
        .words("order")
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(order.len(), 500);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_step_asked_for_alone_needs_no_pipeline_named_build() {
    let env = TestEnv::new(
        "[steps]\nother = 'echo other'\nmx = { run = 'echo $PIPER_MATRIX_A', matrix = { a = [1, 2] } }\n",
    );
    env.piper(&["exec", "--step", "other"])
        .succeeds()
        .says("other\n");
    env.piper(&["exec", "--step", "mx[a=2]"])
        .succeeds()
        .says("2\n");
}

#[test]
fn cells_of_a_matrix_can_be_run_alone() {
    let env = TestEnv::new(
        "[steps]\nfirst = 'echo first'\n\
         unit = { run = 'echo $PIPER_MATRIX_N', needs = ['first'], matrix = { n = [1, 2] } }\n\
         [pipelines.cross]\nsteps = ['first']\nmatrix = { os = ['linux', 'mac'], n = [1, 2] }\n",
    );
    env.piper(&["exec", "unit[n=2]"])
        .succeeds()
        .says("first\n2\n");
    env.piper(&["exec", "cross[n=1,os=mac]"])
        .succeeds()
        .says("first\n");
    env.piper(&["exec", "cross[n=1]"])
        .succeeds()
        .says("first\nfirst\n");
    env.piper(&["exec", "cross[n=3]"])
        .exits(2)
        .complains("its cells are `os=linux,n=1`");
}

/// What comes of 40 steps side by side that say how many files they may have open.
fn with_so_few_files(limit: &str) -> Finished {
    let mut file = "[steps]\n".to_owned();
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    for name in &names {
        file += &format!("{name} = 'sleep 0.3; ulimit -n'\n");
    }
    let env = TestEnv::new(&format!(
        "{file}[pipelines]\nbuild = {{ steps = [{names:?}] }}\n"
    ));
    let piper = env!("CARGO_BIN_EXE_piper");
    let script = format!("ulimit {limit}; {piper} exec -j40 --output json");
    let call = Call::of(&env, "/bin/sh".as_ref()).args(&["-c", &script]);
    call.finish().succeeds()
}

#[test]
fn more_steps_run_at_once_than_the_caller_may_have_files_open_and_have_the_caller_s_limit() {
    let done = with_so_few_files("-S -n 70");
    let events = done.events();
    let logged = events.of("log");
    let limits: Vec<&str> = logged
        .iter()
        .filter_map(|log| log["text"].as_str())
        .collect();
    assert_eq!(limits, ["70"; 40]);
    assert!(!done.err().contains("at once"), "{}", done.err());
}

#[test]
fn fewer_steps_run_at_once_where_no_more_files_may_be_open() {
    with_so_few_files("-n 80").complains("at most 3 steps run at once");
}
