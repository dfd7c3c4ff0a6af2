//! Surroundings that nobody wishes for: odd words, odd folders, streams that take nothing.

use crate::support::{Call, TestEnv, state, wait_until};
use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{PipeReader, Read as _},
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    thread,
    time::Duration,
};
use test_case::test_case;

const NO_UTF8: &[u8] = b"bad\xff\xfe";

#[test_case(&[], "unrecognized subcommand"; "as a command")]
#[test_case(&["exec"], "invalid UTF-8"; "as a pipeline")]
#[test_case(&["exec", "a", "--"], "invalid UTF-8"; "as an argument of a step")]
fn an_argument_that_is_no_text_is_refused(before: &[&str], said: &str) {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    let call = env.call(before).arg(OsStr::from_bytes(NO_UTF8));
    call.finish().exits(2).says("").complains(said);
}

#[test]
fn a_folder_whose_name_is_no_text_is_a_folder_all_the_same() {
    let env = TestEnv::empty();
    let folder = env.path(OsStr::from_bytes(NO_UTF8));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("piper.toml"), "[steps]\na = 'pwd'\n").unwrap();
    let in_it = |args: &[&str]| env.call(args).cwd(&folder).finish().succeeds();
    for command in ["list", "plan", "graph", "check", "exec", "show", "builds"] {
        let target = if ["plan", "graph", "exec"].contains(&command) {
            &["a"][..]
        } else {
            &[]
        };
        let done = in_it(&[&[command, "--output", "json"], target].concat());
        for line in done.lines() {
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    }
    let done = in_it(&["exec", "a"]);
    let said = done.stdout.strip_suffix(b"\n").unwrap();
    assert_eq!(OsStr::from_bytes(said), folder.as_os_str());
    let args = ["init", "--force", "--output", "json", "-C"];
    env.call(&args).arg(&folder).finish().succeeds();
}

#[test_case(&["list"])]
#[test_case(&["plan", "a", "--output", "json"])]
#[test_case(&["check"])]
#[test_case(&["schema"])]
#[test_case(&["--help"]; "help")]
#[test_case(&["exec", "--help"]; "help of a command")]
#[test_case(&["--version"]; "version")]
#[test_case(&[]; "no command")]
fn an_answer_that_cannot_be_written_is_an_error_that_says_where(args: &[&str]) {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let running = env.call(args).start_with_stdout(full.into());
    let done = running.finish().exits(3);
    done.complains("cannot write to standard output: No space left on device");
}

#[test]
fn a_pipe_that_does_not_wait_and_a_slow_reader_lose_nothing() {
    let mut file = "[steps]\n".to_owned();
    for n in 0..2_000 {
        file += &format!("step-{n} = 'true'\n");
    }
    let env = TestEnv::new(&file);
    let whole = env.piper(&["list", "--output", "json"]).succeeds().stdout;
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: changes the flags of a descriptor of ours.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let call = env.call(&["list", "--output", "json"]);
    let running = call.start_with_stdout(writer.into());
    let read = thread::spawn(move || read_slowly(reader));
    running.finish().succeeds();
    assert!(read.join().unwrap() == whole);
}

#[test]
fn a_limit_of_the_size_of_files_ends_no_build() {
    let env = TestEnv::sequence(&[("s", "seq 1 100000")]);
    let script = format!("ulimit -f 1; {} exec", env!("CARGO_BIN_EXE_piper"));
    let call = Call::of(&env, "/bin/sh".as_ref()).args(&["-c", &script]);
    let done = call.finish().succeeds().complains("warning");
    assert_eq!(done.lines().len(), 100_000);
}

/// Begins to read when a pipe must be full.
fn read_slowly(mut reader: PipeReader) -> Vec<u8> {
    thread::sleep(Duration::from_millis(100));
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test_case(&["exec"]; "as a pipeline")]
#[test_case(&["exec", "a", "--step"]; "as a step")]
#[test_case(&["explain"]; "as a code")]
fn a_word_of_100_000_letters_does_not_fill_the_screen(before: &[&str]) {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    let done = env.call(before).arg("x".repeat(100_000)).finish().exits(2);
    assert!(done.stderr.len() < 4_000, "{}", done.stderr.len());
    done.complains("xxx").complains("help:");
}

#[test]
fn a_line_of_100_000_letters_does_not_fill_the_screen() {
    let env = TestEnv::new(&"x".repeat(100_000));
    let done = env.piper(&["check"]).exits(2);
    assert!(done.stderr.len() < 4_000, "{}", done.stderr.len());
}

