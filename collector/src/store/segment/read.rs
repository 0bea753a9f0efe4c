//! Events and counts out of a Parquet file.
//!
//! A search goes twice over a row group: first only the columns that decide and the ids, to know which rows are wanted at all (newest
//! first, a page only), then those rows in full. Where columns alone cannot decide (free text, fields without a column, odd groups) the
//! rows that may fit are read in full and asked one by one.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use event::{Class, Event, EventId, Fields, Kind, LogSource, Severity, Timestamp, Value};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;

use super::eval::{self, Sieve};
use super::{
    ACTIVITY, AGENT, CATEGORY, CLASS_UID, COLUMNS, EPOCH, EXTRA, GROUP_ROWS, Layout, Meta, OBSERVED_LAG, PRODUCT, SEQ, SERVICE, SEVERITY,
    TIME, TIME_REST,
};
use crate::store::codec;
use crate::store::filter::{Filter, Header, Key};
use crate::store::scan::{Groups, Newest};
use crate::store::{CountBy, Query, Scope};

pub(crate) type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// A segment file with its footer.
pub(crate) struct Opened {
    file: File,
    footer: ArrowReaderMetadata,
    class: Class,
}

/// Reads the footer; to be kept, it is dearer than a small search.
pub(crate) fn footer(path: &Path) -> Result<ArrowReaderMetadata, ReadError> {
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    let file = File::open(path)?;
    guarded(|| Ok(ArrowReaderMetadata::load(&file, options)?))
}

/// Runs what reads a file's bytes. The reader of Parquet asserts on some footers and pages that a disk has changed; such a file is an error
/// here like any other that cannot be read, and takes no thread with it.
fn guarded<T>(read: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|_| Err("the file is damaged: its reader gave up".into()))
}

impl Opened {
    pub(crate) fn new(path: &Path, footer: ArrowReaderMetadata, class: Class) -> Result<Self, ReadError> {
        Ok(Self { file: File::open(path)?, footer, class })
    }

