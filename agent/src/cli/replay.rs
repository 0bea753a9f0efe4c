//! `replay`: captures and logs as the sensors would see them, one OCSF JSON object a line. The same input gives the same bytes: a line without
//! a year takes it from the file's time of modification, not from the clock.

use event::{AgentId, Class, Epoch, Event, EventId, Timestamp, field};
use indicatif::{ProgressBar, ProgressStyle};
use proto::net::Enabled;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use super::{Exit, cannot, complain};
use crate::sensor::net::{self, PipelineConfig};

/// Longer lines are cut, as the log sensor does.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Files above this size show how far they are, on a terminal.
const LONG_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// OCSF JSON, one event a line
    Jsonl,
    /// One line an event for people: time, log source, who spoke with whom, what was seen
    Table,
    /// Zeek's logs (conn, dns, http, ssl, ssh, modbus, dnp3) as JSON lines with Zeek's field names; `_path` says which log
    Zeek,
    /// Only how many events of which log source
    Count,
    /// Nothing: read everything, report only what is wrong with the files
    None,
}

/// What `replay` is asked for besides the files.
#[derive(clap::Args)]
pub(super) struct Ask {
    /// Form of the output
    #[arg(long, short, value_enum, default_value = "jsonl")]
    output: Form,
    /// Format of log files that do not say by their content what they are
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Hours east of UTC of the host that wrote the logs
    #[arg(long, value_name = "HOURS", default_value = "0", allow_hyphen_values = true)]
    utc_offset: f32,
    /// Write Zeek's logs into this folder, a file each (conn.log, dns.log, …), in JSON; files that are there stay
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    zeek: Option<std::path::PathBuf>,
    /// Of captures: flows alone, no protocols
    #[arg(long)]
    flows_only: bool,
    /// Of captures: flows remembered at once; more are pushed out, counted, and told as they go
    #[arg(long, value_name = "N", default_value_t = FLOWS_MAX, value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    flows_max: u32,
}

/// A file is read by somebody with time and memory, not beside a service.
const FLOWS_MAX: u32 = 1_000_000;

impl Ask {
    /// All records of a file are told: there is no collector here that a flood could bury.
    fn pipeline(&self) -> PipelineConfig {
        let zeek = self.output == Form::Zeek || self.zeek.is_some();
        let usual = if zeek { net::zeek::config() } else { PipelineConfig::default() };
        let mut config = PipelineConfig { records_per_second: u32::MAX, ..usual };
        config.flows.flows_max = self.flows_max as usize;
        // Nobody reads them.
        config.records = self.output != Form::None;
        if self.flows_only {
            config.protocols = Enabled::NONE;
            config.flows.stream_bytes = 0;
            (config.arp, config.link, config.facts) = (false, false, None);
        }
        config
    }
}

