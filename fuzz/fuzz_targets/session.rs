//! Any bytes as both sides of a flow whose protocol is yet to be found; every row of `PROTOCOLS` is met here, a new one too.
#![no_main]
use event::Timestamp;
use fuzz::{Listener, piece, pieces};
use proto::net::{Carrier, Enabled, PROTOCOLS, Session};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for carrier in [Carrier::Tcp, Carrier::Udp] {
        let mut session = Session::default();
        for (at, (flags, bytes)) in pieces(bytes).enumerate() {
            let piece = piece(flags, bytes, at);
            session.feed(carrier, Enabled::ALL, piece, &mut Listener(None));
            if flags & 4 != 0 {
                session.wake(piece.time, &mut Listener(None));
            }
        }
        session.end(Timestamp::from_secs(3600), &mut Listener(None));
    }
    for protocol in PROTOCOLS {
        fuzz::converse(protocol, bytes);
    }
});
