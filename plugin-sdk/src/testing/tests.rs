use super::*;
use crate::{
    FailureKind, control, exec::Command, files, http, prelude::*, secrets::Hmac, state::Expect,
};
use std::{
    io::{Read, Write},
    time::Duration,
};
use test_case::test_case;

fn code<T>(result: Result<T>) -> String {
    result.err().map(|failure| failure.code).unwrap_or_default()
}

#[test]
fn nothing_is_granted_unless_the_test_says_so() {
    let _fake = Fake::new();
    assert_eq!(
        code(http::get("https://example.com").send()),
        "policy.http-host"
    );
    assert_eq!(code(secrets::placeholder("a")), "policy.secret");
    assert_eq!(code(Command::new("git").run()), "policy.exec");
    assert_eq!(code(notifier::build("b")), "policy.builds");
    assert_eq!(
        code(notifier::send_mail("a", "a@b", &["c@d".into()], b"")),
        "policy.mail"
    );
    assert_eq!(code(crate::trigger::heads("a")), "policy.vcs");
    assert_eq!(code(files::read("a")), "fs.not-found");
}

#[test]
fn a_request_has_one_body() {
    let fake = Fake::new();
    fake.answer("GET https://example.com", 200, "");
    let request = http::get("https://example.com").text("a").bytes("b");
    assert_eq!(request.send().unwrap_err().kind, FailureKind::Invalid);
    assert_eq!(fake.requests(), []);
}

#[test]
fn a_secret_is_granted_for_headers_unless_the_test_says_more() {
    let fake = Fake::new();
    fake.answer("POST https://example.com/a", 200, "");
    fake.answer("POST https://example.com/a/hunter2", 200, "");
    fake.secret("token", "hunter2");
    fake.secret_for("hook", "hunter2", &[SecretUse::Path]);
    let post = |path: &str| http::post(format!("https://example.com/a{path}"));
    let placeholder = secrets::placeholder("token").unwrap();
    post("").header("x-token", &placeholder).send().unwrap();
    assert_eq!(fake.requests()[0].header("x-token"), Some("hunter2"));
    let in_path = format!("/{placeholder}");
    assert_eq!(code(post(&in_path).send()), "policy.secret-use");
    let in_json = post("").json(&placeholder);
    assert_eq!(code(in_json.send()), "policy.secret-use");
    let hook = format!("/{}", secrets::placeholder("hook").unwrap());
    post(&hook).send().unwrap();
    assert_eq!(fake.requests()[1].url, "https://example.com/a/hunter2");
}

#[test]
fn each_use_of_a_secret_needs_its_own_grant() {
    let fake = Fake::new();
    fake.secret_for("key", "k", &[]);
    let codes = [
        code(secrets::placeholder("key")),
        code(secrets::basic("me", "key")),
        code(secrets::hmac("key", Hmac::Sha256, "a")),
        code(secrets::sign("key", secrets::Signature::EdDsa, "a")),
        code(secrets::verify_hmac("key", Hmac::Sha256, "a", "b")),
        code(secrets::equals("key", "k")),
        code(secrets::reveal("key")),
    ];
    assert_eq!(codes, ["policy.secret-use"; 7]);
}

#[test]
fn hmac_is_the_published_one() {
    let fake = Fake::new();
    fake.secret("key", "key");
    let tag = secrets::hmac(
        "key",
        Hmac::Sha256,
        "The quick brown fox jumps over the lazy dog",
    )
    .unwrap();
    assert_eq!(tag[..4], [0xf7, 0xbc, 0x83, 0xf4]);
    assert!(
        secrets::verify_hmac(
            "key",
            Hmac::Sha256,
            "The quick brown fox jumps over the lazy dog",
            &tag
        )
        .unwrap()
    );
    assert_eq!(
        code(secrets::hmac_chain::<&str>("key", Hmac::Sha256, "AWS4", [])),
        "secret.no-message"
    );
}

