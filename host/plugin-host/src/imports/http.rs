//! `http`: puts requests together and keeps the count; the gate behind [`Http`](crate::service::Http) decides and sends.

use super::{
    Answered, granted,
    held::{Charge, ITEM, Room},
};
use crate::{
    failure::{Failure, FailureKind},
    instance::Sandbox,
    service::{HttpBody, HttpRequest, HttpResponse},
    wit::v0_1::piper::base::http::{Host, HostExchange, HostRequest, Response},
};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// Headers of one request: stops a builder that grows without end. The gate has its own limit in bytes.
const HEADERS: usize = 1_000;

/// A request being put together.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
#[derive(Default)]
pub struct Draft {
    request: HttpRequest,
    charge: Charge,
    /// The first mistake.
    mistake: Option<Failure>,
    has_body: bool,
    is_sent: bool,
}

impl Draft {
    fn blame(&mut self, message: &str) {
        self.refuse(Failure::invalid("http.request", message));
    }

    fn refuse(&mut self, why: Failure) {
        self.mistake.get_or_insert(why);
    }

    fn body(&mut self, body: HttpBody) {
        if std::mem::replace(&mut self.has_body, true) {
            self.blame("the request has two bodies");
        }
        self.request.body = body;
    }

    /// The request and what is held for it, once.
    fn take(&mut self) -> Result<(HttpRequest, Charge), Failure> {
        if let Some(mistake) = self.mistake.clone() {
            return Err(mistake);
        }
        if std::mem::replace(&mut self.is_sent, true) {
            return Err(Failure::invalid(
                "http.request",
                "the request was sent already",
            ));
        }
        Ok((
            std::mem::take(&mut self.request),
            std::mem::take(&mut self.charge),
        ))
    }
}

/// A request under way, then its answer; dropping it abandons it.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct UnderWay {
    /// Until the answer is taken.
    task: Option<AbortOnDropJoinHandle<Parked>>,
}

/// An answer, and what it keeps from others until it is taken or dropped: a place among the requests under way, and its bytes.
struct Parked {
    response: Result<HttpResponse, Failure>,
    _slot: OwnedSemaphorePermit,
    _room: Room,
}

impl Sandbox {
    /// Begins a request, if the draft is right, HTTP was granted and the counts allow it.
    fn begin(&mut self, draft: &Resource<Draft>) -> Result<Result<UnderWay, Failure>> {
        Ok(match self.table.get_mut(draft)?.take() {
            Ok((request, charge)) => self.start_exchange(request, charge),
            Err(failure) => Err(failure),
        })
    }

    fn start_exchange(
        &mut self,
        mut request: HttpRequest,
        charge: Charge,
    ) -> Result<UnderWay, Failure> {
        let http = granted(self.services.http.as_ref(), "policy.http-host", "HTTP")?;
        let slot = self.requests.begin()?;
        let brake = self.brake.clone();
        let room = Room::new(&self.held);
        request.room = room.clone();
        let task = spawn(async move {
            let response = brake.wait(http.exchange(request)).await;
            drop(charge);
            let response = response.and_then(|response| {
                room.hold(size(&response))?;
                Ok(response)
            });
            Parked {
                response,
                _slot: slot,
                _room: room,
            }
        });
        Ok(UnderWay { task: Some(task) })
    }

    /// Changes a request, if so many bytes more may be held for it.
    fn amend_request(
        &mut self,
        draft: &Resource<Draft>,
        bytes: usize,
        change: impl FnOnce(&mut Draft),
    ) -> Result<()> {
        let draft = self.table.get_mut(draft)?;
        match self.held.add(&mut draft.charge, bytes) {
            Ok(()) => change(draft),
            Err(failure) => draft.refuse(failure),
        }
        Ok(())
    }
}

fn size(response: &HttpResponse) -> usize {
    let headers = response.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + value.len() + ITEM)
        .sum();
    response.body.len() + headers
}

