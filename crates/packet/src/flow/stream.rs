//! One direction of a TCP connection as ordered bytes.
//!
//! The first copy of a byte wins; a retransmission with other content changes nothing. Only the first `limit` bytes are
//! handed on (unless the observer wants the whole), so a segment past them is not kept either: what waits for a hole is bounded by the limit, by
//! `SEGMENTS_MAX` and by the table's budget. A hole is given up (and said: `gap`) when one of these is reached, when the
//! other side acknowledges past it (the sensor missed the segment), or at the end.

use super::Want;

const SEGMENTS_MAX: usize = 64;

/// Bytes in order.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    pub bytes: &'a [u8],
    /// Bytes are missing in front of these.
    pub gap: bool,
}

#[derive(Default)]
pub(super) struct Stream {
    /// Sequence number of the first byte.
    base: Option<u32>,
    /// Bytes handed on or given up so far.
    next: u32,
    done: bool,
    waiting: Option<Box<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    /// (offset from base, bytes), by offset; may overlap.
    segments: Vec<(u32, Box<[u8]>)>,
    bytes: usize,
}

/// What the table lends to a stream.
pub(super) struct Room<'a> {
    pub limit: u32,
    /// Bytes that all streams together may still hold back.
    pub budget: &'a mut usize,
    pub gaps: &'a mut u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    pub retransmitted: bool,
    pub gap: bool,
}

pub(super) type Sink<'s> = dyn FnMut(Chunk<'_>) -> Want + 's;

