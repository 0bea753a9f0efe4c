//! The delivery log and the channels: the city's business only, since it names every unit's people.

use api::{Attempt, Channel, ChannelPage, ChannelTest, ChannelTested, Code, Delivery, DeliveryPage};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use notifier::Verdict;
use notifier::queue::RED;
use serde::Deserialize;
use warning::grade::Level;

use super::{App, Json, Paging, Params, PathId};
use crate::notify::level_word;
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::desk::{DeliveryQuery, DeliveryRow};

#[derive(Debug, Default, Deserialize)]
pub struct Which {
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub channel: String,
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub about: String,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

/// Only who sees the whole city.
pub fn city(caller: &Caller) -> Result<(), Fail> {
    if caller.scope.is_city() { Ok(()) } else { Err(Fail::code(Code::Denied)) }
}

pub async fn list(State(shared): State<App>, caller: Caller, headers: HeaderMap, Params(which): Params<Which>) -> Result<Response, Fail> {
    city(&caller)?;
    let page = shared.work(move |s| find(s, &which)).await?;
    Ok(reply::list(&headers, &page))
}

/// A page of the log.
pub fn find(shared: &Shared, which: &Which) -> Result<DeliveryPage, Fail> {
    let limit = Paging { limit: which.limit, cursor: None }.limit()?;
    if !matches!(which.state.as_str(), "" | "queued" | "failed" | "sent" | "dead") {
        return Err(Fail::because(Code::BadRequest, "state is queued, failed, sent or dead", "state 应为 queued、failed、sent 或 dead"));
    }
    let before = match which.cursor.as_deref().filter(|c| !c.is_empty()) {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Fail::code(Code::BadCursor))?),
    };
    let query = DeliveryQuery {
        state: which.state.clone(),
        channel: which.channel.clone(),
        unit: which.unit.clone(),
        about: which.about.clone(),
        before,
        limit,
    };
    let rows = shared.desk.deliveries(&query)?;
    let next = (rows.len() == limit).then(|| rows.last().map(|r| r.number.to_string())).flatten();
    Ok(DeliveryPage { items: rows.into_iter().map(show).collect(), next })
}

pub fn show(row: DeliveryRow) -> Delivery {
    let open = matches!(row.state.as_str(), "queued" | "failed");
    let sent = row.ended.filter(|_| row.state == "sent");
    Delivery {
        level: (row.rank > 0).then(|| level_word(row.rank).to_owned()),
        title: api::BothTexts { zh: row.title_zh, en: row.title_en },
        next: if open { api::time_text(row.next) } else { String::new() },
        seconds: sent.map(|at| (at - row.told).max(0) as f64 / event::SECOND_NS as f64),
        ended: row.ended.map(api::time_text).unwrap_or_default(),
        queued: api::time_text(row.queued),
        id: row.id,
        state: row.state,
        channel: row.channel,
        contact: row.contact,
        address: row.target,
        unit: row.unit,
        exercise: row.exercise,
        kind: row.kind,
        about: row.about,
        attempts: row.attempts,
        reason: row.reason,
        key: row.parcel.unwrap_or_default(),
        tries: Vec::new(),
    }
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    city(&caller)?;
    let delivery = shared.work(move |s| with_tries(s, &id)).await?;
    Ok(reply::json(&delivery))
}

/// One delivery with its attempts.
pub fn with_tries(shared: &Shared, id: &str) -> Result<Delivery, Fail> {
    let row = shared.desk.delivery(id)?.ok_or_else(Fail::not_found)?;
    let mut delivery = show(row);
    if !delivery.key.is_empty() {
        delivery.tries = shared
            .desk
            .attempts_of(&delivery.key)?
            .into_iter()
            .map(|a| Attempt { began: api::time_text(a.began), ended: a.ended.map(api::time_text).unwrap_or_default(), outcome: a.outcome })
            .collect();
    }
    Ok(delivery)
}

