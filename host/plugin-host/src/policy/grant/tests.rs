use super::*;
use crate::policy::{
    http_rule::AnyHost,
    manifest::{self, Manifest},
};
use piper_core::{
    codes,
    problem::{Code, Problem, Severity, Source},
};
use proptest::prelude::*;
use std::sync::Arc;
use test_case::test_case;

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source {
        path: "plugins.toml".into(),
        text: text.to_owned(),
    })
}

fn grants(text: &str) -> Grants {
    let (grants, problems) = load(&source(text));
    assert_eq!(problems, [], "{text}");
    grants.expect("there is nothing wrong")
}

fn grant(text: &str) -> PluginGrant {
    grants(text).plugins[&name("es")].clone()
}

fn name(text: &str) -> PluginName {
    PluginName::parse(text).unwrap()
}

fn rule(text: &str) -> HttpRule {
    HttpRule::parse(text, AnyHost::Acknowledged).unwrap()
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
    load(&source(text)).1.iter().map(place).collect()
}

fn manifest(permissions: &str) -> Manifest {
    let text = format!("manifest = 1\nname = \"elastic\"\nversion = \"1.0.0\"\n{permissions}");
    let loaded = manifest::load(&source(&text));
    assert_eq!(loaded.problems, []);
    loaded.manifest.unwrap()
}

const ELASTIC: &str = "[[permission.http]]\nto = \"POST {config.url}/_bulk\"\nwhy = \"send\"\n\
    [[permission.secret]]\nname = \"api-key\"\nuse = { header = \"authorization\" }\nwhy = \"log in\"\n";

const FILE: &str = r#"
# What I let plugins do.
[plugins.es]
source = "oci://ghcr.io/acme/piper-elasticsearch@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
config = { url = "https://logs.example.com:9200", index = "builds", since = 2026-01-31, n = 0x10, f = 1.5, on = true, l = [1] }
allow.http = ["POST https://logs.example.com:9200/_bulk"] # only this
allow.private-network = [
    "10.2.0.0/16",
]
allow.files = { workspace = "read", out = true }
allow.exec = [["git", "fetch"]]
secrets.api-key = { from = "env:ES_API_KEY", to = ["https://logs.example.com:9200"] }
secrets.sign = { from = "file:/etc/piper/wh", strip = "whsec_", decode = "base64", use = ["reveal"] }
limits = { memory = "256MiB", wall = "1m" }

[policy.project-plugins]
files = { workspace = "write" }
"#;

#[test]
fn the_example_of_the_design_is_understood() {
    let grants = grants(FILE);
    assert_eq!(grants.project_plugins.files.parts(), ["workspace=write"]);
    let es = &grants.plugins[&name("es")];
    assert!(es.source.as_ref().unwrap().digest().is_some());
    assert_eq!(
        es.config,
        serde_json::json!({ "url": "https://logs.example.com:9200", "index": "builds", "since": "2026-01-31", "n": 16, "f": 1.5, "on": true, "l": [1] })
    );
    assert_eq!(
        es.allow.http,
        [rule("POST https://logs.example.com:9200/_bulk")]
    );
    assert_eq!(
        es.allow.private_networks,
        [Network::parse("10.2.0.0/16").unwrap()]
    );
    assert_eq!(es.allow.files.parts(), ["workspace=read", "out"]);
    assert_eq!(es.allow.exec[0].to_string(), "git fetch");
    assert_eq!(
        es.secrets["api-key"].from,
        SecretSource::Env("ES_API_KEY".into())
    );
    let sign = &es.secrets["sign"];
    assert_eq!(
        (sign.strip.as_deref(), sign.decode, sign.uses.reveal),
        (Some("whsec_"), Some(Encoding::Base64), true)
    );
    assert_eq!(
        (es.limits.get(Limit::Memory), es.limits.get(Limit::Wall)),
        (Some(256 << 20), Some(60_000))
    );
}

