//! A filter over the columns of a batch: the same answer as `Filter::matches` on each event, for the rows of groups that are not odd.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use event::{AgentId, Class, EventId, Kind, Name, Timestamp, field};

use super::bloom::{self, Bloom};
use super::{ACTIVITY, AGENT, CATEGORY, CLASS_UID, EPOCH, Group, PRODUCT, SEQ, SERVICE, SEVERITY, TIME, TIME_REST, column_of};
use crate::store::filter::{Filter, Header, Key, Test};
use crate::store::{Query, Scope};

/// Names of the columns that decide the filter; `None` where columns alone cannot.
pub(crate) fn columns(filter: &Filter, out: &mut Vec<&'static str>) -> Option<()> {
    match filter {
        Filter::All => {}
        Filter::And(list) | Filter::Or(list) => {
            for f in list {
                columns(f, out)?;
            }
        }
        Filter::Not(f) => columns(f, out)?,
        Filter::Text(_) => return None,
        Filter::Ids(_) => out.extend([AGENT, EPOCH, SEQ]),
        Filter::Is(key, _) => out.extend(key_column(key)?),
    }
    Some(())
}

/// The column of a key: `None` if it has none, `Some(None)` if the file as a whole says it.
#[expect(clippy::option_option, reason = "no column at all is another thing than no column needed")]
pub(crate) fn key_column(key: &Key) -> Option<Option<&'static str>> {
    match key {
        Key::Body(Name::Known(f)) => column_of(*f).map(|_| Some(f.name())),
        Key::Body(Name::Other(_)) => None,
        Key::Header(h) => Some(match h {
            Header::ClassName | Header::ClassUid => Some(CLASS_UID),
            Header::Activity => Some(ACTIVITY),
            Header::Severity => Some(SEVERITY),
            Header::Product => Some(PRODUCT),
            Header::Category => Some(CATEGORY),
            Header::Service => Some(SERVICE),
            Header::Agent => Some(AGENT),
            Header::Lane => None,
        }),
    }
}

/// The part of the filter that columns decide: what it leaves out must be checked on the event.
pub(crate) fn decidable(filter: &Filter) -> Filter {
    match filter {
        Filter::And(list) => list.iter().filter(|f| columns(f, &mut Vec::new()).is_some()).fold(Filter::All, |all, f| all.and(f.clone())),
        f if columns(f, &mut Vec::new()).is_some() => f.clone(),
        _ => Filter::All,
    }
}

/// False: surely no row of the group fits, by what the manifest knows of it.
pub(crate) fn may_match(filter: &Filter, group: &Group, bloom: &dyn Fn() -> Option<std::sync::Arc<Bloom>>) -> bool {
    match filter {
        Filter::And(list) => list.iter().all(|f| may_match(f, group, bloom)),
        Filter::Or(list) => list.iter().any(|f| may_match(f, group, bloom)),
        Filter::Ids(ids) => bloom().is_none_or(|b| ids.iter().any(|id| b.may_hold(bloom::id_hash(*id)))),
        Filter::Is(Key::Body(Name::Known(f)), test) => {
            let absent = group.odd == 0 && column_of(*f).is_some_and(|at| group.present & (1 << at) == 0);
            if absent {
                return false;
            }
            if !bloom::FIELDS.contains(f) {
                return true;
            }
            match test {
                Test::Eq(text) => bloom().is_none_or(|b| b.may_hold(bloom::value_hash(*f, text))),
                Test::In(set) => bloom().is_none_or(|b| set.iter().any(|t| b.may_hold(bloom::value_hash(*f, t)))),
                _ => true,
            }
        }
        _ => true,
    }
}

/// Rows of the batch that fit; all columns named by `columns` that the file has must be in it.
pub(crate) fn eval(filter: &Filter, batch: &RecordBatch, class: Class) -> BooleanBuffer {
    let rows = batch.num_rows();
    match filter {
        Filter::All => BooleanBuffer::new_set(rows),
        Filter::And(list) => list.iter().fold(BooleanBuffer::new_set(rows), |mask, f| &mask & &eval(f, batch, class)),
        Filter::Or(list) => list.iter().fold(BooleanBuffer::new_unset(rows), |mask, f| &mask | &eval(f, batch, class)),
        Filter::Not(f) => !&eval(f, batch, class),
        Filter::Text(_) => BooleanBuffer::new_set(rows),
        Filter::Ids(wanted) => {
            let of_class = wanted.iter().any(|id| id.class == class);
            let held = if of_class { ids(batch, class).unwrap_or_default() } else { Vec::new() };
            BooleanBuffer::collect_bool(rows, |row| held.get(row).is_some_and(|id| wanted.binary_search(id).is_ok()))
        }
        Filter::Is(Key::Header(h), test) => header(*h, test, batch, class),
        Filter::Is(key @ Key::Body(_), test) => match batch.column_by_name(key.name()) {
            Some(column) => body(column, test),
            None => BooleanBuffer::new_unset(rows),
        },
    }
}

