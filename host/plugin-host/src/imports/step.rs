//! `step-context`: what a running step tells its build.

use super::Answered;
use crate::{
    failure::{Failure, FailureKind},
    instance::Sandbox,
    policy::limit::Limit,
    service::StepContext,
    wit::v0_1::piper::step::step_context::Host,
};
use piper_core::id::{MAX_NAME, ParamName};
use std::sync::Arc;
use wasmtime::Result;

/// Kinds of reports of one step. Fixed: each is a file, and there are no more kinds of things to report.
const REPORT_KINDS: usize = 64;

impl Host for Sandbox {
    async fn print(&mut self, is_stderr: bool, bytes: Vec<u8>) -> Result<()> {
        let Some(step) = &self.services.step else {
            return Ok(());
        };
        let stream = &mut self.printed[usize::from(is_stderr)];
        let shown = match self.mask.masker() {
            Some(masker) => stream.push(&masker, &bytes),
            None => bytes,
        };
        if !shown.is_empty() {
            step.print(is_stderr, shown);
        }
        Ok(())
    }

    async fn set_output(&mut self, name: String, value: String) -> Answered<()> {
        let set = self.output(name, value);
        Ok(self.told.answer(set))
    }

    async fn report(&mut self, kind: String, items: Vec<String>) -> Answered<()> {
        let added = self.add_report(kind, items);
        Ok(self.told.answer(added))
    }
}

impl Sandbox {
    fn step(&self) -> Result<Arc<dyn StepContext>, Failure> {
        self.services.step.clone().ok_or_else(|| {
            Failure::new(
                FailureKind::Permanent,
                "host.no-step",
                "there is no step here: only `step-runner` has one",
            )
        })
    }

    fn used_up(&self, limit: Limit, wanted: usize, message: &str) -> Failure {
        let reached = self.limits.reached(limit).wanting(wanted as u64);
        Failure::limited(FailureKind::Permanent, reached, message)
    }

    /// Whether a text holds the value of a secret, where it cannot be masked because others find something by it.
    fn tells_a_secret(&self, text: &str) -> bool {
        self.mask.text(text.to_owned()) != text
    }

    fn output(&mut self, name: String, value: String) -> Result<(), Failure> {
        let step = self.step()?;
        // As the engine judges the files that other steps leave.
        if ParamName::parse(&name).is_err() {
            let message = format!(
                "an output is called like a parameter: up to {MAX_NAME} letters, digits, `_` and `-`, beginning with a letter, a digit or `_`"
            );
            return Err(Failure::invalid("step.output-name", message));
        }
        if self.tells_a_secret(&name) {
            // Not with the name itself, which is the secret.
            let message = "the name of an output holds the value of a secret, and outputs are shown to everybody: call it otherwise";
            return Err(Failure::denied("policy.secret-use", message));
        }
        if value.len() > self.limits.output_size {
            let message = format!("the output `{name}` has {} bytes", value.len());
            return Err(self.used_up(Limit::OutputSize, value.len(), &message));
        }
        let is_new = !self.used.outputs.contains(&name);
        let outputs = self.used.outputs.len();
        if is_new && outputs >= self.limits.outputs {
            let message = "the step may set no more outputs";
            return Err(self.used_up(Limit::Outputs, outputs + 1, message));
        }
        if self.tells_a_secret(&value) {
            let message = format!(
                "the output `{name}` holds the value of a secret, and outputs are shown to everybody"
            );
            return Err(Failure::denied("policy.secret-use", message));
        }
        self.used.outputs.insert(name.clone());
        step.set_output(name, value)
    }

    fn add_report(&mut self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        let step = self.step()?;
        let is_kind = kind.starts_with(|c: char| c.is_ascii_lowercase())
            && kind
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && kind.len() <= MAX_NAME;
        if !is_kind {
            // It becomes the name of a file.
            let message = "a report's kind is made of small letters, digits and `-`";
            return Err(Failure::invalid("step.report-kind", message));
        }
        if self.tells_a_secret(&kind) {
            let message = "a report's kind holds the value of a secret, and reports are shown to everybody: call it otherwise";
            return Err(Failure::denied("policy.secret-use", message));
        }
        let is_object = |item: &String| {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(item).is_ok()
        };
        if let Some(at) = items.iter().position(|item| !is_object(item)) {
            let message = format!("item {at} of the report `{kind}` is not a JSON object");
            return Err(Failure::invalid("step.report-item", message));
        }
        let (limit, most) = match kind.as_str() {
            "annotation" => (Limit::Annotations, self.limits.annotations),
            _ => (Limit::Reports, self.limits.reports),
        };
        let kinds = self.used.reports.len();
        let before = self.used.reports.get(&kind).copied();
        if before.is_none() && kinds >= REPORT_KINDS {
            let message = format!("a step may make {REPORT_KINDS} kinds of reports");
            return Err(Failure::new(
                FailureKind::Permanent,
                "limit.reports",
                message,
            ));
        }
        let after = before.unwrap_or_default() + items.len();
        if after > most {
            let message = format!("the step may report no more items of the kind `{kind}`");
            return Err(self.used_up(limit, after, &message));
        }
        self.used.reports.insert(kind.clone(), after);
        let items = items.into_iter().map(|item| self.mask.json(item)).collect();
        step.report(kind, items)
    }

    /// Shows what was held back of what the step printed: at the end of a call it can be the beginning of no secret any more.
    pub(crate) fn end_prints(&mut self) {
        let Some(step) = &self.services.step else {
            return;
        };
        for (is_stderr, stream) in [false, true].into_iter().zip(&mut self.printed) {
            let shown = stream.finish();
            if !shown.is_empty() {
                step.print(is_stderr, shown);
            }
        }
    }
}