#[test]
fn several_answers_come_in_their_order_and_the_last_for_ever() {
    let fake = Fake::new();
    fake.answer("GET https://example.com/a", 429, "");
    fake.fail(
        "GET https://example.com/a",
        Failure::transient("http.connect", "refused"),
    );
    fake.answer("GET https://example.com/a", 200, "");
    let ask = || {
        http::get("https://example.com/a")
            .query("page", "1 2")
            .send()
    };
    assert_eq!(ask().unwrap().status, 429);
    assert_eq!(code(ask()), "http.connect");
    assert_eq!(ask().unwrap().status, 200);
    assert_eq!(ask().unwrap().status, 200);
    assert_eq!(fake.requests()[0].url, "https://example.com/a?page=1%202");
}

#[test_case(429, true)]
#[test_case(500, true)]
#[test_case(503, true)]
#[test_case(501, false)]
#[test_case(404, false)]
#[test_case(302, false)]
fn a_status_says_whether_to_try_again(status: u16, is_transient: bool) {
    let fake = Fake::new();
    let headers = vec![("retry-after".into(), "7".into())];
    fake.reply(
        "GET https://example.com",
        Answer {
            status,
            headers,
            body: b"so\n so".to_vec(),
        },
    );
    let failure = http::get("https://example.com")
        .send()
        .unwrap()
        .ok()
        .unwrap_err();
    assert_eq!(failure.is_transient(), is_transient);
    assert_eq!(failure.code, format!("http.{status}"));
    assert_eq!(
        failure.message,
        format!("GET https://example.com answered {status}: so so")
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn a_few_requests_are_under_way_and_no_more() {
    let fake = Fake::new();
    fake.answer("GET https://example.com", 200, "");
    let get = || http::get("https://example.com");
    let under_way: Vec<_> = (0..8).map(|_| get().start().unwrap()).collect();
    assert_eq!(code(get().start().map(drop)), "quota.http-concurrency");
    drop(under_way);
    let answers = http::send_all((0..50).map(|_| get()), 8);
    assert!(answers.len() == 50 && answers.iter().all(Result::is_ok));
}

#[test_case("/etc/passwd")]
#[test_case("../a")]
#[test_case("a/../../b")]
#[test_case("a//b")]
#[test_case("")]
fn no_path_leaves_the_workspace(path: &str) {
    let _fake = Fake::new();
    assert_eq!(code(files::read(path)), "policy.fs");
    assert_eq!(code(files::write(path, "a")), "policy.fs");
}

#[test]
fn large_files_are_read_and_written_in_pieces() {
    let fake = Fake::new();
    let content: Vec<u8> = (0..2_500_000u32).map(|at| at as u8).collect();
    let mut writer = files::create("a/b");
    writer.write_all(&content).unwrap();
    writer.finish().unwrap();
    assert_eq!(fake.content("a/b").as_ref(), Some(&content));
    let mut read = Vec::new();
    files::open("a/b").unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, content);
    assert_eq!(files::read("a/b").unwrap(), content);
    files::create("empty").finish().unwrap();
    assert_eq!(fake.content("empty"), Some(Vec::new()));
}

#[test]
fn a_failure_of_the_host_comes_through_readers_as_it_is() {
    let fake = Fake::new();
    fake.file("a", vec![0; 2 << 20]);
    let mut reader = files::open("a").unwrap();
    fake.change(|world| world.files.clear());
    let failed: Result<usize> = (|| Ok(reader.read_to_end(&mut Vec::new())?))();
    assert_eq!(code(failed), "fs.not-found");
}

#[test]
fn paths_come_page_by_page_in_order() {
    let fake = Fake::new();
    for at in 0..2_500 {
        fake.file(&format!("a/{at:04}.xml"), "");
    }
    fake.file("a/b/c.xml", "");
    let paths: Vec<_> = files::glob(["a/*.xml"]).collect::<Result<_>>().unwrap();
    assert_eq!(paths.len(), 2_500);
    assert!(paths.is_sorted());
}

#[test]
fn state_is_changed_by_one_at_a_time() {
    let fake = Fake::new();
    let first = state::put("a", "1", Expect::Absent, None).unwrap();
    assert_eq!(
        code(state::put("a", "2", Expect::Absent, None)),
        "state.conflict"
    );
    state::delete("a", Expect::Version(first)).unwrap();
    assert_eq!(state::get("a").unwrap(), None);
    let again = state::put("a", "3", Expect::Absent, None).unwrap();
    assert!(again > first, "versions outlive values");
    let mut others = 0;
    let sum = state::update("a", |old: Option<u32>| {
        if others < 2 {
            others += 1;
            fake.state("a", "10");
        }
        old.unwrap_or_default() + 1
    });
    assert_eq!((sum.unwrap(), others), (11, 2));
    assert_eq!(state::keys("").unwrap(), ["a"]);
}

#[test]
fn a_command_ends_as_the_test_says() {
    let fake = Fake::new();
    fake.command(["git", "push"], 1, "rejected");
    let finished = Command::new("git")
        .arg("push")
        .env("A", "b")
        .stdin("in")
        .run()
        .unwrap();
    assert_eq!(finished.text().unwrap(), "rejected");
    assert_eq!(
        finished.ok().unwrap_err().message,
        "`git` ended with status 1"
    );
    let ran = &fake.commands_run()[0];
    assert_eq!((ran.stdin.as_slice(), ran.env.len()), (&b"in"[..], 1));
    assert_eq!(fake.stdout(), "rejected", "in the step's log unless quiet");
}

#[test]
fn a_call_that_is_stopped_waits_for_nothing() {
    let fake = Fake::new();
    fake.answer("GET https://example.com", 200, "");
    assert!(!control::cancelled());
    assert_eq!(
        code(control::sleep(Duration::from_secs(31))),
        "call.cancelled"
    );
    assert_eq!(control::remaining(), Duration::ZERO);
    fake.cancel();
    assert_eq!(
        code(http::get("https://example.com").send()),
        "call.cancelled"
    );
}

#[settings]
struct Tell {
    #[setting(default = 3, max = 5)]
    most: u8,
}

impl Notifier for Tell {
    fn tell(&self, event: &Event, rule: &Rule) -> Result<()> {
        info!("told {}", event.id; rule = rule.rule.name, most = self.most);
        match event.kind.as_str() {
            "busy" => Err(Failure::transient("http.503", "busy")),
            "broken" => Err(Failure::permanent("http.400", "no")),
            _ => Ok(()),
        }
    }
}

#[test]
fn events_of_one_subject_stay_in_their_order() {
    let fake = Fake::new();
    fake.facts(json!({"rule": {"name": "r"}}));
    let event = |kind: &str, subject: &str| event(kind, json!({"build": subject}));
    let events = vec![
        event("broken", "a"),
        event("busy", "a"),
        event("done", "a"),
        event("done", "b"),
    ];
    let undelivered = fake.notify::<Tell, _>(json!({}), events).unwrap();
    let indexes: Vec<_> = undelivered
        .iter()
        .map(|one| (one.index, one.why.is_transient()))
        .collect();
    // What is broken for ever holds nothing up; what is not yet told holds up what follows it.
    assert_eq!(indexes, [(0, false), (1, true), (2, true)]);
    assert_eq!(fake.logged().len(), 3, "the third was not tried");
    assert_eq!(
        fake.logged()[0].fields,
        [("rule".into(), "r".into()), ("most".into(), "3".into())]
    );
}

#[test_case(json!({"most": 6}), "/options/most"; "too much")]
#[test_case(json!({"most": "3"}), "/options/most"; "another type")]
#[test_case(json!({"least": 1}), "/options/least"; "another key")]
fn options_are_checked_as_the_host_does(options: Value, path: &str) {
    let fake = Fake::new();
    let failure = fake.notify::<Tell, _>(options, vec![]).unwrap_err();
    assert_eq!(
        (failure.kind, failure.details["path"].as_str()),
        (FailureKind::Invalid, Some(path))
    );
}

#[settings]
struct Reports {}

impl StepRunner for Reports {
    fn run(&self, step: &Step) -> Result<Verdict> {
        step.annotate(
            &Annotation::warning("hm")
                .title("t")
                .file("src/a.rs")
                .line(3)
                .column(4),
        )?;
        step.summary("# done")?;
        step.report("test", &vec![json!({}); 10_000])?;
        step.output("a", 1)?;
        writeln!(step.stderr(), "oh")?;
        match step.r#try {
            1 => step.output("no.name", 1)?,
            2 => step.report("annotation", &[1])?,
            3 => step.report("../etc", &[json!({})])?,
            _ => (0..200).try_for_each(|_| step.annotate(&Annotation::notice("more")))?,
        }
        Ok(Verdict::passed())
    }
}

