//! From the write-ahead log to the operator: one thread that owns the engine and walks the log by offset.
//!
//! For each group of frames: normalise → `Engine::step` → event store → desk (alerts, evidence and position in one transaction)
//! → outbox. The position is saved with the alerts it caused; a crash anywhere reads the log again from the last snapshot, and what was
//! done already changes nothing (the store skips known offsets, the desk skips known positions).
//!
//! Events the engine makes itself (silence, ledger) are written to the same log as frames of agent 0, so they are stored like
//! any other; when they come back they are stored and not stepped again.
//!
//! A number counts once: what an agent sends again because its batch was cut anew after a failure is dropped by the normaliser, also
//! across a restart (the log says what it held before the place where reading begins).
//!
//! Limits: `GROUP_FRAMES` frames or `GROUP_EVENTS` events a step; a snapshot every `SNAPSHOT_EVERY_NS` of wall time; the log is released up to what both
//! the snapshot and the store have made durable.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use event::{AgentId, Event, EventId, SECOND_NS, Timestamp};
use tracing::{error, info, warn};
use warning::{Alert, AlertId, Change, Judgement};

use crate::baseline::Baselines;
use crate::engine::{Engine, Outcome};
use crate::indicators::Indicators;
pub use crate::metrics::PipelineMetrics;
use crate::normalise::{FrameView, Normaliser};
use crate::outbox::Outbox;
use crate::register::Register;
use crate::serve::Board;
use crate::shadow::Shadow;
use crate::store::desk::Step;
use crate::store::{DeskStore, EventStore, Frame, Offset, Scope, StoreError, Wal, WalReader};

const GROUP_FRAMES: usize = 64;
const GROUP_EVENTS: usize = 8_192;
const SNAPSHOT_EVERY_NS: i64 = 10 * SECOND_NS;
/// How long the thread sleeps on an idle log; also the grain of silence detection.
const IDLE: Duration = Duration::from_millis(200);

/// What somebody does with the baselines; true if that changed them.
pub type BaselineAct = Box<dyn FnOnce(&mut Baselines) -> bool + Send>;

/// What the engine's owner may be told by others; applied between two steps.
pub enum Order {
    /// A person judged an alert.
    Judged(Judgement),
    /// Rules were checked whole elsewhere and are to be swapped in. State of unchanged rules is kept.
    Replace(Box<Engine>),
    /// Revoked or retired.
    Forget(AgentId),
    /// Stored events that hold an indicator which became known later, its facts on them.
    Hindsight(Vec<Arc<Event>>),
    /// To be answered once what was found late before it is saved.
    Saved(Sender<()>),
    /// Looks at the baselines, or edits them (true); answered at once, or when the edit is saved.
    Baselines(BaselineAct, Sender<()>),
}