    fn builder(&self, group: usize) -> Result<ParquetRecordBatchReaderBuilder<File>, ReadError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.footer.clone());
        Ok(builder.with_row_groups(vec![group]).with_batch_size(GROUP_ROWS))
    }

    fn mask(&self, names: &[&str]) -> ProjectionMask {
        let schema = self.footer.parquet_schema();
        let at = schema.columns().iter().enumerate().filter(|(_, c)| names.contains(&c.name())).map(|(at, _)| at);
        ProjectionMask::leaves(schema, at)
    }

    /// Rows of a group that fit, with time and id.
    fn rows(&self, group: usize, sieve: &Sieve) -> Result<Vec<(usize, Timestamp, EventId)>, ReadError> {
        let mut builder = self.builder(group)?.with_projection(self.mask(&[TIME, TIME_REST, AGENT, EPOCH, SEQ]));
        let chosen: Arc<Mutex<(usize, Vec<usize>)>> = Arc::default();
        if !sieve.is_open() {
            let (sieve, chosen) = (sieve.clone(), Arc::clone(&chosen));
            let predicate = ArrowPredicateFn::new(self.mask(&sieve.columns()), move |batch: RecordBatch| {
                let mask = sieve.mask(&batch);
                let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
                let base = chosen.0;
                chosen.1.extend(mask.set_indices().map(|at| base + at));
                chosen.0 += batch.num_rows();
                Ok(BooleanArray::new(mask, None))
            });
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        let mut out = Vec::new();
        for batch in builder.build()? {
            let batch = batch?;
            let times = eval::times(&batch).ok_or("no time column")?;
            let ids = eval::ids(&batch, self.class).ok_or("no id columns")?;
            let base = out.len();
            out.extend(times.into_iter().zip(ids).enumerate().map(|(n, (t, id))| (base + n, t, id)));
        }
        if !sieve.is_open() {
            let chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
            if chosen.1.len() != out.len() {
                return Err("row filter and rows do not agree".into());
            }
            out.iter_mut().zip(&chosen.1).for_each(|(row, at)| row.0 = *at);
        }
        Ok(out)
    }

    /// Whole events of some rows of a group, rows rising.
    fn fetch(&self, group: usize, rows: &[usize], total: usize) -> Result<Vec<Event>, ReadError> {
        let ranges = rows.iter().map(|r| *r..*r + 1);
        let builder = self.builder(group)?.with_row_selection(RowSelection::from_consecutive_ranges(ranges, total));
        let mut out = Vec::with_capacity(rows.len());
        for batch in builder.build()? {
            decode(&batch?, self.class, &mut out)?;
        }
        Ok(out)
    }

    /// Whole events that pass the sieve.
    fn decode_where(&self, group: usize, sieve: Sieve) -> Result<Vec<Event>, ReadError> {
        let mut builder = self.builder(group)?;
        if !sieve.is_open() {
            let predicate = ArrowPredicateFn::new(self.mask(&sieve.columns()), move |batch: RecordBatch| {
                Ok(BooleanArray::new(sieve.mask(&batch), None))
            });
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        let mut out = Vec::new();
        for batch in builder.build()? {
            decode(&batch?, self.class, &mut out)?;
        }
        Ok(out)
    }

    /// All events of a group.
    pub(crate) fn all(&self, group: usize) -> Result<Vec<Event>, ReadError> {
        guarded(|| {
            let mut out = Vec::new();
            for batch in self.builder(group)?.build()? {
                decode(&batch?, self.class, &mut out)?;
            }
            Ok(out)
        })
    }

    /// Brings the newest fitting events of some groups.
    pub(crate) fn search(&self, meta: &Meta, groups: &[usize], scope: &Scope, query: &Query, newest: &mut Newest) -> Result<(), ReadError> {
        guarded(|| self.look(meta, groups, scope, query, newest))
    }

    fn look(&self, meta: &Meta, groups: &[usize], scope: &Scope, query: &Query, newest: &mut Newest) -> Result<(), ReadError> {
        let exact = eval::columns(&query.filter, &mut Vec::new()).is_some();
        let mut wanted: Vec<(Timestamp, EventId, usize, usize)> = Vec::new();
        for &at in groups {
            let Some(group) = meta.groups.get(at) else { continue };
            if !exact || group.odd > 0 {
                // Odd values hide from columns, the unit's included: only the time can rule out here.
                let (filter, narrowed) = if group.odd > 0 { (Filter::All, &Scope::CITY) } else { (eval::decidable(&query.filter), scope) };
                for event in self.decode_where(at, Sieve::new(filter, self.class, group, narrowed, query))? {
                    if query.matches(&event) && scope.allows_event(&event) {
                        newest.push(Arc::new(event));
                    }
                }
                continue;
            }
            let sieve = Sieve::new(query.filter.clone(), self.class, group, scope, query);
            for (row, time, id) in self.rows(at, &sieve)? {
                if query.cursor.is_some_and(|c| !c.admits(time, id)) {
                    continue;
                }
                if newest.wants(time, id) { wanted.push((time, id, at, row)) } else { newest.passed_over() }
            }
            wanted.sort_unstable_by(|a, b| b.cmp(a));
            if wanted.len() > newest.limit() {
                wanted.truncate(newest.limit());
                newest.passed_over();
            }
        }
        let mut by_group: HashMap<usize, Vec<usize>> = HashMap::new();
        for (_, _, group, row) in wanted {
            by_group.entry(group).or_default().push(row);
        }
        for (group, mut rows) in by_group {
            rows.sort_unstable();
            let total = meta.groups.get(group).map_or(0, |g| g.rows);
            for event in self.fetch(group, &rows, total)? {
                newest.push(Arc::new(event));
            }
        }
        Ok(())
    }

    /// Counts the fitting events of some groups.
    pub(crate) fn count(
        &self,
        meta: &Meta,
        groups: &[usize],
        scope: &Scope,
        query: &Query,
        by: &CountBy,
        out: &mut Groups,
    ) -> Result<(), ReadError> {
        guarded(|| self.tally(meta, groups, scope, (query, by), out))
    }

    fn tally(
        &self,
        meta: &Meta,
        groups: &[usize],
        scope: &Scope,
        (query, by): (&Query, &CountBy),
        out: &mut Groups,
    ) -> Result<(), ReadError> {
        let simple = by.keys.len() <= KEYS_PACKED && by.keys.iter().all(|k| eval::key_column(k).is_some());
        let exact = simple && eval::columns(&query.filter, &mut Vec::new()).is_some();
        for &at in groups {
            let Some(group) = meta.groups.get(at) else { continue };
            if !exact || group.odd > 0 {
                let (filter, narrowed) = if group.odd > 0 { (Filter::All, &Scope::CITY) } else { (eval::decidable(&query.filter), scope) };
                for event in self.decode_where(at, Sieve::new(filter, self.class, group, narrowed, query))? {
                    let fits = event.time >= query.from && event.time < query.to && query.filter.matches(&event);
                    if fits && scope.allows_event(&event) {
                        out.add_event(&event);
                    }
                }
                continue;
            }
            let sieve = Sieve::new(query.filter.clone(), self.class, group, scope, query);
            if sieve.is_open() && by.keys.is_empty() && by.bucket_ns.is_none() {
                out.add(0, Vec::new(), group.rows as u64);
                continue;
            }
            let mut names = sieve.columns();
            names.extend(by.keys.iter().filter_map(|k| eval::key_column(k).flatten()));
            if by.bucket_ns.is_some() {
                names.extend([TIME, TIME_REST]);
            }
            if self.mask(&names) == self.mask(&[]) {
                names.push(TIME);
            }
            for batch in self.builder(at)?.with_projection(self.mask(&names)).build()? {
                count_batch(&batch?, &sieve, by, self.class, out);
            }
        }
        Ok(())
    }
}

/// Keys whose codes fit into one `u128`.
const KEYS_PACKED: usize = 4;

fn count_batch(batch: &RecordBatch, sieve: &Sieve, by: &CountBy, class: Class, out: &mut Groups) {
    let mask = sieve.mask(batch);
    let codes: Vec<Codes> = by.keys.iter().map(|k| Codes::of(k, batch, class)).collect();
    let times = if by.bucket_ns.is_some() { eval::times(batch).unwrap_or_default() } else { Vec::new() };
    let mut counts: HashMap<(i64, u128), u64> = HashMap::new();
    for row in mask.set_indices() {
        let bucket = times.get(row).map_or(0, |t| out.bucket(*t));
        let code = codes.iter().fold(0u128, |all, c| all << 32 | u128::from(c.rows.get(row).copied().unwrap_or(0)));
        *counts.entry((bucket, code)).or_default() += 1;
    }
    for ((bucket, mut code), count) in counts {
        let mut values: Vec<Option<String>> = Vec::with_capacity(codes.len());
        for c in codes.iter().rev() {
            let at = (code & u128::from(u32::MAX)) as usize;
            values.push(at.checked_sub(1).and_then(|at| c.words.get(at).cloned()));
            code >>= 32;
        }
        values.reverse();
        out.add(bucket, values, count);
    }
}

/// A column as small numbers: 0 none, else 1 + index into words.
struct Codes {
    rows: Vec<u32>,
    words: Vec<String>,
}

impl Codes {
    fn of(key: &Key, batch: &RecordBatch, class: Class) -> Self {
        let rows = batch.num_rows();
        let name = match key {
            Key::Header(Header::Lane) => return Self { rows: vec![1; rows], words: vec![class.name().to_owned()] },
            key => eval::key_column(key).flatten().unwrap_or(""),
        };
        let Some(column) = batch.column_by_name(name) else { return Self { rows: vec![0; rows], words: Vec::new() } };
        if let Some((keys, words)) = eval::dictionary(column) {
            let code = |row: usize| if keys.is_valid(row) { keys.keys().values().get(row).map_or(0, |k| k.cast_unsigned() + 1) } else { 0 };
            return Self { rows: (0..rows).map(code).collect(), words: words.iter().map(|w| w.unwrap_or("").to_owned()).collect() };
        }
        if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
            return Self::interned(texts.iter().map(|t| t.map(str::to_owned)));
        }
        if let Some(flags) = column.as_any().downcast_ref::<BooleanArray>() {
            return Self::interned(flags.iter().map(|b| b.map(|b| if b { "true" } else { "false" }.to_owned())));
        }
        let numbers: Vec<Option<i64>> = match column.as_any().downcast_ref::<Int32Array>() {
            Some(small) => small.iter().map(|n| n.map(i64::from)).collect(),
            None if column.as_any().is::<Int64Array>() => column.as_primitive::<Int64Type>().iter().collect(),
            None => vec![None; rows],
        };
        let text = |n: i64| match key {
            Key::Header(Header::ClassName) => {
                u16::try_from(n).ok().and_then(Kind::from_class_uid).map_or_else(String::new, |k| k.name().to_owned())
            }
            Key::Header(Header::Agent) => event::AgentId(n.cast_unsigned()).to_string(),
            _ => n.to_string(),
        };
        let mut at: HashMap<i64, u32> = HashMap::new();
        let mut words = Vec::new();
        let rows = numbers
            .into_iter()
            .map(|n| {
                n.map_or(0, |n| {
                    *at.entry(n).or_insert_with(|| {
                        words.push(text(n));
                        u32::try_from(words.len()).unwrap_or(0)
                    })
                })
            })
            .collect();
        Self { rows, words }
    }

    fn interned(texts: impl Iterator<Item = Option<String>>) -> Self {
        let mut at: HashMap<String, u32> = HashMap::new();
        let mut words = Vec::new();
        let rows = texts
            .map(|t| {
                t.map_or(0, |t| {
                    at.get(&t).copied().unwrap_or_else(|| {
                        words.push(t.clone());
                        let code = u32::try_from(words.len()).unwrap_or(0);
                        at.insert(t, code);
                        code
                    })
                })
            })
            .collect();
        Self { rows, words }
    }
}

