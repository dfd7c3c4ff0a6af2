//! What plugins log when no step is theirs, before the user's eyes.

use crate::ui::{Ui, sanitize::words};
use piper_plugin_host::log::{Level, Line, Receiver};

/// Shows a plugin's log on standard error, as it comes.
pub(crate) struct Talk {
    pub(crate) title: String,
    pub(crate) ui: Ui,
}

impl Receiver for Talk {
    fn is_enabled(&self, level: Level) -> bool {
        let least = if self.ui.verbose {
            Level::Trace
        } else {
            Level::Info
        };
        level >= least && !self.ui.quiet
    }

    fn line(&self, line: Line) {
        let fields = line.fields.iter();
        let fields: String = fields
            .map(|(name, value)| format!(" {name}={value}"))
            .collect();
        self.ui.say(&format!(
            "{} │ {}{}",
            words(&self.title),
            words(&line.message),
            words(&fields)
        ));
    }
}