/// Everything the thread works with.
pub struct Pipeline {
    pub wal: Arc<Wal>,
    pub events: Arc<dyn EventStore>,
    pub desk: Arc<dyn DeskStore>,
    pub outbox: Outbox,
    pub board: Arc<Board>,
    pub register: Arc<RwLock<Arc<Register>>>,
    pub indicators: Arc<Indicators>,
    /// Unit an agent was enrolled for, asked once when its first frame is met.
    pub unit_of: Box<dyn Fn(AgentId) -> Option<String> + Send>,
    pub metrics: PipelineMetrics,
    pub orders: Receiver<Order>,
    pub stop: Arc<AtomicBool>,
    pub clock: fn() -> Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("engine state: {0}")]
    Engine(#[from] crate::engine::EngineError),
    #[error(transparent)]
    Desk(#[from] crate::store::DeskError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Wal(#[from] crate::store::WalError),
}

impl Pipeline {
    /// Runs until told to stop. An error ends it: the caller ends the program, and a restart reads the log again.
    pub fn run(mut self, mut engine: Engine) -> Result<(), PipelineError> {
        let state = self.desk.engine()?;
        // The snapshot holds what the engine made of the log up to `known`; the store may have sealed less than that: it reads on from
        // its own durable end, and frames before `known` are stored and not stepped again.
        let mut known = Offset(0);
        if let Some((offset, snapshot)) = &state.snapshot {
            match engine.restore(snapshot, (self.clock)()) {
                Ok(()) => known = *offset,
                Err(error) => warn!(%error, "engine snapshot not usable, reading the log from its start"),
            }
        }
        let from = known.min(self.events.durable()).max(self.wal.oldest());
        let mut reader = self.wal.read(from)?;
        let mut normaliser = Normaliser::resuming(self.wal.marks_before(from)?);
        let mut met = BTreeSet::new();
        let mut outcome = Outcome::default();
        let mut shadow = Shadow::default();
        let mut lately = Lately::default();
        let mut late = Late::default();
        let mut last_snapshot = (self.clock)();
        let mut last_now = Timestamp::ZERO;
        info!(offset = from.0, end = self.wal.end().0, "engine reads the log");
        while !self.stop.load(Ordering::Acquire) {
            self.obey(&mut engine, &mut late);
            // Not while the log is read again: the desk takes no alert from before the place it has reached.
            if reader.position() >= state.position && !(late.events.is_empty() && late.waiting.is_empty()) {
                outcome.clear();
                engine.hindsight(&late.events, last_now, &mut outcome);
                late.events.clear();
                self.keep(&engine, &mut lately, &mut outcome, reader.position(), false)?;
                for told in late.waiting.drain(..) {
                    let _ = told.send(());
                }
            }
            self.metrics.follow(&engine, (self.clock)());
            let group = self.read(&mut reader, known, &mut normaliser, &mut met)?;
            if group.frames > 0 && group.received.is_none() {
                continue;
            }
            // Event time of the step: the newest receipt in it, so that a replay of the log steps alike; the wall clock only on an idle tick.
            let now = group.received.unwrap_or_else(|| (self.clock)()).max(last_now);
            last_now = now;
            let started = crate::clock::instant();
            outcome.clear();
            engine.step(&group.stepped, now, &mut outcome);
            shadow.keep(&outcome.findings, now, &mut outcome.events);
            let snapshot_due = !late.edited.is_empty() || (self.clock)().since(last_snapshot) >= SNAPSHOT_EVERY_NS;
            if snapshot_due {
                // Before the snapshot: what agents stated is then in their rows or in what a restart reads again.
                self.desk.put_agents(&self.board.unsaved(false))?;
            }
            self.keep(&engine, &mut lately, &mut outcome, reader.position(), snapshot_due)?;
            if snapshot_due {
                last_snapshot = (self.clock)();
                for told in late.edited.drain(..) {
                    let _ = told.send(());
                }
                self.wal.release(reader.position().min(self.events.durable()))?;
            }
            self.metrics.step_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.behind_bytes.set_int(self.wal.end().0.saturating_sub(reader.position().0));
            if group.received.is_none() {
                reader.wait(IDLE);
            }
        }
        self.desk.put_agents(&self.board.unsaved(true))?;
        let snapshot = engine.save();
        self.desk.save(&Step { alerts: &[], evidence: &[], position: reader.position(), snapshot: Some(&snapshot) })?;
        Ok(())
    }

    /// Does what was ordered; what was found late is put by.
    fn obey(&mut self, engine: &mut Engine, late: &mut Late) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Hindsight(events) => late.events.extend(events),
                Order::Saved(told) => late.waiting.push(told),
                Order::Judged(judgement) => engine.apply(&judgement),
                Order::Baselines(act, told) => {
                    if act(engine.baselines()) {
                        late.edited.push(told);
                    } else {
                        let _ = told.send(());
                    }
                }
                Order::Forget(agent) => engine.forget(agent),
                Order::Replace(mut fresh) => match fresh.inherit(engine) {
                    Ok(left_out) => {
                        info!(groups = left_out, "new rules in force; windows of changed rules begin anew");
                        *engine = *fresh;
                        self.metrics.begin_anew();
                    }
                    Err(error) => error!(%error, "new rules not taken, the old ones stay"),
                },
            }
        }
    }

    /// The next group of frames, decoded and stored in groups by frame.
    fn read(
        &self,
        reader: &mut WalReader,
        known: Offset,
        normaliser: &mut Normaliser,
        met: &mut BTreeSet<AgentId>,
    ) -> Result<Group, PipelineError> {
        let mut group = Group::default();
        let mut decoded = Vec::new();
        while group.frames < GROUP_FRAMES && group.stepped.len() < GROUP_EVENTS {
            let Some(entry) = reader.next()? else { break };
            decoded.clear();
            if met.insert(entry.frame.agent) {
                self.assign(entry.frame.agent);
            }
            let register = self.register.read().unwrap_or_else(PoisonError::into_inner).clone();
            let tally = normaliser.frame(view(&entry.frame), &register, &mut decoded);
            self.indicators.mark(&mut decoded);
            self.metrics.events.add(tally.events);
            self.metrics.damaged.add(tally.damaged);
            self.metrics.declared_lost.add(tally.declared_lost);
            self.metrics.repeated.add(tally.repeated);
            if let Some(newest) = decoded.iter().filter(|_| entry.frame.agent != AgentId(0)).map(|e| e.observed).max() {
                self.metrics.arrival_lag_seconds.observe(seconds(entry.frame.received.since(newest).max(0)));
            }
            self.store(entry.next, &decoded)?;
            self.board.observe(&decoded, entry.frame.received);
            group.frames += 1;
            if entry.next <= known {
                continue;
            }
            group.received = group.received.max(Some(entry.frame.received));
            if entry.frame.agent != AgentId(0) {
                group.stepped.append(&mut decoded);
            }
        }
        Ok(group)
    }

    /// Hands events to the store; while its disk refuses, the engine waits here and the log holds what comes.
    fn store(&self, next: Offset, events: &[Arc<Event>]) -> Result<(), PipelineError> {
        loop {
            match self.events.append(next, events) {
                Err(StoreError::Behind) if !self.stop.load(Ordering::Acquire) => {
                    warn!("event store is behind, waiting for its disk");
                    std::thread::park_timeout(Duration::from_secs(1));
                }
                result => return Ok(result?),
            }
        }
    }

    /// A new agent joins the unit it was enrolled for.
    fn assign(&self, agent: AgentId) {
        let Some(unit) = (self.unit_of)(agent) else { return };
        let mut slot = self.register.write().unwrap_or_else(PoisonError::into_inner);
        let mut register = (**slot).clone();
        register.assign(agent, &unit);
        if let Some(unit) = register.unit(&unit) {
            self.board.enrolled(agent, "", Some((&unit.id, &unit.name, &unit.sector)), false);
        }
        *slot = Arc::new(register);
    }

    /// Saves what the step gave and tells those who listen.
    fn keep(
        &self,
        engine: &Engine,
        lately: &mut Lately,
        outcome: &mut Outcome,
        position: Offset,
        snapshot_due: bool,
    ) -> Result<(), PipelineError> {
        for finding in &outcome.findings {
            if let Some(event) = &finding.event {
                lately.take_in(event);
            }
            self.metrics.findings.with(&[finding.rule.severity.name()]).inc();
            if finding.rule.shadow {
                self.metrics.shadow_findings.with(&[&finding.rule.id]).inc();
            }
        }
        for own in &outcome.events {
            if let Some(frame) = own_frame(own, (self.clock)()) {
                // Not waited for: if it is lost with the power, the next start makes it again.
                drop(self.wal.append(frame));
            }
        }
        if outcome.changes.is_empty() && !snapshot_due {
            return Ok(());
        }
        let alerts: Vec<Alert> = outcome.changes.iter().map(|c| c.alert().clone()).collect();
        let evidence = self.evidence(&alerts, lately)?;
        let snapshot = snapshot_due.then(|| engine.save());
        if let Some(bytes) = &snapshot {
            self.metrics.snapshot_bytes.set_int(bytes.len() as u64);
        }
        let saved = self.desk.save(&Step { alerts: &alerts, evidence: &evidence, position, snapshot: snapshot.as_deref() })?;
        for change in &outcome.changes {
            let word = match change {
                Change::Opened(_) => "opened",
                Change::Updated(_) => "updated",
            };
            self.metrics.changes.with(&[word]).inc();
        }
        lately.saved(&alerts, &evidence);
        self.outbox.send(&saved);
        Ok(())
    }

    /// The events the alerts name and the desk does not have yet: from the last findings where they are in them, else from the store.
    fn evidence(&self, alerts: &[Alert], lately: &Lately) -> Result<Vec<Arc<Event>>, PipelineError> {
        let mut wanted: Vec<EventId> = alerts.iter().flat_map(|a| lately.missing(a)).filter_map(|id| id.parse().ok()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found: Vec<_> = wanted.iter().filter_map(|id| lately.events.get(id).cloned()).collect();
        wanted.retain(|id| !lately.events.contains_key(id));
        found.extend(self.events.find(&Scope::CITY, &wanted)?);
        Ok(found)
    }
}

