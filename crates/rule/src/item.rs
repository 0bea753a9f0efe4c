//! One detection item → tests: what its modifiers say together, and what its values become under them.
//!
//! What the specification forbids (a single value under `all`, null in a list, modifiers that contradict each other) is
//! refused here, with the way out.

use event::LogSource;

use crate::compile::{Builder, Relation, Test, TestKind};
use crate::correlation::Operator;
use crate::document::{Item, Literal, Modifier, TimePart};
use crate::encode;
use crate::regexp;
use crate::scalar::Cidr;
use crate::set::Options;
use crate::text::{self, DASHES, Form, Pattern, Piece};

/// Permutations `windash` may make where an encoding follows and they have to be written out.
const PERMUTATIONS_MAX: usize = 625;
/// Values one item may have after expansion.
const TESTS_MAX: usize = 100_000;

impl Builder<'_> {
    /// The tests of an item, and the placeholders in it that have no value.
    pub(crate) fn tests(&mut self, source: &LogSource, item: &Item) -> Result<(Plan, Vec<Test>, Vec<String>), Refusal> {
        let plan = Plan::of(item)?;
        let mut tests = Vec::new();
        let mut missing = Vec::new();
        for value in &item.values {
            let texts = match value {
                Literal::Text(t) if plan.expand => match expand(t, self.options) {
                    Ok(texts) => texts,
                    Err(name) => {
                        missing.push(name);
                        tests.push(Test { kind: TestKind::Never, shown: format!("placeholder '{t}' without a value").into() });
                        continue;
                    }
                },
                _ => Vec::new(),
            };
            if texts.is_empty() {
                self.value(source, item, &plan, value, &mut tests)?;
            }
            for text in texts {
                self.value(source, item, &plan, &Literal::Text(text), &mut tests)?;
            }
            if tests.len() > TESTS_MAX {
                return Err(refusal(format!("more than {TESTS_MAX} values"), "use an indicator list"));
            }
        }
        Ok((plan, tests, missing))
    }

    /// The tests one value stands for; several where an encoding has several forms.
    fn value(&mut self, source: &LogSource, item: &Item, plan: &Plan, value: &Literal, out: &mut Vec<Test>) -> Result<(), Refusal> {
        let written = written(value);
        let words: Vec<&str> = item.modifiers.iter().filter(|m| !matches!(m, Modifier::All)).map(|m| m.word()).collect();
        let shown: Box<str> = match (words.as_slice(), item.field.is_some()) {
            ([], true) => format!("is '{written}'"),
            ([], false) => format!("contains '{written}'"),
            (words, _) => format!("{} '{written}'", words.join("|")),
        }
        .into();
        let mut push = |kind: TestKind| out.push(Test { kind, shown: shown.clone() });
        match plan.kind {
            Kind::Exists => match value {
                Literal::Bool(b) => push(TestKind::Exists(*b)),
                _ => return Err(refusal("'exists' needs true or false", "write 'exists: true'")),
            },
            Kind::Regex => {
                let pattern = text_of(value).ok_or_else(|| refusal("'re' needs a text", "put the expression in quotes"))?;
                let has = |m: Modifier| item.modifiers.contains(&m);
                let regex = regexp::compile(&pattern, has(Modifier::IgnoreCase), has(Modifier::MultiLine), has(Modifier::DotAll));
                push(TestKind::Regex(
                    regex.map_err(|e| refusal(e, "supported are classes, alternation, groups, quantifiers and anchors"))?,
                ));
            }
            Kind::Cidr => {
                let cidr = text_of(value).and_then(|t| Cidr::read(&t));
                push(TestKind::Cidr(
                    cidr.ok_or_else(|| refusal(format!("'{written}' is no network"), "e.g. 10.0.0.0/8 or 2001:db8::/32"))?,
                ));
            }
            Kind::Compare(operator) => {
                let (int, float) =
                    number(value).ok_or_else(|| refusal(format!("'{written}' is no number"), "comparisons need a number"))?;
                push(TestKind::Compare { operator, int, float });
            }
            Kind::Time(part, operator) => match number(value) {
                Some((Some(value), _)) => push(TestKind::Time { part, operator, value }),
                _ => return Err(refusal(format!("'{written}' is no whole number"), "time modifiers compare with whole numbers")),
            },
            Kind::FieldRef(relation) => {
                let Literal::Text(other) = value else { return Err(refusal("'fieldref' needs the name of a field", "put it in quotes")) };
                let slot = self.slot(source, other);
                push(TestKind::FieldRef { slot, relation, form: Form::of(plan.cased, false) });
            }
            Kind::Text => self.text_value(item, plan, value, &mut push)?,
        }
        Ok(())
    }

    /// Plain values and the string modifiers, applied in the order written.
    fn text_value(&self, item: &Item, plan: &Plan, value: &Literal, push: &mut dyn FnMut(TestKind)) -> Result<(), Refusal> {
        let bare = item.modifiers.iter().all(|m| matches!(m, Modifier::All | Modifier::Neq | Modifier::Cased | Modifier::Expand));
        match value {
            Literal::Null if bare && item.field.is_some() => {
                push(TestKind::Null);
                return Ok(());
            }
            Literal::Null => return Err(refusal("null cannot be modified and is no keyword", "write 'Field: null'")),
            Literal::Bool(b) if bare && item.field.is_some() => {
                push(TestKind::Bool(*b));
                return Ok(());
            }
            Literal::Int(_) | Literal::Float(_) if bare && item.field.is_some() => {
                if let Some((int, float)) = number(value) {
                    push(TestKind::Number { int, float, text: written(value).into() });
                }
                return Ok(());
            }
            _ => {}
        }
        let text = text_of(value).unwrap_or_default();
        let mut forms: Vec<(Vec<Piece>, Option<Vec<u8>>)> = vec![(text::parse(&text), None)];
        let encodes =
            |m: &Modifier| matches!(m, Modifier::Base64 | Modifier::Base64Offset | Modifier::Utf16 | Modifier::Utf16Be | Modifier::Utf16Le);
        let mut dash = false;
        let mut placed = false;
        for (at, modifier) in item.modifiers.iter().enumerate() {
            match modifier {
                Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith => {
                    placed = true;
                    for (pieces, bytes) in &mut forms {
                        *bytes = None;
                        let mut whole = Vec::with_capacity(pieces.len() + 2);
                        if *modifier != Modifier::StartsWith {
                            text::push(&mut whole, Piece::Any);
                        }
                        pieces.drain(..).for_each(|p| text::push(&mut whole, p));
                        if *modifier != Modifier::EndsWith {
                            text::push(&mut whole, Piece::Any);
                        }
                        *pieces = whole;
                    }
                }
                Modifier::WinDash => {
                    if item.modifiers.iter().skip(at + 1).any(encodes) {
                        let plain = text::plain(&forms.first().map(|f| f.0.clone()).unwrap_or_default()).ok_or_else(wildcard)?;
                        forms = permute(&plain)?.into_iter().map(|t| (vec![Piece::Text(t)], None)).collect();
                    } else {
                        dash = true;
                    }
                }
                Modifier::Utf16 | Modifier::Utf16Be | Modifier::Utf16Le => {
                    for (pieces, bytes) in &mut forms {
                        let plain = text::plain(pieces).ok_or_else(wildcard)?;
                        let coded = encode::utf16(&plain, *modifier == Modifier::Utf16Be, *modifier == Modifier::Utf16);
                        *pieces = vec![Piece::Text(encode::latin1(&coded))];
                        *bytes = Some(coded);
                    }
                }
                Modifier::Base64 => {
                    for (pieces, bytes) in &mut forms {
                        let plain = text::plain(pieces).ok_or_else(wildcard)?;
                        let coded = encode::base64(bytes.as_deref().unwrap_or(plain.as_bytes()));
                        *pieces = vec![Piece::Text(coded)];
                        *bytes = None;
                    }
                }
                Modifier::Base64Offset => {
                    let mut all = Vec::new();
                    for (pieces, bytes) in &forms {
                        let plain = text::plain(pieces).ok_or_else(wildcard)?;
                        let coded = encode::base64_offsets(bytes.as_deref().unwrap_or(plain.as_bytes()));
                        all.extend(coded.into_iter().map(|c| (vec![Piece::Text(c)], None)));
                    }
                    if all.is_empty() {
                        return Err(refusal("the value is too short for 'base64offset'", "give at least two characters"));
                    }
                    forms = all;
                }
                _ => {}
            }
        }
        // A fragment that "might appear somewhere in a base64-encoded string", and a keyword, are contained, never equal.
        if !placed && (item.field.is_none() || item.modifiers.contains(&Modifier::Base64Offset)) {
            for (pieces, _) in &mut forms {
                let mut whole = vec![Piece::Any];
                pieces.drain(..).for_each(|p| text::push(&mut whole, p));
                text::push(&mut whole, Piece::Any);
                *pieces = whole;
            }
        }
        let form = Form::of(plan.cased, dash);
        for (pieces, _) in forms {
            push(TestKind::Text { pattern: Pattern::new(&pieces, form), form });
        }
        Ok(())
    }
}

