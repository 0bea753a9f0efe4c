//! The spool against a model: random appends, commits, reads, acknowledgements, crashes, full and failing disks, flipped bits.
//! `SEEDS=n` runs more, `SEED=n` one.

use std::collections::BTreeMap;

use super::*;

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn small() -> Config {
    Config { bytes_max: 64 * 1024, segment_bytes: 4096, critical_bytes: 16 * 1024, payload_bytes_max: 512, pending_bytes_max: 4096 }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Damage {
    None,
    Anything,
}

#[derive(Default, Debug, Clone, Copy)]
struct Seen {
    actions: u64,
    crashes: u64,
    commits: u64,
    failed_commits: u64,
    data: u64,
    gaps: u64,
    evicted: u64,
    flips: u64,
    atomic: u64,
    ambiguous: u64,
}

/// Payload of data, `None` of what was refused or declared; and the order over all lanes.
type Given = (Option<Vec<u8>>, u64);

#[derive(Default)]
struct Issued {
    /// By epoch and number.
    records: BTreeMap<(u64, u64), Given>,
    /// By epoch, the last number a successful commit covered.
    committed: BTreeMap<u64, u64>,
}

struct Model {
    seed: u64,
    chance: Chance,
    disk: SimDisk,
    spool: Option<Spool<SimDisk>>,
    damage: Damage,
    lanes: [Issued; LANES],
    marks: [Position; LANES],
    acked: [Position; LANES],
    order: u64,
    /// `order` at the last checkpoint that a successful commit covered.
    checkpointed: u64,
    /// Records appended since the last checkpoint may have been committed by reaching the memory limit.
    strays: bool,
    /// Reads may fail now; ever.
    reads_fail: bool,
    reads_failed: bool,
    /// The disk was ever full: a hole made for the control log itself is found, not written first.
    was_full: bool,
    /// A part of a torn commit was kept: its missing numbers are declared though they were never committed.
    torn_kept: bool,
    control_hit: bool,
    now: u64,
    seen: Seen,
}

impl Model {
    fn new(seed: u64, damage: Damage) -> Self {
        let disk = SimDisk::new(seed ^ 0xd15c);
        let mut model = Self {
            seed,
            chance: Chance(seed),
            disk,
            spool: None,
            damage,
            lanes: Default::default(),
            marks: Default::default(),
            acked: Default::default(),
            order: 0,
            checkpointed: 0,
            strays: false,
            reads_fail: false,
            reads_failed: false,
            was_full: false,
            torn_kept: false,
            control_hit: false,
            now: 1_000,
            seen: Seen::default(),
        };
        model.open(false);
        model
    }

    fn spool(&mut self) -> &mut Spool<SimDisk> {
        self.spool.as_mut().expect("open")
    }

    fn open(&mut self, crashed: bool) {
        // Opening itself may meet a failing disk; the operator (or the next attempt) gets it going again.
        let (spool, recovery) = loop {
            match Spool::open(self.disk.clone(), small(), self.now) {
                Ok(opened) => break opened,
                Err(OpenError::Io { .. }) => {
                    self.disk.set_faults(Faults::default());
                    self.disk.set_quota(u64::MAX);
                    // What this attempt found and could still write down is not reported again.
                    self.torn_kept = true;
                    self.reads_fail = false;
                    if self.chance.one_in(2) {
                        self.disk = self.disk.crash();
                    }
                }
                Err(e) => panic!("seed {}: {e}", self.seed),
            }
        };
        let ctx = format!("seed {}, action {}: {recovery:?}", self.seed, self.seen.actions);
        assert!(spool.ledger().iter().all(Ledger::balances), "{ctx}");
        if self.damage == Damage::None {
            // What was never committed may be kept in part when the end of the control log is torn: rather twice than never.
            let uncommitted =
                |d: &crate::Damage| self.lanes[usize::from(d.lane)].committed.get(&d.epoch).is_none_or(|last| d.first > *last);
            self.torn_kept |= recovery.damaged.iter().any(uncommitted);
            assert!(recovery.damaged.iter().all(uncommitted) || self.reads_failed || self.was_full, "{ctx}");
        }
        let ends = spool.ends();
        for (lane, end) in ends.iter().enumerate() {
            if !self.control_hit {
                let committed = self.lanes[lane].committed.iter().next_back().map(|(e, s)| Position::new(*e, *s)).unwrap_or_default();
                assert!(*end >= committed, "lane {lane} ends at {end:?}, committed {committed:?}; {ctx}");
            }
        }
        if self.damage == Damage::None && !self.reads_failed {
            let value = recovery.checkpoints.iter().find(|(k, _)| k == "at").map_or(0, |(_, v)| record::u64_at(v, 0).expect("8 bytes"));
            assert!(value >= self.checkpointed, "checkpoint {value} after {}; {ctx}", self.checkpointed);
            let mut after = 0;
            for (lane, issued) in self.lanes.iter().enumerate() {
                for ((epoch, seq), (_, order)) in issued.records.iter().filter(|((e, _), _)| *e < spool.epoch()) {
                    let here = Position::new(*epoch, *seq) <= ends[lane];
                    assert!(here || *order >= value, "checkpoint {value} covers {epoch}:{seq} of lane {lane}, which is gone; {ctx}");
                    // Of the life that just ended: there although the checkpoint says it will be read again?
                    after += u64::from(here && *order >= value && *epoch == ends[lane].epoch);
                }
            }
            if crashed && !self.strays {
                if after == 0 { self.seen.atomic += 1 } else { self.seen.ambiguous += 1 }
            }
        }
        // Numbers that were never committed are gone with the life that gave them.
        for (lane, issued) in self.lanes.iter_mut().enumerate() {
            issued.records.retain(|(e, s), _| Position::new(*e, *s) <= ends[lane]);
        }
        self.strays = false;
        self.spool = Some(spool);
        self.check();
    }

    fn check(&mut self) {
        let (seed, action) = (self.seed, self.seen.actions);
        let used = self.disk.used();
        let spool = self.spool();
        for (lane, ledger) in spool.ledger().iter().enumerate() {
            assert!(ledger.balances(), "seed {seed}, action {action}, lane {lane}: {ledger:?}");
        }
        let max = small().bytes_max + 2 * u64::from(small().segment_bytes);
        assert!(spool.bytes() <= max && used <= max, "seed {seed}, action {action}: {used} bytes on disk, {} counted", spool.bytes());
        assert!(spool.pending_bytes() <= small().pending_bytes_max as usize);
    }

    fn append(&mut self) {
        let lane = self.chance.below(LANES as u64) as u8;
        let len = if self.chance.one_in(40) { 513 } else { self.chance.below(200) as usize };
        let fill = self.chance.below(256) as u8;
        let payload: Vec<u8> = (0..len).map(|n| fill ^ n as u8).collect();
        self.strays |= self.spool().pending_bytes() + 1200 > small().pending_bytes_max as usize;
        let epoch = self.spool().epoch();
        let (seq, kept) = if self.chance.one_in(30) {
            let count = 1 + self.chance.below(5);
            let first = self.spool().declare(lane, 7, count, "kernel_drop");
            let first = match first {
                Ok(first) | Err(AppendError::Refused { seq: first }) => first,
                Err(e) => panic!("{e}"),
            };
            for seq in first..first + count - 1 {
                self.lanes[usize::from(lane)].records.insert((epoch, seq), (None, self.order));
            }
            (first + count - 1, None)
        } else {
            match self.spool().append(lane, 7, &payload) {
                Ok(seq) => (seq, Some(payload)),
                Err(AppendError::Oversize { seq, .. } | AppendError::Refused { seq }) => (seq, None),
                Err(e) => panic!("{e}"),
            }
        };
        self.lanes[usize::from(lane)].records.insert((epoch, seq), (kept, self.order));
        self.order += 1;
    }

    fn commit(&mut self) {
        let order = self.order;
        let with_checkpoint = !self.chance.one_in(5);
        if with_checkpoint {
            self.spool().checkpoint("at", &order.to_le_bytes()).expect("small");
        } else {
            self.strays = true;
        }
        match self.spool().commit() {
            Ok(()) => {
                self.seen.commits += 1;
                if with_checkpoint {
                    self.checkpointed = order;
                    self.strays = false;
                }
                let ends = self.spool().ends();
                for (issued, end) in self.lanes.iter_mut().zip(ends) {
                    if end.seq > 0 {
                        issued.committed.insert(end.epoch, end.seq);
                    }
                }
                assert!(!self.spool().is_dirty(), "seed {}: dirty after a commit", self.seed);
            }
            Err(_) => self.seen.failed_commits += 1,
        }
    }

    fn read(&mut self, lane: usize) -> bool {
        let max = self.chance.below(3_000) as usize;
        let after = self.marks[lane];
        let ctx = format!("seed {}, action {}, lane {lane}, after {after:?}", self.seed, self.seen.actions);
        let records = match self.spool().read(lane as u8, after, max) {
            Ok(records) => records,
            Err(e) => {
                assert!(self.reads_fail, "{ctx}: {e}: {}", e.source);
                return true;
            }
        };
        for record in &records {
            let mark = &mut self.marks[lane];
            if record.epoch == mark.epoch {
                assert_eq!(record.seq, mark.seq + 1, "{ctx}: {record:?}");
            } else {
                assert!(record.epoch > mark.epoch && record.seq == 1, "{ctx}: {record:?} follows {mark:?}");
                if !self.control_hit {
                    for (epoch, last) in self.lanes[lane].committed.range(mark.epoch..record.epoch) {
                        assert!(*epoch == mark.epoch && *last <= mark.seq, "{ctx}: {epoch}:{last} was committed and never came");
                    }
                }
            }
            match &record.kind {
                RecordKind::Data(payload) => {
                    self.seen.data += 1;
                    let issued = self.lanes[lane].records.get(&(record.epoch, record.seq));
                    assert_eq!(issued.map(|i| i.0.as_ref()), Some(Some(payload)), "{ctx}: {}:{}", record.epoch, record.seq);
                }
                RecordKind::Gap { count, reason } => {
                    self.seen.gaps += count;
                    self.seen.evicted += if reason == "evicted" { *count } else { 0 };
                    match &**reason {
                        "evicted" | "full" | "refused" | "oversize" | "kernel_drop" => {}
                        "damaged" | "unreadable" => {
                            assert!(
                                self.damage != Damage::None || self.reads_failed || self.was_full || self.torn_kept,
                                "{ctx}: {record:?}"
                            )
                        }
                        _ => panic!("{ctx}: {record:?}"),
                    }
                }
            }
            *mark = record.position();
        }
        if let Some(last) = records.last() {
            let committed = self.spool().ends()[lane];
            assert!(last.position() <= committed, "{ctx}");
        }
        !records.is_empty()
    }

    fn acknowledge(&mut self, lane: usize) {
        let mut upto = self.marks[lane];
        if upto.seq > self.acked[lane].seq && upto.epoch == self.acked[lane].epoch {
            upto.seq -= self.chance.below(upto.seq - self.acked[lane].seq);
        }
        self.acked[lane] = upto;
        self.spool().acknowledge(lane as u8, upto);
    }

    fn act(&mut self) {
        self.seen.actions += 1;
        match self.chance.below(200) {
            0..120 => self.append(),
            120..150 => self.commit(),
            150..170 => {
                let lane = self.chance.below(LANES as u64) as usize;
                self.read(lane);
            }
            170..182 => {
                let lane = self.chance.below(LANES as u64) as usize;
                self.acknowledge(lane);
            }
            182..187 => {
                let faults = Faults {
                    read: if self.seed % 2 == 1 && self.chance.one_in(4) { 300 } else { 0 },
                    write: self.chance.below(150) as u32,
                    sync: self.chance.below(300) as u32,
                    create: self.chance.below(200) as u32,
                };
                self.reads_fail = faults.read > 0;
                self.reads_failed |= self.reads_fail;
                self.control_hit |= self.reads_fail;
                self.disk.set_faults(faults);
            }
            187..190 => {
                self.disk.set_faults(Faults::default());
                self.reads_fail = false;
                self.disk.set_quota(u64::MAX);
            }
            190..192 if self.seed % 4 < 2 => {
                let used = self.disk.used();
                let quota = used.saturating_sub(self.chance.below(8_000)) + self.chance.below(20_000);
                self.disk.set_quota(quota);
                self.was_full = true;
            }
            192..194 if self.damage != Damage::None => {
                self.flip();
            }
            194..198 => {
                self.now += self.chance.below(3);
                self.seen.crashes += 1;
                self.spool = None;
                self.disk = self.disk.crash();
                self.open(true);
            }
            198 => {
                self.spool = None;
                self.disk = self.disk.restart();
                self.open(false);
            }
            _ => {}
        }
        self.check();
    }

    fn flip(&mut self) {
        let hit = self.disk.flip();
        self.control_hit |= hit.is_some_and(|name| name.ends_with(".log"));
        self.seen.flips += 1;
    }

    fn finish(mut self) -> Seen {
        self.disk.set_faults(Faults::default());
        self.disk.set_quota(u64::MAX);
        self.reads_fail = false;
        for _ in 0..3 {
            if self.spool().commit().is_ok() {
                break;
            }
        }
        let seed = self.seed;
        assert!(self.spool().commit().is_ok(), "seed {seed}: a healthy disk does not commit");
        for lane in 0..LANES {
            while self.read(lane) {}
            let end = self.spool().ends()[lane];
            assert_eq!(self.marks[lane].max(end), self.marks[lane], "seed {seed}, lane {lane}: not all was read");
            let mark = self.marks[lane];
            self.spool().acknowledge(lane as u8, mark);
        }
        assert!(self.spool().commit().is_ok());
        for (lane, ledger) in self.spool().ledger().iter().enumerate() {
            assert!(ledger.balances() && ledger.spooled == 0, "seed {seed}, lane {lane}: {ledger:?}");
        }
        // Everything is acknowledged: what remains is an active segment a lane and the control log.
        assert!(self.spool().bytes() <= 8 * u64::from(small().segment_bytes), "seed {seed}: {} bytes left", self.spool().bytes());
        self.seen
    }
}

fn run(name: &str, damage: Damage, seeds: u64, actions: u64) {
    let one = std::env::var("SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(seeds);
    let mut total = Seen::default();
    for seed in one.map_or(0..seeds, |s| s..s + 1) {
        let mut model = Model::new(seed, damage);
        for _ in 0..actions {
            model.act();
        }
        let seen = model.finish();
        total.actions += seen.actions;
        total.crashes += seen.crashes;
        total.commits += seen.commits;
        total.failed_commits += seen.failed_commits;
        total.data += seen.data;
        total.gaps += seen.gaps;
        total.evicted += seen.evicted;
        total.flips += seen.flips;
        total.atomic += seen.atomic;
        total.ambiguous += seen.ambiguous;
    }
    println!("{name}: {seeds} seeds: {total:?}");
    if one.is_none() {
        assert!(total.crashes > seeds && total.data > 0 && total.evicted > 0 && total.failed_commits > 0, "the model has looked");
    }
}

#[test]
fn a_failing_disk_loses_nothing_that_was_committed() {
    run("crashes", Damage::None, 120, 600);
}

#[test]
fn flipped_bits_cost_their_own_records_and_are_declared() {
    run("flips", Damage::Anything, 60, 600);
}

#[test]
fn sending_each_commit_reads_its_bytes_once() {
    let disk = SimDisk::new(1);
    let mut spool = Spool::open(disk.clone(), Config::sized(8 << 20), 0).unwrap().0;
    let before = disk.read_bytes();
    let mut mark = Position::START;
    for n in 0..2_000u64 {
        spool.append(1, 0, &[7; 200]).unwrap();
        spool.commit().unwrap();
        let records = spool.read(1, mark, 64 * 1024).unwrap();
        assert_eq!(records.len(), 1, "commit {n}");
        mark = records[0].position();
        spool.acknowledge(1, mark);
    }
    let read = disk.read_bytes() - before;
    assert!(read < 2_000 * 400, "{read} bytes were read for 400,000 of payload");
}

/// Checksums are right, numbers are not: as no program of ours writes them, but a damaged or mixed-up folder may hold them.
#[test]
fn numbers_beyond_reason_are_damage_and_the_account_still_balances() {
    let file = |disk: &mut SimDisk, name: &str, bytes: &[u8]| {
        let mut file = disk.create(name, bytes.len() as u64).unwrap();
        disk.write_at(&mut file, 0, bytes).unwrap();
        disk.sync(&mut file).unwrap();
    };
    let huge = Position::new(u64::MAX, u64::MAX);
    let mut payloads = vec![Vec::new(); 4];
    control::put_lane(&mut payloads[0], 0, huge, huge, u64::MAX, u64::MAX);
    control::put_lane(&mut payloads[1], 1, Position::new(5, 3), Position::new(5, u64::MAX), 3, 3);
    control::put_span(&mut payloads[2], 1, control::Span { epoch: u64::MAX, last: 7 });
    control::put_hole(&mut payloads[3], 2, &control::Hole { epoch: 5, first: 9, last: u64::MAX, reason: "evicted".into() });
    for payload in payloads {
        let mut disk = SimDisk::new(1);
        let mut control = Vec::new();
        record::put(&mut control, record::CONTROL_LANE, record::CONTROL, 5, 1, 0, &payload);
        file(&mut disk, "ctl-1-5.log", &control);
        let mut segment = Vec::new();
        record::put(&mut segment, 0, record::DATA, 5, 1, 0, b"kept");
        record::put(&mut segment, 0, record::GAP, 5, 2, 0, &record::gap_payload(u64::MAX, "full"));
        record::put(&mut segment, 0, record::DATA, 5, u64::MAX, 0, b"last");
        file(&mut disk, "0-2-5-1.seg", &segment);
        file(&mut disk, "1-18446744073709551615-18446744073709551615-1.seg", &segment);
        disk.sync_dir().unwrap();
        let (mut spool, recovery) = Spool::open(disk, small(), 9).unwrap();
        assert!(recovery.control_damaged, "{recovery:?}");
        assert_eq!((recovery.epoch, spool.ledger()[0].spooled), (9, 1), "the good record is there");
        spool.append(0, 1, b"next").unwrap();
        spool.commit().unwrap();
        let records = spool.read(0, Position::START, 1 << 16).unwrap();
        assert_eq!(records[0].kind, RecordKind::Data(b"kept".to_vec()));
        assert!(spool.ledger().iter().all(Ledger::balances), "{:?}", spool.ledger());
    }
}
