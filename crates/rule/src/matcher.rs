//! One event against the predicates. Each predicate is decided at most once an event, each field folded at most once; the room for
//! that is reused from event to event, so a miss allocates nothing.
//!
//! With a plan, the indexes of its fields say first which rules are worth a look (`wake`), and with that already answer the questions
//! those rules were woken by. Plainly asked (`plain`), nothing is remembered and nothing looked up: the measure for all else.
//!
//! Semantics where the specification is silent, chosen here and held by the conformance cases:
//! - a list matches if any element does; under `all`, each value needs an element, not the same one
//! - `null` matches a field that is absent or present and null; `exists` tells the two apart
//! - `neq` speaks about a field that is there; a missing field is no different value
//! - a number in a rule equals the same number whatever its type, and text that is written like it
//! - keywords are sought in every value, save what the agent or the collector added (see `record::ADDED`)

use event::{Match, Value};

use crate::compile::{Candidate, Expr, Predicate, Program, Quick, Relation, Selection, Test, TestKind};
use crate::index::FieldIndex;
use crate::plan::Plan;
use crate::record::Record;
use crate::scalar::{Scalar, cut};
use crate::text::{Form, Pattern};

/// Stands between values in the joined message; a noncharacter, so no keyword holds it.
pub(crate) const BORDER: char = '\u{ffff}';
/// Text buffers larger than this are given back after the event.
const ROOM_MAX: usize = 64 * 1024;
/// Bytes of a value shown in a match, and matches shown in a finding.
const SHOWN_MAX: usize = 512;
const MATCHES_MAX: usize = 16;

const NO: u32 = 0;
const YES: u32 = 1;
/// An index found something that has to be looked at again.
const PERHAPS: u32 = 2;
const EPOCH_MAX: u32 = u32::MAX >> 2;

/// Room for one event's answers; a stamp that is not the present epoch means "not yet decided".
#[derive(Debug, Default)]
pub(crate) struct Answers {
    marks: Marks,
    texts: Texts,
}

/// Which predicates are decided, which rules woken.
#[derive(Debug, Default)]
struct Marks {
    epoch: u32,
    /// Epoch and answer of each predicate.
    answers: Vec<u32>,
    /// Epoch of each rule's waking.
    stamps: Vec<u32>,
    woken: Vec<u32>,
    events: u64,
    woken_all: u64,
}

impl Marks {
    fn wake(&mut self, rules: &[u32]) {
        for rule in rules {
            if let Some(stamp) = self.stamps.get_mut(*rule as usize)
                && *stamp != self.epoch
            {
                *stamp = self.epoch;
                self.woken.push(*rule);
            }
        }
    }

    fn hit(&mut self, plan: &Plan, witness: u32, sure: bool) {
        let Some(witness) = plan.witnesses.get(witness as usize) else { return };
        if let Some(answer) = self.answers.get_mut(witness.predicate as usize) {
            if sure && witness.decides {
                *answer = self.epoch << 2 | YES;
            } else if *answer >> 2 != self.epoch {
                *answer = self.epoch << 2 | PERHAPS;
            }
        }
        self.wake(plan.wakes(witness));
    }
}

/// Fields in the forms they are compared in.
#[derive(Debug, Default)]
struct Texts {
    epoch: u32,
    stamps: Vec<u32>,
    texts: Vec<String>,
    whole_stamps: [u32; Form::COUNT],
    whole: [String; Form::COUNT],
    room: String,
    element: String,
    large: bool,
}

impl Answers {
    pub fn new(program: &Program, rules: usize) -> Self {
        Self {
            marks: Marks { answers: vec![0; program.predicates.len()], stamps: vec![0; rules], ..Marks::default() },
            texts: Texts {
                stamps: vec![0; program.slots.len() * Form::COUNT],
                texts: vec![String::new(); program.slots.len() * Form::COUNT],
                ..Texts::default()
            },
        }
    }

    /// Events so far, and rules woken by those before the last.
    pub fn counted(&self) -> (u64, u64) {
        (self.marks.events, self.marks.woken_all)
    }

    fn begin(&mut self) {
        let Self { marks, texts } = self;
        if texts.large {
            let spacious = texts.texts.iter_mut().chain(&mut texts.whole).chain([&mut texts.room, &mut texts.element]);
            spacious.filter(|t| t.capacity() > ROOM_MAX).for_each(|t| *t = String::new());
            texts.large = false;
        }
        marks.events += 1;
        marks.woken_all += marks.woken.len() as u64;
        marks.woken.clear();
        marks.epoch += 1;
        if marks.epoch > EPOCH_MAX {
            marks.answers.fill(0);
            marks.stamps.fill(0);
            texts.stamps.fill(0);
            texts.whole_stamps = [0; Form::COUNT];
            marks.epoch = 1;
        }
        texts.epoch = marks.epoch;
    }
}

