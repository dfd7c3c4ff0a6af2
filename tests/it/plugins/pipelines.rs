//! Plugins in pipelines: steps that they run and plan, with options, pins and grants.

use super::{cached, plugin, write_grants};
use crate::support::{Finished, TestEnv, guests};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};
use test_case::test_case;

const MANIFEST: &str = r#"manifest = 1
name = "odd"
version = "1.0.0"
[[step]]
name = "plan"
role = "planner"
[[step]]
name = "everything"
role = "planner"
"#;

const RUNNERS: [&str; 14] = [
    "hello",
    "echo",
    "spin",
    "panic",
    "allocate",
    "wait",
    "sleep",
    "escape",
    "flood",
    "read",
    "commands",
    "remember",
    "end-a-command",
    "mistake",
];

const SCHEMA: &str = r#"{ "step-runner": { "hello": {
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "name": { "type": "string" },
        "times": { "type": "integer", "maximum": 3, "default": 1 },
        "more": { "type": "array", "items": { "type": "string" } }
    }
} } }"#;

fn manifest(more: &str) -> String {
    let mut manifest = MANIFEST.to_owned();
    for name in RUNNERS {
        manifest.push_str(&format!("[[step]]\nname = \"{name}\"\nrole = \"runner\"\n"));
    }
    manifest + "[[notifier]]\n[[trigger]]\n[[webhook]]\nverify = \"plugin\"\n[log-sink]\n" + more
}

fn component(more: &str) -> Vec<u8> {
    let component = guests::with_section(guests::odd(), "piper:manifest", &manifest(more));
    guests::with_section(&component, "piper:options-schema", SCHEMA)
}

/// A project with this file whose plugin `odd` is pinned; its manifest has `more` at its end.
fn project_with(more: &str, file: &str) -> TestEnv {
    let env = TestEnv::new(file);
    env.write("ci/odd.wasm", component(more));
    plugin(&env, &["add", "./ci/odd.wasm"]).finish().succeeds();
    env
}

pub(super) fn project(file: &str) -> TestEnv {
    project_with("", file)
}

pub(super) fn piper(env: &TestEnv, args: &[&str]) -> Finished {
    cached(env.call(args)).finish()
}

#[test]
fn a_step_that_a_plugin_runs_is_a_step_like_any_other() {
    let env = project(
        "[steps.greet]\nuses = \"odd/hello\"\nwith = { name = { param = \"who\" } }\n\
         [steps]\nafter = 'cat \"$PIPER_NEEDS/greet/greeted\"'\n\
         [pipelines.build]\nparams.who = { default = \"world\" }\nsteps = [\"greet\", \"after\"]\n",
    );
    let done = piper(&env, &["exec", "build", "who=you"]).succeeds();
    for line in [
        "to stdout",
        "greeted everybody",
        r#"{"name":"you","times":1}"#,
    ] {
        assert!(done.out().contains(line), "{line} in {}", done.out());
    }
    let log = env.piper(&["logs", "@", "--step", "greet"]).succeeds();
    for line in ["to stdout", "to stderr", "a.rs:3: warning: hm"] {
        assert!(log.out().contains(line), "{line} in {}", log.out());
    }
    env.piper(&["show"]).succeeds();
}

