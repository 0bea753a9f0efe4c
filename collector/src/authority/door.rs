//! The enrolment port: the only place where a stranger may say something. TLS 1.3, one request of at most 16 KiB, one answer,
//! all within a time limit; places and failures are counted per source before the handshake.
//!
//! What a stranger can make the collector do: one handshake, one hash, one look into a map. A signing request is read only
//! from someone who has a valid token or names a known key; the disk is touched only when a certificate is issued. Nothing a
//! stranger sent is ever logged.

use super::counters::Dropped;
use super::guard::{Guard, GuardConfig, Pass, Turned};
use super::{Authority, AuthorityError, Clock, ServerCertificate};
use agent::identity::Refusal;
use agent::identity::message::{Answer, HEAD_BYTES, REQUEST_BYTES_MAX, Request, body_length};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[derive(Debug, Clone)]
pub struct DoorConfig {
    pub guard: GuardConfig,
    /// From accepting a connection to the end of the answer.
    pub time_max: Duration,
}

impl Default for DoorConfig {
    fn default() -> Self {
        Self { guard: GuardConfig { places: 128, places_per_source: 16, ..GuardConfig::default() }, time_max: Duration::from_secs(10) }
    }
}

/// Serves the enrolment port until `stop` resolves. Connections still open then are dropped: their agents ask again.
pub async fn serve(
    listener: TcpListener,
    authority: Arc<Authority>,
    certificate: Arc<ServerCertificate>,
    config: DoorConfig,
    clock: Clock,
    stop: impl Future<Output = ()>,
) -> Result<(), AuthorityError> {
    let acceptor = TlsAcceptor::from(Arc::new(certificate.enrolment_config()?));
    let guard = Guard::new(config.guard);
    let mut visits = tokio::task::JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return Ok(()),
            Some(_) = visits.join_next(), if !visits.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "enrolment port cannot accept");
                // Out of descriptors: the listener stays readable, so waiting a moment is all that helps.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        authority.counters().connection();
        match guard.enter(peer.ip(), clock()) {
            Ok(pass) => {
                visits.spawn(visit(tcp, peer, pass, acceptor.clone(), authority.clone(), config.time_max, clock.clone()));
            }
            Err(Turned::Full) => authority.counters().dropped(Dropped::Full),
            Err(Turned::Source) => authority.counters().dropped(Dropped::Source),
        }
    }
}

async fn visit(
    tcp: TcpStream,
    peer: SocketAddr,
    pass: Pass,
    acceptor: TlsAcceptor,
    authority: Arc<Authority>,
    time_max: Duration,
    clock: Clock,
) {
    // What went wrong is counted before the peer can see its connection end, so that no one is ahead of the counters.
    let failed = |why: Dropped| {
        pass.failed(clock());
        authority.counters().dropped(why);
        tracing::debug!(%peer, why = why.name(), "enrolment dropped");
    };
    let mut talk = std::pin::pin!(talk(tcp, &acceptor, &authority, &clock, &failed));
    match tokio::time::timeout(time_max, talk.as_mut()).await {
        Ok(Some(reason)) => {
            if !reason.is_temporary() {
                pass.failed(clock());
            }
            tracing::info!(%peer, reason = reason.name(), "enrolment refused");
        }
        Ok(None) => {}
        Err(_) => failed(Dropped::Slow),
    }
}

/// Some: the answer was a refusal. None: it was a certificate, or there was no answer and `failed` knows.
async fn talk(
    tcp: TcpStream,
    acceptor: &TlsAcceptor,
    authority: &Arc<Authority>,
    clock: &Clock,
    failed: &(impl Fn(Dropped) + Sync),
) -> Option<Refusal> {
    let _ = tcp.set_nodelay(true); // one small answer; without it the peer only waits a little longer
    let mut stream = match acceptor.accept(tcp).into_fallible().await {
        Ok(stream) => stream,
        Err((_, _tcp)) => {
            failed(Dropped::Tls);
            return None;
        }
    };
    let outcome = match request(&mut stream).await {
        Ok(body) => decide(authority.clone(), body, clock()).await,
        Err(why) => Err(why),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => {
            failed(why);
            return None;
        }
    };
    let answer = match &outcome {
        Ok((certificate, ca)) => Answer::Issued { certificate, ca, link_port: authority.config().link_port },
        Err(reason) => Answer::Refused(*reason),
    };
    let sent = async {
        stream.write_all(&answer.to_bytes().unwrap_or_default()).await?;
        stream.shutdown().await
    };
    if sent.await.is_err() {
        failed(Dropped::Gone);
    }
    outcome.err()
}

async fn request(stream: &mut tokio_rustls::server::TlsStream<TcpStream>) -> Result<Vec<u8>, Dropped> {
    let mut head = [0u8; HEAD_BYTES];
    stream.read_exact(&mut head).await.map_err(|_| Dropped::Gone)?;
    let length = body_length(head, REQUEST_BYTES_MAX).ok_or(Dropped::Malformed)?;
    let mut body = vec![0u8; length];
    stream.read_exact(&mut body).await.map_err(|_| Dropped::Gone)?;
    Ok(body)
}

/// On a thread that may wait for a disk.
async fn decide(authority: Arc<Authority>, body: Vec<u8>, now: event::Timestamp) -> Result<Result<(Vec<u8>, Vec<u8>), Refusal>, Dropped> {
    let work = tokio::task::spawn_blocking(move || {
        let outcome = match Request::parse(&body).ok_or(Dropped::Malformed)? {
            Request::Enrol { token, csr } => authority.enrol(token, csr, now),
            Request::Recover { key, csr } => authority.recover(&key, csr, now),
        };
        Ok(outcome.map(|issued| (issued.certificate, authority.ca().certificate().to_vec())))
    });
    // The task fails only if it panicked: the stranger gets no answer, the collector lives on.
    work.await.unwrap_or(Err(Dropped::Malformed))
}
