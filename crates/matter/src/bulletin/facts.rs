//! Facts of matters: what a bulletin counts of a body as it is stored. A body that cannot be read gives no fact and is counted by the caller.

use event::Timestamp;
use serde_json::Value;

use super::count::{CampaignFact, ClockFact, DrillFact, Facts, IncidentFact, OrderFact, ReceiptFact, WarningFact};
use crate::clock::Clock;
use crate::drill::Drill;
use crate::incident::{CloseReason, Incident};
use crate::order::WorkOrder;

impl Facts {
    /// Takes one matter in; false where the body is none of its kind. Campaigns before warnings: a warning's first evidence is its campaign's.
    pub fn add(&mut self, kind: &str, id: &str, body: &Value) -> bool {
        match kind {
            "campaign" => self.add_campaign(id, body).is_some(),
            "incident" => self.add_incident(body).is_some(),
            "warning" => self.add_warning(id, body).is_some(),
            "receipt" => self.add_receipt(body).is_some(),
            "order" => match serde_json::from_value::<WorkOrder>(body.clone()) {
                Ok(WorkOrder::One(one)) => {
                    self.orders.push(OrderFact {
                        exercise: one.exercise,
                        issued: one.issued,
                        deadline: one.deadline,
                        fed_back: one.feedback.iter().find(|f| f.round == one.round).map(|f| f.at),
                        closed: one.closed.as_ref().map(|c| c.at),
                    });
                    true
                }
                Ok(WorkOrder::Set(_)) => true,
                Err(_) => false,
            },
            "clock" => match serde_json::from_value::<Clock>(body.clone()) {
                Ok(clock) => {
                    let runs = clock.runs.iter().filter(|r| r.waived.is_none() && !clock.withdrawn);
                    self.clocks.extend(runs.map(|run| ClockFact {
                        exercise: clock.exercise,
                        id: run.row.id.clone(),
                        deadline: run.deadline,
                        met: run.met,
                    }));
                    true
                }
                Err(_) => false,
            },
            "drill" => match serde_json::from_value::<Drill>(body.clone()) {
                Ok(drill) => {
                    if let (Some(ended), Some(score)) = (drill.ended, drill.score) {
                        self.drills.push(DrillFact { ended, points: score.points, of: score.of });
                    }
                    true
                }
                Err(_) => false,
            },
            _ => true,
        }
    }

    fn add_campaign(&mut self, id: &str, body: &Value) -> Option<()> {
        let units = body.get("units")?.as_object()?;
        let first = time(body.get("first"))?;
        self.began.insert(id.to_owned(), first);
        self.campaigns.push(CampaignFact {
            first,
            exercise: yes(body, "exercise"),
            sectors: units.values().filter_map(|u| u.get("sector")?.as_str()).map(str::to_owned).collect(),
            units: units.len(),
            techniques: words(body.get("techniques")),
        });
        Some(())
    }

    /// One that was taken into another counts there; one that was none counts not at all.
    fn add_incident(&mut self, body: &Value) -> Option<()> {
        let incident: Incident = serde_json::from_value(body.clone()).ok()?;
        let none = incident.closed.as_ref().is_some_and(|c| c.reason != CloseReason::Resolved);
        if incident.merged_into.is_none() && !none {
            self.incidents.push(IncidentFact {
                confirmed: incident.reached.get("confirmed").map(|s| s.time),
                closed: incident.closed.as_ref().and_then(|_| incident.reached.get("closed")).map(|s| s.time),
                exercise: incident.exercise,
                grade: incident.grade.unwrap_or(0),
                category: incident.category,
            });
        }
        Some(())
    }

    fn add_warning(&mut self, id: &str, body: &Value) -> Option<()> {
        let revisions = body.get("revisions")?.as_array()?;
        let step = |r: &Value| {
            let level = r.get("level").and_then(Value::as_str).unwrap_or("advisory");
            Some((time(r.get("issued"))?, r.get("step")?.as_str()?.to_owned(), level.to_owned()))
        };
        let steps: Option<Vec<_>> = revisions.iter().map(step).collect();
        self.warnings.push(WarningFact {
            id: id.to_owned(),
            exercise: yes(body, "exercise"),
            first_evidence: body.get("campaign").and_then(Value::as_str).and_then(|c| self.began.get(c)).copied(),
            steps: steps?,
        });
        Some(())
    }

    fn add_receipt(&mut self, body: &Value) -> Option<()> {
        // Of this round: a rise of the level begins anew.
        let sent = time(body.get("sent"))?;
        let first = |list: &str| body.get(list)?.as_array()?.iter().filter_map(|e| time(e.get("at"))).filter(|at| *at >= sent).min();
        let limit = |key: &str| Some(sent.plus_secs(body.get("copies")?.as_array()?.last()?.get(key)?.as_i64()?));
        self.receipts.push(ReceiptFact {
            exercise: yes(body, "exercise"),
            unit: body.get("unit")?.as_str()?.to_owned(),
            sent,
            delivered: first("deliveries"),
            sign_by: limit("receipt_s"),
            signed: first("signed"),
            feedback_by: limit("feedback_s"),
            fed_back: first("feedback"),
        });
        Some(())
    }
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(value?.as_str()?)
}

fn yes(body: &Value, key: &str) -> bool {
    body.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn words(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).map(|l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}
