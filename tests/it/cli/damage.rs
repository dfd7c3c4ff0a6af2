//! What is damaged costs itself, is named, and nothing else.

use crate::support::TestEnv;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

fn with_builds(count: usize) -> TestEnv {
    let env = TestEnv::sequence(&[("s", "echo line")]);
    for _ in 0..count {
        env.piper(&["exec", "-q"]).succeeds();
    }
    env
}

fn index(env: &TestEnv) -> std::path::PathBuf {
    env.beside("state").join("piper/local/index.db")
}

#[test]
fn a_lost_index_is_made_again_from_the_builds() {
    let env = with_builds(3);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(format!("{}{suffix}", index(&env).display()));
    }
    let listed = env.piper(&["builds"]).succeeds();
    assert_eq!(
        listed.out().matches("succeeded").count(),
        3,
        "{}",
        listed.out()
    );
    env.piper(&["exec", "-q"]).succeeds();
    assert_eq!(env.piper(&["builds"]).succeeds().lines().len(), 5);
}

#[test]
fn an_index_of_garbage_is_mended_with_a_warning() {
    let env = with_builds(3);
    let _ = fs::remove_file(format!("{}-wal", index(&env).display()));
    fs::write(index(&env), vec![0xa5; 8192]).unwrap();
    let listed = env.piper(&["builds"]).succeeds().complains("warning");
    assert_eq!(
        listed.out().matches("succeeded").count(),
        3,
        "{}",
        listed.out()
    );
    env.piper(&["builds"]).succeeds().never_says("warning");
}

#[test]
fn a_build_runs_on_an_index_of_garbage() {
    let env = with_builds(1);
    fs::write(index(&env), "garbage").unwrap();
    env.piper(&["exec"]).succeeds().says("line\n");
    assert_eq!(
        env.piper(&["builds"])
            .succeeds()
            .out()
            .matches("succeeded")
            .count(),
        2
    );
}

#[test]
fn a_damaged_byte_costs_its_frame_and_is_named() {
    let env = TestEnv::sequence(&[(
        "s",
        "i=0; while [ $i -lt 100000 ]; do echo line-$i-$((i*i)); i=$((i+1)); done",
    )]);
    let done = env.piper(&["exec", "-q"]).succeeds();
    let file = env.records().remove(0);
    let size = file.metadata().unwrap().len();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .write_all_at(&[0x5a; 16], size / 2)
        .unwrap();
    let logs = env.piper(&["logs"]).succeeds().complains("warning");
    let (whole, left) = (done.lines(), logs.lines());
    assert!(
        left.len() < whole.len() && left.len() > whole.len() / 4,
        "{} of {}",
        left.len(),
        whole.len()
    );
    assert_eq!((left.first(), left.last()), (whole.first(), whole.last()));
    let mut rest = whole.iter();
    assert!(
        left.iter().all(|line| rest.any(|own| own == line)),
        "what is left is in its order"
    );
    assert!(
        env.piper(&["builds"])
            .succeeds()
            .out()
            .contains("succeeded")
    );
}

#[test]
fn a_build_whose_file_is_cut_off_is_still_shown() {
    // Many frames, so that some are whole whatever the machine's speed makes of them.
    let env = TestEnv::sequence(&[("s", "seq 1 1000000")]);
    env.piper(&["exec", "-q"]).succeeds();
    let file = env.records().remove(0);
    let size = file.metadata().unwrap().len();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(size / 2)
        .unwrap();
    let logs = env.piper(&["logs"]).succeeds();
    assert!(logs.lines().len() > 1000, "{} lines", logs.lines().len());
    assert_eq!(logs.lines()[0], "1");
    env.piper(&["show"]).succeeds();
    env.piper(&["exec", "-q"]).succeeds();
}

#[test]
fn a_file_that_is_no_build_disturbs_nobody() {
    let env = with_builds(1);
    let builds = env.beside("state").join("piper/local/builds");
    fs::write(builds.join("bcdfghjklmnpqrst.plog"), "not a build").unwrap();
    fs::write(builds.join("empty.plog"), "").unwrap();
    fs::create_dir(builds.join("ffffffffffffffff.plog")).unwrap();
    let _ = fs::remove_file(index(&env));
    env.piper(&["exec", "-q"]).succeeds();
    assert_eq!(
        env.piper(&["builds"])
            .succeeds()
            .out()
            .matches("succeeded")
            .count(),
        2
    );
}
