//! Steps that do odd things with their three streams.

use crate::support::{Call, Running, Terminal, TestEnv, signal, wait_gone, wait_until};
use std::{
    fs::{self, File},
    io::{PipeReader, Read as _},
    process::Stdio,
    time::Duration,
};

#[test]
fn the_standard_input_of_a_step_is_empty() {
    let env = TestEnv::sequence(&[("s", "cat; echo \"read: $(cat | wc -c | tr -d ' ')\"")]);
    env.call(&["exec"])
        .input("not for the step")
        .finish()
        .succeeds()
        .says("read: 0\n");
}

#[test]
fn a_step_that_closes_its_output_and_lives_on_is_waited_for() {
    let env = TestEnv::sequence(&[
        ("s", "echo said; exec >&- 2>&-; sleep 0.3; : > lived"),
        ("after", "test -e lived && echo after"),
    ]);
    env.piper(&["exec"]).succeeds().says("said\nafter\n");
}

#[test]
fn a_step_is_over_when_its_leader_is_and_not_when_its_children_are() {
    let env = TestEnv::sequence(&[
        ("s", "sleep 60 & echo $! > pid; echo begun"),
        ("after", "echo after"),
    ]);
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    let events = done.events();
    assert_eq!(events.of("try.finished")[0]["left_running"], true);
    assert_eq!(events.began(), ["s", "after"]);
    wait_gone(env.pid_in("pid"));
}

#[test]
fn what_a_child_prints_after_its_step_ended_is_still_recorded() {
    let env = TestEnv::sequence(&[
        (
            "s",
            "( while [ ! -e go ]; do sleep 0.01; done; echo late; : > said ) & echo early",
        ),
        ("after", ": > go; while [ ! -e said ]; do sleep 0.01; done"),
    ]);
    env.piper(&["exec", "-q"]).succeeds();
    env.piper(&["logs", "@/s"]).succeeds().says("early\nlate\n");
}

#[test]
fn a_step_that_prints_for_ever_is_ended_by_its_timeout() {
    let env = TestEnv::new("[steps]\ns = { argv = ['yes', 'on and on'], timeout = '300ms' }\n");
    let done = env.piper(&["exec", "s"]).exits(1).complains("timeout");
    assert!(done.lines().iter().all(|line| line == "on and on"));
}

#[test]
fn a_step_that_fills_the_pipe_and_stops_is_ended_by_its_timeout_and_its_output_is_whole() {
    let env = TestEnv::new(
        "[steps]\ns = { run = 'head -c 1000000 /dev/zero | tr \"\\0\" x; sleep 60', timeout = '1500ms' }\n",
    );
    let done = env.piper(&["exec", "s"]).exits(1);
    assert_eq!(
        done.stdout.iter().filter(|byte| **byte == b'x').count(),
        1_000_000
    );
}

#[test]
fn a_reader_that_stops_reading_does_not_stop_the_build() {
    let env = TestEnv::sequence(&[
        ("loud", "head -c 4000000 /dev/zero | tr '\\0' '\\n'"),
        ("after", ": > done"),
    ]);
    // Nobody reads this pipe until the build is over.
    let (reader, writer) = std::io::pipe().unwrap();
    let running = env.call(&["exec"]).start_with_stdout(writer.into());
    wait_until("the last step to have run", || env.path("done").exists());
    let all =
        std::thread::spawn(move || std::io::copy(&mut { reader }, &mut std::io::sink()).unwrap());
    running.finish().succeeds();
    assert_eq!(all.join().unwrap(), 4_000_000);
}

#[test]
fn a_closed_standard_output_does_not_end_the_build() {
    let env = TestEnv::sequence(&[
        (
            "loud",
            "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done",
        ),
        ("after", ": > done"),
    ]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    env.call(&["exec"])
        .start_with_stdout(writer.into())
        .finish()
        .succeeds();
    assert!(env.path("done").exists());
    assert_eq!(
        env.piper(&["logs", "@/loud"]).succeeds().lines().len(),
        2000
    );
}

/// A build that is over, and its flood, of which nobody has read much.
fn flooded(env: &TestEnv) -> (Running, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let running = env.call(&["exec"]).start_with_stdout(writer.into());
    // The flood is in the log by then, and the screen waits for the pipe.
    wait_until("the build to be over", || {
        env.piper(&["builds"]).out().contains("succeeded")
    });
    (running, reader)
}

const FLOOD: [(&str, &str); 2] = [
    ("loud", "head -c 4000000 /dev/zero | tr '\\0' '\\n'"),
    ("after", ": > done"),
];

#[test]
fn the_rest_of_a_flood_is_left_out_if_its_reader_goes() {
    let env = TestEnv::sequence(&FLOOD);
    let (running, reader) = flooded(&env);
    drop(reader);
    let done = running.finish().succeeds();
    done.complains("the rest of what was printed is not shown")
        .complains("finished successfully");
}

#[test]
fn the_rest_of_a_flood_is_left_out_after_a_signal_and_the_end_is_said() {
    let env = TestEnv::sequence(&FLOOD);
    let (running, reader) = flooded(&env);
    running.signal(libc::SIGINT);
    let all = std::thread::spawn(move || count_slowly(reader));
    let done = running.finish().dies_of(libc::SIGINT);
    done.complains("lines are not shown here")
        .complains("finished successfully");
    assert!(all.join().unwrap() < 4_000_000);
}

/// Reads to the end, a pipe's fill at a time, and rests: the flood takes longer than piper needs to look for signals.
fn count_slowly(mut reader: PipeReader) -> usize {
    let (mut all, mut buffer) = (0, vec![0; 64 * 1024]);
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        all += read;
        std::thread::sleep(Duration::from_millis(2));
    }
    all
}