async fn answer(under_way: &mut UnderWay) -> Result<Response, Failure> {
    let Some(mut task) = under_way.task.take() else {
        return Err(Failure::invalid(
            "http.request",
            "the answer was taken already",
        ));
    };
    // Not the handle itself, which panics if its task did.
    let Ok(parked) = (&mut *task).await else {
        let message = "the request was abandoned";
        return Err(Failure::new(
            FailureKind::Cancelled,
            "call.cancelled",
            message,
        ));
    };
    let response = parked.response?;
    Ok(Response {
        status: response.status,
        headers: response.headers,
        body: response.body,
    })
}

impl Host for Sandbox {}

impl HostRequest for Sandbox {
    async fn new(&mut self, method: String, url: String) -> Result<Resource<Draft>> {
        let draft = self.table.push(Draft::default())?;
        self.amend_request(&draft, method.len() + url.len(), |draft| {
            draft.request.method = method;
            draft.request.url = url;
        })?;
        Ok(draft)
    }

    async fn header(&mut self, draft: Resource<Draft>, name: String, value: String) -> Result<()> {
        self.amend_request(&draft, name.len() + value.len() + ITEM, |draft| {
            if draft.request.headers.len() >= HEADERS {
                draft.blame("the request has too many headers");
            } else {
                draft.request.headers.push((name, value));
            }
        })
    }

    async fn text(&mut self, draft: Resource<Draft>, body: String) -> Result<()> {
        self.bytes(draft, body.into_bytes()).await
    }

    async fn bytes(&mut self, draft: Resource<Draft>, body: Vec<u8>) -> Result<()> {
        self.amend_request(&draft, body.len(), |draft| {
            draft.body(HttpBody::Bytes(body));
        })
    }

    async fn file(
        &mut self,
        draft: Resource<Draft>,
        path: String,
        offset: u64,
        length: Option<u64>,
    ) -> Result<()> {
        self.amend_request(&draft, path.len(), |draft| {
            draft.body(HttpBody::File {
                path,
                offset,
                length,
            });
        })
    }

    async fn gzip(&mut self, draft: Resource<Draft>) -> Result<()> {
        self.table.get_mut(&draft)?.request.gzip = true;
        Ok(())
    }

    async fn save_to(&mut self, draft: Resource<Draft>, path: String) -> Result<()> {
        self.amend_request(&draft, path.len(), |draft| {
            if draft.request.save_to.replace(path).is_some() {
                draft.blame("the response is to be saved in two places");
            }
        })
    }

    async fn timeout_ms(&mut self, draft: Resource<Draft>, ms: u32) -> Result<()> {
        let timeout = Duration::from_millis(ms.into());
        self.table.get_mut(&draft)?.request.timeout = Some(timeout);
        Ok(())
    }

    async fn send(&mut self, draft: Resource<Draft>) -> Answered<Response> {
        let answer = match self.begin(&draft)? {
            Ok(mut under_way) => answer(&mut under_way).await,
            Err(failure) => Err(failure),
        };
        Ok(self.told.answer(answer))
    }

    async fn start(&mut self, draft: Resource<Draft>) -> Answered<Resource<UnderWay>> {
        let begun = self.begin(&draft)?;
        Ok(match self.told.answer(begun) {
            Ok(under_way) => Ok(self.table.push(under_way)?),
            Err(failure) => Err(failure),
        })
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
        let task = self.table.get(&exchange)?.task.as_ref();
        Ok(task.is_none_or(|task| task.is_finished()))
    }

    async fn wait(&mut self, exchange: Resource<UnderWay>) -> Answered<Response> {
        let answer = answer(self.table.get_mut(&exchange)?).await;
        Ok(self.told.answer(answer))
    }

    async fn drop(&mut self, exchange: Resource<UnderWay>) -> Result<()> {
        self.table.delete(exchange)?;
        Ok(())
    }
}
