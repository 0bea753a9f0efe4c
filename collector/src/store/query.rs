//! The one-line query language of console, API and command line.
//!
//! ```text
//! sector:power severity>=high src:10.0.0.0/8 "free text" since:2h not host:web* (user:root or user:admin) port:22,3389 cmd~"nc -e"
//! ```
//! Terms side by side must all hold; `or`, `not` (also `-`, `!`) and parentheses do the rest. `field:value` compares without regard to case;
//! `*` and `?` in a bare value are wildcards, `field:*` asks whether it is there, `a,b` is any of, `1..9` a range, `10.0.0.0/8` a network,
//! `~` contains. `since`, `until` (`2h`, `2026-11-23`, RFC 3339), `limit` and `id` say which rows. Fields are OCSF paths, short names or
//! Chinese words (the table at the end); any other field name must stand in quotes. Full-width punctuation counts as its ASCII form.
//! Bounds: `CHARS_MAX` characters, `filter::TESTS_MAX` terms, nesting `DEPTH_MAX`.

use event::{Field, Kind, SECOND_NS, Severity, Timestamp, field};

use super::events::PAGE_MAX;
use super::filter::{Filter, Header, Key, Network, TESTS_MAX, Test, fold};
use super::{Query, QueryError as Error};

pub const CHARS_MAX: usize = 4_096;
const DEPTH_MAX: usize = 32;

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}{}", suggestion.as_ref().map(|s| format!(" (did you mean '{s}'?)")).unwrap_or_default())]
pub struct QueryError {
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    /// The same in Chinese.
    pub message_zh: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Reads a query; `now` is what `since:2h` counts back from.
pub fn parse_query(text: &str, now: Timestamp) -> Result<Query, QueryError> {
    let chars: Vec<char> = text.chars().take(CHARS_MAX + 1).collect();
    if chars.len() > CHARS_MAX {
        return Err(fault(CHARS_MAX, format!("a query has at most {CHARS_MAX} characters"), format!("查询最多 {CHARS_MAX} 个字符")));
    }
    let mut parser = Parser { chars, at: 0, now, depth: 0, terms: 0, query: Query::default() };
    let filter = parser.either()?;
    parser.blank();
    if parser.at < parser.chars.len() {
        return Err(fault(parser.at, "unexpected ')': no '(' is open", "多余的右括号 )，前面没有对应的左括号"));
    }
    parser.query.filter = filter;
    if parser.query.from >= parser.query.to {
        return Err(fault(0, "'since' is not before 'until': no time is left to look at", "since 不早于 until，没有可查的时间段"));
    }
    Ok(parser.query)
}

/// The short names of fields, for help and completion: (name, fields).
pub fn aliases() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    ALIASES.iter().flat_map(|a| a.words.iter().map(|w| (*w, a.keys.iter().map(|k| k.key().name().to_owned()).collect())))
}

fn fault(at: usize, message: impl Into<String>, message_zh: impl Into<String>) -> Error {
    Error { column: at + 1, message: message.into(), message_zh: message_zh.into(), suggestion: None }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    now: Timestamp,
    depth: usize,
    terms: usize,
    query: Query,
}

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Is,
    IsNot,
    Has,
    More,
    MoreOrSame,
    Less,
    LessOrSame,
}

/// A word as written: bare ones may hold wildcards.
struct Word {
    text: String,
    quoted: bool,
    at: usize,
}

