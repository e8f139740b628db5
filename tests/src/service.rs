//! The real binary as a process: started, watched, signalled, never left behind.

use crate::{
    program::apply_layer,
    wait::{eventually, within},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How the program is started. Its environment is what is said here and nothing else, but for a
/// state directory of its own; clones are the same machine's and share it.
#[derive(Debug, Clone)]
pub struct ServiceBuilder {
    state: Arc<StateDir>,
    program: Option<PathBuf>,
    before: Vec<String>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl ServiceBuilder {
    /// `apply-layer run` with an empty environment.
    pub fn bare() -> Self {
        Self::command(&["run"])
    }

    /// `apply-layer` with these arguments and an empty environment.
    pub fn command(arguments: &[&str]) -> Self {
        let state = Arc::new(StateDir::new());
        let directory = state.0.display().to_string();
        Self {
            state,
            program: None,
            before: Vec::new(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            environment: [("APPLY_STATE_DIR".to_owned(), directory)].into(),
        }
    }

    /// Other arguments in the same environment and on the same state directory.
    pub fn instead(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        self
    }

    /// Where it keeps what it has to remember.
    pub fn state_directory(&self) -> &Path {
        &self.state.0
    }

    /// Another build of the program.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Starts it through another program, which is given its path and its arguments.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.before = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// So that [`Service::fill_disk`] makes its writes fail instead of ending it.
    pub fn whose_disk_may_fill(self) -> Self {
        self.through(&["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#])
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Takes a variable away.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// The variables that are set.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.environment.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Starts it.
    pub async fn start(self) -> Service {
        Service::spawn(self)
    }

    /// Starts it and waits until it follows the proposals.
    pub async fn ready(self) -> Service {
        let service = self.start().await;
        service.line("Ready: following").await;
        service
    }

    /// Starts it and waits until it has ended.
    pub async fn ended(self) -> Ended {
        self.start().await.ended().await
    }
}

/// A running service. Dropping it kills it; a test that fails shows its log.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: Capture,
    errors: Capture,
    _state: Arc<StateDir>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Standard output, line by line.
    pub log: Vec<String>,
    /// Standard error, line by line.
    pub errors: Vec<String>,
}

impl Ended {
    /// Both outputs as one text.
    pub fn output(&self) -> String {
        [self.log.join("\n"), self.errors.join("\n")].join("\n")
    }
}

impl Service {
    /// Starts it, and does not wait for it to be ready.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    pub fn spawn(how: ServiceBuilder) -> Self {
        let program = how.program.as_deref().unwrap_or_else(|| apply_layer());
        let mut words: Vec<&OsStr> = how.before.iter().map(OsStr::new).collect();
        words.push(program.as_os_str());
        let start = |mut command: Command| {
            command
                .args(&how.arguments)
                .env_clear()
                .envs(&how.environment)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        };
        // Dies with the test's thread, however that ends; where that cannot be had, with this handle.
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL"]).args(&words);
        let mut bare = Command::new(words[0]);
        bare.args(&words[1..]);
        let mut child = start(tied)
            .or_else(|_| start(bare))
            .unwrap_or_else(|error| panic!("cannot start the service: {error}"));
        let log = Capture::of(child.stdout.take());
        let errors = Capture::of(child.stderr.take());
        Self {
            child,
            log,
            errors,
            _state: how.state,
        }
    }

    /// The first line of the log with this text in it, once it is there.
    pub async fn line(&self, text: &str) -> String {
        self.line_with(&[text]).await
    }

    /// The first line of the log with all of these texts in it, once it is there.
    pub async fn line_with(&self, texts: &[&str]) -> String {
        let mut lines = self.log.lines.subscribe();
        let wanted = |line: &&String| texts.iter().all(|text| line.contains(text));
        within(&format!("the log says {texts:?}"), async {
            let found = lines.wait_for(|lines| lines.iter().any(|line| wanted(&line)));
            let found = found
                .await
                .unwrap_or_else(|_| panic!("the log ended without {texts:?}"));
            found.iter().find(wanted).cloned().unwrap_or_default()
        })
        .await
    }

    /// Whether the log came to say this; no where the service ended without.
    pub async fn says(&self, text: &str) -> bool {
        let mut lines = self.log.lines.subscribe();
        within(&format!("the log says {text:?} or ends"), async {
            loop {
                let over = self.log.is_over();
                if lines.borrow().iter().any(|line| line.contains(text)) {
                    return true;
                }
                if over {
                    return false;
                }
                // What is over says nothing more; a pause shows it.
                let _ = timeout(Duration::from_millis(50), lines.changed()).await;
            }
        })
        .await
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The most memory it has had at any moment, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.of_status("VmHWM:")
    }

    /// A figure of its process's status, in KiB.
    fn of_status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap_or_default());
        let status = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {status}"))
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What was logged up to now.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.borrow().clone()
    }

    /// The page under `/metrics`.
    pub async fn metrics(&self) -> String {
        self.page("/metrics").await
    }

    /// What is answered under this path.
    pub async fn page(&self, path: &str) -> String {
        get(self.address().await, path).await
    }

    /// Where its page is.
    pub async fn address(&self) -> SocketAddr {
        let line = self.line("Metrics on http://").await;
        line.split_once("http://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(address, _)| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// The value of one series, spelled with its labels as on the page; `None` where it is not there.
    pub async fn metric(&self, series: &str) -> Option<String> {
        let page = self.metrics().await;
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .map(str::to_owned)
    }

    /// Waits until a series has this value.
    pub async fn metric_is(&self, series: &str, value: &str) {
        within(&format!("{series} is {value}"), async {
            while self.metric(series).await.as_deref() != Some(value) {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// From now on no file of it can grow or be changed, as on a disk without room.
    pub async fn fill_disk(&self) {
        let Some(id) = self.child.id() else {
            panic!("a full disk for a service that has ended");
        };
        let status = Command::new("prlimit")
            .args(["--pid", &id.to_string(), "--fsize=0:0"])
            .status()
            .await;
        assert!(
            status.is_ok_and(|status| status.success()),
            "prlimit cannot limit {id}"
        );
    }

    /// What `/readyz?verbose` says once it has this status, `503`, and this text is in it.
    pub async fn readiness(&self, status: &str, text: &str) -> String {
        let address = self.address().await;
        within(&format!("/readyz is {status} with {text}"), async {
            loop {
                let (head, body) = ask(address, "/readyz?verbose").await;
                if head.starts_with(&format!("HTTP/1.1 {status}")) && body.contains(text) {
                    return body;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Sends a signal by name. The shell's own `kill` needs neither unsafe code nor a package.
    pub async fn signal(&self, name: &str) {
        let Some(id) = self.child.id() else {
            panic!("{name} to a service that has ended");
        };
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .status()
            .await;
        assert!(
            status.is_ok_and(|status| status.success()),
            "cannot send {name} to {id}"
        );
    }

    /// Waits until it has ended by itself.
    pub async fn ended(mut self) -> Ended {
        let status: ExitStatus = within("the service has ended", self.child.wait())
            .await
            .unwrap_or_else(|error| panic!("how did it end? {error}"));
        // The rest of what it said is still in the pipes.
        eventually("its output is read", || {
            self.log.is_over() && self.errors.is_over()
        })
        .await;
        Ended {
            code: status.code(),
            signal: status.signal(),
            log: self.log(),
            errors: self.errors.lines.borrow().clone(),
        }
    }

    /// SIGTERM, and waits until it has ended.
    pub async fn stopped(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await
    }

    /// SIGTERM; it has to end well.
    pub async fn stopped_well(self) -> Ended {
        let ended = self.stopped().await;
        assert_eq!(ended.code, Some(0), "{}", ended.output());
        ended
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the service's log:\n{}", self.log().join("\n"));
            eprintln!("{}", self.errors.lines.borrow().join("\n"));
        }
    }
}

/// Lines as they come.
#[derive(Debug)]
struct Capture {
    lines: watch::Sender<Vec<String>>,
    reading: JoinHandle<()>,
}

impl Capture {
    fn of(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let Some(pipe) = pipe else {
            panic!("the service was started without pipes");
        };
        let lines = watch::Sender::new(Vec::new());
        let sink = lines.clone();
        let reading = tokio::spawn(async move {
            let mut source = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = source.next_line().await {
                sink.send_modify(|lines| lines.push(line));
            }
        });
        Self { lines, reading }
    }

    fn is_over(&self) -> bool {
        self.reading.is_finished()
    }
}

/// A page over bare HTTP, which has to be there.
async fn get(address: SocketAddr, path: &str) -> String {
    let (head, body) = ask(address, path).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body
}

/// What is answered over bare HTTP, head and body.
async fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let ask = async {
        let mut socket = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        socket.read_to_string(&mut reply).await?;
        std::io::Result::Ok(reply)
    };
    let reply = within("the page is there", ask)
        .await
        .unwrap_or_else(|error| panic!("no page {path}: {error}"));
    let Some((head, body)) = reply.split_once("\r\n\r\n") else {
        panic!("no HTTP: {reply}");
    };
    (head.to_owned(), body.to_owned())
}

/// A directory that is removed when it is dropped.
#[derive(Debug)]
struct StateDir(PathBuf);

impl StateDir {
    /// Only named here: the program makes it.
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("apply-state-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // One that was never made is gone already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
