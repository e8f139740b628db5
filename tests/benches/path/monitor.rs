//! Every command the service sends, as Redis sees them.

use redis_harness::RedisServer;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// `MONITOR` on a connection of its own, read by a thread so that nothing waits for it.
pub(crate) struct Monitor {
    lines: Receiver<String>,
}

/// One command.
pub(crate) struct Seen {
    /// The client's address, or `lua` for what a script did.
    pub(crate) from: String,
    pub(crate) text: String,
}

impl Monitor {
    pub(crate) fn start(server: &RedisServer) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        socket.write_all(b"MONITOR\r\n").unwrap();
        let mut reader = BufReader::new(socket);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        assert!(first.starts_with("+OK"), "{first}");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in reader.lines() {
                let Ok(line) = line else { return };
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// Everything seen up to now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            seen.extend(read(&line));
        }
        seen
    }
}

/// `+1769301008.977123 [0 127.0.0.1:5000] "EVALSHA" "…"`
fn read(line: &str) -> Option<Seen> {
    let (_, rest) = line.strip_prefix('+')?.split_once(" [")?;
    let (from, text) = rest.split_once("] ")?;
    let (_, from) = from.split_once(' ')?;
    Some(Seen {
        from: from.to_owned(),
        text: text.to_owned(),
    })
}

/// How often each command was sent by the clients at `addresses`' complement: everybody but us.
pub(crate) fn sent_by_others(seen: &[Seen], ours: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for command in seen {
        if command.from == "lua" || ours.contains(&command.from) {
            continue;
        }
        let name = command.text.split('"').nth(1).unwrap_or_default();
        *counts.entry(name.to_ascii_uppercase()).or_insert(0) += 1;
    }
    counts
}
