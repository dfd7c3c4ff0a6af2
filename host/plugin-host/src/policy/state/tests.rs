use super::*;
use piper_core::time::{Monotonic, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn name(text: &str) -> PluginName {
    PluginName::parse(text).unwrap()
}

fn at(millis: u64) -> Now {
    Now {
        wall: Timestamp(millis * 1000),
        mono: Monotonic(Duration::from_millis(millis)),
    }
}

fn put<'a>(key: &'a str, value: &'a [u8], expect: Option<u64>) -> Put<'a> {
    Put {
        key,
        value,
        expect,
        ttl: None,
    }
}

const SMALL: StateLimits = StateLimits {
    keys: 3,
    key: 4,
    value: 8,
    total: 20,
    writes_per_second: 10,
    write_burst: 5,
};

#[test]
fn a_write_can_depend_on_what_was_read() {
    let (store, es) = (MemoryState::default(), name("es"));
    let first = store.put(&es, put("key", b"one", Some(0)), at(0)).unwrap();
    assert_ne!(first, 0);
    let again = store
        .put(&es, put("key", b"two", Some(0)), at(0))
        .unwrap_err();
    assert!(matches!(again, StateError::Conflict { found } if found == first));
    let second = store
        .put(&es, put("key", b"two", Some(first)), at(0))
        .unwrap();
    assert!(second > first);
    assert!(
        store
            .put(&es, put("key", b"three", Some(first)), at(0))
            .is_err()
    );
    assert!(store.delete(&es, "key", Some(first), at(0)).is_err());
    assert_eq!(store.get(&es, "key", at(0)).unwrap().unwrap().value, b"two");
    store.delete(&es, "key", Some(second), at(0)).unwrap();
    assert_eq!(store.get(&es, "key", at(0)).unwrap(), None);
    store.delete(&es, "key", Some(0), at(0)).unwrap();
    let third = store.put(&es, put("key", b"one", None), at(0)).unwrap();
    assert!(third > second, "also across a deletion");
}

#[test]
fn plugins_do_not_see_each_others_keys() {
    let store = MemoryState::default();
    store
        .put(&name("one"), put("key", b"x", None), at(0))
        .unwrap();
    assert_eq!(store.get(&name("two"), "key", at(0)).unwrap(), None);
    assert_eq!(
        store.keys(&name("two"), "", None, 10, at(0)).unwrap(),
        [""; 0]
    );
}

#[test]
fn a_key_whose_time_is_over_is_absent_to_everything() {
    let (store, es) = (MemoryState::new(SMALL), name("es"));
    let brief = |key| Put {
        ttl: Some(Duration::from_secs(1)),
        ..put(key, b"1234", Some(0))
    };
    let version = store.put(&es, brief("a"), at(0)).unwrap();
    store.put(&es, brief("b"), at(0)).unwrap();
    store.put(&es, brief("c"), at(0)).unwrap();
    assert!(matches!(
        store.put(&es, put("d", b"", None), at(999)),
        Err(StateError::Full {
            limit: Reached {
                limit: Limit::StateKeys,
                ..
            }
        })
    ));
    assert_eq!(store.keys(&es, "", None, 10, at(999)).unwrap().len(), 3);
    assert_eq!(store.get(&es, "a", at(1000)).unwrap(), None);
    assert_eq!(store.keys(&es, "", None, 10, at(1000)).unwrap().len(), 0);
    assert!(store.put(&es, brief("a"), at(1000)).unwrap() > version);
    store.put(&es, put("d", b"1234", None), at(1000)).unwrap();
}

#[test]
fn what_no_store_takes_is_refused() {
    let (store, es) = (MemoryState::new(SMALL), name("es"));
    let refused = |put: Put<'_>| store.put(&es, put, at(0)).unwrap_err();
    assert!(matches!(
        refused(put("", b"", None)),
        StateError::Invalid(_)
    ));
    assert!(matches!(
        refused(put("a\0", b"", None)),
        StateError::Invalid(_)
    ));
    let at_once = Put {
        ttl: Some(Duration::ZERO),
        ..put("a", b"", None)
    };
    assert!(matches!(refused(at_once), StateError::Invalid(_)));
    assert!(matches!(
        refused(put("12345", b"", None)),
        StateError::TooLarge {
            size: 5,
            most: 4,
            ..
        }
    ));
    assert!(matches!(
        refused(put("a", b"123456789", None)),
        StateError::TooLarge {
            size: 9,
            most: 8,
            ..
        }
    ));
    assert_eq!(refused(put("a", b"123456789", None)).code(), "quota.state");
    let forever = Put {
        ttl: Some(Duration::MAX),
        ..put("a", b"", None)
    };
    store.put(&es, forever, at(0)).unwrap();
    assert!(store.get(&es, "a", at(u64::MAX / 1000)).unwrap().is_some());
}

#[test]
fn all_together_is_limited_and_an_overwrite_counts_once() {
    let (store, es) = (MemoryState::new(SMALL), name("es"));
    store.put(&es, put("a", b"12345678", None), at(0)).unwrap();
    store.put(&es, put("b", b"12345678", None), at(0)).unwrap();
    let full = store.put(&es, put("c", b"12", None), at(0)).unwrap_err();
    assert!(
        matches!(
            full,
            StateError::Full {
                limit: Reached {
                    limit: Limit::State,
                    ..
                }
            }
        ) && !full.is_transient()
    );
    store.put(&es, put("b", b"1234567", None), at(0)).unwrap();
    store.put(&es, put("c", b"12", None), at(0)).unwrap();
}

#[test]
fn a_plugin_that_writes_too_often_is_told_when_it_may() {
    let (store, es) = (MemoryState::new(SMALL), name("es"));
    for _ in 0..5 {
        store.put(&es, put("a", b"", None), at(0)).unwrap();
    }
    let error = store.delete(&es, "a", None, at(0)).unwrap_err();
    assert!(
        matches!(error, StateError::TooOften { retry_after, .. } if retry_after == Duration::from_millis(100))
    );
    assert!(error.is_transient());
    assert!(
        store.get(&es, "a", at(0)).unwrap().is_some(),
        "reading is free"
    );
    store
        .put(&name("other"), put("a", b"", None), at(0))
        .unwrap();
    store.delete(&es, "a", None, at(100)).unwrap();
}

#[test]
fn keys_come_page_by_page() {
    let (store, es) = (MemoryState::default(), name("es"));
    for key in ["b/1", "a/2", "a/1", "a/10", "a"] {
        store.put(&es, put(key, b"", None), at(0)).unwrap();
    }
    let page = |prefix, after, limit| store.keys(&es, prefix, after, limit, at(0)).unwrap();
    assert_eq!(page("a/", None, 2), ["a/1", "a/10"]);
    assert_eq!(page("a/", Some("a/10"), 2), ["a/2"]);
    assert_eq!(page("a/", Some("a/2"), 2), [""; 0]);
    assert_eq!(page("b", Some("a/2"), 2), ["b/1"]);
    assert_eq!(page("a/", Some("c"), 2), [""; 0]);
    assert_eq!(page("", None, 0), [""; 0]);
    assert_eq!(page("", None, u32::MAX).len(), 5);
}

#[derive(Debug, Clone)]
enum Call {
    Put(String, Vec<u8>, Option<u64>, Option<u64>),
    Delete(String, Option<u64>),
    Wait(u64),
}

fn calls() -> impl Strategy<Value = Call> {
    let key = || "[ab]{1,5}";
    let expect = || proptest::option::of(0_u64..6);
    prop_oneof![
        4 => (key(), proptest::collection::vec(any::<u8>(), 0..10), expect(), proptest::option::of(1_u64..300))
            .prop_map(|(key, value, expect, ttl)| Call::Put(key, value, expect, ttl)),
        1 => (key(), expect()).prop_map(|(key, expect)| Call::Delete(key, expect)),
        2 => (0_u64..400).prop_map(Call::Wait),
    ]
}

/// A key of the model: value, version, end.
type Model = BTreeMap<String, (Vec<u8>, u64, Option<u64>)>;

proptest! {
    #[test]
    fn the_store_does_what_its_contract_says(calls in proptest::collection::vec(calls(), 0..60)) {
        let limits = StateLimits { write_burst: 1000, ..SMALL };
        let (store, es) = (MemoryState::new(limits), name("es"));
        let mut model = Model::new();
        let mut millis = 0;
        let mut newest = BTreeMap::<String, u64>::new();
        for call in calls {
            model.retain(|_, (_, _, until)| until.is_none_or(|until| millis < until));
            let before = model.clone();
            match call {
                Call::Wait(more) => millis += more,
                Call::Put(key, value, expect, ttl) => {
                    let found = model.get(&key).map_or(0, |(_, version, _)| *version);
                    let fits = key.len() <= limits.key && value.len() <= limits.value;
                    let expected = expect.is_none_or(|expect| expect == found);
                    let mut after = model.clone();
                    after.insert(key.clone(), (value.clone(), 0, None));
                    let total: usize = after.iter().map(|(key, (value, ..))| key.len() + value.len()).sum();
                    let room = after.len() <= limits.keys && total <= limits.total;
                    let result = store.put(&es, Put { key: &key, value: &value, expect, ttl: ttl.map(Duration::from_millis) }, at(millis));
                    prop_assert_eq!(result.is_ok(), fits && expected && room, "{:?}", result);
                    match result {
                        Ok(version) => {
                            let last = newest.insert(key.clone(), version).unwrap_or(0);
                            prop_assert!(version > last, "a version grows");
                            model.insert(key, (value, version, ttl.map(|ttl| millis + ttl)));
                        }
                        Err(StateError::Conflict { found: told }) => prop_assert!(fits && !expected && told == found),
                        Err(_) => prop_assert_eq!(&model, &before),
                    }
                }
                Call::Delete(key, expect) => {
                    let found = model.get(&key).map_or(0, |(_, version, _)| *version);
                    let fine = key.len() <= limits.key && expect.is_none_or(|expect| expect == found);
                    prop_assert_eq!(store.delete(&es, &key, expect, at(millis)).is_ok(), fine);
                    if fine {
                        model.remove(&key);
                    }
                }
            }
            model.retain(|_, (_, _, until)| until.is_none_or(|until| millis < until));
            let keys = store.keys(&es, "", None, 100, at(millis)).unwrap();
            prop_assert_eq!(&keys, &model.keys().cloned().collect::<Vec<_>>());
            for (key, (value, version, _)) in &model {
                let entry = Entry { value: value.clone(), version: *version };
                prop_assert_eq!(store.get(&es, key, at(millis)).unwrap(), Some(entry));
            }
        }
    }
}
