//! Any bytes as a TAXII request's path and query, and as a server's answers page by page: the server answers, the client ends.
#![no_main]

use event::Timestamp;
use exchange::taxii::{Bounds, Collection, MEDIA_TYPE, Next, Pull, Record, Request, Shelf, serve};

struct Held(Vec<Record>);

impl Shelf for Held {
    fn title(&self) -> String {
        "held".into()
    }
    fn collections(&self) -> Vec<Collection> {
        vec![Collection { id: "c".into(), alias: "a".into(), title: "t".into(), description: String::new() }]
    }
    fn records(&self, _: &str) -> Vec<Record> {
        self.0.clone()
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut pull = Pull::new("http://h/taxii2/desk/", "c", None, Bounds { pages_max: 100, ..Bounds::default() });
    for page in bytes.split(|b| *b == 0) {
        match pull.answer(200, MEDIA_TYPE, None, Some("2026-11-23T12:00:00Z"), page) {
            Ok(Next::Ask) => drop(pull.request()),
            _ => break,
        }
    }
    pull.sound();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let objects = serde_json::from_str::<Vec<serde_json::Value>>(text).unwrap_or_default();
    let held = Held(objects.into_iter().map(|object| Record { added: Timestamp::from_secs(1), object }).collect());
    let (path, query) = text.split_once('?').unwrap_or(("desk/collections/c/objects/", text));
    for path in [path, "desk/collections/c/objects/", "desk/collections/c/manifest/"] {
        let answer = serve(&Request { method: "GET", path, query, accept: None }, &held);
        assert!((200..500).contains(&answer.status) && answer.body.starts_with('{'));
    }
});
