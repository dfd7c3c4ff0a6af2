//! Beginning and building plugins.

use super::{
    cached,
    notifiers::{listen, webhook_grants},
    plugin, write_grants,
};
use crate::support::{TestEnv, have};
use std::{path::Path, process::Command};
use test_case::test_case;

#[test]
fn a_plugin_is_begun_in_a_folder_of_its_own() {
    let env = TestEnv::empty();
    plugin(&env, &["new", "greeter", "--kind", "step-runner"])
        .finish()
        .succeeds()
        .complains("piper plugin build");
    plugin(&env, &["-C", "greeter", "check"])
        .cwd(env.root())
        .finish();
    assert!(
        env.read("greeter/Cargo.toml")
            .contains("piper-plugin-sdk = { path = \"piper-plugin-sdk\" }")
    );
    plugin(&env, &["new", "greeter", "--kind", "notifier"])
        .finish()
        .exits(2)
        .complains("error[P0315]");
}

#[test]
fn a_build_without_a_manifest_says_where_to_begin() {
    let env = TestEnv::empty();
    plugin(&env, &["build"])
        .finish()
        .exits(2)
        .complains("`piper plugin new`");
}

#[test]
fn a_schema_that_is_not_there_is_missed_before_javascript_is_built() {
    let env = TestEnv::empty();
    env.write("package.json", "{}");
    env.program("bin/npm", "#!/bin/sh\necho 'it was built' >&2\nexit 1\n");
    let build = |manifest: &str| {
        env.write(
            "piper-plugin.toml",
            format!("manifest = 1\nname = \"a\"\nversion = \"1.0.0\"\n{manifest}"),
        );
        plugin(&env, &["build"])
            .env("PATH", env.path("bin"))
            .finish()
            .exits(2)
    };
    build("[[step]]\nname = \"p\"\nrole = \"planner\"\n").complains("it was built");
    for (wrong, said) in [
        (
            "config-schema = \"no.json\"\n[[notifier]]\n",
            "there is no such file",
        ),
        (
            "[[step]]\nname = \"p\"\nrole = \"planner\"\n[[permission.state]]\nwhy = \"x\"\n",
            "may have no permission",
        ),
    ] {
        let done = build(wrong).complains(said);
        assert!(!done.err().contains("it was built"), "{}", done.err());
    }
}

#[test]
fn what_the_toolchain_says_when_it_fails_is_shown() {
    let env = TestEnv::empty();
    plugin(&env, &["new", "greeter", "--kind", "step-runner"])
        .finish()
        .succeeds();
    env.program(
        "bin/cargo",
        "#!/bin/sh\ntest \"$1\" = build && exit\necho 'error: no such edition' >&2\nexit 101\n",
    );
    plugin(&env, &["-C", "greeter", "build"])
        .env("PATH", env.path("bin"))
        .finish()
        .exits(2)
        .complains("`cargo metadata` failed")
        .complains("error: no such edition");
}

#[test_case("step-runner")]
#[test_case("notifier")]
fn what_is_begun_in_rust_builds_and_does_what_it_must(kind: &str) {
    if !have(&["cargo"]) {
        return;
    }
    let env = TestEnv::empty();
    // One folder for all tests, so that what the SDK depends on is compiled once; hence a name for each.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-new");
    let name = format!("{kind}-of-mine");
    let component = format!("{name}/{name}.wasm");
    plugin(&env, &["new", &name, "--kind", kind])
        .finish()
        .succeeds();
    env.write(
        "piper.toml",
        format!("[steps]\nunit = {{ run = \"cargo test\", cwd = \"{name}\" }}\n"),
    );
    let tested = env
        .call(&["exec", "unit", "--pass-env-all"])
        .env("CARGO_TARGET_DIR", &target)
        .patiently()
        .finish()
        .succeeds();
    assert!(tested.out().contains("1 passed"), "{}", tested.out());
    let done = plugin(&env, &["-C", &name, "build"])
        .env("CARGO_TARGET_DIR", &target)
        .patiently()
        .finish()
        .succeeds();
    assert!(
        done.out().contains(&format!("{component}: {kind}")),
        "{}",
        done.out()
    );
    plugin(&env, &["test", &component]).finish().succeeds();
}

#[test]
fn what_is_begun_in_javascript_passes_its_tests_builds_and_does_what_it_must() {
    if !have(&["node", "npm"]) {
        return;
    }
    let env = TestEnv::empty();
    let installed = env.root().join("step-runner/node_modules");
    for kind in [
        "step-runner",
        "step-planner",
        "notifier",
        "log-sink",
        "log-reader",
        "trigger-poll",
        "trigger-webhook",
    ] {
        let new = ["new", kind, "--kind", kind, "--lang", "js"];
        plugin(&env, &new).finish().succeeds();
        env.write(
            "piper.toml",
            format!("[steps]\nunit = {{ run = \"node --test\", cwd = \"{kind}\" }}\n"),
        );
        // Before anything is installed.
        let tested = env.call(&["exec", "unit"]).patiently().finish().succeeds();
        assert!(tested.out().contains("# pass 1"), "{}", tested.out());
        // What the first one installed does for all: they need the same.
        if installed.exists() {
            let own = env.root().join(kind).join("node_modules");
            std::os::unix::fs::symlink(&installed, own).unwrap();
        }
        let component = format!("{kind}/{kind}.wasm");
        let built = plugin(&env, &["-C", kind, "build"]).patiently().finish();
        let built = built.succeeds();
        assert!(
            built.out().contains(&format!("{component}: {kind}")),
            "{}",
            built.out()
        );
        plugin(&env, &["test", &component])
            .patiently()
            .finish()
            .succeeds();
    }
}

#[test]
fn a_notifier_begun_in_javascript_understands_what_builds_say() {
    if !have(&["node"]) {
        return;
    }
    let env = TestEnv::new(
        "[project]\nname = \"web\"\n[steps]\ngood = 'true'\n[pipelines.build]\nsteps = [\"good\"]\n[notify.team]\nuses = \"webhook\"\non = [\"always\"]\n",
    );
    let (origin, told) = listen(["204 Done"]);
    write_grants(&env, &webhook_grants(&origin));
    cached(env.call(&["exec", "--notify"]))
        .env("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .finish()
        .succeeds();
    let [request] = told.join().unwrap();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let new = ["new", "mine", "--kind", "notifier", "--lang", "js"];
    plugin(&env, &new).finish().succeeds();
    let said = Command::new("node")
        .args(["--input-type=module", "--eval", "import { message } from './message.js'; console.log(message(JSON.parse(process.env.BODY).data));"])
        .env("BODY", body)
        .current_dir(env.root().join("mine"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "web build: succeeded\n"
    );
}
