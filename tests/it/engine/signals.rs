//! Signals to piper: it asks its steps to end, tidies up, and dies of the signal itself.

use crate::support::{
    Call, Running, TestEnv, is_pending, signal, state, wait_for_watcher, wait_gone, wait_until,
};
use std::{io::Read as _, thread, time::Duration};
use test_case::test_case;

/// A step that begins, says so, and runs until it is ended.
const LONG: &str = "[steps]
long = { run = '''trap 'echo asked; exit 0' TERM; echo $$ > pid; echo begun; while :; do sleep 0.01; done''', grace = '30s' }
never = 'echo never'
tidy = { run = 'echo tidy', when = 'always' }
mend = { run = 'echo mend', when = 'failure' }
[pipelines]
build = { steps = ['long', 'never', 'tidy', 'mend'] }
";

fn begun(env: &TestEnv, args: &[&str]) -> Running {
    let running = env.call(args).start();
    env.pid_in("pid");
    running.wait_for_out("begun");
    running
}

#[test_case(libc::SIGINT, "SIGINT")]
#[test_case(libc::SIGTERM, "SIGTERM")]
#[test_case(libc::SIGHUP, "SIGHUP")]
fn a_signal_asks_the_steps_to_end_and_piper_dies_of_it(number: i32, name: &str) {
    let env = TestEnv::new(LONG);
    let running = begun(&env, &["exec"]);
    running.signal(number);
    let done = running.finish().dies_of(number).complains(name);
    assert_eq!(
        done.out(),
        "begun\nasked\ntidy\n",
        "always steps run, others do not"
    );
    assert_eq!(state(env.pid_in("pid")), None);
    let builds = env.piper(&["builds"]).succeeds();
    assert!(builds.out().contains("cancelled"), "{}", builds.out());
}

#[test]
fn a_cancelled_build_says_so_to_programs() {
    let env = TestEnv::new(LONG);
    let running = begun(&env, &["exec", "--output", "json"]);
    running.signal(libc::SIGINT);
    let events = running.finish().dies_of(libc::SIGINT).events();
    assert_eq!(events.of("build.cancelling").len(), 1);
    assert_eq!(
        (events.outcome("long"), events.outcome("never")),
        ("cancelled", "cancelled")
    );
    assert_eq!(
        (events.outcome("tidy"), &events.end()["outcome"]),
        ("succeeded", &"cancelled".into())
    );
}

#[test]
fn a_second_signal_kills_what_did_not_listen_to_the_first() {
    let env = TestEnv::new(
        "[steps]\ndeaf = { run = '''trap '' TERM; echo $$ > pid; echo begun; while :; do sleep 0.01; done''', grace = '50s' }\n\
         tidy = { run = 'echo tidy', when = 'always' }\n[pipelines]\nbuild = { steps = ['deaf', 'tidy'] }\n",
    );
    let running = begun(&env, &["exec"]);
    running.signal(libc::SIGINT);
    running.wait_for_err("SIGINT");
    running.signal(libc::SIGINT);
    let done = running.finish().dies_of(libc::SIGINT).never_says("│ tidy");
    assert!(done.took < Duration::from_secs(20), "{:?}", done.took);
    assert_eq!(state(env.pid_in("pid")), None);
}

#[test]
fn ctrl_backslash_ends_piper_at_once_and_leaves_no_live_line() {
    let env = TestEnv::new(LONG);
    let script = format!("ulimit -c 0; exec {} exec", env!("CARGO_BIN_EXE_piper"));
    let call = Call::of(&env, "/bin/sh".as_ref()).args(&["-c", &script]);
    let mut terminal = crate::support::Terminal::start(call);
    let step = env.pid_in("pid");
    terminal.wait_for("0:00");
    terminal.press("\u{1c}");
    assert_eq!(terminal.killed_by(), Some(libc::SIGQUIT));
    // The terminal itself may echo the key.
    let sent = terminal.sent();
    let (_, after) = sent.rsplit_once("0:0").unwrap();
    assert!(after.contains("\r\u{1b}[J"), "{after:?}");
    wait_gone(step);
}

#[test]
fn one_signal_ends_a_build_whose_output_nobody_reads() {
    let env = TestEnv::sequence(&[("spam", "echo $$ > pid; while :; do echo x; done")]);
    let (unread, stdout) = std::io::pipe().unwrap();
    let running = env.call(&["exec"]).start_with_stdout(stdout.into());
    let step = env.pid_in("pid");
    // Until the pipe is full, nobody can know.
    thread::sleep(Duration::from_millis(500));
    running.signal(libc::SIGTERM);
    running
        .finish()
        .dies_of(libc::SIGTERM)
        .complains("nobody reads what is printed here");
    wait_gone(step);
    drop(unread);
}

#[test]
fn whoever_interrupts_what_is_shown_late_still_sees_the_end_of_it() {
    let env = TestEnv::sequence(&[("loud", "seq 1000000")]);
    let (mut reader, stdout) = std::io::pipe().unwrap();
    let running = env.call(&["exec"]).start_with_stdout(stdout.into());
    wait_until("the build to be over", || {
        env.piper(&["builds"]).out().contains("succeeded")
    });
    // Longer than an interrupted build waits for its reader.
    thread::sleep(Duration::from_millis(2500));
    running.signal(libc::SIGINT);
    // Whoever reads at once may have seen all before piper looks whether it was interrupted.
    wait_until("piper to hear of it", || {
        !is_pending(running.pid(), libc::SIGINT)
    });
    let mut shown = Vec::new();
    reader.read_to_end(&mut shown).unwrap();
    running
        .finish()
        .dies_of(libc::SIGINT)
        .complains("lines are not shown here")
        .never_says("nobody reads");
    assert!(shown.ends_with(b"1000000\n"));
}

