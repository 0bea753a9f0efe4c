//! What is wrong with a rule or mapping file, said so that its author can mend it: file, line, column, what, way out.

use std::fmt;

/// A document that was refused. Line and column count from 1; 0 where the place is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    pub path: String,
    pub line: u32,
    pub column: u32,
    /// What is wrong, with the offending word; a lower-case fragment.
    pub what: String,
    /// What to write instead; empty where `what` says it all.
    pub way_out: String,
}

/// Something an author should know about a document that was loaded all the same; same shape as an error.
pub type Notice = RuleError;

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        write!(f, ": {}", self.what)?;
        if !self.way_out.is_empty() {
            write!(f, " ({})", self.way_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}

/// The word of `known` nearest to `word`, if it is near enough to be a slip of the hand (distance at most 2, and less
/// than half of the word).
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(32).collect();
    known
        .into_iter()
        .map(|k| (distance(&word, &k.chars().collect::<Vec<_>>()), k))
        .filter(|(d, _)| *d <= 2 && d * 2 < word.len().max(2))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edit distance with swaps of neighbours counted once (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, first) in rows[0].iter_mut().enumerate() {
        *first = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["contains", "startswith", "endswith", "re", "cidr"];
        assert_eq!(nearest("contians", known), Some("contains"));
        assert_eq!(nearest("endwith", known), Some("endswith"));
        assert_eq!(nearest("cdir", known), Some("cidr"));
        assert_eq!(nearest("fuzzy", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn an_error_names_the_place_and_the_way_out() {
        let error = RuleError { path: "a.yml".into(), line: 3, column: 9, what: "no".into(), way_out: "yes".into() };
        assert_eq!(error.to_string(), "a.yml:3:9: no (yes)");
        assert_eq!(RuleError { line: 0, way_out: String::new(), ..error }.to_string(), "a.yml: no");
    }
}
