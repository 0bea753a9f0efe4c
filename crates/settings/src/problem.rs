//! What is wrong with a configuration, in words an operator can act on.

use std::fmt;

use crate::Place;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// Dotted key; empty where the whole file is meant.
    pub key: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl Problem {
    /// `key 'x': …` without the place.
    pub fn without_place(&self) -> String {
        if self.key.is_empty() { self.message.clone() } else { format!("key '{}': {}", self.key, self.message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.file.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.without_place())
    }
}

/// All that is wrong; prints one line a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Errors {
    pub problems: Vec<Problem>,
}

impl Errors {
    pub fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Words that follow serde's message.
pub(crate) struct Told {
    pub message: String,
    /// The place to point at is the value, not the key.
    pub at_value: bool,
    /// Name of the key that is missing, if that is the problem.
    pub missing: Option<String>,
}

/// Serde's message in an operator's words. `value` is the text of the offending value, if it may be shown.
pub(crate) fn explain(message: &str, value: Option<&str>) -> Told {
    let message = message.trim();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (name, known) = quoted(rest);
        return Told { message: format!("no such key{}", way_out(&name, &known, "keys here")), at_value: false, missing: None };
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (name, known) = quoted(rest);
        return Told {
            message: format!("value \"{name}\" is not known{}", way_out(&name, &known, "values")),
            at_value: true,
            missing: None,
        };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let (name, _) = quoted(rest);
        return Told { message: format!("'{name}' is missing and has no default; add it"), at_value: false, missing: Some(name) };
    }
    // A message about a secret never shows the value.
    let secret = message.contains("secret");
    let shown = match value {
        Some(text) if !secret && !text.is_empty() => format!("value {}", short(text)),
        _ => "value".to_owned(),
    };
    let said = match message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        Some(rest) => {
            let expected = rest.rsplit_once(", expected ").map_or(rest, |(_, expected)| expected);
            format!("{shown} does not fit: expected {}", plain_type(expected))
        }
        None => format!("{shown}: {message}"),
    };
    Told { message: said, at_value: true, missing: None }
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let mut out: String = line.chars().take(60).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

fn plain_type(expected: &str) -> String {
    let whole = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match expected {
        "u8" => whole("0", "255"),
        "u16" => whole("0", "65535"),
        "u32" => whole("0", "4294967295"),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text in quotes".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        other if other.starts_with("struct ") || other == "a map" => "a table of keys".to_owned(),
        other => other.to_owned(),
    }
}

/// First quoted word, and the list after "expected".
fn quoted(text: &str) -> (String, Vec<String>) {
    let mut words = text.split('`').skip(1).step_by(2).map(str::to_owned);
    (words.next().unwrap_or_default(), words.collect())
}

fn way_out(name: &str, known: &[String], what: &str) -> String {
    match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean '{near}'?"),
        None if known.is_empty() => "; remove it".to_owned(),
        None => format!("; {what}: {}", known.join(", ")),
    }
}

/// The nearest known word, if it is near enough to be a slip of the hand (a third of its letters, at least one).
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// Edit distance with neighbours swapped counted as one (optimal string alignment). Words are cut at 64 letters.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
