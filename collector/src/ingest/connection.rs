//! One TLS connection of a known agent: the byte stream tonic serves, who is behind it, and the means to cut it.

use super::Links;
use agent::identity::certificate::Name;
use event::Timestamp;
use futures_util::task::AtomicWaker;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// What the rest of the collector knows of a connection. Reaches the services as tonic's connect info, so the agent's name
/// comes from the certificate and from nowhere else.
#[derive(Debug)]
pub struct Connection {
    pub name: Name,
    pub address: SocketAddr,
    pub since: Timestamp,
    /// Message bytes received.
    pub(super) bytes: AtomicU64,
    /// A stream was opened; there is at most one.
    pub(super) streaming: AtomicBool,
    pub(super) opened: Notify,
    pub(super) renewals: AtomicU32,
    /// The session is to end; what was queued for the agent is still sent.
    pub(super) end: Notify,
    cut: AtomicBool,
    waker: AtomicWaker,
}

impl Connection {
    pub(super) fn new(name: Name, address: SocketAddr, since: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            name,
            address,
            since,
            bytes: AtomicU64::new(0),
            streaming: AtomicBool::new(false),
            opened: Notify::new(),
            renewals: AtomicU32::new(0),
            end: Notify::new(),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// Ends the connection now, whatever is going on in it.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
        self.end.notify_one();
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

/// The stream itself. After `cut` every read and write fails, which makes hyper drop it.
pub(super) struct LinkStream {
    tls: TlsStream<TcpStream>,
    connection: Arc<Connection>,
    links: Arc<Links>,
    _place: OwnedSemaphorePermit,
}

impl Drop for LinkStream {
    fn drop(&mut self) {
        self.connection.cut(); // the session, if any, learns that nobody is there any more
        self.links.left(&self.connection);
    }
}

impl LinkStream {
    pub(super) fn new(tls: TlsStream<TcpStream>, connection: Arc<Connection>, place: OwnedSemaphorePermit, links: Arc<Links>) -> Self {
        Self { tls, connection, links, _place: place }
    }

    fn refused(&self, cx: &Context<'_>) -> Option<io::Error> {
        self.connection.waker.register(cx.waker());
        self.connection.is_cut().then(|| io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the collector"))
    }
}

impl Connected for LinkStream {
    type ConnectInfo = Arc<Connection>;
    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.clone()
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.refused(cx) {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.tls).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
