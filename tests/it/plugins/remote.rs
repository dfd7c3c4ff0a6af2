//! Plugins from a server: fetched once over TLS, pinned by their bytes, and there without the network from then on.

use super::{component, plugin};
use crate::support::{Call, TestEnv, have};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

const MANIFEST: &str = "manifest = 1\nname = \"odd\"\nversion = \"1.0.0\"\n[[step]]\nname = \"hello\"\nrole = \"runner\"\n\
    [[step]]\nname = \"plan\"\nrole = \"planner\"\n[[trigger]]\n[[notifier]]\n[[webhook]]\nverify = \"plugin\"\n[log-sink]\n";

/// What the server says.
enum Says {
    /// This file.
    File(Vec<u8>),
    /// That it is elsewhere.
    Elsewhere(String),
    /// Bytes until somebody hangs up, and not how many.
    Endless,
    /// Nothing: it hangs up.
    Nothing,
}

/// A server of one file on this machine, and the certificate by which it is known.
struct Server {
    url: String,
    certificate: String,
    says: Arc<Mutex<Says>>,
}

impl Server {
    fn new(says: Says) -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from(key.cert.der().to_vec())];
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}/odd.wasm",
            listener.local_addr().unwrap().port()
        );
        let server = Self {
            url,
            certificate: key.cert.pem(),
            says: Arc::new(Mutex::new(says)),
        };
        let (config, says) = (Arc::new(config), Arc::clone(&server.says));
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever does not believe the certificate hangs up.
                let _ = answer(stream, &config, &says);
            }
        });
        server
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// A call that believes the server.
    fn known(&self, env: &TestEnv, call: Call) -> Call {
        let file = env.beside("home").join("server.pem");
        fs::write(&file, &self.certificate).unwrap();
        call.env("CURL_CA_BUNDLE", file)
    }

    /// Calls `piper` with a cache of its own: the one of all tests would have the component.
    fn piper(&self, env: &TestEnv, args: &[&str]) -> Call {
        self.known(env, env.call(args))
    }
}

fn answer(
    mut stream: TcpStream,
    config: &Arc<rustls::ServerConfig>,
    says: &Mutex<Says>,
) -> io::Result<()> {
    let mut tls = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut plain = rustls::Stream::new(&mut tls, &mut stream);
    let mut request = BufReader::new(&mut plain);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, header, body) = match &*says.lock().unwrap() {
        Says::File(bytes) => ("200 OK", String::new(), bytes.clone()),
        Says::Elsewhere(url) => ("302 Found", format!("location: {url}\r\n"), Vec::new()),
        Says::Endless => {
            plain.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            loop {
                plain.write_all(&[0; 64 * 1024])?;
            }
        }
        Says::Nothing => return Ok(()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    plain.write_all(head.as_bytes())?;
    plain.write_all(&body)?;
    plain.conn.send_close_notify();
    plain.flush()
}

/// The files that servers gave, in the cache of these calls.
fn fetched(env: &TestEnv) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(env.beside("cache").join("piper/plugins")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "wasm"))
        .collect()
}

#[test]
fn a_plugin_of_a_server_is_pinned_and_then_needs_no_server() {
    if !have(&["curl"]) {
        return;
    }
    let server = Server::new(Says::File(component(MANIFEST)));
    let url = &server.url;
    let env = TestEnv::new(&format!(
        "[plugins]\nodd = \"{url}\"\n[steps]\na = {{ uses = \"odd/hello\" }}\n"
    ));
    // Nobody has looked at it yet.
    server
        .piper(&env, &["exec", "a"])
        .finish()
        .exits(2)
        .complains("is not pinned")
        .complains(&format!("piper plugin add {url}"));
    // Nor is a server believed that nobody vouches for.
    plugin(&env, &["add", url])
        .finish()
        .exits(3)
        .complains(&format!("cannot fetch `{url}`"));
    server
        .piper(&env, &["plugin", "add", url])
        .finish()
        .succeeds();
    let lock = env.read("piper.lock");
    assert!(lock.contains(url) && lock.contains("sha256:"), "{lock}");

    server.says(Says::Nothing);
    server.piper(&env, &["exec", "a"]).finish().succeeds();
    let kept = fetched(&env);
    assert_eq!(kept.len(), 1);
    // What is kept is not believed because of its name.
    fs::write(&kept[0], component("manifest = 1\n")).unwrap();
    server
        .piper(&env, &["exec", "a"])
        .finish()
        .exits(2)
        .complains(&format!("cannot fetch `{url}`"));
    fs::remove_file(&kept[0]).unwrap();

    server.says(Says::File(component(&MANIFEST.replace("1.0.0", "1.0.1"))));
    server
        .piper(&env, &["exec", "a"])
        .finish()
        .exits(2)
        .complains("plugin `odd` is another than the one that was added")
        .complains(&format!("piper plugin add --name odd {url}"));
    assert_eq!(fetched(&env).len(), 0, "nothing that is refused is kept");
    server.says(Says::File(component(MANIFEST)));
    server.piper(&env, &["exec", "a"]).finish().succeeds();
    assert_eq!(fetched(&env), kept);
}

#[test]
fn a_plugin_is_not_fetched_in_the_clear_whatever_a_server_says() {
    if !have(&["curl"]) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::new(Says::Elsewhere(format!("http://127.0.0.1:{port}/odd.wasm")));
    let env = TestEnv::new("[steps]\na = 'true'\n");
    server
        .piper(&env, &["plugin", "add", &server.url])
        .finish()
        .exits(3)
        .complains("cannot fetch");
    assert!(listener.accept().is_err(), "nobody was asked in the clear");
    assert_eq!(env.read("piper.lock"), "");
}

#[test]
fn a_server_that_never_ends_is_not_listened_to_for_ever() {
    if !have(&["curl"]) {
        return;
    }
    let server = Server::new(Says::Endless);
    let env = TestEnv::new("[steps]\na = 'true'\n");
    server
        .piper(&env, &["plugin", "add", &server.url])
        .finish()
        .exits(3)
        .complains(&format!("cannot fetch `{}`", server.url))
        .complains("it is larger than 32 MiB");
    assert_eq!(env.read("piper.lock"), "");
}