impl Parser {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).map(|c| ascii(*c))
    }

    fn blank(&mut self) {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn either(&mut self) -> Result<Filter, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(fault(self.at, format!("nested deeper than {DEPTH_MAX}"), format!("嵌套超过 {DEPTH_MAX} 层")));
        }
        let mut any = vec![self.all()?];
        while self.keyword("or") || self.keyword("||") {
            any.push(self.all()?);
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
    }

    fn all(&mut self) -> Result<Filter, Error> {
        let mut filter = Filter::All;
        let mut wanted = false;
        loop {
            self.blank();
            if self.at >= self.chars.len() || self.peek(0) == Some(')') || self.is_keyword("or") || self.is_keyword("||") {
                if wanted {
                    return Err(fault(self.at, "something must follow 'and'", "and 之后缺少条件"));
                }
                return Ok(filter);
            }
            filter = filter.and(self.one()?);
            wanted = self.keyword("and") || self.keyword("&&");
        }
    }

    fn one(&mut self) -> Result<Filter, Error> {
        self.blank();
        let at = self.at;
        if self.keyword("not") || self.sign() {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(fault(at, format!("nested deeper than {DEPTH_MAX}"), format!("嵌套超过 {DEPTH_MAX} 层")));
            }
            self.blank();
            if self.at >= self.chars.len() {
                return Err(fault(self.at, "something must follow 'not'", "not 之后缺少条件"));
            }
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(inner)));
        }
        if self.peek(0) == Some('(') {
            self.at += 1;
            let inner = self.either()?;
            self.blank();
            if self.peek(0) != Some(')') {
                return Err(fault(at, "this '(' is not closed", "此左括号 ( 没有闭合"));
            }
            self.at += 1;
            return Ok(inner);
        }
        if self.peek(0) == Some(')') {
            return Err(fault(at, "a condition is missing before ')'", "右括号 ) 之前缺少条件"));
        }
        self.terms += 1;
        if self.terms > TESTS_MAX {
            return Err(fault(at, format!("more than {TESTS_MAX} conditions"), format!("条件超过 {TESTS_MAX} 个")));
        }
        self.term()
    }

    /// `-` or `!` right before a term.
    fn sign(&mut self) -> bool {
        let yes = matches!(self.peek(0), Some('-' | '!')) && self.peek(1).is_some_and(|c| !c.is_whitespace() && c != '=');
        if yes {
            self.at += 1;
        }
        yes
    }

    fn is_keyword(&self, word: &str) -> bool {
        let fits = word.chars().enumerate().all(|(n, w)| self.peek(n).is_some_and(|c| c.eq_ignore_ascii_case(&w)));
        fits && self.peek(word.len()).is_none_or(|c| c.is_whitespace() || c == '(' || c == ')' || !word.starts_with(char::is_alphabetic))
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.blank();
        let yes = self.is_keyword(word);
        if yes {
            self.at += word.len();
        }
        yes
    }

    fn term(&mut self) -> Result<Filter, Error> {
        let name = self.name()?;
        let op_at = self.at;
        let Some(op) = self.op() else {
            if name.text.is_empty() {
                let odd = self.peek(0).unwrap_or(' ');
                return Err(fault(name.at, format!("'{odd}' cannot stand here"), format!("此处不能出现“{odd}”")));
            }
            return Ok(Filter::Text(fold(name.text.trim_matches('*'))));
        };
        if name.text.is_empty() {
            return Err(fault(op_at, "a field name is missing before this", "此处之前缺少字段名"));
        }
        let mut words = vec![self.word()?];
        while self.peek(0) == Some(',') {
            self.at += 1;
            words.push(self.word()?);
            self.terms += 1;
            if self.terms > TESTS_MAX {
                return Err(fault(self.at, format!("more than {TESTS_MAX} values"), format!("取值超过 {TESTS_MAX} 个")));
            }
        }
        if !name.quoted
            && let Some(filter) = self.setting(&name, op, &words)?
        {
            return Ok(filter);
        }
        let keys = resolve(&name)?;
        if words.len() > 1 && !matches!(op, Op::Is | Op::IsNot | Op::Has) {
            return Err(fault(op_at, "a comparison takes one value", "比较只能带一个取值"));
        }
        let mut any: Vec<Filter> = Vec::new();
        for key in &keys {
            let mut set = std::collections::BTreeSet::new();
            for word in &words {
                match test(key, op, word)? {
                    Test::Eq(text) if words.len() > 1 => {
                        set.insert(text);
                    }
                    test => any.push(Filter::Is(key.clone(), test)),
                }
            }
            if !set.is_empty() {
                any.push(Filter::Is(key.clone(), Test::In(set)));
            }
        }
        let filter = if any.len() == 1 { any.remove(0) } else { Filter::Or(any) };
        Ok(if op == Op::IsNot { Filter::Not(Box::new(filter)) } else { filter })
    }

    /// `since`, `until`, `limit`, `id`, `has`: terms that are no field.
    fn setting(&mut self, name: &Word, op: Op, words: &[Word]) -> Result<Option<Filter>, Error> {
        let word = match fold(&name.text).as_str() {
            "since" | "last" | "自" | "起" | "最近" => "since",
            "until" | "before" | "止" | "至" => "until",
            "limit" | "条数" => "limit",
            "id" | "编号" => "id",
            "has" | "有" => "has",
            _ => return Ok(None),
        };
        let [value] = words else {
            return Err(fault(name.at, format!("'{word}' takes one value"), format!("“{word}”只能带一个取值")));
        };
        if op != Op::Is {
            return Err(fault(name.at, format!("write '{word}:{}'", value.text), format!("请写成 {word}:{}", value.text)));
        }
        match word {
            "since" => self.query.from = instant(value, self.now)?,
            "until" => self.query.to = instant(value, self.now)?,
            "limit" => {
                let limit = value.text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n));
                self.query.limit = limit.ok_or_else(|| {
                    let text = &value.text;
                    fault(value.at, format!("'{text}' is not a number from 1 to {PAGE_MAX}"), format!("“{text}”不是 1 至 {PAGE_MAX} 的数"))
                })?;
            }
            "has" => {
                let keys = resolve(value)?;
                let mut any: Vec<_> = keys.into_iter().map(|k| Filter::Is(k, Test::Exists)).collect();
                return Ok(Some(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) }));
            }
            _ => {
                let id = value.text.parse();
                let id = id.map_err(|e: event::IdError| fault(value.at, e.to_string(), format!("“{}”不是事件编号", value.text)))?;
                return Ok(Some(Filter::Ids(vec![id])));
            }
        }
        Ok(Some(Filter::All))
    }

    fn op(&mut self) -> Option<Op> {
        let (op, length) = match (self.peek(0)?, self.peek(1)) {
            (':', _) | ('=', _) => (Op::Is, 1),
            ('!', Some('=' | ':')) => (Op::IsNot, 2),
            ('>', Some('=')) => (Op::MoreOrSame, 2),
            ('<', Some('=')) => (Op::LessOrSame, 2),
            ('≥', _) => (Op::MoreOrSame, 1),
            ('≤', _) => (Op::LessOrSame, 1),
            ('>', _) => (Op::More, 1),
            ('<', _) => (Op::Less, 1),
            ('~', _) => (Op::Has, 1),
            _ => return None,
        };
        self.at += length;
        Some(op)
    }

    /// What stands before an operator, or a free text.
    fn name(&mut self) -> Result<Word, Error> {
        self.part(|c| c.is_whitespace() || matches!(c, ':' | '=' | '!' | '>' | '<' | '~' | '≥' | '≤' | '(' | ')' | '"' | ','))
    }

    fn word(&mut self) -> Result<Word, Error> {
        self.blank();
        let word = self.part(|c| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '"'))?;
        if word.text.is_empty() && !word.quoted {
            return Err(fault(word.at, "a value is missing here", "此处缺少取值"));
        }
        Ok(word)
    }

    fn part(&mut self, ends: impl Fn(char) -> bool) -> Result<Word, Error> {
        let at = self.at;
        if self.peek(0) == Some('"') {
            return self.quoted();
        }
        let mut text = String::new();
        while let Some(c) = self.peek(0).filter(|c| !ends(*c)) {
            // Only punctuation is taken as its ASCII form: what a word says stays as written.
            text.push(if c == '\\' { c } else { self.chars.get(self.at).copied().unwrap_or(c) });
            self.at += 1;
        }
        Ok(Word { text, quoted: false, at })
    }

    fn quoted(&mut self) -> Result<Word, Error> {
        let at = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek(0) {
                None => return Err(fault(at, "this quotation mark is not closed", "此引号没有闭合")),
                Some('"') => {
                    self.at += 1;
                    return Ok(Word { text, quoted: true, at });
                }
                Some('\\') if matches!(self.peek(1), Some('"' | '\\')) => {
                    text.extend(self.chars.get(self.at + 1));
                    self.at += 2;
                }
                Some(_) => {
                    text.extend(self.chars.get(self.at));
                    self.at += 1;
                }
            }
        }
    }
}

