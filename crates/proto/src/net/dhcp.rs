//! DHCP for IPv4 (RFC 2131, 2132): who asks for an address, what it says of itself, who answers and what is handed out.
//!
//! Question and answer go to other addresses, mostly to all, so that each message is an event, its sender the source; equal ones of one flow are
//! counted (see `ot`). Limits: one message a datagram, `NAMED_MAX` routers and name servers are named.

use std::net::{IpAddr, Ipv4Addr};

use event::{Event, Kind, LogSource, Timestamp, Value, field};

use super::ot::{Teller, le32};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, wording};

pub static DHCP: Protocol = Protocol {
    name: "dhcp",
    about: "addresses asked for and given, hosts' names and vendor classes, the servers that answer",
    fields: &[
        field::COMMAND,
        field::DHCP_MAC,
        field::SRC_HOSTNAME,
        field::DHCP_ADDRESS,
        field::DHCP_REQUESTED,
        field::DHCP_VENDOR,
        field::DHCP_SERVER,
        field::DHCP_LEASE,
        field::DHCP_ROUTERS,
        field::DHCP_DNS,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["dhcp_malformed"],
    probe,
    open: |_| Box::new(Dhcp::default()),
};

const COOKIE_AT: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const NAMED_MAX: usize = 8;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let known =
        carrier == Carrier::Udp && matches!(bytes, [1 | 2, 1..=32, 0..=16, ..]) && bytes.get(COOKIE_AT..COOKIE_AT + 4) == Some(&COOKIE[..]);
    if known { Probe::Yes } else { Probe::No }
}

#[derive(Default)]
struct Dhcp {
    teller: Teller<8>,
}

impl Parser for Dhcp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if probe(Carrier::Udp, piece.side, piece.bytes) != Probe::Yes {
            out.anomaly("dhcp_malformed", "no message of DHCP", piece.time);
        } else if let Some((event, key)) = message(piece.bytes, piece.time) {
            self.teller.poll(key, piece.side, event, out);
        }
        Want::Whole
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.teller.end(out);
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let ip = Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?);
    (!ip.is_unspecified()).then_some(IpAddr::V4(ip))
}

fn addresses(bytes: &[u8]) -> Vec<Value> {
    bytes.chunks_exact(4).take(NAMED_MAX).filter_map(address).map(Value::Ip).collect()
}

