//! A step with the keyboard, and piper on a real terminal.

use crate::support::{Terminal, TestEnv};

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
