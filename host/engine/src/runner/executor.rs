//! Starts and ends what carries out one build's steps: processes, and tasks of this process.
//!
//! Nothing here decides anything: which step, which try, and how hard it is pushed come from the dispatcher.

use super::{
    Order,
    keyboard::{Keyboard, Typed},
};
use crate::{
    capture::{Capture, Capturing, Happening, Leader},
    environment::{self, Vars},
    process::{
        Pid, pty,
        reaper::reap_adopted,
        sessions, spawn,
        watcher::{Notes, Session, Watcher},
    },
    scratch::Scratch,
    task::Job,
};
use piper_core::{
    build::{Ended, Fault, Push},
    id::StepIx,
    plan::{Command, PlannedStep, PluginCall},
    project::{StopSignal, Survivors},
    time::Monotonic,
};
use std::{
    collections::{HashMap, HashSet},
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, IsTerminal, Read as _},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// How many watchers one build may have: whoever kills this many kills the next one, too.
const MOST_WATCHERS: u32 = 5;

/// The processes of one build.
pub(super) struct Executor<'a> {
    order: &'a Order,
    scratch: Scratch,
    capture: Capture,
    null: File,
    /// The sessions of the processes that run.
    running: HashMap<StepIx, Pid>,
    watcher: Option<Watcher>,
    keyboard: Option<Keyboard>,
    /// How often a watcher was started.
    watchers: u32,
    /// All sessions that ever began: what an ended step left may be in its session still, and a watcher that comes later must know.
    sessions: Vec<Session>,
    /// What Ctrl-Z stopped.
    stopped: HashSet<Pid>,
    /// Children that this process had before the build: a wrapper that ends in `exec piper` leaves it its own.
    inherited: Vec<Pid>,
}

impl<'a> Executor<'a> {
    pub(super) fn new(order: &'a Order, capture: Capture) -> io::Result<Self> {
        Ok(Self {
            order,
            scratch: Scratch::new(&order.plan)?,
            capture,
            null: File::options().read(true).write(true).open("/dev/null")?,
            running: HashMap::new(),
            watcher: None,
            keyboard: None,
            watchers: 0,
            sessions: Vec::new(),
            stopped: HashSet::new(),
            inherited: sessions::children(),
        })
    }

