//! Opens connections to vetted addresses, and keeps those that are free for the next request.
//!
//! Nothing here resolves a name: a connection goes to an address that the gate let pass, and TLS to the name that it was asked for.

use super::body::Outbound;
use crate::{
    failure::{Failure, FailureKind},
    policy::host::{Host, Origin, Scheme},
};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// How long one address has until the next one is tried beside it: a machine whose IPv6 leads nowhere must not cost each request the
/// whole patience.
const HEAD_START: Duration = Duration::from_millis(250);

/// How much of an answer's head is read before it is too long. Headers are counted again when they are there.
const HEAD_BYTES: usize = 64 * 1024;

/// How many headers an answer may have.
const HEADERS: usize = 256;

/// Which authorities are believed.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Those of the machine.
    pub system: bool,
    /// Others, as DER.
    pub further: Vec<Vec<u8>>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            system: true,
            further: Vec::new(),
        }
    }
}

/// TLS, prepared when it is first needed: reading a machine's authorities takes milliseconds.
pub(super) struct Tls {
    trust: Trust,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(trust: Trust) -> Self {
        Self {
            trust,
            config: OnceCell::new(),
        }
    }

    async fn connector(&self) -> Result<TlsConnector, Failure> {
        let trust = self.trust.clone();
        let make = || crate::effect::blocking(move || Ok(Arc::new(config(&trust))));
        Ok(self.config.get_or_try_init(make).await?.clone().into())
    }
}

fn config(trust: &Trust) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if trust.system {
        // What cannot be read is as good as not there: a server that needs it will be refused.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    roots.add_parsable_certificates(trust.further.iter().cloned().map(CertificateDer::from));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// A connection that carries one request at a time.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Outbound>,
    peer: IpAddr,
    _task: AbortOnDropJoinHandle<()>,
}

/// Connects to one of the addresses.
pub(super) async fn connect(
    tls: &Tls,
    origin: &Origin,
    addresses: &[IpAddr],
) -> Result<Connection, Failure> {
    let (stream, peer) = reach(origin.port, addresses).await.map_err(|error| {
        Failure::transient(
            "http.connect",
            format!("could not connect to {origin}: {error}"),
        )
    })?;
    match origin.scheme {
        Scheme::Http => begin(stream, peer, origin).await,
        Scheme::Https => {
            let name = match &origin.host {
                Host::Name(name) => ServerName::try_from(name.clone()).ok(),
                Host::V4(address) => Some(IpAddr::from(*address).into()),
                Host::V6(address) => Some(IpAddr::from(*address).into()),
            };
            let Some(name) = name else {
                let message = format!("`{}` is no name that a certificate can have", origin.host);
                return Err(Failure::invalid("http.tls", message));
            };
            let connected = tls.connector().await?.connect(name, stream).await;
            let stream = connected.map_err(|error| no_tls(origin, &error))?;
            begin(stream, peer, origin).await
        }
    }
}

/// Connects to the address that answers first, those in front with a head start.
async fn reach(port: u16, addresses: &[IpAddr]) -> io::Result<(TcpStream, IpAddr)> {
    let mut waiting = addresses.iter().copied();
    let mut under_way = JoinSet::new();
    let mut failed = io::Error::other("there is no address");
    loop {
        if let Some(address) = waiting.next() {
            under_way.spawn(async move {
                let stream = TcpStream::connect((address, port)).await;
                stream.map(|stream| (stream, address))
            });
        }
        tokio::select! {
            connected = under_way.join_next() => match connected {
                Some(Ok(Ok((stream, address)))) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, address));
                }
                Some(Ok(Err(error))) => failed = error,
                Some(Err(error)) => failed = io::Error::other(error),
                None => return Err(failed),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

fn no_tls(origin: &Origin, error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    // A wrong certificate is wrong the next time too; anything else may be a server that is starting.
    let kind = match inner {
        Some(rustls::Error::InvalidCertificate(_)) => FailureKind::Permanent,
        _ => FailureKind::Transient,
    };
    let message = format!("could not agree on TLS with {origin}: {error}");
    Failure::new(kind, "http.tls", message)
}

async fn begin(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: IpAddr,
    origin: &Origin,
) -> Result<Connection, Failure> {
    let begun = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = begun.map_err(|error| {
        let message = format!("could not speak HTTP with {origin}: {error}");
        Failure::transient("http.connect", message)
    })?;
    let task = spawn(async move {
        // What went wrong is told to whoever waits for an answer; if nobody does, it does not matter.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        peer,
        _task: task,
    })
}

/// Connections of one configured plugin that wait for a request.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<(Connection, Instant)>>>,
}

/// How long a connection is kept: less than any known server keeps one (Node 5 s), so that a request seldom meets its end.
const KEPT: Duration = Duration::from_secs(4);

/// How long a free connection may take to be ready, which it is as soon as its task had its turn.
const PROMPT: Duration = Duration::from_millis(100);

/// How many are kept for one origin: as many as a plugin has requests under way, and for how many origins.
const MOST_KEPT: usize = 8;
const MOST_ORIGINS: usize = 64;

impl Pool {
    /// A free connection to one of the addresses: one to an address that the name has no more, or that may not be reached any more,
    /// must not be used again.
    pub(super) async fn take(&self, origin: &Origin, addresses: &[IpAddr]) -> Option<Connection> {
        loop {
            let mut connection = self.take_any(origin, addresses)?;
            // One whose last bytes the server does not take would keep us waiting for ever.
            if let Ok(Ok(())) = timeout(PROMPT, connection.sender.ready()).await {
                return Some(connection);
            }
        }
    }

    fn take_any(&self, origin: &Origin, addresses: &[IpAddr]) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle.get_mut(origin)?;
        known
            .retain(|(connection, since)| since.elapsed() < KEPT && !connection.sender.is_closed());
        let found = known
            .iter()
            .rposition(|(connection, _)| addresses.contains(&connection.peer));
        let taken = found.map(|at| known.remove(at).0);
        if known.is_empty() {
            idle.remove(origin);
        }
        taken
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn give_back(&self, origin: &Origin, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MOST_ORIGINS {
            idle.retain(|_, known| known.iter().any(|(_, since)| since.elapsed() < KEPT));
        }
        if idle.len() < MOST_ORIGINS || idle.contains_key(origin) {
            let known = idle.entry(origin.clone()).or_default();
            if known.len() >= MOST_KEPT {
                known.remove(0);
            }
            known.push((connection, Instant::now()));
        }
    }
}
