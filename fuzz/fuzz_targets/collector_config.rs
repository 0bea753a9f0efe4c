//! Any text as the collector's configuration.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    match settings::load_text::<collector::config::Config>("collector.toml", text) {
        Ok(config) => {
            for (key, what) in collector::config::check(&config) {
                assert!(!key.is_empty() && !what.is_empty());
            }
        }
        Err(errors) => assert!(!errors.problems.is_empty() && !errors.to_string().is_empty()),
    }
});
