//! SSH (RFC 4253): software of both sides, what they offer as HASSH, and how log-ins went, judged by the sizes of encrypted packets.
//!
//! HASSH and HASSH server (Salesforce, BSD-3-Clause) are the MD5 of the key exchange, encryption, MAC and compression names a
//! side offers. A log-in is judged as Zeek does: the server's first answer is SERVICE_ACCEPT, and USERAUTH_SUCCESS is 16 bytes
//! shorter in every cipher; the first answer to a user, to the question without a password, gives the size of a refusal, and each
//! further answer of that size is a refused try.
//! Limits of that method: it takes one answer a segment; a client that does not ask without a password first loses its first refusal;
//! a key that is offered and not taken counts as a refused try; who logs in stays encrypted.
//! Bounds: `PREFACE_BYTES_MAX` before the first line, `PACKET_BYTES_MAX` a packet, `TRIES_MAX` log-ins, `ANSWERS_MAX` answers looked at.

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::md5::md5_hex;
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static SSH: Protocol = Protocol {
    name: "ssh",
    about: "software and HASSH of client and server, log-ins judged by size",
    fields: &[
        field::SSH_CLIENT,
        field::SSH_SERVER,
        field::SSH_HASSH,
        field::SSH_HASSH_SERVER,
        field::SSH_ATTEMPTS,
        field::SERVICE_NAME,
        field::IS_REMOTE,
        field::STATUS_ID,
        field::STATUS_DETAIL,
    ],
    anomalies: &["ssh_malformed", "ssh_packet_too_long"],
    probe,
    open: |_| Box::new(Ssh::default()),
};

/// RFC 4253: 255 bytes with line end; a server may send lines before it.
const LINE_BYTES_MAX: usize = 255;
const PREFACE_BYTES_MAX: usize = 4096;
const PACKET_BYTES_MAX: usize = 64 << 10;
const OFFER_WAIT_NS: i64 = 2 * SECOND_NS;
/// By how much USERAUTH_SUCCESS is shorter than SERVICE_ACCEPT, whatever the cipher.
const SUCCESS_SHORTER: usize = 16;
/// A first answer longer than this past SERVICE_ACCEPT is a banner, not a refusal.
const REFUSAL_LONGER_MAX: usize = 96;
const TRIES_MAX: u32 = 64;
const ANSWERS_MAX: u32 = 256;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes.len()) {
        (Carrier::Udp, _) => Probe::No,
        (_, 0..4) if b"SSH-".starts_with(bytes) => Probe::Maybe,
        _ if bytes.starts_with(b"SSH-") => Probe::Yes,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Ssh {
    halves: [Half; 2],
    first: Option<Timestamp>,
    told: bool,
    login: Login,
}

/// What one side said.
#[derive(Default)]
struct Half {
    held: Held,
    stage: Stage,
    name: Option<Box<str>>,
    /// The ten name lists of its KEXINIT.
    offer: Option<Vec<String>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Banner,
    Packets,
    Ciphered,
    /// Nothing more can be told of it.
    Lost,
}

impl Parser for Ssh {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        self.first.get_or_insert(piece.time);
        let other = self.halves[piece.side.other() as usize].stage;
        let half = &mut self.halves[piece.side as usize];
        if piece.gap {
            half.stage = Stage::Lost;
            half.held.clear();
            self.login.over = true;
        }
        match half.stage {
            Stage::Ciphered if other == Stage::Ciphered => {
                self.login.piece(piece.side, piece.bytes.len(), piece.time, out);
            }
            Stage::Ciphered | Stage::Lost => {}
            Stage::Banner | Stage::Packets => half.read(&piece, out),
        }
        let settled = |half: &Half| half.offer.is_some() || matches!(half.stage, Stage::Ciphered | Stage::Lost);
        if self.halves.iter().all(settled) {
            self.tell(piece.time, out);
        }
        self.want()
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        // A clock that was set back is no reason to wait longer.
        if self.first.is_some_and(|first| !(0..OFFER_WAIT_NS).contains(&now.since(first))) {
            self.tell(now, out);
        }
        self.want()
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.tell(now, out);
    }
}

impl Half {
    fn read(&mut self, piece: &Piece<'_>, out: &mut dyn Emit) {
        if !self.held.add(piece.bytes, PACKET_BYTES_MAX + LINE_BYTES_MAX) {
            out.anomaly("ssh_packet_too_long", "a packet before encryption does not end", piece.time);
            self.stage = Stage::Lost;
            return;
        }
        while self.stage == Stage::Banner {
            let Some(end) = memchr::memchr(b'\n', self.held.bytes()) else {
                if self.held.bytes().len() > PREFACE_BYTES_MAX {
                    out.anomaly("ssh_malformed", "no line end within 4 KiB", piece.time);
                    self.stage = Stage::Lost;
                }
                return;
            };
            let line = self.held.bytes().get(..end.min(LINE_BYTES_MAX)).unwrap_or_default();
            if line.starts_with(b"SSH-") {
                self.name = Some(software(line));
                // The first version of the protocol has neither offers nor the packets below.
                self.stage = if line.starts_with(b"SSH-1.") && !line.starts_with(b"SSH-1.99") { Stage::Lost } else { Stage::Packets };
            }
            self.held.eat(end + 1);
        }
        self.packets(piece.time, out);
    }

