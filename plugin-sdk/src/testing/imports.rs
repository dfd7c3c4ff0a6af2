//! The functions of [`crate::host`], answered by the fake of this thread.

use super::{
    WORLD, digest, is_kept, with,
    world::{Line, Mail},
};
use crate::{
    failure::{Failure, Result},
    host::{RawCommand, RawExit, RawInfo, RawOutput, RawRequest, RawResponse},
    log::Level,
    time::Timestamp,
};
use std::time::Duration;

/// How many requests may be under way.
const AT_ONCE: usize = 8;

pub(crate) fn now() -> Timestamp {
    with(|world| world.now)
}

pub(crate) fn log_emit(level: Level, message: &str, fields: &[(String, String)]) {
    let line = Line {
        level,
        message: message.to_owned(),
        fields: fields.to_vec(),
    };
    with(|world| world.lines.push(line));
}

/// Code that only logs needs no host.
pub(crate) fn log_enabled(level: Level) -> bool {
    is_kept(level) && WORLD.with_borrow(Option::is_some)
}

pub(crate) fn cancelled() -> bool {
    with(|world| world.go_on().is_err())
}

pub(crate) fn remaining() -> Duration {
    with(|world| world.remaining())
}

pub(crate) fn sleep(time: Duration) -> Result<()> {
    with(|world| world.sleep(time))
}

pub(crate) fn supports(feature: &str) -> bool {
    // All that this SDK has, which is all that a plugin can call with it.
    feature.starts_with("piper:")
}

pub(crate) fn http_send(raw: RawRequest) -> Result<RawResponse> {
    with(|world| {
        world.go_on()?;
        world.exchange(raw)
    })
}

/// A request whose answer is there at once, and counts as under way until somebody has it.
pub(crate) struct HttpExchange(Option<Result<RawResponse>>);

pub(crate) fn http_start(raw: RawRequest) -> Result<HttpExchange> {
    with(|world| {
        if world.under_way == AT_ONCE {
            let message = "8 requests are under way; wait for one";
            return Err(Failure::transient("quota.http-concurrency", message));
        }
        let answer = world.exchange(raw);
        world.under_way += 1;
        Ok(HttpExchange(Some(answer)))
    })
}

impl HttpExchange {
    pub(crate) fn is_ready(&self) -> bool {
        true
    }

    pub(crate) fn wait(&mut self) -> Result<RawResponse> {
        with(|world| world.go_on())?;
        let answer = self.0.take().expect("an exchange is consumed by waiting");
        with(|world| world.under_way -= 1);
        answer
    }
}

impl Drop for HttpExchange {
    fn drop(&mut self) {
        // The fake may be gone before what it answered.
        let world = WORLD.with_borrow(Option::clone);
        if let (Some(_), Some(world)) = (&self.0, world) {
            world.borrow_mut().under_way -= 1;
        }
    }
}

pub(crate) fn files_glob(
    patterns: &[String],
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>> {
    with(|world| world.glob(patterns, after, limit))
}

pub(crate) fn files_stat(path: &str) -> Result<RawInfo> {
    let (kind, size) = with(|world| world.stat(path))?;
    let mode = if kind == "file" { 0o644 } else { 0o755 };
    Ok(RawInfo {
        kind: kind.to_owned(),
        size,
        modified: 0,
        mode,
    })
}

pub(crate) fn files_read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
    with(|world| world.read_file(path, offset, length))
}

pub(crate) fn files_write(path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
    with(|world| world.write_file(path, offset, bytes))
}

pub(crate) fn files_digest(
    path: &str,
    offset: u64,
    length: Option<u64>,
    algorithm: &str,
) -> Result<Vec<u8>> {
    digest::digest(algorithm, &with(|world| world.part(path, offset, length))?)
}

pub(crate) fn secret_placeholder(name: &str) -> Result<String> {
    with(|world| world.placeholder(name))
}

pub(crate) fn secret_basic(user: &str, password: &str) -> Result<String> {
    with(|world| world.basic(user, password))
}

pub(crate) fn secret_adopt(value: &str, to: &str) -> Result<String> {
    with(|world| world.adopt(value, to))
}

