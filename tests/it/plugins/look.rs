//! Looking at plugins: list, inspect, check.

use super::{MANIFEST, component, plugin, project, write_grants};
use crate::support::{TestEnv, guests};
use serde_json::Value;
use test_case::test_case;

#[test]
fn a_component_is_shown_with_what_it_is_and_asks_for() {
    let env = project();
    let done = plugin(&env, &["inspect", "./odd.wasm"]).finish().succeeds();
    let out = done.out();
    for said in [
        "odd 1.4.0 · MIT\nIs everything\n",
        "from    ./odd.wasm (file)\n",
        "digest  sha256:",
        "kinds   step-planner, step-runner, trigger-poll, trigger-webhook, log-sink, log-reader, notifier, config-check\n",
        "http POST {config.url}/_bulk  ",
        "send log batches\n",
        "  state                                  remember (optional)\n",
        "May do here\n  nothing\n",
        "--files workspace=write\n",
        "  memory              128 MiB\n  cpu                 1 s (step-planner, config-check), 5 s (step-runner, ",
        "10 s (step-planner, trigger-webhook, notifier, config-check), as long as its step may take (step-runner), 30 s (",
        "\n  http-response       16 MiB\n",
        "\n  log-rate            200 a second\n",
        "piper:base/http@0.1.0\n",
        "of WASI, which toolchains import whether they are called or not\n",
    ] {
        assert!(out.contains(said), "{said:?} in:\n{out}");
    }
}

#[test]
fn what_is_granted_and_what_is_missing_is_in_the_json() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let digest = digest_of(&env);
    write_grants(
        &env,
        &format!(
            "[plugins.odd]\ndigest = \"{digest}\"\nconfig = {{ url = \"https://logs.example.com\" }}\nlimits.cpu = \"9s\"\n\
             allow.http = [\"POST https://logs.example.com\"]\nallow.exec = [[\"git\"]]\n"
        ),
    );
    let done = plugin(&env, &["inspect", "odd", "--output", "json"])
        .finish()
        .succeeds();
    let seen: Value = serde_json::from_str(&done.out()).unwrap();
    let words = |key: &str| -> Vec<String> {
        let list = seen["permissions"][key].as_array().unwrap();
        list.iter()
            .map(|one| format!("{} {}", one["kind"], one["what"]).replace('"', ""))
            .collect()
    };
    assert_eq!(
        words("granted"),
        [
            "http POST https://logs.example.com/_bulk",
            "files workspace=read"
        ]
    );
    assert_eq!(
        words("missing"),
        [
            "files workspace=write",
            "secret api-key=env:…",
            "to api-key=https://logs.example.com",
            "state "
        ]
    );
    assert_eq!(words("unused"), ["exec git"]);
    assert_eq!(
        (&seen["origin"], &seen["limits"][0]["cpu_ms"]),
        (&"project".into(), &9000.into())
    );
    let limits = seen["limits"][0].as_object().unwrap();
    assert_eq!(limits.len(), 28, "all 27, and the kind: {limits:?}");
    assert_eq!(limits["http_total_ms"], 60_000);
    assert_eq!(limits["http_response"], 16 << 20);
}

#[test]
fn a_check_says_the_main_limits_and_where_the_others_are() {
    let env = project();
    for (plugin_, others) in [("./odd.wasm", "./odd.wasm"), ("odd.wasm", "./odd.wasm")] {
        let done = plugin(&env, &["check", plugin_]).finish();
        let out = done.out();
        for said in [
            "  a call of step-planner: 128 MiB of memory, 1 s of CPU, 10 s in all\n",
            "  a call of step-runner: 128 MiB of memory, 5 s of CPU, as long as its step may take\n",
            &format!("\n  the other limits: piper plugin inspect {others} shows them"),
        ] {
            assert!(out.contains(said), "{said:?} in:\n{out}");
        }
        assert!(!out.contains("http-response"), "{out}");
    }
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let done = plugin(&env, &["check", "odd"]).finish();
    let others = "\n  the other limits: piper plugin inspect odd shows them";
    assert!(done.out().contains(others), "{}", done.out());
}

