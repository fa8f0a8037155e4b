//! A browser that nobody looks at, told what to do as a user would: WebDriver (W3C), JSON over HTTP to `chromedriver`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Keys without a letter, by their WebDriver code points.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const UP: &str = "\u{e013}";
pub(crate) const PAGE_DOWN: &str = "\u{e00f}";

/// Ended with the test, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One window. Its profile lies in a folder of its own and goes with it.
pub(crate) struct Browser {
    port: u16,
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a window of this size; what it saves goes to `downloads`. `None` where there is no browser to be had.
    pub(crate) fn open(size: [u32; 2], downloads: &Path) -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match started {
            Ok(child) => Process(child),
            Err(error) => {
                #[expect(clippy::print_stderr, reason = "a skipped test is never silent")]
                {
                    eprintln!("not run: chromedriver cannot be started ({error}); ./x test installs it and Chromium");
                }
                return None;
            }
        };
        let mut lines = BufReader::new(driver.0.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--autoplay-policy=no-user-gesture-required".to_owned(),
            format!("--window-size={},{}", size[0], size[1]),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut browser =
            Self { port: port.expect("chromedriver says its port"), session: String::new(), _driver: driver, _profile: profile };
        let capabilities = json!({ "alwaysMatch": { "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } } });
        let session = browser.ask("POST", "/session", &json!({ "capabilities": capabilities }));
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        let params = json!({ "behavior": "allow", "downloadPath": downloads });
        browser.post("/goog/cdp/execute", &json!({ "cmd": "Browser.setDownloadBehavior", "params": params }));
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.send(method, path, body).unwrap();
        assert!(value["error"].is_null(), "{method} {path} {body}: {value:#}");
        value
    }

    /// One request of its own connection.
    fn send(&self, method: &str, path: &str, body: &Value) -> io::Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let (port, length) = (self.port, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line?.to_ascii_lowercase();
            if let Some(n) = line.strip_prefix("content-length:") {
                length = n.trim().parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes)?;
        Ok(serde_json::from_slice::<Value>(&bytes)?["value"].take())
    }

    /// One command to the window (WebDriver, and Chromium's own).
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), body)
    }

    pub(crate) fn go(&self, file: &Path) {
        self.post("/url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Keys, one after the other.
    pub(crate) fn press(&self, keys: &str) {
        let press = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// What an expression in the page comes to; a promise is waited for.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] }))
    }

    /// The text of the first element that matches.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        text.as_str().unwrap().to_owned()
    }

    /// Looks again until an expression in the page is true.
    pub(crate) fn until(&self, expression: &str) {
        let since = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            let (seen, said) = (self.text("body"), self.complaints());
            assert!(since.elapsed() < Duration::from_secs(30), "not within 30 s: {expression}\n{seen}\n{said:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the page's console said: errors, and whatever was asked of the network.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Only a driver that is told to takes its browser along; a test that failed has said why.
        let _ = self.send("DELETE", &self.session, &Value::Null);
    }
}