/// What is wrong with an item, and the way out.
pub(crate) type Refusal = (String, String);

fn refusal(what: impl Into<String>, way: impl Into<String>) -> Refusal {
    (what.into(), way.into())
}

fn wildcard() -> Refusal {
    refusal("a value with wildcards cannot be encoded", "escape them, and put 'contains' after the encoding")
}

/// What the modifiers of an item say together.
#[derive(Debug)]
pub(crate) struct Plan {
    kind: Kind,
    pub all: bool,
    pub negate: bool,
    cased: bool,
    expand: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Exists,
    Regex,
    Cidr,
    Compare(Operator),
    Time(TimePart, Operator),
    FieldRef(Relation),
}

impl Plan {
    fn of(item: &Item) -> Result<Self, Refusal> {
        let has = |m: Modifier| item.modifiers.contains(&m);
        for (at, modifier) in item.modifiers.iter().enumerate() {
            if item.modifiers.iter().skip(at + 1).any(|m| m == modifier) {
                return Err(refusal(format!("modifier '{}' is given twice", modifier.word()), "give it once"));
            }
        }
        let compare = item.modifiers.iter().filter_map(|m| if let Modifier::Compare(o) = m { Some(*o) } else { None });
        let time = item.modifiers.iter().filter_map(|m| if let Modifier::Time(p) = m { Some(*p) } else { None });
        let place = item.modifiers.iter().filter(|m| matches!(m, Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith));
        if compare.clone().count() > 1 || time.clone().count() > 1 || place.clone().count() > 1 {
            return Err(refusal(
                "modifiers contradict each other",
                "give one comparison, one time part, one of contains, startswith, endswith",
            ));
        }
        let kind = if has(Modifier::Exists) {
            Kind::Exists
        } else if has(Modifier::Re) {
            Kind::Regex
        } else if has(Modifier::Cidr) {
            Kind::Cidr
        } else if has(Modifier::FieldRef) {
            Kind::FieldRef(match place.clone().next() {
                Some(Modifier::Contains) => Relation::Contains,
                Some(Modifier::StartsWith) => Relation::StartsWith,
                Some(Modifier::EndsWith) => Relation::EndsWith,
                _ => Relation::Equals,
            })
        } else if let Some(part) = time.clone().next() {
            Kind::Time(part, compare.clone().next().unwrap_or(Operator::Eq))
        } else if let Some(operator) = compare.clone().next() {
            Kind::Compare(operator)
        } else {
            Kind::Text
        };
        for modifier in &item.modifiers {
            let fits = match modifier {
                Modifier::All | Modifier::Neq => kind != Kind::Exists,
                Modifier::Exists => kind == Kind::Exists,
                Modifier::Re | Modifier::IgnoreCase | Modifier::MultiLine | Modifier::DotAll => kind == Kind::Regex,
                Modifier::Cidr => kind == Kind::Cidr,
                Modifier::Expand => matches!(kind, Kind::Text | Kind::Regex | Kind::Cidr),
                Modifier::FieldRef => matches!(kind, Kind::FieldRef(_)),
                Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith | Modifier::Cased => {
                    matches!(kind, Kind::Text | Kind::FieldRef(_))
                }
                Modifier::Compare(_) => matches!(kind, Kind::Compare(_) | Kind::Time(..)),
                Modifier::Time(_) => matches!(kind, Kind::Time(..)),
                Modifier::WinDash | Modifier::Base64 | Modifier::Base64Offset | Modifier::Utf16 | Modifier::Utf16Be | Modifier::Utf16Le => {
                    kind == Kind::Text
                }
            };
            if !fits {
                let word = modifier.word();
                let (what, way) = match modifier {
                    Modifier::IgnoreCase | Modifier::MultiLine | Modifier::DotAll => {
                        (format!("modifier '{word}' belongs to 're'"), format!("write '|re|{word}'"))
                    }
                    _ => (format!("modifier '{word}' does not go with the others"), "see the Sigma modifiers appendix".to_owned()),
                };
                return Err(refusal(what, way));
            }
        }
        if item.field.is_none() && !matches!(kind, Kind::Text | Kind::Regex) {
            return Err(refusal("this modifier needs a field", "keywords take string modifiers and 're'"));
        }
        if item.values.len() == 1 && has(Modifier::All) {
            return Err(refusal("'all' with a single value", "leave 'all' out, or give a list"));
        }
        if item.values.len() > 1 && item.values.contains(&Literal::Null) {
            return Err(refusal("null cannot be part of a list", "put 'Field: null' in a search of its own"));
        }
        if item.values.len() > 1 && kind == Kind::Exists {
            return Err(refusal("'exists' takes one value", "write 'exists: true'"));
        }
        Ok(Self { kind, all: has(Modifier::All), negate: has(Modifier::Neq), cased: has(Modifier::Cased), expand: has(Modifier::Expand) })
    }
}

