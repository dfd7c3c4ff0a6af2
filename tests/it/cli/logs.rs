//! The log through the whole program: the bytes that went in come out.

use crate::support::{Call, Terminal, TestEnv};
use test_case::test_case;

fn of_file(bytes: &[u8]) -> TestEnv {
    let env = TestEnv::sequence(&[("s", "cat bytes")]);
    env.write("bytes", bytes);
    env
}

/// Reproducible noise: every byte value, with line ends here and there.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test_case(b""; "nothing")]
#[test_case(b"\n\n\n"; "empty lines")]
#[test_case(b"a\0b\0\n\0"; "zero bytes")]
#[test_case(b"10%\r50%\r100%\r\ndone\r\n"; "carriage returns")]
#[test_case(b"\xff\xfe\xc3\n\xc3\x28 \xf0\x9f\n"; "invalid utf-8")]
#[test_case(b"no line end"; "no line end")]
#[test_case("żółć 🦀 │ \u{200d}\n".as_bytes(); "other scripts")]
#[test_case(b"\x1b[31mred\x1b[0m\x1b[2J\x07\n"; "escape sequences")]
fn raw_gives_the_very_bytes(bytes: &[u8]) {
    let env = of_file(bytes);
    env.piper(&["exec", "-q"]).succeeds();
    assert_eq!(env.piper(&["logs", "--raw"]).succeeds().stdout, bytes);
}

#[test]
fn a_megabyte_of_noise_comes_back_as_it_was() {
    let bytes = noise(1 << 20);
    let env = of_file(&bytes);
    env.piper(&["exec", "-q"]).succeeds();
    assert!(env.piper(&["logs", "--raw"]).succeeds().stdout == bytes);
}

#[test]
fn a_line_of_eight_megabytes_comes_back_as_one() {
    let mut bytes = vec![b'x'; 8 << 20];
    bytes.extend_from_slice(b"\nnext\n");
    let env = of_file(&bytes);
    let done = env.piper(&["exec", "-q"]).succeeds();
    assert!(
        done.stdout == bytes,
        "{} bytes on the screen",
        done.stdout.len()
    );
    assert!(env.piper(&["logs", "--raw"]).succeeds().stdout == bytes);
    assert!(env.piper(&["logs"]).succeeds().stdout == bytes);
    env.piper(&["logs", "--tail", "1"])
        .succeeds()
        .says("next\n");
}

#[test]
fn the_last_line_takes_no_memory_however_long_it_is() {
    let env = TestEnv::sequence(&[("s", "echo first; head -c 64M /dev/zero | tr '\\0' x")]);
    env.piper(&["exec", "-q"]).succeeds();
    let piper = env!("CARGO_BIN_EXE_piper");
    let script = format!("ulimit -d 32768; {piper} logs --tail 1 | wc -c");
    let call = Call::of(&env, "/bin/sh".as_ref()).args(&["-c", &script]);
    call.finish().succeeds().says("67108864\n");
}

#[test]
fn plain_text_is_printed_as_it_is() {
    let env = of_file("żółć 🦀\n\n  indented\n".as_bytes());
    env.piper(&["exec"])
        .succeeds()
        .says("żółć 🦀\n\n  indented\n");
    env.piper(&["logs"])
        .succeeds()
        .says("żółć 🦀\n\n  indented\n");
}

#[test]
fn two_hundred_thousand_lines_are_kept_and_any_of_them_is_found() {
    let env = TestEnv::sequence(&[("s", "seq 1 200000")]);
    let done = env.piper(&["exec"]).succeeds();
    let all: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(done.out() == all);
    assert!(env.piper(&["logs", "--raw"]).succeeds().out() == all);
    env.piper(&["logs", "--lines", "199999-"])
        .succeeds()
        .says("199999\n200000\n");
    env.piper(&["logs", "--lines", "123456-123457"])
        .succeeds()
        .says("123456\n123457\n");
    env.piper(&["logs", "--lines", "77"])
        .succeeds()
        .says("77\n");
    env.piper(&["logs", "--lines", "-2"])
        .succeeds()
        .says("1\n2\n");
    env.piper(&["logs", "--tail", "2"])
        .succeeds()
        .says("199999\n200000\n");
    env.piper(&["logs", "--lines", "9-3"]).exits(2);
}

#[test]
fn a_log_is_shown_by_step_by_stream_and_by_time() {
    let env = TestEnv::sequence(&[("a", "echo a1; echo a2 >&2"), ("b", "echo b1")]);
    env.piper(&["exec", "-q"]).succeeds();
    env.piper(&["logs", "--step", "a"])
        .succeeds()
        .says("a1\na2\n");
    env.piper(&["logs", "@/b"]).succeeds().says("b1\n");
    env.piper(&["logs", "--step", "a", "--stream", "stdout"])
        .succeeds()
        .says("a1\n")
        .never_says("a2");
    env.piper(&["logs", "--since", "1h", "@/b"])
        .succeeds()
        .says("b1\n");
    env.piper(&["logs", "--since", "2999-01-01T00:00:00Z"])
        .succeeds()
        .says("");
    env.piper(&["logs", "--step", "c"])
        .exits(2)
        .complains("its steps are a, b");
    for command in ["logs", "show"] {
        env.piper(&[command, "@/a#2"])
            .exits(2)
            .complains("it has one try");
    }
}

