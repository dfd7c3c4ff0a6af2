//! What is damaged costs itself, is named, and nothing else.

use crate::support::{TestEnv, wait_until};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};
use test_case::test_case;

fn with_builds(count: usize) -> TestEnv {
    let env = TestEnv::sequence(&[("s", "echo line")]);
    for _ in 0..count {
        env.piper(&["exec", "-q"]).succeeds();
    }
    env
}

fn index(env: &TestEnv) -> PathBuf {
    env.beside("state").join("piper/local/index.db")
}

fn lose_index(env: &TestEnv) {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(format!("{}{suffix}", index(env).display()));
    }
}

/// Changes the file of the only build, which the index knows by then.
fn wound(env: &TestEnv, how: impl Fn(&mut Vec<u8>)) -> PathBuf {
    env.piper(&["builds"]).succeeds();
    let file = env.records().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    how(&mut bytes);
    fs::write(&file, bytes).unwrap();
    file
}

/// Damages the first frame of events.
fn lose_beginning(bytes: &mut [u8]) {
    let magic = b"\x89plog\r\n\x1a";
    let mut places = 0..bytes.len();
    let events = places.find(|&at| bytes[at..].starts_with(magic) && bytes[at + 9] == 2);
    bytes[events.unwrap() + 80] ^= 1;
}

fn id(file: &Path) -> String {
    file.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_lost_index_is_made_again_from_the_builds() {
    let env = with_builds(3);
    lose_index(&env);
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
fn a_build_whose_beginning_is_damaged_is_shown_as_the_index_knows_it() {
    let env = with_builds(1);
    let file = wound(&env, |bytes| lose_beginning(bytes));
    let project = env.root();
    let name = project.file_name().unwrap().to_str().unwrap();
    let shown = env.piper(&["show"]).succeeds();
    let shown = shown
        .complains("(its payload is damaged): ")
        .complains(file.to_str().unwrap())
        .never_says("no record is lost");
    for words in [
        id(&file).as_str(),
        name,
        "pipeline     build",
        "started",
        "took",
    ] {
        assert!(shown.out().contains(words), "{words}: {}", shown.out());
    }
    env.piper(&["logs", "--step", "s"])
        .succeeds()
        .says("line\n");
}

#[test]
fn what_is_left_of_a_build_that_nothing_names_any_more_is_still_found_by_its_id() {
    let env = with_builds(1);
    let file = wound(&env, |bytes| lose_beginning(bytes));
    lose_index(&env);
    env.piper(&["builds"])
        .succeeds()
        .complains(&format!("`piper logs {}`", id(&file)));
    env.piper(&["logs", &id(&file)]).succeeds().says("line\n");
    let shown = env.piper(&["show", &id(&file)]).succeeds();
    assert!(
        shown.out().contains("finished successfully"),
        "{}",
        shown.out()
    );
}

#[test]
fn an_emptied_build_is_named() {
    let env = with_builds(1);
    let file = wound(&env, Vec::clear);
    for command in ["show", "logs"] {
        env.piper(&[command])
            .succeeds()
            .never_says("not finished")
            .complains(&format!("`{}` is empty", file.display()));
    }
    let shown = env.piper(&["show"]).succeeds();
    assert!(
        shown.out().contains("finished successfully"),
        "{}",
        shown.out()
    );
    lose_index(&env);
    env.piper(&["builds"])
        .succeeds()
        .complains(&format!("`{}` is empty", file.display()));
    assert!(file.exists(), "what was not asked for is not removed");
}

#[test]
fn what_is_missing_of_a_build_that_was_cut_off_is_counted_as_far_as_it_is_known() {
    let env = TestEnv::sequence(&[("s", "seq 1 200000"), ("t", "seq 1 200000")]);
    env.piper(&["exec", "-q"]).succeeds();
    let file = env.records().remove(0);
    let whole = file.metadata().unwrap().len();
    wound(&env, |bytes| bytes.truncate(bytes.len() / 2));
    let cut = format!(
        "`{}` was cut off: {} of its {whole} bytes are left, with its log up to record ",
        file.display(),
        whole / 2
    );
    env.piper(&["show"]).succeeds().complains(&cut);
    // The frame that the cut went through says how many it had.
    env.piper(&["logs"])
        .succeeds()
        .complains(&cut)
        .complains(" records are lost (");
}

#[test]
fn the_duration_of_a_killed_build_is_the_least_that_it_can_be() {
    let env = TestEnv::sequence(&[(
        "s",
        "sleep 0.2; echo said; sleep 0.3; : > begun; while [ ! -e end ]; do sleep 0.005; done",
    )]);
    let build = env.call(&["exec"]).start();
    wait_until("the step", || env.path("begun").exists());
    build.signal(libc::SIGKILL);
    env.write("end", "");
    build.finish().dies_of(libc::SIGKILL);
    let listed = env.piper(&["builds"]).succeeds();
    assert!(listed.out().contains(" >"), "{}", listed.out());
    let shown = env.piper(&["show"]).succeeds();
    assert!(
        shown.out().contains("took         at least "),
        "{}",
        shown.out()
    );
}

#[test]
fn the_duration_of_a_killed_build_that_said_nothing_is_not_known() {
    let env = TestEnv::sequence(&[("s", ": > begun; while [ ! -e end ]; do sleep 0.005; done")]);
    let build = env.call(&["exec"]).start();
    wait_until("the step", || env.path("begun").exists());
    build.signal(libc::SIGKILL);
    env.write("end", "");
    build.finish().dies_of(libc::SIGKILL);
    let listed = env.piper(&["builds"]).succeeds();
    assert!(listed.out().contains(" ?  "), "{}", listed.out());
    let shown = env.piper(&["show"]).succeeds();
    assert!(shown.out().contains("an unknown time"), "{}", shown.out());
}

#[test_case(|path| fs::write(path, b"\x89PNG\r\n\x1a\n and so on".repeat(99)).unwrap(), "is no log of piper's"; "another format")]
#[test_case(|path| fs::write(path, vec![0; 4096]).unwrap(), "is no log of piper's"; "zeroes")]
#[test_case(|path| fs::create_dir(path).unwrap(), "it is not a file"; "a folder")]
#[test_case(|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), "it is not a file"; "a device")]
#[test_case(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), "could not read"; "a socket")]
#[test_case(copy_a_build_to, "is of build"; "another build")]
fn a_file_that_is_no_build_is_named_and_disturbs_nobody(make: fn(&Path), warning: &str) {
    let env = with_builds(1);
    let builds = env.beside("state").join("piper/local/builds");
    let path = builds.join("bcdfghjklmnpqrst.plog");
    make(&path);
    fs::write(builds.join("notes.plog"), "").unwrap();
    for lost in [false, true] {
        if lost {
            lose_index(&env);
        }
        let listed = env.piper(&["builds"]).succeeds();
        let listed = listed
            .complains(warning)
            .complains(&format!("`{}`", path.display()));
        assert_eq!(listed.lines().len(), 2, "{}", listed.out());
    }
    env.piper(&["show"]).succeeds();
    env.piper(&["exec", "-q"]).succeeds();
    env.piper(&["gc"]).succeeds();
    assert_eq!(env.piper(&["builds"]).succeeds().lines().len(), 3);
    assert!(path.symlink_metadata().is_ok());
}

fn copy_a_build_to(path: &Path) {
    let mut builds = path.parent().unwrap().read_dir().unwrap();
    fs::copy(builds.next().unwrap().unwrap().path(), path).unwrap();
}
