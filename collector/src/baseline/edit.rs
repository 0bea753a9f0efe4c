//! What a person does with a baseline: freeze, unfreeze, allow, forget. Every edit is made on a copy first, so that a dry run is the same code.

use event::Timestamp;

use super::{Baselines, ENTRIES_MAX, Entry, Mark, Origin, Ranges, Station, What, entry_id};

/// An edit of one station's baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Learn no more; tell what is asked beyond it.
    Freeze,
    /// Learn again; deviations that were not allowed are dropped, and learned if they come again.
    Unfreeze,
    /// Makes an entry usual: a deviation by its id, or one written by hand.
    Allow(Allow),
    /// Forgets an entry, or the whole station, which is then learned anew.
    Forget { entry: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    Entry(String),
    Written {
        what: What,
        /// No range: any address.
        range: Option<(i64, i64)>,
    },
}

/// What an edit did, or would do.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it is then; `None`: forgotten.
    pub station: Option<Station>,
    /// In words, for the audit trail.
    pub done: String,
}

/// Why an edit cannot be made. The words are for people: English, Chinese.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("there is no such station")]
    NoStation,
    #[error("the station has no entry '{0}'; `vedette baseline show` lists them")]
    NoEntry(String),
    #[error("it is frozen already")]
    Frozen,
    #[error("it is not frozen")]
    NotFrozen,
    #[error("nothing is known of this station yet; let it learn first")]
    Empty,
    #[error("there are {ENTRIES_MAX} entries; forget some first")]
    Full,
}

impl EditError {
    pub fn zh(&self) -> String {
        match self {
            Self::NoStation => "没有该站点".to_owned(),
            Self::NoEntry(id) => format!("该站点没有条目“{id}”；用 vedette baseline show 查看"),
            Self::Frozen => "基线已冻结".to_owned(),
            Self::NotFrozen => "基线未冻结".to_owned(),
            Self::Empty => "该站点尚无内容，请先学习".to_owned(),
            Self::Full => format!("条目已达 {ENTRIES_MAX} 个，请先清理"),
        }
    }
}

impl Baselines {
    /// What an edit would give, with nothing changed.
    pub fn preview(&self, id: &str, edit: &Edit, mark: Mark) -> Result<Change, EditError> {
        let station = self.stations.get(id).ok_or(EditError::NoStation)?;
        let mut after = station.clone();
        let (done, gone) = after.edit(edit, mark)?;
        let grown = after.entries.len().saturating_sub(station.entries.len());
        if self.entries + grown > ENTRIES_MAX && grown > 0 {
            return Err(EditError::Full);
        }
        let name = format!("{} {}", station.address, station.protocol);
        Ok(Change { station: (!gone).then_some(after), done: format!("{name}: {done}") })
    }

    /// Makes an edit.
    pub fn edit(&mut self, id: &str, edit: &Edit, mark: Mark) -> Result<Change, EditError> {
        let change = self.preview(id, edit, mark)?;
        let before = self.stations.get(id).map_or(0, |s| s.entries.len());
        self.entries = (self.entries + change.station.as_ref().map_or(0, |s| s.entries.len())).saturating_sub(before);
        match &change.station {
            Some(station) => {
                self.stations.insert(id.to_owned(), station.clone());
            }
            None => {
                self.stations.remove(id);
            }
        }
        Ok(change)
    }
}

impl Station {
    /// What was done in words, and whether the station is to be forgotten.
    fn edit(&mut self, edit: &Edit, mark: Mark) -> Result<(String, bool), EditError> {
        match edit {
            Edit::Freeze => {
                if self.frozen.is_some() {
                    return Err(EditError::Frozen);
                }
                if self.entries.is_empty() {
                    return Err(EditError::Empty);
                }
                self.frozen = Some(mark);
                Ok((format!("frozen with {} entries", self.entries.len()), false))
            }
            Edit::Unfreeze => {
                if self.frozen.take().is_none() {
                    return Err(EditError::NotFrozen);
                }
                let before = self.entries.len();
                self.entries.retain(|_, e| e.origin != Origin::Deviating);
                Ok((format!("learns again; {} deviations dropped", before - self.entries.len()), false))
            }
            Edit::Allow(Allow::Entry(id)) => {
                let deviation = self.entries.remove(id).filter(|e| e.origin == Origin::Deviating);
                let deviation = deviation.ok_or_else(|| EditError::NoEntry(id.clone()))?;
                let done = format!("allowed {}", deviation.text());
                self.allow(deviation, mark);
                Ok((done, false))
            }
            Edit::Allow(Allow::Written { what, range }) => {
                let time = mark.at;
                let entry = Entry {
                    what: what.clone(),
                    origin: Origin::Allowed,
                    ranges: range.map(|(from, to)| Ranges::of(from, to)).unwrap_or_default(),
                    names: Default::default(),
                    any: range.is_none(),
                    is_write: false,
                    count: 0,
                    first: time,
                    last: time,
                    mark: None,
                    told: i64::MIN,
                    untold: 0,
                };
                let done = format!("allowed {}", entry.text());
                self.allow(entry, mark);
                Ok((done, false))
            }
            Edit::Forget { entry: None } => Ok((format!("forgotten with {} entries", self.entries.len()), true)),
            Edit::Forget { entry: Some(id) } => {
                let gone = self.entries.remove(id).ok_or_else(|| EditError::NoEntry(id.clone()))?;
                Ok((format!("forgot {}", gone.text()), false))
            }
        }
    }

    fn allow(&mut self, entry: Entry, mark: Mark) {
        let id = entry_id(&entry.what, false);
        match self.entries.get_mut(&id) {
            Some(usual) => {
                usual.ranges.merge(&entry.ranges);
                usual.names.extend(entry.names);
                usual.any |= entry.any;
                usual.is_write |= entry.is_write;
                usual.count = usual.count.saturating_add(entry.count);
                usual.last = usual.last.max(entry.last);
                (usual.origin, usual.mark) = (Origin::Allowed, Some(mark));
            }
            None => {
                self.entries.insert(id, Entry { origin: Origin::Allowed, mark: Some(mark), ..entry });
            }
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Deviations that were not allowed.
    pub fn deviations(&self) -> usize {
        self.entries.values().filter(|e| e.origin == Origin::Deviating).count()
    }
}

impl Entry {
    /// Who, what and where, in one line.
    pub fn text(&self) -> String {
        let What { master, number, function, sub_function, object_type } = &self.what;
        let mut text = format!("{master}: {function}");
        for more in [sub_function, object_type] {
            if !more.is_empty() {
                text.push(' ');
                text.push_str(more);
            }
        }
        let objects = self.objects();
        if !objects.is_empty() {
            text.push(' ');
            text.push_str(&objects);
        }
        if let Some(number) = number {
            text.push_str(&format!(" (station {number})"));
        }
        text
    }

    /// Addresses and names, as people write them.
    pub fn objects(&self) -> String {
        if self.any {
            return "any".to_owned();
        }
        let names = self.names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        let more = if self.names.len() > 8 { format!(" +{}", self.names.len() - 8) } else { String::new() };
        [self.ranges.text(), names + &more].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Mark {
    pub fn new(by: &str, note: &str, at: Timestamp) -> Self {
        Self { by: by.to_owned(), at: at.ns(), note: note.to_owned() }
    }
}
