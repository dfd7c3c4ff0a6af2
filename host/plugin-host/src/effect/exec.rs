//! Native commands of a plugin: the granted ones, without a shell, and ended with all that they started.
//!
//! Whether a command may be started is for its grant to say; what it then does is its own affair, because it runs outside of the
//! sandbox. Its environment is the step's, but for `PATH`, which is the operator's: neither a plugin nor a repository says what a
//! granted name is. What a plugin may add to it is narrow (see [`exec::may_set`]).

mod family;

pub(crate) use self::family::Attending;

use self::family::{Attended, Family, Orders};
use super::{blocking, files::Folders, secrets::Held};
use crate::{
    failure::{Failure, FailureKind},
    mask::MaskedStream,
    policy::{
        command,
        exec::{self, EXEC, MARK},
        fault::shown,
        grant::Effective,
    },
    service::{
        Answer, Command, CommandExit, CommandInput, CommandOutput, Exec, Process, Secrets,
        StepContext,
    },
};
use piper_core::id::PluginName;
use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs, io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Child,
    sync::{Notify, watch},
    time::Instant,
};
use wasmtime_wasi::runtime::spawn;

/// How much of each stream that a command writes is kept until somebody reads it.
pub(crate) const KEPT: usize = 1 << 20;

/// The most that it is given to read, unless that comes from a file.
const INPUT: usize = 1 << 20;

/// How long a command has to end by itself, unless its step says so.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Whoever else of this process reaps children: it must leave alone those that are commands.
pub trait Children: Send + Sync {
    /// Calls `start`, which returns the number of a child that it started. From then on nobody else reaps that one.
    fn start(&self, start: &mut dyn FnMut() -> Option<u32>);

    /// Nobody waits for this child any more.
    fn let_go(&self, pid: u32);
}

/// A child that is waited for here.
#[derive(Default)]
struct Awaited(Option<(Arc<dyn Children>, u32)>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some((children, pid)) = self.0.take() {
            children.let_go(pid);
        }
    }
}

/// The commands of one instance.
pub(crate) struct Commands {
    pub(crate) plugin: PluginName,
    pub(crate) effective: Arc<Effective>,
    pub(crate) files: Option<Folders>,
    pub(crate) workspace: Option<PathBuf>,
    /// The folders of which a repository says what is in them.
    pub(crate) repository: Vec<PathBuf>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where programs are found: the operator's `PATH`.
    pub(crate) path: OsString,
    pub(crate) step: Option<Arc<dyn StepContext>>,
    pub(crate) secrets: Arc<Held>,
    pub(crate) children: Option<Arc<dyn Children>>,
    /// From being asked to end to being killed.
    pub(crate) grace: Duration,
    pub(crate) attending: Attending,
}

impl Commands {
    async fn begin(&self, command: Command) -> Result<Arc<dyn Process>, Failure> {
        let program = self.allowed(&command)?;
        let mark = format!("{:032x}", super::secrets::random()?);
        let prepared = self.prepare(&command, &program, &mark).await?;
        let Prepared {
            mut child,
            awaited,
            input,
            temporary,
        } = prepared;
        let group = child.id().and_then(|id| libc::pid_t::try_from(id).ok());
        let group = group.expect("a process that was just started has an id");
        let mut pipes = Vec::new();
        if let (Some(mut stdin), CommandInput::Bytes(bytes)) = (child.stdin.take(), input) {
            pipes.push(spawn(async move {
                // A command that does not read its input need not.
                let _ = stdin.write_all(&bytes).await;
            }));
        }
        let stdout = Arc::new(Stream::default());
        let stderr = Arc::new(Stream::default());
        let printer = |is_stderr| {
            let step = self.step.clone().filter(|_| !command.quiet)?;
            Some(Printer {
                step,
                is_stderr,
                secrets: Arc::clone(&self.secrets),
                masked: MaskedStream::default(),
            })
        };
        match child.stdout.take() {
            Some(pipe) => pipes.push(spawn(drain(pipe, Arc::clone(&stdout), printer(false)))),
            None => stdout.close(),
        }
        if let Some(pipe) = child.stderr.take() {
            pipes.push(spawn(drain(pipe, Arc::clone(&stderr), printer(true))));
        }
        let (ended, exit) = watch::channel(None);
        let (killed, kill) = watch::channel(false);
        let attended = Attended {
            child,
            awaited,
            family: Family::new(group, mark),
            files: self.files.clone(),
            _pipes: pipes,
            _temporary: temporary,
            is_over: false,
        };
        let orders = Orders {
            timeout: command.timeout,
            grace: self.grace,
            kill,
        };
        self.attending.add(attended, orders, ended).await;
        Ok(Arc::new(Running {
            stdout,
            stderr,
            exit,
            killed,
        }))
    }

