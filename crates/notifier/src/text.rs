//! What a message looks like to a person: subject, plain text, HTML, Markdown, in Chinese and English, in local time.
//!
//! The level is always said in words (红, 橙, 黄, 蓝), a drill is always marked 演练 EXERCISE, a test 测试 TEST: colour and place can get lost on
//! the way, words cannot. The other language follows the recipient's own where there is room.

use event::Timestamp;
use matter::{Both, Message};
use warning::grade::Level;

use crate::Letter;

/// Time of day for people: a fixed distance from UTC (China has had one zone and no summer time since 1992).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    pub offset_s: i32,
}

impl Zone {
    pub const BEIJING: Self = Self { offset_s: 8 * 3600 };

    /// `+08:00`, `-03:30`, `Z`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "Z" {
            return Some(Self { offset_s: 0 });
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let two = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i32>().ok()).flatten();
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (hours <= 14 && minutes <= 59).then_some(Self { offset_s: sign * (hours * 3600 + minutes * 60) })
    }

    fn digits(self) -> String {
        let (sign, s) = if self.offset_s < 0 { ('-', -self.offset_s) } else { ('+', self.offset_s) };
        format!("{sign}{:02}:{:02}", s / 3600, s / 60 % 60)
    }

    /// `2026-11-23T16:00:00+08:00`, to the second.
    pub fn rfc3339(self, time: Timestamp) -> String {
        format!("{}{}", self.local(time), self.digits())
    }

    /// `2026-11-23 16:00:00 +08:00`.
    pub fn people(self, time: Timestamp) -> String {
        format!("{} {}", self.local(time).replace('T', " "), self.digits())
    }

    /// `Mon, 23 Nov 2026 16:00:00 +0800` (RFC 5322).
    pub fn mail(self, time: Timestamp) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let local = self.local(time);
        let day = (time.secs() + i64::from(self.offset_s)).div_euclid(86_400).rem_euclid(7);
        let part = |from: usize, to: usize| local.get(from..to).unwrap_or("00").to_owned();
        let month = part(5, 7).parse::<usize>().unwrap_or(1);
        format!(
            "{}, {} {} {} {} {}",
            DAYS.get(usize::try_from(day).unwrap_or(0)).unwrap_or(&"Thu"),
            part(8, 10),
            MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"Jan"),
            part(0, 4),
            part(11, 19),
            self.digits().replace(':', "")
        )
    }

    /// Minute of the day, 0 to 1439.
    pub fn minute(self, time: Timestamp) -> u32 {
        u32::try_from((time.secs() + i64::from(self.offset_s)).rem_euclid(86_400) / 60).unwrap_or(0)
    }

    fn local(self, time: Timestamp) -> String {
        let mut text = Timestamp::from_secs(time.secs().saturating_add(i64::from(self.offset_s))).to_string();
        text.truncate(text.len().saturating_sub(1));
        text
    }
}

/// 红 RED, 橙 ORANGE, 黄 YELLOW, 蓝 BLUE.
pub const fn level_words(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Red => ("红", "RED"),
        Level::Orange => ("橙", "ORANGE"),
        Level::Yellow => ("黄", "YELLOW"),
        Level::Blue => ("蓝", "BLUE"),
    }
}

/// For screens. The word stands beside it always.
pub const fn level_colour(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Red) => "#c1121f",
        Some(Level::Orange) => "#c25700",
        Some(Level::Yellow) => "#8a6d00",
        Some(Level::Blue) => "#1d5fbf",
        None => "#555555",
    }
}

/// `[测试 TEST] [演练 EXERCISE] [红 RED] `.
pub fn marks(level: Option<Level>, exercise: bool, test: bool) -> String {
    let mut out = String::new();
    if test {
        out.push_str("[测试 TEST] ");
    }
    if exercise {
        out.push_str("[演练 EXERCISE] ");
    }
    if let Some(level) = level {
        let (zh, en) = level_words(level);
        out.push_str(&format!("[{zh} {en}] "));
    }
    out
}

/// The line a recipient sees first.
pub fn subject(letter: &Letter) -> String {
    let (level, exercise) = (level_of(letter), letter.messages.iter().any(|m| m.exercise));
    let marks = marks(level, exercise, letter.test);
    let title = letter.messages.first().map(|m| line(m.title.pick(letter.zh))).unwrap_or_default();
    let count = letter.messages.len() + letter.more;
    match (count, letter.zh) {
        (0 | 1, _) => format!("{marks}{title}"),
        (n, true) => format!("{marks}{n} 条通知：{title} 等"),
        (n, false) => format!("{marks}{n} notices: {title} and others"),
    }
}

