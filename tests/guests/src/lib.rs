//! One component that is every kind of plugin; what it does is the first word of the call's name.
//!
//! Nothing here is an example: each behaviour is an attack or an oddity that a test of the host names.

#![expect(
    clippy::disallowed_methods,
    reason = "they end themselves and look at clocks, as plugins of strangers do"
)]

mod hostile;

wit_bindgen::generate!({
    path: "../../plugin-sdk/wit/v0.1",
    inline: "
        package piper:guests;
        world odd {
            include piper:all/everything@0.1.0;
        }
    ",
    world: "piper:guests/odd",
    generate_all,
});

use exports::piper::{
    base::config_check::{self, Problem},
    logs::{
        log_reader::{self, Found, Page},
        log_sink::{self, Entry, Receipt},
    },
    notify::notifier::{self, Event, Undelivered},
    step::{
        step_planner,
        step_runner::{self, Verdict},
    },
    trigger::{
        trigger_poll::{self, Outcome as Polled},
        trigger_webhook::{self, Delivery, Outcome as Received, Response},
    },
};
use piper::{
    base::{
        control, exec, files, http, log, secrets, state,
        types::{Call, Failure, FailureKind},
    },
    logs::log_types::Batch,
    notify::{builds, mail},
    step::step_context,
    trigger::{trigger_types::Ask, vcs},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    hint::black_box,
    time::{Instant, SystemTime},
};

struct Odd;
export!(Odd);

fn failure(kind: FailureKind, code: &str, message: &str) -> Failure {
    Failure {
        kind,
        code: code.into(),
        message: message.into(),
        retry_after_ms: Some(u32::MAX),
        details: Some("[not an object".into()),
    }
}

/// What a plugin answers that finds a mistake in its options.
fn mistake() -> Failure {
    let details = r#"{"path": "/options/name", "help": "name somebody else"}"#;
    Failure {
        details: Some(details.into()),
        ..failure(FailureKind::Invalid, "odd.name", "nobody is called so")
    }
}

fn passed(message: impl Into<String>) -> Result<Verdict, Failure> {
    Ok(Verdict {
        status: "passed".into(),
        message: message.into(),
    })
}

/// Uses the machine's stack only.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    match control::cancelled() {
        true => depth,
        false => deeper(depth + 1).rotate_left(7) ^ depth,
    }
}

/// Uses the stack that a compiler keeps in memory.
#[expect(unconditional_recursion, reason = "that is the attack")]
#[inline(never)]
fn larger(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    larger(depth + 1) + room[depth as usize % 64]
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns + 1);
    }
}

#[inline(never)]
fn misbehave(how: &str) -> Result<Verdict, Failure> {
    match how {
        "spin" => spin(),
        "recurse" => passed(deeper(0).to_string()),
        "recurse-in-memory" => passed(larger(0).to_string()),
        "panic" => {
            eprintln!("before the panic");
            panic!("the guest panics on purpose");
        }
        "exit" => std::process::exit(3),
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "hoard" => {
            let mut all = Vec::new();
            loop {
                all.push(http::Request::new("GET", "https://example.com"));
            }
        }
        "shout" => {
            let text = "x".repeat(32 << 20);
            log::emit(log::Level::Info, &text, &[]);
            passed("shouted")
        }
        "flood" => {
            for line in 0..5_000 {
                log::emit(log::Level::Info, &format!("line {line}"), &[]);
            }
            passed("flooded")
        }
        "boast" => passed("x".repeat(32 << 20)),
        "gamble" => passed(format!(
            "{:?}",
            wasip2::random::random::get_random_bytes(u64::MAX).len()
        )),
        "escape" => {
            log::emit(
                log::Level::Info,
                "\u{1b}[2Ja\u{202e}b\nc",
                &[("\u{7}k".into(), "\u{1b}v".into())],
            );
            Err(failure(FailureKind::Invalid, "\u{1b}code", "\u{1b}[31mred"))
        }
        "wait" => {
            log::emit(log::Level::Info, "waiting", &[]);
            std::thread::sleep(std::time::Duration::from_secs(3600));
            passed("waited")
        }
        "sleep" => {
            log::emit(log::Level::Info, "sleeping", &[]);
            let failure = control::sleep_ms(3_600_000).expect_err("nobody waits for an hour");
            let (cancelled, more) = (control::cancelled(), control::sleep_ms(1).is_ok());
            Err(Failure {
                message: format!("{} cancelled={cancelled} more={more}", failure.code),
                ..failure
            })
        }
        other => passed(format!("did nothing about {other:?}")),
    }
}

