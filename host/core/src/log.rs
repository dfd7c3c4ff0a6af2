//! What a log line is.
//!
//! Bytes travel outside this module, in the engine's frames; here is only what everybody must agree on.

pub mod mask;

use crate::time::Timestamp;
use std::ops::{BitOr, BitOrAssign};

/// Which stream of a step a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The longest record, in bytes. A longer line is cut into records that say [`Marks::CONTINUES`].
pub const MAX_RECORD: usize = 64 * 1024;

/// What is special about a record. The bits are those of the `marks` column of the plugins' contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Marks(pub u8);

impl Marks {
    /// From standard error.
    pub const STDERR: Self = Self(1);
    /// The line goes on in the next record of the same step, try and stream; together they are one line.
    pub const CONTINUES: Self = Self(1 << 2);
    /// The stream ended without a line end here.
    pub const NO_EOL: Self = Self(1 << 3);
    /// piper's own words.
    pub const PIPER: Self = Self(1 << 4);
    /// Records before this one were dropped.
    pub const DROPPED_BEFORE: Self = Self(1 << 5);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The stream that the bits name.
    pub fn stream(self) -> Stream {
        if self.contains(Self::STDERR) {
            Stream::Stderr
        } else {
            Stream::Stdout
        }
    }

    /// Whether a line feed followed the record's bytes.
    pub fn ends_line(self) -> bool {
        self.0 & (Self::CONTINUES.0 | Self::NO_EOL.0) == 0
    }
}

impl BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl From<Stream> for Marks {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::default(),
            Stream::Stderr => Self::STDERR,
        }
    }
}

/// One record as every reader hands it out: a line without its line feed, or a part of one ([`Marks::CONTINUES`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in the attempt, from 0, over all steps and tries.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// The step, by its place in the plan.
    pub step: u32,
    /// Which try of the step, from 1.
    pub r#try: u32,
    /// Its stream and what else is special about it.
    pub marks: Marks,
    /// The bytes, as the step wrote them.
    pub text: &'a [u8],
}
