//! MQTT 3.1, 3.1.1 and 5: clients and their log-ins, topics subscribed to and published under, counts of all messages.
//!
//! A connection joined in the middle is not known: its messages name nothing. Messages under a topic are counted (see `ot`); what they carry is not
//! looked at, a password is never kept. Limits: `HEAD_BYTES` of a message are looked at, `TOPICS_MAX` topics of one are named.

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::frames::{Frames, Shape};
use super::login::{self, Login, Outcome};
use super::ot::Teller;
use super::wording::{self, Tally};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static MQTT: Protocol = Protocol {
    name: "mqtt",
    about: "clients, log-ins, topics subscribed to and published under",
    fields: login::fields![
        field::COMMAND,
        field::COMMANDS,
        field::MQTT_CLIENT,
        field::MQTT_TOPICS,
        field::MQTT_VERSION,
        field::MQTT_HAS_USER,
        field::REPLY_CODE,
        field::COUNT,
    ],
    anomalies: &["mqtt_out_of_sync"],
    probe,
    open: |_| Box::new(Mqtt::default()),
};

const HEAD_BYTES: usize = 2 << 10;
const TOPICS_MAX: usize = 16;
/// Most a message can be, by four digits of seven bits.
const DIGITS_MAX: usize = 4;

static SHAPE: Shape = Shape {
    header: 2,
    keep: HEAD_BYTES,
    length: |b| match varint(b.get(1..)?) {
        Some((length, digits)) => Some(1 + digits + length),
        None if b.len() <= DIGITS_MAX => Some(0),
        None => None,
    },
    sync: |_| None,
};

/// A number of up to four digits of seven bits, and how many it has.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (at, b) in bytes.iter().take(DIGITS_MAX).enumerate() {
        number |= usize::from(b & 0x7f) << (7 * at);
        if b & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes {
        [0x10, rest @ ..] if carrier == Carrier::Tcp => {
            let Some((_, digits)) = varint(rest) else { return if rest.len() < DIGITS_MAX { Probe::Maybe } else { Probe::No } };
            let name = rest.get(digits..).unwrap_or_default();
            let known = [&b"\0\x04MQTT"[..], b"\0\x06MQIsdp"];
            match () {
                () if known.iter().any(|k| name.starts_with(k)) => Probe::Yes,
                () if known.iter().any(|k| k.starts_with(name)) => Probe::Maybe,
                () => Probe::No,
            }
        }
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Mqtt {
    frames: [Frames; 2],
    talk: Talk,
}

#[derive(Default)]
struct Talk {
    client: Option<Side>,
    version: u8,
    id: Option<String>,
    login: Login,
    /// The client has asked to be let in.
    open: bool,
    tally: Tally,
    teller: Teller<32>,
}

impl Parser for Mqtt {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let talk = &mut self.talk;
        let in_step = self.frames[at].feed(&SHAPE, piece.bytes, &mut |head, _| {
            let _ = talk.message(piece.side, head, piece.time, out);
            true
        });
        if !in_step {
            out.anomaly("mqtt_out_of_sync", "bytes between messages", piece.time);
        }
        Want::Whole
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.talk.end(now, out);
    }
}

/// A text with its length in front; moves on behind it.
fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::from(be16(rest, 0)?);
    let text = rest.get(2..2 + length)?;
    *rest = rest.get(2 + length..)?;
    Some(text)
}

impl Talk {
    fn by(&self) -> Side {
        self.client.unwrap_or(Side::Originator)
    }

    fn message(&mut self, side: Side, head: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let first = *head.first()?;
        let (_, digits) = varint(head.get(1..)?)?;
        let body = head.get(1 + digits..)?;
        self.tally.say(name(first >> 4));
        match first >> 4 {
            1 => self.connect(side, body),
            2 => {
                let code = i64::from(*body.get(1)?);
                self.answered(Some(code), time, out);
                Some(())
            }
            3 => {
                let mut rest = body;
                let topic = wording::text(text(&mut rest)?);
                let key = [3, wording::key(topic.as_bytes()), side as u32, 0];
                let event = self.event("publish", time).with(field::MQTT_TOPICS, vec![Value::from(topic)]);
                self.teller.poll(key, side, event, out);
                Some(())
            }
            8 => {
                let mut rest = self.behind_properties(body.get(2..)?)?;
                let mut topics = Vec::new();
                while let Some(topic) = text(&mut rest) {
                    if topics.len() < TOPICS_MAX {
                        topics.push(Value::from(wording::text(topic)));
                    }
                    rest = rest.get(1..)?;
                }
                let event = self.event("subscribe", time).with(field::MQTT_TOPICS, topics);
                out.asked(side, Class::Normal, event);
                Some(())
            }
            _ => None,
        }
    }

