//! How a TCP connection's state moves with one packet. RFC 9293 as far as an onlooker can follow it; words are Zeek's.

use event::Timestamp;

use super::stream::Room;
use super::{Flow, Observer, Report, Side, Want};
use crate::decode::Tcp;

/// What the table must do after a packet.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Next {
    /// The attempt needs its timer.
    pub wake: bool,
    /// The observer asked for one.
    pub asked: bool,
}

/// True if this packet cannot belong to `flow` any more: a new attempt on the same addresses and ports.
pub(super) fn begins_anew(flow: &Flow, side: Side, tcp: &Tcp<'_>, at: Timestamp, attempt_wait_ns: i64) -> bool {
    if !tcp.flags.syn() || tcp.flags.ack() || tcp.flags.rst() {
        return false;
    }
    let end = &flow.sides[side as usize];
    if end.syn && end.isn == tcp.seq {
        return false;
    }
    let failed = flow.half_open() && (flow.outcome_said || at.since(flow.last) > attempt_wait_ns);
    flow.closed() || failed || at.since(flow.last) > 60 * event::SECOND_NS
}

/// Moves the state, hands bytes on, reports outcomes.
pub(super) fn packet<D, O: Observer<D>>(
    flow: &mut Flow,
    data: &mut D,
    side: Side,
    tcp: &Tcp<'_>,
    at: Timestamp,
    room: &mut Room<'_>,
    observer: &mut O,
) -> Next {
    let mut next = Next::default();
    let flags = tcp.flags;
    let was_closed = flow.closed();
    let me = side as usize;
    flow.sides[me].flags |= flags.0;
    if flags.odd() {
        flow.history.add(side, b'q');
    }
    if flags.syn() && !flags.rst() {
        flow.history.add(side, if flags.ack() { b'h' } else { b's' });
        let end = &mut flow.sides[me];
        if !end.syn {
            end.syn = true;
            end.isn = tcp.seq;
            end.stream.start(tcp.seq.wrapping_add(1));
        }
    } else if tcp.payload.is_empty() && flags.0 & 0x17 == 0x10 {
        flow.history.add(side, b'a');
    }
    if tcp.window == 0 && !flags.rst() && !flags.syn() {
        flow.history.add(side, b'w');
    }

    // The answer to an attempt, or the first packet of a connection that was already there.
    if side == Side::Responder && flow.half_open() {
        if flags.rst() {
            flow.answered = true;
            flow.rst_by = Some(side);
            flow.history.add(side, b'r');
            say(flow, data, Report::Refused, at, observer);
        } else {
            flow.answered = true;
            if flags.syn() {
                say(flow, data, Report::Opened, at, observer);
            }
        }
    }

    if !tcp.payload.is_empty() {
        flow.history.add(side, b'd');
        flow.sides[me].payload += tcp.payload.len() as u64;
        let seq = if flags.syn() { tcp.seq.wrapping_add(1) } else { tcp.seq };
        if !flow.stopped && !flow.sides[me].stream.is_done() {
            let pushed = hand_on(flow, data, side, at, observer, &mut next, |stream, sink| stream.push(seq, tcp.payload, room, sink));
            if pushed.retransmitted {
                flow.history.add(side, b't');
            }
            if pushed.gap {
                flow.history.add(side, b'g');
            }
        }
    }
    if flags.ack() && !flow.stopped && flow.sides[side.other() as usize].stream.has_hole() {
        let gap = hand_on(flow, data, side.other(), at, observer, &mut next, |stream, sink| stream.acknowledged(tcp.ack, room, sink));
        if gap {
            flow.history.add(side.other(), b'g');
        }
    }
    if flags.fin() && !flags.syn() {
        flow.history.add(side, b'f');
        flow.sides[me].fin = true;
    }
    if flags.rst() {
        flow.history.add(side, b'r');
        if flow.rst_by.is_none() && !was_closed {
            flow.rst_by = Some(side);
        }
    }
    next
}

/// Lends the stream of a side to `f` with a sink that tells the observer.
pub(super) fn hand_on<D, O: Observer<D>, R>(
    flow: &mut Flow,
    data: &mut D,
    side: Side,
    at: Timestamp,
    observer: &mut O,
    next: &mut Next,
    f: impl FnOnce(&mut super::stream::Stream, &mut super::stream::Sink<'_>) -> R,
) -> R {
    let mut stream = std::mem::take(&mut flow.sides[side as usize].stream);
    let mut stopped = false;
    let result = f(&mut stream, &mut |chunk| {
        let want = observer.stream(flow, data, side, chunk, at);
        next.asked |= matches!(want, Want::Wake | Want::Whole);
        stopped |= want == Want::Stop;
        want
    });
    flow.sides[side as usize].stream = stream;
    flow.stopped |= stopped;
    result
}

/// Reports and marks what was reported.
pub(super) fn say<D, O: Observer<D>>(flow: &mut Flow, data: &mut D, report: Report, at: Timestamp, observer: &mut O) {
    observer.report(flow, data, report, at);
    match report {
        Report::Opened => flow.outcome_said = true,
        Report::Refused | Report::Unanswered => {
            flow.outcome_said = true;
            settle(flow, at);
        }
        Report::Active | Report::Ended(_) => settle(flow, at),
    }
}

fn settle(flow: &mut Flow, at: Timestamp) {
    for end in &mut flow.sides {
        end.reported = end.count;
    }
    flow.last_report = at;
}