#[test]
fn what_a_plugin_points_at_is_named_from_the_top_of_the_project() {
    let env = project("[steps.greet]\nuses = \"odd/hello\"\ncwd = \"docs\"\n");
    env.write("docs/a.rs", "");
    piper(&env, &["exec", "greet"]).succeeds();
    let log = env.piper(&["logs", "@", "--step", "greet"]).succeeds();
    assert!(
        log.out().contains("docs/a.rs:3: warning: hm"),
        "{}",
        log.out()
    );
    let record = env.records().pop().unwrap();
    let reports = record.with_extension("artifacts").join("reports/greet");
    let kept = fs::read_to_string(reports.join("annotation.ndjson")).unwrap();
    assert!(kept.contains(r#""file":"docs/a.rs""#), "{kept}");
}

#[test]
fn a_project_may_call_its_plugin_by_a_name_of_its_own() {
    let env = project(
        "[steps]\na = { uses = \"mine/hello\" }\n[plugins.mine]\nuse = \"./ci/odd.wasm\"\n",
    );
    piper(&env, &["exec", "a"])
        .succeeds()
        .says("to stdout\ngreeted everybody\n");
}

#[test]
fn what_is_pinned_is_configured_by_its_name_alone() {
    let env =
        project("[steps]\na = { uses = \"odd/hello\" }\n[plugins.odd]\nconfig = { url = 3 }\n");
    piper(&env, &["exec", "a"])
        .exits(2)
        .complains("error[P0623]: the configuration of `odd`")
        .complains("piper.toml:4:18");
}

#[test_case("with = { nam = \"you\" }", "the option `nam` of `odd` is not known", "3:10", "did you mean `name`?"; "a slip")]
#[test_case("with = { name = 3 }", "the option `name` of `odd`: 3 is not of type \"string\"", "3:17", ""; "another type")]
#[test_case("with = { more = [\"a\", 1] }", "the option `more[1]` of `odd`: 1 is not", "3:23", ""; "deep inside")]
#[test_case("with = { times = 9 }", "9 is greater than the maximum of 3", "3:18", ""; "out of bounds")]
fn options_are_checked_before_anything_runs(with: &str, message: &str, place: &str, help: &str) {
    let env = project(&format!(
        "[steps.greet]\nuses = \"odd/hello\"\n{with}\n[steps]\nfirst = 'touch ran'\n[pipelines]\nbuild = {{ steps = [\"first\", \"greet\"] }}\n"
    ));
    for command in ["exec", "plan", "check"] {
        piper(&env, &[command])
            .exits(2)
            .complains("error[P0623]")
            .complains(message)
            .complains(&format!("piper.toml:{place}"))
            .complains(help);
    }
    assert!(!env.path("ran").exists());
}

#[test_case("odd", "has more than one type of step", "odd/hello"; "no type")]
#[test_case("odd/helo", "no type of step `helo`", "did you mean `odd/hello`?"; "a slip in the type")]
#[test_case("od/hello", "there is no plugin `od`", "did you mean `odd`?"; "a slip in the name")]
fn a_plugin_that_is_not_there_is_named_with_what_was_meant(uses: &str, message: &str, help: &str) {
    let env = project(&format!("[steps]\na = {{ uses = \"{uses}\" }}\n"));
    piper(&env, &["exec", "a"])
        .exits(2)
        .complains("error[P0621]")
        .complains("piper.toml:2:14")
        .complains(message)
        .complains(help);
}

#[test_case("[steps]\nb = { run = \"true\", timeout = \"soon\" }\n", "P0106"; "a value of another step")]
#[test_case("[steps.a]\ntimeout = \"soon\"\n", "P0106"; "a value of the same step")]
#[test_case("[steps]\nb = { run = \"true\", needs = [\"c\"] }\n", "P0201"; "a step that is not there")]
fn what_is_wrong_with_options_is_told_with_all_else(more: &str, code: &str) {
    let step = "[steps.a]\nuses = \"odd/hello\"\nwith = { zeal = 1, nam = \"you\" }\n";
    let file = match more.strip_prefix("[steps.a]\n") {
        Some(line) => format!("{step}{line}"),
        None => format!("{more}{step}"),
    };
    let env = project(&format!("{file}[notify.chat]\nuses = \"chta\"\n"));
    for command in [&["check"][..], &["exec", "a"]] {
        let told = piper(&env, command)
            .exits(2)
            .complains("`zeal`")
            .err()
            .to_owned();
        let codes = told.split("error[").skip(1).map(|rest| &rest[..5]);
        // In the order of the file.
        let plugins: Vec<&str> = codes.clone().filter(|other| *other != code).collect();
        assert_eq!(plugins, ["P0623", "P0623", "P0621"], "{told}");
        assert!(codes.clone().any(|other| other == code), "{told}");
    }
}

#[test]
fn what_is_wrong_beside_options_in_one_line_hides_none_of_them() {
    let env = project(
        "[steps]\na = { uses = \"odd/hello\", with = { zeal = 1 }, timeout = \"soon\" }\n\
         b = { uses = \"odd/hello\", with = { zest = 1 }, retries = 2 }\n",
    );
    let check = piper(&env, &["check"]).exits(2);
    check
        .complains("P0106")
        .complains("`zeal`")
        .complains("`zest`");
}

#[test]
fn what_may_only_follow_from_another_mistake_is_not_told() {
    let env = project(
        "[steps]\na = { uses = \"odd/hello\", wiht = { name = \"you\" } }\n\
         b = { uses = \"odd/hello\", with = { times = inf } }\n\
         [plugins.mine]\nuse = 3\n[steps.c]\nuses = \"mine/hello\"\n",
    );
    let check = piper(&env, &["check"]).exits(2);
    assert!(!check.err().contains("P06"), "{}", check.err());
}

#[test]
fn a_plugin_that_nobody_pinned_does_not_run() {
    let env = TestEnv::new("[steps]\na = { uses = \"./ci/odd.wasm\" }\n");
    env.write("ci/odd.wasm", component(""));
    piper(&env, &["exec", "a"])
        .exits(2)
        .complains("error[P0622]: `./ci/odd.wasm` is not pinned")
        .complains("piper.toml:2:14")
        .complains("piper plugin add ./ci/odd.wasm");
}

#[test]
fn a_mistake_that_a_plugin_finds_in_its_options_is_told_with_its_place_and_what_helps() {
    let env = project("[steps]\na = { uses = \"odd/mistake\", with = { name = \"x\" } }\n");
    piper(&env, &["exec", "a"])
        .exits(1)
        .complains("nobody is called so (odd.name), in its option `name`: name somebody else");
    let planner = "[[step]]\nname = \"planned\"\nrole = \"planner\"\n";
    let planner = planner.replace("planned", "mistake");
    let runner = "[[step]]\nname = \"mistake\"\nrole = \"runner\"\n";
    let env = TestEnv::new("[steps]\na = { uses = \"odd/mistake\", with = { name = \"x\" } }\n");
    let manifest = manifest("").replace(runner, &planner);
    let component = guests::with_section(guests::odd(), "piper:manifest", &manifest);
    env.write("ci/odd.wasm", component);
    plugin(&env, &["add", "./ci/odd.wasm"]).finish().succeeds();
    piper(&env, &["plan", "a"])
        .exits(2)
        .complains("the option `name` of `odd`: nobody is called so")
        .complains("piper.toml:2:")
        .complains("help: name somebody else");
}

#[test]
fn a_plugin_that_changed_since_it_was_pinned_does_not_run() {
    let env = project("[steps]\na = { uses = \"odd/hello\" }\n");
    let more = "[[permission.state]]\nwhy = \"remember\"\n";
    env.write("ci/odd.wasm", component(more));
    piper(&env, &["exec", "a"])
        .exits(2)
        .complains("error[P0618]: plugin `odd` is another than the one that was added")
        .complains("piper.lock:");
}

#[test]
fn a_repository_gives_its_plugins_nothing() {
    let asks = "[[permission.http]]\nto = \"POST https://example.com\"\nwhy = \"send all\"\n\
                [[permission.secret]]\nname = \"token\"\nuse = { header = \"authorization\" }\nwhy = \"pay\"\n";
    let env = project_with(
        asks,
        "[steps]\nfirst = 'touch ran'\na = { uses = \"odd/hello\" }\n[pipelines]\nbuild = { steps = [\"first\", \"a\"] }\n",
    );
    // Grants in the repository, wherever it puts them, are nobody's.
    for place in [
        "plugins.toml",
        ".config/piper/plugins.toml",
        ".piper/plugins.toml",
    ] {
        env.write(
            place,
            "[plugins.odd]\nallow.http = [\"POST https://example.com\"]\n",
        );
    }
    piper(&env, &["exec"])
        .exits(2)
        .complains("error[P0617]: plugin `odd` asks for 3 things that are not granted")
        .complains("piper.toml:3:14")
        .complains("+ http POST https://example.com")
        .complains("to grant it: piper plugin grant odd");
    assert!(!env.path("ran").exists(), "nothing ran");
    // A grant that is written for another digest is another plugin's.
    write_grants(
        &env,
        &format!(
            "[plugins.odd]\ndigest = \"sha256:{}\"\nallow.http = [\"POST https://example.com\"]\n",
            "0".repeat(64)
        ),
    );
    piper(&env, &["exec"])
        .exits(2)
        .complains("error[P0618]")
        .complains("plugin `odd` changed");
}

#[test]
fn a_plugin_reads_the_workspace_and_nothing_beside_it() {
    let asks = "[[permission.files]]\nworkspace = \"read\"\nwhy = \"look\"\n";
    let env = project_with(asks, "[steps]\na = { uses = \"odd/read\" }\n");
    env.write("secret.txt", "in the project");
    // All plugins of a project may read it: the default of the operator's file.
    let done = piper(&env, &["exec", "a"]).succeeds();
    assert!(done.out().starts_with("[105, 110, "), "{}", done.out());
    fs::remove_file(env.path("secret.txt")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", env.path("secret.txt")).unwrap();
    piper(&env, &["exec", "a"]).exits(3).complains("policy.fs");
}

#[test]
fn reports_of_tests_become_a_verdict_annotations_and_outputs() {
    let env = TestEnv::new(
        "[steps.report]\nuses = \"junit\"\nwith = { files = [\"*.xml\"], fail-on-failure = false }\n\
         [steps]\nafter = 'echo \"failures: $(cat \"$PIPER_NEEDS/report/failures\")\"; cat \"$PIPER_ARTIFACTS/reports/report/annotation.ndjson\"'\n\
         [pipelines]\nbuild = { steps = [\"report\", \"after\"] }\n",
    );
    env.write(
        "r.xml",
        "<testsuite name='a'><testcase classname='a' name='works'/><testcase classname='a' name='breaks' file='b.py' line='3'><failure message='1 != 2'/></testcase></testsuite>",
    );
    let done = piper(&env, &["exec"]).succeeds();
    for part in ["FAILED a breaks", "failures: 1", "\"level\":\"error\""] {
        assert!(done.out().contains(part), "{part} in {}", done.out());
    }
    env.write(
        "piper.toml",
        "[steps]\na = { uses = \"junit\", with = { files = \"*.xml\" } }\n",
    );
    piper(&env, &["exec", "a"])
        .exits(1)
        .complains("1 of 2 tests failed");
}

#[test]
fn annotations_are_events_that_are_kept_and_shown() {
    let env = TestEnv::new(
        "[steps.report]\nuses = \"junit\"\nwith = { files = [\"*.xml\"], fail-on-failure = false }\n\
         [steps]\nlast = { run = 'true', secrets = ['TOKEN'] }\n[pipelines]\nbuild = { steps = [\"report\", \"last\"] }\n",
    );
    let case = |n: usize| {
        format!(
            "<testcase classname='a' name='t{n}' file='b.py' line='{n}'><failure message='hunter2-hunter2'/></testcase>"
        )
    };
    let cases: String = (1..=12).map(case).collect();
    env.write("r.xml", format!("<testsuite name='a'>{cases}</testsuite>"));
    env.write("b.py", "\n".repeat(12));
    let call = |args: &[&str]| {
        cached(env.call(args))
            .env("TOKEN", "hunter2-hunter2")
            .finish()
    };
    let told = call(&["exec", "--output", "json"]).succeeds().events();
    let kept = call(&["show", "--output", "json"]).succeeds().events();
    for events in [told, kept] {
        let annotations = events.of("annotation");
        assert_eq!(annotations.len(), 12);
        let first = annotations[0];
        assert_eq!(first["level"], "error");
        assert_eq!(
            (&first["file"], &first["line"]),
            (&json!("b.py"), &json!(1))
        );
        assert!(!first.to_string().contains("hunter2"), "{first}");
        let place = |kind: &str| events.0.iter().position(|event| event["type"] == kind);
        assert!(place("annotation") < place("try.finished"));
    }
    let page = call(&["show"]).succeeds().out();
    assert!(page.contains("annotations: 12 errors\n"), "{page}");
    assert_eq!(page.matches("report: b.py:").count(), 10, "{page}");
    assert!(
        page.contains("and 2 more: piper show --output json"),
        "{page}"
    );
    let page = call(&["show", "@/report"]).succeeds().out();
    assert!(page.contains("report try 1: b.py:12: error:"), "{page}");
}

#[test]
fn a_plugin_hears_how_its_commands_ended_whatever_the_engine_reaps() {
    let asks = "[[permission.exec]]\nargv = [\"sh\"]\nwhy = \"try\"\n";
    let mut names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
    let steps: String = names
        .iter()
        .map(|name| format!("{name} = {{ run = 'true', needs = [] }}\n"))
        .collect();
    names.insert(0, "a".to_owned());
    let group = json!(names);
    let env = project_with(
        asks,
        &format!(
            "[steps]\na = {{ uses = \"odd/commands\", needs = [] }}\n{steps}[pipelines]\nbuild = {{ steps = [{group}] }}\n"
        ),
    );
    plugin(&env, &["grant", "odd", "--yes"]).finish().succeeds();
    let done = piper(&env, &["exec", "-j2"]).succeeds();
    assert!(done.out().contains("0 are lost"), "{}", done.out());
}

#[test_case("exec")]
#[test_case("plan")]
fn a_plan_that_is_too_large_is_refused_with_its_plugin_its_size_and_the_most(command: &str) {
    let text = "x".repeat(1_100_000);
    let file = format!("[steps.a]\nuses = \"odd/everything\"\n[steps.a.with]\ntext = '{text}'\n");
    piper(&project(&file), &[command, "a"]).exits(2).complains(
        "`odd` cannot plan: its plan has 1100011 bytes, and 1048576 (1 MiB) are the most",
    );
}

#[test]
fn a_command_of_a_plugin_hears_that_it_is_asked_to_end() {
    let asks = "[[permission.exec]]\nargv = [\"sh\"]\nwhy = \"try\"\n";
    let env = project_with(asks, "[steps]\na = { uses = \"odd/end-a-command\" }\n");
    plugin(&env, &["grant", "odd", "--yes"]).finish().succeeds();
    piper(&env, &["exec", "a"])
        .succeeds()
        .says("killed soon: true\n");
}

#[test_case(&[]; "in the project, where the step works in a folder below")]
#[test_case(&["clean"]; "in the project, of which a copy is built")]
fn no_program_of_the_repository_is_a_granted_one(environment: &[&str]) {
    let asks = "[[permission.exec]]\nargv = [\"sh\"]\nwhy = \"try\"\n";
    let file = "[steps]\na = { uses = \"odd/commands\", cwd = \"sub\" }\n";
    let env = project_with(asks, file);
    env.write("sub/kept", "");
    let script = format!("#!/bin/sh\ntouch '{}'\n", env.path("forged").display());
    env.program("bin/sh", &script);
    env.commit_all();
    plugin(&env, &["grant", "odd", "--yes"]).finish().succeeds();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", env.path("bin").display());
    let done = cached(env.call(&[&["exec", "a"], environment].concat()))
        .env("PATH", path)
        .finish()
        .succeeds();
    assert!(done.out().contains("0 are lost"), "{}", done.out());
    assert!(!env.path("forged").exists(), "the repository's own ran");
}

#[test]
fn a_fresh_copy_of_head_is_built_with_the_lock_and_the_plugins_of_head() {
    let env = project("[steps]\na = { uses = \"odd/hello\" }\n");
    env.commit_all();
    // Another plugin that is pinned in the working copy alone.
    let other = guests::with_section(guests::odd(), "piper:manifest", "manifest = 1\n");
    let lock = env.read("piper.lock");
    env.write("ci/odd.wasm", other);
    piper(&env, &["exec", "a"])
        .exits(2)
        .complains("has changed");
    piper(&env, &["exec", "a", "clean"]).succeeds();
    env.write("piper.lock", "version = 1\n");
    piper(&env, &["exec", "a", "clean"]).succeeds();
    piper(&env, &["plan", "a", "clean"]).succeeds();
    // And the other way round: what is only in the working copy is not there.
    env.git(&["rm", "--quiet", "--cached", "ci/odd.wasm"]);
    env.git(&["commit", "--quiet", "--message", "without it"]);
    env.write("piper.lock", lock);
    env.write("ci/odd.wasm", component(""));
    piper(&env, &["exec", "a"]).succeeds();
    piper(&env, &["exec", "a", "clean"])
        .exits(2)
        .complains("there is no file `HEAD:ci/odd.wasm`")
        .complains("commit the component");
}

#[test]
fn a_planner_says_which_steps_run_and_plan_shows_them() {
    let env = project(
        "[steps.both]\nuses = \"odd/everything\"\n\
         [steps.both.with.steps]\none = { run = \"echo first\" }\ntwo = { run = \"echo second\", needs = [\"one\"] }\n",
    );
    let plan = piper(&env, &["plan", "both"]).succeeds();
    for part in ["both/one", "echo first", "both/two", "echo second"] {
        assert!(plan.out().contains(part), "{part} in {}", plan.out());
    }
    piper(&env, &["exec", "both"])
        .succeeds()
        .says("first\nsecond\n");
    piper(&env, &["graph", "both"]).succeeds();
}

#[test_case(&["--step", "both/two"], "second\n"; "one")]
#[test_case(&["--from-step", "both/two"], "second\nthird\n"; "from one on")]
#[test_case(&["--step", "both"], "first\nsecond\n"; "all")]
#[test_case(&["--step", "both/one", "--step", "last"], "first\nthird\n"; "one and another")]
fn steps_that_a_planner_planned_are_selected_like_any_other(args: &[&str], said: &str) {
    let env = project(
        "[steps.both]\nuses = \"odd/everything\"\n\
         [steps.both.with.steps]\none = { run = \"echo first\" }\ntwo = { run = \"echo second\", needs = [\"one\"] }\n\
         [steps]\nlast = 'echo third'\n[pipelines]\nbuild = { steps = [\"both\", \"last\"] }\n",
    );
    let call = [&["exec", "-q"], args].concat();
    let done = piper(&env, &call).succeeds();
    let lines: Vec<String> = done
        .out()
        .lines()
        .filter_map(|line| Some(format!("{}\n", line.rsplit("│ ").next()?)))
        .collect();
    assert_eq!(lines.concat(), said);
    piper(&env, &["exec", "--step", "both/three"])
        .exits(2)
        .complains("error[P0312]")
        .complains("its steps are `both/one`");
}

#[test]
fn what_a_planner_answers_wrongly_is_shown_at_its_step() {
    let env = project(
        "[steps.both]\nuses = \"odd/everything\"\n[steps.both.with.steps]\none = { rum = \"true\" }\n",
    );
    piper(&env, &["exec", "both"])
        .exits(2)
        .complains("piper.toml:2:8")
        .complains("unknown key `rum`");
}

#[test_case("spin", "limit.cpu", "100 ms"; "a loop")]
#[test_case("allocate", "limit.memory", "16 MiB"; "a memory bomb")]
#[test_case("panic", "plugin.trap", "in "; "a panic")]
fn a_plugin_that_misbehaves_costs_its_step_and_no_other(step: &str, code: &str, help: &str) {
    let env = project(&format!(
        "[steps]\nbad = {{ uses = \"odd/{step}\" }}\ngood = {{ uses = \"odd/hello\" }}\n\
         [pipelines]\nbuild = {{ steps = [[\"bad\", \"good\"]], keep-going = true }}\n"
    ));
    let digest = env.read("piper.lock").split('"').nth(3).unwrap().to_owned();
    write_grants(
        &env,
        &format!(
            "[plugins.odd]\ndigest = \"{digest}\"\nlimits.cpu = \"100ms\"\nlimits.memory = \"16MiB\"\n"
        ),
    );
    let done = piper(&env, &["exec", "--output", "json"]).exits(3);
    let events = done.events();
    assert_eq!(events.outcome("bad"), "errored");
    assert_eq!(events.outcome("good"), "succeeded");
    let reason = events.step("bad")["reason"].to_string();
    assert!(reason.contains(code) && reason.contains(help), "{reason}");
}

/// A project whose plugin has state, and these limits of its operator's.
fn limited(file: &str, limits: &str) -> TestEnv {
    let env = project_with("[[permission.state]]\nwhy = \"remember\"\n", file);
    let digest = env.read("piper.lock").split('"').nth(3).unwrap().to_owned();
    let grant = format!("[plugins.odd]\ndigest = \"{digest}\"\nallow.state = true\n{limits}\n");
    write_grants(&env, &grant);
    env
}

#[test]
fn a_plugin_whose_memory_begins_above_its_limit_is_refused_before_anything_runs() {
    let env = limited(
        "[steps]\nfirst = 'touch ran'\nbad = { uses = \"odd/hello\" }\n[pipelines]\nbuild = { steps = [\"first\", \"bad\"] }\n",
        "limits.memory = \"64KiB\"",
    );
    let refused = piper(&env, &["exec"])
        .exits(2)
        .complains("plugin `odd` cannot be run: its memory begins with ")
        .complains(", and it may have 64 KiB (limit.memory)")
        .complains("piper.toml:3:")
        .complains("its limit is memory: 64 KiB; to allow more, set `limits.memory = \"");
    assert!(!env.path("ran").exists());
    let told = refused.err();
    let (_, line) = told.split_once("to allow more, set `").unwrap();
    let (line, table) = line.split_once('`').unwrap();
    assert!(table.starts_with(" in `[plugins.odd]` of "), "{table}");
    for command in [&["check", "odd"][..], &["call", "odd", "step-runner"]] {
        let done = plugin(&env, command).finish();
        done.complains(", and it may have 64 KiB (limit.memory)")
            .complains(line);
    }
    let raised = fs::read_to_string(super::grants(&env)).unwrap();
    let raised = raised.replace("limits.memory = \"64KiB\"", line);
    write_grants(&env, &raised);
    piper(&env, &["exec"]).never_says("begins with");
    assert!(env.path("ran").exists());
}

#[test]
fn the_steps_of_a_plugin_write_its_state_as_often_as_one() {
    let env = limited(
        "[steps]\none = { uses = \"odd/remember\" }\ntwo = { uses = \"odd/remember\" }\n\
         [pipelines]\nbuild = { steps = [\"one\", \"two\"] }\n",
        "limits.state-writes = 1",
    );
    let events = piper(&env, &["exec", "--output", "json"]).exits(3).events();
    assert_eq!(events.outcome("one"), "succeeded");
    let reason = events.step("two")["reason"].to_string();
    for said in [
        "plugin `odd`: its `run` failed: ",
        "(quota.state)",
        "its limit is state-writes: 1 a second",
        "`limits.state-writes = 2` in `[plugins.odd]` of ",
    ] {
        assert!(reason.contains(said), "{said:?} in {reason}");
    }
}

/// A project with two names for one component, which wants state; `pins` are the names by which it is pinned.
fn two_names(pins: &[&str]) -> TestEnv {
    let env = TestEnv::new(
        "[steps]\none = { uses = \"one/remember\" }\ntwo = { uses = \"two/remember\" }\n\
         [pipelines]\nbuild = { steps = [\"one\", \"two\"] }\n\
         [plugins]\none = { use = \"./ci/odd.wasm\" }\ntwo = { use = \"./ci/odd.wasm\" }\n",
    );
    let asks = "[[permission.state]]\nwhy = \"remember\"\n";
    env.write("ci/odd.wasm", component(asks));
    for pin in pins {
        plugin(&env, &["add", "--name", pin, "./ci/odd.wasm"])
            .finish()
            .succeeds();
    }
    env
}

/// What the operator gives to the plugin of this name, if it has the digest that is pinned.
fn remembers(env: &TestEnv, name: &str) -> String {
    let lock = env.read("piper.lock");
    let digest = lock.split("digest = \"").nth(1).unwrap();
    let digest = digest.split('"').next().unwrap();
    format!(
        "[plugins.{name}]\ndigest = \"{digest}\"\nallow.state = true\nlimits.state-writes = 1\n"
    )
}

#[test]
fn what_is_granted_to_one_name_of_a_component_is_not_granted_to_its_other_name() {
    let env = two_names(&["one", "two"]);
    write_grants(&env, &remembers(&env, "one"));
    piper(&env, &["exec", "one"]).succeeds();
    piper(&env, &["exec", "build"])
        .exits(2)
        .complains("error[P0617]: plugin `two` asks for something that is not granted")
        .complains("piper.toml:3:16")
        .complains("to grant it: piper plugin grant two")
        .never_says("plugin add");
    // Each has its own state, and its own limits.
    write_grants(&env, &(remembers(&env, "one") + &remembers(&env, "two")));
    piper(&env, &["exec", "build"]).succeeds();
}

#[test_case("odd"; "another name")]
#[test_case("one"; "one that the project uses too")]
fn a_name_that_is_not_pinned_has_nothing_of_the_one_that_is(pin: &str) {
    let env = two_names(&[pin]);
    let pinned = remembers(&env, pin);
    write_grants(&env, &pinned);
    piper(&env, &["exec", "two"])
        .exits(2)
        .complains("error[P0617]: plugin `two` asks for something that is not granted")
        .complains("not this one's: piper plugin add --name two ./ci/odd.wasm");
    for step in [
        &["add", "--name", "two", "./ci/odd.wasm"][..],
        &["grant", "two", "--yes", "--state"],
    ] {
        plugin(&env, step).finish().succeeds();
    }
    piper(&env, &["exec", "two"]).succeeds();
}

/// What the operator gives to a plugin that asks for [`TOKEN`].
fn token_grant(env: &TestEnv) -> String {
    let digest = env.read("piper.lock").split('"').nth(3).unwrap().to_owned();
    format!("[plugins.odd]\ndigest = \"{digest}\"\nsecrets.token = {{ from = \"env:KEY\" }}\n")
}

const TOKEN: &str =
    "[[permission.secret]]\nname = \"token\"\nuse = { hmac = true }\nwhy = \"sign\"\n";

#[test]
fn a_secret_of_a_plugin_is_hidden_in_what_other_steps_print() {
    let env = project_with(
        TOKEN,
        "[steps]\na = { uses = \"odd/hello\" }\nb = 'cat echoed'\nc = { uses = \"odd/hello\" }\n\
         [pipelines]\nbuild = { steps = [\"a\", \"b\", \"c\"] }\n",
    );
    write_grants(&env, &token_grant(&env));
    // As if a plugin had written there what a server answered.
    let key = "hunter2-hunter2";
    env.write("echoed", format!("you sent {key}\n"));
    let exec =
        |args: &[&str], key: &str| cached(env.call(args)).env("KEY", key).finish().succeeds();
    let done = exec(&["exec", "build"], key);
    assert!(done.out().contains("you sent ***"), "{}", done.out());
    let log = env.piper(&["logs", "@"]).succeeds().out();
    assert!(log.contains("you sent ***"), "{log}");
    // Nobody who uses the plugin has a part in this build.
    assert!(exec(&["exec", "b"], key).out().contains(key));
    let warning = "the secret `token` of plugin `odd` is too short to be hidden in the log";
    let done = exec(&["exec", "build"], "1234");
    assert_eq!(done.err().matches(warning).count(), 1, "{}", done.err());
}

#[test]
fn what_does_not_hold_yet_is_said_of_each_name_of_a_component() {
    let env = TestEnv::new(
        "[steps]\na = { uses = \"one/hello\" }\nb = { uses = \"two/hello\" }\nc = { uses = \"two/hello\" }\n\
         [pipelines]\nbuild = { steps = [\"a\", \"b\", \"c\"] }\n\
         [plugins]\none = { use = \"./ci/odd.wasm\" }\ntwo = { use = \"./ci/odd.wasm\" }\n",
    );
    env.write("ci/odd.wasm", component(""));
    plugin(&env, &["add", "./ci/odd.wasm"]).finish().succeeds();
    let waits = |name| format!("[plugins.{name}]\nlimits.cpu = \"9s\"\n");
    write_grants(&env, &(waits("one") + &waits("two")));
    let told = piper(&env, &["exec"]).succeeds().err();
    for name in ["one", "two"] {
        let said = format!("says of `{name}` does not hold yet");
        assert_eq!(told.matches(&said).count(), 1, "{told}");
    }
}

#[test]
fn what_a_step_leaves_is_that_of_its_last_try() {
    let env = TestEnv::new(
        "[steps]\na = { uses = \"junit\", with = { files = \"a.xml\" }, retry = { max = 2, delay = \"1ms\" } }\n",
    );
    let xml = "<testsuite><testcase name='one'><failure message='no'/></testcase></testsuite>";
    env.write("a.xml", xml);
    cached(env.call(&["exec", "a"])).finish().exits(1);
    let record = env.records().pop().unwrap();
    let reports = record.with_extension("artifacts").join("reports/a");
    let kept = fs::read_to_string(reports.join("annotation.ndjson")).unwrap();
    assert_eq!(kept.lines().count(), 1, "{kept}");
}

#[test]
fn what_a_plugin_says_cannot_damage_the_terminal() {
    let env = project("[steps]\na = { uses = \"odd/escape\" }\n");
    let done = piper(&env, &["exec", "a"]).exits(1);
    let shown = done.out() + &done.err();
    assert!(
        shown.contains("red") && !shown.contains("\u{1b}[2J"),
        "{shown:?}"
    );
    assert!(!shown.contains('\u{202e}'), "{shown:?}");
}

#[test_case("wait"; "one that sleeps")]
#[test_case("sleep"; "one that waits for the host")]
#[test_case("spin"; "one that computes")]
fn ctrl_c_ends_a_plugin_as_it_ends_a_process(step: &str) {
    let env = project(&format!(
        "[steps]\na = {{ uses = \"odd/{step}\", grace = \"300ms\" }}\nb = 'echo begun; sleep 60'\n[pipelines]\nbuild = {{ steps = [[\"a\", \"b\"]] }}\n"
    ));
    let running = cached(env.call(&["exec", "-j2"])).start();
    running.wait_for_out("begun");
    let asked = Instant::now();
    running.signal(libc::SIGINT);
    running.finish().dies_of(libc::SIGINT);
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_plugin_keeps_to_the_timeout_of_its_step() {
    let env =
        project("[steps]\na = { uses = \"odd/wait\", timeout = \"200ms\", grace = \"200ms\" }\n");
    let done = piper(&env, &["exec", "a", "--output", "json"]).exits(1);
    let events = done.events();
    assert_eq!(events.outcome("a"), "failed");
    assert_eq!(events.step("a")["exit"], "timeout");
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_and_not_the_build() {
    let env = TestEnv::new(
        "[steps]\nread = { uses = \"junit\", with = { files = [], allow-missing = true } }\n",
    );
    env.call(&["exec", "read"])
        .env("XDG_CACHE_HOME", "/dev/null/cache")
        .finish()
        .succeeds()
        .complains("plugins are compiled anew for each build")
        .complains("Not a directory");
}

#[test]
fn a_project_without_plugins_opens_nothing_for_them() {
    let env = TestEnv::sequence(&[("a", "true")]);
    write_grants(&env, "this is no TOML");
    env.write("piper.lock", "nor is this");
    env.piper(&["exec"]).succeeds();
}
