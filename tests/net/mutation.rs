//! Real frames, broken in small ways, through the whole pipeline: it must neither panic nor hang nor lose count.

use std::time::Duration;

use agent::sensor::net::{Pipeline, PipelineConfig};
use capture::{FileSource, PacketSource};
use packet::Frame;

/// Small, fast and the same everywhere; the seed is the test's.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const EDGES: &[u8] = &[0, 1, 0x7f, 0x80, 0xff, 0xc0, 0x45, 0x60];
    for _ in 0..=dice.next(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.next(bytes.len());
        match dice.next(6) {
            0 => bytes[at] ^= 1 << dice.next(8),
            1 | 2 => bytes[at] = EDGES[dice.next(EDGES.len())],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, dice.next(256) as u8),
            _ => {
                let end = (at + dice.next(16)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}

fn captures(step: usize) -> Option<Vec<std::path::PathBuf>> {
    let root = tests::data("pcap")?;
    let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).expect("the manifest is text");
    Some(manifest.lines().skip(1).step_by(step).filter_map(|l| Some(root.join(l.split('\t').next()?))).collect())
}

#[test]
fn mutated_frames_are_survived_and_counted() {
    let Some(files) = captures(29) else { return };
    let mut dice = Dice(0x5eed_0001);
    let mut total = 0u64;
    for file in &files {
        let Ok(mut source) = FileSource::open(file) else { continue };
        let mut pipeline = Pipeline::new(PipelineConfig::default());
        let mut events = 0u64;
        let mut sent = 0u64;
        for _ in 0..80 {
            let Ok(Some(frame)) = source.next(Duration::ZERO) else { break };
            for _ in 0..8 {
                let mut bytes = frame.bytes.to_vec();
                mutate(&mut bytes, &mut dice);
                pipeline.frame(&Frame { bytes: &bytes, ..frame }, &mut |_, _| events += 1);
                sent += 1;
            }
        }
        pipeline.flush(&mut |_, _| events += 1);
        let stats = pipeline.stats();
        assert_eq!((stats.frames, stats.events), (sent, events), "{}", file.display());
        assert_eq!(stats.flows.flows_begun, stats.flows.flows_ended, "{}", file.display());
        total += sent;
    }
    println!("{} files, {total} mutated frames", files.len());
    assert!(total > 10_000, "too few frames to mean anything: {total}");
}

#[test]
fn mutated_files_are_read_as_far_as_they_go() {
    let Some(files) = captures(61) else { return };
    let mut dice = Dice(0x5eed_0002);
    let mut read = 0u64;
    for file in &files {
        let whole = std::fs::read(file).expect("the capture reads");
        let whole = &whole[..whole.len().min(20_000)];
        for _ in 0..20 {
            let mut bytes = whole.to_vec();
            mutate(&mut bytes, &mut dice);
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
    println!("{} files, {read} frames", files.len());
}