/// Full-width and typographic punctuation as its ASCII form.
fn ascii(c: char) -> char {
    match c {
        '：' => ':',
        '（' => '(',
        '）' => ')',
        '，' | '、' => ',',
        '“' | '”' | '＂' => '"',
        '！' => '!',
        '＝' => '=',
        '＞' => '>',
        '＜' => '<',
        '～' => '~',
        '\u{3000}' => ' ',
        c => c,
    }
}

fn instant(word: &Word, now: Timestamp) -> Result<Timestamp, Error> {
    let bad = || {
        fault(
            word.at,
            format!("'{}' is no time: write 30s, 15m, 2h, 7d, 2w back from now, 2026-11-23, or 2026-11-23T08:00:00+08:00", word.text),
            format!("“{}”不是时间：可写 30s、15m、2h、7d、2w（距今）、2026-11-23 或 2026-11-23T08:00:00+08:00", word.text),
        )
    };
    let text = word.text.trim();
    if let Some(unit) = text.chars().last().filter(|c| !c.is_ascii_digit())
        && let Ok(count) = text[..text.len() - unit.len_utf8()].parse::<i64>()
    {
        let seconds = match unit {
            's' | '秒' => 1,
            'm' | '分' => 60,
            'h' | '时' => 3_600,
            'd' | '天' | '日' => 86_400,
            'w' | '周' => 604_800,
            _ => return Err(bad()),
        };
        return Ok(now.minus_ns(count.saturating_mul(seconds).saturating_mul(SECOND_NS)));
    }
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))).ok_or_else(bad)
}

