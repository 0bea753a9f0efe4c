//! Values and numbering lanes as small numbers: a host or an account is kept once, however many windows name it.
//!
//! * Two values are the same if a person would write them the same: the text `10.0.0.1` is the address, the text `22` the number.
//! * What nothing refers to any more is found by marking (`Windows::sweep`) and its number is given again. No counting of
//!   references, so none can be wrong.
//! * Bounded: `NAMES_MAX` values of `NAME_BYTES_MAX` bytes. Past it `intern` answers `None` and the finding is not counted, which is counted.

use std::net::IpAddr;

use ahash::{AHashMap, RandomState};
use event::{AgentId, Class, Epoch, EventId, Value};

use crate::bytes::{Reader, Writer};
use crate::state::StateError;

/// Bytes of one value that are told apart.
pub(crate) const NAME_BYTES_MAX: usize = 256;
const NAMES_MAX: usize = 1 << 22;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    held: Held,
    marked: bool,
}

/// A value as it is held: a short text lies in place, so that comparing it asks memory no second time.
#[derive(Debug)]
enum Held {
    Free,
    Ip(IpAddr),
    Int(i64),
    Short([u8; SHORT], u8),
    Long(Box<str>),
}

const SHORT: usize = 22;
const _: () = assert!(size_of::<Slot>() == 32, "two names to a line");

impl Held {
    fn value(&self) -> Value {
        match self {
            Self::Free => Value::Null,
            Self::Ip(ip) => Value::Ip(*ip),
            Self::Int(n) => Value::Int(*n),
            Self::Short(bytes, len) => {
                Value::Text(std::str::from_utf8(bytes.get(..usize::from(*len)).unwrap_or_default()).unwrap_or_default().into())
            }
            Self::Long(text) => Value::text(text),
        }
    }
    /// A text stays one, whatever it looks like.
    fn form(&self) -> Option<Form<'_>> {
        match self {
            Self::Free => None,
            Self::Ip(ip) => Some(Form::Ip(*ip)),
            Self::Int(n) => Some(Form::Int(*n)),
            Self::Short(bytes, len) => Some(Form::Text(bytes.get(..usize::from(*len))?)),
            Self::Long(text) => Some(Form::Text(text.as_bytes())),
        }
    }
    fn of(value: &Value) -> Self {
        match value {
            Value::Ip(ip) => Self::Ip(*ip),
            Value::Int(n) => Self::Int(*n),
            Value::Text(text) => Form::Text(text.as_bytes()).own(),
            _ => Self::Free,
        }
    }
}

/// The table of values. Numbers stay the same over save and load.
#[derive(Debug, Default)]
pub(crate) struct Names {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Hash and number, open addressing, at most three quarters full; nothing leaves it but by a sweep.
    table: Vec<(u32, u32)>,
    hasher: RandomState,
    held_after_sweep: usize,
}

/// A value as it is compared. A text is its bytes: whole characters, as it came from a `str`.
#[derive(Clone, Copy, PartialEq)]
enum Form<'a> {
    Ip(IpAddr),
    Int(i64),
    Text(&'a [u8]),
}

/// A value on its way to its number: what it is and where its name stands.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    form: Form<'a>,
    hash: u32,
}

