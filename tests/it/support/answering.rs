//! A tiny server that answers what a test wants: for what no real server can be made to do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server on a port of its own. Its thread ends with the process.
pub struct Answering {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What comes back.
pub enum Answer {
    /// Status line and headers without their last empty line, and the body.
    Http(String, Vec<u8>),
    /// As `Http`, but the connection is closed after so many bytes of the body.
    Broken(String, Vec<u8>, usize),
    /// Nothing, for longer than any test waits.
    Silence,
}

impl Answer {
    /// An S3 error.
    pub fn error(status: &str, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Self::Http(format!("{status}\r\nContent-Type: application/xml"), body.into_bytes())
    }
}

impl Answering {
    /// Answers each request by its number (from 1), its first line and headers.
    pub fn start(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || converse(connection, &seen, &*answer));
            }
        });
        Self { port, requests }
    }

    /// The first lines of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(
    connection: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &dyn Fn(usize, &str) -> Answer,
) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut connection = connection;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().unwrap());
        reader.by_ref().take(length).read_to_end(&mut Vec::new()).ok()?;
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(head.lines().next().unwrap_or_default().to_owned());
            seen.len()
        };
        let is_head = head.starts_with("HEAD ");
        match answer(number, &head) {
            Answer::Http(status, body) => {
                let length = body.len();
                write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").ok()?;
                if !is_head {
                    connection.write_all(&body).ok()?;
                }
            }
            Answer::Broken(status, body, cut) => {
                let length = body.len();
                write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").ok()?;
                connection.write_all(&body[..cut]).ok()?;
                let _ = connection.shutdown(std::net::Shutdown::Both);
                return None;
            }
            Answer::Silence => std::thread::sleep(std::time::Duration::from_mins(1)),
        }
    }
}

/// A proxy before a server on this machine that loses every `If-None-Match`. The server must not
/// look at signatures.
pub fn forgetful(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || forward(connection, server));
        }
    });
    port
}

/// One request, and its answer to the end of the connection.
fn forward(mut connection: TcpStream, server: u16) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "content-length" => length = line.split(':').nth(1)?.trim().parse().ok()?,
            "expect" => connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?,
            _ => {}
        }
        if !["if-none-match", "expect", "connection"].contains(&name.as_str()) {
            head.push_str(&line);
        }
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", server)).ok()?;
    write!(upstream, "{head}Connection: close\r\n\r\n").ok()?;
    std::io::copy(&mut reader.take(length), &mut upstream).ok()?;
    std::io::copy(&mut upstream, &mut connection).ok()?;
    Some(())
}
