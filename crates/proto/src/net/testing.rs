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
