//! Reads what steps print and sees them end: the event loop of a build.
//!
//! One epoll holds everything that a build waits for. It decides nothing: the dispatcher calls [`Capture::turn`], hears what
//! happened, and says what follows. A try is reported when all that it printed is in the log.
//!
//! This was a thread of its own once. Two more wake-ups a step cost as much as starting the step, and the one thing that a thread
//! was good for, that a slow disk does not keep signals from being heard, is had by leaving the pipes alone while the log is full.

use crate::{
    clock::Clock,
    logs::{LogWriter, READ_SIZE, SourceId},
    process::{Child, Pid, check, reaper::reap_adopted, sessions},
    task::Task,
};
use piper_core::{
    build::{Ended, Event},
    id::StepIx,
    log::Stream,
    time::Monotonic,
};
use std::{
    fmt, io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// How long a step's output may stay open after its leader ended; then it is detached (DESIGN, killing).
const LINGER: Duration = Duration::from_millis(200);
/// How often a process group is looked at that was asked to end and whose leader did.
const GROUP_POLL: Duration = Duration::from_millis(10);
/// How long a step that was killed may take to end. One that the kernel holds (a dead network disk) never does.
const KILL_PATIENCE: Duration = Duration::from_secs(3);
/// How often adopted orphans that ended are reaped while no step ends. Being told of each by SIGCHLD would cost every step a
/// wake-up more.
const REAP_EVERY: Duration = Duration::from_secs(1);
/// How long the loop waits for room in a full log before it looks at everything else again.
const ROOM_WAIT: Duration = Duration::from_millis(5);
/// How long the end of a build waits for room in a full log. A disk that hangs or a terminal that stands still must not keep piper
/// from ending, which hears no signal any more.
const LAST_ROOM_WAIT: Duration = Duration::from_secs(1);

/// A try that was started.
#[derive(Debug)]
pub struct Capturing {
    /// The step.
    pub step: StepIx,
    /// Which try, from 1.
    pub r#try: u32,
    /// The step's label.
    pub label: String,
    /// What carries it out.
    pub leader: Leader,
    /// The reading ends of its standard output and standard error; a terminal has only the first.
    pub streams: [Option<OwnedFd>; 2],
}

/// What carries a try out.
pub enum Leader {
    /// A process, with its whole session.
    Process(Child),
    /// A task of this process; `None` when it is over or was let go of.
    Task(Option<Box<dyn Task>>),
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(child) => child.fmt(f),
            Self::Task(_) => f.write_str("Task"),
        }
    }
}

impl Leader {
    /// What becomes readable when it ends.
    fn over(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Process(child) => Some(child.pidfd.as_fd()),
            Self::Task(task) => task.as_deref().map(Task::over),
        }
    }
}

/// What happened while the loop waited.
#[derive(Debug)]
pub enum Happening {
    /// Something happened to a step.
    Event(Event),
    /// Somebody sent a signal.
    Signal,
    /// Somebody typed something.
    Key,
    /// The terminal of the step that has the keyboard takes more.
    KeyRoom,
    /// The watcher is gone.
    Unwatched,
}

const SIGNALS: u64 = u64::MAX;
const KEYBOARD: u64 = u64::MAX - 1;
const KEY_ROOM: u64 = u64::MAX - 2;
const WATCHER: u64 = u64::MAX - 3;
/// The tokens of tries are `slot * 4 + part`; the parts are the two streams and this.
const EXIT: u64 = 2;
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// The event loop of a build.
pub struct Capture {
    epoll: Epoll,
    log: LogWriter,
    clock: Clock,
    /// By slot; a slot is free again when the try was reported and its streams are closed.
    tries: Vec<Option<Try>>,
    ready: Vec<u64>,
    /// The log took nothing more when it was last asked.
    full: bool,
    /// When orphans are reaped next, whatever happens.
    reap_at: Monotonic,
}

