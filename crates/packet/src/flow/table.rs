//! The flow table: one owner, bounded, timed by packets.
//!
//! Limits: `flows_max` flows, `hold_bytes_max` bytes waiting for holes. A full table evicts what is worth least: closed
//! flows, then attempts without an answer (so a SYN flood pushes out its own flows), then the rest, oldest first; each is
//! counted and reported as evicted. Time never goes back: a packet older than the newest one is taken at the newest
//! time, unless the clock jumped back by more than `BACK_STEP`, then the new time holds.
//!
//! A busy flow moves to the end of its list once in `RELIST_NS`, not with each packet, which would touch both neighbours' memory: so an idle flow
//! is found out at most that much late, and "oldest first" is true to that much.

use std::cell::OnceCell;
use std::collections::VecDeque;

use ahash::RandomState;
use event::{SECOND_NS, Timestamp};

use super::key::{Ends, Kind, service_rank};
use super::stream::Room;
use super::tcp::{self, Next, hand_on, say};
use super::{EndReason, Flow, History, Observer, Report, Side, Want};
use crate::decode::{Body, Decoded, Ip, Tcp, Transport};
use crate::frame::Frame;
use crate::index::Index;
use crate::tunnel::Tunnel;

/// Limits and timeouts of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowConfig {
    pub flows_max: usize,
    /// Bytes of each TCP direction that observers get.
    pub stream_bytes: u32,
    /// Bytes of all directions together that may wait for a hole to be filled.
    pub hold_bytes_max: usize,
    /// A TCP attempt or a first datagram without an answer for so long is reported as unanswered.
    pub attempt_wait_ns: i64,
    pub idle_half_open_ns: i64,
    pub idle_tcp_ns: i64,
    pub idle_udp_ns: i64,
    /// ICMP and everything else.
    pub idle_other_ns: i64,
    /// A closed TCP flow waits so long for stragglers.
    pub linger_ns: i64,
    /// A flow that goes on is reported so often.
    pub active_ns: i64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            flows_max: 65_536,
            stream_bytes: 64 * 1024,
            hold_bytes_max: 8 << 20,
            attempt_wait_ns: SECOND_NS,
            idle_half_open_ns: 20 * SECOND_NS,
            idle_tcp_ns: 600 * SECOND_NS,
            idle_udp_ns: 30 * SECOND_NS,
            idle_other_ns: 10 * SECOND_NS,
            linger_ns: 2 * SECOND_NS,
            active_ns: 300 * SECOND_NS,
        }
    }
}

/// Counters, each rising only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowStats {
    pub flows_begun: u64,
    pub flows_ended: u64,
    pub packets: u64,
    pub evicted: u64,
    /// Of `evicted`: attempts that had no answer yet.
    pub evicted_half_open: u64,
    /// Packets of a flow that another interface had shown already.
    pub seen_elsewhere: u64,
    /// Holes in TCP streams that were given up.
    pub gaps: u64,
}

const BACK_STEP: i64 = 3600 * SECOND_NS;
/// After so long without packets from its interface, a flow's direction may come from another one.
const INTERFACE_HOLD: i64 = SECOND_NS;
const NONE: u32 = u32::MAX;
/// Packets of a batch that are looked at ahead.
pub const WARM_MAX: usize = 16;
/// Flows to be woken that are looked at ahead.
const LOOK_AHEAD: usize = 8;
/// Idle flows are looked for so often.
const LOOK_NS: i64 = SECOND_NS / 100;
/// How far the order within a list may lag behind the packets.
const RELIST_NS: i64 = SECOND_NS / 4;

/// Lists of flows by what becomes of them when nothing comes, in the order of eviction.
const LISTS: usize = 5;
const CLOSED: usize = 0;
const HALF_OPEN: usize = 1;
const OTHER: usize = 2;
const UDP: usize = 3;
const TCP: usize = 4;
/// Not in a list yet: its first packet decides.
const UNLISTED: usize = LISTS;

