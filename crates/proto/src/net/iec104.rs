//! IEC 60870-5-104 (edition 2 with amendment 1) over TCP: APCI frames, ASDUs as IEC 60870-5-101 clause 7 lays them out.
//!
//! A command is told the moment it is seen, its confirmation, refusal or termination as an answer of its own: stations take minutes over some.
//! The source of every event is the controlling station; `ot.station` is the common address, `ot.object_address` the information object.
//! Values that stations report, and confirmations, are counted (see `ot`). STARTDT and STOPDT are told; test frames are counted;
//! acknowledgements (S frames) are not told.
//!
//! A refusal of an execute that no select came before on this connection has `no_select` as its reason; `SELECTED_MAX` selects are remembered.
//! Limits: a frame is at most 255 bytes. What is no frame is an anomaly; reading goes on at the next byte that begins one.

mod asdu;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use event::{Timestamp, field};

use self::asdu::Asdu;
use super::ot::{self, Teller};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static IEC104: Protocol = Protocol {
    name: "iec104",
    about: "IEC 60870-5-104: commands, confirmations, reported values, file transfer",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_STATION,
        field::OT_MASTER,
        field::OT_OBJECT_TYPE,
        field::OT_OBJECT_ADDRESS,
        field::OT_OBJECT_COUNT,
        field::OT_OBJECTS,
        field::OT_VALUE,
        field::OT_VALUES,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::OT_EXCEPTION,
        field::OT_EXCEPTION_NAME,
        field::OT_CAUSE,
        field::OT_MODE,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["iec104_malformed", "iec104_out_of_sync"],
    probe,
    open: |_| Box::new(Iec104::default()),
};

const START: u8 = 0x68;
const FRAME_BYTES_MAX: usize = 255;
const HELD_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
const SELECTED_MAX: usize = 64;

/// A frame by its control octets (IEC 60870-5-104 clause 5).
enum Apci<'b> {
    /// Numbered information: an ASDU.
    I(&'b [u8]),
    /// Acknowledgement.
    S,
    /// Unnumbered control: its first octet.
    U(u8),
}

/// What stands at the front.
enum Front<'b> {
    Frame(Apci<'b>, usize),
    Wait,
    No,
}

fn front(bytes: &[u8]) -> Front<'_> {
    match bytes {
        [] | [START] => return Front::Wait,
        [START, 4..=253, ..] => {}
        _ => return Front::No,
    }
    let whole = 2 + bytes.get(1).map_or(0, |n| usize::from(*n));
    let Some(&[a, b, c, d]) = bytes.get(2..6) else {
        // What has come of the control octets may rule a frame out already.
        return if bytes.get(2).is_none_or(|a| a & 1 == 0 || whole == 6) { Front::Wait } else { Front::No };
    };
    let frame = match a & 3 {
        0 | 2 if c & 1 == 0 && whole > 6 => match bytes.get(6..whole) {
            Some(asdu) => Apci::I(asdu),
            None => return Front::Wait,
        },
        1 if (a, b, c & 1, whole) == (1, 0, 0, 6) => Apci::S,
        3 if matches!(a, 0x07 | 0x0b | 0x13 | 0x23 | 0x43 | 0x83) && (b, c, d, whole) == (0, 0, 0, 6) => Apci::U(a),
        _ => return Front::No,
    };
    Front::Frame(frame, whole)
}

