//! The sockets of the channels: one request, one answer, everything bounded in time and bytes. Nothing here decides what an answer means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use notifier::smtp::{Session, Step};
use notifier::{ANSWER_BYTES_MAX, Answer, MailTls, Request, Route};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// To connect, and for the whole exchange.
const CONNECT: Duration = Duration::from_secs(5);
const EXCHANGE: Duration = Duration::from_secs(20);
/// Authorities this machine trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS settings by the file of authorities.
#[derive(Default)]
pub struct Wire {
    tls: Mutex<BTreeMap<PathBuf, Arc<rustls::ClientConfig>>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Got {
    Http { status: u16, retry_after: Option<String>, body: Bytes },
    Smtp { code: u16, text: String },
    Written,
    Broken(String),
}

impl Got {
    pub fn answer(&self) -> Answer<'_> {
        match self {
            Self::Http { status, retry_after, body } => Answer::Http { status: *status, retry_after: retry_after.as_deref(), body },
            Self::Smtp { code, text } => Answer::Smtp { code: *code, text },
            Self::Written => Answer::Written,
            Self::Broken(why) => Answer::Broken(why),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Wire {
    /// Sends one request.
    pub async fn send(&self, route: &Route, request: &Request) -> Got {
        match tokio::time::timeout(EXCHANGE, self.exchange(route, request)).await {
            Ok(Ok(got)) => got,
            Ok(Err(why)) => Got::Broken(why),
            Err(_) => Got::Broken(format!("no answer within {} s", EXCHANGE.as_secs())),
        }
    }

    /// Whether somebody listens there; for those who look.
    pub async fn reach(&self, route: &Route) -> Result<(), String> {
        let (host, port) = route.host_port();
        if let Route::Udp { .. } = route {
            return tokio::net::lookup_host((host, port)).await.map(|_| ()).map_err(|e| e.to_string());
        }
        connect(host, port).await.map(|_| ())
    }

    async fn exchange(&self, route: &Route, request: &Request) -> Result<Got, String> {
        match (route, request) {
            (Route::Http { secure, host, port, authority, trust }, Request::Http { path, headers, body }) => {
                let stream = connect(host, *port).await?;
                let mut built = hyper::Request::builder()
                    .method("POST")
                    .uri(path)
                    .header("host", authority)
                    .header("user-agent", concat!("vedette/", env!("CARGO_PKG_VERSION")));
                for (name, value) in headers {
                    built = built.header(*name, value);
                }
                let built = built.body(Full::new(Bytes::from(body.clone()))).map_err(|e| e.to_string())?;
                if *secure { http(self.secure(stream, host, trust.as_deref()).await?, built).await } else { http(stream, built).await }
            }
            (Route::Smtp { host, port, tls, trust, login, hello }, Request::Mail { from, to, data }) => {
                let stream = connect(host, *port).await?;
                let mut session = Session::new(*tls, login.as_ref(), hello, from, to, data);
                if *tls == MailTls::Implicit {
                    let mut stream = self.secure(stream, host, trust.as_deref()).await?;
                    return match mail(&mut stream, &mut session, None).await? {
                        Mailed::Ended(got) => Ok(got),
                        Mailed::Secure => Err("the mail server asked for TLS within TLS".to_owned()),
                    };
                }
                let mut stream = stream;
                match mail(&mut stream, &mut session, None).await? {
                    Mailed::Ended(got) => Ok(got),
                    Mailed::Secure => {
                        let mut stream = self.secure(stream, host, trust.as_deref()).await?;
                        let first = session.secured();
                        match mail(&mut stream, &mut session, Some(first)).await? {
                            Mailed::Ended(got) => Ok(got),
                            Mailed::Secure => Err("the mail server asked for TLS twice".to_owned()),
                        }
                    }
                }
            }
            (Route::Udp { host, port }, Request::Syslog(lines)) => {
                let to = tokio::net::lookup_host((host.as_str(), *port))
                    .await
                    .map_err(|e| e.to_string())?
                    .next()
                    .ok_or_else(|| format!("no address of {host}"))?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await.map_err(|e| e.to_string())?;
                socket.connect(to).await.map_err(|e| e.to_string())?;
                for line in lines {
                    socket.send(line).await.map_err(|e| e.to_string())?;
                }
                Ok(Got::Written)
            }
            (Route::Tcp { host, port }, Request::Syslog(lines)) => {
                let mut stream = connect(host, *port).await?;
                frames(&mut stream, lines).await
            }
            (Route::Tls { host, port, trust }, Request::Syslog(lines)) => {
                let stream = connect(host, *port).await?;
                let mut stream = self.secure(stream, host, trust.as_deref()).await?;
                frames(&mut stream, lines).await
            }
            _ => Err("this channel cannot carry that".to_owned()),
        }
    }

    async fn secure(&self, stream: TcpStream, host: &str, trust: Option<&Path>) -> Result<impl Stream + use<>, String> {
        let config = self.config(trust.unwrap_or(Path::new(SYSTEM_AUTHORITIES)))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        tokio_rustls::TlsConnector::from(config).connect(name, stream).await.map_err(|e| format!("TLS: {e}"))
    }

    fn config(&self, path: &Path) -> Result<Arc<rustls::ClientConfig>, String> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(path) {
            return Ok(config.clone());
        }
        let pem = std::fs::read(path).map_err(|e| format!("{}: {e}; set ca to the PEM file of the peer's authority", path.display()))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls_pemfile::certs(&mut pem.as_slice()).flatten() {
            // One odd certificate in the system's list is no reason to refuse the rest.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(format!("{}: no certificate in it", path.display()));
        }
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        known.insert(path.to_owned(), config.clone());
        Ok(config)
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect((host.trim_matches(['[', ']']), port)))
        .await
        .map_err(|_| format!("{host}:{port} does not answer"))?
        .map_err(|e| format!("{host}:{port}: {e}"))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn http(stream: impl Stream + 'static, request: hyper::Request<Full<Bytes>>) -> Result<Got, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
    // A body longer than anybody reads is no reason to send again what was taken.
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    Ok(Got::Http { status, retry_after, body })
}

enum Mailed {
    Ended(Got),
    Secure,
}

async fn mail(stream: &mut impl Stream, session: &mut Session<'_>, first: Option<Step>) -> Result<Mailed, String> {
    let mut buffer = vec![0; 4_096];
    let mut step = first.unwrap_or(Step::Read);
    loop {
        match step {
            Step::Write(bytes) => {
                stream.write_all(&bytes).await.map_err(|e| e.to_string())?;
                stream.flush().await.map_err(|e| e.to_string())?;
            }
            Step::Read => {}
            Step::StartTls => return Ok(Mailed::Secure),
            Step::End { code, text, farewell } => {
                // A courtesy; what counts has been said.
                let _ = stream.write_all(&farewell).await;
                let _ = stream.shutdown().await;
                return Ok(Mailed::Ended(Got::Smtp { code, text }));
            }
        }
        let n = stream.read(&mut buffer).await.map_err(|e| e.to_string())?;
        if n == 0 {
            return Err("the mail server ended the connection".to_owned());
        }
        step = session.read(buffer.get(..n).unwrap_or_default());
    }
}

/// Octet counting (RFC 6587 3.4.1, RFC 5425).
async fn frames(stream: &mut impl Stream, lines: &[Vec<u8>]) -> Result<Got, String> {
    let mut all = Vec::new();
    for line in lines {
        all.extend_from_slice(format!("{} ", line.len()).as_bytes());
        all.extend_from_slice(line);
    }
    stream.write_all(&all).await.map_err(|e| e.to_string())?;
    stream.flush().await.map_err(|e| e.to_string())?;
    stream.shutdown().await.map_err(|e| e.to_string())?;
    Ok(Got::Written)
}
