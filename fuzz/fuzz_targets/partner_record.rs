//! Any bytes as records of Suricata, Wazuh, AMiner and IDEA0: one event with its text, typed by these formats only with what their table promises,
//! and a record that is cut anywhere is a plain line.
#![no_main]
use event::{Field, Name, Timestamp, Value, field};
use proto::log::{FIELDS, Line, is_partner_record, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let received = Timestamp::from_secs(1_795_431_600);
    for format in ["eve", "wazuh", "aminer", "idea"] {
        let take = |bytes: &[u8]| read(&Line { bytes, received, utc_offset_secs: 28_800, format: Some(format) }).1;
        let event = take(bytes);
        assert_eq!(event.body.get(field::RAW_DATA), Some(&Value::lossy(bytes)));
        if event.source.category.as_deref() != Some("alert") {
            continue;
        }
        let told = |name: &Name| FIELDS.iter().map(|f: &Field| f.name()).any(|f| f == name.as_str());
        for (name, _) in event.body.iter() {
            assert!(told(name), "{format} sets {}, which is not in its table", name.as_str());
        }
        let text = String::from_utf8_lossy(bytes);
        let whole = text.trim_end();
        let cut = whole.strip_suffix('}').unwrap_or(whole);
        assert!(cut.len() < whole.len(), "a record ends with its brace");
        assert_ne!(take(cut.as_bytes()).source.category.as_deref(), Some("alert"), "cut, it still passes for whole");
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        is_partner_record(text);
    }
});
