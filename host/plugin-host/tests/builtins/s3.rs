//! `s3` against MinIO.

use crate::{kit::Granted, tools};
use piper_plugin_host::kind::Status;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use test_case::test_case;
use tokio::net::TcpSocket;

const KEY: &str = "piper-test-key";
const SECRET: &str = "piper-test-secret";
const BUCKET: &str = "results";

/// A store with an empty bucket.
#[derive(Debug)]
struct Store {
    address: SocketAddr,
    server: Child,
    folder: TempDir,
    _port: TcpSocket,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A port for MinIO, which names none that it chose itself. Nobody else is given it as long as the socket is there, and as it does not
/// listen, whoever asks for this port by its number may.
fn port() -> TcpSocket {
    let port = TcpSocket::new_v4().unwrap();
    port.set_reuseaddr(true).unwrap();
    port.bind(([127, 0, 0, 1], 0).into()).unwrap();
    port
}

impl Store {
    /// Nothing if this machine has no MinIO.
    async fn start(test: &str) -> Option<Self> {
        let store = Self::on(port(), tools::minio(test)?).await;
        Some(store.unwrap_or_else(|status| panic!("MinIO ended: {status}")))
    }

    /// The store once it answers, or how MinIO ended.
    async fn on(port: TcpSocket, minio: PathBuf) -> Result<Self, ExitStatus> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = port.local_addr().unwrap();
        let server = tools::command(minio)
            .args(["server", "--quiet", "--address", &address.to_string()])
            .arg(folder.path())
            .env("MINIO_ROOT_USER", KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_DOMAIN", "store.example")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut store = Self {
            address,
            server,
            folder,
            _port: port,
        };
        for _ in 0..600 {
            if let Some(status) = store.server.try_wait().unwrap() {
                return Err(status);
            }
            if store.is_ready() {
                return Ok(store);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("MinIO does not start");
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else {
            return false;
        };
        // Whoever is there may not be MinIO, and never answer.
        let patience = Some(Duration::from_secs(1));
        stream.set_read_timeout(patience).unwrap();
        let mut answer = String::new();
        let asked = stream.write_all(
            b"GET /minio/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        );
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
    }

    /// The plugin with a grant for this bucket.
    fn plugin(&self, style: Style, secret: &str) -> Granted {
        let port = self.address.port();
        let url = match style {
            Style::Path => format!("http://store.example:{port}/{BUCKET}"),
            Style::VirtualHost => format!("http://{BUCKET}.store.example:{port}"),
        };
        let granted = format!(
            "config = {{ url = \"{url}\", access-key = \"{KEY}\" }}\nallow.http = [\"GET,PUT,POST,DELETE {url}\"]\n\
             allow.private-network = [\"127.0.0.1\"]\nallow.files = {{ workspace = \"write\" }}\nsecrets.secret-key = {{ from = \"env:S\" }}"
        );
        Granted::new("s3", &granted, &[("S", secret)])
    }
}

#[derive(Clone, Copy)]
enum Style {
    Path,
    VirtualHost,
}

fn write(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_listen_is_not_waited_for() {
    let test = "a_store_that_cannot_listen_is_not_waited_for";
    let Some(minio) = tools::minio(test) else {
        return;
    };
    let port = port();
    let _taken = TcpListener::bind(port.local_addr().unwrap()).unwrap();
    let status = Store::on(port, minio).await.unwrap_err();
    assert!(!status.success(), "{status}");
}

#[test_case(Style::Path; "path style")]
#[test_case(Style::VirtualHost; "virtual host style")]
#[tokio::test]
async fn what_goes_up_comes_down(style: Style) {
    let Some(store) = Store::start("what_goes_up_comes_down").await else {
        return;
    };
    let s3 = store.plugin(style, SECRET);
    let here = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..12_u32 << 20).map(|at| (at % 251) as u8).collect();
    let files: [(&str, &[u8]); 4] = [
        ("target/a b+c=é~&'(1).txt", b"hello"),
        ("target/deep/er/empty", b""),
        ("target/deep/small", &[0xff; 70_000]),
        ("target/large", &large),
    ];
    for (path, content) in files {
        write(here.path(), path, content);
    }
    let options = json!({"files": "target/**", "strip": "target", "prefix": "main/1", "part-size": 5, "in-flight": 2});
    let (verdict, told) = s3.run("upload", options, here.path()).await;
    assert_eq!(verdict.unwrap().status, Status::Passed);
    assert_eq!(told.output("files").as_deref(), Some("4"));

    let there = tempfile::tempdir().unwrap();
    let options = json!({"prefix": "main/1", "into": "got"});
    let (verdict, _) = s3.run("download", options, there.path()).await;
    assert_eq!(verdict.unwrap().status, Status::Passed);
    for (path, content) in files {
        let got = fs::read(there.path().join(path.replace("target", "got"))).unwrap();
        assert!(got == content, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_said_to_be_wrong() {
    let Some(store) = Store::start("a_wrong_key_is_said_to_be_wrong").await else {
        return;
    };
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a", b"hello");
    let s3 = store.plugin(Style::Path, "another-secret");
    let (verdict, _) = s3.run("upload", json!({"files": "a"}), here.path()).await;
    let failure = verdict.unwrap_err();
    assert_eq!(failure.code(), "http.403");
    assert!(
        failure.to_string().contains("SignatureDoesNotMatch"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_object_that_is_not_there_leaves_no_file() {
    let Some(store) = Store::start("an_object_that_is_not_there_leaves_no_file").await else {
        return;
    };
    let here = tempfile::tempdir().unwrap();
    let s3 = store.plugin(Style::Path, SECRET);
    let (verdict, _) = s3
        .run("download", json!({"keys": "nothing"}), here.path())
        .await;
    assert!(verdict.unwrap_err().to_string().contains("NoSuchKey"));
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_leaves_none_in_the_store() {
    let Some(store) = Store::start("an_upload_in_parts_that_fails_leaves_none_in_the_store").await
    else {
        return;
    };
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "large", &vec![7; 6 << 20]);
    // A grant that lets uploads begin and end, but no part pass.
    let url = format!("http://store.example:{}/{BUCKET}", store.address.port());
    let granted = format!(
        "config = {{ url = \"{url}\", access-key = \"{KEY}\" }}\nallow.http = [\"GET,POST,DELETE {url}\"]\n\
         allow.private-network = [\"127.0.0.1\"]\nallow.files = {{ workspace = \"read\" }}\nsecrets.secret-key = {{ from = \"env:S\" }}"
    );
    let s3 = Granted::new("s3", &granted, &[("S", SECRET)]);
    let (verdict, _) = s3
        .run(
            "upload",
            json!({"files": "large", "part-size": 5}),
            here.path(),
        )
        .await;
    assert_eq!(verdict.unwrap_err().code(), "policy.http-host");
    let begun = store.folder.path().join(".minio.sys/multipart");
    let left = fs::read_dir(begun).map_or(0, |folder| {
        folder
            .flatten()
            .map(|entry| fs::read_dir(entry.path()).map_or(0, Iterator::count))
            .sum()
    });
    assert_eq!(left, 0, "MinIO keeps what is begun here");
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

#[tokio::test]
#[ignore = "writes 6 GB; the figures in plugins/s3/README.md are from here"]
async fn two_gigabytes_pass_in_bounded_memory() {
    let Some(store) = Store::start("two_gigabytes_pass_in_bounded_memory").await else {
        return;
    };
    let here = tempfile::tempdir().unwrap();
    let mut file = File::create(here.path().join("large")).unwrap();
    for number in 0..2_048_u32 {
        file.write_all(&number.to_le_bytes().repeat(256 << 10))
            .unwrap();
    }
    let s3 = store.plugin(Style::Path, SECRET);
    let before = peak();
    let (verdict, _) = s3
        .run("upload", json!({"files": "large"}), here.path())
        .await;
    assert_eq!(verdict.unwrap().status, Status::Passed);
    let (verdict, _) = s3
        .run("download", json!({"into": "got"}), here.path())
        .await;
    assert_eq!(verdict.unwrap().status, Status::Passed);
    let grown = peak() - before;
    println!(
        "{} MiB more at most, from {} MiB",
        grown >> 20,
        before >> 20
    );
    assert!(grown < 64 << 20);
    assert_eq!(
        fs::metadata(here.path().join("got/large")).unwrap().len(),
        2 << 30
    );
}
