//! The city's bad day through the real programs: `vedette serve` with the rules, tables and register that ship, the demo city's hosts over mTLS,
//! people with accounts and tokens of their own at the command line, a mail server and a webhook. `vedette serve` is killed with SIGKILL on the
//! way: while alerts are followed, after a draft, an assessment, an approval and a signature, and twice while a mail is on its way.
//!
//! After every start: nothing that was answered is lost, nothing was issued twice, the chains hold. At the end every delivery was made under one key,
//! and one byte changed in the database is found and named. Each wait is for a fact another program reports, with a deadline.
//!
//! What the clock forbids here is in `city.rs`, the same day with time as an argument: the climb after 15, 30 and 45 minutes, the way down and the
//! lifting after their dwell times, the same bytes when it is played again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::bench::{Bench, Said};
use tests::http::Client;
use tests::programs::{self, Collector, Running};

use super::notify::Peers;

/// Milliseconds a second of the story takes, and after which second of it the attack has reached the stations.
const PACE: &str = "40";
const ATTACK_S: &str = "345";
const DAY_S: &str = "600";
/// Seconds a fact may take on a machine that does other things too.
const PATIENCE_S: u64 = 300;

struct Town {
    bench: Bench,
    peers: Peers,
    ports: [u16; 3],
    house: Option<Collector>,
    /// Matters somebody was answered about: address, revision.
    answered: BTreeMap<String, u64>,
    /// What peers received and somebody waited for.
    waited: Vec<Value>,
    kills: usize,
    began: Instant,
}

impl Town {
    #[expect(clippy::disallowed_methods, reason = "says how long it took")]
    fn open() -> Result<Option<Self>> {
        let Some(bench) = Bench::new("vedette")? else { return Ok(None) };
        let Some(peers) = Peers::start(bench.dir.path())? else { return Ok(None) };
        let shipped = std::fs::read_to_string(programs::root().join("config/register.toml"))?;
        bench.write("register.toml", format!("{shipped}\n[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"local\"\n"))?;
        let all = "[\"hook\"]";
        let config = format!(
            "[notify.city]\nred = {all}\norange = {all}\nyellow = {all}\nblue = {all}\nother = {all}\n\
             [[channel]]\nname = \"mail\"\nkind = \"mail\"\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"vedette@city.example\"\n\
             [[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/in\"\n",
            peers.port("mail"),
            peers.port("web")
        );
        bench.write("collector.toml", config)?;
        let mut town = Self {
            bench,
            peers,
            ports: programs::free_ports()?,
            house: None,
            answered: BTreeMap::new(),
            waited: Vec::new(),
            kills: 0,
            began: Instant::now(),
        };
        town.start()?;
        Ok(Some(town))
    }

    fn start(&mut self) -> Result<()> {
        let (config, register) = (self.bench.path("collector.toml"), self.bench.path("register.toml"));
        let house = programs::collector_configured_at(&self.bench.path("data"), &config, &register, self.ports)?;
        self.house = Some(house.context("it was there before")?);
        let token = self.admin()?.token.clone();
        self.bench.write("admin.token", token)?;
        Ok(())
    }

    fn admin(&self) -> Result<&Client> {
        Ok(&self.house.as_ref().context("it runs")?.admin)
    }

    /// SIGKILL, and nothing else: no time to finish anything.
    fn end(&mut self) -> Result<()> {
        let mut house = self.house.take().context("it runs")?;
        house.child.0.kill()?;
        house.child.0.wait()?;
        self.kills += 1;
        Ok(())
    }

    /// Killed and started again; what was answered stands.
    fn kill(&mut self, when: &str) -> Result<()> {
        self.end()?;
        self.start()?;
        self.stands().with_context(|| format!("killed {when}"))?;
        println!("  {:5.1} s  killed {when}; all of it stands", self.began.elapsed().as_secs_f64());
        Ok(())
    }