/// Bytes to the next that may begin a frame.
fn next(bytes: &[u8]) -> usize {
    let rest = bytes.get(1..).unwrap_or_default();
    1 + rest.iter().position(|b| *b == START).unwrap_or(rest.len())
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
        return Probe::No;
    }
    match front(bytes) {
        Front::Frame(Apci::U(_), _) => Probe::Yes,
        Front::Frame(Apci::S, whole) => bytes.get(whole).map_or(Probe::Maybe, |b| if *b == START { Probe::Yes } else { Probe::No }),
        // Only what fills its frame to the byte.
        Front::Frame(Apci::I(asdu), _) => match Asdu::read(asdu) {
            Some(asdu) if asdu.fits => Probe::Yes,
            _ => Probe::No,
        },
        Front::Wait if !bytes.is_empty() => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Iec104 {
    held: [Held; 2],
    met: [bool; 2],
    /// The controlling side, once something told.
    controls: Option<Side>,
    /// Type, common address and object of commands that were selected.
    selected: VecDeque<(u8, u16, u32)>,
    teller: Teller,
}

impl Parser for Iec104 {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            self.met[at] = false;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(FRAME_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            loop {
                let met = self.met[at];
                let length = match front(held.bytes()) {
                    // Where it is not known that a frame begins here, only what fills one to the byte is believed: it might be a value.
                    Front::Frame(Apci::I(bytes), _) if !met && !Asdu::read(bytes).is_some_and(|a| a.fits) => {
                        let kind = bytes.first().copied().unwrap_or(0);
                        out.anomaly("iec104_malformed", &format!("type {kind} in {} octets that do not hold it", bytes.len()), piece.time);
                        next(held.bytes())
                    }
                    Front::Frame(apci, length) => {
                        self.met[at] = true;
                        match apci {
                            Apci::I(bytes) => self.asdu(piece.side, bytes, piece.time, out),
                            Apci::U(control) => self.unnumbered(piece.side, control, piece.time, out),
                            Apci::S => {}
                        }
                        length
                    }
                    Front::Wait => break,
                    Front::No => {
                        if std::mem::take(&mut self.met[at]) {
                            out.anomaly("iec104_out_of_sync", "bytes between frames", piece.time);
                        }
                        next(held.bytes())
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

impl Iec104 {
    fn unnumbered(&mut self, side: Side, control: u8, time: Timestamp, out: &mut dyn Emit) {
        let (name, asks) = match control {
            0x07 => ("startdt_activation", true),
            0x0b => ("startdt_confirmation", false),
            0x13 => ("stopdt_activation", true),
            0x23 => ("stopdt_confirmation", false),
            0x43 => ("testfr_activation", true),
            _ => ("testfr_confirmation", false),
        };
        // Either side may test; only the controlling one starts and stops.
        let test = matches!(control, 0x43 | 0x83);
        if !test {
            self.controls = Some(if asks { side } else { side.other() });
        }
        let by = self.controls.unwrap_or(Side::Originator);
        let mut event = ot::event("iec104", if asks { "request" } else { "response" }, name, time);
        ot::purpose(&mut event, "session", false);
        if asks && !test {
            self.teller.single(by, event, out)
        } else {
            self.teller.poll([0x100 | u32::from(control), 0, 0, 0], by, event, out)
        }
    }

    fn asdu(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let odd = |out: &mut dyn Emit| {
            let kind = bytes.first().copied().unwrap_or(0);
            out.anomaly("iec104_malformed", &format!("type {kind} in {} octets that do not hold it", bytes.len()), time);
        };
        let Some(asdu) = Asdu::read(bytes) else { return odd(out) };
        if !asdu.fits {
            odd(out);
        }
        let command = matches!(asdu.kind, 45..=69 | 100..=113);
        // By the cause, since type numbers are the same both ways.
        let asks = match asdu.cause {
            6 | 8 => true,
            7 | 9 | 10 | 44..=47 => false,
            // A read names its object with cause 5; the answer is a measured value. Files go both ways.
            5 if asdu.kind == 102 => true,
            _ if matches!(asdu.kind, 120..=127) => self.controls.is_none_or(|c| c == side),
            // A command with the cause of a report: made up or replayed, and still a command if the controlling side sends it.
            _ => command && self.controls == Some(side),
        };
        if asks {
            self.controls = Some(side);
        }
        let by = *self.controls.get_or_insert(side.other());
        let direction = match (asks, asdu.cause) {
            (true, _) => "request",
            (false, 1..=4 | 11 | 12) => "unsolicited",
            (false, _) => "response",
        };
        let negative = asdu.negative && matches!(asdu.cause, 7 | 9 | 10);
        let mut event = ot::event("iec104", direction, asdu::type_name(asdu.kind), time);
        let body = &mut event.body;
        body.set(field::OT_FUNCTION, asdu.kind);
        body.set(field::OT_STATION, asdu.station);
        body.set(field::OT_MASTER, asdu.originator);
        body.set(field::OT_CAUSE, if negative { "negative_confirmation" } else { asdu::cause_name(asdu.cause) });
        body.set_some(field::OT_OBJECT_TYPE, asdu::object_type(asdu.kind));
        body.set_some(field::OT_OBJECT_ADDRESS, asdu.addresses.first().copied());
        body.set(field::OT_OBJECT_COUNT, asdu.count);
        let (access, writes) = asdu::purpose(asdu.kind, asdu.cause);
        ot::purpose(&mut event, access, writes && asks);
        if matches!(asdu.kind, 45..=69) {
            let mode = match (asdu.cause, asdu.select) {
                (8 | 9, _) => "deactivate",
                (_, true) => "select",
                _ => "execute",
            };
            event.body.set(field::OT_MODE, mode);
        }
        if command {
            ot::objects(&mut event, asdu.addresses.iter().map(u32::to_string).collect());
            ot::values(&mut event, &asdu.values);
        }
        self.select(&asdu, asks);
        let refused = negative || matches!(asdu.cause, 44..=47);
        if command && !asks && matches!(asdu.cause, 7 | 9 | 10 | 44..=47) {
            let known = self.selected.iter().any(|s| *s == asdu.command());
            let reason = match asdu.cause {
                44..=47 => asdu::cause_name(asdu.cause),
                7 if !asdu.select && matches!(asdu.kind, 45..=69) && !known => "no_select",
                _ => "negative_confirmation",
            };
            ot::outcome(&mut event, refused.then_some((u32::from(asdu.cause), reason)));
        }
        // Each object of a sweep is refused by itself.
        if refused || asks && !matches!(asdu.kind, 100 | 101 | 102 | 103 | 104 | 107) {
            return self.teller.single(by, event, out);
        }
        let key = [u32::from(asdu.kind), u32::from(asdu.station), u32::from(asdu.cause), u32::from(asks)];
        self.teller.poll(key, by, event, out);
    }

    /// Remembers what was selected, until it is executed or given up.
    fn select(&mut self, asdu: &Asdu, asks: bool) {
        let command = asdu.command();
        match (asdu.cause, asdu.select) {
            (6, true) if asks => {
                if self.selected.len() >= SELECTED_MAX {
                    self.selected.pop_front();
                }
                self.selected.push_back(command);
            }
            (8, _) | (10, _) => self.selected.retain(|s| *s != command),
            _ => {}
        }
    }
}
