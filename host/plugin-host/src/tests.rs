//! The whole host against real components: what it refuses, what each kind answers, and what happens to a guest that misbehaves.

mod build;
mod calls;
pub(crate) mod guests;
mod hostile;
mod limits;
mod loading;
