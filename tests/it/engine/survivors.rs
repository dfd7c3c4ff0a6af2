//! Processes that outlive their step: none of them outlives its build.

use crate::support::{TestEnv, children, signal, state, wait_for_watcher, wait_gone, wait_until};
use test_case::test_case;

/// Double fork and a new session: what a daemon does so that nobody can find it. Writes its pid into `$1`.
const DAEMONISE: &str = "#!/bin/sh
setsid sh -c 'setsid sh -c \"echo \\$\\$ > $0; exec sleep 300\" $0 > /dev/null 2>&1 < /dev/null & exit 0' $1
while [ ! -s $1 ]; do sleep 0.005; done
";

fn daemon(keys: &str) -> TestEnv {
    let env = TestEnv::new(&format!(
        "[steps]\nd = {{ run = './daemonise pid', {keys} }}\n"
    ));
    env.program("daemonise", DAEMONISE);
    env
}

#[test]
fn a_daemon_ends_with_the_build() {
    let env = daemon("grace = '1s'");
    env.piper(&["exec", "d"]).succeeds();
    assert_eq!(state(env.pid_in("pid")), None, "it is gone when piper is");
}

#[test]
fn a_daemon_lives_as_long_as_the_build_and_no_longer() {
    let env = TestEnv::sequence(&[
        ("d", "./daemonise pid"),
        ("uses", "kill -0 $(cat pid) && echo alive"),
    ]);
    env.program("daemonise", DAEMONISE);
    env.piper(&["exec"]).succeeds().says("alive\n");
    assert_eq!(state(env.pid_in("pid")), None);
}

#[test]
fn a_daemon_that_is_to_be_kept_is_kept() {
    let env = daemon("survivors = 'keep'");
    env.piper(&["exec", "d"]).succeeds();
    let pid = env.pid_in("pid");
    assert!(state(pid).is_some());
    signal(pid, libc::SIGKILL);
}

#[test]
fn a_daemon_that_ignores_being_asked_is_killed() {
    let env = TestEnv::new(
        "[steps]\nd = { run = '''setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' & while [ ! -s pid ]; do sleep 0.005; done''', grace = '100ms' }\n",
    );
    env.piper(&["exec", "d"]).succeeds();
    assert_eq!(state(env.pid_in("pid")), None);
}

#[test]
fn whoever_waits_for_the_end_of_a_daemon_is_told_so() {
    let env = TestEnv::new(
        "[steps]\nd = { run = '''setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' & while [ ! -s pid ]; do sleep 0.005; done''', grace = '60s' }\n",
    );
    let running = env.call(&["exec", "d"]).start();
    let pid = env.pid_in("pid");
    running.wait_for_err("ending what steps left running");
    running.signal(libc::SIGINT);
    let done = running.finish().succeeds();
    let done = done.complains(&format!("sh ({pid}) of d"));
    assert_eq!(
        done.err().matches("left running").count(),
        1,
        "{}",
        done.err()
    );
    assert_eq!(state(pid), None);
}

#[test_case("stop", "they end with the build")]
#[test_case("keep", "they are kept")]
fn what_becomes_of_processes_that_hold_a_step_s_output_is_said(survivors: &str, fate: &str) {
    let env = TestEnv::new(&format!(
        "[steps]\nd = {{ run = 'sleep 300 & echo $! > pid', survivors = '{survivors}' }}\n"
    ));
    env.piper(&["exec", "d"]).succeeds().complains(fate);
    let pid = env.pid_in("pid");
    assert_eq!(state(pid).is_some(), survivors == "keep");
    if survivors == "keep" {
        signal(pid, libc::SIGKILL);
    }
}

#[test]
fn a_daemon_whose_name_is_cut_in_the_middle_of_a_letter_ends_with_the_build() {
    let env = TestEnv::sequence(&[(
        "d",
        "ln -s /bin/sh ääääääää; setsid ./ääääääää -c 'echo $$ > pid; while :; do sleep 0.05; done' & while [ ! -s pid ]; do sleep 0.005; done",
    )]);
    env.piper(&["exec"]).succeeds();
    assert_eq!(state(env.pid_in("pid")), None);
}

#[test]
fn nothing_survives_when_piper_itself_is_killed() {
    let env = TestEnv::sequence(&[(
        "d",
        "./daemonise daemon; sleep 300 & echo $! > child; echo $$ > leader; sleep 300",
    )]);
    env.program("daemonise", DAEMONISE);
    let running = env.call(&["exec"]).start();
    let pids = ["daemon", "child", "leader"].map(|name| env.pid_in(name));
    wait_for_watcher(running.pid());
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    pids.into_iter().for_each(wait_gone);
}

