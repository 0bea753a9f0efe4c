//! A JSON object as a flat list of paths and values: `alert.signature`, `rule.groups` (an array repeats its path).
//!
//! One pass over the text, nothing of it is executed or kept twice: a value borrows from the line unless it holds an escape. Bounds: depth,
//! leaves and the bytes of a path; what is past the last two is left out, what is nested deeper makes the text no object. A text
//! that is cut or broken anywhere is no object either, so that half a record never passes for a whole one. Where a key comes
//! twice the first one counts.

use std::borrow::Cow;

/// Objects and arrays within each other.
const DEPTH_MAX: usize = 24;
/// Values kept of one object.
const LEAVES_MAX: usize = 512;
/// Bytes of a path; a deeper or longer one cannot be asked for.
const PATH_BYTES_MAX: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Tree<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Tree<'a> {
    /// The object a text holds, with nothing but blanks around it.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut walk = Walk { text, at: 0, path: String::new(), out: Vec::new() };
        walk.blanks();
        if walk.peek()? != b'{' {
            return None;
        }
        walk.value(0)?;
        walk.blanks();
        (walk.at == text.len()).then_some(Self(walk.out))
    }

    /// The first value at a path, if it is not empty.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.all(path).next()
    }
    /// All values at a path.
    pub(crate) fn all<'s>(&'s self, path: &str) -> impl Iterator<Item = &'s str> {
        self.0.iter().filter(move |(p, v)| p == path && !v.is_empty()).map(|(_, v)| v.as_ref())
    }
    /// The first of some paths that has a value.
    pub(crate) fn one_of(&self, paths: &[&str]) -> Option<&str> {
        paths.iter().find_map(|p| self.get(p))
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    path: String,
    out: Vec<(String, Cow<'a, str>)>,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn blanks(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.at += 1;
        }
    }
    fn eat(&mut self, byte: u8) -> bool {
        self.blanks();
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let text = self.string()?;
                self.keep(text);
                Some(())
            }
            _ => {
                let rest = self.text.get(self.at..)?;
                let len = rest.find(|c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace()).unwrap_or(rest.len());
                let word = rest.get(..len)?;
                let number = || word.as_bytes().first().is_some_and(|c| c.is_ascii_digit() || *c == b'-') && word.parse::<f64>().is_ok();
                self.at += len;
                match word {
                    "null" => Some(()),
                    "true" | "false" => {
                        self.keep(Cow::Borrowed(word));
                        Some(())
                    }
                    _ if number() => {
                        self.keep(Cow::Borrowed(word));
                        Some(())
                    }
                    _ => None,
                }
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            let key = (self.peek()? == b'"').then(|| self.string()).flatten()?;
            if !self.eat(b':') {
                return None;
            }
            let before = self.path.len();
            // A path that is too long stays too long, whatever follows it.
            if before <= PATH_BYTES_MAX {
                if before > 0 {
                    self.path.push('.');
                }
                self.path.push_str(&key[..key.floor_char_boundary(PATH_BYTES_MAX + 1)]);
            }
            self.value(depth + 1)?;
            self.path.truncate(before);
            if self.eat(b',') {
                continue;
            }
            return self.eat(b'}').then_some(());
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.eat(b']') {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if self.eat(b',') {
                continue;
            }
            return self.eat(b']').then_some(());
        }
    }

    /// A text from its opening quote to behind its closing one.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let from = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = from;
        let mut plain = true;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => {
                    plain = false;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        let inner = self.text.get(from..end)?;
        self.at = end + 1;
        if plain { Some(Cow::Borrowed(inner)) } else { unescape(inner).map(Cow::Owned) }
    }

    fn keep(&mut self, value: Cow<'a, str>) {
        if self.out.len() < LEAVES_MAX && self.path.len() <= PATH_BYTES_MAX {
            self.out.push((self.path.clone(), value));
        }
    }
}

/// The text without its escapes; a lone half of a pair becomes the sign for a character that is none.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        let sign = *rest.as_bytes().get(at + 1)?;
        let mut used = at + 2;
        match sign {
            b'"' | b'\\' | b'/' => out.push(char::from(sign)),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let first = unit(rest, used)?;
                used += 4;
                let second = rest.get(used..used + 2).filter(|s| *s == "\\u").and_then(|_| unit(rest, used + 2));
                let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok().filter(|c| *c > '\u{ffff}'));
                if pair.is_some() {
                    used += 6;
                }
                out.push(pair.or_else(|| char::from_u32(u32::from(first))).unwrap_or('\u{fffd}'));
            }
            _ => return None,
        }
        rest = rest.get(used..)?;
    }
    out.push_str(rest);
    Some(out)
}

/// Four hex digits.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 4).filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_arrays_escapes_and_first_of_two() {
        let text = r#" {"a":{"b":"x\"\/\u4e2d\ud83d\ude00","n":-1.5e3,"t":true,"z":null},"l":["p",{"q":"r"},[1]],"a.b":"later","e":""} "#;
        let tree = Tree::read(text).unwrap();
        assert_eq!(tree.get("a.b"), Some("x\"/中😀"));
        assert_eq!((tree.get("a.n"), tree.get("a.t"), tree.get("a.z"), tree.get("e")), (Some("-1.5e3"), Some("true"), None, None));
        assert_eq!(tree.all("l").collect::<Vec<_>>(), ["p", "1"]);
        assert_eq!((tree.get("l.q"), tree.one_of(&["none", "l.q"])), (Some("r"), Some("r")));
    }

    #[test]
    fn what_is_cut_broken_or_too_deep_is_no_object() {
        let whole = r#"{"a":{"b":["x\u0041",1,null]},"c":false}"#;
        assert!(Tree::read(whole).is_some());
        for at in 0..whole.len() {
            assert!(Tree::read(&whole[..at]).is_none(), "{}", &whole[..at]);
        }
        for bad in [
            "[]",
            "{\"a\":1}x",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "{\"a\":nope}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u00\"}",
            "{\"a\":[1 2]}",
        ] {
            assert!(Tree::read(bad).is_none(), "{bad}");
        }
        let deep = |n: usize| format!("{}1{}", "{\"k\":".repeat(n), "}".repeat(n));
        assert!(Tree::read(&deep(DEPTH_MAX)).is_some() && Tree::read(&deep(DEPTH_MAX + 2)).is_none());
    }

    #[test]
    fn leaves_and_paths_are_bounded() {
        let many = format!("{{\"l\":[{}1]}}", "1,".repeat(10 * LEAVES_MAX));
        assert_eq!(Tree::read(&many).unwrap().0.len(), LEAVES_MAX);
        let long = format!("{{\"{}\":{{\"k\":1}},\"s\":2}}", "烽".repeat(PATH_BYTES_MAX));
        let tree = Tree::read(&long).unwrap();
        assert_eq!((tree.0.len(), tree.get("s")), (1, Some("2")));
    }
}
