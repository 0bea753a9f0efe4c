//! Modbus/TCP (Modbus Application Protocol V1.1b3; Messaging on TCP/IP V1.0b) and Schneider's UMAS inside its function 90.
//!
//! Requests are joined with their answers by transaction number; one event says who asked what of which station and how it went. A
//! request without an answer is told after a second. Equal reads of one connection are counted (see `ot`); refusals, writes and everything
//! else that is answered are told one by one.
//!
//! Limits: a message is at most 260 bytes (the standard's; 1,040 for UMAS), `VALUES_MAX` values are kept, what waits is bounded in `ot`. What
//! does not parse is an anomaly; reading goes on with the next piece, because devices send one message a packet.

use event::{Event, Timestamp, Value, field};

use super::ot::{self, Asked, Teller, Waiting};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static MODBUS: Protocol = Protocol {
    name: "modbus",
    about: "Modbus/TCP requests with their answers, UMAS included",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_SUB_FUNCTION,
        field::OT_SUB_FUNCTION_NAME,
        field::OT_STATION,
        field::OT_OBJECT_TYPE,
        field::OT_OBJECT_ADDRESS,
        field::OT_OBJECT_COUNT,
        field::OT_VALUE,
        field::OT_VALUES,
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
    anomalies: &["modbus_malformed", "modbus_answer_unasked"],
    probe,
    open: |_| Box::new(Modbus::default()),
};

/// Header (7) and the longest PDU (253).
const MESSAGE_BYTES_MAX: usize = 260;
/// UMAS goes beyond the standard: devices agree on messages of up to 1,024 bytes.
const UMAS_BYTES_MAX: usize = 1_040;
/// Bytes of a side that wait for the rest of a message.
const HELD_BYTES_MAX: usize = 2 * UMAS_BYTES_MAX;
/// Values of a write that are kept.
const VALUES_MAX: usize = 16;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
        return Probe::No;
    }
    let (Some(0), Some(length)) = (be16(bytes, 2), be16(bytes, 4)) else {
        return if bytes.len() < 6 && bytes.get(2..).is_none_or(|rest| rest.iter().all(|b| *b <= 1)) { Probe::Maybe } else { Probe::No };
    };
    let whole = 6 + usize::from(length);
    if !(8..=MESSAGE_BYTES_MAX).contains(&whole) {
        return Probe::No;
    }
    match bytes.get(7..whole) {
        // Only what has the shape the standard gives it: many binary protocols begin with small numbers.
        Some(pdu) if shape(pdu) => Probe::Yes,
        Some(_) => Probe::No,
        None => Probe::Maybe,
    }
}

/// Whether a PDU is a request, an answer or a refusal as the standard shapes it.
fn shape(pdu: &[u8]) -> bool {
    let (Some(function), length) = (pdu.first(), pdu.len()) else { return false };
    let counted = |at: usize| pdu.get(at).is_some_and(|n| length == at + 1 + usize::from(*n));
    match function {
        1..=4 => length == 5 || counted(1),
        5 | 6 => length == 5,
        7 => length <= 2,
        8 => length >= 5,
        11 => length == 1 || length == 5,
        12 | 17 => length == 1 || counted(1),
        15 | 16 => length == 5 || counted(5),
        20 | 21 => counted(1),
        22 => length == 7,
        23 => length >= 10 || counted(1),
        24 => length == 3 || length >= 5,
        43 => matches!(pdu.get(1), Some(13 | 14)),
        90 => length >= 3,
        0x81..=0xff => length == 2 && pdu.get(1).is_some_and(|code| (1..=11).contains(code)),
        _ => false,
    }
}

#[derive(Default)]
struct Modbus {
    held: [Held; 2],
    /// The side that asks; found out from the shape of the first message where the beginning was not seen.
    master: Option<Side>,
    /// By transaction, station and function.
    waiting: Waiting<(u16, u8, u8)>,
    teller: Teller,
}

