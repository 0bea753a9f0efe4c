//! Who is told, and the whole way from a message in the desk store to a peer on loopback and back into the delivery log.

use std::collections::BTreeMap;
use std::sync::Arc;

use matter::register::{Contact, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;
use crate::store::SqliteDesk;
use crate::store::desk::DeliveryQuery;

fn setup(text: &str) -> Setup {
    let config: Config = settings::load_text("collector.toml", text).expect("well-formed");
    Setup::read(&config).unwrap_or_else(|told| panic!("{told:?}"))
}

fn message(n: u32, level: Option<Level>, recipient: Recipient) -> Message {
    Message {
        key: format!("m{n}"),
        recipient,
        level,
        kind: "warning".into(),
        id: format!("W{n:016x}"),
        thread: "W1".into(),
        title: Both::new(format!("标题 {n}"), format!("title {n}")),
        text: Both::new("正文", "text"),
        revision: None,
        exercise: false,
        time: crate::clock::now(),
    }
}

fn office(desk: &Arc<dyn DeskStore>, units: Vec<Unit>) -> Arc<Office> {
    let tables = crate::office::tables(None, None).unwrap();
    let book = matter::Book {
        tables: Arc::new(tables),
        units: units.into_iter().map(|u| (u.id.clone(), u)).collect(),
        objects: BTreeMap::new(),
        assets: BTreeMap::new(),
        signer: Arc::new(crate::office::SigningKey::fleeting().unwrap()),
        flaws: Arc::new(()),
        pseudonyms: [1; 32],
        places: Default::default(),
    };
    Arc::new(Office::new(desk.clone(), Arc::new(crate::serve::Feed::new(1, 16)), book))
}

fn contact(name: &str, role: &str, mail: &str, channels: &[&str]) -> Contact {
    Contact {
        name: name.into(),
        role: role.into(),
        mail: mail.into(),
        channels: channels.iter().map(|c| (*c).to_owned()).collect(),
        ..Contact::default()
    }
}

const TWO: &str = "[notify.city]\nred = ['mail', 'hook']\nblue = ['hook']\n[[channel]]\nname = 'mail'\nkind = 'mail'\nserver = '127.0.0.1:1'\ntls = 'none'\nfrom = 'v@city.example'\nto = ['a@city.example', 'b@city.example']\n[[channel]]\nname = 'hook'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/'\n";

#[test]
fn the_line_of_a_unit_is_followed_until_somebody_can_be_reached() {
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::in_memory().unwrap());
    let grid = Unit {
        id: "grid".into(),
        contacts: vec![
            contact("no way", "duty", "", &[]),
            contact("typo", "substitute", "", &["hok"]),
            contact("chief", "leader", "chief@grid.example", &["hook"]),
            contact("ministry", "protection", "m@gov.example", &[]),
        ],
        ..Unit::default()
    };
    let office = office(&desk, vec![grid, Unit { id: "mute".into(), ..Unit::default() }]);
    let (book, setup) = (office.book(), setup(TWO));
    let told = |recipient: Recipient, level| {
        recipients::deliveries(&book, &setup, 1, &message(1, level, recipient), crate::clock::now())
            .into_iter()
            .map(|d| format!("{} {} {} {}", d.contact, d.channel, d.target, d.state).replace("  ", " "))
            .collect::<Vec<_>>()
    };
    let unit = |unit: &str, role: &str| Recipient::Unit { unit: unit.into(), role: role.into() };
    // The typo is a dead letter of its own, and the line goes on.
    assert_eq!(
        told(unit("grid", "duty"), Some(Level::Red)),
        ["typo hok dead", "chief mail chief@grid.example queued", "chief hook queued"]
    );
    assert_eq!(told(unit("grid", "protection"), Some(Level::Red)), ["ministry mail m@gov.example queued"]);
    assert_eq!(told(unit("mute", "duty"), Some(Level::Red)).len(), 1, "a dead letter says that nobody can be reached");
    let city = Recipient::City { right: Permission::WarningsDraft };
    assert_eq!(
        told(city.clone(), Some(Level::Red)),
        [
            "city:warnings_draft mail a@city.example queued",
            "city:warnings_draft mail b@city.example queued",
            "city:warnings_draft hook queued"
        ]
    );
    assert_eq!(told(city.clone(), Some(Level::Blue)).len(), 1);
    assert!(told(city, None).is_empty(), "nobody asked for it");
}

