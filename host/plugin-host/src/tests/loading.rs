//! What the loader takes and what it refuses, and how it says so.

use super::guests::{call, invocation, logged, odd, plugin};
use crate::{FailureKind, Host, HostOptions, kind::Kind, load::Error};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use test_case::test_case;
use tokio::time::Instant;

fn host() -> Host {
    Host::new(HostOptions::default())
}

fn cached(folder: &Path) -> Host {
    Host::new(HostOptions {
        cache: Some(folder.to_owned()),
        ..HostOptions::default()
    })
}

/// A component in the text format, with an empty interface of this name as its export.
fn exporting(interface: &str, rest: &str) -> Vec<u8> {
    let text =
        format!(r#"(component {rest} (instance $empty) (export "{interface}" (instance $empty)))"#);
    wat::parse_str(&text).expect("the test's component can be read")
}

fn refusal(component: &[u8]) -> String {
    host()
        .load(component)
        .expect_err("it should be refused")
        .to_string()
}

#[test]
fn a_host_without_plugins_starts_nothing() {
    let host = host();
    assert!(host.load(b"nothing like it").is_err());
    assert!(host.is_idle());
}

#[test]
fn a_plugin_is_every_kind_that_it_exports() {
    assert_eq!(plugin().kinds(), Kind::ALL);
    assert_eq!(plugin().unknown_exports(), [""; 0]);
    assert_eq!(plugin().stubs(), [""; 0]);
    assert_eq!(plugin().size(), odd().len());
    assert!(
        plugin()
            .imports()
            .iter()
            .any(|import| import == "piper:base/http@0.1.0")
    );
}

#[test_case(b"", "this is not a WebAssembly component"; "an empty file")]
#[test_case(b"#!/bin/sh\n", "this is not a WebAssembly component"; "a script")]
#[test_case(b"\0asm\x01\0\0\0", "this is a core WebAssembly module and not a component: build it for wasm32-wasip2"; "a core module")]
#[test_case(b"\0asm\x0d\0\x01\0\xff\xff", "the component is damaged: "; "a damaged one")]
#[test_case(b"\0asm\x0d\0\x01\0", "the component is no plugin for this piper: it exports no interface, and a plugin exports one of `piper:step/step-planner@0.1.0`"; "an empty component")]
fn what_is_no_component_is_refused_in_words(bytes: &[u8], expected: &str) {
    let said = refusal(bytes);
    assert!(said.starts_with(expected), "{said}");
}

#[test_case("piper:step/step-runner@0.2.0", "it exports `piper:step/step-runner@0.2.0`, this piper has `piper:step/step-runner@0.1.0`"; "a newer track")]
#[test_case("piper:logs/log-sink@0.1.0-draft.7", "it exports `piper:logs/log-sink@0.1.0-draft.7`, this piper has `piper:logs/log-sink@0.1.0-draft.1`"; "another draft")]
#[test_case("wasi:cli/run@0.2.6", "it exports `wasi:cli/run@0.2.6`, and a plugin exports one of"; "a command")]
#[test_case("piper:base/config-check@0.1.0", "it exports no interface"; "a check alone")]
fn a_component_without_a_known_kind_is_refused_with_what_it_has(export: &str, expected: &str) {
    let said = refusal(&exporting(export, ""));
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_table_of_exports_is_what_the_contract_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/load/exports.txt");
    let now = crate::load::exports(&host(), odd());
    if fs::read_to_string(&path).unwrap() != now {
        fs::write(&path, now).unwrap();
        panic!("the contract has changed, and the table with it: look at the difference");
    }
}

#[test]
fn an_interface_without_a_function_of_the_contract_is_a_misfit() {
    let said = refusal(&exporting("piper:logs/log-sink@0.1.0-draft.1", ""));
    assert_eq!(said.matches(" lacks `").count(), 3, "{said}");
    let said = refusal(&exporting("piper:step/step-runner@0.1.3", ""));
    let expected = "the component does not fit the contract: `piper:step/step-runner@0.1.3` lacks `run`, which the contract has as `func(record {name: string, ";
    assert!(said.starts_with(expected), "{said}");
}

#[test_case("(param \"n\" u32)", "`run` of `piper:step/step-runner@0.1.0` is `func(u32)`"; "another parameter")]
#[test_case("", "`run` of `piper:step/step-runner@0.1.0` is `func()`"; "none")]
fn a_function_of_another_type_than_the_contracts_is_named_when_it_is_loaded(
    params: &str,
    expected: &str,
) {
    let text = format!(
        r#"(component
            (core module $m (func (export "run") {}))
            (core instance $i (instantiate $m))
            (func $run {params} (canon lift (core func $i "run")))
            (instance $it (export "run" (func $run)))
            (export "piper:step/step-runner@0.1.0" (instance $it)))"#,
        if params.is_empty() { "" } else { "(param i32)" }
    );
    let error = host().load(&wat::parse_str(text).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Misfit(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains(expected), "{said}");
    assert!(
        said.contains(", and the contract has `func(record {name: "),
        "{said}"
    );
}

#[test]
fn a_type_without_end_is_refused_before_it_is_written_out() {
    // In full, this is a type of 9 GB.
    let many = |what: &str, count: usize| vec![what; count].join(" ");
    let text = format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "run") (param i32)))
            (core instance $i (instantiate $m))
            (type $long (record (field "{}" u8)))
            (export $named "long" (type $long))
            (type $inner (tuple {}))
            (type $outer (tuple {}))
            (func $run (param "n" $outer)
                (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
            (instance $it (export "long" (type $named)) (export "run" (func $run)))
            (export "piper:step/step-runner@0.1.0" (instance $it)))"#,
        "a".repeat(99_000),
        many("$named", 300),
        many("$inner", 300),
    );
    let component = wat::parse_str(text).expect("the test's component can be read");
    let begun = Instant::now();
    let said = refusal(&component);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let expected = "the component does not fit the contract: `run` of `piper:step/step-runner@0.1.0` is `func(tuple<tuple<record {aaa";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        said.contains("aaa…`, and the contract has `func(record {name: "),
        "{said}"
    );
    assert!(said.len() < 2_000, "{said}");
}