/// A request through `wasi:http`: its status, or why not.
fn wasi_http() -> String {
    use wasip2::http::{
        outgoing_handler::handle,
        types::{Fields, OutgoingRequest, Scheme},
    };
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Https));
    let _ = request.set_authority(Some("example.com"));
    let _ = request.set_path_with_query(Some("/x"));
    let pending = match handle(request, None) {
        Ok(pending) => pending,
        Err(code) => return format!("refused {code:?}"),
    };
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => response.status().to_string(),
        Some(Ok(Err(code))) => format!("{code:?}"),
        other => format!("{:?}", other.is_some()),
    }
}

/// Tries every effect, and says which codes it got.
fn try_everything() -> String {
    let mut codes = Vec::new();
    let mut note = |what: &str, result: Result<String, Failure>| {
        codes.push(match result {
            Ok(_) => format!("{what}=ok"),
            Err(failure) => format!("{what}={}", failure.code),
        });
    };
    note(
        "http",
        http::Request::new("GET", "https://example.com")
            .send()
            .map(|r| r.status.to_string()),
    );
    note("files", files::stat("a").map(|info| info.kind));
    note("secrets", secrets::placeholder("a"));
    note(
        "hmac",
        secrets::hmac("a", "sha256", "", &[]).map(|_| String::new()),
    );
    note("state", state::get("a").map(|_| String::new()));
    note(
        "exec",
        exec::Process::new(&["true".into()])
            .start()
            .map(|()| String::new()),
    );
    note(
        "output",
        step_context::set_output("a", "b").map(|()| String::new()),
    );
    note(
        "mail",
        mail::send("a", "b", &[], &[]).map(|()| String::new()),
    );
    note("builds", builds::get("a"));
    note("vcs", vcs::heads("a"));
    let fs = std::fs::read_dir("/")
        .map(|_| ())
        .map_err(|error| error.kind());
    let net = std::net::TcpStream::connect("127.0.0.1:1")
        .map(|_| ())
        .map_err(|error| error.kind());
    let name = std::net::ToSocketAddrs::to_socket_addrs("localhost:80")
        .map(|_| ())
        .map_err(|_| "refused");
    let env: HashMap<_, _> = std::env::vars().collect();
    codes.push(format!(
        "fs={fs:?} net={net:?} name={name:?} env={} args={}",
        env.len(),
        std::env::args().count()
    ));
    let mut line = String::new();
    codes.push(format!(
        "stdin={:?}",
        std::io::stdin().read_line(&mut line).unwrap_or(99)
    ));
    codes.join(" ")
}

/// Says what it was told, if it is called for that.
fn repeat(call: &Call) {
    if call.name == "told" {
        log::emit(log::Level::Info, &call.facts, &[]);
    }
}

impl step_planner::Guest for Odd {
    fn plan(call: Call) -> Result<String, Failure> {
        repeat(&call);
        match call.name.as_str() {
            "world" => {
                use std::hash::{BuildHasher, RandomState};
                let now = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map(|d| d.as_nanos());
                let before = Instant::now();
                let chance = RandomState::new().hash_one(0);
                Ok(format!("{now:?} {:?} {chance}", before.elapsed()))
            }
            "spin" => spin(),
            "mistake" => Err(mistake()),
            "everything" => Ok(call.options),
            other => Ok(format!(
                "{{\"steps\": {{\"{other}\": {{\"run\": \"true\"}}}}}}"
            )),
        }
    }
}

