//! (stub)

use super::{HostFacts, Sensor, SensorError, SensorKind};

pub static FILE: FileKind = FileKind;
pub struct FileKind;

impl SensorKind for FileKind {
    fn name(&self) -> &'static str {
        "file"
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
