//! Keeps the promise at the head of the contract: what is released neither changes nor goes, and what is added can be answered by hosts
//! that lack it.
//!
//! Tests only. `plugin-sdk/wit/released/0.1.0.txt` has every signature of the released packages; a later 0.1.z gets a folder and
//! a file of its own beside them, and is compared with all the files before it.

mod signature;

use crate::policy::limit::TABLE;
use signature::{Signatures, is_alias, signatures};
use std::{collections::BTreeSet, fs, path::PathBuf};
use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

/// Packages that may no longer change.
const RELEASED: [&str; 2] = ["piper:base", "piper:step"];

fn wit() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/wit")
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve
        .push_dir(wit().join("v0.1"))
        .expect("the contract can be parsed");
    resolve
}

/// What a later contract breaks of a released one, and what it adds that older hosts could not answer; one line each.
fn breaches(released: &Signatures, now: &Signatures) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, signature) in &released.items {
        match now.items.get(name) {
            None => breaches.push(format!("{name} is gone")),
            Some(new) if new != signature => {
                breaches.push(format!("{name} was `{signature}` and is `{new}`"));
            }
            Some(_) => {}
        }
    }
    for (name, signature) in &now.items {
        let (interface, item) = name.split_once('.').unwrap_or((name, ""));
        if released.items.contains_key(name) || item.is_empty() {
            continue;
        }
        let is_new_interface = !released.items.contains_key(interface);
        let is_exported = now.exported.contains(interface);
        if is_exported && !is_new_interface {
            breaches.push(format!(
                "{name} is new, and plugins of before do not export it"
            ));
        }
        let is_function = signature.starts_with("func");
        if is_function && !is_exported && !answers_with_a_failure(signature) {
            breaches.push(format!(
                "{name} is new, and a host that lacks it cannot answer `{signature}`"
            ));
        }
    }
    breaches
}

fn answers_with_a_failure(signature: &str) -> bool {
    signature
        .split_once(" -> ")
        .is_some_and(|(_, result)| result.starts_with("result<") && result.ends_with("failure>"))
}

#[test]
fn released_packages_only_grow_in_ways_that_old_hosts_and_old_plugins_survive() {
    let now = signatures(&contract(), &RELEASED);
    let mut files = 0;
    for entry in fs::read_dir(wit().join("released")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let released = Signatures::parse(&fs::read_to_string(&path).unwrap());
        assert_eq!(breaches(&released, &now), [""; 0], "{}", path.display());
        files += 1;
    }
    assert!(files > 0, "no released signatures were found");
}

#[test]
fn the_newest_signatures_are_checked_in() {
    let path = wit().join("released/0.1.0.txt");
    let now = signatures(&contract(), &RELEASED).to_string();
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    if checked_in != now {
        let new = path.with_extension("txt.new");
        fs::write(&new, now).unwrap();
        panic!(
            "{} differs from the contract: compare it with {}; before the release, put that in its place, after it, begin a new file",
            path.display(),
            new.display()
        );
    }
}

const BEFORE: &str = "package piper:base@0.1.0;
    interface types { enum kind { a } record failure { kind: kind } }
    interface state { use types.{failure}; record entry { value: string } get: func(key: string) -> result<entry, failure>; }
    interface check { use types.{failure}; check: func() -> result<_, failure>; }
    world w { import state; export check; }";

#[test_case::test_case("", "", None; "nothing")]
#[test_case("value: string }", "value: string } put: func() -> result<_, failure>;", None; "a function that can fail")]
#[test_case("value: string }", "value: string } record page { x: u8 }", None; "a type")]
#[test_case("world w {", "interface more { use types.{failure}; f: func() -> result<u8, failure>; } world w { import more;", None; "an interface")]
#[test_case("world w {", "interface late { f: func() -> u8; } world w { export late;", None; "an exported interface")]
#[test_case("value: string }", "value: string } put: func();",
    Some("piper:base/state.put is new, and a host that lacks it cannot answer `func()`"); "a function that cannot fail")]
#[test_case("value: string }", "value: string, version: u64 }",
    Some("piper:base/state.entry was `record {value: string}` and is `record {value: string, version: u64}`"); "a field")]
#[test_case("enum kind { a }", "enum kind { a, b }",
    Some("piper:base/types.kind was `enum {a}` and is `enum {a, b}`"); "a case")]
#[test_case("check: func() -> result<_, failure>;", "check: func() -> result<_, failure>; more: func() -> result<_, failure>;",
    Some("piper:base/check.more is new, and plugins of before do not export it"); "an export")]
#[test_case("get: func(key: string)", "get: func(name: string)",
    Some("piper:base/state.get was `func(key: string) -> result<entry, failure>` and is `func(name: string) -> result<entry, failure>`");
    "a parameter's name")]
