//! `log`: always granted.

use crate::{
    instance::Sandbox,
    log::Level,
    wit::v0_1::piper::base::log::{Host, Labels, Level as WitLevel},
};
use wasmtime::Result;

impl Host for Sandbox {
    fn emit(&mut self, level: WitLevel, message: String, fields: Labels) -> Result<()> {
        self.log.write(level.into(), &message, fields);
        Ok(())
    }

    fn enabled(&mut self, level: WitLevel) -> Result<bool> {
        Ok(self.log.is_enabled(level.into()))
    }
}

impl From<WitLevel> for Level {
    fn from(level: WitLevel) -> Self {
        match level {
            WitLevel::Trace => Self::Trace,
            WitLevel::Debug => Self::Debug,
            WitLevel::Info => Self::Info,
            WitLevel::Warn => Self::Warn,
            WitLevel::Error => Self::Error,
        }
    }
}
