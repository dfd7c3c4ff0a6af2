//! piper-store.