#[test_case("0.1.1", "0.1.0"; "the contracts own version is bad")]
#[test_case("0.1.0", "0.1.1"; "a later one is bad")]
fn every_version_of_an_interface_must_fit(first: &str, second: &str) {
    // Of neither is anything right, so that both are named.
    let text = format!(
        r#"(component (instance $empty)
            (export "piper:step/step-runner@{first}" (instance $empty))
            (export "piper:step/step-runner@{second}" (instance $empty)))"#
    );
    let said = refusal(&wat::parse_str(text).unwrap());
    for version in [first, second] {
        let lacks = format!("`piper:step/step-runner@{version}` lacks `run`");
        assert!(said.contains(&lacks), "{said}");
    }
}

#[test]
fn a_long_name_and_many_misfits_are_not_told_in_full() {
    let exports: String = (0..200)
        .map(|number| {
            let metadata = "a".repeat(10_000);
            format!(
                r#"(export "piper:step/step-runner@0.1.{number}+{metadata}" (instance $empty))"#
            )
        })
        .collect();
    let said =
        refusal(&wat::parse_str(format!("(component (instance $empty) {exports})")).unwrap());
    assert!(said.contains("aaa…` lacks `run`"), "{said}");
    assert!(said.len() < 20_000, "{}", said.len());
}

#[test]
fn what_is_too_large_is_not_even_looked_at() {
    let host = Host::new(HostOptions {
        component_bytes: 1 << 20,
        ..HostOptions::default()
    });
    let said = host.load(&vec![0; (1 << 20) + 1]).unwrap_err().to_string();
    assert_eq!(
        said,
        "the component has 1.1 MiB, and no more than 1 MiB is looked at: make it smaller"
    );
}

#[test_case("(core module (memory i64 1))", "64-bit memories (memory64)"; "memory64")]
#[test_case("(core module (memory 1 1 shared))", "threads"; "threads")]
#[test_case("(core module (type (struct)))", "garbage collection (gc)"; "gc")]
#[test_case("(core module (tag))", "exceptions"; "exceptions")]
#[test_case("(core module (func (param (ref 0))) (type (func)))", "typed function references"; "references")]
#[test_case("(core module (func (param v128) (result v128) local.get 0 local.get 0 f32x4.relaxed_min))", "relaxed SIMD"; "relaxed simd")]
#[test_case("(core func $x (canon task.cancel))", "asynchronous functions of the component model (async, streams, futures)"; "async")]
fn wasm_that_plugins_may_not_use_is_refused_by_name(part: &str, name: &str) {
    let said = refusal(&exporting("piper:step/step-runner@0.1.0", part));
    assert_eq!(
        said,
        format!("the component uses {name}, which piper does not accept: build it without")
    );
}

#[test_case("(core module (memory 40000))"; "a memory over the ceiling")]
#[test_case("(core module (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)) (core instance (instantiate 0))"; "many memories")]
#[test_case("(core module (table 1000001 funcref))"; "a large table")]
fn a_component_that_can_never_fit_is_refused_when_it_is_loaded(part: &str) {
    let said = refusal(&exporting("piper:step/step-runner@0.1.0", part));
    assert!(
        said.starts_with("the component asks for more than a plugin may have: "),
        "{said}"
    );
}

#[test]
fn an_import_that_nobody_gives_is_refused_by_name() {
    let component = exporting(
        "piper:step/step-runner@0.1.0",
        r#"(import "wasi:keyvalue/store@0.2.0" (instance)) (import "acme:own/thing@1.0.0" (instance))"#,
    );
    assert_eq!(
        refusal(&component),
        "the component needs `wasi:keyvalue/store@0.2.0`, `acme:own/thing@1.0.0`, which piper does not give to plugins"
    );
}