impl<'a> Form<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Ip(ip) => Some(Form::Ip(*ip)),
            Value::Int(n) => Some(Form::Int(*n)),
            Value::Text(t) => {
                let bytes = t.as_bytes();
                Some(Form::read(if bytes.len() <= NAME_BYTES_MAX { bytes } else { cut(t, NAME_BYTES_MAX).as_bytes() }))
            }
            Value::Bool(b) => Some(Form::Text(if *b { b"true" } else { b"false" })),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e15 => Some(Form::Int(*x as i64)),
            Value::Null | Value::Float(_) | Value::Bytes(_) | Value::List(_) => None,
        }
    }
    fn read(bytes: &'a [u8]) -> Self {
        let text = Form::Text(bytes);
        let Some(first) = bytes.first().filter(|_| bytes.len() <= 45) else { return text };
        if !(first.is_ascii_hexdigit() || matches!(first, b'-' | b':')) || bytes.len() < 2 && !first.is_ascii_digit() {
            return text;
        }
        if let Some(ip) = ipv4(bytes) {
            return Form::Ip(ip);
        }
        let parsed = || std::str::from_utf8(bytes).unwrap_or_default();
        if bytes.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':')) && bytes.contains(&b':') {
            return parsed().parse().map_or(text, Form::Ip);
        }
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let plain = digits == b"0" && digits.len() == bytes.len() || digits.first().is_some_and(|d| matches!(d, b'1'..=b'9'));
        if plain && digits.iter().all(u8::is_ascii_digit) {
            return parsed().parse().map_or(text, Form::Int);
        }
        text
    }
    fn hash(&self, state: &RandomState) -> u32 {
        let hash = match self {
            Form::Ip(ip) => state.hash_one(ip),
            Form::Int(n) => state.hash_one(n),
            Form::Text(t) => state.hash_one(t),
        };
        (hash >> 32) as u32
    }
    fn is(&self, held: &Held) -> bool {
        match (self, held) {
            (Form::Ip(a), Held::Ip(b)) => a == b,
            (Form::Int(a), Held::Int(b)) => a == b,
            (Form::Text(a), Held::Short(b, len)) => Some(*a) == b.get(..usize::from(*len)),
            (Form::Text(a), Held::Long(b)) => *a == b.as_bytes(),
            _ => false,
        }
    }
    fn own(&self) -> Held {
        match self {
            Form::Ip(ip) => Held::Ip(*ip),
            Form::Int(n) => Held::Int(*n),
            Form::Text(t) => {
                let mut bytes = [0; SHORT];
                match bytes.get_mut(..t.len()) {
                    Some(place) => {
                        place.copy_from_slice(t);
                        Held::Short(bytes, t.len() as u8)
                    }
                    None => Held::Long(std::str::from_utf8(t).unwrap_or_default().into()),
                }
            }
        }
    }
}

