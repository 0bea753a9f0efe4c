//! Every capture, broken in twenty ways, through the whole pipeline: it must neither panic nor hang nor lose count, in bounded memory. And every
//! capture that is broken on purpose: what could be read of it and what is wrong, as a table.
//!
//! Mutations know structure: a field whose value is the length of what follows it, or a small count, becomes none, one less, one more, double,
//! the greatest; headers lie about their length; payloads end early, repeat, change places. `VEDETTE_MUTATIONS` (20) says how many of each capture,
//! `VEDETTE_MUTATION_FRAMES` (32) of how many of its first frames; `cargo xtask fuzz --captures N` runs more of both in a release build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use agent::sensor::net::{Pipeline, PipelineConfig, replay};
use capture::{FileSource, PacketSource};
use event::{Value, field};
use packet::{Body, Frame, Transport, decode};
use serde_json::Value as Json;

use crate::sigma::corpus;

/// Small, fast and the same everywhere; the seed is the test's.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())]
    }
}

/// A number in some bytes that looks like a length or a count.
#[derive(Clone, Copy)]
struct Number {
    at: usize,
    width: usize,
    big: bool,
    value: u64,
}

impl Number {
    fn read(bytes: &[u8], at: usize, width: usize, big: bool) -> Option<Self> {
        let bytes = bytes.get(at..at + width)?;
        let add = |value: u64, b: &u8| value << 8 | u64::from(*b);
        let value = if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
        Some(Self { at, width, big, value })
    }
    fn write(self, bytes: &mut [u8], value: u64) {
        for n in 0..self.width {
            let shift = 8 * if self.big { self.width - 1 - n } else { n };
            bytes[self.at + n] = (value >> shift) as u8;
        }
    }
}

/// Bytes of a payload in which numbers are looked for.
const LOOKED_AT: usize = 96;

/// Fields that say how much follows them (give or take their own header), and small counts.
fn numbers(bytes: &[u8]) -> (Vec<Number>, Vec<Number>) {
    let (mut lengths, mut counts) = (Vec::new(), Vec::new());
    for at in 0..bytes.len().min(LOOKED_AT) {
        for (width, big) in [(1, true), (2, true), (2, false), (3, true), (4, true), (4, false)] {
            let Some(number) = Number::read(bytes, at, width, big) else { continue };
            let left = (bytes.len() - at) as u64;
            if number.value > 0 && number.value <= left && left - number.value <= 16 {
                lengths.push(number);
            } else if (1..=16).contains(&number.value) && width <= 2 {
                counts.push(number);
            }
        }
    }
    (lengths, counts)
}

/// Where the payload of a frame begins, behind every header that the decoder knows.
fn payload_at(frame: &Frame<'_>) -> Option<usize> {
    let decoded = decode(frame);
    let payload = match &decoded.body {
        Body::Ip(ip) => match &ip.transport {
            Transport::Tcp(tcp) => tcp.payload,
            Transport::Udp(udp) => udp.payload,
            Transport::Icmp(icmp) => icmp.payload,
            Transport::Other { .. } => return None,
        },
        Body::Other { payload, .. } => payload,
        Body::Arp(_) | Body::None => return None,
    };
    let at = (payload.as_ptr() as usize).checked_sub(frame.bytes.as_ptr() as usize)?;
    (!payload.is_empty() && at < frame.bytes.len()).then_some(at)
}

/// One mutation of a frame.
fn mutate(frame: &Frame<'_>, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = frame.bytes.to_vec();
    let payload = payload_at(frame);
    let from = match (payload, dice.next(4)) {
        // Three in four go for the payload, the rest for the headers.
        (Some(at), 1..) => at,
        _ => 0,
    };
    let (lengths, counts) = numbers(&bytes[from..]);
    match dice.next(8) {
        0..=2 if !lengths.is_empty() => {
            let number = dice.one_of(&lengths);
            let greatest = u64::MAX >> (64 - 8 * number.width);
            let value =
                dice.one_of(&[0, 1, number.value - 1, number.value + 1, number.value / 2, number.value * 2, greatest, greatest / 2 + 1]);
            number.write(&mut bytes[from..], value);
        }
        3 if !counts.is_empty() => {
            let number = dice.one_of(&counts);
            let value = dice.one_of(&[0, number.value + 1, 0x7f, 0xff, 0xffff]);
            number.write(&mut bytes[from..], value);
        }
        4 => bytes.truncate(from + dice.next(bytes.len() - from + 1)),
        5 => {
            // A piece twice: the same option, object or record again.
            let start = from + dice.next(bytes.len() - from);
            let end = (start + 1 + dice.next(64)).min(bytes.len());
            let piece = bytes[start..end].to_vec();
            bytes.splice(start..start, piece);
        }
        6 => {
            let start = from + dice.next(bytes.len() - from);
            let end = (start + 1 + dice.next(16)).min(bytes.len());
            bytes.drain(start..end);
        }
        _ => {
            for _ in 0..=dice.next(4) {
                let at = from + dice.next(bytes.len() - from);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.one_of(&[0, 1, 0x7f, 0x80, 0xff, 0xc0, 0x45, 0x60, *byte ^ 1, *byte ^ 0x80]);
                }
            }
        }
    }
    bytes
}