impl step_runner::Guest for Odd {
    fn run(call: Call) -> Result<Verdict, Failure> {
        let (how, rest) = call.name.split_once(' ').unwrap_or((&call.name, ""));
        match how {
            "everything" => passed(try_everything()),
            "echo" => passed(format!("{} {} {}", call.config, call.options, call.facts)),
            "status" => Ok(Verdict {
                status: rest.into(),
                message: String::new(),
            }),
            "nap" => {
                control::sleep_ms(50)?;
                passed("slept")
            }
            "dice" => {
                let thrown = wasip2::random::random::get_random_u64().to_string();
                step_context::set_output("thrown", &thrown)?;
                passed("threw them")
            }
            "outputs" => {
                for at in 0..100 {
                    step_context::set_output(&format!("o{at}"), "x")?;
                }
                passed("set them all")
            }
            "output" => {
                step_context::set_output(rest, "x")?;
                passed("set it")
            }
            "hello" => {
                step_context::print(false, b"to stdout\n");
                step_context::print(true, b"to stderr\n");
                step_context::set_output("greeted", &call.options)?;
                let annotation = r#"{"level":"warning","message":"hm","file":"a.rs","line":3}"#;
                step_context::report("annotation", &[annotation.into()])?;
                passed("greeted everybody")
            }
            "commands" => {
                let mut lost = 0;
                for _ in 0..16 {
                    let command = ["sh", "-c", "exit 3"].map(str::to_owned);
                    let process = exec::Process::new(&command);
                    process.start()?;
                    // While this computes, nobody of the host's looks after the command.
                    let started = Instant::now();
                    while started.elapsed().as_millis() < 20 {}
                    lost += u32::from(process.wait()?.status != Some(3));
                }
                passed(format!("{lost} are lost"))
            }
            "end-a-command" => {
                let process = exec::Process::new(&["sh", "-c", "sleep 30"].map(str::to_owned));
                process.start()?;
                let began = Instant::now();
                process.kill()?;
                // As a step's, its grace period has ten seconds.
                let soon = began.elapsed().as_secs() < 5;
                let reason = process.wait()?.reason;
                passed(format!("{reason} soon: {soon}"))
            }
            "refused-commands" => {
                let mut codes = std::collections::BTreeSet::new();
                // None of their handles is given up.
                let mut refused = Vec::new();
                for _ in 0..100 {
                    let process = exec::Process::new(&["another".into()]);
                    codes.extend(process.start().err().map(|failure| failure.code));
                    refused.push(process);
                }
                let process = exec::Process::new(&["sh", "-c", "exit 3"].map(str::to_owned));
                process.start()?;
                passed(format!("{codes:?} {:?}", process.wait()?.status))
            }
            "count" => hostile::count(&call),
            "mistake" => Err(mistake()),
            "remember" => {
                for _ in 0..10 {
                    state::put("remembered", b"x", None, None)?;
                }
                passed("remembered")
            }
            "read" => passed(format!("{:?}", files::read("secret.txt", 0, 100)?)),
            "keep" => {
                let mut kept = files::read("/cache/kept", 0, 100).unwrap_or_default();
                let before = kept.len();
                kept.push(b'x');
                files::write("/cache/kept", 0, &kept)?;
                files::write("/out/sub/made.txt", 0, b"made")?;
                passed(format!("kept {before} before"))
            }
            "report" => {
                step_context::report(rest, &[call.options])?;
                passed("reported")
            }
            "request" => {
                let request = http::Request::new("POST", "https://example.com/x");
                request.header("a", "b");
                request.text("body");
                request.timeout_ms(1234);
                let response = request.send()?;
                let again = request.send().expect_err("once");
                passed(format!(
                    "{} {} {}",
                    response.status,
                    String::from_utf8_lossy(&response.body),
                    again.code
                ))
            }
            "requests" => {
                let mut under_way = Vec::new();
                for at in 0.. {
                    let request = http::Request::new("GET", &format!("https://example.com/{at}"));
                    match request.start() {
                        Ok(exchange) => under_way.push(exchange),
                        Err(failure) => {
                            let first = under_way[0].wait()?;
                            return passed(format!("{at} {} {}", failure.code, first.status));
                        }
                    }
                }
                unreachable!()
            }
            "two-bodies" => {
                let request = http::Request::new("POST", "https://example.com/x");
                request.text("a");
                request.text("b");
                request.send()?;
                passed("sent")
            }
            "wasi-http" => passed(wasi_http()),
            "fetch" => hostile::fetch(rest, &call),
            "follow" => hostile::follow(&call),
            "draft" => hostile::draft(rest),
            "park" => hostile::park(&call),
            "wasi-fetch" => hostile::wasi_fetch(rest, &call),
            "race" => hostile::race(rest.parse().unwrap_or_default()),
            "leak" => hostile::leak(&call),
            "paint" => hostile::paint(rest),
            "overflow" => hostile::flood(rest),
            "supports" => passed(control::supports(rest).to_string()),
            "remaining" => passed(control::remaining_ms().to_string()),
            how => misbehave(how),
        }
    }
}

impl notifier::Guest for Odd {
    fn notify(call: Call, events: Vec<Event>) -> Result<Vec<Undelivered>, Failure> {
        repeat(&call);
        let why = || failure(FailureKind::Transient, "http.503", "busy");
        match call.name.as_str() {
            "some" => Ok(vec![Undelivered {
                index: 1,
                why: why(),
            }]),
            "lie" => Ok(vec![Undelivered {
                index: events.len() as u32,
                why: why(),
            }]),
            "all" => Err(why()),
            _ => {
                for event in events {
                    log::emit(log::Level::Info, &event.kind, &[("id".into(), event.id)]);
                }
                Ok(vec![])
            }
        }
    }
}

