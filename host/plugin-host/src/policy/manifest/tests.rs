use super::*;
use proptest::prelude::*;
use std::time::Duration;
use test_case::test_case;

fn load_text(text: &str) -> Loaded {
    load(&Arc::new(Source {
        path: "piper-plugin.toml".into(),
        text: text.to_owned(),
    }))
}

fn manifest(text: &str) -> Manifest {
    let loaded = load_text(text);
    assert_eq!(loaded.problems, [], "{text}");
    loaded.manifest.expect("there is nothing wrong")
}

/// Each problem as `code:part of the file`.
fn found(text: &str) -> Vec<String> {
    let place = |problem: &Problem| {
        let at = problem
            .at
            .as_ref()
            .expect("every problem of a file has a place");
        format!("{}:{}", problem.code, &at.source.text[at.bytes.clone()])
    };
    load_text(text).problems.iter().map(place).collect()
}

const HEAD: &str = "manifest = 1\nname = \"es\"\nversion = \"1.4.0\"\n";

#[test]
fn the_example_of_the_design_is_understood() {
    let manifest = manifest(
        r#"
        manifest = 1
        name = "elasticsearch"
        version = "1.4.0"
        license = "Apache-2.0"
        description = "Ships step logs to Elasticsearch or OpenSearch"
        config-schema = "config.schema.json"

        [log-sink]
        order = "none"
        in-flight = 8
        batch = { entries = 10000, bytes = "4MiB", linger = "500ms" }

        [[permission.http]]
        to  = "POST {config.url}/_bulk"
        why = "send log batches"

        [[permission.secret]]
        name = "api-key"
        use  = { header = "Authorization" }
        why  = "authenticate"
        "#,
    );
    assert_eq!(manifest.name.as_str(), "elasticsearch");
    assert_eq!(manifest.version, "1.4.0");
    let sink = manifest.log_sink.unwrap();
    assert_eq!(
        (sink.order, sink.in_flight, sink.batch),
        (Order::None, 8, Batch::default())
    );
    let http = &manifest.permissions.http[0];
    assert_eq!(
        (http.what.to_string().as_str(), http.why.as_str()),
        ("POST {config.url}/_bulk", "send log batches")
    );
    let secret = &manifest.permissions.secrets[0].what;
    assert_eq!(
        (secret.name.as_str(), secret.uses.parts()),
        ("api-key", vec!["header authorization".to_owned()])
    );
}

