//! Proof that what was issued is what was signed: every warning's chain, every receipt's, and that the two agree.

use api::{BothTexts, BrokenRevision, WarningProof};
use axum::extract::State;
use axum::response::Response;
use matter::receipt::Receipt;
use matter::warn::{self, Broken, Warning};
use matter::{Both, Matter};

use super::App;
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;
use crate::store::desk::{MatterQuery, MatterRow};

/// Bodies held at a time; one may have a megabyte.
const BATCH: usize = 32;
const BROKEN_MAX: usize = 1_000;

pub async fn verify(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    let proof = shared.work(move |s| prove(s, &caller.scope)).await?;
    Ok(reply::json(&proof))
}

/// Looks at everything in scope. What one unit was told is compared with the warning only for the city, whose both are.
pub fn prove(shared: &Shared, scope: &Scope) -> Result<WarningProof, Fail> {
    let book = shared.office.book();
    let mut proof = WarningProof::default();
    let mut broken: Vec<Broken> = Vec::new();
    each(shared, scope, Warning::KIND, |row| {
        proof.warnings += 1;
        match serde_json::from_value::<Warning>(row.body) {
            Ok(warning) => {
                proof.revisions += warning.revisions.len() as u64;
                broken.extend(warn::verify(&warning, &book).err());
            }
            Err(error) => broken.push(unreadable(Warning::KIND, row.id, &error)),
        }
        Ok(())
    })?;
    each(shared, scope, Receipt::KIND, |row| {
        proof.receipts += 1;
        let receipt = match serde_json::from_value::<Receipt>(row.body) {
            Ok(receipt) => receipt,
            Err(error) => {
                broken.push(unreadable(Receipt::KIND, row.id, &error));
                return Ok(());
            }
        };
        proof.copies += receipt.copies.len() as u64;
        let mut found = receipt.verify(&book).err();
        if found.is_none() && scope.is_city() {
            found = match shared.desk.matter(scope, Warning::KIND, &receipt.warning)? {
                None => Some(gone(&receipt)),
                Some(row) => serde_json::from_value::<Warning>(row.body).ok().and_then(|w| warn::accord(&w, &receipt).err()),
            };
        }
        broken.extend(found);
        Ok(())
    })?;
    proof.intact = broken.is_empty();
    proof.broken = broken.into_iter().take(BROKEN_MAX).map(shown).collect();
    Ok(proof)
}

/// Every matter of a kind in scope, the real ones and the drills'.
fn each(shared: &Shared, scope: &Scope, kind: &str, mut look: impl FnMut(MatterRow) -> Result<(), Fail>) -> Result<(), Fail> {
    for exercise in [false, true] {
        let mut after = None;
        loop {
            let query = MatterQuery {
                kind: kind.to_owned(),
                states: Vec::new(),
                open: false,
                level_min: None,
                exercise,
                unit: None,
                link: None,
                text: None,
                limit: BATCH,
                after,
            };
            let page = shared.desk.matters(scope, &query)?;
            for row in page.matters {
                look(row)?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}

fn unreadable(kind: &'static str, id: String, error: &serde_json::Error) -> Broken {
    Broken { kind, id, number: 0, why: Both::new(format!("无法读取（{error}）"), format!("it cannot be read: {error}")) }
}

fn gone(receipt: &Receipt) -> Broken {
    Broken {
        kind: Receipt::KIND, id: receipt.id.clone(), number: 0, why: Both::new("其预警已不存在", "its warning is not there any more")
    }
}

fn shown(broken: Broken) -> BrokenRevision {
    let Broken { kind, id, number, why } = broken;
    BrokenRevision { kind: kind.to_owned(), id, number, why: BothTexts { en: why.en, zh: why.zh } }
}
