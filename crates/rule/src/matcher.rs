//! One event against the predicates. Each predicate is decided at most once an event, each field found and folded at most
//! once; the room for that is reused from event to event, so a miss allocates nothing.
//!
//! Semantics where the specification is silent, chosen here and held by the conformance cases:
//! - a list matches if any element does; under `all`, each value needs an element, not the same one
//! - `null` matches a field that is absent or present and null; `exists` tells the two apart
//! - `neq` speaks about a field that is there; a missing field is no different value
//! - a number in a rule equals the same number whatever its type, and text that is written like it
//! - keywords are sought in every value, save what the agent or the collector added (see `ADDED`)

use event::{Event, FIELDS_MAX, Field, Match, Name, Value, field};

use crate::compile::{Candidate, Expr, Predicate, Program, Quick, Relation, Selection, Test, TestKind};
use crate::scalar::{Scalar, cut};
use crate::text::{Form, Pattern};

/// Fields that are no part of the message as its source wrote it; keywords are not sought in them.
const ADDED: &[Field] = &[
    field::LOG_PATH,
    field::LOG_OFFSET,
    field::DEVICE_HOSTNAME,
    field::DEVICE_IPS,
    field::DEVICE_INTERFACE,
    field::UNIT_ID,
    field::UNIT_NAME,
    field::UNIT_SECTOR,
    field::OBJECT_ID,
    field::OBJECT_IMPORTANCE,
    field::ASSET_ID,
    field::AGENT_ID,
    field::RECEIVED_TIME,
    field::CLOCK_SKEW_MS,
    field::COMMUNITY_ID,
];
/// Stands between values in the joined message; a noncharacter, so no keyword holds it.
const BORDER: char = '\u{ffff}';
/// Text buffers larger than this are given back after the event.
const ROOM_MAX: usize = 64 * 1024;
/// Bytes of a value shown in a match, and matches shown in a finding.
const SHOWN_MAX: usize = 512;
const MATCHES_MAX: usize = 16;

const ABSENT: u16 = u16::MAX;
const HEADER: u16 = 0x8000;

/// Room for one event's answers; a stamp that is not the present epoch means "not yet decided".
#[derive(Debug, Default)]
pub struct Scratch {
    epoch: u32,
    answers: Vec<(u32, i32)>,
    places: Vec<(u32, u16)>,
    stamps: Vec<u32>,
    texts: Vec<String>,
    whole_stamps: [u32; Form::COUNT],
    whole: [String; Form::COUNT],
    room: String,
    element: String,
    large: bool,
}

impl Scratch {
    pub(crate) fn new(program: &Program) -> Self {
        Self {
            answers: vec![(0, 0); program.predicates.len()],
            places: vec![(0, 0); program.slots.len()],
            stamps: vec![0; program.slots.len() * Form::COUNT],
            texts: vec![String::new(); program.slots.len() * Form::COUNT],
            ..Self::default()
        }
    }

    fn begin(&mut self) {
        if self.large {
            let spacious = self.texts.iter_mut().chain(&mut self.whole).chain([&mut self.room, &mut self.element]);
            spacious.filter(|t| t.capacity() > ROOM_MAX).for_each(|t| *t = String::new());
            self.large = false;
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.answers.fill((0, 0));
            self.places.fill((0, 0));
            self.stamps.fill(0);
            self.whole_stamps = [0; Form::COUNT];
            self.epoch = 1;
        }
    }
}

/// An event under examination.
pub(crate) struct Looker<'s, 'e> {
    program: &'s Program,
    scratch: &'s mut Scratch,
    event: &'e Event,
    values: [Option<&'e Value>; FIELDS_MAX],
    /// The reference way: nothing remembered, lists tested one by one.
    plain: bool,
}

impl<'s, 'e> Looker<'s, 'e> {
    pub fn new(program: &'s Program, scratch: &'s mut Scratch, event: &'e Event, plain: bool) -> Self {
        scratch.begin();
        let mut values = [None; FIELDS_MAX];
        for (place, (_, value)) in values.iter_mut().zip(event.body.iter()) {
            *place = Some(value);
        }
        Self { program, scratch, event, values, plain }
    }

