//! Kerberos 5 (RFC 4120) over UDP and TCP: who asks for which ticket, with which encryption, and what the KDC answers.
//!
//! An initial request (AS) is a log-in; a request for a service (TGS) is told as one. Request and answer are one event. Limits: `HEAD_BYTES` of a message are
//! looked at, `PENDING_MAX` requests wait for answers, `NAMED_MAX` encryption types are named.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::ber::{self, Ber};
use super::frames::{Frames, Shape};
use super::login;
use super::wording;
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static KERBEROS: Protocol = Protocol {
    name: "kerberos",
    about: "tickets asked for, by whom, for what, with which encryption, and the answer",
    fields: login::fields![
        field::COMMAND,
        field::USER_KNOWN,
        field::KRB_SERVICE,
        field::KRB_ETYPES,
        field::KRB_ETYPE,
        field::KRB_ERROR,
        field::KRB_PREAUTH,
    ],
    anomalies: &["kerberos_out_of_sync"],
    probe,
    open: |carrier| Box::new(Kerberos { carrier, ..Kerberos::default() }),
};

const HEAD_BYTES: usize = 8 << 10;
const PENDING_MAX: usize = 16;
const NAMED_MAX: usize = 16;

static SHAPE: Shape = Shape {
    header: 4,
    keep: HEAD_BYTES,
    length: |b| {
        let length = usize::try_from(super::ot::le32(b, 0)?.swap_bytes()).ok()?;
        (16..1 << 24).contains(&length).then_some(4 + length)
    },
    sync: |b| kind(b.get(4..)?).map(|_| 0),
};

/// Number of the message these bytes are: application tag, sequence, version 5.
fn kind(bytes: &[u8]) -> Option<u8> {
    let number = match *bytes.first()? {
        tag @ (0x6a..=0x6f) => tag - 0x60,
        0x7e => 30,
        _ => return None,
    };
    let (head, _) = ber::header(bytes)?;
    let inner = bytes.get(head..)?;
    let (inner_head, _) = (inner.first() == Some(&0x30)).then(|| ber::header(inner))??;
    matches!(inner.get(inner_head..)?, [0xa0 | 0xa1, 3, 2, 1, 5, ..]).then_some(number)
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let message = match (carrier, bytes) {
        (Carrier::Udp, [0x6a..=0x6d | 0x7e, ..]) => bytes,
        (Carrier::Tcp, [0, 0, _, _, 0x6a..=0x6d | 0x7e, rest @ ..]) if rest.len() >= 18 => bytes.get(4..).unwrap_or_default(),
        (Carrier::Tcp, [0, 0, _, _, 0x6a..=0x6d | 0x7e, ..] | [0, 0, _, _] | [0, 0, _] | [0, 0] | [0]) => return Probe::Maybe,
        _ => return Probe::No,
    };
    if kind(message).is_some() { Probe::Yes } else { Probe::No }
}

struct Pending {
    kind: u8,
    event: Event,
    from: Side,
    time: Timestamp,
}

#[derive(Default)]
struct Kerberos {
    carrier: Carrier,
    frames: [Frames; 2],
    pending: VecDeque<Pending>,
}

impl Parser for Kerberos {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if self.carrier == Carrier::Udp {
            let _ = self.message(piece.side, piece.bytes, piece.time, out);
        } else {
            let at = piece.side as usize;
            if piece.gap {
                self.frames[at].gap();
            }
            let mut frames = std::mem::take(&mut self.frames[at]);
            let in_step = frames.feed(&SHAPE, piece.bytes, &mut |head, _| {
                let _ = self.message(piece.side, head.get(4..).unwrap_or_default(), piece.time, out);
                true
            });
            self.frames[at] = frames;
            if !in_step {
                out.anomaly("kerberos_out_of_sync", "bytes between messages", piece.time);
            }
        }
        if self.pending.is_empty() { Want::Whole } else { Want::Wake }
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        while self.pending.front().is_some_and(|p| now.since(p.time) >= SECOND_NS) {
            self.unanswered(out);
        }
        if self.pending.is_empty() { Want::More } else { Want::Wake }
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        while !self.pending.is_empty() {
            self.unanswered(out);
        }
    }
}