#[test]
fn the_next_start_closes_a_build_whose_piper_was_killed_and_its_log_is_there() {
    let env = TestEnv::sequence(&[("s", "echo printed; echo $$ > pid; sleep 300")]);
    let running = env.call(&["exec"]).start();
    running.wait_for_out("printed");
    // What is on the screen is in the file at the latest 200 ms later.
    wait_until("the line in the file", || {
        env.piper(&["logs", "@"]).out().contains("printed")
    });
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    wait_gone(env.pid_in("pid"));
    let logs = env.piper(&["logs", "@"]).succeeds().says("printed\n");
    logs.complains("piper was killed");
    let builds = env.piper(&["builds"]).succeeds();
    assert!(builds.out().contains("errored"), "{}", builds.out());
    env.piper(&["show", "@"]).succeeds();
    let shown = env.piper(&["show", "@"]).succeeds();
    assert!(shown.out().contains("interrupted"), "{}", shown.out());
    let shown = env.piper(&["show", "--output", "json"]).succeeds();
    assert!(shown.out().contains("\"errored\""), "{}", shown.out());
}

#[test]
fn orphans_that_end_while_a_step_runs_do_not_pile_up() {
    let env = TestEnv::sequence(&[(
        "s",
        "i=0; while [ $i -lt 100 ]; do (true &); i=$((i + 1)); done; echo begun; while [ ! -e go ]; do sleep 0.02; done",
    )]);
    let running = env.call(&["exec"]).start();
    running.wait_for_out("begun");
    // The step and the watcher.
    wait_until("the orphans to be reaped", || {
        children(running.pid()).len() <= 2
    });
    env.write("go", "");
    running.finish().succeeds();
}

#[test]
fn what_a_short_build_left_running_is_watched_and_shown_while_it_is_ended() {
    let env = TestEnv::new(
        "[steps]\nd = { run = '''echo printed; setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' > /dev/null 2>&1 & while [ ! -s pid ]; do sleep 0.001; done''', grace = '60s' }\n",
    );
    let running = env.call(&["exec", "d"]).start();
    let daemon = env.pid_in("pid");
    running.wait_for_out("printed");
    wait_for_watcher(running.pid());
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    wait_gone(daemon);
}

#[test]
fn ctrl_z_stops_piper_also_while_it_ends_what_steps_left_running() {
    let env = TestEnv::new(
        "[steps]\nd = { run = '''setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' > /dev/null 2>&1 & while [ ! -s pid ]; do sleep 0.01; done''', grace = '2s' }\n",
    );
    let running = env.call(&["exec", "d"]).start();
    running.wait_for_err("ending what steps left running");
    signal(running.pid(), libc::SIGTSTP);
    wait_until("piper to stop", || state(running.pid()) == Some('T'));
    signal(running.pid(), libc::SIGCONT);
    running.finish().succeeds();
    wait_gone(env.pid_in("pid"));
}

#[test]
fn a_stopped_watcher_keeps_no_build_from_ending() {
    let env = TestEnv::sequence(&[("s", "while [ ! -e go ]; do sleep 0.01; done")]);
    let running = env.call(&["exec"]).start();
    let watcher = wait_for_watcher(running.pid());
    signal(watcher, libc::SIGSTOP);
    env.write("go", "");
    running.finish().succeeds();
    wait_gone(watcher);
}

#[test]
fn in_the_place_of_a_killed_watcher_comes_another_one_that_knows_all_that_runs() {
    // It is found by its session alone.
    let env = TestEnv::sequence(&[(
        "s",
        "exec env -i sh -c 'echo $$ > pid; while :; do sleep 0.01; done'",
    )]);
    let running = env.call(&["exec"]).start();
    let (first, step) = (wait_for_watcher(running.pid()), env.pid_in("pid"));
    signal(first, libc::SIGKILL);
    wait_until("it to be reaped", || {
        !children(running.pid()).contains(&first)
    });
    wait_for_watcher(running.pid());
    running.signal(libc::SIGKILL);
    running.finish();
    wait_gone(step);
}

#[test]
fn who_kills_each_watcher_is_told_of_and_ends_no_build() {
    let env = TestEnv::sequence(&[("s", "while [ ! -e go ]; do sleep 0.01; done")]);
    let running = env.call(&["exec"]).start();
    for _ in 0..5 {
        let watcher = wait_for_watcher(running.pid());
        signal(watcher, libc::SIGKILL);
        wait_gone(watcher);
    }
    running.wait_for_err("steps will outlive piper if it is killed");
    env.write("go", "");
    running.finish().succeeds();
}
