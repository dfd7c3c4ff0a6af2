//! The `piper` program.

use piper_engine::process::watcher;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The watcher is this program again. It must be small and quick, so it comes before everything else.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == watcher::ARGUMENT)
        && let Some(build) = args.next()
    {
        watcher::watch(&build.to_string_lossy());
        return ExitCode::SUCCESS;
    }
    // A limit of the size of files (`ulimit -f`) is then a failed write, as a full disk is, and ends no build.
    // SAFETY: installs no code, and nobody else in the process cares for this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    ExitCode::from(piper::cli::main())
}
