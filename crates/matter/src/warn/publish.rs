//! Making a revision: numbered, chained, signed, sent to each unit as a copy of its own; and proving afterwards that nothing was changed.

use warning::AlertReason;

use super::content::after;
use super::elsewhere::Elsewhere;
use super::{Draft, ROOM_BYTES, Since, State, Verdict, Warning};
use crate::notice::Step;
use crate::receipt::{self, Receipt};
use crate::{Book, Both, Desk, Effects, Matter, Notice, Refusal, Revision, disclose};

/// Reasons of one revision.
const REASONS_MAX: usize = 32;

impl Warning {
    /// Appends a revision and tells the units. The caller has checked everything.
    pub(super) fn publish(&mut self, draft: &Draft, mut why: Vec<AlertReason>, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let issued = draft.level.unwrap_or(Verdict::Advisory);
        let tables = &desk.book.tables.desk;
        let service = tables.service.of(issued.level());
        let ends = draft.step.ends();
        let until = |minutes: u32| if ends { desk.now } else { after(desk.now, minutes.max(1)) };
        let number = self.last().map_or(1, |r| r.number.saturating_add(1));
        why.truncate(REASONS_MAX);
        let revision = sealed(
            Revision {
                warning: self.id.clone(),
                number,
                step: draft.step,
                level: issued.level(),
                notice: draft.notice.clone(),
                certainty: draft.certainty,
                issuer: tables.issuer.clone(),
                drafted_by: draft.drafted_by.clone(),
                approved_by: draft.approved.as_ref().map(|a| a.by.clone()),
                issued: desk.now,
                review: until(service.review_min),
                expires: until(service.expires_min),
                receipt_s: service.receipt_min.saturating_mul(60),
                feedback_s: service.feedback_min.saturating_mul(60),
                units: draft.units.clone(),
                sectors: draft.sectors.clone(),
                tlp: draft.tlp,
                pap: draft.pap,
                reasons: why,
                disclosed: None,
                exercise: self.exercise,
                previous: self.last().map(|r| r.hash.clone()).unwrap_or_default(),
                hash: String::new(),
                key: String::new(),
                signature: String::new(),
            },
            desk.book,
        );
        let elsewhere = Elsewhere::of(self, desk)?;
        for unit in &revision.units {
            let id = Receipt::id(&self.id, unit);
            let mut copy = copy_for(&revision, unit, desk.book);
            if !ends {
                copy.disclosed = elsewhere.told(&revision, unit, desk)?.map(Box::new);
            }
            let copy = Box::new(copy);
            if desk.shelf.get(Receipt::KIND, &id)?.is_some() {
                out.act::<Receipt>(&id, &receipt::Act::Revise { copy });
            } else {
                out.open::<Receipt>(&receipt::Act::Open { copy });
            }
        }
        let changed = self.issued_level != Some(issued);
        self.review_due = (!ends).then_some(revision.review);
        self.overdue = None;
        self.issued_level = Some(issued);
        self.settled = self.settled.max(Some(issued));
        self.revisions.push(revision);
        // The next step down waits its own dwell time.
        if changed {
            self.lower = None;
        }
        let judged = self.judged.or(self.assessed.as_ref().map(|a| a.level)).unwrap_or(issued);
        self.judge(judged, desk);
        if ends {
            (self.lower, self.quiet) = (None, None::<Since>);
        }
        Ok(())
    }

    /// Whether another revision fits.
    pub(super) fn room(&self) -> Result<(), Refusal> {
        let size: usize = self.revisions.iter().map(|r| serde_json::to_vec(r).map_or(0, |v| v.len())).sum();
        if size > ROOM_BYTES {
            return Err(Refusal::because(
                format!("{} revisions are all one warning holds: draft a new one and lift this", self.revisions.len()),
                format!("本预警已有 {} 个版本，容量已满：请另行草拟并解除本预警", self.revisions.len()),
            ));
        }
        Ok(())
    }
}

/// What one unit gets of it: not who else does, no reason that names another's hosts, no whole address of another unit. Its receipt chains and
/// signs it.
fn copy_for(revision: &Revision, unit: &str, book: &Book) -> Revision {
    let mut notice = revision.notice.clone();
    texts(&mut notice).for_each(|text| *text = disclose::mask_text(book, unit, text));
    Revision {
        notice,
        units: vec![unit.to_owned()],
        reasons: Vec::new(),
        previous: String::new(),
        hash: String::new(),
        key: String::new(),
        signature: String::new(),
        ..revision.clone()
    }
}