/// The most serious of what a letter carries.
pub fn level_of(letter: &Letter) -> Option<Level> {
    letter.messages.iter().filter_map(|m| m.level).max()
}

/// Labelled parts of one message, in the order they are read: what, whom it concerns, what to do, by when, from whom.
pub fn parts(message: &Message, zh: bool, zone: Zone) -> Vec<(&'static str, Vec<String>)> {
    let mut out: Vec<(&'static str, Vec<String>)> = Vec::new();
    let mut add = |label: (&'static str, &'static str), lines: Vec<String>| {
        let lines: Vec<String> = lines.into_iter().filter(|l| !l.trim().is_empty()).collect();
        if !lines.is_empty() {
            out.push((if zh { label.0 } else { label.1 }, lines));
        }
    };
    let both = |b: &Both| vec![b.pick(zh).to_owned()];
    add(("内容", "What"), both(&message.text));
    add(("时间", "Time"), vec![zone.people(message.time)]);
    if let Some(level) = message.level {
        let (word_zh, word_en) = level_words(level);
        add(("级别", "Level"), vec![format!("{word_zh} {word_en}")]);
    }
    if let Some(r) = &message.revision {
        let n = &r.notice;
        add(("事件", "Event"), both(&n.event));
        add(("威胁方式", "Threat"), both(&n.threat));
        add(("涉及范围", "Scope"), both(&n.scope));
        add(("影响", "Impact"), both(&n.impact));
        add(("应采取的措施", "What to do"), n.measures.iter().map(|m| m.pick(zh).to_owned()).collect());
        add(
            ("签收时限", "Sign for it by"),
            vec![if r.receipt_s > 0 { zone.people(r.issued.plus_secs(i64::from(r.receipt_s))) } else { String::new() }],
        );
        add(
            ("反馈时限", "Feed back by"),
            vec![if r.feedback_s > 0 { zone.people(r.issued.plus_secs(i64::from(r.feedback_s))) } else { String::new() }],
        );
        add(("排查指标", "Look for"), n.indicators.iter().take(50).map(|i| format!("{} {}", i.r#type, i.value)).collect());
        add(("发布单位", "Issued by"), both(&r.issuer));
        add(("TLP", "TLP"), vec![r.tlp.name().to_uppercase()]);
        add(("编号", "Number"), vec![format!("{} r{} {}", r.warning, r.number, r.hash.get(..16).unwrap_or(&r.hash))]);
    }
    out
}

/// Plain text of the whole letter.
pub fn plain(letter: &Letter) -> String {
    let mut out = String::new();
    preamble(letter, &mut out);
    match letter.messages {
        [one] if letter.more == 0 => {
            for zh in languages(one, letter.zh) {
                out.push_str(&format!("{}{}\n\n", marks(one.level, one.exercise, letter.test), line(one.title.pick(zh))));
                for (label, lines) in parts(one, zh, letter.zone) {
                    section(&mut out, label, &lines, if zh { "：" } else { ": " });
                }
                out.push('\n');
            }
            if let Some(link) = link(letter, one) {
                out.push_str(&link);
                out.push('\n');
            }
        }
        _ => out.push_str(&list(letter)),
    }
    out
}

/// One line a message of a digest.
pub fn list(letter: &Letter) -> String {
    let mut out = String::new();
    for (n, m) in letter.messages.iter().enumerate() {
        out.push_str(&format!(
            "{}. {}{} ({})\n",
            n + 1,
            marks(m.level, m.exercise, false),
            line(m.title.pick(letter.zh)),
            letter.zone.people(m.time)
        ));
    }
    if letter.more > 0 {
        out.push_str(&if letter.zh {
            format!("另有 {} 条，见控制台。\n", letter.more)
        } else {
            format!("and {} more; see the console.\n", letter.more)
        });
    }
    if !letter.console.is_empty() {
        out.push_str(&format!("{}\n", letter.console.trim_end_matches('/')));
    }
    out
}

/// Markdown as the robots take it: bold labels, no HTML.
pub fn markdown(letter: &Letter) -> String {
    let mut out = String::new();
    preamble(letter, &mut out);
    match letter.messages {
        [one] if letter.more == 0 => {
            for (label, lines) in parts(one, letter.zh, letter.zone) {
                match lines.as_slice() {
                    [single] => out.push_str(&format!("**{label}** {}\n\n", line(single))),
                    many => {
                        out.push_str(&format!("**{label}**\n"));
                        many.iter().for_each(|l| out.push_str(&format!("- {}\n", line(l))));
                        out.push('\n');
                    }
                }
            }
            if let Some(link) = link(letter, one) {
                out.push_str(&link);
                out.push('\n');
            }
        }
        _ => out.push_str(&list(letter)),
    }
    out
}

/// A whole HTML page without anything from elsewhere: no image, no script, no style sheet.
pub fn html(letter: &Letter) -> String {
    let level = level_of(letter);
    let subject = escape(&subject(letter));
    let mut body = String::new();
    let mut lead = String::new();
    preamble(letter, &mut lead);
    if !lead.is_empty() {
        body.push_str(&format!("<p>{}</p>", escape(lead.trim())));
    }
    match letter.messages {
        [one] if letter.more == 0 => {
            for zh in languages(one, letter.zh) {
                body.push_str(&format!("<h2>{}</h2><table>", escape(&line(one.title.pick(zh)))));
                for (label, lines) in parts(one, zh, letter.zone) {
                    let cell = match lines.as_slice() {
                        [single] => escape(single).replace('\n', "<br>"),
                        many => format!("<ul>{}</ul>", many.iter().map(|l| format!("<li>{}</li>", escape(l))).collect::<String>()),
                    };
                    body.push_str(&format!(
                        "<tr><th style=\"text-align:left;vertical-align:top;padding:4px 12px 4px 0\">{label}</th><td style=\"padding:4px 0\">{cell}</td></tr>"
                    ));
                }
                body.push_str("</table>");
            }
            if let Some(link) = link(letter, one) {
                body.push_str(&format!("<p><a href=\"{0}\">{0}</a></p>", escape(&link)));
            }
        }
        _ => body.push_str(&format!("<pre style=\"white-space:pre-wrap;font:inherit\">{}</pre>", escape(&list(letter)))),
    }
    format!(
        "<!DOCTYPE html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{subject}</title></head><body style=\"font-family:sans-serif\"><h1 style=\"font-size:1.2em;border-left:8px solid {};padding-left:8px\">{subject}</h1>{body}</body></html>",
        if letter.zh { "zh" } else { "en" },
        level_colour(level)
    )
}

/// Cut to so many bytes on a character's border; what was cut is said.
pub fn cut(text: &str, bytes_max: usize, zh: bool) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let tail = if zh { "…（已截断，全文见控制台）" } else { "… (cut; the whole text is in the console)" };
    let mut end = bytes_max.saturating_sub(tail.len());
    while end > 0 && !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", text.get(..end).unwrap_or_default())
}

/// One line of text: control characters become spaces.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The page of what a message is about.
pub fn link(letter: &Letter, message: &Message) -> Option<String> {
    let base = letter.console.trim_end_matches('/');
    let plural = matter::Kind::find(&message.kind).map(|k| k.plural)?;
    (!base.is_empty()).then(|| format!("{base}/{plural}/{}", message.id))
}

fn preamble(letter: &Letter, out: &mut String) {
    if letter.test {
        out.push_str("这是一条测试通知，无需处理。This is a test of the channel; nothing needs to be done.\n\n");
    }
    if letter.messages.iter().any(|m| m.exercise) {
        out.push_str("演练，非真实事件。EXERCISE, not a real event.\n\n");
    }
}

/// The recipient's language first, the other after it where both are there.
fn languages(message: &Message, zh: bool) -> Vec<bool> {
    let both = !message.title.zh.is_empty() && !message.title.en.is_empty() && message.title.zh != message.title.en;
    if both { vec![zh, !zh] } else { vec![zh] }
}

fn section(out: &mut String, label: &str, lines: &[String], colon: &str) {
    match lines {
        [single] => out.push_str(&format!("{label}{colon}{single}\n")),
        many => {
            out.push_str(&format!("{label}{colon}\n"));
            many.iter().for_each(|l| out.push_str(&format!("  - {l}\n")));
        }
    }
}
