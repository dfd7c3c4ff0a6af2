//! The real host, through the bindings.

use super::{
    RawBody, RawCall, RawCommand, RawExit, RawInfo, RawOutput, RawRequest, RawResponse, RawStdin,
    millis,
};
use crate::{
    bindings::imports::piper::{base, notify, step, trigger},
    failure::{Failure, FailureKind, Result},
    log::Level,
    time::Timestamp,
};
use base::types;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the host answers, in the SDK's words. No `From`: that one is for errors of others, which know no kind.
fn failure(raw: types::Failure) -> Failure {
    let kind = match raw.kind {
        types::FailureKind::Transient => FailureKind::Transient,
        types::FailureKind::Permanent => FailureKind::Permanent,
        types::FailureKind::Denied => FailureKind::Denied,
        types::FailureKind::Invalid => FailureKind::Invalid,
        types::FailureKind::Cancelled => FailureKind::Cancelled,
    };
    let details = raw
        .details
        .and_then(|json| serde_json::from_str(&json).ok());
    Failure {
        kind,
        code: raw.code,
        message: raw.message,
        retry_after: raw
            .retry_after_ms
            .map(|ms| Duration::from_millis(ms.into())),
        details: details.unwrap_or_default(),
    }
}

trait Answered<T> {
    fn answered(self) -> Result<T>;
}

impl<T> Answered<T> for Result<T, types::Failure> {
    fn answered(self) -> Result<T> {
        self.map_err(failure)
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Transient => types::FailureKind::Transient,
            FailureKind::Permanent => types::FailureKind::Permanent,
            FailureKind::Denied => types::FailureKind::Denied,
            FailureKind::Invalid => types::FailureKind::Invalid,
            FailureKind::Cancelled => types::FailureKind::Cancelled,
        };
        let details = (!failure.details.is_empty())
            .then(|| serde_json::Value::Object(failure.details).to_string());
        Self {
            kind,
            code: failure.code,
            message: failure.message,
            retry_after_ms: failure.retry_after.map(millis),
            details,
        }
    }
}

impl From<types::Call> for RawCall {
    fn from(call: types::Call) -> Self {
        Self {
            name: call.name,
            config: call.config,
            options: call.options,
            facts: call.facts,
        }
    }
}

impl From<Level> for base::log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "inside a component, this is the host's clock"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    Timestamp(since_epoch.map_or(0, |time| {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }))
}

pub(crate) fn log_emit(level: Level, message: &str, fields: &[(String, String)]) {
    base::log::emit(level.into(), message, fields);
}

pub(crate) fn log_enabled(level: Level) -> bool {
    base::log::enabled(level.into())
}

pub(crate) fn cancelled() -> bool {
    base::control::cancelled()
}

pub(crate) fn remaining() -> Duration {
    Duration::from_millis(base::control::remaining_ms().into())
}

pub(crate) fn sleep(time: Duration) -> Result<()> {
    base::control::sleep_ms(millis(time)).answered()
}

pub(crate) fn supports(feature: &str) -> bool {
    base::control::supports(feature)
}

fn request(raw: RawRequest) -> base::http::Request {
    let request = base::http::Request::new(&raw.method, &raw.url);
    for (name, value) in &raw.headers {
        request.header(name, value);
    }
    match raw.body {
        RawBody::Empty => {}
        RawBody::Text(text) => request.text(&text),
        RawBody::Bytes(bytes) => request.bytes(&bytes),
        RawBody::File {
            path,
            offset,
            length,
        } => request.file(&path, offset, length),
    }
    if raw.gzip {
        request.gzip();
    }
    if let Some(path) = &raw.save_to {
        request.save_to(path);
    }
    if let Some(timeout) = raw.timeout {
        request.timeout_ms(millis(timeout));
    }
    request
}

fn response(raw: base::http::Response) -> RawResponse {
    RawResponse {
        status: raw.status,
        headers: raw.headers,
        body: raw.body,
    }
}

pub(crate) fn http_send(raw: RawRequest) -> Result<RawResponse> {
    Ok(response(request(raw).send().answered()?))
}

pub(crate) struct HttpExchange(base::http::Exchange);

pub(crate) fn http_start(raw: RawRequest) -> Result<HttpExchange> {
    Ok(HttpExchange(request(raw).start().answered()?))
}

impl HttpExchange {
    pub(crate) fn is_ready(&self) -> bool {
        self.0.ready()
    }

    pub(crate) fn wait(&mut self) -> Result<RawResponse> {
        Ok(response(self.0.wait().answered()?))
    }
}

pub(crate) fn files_glob(
    patterns: &[String],
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>> {
    base::files::glob(patterns, after, limit).answered()
}

pub(crate) fn files_stat(path: &str) -> Result<RawInfo> {
    let info = base::files::stat(path).answered()?;
    Ok(RawInfo {
        kind: info.kind,
        size: info.size,
        modified: info.modified,
        mode: info.mode,
    })
}

pub(crate) fn files_read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
    base::files::read(path, offset, length).answered()
}

pub(crate) fn files_write(path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
    base::files::write(path, offset, bytes).answered()
}

