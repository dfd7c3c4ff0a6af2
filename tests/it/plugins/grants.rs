//! Adding plugins and granting them something.

use super::{MANIFEST, cached, component, grants, plugin, project, write_grants};
use crate::support::{Terminal, TestEnv, guests};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};
use test_case::test_case;

#[test]
fn a_plugin_is_added_and_then_granted_what_it_asks_for() {
    let env = project();
    let done = plugin(&env, &["add", "./odd.wasm"]).finish().succeeds();
    assert!(
        done.out().starts_with("added odd 1.4.0 ("),
        "{}",
        done.out()
    );
    done.complains("piper plugin grant odd");
    assert!(
        env.read("piper.lock")
            .contains("[plugins.odd]\nsource = \"./odd.wasm\"\ndigest = \"sha256:")
    );
    write_grants(
        &env,
        "# mine\n[plugins.odd]\nconfig = { url = \"https://logs.example.com\" }\n",
    );
    plugin(&env, &["grant", "odd", "--yes"])
        .finish()
        .exits(2)
        .complains("error[P0617]: nothing says where the secret `api-key` of plugin `odd` is")
        .complains("+ state (optional): remember")
        .complains("piper plugin grant odd --http 'POST https://logs.example.com/_bulk' --files workspace=write --secret 'api-key=env:…' --to api-key=https://logs.example.com --state");
    let done = plugin(&env, &["grant", "odd", "--yes"])
        .args(&["--http", "POST https://logs.example.com/_bulk"])
        .args(&["--secret", "api-key=env:API_KEY"])
        .args(&["--to", "api-key=https://logs.example.com"])
        .args(&["--files", "workspace=write", "--state"])
        .finish()
        .succeeds();
    done.complains("+ http POST https://logs.example.com/_bulk  send log batches")
        .complains("+ secret api-key=env:API_KEY  authenticate")
        .complains("+ state  remember (optional)");
    let text = fs::read_to_string(grants(&env)).unwrap();
    for line in [
        "# mine",
        "digest = \"sha256:",
        "allow.http = [\"POST https://logs.example.com/_bulk\"]",
        "allow.files = { workspace = \"write\" }",
        "allow.state = true",
        "secrets.api-key = { from = \"env:API_KEY\", to = [\"https://logs.example.com\"] }",
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
    plugin(&env, &["grant", "odd"])
        .finish()
        .succeeds()
        .complains("has all that it asks for");
    assert!(
        plugin(&env, &["list"])
            .finish()
            .succeeds()
            .out()
            .contains("Is everything")
    );
}

#[test]
fn a_host_that_only_the_configuration_knows_is_asked_for() {
    let env = project();
    plugin(&env, &["grant", "webhook", "--yes"])
        .args(&["--secret", "signing-key=env:KEY"])
        .finish()
        .succeeds()
        .complains("`POST {config.url}` cannot be granted yet")
        .complains("`config` of `[plugins.webhook]`");
    // Nothing of what it asks for can be granted, and nothing is written.
    let fresh = project();
    // It asks for HTTP alone.
    let (manifest, _) = MANIFEST.split_once("[[permission.secret]]").unwrap();
    fresh.write("odd.wasm", component(manifest));
    plugin(&fresh, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&fresh, &["grant", "odd", "--yes"])
        .finish()
        .exits(2)
        .complains("nothing more can be granted to plugin `odd` before that");
    assert!(!grants(&fresh).exists());
    // All that it asks for cannot be granted: a script must know.
    plugin(&env, &["grant", "webhook", "--yes"])
        .finish()
        .exits(2)
        .complains("`POST {config.url}` cannot be granted yet");
}

#[test]
fn nothing_is_granted_unless_somebody_agrees() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&env, &["grant", "odd", "--files", "workspace=write"])
        .finish()
        .exits(2)
        .complains("+ files workspace=write  write what it made")
        .complains("nobody is here to agree")
        .complains("`--yes`");
    assert!(!grants(&env).exists());
}

#[test]
fn a_secret_that_the_plugin_does_not_declare_is_not_granted() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let grant = |secret: &str| {
        plugin(&env, &["grant", "odd", "--yes", "--secret", secret])
            .finish()
            .exits(2)
            .complains("error[P0608]: plugin `odd` declares no secret `")
    };
    grant("api-kye=env:KEY").complains("did you mean `api-key`?");
    grant("token=env:KEY").complains("it declares `api-key`");
    assert!(!grants(&env).exists());
}

