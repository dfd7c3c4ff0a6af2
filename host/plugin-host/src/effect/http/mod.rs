//! The egress gate: the only way of a plugin to the network, for `http` and for `wasi:http` alike.
//!
//! ```text
//!   admit (grant, headers) → look up → vet all addresses → fill in secrets → compress → connect to a vetted address → send → bound
//! ```
//!
//! What may be sent is decided by [`egress`] and [`secrets`]; here it is carried out, in that order, by one
//! function (`Egress::send`). Redirects are answers like any other. HTTP/1.1 only: every service speaks it, and a plugin has few
//! requests under way. Proxies of the machine are not used: a plugin's connection goes to the address that was vetted or nowhere.

mod body;
mod connect;
mod resolve;

pub use connect::Trust;
pub use resolve::{Resolve, SystemResolver};

use self::{
    body::{Allowance, Deadline, FileBody, Outbound, Progress, Received, Source, compress},
    connect::{Connection, Pool, Tls, connect},
    resolve::Resolver,
};
use super::{blocking, files::Folders, secrets::Held};
use crate::{
    failure::{Failure, FailureKind},
    limits::Limits,
    policy::{
        egress::{self, EgressGrant, Refusal, RefusalKind, Uri},
        grant::Effective,
        host::{Host, Origin},
        limit::{Limit, Reached},
        secrets,
    },
    service::{
        Answer, Gate, Http, HttpBody, HttpRequest, HttpResponse, Patience, Room, StreamBody,
    },
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout_at};

/// The most bytes of the headers of one message, names and values. Fixed: servers take no more.
const HEADER_BYTES: usize = 16 * 1024;

/// How much of an answer is gathered before it is written to a file.
const PIECE: usize = 256 * 1024;

/// What all gates of a process share.
pub(crate) struct Network {
    resolver: Resolver,
    tls: Tls,
}

impl Network {
    pub(crate) fn new(resolver: Arc<dyn Resolve>, trust: Trust) -> Self {
        Self {
            resolver: Resolver::new(resolver),
            tls: Tls::new(trust),
        }
    }
}

/// What the gate knows of one configured plugin.
pub(crate) struct Sender {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) effective: Arc<Effective>,
    pub(crate) limits: Limits,
    pool: Arc<Pool>,
}

impl Sender {
    pub(crate) fn new(
        name: String,
        version: String,
        effective: Arc<Effective>,
        limits: Limits,
    ) -> Self {
        Self {
            name,
            version,
            effective,
            limits,
            pool: Arc::default(),
        }
    }

    fn grant(&self) -> EgressGrant<'_> {
        EgressGrant {
            plugin: &self.name,
            http: &self.effective.http,
            private_networks: &self.effective.private_networks,
            reveals_secrets: self
                .effective
                .secrets
                .values()
                .any(|secret| secret.uses.reveal),
        }
    }
}

/// The gate of one instance.
#[derive(Clone)]
pub(crate) struct Egress {
    pub(crate) network: Arc<Network>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) secrets: Arc<Held>,
    pub(crate) files: Option<Folders>,
}

/// A request in the one form in which it is checked.
struct Outgoing {
    method: String,
    url: String,
    /// Without `content-length`, which is in `body`.
    headers: Vec<(String, Vec<u8>)>,
    body: Content,
    gzip: bool,
    patience: Patience,
    /// The end of the exchange.
    deadline: Option<Deadline>,
}

/// What is sent.
enum Content {
    Bytes(Vec<u8>),
    File(FileBody),
    /// With the length that was declared.
    Stream(StreamBody, Option<u64>),
}

impl Egress {
    /// Checks a request, sends it, and waits for the head of the answer.
    async fn send(&self, outgoing: Outgoing) -> Result<Response<Received>, Failure> {
        let deadline = outgoing.deadline;
        let sent = self.send_patiently(outgoing);
        match deadline {
            None => sent.await,
            Some(end) => timeout_at(end.at, sent).await.unwrap_or_else(|_| {
                Err(out_of_time(
                    "the exchange took longer than it may",
                    end.limit,
                ))
            }),
        }
    }

