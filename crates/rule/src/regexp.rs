//! Regular expressions of the `re` modifier: PCRE as rules write it, run by the linear-time `regex` crate.
//!
//! The crate's language differs from PCRE where PCRE is lenient; those places are rewritten so that the meaning stays:
//! a `{` that begins no quantifier is itself, `[`, `&&`, `--`, `~~` inside a class are themselves, `\<`, `\>` are `<`, `>`,
//! `\Z` and `$` also stand before a last line end. What cannot be run in linear time (look-around, back-references, atomic
//! groups, possessive quantifiers) is refused by name, never approximated. The compiled size is limited.

use regex::{Regex, RegexBuilder};

use crate::literal;

/// Bytes one compiled expression may take; the largest of the public rules needs a tenth.
const SIZE_MAX: usize = 4 << 20;
const LENGTH_MAX: usize = 16 * 1024;

/// A compiled expression, and the texts of which it needs at least one.
#[derive(Debug)]
pub(crate) struct Expression {
    regex: Regex,
    pub needed: Option<Vec<String>>,
}

impl Expression {
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

pub(crate) fn compile(pattern: &str, ignore_case: bool, multi_line: bool, dot_all: bool) -> Result<Expression, String> {
    if pattern.len() > LENGTH_MAX {
        return Err(format!("the expression has {} bytes, more than {LENGTH_MAX}", pattern.len()));
    }
    let rewritten = rewrite(pattern, multi_line)?;
    let regex = RegexBuilder::new(&rewritten)
        .case_insensitive(ignore_case)
        .multi_line(multi_line)
        .dot_matches_new_line(dot_all)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX / 2)
        .nest_limit(100)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => format!("the expression needs more than {} MiB when compiled", SIZE_MAX >> 20),
            e => {
                let text = e.to_string();
                let last = text.lines().rev().find_map(|l| l.strip_prefix("error: ")).unwrap_or("not a regular expression");
                format!("not a regular expression: {last}")
            }
        })?;
    Ok(Expression { regex, needed: literal::needed(&rewritten, ignore_case, multi_line, dot_all) })
}