    fn packets(&mut self, time: Timestamp, out: &mut dyn Emit) {
        while self.stage == Stage::Packets {
            let b = self.held.bytes();
            let Some(len) = be32(b, 0) else { return };
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if !(2..=PACKET_BYTES_MAX - 4).contains(&len) {
                out.anomaly("ssh_malformed", "a packet whose length makes no sense", time);
                self.stage = Stage::Lost;
                return;
            }
            let Some(packet) = b.get(4..4 + len) else { return };
            match packet.get(1) {
                Some(&KEXINIT) if self.offer.is_none() => {
                    self.offer = offer(packet.get(18..).unwrap_or_default());
                    if self.offer.is_none() {
                        out.anomaly("ssh_malformed", "an offer that cannot be read", time);
                    }
                }
                Some(&NEWKEYS) => self.stage = Stage::Ciphered,
                _ => {}
            }
            self.held.eat(4 + len);
        }
        // What came with NEWKEYS in one segment (EXT_INFO) is no answer to anything.
        self.held.clear();
    }

    fn banner(&self) -> Option<Value> {
        self.name.as_deref().map(Value::from)
    }

    /// MD5 of four of the offered lists.
    fn hassh(&self, lists: [usize; 4]) -> Option<String> {
        let offer = self.offer.as_ref()?;
        let parts: Option<Vec<&str>> = lists.iter().map(|at| offer.get(*at).map(String::as_str)).collect();
        Some(md5_hex(parts?.join(";").as_bytes()))
    }
}

/// The line without what follows a zero byte, and without blanks at its end.
fn software(line: &[u8]) -> Box<str> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    String::from_utf8_lossy(line.get(..end).unwrap_or(line).trim_ascii_end()).into()
}

/// The name lists of a KEXINIT, as many of the ten as are there; `None` if it does not hold the eight that are used.
fn offer(mut b: &[u8]) -> Option<Vec<String>> {
    let mut lists = Vec::with_capacity(10);
    while lists.len() < 10 {
        let Some(list) = be32(b, 0).and_then(|len| b.get(4..4usize.checked_add(usize::try_from(len).ok()?)?)) else { break };
        lists.push(String::from_utf8_lossy(list).into_owned());
        b = b.get(4 + list.len()..).unwrap_or_default();
    }
    (lists.len() >= 8).then_some(lists)
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The conversation after encryption began, by its sizes.
#[derive(Default)]
struct Login {
    /// The client said something the server has not answered.
    asked: bool,
    accept: Option<usize>,
    refusal: Option<usize>,
    tries: u32,
    answers: u32,
    over: bool,
}

impl Login {
    fn piece(&mut self, side: Side, len: usize, time: Timestamp, out: &mut dyn Emit) {
        if side == Side::Originator {
            self.asked = true;
            return;
        }
        if !std::mem::take(&mut self.asked) || self.over {
            return;
        }
        self.answers += 1;
        let Some(accept) = self.accept else {
            self.accept = Some(len);
            return;
        };
        let success = len + SUCCESS_SHORTER == accept;
        match self.refusal {
            _ if success => self.tell(true, time, out),
            Some(refusal) if refusal == len => self.tell(false, time, out),
            Some(_) => {}
            None if len <= accept + REFUSAL_LONGER_MAX => self.refusal = Some(len),
            // A banner: the answer is still to come.
            None => self.asked = true,
        }
        self.over |= success || self.tries >= TRIES_MAX || self.answers >= ANSWERS_MAX;
    }

    fn tell(&mut self, success: bool, time: Timestamp, out: &mut dyn Emit) {
        self.tries += 1;
        let mut event = Event::new(time, Kind::Authentication, 1, LogSource::new("", "authentication", "ssh"));
        let body = &mut event.body;
        body.set(field::SERVICE_NAME, "ssh");
        body.set(field::IS_REMOTE, true);
        body.set(field::SSH_ATTEMPTS, u64::from(self.tries));
        body.set(field::STATUS_ID, if success { 1u8 } else { 2 });
        body.set(field::STATUS_DETAIL, "judged by packet sizes");
        out.event(Class::Normal, event);
    }
}

impl Ssh {
    fn want(&self) -> Want {
        let lost = self.halves.iter().any(|half| half.stage == Stage::Lost);
        match (self.told, lost || self.login.over) {
            (true, true) => Want::Stop,
            (true, false) => Want::More,
            (false, _) => Want::Wake,
        }
    }

    /// Says who speaks with whom, once.
    fn tell(&mut self, now: Timestamp, out: &mut dyn Emit) {
        let [client, server] = &self.halves;
        if self.told || (client.name.is_none() && server.name.is_none()) {
            return;
        }
        self.told = true;
        let mut event = Event::new(now, Kind::SshActivity, 1, LogSource::new("", "network_connection", "ssh"));
        let body = &mut event.body;
        body.set_some(field::SSH_CLIENT, client.banner());
        body.set_some(field::SSH_SERVER, server.banner());
        body.set_some(field::SSH_HASSH, client.hassh([0, 2, 4, 6]));
        body.set_some(field::SSH_HASSH_SERVER, server.hassh([0, 3, 5, 7]));
        out.event(Class::Normal, event);
    }
}

#[cfg(test)]
mod tests;