    pub fn holds(&mut self, expr: &Expr, selections: &[Selection]) -> bool {
        match expr {
            Expr::Predicate(n) => self.decide(*n).is_some(),
            Expr::Selection(n) => selections.get(*n as usize).is_some_and(|s| self.holds(&s.expr, selections)),
            Expr::And(list) => list.iter().all(|e| self.holds(e, selections)),
            Expr::Or(list) => list.iter().any(|e| self.holds(e, selections)),
            Expr::Not(e) => !self.holds(e, selections),
        }
    }

    /// The number of the test that holds, if the predicate does.
    pub fn decide(&mut self, number: u32) -> Option<usize> {
        let at = number as usize;
        let predicate = self.program.predicates.get(at)?;
        if self.plain {
            return self.ask(predicate);
        }
        if let Some((epoch, answer)) = self.scratch.answers.get(at)
            && *epoch == self.scratch.epoch
        {
            return usize::try_from(*answer).ok();
        }
        let answer = self.ask(predicate);
        let epoch = self.scratch.epoch;
        if let Some(slot) = self.scratch.answers.get_mut(at) {
            *slot = (epoch, answer.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1));
        }
        answer
    }

    fn ask(&mut self, predicate: &Predicate) -> Option<usize> {
        let Some(slot) = predicate.slot else { return self.ask_message(predicate) };
        let seen = self.see(slot);
        let answer = match seen {
            None => pick(predicate, |test| matches!(test.kind, TestKind::Exists(false) | TestKind::Null)),
            Some(Scalar::List(list)) => pick(predicate, |test| match test.kind {
                TestKind::Exists(there) => there,
                _ => list.iter().any(|v| self.test(test, None, Scalar::from(v))),
            }),
            Some(scalar) => match &predicate.quick {
                Quick::Exact(all, form) if !self.plain => self.text(Some(slot), *form, scalar).and_then(|t| all.get(t).copied()),
                Quick::Contains(all, form) if !self.plain => {
                    self.text(Some(slot), *form, scalar).and_then(|t| Some(all.find(t)?.pattern().as_usize()))
                }
                _ => pick(predicate, |test| self.test(test, Some(slot), scalar)),
            },
        };
        match predicate.negate {
            false => answer,
            true => (seen.is_some() && answer.is_none()).then_some(0),
        }
    }

    /// Keywords: each is sought in the whole message.
    fn ask_message(&mut self, predicate: &Predicate) -> Option<usize> {
        let answer = match &predicate.quick {
            Quick::Contains(all, form) if !self.plain => {
                let form = *form;
                self.whole(form);
                self.scratch.whole.get(form as usize).and_then(|t| Some(all.find(t)?.pattern().as_usize()))
            }
            _ => pick(predicate, |test| match &test.kind {
                TestKind::Text { pattern: Pattern::Contains(needle), form } if !self.plain => {
                    self.whole(*form);
                    self.scratch.whole.get(*form as usize).is_some_and(|t| needle.find(t.as_bytes()).is_some())
                }
                _ => self.message_value(test).is_some(),
            }),
        };
        match predicate.negate {
            false => answer,
            true => answer.is_none().then_some(0),
        }
    }

