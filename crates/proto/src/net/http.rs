//! HTTP/1 (RFC 9112), and 0.9 as far as it goes: one event a request with its answer, found by content on any port.
//!
//! Heads are read leniently (a line that is none is an anomaly, the others count); bodies are stepped over by their stated length or chunks, so that requests in a row are
//! all seen. A request waits for its answer for two seconds at most, then it is told without one.
//! Limits: `HEAD_BYTES_MAX` a head, a hundred header lines, `WAITING_MAX` requests without an answer. After a hole in
//! the stream reading goes on at the next piece that begins like a message.

use std::collections::VecDeque;

use event::{Class, Event, Field, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

mod head;

use self::head::{Head, Length, request_line, status};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

/// What a request and its answer say, whichever version carried them.
pub(super) const FIELDS: [Field; 15] = [
    field::STATUS_ID,
    field::DURATION_MS,
    field::HTTP_METHOD,
    field::HTTP_HOST,
    field::HTTP_PATH,
    field::HTTP_QUERY,
    field::HTTP_URL,
    field::HTTP_USER_AGENT,
    field::HTTP_REFERRER,
    field::HTTP_VERSION,
    field::HTTP_STATUS,
    field::HTTP_LENGTH,
    field::HTTP_BODY_LENGTH,
    field::HTTP_CONTENT_TYPE,
    field::HTTP_X_FORWARDED_FOR,
];

pub static HTTP: Protocol = Protocol {
    name: "http",
    about: "requests with host, target, agent and the status of the answer",
    fields: &FIELDS,
    anomalies: &[
        "http_malformed",
        "http_head_too_long",
        "http_pipeline_overflow",
        "http_two_hosts",
        "http_length_doubtful",
        "http_length_implausible",
    ],
    probe,
    open: |_| Box::new(Http::default()),
};

const HEAD_BYTES_MAX: usize = 32 << 10;
const FORWARDED_MAX: usize = 16;
const WAITING_MAX: usize = 32;
const ANSWER_WAIT_NS: i64 = 2 * SECOND_NS;
const CHUNK_LINE_MAX: usize = 1024;

const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PATCH ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"MOVE ",
    b"COPY ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"DEBUG ",
    b"TRACK ",
    b"PURGE ",
    b"SUBSCRIBE ",
    b"UNSUBSCRIBE ",
    b"MERGE ",
    b"CHECKOUT ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
    b"BITS_POST ",
    b"CCM_POST ",
    b"SSTP_DUPLEX_POST ",
];

fn probe(carrier: Carrier, _: Side, b: &[u8]) -> Probe {
    if carrier == Carrier::Udp || b.first().is_some_and(|b| !b.is_ascii_uppercase()) {
        return Probe::No;
    }
    let words = METHODS.iter().copied().chain([&b"HTTP/1."[..]]);
    let mut maybe = false;
    for word in words {
        if b.len() < word.len() {
            maybe |= word.starts_with(b);
        } else if let Some(rest) = b.strip_prefix(word) {
            // RTSP and SIP have the same shape and some of the same methods.
            let rest = rest.trim_ascii_start();
            for other in [&b"rtsp"[..], b"sip:", b"sips"] {
                if rest.len() >= 4 && rest[..4].eq_ignore_ascii_case(other) {
                    return Probe::No;
                }
            }
            let line = memchr::memchr(b'\n', rest).map(|end| &rest[..end]);
            let foreign = line.is_some_and(|l| memchr::memmem::find(l, b" RTSP/").is_some() || memchr::memmem::find(l, b" SIP/").is_some());
            return if foreign { Probe::No } else { Probe::Yes };
        }
    }
    if maybe { Probe::Maybe } else { Probe::No }
}

#[derive(Default)]
struct Http {
    sides: [Half; 2],
    waiting: VecDeque<Request>,
    /// The side that sends requests, once one was seen.
    client: Option<Side>,
    /// The connection became a tunnel or changed its protocol.
    over: bool,
    handed_over: bool,
}

