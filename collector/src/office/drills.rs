//! Technical drills: the events of a running drill go, marked, into an engine of its own, and what that finds goes back into the drill.
//!
//! The engine that watches the city never sees one of them: there is an [`Engine`] for each running drill, with the rules in force, no store
//! and no snapshot. Its alerts are in no list of alerts, no count, no silence and no metric of the real; they are grouped and graded as marked
//! campaigns (`matter::campaign`), and stand in the drill (`Act::Found`). What hosts would have sent by themselves (silence of an agent) is
//! nobody's part in a drill.
//!
//! After a restart the events of the injects put in so far are stepped again in the same order; the same alerts have the same names.
//!
//! Limits: `DRILLS_MAX` drills at a time play events, those of a scenario each; more wait for one to end and are in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Timestamp, field};
use matter::campaign::{News, follow};
use matter::drill::{Act, Drill, Found, Marked};
use matter::{Actor, Book, Both, Matter, Order, Outcome, Refusal, carry_out};
use rule::RuleSet;
use serde_json::{Value, json};
use tracing::{error, warn};
use warning::Alert;

use super::Office;
use crate::engine::{Engine, Outcome as Stepped};
use crate::replay::event_from_json;
use crate::store::desk::MatterQuery;
use crate::store::{DeskStore, Scope};

const DRILLS_MAX: usize = 4;
/// Field every event of a drill carries: the drill's id.
pub const MARK: &str = "exercise.drill";
/// Keys of a line that say when it happens.
const TIMING: [&str; 4] = ["after_s", "repeat", "every_s", "time"];

/// The engines of the drills that run.
pub struct Drills {
    office: Arc<Office>,
    desk: Arc<dyn DeskStore>,
    /// The rules in force.
    rules: Box<dyn Fn() -> Option<Arc<RuleSet>> + Send>,
    playing: BTreeMap<String, Playing>,
}

/// One of them.
struct Playing {
    engine: Engine,
    /// Numbers of the events it has had.
    had: BTreeSet<u64>,
}

/// What a round found of a drill.
#[derive(Default)]
struct Round {
    /// Newest state of each alert, with the injects whose events are behind it.
    alerts: Vec<(Alert, BTreeSet<String>)>,
    /// Lines that are no event, by inject.
    unread: BTreeMap<String, u32>,
}

impl Drills {
    pub fn new(office: Arc<Office>, desk: Arc<dyn DeskStore>, rules: Box<dyn Fn() -> Option<Arc<RuleSet>> + Send>) -> Self {
        Self { office, desk, rules, playing: BTreeMap::new() }
    }

    /// One round; says how many drills were told something.
    pub fn run(&mut self, now: Timestamp) -> usize {
        let query = MatterQuery {
            kind: Drill::KIND.to_owned(),
            states: vec!["running".to_owned()],
            open: true,
            exercise: true,
            limit: 100,
            ..MatterQuery::default()
        };
        let running = match self.desk.matters(&Scope::CITY, &query) {
            Ok(page) => page.matters,
            Err(error) => {
                error!(%error, "which drills run is not known");
                return 0;
            }
        };
        self.playing.retain(|id, _| running.iter().any(|m| m.id == *id));
        let mut told = 0;
        for row in running {
            let Ok(drill) = serde_json::from_value::<Drill>(row.body) else { continue };
            if drill.events().is_empty() {
                continue;
            }
            let Some(round) = self.play(&drill, now) else { continue };
            if round.alerts.is_empty() && round.unread.is_empty() {
                continue;
            }
            match self.office.drilled(&drill, &round, now) {
                Ok(()) => told += 1,
                Err(error) => {
                    // Played again from its beginning, so that nothing found is lost.
                    self.playing.remove(&drill.id);
                    error!(%error, drill = drill.id, "what a drill found was not taken in");
                }
            }
        }
        told
    }

    /// Steps what is due.
    fn play(&mut self, drill: &Drill, now: Timestamp) -> Option<Round> {
        if !self.playing.contains_key(&drill.id) {
            if self.playing.len() >= DRILLS_MAX {
                warn!(drill = drill.id, most = DRILLS_MAX, "too many drills at a time; its events wait");
                return None;
            }
            let (engine, _) = Engine::with_rules((self.rules)()?);
            self.playing.insert(drill.id.clone(), Playing { engine, had: BTreeSet::new() });
        }
        let book = self.office.book();
        let playing = self.playing.get_mut(&drill.id)?;
        let mut round = Round::default();
        let (mut batch, mut agents) = (Vec::new(), BTreeSet::new());
        let all = drill.events();
        for due in all.iter().filter(|m| m.at <= now) {
            if !playing.had.insert(due.number) {
                continue;
            }
            match event(drill, due, &book) {
                Ok(event) => {
                    agents.insert(event.id.agent);
                    batch.push(Arc::new(event));
                }
                Err(why) => {
                    warn!(drill = drill.id, inject = due.inject, why, "a line of a drill is no event");
                    *round.unread.entry(due.inject.to_owned()).or_default() += 1;
                }
            }
        }
        let mut stepped = Stepped::default();
        playing.engine.step(&batch, now, &mut stepped);
        agents.into_iter().for_each(|agent| playing.engine.forget(agent));
        let behind: BTreeMap<String, &str> = all.iter().map(|m| (id(m).to_string(), m.inject)).collect();
        let mut newest: BTreeMap<String, Alert> = BTreeMap::new();
        for change in &stepped.changes {
            newest.insert(change.alert().id.0.clone(), change.alert().clone());
        }
        round.alerts = newest
            .into_values()
            .map(|alert| {
                let injects = alert.evidence.iter().filter_map(|e| behind.get(e)).map(|i| (*i).to_owned()).collect();
                (alert, injects)
            })
            .collect();
        Some(round)
    }
}