#[test]
fn every_limit_is_read_up_to_its_ceiling_and_what_is_above_is_told_with_it() {
    for row in &TABLE {
        let set = |value: u64| {
            let value = row.unit.written(value);
            format!("[plugins.es]\nlimits.{} = {value}\n", row.key)
        };
        let limits = grants(&set(row.ceiling)).plugins[&name("es")].limits;
        assert_eq!(limits, Limits::default().with(row.limit, row.ceiling));
        let more = set(row.ceiling * 2);
        let (grants, problems) = load(&source(&more));
        assert_eq!((grants, problems.len()), (None, 1), "{more}");
        let ceiling = row.unit.written(row.ceiling).replace('"', "");
        assert!(
            problems[0].message.contains(&ceiling) && problems[0].at.is_some(),
            "{:?}",
            problems[0]
        );
    }
}

#[test]
fn an_empty_file_grants_reading_the_workspace_to_projects_and_nothing_else() {
    assert_eq!(grants(""), Grants::default());
    assert_eq!(
        Grants::default().project_plugins.files.parts(),
        ["workspace=read"]
    );
    assert_eq!(
        grants("[policy.project-plugins]\n").project_plugins,
        Allow::default(),
        "a ceiling can be nothing"
    );
}

#[test_case("[plugins.es]\nalow.http = []", "P0107:alow"; "a mistyped key is no grant")]
#[test_case("[plugins.es]\nlimits.memroy = \"1MiB\"", "P0107:memroy"; "a mistyped limit is no limit")]
#[test_case("[plugins.es]\nlimits.memory = \"2GiB\"", "P0112:\"2GiB\""; "more than the ceiling")]
#[test_case("[plugins.es]\nallow.http = [\"{config.url}/x\"]", "P0603:\"{config.url}/x\""; "a template")]
#[test_case("[plugins.es]\nallow.http = [\"https://*\"]", "P0602:*"; "everybody")]
#[test_case("[plugins.es]\nallow.private-network = [\"10.0.0.1/8\"]", "P0604:10.0.0.1/8"; "not a network")]
#[test_case("[plugins.es]\nallow.exec = [\"git\"]", "P0101:\"git\""; "not a list of lists")]
#[test_case("[plugins.es]\nsecrets.a = { from = \"ES_KEY\" }", "P0616:\"ES_KEY\""; "a variable without env")]
#[test_case("[plugins.es]\nsecrets.a = { from = \"file:key\" }", "P0616:\"file:key\""; "a relative file")]
#[test_case("[plugins.es]\nsecrets.a = { to = [] }", "P0102:{ to = [] }"; "from nowhere")]
#[test_case("[plugins.es]\nsecrets.a = { from = \"env:A\", to = [\"example.com\"] }", "P0615:\"example.com\""; "not an origin")]
#[test_case("[plugins.es]\nsecrets.a = { from = \"env:A\", use = [\"all\"] }", "P0108:\"all\""; "an unknown use")]
#[test_case("[plugins.es]\ndigest = \"sha256:12\"", "P0614:sha256:12"; "not a digest")]
#[test_case("[plugins.\"e s\"]", "P0105:\"e s\""; "not a name")]
#[test_case("[plugins.es]\nallow.mail = [\"ops\"]", "P0104:[\"ops\"]"; "mail, which nothing sends")]
#[test_case("[plugins.es]\nallow.builds = false", "P0104:false"; "builds, which nothing shows")]
#[test_case("[policy.project-plugins]\nvcs = true", "P0104:true"; "mirrors, which nothing has")]
#[test_case("[plugins.es]\nlimits.webhook-body = \"1MiB\"", "P0104:\"1MiB\""; "deliveries, which nothing takes")]
#[test_case("[policy]\nprojects = {}", "P0107:projects"; "an unknown policy")]
fn what_is_wrong_has_a_place_and_nothing_is_granted(text: &str, expected: &str) {
    assert_eq!(found(text), [expected]);
    assert_eq!(load(&source(text)).0, None);
}

