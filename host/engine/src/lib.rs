//! piper-engine.

pub mod logs;
