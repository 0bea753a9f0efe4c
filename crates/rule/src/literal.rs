//! Texts of which a regular expression needs at least one: where none of them stands in a value, the expression is not run.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::text::fold;

/// Alternatives kept; an expression with more is run wherever its field is there.
const LITERALS_MAX: usize = 64;
/// A shorter text says too little.
const BYTES_MIN: usize = 3;

/// Folded texts, one of which stands in the folded form of every text the expression matches; None: it needs none.
pub(crate) fn needed(pattern: &str, ignore_case: bool, multi_line: bool, dot_all: bool) -> Option<Vec<String>> {
    let hir = ParserBuilder::new()
        .case_insensitive(ignore_case)
        .multi_line(multi_line)
        .dot_matches_new_line(dot_all)
        .nest_limit(100)
        .build()
        .parse(pattern)
        .ok()?;
    let all = of(&hir, 0)?;
    (all.len() <= LITERALS_MAX && all.iter().all(|t| t.len() >= BYTES_MIN)).then_some(all)
}

/// The worth of a choice: the shortest of its texts.
fn worth(all: &[String]) -> usize {
    all.iter().map(String::len).min().unwrap_or(0)
}

fn of(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > 100 {
        return None;
    }
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => {
            let mut run = String::new();
            plain(hir, &mut run).then(|| vec![run])
        }
        HirKind::Capture(inner) => of(&inner.sub, depth + 1),
        HirKind::Repetition(r) if r.min > 0 => of(&r.sub, depth + 1),
        HirKind::Alternation(list) => {
            let mut all = Vec::new();
            for part in list {
                all.extend(of(part, depth + 1)?);
                if all.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(list) => {
            let mut best: Option<Vec<String>> = None;
            let mut take = |found: Vec<String>| {
                if !found.is_empty() && best.as_ref().is_none_or(|b| worth(&found) > worth(b)) {
                    best = Some(found);
                }
            };
            let mut run = String::new();
            for part in list {
                if !plain(part, &mut run) {
                    if !run.is_empty() {
                        take(vec![std::mem::take(&mut run)]);
                    }
                    if let Some(found) = of(part, depth + 1) {
                        take(found);
                    }
                }
            }
            if !run.is_empty() {
                take(vec![run]);
            }
            best
        }
        _ => None,
    }
}

/// Appends the folded text of a part that is one text, whatever its case.
fn plain(hir: &Hir, run: &mut String) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => {
                run.extend(text.chars().map(fold));
                true
            }
            Err(_) => false,
        },
        HirKind::Class(Class::Unicode(class)) => {
            let mut chars = class.ranges().iter().flat_map(|r| r.start()..=r.end());
            let Some(first) = chars.next().map(fold) else { return false };
            // A class of more than a few characters is no letter in its cases.
            if class.ranges().len() > 4 || !chars.by_ref().take(5).all(|c| fold(c) == first) || chars.next().is_some() {
                return false;
            }
            run.push(first);
            true
        }
        HirKind::Capture(inner) => matches!(inner.sub.kind(), HirKind::Literal(_)) && plain(&inner.sub, run),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expression_needs() {
        let of = |pattern: &str, i: bool| needed(pattern, i, false, false).map(|l| l.join(" "));
        assert_eq!(of(r"\d+ Curl\s+http", false), Some(" curl".into()));
        assert_eq!(of(r"powershell", true), Some("powershell".into()));
        assert_eq!(of(r"(foo1|bar22)+x?", false), Some("foo1 bar22".into()));
        assert_eq!(of(r"(?:\\net1?\.exe|x)", false), None);
        assert_eq!(of(r"[a-z]{4}", false), None);
        assert_eq!(of(r"(abc)?", false), None);
        assert_eq!(of(r"a(?:bcd|efg)h.*needle", false), Some("needle".into()));
    }
}