#[test]
fn a_wrong_set_up_is_refused_whole_with_its_reasons() {
    for (text, told) in [
        ("[notify.city]\nred = ['mial']\n[[channel]]\nname='mail'\nkind='webhook'\nurl='http://127.0.0.1:1/'", "did you mean 'mail'"),
        ("[notify]\nmail = 'hook'\n[[channel]]\nname='hook'\nkind='webhook'\nurl='http://127.0.0.1:1/'", "no mail channel"),
        ("[notify]\ntime_zone = 'Asia/Shanghai'", "+08:00"),
        ("[notify]\nquiet = '22-7'", "22:00-07:00"),
        (
            "[[channel]]\nname='x'\nkind='webhook'\nurl='http://127.0.0.1:1/'\n[[channel]]\nname='x'\nkind='webhook'\nurl='http://127.0.0.1:1/'",
            "already",
        ),
        ("[[channel]]\nname='x'\nkind='webhook'\nurl='http://127.0.0.1:1/'\nurll='y'", "urll"),
    ] {
        let config: Config = settings::load_text("c.toml", text).unwrap();
        let problems = Setup::read(&config).err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(problems.iter().any(|(_, what)| what.contains(told)), "{text}: {problems:?}");
        assert_eq!(crate::config::check(&config).len(), problems.len());
    }
}

/// A webhook receiver: answers with these statuses in turn, the last for ever, and tells each request's key and body.
async fn receiver(statuses: &'static [u16]) -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<(String, serde_json::Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let (key, body) = loop {
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                bytes.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let find = |name: &str| head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix(name).map(|v| v.trim().to_owned()));
                let length: usize = find("content-length:").and_then(|v| v.parse().ok()).unwrap_or(0);
                if body.len() >= length {
                    let key = head.lines().find_map(|l| l.strip_prefix("idempotency-key: ")).unwrap_or("").to_owned();
                    break (key, serde_json::from_str(body).unwrap_or_default());
                }
            };
            let status = statuses[count.min(statuses.len() - 1)];
            count += 1;
            let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await;
            let _ = tell.send((key, body));
        }
    });
    (address, told)
}

fn tell(desk: &Arc<dyn DeskStore>, messages: &[Message]) {
    desk.transact(&mut |shelf| messages.iter().try_for_each(|m| shelf.tell(m).map(drop))).unwrap();
}

