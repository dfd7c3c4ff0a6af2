use super::*;
use crate::{
    codes,
    id::{ParamName, PipelineName, StepName},
    notify::Occasion,
    problem::Code,
    project::{
        Action, EnvPattern, EnvironmentKind, RetryOn, Slot, StopSignal, Survivors, Value,
        VersionSource, WhenStatus,
    },
};
use proptest::prelude::*;
use std::time::Duration;
use test_case::test_case;

fn load_text(text: &str) -> Loaded {
    load(Arc::new(Source {
        path: "piper.toml".into(),
        text: text.to_owned(),
    }))
}

/// Each problem as `code:part of the file`.
fn found(text: &str) -> Vec<String> {
    load_text(text)
        .problems
        .iter()
        .map(|problem| {
            let at = problem
                .at
                .as_ref()
                .expect("every problem of a file has a place");
            format!("{}:{}", problem.code, &at.source.text[at.bytes.clone()])
        })
        .collect()
}

fn project(text: &str) -> Project {
    let loaded = load_text(text);
    assert_eq!(loaded.problems, [], "{text}");
    loaded.project.expect("there is nothing wrong")
}

#[test]
fn the_example_of_the_design_is_understood() {
    let project = project(
        r#"
        [project]
        name = "hello"
        version = { git-describe = "--tags --long" }
        pass-env = ["MY_*", "DISPLAY"]
        [steps]
        fmt = "cargo fmt --check"
        [steps.compile]
        about = "Compile everything"
        run = "cargo build --release"
        [steps.unit]
        run = "cargo test"
        needs = ["compile"]
        retry = { max = 2, on = ["exit:101", "signal", "timeout"], delay = "2s" }
        timeout = "10m"
        stop-signal = "SIGINT"
        survivors = "keep"
        [steps.lint]
        argv = ["cargo", "clippy", "--profile", { param = "profile" }, 7, true]
        allow-failure = true
        retry = 3
        [steps.report]
        run = "report"
        when = "always"
        [pipelines.build]
        about = "Compile and test"
        steps = ["fmt", "compile", ["unit", "lint"], "report"]
        environment = "fresh"
        params.profile = { default = "debug", choices = ["debug", "release"], about = "cargo profile" }
        [environments.fresh]
        kind = "clean"
        [params]
        _trace = 1
        "#,
    );
    assert_eq!(project.name.as_deref(), Some("hello"));
    assert_eq!(
        project.version,
        Some(VersionSource::GitDescribe(vec![
            "--tags".into(),
            "--long".into()
        ]))
    );
    assert_eq!(
        project.settings.pass_env,
        [
            EnvPattern::Prefix("MY_".into()),
            EnvPattern::Name("DISPLAY".into())
        ]
    );
    let names: Vec<&str> = project.steps.keys().map(StepName::as_str).collect();
    assert_eq!(
        names,
        ["fmt", "compile", "unit", "lint", "report"],
        "the order of the file"
    );
    let unit = &project.steps["unit"];
    assert_eq!(unit.retry.max, 2);
    assert_eq!(
        unit.retry.on,
        [RetryOn::Status(101), RetryOn::Signal, RetryOn::Timeout]
    );
    assert_eq!(unit.retry.delay, Duration::from_secs(2));
    assert_eq!(unit.timeout, Some(Duration::from_secs(600)));
    assert_eq!(
        (unit.stop_signal, unit.survivors),
        (StopSignal::Int, Survivors::Keep)
    );
    let lint = &project.steps["lint"];
    let Action::Argv(argv) = &lint.action else {
        panic!("{lint:?}")
    };
    assert_eq!(argv[3], Value::Param(ParamName::parse("profile").unwrap()));
    assert_eq!(
        argv[4..],
        [Value::Text("7".into()), Value::Text("true".into())]
    );
    assert!(lint.allow_failure);
    assert_eq!(lint.retry.max, 3);
    assert_eq!(project.steps["report"].when.status, WhenStatus::Always);
    let build = &project.pipelines["build"];
    assert!(matches!(&build.steps[2], Slot::Group(group) if group.len() == 2));
    assert_eq!(build.params["profile"].default.as_deref(), Some("debug"));
    assert_eq!(project.environments["fresh"], EnvironmentKind::Clean);
    assert_eq!(project.params["_trace"].default.as_deref(), Some("1"));
}

#[test]
fn an_empty_file_is_an_empty_project() {
    assert_eq!(project(""), Project::default());
    assert_eq!(project("\u{feff}# nothing\r\n"), Project::default());
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = "[steps.a]\ntimout = \"5m\"\nrun = \"x\"\ntimeout = 5\n[steps.b]\nneeds = [\"c\"]\n[pipelines.p]\nsteps = [\"a\", \"d\"]\n";
    assert_eq!(
        found(text),
        [
            "P0107:timout",
            "P0101:5",
            "P0102:[steps.b]",
            "P0201:\"c\"",
            "P0201:\"d\""
        ]
    );
}

