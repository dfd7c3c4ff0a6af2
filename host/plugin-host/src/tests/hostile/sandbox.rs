//! Guests that use up what they have, or lie to the wall itself.

use super::next_is_unaffected;
use crate::{
    Crash, Plugin,
    load::Error,
    tests::guests::{call, crash, host, invocation, tight},
};

/// What an honest runner written by hand has.
const HONEST: Parts = Parts {
    realloc: "(i32.const 4096)",
    main: "",
    run: "(i32.const 1024)",
};

/// The parts of `runner.wat` that differ.
#[derive(Clone, Copy)]
struct Parts {
    realloc: &'static str,
    main: &'static str,
    run: &'static str,
}

impl Parts {
    fn text(self) -> String {
        include_str!("runner.wat")
            .replace("{REALLOC}", self.realloc)
            .replace("{MAIN}", self.main)
            .replace("{RUN}", self.run)
    }

    fn load(self) -> Result<Plugin, Error> {
        host().load(&wat::parse_str(self.text()).expect("the guest can be read"))
    }

    async fn crash(self) -> Crash {
        let plugin = self.load().expect("it is a plugin");
        let crash = crash(&plugin, &tight(), "").await;
        next_is_unaffected().await;
        crash
    }
}

#[tokio::test]
pub(super) async fn what_is_written_by_hand_works_without_an_attack() {
    let plugin = HONEST.load().unwrap();
    let verdict = plugin.run(&invocation(), call("")).await.unwrap();
    assert_eq!(verdict.message, "");
}

/// The pool gives memories and tables from one instance to the next, some of them without asking the system for fresh ones.
#[tokio::test]
async fn an_instance_finds_nothing_of_the_one_before() {
    let curious = Parts {
        main: "(table $t 100 funcref) (elem declare func $run) (memory $other 1) (global $left (mut i32) (i32.const 0))",
        // Pages all over the first MiB and beyond, more than are kept; then the second memory and the table.
        run: r#"(local $at i32)
            (drop (memory.grow $mem (i32.const 31)))
            (local.set $at (i32.const 8192))
            (loop $next
              (global.set $left (i32.or (global.get $left) (i32.load $mem (local.get $at))))
              (i32.store $mem (local.get $at) (i32.const 7))
              (local.set $at (i32.add (local.get $at) (i32.const 4096)))
              (br_if $next (i32.lt_u (local.get $at) (i32.const 2097152))))
            (global.set $left (i32.or (global.get $left) (i32.load $other (i32.const 16))))
            (i32.store $other (i32.const 16) (i32.const 7))
            (if (i32.eqz (ref.is_null (table.get $t (i32.const 99)))) (then (global.set $left (i32.const 1))))
            (table.set $t (i32.const 99) (ref.func $run))
            (if (global.get $left) (then (unreachable)))
            (i32.const 1024)"#,
        ..HONEST
    };
    let plugin = curious.load().unwrap();
    for turn in 0..100 {
        let ran = plugin.run(&invocation(), call("")).await;
        assert!(ran.is_ok(), "turn {turn}: {ran:?}");
    }
}

#[tokio::test]
pub(super) async fn a_loop_ends() {
    assert_eq!(super::odd_crash(&tight(), "spin").await.code, "limit.cpu");
}

#[tokio::test]
pub(super) async fn a_loop_in_realloc_ends() {
    let endless = Parts {
        realloc: "(loop $again (br $again)) (unreachable)",
        ..HONEST
    };
    let crash = endless.crash().await;
    assert_eq!(
        (crash.code, crash.message.as_str()),
        ("limit.cpu", "it computed for more than 100 ms")
    );
}

#[tokio::test]
pub(super) async fn recursion_ends_on_either_stack() {
    for (name, code) in [
        ("recurse", "limit.stack"),
        ("recurse-in-memory", "plugin.trap"),
    ] {
        assert_eq!(super::odd_crash(&tight(), name).await.code, code, "{name}");
    }
    let mutual = Parts {
        main: "(func $a (call $b)) (func $b (call $a))",
        run: "(call $a) (i32.const 1024)",
        ..HONEST
    };
    assert_eq!(mutual.crash().await.code, "limit.stack");
}