#[test_case("http://logs.example.com", 1; "another machine")]
#[test_case("http://10.0.0.1", 1; "a private address")]
#[test_case("https://logs.example.com", 0; "with encryption")]
#[test_case("http://127.0.0.1:8080", 0; "this machine")]
#[test_case("http://localhost", 0; "this machine by name")]
fn a_secret_in_the_clear_is_a_warning(to: &str, warnings: usize) {
    let text = format!("[plugins.es]\nsecrets.a = {{ from = \"env:A\", to = [\"{to}\"] }}");
    let (grants, problems) = load(&source(&text));
    assert!(grants.is_some());
    assert_eq!(problems.len(), warnings);
    assert!(
        problems
            .iter()
            .all(|problem| (problem.code, problem.severity)
                == (codes::SECRET_IN_THE_CLEAR, Severity::Warning))
    );
}

#[test]
fn what_holds_is_declared_and_granted() {
    let es = grant(FILE);
    let manifest = manifest(&format!(
        "{ELASTIC}[[permission.files]]\nworkspace = \"write\"\nwhy = \"write\"\n\
        [[permission.exec]]\nargv = [\"git\"]\nwhy = \"look\"\n[[permission.state]]\nwhy = \"remember\"\n"
    ));
    let effective = Effective::new(&manifest, Some(&es), Origins::Operator).unwrap();
    assert_eq!(
        effective.http,
        [rule("POST https://logs.example.com:9200/_bulk")]
    );
    assert_eq!(
        effective.files.parts(),
        ["workspace=read"],
        "writing is not granted, the folder not asked for"
    );
    assert!(!effective.state, "not granted");
    assert_eq!(
        effective.secrets.keys().collect::<Vec<_>>(),
        ["api-key"],
        "the other one is not asked for"
    );
    let resolve = |program: &str| Some(program.into());
    let command = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        effective.granted_program(&command(&["git", "fetch", "--all"]), resolve),
        Some("git")
    );
    assert_eq!(
        effective.granted_program(&command(&["git", "push"]), resolve),
        None
    );
    let nothing = Effective::new(&manifest, None, Origins::Operator).unwrap();
    assert_eq!(nothing.http, []);
    assert_eq!(
        nothing.granted_program(&command(&["git", "fetch"]), resolve),
        None
    );
    assert_eq!(
        Effective::default().granted_program(&command(&["git"]), resolve),
        None
    );
}

#[test]
fn a_projects_plugin_gets_a_grant_by_its_digest_only() {
    let digest = PluginDigest([7; 32]);
    let text = format!(
        "[plugins.es]\ndigest = \"{digest}\"\nallow.http = [\"https://example.com\"]\nsecrets.api-key = {{ from = \"env:A\" }}"
    );
    let es = grant(&text);
    let manifest = manifest(&ELASTIC.replace("{config.url}/_bulk", "https://example.com"));
    let ceiling = Allow::for_project_plugins();
    let effective = |digest| {
        Effective::new(
            &manifest,
            Some(&es),
            Origins::Project {
                digest,
                ceiling: &ceiling,
            },
        )
        .unwrap()
    };
    let granted = effective(digest);
    assert_eq!((granted.http.len(), granted.secrets.len()), (1, 1));
    let other = effective(PluginDigest([8; 32]));
    assert_eq!(
        (other.http.len(), other.secrets.len()),
        (0, 0),
        "another plugin of the same name"
    );
}

#[test]
fn a_grant_without_a_digest_is_not_for_projects() {
    let es = grant("[plugins.es]\nallow.http = [\"https://example.com\"]");
    let manifest = manifest("[[permission.http]]\nto = \"https://example.com\"\nwhy = \"x\"\n");
    let origins = Origins::Project {
        digest: PluginDigest([7; 32]),
        ceiling: &Allow::default(),
    };
    assert_eq!(
        Effective::new(&manifest, Some(&es), origins).unwrap().http,
        []
    );
}

