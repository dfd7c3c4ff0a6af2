//! How steps and builds end: retries, timeouts, grace, exit codes.

use crate::support::TestEnv;
use std::time::Duration;
use test_case::test_case;

/// Fails until it was called as often as its first argument says, then passes.
const NTH: &str = "#!/bin/sh\necho try >> tries\n[ $(wc -l < tries) -ge $1 ] || exit ${2:-1}\n";

fn step(keys: &str) -> TestEnv {
    let env = TestEnv::new(&format!(
        "[steps.s]\n{keys}\n[pipelines]\nbuild = {{ steps = ['s'] }}\n"
    ));
    env.program("nth", NTH);
    env
}

#[test]
fn a_step_that_passes_at_a_later_try_is_flaky_and_the_log_of_every_try_is_kept() {
    let env = step("run = 'echo hello; ./nth 3'\nretry = 4");
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    let events = done.events();
    assert_eq!(events.of("try.finished").len(), 3);
    assert_eq!(
        (&events.step("s")["tries"], &events.step("s")["flaky"]),
        (&3.into(), &true.into())
    );
    assert_eq!(events.end()["counts"]["flaky"], 1);
    for address in ["@/s#1", "@/s#2", "@/s#3"] {
        env.piper(&["logs", address]).succeeds().says("hello\n");
    }
    env.piper(&["logs", "@"])
        .succeeds()
        .says("hello\nhello\nhello\n");
}

#[test]
fn retries_run_out() {
    let env = step("run = './nth 9'\nretry = 2");
    env.piper(&["exec"]).exits(1).complains("try 3");
    assert_eq!(env.words("tries").len(), 3);
}

#[test_case("exit:75", 75, 2; "the status that is named")]
#[test_case("exit:75", 74, 1; "another status")]
#[test_case("exit", 1, 2; "any status")]
#[test_case("signal", 1, 1; "a status where a signal is wanted")]
#[test_case("timeout", 1, 1; "a status where a timeout is wanted")]
fn a_try_is_repeated_only_for_what_is_named(on: &str, status: i32, tries: usize) {
    let env = step(&format!(
        "run = './nth 2 {status}'\nretry = {{ max = 1, on = ['{on}'] }}"
    ));
    let code = if tries == 2 { 0 } else { 1 };
    env.piper(&["exec"]).exits(code);
    assert_eq!(env.words("tries").len(), tries);
}

#[test_case("kill -SEGV $$", "signal"; "a signal")]
#[test_case("sh -c \"kill -9 \\$\\$\"; exit $?", "signal"; "a shell that tells of a signal by its status")]
#[test_case("sleep 60", "timeout"; "a timeout")]
fn a_signal_and_a_timeout_can_be_worth_another_try(end: &str, on: &str) {
    let env = step(&format!(
        "run = '''echo try >> tries; [ $(wc -l < tries) -lt 2 ] || exit 0; {end}'''\n\
         timeout = '200ms'\nretry = {{ max = 1, on = ['{on}'] }}"
    ));
    env.piper(&["exec"]).succeeds().complains("flaky");
}

#[test]
fn a_further_try_waits_for_its_delay() {
    let env = step("run = './nth 2'\nretry = { max = 1, delay = '300ms' }");
    let done = env.piper(&["exec"]).succeeds();
    assert!(done.took >= Duration::from_millis(300), "{:?}", done.took);
}

#[test]
fn a_step_that_takes_too_long_is_ended_and_said_to_have_timed_out() {
    let env = step("run = 'echo begun; sleep 60'\ntimeout = '100ms'");
    let done = env.piper(&["exec", "--output", "json"]).exits(1);
    let events = done.events();
    assert_eq!(events.step("s")["exit"], "timeout");
    assert_eq!(events.of("step.stopping")[0]["signal"], "SIGTERM");
    env.piper(&["exec"]).exits(1).complains("timeout");
}

#[test]
fn a_silent_step_is_ended_by_its_idle_timeout_and_a_talking_one_is_not() {
    let env = step(
        "run = 'for i in $(seq 20); do echo $i; sleep 0.1; done; sleep 60'\nidle-timeout = '1500ms'",
    );
    let done = env.piper(&["exec", "--output", "json"]).exits(1);
    assert_eq!(done.events().step("s")["exit"], "idle-timeout");
    assert_eq!(done.events().printed("s").len(), 20, "it talked for longer");
}

#[test]
fn a_step_that_does_not_hear_is_killed_after_its_grace() {
    let env = step(
        "run = '''trap \"\" TERM; while :; do sleep 0.02; done'''\ntimeout = '100ms'\ngrace = '200ms'",
    );
    let done = env.piper(&["exec"]).exits(1);
    assert!(done.took >= Duration::from_millis(300), "{:?}", done.took);
    assert!(done.took < Duration::from_secs(9), "{:?}", done.took);
}

#[test]
fn a_step_is_asked_with_its_own_signal_and_can_tidy_up() {
    let env = step(
        "run = '''trap \"echo tidied; exit 0\" USR1; while :; do sleep 0.01; done'''\ntimeout = '100ms'\nstop-signal = 'USR1'",
    );
    env.piper(&["exec"]).exits(1).says("tidied\n");
}

