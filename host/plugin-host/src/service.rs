//! The effects behind the imports of the contract: one trait each, in plain data.
//!
//! An effect that was not granted is absent, and calling it is refused. Implementations check the grant's details (which host, which
//! path, which name) and their own limits; that a call is being stopped they need not know, because whoever waits for them stops waiting.

pub use crate::imports::held::Room;

use crate::failure::Failure;
use piper_core::log::mask::Masker;
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The answer of an effect, sooner or later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What a plugin was granted.
#[derive(Clone, Default)]
pub struct Services {
    /// HTTP, both through `http` and through `wasi:http`.
    pub http: Option<Arc<dyn Http>>,
    /// Files.
    pub files: Option<Arc<dyn Files>>,
    /// Secrets.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// Small durable storage.
    pub state: Option<Arc<dyn StateStore>>,
    /// Native commands.
    pub exec: Option<Arc<dyn Exec>>,
    /// The step that is being run; for runners only.
    pub step: Option<Arc<dyn StepContext>>,
    /// Mail.
    pub mail: Option<Arc<dyn Mail>>,
    /// Looking at builds.
    pub builds: Option<Arc<dyn Builds>>,
    /// The host's mirrors of repositories.
    pub vcs: Option<Arc<dyn Vcs>>,
}

/// The body of an HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HttpBody {
    /// None.
    #[default]
    Empty,
    /// In memory.
    Bytes(Vec<u8>),
    /// A part of a file of the plugin's.
    File {
        /// Its path, as in `files`.
        path: String,
        /// Where the part begins.
        offset: u64,
        /// How long it is; to the end without.
        length: Option<u64>,
    },
}

/// An HTTP request as a plugin put it together; nothing in it has been checked.
#[derive(Debug, Clone, Default)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: HttpBody,
    /// Compress the body.
    pub gzip: bool,
    /// Where a good response goes, a path as in `files`.
    pub save_to: Option<String>,
    /// An end to the whole exchange.
    pub timeout: Option<Duration>,
    /// What of the answer may be held while it comes.
    pub room: Room,
}

/// An HTTP response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty if it went to a file.
    pub body: Vec<u8>,
}

/// The egress gate.
pub trait Http: Send + Sync {
    /// Checks a request, sends it and reads the whole answer. Dropping the future abandons it.
    fn exchange(&self, request: HttpRequest) -> Answer<'static, HttpResponse>;

    /// The same gate for `wasi:http`, where bodies are streams.
    fn gate(&self) -> Arc<dyn Gate>;
}

/// A body that is a stream.
pub type StreamBody = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, Failure>;

/// How long the parts of an exchange may take, as the guest asks; the grant's own limits hold too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection.
    pub connect: Option<Duration>,
    /// Until the answer begins.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer's body.
    pub between_bytes: Option<Duration>,
}

/// The egress gate for streams.
pub trait Gate: Send + Sync {
    /// Checks a request, sends it, and answers as soon as the response's head is there.
    fn send(
        &self,
        request: http::Request<StreamBody>,
        patience: Patience,
    ) -> Answer<'static, http::Response<StreamBody>>;
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// `file`, `directory`, `link` or `other`.
    pub kind: &'static str,
    /// In bytes.
    pub size: u64,
    /// When its content last changed, in microseconds since the epoch.
    pub modified: u64,
    /// The permission bits.
    pub mode: u32,
}

/// Files; see `piper:base/files` for what each function must do.
pub trait Files: Send + Sync {
    /// Paths that match.
    fn glob(
        &self,
        patterns: Vec<String>,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<String>>;
    /// What is at a path.
    fn stat(&self, path: String) -> Answer<'_, FileInfo>;
    /// A part of a file.
    fn read(&self, path: String, offset: u64, length: u32) -> Answer<'_, Vec<u8>>;
    /// Writes a part of a file.
    fn write(&self, path: String, offset: u64, bytes: Vec<u8>) -> Answer<'_, ()>;
    /// The digest of a part of a file.
    fn digest(
        &self,
        path: String,
        offset: u64,
        length: Option<u64>,
        algorithm: String,
    ) -> Answer<'_, Vec<u8>>;
}

/// Secrets; see `piper:base/secrets`. Placeholders are of one instance, so each instance gets its own value of this.
pub trait Secrets: Send + Sync {
    /// Text that stands for a secret.
    fn placeholder(&self, name: String) -> Answer<'_, String>;
    /// Text that stands for a basic authorization.
    fn basic(&self, user: String, password: String) -> Answer<'_, String>;
    /// Text that stands for a token that the plugin received.
    fn adopt(&self, value: String, to: String) -> Answer<'_, String>;
    /// A chain of HMACs; `messages` is not empty.
    fn hmac(
        &self,
        name: String,
        algorithm: String,
        key_prefix: String,
        messages: Vec<Vec<u8>>,
    ) -> Answer<'_, Vec<u8>>;
    /// A signature.
    fn sign(&self, name: String, algorithm: String, message: Vec<u8>) -> Answer<'_, Vec<u8>>;
    /// Whether a tag is right.
    fn verify_hmac(
        &self,
        name: String,
        algorithm: String,
        message: Vec<u8>,
        tag: Vec<u8>,
    ) -> Answer<'_, bool>;
    /// Whether a candidate is the secret.
    fn equals(&self, name: String, candidate: Vec<u8>) -> Answer<'_, bool>;
    /// The value itself.
    fn reveal(&self, name: String) -> Answer<'_, String>;
    /// What hides the values, those that were adopted so far too, in whatever the plugin says.
    fn masker(&self) -> Arc<Masker>;
}

/// A value in the state and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// What was put.
    pub value: Vec<u8>,
    /// Grows with every write.
    pub version: u64,
}