impl config_check::Guest for Odd {
    fn check(call: Call) -> Vec<Problem> {
        repeat(&call);
        if call.config == "{}" {
            return Vec::new();
        }
        vec![Problem {
            path: "/config/url".into(),
            message: format!("{} is wrong", call.config),
            help: None,
        }]
    }
}

fn ask() -> Ask {
    Ask {
        kind: "build".into(),
        dedup_key: "k".into(),
        body: "{}".into(),
    }
}

impl trigger_poll::Guest for Odd {
    fn poll(_: Call, cursor: Option<String>) -> Result<Polled, Failure> {
        Ok(Polled {
            asks: vec![ask()],
            cursor: Some(format!("{}+", cursor.unwrap_or_default())),
            next_poll_at: Some(7),
            more: true,
        })
    }
}

impl trigger_webhook::Guest for Odd {
    fn receive(_: Call, delivery: Delivery) -> Result<Received, Failure> {
        Ok(Received {
            response: Response {
                status: 202,
                headers: delivery.headers,
                body: delivery.body,
            },
            asks: vec![ask()],
        })
    }
}

thread_local! {
    static SINK: RefCell<(String, u32)> = RefCell::default();
}

impl log_sink::Guest for Odd {
    fn open(call: Call) -> Result<(), Failure> {
        if call.name == "refuse" {
            return Err(failure(FailureKind::Invalid, "sink.config", "no"));
        }
        SINK.set((call.name, 0));
        Ok(())
    }

    fn write(batches: Vec<Batch>) -> Result<Receipt, Failure> {
        let (name, writes) = SINK.with_borrow_mut(|sink| {
            sink.1 += 1;
            sink.clone()
        });
        let mut receipt = Receipt {
            again: vec![],
            rejected: vec![],
            wait_ms: None,
        };
        if name
            .strip_prefix("trap-on-")
            .is_some_and(|on| on.parse() == Ok(writes))
        {
            panic!("write {writes}");
        }
        let entry = |index: usize| Entry {
            batch: 0,
            index: index as u32,
        };
        let rejection = |entry| log_sink::Rejection {
            entry,
            code: "sink.no".into(),
            message: format!("no {}", batches[0].build),
        };
        let end = batches[0].ends.len();
        match name.as_str() {
            "fail-on-2" if writes == 2 => {
                return Err(failure(FailureKind::Transient, "http.429", "slow down"));
            }
            "again" => receipt.again.push(entry(1)),
            "lie" => receipt.again.push(entry(end)),
            "lie-batch" => receipt.again.push(Entry {
                batch: batches.len() as u32,
                index: 0,
            }),
            "lie-rejected" => receipt.rejected.push(rejection(entry(end))),
            "lie-large" => receipt.again.push(Entry {
                batch: u32::MAX,
                index: u32::MAX,
            }),
            // The first one in both lists, and each of them many times.
            "twice" if writes == 1 => {
                receipt.again = [1, 0, 1, 0, 1].map(entry).into();
                receipt.rejected = [0, 0].map(|index| rejection(entry(index))).into();
            }
            "never" => receipt.again = (0..end).map(entry).collect(),
            "spin-on-2" if writes == 2 => spin(),
            _ => receipt.wait_ms = Some(batches.iter().map(|batch| batch.ends.len() as u32).sum()),
        }
        Ok(receipt)
    }

    fn close() -> Result<(), Failure> {
        log::emit(log::Level::Info, "closed", &[]);
        Ok(())
    }
}

impl log_reader::Guest for Odd {
    fn read(
        call: Call,
        range: String,
        cursor: Option<String>,
        max_entries: u32,
        max_bytes: u32,
    ) -> Result<Page, Failure> {
        let batch = Batch {
            build: range,
            attempt: max_entries,
            facts: "{}".into(),
            first_seq: u64::from(max_bytes),
            text: b"line".to_vec(),
            ends: vec![if call.name == "lie" { 5 } else { 4 }],
            times: vec![1],
            step_of: vec![0],
            marks: vec![0],
            steps: vec![piper::logs::log_types::StepRef {
                path: "a".into(),
                try_: 1,
                more: "{}".into(),
            }],
            columns: vec![],
            last: true,
        };
        Ok(Page {
            batches: vec![batch],
            next: cursor,
            complete: true,
        })
    }

    fn search(_: Call, query: String, _: Option<String>, limit: u32) -> Result<Found, Failure> {
        let hit = log_reader::Hit {
            build: query,
            attempt: 1,
            seq: 2,
            time: 3,
            step: "a".into(),
            line: b"line".to_vec(),
            highlights: vec![(0, 2)],
            more: "{}".into(),
        };
        Ok(Found {
            hits: vec![hit],
            next: None,
            total: Some(limit.into()),
        })
    }
}
