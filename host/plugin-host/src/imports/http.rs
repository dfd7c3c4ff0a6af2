//! `http`: puts requests together and keeps the count; the gate behind [`Http`](crate::service::Http) decides and sends.

use super::{Answered, granted, used_up};
use crate::{
    failure::{Failure, FailureKind},
    instance::Sandbox,
    service::{HttpBody, HttpRequest, HttpResponse},
    wit::v0_1::{
        piper::base::http::{Host, HostExchange, HostRequest, Response},
        types,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// Headers of one request: stops a builder that grows without end. The gate has its own limit in bytes.
const HEADERS: usize = 1_000;

/// A request being put together.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
#[derive(Default)]
pub struct Draft {
    request: HttpRequest,
    /// The first mistake.
    mistake: Option<Failure>,
    has_body: bool,
    is_sent: bool,
}

impl Draft {
    fn blame(&mut self, message: &str) {
        if self.mistake.is_none() {
            self.mistake = Some(Failure::invalid("http.request", message));
        }
    }

    fn body(&mut self, body: HttpBody) {
        if std::mem::replace(&mut self.has_body, true) {
            self.blame("the request has two bodies");
        }
        self.request.body = body;
    }

    /// The request, once.
    fn take(&mut self) -> Result<HttpRequest, Failure> {
        if let Some(mistake) = self.mistake.clone() {
            return Err(mistake);
        }
        if std::mem::replace(&mut self.is_sent, true) {
            return Err(Failure::invalid(
                "http.request",
                "the request was sent already",
            ));
        }
        Ok(std::mem::take(&mut self.request))
    }
}

type Outcome = Option<Result<HttpResponse, Failure>>;

/// A request under way; dropping it abandons it.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct UnderWay {
    outcome: watch::Receiver<Outcome>,
    is_answered: bool,
    _task: AbortOnDropJoinHandle<()>,
}

impl Sandbox {
    /// Begins a request, if the draft is right, HTTP was granted and the counts allow it.
    fn begin(&mut self, draft: &Resource<Draft>) -> Result<Result<UnderWay, Failure>> {
        let request = match self.table.get_mut(draft)?.take() {
            Ok(request) => request,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(self.start_exchange(request))
    }

    fn start_exchange(&mut self, request: HttpRequest) -> Result<UnderWay, Failure> {
        let http = granted(self.services.http.as_ref(), "policy.http-host", "HTTP")?;
        let limit = self.limits.http_requests;
        if self.used.http_requests >= limit {
            return Err(used_up(
                "quota.http-requests",
                format!("a call may make {limit} requests"),
            ));
        }
        let Ok(slot) = Arc::clone(&self.http_slots).try_acquire_owned() else {
            let limit = self.limits.http_concurrent;
            let message = format!("{limit} requests are under way: wait for one before the next");
            return Err(Failure::new(
                FailureKind::Transient,
                "quota.http-concurrency",
                message,
            ));
        };
        self.used.http_requests += 1;
        let brake = self.brake.clone();
        let (sender, outcome) = watch::channel(None);
        let task = spawn(async move {
            let response = brake.wait(http.exchange(request)).await;
            drop(slot);
            sender.send_replace(Some(response));
        });
        Ok(UnderWay {
            outcome,
            is_answered: false,
            _task: task,
        })
    }
}

async fn answer(under_way: &mut UnderWay) -> Result<HttpResponse, Failure> {
    if std::mem::replace(&mut under_way.is_answered, true) {
        return Err(Failure::invalid(
            "http.request",
            "the answer was taken already",
        ));
    }
    match under_way.outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().expect("that is what was waited for"),
        Err(_) => {
            let message = "the request was abandoned";
            Err(Failure::new(
                FailureKind::Cancelled,
                "call.cancelled",
                message,
            ))
        }
    }
}

fn told(response: Result<HttpResponse, Failure>) -> Result<Response, types::Failure> {
    let response = response?;
    Ok(Response {
        status: response.status,
        headers: response.headers,
        body: response.body,
    })
}

impl Host for Sandbox {}

impl HostRequest for Sandbox {
    async fn new(&mut self, method: String, url: String) -> Result<Resource<Draft>> {
        let draft = Draft {
            request: HttpRequest {
                method,
                url,
                ..HttpRequest::default()
            },
            ..Draft::default()
        };
        Ok(self.table.push(draft)?)
    }

    async fn header(&mut self, draft: Resource<Draft>, name: String, value: String) -> Result<()> {
        let draft = self.table.get_mut(&draft)?;
        if draft.request.headers.len() >= HEADERS {
            draft.blame("the request has too many headers");
        } else {
            draft.request.headers.push((name, value));
        }
        Ok(())
    }

    async fn text(&mut self, draft: Resource<Draft>, body: String) -> Result<()> {
        self.bytes(draft, body.into_bytes()).await
    }

    async fn bytes(&mut self, draft: Resource<Draft>, body: Vec<u8>) -> Result<()> {
        self.table.get_mut(&draft)?.body(HttpBody::Bytes(body));
        Ok(())
    }

    async fn file(
        &mut self,
        draft: Resource<Draft>,
        path: String,
        offset: u64,
        length: Option<u64>,
    ) -> Result<()> {
        let body = HttpBody::File {
            path,
            offset,
            length,
        };
        self.table.get_mut(&draft)?.body(body);
        Ok(())
    }

    async fn gzip(&mut self, draft: Resource<Draft>) -> Result<()> {
        self.table.get_mut(&draft)?.request.gzip = true;
        Ok(())
    }

    async fn save_to(&mut self, draft: Resource<Draft>, path: String) -> Result<()> {
        let draft = self.table.get_mut(&draft)?;
        if draft.request.save_to.replace(path).is_some() {
            draft.blame("the response is to be saved in two places");
        }
        Ok(())
    }

    async fn timeout_ms(&mut self, draft: Resource<Draft>, ms: u32) -> Result<()> {
        let timeout = Duration::from_millis(ms.into());
        self.table.get_mut(&draft)?.request.timeout = Some(timeout);
        Ok(())
    }

    async fn send(&mut self, draft: Resource<Draft>) -> Answered<Response> {
        Ok(match self.begin(&draft)? {
            Ok(mut under_way) => told(answer(&mut under_way).await),
            Err(failure) => Err(failure.into()),
        })
    }

    async fn start(&mut self, draft: Resource<Draft>) -> Answered<Resource<UnderWay>> {
        match self.begin(&draft)? {
            Ok(under_way) => Ok(Ok(self.table.push(under_way)?)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn drop(&mut self, draft: Resource<Draft>) -> Result<()> {
        self.table.delete(draft)?;
        Ok(())
    }
}

impl HostExchange for Sandbox {
    async fn ready(&mut self, exchange: Resource<UnderWay>) -> Result<bool> {
        // A guest that only asks and never waits would keep the request from being carried out.
        tokio::task::yield_now().await;
        Ok(self.table.get(&exchange)?.outcome.borrow().is_some())
    }

    async fn wait(&mut self, exchange: Resource<UnderWay>) -> Answered<Response> {
        Ok(told(answer(self.table.get_mut(&exchange)?).await))
    }

    async fn drop(&mut self, exchange: Resource<UnderWay>) -> Result<()> {
        self.table.delete(exchange)?;
        Ok(())
    }
}