/// Options of one field: number and content.
fn options(mut bytes: &[u8], each: &mut dyn FnMut(u8, &[u8])) {
    while let Some((number, rest)) = bytes.split_first() {
        match number {
            0 => bytes = rest,
            255 => return,
            _ => {
                let Some((length, rest)) = rest.split_first() else { return };
                let length = usize::from(*length).min(rest.len());
                each(*number, rest.get(..length).unwrap_or_default());
                bytes = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// Content of one option.
fn find(bytes: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut found = None;
    options(bytes, &mut |number, content| {
        if number == wanted {
            found = Some(content.to_vec());
        }
    });
    found
}

fn message(bytes: &[u8], time: Timestamp) -> Option<(Event, [u32; 4])> {
    let mut kind = None;
    let mut event = Event::new(time, Kind::DhcpActivity, 99, LogSource::new("", "dhcp", "dhcp"));
    let body = &mut event.body;
    let asks = bytes.first() == Some(&1);
    let mut take = |number: u8, content: &[u8]| match (number, content) {
        (53, [number, ..]) => kind = Some(*number),
        // The name of a host in an answer is the client's, not the sender's.
        (12, name) if asks => body.set(field::SRC_HOSTNAME, wording::text(wording::until_zero(name))),
        (50, ip) => body.set_some(field::DHCP_REQUESTED, address(ip)),
        (54, ip) => body.set_some(field::DHCP_SERVER, address(ip)),
        (60, class) => body.set(field::DHCP_VENDOR, wording::text(wording::until_zero(class))),
        (51, seconds) => body.set_some(field::DHCP_LEASE, le32(seconds, 0).map(u32::swap_bytes)),
        (3, ips) => body.set(field::DHCP_ROUTERS, addresses(ips)),
        (6, ips) => body.set(field::DHCP_DNS, addresses(ips)),
        _ => {}
    };
    options(bytes.get(COOKIE_AT + 4..)?, &mut take);
    // Options may go on in the fields of the boot file and of the server's name.
    let overloaded = find(bytes.get(COOKIE_AT + 4..)?, 52).and_then(|o| o.first().copied()).unwrap_or(0);
    for (bit, begin, end) in [(1, 108, 236), (2, 44, 108)] {
        if overloaded & bit != 0 {
            options(bytes.get(begin..end)?, &mut take);
        }
    }
    let kind = kind?;
    let command = match kind {
        1 => "discover",
        2 => "offer",
        3 => "request",
        4 => "decline",
        5 => "ack",
        6 => "nak",
        7 => "release",
        8 => "inform",
        9 => "force_renew",
        10 => "lease_query",
        11 => "lease_unassigned",
        12 => "lease_unknown",
        13 => "lease_active",
        _ => "other",
    };
    event.activity = if (1..=8).contains(&kind) { kind } else { 99 };
    let body = &mut event.body;
    body.set(field::COMMAND, command);
    // Given by the server, or had by the client that asks.
    body.set_some(field::DHCP_ADDRESS, address(bytes.get(if asks { 12..16 } else { 16..20 })?));
    let mac = bytes.get(28..34)?;
    if bytes.get(1..3) == Some(&[1, 6]) {
        body.set(field::DHCP_MAC, Value::mac(<[u8; 6]>::try_from(mac).ok()?));
    }
    if kind == 6 {
        body.set(field::STATUS_ID, 2);
    }
    let same = [field::DHCP_ADDRESS, field::DHCP_REQUESTED, field::DHCP_SERVER].map(|f| wording::key(event.text(f).as_bytes()));
    Some((event, [u32::from(kind), wording::key(mac), same[0] ^ same[1].rotate_left(1), same[2]]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    fn dhcp(op: u8, given: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut out = vec![0; COOKIE_AT];
        out[..3].copy_from_slice(&[op, 1, 6]);
        out[16..20].copy_from_slice(&given);
        out[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
        out.extend(COOKIE);
        out.extend(options);
        out.push(255);
        out
    }

    #[test]
    fn who_asks_and_who_answers() {
        let ask = dhcp(1, [0; 4], b"\x35\x01\x01\x0c\x03pc7\x3c\x08MSFT 5.0\x32\x04\x0a\0\0\x07");
        let offer =
            dhcp(2, [10, 0, 0, 7], b"\x35\x01\x02\x36\x04\x0a\0\0\x01\x33\x04\0\0\x0e\x10\x03\x04\x0a\0\0\xfe\x06\x04\x08\x08\x08\x08");
        let said = talk(Carrier::Udp, 0, &[(Side::Originator, &ask), (Side::Responder, &offer)]);
        assert_eq!(
            brief(
                &said,
                &[
                    "command",
                    "dhcp.client_mac",
                    "src_endpoint.hostname",
                    "dhcp.requested_address",
                    "dhcp.address",
                    "dhcp.server",
                    "lease_dur",
                    "dhcp.routers"
                ]
            ),
            ["discover 02:00:00:00:00:07 pc7 10.0.0.7 - - - -", "offer 02:00:00:00:00:07 - - 10.0.0.7 10.0.0.1 3600 10.0.0.254"]
        );
        assert!(said[1].ends_with("by=responder"));
    }

    #[test]
    fn a_storm_of_questions_is_counted() {
        let ask = dhcp(1, [0; 4], b"\x35\x01\x01");
        let says: Vec<(Side, &[u8])> = (0..30).map(|_| (Side::Originator, ask.as_slice())).collect();
        assert_eq!(brief(&talk(Carrier::Udp, 0, &says), &["count"]), ["1", "29"]);
    }
}
