//! (stub)

use super::{HostFacts, Sensor, SensorError, SensorKind};

pub static NET: NetKind = NetKind;
pub struct NetKind;

impl SensorKind for NetKind {
    fn name(&self) -> &'static str {
        "net"
    }
    fn about(&self) -> &'static str {
        ""
    }
    fn fields(&self) -> &'static [event::Field] {
        &[]
    }
    fn sample(&self) -> &'static str {
        ""
    }
    fn check(&self, _section: &toml::Table) -> Result<(), String> {
        Ok(())
    }
    fn open(&self, _section: &toml::Table, _host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError> {
        Err(SensorError::new("not there yet"))
    }
}