    fn stands(&self) -> Result<()> {
        let admin = self.admin()?;
        for (path, revision) in &self.answered {
            let now = admin.json(path)?["revision"].as_u64().context("a revision")?;
            ensure!(now >= *revision, "{path} was answered as revision {revision} and is {now}");
            let history = admin.json(&format!("{path}/history"))?;
            let numbers: Vec<u64> = list(&history).filter_map(|e| e["revision"].as_u64()).collect();
            ensure!(numbers == (1..=now).collect::<Vec<_>>(), "{path}: its history is {numbers:?}");
        }
        for warning in self.warnings()? {
            let mut numbers = list_of(&warning["body"]["revisions"]).filter_map(|r| r["number"].as_u64());
            ensure!(numbers.by_ref().zip(1..).all(|(a, b)| a == b), "{}: revisions out of order", warning["id"]);
        }
        self.cli("admin", &["warnings", "verify"])?.is(0, &[])?;
        self.cli("admin", &["audit", "verify"])?.is(0, &[])
    }

    /// An account and a token of its own, as the person makes it: first password changed, logged in again.
    fn person(&self, name: &str, role: &str, units: Option<&[&str]>) -> Result<()> {
        let [first, own] = ["the first one given", "one of her own choice"];
        let account = self.admin()?.post("/api/v1/people", &json!({"name": name, "password": first, "role": role, "units": units}))?;
        ensure!(account.status == 200, "{name}: {} {}", account.status, account.body);
        let browser = Client { server: self.admin()?.server, token: String::new() };
        let log_in = |password: &str| -> Result<String> {
            let answer = browser.post("/api/v1/login", &json!({"name": name, "password": password}))?;
            ensure!(answer.status == 200, "{name}: {} {}", answer.status, answer.body);
            let session: Value = serde_json::from_str(&answer.body)?;
            let csrf = session["csrf"].as_str().context("a word")?;
            Ok(format!("cookie: {}\r\norigin: http://{}\r\nx-csrf-token: {csrf}\r\n", answer.cookie, browser.server))
        };
        let changed = browser.send("POST", "/api/v1/me/password", &log_in(first)?, Some(&json!({"old": first, "new": own})))?;
        ensure!(changed.status < 300, "{name}: {} {}", changed.status, changed.body);
        let wish = json!({"name": "desk", "role": role, "units": units, "days": 1});
        let made = browser.send("POST", "/api/v1/tokens", &log_in(own)?, Some(&wish))?;
        let token: Value = serde_json::from_str(&made.body)?;
        self.bench.write(&format!("{name}.token"), token["token"].as_str().with_context(|| made.body.clone())?)?;
        Ok(())
    }

    /// The command line as that person.
    fn cli(&self, who: &str, arguments: &[&str]) -> Result<Said> {
        let server = format!("http://{}", self.admin()?.server);
        let token = self.bench.path(&format!("{who}.token")).display().to_string();
        self.bench.run(&[&["--server", &server, "--token-file", &token, "--lang", "en"], arguments].concat())
    }

    /// An act that is taken; what it answered is held against every later start.
    fn act(&mut self, who: &str, arguments: &[&str]) -> Result<Value> {
        let said = self.cli(who, &[&["-o", "json"], arguments].concat())?;
        said.is(0, &[]).with_context(|| format!("{who}: {arguments:?}"))?;
        let matter = said.json()?["matter"].clone();
        let id = matter["id"].as_str().context("an id")?;
        self.answered.insert(format!("/api/v1/{}/{id}", arguments[0]), matter["revision"].as_u64().context("a revision")?);
        Ok(matter)
    }

    fn matters(&self, query: &str) -> Result<Vec<Value>> {
        Ok(list(&self.admin()?.json(&format!("/api/v1/{query}"))?).cloned().collect())
    }

    /// A number of the metrics page.
    fn metric(&self, name: &str) -> Result<f64> {
        let page = self.admin()?.get("/metrics")?.body;
        let line = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    }

