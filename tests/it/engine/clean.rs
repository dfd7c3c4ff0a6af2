//! The environment `clean`: a fresh copy of HEAD, as an agent would have it.

use crate::support::{TestEnv, state, wait_for_watcher, wait_gone, wait_until};
use std::{fs, path::Path};
use test_case::test_case;

fn repository() -> TestEnv {
    let env = TestEnv::new(
        "[steps]\nshow = 'pwd; cat file; ls; git rev-parse --is-inside-work-tree > /dev/null 2>&1 && git rev-parse HEAD || :'\n\
         bad = 'pwd; exit 1'\n[pipelines]\nbuild = { steps = ['show'] }\n",
    );
    env.write("file", "committed\n");
    env.write(".gitignore", "ignored\n");
    env.commit_all();
    env
}

#[test]
fn changes_that_are_not_committed_are_not_seen_and_that_is_said() {
    let env = repository();
    env.piper(&["exec", "build", "clean"])
        .succeeds()
        .never_says("differs");
    env.write("file", "changed\n");
    env.write("new", "");
    env.write("ignored", "");
    let done = env
        .piper(&["exec", "build", "clean"])
        .succeeds()
        .complains("differs from HEAD");
    let lines = done.lines();
    assert_ne!(lines[0], env.root().display().to_string());
    assert_eq!(lines[1], "committed");
    assert!(
        !lines.iter().any(|line| line == "new" || line == "ignored"),
        "{lines:?}"
    );
    assert_eq!(env.read("file"), "changed\n");
}

#[test]
fn the_project_file_is_the_one_of_head() {
    let env = repository();
    env.write(
        "piper.toml",
        "[steps]\nshow = 'echo mine'\n[pipelines]\nbuild = { steps = ['show'] }\n",
    );
    env.piper(&["exec", "build", "clean"])
        .succeeds()
        .never_says("mine");
    env.piper(&["exec", "build"]).succeeds().says("mine\n");
}

#[test]
fn the_copy_goes_away_unless_it_is_to_be_kept_after_a_failure() {
    let env = repository();
    let folder = |args: &[&str], code| {
        let done = env.piper(args).exits(code);
        (done.lines()[0].clone(), done.err())
    };
    let (gone, _) = folder(&["exec", "build", "clean"], 0);
    assert!(!Path::new(&gone).exists());
    let (gone, _) = folder(&["exec", "build", "clean", "--keep"], 0);
    assert!(!Path::new(&gone).exists(), "only a failure keeps it");
    let (gone, _) = folder(&["exec", "bad", "clean"], 1);
    assert!(!Path::new(&gone).exists());
    let (kept, said) = folder(&["exec", "bad", "clean", "--keep"], 1);
    assert!(said.contains(&kept), "{said}");
    assert_eq!(
        fs::read_to_string(Path::new(&kept).join("file")).unwrap(),
        "committed\n"
    );
    fs::remove_dir_all(&kept).unwrap();
    assert_eq!(fs::read_dir(env.beside("tmp")).unwrap().count(), 0);
}

#[test]
fn nobody_else_can_read_the_temporary_folders_of_a_build() {
    let env = repository();
    env.write(
        "piper.toml",
        "[steps]\ns = 'stat -c %a . \"$PIPER_PARAMS/..\"'\n",
    );
    env.commit_all();
    env.piper(&["exec", "s", "clean"])
        .succeeds()
        .says("700\n700\n");
    env.write("piper.toml", "[steps]\ns = 'stat -c %a $PIPER_CACHE'\n");
    // Nothing can be made below a file.
    env.call(&["exec", "s"])
        .env("XDG_CACHE_HOME", env.path("file"))
        .finish()
        .succeeds()
        .says("700\n");
}

#[test]
fn a_build_in_a_copy_belongs_to_the_project_it_was_made_of() {
    let env = repository();
    env.piper(&["exec", "build", "clean"]).succeeds();
    let builds = env.piper(&["builds"]).succeeds();
    assert!(builds.out().contains("clean"), "{}", builds.out());
}

#[test]
fn without_a_commit_it_is_an_error_that_says_what_to_do() {
    let env = TestEnv::sequence(&[("s", "echo ran")]);
    env.piper(&["exec", "build", "clean"])
        .exits(2)
        .says("")
        .complains("git init");
    env.git(&["init", "--quiet"]);
    env.piper(&["exec", "build", "clean"])
        .exits(2)
        .says("")
        .complains("commit");
}

#[test]
fn a_project_below_the_root_of_its_repository_runs_in_its_own_folder() {
    let env = TestEnv::empty();
    env.write("sub/piper.toml", "[steps]\ns = 'cat file; cat ../above'\n[pipelines]\nbuild = { steps = ['s'], environment = 'fresh' }\n[environments]\nfresh = { kind = 'clean' }\n");
    env.write("sub/file", "below\n");
    env.write("above", "above\n");
    env.commit_all();
    env.call(&["exec"])
        .cwd(env.path("sub"))
        .finish()
        .succeeds()
        .says("below\nabove\n");
}

#[test]
fn a_copy_goes_away_after_a_signal_too() {
    let env = repository();
    env.write("piper.toml", "[steps]\nlong = 'echo begun; sleep 60'\n");
    env.commit_all();
    let running = env.call(&["exec", "long", "clean"]).start();
    running.wait_for_out("begun");
    running.signal(libc::SIGINT);
    running.finish().dies_of(libc::SIGINT);
    assert_eq!(fs::read_dir(env.beside("tmp")).unwrap().count(), 0);
}

