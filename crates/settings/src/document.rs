//! The document as a tree with positions, and the loop that turns it into a value or into all its problems.

use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::problem::{Errors, Problem, explain};
use crate::{Loaded, Override, PROBLEMS_MAX};

/// Where something stands. Line and column count from 1, columns in characters; line 0 means "the whole file" or "not in a file".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file, or `environment variable X`, `flag --x`.
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// Where the keys stood, after loading.
#[derive(Debug, Clone, Default)]
pub struct Document {
    name: String,
    places: Vec<(String, Place)>,
}

impl Document {
    /// Place of a dotted key; of the nearest table above it if the key itself was not given.
    pub fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some((_, place)) = self.places.iter().find(|(k, _)| k == key) {
                return place.clone();
            }
            match key.rsplit_once('.') {
                Some((head, _)) => key = head,
                None => return Place { file: self.name.clone(), line: 0, column: 0 },
            }
        }
    }

    /// True if the key was given in any layer.
    pub fn has(&self, key: &str) -> bool {
        self.places.iter().any(|(k, _)| k == key)
    }

    /// A problem with a key found by a check that came after the types.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem { place: self.place(key), key: key.to_owned(), message: message.into() }
    }
}

/// File text and all overrides laid one behind the other, so that one offset names any place.
struct Sources {
    name: String,
    all: String,
    file_end: usize,
    overrides: Vec<(Range<usize>, String)>,
}

impl Sources {
    fn place(&self, at: usize) -> Place {
        if let Some((_, origin)) = self.overrides.iter().find(|(range, _)| range.contains(&at)) {
            return Place { file: origin.clone(), line: 0, column: 0 };
        }
        let head = self.all.get(..at.min(self.file_end)).unwrap_or("");
        let line_start = head.rfind('\n').map_or(0, |n| n + 1);
        let column = 1 + head.get(line_start..).map_or(0, |line| line.chars().count());
        Place { file: self.name.clone(), line: 1 + head.matches('\n').count(), column }
    }

    fn text(&self, span: &Range<usize>) -> &str {
        self.all.get(span.clone()).unwrap_or("")
    }
}

#[derive(Clone, PartialEq, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

fn dotted(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Step::Item(n) => out.push_str(&format!("[{n}]")),
        }
    }
    out
}

