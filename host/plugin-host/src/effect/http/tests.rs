//! The gate against real servers on this machine, kind ones and others.

use super::*;
use crate::{
    effect::{
        Binding, Effects, Surroundings,
        files::Places,
        tests::{Names, bind, effective, effects},
    },
    imports::held::Budget,
    policy::egress::tests::LOOPBACKS,
    service::Services,
};
use hyper::{server, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use test_case::test_case;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) type Reply = fn(&Seen) -> Response<Full<Bytes>>;

/// A server that keeps to the rules.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    _task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(reply: Reply) -> Self {
        Self::start_with(None, reply).await
    }

    async fn start_with(tls: Option<tokio_rustls::TlsAcceptor>, reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (seen, connections) = (Arc::clone(&seen), Arc::clone(&connections));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, tls) = (Arc::clone(&seen), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, seen, reply).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, seen, reply).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self {
            address,
            seen,
            connections,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen
            .lock()
            .unwrap()
            .last()
            .expect("a request arrived")
            .clone()
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.connections.load(Ordering::SeqCst) == 0
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
    reply: Reply,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes().to_vec());
            let request = Seen {
                line: format!("{} {}", head.method, head.uri),
                headers: head.headers,
                body: body.unwrap_or_default(),
            };
            let response = reply(&request);
            seen.lock().unwrap().push(request);
            Ok::<_, Infallible>(response)
        }
    });
    let _ = server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

/// A server that does what it likes once it has the head of a request.
pub(crate) async fn odd<F>(act: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            tokio::spawn(act(stream));
        }
    });
    address
}

pub(crate) fn ok(_: &Seen) -> Response<Full<Bytes>> {
    Response::new("fine".into())
}

/// What is granted besides the rules for HTTP.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) asks: &'static str,
    pub(crate) allow: &'static str,
    pub(crate) limits: Option<Limits>,
    pub(crate) variables: &'static [(&'static str, &'static str)],
    pub(crate) workspace: Option<std::path::PathBuf>,
}

fn binding(effects: &Effects, rules: &[&str], setting: &Setting) -> Binding {
    let mut asks = setting.asks.to_owned();
    for rule in rules {
        write!(
            asks,
            "\n[[permission.http]]\nto = {rule:?}\nwhy = \"test\"\n"
        )
        .unwrap();
    }
    let allow = format!("allow.http = {rules:?}\n{}", setting.allow);
    let limits = setting.limits.clone().unwrap_or_default();
    bind(effects, effective(&asks, &allow), limits, setting.variables)
}

pub(crate) fn services_of(effects: &Effects, rules: &[&str], setting: &Setting) -> Services {
    let around = Surroundings {
        places: Places {
            workspace: setting.workspace.clone(),
            ..Places::default()
        },
        ..Surroundings::default()
    };
    binding(effects, rules, setting).services(around).unwrap()
}

/// The effects of a plugin that may reach this machine by its address.
pub(crate) fn services(rule: &str, setting: Setting) -> Services {
    let setting = Setting {
        allow: Box::leak(
            format!(
                "allow.private-network = [\"127.0.0.0/8\"]\n{}",
                setting.allow
            )
            .into(),
        ),
        ..setting
    };
    services_of(&effects(Names::of(&[]), Vec::new()), &[rule], &setting)
}

fn get(url: impl Into<String>) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: url.into(),
        ..HttpRequest::default()
    }
}

fn post(url: impl Into<String>, body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        body: HttpBody::Bytes(body.to_vec()),
        ..get(url)
    }
}

fn with(mut request: HttpRequest, name: &str, value: &str) -> HttpRequest {
    request.headers.push((name.into(), value.into()));
    request
}

async fn exchange(services: &Services, request: HttpRequest) -> Result<HttpResponse, Failure> {
    services.http.as_ref().unwrap().exchange(request).await
}

async fn code(services: &Services, request: HttpRequest) -> String {
    exchange(services, request).await.unwrap_err().code
}

