//! The capture thread: reads what steps print, sees them end, and reports both.
//!
//! One thread and one epoll for all steps of a build. It decides nothing: the dispatcher hears that a try ended, when all that it
//! printed is in the log, and says what follows.

use crate::{
    clock::Clock,
    logs::{LogWriter, SourceId},
    mailbox::{EventFd, Mailbox, Message},
    process::{Child, Pid, check, ended, retry, sessions},
};
use piper_core::{
    build::{Ended, Event},
    id::StepIx,
    log::Stream,
    time::Monotonic,
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a step's output may stay open after its leader ended; then it is detached (DESIGN, killing).
const LINGER: Duration = Duration::from_millis(200);
/// How often a process group is looked at that was asked to end and whose leader did.
const GROUP_POLL: Duration = Duration::from_millis(10);
/// The capture thread calls nothing deep.
const STACK: usize = 256 * 1024;

/// A try that was started, handed to the capture thread.
#[derive(Debug)]
pub struct Capturing {
    /// The step.
    pub step: StepIx,
    /// Which try, from 1.
    pub r#try: u32,
    /// The step's label.
    pub label: String,
    /// Its leader.
    pub child: Child,
    /// The reading ends of its standard output and standard error; a terminal has only the first.
    pub streams: [Option<OwnedFd>; 2],
    /// What the dispatcher may look at.
    pub pulse: Arc<Pulse>,
}

/// What the dispatcher may look at while a step runs.
#[derive(Debug, Default)]
pub struct Pulse {
    heard: AtomicU64,
    stopping: AtomicU64,
}

impl Pulse {
    /// When the step last printed something, in the build's monotonic time.
    pub fn heard(&self) -> Monotonic {
        Monotonic(Duration::from_micros(self.heard.load(Ordering::Relaxed)))
    }

    /// Says that the step is being ended: its end is then that of its whole process group.
    pub fn stopping(&self) {
        self.stopping.store(1, Ordering::Release);
    }
}

/// The dispatcher's side of the capture thread.
#[derive(Debug)]
pub struct Capture {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inbox {
    waiting: Mutex<Arrivals>,
    wake: EventFd,
}

#[derive(Debug, Default)]
struct Arrivals {
    new: Vec<Capturing>,
    /// Take what is there and end, whoever still holds a pipe.
    close: bool,
}

impl Capture {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread or descriptor left.
    pub fn start(log: LogWriter, clock: Clock, reports: Arc<Mailbox>) -> io::Result<Self> {
        let inbox = Arc::new(Inbox {
            waiting: Mutex::default(),
            wake: EventFd::new()?,
        });
        let epoll = Epoll::new()?;
        epoll.add(inbox.wake.as_fd().as_raw_fd(), WAKE)?;
        let desk = Desk {
            epoll,
            inbox: Arc::clone(&inbox),
            log,
            clock,
            reports,
            tries: Vec::new(),
            closing: false,
        };
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .stack_size(STACK)
            .spawn(move || desk.run())?;
        Ok(Self {
            inbox,
            thread: Some(thread),
        })
    }

    /// Hands a started try over.
    pub fn watch(&self, capturing: Capturing) {
        self.inbox
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .new
            .push(capturing);
        self.inbox.wake.ring();
    }

    /// Ends the thread: what is in the pipes is still recorded, and then nothing more.
    pub fn finish(&mut self) {
        self.inbox
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .close = true;
        self.inbox.wake.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there has printed its message; the build's end is not kept from being recorded by it.
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The token of the inbox; those of tries are `slot * 4 + part`.
const WAKE: u64 = u64::MAX;
const EXIT: u64 = 2;
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

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

    fn add(&self, fd: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: the event lives until the call returns.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })
        .map(drop)
    }

    /// The tokens of what is ready.
    fn wait(&self, timeout: Option<Duration>, into: &mut Vec<u64>) {
        const MOST: usize = 64;
        let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); MOST];
        // Rounded up, or the last millisecond would be spent spinning.
        let millis = timeout.map_or(-1, |t| {
            t.as_micros().div_ceil(1000).min(60_000) as libc::c_int
        });
        // SAFETY: the kernel writes at most `MOST` events, and only those it counts are read.
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

/// What the thread owns.
struct Desk {
    epoll: Epoll,
    inbox: Arc<Inbox>,
    log: LogWriter,
    clock: Clock,
    reports: Arc<Mailbox>,
    /// By slot; a slot is free again when the try was reported and its streams are closed.
    tries: Vec<Option<Try>>,
    closing: bool,
}

struct Try {
    what: Capturing,
    source: SourceId,
    end: Option<(Ended, Monotonic)>,
    reported: bool,
}

impl Try {
    fn is_open(&self) -> bool {
        self.what.streams.iter().any(Option::is_some)
    }

    fn pid(&self) -> Pid {
        self.what.child.pid
    }
}

impl Desk {
    fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            ready.clear();
            self.epoll.wait(self.timeout(), &mut ready);
            for &token in &ready {
                match (token, token / 4, token % 4) {
                    (WAKE, ..) => self.inbox.wake.quiet(),
                    (_, slot, EXIT) => self.reap(slot as usize),
                    (_, slot, part) => self.read(slot as usize, part as usize),
                }
            }
            self.arrive();
            if self.closing {
                return self.close();
            }
            self.log.flush_partial(self.clock.now().wall);
            self.log.publish();
            self.report();
        }
    }

    /// When there is something to do although nothing is ready.
    fn timeout(&self) -> Option<Duration> {
        let now = self.clock.now();
        let partial = self
            .log
            .next_partial_deadline()
            .map(|at| at.since(now.wall));
        let due = self
            .tries
            .iter()
            .flatten()
            .filter(|t| !t.reported)
            .filter_map(|t| {
                let (_, at) = t.end.as_ref()?;
                // Its streams are closed and it is not reported: its group is being waited for.
                Some(if t.is_open() {
                    (*at + LINGER).since(now.mono)
                } else {
                    GROUP_POLL
                })
            });
        due.chain(partial).min()
    }

    fn arrive(&mut self) {
        let (new, close) = {
            let mut waiting = self
                .inbox
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut waiting.new), waiting.close)
        };
        self.closing = close;
        for what in new {
            let source = self.log.register(what.step, what.r#try, &what.label);
            let slot = self
                .tries
                .iter()
                .position(Option::is_none)
                .unwrap_or_else(|| {
                    self.tries.push(None);
                    self.tries.len() - 1
                });
            let token = slot as u64 * 4;
            let mut fds = vec![(what.child.pidfd.as_raw_fd(), token + EXIT)];
            for (part, stream) in what.streams.iter().enumerate() {
                match stream {
                    Some(fd) => fds.push((fd.as_raw_fd(), token + part as u64)),
                    None => self.log.close(source, STREAMS[part], self.clock.now().wall),
                }
            }
            for (fd, token) in fds {
                if let Err(error) = self.epoll.add(fd, token) {
                    self.reports.send(Message::Warning(format!(
                        "cannot watch {}: {error}",
                        what.label
                    )));
                }
            }
            self.tries[slot] = Some(Try {
                what,
                source,
                end: None,
                reported: false,
            });
        }
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
            Ok(_) => {
                let now = self.clock.now().mono.0.as_micros() as u64;
                return r#try.what.pulse.heard.store(now, Ordering::Relaxed);
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
        // SAFETY: an all-zero `siginfo_t` is valid; the kernel fills it in for our own child, which is reaped nowhere else.
        let info = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let pid = r#try.pid() as libc::id_t;
            let reaped = retry(|| {
                check(libc::waitid(
                    libc::P_PID,
                    pid,
                    &raw mut info,
                    libc::WEXITED | libc::WNOHANG,
                ))
            });
            (reaped.is_ok() && info.si_pid() != 0).then_some(info)
        };
        let Some(info) = info else { return };
        r#try.end = Some((ended(&info), now));
        // SAFETY: the call takes numbers only. The pidfd stays ready for ever, and would be reported in every round.
        unsafe {
            let fd = r#try.what.child.pidfd.as_raw_fd();
            libc::epoll_ctl(
                self.epoll.0.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                std::ptr::null_mut(),
            );
        }
    }

    /// Tells the dispatcher of the tries that are over.
    fn report(&mut self) {
        let now = self.clock.now().mono;
        let mut some_ended = false;
        for slot in 0..self.tries.len() {
            let Some(r#try) = &mut self.tries[slot] else {
                continue;
            };
            if let Some((how, at)) = &r#try.end
                && !r#try.reported
            {
                let open = r#try.is_open();
                let stopping = r#try.what.pulse.stopping.load(Ordering::Acquire) != 0;
                let group_left = stopping && sessions::kill_group(r#try.pid(), 0);
                if (open && now < *at + LINGER) || group_left {
                    continue;
                }
                r#try.reported = true;
                some_ended = true;
                self.reports.send(Message::Event(Event::Ended {
                    step: r#try.what.step,
                    r#try: r#try.what.r#try,
                    how: how.clone(),
                    log_end: self.log.next_seq(),
                    left_running: open,
                }));
            }
            if self.tries[slot]
                .as_ref()
                .is_some_and(|t| t.reported && !t.is_open())
            {
                self.tries[slot] = None;
            }
        }
        if some_ended
            || self
                .tries
                .iter()
                .flatten()
                .any(|t| t.end.is_some() && !t.reported)
        {
            let ours: Vec<Pid> = self.tries.iter().flatten().map(Try::pid).collect();
            sessions::reap_adopted(|pid| ours.contains(&pid));
        }
    }

    /// Takes what is left in the pipes, and ends.
    fn close(mut self) {
        for slot in 0..self.tries.len() {
            for part in 0..STREAMS.len() {
                self.drain(slot, part);
            }
        }
        self.log.publish();
    }

    /// Reads until the pipe is empty. Bounded: whoever writes for ever would keep piper from ending.
    fn drain(&mut self, slot: usize, part: usize) {
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
            if unsafe { libc::poll(&raw mut poll, 1, 0) } != 1 {
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
