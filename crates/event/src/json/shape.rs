//! Where each field of an event stands in its line: worked out by way of a tree, kept as a text with holes for the values.
//!
//! Two events with the same class, activity and severity, the same fields in the same order and the same answers to "does the value fit its OCSF
//! place" have the same shape. The few whose values decide more than that (a name no table has, an operating system, a file's path) get a
//! shape of their own that is not kept. Limits: `KEPT` shapes a thread; one too many takes the place of another and is worked out again when it is
//! next needed.

use std::collections::BTreeMap;

use super::pen::{PIECE, Pen};
use super::write_json_text;
use crate::fields::{Field, Home, Kind, Name, Shape as ValueShape, field};
use crate::ocsf::{self, Fit, Map, Node};
use crate::value::Value;
use crate::{Event, Severity};

/// Shapes kept, and places where one is looked for.
const KEPT: usize = 1024;
const PLACES: usize = 4;
/// Events with more fields have a shape of their own.
const FIELDS_MAX: usize = 64;

/// A line without its values.
struct Shape {
    key: Key,
    steps: Vec<Step>,
    /// Bytes of all texts together.
    text: usize,
}

/// A piece of the text of a line, and the value that follows it.
struct Step {
    text: [u8; PIECE],
    len: u8,
    what: What,
}

/// The fields of an event, each with the answer whether its value fits: how a shape is found.
#[derive(Debug, Clone, Copy)]
struct Key {
    kind: Kind,
    activity: u8,
    severity: Severity,
    /// Twice the number of each field, and one if its value fits.
    fields: [u16; FIELDS_MAX],
    len: usize,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// The text goes on.
    Nothing,
    Time,
    Id,
    Source,
    Field {
        at: u16,
        /// Text whatever the value is.
        quoted: bool,
    },
}

/// What is known of a field before its value is.
#[derive(Clone, Copy)]
struct Fitting {
    fit: Fit,
    /// As `Fit::kinds` says.
    certain: u8,
    looks: u8,
    /// Whether a shape with such a field may be kept.
    is_kept: bool,
}

impl Fitting {
    const NONE: Self = Self { fit: Fit::Never, certain: 0, looks: 0, is_kept: false };

    fn of(field: Field) -> Self {
        let fit = Fit::of(field);
        let (certain, looks) = fit.kinds();
        Self { fit, certain, looks, is_kept: !ocsf::value_decides(field) }
    }
}

/// The shapes of a thread.
pub(super) struct Shapes {
    /// By field number.
    fits: Vec<Fitting>,
    kept: Vec<Option<Box<Shape>>>,
    key: Key,
    pen: Pen,
}

impl Shapes {
    pub(super) fn new() -> Self {
        let most = Field::all().map(|f| usize::from(f.number())).max().unwrap_or(0);
        let fits = (0..=most).map(|n| Field::from_number(n as u16).map_or(Fitting::NONE, Fitting::of)).collect();
        let key = Key { kind: Kind::Base, activity: 0, severity: Severity::default(), fields: [0; FIELDS_MAX], len: 0 };
        Self { fits, kept: Vec::new(), key, pen: Pen::default() }
    }

    /// The event's line, until the next call.
    pub(super) fn line(&mut self, event: &Event) -> &[u8] {
        match self.look(event) {
            Some(hash) => {
                let at = self.find(hash, event);
                if let Some(Some(shape)) = self.kept.get(at) {
                    shape.write(event, &mut self.pen);
                }
            }
            None => Shape::of(event, self.key).write(event, &mut self.pen),
        }
        self.pen.bytes()
    }

    /// Sets `key` to the event's, and gives its hash; nothing if the shape is the event's own.
    fn look(&mut self, event: &Event) -> Option<u64> {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let key = &mut self.key;
        (key.kind, key.activity, key.severity) = (event.kind, event.activity, event.severity);
        if event.kind == Kind::LogActivity || event.body.len() > FIELDS_MAX {
            return None;
        }
        key.len = event.body.len();
        let mut hash = u64::from(event.kind.class_uid()) << 16 | u64::from(event.activity) << 8 | event.severity as u64;
        for ((name, value), place) in event.body.iter().zip(&mut key.fields) {
            let Name::Known(field) = name else { return None };
            let fitting = self.fits.get(usize::from(field.number())).filter(|fitting| fitting.is_kept)?;
            let bit = value.bit();
            let fits = fitting.certain & bit != 0 || fitting.looks & bit != 0 && fitting.fit.takes(value);
            *place = field.number() << 1 | u16::from(fits);
            hash = (hash.rotate_left(5) ^ u64::from(*place)).wrapping_mul(FACTOR);
        }
        Some(hash)
    }

