//! The builds of the past: how they are found, and what keeps them.

use crate::support::{TestEnv, wait_until};
use std::{collections::HashSet, fs};

fn id(env: &TestEnv, args: &[&str]) -> String {
    let done = env.piper(args);
    let events = done.events();
    events.end()["build"].as_str().unwrap().to_owned()
}

const TWO: &str = "[steps]
good = 'echo good'
bad = 'echo bad; exit 1'
[pipelines]
build = { steps = ['good'] }
broken = { steps = ['good', 'bad'] }
";

#[test]
fn a_build_is_found_by_every_kind_of_address() {
    let env = TestEnv::new(TWO);
    let first = id(&env, &["exec", "--output", "json"]);
    let broken = id(&env, &["exec", "broken", "--output", "json"]);
    let last = id(&env, &["exec", "good", "--output", "json"]);
    let shows = |address: &str, build: &str| {
        let done = env.piper(&["show", address]).succeeds();
        assert!(done.out().contains(build), "{address}: {}", done.out());
    };
    shows("@", &last);
    shows("@good", &last);
    shows("@build", &first);
    shows("@broken", &broken);
    shows("@failed", &broken);
    shows(&broken, &broken);
    shows(&broken[..7], &broken);
    env.piper(&["logs", &format!("{}/bad", &broken[..8])])
        .succeeds()
        .says("bad\n");
    env.piper(&["logs", "@failed/bad#1"])
        .succeeds()
        .says("bad\n");
    env.piper(&["show", "@nothing"]).exits(2);
    env.piper(&["show", "@/nothing"]).exits(2);
}

#[test]
fn builds_are_listed_newest_first_and_by_what_is_asked_for() {
    let env = TestEnv::new(TWO);
    env.piper(&["builds"]).succeeds();
    let first = id(&env, &["exec", "--output", "json"]);
    let broken = id(&env, &["exec", "broken", "--output", "json"]);
    let listed = |args: &[&str]| -> Vec<String> {
        let done = env.piper(args).succeeds();
        let lines = done.lines();
        let ids = lines
            .iter()
            .skip(1)
            .map(|line| line.split(' ').next().unwrap().to_owned());
        ids.collect()
    };
    assert_eq!(listed(&["builds"]), [&broken[..7], &first[..7]]);
    assert_eq!(listed(&["builds", "-n", "1"]), [&broken[..7]]);
    assert_eq!(listed(&["builds", "--failed"]), [&broken[..7]]);
    assert_eq!(listed(&["builds", "-p", "build"]), [&first[..7]]);
}

#[test]
fn a_project_sees_its_own_builds_only_unless_all_are_asked_for() {
    let env = TestEnv::new(TWO);
    env.write("other/piper.toml", TWO);
    let own = id(&env, &["exec", "--output", "json"]);
    let other = env
        .call(&["exec", "--output", "json"])
        .cwd(env.path("other"))
        .finish();
    let other = other.events().end()["build"].as_str().unwrap().to_owned();
    let here = env.piper(&["builds"]).succeeds();
    assert!(
        here.out().contains(&own[..7]) && !here.out().contains(&other[..7]),
        "{}",
        here.out()
    );
    let all = env.piper(&["builds", "--all"]).succeeds();
    assert!(
        all.out().contains(&own[..7]) && all.out().contains(&other[..7]),
        "{}",
        all.out()
    );
}

#[test]
fn thirty_builds_at_once_are_each_recorded() {
    let env = TestEnv::sequence(&[("s", "echo $PIPER_BUILD")]);
    let running: Vec<_> = (0..30).map(|_| env.call(&["exec"]).start()).collect();
    let mut ids = HashSet::new();
    for build in running {
        let done = build.finish().succeeds().never_says("warning");
        ids.insert(done.out().trim_end().to_owned());
    }
    assert_eq!((ids.len(), env.records().len()), (30, 30));
    let listed = env.piper(&["builds", "-n", "100"]).succeeds();
    assert_eq!(listed.lines().len(), 31, "{}", listed.out());
    assert_eq!(
        listed.out().matches("succeeded").count(),
        30,
        "{}",
        listed.out()
    );
    for id in ids {
        env.piper(&["logs", &id])
            .succeeds()
            .says(&format!("{id}\n"));
    }
}

