use super::*;
use crate::policy::http_rule::AnyHost;
use proptest::prelude::*;
use test_case::test_case;

fn rules(texts: &[&str]) -> Vec<HttpRule> {
    let rule = |text: &&str| HttpRule::parse(text, AnyHost::Acknowledged).unwrap();
    texts.iter().map(rule).collect()
}

fn grant<'a>(http: &'a [HttpRule], private_networks: &'a [Network]) -> EgressGrant<'a> {
    EgressGrant {
        plugin: "es",
        http,
        private_networks,
        reveals_secrets: false,
    }
}

fn get<'a>(url: &'a str) -> Result<Request<'a>, Refusal> {
    Ok(Request {
        method: "GET",
        uri: Uri::split(url)?,
        headers: &[],
    })
}

/// Everything that anybody ever called 127.0.0.1 in a URL.
pub(crate) const LOOPBACKS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.1.",
    "127.0.0.2",
    "127.255.255.254",
    "127.127.127.127",
    "2130706433",
    "2130706433.",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0177.0.0.0x1",
    "00000177.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "0x7f.0.1",
    "0x0000007f000001",
    "127.0.0x1",
    "127.0x0.0.0x00000001",
    "127.00.000.0001",
    "127.0.1.",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①",
    "１２７．０．０．１",
    "127。0。0。1",
    "127｡0｡0｡1",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "0ｘ7f000001",
    "127.0.0.1\u{ad}",
    "127.0.0.\u{200b}1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[::0.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[2001:0:7f00:1::]",
    "[2001::80ff:fffe]",
    "[2606:4700::5efe:127.0.0.1]",
    "[::1%25lo]",
    "[::1%lo]",
    "0.0.0.0",
    "0",
    "0x0",
    "00",
    "0.1",
    "[::]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.localdomain",
    "ⓛocalhost",
    "ｌｏｃａｌｈｏｓｔ",
    "local\u{ad}host",
    "loopback.example.com",
    "127.0.0.1.nip.io",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "127.0.0.1\\@example.com",
    "127.0.0.1 ",
    "\t127.0.0.1",
    "127.0.0.1\r\n",
    "[127.0.0.1]",
    "127.0.0.1:80:80",
    "127.0.0.256",
    "127.0.0.0.1",
    "0x7g.0.0.1",
    "4294967297",
];

#[test]
fn no_spelling_of_this_machine_is_reached() {
    let http = rules(&["http://*"]);
    // What a resolver that was told to lie, or that reads /etc/hosts, may answer.
    let resolved: [IpAddr; 3] = [
        "127.0.0.1".parse().unwrap(),
        "::1".parse().unwrap(),
        "::ffff:127.0.0.1".parse().unwrap(),
    ];
    assert!(LOOPBACKS.len() >= 40);
    for host in LOOPBACKS {
        let url = format!("http://{host}/latest");
        let refusal = get(&url)
            .and_then(|request| decide(&request, &grant(&http, &[]), &resolved))
            .expect_err(host);
        assert!(
            [HTTP_ADDRESS, "http.invalid-uri"].contains(&refusal.code),
            "{host}: {refusal:?}"
        );
    }
}

#[test]
fn every_spelling_of_a_granted_address_is_the_same_address() {
    let http = rules(&["http://127.0.0.1"]);
    let network = [Network::parse("127.0.0.1").unwrap()];
    for host in [
        "127.1",
        "0x7f000001",
        "017700000001",
        "[::ffff:7f00:1]",
        "①②⑦.0.0.1",
    ] {
        let url = format!("http://{host}/");
        let allowed = decide(&get(&url).unwrap(), &grant(&http, &network), &[]).expect(host);
        assert_eq!(allowed.request.uri, "http://127.0.0.1/");
        assert_eq!(allowed.addresses, [IpAddr::from([127, 0, 0, 1])]);
    }
}

#[test]
fn a_granted_request_is_rebuilt_from_what_was_understood() {
    let http = rules(&["POST https://logs.example.com:9200/_bulk"]);
    let request = Request {
        method: "POST",
        uri: Uri::split("HTTPS://LOGS.example.com.:9200/_bulk?refresh=1").unwrap(),
        headers: &[
            ("content-type", b"application/json"),
            (
                "Authorization",
                b"Bearer piper-secret-0123456789abcdef0123456789abcdef",
            ),
        ],
    };
    let address: IpAddr = "93.184.216.34".parse().unwrap();
    let inside: IpAddr = "10.0.0.1".parse().unwrap();
    let allowed = decide(&request, &grant(&http, &[]), &[inside, address, address]).unwrap();
    assert_eq!(
        allowed.request.uri,
        "https://logs.example.com:9200/_bulk?refresh=1"
    );
    assert_eq!(
        allowed.request.origin.to_string(),
        "https://logs.example.com:9200"
    );
    assert_eq!(
        allowed.addresses,
        [address],
        "what is inside is left out, what is there twice is there once"
    );
}