    /// The program, if the command is granted.
    fn allowed(&self, command: &Command) -> Result<Program, Failure> {
        let argv = &command.argv;
        if argv.iter().any(|word| word.contains('\0')) {
            return Err(Failure::invalid(
                "exec.command",
                "a word of the command holds a NUL byte",
            ));
        }
        let find = |program: &str| self.find(program);
        let granted = self.effective.granted_program(argv, find);
        let granted = granted.and_then(|name| {
            Some(Program {
                file: find(name)?,
                name: name.to_owned(),
            })
        });
        granted.ok_or_else(|| {
            let by_words = |program: &str| Some(PathBuf::from(program));
            if let Some(name) = self.effective.granted_program(argv, by_words) {
                let message = format!(
                    "there is no program {} in piper's own `PATH`: install it, or set `PATH` for piper itself",
                    shown(name)
                );
                return Failure::new(FailureKind::Permanent, "exec.not-found", message);
            }
            let words: Vec<String> = argv.iter().map(|word| command::quote(word)).collect();
            let words = words.join(" ");
            let message = format!(
                "plugin `{}` may not start {}; to allow it: {}",
                self.plugin.as_str(),
                shown(&words),
                command::grant(self.plugin.as_str(), "--exec", &words)
            );
            Failure::denied(EXEC, message)
        })
    }

