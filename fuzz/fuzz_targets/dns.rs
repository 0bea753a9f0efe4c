//! Any bytes as both sides of a DNS conversation, in pieces.
#![no_main]
use proto::net::{Carrier, Emit, Piece, Side, dns::DNS};

struct Nowhere;
impl Emit for Nowhere {
    fn event(&mut self, _: event::Class, _: event::Event) {}
    fn anomaly(&mut self, _: &'static str, _: &str, _: event::Timestamp) {}
}

libfuzzer_sys::fuzz_target!(|pieces: Vec<(bool, bool, Vec<u8>)>| {
    for carrier in [Carrier::Tcp, Carrier::Udp] {
        let mut parser = (DNS.open)(carrier);
        for (answer, gap, bytes) in &pieces {
            let side = if *answer { Side::Responder } else { Side::Originator };
            (DNS.probe)(carrier, side, bytes);
            parser.feed(Piece { side, bytes, gap: *gap, time: event::Timestamp::ZERO }, &mut Nowhere);
        }
        parser.end(event::Timestamp::ZERO, &mut Nowhere);
    }
});
