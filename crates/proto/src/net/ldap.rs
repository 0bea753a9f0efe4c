//! LDAP (RFC 4511) over TCP and, as Windows looks for its domain, over UDP: log-ins, searches and changes with their results.
//!
//! Request and answer are one event; equal searches of a connection are counted (see `ot`). What goes on in TLS (StartTLS) is read as that; what
//! SASL seals is left. A password is never kept.
//!
//! Limits: `HEAD_BYTES` of a message are looked at, `PENDING_MAX` requests wait for answers, a filter is written to `FILTER_BYTES_MAX` bytes and
//! `DEPTH_MAX` levels.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, Timestamp, field};

use super::ber::{self, Ber};
use super::frames::{Frames, Shape};
use super::login::{self, Outcome};
use super::ot::Teller;
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, ntlm, wording};

pub static LDAP: Protocol = Protocol {
    name: "ldap",
    about: "log-ins, searches and changes with their results",
    fields: login::fields![
        field::COMMAND,
        field::LDAP_BASE,
        field::LDAP_SCOPE,
        field::LDAP_FILTER,
        field::LDAP_COUNT,
        field::REPLY_CODE,
        field::NTLM_SERVER,
        field::NTLM_SERVER_DOMAIN,
        field::COUNT,
    ],
    anomalies: &["ldap_out_of_sync"],
    probe,
    open: |carrier| Box::new(Ldap { carrier, ..Ldap::default() }),
};

const HEAD_BYTES: usize = 4 << 10;
const PENDING_MAX: usize = 32;
const FILTER_BYTES_MAX: usize = 400;
const DEPTH_MAX: usize = 12;
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

static SHAPE: Shape = Shape {
    header: 6,
    keep: HEAD_BYTES,
    length: |b| {
        let (head, length) = ber::header(b)?;
        (*b.first()? == 0x30 && (5..1 << 26).contains(&length)).then_some(head + length)
    },
    sync: |b| operation(b).map(|_| 0),
};

/// Number and tag of the operation of the message these bytes begin.
fn operation(bytes: &[u8]) -> Option<(i64, u8)> {
    let (head, _) = (bytes.first() == Some(&0x30)).then(|| ber::header(bytes))??;
    let mut ber = Ber(bytes.get(head..)?);
    let number = ber.int().filter(|n| *n >= 0)?;
    let tag = *ber.0.first()?;
    matches!(tag, 0x42 | 0x4a | 0x50 | 0x60..=0x69 | 0x6b..=0x6f | 0x73 | 0x77..=0x79).then_some((number, tag))
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes {
        [0x30, ..] => match (operation(bytes), carrier) {
            (Some((_, 0x63..=0x65)), Carrier::Udp) => Probe::Yes,
            (_, Carrier::Udp) => Probe::No,
            // The first messages of a connection; joined later, searches and their answers.
            (Some((_, 0x60 | 0x61 | 0x63..=0x66 | 0x68 | 0x6c | 0x6e | 0x77 | 0x78)), _) => Probe::Yes,
            (None, _) if bytes.len() < 12 => Probe::Maybe,
            _ => Probe::No,
        },
        _ => Probe::No,
    }
}

struct Pending {
    number: i64,
    event: Event,
    entries: i64,
    secures: bool,
}

#[derive(Default)]
struct Ldap {
    carrier: Carrier,
    frames: [Frames; 2],
    pending: VecDeque<Pending>,
    talk: ntlm::Talk,
    /// Number of the log-in that waits for its answer.
    binding: Option<i64>,
    /// The next log-in is a part of the one before.
    goes_on: bool,
    client: Option<Side>,
    /// SASL has taken over: what is no message is sealed.
    sealed: bool,
    secure: bool,
    teller: Teller<16>,
}

