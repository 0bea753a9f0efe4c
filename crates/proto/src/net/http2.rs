//! HTTP/2 (RFC 9113) in the clear, begun by its preface or after an upgrade: one event a request with its answer.
//!
//! Header blocks are read by `hpack`; what DATA frames carry is stepped over, but DNS messages (RFC 8484, also `?dns=` of a GET) are
//! read as DNS. Without the begin of the connection the compression has no table, so a connection joined in the middle is not read.
//! Limits: `BLOCK_BYTES_MAX` a header block, `STREAMS_MAX` requests without an answer (the oldest is told without), `DNS_BYTES_MAX` a
//! DNS message. A request waits two seconds for its answer.

mod hpack;

use std::collections::VecDeque;

use event::{Class, Event, Field, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use self::hpack::{Header, Hpack};
use super::dns::{self, Dns};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be24, http};

pub static HTTP2: Protocol = Protocol {
    name: "http2",
    about: "requests of HTTP/2 in the clear, and DNS within",
    fields: &FIELDS,
    anomalies: &["http2_malformed", "http2_block_too_long", "http2_too_many_streams", "dns_malformed", "dns_invalid_opcode"],
    probe,
    open: |_| Box::new(Http2::default()),
};

static FIELDS: [Field; http::FIELDS.len() + dns::FIELDS.len() + 1] = {
    let mut all = [field::STATUS_DETAIL; http::FIELDS.len() + dns::FIELDS.len() + 1];
    let mut at = 0;
    while at + 1 < all.len() {
        all[at] = if at < http::FIELDS.len() { http::FIELDS[at] } else { dns::FIELDS[at - http::FIELDS.len()] };
        at += 1;
    }
    all
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
const BLOCK_BYTES_MAX: usize = 64 << 10;
const STREAMS_MAX: usize = 64;
const DNS_BYTES_MAX: usize = 4096;
const ANSWER_WAIT_NS: i64 = 2 * SECOND_NS;
const DNS_TYPE: &[u8] = b"application/dns-message";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

fn probe(carrier: Carrier, _: Side, b: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
        return Probe::No;
    }
    if b.first() == Some(&b'P') {
        return if b.starts_with(PREFACE) {
            Probe::Yes
        } else if PREFACE.starts_with(b) {
            Probe::Maybe
        } else {
            Probe::No
        };
    }
    // The server's first frame: settings of six bytes each, on no stream.
    match b {
        [0, 0, len, SETTINGS, 0, 0, 0, 0, 0, rest @ ..] if len % 6 == 0 && *len <= 120 => {
            let fits = *len == 0 || rest.first() == Some(&0);
            if fits { Probe::Yes } else { Probe::No }
        }
        [0, 0, len, SETTINGS, ..] if b.len() < FRAME_HEAD_BYTES && len % 6 == 0 => Probe::Maybe,
        [] | [0] | [0, 0] | [0, 0, _] => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Http2 {
    halves: [Half; 2],
    streams: VecDeque<Stream>,
    client: Option<Side>,
    dns: Dns,
    over: bool,
}

#[derive(Default)]
struct Half {
    held: Held,
    hpack: Hpack,
    /// Bytes of a frame that are stepped over.
    skip: usize,
    /// A header block that goes on in CONTINUATION frames: stream, promised stream's or its own, flags.
    block: Option<(u32, u8, Vec<u8>)>,
    begun: bool,
    /// Frames or the header table cannot be followed any more.
    lost: bool,
}

/// A request and what is known of its answer.
struct Stream {
    id: u32,
    event: Event,
    since: Timestamp,
    told: bool,
    answered: bool,
    /// DNS messages of client and server being put together.
    dns: [Option<Vec<u8>>; 2],
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    len: usize,
}

impl Frame {
    fn read(b: &[u8]) -> Option<Self> {
        let head = b.get(..FRAME_HEAD_BYTES)?;
        let stream = u32::from_be_bytes(head.get(5..9)?.try_into().ok()?) & 0x7fff_ffff;
        Some(Self { len: be24(head, 0)?, kind: *head.get(3)?, flags: *head.get(4)?, stream })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The body without padding and priority.
    fn payload<'b>(&self, mut body: &'b [u8]) -> Option<&'b [u8]> {
        if self.has(PADDED) && matches!(self.kind, DATA | HEADERS | PUSH_PROMISE) {
            let padding = usize::from(*body.first()?);
            body = body.get(1..body.len().checked_sub(padding)?)?;
        }
        if self.has(PRIORITY) && self.kind == HEADERS { body.get(5..) } else { Some(body) }
    }
}

impl Parser for Http2 {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let half = &mut self.halves[piece.side as usize];
        half.lost |= piece.gap;
        let mut bytes = piece.bytes;
        let step = half.skip.min(bytes.len());
        half.skip -= step;
        bytes = bytes.get(step..).unwrap_or_default();
        if !half.lost && !bytes.is_empty() {
            if half.held.add(bytes, BLOCK_BYTES_MAX * 2) {
                self.read(piece.side, piece.time, out);
            } else {
                out.anomaly("http2_block_too_long", "frames do not end", piece.time);
                half.lost = true;
            }
        }
        self.over |= self.halves.iter().all(|half| half.lost);
        self.want()
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        let client = self.client.unwrap_or(Side::Originator);
        for stream in &mut self.streams {
            // A clock that was set back is no reason to wait longer.
            if !stream.told && !(0..ANSWER_WAIT_NS).contains(&now.since(stream.since)) {
                stream.told = true;
                out.asked(client, Class::Normal, stream.event.clone());
            }
        }
        self.want()
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        let client = self.client.unwrap_or(Side::Originator);
        for stream in self.streams.drain(..).filter(|stream| !stream.told) {
            out.asked(client, Class::Normal, stream.event);
        }
    }
}

