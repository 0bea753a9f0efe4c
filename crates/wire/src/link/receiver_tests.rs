use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn batch(epoch: u64, first_seq: u64, rows: &[Row<'_>]) -> Batch {
    let mut packer = Packer::new(1);
    rows.iter().for_each(|row| assert!(packer.push(*row)));
    packer.pack(Class::Normal, Epoch(epoch), first_seq).unwrap()
}

fn greeted(marks: Marks) -> (Receiver, Session) {
    let mut receiver = Receiver::new(ReceiverConfig::default(), &marks);
    let mut out = Vec::new();
    let session = receiver.open(NOW, &mut out);
    receiver.received(session, NOW, Hello::new(VERSIONS, "", &marks, 0).into(), &mut out);
    assert!(matches!(&out[..], [Reaction::Send(s, Message { body: Some(Body::Hello(_)) })] if *s == session));
    (receiver, session)
}

fn take(receiver: &mut Receiver, session: Session, message: impl Into<Message>) -> Vec<Reaction> {
    let mut out = Vec::new();
    receiver.received(session, NOW, message.into(), &mut out);
    out
}

fn stored(out: &[Reaction]) -> &Accepted {
    match out {
        [Reaction::Store(accepted)] => accepted,
        other => panic!("{other:?}"),
    }
}

fn closed_for(out: &[Reaction]) -> CloseCode {
    match out {
        [Reaction::Send(_, Message { body: Some(Body::Close(_)) }), Reaction::End(_, code, _)] => *code,
        other => panic!("{other:?}"),
    }
}

const EVENT: Row<'_> = Row::Event(b"event");

#[test]
fn acknowledged_only_when_durable_and_only_without_a_hole() {
    let (mut receiver, session) = greeted(Marks::default());
    for first in [1, 3, 5] {
        let out = take(&mut receiver, session, batch(5, first, &[EVENT; 2]));
        assert_eq!((stored(&out).first_seq, stored(&out).last_seq, stored(&out).events), (first, first + 1, 2));
    }
    let mut out = Vec::new();
    receiver.durable(Class::Normal, Epoch(5), 4, &mut out);
    assert!(out.is_empty(), "1 and 2 are not durable yet");
    receiver.durable(Class::Normal, Epoch(5), 2, &mut out);
    assert!(matches!(&out[..], [Reaction::Send(_, Message { body: Some(Body::Ack(Ack { class: 1, epoch: 5, seq: 4, .. })) })]));
    assert_eq!(receiver.marks()[1], Mark::new(5, 4));
}

#[test]
fn known_numbers_are_dropped_even_before_they_are_durable() {
    let (mut receiver, session) = greeted(Marks::default());
    take(&mut receiver, session, batch(5, 1, &[EVENT; 4]));
    // The connection breaks, the agent sends from its old cursor: nothing of it is new.
    let mut out = Vec::new();
    let session = receiver.open(NOW, &mut out);
    assert_eq!(closed_for(&out), CloseCode::Superseded);
    take(&mut receiver, session, Hello::new(VERSIONS, "", &Marks::default(), 0));
    let out = take(&mut receiver, session, batch(5, 1, &[EVENT; 4]));
    assert!(!out.iter().any(|r| matches!(r, Reaction::Store(_))), "{out:?}");
    assert_eq!(receiver.stats().duplicates, 4);
}

#[test]
fn a_batch_that_is_partly_known_is_cut() {
    let (mut receiver, session) = greeted(Marks::default());
    take(&mut receiver, session, batch(5, 1, &[EVENT; 4]));
    let out = take(&mut receiver, session, batch(5, 3, &[EVENT, EVENT, Row::Gap { count: 5, reason: "evicted" }, EVENT]));
    let accepted = stored(&out);
    assert_eq!((accepted.first_seq, accepted.last_seq, accepted.events, accepted.lost), (5, 10, 1, 5));
    let open = Batch::from_bytes(accepted.bytes.clone()).unwrap().unpack().unwrap();
    assert_eq!(open.rows().collect::<Vec<_>>(), [(5, Row::Gap { count: 5, reason: "evicted" }), (10, EVENT)]);
    // The cut may go through a gap.
    let out = take(&mut receiver, session, batch(5, 9, &[Row::Gap { count: 10, reason: "evicted" }]));
    assert_eq!((stored(&out).first_seq, stored(&out).last_seq, stored(&out).lost), (11, 18, 8));
}

#[test]
fn a_hole_nobody_declared_is_refused_and_counted() {
    for bad in [batch(5, 12, &[EVENT]), batch(6, 2, &[EVENT])] {
        let (mut receiver, session) = greeted([Mark::START, Mark::new(5, 10), Mark::START]);
        assert_eq!(closed_for(&take(&mut receiver, session, bad)), CloseCode::Hole);
        assert_eq!((receiver.stats().holes, receiver.marks()[1], receiver.session()), (1, Mark::new(5, 10), None));
    }
    for good in [batch(5, 11, &[EVENT]), batch(6, 1, &[EVENT]), batch(5, 11, &[Row::Gap { count: 100, reason: "evicted" }])] {
        let (mut receiver, session) = greeted([Mark::START, Mark::new(5, 10), Mark::START]);
        stored(&take(&mut receiver, session, good));
    }
}

#[test]
fn an_older_epoch_is_known() {
    let (mut receiver, session) = greeted([Mark::START, Mark::new(5, 10), Mark::START]);
    let out = take(&mut receiver, session, batch(4, 77, &[EVENT]));
    assert!(matches!(&out[..], [Reaction::Send(_, Message { body: Some(Body::Ack(Ack { epoch: 5, seq: 10, .. })) })]));
}

#[test]
fn an_agent_that_was_promised_more_is_heard_and_reported() {
    let mut receiver = Receiver::new(ReceiverConfig::default(), &Marks::default());
    let mut out = Vec::new();
    let session = receiver.open(NOW, &mut out);
    let theirs = [Mark::START, Mark::new(5, 10), Mark::START];
    receiver.received(session, NOW, Hello::new(VERSIONS, "", &theirs, 0).into(), &mut out);
    assert!(
        matches!(&out[0], Reaction::Regressed { class: Class::Normal, held, acknowledged } if *held == Mark::START && *acknowledged == theirs[1])
    );
    stored(&take(&mut receiver, session, batch(5, 11, &[EVENT])));
}

#[test]
fn a_failed_log_takes_nothing_more() {
    let (mut receiver, session) = greeted(Marks::default());
    take(&mut receiver, session, batch(5, 1, &[EVENT]));
    let mut out = Vec::new();
    receiver.failed(&mut out);
    assert_eq!(closed_for(&out), CloseCode::Busy);
    let session = receiver.open(NOW, &mut Vec::new());
    assert_eq!(closed_for(&take(&mut receiver, session, Hello::new(VERSIONS, "", &Marks::default(), 0))), CloseCode::Busy);
}

#[test]
fn what_breaks_the_contract_closes() {
    let mut lying = batch(5, 1, &[EVENT]);
    lying.last_seq = 9;
    let cases: [(Message, CloseCode); 4] = [
        (lying.into(), CloseCode::Protocol),
        (Hello::new(VERSIONS, "", &Marks::default(), 0).into(), CloseCode::Protocol),
        (Ack::default().into(), CloseCode::Protocol),
        (Message { body: None }, CloseCode::Unsupported),
    ];
    for (message, code) in cases {
        let (mut receiver, session) = greeted(Marks::default());
        assert_eq!(closed_for(&take(&mut receiver, session, message)), code);
    }
    let mut receiver = Receiver::new(ReceiverConfig::default(), &Marks::default());
    let session = receiver.open(NOW, &mut Vec::new());
    assert_eq!(closed_for(&take(&mut receiver, session, Hello::new(&[99], "", &Marks::default(), 0))), CloseCode::Unsupported);
    let session = receiver.open(NOW, &mut Vec::new());
    assert_eq!(closed_for(&take(&mut receiver, session, batch(5, 1, &[EVENT]))), CloseCode::Protocol, "no greeting first");
}

#[test]
fn silence_is_asked_about_and_then_ends_the_session() {
    let (mut receiver, _) = greeted(Marks::default());
    let ns = ReceiverConfig::default().keepalive_ns;
    let mut out = Vec::new();
    assert_eq!(receiver.poll(NOW, &mut out), Some(NOW.plus_ns(ns)));
    assert_eq!(receiver.poll(NOW.plus_ns(ns), &mut out), Some(NOW.plus_ns(3 * ns)));
    assert!(matches!(&out[..], [Reaction::Send(_, Message { body: Some(Body::Keepalive(_)) })]));
    out.clear();
    assert_eq!(receiver.poll(NOW.plus_ns(3 * ns), &mut out), None);
    assert_eq!(closed_for(&out), CloseCode::Silent);
}
