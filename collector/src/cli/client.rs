//! A small client of `/api/v1`: one connection at a time, plain or TLS, answers bounded, errors with an exit code.

use std::path::{Path, PathBuf};
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

/// Seconds a server may take for a TLS handshake, and for the head of an answer (it ends requests of its own accord before that).
const HANDSHAKE_S: u64 = 10;
const ANSWER_S: u64 = 90;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Trouble {
    /// What was given makes no sense.
    Input(String),
    /// Nobody there, or the connection broke.
    Connection(String),
    /// The same, in both languages: English, Chinese.
    Reach(String, String),
    /// The server says why.
    Problem(Box<api::Problem>),
    /// The server says no more than a number.
    Status(u16),
}

impl Trouble {
    pub fn code(&self) -> u8 {
        match self {
            Self::Input(_) => exit::BAD_INPUT,
            Self::Connection(_) | Self::Reach(..) => exit::NO_CONNECTION,
            Self::Problem(problem) => code_of(problem.status),
            Self::Status(status) => code_of(*status),
        }
    }

    pub fn say(&self, lang: Language) -> String {
        match self {
            Self::Input(text) | Self::Connection(text) => text.clone(),
            Self::Reach(en, zh) => if lang == Language::Zh { zh } else { en }.clone(),
            Self::Status(status) if lang == Language::Zh => format!("服务器应答 {status}，且不是本系统的格式；请检查 --server 地址"),
            Self::Status(status) => format!("the server answers {status}, and not in our words: is --server the address of a Vedette collector?"),
            Self::Problem(p) if p.status == 401 && lang == Language::Zh => {
                "令牌缺失、已过期或已吊销：用 --token-file 或 VEDETTE_TOKEN 提供有效令牌（在控制台“令牌”或由管理员创建）".to_owned()
            }
            Self::Problem(p) if p.status == 401 => {
                "no token, or one that has expired or was revoked: give a valid one by --token-file or VEDETTE_TOKEN (`vedette token create` makes them)".to_owned()
            }
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
    /// Where the authorities are read from that are trusted.
    ca: PathBuf,
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
        if !token.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(Trouble::Input("the token has characters no token has; is the token file the right one, and one line?".to_owned()));
        }
        let ca = ca.unwrap_or_else(|| Path::new(SYSTEM_AUTHORITIES)).to_owned();
        Ok(Self {
            server: server.trim_end_matches('/').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
            token: token.to_owned(),
            tls: if secure { Some(tls(&ca)?) } else { None },
            ca,
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
        match body {
            None => self.send_bytes(method, path, headers, Bytes::new()).await,
            Some(value) => {
                let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
                self.send_bytes(method, path, &headers, Bytes::from(value.to_string())).await
            }
        }
    }

    async fn send_bytes(&self, method: Method, path: &str, headers: &[(&str, &str)], bytes: Bytes) -> Result<Response<Incoming>, Trouble> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(Duration::from_secs(CONNECT_S), connect)
            .await
            .map_err(|_| self.gone("no answer", "无应答"))?
            .map_err(|e| self.refused(&e))?;
        let _ = stream.set_nodelay(true);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.authority);
        if !headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header("accept", "application/json");
        }
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(bytes)).map_err(|e| Trouble::Input(e.to_string()))?;
        let exchanged = async {
            match &self.tls {
                None => exchange(stream, request).await.map_err(|e| self.broke(&e)),
                Some(config) => {
                    let name = rustls::pki_types::ServerName::try_from(self.host.clone()).map_err(|e| Trouble::Input(e.to_string()))?;
                    let connector = tokio_rustls::TlsConnector::from(config.clone());
                    let stream = tokio::time::timeout(Duration::from_secs(HANDSHAKE_S), connector.connect(name, stream))
                        .await
                        .map_err(|_| self.gone("no TLS answer", "TLS 握手无应答"))?
                        .map_err(|e| self.untrusted(&e))?;
                    exchange(stream, request).await.map_err(|e| self.broke(&e))
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(ANSWER_S), exchanged).await.map_err(|_| self.gone("no answer", "无应答"))?
    }

    fn gone(&self, en: &str, zh: &str) -> Trouble {
        let server = &self.server;
        Trouble::Reach(
            format!("cannot reach {server}: {en}; is the collector running, and --server right?"),
            format!("无法连接 {server}：{zh}；请确认采集中心已运行、--server 地址正确"),
        )
    }

    fn refused(&self, error: &std::io::Error) -> Trouble {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::ConnectionRefused => self.gone("nobody listens there", "该端口无人监听"),
            K::HostUnreachable | K::NetworkUnreachable => self.gone("no way to that host", "网络不可达"),
            _ => self.gone(&error.to_string(), &error.to_string()),
        }
    }

    /// A connection that was made, and then was not HTTP or ended early.
    fn broke(&self, error: &hyper::Error) -> Trouble {
        if self.tls.is_none() && error.is_parse() {
            let secure = self.server.replacen("http://", "https://", 1);
            return Trouble::Reach(
                format!("{} does not speak plain HTTP; if it speaks TLS, use --server {secure}", self.server),
                format!("{} 不是明文 HTTP 服务；若已启用 TLS，请用 --server {secure}", self.server),
            );
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return self.gone("it ended the connection without an answer", "对方未作答即断开连接");
        }
        self.gone(&error.to_string(), &error.to_string())
    }

    /// A TLS handshake that failed: not TLS at all, or a certificate that is not to be trusted, and what to do.
    fn untrusted(&self, error: &std::io::Error) -> Trouble {
        use rustls::CertificateError as C;
        let server = &self.server;
        let (en, zh) = match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => {
                let plain = server.replacen("https://", "http://", 1);
                (
                    format!("it does not speak TLS; on this machine use --server {plain}, elsewhere set [serve] certificate and key there"),
                    format!("对方不是 TLS 服务；本机可用 --server {plain}，异地请在采集中心配置 [serve] certificate 与 key"),
                )
            }
            Some(rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => {
                let ca = self.ca.display();
                (
                    format!(
                        "its certificate was not signed by an authority in {ca}; give --ca (or VEDETTE_CA) the PEM file of its own authority"
                    ),
                    format!("其证书不是由 {ca} 中的机构签发；请用 --ca（或 VEDETTE_CA）指定其签发机构的 PEM 文件"),
                )
            }
            Some(rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. })) => {
                let host = &self.host;
                (
                    format!("its certificate is not for '{host}'; use the name it was made for"),
                    format!("其证书不适用于“{host}”；请使用证书所载的名称"),
                )
            }
            Some(rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. })) => (
                "its certificate has expired; renew it there, and check this machine's clock".to_owned(),
                "其证书已过期；请更换证书，并检查本机时钟".to_owned(),
            ),
            Some(rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. })) => (
                "its certificate is not valid yet; check the clocks of both machines".to_owned(),
                "其证书尚未生效；请检查双方时钟".to_owned(),
            ),
            Some(other) => (other.to_string(), other.to_string()),
            None => return self.gone("it ended the connection in the TLS handshake", "TLS 握手时对方断开连接"),
        };
        Trouble::Reach(format!("cannot trust {server}: {en}"), format!("无法信任 {server}：{zh}"))
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
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let response = self.send(Method::PUT, path, &[], Some(body)).await?;
        Self::json(&self.body(response).await?)
    }
    /// Sends bytes as they are.
    pub async fn upload(&self, path: &str, bytes: Vec<u8>) -> Result<Value, Trouble> {
        let response = self.send_bytes(Method::POST, path, &[("content-type", "application/octet-stream")], bytes.into()).await?;
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
        let paged = !matches!(path, "/api/v1/units" | "/api/v1/tokens" | "/api/v1/people");
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

/// Authorities this machine trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Trusts the authorities of a PEM file.
fn tls(path: &Path) -> Result<Arc<rustls::ClientConfig>, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
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
