//! Guests that want to reach what they must not, and servers that want to keep them.

use super::next_is_unaffected;
use crate::{
    Failure, Invocation,
    effect::{
        http::{
            Resolve,
            tests::{Server, Setting, hasty, odd, ok, services, services_of},
        },
        tests::{Names, effects},
    },
    kind::Call,
    policy::egress::tests::LOOPBACKS,
    service::{Answer, Services},
    tests::guests::plugin,
};
use http::Response;
use http_body_util::Full;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

/// A call that makes a request; see `tests/guests` for what its parts stand for.
fn request(name: &str, to: &str, header: &str, body: &str) -> Call {
    Call {
        name: name.into(),
        config: to.into(),
        options: header.into(),
        facts: body.into(),
    }
}

fn get(url: &str) -> Call {
    request("fetch GET", url, "{}", "{}")
}

/// What the guest says of its request, or its failure's code.
async fn outcome(services: &Services, call: Call) -> String {
    let invocation = Invocation {
        services: services.clone(),
        ..Invocation::default()
    };
    match plugin().run(&invocation, call).await {
        Ok(verdict) => verdict.message,
        Err(error) => error.code().to_owned(),
    }
}

/// A grant for every name, on this port.
fn any_host(port: u16, names: Arc<Names>, allow: &'static str) -> Services {
    let setting = Setting {
        allow,
        ..Setting::default()
    };
    let rules = [format!("http://*:{port}"), "http://*".into()];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    services_of(&effects(names, Vec::new()), &rules, &setting)
}

