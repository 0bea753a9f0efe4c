//! Dialling: TCP, TLS 1.3 with our certificate, HTTP/2, the stream. One attempt; no retry of tonic's own. Public for `doctor`, which
//! tries the link without sending anything.

use super::codec::{CLOCK_HEADER, MESSAGE_BYTES_MAX, RENEW_PATH, RawCodec, STREAM_PATH};
use crate::identity::message::split_host_port;
use crate::identity::{Identity, Refusal, tls};
use bytes::Bytes;
use event::Timestamp;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

/// Messages waiting for HTTP/2 to take them; the window of `wire::Sender` bounds their bytes.
const OUTGOING_MAX: usize = 8;

/// An open stream.
pub struct Link {
    /// `wire::link::Message`s as bytes.
    pub outgoing: mpsc::Sender<Bytes>,
    pub incoming: Streaming<Bytes>,
    /// Collector's clock minus ours, milliseconds, network delay included.
    pub clock_offset_ms: Option<i64>,
    pub(super) failure: Failure,
    pub(super) grpc: Grpc<Channel>,
}

/// Why there is no link, in words for people, and whether a new certificate would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DialError {
    pub text: String,
    /// The collector says that our certificate has run out.
    pub expired: bool,
}

impl DialError {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), expired: false }
    }
}

/// The first TLS error of a connection. In TLS 1.3 the collector's judgement of our certificate arrives after the handshake, as an
/// alert that HTTP/2 reports as "broken"; the alert itself is what an operator must read.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<rustls::Error>>>);

impl Failure {
    fn note(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
    pub(super) fn explain(&self, host: &str, otherwise: &str) -> DialError {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => DialError { text: tls::explain(error, host), expired: is_expired(error) },
            None => DialError::new(otherwise),
        }
    }
}

fn is_expired(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired))
}

/// One attempt. `now` is told to the collector, which measures this host's clock by it.
pub async fn dial(address: &str, identity: &Identity, now: Timestamp) -> Result<Link, DialError> {
    let (host, port) = split_host_port(address).ok_or_else(|| DialError::new(format!("'{address}' is not host:port")))?;
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| DialError::new(format!("'{host}' is neither a host name nor an address")))?;
    let config = tls::link(identity).map_err(|e| DialError::new(tls::explain(&e, host)))?;
    let tcp = TcpStream::connect((host, port)).await.map_err(|e| {
        DialError::new(format!("cannot reach the collector at {address}: {e}; check the address, the port, and any firewall in between"))
    })?;
    let _ = tcp.set_nodelay(true); // without it, acknowledgements and small batches wait for each other
    let failure = Failure::default();
    let connected = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    let stream = connected.map_err(|e| {
        failure.note(&e);
        failure.explain(host, &format!("the collector at {address} ended the TLS handshake: {e}"))
    })?;

    let mut slot = Some(TokioIo::new(Noting { inner: stream, failure: failure.clone() }));
    // Given away once: a broken channel must come back to the state machine, not redial behind its back.
    let connector =
        tower::service_fn(move |_: Uri| std::future::ready(slot.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))));
    let broken = |what: &str| failure.explain(host, &format!("{what} by the collector at {address}"));
    // The scheme is http because TLS is ours, below; the authority is only the name in the request.
    let endpoint = Endpoint::from_static("http://collector")
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(512 * 1024)
        .http2_max_header_list_size(8 * 1024);
    let channel = endpoint.connect_with_connector(connector).await.map_err(|_| broken("HTTP/2 refused"))?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.ready().await.map_err(|_| broken("connection ended"))?;

    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let mut request = Request::new(ReceiverStream::new(queue));
    if let Ok(value) = now.ms().to_string().parse() {
        request.metadata_mut().insert(CLOCK_HEADER, value);
    }
    let response = grpc.streaming(request, PathAndQuery::from_static(STREAM_PATH), RawCodec).await;
    let response = response.map_err(|status| broken(&format!("stream refused ({})", words(&status))))?;
    let theirs = response.metadata().get(CLOCK_HEADER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<i64>().ok());
    let clock_offset_ms = theirs.map(|ms| ms.saturating_sub(now.ms()));
    Ok(Link { outgoing, incoming: response.into_inner(), clock_offset_ms, failure, grpc })
}

/// Asks for a certificate for a new key over the open link.
pub(super) async fn renew(mut grpc: Grpc<Channel>, csr: Vec<u8>) -> Result<Vec<u8>, String> {
    grpc.ready().await.map_err(|_| "the connection ended".to_owned())?;
    let request = Request::new(Bytes::from(csr));
    match grpc.unary(request, PathAndQuery::from_static(RENEW_PATH), RawCodec).await {
        Ok(response) => Ok(response.into_inner().to_vec()),
        Err(status) => match Refusal::ALL.iter().find(|r| r.name() == status.message()) {
            Some(reason) => Err(reason.to_string()),
            None => Err(words(&status)),
        },
    }
}

/// A status in words, without what the peer may have put into it.
pub(super) fn words(status: &Status) -> String {
    let text: String = status.message().chars().filter(|c| !c.is_control()).take(120).collect();
    format!("{:?}: {text}", status.code())
}

/// Passes bytes through and keeps the first TLS error.
struct Noting<S> {
    inner: S,
    failure: Failure,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.failure.note(error);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