pub(crate) fn load<T: DeserializeOwned>(name: String, text: String, overrides: Vec<Override>) -> Result<Loaded<T>, Errors> {
    let file_end = text.len();
    let mut sources = Sources { name, all: text, file_end, overrides: Vec::new() };
    for one in &overrides {
        let start = sources.all.len() + 1;
        sources.all.push('\n');
        sources.all.push_str(&one.text);
        // One past the end, so that an empty value still has a place.
        sources.overrides.push((start..sources.all.len() + 1, one.origin.clone()));
    }
    let file_text = sources.text(&(0..file_end)).to_owned();
    let (mut root, syntax) = DeTable::parse_recoverable(&file_text);
    if !syntax.is_empty() {
        let problems = syntax.iter().take(PROBLEMS_MAX).map(|error| Problem {
            place: sources.place(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            message: format!("not TOML: {}", error.message().replace('\n', ", ")),
        });
        return Err(Errors { problems: problems.collect() });
    }
    let mut problems = Vec::new();
    // Overrides whose text was read as a TOML value, with the plain text to fall back to where the key wants text after all.
    let mut guesses: Vec<(Vec<Step>, usize)> = Vec::new();
    for (n, one) in overrides.iter().enumerate() {
        let span = sources.overrides.get(n).map_or(0..0, |(range, _)| range.start..range.end - 1);
        let path: Vec<Step> = one.key.split('.').map(|k| Step::Key(k.to_owned())).collect();
        let typed = typed_value(&one.text, &span);
        let guessed = typed.is_some();
        let value = typed.unwrap_or_else(|| DeValue::String(Cow::Owned(one.text.clone())));
        match insert(root.get_mut(), &path, Spanned::new(span, value)) {
            Ok(()) if guessed => guesses.push((path, n)),
            Ok(()) => {}
            Err(()) => problems.push(Problem {
                place: Place { file: one.origin.clone(), line: 0, column: 0 },
                key: one.key.clone(),
                message: "stands below a key that is not a table".to_owned(),
            }),
        }
    }
    let document = Document { name: sources.name.clone(), places: places(root.get_ref(), &sources) };
    let mut removed: Vec<Vec<Step>> = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match T::deserialize(toml::Deserializer::from(root.clone())) {
            Ok(value) if problems.is_empty() => return Ok(Loaded { value, document }),
            Ok(_) => break,
            Err(error) => error,
        };
        let at_root = error.span().is_none_or(|span| span == root.span());
        let found = error.span().filter(|_| !at_root).and_then(|span| find(root.get_ref(), span.start));
        let Some((path, key_span, value_span)) = found else {
            // The top table itself. What is missing only because its own bad entry was taken out was told already.
            let told = explain(error.message(), None);
            if !told.missing.is_some_and(|key| removed.contains(&vec![Step::Key(key)])) {
                let place = Place { file: sources.name.clone(), line: 0, column: 0 };
                problems.push(Problem { place, key: String::new(), message: told.message });
            }
            break;
        };
        if let Some(at) = guesses.iter().position(|(guess, _)| path.starts_with(guess))
            && error.message().contains("invalid type")
        {
            let (path, n) = guesses.swap_remove(at);
            let plain = overrides.get(n).map_or(String::new(), |one| one.text.clone());
            let span = sources.overrides.get(n).map_or(0..0, |(range, _)| range.start..range.end - 1);
            let _ = insert(root.get_mut(), &path, Spanned::new(span, DeValue::String(Cow::Owned(plain))));
            continue;
        }
        let value_text = sources.text(&value_span).trim();
        let told = explain(error.message(), Some(value_text));
        // A key that is missing only because its own entry was bad and is taken out is not a problem of its own.
        let shadow = told.missing.as_ref().is_some_and(|key| {
            let mut full = path.clone();
            full.push(Step::Key(key.clone()));
            removed.contains(&full)
        });
        if !shadow {
            let at = if told.at_value { value_span.start } else { key_span.start };
            problems.push(Problem { place: sources.place(at), key: dotted(&path), message: told.message });
        }
        remove(root.get_mut(), &path);
        removed.push(path);
        if problems.len() >= PROBLEMS_MAX || tries > 4 * PROBLEMS_MAX {
            break;
        }
    }
    problems.sort_by_key(|p| (p.place.line, p.place.column));
    Err(Errors { problems })
}

/// A number, truth value or list written in an environment variable or flag; anything else is plain text.
fn typed_value<'i>(text: &'i str, span: &Range<usize>) -> Option<DeValue<'i>> {
    let text = text.trim();
    let first = text.chars().next()?;
    let looks_typed = first.is_ascii_digit() || matches!(first, '-' | '+' | '[' | '{' | '"') || matches!(text, "true" | "false");
    if !looks_typed {
        return None;
    }
    let mut value = DeValue::parse(text).ok()?.into_inner();
    respan(&mut value, span);
    Some(value)
}

/// Gives everything inside a value from outside the file the one place it has.
fn respan(value: &mut DeValue<'_>, span: &Range<usize>) {
    match value {
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                respan(item.get_mut(), span);
                *item = Spanned::new(span.clone(), std::mem::replace(item.get_mut(), DeValue::Boolean(false)));
            }
        }
        DeValue::Table(table) => {
            let old = std::mem::replace(table, DeTable::new());
            for (key, mut item) in old {
                respan(item.get_mut(), span);
                table.insert(Spanned::new(span.clone(), key.into_inner()), Spanned::new(span.clone(), item.into_inner()));
            }
        }
        _ => {}
    }
}

