//! A step with the keyboard, and piper on a real terminal.

use crate::support::{Call, Terminal, TestEnv, state, wait_until};
use std::{thread, time::Duration};
use test_case::test_case;

/// A terminal with a shell that has job control, in which `piper exec ask` was typed.
fn typed_in_a_shell(env: &TestEnv, after: &str) -> Terminal {
    let shell = Call::of(env, "/bin/bash".as_ref()).args(&["--norc", "--noprofile", "-i"]);
    let mut terminal = Terminal::start(shell);
    let piper = env!("CARGO_BIN_EXE_piper");
    terminal.press(&format!("{piper} exec ask{after}\r"));
    terminal
}

#[test]
fn a_step_with_a_terminal_reads_the_keyboard() {
    let env = TestEnv::new(
        "[steps]\nask = { run = '''test -t 0 && test -t 1 && test -n \"$TERM\"; printf 'name? '; read name; echo \"hello, $name\"''', tty = true }\n",
    );
    let mut terminal = Terminal::start(env.call(&["exec", "ask"]));
    terminal.wait_for("name? ");
    terminal.press("Ada\r");
    assert!(terminal.finish().success(), "{}", terminal.sent());
    assert!(
        terminal.sent().contains("hello, Ada"),
        "{}",
        terminal.sent()
    );
    let log = env.piper(&["logs", "@", "--raw"]).succeeds();
    assert!(log.out().contains("hello, Ada"), "{}", log.out());
}

#[test]
fn a_step_with_a_terminal_reads_a_pipe_where_there_is_no_terminal() {
    let env =
        TestEnv::new("[steps]\nask = { run = 'read name; echo \"hello, $name\"', tty = true }\n");
    env.call(&["exec", "ask"])
        .input("Ada\n")
        .finish()
        .succeeds()
        .says("hello, Ada\n");
}

#[test]
fn a_step_without_the_key_has_no_terminal_even_where_piper_has_one() {
    let env = TestEnv::sequence(&[(
        "s",
        "test -t 0 || test -t 1 || test -t 2 || test -n \"${TERM-}\" || echo none of them",
    )]);
    let mut terminal = Terminal::start(env.call(&["exec"]));
    assert!(terminal.finish().success(), "{}", terminal.sent());
    assert!(
        terminal.sent().contains("none of them"),
        "{}",
        terminal.sent()
    );
}

#[test]
fn ctrl_c_on_the_keyboard_cancels_the_build() {
    let env = TestEnv::sequence(&[("s", "echo begun; sleep 60")]);
    let mut terminal = Terminal::start(env.call(&["exec"]));
    terminal.wait_for("begun");
    terminal.press("\u{3}");
    assert_eq!(terminal.killed_by(), Some(libc::SIGINT));
    assert!(terminal.sent().contains("SIGINT"), "{}", terminal.sent());
}

#[test]
fn ctrl_c_in_a_step_with_the_keyboard_is_the_steps_own() {
    let env = TestEnv::new(
        "[steps]\nask = { run = '''trap 'echo mine; exit 0' INT; echo ready; while :; do sleep 0.01; done''', tty = true }\n",
    );
    let mut terminal = Terminal::start(env.call(&["exec", "ask"]));
    terminal.wait_for("ready");
    terminal.press("\u{3}");
    assert!(terminal.finish().success(), "{}", terminal.sent());
    assert!(terminal.sent().contains("mine"), "{}", terminal.sent());
}

#[test_case(""; "alone")]
#[test_case(" | cat"; "in a pipeline")]
fn ctrl_z_in_a_step_with_the_keyboard_stops_it_with_piper_and_fg_lets_both_go_on(after: &str) {
    let env = TestEnv::new(
        "[steps]\nask = { run = '''trap 'touch drawn' WINCH; echo $$ > pid; echo ready; while [ ! -e drawn ]; do sleep 0.01; done; read name; echo \"hello, $name\"''', tty = true, timeout = '1500ms' }\n",
    );
    let mut terminal = typed_in_a_shell(&env, after);
    terminal.wait_for("ready");
    terminal.press("\u{1a}");
    terminal.wait_for("Stopped");
    // A shell that is just starting a program waits (D) for that to begin, and the program is stopped before it can.
    wait_until("the step to stop", || {
        matches!(state(env.pid_in("pid")), Some('T' | 'D'))
    });
    terminal.press("echo a shell again: $((1 + 1))\r");
    terminal.wait_for("a shell again: 2");
    // Longer than the step's timeout: this is the one thing that only passing time can show.
    thread::sleep(Duration::from_millis(1800));
    terminal.press("fg\r");
    // Until then what is typed may be the shell's.
    wait_until("the step to draw its screen again", || {
        env.path("drawn").exists()
    });
    terminal.press("Ada\r");
    terminal.wait_for("hello, Ada");
    // Until then keys are the step's.
    terminal.wait_for("passed in");
    terminal.press("exit\r");
    terminal.finish();
}

