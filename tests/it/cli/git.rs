//! What the project file asks git, and git cannot answer: a mistake in the file, with its place, and not one of piper's.

use crate::support::TestEnv;
use test_case::test_case;

const DESCRIBE: &str =
    "[project]\nversion = { git-describe = \"--tags\" }\n[steps]\na = 'echo $PIPER_VERSION'\n";

#[test]
fn a_version_of_a_project_in_no_repository_is_refused_at_its_place() {
    let env = TestEnv::new(DESCRIBE);
    let done = env.piper(&["exec", "a"]).exits(2).says("");
    done.complains("error[P0318]")
        .complains("piper.toml:2:11")
        .complains("in no git repository")
        .complains("git tag v0.1.0");
}

#[test]
fn a_version_without_a_commit_or_a_tag_is_refused_at_its_place() {
    let env = TestEnv::new(DESCRIBE);
    env.git(&["init", "-q"]);
    let refused = |env: &TestEnv| {
        let done = env.piper(&["exec", "a"]).exits(2).says("");
        done.complains("error[P0318]").complains("piper.toml:2:11")
    };
    refused(&env);
    env.commit_all();
    refused(&env).complains("--always");
    env.git(&["tag", "v7"]);
    env.piper(&["exec", "a"]).succeeds().says("v7\n");
}

#[test]
fn of_what_git_says_to_an_option_that_it_has_not_only_the_first_line_is_shown() {
    let env = TestEnv::new(&DESCRIBE.replace("--tags", "--nope"));
    env.commit_all();
    let done = env
        .piper(&["exec", "a"])
        .exits(2)
        .complains("unknown option");
    done.complains("`git describe --nope`").never_says("usage:");
}

#[test_case(false, "in no git repository"; "no repository")]
#[test_case(true, "asks git what changed: "; "no commit")]
fn paths_that_nobody_can_compare_are_refused_at_their_place(is_repository: bool, said: &str) {
    let env = TestEnv::new("[steps.docs]\nrun = 'true'\nwhen.paths = ['docs/**']\n");
    if is_repository {
        env.git(&["init", "-q"]);
    }
    let done = env.piper(&["exec", "docs"]).exits(2).complains(said);
    done.complains("error[P0318]").complains("piper.toml:3:14");
}

#[test]
fn a_git_that_is_not_installed_is_no_mistake_of_the_file() {
    let env = TestEnv::new(DESCRIBE);
    env.commit_all();
    let call = env.call(&["exec", "a"]).env("PATH", env.beside("tmp"));
    call.finish().exits(3).complains("could not run git");
}
