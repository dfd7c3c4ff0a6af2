//! Streams, colours and events: stdout is data, stderr is talk.

use crate::support::{Call, TestEnv};
use test_case::test_case;

#[test]
fn only_what_steps_print_goes_to_stdout() {
    let env = TestEnv::sequence(&[("version", "echo 1.2.3; echo talk >&2")]);
    let done = env
        .piper(&["exec", "version"])
        .succeeds()
        .says("1.2.3\n")
        .complains("talk\n");
    done.complains("finished successfully");
    let script = format!(
        "V=$({} exec version) && echo \"<$V>\"",
        env!("CARGO_BIN_EXE_piper")
    );
    let done = Call::of(&env, "/bin/sh".as_ref())
        .args(&["-c", &script])
        .finish();
    done.succeeds().says("<1.2.3>\n");
}

#[test]
fn quiet_leaves_only_what_steps_print_and_errors() {
    let env = TestEnv::sequence(&[("a", "echo a; echo talk >&2"), ("b", "exit 3")]);
    let done = env
        .piper(&["exec", "--quiet", "--step", "a"])
        .succeeds()
        .says("a\n");
    assert_eq!(done.err(), "talk\n");
    env.piper(&["exec", "--quiet"])
        .exits(1)
        .complains("b failed");
}

#[test]
fn the_last_line_says_what_became_of_the_build_and_how_long_it_took() {
    let env = TestEnv::new(
        "[project]\nname = 'thing'\nversion = '2.0'\n[steps]\nok = 'true'\nbad = 'false'\n",
    );
    let last = |done: crate::support::Finished| done.err().lines().last().unwrap().to_owned();
    let good = last(env.piper(&["exec", "ok"]).succeeds());
    assert!(
        good.starts_with("thing 2.0 finished successfully in "),
        "{good}"
    );
    let bad = last(env.piper(&["exec", "bad"]).exits(1));
    assert!(bad.starts_with("thing 2.0 failed after "), "{bad}");
}

#[test]
fn steps_side_by_side_are_told_apart_and_no_line_is_torn() {
    let line = "0123456789abcdefghijklmnopqrstuvwxyz";
    let print = |name: &str| {
        format!("i=0; while [ $i -lt 3000 ]; do echo {name}-{line}-$i; i=$((i+1)); done")
    };
    let env = TestEnv::new(&format!(
        "[steps]\na = '{}'\nb = '{}'\n[pipelines]\nbuild = {{ steps = [['a', 'b']] }}\n",
        print("a"),
        print("b")
    ));
    let done = env.piper(&["exec", "-j2"]).succeeds();
    for name in ["a", "b"] {
        let prefix = format!("{name} │ ");
        let own: Vec<String> = done
            .lines()
            .into_iter()
            .filter(|text| text.starts_with(&prefix))
            .collect();
        let expected: Vec<String> = (0..3000)
            .map(|i| format!("{prefix}{name}-{line}-{i}"))
            .collect();
        assert_eq!(own, expected);
    }
    assert_eq!(done.lines().len(), 6000);
}

#[test_case(&[], &[], false; "a pipe")]
#[test_case(&["--color", "always"], &[], true; "always")]
#[test_case(&["--color", "always"], &[("NO_COLOR", "1")], true; "a flag beats a variable")]
#[test_case(&["--color", "never"], &[("FORCE_COLOR", "1")], false; "never")]
#[test_case(&[], &[("NO_COLOR", "1")], false; "no colour")]
fn colours_of_steps_and_of_piper_follow_the_flag(
    args: &[&str],
    variables: &[(&str, &str)],
    colored: bool,
) {
    let env = TestEnv::sequence(&[("s", "printf '\\033[31mred\\033[0m %s\\n' \"$FORCE_COLOR\"")]);
    let mut call = env.call(&["exec"]).args(args);
    for (name, value) in variables {
        call = call.env(name, value);
    }
    let done = call.finish().succeeds();
    assert_eq!(done.out().contains("\u{1b}["), colored, "{:?}", done.out());
    assert_eq!(done.err().contains("\u{1b}["), colored, "{:?}", done.err());
    assert!(
        done.out().contains("red") && done.out().contains('1'),
        "{:?}",
        done.out()
    );
}

#[test]
fn a_step_can_be_told_not_to_use_colours() {
    let env = TestEnv::new("[steps]\ns = { run = 'echo ${FORCE_COLOR-none}', color = false }\n");
    env.piper(&["exec", "s"]).succeeds().says("none\n");
}