impl Parser for Modbus {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
        }
        let mut held = std::mem::take(&mut self.held[at]);
        // In parts, so that what is held stays within two messages however much came at once.
        'piece: for part in piece.bytes.chunks(UMAS_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            loop {
                let bytes = held.bytes();
                let (Some(protocol), Some(length), Some(code)) = (be16(bytes, 2), be16(bytes, 4), bytes.get(7)) else { break };
                let whole = 6 + usize::from(length);
                let limit = if code & 0x7f == 90 { UMAS_BYTES_MAX } else { MESSAGE_BYTES_MAX };
                if protocol != 0 || !(8..=limit).contains(&whole) {
                    out.anomaly("modbus_malformed", &format!("protocol {protocol}, length {length}"), piece.time);
                    held.clear();
                    break 'piece;
                }
                let Some(message) = bytes.get(..whole) else { break };
                self.message(piece.side, message, piece.time, out);
                held.eat(whole);
            }
        }
        self.held[at] = held;
        Want::Whole
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        self.waiting.wake(now, &mut self.teller, out)
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.waiting.end(&mut self.teller, out);
    }
}

impl Modbus {
    fn message(&mut self, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let (Some(transaction), Some(station), Some(pdu)) = (be16(message, 0), message.get(6).copied(), message.get(7..)) else { return };
        let Some(code) = pdu.first().copied() else { return };
        let master = *self.master.get_or_insert_with(|| {
            let answer = code >= 0x80 || (matches!(code, 1..=4) && pdu.len() != 5);
            if answer { side.other() } else { side }
        });
        let function = code & 0x7f;
        if side == master {
            let (event, key) = request(transaction, station, function, pdu, time);
            let asked = Asked { id: (transaction, station, function), by: side, time, key, event };
            return self.waiting.ask(asked, &mut self.teller, out);
        }
        let Some(Asked { mut event, key, by, time: asked, .. }) = self.waiting.take(|a| a.id == (transaction, station, function)) else {
            return out.anomaly("modbus_answer_unasked", &format!("transaction {transaction}, function {function}"), time);
        };
        let exception = if code >= 0x80 { Some(pdu.get(1).copied().unwrap_or(0)) } else { None };
        ot::answered(&mut event, asked, time);
        ot::outcome(&mut event, exception.map(|code| (u32::from(code), exception_name(code))));
        if exception.is_none() && function == 90 && pdu.get(2) == Some(&0xfd) {
            event.body.set(field::STATUS_ID, 2);
        }
        if exception.is_none() && event.get(field::OT_ACCESS).and_then(Value::as_str) == Some("read") {
            self.teller.poll(key, by, event, out);
        } else {
            self.teller.single(by, event, out);
        }
    }
}

/// The event of a request, still without an answer.
fn request(transaction: u16, station: u8, function: u8, pdu: &[u8], time: Timestamp) -> (Event, ot::Key) {
    let mut event = ot::event("modbus", "request", function_name(function), time);
    let body = &mut event.body;
    let sub = match function {
        8 => be16(pdu, 1),
        43 => pdu.get(1).map(|b| u16::from(*b)),
        90 => pdu.get(2).map(|b| u16::from(*b)),
        _ => None,
    };
    // Where the standard puts address and count; a write of one object has no count.
    let (address, count) = match function {
        1..=4 | 15 | 16 => (be16(pdu, 1), be16(pdu, 3)),
        5 | 6 | 22 => (be16(pdu, 1), Some(1)),
        23 => (be16(pdu, 5), be16(pdu, 7)),
        24 => (be16(pdu, 1), None),
        _ => (None, None),
    };
    let access = access(function, sub);
    body.set(field::OT_TRANSACTION, transaction);
    body.set(field::OT_STATION, station);
    body.set(field::OT_FUNCTION, function);
    body.set_some(field::OT_SUB_FUNCTION, sub);
    body.set_some(field::OT_SUB_FUNCTION_NAME, sub.and_then(|s| sub_name(function, s)));
    body.set_some(field::OT_OBJECT_TYPE, object(function));
    body.set_some(field::OT_OBJECT_ADDRESS, address);
    body.set_some(field::OT_OBJECT_COUNT, count);
    let program = access == "program" && sub.is_some_and(|s| (0x30..=0x32).contains(&s));
    ot::purpose(&mut event, access, program || matches!(access, "write" | "mode" | "restart"));
    let values = values(function, pdu);
    if let Some(first) = values.first() {
        event.body.set(field::OT_VALUE, f64::from(*first));
        event.body.set(field::OT_VALUES, Value::from(values.iter().map(|v| Value::Int(i64::from(*v))).collect::<Vec<_>>()));
    }
    let number = |n: Option<u16>| n.map_or(0x1_0000, u32::from);
    (event, [u32::from(station) << 8 | u32::from(function), number(address), number(count), 0])
}