    fn warnings(&self) -> Result<Vec<Value>> {
        self.matters("warnings?state=all&full=true&limit=500")
    }

    fn warning(&self, id: &str) -> Result<Value> {
        self.admin()?.json(&format!("/api/v1/warnings/{id}"))
    }

    /// The demo city's hosts: each with an identity, a certificate, a spool and a link of its own.
    #[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
    fn demo(&self, day: &str, seconds: &str) -> Result<Running> {
        let log = std::fs::File::create(self.bench.path("demo.log"))?;
        let server = format!("http://{}", self.admin()?.server);
        let mut command = Command::new(&self.bench.program);
        command.arg("demo").args(["--server", &server, "--day", day, "--pace", PACE, "--seconds", seconds]);
        command.arg("--token-file").arg(self.bench.path("admin.token")).arg("--state").arg(self.bench.path("hosts"));
        Ok(Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?))
    }

    /// Everything the hosts said is acknowledged.
    fn over(&self, demo: &mut Running) -> Result<()> {
        let ended = programs::until(PATIENCE_S, "the demo's end", || Ok(demo.0.try_wait()?))?;
        ensure!(ended.success(), "{ended}: {}", std::fs::read_to_string(self.bench.path("demo.log"))?);
        println!("  {:5.1} s  the hosts have said everything", self.began.elapsed().as_secs_f64());
        Ok(())
    }

    /// The next mail is taken by its server and never confirmed; the program is killed while it waits. The same mail comes again.
    fn kill_while_sending(&mut self, who: &str, arguments: &[&str], what: &str) -> Result<()> {
        self.peers.order("hold 1")?;
        self.act(who, arguments)?;
        let first = self.peers.wait(what, |v| v["peer"] == "mail" && v["held"] == true)?;
        self.kill(&format!("while {what} was on its way"))?;
        let again = self.peers.wait("the same mail again", |v| v["peer"] == "mail" && v["id"] == first["id"])?;
        ensure!((&again["to"], &again["subject"]) == (&first["to"], &first["subject"]), "{first} {again}");
        self.waited.extend([first, again]);
        Ok(())
    }

    /// One byte of the database is another.
    fn tamper(&self, table: &str, column: &str, which: &str, old: &str, new: &str) -> Result<()> {
        let database = self.bench.path("data/desk.db");
        #[expect(clippy::disallowed_methods, reason = "somebody who may write the file")]
        let out = Command::new("/usr/bin/python3")
            .args(["-c", TAMPER])
            .arg(database)
            .args([table, column, which, old, new])
            .output()
            .context("cannot start python3")?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }
}

const TAMPER: &str = "
import sqlite3, sys
path, table, column, which, old, new = sys.argv[1:]
base = sqlite3.connect(path)
(text,), = base.execute(f'SELECT {column} FROM {table} WHERE {which}')
assert len(old) == len(new) and sum(a != b for a, b in zip(old, new)) == 1
at = text.rindex(old)
base.execute(f'UPDATE {table} SET {column} = ? WHERE {which}', (text[:at] + new + text[at + len(old):],))
base.commit()
";