const STORY: &str = "[steps]
good = 'echo fine; printf tail'
flaky = { run = 'if [ ! -e again ]; then : > again; exit 9; fi', retry = 1 }
bytes = '''printf '\\377\\000\\n' '''
bad = 'exit 3'
skipped = 'echo no'
off = { run = 'echo no', when = { param = { p = 'yes' } } }
[pipelines.build]
steps = ['good', 'flaky', 'bytes', 'off', 'bad', 'skipped']
params.p = { default = 'no' }
";

#[test]
fn every_event_of_a_build_is_as_the_schema_says() {
    let env = TestEnv::new(STORY);
    let done = env.piper(&["exec", "--output", "json"]).exits(1);
    let events = done.events();
    let started = events.of("build.started");
    assert_eq!(
        (started.len(), &started[0]["params"]["p"]),
        (1, &"no".into())
    );
    assert_eq!(started[0]["steps"].as_array().unwrap().len(), 6);
    assert_eq!(events.printed("good"), ["fine", "tail"], "{}", done.out());
    assert_eq!(events.of("log")[1]["no_eol"], true);
    let bytes = events
        .of("log")
        .into_iter()
        .find(|event| event["step"] == "bytes")
        .unwrap();
    assert_eq!(
        (&bytes["base64"], &bytes["text"]),
        (&"/wA=".into(), &serde_json::Value::Null)
    );
    let tries = events.of("try.finished");
    let first = tries.iter().find(|event| event["step"] == "flaky").unwrap();
    assert_eq!(
        (&first["exit"]["status"], first["retry_after_us"].is_u64()),
        (&9.into(), true)
    );
    assert_eq!(events.step("flaky")["flaky"], true);
    assert_eq!(
        (events.outcome("off"), events.outcome("skipped")),
        ("skipped", "skipped")
    );
    assert!(
        events.step("off")["reason"]
            .as_str()
            .unwrap()
            .contains("only for p=yes")
    );
    let counts = &events.end()["counts"];
    assert_eq!(
        (&counts["succeeded"], &counts["failed"], &counts["skipped"]),
        (&3.into(), &1.into(), &2.into())
    );
    for event in &events.0[1..] {
        assert_eq!(event["build"], events.end()["build"]);
    }
}

#[test]
fn what_is_logged_is_ordered_before_the_end_of_its_try() {
    let env = TestEnv::sequence(&[("a", "seq 1 5000"), ("b", "seq 1 5000")]);
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    let events = done.events();
    let mut ended = Vec::new();
    let mut lines = 0;
    for event in &events.0 {
        match event["type"].as_str().unwrap() {
            "log" => {
                assert_eq!(event["line"], lines, "numbers without gaps");
                lines += 1;
                assert!(
                    !ended.contains(&&event["step"]),
                    "a line after the end: {event}"
                );
            }
            "try.finished" => {
                ended.push(&event["step"]);
                assert_eq!(event["log_end"], lines);
            }
            _ => {}
        }
    }
    assert_eq!(lines, 10_000);
}

#[test]
fn a_step_begins_before_its_first_line() {
    // Which of the two is there first is a race, which a busy machine decides differently once in a hundred builds.
    let env = TestEnv::sequence(&[("a", "echo a"), ("b", "echo b")]);
    let running: Vec<_> = (0..60)
        .map(|_| env.call(&["exec", "--output", "json"]).start())
        .collect();
    for build in running {
        let events = build.finish().succeeds().events();
        let place = |kind: &str, step: &str| {
            let is = |event: &&serde_json::Value| event["type"] == kind && event["step"] == step;
            events
                .0
                .iter()
                .find(is)
                .unwrap_or_else(|| panic!("no {kind} of {step}: {:#?}", events.0))["seq"]
                .as_u64()
        };
        for step in ["a", "b"] {
            assert!(
                place("step.started", step) < place("log", step),
                "{:#?}",
                events.0
            );
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_quietly() {
    let env = TestEnv::sequence(&[("s", "seq 1 100000")]);
    env.piper(&["exec", "-q"]).succeeds();
    for command in [
        "logs", "list", "builds", "show", "plan", "schema", "explain",
    ] {
        let script = format!(
            "{} {command} | head -n 1; echo ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_piper")
        );
        let done = Call::of(&env, "/bin/bash".as_ref())
            .args(&["-c", &script])
            .finish()
            .succeeds();
        assert_eq!(
            (done.err().as_str(), done.lines()[1].as_str()),
            ("", "0"),
            "{command}"
        );
    }
}

#[test]
fn no_command_and_help_are_answers() {
    let env = TestEnv::empty();
    let help = env.piper(&[]).succeeds();
    assert!(help.out().contains("Usage: piper"), "{}", help.out());
    env.piper(&["--version"])
        .succeeds()
        .says(&format!("piper {}\n", env!("CARGO_PKG_VERSION")));
    env.piper(&["exce"]).exits(2).complains("exec");
}
