//! The plugin's own log, for its author and its operator. What users should read goes to the step's log or its report instead.
//!
//! ```
//! use piper_plugin::{debug, info, warn};
//!
//! let (bucket, files) = ("results", 3);
//! info!("uploading to {bucket}");
//! info!("uploaded"; bucket, files);
//! warn!("{files} files were not there"; seconds = 1.5);
//! debug!("costs nothing unless somebody wants to read it");
//! ```
//!
//! What follows the semicolon are fields, each a name and something that can be displayed. Always granted. Lines are cut at 8 KiB and
//! at 200 a second, and secrets are masked in them.

use crate::host;
use std::fmt;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Steps of the plugin's inner life; dropped unless asked for.
    Trace,
    /// What helps to find a mistake; dropped unless asked for.
    Debug,
    /// What happened.
    Info,
    /// What should not happen and was dealt with.
    Warn,
    /// What went wrong and was not.
    Error,
}

/// Whether lines of this level are kept.
pub fn enabled(level: Level) -> bool {
    host::log_enabled(level)
}

/// Writes a line; the macros are shorter.
pub fn emit(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &dyn fmt::Display)]) {
    if !enabled(level) {
        return;
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_string()))
        .collect();
    match message.as_str() {
        Some(text) => host::log_emit(level, text, &fields),
        None => host::log_emit(level, &message.to_string(), &fields),
    }
}

/// Writes a line of a level: `log!(Level::Info, "text"; name = value, name)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $format:literal $(, $argument:expr)* $(; $($name:ident $(= $value:expr)?),+ $(,)?)?) => {
        $crate::log::emit($level, format_args!($format $(, $argument)*), &[$($($crate::__field!($name $(= $value)?)),+)?])
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    ($name:ident) => {
        (stringify!($name), &$name as &dyn ::core::fmt::Display)
    };
    ($name:ident = $value:expr) => {
        (stringify!($name), &$value as &dyn ::core::fmt::Display)
    };
}

/// Logs a step of the plugin's inner life.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => {
        $crate::log!($crate::log::Level::Trace, $($line)+)
    };
}

/// Logs what helps to find a mistake.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => {
        $crate::log!($crate::log::Level::Debug, $($line)+)
    };
}

/// Logs what happened.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => {
        $crate::log!($crate::log::Level::Info, $($line)+)
    };
}

/// Logs what should not happen and was dealt with.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => {
        $crate::log!($crate::log::Level::Warn, $($line)+)
    };
}

/// Logs what went wrong.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => {
        $crate::log!($crate::log::Level::Error, $($line)+)
    };
}
