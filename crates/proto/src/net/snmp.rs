//! SNMP versions 1, 2c and 3 (RFC 1157, 3416, 3412, 3414): what is asked and set, by whom in version 3, and whether the community is one that every
//! scanner tries. The community itself is a secret and not kept.
//!
//! Question and answer are one event, equal ones of a flow are counted (see `ot`). Limits: `PENDING_MAX` questions wait for answers, `NAMED_MAX` objects
//! are named.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::ber::{self, Ber};
use super::ot::Teller;
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, wording};

pub static SNMP: Protocol = Protocol {
    name: "snmp",
    about: "versions, questions and changes with their objects, communities everybody knows",
    fields: &[
        field::COMMAND,
        field::SNMP_VERSION,
        field::SNMP_DEFAULT,
        field::SNMP_OIDS,
        field::USER_NAME,
        field::IS_ENCRYPTED,
        field::STATUS_ID,
        field::STATUS_DETAIL,
        field::COUNT,
    ],
    anomalies: &["snmp_malformed"],
    probe,
    open: |_| Box::new(Snmp::default()),
};

const PENDING_MAX: usize = 32;
const NAMED_MAX: usize = 8;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes {
        [0x30, ..] if carrier == Carrier::Udp && read(bytes).is_some() => Probe::Yes,
        _ => Probe::No,
    }
}

/// One message, as far as it can be read.
struct Message<'b> {
    version: i64,
    community: &'b [u8],
    user: &'b [u8],
    /// Tag and content of what is asked; nothing where it is encrypted.
    pdu: Option<(u8, Ber<'b>)>,
    /// Number of the message in version 3, of the request in the others.
    number: i64,
}

fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let mut ber = Ber(Ber(bytes).take(0x30)?);
    let version = ber.int().filter(|v| matches!(v, 0 | 1 | 3))?;
    if version < 3 {
        let community = ber.take(4)?;
        let (tag, content) = ber.next().filter(|(t, _)| (0xa0..=0xa8).contains(t))?;
        let mut pdu = Ber(content);
        let number = if tag == 0xa4 { 0 } else { pdu.int()? };
        return Some(Message { version, community, user: &[], pdu: Some((tag, pdu)), number });
    }
    let mut header = Ber(ber.take(0x30)?);
    let number = header.int()?;
    header.int()?;
    header.take(4)?;
    let mut security = Ber(Ber(ber.take(4)?).take(0x30).unwrap_or_default());
    security.take(4);
    security.int();
    security.int();
    let user = security.take(4).unwrap_or_default();
    let pdu = ber.take(0x30).and_then(|scoped| {
        let mut scoped = Ber(scoped);
        scoped.take(4)?;
        scoped.take(4)?;
        let (tag, content) = scoped.next()?;
        let mut pdu = Ber(content);
        pdu.int()?;
        Some((tag, pdu))
    });
    Some(Message { version, community: &[], user, pdu, number })
}

struct Pending {
    number: i64,
    event: Event,
    from: Side,
    time: Timestamp,
}

#[derive(Default)]
struct Snmp {
    /// Messages read, up to few.
    met: u64,
    /// A datagram of another protocol, and whose it is.
    stray: [Vec<u8>; 2],
    pending: VecDeque<Pending>,
    teller: Teller<16>,
}

impl Parser for Snmp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        match read(piece.bytes) {
            Some(message) => {
                self.met += 1;
                self.message(message, piece, out);
            }
            // One message alone may have been sent to another service by mistake.
            None if self.met < 2 => {
                self.stray[piece.side as usize] = piece.bytes.to_vec();
                return Want::Stop;
            }
            None => out.anomaly("snmp_malformed", "no message of SNMP", piece.time),
        }
        if self.pending.is_empty() { Want::Whole } else { Want::Wake }
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        while self.pending.front().is_some_and(|p| now.since(p.time) >= SECOND_NS) {
            self.unanswered(out);
        }
        if self.pending.is_empty() { Want::More } else { Want::Wake }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        let stray = std::mem::take(&mut self.stray);
        stray.iter().any(|s| !s.is_empty()).then_some(stray)
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        while !self.pending.is_empty() {
            self.unanswered(out);
        }
        self.teller.end(out);
    }
}

