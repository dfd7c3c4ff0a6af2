//! The builds of this machine: where they are kept, how they are found again, and when they are forgotten.
//!
//! A build's own file is the truth; the index beside it only finds it, and is gathered again from the files when it is lost.
//! Nothing here knows what a step is, and no trouble here fails a build.
//!
//! ```text
//!   $XDG_STATE_HOME/piper/local/builds/ID.plog    one build: its events and its log
//!                              /index.db          which builds there are, as of the last time somebody asked
//!                              /recent            the builds since old ones were last removed
//! ```

mod file;
mod local;
mod place;
mod recent;
mod recorder;
mod retention;
#[cfg(test)]
pub(crate) mod sample;
mod settings;

pub use file::{KILLED, is_end_unknown, remains};
pub use local::{LocalHistory, Swept};
pub use place::Place;
pub(crate) use place::base;
pub use recorder::LocalRecorder;
pub use retention::Limits;
pub use settings::limits;

/// An error and what led to it, in one line. SQLite says everything twice; a cause that only repeats is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut text = said.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !next.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&next);
        }
        said = next;
        source = error.source();
    }
    text
}