#[test]
fn what_was_granted_is_taken_away_again_after_it_was_shown() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let grant = [
        "grant",
        "odd",
        "--files",
        "workspace=write",
        "--state",
        "--yes",
    ];
    plugin(&env, &grant).finish().succeeds();
    let text = fs::read_to_string(grants(&env)).unwrap();
    let more = "limits.cpu = \"9s\"\nsecrets.api-key = { from = \"env:KEY\" }\n[plugins.other]\nallow.state = true\n";
    write_grants(&env, &format!("{text}{more}"));
    plugin(&env, &["grant", "odd", "--revoke"])
        .finish()
        .exits(2)
        .complains("- files workspace=write  ")
        .complains("- state  ")
        .complains("- secret api-key=env:KEY  ")
        .complains("- limits cpu=9s  ")
        .complains("`--yes`");
    plugin(&env, &["grant", "odd", "--revoke", "--yes"])
        .finish()
        .succeeds();
    let text = fs::read_to_string(grants(&env)).unwrap();
    for gone in ["workspace", "9s", "api-key"] {
        assert!(!text.contains(gone), "{text}");
    }
    assert!(
        text.contains("[plugins.other]\nallow.state = true\n"),
        "{text}"
    );
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    // What every plugin of a project may do.
    assert!(
        out.contains("May do here\n  files workspace=read\n\n"),
        "{out}"
    );
    plugin(&env, &["grant", "odd", "--revoke", "--yes"])
        .finish()
        .succeeds()
        .complains("grants nothing to plugin `odd`");
    plugin(&env, &["grant", "odd", "--revoke", "--state"])
        .finish()
        .exits(2);
    // It need not be there any more, nor ever have been.
    plugin(&env, &["grant", "other", "--revoke", "--yes"])
        .finish()
        .succeeds();
    assert!(!fs::read_to_string(grants(&env)).unwrap().contains("state"));
}

#[test]
fn a_grant_holds_for_one_digest_and_shows_what_is_new() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(
        &env,
        &[
            "grant",
            "odd",
            "--yes",
            "--files",
            "workspace=write",
            "--state",
        ],
    )
    .finish()
    .succeeds();
    assert_eq!(fs::metadata(grants(&env)).unwrap().mode() & 0o777, 0o600);
    let more =
        format!("{MANIFEST}[[permission.exec]]\nargv = [\"git\", \"fetch\"]\nwhy = \"fetch\"\n");
    env.write("odd.wasm", component(&more));
    plugin(&env, &["inspect", "odd"])
        .finish()
        .exits(2)
        .complains("error[P0618]: plugin `odd` is another than the one that was added")
        .complains("--> piper.lock:6:11")
        .complains("piper plugin add --name odd ./odd.wasm");
    let done = plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    assert!(
        done.out().starts_with("changed odd in piper.lock from "),
        "{}",
        done.out()
    );
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    assert!(
        out.contains("what was granted was granted to sha256:")
            && out.contains("--exec 'git fetch'"),
        "{out}"
    );
    let out = plugin(&env, &["list"]).finish().succeeds().out();
    assert!(out.contains("changed since it was granted"), "{out}");
    plugin(&env, &["grant", "odd", "--yes", "--exec", "git fetch"])
        .finish()
        .succeeds()
        .complains("- files workspace=write  what the other one had")
        .complains("`--keep` gives it to this one")
        .complains("runs outside the sandbox");
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(
        text.contains("allow.exec = [[\"git\", \"fetch\"]]"),
        "{text}"
    );
    assert!(!text.contains("workspace"), "{text}");
}

/// A project whose `odd` is another than the one to which all this was granted.
fn changed() -> TestEnv {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    write_grants(
        &env,
        "[plugins.odd]\nconfig = { url = \"https://logs.example.com\" }\n",
    );
    plugin(&env, &["grant", "odd", "--yes"])
        .args(&["--http", "POST https://logs.example.com/_bulk", "--state"])
        .args(&["--secret", "api-key=env:DEPLOY_KEY"])
        .args(&["--to", "api-key=https://logs.example.com"])
        .finish()
        .succeeds();
    fs::create_dir_all(env.beside("state").join("piper/plugins")).unwrap();
    fs::write(kept(&env), "what the first one kept").unwrap();
    env.write("odd.wasm", component(&MANIFEST.replace("1.4.0", "6.6.6")));
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    env
}

/// What plugins called `odd` keep from call to call.
fn kept(env: &TestEnv) -> std::path::PathBuf {
    env.beside("state").join("piper/plugins/odd.state")
}