fn header(header: Header, test: &Test, batch: &RecordBatch, class: Class) -> BooleanBuffer {
    let rows = batch.num_rows();
    let by_int = |name: &str, text: &dyn Fn(i64) -> Option<bool>| {
        let mut last: Option<(i64, bool)> = None;
        ints(batch, name, |n| match last {
            Some((m, fits)) if m == n => fits,
            _ => {
                let fits = text(n).unwrap_or(false);
                last = Some((n, fits));
                fits
            }
        })
    };
    match header {
        Header::Lane => {
            if test.on_text(class.name()) {
                BooleanBuffer::new_set(rows)
            } else {
                BooleanBuffer::new_unset(rows)
            }
        }
        Header::ClassName => by_int(CLASS_UID, &|n| Some(test.on_text(Kind::from_class_uid(u16::try_from(n).ok()?)?.name()))),
        Header::ClassUid => by_int(CLASS_UID, &|n| Some(test.on_int(n))),
        Header::Activity => by_int(ACTIVITY, &|n| Some(test.on_int(n))),
        Header::Severity => by_int(SEVERITY, &|n| Some(test.on_int(n))),
        Header::Agent => by_int(AGENT, &|n| Some(test.on_text(&AgentId(n.cast_unsigned()).to_string()))),
        Header::Product => batch.column_by_name(PRODUCT).map_or_else(|| BooleanBuffer::new_unset(rows), |c| body(c, test)),
        Header::Category => batch.column_by_name(CATEGORY).map_or_else(|| BooleanBuffer::new_unset(rows), |c| body(c, test)),
        Header::Service => batch.column_by_name(SERVICE).map_or_else(|| BooleanBuffer::new_unset(rows), |c| body(c, test)),
    }
}

fn body(column: &ArrayRef, test: &Test) -> BooleanBuffer {
    let rows = column.len();
    if matches!(test, Test::Exists) {
        return column.nulls().map_or_else(|| BooleanBuffer::new_set(rows), |n| n.inner().clone());
    }
    if let Some((keys, words)) = dictionary(column) {
        let fits: Vec<bool> = words.iter().map(|w| w.is_some_and(|w| test.on_text(w))).collect();
        return BooleanBuffer::collect_bool(rows, |row| {
            keys.is_valid(row) && keys.keys().values().get(row).and_then(|k| fits.get(usize::try_from(*k).ok()?)).copied().unwrap_or(false)
        });
    }
    if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
        return BooleanBuffer::collect_bool(rows, |row| texts.is_valid(row) && test.on_text(texts.value(row)));
    }
    if let Some(numbers) = column.as_any().downcast_ref::<Int64Array>() {
        let test = IntTest::of(test);
        return BooleanBuffer::collect_bool(rows, |row| numbers.is_valid(row) && test.fits(numbers.value(row)));
    }
    if let Some(flags) = column.as_any().downcast_ref::<BooleanArray>() {
        return BooleanBuffer::collect_bool(rows, |row| {
            flags.is_valid(row) && test.on_text(if flags.value(row) { "true" } else { "false" })
        });
    }
    BooleanBuffer::new_unset(rows)
}

/// A test made ready for many integers.
enum IntTest<'a> {
    AnyOf(std::collections::HashSet<i64>),
    Each(&'a Test),
}

impl<'a> IntTest<'a> {
    fn of(test: &'a Test) -> Self {
        // Only the form in which an integer is written can be equal to it: not "007".
        let number = |t: &String| t.parse::<i64>().ok().filter(|n| n.to_string() == *t);
        match test {
            Test::Eq(text) => Self::AnyOf(number(text).into_iter().collect()),
            Test::In(set) => Self::AnyOf(set.iter().filter_map(number).collect()),
            other => Self::Each(other),
        }
    }
    fn fits(&self, n: i64) -> bool {
        match self {
            Self::AnyOf(set) => set.contains(&n),
            Self::Each(test) => test.on_int(n),
        }
    }
}

