//! NTP (RFC 5905) and its modes 6 and 7, which let strangers ask a server for much with little.
//!
//! Question and answer are one event, equal ones of a flow are counted (see `ot`). What is no port but content is asked strictly: the packet has no
//! mark of its own, so every field must hold what it can.

use event::{Event, Kind, LogSource, SECOND_NS, Timestamp, field};

use super::ot::Teller;
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static NTP: Protocol = Protocol {
    name: "ntp",
    about: "modes, strata, requests of control and of private use",
    fields: &[field::NTP_MODE, field::NTP_VERSION, field::NTP_STRATUM, field::NTP_REQUEST, field::STATUS_ID, field::BYTES_IN, field::COUNT],
    anomalies: &[],
    probe,
    open: |_| Box::new(Ntp::default()),
};

const PACKET_BYTES: usize = 48;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let Some(first) = bytes.first().filter(|_| carrier == Carrier::Udp) else { return Probe::No };
    let (version, mode) = (first >> 3 & 7, first & 7);
    let good = match mode {
        1..=5 => is_packet(bytes, version),
        6 => is_control(bytes, version),
        7 => is_private(bytes, version),
        _ => false,
    };
    if good { Probe::Yes } else { Probe::No }
}

fn is_packet(bytes: &[u8], version: u8) -> bool {
    let &[_, stratum, poll, precision, delay, _, _, _, dispersion, ..] = bytes else { return false };
    let length = bytes.len();
    // Without anything behind it, with a digest of old (key and 16 or 20 bytes), with a short refusal, with extensions of 4 bytes each.
    let sized = matches!(length, 48 | 52 | 68 | 72) || length > 72 && length < 1500 && length.is_multiple_of(4) && version == 4;
    let signed = !(4..0xc0).contains(&precision);
    // Delays are below a minute or so.
    (1..=4).contains(&version)
        && sized
        && stratum <= 16
        && (poll <= 17 || poll >= 0xf0)
        && signed
        && matches!(delay, 0 | 0xff)
        && dispersion < 0x40
}

/// Mode 6: operation, sequence, status, association, offset, and as many bytes as it counts.
fn is_control(bytes: &[u8], version: u8) -> bool {
    let Some(count) = be16(bytes, 10).map(usize::from) else { return false };
    let operation = bytes.get(1).map_or(0, |b| b & 0x1f);
    let padded = 12 + count.next_multiple_of(4);
    (2..=4).contains(&version)
        && (1..=10).contains(&operation) | (operation == 31)
        && (bytes.len() == padded || bytes.len() == 12 + count || bytes.len() == padded + 20)
}

/// Mode 7: implementation XNTPD or XNTPD_OLD, a request, items of a size.
fn is_private(bytes: &[u8], version: u8) -> bool {
    let &[first, _, implementation, request, a, b, c, d, ..] = bytes else { return false };
    let (items, size) = (usize::from(u16::from_be_bytes([a, b]) & 0x0fff), usize::from(u16::from_be_bytes([c, d]) & 0x0fff));
    let answer = first & 0x80 != 0;
    let sized = if answer {
        bytes.len() >= 8 + items * size && bytes.len() <= 8 + items * size + 40
    } else {
        matches!(bytes.len(), 8 | 40 | 48 | 184 | 192 | 216)
    };
    matches!(version, 2 | 3) && matches!(implementation, 0 | 2 | 3) && request <= 45 && sized
}

struct Pending {
    event: Event,
    mode: u8,
    from: Side,
    time: Timestamp,
}

#[derive(Default)]
struct Ntp {
    pending: Option<Pending>,
    teller: Teller<4>,
}

impl Parser for Ntp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if probe(Carrier::Udp, piece.side, piece.bytes) == Probe::Yes {
            self.packet(piece, out);
        }
        if self.pending.is_some() { Want::Whole } else { Want::More }
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        if self.pending.as_ref().is_some_and(|p| now.since(p.time) >= SECOND_NS) {
            self.unanswered(out);
        }
        if self.pending.is_some() { Want::Wake } else { Want::More }
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.unanswered(out);
        self.teller.end(out);
    }
}

impl Ntp {
    fn packet(&mut self, piece: Piece<'_>, out: &mut dyn Emit) {
        let Some((first, second)) = piece.bytes.first().zip(piece.bytes.get(1)) else { return };
        let mode = first & 7;
        let answer = match mode {
            4 => true,
            6 => second & 0x80 != 0,
            7 => first & 0x80 != 0,
            _ => false,
        };
        let asked =
            self.pending.take_if(|p| p.from != piece.side && (p.mode == mode || (p.mode, mode) == (3, 4) || (p.mode, mode) == (1, 2)));
        let (mut event, by) = match asked {
            Some(pending) => (pending.event, pending.from),
            None => {
                self.unanswered(out);
                (new(mode, piece.bytes, piece.time), if answer { piece.side.other() } else { piece.side })
            }
        };
        let bytes = event.get(field::BYTES_IN).and_then(event::Value::as_int).unwrap_or(0);
        if answer || mode == 2 {
            event.time = piece.time;
            event.body.set(field::STATUS_ID, 1);
            // How much came for the little that was asked.
            event.body.set(field::BYTES_IN, bytes + piece.bytes.len() as i64);
            if mode < 6 {
                event.body.set(field::NTP_STRATUM, *second);
            }
            return self.tell(event, mode, by, out);
        }
        if mode == 5 {
            event.body.set(field::NTP_STRATUM, *second);
            return self.tell(event, mode, by, out);
        }
        self.pending = Some(Pending { event, mode, from: piece.side, time: piece.time });
    }

