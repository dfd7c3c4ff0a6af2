//! The moving parts: processes, pipes, threads, files, clocks.
//!
//! [`runner`] runs a build; [`capture`] reads what its steps print; [`logs`] keeps and serves it; [`task`] is how
//! steps run that are no processes. Rules live in `piper-core`, and
//! nothing here talks to a person.

#[cfg(not(target_os = "linux"))]
compile_error!("piper runs on Linux for now: it needs epoll, pidfd, signalfd and a subreaper");

pub mod capture;
pub mod clock;
pub mod environment;
pub mod folder;
pub mod git;
pub mod logs;
pub mod process;
pub mod runner;
pub mod scratch;
pub mod secrets;
pub mod signals;
pub mod task;
