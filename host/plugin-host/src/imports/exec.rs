//! `exec`: puts commands together and keeps the count; [`Exec`](crate::service::Exec) decides and starts.

use super::{
    Answered, granted,
    held::{Charge, ITEM},
};
use crate::{
    effect::exec::KEPT,
    failure::{Failure, FailureKind},
    instance::Sandbox,
    policy::limit::Limit,
    service::{Command, CommandInput, CommandOutput, Process},
    wit::v0_1::piper::base::exec::{Exit, Host, HostProcess, Output},
};
use std::{sync::Arc, time::Duration};
use wasmtime::{Result, component::Resource};

/// Variables of one command: stops a builder that grows without end.
const VARIABLES: usize = 1_000;

/// A command being put together, then its process.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
#[derive(Default)]
pub struct Draft {
    command: Command,
    charge: Charge,
    /// The first mistake.
    mistake: Option<Failure>,
    process: Option<Arc<dyn Process>>,
    is_started: bool,
}

impl Draft {
    fn blame(&mut self, message: &str) {
        self.refuse(Failure::invalid("exec.command", message));
    }

    fn refuse(&mut self, why: Failure) {
        self.mistake.get_or_insert(why);
    }

    fn input(&mut self, input: CommandInput) {
        if self.command.stdin != CommandInput::Empty {
            self.blame("the command has two inputs");
        }
        self.command.stdin = input;
    }

    /// The command, once.
    fn take(&mut self) -> Result<Command, Failure> {
        if let Some(mistake) = self.mistake.clone() {
            return Err(mistake);
        }
        if std::mem::replace(&mut self.is_started, true) {
            return Err(Failure::invalid(
                "exec.command",
                "the command was started already",
            ));
        }
        Ok(std::mem::take(&mut self.command))
    }
}

impl Sandbox {
    /// Changes a command, if so many bytes more may be held for it.
    fn amend_command(
        &mut self,
        draft: &Resource<Draft>,
        bytes: usize,
        change: impl FnOnce(&mut Draft),
    ) -> Result<()> {
        let draft = self.table.get_mut(draft)?;
        match self.held.add(&mut draft.charge, bytes) {
            Ok(()) => change(draft),
            Err(failure) => draft.refuse(failure),
        }
        Ok(())
    }

    fn process(&self, draft: &Resource<Draft>) -> Result<Result<Arc<dyn Process>, Failure>> {
        let process = self.table.get(draft)?.process.clone();
        Ok(process.ok_or_else(|| Failure::invalid("exec.command", "the command was not started")))
    }

    async fn start_command(&mut self, command: Command) -> Result<Arc<dyn Process>, Failure> {
        let exec = granted(self.services.exec.as_ref(), "policy.exec", "commands")?;
        if self.used.processes >= self.limits.processes {
            return Err(Failure::limited(
                FailureKind::Permanent,
                self.limits.reached(Limit::Processes),
                "the call may start no more commands",
            ));
        }
        let process = self.brake.wait(exec.start(command)).await?;
        // What was refused is no process: it takes no place of one that is granted.
        self.used.processes += 1;
        Ok(process)
    }
}

fn output(output: CommandOutput) -> Output {
    Output {
        bytes: output.bytes,
        closed: output.closed,
        dropped: output.dropped,
    }
}

impl Host for Sandbox {}

impl HostProcess for Sandbox {
    async fn new(&mut self, argv: Vec<String>) -> Result<Resource<Draft>> {
        let draft = self.table.push(Draft::default())?;
        let bytes = argv.iter().map(|word| word.len() + ITEM).sum();
        self.amend_command(&draft, bytes, |draft| {
            if argv.first().is_none_or(String::is_empty) {
                draft.blame("the command names no program");
            }
            draft.command.argv = argv;
        })?;
        Ok(draft)
    }

    async fn env(&mut self, draft: Resource<Draft>, name: String, value: String) -> Result<()> {
        self.amend_command(&draft, name.len() + value.len() + ITEM, |draft| {
            if draft.command.env.len() >= VARIABLES {
                draft.blame("the command has too many variables");
            } else {
                draft.command.env.push((name, value));
            }
        })
    }