#[test_case("get: func(key: string) -> result<entry, failure>;", "", Some("piper:base/state.get is gone"); "a removal")]
fn a_change_is_a_breach_or_is_not(from: &str, to: &str, expected: Option<&str>) {
    let parse = |text: &str| {
        let mut resolve = Resolve::default();
        resolve
            .push_str("test.wit", text)
            .expect("the test's contract can be parsed");
        signatures(&resolve, &["piper:base"])
    };
    let after = BEFORE.replace(from, to);
    assert_eq!(
        breaches(&parse(BEFORE), &parse(&after)),
        Vec::from_iter(expected)
    );
}

#[test]
fn signatures_survive_being_written_and_read() {
    let now = signatures(&contract(), &RELEASED);
    assert_eq!(Signatures::parse(&now.to_string()), now);
}

#[test]
fn every_item_of_the_contract_says_what_it_is() {
    let resolve = contract();
    let mut silent = Vec::new();
    let mut look = |name: String, docs: &Docs| {
        if docs.contents.as_ref().is_none_or(|text| text.len() < 3) {
            silent.push(name);
        }
    };
    for (_, package) in &resolve.packages {
        look(package.name.to_string(), &package.docs);
        for (name, world) in &package.worlds {
            look(
                format!("{}/{name}", package.name),
                &resolve.worlds[*world].docs,
            );
        }
        for (name, interface) in &package.interfaces {
            let interface = &resolve.interfaces[*interface];
            let at = format!("{}/{name}", package.name);
            look(at.clone(), &interface.docs);
            for (name, function) in &interface.functions {
                look(format!("{at}.{name}"), &function.docs);
            }
            for (name, id) in &interface.types {
                let definition = &resolve.types[*id];
                if is_alias(&resolve, *id) {
                    continue;
                }
                look(format!("{at}.{name}"), &definition.docs);
                let parts: Vec<(&String, &Docs)> = match &definition.kind {
                    TypeDefKind::Record(record) => {
                        record.fields.iter().map(|f| (&f.name, &f.docs)).collect()
                    }
                    TypeDefKind::Enum(list) => {
                        list.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                    }
                    TypeDefKind::Variant(variant) => {
                        variant.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                    }
                    TypeDefKind::Flags(flags) => {
                        flags.flags.iter().map(|f| (&f.name, &f.docs)).collect()
                    }
                    _ => Vec::new(),
                };
                for (part, docs) in parts {
                    look(format!("{at}.{name}.{part}"), docs);
                }
            }
        }
    }
    assert_eq!(silent, [""; 0]);
}

#[test]
fn the_world_of_everything_has_every_interface_of_every_package() {
    let resolve = contract();
    let (_, everything) = resolve
        .worlds
        .iter()
        .find(|(_, world)| world.name == "everything")
        .expect("the world is there");
    let reached: Vec<_> = everything
        .imports
        .values()
        .chain(everything.exports.values())
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        })
        .collect();
    let missing: Vec<_> = resolve
        .interfaces
        .iter()
        .filter(|(id, _)| !reached.contains(id))
        .map(|(_, interface)| interface.name.clone())
        .collect();
    assert_eq!(missing, []);
}

/// The codes that stand in this text between two of these marks.
fn codes(text: &str, mark: char) -> BTreeSet<&str> {
    let is_code = |word: &&str| {
        let family = word.split_once('.').map(|(family, _)| family);
        ["policy", "limit", "quota", "fs", "exec"]
            .map(Some)
            .contains(&family)
    };
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(mark))
        .filter(is_code)
        .collect()
}

#[test_case::test_case("files", &["effect/files.rs", "effect/files/quota.rs", "imports/files.rs"])]
#[test_case::test_case("exec", &["effect/exec.rs", "imports/exec.rs", "imports/held.rs", "policy/exec.rs"])]
fn an_interface_names_all_codes_that_its_calls_answer(interface: &str, sources: &[&str]) {
    let resolve = contract();
    let mut interfaces = resolve.interfaces.iter().map(|(_, found)| found);
    let found = interfaces.find(|found| found.name.as_deref() == Some(interface));
    let docs = found
        .and_then(|found| found.docs.contents.as_deref())
        .unwrap();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let source: String = sources
        .iter()
        .map(|name| fs::read_to_string(folder.join(name)).unwrap())
        .collect();
    // The codes of limits stand in their table.
    let of_limits = TABLE
        .iter()
        .filter(|row| source.contains(&format!("Limit::{:?}", row.limit)))
        .filter_map(|row| row.code);
    let mut answered = codes(&source, '"');
    answered.extend(of_limits);
    assert_eq!(codes(docs, '`'), answered);
}