    /// Starts a try. What keeps it from starting is the try's end.
    pub(super) fn start(&mut self, step: StepIx, r#try: u32) -> Result<(), Ended> {
        let order = self.order;
        let planned = &order.plan.steps[step.index()];
        let cwd = self.cwd(planned)?;
        let outputs = self
            .scratch
            .outputs(planned)
            .map_err(|e| Ended::NotStarted {
                why: format!("could not make the folder for its outputs: {e}"),
                // Piper's own folder is its own: it is an earlier try that left something there.
                fault: if e.kind() == io::ErrorKind::PermissionDenied {
                    Fault::User
                } else {
                    Fault::Machine
                },
            })?;
        let vars = self.vars((step, r#try), planned, &outputs, &cwd);
        if let Command::Plugin(call) = &planned.command {
            return self.start_task(step, r#try, call, &vars, (&cwd, outputs));
        }
        let launch = Launch {
            planned,
            cwd: &cwd,
            path: vars[OsStr::new("PATH")].clone(),
            env: environment::to_block(&vars),
        };
        let (child, streams) = if planned.tty && io::stdin().is_terminal() {
            let pty = pty::Pty::open().map_err(|e| machine("could not open its terminal", &e))?;
            let master = pty
                .master
                .try_clone()
                .map_err(|e| machine("could not open its terminal", &e))?;
            let child = launch.start(spawn::Stdio::Terminal(pty.path()))?;
            // Without it the step runs all the same, and hears nothing.
            self.keyboard = Keyboard::give(step, master, &mut self.capture).ok();
            (child, [Some(pty.master), None])
        } else {
            let pipes = spawn::pipe().and_then(|out| Ok((out, spawn::pipe()?)));
            let ((stdout, stdout_end), (stderr, stderr_end)) =
                pipes.map_err(|e| machine("could not make its pipes", &e))?;
            let stdin = io::stdin();
            let input = if planned.tty {
                stdin.as_fd()
            } else {
                self.null.as_fd()
            };
            let child = launch.start(spawn::Stdio::Fds([
                input,
                stdout_end.as_fd(),
                stderr_end.as_fd(),
            ]))?;
            (child, [Some(stdout), Some(stderr)])
        };
        let leader = child.pid;
        self.running.insert(step, leader);
        let session = Session::of(leader);
        self.sessions.push(session);
        if let Some(watcher) = &mut self.watcher {
            watcher.session(session);
        }
        let label = planned.label.clone();
        let watched = self.capture.watch(Capturing {
            step,
            r#try,
            label,
            leader: Leader::Process(child),
            streams,
        });
        watched.map_err(|e| {
            // Nobody would see its end.
            spawn::discard(leader);
            self.ended(step);
            machine("could not be watched", &e)
        })
    }

    /// The folder in which a step starts. The file cannot say one outside of the workspace, but a link there can.
    fn cwd(&self, planned: &PlannedStep) -> Result<PathBuf, Ended> {
        let workspace = &self.order.workspace;
        let Some(below) = &planned.cwd else {
            return Ok(workspace.clone());
        };
        let cwd = workspace.join(below);
        // One that is not there is told by whatever cannot start in it.
        let (Ok(real), Ok(workspace)) = (cwd.canonicalize(), workspace.canonicalize()) else {
            return Ok(cwd);
        };
        if real.starts_with(&workspace) {
            return Ok(cwd);
        }
        Err(Ended::NotStarted {
            why: format!(
                "its `cwd` `{below}` leads out of the workspace, to {}; a step that works there goes there itself, with `cd`",
                real.display()
            ),
            fault: Fault::User,
        })
    }

    fn start_task(
        &mut self,
        step: StepIx,
        r#try: u32,
        call: &PluginCall,
        vars: &Vars,
        (cwd, outputs): (&Path, PathBuf),
    ) -> Result<(), Ended> {
        let planned = &self.order.plan.steps[step.index()];
        let not_started = |why, fault| Ended::NotStarted { why, fault };
        let Some(host) = &self.order.tasks else {
            let why = format!("nothing here runs plugins, and it is `{}`", call.uses);
            return Err(not_started(why, Fault::Machine));
        };
        if !cwd.is_dir() {
            let why = format!("there is no folder {}", cwd.display());
            return Err(not_started(why, Fault::User));
        }
        let pipes = spawn::pipe().and_then(|out| Ok((out, spawn::pipe()?)));
        let ((stdout, stdout_end), (stderr, stderr_end)) =
            pipes.map_err(|e| machine("could not make its pipes", &e))?;
        let job = Job {
            step: planned,
            call,
            r#try,
            vars,
            workspace: &self.order.workspace,
            cwd,
            outputs,
            stdout: stdout_end,
            stderr: stderr_end,
        };
        let task = host
            .start(job)
            .map_err(|error| not_started(error.why, error.fault))?;
        // If it cannot be watched it is let go of, because nobody would see its end.
        let watched = self.capture.watch(Capturing {
            step,
            r#try,
            label: planned.label.clone(),
            leader: Leader::Task(Some(task)),
            streams: [Some(stdout), Some(stderr)],
        });
        watched.map_err(|e| machine("could not be watched", &e))
    }

    fn vars(
        &self,
        (step, r#try): (StepIx, u32),
        planned: &PlannedStep,
        outputs: &Path,
        cwd: &Path,
    ) -> Vars {
        let order = self.order;
        let mut vars = order.environment.of(planned);
        let mut set = |name: &str, value: &OsStr| vars.insert(name.into(), value.to_owned());
        for name in &planned.secrets {
            if let Some(value) = order.secrets.get(name) {
                set(name, value);
            }
        }
        set("PIPER_BUILD", order.id.as_str().as_ref());
        set("PIPER_PIPELINE", order.plan.target.name().as_ref());
        set("PIPER_STEP", planned.label.as_ref());
        set("PIPER_ATTEMPT", order.attempt.to_string().as_ref());
        set("PIPER_WORKSPACE", order.workspace.as_os_str());
        set("PIPER_ARTIFACTS", order.artifacts.as_os_str());
        set("PIPER_CACHE", order.cache.as_os_str());
        set("PIPER_PARAMS", self.scratch.params().as_os_str());
        set("PIPER_OUTPUTS", outputs.as_os_str());
        set("PIPER_NEEDS", self.scratch.needs().as_os_str());
        set("PIPER_INVOKED_FROM", order.invoked_from.as_os_str());
        if let Some(version) = &order.version {
            set("PIPER_VERSION", version.as_ref());
        }
        if let Some(revision) = &order.revision {
            set("PIPER_REVISION", revision.as_ref());
        }
        // https://www.w3.org/TR/trace-context/: version, trace, parent, sampled. The step is its own span's parent for what it
        // runs, so any number that no other try of this build has does, but zero.
        let span = ((u64::from(step.0) + 1) << 32) | u64::from(r#try);
        set(
            "TRACEPARENT",
            format!("00-{}-{span:016x}-01", order.trace).as_ref(),
        );
        // Shells set it, so a program started without one must find it too.
        set("PWD", cwd.as_os_str());
        vars
    }

    /// Makes a running step end.
    pub(super) fn push(&mut self, step: StepIx, how: Push) {
        let Some(&session) = self.running.get(&step) else {
            return match how {
                Push::Ask => self.capture.ask_task(step),
                Push::Kill => self.capture.drop_task(step),
            };
        };
        match how {
            Push::Ask => {
                self.capture.stopping(step);
                let signal = signal_number(self.order.plan.steps[step.index()].stop_signal);
                sessions::kill_group(session, signal);
                // A stopped process would not see it.
                sessions::kill_group(session, libc::SIGCONT);
            }
            Push::Kill => {
                self.capture.killed(step);
                sessions::kill_group(session, libc::SIGKILL);
                for pid in sessions::members(&[session]) {
                    sessions::kill_one(pid, libc::SIGKILL);
                }
            }
        }
    }

    /// Notes that a try is over. What it did wrong with its outputs makes a success a failure.
    pub(super) fn ended(&mut self, step: StepIx) -> Option<String> {
        self.running.remove(&step);
        if self
            .keyboard
            .as_ref()
            .is_some_and(|keyboard| keyboard.step == step)
        {
            self.take_keyboard_back();
        }
        self.scratch
            .check_outputs(&self.order.plan.steps[step.index()])
    }

    /// When a running step last printed something.
    pub(super) fn heard(&self, step: StepIx) -> Option<Monotonic> {
        self.capture.heard(step)
    }

    /// Stops everything that runs, in whatever session it is, and gives the terminal back. What was stopped before is somebody
    /// else's, and what a step left to be kept is no part of the build.
    pub(super) fn suspend(&mut self) {
        // A process can fork between the look and the signal; not for ever, or piper would not stop itself.
        const MOST_LOOKS: usize = 100;
        let running: Vec<Pid> = self.running.values().copied().collect();
        for _ in 0..MOST_LOOKS {
            let mut found = sessions::members(&running);
            found.extend(self.survivors());
            found.retain(|pid| {
                !self.stopped.contains(pid) && sessions::process(*pid).is_some_and(|p| !p.stopped)
            });
            if found.is_empty() {
                break;
            }
            for pid in found {
                sessions::kill_one(pid, libc::SIGSTOP);
                self.stopped.insert(pid);
            }
        }
        if let Some(keyboard) = &mut self.keyboard {
            keyboard.suspend();
        }
    }

    /// Lets everything go on that was stopped here.
    pub(super) fn resume(&mut self) {
        if let Some(keyboard) = &mut self.keyboard {
            keyboard.resume(&mut self.capture);
        }
        for pid in self.stopped.drain() {
            sessions::kill_one(pid, libc::SIGCONT);
        }
        if let Some(keyboard) = &self.keyboard {
            keyboard.redraw();
        }
    }

    /// Starts the watcher, or another one in the place of one that was killed.
    pub(super) fn watch_over(&mut self) -> io::Result<()> {
        // Its descriptor is always ready now.
        self.watcher = None;
        if self.watchers == MOST_WATCHERS {
            return Err(io::Error::other("it is killed again and again"));
        }
        self.watchers += 1;
        let mut notes = Notes::default();
        notes.folder(self.scratch.root());
        if let Some(copy) = &self.order.copy {
            notes.folder(copy);
        }
        for planned in self
            .order
            .plan
            .steps
            .iter()
            .filter(|step| step.survivors == Survivors::Keep)
        {
            notes.keep(&planned.label);
        }
        for &session in &self.sessions {
            notes.session(session);
        }
        let watcher = self
            .watcher
            .insert(Watcher::start(self.order.id.as_str(), notes)?);
        self.capture.wait_for_watcher(watcher.over())
    }

    /// Whether the log is long already, however young the build is.
    pub(super) fn log_is_long(&self) -> bool {
        self.capture.log_is_long()
    }

    /// What steps left running, but for what is to be kept.
    pub(super) fn survivors(&self) -> Vec<Pid> {
        reap_adopted();
        let watcher = self.watcher.iter().filter_map(Watcher::pid);
        let known: Vec<Pid> = watcher.chain(self.inherited.iter().copied()).collect();
        let mut pids = sessions::orphans(&known);
        let kept: Vec<&[u8]> = self
            .order
            .plan
            .steps
            .iter()
            .filter(|s| s.survivors == Survivors::Keep)
            .map(|s| s.label.as_bytes())
            .collect();
        if !kept.is_empty() {
            pids.retain(|&pid| {
                !sessions::variable_of(pid, "PIPER_STEP")
                    .is_some_and(|step| kept.contains(&step.as_slice()))
            });
        }
        pids
    }

    /// Waits once, at most so long, and says what happened.
    pub(super) fn turn(&mut self, most: Option<Duration>) -> Vec<Happening> {
        let Some(keyboard) = &mut self.keyboard else {
            return self.capture.turn(most);
        };
        keyboard.look(&mut self.capture);
        let look = keyboard.look_within();
        self.capture.turn(most.into_iter().chain(look).min())
    }

    /// Records what is still in the pipes, removes the folders, and lets the watcher go. Returns how many log records there are,
    /// and what of the folders stays.
    pub(super) fn close(self) -> (u64, io::Result<()>) {
        let log_end = self.capture.finish();
        let removed = self.scratch.remove();
        if let Some(watcher) = self.watcher {
            watcher.farewell();
        }
        (log_end, removed)
    }

    fn take_keyboard_back(&mut self) {
        if let Some(keyboard) = self.keyboard.take() {
            keyboard.take_back(&mut self.capture);
        }
    }

    /// Hands on what was typed. `true` if that asks to stop the step.
    pub(super) fn type_on(&mut self) -> bool {
        let Some(keyboard) = &mut self.keyboard else {
            return false;
        };
        let session = self.running.get(&keyboard.step).copied();
        match keyboard.type_on(session, &mut self.capture) {
            Typed::On => false,
            Typed::Stop => true,
            Typed::Gone => {
                self.take_keyboard_back();
                false
            }
        }
    }

    /// Hands on what was typed ahead.
    pub(super) fn type_ahead(&mut self) {
        if let Some(keyboard) = &mut self.keyboard {
            keyboard.go_on(&mut self.capture);
        }
    }

    /// Takes over a new size of the real terminal.
    pub(super) fn resize(&self) {
        if let Some(keyboard) = &self.keyboard {
            keyboard.resize();
        }
    }
}

/// Whether what the system cannot execute is no script: its first line has a zero byte, which is how shells tell. What cannot be read
/// is left to the shell, which says so.
fn is_binary(program: &Path) -> bool {
    const LOOKED_AT: usize = 80;
    let mut head = [0; LOOKED_AT];
    let read = File::open(program).and_then(|mut file| file.read(&mut head));
    let head = &head[..read.unwrap_or(0)];
    let line = head.split(|byte| *byte == b'\n').next();
    line.is_some_and(|line| line.contains(&0))
}

/// The machine's fault.
fn machine(what: &str, error: &io::Error) -> Ended {
    Ended::NotStarted {
        why: format!("{what}: {error}"),
        fault: Fault::Machine,
    }
}

fn signal_number(signal: StopSignal) -> libc::c_int {
    match signal {
        StopSignal::Hup => libc::SIGHUP,
        StopSignal::Int => libc::SIGINT,
        StopSignal::Quit => libc::SIGQUIT,
        StopSignal::Term => libc::SIGTERM,
        StopSignal::Usr1 => libc::SIGUSR1,
        StopSignal::Usr2 => libc::SIGUSR2,
    }
}

/// A try that is about to be started.
struct Launch<'a> {
    planned: &'a PlannedStep,
    cwd: &'a Path,
    path: OsString,
    env: Vec<CString>,
}

impl Launch<'_> {
    fn start(&self, stdio: spawn::Stdio<'_>) -> Result<crate::process::Child, Ended> {
        // If the program cannot be started without a shell, the shell says so in its own words: nobody can tell the difference.
        if let Some(words) = self.planned.command.without_shell() {
            match self.start_argv(&words, stdio) {
                Ok(child) => return Ok(child),
                // Except for what is no script either: some shells would take it for one all the same.
                Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                    return Err(self.explain(words[0], &error));
                }
                Err(_) => {}
            }
        }
        let argv = self.planned.command.argv();
        self.start_argv(&argv, stdio)
            .map_err(|error| self.explain(argv[0], &error))
    }

    fn start_argv(
        &self,
        argv: &[&str],
        stdio: spawn::Stdio<'_>,
    ) -> io::Result<crate::process::Child> {
        let c_string = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
        let program =
            c_string(spawn::find_program(argv[0].as_ref(), &self.path, self.cwd)?.as_os_str())?;
        let c_argv: Vec<CString> = argv
            .iter()
            .map(|arg| c_string(arg.as_ref()))
            .collect::<io::Result<_>>()?;
        let cwd = c_string(self.cwd.as_os_str())?;
        let spawn = spawn::Spawn {
            program: &program,
            argv: &c_argv,
            env: &self.env,
            cwd: &cwd,
            stdio,
        };
        match spawn.start() {
            // A script without a first line that names its interpreter: sh runs it, as execvp would, and calls it as it was called.
            Err(error)
                if error.raw_os_error() == Some(libc::ENOEXEC)
                    && !is_binary(OsStr::from_bytes(program.as_bytes()).as_ref()) =>
            {
                let as_written = argv[0].contains('/') && !argv[0].starts_with('-');
                let script = if as_written { &c_argv[0] } else { &program };
                let mut through_sh = vec![CString::from(c"sh"), script.clone()];
                through_sh.extend_from_slice(&c_argv[1..]);
                spawn::Spawn {
                    program: c"/bin/sh",
                    argv: &through_sh,
                    ..spawn
                }
                .start()
            }
            other => other,
        }
    }

    /// What exactly was not found.
    fn missing(&self, program: &str) -> String {
        if spawn::find_program(program.as_ref(), &self.path, self.cwd).is_ok() {
            format!(
                "`{program}` is there, but not the interpreter that its first line names, or its loader"
            )
        } else if !program.contains('/') {
            format!("`{program}` was not found in PATH")
        } else if Path::new(program).is_absolute() {
            format!("there is no file {program}")
        } else {
            format!("there is no file {program} in {}", self.cwd.display())
        }
    }

    fn explain(&self, program: &str, error: &io::Error) -> Ended {
        let user = |why: String| Ended::NotStarted {
            why,
            fault: Fault::User,
        };
        if !self.cwd.is_dir() {
            return user(format!("there is no folder {}", self.cwd.display()));
        }
        match (error.kind(), &self.planned.command) {
            (io::ErrorKind::NotFound, Command::Script { .. }) => user(format!(
                "its shell cannot be run: {}",
                self.missing(program)
            )),
            (io::ErrorKind::NotFound, _) => user(self.missing(program)),
            (io::ErrorKind::PermissionDenied, _) => {
                user(format!("`{program}` may not be executed"))
            }
            _ if error.raw_os_error() == Some(libc::ENOEXEC) => user(format!(
                "`{program}` cannot be executed: it is no script, and no program of this system (exec format error)"
            )),
            (io::ErrorKind::ArgumentListTooLong, _) => {
                user("its arguments and environment are too long for the system".to_owned())
            }
            _ if matches!(
                error.raw_os_error(),
                Some(libc::ENOTDIR | libc::ELOOP | libc::ETXTBSY)
            ) =>
            {
                user(format!("`{program}` could not be executed: {error}"))
            }
            _ => Ended::NotStarted {
                why: format!("could not start `{program}`: {error}"),
                fault: Fault::Machine,
            },
        }
    }
}
