//! `replay`: captures and logs as the sensors would see them, one OCSF JSON object a line. The same input gives the same bytes: a line without
//! a year takes it from the file's time of modification, not from the clock.

use event::{AgentId, Class, Epoch, Event, EventId, Timestamp, field};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use super::{Exit, cannot, complain};
use crate::sensor::net;

/// Longer lines are cut, as the log sensor does.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Files above this size show how far they are, on a terminal.
const LONG_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// OCSF JSON, one event a line
    Jsonl,
    /// Only how many events of which log source
    Count,
}

pub(super) fn run(files: &[std::path::PathBuf], form: Form, format: Option<&str>, utc_offset_hours: f32) -> Exit {
    if !(-24.0..=24.0).contains(&utc_offset_hours) {
        complain("--utc-offset: from -24 to 24 hours");
        return Exit::BadInput;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
    let utc_offset_secs = (utc_offset_hours * 3600.0).round() as i32;
    let mut printer = Printer { out: BufWriter::new(io::stdout().lock()), form, seqs: [0; 3], counts: Default::default(), closed: false };
    let mut exit = Exit::Ok;
    for path in files {
        let result = open(path).and_then(|(file, head, size)| {
            if net::is_capture(&head) {
                Ok(None)
            } else {
                if head.is_empty() {
                    complain(&format!("{}: it is empty", path.display()));
                }
                let received = modified(path);
                lines(file, &Look { path, received, utc_offset_secs, format, size }, &mut printer).map(Some)
            }
        });
        match result {
            Ok(Some(())) => {}
            Ok(None) => match net::replay(path, &mut |class, event| printer.event(class, event)) {
                Ok(stats) => {
                    if let Some(defect) = stats.defect {
                        complain(&format!("{}: {defect}; what comes before it was read", path.display()));
                        exit = Exit::BadInput;
                    }
                }
                Err(error) => {
                    // It names the file itself.
                    let why = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
                    complain(&format!("{error}{why}"));
                    exit = Exit::BadInput;
                }
            },
            Err(error) => {
                cannot("read", path, &error);
                exit = Exit::BadInput;
            }
        }
        if printer.closed {
            break;
        }
    }
    printer.finish();
    exit
}

struct Printer<W: Write> {
    out: W,
    form: Form,
    seqs: [u64; 3],
    counts: std::collections::BTreeMap<String, u64>,
    /// The reader of our output went away.
    closed: bool,
}

impl<W: Write> Printer<W> {
    fn event(&mut self, class: Class, mut event: Event) {
        if let Some(seq) = self.seqs.get_mut(class as usize) {
            *seq += 1;
            event.id = EventId { agent: AgentId(0), epoch: Epoch(1), class, seq: *seq };
        }
        match self.form {
            Form::Jsonl => self.closed |= writeln!(self.out, "{}", event::ocsf_json(&event)).is_err(),
            Form::Count => *self.counts.entry(event.source.to_string()).or_default() += 1,
        }
    }

    fn finish(&mut self) {
        for (source, count) in &self.counts {
            let _ = writeln!(self.out, "{count:>10} {source}");
        }
        let _ = self.out.flush();
    }
}

/// The file, unpacked if it is gzipped, its first bytes (unpacked), and its size on disk.
fn open(path: &Path) -> io::Result<(Box<dyn BufRead>, Vec<u8>, u64)> {
    let plain = std::fs::File::open(path)?;
    let meta = plain.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::other("it is a folder; name files"));
    }
    let mut file = BufReader::with_capacity(64 * 1024, plain);
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))) } else { Box::new(file) };
    let head = reader.fill_buf()?.iter().take(64).copied().collect();
    Ok((reader, head, meta.len()))
}

fn modified(path: &Path) -> Timestamp {
    let since = std::fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(Timestamp::ZERO, |d| Timestamp::from_ns(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
}

struct Look<'a> {
    path: &'a Path,
    received: Timestamp,
    utc_offset_secs: i32,
    format: Option<&'a str>,
    size: u64,
}

fn lines<W: Write>(mut file: Box<dyn BufRead>, look: &Look<'_>, printer: &mut Printer<W>) -> io::Result<()> {
    let bar = (look.size >= LONG_BYTES && io::stderr().is_terminal()).then(|| {
        let style =
            ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(look.size).with_style(style).with_message(look.path.display().to_string())
    });
    let mut offset = 0u64;
    let mut line = Vec::new();
    let mut cut = 0u64;
    let mut reader = proto::log::Reader::new();
    loop {
        line.clear();
        let read = (&mut file).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let start = offset;
        offset += read as u64;
        if line.last() != Some(&b'\n') && read > LINE_BYTES_MAX {
            cut += 1;
            line.truncate(LINE_BYTES_MAX);
            offset += skip_line(&mut file)?;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            let given =
                proto::log::Line { bytes: text, received: look.received, utc_offset_secs: look.utc_offset_secs, format: look.format };
            let (class, mut event) = reader.read(&given);
            event.body.set(field::LOG_PATH, look.path.to_string_lossy());
            event.body.set(field::LOG_OFFSET, start);
            printer.event(class, event);
        }
        if let Some(bar) = &bar {
            bar.set_position(offset.min(look.size));
        }
        if printer.closed {
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if cut > 0 {
        complain(&format!("{}: {cut} lines longer than {LINE_BYTES_MAX} bytes, their heads were read", look.path.display()));
    }
    Ok(())
}

/// Reads past the end of the line, in one buffer; gives how many bytes that was.
fn skip_line(file: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let (n, done) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        file.consume(n);
        skipped += n as u64;
        if done {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(bytes: &[u8]) -> Vec<String> {
        let mut printer = Printer { out: Vec::new(), form: Form::Jsonl, seqs: [0; 3], counts: Default::default(), closed: false };
        let look =
            Look { path: Path::new("x.log"), received: Timestamp::from_secs(1_700_000_000), utc_offset_secs: 0, format: None, size: 0 };
        lines(Box::new(io::Cursor::new(bytes.to_vec())), &look, &mut printer).unwrap();
        String::from_utf8(printer.out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_line_is_one_event_with_its_offset_and_number() {
        let out = replayed(b"one\r\n\ntwo\n\xff\x00three");
        assert_eq!(out.len(), 3);
        assert!(out[1].contains("\"log.offset\":6") && out[1].contains("-2\""), "{}", out[1]);
    }

    #[test]
    fn a_failure_has_the_address_its_session_named_before() {
        let out = replayed(
            b"Nov 23 11:00:00 h sshd[7]: Connection from 192.0.2.9 port 4000 on 192.0.2.1 port 22\n\
              Nov 23 11:00:02 h sshd[7]: Disconnecting: Too many authentication failures for git [preauth]\n",
        );
        assert!(out[1].contains("192.0.2.9") && out[1].contains("4000"), "{}", out[1]);
    }

    #[test]
    fn a_line_of_100_mb_costs_one_line() {
        let mut bytes = vec![b'x'; 100 * 1024 * 1024];
        bytes.extend_from_slice(b"\nnext\n");
        let out = replayed(&bytes);
        assert_eq!(out.len(), 2);
        assert!(out[0].len() < 3 * LINE_BYTES_MAX && out[1].contains("next"));
    }
}
