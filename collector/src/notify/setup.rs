//! `[[channel]]` and `[notify]`: checked whole, then exchanged whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use notifier::queue::{Patience, Quiet};
use notifier::{Configured, Limits, Zone};
use serde::Deserialize;
use warning::grade::Level;

use super::wire::Wire;
use crate::config::Config;

/// Channels at most.
pub const CHANNELS_MAX: usize = 100;
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// `[notify]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    pub mail: String,
    pub time_zone: String,
    pub console: String,
    pub quiet: String,
    pub attempts: u32,
    pub city: City,
}

/// `[notify.city]`: channels of the city's own people by level.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct City {
    pub red: Vec<String>,
    pub orange: Vec<String>,
    pub yellow: Vec<String>,
    pub blue: Vec<String>,
    pub other: Vec<String>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            mail: String::new(),
            time_zone: "+08:00".to_owned(),
            console: String::new(),
            quiet: String::new(),
            attempts: Patience::default().attempts_max,
            city: City::default(),
        }
    }
}

impl City {
    pub fn of(&self, level: Option<Level>) -> &[String] {
        match level {
            Some(Level::Red) => &self.red,
            Some(Level::Orange) => &self.orange,
            Some(Level::Yellow) => &self.yellow,
            Some(Level::Blue) => &self.blue,
            None => &self.other,
        }
    }
    fn all(&self) -> [(&'static str, &[String]); 5] {
        [
            ("notify.city.red", &self.red),
            ("notify.city.orange", &self.orange),
            ("notify.city.yellow", &self.yellow),
            ("notify.city.blue", &self.blue),
            ("notify.city.other", &self.other),
        ]
    }
}

/// Channels ready to use, and who is told where.
pub struct Setup {
    pub channels: BTreeMap<String, Configured>,
    /// The channel mail addresses of the register are reached by.
    pub mail: Option<String>,
    pub zone: Zone,
    pub quiet: Option<Quiet>,
    pub console: String,
    pub patience: Patience,
    pub city: City,
    pub wire: Arc<Wire>,
}

impl Setup {
    /// Nothing configured.
    pub fn none() -> Self {
        Self {
            channels: BTreeMap::new(),
            mail: None,
            zone: Zone::BEIJING,
            quiet: None,
            console: String::new(),
            patience: Patience::default(),
            city: City::default(),
            wire: Arc::default(),
        }
    }

    /// All problems as (key, what).
    pub fn read(config: &Config) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut channels: BTreeMap<String, Configured> = BTreeMap::new();
        if config.channel.len() > CHANNELS_MAX {
            problems.push(("channel", format!("{} channels: at most {CHANNELS_MAX}", config.channel.len())));
        }
        for (n, section) in config.channel.iter().enumerate().take(CHANNELS_MAX) {
            let name = section.get("name").and_then(toml::Value::as_str).unwrap_or("?").to_owned();
            match notifier::open(section, &secret) {
                Ok(opened) if channels.contains_key(&opened.common.name) => {
                    problems.push(("channel", format!("[[channel]] {} '{name}': there is one of that name already", n + 1)));
                }
                Ok(opened) => drop(channels.insert(opened.common.name.clone(), opened)),
                Err(lines) => problems.extend(lines.lines().map(|l| ("channel", format!("[[channel]] {} '{name}': {l}", n + 1)))),
            }
        }
        let notify = &config.notify;
        let known = |name: &String| {
            let near = settings::did_you_mean(name, channels.keys().map(String::as_str));
            let way = near.map_or_else(|| "name a [[channel]]".to_owned(), |n| format!("did you mean '{n}'?"));
            (!channels.contains_key(name)).then(|| format!("value \"{name}\": there is no such channel; {way}"))
        };
        for (key, list) in notify.city.all() {
            problems.extend(list.iter().filter_map(known).map(|what| (key, what)));
        }
        let addressed = |name: &String| channels.get(name).is_some_and(|c| c.common.addressed);
        let mail = match &notify.mail {
            name if name.is_empty() => channels.keys().find(|n| addressed(n)).cloned(),
            name => {
                problems.extend(known(name).map(|what| ("notify.mail", what)));
                if channels.contains_key(name) && !addressed(name) {
                    problems.push(("notify.mail", format!("value \"{name}\": that is no mail channel")));
                }
                Some(name.clone())
            }
        };
        let zone = Zone::parse(&notify.time_zone);
        if zone.is_none() {
            problems.push(("notify.time_zone", format!("value \"{}\": write +08:00", notify.time_zone)));
        }
        let quiet = Quiet::parse(&notify.quiet);
        if quiet.is_none() && !notify.quiet.is_empty() {
            problems.push(("notify.quiet", format!("value \"{}\": write 22:00-07:00", notify.quiet)));
        }
        if !(1..=1_000).contains(&notify.attempts) {
            problems.push(("notify.attempts", format!("value {}: 1 to 1000", notify.attempts)));
        }
        if !notify.console.is_empty() && !notify.console.starts_with("https://") && !notify.console.starts_with("http://") {
            problems.push(("notify.console", format!("value \"{}\": write https://host", notify.console)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            channels,
            mail,
            zone: zone.unwrap_or(Zone::BEIJING),
            quiet,
            console: notify.console.clone(),
            patience: Patience { attempts_max: notify.attempts, ..Patience::default() },
            city: notify.city.clone(),
            wire: Arc::default(),
        })
    }

    pub fn limits(&self) -> Vec<(String, Limits)> {
        self.channels.iter().map(|(name, c)| (name.clone(), c.common.limits)).collect()
    }
}

/// A file with a secret.
fn secret(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > SECRET_BYTES_MAX {
        return Err(format!("{size} bytes long; a secret has at most {SECRET_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}