    /// Where the shape of `key` is kept; it is made if it is not there.
    fn find(&mut self, hash: u64, event: &Event) -> usize {
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT, || None);
        }
        let home = (hash >> 32) as usize % KEPT;
        for at in (home..home + PLACES).map(|at| at % KEPT) {
            match self.kept.get_mut(at) {
                Some(Some(shape)) if shape.key.is(&self.key) => return at,
                Some(place @ None) => {
                    *place = Some(Box::new(Shape::of(event, self.key)));
                    return at;
                }
                _ => {}
            }
        }
        if let Some(place) = self.kept.get_mut(home) {
            *place = Some(Box::new(Shape::of(event, self.key)));
        }
        home
    }
}

impl Key {
    fn is(&self, other: &Self) -> bool {
        (self.kind, self.activity, self.severity) == (other.kind, other.activity, other.severity)
            && self.fields.get(..self.len) == other.fields.get(..other.len)
    }
}

impl Shape {
    fn write(&self, event: &Event, pen: &mut Pen) {
        pen.begin(self.text, self.steps.len());
        let fields = event.body.as_slice();
        for Step { text, len, what } in &self.steps {
            match *what {
                What::Field { at, quoted } => pen.step(text, *len, fields.get(usize::from(at)).map(|(_, value)| (value, quoted))),
                what => {
                    pen.step(text, *len, None);
                    match what {
                        What::Time => pen.int(event.time.ms()),
                        What::Id => pen.id(event.id),
                        What::Source => pen.source(&event.source),
                        What::Nothing | What::Field { .. } => {}
                    }
                }
            }
        }
    }

    /// By way of a tree.
    fn of(event: &Event, key: Key) -> Self {
        let mut out = Out::default();
        let class = event.kind.class_uid();
        out.put("{\"time\":");
        out.hole(What::Time);
        out.put(&format!(
            ",\"class_uid\":{class},\"class_name\":\"{}\",\"category_uid\":{},\"activity_id\":{},\"type_uid\":{},\"severity_id\":{},\"severity\":\"{}\",\"metadata\":{{\"version\":\"1.8.0\",\"uid\":\"",
            event.kind.name(),
            event.kind.category_uid(),
            event.activity,
            u32::from(class) * 100 + u32::from(event.activity),
            event.severity as u8,
            event.severity,
        ));
        out.hole(What::Id);
        out.put("\"");
        let mut root = Map::new();
        let mut unmapped = Map::new();
        for (at, (name, value)) in event.body.iter().enumerate() {
            let at = at as u16;
            match name {
                Name::Known(f) if f.home() == Home::Ocsf && ocsf::belongs(event.kind, *f, value) => {
                    // A text field may hold a number or a word of logic (a user id): OCSF wants the text.
                    insert(&mut root, f.name(), Node::Leaf { at, value, quoted: f.shape() == ValueShape::Text });
                }
                _ => {
                    unmapped.insert(name.as_str(), Node::Leaf { at, value, quoted: false });
                }
            }
        }
        let log = event.get(field::LOG_PATH).or_else(|| event.get(field::LOG_NAME)).map(Value::to_text);
        ocsf::complete(event.kind, log, &mut root);
        let mut metadata = match root.remove("metadata") {
            Some(Node::Branch(map)) => map,
            _ => Map::new(),
        };
        // The product is what wrote the record; where nothing says, that is us.
        let product = match metadata.remove("product") {
            Some(Node::Branch(map)) => map,
            _ => BTreeMap::from([("name", Node::Text(ocsf::US.into())), ("vendor_name", Node::Text(ocsf::US.into()))]),
        };
        out.put(",\"product\":");
        out.node(&Node::Branch(product));
        out.members(&metadata);
        out.put(",\"log_source\":");
        out.hole(What::Source);
        out.put("}");
        out.members(&root);
        if !unmapped.is_empty() {
            out.put(",\"unmapped\":");
            out.node(&Node::Branch(unmapped));
        }
        out.put("}");
        let text = out.text.as_bytes();
        out.holes.push((text.len(), What::Nothing));
        let (mut steps, mut from) = (Vec::with_capacity(2 * out.holes.len()), 0);
        for (upto, what) in &out.holes {
            loop {
                let piece = text.get(from..*upto).unwrap_or_default();
                let piece = piece.get(..PIECE).unwrap_or(piece);
                from += piece.len();
                let what = if from == *upto { *what } else { What::Nothing };
                let mut step = Step { text: [0; PIECE], len: piece.len() as u8, what };
                step.text.iter_mut().zip(piece).for_each(|(place, byte)| *place = *byte);
                steps.push(step);
                if from == *upto {
                    break;
                }
            }
        }
        Self { key, steps, text: text.len() }
    }
}

fn insert<'a>(map: &mut Map<'a>, path: &'a str, leaf: Node<'a>) {
    match path.split_once('.') {
        None => {
            map.insert(path, leaf);
        }
        Some((head, rest)) => {
            let child = map.entry(head).or_insert_with(|| Node::Branch(Map::new()));
            if let Node::Branch(inner) = child {
                insert(inner, rest, leaf);
            }
        }
    }
}

