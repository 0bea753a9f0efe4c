//! The live feed over a real connection that keeps breaking: no gap, no duplicate, and an honest `resync` where it cannot.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use collector::outbox::Outbox;
use collector::serve::{Shared, run, sample};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The real server on a port of its own, for as long as it is held.
struct House {
    shared: Arc<Shared>,
    address: SocketAddr,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl House {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let shared = sample::empty(sample::clock)?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = shared.clone();
        runtime.spawn(async move {
            let _ = run(served, listener, None, async { drop(stopped.await) }).await;
        });
        let token = sample::token(&shared, api_role(), None)?;
        Ok(Self { shared, address, token, stop: Some(stop), runtime: Some(runtime) })
    }

    fn publish(&self, n: usize) -> Result<()> {
        let stored = sample::store(&self.shared, &[sample::alert(n, self.shared.now())], &[])?;
        Outbox::new(self.shared.feed.clone()).send(&stored);
        Ok(())
    }

    /// Opens the feed after a position; the body as lines.
    fn open(&self, after: &str) -> Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET /api/v1/feed HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nlast-event-id: {after}\r\n\r\n", self.token)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(line.contains("200"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        Ok(reader)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn api_role() -> collector::serve::Role {
    collector::serve::Role::Viewer
}

/// The next (id, event name, alert id) of a feed; chunk sizes and comments between are passed over.
fn next(reader: &mut impl BufRead) -> Result<(String, String, String)> {
    let (mut id, mut name) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the feed ended");
        let line = line.trim_end();
        if let Some(text) = line.strip_prefix("id: ") {
            text.clone_into(&mut id);
        } else if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data: ") {
            let told: serde_json::Value = serde_json::from_str(text)?;
            return Ok((id, name, told["alert"]["id"].as_str().unwrap_or("").to_owned()));
        }
    }
}

#[test]
fn twenty_cuts_in_a_burst_lose_nothing_and_double_nothing() -> Result<()> {
    const TOLD: usize = 200;
    let house = House::new()?;
    let mut position = house.shared.feed.position(&collector::store::Scope::CITY)?.to_string();
    let (mut seen, mut cuts) = (Vec::new(), 0);
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| (0..TOLD).try_for_each(|n| house.publish(n)));
        while seen.len() < TOLD {
            let mut reader = house.open(&position)?;
            // A different length of life each time; what was sent beyond it is lost with the connection.
            for _ in 0..(7 + cuts % 5).min(TOLD - seen.len()) {
                let (id, name, alert) = next(&mut reader)?;
                ensure!(name == "alert", "{name}");
                position = id;
                seen.push(alert);
            }
            cuts += 1;
        }
        writer.join().ok().context("the writer panicked")?
    })?;
    let want: Vec<String> = (0..TOLD).map(|n| sample::alert(n, house.shared.now()).id.0).collect();
    assert_eq!(seen, want);
    assert!(cuts >= 20, "{cuts}");
    Ok(())
}

#[test]
fn who_comes_back_too_late_is_told_so_and_goes_on() -> Result<()> {
    let house = House::new()?;
    let start = house.shared.feed.position(&collector::store::Scope::CITY)?.to_string();
    for n in 0..1_100 {
        house.shared.feed.publish(collector::outbox::alert_item(&sample::alert(n, house.shared.now())));
    }
    let mut reader = house.open(&start)?;
    let (id, name, _) = next(&mut reader)?;
    assert_eq!((name.as_str(), id.split('-').nth(1)), ("resync", Some("1100")));
    house.publish(1_100)?;
    let (id, name, alert) = next(&mut reader)?;
    assert_eq!((name.as_str(), id.split('-').nth(1)), ("alert", Some("1101")));
    assert_eq!(alert, sample::alert(1_100, house.shared.now()).id.0);
    Ok(())
}