#[test]
fn another_plugin_of_the_same_name_inherits_nothing() {
    let env = changed();
    plugin(&env, &["grant", "odd", "--yes", "--state"])
        .finish()
        .succeeds()
        .complains("+ state  remember (optional)")
        .complains("- http POST https://logs.example.com/_bulk  what the other one had")
        .complains("- secret api-key=env:DEPLOY_KEY")
        .complains("- to api-key=https://logs.example.com")
        .complains("- config {")
        .complains("what a plugin of this name kept before is not this one's");
    let text = fs::read_to_string(grants(&env)).unwrap();
    for gone in ["config", "http", "secrets"] {
        assert!(!text.contains(gone), "{gone} in:\n{text}");
    }
    assert!(!kept(&env).exists());
    assert!(kept(&env).with_extension("state.1").exists());
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    assert!(
        out.contains("May do here\n  files workspace=read\n  state\n"),
        "{out}"
    );
}

#[test]
fn a_command_that_is_printed_keeps_what_was_to_be_kept() {
    let env = changed();
    let asks = MANIFEST.replace("1.4.0", "7.7.7")
        + "[[permission.secret]]\nname = \"other\"\nuse = { header = \"x-other\" }\nwhy = \"w\"\n";
    env.write("odd.wasm", component(&asks));
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&env, &["grant", "odd", "--keep", "--yes"])
        .finish()
        .exits(2)
        .complains("put it in the place of `…`: piper plugin grant odd ")
        .complains(" --keep\n");
}

#[test]
fn what_is_wrong_with_the_operators_file_is_said_once() {
    let env = TestEnv::new(
        "[steps]\na = { uses = \"junit\", with = { files = [] } }\nb = { uses = \"junit\", with = { files = [] } }\n[pipelines]\nbuild = { steps = [\"a\", \"b\"] }\n",
    );
    write_grants(&env, "[plugins.junit]\nconfg = {}\n");
    for command in ["check", "exec", "plan"] {
        let done = cached(env.call(&[command])).finish().exits(2);
        assert_eq!(done.err().matches("error[").count(), 1, "{}", done.err());
    }
}

#[test]
fn a_configuration_that_nobody_gave_yet_says_how_it_holds() {
    let env = TestEnv::new("[steps]\na = { uses = \"odd/run\" }\n");
    let schema = r#"{"type": "object", "required": ["url"]}"#;
    let with_schema = guests::with_section(&component(MANIFEST), "piper:config-schema", schema);
    env.write("odd.wasm", with_schema);
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    write_grants(
        &env,
        "[plugins.odd]\nconfig = { url = \"https://logs.example.com\" }\n",
    );
    cached(env.call(&["exec", "a"]))
        .finish()
        .exits(2)
        .complains("`url` is missing")
        .complains(
            "holds as soon as you say that this is the plugin it is for: `piper plugin grant odd`",
        );
}

#[test]
fn another_plugin_of_the_same_name_inherits_what_the_operator_saw_and_kept() {
    let env = changed();
    plugin(
        &env,
        &[
            "grant",
            "odd",
            "--yes",
            "--keep",
            "--files",
            "workspace=write",
        ],
    )
    .finish()
    .succeeds()
    .complains("= http POST https://logs.example.com/_bulk  what the other one has")
    .complains("= secret api-key=env:DEPLOY_KEY  what the other one has")
    .complains("= to api-key=https://logs.example.com  what the other one has")
    .complains("= state  what the other one has")
    .complains("= config {")
    .complains("+ files workspace=write  write what it made")
    .complains("what it keeps was given to sha256:");
    assert!(kept(&env).exists());
    let out = plugin(&env, &["list"]).finish().succeeds().out();
    assert!(out.contains("Is everything"), "{out}");
}

#[test]
fn what_pipers_own_plugin_was_granted_is_not_that_of_a_repositorys_namesake() {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    env.write(
        "odd.wasm",
        component(&MANIFEST.replace("name = \"odd\"", "name = \"s3\"")),
    );
    let own = "[plugins.s3]\nconfig = { url = \"https://s3.example.com\" }\nallow.state = true\nsecrets.api-key = { from = \"env:KEY\", to = [\"https://s3.example.com\"] }\n";
    write_grants(&env, own);
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(
        &env,
        &["grant", "s3", "--yes", "--files", "workspace=write"],
    )
    .finish()
    .succeeds()
    .complains("- secret api-key=env:KEY")
    .complains("a plugin that is not this one");
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(!text.contains("secrets"), "{text}");
    // And what that one was granted is not piper's own one's, where there is no such project.
    fs::remove_file(env.path("piper.lock")).unwrap();
    let out = plugin(&env, &["inspect", "s3"]).finish().succeeds().out();
    assert!(
        out.contains("(built in)") && !out.contains("workspace=write\n"),
        "{out}"
    );
}