    /// The file of a program, links followed. What a repository has is no program, nor is what a link of a repository leads to: it
    /// could bring along what it likes to be called `git`.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let is_program = |path: &Path| {
            let metadata = fs::metadata(path);
            metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let roots = self.repository.iter();
        let roots: Vec<PathBuf> = roots
            .map(|root| fs::canonicalize(root).unwrap_or_else(|_| root.clone()))
            .collect();
        let is_inside = |path: &Path| roots.iter().any(|root| path.starts_with(root));
        let real = |path: PathBuf| {
            let file = fs::canonicalize(&path)
                .ok()
                .filter(|file| is_program(file))?;
            // Each folder on the way, because a link below the root leads out of it again.
            let mut way = path
                .ancestors()
                .filter_map(|part| fs::canonicalize(part).ok());
            (!way.any(|part| is_inside(&part))).then_some(file)
        };
        if program.contains('/') {
            return Path::new(program)
                .is_absolute()
                .then(|| real(program.into()))?;
        }
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .find_map(|folder| real(folder.join(program)))
    }

    async fn prepare(
        &self,
        command: &Command,
        program: &Program,
        mark: &str,
    ) -> Result<Prepared, Failure> {
        let variables = variables(&command.env)?;
        let mut prepared = tokio::process::Command::new(&program.file);
        prepared
            // Not the plugin's own word: a program may take its name for what it is to do.
            .arg0(&program.name)
            .args(&command.argv[1..])
            .env_clear()
            .envs(self.environment.iter().cloned())
            .envs(variables)
            .env("PATH", &self.path)
            .env(MARK, mark)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: what runs between `fork` and `exec` makes system calls only, and allocates and locks nothing.
        unsafe {
            prepared.pre_exec(lead_a_session);
            prepared.pre_exec(hear_all_signals);
        }
        let files = self.files.clone();
        let (cwd, stdout_file) = (command.cwd.clone(), command.stdout_file.clone());
        let input = command.stdin.clone();
        let workspace = self.workspace.clone();
        let children = self.children.clone();
        match &input {
            CommandInput::Bytes(bytes) if bytes.len() > INPUT => {
                let message = "a command reads at most 1 MiB of bytes; a file may be of any size";
                return Err(Failure::invalid("limit.body", message));
            }
            CommandInput::Bytes(_) => drop(prepared.stdin(Stdio::piped())),
            CommandInput::Empty | CommandInput::File(_) => {}
        }
        let shown_program = shown(&command.argv[0]);
        blocking(move || {
            let granted = || files.as_ref().ok_or_else(no_files);
            let failed = |error: io::Error| {
                let message = format!("{shown_program} could not be started: {error}");
                Failure::new(FailureKind::Permanent, "exec.failed", message)
            };
            if let CommandInput::File(path) = &input {
                prepared.stdin(granted()?.open_file(path)?);
            }
            if let Some(path) = &stdout_file {
                prepared.stdout(granted()?.create(path)?);
            }
            // The folder is named by its descriptor, which is the folder that was looked at, whatever its path leads to by now.
            let folder = cwd.map(|path| granted()?.open_folder(&path)).transpose()?;
            let mut temporary = None;
            match (&folder, workspace) {
                (Some(folder), _) => {
                    prepared.current_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
                }
                (None, Some(workspace)) => drop(prepared.current_dir(workspace)),
                (None, None) => {
                    let empty = tempfile::tempdir().map_err(failed)?;
                    prepared.current_dir(empty.path());
                    temporary = Some(empty);
                }
            }
            let mut spawned = None;
            let mut start = || {
                let child = spawned.insert(prepared.spawn());
                child.as_ref().ok().and_then(Child::id)
            };
            match &children {
                Some(children) => children.start(&mut start),
                None => drop(start()),
            }
            let child = spawned.expect("it was called").map_err(failed)?;
            Ok(Prepared {
                awaited: Awaited(children.zip(child.id())),
                child,
                input,
                temporary,
            })
        })
        .await
    }
}

impl Exec for Commands {
    fn start(&self, command: Command) -> Answer<'_, Arc<dyn Process>> {
        Box::pin(self.begin(command))
    }

    fn end(&self, until: Option<Instant>) {
        self.attending.end(until);
    }

    fn ended(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.attending.ended().await;
            Ok(())
        })
    }
}

struct Prepared {
    child: Child,
    awaited: Awaited,
    input: CommandInput,
    temporary: Option<tempfile::TempDir>,
}