struct Slot<D> {
    flow: Flow,
    data: D,
    /// Table time of the last touch.
    touched: Timestamp,
    /// Table time at which it took its place in its list.
    listed: Timestamp,
    hash: u32,
    generation: u32,
    list: u8,
    prev: u32,
    next: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

pub struct FlowTable<D> {
    config: FlowConfig,
    index: Index,
    keys: RandomState,
    slots: Vec<Option<Slot<D>>>,
    free: Vec<u32>,
    lists: [List; LISTS],
    wakes: VecDeque<(Timestamp, u32, u32)>,
    now: Timestamp,
    /// Before this nobody can be idle for too long; looking costs memory of the oldest of each list.
    look_at: Timestamp,
    /// Of those that wait to be woken so many have been looked at ahead.
    looked: usize,
    hold: usize,
    serial: u64,
    generation: u32,
    stats: FlowStats,
}

impl<D: Default> FlowTable<D> {
    pub fn new(config: FlowConfig) -> Self {
        Self {
            hold: config.hold_bytes_max,
            config,
            index: Index::new(),
            keys: RandomState::new(),
            slots: Vec::new(),
            free: Vec::new(),
            lists: [List { head: NONE, tail: NONE }; LISTS],
            wakes: VecDeque::new(),
            now: Timestamp::MIN,
            look_at: Timestamp::MIN,
            looked: 0,
            serial: 0,
            generation: 0,
            stats: FlowStats::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }
    pub fn stats(&self) -> FlowStats {
        self.stats
    }
    /// Newest packet or clock time the table has met.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes one decoded IP packet. Of a fragment the frame is counted; what it carries is for `whole`.
    pub fn packet<O: Observer<D>>(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>, observer: &mut O) {
        let hash = Ends::of(ip, decoded.tunnel).hash(&self.keys);
        self.packet_of(hash, frame, decoded, ip, observer);
    }

    /// As `packet`, with the hash that `warm` gave for it.
    pub fn packet_of<O: Observer<D>>(&mut self, hash: u32, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>, observer: &mut O) {
        self.stats.packets += 1;
        self.take(hash, frame, decoded, ip, true, observer);
    }

    /// Takes a packet that was put together from fragments: its content goes to its flow, its frames have been counted.
    pub fn whole<O: Observer<D>>(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>, observer: &mut O) {
        let hash = Ends::of(ip, decoded.tunnel).hash(&self.keys);
        self.take(hash, frame, decoded, ip, false, observer);
    }

    /// Looks at the memory that the packets of a batch will need. Changes nothing: a processor waits for many lines at once in the time it waits
    /// for one, and packet by packet it would wait for each. Gives the hash of each packet, for `packet_of`.
    pub fn warm(&self, batch: &[Decoded<'_>]) -> [u32; WARM_MAX] {
        let mut hashes = [0; WARM_MAX];
        for (decoded, hash) in batch.iter().zip(&mut hashes) {
            if let Body::Ip(ip) = &decoded.body {
                *hash = Ends::of(ip, decoded.tunnel).hash(&self.keys);
            }
        }
        let slots = hashes.map(|hash| self.index.glance(hash).unwrap_or(NONE));
        for slot in slots {
            self.look_at_slot(slot);
        }
        hashes
    }

    fn look_at_slot(&self, slot: u32) {
        if let Some(Some(slot)) = self.slots.get(slot as usize) {
            let flow = &slot.flow;
            let mut sum = flow.sides[0].count.packets ^ flow.sides[1].count.packets ^ u64::from(flow.history.len) ^ flow.serial;
            sum ^= u64::from(flow.originator.1) ^ u64::from(slot.generation);
            std::hint::black_box(sum);
        }
    }

    /// Of the flow behind one that ends: it will likely be the next.
    fn look_behind(&self, index: u32) {
        if let Some(Some(slot)) = self.slots.get(index as usize)
            && let Some(Some(next)) = self.slots.get(slot.next as usize)
        {
            std::hint::black_box(self.index.glance(next.hash));
            self.look_at_slot(slot.next);
        }
    }

    fn take<O: Observer<D>>(&mut self, hash: u32, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>, counted: bool, observer: &mut O) {
        self.advance(frame.time, observer);
        let at = self.now;
        let ends = Ends::of(ip, decoded.tunnel);
        let tcp = if let Transport::Tcp(tcp) = &ip.transport { Some(tcp) } else { None };
        let slots = &self.slots;
        let mut index = self.index.find(hash, |at| {
            let slot = slots.get(at as usize).and_then(Option::as_ref);
            slot.is_some_and(|slot| is_of(&slot.flow, &ends))
        });
        if let (Some(at_index), Some(tcp)) = (index, tcp)
            && let Some(slot) = self.slots.get(at_index as usize).and_then(Option::as_ref)
        {
            let side = side_of(&slot.flow, &ends);
            if tcp::begins_anew(&slot.flow, side, tcp, at, self.config.attempt_wait_ns) {
                self.end(at_index, EndReason::Reused, observer);
                index = None;
            }
        }
        let index = index.unwrap_or_else(|| self.begin(hash, &ends, frame, decoded, ip, observer));
        self.touch(index, frame, &ends, ip, counted, observer);
    }

    /// When `advance` will have something to do for an attempt that waits for its answer, or for an observer; nothing stands in line if `None`.
    pub fn due(&self) -> Option<Timestamp> {
        self.wakes.front().map(|(due, ..)| *due)
    }

    /// Tells the table what time it is, so that timers run on a quiet link. Packets do it too.
    pub fn advance<O: Observer<D>>(&mut self, now: Timestamp, observer: &mut O) {
        if now <= self.now && now.since(self.now) > -BACK_STEP {
            return;
        }
        if now < self.now {
            // The clock was set back: what was due by the old clock is due now.
            for (due, _, _) in &mut self.wakes {
                *due = (*due).min(now);
            }
            self.look_at = now;
        }
        self.now = now;
        while let Some(&(due, index, generation)) = self.wakes.front() {
            if due > now {
                break;
            }
            self.wakes.pop_front();
            // Those that come next, several at a time, as `warm` does it.
            if self.looked == 0 {
                self.wakes.iter().take(LOOK_AHEAD).for_each(|(_, next, _)| self.look_at_slot(*next));
                self.looked = LOOK_AHEAD;
            }
            self.looked -= 1;
            self.wake(index, generation, due.min(now), observer);
        }
        if now < self.look_at {
            return;
        }
        self.look_at = now.plus_ns(LOOK_NS);
        for list in 0..LISTS {
            while let Some((index, touched, reason)) = self.oldest(list) {
                if touched > now.plus_secs(1) {
                    // Touched before the clock was set back.
                    self.relist(index, list);
                    continue;
                }
                if now.since(touched) <= self.idle_ns(list) {
                    break;
                }
                self.look_behind(index);
                self.end(index, reason, observer);
            }
        }
    }

    /// Ends every flow, oldest list first; capture is over.
    pub fn flush<O: Observer<D>>(&mut self, observer: &mut O) {
        // What waited to be woken is told by its end.
        self.wakes.clear();
        for list in 0..LISTS {
            while let Some((index, _, reason)) = self.oldest(list) {
                self.look_behind(index);
                self.end(index, if reason == EndReason::Idle { EndReason::Flushed } else { reason }, observer);
            }
        }
    }

    fn idle_ns(&self, list: usize) -> i64 {
        match list {
            CLOSED => self.config.linger_ns,
            HALF_OPEN => self.config.idle_half_open_ns,
            OTHER => self.config.idle_other_ns,
            UDP => self.config.idle_udp_ns,
            _ => self.config.idle_tcp_ns,
        }
    }

    fn oldest(&self, list: usize) -> Option<(u32, Timestamp, EndReason)> {
        let index = self.lists[list].head;
        let slot = self.slots.get(index as usize)?.as_ref()?;
        let reason = match (slot.flow.closed(), slot.flow.rst_by) {
            (true, Some(_)) => EndReason::Rst,
            (true, None) => EndReason::Fin,
            _ => EndReason::Idle,
        };
        Some((index, slot.touched, reason))
    }

    fn begin<O: Observer<D>>(
        &mut self,
        hash: u32,
        ends: &Ends,
        frame: &Frame<'_>,
        decoded: &Decoded<'_>,
        ip: &Ip<'_>,
        observer: &mut O,
    ) -> u32 {
        if self.index.len() >= self.config.flows_max {
            self.evict(observer);
        }
        self.serial += 1;
        self.generation = self.generation.wrapping_add(1);
        self.stats.flows_begun += 1;
        let flip = answers(ends, ip);
        let (originator, responder) = if flip { (ends.dst, ends.src) } else { (ends.src, ends.dst) };
        let macs = if flip { [decoded.dst_mac, decoded.src_mac] } else { [decoded.src_mac, decoded.dst_mac] };
        let mut history = History::default();
        if flip {
            history.push(b'^');
        }
        let flow = Flow {
            serial: self.serial,
            start: frame.time,
            last: frame.time,
            originator,
            responder,
            protocol: ends.protocol,
            vlan: decoded.vlan,
            tunnel: decoded.tunnel,
            macs,
            interface: frame.interface,
            icmp: if let Transport::Icmp(icmp) = &ip.transport { Some((icmp.kind, icmp.code)) } else { None },
            kind: ends.kind,
            community: OnceCell::new(),
            one_way: ends.one_way,
            sides: Default::default(),
            history,
            rst_by: None,
            answered: false,
            outcome_said: false,
            last_report: self.now,
            wake_set: false,
            wake_asked: false,
            // Nobody wants bytes.
            stopped: self.config.stream_bytes == 0,
        };
        let slot = Slot {
            flow,
            data: D::default(),
            touched: self.now,
            listed: self.now,
            hash,
            generation: self.generation,
            list: UNLISTED as u8,
            prev: NONE,
            next: NONE,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(hash, index);
        index
    }

    fn touch<O: Observer<D>>(&mut self, index: u32, frame: &Frame<'_>, ends: &Ends, ip: &Ip<'_>, counted: bool, observer: &mut O) {
        let at = self.now;
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else { return };
        let flow = &mut slot.flow;
        let side = side_of(flow, ends);
        let end = &mut flow.sides[side as usize];
        if end.count.packets > 0 && end.interface != frame.interface && at.since(end.last) < INTERFACE_HOLD {
            self.stats.seen_elsewhere += 1;
            return;
        }
        end.interface = frame.interface;
        end.last = at;
        if counted {
            end.count.packets += 1;
            end.count.bytes += u64::from(frame.len);
        }
        flow.last = flow.last.max(frame.time);
        slot.touched = at;

        let mut room = Room { limit: self.config.stream_bytes, budget: &mut self.hold, gaps: &mut self.stats.gaps };
        let mut next = Next::default();
        let list = match &ip.transport {
            Transport::Tcp(tcp) => {
                let headless = Tcp { payload: &[], ..*tcp };
                let tcp = if ip.piece.is_some() { &headless } else { tcp };
                let begins = flow.half_open();
                next = tcp::packet(flow, &mut slot.data, side, tcp, frame.time, &mut room, observer);
                next.wake |= !begins && flow.half_open();
                if flow.stopped {
                    for end in &mut flow.sides {
                        end.stream.stop(&mut self.hold);
                    }
                }
                if flow.closed() {
                    CLOSED
                } else if flow.half_open() {
                    HALF_OPEN
                } else {
                    TCP
                }
            }
            Transport::Udp(udp) => {
                flow.history.add(side, b'd');
                next.wake = flow.unheard() && !flow.outcome_said;
                if ip.piece.is_none() {
                    flow.sides[side as usize].payload += udp.payload.len() as u64;
                }
                if !flow.stopped && !udp.payload.is_empty() && ip.piece.is_none() {
                    let want = observer.datagram(flow, &mut slot.data, side, udp.payload, frame.time);
                    flow.stopped |= want == Want::Stop;
                    next.asked |= matches!(want, Want::Wake | Want::Whole);
                }
                UDP
            }
            _ if flow.protocol == 6 && flow.kind == Kind::Ports => TCP,
            _ => OTHER,
        };
        if at.since(flow.last_report) > self.config.active_ns {
            say(flow, &mut slot.data, Report::Active, frame.time, observer);
        }
        flow.wake_asked |= next.asked;
        if (next.wake || next.asked) && !flow.wake_set {
            flow.wake_set = true;
            let entry = (at.plus_ns(self.config.attempt_wait_ns), index, slot.generation);
            self.wakes.push_back(entry);
        }
        if usize::from(slot.list) != list || !(0..RELIST_NS).contains(&at.since(slot.listed)) {
            self.relist(index, list);
        }
        // One wake a flow at most; the bound holds because ended flows leave stale entries only until they are due.
        if self.wakes.len() > self.config.flows_max.saturating_mul(2)
            && let Some((due, index, generation)) = self.wakes.pop_front()
        {
            self.wake(index, generation, due.min(at), observer);
        }
    }

    fn wake<O: Observer<D>>(&mut self, index: u32, generation: u32, at: Timestamp, observer: &mut O) {
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else { return };
        if slot.generation != generation {
            return;
        }
        let flow = &mut slot.flow;
        flow.wake_set = false;
        if flow.waits_for_answer() && !flow.outcome_said {
            say(flow, &mut slot.data, Report::Unanswered, at, observer);
        }
        if flow.half_open() {
            return;
        }
        if std::mem::take(&mut flow.wake_asked) && matches!(observer.wake(flow, &mut slot.data, at), Want::Wake | Want::Whole) {
            (flow.wake_set, flow.wake_asked) = (true, true);
            // From the table's time, not from when it was due: after a jump of years it is asked once, not once a second.
            self.wakes.push_back((self.now.plus_ns(self.config.attempt_wait_ns), index, generation));
        }
    }

    /// Makes room for one flow: the list worth least, its oldest.
    fn evict<O: Observer<D>>(&mut self, observer: &mut O) {
        for list in 0..LISTS {
            if let Some((index, ..)) = self.oldest(list) {
                self.stats.evicted += 1;
                if list == HALF_OPEN {
                    self.stats.evicted_half_open += 1;
                }
                return self.end(index, EndReason::Evicted, observer);
            }
        }
    }

    fn end<O: Observer<D>>(&mut self, index: u32, reason: EndReason, observer: &mut O) {
        self.unlink(index);
        let Some(place) = self.slots.get_mut(index as usize) else { return };
        let Some(slot) = place.as_mut() else { return };
        self.index.remove(slot.hash, index);
        self.free.push(index);
        self.stats.flows_ended += 1;
        let (flow, data) = (&mut slot.flow, &mut slot.data);
        let at = flow.last;
        let mut room = Room { limit: self.config.stream_bytes, budget: &mut self.hold, gaps: &mut self.stats.gaps };
        if flow.protocol == 6 {
            for side in [Side::Originator, Side::Responder] {
                let mut next = Next::default();
                if flow.stopped {
                    flow.sides[side as usize].stream.stop(room.budget);
                } else {
                    hand_on(flow, data, side, at, observer, &mut next, |stream, sink| stream.finish(&mut room, sink));
                }
            }
        }
        if flow.waits_for_answer() && !flow.outcome_said {
            say(flow, data, Report::Unanswered, at, observer);
        }
        say(flow, data, Report::Ended(reason), at, observer);
        *place = None;
    }

    fn relist(&mut self, index: u32, list: usize) {
        self.unlink(index);
        if let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) {
            (slot.touched, slot.listed) = (self.now, self.now);
        }
        self.push_back(index, list);
    }

    fn push_back(&mut self, index: u32, list: usize) {
        let tail = self.lists[list].tail;
        if let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) {
            slot.list = list as u8;
            slot.prev = tail;
            slot.next = NONE;
        }
        match self.slots.get_mut(tail as usize).and_then(Option::as_mut) {
            Some(last) => last.next = index,
            None => self.lists[list].head = index,
        }
        self.lists[list].tail = index;
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize).and_then(Option::as_ref) else { return };
        let (prev, next, list) = (slot.prev, slot.next, usize::from(slot.list));
        if list == UNLISTED {
            return;
        }
        match self.slots.get_mut(prev as usize).and_then(Option::as_mut) {
            Some(p) => p.next = next,
            None => self.lists[list].head = next,
        }
        match self.slots.get_mut(next as usize).and_then(Option::as_mut) {
            Some(n) => n.prev = prev,
            None => self.lists[list].tail = prev,
        }
    }
}

/// True if a packet with these ends belongs to the flow, either way.
#[inline]
fn is_of(flow: &Flow, ends: &Ends) -> bool {
    flow.protocol == ends.protocol
        && flow.kind == ends.kind
        && (flow.originator == ends.src && flow.responder == ends.dst
            || !ends.one_way && flow.originator == ends.dst && flow.responder == ends.src)
        && flow.one_way == ends.one_way
        && (ends.tunnel == 0 && flow.tunnel.is_none() || Tunnel::mark(flow.tunnel) == ends.tunnel)
}

/// The side a packet comes from; a flow whose two ends are the same has only an originator.
fn side_of(flow: &Flow, ends: &Ends) -> Side {
    if flow.originator == ends.src { Side::Originator } else { Side::Responder }
}

/// True if the first packet seen of a flow is more likely an answer than a question.
fn answers(ends: &Ends, ip: &Ip<'_>) -> bool {
    match &ip.transport {
        Transport::Tcp(tcp) if tcp.flags.syn() => return tcp.flags.ack(),
        Transport::Icmp(icmp) => {
            return if icmp.v6 { matches!(icmp.kind, 129 | 131 | 134 | 136) } else { matches!(icmp.kind, 0 | 14 | 16 | 18) };
        }
        _ => {}
    }
    ends.kind == Kind::Ports && !ip.dst.is_multicast() && service_rank(ends.src.1) > service_rank(ends.dst.1)
}
