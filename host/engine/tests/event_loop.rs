//! The event loop and the reaping of children, in a process of their own: they reap whatever is a child of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use piper_engine::process::{
    Child, Pid,
    reaper::reap_adopted,
    spawn::{self, Spawn, Stdio},
};
use std::{
    ffi::CString,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

/// Starts a shell that reads nothing and prints to `out`.
fn shell(script: &str, out: BorrowedFd<'_>) -> Child {
    let c_string = |text: &str| CString::new(text).unwrap();
    let path = std::env::var("PATH").unwrap();
    Spawn {
        program: c"/bin/sh",
        argv: &[c_string("sh"), c_string("-c"), c_string(script)],
        env: &[c_string(&format!("PATH={path}"))],
        cwd: c"/",
        stdio: Stdio::Fds([null().as_fd(), out, out]),
    }
    .start()
    .unwrap()
}

fn null() -> File {
    let mut options = File::options();
    options.read(true).write(true).open("/dev/null").unwrap()
}

/// Whether a process is there, be it only to be reaped.
fn is_there(pid: Pid) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain for {what}");
}

mod children {
    use super::*;
    use piper_core::build::Ended;

    #[test]
    fn a_status_that_somebody_waits_for_is_left_to_them() {
        let mut child = shell("exit 7", null().as_fd());
        let mut end = None;
        wait_until("its end", || {
            reap_adopted();
            end = child.end();
            end.is_some()
        });
        assert_eq!(end, Some(Ended::Status(7)));
    }

    #[test]
    fn a_child_that_nobody_waits_for_any_more_is_reaped() {
        let child = shell("exit 7", null().as_fd());
        let pid = child.pid;
        drop(child);
        wait_until("it to be reaped", || {
            reap_adopted();
            !is_there(pid)
        });
    }
}

mod event_loop {
    use super::*;
    use piper_core::{
        build::{Ended, Event},
        id::{BuildId, StepIx},
        time::Monotonic,
    };
    use piper_engine::{
        capture::{Capture, Capturing, Happening, Leader},
        clock::Clock,
        logs::{self, LiveReader, LogHandle, LogOptions, Need, Next},
        process::sessions::kill_group,
    };
    use std::sync::Arc;
    use test_case::test_case;

    const TURN: Duration = Duration::from_millis(20);

    /// What was started. It does not outlive the test.
    #[derive(Default)]
    struct Running(Vec<Pid>);

    impl Drop for Running {
        fn drop(&mut self) {
            for &pid in &self.0 {
                kill_group(pid, libc::SIGKILL);
            }
        }
    }

    /// An event loop whose log is in memory, and stays full until `reader` reads.
    struct Loop {
        capture: Capture,
        clock: Clock,
        log: LogHandle,
        reader: LiveReader,
        running: Running,
        /// No signal ever comes.
        _signals: (OwnedFd, OwnedFd),
    }

    impl Loop {
        fn new() -> Self {
            let (writer, log) = logs::start(LogOptions {
                file: None,
                build: BuildId::from_random(7),
                attempt: 1,
                masker: None,
                warn: Arc::new(|_| {}),
            });
            let signals = spawn::pipe().unwrap();
            let clock = Clock::start();
            Self {
                capture: Capture::new(writer, clock, signals.0.as_fd()).unwrap(),
                clock,
                reader: log.reader(Need::Required),
                log,
                running: Running::default(),
                _signals: signals,
            }
        }

        fn start(&mut self, step: u32, script: &str) {
            let (read, write) = spawn::pipe().unwrap();
            let child = shell(script, write.as_fd());
            self.running.0.push(child.pid);
            let what = Capturing {
                step: StepIx(step),
                r#try: 1,
                label: step.to_string(),
                leader: Leader::Process(child),
                streams: [Some(read), None],
            };
            self.capture.watch(what).unwrap();
        }

        fn now(&self) -> Monotonic {
            self.clock.now().mono
        }

        /// Turns for so long; says how often, and which steps ended.
        fn turn_for(&mut self, time: Duration) -> (u32, Vec<Event>) {
            let until = self.now() + time;
            let (mut turns, mut events) = (0, Vec::new());
            while self.now() < until {
                turns += 1;
                for happening in self.capture.turn(Some(TURN)) {
                    if let Happening::Event(event) = happening {
                        events.push(event);
                    }
                }
            }
            (turns, events)
        }