/// What a write wants to set: coils as 0 and 1, registers as unsigned numbers, the masks of function 22.
fn values(function: u8, pdu: &[u8]) -> Vec<u16> {
    let registers = |bytes: Option<&[u8]>| bytes.unwrap_or_default().chunks_exact(2).take(VALUES_MAX).filter_map(|b| be16(b, 0)).collect();
    match function {
        5 => be16(pdu, 3).map(|v| u16::from(v == 0xff00)).into_iter().collect(),
        6 => be16(pdu, 3).into_iter().collect(),
        15 => {
            let count = usize::from(be16(pdu, 3).unwrap_or(0)).min(VALUES_MAX);
            (0..count).filter_map(|n| pdu.get(6 + n / 8).map(|b| u16::from(b >> (n % 8) & 1))).collect()
        }
        16 => registers(pdu.get(6..)),
        22 => registers(pdu.get(3..7)),
        23 => registers(pdu.get(10..)),
        _ => Vec::new(),
    }
}

fn access(function: u8, sub: Option<u16>) -> &'static str {
    match (function, sub) {
        (1..=4 | 20 | 24, _) => "read",
        (5 | 6 | 15 | 16 | 21 | 22 | 23, _) => "write",
        (8, Some(1)) => "restart",
        (8, Some(4)) => "mode",
        (7 | 8 | 11 | 12, _) => "diagnose",
        (17 | 43, _) => "identify",
        (90, Some(0x40 | 0x41)) => "mode",
        (90, Some(0x30..=0x35)) => "program",
        (90, Some(0x21 | 0x23 | 0x29 | 0x71)) => "write",
        (90, Some(0x20 | 0x22 | 0x24 | 0x70)) => "read",
        (90, Some(0x02..=0x06)) => "identify",
        (90, _) => "session",
        _ => "configure",
    }
}

const fn object(function: u8) -> Option<&'static str> {
    Some(match function {
        1 | 5 | 15 => "coil",
        2 => "discrete_input",
        3 | 6 | 16 | 22 | 23 => "holding_register",
        4 => "input_register",
        20 | 21 => "file_record",
        24 => "fifo_queue",
        _ => return None,
    })
}

const fn function_name(function: u8) -> &'static str {
    match function {
        1 => "read_coils",
        2 => "read_discrete_inputs",
        3 => "read_holding_registers",
        4 => "read_input_registers",
        5 => "write_single_coil",
        6 => "write_single_register",
        7 => "read_exception_status",
        8 => "diagnostics",
        11 => "get_comm_event_counter",
        12 => "get_comm_event_log",
        15 => "write_multiple_coils",
        16 => "write_multiple_registers",
        17 => "report_server_id",
        20 => "read_file_record",
        21 => "write_file_record",
        22 => "mask_write_register",
        23 => "read_write_multiple_registers",
        24 => "read_fifo_queue",
        43 => "encapsulated_interface_transport",
        90 => "umas",
        _ => "other",
    }
}

