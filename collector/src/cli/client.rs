//! A small client of `/api/v1`: one connection at a time, plain or TLS, answers bounded, errors with an exit code.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::exit;
use super::output::Language;

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
const CONNECT_S: u64 = 10;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Trouble {
    /// What was given makes no sense.
    Input(String),
    /// Nobody there, or the connection broke.
    Connection(String),
    /// The server says why.
    Problem(Box<api::Problem>),
    /// The server says no more than a number.
    Status(u16),
}

impl Trouble {
    pub fn code(&self) -> u8 {
        match self {
            Self::Input(_) => exit::BAD_INPUT,
            Self::Connection(_) => exit::NO_CONNECTION,
            Self::Problem(problem) => code_of(problem.status),
            Self::Status(status) => code_of(*status),
        }
    }

    pub fn say(&self, lang: Language) -> String {
        match self {
            Self::Input(text) | Self::Connection(text) => text.clone(),
            Self::Status(status) => format!("the server answers {status}"),
            Self::Problem(p) => {
                let (title, detail) = if lang == Language::Zh { (&p.title_zh, &p.detail_zh) } else { (&p.title, &p.detail) };
                if detail.is_empty() { title.clone() } else { format!("{title}: {detail}") }
            }
        }
    }
}

fn code_of(status: u16) -> u8 {
    match status {
        401 | 403 => exit::DENIED,
        503 | 504 => exit::NO_CONNECTION,
        409 => exit::FOUND,
        _ => exit::BAD_INPUT,
    }
}

pub struct Client {
    server: String,
    host: String,
    port: u16,
    authority: String,
    token: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Client {
    pub fn new(server: &str, token: &str, ca: Option<&Path>) -> Result<Self, Trouble> {
        let wrong = || Trouble::Input(format!("--server '{server}' is not http://host:port or https://host:port"));
        let uri: Uri = server.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !secure && !loopback && !token.is_empty() {
            return Err(Trouble::Input(format!("a token would travel in the clear to {host}: use https://")));
        }
        Ok(Self {
            server: server.trim_end_matches('/').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
            token: token.to_owned(),
            tls: if secure { Some(tls(ca)?) } else { None },
            host,
        })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    /// Sends one request on a connection of its own and gives the answer's head.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Trouble> {
        let gone = |e: &dyn std::fmt::Display| {
            Trouble::Connection(format!("cannot reach {}: {e}; is the collector running, and --server right?", self.server))
        };
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream =
            tokio::time::timeout(Duration::from_secs(CONNECT_S), connect).await.map_err(|_| gone(&"no answer"))?.map_err(|e| gone(&e))?;
        let _ = stream.set_nodelay(true);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.authority).header("accept", "application/json");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            None => Bytes::new(),
            Some(value) => {
                request = request.header("content-type", "application/json");
                Bytes::from(value.to_string())
            }
        };
        let request = request.body(Full::new(bytes)).map_err(|e| Trouble::Input(e.to_string()))?;
        match &self.tls {
            None => exchange(stream, request).await.map_err(|e| gone(&e)),
            Some(config) => {
                let name = rustls::pki_types::ServerName::try_from(self.host.clone()).map_err(|e| Trouble::Input(e.to_string()))?;
                let stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, stream).await.map_err(|e| gone(&e))?;
                exchange(stream, request).await.map_err(|e| gone(&e))
            }
        }
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, Trouble> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|e| Trouble::Connection(format!("the answer broke off: {e}")))?.to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        Err(serde_json::from_slice::<api::Problem>(&bytes).map_or(Trouble::Status(status.as_u16()), |p| Trouble::Problem(Box::new(p))))
    }

    fn json(bytes: &Bytes) -> Result<Value, Trouble> {
        serde_json::from_slice(bytes).map_err(|e| Trouble::Connection(format!("the answer is no JSON: {e}; is this a Vedette collector?")))
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let response = self.send(Method::GET, &address(path, query), &[], None).await?;
        Self::json(&self.body(response).await?)
    }
    pub async fn text(&self, path: &str) -> Result<String, Trouble> {
        let response = self.send(Method::GET, path, &[], None).await?;
        Ok(String::from_utf8_lossy(&self.body(response).await?).into_owned())
    }
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Value, Trouble> {
        let response = self.send(Method::POST, path, headers, Some(body)).await?;
        Self::json(&self.body(response).await?)
    }
    pub async fn delete(&self, path: &str) -> Result<(), Trouble> {
        let response = self.send(Method::DELETE, path, &[], None).await?;
        self.body(response).await.map(|_| ())
    }

    /// The items of a list over its pages, at most `limit`.
    pub async fn pages(&self, path: &str, query: &[(&str, &str)], limit: usize) -> Result<Vec<Value>, Trouble> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        let paged = !matches!(path, "/api/v1/units" | "/api/v1/tokens");
        while items.len() < limit {
            let page_limit = (limit - items.len()).min(api::PAGE_MAX).to_string();
            let mut all: Vec<(&str, &str)> = query.iter().copied().filter(|(_, v)| !v.is_empty()).collect();
            if paged {
                all.push(("limit", &page_limit));
            }
            if !cursor.is_empty() {
                all.push(("cursor", &cursor));
            }
            let mut page = self.get(path, &all).await?;
            if let Some(Value::Array(list)) = page.get_mut("items").map(Value::take) {
                items.extend(list);
            }
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        Ok(items)
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await
}

/// A path with its query, escaped.
pub fn address(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (n, (name, value)) in query.iter().enumerate() {
        out.push(if n == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Trusts the given authority; without one, the system's list.
fn tls(ca: Option<&Path>) -> Result<Arc<rustls::ClientConfig>, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    let path = ca.unwrap_or_else(|| Path::new("/etc/ssl/certs/ca-certificates.crt"));
    let pem = std::fs::read(path)
        .map_err(|e| Trouble::Input(format!("{}: {e}; give --ca the PEM file of the server's authority", path.display())))?;
    for certificate in rustls_pemfile::certs(&mut pem.as_slice()).flatten() {
        // One odd certificate in the system's list is no reason to refuse the rest.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(Trouble::Input(format!("{}: no certificate in it; give --ca a PEM file", path.display())));
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Trouble::Input(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped_and_tokens_stay_off_plain_links() {
        assert_eq!(address("/a", &[("q", "行业 &=x"), ("n", "1")]), "/a?q=%E8%A1%8C%E4%B8%9A%20%26%3Dx&n=1");
        assert!(Client::new("http://soc.example:80", "secret", None).is_err());
        assert!(Client::new("http://[::1]:8080", "secret", None).is_ok());
        for bad in ["soc.example", "ftp://x", ""] {
            assert!(matches!(Client::new(bad, "", None), Err(Trouble::Input(_))), "{bad}");
        }
    }
}
