//! A running command and all that it started, up to its end: as a step is ended, asked first and killed only after a grace period.
//!
//! Nothing here starts a command or says that it is to end: its time, its handle and its call do, and they are told here.

use super::{Awaited, Folders};
use crate::{policy::exec::MARK, service::CommandExit};
use std::{fs, io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};
use tokio::{
    process::Child,
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;

/// How soon it is first looked whether all that was asked to end did.
const FIRST_LOOK: Duration = Duration::from_millis(5);

/// How long there is between two such looks at most: each reads all of `/proc`.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// The commands of an instance that are not over, their handles dropped or not.
#[derive(Default)]
pub(crate) struct Attending {
    /// Told when a call is over, with the moment in which nothing may be left, if it is sooner than the grace period.
    over: watch::Sender<Option<Instant>>,
    /// Killed when they are dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Attending {
    /// Looks after a command that was just started.
    pub(super) async fn add(
        &self,
        attended: Attended,
        orders: Orders,
        ended: watch::Sender<Option<CommandExit>>,
    ) {
        // One that is started while its call is being stopped is not asked before the call's end.
        let over = self.over.subscribe();
        let mut tasks = self.tasks.lock().await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(attended.attend(orders, over, ended));
    }

    pub(super) fn end(&self, until: Option<Instant>) {
        self.over.send_replace(until);
    }

    pub(super) async fn ended(&self) {
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        // A long-lived instance has another call.
        self.over.send_replace(None);
    }
}

/// When a command is to end.
pub(super) struct Orders {
    pub(super) timeout: Option<Duration>,
    /// From being asked to being killed.
    pub(super) grace: Duration,
    /// The handle says so, or is dropped.
    pub(super) kill: watch::Receiver<bool>,
}

/// A command, and what it has for as long as something of it runs.
pub(super) struct Attended {
    pub(super) child: Child,
    pub(super) awaited: Awaited,
    pub(super) family: Family,
    pub(super) files: Option<Folders>,
    pub(super) _pipes: Vec<AbortOnDropJoinHandle<()>>,
    pub(super) _temporary: Option<tempfile::TempDir>,
    pub(super) is_over: bool,
}

impl Attended {
    /// Waits for its end, and brings it about when its time is over or somebody asks for it; then, when nobody holds it any more, the
    /// end of what it left behind.
    async fn attend(
        mut self,
        mut orders: Orders,
        mut over: watch::Receiver<Option<Instant>>,
        ended: watch::Sender<Option<CommandExit>>,
    ) {
        let began = Instant::now();
        let timeout = orders.timeout;
        let time_is_over = async {
            match timeout {
                Some(timeout) => sleep_until(began + timeout).await,
                None => std::future::pending().await,
            }
        };
        let mut is_call_over = false;
        let reason = tokio::select! {
            _ = self.child.wait() => None,
            () = time_is_over => Some("timeout"),
            // An error is the end of whoever could ask, and means the same.
            _ = orders.kill.wait_for(|asked| *asked) => Some("killed"),
            _ = over.changed() => {
                is_call_over = true;
                Some("killed")
            }
        };
        match reason {
            Some(_) => self.stop(orders.grace, &over).await,
            None => self.family.is_reaped = true,
        }
        let status = self.status().await;
        if let Some(files) = &self.files {
            files.count_anew();
        }
        ended.send_replace(Some(CommandExit {
            status: status
                .filter(|_| reason.is_none())
                .and_then(|status| status.code()),
            reason: reason.unwrap_or_else(|| how(status)),
            duration: began.elapsed(),
        }));
        let is_let_go = async { while orders.kill.changed().await.is_ok() {} };
        if !is_call_over {
            tokio::select! {
                () = is_let_go => {}
                _ = over.changed() => {}
            }
        }
        let left = self.apart(Family::lives).await;
        if left == Some(true) {
            self.stop(orders.grace, &over).await;
        }
        self.is_over = left.is_some();
        if let Some(files) = &self.files {
            files.count_anew();
        }
    }

    /// The leader's status, which is there or will be in a moment.
    async fn status(&mut self) -> Option<ExitStatus> {
        let status = loop {
            match self.child.wait().await {
                Ok(status) => break Some(status),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    sleep(Duration::ZERO).await;
                }
                Err(_) => break None,
            }
        };
        self.family.is_reaped = true;
        self.awaited = Awaited::default();
        status
    }

    /// Asks all of it to end, and kills what has not when the grace period is over.
    async fn stop(&self, grace: Duration, over: &watch::Receiver<Option<Instant>>) {
        let asked = Instant::now();
        self.apart(Family::ask).await;
        let mut pause = FIRST_LOOK;
        // The leader is not reaped meanwhile, or the number of its group could become another's.
        while self.apart(Family::lives).await == Some(true) {
            let until = (*over.borrow()).map_or(asked + grace, |until| until.min(asked + grace));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
        self.apart(Family::kill).await;
    }

    /// Does what reads all of `/proc` where that keeps nobody waiting; `None` when everything here ends, and this is dropped.
    async fn apart<T: Send + 'static>(&self, work: fn(&Family) -> T) -> Option<T> {
        let family = self.family.clone();
        tokio::task::spawn_blocking(move || work(&family))
            .await
            .ok()
    }
}