#[test]
fn what_is_missing_is_told_with_the_command_that_grants_it() {
    let es = grant(
        "[plugins.es]\nconfig.url = \"https://logs.example.com:9200\"\nallow.http = [\"GET https://old.example.com\"]\nallow.private-network = []",
    );
    let manifest = manifest(&format!(
        "{ELASTIC}[[permission.state]]\nwhy = \"remember\"\noptional = true\n\
        [[permission.files]]\nworkspace = \"read\"\nout = true\nwhy = \"look\"\n\
        [[permission.exec]]\nargv = [\"git\", \"it's\"]\nwhy = \"fetch\"\n"
    ));
    let difference = Difference::new(&manifest, &es, None).unwrap();
    assert_eq!(
        difference.to_string(),
        "+ http POST https://logs.example.com:9200/_bulk: send\n\
         + files workspace=read: look\n\
         + files out: look\n\
         + exec git 'it'\\''s': fetch\n\
         + secret api-key=env:…: log in\n\
         + to api-key=https://logs.example.com:9200: log in\n\
         + state (optional): remember\n\
         - http GET https://old.example.com\n\
"
    );
    assert_eq!(
        difference.command(&name("es")).unwrap(),
        "piper plugin grant es --http 'POST https://logs.example.com:9200/_bulk' --files workspace=read --files out \
         --exec 'git '\\''it'\\''\\'\\'''\\''s'\\''' --secret 'api-key=env:…' --to api-key=https://logs.example.com:9200 --state"
    );
    let problem = difference.problem(&name("es")).unwrap();
    assert_eq!(
        (problem.code, problem.message.as_str()),
        (
            codes::NOT_GRANTED,
            "plugin `es` asks for 6 things that are not granted"
        )
    );
    assert!(
        problem
            .help
            .last()
            .unwrap()
            .starts_with("to grant it: piper plugin grant es --http ")
    );
}

#[test_case("from = \"env:A\"", "+ to api-key=https://logs.example.com:9200: log in\n"; "nowhere")]
#[test_case("from = \"env:A\", to = [\"https://logs.example.com:9200\"]", ""; "where it sends")]
#[test_case("from = \"env:A\", to = [\"https://logs.example.com\"]", "+ to api-key=https://logs.example.com:9200: log in\n- to api-key=https://logs.example.com\n"; "to another port")]
#[test_case("from = \"env:A\", to = [\"https://logs.example.com:9200\", \"https://old.example.com\"]", "- to api-key=https://old.example.com\n"; "where it does not send any more")]
fn the_audience_of_a_secret_is_held_against_where_the_plugin_sends(grant_of: &str, expected: &str) {
    let es = grant(&format!(
        "[plugins.es]\nconfig.url = \"https://logs.example.com:9200\"\nallow.http = [\"POST https://logs.example.com:9200\"]\nsecrets.api-key = {{ {grant_of} }}"
    ));
    let difference = Difference::new(&manifest(ELASTIC), &es, None).unwrap();
    assert_eq!(difference.to_string(), expected);
    assert_eq!(difference.is_fine(), !expected.contains('+'));
}

#[test]
fn a_secret_goes_to_fewer_places_than_the_plugin_if_the_operator_says_so() {
    let manifest = manifest(
        "[[permission.http]]\nto = \"https://a.example\"\nwhy = \"x\"\n[[permission.http]]\nto = \"https://*.b.example\"\nwhy = \"x\"\n\
         [[permission.secret]]\nname = \"key\"\nuse = { header = \"authorization\" }\nwhy = \"log in\"\n",
    );
    let missing = |to: &str| {
        let text = format!(
            "[plugins.es]\nallow.http = [\"https://a.example\", \"https://*.b.example\"]\nsecrets.key = {{ from = \"env:A\", to = [{to}] }}"
        );
        Difference::new(&manifest, &grant(&text), None)
            .unwrap()
            .missing
    };
    assert_eq!(missing("\"https://a.example\""), []);
    assert_eq!(missing("\"https://c.b.example\""), []);
    let nowhere: Vec<String> = missing("")
        .into_iter()
        .map(|missing| missing.value)
        .collect();
    assert_eq!(nowhere, ["key=https://a.example"]);
}

