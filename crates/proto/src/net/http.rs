//! HTTP/1 (RFC 9112): one event a request with its answer, found by content on any port.
//!
//! Heads are read by httparse; bodies are stepped over by their stated length or chunks, so that requests in a row are
//! all seen. A request waits for its answer for two seconds at most, then it is told without one.
//! Limits: `HEAD_BYTES_MAX` a head, `HEADERS_MAX` header lines, `WAITING_MAX` requests without an answer. After a hole in
//! the stream reading goes on at the next piece that begins like a message.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static HTTP: Protocol = Protocol {
    name: "http",
    about: "requests with host, target, agent and the status of the answer",
    fields: &[
        field::STATUS_ID,
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
    ],
    anomalies: &["http_malformed", "http_head_too_long", "http_pipeline_overflow"],
    probe,
    open: |_| Box::new(Http::default()),
};

const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
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
];

fn probe(carrier: Carrier, _: Side, b: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
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
    over: bool,
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
            if rest.is_empty() {
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
        let answers = bytes.starts_with(b"HTTP/") || (bytes.len() < 5 && b"HTTP/".starts_with(bytes));
        if answers { self.answer(side, bytes, time, out) } else { self.request(side, bytes, time, out) }
    }

    fn request(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Step {
        if !head_ends(bytes) {
            return Step::NeedMore;
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let (size, whole) = match request.parse(bytes) {
            Ok(httparse::Status::Complete(size)) => (size, true),
            Ok(httparse::Status::Partial) => return Step::NeedMore,
            // What is no header line still leaves the request line to be read.
            Err(_) => (memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4), false),
        };
        let (method, target, version) = match (request.method, request.path, whole) {
            (Some(method), Some(target), true) => {
                (method.to_owned(), target.to_owned(), request.version.map(|v| if v == 0 { "1.0" } else { "1.1" }))
            }
            _ => {
                let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
                let Some((method, rest)) = split_at_byte(line.trim_ascii(), b' ') else { return Step::Lost("no request line") };
                if !method.iter().all(u8::is_ascii_uppercase) {
                    return Step::Lost("no request line");
                }
                let end = memchr::memmem::rfind(rest, b" HTTP/").unwrap_or(rest.len());
                (String::from_utf8_lossy(method).into_owned(), String::from_utf8_lossy(&rest[..end]).into_owned(), None)
            }
        };
        let connect = method == "CONNECT";
        let mut event = Event::new(time, Kind::HttpActivity, activity(&method), LogSource::new("", "http", "http"));
        let body = &mut event.body;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.as_str(), None),
        };
        body.set(field::HTTP_METHOD, method.as_str());
        body.set(field::HTTP_URL, target.as_str());
        body.set(field::HTTP_PATH, path);
        body.set_some(field::HTTP_QUERY, query);
        body.set_some(field::HTTP_VERSION, version);
        let mut length = None;
        let mut chunked = false;
        for header in request.headers.iter().take_while(|h| !h.name.is_empty()) {
            let value = || Value::lossy(header.value.trim_ascii());
            let name = header.name;
            if name.eq_ignore_ascii_case("host") {
                body.set(field::HTTP_HOST, value());
            } else if name.eq_ignore_ascii_case("user-agent") {
                body.set(field::HTTP_USER_AGENT, value());
            } else if name.eq_ignore_ascii_case("referer") {
                body.set(field::HTTP_REFERRER, value());
            } else if name.eq_ignore_ascii_case("x-forwarded-for") {
                let list: Vec<Value> = header.value.split(|b| *b == b',').map(|v| Value::lossy(v.trim_ascii())).collect();
                body.set(field::HTTP_X_FORWARDED_FOR, list);
            } else if name.eq_ignore_ascii_case("content-length") {
                length = decimal(header.value);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked |= header.value.to_ascii_lowercase().ends_with(b"chunked");
            }
        }
        body.set_some(field::HTTP_BODY_LENGTH, length);
        if !whole {
            out.anomaly("http_malformed", "a request head cannot be read whole", time);
        }
        self.client.get_or_insert(side);
        self.sides[side as usize].body = match (chunked, length) {
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
        self.waiting.push_back(Request { event, head: method == "HEAD", connect, since: time, told: false });
        Step::Ate(size)
    }

    fn answer(&mut self, side: Side, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) -> Step {
        if !head_ends(bytes) {
            return Step::NeedMore;
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let (size, status) = match response.parse(bytes) {
            Ok(httparse::Status::Complete(size)) => (size, response.code),
            Ok(httparse::Status::Partial) => return Step::NeedMore,
            Err(_) => return Step::Lost("a response head cannot be read"),
        };
        let status = status.unwrap_or(0);
        let (mut length, mut chunked, mut kind) = (None, false, None);
        for header in response.headers.iter().take_while(|h| !h.name.is_empty()) {
            if header.name.eq_ignore_ascii_case("content-length") {
                length = decimal(header.value);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked |= header.value.to_ascii_lowercase().ends_with(b"chunked");
            } else if header.name.eq_ignore_ascii_case("content-type") {
                kind = Some(Value::lossy(header.value.trim_ascii()));
            }
        }
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
        out.event(Class::Normal, event);
        self.over |= tunnel;
        Step::Ate(size)
    }
}

/// True if an empty line is in sight: a head that comes a byte at a time is not parsed a byte at a time.
fn head_ends(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\n\r\n").is_some() || memchr::memmem::find(bytes, b"\n\n").is_some()
}

/// OCSF `activity_id` of http_activity.
fn activity(method: &str) -> u8 {
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

fn split_at_byte(b: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let n = memchr::memchr(at, b)?;
    Some((&b[..n], &b[n + 1..]))
}

fn decimal(b: &[u8]) -> Option<u64> {
    std::str::from_utf8(b.trim_ascii()).ok()?.parse().ok()
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
mod tests {
    use super::super::testing::{Seen, piece, talk};
    use super::*;
    use Side::{Originator as C, Responder as S};

    #[test]
    fn requests_in_a_row_with_bodies_however_they_are_cut() {
        let client = b"POST /login?a=1 HTTP/1.1\r\nHost: intra.example\r\nUser-Agent: curl/8\r\nContent-Length: 5\r\n\r\nGET /GET /index.html HTTP/1.1\r\nHost: intra.example\r\nReferer: http://x/\r\n\r\nHEAD / HTTP/1.0\r\n\r\n";
        let server = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n0\r\nTrailer: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n";
        for step in [1, 2, 3, 7, 64, 10_000] {
            let said = talk(Carrier::Tcp, step, &[(C, client), (S, server)]);
            assert_eq!(
                said,
                [
                    "http/6 http_request.http_method=POST http_request.url.url_string=/login?a=1 http_request.url.path=/login http_request.url.query_string=a=1 http_request.version=1.1 http_request.url.hostname=intra.example http_request.user_agent=curl/8 http_request.length=5 http_response.code=302 status_id=1",
                    "http/3 http_request.http_method=GET http_request.url.url_string=/index.html http_request.url.path=/index.html http_request.version=1.1 http_request.url.hostname=intra.example http_request.referrer=http://x/ http_response.code=200 status_id=1 http_response.length=3 http_response.content_type=text/html",
                    "http/4 http_request.http_method=HEAD http_request.url.url_string=/ http_request.url.path=/ http_request.version=1.0 http_response.code=404 status_id=2 http_response.length=100",
                ],
                "{step}"
            );
        }
    }

    #[test]
    fn a_request_that_hangs_is_told_after_two_seconds_and_its_answer_again() {
        let (mut http, mut seen) = (Http::default(), Seen::default());
        let get = b"GET /slow HTTP/1.1\r\n\r\n";
        assert_eq!(http.feed(piece(C, get, 0), &mut seen), Want::Wake);
        assert_eq!(http.wake(Timestamp::from_ms(1000), &mut seen), Want::Wake);
        assert_eq!(http.wake(Timestamp::from_ms(2000), &mut seen), Want::More);
        assert_eq!(seen.0.len(), 1);
        http.feed(piece(S, b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 9000), &mut seen);
        assert!(seen.0[1].contains("/slow") && seen.0[1].contains("code=500"));
    }

    #[test]
    fn after_a_hole_reading_goes_on_at_the_next_message() {
        let (mut http, mut seen) = (Http::default(), Seen::default());
        http.feed(piece(C, b"POST /a HTTP/1.1\r\nContent-Length: 500\r\n\r\nxxxx", 0), &mut seen);
        http.feed(Piece { gap: true, ..piece(C, b"xxxxxx", 0) }, &mut seen);
        http.feed(piece(C, b"GET /b HTTP/1.1\r\n\r\n", 0), &mut seen);
        http.end(Timestamp::ZERO, &mut seen);
        assert_eq!(seen.0.iter().filter(|l| l.contains("url.path=/b")).count(), 1, "{:?}", seen.0);
    }

    #[test]
    fn a_request_line_survives_headers_that_cannot_be_read() {
        let said = talk(Carrier::Tcp, 1000, &[(C, b"GET /x HTTP/1.1\r\nbad header\x01\r\n\r\nGET /y HTTP/1.1\r\n\r\n")]);
        assert!(said.iter().any(|l| l.starts_with("anomaly http_malformed")));
        assert!(said.iter().any(|l| l.contains("url.path=/x")) && said.iter().any(|l| l.contains("url.path=/y")), "{said:?}");
    }

    #[test]
    fn endless_heads_and_pipelines_are_bounded() {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        for n in 0..4000 {
            head.extend(format!("X-{n}: aaaaaaaaaaaaaaa\r\n").bytes());
        }
        let said = talk(Carrier::Tcp, 1460, &[(C, &head)]);
        assert!(said.iter().any(|l| l.starts_with("anomaly http_")), "{said:?}");
        let many = b"GET / HTTP/1.1\r\n\r\n".repeat(100);
        let said = talk(Carrier::Tcp, 1460, &[(C, &many)]);
        assert_eq!(said.iter().filter(|l| l.starts_with("http/3")).count(), 100);
    }

    #[test]
    fn cousins_of_http_are_left_alone() {
        for bytes in
            [&b"OPTIONS rtsp://cam/1 RTSP/1.0\r\n"[..], b"OPTIONS sip:a@b SIP/2.0\r\n", b"INVITE sip:a@b SIP/2.0\r\n", b"GETX / \r\n"]
        {
            assert_eq!(probe(Carrier::Tcp, C, bytes), Probe::No);
        }
        assert_eq!(probe(Carrier::Tcp, C, b"GE"), Probe::Maybe);
    }

    #[test]
    fn a_tunnel_ends_the_reading() {
        let said = talk(
            Carrier::Tcp,
            1000,
            &[(C, b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"), (S, b"HTTP/1.1 200 OK\r\n\r\n"), (C, b"GET /inside HTTP/1.1\r\n\r\n")],
        );
        assert_eq!(said.len(), 1);
    }
}