impl Parser for Ldap {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if self.carrier == Carrier::Udp {
            let _ = self.message(piece.side, piece.bytes, piece.time, out);
            return Want::Whole;
        }
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let mut frames = std::mem::take(&mut self.frames[at]);
        let in_step = frames.feed(&SHAPE, piece.bytes, &mut |head, _| {
            let _ = self.message(piece.side, head, piece.time, out);
            !self.secure
        });
        self.frames[at] = frames;
        match (self.secure, in_step) {
            (true, _) => Want::Stop,
            (_, false) if self.sealed => Want::Stop,
            (_, false) => {
                out.anomaly("ldap_out_of_sync", "bytes between messages", piece.time);
                Want::Whole
            }
            _ => Want::Whole,
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.binding.take().is_some() {
            self.bound(Outcome::Unknown, None, None, now, out);
        }
        while let Some(pending) = self.pending.pop_front() {
            self.tell(pending, out);
        }
        self.teller.end(out);
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        self.secure.then(Default::default)
    }
}

impl Ldap {
    fn by(&self) -> Side {
        self.client.unwrap_or(Side::Originator)
    }

    fn message(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let (number, tag) = operation(bytes)?;
        let (_, content) = Ber(bytes).next()?;
        let mut ber = Ber(content);
        ber.int();
        let (_, content) = ber.next()?;
        let is_answer = matches!(tag, 0x61 | 0x64 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x73 | 0x78 | 0x79);
        self.client = Some(if is_answer { side.other() } else { side });
        if is_answer { self.answer(number, tag, Ber(content), time, out) } else { self.request(number, tag, content, time, out) }
    }

    fn request(&mut self, number: i64, tag: u8, content: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let mut ber = Ber(content);
        let mut secures = false;
        let event = match tag {
            0x60 => {
                ber.int();
                let name = wording::text(ber.take(4)?);
                let (choice, secret) = ber.next()?;
                if !std::mem::take(&mut self.goes_on) {
                    self.talk = ntlm::Talk::default();
                }
                let login = &mut self.talk.login;
                if !name.is_empty() {
                    login.user = Some(name);
                }
                match choice {
                    0x80 => {
                        login.scheme = Some(if secret.is_empty() { "anonymous" } else { "simple" });
                        login.cleartext = !secret.is_empty();
                        if login.user.is_none() {
                            login.user = Some("anonymous".to_owned());
                        }
                    }
                    0xa3 => {
                        let mut sasl = Ber(secret);
                        let mechanism = sasl.take(4)?;
                        let answer = sasl.take(4).unwrap_or_default();
                        login.scheme = login.scheme.or(Some(login::scheme(mechanism)));
                        if let Some(user) = login::sasl_user(mechanism, answer) {
                            login.user = Some(user);
                            login.cleartext = mechanism == b"PLAIN";
                        }
                        self.sealed = true;
                        if !self.talk.take(answer) && wording::find(answer, b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02").is_some() {
                            self.talk.login.scheme = Some("Kerberos");
                        }
                    }
                    // Microsoft's older way (MS-ADTS, Sicily): looked for, negotiated, proved.
                    _ => {
                        self.talk.take(secret);
                        self.goes_on = choice != 0x8b;
                    }
                }
                self.binding = Some(number);
                return Some(());
            }
            0x63 => {
                let mut event = new("search", time);
                let body = &mut event.body;
                body.set(field::LDAP_BASE, wording::text(ber.take(4)?));
                let scope = ["base", "one", "sub", "children"];
                body.set_some(field::LDAP_SCOPE, ber.int().and_then(|s| scope.get(usize::try_from(s).ok()?)).copied());
                for _ in 0..3 {
                    ber.int();
                }
                ber.take(1);
                let mut text = String::new();
                if let Some((tag, content)) = ber.next() {
                    filter(tag, content, 0, &mut text);
                }
                body.set(field::LDAP_FILTER, text);
                event
            }
            0x66 | 0x68 | 0x6c | 0x6e | 0x4a => {
                let (command, entry) = match tag {
                    0x66 => ("modify", ber.take(4)?),
                    0x68 => ("add", ber.take(4)?),
                    0x6c => ("rename", ber.take(4)?),
                    0x6e => ("compare", ber.take(4)?),
                    _ => ("delete", content),
                };
                new(command, time).with(field::LDAP_BASE, wording::text(entry))
            }
            0x77 => {
                let name = ber.take(0x80)?;
                secures = name == START_TLS;
                new(if secures { "start_tls" } else { "extended" }, time)
            }
            _ => return Some(()),
        };
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.tell(oldest, out);
        }
        self.pending.push_back(Pending { number, event, entries: 0, secures });
        Some(())
    }

    fn answer(&mut self, number: i64, tag: u8, mut ber: Ber<'_>, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        if matches!(tag, 0x64 | 0x73) {
            let pending = self.pending.iter_mut().find(|p| p.number == number)?;
            pending.entries += 1;
            return Some(());
        }
        let code = ber.int()?;
        ber.take(4);
        let text = ber.take(4).unwrap_or_default();
        if tag == 0x61 {
            self.talk.take(ber.0);
            self.goes_on = code == 14 || self.goes_on && code == 0;
            if self.goes_on {
                return Some(());
            }
            self.binding = None;
            let outcome = if code == 0 { Outcome::Success } else { Outcome::Failure };
            self.bound(outcome, Some(code), Some(text), time, out);
            return Some(());
        }
        let at = self.pending.iter().position(|p| p.number == number)?;
        let mut pending = self.pending.remove(at)?;
        let body = &mut pending.event.body;
        body.set(field::STATUS_ID, if matches!(code, 0 | 5 | 6 | 10) { 1 } else { 2 });
        body.set(field::REPLY_CODE, code);
        if code != 0 {
            body.set(field::STATUS_DETAIL, result(code));
        }
        if pending.event.get(field::LDAP_FILTER).is_some() {
            pending.event.body.set(field::LDAP_COUNT, pending.entries);
        }
        pending.event.time = time;
        self.secure = pending.secures && code == 0;
        self.tell(pending, out);
        Some(())
    }

    fn bound(&mut self, outcome: Outcome, code: Option<i64>, text: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        let mut event = self.talk.login.clone().event("ldap", outcome, time);
        event.body.set_some(field::REPLY_CODE, code);
        self.talk.put(&mut event);
        let detail = match (text, code) {
            (Some(text), _) if !text.is_empty() => Some(text.to_vec()),
            (_, Some(code)) if code != 0 => Some(result(code).into_bytes()),
            _ => None,
        };
        login::tell(self.by(), event, detail.as_deref(), out);
        if outcome != Outcome::Success {
            self.talk = ntlm::Talk::default();
        }
    }

    fn tell(&mut self, pending: Pending, out: &mut dyn Emit) {
        let mut event = pending.event;
        let user = self.talk.login.user.clone().filter(|u| !u.is_empty());
        event.body.set_some(field::USER_NAME, user);
        let by = self.by();
        if event.get(field::LDAP_FILTER).is_none() {
            return out.asked(by, Class::Normal, event);
        }
        let key = |f| wording::key(event.text(f).as_bytes());
        let code = event.get(field::REPLY_CODE).and_then(event::Value::as_int).unwrap_or(-1);
        let key = [key(field::LDAP_BASE), key(field::LDAP_FILTER), code as u32, key(field::LDAP_SCOPE)];
        self.teller.poll(key, by, event, out);
    }
}