impl Snmp {
    fn message(&mut self, message: Message<'_>, piece: Piece<'_>, out: &mut dyn Emit) {
        let tag = message.pdu.map(|p| p.0);
        let answered = self.pending.iter().position(|p| p.from != piece.side && p.number == message.number);
        // Sealed answers are known by their number alone.
        if matches!(tag, None | Some(0xa2 | 0xa8))
            && let Some(Pending { mut event, from, .. }) = answered.and_then(|at| self.pending.remove(at))
        {
            event.time = piece.time;
            let code = message.pdu.and_then(|(tag, mut pdu)| if tag == 0xa2 { pdu.int() } else { None }).unwrap_or(0);
            event.body.set(field::STATUS_ID, if code == 0 { 1 } else { 2 });
            if code != 0 {
                event.body.set(field::STATUS_DETAIL, error(code));
            }
            return self.tell(event, from, out);
        }
        let event = describe(&message, piece.time);
        match tag {
            Some(0xa2 | 0xa4 | 0xa7 | 0xa8) => self.tell(event, piece.side, out),
            _ => {
                if self.pending.len() >= PENDING_MAX {
                    self.unanswered(out);
                }
                self.pending.push_back(Pending { number: message.number, event, from: piece.side, time: piece.time });
            }
        }
    }

    fn unanswered(&mut self, out: &mut dyn Emit) {
        if let Some(Pending { event, from, .. }) = self.pending.pop_front() {
            self.tell(event, from, out);
        }
    }

    fn tell(&mut self, event: Event, by: Side, out: &mut dyn Emit) {
        let key = |f| wording::key(event.text(f).as_bytes());
        // What is set is told one by one.
        if event.text(field::COMMAND) == "set_request" {
            return out.asked(by, Class::Normal, event.with(field::COUNT, 1));
        }
        let key = [key(field::COMMAND), key(field::SNMP_OIDS), key(field::STATUS_ID) ^ key(field::USER_NAME), key(field::SNMP_DEFAULT)];
        self.teller.poll(key, by, event, out);
    }
}

fn describe(message: &Message<'_>, time: Timestamp) -> Event {
    let mut event = Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "snmp", "snmp"));
    let body = &mut event.body;
    let command = match message.pdu.map(|p| p.0) {
        Some(0xa0) => "get_request",
        Some(0xa1) => "get_next_request",
        Some(0xa2) => "response",
        Some(0xa3) => "set_request",
        Some(0xa4 | 0xa7) => "trap",
        Some(0xa5) => "get_bulk_request",
        Some(0xa6) => "inform_request",
        Some(0xa8) => "report",
        _ => "encrypted",
    };
    body.set(field::COMMAND, command);
    body.set(field::SNMP_VERSION, ["1", "2c", "3", "3"][message.version.clamp(0, 3) as usize]);
    body.set(field::STATUS_ID, 0);
    if message.version < 3 {
        body.set(field::SNMP_DEFAULT, is_default(message.community));
    } else if !message.user.is_empty() {
        body.set(field::USER_NAME, wording::text(message.user));
    }
    if message.pdu.is_none() {
        body.set(field::IS_ENCRYPTED, true);
    }
    if let Some((tag, mut pdu)) = message.pdu {
        let mut oids = Vec::new();
        if tag == 0xa4 {
            // A trap of version 1 begins with who sends it.
            oids.extend(pdu.take(6).map(|o| Value::from(ber::oid(o))));
        } else {
            pdu.int();
            pdu.int();
            let mut list = Ber(pdu.take(0x30).unwrap_or_default());
            while let Some(pair) = list.take(0x30).filter(|_| oids.len() < NAMED_MAX) {
                oids.extend(Ber(pair).take(6).map(|o| Value::from(ber::oid(o))));
            }
        }
        if !oids.is_empty() {
            body.set(field::SNMP_OIDS, oids);
        }
    }
    event
}