#[tokio::test]
pub(super) async fn a_bomb_in_one_memory_ends() {
    let crash = super::odd_crash(&tight(), "allocate").await;
    assert_eq!(
        (crash.code, crash.message.as_str()),
        ("limit.memory", "it used more than its 16 MiB of memory")
    );
    let at_once = Parts {
        run: "(drop (memory.grow (i32.const 16000))) (i32.const 1024)",
        ..HONEST
    };
    assert_eq!(at_once.crash().await.code, "limit.memory");
}

/// Each of the memories stays below the limit; together they do not.
#[tokio::test]
pub(super) async fn a_bomb_in_many_memories_ends() {
    let in_four = Parts {
        main: "(memory $a 1) (memory $b 1) (memory $c 1)",
        run: "(loop $again
                (drop (memory.grow $mem (i32.const 1)))
                (drop (memory.grow $a (i32.const 1)))
                (drop (memory.grow $b (i32.const 1)))
                (drop (memory.grow $c (i32.const 1)))
                (br $again))
              (unreachable)",
        ..HONEST
    };
    assert_eq!(in_four.crash().await.code, "limit.memory");
    let in_eight = Parts {
        main: "(memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)",
        ..HONEST
    };
    assert!(matches!(in_eight.load(), Err(Error::TooMuch(_))));
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_bomb_in_tables_ends() {
    const GROW: &str = "(loop $again
        (drop (table.grow $a (ref.null func) (i32.const 1000)))
        (drop (table.grow $b (ref.null func) (i32.const 1000)))
        (br $again))
      (unreachable)";
    let by_and_by = Parts {
        main: "(table $a 1 funcref) (table $b 1 funcref)",
        run: GROW,
        ..HONEST
    };
    assert_eq!(by_and_by.crash().await.code, "limit.table");
    let at_once = Parts {
        main: "(table $a 1 funcref)",
        run: "(drop (table.grow $a (ref.null func) (i32.const -2))) (i32.const 1024)",
        ..HONEST
    };
    assert_eq!(at_once.crash().await.code, "limit.table");
    let from_the_start = Parts {
        main: "(table 100001 funcref)",
        ..HONEST
    };
    let crash = from_the_start.crash().await;
    assert_eq!(
        crash.message,
        "one of its tables begins with 100001, and it may have 100000"
    );
    let beyond_the_pool = Parts {
        main: "(table 1000001 funcref)",
        ..HONEST
    };
    assert!(matches!(beyond_the_pool.load(), Err(Error::TooMuch(_))));
}

#[tokio::test]
pub(super) async fn a_bomb_of_instances_ends() {
    let many = "(core module $one)".to_owned() + &"(core instance (instantiate $one))".repeat(100);
    let text = HONEST
        .text()
        .replace("(component\n", &format!("(component {many}\n"));
    match host().load(&wat::parse_str(&text).unwrap()) {
        // A pool knows.
        Err(Error::TooMuch(_)) => {}
        loaded => {
            let crash = crash(&loaded.unwrap(), &tight(), "").await;
            assert_eq!(crash.code, "limit.instances", "{crash}");
        }
    }
    next_is_unaffected().await;
}

#[tokio::test]
pub(super) async fn a_bomb_of_handles_ends() {
    let crash = super::odd_crash(&tight(), "hoard").await;
    assert_eq!(
        (crash.code, crash.message.as_str()),
        ("limit.handles", "it holds more than 1000 handles")
    );
}

#[tokio::test]
pub(super) async fn a_huge_string_does_not_cross_the_wall() {
    // To the host as an argument, and as an answer; these guests really have it.
    for name in ["shout", "boast"] {
        let crash = super::odd_crash(&invocation(), name).await;
        assert_eq!(crash.code, "limit.host-data", "{name}: {crash}");
    }
    // As many random bytes as there are numbers, which the host would have to hold.
    assert_eq!(
        super::odd_crash(&invocation(), "gamble").await.code,
        "plugin.trap"
    );
}