    async fn cwd(&mut self, draft: Resource<Draft>, path: String) -> Result<()> {
        self.amend_command(&draft, path.len(), |draft| draft.command.cwd = Some(path))
    }

    async fn stdin(&mut self, draft: Resource<Draft>, bytes: Vec<u8>) -> Result<()> {
        self.amend_command(&draft, bytes.len(), |draft| {
            draft.input(CommandInput::Bytes(bytes));
        })
    }

    async fn stdin_file(&mut self, draft: Resource<Draft>, path: String) -> Result<()> {
        self.amend_command(&draft, path.len(), |draft| {
            draft.input(CommandInput::File(path));
        })
    }

    async fn stdout_file(&mut self, draft: Resource<Draft>, path: String) -> Result<()> {
        self.amend_command(&draft, path.len(), |draft| {
            draft.command.stdout_file = Some(path);
        })
    }

    async fn timeout_ms(&mut self, draft: Resource<Draft>, ms: u32) -> Result<()> {
        let timeout = Duration::from_millis(ms.into());
        self.table.get_mut(&draft)?.command.timeout = Some(timeout);
        Ok(())
    }

    async fn quiet(&mut self, draft: Resource<Draft>) -> Result<()> {
        self.table.get_mut(&draft)?.command.quiet = true;
        Ok(())
    }

    async fn start(&mut self, draft: Resource<Draft>) -> Answered<()> {
        let begun = self.table.get_mut(&draft)?;
        let taken = begun.take().and_then(|command| {
            // What is kept of its output, for as long as somebody may read it.
            let streams = 1 + usize::from(command.stdout_file.is_none());
            self.held.add(&mut begun.charge, streams * KEPT)?;
            Ok(command)
        });
        let process = match taken {
            Ok(command) => self.start_command(command).await,
            Err(failure) => Err(failure),
        };
        let started = match process {
            Ok(process) => {
                self.table.get_mut(&draft)?.process = Some(process);
                Ok(())
            }
            Err(failure) => {
                // Nothing is kept for a command that does not run.
                self.table.get_mut(&draft)?.charge = Charge::default();
                Err(failure)
            }
        };
        Ok(self.told.answer(started))
    }

    async fn stdout(&mut self, draft: Resource<Draft>, max: u32) -> Answered<Output> {
        let written = match self.process(&draft)? {
            Ok(process) => self.brake.clone().wait(process.stdout(max)).await,
            Err(failure) => Err(failure),
        };
        Ok(self.told.answer(written.map(output)))
    }

    async fn stderr(&mut self, draft: Resource<Draft>, max: u32) -> Answered<Output> {
        let written = match self.process(&draft)? {
            Ok(process) => self.brake.clone().wait(process.stderr(max)).await,
            Err(failure) => Err(failure),
        };
        Ok(self.told.answer(written.map(output)))
    }

    async fn kill(&mut self, draft: Resource<Draft>) -> Answered<()> {
        let killed = match self.process(&draft)? {
            // Ending a process is what a stopped call still has to do.
            Ok(process) => process.kill().await,
            Err(failure) => Err(failure),
        };
        Ok(self.told.answer(killed))
    }

    async fn wait(&mut self, draft: Resource<Draft>) -> Answered<Exit> {
        let exit = match self.process(&draft)? {
            Ok(process) => self.brake.clone().wait(process.wait()).await,
            Err(failure) => Err(failure),
        };
        let exit = exit.map(|exit| Exit {
            status: exit.status,
            reason: exit.reason.to_owned(),
            duration_ms: u32::try_from(exit.duration.as_millis()).unwrap_or(u32::MAX),
        });
        Ok(self.told.answer(exit))
    }

    async fn drop(&mut self, draft: Resource<Draft>) -> Result<()> {
        self.table.delete(draft)?;
        Ok(())
    }
}
