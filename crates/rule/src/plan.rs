//! What is asked of the events of one log source: which rules fit, and by which witnesses they are woken.
//!
//! A rule's witness is a set of questions one of which has to hold for the rule to hold, chosen so that it seldom does. The
//! witnesses of all rules of the plan lie in one index per field. A rule none of whose witnesses is met is never looked at;
//! a rule without a witness (only `not`) is looked at for every event.

use std::collections::{BTreeMap, HashMap};

use crate::compile::{Candidate, Expr, Predicate, Program, Selection, Test, TestKind};
use crate::correlation::Operator;
use crate::index::{FieldIndex, IndexBuilder, Stand};
use crate::names::NameTable;
use crate::set::Rule;
use crate::text::{Form, Pattern};

/// Rules of one log source, with their index.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Names of fields some rule asks for.
    pub names: NameTable,
    /// Some rule has keywords.
    pub message: bool,
    /// Rules without a witness.
    pub always: Vec<u32>,
    pub fields: Vec<FieldIndex>,
    pub witnesses: Vec<Witness>,
    /// Rules woken, in runs of `Witness::rules`.
    pub woken: Vec<u32>,
    /// A bit for each predicate all of whose tests are in the index: not found means it does not hold.
    covered: Vec<u64>,
}

/// A question whose answer wakes rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Witness {
    pub predicate: u32,
    /// Finding a sure text answers the predicate.
    pub decides: bool,
    pub from: u32,
    pub to: u32,
}

/// One part of a rule's witness: a predicate, or one of its tests where all have to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Part {
    predicate: u32,
    test: Option<u32>,
}

/// A set of parts and how often one of them may be expected to hold.
type Cover = (f32, Vec<Part>);

impl Plan {
    pub fn new(numbers: &[u32], rules: &[Rule], program: &Program) -> Self {
        let mut wakes: BTreeMap<Part, Vec<u32>> = BTreeMap::new();
        let mut always = Vec::new();
        let mut wanted = Wanted::default();
        for number in numbers.iter() {
            let Some(rule) = rules.get(*number as usize) else { continue };
            wanted.expr(&rule.condition, program);
            rule.selections.iter().for_each(|s| wanted.expr(&s.expr, program));
            match cover(&rule.condition, &rule.selections, program, true, 0) {
                Some((_, parts)) => parts.into_iter().for_each(|p| wakes.entry(p).or_default().push(*number)),
                None => always.push(*number),
            }
        }
        let mut plan = Self {
            names: wanted.names,
            message: wanted.message,
            always,
            fields: Vec::new(),
            witnesses: Vec::with_capacity(wakes.len()),
            woken: Vec::new(),
            covered: vec![0; program.predicates.len().div_ceil(64)],
        };
        let mut builders: BTreeMap<(Option<u32>, Form), IndexBuilder> = BTreeMap::new();
        for (part, mut numbers) in wakes {
            let Some(predicate) = program.predicates.get(part.predicate as usize) else { continue };
            numbers.dedup();
            let from = u32::try_from(plan.woken.len()).unwrap_or(u32::MAX);
            plan.woken.extend(numbers);
            let number = u32::try_from(plan.witnesses.len()).unwrap_or(u32::MAX);
            let decides = part.test.is_none() && !predicate.negate;
            let to = u32::try_from(plan.woken.len()).unwrap_or(u32::MAX);
            plan.witnesses.push(Witness { predicate: part.predicate, decides, from, to });
            if decides && let Some(word) = plan.covered.get_mut(part.predicate as usize / 64) {
                *word |= 1 << (part.predicate % 64);
            }
            if predicate.negate {
                builders.entry((predicate.slot, Form::Folded)).or_default().present(number);
                continue;
            }
            for (at, test) in predicate.tests.iter().enumerate() {
                if part.test.is_none_or(|t| t as usize == at) {
                    let form = form_of(test);
                    seek(builders.entry((predicate.slot, form)).or_default(), test, number);
                }
            }
        }
        plan.fields = builders.into_iter().map(|((slot, form), builder)| builder.build(slot, form)).collect();
        plan
    }

    pub fn covers(&self, predicate: u32) -> bool {
        self.covered.get(predicate as usize / 64).is_some_and(|word| word >> (predicate % 64) & 1 == 1)
    }

    /// Rules a witness wakes.
    pub fn wakes(&self, witness: &Witness) -> &[u32] {
        self.woken.get(witness.from as usize..witness.to as usize).unwrap_or(&[])
    }
}