impl Kerberos {
    fn message(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let kind = kind(bytes)?;
        let (_, content) = Ber(bytes).next()?;
        let fields = Ber(Ber(content).take(0x30)?);
        match kind {
            10 | 12 => {
                let event = request(kind, fields, time)?;
                if self.pending.len() >= PENDING_MAX {
                    self.unanswered(out);
                }
                self.pending.push_back(Pending { kind, event, from: side, time });
            }
            11 | 13 => {
                let mut event = self.asked(side, Some(kind - 1), kind, time);
                answered(&mut event, fields);
                out.asked(side.other(), Class::Normal, event);
            }
            30 => {
                let code = Ber(fields.find(0xa6)?).int()?;
                let mut event = self.asked(side, None, kind, time);
                refused(&mut event, code, fields);
                out.asked(side.other(), Class::Normal, event);
            }
            _ => {}
        }
        Some(())
    }

    /// The request an answer belongs to, or a new event for an answer alone.
    fn asked(&mut self, side: Side, kind: Option<u8>, answer: u8, time: Timestamp) -> Event {
        let at = self.pending.iter().position(|p| p.from != side && kind.is_none_or(|k| k == p.kind));
        if let Some(Pending { mut event, kind, .. }) = at.and_then(|at| self.pending.remove(at)) {
            event.time = time;
            event.body.set(field::COMMAND, if kind == 10 { "as" } else { "tgs" });
            return event;
        }
        let (command, initial) = match answer {
            11 => ("as_rep", true),
            13 => ("tgs_rep", false),
            _ => ("krb_error", false),
        };
        new(command, initial, time)
    }

    fn unanswered(&mut self, out: &mut dyn Emit) {
        if let Some(Pending { event, from, .. }) = self.pending.pop_front() {
            out.asked(from, Class::Normal, event);
        }
    }
}

fn new(command: &'static str, initial: bool, time: Timestamp) -> Event {
    let (activity, category) = if initial { (3, "authentication") } else { (4, "kerberos") };
    Event::new(time, Kind::Authentication, activity, LogSource::new("", category, "kerberos"))
        .with(field::COMMAND, command)
        .with(field::SERVICE_NAME, "kerberos")
        .with(field::AUTH_PROTOCOL, "Kerberos")
        .with(field::IS_REMOTE, true)
        .with(field::STATUS_ID, 0)
}

/// Parts of a principal's name with strokes between them.
fn principal(content: &[u8]) -> Option<String> {
    let mut parts = Ber(Ber(Ber(Ber(content).take(0x30)?).find(0xa1)?).take(0x30)?);
    let mut names = Vec::new();
    while let Some((_, part)) = parts.next() {
        if names.len() < 8 {
            names.push(wording::text(part));
        }
    }
    Some(names.join("/"))
}

fn realm(content: &[u8]) -> Option<String> {
    Some(wording::text(Ber(content).next()?.1))
}

fn request(kind: u8, fields: Ber<'_>, time: Timestamp) -> Option<Event> {
    let mut event = new(if kind == 10 { "as_req" } else { "tgs_req" }, kind == 10, time);
    let body = &mut event.body;
    if let Some(mut list) = fields.find(0xa3).and_then(|p| Ber(p).take(0x30)).map(Ber) {
        let mut proof = false;
        while let Some((_, entry)) = list.next() {
            let number = Ber(entry).find(0xa1).and_then(|n| Ber(n).int());
            // Encrypted timestamp, certificates, encrypted challenge, a ticket.
            proof |= matches!(number, Some(1 | 2 | 14..=17 | 138));
        }
        body.set(field::KRB_PREAUTH, proof);
    } else if kind == 10 {
        body.set(field::KRB_PREAUTH, false);
    }
    let req = Ber(Ber(fields.find(0xa4)?).take(0x30)?);
    body.set_some(field::USER_NAME, req.find(0xa1).and_then(principal));
    body.set_some(field::USER_DOMAIN, req.find(0xa2).and_then(realm));
    body.set_some(field::KRB_SERVICE, req.find(0xa3).and_then(principal));
    let mut types = Vec::new();
    if let Some(mut list) = req.find(0xa8).and_then(|e| Ber(e).take(0x30)).map(Ber) {
        while let Some(number) = list.int() {
            if types.len() < NAMED_MAX {
                types.push(Value::from(etype(number)));
            }
        }
    }
    if !types.is_empty() {
        body.set(field::KRB_ETYPES, types);
    }
    Some(event)
}

