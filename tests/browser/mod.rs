//! The console in a real browser: Debian's chromium, driven by playwright-core, against a sample city served by the real server.
//!
//! `console.mjs` is the case; it asks for things to happen ("DO publish") on standard output and this side does them. What it
//! cannot have (node, chromium, the npm package) is a loud skip. `VEDETTE_SHOTS=<folder>` keeps pictures of every page.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use collector::outbox::Outbox;
use collector::serve::{Shared, run, sample};
use tests::programs::{Running, installed};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Alerts the sample city starts with.
const ALERTS: usize = 2_000;

/// The folder with playwright-core and axe-core, installed once beside the build.
#[expect(clippy::disallowed_methods, reason = "a case fetches the tools it drives the browser with")]
fn modules() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    if folder.join("node_modules/playwright-core").is_dir() && folder.join("node_modules/axe-core").is_dir() {
        return Some(folder);
    }
    std::fs::create_dir_all(&folder).ok()?;
    let done = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "playwright-core@1", "axe-core@4"])
        .current_dir(&folder)
        .status();
    done.is_ok_and(|s| s.success()).then_some(folder)
}

/// A server of the sample city that can be stopped and started again on the same port.
struct Server {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    port: u16,
    stop: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl Server {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let shared = sample::city(collector::clock::now, ALERTS)?;
        let mut server = Self { shared, runtime, port: 0, stop: None };
        server.start()?;
        Ok(server)
    }
    fn start(&mut self) -> Result<()> {
        let listener = self.runtime.block_on(TcpListener::bind(("127.0.0.1", self.port)))?;
        self.port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel();
        let shared = self.shared.clone();
        let task = self.runtime.spawn(async move {
            let _ = run(shared, listener, None, async { drop(stopped.await) }).await;
        });
        self.stop = Some((stop, task));
        Ok(())
    }
    fn halt(&mut self) {
        if let Some((stop, task)) = self.stop.take() {
            let _ = stop.send(());
            let _ = self.runtime.block_on(task);
        }
    }
    /// Stores a new alert and tells it, as the engine's thread does.
    fn publish(&self, n: usize) -> Result<()> {
        let alert = sample::alert(n, self.shared.now());
        let stored = sample::store(&self.shared, &[alert], &[])?;
        Outbox::new(self.shared.feed.clone()).send(&stored);
        Ok(())
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a case starts the browser's driver")]
fn the_console_is_live_keyed_and_honest_about_its_age() -> Result<()> {
    if !installed("node") || !installed("npm") || !installed("chromium") {
        tests::skip("the browser case needs node, npm and chromium (apt-get install nodejs npm chromium)");
        return Ok(());
    }
    let Some(modules) = modules() else {
        tests::skip("npm could not install playwright-core and axe-core");
        return Ok(());
    };
    let mut server = Server::new()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/console.mjs");
    // Modules are found from the script's own folder upward, so a copy lies beside them.
    let copy = modules.join("console.mjs");
    std::fs::copy(&script, &copy)?;
    let profile = tempfile::tempdir()?;
    let mut child = Command::new("node")
        .arg(&copy)
        .env("BASE", format!("http://127.0.0.1:{}", server.port))
        .env("PASSWORD", sample::PASSWORD)
        .env("PROFILE", profile.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start node")?;
    let mut answers = child.stdin.take().context("stdin")?;
    let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut child = Running(child);
    let mut next = ALERTS;
    for line in lines {
        let line = line?;
        println!("{line}");
        match line.strip_prefix("DO ") {
            None => continue,
            Some("publish") => {
                server.publish(next)?;
                next += 1;
            }
            Some("halt") => server.halt(),
            Some("start") => server.start()?,
            Some(other) => anyhow::bail!("the script asks for '{other}'"),
        }
        writeln!(answers, "done")?;
    }
    ensure!(child.0.wait()?.success(), "the browser case failed; its words are above");
    server.halt();
    Ok(())
}
