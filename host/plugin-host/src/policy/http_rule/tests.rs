use super::*;
use piper_core::codes;
use proptest::prelude::*;
use serde_json::{Value, json};
use test_case::test_case;

fn rule(text: &str) -> HttpRule {
    HttpRule::parse(text, AnyHost::Acknowledged).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

/// Whether the rule lets `METHOD URL` pass; the URL has a canonical host.
fn allows(rule: &HttpRule, method: &str, url: &str) -> Result<(), NoMatch> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let origin =
        crate::policy::host::Origin::of(Scheme::parse(scheme).unwrap(), authority).unwrap();
    rule.matches(&Request {
        method,
        scheme: origin.scheme,
        host: &origin.host,
        port: origin.port,
        path: if path.is_empty() { "/" } else { path },
    })
}

#[test_case("https://example.com", "https://example.com"; "a host")]
#[test_case("POST https://Example.COM:443/", "POST https://example.com"; "default port and empty path")]
#[test_case("PUT,GET,PUT http://example.com:80", "GET,PUT http://example.com"; "methods are a set")]
#[test_case("http://example.com:443/a%62/%7e", "http://example.com:443/ab/~"; "decoded")]
#[test_case("https://example.com/./a/./b/.", "https://example.com/a/b/"; "dots")]
#[test_case("https://*.example.com", "https://*.example.com"; "below a name")]
#[test_case("https://*.b\u{fc}cher.example", "https://*.xn--bcher-kva.example"; "below an international name")]
#[test_case("https://127.1", "https://127.0.0.1"; "an address")]
#[test_case("http://[::1]:8080/x", "http://[::1]:8080/x"; "an address of IPv6")]
#[test_case("PURGE https://*", "PURGE https://*"; "any host and a method of an extension")]
#[test_case("https://example.com/é", "https://example.com/%C3%A9"; "letters of no alphabet of URLs")]
fn a_rule_is_printed_in_one_spelling(text: &str, expected: &str) {
    assert_eq!(rule(text).to_string(), expected);
}

#[test_case("https://exa mple.com", " ", "one space"; "a space")]
#[test_case("GET  https://example.com", " ", "one space"; "two spaces")]
#[test_case("get https://example.com", "get", "`get` is not a method"; "small letters")]
#[test_case("PSOT https://example.com", "PSOT", "`PSOT` is not a method"; "a slip of the hand")]
#[test_case("CONNECT https://example.com", "CONNECT", "tunnel"; "a tunnel")]
#[test_case("GET,,PUT https://example.com", "", "is not a method"; "no method")]
#[test_case("example.com", "example.com", "has no scheme"; "no scheme")]
#[test_case("ftp://example.com", "ftp", "is not a scheme"; "another scheme")]
#[test_case("https://user:word@example.com", "user:word", "no user"; "a user")]
#[test_case("https://example.com:0", "0", "is not a port"; "port zero")]
#[test_case("https://example.com:https", "https", "is not a port"; "a named port")]
#[test_case("https:///path", "", "without a host"; "no host")]
#[test_case("https://a.*.example.com", "a.*.example.com", "not a pattern"; "a star in the middle")]
#[test_case("https://*example.com", "*example.com", "not a pattern"; "a star in a label")]
#[test_case("https://*.10.0.0.1", "10.0.0.1", "stands before a name"; "below an address")]
#[test_case("https://example.com?a=b", "?a=b", "no query"; "a query")]
#[test_case("https://example.com/#a", "#a", "no fragment"; "a fragment")]
#[test_case("https://example.com/a/../b", "/a/../b", "`..`"; "going up")]
#[test_case("https://example.com/a%2fb", "/a%2fb", "encoded slash"; "an encoded slash")]
#[test_case("https://example.com/a%2", "/a%2", "not properly encoded"; "half an encoding")]
#[test_case("https://example.com/api/*", "/api/*", "no patterns"; "a star in the path")]
#[test_case("{config.url}/api", "{config.url}/api", "has no scheme"; "a template")]
fn what_is_no_rule_is_refused_with_its_place(text: &str, at: &str, message: &str) {
    let fault = HttpRule::parse(text, AnyHost::Refused).unwrap_err();
    assert_eq!(fault.code, codes::BAD_HTTP_RULE, "{fault:?}");
    assert!(fault.message.contains(message), "{fault:?}");
    assert_eq!(&text[fault.at.clone()], at, "{fault:?}");
}