fn new(command: &'static str, time: Timestamp) -> Event {
    Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "ldap", "ldap")).with(field::COMMAND, command).with(field::STATUS_ID, 0)
}

/// Writes a filter as RFC 4515 does.
fn filter(tag: u8, content: &[u8], depth: usize, out: &mut String) {
    if out.len() > FILTER_BYTES_MAX || depth > DEPTH_MAX {
        return;
    }
    let mut ber = Ber(content);
    let value = |bytes: &[u8]| -> String {
        let bytes = bytes.get(..bytes.len().min(64)).unwrap_or_default();
        if std::str::from_utf8(bytes).is_ok_and(|t| t.chars().all(|c| !c.is_control())) {
            return wording::text(bytes);
        }
        bytes.iter().map(|b| format!("\\{b:02x}")).collect()
    };
    out.push('(');
    match tag {
        0xa0..=0xa2 => {
            out.push(['&', '|', '!'][usize::from(tag - 0xa0)]);
            while let Some((tag, content)) = ber.next() {
                filter(tag, content, depth + 1, out);
            }
        }
        0xa3 | 0xa5 | 0xa6 | 0xa8 => {
            let name = ber.take(4).map(value).unwrap_or_default();
            let sign = match tag {
                0xa5 => ">=",
                0xa6 => "<=",
                0xa8 => "~=",
                _ => "=",
            };
            let text = ber.take(4).map(value).unwrap_or_default();
            out.push_str(&format!("{name}{sign}{text}"));
        }
        0xa4 => {
            out.push_str(&ber.take(4).map(value).unwrap_or_default());
            out.push('=');
            let mut parts = Ber(ber.take(0x30).unwrap_or_default());
            let mut open = false;
            while let Some((tag, part)) = parts.next() {
                match tag {
                    0x80 => out.push_str(&format!("{}*", value(part))),
                    0x81 => out.push_str(&format!("{}{}*", if open { "" } else { "*" }, value(part))),
                    _ => out.push_str(&format!("{}{}", if open { "" } else { "*" }, value(part))),
                }
                open = true;
            }
        }
        0x87 => out.push_str(&format!("{}=*", value(content))),
        0xa9 => {
            let rule = ber.take(0x81).map(|r| format!(":{}", value(r))).unwrap_or_default();
            let name = ber.take(0x82).map(value).unwrap_or_default();
            let text = ber.take(0x83).map(value).unwrap_or_default();
            let dn = if ber.take(0x84).is_some_and(|d| d.first() == Some(&0xff)) { ":dn" } else { "" };
            out.push_str(&format!("{name}{dn}{rule}:={text}"));
        }
        _ => {}
    }
    out.push(')');
}

