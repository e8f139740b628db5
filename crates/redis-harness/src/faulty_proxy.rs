//! A proxy to an HTTP server that loses, cuts or delays one question in three: by chance, at the level of the connection.

use std::{
    collections::BTreeMap,
    fmt,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// A loopback port that leads to an HTTP server. A `GET` in three meets a fault, each kind as often as the others; all else
/// goes through. Gone with its handle.
#[derive(Debug)]
pub struct FaultyProxy {
    port: u16,
    met: Arc<Met>,
    listening: JoinHandle<()>,
}

/// What happens to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It goes through.
    Through,
    /// It is lost without a word, with all that follows on its connection, which stays open.
    Dropped,
    /// It arrives, and its answer is lost the same way.
    AnswerDropped,
    /// Its connection is reset before it arrives.
    Reset,
    /// It arrives, and its connection is reset instead of its answer.
    AnswerReset,
    /// It waits for up to a second and a half.
    Delayed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Through => "through",
            Self::Dropped => "dropped",
            Self::AnswerDropped => "answer dropped",
            Self::Reset => "reset",
            Self::AnswerReset => "answer reset",
            Self::Delayed => "delayed",
        })
    }
}

/// Dropped, reset and delayed are as often as each other.
const FAULTS: [Fate; 6] = [
    Fate::Dropped,
    Fate::AnswerDropped,
    Fate::Reset,
    Fate::AnswerReset,
    Fate::Delayed,
    Fate::Delayed,
];

/// In milliseconds.
const LONGEST_DELAY: u64 = 1500;

/// What the questions met, and the chance that decides.
#[derive(Debug)]
struct Met {
    seed: u64,
    thrown: AtomicU64,
    fates: Mutex<BTreeMap<Fate, u64>>,
}

impl Met {
    /// The next number; the same seed gives the same row (splitmix64).
    fn throw(&self, below: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let n = self.thrown.fetch_add(1, Ordering::Relaxed);
        let mut z = self.seed.wrapping_add(STEP.wrapping_mul(n + 1));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    /// What happens to the next question, and how long it waits.
    fn next(&self) -> (Fate, Duration) {
        let fate = match self.throw(3) {
            0 => FAULTS[usize::try_from(self.throw(FAULTS.len() as u64)).unwrap_or(0)],
            _ => Fate::Through,
        };
        let delay = match fate {
            Fate::Delayed => Duration::from_millis(self.throw(LONGEST_DELAY)),
            _ => Duration::ZERO,
        };
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        *fates.entry(fate).or_default() += 1;
        (fate, delay)
    }
}

impl FaultyProxy {
    /// To the server on this loopback port.
    ///
    /// # Panics
    ///
    /// Where no loopback port can be had.
    pub async fn to(server: u16, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap_or_else(|error| panic!("no loopback port for a proxy: {error}"));
        let port = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("where does the proxy listen? {error}"))
            .port();
        let met = Arc::new(Met {
            seed,
            thrown: AtomicU64::new(0),
            fates: Mutex::default(),
        });
        let shared = Arc::clone(&met);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let met = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await {
                        carry(client, server, &met).await;
                    }
                });
            }
        });
        Self {
            port,
            met,
            listening,
        }
    }

    /// Where it begins, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many questions met which fate so far.
    pub fn fates(&self) -> BTreeMap<Fate, u64> {
        let fates = self.met.fates.lock();
        fates.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One connection. A client that sends a request at a time begins each with bytes of their own.
async fn carry(mut client: TcpStream, mut server: TcpStream, met: &Met) {
    let mut fate = Fate::Through;
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &asked[..length];
                if bytes.starts_with(b"GET ") {
                    let delay;
                    (fate, delay) = met.next();
                    match fate {
                        Fate::Dropped => return dead(client).await,
                        Fate::Reset => return drop(client.set_zero_linger()),
                        Fate::Delayed => sleep(delay).await,
                        Fate::Through | Fate::AnswerDropped | Fate::AnswerReset => {}
                    }
                } else if bytes.starts_with(b"POST ") || bytes.starts_with(b"DELETE ") {
                    fate = Fate::Through;
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                match fate {
                    Fate::AnswerDropped => return dead(client).await,
                    Fate::AnswerReset => return drop(client.set_zero_linger()),
                    _ => {}
                }
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Stays open and says nothing, until the client gives up.
async fn dead(mut client: TcpStream) {
    let mut heard = [0; 1024];
    while let Ok(1..) = client.read(&mut heard).await {}
}
