//! The collector's end of the link: agents in, durable batches out.
//!
//! ```text
//! TCP ─ guard ─ TLS 1.3 with client certificate ─ register ─┬─ HTTP/2, gRPC `Stream` ─ wire::Receiver ─ BatchSink ─ ack
//!       places    rustls, before any other byte             └─ gRPC `Renew`
//! ```
//!
//! Must stay true:
//! - No byte of a peer is parsed as anything but TLS before its certificate was verified and found in the register.
//! - The agent's name comes from the certificate; messages carry none.
//! - A batch is acknowledged only after its ticket says it is durable.
//! - Memory is bounded: connections, handshakes, messages (4 MiB), bytes not yet durable per agent and in all, answers not yet
//!   read. Past a bound the agent is slowed down or cut and counted; nothing that was accepted is dropped.
//! - One stream per agent. The newest wins, the older one is told so.

mod connection;
mod counters;
mod links;
mod peer;
mod service;
mod sink;

pub use connection::Connection;
pub use counters::{Counters, Reason};
pub use links::Links;
pub use peer::{LinkSnapshot, Published};
pub use sink::{AcceptedBatch, BatchSink, MemorySink, SinkError, Ticket, Watermark, Watermarks};

use crate::authority::{AuthorityError, Guard, GuardConfig, Pass, ServerCertificate, Turned};
use agent::identity::certificate;
use connection::LinkStream;
use rustls::{CertificateError, Error};
use service::LinkService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use wire::link::{CloseCode, ReceiverConfig};

/// `[link]` of the collector's configuration.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Agents stream here.
    pub listen: SocketAddr,
    /// Hosts enrol here.
    pub enrol_listen: SocketAddr,
    /// Connections of known agents at once.
    pub connections_max: usize,
    /// Handshakes at once, in all and per source; a site behind one address reconnects with many agents together.
    pub guard: GuardConfig,
    pub handshake_max: Duration,
    /// A connection that opens no stream for so long is cut.
    pub unused_max: Duration,
    /// Bytes accepted and not yet durable, of one agent and of all; at least one longest message.
    pub in_flight_bytes_per_agent: usize,
    pub in_flight_bytes: usize,
    /// Window told to agents, keep-alive times.
    pub receiver: ReceiverConfig,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7443)),
            enrol_listen: SocketAddr::from(([0, 0, 0, 0], 7444)),
            connections_max: 10_000,
            guard: GuardConfig { places: 512, places_per_source: 128, failures_max: 60, ..GuardConfig::default() },
            handshake_max: Duration::from_secs(10),
            unused_max: Duration::from_secs(30),
            in_flight_bytes_per_agent: 8 << 20,
            in_flight_bytes: 256 << 20,
            receiver: ReceiverConfig { product: concat!("vedette/", env!("CARGO_PKG_VERSION")).to_owned(), ..ReceiverConfig::default() },
        }
    }
}