#[test]
fn a_running_build_is_followed_from_another_process() {
    let env = TestEnv::sequence(&[
        (
            "a",
            "echo one; while [ ! -e go ]; do sleep 0.005; done; echo two",
        ),
        ("b", "while [ ! -e end ]; do sleep 0.005; done; echo three"),
    ]);
    let build = env.call(&["exec", "-q"]).start();
    build.wait_for_out("one");
    let follow = env.call(&["logs", "-f", "@", "--raw"]).start();
    follow.wait_for_out("one");
    env.write("go", "");
    follow.wait_for_out("two");
    env.write("end", "");
    build.finish().succeeds();
    follow.finish().succeeds().says("one\ntwo\nthree\n");
}

#[test]
fn a_build_that_never_rests_is_followed_as_it_prints() {
    let env = TestEnv::sequence(&[("a", "while [ ! -e end ]; do echo tick; sleep 0.1; done")]);
    let build = env.call(&["exec", "-q"]).start();
    build.wait_for_out("tick");
    let follow = env.call(&["logs", "-f", "@"]).start();
    follow.wait_for_out("tick");
    env.write("end", "");
    build.finish().succeeds();
    follow.finish().succeeds();
}

#[test]
fn a_finished_build_is_followed_to_its_end_at_once() {
    let env = TestEnv::sequence(&[("a", "echo one")]);
    env.piper(&["exec"]).succeeds();
    env.piper(&["logs", "--follow"]).succeeds().says("one\n");
}

#[test]
fn the_order_of_both_streams_is_kept_where_the_writer_waits() {
    let env = TestEnv::sequence(&[(
        "s",
        "for i in 1 2 3; do for to in 1 2; do echo said$i$to >&$to; while [ ! -e seen$i$to ]; do sleep 0.005; done; done; done",
    )]);
    let running = env.call(&["exec"]).start();
    for i in 1..=3 {
        running.wait_for_out(&format!("said{i}1"));
        env.write(&format!("seen{i}1"), "");
        running.wait_for_err(&format!("said{i}2"));
        env.write(&format!("seen{i}2"), "");
    }
    running.finish().succeeds();
    let done = env.piper(&["logs", "--output", "json"]).succeeds();
    let said = ["said11", "said12", "said21", "said22", "said31", "said32"];
    assert_eq!(done.events().printed("s"), said);
}

#[test]
fn logs_are_also_events_for_programs() {
    let env = TestEnv::sequence(&[("s", "echo one; echo two >&2")]);
    env.piper(&["exec"]).succeeds();
    let done = env.piper(&["logs", "--output", "json"]).succeeds();
    assert_eq!(done.events().printed("s"), ["one", "two"]);
}

#[test]
fn lines_beyond_the_end_are_answered_with_how_many_there_are() {
    let env = TestEnv::sequence(&[("a", "echo one; echo two"), ("b", "true")]);
    env.piper(&["exec", "-q"]).succeeds();
    env.piper(&["logs", "--lines", "3-9"])
        .succeeds()
        .says("")
        .complains("there are only 2 lines");
    env.piper(&["logs", "@/b", "--lines", "1"])
        .succeeds()
        .says("")
        .complains("there are no lines");
    let some = env.piper(&["logs", "@/a", "--lines", "2-9"]).succeeds();
    some.says("two\n").never_says("only");
}

#[test]
fn a_person_sees_where_another_try_begins_and_a_program_gets_the_lines_alone() {
    let env = TestEnv::new(
        "[steps]\nunit = { run = 'echo x >> tries; echo said; test $(wc -l <tries) -gt 1', retry = 1 }\n",
    );
    env.piper(&["exec", "unit", "-q"]).succeeds();
    env.piper(&["logs", "--step", "unit"])
        .succeeds()
        .says("said\nsaid\n");
    let screen = Terminal::start(env.call(&["logs", "--step", "unit", "--color", "never"]));
    screen.wait_for("said\r\n── try 2 ──\r\nsaid\r\n");
}

#[test]
fn whoever_follows_a_build_whose_piper_is_killed_is_told() {
    let env = TestEnv::sequence(&[("a", "echo begun; sleep 60")]);
    let running = env.call(&["exec"]).start();
    running.wait_for_out("begun");
    let follower = env.call(&["logs", "-f", "@"]).start();
    follower.wait_for_out("begun");
    running.signal(libc::SIGKILL);
    running.finish().dies_of(libc::SIGKILL);
    follower
        .finish()
        .succeeds()
        .complains("piper was killed while this build ran");
}