/// Answers that claim to lie where no memory is, or to be longer than it.
#[tokio::test]
pub(super) async fn a_length_that_lies_is_a_trap() {
    const STATUS: &str = "(i32.store (i32.const 1028) (i32.const 4096))";
    for (what, lie) in [
        (
            "a text that goes on behind the end",
            "(i32.store (i32.const 1028) (i32.const 65535)) (i32.store (i32.const 1032) (i32.const 2))",
        ),
        (
            "a text as long as the world",
            "(i32.store (i32.const 1032) (i32.const -1))",
        ),
        (
            "a text that begins nowhere",
            "(i32.store (i32.const 1028) (i32.const -16)) (i32.store (i32.const 1032) (i32.const 32))",
        ),
        (
            "fields as many as the world",
            "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0x0fffffff))",
        ),
        (
            "fields whose size is larger than a number",
            "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))",
        ),
        (
            "fields that begin behind the end",
            "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65532) (i32.const 1))",
        ),
        (
            "a message for the host behind the end",
            "(call $emit (i32.const 0) (i32.const 65535) (i32.const 2) (i32.const 0) (i32.const 0))",
        ),
    ] {
        let crash = crash_of(&format!("{STATUS} {lie} (i32.const 1024)")).await;
        assert_eq!(crash.code, "plugin.trap", "{what}: {crash}");
    }
    for (what, address) in [
        ("an answer behind the end", "-16"),
        ("an answer between two places", "1025"),
    ] {
        let crash = crash_of(&format!("(i32.const {address})")).await;
        assert_eq!(crash.code, "plugin.trap", "{what}: {crash}");
    }
    for (what, realloc) in [
        ("room behind the end", "(i32.const -8)"),
        ("room that ends behind the end", "(i32.const 65535)"),
    ] {
        let lie = Parts { realloc, ..HONEST }.load().unwrap();
        let crash = crash(&lie, &tight(), "too long for that").await;
        assert_eq!(crash.code, "plugin.trap", "{what}: {crash}");
    }
}

#[tokio::test]
pub(super) async fn bytes_that_are_no_text_are_a_trap() {
    const BYTES: &str = "(i32.store (i32.const 4096) (i32.const 0xfffec080))";
    for (what, said) in [
        (
            "a status",
            "(i32.store (i32.const 1028) (i32.const 4096)) (i32.store (i32.const 1032) (i32.const 4))",
        ),
        (
            "a line",
            "(call $emit (i32.const 2) (i32.const 4096) (i32.const 4) (i32.const 0) (i32.const 0))",
        ),
        (
            "the name of a field",
            "(i32.store (i32.const 4104) (i32.const 4096)) (i32.store (i32.const 4108) (i32.const 4))
             (call $emit (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 4104) (i32.const 1))",
        ),
    ] {
        let crash = crash_of(&format!("{BYTES} {said} (i32.const 1024)")).await;
        assert_eq!(crash.code, "plugin.trap", "{what}: {crash}");
        assert!(crash.message.contains("utf-8"), "{what}: {crash}");
    }
    for (what, said) in [
        (
            "a result of a third kind",
            "(i32.store8 (i32.const 1024) (i32.const 2))",
        ),
        (
            "a failure of a sixth kind",
            "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 5))",
        ),
        (
            "a level above the highest",
            "(call $emit (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
    ] {
        let crash = crash_of(&format!("{said} (i32.const 1024)")).await;
        assert_eq!(crash.code, "plugin.trap", "{what}: {crash}");
    }
}

/// What a runner comes to that does this.
async fn crash_of(run: &str) -> Crash {
    Parts {
        run: Box::leak(run.into()),
        ..HONEST
    }
    .crash()
    .await
}
