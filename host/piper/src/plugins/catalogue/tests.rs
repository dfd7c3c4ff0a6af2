//! Catalogues over files of their own.

use super::*;
use std::fs;
use tempfile::TempDir;

struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "config", "cache"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn open(&self) -> Result<Catalogue, Error> {
        let path = self.folder.path();
        let places = Places {
            grants: Some(path.join("config/plugins.toml")),
            cache: Some(path.join("cache")),
            state: Some(path.join("state")),
            plugin_cache: None,
        };
        Catalogue::open(places, Some(path.join("project")))
    }

    fn find(&self, reference: &str) -> Result<Component, Error> {
        self.open().unwrap().find(reference)
    }
}

fn problem(result: Result<Component, Error>) -> Problem {
    match result {
        Err(Error::Problems(mut problems)) => problems.remove(0),
        other => panic!("{other:?}"),
    }
}

fn lock(name: &str, source: &str, content: &str) -> String {
    let digest = digest(content.as_bytes());
    format!("version = 1\n[plugins.{name}]\nsource = \"{source}\"\ndigest = \"{digest}\"\n")
}

#[test]
fn a_name_is_the_projects_before_it_is_the_operators() {
    let machine = Machine::new();
    machine.write("project/a.wasm", "ours");
    machine.write("config/b.wasm", "mine");
    machine.write("piper.lock", "");
    machine.write(
        "config/plugins.toml",
        "[plugins.es]\nsource = \"b.wasm\"\n[plugins.mail]\nsource = \"b.wasm\"\n[plugins.grant]\nallow.state = true\n",
    );
    assert_eq!(&*machine.find("es").unwrap().bytes, b"mine");
    machine.write("project/piper.lock", &lock("es", "a.wasm", "ours"));
    let found = machine.find("es").unwrap();
    assert_eq!(
        (&*found.bytes, found.origin),
        (&b"ours"[..], Origin::Project)
    );
    let entries = machine.open().unwrap().entries();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.origin))
        .filter(|(_, origin)| *origin != Origin::Builtin)
        .collect();
    assert_eq!(names, [("es", Origin::Project), ("mail", Origin::Operator)]);
}

#[test]
fn a_plugin_that_changed_is_refused_at_the_digest_that_was_written_down() {
    let machine = Machine::new();
    machine.write("project/a.wasm", "changed");
    machine.write("project/piper.lock", &lock("es", "a.wasm", "ours"));
    let problem = problem(machine.find("es"));
    assert_eq!(problem.code, codes::PLUGIN_CHANGED);
    let at = problem.at.unwrap();
    assert_eq!(at.source.text[at.bytes], digest(b"ours").to_string());
    assert!(
        problem.help[1].ends_with("piper plugin add --name es a.wasm"),
        "{:?}",
        problem.help
    );
}

#[test]
fn a_path_is_a_file_and_a_name_never_is() {
    let machine = Machine::new();
    machine.write("project/es", "x");
    let file = machine.folder.path().join("project/es");
    let found = machine.find(file.to_str().unwrap()).unwrap();
    assert_eq!((found.origin, found.name), (Origin::File, None));
    assert_eq!(problem(machine.find("es")).code, codes::UNKNOWN_PLUGIN);
}

#[test]
fn a_pinned_source_is_known_by_what_the_project_calls_it_or_else_by_its_pin() {
    let machine = Machine::new();
    machine.write("project/a.wasm", "ours");
    let tables =
        lock("one", "./a.wasm", "ours") + &lock("two", "a.wasm", "ours")["version = 1\n".len()..];
    machine.write("project/piper.lock", &tables);
    let catalogue = machine.open().unwrap();
    let source = PluginSource::parse("./a.wasm").unwrap();
    let known = |called: Option<&str>| {
        let called = called.map(|name| PluginName::parse(name).unwrap());
        let found = catalogue.pinned(&source, called.as_ref()).unwrap();
        let is_pinned = catalogue.is_pinned_by_name(&found);
        (found.title().to_owned(), is_pinned)
    };
    assert_eq!(known(None), ("one".to_owned(), true));
    assert_eq!(known(Some("two")), ("two".to_owned(), true));
    assert_eq!(known(Some("three")), ("three".to_owned(), false));
}

#[test]
fn a_url_is_used_only_if_it_is_pinned_and_from_the_cache_if_it_is_there() {
    let machine = Machine::new();
    let url = "https://plugins.invalid/es.wasm";
    assert_eq!(problem(machine.find(url)).code, codes::NOT_PINNED);
    machine.write("project/piper.lock", &lock("es", url, "ours"));
    let digits = digest(b"ours").to_string().replace("sha256:", "");
    machine.write(&format!("cache/{digits}.wasm"), "ours");
    assert_eq!(&*machine.find("es").unwrap().bytes, b"ours");
    let by_url = machine.find(url).unwrap();
    assert_eq!(by_url.name.as_ref().map(PluginName::as_str), Some("es"));
}

#[test]
fn what_a_server_gives_is_not_trusted_from_the_cache_either() {
    let machine = Machine::new();
    machine.write(
        "project/piper.lock",
        &lock("es", "https://plugins.invalid/es.wasm", "ours"),
    );
    let digits = digest(b"ours").to_string().replace("sha256:", "");
    machine.write(&format!("cache/{digits}.wasm"), "another");
    let error = machine.find("es").unwrap_err();
    assert!(
        matches!(error, Error::Fetch { .. }),
        "it is fetched again: {error:?}"
    );
}

#[test]
fn an_unknown_name_is_answered_with_a_near_one() {
    let machine = Machine::new();
    machine.write("project/piper.lock", &lock("elastic", "a.wasm", ""));
    let problem = problem(machine.find("elasic"));
    assert_eq!(problem.help[0], "did you mean `elastic`?");
}

#[test]
fn both_files_are_read_and_all_that_is_wrong_is_said() {
    let machine = Machine::new();
    machine.write("project/piper.lock", "version = 2\n");
    machine.write("config/plugins.toml", "[plugin.es]\n");
    match machine.open() {
        Err(Error::Problems(problems)) => assert_eq!(problems.len(), 2, "{problems:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_that_is_too_large_names_the_line_to_change() {
    let machine = Machine::new();
    machine.write(
        "config/plugins.toml",
        "[plugins.es]\nsource = \"big.wasm\"\nlimits.component-size = \"1KiB\"\n",
    );
    machine.write("config/big.wasm", &"x".repeat(1025));
    let problem = problem(machine.find("es"));
    assert_eq!(problem.code, codes::TOO_LARGE);
    assert!(
        problem.help[0].contains("limits.component-size"),
        "{:?}",
        problem.help
    );
}
