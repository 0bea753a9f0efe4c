//! Sigma strings: wildcards and backslashes, case folding, matching.
//!
//! Folding is Unicode simple case folding (one character to one character, locale-free, no Turkic rules): `K` the Kelvin
//! sign equals `k`, `ς` equals `σ`, `ß` equals `ẞ` but not `ss`. Both sides are folded once, the needle when the rule is
//! loaded, the event's text when the first rule asks for it; so a comparison is a comparison of bytes.

use memchr::memmem;

/// A piece of a Sigma string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    Text(String),
    /// `*`: any number of characters, line ends included.
    Any,
    /// `?`: exactly one character.
    One,
}

/// Reads wildcards and backslashes: `\*` and `\?` are plain, `\\` is one backslash, a backslash before anything else is itself.
pub(crate) fn parse(raw: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next_if(|n| matches!(n, '*' | '?' | '\\')) {
                Some(n) => plain.push(n),
                None => plain.push('\\'),
            },
            '*' | '?' => {
                push_text(&mut pieces, &mut plain);
                push(&mut pieces, if c == '*' { Piece::Any } else { Piece::One });
            }
            c => plain.push(c),
        }
    }
    push_text(&mut pieces, &mut plain);
    pieces
}

fn push_text(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

/// Appends a piece; several `*` in a row are one.
pub(crate) fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
        pieces.push(piece);
    }
}

/// The text of a string without wildcards.
pub(crate) fn plain(pieces: &[Piece]) -> Option<String> {
    pieces.iter().map(|p| if let Piece::Text(t) = p { Some(t.as_str()) } else { None }).collect()
}

/// In which form the event's text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Form {
    Folded = 0,
    Cased = 1,
    /// Folded, and the five dash characters are one.
    FoldedDash = 2,
    CasedDash = 3,
}

impl Form {
    pub const COUNT: usize = 4;

    pub fn of(cased: bool, dash: bool) -> Self {
        match (cased, dash) {
            (false, false) => Self::Folded,
            (true, false) => Self::Cased,
            (false, true) => Self::FoldedDash,
            (true, true) => Self::CasedDash,
        }
    }

    /// Appends `text` in this form.
    pub fn write(self, text: &str, out: &mut String) {
        match self {
            Self::Cased => out.push_str(text),
            Self::Folded if text.is_ascii() => {
                let from = out.len();
                out.push_str(text);
                if let Some(tail) = out.get_mut(from..) {
                    tail.make_ascii_lowercase();
                }
            }
            Self::Folded => out.extend(text.chars().map(fold)),
            Self::FoldedDash => out.extend(text.chars().map(|c| dash(fold(c)))),
            Self::CasedDash => out.extend(text.chars().map(dash)),
        }
    }
}

/// The characters `windash` takes for each other.
pub(crate) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

fn dash(c: char) -> char {
    if DASHES.contains(&c) { '-' } else { c }
}

/// Simple case folding of one character.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    // Nothing between the radicals and the last of Yi, nor Hangul, has case: most text of this region's logs.
    if matches!(c, '\u{2e80}'..='\u{a63f}' | '\u{ac00}'..='\u{d7a3}') {
        return c;
    }
    // The dotless i has an upper case (I) but, outside Turkic languages, no folding.
    if c == 'ı' {
        return c;
    }
    let one = |mut chars: std::char::ToUppercase| if chars.len() == 1 { chars.next() } else { None };
    let upper = one(c.to_uppercase()).unwrap_or(c);
    let mut lower = upper.to_lowercase();
    if lower.len() == 1 { lower.next().unwrap_or(upper) } else { upper }
}

/// A compiled Sigma string, in the form its text is compared in.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Equals(Box<str>),
    Contains(Box<memmem::Finder<'static>>),
    Starts(Box<str>),
    Ends(Box<str>),
    /// Any text at all (`*`).
    Anything,
    Glob(Glob),
}

#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// Runs of text and `?` between the `*`.
    segments: Vec<Vec<Piece>>,
    /// The first (last) segment must stand at the beginning (end).
    from_start: bool,
    to_end: bool,
}