/// Four numbers up to 255 without leading zeros and the dots between them, as `Ipv4Addr` reads them, in fewer steps.
fn ipv4(bytes: &[u8]) -> Option<IpAddr> {
    if !(7..=15).contains(&bytes.len()) {
        return None;
    }
    let (mut address, mut part, mut digits, mut dots) = (0u32, 0u32, 0u32, 0u32);
    for b in bytes {
        match b {
            b'0'..=b'9' => {
                if digits > 0 && part == 0 {
                    return None;
                }
                part = part * 10 + u32::from(b - b'0');
                digits += 1;
                if part > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && dots < 3 => {
                address = address << 8 | part;
                (part, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| std::net::Ipv4Addr::from(address << 8 | part).into())
}

impl Names {
    /// The number of a value; `None` where the table is full.
    pub(crate) fn intern(&mut self, value: &Value) -> Option<u32> {
        match Form::of(value) {
            Some(form) => self.put(form, form.hash(&self.hasher)),
            None => {
                let text = value.to_text();
                let form = Form::Text(cut(&text, NAME_BYTES_MAX).as_bytes());
                self.put(form, form.hash(&self.hasher))
            }
        }
    }

    /// The number of a text that is taken as it is, whatever it looks like.
    pub(crate) fn intern_text(&mut self, text: &str) -> Option<u32> {
        let form = Form::Text(cut(text, 2 * NAME_BYTES_MAX).as_bytes());
        self.put(form, form.hash(&self.hasher))
    }

    /// The first half of `intern`, so that memory can be asked for several names at once (`touch`); `None` for what is not held as it is.
    pub(crate) fn seek<'a>(&self, value: &'a Value) -> Option<Sought<'a>> {
        let form = Form::of(value)?;
        Some(Sought { form, hash: form.hash(&self.hasher) })
    }

    /// The second half of `intern`.
    pub(crate) fn found(&mut self, sought: &Sought<'_>) -> Option<u32> {
        self.put(sought.form, sought.hash)
    }

    fn put(&mut self, form: Form<'_>, hash: u32) -> Option<u32> {
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some((known, at)) = self.table.get(place).filter(|(_, at)| *at != NONE) {
            if *known == hash && self.slots.get(*at as usize).is_some_and(|slot| form.is(&slot.held)) {
                return Some(*at);
            }
            place = (place + 1) & mask;
        }
        self.add(form, hash)
    }

    #[cold]
    fn add(&mut self, form: Form<'_>, hash: u32) -> Option<u32> {
        let slot = Slot { held: form.own(), marked: false };
        let at = match self.free.pop() {
            Some(at) => {
                *self.slots.get_mut(at as usize)? = slot;
                at
            }
            None if self.slots.len() < NAMES_MAX => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        if (self.len() + 1) * 4 > self.table.len() * 3 {
            let old = std::mem::take(&mut self.table);
            self.table = vec![(0, NONE); (old.len() * 2).max(64)];
            old.into_iter().filter(|(_, at)| *at != NONE).for_each(|(hash, at)| self.enter(hash, at));
        }
        self.enter(hash, at);
        Some(at)
    }

    fn enter(&mut self, hash: u32, at: u32) {
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(free) = self.table.get_mut(place) {
            if free.1 == NONE {
                *free = (hash, at);
                return;
            }
            place = (place + 1) & mask;
        }
    }

    pub(crate) fn get(&self, number: u32) -> Value {
        self.slots.get(number as usize).map_or(Value::Null, |s| s.held.value())
    }

    /// Reads the table where these are sought, then the names there, for the memory to fetch them.
    pub(crate) fn touch<'a>(&self, sought: impl Iterator<Item = &'a Sought<'a>> + Clone) {
        let mask = self.table.len().wrapping_sub(1);
        let place = |s: &Sought<'_>| self.table.get(s.hash as usize & mask).map_or(NONE, |(_, at)| *at);
        std::hint::black_box(sought.clone().fold(0, |sum, s| sum ^ place(s)));
        let names = sought.filter_map(|s| self.slots.get(place(s) as usize));
        std::hint::black_box(names.fold(0, |sum, slot| sum + u32::from(slot.marked)));
    }
    /// Values held, and those nothing may refer to any more.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// Grown to twice what was left after the last sweep.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.len() > 2 * self.held_after_sweep + 8_192
    }
    pub(crate) fn mark(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            slot.marked = true;
        }
    }
    /// Lets go of what was not marked since the last sweep.
    pub(crate) fn sweep(&mut self) {
        self.free.clear();
        let mut kept = Vec::new();
        for (slot, at) in self.slots.iter_mut().zip(0u32..) {
            if !std::mem::take(&mut slot.marked) {
                slot.held = Held::Free;
                self.free.push(at);
            } else if let Some(form) = slot.held.form() {
                kept.push((form.hash(&self.hasher), at));
            }
        }
        self.free.reverse();
        self.table = vec![(0, NONE); (kept.len() * 2 + 64).next_power_of_two()];
        kept.into_iter().for_each(|(hash, at)| self.enter(hash, at));
        self.held_after_sweep = self.len();
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.len(self.slots.len());
        self.slots.iter().for_each(|s| w.value(&s.held.value()));
    }
    pub(crate) fn load(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut names = Self::default();
        for _ in 0..r.len()? {
            let value = r.value()?;
            names.slots.push(Slot { marked: !matches!(value, Value::Null), held: Held::of(&value) });
        }
        names.sweep();
        Ok(names)
    }
}

/// Where sequence numbers count: (agent, epoch, class), as a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Vec<Option<(AgentId, Epoch, Class)>>,
    free: Vec<u32>,
    numbers: AHashMap<(AgentId, Epoch, Class), u32>,
    marked: Vec<bool>,
    held_after_sweep: usize,
    /// The one asked for last: events of an agent come in a row.
    recent: Option<((AgentId, Epoch, Class), u32)>,
}

