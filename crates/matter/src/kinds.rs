//! The table of kinds, and what makes a row of a type.

use serde_json::Value;

use crate::{ActRow, BODY_BYTES_MAX, Card, Desk, Effects, Matter, Permission, Refusal};

/// Every kind there is. A new one is a file and a row.
pub static KINDS: &[Kind] = &[
    kind::<crate::bulletin::Bulletin>("bulletins", "通报", Permission::MattersRead, crate::bulletin::ACTS),
    kind::<crate::clock::Clock>("clocks", "报告时限", Permission::MattersRead, crate::clock::ACTS),
    kind::<crate::consultation::Consultation>("consultations", "会商", Permission::MattersRead, crate::consultation::ACTS),
    kind::<crate::drill::Drill>("drills", "演练", Permission::MattersRead, crate::drill::ACTS),
    kind::<crate::order::WorkOrder>("orders", "处置任务", Permission::MattersRead, crate::order::ACTS),
    kind::<crate::warn::Warning>("warnings", "预警", Permission::MattersRead, crate::warn::ACTS),
    kind::<crate::receipt::Receipt>("receipts", "签收单", Permission::MattersRead, crate::receipt::ACTS),
    kind::<crate::campaign::Campaign>("campaigns", "攻击活动", Permission::MattersRead, crate::campaign::ACTS),
    kind::<crate::incident::Incident>("incidents", "安全事件", Permission::MattersRead, crate::incident::ACTS),
    kind::<crate::silence::Silence>("silences", "静默", Permission::MattersRead, crate::silence::ACTS),
    #[cfg(test)]
    kind::<crate::tests::Errand>("errands", "差事", Permission::AlertsRead, crate::tests::ACTS),
];

type Made = (Card, Value);

/// One kind.
pub struct Kind {
    pub word: &'static str,
    /// Folder in the API and word on the command line.
    pub plural: &'static str,
    pub zh: &'static str,
    /// Who may read it, within scope.
    pub read: Permission,
    pub acts: &'static [ActRow],
    pub(crate) name: fn(&Value, &Desk, Option<&str>) -> Result<String, Refusal>,
    pub(crate) open: fn(&str, &Value, &Desk, &mut Effects) -> Result<Made, Refusal>,
    pub(crate) act: fn(&Value, &Value, &Desk, &mut Effects) -> Result<Made, Refusal>,
    pub(crate) lapse: fn(&Value, &Desk, &mut Effects) -> Result<Made, Refusal>,
    /// The card of a stored body; none for a body that cannot be read.
    pub card: fn(&Value) -> Option<Card>,
}

impl Kind {
    pub fn find(word: &str) -> Option<&'static Self> {
        KINDS.iter().find(|k| k.word == word || k.plural == word)
    }
    pub fn act_row(&self, word: &str) -> Option<&'static ActRow> {
        self.acts.iter().find(|a| a.word == word)
    }
}

/// The row of a type.
pub const fn kind<M: Matter>(plural: &'static str, zh: &'static str, read: Permission, acts: &'static [ActRow]) -> Kind {
    Kind {
        word: M::KIND,
        plural,
        zh,
        read,
        acts,
        name: |act, desk, key| Ok(M::name(&read_act::<M>(act)?, desk, key)),
        open: |id, act, desk, out| made(&M::open(id, read_act::<M>(act)?, desk, out)?),
        act: |body, act, desk, out| {
            let mut matter = read_body::<M>(body)?;
            matter.act(read_act::<M>(act)?, desk, out)?;
            made(&matter)
        },
        lapse: |body, desk, out| {
            let mut matter = read_body::<M>(body)?;
            matter.lapse(desk, out)?;
            made(&matter)
        },
        card: |body| read_body::<M>(body).ok().map(|m| m.card()),
    }
}

fn read_act<M: Matter>(act: &Value) -> Result<M::Act, Refusal> {
    serde_json::from_value(act.clone()).map_err(|e| Refusal::because(format!("{}: {e}", M::KIND), format!("内容有误：{e}")))
}

fn read_body<M: Matter>(body: &Value) -> Result<M, Refusal> {
    serde_json::from_value(body.clone()).map_err(|e| Refusal::Storage(format!("stored {} cannot be read: {e}", M::KIND)))
}

fn made<M: Matter>(matter: &M) -> Result<Made, Refusal> {
    let body = serde_json::to_value(matter).map_err(|e| Refusal::Storage(e.to_string()))?;
    if body.to_string().len() > BODY_BYTES_MAX {
        return Err(Refusal::because("it would grow past 1 MiB; open another one", "内容将超过 1 MiB，请另立一件"));
    }
    Ok((matter.card(), body))
}
