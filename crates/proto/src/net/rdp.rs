//! RDP (MS-RDPBCGR): the user or token the client names, the security both agree on, and, where that is RDP's own, what the client says of itself.
//!
//! With TLS or NLA the log-in itself is encrypted; the connection goes on as TLS. Limits: a message is read to `HEAD_BYTES`, and not more than
//! `MESSAGES_MAX` are.

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::frames::{Frames, Shape};
use super::ot::{le16, le32};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16, wording};

pub static RDP: Protocol = Protocol {
    name: "rdp",
    about: "cookie, security agreed on, and what a client without TLS says of itself",
    fields: &[
        field::RDP_COOKIE,
        field::USER_NAME,
        field::USER_DOMAIN,
        field::RDP_REQUESTED,
        field::RDP_SECURITY,
        field::RDP_CHANNELS,
        field::RDP_KEYBOARD,
        field::SRC_HOSTNAME,
        field::CLIENT_SOFTWARE,
        field::STATUS_ID,
        field::STATUS_DETAIL,
    ],
    anomalies: &[],
    probe,
    open: |_| Box::new(Rdp::default()),
};

const HEAD_BYTES: usize = 2 << 10;
const MESSAGES_MAX: u32 = 8;
const CHANNELS_MAX: usize = 16;

static SHAPE: Shape = Shape {
    header: 4,
    keep: HEAD_BYTES,
    length: |b| {
        let length = usize::from(be16(b, 2)?);
        (b.starts_with(&[3, 0]) && length >= 7).then_some(length)
    },
    sync: |b| b.starts_with(&[3, 0]).then_some(0),
};

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    begins(carrier, bytes)
}

fn begins(carrier: Carrier, bytes: &[u8]) -> Probe {
    match bytes {
        _ if carrier == Carrier::Udp => Probe::No,
        // A connection request: a cookie or a request for security behind the fixed part.
        [3, 0, _, _, _, 0xe0, _, _, _, _, _, rest @ ..] => match rest {
            [b'C', b'o', b'o', b'k', b'i', b'e', b':', ..] | [1, _, 8, 0, ..] => Probe::Yes,
            // RDP of old asks for nothing; what follows is T.125.
            [3, ..] => begins(carrier, rest),
            _ if rest.is_empty() || b"Cookie:".starts_with(rest) || [1, 0, 8, 0].starts_with(rest) => Probe::Maybe,
            _ => Probe::No,
        },
        [3, 0, _, _, 2, 0xf0, 0x80, 0x7f, 0x65, ..] => Probe::Yes,
        [3, 0, _, _, 2, 0xf0, ..] | [3, 0, _, _, 2] if bytes.len() < 9 => Probe::Maybe,
        [3, 0, _, _, _, 0xe0, ..] | [3, 0, _, _, _] | [3, 0, ..] | [3] if bytes.len() < 11 => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Rdp {
    frames: [Frames; 2],
    said: Said,
    messages: u32,
    told: bool,
}

#[derive(Default)]
struct Said {
    client: Option<Side>,
    cookie: Option<String>,
    requested: Option<u32>,
    selected: Option<u32>,
    failure: Option<u32>,
    name: Option<String>,
    build: Option<u32>,
    keyboard: Option<u32>,
    channels: Vec<Value>,
    /// Both have said what there is to say.
    whole: bool,
}

impl Parser for Rdp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let (said, messages) = (&mut self.said, &mut self.messages);
        let in_step = self.frames[at].feed(&SHAPE, piece.bytes, &mut |head, _| {
            *messages += 1;
            said.message(piece.side, head);
            !said.whole && said.selected.is_none_or(|s| s == 0) && said.failure.is_none()
        });
        let secured = self.said.secured();
        if secured || self.said.failure.is_some() || self.said.whole || self.messages >= MESSAGES_MAX || !in_step {
            self.end(piece.time, out);
            return Want::Stop;
        }
        Want::More
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if !std::mem::replace(&mut self.told, true) {
            self.said.tell(now, out);
        }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        self.said.secured().then(Default::default)
    }
}