#[test_case("https://*", "*"; "everybody")]
#[test_case("https://*.com", "com"; "a top level")]
#[test_case("https://*.co.uk", "co.uk"; "a level of a country")]
#[test_case("https://*.github.io", "github.io"; "a host of strangers")]
#[test_case("https://*.CO.uk.", "CO.uk."; "in another spelling")]
#[test_case("https://*.internal", "internal"; "a name without an owner")]
fn a_rule_that_reaches_strangers_is_too_wide(text: &str, at: &str) {
    let fault = HttpRule::parse(text, AnyHost::Refused).unwrap_err();
    assert_eq!(fault.code, codes::RULE_TOO_WIDE, "{fault:?}");
    assert_eq!(&text[fault.at.clone()], at);
}

#[test]
fn any_host_may_be_acknowledged_but_no_public_suffix() {
    assert!(rule("https://*").is_any_host());
    assert!(HttpRule::parse("https://*.com", AnyHost::Acknowledged).is_err());
}

#[test_case("https://example.com", "GET", "https://example.com", Ok(()); "the host itself")]
#[test_case("https://example.com", "GET", "http://example.com", Err(NoMatch::Origin); "another scheme")]
#[test_case("https://example.com", "GET", "https://example.com:8443", Err(NoMatch::Origin); "another port")]
#[test_case("https://example.com", "GET", "https://example.com.evil.org", Err(NoMatch::Origin); "a longer name")]
#[test_case("https://example.com", "GET", "https://www.example.com", Err(NoMatch::Origin); "a host below")]
#[test_case("https://*.example.com", "GET", "https://a.b.example.com", Ok(()); "two labels")]
#[test_case("https://*.example.com", "GET", "https://example.com", Err(NoMatch::Origin); "no label")]
#[test_case("https://*.example.com", "GET", "https://evilexample.com", Err(NoMatch::Origin); "no dot")]
#[test_case("POST https://example.com", "GET", "https://example.com", Err(NoMatch::Method); "another method")]
#[test_case("GET https://example.com", "get", "https://example.com", Err(NoMatch::Method); "methods have a case")]
#[test_case("https://example.com/api", "GET", "https://example.com/api", Ok(()); "the path itself")]
#[test_case("https://example.com/api", "GET", "https://example.com/%61pi/x", Ok(()); "a path below, encoded")]
#[test_case("https://example.com/api", "GET", "https://example.com/./api", Ok(()); "a dot")]
#[test_case("https://example.com/api", "GET", "https://example.com/apis", Err(NoMatch::Path); "a longer segment")]
#[test_case("https://example.com/api", "GET", "https://example.com//api", Err(NoMatch::Path); "an empty segment")]
#[test_case("https://example.com/api/", "GET", "https://example.com/api", Err(NoMatch::Path); "without the slash")]
#[test_case("https://example.com/api/", "GET", "https://example.com/api/x", Ok(()); "behind the slash")]
fn a_request_is_compared_part_by_part(
    text: &str,
    method: &str,
    url: &str,
    expected: Result<(), NoMatch>,
) {
    assert_eq!(allows(&rule(text), method, url), expected);
}

#[test_case("/api/../admin"; "going up")]
#[test_case("/api/%2e%2E/admin"; "encoded")]
#[test_case("/api/.%2e/admin"; "half encoded")]
#[test_case("/api/%252e%252e/admin"; "encoded twice")]
#[test_case("/api/%25252e%25252e/admin"; "encoded three times")]
#[test_case("/api/..;/admin"; "with a parameter")]
#[test_case("/api/..%3bx/admin"; "with an encoded parameter")]
#[test_case("/api/..%2fadmin"; "an encoded slash")]
#[test_case("/api/x%2Fadmin"; "an encoded slash alone")]
#[test_case("/api/x%252Fadmin"; "a slash encoded twice")]
#[test_case("/api/x%5cadmin"; "an encoded backslash")]
#[test_case("/api/..\\admin"; "a backslash")]
#[test_case("/api/x%00"; "a NUL")]
#[test_case("/api/%"; "a percent sign alone")]
#[test_case("/api/%+1"; "a sign in an encoding")]
#[test_case("api/x"; "relative")]
fn a_path_of_two_meanings_passes_no_rule_with_a_path(path: &str) {
    let request = Request {
        method: "GET",
        scheme: Scheme::Https,
        host: &Host::parse("example.com").unwrap(),
        port: 443,
        path,
    };
    let matched = rule("https://example.com/api").matches(&request);
    assert!(matches!(matched, Err(NoMatch::Ambiguous(_))), "{matched:?}");
    assert_eq!(rule("https://example.com").matches(&request), Ok(()));
}

