//! Why a build cannot even begin.
//!
//! Nothing here knows the text of the project file: whoever has it shows a problem at its place.

use piper_core::{codes, problem::Problem};
use piper_engine::git;

/// Why a build cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the project file asks git for something that git does not know.
    #[error("{}", .problem.message)]
    Unanswered {
        /// What it asks, and how to mend it.
        problem: Box<Problem>,
        /// Where the value stands, as a JSON pointer into the file.
        pointer: String,
    },
    /// piper or the machine failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl Error {
    /// The value at `pointer` gets no answer, for the reason that `message` gives.
    pub(super) fn unanswered(message: String, pointer: String, help: &[&str]) -> Self {
        let problem = Problem::error(codes::NO_ANSWER_OF_GIT, message);
        Self::Unanswered {
            problem: Box::new(
                help.iter()
                    .fold(problem, |problem, &help| problem.help(help)),
            ),
            pointer,
        }
    }

    /// What came of a question to git that the value at `pointer` asks: a git that says no is told from one that cannot be run.
    pub(super) fn of_git(
        error: git::Error,
        question: &str,
        pointer: String,
        help: &[&str],
    ) -> Self {
        match error {
            git::Error::Refused { stderr, .. } => {
                // The rest is usage, or advice for those who typed the command themselves.
                let said = stderr.lines().next().unwrap_or_default();
                let said = ["fatal: ", "error: "]
                    .iter()
                    .find_map(|word| said.strip_prefix(word))
                    .unwrap_or(said);
                Self::unanswered(format!("{question}: {said}"), pointer, help)
            }
            git::Error::Run(_) => {
                Self::Failed(anyhow::Error::new(error).context(question.to_owned()))
            }
        }
    }
}
