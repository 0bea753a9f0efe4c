//! QUIC (RFC 9000, 9001, 9369): the handshake that its Initial packets carry, as one event a connection.
//!
//! Initial packets are encrypted with keys that anyone on the path can derive from the client's first connection id: that they
//! are opened here is by the protocol's design. CRYPTO frames are put together across packets in any order, and the hellos
//! within are read by `hello`, as over TCP. Everything after the Initial packets stays closed.
//! Versions: 1, 2, the drafts 22 to 34, Facebook's and Google's T050 and T051, which share the format. Google's Q0xx is recognised only.
//! Limits: `CRYPTO_BYTES_MAX` and `RANGES_MAX` holes a side, `TRIES_MAX` packets and datagrams a flow, `PACKETS_MAX` a datagram; a handshake
//! that was not answered within two seconds is told without its answer.

use std::ops::Range;

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic::HeaderProtectionKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::hello::{self, Handshake, Over, first_message};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static QUIC: Protocol = Protocol {
    name: "quic",
    about: "server name, versions, cipher, client fingerprints of QUIC handshakes",
    fields: &FIELDS,
    anomalies: &["quic_malformed", "quic_undecryptable", "quic_crypto_too_long"],
    probe,
    open: |_| Box::new(Quic::default()),
};

static FIELDS: [event::Field; hello::FIELDS.len() + 1] = {
    let mut all = [field::QUIC_VERSION; hello::FIELDS.len() + 1];
    let mut at = 0;
    while at < hello::FIELDS.len() {
        all[at] = hello::FIELDS[at];
        at += 1;
    }
    all
};

const CRYPTO_BYTES_MAX: usize = 32 << 10;
const RANGES_MAX: usize = 64;
/// Long-header packets, and datagrams without, looked at in one flow.
const TRIES_MAX: u16 = 64;
const PACKETS_MAX: usize = 8;
const ANSWER_WAIT_NS: i64 = 2 * SECOND_NS;
const ID_BYTES_MAX: usize = 20;
const TAG_BYTES: usize = 16;

/// How a version derives its keys and numbers its packet types.
struct Dialect {
    salt: [u8; 20],
    second: bool,
    /// Google's own number for CRYPTO frames is used as well.
    google: bool,
}