#[test]
fn a_refusal_prints_the_command_that_would_allow_it() {
    let http = rules(&["POST https://logs.example.com/_bulk"]);
    let refuse = |url: &str, resolved: &[IpAddr]| {
        decide(&get(url).unwrap(), &grant(&http, &[]), resolved)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse("https://evil.example:8443/x?y", &[]),
        "plugin `es` may not send `GET https://evil.example:8443`: no rule names its origin; \
         if its manifest asks for that, this allows it: piper plugin grant es --http 'GET https://evil.example:8443'"
    );
    assert_eq!(
        refuse("https://logs.example.com/_bulk", &[]),
        "plugin `es` may not send `GET https://logs.example.com`: no rule for its origin has its method; \
         if its manifest asks for that, this allows it: piper plugin grant es --http 'GET https://logs.example.com'"
    );
    let http = rules(&["https://logs.example.com"]);
    let refuse = |resolved: &[&str]| {
        let resolved: Vec<IpAddr> = resolved
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        decide(
            &get("https://logs.example.com/").unwrap(),
            &grant(&http, &[]),
            &resolved,
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        refuse(&["10.2.3.4", "fd00::1"]),
        "plugin `es` may not reach `logs.example.com` at 10.2.3.4, which is private; \
         to allow it: piper plugin grant es --private-network 10.2.3.4/32"
    );
    assert_eq!(
        refuse(&["0.0.0.0"]),
        "plugin `es` may not reach `logs.example.com` at 0.0.0.0, which is not the address of one host",
        "nothing allows that"
    );
    assert_eq!(refuse(&[]), "`logs.example.com` has no address");
}

#[test]
fn a_name_that_is_not_granted_is_refused_before_anybody_resolves_it() {
    let http = rules(&["https://example.com"]);
    let request = get("https://secret-value.evil.example/").unwrap();
    let refusal = admit(&request, &grant(&http, &[])).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::Denied, HTTP_HOST)
    );
}

#[test_case("https://example.com/a#b"; "a fragment")]
#[test_case("example.com/a"; "no scheme")]
#[test_case("file:///etc/passwd"; "a file")]
#[test_case("https://user@example.com/"; "a user")]
#[test_case("https:///a"; "no host")]
#[test_case("https://example.com:0/"; "port zero")]
#[test_case("https://example.com/a b"; "a space")]
#[test_case("https://example.com/a\r\nHost: evil"; "a line end")]
#[test_case("https://example.com/\\..\\"; "backslashes")]
#[test_case("https://example.com/é"; "not encoded")]
fn what_is_no_url_is_invalid(url: &str) {
    let http = rules(&["https://*"]);
    let refusal = get(url)
        .and_then(|request| admit(&request, &grant(&http, &[])))
        .unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::Invalid, "http.invalid-uri")
    );
}

#[test]
fn a_path_that_is_a_whole_url_is_invalid() {
    let http = rules(&["https://*"]);
    let request = Request {
        method: "GET",
        uri: Uri {
            scheme: "https",
            authority: "example.com",
            path_and_query: "http://127.0.0.1/",
        },
        headers: &[],
    };
    assert_eq!(
        admit(&request, &grant(&http, &[])).unwrap_err().code,
        "http.invalid-uri"
    );
}

#[test_case("CONNECT", HTTP_HOST; "a tunnel")]
#[test_case("connect", HTTP_HOST; "a tunnel in small letters")]
#[test_case("", "http.invalid-method"; "none")]
#[test_case("GET /", "http.invalid-method"; "a space")]
#[test_case("GET\r\n", "http.invalid-method"; "a line end")]
fn what_is_no_method_is_refused(method: &str, code: &str) {
    let http = rules(&["https://*"]);
    let request = Request {
        method,
        ..get("https://example.com/").unwrap()
    };
    assert_eq!(admit(&request, &grant(&http, &[])).unwrap_err().code, code);
}