/// A dictionary column: the rows' keys, and the words.
pub(crate) fn dictionary(column: &ArrayRef) -> Option<(&DictionaryArray<Int32Type>, &StringArray)> {
    let keys = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>()?;
    Some((keys, keys.values().as_any().downcast_ref::<StringArray>()?))
}

fn ints(batch: &RecordBatch, name: &str, mut fits: impl FnMut(i64) -> bool) -> BooleanBuffer {
    let rows = batch.num_rows();
    match batch.column_by_name(name) {
        Some(c) if c.as_any().is::<Int64Array>() => {
            let numbers = c.as_primitive::<Int64Type>();
            BooleanBuffer::collect_bool(rows, |row| fits(numbers.value(row)))
        }
        Some(c) if c.as_any().is::<Int32Array>() => {
            let numbers = c.as_primitive::<Int32Type>();
            BooleanBuffer::collect_bool(rows, |row| fits(i64::from(numbers.value(row))))
        }
        _ => BooleanBuffer::new_unset(rows),
    }
}

/// Times of the rows.
pub(crate) fn times(batch: &RecordBatch) -> Option<Vec<Timestamp>> {
    let ms = batch.column_by_name(TIME)?.as_any().downcast_ref::<arrow_array::TimestampMillisecondArray>()?;
    let rest = batch.column_by_name(TIME_REST)?.as_any().downcast_ref::<Int32Array>()?;
    Some(ms.values().iter().zip(rest.values()).map(|(ms, rest)| join_time(*ms, *rest)).collect())
}

pub(crate) fn join_time(ms: i64, rest: i32) -> Timestamp {
    let ns = i128::from(ms) * 1_000_000 + i128::from(rest);
    Timestamp::from_ns(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
}

/// Ids of the rows.
pub(crate) fn ids(batch: &RecordBatch, class: Class) -> Option<Vec<EventId>> {
    let of = |name: &str| batch.column_by_name(name)?.as_any().downcast_ref::<Int64Array>();
    let (agent, epoch, seq) = (of(AGENT)?, of(EPOCH)?, of(SEQ)?);
    let rows = agent.values().iter().zip(epoch.values()).zip(seq.values());
    Some(
        rows.map(|((a, e), s)| EventId {
            agent: AgentId(a.cast_unsigned()),
            epoch: event::Epoch(e.cast_unsigned()),
            class,
            seq: s.cast_unsigned(),
        })
        .collect(),
    )
}

/// What has to be looked at, and which rows of a batch fit: filter, time and scope.
#[derive(Clone)]
pub(crate) struct Sieve {
    pub(crate) filter: Filter,
    pub(crate) class: Class,
    /// Time range, where the group is not wholly within it.
    pub(crate) range: Option<(Timestamp, Timestamp)>,
    pub(crate) scope: Scope,
}

impl Sieve {
    pub(crate) fn new(filter: Filter, class: Class, group: &Group, scope: &Scope, query: &Query) -> Self {
        let within = group.min >= query.from && group.max < query.to;
        Self { filter, class, range: (!within).then_some((query.from, query.to)), scope: scope.clone() }
    }

    /// True if every row fits.
    pub(crate) fn is_open(&self) -> bool {
        self.filter == Filter::All && self.range.is_none() && self.scope.is_city()
    }

    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        // A filter that columns cannot decide never comes here.
        let _ = columns(&self.filter, &mut names);
        if self.range.is_some() {
            names.extend([TIME, TIME_REST]);
        }
        if !self.scope.is_city() {
            names.push(field::UNIT_ID.name());
        }
        names
    }

    pub(crate) fn mask(&self, batch: &RecordBatch) -> BooleanBuffer {
        let mut mask = eval(&self.filter, batch, self.class);
        if let Some((from, to)) = self.range {
            let times = times(batch).unwrap_or_default();
            mask = &mask & &BooleanBuffer::collect_bool(batch.num_rows(), |row| times.get(row).is_some_and(|t| *t >= from && *t < to));
        }
        if let Some(units) = &self.scope.units {
            let allowed = match batch.column_by_name(field::UNIT_ID.name()).and_then(dictionary) {
                Some((keys, words)) => {
                    let fits: Vec<bool> = words.iter().map(|w| w.is_some_and(|w| units.contains(w))).collect();
                    BooleanBuffer::collect_bool(batch.num_rows(), |row| {
                        keys.is_valid(row)
                            && keys.keys().values().get(row).and_then(|k| fits.get(usize::try_from(*k).ok()?)).copied().unwrap_or(false)
                    })
                }
                None => BooleanBuffer::new_unset(batch.num_rows()),
            };
            mask = &mask & &allowed;
        }
        mask
    }
}
