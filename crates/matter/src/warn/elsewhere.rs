//! What each unit reads beside a warning: seen elsewhere so many minutes ago, and which of its own hosts show the same.
//!
//! It is worked out when a revision is made and stands in the unit's signed copy from then on, so that a receipt read a year later says what the
//! unit was told, and the acts replayed give the same bytes. Everything goes through [`crate::disclose`]; of others it knows when they were
//! hit and never what was seen there.
//!
//! Limits: `ALERTS_MAX` newest alerts and `ASSETS_MAX` assets of the unit are looked at; nothing where the notice names no indicator. A drill's
//! warning is held against no real alert.

use std::collections::BTreeMap;

use event::Timestamp;

use super::Warning;
use crate::campaign::Campaign;
use crate::disclose::{Disclosed, Known, Own, for_unit};
use crate::{Desk, Refusal, Revision};

const ALERTS_MAX: usize = 200;
const ASSETS_MAX: usize = 2_000;

/// The case as the desk knows it, with the names.
pub(super) struct Elsewhere {
    case: String,
    /// Units hit, and when first, where that is known.
    victims: BTreeMap<String, Option<Timestamp>>,
    exercise: bool,
}

impl Elsewhere {
    pub(super) fn of(warning: &Warning, desk: &Desk) -> Result<Self, Refusal> {
        let mut victims: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
        for unit in warning.recommended.iter().flat_map(|r| &r.concerned).filter(|u| !u.is_empty()) {
            victims.insert(unit.clone(), None);
        }
        if let Some(id) = &warning.campaign
            && let Some(campaign) = desk.get::<Campaign>(id)?
        {
            for (unit, seen) in campaign.units {
                victims.insert(unit, Some(seen.first));
            }
        }
        let case = warning.campaign.as_ref().unwrap_or(&warning.id).clone();
        Ok(Self { case, victims, exercise: warning.exercise })
    }

    /// What this unit is given with this revision.
    pub(super) fn told(&self, revision: &Revision, unit: &str, desk: &Desk) -> Result<Option<Disclosed>, Refusal> {
        let own = if revision.notice.indicators.is_empty() { Vec::new() } else { self.own(unit, desk)? };
        let known = Known {
            case: &self.case,
            tlp: revision.tlp,
            victims: self.victims.keys().cloned().collect(),
            recipients: revision.units.iter().cloned().collect(),
            indicators: &revision.notice.indicators,
            first: self.victims.iter().filter(|(other, _)| *other != unit).filter_map(|(_, first)| *first).min(),
        };
        Ok(for_unit(desk.book, &known, unit, &own, desk.now))
    }

    /// Its alerts and its declared assets.
    fn own(&self, unit: &str, desk: &Desk) -> Result<Vec<Own>, Refusal> {
        let mut own = if self.exercise { Vec::new() } else { desk.shelf.own(unit, ALERTS_MAX)? };
        let assets = desk.book.places().assets_of(unit).filter_map(|id| desk.book.assets.get(id));
        own.extend(assets.take(ASSETS_MAX).map(|asset| Own {
            host: asset.hostname.clone().unwrap_or_else(|| asset.id.clone()),
            alert: String::new(),
            values: asset.networks.iter().chain(&asset.hostname).cloned().collect(),
            time: None,
        }));
        Ok(own)
    }
}
