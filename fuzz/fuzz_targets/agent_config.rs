//! Any text as the agent's configuration, over it lines `KEY=VALUE` (after a NUL) as its environment: a value, or problems that say where.
#![no_main]
use settings::Layers;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (file, environment) = text.split_once('\0').unwrap_or((text, ""));
    let variables = environment.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (format!("VEDETTE_AGENT__{k}"), v.to_owned()));
    let layers = Layers::new().text("agent.toml", file).environment("VEDETTE_AGENT", variables);
    if let Err(errors) = agent::config::Config::from_layers(layers) {
        assert!(!errors.problems.is_empty() && errors.problems.iter().all(|p| !p.message.is_empty()));
        let lines = file.split('\n').count();
        assert!(errors.problems.iter().all(|p| p.place.line <= lines), "{errors}");
    }
});
