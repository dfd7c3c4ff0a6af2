//! `[notify]` rules and those whom they tell, from `piper exec --notify`.

use super::{
    cached,
    pipelines::{piper, project},
    plugin, write_grants,
};
use crate::support::TestEnv;
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

#[test]
fn notifiers_are_told_if_somebody_asks_for_that() {
    let env = project(
        "[steps]\ngood = 'true'\n[pipelines]\nbuild = { steps = [\"good\"] }\n\
         [notify.team]\nuses = \"odd\"\non = [\"started\", \"always\"]\n",
    );
    piper(&env, &["exec"]).succeeds().never_says("build.");
    piper(&env, &["exec", "--notify"])
        .succeeds()
        .complains("build.started")
        .complains("build.finished");
}

/// Answers each request with this status, and returns what was asked.
fn receive(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        if let (Some((head, _)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && request.len() >= head.len() + 4 + length
        {
            break;
        }
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    String::from_utf8(request).unwrap()
}

/// A server that gives these answers to as many requests; its origin, and what it was asked.
pub(super) fn listen<const N: usize>(
    answers: [&'static str; N],
) -> (String, thread::JoinHandle<[String; N]>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || answers.map(|status| receive(&listener, status)));
    (origin, asked)
}

/// What lets `webhook` post to a server of this machine, with its key in `KEY`.
pub(super) fn webhook_grants(origin: &str) -> String {
    format!(
        "[plugins.webhook]\nconfig = {{ url = \"{origin}/hook\" }}\nallow.http = [\"POST {origin}/hook\"]\n\
         allow.private-network = [\"127.0.0.1/32\"]\nsecrets.signing-key = {{ from = \"env:KEY\" }}\n"
    )
}

#[test]
fn a_webhook_hears_of_a_failure_signed_and_again_if_it_was_busy() {
    let env = TestEnv::new(
        "[steps]\nbad = 'echo one; echo why; exit 3'\n\
         [steps.tests]\nuses = \"junit\"\nwith = { files = [\"r.xml\"], fail-on-failure = false }\n\
         [pipelines]\nbuild = { steps = [\"tests\", \"bad\"] }\n[notify.team]\nuses = \"webhook\"\n",
    );
    env.write("b.py", "\n".repeat(7));
    env.write(
        "r.xml",
        "<testsuite name='a'><testcase name='t' file='b.py' line='7'><failure message='no'/></testcase></testsuite>",
    );
    let (origin, receiver) = listen(["503 Busy", "204 Done"]);
    write_grants(&env, &webhook_grants(&origin));
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    cached(env.call(&["exec", "--notify"]))
        .env("KEY", key)
        .finish()
        .exits(1)
        .never_says("could not tell");
    let requests = receiver.join().unwrap();
    for request in &requests {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("webhook-signature: v1,"), "{head}");
        assert!(!request.contains(&key[6..]), "the key stays here");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["type"], "build.finished");
        assert_eq!(body["data"]["end"]["outcome"], "failed");
        assert_eq!(
            body["data"]["failure"],
            json!({ "step": "bad", "log_tail": "one\nwhy" })
        );
        let annotation = &body["data"]["annotations"][0];
        assert_eq!(
            (
                &annotation["level"],
                &annotation["file"],
                &annotation["line"]
            ),
            (&json!("error"), &json!("b.py"), &json!(7))
        );
    }
    let id = |request: &str| {
        let (_, rest) = request.split_once("webhook-id: ").unwrap();
        rest.split("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(id(&requests[0]), id(&requests[1]), "one event, one id");
}

#[test]
fn a_secret_of_a_notifier_is_hidden_in_what_steps_print_if_it_is_told() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let env = TestEnv::new(&format!(
        "[steps]\ngood = 'echo found {key}'\n[pipelines]\nbuild = {{ steps = [\"good\"] }}\n\
         [notify.team]\nuses = \"webhook\"\non = [\"always\"]\n",
    ));
    let (origin, receiver) = listen(["204 Done"]);
    write_grants(&env, &webhook_grants(&origin));
    let exec = |args: &[&str]| {
        let done = cached(env.call(args)).env("KEY", key).finish();
        done.succeeds().out()
    };
    let shown = exec(&["exec", "--notify"]);
    receiver.join().unwrap();
    assert!(
        shown.contains("found whsec_***") || shown.contains("found ***"),
        "{shown}"
    );
    assert!(
        exec(&["exec"]).contains(key),
        "nobody reads a secret that is not used"
    );
}

#[test]
fn two_names_for_one_component_tell_each_its_own_receiver() {
    let env = TestEnv::new(
        "[steps]\ngood = 'true'\n[pipelines]\nbuild = { steps = [\"good\"] }\n\
         [notify.x]\nuses = \"na\"\non = [\"always\"]\n[notify.y]\nuses = \"nb\"\non = [\"always\"]\n\
         [plugins]\nna = { use = \"./n.wasm\" }\nnb = { use = \"./n.wasm\" }\n",
    );
    let webhook = piper_builtin_plugins::find("webhook").unwrap();
    env.write("n.wasm", webhook.component);
    let mut receivers = Vec::new();
    let mut grants = String::new();
    for (name, key) in [("na", "KEY_A"), ("nb", "KEY_B")] {
        plugin(&env, &["add", "--name", name, "./n.wasm"])
            .finish()
            .succeeds();
        let (origin, receiver) = listen(["204 Done"]);
        receivers.push(receiver);
        let lock = env.read("piper.lock");
        let digest = lock.split("digest = ").nth(1).unwrap().lines().next();
        let table = format!("[plugins.{name}]\ndigest = {}", digest.unwrap());
        grants += &webhook_grants(&origin)
            .replace("[plugins.webhook]", &table)
            .replace("env:KEY", &format!("env:{key}"));
    }
    write_grants(&env, &grants);
    let key = |last: &str| format!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS{last}");
    cached(env.call(&["exec", "--notify"]))
        .env("KEY_A", key("w"))
        .env("KEY_B", key("A"))
        .finish()
        .succeeds()
        .never_says("could not tell");
    let signatures: Vec<String> = receivers
        .into_iter()
        .map(|receiver| {
            let [request] = receiver.join().unwrap();
            let (_, rest) = request.split_once("webhook-signature: ").unwrap();
            rest.split("\r\n").next().unwrap().to_owned()
        })
        .collect();
    assert_ne!(signatures[0], signatures[1], "each has its own key");
}

#[test]
fn one_notifier_that_hangs_keeps_no_other_waiting() {
    let env = TestEnv::new(
        "[steps]\ngood = 'true'\n[pipelines]\nbuild = { steps = [\"good\"] }\n\
         [notify.team]\nuses = \"webhook\"\non = [\"always\"]\n\
         [notify.others]\nuses = \"webhook\"\non = [\"always\"]\n",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let limits = "limits.wall = \"3s\"\n";
    write_grants(&env, &(webhook_grants(&origin) + limits));
    let both = thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        let (second, _) = listener.accept().unwrap();
        first.set_nonblocking(true).unwrap();
        let mut request = [0; 1 << 16];
        let end = loop {
            match (&first).read(&mut request) {
                Ok(0) => break "closed",
                Ok(_) => {}
                Err(_) => break "open",
            }
        };
        (end, first, second)
    });
    let done = cached(env.call(&["exec", "--notify"]))
        .env("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .finish()
        .succeeds()
        .complains("waiting for those whom `[notify]` tells of the build")
        .complains("`limits.wall = \"6s\"`");
    assert_eq!(done.err().matches("could not tell").count(), 2);
    assert_eq!(both.join().unwrap().0, "open", "the first was waited for");
}

#[test]
fn who_asks_for_rules_and_runs_a_step_hears_that_they_are_about_pipelines() {
    let env = TestEnv::new("[steps]\ngood = 'true'\n[pipelines]\nbuild = { steps = [\"good\"] }\n");
    piper(&env, &["exec", "good", "--notify"])
        .succeeds()
        .complains("rules are about pipelines, and `good` is a step");
    piper(&env, &["exec", "build", "--notify"])
        .succeeds()
        .never_says("rules are about pipelines");
}

#[test]
fn a_notifier_that_fails_costs_a_line_and_not_the_build() {
    let env = TestEnv::new(
        "[steps]\ngood = 'true'\n[pipelines]\nbuild = { steps = [\"good\"] }\n[notify.team]\nuses = \"webhook\"\non = [\"always\"]\n",
    );
    write_grants(
        &env,
        "[plugins.webhook]\nconfig = { url = \"http://127.0.0.1:1/hook\" }\nallow.http = [\"POST http://127.0.0.1:1/hook\"]\n\
         secrets.signing-key = { from = \"env:KEY\" }\n",
    );
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    cached(env.call(&["exec", "--notify"]))
        .env("KEY", key)
        .finish()
        .succeeds()
        .complains("could not tell `team`: plugin `webhook` may not reach 127.0.0.1")
        .complains("piper plugin grant webhook --private-network 127.0.0.1/32");
}

#[test]
fn a_notifier_that_cannot_work_is_refused_before_the_build() {
    let env = project(
        "[steps]\ngood = 'touch ran'\n[pipelines]\nbuild = { steps = [\"good\"] }\n[notify.team]\nuses = \"od\"\n",
    );
    piper(&env, &["exec", "--notify"])
        .exits(2)
        .complains("there is no plugin `od`")
        .complains("piper.toml:6:8");
    assert!(!env.path("ran").exists());
}
