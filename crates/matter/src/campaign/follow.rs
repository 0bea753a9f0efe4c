//! Taking alerts in: each change of an alert reaches the campaign it belongs to, in order, a batch in one transaction.
//!
//! The caller keeps which alert went where (`Followed::placed`) in the same transaction as everything done here, so that a crash neither loses nor
//! doubles an alert. An alert that a silence of the desk covers reaches no campaign; it is counted there (`crate::silence`).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use warning::Alert;

use super::{Campaign, CampaignAct, Group, Intake, Sighting, State, place};
use crate::silence::{Hidden, Silence, SilenceAct, Silences};
use crate::{Actor, Book, Desk, Matter, Order, Outcome, Refusal, Shelf, carry_out};

/// An alert as it is now.
pub struct News<'a> {
    pub alert: &'a Alert,
    /// Where it went before: a campaign, or the silence that kept it away.
    pub placed: Option<String>,
    /// The drill it belongs to; none: it is real.
    pub drill: Option<&'a str>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Followed {
    /// Alert and campaign, for those that went to one now.
    pub placed: Vec<(String, String)>,
    /// Alerts a silence kept away, and the silence.
    pub hidden: Vec<(String, String)>,
    pub outcome: Outcome,
}

/// What goes to one campaign.
#[derive(Default)]
struct Share {
    new: Vec<Sighting>,
    again: Vec<Sighting>,
}

/// Takes a batch in. On `Err` the caller's transaction must be undone.
pub fn follow(shelf: &dyn Shelf, book: &Book, now: Timestamp, news: &[News]) -> Result<Followed, Refusal> {
    let by = Actor::desk();
    let desk = Desk { book, shelf, by: &by, now };
    let intake = Intake::of(book);
    let silences = Silences::in_force(&desk)?;
    let mut hid: BTreeMap<String, Vec<Hidden>> = BTreeMap::new();
    let mut done = Followed::default();
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    let mut open: BTreeMap<bool, place::Open> = BTreeMap::new();
    let mut alive: BTreeMap<String, bool> = BTreeMap::new();
    // An alert may change several times within one batch.
    let mut went: BTreeMap<String, String> = BTreeMap::new();
    for item in news {
        let sighting = intake.sighting(item.alert, item.drill);
        if let Some(before) = went.get(&sighting.alert).or(item.placed.as_ref()) {
            let still = match alive.get(before) {
                Some(still) => *still,
                None => {
                    let still = desk.get::<Campaign>(before)?.is_some_and(|c| c.state == State::Open);
                    alive.insert(before.clone(), still);
                    still
                }
            };
            if still {
                let share = shares.entry(before.clone()).or_default();
                // Within one batch only its newest state counts.
                match share.new.iter_mut().find(|s| s.alert == sighting.alert) {
                    Some(fresh) => *fresh = sighting,
                    None => {
                        share.again.retain(|s| s.alert != sighting.alert);
                        share.again.push(sighting);
                    }
                }
                continue;
            }
        }
        // What silences hid is counted, and a drill's alerts count nowhere.
        if let Some(silence) = silences.over(item.alert).filter(|_| item.drill.is_none()) {
            // Each alert is counted once.
            if item.placed.as_deref() != Some(silence) && !done.hidden.iter().any(|(a, s)| *a == sighting.alert && s == silence) {
                hid.entry(silence.to_owned()).or_default().push(Hidden::from(item.alert));
                done.hidden.push((sighting.alert, silence.to_owned()));
            }
            continue;
        }
        // Nothing a person has dismissed begins or joins anything.
        if sighting.judged == super::Judged::Dismissed {
            continue;
        }
        let counted = match open.entry(sighting.exercise) {
            Entry::Occupied(e) => e.into_mut(),
            Entry::Vacant(e) => e.insert(place::Open::count(shelf, sighting.exercise)?),
        };
        let grave = intake.grave(&sighting);
        let mut found = None;
        let mut opened = None;
        for group in Group::of(&sighting) {
            let key = group.key();
            found = match keys.get(&key) {
                Some(id) => Some(id.clone()),
                None => shelf.linked(Campaign::KIND, &key)?.into_iter().next(),
            };
            if let Some(id) = &found {
                keys.insert(key, id.clone());
                break;
            }
            if counted.room(&book.tables.desk.campaign, group.width, grave) {
                counted.opened(group.width);
                opened = Some(group);
                break;
            }
        }
        let alert = sighting.alert.clone();
        let id = match (found, opened) {
            (Some(id), _) => {
                let share = shares.entry(id.clone()).or_default();
                match share.new.iter_mut().find(|s| s.alert == sighting.alert) {
                    Some(fresh) => *fresh = sighting,
                    None => share.new.push(sighting),
                }
                id
            }
            (None, Some(group)) => {
                let key = group.key();
                let act = CampaignAct::Open { group, new: vec![sighting] };
                let id = Campaign::name(&act, &desk, None);
                let outcome = order::<Campaign>(shelf, book, &by, now, None, &act)?;
                extend(&mut done.outcome, outcome);
                keys.insert(key, id.clone());
                id
            }
            (None, None) => return Err(Refusal::Storage("no group takes the alert".to_owned())),
        };
        alive.insert(id.clone(), true);
        went.insert(alert, id);
    }
    done.placed = went.into_iter().collect();
    let known: BTreeSet<String> = shares.keys().cloned().collect();
    for id in known {
        let Some(share) = shares.remove(&id) else { continue };
        let outcome = order::<Campaign>(shelf, book, &by, now, Some(id), &CampaignAct::Take { new: share.new, again: share.again })?;
        extend(&mut done.outcome, outcome);
    }
    for (id, alerts) in hid {
        let outcome = order::<Silence>(shelf, book, &by, now, Some(id), &SilenceAct::Hid { alerts })?;
        extend(&mut done.outcome, outcome);
    }
    Ok(done)
}

fn order<M: Matter>(
    shelf: &dyn Shelf,
    book: &Book,
    by: &Actor,
    now: Timestamp,
    id: Option<String>,
    act: &M::Act,
) -> Result<Outcome, Refusal> {
    let act = serde_json::to_value(act).map_err(|e| Refusal::Storage(e.to_string()))?;
    carry_out(shelf, book, by, now, Order { kind: M::KIND.to_owned(), id, expected: None, act, key: None })
}

fn extend(all: &mut Outcome, more: Outcome) {
    all.changes.extend(more.changes);
    all.messages += more.messages;
}