#[test]
fn a_running_build_is_listed_as_running() {
    let env = TestEnv::sequence(&[("s", ": > begun; while [ ! -e go ]; do sleep 0.005; done")]);
    let build = env.call(&["exec"]).start();
    wait_until("the step", || env.path("begun").exists());
    let listed = env.piper(&["builds"]).succeeds();
    assert!(listed.out().contains("running"), "{}", listed.out());
    env.write("go", "");
    build.finish().succeeds();
}

#[test]
fn a_state_folder_that_cannot_be_used_costs_a_warning_and_not_the_build() {
    let env = TestEnv::sequence(&[(
        "s",
        "echo fine; echo x > $PIPER_ARTIFACTS/x; echo x > $PIPER_CACHE/x",
    )]);
    fs::remove_dir(env.beside("state")).unwrap();
    fs::write(env.beside("state"), "a file").unwrap();
    env.piper(&["exec"])
        .succeeds()
        .says("fine\n")
        .complains("warning");
    assert_eq!(fs::read_to_string(env.beside("state")).unwrap(), "a file");
}

#[test]
fn folders_of_piper_are_their_owners_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let env = TestEnv::sequence(&[("s", "echo fine")]);
    env.piper(&["exec"]).succeeds();
    // Nobody gets past these folders, so it does not matter who may read the files in them.
    for folder in ["piper", "piper/local", "piper/local/builds"] {
        let folder = env.beside("state").join(folder);
        assert_eq!(
            folder.metadata().unwrap().mode() & 0o077,
            0,
            "{}",
            folder.display()
        );
    }
}

#[test]
fn gc_keeps_the_newest_good_build() {
    let env = TestEnv::new(TWO);
    fs::create_dir_all(env.beside("config").join("piper")).unwrap();
    fs::write(
        env.beside("config").join("piper/config.toml"),
        "[history]\nkeep-builds = 1\n",
    )
    .unwrap();
    let good = id(&env, &["exec", "--output", "json"]);
    id(&env, &["exec", "broken", "--output", "json"]);
    let last = id(&env, &["exec", "broken", "--output", "json"]);
    let abandoned = env.beside("tmp").join("piper-build-x");
    fs::create_dir_all(&abandoned).unwrap();
    env.piper(&["gc", "--dry-run"]).succeeds();
    assert!(abandoned.exists());
    env.piper(&["gc"]).succeeds();
    assert!(!abandoned.exists());
    let listed = env.piper(&["builds"]).succeeds();
    assert!(
        listed.out().contains(&last[..7]) && listed.out().contains(&good[..7]),
        "{}",
        listed.out()
    );
    assert_eq!(listed.lines().len(), 3, "{}", listed.out());
}

#[test]
fn the_steps_of_a_build_of_the_past_are_completed() {
    let env = TestEnv::sequence(&[("alpha", "true"), ("beta", "true")]);
    let build = id(&env, &["exec", "alpha", "--output", "json"]);
    env.piper(&["exec", "-q"]).succeeds();
    let offered = |words: &[&str]| {
        let args = [&["__complete", "fish", "", "--"], words].concat();
        env.piper(&args).succeeds().out()
    };
    assert_eq!(offered(&["logs", &build, "--step", ""]), "alpha\t\n");
    assert_eq!(offered(&["logs", "--step", ""]), "alpha\t\nbeta\t\n");
    assert_eq!(offered(&["show", "@alpha/"]), "@alpha/alpha\t\n");
    // Neither the project nor its folder matters for a build that is named by its id.
    fs::remove_file(env.path("piper.toml")).unwrap();
    assert_eq!(offered(&["logs", &build, "--step", "a"]), "alpha\t\n");
}
