//! Sinks that die when it suits nobody, and that lie about what they took.

use super::{next_is_unaffected, texts};
use crate::{
    CallError,
    kind::Batch,
    supervise::ship::tests::supervise,
    tests::guests::{batch, call, invocation, plugin},
};

#[tokio::test]
pub(super) async fn a_sink_may_trap_whenever_it_likes() {
    let mut other = plugin().open_sink(invocation(), call("")).await.unwrap();
    for on in [1, 2, 1_000] {
        let name = format!("trap-on-{on}");
        let mut sink = plugin().open_sink(invocation(), call(&name)).await.unwrap();
        for _ in 1..on {
            sink.write(vec![batch(1)]).await.unwrap();
        }
        let error = sink.write(vec![batch(1)]).await.unwrap_err();
        assert_eq!(error.code(), "plugin.trap", "{name}");
        assert!(!sink.is_alive());
        let error = sink.write(vec![batch(1)]).await.unwrap_err();
        assert_eq!(error.code(), "plugin.gone", "{name}");
        other.write(vec![batch(1)]).await.expect("the other lives");
    }
    other.close().await.unwrap();
    next_is_unaffected().await;
}

/// What it takes is taken once, and of what it never takes nothing is lost without a word.
#[tokio::test(start_paused = true)]
pub(super) async fn a_supervised_sink_that_traps_loses_nothing() {
    let sink = supervise("trap-on-1000", 1);
    sink.ship(0..1_001).await;
    assert_eq!(sink.end().await, ((0..1_001).collect(), vec![]));
    let sink = supervise("trap-on-1", 1);
    sink.ship(0..1).await;
    let (settled, buried) = sink.end().await;
    assert_eq!(settled, [0]);
    assert_eq!(buried, vec![(0, 1, "plugin.trap".into()); 5]);
}

#[tokio::test]
pub(super) async fn a_receipt_about_something_else_is_not_believed() {
    for name in ["lie", "lie-batch", "lie-rejected", "lie-large"] {
        let mut sink = plugin().open_sink(invocation(), call(name)).await.unwrap();
        let error = sink.write(vec![batch(2)]).await.unwrap_err();
        let CallError::Crashed(crash) = &error else {
            panic!("{name}: {error}")
        };
        assert_eq!(
            (crash.code, crash.message.as_str()),
            (
                "plugin.broken",
                "its receipt names entries that it was not given"
            ),
            "{name}"
        );
        assert!(!sink.is_alive(), "{name}");
    }
    next_is_unaffected().await;
}

#[tokio::test(start_paused = true)]
pub(super) async fn a_receipt_that_says_things_twice_counts_them_once() {
    let sink = supervise("twice", 1);
    sink.ship(0..1).await;
    let health = sink.shipper.health();
    let (settled, buried) = sink.end().await;
    // Its first entry is to be sent again and is rejected, often: it is buried, once.
    assert_eq!((settled, buried), (vec![0], vec![(0, 1, "sink.no".into())]));
    let health = health.borrow().clone();
    assert_eq!((health.delivered, health.buried, health.crashes), (4, 1, 0));
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_secret_is_hidden_in_a_receipt() {
    let (invocation, ..) = texts::step();
    let mut sink = plugin().open_sink(invocation, call("twice")).await.unwrap();
    // The guest says the build's name; what the host strips stands between the halves.
    let leaking = Batch {
        build: "hunter2\u{1}-hunter2".into(),
        ..batch(2)
    };
    let receipt = sink.write(vec![leaking]).await.unwrap();
    assert_eq!(receipt.rejected[0].message, "no ***");
    next_is_unaffected().await;
}
