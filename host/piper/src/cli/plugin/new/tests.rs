//! What is generated, looked at as text; that it builds is for the tests from outside.

use super::*;
use piper_core::problem::Source;
use piper_plugin_host::policy::manifest;
use std::sync::Arc;
use test_case::test_case;

fn name() -> PluginName {
    PluginName::parse("2nd_Greeter").unwrap()
}

fn text<'a>(made: &'a Made, file: &str) -> &'a str {
    made.iter()
        .find(|(name, _)| name == file)
        .map(|(_, text)| text.as_str())
        .unwrap()
}

fn args(sdk: Option<&Path>) -> NewArgs {
    NewArgs {
        plugin: "greeter".to_owned(),
        kind: "notifier".to_owned(),
        lang: Language::Rust,
        sdk: sdk.map(Path::to_owned),
    }
}

#[test]
fn the_manifest_of_every_kind_has_no_problem() {
    for template in &KINDS {
        for made in [rust(template, &name(), Some("x")), js(template, &name())] {
            let loaded = manifest::load(&Arc::new(Source {
                path: "piper-plugin.toml".into(),
                text: text(&made, "piper-plugin.toml").to_owned(),
            }));
            assert_eq!(loaded.problems, [], "{}", template.name);
            let manifest = loaded.manifest.unwrap();
            let named = manifest.option_schemas().map(|(.., file)| file);
            for file in named.chain(&manifest.config_schema) {
                let schema: serde_json::Value =
                    serde_json::from_str(text(&made, &file.to_string())).unwrap();
                assert_eq!(schema["type"], "object", "{}", template.name);
            }
        }
    }
}

#[test]
fn in_javascript_every_kind_has_a_schema_of_what_is_said_to_it() {
    for template in &KINDS {
        let manifest = text(&js(template, &name()), "piper-plugin.toml").to_owned();
        assert!(manifest.contains("schema = "), "{manifest}");
    }
}

#[test]
fn a_package_has_a_name_that_cargo_and_npm_take() {
    let made = rust(&KINDS[0], &name(), Some("x"));
    let cargo: toml::Table = toml::from_str(text(&made, "Cargo.toml")).unwrap();
    assert_eq!(
        cargo["package"]["name"].as_str(),
        Some("plugin-2nd_greeter")
    );
    let made = js(&KINDS[0], &name());
    let npm: serde_json::Value = serde_json::from_str(text(&made, "package.json")).unwrap();
    assert_eq!(npm["name"], "2nd_greeter");
    assert_eq!(
        npm["devDependencies"]["@bytecodealliance/componentize-js"],
        COMPONENTIZE
    );
}

#[test]
fn the_copy_of_the_sdk_stands_alone() {
    let made = rust(&KINDS[0], &name(), None);
    let read = |file: &str| -> toml::Table { toml::from_str(text(&made, file)).unwrap() };
    let plugin = read("Cargo.toml");
    let at = plugin["dependencies"]["piper-plugin-sdk"]["path"].as_str();
    assert_eq!(at, Some(CARRIED));
    assert_eq!(plugin["workspace"]["exclude"][0].as_str(), Some(CARRIED));
    let copy = read("piper-plugin-sdk/Cargo.toml");
    assert_eq!(
        copy["dependencies"]["piper-plugin-macros"]["path"].as_str(),
        Some("macros")
    );
    for file in [
        "piper-plugin-sdk/Cargo.toml",
        "piper-plugin-sdk/macros/Cargo.toml",
    ] {
        assert!(!text(&made, file).contains("workspace"), "{file}");
        assert_eq!(read(file)["package"]["version"].as_str(), Some("0.1.0"));
    }
    for (file, _) in &made {
        assert!(
            Path::new(file)
                .components()
                .all(|part| matches!(part, Component::Normal(_))),
            "{file}"
        );
    }
}

#[test_case("plugins/greeter", "../../plugin-sdk"; "below a checkout")]
#[test_case("greeter", "../plugin-sdk"; "in a checkout")]
fn the_sdk_of_the_checkout_around_is_used(place: &str, expected: &str) {
    let checkout = tempfile::tempdir().unwrap();
    fs::create_dir(checkout.path().join("plugin-sdk")).unwrap();
    fs::write(
        checkout.path().join("plugin-sdk/Cargo.toml"),
        "[package]\nname = \"piper-plugin-sdk\"\n",
    )
    .unwrap();
    assert_eq!(
        sdk(&args(None), &checkout.path().join(place))
            .unwrap()
            .as_deref(),
        Some(expected)
    );
}

#[test]
fn elsewhere_the_sdk_is_a_copy_or_the_folder_that_was_named() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("greeter");
    assert_eq!(sdk(&args(None), &folder).unwrap(), None);
    assert!(
        sdk(&args(Some(elsewhere.path())), &folder).is_err(),
        "that is no SDK"
    );
    fs::write(
        elsewhere.path().join("Cargo.toml"),
        "[package]\nname = \"piper-plugin-sdk\"\n",
    )
    .unwrap();
    let named = sdk(&args(Some(elsewhere.path())), &folder).unwrap();
    assert!(
        named.as_ref().is_some_and(|named| named.starts_with('/')),
        "{named:?}"
    );
}