impl Http2 {
    fn want(&self) -> Want {
        match (self.over, self.streams.iter().any(|s| !s.told)) {
            (true, _) => Want::Stop,
            (_, true) => Want::Wake,
            _ => Want::More,
        }
    }

    fn read(&mut self, side: Side, time: Timestamp, out: &mut dyn Emit) {
        let at = side as usize;
        let mut held = std::mem::take(&mut self.halves[at].held);
        if !self.halves[at].begun {
            if held.bytes().len() < PREFACE.len() && PREFACE.starts_with(held.bytes()) {
                self.halves[at].held = held;
                return;
            }
            self.halves[at].begun = true;
            if held.bytes().starts_with(PREFACE) {
                self.client = Some(side);
                held.eat(PREFACE.len());
            }
        }
        while !self.halves[at].lost
            && let Some(frame) = Frame::read(held.bytes())
        {
            if !self.wants(&frame) {
                let there = held.bytes().len() - FRAME_HEAD_BYTES;
                self.halves[at].skip = frame.len.saturating_sub(there);
                held.eat(FRAME_HEAD_BYTES + frame.len);
                continue;
            }
            if frame.len > BLOCK_BYTES_MAX {
                out.anomaly("http2_block_too_long", "a header frame of more than 64 KiB", time);
                self.halves[at].lost = true;
                break;
            }
            let Some(body) = held.bytes().get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + frame.len) else { break };
            if self.frame(side, &frame, body, time, out).is_none() {
                out.anomaly("http2_malformed", "a frame or header block cannot be read", time);
                self.halves[at].lost = true;
            }
            held.eat(FRAME_HEAD_BYTES + frame.len);
        }
        if !self.halves[at].lost {
            self.halves[at].held = held;
        }
    }

    /// Whether a frame's body is looked at.
    fn wants(&self, frame: &Frame) -> bool {
        match frame.kind {
            HEADERS | PUSH_PROMISE | CONTINUATION => true,
            RST_STREAM => frame.len == 4,
            DATA => frame.len <= DNS_BYTES_MAX && self.streams.iter().any(|s| s.id == frame.stream && s.dns.iter().any(Option::is_some)),
            _ => false,
        }
    }

    fn frame(&mut self, side: Side, frame: &Frame, body: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let payload = frame.payload(body)?;
        match frame.kind {
            HEADERS | PUSH_PROMISE => {
                let promise = frame.kind == PUSH_PROMISE;
                let (stream, block) = if promise {
                    (u32::from_be_bytes(payload.get(..4)?.try_into().ok()?) & 0x7fff_ffff, payload.get(4..)?)
                } else {
                    (frame.stream, payload)
                };
                self.halves[side as usize].block = Some((stream, frame.flags & END_STREAM, block.to_vec()));
            }
            CONTINUATION => {
                let (stream, _, block) = self.halves[side as usize].block.as_mut()?;
                if (*stream != frame.stream && frame.stream == 0) || block.len() + payload.len() > BLOCK_BYTES_MAX {
                    return None;
                }
                block.extend_from_slice(payload);
            }
            DATA => self.data(side, frame, payload, time, out),
            _ => self.reset(frame.stream, body, out),
        }
        if frame.has(END_HEADERS) && matches!(frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            let half = &mut self.halves[side as usize];
            let (stream, flags, block) = half.block.take()?;
            let fields = half.hpack.read(&block)?;
            self.headers(side, stream, &fields, time, out);
            if flags & END_STREAM != 0 {
                self.finish(side, stream, time, out);
            }
        }
        Some(())
    }

    fn headers(&mut self, side: Side, id: u32, fields: &[Header], time: Timestamp, out: &mut dyn Emit) {
        let find = |name: &[u8]| fields.iter().find(|(n, _)| n.as_slice() == name).map(|(_, v)| v.as_slice());
        if let Some(method) = find(b":method") {
            // A promise is a request the server makes in the client's name.
            let client = *self.client.get_or_insert(if id % 2 == 1 { side } else { side.other() });
            if self.streams.len() >= STREAMS_MAX
                && let Some(oldest) = self.streams.pop_front()
                && !oldest.told
            {
                out.anomaly("http2_too_many_streams", "too many requests without an answer", time);
                out.asked(client, Class::Normal, oldest.event);
            }
            let mut stream =
                Stream { id, event: request(method, &find, time), since: time, told: false, answered: false, dns: [None, None] };
            if find(b"content-type") == Some(DNS_TYPE) {
                stream.dns[0] = Some(Vec::new());
            } else if let Some(message) = find(b":path").and_then(dns_of_path) {
                self.dns.message(&message, time, &mut Asked { by: client, out });
            }
            self.streams.push_back(stream);
            return;
        }
        let Some(status) = find(b":status").and_then(|s| std::str::from_utf8(s).ok()?.parse::<u16>().ok()) else { return };
        let client = *self.client.get_or_insert(side.other());
        if (100..200).contains(&status) {
            return;
        }
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == id && !s.answered) else { return };
        stream.answered = true;
        let kind = find(b"content-type");
        if stream.told {
            (stream.event.time, stream.event.observed) = (time, time);
        }
        let body = &mut stream.event.body;
        body.set(field::HTTP_STATUS, status);
        body.set(field::STATUS_ID, if status < 400 { 1u8 } else { 2 });
        body.set_some(field::HTTP_LENGTH, find(b"content-length").and_then(number));
        body.set_some(field::HTTP_CONTENT_TYPE, kind.map(Value::lossy));
        body.set(field::DURATION_MS, time.since(stream.since).max(0) / 1_000_000);
        stream.told = true;
        out.asked(client, Class::Normal, stream.event.clone());
        if kind == Some(DNS_TYPE) {
            stream.dns[1] = Some(Vec::new());
        }
        self.forget(id);
    }

    /// Drops a stream of which nothing more is wanted.
    fn forget(&mut self, id: u32) {
        self.streams.retain(|s| s.id != id || !s.answered || s.dns.iter().any(Option::is_some));
    }

    fn data(&mut self, side: Side, frame: &Frame, payload: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let role = usize::from(self.client != Some(side));
        if let Some(stream) = self.streams.iter_mut().find(|s| s.id == frame.stream)
            && let Some(message) = stream.dns.get_mut(role).and_then(Option::as_mut)
            && message.len() + payload.len() <= DNS_BYTES_MAX
        {
            message.extend_from_slice(payload);
        }
        if frame.has(END_STREAM) {
            self.finish(side, frame.stream, time, out);
        }
    }

    /// A side has said all on a stream.
    fn finish(&mut self, side: Side, id: u32, time: Timestamp, out: &mut dyn Emit) {
        let client = self.client.unwrap_or(Side::Originator);
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) else { return };
        let message = stream.dns.get_mut(usize::from(client != side)).and_then(Option::take);
        if let Some(message) = message.filter(|m| !m.is_empty()) {
            self.dns.message(&message, time, &mut Asked { by: client, out });
        }
        self.forget(id);
    }

    fn reset(&mut self, id: u32, body: &[u8], out: &mut dyn Emit) {
        let Some(at) = self.streams.iter().position(|s| s.id == id) else { return };
        if let Some(mut stream) = self.streams.remove(at).filter(|s| !s.told) {
            let code = body.last().copied().unwrap_or(0);
            stream.event.body.set(field::STATUS_ID, 2u8);
            stream.event.body.set(field::STATUS_DETAIL, format!("stream reset, code {code}"));
            out.asked(self.client.unwrap_or(Side::Originator), Class::Normal, stream.event);
        }
    }
}