/// The form a test's text is sought in.
fn form_of(test: &Test) -> Form {
    match &test.kind {
        TestKind::Text { form, .. } => *form,
        _ => Form::Folded,
    }
}

/// Puts a test into the index of its field.
fn seek(index: &mut IndexBuilder, test: &Test, witness: u32) {
    match &test.kind {
        TestKind::Text { pattern, .. } => match pattern {
            Pattern::Equals(t) => index.text(Stand::Whole, t, witness, true),
            Pattern::Starts(t) => index.text(Stand::Start, t, witness, true),
            Pattern::Ends(t) => index.text(Stand::End, t, witness, true),
            Pattern::Contains(t) => {
                let text = String::from_utf8_lossy(t.needle());
                index.text(Stand::Part, &text, witness, !text.contains(crate::matcher::BORDER));
            }
            Pattern::Glob(glob) => match glob.longest() {
                Some(text) => index.text(Stand::Part, text, witness, false),
                None => index.present(witness),
            },
            Pattern::Anything => index.present(witness),
        },
        TestKind::Number { float, text, .. } if plain_number(*float) => index.text(Stand::Whole, text, witness, true),
        TestKind::Bool(b) => index.text(Stand::Whole, if *b { "true" } else { "false" }, witness, false),
        TestKind::Compare { operator, float, .. } => match operator {
            Operator::Gt | Operator::Gte => index.at_least(*float, witness),
            Operator::Lt | Operator::Lte => index.at_most(*float, witness),
            Operator::Eq | Operator::Neq => index.present(witness),
        },
        TestKind::Cidr(net) => index.net(*net, witness),
        TestKind::Regex(regex) => match &regex.needed {
            Some(texts) => texts.iter().for_each(|t| index.text(Stand::Part, t, witness, false)),
            None => index.present(witness),
        },
        // What holds where the field is missing has no cover, so it never comes here.
        TestKind::Null | TestKind::Exists(_) | TestKind::Time { .. } | TestKind::FieldRef { .. } | TestKind::Number { .. } => {
            index.present(witness);
        }
        TestKind::Never => {}
    }
}

/// A number whose text is the same whenever the number is.
fn plain_number(float: f64) -> bool {
    float.abs() < 9e15
}

/// How often a test may be expected to hold; None: it also holds where the field is missing.
pub(crate) fn chance(test: &Test) -> Option<f32> {
    // Texts that stand in very many events.
    const COMMON: &str = concat!(
        "c:\\windows\\system32\\ c:\\windows\\syswow64\\ c:\\program files\\ c:\\program files (x86)\\ c:\\users\\ \\appdata\\local\\temp\\ .exe .dll ",
        "http://https://www. /usr/bin/ /usr/sbin/ /usr/local/bin/ /bin/ /etc/ /home/ /root/ /var/log/ /tmp/ system root user true false -- -c success ",
        "\\software\\microsoft\\windows\\currentversion\\ hklm\\software\\ microsoft-windows- powershell.exe cmd.exe \\sh /bash /python3 ",
        "execve syscall path get post dword (0x00000000) dword (0x00000001) valid c:\\windows\\system32\\ntdll.dll+ ",
        "c:\\windows\\system32\\kernelbase.dll+ c:\\windows\\system32\\svchost.exe service control manager"
    );
    let text = |text: &str, weight: f32| {
        let length = text.chars().count().min(24) as f32;
        let common = memchr::memmem::find(COMMON.as_bytes(), text.as_bytes()).is_some();
        let rare = 0.6 * 0.72f32.powf(length) + 0.0005;
        weight * if common { rare.max(0.3) } else { rare }
    };
    Some(match &test.kind {
        TestKind::Text { pattern, form } => {
            let dash = if matches!(form, Form::FoldedDash | Form::CasedDash) { 1.3 } else { 1.0 };
            dash * match pattern {
                Pattern::Equals(t) => text(t, 0.5) + if t.len() < 3 { 0.1 } else { 0.0 },
                Pattern::Starts(t) => text(t, 0.8),
                Pattern::Ends(t) => text(t, 0.6),
                Pattern::Contains(t) => text(&String::from_utf8_lossy(t.needle()), 1.0),
                Pattern::Glob(glob) => glob.longest().map_or(0.8, |t| text(t, 1.0)),
                Pattern::Anything => 0.8,
            }
        }
        TestKind::Number { float, .. } => {
            if *float < 100.0 {
                0.08
            } else {
                0.03
            }
        }
        TestKind::Bool(_) => 0.4,
        TestKind::Null | TestKind::Exists(false) => return None,
        TestKind::Exists(true) => 0.9,
        TestKind::Compare { .. } => 0.5,
        TestKind::Time { .. } | TestKind::FieldRef { .. } => 0.8,
        TestKind::Cidr(_) => 0.1,
        TestKind::Regex(regex) => match &regex.needed {
            Some(texts) => texts.iter().map(|t| text(t, 1.0)).sum::<f32>().min(0.8),
            None => 0.9,
        },
        TestKind::Never => 0.0,
    })
}

