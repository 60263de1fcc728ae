//! A proxy before a server on this machine that looks at every request and every answer, and may
//! change either. Signatures stay right, for nothing that is signed is touched unasked.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

/// A request, whole.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// The path and what stands after it, as they came.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer, whole.
pub struct Response {
    /// `200 OK`
    pub status: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What becomes of a request.
pub enum Turn {
    /// It goes to the server.
    Forward,
    /// It is answered here.
    Answer(Response),
    /// The connection ends without an answer.
    HangUp,
}

/// What becomes of an answer.
pub enum Way {
    /// It goes back.
    Whole,
    /// The connection ends after that many bytes of the body; without any, before all of it.
    Cut(Option<usize>),
}

/// What stands between.
pub trait Between: Send + Sync + 'static {
    /// Looks at a request before it goes on.
    fn asked(&self, request: &mut Request) -> Turn;

    /// Looks at an answer before it goes back.
    fn answered(&self, _request: &Request, _response: &mut Response) -> Way {
        Way::Whole
    }
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter of the query; empty where it stands there without a value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

impl Response {
    /// An S3 error.
    pub fn error(status: &str, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code>\
             <Message>{message}</Message></Error>"
        );
        Self {
            status: status.to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/xml".to_owned())],
            body: body.into_bytes(),
        }
    }
}

/// Starts one before the server on that port, and tells its own port. Its threads end with the process.
pub fn start(server: u16, between: Arc<dyn Between>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    serve(listener, server, between);
    port
}

/// The same on a listener that is there.
pub fn serve(listener: TcpListener, server: u16, between: Arc<dyn Between>) {
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let between = Arc::clone(&between);
            std::thread::spawn(move || converse(connection, server, &*between));
        }
    });
}

fn converse(connection: TcpStream, server: u16, between: &dyn Between) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut request = read_request(&mut reader, &mut writer)?;
        let mut response = match between.asked(&mut request) {
            Turn::Answer(response) => response,
            Turn::HangUp => {
                let _ = writer.shutdown(Shutdown::Both);
                return None;
            }
            Turn::Forward => forward(&request, server)?,
        };
        let way = between.answered(&request, &mut response);
        let is_head = request.method == "HEAD";
        let mut head = format!("HTTP/1.1 {}\r\n", response.status);
        for (name, value) in &response.headers {
            let hop = ["connection", "transfer-encoding", "keep-alive"];
            let length = name.eq_ignore_ascii_case("content-length");
            if hop.iter().all(|hop| !name.eq_ignore_ascii_case(hop)) && (is_head || !length) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !is_head {
            head.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
        }
        if let Way::Cut(None) = way {
            let _ = writer.shutdown(Shutdown::Both);
            return None;
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if let Way::Cut(Some(bytes)) = way {
            writer.write_all(&response.body[..bytes.min(response.body.len())]).ok()?;
            let _ = writer.shutdown(Shutdown::Both);
            return None;
        }
        if !is_head {
            writer.write_all(&response.body).ok()?;
        }
    }
}

fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> Option<Request> {
    let (first, headers) = read_head(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, target, headers, body: Vec::new() };
    if request.header("expect").is_some() {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length: u64 = request.header("content-length").unwrap_or("0").parse().ok()?;
    let read = reader.take(length).read_to_end(&mut request.body).ok()?;
    (read as u64 == length).then_some(request)
}

/// The first line, and the headers.
fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some((first.trim_end().to_owned(), headers));
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// The server's answer. Asked in HTTP/1.0, it sends no chunks and ends with the connection.
fn forward(request: &Request, server: u16) -> Option<Response> {
    let mut head = format!("{} {} HTTP/1.0\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        let left_out = ["expect", "connection", "content-length"];
        if left_out.iter().all(|out| !name.eq_ignore_ascii_case(out)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if !request.body.is_empty() || ["PUT", "POST"].contains(&request.method.as_str()) {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", server)).ok()?;
    upstream.set_nodelay(true).ok()?;
    upstream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    upstream.write_all(&request.body).ok()?;
    let mut reader = BufReader::new(upstream);
    let (first, headers) = read_head(&mut reader)?;
    let status = first.split_once(' ')?.1.to_owned();
    let mut body = Vec::new();
    if request.method != "HEAD" {
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match length {
            Some((_, length)) => {
                reader.take(length.parse().ok()?).read_to_end(&mut body).ok()?;
            }
            None => {
                reader.read_to_end(&mut body).ok()?;
            }
        }
    }
    Some(Response { status, headers, body })
}
