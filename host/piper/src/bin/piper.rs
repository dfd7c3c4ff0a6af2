//! The `piper` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(piper::cli::main())
}