fn hook(address: std::net::SocketAddr) -> Setup {
    setup(&format!(
        "[notify.city]\nred = ['hook']\nblue = ['hook']\n[[channel]]\nname = 'hook'\nkind = 'webhook'\nurl = 'http://{address}/in'\n"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_delivered_once_and_a_failed_attempt_goes_again_under_the_same_key() {
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::in_memory().unwrap());
    let office = office(&desk, Vec::new());
    let (address, mut told) = receiver(&[503, 204]).await;
    let metrics = Metrics::new("vedette");
    let (notifier, carrier) =
        Notifier::start(desk.clone(), office.clone(), hook(address), NotifyMetrics::new(&metrics), crate::clock::now).unwrap();
    let city = Recipient::City { right: Permission::WarningsDraft };
    tell(&desk, &[message(1, Some(Level::Red), city)]);
    office.bell.notify_one();
    let (first, body) = told.recv().await.unwrap();
    let (second, _) = told.recv().await.unwrap();
    assert_eq!((first.as_str(), body["messages"][0]["key"].as_str()), (second.as_str(), Some("m1")));
    notifier.stop();
    carrier.join().unwrap();
    let rows = desk.deliveries(&DeliveryQuery::default()).unwrap();
    assert_eq!(rows.iter().map(|r| (r.state.as_str(), r.attempts)).collect::<Vec<_>>(), [("sent", 2)]);
    let tries = desk.attempts_of(rows[0].parcel.as_deref().unwrap()).unwrap();
    assert_eq!(tries.len(), 2);
    assert!(tries[0].outcome.contains("503") && tries[1].outcome == "sent", "{tries:?}");
    // Started again, it has nothing to do.
    let (notifier, carrier) =
        Notifier::start(desk.clone(), office, hook(address), NotifyMetrics::new(&metrics), crate::clock::now).unwrap();
    notifier.stop();
    carrier.join().unwrap();
    assert!(told.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_at_a_kill_goes_again_under_its_key_and_tests_are_marked() {
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::in_memory().unwrap());
    let office = office(&desk, Vec::new());
    let (address, mut told) = receiver(&[204]).await;
    let city = Recipient::City { right: Permission::WarningsDraft };
    tell(&desk, &[message(1, Some(Level::Blue), city.clone()), message(2, Some(Level::Blue), city)]);
    // What a program that was killed left behind: both messages in one digest, its attempt begun and never ended.
    let setup = hook(address);
    let rows: Vec<DeliveryRow> = desk
        .untaken_messages(10)
        .unwrap()
        .iter()
        .flat_map(|(n, m)| recipients::deliveries(&office.book(), &setup, *n, m, crate::clock::now()))
        .collect();
    let numbers: Vec<u64> = desk.take_messages(Some(2), &rows).unwrap().iter().map(|r| r.number).collect();
    desk.begin_attempt(&numbers, "G7", "hook", 1, crate::clock::now()).unwrap();
    let metrics = Metrics::new("vedette");
    let (notifier, carrier) = Notifier::start(desk.clone(), office, setup, NotifyMetrics::new(&metrics), crate::clock::now).unwrap();
    let (key, body) = told.recv().await.unwrap();
    assert_eq!((key.as_str(), body["messages"].as_array().map(Vec::len)), ("G7", Some(2)));
    let (_, verdict) = notifier.test("hook", None, "lin").await.unwrap();
    assert_eq!(verdict, Verdict::Done);
    let (_, body) = told.recv().await.unwrap();
    assert_eq!(body["test"], true);
    assert!(body["subject"].as_str().unwrap().contains("[测试 TEST]"));
    assert!(notifier.test("elsewhere", None, "lin").await.is_none());
    notifier.stop();
    carrier.join().unwrap();
    let rows = desk.deliveries(&DeliveryQuery::default()).unwrap();
    assert!(rows.iter().all(|r| r.state == "sent" && r.attempts == 2), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_a_dead_letter_that_can_go_again() {
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::in_memory().unwrap());
    let office = office(&desk, Vec::new());
    let (address, mut told) = receiver(&[403, 204]).await;
    let metrics = Metrics::new("vedette");
    let (notifier, carrier) =
        Notifier::start(desk.clone(), office.clone(), hook(address), NotifyMetrics::new(&metrics), crate::clock::now).unwrap();
    tell(&desk, &[message(1, Some(Level::Red), Recipient::City { right: Permission::WarningsDraft })]);
    office.bell.notify_one();
    told.recv().await.unwrap();
    let dead = loop {
        let rows = desk.deliveries(&DeliveryQuery { state: "dead".into(), ..DeliveryQuery::default() }).unwrap();
        if let Some(row) = rows.into_iter().next() {
            break row;
        }
        tokio::task::yield_now().await;
    };
    assert!(dead.reason.contains("403"));
    assert!(notifier.retry("D0000").unwrap().is_none());
    assert!(notifier.retry(&dead.id).unwrap().is_some());
    told.recv().await.unwrap();
    notifier.stop();
    carrier.join().unwrap();
    assert_eq!(desk.delivery(&dead.id).unwrap().unwrap().state, "sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_red_behind_a_thousand_messages_nobody_has_taken_yet_goes_first() {
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::in_memory().unwrap());
    let office = office(&desk, Vec::new());
    let (address, mut told) = receiver(&[204]).await;
    let city = Recipient::City { right: Permission::WarningsDraft };
    let mut all: Vec<Message> = (1..=1_000).map(|n| message(n, Some(Level::Blue), city.clone())).collect();
    // A title that quotes the word is not a red message.
    all[0].title.en = "\"level\":\"red\"".into();
    all.push(message(1_001, Some(Level::Red), city));
    tell(&desk, &all);
    let metrics = Metrics::new("vedette");
    let (notifier, carrier) =
        Notifier::start(desk.clone(), office, hook(address), NotifyMetrics::new(&metrics), crate::clock::now).unwrap();
    let (_, body) = told.recv().await.unwrap();
    assert_eq!((body["level"].as_str(), body["messages"][0]["key"].as_str()), (Some("red"), Some("m1001")));
    let mut came = 1;
    while came < 1_001 {
        let (_, body) = told.recv().await.unwrap();
        came += body["messages"].as_array().map_or(0, Vec::len);
    }
    notifier.stop();
    carrier.join().unwrap();
    assert_eq!((came, desk.delivery_counts().unwrap()), (1_001, vec![("hook".to_owned(), "sent".to_owned(), 1_001)]), "each once");
}
