//! What holds for each of them.

use crate::kit::Granted;
use piper_plugin_host::{kind::Kind, policy::source::PluginDigest};
use test_case::test_case;

#[test_case(
    "chat",
    "config = { service = \"slack\", url = \"https://a.example\" }",
    Kind::Notifier
)]
#[test_case("file", "", Kind::LogSink)]
#[test_case("junit", "", Kind::StepRunner)]
#[test_case(
    "s3",
    "config = { url = \"https://a.example/b\", access-key = \"a\" }",
    Kind::StepRunner
)]
#[test_case("webhook", "config = { url = \"https://a.example\" }", Kind::Notifier)]
fn each_is_what_its_manifest_says(name: &str, granted: &str, kind: Kind) {
    let granted = Granted::new(name, granted, &[]);
    let builtin = piper_builtin_plugins::find(name).unwrap();
    assert_eq!(granted.plugin.kinds(), [kind]);
    assert_eq!(granted.plugin.manifest(), Some(builtin.manifest));
    assert_eq!(granted.plugin.digest(), PluginDigest(builtin.digest));
    assert_eq!(granted.plugin.unknown_exports(), &[] as &[String]);
}

#[test]
fn none_is_forgotten_here() {
    let names: Vec<_> = piper_builtin_plugins::ALL
        .iter()
        .map(|builtin| builtin.name)
        .collect();
    assert_eq!(names, ["chat", "file", "junit", "s3", "webhook"]);
}