#[test]
fn a_secret_that_was_written_by_hand_and_is_not_declared_is_warned_of() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let digest = digest_of(&env);
    let table = format!(
        "[plugins.odd]\ndigest = \"{digest}\"\nconfig = {{ url = \"https://logs.example.com\" }}\nsecrets.api-kye = {{ from = \"env:KEY\" }}\n"
    );
    write_grants(&env, &table);
    for command in ["inspect", "check"] {
        plugin(&env, &[command, "odd"])
            .finish()
            .succeeds()
            .complains("plugin `odd` declares no secret `api-kye`")
            .complains("did you mean `api-key`?");
    }
    write_grants(&env, &table.replace("api-kye", "api-key"));
    let done = plugin(&env, &["check", "odd"]).finish().succeeds();
    assert!(!done.err().contains("declares no secret"), "{}", done.err());
}

fn digest_of(env: &TestEnv) -> String {
    let lock = env.read("piper.lock");
    let (_, digest) = lock.split_once("digest = \"").unwrap();
    digest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_manifest_is_checked_with_every_problem_at_its_place() {
    let env = TestEnv::empty();
    env.write("piper-plugin.toml", "manifest = 1\nname = \"a\"\nversion = \"1.0\"\n[[permission.http]]\nto = \"ftp://x\"\nwhy = \"x\"\n");
    let done = plugin(&env, &["check"]).finish().exits(2);
    done.complains("error[P0610]: `1.0` is not a version\n --> piper-plugin.toml:3:11\n")
        .complains("error[P0601]")
        .says("piper-plugin.toml: 2 errors\n");
}

#[test]
fn the_manifest_in_a_component_is_shown_where_it_is_wrong() {
    let env = TestEnv::empty();
    env.write("odd.wasm", component(&MANIFEST.replace("1.4.0", "1.4")));
    let done = plugin(&env, &["check", "odd.wasm"]).finish().exits(2);
    done.complains("--> odd.wasm (piper-plugin.toml):3:11")
        .complains("3 | version = \"1.4\"\n  |           ^^^^^");
}

#[test]
fn a_kind_that_only_one_side_knows_of_is_a_problem() {
    let env = TestEnv::empty();
    env.write(
        "odd.wasm",
        component(&MANIFEST.replace("[[trigger]]\n", "")),
    );
    plugin(&env, &["check", "odd.wasm"])
        .finish()
        .exits(2)
        .complains("exports `piper:trigger/trigger-poll@0.1.0-draft.1`, and its manifest has no `[[trigger]]`");
}

#[test]
fn a_permission_that_no_kind_of_the_plugin_can_use_is_a_problem() {
    let env = TestEnv::empty();
    let head =
        "manifest = 1\nname = \"a\"\nversion = \"1.0.0\"\nlicense = \"MIT\"\ndescription = \"d\"\n";
    let (http, exec) = (
        "[[permission.http]]\nto = \"GET https://a.example\"\nwhy = \"x\"\n",
        "[[permission.exec]]\nargv = [\"git\"]\nwhy = \"x\"\n",
    );
    let check = |kinds: &str, asks: &str| {
        env.write("piper-plugin.toml", format!("{head}{kinds}{asks}"));
        plugin(&env, &["check"]).finish()
    };
    let (planner, runner) = (
        "[[step]]\nname = \"p\"\nrole = \"planner\"\n",
        "[[step]]\nname = \"r\"\nrole = \"runner\"\n",
    );
    check(planner, http)
        .exits(2)
        .complains("error[P0108]: `a` asks for `[[permission.http]]`, and a step-planner may have no permission")
        .complains("a plugin of these kinds can use it: step-runner, trigger-poll, ");
    check(&format!("{planner}{runner}"), http)
        .succeeds()
        .says("piper-plugin.toml: no problems\n");
    check("[[notifier]]\n", exec)
        .succeeds()
        .complains("warning[P0108]: `a` asks for `[[permission.exec]]`, which is no use to what it is: notifier")
        .complains("a plugin of these kinds can use it: step-runner");
    env.write("odd.wasm", component(&format!("{head}{planner}{http}")));
    plugin(&env, &["check", "odd.wasm"])
        .finish()
        .exits(2)
        .complains("exports `piper:step/step-runner@0.1.0`");
}

#[test]
fn a_rule_that_tells_a_notifier_of_nothing_that_it_wants_is_warned_of() {
    let env = TestEnv::new(
        "[steps]\na = 'true'\n[pipelines.p]\nsteps = [\"a\"]\n[notify.team]\nuses = \"odd/told\"\non = [\"started\"]\n",
    );
    let notifier = "[[notifier]]\nname = \"told\"\nevents = [\"build.finished\"]\n";
    env.write(
        "odd.wasm",
        component(&MANIFEST.replace("[[notifier]]\n", notifier)),
    );
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    super::cached(env.call(&["check"]))
        .finish()
        .succeeds()
        .complains("warning[P0108]: nobody is told by this rule: `odd` wants to hear of `build.finished` only")
        .complains("piper.toml:7:6");
}

#[test]
fn schemas_of_options_that_nothing_would_be_held_against_are_a_problem() {
    let env = TestEnv::empty();
    let check = |manifest: &str, schemas: Option<&str>| {
        let bare = component(manifest);
        let whole = schemas.map_or(bare.clone(), |text| {
            guests::with_section(&bare, "piper:options-schema", text)
        });
        env.write("odd.wasm", whole);
        plugin(&env, &["check", "odd.wasm"]).finish()
    };
    check(
        MANIFEST,
        Some(r#"{"step-runner": {"run": {"type": "object"}}}"#),
    )
    .succeeds();
    check(MANIFEST, Some(r#"{"type": "object"}"#))
        .exits(2)
        .complains("`type` is no kind of plugin; they stand by kind and name");
    for (schema, why) in [
        (r#"{"type": "strng"}"#, "\"strng\" is not valid"),
        (r#"{"type": "array"}"#, "its `type` is `array`"),
        (
            r#"{"properties": {"n": {"type": "integer", "default": "two"}}}"#,
            "the default of `n`: \"two\" is not of type \"integer\"",
        ),
    ] {
        let schemas = format!(r#"{{"step-runner": {{"run": {schema}}}}}"#);
        check(MANIFEST, Some(&schemas))
            .exits(2)
            .complains("the schema of the options of `run` of `odd.wasm` cannot be used")
            .complains(why);
    }
    let named = MANIFEST.replace(
        "role = \"runner\"",
        "role = \"runner\"\nschema = \"a.json\"",
    );
    check(&named, None)
        .exits(2)
        .complains("names the `schema` `a.json`, and the component has none in it");
}

#[test_case("core.wasm", b"\0asm\x01\0\0\0", "this is a core WebAssembly module and not a component"; "a core module")]
#[test_case("text.wasm", b"hello", "this is not a WebAssembly component"; "a text")]
#[test_case("empty.wasm", b"\0asm\x0d\0\x01\0", "it exports no interface"; "nothing in it")]
fn what_is_no_plugin_says_why(name: &str, bytes: &[u8], why: &str) {
    let env = TestEnv::empty();
    env.write(name, bytes);
    plugin(&env, &["check", name])
        .finish()
        .exits(2)
        .complains(&format!("error[P0620]: `{name}`: "))
        .complains(why);
}

#[test]
fn what_is_said_to_a_plugin_is_shown_with_its_defaults() {
    let env = TestEnv::empty();
    let out = plugin(&env, &["inspect", "junit"])
        .finish()
        .succeeds()
        .out();
    let (_, options) = out.split_once("Options of a step-runner\n").unwrap();
    for said in [
        "  files: array or string, required  ",
        "  allow-missing: boolean = false  ",
    ] {
        assert!(options.contains(said), "{said:?} in:\n{out}");
    }
    let out = plugin(&env, &["inspect", "webhook"])
        .finish()
        .succeeds()
        .out();
    assert!(
        out.contains("Configuration\n  url: string, required  "),
        "{out}"
    );
}

#[test]
fn a_component_without_a_manifest_cannot_be_named() {
    let env = TestEnv::empty();
    env.write("odd.wasm", guests::odd());
    plugin(&env, &["check", "odd.wasm"])
        .finish()
        .exits(2)
        .complains("has no manifest");
}

#[test]
fn the_list_says_how_each_stands_and_compiles_nothing() {
    let env = project();
    let own = plugin(&env, &["list"]).finish().succeeds();
    let is_own = |line: &String| line.contains("  built in  ");
    assert!(own.lines().iter().all(is_own), "{}", own.out());
    assert!(own.out().contains("junit"), "{}", own.out());
    plugin(&env, &["add", "odd.wasm", "--name", "here"])
        .finish()
        .succeeds();
    write_grants(
        &env,
        "[plugins.away]\nsource = \"https://plugins.invalid/a.wasm\"\n[plugins.gone]\nsource = \"/nowhere/b.wasm\"\n",
    );
    // A cache of its own, which stays empty.
    let done = env.piper(&["plugin", "list"]).succeeds();
    let mut lines = done.lines();
    lines.retain(|line| !is_own(line));
    assert!(
        lines[0].starts_with("away     ?      operator")
            && lines[0].ends_with("https://plugins.invalid/a.wasm"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("there is no file `/nowhere/b.wasm`"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("here     1.4.0  project")
            && lines[2].ends_with("3 permissions are not granted"),
        "{lines:?}"
    );
    assert!(!env.beside("cache").join("piper").exists());
    let json = env
        .piper(&["plugin", "list", "--output", "json"])
        .succeeds();
    let states: Vec<Value> = json
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["origin"] != "built in")
        .map(|line| line["state"].clone())
        .collect();
    assert_eq!(states, ["not-fetched", "broken", "not-granted"]);
}

#[test]
fn an_unknown_name_is_told_from_a_file() {
    let env = project();
    plugin(&env, &["inspect", "odd"])
        .finish()
        .exits(2)
        .complains("error[P0621]: there is no plugin `odd`")
        .complains("`./odd.wasm`");
}

#[test]
fn what_a_manifest_says_cannot_reach_the_terminals_controls() {
    let env = TestEnv::empty();
    env.write(
        "odd.wasm",
        component(&MANIFEST.replace("send log batches", "send\\u001b[2J logs\\u202e")),
    );
    let done = plugin(&env, &["inspect", "./odd.wasm"]).finish().succeeds();
    assert!(!done.out().contains(['\x1b', '\u{202e}']), "{}", done.out());
}

#[test]
fn a_plugin_is_checked_by_its_name_too() {
    let env = TestEnv::empty();
    plugin(&env, &["check", "junit"]).finish().succeeds();
    // A folder is no component.
    env.write("s3/readme", "");
    plugin(&env, &["check", "s3"]).finish().succeeds();
    plugin(&env, &["check", "jnuit"])
        .finish()
        .exits(2)
        .complains("junit");
}

#[test]
fn what_a_manifest_says_in_vain_is_told() {
    let env = TestEnv::empty();
    let manifest = "manifest = 1\nname = \"odd\"\nversion = \"1.0.0\"\nlicense = \"MIT\"\ndescription = \"d\"\nconfig-schema = \"c.json\"\n\
        [[notifier]]\nevents = [\"build.finishd\"]\n[[permission.http]]\nto = \"POST {config.uri}\"\nwhy = \"w\"\n";
    let component = guests::with_section(guests::odd(), "piper:manifest", manifest);
    let schema = r#"{"properties": {"url": {"type": "string"}}, "additionalProperties": false}"#;
    env.write(
        "odd.wasm",
        guests::with_section(&component, "piper:config-schema", schema),
    );
    plugin(&env, &["check", "./odd.wasm"])
        .finish()
        .exits(2)
        .complains("waits for the event `build.finishd`")
        .complains("did you mean `build.finished`?")
        .complains("asks for requests to `{config.uri}`")
        .complains("did you mean `{config.url}`?");
}