impl Texts {
    /// The text of a field (or, without a slot, of a list's element) in a form.
    fn of<'t>(&'t mut self, slot: Option<u32>, form: Form, scalar: Scalar<'t>) -> Option<&'t str> {
        if let (Form::Cased, Scalar::Text(text)) = (form, scalar) {
            return Some(text);
        }
        let Self { stamps, texts, room, element, epoch, large, .. } = self;
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

    /// All values of the message joined, in one form.
    fn whole(&mut self, form: Form, record: &impl Record) -> &str {
        let at = form as usize;
        let Self { whole_stamps, whole, room, epoch, large, .. } = self;
        let (Some(stamp), Some(out)) = (whole_stamps.get_mut(at), whole.get_mut(at)) else { return "" };
        if *stamp != *epoch {
            *stamp = *epoch;
            out.clear();
            record.message(&mut |scalar| {
                if let Some(text) = scalar.text(room) {
                    form.write(text, out);
                    out.push(BORDER);
                }
                false
            });
            *large |= out.capacity() > ROOM_MAX;
        }
        out
    }
}

/// An event under examination.
pub(crate) struct Looker<'s, 'e, R> {
    program: &'s Program,
    answers: &'s mut Answers,
    record: &'e R,
    plan: Option<&'s Plan>,
    /// The reference way: nothing remembered, lists tested one by one.
    plain: bool,
}

impl<'s, 'e, R: Record> Looker<'s, 'e, R> {
    pub fn new(program: &'s Program, answers: &'s mut Answers, record: &'e R, plain: bool) -> Self {
        answers.begin();
        Self { program, answers, record, plan: None, plain }
    }

    /// Finds the rules of the plan that are worth a look; `woken` names them.
    pub fn wake(&mut self, plan: &'s Plan) {
        self.plan = Some(plan);
        let (record, program) = (self.record, self.program);
        let Answers { marks, texts } = &mut *self.answers;
        marks.wake(&plan.always);
        for index in &plan.fields {
            let Some(slot) = index.slot else {
                index.present().iter().for_each(|witness| marks.hit(plan, *witness, false));
                if let Some(form) = index.form {
                    index.look(texts.whole(form, record), &mut |witness, sure| marks.hit(plan, witness, sure));
                }
                continue;
            };
            let Some(scalar) = see(program, record, slot) else { continue };
            index.present().iter().for_each(|witness| marks.hit(plan, *witness, false));
            match scalar {
                Scalar::List(list) => list.iter().for_each(|element| meet(index, plan, None, element, marks, texts)),
                scalar => meet(index, plan, Some(slot), scalar, marks, texts),
            }
        }
        marks.woken.sort_unstable();
    }

    /// The `at`-th of the rules woken.
    pub fn woken(&self, at: usize) -> Option<u32> {
        self.answers.marks.woken.get(at).copied()
    }

    pub fn holds(&mut self, expr: &Expr, selections: &[Selection]) -> bool {
        match expr {
            Expr::Predicate(n) => self.decide(*n),
            Expr::Selection(n) => selections.get(*n as usize).is_some_and(|s| self.holds(&s.expr, selections)),
            Expr::And(list) => list.iter().all(|e| self.holds(e, selections)),
            Expr::Or(list) => list.iter().any(|e| self.holds(e, selections)),
            Expr::Not(e) => !self.holds(e, selections),
        }
    }

    /// Whether the predicate holds.
    pub fn decide(&mut self, number: u32) -> bool {
        let at = number as usize;
        let Some(predicate) = self.program.predicates.get(at) else { return false };
        if self.plain {
            return self.ask(predicate).is_some();
        }
        let epoch = self.answers.marks.epoch;
        match self.answers.marks.answers.get(at) {
            Some(answer) if *answer >> 2 == epoch => match *answer & 3 {
                YES => return true,
                NO => return false,
                _ => {}
            },
            _ if self.plan.is_some_and(|plan| plan.covers(number)) => return false,
            _ => {}
        }
        let holds = self.ask(predicate).is_some();
        if let Some(answer) = self.answers.marks.answers.get_mut(at) {
            *answer = epoch << 2 | if holds { YES } else { NO };
        }
        holds
    }

