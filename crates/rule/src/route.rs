//! Log source → the rules to ask and the plan to ask them by.
//!
//! Words are numbers here, 0 is "any" and every word no rule names. A plan is made when its source is first met and kept; plans
//! together are bounded, because who writes events chooses the words. Past the bound a source is answered without a plan (slower, same
//! answers) and counted; after enough of those all plans are forgotten, so that the sources really in use come to theirs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use event::LogSource;

use crate::compile::Program;
use crate::names::NameTable;
use crate::plan::Plan;
use crate::set::Rule;

/// Rules in all plans together, as a multiple of the rules of the set; a plan weighs `PLAN_WEIGHT` more.
const PLANS_RULES_MAX: usize = 16;
const PLAN_WEIGHT: usize = 64;
/// Sources remembered with their route.
const SOURCES_MAX: usize = 4096;
/// Events without a plan after which all plans are forgotten.
const FORGET_AFTER: u64 = 1 << 16;
/// Routes a scratch keeps at hand.
const RECENT_MAX: usize = 16;

/// The words of a source as numbers.
pub(crate) type Key = [u32; 3];

/// How the rules of a source are asked.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    Planned(Arc<Plan>),
    /// No room for a plan: every rule that fits.
    Listed(Arc<[u32]>),
}

#[derive(Debug, Default)]
pub(crate) struct Router {
    words: NameTable,
    rules: HashMap<Key, Vec<u32>>,
    made: RwLock<Made>,
    unplanned: AtomicU64,
}

#[derive(Debug, Default)]
struct Made {
    routes: HashMap<Key, Route>,
    /// Plans by their rules: sources with the same rules share one.
    plans: HashMap<Arc<[u32]>, Arc<Plan>>,
    weight: usize,
}

impl Router {
    pub fn add(&mut self, source: &LogSource, rule: u32) {
        let key = [source.product.as_deref(), source.category.as_deref(), source.service.as_deref()].map(|word| match word {
            None => 0,
            Some(word) => self.words.insert(word, u32::try_from(self.words.len()).unwrap_or(u32::MAX - 1) + 1),
        });
        self.rules.entry(key).or_default().push(rule);
    }

    pub fn key_of(&self, source: &LogSource) -> Key {
        self.key([source.product.as_deref(), source.category.as_deref(), source.service.as_deref()])
    }

    pub fn key(&self, words: [Option<&str>; 3]) -> Key {
        words.map(|word| word.and_then(|w| self.words.find(w)).unwrap_or(0))
    }

    /// False where no rule can be about the source.
    pub fn may_fit(&self, key: Key) -> bool {
        key != [0; 3] || self.rules.contains_key(&[0; 3])
    }

    /// Rules whose source covers this one, ascending, each once.
    pub fn rules(&self, key: Key) -> Arc<[u32]> {
        let mut all = Vec::new();
        for mask in 0..8u8 {
            // Each word as it is or as "any"; a word that is none already is taken once.
            let part = [0, 1, 2].map(|n: usize| if mask >> n & 1 == 1 { key.get(n).copied().unwrap_or(0) } else { 0 });
            if (0..3).all(|n| mask >> n & 1 == 0 || part.get(n) != Some(&0)) {
                all.extend(self.rules.get(&part).into_iter().flatten());
            }
        }
        all.sort_unstable();
        all.dedup();
        all.into()
    }

    pub fn unplanned(&self) -> u64 {
        self.unplanned.load(Ordering::Relaxed)
    }

    fn route(&self, key: Key, rules: &[Rule], program: &Program) -> Route {
        if let Some(route) = self.made.read().unwrap_or_else(PoisonError::into_inner).routes.get(&key) {
            return route.clone();
        }
        let fitting = self.rules(key);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = made.routes.get(&key) {
            return route.clone();
        }
        let weight = fitting.len() + PLAN_WEIGHT;
        let route = match made.plans.get(&fitting) {
            Some(plan) => Route::Planned(Arc::clone(plan)),
            None if made.weight + weight > rules.len() * PLANS_RULES_MAX + 64 * PLAN_WEIGHT => {
                if (self.unplanned.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(FORGET_AFTER) {
                    *made = Made::default();
                }
                return Route::Listed(fitting);
            }
            None => {
                let plan = Arc::new(Plan::new(&fitting, rules, program));
                made.weight += weight;
                made.plans.insert(fitting, Arc::clone(&plan));
                Route::Planned(plan)
            }
        };
        if made.routes.len() >= SOURCES_MAX {
            made.routes.clear();
        }
        made.routes.insert(key, route.clone());
        route
    }
}

/// The routes one thread met last: no lock for those.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    routes: Vec<(Key, Route)>,
    next: usize,
}

impl Recent {
    pub fn route(&mut self, key: Key, router: &Router, rules: &[Rule], program: &Program) -> Route {
        if let Some((_, route)) = self.routes.iter().find(|(k, _)| *k == key) {
            return route.clone();
        }
        let route = router.route(key, rules, program);
        if let Route::Planned(_) = route {
            if self.routes.len() < RECENT_MAX {
                self.routes.push((key, route.clone()));
            } else {
                self.next = (self.next + 1) % RECENT_MAX;
                if let Some(place) = self.routes.get_mut(self.next) {
                    *place = (key, route.clone());
                }
            }
        }
        route
    }
}