struct Try {
    what: Capturing,
    source: SourceId,
    heard: Monotonic,
    end: Option<(Ended, Monotonic)>,
    /// When its output was last not read because the log was full.
    left_alone: Monotonic,
    /// How much it printed was read after its end. What two pipes hold was printed before, more by what it left running.
    read_after_end: usize,
    /// It is being ended: its end is then that of its whole process group.
    stopping: bool,
    /// When it was first killed.
    killed: Option<Monotonic>,
    reported: bool,
}

/// Whether a pipe has another end. One without may hold bytes that were not read yet.
fn has_writer(pipe: &OwnedFd) -> bool {
    let mut poll = libc::pollfd {
        fd: pipe.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: `poll` is one valid pollfd, and the descriptor in it is open.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready != 1 || poll.revents & libc::POLLHUP == 0
}

impl Try {
    fn is_open(&self) -> bool {
        self.what.streams.iter().any(Option::is_some)
    }

    /// Whether somebody can still write into its pipes.
    fn is_held(&self) -> bool {
        self.what.streams.iter().flatten().any(has_writer)
    }

    fn pid(&self) -> Option<Pid> {
        match &self.what.leader {
            Leader::Process(child) => Some(child.pid),
            Leader::Task(_) => None,
        }
    }

    /// Whether members of its process group are to be waited for.
    fn leaves_a_group(&self) -> bool {
        self.stopping && self.pid().is_some_and(sessions::group_lives)
    }

    /// From when on its output is given [`LINGER`] to be closed: its end, or when what it had printed until then was last left
    /// in its pipes because the log was full. A step that is being ended waits for no reader.
    fn lingers_from(&self, ended: Monotonic) -> Monotonic {
        if self.stopping || self.read_after_end >= 2 * READ_SIZE {
            ended
        } else {
            ended.max(self.left_alone)
        }
    }

    /// From when on it is waited for no more, although it or a part of its group is still there.
    fn given_up_at(&self) -> Option<Monotonic> {
        self.killed.map(|at| at + KILL_PATIENCE)
    }

    /// It ended and is to be reported or forgotten; one that was reported while its output is open only goes on being read.
    fn may_move_on(&self) -> bool {
        self.end.is_some() && !(self.reported && self.is_open())
    }
}

impl Capture {
    /// An event loop that writes to `log` and also waits for `signals`.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn new(log: LogWriter, clock: Clock, signals: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(signals.as_raw_fd(), SIGNALS)?;
        Ok(Self {
            epoll,
            log,
            clock,
            tries: Vec::new(),
            ready: Vec::new(),
            full: false,
            reap_at: clock.now().mono + REAP_EVERY,
        })
    }

    /// See [`LogWriter::is_long`].
    pub fn log_is_long(&self) -> bool {
        self.log.is_long()
    }

    /// Watches a started try.
    ///
    /// # Errors
    ///
    /// When the system refuses; the try is then not watched.
    pub fn watch(&mut self, what: Capturing) -> io::Result<()> {
        let slot = self
            .tries
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.tries.push(None);
                self.tries.len() - 1
            });
        let token = slot as u64 * 4;
        if let Some(over) = what.leader.over() {
            self.epoll.add(over.as_raw_fd(), token + EXIT)?;
        }
        for (part, stream) in (0..).zip(&what.streams) {
            if let Some(fd) = stream {
                self.epoll.add(fd.as_raw_fd(), token + part)?;
            }
        }
        let now = self.clock.now();
        let source = self.log.register(what.step, what.r#try, &what.label);
        for (part, stream) in what.streams.iter().enumerate() {
            if stream.is_none() {
                self.log.close(source, STREAMS[part], now.wall);
            }
        }
        let r#try = Try {
            what,
            source,
            heard: now.mono,
            end: None,
            left_alone: Monotonic::default(),
            read_after_end: 0,
            stopping: false,
            killed: None,
            reported: false,
        };
        self.tries[slot] = Some(r#try);
        Ok(())
    }

    /// Waits for keys, too, as long as a step has the keyboard.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn listen_to_keyboard(&mut self, keyboard: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.add(keyboard.as_raw_fd(), KEYBOARD)
    }

    /// Waits for the end of the watcher, too, until its descriptor is closed.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn wait_for_watcher(&mut self, over: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.add(over.as_raw_fd(), WATCHER)
    }

    /// Waits until a step's terminal takes more keys, too.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn wait_for_keyboard_room(&mut self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll
            .add_for(libc::EPOLLOUT, terminal.as_raw_fd(), KEY_ROOM)
    }

    /// Does not wait for a keyboard, or for its room, any more.
    pub fn leave_keyboard(&mut self, keyboard: BorrowedFd<'_>) {
        self.epoll.remove(keyboard.as_raw_fd());
    }

    /// Says that a step is being ended: its end is now that of its whole process group.
    pub fn stopping(&mut self, step: StepIx) {
        for r#try in self
            .tries
            .iter_mut()
            .flatten()
            .filter(|t| t.what.step == step)
        {
            r#try.stopping = true;
        }
    }

    /// Says that the whole session of a step was killed.
    pub fn killed(&mut self, step: StepIx) {
        let now = self.clock.now().mono;
        for r#try in self.tries.iter_mut().flatten() {
            if r#try.what.step == step {
                r#try.stopping = true;
                r#try.killed.get_or_insert(now);
            }
        }
    }

    /// Asks a step that is a task to end.
    pub fn ask_task(&mut self, step: StepIx) {
        for r#try in self.tries.iter_mut().flatten() {
            if r#try.what.step == step
                && let Leader::Task(Some(task)) = &mut r#try.what.leader
            {
                task.ask_to_end();
            }
        }
    }

    /// Lets go of a step that is a task: that is its end, whatever it still does. What it printed until now is recorded.
    pub fn drop_task(&mut self, step: StepIx) {
        let now = self.clock.now().mono;
        for slot in 0..self.tries.len() {
            let Some(r#try) = &mut self.tries[slot] else {
                continue;
            };
            let Leader::Task(task) = &mut r#try.what.leader else {
                continue;
            };
            if r#try.what.step != step || task.is_none() {
                continue;
            }
            if let Some(task) = task.take() {
                self.epoll.remove(task.over().as_raw_fd());
            }
            let why = "it was let go of".to_owned();
            let end = Ended::Errored {
                why,
                passing: false,
            };
            r#try.end.get_or_insert((end, now));
            for part in 0..STREAMS.len() {
                self.drain(slot, part, now + LAST_ROOM_WAIT);
            }
        }
    }

    /// When a running step last printed something, or was kept from it because the log was full.
    pub fn heard(&self, step: StepIx) -> Option<Monotonic> {
        self.tries
            .iter()
            .flatten()
            .find(|t| t.what.step == step && !t.reported)
            .map(|t| t.heard.max(t.left_alone))
    }

    /// Waits once, at most so long, and says what happened.
    pub fn turn(&mut self, most: Option<Duration>) -> Vec<Happening> {
        // While the log is full its pipes stay ready, and what is due cannot be done: the pause is made where room is waited for.
        let timeout = if self.full {
            Duration::ZERO
        } else {
            self.due().min(most.unwrap_or(Duration::MAX))
        };
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.epoll.wait(timeout, &mut ready);
        let mut happenings = Vec::new();
        let wait = if self.full { ROOM_WAIT } else { Duration::ZERO };
        self.full = !self.log.wait_for_room(wait);
        for &token in &ready {
            match (token, token / 4, token % 4) {
                (SIGNALS, ..) => happenings.push(Happening::Signal),
                (KEYBOARD, ..) => happenings.push(Happening::Key),
                (KEY_ROOM, ..) => happenings.push(Happening::KeyRoom),
                (WATCHER, ..) => happenings.push(Happening::Unwatched),
                (_, slot, EXIT) => self.reap(slot as usize),
                (_, slot, part) => {
                    // A slow disk slows the steps down and keeps nothing else waiting.
                    self.full = self.full || !self.log.wait_for_room(Duration::ZERO);
                    if !self.full {
                        self.read(slot as usize, part as usize);
                    } else if let Some(Some(r#try)) = self.tries.get_mut(slot as usize) {
                        r#try.left_alone = self.clock.now().mono;
                    }
                }
            }
        }
        self.ready = ready;
        self.full = self.full || !self.log.wait_for_room(Duration::ZERO);
        if !self.full {
            self.log.flush_partial(self.clock.now().wall);
            self.log.publish();
        }
        self.report(&mut happenings);
        self.reap_if_due();
        happenings
    }

    /// When there is something to do although nothing is ready.
    fn due(&self) -> Duration {
        let now = self.clock.now();
        let reap = self.reap_at.since(now.mono);
        let partial = self
            .log
            .next_partial_deadline()
            .map(|at| at.since(now.wall));
        let ends = self
            .tries
            .iter()
            .flatten()
            .filter(|t| !t.reported)
            .filter_map(|t| {
                let Some((_, at)) = &t.end else {
                    return t.given_up_at().map(|at| at.since(now.mono));
                };
                let lingers = (t.lingers_from(*at) + LINGER).since(now.mono);
                // If nothing lingers and it is not reported, its group is being waited for.
                Some(if t.is_open() && !lingers.is_zero() {
                    lingers
                } else {
                    GROUP_POLL
                })
            });
        ends.chain(partial).fold(reap, Duration::min)
    }

    fn read(&mut self, slot: usize, part: usize) {
        let Some(Some(r#try)) = self.tries.get_mut(slot) else {
            return;
        };
        let Some(fd) = &r#try.what.streams[part] else {
            return;
        };
        let clock = self.clock;
        match self
            .log
            .read_from(r#try.source, STREAMS[part], fd.as_fd(), || clock.now().wall)
        {
            Ok(0) => {}
            Ok(read) => {
                r#try.heard = clock.now().mono;
                r#try.read_after_end += if r#try.end.is_some() { read } else { 0 };
                return;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return;
            }
            // A terminal whose last user left says EIO, and nothing more will come from any other error either.
            Err(_) => {}
        }
        // Closing it is not enough: the keyboard holds another descriptor of the same terminal.
        self.epoll.remove(fd.as_raw_fd());
        r#try.what.streams[part] = None;
        self.log
            .close(r#try.source, STREAMS[part], clock.now().wall);
    }

    fn reap(&mut self, slot: usize) {
        let now = self.clock.now().mono;
        let Some(Some(r#try)) = self.tries.get_mut(slot) else {
            return;
        };
        if r#try.end.is_some() {
            return;
        }
        let how = match &mut r#try.what.leader {
            Leader::Process(child) => child.end(),
            Leader::Task(task) => task
                .as_mut()
                .map(|task| task.end().said_as(|words| self.log.masked(words)).into()),
        };
        let Some(how) = how else { return };
        r#try.end = Some((how, now));
        // The descriptor stays ready for ever, and would be reported in every turn.
        if let Some(over) = r#try.what.leader.over() {
            self.epoll.remove(over.as_raw_fd());
        }
        if let Leader::Task(task) = &mut r#try.what.leader {
            *task = None;
        }
    }

    /// Takes the tries that were killed and do not end for ended.
    fn give_up(&mut self) {
        let now = self.clock.now().mono;
        for r#try in self.tries.iter_mut().flatten() {
            if r#try.end.is_none() && r#try.given_up_at().is_some_and(|at| at <= now) {
                // Nobody waits for its status any more.
                if let Some(over) = r#try.what.leader.over() {
                    self.epoll.remove(over.as_raw_fd());
                }
                r#try.end = Some((Ended::Signal(libc::SIGKILL), now));
            }
        }
    }

    /// Tells of the tries that are over.
    fn report(&mut self, happenings: &mut Vec<Happening>) {
        let may_be_held = |t: &Try| t.killed.is_some() && t.end.is_none();
        if self.tries.iter().flatten().any(may_be_held) {
            self.give_up();
        }
        if !self.tries.iter().flatten().any(Try::may_move_on) {
            return;
        }
        let now = self.clock.now().mono;
        for slot in 0..self.tries.len() {
            let Some(r#try) = &mut self.tries[slot] else {
                continue;
            };
            let Some((how, at)) = &r#try.end else {
                continue;
            };
            let open = r#try.is_open();
            if !r#try.reported {
                if open && now < r#try.lingers_from(*at) + LINGER {
                    continue;
                }
                let leaves_a_group = r#try.leaves_a_group();
                if leaves_a_group && r#try.given_up_at().is_none_or(|at| now < at) {
                    continue;
                }
                r#try.reported = true;
                happenings.push(Happening::Event(Event::Ended {
                    step: r#try.what.step,
                    r#try: r#try.what.r#try,
                    how: how.clone(),
                    log_end: self.log.next_seq(),
                    left_running: r#try.is_held() || leaves_a_group,
                }));
            }
            if !open {
                self.tries[slot] = None;
            }
        }
        reap_adopted();
    }

    /// A step that runs for hours may leave orphans all the time.
    fn reap_if_due(&mut self) {
        let now = self.clock.now().mono;
        if self.reap_at <= now {
            self.reap_at = now + REAP_EVERY;
            reap_adopted();
        }
    }

    /// Takes what is left in the pipes, as far as the log takes it, and ends the log. Returns how many records there are.
    pub fn finish(mut self) -> u64 {
        self.log.stop_waiting();
        let until = self.clock.now().mono + LAST_ROOM_WAIT;
        for slot in 0..self.tries.len() {
            for part in 0..STREAMS.len() {
                self.drain(slot, part, until);
            }
        }
        self.log.publish();
        self.log.next_seq()
    }

    /// Whether the log has room; waits for it until then.
    fn has_room(&self, until: Monotonic) -> bool {
        loop {
            let left = until.since(self.clock.now().mono);
            if self.log.wait_for_room(left) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// Reads until the pipe is empty. Bounded: whoever writes for ever would keep piper from ending.
    fn drain(&mut self, slot: usize, part: usize, until: Monotonic) {
        const MOST_READS: usize = 256;
        for _ in 0..MOST_READS {
            let Some(Some(r#try)) = &self.tries.get(slot) else {
                return;
            };
            let Some(fd) = &r#try.what.streams[part] else {
                return;
            };
            let mut poll = libc::pollfd {
                fd: fd.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: the structure lives until the call returns, which is at once.
            if unsafe { libc::poll(&raw mut poll, 1, 0) } != 1 || !self.has_room(until) {
                break;
            }
            self.read(slot, part);
        }
        if let Some(Some(r#try)) = self.tries.get_mut(slot)
            && r#try.what.streams[part].take().is_some()
        {
            self.log
                .close(r#try.source, STREAMS[part], self.clock.now().wall);
        }
    }
}

struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and nobody else's.
        unsafe {
            Ok(Self(OwnedFd::from_raw_fd(check(libc::epoll_create1(
                libc::EPOLL_CLOEXEC,
            ))?)))
        }
    }

    fn add(&self, fd: libc::c_int, token: u64) -> io::Result<()> {
        self.add_for(libc::EPOLLIN, fd, token)
    }

    fn add_for(&self, events: libc::c_int, fd: libc::c_int, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: the event lives until the call returns.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })
        .map(drop)
    }

    fn remove(&self, fd: libc::c_int) {
        // SAFETY: the call takes numbers only. One that is not there is no trouble.
        unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                std::ptr::null_mut(),
            )
        };
    }

    /// Adds the tokens of what is ready.
    fn wait(&self, timeout: Duration, into: &mut Vec<u64>) {
        const MOST: usize = 64;
        let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); MOST];
        // Rounded up, or the last millisecond would be spent spinning.
        let millis = timeout.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        // SAFETY: the kernel writes at most `MOST` events, and only those it counts are read. An interrupted wait has none.
        unsafe {
            let ready = libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr().cast(),
                MOST as libc::c_int,
                millis,
            );
            into.extend(
                events
                    .iter()
                    .take(usize::try_from(ready).unwrap_or(0))
                    .map(|event| event.assume_init().u64),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_pipe_that_was_not_read_yet_and_has_no_other_end_is_held_by_nobody() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        writer.write_all(b"unread").unwrap();
        assert!(has_writer(&reader));
        drop(writer);
        assert!(!has_writer(&reader));
    }
}