impl Said {
    /// TLS follows, with or without NLA in it.
    fn secured(&self) -> bool {
        self.selected.is_some_and(|s| s != 0)
    }

    fn message(&mut self, side: Side, head: &[u8]) {
        match head.get(5) {
            Some(0xe0) => {
                self.client = Some(side);
                self.request(head.get(11..).unwrap_or_default());
            }
            Some(0xd0) => {
                self.client = Some(side.other());
                match head.get(11..) {
                    Some(answer @ [2, ..]) => self.selected = le32(answer, 4),
                    Some(answer @ [3, ..]) => self.failure = le32(answer, 4),
                    // RDP of old answers nothing.
                    _ => self.selected = Some(0),
                }
            }
            Some(0xf0) => match head.get(7..9) {
                Some([0x7f, 0x65]) => {
                    self.client = Some(side);
                    self.initial(head);
                }
                Some([0x7f, 0x66]) => self.whole = true,
                _ => {}
            },
            _ => {}
        }
    }

    fn request(&mut self, mut rest: &[u8]) {
        if rest.starts_with(b"Cookie:") {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(7..end).unwrap_or_default().trim_ascii();
            let value = line.strip_prefix(b"mstshash=").or_else(|| line.strip_prefix(b"msts=")).unwrap_or(line);
            self.cookie = Some(wording::text(value)).filter(|c| !c.is_empty());
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        if rest.first() == Some(&1) {
            self.requested = le32(rest, 4);
        }
    }

    /// Blocks of data in the client's first message of T.125.
    fn initial(&mut self, head: &[u8]) {
        // The blocks stand behind the key of the client.
        let Some(mut rest) = wording::find(head, b"Duca").and_then(|at| head.get(at + 4..)) else { return };
        // A length of one or two bytes.
        rest = rest.get(if rest.first().is_some_and(|b| b & 0x80 != 0) { 2 } else { 1 }..).unwrap_or_default();
        while let (Some(kind), Some(length)) = (le16(rest, 0), le16(rest, 2).map(usize::from)) {
            let Some(block) = rest.get(4..length.min(rest.len())) else { break };
            match kind {
                0xc001 => {
                    self.keyboard = le32(block, 12);
                    self.build = le32(block, 16);
                    self.name = block.get(20..52).map(until_zero).filter(|n| !n.is_empty());
                }
                0xc003 => {
                    let names = block.get(4..).unwrap_or_default().chunks_exact(12).take(CHANNELS_MAX);
                    self.channels = names.map(|c| Value::from(wording::text(wording::until_zero(&c[..8])))).collect();
                }
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    fn tell(&mut self, time: Timestamp, out: &mut dyn Emit) {
        let mut event = Event::new(time, Kind::RdpActivity, if self.selected.is_some() { 2 } else { 1 }, LogSource::new("", "rdp", "rdp"));
        let body = &mut event.body;
        if let Some(cookie) = &self.cookie {
            body.set(field::RDP_COOKIE, cookie.as_str());
            // A token of a load balancer is no user.
            let routed = cookie.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if !routed {
                let (domain, user) = cookie.rsplit_once('\\').map_or((None, cookie.as_str()), |(d, u)| (Some(d), u));
                body.set(field::USER_NAME, user);
                body.set_some(field::USER_DOMAIN, domain);
            }
        }
        if let Some(asked) = self.requested {
            let mut names = vec![Value::from("rdp")];
            for (bit, name) in [(1, "tls"), (2, "nla"), (4, "rdstls"), (8, "nla_early"), (16, "aad")] {
                if asked & bit != 0 {
                    names.push(Value::from(name));
                }
            }
            body.set(field::RDP_REQUESTED, names);
        }
        body.set_some(field::RDP_SECURITY, self.selected.map(security));
        body.set(field::STATUS_ID, if self.failure.is_some() { 2 } else { u8::from(self.selected.is_some()) });
        body.set_some(field::STATUS_DETAIL, self.failure.map(failure));
        body.set_some(field::SRC_HOSTNAME, self.name.take());
        body.set_some(field::CLIENT_SOFTWARE, self.build.map(|b| format!("build {b}")));
        body.set_some(field::RDP_KEYBOARD, self.keyboard);
        if !self.channels.is_empty() {
            body.set(field::RDP_CHANNELS, std::mem::take(&mut self.channels));
        }
        out.asked(self.client.unwrap_or(Side::Originator), Class::Normal, event);
    }
}

fn until_zero(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).position(|u| u == [0, 0]).unwrap_or(bytes.len() / 2);
    wording::utf16(bytes.get(..units * 2).unwrap_or_default())
}

const fn security(selected: u32) -> &'static str {
    match selected {
        0 => "rdp",
        1 => "tls",
        2 => "nla",
        4 => "rdstls",
        8 => "nla_early",
        16 => "aad",
        _ => "other",
    }
}

const fn failure(code: u32) -> &'static str {
    match code {
        1 => "SSL_REQUIRED_BY_SERVER",
        2 => "SSL_NOT_ALLOWED_BY_SERVER",
        3 => "SSL_CERT_NOT_ON_SERVER",
        4 => "INCONSISTENT_FLAGS",
        5 => "HYBRID_REQUIRED_BY_SERVER",
        6 => "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, client_hello, hex, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;
    const KEYS: &[&str] = &["identifier_cookie", "user.name", "rdp.security_protocol", "status_id", "status_detail"];

    fn request() -> Vec<u8> {
        let mut rest = b"Cookie: mstshash=LAB\\ada\r\n".to_vec();
        rest.extend(hex("01 00 0800 03000000"));
        let mut out = hex("0300 0000 00 e0 0000 0000 00");
        out.extend(&rest);
        let length = out.len() as u16;
        out[2..4].copy_from_slice(&length.to_be_bytes());
        out[4] = length as u8 - 5;
        out
    }

    #[test]
    fn the_user_of_the_cookie_and_the_security() {
        let (ask, chosen) = (request(), hex("0300 0013 0e d0 0000 1234 00 02 00 0800 02000000"));
        let hello = client_hello("pc.example");
        for step in [1, 100] {
            let said = talk(Carrier::Tcp, step, &[(O, &ask), (R, &chosen), (O, &hello)]);
            assert_eq!(brief(&said[..1], KEYS), ["LAB\\ada ada nla 1 -"], "{step}");
            assert!(said.iter().any(|l| l.contains("tls.sni=pc.example")), "{said:?}");
        }
        let refused = hex("0300 0013 0e d0 0000 1234 00 03 00 0800 05000000");
        assert_eq!(brief(&talk(Carrier::Tcp, 9, &[(O, &ask), (R, &refused)]), KEYS), ["LAB\\ada ada - 2 HYBRID_REQUIRED_BY_SERVER"]);
    }

    #[test]
    fn a_client_without_tls_says_who_it_is() {
        let mut core = hex("01c0 3800 04000800 0004 0003 01ca 03aa 09040000 280a0000");
        let mut name: Vec<u8> = "PC7".encode_utf16().flat_map(u16::to_le_bytes).collect();
        name.resize(32, 0);
        core.extend(name);
        core.extend(hex("03c0 1400 01000000 7264706472000000 00000080"));
        let mut initial = hex("0300 0000 02f080 7f65 8200");
        initial.extend(b"Duca");
        initial.push(core.len() as u8);
        initial.extend(core);
        let length = initial.len() as u16;
        initial[2..4].copy_from_slice(&length.to_be_bytes());
        let said = talk(
            Carrier::Tcp,
            5,
            &[
                (O, &hex("0300 000b 06 e0 0000 0000 00")),
                (R, &hex("0300 000b 06 d0 0000 1234 00")),
                (O, &initial),
                (R, &hex("0300 0009 02f080 7f66")),
            ],
        );
        assert_eq!(
            brief(&said, &["src_endpoint.hostname", "rdp.channels", "rdp.keyboard_layout", "rdp.security_protocol"]),
            // The answer that says nothing is passed over while it is not known what is spoken.
            ["PC7 rdpdr 1033 -"],
        );
    }
}