#[test_case("Host", b"evil", HTTP_HEADER; "host")]
#[test_case("Transfer-Encoding", b"chunked", HTTP_HEADER; "transfer encoding")]
#[test_case("x-forwarded-for", b"127.0.0.1", HTTP_HEADER; "forwarded")]
#[test_case("X-Forwarded-Anything", b"", HTTP_HEADER; "forwarded in capitals")]
#[test_case("via", b"1.1 evil", HTTP_HEADER; "via")]
#[test_case("authorization", b"Bearer known", HTTP_HEADER; "a known credential")]
#[test_case("Cookie", b"a=b", HTTP_HEADER; "a known cookie")]
#[test_case("authorization", b"Bearer piper-secret-short", HTTP_HEADER; "no whole placeholder")]
#[test_case("x y", b"", "http.invalid-header"; "a space in a name")]
#[test_case("", b"", "http.invalid-header"; "no name")]
#[test_case("x", b"a\r\nhost: evil", "http.invalid-header"; "a line end in a value")]
#[test_case("x", b"a\0", "http.invalid-header"; "a NUL in a value")]
fn a_header_that_is_not_the_plugins_is_refused(name: &str, value: &[u8], code: &str) {
    let http = rules(&["https://*"]);
    let request = Request {
        headers: &[("accept", b"*/*"), (name, value)],
        ..get("https://example.com/").unwrap()
    };
    assert_eq!(admit(&request, &grant(&http, &[])).unwrap_err().code, code);
}

#[test]
fn a_plugin_that_reads_secrets_may_write_credentials() {
    let http = rules(&["https://*"]);
    let request = Request {
        headers: &[("authorization", b"Bearer known")],
        ..get("https://example.com/").unwrap()
    };
    let grant = EgressGrant {
        reveals_secrets: true,
        ..grant(&http, &[])
    };
    assert!(admit(&request, &grant).is_ok());
}

#[test]
fn the_length_of_a_streamed_body_may_be_said() {
    assert!(!is_reserved_header("content-length"));
}

#[test]
fn a_server_is_told_of_piper_and_the_plugin() {
    assert_eq!(
        user_agent("0.1.0", "es", "1.4.0", None),
        "piper/0.1.0 (es/1.4.0)"
    );
    assert_eq!(
        user_agent("0.1.0", "a)\r\n", "1", Some("own/2")),
        "piper/0.1.0 (a---/1) own/2"
    );
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        any::<[u8; 4]>(),
        (
            proptest::sample::select(vec![
                0_u8, 10, 100, 127, 169, 172, 192, 198, 203, 224, 240, 255
            ]),
            any::<[u8; 3]>()
        )
            .prop_map(|(a, [b, c, d])| [a, b, c, d]),
        Just([169, 254, 169, 254]),
        Just([127, 0, 0, 1]),
    ]
    .prop_map(std::net::Ipv4Addr::from);
    let v6 = (
        any::<[u16; 8]>(),
        proptest::sample::select(vec![
            0_u16, 0x64, 0x2001, 0x2002, 0xfc00, 0xfe80, 0xff02, 0x2606,
        ]),
    )
        .prop_map(|([_, rest @ ..], first)| {
            let [b, c, d, e, f, g, h] = rest;
            std::net::Ipv6Addr::new(first, b, c, d, e, f, g, h)
        });
    prop_oneof![
        v4.clone().prop_map(IpAddr::from),
        v4.prop_map(|v4| v4.to_ipv6_mapped().into()),
        v6.prop_map(IpAddr::from),
    ]
}

proptest! {
    #[test]
    fn no_blocked_address_is_ever_in_an_answer(
        host in prop_oneof![
            Just("example.com".to_owned()),
            addresses().prop_map(|address| Host::from(address).to_string()),
            proptest::sample::select(LOOPBACKS).prop_map(str::to_owned),
        ],
        resolved in proptest::collection::vec(addresses(), 0..6),
        granted in proptest::collection::vec(addresses().prop_map(Network::only), 0..3),
    ) {
        let http = rules(&["http://*"]);
        let url = format!("http://{host}/");
        let Ok(request) = get(&url) else { return Ok(()) };
        if let Ok(allowed) = decide(&request, &grant(&http, &granted), &resolved) {
            prop_assert!(!allowed.addresses.is_empty());
            for address in allowed.addresses {
                prop_assert_eq!(blocked(address, &granted), None);
                prop_assert_eq!(address, address.to_canonical());
                let own = allowed.request.origin.host.address();
                let asked = own.map_or_else(|| resolved.clone(), |own| vec![own]);
                prop_assert!(asked.iter().any(|asked| asked.to_canonical() == address));
            }
        }
    }

    #[test]
    fn what_is_admitted_matches_a_rule_and_its_uri_reads_back(
        method in "[A-Z]{3,7}",
        url in "https?://[a-z0-9.:@\\[\\]%A-F-]{1,16}(/[a-z./%2ef]{0,8})?(\\?[a-z=&]{0,4})?",
    ) {
        let http = rules(&["GET,PUT https://*", "http://*:8080", "https://*/a"]);
        let Ok(uri) = Uri::split(&url) else { return Ok(()) };
        if let Ok(admitted) = admit(&Request { method: &method, uri, headers: &[] }, &grant(&http, &[])) {
            let again = Request { method: &method, uri: Uri::split(&admitted.uri).unwrap(), headers: &[] };
            prop_assert_eq!(admit(&again, &grant(&http, &[])), Ok(admitted));
        }
    }
}
