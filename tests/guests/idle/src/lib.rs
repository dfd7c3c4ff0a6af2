//! A step and a log sink that do nothing, as a compiler for wasm makes them.

wit_bindgen::generate!({
    path: "../../../plugin-sdk/wit/v0.1",
    inline: "
        package piper:guests;
        world idle {
            include piper:step/step-runner-plugin@0.1.0;
            include piper:logs/log-sink-plugin@0.1.0-draft.1;
        }
    ",
    world: "piper:guests/idle",
    generate_all,
});

use exports::piper::{
    logs::log_sink::{self, Receipt},
    step::step_runner::{self, Verdict},
};
use piper::{
    base::types::{Call, Failure},
    logs::log_types::Batch,
};

struct Idle;
export!(Idle);

impl step_runner::Guest for Idle {
    fn run(_: Call) -> Result<Verdict, Failure> {
        Ok(Verdict {
            status: "passed".into(),
            message: String::new(),
        })
    }
}

impl log_sink::Guest for Idle {
    fn open(_: Call) -> Result<(), Failure> {
        Ok(())
    }

    fn write(_: Vec<Batch>) -> Result<Receipt, Failure> {
        Ok(Receipt {
            again: vec![],
            rejected: vec![],
            wait_ms: None,
        })
    }

    fn close() -> Result<(), Failure> {
        Ok(())
    }
}
