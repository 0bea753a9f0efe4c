use event::{Kind, LogSource};

use super::*;

fn asked(master: u8, function: &str, address: Option<i64>, count: i64, second: i64) -> Event {
    let mut event = Event::new(Timestamp::from_secs(second), Kind::NetworkActivity, 6, LogSource::new("", "ot", "modbus"))
        .with(field::SRC_IP, std::net::IpAddr::from([10, 0, 0, master]))
        .with(field::DST_IP, std::net::IpAddr::from([10, 0, 0, 20]))
        .with(field::OT_PROTOCOL, "modbus")
        .with(field::OT_DIRECTION, "both")
        .with(field::OT_STATION, 1)
        .with(field::OT_FUNCTION_NAME, function)
        .with(field::UNIT_ID, "grid");
    if let Some(address) = address {
        event.body.set(field::OT_OBJECT_ADDRESS, address);
        event.body.set(field::OT_OBJECT_COUNT, count);
    }
    event
}

struct House {
    all: Baselines,
    said: Vec<Arc<Event>>,
}

impl House {
    fn new() -> Self {
        let mut house = Self { all: Baselines::default(), said: Vec::new() };
        for second in 0..60 {
            house.see(&asked(30, "read_holding_registers", Some(second % 4 * 10), 10, second));
        }
        assert!(house.said.is_empty());
        house
    }
    fn see(&mut self, event: &Event) {
        self.all.observe(event, event.time, &mut self.said);
    }
    fn id(&self) -> String {
        self.all.stations().next().map(|(id, _)| id.to_owned()).unwrap()
    }
    fn edit(&mut self, edit: Edit) -> Result<Change, EditError> {
        let id = self.id();
        self.all.edit(&id, &edit, Mark::new("li", "after review", Timestamp::from_secs(100)))
    }
    fn told(&self) -> Vec<(String, String)> {
        self.said.iter().map(|e| (e.text(field::BASELINE_DEVIATION).into_owned(), e.text(field::BASELINE_USUAL).into_owned())).collect()
    }
}

#[test]
fn a_frozen_station_tells_who_and_what_is_new_and_what_was_usual() {
    let mut house = House::new();
    house.edit(Edit::Freeze).unwrap();
    house.see(&asked(30, "read_holding_registers", Some(5), 20, 110));
    assert!(house.said.is_empty());
    house.see(&asked(30, "read_holding_registers", Some(35), 10, 120));
    house.see(&asked(30, "write_single_coil", Some(3), 1, 130));
    house.see(&asked(66, "read_holding_registers", Some(0), 10, 140));
    let words: Vec<_> = house.told();
    assert_eq!(words[0], ("new_address".to_owned(), "0-39".to_owned()));
    assert_eq!(words[1], ("new_function".to_owned(), "read_holding_registers".to_owned()));
    assert_eq!(words[2], ("new_master".to_owned(), "10.0.0.30".to_owned()));
    let last = &house.said[2];
    assert_eq!(
        (last.text(field::SRC_IP), last.text(field::DST_IP), last.text(field::UNIT_ID)),
        ("10.0.0.66".into(), "10.0.0.20".into(), "grid".into())
    );
    assert_eq!(last.source.category.as_deref(), Some("baseline"));
    // The same again within five minutes is counted and told once.
    for second in 141..500 {
        house.see(&asked(66, "read_holding_registers", Some(0), 10, second));
    }
    assert_eq!(house.said.len(), 4);
    assert_eq!(house.said[3].get(field::COUNT), Some(&Value::Int(300)));
}

#[test]
fn a_person_allows_a_deviation_or_writes_an_entry_and_forgets() {
    let mut house = House::new();
    house.edit(Edit::Freeze).unwrap();
    house.see(&asked(30, "read_holding_registers", Some(100), 1, 120));
    let deviation = house.said[0].text(field::BASELINE_ENTRY).into_owned();
    assert_eq!(house.all.station(&house.id()).map(Station::deviations), Some(1));
    let change = house.edit(Edit::Allow(Allow::Entry(deviation.clone()))).unwrap();
    assert!(change.done.contains("allowed 10.0.0.30: read_holding_registers 100"), "{}", change.done);
    let what = What {
        master: "10.0.0.40".into(),
        number: Some(1),
        function: "write_single_register".into(),
        sub_function: String::new(),
        object_type: String::new(),
    };
    house.edit(Edit::Allow(Allow::Written { what, range: Some((7, 9)) })).unwrap();
    house.see(&asked(30, "read_holding_registers", Some(100), 1, 130));
    house.see(&asked(40, "write_single_register", Some(8), 1, 131));
    assert_eq!(house.said.len(), 1);
    house.see(&asked(40, "write_single_register", Some(10), 1, 132));
    assert_eq!(house.told()[1], ("new_address".to_owned(), "7-9".to_owned()));
    assert_eq!(house.edit(Edit::Allow(Allow::Entry(deviation.clone()))).unwrap_err(), EditError::NoEntry(deviation));
    assert_eq!(house.edit(Edit::Freeze).unwrap_err(), EditError::Frozen);
    house.edit(Edit::Unfreeze).unwrap();
    assert_eq!(house.edit(Edit::Unfreeze).unwrap_err(), EditError::NotFrozen);
    assert_eq!(house.all.station(&house.id()).map(Station::deviations), Some(0));
    house.edit(Edit::Forget { entry: None }).unwrap();
    assert_eq!((house.all.stations().count(), house.all.entries), (0, 0));
}

#[test]
fn a_dry_run_changes_nothing_and_a_restart_forgets_nothing() {
    let mut house = House::new();
    let id = house.id();
    let before = serde_json::to_string(&house.all).unwrap();
    let change = house.all.preview(&id, &Edit::Freeze, Mark::new("li", "", Timestamp::ZERO)).unwrap();
    assert!(change.station.unwrap().is_frozen());
    assert_eq!(serde_json::to_string(&house.all).unwrap(), before);
    house.edit(Edit::Freeze).unwrap();
    house.see(&asked(66, "write_single_coil", Some(1), 1, 120));
    let saved = serde_json::to_string(&house.all).unwrap();
    let mut again: Baselines = serde_json::from_str(&saved).unwrap();
    let mut said = Vec::new();
    again.observe(&asked(66, "write_single_coil", Some(1), 1, 121), Timestamp::from_secs(121), &mut said);
    assert!(said.is_empty(), "told before the restart");
}

#[test]
fn strangers_without_end_are_counted_and_not_kept() {
    let mut all = Baselines::default();
    let mut said = Vec::new();
    for n in 0..30_000u32 {
        let mut event = asked(30, "read_coils", Some(1), 1, i64::from(n));
        event.body.set(field::DST_IP, std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        all.observe(&event, event.time, &mut said);
    }
    assert_eq!((all.stations().count(), all.unlearned()), (STATIONS_MAX, 30_000 - STATIONS_MAX as u64));
    let mut house = House::new();
    house.edit(Edit::Freeze).unwrap();
    for n in 0..1000 {
        house.see(&asked(66, &format!("function_{n}"), None, 1, 200 + n));
    }
    assert_eq!(house.all.station(&house.id()).map(Station::deviations), Some(DEVIATIONS_MAX));
    assert_eq!((house.said.len(), house.all.entries), (1000, 1 + DEVIATIONS_MAX));
}
