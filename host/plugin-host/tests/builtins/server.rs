//! A receiver of requests that keeps what it was sent.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Request {
    /// `POST /path HTTP/1.1`.
    pub(crate) line: String,
    /// By their names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// Answers all requests alike, each on a connection of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Receiver<Request>,
}

impl Server {
    pub(crate) fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serve(stream.unwrap(), &sender, answer).is_none() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    /// Whether nothing has arrived.
    pub(crate) fn is_untouched(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    pub(crate) fn next(&self) -> Request {
        let patience = Duration::from_secs(60);
        self.requests
            .recv_timeout(patience)
            .expect("a request arrives")
    }
}

/// Nothing once nobody wants to know any more.
fn serve(mut stream: TcpStream, sender: &Sender<Request>, answer: &str) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut read_line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let line = read_line();
    let mut headers = HashMap::new();
    loop {
        let line = read_line();
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).unwrap();
    let body = String::from_utf8(body).unwrap();
    sender
        .send(Request {
            line,
            headers,
            body,
        })
        .ok()
}
