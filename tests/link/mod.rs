//! Agent and collector over real TLS on loopback: enrolment, the stream, everything that must be refused, and what survives a
//! restart. Waits are for something that happens (a state, a mark, the end of a connection), never for time.

mod enrolment;
mod hostile;
mod indicators;
mod stream;

use agent::identity::message::Invitation;
use agent::identity::{Identity, enrol};
use agent::uplink::{Snapshot, Source, SourceError, UplinkConfig, UplinkStatus};
use collector::authority::{Authority, AuthorityConfig, Clock, DoorConfig, NewToken, ServerCertificate, serve_enrolment};
use collector::ingest::{AcceptedBatch, BatchSink, LinkConfig, Links, SinkError, Ticket, Watermark, Watermarks};
use event::{AgentId, Class, Timestamp};
use spool::{Record, RecordKind};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use wire::Mark;
use wire::link::Marks;

const DAY: i64 = 86_400;

/// A runtime of its own for each case, with real time.
fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), case).await.expect("the case hangs") })
}

/// A collector's clock: this machine's, moved by so many seconds.
#[derive(Clone, Default)]
struct Moved(Arc<AtomicI64>);

impl Moved {
    fn clock(&self) -> Clock {
        let by = self.0.clone();
        Arc::new(move || collector::clock::now().plus_secs(by.load(Ordering::Relaxed)))
    }
    fn set(&self, secs: i64) {
        self.0.store(secs, Ordering::Relaxed);
    }
}