fn test(key: &Key, op: Op, word: &Word) -> Result<Test, Error> {
    let text = word.text.as_str();
    if matches!(key, Key::Header(Header::Severity)) {
        return severity(op, word);
    }
    let number = || {
        text.parse::<f64>()
            .ok()
            .filter(|x| x.is_finite())
            .ok_or_else(|| fault(word.at, format!("'{text}' is not a number"), format!("“{text}”不是数")))
    };
    Ok(match op {
        Op::More => Test::Range { min: Some(above(number()?)), max: None },
        Op::MoreOrSame => Test::Range { min: Some(number()?), max: None },
        Op::Less => Test::Range { min: None, max: Some(below(number()?)) },
        Op::LessOrSame => Test::Range { min: None, max: Some(number()?) },
        Op::Has => Test::Contains(fold(text)),
        Op::Is | Op::IsNot => equal(key, word)?,
    })
}

fn equal(key: &Key, word: &Word) -> Result<Test, Error> {
    let text = word.text.as_str();
    if word.quoted {
        return Ok(Test::Eq(fold(text)));
    }
    if matches!(key, Key::Header(Header::ClassName)) && !text.contains(['*', '?']) {
        let names: Vec<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        if !names.contains(&fold(text).as_str()) {
            return Err(Error {
                suggestion: nearest(text, names.into_iter()),
                ..fault(word.at, format!("'{text}' is no event class"), format!("“{text}”不是事件类别"))
            });
        }
    }
    if let Some((min, max)) = text.split_once("..")
        && let (Ok(min), Ok(max)) = (min.parse::<f64>(), max.parse::<f64>())
    {
        return Ok(Test::Range { min: Some(min), max: Some(max) });
    }
    if let Some(net) = Network::parse(text) {
        return Ok(Test::Net(net));
    }
    if text == "*" {
        return Ok(Test::Exists);
    }
    if text.contains('?') {
        return Ok(Test::Glob(fold(text)));
    }
    let inner = text.trim_matches('*');
    Ok(match (text.starts_with('*'), text.ends_with('*')) {
        _ if inner.contains('*') => Test::Glob(fold(text)),
        (true, true) => Test::Contains(fold(inner)),
        (true, false) => Test::Suffix(fold(inner)),
        (false, true) => Test::Prefix(fold(inner)),
        // An address is compared in its shortest form, as it is stored.
        (false, false) => Test::Eq(text.parse::<std::net::IpAddr>().map_or_else(|_| fold(text), |ip| ip.to_string())),
    })
}

