//! The part of STIX 2.1 patterning (section 9) that says "this value is in one event".
//!
//! `[a = 'x' OR b = 'y']`, `AND`, `IN (…)`, `ISSUBSET`, brackets, and `OR` between observations. What relates several events
//! (`FOLLOWEDBY`, `AND` between observations, `WITHIN`, `REPEATS`), negates or compares otherwise is named as not understood.
//! The result is a list of alternatives, each a list of values that must meet in one event.

use crate::{NEEDS_MAX, Observable};

/// Alternatives of one pattern.
const ALTERNATIVES_MAX: usize = 1_024;
const DEPTH_MAX: usize = 16;

type Alternatives = Vec<Vec<Observable>>;

/// Reads a pattern. The error completes "the pattern is not understood: …".
pub(super) fn read(text: &str) -> Result<Alternatives, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let found = parser.observations()?;
    match parser.peek() {
        None => Ok(found),
        Some(Token::Word(w)) => Err(format!("{w} relates several events")),
        Some(_) => Err("something follows its end".into()),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
    Other(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '[' | ']' | '(' | ')' | ',' | '=' => out.push(Token::Sign(c)),
            '\'' => {
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('\\') => value.extend(chars.next()),
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => return Err("a text is not closed".into()),
                    }
                }
                out.push(Token::Text(value));
            }
            '!' | '<' | '>' => {
                let two = chars.next_if_eq(&'=').is_some();
                out.push(Token::Other(if two { format!("{c}=") } else { c.to_string() }));
            }
            c => {
                let mut word = String::from(c);
                let mut inside = false;
                while let Some(&c) = chars.peek() {
                    // A property may be quoted within its path: file:hashes.'SHA-256'.
                    if c == '\'' && (inside || word.ends_with('.')) {
                        inside = !inside;
                    } else if !inside && (c.is_whitespace() || matches!(c, '[' | ']' | '(' | ')' | ',' | '=' | '\'' | '!' | '<' | '>')) {
                        break;
                    } else {
                        word.push(c);
                    }
                    chars.next();
                }
                out.push(Token::Word(word));
            }
        }
        if out.len() > 8_192 {
            return Err("it is too long".into());
        }
    }
    Ok(out)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }
    fn word(&mut self, want: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(want));
        self.at += usize::from(is);
        is
    }
    fn sign(&mut self, want: char) -> bool {
        let is = self.peek() == Some(&Token::Sign(want));
        self.at += usize::from(is);
        is
    }
    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err("it is nested too deeply".into()) } else { Ok(()) }
    }

    fn observations(&mut self) -> Result<Alternatives, String> {
        let mut all = self.observation()?;
        while self.word("OR") {
            all.extend(self.observation()?);
            bounded(&all)?;
        }
        Ok(all)
    }

    fn observation(&mut self) -> Result<Alternatives, String> {
        self.deeper()?;
        let (inner, close) = if self.sign('[') {
            (self.any()?, ']')
        } else if self.sign('(') {
            (self.observations()?, ')')
        } else {
            return Err("an observation in [ ] is missing".into());
        };
        if !self.sign(close) {
            return Err(match self.peek() {
                Some(Token::Word(w)) => format!("{w} relates several events"),
                _ => format!("{close} is missing"),
            });
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn any(&mut self) -> Result<Alternatives, String> {
        let mut all = self.every()?;
        while self.word("OR") {
            all.extend(self.every()?);
            bounded(&all)?;
        }
        Ok(all)
    }

    fn every(&mut self) -> Result<Alternatives, String> {
        let mut all = self.comparison()?;
        while self.word("AND") {
            let more = self.comparison()?;
            if all.len().saturating_mul(more.len()) > ALTERNATIVES_MAX {
                return Err("it has too many alternatives".into());
            }
            all = all.iter().flat_map(|a| more.iter().map(|b| a.iter().chain(b).cloned().collect())).collect();
            if all.iter().any(|a: &Vec<_>| a.len() > NEEDS_MAX) {
                return Err(format!("it asks for more than {NEEDS_MAX} values in one event"));
            }
        }
        Ok(all)
    }

    fn comparison(&mut self) -> Result<Alternatives, String> {
        if self.sign('(') {
            self.deeper()?;
            let inner = self.any()?;
            self.depth -= 1;
            return if self.sign(')') { Ok(inner) } else { Err(") is missing".into()) };
        }
        let path = match self.peek() {
            Some(Token::Word(w)) if w.eq_ignore_ascii_case("NOT") => {
                return Err("NOT is not taken: an indicator names what is there".into());
            }
            Some(Token::Word(w)) if w.contains(':') => w.clone(),
            _ => return Err("a comparison is missing".into()),
        };
        self.at += 1;
        let read = reader(&path).ok_or_else(|| format!("{path} is none of the values that are looked for"))?;
        let mut values = Vec::new();
        if self.word("IN") {
            if !self.sign('(') {
                return Err("( is missing after IN".into());
            }
            loop {
                values.push(self.text()?);
                if !self.sign(',') {
                    break;
                }
            }
            if !self.sign(')') {
                return Err(") is missing after IN".into());
            }
        } else if self.sign('=') || self.word("ISSUBSET") {
            values.push(self.text()?);
        } else {
            return Err(match self.peek() {
                Some(Token::Other(w) | Token::Word(w)) => format!("{w} is not taken; only =, IN and ISSUBSET are"),
                _ => "an operator is missing".into(),
            });
        }
        let one = |v: String| read(&v).map(|o| vec![o]).map_err(|reason| format!("'{}': {reason}", crate::clean(&v, 80)));
        let all = values.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
        bounded(&all)?;
        Ok(all)
    }

    fn text(&mut self) -> Result<String, String> {
        match self.peek().cloned() {
            Some(Token::Text(t)) => {
                self.at += 1;
                Ok(t)
            }
            _ => Err("a text in quotes is missing".into()),
        }
    }
}

fn bounded(all: &Alternatives) -> Result<(), String> {
    if all.len() > ALTERNATIVES_MAX { Err("it has too many alternatives".into()) } else { Ok(()) }
}

type Reader = fn(&str) -> Result<Observable, &'static str>;

/// How the value of an object path is read.
fn reader(path: &str) -> Option<Reader> {
    let path = path.to_ascii_lowercase().replace('-', "");
    Some(match path.as_str() {
        "ipv4addr:value" | "ipv6addr:value" | "networktraffic:dst_ref.value" | "networktraffic:src_ref.value" => {
            |t| Observable::address(t).or_else(|e| if t.contains(char::is_alphabetic) { Observable::domain(t) } else { Err(e) })
        }
        "domainname:value" => Observable::domain,
        "url:value" => Observable::url,
        "emailaddr:value" | "emailmessage:from_ref.value" | "emailmessage:sender_ref.value" => Observable::email,
        "file:hashes.md5"
        | "file:hashes.sha1"
        | "file:hashes.sha256"
        | "artifact:hashes.md5"
        | "artifact:hashes.sha1"
        | "artifact:hashes.sha256" => Observable::hash,
        _ => return None,
    })
}