fn list(page: &Value) -> impl Iterator<Item = &Value> {
    list_of(&page["items"])
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn level(warning: &Value) -> &str {
    warning["body"]["recommended"]["level"].as_str().unwrap_or("none")
}

/// The attack over the link, with two kills; the warning that is recommended red.
fn attacked(town: &mut Town) -> Result<String> {
    let mut demo = town.demo("attack", ATTACK_S)?;
    // The first about an attacker: before it there are sensors that cannot see.
    programs::until(PATIENCE_S, "the first campaign", || {
        let all = town.matters("campaigns?state=all&full=true&limit=500")?;
        Ok(all.into_iter().find(|c| list_of(&c["body"]["from"]).next().is_some()))
    })?;
    town.kill("while alerts are followed")?;
    let draft = programs::until(PATIENCE_S, "the first draft", || Ok(town.warnings()?.into_iter().next()))?;
    let id = draft["id"].as_str().context("an id")?;
    town.answered.insert(format!("/api/v1/warnings/{id}"), draft["revision"].as_u64().context("a revision")?);
    town.kill(&format!("after the first draft ({})", level(&draft)))?;
    town.over(&mut demo)?;
    let gravest =
        programs::until(PATIENCE_S, "a warning recommended red", || Ok(town.warnings()?.into_iter().find(|w| level(w) == "red")))?;
    let open = town.matters("campaigns?state=open&limit=500")?.len();
    let alerts = town.admin()?.json("/api/v1/alerts?state=all&limit=1000")?;
    println!(
        "  {:5.1} s  {} alerts, {open} open campaigns, red: {}",
        town.began.elapsed().as_secs_f64(),
        list(&alerts).count(),
        gravest["title"]["en"]
    );
    ensure!(open < 50, "{open} open campaigns");
    Ok(gravest["id"].as_str().context("an id")?.to_owned())
}

/// Assessed, proposed upward, answered, approved by a second person, issued.
fn issued(town: &mut Town, id: &str) -> Result<BTreeSet<String>> {
    town.act("lin", &["warnings", "assess", id, "--level", "red", "--reason", "电网主站下发遥控命令，来源为银行失陷主机"])?;
    town.kill("after the assessment")?;
    ensure!(town.warning(id)?["body"]["assessed"]["by"] == "lin", "the assessment is gone");
    town.kill_while_sending("lin", &["warnings", "propose", id, "--reason", "超出本级发布权限"], "an advisory")?;
    town.act("wang", &["warnings", "answer", id, "--accepted", "--level", "red", "--reference", "省网应急〔2026〕17号"])?;
    town.act("lin", &["warnings", "submit", id])?;
    town.cli("lin", &["warnings", "approve", id, "--issue"])?.is(4, &["second person"])?;
    town.act("wang", &["warnings", "approve", id])?;
    town.kill("between approval and issue")?;
    let waiting = town.warning(id)?;
    ensure!(waiting["body"]["draft"]["approved"]["by"] == "wang", "{:#}", waiting["body"]["draft"]);
    town.kill_while_sending("wang", &["warnings", "issue", id], "the red warning")?;
    // Asked once more, by somebody who does not know: it is out, and stays out once.
    let again = town.cli("wang", &["warnings", "issue", id])?;
    ensure!(again.code.is_some_and(|c| c != 0), "{again:?}");
    let warning = town.warning(id)?;
    let steps: Vec<&str> = list_of(&warning["body"]["revisions"]).filter_map(|r| r["step"].as_str()).collect();
    ensure!(steps == ["issue", "upgrade"] && warning["state"] == "issued" && warning["level"] == "red", "{steps:?} {}", warning["state"]);
    let newest = &warning["body"]["revisions"][1];
    let units: BTreeSet<String> = list_of(&newest["units"]).filter_map(Value::as_str).map(str::to_owned).collect();
    ensure!(units.contains("grid-city") && units.contains("bank-city") && units.len() < 30, "{units:?}");
    ensure!(list_of(&newest["reasons"]).count() > 0, "it gives no reasons");
    println!("  {:5.1} s  issued red to {units:?}", town.began.elapsed().as_secs_f64());
    Ok(units)
}

/// Each unit sees its own receipt and nothing else; the bank signs and feeds back.
fn signed(town: &mut Town, id: &str, units: &BTreeSet<String>) -> Result<()> {
    let other =
        town.matters("units?limit=500")?.into_iter().filter_map(|u| u["id"].as_str().map(str::to_owned)).find(|u| !units.contains(u));
    let other = other.context("a unit that is not concerned")?;
    for unit in ["bank-city", "grid-city", &other] {
        town.person(&format!("{unit}-duty"), "sector_lead", Some(&[unit]))?;
        let who = format!("{unit}-duty");
        let seen = town.cli(&who, &["-o", "json", "receipts", "list", "--state", "all", "--full"])?.json()?;
        let about = list_of(&seen).filter(|r| r["body"]["warning"] == id).count();
        ensure!(about == usize::from(units.contains(unit)), "{unit} sees {about} receipts: {seen:#}");
        ensure!(town.cli(&who, &["-o", "json", "warnings", "list", "--state", "all"])?.json()? == json!([]), "{unit} sees warnings");
        town.cli(&who, &["warnings", "show", id])?.is(2, &[])?;
    }
    let receipts = town.matters(&format!("receipts?state=all&link={id}&limit=500"))?;
    ensure!(receipts.len() == units.len(), "{} receipts for {units:?}", receipts.len());
    let bank = receipts.iter().find(|r| r["units"] == json!(["bank-city"])).context("the bank's receipt")?;
    let receipt = bank["id"].as_str().context("an id")?.to_owned();
    town.act("bank-city-duty", &["receipts", "see", &receipt])?;
    town.act("bank-city-duty", &["receipts", "sign", &receipt])?;
    town.kill("after a signature")?;
    let after = town.admin()?.json(&format!("/api/v1/receipts/{receipt}"))?;
    ensure!(after["state"] == "signed", "{after:#}");
    ensure!(town.cli("bank-city-duty", &["receipts", "sign", &receipt])?.code != Some(0), "signed for twice");
    town.cli("grid-city-duty", &["receipts", "sign", &receipt])?.is(2, &[])?;
    let done = town.act("bank-city-duty", &["receipts", "feed-back", &receipt, "--affected", "attacked", "--measures", "断开失陷主机"])?;
    ensure!(done["state"] == "fed_back", "{done:#}");
    Ok(())
}

/// Every delivery was made, each under one key, and nothing came that is in no log.
fn delivered(town: &mut Town, units: &BTreeSet<String>) -> Result<()> {
    let rows = programs::until(PATIENCE_S, "all deliveries", || {
        let rows = town.matters("deliveries?limit=1000")?;
        Ok(rows.iter().all(|d| d["state"] == "sent").then_some(rows))
    })?;
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows {
        keys.entry(row["channel"].as_str().unwrap_or("")).or_default().insert(row["key"].as_str().unwrap_or(""));
    }
    let mut came: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    // The peer says what it got a moment after it has answered.
    programs::until(PATIENCE_S, "what the peers got", || {
        for got in town.waited.drain(..).chain(town.peers.rest()) {
            let (channel, key) = match got["peer"].as_str() {
                Some("mail") => ("mail", got["id"].as_str().and_then(|id| id.strip_prefix('<')?.split('@').next())),
                Some("webhook") => ("hook", got["headers"]["idempotency-key"].as_str()),
                _ => continue,
            };
            came.entry((channel.to_owned(), key.context("a key")?.to_owned())).or_default().push(got);
        }
        Ok(keys.iter().all(|(c, keys)| keys.iter().all(|k| came.contains_key(&((*c).to_owned(), (*k).to_owned())))).then_some(()))
    })?;
    for ((channel, key), all) in &came {
        ensure!(keys.get(channel.as_str()).is_some_and(|k| k.contains(key.as_str())), "{channel} had {key}, which is in no log");
        ensure!(all.iter().all(|one| one["to"] == all[0]["to"] && one["body"] == all[0]["body"]), "{channel} {key} was two things");
    }
    for unit in units {
        let told = rows.iter().filter(|d| d["unit"] == unit.as_str() && d["level"] == "red").count();
        ensure!(told >= 1, "{unit} was not told");
    }
    let again = came.values().filter(|all| all.len() > 1).count();
    println!("  {} deliveries, {} of them again under the same key after a kill", rows.len(), again);
    Ok(())
}

/// One byte of a signed revision, then one of the audit trail.
fn tampered(town: &mut Town, id: &str) -> Result<()> {
    let which = format!("kind = 'warning' AND id = '{id}'");
    let (old, new) = ("\"receipt_s\":900", "\"receipt_s\":901");
    town.end()?;
    town.tamper("matter", "body", &which, old, new)?;
    town.start()?;
    let found = town.cli("admin", &["warnings", "verify"])?;
    ensure!(found.code == Some(1) && found.out.contains(&format!("BROKEN warning {id} revision 2")), "{found:?}");
    println!("  a revision's byte: {}", found.out.lines().find(|l| l.contains("BROKEN")).unwrap_or(""));
    town.cli("admin", &["audit", "verify"])?.is(0, &[])?;
    town.end()?;
    town.tamper("matter", "body", &which, new, old)?;
    town.start()?;
    town.cli("admin", &["warnings", "verify"])?.is(0, &[])?;
    let rows = town.matters("audit?limit=1000")?;
    let row = rows.iter().filter(|r| r["actor"] == "lin").find_map(|r| r["number"].as_u64()).context("a row of lin's")?;
    town.end()?;
    town.tamper("audit", "who", &format!("number = {row}"), "lin", "liu")?;
    town.start()?;
    let found = town.cli("admin", &["audit", "verify"])?;
    ensure!(found.code == Some(1) && found.out.contains(&format!("broken at entry {row}:")), "{found:?}");
    println!("  an audit row's byte: {}", found.out.trim());
    Ok(())
}

#[test]
fn a_bad_day_through_the_real_programs_survives_every_kill() -> Result<()> {
    let Some(mut town) = Town::open()? else { return Ok(()) };
    town.person("lin", "shift_lead", None)?;
    town.person("wang", "shift_lead", None)?;
    let id = attacked(&mut town)?;
    let units = issued(&mut town, &id)?;
    signed(&mut town, &id, &units)?;
    delivered(&mut town, &units)?;
    tampered(&mut town, &id)?;
    println!("  {:5.1} s  {} kills", town.began.elapsed().as_secs_f64(), town.kills);
    Ok(())
}

#[test]
fn its_benign_twin_raises_nothing_above_blue_through_the_real_programs() -> Result<()> {
    let Some(town) = Town::open()? else { return Ok(()) };
    let mut demo = town.demo("quiet", DAY_S)?;
    town.over(&mut demo)?;
    // What is acknowledged is on disk; the engine reads behind that, and the desk behind the engine.
    programs::until(PATIENCE_S, "the engine", || {
        let read = |name: &str| town.metric(name);
        let all =
            read("vedette_engine_events_total")? >= read("vedette_ingest_events_total")? && read("vedette_engine_behind_bytes")? == 0.0;
        Ok(all.then_some(()))
    })?;
    let alerts = town.admin()?.json("/api/v1/alerts?state=all&limit=1000")?;
    let graded = programs::until(PATIENCE_S, "the desk", || {
        let graded = town.matters("campaigns?state=all&full=true&limit=500")?;
        let taken: u64 = graded.iter().filter_map(|c| c["body"]["alerts"].as_u64()).sum();
        Ok((taken == list(&alerts).count() as u64).then_some(graded))
    })?;
    let drafts = town.warnings()?;
    let levels: BTreeSet<&str> = drafts.iter().map(level).collect();
    println!("  {:5.1} s  {} alerts, {} drafts {levels:?}", town.began.elapsed().as_secs_f64(), list(&alerts).count(), drafts.len());
    ensure!(levels.iter().all(|l| ["none", "blue"].contains(l)), "{drafts:#?}");
    for campaign in &graded {
        ensure!(["none", "blue"].contains(&level(campaign)), "{campaign:#}");
    }
    Ok(())
}
