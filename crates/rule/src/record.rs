//! What a rule looks at, whatever its form: a typed event, or a line of JSON (`line`). One matcher serves both.

use event::{Event, Field, Name, field};

use crate::names::NameTable;
use crate::scalar::{Header, List, Scalar};

/// Fields that are no part of the message as its source wrote it; keywords are not sought in them.
pub(crate) const ADDED: &[Field] = &[
    field::LOG_PATH,
    field::LOG_OFFSET,
    field::DEVICE_HOSTNAME,
    field::DEVICE_IPS,
    field::DEVICE_INTERFACE,
    field::UNIT_ID,
    field::UNIT_NAME,
    field::UNIT_SECTOR,
    field::OBJECT_ID,
    field::OBJECT_IMPORTANCE,
    field::ASSET_ID,
    field::AGENT_ID,
    field::RECEIVED_TIME,
    field::CLOCK_SKEW_MS,
    field::COMMUNITY_ID,
];

/// An event in some form, its fields found by the numbers of the rule set's names.
pub(crate) trait Record {
    /// The field of a name, if the event has it.
    fn value(&self, name: u32) -> Option<Scalar<'_>>;
    /// A word of the header; a form without a header has none.
    fn header(&self, header: Header) -> Option<Scalar<'_>>;
    /// Hands each value of the message, elements of lists one by one, to `look` until it says "enough".
    fn message<'r>(&'r self, look: &mut dyn FnMut(Scalar<'r>) -> bool);
}

/// The names rules look for, with the numbers of those of the field table.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub table: NameTable,
    /// Number plus one by field number; 0: no rule asks.
    known: Vec<u32>,
    pub count: u32,
    texts: Vec<Name>,
}

impl Names {
    pub fn insert(&mut self, name: &Name) -> u32 {
        let number = self.table.insert(name.as_str(), self.count);
        if number == self.count {
            self.count += 1;
            self.texts.push(name.clone());
            if let Name::Known(field) = name {
                let at = usize::from(field.number());
                if self.known.len() <= at {
                    self.known.resize(at + 1, 0);
                }
                if let Some(place) = self.known.get_mut(at) {
                    *place = number + 1;
                }
            }
        }
        number
    }

    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", Name::as_str)
    }

    fn find(&self, name: &Name) -> Option<u32> {
        match name {
            Name::Known(field) => self.known.get(usize::from(field.number()))?.checked_sub(1),
            Name::Other(text) => self.table.find(text),
        }
    }
}

/// Where each name stands in the present event: a stamp that is not the present epoch means "not there".
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<(u32, u32)>,
    epoch: u32,
}

impl Places {
    pub fn new(names: u32) -> Self {
        Self { places: vec![(0, 0); names as usize], epoch: 0 }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn begin(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.places.fill((0, 0));
            self.epoch = 1;
        }
    }

    pub fn get(&self, name: u32) -> Option<u32> {
        self.places.get(name as usize).filter(|(epoch, _)| *epoch == self.epoch).map(|(_, at)| *at)
    }

    pub fn set(&mut self, name: u32, at: u32) {
        if let Some(place) = self.places.get_mut(name as usize) {
            *place = (self.epoch, at);
        }
    }

    /// Finds the fields of an event that some rule asks for.
    pub fn bind(&mut self, event: &Event, names: &Names) {
        self.begin();
        for (at, (name, _)) in event.body.iter().enumerate() {
            if let Some(number) = names.find(name) {
                self.set(number, u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }
}

/// A typed event.
pub(crate) struct EventRecord<'e> {
    pub event: &'e Event,
    pub places: &'e Places,
}

impl Record for EventRecord<'_> {
    fn value(&self, name: u32) -> Option<Scalar<'_>> {
        let at = self.places.get(name)?;
        self.event.body.iter().nth(at as usize).map(|(_, v)| Scalar::from(v))
    }

    fn header(&self, header: Header) -> Option<Scalar<'_>> {
        Some(header.of(self.event))
    }

    fn message<'r>(&'r self, look: &mut dyn FnMut(Scalar<'r>) -> bool) {
        let added = |name: &Name| matches!(name, Name::Known(f) if ADDED.contains(f));
        for (_, value) in self.event.body.iter().filter(|(n, _)| !added(n)) {
            let enough = match Scalar::from(value) {
                Scalar::List(List::Values(list)) => list.iter().any(|v| look(Scalar::from(v))),
                scalar => look(scalar),
            };
            if enough {
                return;
            }
        }
    }
}