/// Names of sub-functions: the standard's for diagnostics and MEI types, those of published research for UMAS.
const fn sub_name(function: u8, sub: u16) -> Option<&'static str> {
    Some(match (function, sub) {
        (8, 0) => "return_query_data",
        (8, 1) => "restart_communications",
        (8, 2) => "return_diagnostic_register",
        (8, 3) => "change_ascii_input_delimiter",
        (8, 4) => "force_listen_only_mode",
        (8, 10) => "clear_counters",
        (8, 20) => "clear_overrun_counter",
        (43, 13) => "canopen_general_reference",
        (43, 14) => "read_device_identification",
        (90, 0x01) => "init_comm",
        (90, 0x02) => "read_id",
        (90, 0x03) => "read_project_info",
        (90, 0x04) => "read_plc_info",
        (90, 0x06) => "read_card_info",
        (90, 0x0a) => "repeat",
        (90, 0x10) => "take_plc_reservation",
        (90, 0x11) => "release_plc_reservation",
        (90, 0x12) => "keep_alive",
        (90, 0x20) => "read_memory_block",
        (90, 0x21) => "write_memory_block",
        (90, 0x22) => "read_variables",
        (90, 0x23) => "write_variables",
        (90, 0x24) => "read_coils_registers",
        (90, 0x29) => "write_coils_registers",
        (90, 0x30) => "initialize_upload",
        (90, 0x31) => "upload_block",
        (90, 0x32) => "end_strategy_upload",
        (90, 0x33) => "initialize_download",
        (90, 0x34) => "download_block",
        (90, 0x35) => "end_strategy_download",
        (90, 0x39) => "read_eth_master_data",
        (90, 0x40) => "start_plc",
        (90, 0x41) => "stop_plc",
        (90, 0x50) => "monitor_plc",
        (90, 0x58) => "check_plc",
        (90, 0x70) => "read_io_object",
        (90, 0x71) => "write_io_object",
        (90, 0x73) => "get_status_module",
        _ => return None,
    })
}

const fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "illegal_function",
        2 => "illegal_data_address",
        3 => "illegal_data_value",
        4 => "server_device_failure",
        5 => "acknowledge",
        6 => "server_device_busy",
        8 => "memory_parity_error",
        10 => "gateway_path_unavailable",
        11 => "gateway_target_failed_to_respond",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, piece, talk};
    use super::*;

    const READ: &[u8] = b"\0\x01\0\0\0\x06\x11\x03\0\x6b\0\x03";
    const READ_ANSWER: &[u8] = b"\0\x01\0\0\0\x09\x11\x03\x06\x02\x2b\0\0\0\x64";

    fn brief(said: &[String]) -> Vec<String> {
        let word = |line: &String, key: &str| line.split(' ').find_map(|w| w.strip_prefix(key)).unwrap_or("-").to_owned();
        said.iter()
            .map(|l| {
                [
                    "ot.function_name=",
                    "ot.station=",
                    "ot.object_address=",
                    "ot.value=",
                    "ot.access=",
                    "status_id=",
                    "ot.exception_name=",
                    "count=",
                ]
                .map(|k| word(l, k))
                .join(" ")
            })
            .collect()
    }

    #[test]
    fn a_request_and_its_answer_are_one_event_however_they_are_cut() {
        let write = b"\0\x02\0\0\0\x06\x11\x05\0\xac\xff\0";
        for step in [1, 5, 100] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[(Side::Originator, READ), (Side::Responder, READ_ANSWER), (Side::Originator, write), (Side::Responder, write)],
            );
            assert_eq!(
                brief(&said),
                ["read_holding_registers 17 107 - read 1 - 1", "write_single_coil 17 172 1 write 1 - -"],
                "step {step}: {said:?}"
            );
        }
    }

    #[test]
    fn refusals_and_requests_without_an_answer_are_told() {
        let listen = b"\0\x03\0\0\0\x06\x01\x08\0\x04\0\0";
        let said = talk(
            Carrier::Tcp,
            300,
            &[(Side::Originator, READ), (Side::Responder, b"\0\x01\0\0\0\x03\x11\x83\x02"), (Side::Originator, listen)],
        );
        assert_eq!(
            brief(&said),
            ["read_holding_registers 17 107 - read 2 illegal_data_address -", "diagnostics 1 - - mode - - -"],
            "{said:?}"
        );
        let mut seen = Seen::default();
        let mut parser = Modbus::default();
        assert_eq!(parser.feed(piece(Side::Originator, listen, 0), &mut seen), Want::Whole);
        assert_eq!(parser.wake(Timestamp::from_ms(999), &mut seen), Want::Wake);
        assert!(seen.0.is_empty());
        assert_eq!(parser.wake(Timestamp::from_ms(1_000), &mut seen), Want::More);
        assert_eq!(seen.0.len(), 1);
    }

    #[test]
    fn equal_reads_are_counted_and_none_is_lost() {
        let mut seen = Seen::default();
        let mut parser = Modbus::default();
        for n in 0..150 {
            parser.feed(piece(Side::Originator, READ, n * 1_000), &mut seen);
            parser.feed(piece(Side::Responder, READ_ANSWER, n * 1_000 + 5), &mut seen);
        }
        parser.end(Timestamp::from_ms(150_000), &mut seen);
        let counts: Vec<_> = brief(&seen.0).iter().map(|l| l.rsplit(' ').next().unwrap_or("").to_owned()).collect();
        assert_eq!(counts, ["1", "60", "60", "29"]);
    }

    #[test]
    fn a_connection_seen_from_its_middle_knows_who_asks() {
        let said = talk(Carrier::Tcp, 300, &[(Side::Originator, READ_ANSWER), (Side::Responder, READ), (Side::Originator, READ_ANSWER)]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("anomaly modbus_answer_unasked") && said[1].contains("ot.direction=both"), "{said:?}");
        assert!(said[1].ends_with("by=responder"), "{said:?}");
    }

    #[test]
    fn many_messages_at_once_are_all_read() {
        let mut seen = Seen::default();
        let mut parser = Modbus::default();
        let (mut asks, mut answers) = (Vec::new(), Vec::new());
        for n in 0..64u8 {
            asks.extend_from_slice(&[0, n, 0, 0, 0, 6, 1, 6, 0, n, 0, 1]);
            answers.extend_from_slice(&[0, n, 0, 0, 0, 6, 1, 6, 0, n, 0, 1]);
        }
        parser.feed(piece(Side::Originator, &asks, 0), &mut seen);
        parser.feed(piece(Side::Responder, &answers, 1), &mut seen);
        assert_eq!(seen.0.iter().filter(|l| l.contains("ot.direction=both")).count(), 64);
    }

    #[test]
    fn spoiled_bytes_are_an_anomaly_and_reading_goes_on() {
        let said = talk(
            Carrier::Tcp,
            300,
            &[(Side::Originator, READ), (Side::Originator, b"\0\x01\0\x07\0\x06\x11\x03\0\x6b\0\x03"), (Side::Responder, READ_ANSWER)],
        );
        assert!(said[0].starts_with("anomaly modbus_malformed") && said[1].contains("status_id=1"), "{said:?}");
    }

    #[test]
    fn other_protocols_are_not_taken_for_it() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03",
            b"SSH-2.0-x\r\n",
            b"\0\0\0\0\0\x06\x01\x63\0\0\0\0",
            b"\x03\0\0\x16\x11\xe0\0\0",
        ] {
            assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
        }
        assert_eq!(probe(Carrier::Tcp, Side::Originator, &READ[..5]), Probe::Maybe);
        assert_eq!(probe(Carrier::Tcp, Side::Originator, READ), Probe::Yes);
        assert_eq!(probe(Carrier::Udp, Side::Originator, READ), Probe::No);
    }

    #[test]
    fn waiting_requests_and_counted_reads_are_bounded() {
        let mut seen = Seen::default();
        let mut parser = Modbus::default();
        let all = 4 * ot::WAITING_MAX;
        for n in 0..all as u16 {
            let mut ask = READ.to_vec();
            ask[8..10].copy_from_slice(&n.to_be_bytes());
            parser.feed(piece(Side::Originator, &ask, 0), &mut seen);
        }
        assert_eq!(parser.waiting.len(), ot::WAITING_MAX);
        parser.end(Timestamp::ZERO, &mut seen);
        assert_eq!(seen.0.len(), all);
    }
}