#[test_case(1, "step.output-name")]
#[test_case(2, "step.report-item")]
#[test_case(3, "step.report-kind")]
#[test_case(4, "limit.reports")]
fn what_a_step_tells_its_build_is_checked(attempt: u32, expected: &str) {
    let fake = Fake::new();
    fake.facts(json!({"try": attempt, "build": {"id": "b"}}));
    assert_eq!(code(fake.run::<Reports, _>(json!({}))), expected);
    assert_eq!(
        fake.annotations()[0],
        json!({"level": "warning", "message": "hm", "title": "t", "file": "src/a.rs", "line": 3, "column": 4})
    );
    assert_eq!(fake.reports("summary"), [json!({"markdown": "# done"})]);
    assert_eq!(fake.stderr(), "oh\n");
}

struct Lossy;

impl LogSink for Lossy {
    type Options = ();

    fn open(_: Opening) -> Result<Self> {
        Ok(Self)
    }

    fn write(&mut self, _: &[Batch]) -> Result<Receipt> {
        let again = vec![log_sink::Place { batch: 0, index: 2 }];
        Ok(Receipt {
            again,
            ..Receipt::default()
        })
    }
}

#[test]
#[should_panic(expected = "there is no entry")]
fn a_receipt_for_an_entry_that_is_not_there_fails_the_test() {
    let fake = Fake::new();
    let mut sink = fake.open_sink::<Lossy, _>(json!({})).unwrap();
    let _ = fake.write(&mut sink, vec![batch("b", 0, &["one", "two"])]);
}

