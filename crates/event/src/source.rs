//! Where an event comes from, in Sigma's terms. Set by the sensor, so a rule that cannot match is never looked at.

use std::borrow::Cow;
use std::fmt;

/// Sigma log source. A sensor's own words are static; those read from outside are owned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct LogSource {
    pub product: Option<Cow<'static, str>>,
    pub category: Option<Cow<'static, str>>,
    pub service: Option<Cow<'static, str>>,
}

impl LogSource {
    /// From static words; an empty word means "none".
    pub const fn new(product: &'static str, category: &'static str, service: &'static str) -> Self {
        const fn word(text: &'static str) -> Option<Cow<'static, str>> {
            if text.is_empty() { None } else { Some(Cow::Borrowed(text)) }
        }
        Self { product: word(product), category: word(category), service: word(service) }
    }

    /// From words read at run time; empty means "none".
    pub fn owned(product: Option<&str>, category: Option<&str>, service: Option<&str>) -> Self {
        let word = |w: Option<&str>| w.filter(|w| !w.is_empty()).map(|w| Cow::Owned(w.to_owned()));
        Self { product: word(product), category: word(category), service: word(service) }
    }

    /// True if everything this source names is also named, with the same word, by `other`: a rule for
    /// `product: linux` covers an event of `product: linux, service: sshd`, not the other way round.
    pub fn covers(&self, other: &Self) -> bool {
        let fits = |a: &Option<Cow<'static, str>>, b: &Option<Cow<'static, str>>| a.is_none() || a == b;
        fits(&self.product, &other.product) && fits(&self.category, &other.category) && fits(&self.service, &other.service)
    }
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |w: &Option<Cow<'static, str>>| w.as_deref().unwrap_or("*").to_owned();
        write!(f, "{}/{}/{}", part(&self.product), part(&self.category), part(&self.service))
    }
}
