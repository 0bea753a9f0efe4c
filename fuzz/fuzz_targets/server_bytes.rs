//! What a server that is not ours may send to the command line: the feed cut anywhere gives the same events, and what they hold is shown
//! without a panic and without a control character that could steer a terminal. The first byte says how the bytes are cut.
#![no_main]
use collector::cli::stream::{BLOCK_BYTES_MAX, Blocks, Told};
use collector::cli::{Format, Language, Printer, clean, show};
use serde_json::Value;

fn read(bytes: &[u8], size: usize) -> Vec<Told> {
    let mut blocks = Blocks::default();
    let mut all = Vec::new();
    for part in bytes.chunks(size) {
        blocks.push(part).expect("below the limit");
        all.extend(std::iter::from_fn(|| blocks.take()));
    }
    all
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    if rest.len() >= BLOCK_BYTES_MAX {
        return;
    }
    let told = read(rest, usize::from(*first) + 1);
    assert_eq!(told, read(rest, rest.len().max(1)));
    let whole = serde_json::from_slice::<Value>(rest).ok();
    let values = told.iter().filter_map(|t| serde_json::from_str::<Value>(&t.data).ok()).chain(whole);
    for value in values {
        let alert = value.get("alert").cloned().unwrap_or_else(|| value.clone());
        for lang in [Language::Zh, Language::En] {
            let printer = Printer { format: Format::Table, lang, color: false };
            for columns in [show::ALERTS, show::EVENTS, show::AGENTS, show::UNITS, show::RULES, show::INDICATORS, show::INDICATOR_MATCHES] {
                let text = printer.render_list(std::slice::from_ref(&alert), columns);
                assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            }
            for text in [show::alert(&value, lang), show::why(&value, lang)] {
                assert!(!clean(&text).chars().any(char::is_control));
            }
        }
    }
});
