//! Plain lists: one value a line; `#`, `;` and `//` begin a comment; hosts-file lines (`0.0.0.0 name`) give the name.

use super::{LINE_MAX, ReadOptions, Sink};
use crate::Observable;

pub(super) fn read(text: &str, options: &ReadOptions, sink: &mut Sink<'_>) {
    let (meta, valid) = (options.meta(), options.valid());
    for (n, line) in text.lines().enumerate() {
        let number = n as u64 + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("//") {
            continue;
        }
        if line.len() > LINE_MAX {
            sink.reading.problem(number, line, "the line is too long");
            continue;
        }
        // A comment after the value begins with a blank; a URL may hold the sign itself.
        let value = line.split_once(" #").or_else(|| line.split_once("\t#")).map_or(line, |(v, _)| v).trim();
        let value = value.split_once(" ;").map_or(value, |(v, _)| v).trim_end_matches([',', ';']).trim();
        let mut words = value.split_whitespace();
        let value = match (words.next(), words.next(), words.next()) {
            (Some("0.0.0.0" | "127.0.0.1" | "::1" | "::"), Some("localhost"), None) => continue,
            (Some("0.0.0.0" | "127.0.0.1"), Some(name), None) => name,
            _ => value,
        };
        match Observable::parse(value) {
            Ok(value) => sink.take(&[value], &meta, valid),
            Err(reason) => sink.reading.problem(number, value, reason),
        }
    }
}