#[test]
fn every_kind_and_permission_is_understood() {
    let manifest = manifest(
        r#"
        manifest = 1
        name = "all"
        version = "0.1.0-beta.1+linux"
        [[step]]
        name = "report"
        role = "runner"
        schema = "report.json"
        [[step]]
        name = "matrix"
        role = "planner"
        reads = ["**/Cargo.toml"]
        [[trigger]]
        [[notifier]]
        events = ["build.finished"]
        batch = 50
        supersede = true
        [[webhook]]
        name = "push"
        schema = "push.json"
        verify = { hmac = "sha256", header = "X-Hub-Signature-256", prefix = "sha256=", encoding = "hex", secret = "webhook" }
        id = "X-GitHub-Delivery"
        [[webhook]]
        name = "gitlab"
        verify = { equals = "x-gitlab-token", secret = "webhook" }
        [[webhook]]
        name = "own"
        verify = "plugin"
        [[permission.secret]]
        name = "webhook"
        use = { verify = true, header = ["a", "b"] }
        why = "verify"
        [[permission.files]]
        workspace = "read"
        why = "look"
        [[permission.files]]
        out = true
        why = "report"
        optional = true
        [[permission.exec]]
        argv = ["git", "fetch"]
        why = "fetch"
        [[permission.state]]
        why = "remember"
        [[permission.mail]]
        why = "tell"
        [[permission.builds]]
        why = "look"
        [[permission.vcs]]
        why = "poll"
        "#,
    );
    assert_eq!(manifest.steps[1].role, Role::Planner);
    assert_eq!(
        manifest.steps[1].reads.as_ref().unwrap().texts(),
        ["**/Cargo.toml"]
    );
    assert_eq!(manifest.triggers.len(), 1);
    let schemas = manifest.option_schemas().map(|(kind, name, file)| {
        let name = name.map_or("", PluginName::as_str);
        format!("{kind} {name} {file}")
    });
    assert_eq!(
        schemas.collect::<Vec<_>>(),
        [
            "step-runner report report.json",
            "trigger-webhook push push.json"
        ]
    );
    let notifier = &manifest.notifiers[0];
    assert_eq!((notifier.batch, notifier.supersede), (50, true));
    let Verify::Hmac {
        digest,
        header,
        prefix,
        ..
    } = &manifest.webhooks[0].verify
    else {
        panic!("{:?}", manifest.webhooks)
    };
    assert_eq!(
        (*digest, header.as_str(), prefix.as_str()),
        (Digest::Sha256, "x-hub-signature-256", "sha256=")
    );
    assert_eq!(
        manifest.webhooks[0].id.as_deref(),
        Some("x-github-delivery")
    );
    assert!(matches!(manifest.webhooks[1].verify, Verify::Equals { .. }));
    assert_eq!(manifest.webhooks[2].verify, Verify::Plugin);
    assert_eq!(
        manifest.permissions.files_rule().parts(),
        ["workspace=read", "out"]
    );
    assert!(manifest.permissions.files[1].optional);
    assert_eq!(manifest.permissions.exec[0].what.to_string(), "git fetch");
    assert!(manifest.permissions.vcs.is_some() && manifest.permissions.state.is_some());
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = "manifest = 1\nname = \"a b\"\nversion = \"1.4\"\nlisence = \"MIT\"\n\
        [log-sink]\norder = \"non\"\nin-flight = 0\nbatch = { bytes = \"4MB\", linger = \"1 sec\" }\n\
        [[permission.http]]\nto = \"post https://example.com\"\n\
        [[permission.sockets]]\nwhy = \"fast\"\n";
    assert_eq!(
        found(text),
        [
            "P0105:\"a b\"",
            "P0610:\"1.4\"",
            "P0107:lisence",
            "P0108:\"non\"",
            "P0112:0",
            "P0609:\"4MB\"",
            "P0106:\"1 sec\"",
            "P0102:[[permission.http]]",
            "P0601:post",
            "P0605:[[permission.sockets]]",
        ]
    );
}

#[test]
fn a_younger_manifest_is_refused_without_a_word_about_its_keys() {
    assert_eq!(
        found("manifest = 2\nnom = 1\n[[permission.x]]\n"),
        ["P0606:2"]
    );
}

#[test]
fn what_is_unknown_but_optional_is_a_warning() {
    let loaded = load_text(&format!(
        "{HEAD}colour = 1\n[[permission.sockets]]\noptional = true\n"
    ));
    assert_eq!(loaded.manifest.unwrap().permissions.unknown, ["sockets"]);
    let severities: Vec<Severity> = loaded
        .problems
        .iter()
        .map(|problem| problem.severity)
        .collect();
    assert_eq!(severities, [Severity::Warning; 2]);
}

#[test_case("[[permission.secrets]]\nwhy = \"x\"", "P0605:[[permission.secrets]]"; "a slip in a kind")]
#[test_case("[[permission.http]]\nto = \"https://*.co.uk\"\nwhy = \"x\"", "P0602:co.uk"; "a public suffix")]
#[test_case("[[permission.http]]\nto = \"{url}/x\"\nwhy = \"x\"", "P0603:{url}"; "a wrong gap")]
#[test_case("[[permission.http]]\nto = \"https:\\u002f/x y\"\nwhy = \"x\"", "P0601:\"https:\\u002f/x y\""; "an escape in a string")]
#[test_case("[[permission.exec]]\nargv = [\"./x\"]\nwhy = \"x\"", "P0612:./x"; "a program of the workspace")]
#[test_case("[[permission.exec]]\nargv = []\nwhy = \"x\"", "P0612:[]"; "no program")]
#[test_case("[[permission.exec]]\nargv = \"git\"\nwhy = \"x\"", "P0101:\"git\""; "no list")]
#[test_case("[[permission.secret]]\nname = \"a\"\nuse = { header = \"host\" }\nwhy = \"x\"", "P0108:\"host\""; "a reserved header")]
#[test_case("[[permission.secret]]\nname = \"a\"\nuse = {}\nwhy = \"x\"", "P0110:{}"; "a secret for nothing")]
#[test_case("[[permission.secret]]\nname = \"a\"\nwhy = \"x\"", "P0102:[[permission.secret]]"; "a secret without a use")]
#[test_case("[[permission.files]]\nwhy = \"x\"", "P0110:[[permission.files]]"; "no files")]
#[test_case("[[permission.files]]\nworkspace = \"all\"\nwhy = \"x\"", "P0108:\"all\""; "an unknown access")]
#[test_case("[permission.state]\nwhy = \"x\"", "P0101:[permission.state]"; "a table for a list")]
#[test_case("[[step]]\nrole = \"runner\"\n[[step]]\nname = \"b\"\nrole = \"runner\"", "P0102:[[step]]"; "one of two without a name")]
#[test_case("[[step]]\nname = \"b\"\nrole = \"runner\"\n[[step]]\nname = \"b\"\nrole = \"runner\"", "P0607:\"b\""; "a name twice")]
#[test_case("[[step]]\nrole = \"planner\"\nreads = [\"../x\"]", "P0611:../x"; "a pattern outside")]
#[test_case("config-schema = \"/etc/x\"", "P0611:\"/etc/x\""; "a schema elsewhere")]
#[test_case("[[webhook]]\nverify = { hmac = \"sha256\", header = \"x\", secret = \"s\" }", "P0608:\"s\""; "an undeclared secret")]
#[test_case("[[webhook]]\nverify = \"trust\"", "P0108:\"trust\""; "an unknown way to verify")]
#[test_case("[[webhook]]", "P0102:[[webhook]]"; "an unverified webhook")]
fn what_is_wrong_has_a_place(text: &str, expected: &str) {
    assert_eq!(found(&format!("{HEAD}{text}\n")), [expected]);
}