pub(super) fn run(files: &[std::path::PathBuf], ask: &Ask) -> Exit {
    let (form, format, utc_offset_hours) = (ask.output, ask.format.as_deref(), ask.utc_offset);
    if !(-24.0..=24.0).contains(&utc_offset_hours) {
        complain("--utc-offset: from -24 to 24 hours");
        return Exit::BadInput;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
    let utc_offset_secs = (utc_offset_hours * 3600.0).round() as i32;
    let logs = match ask.zeek.as_deref().map(Logs::new).transpose() {
        Ok(logs) => logs,
        Err(error) => {
            cannot("write into", ask.zeek.as_deref().unwrap_or(Path::new("")), &error);
            return Exit::BadInput;
        }
    };
    let form = if logs.is_some() { Form::None } else { form };
    let mut printer = Printer { logs, ..Printer::new(io::stdout().lock(), form) };
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
            Ok(None) => match capture(path, ask, &mut printer) {
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
    if let Err(error) = printer.finish() {
        complain(&error);
        exit = Exit::BadInput;
    }
    exit
}

/// One capture, with a bar where it is long.
fn capture<W: Write>(path: &Path, ask: &Ask, printer: &mut Printer<W>) -> Result<net::ReplayStats, capture::CaptureError> {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    let packed = path.extension().is_some_and(|e| e == "gz");
    let bar = if packed { None } else { bar(path, size) };
    let stats = net::replay_watched(path, ask.pipeline(), &mut |class, event| printer.event(class, event), &mut |offset| {
        if let Some(bar) = &bar {
            bar.set_position(offset.min(size));
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    stats
}

/// A bar for a long file, on a terminal.
fn bar(path: &Path, size: u64) -> Option<ProgressBar> {
    (size >= LONG_BYTES && io::stderr().is_terminal()).then(|| {
        let style =
            ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(size).with_style(style).with_message(path.display().to_string())
    })
}

struct Printer<W: Write> {
    out: W,
    form: Form,
    /// Lines that are not written yet.
    text: Vec<u8>,
    seqs: [u64; 3],
    counts: std::collections::BTreeMap<String, u64>,
    zeek: net::zeek::Zeek,
    logs: Option<Logs>,
    /// The reader of our output went away.
    closed: bool,
}

/// Zeek's logs in a folder. Nothing that is there is written over.
struct Logs {
    folder: std::path::PathBuf,
    files: std::collections::BTreeMap<&'static str, BufWriter<std::fs::File>>,
    trouble: Option<String>,
}

impl Logs {
    fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), files: Default::default(), trouble: None })
    }

    fn line(&mut self, log: &'static str, line: &serde_json::Value) {
        if self.trouble.is_some() {
            return;
        }
        let path = self.folder.join(format!("{log}.log"));
        let written = match self.files.entry(log) {
            std::collections::btree_map::Entry::Occupied(held) => writeln!(held.into_mut(), "{line}"),
            std::collections::btree_map::Entry::Vacant(place) => {
                std::fs::File::create_new(&path).and_then(|file| writeln!(place.insert(BufWriter::new(file)), "{line}"))
            }
        };
        self.trouble = written.err().map(|error| format!("cannot write {}: {error}; name an empty folder", path.display()));
    }
}

/// So much is written at once.
const WRITE_BYTES: usize = 64 * 1024;

impl<W: Write> Printer<W> {
    fn new(out: W, form: Form) -> Self {
        Self {
            out,
            form,
            text: Vec::new(),
            seqs: [0; 3],
            counts: Default::default(),
            zeek: net::zeek::Zeek::default(),
            logs: None,
            closed: false,
        }
    }

    fn event(&mut self, class: Class, mut event: Event) {
        if let Some(logs) = &mut self.logs {
            return self.zeek.event(&event, &mut |log, line| logs.line(log, &line));
        }
        if let Some(seq) = self.seqs.get_mut(class as usize) {
            *seq += 1;
            event.id = EventId { agent: AgentId(0), epoch: Epoch(1), class, seq: *seq };
        }
        match self.form {
            Form::Jsonl => event::write_ocsf_json(&event, &mut self.text),
            Form::Table => write_row(&event, &mut self.text),
            Form::Zeek => {
                let text = &mut self.text;
                self.zeek.event(&event, &mut |log, line| zeek_line(log, line, text));
                if text.len() >= WRITE_BYTES {
                    self.write();
                }
            }
            Form::Count => *self.counts.entry(event.source.to_string()).or_default() += 1,
            Form::None => {}
        }
        if matches!(self.form, Form::Jsonl | Form::Table) {
            self.text.push(b'\n');
            if self.text.len() >= WRITE_BYTES {
                self.write();
            }
        }
    }

    fn write(&mut self) {
        self.closed |= self.out.write_all(&self.text).is_err();
        self.text.clear();
    }

    fn finish(&mut self) -> Result<(), String> {
        if let Some(logs) = &mut self.logs {
            self.zeek.finish(&mut |log, line| logs.line(log, &line));
            for (log, file) in &mut logs.files {
                if let Err(error) = file.flush() {
                    logs.trouble.get_or_insert_with(|| format!("cannot write {log}.log: {error}"));
                }
            }
            return logs.trouble.take().map_or(Ok(()), Err);
        }
        if self.form == Form::Zeek {
            let text = &mut self.text;
            self.zeek.finish(&mut |log, line| zeek_line(log, line, text));
        }
        for (source, count) in &self.counts {
            let _ = writeln!(self.text, "{count:>10} {source}");
        }
        self.write();
        let _ = self.out.flush();
        Ok(())
    }
}

/// A line of one of Zeek's logs among those of others, as Zeek's own JSON streaming writes them.
fn zeek_line(log: &str, mut line: serde_json::Value, out: &mut Vec<u8>) {
    line["_path"] = log.into();
    let _ = writeln!(out, "{line}");
}

/// One event as a person reads it: what every event has in columns, the rest as `name=value`.
fn write_row(event: &Event, out: &mut Vec<u8>) {
    let source = &event.source;
    let word = source.service.as_deref().or(source.category.as_deref()).or(source.product.as_deref()).unwrap_or("*");
    let end = |ip, port| match (event.get(ip), event.get(port)) {
        (Some(ip), Some(port)) => format!("{}:{}", ip.to_text(), port.to_text()),
        (Some(ip), None) => ip.to_text().into_owned(),
        _ => "-".to_owned(),
    };
    let (from, to) = (end(field::SRC_IP, field::SRC_PORT), end(field::DST_IP, field::DST_PORT));
    let _ = write!(out, "{} {word:<12} {from:<21} > {to:<21}", event.time);
    for (name, value) in event.body.iter() {
        let shown = match name {
            event::Name::Known(f) => !COLUMNS.contains(f),
            event::Name::Other(_) => true,
        };
        if shown {
            let name = name.as_str();
            let short = name.rsplit('.').next().unwrap_or(name);
            let text = value.to_text();
            // A line of the table stays a line, whatever a packet says.
            let plain: String = text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            let _ = write!(out, " {short}={plain}");
        }
    }
}

/// Fields that `write_row` has in columns, or that say nothing to a person who reads one file.
const COLUMNS: &[event::Field] = &[
    field::SRC_IP,
    field::SRC_PORT,
    field::DST_IP,
    field::DST_PORT,
    field::COMMUNITY_ID,
    field::FLOW_UID,
    field::PROTOCOL_NUM,
    field::IP_VERSION,
    field::START_TIME,
    field::END_TIME,
    field::SRC_MAC,
    field::DST_MAC,
];

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
    let bar = bar(look.path, look.size);
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
        let mut printer = Printer::new(Vec::new(), Form::Jsonl);
        let look =
            Look { path: Path::new("x.log"), received: Timestamp::from_secs(1_700_000_000), utc_offset_secs: 0, format: None, size: 0 };
        lines(Box::new(io::Cursor::new(bytes.to_vec())), &look, &mut printer).unwrap();
        printer.finish().unwrap();
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
    fn a_row_stays_a_row_whatever_was_said() {
        let event = Event::new(Timestamp::from_secs(1), event::Kind::DnsActivity, 1, event::LogSource::new("", "dns", "dns"))
            .with(field::SRC_IP, event::Value::Ip("10.0.0.1".parse().unwrap()))
            .with(field::SRC_PORT, 53u16)
            .with(field::DNS_QUERY, "a\nb\u{1b}[2J");
        let mut out = Vec::new();
        write_row(&event, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "1970-01-01T00:00:01Z dns          10.0.0.1:53           > -                     hostname=a\u{fffd}b\u{fffd}[2J"
        );
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