#[test]
fn a_copy_goes_away_although_nobody_reads_the_output_and_a_second_signal_ends_the_wait() {
    let env = repository();
    env.write("piper.toml", "[steps]\nchat = 'exec yes'\n");
    env.commit_all();
    let (_reader, writer) = std::io::pipe().unwrap();
    let running = env
        .call(&["exec", "chat", "clean"])
        .start_with_stdout(writer.into());
    wait_until("the copy", || {
        fs::read_dir(env.beside("tmp")).unwrap().count() == 1
    });
    wait_for_watcher(running.pid());
    running.signal(libc::SIGINT);
    wait_until("the end of piper", || {
        running.signal(libc::SIGINT);
        state(running.pid()).is_none()
    });
    running.finish().dies_of(libc::SIGINT);
    assert_eq!(fs::read_dir(env.beside("tmp")).unwrap().count(), 0);
}

#[test_case(""; "plain")]
#[test_case("a\nb"; "with a line end")]
fn a_copy_goes_away_when_piper_is_killed_and_nothing_else_does(below: &str) {
    let env = repository();
    env.write("piper.toml", "[steps]\nlong = 'echo begun; sleep 60'\n");
    env.commit_all();
    let tmp = env.beside("tmp");
    let theirs = tmp.join("a");
    fs::create_dir(&theirs).unwrap();
    fs::create_dir_all(tmp.join(below)).unwrap();
    let call = env.call(&["exec", "long", "clean"]);
    let running = call.env("TMPDIR", tmp.join(below)).start();
    running.wait_for_out("begun");
    wait_for_watcher(running.pid());
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    let holds_a_copy = || {
        let mut entries = fs::read_dir(tmp.join(below)).unwrap();
        entries.any(|entry| {
            entry
                .unwrap()
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"piper-")
        })
    };
    wait_until("the copy to be gone", || !holds_a_copy());
    assert!(theirs.exists());
}

#[test]
fn a_copy_that_is_to_be_kept_stays_when_piper_is_killed() {
    let env = repository();
    env.write("piper.toml", "[steps]\nlong = 'echo begun; sleep 60'\n");
    env.commit_all();
    let running = env.call(&["exec", "long", "clean", "--keep"]).start();
    running.wait_for_out("begun");
    let watcher = wait_for_watcher(running.pid());
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    // It has done by then what it does.
    wait_gone(watcher);
    let copies = fs::read_dir(env.beside("tmp")).unwrap();
    assert_eq!(copies.count(), 1);
}

#[test]
fn a_hook_s_variables_do_not_turn_git_to_the_user_s_own_repository() {
    let env = repository();
    let before = env.git(&["symbolic-ref", "HEAD"]);
    let git = env.path(".git");
    env.call(&["exec", "build", "clean"])
        .env("GIT_DIR", &git)
        .env("GIT_WORK_TREE", env.root())
        .env("GIT_INDEX_FILE", git.join("index"))
        .finish()
        .succeeds();
    assert_eq!(env.git(&["symbolic-ref", "HEAD"]), before);
}

#[test]
fn a_working_copy_s_broken_project_file_is_not_looked_at() {
    let env = repository();
    env.write("piper.toml", "broken !\n");
    env.piper(&["exec", "build", "clean"]).succeeds();
    fs::remove_file(env.path("piper.toml")).unwrap();
    env.piper(&["exec", "build", "clean"]).succeeds();
}

#[test_case(libc::SIGINT, ""; "git listens")]
#[test_case(libc::SIGTERM, "trap '' TERM;"; "git is deaf")]
fn a_signal_while_git_makes_the_copy_ends_git_and_piper_and_the_copy_goes(number: i32, deaf: &str) {
    let env = repository();
    let path = std::env::var("PATH").unwrap();
    let slow = format!(
        "#!/bin/sh\n[ \"$1\" = clone ] || {{ PATH='{path}'; exec git \"$@\"; }}\n{deaf} echo $$ > pid; while :; do sleep 0.05; done\n"
    );
    env.program("bin/git", &slow);
    let bin = env.path("bin").display().to_string();
    let call = env.call(&["exec", "build", "clean"]);
    let running = call.env("PATH", format!("{bin}:{path}")).start();
    let git = env.pid_in("pid");
    running.signal(number);
    running.finish().dies_of(number);
    wait_gone(git);
    assert_eq!(fs::read_dir(env.beside("tmp")).unwrap().count(), 0);
}

#[test]
fn submodules_that_the_copy_does_not_have_are_named() {
    let env = TestEnv::sequence(&[("s", "ls lib/one")]);
    env.commit_all();
    env.piper(&["exec", "build", "clean"])
        .exits(1)
        .never_says("submodule");
    // A repository in the repository is one to git; where it comes from is nobody's business here.
    env.write(
        ".gitmodules",
        "[submodule 'one']\npath = lib/one\nurl = https://example.org/one\n",
    );
    let commit = env.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{commit},lib/one");
    env.git(&["update-index", "--add", "--cacheinfo", &entry]);
    env.git(&["add", ".gitmodules"]);
    env.git(&["commit", "--quiet", "--message", "a submodule"]);
    env.piper(&["exec", "build", "clean"])
        .succeeds()
        .complains("submodules (lib/one)")
        .complains("git submodule update --init");
}
