//! One linker for all plugins: every interface that a plugin may import, whatever it was granted.
//!
//! Interpreters import everything, so a missing import would refuse plugins that never call it. What a plugin may do is decided
//! when it does it, by the context of its instance. What no plugin of a process imports is never linked: that would cost as much
//! as all else of the first plugin.

use crate::{instance::Sandbox, wit::v0_1};
use wasmtime::{
    Engine, Result,
    component::{HasSelf, Linker},
};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::{add_to_linker_proxy_interfaces_async as add_usual, bindings::*},
    random::{WasiRandom, WasiRandomView as _},
    sockets::{WasiSockets, WasiSocketsView as _},
};
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpView as _,
    p2::bindings::http::{outgoing_handler, types as http_types},
};

/// Links an interface.
type Link = fn(&mut Linker<Sandbox>) -> Result<()>;

/// The interfaces of WASI that `wasmtime_wasi` links together, which nearly every component imports.
const USUAL: [&str; 9] = [
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

/// All others, each with what links it.
const OTHERS: [(&str, Link); 20] = [
    ("wasi:cli/environment", |linker| {
        cli::environment::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/exit", |linker| {
        cli::exit::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/terminal-input", |linker| {
        cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/terminal-output", |linker| {
        cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/terminal-stderr", |linker| {
        cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/terminal-stdin", |linker| {
        cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/terminal-stdout", |linker| {
        cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:filesystem/preopens", |linker| {
        filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Sandbox::filesystem)
    }),
    ("wasi:filesystem/types", |linker| {
        filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Sandbox::filesystem)
    }),
    ("wasi:http/outgoing-handler", |linker| {
        outgoing_handler::add_to_linker::<_, WasiHttp>(linker, Sandbox::http)
    }),
    ("wasi:http/types", |linker| {
        let options = http_types::LinkOptions::default();
        http_types::add_to_linker::<_, WasiHttp>(linker, &options, Sandbox::http)
    }),
    ("wasi:random/insecure", |linker| {
        random::insecure::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
    }),
    ("wasi:random/insecure-seed", |linker| {
        random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
    }),
    ("wasi:sockets/instance-network", |linker| {
        sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
    ("wasi:sockets/ip-name-lookup", |linker| {
        sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
    ("wasi:sockets/network", |linker| {
        let options = sockets::network::LinkOptions::default();
        sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, Sandbox::sockets)
    }),
    ("wasi:sockets/tcp", |linker| {
        sockets::tcp::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
    ("wasi:sockets/tcp-create-socket", |linker| {
        sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
    ("wasi:sockets/udp", |linker| {
        sockets::udp::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
    ("wasi:sockets/udp-create-socket", |linker| {
        sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)
    }),
];

/// What is linked so far.
pub(crate) struct Links {
    linker: Linker<Sandbox>,
    /// Whether each of [`OTHERS`] is.
    others: [bool; OTHERS.len()],
}

impl Links {
    /// The contract and what nearly every component imports of WASI.
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let mut linker = Linker::new(engine);
        add_usual(&mut linker)?;
        v0_1::Everything::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |store| store)?;
        Ok(Self {
            linker,
            others: [false; OTHERS.len()],
        })
    }

    /// A linker that has all of these imports that a plugin may have.
    pub(crate) fn with<'i>(
        &mut self,
        imports: impl Iterator<Item = &'i str>,
    ) -> Result<&Linker<Sandbox>> {
        for import in imports {
            let name = wasi(import);
            let Some(place) = OTHERS.iter().position(|(other, _)| Some(*other) == name) else {
                continue;
            };
            if !self.others[place] {
                OTHERS[place].1(&mut self.linker)?;
                self.others[place] = true;
            }
        }
        Ok(&self.linker)
    }
}

/// The name of an interface without its version, if that is one of WASI 0.2: all of these are alike.
fn wasi(import: &str) -> Option<&str> {
    let (name, version) = import.split_once('@')?;
    (name.starts_with("wasi:") && version.starts_with("0.2.")).then_some(name)
}

/// Whether an interface of WASI is one that we link.
pub(crate) fn has_wasi(import: &str) -> bool {
    wasi(import)
        .is_some_and(|name| USUAL.contains(&name) || OTHERS.iter().any(|(other, _)| *other == name))
}

/// The interfaces of the contract that plugins import, with the versions that this host has.
const IMPORTS: [&str; 12] = [
    "piper:base/types@0.1.0",
    "piper:base/log@0.1.0",
    "piper:base/control@0.1.0",
    "piper:base/http@0.1.0",
    "piper:base/files@0.1.0",
    "piper:base/secrets@0.1.0",
    "piper:base/state@0.1.0",
    "piper:base/exec@0.1.0",
    "piper:step/step-context@0.1.0",
    "piper:trigger/vcs@0.1.0-draft.1",
    "piper:notify/mail@0.1.0-draft.1",
    "piper:notify/builds@0.1.0-draft.1",
];

/// Our version of an imported interface of the contract, if we have one of its track.
pub(crate) fn ours(name: &str) -> Option<&'static str> {
    IMPORTS.into_iter().find(|ours| track(ours) == track(name))
}

/// What an interface's name and version are compatible with: a released version with its whole track, a draft with itself only.
pub(crate) fn track(interface: &str) -> (&str, String) {
    let Some((name, version)) = interface.split_once('@') else {
        return (interface, String::new());
    };
    if version.contains('-') {
        return (name, version.to_owned());
    }
    let mut parts = version.split('.');
    let track = match (parts.next(), parts.next(), parts.next()) {
        (Some("0"), Some("0"), _) | (Some(_), None, _) => version.to_owned(),
        (Some("0"), Some(minor), Some(_)) => format!("0.{minor}"),
        (Some(major), _, _) => major.to_owned(),
        (None, _, _) => String::new(),
    };
    (name, track)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;
    use wasmtime::component::Component;

    #[test]
    fn all_of_wasi_is_linked_for_whoever_imports_it() {
        let engine = Engine::default();
        let mut links = Links::new(&engine).unwrap();
        let others = OTHERS.iter().map(|(name, _)| name);
        for name in USUAL.iter().chain(others) {
            let import = format!("{name}@0.2.6");
            assert!(has_wasi(&import));
            let component = format!("(component (import \"{import}\" (instance)))");
            let component = Component::new(&engine, wat::parse_str(component).unwrap()).unwrap();
            // The second plugin finds it linked.
            for _ in 0..2 {
                let linker = links.with([import.as_str()].into_iter()).unwrap();
                linker.instantiate_pre(&component).expect(&import);
            }
        }
    }

    #[test_case("wasi:cli/environment@0.2.0", true)]
    #[test_case("wasi:cli/environment@0.2.11", true; "a later one")]
    #[test_case("wasi:cli/environment@0.3.0", false; "another track")]
    #[test_case("wasi:cli/environments@0.2.0", false; "another name")]
    #[test_case("wasi:nn/tensor@0.2.0", false; "another package")]
    fn an_interface_of_wasi_is_known_by_its_name(import: &str, expected: bool) {
        assert_eq!(has_wasi(import), expected);
    }

    #[test_case("a:b/c@0.1.0", "a:b/c@0.1.7", true; "a later one of the track")]
    #[test_case("a:b/c@0.1.0", "a:b/c@0.2.0", false; "another track")]
    #[test_case("a:b/c@1.1.0", "a:b/c@1.2.0", true; "after the first release")]
    #[test_case("a:b/c@0.1.0", "a:b/d@0.1.0", false; "another name")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0-draft.2", false; "another draft")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0", false; "a draft and its release")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0-draft.1", true; "the same draft")]
    #[test_case("a:b/c@0.0.1", "a:b/c@0.0.2", false; "before the first release")]
    fn an_interface_fits_its_track(ours: &str, theirs: &str, expected: bool) {
        assert_eq!(track(ours) == track(theirs), expected);
    }
}