/// Every child of piper is in a session of its own: it has no terminal that it could read or write, and its group has its number.
fn lead_a_session() -> io::Result<()> {
    // SAFETY: the call takes nothing. It fails only for who leads a group, which a new child does not.
    match unsafe { libc::setsid() } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Every signal is as at login, as for a step. A child inherits what piper's threads block, to read it from a descriptor, and what
/// piper ignores: nothing that asks the command to end would reach it.
fn hear_all_signals() -> io::Result<()> {
    // SAFETY: both structures are valid as zeroes, and live until the calls return.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=libc::SIGRTMAX() {
            // Also those that have a handler, which would run once nothing is blocked. It fails for those that nobody may change,
            // which are as they should be.
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        match libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

fn no_files() -> Failure {
    let message = "this plugin was not granted files, so no command of its own begins in one of its folders or reads one of its files";
    Failure::denied(crate::policy::files::FILES, message)
}

/// A program that may be started.
struct Program {
    file: PathBuf,
    /// As its rule writes it.
    name: String,
}

/// The plugin's own variables, if each is its to set.
fn variables(
    given: &[(String, String)],
) -> Result<impl Iterator<Item = (&OsStr, &OsStr)>, Failure> {
    for (name, value) in given {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!("{} is not a variable", shown(name));
            return Err(Failure::invalid("exec.command", message));
        }
        if !exec::may_set(name) {
            let message = format!(
                "no plugin sets the variable {} of a command: it may make another program of it; what must be set belongs into the step's `env`",
                shown(name)
            );
            return Err(Failure::denied(EXEC, message));
        }
    }
    Ok(given
        .iter()
        .map(|(name, value)| (OsStr::new(name), OsStr::new(value))))
}

/// What a command wrote and nobody read yet.
#[derive(Default)]
struct Stream {
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: u64,
    is_closed: bool,
}

impl Stream {
    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn close(&self) {
        self.change(|kept| kept.is_closed = true);
    }

    fn add(&self, bytes: &[u8]) {
        self.change(|kept| {
            let too_many = (kept.bytes.len() + bytes.len()).saturating_sub(KEPT);
            let old = too_many.min(kept.bytes.len());
            kept.bytes.drain(..old);
            kept.bytes.extend(&bytes[too_many - old..]);
            kept.dropped += too_many as u64;
        });
    }

    /// Waits until there is something or nothing can follow.
    async fn take(&self, max: u32) -> CommandOutput {
        loop {
            let changed = self.changed.notified();
            {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                if !kept.bytes.is_empty() || kept.is_closed || max == 0 {
                    let count = kept.bytes.len().min(max as usize);
                    let bytes: Vec<u8> = kept.bytes.drain(..count).collect();
                    // The count goes with the bytes before which something is missing: who asks for none is told of none.
                    let dropped = if bytes.is_empty() {
                        0
                    } else {
                        std::mem::take(&mut kept.dropped)
                    };
                    return CommandOutput {
                        bytes,
                        closed: kept.is_closed && kept.bytes.is_empty(),
                        dropped,
                    };
                }
            }
            changed.await;
        }
    }
}

/// Puts what a command writes into the step's log.
struct Printer {
    step: Arc<dyn StepContext>,
    is_stderr: bool,
    secrets: Arc<Held>,
    masked: MaskedStream,
}

impl Printer {
    fn print(&mut self, bytes: &[u8]) {
        let shown = self.masked.push(&self.secrets.masker(), bytes);
        if !shown.is_empty() {
            self.step.print(self.is_stderr, shown);
        }
    }

    fn finish(mut self) {
        let shown = self.masked.finish();
        if !shown.is_empty() {
            self.step.print(self.is_stderr, shown);
        }
    }
}

async fn drain(
    mut pipe: impl AsyncRead + Unpin,
    stream: Arc<Stream>,
    mut printer: Option<Printer>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        if let Some(printer) = &mut printer {
            printer.print(&piece[..read]);
        }
        stream.add(&piece[..read]);
    }
    if let Some(printer) = printer {
        printer.finish();
    }
    stream.close();
}

/// A command that was started.
struct Running {
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    exit: watch::Receiver<Option<CommandExit>>,
    /// Dropping it ends the command as well.
    killed: watch::Sender<bool>,
}

impl Process for Running {
    fn stdout(&self, max: u32) -> Answer<'_, CommandOutput> {
        Box::pin(async move { Ok(self.stdout.take(max).await) })
    }

    fn stderr(&self, max: u32) -> Answer<'_, CommandOutput> {
        Box::pin(async move { Ok(self.stderr.take(max).await) })
    }

    fn kill(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.killed.send_replace(true);
            self.wait().await.map(drop)
        })
    }

    fn wait(&self) -> Answer<'_, CommandExit> {
        let mut exit = self.exit.clone();
        Box::pin(async move {
            let ended = exit.wait_for(Option::is_some).await;
            let ended = ended.map_err(|_| super::broken(&"nobody waits for the command"))?;
            Ok(ended.clone().expect("that is what was waited for"))
        })
    }
}

#[cfg(test)]
mod tests;
