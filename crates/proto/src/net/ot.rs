//! What the control protocols share: the first fields of an event, requests that wait for their answers, the counting of equal messages,
//! the class of delivery.
//!
//! An event of a control protocol has the station that asks as its source, whichever side opened the connection and whichever
//! sent this message: "who moved which breaker" is `src_endpoint` and `ot.objects`. A master polls the same points for years:
//! equal polls of one connection are told at once the first time, then once a minute or every hundred with how many there were, and
//! none is lost (`count`). Whatever changes something is told one by one, at once, as critical. A request without an answer is told after a
//! second, counted apart from those that were answered.
//!
//! Limits: `POLLS_MAX` different polls are counted a connection; further ones are told one by one. `WAITING_MAX` requests wait; past it the
//! oldest is told as one without an answer.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::{Emit, Side, Want};

/// Different polls counted a connection; protocols of which a network has many connections count fewer.
pub(crate) const POLLS_MAX: usize = 128;
/// How often equal polls are told.
const POLL_NS: i64 = 60 * SECOND_NS;
/// So many are told sooner: a flood of equal messages is seen as one.
const POLLS_TOLD: i64 = 100;
/// Requests of a connection without an answer so far.
pub(crate) const WAITING_MAX: usize = 128;
/// How long an answer is waited for.
const ANSWER_NS: i64 = SECOND_NS;
/// Last number of the key of a request without an answer.
const UNANSWERED: u32 = 1;
/// In the last number of the key of a refusal.
const REFUSED: u32 = 1 << 31;
/// Objects and values of one message that are named.
pub(crate) const NAMED_MAX: usize = 16;

/// What equal messages have in common, as their protocol says.
pub(crate) type Key = [u32; 4];

/// The first fields of an event.
pub(crate) fn event(service: &'static str, direction: &'static str, name: &'static str, time: Timestamp) -> Event {
    Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "ot", service))
        .with(field::OT_PROTOCOL, service)
        .with(field::OT_DIRECTION, direction)
        .with(field::OT_FUNCTION_NAME, name)
}

/// What a message is for, and whether it is meant to change the process or the device.
pub(crate) fn purpose(event: &mut Event, access: &'static str, is_write: bool) {
    event.body.set(field::OT_ACCESS, access);
    event.body.set(field::OT_IS_WRITE, is_write);
}