fn answered(event: &mut Event, fields: Ber<'_>) {
    let body = &mut event.body;
    body.set(field::STATUS_ID, 1);
    if let Some(user) = fields.find(0xa4).and_then(principal) {
        body.set(field::USER_NAME, user);
    }
    if let Some(name) = fields.find(0xa3).and_then(realm) {
        body.set(field::USER_DOMAIN, name);
    }
    let Some(ticket) = fields.find(0xa5).and_then(|t| Ber(t).take(0x61)).and_then(|t| Ber(t).take(0x30)).map(Ber) else { return };
    if let Some(service) = ticket.find(0xa2).and_then(principal) {
        body.set(field::KRB_SERVICE, service);
    }
    let number = ticket.find(0xa3).and_then(|e| Ber(e).take(0x30)).and_then(|e| Ber(e).find(0xa0)).and_then(|e| Ber(e).int());
    body.set_some(field::KRB_ETYPE, number.map(etype));
}

fn refused(event: &mut Event, code: i64, fields: Ber<'_>) {
    let body = &mut event.body;
    body.set(field::KRB_ERROR, code);
    body.set(field::STATUS_DETAIL, error(code));
    // To be asked for a proof first is no refusal; nor is a clock that is to be set or a longer message to be sent over TCP.
    body.set(field::STATUS_ID, if matches!(code, 25 | 52) { 0 } else { 2 });
    if code == 6 {
        body.set(field::USER_KNOWN, false);
    }
    if body.get(field::USER_NAME).is_none() {
        body.set_some(field::USER_NAME, fields.find(0xa8).and_then(principal));
    }
    if body.get(field::USER_DOMAIN).is_none() {
        body.set_some(field::USER_DOMAIN, fields.find(0xa9).and_then(realm));
    }
    if body.get(field::KRB_SERVICE).is_none() {
        body.set_some(field::KRB_SERVICE, fields.find(0xaa).and_then(principal));
    }
}

