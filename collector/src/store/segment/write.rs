//! Events into a Parquet file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field as ArrowField, Schema, TimeUnit};
use event::{Class, Event, Name, Value, field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::bloom::{self, Bloom};
use super::{
    ACTIVITY, AGENT, CATEGORY, CLASS_UID, COLUMNS, EPOCH, EXTRA, GROUP_ROWS, Group, Layout, Meta, OBSERVED_LAG, PRODUCT, SEQ, SERVICE,
    SEVERITY, TIME, TIME_REST, column_of,
};
use crate::store::codec::put_field;
use crate::store::events::day_of;

/// Units listed one by one in the manifest row of a segment; rows of further ones count under no unit's name.
pub(crate) const UNITS_MAX: usize = 4_096;

pub(crate) struct Written {
    pub(crate) meta: Meta,
    pub(crate) blooms: Vec<Bloom>,
}

/// Sorts events into the order of a segment.
pub(crate) fn sort(events: &mut [Arc<Event>]) {
    let host = |e: &Event| e.get(field::DEVICE_HOSTNAME).and_then(Value::as_str).map(str::to_owned);
    events.sort_by_cached_key(|e| (e.kind, host(e), e.id.agent, e.time, e.id));
}

/// Writes sorted events of one class to `path` and syncs the file.
pub(crate) fn write(path: &Path, class: Class, events: &[Arc<Event>], level: i32, tier: u8) -> io::Result<Written> {
    let used = used_columns(events);
    let schema = schema(&used);
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(&used, level))).map_err(io::Error::other)?;
    let mut groups = Vec::new();
    let mut blooms = Vec::new();
    let mut units: BTreeMap<String, (u64, i64, i64)> = BTreeMap::new();
    for part in events.chunks(GROUP_ROWS) {
        let (batch, group, bloom) = batch(&schema, &used, part, &mut units)?;
        writer.write(&batch).map_err(io::Error::other)?;
        writer.flush().map_err(io::Error::other)?;
        groups.push(group);
        blooms.push(bloom);
    }
    let file = writer.into_inner().map_err(io::Error::other)?;
    file.sync_all()?;
    let bytes = std::fs::read(path)?;
    let min = groups.iter().map(|g| g.min).min().unwrap_or_default();
    let meta = Meta {
        id: 0,
        file: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        class,
        day: day_of(min),
        min,
        max: groups.iter().map(|g| g.max).max().unwrap_or_default(),
        rows: events.len() as u64,
        bytes: bytes.len() as u64,
        hash: blake3::hash(&bytes).to_hex().to_string(),
        tier,
        hold: false,
        groups,
        units,
    };
    Ok(Written { meta, blooms })
}

/// True if the value is of the column's type.
fn fits(layout: Layout, value: &Value) -> bool {
    matches!(
        (layout, value),
        (Layout::Word | Layout::Text, Value::Text(_))
            | (Layout::Ip, Value::Ip(_))
            | (Layout::Int | Layout::Rising, Value::Int(_))
            | (Layout::Bool, Value::Bool(_))
    )
}

fn used_columns(events: &[Arc<Event>]) -> Vec<usize> {
    let mut used = 0u128;
    for event in events {
        for (name, value) in event.body.iter() {
            if let Name::Known(f) = name
                && let Some(at) = column_of(*f)
                && COLUMNS.get(at).is_some_and(|c| fits(c.1, value))
            {
                used |= 1 << at;
            }
        }
    }
    (0..COLUMNS.len()).filter(|at| used & (1 << at) != 0).collect()
}