fn rewrite(pattern: &str, multi_line: bool) -> Result<String, String> {
    // An inline flag may make `$` mean the end of a line; then it is left alone.
    let own_dollar = multi_line || has_inline_m(pattern);
    let chars: Vec<char> = pattern.chars().collect();
    let at = |n: usize| chars.get(n).copied();
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut n = 0;
    let mut in_class = false;
    let mut after_quantifier = false;
    while let Some(c) = at(n) {
        let mut quantifier = false;
        match c {
            '\\' => {
                let next = at(n + 1);
                match next {
                    Some('1'..='9') | Some('g' | 'k') if !in_class => return Err("back-references are not supported".into()),
                    Some('Z') => out.push_str(r"(?:\n?\z)"),
                    Some('h') => out.push_str(if in_class { r"\t\x20" } else { r"[\t\x20]" }),
                    Some('e') => out.push_str(r"\x1b"),
                    Some('Q' | 'E' | 'K' | 'G' | 'R' | 'X' | 'C' | 'N' | 'H' | 'V') => {
                        return Err(format!("the escape \\{} of PCRE is not supported", next.unwrap_or(' ')));
                    }
                    Some(l @ ('<' | '>')) => out.push(l),
                    // PCRE takes an escaped character without a meaning of its own for that character.
                    Some(l) if !l.is_ascii() => out.push(l),
                    Some(l) => {
                        out.push('\\');
                        out.push(l);
                        if matches!(l, 'x' | 'p' | 'P') && at(n + 2) == Some('{') {
                            // Copy \x{…} and \p{…} whole.
                            n += 2;
                            while let Some(b) = at(n) {
                                out.push(b);
                                if b == '}' {
                                    break;
                                }
                                n += 1;
                            }
                            n = n.saturating_sub(1);
                        }
                    }
                    None => return Err("the expression ends in a lone backslash".into()),
                }
                n += 1;
            }
            '[' if in_class => {
                if at(n + 1) == Some(':') && chars.get(n + 2..).is_some_and(|r| r.windows(2).any(|w| w == [':', ']'])) {
                    // A POSIX class: copied up to its end.
                    while let Some(b) = at(n) {
                        out.push(b);
                        if b == ':' && at(n + 1) == Some(']') && !out.ends_with("[:") {
                            break;
                        }
                        n += 1;
                    }
                    out.push(']');
                    n += 1;
                } else {
                    out.push_str(r"\[");
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
                if at(n + 1) == Some('^') {
                    out.push('^');
                    n += 1;
                }
                if at(n + 1) == Some(']') {
                    out.push_str(r"\]");
                    n += 1;
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            // `--` would be a difference of classes: the second (or, at the beginning, the first) dash is meant as itself.
            '-' if in_class && out.ends_with(['[', '^']) => out.push_str(r"\-"),
            '-' if in_class && at(n + 1) == Some('-') => {
                out.push_str(r"-\-");
                n += 1;
            }
            c if in_class => out.push(c),
            '(' if at(n + 1) == Some('?') => {
                match (at(n + 2), at(n + 3)) {
                    (Some('=' | '!'), _) | (Some('<'), Some('=' | '!')) => return Err("look-around is not supported".into()),
                    (Some('>'), _) => return Err("atomic groups are not supported".into()),
                    (Some('('), _) => return Err("conditional groups are not supported".into()),
                    (Some('R' | '0'..='9' | '&'), _) => return Err("recursion is not supported".into()),
                    (Some('#'), _) => return Err("comments inside an expression are not supported".into()),
                    _ => {}
                }
                out.push_str("(?");
                n += 1;
            }
            '{' => match quantifier_end(&chars, n) {
                Some(end) => {
                    if out.is_empty() {
                        return Err("a quantifier has nothing to repeat".into());
                    }
                    out.extend(chars.get(n..=end).unwrap_or_default());
                    n = end;
                    quantifier = true;
                }
                None => out.push_str(r"\{"),
            },
            '}' => out.push_str(r"\}"),
            '+' if after_quantifier => return Err("possessive quantifiers are not supported".into()),
            '*' | '+' | '?' => {
                out.push(c);
                quantifier = !after_quantifier;
            }
            '$' if !own_dollar => out.push_str(r"(?:\n?\z)"),
            c => out.push(c),
        }
        after_quantifier = quantifier;
        n += 1;
    }
    if in_class {
        return Err("a character class is not closed".into());
    }
    Ok(out)
}

/// The index of the closing brace if a `{n}`, `{n,}` or `{n,m}` begins at `from`.
fn quantifier_end(chars: &[char], from: usize) -> Option<usize> {
    let len = chars.get(from + 1..)?.iter().take(16).position(|c| *c == '}')?;
    let inner = chars.get(from + 1..from + 1 + len)?;
    let (digits, rest) = inner.split_at(inner.iter().position(|c| !c.is_ascii_digit()).unwrap_or(inner.len()));
    let rest_fits = match rest.split_first() {
        None => true,
        Some((',', tail)) => tail.iter().all(char::is_ascii_digit),
        Some(_) => false,
    };
    (!digits.is_empty() && rest_fits).then_some(from + 1 + len)
}

fn has_inline_m(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|rest| rest.chars().take_while(char::is_ascii_alphabetic).any(|c| c == 'm'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, text: &str) -> bool {
        compile(pattern, false, false, false).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(text)
    }

    #[test]
    fn lenient_pcre_keeps_its_meaning() {
        assert!(hit(r"\${jndi", "${jndi:ldap") && hit("{echo,", "{echo,x") && hit("a{,3}", "a{,3}") && hit("^a{2}$", "aa"));
        assert!(hit(r"[[]x", "[x") && hit(r"[a&&b]", "&") && hit("[+--]", "-") && hit("[]x]", "]") && hit("[^]x]", "y"));
        assert!(hit(r"\<a\>", "<a>") && hit(r"\/bin\/sh", "/bin/sh") && hit(r"\-x", "-x") && hit("[[:digit:]a]+z", "1az"));
        assert!(hit("foo$", "foo\n") && !hit("foo$", "foo\nbar") && hit(r"x\x{41}", "xA") && hit(r"\p{Lu}", "É"));
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        for (pattern, word) in [
            ("(?=a)", "look-around"),
            ("(?<!a)b", "look-around"),
            (r"(a)\1", "back-references"),
            ("(?>a)", "atomic"),
            ("a++", "possessive"),
            ("a{2}+", "possessive"),
            ("[a", "not closed"),
            ("a(", "unclosed group"),
            ("(?:a{500}){500}", "MiB"),
            ("*", "repetition"),
        ] {
            let error = compile(pattern, false, false, false).unwrap_err();
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }

    #[test]
    fn flags() {
        assert!(compile("^b", false, true, false).unwrap().is_match("a\nb"));
        assert!(compile("a.b", false, false, true).unwrap().is_match("a\nb"));
        assert!(!hit("a.b", "a\nb") && !hit("A", "a"));
        assert!(compile("A", true, false, false).unwrap().is_match("a"));
        assert!(compile("b$", false, true, false).unwrap().is_match("b\nc"));
    }
}