/// A text under way, and its holes.
#[derive(Default)]
struct Out {
    text: String,
    /// Where a value stands.
    holes: Vec<(usize, What)>,
}

impl Out {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn hole(&mut self, what: What) {
        self.holes.push((self.text.len(), what));
    }

    /// Further members of an object that has some already.
    fn members(&mut self, map: &Map) {
        for (key, node) in map {
            self.put(",");
            self.member(key, node);
        }
    }

    fn member(&mut self, key: &str, node: &Node) {
        write_json_text(key, &mut self.text);
        self.put(":");
        self.node(node);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Leaf { at, quoted, .. } => self.hole(What::Field { at: *at, quoted: *quoted }),
            Node::Text(text) => write_json_text(text, &mut self.text),
            Node::Int(n) => self.put(&n.to_string()),
            Node::Words(words) => {
                self.put("[");
                for (n, word) in words.iter().enumerate() {
                    self.put(if n > 0 { "," } else { "" });
                    write_json_text(word, &mut self.text);
                }
                self.put("]");
            }
            Node::Branch(map) => {
                self.put("{");
                for (n, (key, child)) in map.iter().enumerate() {
                    self.put(if n > 0 { "," } else { "" });
                    self.member(key, child);
                }
                self.put("}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ocsf_json;
    use super::*;
    use crate::{LogSource, Timestamp};

    /// Every field there is, one at a time and in pairs with others, with values that fit and that do not: a shape that was kept for one event writes
    /// the line of another as a shape of its own would.
    #[test]
    fn a_kept_shape_writes_what_one_of_its_own_writes() {
        let ip = Value::Ip("10.0.0.1".parse().unwrap());
        let values = [
            Value::Int(7),
            Value::Int(70_000),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Int(100),
            Value::Int(-5),
            Value::text("a \"word\"\n\u{7f}é"),
            Value::text("Linux 6"),
            Value::text("/a/b"),
            Value::text("GET"),
            Value::text("02:00:00:00:00:01"),
            Value::text(&"x".repeat(70)),
            ip.clone(),
            Value::Ip("2001:db8::1".parse().unwrap()),
            Value::Bool(true),
            Value::Float(1.5),
            Value::Float(f64::NAN),
            Value::Null,
            Value::Bytes([1, 0xab].into()),
            Value::List(vec![Value::Int(1), Value::text("x")].into()),
        ];
        let (mut pen, unused) = (Pen::default(), Shapes::new().key);
        for kind in Kind::ALL {
            for with_ends in [false, true] {
                for f in Field::all() {
                    for value in &values {
                        let mut event = Event::new(Timestamp::from_ms(1_700_000_000_123), *kind, 6, LogSource::new("", "dns", "dns"));
                        event.id.seq = u64::MAX;
                        if with_ends {
                            event.body.set(field::SRC_IP, "10.1.2.3".parse::<std::net::IpAddr>().unwrap());
                            event.body.set(field::DST_IP, ip.clone());
                            event.body.set(field::PROTOCOL, "tcp");
                        }
                        event.body.set(f, value.clone());
                        event.body.set(field::UNIT_ID, "u");
                        Shape::of(&event, unused).write(&event, &mut pen);
                        assert_eq!(ocsf_json(&event).as_bytes(), pen.bytes(), "{event:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn more_shapes_than_are_kept_are_still_written() {
        let mut shapes = Shapes::new();
        let fields: Vec<Field> = Field::all().filter(|f| f.home() == Home::Vedette).collect();
        for round in 0..2 {
            for (n, a) in fields.iter().enumerate().take(60) {
                for b in fields.iter().skip(n + 1).take(60) {
                    let event = Event::new(Timestamp::ZERO, Kind::Base, 1, LogSource::new("", "x", "")).with(*a, round).with(*b, "b");
                    let line = String::from_utf8(shapes.line(&event).to_vec()).unwrap();
                    assert!(
                        line.contains(&format!("\"{}\":{round}", a.name())) && line.contains(&format!("\"{}\":\"b\"", b.name())),
                        "{line}"
                    );
                }
            }
        }
        assert_eq!(shapes.kept.len(), KEPT);
    }

    #[test]
    fn names_from_outside_and_words_of_the_log_source_are_escaped() {
        let source = LogSource::owned(Some("a\"b"), None, Some("c"));
        let mut event = Event::new(Timestamp::ZERO, Kind::NetworkActivity, 1, source);
        event.body.set(Name::from("Other \"name\""), Value::Ip("::1".parse().unwrap()));
        let line = ocsf_json(&event);
        assert!(line.contains(r#""log_source":"a\"b/*/c""#) && line.contains(r#""Other \"name\"":"::1""#), "{line}");
    }
}