#[tokio::test]
pub(super) async fn an_answer_without_end_is_cut_off() {
    let endless = odd(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let headers = odd(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x-a: aaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    })
    .await;
    for (server, code) in [(endless, "limit.body"), (headers, "limit.headers")] {
        let url = format!("http://{server}");
        assert_eq!(outcome(&services(&url, hasty()), get(&url)).await, code);
    }
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_request_without_end_is_cut_off() {
    let server = odd(|mut stream| async move {
        let mut room = vec![0; 64 * 1024];
        while stream.read(&mut room).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let url = format!("http://{server}");
    let services = services(&url, Setting::default());
    let call = request("wasi-fetch PUT", &server.to_string(), "{}", "{}");
    assert_eq!(
        outcome(&services, call).await,
        "ErrorCode::HttpResponseBodySize(None)"
    );
    let large = "x".repeat((16 << 20) + 1);
    let call = request("fetch POST", &url, "{}", &large);
    assert_eq!(outcome(&services, call).await, "limit.body");
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_server_that_answers_slowly_costs_no_more_than_patience() {
    let silent = odd(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let dripping = odd(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for server in [silent, dripping] {
        let url = format!("http://{server}");
        let began = Instant::now();
        assert_eq!(
            outcome(&services(&url, hasty()), get(&url)).await,
            "http.timeout"
        );
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_server_that_reads_slowly_costs_no_more_than_patience() {
    let deaf = odd(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let slow = odd(|mut stream| async move {
        while stream.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let large = "x".repeat(12 << 20);
    for server in [deaf, slow] {
        let url = format!("http://{server}");
        let call = request("fetch POST", &url, "{}", &large);
        assert_eq!(
            outcome(&services(&url, hasty()), call).await,
            "http.timeout"
        );
    }
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_redirect_leads_nowhere() {
    let server = Server::start(|_| {
        let inside = "http://169.254.169.254/latest/meta-data";
        let answer = Response::builder().status(302).header("location", inside);
        answer.body(Full::default()).unwrap()
    })
    .await;
    let url = server.url();
    let follow = || request("follow", &url, "{}", "{}");
    let one = services(&url, Setting::default());
    assert_eq!(outcome(&one, get(&url)).await, "302 0");
    assert_eq!(outcome(&one, follow()).await, "policy.http-host");
    let allow = "allow.any-host = true\nallow.private-network = [\"127.0.0.1\"]";
    let any = any_host(server.address.port(), Names::of(&[]), allow);
    assert_eq!(outcome(&any, follow()).await, "policy.http-address");
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_name_leads_nowhere_inside() {
    let server = Server::start(ok).await;
    let port = server.address.port();
    for inside in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "fd00::1",
        "0.0.0.0",
    ] {
        let names = Names::of(&[("*", &[inside])]);
        let services = any_host(port, names, "allow.any-host = true");
        for call in [
            get(&format!("http://rebound.test:{port}/")),
            request(
                "wasi-fetch GET",
                &format!("rebound.test:{port}"),
                "{}",
                "{}",
            ),
        ] {
            let outcome = outcome(&services, call).await;
            assert!(
                ["policy.http-address", "ErrorCode::DestinationIpProhibited"]
                    .contains(&outcome.as_str()),
                "{inside}: {outcome}"
            );
        }
    }
    assert!(server.is_untouched());
    next_is_unaffected().await;
}

/// A resolver that answers with one address after the other.
struct Moving(Mutex<Vec<IpAddr>>);

impl Resolve for Moving {
    fn resolve(&self, _: &str) -> Answer<'static, Vec<IpAddr>> {
        let next = self.0.lock().unwrap().pop();
        let gone = Failure::transient("http.connect", "it was asked too often");
        Box::pin(async move { Ok(vec![next.ok_or(gone)?]) })
    }
}

/// Of two servers the name's owner shows the host one that it may reach, and moves it to the other as soon as it was looked at.
#[tokio::test]
pub(super) async fn a_name_that_moves_inside_leads_nowhere() {
    let open = Server::start(ok).await;
    let port = open.address.port();
    let inside = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let addresses = ["127.0.0.2", "127.0.0.1"].map(|address| address.parse().unwrap());
    let moving = Arc::new(Moving(Mutex::new(addresses.into())));
    let setting = Setting {
        allow: "allow.private-network = [\"127.0.0.1\"]",
        ..Setting::default()
    };
    let rule = format!("http://moving.test:{port}");
    let services = services_of(&effects(moving.clone(), Vec::new()), &[&rule], &setting);
    assert_eq!(outcome(&services, get(&rule)).await, "200 4");
    // It was asked once: what was looked at is what was connected to.
    assert_eq!(moving.0.lock().unwrap().len(), 1);
    // Its answer is believed for half a minute.
    assert_eq!(outcome(&services, get(&rule)).await, "200 4");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(outcome(&services, get(&rule)).await, "policy.http-address");
    let reached = tokio::time::timeout(Duration::from_millis(50), inside.accept());
    assert!(reached.await.is_err(), "nobody came");
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn no_spelling_of_this_machine_reaches_it() {
    let server = Server::start(ok).await;
    let port = server.address.port();
    let names = Names::of(&[("*", &["127.0.0.1", "::1"])]);
    let services = any_host(port, names, "allow.any-host = true");
    for spelling in LOOPBACKS {
        let code = outcome(&services, get(&format!("http://{spelling}:{port}/"))).await;
        let is_refused = matches!(code.as_str(), "policy.http-address" | "http.invalid-uri");
        assert!(is_refused, "{spelling}: {code}");
        let call = request("wasi-fetch GET", &format!("{spelling}:{port}"), "{}", "{}");
        let code = outcome(&services, call).await;
        let is_refused = code == "no address"
            || code == "ErrorCode::DestinationIpProhibited"
            || code.contains("http.invalid-uri");
        assert!(is_refused, "{spelling} in wasi:http: {code}");
    }
    assert!(server.is_untouched());
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn no_header_is_forged() {
    let server = Server::start(ok).await;
    let services = services(&server.url(), Setting::default());
    let authority = server.address.to_string();
    for (header, code, of_wasi) in [
        (
            "Host=inside.test",
            "policy.http-header",
            "HeaderError::Forbidden",
        ),
        (
            "Transfer-Encoding=chunked",
            "policy.http-header",
            "HeaderError::Forbidden",
        ),
        (
            "Connection=upgrade",
            "policy.http-header",
            "HeaderError::Forbidden",
        ),
        (
            "X-Forwarded-For=10.0.0.1",
            "policy.http-header",
            "ErrorCode::HttpRequestDenied",
        ),
        (
            "Authorization=Bearer guessed",
            "policy.http-header",
            "ErrorCode::HttpRequestDenied",
        ),
        (
            "Content-Length=3",
            "http.invalid-header",
            "ErrorCode::HttpRequestBodySize",
        ),
        (
            "X-A=b\r\nHost: inside.test",
            "http.invalid-header",
            "HeaderError::InvalidSyntax",
        ),
        (
            "X-A=b\nc",
            "http.invalid-header",
            "HeaderError::InvalidSyntax",
        ),
        (
            "X-A=b\0c",
            "http.invalid-header",
            "HeaderError::InvalidSyntax",
        ),
        (
            "X-A\r\nHost=inside.test",
            "http.invalid-header",
            "HeaderError::InvalidSyntax",
        ),
    ] {
        let call = request("fetch POST", &server.url(), header, "body");
        assert_eq!(outcome(&services, call).await, code, "{header:?}");
        let call = request("wasi-fetch GET", &authority, header, "{}");
        let outcome = outcome(&services, call).await;
        assert!(outcome.contains(of_wasi), "{header:?}: {outcome}");
    }
    assert!(server.is_untouched());
    next_is_unaffected().await;
}

/// A plugin with a secret for one server that may also talk to another.
#[tokio::test]
pub(super) async fn a_secret_is_sent_nowhere_else() {
    let (own, other) = (Server::start(ok).await, Server::start(ok).await);
    let (own_url, other_url) = (own.url(), other.url());
    let allow = format!(
        "allow.private-network = [\"127.0.0.1\"]\nsecrets.token = {{ from = \"env:TOKEN\", to = [{own_url:?}] }}"
    );
    let setting = Setting {
        asks: "[[permission.secret]]\nname = \"token\"\nuse = { header = \"authorization\" }\nwhy = \"log in\"\n",
        allow: Box::leak(allow.into()),
        variables: &[("TOKEN", "hunter2-hunter2")],
        ..Setting::default()
    };
    let effects = effects(Names::of(&[]), Vec::new());
    let services = || services_of(&effects, &[&own_url, &other_url], &setting);
    const LOG_IN: &str = "authorization=Bearer {secret}";
    let call = request("fetch GET", &own_url, LOG_IN, "{}");
    assert_eq!(outcome(&services(), call).await, "200 4");
    assert_eq!(own.last().header("authorization"), "Bearer hunter2-hunter2");
    let sent = own.seen.lock().unwrap().len();
    for (url, header, body) in [
        (&*other_url, LOG_IN, "{}"),
        (&*other_url, "x-a={half}", "{}"),
        (&*other_url, "x-a={secret}", "{}"),
        (&*other_url, "x-a={base64}", "{}"),
        (&*other_url, "{}", "it is {secret}"),
        (&*other_url, "{}", "it is {half}"),
        (&*other_url, "{}", "it is {base64}"),
        (&format!("{other_url}/{{secret}}"), "{}", "{}"),
        (&format!("{other_url}/?a={{base64}}"), "{}", "{}"),
        (&*own_url, "x-a={secret}", "{}"),
        (&*own_url, "{}", "{secret}"),
        (&format!("{own_url}/?a={{secret}}"), "{}", "{}"),
    ] {
        let call = request("fetch POST", url, header, body);
        assert_eq!(
            outcome(&services(), call).await,
            "policy.secret-use",
            "{url} {header} {body}"
        );
    }
    assert_eq!(own.seen.lock().unwrap().len(), sent);
    assert!(other.is_untouched());
    next_is_unaffected().await;
}
