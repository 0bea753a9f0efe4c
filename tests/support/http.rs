//! A few lines of HTTP/1.1 for the cases: enough for our own API on loopback, nothing more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A caller with an API token.
#[derive(Debug, Clone)]
pub struct Client {
    pub server: SocketAddr,
    pub token: String,
}

/// Status and body of an answer, and the cookie it set.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub cookie: String,
}

impl Client {
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, "", None)
    }

    pub fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        self.send("POST", path, "", Some(body))
    }

    /// The body of a 2xx answer as JSON.
    pub fn json(&self, path: &str) -> Result<serde_json::Value> {
        let answer = self.get(path)?;
        if !(200..300).contains(&answer.status) {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// With further header lines, each ended by `\r\n`.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: Option<&serde_json::Value>) -> Result<Answer> {
        let mut reader = self.open(method, path, headers, body)?;
        let status = status(&mut reader)?;
        let mut length = None;
        let (mut chunked, mut cookie) = (false, String::new());
        self::headers(&mut reader, |name, value| {
            match name {
                "content-length" => length = value.parse::<usize>().ok(),
                "set-cookie" => value.split(';').next().unwrap_or("").clone_into(&mut cookie),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            };
        })?;
        let mut bytes = Vec::new();
        if chunked {
            while let Some(chunk) = chunk(&mut reader)? {
                bytes.extend(chunk);
            }
        } else if let Some(length) = length {
            bytes.resize(length, 0);
            reader.read_exact(&mut bytes)?;
        } else {
            reader.read_to_end(&mut bytes)?;
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned(), cookie })
    }

    fn open(&self, method: &str, path: &str, headers: &str, body: Option<&serde_json::Value>) -> Result<BufReader<TcpStream>> {
        let mut stream =
            TcpStream::connect_timeout(&self.server, Duration::from_secs(5)).with_context(|| format!("cannot reach {}", self.server))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let text = body.map(ToString::to_string).unwrap_or_default();
        let kind = if body.is_some() { "content-type: application/json\r\n" } else { "" };
        let auth = if self.token.is_empty() { String::new() } else { format!("authorization: Bearer {}\r\n", self.token) };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{auth}{headers}{kind}content-length: {}\r\n\r\n{text}",
            self.server,
            text.len()
        )?;
        Ok(BufReader::new(stream))
    }

    /// Opens a stream of server-sent events.
    pub fn feed(&self, path: &str) -> Result<Feed> {
        let mut reader = self.open("GET", path, "", None)?;
        let status = status(&mut reader)?;
        self::headers(&mut reader, |_, _| {})?;
        if status != 200 {
            bail!("GET {path}: {status}");
        }
        Ok(Feed { reader, pending: String::new() })
    }
}

/// Server-sent events, one at a time.
pub struct Feed {
    reader: BufReader<TcpStream>,
    pending: String,
}

impl Feed {
    /// The `data` of the next event, or none by then; the server's heartbeats wake the wait every few seconds.
    pub fn next_data(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            #[expect(clippy::disallowed_methods, reason = "waits for another process")]
            if Instant::now() > deadline {
                return Ok(None);
            }
            if let Some(end) = self.pending.find("\n\n") {
                let event: String = self.pending.drain(..end + 2).collect();
                let data: Vec<&str> = event.lines().filter_map(|l| l.strip_prefix("data:")).map(str::trim_start).collect();
                if !data.is_empty() {
                    return Ok(Some(data.join("\n")));
                }
                continue;
            }
            let bytes = chunk(&mut self.reader)?.context("the feed ended")?;
            self.pending.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn status(reader: &mut impl BufRead) -> Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    line.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| format!("no HTTP answer: '{line}'"))
}

fn headers(reader: &mut impl BufRead, mut each: impl FnMut(&str, &str)) -> Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(()) };
        each(&name.to_ascii_lowercase(), value.trim());
    }
}

fn chunk(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim(), 16).with_context(|| format!("no chunk size: '{line}'"))?;
    let mut bytes = vec![0; size + 2];
    reader.read_exact(&mut bytes)?;
    bytes.truncate(size);
    Ok((size > 0).then_some(bytes))
}
