//! Finds and signals what a step left behind.
//!
//! `/proc` is read, and nothing is remembered between two calls: a list of processes is old the moment it is made, so every
//! caller that wants all of them gone asks again until none is left.

use super::Pid;
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read},
    path::Path,
};

/// Sends a signal to a process group; `false` if it has no member.
pub fn kill_group(group: Pid, signal: libc::c_int) -> bool {
    // SAFETY: the call takes two numbers. Zero and one would mean other groups than a step's.
    group > 1 && unsafe { libc::kill(-group, signal) } == 0
}

/// Sends a signal to one process.
pub fn kill_one(pid: Pid, signal: libc::c_int) {
    if pid > 1 {
        // SAFETY: the call takes two numbers.
        unsafe { libc::kill(pid, signal) };
    }
}

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Its parent's id.
    pub parent: Pid,
    /// Its process group's id.
    pub group: Pid,
    /// Its session's id.
    pub session: Pid,
    /// When it started, in the kernel's ticks since boot: a pid that is used again has another one.
    pub started: u64,
    /// It ended and waits to be reaped.
    pub zombie: bool,
    /// A signal stopped it, or a debugger.
    pub stopped: bool,
}

/// All processes that can be seen.
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// One process, if there is one.
pub fn process(pid: Pid) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may itself contain brackets and spaces. It is no text: the kernel
    // cuts it after 15 bytes, which may be in the middle of a letter.
    let numbers = memchr::memrchr(b')', &stat)? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&stat[numbers..])
        .ok()?
        .split_ascii_whitespace()
        .collect();
    let state = *fields.first()?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        zombie: state == "Z" || state == "X",
        stopped: state == "T" || state == "t",
    })
}

/// Whether a process group has a living member. A zombie is none: nobody but its parent can make it go, and that may be anywhere.
pub fn group_lives(group: Pid) -> bool {
    // Nearly always there is nobody, and reading all of /proc takes milliseconds.
    kill_group(group, 0) && processes().iter().any(|p| p.group == group && !p.zombie)
}

/// The living members of these sessions, and everything that descends from them.
pub fn members(sessions: &[Pid]) -> Vec<Pid> {
    let all = processes();
    let roots = all
        .iter()
        .filter(|p| sessions.contains(&p.session))
        .map(|p| p.pid)
        .collect();
    with_descendants(&all, roots)
}

/// The living descendants of this process but for `known` and theirs: what steps left behind, once it is a subreaper.
pub fn orphans(known: &[Pid]) -> Vec<Pid> {
    // Nearly always there are none, and reading all of /proc takes milliseconds.
    if own_children().is_some_and(|children| children.iter().all(|pid| known.contains(pid))) {
        return Vec::new();
    }
    let own = std::process::id() as Pid;
    let all = processes();
    let roots = all
        .iter()
        .filter(|p| p.parent == own && !known.contains(&p.pid))
        .map(|p| p.pid)
        .collect();
    with_descendants(&all, roots)
}

/// The children of this process.
pub fn children() -> Vec<Pid> {
    let own = std::process::id() as Pid;
    own_children().unwrap_or_else(|| {
        let all = processes();
        all.iter()
            .filter(|p| p.parent == own)
            .map(|p| p.pid)
            .collect()
    })
}

/// The children of this process; `None` where the kernel does not list them.
fn own_children() -> Option<Vec<Pid>> {
    // A thread that ends in the middle leaves its children to another, whose list may have been read already.
    let threads = Path::new("/proc/self/task");
    (0..10).find_map(|_| children_of(threads).transpose())?.ok()
}

/// The children of the threads in this folder; `None` if one of those ended before it was asked.
fn children_of(threads: &Path) -> io::Result<Option<Vec<Pid>>> {
    let mut children = Vec::new();
    for task in fs::read_dir(threads)? {
        let task = task?.path();
        let list = match fs::read_to_string(task.join("children")) {
            Err(_) if !task.exists() => return Ok(None),
            list => list?,
        };
        let pids = list.split_ascii_whitespace();
        children.extend(pids.filter_map(|pid| pid.parse::<Pid>().ok()));
    }
    Ok(Some(children))
}

fn with_descendants(all: &[Process], roots: Vec<Pid>) -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for process in all {
        children
            .entry(process.parent)
            .or_default()
            .push(process.pid);
    }
    let zombies: HashSet<Pid> = all.iter().filter(|p| p.zombie).map(|p| p.pid).collect();
    let mut seen: HashSet<Pid> = HashSet::new();
    let mut open = roots;
    while let Some(pid) = open.pop() {
        if seen.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    seen.into_iter()
        .filter(|pid| !zombies.contains(pid))
        .collect()
}

/// Whether a process ignores a signal.
pub fn ignores(pid: Pid, signal: libc::c_int) -> bool {
    let mask = fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        });
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// The name of the program that a process runs, as far as the kernel keeps it.
pub fn program_of(pid: Pid) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// A variable of a process's initial environment; `None` where it may not be read.
pub fn variable_of(pid: Pid, name: &str) -> Option<Vec<u8>> {
    // A process can put megabytes there; what a step got stands in the first part.
    const MOST: u64 = 4 << 20;
    let mut environ = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .take(MOST)
        .read_to_end(&mut environ)
        .ok()?;
    let prefix = format!("{name}=");
    environ
        .split(|b| *b == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::{super::spawn, *};

    #[test]
    fn a_process_sees_itself_and_its_environment() {
        let own = std::process::id() as Pid;
        let found = processes().into_iter().find(|p| p.pid == own).unwrap();
        assert!(!found.zombie);
        assert_eq!(
            variable_of(own, "PATH"),
            std::env::var_os("PATH").map(|v| v.into_encoded_bytes())
        );
        assert_eq!(variable_of(own, "PIPER_NO_SUCH_VARIABLE"), None);
    }

    #[test]
    fn a_thread_that_ends_while_its_children_are_listed_is_no_reason_to_read_all_of_proc() {
        let threads = tempfile::tempdir().unwrap();
        let children = threads.path().join("1/children");
        std::fs::create_dir(threads.path().join("1")).unwrap();
        std::fs::write(&children, "10 11 ").unwrap();
        assert_eq!(children_of(threads.path()).unwrap(), Some(vec![10, 11]));
        std::os::unix::fs::symlink("gone", threads.path().join("2")).unwrap();
        assert_eq!(children_of(threads.path()).unwrap(), None, "look again");
        std::fs::remove_file(&children).unwrap();
        std::fs::remove_file(threads.path().join("2")).unwrap();
        assert!(children_of(threads.path()).is_err(), "not on this kernel");
    }

    #[test]
    fn a_process_whose_name_ends_in_half_a_letter_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        // Of these 16 bytes the kernel keeps 15.
        let program = folder.path().join("ääääää) ä");
        std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        let child = spawn::tests::start(&program, &["-c", "while :; do sleep 0.05; done"]);
        let found = process(child.pid);
        spawn::discard(child.pid);
        assert_eq!(
            found.map(|p| p.parent),
            Some(std::process::id() as Pid),
            "its parent is read from behind its name"
        );
    }

    #[test]
    fn descendants_are_found_over_several_generations_and_zombies_are_not() {
        let process = |pid, parent, zombie| Process {
            pid,
            parent,
            group: 1,
            session: 1,
            started: 0,
            zombie,
            stopped: false,
        };
        let all = [
            process(10, 1, false),
            process(11, 10, true),
            process(12, 11, false),
            process(13, 1, false),
        ];
        let mut found = with_descendants(&all, vec![10]);
        found.sort_unstable();
        assert_eq!(found, [10, 12]);
    }
}
