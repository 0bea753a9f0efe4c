//! From a message to its deliveries: who is told, on which channels. Pure.
//!
//! * A unit's people stand in a line: duty, substitute, leader, protection department. The message names a place; where nobody there can be
//!   reached, the next in line is told. Where nobody can, a dead letter says so: it shows in the log and in the metrics.
//! * The city's people are reached by the channels configured for the level.

use event::Timestamp;
use matter::{Book, Message, Recipient, register::Contact};
use notifier::queue::rank;

use super::setup::Setup;
use crate::store::desk::DeliveryRow;

/// The line of a unit.
const LINE: [&str; 4] = ["duty", "substitute", "leader", "protection"];
/// Deliveries of one message.
pub const DELIVERIES_MAX: usize = 200;

pub const NOBODY: &str = "nobody in the unit's line can be reached: give its contacts a mail address or channels in the register";

pub fn deliveries(book: &Book, setup: &Setup, number: u64, message: &Message, now: Timestamp) -> Vec<DeliveryRow> {
    let mut out: Vec<DeliveryRow> = Vec::new();
    match &message.recipient {
        Recipient::Unit { unit, role } => {
            for place in line(role) {
                for contact in book.contacts(unit, place) {
                    reach(setup, contact, |channel, target, zh| {
                        out.push(row(setup, number, message, unit, channel, &contact.name, target, zh, now));
                    });
                }
                if out.iter().any(|d| d.state == "queued") {
                    break;
                }
            }
            if out.is_empty() {
                out.push(DeliveryRow { channel: String::new(), ..row(setup, number, message, unit, "", "", "", true, now) });
            }
        }
        Recipient::City { right } => {
            let who = serde_json::to_value(right).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            for name in setup.city.of(message.level) {
                let Some(channel) = setup.channels.get(name) else { continue };
                let targets = if channel.common.addressed { channel.channel.city() } else { &[String::new()] };
                for target in targets {
                    out.push(row(setup, number, message, "", name, &format!("city:{who}"), target, channel.common.zh, now));
                }
            }
        }
    }
    out.truncate(DELIVERIES_MAX);
    out
}

/// The place named, then those after it.
fn line(role: &str) -> Vec<&str> {
    match LINE.iter().position(|place| *place == role) {
        Some(at) => LINE.iter().skip(at).copied().collect(),
        None => std::iter::once(role).chain(LINE).collect(),
    }
}

/// Every channel a contact is reached by.
fn reach(setup: &Setup, contact: &Contact, mut tell: impl FnMut(&str, &str, bool)) {
    let zh = contact.lang != "en";
    if let (false, Some(mail)) = (contact.mail.is_empty(), &setup.mail) {
        tell(mail, &contact.mail, zh);
    }
    for name in &contact.channels {
        let addressed = setup.channels.get(name).is_some_and(|c| c.common.addressed);
        let default_zh = setup.channels.get(name).is_none_or(|c| c.common.zh);
        if !(addressed && contact.mail.is_empty()) {
            let target = if addressed { contact.mail.as_str() } else { "" };
            tell(name, target, if contact.lang.is_empty() { default_zh } else { zh });
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one row, made in one place")]
fn row(
    setup: &Setup,
    number: u64,
    message: &Message,
    unit: &str,
    channel: &str,
    contact: &str,
    target: &str,
    zh: bool,
    now: Timestamp,
) -> DeliveryRow {
    let level = rank(message.level);
    let not_before = setup.quiet.map_or(Timestamp::from_ns(0), |q| q.not_before(level, setup.zone, now));
    let dead = if channel.is_empty() {
        NOBODY.to_owned()
    } else if setup.channels.contains_key(channel) {
        String::new()
    } else {
        format!("there is no channel '{channel}': name one in collector.toml, or correct the contact's channels")
    };
    DeliveryRow {
        number: 0,
        id: matter::id_of("delivery", &[&message.key, channel, contact, target]),
        message: number,
        channel: channel.to_owned(),
        contact: contact.to_owned(),
        target: target.to_owned(),
        zh,
        rank: level,
        exercise: message.exercise,
        unit: unit.to_owned(),
        kind: message.kind.clone(),
        about: message.id.clone(),
        title_zh: message.title.zh.clone(),
        title_en: message.title.en.clone(),
        state: if dead.is_empty() { "queued" } else { "dead" }.to_owned(),
        attempts: 0,
        parcel: None,
        told: message.time.ns(),
        queued: now.ns(),
        next: not_before.ns(),
        ended: (!dead.is_empty()).then(|| now.ns()),
        reason: dead,
    }
}
