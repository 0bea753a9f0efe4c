//! The road itself: everything arrives once, in order, under the right name, whatever breaks on the way.

use super::*;

#[test]
fn enrolled_connected_streamed_acknowledged() {
    run(async {
        let collector = Collector::start().await;
        let mut spools = HashMap::new();
        let mut agents = Vec::new();
        for name in ["a", "b", "c"] {
            let identity = collector.enrolled(name).await;
            let spool = Spool::new();
            spool.add(Class::Bulk, 5, 500);
            spool.add(Class::Normal, 5, 100);
            spool.add_gap(Class::Normal, 5, 1_000);
            spool.add(Class::Normal, 5, 100);
            spool.add(Class::Critical, 5, 10);
            spools.insert(identity.agent, spool.clone());
            agents.push(collector.agent(name, identity, &spool));
        }
        for spool in spools.values() {
            spool.all_acknowledged().await;
        }
        // A second life of the spool: a new epoch, and records that come while connected.
        for spool in spools.values() {
            spool.add(Class::Critical, 9, 3);
            spool.add(Class::Normal, 9, 3);
            spool.all_acknowledged().await;
        }
        assert_eq!(collector.sink.rows(), expected(&spools), "each row under the name of the certificate it came with");
        let connected = collector.links.snapshot();
        assert_eq!(connected.len(), 3);
        for link in &connected {
            assert_eq!((link.duplicates, link.lost_declared, link.pending), (0, 1_000, 0));
            assert!(link.last_ack.is_some() && link.bytes > 0 && link.product.starts_with("vedette-agent/"));
        }
        for agent in agents {
            let status = agent.status.snapshot();
            assert!(status.connected_since.is_some() && status.last_ack.is_some() && status.last_error.is_none(), "{status:?}");
            agent.stop().await;
        }
        assert_eq!(collector.links.counters().established.get(), 3);
        assert!(collector.links.snapshot().is_empty(), "gone agents are not shown as connected");
    });
}

#[test]
fn a_restart_of_the_collector_loses_nothing_and_repeats_nothing() {
    run(async {
        let mut collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let spools = HashMap::from([(identity.agent, spool.clone())]);
        let agent = collector.agent("a", identity, &spool);
        spool.add(Class::Normal, 1, 50);
        spool.all_acknowledged().await;
        for (round, kept) in [true, false, true, false].into_iter().enumerate() {
            // A batch of each lane is on its way to the disk when the collector goes down.
            collector.sink.hold();
            for class in Class::ALL {
                spool.add(class, 1, 200);
            }
            collector.sink.pending(3).await;
            let before = agent.status.snapshot().connects;
            // What was pending got to the disk or it did not; nobody heard of it either way.
            let sink = collector.sink.clone();
            collector.restart_link(|| sink.crash(kept)).await;
            agent.wait(|s| s.connects > before).await;
            spool.all_acknowledged().await;
            assert_eq!(collector.sink.rows(), expected(&spools), "round {round}");
        }
        agent.stop().await;
    });
}

#[test]
fn an_agent_that_starts_again_goes_on_where_the_acknowledgements_end() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let spools = HashMap::from([(identity.agent, spool.clone())]);
        for epoch in 1..4 {
            spool.add(Class::Normal, epoch, 100);
            let agent = collector.agent("a", Identity::load(&collector.state_dir("a")).unwrap(), &spool);
            spool.all_acknowledged().await;
            agent.stop().await;
            // The cursor file was lost: the spool offers everything again, the collector wants none of it.
            spool.acknowledged.send_modify(|marks| *marks = Marks::default());
        }
        assert_eq!(identity.agent, *spools.keys().next().unwrap());
        assert_eq!(collector.sink.rows(), expected(&spools));
        assert_eq!(collector.links.counters().refused(collector::ingest::Reason::Hole), 0);
    });
}

#[test]
fn the_newest_connection_of_an_agent_wins() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let first = collector.agent("a", identity.clone(), &spool);
        first.wait(|s| s.connected_since.is_some()).await;
        let second = collector.agent("a", identity, &spool);
        let told = first.wait(|s| last_error(s).contains("superseded")).await;
        assert!(told.failures > 0);
        drop(first.stop);
        first.task.await.unwrap();
        spool.add(Class::Normal, 1, 100);
        spool.all_acknowledged().await;
        assert!(collector.links.counters().refused(collector::ingest::Reason::Superseded) > 0);
        assert_eq!(collector.links.snapshot().len(), 1);
        second.stop().await;
    });
}

#[test]
fn a_wrong_clock_is_measured_and_the_data_taken() {
    run(async {
        let collector = Collector::start().await;
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        spool.add(Class::Normal, 1, 10);
        // Within the certificate's life.
        collector.time.set(-2 * 3_600);
        let began = now();
        let agent = collector.agent("a", identity, &spool);
        spool.all_acknowledged().await;
        // What was measured is the difference, and the time between telling and hearing: at most what passed here.
        let delay = now().ms() - began.ms() + 1;
        let skew = collector.links.get(agent.id).unwrap().skew_ms.unwrap();
        assert!((7_200_000 - delay..=7_200_001).contains(&skew), "agent ahead by two hours, measured {skew} ms");
        let offset = agent.status.snapshot().clock_offset_ms.unwrap();
        assert!((-7_200_001..=-7_200_000 + delay).contains(&offset), "collector behind by two hours, measured {offset} ms");
        agent.stop().await;
    });
}