#[test]
fn the_nearest_reason_is_told() {
    let rules = [
        rule("https://other.com"),
        rule("POST https://example.com/api"),
        rule("GET https://example.com/api"),
    ];
    let host = Host::parse("example.com").unwrap();
    let mut request = Request {
        method: "GET",
        scheme: Scheme::Https,
        host: &host,
        port: 443,
        path: "/",
    };
    assert_eq!(matches(&rules, &request), Err(NoMatch::Path));
    request.method = "PUT";
    assert_eq!(matches(&rules, &request), Err(NoMatch::Method));
    request.port = 80;
    assert_eq!(matches(&rules, &request), Err(NoMatch::Origin));
    assert_eq!(matches(&[], &request), Err(NoMatch::Origin));
}

#[test_case("POST {config.url}/_bulk", json!({"url": "https://h.example:9200/"}), &["POST https://h.example:9200/_bulk"]; "a url")]
#[test_case("{config.urls}", json!({"urls": ["https://a.example", "http://b.example/x"]}), &["https://a.example", "http://b.example/x"]; "a list")]
#[test_case("https://{config.s3.bucket}.s3.{config.region}.amazonaws.com", json!({"s3": {"bucket": "b-1"}, "region": "eu-1"}), &["https://b-1.s3.eu-1.amazonaws.com"]; "labels")]
#[test_case("http://{config.host}:{config.port}/x", json!({"host": "[::1]", "port": 8080}), &["http://[::1]:8080/x"]; "an address and a port")]
#[test_case("https://h.example/{config.room}", json!({"room": "a"}), &["https://h.example/a"]; "a segment")]
#[test_case("https://h.example", json!({}), &["https://h.example"]; "nothing to fill in")]
#[test_case("https://*", json!({}), &["https://*"]; "everybody, by the author's own words")]
#[test_case("{config.url}", json!({}), &[]; "nothing is configured")]
#[test_case("{config.url}", json!({"url": null}), &[]; "nothing is meant")]
fn a_template_becomes_rules(text: &str, config: Value, expected: &[&str]) {
    let template = HttpTemplate::parse(text).unwrap();
    let rules: Vec<String> = template
        .resolve(&config)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(rules, expected);
}

#[test_case("{config.url}", json!({"url": true}); "a boolean")]
#[test_case("{config.url}", json!({"url": [["x"]]}); "a list of lists")]
#[test_case("{config.url}", json!({"url": "https://u:p@h.example"}); "a user")]
#[test_case("{config.url}", json!({"url": "https://h.example?x"}); "a query")]
#[test_case("{config.url}/api", json!({"url": "https://h.example/.."}); "going up")]
#[test_case("{config.url}", json!({"url": "https://*"}); "everybody")]
#[test_case("{config.url}", json!({"url": ""}); "nothing")]
#[test_case("https://{config.host}.h.example", json!({"host": "evil.org/"}); "an end of the host")]
#[test_case("https://{config.host}.h.example", json!({"host": "*"}); "a pattern")]
#[test_case("https://{config.host}", json!({"host": "h:1@x.example"}); "a user in a host")]
#[test_case("https://h.example/{config.room}", json!({"room": ".."}); "going up in a segment")]
#[test_case("https://h.example/{config.room}", json!({"room": "a/b"}); "two segments")]
fn a_configuration_that_does_not_fit_is_refused(text: &str, config: Value) {
    let template = HttpTemplate::parse(text).unwrap();
    assert!(template.resolve(&config).is_err(), "{template:?}");
}