impl Pattern {
    /// `pieces` in plain case; folded here as `form` says.
    pub fn new(pieces: &[Piece], form: Form) -> Self {
        let folded: Vec<Piece> = pieces
            .iter()
            .map(|p| match p {
                Piece::Text(t) => {
                    let mut out = String::with_capacity(t.len());
                    form.write(t, &mut out);
                    Piece::Text(out)
                }
                other => other.clone(),
            })
            .collect();
        match folded.as_slice() {
            [] => Self::Equals("".into()),
            [Piece::Any] => Self::Anything,
            [Piece::Text(t)] => Self::Equals(t.as_str().into()),
            [Piece::Text(t), Piece::Any] => Self::Starts(t.as_str().into()),
            [Piece::Any, Piece::Text(t)] => Self::Ends(t.as_str().into()),
            [Piece::Any, Piece::Text(t), Piece::Any] => Self::Contains(Box::new(memmem::Finder::new(t.as_bytes()).into_owned())),
            all => Self::Glob(Glob {
                segments: all.split(|p| *p == Piece::Any).filter(|s| !s.is_empty()).map(<[Piece]>::to_vec).collect(),
                from_start: all.first() != Some(&Piece::Any),
                to_end: all.last() != Some(&Piece::Any),
            }),
        }
    }

    /// Whether `text`, already in the pattern's form, matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equals(t) => **t == *text,
            Self::Contains(t) => t.find(text.as_bytes()).is_some(),
            Self::Starts(t) => text.starts_with(&**t),
            Self::Ends(t) => text.ends_with(&**t),
            Self::Anything => true,
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

impl Glob {
    /// The longest text without wildcards in it.
    pub fn longest(&self) -> Option<&str> {
        let texts = self.segments.iter().flatten().filter_map(|p| if let Piece::Text(t) = p { Some(t.as_str()) } else { None });
        texts.max_by_key(|t| t.len())
    }

    fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        let mut segments = self.segments.as_slice();
        if self.from_start {
            let Some((first, tail)) = segments.split_first() else { return rest.is_empty() };
            let Some(after) = strip(rest, first) else { return false };
            rest = after;
            segments = tail;
            if segments.is_empty() && self.to_end {
                return rest.is_empty();
            }
        }
        let mut last = None;
        if self.to_end
            && let Some((end, head)) = segments.split_last()
        {
            last = Some(end);
            segments = head;
        }
        for segment in segments {
            let Some(after) = find(rest, segment) else { return false };
            rest = after;
        }
        last.is_none_or(|end| strip_back(rest, end).is_some())
    }
}

/// What follows `segment` at the beginning of `text`.
fn strip<'t>(mut text: &'t str, segment: &[Piece]) -> Option<&'t str> {
    for piece in segment {
        text = match piece {
            Piece::Text(t) => text.strip_prefix(t.as_str())?,
            _ => {
                let mut chars = text.chars();
                chars.next()?;
                chars.as_str()
            }
        };
    }
    Some(text)
}

/// What precedes `segment` at the end of `text`.
fn strip_back<'t>(mut text: &'t str, segment: &[Piece]) -> Option<&'t str> {
    for piece in segment.iter().rev() {
        text = match piece {
            Piece::Text(t) => text.strip_suffix(t.as_str())?,
            _ => {
                let mut chars = text.chars();
                chars.next_back()?;
                chars.as_str()
            }
        };
    }
    Some(text)
}