    async fn send_patiently(&self, outgoing: Outgoing) -> Result<Response<Received>, Failure> {
        check_size(&outgoing.headers)?;
        let grant = self.sender.grant();
        let headers: Vec<(&str, &[u8])> = outgoing
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let request = egress::Request {
            method: &outgoing.method,
            uri: Uri::split(&outgoing.url)?,
            headers: &headers,
        };
        let admitted = egress::admit(&request, &grant)?;
        let addresses = match &admitted.origin.host {
            Host::Name(name) => self.network.resolver.resolve(name).await?,
            Host::V4(_) | Host::V6(_) => Vec::new(),
        };
        let allowed = admitted.vet(&grant, &addresses)?;
        let origin = &allowed.request.origin;
        let whole = &allowed.request.uri;
        let body = match &outgoing.body {
            Content::Bytes(bytes) => Some(bytes.as_slice()),
            Content::File(_) | Content::Stream(..) => None,
        };
        let filled_in = self.secrets.substitute(&secrets::Outgoing {
            origin,
            path_and_query: &whole[origin.to_string().len()..],
            headers: &headers,
            body,
        })?;
        let head = self.head(&outgoing, origin, &filled_in)?;
        let progress = Progress::new();
        let body = self
            .body(
                outgoing.body,
                filled_in.body,
                outgoing.gzip,
                progress.clone(),
            )
            .await?;
        let request = Request::from_parts(head, body);
        let limits = &self.sender.limits;
        let asked = outgoing.patience;
        let allowance = Allowance {
            bytes: limits.http_response as u64,
            between: body::Patience::new(
                asked.between_bytes,
                Limit::HttpBetweenBytes,
                limits.http_between_bytes,
            ),
            deadline: outgoing.deadline,
        };
        let connect = body::Patience::new(asked.connect, Limit::HttpConnect, limits.http_connect);
        let first_byte = body::Patience::new(
            asked.first_byte,
            Limit::HttpFirstByte,
            limits.http_first_byte,
        );
        let exchange = Exchange {
            egress: self,
            origin,
            addresses: &allowed.addresses,
            connect_by: connect.begin(),
            first_byte,
            progress,
        };
        let (answer, connection) = exchange.carry_out(request).await?;
        let (head, body) = answer.into_parts();
        check_answer(origin, &head)?;
        let source = Source {
            connection,
            pool: Arc::clone(&self.sender.pool),
            progress: exchange.progress,
        };
        let body = Received::new(body, origin.clone(), source, allowance);
        Ok(Response::from_parts(head, body))
    }

    /// The head as it is sent.
    fn head(
        &self,
        outgoing: &Outgoing,
        origin: &Origin,
        filled_in: &secrets::Substituted,
    ) -> Result<http::request::Parts, Failure> {
        let (mut head, ()) = Request::new(()).into_parts();
        // The gate read it and knows that it is one.
        let invalid = |_| Failure::invalid("http.invalid-method", "it is not a method");
        head.method = Method::from_bytes(outgoing.method.as_bytes()).map_err(invalid)?;
        head.uri = filled_in.path_and_query.parse().map_err(|_| {
            Failure::invalid("http.invalid-uri", "the path of the request is not one")
        })?;
        let authority = origin.to_string();
        let authority = authority.split_once("://").map_or("", |(_, rest)| rest);
        let mut agent = None;
        insert(&mut head.headers, header::HOST, authority.as_bytes())?;
        for ((name, _), value) in outgoing.headers.iter().zip(&filled_in.headers) {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Failure::invalid("http.invalid-header", "a header has no name"))?;
            match name {
                header::USER_AGENT => agent = Some(String::from_utf8_lossy(value).into_owned()),
                header::CONTENT_ENCODING if outgoing.gzip => {
                    let message = "the body is to be compressed, and is compressed already";
                    return Err(Failure::invalid("http.request", message));
                }
                name => insert(&mut head.headers, name, value)?,
            }
        }
        let agent = egress::user_agent(
            env!("CARGO_PKG_VERSION"),
            &self.sender.name,
            &self.sender.version,
            agent.as_deref(),
        );
        insert(&mut head.headers, header::USER_AGENT, agent.as_bytes())?;
        if outgoing.gzip {
            insert(&mut head.headers, header::CONTENT_ENCODING, b"gzip")?;
        }
        Ok(head)
    }

    /// The body as it is sent; `filled_in` is what it became, if it was changed.
    async fn body(
        &self,
        content: Content,
        filled_in: Option<Vec<u8>>,
        gzip: bool,
        progress: Progress,
    ) -> Result<Outbound, Failure> {
        let most = self.sender.limits.http_request as u64;
        Ok(match content {
            Content::Bytes(bytes) => {
                let mut bytes = filled_in.unwrap_or(bytes);
                let length = bytes.len() as u64;
                if length > most {
                    return Err(body::too_long_a_request(most, Some(length)));
                }
                if gzip {
                    bytes = blocking(move || Ok(compress(&bytes))).await?;
                }
                let length = bytes.len() as u64;
                let body = Full::new(Bytes::from(bytes));
                let body = body.map_err(|never| match never {}).boxed_unsync();
                Outbound::new(body, Some(length), length, None, progress)
            }
            // What is in files is looked at by nobody: they are large, they are the user's own, and a placeholder that a plugin
            // wrote into one is worthless.
            Content::File(file) => {
                let length = http_body::Body::size_hint(&file).exact();
                Outbound::new(file.boxed_unsync(), length, u64::MAX, None, progress)
            }
            Content::Stream(_, Some(length)) if length > most => {
                return Err(body::too_long_a_request(most, Some(length)));
            }
            Content::Stream(stream, length) => {
                let scan = Some(Arc::clone(&self.secrets));
                Outbound::new(stream, length, most, scan, progress)
            }
        })
    }
}

