//! The agent's side of the registry without a network: a log that fails, room that runs out.

use super::connection::Connection;
use super::links::Links;
use super::peer::Peer;
use super::*;
use crate::authority::{Authority, AuthorityConfig, Clock, MemoryJournal};
use agent::identity::certificate::Name;
use bytes::Bytes;
use event::{AgentId, Class, Epoch, Timestamp};
use prost::Message as _;
use std::sync::Mutex;
use tokio::sync::oneshot;
use wire::link::{Body, Hello, Marks, Message, Session, VERSIONS};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const AGENT: AgentId = AgentId(7);

/// What was handed in, and who waits for the answer.
type Held = (AcceptedBatch, Option<oneshot::Sender<Result<(), SinkError>>>);

/// A log whose every answer is given by the test.
#[derive(Default)]
struct Log(Mutex<Vec<Held>>);

impl Log {
    fn given(&self) -> Vec<(Class, u64, u64)> {
        self.0.lock().unwrap().iter().map(|(b, _)| (b.class, b.first_seq, b.last_seq)).collect()
    }
    fn answer(&self, at: usize, outcome: Result<(), SinkError>) {
        let ticket = self.0.lock().unwrap()[at].1.take().unwrap();
        ticket.send(outcome).unwrap();
    }
}

impl BatchSink for Log {
    fn accept(&self, batch: AcceptedBatch) -> Ticket {
        let (sender, ticket) = oneshot::channel();
        self.0.lock().unwrap().push((batch, Some(sender)));
        Box::pin(async { ticket.await.unwrap() })
    }
}

impl Watermarks for Log {
    fn watermark(&self, _: AgentId, class: Class) -> Option<Watermark> {
        (class == Class::Bulk).then_some(Watermark { epoch: Epoch(1), seq: 40 })
    }
}

struct Case {
    _base: tempfile::TempDir,
    links: Arc<Links>,
    log: Arc<Log>,
}

fn case(change: impl FnOnce(&mut LinkConfig)) -> Case {
    let base = tempfile::tempdir().unwrap();
    let config = AuthorityConfig { dir: base.path().join("authority"), ..AuthorityConfig::default() };
    let authority = Authority::open_with(config, MemoryJournal::default(), NOW).unwrap();
    let log = Arc::new(Log::default());
    let mut config = LinkConfig::default();
    change(&mut config);
    let clock: Clock = Arc::new(|| NOW);
    let links = Links::new(authority, log.clone(), log.clone(), &config, clock);
    Case { _base: base, links, log }
}

struct Stream {
    peer: Arc<Peer>,
    session: Session,
    answers: mpsc::Receiver<Result<Bytes, tonic::Status>>,
}

impl Case {
    /// A greeted stream; the collector's marks are what it answered.
    async fn stream(&self) -> (Stream, Marks) {
        let name = Name { agent: AGENT, key: [0; 32], not_before: NOW, not_after: NOW };
        let connection = Connection::new(name, SocketAddr::from(([127, 0, 0, 1], 9)), NOW);
        self.links.joined(&connection);
        let peer = self.links.streaming(&connection);
        let (outbound, answers) = mpsc::channel(super::peer::OUTBOUND_MAX);
        let session = peer.open(connection, outbound, None);
        let mut stream = Stream { peer, session, answers };
        stream.send(Hello::new(VERSIONS, "test", &Marks::default(), 0)).await;
        let Some(Body::Hello(hello)) = stream.heard().await else { panic!("no greeting") };
        (stream, hello.marks())
    }
}

