//! The small texts that people, programs and addresses bring: ids, times, positions, cursors, sizes. What is read is written and read the same.
#![no_main]
use std::fmt::Display;
use std::str::FromStr;

use collector::serve::query::{cursor_text, read_cursor, states};

fn there_and_back<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert!(value.to_string().parse::<T>().is_ok_and(|again| again == value), "'{text}' becomes '{value}'");
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    there_and_back::<event::AgentId>(text);
    there_and_back::<event::EventId>(text);
    there_and_back::<event::Severity>(text);
    there_and_back::<collector::store::Cursor>(text);
    there_and_back::<collector::serve::Position>(text);
    there_and_back::<agent::identity::message::Invitation>(text);
    let _ = (text.parse::<settings::Bytes>(), text.parse::<settings::Duration>(), states(text));
    if let Some(time) = event::Timestamp::parse_rfc3339(text) {
        assert_eq!(event::Timestamp::parse_rfc3339(&time.to_string()).map(|t| t.ms()), Some(time.ms()), "{text}");
    }
    if let Ok(cursor) = read_cursor(text) {
        assert_eq!(cursor_text(&read_cursor(&cursor_text(&cursor)).expect("ours")), cursor_text(&cursor));
    }
    let _ = (agent::config::Listen::parse(text), agent::identity::message::split_host_port(text), agent::privilege::Rights::parse(text));
});
