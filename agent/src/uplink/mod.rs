//! Sends the spool to the collector over mutual TLS 1.3, takes back acknowledgements and policy, and keeps the certificate fresh.
//!
//! What to do when is decided by `wire::link::Sender`; this module dials, reads the spool, packs, writes and reports. It never
//! gives up: every failure waits (doubled each time, with jitter) and begins again where the collector's acknowledgements end.
//!
//! Must stay true:
//! - A record leaves the spool only when the collector has said that it is durable there.
//! - Time for renewal is judged by the collector's clock, as far as its offset is known: a host whose own clock stands in 1970
//!   still renews in time. A certificate that ran out all the same is recovered at the enrolment port.
//! - A new certificate is on disk before it is used.

pub mod codec;
pub mod connect;
mod policy;
mod source;
mod status;

pub use policy::{Policies, PolicyError};
pub use source::{SharedSpool, Source, SourceError};
pub use status::{Snapshot, UplinkStatus};

use crate::clock;
use crate::identity::{self, Identity, SecretKey};
use bytes::Bytes;
use connect::{DialError, Link, dial, renew, words};
use event::{Class, SECOND_NS, Timestamp};
use prost::Message as _;
use spool::RecordKind;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use wire::link::{Action, Batch, Message, Policy, Sender, SenderConfig};
use wire::{Mark, Packer, Row};

/// `[uplink]` of the agent's configuration.
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    /// `host:port` of the collector's link port; empty means the one learnt at enrolment.
    pub collector: String,
    /// State folder, where a renewed identity is kept.
    pub state_dir: PathBuf,
    /// TCP, TLS and the first answer together.
    pub connect_max: Duration,
    /// zstd level, 1 to 3.
    pub level: i32,
    /// Window, batch size, keep-alive, back-off.
    pub sender: SenderConfig,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        let product = concat!("vedette-agent/", env!("CARGO_PKG_VERSION")).to_owned();
        Self {
            collector: String::new(),
            state_dir: PathBuf::from("/var/lib/vedette-agent"),
            connect_max: Duration::from_secs(15),
            level: wire::batch::LEVEL_DEFAULT,
            sender: SenderConfig { product, ..SenderConfig::default() },
        }
    }
}

/// Time between two looks at the certificate's age, and between two tries to renew it.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);
const RENEWAL_RETRY_NS: i64 = 600 * SECOND_NS;
/// Time to write a last word when the program stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs until `stop` resolves: connect, send, be acknowledged, renew the certificate; on failure wait and begin again.
pub async fn run(cfg: UplinkConfig, identity: Identity, source: impl Source, status: Arc<UplinkStatus>, stop: impl Future<Output = ()>) {
    let seed = identity.agent.0 ^ clock::now().ns() as u64; // agents that lose the collector together come back apart
    status.update(|s| s.certificate_not_after = Some(identity.not_after));
    let uplink = Uplink {
        sender: Sender::new(cfg.sender.clone(), &source.acknowledged(), seed),
        packer: Packer::new(cfg.level),
        clock_offset_ms: 0,
        renew_after: Timestamp::MIN,
        link: None,
        unsent: None,
        renewal: None,
        policies: Policies::open(&identity.ca, &cfg.state_dir),
        cfg,
        identity,
        source,
        status,
    };
    uplink.run(stop).await;
}

type Renewal = Pin<Box<dyn Future<Output = Result<Identity, String>> + Send>>;

struct Uplink<S> {
    cfg: UplinkConfig,
    identity: Identity,
    source: S,
    status: Arc<UplinkStatus>,
    sender: Sender,
    packer: Packer,
    /// Collector's clock minus ours, as far as known.
    clock_offset_ms: i64,
    renew_after: Timestamp,
    link: Option<Link>,
    /// A message the connection has no room for yet.
    unsent: Option<Bytes>,
    renewal: Option<Renewal>,
    policies: Policies,
}