/// A collector with both ports open. Its authority and its log outlive `stop`.
struct Collector {
    base: tempfile::TempDir,
    time: Moved,
    authority: Arc<Authority>,
    certificate: Arc<ServerCertificate>,
    sink: Arc<Log>,
    links: Arc<Links>,
    config: LinkConfig,
    link: SocketAddr,
    door: SocketAddr,
    running: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Collector {
    async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(change: impl FnOnce(&mut AuthorityConfig, &mut DoorConfig)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let time = Moved::default();
        let link_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (link, door) = (link_listener.local_addr().unwrap(), door_listener.local_addr().unwrap());
        let mut config = AuthorityConfig {
            dir: base.path().join("authority"),
            advertise: door.to_string(),
            link_port: link.port(),
            ..Default::default()
        };
        let mut door_config = DoorConfig::default();
        change(&mut config, &mut door_config);
        let authority = Authority::open(config, time.clock()()).unwrap();
        let certificate = ServerCertificate::new(authority.clone(), time.clock()).unwrap();
        let sink = Arc::new(Log::default());
        let config = LinkConfig::default();
        let links = Links::new(authority.clone(), sink.clone(), sink.clone(), &config, time.clock());
        let mut it = Self { base, time, authority, certificate, sink, links, config, link, door, running: Vec::new() };
        it.serve_link(link_listener);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving =
            serve_enrolment(door_listener, it.authority.clone(), it.certificate.clone(), door_config, it.time.clock(), gone(stopped));
        it.running.push((stop, tokio::spawn(async { serving.await.unwrap() })));
        it
    }

    fn serve_link(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = collector::ingest::serve(listener, self.links.clone(), self.certificate.clone(), self.config.clone(), gone(stopped));
        self.running.insert(0, (stop, tokio::spawn(async { serving.await.unwrap() })));
    }

    /// Ends the link port in an orderly way, then opens it again with everything forgotten that is not on disk.
    async fn restart_link(&mut self, meanwhile: impl FnOnce()) {
        let (stop, task) = self.running.remove(0);
        drop(stop);
        task.await.unwrap();
        meanwhile();
        self.links = Links::new(self.authority.clone(), self.sink.clone(), self.sink.clone(), &self.config, self.time.clock());
        self.serve_link(TcpListener::bind(self.link).await.unwrap());
    }

    fn invite(&self) -> Invitation {
        self.authority.invite(NewToken::default(), self.time.clock()()).unwrap()
    }

    fn state_dir(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    async fn enrolled(&self, name: &str) -> Identity {
        enrol(&self.state_dir(name), &self.invite(), false).await.unwrap()
    }

    fn agent(&self, name: &str, identity: Identity, spool: &Arc<Spool>) -> Agent {
        Agent::start(&self.state_dir(name), identity, spool.clone())
    }
}

async fn gone(stop: oneshot::Receiver<()>) {
    let _ = stop.await; // the sender is only ever dropped
}

/// A running uplink.
struct Agent {
    id: AgentId,
    status: Arc<UplinkStatus>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(dir: &Path, identity: Identity, spool: Arc<Spool>) -> Self {
        let status = Arc::new(UplinkStatus::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut config = UplinkConfig { state_dir: dir.to_owned(), ..UplinkConfig::default() };
        config.sender.backoff_min_ns = 10_000_000;
        config.sender.backoff_max_ns = 50_000_000;
        config.sender.batch_bytes = 2_000;
        let id = identity.agent;
        let task = tokio::spawn(agent::uplink::run(config, identity, spool, status.clone(), gone(stopped)));
        Self { id, status, stop, task }
    }

    async fn wait(&self, which: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        self.status.subscribe().wait_for(which).await.unwrap().clone()
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

fn last_error(snapshot: &Snapshot) -> &str {
    snapshot.last_error.as_ref().map_or("", |(_, text)| text.as_str())
}

/// A spool in memory.
struct Spool {
    lanes: Mutex<[Vec<Record>; 3]>,
    committed: Notify,
    acknowledged: watch::Sender<Marks>,
}

impl Spool {
    fn new() -> Arc<Self> {
        Arc::new(Self { lanes: Mutex::default(), committed: Notify::new(), acknowledged: watch::Sender::new(Marks::default()) })
    }

    /// Adds `count` records to a lane; their payload says which they are.
    fn add(&self, class: Class, epoch: u64, count: u64) {
        let mut lanes = self.lanes.lock().unwrap();
        let lane = &mut lanes[class as usize];
        let mut seq = lane.last().filter(|r| r.epoch == epoch).map_or(0, Record::last);
        for _ in 0..count {
            seq += 1;
            let payload = payload(class, epoch, seq);
            lane.push(Record { lane: class as u8, epoch, seq, time_ns: 0, kind: RecordKind::Data(payload) });
        }
        drop(lanes);
        self.committed.notify_one();
    }

    fn add_gap(&self, class: Class, epoch: u64, count: u64) {
        let mut lanes = self.lanes.lock().unwrap();
        let lane = &mut lanes[class as usize];
        let seq = lane.last().filter(|r| r.epoch == epoch).map_or(0, Record::last) + 1;
        lane.push(Record { lane: class as u8, epoch, seq, time_ns: 0, kind: RecordKind::Gap { count, reason: "evicted".into() } });
        drop(lanes);
        self.committed.notify_one();
    }

    async fn acknowledged_up_to(&self, class: Class, mark: Mark) {
        self.acknowledged.subscribe().wait_for(|marks| marks[class as usize] >= mark).await.unwrap();
    }

    async fn all_acknowledged(&self) {
        for (class, mark) in Class::ALL.into_iter().zip(self.ends()) {
            self.acknowledged_up_to(class, mark).await;
        }
    }
}

fn payload(class: Class, epoch: u64, seq: u64) -> Vec<u8> {
    format!("{} {epoch} {seq} {}", class.name(), "x".repeat((seq % 97) as usize)).into_bytes()
}

impl Source for Spool {
    fn read(&self, class: Class, after: Mark, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        let lanes = self.lanes.lock().unwrap();
        let lane = &lanes[class as usize];
        let mut bytes = 0;
        let rest = lane.iter().filter(|r| Mark::new(r.epoch, r.seq) > after);
        let fits = rest.take_while(|r| {
            let before = bytes;
            bytes += if let RecordKind::Data(payload) = &r.kind { payload.len() } else { 16 };
            before < bytes_max
        });
        Ok(fits.cloned().collect())
    }
    fn acknowledge(&self, class: Class, upto: Mark) {
        self.acknowledged.send_modify(|marks| marks[class as usize] = upto);
    }
    fn acknowledged(&self) -> Marks {
        *self.acknowledged.borrow()
    }
    fn ends(&self) -> Marks {
        let lanes = self.lanes.lock().unwrap();
        std::array::from_fn(|n| lanes[n].last().map_or(Mark::START, |r| Mark::new(r.epoch, r.last())))
    }
    fn notified(&self) -> impl Future<Output = ()> + Send {
        self.committed.notified()
    }
}

/// A write-ahead log in memory whose disk can be held up, so that a crash can be put between writing and acknowledging.
#[derive(Default)]
struct Log {
    held: Mutex<LogState>,
    changed: Notify,
}

#[derive(Default)]
struct LogState {
    durable: Vec<AcceptedBatch>,
    /// While held up: written, not durable, nobody told.
    pending: Vec<(AcceptedBatch, oneshot::Sender<()>)>,
    hold: bool,
}

impl Log {
    fn hold(&self) {
        self.held.lock().unwrap().hold = true;
    }

    /// Resolves once so many batches wait for the disk.
    async fn pending(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if self.held.lock().unwrap().pending.len() >= count {
                return;
            }
            changed.await;
        }
    }

    /// The machine dies: what was pending is on disk (`kept`) or not, and no one was told either way.
    fn crash(&self, kept: bool) {
        let mut held = self.held.lock().unwrap();
        let pending = std::mem::take(&mut held.pending);
        if kept {
            held.durable.extend(pending.into_iter().map(|(batch, _)| batch));
        }
        held.hold = false;
    }

    /// What each agent's lanes hold, by sequence number; panics on a number twice or a batch out of order.
    fn rows(&self) -> BTreeMap<(AgentId, Class, u64, u64), Option<Vec<u8>>> {
        let mut rows = BTreeMap::new();
        for kept in &self.held.lock().unwrap().durable {
            let batch = wire::Batch::from_bytes(kept.bytes.clone()).unwrap();
            let open = batch.unpack().unwrap();
            assert_eq!((open.class, open.epoch, open.first_seq, open.last_seq), (kept.class, kept.epoch, kept.first_seq, kept.last_seq));
            for (seq, row) in open.rows() {
                let (count, payload) = match row {
                    wire::Row::Event(bytes) => (1, Some(bytes.to_vec())),
                    wire::Row::Gap { count, .. } => (count, None),
                };
                for seq in seq..seq + count {
                    let twice = rows.insert((kept.agent, kept.class, kept.epoch.0, seq), payload.clone());
                    assert!(twice.is_none(), "{} {} {}:{seq} twice", kept.agent, kept.class.name(), kept.epoch.0);
                }
            }
        }
        rows
    }
}

impl BatchSink for Log {
    fn accept(&self, batch: AcceptedBatch) -> Ticket {
        let mut held = self.held.lock().unwrap();
        if !held.hold {
            held.durable.push(batch);
            return Box::pin(std::future::ready(Ok(())));
        }
        let (done, ticket) = oneshot::channel();
        held.pending.push((batch, done));
        drop(held);
        self.changed.notify_waiters();
        Box::pin(async move { ticket.await.map_err(|_| SinkError("the machine died".into())) })
    }
}

impl Watermarks for Log {
    fn watermark(&self, agent: AgentId, class: Class) -> Option<Watermark> {
        let held = self.held.lock().unwrap();
        let own = held.durable.iter().filter(|b| b.agent == agent && b.class == class);
        own.map(|b| Watermark { epoch: b.epoch, seq: b.last_seq }).max()
    }
}

/// What a spool holds, as the log should have it.
fn expected(spools: &HashMap<AgentId, Arc<Spool>>) -> BTreeMap<(AgentId, Class, u64, u64), Option<Vec<u8>>> {
    let mut rows = BTreeMap::new();
    for (agent, spool) in spools {
        for record in spool.lanes.lock().unwrap().iter().flatten() {
            let class = Class::from_u8(record.lane).unwrap();
            for seq in record.seq..=record.last() {
                let payload = if let RecordKind::Data(payload) = &record.kind { Some(payload.clone()) } else { None };
                rows.insert((*agent, class, record.epoch, seq), payload);
            }
        }
    }
    rows
}

fn now() -> Timestamp {
    collector::clock::now()
}