#[test]
fn a_step_with_the_keyboard_leaves_the_terminal_alone_until_piper_is_in_the_foreground() {
    let env = TestEnv::new(
        "[steps]\nask = { run = '''echo $PPID > pid; read name; echo \"hello, $name\"''', tty = true }\n",
    );
    let mut terminal = typed_in_a_shell(&env, " &");
    let piper = env.pid_in("pid");
    for turn in 1..=3 {
        terminal.press(&format!("echo a shell still: $(({turn} + 1))\r"));
        terminal.wait_for(&format!("a shell still: {}", turn + 1));
        assert_ne!(state(piper), Some('T'), "{}", terminal.sent());
    }
    terminal.press("fg\r");
    terminal.wait_for("fg\r\n");
    terminal.press("Ada\r");
    terminal.wait_for("hello, Ada");
    terminal.wait_for("passed in");
    terminal.press("exit\r");
    terminal.finish();
}

#[test]
fn what_is_typed_ahead_of_a_step_waits_for_it() {
    const MANY: usize = 20_000;
    let script = format!("stty raw -echo; touch raw; sleep 0.5; head -c {MANY} | wc -c");
    let env = TestEnv::new(&format!(
        "[steps]\nask = {{ run = '{script}', tty = true }}\n"
    ));
    let mut terminal = Terminal::start(env.call(&["exec", "ask"]));
    wait_until("its terminal to be raw", || env.path("raw").exists());
    terminal.press(&"x".repeat(MANY));
    assert!(terminal.finish().success(), "{}", terminal.sent());
    assert!(terminal.sent().contains("20000"), "{}", terminal.sent());
}

#[test]
fn ctrl_z_in_a_shell_that_is_the_step_is_that_shell_s_own() {
    let env = TestEnv::new(
        "[steps]\nask = { argv = ['bash', '--norc', '--noprofile', '-i'], tty = true }\n",
    );
    let mut terminal = Terminal::start(env.call(&["exec", "ask"]));
    // At its prompt it ignores the key, as under any terminal.
    terminal.press("echo $((1 + 1)) prompts\r");
    terminal.wait_for("2 prompts");
    terminal.press("\u{1a}");
    terminal.press("sh -c 'echo $$ > pid; exec sleep 60'\r");
    let job = env.pid_in("pid");
    wait_until("the job to be a sleep", || state(job) == Some('S'));
    terminal.press("\u{1a}");
    terminal.wait_for("Stopped");
    assert_eq!(state(job), Some('T'));
    terminal.press("kill %1; fg; exit\r");
    terminal.finish();
    assert!(!terminal.sent().contains("paused"), "{}", terminal.sent());
}

#[test]
fn a_step_cannot_leave_the_terminal_in_disorder() {
    // Alternate screen, hidden cursor, a title, a bell without end, and a colour that is not ended.
    let env = TestEnv::sequence(&[(
        "rude",
        "printf '\\033[?1049h\\033[?25l\\033]0;title\\007\\033[2J\\033[10;10H\\033[31mred\\n'",
    )]);
    let mut terminal = Terminal::start(env.call(&["exec"]));
    assert!(terminal.finish().success());
    let sent = terminal.sent();
    for bad in [
        "\u{1b}[?1049h",
        "\u{1b}]0;title",
        "\u{1b}[2J",
        "\u{1b}[10;10H",
    ] {
        assert!(!sent.contains(bad), "{bad:?} in {sent:?}");
    }
    let hidden = sent.rfind("\u{1b}[?25l");
    assert!(
        hidden.is_none() || hidden < sent.rfind("\u{1b}[?25h"),
        "the cursor is there again: {sent:?}"
    );
    assert!(sent.contains("red"), "{sent:?}");
    let raw = env.piper(&["logs", "@", "--raw"]).succeeds();
    assert!(
        raw.out().contains("\u{1b}[2J"),
        "the record has the very bytes"
    );
}
