//! `explain`: how log lines are understood, field by field, in their order: a line may be completed by earlier ones of its session.

use comfy_table::{ContentArrangement, Table, presets};
use event::Event;
use proto::log::Reader;
use std::io::BufRead;

use super::{Exit, say};
use crate::clock;

pub(super) fn run(line: Option<&str>, format: Option<&str>) -> Exit {
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
