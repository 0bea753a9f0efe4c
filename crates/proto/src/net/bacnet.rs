//! BACnet/IP (ASHRAE 135, annex J over clauses 6 and 20): link functions, services with their answers, objects and properties.
//!
//! Confirmed requests are joined with their answers by invoke number; reads and notifications are counted (see `ot`). Of a segmented
//! message the first segment is read. Limits: a datagram is a message; what waits is bounded in `ot`.

#[cfg(test)]
mod tests;

use event::{Event, Timestamp, field};

use super::ot::{self, Asked, Teller, Waiting};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static BACNET: Protocol = Protocol {
    name: "bacnet",
    about: "BACnet/IP services with their answers, objects and properties, broadcast tables",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_SUB_FUNCTION,
        field::OT_SUB_FUNCTION_NAME,
        field::OT_STATION,
        field::OT_OBJECT_TYPE,
        field::OT_OBJECT_ADDRESS,
        field::OT_OBJECTS,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::OT_EXCEPTION,
        field::OT_EXCEPTION_NAME,
        field::OT_TRANSACTION,
        field::OT_RESPONSE_MS,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["bacnet_malformed"],
    probe,
    open: |_| Box::new(Bacnet::default()),
};

/// Whether the length that a datagram states is its own.
fn fits(bytes: &[u8]) -> bool {
    be16(bytes, 2).is_some_and(|length| usize::from(length) == bytes.len())
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes {
        _ if carrier == Carrier::Tcp => Probe::No,
        [0x81, 0..=0x0c, ..] if fits(bytes) => Probe::Yes,
        // A wrong length is an oddity of this protocol and not another one: version 1 and the unused bits of the network layer tell.
        [0x81, 0x09..=0x0b, _, _, 1, control, ..] if control & 0x50 == 0 => Probe::Yes,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Bacnet {
    /// By invoke id, service and the side that asks.
    waiting: Waiting<(u8, u8, Side)>,
    teller: Teller,
}

impl Parser for Bacnet {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if !fits(piece.bytes) {
            out.anomaly("bacnet_malformed", "the length it states is not its own", piece.time);
        }
        if self.link(piece, out).is_none() {
            out.anomaly("bacnet_malformed", "it ends too early", piece.time);
        }
        Want::Whole
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        self.waiting.wake(now, &mut self.teller, out)
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.waiting.end(&mut self.teller, out);
    }
}

impl Bacnet {
    /// The virtual link layer (annex J.2). None where the bytes end too early.
    fn link(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Option<()> {
        let &[0x81, function, _, _, ref rest @ ..] = piece.bytes else { return None };
        let (name, is_write) = match function {
            0x01 => ("write_broadcast_distribution_table", true),
            0x02 => ("read_broadcast_distribution_table", false),
            0x05 => ("register_foreign_device", true),
            0x06 => ("read_foreign_device_table", false),
            0x08 => ("delete_foreign_device_table_entry", true),
            // The address of the station it comes from stands in front.
            0x04 => return self.network(piece, rest.get(6..)?, out),
            0x09..=0x0b => return self.network(piece, rest, out),
            _ => return Some(()),
        };
        let mut event = ot::event("bacnet", "request", name, piece.time);
        event.body.set(field::OT_FUNCTION, function);
        ot::purpose(&mut event, if is_write { "configure" } else { "identify" }, is_write);
        self.teller.poll([0x100 | u32::from(function), 0, 0, 0], piece.side, event, out);
        Some(())
    }

    /// The network layer (clause 6.2): addresses and hops are passed over.
    fn network(&mut self, piece: Piece<'_>, npdu: &[u8], out: &mut dyn Emit) -> Option<()> {
        let &[1, control, ref rest @ ..] = npdu else { return None };
        let mut rest = rest;
        for bit in [0x20, 0x08] {
            if control & bit != 0 {
                let length = usize::from(*rest.get(2)?);
                rest = rest.get(3 + length..)?;
            }
        }
        if control & 0x20 != 0 {
            rest = rest.get(1..)?;
        }
        // Messages of routers among themselves.
        if control & 0x80 != 0 { Some(()) } else { self.application(piece, rest, out) }
    }

    fn application(&mut self, piece: Piece<'_>, apdu: &[u8], out: &mut dyn Emit) -> Option<()> {
        let head = *apdu.first()?;
        // Segmented messages carry a number and a window more.
        let extra = if head & 0x08 != 0 { 2 } else { 0 };
        match head >> 4 {
            0 => {
                let (invoke, service) = (*apdu.get(2)?, *apdu.get(3 + extra)?);
                if extra > 0 && *apdu.get(3)? > 0 {
                    return Some(());
                }
                let data = apdu.get(4 + extra..).unwrap_or_default();
                let mut event = ot::event("bacnet", "request", confirmed_name(service), piece.time);
                event.body.set(field::OT_FUNCTION, service);
                event.body.set(field::OT_TRANSACTION, invoke);
                let (access, is_write) = purpose(service);
                ot::purpose(&mut event, access, is_write);
                let number = describe(&mut event, service, data);
                let key = [u32::from(service), number, 0, 0];
                let asked = Asked { id: (invoke, service, piece.side), by: piece.side, time: piece.time, key, event };
                self.waiting.ask(asked, &mut self.teller, out);
            }
            1 => {
                let service = *apdu.get(1)?;
                let mut event = ot::event("bacnet", "request", unconfirmed_name(service), piece.time);
                event.body.set(field::OT_FUNCTION, service);
                let (access, is_write) = match service {
                    6 | 9 => ("time", false),
                    10 => ("write", true),
                    7 | 8 => ("identify", false),
                    _ => ("read", false),
                };
                if matches!(service, 0..=5) {
                    event.body.set(field::OT_DIRECTION, "unsolicited");
                }
                ot::purpose(&mut event, access, is_write);
                if let (0, Some(device)) = (service, apdu.get(2..).and_then(|d| object(d, 0xc4))) {
                    event.body.set(field::OT_STATION, device & 0x003f_ffff);
                }
                // The clock of a building is set once an hour at most: told one by one.
                if matches!(service, 6 | 9 | 10) {
                    self.teller.single(piece.side, event, out);
                } else {
                    self.teller.poll([0x200 | u32::from(service), 0, 0, 0], piece.side, event, out);
                }
            }
            kind @ (2 | 3 | 5 | 6 | 7) => {
                let invoke = *apdu.get(1)?;
                let extra = if kind == 3 { extra } else { 0 };
                if extra > 0 && *apdu.get(2)? > 0 {
                    return Some(());
                }
                let service = if kind >= 6 { None } else { Some(*apdu.get(2 + extra)?) };
                let refusal = match kind {
                    // Class and code, each behind its tag.
                    5 => Some((u32::from(apdu.get(6).copied().unwrap_or(0)), "error")),
                    6 => Some((u32::from(*apdu.get(2)?), "reject")),
                    7 => Some((u32::from(*apdu.get(2)?), "abort")),
                    _ => None,
                };
                self.answer(piece, invoke, service, refusal, out);
            }
            // Acknowledgements of segments.
            _ => {}
        }
        Some(())
    }

    fn answer(&mut self, piece: Piece<'_>, invoke: u8, service: Option<u8>, refusal: Option<(u32, &'static str)>, out: &mut dyn Emit) {
        let fits = |(asked, of, by): (u8, u8, Side)| by != piece.side && asked == invoke && service.is_none_or(|s| s == of);
        if let Some(Asked { mut event, time, key, by, .. }) = self.waiting.take(|a| fits(a.id)) {
            ot::answered(&mut event, time, piece.time);
            ot::outcome(&mut event, refusal);
            return self.teller.poll(key, by, event, out);
        }
        let mut event = ot::event("bacnet", "response", service.map_or("other", confirmed_name), piece.time);
        event.body.set_some(field::OT_FUNCTION, service);
        event.body.set(field::OT_TRANSACTION, invoke);
        ot::purpose(&mut event, "read", false);
        ot::outcome(&mut event, refusal);
        let number = service.map_or(0x100, u32::from);
        self.teller.poll([0x400 | number, 0, 0, 0], piece.side.other(), event, out);
    }
}

/// An object identifier behind its tag: ten bits of type, twenty-two of instance.
fn object(data: &[u8], tag: u8) -> Option<u32> {
    match data {
        &[t, a, b, c, d, ..] if t == tag => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}

/// Object, property and state of a request; a number that equal ones share.
fn describe(event: &mut Event, service: u8, data: &[u8]) -> u32 {
    let state = |tag: u8| match data {
        [t, value, ..] if *t == tag => Some(*value),
        // A time in minutes may stand in front.
        [0x09, _, t, value, ..] | [0x0a, _, _, t, value, ..] if *t == tag => Some(*value),
        _ => None,
    };
    let state = match service {
        17 => state(0x19).map(|s| (s, ["enable", "disable", "disable_initiation"].get(usize::from(s)).copied())),
        20 => {
            let states =
                ["coldstart", "warmstart", "startbackup", "endbackup", "startrestore", "endrestore", "abortrestore", "activate_changes"];
            state(0x09).map(|s| (s, states.get(usize::from(s)).copied()))
        }
        _ => None,
    };
    if let Some((state, name)) = state {
        event.body.set(field::OT_SUB_FUNCTION, state);
        event.body.set_some(field::OT_SUB_FUNCTION_NAME, name);
    }
    let tag = if matches!(service, 6 | 7 | 11 | 26) && data.first() == Some(&0xc4) { 0xc4 } else { 0x0c };
    let Some(id) = object(data, tag) else { return 0 };
    let (kind, instance) = (id >> 22, id & 0x003f_ffff);
    event.body.set(field::OT_OBJECT_TYPE, object_name(kind));
    event.body.set(field::OT_OBJECT_ADDRESS, instance);
    let property = match (service, data.get(5..)) {
        (12 | 15 | 26, Some([0x19, property, ..])) => Some(u16::from(*property)),
        (12 | 15 | 26, Some(rest @ [0x1a, ..])) => be16(rest, 1),
        _ => None,
    };
    let property = property.map(|p| format!(".{p}")).unwrap_or_default();
    let name = format!("{}:{instance}{property}", object_name(kind));
    let number = name.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    ot::objects(event, vec![name]);
    number
}

const fn purpose(service: u8) -> (&'static str, bool) {
    match service {
        7 => ("file", true),
        6 => ("file", false),
        8 | 9 | 15 | 16 => ("write", true),
        10 | 11 => ("configure", true),
        17 => ("mode", true),
        20 => ("restart", true),
        27 => ("control", true),
        21..=25 => ("session", false),
        _ => ("read", false),
    }
}

const fn confirmed_name(service: u8) -> &'static str {
    match service {
        0 => "acknowledge_alarm",
        1 => "confirmed_cov_notification",
        2 => "confirmed_event_notification",
        3 => "get_alarm_summary",
        4 => "get_enrollment_summary",
        5 => "subscribe_cov",
        6 => "atomic_read_file",
        7 => "atomic_write_file",
        8 => "add_list_element",
        9 => "remove_list_element",
        10 => "create_object",
        11 => "delete_object",
        12 => "read_property",
        13 => "read_property_conditional",
        14 => "read_property_multiple",
        15 => "write_property",
        16 => "write_property_multiple",
        17 => "device_communication_control",
        18 => "confirmed_private_transfer",
        19 => "confirmed_text_message",
        20 => "reinitialize_device",
        21 => "vt_open",
        22 => "vt_close",
        23 => "vt_data",
        24 => "authenticate",
        25 => "request_key",
        26 => "read_range",
        27 => "life_safety_operation",
        28 => "subscribe_cov_property",
        29 => "get_event_information",
        30 => "subscribe_cov_property_multiple",
        31 => "confirmed_cov_notification_multiple",
        _ => "other",
    }
}

const fn unconfirmed_name(service: u8) -> &'static str {
    match service {
        0 => "i_am",
        1 => "i_have",
        2 => "unconfirmed_cov_notification",
        3 => "unconfirmed_event_notification",
        4 => "unconfirmed_private_transfer",
        5 => "unconfirmed_text_message",
        6 => "time_synchronization",
        7 => "who_has",
        8 => "who_is",
        9 => "utc_time_synchronization",
        10 => "write_group",
        11 => "unconfirmed_cov_notification_multiple",
        _ => "unconfirmed_other",
    }
}

const fn object_name(kind: u32) -> &'static str {
    match kind {
        0 => "analog_input",
        1 => "analog_output",
        2 => "analog_value",
        3 => "binary_input",
        4 => "binary_output",
        5 => "binary_value",
        6 => "calendar",
        7 => "command",
        8 => "device",
        9 => "event_enrollment",
        10 => "file",
        11 => "group",
        12 => "loop",
        13 => "multi_state_input",
        14 => "multi_state_output",
        15 => "notification_class",
        16 => "program",
        17 => "schedule",
        18 => "averaging",
        19 => "multi_state_value",
        20 => "trend_log",
        21 => "life_safety_point",
        22 => "life_safety_zone",
        _ => "other",
    }
}