#[derive(Default)]
struct Half {
    held: Held,
    body: Body,
    /// A hole was met: skip to a piece that begins like a message.
    lost: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Body {
    #[default]
    None,
    Bytes(u64),
    ChunkLine,
    ChunkBytes(u64),
    Trailer,
    UntilClose,
}

struct Request {
    event: Event,
    head: bool,
    connect: bool,
    /// HTTP/0.9: a line and nothing more.
    simple: bool,
    since: Timestamp,
    told: bool,
}

impl Parser for Http {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if self.over {
            return Want::Stop;
        }
        let at = piece.side as usize;
        let half = &mut self.sides[at];
        if piece.gap {
            half.held.clear();
            half.body = Body::None;
            half.lost = true;
        }
        if half.lost {
            if probe(Carrier::Tcp, piece.side, piece.bytes) != Probe::Yes {
                return self.want();
            }
            half.lost = false;
        }
        // A body needs no copy: step over what of it is in the piece.
        let mut bytes = piece.bytes;
        if half.held.bytes().is_empty() {
            match &mut half.body {
                Body::Bytes(left) | Body::ChunkBytes(left) => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= step as u64;
                    bytes = &bytes[step..];
                }
                Body::UntilClose => return self.want(),
                _ => {}
            }
        }
        if !half.held.add(bytes, HEAD_BYTES_MAX + 65_536) {
            out.anomaly("http_head_too_long", "a message head does not end", piece.time);
            half.lost = true;
            return self.want();
        }
        self.read(piece.side, piece.time, out);
        self.want()
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        for request in &mut self.waiting {
            // A clock that was set back is no reason to wait longer.
            if !request.told && !(0..ANSWER_WAIT_NS).contains(&now.since(request.since)) {
                request.told = true;
                out.event(Class::Normal, request.event.clone());
            }
        }
        self.want()
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        if !self.over || std::mem::replace(&mut self.handed_over, true) {
            return None;
        }
        Some(self.sides.each_mut().map(|half| std::mem::take(&mut half.held).into_bytes()))
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        for request in self.waiting.drain(..) {
            if !request.told {
                out.event(Class::Normal, request.event);
            }
        }
    }
}

/// What a head led to.
enum Step {
    /// So many bytes are done with.
    Ate(usize),
    NeedMore,
    Lost(&'static str),
}

impl Http {
    fn want(&self) -> Want {
        match (self.over, self.waiting.iter().any(|r| !r.told)) {
            (true, _) => Want::Stop,
            (_, true) => Want::Wake,
            _ => Want::More,
        }
    }

    fn read(&mut self, side: Side, time: Timestamp, out: &mut dyn Emit) {
        let at = side as usize;
        let mut held = std::mem::take(&mut self.sides[at].held);
        let mut done = 0;
        while !self.over {
            let rest = &held.bytes()[done..];
            // What follows a CONNECT is read when it is known whether there is a tunnel.
            if rest.is_empty()
                || (self.sides[at].body == Body::None && self.client == Some(side) && self.waiting.back().is_some_and(|r| r.connect))
            {
                break;
            }
            let step = match self.sides[at].body {
                Body::None => {
                    // Empty lines before a message are allowed (RFC 9112, 2.2).
                    match rest.iter().position(|b| !matches!(b, b'\r' | b'\n')) {
                        Some(0) => self.head(side, rest, time, out),
                        Some(n) => Step::Ate(n),
                        None => Step::Ate(rest.len()),
                    }
                }
                Body::Bytes(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.sides[at].body = if left == n as u64 { Body::None } else { Body::Bytes(left - n as u64) };
                    Step::Ate(n)
                }
                Body::ChunkBytes(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.sides[at].body = if left == n as u64 { Body::ChunkLine } else { Body::ChunkBytes(left - n as u64) };
                    Step::Ate(n)
                }
                Body::ChunkLine => chunk_line(rest, &mut self.sides[at].body),
                Body::Trailer => trailer(rest, &mut self.sides[at].body),
                Body::UntilClose => Step::Ate(rest.len()),
            };
            match step {
                Step::Ate(n) => done += n,
                Step::NeedMore if rest.len() > HEAD_BYTES_MAX => {
                    out.anomaly("http_head_too_long", "a message head does not end within 32 KiB", time);
                    self.sides[at].lost = true;
                    return;
                }
                Step::NeedMore => break,
                Step::Lost(why) => {
                    out.anomaly("http_malformed", why, time);
                    self.sides[at].lost = true;
                    self.sides[at].body = Body::None;
                    return;
                }
            }
        }
        if matches!(self.sides[at].body, Body::Bytes(0)) {
            self.sides[at].body = Body::None;
        }
        held.eat(done);
        self.sides[at].held = held;
    }