fn result(code: i64) -> String {
    let name = match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        5 => "compareFalse",
        6 => "compareTrue",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        16 => "noSuchAttribute",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        65 => "objectClassViolation",
        68 => "entryAlreadyExists",
        other => return format!("result {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, client_hello, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;

    fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, 0x84][..], &(content.len() as u32).to_be_bytes(), &content].concat()
    }

    fn message(number: u8, op: &[u8]) -> Vec<u8> {
        wrap(0x30, &[&[2, 1, number], op])
    }

    #[test]
    fn a_guess_a_search_and_a_change_to_tls() {
        let bind = message(1, &wrap(0x60, &[&[2, 1, 3], &wrap(4, &[b"cn=ada"]), &wrap(0x80, &[b"sesame"])]));
        let no = message(1, &wrap(0x61, &[&[0x0a, 1, 49, 4, 0, 4, 0]]));
        let equal = wrap(0xa3, &[&wrap(4, &[b"uid"]), &wrap(4, &[b"x"])]);
        let part = wrap(0xa4, &[&wrap(4, &[b"cn"]), &wrap(0x30, &[&wrap(0x80, &[b"a"]), &wrap(0x82, &[b"z"])])]);
        let both = wrap(0xa0, &[&equal, &part, &wrap(0x87, &[b"mail"])]);
        let search =
            message(2, &wrap(0x63, &[&wrap(4, &[b"dc=x"]), &[0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0], &both, &[0x30, 0]]));
        let entry = message(2, &wrap(0x64, &[&[4, 0, 0x30, 0]]));
        let done = message(2, &wrap(0x65, &[&[0x0a, 1, 0, 4, 0, 4, 0]]));
        let tls = message(3, &wrap(0x77, &[&wrap(0x80, &[START_TLS])]));
        let go = message(3, &wrap(0x78, &[&[0x0a, 1, 0, 4, 0, 4, 0]]));
        let hello = client_hello("dc.example");
        for step in [1, 30, 4000] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[(O, &bind), (R, &no), (O, &search), (R, &entry), (R, &entry), (R, &done), (O, &tls), (R, &go), (O, &hello)],
            );
            assert_eq!(
                brief(
                    &said[..said.len() - 1],
                    &["user.name", "command", "ldap.base", "ldap.filter", "ldap.entries", "status_id", "status_detail"]
                ),
                ["cn=ada - - - - 2 invalidCredentials", "- search dc=x (&(uid=x)(cn=a*z)(mail=*)) 2 1 -", "- start_tls - - - 1 -",],
                "{step}: {said:?}"
            );
            assert!(said.iter().any(|l| l.contains("tls.sni=dc.example")) && said.iter().all(|l| !l.contains("sesame")), "{said:?}");
        }
    }
}
