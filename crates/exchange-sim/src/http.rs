//! Just enough HTTP/1.1 on a bare socket: requests with a Content-Length in, replies out.
//!
//! The venue writes its bytes itself because its faults are about bytes: a reset after execution, a body that
//! stops half-way, one byte at a time. Chunked request bodies are refused (411).

use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MAX_HEAD: usize = 32 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 64;

/// One request, read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Everything after `?`, exactly as sent.
    pub(crate) query: String,
    /// Exactly as sent.
    pub(crate) body: String,
    pub(crate) api_key: Option<String>,
    pub(crate) keep_alive: bool,
    /// Whether the client waits to be asked for the body (`Expect: 100-continue`).
    pub(crate) expects_continue: bool,
}

impl Request {
    /// Query and body as one text, joined the way a reader expects.
    pub(crate) fn joined_parameters(&self) -> String {
        match (self.query.is_empty(), self.body.is_empty()) {
            (_, true) => self.query.clone(),
            (true, false) => self.body.clone(),
            (false, false) => format!("{}&{}", self.query, self.body),
        }
    }
}

/// Why no request came out of a connection.
#[derive(Debug)]
pub(crate) enum NoRequest {
    /// The peer went away between requests, or in the middle of one.
    Gone,
    /// What came was not a request we read; answer with this and close.
    Bad(Reply),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the next request. `buffer` keeps what came after it for the next call.
///
/// Not safe to drop half-way and call again, except while it waits for a request's first byte.
pub(crate) async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Result<Request, NoRequest> {
    let (mut request, head_length, body_length) = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        if buffer.len() > MAX_HEAD {
            return Err(NoRequest::Bad(Reply::plain(431, "head too large")));
        }
        fill(stream, buffer).await?;
    };
    let end = head_length + body_length;
    if request.expects_continue && buffer.len() < end {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while buffer.len() < end {
        fill(stream, buffer).await?;
    }
    let body = buffer.get(head_length..end).unwrap_or_default();
    request.body = match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        Err(_) => return Err(NoRequest::Bad(Reply::plain(400, "body is not UTF-8"))),
    };
    buffer.drain(..end);
    Ok(request)
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), NoRequest> {
    match stream.read_buf(buffer).await? {
        0 => Err(NoRequest::Gone),
        _ => Ok(()),
    }
}

type Head = (Request, usize, usize);

fn parse_head(buffer: &[u8]) -> Result<Option<Head>, NoRequest> {
    let bad = |text: &str| NoRequest::Bad(Reply::plain(400, text));
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&format!("not an HTTP request: {error}"))),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        body: String::new(),
        api_key: None,
        keep_alive: parsed.version == Some(1),
        expects_continue: false,
    };
    let mut body_length = 0;
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value)
            .map_err(|_| bad("a header is not text"))?
            .trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            body_length = value
                .parse()
                .map_err(|_| bad("Content-Length is not a number"))?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(NoRequest::Bad(Reply::plain(411, "send a Content-Length")));
        } else if header.name.eq_ignore_ascii_case("expect") {
            request.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if header.name.eq_ignore_ascii_case("x-mbx-apikey") {
            request.api_key = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case("connection") {
            if value.eq_ignore_ascii_case("close") {
                request.keep_alive = false;
            } else if value.eq_ignore_ascii_case("keep-alive") {
                request.keep_alive = true;
            }
        }
    }
    if body_length > MAX_BODY {
        return Err(NoRequest::Bad(Reply::plain(413, "body too large")));
    }
    Ok(Some((request, head_length, body_length)))
}

/// A reply before it is bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: String) -> Self {
        Self {
            status,
            headers: vec![(
                "Content-Type".into(),
                "application/json;charset=UTF-8".into(),
            )],
            body,
        }
    }

    pub(crate) fn plain(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "text/plain".into())],
            body: format!("{body}\n"),
        }
    }

    /// The same reply with these fields of its body, or of each entry of it, overwritten. A body that is no JSON stays as
    /// it is.
    pub(crate) fn altered(mut self, fields: &BTreeMap<String, Value>) -> Self {
        let Ok(mut body) = serde_json::from_str::<Value>(&self.body) else {
            return self;
        };
        let entries = match &mut body {
            Value::Array(entries) => entries.as_mut_slice(),
            single => std::slice::from_mut(single),
        };
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            for (name, value) in fields {
                match value {
                    Value::Null => drop(entry.remove(name)),
                    value => drop(entry.insert(name.clone(), value.clone())),
                }
            }
        }
        self.body = body.to_string();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: String) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Status line and headers, with the length of the whole body.
    pub(crate) fn head(&self, keep_alive: bool) -> String {
        let mut head = String::with_capacity(256 + self.body.len());
        // Writing into a String cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        if !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unnamed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_is_read_only_once_it_is_whole() {
        let whole =
            b"POST /fapi/v1/order?a=1 HTTP/1.1\r\nX-MBX-APIKEY: k\r\ncontent-length: 3\r\n\r\nb=2";
        for end in 0..whole.len() - 3 {
            assert!(parse_head(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let (request, head, body) = parse_head(whole).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/fapi/v1/order")
        );
        assert_eq!(request.query, "a=1");
        assert_eq!(request.api_key.as_deref(), Some("k"));
        assert!(request.keep_alive);
        assert_eq!((head, body), (whole.len() - 3, 3));
    }

    #[test]
    fn what_is_not_a_request_is_answered_and_never_panics() {
        for text in [
            "\0\0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(
                matches!(parse_head(text.as_bytes()), Err(NoRequest::Bad(_))),
                "{text}"
            );
        }
    }
}