pub(crate) fn files_digest(
    path: &str,
    offset: u64,
    length: Option<u64>,
    algorithm: &str,
) -> Result<Vec<u8>> {
    base::files::digest(path, offset, length, algorithm).answered()
}

pub(crate) fn secret_placeholder(name: &str) -> Result<String> {
    base::secrets::placeholder(name).answered()
}

pub(crate) fn secret_basic(user: &str, password: &str) -> Result<String> {
    base::secrets::basic(user, password).answered()
}

pub(crate) fn secret_adopt(value: &str, to: &str) -> Result<String> {
    base::secrets::adopt(value, to).answered()
}

pub(crate) fn secret_hmac(
    name: &str,
    algorithm: &str,
    key_prefix: &str,
    messages: &[Vec<u8>],
) -> Result<Vec<u8>> {
    base::secrets::hmac(name, algorithm, key_prefix, messages).answered()
}

pub(crate) fn secret_sign(name: &str, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
    base::secrets::sign(name, algorithm, message).answered()
}

pub(crate) fn secret_verify_hmac(
    name: &str,
    algorithm: &str,
    message: &[u8],
    tag: &[u8],
) -> Result<bool> {
    base::secrets::verify_hmac(name, algorithm, message, tag).answered()
}

pub(crate) fn secret_equals(name: &str, candidate: &[u8]) -> Result<bool> {
    base::secrets::equals(name, candidate).answered()
}

pub(crate) fn secret_reveal(name: &str) -> Result<String> {
    base::secrets::reveal(name).answered()
}

pub(crate) fn state_get(key: &str) -> Result<Option<(Vec<u8>, u64)>> {
    Ok(base::state::get(key)
        .answered()?
        .map(|entry| (entry.value, entry.version)))
}

pub(crate) fn state_put(
    key: &str,
    value: &[u8],
    expect: Option<u64>,
    ttl: Option<Duration>,
) -> Result<u64> {
    // The contract counts whole seconds; a part of one keeps the value a little longer, never shorter.
    let seconds = ttl.map(|ttl| u32::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u32::MAX));
    base::state::put(key, value, expect, seconds).answered()
}

pub(crate) fn state_delete(key: &str, expect: Option<u64>) -> Result<()> {
    base::state::delete(key, expect).answered()
}

pub(crate) fn state_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
    base::state::keys(prefix, after, limit).answered()
}

pub(crate) struct ExecProcess(base::exec::Process);

pub(crate) fn exec_start(raw: RawCommand) -> Result<ExecProcess> {
    let process = base::exec::Process::new(&raw.argv);
    for (name, value) in &raw.env {
        process.env(name, value);
    }
    if let Some(cwd) = &raw.cwd {
        process.cwd(cwd);
    }
    match &raw.stdin {
        RawStdin::Empty => {}
        RawStdin::Bytes(bytes) => process.stdin(bytes),
        RawStdin::File(path) => process.stdin_file(path),
    }
    if let Some(path) = &raw.stdout_file {
        process.stdout_file(path);
    }
    if let Some(timeout) = raw.timeout {
        process.timeout_ms(millis(timeout));
    }
    if raw.quiet {
        process.quiet();
    }
    process.start().answered()?;
    Ok(ExecProcess(process))
}

impl ExecProcess {
    pub(crate) fn stdout(&mut self, max: u32) -> Result<RawOutput> {
        Ok(output(self.0.stdout(max).answered()?))
    }

    pub(crate) fn stderr(&mut self, max: u32) -> Result<RawOutput> {
        Ok(output(self.0.stderr(max).answered()?))
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill().answered()
    }

    pub(crate) fn wait(&mut self) -> Result<RawExit> {
        let exit = self.0.wait().answered()?;
        let duration = Duration::from_millis(exit.duration_ms.into());
        Ok(RawExit {
            status: exit.status,
            reason: exit.reason,
            duration,
        })
    }
}

fn output(raw: base::exec::Output) -> RawOutput {
    RawOutput {
        bytes: raw.bytes,
        closed: raw.closed,
        dropped: raw.dropped,
    }
}

pub(crate) fn step_print(is_stderr: bool, bytes: &[u8]) {
    step::step_context::print(is_stderr, bytes);
}

pub(crate) fn step_set_output(name: &str, value: &str) -> Result<()> {
    step::step_context::set_output(name, value).answered()
}

pub(crate) fn step_report(kind: &str, items: &[String]) -> Result<()> {
    step::step_context::report(kind, items).answered()
}

pub(crate) fn mail_send(account: &str, from: &str, to: &[String], message: &[u8]) -> Result<()> {
    notify::mail::send(account, from, to, message).answered()
}

pub(crate) fn builds_get(build: &str) -> Result<String> {
    notify::builds::get(build).answered()
}

pub(crate) fn builds_log_tail(build: &str, step: Option<&str>, max_bytes: u32) -> Result<Vec<u8>> {
    notify::builds::log_tail(build, step, max_bytes).answered()
}

pub(crate) fn vcs_heads(source: &str) -> Result<String> {
    trigger::vcs::heads(source).answered()
}

pub(crate) fn vcs_changes(
    source: &str,
    since: Option<&str>,
    until: &str,
    limit: u32,
) -> Result<String> {
    trigger::vcs::changes(source, since, until, limit).answered()
}