#[test_case("use = { header = \"authorization\" }", &["key=env:…", "key=https://…"]; "one that is sent")]
#[test_case("use = { hmac = true }", &["key=env:…"]; "one that stays")]
fn what_only_the_operator_knows_of_a_secret_is_left_open(uses: &str, expected: &[&str]) {
    let manifest = manifest(&format!(
        "[[permission.http]]\nto = \"https://*.example.com\"\nwhy = \"x\"\n[[permission.secret]]\nname = \"key\"\n{uses}\nwhy = \"log in\"\n"
    ));
    let granted = grant("[plugins.es]\nallow.http = [\"https://*.example.com\"]");
    let missing = Difference::new(&manifest, &granted, None).unwrap().missing;
    let values: Vec<&str> = missing
        .iter()
        .map(|missing| missing.value.as_str())
        .collect();
    assert_eq!(values, expected);
    assert!(missing.iter().all(Missing::is_open));
    assert_eq!(SecretSource::parse(effective::UNKNOWN_SOURCE), None);
    assert!(Origin::parse(effective::UNKNOWN_ORIGIN).is_err());
}

#[test]
fn where_a_secret_goes_is_not_asked_for_before_it_is_known_where_the_plugin_sends() {
    let manifest = manifest(
        "[[permission.http]]\nto = \"POST {config.url}\"\nwhy = \"send\"\n\
         [[permission.secret]]\nname = \"key\"\nuse = { header = \"authorization\" }\nwhy = \"sign in\"\n",
    );
    let grant = grant("[plugins.es]\nsecrets.key = { from = \"env:KEY\" }");
    let difference = Difference::new(&manifest, &grant, None).unwrap();
    assert_eq!(difference.missing, []);
    assert!(!difference.is_fine());
    let problem = difference.problem(&name("es")).unwrap();
    assert!(
        problem
            .help
            .iter()
            .any(|line| line
                .starts_with("first write what stands in the braces of `POST {config.url}`")),
        "{problem:?}"
    );
}

#[test]
fn what_no_host_gives_is_told_and_cannot_be_granted() {
    let difference = |optional: &str| {
        let asks = format!(
            "[[permission.mail]]\nwhy = \"write\"\n{optional}[[permission.vcs]]\nwhy = \"look\"\noptional = true\n"
        );
        Difference::new(&manifest(&asks), &PluginGrant::default(), None).unwrap()
    };
    let needs = difference("");
    assert_eq!(
        needs.to_string(),
        "! mail, not in this version: write\n! vcs (optional), not in this version: look\n"
    );
    assert_eq!(needs.command(&name("es")), None);
    let problem = needs.problem(&name("es")).unwrap();
    assert_eq!(problem.code, codes::NOT_IMPLEMENTED);
    assert!(problem.message.contains("asks for mail"), "{problem:?}");
    assert!(difference("optional = true\n").is_fine());
}

#[test]
fn what_is_granted_in_full_has_no_difference() {
    let es = grant(FILE);
    let manifest = manifest(ELASTIC);
    let difference = Difference::new(&manifest, &es, None).unwrap();
    assert!(difference.is_fine() && difference.problem(&name("es")).is_none());
    assert_eq!(difference.command(&name("es")), None);
}

#[test]
fn a_changed_digest_stops_even_if_nothing_more_is_asked_for() {
    let text = format!("[plugins.es]\ndigest = \"{}\"\n", PluginDigest([7; 32]));
    let problem = |digest| -> Option<Code> {
        let difference =
            Difference::new(&manifest(""), &grant(&text), Some(PluginDigest(digest))).unwrap();
        difference.problem(&name("es")).map(|problem| problem.code)
    };
    assert_eq!(problem([7; 32]), None);
    assert_eq!(problem([8; 32]), Some(codes::PLUGIN_CHANGED));
}

