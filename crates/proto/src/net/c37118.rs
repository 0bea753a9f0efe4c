//! IEEE C37.118.2-2011: frames of phasor measurement units over TCP and UDP; commands told one by one, data counted (see `ot`).
//!
//! Limits: a frame is at most 65,535 bytes, of which `FRAME_BYTES_MAX` are looked at. A wrong checksum is an anomaly; reading goes on at the next
//! bytes that begin a frame with a right one.

use event::{Timestamp, field};

use super::ot::{self, Teller};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static C37118: Protocol = Protocol {
    name: "c37118",
    about: "C37.118 synchrophasors: commands, configurations, data by measurement unit",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_STATION,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::COUNT,
    ],
    anomalies: &["c37118_bad_crc", "c37118_out_of_sync"],
    probe,
    open: |_| Box::new(C37::default()),
};

/// Sync word, size, id, second, fraction, checksum.
const LEAST_BYTES: usize = 16;
/// A configuration of many stations; larger frames are not waited for.
const FRAME_BYTES_MAX: usize = 16 << 10;
const HELD_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// CRC-CCITT begun with all ones (annex B).
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff_u16, |crc, b| {
        (0..8).fold(crc ^ u16::from(*b) << 8, |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 })
    })
}

enum Front<'b> {
    Frame(&'b [u8]),
    BadSum(usize),
    Wait,
    No,
}

fn front(bytes: &[u8]) -> Front<'_> {
    match bytes {
        [] | [0xaa] => return Front::Wait,
        [0xaa, kind, ..] if kind & 0x80 == 0 && kind >> 4 <= 5 && matches!(kind & 0x0f, 1..=3) => {}
        _ => return Front::No,
    }
    let Some(length) = be16(bytes, 2).map(usize::from) else { return Front::Wait };
    if !(LEAST_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Front::No;
    }
    let Some(frame) = bytes.get(..length) else { return Front::Wait };
    match frame.split_last_chunk::<2>() {
        Some((content, sum)) if checksum(content) == u16::from_be_bytes(*sum) => Front::Frame(frame),
        _ => Front::BadSum(length),
    }
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match front(bytes) {
        Front::Frame(_) => Probe::Yes,
        Front::Wait if carrier == Carrier::Tcp && !bytes.is_empty() => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct C37 {
    held: [Held; 2],
    met: [bool; 2],
    /// The side that commands.
    commands: Option<Side>,
    teller: Teller,
}

impl Parser for C37 {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            self.met[at] = false;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(FRAME_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            while !held.bytes().is_empty() {
                let length = match front(held.bytes()) {
                    Front::Frame(frame) => {
                        self.met[at] = true;
                        self.frame(piece.side, frame, piece.time, out);
                        frame.len()
                    }
                    Front::BadSum(length) => {
                        out.anomaly("c37118_bad_crc", "frame passed over", piece.time);
                        length
                    }
                    Front::Wait => break,
                    Front::No => {
                        if std::mem::take(&mut self.met[at]) {
                            out.anomaly("c37118_out_of_sync", "bytes between frames", piece.time);
                        }
                        let rest = held.bytes().get(1..).unwrap_or_default();
                        1 + rest.iter().position(|b| *b == 0xaa).unwrap_or(rest.len())
                    }
                };
                held.eat(length);
            }
        }
        self.held[at] = held;
        Want::Whole
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.teller.end(out);
    }
}

impl C37 {
    fn frame(&mut self, side: Side, frame: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let (kind, station) = (frame.get(1).map_or(0, |b| b >> 4), be16(frame, 4).unwrap_or(0));
        let command = if kind == 4 { be16(frame, 14) } else { None };
        if kind == 4 {
            self.commands = Some(side);
        }
        let by = *self.commands.get_or_insert(side.other());
        let name = match (kind, command) {
            (0, _) => "data",
            (1, _) => "header",
            (2, _) => "configuration_1",
            (3, _) => "configuration_2",
            (5, _) => "configuration_3",
            (4, Some(1)) => "turn_off_transmission",
            (4, Some(2)) => "turn_on_transmission",
            (4, Some(3)) => "send_header",
            (4, Some(4)) => "send_configuration_1",
            (4, Some(5)) => "send_configuration_2",
            (4, Some(6)) => "send_configuration_3",
            (4, Some(8)) => "extended_frame",
            _ => "other",
        };
        let mut event = ot::event("c37118", if kind == 4 { "request" } else { "response" }, name, time);
        event.body.set_some(field::OT_FUNCTION, command);
        event.body.set(field::OT_STATION, station);
        // To end the stream blinds whoever watches the grid.
        let (access, is_write) = match (kind, command) {
            (4, Some(1)) => ("mode", true),
            (4, Some(2)) => ("mode", false),
            (4, Some(8)) => ("configure", true),
            (4, _) => ("identify", false),
            _ => ("read", false),
        };
        ot::purpose(&mut event, access, is_write);
        if kind == 4 {
            return self.teller.single(by, event, out);
        }
        self.teller.poll([u32::from(kind), u32::from(station), 0, 0], by, event, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, brief, hex, piece, talk};
    use super::*;

    fn frame(kind: u8, content: &str) -> Vec<u8> {
        let content = hex(content);
        let length = (LEAST_BYTES + content.len()) as u16;
        let mut bytes = vec![0xaa, kind << 4 | 1];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&hex("001e 44853600 000000 00"));
        bytes.extend_from_slice(&content);
        let sum = checksum(&bytes).to_be_bytes();
        bytes.extend_from_slice(&sum);
        bytes
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0x29b1);
    }

    #[test]
    fn commands_are_told_and_data_is_counted_however_it_is_cut() {
        let (off, data) = (frame(4, "0001"), frame(0, "0000 11223344"));
        let mut wrong = data.clone();
        wrong[12] ^= 1;
        let all = [data.as_slice(), &data, &wrong, &data].concat();
        for step in [1, 400] {
            let said = talk(Carrier::Tcp, step, &[(Side::Originator, &off), (Side::Responder, &all)]);
            let told: Vec<String> = said.iter().filter(|l| !l.starts_with("anomaly")).cloned().collect();
            assert_eq!(
                brief(&told, &["ot.function_name", "ot.station", "ot.is_write", "count"]),
                ["turn_off_transmission 30 true -", "data 30 false 1", "data 30 false 2"],
                "{said:?}"
            );
            assert_eq!(said.len(), 4, "{said:?}");
        }
    }

    #[test]
    fn the_commanding_side_is_the_source_and_garbage_is_passed_over() {
        let (mut parser, mut seen) = (C37::default(), Seen::default());
        parser.feed(piece(Side::Originator, &frame(0, "0000"), 0), &mut seen);
        parser.feed(piece(Side::Originator, &[&[0x55; 30], frame(0, "0000").as_slice()].concat(), 0), &mut seen);
        parser.end(Timestamp::ZERO, &mut seen);
        assert!(seen.0.iter().filter(|l| l.starts_with("c37118")).all(|l| l.ends_with("by=responder")), "{:?}", seen.0);
        assert!(seen.0.iter().any(|l| l.starts_with("anomaly c37118_out_of_sync")), "{:?}", seen.0);
        for bytes in [&b"\xaa\x01\0\x10 not a frame....."[..], b"GET / HTTP/1.1\r\n"] {
            assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
        }
    }
}