#[test]
#[should_panic(expected = "one `Fake` at a time")]
fn two_fakes_in_one_thread_are_a_mistake() {
    let _first = Fake::new();
    let _second = Fake::new();
}

#[test]
fn an_event_tells_its_build_as_piper_does() {
    let body = json!({
        "v": 1, "type": "build.finished", "build": "bcdfghjk", "attempt": 1, "project": "hello", "target": "test",
        "environment": "local", "trace": "0", "started_at": "2026-03-01T12:00:00.000000Z",
        "end": {"outcome": "succeeded", "at": "2026-03-01T12:00:01.000000Z", "duration_us": 1_000_000, "counts": {}},
        "previous": {"build": "bcdfghjj", "outcome": "failed", "started_at": "2026-03-01T11:00:00.000000Z"},
    });
    let build = event("build.finished", body).build();
    assert_eq!(build.to_string(), "hello test: succeeded");
    assert_eq!(build.id, "bcdfghjk");
    assert_eq!(build.previous_outcome.as_deref(), Some("failed"));
    assert_eq!(build.more["environment"], "local");
}

#[test]
fn the_plugins_own_folders_are_files_too() {
    let fake = Fake::new();
    files::write("/out/log", "a").unwrap();
    assert_eq!(fake.content("/out/log").as_deref(), Some(&b"a"[..]));
    assert_eq!(code(files::write("/out/../log", "a")), "policy.fs");
    assert_eq!(code(files::write("/etc/passwd", "a")), "policy.fs");
}

#[test]
fn the_clock_is_the_tests() {
    let fake = Fake::new();
    fake.now(Timestamp(1_700_000_000_999_999));
    assert_eq!(crate::time::now().seconds(), 1_700_000_000);
}

#[test]
fn a_file_grows_at_its_end() {
    let fake = Fake::new();
    files::append("a/log", "").unwrap();
    assert_eq!(fake.content("a/log").as_deref(), Some(&b""[..]));
    files::append("a/log", "one").unwrap();
    files::append("a/log", "").unwrap();
    files::append("a/log", "two".repeat(1 << 20)).unwrap();
    let content = fake.content("a/log").unwrap();
    assert_eq!(content.len(), 3 + (3 << 20));
    assert_eq!(&content[..6], b"onetwo");
}