fn severity(op: Op, word: &Word) -> Result<Test, Error> {
    let text = fold(&word.text);
    if text == "*" {
        return Ok(Test::Exists);
    }
    const WORDS: [(&str, Severity); 12] = [
        ("informational", Severity::Informational),
        ("info", Severity::Informational),
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
        ("critical", Severity::Critical),
        ("信息", Severity::Informational),
        ("低", Severity::Low),
        ("中", Severity::Medium),
        ("高", Severity::High),
        ("严重", Severity::Critical),
        ("紧急", Severity::Critical),
    ];
    let level = WORDS.iter().find(|w| w.0 == text).map(|w| w.1).or_else(|| text.parse().ok().and_then(Severity::from_u8));
    let Some(level) = level else {
        let message = format!("'{}' is no severity (informational, low, medium, high, critical, or 1 to 5)", word.text);
        let message_zh = format!("“{}”不是级别（informational、low、medium、high、critical 或 1 至 5）", word.text);
        return Err(Error { suggestion: nearest(&text, WORDS.iter().map(|w| w.0)), ..fault(word.at, message, message_zh) });
    };
    let level = f64::from(level as u8);
    Ok(match op {
        Op::More => Test::Range { min: Some(level + 1.0), max: None },
        Op::MoreOrSame => Test::Range { min: Some(level), max: None },
        Op::Less => Test::Range { min: None, max: Some(level - 1.0) },
        Op::LessOrSame => Test::Range { min: None, max: Some(level) },
        Op::Is | Op::IsNot | Op::Has => Test::Range { min: Some(level), max: Some(level) },
    })
}

/// The next number up or down: strict comparisons as ranges with both ends in.
fn above(x: f64) -> f64 {
    x.next_up()
}
fn below(x: f64) -> f64 {
    x.next_down()
}

/// The fields a name stands for.
fn resolve(name: &Word) -> Result<Vec<Key>, Error> {
    if name.quoted {
        return Ok(vec![Key::from(name.text.as_str())]);
    }
    let folded = fold(&name.text);
    if let Some(alias) = ALIASES.iter().find(|a| a.words.contains(&folded.as_str())) {
        return Ok(alias.keys.iter().map(Target::key).collect());
    }
    if let Some(header) = Header::ALL.into_iter().find(|h| h.name() == folded) {
        return Ok(vec![header.into()]);
    }
    if let Some(field) = Field::from_name(&folded) {
        return Ok(vec![field.into()]);
    }
    let words = ALIASES.iter().flat_map(|a| a.words.iter().copied());
    let names =
        words.chain(["since", "until", "limit", "id", "has"]).chain(Field::all().map(Field::name)).chain(Header::ALL.map(Header::name));
    Err(Error {
        suggestion: nearest(&folded, names),
        ..fault(
            name.at,
            format!("no field '{}'; a name that is not in the field table must stand in quotes", name.text),
            format!("没有字段“{}”；字段表以外的名称须加引号", name.text),
        )
    })
}

/// The most similar word, if it is similar enough to be meant.
fn nearest<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> Option<String> {
    let word: Vec<char> = word.chars().take(64).collect();
    let limit = (word.len() / 3).max(1);
    all.map(|w| (distance(&word, w), w)).filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, w)| w.to_owned())
}

/// Edits from one word to the other: change, insert, remove, swap of neighbours.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

enum Target {
    Body(Field),
    Head(Header),
}