enum Source<'a> {
    Word(&'a arrow_array::DictionaryArray<arrow_array::types::Int32Type>, &'a StringArray),
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Bool(&'a BooleanArray),
}

impl<'a> Source<'a> {
    fn of(column: &'a ArrayRef) -> Option<Self> {
        if let Some((keys, words)) = eval::dictionary(column) {
            return Some(Self::Word(keys, words));
        }
        let any = column.as_any();
        any.downcast_ref::<StringArray>()
            .map(Self::Text)
            .or_else(|| any.downcast_ref::<Int64Array>().map(Self::Int))
            .or_else(|| any.downcast_ref::<BooleanArray>().map(Self::Bool))
    }

    fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Word(keys, words) if keys.is_valid(row) => {
                let key = usize::try_from(*keys.keys().values().get(row)?).ok()?;
                (key < words.len()).then(|| words.value(key))
            }
            Self::Text(texts) if texts.is_valid(row) => Some(texts.value(row)),
            _ => None,
        }
    }

    fn value(&self, row: usize, layout: Layout) -> Option<Value> {
        match (self, layout) {
            (Self::Word(..), Layout::Ip) => self.text(row)?.parse().ok().map(Value::Ip),
            (Self::Word(..) | Self::Text(_), _) => self.text(row).map(Value::text),
            (Self::Int(n), _) => n.is_valid(row).then(|| Value::Int(n.value(row))),
            (Self::Bool(b), _) => b.is_valid(row).then(|| Value::Bool(b.value(row))),
        }
    }
}