#[test]
fn any_host_is_granted_with_an_acknowledgment() {
    let manifest = manifest("[[permission.http]]\nto = \"https://*\"\nwhy = \"x\"\n");
    let difference = Difference::new(&manifest, &PluginGrant::default(), None).unwrap();
    assert_eq!(
        difference.command(&name("es")).unwrap(),
        "piper plugin grant es --http 'https://*' --i-know"
    );
    let text = change("", &name("es"), &[Change::Http(rule("https://*"))]).unwrap();
    assert_eq!(
        text,
        "[plugins.es]\nallow.any-host = true\nallow.http = [\"https://*\"]\n"
    );
    assert_eq!(grant(&text).allow.http, [rule("https://*")]);
}

#[test]
fn an_addition_leaves_the_rest_of_the_file_as_it_is() {
    let additions = [
        Change::Http(rule("GET https://logs.example.com:9200")),
        Change::PrivateNetwork(Network::parse("10.3.0.0/16").unwrap()),
        Change::State,
        Change::Http(rule("POST https://logs.example.com:9200/_bulk")),
    ];
    let edited = change(FILE, &name("es"), &additions).unwrap();
    let expected = FILE
        .replace(
            "_bulk\"] # only this",
            "_bulk\", \"GET https://logs.example.com:9200\"] # only this",
        )
        .replace(
            "    \"10.2.0.0/16\",\n",
            "    \"10.2.0.0/16\",\n    \"10.3.0.0/16\",\n",
        )
        .replace(
            "allow.exec = [[\"git\", \"fetch\"]]\n",
            "allow.exec = [[\"git\", \"fetch\"]]\nallow.state = true\n",
        );
    assert_eq!(edited, expected);
}

#[test]
fn a_file_that_is_none_is_not_edited() {
    let es = name("es");
    assert!(change("[plugins", &es, &[]).is_err());
    assert!(change("plugins = 1", &es, &[]).is_err());
    assert!(change("[plugins.es]\nallow = 1", &es, &[Change::State]).is_err());
    assert!(
        change(
            "[plugins.es]\nallow.http = 1",
            &es,
            &[Change::Http(rule("https://a.example"))]
        )
        .is_err()
    );
}

const OLD: &str = "sha256:0707070707070707070707070707070707070707070707070707070707070707";
const NEW: &str = "sha256:0808080808080808080808080808080808080808080808080808080808080808";

#[test_case("source = \"a.wasm\"\ndigest = \"OLD\"\nallow.state = true\n", "source = \"b.wasm\"\ndigest = \"NEW\"\nallow.state = true\ngranted-to = \"OLD\"\n"; "another one")]
#[test_case("source = \"a.wasm\"\ndigest = \"NEW\"\ngranted-to = \"OLD\"\n", "source = \"b.wasm\"\ndigest = \"NEW\"\ngranted-to = \"OLD\"\n"; "the same again")]
#[test_case("digest = \"OLD\"\ngranted-to = \"NEW\"\n", "digest = \"NEW\"\nsource = \"b.wasm\"\n"; "the one that it was given to")]
#[test_case("", "source = \"b.wasm\"\ndigest = \"NEW\"\n"; "the first one")]
fn a_pin_leaves_what_was_granted_to_whom_it_was(before: &str, after: &str) {
    let text = |table: &str| {
        format!("[plugins.es]\n{table}")
            .replace("OLD", OLD)
            .replace("NEW", NEW)
    };
    let source = PluginSource::parse("b.wasm").unwrap();
    let pin = Change::Pin(source, PluginDigest([8; 32]));
    let edited = change(&text(before), &name("es"), &[pin]).unwrap();
    assert_eq!(edited, text(after));
}