fn captures() -> Option<Vec<PathBuf>> {
    let root = tests::data("pcap")?;
    let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).expect("the manifest is text");
    Some(manifest.lines().skip(1).filter_map(|l| Some(root.join(l.split('\t').next()?))).collect())
}

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// Frames of a capture, kept, for the twenty rounds.
fn frames(file: &Path, most: usize) -> Vec<(Frame<'static>, Vec<u8>)> {
    let mut kept = Vec::new();
    let Ok(mut source) = FileSource::open(file) else { return kept };
    while let Ok(Some(frame)) = source.next(Duration::ZERO) {
        kept.push((Frame { bytes: &[], ..frame }, frame.bytes.to_vec()));
        if kept.len() >= most {
            break;
        }
    }
    kept
}

/// One round: every third frame or so is mutated, now and then two change places, so that what is wrong meets readers in the middle of their work.
fn round(frames: &[(Frame<'static>, Vec<u8>)], dice: &mut Dice) -> (u64, u64, Pipeline) {
    let mut pipeline = Pipeline::new(PipelineConfig::default());
    let (mut sent, mut events) = (0u64, 0u64);
    let mut order: Vec<usize> = (0..frames.len()).collect();
    if dice.next(4) == 0 && order.len() > 1 {
        let at = dice.next(order.len() - 1);
        order.swap(at, at + 1);
    }
    let always = frames.len() < 3;
    for at in order {
        let (head, bytes) = &frames[at];
        let frame = Frame { bytes, ..*head };
        let mutant;
        let frame = if !bytes.is_empty() && (always || dice.next(3) == 0) {
            mutant = mutate(&frame, dice);
            Frame { bytes: &mutant, len: frame.len.max(mutant.len() as u32), ..frame }
        } else {
            frame
        };
        pipeline.frame(&frame, &mut |_, _| events += 1);
        sent += 1;
    }
    pipeline.flush(&mut |_, _| events += 1);
    (sent, events, pipeline)
}

/// The most memory this process has held, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Of the test's own process, in which nothing but this test runs: frames of two captures, and two pipelines.
const PEAK_MIB: u64 = 256;

#[test]
fn every_capture_is_survived_in_twenty_broken_forms() {
    let Some(files) = captures() else { return };
    let (rounds, most) = (setting("VEDETTE_MUTATIONS", 20), setting("VEDETTE_MUTATION_FRAMES", 32));
    let (next, frames_sent, told) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let before = peak_mib();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(at) else { return };
                    let frames = frames(file, most);
                    for n in 0..rounds {
                        // A seed of its own for each, so that a failure can be had again alone.
                        let mut dice = Dice(0x5eed_0001 ^ (at as u64) << 20 ^ n as u64);
                        let (sent, events, pipeline) = round(&frames, &mut dice);
                        let stats = pipeline.stats();
                        assert_eq!((stats.frames, stats.events), (sent, events), "{} round {n}", file.display());
                        assert_eq!(stats.flows.flows_begun, stats.flows.flows_ended, "{} round {n}", file.display());
                        frames_sent.fetch_add(sent, Ordering::Relaxed);
                        told.fetch_add(events, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (sent, told, peak) = (frames_sent.into_inner(), told.into_inner(), peak_mib());
    println!(
        "{} captures × {rounds} mutations: {sent} frames, {told} events, no panic; peak memory {peak} MiB (before {before})",
        files.len()
    );
    assert!(files.len() >= 2_000 && sent > 100_000, "{} captures, {sent} frames", files.len());
    assert!(peak < PEAK_MIB, "{peak} MiB");
}

#[test]
fn mutated_files_are_read_as_far_as_they_go() {
    let Some(files) = captures() else { return };
    let mut dice = Dice(0x5eed_0002);
    let (mut read, mut whole_files) = (0u64, 0);
    for file in files.iter().step_by(29) {
        let whole = std::fs::read(file).expect("the capture reads");
        let whole = &whole[..whole.len().min(20_000)];
        whole_files += 1;
        for _ in 0..20 {
            let frame = Frame::new(event::Timestamp::ZERO, packet::LinkType::Other(0), 0, whole);
            let bytes = mutate(&frame, &mut dice);
            let Ok(mut source) = FileSource::from_reader("mutant".to_owned(), bytes.as_slice()) else { continue };
            // Not one frame more than bytes: a reader that goes round in circles fails here instead of hanging.
            let mut frames = 0usize;
            while let Ok(Some(frame)) = source.next(Duration::ZERO) {
                assert!(frame.bytes.len() <= bytes.len());
                frames += 1;
                assert!(frames <= bytes.len());
            }
            assert!(source.defect().is_none_or(|d| d.offset <= bytes.len() as u64));
            read += frames as u64;
        }
    }
    println!("{whole_files} files × 20 mutations, {read} frames");
}

/// What was met in the broken captures of one folder.
#[derive(Default)]
struct Broken {
    files: u64,
    frames: u64,
    /// Frames that tshark counts.
    truth: u64,
    flows: u64,
    events: u64,
    defects: BTreeMap<&'static str, u64>,
    with_oddities: u64,
    /// tshark calls frames malformed, and we say nothing.
    silent: Vec<String>,
}

/// Captures made to break readers: fuzzers' finds, cut files, lengths out of bounds, odd encapsulations; and those in which tshark calls frames
/// malformed.
fn is_broken(row: &Json) -> bool {
    let file = row["file"].as_str().unwrap_or_default();
    let folder = ["robust/", "encap/", "frag-ipv6ext/", "pcapformat/"].iter().any(|f| file.starts_with(f));
    folder || row["malformed_frames"].as_i64().is_some_and(|n| n > 0) || file.contains("fuzz")
}

/// Captures with fewer frames than tshark counts, and why.
const FEWER: &[(&str, &str)] = &[
    ("pcapformat/gopacket__test102.pcapng", "five packets and three custom blocks, which tshark counts as frames"),
    ("pcapformat/gopacket__test202.pcapng", "the same in the other byte order"),
];

#[test]
fn broken_captures_say_what_could_be_read_and_what_is_wrong() {
    let Some(truth) = corpus::lines("pcap/truth/tshark.jsonl.gz") else { return };
    let mut folders: BTreeMap<String, Broken> = BTreeMap::new();
    let mut oddities: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    let mut short = Vec::new();
    for row in truth.iter().filter(|r| is_broken(r)) {
        let file = row["file"].as_str().unwrap_or_default();
        let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
        let broken = folders.entry(file.split('/').next().unwrap_or_default().to_owned()).or_default();
        broken.files += 1;
        let wanted = row["packets"].as_u64().unwrap_or(0);
        broken.truth += wanted;
        let mut here: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let result = replay(&path, &mut |_, event| {
            if let Some(name) = event.get(field::ANOMALY_NAME).and_then(Value::as_str) {
                let count = event.get(field::COUNT).and_then(Value::as_int).unwrap_or(1).unsigned_abs();
                let entry = here.entry(name.to_owned()).or_insert_with(|| (0, event.text(field::ANOMALY_DETAIL).into_owned()));
                entry.0 += count;
            }
        });
        let frames = match result {
            Ok(stats) => {
                broken.flows += stats.pipeline.flows.flows_begun;
                broken.events += stats.pipeline.events;
                if let Some(defect) = &stats.defect {
                    *broken.defects.entry(defect.name).or_default() += 1;
                } else if stats.pipeline.frames < wanted && !FEWER.iter().any(|(f, _)| *f == file) {
                    short.push(format!("{file}: {} of {wanted} frames, and no defect named", stats.pipeline.frames));
                }
                stats.pipeline.frames
            }
            // It says why, and nothing else could be read.
            Err(error) => {
                *broken.defects.entry("no capture").or_default() += 1;
                assert!(!error.to_string().is_empty());
                0
            }
        };
        broken.frames += frames;
        broken.with_oddities += u64::from(!here.is_empty());
        if here.is_empty() && row["malformed_frames"].as_i64().is_some_and(|n| n > 0) {
            broken.silent.push(file.to_owned());
        }
        for (name, (count, detail)) in here {
            let entry = oddities.entry(name).or_insert_with(|| (0, 0, detail));
            entry.0 += 1;
            entry.1 += count;
        }
    }
    let sum = |of: fn(&Broken) -> u64| folders.values().map(of).sum::<u64>();
    println!(
        "{:<20} {:>6} {:>8} {:>8} {:>7} {:>8} {:>9}  defects of the file",
        "folder", "files", "frames", "tshark's", "flows", "events", "oddities"
    );
    for (folder, b) in &folders {
        let defects: Vec<String> = b.defects.iter().map(|(name, n)| format!("{name} {n}")).collect();
        println!(
            "{folder:<20} {:>6} {:>8} {:>8} {:>7} {:>8} {:>9}  {}",
            b.files,
            b.frames,
            b.truth,
            b.flows,
            b.events,
            b.with_oddities,
            defects.join(", ")
        );
    }
    println!("{:<20} {:>6} {:>8} {:>8}", "all", sum(|b| b.files), sum(|b| b.frames), sum(|b| b.truth));
    println!("\n{:<34} {:>6} {:>8}  for example", "oddity", "files", "times");
    for (name, (files, times, detail)) in &oddities {
        println!("{name:<34} {files:>6} {times:>8}  {}", detail.chars().take(90).collect::<String>());
    }
    let silent: u64 = folders.values().map(|b| b.silent.len() as u64).sum();
    println!("\ntshark calls frames malformed and nothing is said here in {silent} captures (protocols that are not read, mostly):");
    for file in folders.values().flat_map(|b| &b.silent).take(20) {
        println!("    {file}");
    }
    assert!(short.is_empty(), "{}", short.join("\n"));
    assert!(sum(|b| b.files) >= 779, "{}", sum(|b| b.files));
    assert!(sum(|b| b.frames) * 1000 >= sum(|b| b.truth) * 999, "{} of {} frames", sum(|b| b.frames), sum(|b| b.truth));
}