impl Stream {
    /// The byte that follows a SYN.
    pub(super) fn start(&mut self, seq: u32) {
        if self.base.is_none() {
            self.base = Some(seq);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn has_hole(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn stop(&mut self, budget: &mut usize) {
        self.done = true;
        if let Some(w) = self.waiting.take() {
            *budget += w.bytes;
        }
    }

    /// Takes a segment. `sink` gets what is now in order.
    pub(super) fn push(&mut self, seq: u32, payload: &[u8], room: &mut Room<'_>, sink: &mut Sink<'_>) -> Pushed {
        let mut pushed = Pushed::default();
        if payload.is_empty() {
            return pushed;
        }
        let base = *self.base.get_or_insert(seq);
        let ahead = seq.wrapping_sub(base.wrapping_add(self.next)).cast_signed();
        if self.done {
            // Past the limit only the count of a retransmission would be worth knowing, and `next` no longer moves.
            return pushed;
        }
        if ahead <= 0 {
            let skip = ahead.unsigned_abs() as usize;
            match payload.get(skip..) {
                Some(fresh) if !fresh.is_empty() => {
                    pushed.retransmitted = skip > 0;
                    self.deliver(fresh, false, room, sink);
                    self.drain(room, sink);
                }
                _ => pushed.retransmitted = true,
            }
            return pushed;
        }
        let offset = self.next.saturating_add(ahead.unsigned_abs());
        if offset >= room.limit {
            return pushed;
        }
        let keep = payload.len().min((room.limit - offset) as usize);
        let full = |w: &Waiting| w.segments.len() >= SEGMENTS_MAX || w.bytes + keep > room.limit as usize;
        if self.waiting.as_deref().is_some_and(full) || keep > *room.budget {
            pushed.gap = true;
            self.skip_hole(room, sink);
            if !self.done && offset > self.next {
                // Still in front of a hole: give that one up too, these bytes are the newest.
                self.next = offset;
                self.deliver(&payload[..keep], true, room, sink);
            } else if !self.done {
                return self.push(seq, payload, room, sink);
            }
            return pushed;
        }
        let waiting = self.waiting.get_or_insert_default();
        let at = waiting.segments.partition_point(|(o, _)| *o <= offset);
        if at > 0 && waiting.segments[at - 1].0 == offset && waiting.segments[at - 1].1.len() >= keep {
            pushed.retransmitted = true;
            return pushed;
        }
        waiting.segments.insert(at, (offset, payload[..keep].into()));
        waiting.bytes += keep;
        *room.budget -= keep;
        pushed
    }

    /// The other side has acknowledged everything before `ack`: a hole before it will not be filled.
    pub(super) fn acknowledged(&mut self, ack: u32, room: &mut Room<'_>, sink: &mut Sink<'_>) -> bool {
        let (Some(base), Some(waiting)) = (self.base, self.waiting.as_deref()) else { return false };
        let Some((first, _)) = waiting.segments.first() else { return false };
        let hole = *first - self.next.min(*first);
        let ahead = ack.wrapping_sub(base.wrapping_add(self.next)).cast_signed();
        if ahead <= 0 || ahead.unsigned_abs() < hole {
            return false;
        }
        self.skip_hole(room, sink);
        true
    }

    /// Hands on whatever still waits; the flow is over.
    pub(super) fn finish(&mut self, room: &mut Room<'_>, sink: &mut Sink<'_>) {
        while !self.done && self.waiting.is_some() {
            self.skip_hole(room, sink);
        }
        self.stop(room.budget);
    }

    fn skip_hole(&mut self, room: &mut Room<'_>, sink: &mut Sink<'_>) {
        let Some(waiting) = self.waiting.as_deref_mut() else { return };
        if waiting.segments.is_empty() {
            self.waiting = None;
            return;
        }
        *room.gaps += 1;
        let (offset, bytes) = waiting.segments.remove(0);
        waiting.bytes -= bytes.len();
        *room.budget += bytes.len();
        let skip = self.next.saturating_sub(offset) as usize;
        let gap = offset > self.next;
        self.next = self.next.max(offset);
        if let Some(fresh) = bytes.get(skip..).filter(|b| !b.is_empty()) {
            self.deliver(fresh, gap, room, sink);
        }
        self.drain(room, sink);
    }

    fn drain(&mut self, room: &mut Room<'_>, sink: &mut Sink<'_>) {
        while let Some(waiting) = self.waiting.as_deref_mut() {
            match waiting.segments.first() {
                Some((offset, _)) if *offset <= self.next => {
                    let (offset, bytes) = waiting.segments.remove(0);
                    waiting.bytes -= bytes.len();
                    *room.budget += bytes.len();
                    if let Some(fresh) = bytes.get((self.next - offset) as usize..).filter(|b| !b.is_empty()) {
                        self.deliver(fresh, false, room, sink);
                    }
                }
                Some(_) => return,
                None => self.waiting = None,
            }
        }
    }

    fn deliver(&mut self, bytes: &[u8], gap: bool, room: &mut Room<'_>, sink: &mut Sink<'_>) {
        if self.done {
            return;
        }
        let take = bytes.len().min(room.limit.saturating_sub(self.next) as usize);
        self.next += take as u32;
        let want = if take > 0 { sink(Chunk { bytes: &bytes[..take], gap }) } else { Want::More };
        match (want, self.base) {
            (Want::Stop, _) => self.stop(room.budget),
            // What waits for a hole is placed by the old base: then the next piece is soon enough.
            (Want::Whole, Some(base)) if self.waiting.is_none() => {
                self.base = Some(base.wrapping_add(self.next));
                self.next = 0;
                if let Some(rest) = bytes.get(take..).filter(|rest| !rest.is_empty()) {
                    self.deliver(rest, false, room, sink);
                }
            }
            _ if self.next >= room.limit => self.stop(room.budget),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        stream: Stream,
        budget: usize,
        gaps: u64,
        out: Vec<u8>,
    }

    impl Bench {
        fn new() -> Self {
            let mut stream = Stream::default();
            stream.start(1000);
            Self { stream, budget: 1 << 20, gaps: 0, out: Vec::new() }
        }
        fn with<R>(&mut self, limit: u32, f: impl FnOnce(&mut Stream, &mut Room<'_>, &mut Sink<'_>) -> R) -> R {
            let out = &mut self.out;
            let mut room = Room { limit, budget: &mut self.budget, gaps: &mut self.gaps };
            f(&mut self.stream, &mut room, &mut |c: Chunk<'_>| {
                if c.gap {
                    out.push(b'|');
                }
                out.extend_from_slice(c.bytes);
                Want::More
            })
        }
        fn push(&mut self, seq: u32, bytes: &[u8]) -> Pushed {
            self.with(100, |s, r, k| s.push(seq, bytes, r, k))
        }
    }

    #[test]
    fn an_observer_that_wants_the_whole_gets_more_than_the_limit() {
        let mut b = Bench::new();
        for n in 0..50u32 {
            // Every fifth piece comes before the one in front of it.
            let n = if n % 5 == 3 {
                n + 1
            } else if n % 5 == 4 {
                n - 1
            } else {
                n
            };
            let out = &mut b.out;
            let mut room = Room { limit: 100, budget: &mut b.budget, gaps: &mut b.gaps };
            b.stream.push(1000 + n * 30, &[b'a' + (n % 26) as u8; 30], &mut room, &mut |c: Chunk<'_>| {
                assert!(!c.gap);
                out.extend_from_slice(c.bytes);
                Want::Whole
            });
        }
        assert_eq!((b.out.len(), b.budget, b.gaps), (1_500, 1 << 20, 0));
        assert!(b.out.chunks(30).enumerate().all(|(n, c)| c == [b'a' + (n % 26) as u8; 30]));
        assert!(b.push(1000 + 60, b"old").retransmitted);
    }

    #[test]
    fn out_of_order_overlapping_and_repeated_segments_come_out_once_and_in_order() {
        let mut b = Bench::new();
        b.push(1003, b"defg");
        b.push(1005, b"fghij");
        assert!(b.out.is_empty());
        assert_eq!(b.push(1000, b"abcd"), Pushed::default());
        assert!(b.push(1000, b"WXYZ").retransmitted);
        assert!(b.push(1008, b"ijk").retransmitted);
        assert_eq!(b.out, b"abcdefghijk");
        assert_eq!(b.budget, 1 << 20);
    }

    #[test]
    fn a_hole_is_given_up_when_it_was_acknowledged() {
        let mut b = Bench::new();
        b.push(1000, b"ab");
        b.push(1005, b"fg");
        assert!(!b.with(100, |s, r, k| s.acknowledged(1003, r, k)));
        assert!(b.with(100, |s, r, k| s.acknowledged(1007, r, k)));
        assert_eq!((b.out.as_slice(), b.gaps), (&b"ab|fg"[..], 1));
        assert!(b.push(1002, b"cde").retransmitted, "late filling of a given-up hole changes nothing");
    }

    #[test]
    fn no_more_than_the_limit_is_handed_on_or_kept() {
        let mut b = Bench::new();
        b.push(1090, &[b'z'; 50]);
        b.push(1200, b"far");
        assert_eq!(b.budget, (1 << 20) - 10);
        b.push(1000, &[b'a'; 90]);
        assert_eq!(b.out.len(), 100);
        assert!(b.stream.is_done());
        assert_eq!(b.budget, 1 << 20);
    }

    #[test]
    fn without_budget_a_hole_is_given_up_at_once() {
        let mut b = Bench::new();
        b.budget = 3;
        b.push(1002, b"cd");
        b.push(1006, b"gh");
        assert_eq!(b.out, b"|cd|gh");
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut b = Bench::new();
        b.stream = Stream::default();
        b.stream.start(u32::MAX - 1);
        b.push(1, b"def");
        b.push(u32::MAX - 1, b"abc");
        assert_eq!(b.out, b"abcdef");
    }

    #[test]
    fn the_end_hands_on_what_waits() {
        let mut b = Bench::new();
        b.push(1002, b"c");
        b.push(1004, b"e");
        b.with(100, |s, r, k| s.finish(r, k));
        assert_eq!(b.out, b"|c|e");
        assert_eq!(b.budget, 1 << 20);
    }
}
