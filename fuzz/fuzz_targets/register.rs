//! Any text as a register of units and assets: refused with a line, or asked about hosts and addresses.
#![no_main]
use collector::register::Register;
use event::AgentId;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Register::parse(text, "r.toml") {
        Ok(register) => {
            for unit in register.units() {
                assert!(register.unit(&unit.id).is_some());
            }
            for asset in register.assets() {
                register.host(AgentId(1), asset.hostname.as_deref());
            }
            register.address([10, 0, 0, 1].into());
            register.address([0u16; 8].into());
        }
        Err(error) => assert!(error.to_string().contains("r.toml"), "{error}"),
    }
});