/// How it went: 1 done, 2 refused with a code and its name.
pub(crate) fn outcome(event: &mut Event, refusal: Option<(u32, &'static str)>) {
    event.body.set(field::STATUS_ID, if refusal.is_some() { 2 } else { 1 });
    if let Some((code, name)) = refusal {
        event.body.set(field::OT_EXCEPTION, code);
        event.body.set(field::OT_EXCEPTION_NAME, name);
    }
}

/// An answer joined with its request.
pub(crate) fn answered(event: &mut Event, asked: Timestamp, time: Timestamp) {
    event.time = time;
    event.body.set(field::OT_DIRECTION, "both");
    event.body.set(field::OT_RESPONSE_MS, time.since(asked).max(0) / 1_000_000);
}

/// The objects of a message by name, the first few.
pub(crate) fn objects(event: &mut Event, names: Vec<String>) {
    if !names.is_empty() {
        event.body.set(field::OT_OBJECTS, names);
    }
}

/// The values of a message, the first few.
pub(crate) fn values(event: &mut Event, values: &[f64]) {
    if let Some(first) = values.first() {
        event.body.set(field::OT_VALUE, *first);
        event.body.set(field::OT_VALUES, values.iter().take(NAMED_MAX).map(|v| Value::Float(*v)).collect::<Vec<_>>());
    }
}

fn changes(event: &Event) -> bool {
    event.get(field::OT_IS_WRITE) == Some(&Value::Bool(true))
}

/// Tells events of one connection; equal ones of those that change nothing are counted.
#[derive(Default)]
pub(crate) struct Teller<const MAX: usize = POLLS_MAX> {
    /// By key. Most connections have a few: a tree would take room for a dozen at once.
    polls: Vec<(Key, Box<Counted>)>,
}

struct Counted {
    told: Timestamp,
    more: i64,
    last: Event,
    by: Side,
}

impl<const MAX: usize> Teller<MAX> {
    /// One by one: commands, refusals, whatever is rare.
    pub(crate) fn single(&self, by: Side, event: Event, out: &mut dyn Emit) {
        let class = if changes(&event) { Class::Critical } else { Class::Normal };
        out.asked(by, class, event);
    }

    /// Counted with its like, refusals with refusals of their reason, unless it changes something.
    pub(crate) fn poll(&mut self, mut key: Key, by: Side, mut event: Event, out: &mut dyn Emit) {
        if changes(&event) {
            return self.single(by, event, out);
        }
        if let Some(code) = event.get(field::OT_EXCEPTION).and_then(Value::as_int) {
            key[3] ^= REFUSED | (code as u32 & 0xffff) << 8;
        }
        let place = self.polls.binary_search_by_key(&key, |(key, _)| *key);
        match place.ok().and_then(|at| self.polls.get_mut(at)).map(|(_, counted)| counted) {
            // A clock that went back starts a new minute.
            Some(counted) if counted.more + 1 < POLLS_TOLD && (0..POLL_NS).contains(&event.time.since(counted.told)) => {
                counted.more += 1;
                (counted.last, counted.by) = (event, by);
                return;
            }
            Some(counted) => {
                event.body.set(field::COUNT, counted.more + 1);
                (counted.told, counted.more) = (event.time, 0);
            }
            None => {
                event.body.set(field::COUNT, 1);
                if let (true, Err(at)) = (self.polls.len() < MAX, place) {
                    self.polls.insert(at, (key, Box::new(Counted { told: event.time, more: 0, last: event.clone(), by })));
                }
            }
        }
        out.asked(by, Class::Bulk, event);
    }

    /// Says how many there were since they were last told.
    pub(crate) fn end(&mut self, out: &mut dyn Emit) {
        for counted in std::mem::take(&mut self.polls).into_iter().map(|(_, counted)| *counted).filter(|c| c.more > 0) {
            let mut event = counted.last;
            event.body.set(field::COUNT, counted.more);
            out.asked(counted.by, Class::Bulk, event);
        }
    }
}

/// A request that waits for its answer.
pub(crate) struct Asked<I> {
    /// What joins the two.
    pub id: I,
    /// The side that asks.
    pub by: Side,
    pub time: Timestamp,
    /// Its like is counted under this key; the last number is free for how it went.
    pub key: Key,
    pub event: Event,
}

/// Requests of one connection that wait, the oldest first.
pub(crate) struct Waiting<I>(VecDeque<Asked<I>>);

impl<I> Default for Waiting<I> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<I> Waiting<I> {
    pub(crate) fn ask(&mut self, asked: Asked<I>, teller: &mut Teller, out: &mut dyn Emit) {
        self.0.push_back(asked);
        if self.0.len() > WAITING_MAX {
            self.oldest(teller, out);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The oldest one that fits.
    pub(crate) fn take(&mut self, fits: impl FnMut(&Asked<I>) -> bool) -> Option<Asked<I>> {
        self.0.iter().position(fits).and_then(|at| self.0.remove(at))
    }

    /// Tells those that have waited too long.
    pub(crate) fn wake(&mut self, now: Timestamp, teller: &mut Teller, out: &mut dyn Emit) -> Want {
        while self.0.front().is_some_and(|a| now.since(a.time) >= ANSWER_NS) {
            self.oldest(teller, out);
        }
        if self.0.is_empty() { Want::More } else { Want::Wake }
    }

    /// The connection is over: nothing is answered any more.
    pub(crate) fn end(&mut self, teller: &mut Teller, out: &mut dyn Emit) {
        while !self.0.is_empty() {
            self.oldest(teller, out);
        }
        teller.end(out);
    }

    fn oldest(&mut self, teller: &mut Teller, out: &mut dyn Emit) {
        if let Some(Asked { event, key: [a, b, c, _], by, .. }) = self.0.pop_front() {
            teller.poll([a, b, c, UNANSWERED], by, event, out);
        }
    }
}

pub(crate) fn le16(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

pub(crate) fn le24(b: &[u8], at: usize) -> Option<u32> {
    let b = b.get(at..at.checked_add(3)?)?;
    Some(u32::from(b[0]) | u32::from(b[1]) << 8 | u32::from(b[2]) << 16)
}

pub(crate) fn le32(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Seen;
    use super::*;

    #[test]
    fn equal_polls_are_counted_and_none_is_lost() {
        let (mut teller, mut seen) = (Teller::<POLLS_MAX>::default(), Seen::default());
        for n in 0..150 {
            let mut poll = event("dnp3", "both", "read", Timestamp::from_secs(n));
            purpose(&mut poll, "read", false);
            teller.poll([1, 2, 3, 4], Side::Originator, poll, &mut seen);
        }
        teller.end(&mut seen);
        let counts: Vec<&str> = seen.0.iter().filter_map(|l| l.split("count=").nth(1)).collect();
        assert_eq!(counts, ["1", "60", "60", "29"]);
    }

    #[test]
    fn a_flood_of_equal_messages_is_told_by_the_hundred() {
        let (mut teller, mut seen) = (Teller::<POLLS_MAX>::default(), Seen::default());
        for n in 0..251 {
            teller.poll([1, 2, 3, 4], Side::Originator, event("dnp3", "both", "read", Timestamp::from_ms(n)), &mut seen);
        }
        teller.end(&mut seen);
        let counts: Vec<&str> = seen.0.iter().filter_map(|l| l.split("count=").nth(1)).collect();
        assert_eq!(counts, ["1", "100", "100", "50"]);
    }

    #[test]
    fn requests_past_the_limit_are_told_and_so_are_those_that_waited_too_long() {
        let (mut waiting, mut teller, mut seen) = (Waiting::default(), Teller::default(), Seen::default());
        let asked =
            |n: u32, time| Asked { id: n, by: Side::Originator, time, key: [n, 0, 0, 0], event: event("dnp3", "request", "read", time) };
        for n in 0..WAITING_MAX as u32 + 1 {
            waiting.ask(asked(n, Timestamp::ZERO), &mut teller, &mut seen);
        }
        assert_eq!((waiting.0.len(), seen.0.len()), (WAITING_MAX, 1), "the oldest made room");
        assert_eq!(waiting.take(|a| a.id == 0).map(|a| a.id), None);
        assert_eq!(waiting.take(|a| a.id > 1).map(|a| a.id), Some(2));
        waiting.ask(asked(0, Timestamp::from_ms(500)), &mut teller, &mut seen);
        assert_eq!(waiting.wake(Timestamp::from_secs(1), &mut teller, &mut seen), Want::Wake);
        assert_eq!((waiting.0.len(), seen.0.len()), (1, WAITING_MAX));
        waiting.end(&mut teller, &mut seen);
        assert_eq!((waiting.0.len(), seen.0.len()), (0, WAITING_MAX + 1), "the first key a second time, counted, and no other twice");
    }

    #[test]
    fn polls_past_the_limit_are_told_one_by_one() {
        let (mut teller, mut seen) = (Teller::<POLLS_MAX>::default(), Seen::default());
        for n in 0..2 * POLLS_MAX as u32 {
            for _ in 0..2 {
                teller.poll([n, 0, 0, 0], Side::Originator, event("dnp3", "both", "read", Timestamp::ZERO), &mut seen);
            }
        }
        teller.end(&mut seen);
        assert_eq!((teller.polls.len(), seen.0.len()), (0, 4 * POLLS_MAX));
    }
}