fn request<'h>(method: &[u8], find: &dyn Fn(&[u8]) -> Option<&'h [u8]>, time: Timestamp) -> Event {
    let method = String::from_utf8_lossy(method);
    let mut event = Event::new(time, Kind::HttpActivity, http::activity(&method), LogSource::new("", "http", "http"));
    let body = &mut event.body;
    let target = String::from_utf8_lossy(find(b":path").unwrap_or_default());
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    body.set(field::HTTP_METHOD, &*method);
    body.set(field::HTTP_URL, &*target);
    body.set(field::HTTP_PATH, path);
    body.set_some(field::HTTP_QUERY, query);
    body.set(field::HTTP_VERSION, "2");
    body.set_some(field::HTTP_HOST, find(b":authority").or_else(|| find(b"host")).map(Value::lossy));
    body.set_some(field::HTTP_USER_AGENT, find(b"user-agent").map(Value::lossy));
    body.set_some(field::HTTP_REFERRER, find(b"referer").map(Value::lossy));
    body.set_some(field::HTTP_BODY_LENGTH, find(b"content-length").and_then(number));
    if let Some(list) = find(b"x-forwarded-for") {
        body.set(
            field::HTTP_X_FORWARDED_FOR,
            list.split(|b| *b == b',').take(16).map(|v| Value::lossy(v.trim_ascii())).collect::<Vec<_>>(),
        );
    }
    event
}

fn number(b: &[u8]) -> Option<u64> {
    std::str::from_utf8(b).ok()?.parse().ok().filter(|n| *n < 1 << 53)
}

/// The message in `?dns=` (RFC 8484, 4.1).
fn dns_of_path(path: &[u8]) -> Option<Vec<u8>> {
    let query = path.get(memchr::memchr(b'?', path)? + 1..)?;
    let text = query.split(|b| *b == b'&').find_map(|part| part.strip_prefix(b"dns="))?;
    (text.len() <= DNS_BYTES_MAX).then(|| base64url(text)).flatten().filter(|m| m.len() > 12)
}

fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for c in text.iter().take_while(|c| **c != b'=') {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

/// What is told within belongs to the client.
struct Asked<'o> {
    by: Side,
    out: &'o mut dyn Emit,
}

impl Emit for Asked<'_> {
    fn event(&mut self, class: Class, event: Event) {
        self.out.asked(self.by, class, event);
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, time: Timestamp) {
        self.out.anomaly(name, detail, time);
    }
}

#[cfg(test)]
mod tests;