/// Names of encryption types, as IANA's registry and Microsoft's documents have them.
fn etype(number: i64) -> String {
    let name = match number {
        1 => "des-cbc-crc",
        3 => "des-cbc-md5",
        16 => "des3-cbc-sha1",
        17 => "aes128-cts-hmac-sha1-96",
        18 => "aes256-cts-hmac-sha1-96",
        19 => "aes128-cts-hmac-sha256-128",
        20 => "aes256-cts-hmac-sha384-192",
        23 => "rc4-hmac",
        24 => "rc4-hmac-exp",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn error(code: i64) -> String {
    let name = match code {
        3 => "KDC_ERR_BAD_PVNO",
        6 => "KDC_ERR_C_PRINCIPAL_UNKNOWN",
        7 => "KDC_ERR_S_PRINCIPAL_UNKNOWN",
        9 => "KDC_ERR_NULL_KEY",
        12 => "KDC_ERR_POLICY",
        13 => "KDC_ERR_BADOPTION",
        14 => "KDC_ERR_ETYPE_NOSUPP",
        18 => "KDC_ERR_CLIENT_REVOKED",
        23 => "KDC_ERR_KEY_EXPIRED",
        24 => "KDC_ERR_PREAUTH_FAILED",
        25 => "KDC_ERR_PREAUTH_REQUIRED",
        29 => "KDC_ERR_SVC_UNAVAILABLE",
        31 => "KRB_AP_ERR_BAD_INTEGRITY",
        32 => "KRB_AP_ERR_TKT_EXPIRED",
        37 => "KRB_AP_ERR_SKEW",
        41 => "KRB_AP_ERR_MODIFIED",
        52 => "KRB_ERR_RESPONSE_TOO_BIG",
        60 => "KRB_ERR_GENERIC",
        68 => "KDC_ERR_WRONG_REALM",
        other => return format!("error {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag, 0x82];
        out.extend((content.len() as u16).to_be_bytes());
        out.extend(content);
        out
    }

    fn name(tag: u8, parts: &[&str]) -> Vec<u8> {
        let texts: Vec<Vec<u8>> = parts.iter().map(|p| wrap(0x1b, &[p.as_bytes()])).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        wrap(tag, &[&wrap(0x30, &[&wrap(0xa0, &[&[2, 1, 1]]), &wrap(0xa1, &[&wrap(0x30, &texts)])])])
    }

    fn ask(kind: u8) -> Vec<u8> {
        let body = wrap(
            0x30,
            &[
                &name(0xa1, &["ada"]),
                &wrap(0xa2, &[&wrap(0x1b, &[b"EX.ORG"])]),
                &name(0xa3, &["krbtgt", "EX.ORG"]),
                &wrap(0xa8, &[&wrap(0x30, &[&[2, 1, 18, 2, 1, 23]])]),
            ],
        );
        let seq = wrap(0x30, &[&[0xa1, 3, 2, 1, 5], &[0xa2, 3, 2, 1, kind], &wrap(0xa4, &[&body])]);
        wrap(0x60 + kind, &[&seq])
    }

    fn refuse(code: u8) -> Vec<u8> {
        wrap(0x7e, &[&wrap(0x30, &[&[0xa0, 3, 2, 1, 5], &[0xa1, 3, 2, 1, 30], &[0xa6, 3, 2, 1, code]])])
    }

    fn give(kind: u8) -> Vec<u8> {
        let sealed = wrap(0xa3, &[&wrap(0x30, &[&[0xa0, 3, 2, 1, 23]])]);
        let ticket = wrap(0xa5, &[&wrap(0x61, &[&wrap(0x30, &[&[0xa0, 3, 2, 1, 5], &name(0xa2, &["cifs", "pc"]), &sealed])])]);
        wrap(0x60 + kind, &[&wrap(0x30, &[&[0xa0, 3, 2, 1, 5], &[0xa1, 3, 2, 1, kind], &ticket])])
    }

    const KEYS: &[&str] =
        &["command", "user.name", "user.domain", "kerberos.service", "kerberos.encryption_type", "status_id", "status_detail"];

    #[test]
    fn a_guess_a_log_in_and_a_ticket() {
        let says: Vec<(Side, Vec<u8>)> = vec![
            (Side::Originator, ask(10)),
            (Side::Responder, refuse(24)),
            (Side::Originator, ask(10)),
            (Side::Responder, refuse(25)),
            (Side::Originator, ask(12)),
            (Side::Responder, give(13)),
            (Side::Originator, ask(10)),
        ];
        let wanted = [
            "as ada EX.ORG krbtgt/EX.ORG - 2 KDC_ERR_PREAUTH_FAILED",
            "as ada EX.ORG krbtgt/EX.ORG - 0 KDC_ERR_PREAUTH_REQUIRED",
            "tgs ada EX.ORG cifs/pc rc4-hmac 1 -",
            "as_req ada EX.ORG krbtgt/EX.ORG - 0 -",
        ];
        let udp: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
        assert_eq!(brief(&talk(Carrier::Udp, 0, &udp), KEYS), wanted);
        let framed: Vec<(Side, Vec<u8>)> =
            says.iter().map(|(s, m)| (*s, [&(m.len() as u32).to_be_bytes()[..], m.as_slice()].concat())).collect();
        let tcp: Vec<(Side, &[u8])> = framed.iter().map(|(s, m)| (*s, m.as_slice())).collect();
        for step in [1, 40, 4000] {
            assert_eq!(brief(&talk(Carrier::Tcp, step, &tcp), KEYS), wanted, "{step}");
        }
    }
}