    fn behind_properties<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        if self.version < 5 {
            return Some(body);
        }
        let (length, digits) = varint(body)?;
        body.get(digits + length..)
    }

    fn connect(&mut self, side: Side, body: &[u8]) -> Option<()> {
        self.client = Some(side);
        let mut rest = body;
        text(&mut rest)?;
        self.version = *rest.first()?;
        let flags = *rest.get(1)?;
        (self.open, self.login) = (true, Login::default());
        rest = self.behind_properties(rest.get(4..)?)?;
        self.id = Some(wording::text(text(&mut rest)?));
        // A message for the case that the client falls silent.
        if flags & 4 != 0 {
            rest = self.behind_properties(rest)?;
            text(&mut rest)?;
            text(&mut rest)?;
        }
        if flags & 0x80 != 0 {
            self.login.user = Some(wording::text(text(&mut rest)?));
        }
        self.login.cleartext = flags & 0x40 != 0;
        self.login.scheme = (flags & 0xc0 != 0).then_some("password");
        Some(())
    }

    fn event(&self, command: &'static str, time: Timestamp) -> Event {
        let mut event = Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "mqtt", "mqtt")).with(field::COMMAND, command);
        event.body.set_some(field::MQTT_CLIENT, self.id.clone().filter(|id| !id.is_empty()));
        event.body.set_some(field::USER_NAME, self.login.user.clone());
        event
    }

    fn answered(&mut self, code: Option<i64>, time: Timestamp, out: &mut dyn Emit) {
        self.open = false;
        let outcome = match code {
            None => Outcome::Unknown,
            Some(0) => Outcome::Success,
            Some(_) => Outcome::Failure,
        };
        let mut event = self.login.clone().event("mqtt", outcome, time);
        event.body.set_some(field::MQTT_CLIENT, self.id.clone().filter(|id| !id.is_empty()));
        event.body.set_some(field::MQTT_VERSION, self.version());
        event.body.set(field::MQTT_HAS_USER, self.login.user.is_some());
        event.body.set_some(field::REPLY_CODE, code);
        login::tell(self.by(), event, code.filter(|c| *c != 0).map(|c| refusal(c).as_bytes()), out);
    }

    const fn version(&self) -> Option<&'static str> {
        match self.version {
            3 => Some("3.1"),
            4 => Some("3.1.1"),
            5 => Some("5"),
            _ => None,
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.open {
            self.answered(None, now, out);
        }
        self.teller.end(out);
        let (mut event, by) = (self.event("session", now), self.by());
        event.body.set_some(field::MQTT_VERSION, self.version());
        wording::summary(&mut self.tally, by, event, now, out);
    }
}

/// Name of a kind of message, as the counts of a session write it.
pub const fn name(kind: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "reserved",
        "connect",
        "connack",
        "publish",
        "puback",
        "pubrec",
        "pubrel",
        "pubcomp",
        "subscribe",
        "suback",
        "unsubscribe",
        "unsuback",
        "pingreq",
        "pingresp",
        "disconnect",
        "auth",
    ];
    NAMES[(kind & 15) as usize]
}

const fn refusal(code: i64) -> &'static str {
    match code {
        1 | 0x84 => "unacceptable protocol version",
        2 | 0x85 => "identifier rejected",
        3 | 0x88 => "server unavailable",
        4 | 0x86 => "bad user name or password",
        5 | 0x87 => "not authorized",
        0x8a => "banned",
        0x8c => "bad authentication method",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    #[test]
    fn a_refused_client_and_a_listener_to_everything() {
        let (o, r) = (Side::Originator, Side::Responder);
        for step in [1, 4, 100] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (o, b"\x10\x17\0\x04MQTT\x04\xc2\0\x3c\0\x02c1\0\x03ada\0\x02pw"),
                    (r, b"\x20\x02\0\x05"),
                    (o, b"\x82\x06\0\x01\0\x01#\0"),
                    (r, b"\x90\x03\0\x01\0"),
                    (o, b"\x30\x06\0\x03a/bx\x30\x06\0\x03a/bx"),
                ],
            );
            assert_eq!(
                brief(&said, &["user.name", "command", "mqtt.client_id", "mqtt.topics", "status_id", "app.reply_code", "count"]),
                [
                    "ada - c1 - 2 5 -",
                    "ada subscribe c1 # - - -",
                    "ada publish c1 a/b - - 1",
                    "ada publish c1 a/b - - 1",
                    "ada session c1 - - - 6"
                ],
                "{step}: {said:?}"
            );
        }
    }

    #[test]
    fn version_5_with_properties() {
        let said = talk(
            Carrier::Tcp,
            100,
            &[
                (Side::Originator, b"\x10\x15\0\x04MQTT\x05\x02\0\x3c\x05\x11\0\0\0\x0a\0\x03abc"),
                (Side::Responder, b"\x20\x03\0\0\0"),
                (Side::Originator, b"\x82\x0b\0\x01\x02\x0b\x01\0\x03x/y\0"),
            ],
        );
        assert_eq!(
            brief(&said, &["mqtt.client_id", "mqtt.version", "mqtt.has_user", "status_id", "mqtt.topics"]),
            ["abc 5 false 1 -", "abc - - - x/y", "abc 5 - - -"]
        );
    }
}
