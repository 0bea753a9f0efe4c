//! TAXII 2.1 over a real connection: our server asked by OASIS's client and by ours; scopes decide which collections there are.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use collector::indicators::taxii::{TaxiiSource, pull};
use collector::serve::{Role, Shared, run, sample};
use exchange::taxii::{Bounds, Collection, MEDIA_TYPE, Next, Pull, Record, Request, Shelf, serve};
use matter::register::Unit;
use matter::{Actor, Book, Both, Card, Entry, Order, Tlp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{T, revision};

struct Held(Vec<Value>);

impl Shelf for Held {
    fn title(&self) -> String {
        "held".into()
    }
    fn collections(&self) -> Vec<Collection> {
        vec![Collection { id: exchange::uuid5(&["held"]), alias: "held".into(), title: "held".into(), description: String::new() }]
    }
    fn records(&self, _: &str) -> Vec<Record> {
        exchange::taxii::records(T, self.0.clone()).collect()
    }
}

/// Objects through our server and our client, three at a time, without a socket.
pub(super) fn through(objects: Vec<Value>) -> Result<Pull> {
    let held = Held(objects);
    let mut pull = Pull::new("http://h/taxii2/desk/", "held", None, Bounds { page: 3, ..Bounds::default() });
    loop {
        let url = pull.request();
        let (path, query) = url.trim_start_matches("http://h/taxii2/").split_once('?').context("a query")?;
        let answer = serve(&Request { method: "GET", path, query, accept: Some(MEDIA_TYPE) }, &held);
        match pull.answer(answer.status, MEDIA_TYPE, None, None, answer.body.as_bytes())? {
            Next::Ask => {}
            Next::Done => return Ok(pull),
            Next::Wait(_) => bail!("asked to wait"),
        }
    }
}

/// The real server on a port of its own.
struct House {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl House {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let shared = sample::empty(sample::clock)?;
        let book = shared.office.book();
        let unit = |(id, name, sector): (&str, &str, &str)| {
            let unit = Unit { id: id.into(), name: name.into(), sector: sector.into(), ..Unit::default() };
            (unit.id.clone(), unit)
        };
        shared.office.exchange(Book {
            tables: book.tables.clone(),
            units: sample::UNITS.into_iter().map(unit).collect(),
            objects: Default::default(),
            assets: Default::default(),
            places: Default::default(),
            signer: book.signer.clone(),
            flaws: book.flaws.clone(),
            pseudonyms: book.pseudonyms,
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = shared.clone();
        runtime.spawn(async move {
            let _ = run(served, listener, None, async { drop(stopped.await) }).await;
        });
        Ok(Self { shared, address, stop: Some(stop), runtime: Some(runtime) })
    }

    /// Puts a matter on the shelf as its kind would.
    fn put(&self, kind: &str, id: &str, units: &[&str], body: &Value) -> Result<()> {
        let units: Vec<String> = units.iter().map(|u| (*u).to_owned()).collect();
        let card = Card {
            state: "issued",
            closed: false,
            level: None,
            title: Both::new("t", "t"),
            units,
            exercise: false,
            due: None,
            links: vec![],
        };
        let entry =
            Entry { kind: kind.into(), id: id.into(), revision: 1, time: T, who: "lin".into(), act: "issue".into(), body: json!({}) };
        let done = self.shared.desk.transact(&mut |shelf| shelf.put(&card, body, &entry));
        done.map_err(|e| anyhow::anyhow!("{e}"))
    }

    /// A warning in its revisions, and what each unit was told of it.
    fn warn(&self, id: &str, revisions: u32, units: &[&str], tlp: Tlp) -> Result<()> {
        let all: Vec<_> = (1..=revisions)
            .map(|n| matter::Revision {
                tlp,
                exercise: false,
                units: units.iter().map(|u| (*u).to_owned()).collect(),
                ..revision(id, n, false)
            })
            .collect();
        self.put("warning", id, &[], &json!({ "id": id, "revisions": all }))?;
        for unit in units {
            let copies: Vec<_> = all.iter().map(|r| matter::Revision { units: vec![(*unit).to_owned()], ..r.clone() }).collect();
            self.put("receipt", &format!("R{id}{unit}"), &[unit], &json!({ "warning": id, "unit": unit, "copies": copies }))?;
        }
        Ok(())
    }

    fn token(&self, role: Role, units: Option<&[&str]>) -> Result<String> {
        Ok(sample::token(&self.shared, role, units)?)
    }

    fn client(&self, token: &str) -> tests::http::Client {
        tests::http::Client { server: self.address, token: token.to_owned() }
    }

    fn source(&self, folder: &std::path::Path, token: &str, collection: &str) -> Result<TaxiiSource> {
        let file = folder.join("token");
        std::fs::write(&file, format!("{token}\n"))?;
        let text = format!(
            "name = \"own\"\nurl = \"http://{}/taxii2/desk/\"\ncollection = \"{collection}\"\ntoken_file = \"{}\"\n",
            self.address,
            file.display()
        );
        Ok(toml::from_str(&text)?)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn aliases(all: &Value) -> Vec<&str> {
    all["collections"].as_array().into_iter().flatten().filter_map(|c| c["alias"].as_str()).collect()
}

#[test]
fn each_audience_has_its_collections_and_no_others() -> Result<()> {
    let house = House::new()?;
    let (bank, city) = (house.token(Role::SectorUser, Some(&["bank-1"]))?, house.token(Role::Viewer, None)?);
    let look = |token: &str| -> Result<Vec<String>> {
        let client = house.client(token);
        let all = client.json("/taxii2/desk/collections/")?;
        let mut out = vec![client.get("/taxii2/")?.body, client.get("/taxii2/desk/")?.body, all.to_string()];
        for alias in aliases(&all) {
            for what in ["objects/?match[version]=all", "manifest/?match[version]=all"] {
                out.push(client.get(&format!("/taxii2/desk/collections/{alias}/{what}"))?.body);
            }
        }
        // Asked for what belongs to others, or is not there.
        for (alias, id) in [
            ("city", ""),
            ("unit-grid-1", ""),
            ("sector-power", ""),
            ("unit-nobody", ""),
            ("unit-bank-1", "report--00000000-0000-5000-8000-000000000000/"),
        ] {
            let answer = client.get(&format!("/taxii2/desk/collections/{alias}/objects/{id}"))?;
            out.push(format!("{} {}", answer.status, answer.body));
        }
        Ok(out)
    };
    house.warn("W0000000000000001", 2, &["bank-1"], Tlp::Green)?;
    let before = look(&bank)?;
    // Another unit's business, and business of both.
    house.warn("W0000000000000002", 2, &["grid-1"], Tlp::Clear)?;
    house.warn("W0000000000000003", 1, &["metro-1", "gas-1"], Tlp::Green)?;
    ensure!(look(&bank)? == before, "a unit's bytes changed with another unit's business");
    let missing: Vec<_> = before.iter().filter(|b| b.starts_with("404 ")).collect();
    ensure!(missing.len() == 5 && missing.iter().all(|m| *m == missing[0]), "{missing:#?}");

    let shown = house.client(&bank).json("/taxii2/desk/collections/")?;
    ensure!(aliases(&shown) == ["sector-finance", "unit-bank-1"], "{shown}");
    let all = house.client(&city).json("/taxii2/desk/collections/")?;
    ensure!(aliases(&all).len() == 1 + 5 + 5 && aliases(&all)[0] == "city", "{all}");
    let reports = |token: &str, alias: &str| -> Result<usize> {
        let said = house.client(token).json(&format!("/taxii2/desk/collections/{alias}/objects/?match[type]=report&match[version]=all"))?;
        Ok(said["objects"].as_array().map_or(0, Vec::len))
    };
    ensure!(reports(&city, "city")? == 5 && reports(&city, "sector-power")? == 2 && reports(&city, "unit-gas-1")? == 1);
    ensure!(reports(&bank, "sector-finance")? == 2 && reports(&bank, "unit-bank-1")? == 2);
    // TLP: what is amber is not the sector's.
    house.warn("W0000000000000004", 1, &["bank-1"], Tlp::Amber)?;
    ensure!(reports(&bank, "unit-bank-1")? == 3 && reports(&bank, "sector-finance")? == 2);
    // No token, a wrong one, a role that may not; and nothing is written.
    let bare = house.client("");
    ensure!(bare.get("/taxii2/")?.status == 401 && house.client("x").get("/taxii2/desk/collections/")?.status == 401);
    let metrics = house.token(Role::Metrics, None)?;
    ensure!(house.client(&metrics).get("/taxii2/")?.status == 403);
    ensure!(house.client(&city).post("/taxii2/desk/collections/city/objects/", &json!({ "objects": [] }))?.status == 403);
    Ok(())
}

#[test]
fn our_client_reads_a_collection_over_the_wire() -> Result<()> {
    let house = House::new()?;
    let folder = tempfile::tempdir()?;
    for n in 0..40 {
        house.warn(&format!("W00000000000000{n:02}"), 2, &["bank-1"], Tlp::Green)?;
    }
    let token = house.token(Role::SectorUser, Some(&["bank-1"]))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let got = runtime.block_on(pull(&house.source(folder.path(), &token, "unit-bank-1")?)).map_err(anyhow::Error::msg)?;
    let (bundle, checked) = got.sound();
    ensure!(checked.faults.is_empty(), "{:?}", checked.faults.first());
    let reading = indicator::read(bundle.as_bytes(), &indicator::ReadOptions::default(), &mut |_| {});
    println!("{} objects over TAXII, {} indicators", got.len(), reading.taken);
    ensure!(got.len() > 1_000 && reading.taken >= 40 * 9, "{} {:?}", got.len(), reading);
    let lost = runtime.block_on(pull(&house.source(folder.path(), &token, "unit-grid-1")?)).err();
    ensure!(lost.as_deref().is_some_and(|e| e.contains("no such collection")), "{lost:?}");
    let denied = runtime.block_on(pull(&house.source(folder.path(), "wrong", "unit-bank-1")?)).err();
    ensure!(denied.as_deref().is_some_and(|e| e.contains("refused the credentials")), "{denied:?}");
    Ok(())
}

#[test]
fn oasis_own_client_finds_its_way() -> Result<()> {
    let Some(python) = super::python() else { return Ok(()) };
    let house = House::new()?;
    house.warn("W0000000000000001", 2, &["bank-1", "grid-1"], Tlp::Green)?;
    house.warn("W0000000000000002", 1, &["grid-1"], Tlp::Red)?;
    for (role, units, expected) in [
        (Role::SectorUser, Some(&["grid-1"][..]), vec![("sector-power", 1), ("unit-grid-1", 2)]),
        (Role::Viewer, None, vec![("city", 2), ("sector-finance", 1), ("unit-bank-1", 1), ("unit-metro-1", 0)]),
    ] {
        let token = house.token(role, units)?;
        let said = super::run(&python, "taxii.py", &[&format!("http://{}/taxii2/", house.address), &token])?;
        let said: Value = serde_json::from_str(&said)?;
        println!("{said}");
        for (alias, reports) in expected {
            let id = exchange::uuid5(&["collection", alias]);
            let found = [alias, &id].iter().find_map(|name| said["collections"].get(*name)).with_context(|| format!("{alias}: {said}"))?;
            ensure!(found["reports"].as_array().is_some_and(|r| r.len() == reports) && found["can_write"] == false, "{alias}: {found}");
        }
    }
    Ok(())
}

#[test]
fn a_warning_issued_at_the_desk_leaves_in_every_form() -> Result<()> {
    let house = House::new()?;
    let lead = house.client(&house.token(Role::ShiftLead, None)?);
    let bank = house.client(&house.token(Role::SectorUser, Some(&["bank-1"]))?);
    let metro = house.client(&house.token(Role::SectorUser, Some(&["metro-1"]))?);
    let wang = Actor { name: "wang".into(), role: Some(Role::ShiftLead), units: None };
    let act = |id: Option<&str>, act: Value| -> Result<String> {
        let order = Order { kind: "warning".into(), id: id.map(str::to_owned), expected: None, act, key: None };
        let done = house.shared.office.act(&wang, sample::clock(), order).map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(done.changes.iter().find(|c| c.kind == "warning").context("a warning")?.id.clone())
    };
    let draft = json!({
        "act": "draft", "title": { "zh": "勒索软件", "en": "Ransomware" }, "event": { "zh": "加密文件", "en": "Files are encrypted" },
        "measures": [{ "zh": "断网", "en": "Unplug it" }], "category": "01007", "tlp": "green",
        "indicators": [{ "type": "ipv4-addr", "value": "203.0.113.9" }], "units": ["bank-1", "grid-1"],
    });
    let id = act(None, draft)?;
    let early = lead.get(&format!("/api/v1/warnings/{id}/export?format=cap"))?;
    ensure!(early.status == 422, "a draft is nobody else's: {} {}", early.status, early.body);
    act(Some(&id), json!({ "act": "assess", "level": "yellow", "reason": "seen it" }))?;
    act(Some(&id), json!({ "act": "issue" }))?;
    let told = bank.json("/api/v1/receipts")?;
    let receipt = told["items"][0]["id"].as_str().with_context(|| format!("{told}"))?;
    for format in exchange::Format::ALL {
        let what = format.name();
        let ours = lead.get(&format!("/api/v1/warnings/{id}/export?format={what}"))?;
        let theirs = bank.get(&format!("/api/v1/receipts/{receipt}/export?format={what}&revision=1"))?;
        ensure!((ours.status, theirs.status) == (200, 200), "{what}: {} {}", ours.body, theirs.body);
        ensure!(theirs.body.contains("203.0.113.9") && !theirs.body.contains("grid-1"), "{what}: {}", theirs.body);
        // The others name it by UUIDs that are made of it.
        ensure!(ours.body.contains(&id) || matches!(what, "misp" | "idea"), "{what}: {}", ours.body);
    }
    for (client, path, status) in [
        (&bank, format!("/api/v1/warnings/{id}/export?format=cap"), 404),
        (&metro, format!("/api/v1/receipts/{receipt}/export?format=cap"), 404),
        (&bank, format!("/api/v1/receipts/{receipt}/export?format=cap&revision=7"), 404),
        (&bank, format!("/api/v1/receipts/{receipt}/export?format=pdf"), 400),
    ] {
        let answer = client.get(&path)?;
        ensure!(answer.status == status, "{path}: {} {}", answer.status, answer.body);
    }
    let reports = |client: &tests::http::Client, alias: &str| -> Result<usize> {
        let said = client.json(&format!("/taxii2/desk/collections/{alias}/objects/?match[type]=report"))?;
        Ok(said["objects"].as_array().map_or(0, Vec::len))
    };
    ensure!(reports(&bank, "unit-bank-1")? == 1 && reports(&bank, "sector-finance")? == 1 && reports(&metro, "unit-metro-1")? == 0);
    // Lifted: the same report in a later version, and CAP's all-clear names what it follows.
    act(Some(&id), json!({ "act": "lift", "reason": "over", "override_reason": "the source is gone" }))?;
    let clear = bank.get(&format!("/api/v1/receipts/{receipt}/export?format=cap"))?.body;
    ensure!(clear.contains("AllClear") && clear.contains(&format!("{id}-1,")), "{clear}");
    ensure!(reports(&bank, "unit-bank-1")? == 1);
    Ok(())
}