fn word_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn schema(used: &[usize]) -> Arc<Schema> {
    let mut fields = vec![
        ArrowField::new(TIME, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        ArrowField::new(TIME_REST, DataType::Int32, false),
        ArrowField::new(OBSERVED_LAG, DataType::Int64, false),
        ArrowField::new(CLASS_UID, DataType::Int32, false),
        ArrowField::new(ACTIVITY, DataType::Int32, false),
        ArrowField::new(SEVERITY, DataType::Int32, false),
        ArrowField::new(PRODUCT, word_type(), true),
        ArrowField::new(CATEGORY, word_type(), true),
        ArrowField::new(SERVICE, word_type(), true),
        ArrowField::new(AGENT, DataType::Int64, false),
        ArrowField::new(EPOCH, DataType::Int64, false),
        ArrowField::new(SEQ, DataType::Int64, false),
    ];
    for (field, layout) in used.iter().filter_map(|at| COLUMNS.get(*at)) {
        let shape = match layout {
            Layout::Word | Layout::Ip => word_type(),
            Layout::Text => DataType::Utf8,
            Layout::Int | Layout::Rising => DataType::Int64,
            Layout::Bool => DataType::Boolean,
        };
        fields.push(ArrowField::new(field.name(), shape, true));
    }
    fields.push(ArrowField::new(EXTRA, DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

fn properties(used: &[usize], level: i32) -> WriterProperties {
    let mut p = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(32))
        .set_created_by("vedette".into());
    let rising = used.iter().filter_map(|at| COLUMNS.get(*at)).filter(|c| c.1 == Layout::Rising).map(|c| c.0.name());
    for name in [TIME, SEQ].into_iter().chain(rising) {
        // One path part: our names have dots, columns are not nested.
        let path = ColumnPath::new(vec![name.to_owned()]);
        p = p.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    p.build()
}

/// Rows of a data page: what a look-up of one row has to unpack.
const PAGE_ROWS: usize = 8_192;

enum Builder {
    Word(StringDictionaryBuilder<Int32Type>),
    Text(StringBuilder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
}

struct Column {
    builder: Builder,
    rows: usize,
}

impl Column {
    fn new(layout: Layout) -> Self {
        let builder = match layout {
            Layout::Word | Layout::Ip => Builder::Word(StringDictionaryBuilder::new()),
            Layout::Text => Builder::Text(StringBuilder::new()),
            Layout::Int | Layout::Rising => Builder::Int(Int64Builder::new()),
            Layout::Bool => Builder::Bool(BooleanBuilder::new()),
        };
        Self { builder, rows: 0 }
    }

    /// Nulls up to `row`.
    fn fill(&mut self, row: usize) {
        let missing = row.saturating_sub(self.rows);
        match &mut self.builder {
            Builder::Word(b) => (0..missing).for_each(|_| b.append_null()),
            Builder::Text(b) => (0..missing).for_each(|_| b.append_null()),
            Builder::Int(b) => b.append_nulls(missing),
            Builder::Bool(b) => b.append_nulls(missing),
        }
        self.rows += missing;
    }

    fn push(&mut self, row: usize, value: &Value, buffer: &mut String) {
        self.fill(row);
        match (&mut self.builder, value) {
            (Builder::Word(b), Value::Text(t)) => b.append_value(t),
            (Builder::Word(b), Value::Ip(ip)) => {
                buffer.clear();
                let _ = write!(buffer, "{ip}");
                b.append_value(&*buffer);
            }
            (Builder::Text(b), Value::Text(t)) => b.append_value(t),
            (Builder::Int(b), Value::Int(n)) => b.append_value(*n),
            (Builder::Bool(b), Value::Bool(v)) => b.append_value(*v),
            _ => return,
        }
        self.rows += 1;
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        match self.builder {
            Builder::Word(mut b) => Arc::new(b.finish()),
            Builder::Text(mut b) => Arc::new(b.finish()),
            Builder::Int(mut b) => Arc::new(b.finish()),
            Builder::Bool(mut b) => Arc::new(b.finish()),
        }
    }
}

fn batch(
    schema: &Arc<Schema>,
    used: &[usize],
    events: &[Arc<Event>],
    units: &mut BTreeMap<String, (u64, i64, i64)>,
) -> io::Result<(RecordBatch, Group, Bloom)> {
    let mut columns: Vec<Option<Column>> = (0..COLUMNS.len()).map(|_| None).collect();
    for &at in used {
        if let (Some(slot), Some((_, layout))) = (columns.get_mut(at), COLUMNS.get(at)) {
            *slot = Some(Column::new(*layout));
        }
    }
    let mut hashes = bloom::Builder::default();
    let mut group = Group { rows: events.len(), min: event::Timestamp::MAX, max: event::Timestamp::MIN, odd: 0, present: 0 };
    let mut extra = BinaryBuilder::new();
    let mut rest = Vec::new();
    let mut buffer = String::new();
    for (row, event) in events.iter().enumerate() {
        group.min = group.min.min(event.time);
        group.max = group.max.max(event.time);
        hashes.add(bloom::id_hash(event.id));
        rest.clear();
        let mut odd = false;
        for (name, value) in event.body.iter() {
            let Name::Known(f) = name else {
                put_field(name, value, &mut rest);
                continue;
            };
            if bloom::FIELDS.contains(f) {
                each_text(value, &mut buffer, &mut |text| hashes.add(bloom::value_hash(*f, text)));
            }
            match column_of(*f).and_then(|at| Some((at, COLUMNS.get(at)?.1, columns.get_mut(at)?.as_mut()))) {
                Some((at, layout, Some(column))) if fits(layout, value) => {
                    column.push(row, value, &mut buffer);
                    group.present |= 1 << at;
                }
                Some(_) => {
                    odd = true;
                    put_field(name, value, &mut rest);
                }
                None => put_field(name, value, &mut rest),
            }
        }
        group.odd += usize::from(odd);
        if rest.is_empty() {
            extra.append_null()
        } else {
            extra.append_value(&rest)
        }
        note_unit(units, event);
    }
    let ints = |f: fn(&Event) -> i64| -> ArrayRef {
        let mut b = Int64Builder::with_capacity(events.len());
        events.iter().for_each(|e| b.append_value(f(e)));
        Arc::new(b.finish())
    };
    let small = |f: fn(&Event) -> i32| -> ArrayRef {
        let mut b = Int32Builder::with_capacity(events.len());
        events.iter().for_each(|e| b.append_value(f(e)));
        Arc::new(b.finish())
    };
    let words = |f: fn(&Event) -> Option<&str>| -> ArrayRef {
        let mut b = StringDictionaryBuilder::<Int32Type>::new();
        events.iter().for_each(|e| b.append_option(f(e)));
        Arc::new(b.finish())
    };
    let times = TimestampMillisecondArray::from_iter_values(events.iter().map(|e| e.time.ms())).with_timezone("UTC");
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(times),
        small(|e| i32::try_from(e.time.ns().rem_euclid(1_000_000)).unwrap_or(0)),
        ints(|e| e.observed.since(e.time)),
        small(|e| i32::from(e.kind.class_uid())),
        small(|e| i32::from(e.activity)),
        small(|e| i32::from(e.severity as u8)),
        words(|e| e.source.product.as_deref()),
        words(|e| e.source.category.as_deref()),
        words(|e| e.source.service.as_deref()),
        ints(|e| e.id.agent.0.cast_signed()),
        ints(|e| e.id.epoch.0.cast_signed()),
        ints(|e| e.id.seq.cast_signed()),
    ];
    arrays.extend(columns.into_iter().flatten().map(|c| c.finish(events.len())));
    arrays.push(Arc::new(extra.finish()));
    let batch = RecordBatch::try_new(Arc::clone(schema), arrays).map_err(io::Error::other)?;
    Ok((batch, group, hashes.finish()))
}

/// The texts by which `Test::Eq` would find the value.
fn each_text(value: &Value, buffer: &mut String, each: &mut impl FnMut(&str)) {
    match value {
        Value::Text(t) => each(t),
        Value::Ip(ip) => {
            buffer.clear();
            let _ = write!(buffer, "{ip}");
            each(buffer);
        }
        Value::List(list) => list.iter().for_each(|v| each_text(v, buffer, each)),
        other => each(&other.to_text()),
    }
}

fn note_unit(units: &mut BTreeMap<String, (u64, i64, i64)>, event: &Event) {
    let unit = event.get(field::UNIT_ID).and_then(Value::as_str).unwrap_or("");
    let time = event.time.ns();
    if let Some((rows, min, max)) = units.get_mut(unit) {
        *rows += 1;
        *min = (*min).min(time);
        *max = (*max).max(time);
    } else if units.len() < UNITS_MAX {
        units.insert(unit.to_owned(), (1, time, time));
    }
}