pub(crate) fn secret_hmac(
    name: &str,
    algorithm: &str,
    key_prefix: &str,
    messages: &[Vec<u8>],
) -> Result<Vec<u8>> {
    with(|world| world.hmac(name, algorithm, key_prefix, messages))
}

pub(crate) fn secret_sign(name: &str, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
    with(|world| world.sign(name, algorithm, message))
}

pub(crate) fn secret_verify_hmac(
    name: &str,
    algorithm: &str,
    message: &[u8],
    tag: &[u8],
) -> Result<bool> {
    with(|world| world.verify_hmac(name, algorithm, message, tag))
}

pub(crate) fn secret_equals(name: &str, candidate: &[u8]) -> Result<bool> {
    with(|world| world.equals(name, candidate))
}

pub(crate) fn secret_reveal(name: &str) -> Result<String> {
    with(|world| world.reveal(name))
}

pub(crate) fn state_get(key: &str) -> Result<Option<(Vec<u8>, u64)>> {
    with(|world| world.state_entry(key))
}

pub(crate) fn state_put(
    key: &str,
    value: &[u8],
    expect: Option<u64>,
    _ttl: Option<Duration>,
) -> Result<u64> {
    with(|world| world.put_state(key, Some(value), expect))
}

pub(crate) fn state_delete(key: &str, expect: Option<u64>) -> Result<()> {
    with(|world| world.put_state(key, None, expect).map(drop))
}

pub(crate) fn state_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
    with(|world| {
        let there = world
            .state
            .iter()
            .filter(|(_, (value, _))| value.is_some())
            .map(|(key, _)| key);
        let wanted = there.filter(|key| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        Ok(wanted.take(limit as usize).cloned().collect())
    })
}

/// A command that has ended as the test says.
pub(crate) struct ExecProcess {
    status: i32,
    stdout: Vec<u8>,
}

pub(crate) fn exec_start(raw: RawCommand) -> Result<ExecProcess> {
    let (status, stdout) = with(|world| {
        world.go_on()?;
        world.start(&raw)
    })?;
    Ok(ExecProcess { status, stdout })
}

impl ExecProcess {
    pub(crate) fn stdout(&mut self, max: u32) -> Result<RawOutput> {
        let count = self.stdout.len().min(max as usize);
        let bytes = self.stdout.drain(..count).collect();
        Ok(RawOutput {
            bytes,
            closed: self.stdout.is_empty(),
            dropped: 0,
        })
    }

    pub(crate) fn stderr(&mut self, _max: u32) -> Result<RawOutput> {
        Ok(RawOutput {
            bytes: Vec::new(),
            closed: true,
            dropped: 0,
        })
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn wait(&mut self) -> Result<RawExit> {
        with(|world| world.go_on())?;
        Ok(RawExit {
            status: Some(self.status),
            reason: "exited".into(),
            duration: Duration::ZERO,
        })
    }
}

pub(crate) fn step_print(is_stderr: bool, bytes: &[u8]) {
    with(|world| match is_stderr {
        false => world.stdout.extend_from_slice(bytes),
        true => world.stderr.extend_from_slice(bytes),
    });
}

pub(crate) fn step_set_output(name: &str, value: &str) -> Result<()> {
    with(|world| world.set_output(name, value))
}

pub(crate) fn step_report(kind: &str, items: &[String]) -> Result<()> {
    with(|world| world.report(kind, items))
}

pub(crate) fn mail_send(account: &str, from: &str, to: &[String], message: &[u8]) -> Result<()> {
    let mail = Mail {
        account: account.to_owned(),
        from: from.to_owned(),
        to: to.to_vec(),
        message: message.to_vec(),
    };
    with(|world| world.send_mail(mail))
}

pub(crate) fn builds_get(build: &str) -> Result<String> {
    with(|world| world.build(build).map(ToString::to_string))
}

pub(crate) fn builds_log_tail(build: &str, step: Option<&str>, max_bytes: u32) -> Result<Vec<u8>> {
    with(|world| world.log_tail(build, step, max_bytes))
}

pub(crate) fn vcs_heads(source: &str) -> Result<String> {
    with(|world| world.heads(source))
}

pub(crate) fn vcs_changes(
    source: &str,
    since: Option<&str>,
    until: &str,
    limit: u32,
) -> Result<String> {
    with(|world| world.changes(source, since, until, limit))
}