#[test]
fn a_manifest_of_the_component_wins_over_those_of_its_parts() {
    let parse = |text: &str| {
        let component = exporting("piper:step/step-runner@0.1.0", text);
        super::super::load::describe(&component).map(|described| described.manifest)
    };
    let own = r#"(@custom "piper:manifest" "own")"#;
    let part = |text: &str| format!(r#"(core module (@custom "piper:manifest" "{text}"))"#);
    assert_eq!(parse("").unwrap(), None);
    assert_eq!(parse(&part("a")).unwrap().as_deref(), Some("a"));
    assert_eq!(
        parse(&(part("a") + &part("a"))).unwrap().as_deref(),
        Some("a")
    );
    assert_eq!(parse(&(part("a") + own)).unwrap().as_deref(), Some("own"));
    let said = parse(&(part("a") + &part("b"))).unwrap_err().to_string();
    assert_eq!(
        said,
        "the component has 2 different `piper:manifest` sections in its parts, and none of its own: one in the component itself, and no more, is the one that counts"
    );
    assert!(matches!(
        parse(&part(r"\ff")),
        Err(Error::SectionText("piper:manifest"))
    ));
}

#[test]
fn two_manifests_of_the_component_itself_are_a_mistake() {
    let own = |text: &str| format!(r#"(@custom "piper:manifest" "{text}")"#);
    let parse = |text: &str| {
        let component = exporting("piper:step/step-runner@0.1.0", text);
        super::super::load::describe(&component).map(|described| described.manifest)
    };
    assert_eq!(
        parse(&(own("a") + &own("a"))).unwrap().as_deref(),
        Some("a"),
        "nobody can tell them apart"
    );
    let said = parse(&(own("a") + &own("b"))).unwrap_err().to_string();
    assert!(
        said.starts_with("the component has 2 different `piper:manifest` sections in itself: "),
        "{said}"
    );
}

#[test]
fn a_compiled_component_is_kept_and_a_damaged_file_is_as_good_as_none() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("cache");
    let files = || -> Vec<_> {
        let entries = fs::read_dir(&folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    cached(&folder).load(odd()).unwrap();
    let [file] = &files()[..] else {
        panic!("one file: {:?}", files());
    };
    assert_eq!(
        fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let whole = fs::read(file).unwrap();
    for damaged in [&b""[..], b"garbage", &whole[..whole.len() / 2]] {
        fs::write(file, damaged).unwrap();
        cached(&folder).load(odd()).unwrap();
        assert_eq!(
            fs::read(file).unwrap().len(),
            whole.len(),
            "it was made anew"
        );
    }
    let before = fs::metadata(file).unwrap().modified().unwrap();
    cached(&folder).load(odd()).unwrap();
    assert_eq!(
        fs::metadata(file).unwrap().modified().unwrap(),
        before,
        "it was used"
    );
    assert_eq!(files().len(), 1);
}

#[test]
fn a_cache_that_others_may_write_to_is_refused() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("cache");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let error = cached(&folder).load(odd()).unwrap_err();
    assert!(matches!(error, Error::ForeignCache { .. }), "{error}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = cached(&folder).load(odd()).unwrap_err();
    assert!(
        matches!(error, Error::ForeignCache { .. }),
        "the folder above: {error}"
    );
}

#[tokio::test]
async fn a_plugin_loaded_from_the_cache_works() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("cache");
    for _ in 0..2 {
        let plugin = cached(&folder).load(odd()).unwrap();
        plugin.run(&invocation(), call("echo")).await.unwrap();
    }
}

#[tokio::test]
async fn a_plugin_of_a_later_contract_works_until_it_calls_what_is_not_there() {
    let component = wat::parse_str(include_str!("later.wat")).expect("the guest can be read");
    let plugin = host().load(&component).unwrap();
    assert_eq!(plugin.kinds(), [Kind::StepRunner]);
    assert_eq!(plugin.unknown_exports(), ["acme:own/extra@1.0.0"]);
    let stubs = [
        "base/state@0.1.3#touch",
        "base/state@0.1.3#count",
        "base/later@0.1.3#find",
    ];
    assert_eq!(plugin.stubs(), stubs.map(|stub| format!("piper:{stub}")));
    for (name, function) in [
        ("touch", "piper:base/state@0.1.3#touch"),
        ("find", "piper:base/later@0.1.3#find"),
    ] {
        let (kept, invocation) = logged();
        let error = plugin.run(&invocation, call(name)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (FailureKind::Permanent, "host.unsupported")
        );
        let version = env!("CARGO_PKG_VERSION");
        let warning =
            format!("this piper ({version}) does not have `{function}`; a later one does");
        assert_eq!(kept.messages(), [warning]);
        let again = plugin.run(&invocation, call(name)).await.unwrap_err();
        assert_eq!(again.code(), "host.unsupported");
        assert_eq!(kept.messages().len(), 1, "it warns once");
    }
    // A function that cannot say so ends the call.
    let error = plugin.run(&invocation(), call("count")).await.unwrap_err();
    assert_eq!(error.code(), "host.unsupported");
    assert!(
        error.to_string().contains("piper:base/state@0.1.3#count"),
        "{error}"
    );
}
