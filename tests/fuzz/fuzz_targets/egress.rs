//! Whatever a plugin wants sent and whatever a resolver answers: only what a rule names is sent, to no address that is out of reach,
//! and what is sent means the same to whoever reads it again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{
    egress::{self, EgressGrant, Request, Uri},
    host::{Host, Origin},
    http_rule::{AnyHost, HttpRule, HttpTemplate},
    network::{Network, blocked},
};
use std::net::IpAddr;

// The files alone: the crate `piper-plugin-host` would have every fuzzer wait for wasmtime to be built with a sanitizer.
#[rustfmt::skip]
#[expect(dead_code, unused_imports, reason = "not all of it is tried here")]
#[path = "../../../host/plugin-host/src/policy/mod.rs"]
mod policy;

fuzz_target!(
    |input: (&str, &str, &str, &str, &str, &[u8], Vec<IpAddr>)| {
        let (rule, network, method, url, header, value, resolved) = input;
        let _ = HttpTemplate::parse(rule);
        let mut http = vec![];
        if let Ok(rule) = HttpRule::parse(rule, AnyHost::Acknowledged) {
            let printed = rule.to_string();
            assert_eq!(
                HttpRule::parse(&printed, AnyHost::Acknowledged),
                Ok(rule.clone()),
                "{printed}"
            );
            assert!(rule.covers(&rule));
            http.push(rule);
        }
        if http.is_empty() {
            http.extend(HttpRule::parse("http://*", AnyHost::Acknowledged));
        }
        let networks: Vec<Network> = Network::parse(network).into_iter().collect();
        let grant = EgressGrant {
            plugin: "fuzzed",
            http: &http,
            private_networks: &networks,
            reveals_secrets: false,
        };
        let Ok(uri) = Uri::split(url) else { return };
        let headers = [(header, value)];
        let request = Request {
            method,
            uri,
            headers: &headers,
        };
        let Ok(allowed) = egress::decide(&request, &grant, &resolved) else {
            return;
        };
        assert!(!allowed.addresses.is_empty());
        for address in &allowed.addresses {
            assert_eq!(blocked(*address, &networks), None, "{address}");
            assert!(!address.is_multicast() && !address.is_unspecified());
            assert!(!networks.is_empty() || !address.is_loopback());
        }
        assert!(!egress::is_reserved_header(header));
        let sent = &allowed.request;
        let again = Request {
            uri: Uri::split(&sent.uri).expect("what is sent is a URL"),
            ..request
        };
        assert_eq!(egress::admit(&again, &grant).as_ref(), Ok(sent));
        // Another reader finds the same host in it.
        let read = url::Url::parse(&sent.uri).expect("what is sent is a URL to others too");
        let host = Host::parse(read.host_str().expect("a URL of HTTP has a host"));
        let origin = Origin::parse(&format!(
            "{}://{}:{}",
            read.scheme(),
            read.host_str().unwrap_or_default(),
            read.port_or_known_default().unwrap_or_default()
        ));
        assert_eq!(
            (host.as_ref(), origin.as_ref()),
            (Ok(&sent.origin.host), Ok(&sent.origin))
        );
    }
);
