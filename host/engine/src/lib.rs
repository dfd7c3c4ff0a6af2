//! piper-engine.