fn insert<'i>(table: &mut DeTable<'i>, path: &[Step], value: Spanned<DeValue<'i>>) -> Result<(), ()> {
    let [Step::Key(key), rest @ ..] = path else { return Err(()) };
    let span = value.span();
    if rest.is_empty() {
        without(table, key);
        table.insert(Spanned::new(span, Cow::Owned(key.clone())), value);
        return Ok(());
    }
    if !table.keys().any(|k| k.get_ref() == key) {
        table.insert(Spanned::new(span.clone(), Cow::Owned(key.clone())), Spanned::new(span, DeValue::Table(DeTable::new())));
    }
    match table.iter_mut().find(|(k, _)| k.get_ref() == key) {
        Some((_, slot)) => match slot.get_mut() {
            DeValue::Table(inner) => insert(inner, rest, value),
            _ => Err(()),
        },
        None => Err(()),
    }
}

fn without<'i>(table: &mut DeTable<'i>, key: &str) {
    let old = std::mem::replace(table, DeTable::new());
    *table = old.into_iter().filter(|(k, _)| k.get_ref() != key).collect();
}

fn remove(table: &mut DeTable<'_>, path: &[Step]) {
    match path {
        [Step::Key(key)] => without(table, key),
        [Step::Key(key), rest @ ..] => {
            if let Some((_, slot)) = table.iter_mut().find(|(k, _)| k.get_ref() == key) {
                remove_inside(slot.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn remove_inside(value: &mut DeValue<'_>, path: &[Step]) {
    match (value, path) {
        (DeValue::Table(table), [Step::Key(_), ..]) => remove(table, path),
        (DeValue::Array(items), [Step::Item(n), rest @ ..]) => {
            if rest.is_empty() {
                let old = std::mem::replace(items, DeArray::new());
                for (at, item) in old.into_iter().enumerate() {
                    if at != *n {
                        items.push(item);
                    }
                }
            } else if let Some(item) = items.get_mut(*n) {
                remove_inside(item.get_mut(), rest);
            }
        }
        _ => {}
    }
}

type Found = (Vec<Step>, Range<usize>, Range<usize>);

/// The deepest entry whose key or value covers the offset: path, place of its key, place of its value.
fn find(table: &DeTable<'_>, at: usize) -> Option<Found> {
    let mut best: Option<Found> = None;
    for (key, value) in table {
        let step = Step::Key(key.get_ref().to_string());
        // A table's own span is its header or braces; its entries may lie outside it, so it is always looked into.
        let inner = find_inside(value.get_ref(), at);
        let here = key.span().contains(&at) || value.span().contains(&at) || (value.span().is_empty() && value.span().start == at);
        let found = match inner {
            Some((mut path, key_span, value_span)) => {
                path.insert(0, step);
                Some((path, if key_span.is_empty() { key.span() } else { key_span }, value_span))
            }
            None if here => Some((vec![step], key.span(), value.span())),
            None => None,
        };
        if let Some(found) = found
            && best.as_ref().is_none_or(|b| b.0.len() < found.0.len())
        {
            best = Some(found);
        }
    }
    best
}

fn find_inside(value: &DeValue<'_>, at: usize) -> Option<Found> {
    match value {
        DeValue::Table(table) => find(table, at),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(n, item)| {
            if let Some((mut path, key_span, value_span)) = find_inside(item.get_ref(), at) {
                path.insert(0, Step::Item(n));
                return Some((path, key_span, value_span));
            }
            item.span().contains(&at).then(|| (vec![Step::Item(n)], item.span(), item.span()))
        }),
        _ => None,
    }
}

fn places(table: &DeTable<'_>, sources: &Sources) -> Vec<(String, Place)> {
    fn walk(table: &DeTable<'_>, above: &str, sources: &Sources, out: &mut Vec<(String, Place)>) {
        for (key, value) in table {
            let full = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
            if let DeValue::Table(inner) = value.get_ref() {
                walk(inner, &full, sources, out);
            }
            out.push((full, sources.place(key.span().start)));
        }
    }
    let mut out = Vec::new();
    walk(table, "", sources, &mut out);
    out
}