/// One request on its way to an origin that was vetted.
struct Exchange<'a> {
    egress: &'a Egress,
    origin: &'a Origin,
    addresses: &'a [std::net::IpAddr],
    connect_by: Deadline,
    first_byte: body::Patience,
    progress: Progress,
}

impl Exchange<'_> {
    /// Sends the request over a free connection or a new one.
    async fn carry_out(
        &self,
        mut request: Request<Outbound>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let Sender { pool, .. } = &*self.egress.sender;
        while let Some(mut connection) = pool.take(self.origin, self.addresses).await {
            match self.attempt(&mut connection, request).await? {
                Ok(answer) => return Ok((answer, connection)),
                // The server had closed it. Nothing was sent, so nothing is sent twice.
                Err(unsent) => request = unsent,
            }
        }
        let connected = connect(&self.egress.network.tls, self.origin, self.addresses);
        let by = self.connect_by;
        let mut connection = timeout_at(by.at, connected)
            .await
            .map_err(|_| late(self.origin, "a connection", by.limit))??;
        match self.attempt(&mut connection, request).await? {
            Ok(answer) => Ok((answer, connection)),
            Err(_) => {
                let message = format!("{} closed the connection at once", self.origin);
                Err(Failure::transient("http.connect", message))
            }
        }
    }

    /// Sends the request and waits for the head of the answer; gives the request back if nothing of it was sent.
    async fn attempt(
        &self,
        connection: &mut Connection,
        request: Request<Outbound>,
    ) -> Result<Result<Response<Incoming>, Request<Outbound>>, Failure> {
        let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
        loop {
            // As long as the server takes what is sent it owes no answer.
            let until = self.progress.last() + self.first_byte.time;
            tokio::select! {
                biased;
                answered = &mut answer => return match answered {
                    Ok(answer) => Ok(Ok(answer)),
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => Ok(Err(unsent)),
                        None => Err(broken(self.origin, error.error())),
                    },
                },
                () = sleep_until(until) => {
                    if self.progress.last() + self.first_byte.time <= Instant::now() {
                        let late = late(self.origin, "an answer", self.first_byte.limit);
                        return Err(sent(late));
                    }
                }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::Denied => FailureKind::Denied,
            RefusalKind::Invalid => FailureKind::Invalid,
        };
        Self::new(kind, refusal.code, refusal.to_string())
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), Failure> {
    let value = HeaderValue::from_bytes(value).map_err(|_| {
        let message = format!("the value of the header `{name}` cannot be sent");
        Failure::invalid("http.invalid-header", message)
    })?;
    headers.append(name, value);
    Ok(())
}

fn check_size(headers: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size <= HEADER_BYTES {
        return Ok(());
    }
    let message =
        format!("the headers of the request have {size} bytes, and {HEADER_BYTES} are allowed");
    Err(Failure::new(
        FailureKind::Permanent,
        "limit.headers",
        message,
    ))
}

fn check_answer(origin: &Origin, head: &http::response::Parts) -> Result<(), Failure> {
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        let message = format!("{origin} wants to speak another protocol, which nobody asked for");
        return Err(Failure::new(FailureKind::Permanent, "http.broken", message));
    }
    let headers = head.headers.iter();
    let size: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if size > HEADER_BYTES {
        return Err(too_many_headers(origin));
    }
    Ok(())
}

fn too_many_headers(origin: &Origin) -> Failure {
    let message =
        format!("the headers of the answer of {origin} have more than {HEADER_BYTES} bytes");
    Failure::new(FailureKind::Permanent, "limit.headers", message)
}

/// Says that the request may have been carried out.
fn sent(failure: Failure) -> Failure {
    Failure {
        details: Some(r#"{"sent":true}"#.to_owned()),
        ..failure
    }
}

fn late(origin: &Origin, what: &str, limit: Option<Reached>) -> Failure {
    let message = format!("{origin} took too long: no sign of {what}");
    out_of_time(&message, limit)
}

fn out_of_time(message: &str, limit: Option<Reached>) -> Failure {
    match limit {
        Some(reached) => Failure::limited(FailureKind::Transient, reached, message),
        None => Failure::transient("http.timeout", message),
    }
}

/// What an error of the wire means; one of ours that went through it comes out as it was.
fn broken(origin: &Origin, error: &hyper::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(failure) = at.downcast_ref::<Failure>() {
            return failure.clone();
        }
        cause = at.source();
    }
    if error.is_parse_too_large() {
        return too_many_headers(origin);
    }
    let message = format!("the exchange with {origin} broke off: {error}");
    sent(Failure::transient("http.broken", message))
}

