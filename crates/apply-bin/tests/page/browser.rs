//! A real headless Chromium, driven over its own pipe: no port, no client library.
//!
//! The browser reads the DevTools protocol on descriptor 3 and answers on descriptor 4, one JSON
//! text after the other, each ended by a NUL byte. The shell lays standard input and output there.

use apply_tests::within;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::sleep,
};

/// Nothing of it goes anywhere but to the page: no updates, no sync, no first-run visits, and
/// every name but this machine's is unknown to it.
const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
];

/// A browser with one tab; gone, with its profile, when it is dropped.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    profile: PathBuf,
    session: String,
    last_id: u64,
    /// Sent by the browser and not looked at yet.
    events: VecDeque<Value>,
    /// Errors on the console, uncaught exceptions and what the browser itself complains of.
    pub(crate) complaints: Vec<String>,
    /// Every address that was asked for.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// Starts one and opens a tab that shows nothing yet.
    ///
    /// # Panics
    /// Where there is no Chromium: a test that needs one fails without.
    pub(crate) async fn open() -> Self {
        let profile = std::env::temp_dir().join(format!("apply-page-{}", unique()));
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(program())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .env("HOME", &profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start Chromium: {error}"));
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("Chromium was started without pipes");
        };
        let mut browser = Self {
            child,
            to,
            from: BufReader::new(from),
            profile,
            session: String::new(),
            last_id: 0,
            events: VecDeque::new(),
            complaints: Vec::new(),
            requests: Vec::new(),
        };
        let tab = browser
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attached = browser
            .call(
                "Target.attachToTarget",
                json!({"targetId": tab["targetId"], "flatten": true}),
            )
            .await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Goes to an address and waits until it is loaded.
    pub(crate) async fn visit(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({"url": url})).await;
        within("the page is loaded", async {
            while !self
                .events
                .drain(..)
                .any(|event| event["method"] == "Page.loadEventFired")
            {
                let message = self.receive().await;
                self.note(message);
            }
        })
        .await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let reply = self
            .call(
                "Runtime.evaluate",
                json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
            )
            .await;
        assert!(
            reply["exceptionDetails"].is_null(),
            "{expression}: {}",
            reply["exceptionDetails"]
        );
        reply["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&mut self, what: &str, expression: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.eval(expression).await != true {
            if Instant::now() > until {
                let shown = self.eval("document.body.innerText").await;
                panic!("waited in vain until {what}; the page shows {shown}");
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Presses a key.
    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "text": text,
                    "windowsVirtualKeyCode": code}),
            )
            .await;
        }
    }

    /// Pretends to be a screen of this width, dark or light.
    pub(crate) async fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640}),
        )
        .await;
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        )
        .await;
    }

    /// A call whose answer is waited for.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).await.unwrap();
        within(&format!("{method} is answered"), async {
            loop {
                let message = self.receive().await;
                if message["id"] == id {
                    assert!(message["error"].is_null(), "{method}: {message}");
                    break message["result"].clone();
                }
                self.note(message);
            }
        })
        .await
    }

    async fn receive(&mut self) -> Value {
        let mut text = Vec::new();
        self.from.read_until(0, &mut text).await.unwrap();
        assert_eq!(text.pop(), Some(0), "Chromium has gone away");
        serde_json::from_slice(&text).unwrap()
    }

    fn note(&mut self, event: Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.complaints.push(params["args"].to_string());
            }
            Some("Log.entryAdded")
                if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) =>
            {
                self.complaints.push(params["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
        self.events.push_back(event);
        // Enough to find a load event in; no test asks for older ones.
        if self.events.len() > 1000 {
            self.events.pop_front();
        }
    }

    /// How many bytes each address was, as sent.
    pub(crate) async fn sizes(&mut self) -> HashMap<String, u64> {
        let sizes = self
            .eval(
                "Object.fromEntries([...performance.getEntriesByType('navigation'),\
                 ...performance.getEntriesByType('resource')].map(e => [e.name, e.encodedBodySize]))",
            )
            .await;
        serde_json::from_value(sizes).unwrap()
    }

    /// Closes it and takes its profile away.
    pub(crate) async fn close(mut self) {
        self.session.clear();
        self.call("Browser.close", json!({})).await;
        let _ = within("Chromium has ended", self.child.wait()).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The process dies with its handle; what it still writes then is not read.
        let _ = self.child.start_kill();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn program() -> &'static str {
    let there = |name: &&&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join(name).is_file())
    };
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find(there)
        .unwrap_or_else(|| panic!("chromium is needed and not on PATH: apt-get install chromium"))
}

fn unique() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