fn dialect(version: u32) -> Option<Dialect> {
    let (salt, second, google) = match version {
        1 | 0xff00_0021..=0xff00_0022 => {
            (*b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", false, false)
        }
        0x6b33_43cf => (*b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", true, false),
        0x709a_50c4 => (*b"\xa7\x07\xc2\x03\xa5\x9b\x47\x18\x4a\x1d\x62\xca\x57\x04\x06\xea\x7a\xe3\xe5\xd3", true, false),
        0xff00_001d..=0xff00_0020 => (*b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99", false, false),
        0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e => {
            (*b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02", false, false)
        }
        0xff00_0016 | 0xface_b001 => (*b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a", false, false),
        0x5430_3530 => (*b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10", false, true),
        0x5430_3531 => (*b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d", false, true),
        _ => return None,
    };
    Some(Dialect { salt, second, google })
}

fn version_name(version: u32) -> Value {
    match version {
        1 => Value::from("1"),
        0x6b33_43cf => Value::from("2"),
        0xff00_0000..=0xff00_00ff => Value::from(format!("draft-{}", version & 0xff)),
        _ => {
            let text = version.to_be_bytes();
            if text.iter().all(u8::is_ascii_alphanumeric) {
                Value::from(String::from_utf8_lossy(&text).into_owned())
            } else {
                Value::from(format!("0x{version:08x}"))
            }
        }
    }
}

fn probe(carrier: Carrier, _: Side, b: &[u8]) -> Probe {
    if carrier == Carrier::Tcp {
        return Probe::No;
    }
    let ours = match b.first() {
        Some(first) if first & 0xc0 == 0xc0 => {
            Long::read(b).is_some_and(|(packet, _)| packet.version == 0 || dialect(packet.version).is_some())
        }
        // Google's QUIC before it took the IETF's format: flags, connection id, version.
        Some(0x09 | 0x0d) => b.get(9..11) == Some(b"Q0") && b.len() > 40,
        _ => false,
    };
    if ours { Probe::Yes } else { Probe::No }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Initial,
    Other,
    Retry,
    Negotiation,
}

/// A packet with a long header.
struct Long<'a> {
    version: u32,
    kind: Type,
    target: &'a [u8],
    /// The whole packet, and where in it the packet number begins.
    bytes: &'a [u8],
    number_at: usize,
}

impl<'a> Long<'a> {
    /// The packet at the front and what follows it in the datagram; a packet that the capture cut short is as long as what is there.
    fn read(b: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let first = *b.first()?;
        let version = u32::from_be_bytes(b.get(1..5)?.try_into().ok()?);
        let target_len = usize::from(*b.get(5)?);
        let target = b.get(6..6 + target_len)?;
        let source_len = usize::from(*b.get(6 + target_len)?);
        let mut at = 7 + target_len + source_len;
        if target_len > ID_BYTES_MAX || source_len > ID_BYTES_MAX || b.len() < at || first & 0x80 == 0 {
            return None;
        }
        let second = matches!(version, 0x6b33_43cf | 0x709a_50c4);
        let kind = match (version, first >> 4 & 3, second) {
            (0, ..) => Type::Negotiation,
            (_, 0, false) | (_, 1, true) => Type::Initial,
            (_, 3, false) | (_, 0, true) => Type::Retry,
            _ => Type::Other,
        };
        if matches!(kind, Type::Negotiation | Type::Retry) {
            return Some((Self { version, kind, target, bytes: b, number_at: at }, &[]));
        }
        if kind == Type::Initial {
            let token = usize::try_from(varint(b, &mut at)?).ok()?;
            at = at.checked_add(token)?;
        }
        let len = usize::try_from(varint(b, &mut at)?).ok()?;
        let end = at.checked_add(len)?;
        // An Initial holds at least a packet number and a tag.
        if len < TAG_BYTES + 4 || at >= b.len() {
            return None;
        }
        let end = end.min(b.len());
        Some((Self { version, kind, target, bytes: b.get(..end)?, number_at: at }, b.get(end..)?))
    }
}

/// A number of 1, 2, 4 or 8 bytes (RFC 9000, 16).
fn varint(b: &[u8], at: &mut usize) -> Option<u64> {
    let len = 1usize << (b.get(*at)? >> 6);
    let bytes = b.get(*at..at.checked_add(len)?)?;
    *at += len;
    let number = bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    Some(number & (u64::MAX >> 2 >> (64 - 8 * len)))
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context.
fn expand<const N: usize>(secret: &Prk, label: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let head = [0, u8::try_from(N).ok()?, u8::try_from(label.len() + 6).ok()?];
    let info: [&[u8]; 4] = [&head, b"tls13 ", label.as_bytes(), &[0]];
    secret.expand(&info, Bytes(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// Opens the Initial packets of one side.
struct Opener {
    key: LessSafeKey,
    iv: [u8; 12],
    header: HeaderProtectionKey,
}

impl Opener {
    fn new(initial: &Prk, who: &str, second: bool) -> Option<Self> {
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand::<32>(initial, who)?);
        let [key, iv, header] = if second { ["quicv2 key", "quicv2 iv", "quicv2 hp"] } else { ["quic key", "quic iv", "quic hp"] };
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(&aead::AES_128_GCM, &expand::<16>(&secret, key)?).ok()?),
            iv: expand(&secret, iv)?,
            header: HeaderProtectionKey::new(&aead::quic::AES_128, &expand::<16>(&secret, header)?).ok()?,
        })
    }

    /// The frames of a packet, if the key is right.
    fn open(&self, packet: &Long<'_>) -> Option<Vec<u8>> {
        let sample = packet.bytes.get(packet.number_at + 4..packet.number_at + 4 + 16)?;
        let mask = self.header.new_mask(sample).ok()?;
        let mut copy = packet.bytes.to_vec();
        let first = copy.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let number_len = usize::from(*first & 3) + 1;
        let number = copy.get_mut(packet.number_at..packet.number_at + number_len)?;
        number.iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
        // Packet numbers of a handshake are small: what is sent of them is all of them.
        let number = number.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        let mut body = copy.split_off(packet.number_at + number_len);
        let plain = self.key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(&copy), &mut body).ok()?.len();
        body.truncate(plain);
        Some(body)
    }
}

/// Both sides' openers, from the connection id the client first chose.
struct Keys {
    client: Opener,
    server: Opener,
}

impl Keys {
    fn new(dialect: &Dialect, id: &[u8]) -> Option<Self> {
        let initial = Salt::new(HKDF_SHA256, &dialect.salt).extract(id);
        Some(Self {
            client: Opener::new(&initial, "client in", dialect.second)?,
            server: Opener::new(&initial, "server in", dialect.second)?,
        })
    }
}

/// CRYPTO frames of one side, put together.
#[derive(Default)]
struct Crypto {
    bytes: Vec<u8>,
    /// What is there, in order, not touching each other.
    there: Vec<Range<usize>>,
    /// Handshake messages that were read already.
    done: usize,
}

impl Crypto {
    /// False if it does not fit.
    fn add(&mut self, offset: u64, data: &[u8]) -> bool {
        let Ok(start) = usize::try_from(offset) else { return false };
        let Some(end) = start.checked_add(data.len()).filter(|end| *end <= CRYPTO_BYTES_MAX) else { return false };
        if data.is_empty() {
            return true;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(data);
        }
        let mut joined = start..end;
        self.there.retain(|r| {
            let touches = r.start <= joined.end && joined.start <= r.end;
            if touches {
                joined = joined.start.min(r.start)..joined.end.max(r.end);
            }
            !touches
        });
        let at = self.there.partition_point(|r| r.start < joined.start);
        self.there.insert(at, joined);
        self.there.len() <= RANGES_MAX
    }

    /// Bytes from the first unread message on, as far as they are there.
    fn front(&self) -> &[u8] {
        let end = self.there.first().filter(|r| r.start == 0).map_or(0, |r| r.end);
        self.bytes.get(self.done..end).unwrap_or_default()
    }
}

#[derive(Default)]
struct Quic {
    version: u32,
    keys: Option<Keys>,
    /// The connection id the keys were made of.
    id: Vec<u8>,
    /// The side that sent the client's packets.
    client: Option<Side>,
    crypto: [Crypto; 2],
    read: Handshake,
    first: Option<Timestamp>,
    tries: u16,
    told: bool,
    failed: bool,
}

impl Parser for Quic {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        self.first.get_or_insert(piece.time);
        let mut rest = piece.bytes;
        for _ in 0..PACKETS_MAX {
            let Some(first) = rest.first() else { break };
            // A short header: what follows is encrypted with keys nobody else has.
            if first & 0x80 == 0 {
                self.tries = self.tries.saturating_add(1);
                break;
            }
            let Some((packet, tail)) = Long::read(rest) else {
                // Padding of a datagram need not be a packet.
                if rest.len() == piece.bytes.len()
                    && dialect(u32::from_be_bytes(rest.get(1..5).and_then(|b| b.try_into().ok()).unwrap_or_default())).is_some()
                {
                    out.anomaly("quic_malformed", "a long header cannot be read", piece.time);
                }
                break;
            };
            self.tries = self.tries.saturating_add(1);
            self.packet(&packet, piece.side, piece.time, out);
            rest = tail;
        }
        if self.read.server.is_some() {
            self.tell(piece.time, out);
        }
        match (self.told || self.tries > TRIES_MAX, self.read.client.is_some()) {
            (true, _) => {
                self.tell(piece.time, out);
                Want::Stop
            }
            (false, true) => Want::Wake,
            (false, false) => Want::More,
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        // A clock that was set back is no reason to wait longer.
        if self.first.is_some_and(|first| !(0..ANSWER_WAIT_NS).contains(&now.since(first))) {
            self.tell(now, out);
        }
        if self.told { Want::Stop } else { Want::Wake }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.tell(now, out);
    }
}

impl Quic {
    fn packet(&mut self, packet: &Long<'_>, side: Side, time: Timestamp, out: &mut dyn Emit) {
        let Some(dialect) = dialect(packet.version).filter(|_| packet.kind == Type::Initial) else { return };
        let opened = match (&self.keys, self.client) {
            (Some(keys), Some(client)) if side == client => keys.client.open(packet),
            (Some(keys), Some(_)) => keys.server.open(packet),
            _ => None,
        };
        let frames = match opened {
            Some(frames) => frames,
            None if self.client.is_none_or(|client| client == side) => {
                // The first packet of a connection, or of one that starts over with the id a Retry gave.
                let keys = Keys::new(&dialect, packet.target);
                let Some((keys, frames)) = keys.and_then(|keys| keys.client.open(packet).map(|frames| (keys, frames))) else {
                    return self.closed(side, packet, time, out);
                };
                (self.keys, self.client, self.version) = (Some(keys), Some(side), packet.version);
                self.id = packet.target.to_vec();
                frames
            }
            // The server took another version of those the client offered (RFC 9368), and so other keys.
            None if packet.version != self.version => {
                let keys = Keys::new(&dialect, &self.id);
                let Some((keys, frames)) = keys.and_then(|keys| keys.server.open(packet).map(|frames| (keys, frames))) else { return };
                (self.keys, self.version) = (Some(keys), packet.version);
                frames
            }
            None => return,
        };
        self.frames(&frames, usize::from(self.client != Some(side)), dialect.google, time, out);
    }

    /// A packet that no key opens: odd only if it is a client's first, and whole.
    fn closed(&mut self, side: Side, packet: &Long<'_>, time: Timestamp, out: &mut dyn Emit) {
        if side == Side::Originator && self.keys.is_none() && packet.bytes.len() >= 1000 && !std::mem::replace(&mut self.failed, true) {
            out.anomaly("quic_undecryptable", "an Initial packet that its own connection id does not open", time);
        }
    }

    fn frames(&mut self, b: &[u8], role: usize, google: bool, time: Timestamp, out: &mut dyn Emit) {
        let mut at = 0;
        while let Some(kind) = varint(b, &mut at) {
            let read = match kind {
                0 | 1 => Some(()),
                2 | 3 => acknowledgement(b, &mut at, kind == 3),
                6 | 8 if kind == 6 || google => self.crypto_frame(b, &mut at, role, time, out),
                // What else an Initial may hold is a close, and that is the end.
                _ => None,
            };
            if read.is_none() {
                break;
            }
        }
        let Some(crypto) = self.crypto.get_mut(role) else { return };
        while let Some((kind, body, len)) = first_message(crypto.front()) {
            if let Err(why) = self.read.message(kind, body, Over::Quic) {
                out.anomaly("quic_malformed", why, time);
            }
            crypto.done += len;
        }
    }

    fn crypto_frame(&mut self, b: &[u8], at: &mut usize, role: usize, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let offset = varint(b, at)?;
        let len = usize::try_from(varint(b, at)?).ok()?;
        let data = b.get(*at..at.checked_add(len)?)?;
        *at += len;
        if !self.crypto.get_mut(role)?.add(offset, data) {
            out.anomaly("quic_crypto_too_long", "handshake data past the limit, or in too many pieces", time);
            self.tries = TRIES_MAX + 1;
            return None;
        }
        Some(())
    }

    /// Says what is known, once.
    fn tell(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.told || self.read.is_empty() {
            return;
        }
        self.told = true;
        let mut blank = Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", "tls", "quic"));
        blank.body.set(field::QUIC_VERSION, version_name(self.version));
        let client = self.client.unwrap_or(Side::Originator);
        self.read.tell(&blank, &mut |event| out.asked(client, Class::Normal, event));
    }
}

/// Steps over an ACK frame.
fn acknowledgement(b: &[u8], at: &mut usize, counts: bool) -> Option<()> {
    let (_, _) = (varint(b, at)?, varint(b, at)?);
    let ranges = varint(b, at)?;
    varint(b, at)?;
    for _ in 0..ranges.saturating_mul(2) {
        varint(b, at)?;
    }
    if counts {
        for _ in 0..3 {
            varint(b, at)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