#[test]
fn a_terminal_that_fell_behind_a_flood_shows_its_end_and_that_of_the_build() {
    let env = TestEnv::sequence(&[("loud", "seq 1000000"), ("after", "echo the last words")]);
    let mut terminal = Terminal::start_unread(env.call(&["exec"]));
    wait_until("the build to be over", || {
        env.piper(&["builds"]).out().contains("succeeded")
    });
    // The whole flood would take seconds.
    terminal.read(Some(Duration::from_millis(2)));
    assert_eq!(terminal.finish().code(), Some(0));
    let sent = terminal.sent();
    assert!(!sent.contains("\r\n500000\r\n"), "all of it was shown");
    let mut rest = sent.as_str();
    for next in [
        "lines are not shown here",
        "piper logs",
        "999950\r\n",
        "1000000\r\n",
        "the last words\r\n",
        "finished successfully",
    ] {
        let at = rest.find(next);
        let at = at.unwrap_or_else(|| panic!("no {next:?} in its place in {rest:?}"));
        rest = &rest[at + next.len()..];
    }
}

#[test]
fn no_line_is_redrawn_on_a_terminal_on_which_another_program_shows_what_steps_print() {
    let env = TestEnv::sequence(&[("slow", "sleep 1.2; echo begun; sleep 0.3")]);
    let piped = format!("{} exec | cat", env!("CARGO_BIN_EXE_piper"));
    let call = Call::of(&env, "/bin/sh".as_ref()).args(&["-c", &piped]);
    let mut terminal = Terminal::start(call);
    assert_eq!(terminal.finish().code(), Some(0));
    let sent = terminal.sent();
    assert!(sent.contains("\r\nbegun\r\n"), "{sent:?}");
    assert!(!sent.contains("0:0"), "{sent:?}");
}

#[test]
fn a_flood_of_short_lines_keeps_nobody_waiting_for_its_end() {
    let env = TestEnv::new("[steps]\nflood = { run = 'yes', timeout = '500ms' }\n");
    let all = File::create(env.path("all")).unwrap();
    let running = env.call(&["exec", "flood"]).start_with_stdout(all.into());
    let done = running.finish().exits(1);
    assert!(done.took < Duration::from_secs(8), "{:?}", done.took);
    let shown = fs::read(env.path("all")).unwrap();
    // It was killed in the middle of one.
    let whole = shown.strip_suffix(b"y").unwrap_or(&shown);
    assert!(!whole.is_empty() && whole.chunks(2).all(|line| line == b"y\n"));
}

#[test]
fn a_step_that_is_killed_from_outside_has_failed() {
    let env = TestEnv::sequence(&[("s", "echo $$ > pid; while :; do sleep 0.01; done")]);
    let running = env.call(&["exec"]).start();
    signal(env.pid_in("pid"), libc::SIGKILL);
    running.finish().exits(1).complains("SIGKILL");
}

#[test]
fn a_build_without_a_record_whose_output_nobody_reads_can_be_ended() {
    let env = TestEnv::sequence(&[("s", "echo $$ > pid; exec yes hello")]);
    // Where builds are to be kept there is a file, so that nothing can be kept.
    fs::remove_dir(env.beside("state")).unwrap();
    fs::write(env.beside("state"), "").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut piper = env.call(&["exec"]).into_command();
    let mut piper = piper
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = i32::try_from(piper.id()).unwrap();
    let step = env.pid_in("pid");
    let (mut written, mut looks) = (String::new(), 0);
    wait_until("the step to be unable to write", || {
        let now = fs::read_to_string(format!("/proc/{step}/io")).unwrap();
        looks = if now == written { looks + 1 } else { 0 };
        written = now;
        looks > 50
    });
    signal(pid, libc::SIGINT);
    wait_gone(step);
    // The first signal ends the build, a second one the wait for whoever reads its output.
    wait_until("the end of piper", || {
        signal(pid, libc::SIGINT);
        piper.try_wait().unwrap().is_some()
    });
    drop(reader);
}
