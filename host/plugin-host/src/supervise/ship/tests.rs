//! The sink of `tests/guests`, supervised.

use super::*;
use crate::{
    supervise::Condition,
    tests::guests::{batch, call, plugin},
};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

#[derive(Default)]
struct Heard {
    settled: Mutex<Vec<u64>>,
    buried: Mutex<Vec<(u64, usize, String)>>,
}

impl Outlet for Heard {
    fn settled(&self, delivery: DeliveryId) {
        self.settled.lock().unwrap().push(delivery.0);
    }

    fn buried(&self, delivery: DeliveryId, batches: Vec<Batch>, why: Option<Trouble>) {
        let entries = batches.iter().map(|batch| batch.ends.len()).sum();
        let code = why.map_or_else(String::new, |why| why.code);
        self.buried
            .lock()
            .unwrap()
            .push((delivery.0, entries, code));
    }
}

pub(crate) struct Supervised {
    heard: Arc<Heard>,
    opened: Arc<AtomicUsize>,
    pub(crate) shipper: Shipper,
    work: tokio::task::JoinHandle<()>,
}

pub(crate) fn supervise(name: &str, instances: usize) -> Supervised {
    let heard = Arc::new(Heard::default());
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let shipping = Shipping {
        plugin: plugin(),
        call: call(name),
        plan: Plan {
            queue: 4,
            instances,
        },
        invocation: Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Invocation::default())
        }),
        outlet: heard.clone(),
    };
    let (shipper, work) = shipping.start();
    Supervised {
        heard,
        opened,
        shipper,
        work: tokio::spawn(work),
    }
}

impl Supervised {
    pub(crate) async fn ship(&self, ids: std::ops::Range<u64>) {
        for id in ids {
            let shipped = self
                .shipper
                .ship(DeliveryId(id), None, vec![batch(3), batch(2)]);
            shipped.await.expect("the work goes on");
        }
    }

    pub(crate) async fn end(self) -> (Vec<u64>, Vec<(u64, usize, String)>) {
        drop(self.shipper);
        self.work.await.unwrap();
        let mut settled = self.heard.settled.lock().unwrap().clone();
        settled.sort_unstable();
        let buried = self.heard.buried.lock().unwrap().clone();
        (settled, buried)
    }
}

#[tokio::test]
async fn deliveries_arrive_and_the_end_waits_for_them() {
    let sink = supervise("", 2);
    sink.ship(0..10).await;
    let opened = Arc::clone(&sink.opened);
    let (settled, buried) = sink.end().await;
    assert_eq!(settled, (0..10).collect::<Vec<_>>());
    assert_eq!(buried, []);
    assert!(opened.load(Ordering::SeqCst) <= 2, "an instance is kept");
}

#[tokio::test]
async fn after_a_crash_a_fresh_instance_gets_the_same_delivery() {
    let sink = supervise("trap-on-2", 1);
    sink.ship(0..2).await;
    let health = sink.shipper.health();
    let opened = Arc::clone(&sink.opened);
    let (settled, buried) = sink.end().await;
    assert_eq!((settled, buried), (vec![0, 1], vec![]));
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    let health = health.borrow().clone();
    assert_eq!((health.crashes, health.delivered), (1, 10));
    assert_eq!(health.trouble.unwrap().1.code, "plugin.trap");
}

#[tokio::test]
async fn a_failure_keeps_the_instance_and_the_delivery() {
    let sink = supervise("fail-on-2", 1);
    sink.ship(0..2).await;
    let mut health = sink.shipper.health();
    // After each write it asks for some milliseconds, after its failure for 49 days; an hour is what it gets, and nobody waits for
    // that here.
    let is_long = |health: &Health| match health.condition {
        Condition::Waiting { until } => until.0 > Duration::from_secs(60),
        Condition::Healthy | Condition::Quarantined { .. } => false,
    };
    match health.wait_for(is_long).await.unwrap().condition {
        Condition::Waiting { until } => assert!(until.0 < Duration::from_secs(3_700), "{until:?}"),
        ref other => panic!("{other:?}"),
    }
    sink.shipper.resume();
    let opened = Arc::clone(&sink.opened);
    let (settled, _) = sink.end().await;
    assert_eq!(settled, [0, 1]);
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_wrong_configuration_is_quarantined_and_loses_nothing() {
    let sink = supervise("refuse", 1);
    // As many as there is room for, and one that waits for room.
    sink.ship(0..5).await;
    let mut health = sink.shipper.health();
    let quarantined =
        health.wait_for(|health| matches!(health.condition, Condition::Quarantined { .. }));
    match &quarantined.await.unwrap().condition {
        Condition::Quarantined { why, .. } => assert_eq!(why.code, "sink.config"),
        other => panic!("{other:?}"),
    }
    let (settled, buried) = sink.end().await;
    assert_eq!((settled, buried), (vec![], vec![]));
}