#[test]
fn a_surrounding_shell_loop_stops_with_piper() {
    let env = TestEnv::new(LONG);
    let script = format!(
        "for i in 1 2 3; do {} exec; echo again; done",
        env!("CARGO_BIN_EXE_piper")
    );
    let call = crate::support::Call::of(&env, "/bin/bash".as_ref()).args(&["-c", &script]);
    let mut terminal = crate::support::Terminal::start(call);
    env.pid_in("pid");
    terminal.wait_for("begun");
    terminal.press("\u{3}");
    assert_eq!(terminal.killed_by(), Some(libc::SIGINT));
    assert!(!terminal.sent().contains("again"), "{}", terminal.sent());
}

#[test]
fn a_stopped_piper_stops_its_steps_and_their_time() {
    let env = TestEnv::new(
        "[steps]\ns = { run = '''echo $$ > pid; echo begun; while [ ! -e go ]; do sleep 0.01; done; echo done''', timeout = '1500ms' }\n",
    );
    let running = begun(&env, &["exec", "s"]);
    let (piper, step) = (running.pid(), env.pid_in("pid"));
    running.signal(libc::SIGTSTP);
    wait_until("piper to stop", || state(piper) == Some('T'));
    // A shell that is just starting a program waits (D) for that to begin, and the program is stopped before it can.
    wait_until("the step to stop", || {
        matches!(state(step), Some('T' | 'D'))
    });
    // Longer than the step's timeout: this is the one thing that only passing time can show.
    thread::sleep(Duration::from_millis(1800));
    running.signal(libc::SIGCONT);
    wait_until("the step to go on", || {
        state(step).is_none_or(|state| state != 'T' && state != 'D')
    });
    env.write("go", "");
    running.finish().succeeds().says("begun\ndone\n");
}

#[test]
fn ctrl_z_stops_what_left_its_step_and_fg_continues_only_what_ctrl_z_stopped() {
    let env = TestEnv::new(
        "[steps]\ns = { run = '''(setsid sh -c 'echo $$ > daemon; while :; do sleep 0.01; done' > /dev/null 2>&1 &); sh -c 'echo $$ > own; kill -STOP $$' & while [ ! -s daemon ]; do sleep 0.01; done; echo begun; while [ ! -e go ]; do sleep 0.01; done''', grace = '100ms' }\n",
    );
    let running = env.call(&["exec", "s"]).start();
    running.wait_for_out("begun");
    let (daemon, own) = (env.pid_in("daemon"), env.pid_in("own"));
    wait_until("the step's own to stop", || state(own) == Some('T'));
    running.signal(libc::SIGTSTP);
    wait_until("piper to stop", || state(running.pid()) == Some('T'));
    wait_until("the daemon to stop", || {
        matches!(state(daemon), Some('T' | 'D'))
    });
    running.signal(libc::SIGCONT);
    wait_until("the daemon to go on", || {
        !matches!(state(daemon), Some('T' | 'D'))
    });
    assert_eq!(state(own), Some('T'));
    env.write("go", "");
    running.finish().succeeds();
    wait_gone(daemon);
}

#[test]
fn a_stopped_piper_can_be_killed_and_takes_its_steps_along() {
    let env = TestEnv::new(LONG);
    let running = begun(&env, &["exec"]);
    wait_for_watcher(running.pid());
    running.signal(libc::SIGTSTP);
    wait_until("piper to stop", || state(running.pid()) == Some('T'));
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    wait_gone(env.pid_in("pid"));
}

#[test]
fn a_signal_while_a_further_try_is_waited_for_ends_the_build_at_once() {
    let env = TestEnv::new(
        "[steps]\ns = { run = 'echo begun; exit 1', retry = { max = 3, delay = '10m' } }\n",
    );
    let running = env.call(&["exec", "s"]).start();
    running.wait_for_err("trying again");
    running.signal(libc::SIGTERM);
    running.finish().dies_of(libc::SIGTERM).says("begun\n");
}

#[test]
fn a_zombie_in_the_group_of_a_stopped_step_keeps_nobody_waiting() {
    // The zombie's parent is in another session and reaps nobody.
    let env = TestEnv::new(
        "[steps]\ns = { run = '''(true & exec setsid sleep 41) & sleep 40''', timeout = '300ms', grace = '300ms' }\n",
    );
    env.piper(&["exec", "s"])
        .exits(1)
        .complains("took longer than its `timeout`");
}

#[test]
fn children_that_piper_had_before_the_build_are_left_alone() {
    let env = TestEnv::sequence(&[("s", "true")]);
    let piper = env!("CARGO_BIN_EXE_piper");
    let script = format!("sleep 60 > /dev/null 2>&1 & echo $! > pid; exec {piper} exec s");
    Call::of(&env, "/bin/sh".as_ref())
        .args(&["-c", &script])
        .finish()
        .succeeds();
    let inherited = env.pid_in("pid");
    assert!(state(inherited).is_some_and(|state| state != 'Z'));
    signal(inherited, libc::SIGKILL);
}
