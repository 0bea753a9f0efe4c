//! The two gRPC methods an agent may call: `Stream` (once per connection) and `Renew`. Written by hand over tonic's codec
//! layer: the paths are two, the messages are bytes, and anything else is answered "unimplemented".

use super::connection::Connection;
use super::counters::Reason;
use super::links::{Links, cut_after_grace};
use super::peer::{OUTBOUND_MAX, Peer};
use agent::uplink::codec::{CLOCK_HEADER, MESSAGE_BYTES_MAX, RENEW_PATH, RawCodec, SERVICE, STREAM_PATH};
use bytes::Bytes;
use prost::Message as _;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};
use wire::link::{CloseCode, Message, Session};

/// Certificates one connection may ask for; a healthy agent asks once in days.
const RENEWALS_MAX: u32 = 4;
/// Longest signing request.
const CSR_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
pub(super) struct LinkService {
    pub(super) links: Arc<Links>,
}

impl NamedService for LinkService {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for LinkService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let links = self.links.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                STREAM_PATH => Grpc::new(RawCodec).max_decoding_message_size(MESSAGE_BYTES_MAX).streaming(Stream(links), request).await,
                RENEW_PATH => Grpc::new(RawCodec).max_decoding_message_size(CSR_BYTES_MAX).unary(Renew(links), request).await,
                _ => {
                    links.counters().refuse(Reason::NotOurs);
                    Status::unimplemented("no such method").into_http()
                }
            })
        })
    }
}

/// Who calls. Only a connection that came through the door has this.
fn caller<T>(request: &Request<T>) -> Result<Arc<Connection>, Status> {
    request.extensions().get::<Arc<Connection>>().cloned().ok_or_else(|| Status::unauthenticated("no certificate"))
}

struct Stream(Arc<Links>);

impl StreamingService<Bytes> for Stream {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let opened = open(&self.0, request);
        Box::pin(std::future::ready(opened))
    }
}

fn open(links: &Arc<Links>, request: Request<Streaming<Bytes>>) -> Result<Response<ReceiverStream<Result<Bytes, Status>>>, Status> {
    let connection = caller(&request)?;
    if connection.streaming.swap(true, Ordering::AcqRel) {
        links.counters().refuse(Reason::NotOurs);
        return Err(Status::already_exists("one stream per connection"));
    }
    connection.opened.notify_one();
    let now_ms = (links.shared.clock)().ms();
    let theirs = request.metadata().get(CLOCK_HEADER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<i64>().ok());
    let skew_ms = theirs.map(|ms| ms.saturating_sub(now_ms));
    let (outbound, answers) = mpsc::channel(OUTBOUND_MAX);
    let peer = links.streaming(&connection);
    links.counters().sessions.add(1);
    let session = peer.open(connection.clone(), outbound, skew_ms);
    // A revocation between the handshake and here found no stream to close.
    if links.authority.is_revoked(peer.agent) {
        links.cut(peer.agent, CloseCode::Revoked, "revoked");
    }
    tokio::spawn(run(links.clone(), peer, session, connection, request.into_inner()));
    let mut response = Response::new(ReceiverStream::new(answers));
    if let Ok(value) = now_ms.to_string().parse() {
        response.metadata_mut().insert(CLOCK_HEADER, value);
    }
    Ok(response)
}

/// The life of one stream. Ends when the agent ends it, when `wire` or the switch says so, or when the bytes make no sense.
async fn run(links: Arc<Links>, peer: Arc<Peer>, session: Session, connection: Arc<Connection>, mut inbound: Streaming<Bytes>) {
    let counters = links.counters();
    loop {
        let wait = peer.poll().map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
        let arrived = tokio::select! {
            () = connection.end.notified() => break,
            () = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(3600))) => continue,
            arrived = inbound.message() => arrived,
        };
        match arrived {
            Ok(Some(bytes)) => {
                counters.messages.add(1);
                counters.bytes.add(bytes.len() as u64);
                connection.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                let room = tokio::select! {
                    () = connection.end.notified() => break,
                    room = peer.room(bytes.len()) => room,
                };
                let Some(room) = room else { break };
                match Message::decode(bytes) {
                    Ok(message) => peer.received(session, message, room),
                    Err(_) => {
                        counters.refuse(Reason::Malformed);
                        peer.close(CloseCode::Protocol, "a message that is not protobuf");
                    }
                }
            }
            Ok(None) => {
                counters.refuse(Reason::Ended);
                break;
            }
            Err(status) => {
                // tonic says OutOfRange for a message over the decoder's limit, without having gathered it.
                let (reason, text) = match status.code() {
                    Code::OutOfRange | Code::ResourceExhausted => (Reason::Oversize, "a message over the limit"),
                    Code::Internal => (Reason::Malformed, "bytes that are no message"),
                    _ => (Reason::Ended, "the stream broke"),
                };
                counters.refuse(reason);
                peer.close(CloseCode::Protocol, text);
                break;
            }
        }
    }
    peer.closed(session);
    // A stream is all a connection is for.
    cut_after_grace(connection);
}

struct Renew(Arc<Links>);

impl UnaryService<Bytes> for Renew {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let links = self.0.clone();
        Box::pin(async move {
            let connection = caller(&request)?;
            if connection.renewals.fetch_add(1, Ordering::Relaxed) >= RENEWALS_MAX {
                return Err(Status::resource_exhausted("enough certificates for one connection"));
            }
            let (authority, agent, now) = (links.authority.clone(), connection.name.agent, (links.shared.clock)());
            let csr = request.into_inner();
            let work = tokio::task::spawn_blocking(move || authority.renew(agent, &csr, now));
            match work.await {
                Ok(Ok(issued)) => Ok(Response::new(Bytes::from(issued.certificate))),
                Ok(Err(reason)) => Err(Status::permission_denied(reason.name())),
                Err(_) => Err(Status::internal("renewal failed")),
            }
        })
    }
}