#[test]
fn a_broken_line_does_not_hide_the_problems_of_the_others() {
    let text = "[steps]\na: x\nb = cargo build\n[pipelines.p]\nstep = [\"a\"]\nsteps = 1\n";
    assert_eq!(
        found(text),
        ["P0004:a: x", "P0003:cargo build", "P0107:step", "P0101:1"]
    );
}

#[test_case("[steps]\na = \"x\n[pipelines.p]\nstep = 1", &["P0006:", "P0107:step"]; "a string")]
#[test_case("[steps]\na = ['x'\nb = 1\n[pipelines.p]\nstep = 1", &["P0006:", "P0101:1", "P0107:step"]; "a list before a key")]
#[test_case("[steps.a]\nrun = 'x'\nneeds = [\n 'x',\n\n[pipelines.p]\nstep = 1", &["P0006:", "P0107:step"]; "a list before a header")]
#[test_case("[steps.a]\nneeds = [\"b]\nrum = 'x'\n[pipelines.p]\nstep = 1", &["P0006:", "P0107:rum", "P0107:step"]; "a string in a list")]
#[test_case("[steps]\na = { run = 'x'\nb = 1\n[pipelines.p]\nstep = 1", &["P0006:", "P0101:1", "P0107:step"]; "a table")]
#[test_case("[steps\na = 'x'\n[pipelines.p]\nstep = 1", &["P0006:", "P0107:step"]; "a header")]
#[test_case("[steps.a b]\nrun = 'x'\n[pipelines.p]\nstep = 1", &["P0105:", "P0107:step"]; "a header with a space")]
#[test_case("[steps.a:b]\nrun = 'x'\n[pipelines.p]\nstep = 1", &["P0105::", "P0107:step"]; "a header with a colon")]
#[test_case("[steps.a]\nrum = 'x'\n[pipelines.p]\nabout = \"\"\"x\nstep = 1", &["P0107:rum", "P0006:\"\"\""]; "a text of several lines")]
#[test_case("[steps]\na = 'x' y\nb = 1\n", &["P0002:", "P0101:1"]; "two values")]
#[test_case("[steps]\na ['x']\nb = ['y'\nc = 1\n", &["P0004:", "P0006:", "P0101:1"]; "two of them")]
fn what_is_not_closed_does_not_hide_the_problems_behind_it(text: &str, expected: &[&str]) {
    assert_eq!(found(text), expected);
}

#[test]
fn a_place_that_is_guessed_is_no_half_of_a_character() {
    assert!(load_text("[[é\n[\"\"\"").has_errors());
}

#[test_case("[pipelines.p]\nsteps = ['a', 'b'\nabout = 'x'", "`]`", " 'b'", "['a'"; "at the end of a list")]
#[test_case("[pipelines]\np = { steps = ['a', 'b' }\n", "`]`", " 'b'", "['a'"; "before what closes the table around it")]
#[test_case("[pipelines]\np = { steps = ['a', ['b' }\n", "`]]`", " ['b'", "['a'"; "two before what closes the table around them")]
#[test_case("[pipelines]\np = { steps = ['a'], about = 'b' # p\n", "`}`", " 'b'", "{ steps"; "at the end of a table")]
#[test_case("[steps]\r\na = \"x\r\nb = 'y'\r\n", "`\"`", " \"x", "\"x\r"; "at the end of a string, with a carriage return")]
fn the_caret_stands_where_something_is_missing(text: &str, what: &str, before: &str, begin: &str) {
    let loaded = load_text(text);
    let [problem] = loaded.problems.as_slice() else {
        panic!("{:?}", loaded.problems)
    };
    assert_eq!(problem.label, Some(format!("{what} is missing here")));
    let at = problem.at.as_ref().unwrap().bytes.start;
    assert!(text[..at].ends_with(before), "{:?}", &text[..at]);
    let also = problem.also[0].0.bytes.start;
    assert!(text[also..].starts_with(begin), "{:?}", &text[also..]);
}

