//! What a plugin does that wants out, or wants others to do something: requests, files, and texts that hold a secret.
//!
//! A call says what: `config` is an address or a secret's value, `options` a header, `facts` a body or a place.

use crate::{
    Verdict, failure, passed,
    piper::{
        base::{
            exec, files, http, log, secrets,
            types::{Call, Failure, FailureKind},
        },
        step::step_context,
    },
};
use std::{fmt::Write as _, io::Write as _};

/// What stands for the secret `token` in a text: its placeholder, whole, half or in base64.
fn filled(text: &str) -> Result<String, Failure> {
    if !text.contains('{') {
        return Ok(text.into());
    }
    let placeholder = secrets::placeholder("token")?;
    Ok(text
        .replace("{secret}", &placeholder)
        .replace("{half}", &placeholder[..placeholder.len() - 1])
        .replace("{base64}", &base64(placeholder.as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            text.push(match at <= group.len() {
                true => char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

/// `header: value` in `options` and a body in `facts`, unless they are the empty object that stands for nothing.
fn given(text: &str) -> Option<&str> {
    (text != "{}").then_some(text)
}

fn send(method: &str, url: &str, call: &Call) -> Result<http::Response, Failure> {
    let request = http::Request::new(method, &filled(url)?);
    if let Some((name, value)) = given(&call.options).and_then(|header| header.split_once('=')) {
        request.header(&filled(name)?, &filled(value)?);
    }
    if let Some(body) = given(&call.facts) {
        request.text(&filled(body)?);
    }
    request.send()
}

/// A request through piper's `http`: its status and how long its body is.
pub(crate) fn fetch(method: &str, call: &Call) -> Result<Verdict, Failure> {
    let response = send(method, &call.config, call)?;
    passed(format!("{} {}", response.status, response.body.len()))
}

/// Goes where a redirect leads.
pub(crate) fn follow(call: &Call) -> Result<Verdict, Failure> {
    let first = send("GET", &call.config, call)?;
    let location = first.headers.iter().find(|(name, _)| name == "location");
    let Some((_, location)) = location else {
        return passed(format!("{} and no further", first.status));
    };
    let second = send("GET", location, call)?;
    passed(format!("{} {}", first.status, second.status))
}

/// A request through `wasi:http` with a header and, for `PUT`, a body without end: its status, or why not.
pub(crate) fn wasi_fetch(method: &str, call: &Call) -> Result<Verdict, Failure> {
    use wasip2::http::{
        outgoing_handler::handle,
        types::{Fields, Method, OutgoingRequest, Scheme},
    };
    let fields = Fields::new();
    if let Some((name, value)) = given(&call.options).and_then(|header| header.split_once('='))
        && let Err(error) = fields.append(name, value.as_bytes())
    {
        return passed(format!("{error:?}"));
    }
    let request = OutgoingRequest::new(fields);
    let (authority, path) = call.config.split_once('/').unwrap_or((&call.config, ""));
    let _ = request.set_scheme(Some(&Scheme::Http));
    let is_set = request.set_authority(Some(authority)).is_ok()
        && request
            .set_path_with_query(Some(&format!("/{path}")))
            .is_ok();
    if !is_set {
        return passed("no address");
    }
    let mut body = None;
    if method == "PUT" {
        let _ = request.set_method(&Method::Put);
        body = request.body().ok();
    }
    let pending = match handle(request, None) {
        Ok(pending) => pending,
        Err(error) => return passed(format!("{error:?}")),
    };
    if let Some(body) = &body {
        let stream = body.write().expect("it is the first one");
        while stream.blocking_write_and_flush(&[b'x'; 4096]).is_ok() {}
    }
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => passed(response.status().to_string()),
        Some(Ok(Err(error))) => passed(format!("{error:?}")),
        _ => passed("nothing"),
    }
}

/// Reads and writes below `a` so many times, and says which texts it saw there.
pub(crate) fn race(turns: u32) -> Result<Verdict, Failure> {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..turns {
        seen.insert(match files::read("a/secret", 0, 10) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(failure) => failure.code,
        });
        let _ = files::write("a/new", 0, b"inside");
        for path in files::glob(&["a/*".into()], None, 10).unwrap_or_default() {
            seen.insert(path);
        }
    }
    passed(seen.into_iter().collect::<Vec<_>>().join(" "))
}

/// Says the value in `config` in the place that `facts` names, as it is or in other shapes.
pub(crate) fn leak(call: &Call) -> Result<Verdict, Failure> {
    let secret = &*call.config;
    let (one, two) = secret.split_at(secret.len() / 2);
    let shapes = [
        secret.into(),
        base64(secret.as_bytes()),
        base64(format!("x{secret}").as_bytes()),
    ];
    let all = shapes.join(" ");
    match &*call.facts {
        "log" => {
            log::emit(log::Level::Info, &all, &[(secret.into(), all.clone())]);
            // What the host strips was between its halves.
            log::emit(log::Level::Info, &format!("{one}\u{1b}{two}"), &[]);
        }
        "stdout" => {
            for piece in [one, two, "\n"] {
                print!("{piece}");
                let _ = std::io::stdout().flush();
            }
        }
        "print" => {
            for piece in all.as_bytes().chunks(5) {
                step_context::print(false, piece);
            }
        }
        "verdict" => return passed(format!("{all} {one}\u{7}{two}")),
        "failure" => {
            return Err(Failure {
                details: Some(format!("{{\"is\":\"{}\"}}", escaped(secret))),
                ..failure(FailureKind::Permanent, secret, &all)
            });
        }
        "output" => step_context::set_output("leaked", &all)?,
        "name of an output" => step_context::set_output(secret, "x")?,
        "kind of a report" => step_context::report(secret, &[])?,
        "base64 output" => step_context::set_output("leaked", &shapes[2])?,
        "annotation" => {
            let items = [secret.to_owned(), escaped(secret), shapes[1].clone()];
            let items = items.map(|text| format!("{{\"message\":\"{text}\"}}"));
            step_context::report("annotation", &items)?;
        }
        _ => return passed("there is no such place"),
    }
    passed("said")
}

/// A text in JSON's own escapes.
fn escaped(text: &str) -> String {
    text.encode_utf16()
        .fold(String::new(), |mut escaped, unit| {
            let _ = write!(escaped, "\\u{unit:04x}");
            escaped
        })
}

/// Writes what moves cursors and turns text around wherever a text can be written.
pub(crate) fn paint(place: &str) -> Result<Verdict, Failure> {
    let paint = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\rx";
    match place {
        "log" => log::emit(log::Level::Info, paint, &[(paint.into(), paint.into())]),
        "stderr" => eprintln!("{paint}"),
        "failure" => return Err(failure(FailureKind::Permanent, paint, paint)),
        "output" => step_context::set_output(paint, "x")?,
        "annotation" => {
            step_context::report("annotation", &[format!("{{\"message\":\"{paint}\"}}")])?
        }
        _ => return passed(paint),
    }
    passed("painted")
}

/// Fills logs in other ways than with short lines.
pub(crate) fn flood(how: &str) -> Result<Verdict, Failure> {
    let large = "x".repeat(64 * 1024);
    match how {
        "stdout" => {
            for line in 0..20_000 {
                println!("line {line}");
            }
        }
        "endless line" => {
            for _ in 0..512 {
                print!("{large}");
            }
        }
        "fields" => {
            for _ in 0..20 {
                let fields = vec![(large.clone(), large.clone()); 100];
                log::emit(log::Level::Info, &large, &fields);
            }
        }
        _ => {}
    }
    passed("flooded")
}

/// Begins requests or commands that are large and are never sent; says how the last of them ends, and a small one after all are gone.
pub(crate) fn draft(what: &str) -> Result<Verdict, Failure> {
    const MANY: usize = 100;
    const PARTS: usize = 4;
    let large = "x".repeat(512 * 1024);
    let request = |value: &str| {
        let request = http::Request::new("GET", "https://example.com");
        for _ in 0..PARTS {
            request.header("a", value);
        }
        request
    };
    let command = |value: &str| {
        let command = exec::Process::new(&["true".into()]);
        for _ in 0..PARTS {
            command.env("A", value);
        }
        command
    };
    let code = |ended: Result<(), Failure>| ended.err().map_or("ok".into(), |failure| failure.code);
    let codes = match what {
        "requests" => {
            let all: Vec<_> = (0..MANY).map(|_| request(&large)).collect();
            let last = all[MANY - 1].send().map(drop);
            drop(all);
            [code(last), code(request("x").send().map(drop))]
        }
        _ => {
            let all: Vec<_> = (0..MANY).map(|_| command(&large)).collect();
            let last = all[MANY - 1].start();
            drop(all);
            [code(last), code(command("x").start())]
        }
    };
    passed(codes.join(" "))
}

/// Begins requests as long as it may, waits until each is answered, and takes no answer; then takes all of them, and begins one more.
pub(crate) fn park(call: &Call) -> Result<Verdict, Failure> {
    let mut parked = Vec::new();
    let refused = loop {
        match http::Request::new("GET", &call.config).start() {
            Ok(exchange) => {
                while !exchange.ready() {}
                parked.push(exchange);
            }
            Err(failure) => break failure.code,
        }
        if parked.len() >= 100 {
            break "nothing".into();
        }
    };
    let count = parked.len();
    let mut said = format!("{count} {refused}");
    for exchange in parked {
        let answer = exchange.wait();
        let _ = write!(
            said,
            " {}",
            answer.map_or_else(
                |failure| failure.code,
                |answer| answer.body.len().to_string()
            )
        );
    }
    let more = http::Request::new("GET", &call.config).send()?;
    passed(format!("{said}, then {}", more.body.len()))
}

/// Makes requests by `http` and by `wasi:http` in turns until one is refused for their number; says how many there were.
pub(crate) fn count(call: &Call) -> Result<Verdict, Failure> {
    let (mut own, mut wasi) = (0, 0);
    loop {
        match http::Request::new("GET", &call.config).send() {
            Err(failure) if failure.code.starts_with("quota.") => {
                return passed(format!("{own} {wasi} {}", failure.message));
            }
            _ => own += 1,
        }
        let verdict = wasi_fetch("GET", call)?;
        if verdict.message.contains("ConnectionLimitReached") {
            return passed(format!("{own} {wasi} {}", verdict.message));
        }
        wasi += 1;
    }
}