#[test]
fn what_is_forgotten_is_all_but_which_one_it_is() {
    let text = format!(
        "# mine\n[plugins.es]\nsource = \"a.wasm\"\ndigest = \"{NEW}\"\ngranted-to = \"{OLD}\"\nconfig.url = \"x\"\nallow.state = true\nlimits.cpu = \"9s\"\nsecrets.a = {{ from = \"env:A\" }}\n[plugins.other]\nallow.state = true\n"
    );
    let changes = [Change::Forget, Change::Give(Some(PluginDigest([8; 32])))];
    assert_eq!(
        change(&text, &name("es"), &changes).unwrap(),
        format!(
            "# mine\n[plugins.es]\nsource = \"a.wasm\"\ndigest = \"{NEW}\"\n[plugins.other]\nallow.state = true\n"
        )
    );
    let changes = [Change::Give(None)];
    let edited = change(
        "[plugins.es.allow]\nstate = true\n[plugins.es]\ndigest = \"x\"\n",
        &name("es"),
        &changes,
    );
    assert_eq!(
        edited.unwrap(),
        "[plugins.es.allow]\nstate = true\n[plugins.es]\n"
    );
}

#[test]
fn a_grant_holds_for_the_one_to_which_it_was_given_and_not_for_the_pinned_one() {
    let es = grant(&format!(
        "[plugins.es]\nsource = \"a.wasm\"\ndigest = \"{NEW}\"\ngranted-to = \"{OLD}\"\nallow.state = true"
    ));
    let was = |digest| {
        Difference::new(&manifest(""), &es, Some(PluginDigest(digest)))
            .unwrap()
            .was
    };
    assert_eq!(was([8; 32]), Some(PluginDigest([7; 32])));
    assert_eq!(was([7; 32]), None);
}

fn additions() -> impl Strategy<Value = Change> {
    let origin = Origin::parse("https://a.example:9200").unwrap();
    let secret = move |uses| SecretGrant {
        from: SecretSource::Env("A".to_owned()),
        to: vec![origin.clone()],
        uses,
        strip: None,
        decode: Some(Encoding::Hex),
    };
    let uses = any::<(bool, bool, bool)>().prop_map(|(path, body, reveal)| ExtraUses {
        path,
        body,
        reveal,
    });
    prop_oneof![
        proptest::sample::select(vec![
            "https://a.example",
            "POST http://*.b.example:8080/x",
            "https://*"
        ])
        .prop_map(|text| Change::Http(rule(text))),
        proptest::sample::select(vec!["10.0.0.0/8", "fd00::/8"])
            .prop_map(|text| Change::PrivateNetwork(Network::parse(text).unwrap())),
        any::<(bool, bool, bool)>().prop_map(|(read, out, cache)| Change::Files(FilesRule {
            workspace: if read { Access::Read } else { Access::Write },
            out,
            cache,
        })),
        proptest::collection::vec("[a-z'\" ]{1,5}", 1..3).prop_filter_map("a program", |words| {
            let words: Vec<&str> = words
                .iter()
                .map(String::as_str)
                .filter(|word| !word.trim().is_empty())
                .collect();
            ArgvRule::parse(&words).ok().map(Change::Exec)
        }),
        Just(Change::State),
        any::<[u8; 32]>().prop_map(|bytes| Change::Give(Some(PluginDigest(bytes)))),
        ("[a-z]{1,3}", uses).prop_map(move |(name, uses)| Change::Secret(name, secret(uses))),
    ]
}

fn holds(grant: &PluginGrant, addition: &Change) -> bool {
    let allow = &grant.allow;
    match addition {
        // Only the last one stays.
        Change::Pin(..) => grant.digest.is_some(),
        Change::Give(_) | Change::Forget => true,
        Change::Http(rule) => allow.http.iter().any(|known| known.covers(rule)),
        Change::PrivateNetwork(network) => allow.private_networks.contains(network),
        Change::Files(rule) => allow.files.covers(*rule),
        Change::Exec(rule) => allow.exec.contains(rule),
        Change::State => allow.state,
        Change::Secret(name, secret) => {
            let known = &grant.secrets[name];
            let uses = |new: bool, known: bool| known || !new;
            known.from == secret.from
                && secret.to.iter().all(|origin| known.to.contains(origin))
                && uses(secret.uses.path, known.uses.path)
                && uses(secret.uses.body, known.uses.body)
                && uses(secret.uses.reveal, known.uses.reveal)
        }
    }
}