#[test_case("[steps]\na = 'x'\n[steps.a]\nrun = 'y'", "a"; "a key and a header")]
#[test_case("[steps.a]\nrun = 'y'\n[steps]\na = 'x'", "a"; "a header and a key")]
#[test_case("steps.a.run = 'x'\n[steps.a]\nabout = 'y'", "a"; "a dotted key and a header")]
#[test_case("[steps.a]\nenv = { A = 'b', A = 'c' }\nrun = 'x'", "A"; "in an inline table")]
#[test_case("[steps.a]\nrun = 'x'\nenv.A = 'x'\nenv.A = 'y'", "A"; "two dotted keys")]
#[test_case("[steps.'a']\nrun = 'y'\n[steps.a]\nabout = 'x'", "'a'"; "a quoted name")]
fn a_key_that_is_here_twice_shows_the_first_time(text: &str, first: &str) {
    let loaded = load_text(text);
    let [problem] = loaded.problems.as_slice() else {
        panic!("{:?}", loaded.problems)
    };
    let also: Vec<(&str, &str)> = problem
        .also
        .iter()
        .map(|(at, label)| (&text[at.bytes.clone()], label.as_str()))
        .collect();
    assert_eq!(also, [(first, "the first time")]);
    let second = problem.at.as_ref().unwrap().bytes.start;
    assert_ne!(problem.also[0].0.bytes.start, second);
}

#[test_case("[steps.a]\nrun = 'x'\nstop-signal = 'SIGFOO'", "`stop-signal` of step `a` cannot be \"SIGFOO\"", "it is one of TERM, HUP, INT, QUIT, USR1, USR2"; "a signal as it is written")]
#[test_case("[steps.a]\nrun = 'x'\nstop-signal = 'SIGTREM'", "`stop-signal` of step `a` cannot be \"SIGTREM\"", "did you mean `TERM`?"; "a signal nearly right")]
#[test_case("[steps.a]\nrun = 'x'\nretry = { max = 1, on = ['sig'] }", "`on` of `retry` of step `a` cannot be \"sig\"", "did you mean `signal`?"; "a beginning")]
#[test_case("[steps]\na = ''", "step `a` is empty", "write what belongs there, or remove what is empty"; "nothing")]
#[test_case("[steps.a]\nrun = 'x'\ncpus = 0", "`cpus` of step `a` must be from 1 to 65536", "write a number from 1 to 65536, or leave the key out for what is usual"; "out of range")]
#[test_case("[steps]\na = 'x'\rb = 'y'", "this is not TOML: carriage return must be followed by newline, expected newline", "a line ends with a line feed, or with a carriage return and a line feed"; "a carriage return alone")]
#[test_case("[steps]\na == 'x'", "this is not TOML: extra `=`, expected nothing", "a line is a header `[name]`, a `key = value`, or a comment that begins with `#`"; "not TOML at all")]
fn a_message_says_what_was_written_and_how_to_mend_it(text: &str, message: &str, help: &str) {
    let problem = &load_text(text).problems[0];
    assert_eq!(problem.message, message);
    assert!(
        problem.help.iter().any(|line| line == help),
        "{:?}",
        problem.help
    );
}

#[test]
fn lines_that_were_not_looked_at_are_named() {
    let loaded = load_text("[steps\na = 'x'\nb = 'x'\n\n[pipelines.p]\n");
    assert_eq!(
        loaded.problems[0].help,
        [
            "write `[steps]`",
            "lines 1 to 3 were not looked at: once this is mended, more may be found"
        ]
    );
}

#[test]
fn an_error_brings_no_others_that_are_only_its_children() {
    assert_eq!(
        found("[steps]\na = [\"b\", \"c\"\nd = \"e\"\nf = \"g\"\n").len(),
        1
    );
    assert_eq!(
        found("[steps.x]\nrun \"y\"\n[pipelines.p]\nsteps = [\"x\"]\n"),
        ["P0004:"]
    );
    assert_eq!(found("[steps.x]\ncommand = \"y\"\n"), ["P0107:command"]);
    assert_eq!(found("[steps.x]\ninputs = [\"a\"]\n"), ["P0104:inputs"]);
    assert_eq!(
        found("[steps]\nx = 1\n[pipelines.p]\nsteps = [\"x\"]\n"),
        ["P0101:1"]
    );
}

#[test_case("a = []", codes::UNKNOWN_KEY; "top level key")]
#[test_case("[steps.a]\nrun = 'x'\nneeds = ['a']", codes::CYCLE; "itself")]
fn one_problem_is_found(text: &str, code: Code) {
    let problems = load_text(text).problems;
    assert_eq!(
        problems
            .iter()
            .map(|problem| problem.code)
            .collect::<Vec<_>>(),
        [code]
    );
}

#[test]
fn a_cycle_is_printed_as_a_path_and_reported_once() {
    let steps = |edges: &[(&str, &str)]| {
        edges.iter().fold(String::new(), |text, (step, need)| {
            text + &format!("[steps.{step}]\nrun = 'x'\nneeds = ['{need}']\n")
        })
    };
    let text = steps(&[
        ("z", "c"),
        ("c", "a"),
        ("a", "b"),
        ("b", "c"),
        ("q", "r"),
        ("r", "q"),
    ]);
    let loaded = load_text(&text);
    let messages: Vec<&str> = loaded
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "steps wait for each other: c → a → b → c",
            "steps wait for each other: q → r → q"
        ]
    );
    assert_eq!(loaded.problems[0].also.len(), 2);
}

