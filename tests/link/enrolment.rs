//! How an agent comes by its identity, keeps it, and loses it.

use super::*;
use agent::identity::{FILE, IdentityError, PENDING_FILE, Refusal};
use collector::authority::Why;

async fn refused(collector: &Collector, name: &str, invitation: &Invitation) -> Refusal {
    match enrol(&collector.state_dir(name), invitation, false).await {
        Err(IdentityError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_token_serves_one_host_once() {
    run(async {
        let collector = Collector::start().await;
        let invitation = collector.invite();
        let first = enrol(&collector.state_dir("a"), &invitation, false).await.unwrap();
        assert_eq!(first.collector, collector.link.to_string());
        assert_eq!(refused(&collector, "b", &invitation).await, Refusal::TokenUsed);
        let again = enrol(&collector.state_dir("a"), &invitation, false).await.unwrap_err();
        assert!(matches!(again, IdentityError::AlreadyEnrolled { agent, .. } if agent == first.agent), "{again}");
        assert_eq!(Identity::load(&collector.state_dir("a")).unwrap().key, first.key);
        assert_eq!(collector.authority.agents().len(), 1);
    });
}

#[test]
fn a_host_that_lost_the_answer_asks_again_with_the_same_key() {
    run(async {
        let collector = Collector::start().await;
        let invitation = collector.invite();
        let dir = collector.state_dir("a");
        let first = enrol(&dir, &invitation, false).await.unwrap();
        // As after a crash between the collector's record and the agent's file: the key is pending, the identity is not there.
        let text = std::fs::read_to_string(dir.join(FILE)).unwrap();
        let key = text.split_inclusive("-----END PRIVATE KEY-----\n").next().unwrap();
        std::fs::write(dir.join(PENDING_FILE), &key[key.find("-----BEGIN").unwrap()..]).unwrap();
        std::fs::remove_file(dir.join(FILE)).unwrap();
        let second = enrol(&dir, &invitation, false).await.unwrap();
        assert_eq!((second.agent, second.key), (first.agent, first.key));
        assert!(!dir.join(PENDING_FILE).exists());
        assert_eq!(collector.authority.agents().len(), 1);
    });
}

#[test]
fn a_token_that_ran_out_is_refused() {
    run(async {
        let collector = Collector::start().await;
        let invitation = collector.invite();
        collector.time.set(30 * 60 + 1);
        assert_eq!(refused(&collector, "a", &invitation).await, Refusal::TokenExpired);
        assert_eq!(collector.authority.counters().refused_for(Refusal::TokenExpired), 1);
    });
}

#[test]
fn another_collector_than_the_pinned_one_is_not_told_the_token() {
    run(async {
        let (collector, impostor) = (Collector::start().await, Collector::start().await);
        let mut invitation = collector.invite();
        invitation.address = impostor.door.to_string();
        let error = enrol(&collector.state_dir("a"), &invitation, false).await.unwrap_err();
        assert!(error.to_string().contains("not signed by the CA that was pinned"), "{error}");
        assert!(impostor.authority.counters().snapshot().iter().all(|(family, _, n)| *family != "requests_refused" || *n == 0));
        // The true collector, under the pin of the other.
        let mut invitation = collector.invite();
        invitation.pin = impostor.authority.ca().pin();
        assert!(matches!(enrol(&collector.state_dir("a"), &invitation, false).await, Err(IdentityError::Tls(_))));
        assert!(!collector.state_dir("a").join(FILE).exists());
        assert!(collector.authority.agents().is_empty() && impostor.authority.agents().is_empty());
    });
}

#[test]
fn a_collector_dialled_by_a_name_it_does_not_have_is_refused_with_the_way_out() {
    run(async {
        let collector = Collector::start().await;
        // An address of this machine that is in no certificate.
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = collector.certificate.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve_enrolment(
            listener,
            collector.authority.clone(),
            certificate,
            DoorConfig::default(),
            collector.time.clock(),
            gone(stopped),
        );
        let task = tokio::spawn(serving);
        let mut invitation = collector.invite();
        invitation.address = address.to_string();
        let error = enrol(&collector.state_dir("a"), &invitation, false).await.unwrap_err().to_string();
        assert!(error.contains("not for '127.0.0.2'") && error.contains("[link] names"), "{error}");
        drop(stop);
        task.await.unwrap().unwrap();
    });
}

#[test]
fn half_an_identity_is_an_error_that_names_the_file() {
    run(async {
        let collector = Collector::start().await;
        let identity = collector.enrolled("a").await;
        let dir = collector.state_dir("a");
        let path = dir.join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        for cut in (0..whole.len() - 1).step_by(11) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = Identity::load(&dir).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "cut at {cut}: {error}");
            assert!(error.to_string().contains(&path.display().to_string()) && error.to_string().contains("enrol"), "{error}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(Identity::load(&dir).unwrap().agent, identity.agent);
        // The certificate of another host beside this key.
        let other = collector.enrolled("b").await;
        let mut mixed = identity.clone();
        mixed.certificate = other.certificate;
        mixed.store(&dir).unwrap();
        assert!(Identity::load(&dir).unwrap_err().to_string().contains("for another key"));
    });
}

#[test]
fn at_half_life_a_new_key_is_certified_over_the_link() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let dir = collector.state_dir("a");
        // Only the collector's clock has moved on; the agent learns of it when it connects.
        collector.time.set(4 * DAY);
        let agent = collector.agent("a", identity.clone(), &spool);
        let status = agent.wait(|s| s.renewals == 1).await;
        let renewed = Identity::load(&dir).unwrap();
        assert!(renewed.key != identity.key && renewed.not_after > identity.not_after);
        assert_eq!((renewed.agent, status.certificate_not_after), (identity.agent, Some(renewed.not_after)));
        agent.stop().await;
        let agent = collector.agent("a", renewed, &spool);
        spool.add(Class::Normal, 1, 10);
        spool.all_acknowledged().await;
        assert_eq!(agent.status.snapshot().renewals, 0, "fresh enough");
        agent.stop().await;
        assert_eq!(collector.authority.counters().issued_for(Why::Renewed), 1);
    });
}

