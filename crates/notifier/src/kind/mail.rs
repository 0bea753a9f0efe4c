//! Mail: RFC 5322 with a text and an HTML part (multipart/alternative), made by hand so that the same letter gives the same bytes.
//!
//! * `Message-ID` is made of the letter's key: an attempt repeated after a crash is the same mail to every mail program.
//! * `In-Reply-To` and `References` name the thread (a warning, an incident), so that all about one thing stand together, whichever came first.
//! * `Auto-Submitted: auto-generated` (RFC 3834) keeps out-of-office answers away.
//! * Headers are ASCII: what is not is an encoded word (RFC 2047), cut at characters, lines of at most 76. No text from outside can add a
//!   header: control characters become spaces before.
//!
//! Why no mail crate: lettre brings about thirty crates (idna and ICU data among them) for what is two hundred lines here, and random
//! boundaries and ids.

use std::path::PathBuf;

use base64::Engine;
use event::Timestamp;
use serde::Deserialize;

use crate::{Answer, Channel, Letter, Login, MailTls, Reader, Request, Route, Verdict, config, loopback, text};

const TO_MAX: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `host[:port]` of the mail server: 587 with starttls, 465 with implicit, 25 without.
    server: String,
    #[serde(default)]
    tls: MailTls,
    /// Allows a login or mail in the clear to another host.
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password_file: Option<PathBuf>,
    /// Sender: `vedette@city.example`, or with a name: `烽燧 <vedette@city.example>`.
    from: String,
    /// The city's own recipients.
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Mail {
    route: Route,
    from: String,
    from_name: String,
    domain: String,
    to: Vec<String>,
}

/// A plain address: one `@`, no space, no control, no bracket; at most 254 bytes, ASCII (no SMTPUTF8).
pub(crate) fn is_address(text: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'(' | b')' | b',' | b';' | b':' | b'"' | b'\\'))
    };
    text.len() <= 254 && text.split_once('@').is_some_and(|(local, domain)| fits(local) && fits(domain) && !domain.contains('@'))
}

pub(super) fn read(section: &toml::Table, read: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let port = match config.tls {
        MailTls::None => 25,
        MailTls::Starttls => 587,
        MailTls::Implicit => 465,
    };
    let (host, port) =
        config::split(&config.server, port).ok_or_else(|| format!("key 'server': value \"{}\": write host[:port]", config.server))?;
    if config.tls == MailTls::None && !loopback(&host) && !config.insecure {
        return Err(
            "key 'tls': value \"none\": mail would travel in the clear; use \"starttls\", or set insecure = true if the way is your own"
                .to_owned(),
        );
    }
    let (name, from) = match config.from.split_once('<') {
        Some((name, rest)) => (name.trim().to_owned(), rest.trim_end_matches('>').trim().to_owned()),
        None => (String::new(), config.from.trim().to_owned()),
    };
    if !is_address(&from) {
        return Err(format!("key 'from': value \"{}\": write an address such as vedette@city.example", config.from));
    }
    if config.to.len() > TO_MAX {
        return Err(format!("key 'to': {} addresses: at most {TO_MAX}", config.to.len()));
    }
    if let Some(bad) = config.to.iter().find(|a| !is_address(a)) {
        return Err(format!("key 'to': value \"{bad}\" is no mail address"));
    }
    let password = config::secret("password_file", config.password_file.as_deref(), read)?;
    let login = match (config.user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(Login { user, password }),
        (Some(_), None) => return Err("key 'user': a user needs password_file too".to_owned()),
        (None, Some(_)) => return Err("key 'password_file': a password needs user too".to_owned()),
    };
    let domain = from.split_once('@').map(|(_, d)| d.to_owned()).unwrap_or_default();
    let route = Route::Smtp { host, port, tls: config.tls, trust: config.ca, login, hello: domain.clone() };
    Ok(Box::new(Mail { route, from, from_name: name, domain, to: config.to }))
}