#[test_case("['b']", "[\"a\", \"b\"]"; "missing")]
#[test_case("['b', 'a']", "[\"a\", \"b\"]"; "later")]
#[test_case("['x', ['y', 'c']]", "[\"x\", \"a\", \"b\", [\"y\", \"c\"]]"; "before a group, with its own needs")]
#[test_case("[['y', 'b', 'a']]", "[[\"y\", \"a\", \"b\"]]"; "later in a group")]
#[test_case("[['b', 'y'], 'a']", "[\"a\", [\"b\", \"y\"]]"; "later than a group")]
fn a_list_that_cannot_run_is_printed_corrected(list: &str, corrected: &str) {
    let text = format!(
        "[steps]\na = 'x'\nx = 'x'\ny = 'x'\n[steps.b]\nrun = 'x'\nneeds = ['a']\n[steps.c]\nrun = 'x'\nneeds = ['b']\n[pipelines.p]\nsteps = {list}\n"
    );
    let loaded = load_text(&text);
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert_eq!(
        loaded.problems[0].help,
        [format!("write `steps = {corrected}`")]
    );
    let mended = text.replace(list, corrected);
    project(&mended);
}

#[test]
fn members_of_a_group_may_need_earlier_ones() {
    project(
        "[steps]\na = 'x'\n[steps.b]\nrun = 'x'\nneeds = ['a']\n[pipelines.p]\nsteps = [['a', 'b']]\n",
    );
}

#[test]
fn a_reference_may_be_declared_at_the_top_or_in_every_pipeline_that_uses_the_step() {
    let step = "[steps.a]\nargv = ['x', { param = 'p' }]\n";
    assert_eq!(found(step), ["P0206:{ param = 'p' }"]);
    project(&format!("{step}[params]\np = 'v'\n"));
    let one = "[pipelines.one]\nsteps = ['a']\nparams.p = 'v'\n";
    project(&format!("{step}{one}"));
    assert_eq!(
        found(&format!("{step}{one}[pipelines.two]\nsteps = ['a']\n")),
        ["P0206:{ param = 'p' }"]
    );
}

#[test]
fn an_axis_may_be_the_steps_or_its_pipelines() {
    let step = "[steps.a]\nargv = ['x', { matrix = 'm' }]\n";
    assert_eq!(found(step), ["P0207:{ matrix = 'm' }"]);
    project(&format!("{step}matrix.m = [1, 2]\n"));
    project(&format!(
        "{step}[pipelines.p]\nsteps = ['a']\nmatrix.m = [1]\n"
    ));
}

#[test]
fn the_options_of_a_plugin_are_any_values_and_references() {
    let project = project(
        r#"
        [params]
        level = 1
        [steps.report]
        uses = "junit/summary"
        with.files = ["a.xml", { param = "level" }]
        with.max = 3
        with.ratio = 0.5
        with.since = 2026-01-02
        with."odd/name" = { deep = { matrix = "os" }, plain = { param = 7 } }
        matrix.os = ["linux"]
        "#,
    );
    let Action::Plugin(uses, with) = &project.steps["report"].action else {
        panic!("{:?}", project.steps["report"].action)
    };
    assert_eq!(uses.to_string(), "junit/summary");
    let pointers: Vec<&str> = with
        .references()
        .iter()
        .map(|(at, _)| at.as_str())
        .collect();
    assert_eq!(pointers, ["/files/1", "/odd~1name/deep"]);
    let resolved = with.resolve(|value| match value {
        Value::Param(name) => format!("param {name}"),
        Value::Matrix(axis) => format!("axis {axis}"),
        Value::Text(text) => text.clone(),
    });
    assert_eq!(
        resolved,
        serde_json::json!({
            "files": ["a.xml", "param level"],
            "max": 3,
            "ratio": 0.5,
            "since": "2026-01-02",
            "odd/name": { "deep": "axis os", "plain": { "param": 7 } },
        })
    );
}

#[test]
fn plugins_and_rules_of_the_file_are_understood() {
    let project = project(
        r#"
        [plugins]
        short = "./ci/short.wasm"
        [plugins.long]
        use = "https://example.com/long.wasm"
        config = { url = "https://example.com" }
        [params]
        room = "ops"
        [steps]
        x = "true"
        [pipelines.build]
        steps = ["x"]
        [plugins.chat]
        config = { secret = true }
        [notify.team]
        uses = "chat"
        with = { room = { param = "room" } }
        on = ["changed"]
        pipelines = ["build"]
        [notify.hook]
        uses = "long"
        "#,
    );
    assert_eq!(
        project.plugins["short"].source.to_string(),
        "./ci/short.wasm"
    );
    assert_eq!(project.plugins["long"].config["url"], "https://example.com");
    let team = &project.notify["team"];
    assert_eq!(team.on, [Occasion::Changed]);
    assert_eq!(team.pipelines, [PipelineName::parse("build").unwrap()]);
    assert_eq!(project.notify["hook"].on, Occasion::DEFAULT);
    assert!(project.declared(&project.notify["hook"].uses).is_some());
    let chat = project.declared(&team.uses).unwrap();
    assert_eq!(chat.source.to_string(), "chat", "it keeps its name");
}