    fn head(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Step {
        // A request that was sent to an SSH server: what follows is SSH's.
        if self.client == Some(side.other()) && bytes.starts_with(b"SSH-") {
            self.over = true;
            return Step::NeedMore;
        }
        // An answer without a head, to a request without one (HTTP/0.9): it goes on to the end.
        if self.client == Some(side.other())
            && self.waiting.front().is_some_and(|r| r.simple)
            && !b"HTTP/".starts_with(&bytes[..bytes.len().min(5)])
        {
            self.sides[side as usize].body = Body::UntilClose;
            if let Some(request) = self.waiting.pop_front().filter(|r| !r.told) {
                out.event(Class::Normal, request.event);
            }
            return Step::Ate(bytes.len());
        }
        let answers = bytes.starts_with(b"HTTP/") || (bytes.len() < 5 && b"HTTP/".starts_with(bytes));
        if answers { self.answer(side, bytes, time, out) } else { self.request(side, bytes, time, out) }
    }

    fn request(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Step {
        let simple = Head::simple(bytes);
        let Some(head) = simple.or_else(|| Head::read(bytes)) else { return Step::NeedMore };
        let line = match request_line(head.line) {
            Ok(line) => line,
            Err(why) => return Step::Lost(why),
        };
        let method = String::from_utf8_lossy(line.method);
        let target = String::from_utf8_lossy(line.target);
        let mut event = Event::new(time, Kind::HttpActivity, activity(&method), LogSource::new("", "http", "http"));
        let body = &mut event.body;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target, None),
        };
        body.set(field::HTTP_METHOD, &*method);
        body.set(field::HTTP_URL, &*target);
        body.set(field::HTTP_PATH, path);
        body.set_some(field::HTTP_QUERY, query);
        let simple = head.simple;
        body.set_some(field::HTTP_VERSION, if simple { Some("0.9") } else { line.version });
        let mut length = Length::default();
        let mut hosts = 0;
        for (name, value) in head.fields() {
            if name.eq_ignore_ascii_case(b"host") {
                hosts += 1;
                if hosts == 1 {
                    body.set(field::HTTP_HOST, Value::lossy(value));
                }
            } else if name.eq_ignore_ascii_case(b"user-agent") {
                body.set(field::HTTP_USER_AGENT, Value::lossy(value));
            } else if name.eq_ignore_ascii_case(b"referer") {
                body.set(field::HTTP_REFERRER, Value::lossy(value));
            } else if name.eq_ignore_ascii_case(b"x-forwarded-for") {
                let list: Vec<Value> = value.split(|b| *b == b',').take(FORWARDED_MAX).map(|v| Value::lossy(v.trim_ascii())).collect();
                body.set(field::HTTP_X_FORWARDED_FOR, list);
            } else {
                length.take(name, value);
            }
        }
        body.set_some(field::HTTP_BODY_LENGTH, length.bytes);
        if (line.version.is_none() && !simple) || head.spoiled {
            out.anomaly("http_malformed", "a request head cannot be read whole", time);
        }
        if hosts > 1 {
            out.anomaly("http_two_hosts", "a request names its host more than once; the first is taken", time);
        }
        length.tell(time, out);
        self.client.get_or_insert(side);
        self.sides[side as usize].body = match (length.chunked, length.bytes) {
            (true, _) => Body::ChunkLine,
            (_, Some(n)) if n > 0 => Body::Bytes(n),
            _ => Body::None,
        };
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            out.anomaly("http_pipeline_overflow", "too many requests without an answer", time);
            if !oldest.told {
                out.event(Class::Normal, oldest.event);
            }
        }
        self.waiting.push_back(Request { event, head: method == "HEAD", connect: method == "CONNECT", simple, since: time, told: false });
        Step::Ate(head.size)
    }

