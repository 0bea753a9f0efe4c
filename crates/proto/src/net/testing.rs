//! A collector of what parsers say, as text lines, for the tests.

use super::*;

#[derive(Default)]
pub(crate) struct Seen(pub Vec<String>);

impl Emit for Seen {
    fn event(&mut self, _: Class, event: Event) {
        let service = event.source.service.as_deref().unwrap_or_default().to_owned();
        let body: Vec<String> = event.body.iter().map(|(n, v)| format!("{}={}", n.as_str(), v.to_text())).collect();
        self.0.push(format!("{service}/{} {}", event.activity, body.join(" ")));
    }
    fn asked(&mut self, by: Side, class: Class, event: Event) {
        self.event(class, event);
        if let (Side::Responder, Some(line)) = (by, self.0.last_mut()) {
            line.push_str(" by=responder");
        }
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, _: Timestamp) {
        self.0.push(format!("anomaly {name} {detail}"));
    }
}

pub(crate) fn piece(side: Side, bytes: &[u8], ms: i64) -> Piece<'_> {
    Piece { side, bytes, gap: false, time: Timestamp::from_ms(ms) }
}

/// Feeds a conversation in pieces of `step` bytes and returns what was said.
pub(crate) fn talk(carrier: Carrier, step: usize, says: &[(Side, &[u8])]) -> Vec<String> {
    let mut seen = Seen::default();
    let mut session = Session::default();
    for (side, bytes) in says {
        let step = if carrier == Carrier::Udp { bytes.len().max(1) } else { step };
        for part in bytes.chunks(step) {
            if session.feed(carrier, Enabled::ALL, piece(*side, part, 0), &mut seen) == Want::Stop {
                break;
            }
        }
    }
    session.end(Timestamp::from_ms(9), &mut seen);
    seen.0
}

/// Words of a line that begin with these keys, in this order; `-` where one is missing.
pub(crate) fn brief(said: &[String], keys: &[&str]) -> Vec<String> {
    let word = |line: &str, key: &str| line.split(' ').find_map(|w| w.strip_prefix(key)?.strip_prefix('=')).unwrap_or("-").to_owned();
    said.iter().map(|line| keys.iter().map(|key| word(line, key)).collect::<Vec<_>>().join(" ")).collect()
}

/// Bytes from hexadecimal digits; blanks are for the eye.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect()
}

/// A TLS ClientHello that asks for a name.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let short = |n: usize| (n as u16).to_be_bytes();
    let mut ext = vec![0, 0];
    ext.extend(short(name.len() + 5));
    ext.extend(short(name.len() + 3));
    ext.push(0);
    ext.extend(short(name.len()));
    ext.extend(name.as_bytes());
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(short(ext.len()));
    body.extend(ext);
    let mut record = vec![22, 3, 1];
    record.extend(short(body.len() + 4));
    record.extend([1, 0]);
    record.extend(short(body.len()));
    record.extend(body);
    record
}