/// Takes the length out of the headers: the body itself says it, and both must agree.
fn take_length(headers: &mut Vec<(String, Vec<u8>)>) -> Result<Option<u64>, Failure> {
    let mut length = None;
    for (name, value) in headers.iter() {
        if !name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        let digits = str::from_utf8(value).ok();
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let parsed = digits.and_then(|text| text.parse().ok());
        if parsed.is_none() || length.is_some() {
            let message = "`content-length` is one number";
            return Err(Failure::invalid("http.invalid-header", message));
        }
        length = parsed;
    }
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    Ok(length)
}

impl Egress {
    async fn exchange_now(self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let HttpRequest {
            method,
            url,
            headers,
            body,
            gzip,
            save_to,
            timeout,
            room,
        } = request;
        let mut headers: Vec<(String, Vec<u8>)> = headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        let declared = take_length(&mut headers)?;
        // What takes long because it is large is bounded by the call's own time.
        let is_large = save_to.is_some() || matches!(body, HttpBody::File { .. });
        let total = self.total(timeout);
        let wished = timeout.map(|time| body::Patience { time, limit: None });
        let deadline = if is_large { wished } else { Some(total) };
        let deadline = deadline.map(body::Patience::begin);
        let content = self.content(body, gzip).await?;
        let length = match &content {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::File(file) => http_body::Body::size_hint(file).exact(),
            Content::Stream(..) => None,
        };
        if declared.is_some() && (gzip || declared != length) {
            let message = "`content-length` is not the length of the body; leave it out";
            return Err(Failure::invalid("http.invalid-header", message));
        }
        let outgoing = Outgoing {
            method,
            url,
            headers,
            body: content,
            gzip,
            patience: Patience::default(),
            deadline,
        };
        let response = self.send(outgoing).await?;
        let (head, body) = response.into_parts();
        let body = match save_to {
            Some(path) if head.status.is_success() => {
                self.save(body.without_end(deadline), path).await?;
                Vec::new()
            }
            _ => collect(body, &room).await?,
        };
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), latin1(value.as_bytes())))
                .collect(),
            body,
        })
    }

    fn total(&self, asked: Option<Duration>) -> body::Patience {
        body::Patience::new(asked, Limit::HttpTotal, self.sender.limits.http_total)
    }

    async fn content(&self, body: HttpBody, gzip: bool) -> Result<Content, Failure> {
        Ok(match body {
            HttpBody::Empty => Content::Bytes(Vec::new()),
            HttpBody::Bytes(bytes) => Content::Bytes(bytes),
            HttpBody::File {
                path,
                offset,
                length,
            } => {
                let files = self.files()?;
                let part = blocking(move || files.open_part(&path, offset, length)).await?;
                Content::File(FileBody::new(part.file, offset, part.length, gzip))
            }
        })
    }

    fn files(&self) -> Result<Folders, Failure> {
        self.files.clone().ok_or_else(|| {
            let message =
                "this plugin was not granted files, so no body comes from one or goes to one";
            Failure::denied(crate::policy::files::FILES, message)
        })
    }

    /// Writes an answer into a file that is there only when it is whole.
    async fn save(&self, mut body: Received, path: String) -> Result<(), Failure> {
        let files = self.files()?;
        let mut draft = blocking(move || files.begin(&path)).await?;
        let mut piece = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                piece.extend_from_slice(&data);
            }
            if piece.len() >= PIECE {
                let full = std::mem::take(&mut piece);
                draft = blocking(move || draft.write(&full)).await?;
            }
        }
        blocking(move || draft.write(&piece)?.finish()).await
    }
}

/// The whole of an answer, in one piece, if there is room for it.
async fn collect(mut body: Received, room: &Room) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            room.hold(whole.len() + data.len())?;
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

impl Http for Egress {
    fn exchange(&self, request: HttpRequest) -> Answer<'static, HttpResponse> {
        Box::pin(self.clone().exchange_now(request))
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(self.clone())
    }
}

impl Gate for Egress {
    fn send(
        &self,
        request: Request<StreamBody>,
        patience: Patience,
    ) -> Answer<'static, Response<StreamBody>> {
        let gate = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let headers = head.headers.iter();
            let mut headers: Vec<(String, Vec<u8>)> = headers
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect();
            let length = take_length(&mut headers)?;
            let length = length.or(http_body::Body::size_hint(&body).exact());
            let outgoing = Outgoing {
                method: head.method.as_str().to_owned(),
                url: head.uri.to_string(),
                headers,
                body: Content::Stream(body, length),
                gzip: false,
                patience,
                deadline: Some(gate.total(None).begin()),
            };
            let response = Egress::send(&gate, outgoing).await?;
            Ok(response.map(BodyExt::boxed_unsync))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
