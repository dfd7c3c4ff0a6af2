//! No text makes the readers of manifests, grants and lock files panic or point outside of it, and what they understand reads back.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use piper_core::{
    id::PluginName,
    problem::{Problem, Severity, Source},
};
use policy::{grant, http_rule, lock, manifest};
use std::sync::Arc;

// The files alone: the crate `piper-plugin-host` would have every fuzzer wait for wasmtime to be built with a sanitizer.
#[rustfmt::skip]
#[expect(dead_code, unused_imports, reason = "not all of it is tried here")]
#[path = "../../../host/plugin-host/src/policy/mod.rs"]
mod policy;

/// What is slow is slow with this much already.
const LARGEST: usize = 64 * 1024;

fuzz_target!(|text: &str| -> Corpus {
    if text.len() > LARGEST {
        return Corpus::Reject;
    }
    let source = Arc::new(Source {
        path: "file.toml".into(),
        text: text.to_owned(),
    });
    let loaded = manifest::load(&source);
    check(&loaded.problems, loaded.manifest.is_some());
    let (lock, problems) = lock::load(&source);
    check(&problems, lock.is_some());
    if let Some(lock) = lock {
        let written = Arc::new(Source {
            path: "piper.lock".into(),
            text: lock.to_string(),
        });
        assert_eq!(lock::load(&written).0, Some(lock));
    }
    let (grants, problems) = grant::load(&source);
    check(&problems, grants.is_some());
    if let Some(grants) = &grants {
        edit(text, grants);
    }
    if let (Some(manifest), Some(grants)) = (&loaded.manifest, &grants) {
        hold(manifest, grants);
    }
    Corpus::Keep
});

fn check(problems: &[Problem], is_loaded: bool) {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    assert_eq!(is_loaded, !problems.iter().any(is_error), "{problems:?}");
    for problem in problems {
        let also = problem.also.iter().map(|(span, _)| span);
        for span in also.chain(&problem.at) {
            let text = span.source.text.get(span.bytes.clone());
            assert!(text.is_some(), "{:?} is no part of the text", span.bytes);
        }
    }
}

/// What is added is granted, and nothing else is.
fn edit(text: &str, grants: &grant::Grants) {
    let name = PluginName::parse("fuzzed").expect("a name");
    let Ok(edited) = grant::change(text, &name, &[grant::Change::State]) else {
        return;
    };
    let source = Arc::new(Source {
        path: "plugins.toml".into(),
        text: edited,
    });
    let mut expected = grants.clone();
    let known = expected
        .plugins
        .entry(name)
        .or_insert_with(|| grant::PluginGrant {
            config: serde_json::json!({}),
            ..grant::PluginGrant::default()
        });
    known.allow.state = true;
    assert_eq!(
        grant::load(&source).0.as_ref(),
        Some(&expected),
        "{}",
        source.text
    );
}

/// What holds is declared and granted.
fn hold(manifest: &manifest::Manifest, grants: &grant::Grants) {
    for grant in grants.plugins.values() {
        let Ok(effective) = grant::Effective::new(manifest, Some(grant), grant::Origins::Operator)
        else {
            continue;
        };
        for rule in &effective.http {
            let covers = |wider: &http_rule::HttpRule| wider.covers(rule);
            assert!(grant.allow.http.iter().any(covers), "{rule} is not granted");
        }
    }
}