/// A header's value: plain where it is ASCII and short, encoded words otherwise.
pub(crate) fn header(name: &str, value: &str) -> String {
    let value = text::line(value);
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b)) && !value.contains("=?") && name.len() + 2 + value.len() <= 76;
    if plain {
        return format!("{name}: {value}\r\n");
    }
    let mut out = format!("{name}:");
    let mut chunk = String::new();
    let flush = |chunk: &mut String, out: &mut String| {
        if !chunk.is_empty() {
            let word = base64::engine::general_purpose::STANDARD.encode(chunk.as_bytes());
            out.push_str(&format!(" =?UTF-8?B?{word}?=\r\n"));
            chunk.clear();
        }
    };
    // 36 bytes are 48 of base64: with the frame, the header's name and a space within 76.
    let room = 36usize.saturating_sub(if name.len() > 12 { name.len() - 12 } else { 0 });
    for c in value.chars() {
        if chunk.len() + c.len_utf8() > room {
            flush(&mut chunk, &mut out);
        }
        chunk.push(c);
    }
    flush(&mut chunk, &mut out);
    if out.ends_with(':') {
        out.push_str(" \r\n");
    }
    out
}

/// Base64 in lines of 76.
fn body64(text: &str, out: &mut String) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_bytes());
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(76));
        out.push_str(line);
        out.push_str("\r\n");
        rest = tail;
    }
}

/// What may stand in a message id.
fn token(text: &str) -> String {
    let clean: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).take(100).collect();
    // What was left out must not make two ids one.
    if clean.len() == text.len() { clean } else { format!("{clean}.{}", &blake3::hash(text.as_bytes()).to_hex()[..16]) }
}

impl Channel for Mail {
    fn route(&self) -> &Route {
        &self.route
    }
    fn city(&self) -> &[String] {
        &self.to
    }
    fn render(&self, letter: &Letter, now: Timestamp) -> Request {
        let date = letter.messages.iter().map(|m| m.time).max().unwrap_or(now);
        let thread = letter.messages.first().filter(|_| letter.messages.len() == 1 && letter.more == 0 && !letter.test);
        let mut out = String::new();
        let from = if self.from_name.is_empty() {
            format!("From: {}\r\n", self.from)
        } else {
            let name = header("From", &self.from_name);
            format!("{}\r\n <{}>\r\n", name.trim_end(), self.from)
        };
        out.push_str(&from);
        out.push_str(&format!("To: {}\r\n", letter.to));
        out.push_str(&header("Subject", &text::subject(letter)));
        out.push_str(&format!("Date: {}\r\n", letter.zone.mail(date)));
        out.push_str(&format!("Message-ID: <{}@{}>\r\n", token(letter.key), self.domain));
        if let Some(message) = thread {
            let root = format!("<thread.{}@{}>", token(&message.thread), self.domain);
            out.push_str(&format!("In-Reply-To: {root}\r\nReferences: {root}\r\n"));
        }
        out.push_str("Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n");
        if text::level_of(letter).is_some_and(|l| l >= warning::grade::Level::Orange) {
            out.push_str("Importance: high\r\nX-Priority: 1\r\n");
        }
        out.push_str(&format!("X-Vedette-Level: {}\r\n", text::level_of(letter).map_or("none", warning::grade::Level::name)));
        if letter.messages.iter().any(|m| m.exercise) {
            out.push_str("X-Vedette-Exercise: true\r\n");
        }
        let boundary = format!("vedette.{}", &blake3::hash(letter.key.as_bytes()).to_hex()[..32]);
        out.push_str(&format!("MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"{boundary}\"\r\n\r\n"));
        for (kind, body) in [("plain", text::plain(letter)), ("html", text::html(letter))] {
            out.push_str(&format!("--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
            body64(&body, &mut out);
        }
        out.push_str(&format!("--{boundary}--\r\n"));
        Request::Mail { from: self.from.clone(), to: letter.to.to_owned(), data: out.into_bytes() }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        match answer {
            Answer::Smtp { code: 250..=259, .. } => Verdict::Done,
            // RFC 4954 6: about our login, not about the mail; a person may put it right meanwhile.
            Answer::Smtp { code: code @ (530 | 534 | 535 | 538), text } => Verdict::retry(format!("{code} {text}")),
            // RFC 5321 4.2.1: 4yz is for now, 5yz is for good. 421 and 454 are about the server, not about the mail.
            Answer::Smtp { code: code @ 500..=599, text } => Verdict::reject(format!("{code} {text}")),
            Answer::Smtp { code, text } => Verdict::retry(format!("{code} {text}")),
            Answer::Broken(why) => Verdict::retry(*why),
            Answer::Http { .. } | Answer::Written => Verdict::retry("not a mail server's answer"),
        }
    }
}