impl Lanes {
    pub(crate) fn intern(&mut self, id: EventId) -> u32 {
        let lane = (id.agent, id.epoch, id.class);
        if let Some((_, number)) = self.recent.filter(|(known, _)| *known == lane) {
            return number;
        }
        let number = self.number(lane);
        self.recent = Some((lane, number));
        number
    }
    fn number(&mut self, lane: (AgentId, Epoch, Class)) -> u32 {
        if let Some(number) = self.numbers.get(&lane) {
            return *number;
        }
        let number = match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.lanes.get_mut(at as usize) {
                    *slot = Some(lane);
                }
                at
            }
            None => {
                self.lanes.push(Some(lane));
                self.lanes.len() as u32 - 1
            }
        };
        self.numbers.insert(lane, number);
        number
    }
    pub(crate) fn id(&self, lane: u32, seq: u64) -> EventId {
        let (agent, epoch, class) = self.lanes.get(lane as usize).copied().flatten().unwrap_or_default();
        EventId { agent, epoch, class, seq }
    }
    pub(crate) fn agent(&self, lane: u32) -> AgentId {
        self.id(lane, 0).agent
    }
    pub(crate) fn wants_sweep(&self) -> bool {
        self.numbers.len() > 2 * self.held_after_sweep + 4_096
    }
    pub(crate) fn mark(&mut self, lane: u32) {
        self.marked.resize(self.lanes.len(), false);
        if let Some(m) = self.marked.get_mut(lane as usize) {
            *m = true;
        }
    }
    pub(crate) fn sweep(&mut self) {
        self.recent = None;
        self.marked.resize(self.lanes.len(), false);
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            if self.marked.get(at) != Some(&true)
                && let Some(gone) = lane.take()
            {
                self.numbers.remove(&gone);
            }
        }
        self.free = (0..self.lanes.len() as u32).rev().filter(|at| self.lanes.get(*at as usize).is_some_and(Option::is_none)).collect();
        self.marked.clear();
        self.held_after_sweep = self.numbers.len();
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.len(self.lanes.len());
        for lane in &self.lanes {
            w.u8(u8::from(lane.is_some()));
            if let Some((agent, epoch, class)) = lane {
                w.id(EventId { agent: *agent, epoch: *epoch, class: *class, seq: 0 });
            }
        }
    }
    pub(crate) fn load(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut lanes = Self::default();
        for at in 0..r.len()? {
            let lane = if r.u8()? == 0 { None } else { Some(r.id()?) };
            let lane = lane.map(|id| (id.agent, id.epoch, id.class));
            match lane {
                Some(lane) => {
                    lanes.numbers.insert(lane, at as u32);
                }
                None => lanes.free.push(at as u32),
            }
            lanes.lanes.push(lane);
        }
        lanes.free.reverse();
        lanes.held_after_sweep = lanes.numbers.len();
        Ok(lanes)
    }
}

/// The head of a text, at a character border.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_the_same_is_the_same() {
        let mut names = Names::default();
        let mut n = |v: Value| names.intern(&v).unwrap();
        assert_eq!(n(Value::text("10.0.0.1")), n(Value::Ip([10, 0, 0, 1].into())));
        assert_eq!(n(Value::text("22")), n(Value::Int(22)));
        assert_eq!(n(Value::Float(22.0)), n(Value::Int(22)));
        assert_eq!(n(Value::text("true")), n(Value::Bool(true)));
        let different = [n(Value::text("022")), n(Value::text("-0")), n(Value::text("0")), n(Value::text("")), n(Value::text("+22"))];
        assert!(different.iter().enumerate().all(|(at, a)| different.iter().skip(at + 1).all(|b| a != b)));
    }

    #[test]
    fn an_address_is_read_as_the_library_reads_it() {
        let odd = ["1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1..2.3", "1.2.3.", ".1.2.3", "0.0.0.0", "255.255.255.255", "1.2.3.00"];
        for text in
            odd.iter().copied().chain(["10.0.0.1", "1.2.3.a", "1.2.3.4:", "::1", "1:2", "fe80::a", "dead", "::ffff:1.2.3.4", "1.2.3.0"])
        {
            let expected = text.parse::<IpAddr>().map_or(Form::Text(text.as_bytes()), Form::Ip);
            assert!(Form::read(text.as_bytes()) == expected, "{text}");
        }
        for n in 0..70_000u32 {
            let ip = std::net::Ipv4Addr::from(n.wrapping_mul(0x9e37_79b1));
            assert_eq!(ipv4(ip.to_string().as_bytes()), Some(ip.into()));
        }
    }

    #[test]
    fn what_is_not_marked_is_given_again_and_the_rest_keeps_its_number() {
        let mut names = Names::default();
        let all: Vec<u32> = ["a", "b", "c"].iter().map(|t| names.intern(&Value::text(t)).unwrap()).collect();
        names.mark(all[1]);
        names.sweep();
        assert_eq!((names.len(), names.get(all[1])), (1, Value::text("b")));
        assert_eq!(names.intern(&Value::text("b")), Some(all[1]));
        assert_eq!(names.intern(&Value::text("d")), Some(all[0]));
        let mut w = Writer::default();
        names.save(&mut w);
        let bytes = w.finish();
        let mut loaded = Names::load(&mut Reader::checked(&bytes).unwrap()).unwrap();
        assert_eq!((loaded.intern(&Value::text("b")), loaded.intern(&Value::text("d"))), (Some(all[1]), Some(all[0])));
    }
}