/// What follows the first place where `segment` stands in `text`.
fn find<'t>(mut text: &'t str, segment: &[Piece]) -> Option<&'t str> {
    loop {
        if let Some(Piece::Text(t)) = segment.first() {
            let at = memmem::find(text.as_bytes(), t.as_bytes())?;
            text = text.get(at..)?;
        }
        if let Some(after) = strip(text, segment) {
            return Some(after);
        }
        let mut chars = text.chars();
        chars.next()?;
        text = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, text: &str) -> bool {
        let mut folded = String::new();
        Form::Folded.write(text, &mut folded);
        Pattern::new(&parse(pattern), Form::Folded).matches(&folded)
    }

    #[test]
    fn backslashes_as_the_specification_lists_them() {
        let text = |s: &str| vec![Piece::Text(s.into())];
        assert_eq!(parse(r"C:\Windows"), text(r"C:\Windows"));
        assert_eq!(parse(r"C:\\Windows"), text(r"C:\Windows"));
        assert_eq!(parse(r"\*\?"), text("*?"));
        assert_eq!(parse(r"\\*"), vec![Piece::Text(r"\".into()), Piece::Any]);
        assert_eq!(parse(r"\\\*"), text(r"\*"));
        assert_eq!(parse(r"\\\"), text(r"\\"));
        assert_eq!(parse(r"\\\\"), text(r"\\"));
    }

    #[test]
    fn globs() {
        assert!(hit("a*b*c", "axxbyyc") && hit("a*b*c", "abc") && !hit("a*b*c", "acb"));
        assert!(hit("*ab?d*", "xxABxabcdyy") && !hit("*ab?d*", "abd"));
        assert!(hit("prog?.exe", "progA.exe") && !hit("prog?.exe", "prog.exe") && !hit("prog?.exe", "progAB.exe"));
        assert!(hit("a*a", "aa") && !hit("a*a", "a"));
        assert!(hit("?", "é") && !hit("?", "") && hit("a*\\*", "ab*"));
        assert!(hit("a*?b", "axb") && !hit("a*?b", "ab") && hit("*?", "x") && !hit("*?", ""));
        assert!(hit("curl*| bash", "curl x \\\n| bash"));
    }

    /// A glob by the book: tries every split. Slow, plainly right.
    fn oracle(pieces: &[Piece], text: &[char]) -> bool {
        match pieces.split_first() {
            None => text.is_empty(),
            Some((Piece::Any, rest)) => (0..=text.len()).any(|n| oracle(rest, &text[n..])),
            Some((Piece::One, rest)) => !text.is_empty() && oracle(rest, &text[1..]),
            Some((Piece::Text(t), rest)) => {
                let t: Vec<char> = t.chars().collect();
                text.starts_with(&t) && oracle(rest, &text[t.len()..])
            }
        }
    }

    #[test]
    fn every_short_pattern_agrees_with_the_oracle_on_every_short_text() {
        let words = |letters: &[char], max: usize| {
            let mut all = vec![String::new()];
            let mut from = 0;
            for _ in 0..max {
                let to = all.len();
                for at in from..to {
                    for c in letters {
                        all.push(format!("{}{c}", all[at]));
                    }
                }
                from = to;
            }
            all
        };
        let texts = words(&['a', 'é'], 4);
        for pattern in words(&['a', 'é', '*', '?'], 4) {
            let compiled = Pattern::new(&parse(&pattern), Form::Folded);
            let pieces = parse(&pattern);
            for text in &texts {
                let chars: Vec<char> = text.chars().collect();
                assert_eq!(compiled.matches(text), oracle(&pieces, &chars), "{pattern} on {text}");
            }
        }
    }

    #[test]
    fn folding_is_the_one_of_the_regex_crate() {
        assert_eq!((fold('K'), fold('ς'), fold('ſ'), fold('ß'), fold('ẞ'), fold('ı'), fold('İ')), ('k', 'σ', 's', 'ß', 'ß', 'ı', 'İ'));
        assert!(('\u{2e80}'..='\u{a63f}').chain('\u{ac00}'..='\u{d7a3}').all(|c| c.to_lowercase().eq([c]) && c.to_uppercase().eq([c])));
        // Every character of the scripts with case, against the Unicode tables of the regex crate.
        for c in ('\u{80}'..'\u{600}').chain('\u{10A0}'..'\u{1100}').chain('\u{1C80}'..'\u{2190}').chain('\u{2C00}'..'\u{2D30}') {
            let folded = fold(c);
            if folded != c {
                let same = regex::Regex::new(&format!("^(?i:{})$", regex::escape(&folded.to_string()))).unwrap();
                assert!(same.is_match(&c.to_string()), "{c:?} folds to {folded:?}");
            }
        }
    }
}
