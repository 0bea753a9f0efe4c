//! Notification: what is written as a message is carried to people, by priority, within each channel's limits, until it is delivered or given up.
//!
//! The order and the limits are `notifier::Queue`'s; what channels say and answer is `notifier`'s; here are the thread that owns the queue, the
//! delivery log behind it, and the sockets. The thread sleeps until the office rings, an answer comes, or something falls due.
//!
//! Promises: a message is taken once (cursor and deliveries in one transaction); an attempt is on disk before it is made; what was under way at
//! a kill is sent again under the same key (Message-ID, Idempotency-Key); what was confirmed is never sent again.

mod noted;
pub mod recipients;
pub mod setup;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use event::Timestamp;
use matter::{Both, Message, Permission, Recipient};
use notifier::queue::{HELD_MAX, RED};
use notifier::{Configured, Delivery, Letter, Parcel, Queue, Settled, Verdict};
use ring::rand::{SecureRandom, SystemRandom};
use telemetry::{Counters, Gauges, Histograms, Metrics};
use tracing::{error, info, warn};
use warning::grade::Level;

pub use setup::{NotifyConfig, Setup};

use crate::office::Office;
use crate::store::DeskStore;
use crate::store::desk::{DeliveryEnd, DeliveryRow};
use wire::Got;

/// Messages taken in one transaction.
const TAKE_MAX: usize = 200;
/// Messages of a digest that are looked up; robots list fewer.
const LISTED_MAX: usize = 500;
/// Ended deliveries are kept as long as the law asks for logs.
const KEPT_NS: i64 = 180 * 86_400 * event::SECOND_NS;
const PRUNE_EVERY_NS: i64 = 600 * event::SECOND_NS;
const PRUNE_MAX: usize = 10_000;
/// However quiet it is, the thread looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often what others see is brought up to date while there is something to do.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How long a stop waits for answers under way.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What the thread is told.
enum Note {
    /// There are messages, or the set-up changed.
    Look,
    Answer {
        channel: String,
        key: String,
        verdict: Verdict,
    },
    /// A dead letter goes again.
    Again(Box<DeliveryRow>),
    /// A test used a slot.
    Used(String, Timestamp),
    Stop,
}

/// What others see of a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    pub sent: Option<Timestamp>,
    pub failed: Option<Timestamp>,
    /// Why the last attempt failed; empty when it did not.
    pub reason: String,
    /// Waiting by rank, none to red.
    pub waiting: [usize; 5],
}

/// The handle everybody else has.
pub struct Notifier {
    notes: Mutex<Sender<Note>>,
    setup: RwLock<Arc<Setup>>,
    health: Arc<RwLock<BTreeMap<String, Health>>>,
    desk: Arc<dyn DeskStore>,
    clock: fn() -> Timestamp,
    tests: std::sync::atomic::AtomicU64,
}

/// Numbers of notification.
#[derive(Clone)]
pub struct NotifyMetrics {
    sent: Counters,
    failed: Counters,
    dead: Counters,
    coalesced: Counters,
    waiting: Gauges,
    seconds: Histograms,
}

impl NotifyMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let by = &["channel", "level"];
        let made = Self {
            sent: metrics.counters("notify", "sent_deliveries", "Messages confirmed by the channel's peer.", by),
            failed: metrics.counters("notify", "failed_attempts", "Attempts that failed and are tried again.", &["channel"]),
            dead: metrics.counters("notify", "dead_deliveries", "Messages given up.", by),
            coalesced: metrics.counters("notify", "coalesced_deliveries", "Messages that went in a digest with others.", by),
            waiting: metrics.gauges("notify", "waiting_deliveries", "Messages not delivered yet.", by),
            seconds: metrics.histograms(
                "notify",
                "delivery_seconds",
                "From the message's writing to its confirmed delivery.",
                &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0, 3_600.0],
                by,
            ),
        };
        // There from the start, so that the first is a rise and not a new series. Without a channel: nobody could be reached.
        for rank in 0..=RED {
            drop(made.dead.with(&["", level_word(rank)]));
            made.waiting.with(&["", level_word(rank)]).set_int(0);
        }
        made
    }
}

/// The thread that carries; end it with [`Notifier::stop`].
pub type Carrier = std::thread::JoinHandle<()>;

