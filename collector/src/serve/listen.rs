//! The listener: plain or TLS, HTTP/1.1 and 2, bounded connections, and an end that waits a little for answers under way.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::gate::Remote;
use super::{Ready, Shared};

/// Connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 2_000;
/// Seconds a peer may take to finish its TLS handshake or to send a request's head.
const PATIENCE_S: u64 = 10;
/// Seconds answers under way get when the program stops.
const FAREWELL_S: u64 = 3;

/// Serves until `stop` resolves. With `tls` the listener speaks TLS; the configuration should offer `h2` and `http/1.1`.
pub async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    Ready::set(&shared.ready.listener_bound);
    let router = super::router(shared);
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = places.clone().acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(pair) => pair,
                Err(error) => {
                    // Out of descriptors, or the peer is gone already: neither ends the service.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let (router, acceptor) = (router.clone(), acceptor.clone());
        connections.spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            let remote = Remote(peer.ip());
            match acceptor {
                None => converse(stream, router, remote).await,
                Some(acceptor) => match tokio::time::timeout(Duration::from_secs(PATIENCE_S), acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, router, remote).await,
                    Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                    Err(_) => tracing::debug!("handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S), async { while connections.join_next().await.is_some() {} }).await;
    connections.abort_all();
    Ok(())
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: axum::Router, remote: Remote) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(remote);
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request.map(Body::new) as Request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(PATIENCE_S)).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(64)
        .max_header_list_size(32 * 1024);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}