/// Every text of a notice, in both languages.
fn texts(notice: &mut Notice) -> impl Iterator<Item = &mut String> {
    let Notice { title, event, threat, scope, impact, measures, .. } = notice;
    [title, event, threat, scope, impact].into_iter().chain(measures).flat_map(|both| [&mut both.zh, &mut both.en])
}

/// A copy says what the revision says; the last part of an address may be masked in it.
fn reads_alike(revision: &Notice, copy: &Notice) -> bool {
    let masked = |notice: &Notice| {
        let mut notice = notice.clone();
        texts(&mut notice).for_each(|text| *text = disclose::mask_all(text));
        notice
    };
    revision == copy || masked(revision) == masked(copy)
}

/// With its hash and signature.
pub(crate) fn sealed(mut revision: Revision, book: &Book) -> Revision {
    let hash = revision.hash_now();
    revision.hash = blake3::Hash::from_bytes(hash).to_hex().to_string();
    revision.key = book.signer.key();
    revision.signature = book.signer.sign(&hash);
    revision
}

/// The first revision that is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The warning, or the receipt whose copy it is.
    pub kind: &'static str,
    pub id: String,
    /// 0: the chain as a whole.
    pub number: u32,
    pub why: Both,
}

/// Checks the chain of a warning: its numbers, hashes, signatures, and that its state is what its last revision says.
pub fn verify(warning: &Warning, book: &Book) -> Result<(), Broken> {
    let broken = |number, why| Broken { kind: Warning::KIND, id: warning.id.clone(), number, why };
    chain(&warning.revisions, &warning.id, true, book).map_err(|(number, why)| broken(number, why))?;
    let last = warning.last();
    let mut follows = warning.clone();
    follows.settle();
    let unissued = matches!(warning.state, State::Draft | State::Assessing | State::Approving) && last.is_some();
    if follows.state != warning.state || unissued || last.map(|r| Verdict::issued(r.level)) != warning.issued_level {
        let number = last.map_or(0, |r| r.number);
        let why = Both::new(
            format!("状态“{}”与最后一个版本不符", warning.state.name()),
            format!("its state '{}' is not what its last revision says", warning.state.name()),
        );
        return Err(broken(number, why));
    }
    Ok(())
}

/// Checks that what a unit was told is what the warning says: each copy is of a revision that is there, and none after the unit was first told
/// is missing.
pub fn accord(warning: &Warning, receipt: &Receipt) -> Result<(), Broken> {
    let broken = |number, zh: &str, en: &str| Broken { kind: Receipt::KIND, id: receipt.id.clone(), number, why: Both::new(zh, en) };
    for copy in &receipt.copies {
        let Some(revision) = warning.revisions.iter().find(|r| r.number == copy.number) else {
            return Err(broken(copy.number, "预警中没有该版本", "the warning has no such revision"));
        };
        let same = reads_alike(&revision.notice, &copy.notice) && revision.level == copy.level && revision.step == copy.step;
        if !same || revision.issued != copy.issued || !revision.units.contains(&receipt.unit) {
            return Err(broken(copy.number, "与预警的该版本不符", "it is not what the warning's revision says"));
        }
    }
    let first = receipt.copies.first().map_or(0, |c| c.number);
    let lost = warning.revisions.iter().find(|r| r.number >= first && !receipt.copies.iter().any(|c| c.number == r.number));
    match lost {
        Some(lost) => Err(broken(lost.number, "单位未收到该版本", "the unit was not told of it")),
        None => Ok(()),
    }
}

/// Checks a chain of revisions. `whole`: it begins with number 1 and leaves none out; a unit's copies may begin later.
pub(crate) fn chain(revisions: &[Revision], warning: &str, whole: bool, book: &Book) -> Result<(), (u32, Both)> {
    let mut previous: Option<&Revision> = None;
    for revision in revisions {
        let at = revision.number;
        if revision.warning != warning {
            return Err((at, Both::new("属于另一份预警", "it belongs to another warning")));
        }
        let expected = previous.map_or(1, |p| p.number + 1);
        if whole && at != expected || !whole && at < expected {
            return Err((at, Both::new(format!("应为第 {expected} 版"), format!("number {expected} should stand here"))));
        }
        if revision.previous != previous.map(|p| p.hash.as_str()).unwrap_or_default() {
            return Err((at, Both::new("与前一版本的散列不符", "it does not follow the revision before it")));
        }
        if previous.is_some_and(|p| p.step.ends()) || whole && previous.is_none() != (revision.step == Step::Issue) {
            return Err((at, Both::new("该版本不应出现在此处", "such a revision cannot stand here")));
        }
        if !book.holds(revision) {
            return Err((at, Both::new("内容与签名不符", "it is not what was signed")));
        }
        previous = Some(revision);
    }
    Ok(())
}