/// Small durable storage; see `piper:base/state`.
pub trait StateStore: Send + Sync {
    /// The value of a key.
    fn get(&self, key: String) -> Answer<'_, Option<StateEntry>>;
    /// Writes a value, returns its version.
    fn put(
        &self,
        key: String,
        value: Vec<u8>,
        expect: Option<u64>,
        ttl: Option<Duration>,
    ) -> Answer<'_, u64>;
    /// Removes a key.
    fn delete(&self, key: String, expect: Option<u64>) -> Answer<'_, ()>;
    /// A page of keys.
    fn keys(&self, prefix: String, after: Option<String>, limit: u32) -> Answer<'_, Vec<String>>;
}

/// A native command as a plugin put it together; nothing in it has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables, in order.
    pub env: Vec<(String, String)>,
    /// The working folder, a path as in `files`.
    pub cwd: Option<String>,
    /// What it reads.
    pub stdin: CommandInput,
    /// Where its stdout goes instead of into memory, a path as in `files`.
    pub stdout_file: Option<String>,
    /// When it is ended.
    pub timeout: Option<Duration>,
    /// Its output does not go into the step's log.
    pub quiet: bool,
}

/// What a command reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommandInput {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes.
    Bytes(Vec<u8>),
    /// A file, a path as in `files`.
    File(String),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandExit {
    /// Its status, if it ended by itself.
    pub status: Option<i32>,
    /// `exited`, `signalled`, `timeout` or `killed`.
    pub reason: &'static str,
    /// How long it took.
    pub duration: Duration,
}

/// What a process wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// The oldest bytes not yet read.
    pub bytes: Vec<u8>,
    /// Nothing follows.
    pub closed: bool,
    /// How many bytes before these are lost.
    pub dropped: u64,
}

/// Native commands.
pub trait Exec: Send + Sync {
    /// Checks a command and starts it.
    fn start(&self, command: Command) -> Answer<'_, Arc<dyn Process>>;
    /// Asks all that was started to end. What does not within its grace period, or until then if that is sooner, is killed.
    fn end(&self, until: Option<Instant>);
    /// Waits for the end of all that was asked to.
    fn ended(&self) -> Answer<'_, ()>;
}

/// A process; dropping it ends it and all that it started, as [`kill`](Process::kill) does.
pub trait Process: Send + Sync {
    /// What it wrote to stdout.
    fn stdout(&self, max: u32) -> Answer<'_, CommandOutput>;
    /// What it wrote to stderr.
    fn stderr(&self, max: u32) -> Answer<'_, CommandOutput>;
    /// Asks it to end, kills it if it does not within its grace period, and waits for that.
    fn kill(&self) -> Answer<'_, ()>;
    /// Waits for its end.
    fn wait(&self) -> Answer<'_, CommandExit>;
}

/// The step that is being run. Counts and sizes are checked before it is asked.
pub trait StepContext: Send + Sync {
    /// Writes to the step's log; must not block for long.
    fn print(&self, is_stderr: bool, bytes: Vec<u8>);
    /// Sets an output.
    fn set_output(&self, name: String, value: String) -> Result<(), Failure>;
    /// Adds items, each a JSON object, to the step's report.
    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure>;
}

/// Mail; see `piper:notify/mail`.
pub trait Mail: Send + Sync {
    /// Sends one message.
    fn send(
        &self,
        account: String,
        from: String,
        to: Vec<String>,
        message: Vec<u8>,
    ) -> Answer<'_, ()>;
}

/// Looking at builds; see `piper:notify/builds`.
pub trait Builds: Send + Sync {
    /// A build, as JSON.
    fn get(&self, build: String) -> Answer<'_, String>;
    /// The end of a log.
    fn log_tail(&self, build: String, step: Option<String>, max_bytes: u32) -> Answer<'_, Vec<u8>>;
}

/// The host's mirrors of repositories; see `piper:trigger/vcs`.
pub trait Vcs: Send + Sync {
    /// The heads, as JSON.
    fn heads(&self, source: String) -> Answer<'_, String>;
    /// The changes, as JSON.
    fn changes(
        &self,
        source: String,
        since: Option<String>,
        until: String,
        limit: u32,
    ) -> Answer<'_, String>;
}