/// What woke the task.
enum Woken {
    Stop,
    Room,
    Arrived(Result<Option<Bytes>, tonic::Status>),
    Committed,
    Renewed(Result<Identity, String>),
    Time,
}

impl<S: Source> Uplink<S> {
    async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let wait = match self.act() {
                Next::Dial => {
                    tokio::select! {
                        () = &mut stop => return,
                        () = self.connect() => continue,
                    }
                }
                Next::Wait(until) => until,
            };
            self.look_at_certificate();
            match self.wait(wait, stop.as_mut()).await {
                Woken::Stop => return self.goodbye().await,
                Woken::Room | Woken::Time => {}
                Woken::Arrived(Ok(Some(bytes))) => self.arrived(bytes),
                Woken::Arrived(Ok(None)) => self.lost("the collector ended the stream"),
                Woken::Arrived(Err(status)) => self.lost(&format!("the connection broke ({})", words(&status))),
                Woken::Committed => Class::ALL.into_iter().for_each(|class| self.sender.wake(class)),
                Woken::Renewed(outcome) => self.renewed(outcome),
            }
        }
    }

    /// Does what the state machine wants, until it wants to wait, to dial, or the connection is full.
    fn act(&mut self) -> Next {
        loop {
            if self.unsent.is_some() && !self.push() {
                return Next::Wait(None);
            }
            match self.sender.poll(clock::now()) {
                Action::Connect => return Next::Dial,
                Action::Wait(until) => return Next::Wait(until),
                Action::Send(message) => self.unsent = Some(Bytes::from(message.encode_to_vec())),
                Action::Read { class, after, bytes_max } => self.read(class, after, bytes_max),
                Action::Acknowledge { class, upto } => {
                    self.source.acknowledge(class, upto);
                    self.status.update(|s| s.last_ack = Some(clock::now()));
                }
                Action::Policy(policy) => self.policy(&policy),
                Action::Disconnect { code, reason } => {
                    self.disconnected(format!("{} ({})", reason.chars().filter(|c| !c.is_control()).collect::<String>(), code.name()));
                }
            }
        }
    }

    /// Hands the unsent message to the connection; false if there is no room yet.
    fn push(&mut self) -> bool {
        let (Some(link), Some(bytes)) = (&self.link, self.unsent.take()) else { return true };
        match link.outgoing.try_send(bytes) {
            Ok(()) => true,
            Err(tokio::sync::mpsc::error::TrySendError::Full(bytes)) => {
                self.unsent = Some(bytes);
                false
            }
            // The connection is gone; its reading end says so too, and says why.
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => true,
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>, stop: Pin<&mut impl Future<Output = ()>>) -> Woken {
        let now = clock::now();
        let ns = until.map_or(i64::MAX, |at| at.since(now).max(0));
        let nap = Duration::from_nanos(u64::try_from(ns).unwrap_or(0)).min(RENEWAL_LOOK);
        let full = self.unsent.is_some();
        let (outgoing, incoming) = match &mut self.link {
            Some(link) => (Some(&link.outgoing), Some(&mut link.incoming)),
            None => (None, None),
        };
        let room = async {
            match outgoing.filter(|_| full) {
                Some(outgoing) => drop(outgoing.reserve().await),
                None => std::future::pending().await,
            }
        };
        let arrival = async {
            match incoming {
                Some(incoming) => incoming.message().await,
                None => std::future::pending().await,
            }
        };
        let renewal = async {
            match &mut self.renewal {
                Some(renewal) => renewal.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => Woken::Stop,
            message = arrival => Woken::Arrived(message),
            () = room => Woken::Room,
            outcome = renewal => Woken::Renewed(outcome),
            () = self.source.notified() => Woken::Committed,
            () = tokio::time::sleep(nap) => Woken::Time,
        }
    }

    async fn connect(&mut self) {
        let address = if self.cfg.collector.is_empty() { self.identity.collector.clone() } else { self.cfg.collector.clone() };
        if self.identity.is_expired(self.collector_time()) {
            self.recover().await;
        }
        let dialled = tokio::time::timeout(self.cfg.connect_max, dial(&address, &self.identity, clock::now())).await;
        let dialled = dialled.unwrap_or_else(|_| {
            let text = format!("no answer from {address} within {} s: is it the link port, and reachable?", self.cfg.connect_max.as_secs());
            Err(DialError { text, expired: false })
        });
        match dialled {
            Ok(link) => {
                let now = clock::now();
                if let Some(offset) = link.clock_offset_ms {
                    self.clock_offset_ms = offset;
                }
                self.link = Some(link);
                self.unsent = None;
                self.sender.connected(now, &self.source.ends());
                let offset = self.clock_offset_ms;
                self.status.update(|s| {
                    s.connected_since = Some(now);
                    s.connects += 1;
                    s.clock_offset_ms = Some(offset);
                });
                tracing::info!(collector = address, "connected");
            }
            Err(error) => {
                if error.expired {
                    self.recover().await;
                }
                self.failed(error.text);
                self.sender.disconnected(clock::now());
            }
        }
    }

    /// Our certificate ran out: the enrolment port gives the same key a new one, a limited number of times.
    async fn recover(&mut self) {
        match identity::recover(&self.cfg.state_dir, &self.identity).await {
            Ok(identity) => {
                tracing::info!(not_after = %identity.not_after, "certificate recovered");
                self.adopt(identity);
            }
            Err(error) => self.failed(format!("the certificate ran out and was not recovered: {error}")),
        }
    }

    fn read(&mut self, class: Class, after: Mark, bytes_max: u32) {
        match self.source.read(class, after, bytes_max as usize) {
            Ok(records) => match pack(&mut self.packer, class, &records) {
                Some(batch) => {
                    let bytes = batch.packed.len() as u64;
                    self.sender.offer(batch);
                    self.status.update(|s| {
                        s.batches_sent += 1;
                        s.bytes_sent += bytes;
                    });
                }
                None => self.sender.nothing(class),
            },
            Err(error) => {
                // Looked at again with the next commit or the next connection.
                self.sender.nothing(class);
                self.failed(error.to_string());
            }
        }
    }

    fn arrived(&mut self, bytes: Bytes) {
        match Message::decode(bytes) {
            Ok(message) => {
                if message.body.is_none() {
                    self.status.update(|s| s.unknown_messages += 1); // from a newer collector: passed over, and counted
                    return;
                }
                self.sender.received(clock::now(), message);
            }
            Err(_) => self.lost("the collector sent bytes that are no message"),
        }
    }

    /// Signed policy: what is whole is made a set of beside the link, which goes on meanwhile, and handed to the edge.
    fn policy(&mut self, policy: &Policy) {
        match self.policies.take(policy) {
            Ok(None) => {}
            Ok(Some(complete)) => {
                let status = self.status.clone();
                tokio::task::spawn_blocking(move || match complete.build() {
                    Ok(set) => {
                        tracing::info!(revision = complete.revision, entries = set.len(), "indicators in force");
                        status.arm(complete.revision, set);
                    }
                    Err(error) => tracing::warn!(%error, revision = complete.revision, "indicators not taken, the old ones stay"),
                });
            }
            Err(error) => {
                self.status.update(|s| s.policies_ignored += 1);
                tracing::warn!(%error, revision = policy.revision, "policy not taken");
            }
        }
    }

    /// The connection is gone without a word of the state machine.
    fn lost(&mut self, what: &str) {
        let host = crate::identity::message::split_host_port(&self.identity.collector).map_or("", |(host, _)| host);
        let error = match &self.link {
            Some(link) => link.failure.explain(host, what),
            None => DialError { text: what.to_owned(), expired: false },
        };
        if error.expired {
            // The collector's clock says so, whatever ours says: the next connect begins with a recovery.
            self.clock_offset_ms = self.clock_offset_ms.max(self.identity.not_after.plus_secs(1).ms().saturating_sub(clock::now().ms()));
        }
        self.disconnected(error.text);
    }

    fn disconnected(&mut self, text: String) {
        // What was queued may still be flushed by the connection's own task.
        if let (Some(link), Some(bytes)) = (&self.link, self.unsent.take()) {
            let _ = link.outgoing.try_send(bytes);
        }
        self.link = None;
        self.renewal = None;
        self.status.update(|s| s.connected_since = None);
        self.failed(text);
        self.sender.disconnected(clock::now());
    }

    fn failed(&self, text: String) {
        tracing::warn!(error = text, "uplink");
        self.status.update(|s| {
            s.failures += 1;
            s.last_error = Some((clock::now(), text));
        });
    }

    /// Now, by the collector's clock as far as it is known.
    fn collector_time(&self) -> Timestamp {
        clock::now().plus_ns(self.clock_offset_ms.saturating_mul(1_000_000))
    }

    fn look_at_certificate(&mut self) {
        let Some(link) = &self.link else { return };
        let now = self.collector_time();
        if self.renewal.is_some() || now < self.renew_after || !self.identity.renewal_due(now) {
            return;
        }
        self.renew_after = now.plus_ns(RENEWAL_RETRY_NS);
        self.renewal = Some(Box::pin(renewal(self.identity.clone(), link.grpc.clone(), self.cfg.state_dir.clone())));
    }

    fn renewed(&mut self, outcome: Result<Identity, String>) {
        self.renewal = None;
        match outcome {
            Ok(identity) => {
                tracing::info!(not_after = %identity.not_after, "certificate renewed");
                self.renew_after = Timestamp::MIN;
                self.adopt(identity);
                self.status.update(|s| s.renewals += 1);
            }
            Err(text) => self.failed(format!("certificate not renewed: {text}")),
        }
    }

    fn adopt(&mut self, identity: Identity) {
        self.status.update(|s| s.certificate_not_after = Some(identity.not_after));
        self.identity = identity;
    }

    /// Tells the collector that this is an orderly end, and waits a moment for it to be written.
    async fn goodbye(mut self) {
        self.sender.shutdown();
        while let Action::Send(message) = self.sender.poll(clock::now()) {
            if let Some(link) = &self.link {
                let _ = tokio::time::timeout(GOODBYE, link.outgoing.send(Bytes::from(message.encode_to_vec()))).await;
            }
        }
        if let Some(Link { outgoing, mut incoming, .. }) = self.link.take() {
            drop(outgoing);
            // The collector ends the stream once it has read everything.
            let drain = async { while let Ok(Some(_)) = incoming.message().await {} };
            let _ = tokio::time::timeout(GOODBYE, drain).await;
        }
        self.status.update(|s| s.connected_since = None);
    }
}

enum Next {
    Dial,
    Wait(Option<Timestamp>),
}

async fn renewal(identity: Identity, grpc: tonic::client::Grpc<tonic::transport::Channel>, dir: PathBuf) -> Result<Identity, String> {
    let (key, csr): (SecretKey, Vec<u8>) = Identity::fresh_key().map_err(|e| e.to_string())?;
    let certificate =
        tokio::time::timeout(Duration::from_secs(30), renew(grpc, csr)).await.map_err(|_| "no answer within 30 s".to_owned())??;
    let renewed = identity.renewed(key, certificate).map_err(|e| e.to_string())?;
    renewed.store(&dir).map_err(|e| e.to_string())?;
    Ok(renewed)
}

/// One batch of the first records that belong together: one epoch, no hole.
fn pack(packer: &mut Packer, class: Class, records: &[spool::Record]) -> Option<Batch> {
    let first = records.first()?;
    let mut next = first.seq;
    for record in records {
        if record.epoch != first.epoch || record.seq != next {
            break;
        }
        let row = match &record.kind {
            RecordKind::Data(payload) => Row::Event(payload),
            RecordKind::Gap { count, reason } => Row::Gap { count: *count, reason },
        };
        if !packer.push(row) {
            break;
        }
        next = record.last().saturating_add(1);
    }
    packer.pack(class, event::Epoch(first.epoch), first.seq)
}
