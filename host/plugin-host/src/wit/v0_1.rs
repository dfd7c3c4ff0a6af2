//! Version 0.1 of the contract.

use crate::{
    failure::{Failure, FailureKind},
    kind,
    log::clean,
};
use std::time::Duration;

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit/v0.1",
    world: "everything",
    imports: {
        "piper:base/log": trappable,
        "piper:base/control.cancelled": trappable,
        "piper:base/control.remaining-ms": trappable,
        "piper:base/control.supports": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "piper:base/http.request": crate::imports::http::Draft,
        "piper:base/http.exchange": crate::imports::http::UnderWay,
        "piper:base/exec.process": crate::imports::exec::Draft,
    },
    require_store_data_send: true,
});

pub(crate) use exports::piper::{
    base::config_check,
    logs::{log_reader, log_sink},
    notify::notifier,
    step::{step_planner, step_runner},
    trigger::{trigger_poll, trigger_webhook},
};
pub(crate) use piper::{base::types, logs::log_types, trigger::trigger_types};

/// The longest failure message of a guest.
const MESSAGE: usize = 4 * 1024;
/// The longest code.
const CODE: usize = 64;
/// The longest details.
const DETAILS: usize = 16 * 1024;
/// The longest a guest may ask to wait.
const RETRY_AFTER: Duration = Duration::from_secs(3600);

impl From<types::FailureKind> for FailureKind {
    fn from(kind: types::FailureKind) -> Self {
        match kind {
            types::FailureKind::Transient => Self::Transient,
            types::FailureKind::Permanent => Self::Permanent,
            types::FailureKind::Denied => Self::Denied,
            types::FailureKind::Invalid => Self::Invalid,
            types::FailureKind::Cancelled => Self::Cancelled,
        }
    }
}

impl From<FailureKind> for types::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Transient => Self::Transient,
            FailureKind::Permanent => Self::Permanent,
            FailureKind::Denied => Self::Denied,
            FailureKind::Invalid => Self::Invalid,
            FailureKind::Cancelled => Self::Cancelled,
        }
    }
}

/// A guest's failure: bounded and stripped, because it is shown to people.
impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        let details = failure.details.filter(|details| {
            details.len() <= DETAILS
                && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(details)
                    .is_ok()
        });
        let retry_after = failure
            .retry_after_ms
            .map(|ms| Duration::from_millis(ms.into()).min(RETRY_AFTER));
        Self {
            kind: failure.kind.into(),
            code: clean(&failure.code, CODE),
            message: clean(&failure.message, MESSAGE),
            retry_after,
            details,
            limit: None,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind.into(),
            code: failure.code,
            message: failure.message,
            retry_after_ms: failure
                .retry_after
                .map(|after| u32::try_from(after.as_millis()).unwrap_or(u32::MAX)),
            details: failure.details,
        }
    }
}

impl From<kind::Call> for types::Call {
    fn from(call: kind::Call) -> Self {
        Self {
            name: call.name,
            config: call.config,
            options: call.options,
            facts: call.facts,
        }
    }
}

impl From<step_runner::Verdict> for kind::Verdict {
    fn from(verdict: step_runner::Verdict) -> Self {
        Self {
            status: match verdict.status.as_str() {
                "passed" => kind::Status::Passed,
                "skipped" => kind::Status::Skipped,
                _ => kind::Status::Failed,
            },
            message: clean(&verdict.message, MESSAGE),
        }
    }
}

impl From<config_check::Problem> for kind::ConfigProblem {
    fn from(problem: config_check::Problem) -> Self {
        Self {
            path: clean(&problem.path, MESSAGE),
            message: clean(&problem.message, MESSAGE),
            help: problem.help.map(|help| clean(&help, MESSAGE)),
        }
    }
}

impl From<trigger_types::Ask> for kind::Ask {
    fn from(ask: trigger_types::Ask) -> Self {
        Self {
            kind: ask.kind,
            dedup_key: ask.dedup_key,
            body: ask.body,
        }
    }
}

impl From<trigger_poll::Outcome> for kind::Polled {
    fn from(outcome: trigger_poll::Outcome) -> Self {
        Self {
            asks: outcome.asks.into_iter().map(Into::into).collect(),
            cursor: outcome.cursor,
            next_poll_at: outcome.next_poll_at,
            more: outcome.more,
        }
    }
}

impl From<kind::Delivery> for trigger_webhook::Delivery {
    fn from(delivery: kind::Delivery) -> Self {
        Self {
            method: delivery.method,
            target: delivery.target,
            headers: delivery.headers,
            body: delivery.body,
        }
    }
}

impl From<trigger_webhook::Outcome> for kind::Received {
    fn from(outcome: trigger_webhook::Outcome) -> Self {
        let trigger_webhook::Outcome { response, asks } = outcome;
        Self {
            status: response.status,
            headers: response.headers,
            body: response.body,
            asks: asks.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<kind::StepRef> for log_types::StepRef {
    fn from(step: kind::StepRef) -> Self {
        Self {
            path: step.path,
            try_: step.r#try,
            more: step.more,
        }
    }
}

impl From<log_types::StepRef> for kind::StepRef {
    fn from(step: log_types::StepRef) -> Self {
        Self {
            path: step.path,
            r#try: step.try_,
            more: step.more,
        }
    }
}

impl From<kind::Batch> for log_types::Batch {
    fn from(batch: kind::Batch) -> Self {
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
            steps: batch.steps.into_iter().map(Into::into).collect(),
            columns: batch.columns,
            last: batch.last,
        }
    }
}

impl From<log_types::Batch> for kind::Batch {
    fn from(batch: log_types::Batch) -> Self {
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
            steps: batch.steps.into_iter().map(Into::into).collect(),
            columns: batch.columns,
            last: batch.last,
        }
    }
}

impl From<log_sink::Entry> for kind::EntryRef {
    fn from(entry: log_sink::Entry) -> Self {
        Self {
            batch: entry.batch,
            index: entry.index,
        }
    }
}

impl From<log_sink::Receipt> for kind::Receipt {
    fn from(receipt: log_sink::Receipt) -> Self {
        let rejected = receipt
            .rejected
            .into_iter()
            .map(|rejection| kind::Rejection {
                entry: rejection.entry.into(),
                code: clean(&rejection.code, CODE),
                message: clean(&rejection.message, MESSAGE),
            });
        Self {
            again: receipt.again.into_iter().map(Into::into).collect(),
            rejected: rejected.collect(),
            wait_ms: receipt.wait_ms,
        }
    }
}

impl From<log_reader::Page> for kind::Page {
    fn from(page: log_reader::Page) -> Self {
        Self {
            batches: page.batches.into_iter().map(Into::into).collect(),
            next: page.next,
            complete: page.complete,
        }
    }
}

impl From<log_reader::Hit> for kind::Hit {
    fn from(hit: log_reader::Hit) -> Self {
        Self {
            build: hit.build,
            attempt: hit.attempt,
            seq: hit.seq,
            time: hit.time,
            step: hit.step,
            line: hit.line,
            highlights: hit.highlights,
            more: hit.more,
        }
    }
}

impl From<log_reader::Found> for kind::Found {
    fn from(found: log_reader::Found) -> Self {
        Self {
            hits: found.hits.into_iter().map(Into::into).collect(),
            next: found.next,
            total: found.total,
        }
    }
}

impl From<kind::Event> for notifier::Event {
    fn from(event: kind::Event) -> Self {
        Self {
            kind: event.kind,
            id: event.id,
            subject: event.subject,
            seq: event.seq,
            at: event.at,
            body: event.body,
        }
    }
}
