//! What the targets share: how the fuzzer's bytes become pieces of a conversation or frames of a link, and a listener for what is said.
//!
//! The cutting is our own and plain, so that seeds can be written by hand and from captures: `flags:u8 length:u16le bytes` a piece,
//! `link:u8 ms:u32le length:u16le bytes` a frame; a length past the end takes what is left.

use std::sync::{Arc, OnceLock};

use event::{Class, Event, Timestamp};
use proto::net::{Carrier, Emit, Piece, Protocol, Side};
use rule::{Mappings, Options, RuleSet, Source};

/// Cuts bytes into pieces and their flags.
pub fn pieces(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([flags, a, b], tail) = rest.split_first_chunk::<3>()?;
        let (piece, tail) = tail.split_at(usize::from(u16::from_le_bytes([*a, *b])).min(tail.len()));
        rest = tail;
        Some((*flags, piece))
    })
}

/// Cuts bytes into frames: link byte, time, content.
pub fn frames(mut rest: &[u8]) -> impl Iterator<Item = (u8, Timestamp, &[u8])> {
    std::iter::from_fn(move || {
        let ([link, t @ .., a, b], tail) = rest.split_first_chunk::<7>()?;
        let (frame, tail) = tail.split_at(usize::from(u16::from_le_bytes([*a, *b])).min(tail.len()));
        rest = tail;
        Some((*link, Timestamp::from_ms(i64::from(u32::from_le_bytes(*t))), frame))
    })
}

/// A piece as the flow table would give it: bit 0 the responder's, bit 1 behind a gap.
pub fn piece(flags: u8, bytes: &[u8], at: usize) -> Piece<'_> {
    let side = if flags & 1 == 0 { Side::Originator } else { Side::Responder };
    Piece { side, bytes, gap: flags & 2 != 0, time: Timestamp::from_ms(at as i64 * 10) }
}

/// Checks that a protocol says only what its table promises.
pub struct Listener(pub Option<&'static Protocol>);

impl Emit for Listener {
    fn event(&mut self, _: Class, event: Event) {
        let Some(protocol) = self.0 else { return };
        for (name, _) in event.body.iter() {
            let told = protocol.fields.iter().any(|f| f.name() == name.as_str());
            assert!(told, "{} sets {}, which is not in its table", protocol.name, name.as_str());
        }
    }
    fn anomaly(&mut self, name: &'static str, _: &str, _: Timestamp) {
        if let Some(protocol) = self.0 {
            assert!(protocol.anomalies.contains(&name), "{} says {name}, which is not in its table", protocol.name);
        }
    }
}

/// Both sides of a conversation in one protocol, over either carrier, whatever its probe says of it.
pub fn converse(protocol: &'static Protocol, bytes: &[u8]) {
    let mut out = Listener(Some(protocol));
    for carrier in [Carrier::Tcp, Carrier::Udp] {
        let mut parser = (protocol.open)(carrier);
        for (at, (flags, bytes)) in pieces(bytes).enumerate() {
            let piece = piece(flags, bytes, at);
            (protocol.probe)(carrier, piece.side, bytes);
            parser.feed(piece, &mut out);
            if flags & 4 != 0 {
                parser.wake(piece.time, &mut out);
            }
        }
        parser.end(Timestamp::from_secs(3600), &mut out);
    }
}

/// A few rules of every correlation kind, over the logs and the network, each raising alerts.
pub fn rules() -> &'static RuleSet {
    static SET: OnceLock<RuleSet> = OnceLock::new();
    SET.get_or_init(fresh_rules)
}

/// The same, to be given away.
pub fn fresh_rules() -> RuleSet {
    let source = [Source { path: "fuzz.yml".into(), text: include_str!("rules.yml").into() }];
    let (set, errors) = RuleSet::from_sources(&source, &Mappings::none(), &Options::default());
    assert_eq!(errors, [], "the rules of the fuzzer load");
    set
}

/// An event that the rules above match.
pub fn sample(n: u64) -> Arc<Event> {
    let mut event = Event::new(
        Timestamp::from_secs(1_795_000_000 + n as i64),
        event::Kind::Authentication,
        1,
        event::LogSource::new("linux", "", "sshd"),
    )
    .with(event::field::SRC_IP, std::net::IpAddr::from([192, 0, 2, (n % 3) as u8]))
    .with(event::field::USER_NAME, format!("u{n}"));
    event.id.seq = n + 1;
    Arc::new(event)
}
