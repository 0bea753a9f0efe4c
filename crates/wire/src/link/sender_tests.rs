use super::*;
use crate::{Packer, Row};
use event::Epoch;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn streaming(config: SenderConfig) -> Sender {
    let mut sender = Sender::new(config, &Marks::default(), 7);
    assert_eq!(sender.poll(NOW), Action::Connect);
    sender.connected(NOW, &[Mark::new(5, 1_000); LANES]);
    assert!(matches!(sender.poll(NOW), Action::Send(Message { body: Some(Body::Hello(_)) })));
    sender.received(NOW, Hello::new(VERSIONS, "", &Marks::default(), 0).into());
    sender
}

fn batch(class: Class, epoch: u64, first_seq: u64, rows: usize) -> Batch {
    let mut packer = Packer::new(1);
    for n in 0..rows {
        assert!(packer.push(Row::Event(&[n as u8; 300])));
    }
    packer.pack(class, Epoch(epoch), first_seq).unwrap()
}

fn ack(class: Class, epoch: u64, seq: u64) -> Message {
    Ack { class: class as u32, epoch, seq, window_bytes: 0 }.into()
}

#[test]
fn critical_is_asked_first_and_keeps_a_quarter_of_the_window() {
    let mut sender = streaming(SenderConfig { window_batches: 8, ..SenderConfig::default() });
    for class in [Class::Critical, Class::Normal] {
        assert!(matches!(sender.poll(NOW), Action::Read { class: c, .. } if c == class));
        sender.nothing(class);
    }
    let mut sent = 0;
    while let Action::Read { class: Class::Bulk, after, .. } = sender.poll(NOW) {
        sender.offer(batch(Class::Bulk, 5, after.seq + 1, 3));
        assert!(matches!(sender.poll(NOW), Action::Send(_)));
        sent += 1;
    }
    assert_eq!(sent, 6, "bulk fills three quarters");
    sender.wake(Class::Critical);
    assert!(matches!(sender.poll(NOW), Action::Read { class: Class::Critical, .. }), "and critical goes past it");
}

#[test]
fn an_acknowledgement_opens_the_window_and_moves_the_cursor() {
    let mut sender = streaming(SenderConfig { window_batches: 1, ..SenderConfig::default() });
    sender.offer(batch(Class::Normal, 5, 1, 4));
    assert!(matches!(sender.poll(NOW), Action::Send(_)));
    assert!(matches!(sender.poll(NOW), Action::Wait(_)), "the window is full");
    sender.received(NOW, ack(Class::Normal, 5, 4));
    assert_eq!(sender.poll(NOW), Action::Acknowledge { class: Class::Normal, upto: Mark::new(5, 4) });
    sender.nothing(Class::Critical);
    assert!(matches!(sender.poll(NOW), Action::Read { class: Class::Normal, after, .. } if after == Mark::new(5, 4)));
}

#[test]
fn after_a_cut_sending_goes_on_behind_the_higher_mark() {
    let mut sender = streaming(SenderConfig::default());
    sender.offer(batch(Class::Critical, 5, 1, 4));
    sender.offer(batch(Class::Critical, 5, 5, 4));
    sender.disconnected(NOW);
    let later = NOW.plus_secs(100);
    assert_eq!(sender.poll(later), Action::Connect);
    sender.connected(later, &[Mark::new(5, 8); LANES]);
    assert!(matches!(sender.poll(later), Action::Send(_)));
    // The first batch had become durable; its acknowledgement was lost with the stream.
    sender.received(later, Hello::new(VERSIONS, "", &[Mark::new(5, 4), Mark::START, Mark::START], 0).into());
    assert_eq!(sender.poll(later), Action::Acknowledge { class: Class::Critical, upto: Mark::new(5, 4) });
    assert!(matches!(sender.poll(later), Action::Read { class: Class::Critical, after, .. } if after == Mark::new(5, 4)));
}

#[test]
fn a_mark_this_spool_never_reached_is_not_believed() {
    let mut sender = Sender::new(SenderConfig::default(), &Marks::default(), 7);
    assert_eq!(sender.poll(NOW), Action::Connect);
    sender.connected(NOW, &[Mark::new(5, 10); LANES]);
    assert!(matches!(sender.poll(NOW), Action::Send(_)));
    sender.received(NOW, Hello::new(VERSIONS, "", &[Mark::START, Mark::new(9, 1), Mark::START], 0).into());
    assert!(matches!(sender.poll(NOW), Action::Send(Message { body: Some(Body::Close(_)) })));
    assert!(matches!(sender.poll(NOW), Action::Disconnect { code: CloseCode::Hole, reason } if reason.contains("identity in use twice")));
}

#[test]
fn an_acknowledgement_for_what_was_not_sent_closes() {
    let mut sender = streaming(SenderConfig::default());
    sender.received(NOW, ack(Class::Bulk, 5, 1));
    assert!(matches!(sender.poll(NOW), Action::Send(_)));
    assert!(matches!(sender.poll(NOW), Action::Disconnect { code: CloseCode::Protocol, .. }));
}

#[test]
fn back_off_grows_to_its_limit_and_is_reset_by_an_acknowledgement_only() {
    let config = SenderConfig { backoff_min_ns: 100, backoff_max_ns: 10_000, ..SenderConfig::default() };
    let mut sender = Sender::new(config, &Marks::default(), 7);
    let (mut now, mut delays) = (NOW, Vec::new());
    for _ in 0..12 {
        assert_eq!(sender.poll(now), Action::Connect);
        sender.connected(now, &Marks::default());
        sender.disconnected(now);
        let Action::Wait(Some(until)) = sender.poll(now) else { panic!("no back-off") };
        delays.push(until.since(now));
        now = until;
    }
    for (n, delay) in delays.iter().enumerate() {
        let full = (100i64 << n).min(10_000);
        assert!((full / 2..=full).contains(delay), "attempt {n}: {delay}");
    }
    let mut other =
        Sender::new(SenderConfig { backoff_min_ns: 100, backoff_max_ns: 10_000, ..SenderConfig::default() }, &Marks::default(), 8);
    let mut different = false;
    for delay in delays {
        different |= other.delay() != delay;
        other.failures += 1;
    }
    assert!(different, "agents that fail together must not return together");
}

#[test]
fn silence_is_asked_about_and_then_ends_the_link() {
    let mut sender = streaming(SenderConfig { keepalive_ns: 100, ..SenderConfig::default() });
    Class::ALL.into_iter().for_each(|class| sender.nothing(class));
    assert_eq!(sender.poll(NOW), Action::Wait(Some(NOW.plus_ns(100))));
    assert!(matches!(sender.poll(NOW.plus_ns(100)), Action::Send(Message { body: Some(Body::Keepalive(Keepalive { echo: false, .. })) })));
    assert_eq!(sender.poll(NOW.plus_ns(101)), Action::Wait(Some(NOW.plus_ns(300))));
    assert!(matches!(sender.poll(NOW.plus_ns(300)), Action::Send(_)));
    assert!(matches!(sender.poll(NOW.plus_ns(300)), Action::Disconnect { code: CloseCode::Silent, .. }));
}

#[test]
fn a_message_of_an_unknown_kind_closes_with_its_reason() {
    let mut sender = streaming(SenderConfig::default());
    sender.received(NOW, Message { body: None });
    assert!(matches!(sender.poll(NOW), Action::Send(Message { body: Some(Body::Close(Close { code: 7, .. })) })));
}
