//! From what the desk changed to what readers are told: one feed item for each alert as it was stored.
//!
//! The order is: the desk store has it (with the people's words merged in), then the feed tells it. An alert that changes several
//! times in one step is told once, as it is in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use warning::Alert;

use crate::serve::feed::visible;
use crate::serve::{Feed, Item, Shared};

/// The item that tells an alert.
pub fn alert_item(alert: &Alert) -> Item {
    let told = api::FeedEvent::Alert { alert: Box::new(Shared::show(alert)) };
    Item {
        name: "alert",
        data: serde_json::to_string(&told).unwrap_or_default().into(),
        units: alert.units.iter().map(|u| u.id.clone()).collect(),
        alert: Some(Arc::new(alert.clone())),
    }
}

/// Tells what a step stored.
pub struct Outbox {
    feed: Arc<Feed>,
}

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub told: u64,
    /// Earlier states of alerts that changed again in the same step.
    pub merged: u64,
}

impl Outbox {
    pub fn new(feed: Arc<Feed>) -> Self {
        Self { feed }
    }

    /// `stored` is what `DeskStore::save` returned, in its order. Where the store changed nothing (a step it had already), nothing is told.
    pub fn send(&self, stored: &[Alert]) -> Sent {
        let newest: BTreeMap<&str, usize> = stored.iter().enumerate().map(|(n, a)| (a.id.0.as_str(), n)).collect();
        let mut sent = Sent::default();
        for (n, alert) in stored.iter().enumerate() {
            if newest.get(alert.id.0.as_str()) == Some(&n) {
                self.feed.publish(alert_item(alert));
                sent.told += 1;
            } else {
                sent.merged += 1;
            }
        }
        sent
    }
}

/// Whether a scoped reader would be told of this alert; for tests and for other channels.
pub fn would_see(scope: &crate::store::Scope, alert: &Alert) -> bool {
    visible(scope, alert.units.iter().map(|u| u.id.as_str()))
}
