//! What the exit status of `piper` says (DESIGN, the commands).
//!
//! After a signal piper has no exit status of its own: it cleans up and raises the signal again.

/// All went well.
pub const SUCCESS: u8 = 0;
/// The build failed.
pub const BUILD_FAILED: u8 = 1;
/// The command line or the project file is wrong; nothing ran.
pub const USAGE: u8 = 2;
/// piper or the machine failed.
pub const ERRORED: u8 = 3;
/// Somebody else cancelled the build.
pub const CANCELLED: u8 = 4;