pub async fn retry(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    city(&caller)?;
    let delivery = shared.work(move |s| again(s, &caller, &id)).await?;
    Ok(reply::json(&delivery))
}

/// Queues a dead letter again.
pub fn again(shared: &Shared, caller: &Caller, id: &str) -> Result<Delivery, Fail> {
    shared.desk.delivery(id)?.ok_or_else(Fail::not_found)?;
    let notifier = shared.backstage.notifier().ok_or_else(nothing)?;
    let row = notifier.retry(id)?.ok_or_else(|| {
        Fail::because(Code::Unprocessable, "only a dead letter with a channel is sent again", "只有放弃投递且有通道的通知可以重新投递")
    })?;
    shared.audit(&caller.name, "delivery.retry", id, None, &row.channel);
    Ok(show(row))
}

fn nothing() -> Fail {
    Fail::because(Code::Unprocessable, "nothing is sent here", "此处不发送通知")
}

pub async fn channels(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    city(&caller)?;
    let page = shared.work(all).await?;
    Ok(reply::json(&page))
}

/// Every channel and how it is.
pub fn all(shared: &Shared) -> Result<ChannelPage, Fail> {
    let Some(notifier) = shared.backstage.notifier() else { return Ok(ChannelPage { items: Vec::new() }) };
    let (setup, health, counts) = (notifier.setup(), notifier.health(), shared.desk.delivery_counts()?);
    let time = |t: Option<event::Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
    let items = setup
        .channels
        .iter()
        .map(|(name, channel)| {
            let health = health.get(name).cloned().unwrap_or_default();
            let count = |state: &str| counts.iter().filter(|(c, s, _)| c == name && s == state).map(|(_, _, n)| n).sum();
            let (host, port) = channel.channel.route().host_port();
            let levels = [Some(Level::Red), Some(Level::Orange), Some(Level::Yellow), Some(Level::Blue), None];
            Channel {
                name: name.clone(),
                kind: channel.common.kind.to_owned(),
                peer: format!("{host}:{port}"),
                per_minute: channel.common.limits.most,
                red_reserve: channel.common.limits.reserve,
                city: levels
                    .into_iter()
                    .filter(|l| setup.city.of(*l).contains(name))
                    .map(|l| l.map_or("other", Level::name).to_owned())
                    .collect(),
                waiting: health.waiting.iter().sum::<usize>() as u64,
                waiting_red: health.waiting[usize::from(RED)] as u64,
                sent: count("sent"),
                dead: count("dead"),
                last_sent: time(health.sent),
                last_failed: time(health.failed),
                reason: health.reason,
            }
        })
        .collect();
    Ok(ChannelPage { items })
}

pub async fn test(
    State(shared): State<App>,
    caller: Caller,
    PathId(name): PathId,
    Json(wish): Json<ChannelTest>,
) -> Result<Response, Fail> {
    city(&caller)?;
    Ok(reply::json(&try_out(&shared, &caller, &name, wish.to.as_deref()).await?))
}

/// Sends a test through a channel.
pub async fn try_out(shared: &App, caller: &Caller, name: &str, to: Option<&str>) -> Result<ChannelTested, Fail> {
    let notifier = shared.backstage.notifier().ok_or_else(nothing)?;
    let (seconds, verdict) = notifier.test(name, to, &caller.name).await.ok_or_else(Fail::not_found)?;
    let (outcome, reason) = match verdict {
        Verdict::Done => ("sent", String::new()),
        Verdict::Retry { reason, .. } => ("failed", reason),
        Verdict::Reject { reason } => ("rejected", reason),
    };
    let (who, channel, detail) = (caller.name.clone(), name.to_owned(), format!("{outcome} {reason}"));
    shared
        .work(move |s| {
            s.audit(&who, "channel.test", &channel, None, detail.trim());
            Ok(())
        })
        .await?;
    Ok(ChannelTested { channel: name.to_owned(), outcome: outcome.to_owned(), seconds, reason })
}