impl Drop for Attended {
    /// Kills what there is if this is dropped before its time.
    fn drop(&mut self) {
        if !self.is_over {
            self.family.kill();
        }
    }
}

fn how(status: Option<ExitStatus>) -> &'static str {
    match status.and_then(|status| status.signal()) {
        Some(_) => "signalled",
        None => "exited",
    }
}

/// What belongs to one command: its process group, and whatever carries its mark.
#[derive(Clone)]
pub(super) struct Family {
    group: libc::pid_t,
    mark: String,
    /// The leader's status was read, and the group's number may be another's.
    is_reaped: bool,
}

impl Family {
    /// Of a command that leads its group.
    pub(super) fn new(group: libc::pid_t, mark: String) -> Self {
        Self {
            group,
            mark,
            is_reaped: false,
        }
    }

    /// Asks all of them to end, each once: a second signal could cut the answer to the first one short.
    fn ask(&self) {
        let left_the_group = |pid: &libc::pid_t| {
            // SAFETY: the call takes a number.
            self.is_reaped || unsafe { libc::getpgid(*pid) } != self.group
        };
        let others: Vec<libc::pid_t> = self.members().into_iter().filter(left_the_group).collect();
        // Those that are stopped do not see it before they go on.
        for signal in [libc::SIGTERM, libc::SIGCONT] {
            self.signal_group(signal);
            signal_each(&others, signal);
        }
    }

    /// Ends all of them, also those that left the group.
    fn kill(&self) {
        self.signal_group(libc::SIGKILL);
        // A process may start another while we look; one that nobody ends twice cannot go on for ever.
        for _ in 0..3 {
            let members = self.members();
            signal_each(&members, libc::SIGKILL);
            if members.is_empty() {
                break;
            }
        }
    }

    fn signal_group(&self, signal: libc::c_int) {
        if !self.is_reaped {
            // SAFETY: the call takes two numbers. The group is the command's own, because its leader is not reaped.
            unsafe { libc::kill(-self.group, signal) };
        }
    }

    /// Whether something of it runs, as far as it can be told by the leader and the mark.
    fn lives(&self) -> bool {
        self.leader_lives() || !self.members().is_empty()
    }

    fn leader_lives(&self) -> bool {
        let (Ok(leader), false) = (libc::id_t::try_from(self.group), self.is_reaped) else {
            return false;
        };
        // SAFETY: an all-zero `siginfo_t` is valid, and the kernel only writes into it; `si_pid` is 0 if the child has not ended. Its
        // status stays there.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, leader, &raw mut info, options) == 0 && info.si_pid() == 0
        }
    }

    /// The living processes that carry the mark.
    fn members(&self) -> Vec<libc::pid_t> {
        let entry = format!("{MARK}={}", self.mark);
        let carries = |pid: &libc::pid_t| {
            // A zombie has no environment any more.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == entry.as_bytes())
        };
        let Ok(all) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(carries)
            .collect()
    }
}

fn signal_each(pids: &[libc::pid_t], signal: libc::c_int) {
    for pid in pids {
        // SAFETY: the call takes two numbers.
        unsafe { libc::kill(*pid, signal) };
    }
}
