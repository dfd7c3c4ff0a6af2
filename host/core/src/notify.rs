//! Who is told of builds, and when: the `[notify]` rules of a project.
//!
//! Which rules fire follows from what became of a build and of the one before it; nothing here tells anybody anything.

use crate::{
    id::PipelineName,
    plugin::{Options, Uses},
};

/// A table of `[notify]`: who is told of which builds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The notifier.
    pub uses: Uses,
    /// Its options; they refer to parameters of `[params]` only.
    pub with: Options,
    /// When it is told: at any of these.
    pub on: Vec<Occasion>,
    /// Of which pipelines; of all, if empty.
    pub pipelines: Vec<PipelineName>,
}

/// When somebody wants to hear of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// It begins.
    Started,
    /// It failed, or piper or the machine did.
    Failed,
    /// It succeeded, and the one before it had failed.
    Recovered,
    /// It failed and the one before had not, or the other way round.
    Changed,
    /// It ended, in whatever way.
    Always,
}

impl Occasion {
    /// All of them, with the word that the file uses.
    pub const ALL: [(&'static str, Self); 5] = [
        ("started", Self::Started),
        ("failed", Self::Failed),
        ("recovered", Self::Recovered),
        ("changed", Self::Changed),
        ("always", Self::Always),
    ];

    /// What a rule without `on` means.
    pub const DEFAULT: [Self; 2] = [Self::Failed, Self::Recovered];
}