#[test_case("0.1.0", true)]
#[test_case("1.4.0-beta.1", true)]
#[test_case("1.4.0+a-b", true)]
#[test_case("1.4", false)]
#[test_case("1.4.0.0", false)]
#[test_case("v1.4.0", false)]
#[test_case("01.4.0", false)]
#[test_case("1.4.0-", false)]
#[test_case("1.4.0-a..b", false)]
#[test_case("1.4.x", false)]
fn a_version_is_three_numbers_and_perhaps_more(text: &str, expected: bool) {
    assert_eq!(is_version(text), expected);
}

#[test]
fn a_short_version_gets_a_suggestion() {
    let help = |text: &str| {
        load_text(&format!(
            "manifest = 1\nname = \"a\"\nversion = \"{text}\"\n"
        ))
        .problems[0]
            .help[1]
            .clone()
    };
    assert_eq!(help("1.4"), "did you mean \"1.4.0\"?");
    assert_eq!(help("v1.4.2"), "did you mean \"1.4.2\"?");
}

#[test]
fn a_batch_has_bounds() {
    let text =
        format!("{HEAD}[log-sink]\nbatch = {{ entries = 5, bytes = \"1KiB\", linger = \"2s\" }}\n");
    let batch = manifest(&text).log_sink.unwrap().batch;
    assert_eq!(
        (batch.entries, batch.bytes, batch.linger),
        (5, 1024, Duration::from_secs(2))
    );
    let text = format!(
        "{HEAD}[log-sink]\nbatch = {{ entries = 0, bytes = \"17MiB\", linger = \"2h\" }}\n"
    );
    assert_eq!(found(&text), ["P0112:0", "P0112:\"17MiB\"", "P0112:\"2h\""]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_within_itself(lines in proptest::collection::vec(
        prop_oneof![
            proptest::sample::select(vec![
                "manifest = 1", "name = \"a\"", "version = \"1.0.0\"", "[[permission.http]]", "[[permission.secret]]",
                "[[permission.exec]]", "[[step]]", "[[webhook]]", "[log-sink]", "[permission]", "why = \"w\"",
                "to = \"https://{config.a}\"", "use = { path = true }", "verify = {}", "argv = [\"a\", 1]", "reads = [\"[\"]",
                "batch = 3", "role = 'planner'", "manifest = -1", "permission = []",
            ]).prop_map(str::to_owned),
            "\\PC{0,20}",
        ], 0..12,
    )) {
        let text = lines.join("\n");
        let loaded = load_text(&text);
        prop_assert_eq!(loaded.manifest.is_some(), is_fine(&loaded.problems));
        for problem in &loaded.problems {
            let at = problem.at.as_ref().unwrap();
            prop_assert!(text.get(at.bytes.clone()).is_some(), "{:?}", problem);
        }
    }
}