#[test]
fn without_unicode_drawings_are_ascii() {
    let env = TestEnv::new(
        "[steps]\na = \"\"\"true\ntrue\"\"\"\nb = 'true'\nc = { run = 'true', needs = [] }\n[pipelines]\nbuild = { steps = ['a', ['b', 'c']] }\n[params]\nx = {}\n",
    );
    for args in [&["graph"][..], &["list", "--params"], &["plan", "x=1"]] {
        let done = env.call(args).env("LC_ALL", "C").finish().succeeds();
        assert!(done.stdout.is_ascii(), "{}", done.out());
    }
}

#[test_case("0"; "nothing")]
#[test_case("-1"; "less than nothing")]
#[test_case("99999999999999999999"; "too many")]
#[test_case("x"; "no number")]
fn an_odd_width_does_not_break_the_help_into_words(columns: &str) {
    let env = TestEnv::empty();
    for args in [&["--help"][..], &["exec", "--help"], &[]] {
        let done = env.call(args).env("COLUMNS", columns).finish().succeeds();
        assert!(done.lines().len() < 60, "{}", done.out());
    }
}

#[test_case("-j0"; "nothing")]
#[test_case("-j=-1"; "less than nothing")]
#[test_case("-j4294967296"; "too many")]
#[test_case("-jall"; "a word")]
fn a_number_of_jobs_is_a_number_that_there_can_be(jobs: &str) {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    let done = env.piper(&["exec", "a", jobs]).exits(2);
    done.complains("give a whole number from 1 to 4294967295");
}

#[test]
fn the_name_of_a_folder_cannot_write_to_the_terminals_controls() {
    let env = TestEnv::empty();
    let folder = env.path("a\x1b]0;owned\x07");
    fs::create_dir(&folder).unwrap();
    let done = env.call(&["init", "-C"]).arg(&folder).finish().succeeds();
    done.never_says("\x1b");
    fs::create_dir(folder.join("state")).unwrap();
    fs::write(folder.join("state/piper"), "").unwrap();
    let call = env.call(&["exec"]).cwd(&folder);
    let done = call.env("XDG_STATE_HOME", folder.join("state")).finish();
    done.succeeds()
        .complains("cannot be used")
        .never_says("\x1b");
}

#[test]
fn whoever_waits_in_vain_for_the_value_of_a_parameter_can_interrupt() {
    let env = TestEnv::new("[steps]\na = 'true'\n[params]\nk = '1'\n");
    let path = env.path("fifo");
    let fifo = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with a null and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let running = env.call(&["exec", "a", "k=@fifo"]).start();
    wait_until("piper to wait", || state(running.pid()) == Some('S'));
    running.signal(libc::SIGINT);
    running.finish().dies_of(libc::SIGINT);
}

#[test_case(&["list"])]
#[test_case(&["exec"])]
#[test_case(&["exec", "build", "clean"]; "exec clean")]
#[test_case(&["init"])]
#[test_case(&["builds"])]
#[test_case(&["show"])]
#[test_case(&["logs"])]
fn a_folder_that_is_not_there_is_no_project(args: &[&str]) {
    let env = TestEnv::sequence(&[("a", "true")]);
    env.piper(&["exec"]).succeeds();
    for folder in ["nowhere", "/dev/null"] {
        let call = env.call(args).args(&["-C", folder]);
        let done = call.finish().exits(2).says("").complains("error[P0308]");
        done.complains(folder).complains("-C DIR");
    }
}

#[test]
fn a_home_that_is_no_whole_path_gets_no_folders_in_the_project() {
    let env = TestEnv::sequence(&[("a", "case $PIPER_CACHE in /*) ;; *) exit 1;; esac")]);
    let mut call = env.call(&["exec"]).env("HOME", "relative");
    for kind in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        call = call.without_env(kind);
    }
    call.finish().succeeds();
    assert!(!env.path("relative").exists());
}

#[test]
fn a_file_of_secrets_that_cannot_be_read_is_refused_with_the_reason() {
    let env = TestEnv::sequence(&[("a", "true")]);
    let done = env.piper(&["exec", "--secrets", "nowhere"]).exits(2);
    done.complains("in nowhere: No such file or directory");
}

#[test]
fn settings_that_are_a_fifo_keep_no_build_waiting() {
    let env = TestEnv::sequence(&[("a", "true")]);
    let folder = env.beside("config").join("piper");
    fs::create_dir_all(&folder).unwrap();
    let fifo = std::ffi::CString::new(folder.join("config.toml").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with a null and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    env.piper(&["exec"]).succeeds();
    env.piper(&["gc"]).succeeds();
}

#[test]
fn a_limit_of_builds_below_one_is_refused_by_its_value() {
    let env = TestEnv::sequence(&[("a", "true")]);
    env.piper(&["builds", "-n", "-5"]).exits(2).complains("-5");
}