impl Target {
    fn key(&self) -> Key {
        match self {
            Self::Body(f) => (*f).into(),
            Self::Head(h) => (*h).into(),
        }
    }
}

struct Alias {
    words: &'static [&'static str],
    keys: &'static [Target],
}

macro_rules! aliases {
    ($([$($word:literal),*] => [$($kind:ident $what:expr),*];)*) => {
        &[$(Alias { words: &[$($word),*], keys: &[$(Target::$kind($what)),*] }),*]
    };
}

/// Short names; several fields mean any of them.
const ALIASES: &[Alias] = aliases! {
    ["src", "source", "源", "源地址", "攻击源"] => [Body field::SRC_IP];
    ["dst", "dest", "target", "目的", "目的地址", "目标", "目标地址"] => [Body field::DST_IP];
    ["ip", "address", "地址"] => [Body field::SRC_IP, Body field::DST_IP, Body field::DEVICE_IP];
    ["sport", "源端口"] => [Body field::SRC_PORT];
    ["dport", "目的端口", "目标端口"] => [Body field::DST_PORT];
    ["port", "端口"] => [Body field::DST_PORT, Body field::SRC_PORT];
    ["mac"] => [Body field::SRC_MAC, Body field::DST_MAC, Body field::ARP_SENDER_MAC];
    ["host", "主机"] => [Body field::DEVICE_HOSTNAME];
    ["user", "用户", "账号"] => [Body field::USER_NAME, Body field::ACTOR_USER, Body field::PROCESS_USER];
    ["unit", "单位"] => [Body field::UNIT_ID, Body field::UNIT_NAME];
    ["sector", "行业", "领域"] => [Body field::UNIT_SECTOR];
    ["importance", "重要程度"] => [Body field::OBJECT_IMPORTANCE];
    ["asset", "资产"] => [Body field::ASSET_ID];
    ["agent", "探针"] => [Head Header::Agent];
    ["lane"] => [Head Header::Lane];
    ["severity", "级别", "严重程度"] => [Head Header::Severity];
    ["class", "kind", "类别", "类型"] => [Head Header::ClassName];
    ["activity", "活动"] => [Head Header::Activity];
    ["product", "产品"] => [Head Header::Product];
    ["category"] => [Head Header::Category];
    ["service", "服务"] => [Head Header::Service];
    ["proto", "protocol", "协议"] => [Body field::PROTOCOL];
    ["state", "连接状态"] => [Body field::CONN_STATE];
    ["status", "结果"] => [Body field::STATUS_ID];
    ["disposition", "处置"] => [Body field::DISPOSITION];
    ["dns", "domain", "域名"] => [Body field::DNS_QUERY, Body field::TLS_SNI, Body field::HTTP_HOST];
    ["sni"] => [Body field::TLS_SNI];
    ["ja3"] => [Body field::TLS_JA3];
    ["ja4"] => [Body field::TLS_JA4];
    ["url", "网址"] => [Body field::HTTP_URL];
    ["method", "方法"] => [Body field::HTTP_METHOD];
    ["agent_string", "ua"] => [Body field::HTTP_USER_AGENT];
    ["cmd", "cmdline", "命令", "命令行"] => [Body field::PROCESS_CMD_LINE];
    ["process", "进程"] => [Body field::PROCESS_NAME];
    ["parent", "父进程"] => [Body field::PARENT_NAME];
    ["pid"] => [Body field::PROCESS_PID];
    ["file", "path", "文件", "路径"] => [Body field::FILE_PATH];
    ["hash", "sha256", "哈希"] => [Body field::FILE_SHA256, Body field::RESULT_SHA256];
    ["msg", "message", "消息"] => [Body field::MESSAGE];
    ["raw", "原文"] => [Body field::RAW_DATA];
    ["log", "日志"] => [Body field::LOG_PATH];
    ["program", "程序"] => [Body field::LOG_PROGRAM];
    ["anomaly", "异常"] => [Body field::ANOMALY_NAME];
};

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn read(text: &str) -> Query {
        parse_query(text, NOW).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn the_example_says_what_it_means() {
        let q = read("sector:power severity>=high src:10.0.0.1 \"Free Text\" since:2h not host:*");
        assert_eq!(q.from, NOW.minus_ns(7_200 * SECOND_NS));
        let want = Filter::And(vec![
            Filter::eq(field::UNIT_SECTOR, "power"),
            Filter::Is(Header::Severity.into(), Test::Range { min: Some(4.0), max: None }),
            Filter::eq(field::SRC_IP, "10.0.0.1"),
            Filter::text("free text"),
            Filter::Not(Box::new(Filter::exists(field::DEVICE_HOSTNAME))),
        ]);
        assert_eq!(q.filter, want);
        assert_eq!(read("行业：power 级别≥高 源地址:10.0.0.1 “Free Text” 自:2h not 主机:*"), q);
    }

    #[test]
    fn operators_lists_and_nesting() {
        let f = |t: &str| read(t).filter;
        assert_eq!(f("dport:22,3389"), Filter::any_of(field::DST_PORT, ["22", "3389"]));
        assert_eq!(f("dport:1..1024"), Filter::Is(field::DST_PORT.into(), Test::Range { min: Some(1.0), max: Some(1024.0) }));
        assert_eq!(f("src:10.0.0.0/8"), Filter::Is(field::SRC_IP.into(), Test::Net(Network::parse("10.0.0.0/8").unwrap())));
        assert_eq!(f("cmd~'x'"), Filter::contains(field::PROCESS_CMD_LINE, "'x'"));
        assert_eq!(f("cmd:\"a*b\""), Filter::eq(field::PROCESS_CMD_LINE, "a*b"));
        assert_eq!(f("src:0:0::1"), Filter::eq(field::SRC_IP, "::1"));
        assert_eq!(f("\"CommandLine\":x"), Filter::eq("CommandLine", "x"));
        assert_eq!(
            f("a or (b and -c)"),
            Filter::Or(vec![Filter::text("a"), Filter::And(vec![Filter::text("b"), Filter::Not(Box::new(Filter::text("c")))])])
        );
        assert_eq!(f("host!=a"), Filter::Not(Box::new(Filter::eq(field::DEVICE_HOSTNAME, "a"))));
        assert_eq!(
            f("origin notable android"),
            Filter::And(vec![Filter::text("origin"), Filter::text("notable"), Filter::text("android")])
        );
        assert_eq!(read("limit:7").limit, 7);
        assert_eq!(read("since:2026-11-23").from.to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(f(""), Filter::All);
    }

    #[test]
    fn errors_point_and_suggest() {
        for (text, column, part, suggestion) in [
            ("hots:a", 1, "no field 'hots'", Some("host")),
            ("a severity>=hihg", 13, "no severity", Some("high")),
            ("a (b", 3, "not closed", None),
            ("a b)", 4, "no '(' is open", None),
            ("host:", 6, "value is missing", None),
            ("\"abc", 1, "not closed", None),
            ("since:yesterday", 7, "is no time", None),
            ("not", 4, "must follow", None),
            ("dport>x", 7, "not a number", None),
            ("class:dns_activty", 7, "no event class", Some("dns_activity")),
            ("limit:0", 7, "not a number from", None),
            ("id:7", 4, "is not an id", None),
            ("主机:a 用沪:b", 6, "no field", Some("用户")),
            (">5", 1, "field name is missing", None),
        ] {
            let e = parse_query(text, NOW).expect_err(text);
            assert!(e.column == column && e.message.contains(part) && e.suggestion.as_deref() == suggestion, "{text}: {e:?}");
            assert!(!e.message_zh.is_ascii(), "{text}: {e:?}");
        }
        assert!(parse_query(&"(".repeat(2_000), NOW).is_err() && parse_query(&"-".repeat(2_000), NOW).is_err());
        assert!(parse_query(&"a ".repeat(3_000), NOW).is_err());
    }

    #[test]
    fn every_short_name_is_named_once() {
        let mut words: Vec<_> = ALIASES.iter().flat_map(|a| a.words).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }
}