#[test]
fn another_component_that_is_added_for_all_projects_gets_nothing_of_the_first() {
    let env = TestEnv::new("[steps]\na = { uses = \"odd/run\" }\n");
    let add = || plugin(&env, &["add", "--user", "odd.wasm"]).finish();
    env.write("odd.wasm", component(MANIFEST));
    add().succeeds();
    plugin(&env, &["grant", "odd", "--yes", "--state"])
        .finish()
        .succeeds();
    env.write("odd.wasm", component(&MANIFEST.replace("1.4.0", "6.6.6")));
    add()
        .succeeds()
        .complains("it grants to another one: `piper plugin grant odd`");
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(text.contains("granted-to = \"sha256:"), "{text}");
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    assert!(
        out.contains("May do here\n  nothing\n")
            && out.contains("what was granted was granted to sha256:"),
        "{out}"
    );
    let out = plugin(&env, &["list"]).finish().succeeds().out();
    assert!(out.contains("changed since it was granted"), "{out}");
    cached(env.call(&["exec", "a"]))
        .finish()
        .exits(2)
        .complains("error[P0618]: plugin `odd` changed")
        .complains("`--keep` gives it also what the other one had");
    plugin(&env, &["grant", "odd", "--yes", "--keep"])
        .args(&["--files", "workspace=write"])
        .finish()
        .succeeds()
        .complains("= state  what the other one has");
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(!text.contains("granted-to"), "{text}");
}

#[test]
fn a_plugin_is_not_added_over_grants_of_nobody_knows_whom() {
    let env = project();
    let text = "[plugins.odd]\nallow.state = true\n";
    write_grants(&env, text);
    plugin(&env, &["add", "--user", "odd.wasm"])
        .finish()
        .exits(2)
        .complains("does not say to which plugin")
        .complains("--name");
    assert_eq!(fs::read_to_string(grants(&env)).unwrap(), text);
}

#[test]
fn what_is_revoked_while_somebody_is_asked_stays_revoked() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&env, &["grant", "odd", "--yes", "--state"])
        .finish()
        .succeeds();
    let mut terminal = Terminal::start(plugin(
        &env,
        &["grant", "odd", "--files", "workspace=write"],
    ));
    terminal.wait_for("Grant this? [y/N]");
    assert!(
        terminal.sent().contains("it has this already"),
        "{}",
        terminal.sent()
    );
    write_grants(&env, "# nothing any more\n");
    terminal.press("y\n");
    assert_eq!(terminal.finish().code(), Some(2));
    assert!(
        terminal
            .sent()
            .contains("changed meanwhile, so nothing was written"),
        "{}",
        terminal.sent()
    );
    assert_eq!(
        fs::read_to_string(grants(&env)).unwrap(),
        "# nothing any more\n"
    );
}

#[test]
fn what_others_could_have_written_grants_nothing() {
    let env = project();
    write_grants(&env, "");
    let folder = grants(&env).parent().unwrap().to_owned();
    for (place, mode) in [(grants(&env), 0o664), (folder, 0o777)] {
        let was = fs::metadata(&place).unwrap().permissions();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        plugin(&env, &["list"])
            .finish()
            .exits(2)
            .complains("can be written by others")
            .complains("chmod go-w");
        fs::set_permissions(&place, was).unwrap();
    }
}

#[test]
fn pins_and_grants_of_many_at_once_are_all_there() {
    let env = project();
    let names: Vec<String> = (0..6).map(|number| format!("odd{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                plugin(&env, &["add", "odd.wasm", "--name", name])
                    .finish()
                    .succeeds();
                plugin(&env, &["grant", name, "--yes", "--state"])
                    .finish()
                    .succeeds();
            });
        }
    });
    let (lock, text) = (
        env.read("piper.lock"),
        fs::read_to_string(grants(&env)).unwrap(),
    );
    for name in &names {
        assert!(lock.contains(&format!("[plugins.{name}]")), "{lock}");
        assert!(text.contains(&format!("[plugins.{name}]")), "{text}");
    }
}