/// Serves the link port until `stop` resolves; then says goodbye to every agent and returns within about a second.
pub async fn serve(
    listener: TcpListener,
    links: Arc<Links>,
    certificate: Arc<ServerCertificate>,
    config: LinkConfig,
    stop: impl Future<Output = ()>,
) -> Result<(), AuthorityError> {
    let revocations = links.authority.revocations();
    let (ready, incoming) = mpsc::channel(64);
    let door = Arc::new(Door {
        acceptor: TlsAcceptor::from(Arc::new(certificate.link_config()?)),
        links: links.clone(),
        places: Arc::new(Semaphore::new(config.connections_max)),
        guard: Guard::new(config.guard),
        config,
        ready,
    });
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(4)
        .initial_stream_window_size(512 * 1024)
        .initial_connection_window_size(512 * 1024)
        .http2_max_header_list_size(8 * 1024)
        .http2_max_pending_accept_reset_streams(Some(8))
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(LinkService { links: links.clone() })
        .serve_with_incoming(ReceiverStream::new(incoming));
    let server = tokio::spawn(server);
    tokio::select! {
        () = door.accept(&listener) => {}
        () = cut_revoked(&links, revocations) => {}
        () = stop => {}
    }
    links.cut_where(|_| true, CloseCode::Shutdown, "the collector stops");
    // All places are free again when all are gone; who does not go by himself was cut by then.
    let everyone = u32::try_from(door.config.connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(links::GRACE, door.places.acquire_many(everyone)).await;
    server.abort(); // takes no more; connections are tasks of their own
    Ok(())
}

/// Within a moment of a revocation the agent's connection is gone.
async fn cut_revoked(links: &Arc<Links>, mut revocations: broadcast::Receiver<event::AgentId>) {
    loop {
        match revocations.recv().await {
            Ok(agent) => {
                links.cut(agent, CloseCode::Revoked, "this agent was revoked");
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {
                links.cut_where(|agent| links.authority.is_revoked(agent), CloseCode::Revoked, "this agent was revoked");
            }
            // The links hold the authority and thereby the sending end.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

struct Door {
    acceptor: TlsAcceptor,
    links: Arc<Links>,
    guard: Arc<Guard>,
    places: Arc<Semaphore>,
    config: LinkConfig,
    ready: mpsc::Sender<io::Result<LinkStream>>,
}

impl Door {
    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let (tcp, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "link port cannot accept");
                    // Out of descriptors: the listener stays readable, so waiting a moment is all that helps.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let counters = self.links.counters();
            counters.connections.add(1);
            let pass = match self.guard.enter(address.ip(), (self.links.shared.clock)()) {
                Ok(pass) => pass,
                Err(Turned::Full) => {
                    counters.refuse(Reason::Full);
                    continue;
                }
                Err(Turned::Source) => {
                    counters.refuse(Reason::Source);
                    continue;
                }
            };
            match self.places.clone().try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(self.clone().admit(tcp, address, pass, place))),
                Err(_) => counters.refuse(Reason::Full),
            }
        }
    }

    async fn admit(self: Arc<Self>, tcp: TcpStream, address: SocketAddr, pass: Pass, place: OwnedSemaphorePermit) {
        let _ = tcp.set_nodelay(true); // acknowledgements are small and wanted at once
        let clock = &self.links.shared.clock;
        // Counted before the peer can see its connection end, so that no one is ahead of the counters.
        let refused = |reason: Reason| {
            self.links.counters().refuse(reason);
            pass.failed(clock());
            tracing::debug!(%address, reason = reason.name(), "connection refused");
        };
        let mut handshake = std::pin::pin!(self.acceptor.accept(tcp).into_fallible());
        let tls = match tokio::time::timeout(self.config.handshake_max, handshake.as_mut()).await {
            Ok(Ok(tls)) => tls,
            Ok(Err((error, tcp))) => {
                refused(classify(&error));
                return farewell(tcp).await;
            }
            Err(_) => return refused(Reason::Slow),
        };
        // The verifier has read this very certificate; reading it again here keeps the name out of shared state.
        let leaf = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let Some(name) = leaf.and_then(|der| certificate::read(der).ok()) else { return refused(Reason::NotAgent) };
        drop(pass);
        self.links.counters().established.add(1);
        let connection = Connection::new(name, address, clock());
        self.links.joined(&connection);
        if self.links.authority.is_revoked(name.agent) {
            // Revoked since the handshake: whoever cuts by the registry may have looked before we were in it.
            self.links.counters().refuse(Reason::Revoked);
            self.links.left(&connection);
            return;
        }
        let stream = LinkStream::new(tls, connection.clone(), place, self.links.clone());
        if self.ready.send(Ok(stream)).await.is_err() {
            return;
        }
        tokio::select! {
            () = connection.opened.notified() => {}
            () = tokio::time::sleep(self.config.unused_max) => {
                if !connection.is_cut() {
                    self.links.counters().refuse(Reason::Unused);
                    connection.cut();
                }
            }
        }
    }
}

/// Lets the alert arrive: closing a socket with unread bytes in it resets the connection, and the reset may overtake the alert that
/// tells the agent why. Reads on a little, looks at nothing.
async fn farewell(mut tcp: TcpStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    if tcp.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0u8; 4096];
    let drain = async {
        for _ in 0..FAREWELL_READS {
            match tcp.read(&mut scratch).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let _ = tokio::time::timeout(links::GRACE, drain).await;
}

/// Reads of a refused connection that are thrown away, at most.
const FAREWELL_READS: usize = 16;

/// Why a handshake failed, from rustls' own error.
fn classify(error: &io::Error) -> Reason {
    let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else { return Reason::Gone };
    match error {
        Error::NoCertificatesPresented => Reason::NoCertificate,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => Reason::Foreign,
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Reason::Expired,
        Error::InvalidCertificate(CertificateError::Revoked) => Reason::Revoked,
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => Reason::Unknown,
        Error::InvalidCertificate(_) => Reason::NotAgent,
        _ => Reason::NotTls,
    }
}

#[cfg(test)]
mod tests;