#[test_case("{config.url", codes::BAD_TEMPLATE, "{"; "not closed")]
#[test_case("config.url}", codes::BAD_TEMPLATE, "}"; "not opened")]
#[test_case("{url}", codes::BAD_TEMPLATE, "{url}"; "not of the configuration")]
#[test_case("{config.}", codes::BAD_TEMPLATE, "{config.}"; "no key")]
#[test_case("POTS {config.url}", codes::BAD_HTTP_RULE, "POTS {config.url}"; "not a method")]
#[test_case("{config.url}?x", codes::BAD_HTTP_RULE, "{config.url}?x"; "a query behind it")]
#[test_case("https://h.example:x", codes::BAD_HTTP_RULE, "x"; "no gaps")]
fn what_is_no_template_is_refused(text: &str, code: piper_core::problem::Code, at: &str) {
    let fault = HttpTemplate::parse(text).unwrap_err();
    assert_eq!(fault.code, code, "{fault:?}");
    assert_eq!(&text[fault.at.clone()], at, "{fault:?}");
}

fn rules() -> impl Strategy<Value = HttpRule> {
    let methods = prop_oneof![
        Just(Methods::Any),
        proptest::sample::subsequence(vec!["GET", "POST", "PUT"], 1..=3)
            .prop_map(|methods| Methods::Of(methods.into_iter().map(str::to_owned).collect())),
    ];
    let host = prop_oneof![
        Just(HostPattern::Any),
        "([a-c]\\.){0,2}example\\.com".prop_map(HostPattern::Under),
        hosts().prop_map(HostPattern::Only),
    ];
    let scheme = prop_oneof![Just(Scheme::Http), Just(Scheme::Https)];
    let path = paths().prop_map(|path| PathPrefix::parse(&path).expect("made as a path"));
    (methods, scheme, host, ports(), path).prop_map(|(methods, scheme, host, port, path)| {
        HttpRule {
            methods,
            scheme,
            host,
            port,
            path,
        }
    })
}

fn hosts() -> impl Strategy<Value = Host> {
    prop_oneof![
        "([a-c]\\.){0,3}example\\.com".prop_map(Host::Name),
        any::<std::net::IpAddr>().prop_map(Host::from),
        Just(Host::V4([10, 0, 0, 1].into())),
    ]
}

fn ports() -> impl Strategy<Value = u16> {
    prop_oneof![Just(80), Just(443)]
}

fn paths() -> impl Strategy<Value = String> {
    "(/[a-b]{0,1}){1,3}"
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(rule in rules()) {
        prop_assert_eq!(HttpRule::parse(&rule.to_string(), AnyHost::Acknowledged), Ok(rule));
    }

    #[test]
    fn any_text_is_read_or_refused_within_itself(text in "([A-Z,]{0,4} )?(https?://)?[*.a-z0-9:@/?#%\\[\\]é{}]{0,20}") {
        match HttpRule::parse(&text, AnyHost::Acknowledged) {
            Ok(rule) => prop_assert_eq!(HttpRule::parse(&rule.to_string(), AnyHost::Acknowledged), Ok(rule)),
            Err(fault) => prop_assert!(text.get(fault.at.clone()).is_some(), "{:?}", fault),
        }
        let _ = HttpTemplate::parse(&text);
    }

    #[test]
    fn the_intersection_holds_what_is_in_both(
        one in proptest::collection::vec(rules(), 0..4),
        two in proptest::collection::vec(rules(), 0..4),
        method in proptest::sample::select(vec!["GET", "POST", "DELETE"]),
        https in any::<bool>(),
        host in hosts(),
        port in ports(),
        path in paths(),
    ) {
        let scheme = if https { Scheme::Https } else { Scheme::Http };
        let request = Request { method, scheme, host: &host, port, path: &path };
        let in_both = matches(&one, &request).is_ok() && matches(&two, &request).is_ok();
        prop_assert_eq!(matches(&intersection(&one, &two), &request).is_ok(), in_both);
    }

    #[test]
    fn each_rule_of_the_intersection_is_covered_by_one_of_each_side(
        one in proptest::collection::vec(rules(), 0..4),
        two in proptest::collection::vec(rules(), 0..4),
    ) {
        for rule in intersection(&one, &two) {
            prop_assert!(one.iter().any(|wider| wider.covers(&rule)));
            prop_assert!(two.iter().any(|wider| wider.covers(&rule)));
        }
    }
}