#[test]
fn a_repository_that_calls_its_plugin_like_the_operators_gets_nothing_of_it() {
    let env = project();
    write_grants(
        &env,
        "[plugins.odd]\nsource = \"/opt/odd.wasm\"\nallow.state = true\nallow.http = [\"https://example.com\"]\n",
    );
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    assert!(
        out.contains("May do here\n  files workspace=read\n"),
        "{out}"
    );
    plugin(&env, &["grant", "odd", "--yes"])
        .finish()
        .exits(2)
        .complains("this project calls another one so")
        .complains("--name OTHER");
}

#[test]
fn what_is_added_for_one_project_and_for_all_is_one_plugin_if_it_is_the_same() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&env, &["add", "--user", "odd.wasm"])
        .finish()
        .succeeds();
    plugin(&env, &["grant", "odd", "--yes", "--state"])
        .finish()
        .succeeds();
    let out = plugin(&env, &["inspect", "odd"]).finish().succeeds().out();
    assert!(out.contains("(project)"), "{out}");
    let (_, may) = out.split_once("May do here\n").unwrap();
    assert!(may.contains("state"), "{out}");
}

#[test]
fn a_plugin_of_ones_own_is_pinned_in_ones_own_file() {
    let env = project();
    plugin(&env, &["add", "--user", "odd.wasm", "--name", "mine"])
        .finish()
        .succeeds();
    assert!(!env.path("piper.lock").exists());
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(
        text.contains("[plugins.mine]\nsource = \"/") && text.contains("digest = \"sha256:"),
        "{text}"
    );
    let out = plugin(&env, &["inspect", "mine"]).finish().succeeds().out();
    assert!(out.contains("(operator)"), "{out}");
}

#[test_case(&["grant", "odd", "--http", "https://*"], "error[P0602]"; "any host")]
#[test_case(&["grant", "odd", "--secret", "api-key=hunter2"], "error[P0616]"; "a secret itself")]
#[test_case(&["grant", "odd", "--files", "all"], "error[P0108]"; "no such files")]
#[test_case(&["grant", "nobody"], "error[P0621]"; "no such plugin")]
#[test_case(&["grant", "../project/odd.wasm"], "add it first"; "a file")]
#[test_case(&["add", "/etc/hostname"], "is not a file of this project"; "outside of the project")]
#[test_case(&["add", "http://example.com/a.wasm"], "error[P0613]"; "in the clear")]
#[test_case(&["add", "oci://ghcr.io/a/b"], "not implemented"; "a registry")]
#[test_case(&["add", "odd.wasm", "--name", "a b"], "error[P0105]"; "no name")]
fn what_cannot_be_is_refused_and_nothing_is_written(args: &[&str], said: &str) {
    let env = project();
    if args[0] == "grant" {
        plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    }
    let lock = env.read("piper.lock");
    plugin(&env, args).finish().exits(2).complains(said);
    assert!(!grants(&env).exists());
    assert_eq!(env.read("piper.lock"), lock);
}

#[test]
fn any_host_must_be_meant() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(
        &env,
        &["grant", "odd", "--yes", "--i-know", "--http", "https://*"],
    )
    .finish()
    .succeeds();
    let text = fs::read_to_string(grants(&env)).unwrap();
    assert!(text.contains("allow.any-host = true"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_no_fault_of_the_user() {
    let env = project();
    if !crate::support::have(&["curl"]) {
        return;
    }
    plugin(&env, &["add", "https://127.0.0.1:1/a.wasm"])
        .finish()
        .exits(3)
        .complains("cannot fetch `https://127.0.0.1:1/a.wasm`");
}

#[test_case(&["--mail", "ops"], "mail"; "mail")]
#[test_case(&["--builds"], "builds"; "builds")]
#[test_case(&["--vcs"], "vcs"; "mirrors")]
fn what_no_host_gives_cannot_be_granted(args: &[&str], kind: &str) {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    plugin(&env, &[&["grant", "odd", "--yes"], args].concat())
        .finish()
        .exits(2)
        .complains("error[P0104]")
        .complains(&format!("this version of piper gives {kind} to nobody"));
    assert!(!grants(&env).exists());
}

#[test]
fn a_plugin_that_needs_what_no_host_gives_says_so_wherever_it_is_looked_at() {
    let env = project();
    env.write(
        "odd.wasm",
        component(&format!("{MANIFEST}[[permission.mail]]\nwhy = \"write\"\n")),
    );
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let said = "mail, which this version of piper gives to nobody";
    for look in [&["inspect", "odd"][..], &["list"]] {
        let out = plugin(&env, look).finish().succeeds().out();
        assert!(out.contains(said), "{out}");
    }
}