fn is_default(community: &[u8]) -> bool {
    const KNOWN: &[&str] = &[
        "public",
        "private",
        "community",
        "admin",
        "manager",
        "snmp",
        "snmpd",
        "cisco",
        "default",
        "test",
        "guest",
        "monitor",
        "read",
        "write",
        "rw",
        "ro",
        "security",
        "system",
        "switch",
        "router",
        "secret",
        "internal",
        "password",
        "all",
        "0",
        "",
    ];
    KNOWN.iter().any(|k| community.eq_ignore_ascii_case(k.as_bytes()))
}

const fn error(code: i64) -> &'static str {
    match code {
        1 => "tooBig",
        2 => "noSuchName",
        3 => "badValue",
        4 => "readOnly",
        5 => "genErr",
        6 => "noAccess",
        16 => "authorizationError",
        17 => "notWritable",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, hex, talk};
    use super::*;

    const KEYS: &[&str] = &["command", "snmp.version", "snmp.is_default_community", "snmp.oids", "user.name", "status_id", "count"];

    fn get(community: &str, tag: u8, request: u8, error: u8) -> Vec<u8> {
        let pdu = hex(&format!("0201{request:02x} 0201{error:02x} 020100 300e 300c 0608 2b06010201010500 0500"));
        let mut inner = hex("020101");
        inner.extend([4, community.len() as u8]);
        inner.extend(community.as_bytes());
        inner.extend([tag, pdu.len() as u8]);
        inner.extend(pdu);
        [&[0x30, inner.len() as u8][..], &inner].concat()
    }

    #[test]
    fn a_question_an_answer_and_a_change() {
        let (o, r) = (Side::Originator, Side::Responder);
        let said = talk(
            Carrier::Udp,
            0,
            &[
                (o, &get("public", 0xa0, 1, 0)),
                (r, &get("public", 0xa2, 1, 0)),
                (o, &get("s3cr3t", 0xa3, 2, 0)),
                (r, &get("s3cr3t", 0xa2, 2, 17)),
                (o, &get("public", 0xa0, 3, 0)),
                (r, &get("public", 0xa2, 3, 0)),
            ],
        );
        assert_eq!(
            brief(&said, KEYS),
            [
                "get_request 2c true 1.3.6.1.2.1.1.5.0 - 1 1",
                "set_request 2c false 1.3.6.1.2.1.1.5.0 - 2 1",
                "get_request 2c true 1.3.6.1.2.1.1.5.0 - 1 1"
            ]
        );
        assert!(said.iter().all(|l| !l.contains("s3cr3t")));
    }

    #[test]
    fn a_message_that_went_to_a_name_server_by_mistake_does_not_hide_the_questions_behind_it() {
        let question = hex("1234 0100 0001 0000 0000 0000 01 61 02 636e 00 0001 0001");
        let said = talk(Carrier::Udp, 0, &[(Side::Originator, &get("public", 0xa0, 1, 0)), (Side::Originator, &question)]);
        assert!(said.iter().any(|l| l.contains("query.hostname=a.cn")), "{said:?}");
    }

    #[test]
    fn version_3_names_its_user() {
        let message = hex("3041 020103 300f 02024a69 02030 0ffe3 040104 020103 0415 3013 0400 020100 020100 0403 616461 0400 0402 abcd
             3014 0400 0400 a00e 02012a 020100 020100 3003 3001 05");
        let said = talk(Carrier::Udp, 0, &[(Side::Originator, &message)]);
        assert_eq!(brief(&said, KEYS), ["get_request 3 - - ada 0 1"]);
    }
}
