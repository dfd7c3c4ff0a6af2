//! `wasi:http`: the same gate as `http`, in the words of WASI.

use super::{requests::Requests, told::Told};
use crate::{
    call::Brake,
    failure::{Failure, FailureKind},
    log::clean,
    service::{Gate, Patience},
};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

/// Sends what a guest hands to `wasi:http` through the gate; without one, refuses it.
pub(crate) struct Hooks {
    gate: Option<Arc<dyn Gate>>,
    brake: Brake,
    requests: Requests,
    told: Told,
}

impl Hooks {
    pub(crate) fn new(
        gate: Option<Arc<dyn Gate>>,
        brake: Brake,
        requests: Requests,
        told: Told,
    ) -> Self {
        Self {
            gate,
            brake,
            requests,
            told,
        }
    }

    pub(crate) fn begin_call(&mut self, brake: Brake) {
        self.brake = brake;
    }
}

type Finished = Box<dyn Future<Output = Result<()>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Finished)>> + Send>;

impl WasiHttpHooks for Hooks {
    /// The gate sets it, from what it understood.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        finished: Finished,
    ) -> Sent {
        // Errors while the response's body is read reach the guest through the body.
        drop(finished);
        let Some(gate) = self.gate.clone() else {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let (told, worked) = (self.told.clone(), self.told.clone());
        let refuse = move |failure: Failure| {
            told.note(&failure);
            to_wasi(failure)
        };
        let slot = match self.requests.begin() {
            Ok(slot) => slot,
            Err(failure) => {
                let refused = refuse(failure);
                return Box::new(async { Err(refused) });
            }
        };
        let brake = self.brake.clone();
        let options = options.unwrap_or_default();
        let patience = Patience {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        };
        let request = request.map(|body| body.map_err(from_wasi).boxed_unsync());
        Box::new(async move {
            let response = brake.wait(gate.send(request, patience)).await;
            let response = response.map_err(&refuse)?;
            worked.worked();
            // The slot is free again when the guest is done with the body.
            let body = response.map(|body| {
                body.map_err(move |failure| {
                    let _ = &slot;
                    refuse(failure)
                })
                .boxed_unsync()
            });
            let finished: Finished = Box::new(async { Ok(()) });
            Ok((body, finished))
        })
    }
}

/// What a guest's own body says about itself.
fn from_wasi(error: Error) -> Failure {
    Failure::invalid("http.body", clean(&error.to_string(), 256))
}

/// A failure in the words of WASI, as closely as they come; what has no word of its own keeps its code in the text.
fn to_wasi(failure: Failure) -> Error {
    match (failure.kind, failure.code.as_str()) {
        (_, "policy.http-address") => Error::DestinationIpProhibited,
        (FailureKind::Denied, _) => Error::HttpRequestDenied,
        (_, "http.timeout") => Error::ConnectionReadTimeout,
        (_, "http.connect") => Error::ConnectionRefused,
        (_, "http.tls") => Error::TlsProtocolError,
        (_, "http.broken") => Error::HttpResponseIncomplete,
        (_, "limit.body") => Error::HttpResponseBodySize(None),
        (_, "quota.http-concurrency" | "quota.http-requests") => Error::ConnectionLimitReached,
        _ => Error::InternalError(Some(failure.to_string())),
    }
}
