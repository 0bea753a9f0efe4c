//! A capture file through the same pipeline as live capture: what `replay` of both programs calls.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use capture::{CaptureError, Defect, FileSource};
use event::Timestamp;

use super::pipeline::{Pipeline, PipelineConfig, PipelineStats, Sink};

/// What a replay met.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplayStats {
    pub pipeline: PipelineStats,
    /// Time of the first and of the newest frame.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Set if the file is cut or broken: everything before the break was replayed.
    pub defect: Option<Defect>,
}

/// Replays a pcap or pcapng file with the default settings. Events come in the order of the packets that completed them.
pub fn replay(path: &Path, out: &mut Sink<'_>) -> Result<ReplayStats, CaptureError> {
    replay_with(path, PipelineConfig::default(), out)
}

/// Replays with other settings.
pub fn replay_with(path: &Path, config: PipelineConfig, out: &mut Sink<'_>) -> Result<ReplayStats, CaptureError> {
    replay_watched(path, config, out, &mut |_| {})
}

/// So many frames between two words on how far the replay is.
const STEP_FRAMES: usize = 4096;

/// As `replay_with`; `progress` is told now and then how many bytes of the (unpacked) file have been read.
pub fn replay_watched(
    path: &Path,
    config: PipelineConfig,
    out: &mut Sink<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<ReplayStats, CaptureError> {
    let mut read = 0;
    let mut source = open(path)?;
    let mut pipeline = Pipeline::new(config);
    let mut stats = ReplayStats::default();
    loop {
        let batch = source.next_batch();
        let frames = batch.frames();
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            stats.first.get_or_insert(frame.time);
            stats.last = stats.last.max(Some(frame.time));
        }
        pipeline.frames(frames, out);
        read += frames.len();
        if read >= STEP_FRAMES {
            read = 0;
            progress(source.offset());
        }
    }
    pipeline.flush(out);
    stats.pipeline = pipeline.stats();
    stats.defect = source.defect().cloned();
    Ok(stats)
}

/// A capture as it is or gzipped.
pub(super) fn open(path: &Path) -> Result<FileSource<'static>, CaptureError> {
    let name = path.display().to_string();
    let cannot = |source| CaptureError::File { path: name.clone(), source };
    let mut file = BufReader::new(File::open(path).map_err(cannot)?);
    if file.fill_buf().map_err(cannot)?.starts_with(&[0x1f, 0x8b]) {
        FileSource::from_reader(name, flate2::bufread::MultiGzDecoder::new(file))
    } else {
        FileSource::from_reader(name, file)
    }
}

/// True if the file begins like a capture (pcap or pcapng), so that a command can tell it from a log.
pub fn is_capture(head: &[u8]) -> bool {
    const MAGIC: [[u8; 4]; 6] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    head.get(..4).is_some_and(|h| MAGIC.iter().any(|m| m == h))
}