/// Rows of a batch with all columns as events; columns first, then the rest.
fn decode(batch: &RecordBatch, class: Class, out: &mut Vec<Event>) -> Result<(), ReadError> {
    let times = eval::times(batch).ok_or("no time column")?;
    let ids = eval::ids(batch, class).ok_or("no id columns")?;
    let lag = batch.column_by_name(OBSERVED_LAG).and_then(|c| c.as_any().downcast_ref::<Int64Array>()).ok_or("no observed_lag column")?;
    let small = |name: &str| batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<Int32Array>());
    let (kinds, activities, severities) = (
        small(CLASS_UID).ok_or("no class_uid column")?,
        small(ACTIVITY).ok_or("no activity_id column")?,
        small(SEVERITY).ok_or("no severity_id column")?,
    );
    let extra = batch.column_by_name(EXTRA).and_then(|c| c.as_any().downcast_ref::<BinaryArray>()).ok_or("no extra column")?;
    let sources: Vec<Option<Source>> = [PRODUCT, CATEGORY, SERVICE].map(|n| batch.column_by_name(n).and_then(Source::of)).into();
    let columns: Vec<_> =
        COLUMNS.iter().filter_map(|(f, layout)| Some((*f, *layout, Source::of(batch.column_by_name(f.name())?)?))).collect();
    for (row, (time, id)) in times.into_iter().zip(ids).enumerate() {
        let kind = u16::try_from(kinds.value(row)).ok().and_then(Kind::from_class_uid).ok_or("unknown class_uid")?;
        let word = |at: usize| sources.get(at).and_then(Option::as_ref).and_then(|s| s.text(row));
        let mut body = Fields::new();
        for (field, layout, source) in &columns {
            body.set_some(*field, source.value(row, *layout));
        }
        if extra.is_valid(row) {
            codec::decode_fields(extra.value(row), &mut body)?;
        }
        out.push(Event {
            id,
            time,
            observed: time.plus_ns(lag.value(row)),
            kind,
            activity: u8::try_from(activities.value(row)).unwrap_or(0),
            severity: u8::try_from(severities.value(row)).ok().and_then(Severity::from_u8).unwrap_or_default(),
            source: LogSource::owned(word(0), word(1), word(2)),
            body,
        });
    }
    Ok(())
}