#[test]
fn only_a_planner_may_call_itself_self() {
    let text = "[steps.a]\nuses = 'self/b'\n";
    assert_eq!(found(text), ["P0124:'self/b'"]);
    let planned = load_planned(Arc::new(Source {
        path: "answer".into(),
        text: text.to_owned(),
    }));
    assert_eq!(planned.problems, []);
}

/// Each problem of the file with these bytes, as `code:byte of its text`.
fn found_in_bytes(bytes: &[u8]) -> Vec<String> {
    let loaded = load_bytes("piper.toml".into(), bytes.to_vec());
    assert_eq!(loaded.project, None);
    let place = |problem: &Problem| problem.at.as_ref().map(|at| at.bytes.start).unwrap();
    let problems = loaded.problems.iter();
    problems
        .map(|problem| format!("{}:{}", problem.code, place(problem)))
        .collect()
}

#[test_case(b"[steps]\na = \"x\xff\"\nb = { rn = \"x\" }\n", &["P0001:14", "P0107:25"]; "beside another mistake")]
#[test_case(b"[steps]\na = { rn = \"x\xff\" }\n", &["P0107:14", "P0001:21"]; "in the line of another mistake")]
#[test_case(b"[steps]\n\xff\xfea = \"x\"\n", &["P0001:8", "P0001:11"]; "where a key begins")]
#[test_case(b"[steps]\na = \"x\" # \xe4\n", &["P0001:18"]; "in a comment")]
#[test_case(b"[steps]\n\"a\xff\" = \"x\"\n", &["P0001:10"]; "in a name")]
#[test_case(b"\xff\xfe[\0s\0t\0e\0p\0]\0", &["P0001:0", "P0107:4"]; "UTF-16")]
fn bytes_that_are_not_utf_8_hide_nothing_else(bytes: &[u8], expected: &[&str]) {
    assert_eq!(found_in_bytes(bytes), expected);
}

#[test]
fn a_file_in_another_encoding_is_told_at_some_places_and_how_many_there_are() {
    let loaded = load_bytes("piper.toml".into(), b"# \xe4\n".repeat(1_000));
    assert_eq!(loaded.problems.len(), 20);
    assert_eq!(
        loaded.problems[19].help,
        ["save the file as UTF-8", "980 more of them follow"]
    );
    let utf16 = load_bytes("piper.toml".into(), b"\xff\xfe".to_vec());
    assert!(utf16.problems[0].help[0].contains("UTF-16"));
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for open in ["[", "{a=", "[{a="] {
        let text = format!("a = {}", open.repeat(200_000));
        assert!(load_text(&text).has_errors());
    }
    assert!(load_text(&format!("{}a = 1", "a.".repeat(200_000))).has_errors());
    assert!(load_text(&format!("[{}a]", "a.".repeat(200_000))).has_errors());
}

/// Long files are read in linear time; a quadratic step would make these take minutes.
#[test]
fn long_files_are_read() {
    let many = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<String>();
    let steps = format!("[steps]\n{}", many(&|i| format!("s{i} = 'true'\n")));
    let names = many(&|i| format!("'s{i}',"));
    assert_eq!(
        project(&format!("{steps}[pipelines.p]\nsteps = [{names}]\n"))
            .steps
            .len(),
        20_000
    );
    assert_eq!(
        found(&format!(
            "{steps}[pipelines.p]\nsteps = [{}]\n",
            many(&|i| format!("'t{i}',"))
        ))
        .len(),
        20_000
    );
    let chain = many(&|i| {
        format!(
            "[steps.s{i}]\nrun = 'x'\nneeds = ['s{}']\n",
            (i + 1) % 20_000
        )
    });
    assert_eq!(found(&chain).len(), 1);
    let late = format!(
        "{}[pipelines.p]\nsteps = [{names}]\n",
        chain.replace("['s0']", "[]")
    );
    assert_eq!(found(&late).len(), 19_999);
    assert!(load_text(&many(&|_| "x\n".to_owned())).has_errors());
    assert!(load_text(&many(&|i| format!("key{i} = 1\n"))).has_errors());
    assert!(load_text(&many(&|_| "[steps.a]\nrun = 'x'\n".to_owned())).has_errors());
    assert!(
        load_text(&format!("[steps]\na = '''{}'''", "x | y\n".repeat(200_000)))
            .project
            .is_some()
    );
}

