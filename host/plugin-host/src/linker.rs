//! One linker for all plugins: every interface that a plugin may import, whatever it was granted.
//!
//! Interpreters import everything, so a missing import would refuse plugins that never call it. What a plugin may do is decided
//! when it does it, by the context of its instance. What no plugin of a process imports is never linked: that would cost as much
//! as all else of the first plugin.

use crate::{instance::Sandbox, wit::v0_1::piper};
use wasmtime::{
    Engine, Result,
    component::{HasData, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView as _},
    clocks::{WasiClocks, WasiClocksView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::bindings::{cli, clocks, filesystem, io, random, sockets},
    random::{WasiRandom, WasiRandomView as _},
    sockets::{WasiSockets, WasiSocketsView as _},
};
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpView as _,
    p2::bindings::http::{outgoing_handler, types as http_types},
};

/// Links an interface.
type Link = fn(&mut Linker<Sandbox>) -> Result<()>;

/// Every interface that we have, and what links it: those of the contract in the one version that this host has, those of WASI in all
/// versions of 0.2.
const INTERFACES: [(&str, Link); 41] = [
    ("piper:base/types@0.1.0", |linker| {
        piper::base::types::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/log@0.1.0", |linker| {
        piper::base::log::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/control@0.1.0", |linker| {
        piper::base::control::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/http@0.1.0", |linker| {
        piper::base::http::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/files@0.1.0", |linker| {
        piper::base::files::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/secrets@0.1.0", |linker| {
        piper::base::secrets::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/state@0.1.0", |linker| {
        piper::base::state::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:base/exec@0.1.0", |linker| {
        piper::base::exec::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:step/step-context@0.1.0", |linker| {
        piper::step::step_context::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:trigger/vcs@0.1.0-draft.1", |linker| {
        piper::trigger::vcs::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:notify/mail@0.1.0-draft.1", |linker| {
        piper::notify::mail::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("piper:notify/builds@0.1.0-draft.1", |linker| {
        piper::notify::builds::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }),
    ("wasi:cli/environment", |linker| {
        cli::environment::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/exit", |linker| {
        cli::exit::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/stderr", |linker| {
        cli::stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/stdin", |linker| {
        cli::stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
    }),
    ("wasi:cli/stdout", |linker| {
        cli::stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)
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
    ("wasi:clocks/monotonic-clock", |linker| {
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)
    }),
    ("wasi:clocks/wall-clock", |linker| {
        clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)
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
    ("wasi:io/error", |linker| {
        io::error::add_to_linker::<_, Resources>(linker, |store| &mut store.table)
    }),
    ("wasi:io/poll", |linker| {
        io::poll::add_to_linker::<_, Resources>(linker, |store| &mut store.table)
    }),
    ("wasi:io/streams", |linker| {
        io::streams::add_to_linker::<_, Resources>(linker, |store| &mut store.table)
    }),
    ("wasi:random/insecure", |linker| {
        random::insecure::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
    }),
    ("wasi:random/insecure-seed", |linker| {
        random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
    }),
    ("wasi:random/random", |linker| {
        random::random::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
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

/// What the resources of `wasi:io` need of a store.
struct Resources;

impl HasData for Resources {
    type Data<'a> = &'a mut ResourceTable;
}

/// What is linked so far.
pub(crate) struct Links {
    linker: Linker<Sandbox>,
    /// Whether each of [`INTERFACES`] is.
    linked: [bool; INTERFACES.len()],
}

impl Links {
    /// Nothing yet.
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            linker: Linker::new(engine),
            linked: [false; INTERFACES.len()],
        }
    }

    /// A linker that has those of these imports that we have.
    pub(crate) fn with<'i>(
        &mut self,
        imports: impl Iterator<Item = &'i str>,
    ) -> Result<&Linker<Sandbox>> {
        for import in imports {
            let name = wasi(import).or_else(|| ours(import));
            let place = INTERFACES.iter().position(|(own, _)| Some(*own) == name);
            if let Some(place) = place.filter(|place| !self.linked[*place]) {
                INTERFACES[place].1(&mut self.linker)?;
                self.linked[place] = true;
            }
        }
        Ok(&self.linker)
    }
}

/// The names of all that we link, each of the contract's with its version.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    INTERFACES.iter().map(|(name, _)| *name)
}

/// The name of an interface without its version, if that is a release of WASI 0.2: all of these are alike.
fn wasi(import: &str) -> Option<&str> {
    let (name, version) = import.split_once('@')?;
    let is_released = version.starts_with("0.2.") && !version.contains('-');
    (name.starts_with("wasi:") && is_released).then_some(name)
}

/// Whether an interface of WASI is one that we link.
pub(crate) fn has_wasi(import: &str) -> bool {
    wasi(import).is_some_and(|name| names().any(|own| own == name))
}

/// Our version of an imported interface of the contract, if we have one of its track.
pub(crate) fn ours(name: &str) -> Option<&'static str> {
    let mut ours = names().filter(|own| own.starts_with("piper:"));
    ours.find(|own| track(own) == track(name))
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
    use crate::wit::v0_1::Everything;
    use test_case::test_case;

    /// Everything, as those who made the bindings link it.
    fn link_all(linker: &mut Linker<Sandbox>) -> Result<()> {
        wasmtime_wasi::p2::add_to_linker_async(linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        Everything::add_to_linker::<_, HasSelf<_>>(linker, |store| store)
    }

    #[test]
    fn each_interface_is_linked_for_whoever_imports_it() {
        let engine = Engine::default();
        link_all(&mut Linker::new(&engine)).expect("nothing is linked twice");
        // It has types only, which are nobody's to link.
        for name in names().filter(|name| *name != "piper:base/types@0.1.0") {
            let import = match name.starts_with("wasi:") {
                true => format!("{name}@0.2.6"),
                false => name.to_owned(),
            };
            assert!(has_wasi(&import) || ours(&import) == Some(name));
            let mut links = Links::new(&engine);
            // The second plugin finds it linked.
            for _ in 0..2 {
                links.with([import.as_str()].into_iter()).unwrap();
            }
            link_all(&mut links.linker).expect_err(name);
        }
        let mut links = Links::new(&engine);
        for _ in 0..2 {
            let all = names().map(|name| match name.starts_with("wasi:") {
                true => format!("{name}@0.2.0"),
                false => name.to_owned(),
            });
            let all: Vec<_> = all.collect();
            links
                .with(all.iter().map(String::as_str))
                .expect("no two link the same");
        }
    }

    #[test_case("wasi:cli/environment@0.2.0", true)]
    #[test_case("wasi:cli/environment@0.2.11", true; "a later one")]
    #[test_case("wasi:cli/environment@0.3.0", false; "another track")]
    #[test_case("wasi:cli/environment@0.2.0-rc-2023-12-05", false; "before its release")]
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