    /// The first value of the message that a keyword test holds for.
    fn message_value(&mut self, test: &Test) -> Option<Scalar<'e>> {
        let event = self.event;
        for (_, value) in event.body.iter().filter(|(n, _)| !added(n)) {
            let scalar = Scalar::from(value);
            let hit = match scalar {
                Scalar::List(list) => list.iter().map(Scalar::from).find(|s| self.test(test, None, *s)),
                _ => self.test(test, None, scalar).then_some(scalar),
            };
            if hit.is_some() {
                return hit;
            }
        }
        None
    }

    /// Joins all values of the message in one form.
    fn whole(&mut self, form: Form) {
        let at = form as usize;
        let Scratch { whole_stamps, whole, room, epoch, large, .. } = &mut *self.scratch;
        let (Some(stamp), Some(out)) = (whole_stamps.get_mut(at), whole.get_mut(at)) else { return };
        if *stamp == *epoch {
            return;
        }
        *stamp = *epoch;
        out.clear();
        let mut add = |scalar: Scalar<'_>| {
            if let Some(text) = scalar.text(room) {
                form.write(text, out);
                out.push(BORDER);
            }
        };
        for (_, value) in self.event.body.iter().filter(|(n, _)| !added(n)) {
            match Scalar::from(value) {
                Scalar::List(list) => list.iter().for_each(|v| add(Scalar::from(v))),
                scalar => add(scalar),
            }
        }
        *large |= out.capacity() > ROOM_MAX;
    }

    /// The field in this event: the first of its names that is there.
    pub fn see(&mut self, slot: u32) -> Option<Scalar<'e>> {
        let at = slot as usize;
        let epoch = self.scratch.epoch;
        let place = match self.scratch.places.get(at) {
            Some((stamp, place)) if *stamp == epoch => *place,
            _ => {
                let place = self.find(at);
                if let Some(entry) = self.scratch.places.get_mut(at) {
                    *entry = (epoch, place);
                }
                place
            }
        };
        match place {
            ABSENT => None,
            p if p & HEADER != 0 => match self.program.slots.get(at)?.candidates.get(usize::from(p & !HEADER))? {
                Candidate::Header(header) => Some(header.of(self.event)),
                Candidate::Body(_) => None,
            },
            p => self.values.get(usize::from(p)).copied().flatten().map(Scalar::from),
        }
    }

    fn find(&self, slot: usize) -> u16 {
        let Some(slot) = self.program.slots.get(slot) else { return ABSENT };
        for (n, candidate) in slot.candidates.iter().enumerate() {
            match candidate {
                Candidate::Body(name) => {
                    if let Some(at) = self.event.body.iter().position(|(n, _)| n == name) {
                        return u16::try_from(at).unwrap_or(ABSENT);
                    }
                }
                Candidate::Header(_) => return HEADER | u16::try_from(n).unwrap_or(0),
            }
        }
        ABSENT
    }

    /// The text of a field (or, without a slot, of a list's element) in a form.
    fn text(&mut self, slot: Option<u32>, form: Form, scalar: Scalar<'e>) -> Option<&str> {
        if let (Form::Cased, Scalar::Text(text)) = (form, scalar) {
            return Some(text);
        }
        let Scratch { stamps, texts, room, element, epoch, large, .. } = &mut *self.scratch;
        let Some(slot) = slot else {
            element.clear();
            form.write(scalar.text(room)?, element);
            *large |= element.capacity() > ROOM_MAX;
            return Some(element);
        };
        let at = slot as usize * Form::COUNT + form as usize;
        let (stamp, text) = (stamps.get_mut(at)?, texts.get_mut(at)?);
        if *stamp != *epoch {
            let raw = scalar.text(room)?;
            *stamp = *epoch;
            text.clear();
            form.write(raw, text);
            *large |= text.capacity() > ROOM_MAX;
        }
        Some(text)
    }

    fn test(&mut self, test: &Test, slot: Option<u32>, scalar: Scalar<'e>) -> bool {
        match &test.kind {
            TestKind::Text { pattern: Pattern::Anything, .. } => !matches!(scalar, Scalar::Null | Scalar::List(_)),
            TestKind::Text { pattern, form } => self.text(slot, *form, scalar).is_some_and(|t| pattern.matches(t)),
            TestKind::Number { int, float, text } => match scalar {
                Scalar::Int(n) => int.map_or(*float == n as f64, |i| i == n),
                Scalar::Float(x) => x == *float,
                Scalar::Text(t) => t.eq_ignore_ascii_case(text),
                _ => false,
            },
            TestKind::Bool(b) => match scalar {
                Scalar::Bool(x) => x == *b,
                Scalar::Text(t) => t.eq_ignore_ascii_case(if *b { "true" } else { "false" }),
                _ => false,
            },
            TestKind::Null => matches!(scalar, Scalar::Null),
            TestKind::Exists(there) => *there,
            TestKind::Compare { operator, int, float } => match (scalar, int) {
                (Scalar::Int(n), Some(i)) => compare(*operator, n.cmp(i)),
                _ => scalar.number().and_then(|x| x.partial_cmp(float)).is_some_and(|o| compare(*operator, o)),
            },
            TestKind::Time { part, operator, value } => scalar.time_part(*part).is_some_and(|n| compare(*operator, n.cmp(value))),
            TestKind::Cidr(net) => scalar.ip().is_some_and(|ip| net.contains(ip)),
            TestKind::Regex(regex) => scalar.text(&mut self.scratch.room).is_some_and(|t| regex.is_match(t)),
            TestKind::FieldRef { slot: other, relation, form } => self.refers(slot, scalar, *other, *relation, *form),
            TestKind::Never => false,
        }
    }

    /// Compares a field with another field of the same event. Rare, so it may allocate.
    fn refers(&mut self, slot: Option<u32>, scalar: Scalar<'e>, other: u32, relation: Relation, form: Form) -> bool {
        let Some(mine) = self.text(slot, form, scalar).map(str::to_owned) else { return false };
        let related = |theirs: &str| match relation {
            Relation::Equals => mine == theirs,
            Relation::Contains => mine.contains(theirs),
            Relation::StartsWith => mine.starts_with(theirs),
            Relation::EndsWith => mine.ends_with(theirs),
        };
        match self.see(other) {
            None => false,
            Some(Scalar::List(list)) => list.iter().any(|v| self.text(None, form, Scalar::from(v)).is_some_and(related)),
            Some(theirs) => self.text(Some(other), form, theirs).is_some_and(related),
        }
    }

    /// Which conditions held, for the finding: the predicates that made `expr` true, not those under a `not`.
    pub fn collect(&mut self, expr: &Expr, selections: &[Selection], out: &mut Vec<Match>) {
        if out.len() >= MATCHES_MAX {
            return;
        }
        match expr {
            Expr::Predicate(n) => {
                if let Some(test) = self.decide(*n) {
                    self.describe(*n, test, out);
                }
            }
            Expr::Selection(n) => {
                if let Some(s) = selections.get(*n as usize)
                    && self.holds(&s.expr, selections)
                {
                    self.collect(&s.expr, selections, out);
                }
            }
            Expr::And(list) => list.iter().for_each(|e| self.collect(e, selections, out)),
            Expr::Or(list) => {
                for e in list {
                    if self.holds(e, selections) {
                        self.collect(e, selections, out);
                    }
                }
            }
            Expr::Not(_) => {}
        }
    }

    fn describe(&mut self, number: u32, test: usize, out: &mut Vec<Match>) {
        let program = self.program;
        let Some(predicate) = program.predicates.get(number as usize) else { return };
        let field = predicate.slot.and_then(|s| program.slots.get(s as usize)).map_or_else(String::new, |s| s.label.clone());
        // A look-up answers with the match that ends first; people are shown the first value of the list.
        let test = match (&predicate.quick, predicate.slot.map(|s| self.see(s))) {
            (Quick::Contains(..), None) => predicate.tests.iter().position(|t| self.message_value(t).is_some()),
            (Quick::Contains(..), Some(Some(seen))) if !matches!(seen, Scalar::List(_)) => {
                predicate.tests.iter().position(|t| self.test(t, predicate.slot, seen))
            }
            _ => None,
        }
        .unwrap_or(test);
        let tests: &[Test] = if predicate.all { &predicate.tests } else { predicate.tests.get(test..=test).unwrap_or(&[]) };
        for test in tests.iter().take(MATCHES_MAX.saturating_sub(out.len())) {
            let value = match predicate.slot {
                Some(slot) => match self.see(slot) {
                    // Of a list, the element that matched.
                    Some(Scalar::List(list)) => {
                        list.iter().map(Scalar::from).find(|s| self.test(test, None, *s)).or(Some(Scalar::List(list)))
                    }
                    seen => seen,
                },
                None => self.message_value(test),
            };
            let value = value.map_or(Value::Null, |s| s.owned(SHOWN_MAX));
            out.push(Match { field: field.clone(), value, pattern: cut(&test.shown, SHOWN_MAX).to_owned() });
        }
    }
}

/// The first test that holds, or the first if all have to and do.
fn pick(predicate: &Predicate, holds: impl FnMut(&Test) -> bool) -> Option<usize> {
    if predicate.all { predicate.tests.iter().all(holds).then_some(0) } else { predicate.tests.iter().position(holds) }
}

fn compare(operator: crate::correlation::Operator, order: std::cmp::Ordering) -> bool {
    use crate::correlation::Operator;
    match operator {
        Operator::Lt => order.is_lt(),
        Operator::Lte => order.is_le(),
        Operator::Gt => order.is_gt(),
        Operator::Gte => order.is_ge(),
        Operator::Eq => order.is_eq(),
        Operator::Neq => order.is_ne(),
    }
}

fn added(name: &Name) -> bool {
    matches!(name, Name::Known(f) if ADDED.contains(f))
}
