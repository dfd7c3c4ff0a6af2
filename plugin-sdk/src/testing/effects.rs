//! What the fake host does besides sending requests, each with the checks of the real one.

use super::world::{Mail, Ran, World};
use crate::{
    failure::{Failure, FailureKind, Result},
    host::{RawCommand, RawStdin},
};
use globset::{GlobBuilder, GlobSetBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a call may take, as hosts have it by default.
const WALL: u64 = 30_000;
/// How large a body or a read may be.
pub(super) const BODY: usize = 16 << 20;
/// How long the name of an output or of a kind of report may be.
const LONGEST_NAME: usize = 64;
pub(super) fn denied(code: &str, message: String) -> Failure {
    Failure::new(FailureKind::Denied, code, message)
}

impl World {
    /// Ends what would wait in a call that is being stopped.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.is_cancelled || self.slept >= WALL {
            return Err(Failure::new(
                FailureKind::Cancelled,
                "call.cancelled",
                "the call is being stopped",
            ));
        }
        Ok(())
    }

    pub(super) fn sleep(&mut self, time: Duration) -> Result<()> {
        self.go_on()?;
        self.slept += u64::try_from(time.as_millis()).unwrap_or(WALL).min(WALL);
        self.go_on()
    }

    pub(super) fn remaining(&self) -> Duration {
        Duration::from_millis(WALL.saturating_sub(self.slept))
    }

    fn path<'a>(&self, path: &'a str) -> Result<&'a str> {
        let below = ["/out/", "/cache/"]
            .iter()
            .find_map(|folder| path.strip_prefix(folder));
        let mut parts = below.unwrap_or(path).split('/');
        let is_inside = parts.all(|part| !matches!(part, "" | "." | ".."));
        if !is_inside || path.contains(['\0', '\\']) || path.len() > 4_096 {
            return Err(denied(
                "policy.fs",
                format!("`{path}` is no path inside the workspace, `/out` or `/cache`"),
            ));
        }
        Ok(path)
    }

    fn found(&self, path: &str) -> Result<&Vec<u8>> {
        let path = self.path(path)?;
        self.files
            .get(path)
            .ok_or_else(|| Failure::permanent("fs.not-found", format_args!("there is no `{path}`")))
    }

    pub(super) fn part(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let content = self.found(path)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let end = length.map_or(content.len(), |length| place(offset.saturating_add(length)));
        Ok(content[place(offset)..end].to_vec())
    }

    pub(super) fn read_file(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        if length as usize > BODY {
            return Err(Failure::permanent(
                "limit.body",
                "at most 16 MiB are read at once",
            ));
        }
        self.part(path, offset, Some(length.into()))
    }

    pub(super) fn write_file(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path(path)?.to_owned();
        if self.is_folder(&path) {
            return Err(Failure::permanent(
                "fs.wrong-kind",
                format_args!("`{path}` is a folder"),
            ));
        }
        let content = self.files.entry(path).or_default();
        match usize::try_from(offset) {
            Ok(0) => *content = bytes.to_vec(),
            Ok(at) if at <= content.len() => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            _ => {
                return Err(Failure::invalid(
                    "fs.offset",
                    "the offset is beyond the file's end",
                ));
            }
        }
        Ok(())
    }

    fn is_folder(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.files.keys().any(|file| file.starts_with(&inside))
    }

    /// `file` and its size, or `directory`.
    pub(super) fn stat(&self, path: &str) -> Result<(&'static str, u64)> {
        match self.found(path) {
            Ok(content) => Ok(("file", content.len() as u64)),
            Err(failure) if failure.code == "fs.not-found" && self.is_folder(path) => {
                Ok(("directory", 0))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            self.path(pattern)?;
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|error| Failure::invalid("fs.pattern", error))?);
        }
        let set = set
            .build()
            .map_err(|error| Failure::invalid("fs.pattern", error))?;
        let paths = self
            .files
            .keys()
            .filter(|path| after.is_none_or(|after| path.as_str() > after));
        let limit = limit.min(10_000) as usize;
        Ok(paths
            .filter(|path| set.is_match(path))
            .take(limit)
            .cloned()
            .collect())
    }

    /// The value of a key and its version; versions outlive values.
    pub(super) fn state_entry(&self, key: &str) -> Result<Option<(Vec<u8>, u64)>> {
        if key.is_empty() || key.len() > 256 {
            return Err(Failure::invalid("state.key", "a key has 1 to 256 bytes"));
        }
        Ok(self
            .state
            .get(key)
            .and_then(|(value, version)| Some((value.clone()?, *version))))
    }

    pub(super) fn put_state(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        expect: Option<u64>,
    ) -> Result<u64> {
        let version = self.state_entry(key)?.map_or(0, |(_, version)| version);
        if expect.is_some_and(|expect| expect != version) {
            return Err(Failure::transient(
                "state.conflict",
                format_args!("`{key}` has version {version}"),
            ));
        }
        if value.is_some_and(|value| value.len() > 64 << 10) {
            return Err(Failure::permanent(
                "quota.state",
                "a value has at most 64 KiB",
            ));
        }
        match (value, version) {
            (None, 0) => Ok(0),
            (value, _) => Ok(self.write_state(key, value.map(<[u8]>::to_vec))),
        }
    }

    /// Status and stdout of a command.
    pub(super) fn start(&mut self, raw: &RawCommand) -> Result<(i32, Vec<u8>)> {
        if raw.argv.iter().any(|text| text.contains('\0')) || raw.argv[0].is_empty() {
            return Err(Failure::invalid(
                "exec.command",
                format_args!("{:?} is no command", raw.argv),
            ));
        }
        if self.started.len() == 16 {
            return Err(Failure::permanent(
                "quota.exec",
                "a call may start 16 commands",
            ));
        }
        if let Some(cwd) = &raw.cwd {
            self.path(cwd)?;
        }
        let stdin = match &raw.stdin {
            RawStdin::Empty => Vec::new(),
            RawStdin::Bytes(bytes) => bytes.clone(),
            RawStdin::File(path) => self.found(path)?.clone(),
        };
        let (status, mut stdout) = self.commands.get(&raw.argv).cloned().ok_or_else(|| {
            denied(
                "policy.exec",
                format!("{:?} is not granted; see `Fake::command`", raw.argv),
            )
        })?;
        self.started.push(Ran {
            argv: raw.argv.clone(),
            env: raw.env.clone(),
            cwd: raw.cwd.clone(),
            stdin,
        });
        if let Some(path) = &raw.stdout_file {
            self.write_file(path, 0, &std::mem::take(&mut stdout))?;
        } else if !raw.quiet {
            self.stdout.extend_from_slice(&stdout);
        }
        Ok((status, stdout))
    }

    pub(super) fn set_output(&mut self, name: &str, value: &str) -> Result<()> {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && name.len() <= LONGEST_NAME;
        if !is_name {
            let message = "an output is called like a parameter: up to 64 letters, digits, `_` and `-`, beginning with a letter, a digit or `_`";
            return Err(Failure::invalid("step.output-name", message));
        }
        if value.len() > 4_096 || self.outputs.len() >= 64 && !self.outputs.contains_key(name) {
            return Err(Failure::permanent(
                "limit.outputs",
                "a step may set 64 outputs of 4 KiB",
            ));
        }
        self.outputs.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(super) fn report(&mut self, kind: &str, items: &[String]) -> Result<()> {
        let is_kind = kind.starts_with(|c: char| c.is_ascii_lowercase())
            && kind
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && kind.len() <= LONGEST_NAME;
        if !is_kind {
            let message = "a report's kind is made of small letters, digits and `-`";
            return Err(Failure::invalid("step.report-kind", message));
        }
        let reports = self.reports.entry(kind.to_owned()).or_default();
        let most = if kind == "annotation" { 200 } else { 10_000 };
        if reports.len() + items.len() > most {
            return Err(Failure::permanent(
                "limit.reports",
                format_args!("a step may report {most} items of the kind `{kind}`"),
            ));
        }
        for item in items {
            reports.push(serde_json::from_str(item)?);
        }
        Ok(())
    }

    pub(super) fn send_mail(&mut self, mail: Mail) -> Result<()> {
        if !self.accounts.contains(&mail.account) {
            return Err(denied(
                "policy.mail",
                format!("the account `{}` is not granted", mail.account),
            ));
        }
        let is_address =
            |address: &String| address.contains('@') && !address.contains(['\r', '\n', '<', '>']);
        if mail.to.is_empty() || !mail.to.iter().chain([&mail.from]).all(is_address) {
            return Err(Failure::invalid(
                "mail.address",
                "a mail needs proper addresses",
            ));
        }
        self.mails.push(mail);
        Ok(())
    }

    pub(super) fn build(&self, id: &str) -> Result<&Value> {
        self.builds
            .get(id)
            .ok_or_else(|| denied("policy.builds", format!("the test has no build `{id}`")))
    }

    pub(super) fn log_tail(&self, build: &str, step: Option<&str>, max: u32) -> Result<Vec<u8>> {
        let log = self.logs.get(&(build.to_owned(), step.map(str::to_owned)));
        let log = log
            .ok_or_else(|| denied("policy.builds", format!("the test has no log of `{build}`")))?;
        let begin = log.len().saturating_sub(max.min(256 << 10) as usize);
        Ok(log[begin..].to_vec())
    }

    pub(super) fn heads(&self, source: &str) -> Result<String> {
        let heads = self.heads.get(source);
        let heads = heads
            .ok_or_else(|| denied("policy.vcs", format!("the test has no heads of `{source}`")))?;
        Ok(json!({"heads": heads}).to_string())
    }

    /// From `until` to before `since`, in the order that the test gave.
    pub(super) fn changes(
        &self,
        source: &str,
        since: Option<&str>,
        until: &str,
        limit: u32,
    ) -> Result<String> {
        let changes = self.changes.get(source);
        let changes = changes.ok_or_else(|| {
            denied(
                "policy.vcs",
                format!("the test has no changes of `{source}`"),
            )
        })?;
        let is = |change: &&Value, revision: &str| change["revision"] == revision;
        let found: Vec<_> = changes
            .iter()
            .skip_while(|change| !is(change, until))
            .take_while(|change| since.is_none_or(|since| !is(change, since)))
            .take(limit.min(1_000) as usize)
            .collect();
        if found.is_empty() && since != Some(until) {
            return Err(Failure::permanent(
                "vcs.unknown",
                format_args!("there is no revision `{until}`"),
            ));
        }
        Ok(json!({"changes": found}).to_string())
    }
}