#[test]
fn an_agent_that_was_away_too_long_recovers_by_itself() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        spool.add(Class::Normal, 1, 10);
        collector.time.set(30 * DAY);
        let agent = collector.agent("a", identity.clone(), &spool);
        spool.all_acknowledged().await;
        let status = agent.status.snapshot();
        assert!(last_error(&status).contains("certificate has run out"), "{status:?}");
        assert_eq!(collector.authority.counters().issued_for(Why::Recovered), 1);
        assert_eq!(collector.links.counters().refused(collector::ingest::Reason::Expired), 1);
        assert!(Identity::load(&collector.state_dir("a")).unwrap().not_after > identity.not_after);
        agent.stop().await;
    });
}

#[test]
fn a_revoked_agent_is_cut_and_stays_out() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let (bystander, other) = (collector.enrolled("b").await, Spool::new());
        let agent = collector.agent("a", identity.clone(), &spool);
        let witness = collector.agent("b", bystander, &other);
        spool.add(Class::Normal, 1, 10);
        spool.all_acknowledged().await;
        witness.wait(|s| s.connected_since.is_some()).await;
        let asked = collector::clock::instant();
        collector.authority.revoke(identity.agent, "stolen", "test", now()).unwrap();
        agent.wait(|s| s.connected_since.is_none() && last_error(s).contains("revoked")).await;
        assert!(asked.elapsed().as_secs() < 5);
        // It tries again and learns why it may not; what it has to say is not heard.
        spool.add(Class::Normal, 1, 10);
        agent.wait(|s| last_error(s).contains("was revoked at the collector")).await;
        assert!(collector.links.get(identity.agent).is_none());
        assert_eq!(collector.sink.rows().keys().filter(|(a, ..)| *a == identity.agent).count(), 10);
        // The collector counts a refusal after it has sent it.
        while collector.links.counters().refused(collector::ingest::Reason::Revoked) < 2 {
            tokio::task::yield_now().await;
        }
        other.add(Class::Normal, 1, 10);
        other.all_acknowledged().await;
        assert_eq!(witness.status.snapshot().connects, 1, "nobody else was disturbed");
        agent.stop().await;
        witness.stop().await;
        // Nor does the enrolment port help.
        let error = agent::identity::recover(&collector.state_dir("a"), &identity).await.unwrap_err();
        assert!(matches!(error, IdentityError::Refused(Refusal::Revoked)), "{error}");
    });
}
