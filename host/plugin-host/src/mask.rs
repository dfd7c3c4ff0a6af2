//! Hides the values of secrets in what a plugin says, before anybody hears it.
//!
//! A net for mistakes and for what servers echo: a plugin to which a secret was revealed can spell it some other way.

use crate::{
    failure::Failure,
    kind::{Ask, Batch, Found, Hit, Page, Polled, Receipt, Received, StepRef, Verdict},
    service::Secrets,
    wit::v0_1::{log_sink, step_runner, types},
};
use piper_core::log::mask::{MaskState, Masker};
use std::sync::Arc;

/// Hides the secrets of one instance; nothing if it has none.
#[derive(Clone, Default)]
pub(crate) struct Mask(Option<Arc<dyn Secrets>>);

impl Mask {
    pub(crate) fn new(secrets: Option<Arc<dyn Secrets>>) -> Self {
        Self(secrets)
    }

    /// What hides them now; a token that is adopted later is not among them.
    pub(crate) fn masker(&self) -> Option<Arc<Masker>> {
        let masker = self.0.as_ref()?.masker();
        (!masker.is_empty()).then_some(masker)
    }

    pub(crate) fn text(&self, text: String) -> String {
        match self.masker() {
            Some(masker) => masker.text(text),
            None => text,
        }
    }

    /// A JSON text: masked as it stands there, and as it is read, because any letter may be written as an escape.
    pub(crate) fn json(&self, text: String) -> String {
        let Some(masker) = self.masker() else {
            return text;
        };
        let text = masker.text(text);
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else {
            return text;
        };
        let read = value.to_string();
        let hidden = masker.text(read.clone());
        if hidden == read { text } else { hidden }
    }

    /// How a step ended. Like everything that is shown in one line, it is masked before it is stripped and cut, and again after it:
    /// what is stripped may have parted a secret.
    pub(crate) fn verdict(&self, verdict: step_runner::Verdict) -> Verdict {
        let verdict = Verdict::from(step_runner::Verdict {
            message: self.text(verdict.message),
            ..verdict
        });
        Verdict {
            message: self.text(verdict.message),
            ..verdict
        }
    }

    /// What a sink says of what it was given.
    pub(crate) fn receipt(&self, mut receipt: log_sink::Receipt) -> Receipt {
        for rejection in &mut receipt.rejected {
            rejection.message = self.text(std::mem::take(&mut rejection.message));
        }
        let mut receipt = Receipt::from(receipt);
        for rejection in &mut receipt.rejected {
            rejection.code = self.text(std::mem::take(&mut rejection.code));
            rejection.message = self.text(std::mem::take(&mut rejection.message));
        }
        receipt
    }

    /// What a poll found. The cursor comes back to the plugin, but is kept by the host until then.
    pub(crate) fn polled(&self, polled: Polled) -> Polled {
        Polled {
            asks: polled.asks.into_iter().map(|ask| self.ask(ask)).collect(),
            cursor: polled.cursor.map(|cursor| self.text(cursor)),
            ..polled
        }
    }

    /// What a delivery is answered with, and what it means.
    pub(crate) fn received(&self, received: Received) -> Received {
        let headers = received.headers.into_iter();
        Received {
            headers: headers
                .map(|(name, value)| (self.text(name), self.text(value)))
                .collect(),
            body: self.bytes(received.body),
            asks: received.asks.into_iter().map(|ask| self.ask(ask)).collect(),
            ..received
        }
    }

    fn ask(&self, ask: Ask) -> Ask {
        Ask {
            kind: self.text(ask.kind),
            dedup_key: self.text(ask.dedup_key),
            body: self.json(ask.body),
        }
    }

    /// A part of a log that is read back; its batches are consistent before and after.
    pub(crate) fn page(&self, page: Page) -> Page {
        let batches = page.batches.into_iter();
        Page {
            batches: batches.map(|batch| self.batch(batch)).collect(),
            next: page.next.map(|next| self.text(next)),
            ..page
        }
    }

    fn batch(&self, batch: Batch) -> Batch {
        let Some(masker) = self.masker() else {
            return batch;
        };
        let (mut text, mut ends) = (Vec::with_capacity(batch.text.len()), Vec::new());
        let mut begin = 0;
        // A line for itself, because each is shown for itself.
        for end in batch.ends.iter().map(|end| *end as usize) {
            text.extend(masker.bytes(&batch.text[begin..end]));
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            begin = end;
        }
        let steps = batch.steps.into_iter().map(|step| StepRef {
            path: self.text(step.path),
            more: self.json(step.more),
            ..step
        });
        let columns = batch.columns.into_iter();
        Batch {
            build: self.text(batch.build),
            facts: self.json(batch.facts),
            text,
            ends,
            steps: steps.collect(),
            columns: columns
                .map(|(name, bytes)| (self.text(name), masker.bytes(&bytes)))
                .collect(),
            ..batch
        }
    }

    /// What was found in a log.
    pub(crate) fn found(&self, found: Found) -> Found {
        Found {
            hits: found.hits.into_iter().map(|hit| self.hit(hit)).collect(),
            next: found.next.map(|next| self.text(next)),
            ..found
        }
    }

    fn hit(&self, hit: Hit) -> Hit {
        let line = self.bytes(hit.line.clone());
        Hit {
            build: self.text(hit.build),
            step: self.text(hit.step),
            more: self.json(hit.more),
            // They point into the line as it was.
            highlights: match line == hit.line {
                true => hit.highlights,
                false => Vec::new(),
            },
            line,
            ..hit
        }
    }

    fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.masker() {
            Some(masker) => masker.bytes(&bytes),
            None => bytes,
        }
    }

    /// What a guest says about its failure.
    pub(crate) fn failure(&self, failure: types::Failure) -> Failure {
        let Some(masker) = self.masker() else {
            return failure.into();
        };
        let failure = Failure::from(types::Failure {
            message: masker.text(failure.message),
            details: failure.details.map(|details| self.json(details)),
            ..failure
        });
        Failure {
            code: masker.text(failure.code),
            message: masker.text(failure.message),
            ..failure
        }
    }
}

/// The masking of one stream, which comes in pieces; what may be the beginning of a secret is held back.
#[derive(Default)]
pub(crate) struct MaskedStream {
    masker: Option<Arc<Masker>>,
    state: MaskState,
}

impl MaskedStream {
    /// What may be shown after the next piece.
    pub(crate) fn push(&mut self, masker: &Arc<Masker>, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let is_same = self
            .masker
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, masker));
        if !is_same {
            // Where one masker stands in the stream means nothing to another.
            out = self.finish();
            self.masker = Some(Arc::clone(masker));
        }
        masker.push(&mut self.state, bytes, &mut out);
        out
    }

    /// What was held back.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(masker) = self.masker.take() {
            masker.finish(&mut self.state, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_when_another_secret_becomes_known() {
        let masker = |values: &[&str]| {
            let secrets: Vec<_> = values.iter().map(|value| ("a", *value)).collect();
            Arc::new(Masker::new(&secrets).0)
        };
        let (one, two) = (
            masker(&["hunter2-first"]),
            masker(&["hunter2-first", "another-secret"]),
        );
        let mut stream = MaskedStream::default();
        let mut shown = stream.push(&one, b"a hunter2-fi");
        shown.extend(stream.push(&one, b"rst b another-secret hunter"));
        shown.extend(stream.push(&two, b" c another-se"));
        shown.extend(stream.push(&two, b"cret"));
        shown.extend(stream.finish());
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "a *** b another-secret hunter c ***"
        );
    }
}
