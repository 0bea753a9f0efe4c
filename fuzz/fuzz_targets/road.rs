//! The way of a batch at the collector: any bytes as a batch of an agent, or (flags bit 0) as one event in a good batch: named, joined,
//! judged, correlated, shown. Numbers in = events + damaged + declared lost.
#![no_main]
use std::cell::RefCell;

use bytes::Bytes;
use collector::engine::{Engine, Outcome};
use collector::normalise::{FrameView, Normaliser};
use collector::register::Register;
use event::{AgentId, Class, Epoch, Timestamp};

thread_local!(static ENGINES: RefCell<(Engine, Engine, Vec<u8>)> = RefCell::new({
    let engine = || Engine::with_rules(fuzz::fresh_rules()).0;
    let fresh = engine().save();
    (engine(), engine(), fresh)
}));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let register =
        Register::parse("[[unit]]\nid = \"a\"\nname = \"A\"\nsector = \"power\"\nnetworks = [\"10.0.0.0/8\"]\n", "r").expect("good");
    ENGINES.with_borrow_mut(|(engine, again, fresh)| {
        engine.restore(fresh, Timestamp::MIN).expect("its own state");
        let (mut normaliser, mut out, mut seq) = (Normaliser::new(), Outcome::default(), 1);
        for (n, (flags, body)) in fuzz::pieces(bytes).enumerate() {
            let received = Timestamp::from_secs(1_795_000_000 + n as i64);
            let mut events = Vec::new();
            let batch = if flags & 1 == 0 {
                Bytes::copy_from_slice(body)
            } else {
                let mut packer = wire::Packer::new(1);
                let _ = packer.push(wire::Row::Event(body));
                packer.pack(Class::Normal, Epoch(1), seq).map(|b| b.to_bytes()).unwrap_or_default()
            };
            let agent = AgentId(u64::from(flags >> 4) + 1);
            let view = FrameView { agent, received, class: Class::Normal, epoch: Epoch(1), first_seq: seq, last_seq: seq, bytes: &batch };
            normaliser.frame(view, &register, &mut events);
            seq += 1;
            engine.step(&events, received, &mut out);
            for event in &events {
                serde_json::from_str::<serde_json::Value>(&event::ocsf_json(event)).expect("an export is JSON");
            }
        }
        engine.step(&[], Timestamp::from_secs(1_795_003_600), &mut out);
        let state = engine.save();
        again.restore(&state, Timestamp::from_secs(1_795_003_700)).expect("what we save we load");
        engine.finish(&mut out);
    });
});
