//! What the kinds share: bounded text, matters that belong together, and the wall between a drill and the real.
//!
//! A link names a matter the actor may see, or an alert. Everything a drill makes carries `exercise`; a matter of a drill and a real one are
//! never linked, whoever asks ([`same_world`] is asked for every matter that is put down). Alerts are real: a drill brings its own.

use serde_json::Value;
use warning::grade::Level;

use crate::{Both, Card, Desk, Effects, Kind, Message, Recipient, Refusal};

/// Links of a matter that a person names.
pub const LINKS_MAX: usize = 64;
/// Characters of a line and of a text.
pub const LINE_MAX: usize = 200;
pub const TEXT_MAX: usize = 8_000;

/// A text that must be there, trimmed.
pub fn text(value: &str, max: usize, en: &str, zh: &str) -> Result<String, Refusal> {
    let value = optional(value, max, en, zh)?;
    if value.is_empty() {
        return Err(Refusal::because(format!("'{en}' is missing"), format!("请填写“{zh}”")));
    }
    Ok(value)
}

/// A text that may be empty, trimmed.
pub fn optional(value: &str, max: usize, en: &str, zh: &str) -> Result<String, Refusal> {
    let value = value.trim();
    let n = value.chars().count();
    if n > max {
        return Err(Refusal::because(format!("'{en}' has {n} characters; at most {max}"), format!("“{zh}”有 {n} 个字符，最多 {max} 个")));
    }
    Ok(value.to_owned())
}

/// A text in at least one language, trimmed.
pub fn both(value: &Both, max: usize, en: &str, zh: &str) -> Result<Both, Refusal> {
    let value = Both { zh: optional(&value.zh, max, en, zh)?, en: optional(&value.en, max, en, zh)? };
    if value.is_empty() {
        return Err(Refusal::because(format!("'{en}' is missing"), format!("请填写“{zh}”")));
    }
    Ok(value)
}

/// A list of at most so many.
pub fn at_most<T>(list: &[T], max: usize, en: &str, zh: &str) -> Result<(), Refusal> {
    if list.len() > max {
        let n = list.len();
        return Err(Refusal::because(format!("'{en}' has {n} entries; at most {max}"), format!("“{zh}”有 {n} 项，最多 {max} 项")));
    }
    Ok(())
}

/// A unit of the register.
pub fn known_unit(desk: &Desk, unit: &str) -> Result<(), Refusal> {
    if desk.book.units.contains_key(unit) {
        return Ok(());
    }
    Err(Refusal::because(
        format!("there is no unit '{unit}' in the register; add it there first"),
        format!("单位台账中没有“{unit}”，请先登记"),
    ))
}

/// `A` and 16 hex digits.
pub fn is_alert(id: &str) -> bool {
    id.strip_prefix('A').is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A matter by its id alone, whatever its kind: its kind, card and body.
pub fn find(desk: &Desk, id: &str) -> Result<Option<(&'static Kind, Card, Value)>, Refusal> {
    let Some(letter) = id.chars().next() else { return Ok(None) };
    for kind in crate::KINDS.iter().filter(|k| k.word.chars().next().is_some_and(|c| c.to_ascii_uppercase() == letter)) {
        if let Some(stored) = desk.shelf.get(kind.word, id)? {
            return Ok((kind.card)(&stored.body).map(|card| (kind, card, stored.body)));
        }
    }
    Ok(None)
}

/// Looks at the links a person named: each must be an alert or a matter they may see, all of one world. Returns whether it is a drill's
/// (`wanted` where nothing is linked) and the highest level among them.
pub fn tie(desk: &Desk, links: &[String], wanted: bool) -> Result<(bool, Option<Level>), Refusal> {
    at_most(links, LINKS_MAX, "links", "关联")?;
    let mut level = None;
    let mut exercise = wanted;
    let mut worlds = Vec::with_capacity(links.len());
    for id in links {
        match find(desk, id)?.filter(|(_, card, _)| desk.by.sees(&card.units)) {
            Some((_, card, _)) => {
                level = level.max(card.level);
                worlds.push((id, card.exercise));
            }
            None if is_alert(id) => worlds.push((id, false)),
            None => return Err(Refusal::because(format!("there is no '{id}' to link to"), format!("没有可关联的“{id}”"))),
        }
    }
    exercise |= worlds.iter().any(|(_, e)| *e);
    if let Some((id, _)) = worlds.iter().find(|(_, e)| *e != exercise) {
        return Err(apart(id));
    }
    Ok((exercise, level))
}

/// The wall: no link of a card leads from a drill to the real or back. Links to what is not there yet are asked about from the other side.
pub fn same_world(desk: &Desk, card: &Card) -> Result<(), Refusal> {
    for id in &card.links {
        if find(desk, id)?.is_some_and(|(_, other, _)| other.exercise != card.exercise) {
            return Err(apart(id));
        }
    }
    Ok(())
}

fn apart(id: &str) -> Refusal {
    Refusal::because(
        format!("'{id}' is on the other side: what belongs to a drill is never tied to what is real; open another one without it"),
        format!("“{id}”不属同一侧：演练与实战不得相互关联，请另立一件且不关联它"),
    )
}

/// Messages about one matter.
pub struct Caller<'a> {
    pub kind: &'static str,
    pub id: &'a str,
    /// What the thread is named after; the matter itself where nothing else is.
    pub thread: &'a str,
    pub level: Option<Level>,
    pub exercise: bool,
}

impl Caller<'_> {
    /// `what` makes the key: said once, whatever happens again.
    pub fn tell(&self, out: &mut Effects, desk: &Desk, recipient: Recipient, what: &str, title: Both, text: Both) {
        let to = match &recipient {
            Recipient::Unit { unit, role } => format!("{unit}/{role}"),
            Recipient::City { .. } => "city".to_owned(),
        };
        out.tell(Message {
            key: format!("{}:{}:{what}:{to}", self.kind, self.id),
            recipient,
            level: self.level,
            kind: self.kind.to_owned(),
            id: self.id.to_owned(),
            thread: self.thread.to_owned(),
            title,
            text,
            revision: None,
            exercise: self.exercise,
            time: desk.now,
        });
    }
}

pub fn unit(unit: &str, role: &str) -> Recipient {
    Recipient::Unit { unit: unit.to_owned(), role: role.to_owned() }
}

/// "3 h 20 min" and "3 小时 20 分钟"; whole minutes, never negative.
pub fn span(seconds: i64) -> Both {
    let minutes = seconds.max(0) / 60;
    let parts = [(minutes / 1440, "d", "天"), (minutes / 60 % 24, "h", "小时"), (minutes % 60, "min", "分钟")];
    let mut shown: Vec<_> = parts.iter().filter(|(n, ..)| *n > 0).collect();
    if shown.is_empty() {
        shown.push(&parts[2]);
    }
    let join = |f: &dyn Fn(&(i64, &str, &str)) -> String| shown.iter().map(|p| f(p)).collect::<Vec<_>>().join(" ");
    Both::new(join(&|p| format!("{} {}", p.0, p.2)), join(&|p| format!("{} {}", p.0, p.1)))
}