fn written(value: &Literal) -> String {
    match value {
        Literal::Text(t) => t.clone(),
        Literal::Int(n) => n.to_string(),
        Literal::Float(x) => x.to_string(),
        Literal::Bool(b) => b.to_string(),
        Literal::Null => "null".to_owned(),
    }
}

/// The value as text; null has none.
fn text_of(value: &Literal) -> Option<String> {
    (*value != Literal::Null).then(|| written(value))
}

/// The value as a number; text is taken if it is one.
fn number(value: &Literal) -> Option<(Option<i64>, f64)> {
    match value {
        Literal::Int(n) => Some((Some(*n), *n as f64)),
        Literal::Float(x) if x.is_finite() => Some((None, *x)),
        Literal::Text(t) => {
            let t = t.trim();
            let float: f64 = t.parse().ok().filter(|x: &f64| x.is_finite())?;
            Some((t.parse().ok(), float))
        }
        _ => None,
    }
}

/// Replaces each `%name%` by each of its values (`\%` is a plain percent sign). Err: the name that has none.
fn expand(text: &str, options: &Options) -> Result<Vec<String>, String> {
    let mut all = vec![String::new()];
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("\\\\") {
            // An escaped backslash stays one for the string's own reading; what follows is not escaped by it.
            all.iter_mut().for_each(|t| t.push_str("\\\\"));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\%") {
            all.iter_mut().for_each(|t| t.push('%'));
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('%').and_then(|r| r.split_once('%')).filter(|(n, _)| !n.is_empty() && !n.contains(char::is_whitespace))
        {
            let values = options.placeholders.get(name).filter(|v| !v.is_empty()).ok_or_else(|| name.to_owned())?;
            all = values.iter().take(TESTS_MAX / all.len().max(1) + 1).flat_map(|v| all.iter().map(move |t| format!("{t}{v}"))).collect();
            rest = after;
        } else {
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                all.iter_mut().for_each(|t| t.push(c));
            }
            rest = chars.as_str();
        }
    }
    Ok(all)
}

/// Every way to write a text with the five dashes.
fn permute(plain: &str) -> Result<Vec<String>, Refusal> {
    let mut all = vec![String::new()];
    for c in plain.chars() {
        if DASHES.contains(&c) {
            all = all.iter().flat_map(|t| DASHES.iter().map(move |d| format!("{t}{d}"))).collect();
            if all.len() > PERMUTATIONS_MAX {
                return Err(refusal("too many dashes for 'windash' before an encoding", "at most four"));
            }
        } else {
            all.iter_mut().for_each(|t| t.push(c));
        }
    }
    Ok(all)
}
