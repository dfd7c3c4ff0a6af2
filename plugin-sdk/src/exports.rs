//! From the bindings' types to those of the SDK and back: one function for each exported one.

use crate::{
    bindings::imports::piper::{
        base::types::{Call, Failure},
        logs::log_types as raw_logs,
        trigger::trigger_types,
    },
    host::RawCall,
    logs,
    trigger::Ask,
};
use serde_json::Value;
use std::sync::Once;

/// Before anything of the plugin runs: a panic is one line on stderr, which the host keeps beside the trap.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let payload = info.payload();
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("without a message");
            let place = info
                .location()
                .map_or_else(String::new, |place| format!(" at {place}"));
            #[expect(
                clippy::print_stderr,
                reason = "the host reads it; the log is for what the plugin says on purpose"
            )]
            {
                eprintln!("the plugin panicked{place}: {message}");
            }
        }));
    });
}

fn begin(call: Call) -> RawCall {
    prepare();
    call.into()
}

impl From<Ask> for trigger_types::Ask {
    fn from(ask: Ask) -> Self {
        Self {
            kind: ask.kind,
            dedup_key: ask.dedup_key,
            body: Value::Object(ask.body).to_string(),
        }
    }
}

impl From<raw_logs::Batch> for logs::Batch {
    fn from(raw: raw_logs::Batch) -> Self {
        let steps = raw.steps.into_iter();
        Self {
            build: raw.build,
            attempt: raw.attempt,
            facts: raw.facts,
            first_seq: raw.first_seq,
            text: raw.text,
            ends: raw.ends,
            times: raw.times,
            step_of: raw.step_of,
            marks: raw.marks,
            steps: steps
                .map(|step| logs::StepRef {
                    path: step.path,
                    r#try: step.try_,
                    more: step.more,
                })
                .collect(),
            columns: raw.columns,
            last: raw.last,
        }
    }
}

impl From<logs::Batch> for raw_logs::Batch {
    fn from(batch: logs::Batch) -> Self {
        let steps = batch.steps.into_iter();
        Self {
            build: batch.build,
            attempt: batch.attempt,
            facts: batch.facts,
            first_seq: batch.first_seq,
            text: batch.text,
            ends: batch.ends,
            times: batch.times,
            step_of: batch.step_of,
            marks: batch.marks,
            steps: steps
                .map(|step| raw_logs::StepRef {
                    path: step.path,
                    try_: step.r#try,
                    more: step.more,
                })
                .collect(),
            columns: batch.columns,
            last: batch.last,
        }
    }
}

pub mod step_planner {
    use super::*;
    use crate::step_planner::Plan;

    pub fn plan(
        run: &impl Fn(RawCall) -> crate::Result<Plan>,
        call: Call,
    ) -> Result<String, Failure> {
        Ok(run(begin(call))?.to_string())
    }
}

pub mod step_runner {
    use super::*;
    use crate::{
        bindings::step_runner::exports::piper::step::step_runner::Verdict as Raw,
        step_runner::{Status, Verdict},
    };

    pub fn run(
        run: &impl Fn(RawCall) -> crate::Result<Verdict>,
        call: Call,
    ) -> Result<Raw, Failure> {
        let verdict = run(begin(call))?;
        let status = match verdict.status {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
        };
        Ok(Raw {
            status: status.into(),
            message: verdict.message,
        })
    }
}

pub mod notifier {
    use super::*;
    use crate::{
        bindings::notifier::exports::piper::notify::notifier as raw,
        notifier::{Event, Undelivered},
        time::Timestamp,
    };

    impl From<raw::Event> for Event {
        fn from(event: raw::Event) -> Self {
            Self {
                kind: event.kind,
                id: event.id,
                subject: event.subject,
                seq: event.seq,
                at: Timestamp(event.at),
                body: serde_json::from_str(&event.body).unwrap_or_default(),
            }
        }
    }

    pub fn notify(
        run: &impl Fn(RawCall, Vec<Event>) -> crate::Result<Vec<Undelivered>>,
        call: Call,
        events: Vec<raw::Event>,
    ) -> Result<Vec<raw::Undelivered>, Failure> {
        let undelivered = run(begin(call), events.into_iter().map(Into::into).collect())?;
        Ok(undelivered
            .into_iter()
            .map(|one| raw::Undelivered {
                // No batch is that long; if it were, the host would refuse the index.
                index: u32::try_from(one.index).unwrap_or(u32::MAX),
                why: one.why.into(),
            })
            .collect())
    }
}

pub mod log_sink {
    use super::*;
    use crate::{
        bindings::log_sink::exports::piper::logs::log_sink as raw,
        failure,
        host::millis,
        log_sink::{Place, Sink},
    };
    use std::cell::RefCell;

    thread_local! {
        /// The instance's sink: one, and one call at a time.
        static SINK: RefCell<Option<Box<dyn Sink>>> = const { RefCell::new(None) };
    }

    type Open = dyn Fn(RawCall) -> crate::Result<Box<dyn Sink>>;