        /// Turns until a step ended.
        fn turn_until_end(&mut self) -> Event {
            for _ in 0..1000 {
                if let Some(event) = self.turn_for(TURN).1.pop() {
                    return event;
                }
            }
            panic!("no step ends");
        }

        /// Fills the log.
        fn fill(&mut self) {
            self.start(0, "exec yes");
            let mut before = None;
            while before != Some(self.log_size()) {
                before = Some(self.log_size());
                self.turn_for(Duration::from_millis(300));
            }
        }

        /// How much has come into the log. A reader that needs nothing sees it.
        fn log_size(&self) -> u64 {
            let mut reader = self.log.reader(Need::Optional);
            let mut end = 0;
            while let Next::Batch(batch) = reader.next(Duration::ZERO) {
                end = batch.end_seq();
            }
            end
        }

        /// Reads everything that is in the log.
        fn empty(&mut self) {
            while let Next::Batch(_) = self.reader.next(Duration::ZERO) {}
        }
    }

    #[test]
    fn a_full_log_is_waited_for_and_not_asked_all_the_time() {
        let mut events = Loop::new();
        events.fill();
        let (turns, _) = events.turn_for(Duration::from_millis(500));
        assert!(turns < 200, "{turns} turns in half a second");
    }

    #[test]
    fn a_step_that_prints_into_a_full_log_is_not_idle() {
        let mut turning = Loop::new();
        turning.fill();
        let before = turning.now();
        turning.turn_for(Duration::from_millis(100));
        let heard = turning.capture.heard(StepIx(0)).unwrap();
        assert!(heard >= before, "{heard:?} {before:?}");
    }

    #[test]
    fn what_a_step_printed_before_its_end_is_waited_for_while_the_log_is_full() {
        let mut events = Loop::new();
        events.fill();
        events.start(1, "echo last");
        let (_, ended) = events.turn_for(Duration::from_millis(600));
        assert_eq!(ended, [], "its last line is still in its pipe");
        kill_group(events.running.0[0], libc::SIGKILL);
        for _ in 0..1000 {
            events.empty();
            for event in events.turn_for(TURN).1 {
                let Event::Ended {
                    step,
                    how,
                    left_running,
                    ..
                } = event
                else {
                    continue;
                };
                if step == StepIx(1) {
                    assert_eq!((how, left_running), (Ended::Status(0), false));
                    return;
                }
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn what_a_step_left_running_keeps_its_end_from_nobody_however_much_that_prints() {
        let mut events = Loop::new();
        events.start(0, "yes & exit 3");
        for _ in 0..1000 {
            events.empty();
            if let [
                Event::Ended {
                    how, left_running, ..
                },
            ] = &events.turn_for(TURN).1[..]
            {
                assert_eq!((how, *left_running), (&Ended::Status(3), true));
                return;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn a_step_that_is_ended_is_reported_although_the_log_is_full() {
        let mut events = Loop::new();
        events.fill();
        events.capture.stopping(StepIx(0));
        kill_group(events.running.0[0], libc::SIGKILL);
        let Event::Ended { how, .. } = events.turn_until_end() else {
            panic!("only ends are told");
        };
        assert_eq!(how, Ended::Signal(libc::SIGKILL));
    }

    /// Nothing but the kernel keeps a killed process, so here nobody kills it.
    #[test_case("exec sleep 60"; "the leader")]
    #[test_case("exec > /dev/null; sleep 60 & exit 3"; "one of its group")]
    fn a_killed_step_that_does_not_go_is_given_up_some_time(script: &str) {
        let mut events = Loop::new();
        events.start(0, script);
        events.capture.killed(StepIx(0));
        let Event::Ended { left_running, .. } = events.turn_until_end() else {
            panic!("only ends are told");
        };
        assert!(left_running);
        let (turns, more) = events.turn_for(Duration::from_millis(500));
        assert!(turns < 200, "{turns} turns in half a second");
        assert_eq!(more, [], "it ends once");
    }

    #[test]
    fn the_end_does_not_wait_for_a_log_that_nobody_reads() {
        let mut events = Loop::new();
        events.fill();
        let (ended, end) = mpsc::channel();
        let Loop {
            capture,
            running: _running,
            reader: _reader,
            ..
        } = events;
        thread::spawn(move || ended.send(capture.finish()));
        let records = end.recv_timeout(Duration::from_secs(20));
        assert!(records.is_ok(), "it waits for ever");
    }
}
