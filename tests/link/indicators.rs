//! Indicators on their way to agents: signed, complete, and refused where they lie.

use super::*;
use collector::indicators::{Armoury, Indicators, Upload};

fn upload(source: &str, now: Timestamp) -> Upload {
    Upload { source: source.into(), added_ns: now.ns(), by: "duty".into(), ..Upload::default() }
}

/// Prints how long it takes from the order to publish until all of them hold the set.
#[test]
fn a_new_indicator_reaches_every_connected_agent() {
    run(reaches());
}

#[expect(clippy::disallowed_methods, reason = "prints how long it took; nothing is judged by it")]
async fn reaches() {
    let stand = Collector::start().await;
    let count: usize = std::env::var("VEDETTE_AGENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let mut agents = Vec::new();
    for n in 0..count {
        let name = format!("host-{n}");
        let identity = stand.enrolled(&name).await;
        agents.push(stand.agent(&name, identity, &Spool::new()));
    }
    for agent in &agents {
        agent.wait(|s| s.connected_since.is_some()).await;
    }
    let all = Indicators::open(&stand.state_dir("indicators"), &[]);
    let armoury = Armoury::new(stand.authority.clone(), stand.links.clone());
    let now = stand.time.clock()();
    all.add(&upload("feed", now), b"evil.example\n192.0.2.0/24\n").unwrap();
    let begun = std::time::Instant::now();
    let armed = armoury.publish(&all, now).unwrap();
    for agent in &agents {
        agent.wait(|s| s.indicators_revision == armed.revision).await;
    }
    println!("{count} agents hold a new indicator {:.0} ms after it was published", begun.elapsed().as_secs_f64() * 1e3);
    assert_eq!(armed.entries, 2);
    let late = stand.enrolled("late").await;
    let late = stand.agent("late", late, &Spool::new());
    assert_eq!(late.wait(|s| s.indicators_revision == armed.revision).await.indicators, 2, "who connects later is told everything");
    all.add(&upload("more", now.plus_secs(1)), b"other.example\n").unwrap();
    let armed = armoury.publish(&all, now.plus_secs(1)).unwrap();
    assert_eq!(late.wait(|s| s.indicators_revision == armed.revision).await.indicators, 3);
    all.remove("feed").unwrap();
    let armed = armoury.publish(&all, now.plus_secs(2)).unwrap();
    assert_eq!(late.wait(|s| s.indicators_revision == armed.revision).await.indicators, 1);
    assert_eq!(late.status.snapshot().policies_ignored, 0);
}

#[test]
fn a_policy_of_another_key_or_of_yesterday_is_not_taken() {
    run(lies());
}

async fn lies() {
    use agent::uplink::{Policies, PolicyError};
    use indicator::edge::{EdgeError, POLICY_KIND, manifest_body};
    let stand = Collector::start().await;
    let other = Collector::start().await;
    let identity = stand.enrolled("host").await;
    let signed = |stand: &Collector, revision: u64, kind: &str| {
        let mut policy = wire::link::Policy { revision, kind: kind.into(), body: manifest_body(&[]).into(), signature: Vec::new().into() };
        policy.signature = stand.authority.ca().sign_policy(&policy.signed_bytes()).unwrap().into();
        policy
    };
    let state = stand.state_dir("host");
    let mut policies = Policies::open(&identity.ca, &state);
    assert_eq!(policies.take(&signed(&other, 5, POLICY_KIND)), Err(PolicyError::Signature));
    let mut changed = signed(&stand, 5, POLICY_KIND);
    changed.revision = 6;
    assert_eq!(policies.take(&changed), Err(PolicyError::Signature));
    assert_eq!(policies.take(&signed(&stand, 5, "commands")), Err(PolicyError::Kind));
    assert!(policies.take(&signed(&stand, 5, POLICY_KIND)).unwrap().is_some());
    let mut again = Policies::open(&identity.ca, &state);
    assert_eq!(again.take(&signed(&stand, 4, POLICY_KIND)), Err(PolicyError::Indicators(EdgeError::Older)), "also after a restart");
    assert!(again.take(&signed(&stand, 5, POLICY_KIND)).unwrap().is_some());
}