    fn unanswered(&mut self, out: &mut dyn Emit) {
        if let Some(Pending { event, mode, from, .. }) = self.pending.take() {
            self.tell(event, mode, from, out);
        }
    }

    fn tell(&mut self, event: Event, mode: u8, by: Side, out: &mut dyn Emit) {
        let number = |f| event.get(f).and_then(event::Value::as_int).unwrap_or(-1) as u32;
        let key = [
            u32::from(mode),
            number(field::NTP_STRATUM),
            number(field::STATUS_ID),
            super::wording::key(event.text(field::NTP_REQUEST).as_bytes()),
        ];
        self.teller.poll(key, by, event, out);
    }
}

fn new(mode: u8, bytes: &[u8], time: Timestamp) -> Event {
    let first = bytes.first().copied().unwrap_or(0);
    // OCSF's numbers of activities are those of the modes.
    let mut event = Event::new(time, Kind::NtpActivity, mode, LogSource::new("", "ntp", "ntp"));
    let body = &mut event.body;
    body.set(field::NTP_VERSION, (first >> 3 & 7).to_string());
    // An answer is told under the question it belongs to.
    let mode = if bytes.len() >= PACKET_BYTES && mode == 4 { 3 } else { mode };
    body.set(
        field::NTP_MODE,
        ["reserved", "symmetric_active", "symmetric_passive", "client", "server", "broadcast", "control", "private"][usize::from(mode & 7)],
    );
    body.set(field::STATUS_ID, 0);
    match mode {
        6 => {
            let name = match bytes.get(1).map_or(0, |b| b & 0x1f) {
                1 => "read_status",
                2 => "read_variables",
                3 => "write_variables",
                4 => "read_clock_variables",
                5 => "write_clock_variables",
                6 => "set_trap",
                8 => "configure",
                9 => "export_configuration",
                10 => "read_most_recently_used",
                31 => "unset_trap",
                _ => "other",
            };
            body.set(field::NTP_REQUEST, name);
        }
        7 => {
            let name = match bytes.get(3) {
                Some(0) => "peer_list",
                Some(1) => "peer_list_sum",
                Some(2) => "peer_info",
                Some(4) => "system_info",
                Some(16) => "restrict_list",
                Some(20 | 42) => "monlist",
                _ => "other",
            };
            body.set(field::NTP_REQUEST, name);
        }
        _ => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, hex, talk};
    use super::*;

    const KEYS: &[&str] = &["ntp.mode", "version", "ntp.stratum", "ntp.request", "status_id", "traffic.bytes_in", "count"];

    #[test]
    fn clocks_are_compared_and_polls_counted() {
        let mut ask = hex("23 00 06 ec");
        ask.resize(48, 0);
        let mut answer = hex("24 02 06 ec 00000100 00000200 c0a80001");
        answer.resize(48, 7);
        let once = [(Side::Originator, ask.as_slice()), (Side::Responder, answer.as_slice())];
        let says = [once, once, once].concat();
        assert_eq!(brief(&talk(Carrier::Udp, 0, &says), KEYS), ["client 4 2 - 1 48 1", "client 4 2 - 1 48 2"]);
    }

    #[test]
    fn a_list_of_everybody_is_asked_for() {
        let ask = hex("17 00 03 2a 0000 0000");
        let mut answer = hex("97 00 03 2a 0006 0048");
        answer.resize(8 + 6 * 72, 1);
        let said = talk(Carrier::Udp, 0, &[(Side::Originator, &ask), (Side::Responder, &answer)]);
        assert_eq!(brief(&said, KEYS), ["private 2 - monlist 1 440 1"]);
        let ask = hex("16 02 0001 0000 0000 0000 0000");
        assert_eq!(brief(&talk(Carrier::Udp, 0, &[(Side::Originator, &ask)]), KEYS), ["control 2 - read_variables 0 - 1"]);
    }

    #[test]
    fn noise_is_no_clock() {
        let noise: Vec<u8> = (0..48).map(|n| (n * 37 + 35) as u8).collect();
        assert!(talk(Carrier::Udp, 0, &[(Side::Originator, &noise)]).is_empty());
    }
}
