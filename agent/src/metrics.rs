//! The local page for metrics and health: answers `GET /metrics`, `/-/healthy` and `/-/ready`, and nothing else.
//!
//! By hand, because there is so little of it: a request head of at most 4 KiB is read within 5 s, its first line decides, everything behind it
//! is ignored, the answer closes the connection. At most `CONNECTIONS_MAX` at a time; the others are closed unanswered.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::config::Listen;

const HEAD_BYTES_MAX: usize = 4096;
const CONNECTIONS_MAX: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);

/// What the page shows.
pub trait Page: Send + Sync + 'static {
    /// Metrics in the text format.
    fn metrics(&self) -> String;
    /// `Err` says in a line what is wrong.
    fn healthy(&self) -> Result<String, String>;
    fn ready(&self) -> Result<String, String>;
}

/// Serves until the task is dropped.
pub async fn serve(listen: Listen, page: Arc<impl Page>) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    match listen {
        Listen::Off => std::future::pending().await,
        Listen::Loopback(address) => {
            let listener = tokio::net::TcpListener::bind(address).await?;
            accept(places, page, || async { listener.accept().await.map(|(stream, _)| stream) }).await
        }
        Listen::Unix(path) => {
            let listener = bind_unix(&path)?;
            accept(places, page, || async { listener.accept().await.map(|(stream, _)| stream) }).await
        }
    }
}

/// A socket left behind by an earlier life is removed; anything else of that name is not.
fn bind_unix(path: &PathBuf) -> std::io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    tokio::net::UnixListener::bind(path)
}

async fn accept<S, F>(places: Arc<Semaphore>, page: Arc<impl Page>, next: impl Fn() -> F) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = std::io::Result<S>>,
{
    loop {
        let stream = match next().await {
            Ok(stream) => stream,
            Err(_) => {
                // No descriptor left, most likely: others need the time more than this page does.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let page = page.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(PATIENCE, answer(stream, page.as_ref())).await;
        });
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, page: &impl Page) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(512);
    let mut chunk = [0u8; 512];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut chunk).await? {
            0 => break,
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    let whole = head.windows(4).any(|w| w == b"\r\n\r\n");
    let text = if whole { respond(&head, page) } else { reply("400 Bad Request", "text/plain", "not a request\n") };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// The whole answer to a request head.
fn respond(head: &[u8], page: &impl Page) -> String {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let line = head.split(|b| *b == b'\r').next().and_then(|l| std::str::from_utf8(l).ok()).unwrap_or("");
    let mut words = line.split(' ');
    let (method, target, version) = (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
    if !version.starts_with("HTTP/1.") || words.next().is_some() {
        return reply("400 Bad Request", PLAIN, "not an HTTP/1 request\n");
    }
    if method != "GET" {
        return reply("405 Method Not Allowed", PLAIN, "only GET\n");
    }
    let state = |result: Result<String, String>| match result {
        Ok(text) => reply("200 OK", PLAIN, &format!("{text}\n")),
        Err(text) => reply("503 Service Unavailable", PLAIN, &format!("{text}\n")),
    };
    match target {
        "/metrics" => reply("200 OK", telemetry::CONTENT_TYPE, &page.metrics()),
        "/-/healthy" => state(page.healthy()),
        "/-/ready" => state(page.ready()),
        _ => reply("404 Not Found", PLAIN, "here are /metrics, /-/healthy and /-/ready\n"),
    }
}

fn reply(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Page for Fixed {
        fn metrics(&self) -> String {
            "x 1\n".to_owned()
        }
        fn healthy(&self) -> Result<String, String> {
            Ok("ok".to_owned())
        }
        fn ready(&self) -> Result<String, String> {
            Err("not enrolled".to_owned())
        }
    }

    fn status(request: &str) -> String {
        respond(request.as_bytes(), &Fixed).lines().next().unwrap().to_owned()
    }

    #[test]
    fn three_pages_and_nothing_else() {
        assert_eq!(
            respond(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", &Fixed),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 4\r\nConnection: close\r\n\r\nx 1\n"
        );
        assert_eq!(status("GET /-/healthy HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(status("GET /-/ready HTTP/1.0\r\n\r\n"), "HTTP/1.1 503 Service Unavailable");
        assert_eq!(status("GET /etc/passwd HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
        for bad in ["", "GET", "GET /metrics", "GET /metrics HTTP/2\r\n", "GET /metrics HTTP/1.1 x\r\n", "\u{0}\u{1}\r\n\r\n"] {
            assert_eq!(status(bad), "HTTP/1.1 400 Bad Request", "{bad:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_head_without_an_end_is_cut_off() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let serving = tokio::spawn(async move { answer(server, &Fixed).await });
        client.write_all(&vec![b'a'; HEAD_BYTES_MAX + 10]).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400 "));
        serving.await.unwrap().unwrap();
    }
}