impl Notifier {
    /// Starts the thread. Must be called within a tokio runtime, whose workers hold the sockets.
    pub fn start(
        desk: Arc<dyn DeskStore>,
        office: Arc<Office>,
        setup: Setup,
        metrics: NotifyMetrics,
        clock: fn() -> Timestamp,
    ) -> std::io::Result<(Arc<Self>, Carrier)> {
        let (notes, inbox) = channel();
        let health = Arc::new(RwLock::new(BTreeMap::new()));
        let notifier = Arc::new(Self {
            notes: Mutex::new(notes.clone()),
            setup: RwLock::new(Arc::new(setup)),
            health: health.clone(),
            desk: desk.clone(),
            clock,
            tests: Default::default(),
        });
        let bell = office.bell.clone();
        let ring = notes.clone();
        tokio::spawn(async move {
            loop {
                bell.notified().await;
                if ring.send(Note::Look).is_err() {
                    break;
                }
            }
        });
        let mut carrier = Thread {
            noted: noted::Noted::start(office.clone(), clock)?,
            notifier: notifier.clone(),
            desk,
            office,
            queue: Queue::new(Default::default()),
            metrics,
            clock,
            health,
            runtime: tokio::runtime::Handle::current(),
            notes,
            random: SystemRandom::new(),
            behind: false,
            pruned: Timestamp::from_ns(0),
            shown: BTreeSet::new(),
            shown_at: Timestamp::from_ns(0),
            red_taken: 0,
        };
        let thread = std::thread::Builder::new().name("notify".into()).spawn(move || carrier.run(&inbox))?;
        Ok((notifier, thread))
    }

    fn tell(&self, note: Note) {
        let _ = self.notes.lock().unwrap_or_else(PoisonError::into_inner).send(note);
    }

    pub fn stop(&self) {
        self.tell(Note::Stop);
    }

    pub fn setup(&self) -> Arc<Setup> {
        self.setup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A changed configuration; what waits for a channel that is gone waits until it is back.
    pub fn exchange(&self, setup: Setup) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
        self.tell(Note::Look);
    }

