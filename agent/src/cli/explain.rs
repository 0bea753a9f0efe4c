//! `explain`: how log lines are understood, field by field, in their order: a line may be completed by earlier ones of its session. Or one flow of a
//! capture, packet by packet.

use comfy_table::{ContentArrangement, Table, presets};
use event::Event;
use proto::log::Reader;
use std::io::{BufRead, Read};
use std::path::Path;

use super::{Exit, complain, say};
use crate::clock;
use crate::sensor::net;

pub(super) fn run(line: Option<&str>, flow: Option<&str>, format: Option<&str>) -> Exit {
    if let Some(path) = line.map(Path::new).filter(|p| flow.is_some() || is_capture(p)) {
        return capture(path, flow);
    }
    let mut reader = Reader::new();
    match line {
        Some(line) => explain(&mut reader, line.as_bytes(), format),
        None => {
            for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
                explain(&mut reader, &line, format);
            }
        }
    }
    Exit::Ok
}

/// True if there is such a file and it is a capture; gzipped ones too.
fn is_capture(path: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    let mut head = Vec::new();
    if file.by_ref().take(4096).read_to_end(&mut head).is_err() {
        return false;
    }
    let mut unpacked = Vec::new();
    if head.starts_with(&[0x1f, 0x8b]) {
        // What is cut off behind the head is no matter.
        let _ = flate2::bufread::GzDecoder::new(head.as_slice()).take(64).read_to_end(&mut unpacked);
        return net::is_capture(&unpacked);
    }
    net::is_capture(&head)
}

fn capture(path: &Path, flow: Option<&str>) -> Exit {
    let mut print = |line: &str| say(line);
    let result = match flow {
        None => net::explain::list(path, &mut print).map(|()| true),
        Some(id) => net::explain::flow(path, id, &mut print),
    };
    match result {
        Ok(true) => Exit::Ok,
        Ok(false) => {
            let id = flow.unwrap_or_default();
            complain(&format!("{}: no flow '{id}'; `vedette-agent explain {}` lists them", path.display(), path.display()));
            Exit::BadInput
        }
        Err(error) => {
            let why = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
            complain(&format!("{error}{why}"));
            Exit::BadInput
        }
    }
}

fn explain(reader: &mut Reader, bytes: &[u8], format: Option<&str>) {
    let line = proto::log::Line { bytes, received: clock::now(), utc_offset_secs: 0, format };
    let (class, event) = reader.read(&line);
    say(&table(&event, class.name()).to_string());
}

fn table(event: &Event, class: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in [
        ("time", event.time.to_string()),
        ("class", format!("{} ({}), activity {}", event.kind.name(), event.kind.class_uid(), event.activity)),
        ("log source", event.source.to_string()),
        ("delivery", class.to_owned()),
    ] {
        table.add_row([name, &value]);
    }
    for (name, value) in event.body.iter() {
        let about = match name {
            event::Name::Known(field) => field.about(),
            event::Name::Other(_) => "",
        };
        table.add_row([name.as_str(), &value.to_text(), about]);
    }
    table
}
