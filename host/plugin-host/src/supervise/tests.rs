//! Schedules of faults: what is done, and when, event by event.

use super::*;
use proptest::prelude::*;
use test_case::test_case;

fn at(seconds: f64) -> Moment {
    Moment {
        now: Monotonic(Duration::from_secs_f64(seconds)),
        chance: u32::MAX,
    }
}

fn supervisor(instances: usize) -> Supervisor {
    Supervisor::new(Plan {
        queue: 10,
        instances,
    })
}

fn submit(id: u64, entries: u32) -> Event {
    in_lane(id, entries, None)
}

fn in_lane(id: u64, entries: u32, lane: Option<u64>) -> Event {
    Event::Submitted(Delivery {
        id: DeliveryId(id),
        entries,
        lane,
    })
}

fn finished(slot: usize, outcome: Outcome) -> Event {
    Event::Finished { slot, outcome }
}

fn taken() -> Outcome {
    answered(&[], &[])
}

fn answered(again: &[u32], rejected: &[u32]) -> Outcome {
    Outcome::Answered(Answer {
        again: again.into(),
        rejected: rejected.into(),
        ..Answer::default()
    })
}

fn trouble(kind: FailureKind, retry_after: Option<u64>) -> Trouble {
    Trouble {
        kind,
        code: "code".into(),
        message: "message".into(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

fn crash() -> Outcome {
    Outcome::Crashed(trouble(FailureKind::Permanent, None))
}

fn busy() -> Outcome {
    Outcome::Failed(trouble(FailureKind::Transient, None))
}

/// What is done, in short: `0: 7[1..3]` sends entries 1 and 2 of delivery 7 with instance 0.
fn short(actions: &[Action]) -> String {
    let one = |action: &Action| match action {
        Action::Call {
            slot,
            delivery,
            entries,
        } => format!("{slot}: {}{:?}", delivery.0, entries.ranges()),
        Action::Close { slot } => format!("close {slot}"),
        Action::Wake { at } => format!("wake {:?}", at.0),
        Action::Bury {
            delivery, entries, ..
        } => format!("bury {}{:?}", delivery.0, entries.ranges()),
        Action::Settle { delivery } => format!("settle {}", delivery.0),
        Action::Refuse { delivery } => format!("refuse {}", delivery.0),
    };
    actions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Applies events at these times and says what was done.
fn play(supervisor: &mut Supervisor, events: Vec<(f64, Event)>) -> Vec<String> {
    events
        .into_iter()
        .map(|(seconds, event)| short(&supervisor.apply(event, at(seconds)).unwrap()))
        .collect()
}

#[test]
fn what_is_taken_is_settled() {
    let mut sink = supervisor(1);
    let done = play(
        &mut sink,
        vec![
            (0.0, submit(1, 3)),
            (0.0, submit(2, 2)),
            (1.0, finished(0, taken())),
            (2.0, finished(0, answered(&[], &[1]))),
        ],
    );
    assert_eq!(
        done,
        [
            "0: 1[0..3]",
            "",
            "settle 1, 0: 2[0..2]",
            "bury 2[1..2], settle 2"
        ]
    );
    let health = sink.health(at(3.0).now);
    assert_eq!(
        (health.delivered, health.buried, health.deliveries),
        (4, 1, 0)
    );
    assert_eq!(health.condition, Condition::Healthy);
}

#[test]
fn a_failure_waits_longer_each_time_until_all_goes_well_for_a_minute() {
    let mut sink = supervisor(1);
    play(&mut sink, vec![(0.0, submit(1, 1))]);
    let mut now = 0.0;
    let mut waits = Vec::new();
    for _ in 0..11 {
        let done = play(&mut sink, vec![(now, finished(0, busy()))]);
        let Some(Condition::Waiting { until }) = Some(sink.health(at(now).now).condition) else {
            panic!("it waits");
        };
        assert_eq!(done, [format!("wake {:?}", until.0)]);
        waits.push(until.0.as_secs_f64() - now);
        now = until.0.as_secs_f64();
        assert_eq!(play(&mut sink, vec![(now, Event::Woken)]), ["0: 1[0..1]"]);
    }
    let waits: Vec<f64> = waits
        .iter()
        .map(|wait| (wait * 100.0).round() / 100.0)
        .collect();
    assert_eq!(
        waits,
        [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    );
    // One success is no health yet, a minute is.
    let first_wait = |sink: &mut Supervisor, now: f64, after: f64| {
        let events = vec![
            (now, finished(0, taken())),
            (now + after, submit(now as u64, 1)),
            (now + after, finished(0, busy())),
        ];
        play(sink, events).pop().unwrap()
    };
    let soon = first_wait(&mut sink, now, 59.0);
    assert_eq!(soon, format!("wake {:?}", at(now + 59.0 + 60.0).now.0));
    let now = now + 200.0;
    play(&mut sink, vec![(now, Event::Woken)]);
    let later = first_wait(&mut sink, now, 60.0);
    assert_eq!(later, format!("wake {:?}", at(now + 60.0 + 0.25).now.0));
}

#[test]
fn chance_shortens_a_wait_and_never_lengthens_it() {
    let mut sink = supervisor(1);
    play(&mut sink, vec![(0.0, submit(1, 1))]);
    let moment = Moment {
        chance: u32::MAX / 2,
        ..at(0.0)
    };
    let done = sink.apply(finished(0, busy()), moment).unwrap();
    let [Action::Wake { at }] = done[..] else {
        panic!("{done:?}")
    };
    assert!((at.0.as_secs_f64() - 0.125).abs() < 0.001, "{at:?}");
}

#[test_case(10, "10s")]
#[test_case(999_999, "3600s"; "an hour is the most")]
fn who_asks_to_be_waited_for_is(seconds: u64, expected: &str) {
    let failed = Outcome::Failed(trouble(FailureKind::Transient, Some(seconds)));
    let answered = Outcome::Answered(Answer {
        wait: Some(Duration::from_secs(seconds)),
        ..Answer::default()
    });
    for outcome in [failed, answered] {
        let mut sink = supervisor(1);
        play(&mut sink, vec![(0.0, submit(1, 1)), (0.0, submit(2, 1))]);
        let done = play(&mut sink, vec![(0.0, finished(0, outcome))]);
        assert!(done[0].ends_with(&format!("wake {expected}")), "{done:?}");
    }
}

#[test]
fn what_is_to_be_sent_again_is_sent_alone() {
    let mut sink = supervisor(1);
    let done = play(
        &mut sink,
        vec![
            (0.0, submit(1, 5)),
            (0.0, finished(0, answered(&[1, 3, 4], &[4]))),
            (1.0, Event::Woken),
            (1.0, finished(0, answered(&[1], &[]))),
            (2.0, Event::Woken),
            (2.0, finished(0, taken())),
        ],
    );
    assert_eq!(
        done,
        [
            "0: 1[0..5]",
            "bury 1[4..5], wake 250ms",
            "0: 1[1..2, 3..4]",
            "wake 1.5s",
            "0: 1[3..4]",
            "settle 1"
        ]
    );
    assert_eq!(sink.health(at(2.0).now).delivered, 4);
}

/// Answers each call with `answer` until nothing more is done, or for a day; says how many calls that were, and when the last one was.
fn answer_until_quiet(sink: &mut Supervisor, answer: &Answer) -> (u32, f64) {
    let mut now = 0.0;
    for calls in 1.. {
        let done = sink
            .apply(finished(0, Outcome::Answered(answer.clone())), at(now))
            .unwrap();
        let Some(Action::Wake { at }) = done.last() else {
            return (calls, now);
        };
        now = at.0.as_secs_f64();
        if now > 86_400.0 {
            return (calls, now);
        }
        play(sink, vec![(now, Event::Woken)]);
    }
    unreachable!("it was quiet, or a day was over")
}

#[test_case(None; "when it does not say how long to wait")]
#[test_case(Some(0); "when it asks for no patience")]
#[test_case(Some(1_000_000); "when it asks for much patience")]
fn who_asks_for_the_same_again_for_ever_is_left_alone(wait: Option<u64>) {
    let mut sink = supervisor(1);
    play(&mut sink, vec![(0.0, submit(1, 3)), (0.0, submit(2, 1))]);
    let answer = Answer {
        again: vec![0, 1, 2],
        wait: wait.map(Duration::from_millis),
        ..Answer::default()
    };
    let (calls, now) = answer_until_quiet(&mut sink, &answer);
    assert!((3_600.0..40_000.0).contains(&now), "after {now} s");
    assert!((10..=4 * 3_600 + 1).contains(&calls), "{calls} calls");
    let health = sink.health(at(now).now);
    let Condition::Quarantined { why, .. } = health.condition else {
        panic!("{:?}", health.condition)
    };
    assert_eq!(why.code, "plugin.no-progress");
    assert_eq!(health.deliveries, 2, "nothing is lost");
    let resumed = play(
        &mut sink,
        vec![
            (now, Event::Resumed),
            (now, finished(0, Outcome::Answered(answer))),
        ],
    );
    assert_eq!(resumed[0], "0: 1[0..3]");
    assert!(
        resumed[1].starts_with("wake"),
        "it gets another hour: {resumed:?}"
    );
}

#[test]
fn who_takes_a_little_each_time_is_not_left_alone() {
    let mut sink = supervisor(1);
    play(&mut sink, vec![(0.0, submit(1, 20))]);
    let mut now = 0.0;
    for left in (0..20).rev() {
        let again: Vec<u32> = (0..left).collect();
        play(&mut sink, vec![(now, finished(0, answered(&again, &[])))]);
        now += 1_000.0;
        play(&mut sink, vec![(now, Event::Woken)]);
    }
    let health = sink.health(at(now).now);
    assert_eq!(
        (health.condition, health.delivered),
        (Condition::Healthy, 20)
    );
}

#[test]
fn a_poison_entry_is_found_by_halves_and_buried_alone() {
    let mut sink = supervisor(1);
    let mut calls = vec![play(&mut sink, vec![(0.0, submit(1, 8))])[0].clone()];
    let mut now = 0.0;
    // Entry 5 crashes whatever it is in.
    while let Some(piece) = sink.slots[0].piece.clone() {
        let outcome = match piece.entries.ranges() {
            [range] if range.contains(&5) => crash(),
            _ => taken(),
        };
        now += 1.0;
        let mut done = play(&mut sink, vec![(now, finished(0, outcome))]).remove(0);
        if done.starts_with("wake") {
            now += 1.0;
            done = play(&mut sink, vec![(now, Event::Woken)]).remove(0);
        }
        calls.push(done);
    }
    assert_eq!(
        calls,
        [
            "0: 1[0..8]",
            "0: 1[0..8]",
            "0: 1[0..4]",
            "0: 1[4..8]",
            "0: 1[4..6]",
            "0: 1[4..5]",
            "0: 1[5..6]",
            "bury 1[5..6], 0: 1[6..8]",
            "settle 1"
        ]
    );
    let health = sink.health(at(now).now);
    assert_eq!((health.delivered, health.buried, health.crashes), (7, 1, 5));
    assert_eq!(
        health.condition,
        Condition::Healthy,
        "one delivery is no reason"
    );
}

#[test]
fn three_crashes_on_different_deliveries_in_a_minute_are_enough() {
    let mut sink = supervisor(3);
    play(&mut sink, (1..=3).map(|id| (0.0, submit(id, 1))).collect());
    let done = play(
        &mut sink,
        vec![
            (1.0, finished(0, crash())),
            (2.0, finished(1, crash())),
            (3.0, finished(2, crash())),
            (99.0, Event::Woken),
            (99.0, submit(4, 1)),
        ],
    );
    assert_eq!(done, ["wake 1.25s", "wake 2.5s", "", "", ""]);
    let condition = sink.health(at(100.0).now).condition;
    let Condition::Quarantined { since, why } = condition else {
        panic!("{condition:?}")
    };
    assert_eq!((since, why.code.as_str()), (at(3.0).now, "code"));
    let resumed = play(&mut sink, vec![(100.0, Event::Resumed)]);
    assert_eq!(
        resumed,
        ["0: 3[0..1], 1: 2[0..1], 2: 1[0..1]"],
        "nothing is lost"
    );
}

#[test]
fn crashes_far_apart_are_no_reason_to_stop() {
    let mut sink = supervisor(1);
    let mut now = 0.0;
    for id in 1..=6 {
        now += 31.0;
        play(
            &mut sink,
            vec![(now, submit(id, 1)), (now, finished(0, crash()))],
        );
        now += 20.0;
        assert_eq!(
            play(
                &mut sink,
                vec![(now, Event::Woken), (now, finished(0, taken()))]
            ),
            [format!("0: {id}[0..1]"), format!("settle {id}")]
        );
    }
}

#[test]
fn a_destination_that_hangs_costs_time_and_no_entries() {
    let hang = || Outcome::Crashed(trouble(FailureKind::Transient, None));
    let mut sink = supervisor(1);
    play(&mut sink, vec![(0.0, submit(1, 8))]);
    for turn in 1..20 {
        let now = 100.0 * f64::from(turn);
        play(&mut sink, vec![(now, finished(0, hang()))]);
        assert_eq!(
            play(&mut sink, vec![(now + 99.0, Event::Woken)]),
            ["0: 1[0..8]"]
        );
    }
    assert_eq!(sink.health(at(2_000.0).now).buried, 0);
}

#[test_case(FailureKind::Permanent, "bury 1[0..1], settle 1", false)]
#[test_case(FailureKind::Invalid, "", true)]
#[test_case(FailureKind::Denied, "", true)]
#[test_case(FailureKind::Cancelled, "wake 250ms", false)]
fn what_follows_stands_in_the_kind(kind: FailureKind, expected: &str, is_quarantined: bool) {
    let mut sink = supervisor(1);
    let failed = Outcome::Failed(trouble(kind, None));
    let done = play(
        &mut sink,
        vec![(0.0, submit(1, 1)), (0.0, finished(0, failed))],
    );
    assert_eq!(done[1], expected);
    let condition = sink.health(at(0.0).now).condition;
    assert_eq!(
        matches!(condition, Condition::Quarantined { .. }),
        is_quarantined
    );
}

#[test]
fn a_plugin_that_cannot_be_opened_blames_no_delivery() {
    let not_opened = |kind| Outcome::NotOpened(trouble(kind, None));
    let mut sink = supervisor(1);
    let done = play(
        &mut sink,
        vec![
            (0.0, submit(1, 4)),
            (0.0, finished(0, not_opened(FailureKind::Transient))),
            (1.0, Event::Woken),
            (1.0, finished(0, not_opened(FailureKind::Permanent))),
        ],
    );
    assert_eq!(done, ["0: 1[0..4]", "wake 250ms", "0: 1[0..4]", ""]);
    assert!(matches!(
        sink.health(at(1.0).now).condition,
        Condition::Quarantined { .. }
    ));
}

#[test]
fn a_lane_stays_in_order_and_others_pass() {
    let mut sink = supervisor(3);
    let done = play(
        &mut sink,
        vec![
            (0.0, in_lane(1, 1, Some(7))),
            (0.0, in_lane(2, 1, Some(7))),
            (0.0, in_lane(3, 1, Some(8))),
            (0.0, submit(4, 1)),
            (1.0, finished(0, busy())),
            (2.0, finished(1, taken())),
            (2.0, finished(2, taken())),
            (3.0, Event::Woken),
            (3.0, finished(0, taken())),
        ],
    );
    assert_eq!(
        done,
        [
            "0: 1[0..1]",
            "",
            "1: 3[0..1]",
            "2: 4[0..1]",
            "wake 1.25s",
            "settle 3, 0: 1[0..1]",
            "settle 4",
            "",
            "settle 1, 0: 2[0..1]"
        ]
    );
}

#[test]
fn more_than_there_is_room_for_is_refused() {
    let mut sink = Supervisor::new(Plan {
        queue: 1,
        instances: 1,
    });
    let done = play(&mut sink, vec![(0.0, submit(1, 1)), (0.0, submit(2, 1))]);
    assert_eq!(done, ["0: 1[0..1]", "refuse 2"]);
    assert!(!sink.has_room());
}

#[test]
fn an_instance_is_replaced_when_it_is_old() {
    let mut sink = supervisor(1);
    let done = play(
        &mut sink,
        vec![
            (0.0, submit(1, 1)),
            (1.0, finished(0, taken())),
            (3_599.0, submit(2, 1)),
            (3_599.0, finished(0, taken())),
            (3_600.0, submit(3, 1)),
        ],
    );
    assert_eq!(done[2], "0: 2[0..1]");
    assert_eq!(done[4], "close 0, 0: 3[0..1]");
}

#[test]
fn what_cannot_have_happened_changes_nothing() {
    let mut sink = supervisor(1);
    let illegal = sink.apply(finished(0, taken()), at(0.0)).unwrap_err();
    assert_eq!(illegal, IllegalEvent::NoCall { slot: 0 });
    assert!(sink.apply(finished(9, taken()), at(0.0)).is_err());
    assert!(sink.apply(submit(1, 0), at(0.0)).is_err());
    play(&mut sink, vec![(0.0, submit(1, 1))]);
    let twice = sink.apply(submit(1, 1), at(0.0)).unwrap_err();
    assert_eq!(twice.to_string(), "delivery 1 is empty or not new");
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u32, Option<u64>),
    Finish(usize, u8, Vec<u32>),
    Pass(u16),
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u32..20, proptest::option::of(0_u64..3)).prop_map(|(entries, lane)| Step::Submit(entries, lane)),
        6 => (0_usize..3, 0_u8..8, proptest::collection::vec(0_u32..25, 0..6))
            .prop_map(|(slot, how, places)| Step::Finish(slot, how, places)),
        3 => (0_u16..2_000).prop_map(Step::Pass),
        1 => Just(Step::Resume),
    ];
    proptest::collection::vec(step, 1..120)
}

fn outcome(how: u8, places: &[u32]) -> Outcome {
    let failed = |kind| trouble(kind, None);
    match how {
        0 | 1 => taken(),
        2 => answered(places, &[]),
        3 => answered(&places[places.len() / 2..], &places[..places.len() / 2]),
        4 => busy(),
        5 => crash(),
        6 => Outcome::Failed(failed(FailureKind::Permanent)),
        _ => Outcome::NotOpened(failed(FailureKind::Transient)),
    }
}

proptest! {
    /// Whatever happens: no entry is under way twice, none is lost, and everything is settled once in the end.
    #[test]
    fn every_entry_has_one_end(steps in steps()) {
        let mut sink = supervisor(3);
        let mut submitted = BTreeMap::new();
        let mut settled = BTreeSet::new();
        let mut now = 0.0;
        let mut next = 0;
        let mut check = |sink: &Supervisor, actions: &[Action]| {
            for action in actions {
                match action {
                    Action::Settle { delivery } => assert!(settled.insert(*delivery), "settled once"),
                    Action::Call { delivery, .. } => assert!(!settled.contains(delivery)),
                    _ => {}
                }
            }
            let mut seen = BTreeSet::new();
            let mut lanes = BTreeSet::new();
            let under_way = sink.slots.iter().filter_map(|slot| slot.piece.as_ref());
            for piece in under_way.clone() {
                assert!(piece.lane.is_none_or(|lane| lanes.insert(lane)), "one of a lane at a time");
            }
            for piece in under_way.chain(&sink.waiting) {
                for entry in piece.entries.ranges().iter().cloned().flatten() {
                    assert!(seen.insert((piece.delivery, entry)), "no entry is there twice");
                }
            }
            let open: u32 = sink.open.values().sum();
            assert_eq!(seen.len(), open as usize, "what is open is waiting or under way");
            settled.len()
        };
        for step in steps {
            let event = match step {
                Step::Submit(entries, lane) => {
                    if !sink.has_room() {
                        continue;
                    }
                    next += 1;
                    submitted.insert(next, entries);
                    in_lane(next, entries, lane)
                }
                Step::Finish(slot, how, places) => {
                    let mut places = places;
                    places.sort_unstable();
                    if sink.slots[slot].piece.is_none() {
                        continue;
                    }
                    finished(slot, outcome(how, &places))
                }
                Step::Pass(seconds) => {
                    now += f64::from(seconds);
                    Event::Woken
                }
                Step::Resume => Event::Resumed,
            };
            let actions = sink.apply(event, at(now)).unwrap();
            check(&sink, &actions);
        }
        let mut done = 0;
        for _ in 0..1_000 {
            now += 4_000.0;
            let actions = sink.apply(Event::Resumed, at(now)).unwrap();
            done = check(&sink, &actions);
            for slot in 0..3 {
                if sink.slots[slot].piece.is_some() {
                    let actions = sink.apply(finished(slot, taken()), at(now)).unwrap();
                    done = check(&sink, &actions);
                }
            }
        }
        prop_assert_eq!(done, submitted.len());
        let health = sink.health(at(now).now);
        prop_assert_eq!(health.delivered + health.buried, submitted.values().copied().map(u64::from).sum::<u64>());
    }
}