#[test]
fn a_build_that_takes_too_long_has_failed_and_its_always_steps_run() {
    let env = TestEnv::new(
        "[steps]\nlong = 'sleep 60'\nnever = 'echo never'\ntidy = { run = 'echo tidy', when = 'always' }\n\
         [pipelines]\nbuild = { steps = ['long', 'never', 'tidy'], timeout = '200ms' }\n",
    );
    let done = env.piper(&["exec", "--output", "json"]).exits(1);
    let events = done.events();
    assert_eq!(events.began(), ["long", "tidy"]);
    assert_eq!(events.end()["outcome"], "failed");
}

#[test_case("exit 7", "exit code 7"; "a status")]
#[test_case("kill -KILL $$", "SIGKILL"; "a signal")]
#[test_case("no-such-program-anywhere", "127"; "no such program")]
#[test_case("./plain", "126"; "not executable")]
fn a_failed_step_is_said_to_have_failed_with_its_end_and_its_command(script: &str, end: &str) {
    let env = TestEnv::sequence(&[("s", script)]);
    env.write("plain", "text");
    env.piper(&["exec"])
        .exits(1)
        .complains(end)
        .complains(script);
}

#[test]
fn a_program_of_an_argv_that_is_not_there_is_the_users_fault() {
    let env = TestEnv::new("[steps]\ns = { argv = ['no-such-program-anywhere'] }\n");
    env.piper(&["exec", "s"])
        .exits(1)
        .complains("not found in PATH");
}

#[test_case("['/no/such/prog']", "there is no file /no/such/prog"; "an absolute path")]
#[test_case("['./gen']", "there is no file ./gen in "; "a relative path")]
#[test_case("['./broken']", "the interpreter that its first line names"; "a script without its interpreter")]
fn a_program_by_a_path_is_not_said_to_be_missing_in_path(argv: &str, why: &str) {
    let env = TestEnv::new(&format!("[steps]\ns = {{ argv = {argv} }}\n"));
    env.program("broken", "#!/no/such/interpreter\n");
    let done = env.piper(&["exec", "s"]).exits(1).complains(why);
    assert!(!done.err().contains("in PATH"));
}

#[test]
fn a_folder_that_is_not_there_is_the_users_fault() {
    let env = TestEnv::new("[steps]\ns = { run = 'true', cwd = 'nowhere' }\n");
    env.piper(&["exec", "s"]).exits(1).complains("nowhere");
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    let env = TestEnv::new(
        "[steps]\na = './script x'\nb = { argv = ['./script', 'y'] }\n[pipelines]\nbuild = { steps = ['a', 'b'] }\n",
    );
    env.program("script", "echo \"$0 got $1\"\n");
    env.piper(&["exec"])
        .succeeds()
        .says("./script got x\n./script got y\n");
}

#[test_case("'./foreign'"; "by a line of a shell")]
#[test_case("{ argv = ['./foreign'] }"; "by its words")]
fn a_program_that_this_system_cannot_execute_is_not_taken_for_a_script(step: &str) {
    let env = TestEnv::new(&format!("[steps]\ns = {step}\n"));
    env.program("foreign", "\x7fELF\x02\x01\x01\0\ntouch ran\n");
    env.piper(&["exec", "s"])
        .exits(1)
        .complains("`./foreign` cannot be executed")
        .complains("exec format error");
    assert!(!env.path("ran").exists());
}

#[test_case(&["exec", "--no-such-flag"], 2; "an unknown flag")]
#[test_case(&["no-such-command"], 2; "an unknown command")]
#[test_case(&["exec", "nothing-of-this-name"], 2; "an unknown pipeline")]
#[test_case(&["exec", "ok", "nowhere"], 2; "an unknown environment")]
#[test_case(&["exec", "ok", "p=1"], 2; "an unknown parameter")]
#[test_case(&["exec", "ok"], 0; "success")]
#[test_case(&["exec", "bad"], 1; "failure")]
#[test_case(&["-C", "/nowhere/at/all", "exec"], 2; "no such folder")]
#[test_case(&["logs", "zzzzzzz"], 2; "an unknown build")]
#[test_case(&[], 0; "a question for help")]
fn exit_codes_are_as_documented(args: &[&str], code: i32) {
    let env = TestEnv::new("[steps]\nok = 'true'\nbad = 'false'\n");
    env.piper(args).exits(code);
}

#[test]
fn all_problems_of_the_project_file_are_said_before_anything_runs() {
    let env = TestEnv::new(
        "[steps]\na = 'touch ran'\nb = { run = 'true', timout = '5m' }\n[pipelines]\nbuild = { steps = ['a', 'bb'] }\n",
    );
    let done = env.piper(&["exec", "a"]).exits(2).says("");
    let done = done
        .complains("timout")
        .complains("did you mean `timeout`")
        .complains("`bb`");
    assert!(done.err().contains("piper.toml:3:"), "{}", done.err());
    assert!(!env.path("ran").exists());
}
