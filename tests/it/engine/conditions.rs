//! Which steps run at all: `when`, fail-fast, keep-going, allow-failure.

use crate::support::TestEnv;
use test_case::test_case;

/// A failing step among others, each of which says its name.
const MIXED: &str = "[steps]
ok = 'echo ok'
bad = { run = 'echo bad; exit 1', needs = ['ok'] }
child = { run = 'echo child', needs = ['bad'] }
grandchild = { run = 'echo grandchild', needs = ['child'] }
other = { run = 'echo other', needs = ['ok'] }
rescue = { run = 'echo rescue', needs = ['bad'], when = 'failure' }
tidy = { run = 'echo tidy', needs = ['grandchild'], when = 'always' }
[pipelines]
build = { steps = ['ok', 'bad', 'child', 'grandchild', 'other', 'rescue', 'tidy'] }
";

#[test]
fn after_a_failure_only_failure_and_always_steps_begin() {
    let env = TestEnv::new(MIXED);
    let done = env.piper(&["exec", "-j1", "--output", "json"]).exits(1);
    let events = done.events();
    assert_eq!(events.began(), ["ok", "bad", "rescue", "tidy"]);
    for step in ["child", "grandchild", "other"] {
        assert_eq!(events.outcome(step), "skipped");
    }
    assert_eq!(events.step("child")["reason"], "bad failed");
    assert_eq!(events.end()["outcome"], "failed");
}

#[test]
fn keep_going_runs_what_does_not_depend_on_the_failed_step() {
    let env = TestEnv::new(MIXED);
    let done = env
        .piper(&["exec", "-j1", "--keep-going", "--output", "json"])
        .exits(1);
    let events = done.events();
    assert_eq!(events.began(), ["ok", "bad", "other", "rescue", "tidy"]);
    assert_eq!(events.outcome("grandchild"), "skipped");
}

#[test]
fn keep_going_is_also_a_key_of_the_pipeline() {
    let env = TestEnv::new(
        "[steps]\na = 'exit 1'\nb = { run = 'echo b', needs = [] }\n\
         [pipelines]\nbuild = { steps = ['a', 'b'], keep-going = true }\n",
    );
    env.piper(&["exec", "-j1"]).exits(1).says("b\n");
}

#[test]
fn a_running_neighbour_of_a_failed_step_may_finish() {
    let env = TestEnv::new(
        "[steps]\nbad = 'while [ ! -e begun ]; do sleep 0.005; done; exit 1'\n\
         long = ': > begun; sleep 0.1; echo finished'\nnever = 'echo never'\n\
         [pipelines]\nbuild = { steps = [['bad', 'long'], 'never'] }\n",
    );
    let done = env.piper(&["exec", "-j2"]).exits(1).never_says("│ never");
    assert!(done.out().contains("finished"));
}

#[test]
fn a_failure_step_does_not_run_where_all_went_well() {
    let env = TestEnv::new(
        "[steps]\na = 'echo a'\nb = { run = 'echo b', when = 'failure' }\nc = 'echo c'\n\
         [pipelines]\nbuild = { steps = ['a', 'b', 'c'] }\n",
    );
    env.piper(&["exec"])
        .succeeds()
        .says("a\nc\n")
        .complains("b skipped");
}

#[test]
fn an_allowed_failure_fails_neither_the_build_nor_what_waits_for_it() {
    let env = TestEnv::new(
        "[steps]\nlint = { run = 'exit 3', allow-failure = true }\nb = 'echo b'\n\
         rescue = { run = 'echo rescue', when = 'failure' }\n\
         [pipelines]\nbuild = { steps = ['lint', 'b', 'rescue'] }\n",
    );
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    let events = done.events();
    assert_eq!(events.began(), ["lint", "b"]);
    assert_eq!(
        (events.outcome("lint"), &events.step("lint")["allowed"]),
        ("failed", &true.into())
    );
    env.piper(&["exec"]).succeeds().complains("lint failed");
}

#[test]
fn a_failing_always_step_fails_the_build() {
    let env = TestEnv::new(
        "[steps]\na = 'echo a'\nb = { run = 'exit 4', when = 'always' }\n\
         [pipelines]\nbuild = { steps = ['a', 'b'] }\n",
    );
    env.piper(&["exec"]).exits(1).complains("b failed");
}

const TABLE: &str = "[steps]
on-main = { run = 'echo main', when = { branch = 'main' } }
on-release = { run = 'echo release', when = { branch = ['release/*', 'hotfix/*'] } }
pushed = { run = 'echo pushed', when = { event = 'push' } }
by-hand = { run = 'echo manual', when = { event = ['push', 'manual'] } }
docs = { run = 'echo docs', when = { paths = 'docs/**' } }
test-stage = { run = 'echo stage', when = { param = { stage = 'test' } } }
both = { run = 'echo both', when = { branch = 'main', param = { stage = ['test', 'prod'] } } }
after = 'echo after'
[pipelines.build]
steps = ['on-main', 'on-release', 'pushed', 'by-hand', 'docs', 'test-stage', 'both', 'after']
params.stage = { default = 'none' }
";

#[test]
fn a_condition_looks_at_branch_event_paths_and_parameters() {
    let env = TestEnv::new(TABLE);
    env.write("docs/a.md", "a");
    env.commit_all();
    env.write("src/b.c", "b");
    env.commit_all();
    env.piper(&["exec"])
        .succeeds()
        .says("main\nmanual\nafter\n")
        .complains("only on branch");
    env.write("docs/a.md", "changed");
    env.piper(&["exec", "stage=test"])
        .succeeds()
        .says("main\nmanual\ndocs\nstage\nboth\nafter\n");
    env.git(&["checkout", "--quiet", "-b", "release/1"]);
    env.piper(&["exec", "stage=prod"])
        .succeeds()
        .says("release\nmanual\ndocs\nafter\n");
    env.git(&["checkout", "--quiet", "--detach"]);
    env.piper(&["exec"])
        .succeeds()
        .says("manual\ndocs\nafter\n");
}

#[test]
fn a_condition_on_paths_without_a_repository_is_an_error_that_says_so() {
    let env = TestEnv::new(
        "[steps]\na = { run = 'echo a', when = { paths = 'docs/**' } }\n[pipelines]\nbuild = { steps = ['a'] }\n",
    );
    let done = env.piper(&["exec"]);
    assert_ne!(done.code, Some(0));
    done.complains("repository").says("");
}

#[test_case("success", "last\n"; "it counts as success")]
#[test_case("failure", ""; "a skipped need has not failed")]
#[test_case("always", "last\n"; "always needs nothing")]
fn what_was_skipped_for_its_own_reason_counts_as_done(when: &str, said: &str) {
    let env = TestEnv::new(&format!(
        "[steps]\nnot-here = {{ run = 'echo x', when = {{ param = {{ p = 'yes' }} }} }}\n\
         last = {{ run = 'echo last', needs = ['not-here'], when = '{when}' }}\n\
         [pipelines.build]\nsteps = ['not-here', 'last']\nparams.p = {{ default = 'no' }}\n"
    ));
    env.piper(&["exec"]).succeeds().says(said);
}