#[tokio::test]
async fn a_granted_request_arrives_as_it_was_made() {
    let server = Server::start(|_| {
        Response::builder()
            .status(207)
            .header("X-Name", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body("answer".into())
            .unwrap()
    })
    .await;
    let services = services(&server.url(), Setting::default());
    let request = with(
        post(server.url() + "/a%20b?c=d", b"body"),
        "User-Agent",
        "own/1",
    );
    let response = exchange(&services, with(request, "content-length", "4"))
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(
        (seen.line.as_str(), seen.body.as_slice()),
        ("POST /a%20b?c=d", b"body".as_slice())
    );
    assert_eq!(seen.header("host"), server.address.to_string());
    assert_eq!(seen.header("content-length"), "4");
    let agent = format!("piper/{} (test/1.2.3) own/1", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.header("user-agent"), agent);
    assert_eq!(
        (response.status, response.body.as_slice()),
        (207, b"answer".as_slice())
    );
    let own: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-") || name == "set-cookie")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(own, ["x-name: café", "set-cookie: a=1", "set-cookie: b=2"]);
}

#[tokio::test]
async fn a_connection_is_used_again_when_its_answer_was_read() {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    for _ in 0..5 {
        exchange(&services, post(server.url(), b"x")).await.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let http = services.http.unwrap();
    let both = tokio::join!(
        http.exchange(get(server.url())),
        http.exchange(get(server.url()))
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_to_an_address_that_was_not_vetted_is_not_used_again() {
    let server = Server::start(ok).await;
    let here = server.address.ip();
    let origin = Origin::parse(&server.url()).unwrap();
    let tls = Tls::new(Trust::default());
    let pool = Pool::default();
    let connection = connect(&tls, &origin, &[here]).await.unwrap();
    pool.give_back(&origin, connection);
    assert!(
        pool.take(&origin, &["127.0.0.2".parse().unwrap()])
            .await
            .is_none()
    );
    assert!(pool.take(&origin, &[here]).await.is_some());
    assert!(pool.take(&origin, &[here]).await.is_none(), "it is taken");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_costs_no_request() {
    let closing = odd(|mut stream| async move {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let url = format!("http://{closing}");
    let services = services(&url, Setting::default());
    for _ in 0..3 {
        assert_eq!(exchange(&services, get(&*url)).await.unwrap().body, b"ok");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::start(|_| {
        let inside = "http://169.254.169.254/latest/meta-data";
        let answer = Response::builder().status(302).header("location", inside);
        answer.body(Full::default()).unwrap()
    })
    .await;
    let services = services(&server.url(), Setting::default());
    let response = exchange(&services, get(server.url())).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(response.headers.iter().any(|(name, _)| name == "location"));
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_that_nobody_granted_is_not_even_looked_up() {
    let names = Names::of(&[("inside.test", &["127.0.0.1"])]);
    let effects = effects(names.clone(), Vec::new());
    let services = services_of(&effects, &["https://example.com"], &Setting::default());
    assert_eq!(
        code(&services, get("https://inside.test")).await,
        "policy.http-host"
    );
    assert_eq!(
        code(&services, post("https://inside.test", b"")).await,
        "policy.http-host"
    );
    assert_eq!(*names.asked.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn no_spelling_of_this_machine_reaches_it() {
    let server = Server::start(ok).await;
    let port = server.address.port();
    let effects = effects(Names::of(&[("*", &["127.0.0.1", "::1"])]), Vec::new());
    let setting = Setting {
        allow: "allow.any-host = true",
        ..Setting::default()
    };
    let services = services_of(&effects, &[&format!("http://*:{port}")], &setting);
    for spelling in LOOPBACKS {
        let code = code(&services, get(format!("http://{spelling}:{port}/"))).await;
        let is_refused = matches!(code.as_str(), "policy.http-address" | "http.invalid-uri");
        assert!(is_refused, "{spelling}: {code}");
    }
    assert!(server.is_untouched());
}

#[tokio::test]
async fn a_name_that_leads_inside_reaches_nothing_there() {
    let server = Server::start(ok).await;
    let port = server.address.port();
    let names = Names::of(&[
        (
            "all.test",
            &[
                "127.0.0.1",
                "::ffff:127.0.0.1",
                "10.0.0.1",
                "169.254.169.254",
            ],
        ),
        ("some.test", &["10.255.255.1", "127.0.0.1"]),
    ]);
    let effects = effects(names, Vec::new());
    let rules = [
        format!("http://all.test:{port}"),
        format!("http://some.test:{port}"),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let nothing = services_of(&effects, &rules, &Setting::default());
    let all = exchange(&nothing, get(format!("http://all.test:{port}")))
        .await
        .unwrap_err();
    assert_eq!(all.code, "policy.http-address");
    assert!(
        all.message.contains("127.0.0.1") && all.message.contains("--private-network"),
        "{all}"
    );
    assert!(server.is_untouched());
    let one = Setting {
        allow: "allow.private-network = [\"127.0.0.1\"]",
        ..Setting::default()
    };
    let one = services_of(&effects, &rules, &one);
    // Of two addresses the one that may be reached is used, and the other not even tried.
    let answer = exchange(&one, get(format!("http://some.test:{port}")))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(server.last().header("host"), format!("some.test:{port}"));
}

#[test_case("Host", "inside.test", "policy.http-header")]
#[test_case("Transfer-Encoding", "chunked", "policy.http-header")]
#[test_case("X-Forwarded-For", "10.0.0.1", "policy.http-header")]
#[test_case("Connection", "upgrade", "policy.http-header")]
#[test_case("Authorization", "Bearer guessed", "policy.http-header"; "a credential that it knows")]
#[test_case("X-A", "b\r\nHost: inside.test", "http.invalid-header"; "a line end")]
#[test_case("X-A\r\nHost", "inside.test", "http.invalid-header"; "a line end in the name")]
#[test_case("X-A", "b\u{0}c", "http.invalid-header"; "a NUL")]
#[test_case("Content-Length", "3", "http.invalid-header"; "another length")]
#[test_case("Content-Length", "+4", "http.invalid-header"; "a length with a sign")]
#[tokio::test]
async fn a_forged_header_is_refused(name: &str, value: &str, expected: &str) {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let request = with(post(server.url(), b"body"), name, value);
    assert_eq!(code(&services, request).await, expected);
    assert!(server.is_untouched());
}

#[test_case("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", "/", "http.invalid-method"; "a request in the method")]
#[test_case("CONNECT", "/", "policy.http-host"; "a tunnel")]
#[test_case("GET", "/a b", "http.invalid-uri"; "a space")]
#[test_case("GET", "/a\r\nHost: x", "http.invalid-uri"; "a line end")]
#[test_case("GET", "/#a", "http.invalid-uri"; "a fragment")]
#[tokio::test]
async fn a_forged_request_line_is_refused(method: &str, path: &str, expected: &str) {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let request = HttpRequest {
        method: method.into(),
        ..get(server.url() + path)
    };
    assert_eq!(code(&services, request).await, expected);
    assert!(server.is_untouched());
}

#[tokio::test]
async fn too_many_headers_are_sent_to_nobody() {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let request = with(get(server.url()), "x-a", &"a".repeat(20_000));
    assert_eq!(code(&services, request).await, "limit.headers");
}

const TOKEN: &str = "[[permission.secret]]\nname = \"token\"\nuse = { header = \"authorization\" }\nwhy = \"log in\"\n";
const VARIABLES: &[(&str, &str)] = &[("TOKEN", "hunter2-hunter2\n")];

fn with_token(server: &Server) -> Services {
    let allow = format!(
        "secrets.token = {{ from = \"env:TOKEN\", to = [{:?}] }}",
        server.url()
    );
    services(
        &server.url(),
        Setting {
            asks: TOKEN,
            allow: Box::leak(allow.into()),
            variables: VARIABLES,
            ..Setting::default()
        },
    )
}

#[tokio::test]
async fn a_secret_goes_where_it_may_and_nowhere_else() {
    let server = Server::start(ok).await;
    let services = with_token(&server);
    let secrets = services.secrets.clone().unwrap();
    let token = secrets.placeholder("token".into()).await.unwrap();
    let granted = with(
        get(server.url()),
        "Authorization",
        &format!("Bearer {token}"),
    );
    exchange(&services, granted).await.unwrap();
    assert_eq!(
        server.last().header("authorization"),
        "Bearer hunter2-hunter2"
    );
    let basic = secrets.basic("me".into(), "token".into()).await.unwrap();
    exchange(&services, with(get(server.url()), "authorization", &basic))
        .await
        .unwrap();
    assert_eq!(
        server.last().header("authorization"),
        "Basic bWU6aHVudGVyMi1odW50ZXIy"
    );
    let before = server.seen.lock().unwrap().len();
    let elsewhere = [
        with(get(server.url()), "x-other", &token),
        get(format!("{}/?a={token}", server.url())),
        get(format!("{}/{token}", server.url())),
        post(server.url(), token.as_bytes()),
        post(server.url(), &token.as_bytes()[13..30]),
        with(
            post(server.url(), format!("{{\"a\":\"{token}\"}}").as_bytes()),
            "content-type",
            "application/json",
        ),
    ];
    for request in elsewhere {
        let shown = format!("{request:?}");
        assert_eq!(
            code(&services, request).await,
            "policy.secret-use",
            "{shown}"
        );
    }
    assert_eq!(
        server.seen.lock().unwrap().len(),
        before,
        "nothing was sent"
    );
}

#[tokio::test]
async fn a_secret_without_a_value_is_missed_when_it_is_used() {
    let server = Server::start(ok).await;
    let allow = format!(
        "secrets.token = {{ from = \"env:TOKEN\", to = [{:?}] }}",
        server.url()
    );
    let services = services(
        &server.url(),
        Setting {
            asks: TOKEN,
            allow: Box::leak(allow.into()),
            ..Setting::default()
        },
    );
    exchange(&services, get(server.url())).await.unwrap();
    let secrets = services.secrets.unwrap();
    let failure = secrets.placeholder("token".into()).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Invalid, "secret.unset")
    );
}

#[tokio::test]
async fn an_adopted_token_goes_back_to_its_origin_and_is_masked() {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let secrets = services.secrets.clone().unwrap();
    assert!(secrets.masker().is_empty());
    let token = secrets
        .adopt("just-received-it".into(), server.url())
        .await
        .unwrap();
    exchange(&services, with(get(server.url()), "authorization", &token))
        .await
        .unwrap();
    assert_eq!(server.last().header("authorization"), "just-received-it");
    let shown = secrets.masker().text("it is just-received-it".into());
    assert_eq!(shown, "it is ***");
    let other = secrets
        .adopt("just-received-it".into(), "https://other.test".into())
        .await;
    let elsewhere = with(get(server.url()), "authorization", &other.unwrap());
    assert_eq!(code(&services, elsewhere).await, "policy.secret-use");
}

pub(crate) fn hasty() -> Setting {
    Setting {
        limits: Some(Limits {
            http_first_byte: Duration::from_millis(200),
            http_between_bytes: Duration::from_millis(200),
            http_total: Duration::from_millis(1_500),
            http_response: 1 << 20,
            ..Limits::default()
        }),
        ..Setting::default()
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_no_more_than_patience() {
    let silent = odd(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let url = format!("http://{silent}");
    let services = services(&url, hasty());
    let failure = exchange(&services, get(&*url)).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Transient, "http.timeout")
    );
    assert_eq!(failure.details.as_deref(), Some(r#"{"sent":true}"#));
    assert!(
        failure.message.ends_with("(http-first-byte: 200 ms)"),
        "{failure}"
    );
    let hurried = HttpRequest {
        timeout: Some(Duration::from_millis(50)),
        ..get(&*url)
    };
    let failure = exchange(&services, hurried).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.limit),
        ("http.timeout", None),
        "its own wish"
    );
}

#[tokio::test]
async fn a_server_that_takes_nothing_costs_no_more_than_patience() {
    let deaf = odd(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let url = format!("http://{deaf}");
    let mut setting = hasty();
    setting.limits.as_mut().unwrap().http_total = Duration::from_secs(60);
    let services = services(&url, setting);
    let large = vec![b'x'; 12 << 20];
    assert_eq!(code(&services, post(&*url, &large)).await, "http.timeout");
}

#[tokio::test]
async fn a_server_that_answers_before_it_took_all_keeps_the_next_request_from_nothing() {
    let busy = odd(|mut stream| async move {
        let answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("http://{busy}");
    let services = services(&url, Setting::default());
    let large = vec![b'x'; 12 << 20];
    let both = async {
        for _ in 0..2 {
            let answer = exchange(&services, post(&*url, &large)).await.unwrap();
            assert_eq!(answer.status, 503);
        }
    };
    let both = tokio::time::timeout(Duration::from_secs(10), both).await;
    both.expect("the second has a connection of its own");
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_total_and_one_that_stops_at_once() {
    async fn begin(stream: &mut TcpStream) {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        stream.write_all(head).await.unwrap();
    }
    let dripping = odd(|mut stream| async move {
        begin(&mut stream).await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let stopping = odd(|mut stream| async move {
        begin(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    for (address, least) in [(dripping, 1_400), (stopping, 150)] {
        let url = format!("http://{address}");
        let services = services(&url, hasty());
        let began = Instant::now();
        assert_eq!(code(&services, get(&*url)).await, "http.timeout");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(least), "{took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = odd(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let declared = odd(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
        stream.write_all(head).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let headers = odd(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream
            .write_all(b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    for (address, expected, limit) in [
        (endless, "limit.body", Some(("http-response: 1 MiB", None))),
        (
            declared,
            "limit.body",
            Some(("http-response: 1 MiB", Some(99_999_999_999))),
        ),
        (headers, "limit.headers", None),
    ] {
        let url = format!("http://{address}");
        let failure = exchange(&services(&url, hasty()), get(&*url)).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, expected);
        let reached = failure
            .limit
            .map(|limit| (limit.to_string(), limit.wanted()));
        let reached = reached
            .as_ref()
            .map(|(limit, wanted)| (limit.as_str(), *wanted));
        assert_eq!(reached, limit);
        let (limit, _) = limit.unwrap_or_default();
        assert!(failure.message.contains(limit), "{failure}");
    }
}

#[tokio::test]
async fn an_answer_is_held_only_as_far_as_there_is_room() {
    let endless = odd(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let url = format!("http://{endless}");
    let request = HttpRequest {
        room: Room::new(&Budget::new(200_000)),
        ..get(&*url)
    };
    assert_eq!(code(&services(&url, hasty()), request).await, "limit.held");
}

#[test_case("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "http.broken"; "a body that ends early")]
#[test_case("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "http.broken"; "another protocol")]
#[test_case("220 smtp.test ESMTP\r\n", "http.broken"; "no HTTP")]
#[test_case("", "http.broken"; "nothing")]
#[tokio::test]
async fn a_broken_answer_is_told_as_one(answer: &'static str, expected: &str) {
    let broken = odd(move |mut stream| async move {
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let url = format!("http://{broken}");
    assert_eq!(code(&services(&url, hasty()), get(&*url)).await, expected);
}

#[tokio::test]
async fn where_nobody_listens_the_connection_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = exchange(&services(&url, hasty()), get(&*url))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Transient, "http.connect")
    );
}

#[tokio::test]
async fn too_long_a_body_is_not_sent() {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let request = post(server.url(), &vec![0; (16 << 20) + 1]);
    let failure = exchange(&services, request).await.unwrap_err();
    assert_eq!(failure.code, "limit.body");
    assert_eq!(failure.limit.unwrap().wanted(), Some((16 << 20) + 1));
    let url = server.url();
    let declared = through_gate(&services, &url, Some("40000000"), pieces(&["abc"])).await;
    let reached = declared.unwrap_err().limit.unwrap();
    assert_eq!(
        reached.line().unwrap(),
        "limits.http-request = \"39MiB\"",
        "what is wanted is known"
    );
    assert!(server.is_untouched());
}

#[tokio::test]
async fn a_body_is_compressed_after_its_placeholders_are_filled_in() {
    let server = Server::start(ok).await;
    let asks = "[[permission.secret]]\nname = \"token\"\nuse = { body = true }\nwhy = \"log in\"\n";
    let allow = format!(
        "secrets.token = {{ from = \"env:TOKEN\", to = [{:?}], use = [\"body\"] }}",
        server.url()
    );
    let services = services(
        &server.url(),
        Setting {
            asks,
            allow: Box::leak(allow.into()),
            variables: VARIABLES,
            ..Setting::default()
        },
    );
    let token = services
        .secrets
        .as_ref()
        .unwrap()
        .placeholder("token".into())
        .await
        .unwrap();
    let body = format!("{{\"token\":\"{token}\"}}");
    let mut request = with(
        post(server.url(), body.as_bytes()),
        "content-type",
        "application/json",
    );
    request.gzip = true;
    exchange(&services, request.clone()).await.unwrap();
    let seen = server.last();
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    assert_eq!(unzipped(&seen.body), br#"{"token":"hunter2-hunter2"}"#);
    let twice = with(request, "content-encoding", "br");
    assert_eq!(code(&services, twice).await, "http.request");
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut text).unwrap();
    text
}

const FILES: &str = "[[permission.files]]\nworkspace = \"write\"\nwhy = \"test\"\n";

fn with_files(server: &Server, workspace: &std::path::Path) -> Services {
    services(
        &server.url(),
        Setting {
            asks: FILES,
            allow: "allow.files = { workspace = \"write\" }",
            workspace: Some(workspace.to_owned()),
            ..Setting::default()
        },
    )
}

#[tokio::test]
async fn a_part_of_a_file_is_a_body_of_any_size() {
    let server = Server::start(ok).await;
    let workspace = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..20_000_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(workspace.path().join("large"), &content).unwrap();
    let services = with_files(&server, workspace.path());
    let part = |offset, length| HttpRequest {
        method: "PUT".into(),
        body: HttpBody::File {
            path: "large".into(),
            offset,
            length,
        },
        ..get(server.url())
    };
    exchange(&services, part(0, None)).await.unwrap();
    let seen = server.last();
    assert_eq!(seen.header("content-length"), "20000000");
    assert!(seen.body == content);
    exchange(&services, part(1_000, Some(500))).await.unwrap();
    assert_eq!(server.last().body, &content[1_000..1_500]);
    let zipped = HttpRequest {
        gzip: true,
        ..part(7, Some(1_000_000))
    };
    exchange(&services, zipped).await.unwrap();
    assert!(unzipped(&server.last().body) == content[7..1_000_007]);
    assert_eq!(
        code(&services, part(0, Some(20_000_001))).await,
        "fs.offset"
    );
    let outside = HttpRequest {
        body: HttpBody::File {
            path: "../large".into(),
            offset: 0,
            length: None,
        },
        ..get(server.url())
    };
    assert_eq!(code(&services, outside).await, "policy.fs");
}

#[tokio::test]
async fn a_file_has_the_whole_answer_or_is_not_there() {
    let server = Server::start(|seen| match seen.line.as_str() {
        "GET /large" => Response::new(vec![7; 20_000_000].into()),
        _ => Response::builder().status(404).body("no".into()).unwrap(),
    })
    .await;
    let workspace = tempfile::tempdir().unwrap();
    let services = with_files(&server, workspace.path());
    let saved = |path: &str| HttpRequest {
        save_to: Some("new/folder/file".into()),
        ..get(server.url() + path)
    };
    let missing = exchange(&services, saved("/other")).await.unwrap();
    assert_eq!(
        (missing.status, missing.body.as_slice()),
        (404, b"no".as_slice())
    );
    assert!(!workspace.path().join("new").exists());
    let found = exchange(&services, saved("/large")).await.unwrap();
    assert_eq!((found.status, found.body.len()), (200, 0));
    let folder = workspace.path().join("new/folder");
    assert_eq!(
        std::fs::read(folder.join("file")).unwrap(),
        vec![7; 20_000_000]
    );
    let broken = odd(|mut stream| async move {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    })
    .await;
    let broken = Server {
        address: broken,
        ..server
    };
    let services = with_files(&broken, workspace.path());
    let half = HttpRequest {
        save_to: Some("new/folder/file".into()),
        ..get(broken.url())
    };
    assert_eq!(code(&services, half).await, "http.broken");
    let names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["file"], "nothing half is left");
    assert_eq!(
        std::fs::read(folder.join("file")).unwrap().len(),
        20_000_000
    );
}

/// An authority, and a server with its certificate for this name.
async fn tls_server(name: &str) -> (Vec<u8>, Server) {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start_with(Some(acceptor), ok).await;
    (authority.der().to_vec(), server)
}

#[tokio::test]
async fn tls_is_made_for_the_name_that_was_asked_for() {
    let (authority, server) = tls_server("right.test").await;
    let port = server.address.port();
    let names = Names::of(&[
        ("right.test", &["127.0.0.1"]),
        ("wrong.test", &["127.0.0.1"]),
    ]);
    let rules = [
        format!("https://right.test:{port}"),
        format!("https://wrong.test:{port}"),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let setting = Setting {
        allow: "allow.private-network = [\"127.0.0.1\"]",
        ..Setting::default()
    };
    let believing = effects(names.clone(), vec![authority]);
    let believing = services_of(&believing, &rules, &setting);
    exchange(&believing, get(rules[0])).await.unwrap();
    let wrong = exchange(&believing, get(rules[1])).await.unwrap_err();
    assert_eq!(
        (wrong.kind, wrong.code.as_str()),
        (FailureKind::Permanent, "http.tls")
    );
    let doubting = services_of(&effects(names, Vec::new()), &rules, &setting);
    assert_eq!(code(&doubting, get(rules[0])).await, "http.tls");
}

/// A body in these pieces.
struct Pieces(std::collections::VecDeque<http_body::Frame<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Failure>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn pieces(pieces: &[&str]) -> StreamBody {
    let frame = |piece: &&str| http_body::Frame::data(Bytes::copy_from_slice(piece.as_bytes()));
    Pieces(pieces.iter().map(frame).collect()).boxed_unsync()
}

async fn through_gate(
    services: &Services,
    url: &str,
    length: Option<&str>,
    body: StreamBody,
) -> Result<String, Failure> {
    let mut request = Request::builder().method("PUT").uri(url);
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    let gate = services.http.as_ref().unwrap().gate();
    let response = gate
        .send(request.body(body).unwrap(), Patience::default())
        .await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_streamed_body_has_the_length_that_it_was_said_to_have() {
    let server = Server::start(ok).await;
    let (url, services) = (server.url(), services(&server.url(), Setting::default()));
    let sent = through_gate(&services, &url, Some("6"), pieces(&["abc", "def"])).await;
    assert_eq!(sent.unwrap(), "fine");
    assert_eq!(server.last().header("content-length"), "6");
    through_gate(&services, &url, None, pieces(&["abc", "def"]))
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(
        (seen.header("transfer-encoding"), seen.body.as_slice()),
        ("chunked", b"abcdef".as_slice())
    );
    for length in ["5", "7"] {
        let lie = through_gate(&services, &url, Some(length), pieces(&["abc", "def"])).await;
        assert_eq!(lie.unwrap_err().code, "http.body", "{length}");
    }
    let too_long = vec!["x".repeat(1 << 20); 17];
    let too_long: Vec<&str> = too_long.iter().map(String::as_str).collect();
    let too_long = through_gate(&services, &url, None, pieces(&too_long)).await;
    assert_eq!(too_long.unwrap_err().code, "limit.body");
}

#[tokio::test]
async fn a_streamed_body_has_neither_trailers_nor_placeholders() {
    let server = Server::start(ok).await;
    let (url, services) = (server.url(), with_token(&server));
    let mut trailers = HeaderMap::new();
    trailers.insert("authorization", HeaderValue::from_static("forged"));
    let forged = Pieces([http_body::Frame::trailers(trailers)].into()).boxed_unsync();
    let forged = through_gate(&services, &url, None, forged).await;
    assert_eq!(forged.unwrap_err().code, "policy.http-header");
    let token = services
        .secrets
        .as_ref()
        .unwrap()
        .placeholder("token".into())
        .await
        .unwrap();
    let (one, two) = token.split_at(20);
    let split = through_gate(&services, &url, None, pieces(&["a", one, two, "b"])).await;
    assert_eq!(split.unwrap_err().code, "policy.secret-use");
}

#[tokio::test]
async fn the_other_gate_is_the_same_gate() {
    let server = Server::start(ok).await;
    let (url, services) = (server.url(), services(&server.url(), Setting::default()));
    let elsewhere = through_gate(&services, "https://example.com/", None, pieces(&[])).await;
    assert_eq!(elsewhere.unwrap_err().code, "policy.http-host");
    let gate = services.http.as_ref().unwrap().gate();
    let forged = Request::builder().uri(&url).header("host", "inside.test");
    let forged = forged.body(pieces(&[])).unwrap();
    let forged = gate.send(forged, Patience::default()).await.map(drop);
    assert_eq!(forged.unwrap_err().code, "policy.http-header");
    assert!(server.is_untouched());
}

#[tokio::test]
async fn a_request_that_is_dropped_is_abandoned() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let silent = odd(move |mut stream| {
        let ended = ended.clone();
        async move {
            // The end of the stream: the connection was closed.
            let read = stream.read(&mut [0; 16]).await;
            ended.send(read.unwrap_or(0)).await.unwrap();
        }
    })
    .await;
    let url = format!("http://{silent}");
    let services = services(&url, Setting::default());
    let abandoned =
        tokio::time::timeout(Duration::from_millis(200), exchange(&services, get(&*url)));
    assert!(abandoned.await.is_err());
    assert_eq!(end.recv().await, Some(0));
}