#[test]
fn every_key_of_the_table_is_read_by_the_decoder() {
    // `Fields::get` asserts that what the decoder asks for is in the table; this is the other direction.
    let files = [
        include_str!("mod.rs"),
        include_str!("decode/mod.rs"),
        include_str!("decode/matrix.rs"),
        include_str!("decode/plugins.rs"),
        include_str!("decode/step.rs"),
        include_str!("decode/values.rs"),
    ];
    for table in keys::TABLES {
        for key in table.keys.iter().filter(|key| key.since.is_some()) {
            let asked = format!("\"{}\")", key.name);
            let listed = format!("\"{}\", ", key.name);
            assert!(
                files
                    .iter()
                    .any(|file| file.contains(&asked) || file.contains(&listed)),
                "`{}` of {} is in the table and nowhere else",
                key.name,
                table.title
            );
        }
    }
}

/// Files of a folder of fixtures, by name.
fn fixtures(kind: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/pipelines")
        .join(kind);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn schema_and_parser_agree_on_the_fixtures() {
    let schema = jsonschema::draft202012::new(&schema()).unwrap();
    jsonschema::meta::validate(&super::schema()).unwrap();
    let accepts = |text: &str| {
        let text = text.trim_start_matches('\u{feff}');
        toml::from_str::<serde_json::Value>(text).map(|value| {
            schema
                .iter_errors(&value)
                .map(|e| format!("{e} at {}", e.instance_path()))
                .collect::<Vec<_>>()
        })
    };
    for (name, text) in fixtures("valid") {
        assert!(!load_text(&text).has_errors(), "the parser refuses {name}");
        assert_eq!(
            accepts(&text).unwrap(),
            <[String; 0]>::default(),
            "the schema refuses {name}"
        );
    }
    for (name, text) in fixtures("invalid") {
        // What is not TOML has no value for a schema to judge.
        let Ok(errors) = accepts(&text) else { continue };
        let rejects = text.starts_with("# schema: rejects");
        assert_eq!(!errors.is_empty(), rejects, "{name}: {errors:?}");
    }
}

/// What the schema cannot say, so that only the parser refuses it: what depends on another value, or is more than a regular expression.
const BEYOND_A_SCHEMA: [Code; 9] = [
    codes::DEFAULT_NOT_A_CHOICE,
    codes::BAD_EXCLUDE,
    codes::MATRIX_TOO_LARGE,
    codes::MATRIX_EMPTY,
    codes::SAME_VARIABLE,
    codes::BAD_PATTERN,
    codes::EXCLUSIVE_KEYS,
    codes::NOT_A_PLUGIN,
    codes::GRANT_IN_PROJECT,
];

/// The schema must refuse each value of these that the parser refuses for itself, and accept all that the parser accepts. `~` is a
/// space. What JSON cannot tell from something else is left out: a date (a string), `1.0` (an integer).
const ODD_VALUES: &str = r##"
"" "~" "\t" "x" "x\n" "\nx" "x\u0000" "é" "x~y" "-x" "_x" "." "/" ".." "../x" "./../x" "x/../y" "/x" "./x" "..x" "x\\y"
"NAME" "A=B" "PIPER_X" "PIPER_X*" "X_*" "*" "X*Y" "1X" "local" "clean" "self" "self/x" "x/y" "x/y/z" "./a.wasm" "./a.wasm\n" "./../a.wasm"
"./a/../b.wasm" "./a" "/a.wasm" "https://x/y" "https://x/y\n" "https://" "https://u@x/y" "https://x/y#z" "http://x/y" "file:///x"
"0s" "1s" "1s\n" "1" "s" "1m1h" "1s1s" "1.5s" "-1s" "365d" "366d" "0366d" "8760h" "8761h" "525600m" "525601m" "31536000s" "31536001s"
"31536000000ms" "31536000001ms" "99999999999999999999d" "00000000000000000001s" "1d1h1m1s1ms"
"success" "failure" "always" "allways" "TERM" "SIGTERM" "SIGTERM\n" "KILL" "stop" "keep" "exit" "exit:0" "exit:1" "exit:255" "exit:256" "exit:007" "exit:" "exit:+1"
"signal" "timeout" "started" "failed" "recovered" "changed"
0 1 -1 1000 1001 65536 65537 4294967296 9223372036854775807 1.5 true false
[] [""] ["",~"x"] ["~"] ["x"] ["x\n"] ["x",~"x"] ["x",~["y"]] ["x",~[]] [[]] [["x"],~["y"]] [["x",~["y"]]] ["x",~1] [1] [1,~1] [true] [1.5] [{}] [{~param~=~"p"~}] ["x",~{~param~=~"p"~}]
["x\u0000"] ["A=B"] ["PIPER_X"] ["X_*"] ["*"] ["1X"] ["exit:0"] ["exit:1"] ["exit:1\n"] ["failed"] ["failed",~"failed"] ["allways"]
{} {~param~=~"p"~} {~param~=~""~} {~param~=~"p\n"~} {~param~=~"-p"~} {~param~=~"_p"~} {~param~=~1~} {~matrix~=~"m"~} {~matrix~=~"_m"~} {~param~=~"p",~matrix~=~"m"~} {~x~=~1~} {~x~=~"y"~} {~x~=~[]~}
{~x~=~["y"]~} {~x~=~[1,~1]~} {~x~=~{}~} {~x~=~1.5~} {~exclude~=~[]~} {~x~=~["y"],~exclude~=~[{}]~} {~x~=~["y"],~exclude~=~["y"]~} {~""~=~"x"~} {~"a=b"~=~"x"~} {~"PIPER_A"~=~"x"~}
{~max~=~1~} {~max~=~-1~} {~max~=~1,~on~=~[]~} {~max~=~1,~on~=~["exit"]~} {~max~=~1,~delay~=~"1"~} {~status~=~"always"~} {~branch~=~[]~} {~branch~=~""~} {~event~=~["push"]~} {~param~=~{~p~=~[]~}~}
{~param~=~{~p~=~["x"]~}~} {~git-describe~=~"--tags"~} {~git-describe~=~""~} {~run~=~"x"~} {~run~=~""~} {~argv~=~[""]~} {~argv~=~["x"]~} {~run~=~"x",~cwd~=~""~}
"##;

const ODD_NAMES: [&str; 11] = [
    "''",
    "' '",
    "x",
    r#""x\n""#,
    "'-x'",
    "'_x'",
    "'é'",
    "'a.b'",
    "'self'",
    "'local'",
    "'exclude'",
];

/// The tables whose keys people choose, with a value for them.
const TABLES_OF_NAMES: [(&str, &str); 10] = [
    ("steps", "'v'"),
    ("pipelines", "{ steps = ['a'] }"),
    ("params", "'v'"),
    ("environments", "{ kind = 'local' }"),
    ("plugins", "'./a.wasm'"),
    ("notify", "{ uses = 'x' }"),
    ("project.env", "'v'"),
    ("steps.a.when.param", "'v'"),
    ("steps.a.matrix", "['v']"),
    ("pipelines.p.params", "'v'"),
];

/// A file in which nothing is odd but `key = value` of one table.
fn file_with(table: &str, key: &str, value: &str) -> Option<String> {
    let step = "[steps.a]\nrun = 'x'\n";
    let pair = format!("{key} = {value}\n");
    Some(match (table, key) {
        ("file", _) => pair,
        ("project", _) => format!("[project]\n{pair}"),
        ("version", _) => format!("[project.version]\n{pair}"),
        ("step", "run" | "argv" | "uses") => format!("[steps.a]\n{pair}"),
        ("step", "with") => format!("[steps.a]\nuses = 'x'\n{pair}"),
        ("step", _) => format!("{step}{pair}"),
        ("retry", "max") => format!("{step}[steps.a.retry]\n{pair}"),
        ("retry", _) => format!("{step}[steps.a.retry]\nmax = 1\n{pair}"),
        ("when", _) => format!("{step}[steps.a.when]\n{pair}"),
        ("pipeline", "steps") => format!("[pipelines.p]\n{pair}"),
        ("pipeline", _) => format!("[pipelines.p]\nsteps = ['a']\n{pair}"),
        ("param", _) => format!("[params.p]\n{pair}"),
        ("environment", _) => format!("[environments.e]\n{pair}"),
        ("plugin", "use") => format!("[plugins.p]\n{pair}"),
        ("plugin", _) => format!("[plugins.p]\nuse = './a.wasm'\n{pair}"),
        ("notify", "uses") => format!("[notify.n]\n{pair}"),
        ("notify", _) => format!("[notify.n]\nuses = 'x'\n{pair}"),
        ("reference", _) => format!("[steps.a]\nargv = ['x', {{ {key} = {value} }}]\n"),
        _ => return None,
    })
}

#[test]
fn schema_and_parser_agree_on_every_key_with_every_odd_value() {
    let schema = jsonschema::draft202012::new(&schema()).unwrap();
    let mut differences = String::new();
    let mut compare = |text: &str| {
        let value: serde_json::Value = toml::from_str(text).unwrap();
        let problems = load_text(text).problems;
        let refused = |problem: &&Problem| problem.severity == Severity::Error;
        let said =
            |problem: &Problem| problem.code.0 < 200 && !BEYOND_A_SCHEMA.contains(&problem.code);
        let verdict = match problems.iter().filter(refused).any(said) {
            true => Some(false),
            false if problems.iter().any(|problem| refused(&problem)) => None,
            false => Some(true),
        };
        if verdict.is_some_and(|accepts| accepts != schema.is_valid(&value)) {
            let codes: Vec<_> = problems
                .iter()
                .map(|problem| problem.code.to_string())
                .collect();
            differences += &format!("{codes:?} {text:?}\n");
        }
    };
    for table in keys::TABLES {
        for key in table.keys.iter().filter(|key| key.since.is_some()) {
            for value in ODD_VALUES.split_whitespace() {
                let value = value.replace('~', " ");
                compare(&file_with(table.id, key.name, &value).expect("the table has a template"));
            }
        }
    }
    for name in ODD_NAMES {
        for (table, value) in TABLES_OF_NAMES {
            let rest = match table {
                "steps" | "pipelines" => "",
                _ => "[pipelines.p]\nsteps = ['a']\n[steps.a]\nrun = 'x'\n",
            };
            compare(&format!("{rest}[{table}]\n{name} = {value}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn no_pattern_of_the_schema_lets_a_line_end_slip_in_behind_its_end() {
    // In the expressions of Python and Perl, unlike those that a schema should have, `$` stands before a last line feed, too.
    fn patterns<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(members) => {
                found.extend(members.get("pattern").and_then(|pattern| pattern.as_str()));
                members.values().for_each(|value| patterns(value, found));
            }
            serde_json::Value::Array(values) => {
                values.iter().for_each(|value| patterns(value, found));
            }
            _ => {}
        }
    }
    let schema = schema();
    let mut found = Vec::new();
    patterns(&schema, &mut found);
    assert!(found.len() > 20);
    for pattern in found {
        assert!(
            pattern.starts_with('^') && pattern.ends_with("$(?!\\n)"),
            "{pattern}"
        );
    }
}

const VALID: &str = include_str!("../../../../tests/fixtures/pipelines/valid/everything.toml");

/// What the parser of TOML refuses is not taken for a file with less in it.
fn refuses_what_toml_refuses(text: &str) {
    let is_toml = toml::from_str::<toml::Table>(text).is_ok();
    assert!(is_toml || load_text(text).has_errors(), "{text:?}");
}

#[test_case("x"; "a word at the end")]
#[test_case("[steps]\na"; "a key at the end")]
#[test_case("[steps]\na ="; "a key without a value at the end")]
#[test_case("[steps"; "an open table at the end")]
#[test_case("a = \"\\"; "an open text at the end")]
fn what_is_missing_at_the_end_of_the_file_is_a_mistake(text: &str) {
    refuses_what_toml_refuses(text);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        refuses_what_toml_refuses(&text);
    }

    #[test]
    fn no_text_that_resembles_a_file_makes_it_panic(
        lines in proptest::collection::vec(
            "(\\[{0,2}(steps|pipelines|params|é)?\\.?[a-c.\"]{0,3}\\]{0,2}|[a-c.]{0,3} ?[=:]? ?(['\"\\[{]{0,3})[a-c =,|é]{0,5}(['\"\\]}]{0,3}))",
            0..12,
        ),
    ) {
        refuses_what_toml_refuses(&lines.join("\n"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_bytes("piper.toml".into(), bytes);
    }

    #[test]
    fn no_mutation_of_a_valid_file_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_usize, "[\\[\\]{}\"'=.,# \\n\\r\\ta1é\u{0}\\\\-]{0,4}"), 1..6),
    ) {
        let mut text = VALID.to_owned();
        for (at, length, new) in changes {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &new);
        }
        refuses_what_toml_refuses(&text);
        let loaded = load_text(&text);
        prop_assert_eq!(loaded.project.is_some(), !loaded.has_errors());
        for problem in &loaded.problems {
            let at = problem.at.as_ref().expect("every problem of a file has a place");
            prop_assert!(text.get(at.bytes.clone()).is_some());
        }
    }
}

#[test]
fn problems_are_told_file_by_file() {
    let at = |path: &str, start: usize| {
        let source = Arc::new(Source {
            path: path.into(),
            text: String::new(),
        });
        let span = crate::problem::Span {
            source,
            bytes: start..start,
        };
        Problem::error(codes::SYNTAX, format!("{path}:{start}")).at(span, "")
    };
    let mut problems = vec![at("b", 1), at("a", 9), at("b", 0), at("a", 2)];
    problems.push(Problem::error(codes::SYNTAX, "nowhere"));
    sort(&mut problems);
    let order: Vec<_> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(order, ["nowhere", "a:2", "a:9", "b:0", "b:1"]);
}