/// Numbers no agent has: those of a drill end where agents' would never begin.
fn id(due: &Marked) -> EventId {
    EventId { agent: AgentId(u64::MAX - due.place as u64), epoch: Epoch(1), class: Class::Normal, seq: due.number }
}

/// The event of a line: marked, of the part's unit, at its time.
fn event(drill: &Drill, due: &Marked, book: &Book) -> Result<Event, String> {
    let mut line = due.line.clone();
    TIMING.iter().for_each(|key| drop(line.remove(*key)));
    line.insert("time".to_owned(), json!(due.at.to_string()));
    let mut event = event_from_json(&Value::Object(line).to_string())?;
    (event.id, event.time, event.observed) = (id(due), due.at, due.at);
    let name = book.units.get(&due.unit).map_or_else(|| due.role.name.pick(true), |unit| unit.name.as_str());
    event.body.set(field::UNIT_ID, due.unit.as_str());
    event.body.set(field::UNIT_NAME, name);
    event.body.set(field::UNIT_SECTOR, due.role.sector.as_str());
    if event.get(field::DEVICE_HOSTNAME).is_none() {
        event.body.set(field::DEVICE_HOSTNAME, format!("drill-{}", due.role.id).as_str());
    }
    event.body.set(event::Name::from(MARK), drill.id.as_str());
    Ok(event)
}

impl Office {
    /// Takes in what the engine of a drill found: marked campaigns and the drill itself, in one transaction.
    fn drilled(&self, drill: &Drill, round: &Round, now: Timestamp) -> Result<(), Refusal> {
        let book = self.book();
        let mut outcome = Outcome::default();
        self.desk.transact(&mut |shelf| {
            outcome = Outcome::default();
            let placed = drill.placed();
            let news: Vec<News> = round
                .alerts
                .iter()
                .map(|(alert, _)| News { alert, placed: placed.get(alert.id.0.as_str()).map(|c| (*c).to_owned()), drill: Some(&drill.id) })
                .collect();
            let done = follow(shelf, &book, now, &news)?;
            outcome.changes.extend(done.outcome.changes);
            outcome.messages += done.outcome.messages;
            let went: BTreeMap<&str, &str> = done.placed.iter().map(|(alert, campaign)| (alert.as_str(), campaign.as_str())).collect();
            let mut acts: BTreeMap<&str, Vec<Found>> = round.unread.keys().map(|inject| (inject.as_str(), Vec::new())).collect();
            for (alert, injects) in &round.alerts {
                let campaign = went.get(alert.id.0.as_str()).or_else(|| placed.get(alert.id.0.as_str())).copied().unwrap_or_default();
                for inject in injects {
                    acts.entry(inject).or_default().push(found(alert, campaign));
                }
            }
            for (inject, alerts) in acts {
                let unread = round.unread.get(inject).copied().unwrap_or_default();
                let act = serde_json::to_value(Act::Found { inject: inject.to_owned(), alerts, unread });
                let act = act.map_err(|e| Refusal::Storage(e.to_string()))?;
                let order = Order { kind: Drill::KIND.to_owned(), id: Some(drill.id.clone()), expected: None, act, key: None };
                let more = carry_out(shelf, &book, &Actor::desk(), now, order)?;
                outcome.changes.extend(more.changes);
                outcome.messages += more.messages;
            }
            Ok(())
        })?;
        self.tell(&outcome);
        Ok(())
    }
}

fn found(alert: &Alert, campaign: &str) -> Found {
    let zh = if alert.title_zh.is_empty() { &alert.title } else { &alert.title_zh };
    Found {
        alert: alert.id.0.clone(),
        rule: alert.rule_id.chars().take(160).collect(),
        title: Both::new(zh.chars().take(160).collect::<String>(), alert.title.chars().take(160).collect::<String>()),
        severity: alert.severity_id,
        hosts: alert.hosts.iter().take(8).cloned().collect(),
        at: Timestamp::from_ns(alert.opened_time),
        campaign: campaign.to_owned(),
    }
}