/// How often the whole predicate may be expected to hold, and the one test that stands for it where all have to hold.
fn chance_of(predicate: &Predicate) -> Option<(f32, Option<u32>)> {
    // A keyword looks at every value.
    let weight = if predicate.slot.is_none() { 3.0 } else { 1.0 };
    if predicate.negate {
        return predicate.slot.map(|_| (0.9, None));
    }
    if predicate.all {
        let tests = predicate.tests.iter().enumerate().filter_map(|(at, t)| Some((chance(t)? * weight, u32::try_from(at).ok())));
        return tests.min_by(|a, b| a.0.total_cmp(&b.0));
    }
    // What many rules ask tells kinds of events apart (`type: EXECVE`) rather than attacks: it holds often.
    let weight = weight * (1.0 + predicate.uses as f32 / 4.0);
    predicate.tests.iter().map(chance).sum::<Option<f32>>().map(|c| (c * weight, None))
}

/// The cheapest cover of an expression holding (or, `positive` false, not holding).
fn cover(expr: &Expr, selections: &[Selection], program: &Program, positive: bool, depth: usize) -> Option<Cover> {
    if depth > 200 {
        return None;
    }
    let part = |e: &Expr| cover(e, selections, program, positive, depth + 1);
    match expr {
        Expr::Predicate(number) => {
            if !positive {
                return None;
            }
            let (chance, test) = chance_of(program.predicates.get(*number as usize)?)?;
            Some((chance, vec![Part { predicate: *number, test }]))
        }
        Expr::Selection(n) => part(&selections.get(*n as usize)?.expr),
        Expr::Not(inner) => cover(inner, selections, program, !positive, depth + 1),
        // One of them has to hold: the best of the parts. Turned around, a failed AND needs one failed part: all of them together.
        Expr::And(list) if positive => list.iter().filter_map(part).min_by(|a, b| a.0.total_cmp(&b.0)),
        Expr::Or(list) if !positive => list.iter().filter_map(part).min_by(|a, b| a.0.total_cmp(&b.0)),
        Expr::And(list) | Expr::Or(list) => {
            let mut all: Cover = (0.0, Vec::new());
            for e in list {
                let (chance, parts) = part(e)?;
                all.0 += chance;
                all.1.extend(parts);
            }
            all.1.sort_unstable();
            all.1.dedup();
            Some(all)
        }
    }
}

/// Fields rules ask for.
#[derive(Default)]
struct Wanted {
    names: NameTable,
    message: bool,
    seen: HashMap<u32, ()>,
}

impl Wanted {
    fn expr(&mut self, expr: &Expr, program: &Program) {
        match expr {
            Expr::Predicate(n) => {
                if self.seen.insert(*n, ()).is_some() {
                    return;
                }
                let Some(predicate) = program.predicates.get(*n as usize) else { return };
                match predicate.slot {
                    Some(slot) => self.slot(slot, program),
                    None => self.message = true,
                }
                for test in &predicate.tests {
                    if let TestKind::FieldRef { slot, .. } = test.kind {
                        self.slot(slot, program);
                    }
                }
            }
            // Every selection is walked by itself.
            Expr::Selection(_) => {}
            Expr::And(list) | Expr::Or(list) => list.iter().for_each(|e| self.expr(e, program)),
            Expr::Not(e) => self.expr(e, program),
        }
    }

    fn slot(&mut self, slot: u32, program: &Program) {
        for candidate in program.slots.get(slot as usize).map_or(&[][..], |s| &s.candidates) {
            if let Candidate::Body(name) = candidate {
                self.names.insert(program.names.text(*name), *name);
            }
        }
    }
}