    impl From<Place> for raw::Entry {
        fn from(place: Place) -> Self {
            Self {
                batch: place.batch,
                index: place.index,
            }
        }
    }

    fn not_open() -> Failure {
        failure::Failure::permanent("sink.not-open", "the sink was not opened").into()
    }

    pub fn open(open: &Open, call: Call) -> Result<(), Failure> {
        SINK.set(Some(open(begin(call))?));
        Ok(())
    }

    pub fn write(_: &Open, batches: Vec<raw_logs::Batch>) -> Result<raw::Receipt, Failure> {
        let batches: Vec<_> = batches.into_iter().map(Into::into).collect();
        let receipt = SINK.with_borrow_mut(|sink| match sink {
            Some(sink) => Ok(sink.write(&batches)?),
            None => Err(not_open()),
        })?;
        let rejected = receipt.rejected.into_iter();
        Ok(raw::Receipt {
            again: receipt.again.into_iter().map(Into::into).collect(),
            rejected: rejected
                .map(|one| raw::Rejection {
                    entry: one.entry.into(),
                    code: one.code,
                    message: one.message,
                })
                .collect(),
            wait_ms: receipt.wait.map(millis),
        })
    }

    pub fn close(_: &Open) -> Result<(), Failure> {
        match SINK.take() {
            Some(sink) => Ok(sink.close()?),
            None => Err(not_open()),
        }
    }
}

pub mod log_reader {
    use super::*;
    use crate::{
        bindings::log_reader::exports::piper::logs::log_reader as raw,
        log_reader::{Found, Page, RawRead, RawSearch},
    };

    type Read = fn(RawCall, RawRead) -> crate::Result<Page>;
    type Search = fn(RawCall, RawSearch) -> crate::Result<Found>;

    pub fn read(
        (read, _): &(Read, Search),
        call: Call,
        range: String,
        cursor: Option<String>,
        max_entries: u32,
        max_bytes: u32,
    ) -> Result<raw::Page, Failure> {
        let page = read(
            begin(call),
            RawRead {
                range,
                cursor,
                max_entries,
                max_bytes,
            },
        )?;
        Ok(raw::Page {
            batches: page.batches.into_iter().map(Into::into).collect(),
            next: page.next,
            complete: page.complete,
        })
    }

    pub fn search(
        (_, search): &(Read, Search),
        call: Call,
        query: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<raw::Found, Failure> {
        let found = search(
            begin(call),
            RawSearch {
                query,
                cursor,
                limit,
            },
        )?;
        let hits = found.hits.into_iter().map(|hit| raw::Hit {
            build: hit.build,
            attempt: hit.attempt,
            seq: hit.seq,
            time: hit.time.0,
            step: hit.step,
            line: hit.line,
            highlights: hit.highlights,
            more: Value::Object(hit.more).to_string(),
        });
        Ok(raw::Found {
            hits: hits.collect(),
            next: found.next,
            total: found.total,
        })
    }
}

pub mod trigger_poll {
    use super::*;
    use crate::{
        bindings::trigger_poll::exports::piper::trigger::trigger_poll as raw, trigger_poll::Polled,
    };

    pub fn poll(
        run: &impl Fn(RawCall, Option<String>) -> crate::Result<Polled>,
        call: Call,
        cursor: Option<String>,
    ) -> Result<raw::Outcome, Failure> {
        let polled = run(begin(call), cursor)?;
        Ok(raw::Outcome {
            asks: polled.asks.into_iter().map(Into::into).collect(),
            cursor: polled.cursor,
            next_poll_at: polled.next_poll_at.map(|at| at.0),
            more: polled.more,
        })
    }
}

pub mod trigger_webhook {
    use super::*;
    use crate::{
        bindings::trigger_webhook::exports::piper::trigger::trigger_webhook as raw,
        trigger_webhook::{Received, Request},
    };

    pub fn receive(
        run: &impl Fn(RawCall, Request) -> crate::Result<Received>,
        call: Call,
        delivery: raw::Delivery,
    ) -> Result<raw::Outcome, Failure> {
        let request = Request {
            method: delivery.method,
            target: delivery.target,
            headers: delivery.headers,
            body: delivery.body,
        };
        let received = run(begin(call), request)?;
        Ok(raw::Outcome {
            response: raw::Response {
                status: received.status,
                headers: received.headers,
                body: received.body,
            },
            asks: received.asks.into_iter().map(Into::into).collect(),
        })
    }
}

pub mod config_check {
    use super::*;
    use crate::{
        bindings::config_check::exports::piper::base::config_check as raw, config_check::Problem,
    };

    pub fn check(run: &impl Fn(RawCall) -> Vec<Problem>, call: Call) -> Vec<raw::Problem> {
        let problems = run(begin(call)).into_iter();
        problems
            .map(|problem| raw::Problem {
                path: problem.path,
                message: problem.message,
                help: problem.help,
            })
            .collect()
    }
}