proptest! {
    #[test]
    fn what_is_added_is_granted_and_comments_stay(
        text in proptest::sample::select(vec![
            "", FILE, "# one\n[plugins.other] # two\nallow.http = [] # three\n",
            "# one\n[plugins.es]\n# two\n[plugins.es.allow] # three\nhttp = [ # four\n  # five\n  \"https://c.example\", # six\n  # seven\n]\n",
            "plugins = { es = { allow = { state = true } } } # one\n",
            "plugins.es.allow.http = [\n  \"https://c.example\"\n]\n# one\n",
            "[plugins]\n# one\nes.config.url = \"x\"\n[policy.project-plugins] # two\n",
        ]),
        additions in proptest::collection::vec(additions(), 0..6),
    ) {
        let before = grants(text);
        let edited = change(text, &name("es"), &additions).unwrap();
        let after = grants(&edited);
        for addition in &additions {
            prop_assert!(holds(&after.plugins[&name("es")], addition), "{:?} in\n{}", addition, edited);
        }
        for (plugin, grant) in &before.plugins {
            if *plugin != name("es") {
                prop_assert_eq!(&after.plugins[plugin], grant);
            } else {
                prop_assert_eq!(&after.plugins[plugin].config, &grant.config);
                let kept = grant.allow.http.iter().all(|rule| after.plugins[plugin].allow.http.contains(rule));
                prop_assert!(kept, "{}", edited);
            }
        }
        prop_assert_eq!(&after.project_plugins, &before.project_plugins);
        let comments = |text: &str| text.lines().filter_map(|line| Some(line.split_once('#')?.1.to_owned())).collect::<Vec<_>>();
        prop_assert_eq!(comments(&edited), comments(text));
        let again = change(&edited, &name("es"), &additions).unwrap();
        let digests = additions.iter().filter(|addition| matches!(addition, Change::Give(_))).count();
        prop_assert!(digests > 1 || again == edited, "{}\n{}", edited, again);
    }

    #[test]
    fn what_holds_is_in_the_declaration_and_in_the_grant(
        declared in proptest::collection::vec(proptest::sample::select(vec![
            "https://a.example", "POST https://*.b.example/x", "GET https://c.b.example", "https://*",
        ]), 0..3),
        granted in proptest::collection::vec(proptest::sample::select(vec![
            "https://a.example/y", "https://c.b.example/x", "https://*",
        ]), 0..3),
    ) {
        let permissions: String = declared.iter().map(|to| format!("[[permission.http]]\nto = \"{to}\"\nwhy = \"w\"\n")).collect();
        let manifest = manifest(&permissions);
        let granted: Vec<HttpRule> = granted.into_iter().map(rule).collect();
        let declared: Vec<HttpRule> = declared.into_iter().map(rule).collect();
        let grant = PluginGrant {
            allow: Allow { http: granted.clone(), ..Allow::default() },
            ..PluginGrant::default()
        };
        let effective = Effective::new(&manifest, Some(&grant), Origins::Operator).unwrap();
        for rule in &effective.http {
            prop_assert!(granted.iter().any(|wider| wider.covers(rule)));
            prop_assert!(declared.iter().any(|wider| wider.covers(rule)));
        }
        let difference = Difference::new(&manifest, &grant, None).unwrap();
        let all_granted = declared.iter().all(|rule| effective.http.iter().any(|known| known.covers(rule)));
        prop_assert_eq!(difference.missing.is_empty(), all_granted);
    }
}