    pub fn health(&self) -> BTreeMap<String, Health> {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a test, marked as such, at once and past the queue; none where there is no such channel. The seconds it took, and what came of it.
    pub async fn test(&self, name: &str, to: Option<&str>, who: &str) -> Option<(f64, Verdict)> {
        let setup = self.setup();
        let channel = setup.channels.get(name)?;
        let now = (self.clock)();
        let count = self.tests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = matter::id_of("test", &[name, who, &now.ns().to_string(), &count.to_string()]);
        let message = Message {
            key: key.clone(),
            recipient: Recipient::City { right: Permission::NotifyTest },
            level: None,
            kind: "test".to_owned(),
            id: key.clone(),
            thread: key.clone(),
            title: Both::new(format!("通道“{name}”测试"), format!("Test of channel '{name}'")),
            text: Both::new(format!("由 {who} 发起的通道测试。"), format!("{who} tests this channel.")),
            revision: None,
            exercise: false,
            time: now,
        };
        let city = channel.channel.city();
        let to = to.map(str::to_owned).or_else(|| city.first().cloned()).unwrap_or_default();
        if channel.common.addressed && to.is_empty() {
            return Some((0.0, Verdict::reject("the channel has no recipient of its own; name one")));
        }
        let messages = [&message];
        let letter = Letter {
            messages: &messages,
            more: 0,
            key: &key,
            to: &to,
            zh: channel.common.zh,
            zone: setup.zone,
            test: true,
            console: &setup.console,
        };
        let request = channel.channel.render(&letter, now);
        self.tell(Note::Used(name.to_owned(), now));
        let got = setup.wire.send(channel.channel.route(), &request).await;
        let took = (self.clock)().since(now) as f64 / event::SECOND_NS as f64;
        Some((took, channel.channel.classify(&got.answer())))
    }

    /// Queues a dead letter again; none where there is no such dead letter. Blocks.
    pub fn retry(&self, id: &str) -> Result<Option<DeliveryRow>, crate::store::desk::DeskError> {
        let row = self.desk.retry_delivery(id, (self.clock)())?;
        if let Some(row) = &row {
            self.tell(Note::Again(Box::new(row.clone())));
        }
        Ok(row)
    }
}

struct Thread {
    notifier: Arc<Notifier>,
    noted: noted::Noted,
    desk: Arc<dyn DeskStore>,
    office: Arc<Office>,
    queue: Queue,
    metrics: NotifyMetrics,
    clock: fn() -> Timestamp,
    health: Arc<RwLock<BTreeMap<String, Health>>>,
    runtime: tokio::runtime::Handle,
    notes: Sender<Note>,
    random: SystemRandom,
    /// More is open in the store than is held here.
    behind: bool,
    pruned: Timestamp,
    /// Series of the waiting gauge that were ever shown: one that is empty shows zero.
    shown: BTreeSet<String>,
    shown_at: Timestamp,
    /// Red messages up to this number were taken before their turn.
    red_taken: u64,
}

impl Thread {
    fn run(&mut self, inbox: &Receiver<Note>) {
        let mut setup = self.notifier.setup();
        self.queue.configure(setup.patience, setup.limits());
        self.load();
        let (mut under_way, mut more) = (0usize, true);
        loop {
            let fresh = self.notifier.setup();
            if !Arc::ptr_eq(&fresh, &setup) {
                setup = fresh;
                self.queue.configure(setup.patience, setup.limits());
            }
            more = self.take(&setup, more);
            if self.behind && self.queue.held() < HELD_MAX / 2 {
                self.load();
            }
            while let Some(parcel) = self.queue.next((self.clock)()) {
                under_way += usize::from(self.begin(&setup, parcel));
            }
            let shown = self.show();
            self.prune();
            let now = (self.clock)();
            // Reds among what was just taken are on their way before the next messages are taken.
            let longest = if more {
                Duration::ZERO
            } else if shown {
                LOOK_EVERY
            } else {
                SHOW_EVERY
            };
            let wait = self.queue.due(now).map_or(longest, |due| {
                Duration::from_nanos(u64::try_from(due.since(now)).unwrap_or(0)).max(Duration::from_millis(1)).min(longest)
            });
            let mut note = match inbox.recv_timeout(wait) {
                Ok(note) => Some(note),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while let Some(told) = note {
                match told {
                    Note::Look => {}
                    Note::Answer { channel, key, verdict } => {
                        under_way = under_way.saturating_sub(1);
                        self.settle(&channel, &key, &verdict);
                    }
                    Note::Again(row) => self.hold(*row),
                    Note::Used(channel, at) => self.queue.remember(&channel, at),
                    Note::Stop => {
                        self.finish(inbox, under_way);
                        return;
                    }
                }
                note = inbox.try_recv().ok();
            }
        }
    }

    /// Nothing new is begun; answers under way are still written down.
    fn finish(&mut self, inbox: &Receiver<Note>, mut under_way: usize) {
        while under_way > 0 {
            match inbox.recv_timeout(STOP_WAIT) {
                Ok(Note::Answer { channel, key, verdict }) => {
                    under_way -= 1;
                    self.settle(&channel, &key, &verdict);
                }
                Ok(_) => {}
                Err(_) => {
                    warn!(under_way, "stopping without their answers; they are sent again under the same keys");
                    return;
                }
            }
        }
    }

    /// Fills the queue from the store: at start, and when there is room again.
    fn load(&mut self) {
        let rows = match self.desk.open_deliveries(HELD_MAX) {
            Ok(rows) => rows,
            Err(error) => {
                error!(%error, "deliveries cannot be read");
                return;
            }
        };
        self.behind = rows.len() >= HELD_MAX;
        let held = self.queue.held_numbers();
        let mut parcels: BTreeMap<(String, String), Vec<DeliveryRow>> = BTreeMap::new();
        let mut waiting = 0;
        for row in rows.into_iter().filter(|r| !held.contains(&r.number)) {
            match row.parcel.clone() {
                Some(key) => parcels.entry((row.channel.clone(), key)).or_default().push(row),
                None => {
                    waiting += 1;
                    self.hold(row);
                }
            }
        }
        if held.is_empty() && (waiting > 0 || !parcels.is_empty()) {
            info!(waiting, parcels = parcels.len(), "deliveries of before taken up");
        }
        for ((channel, key), rows) in parcels {
            let Some(first) = rows.first() else { continue };
            self.queue.restore(Parcel {
                key,
                channel,
                target: target(first),
                rank: rows.iter().map(|r| r.rank).max().unwrap_or(0),
                attempts: rows.iter().map(|r| r.attempts).max().unwrap_or(0),
                not_before: Timestamp::from_ns(rows.iter().map(|r| r.next).max().unwrap_or(0)),
                members: rows.iter().map(|r| r.number).collect(),
            });
        }
        if held.is_empty() {
            let since = (self.clock)().minus_ns(120 * event::SECOND_NS);
            for attempt in self.desk.attempts_since(since).unwrap_or_default() {
                self.queue.remember(&attempt.channel, Timestamp::from_ns(attempt.began));
            }
        }
    }

    fn hold(&mut self, row: DeliveryRow) {
        let delivery = Delivery {
            number: row.number,
            id: row.id.clone(),
            rank: row.rank,
            target: target(&row),
            not_before: Timestamp::from_ns(row.next),
        };
        if !self.queue.add(&row.channel, delivery) {
            self.behind = true;
        }
    }

    /// New messages become deliveries, so many at a time; true where there are more. Where there were more the last time (`many`), red ones
    /// are taken before all others.
    fn take(&mut self, setup: &Setup, many: bool) -> bool {
        if many {
            let reds = self.desk.untaken_red(self.red_taken, TAKE_MAX).unwrap_or_default();
            if let Some(last) = reds.last().map(|(number, _)| *number)
                && self.make(setup, &reds, None)
            {
                self.red_taken = last;
                return true;
            }
        }
        let messages = match self.desk.untaken_messages(TAKE_MAX) {
            Ok(messages) => messages,
            Err(error) => {
                error!(%error, "messages cannot be read");
                return false;
            }
        };
        let Some(through) = messages.last().map(|(number, _)| *number) else { return false };
        self.make(setup, &messages, Some(through)) && messages.len() >= TAKE_MAX
    }

    /// Makes the deliveries of these messages; false where they could not be written.
    fn make(&mut self, setup: &Setup, messages: &[(u64, Message)], through: Option<u64>) -> bool {
        let (book, now) = (self.office.book(), (self.clock)());
        let rows: Vec<DeliveryRow> =
            messages.iter().flat_map(|(number, message)| recipients::deliveries(&book, setup, *number, message, now)).collect();
        let stored = match self.desk.take_messages(through, &rows) {
            Ok(stored) => stored,
            Err(error) => {
                error!(%error, "deliveries cannot be written");
                return false;
            }
        };
        for row in stored {
            if row.state == "queued" {
                self.hold(row);
            } else {
                warn!(unit = row.unit, about = row.about, reason = row.reason, "a message has nobody it can reach");
                self.metrics.dead.with(&[&row.channel, level_word(row.rank)]).inc();
            }
        }
        true
    }

    /// Writes the attempt down, then makes it. False where it was not made.
    fn begin(&mut self, setup: &Arc<Setup>, parcel: Parcel) -> bool {
        let now = (self.clock)();
        if let Err(error) = self.desk.begin_attempt(&parcel.members, &parcel.key, &parcel.channel, parcel.attempts, now) {
            error!(%error, channel = parcel.channel, "an attempt cannot be written down, and is not made");
            self.queue.settle(&parcel.channel, &parcel.key, &Verdict::retry("the delivery log cannot be written"), now, self.chance());
            return false;
        }
        let Some(channel) = setup.channels.get(&parcel.channel).cloned() else {
            self.settle(&parcel.channel, &parcel.key, &Verdict::retry("the channel is not configured"));
            return false;
        };
        let written = match self.letter(&parcel) {
            Ok(written) => written,
            Err(why) => {
                self.settle(&parcel.channel, &parcel.key, &why);
                return false;
            }
        };
        let (setup, notes) = (setup.clone(), self.notes.clone());
        let (name, key) = (parcel.channel.clone(), parcel.key.clone());
        let carried = self.runtime.spawn(async move {
            let got = carry(&setup, &channel, &parcel, &written, now).await;
            channel.channel.classify(&got.answer())
        });
        // An answer always comes, or the lane would wait for ever.
        self.runtime.spawn(async move {
            let verdict = carried.await.unwrap_or_else(|e| Verdict::retry(format!("the sending task ended: {e}")));
            let _ = notes.send(Note::Answer { channel: name, key, verdict });
        });
        true
    }

    /// The messages of a parcel, and whom it goes to.
    fn letter(&self, parcel: &Parcel) -> Result<Written, Verdict> {
        let unreadable = |e: crate::store::desk::DeskError| Verdict::retry(e.to_string());
        let rows = self.desk.deliveries_of(&parcel.members, LISTED_MAX).map_err(unreadable)?;
        let numbers: Vec<u64> = rows.iter().map(|r| r.message).collect();
        let messages: Vec<Message> = self.desk.messages_of(&numbers).map_err(unreadable)?.into_iter().map(|(_, m)| m).collect();
        let Some(first) = rows.first() else { return Err(Verdict::reject("its deliveries are gone")) };
        if messages.is_empty() {
            return Err(Verdict::reject("its messages are gone"));
        }
        Ok(Written { to: first.target.clone(), zh: first.zh, more: parcel.members.len().saturating_sub(messages.len()), messages })
    }

    fn settle(&mut self, channel: &str, key: &str, verdict: &Verdict) {
        let now = (self.clock)();
        let chance = self.chance();
        let (parcel, state, reason) = match self.queue.settle(channel, key, verdict, now, chance) {
            Settled::Sent(parcel) => (parcel, "sent", String::new()),
            Settled::Failed { parcel, reason } => (parcel, "failed", reason),
            Settled::Dead { parcel, reason } => (parcel, "dead", reason),
            Settled::Unknown => return,
        };
        let rows = self.desk.deliveries_of(&parcel.members, parcel.members.len()).unwrap_or_default();
        let end = DeliveryEnd { numbers: &parcel.members, parcel: key, state, reason: &reason, next: parcel.not_before, now };
        if let Err(error) = self.desk.end_attempt(&end) {
            error!(%error, channel, state, "what became of an attempt cannot be written down");
        }
        {
            let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
            let health = health.entry(channel.to_owned()).or_default();
            if state == "sent" {
                health.sent = Some(now);
            } else {
                health.failed = Some(now);
            }
            health.reason.clone_from(&reason);
        }
        match state {
            "sent" => {
                for row in &rows {
                    let labels = [channel, level_word(row.rank)];
                    self.metrics.sent.with(&labels).inc();
                    if parcel.members.len() > 1 {
                        self.metrics.coalesced.with(&labels).inc();
                    }
                    let took = now.since(Timestamp::from_ns(row.told)).max(0) as f64 / event::SECOND_NS as f64;
                    self.metrics.seconds.with(&labels).observe(took);
                }
                self.noted.delivered(channel, &rows);
            }
            "failed" => {
                self.metrics.failed.with(&[channel]).inc();
                warn!(channel, attempt = parcel.attempts, deliveries = parcel.members.len(), reason, "not delivered, will be tried again");
            }
            _ => {
                rows.iter().for_each(|r| self.metrics.dead.with(&[channel, level_word(r.rank)]).inc());
                error!(channel, deliveries = parcel.members.len(), reason, "given up");
            }
        }
    }

    /// Brings what others see up to date, twice a second at most; true where it is.
    fn show(&mut self) -> bool {
        let now = (self.clock)();
        if now.since(self.shown_at).abs() < i64::try_from(SHOW_EVERY.as_nanos()).unwrap_or(i64::MAX) {
            return false;
        }
        self.shown_at = now;
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        let waiting: BTreeMap<String, [usize; 5]> = self.queue.waiting().into_iter().map(|(n, w)| (n.to_owned(), w)).collect();
        self.shown.extend(waiting.keys().cloned());
        for name in &self.shown {
            let by = waiting.get(name).copied().unwrap_or_default();
            health.entry(name.clone()).or_default().waiting = by;
            for (rank, n) in (0u8..).zip(by) {
                self.metrics.waiting.with(&[name, level_word(rank)]).set_int(n as u64);
            }
        }
        true
    }

    fn prune(&mut self) {
        let now = (self.clock)();
        if now.since(self.pruned) < PRUNE_EVERY_NS {
            return;
        }
        self.pruned = now;
        match self.desk.prune_deliveries(now.minus_ns(KEPT_NS), PRUNE_MAX) {
            Ok(0) => {}
            Ok(gone) => info!(gone, "old deliveries let go"),
            Err(error) => warn!(%error, "old deliveries not let go"),
        }
    }

    fn chance(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.random.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }
}

/// What a letter is made of.
struct Written {
    to: String,
    zh: bool,
    more: usize,
    messages: Vec<Message>,
}

async fn carry(setup: &Setup, channel: &Configured, parcel: &Parcel, written: &Written, now: Timestamp) -> Got {
    let messages: Vec<&Message> = written.messages.iter().collect();
    let letter = Letter {
        messages: &messages,
        more: written.more,
        key: &parcel.key,
        to: &written.to,
        zh: written.zh,
        zone: setup.zone,
        test: false,
        console: &setup.console,
    };
    let request = channel.channel.render(&letter, now);
    setup.wire.send(channel.channel.route(), &request).await
}

/// Deliveries that may share a digest.
fn target(row: &DeliveryRow) -> String {
    format!("{}\n{}\n{}", row.target, row.zh, row.exercise)
}

/// `none`, `blue` … `red`.
pub fn level_word(rank: u8) -> &'static str {
    match rank {
        0 => "none",
        1 => Level::Blue.name(),
        2 => Level::Yellow.name(),
        3 => Level::Orange.name(),
        RED.. => Level::Red.name(),
    }
}
