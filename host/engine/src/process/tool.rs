//! Runs a small program of piper's own needs, such as git, and gives back what it printed.

use super::{check, retry, spawn};
use piper_core::build::Ended;
use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// What a tool printed, and whether it succeeded.
#[derive(Debug)]
pub struct Output {
    /// Whether its exit status was 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a tool in a folder, with this process's environment less the variables `without`, and no input, and waits for it.
///
/// # Errors
///
/// When it cannot be found or started.
pub fn run(name: &str, args: &[&OsStr], cwd: &Path, without: &[&str]) -> io::Result<Output> {
    let c_string = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let program = c_string(spawn::find_program(name.as_ref(), &path, cwd)?.as_os_str())?;
    let argv: Vec<CString> = [OsStr::new(name)]
        .iter()
        .chain(args)
        .map(|arg| c_string(arg))
        .collect::<io::Result<_>>()?;
    let env: Vec<CString> = std::env::vars_os()
        .filter(|(name, _)| !without.iter().any(|other| name == other))
        .filter_map(|(name, value)| {
            let mut entry = name.into_encoded_bytes();
            entry.push(b'=');
            entry.extend(value.as_bytes());
            CString::new(entry).ok()
        })
        .collect();
    let null = File::open("/dev/null")?;
    let (stdout, stdout_end) = spawn::pipe()?;
    let (stderr, stderr_end) = spawn::pipe()?;
    let mut child = spawn::Spawn {
        program: &program,
        argv: &argv,
        env: &env,
        cwd: &c_string(cwd.as_os_str())?,
        stdio: spawn::Stdio::Fds([null.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()]),
    }
    .start()?;
    drop((stdout_end, stderr_end));
    let (stdout, stderr) = drain(File::from(stdout), File::from(stderr))?;
    let success = loop {
        wait_for(&child.pidfd)?;
        if let Some(end) = child.end() {
            break end == Ended::Status(0);
        }
    };
    Ok(Output {
        success,
        stdout,
        stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
    })
}

/// Waits until a descriptor is readable.
fn wait_for(fd: &OwnedFd) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the structure lives until the call returns.
    retry(|| check(unsafe { libc::poll(&raw mut poll, 1, -1) })).map(drop)
}

/// Reads both pipes until they end; one after the other would let a tool block on the second.
fn drain(mut stdout: File, mut stderr: File) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut texts = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let poll = |file: &File, open: bool| libc::pollfd {
            fd: if open { file.as_raw_fd() } else { -1 },
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [poll(&stdout, out_open), poll(&stderr, err_open)];
        // SAFETY: the array lives until the call returns.
        retry(|| check(unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) }))?;
        if fds[0].revents != 0 {
            out_open = read_some(&mut stdout, &mut texts.0)?;
        }
        if fds[1].revents != 0 {
            err_open = read_some(&mut stderr, &mut texts.1)?;
        }
    }
    Ok(texts)
}

fn read_some(file: &mut File, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    match retry(|| file.read(&mut buffer)) {
        Ok(read) => {
            into.extend_from_slice(&buffer[..read]);
            Ok(read > 0)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_gives_back_both_outputs_and_whether_it_succeeded() {
        let script = "echo out; echo err >&2; exit 3";
        let output = run("sh", &["-c".as_ref(), script.as_ref()], Path::new("/"), &[]).unwrap();
        assert_eq!(
            (
                output.success,
                output.stdout.as_slice(),
                output.stderr.as_str()
            ),
            (false, &b"out\n"[..], "err")
        );
    }

    #[test]
    fn a_tool_that_is_not_there_is_not_found() {
        let error = run("piper-no-such-tool", &[], Path::new("/"), &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
