//! A sentinel that says what it is given to say, for what real ones do only after seconds of gossip, and a server that
//! says the same to everybody, for those that cannot be had.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A listener that answers `SENTINEL get-master-addr-by-name` with a loopback port of one's choice, whatever the name,
/// or not at all. Gone with its handle.
#[derive(Debug)]
pub struct SentinelStub {
    port: u16,
    says: Arc<Mutex<Option<u16>>>,
    /// Changes whenever all connections are to end.
    cut: watch::Sender<u64>,
    listening: JoinHandle<()>,
}

impl SentinelStub {
    /// One that says that the master listens on this loopback port.
    ///
    /// # Panics
    ///
    /// Where no loopback port can be had.
    pub async fn saying(master: u16) -> Self {
        let (listener, port) = listen().await;
        let says = Arc::new(Mutex::new(Some(master)));
        let cut = watch::Sender::new(0);
        let (shared, cuts) = (Arc::clone(&says), cut.clone());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (says, mut cut) = (Arc::clone(&shared), cuts.subscribe());
                tokio::spawn(async move {
                    let reply = |words: &[String]| of_sentinel(words, &says);
                    tokio::select! {
                        () = answer(client, reply) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            port,
            says,
            cut,
            listening,
        }
    }

    /// `127.0.0.1:{port}`, as it stands in a list of sentinels.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on it says that the master listens on this port.
    pub fn say(&self, master: u16) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = Some(master);
    }

    /// From now on it cannot be reached: connections end before an answer.
    pub fn fall_silent(&self) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.cut.send_modify(|cut| *cut += 1);
    }
}

impl Drop for SentinelStub {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut.send_modify(|cut| *cut += 1);
    }
}

/// `None` where it is silent.
fn of_sentinel(words: &[String], says: &Mutex<Option<u16>>) -> Option<String> {
    let port = (*says.lock().unwrap_or_else(PoisonError::into_inner))?.to_string();
    let asks = words
        .iter()
        .any(|word| word.eq_ignore_ascii_case("get-master-addr-by-name"));
    Some(match (asks, words.first().map(String::as_str)) {
        (true, _) => format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len()),
        (false, Some("PING" | "ping")) => "+PONG\r\n".into(),
        _ => "+OK\r\n".into(),
    })
}

/// A listener that gives every command the same answer. Gone with its handle.
#[derive(Debug)]
pub struct ServerStub {
    port: u16,
    listening: JoinHandle<()>,
}

impl ServerStub {
    /// One that gives this answer, as it goes over the wire.
    ///
    /// # Panics
    ///
    /// Where no loopback port can be had.
    pub async fn saying(answer_to_all: impl Into<Arc<str>>) -> Self {
        let (listener, port) = listen().await;
        let said = answer_to_all.into();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let said = Arc::clone(&said);
                tokio::spawn(async move { answer(client, |_| Some(said.to_string())).await });
            }
        });
        Self { port, listening }
    }

    /// One that answers as the `INFO` of a Redis of this version does.
    ///
    /// # Panics
    ///
    /// As [`Self::saying`].
    pub async fn of_version(version: &str) -> Self {
        let info = format!("redis_version:{version}\r\n");
        Self::saying(format!("${}\r\n{info}\r\n", info.len())).await
    }

    /// `redis://127.0.0.1:{port}`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for ServerStub {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap_or_else(|error| panic!("no loopback port for a stub: {error}"));
    let at = listener
        .local_addr()
        .unwrap_or_else(|error| panic!("where does the stub listen? {error}"));
    (listener, at.port())
}

/// Ends the connection where there is no reply.
async fn answer(mut client: TcpStream, reply: impl Fn(&[String]) -> Option<String>) {
    let mut pending = Vec::new();
    while let Ok(1..) = client.read_buf(&mut pending).await {
        while let Some((words, length)) = command(&pending) {
            pending.drain(..length);
            let Some(reply) = reply(&words) else { return };
            if client.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The words of the first whole command, as clients send it, and how long it is.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.split_inclusive("\r\n");
    let (mut length, mut words) = (0, Vec::new());
    let head = rest.next().filter(|line| line.ends_with("\r\n"))?;
    length += head.len();
    let count: usize = head.strip_prefix('*')?.trim_end().parse().ok()?;
    for _ in 0..count {
        length += rest.next().filter(|line| line.ends_with("\r\n"))?.len();
        let word = rest.next().filter(|line| line.ends_with("\r\n"))?;
        length += word.len();
        words.push(word.trim_end().to_owned());
    }
    Some((words, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_says_what_it_is_given_and_nothing_once_it_is_silent() {
        let stub = SentinelStub::saying(1234).await;
        let ask = async || {
            let url = format!("redis://{}", stub.host());
            let client = redis::Client::open(url).ok()?;
            let mut link = client.get_multiplexed_async_connection().await.ok()?;
            let mut question = redis::cmd("SENTINEL");
            question.arg("get-master-addr-by-name").arg("any");
            question.query_async::<(String, u16)>(&mut link).await.ok()
        };
        assert_eq!(ask().await, Some(("127.0.0.1".into(), 1234)));
        stub.say(4321);
        assert_eq!(ask().await, Some(("127.0.0.1".into(), 4321)));
        stub.fall_silent();
        assert_eq!(ask().await, None);
    }
}
