//! What a build does: order, conditions, ends, environments, signals.

mod clean;
mod conditions;
mod ends;
mod environment;
mod order;
mod outputs;
mod pipes;
mod secrets;
mod signals;
mod survivors;
mod tty;