    fn answer(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Step {
        let Some(head) = Head::read(bytes) else { return Step::NeedMore };
        let Some(status) = status(head.line) else { return Step::Lost("a response head cannot be read") };
        let (mut length, mut kind) = (Length::default(), None);
        for (name, value) in head.fields() {
            if name.eq_ignore_ascii_case(b"content-type") {
                kind = Some(Value::lossy(value));
            } else {
                length.take(name, value);
            }
        }
        length.tell(time, out);
        let (size, chunked, length) = (head.size, length.chunked, length.bytes);
        let interim = (100..200).contains(&status) && status != 101;
        if interim {
            return Step::Ate(size);
        }
        let request = self.waiting.pop_front();
        let bodyless = request.as_ref().is_some_and(|r| r.head) || matches!(status, 101 | 204 | 304);
        let tunnel = status == 101 || (request.as_ref().is_some_and(|r| r.connect) && (200..300).contains(&status));
        self.sides[side as usize].body = match (bodyless, chunked, length) {
            (true, ..) | (_, false, Some(0)) => Body::None,
            (_, true, _) => Body::ChunkLine,
            (_, _, Some(n)) => Body::Bytes(n),
            _ => Body::UntilClose,
        };
        // An answer whose request was told already (it waited too long) or never seen is told by itself.
        let took = request.as_ref().map(|r| time.since(r.since).max(0) / 1_000_000);
        let mut event = match request {
            Some(r) if !r.told => r.event,
            Some(r) => {
                let mut event = r.event;
                event.time = time;
                event.observed = time;
                event
            }
            None => Event::new(time, Kind::HttpActivity, 99, LogSource::new("", "http", "http")),
        };
        event.body.set(field::HTTP_STATUS, status);
        event.body.set(field::STATUS_ID, if status < 400 { 1u8 } else { 2 });
        event.body.set_some(field::HTTP_LENGTH, length);
        event.body.set_some(field::HTTP_CONTENT_TYPE, kind);
        event.body.set_some(field::DURATION_MS, took);
        out.event(Class::Normal, event);
        self.over |= tunnel;
        Step::Ate(size)
    }
}

/// OCSF `activity_id` of http_activity.
pub(super) fn activity(method: &str) -> u8 {
    match method {
        "CONNECT" => 1,
        "DELETE" => 2,
        "GET" => 3,
        "HEAD" => 4,
        "OPTIONS" => 5,
        "POST" => 6,
        "PUT" => 7,
        "TRACE" => 8,
        "PATCH" => 9,
        _ => 99,
    }
}

/// The line with a chunk's size, or the line end behind a chunk.
fn chunk_line(rest: &[u8], body: &mut Body) -> Step {
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return if rest.len() > CHUNK_LINE_MAX { Step::Lost("a chunk size that does not end") } else { Step::NeedMore };
    };
    let line = rest[..end].trim_ascii();
    if line.is_empty() {
        return Step::Ate(end + 1);
    }
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    match std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok()) {
        Some(0) => *body = Body::Trailer,
        Some(n) => *body = Body::ChunkBytes(n),
        None => return Step::Lost("a chunk size that is no number"),
    }
    Step::Ate(end + 1)
}

/// Lines behind the last chunk, up to an empty one.
fn trailer(rest: &[u8], body: &mut Body) -> Step {
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return if rest.len() > CHUNK_LINE_MAX { Step::Lost("a trailer that does not end") } else { Step::NeedMore };
    };
    if rest[..end].trim_ascii().is_empty() {
        *body = Body::None;
    }
    Step::Ate(end + 1)
}

#[cfg(test)]
mod tests;