    /// The number of the test that holds, if the predicate does.
    fn ask(&mut self, predicate: &Predicate) -> Option<usize> {
        let Some(slot) = predicate.slot else { return self.ask_message(predicate) };
        let seen = self.see(slot);
        let answer = match seen {
            None => pick(predicate, |test| matches!(test.kind, TestKind::Exists(false) | TestKind::Null)),
            Some(Scalar::List(list)) => pick(predicate, |test| match test.kind {
                TestKind::Exists(there) => there,
                _ => list.iter().any(|v| self.test(test, None, v)),
            }),
            Some(scalar) => match if self.plain { &Quick::No } else { predicate.quick() } {
                Quick::Exact(all, form) => self.text(Some(slot), *form, scalar).and_then(|t| all.get(t).copied()),
                Quick::Contains(all, form) => self.text(Some(slot), *form, scalar).and_then(|t| Some(all.find(t)?.pattern().as_usize())),
                Quick::No => pick(predicate, |test| self.test(test, Some(slot), scalar)),
            },
        };
        match predicate.negate {
            false => answer,
            true => (seen.is_some() && answer.is_none()).then_some(0),
        }
    }

    /// Keywords: each is sought in the whole message.
    fn ask_message(&mut self, predicate: &Predicate) -> Option<usize> {
        let answer = match if self.plain { &Quick::No } else { predicate.quick() } {
            Quick::Contains(all, form) => {
                Some(self.answers.texts.whole(*form, self.record)).and_then(|t| Some(all.find(t)?.pattern().as_usize()))
            }
            _ => pick(predicate, |test| match &test.kind {
                TestKind::Text { pattern: Pattern::Contains(needle), form } if !self.plain => {
                    needle.find(self.answers.texts.whole(*form, self.record).as_bytes()).is_some()
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
        let record = self.record;
        let mut hit = None;
        record.message(&mut |scalar| {
            if self.test(test, None, scalar) {
                hit = Some(scalar);
            }
            hit.is_some()
        });
        hit
    }

    /// The field in this event: the first of its names that is there.
    pub fn see(&self, slot: u32) -> Option<Scalar<'e>> {
        see(self.program, self.record, slot)
    }

    fn text<'t>(&'t mut self, slot: Option<u32>, form: Form, scalar: Scalar<'t>) -> Option<&'t str> {
        self.answers.texts.of(slot, form, scalar)
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
            TestKind::Regex(regex) => scalar.text(&mut self.answers.texts.room).is_some_and(|t| regex.is_match(t)),
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
            Some(Scalar::List(list)) => list.iter().any(|v| self.text(None, form, v).is_some_and(related)),
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
                if self.decide(*n) {
                    self.describe(*n, out);
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

    /// The first test that holds, with the value it holds for; all of them where all have to.
    fn describe(&mut self, number: u32, out: &mut Vec<Match>) {
        let program = self.program;
        let Some(predicate) = program.predicates.get(number as usize) else { return };
        let field = predicate.slot.and_then(|s| program.slots.get(s as usize)).map_or_else(String::new, |s| s.label.clone());
        let before = std::mem::replace(&mut self.plain, true);
        let test = self.ask(predicate).unwrap_or(0);
        self.plain = before;
        let tests: &[Test] = if predicate.all { &predicate.tests } else { predicate.tests.get(test..=test).unwrap_or(&[]) };
        for test in tests.iter().take(MATCHES_MAX.saturating_sub(out.len())) {
            let value = match predicate.slot {
                Some(slot) => match self.see(slot) {
                    // Of a list, the element that matched.
                    Some(Scalar::List(list)) => list.iter().find(|s| self.test(test, None, *s)).or(Some(Scalar::List(list))),
                    seen => seen,
                },
                None => self.message_value(test),
            };
            let value = value.map_or(Value::Null, |s| s.owned(SHOWN_MAX));
            out.push(Match { field: field.clone(), value, pattern: cut(&test.shown, SHOWN_MAX).to_owned() });
        }
    }
}

/// The field in an event: the first of its names that is there.
fn see<'e>(program: &Program, record: &'e impl Record, slot: u32) -> Option<Scalar<'e>> {
    program.slots.get(slot as usize)?.candidates.iter().find_map(|candidate| match candidate {
        Candidate::Body(name) => record.value(*name),
        Candidate::Header(header) => record.header(*header),
    })
}

/// One value against the index of its field.
fn meet(index: &FieldIndex, plan: &Plan, slot: Option<u32>, scalar: Scalar<'_>, marks: &mut Marks, texts: &mut Texts) {
    // Elsewhere the text is not all there is to a value, so a find is looked at again.
    let plain = matches!(scalar, Scalar::Text(_) | Scalar::Int(_) | Scalar::Float(_));
    let mut hit = |witness: u32, sure: bool| marks.hit(plan, witness, sure && plain);
    if index.weighs() {
        index.weigh(scalar, &mut hit);
    }
    if let Some(form) = index.form
        && let Some(text) = texts.of(slot, form, scalar)
    {
        index.look(text, &mut hit);
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