impl Stream {
    async fn send(&self, message: impl Into<Message>) {
        let room = self.peer.room(100).await.unwrap();
        self.peer.received(self.session, message.into(), room);
    }
    async fn batch(&self, class: Class, seq: u64) {
        let mut packer = wire::Packer::new(1);
        assert!(packer.push(wire::Row::Event(b"event")));
        self.send(packer.pack(class, Epoch(1), seq).unwrap()).await;
    }
    async fn heard(&mut self) -> Option<Body> {
        let bytes = self.answers.recv().await?.unwrap();
        Message::decode(bytes).unwrap().body
    }
    async fn acknowledged(&mut self) -> (u32, u64) {
        match self.heard().await {
            Some(Body::Ack(ack)) => (ack.class, ack.seq),
            other => panic!("no acknowledgement but {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lane_waits_for_its_own_disk_and_not_for_the_others() {
    let case = case(|_| {});
    let (mut stream, marks) = case.stream().await;
    assert_eq!(marks.map(|m| m.seq), [0, 0, 40], "the log's own marks");
    for seq in 1..=3 {
        stream.batch(Class::Normal, seq).await;
    }
    stream.batch(Class::Critical, 1).await;
    assert_eq!(case.log.given(), [(Class::Normal, 1, 1), (Class::Critical, 1, 1)], "the next of a lane only after the one before");
    case.log.answer(1, Ok(()));
    assert_eq!(stream.acknowledged().await, (0, 1));
    for (at, seq) in [(0, 1), (2, 2), (3, 3)] {
        case.log.answer(at, Ok(()));
        assert_eq!(stream.acknowledged().await, (1, seq));
    }
}

#[tokio::test]
async fn a_failed_batch_is_the_next_one_asked_for_and_nothing_after_it_was_stored() {
    let case = case(|_| {});
    let (mut stream, _) = case.stream().await;
    for seq in 1..=4 {
        stream.batch(Class::Normal, seq).await;
    }
    stream.batch(Class::Critical, 1).await;
    case.log.answer(0, Ok(()));
    assert_eq!(stream.acknowledged().await, (1, 1));
    case.log.answer(2, Err(SinkError("disk full".into())));
    assert!(matches!(stream.heard().await, Some(Body::Close(close)) if close.retry_after_ms > 0));
    assert!(stream.heard().await.is_none(), "and the stream ends");
    // The other lane's batch was on its way to the disk and arrives there: it must not be asked for again.
    case.log.answer(1, Ok(()));
    while case.links.counters().durable.get() < 2 {
        tokio::task::yield_now().await;
    }
    let (stream, marks) = case.stream().await;
    assert_eq!(marks.map(|m| m.seq), [1, 1, 40]);
    stream.batch(Class::Normal, 2).await;
    assert_eq!(case.log.given().last(), Some(&(Class::Normal, 2, 2)));
    assert_eq!(case.log.given().len(), 4, "batches 3 and 4 never reached the log");
    assert_eq!(case.links.counters().refused(Reason::Store), 1);
}

#[tokio::test]
async fn bytes_on_their_way_to_the_disk_are_bounded() {
    let longest = agent::uplink::codec::MESSAGE_BYTES_MAX;
    let case = case(|config| config.in_flight_bytes_per_agent = longest);
    let (mut stream, _) = case.stream().await;
    let room = stream.peer.room(longest).await.unwrap();
    let mut packer = wire::Packer::new(1);
    assert!(packer.push(wire::Row::Event(b"event")));
    let batch = packer.pack(Class::Normal, Epoch(1), 1).unwrap();
    stream.peer.received(stream.session, batch.into(), room);
    let peer = stream.peer.clone();
    let mut next = std::pin::pin!(peer.room(1));
    assert!(futures_util::FutureExt::now_or_never(next.as_mut()).is_none(), "the session does not read on");
    case.log.answer(0, Ok(()));
    assert_eq!(stream.acknowledged().await, (1, 1));
    assert!(next.await.is_some());
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_cut() {
    let case = case(|_| {});
    let (stream, _) = case.stream().await;
    for nonce in 0..=super::peer::OUTBOUND_MAX as u64 {
        stream.send(wire::link::Keepalive { nonce, echo: false }).await;
    }
    assert_eq!(case.links.counters().refused(Reason::NotReading), 1);
    assert_eq!(case.links.counters().refused(Reason::Superseded), 0);
}