/// The events of the last findings, and what of each alert's evidence the desk was given: an alert that grows by an event a second asks
/// the store for none of those it has. Past a bound the oldest go, and the store is asked instead.
#[derive(Default)]
struct Lately {
    events: HashMap<EventId, Arc<Event>>,
    order: VecDeque<EventId>,
    kept: HashMap<AlertId, HashSet<String>>,
    kept_order: VecDeque<AlertId>,
}

impl Lately {
    const EVENTS_MAX: usize = 65_536;
    const ALERTS_MAX: usize = 8_192;

    fn take_in(&mut self, event: &Arc<Event>) {
        if self.events.insert(event.id, event.clone()).is_none() {
            self.order.push_back(event.id);
        }
        if self.order.len() > Self::EVENTS_MAX
            && let Some(old) = self.order.pop_front()
        {
            self.events.remove(&old);
        }
    }

    fn missing<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = &'a String> {
        let kept = self.kept.get(&alert.id);
        alert.evidence.iter().filter(move |id| kept.is_none_or(|k| !k.contains(*id)))
    }

    /// The desk has what these alerts name as far as it was found, and no longer what they name no more.
    fn saved(&mut self, alerts: &[Alert], found: &[Arc<Event>]) {
        let found: HashSet<String> = found.iter().map(|e| e.id.to_string()).collect();
        for alert in alerts {
            let before = self.kept.remove(&alert.id);
            let has = |id: &&String| found.contains(*id) || before.as_ref().is_some_and(|k| k.contains(*id));
            let now = alert.evidence.iter().filter(has).cloned().collect();
            self.kept.insert(alert.id.clone(), now);
            if before.is_none() {
                self.kept_order.push_back(alert.id.clone());
            }
            if self.kept_order.len() > Self::ALERTS_MAX
                && let Some(old) = self.kept_order.pop_front()
            {
                self.kept.remove(&old);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric")]
fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// What was found late and is not judged yet, and who wants to know when it is saved. Bounded by what a search may find.
#[derive(Default)]
struct Late {
    events: Vec<Arc<Event>>,
    waiting: Vec<Sender<()>>,
    /// Who edited a baseline, and wants to know when that is saved.
    edited: Vec<Sender<()>>,
}

/// Frames of one step. `received` stays empty where all of them were known to the engine already.
#[derive(Default)]
struct Group {
    frames: usize,
    received: Option<Timestamp>,
    stepped: Vec<Arc<Event>>,
}

fn view(frame: &Frame) -> FrameView<'_> {
    FrameView {
        agent: frame.agent,
        received: frame.received,
        class: frame.class,
        epoch: frame.epoch,
        first_seq: frame.first_seq,
        last_seq: frame.last_seq,
        bytes: &frame.bytes,
    }
}

/// An event of the engine's own as a frame of agent 0.
fn own_frame(event: &Event, received: Timestamp) -> Option<Frame> {
    let mut payload = Vec::new();
    wire::event::encode(event, &mut payload);
    let mut packer = wire::batch::Packer::new(wire::batch::LEVEL_DEFAULT);
    let _fits = packer.push(wire::batch::Row::Event(&payload));
    let batch = packer.pack(event.id.class, event.id.epoch, event.id.seq)?;
    let bytes: Bytes = batch.to_bytes();
    Some(Frame {
        agent: AgentId(0),
        received,
        class: event.id.class,
        epoch: event.id.epoch,
        first_seq: event.id.seq,
        last_seq: event.id.seq,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_desk_has_is_not_asked_for_again_and_what_was_not_found_is() {
        let event = |seq: u64| {
            let mut event = Event::new(Timestamp::ZERO, event::Kind::Authentication, 1, event::LogSource::default());
            event.id.seq = seq;
            Arc::new(event)
        };
        let (a, b) = (event(1), event(2));
        let mut alert = crate::serve::sample::alert(0, Timestamp::ZERO);
        alert.evidence = vec![a.id.to_string(), b.id.to_string()];
        let mut lately = Lately::default();
        lately.saved(std::slice::from_ref(&alert), std::slice::from_ref(&a));
        assert_eq!(lately.missing(&alert).cloned().collect::<Vec<_>>(), [b.id.to_string()]);
        // Named no more, the desk forgets it: named again, it is given again.
        alert.evidence = vec![b.id.to_string()];
        lately.saved(std::slice::from_ref(&alert), std::slice::from_ref(&b));
        alert.evidence = vec![a.id.to_string(), b.id.to_string()];
        assert_eq!(lately.missing(&alert).cloned().collect::<Vec<_>>(), [a.id.to_string()]);
        for seq in 0..=Lately::EVENTS_MAX as u64 {
            lately.take_in(&event(seq));
        }
        assert_eq!((lately.events.len(), lately.events.contains_key(&event(0).id)), (Lately::EVENTS_MAX, false));
    }
}
