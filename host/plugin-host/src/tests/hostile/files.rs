//! Guests that read and write while what they read and write is exchanged.

use super::next_is_unaffected;
use crate::{
    Invocation, Limits,
    effect::{
        Surroundings,
        files::{
            Places,
            tests::{Place, Race},
        },
        tests::{Names, bind, effective, effects},
    },
    tests::guests::{call, plugin},
};
use std::{os::unix::fs::symlink, path::PathBuf};

const WRITE: (&str, &str) = (
    "[[permission.files]]\nworkspace = \"write\"\nwhy = \"write\"\n",
    "allow.files = { workspace = \"write\" }\n",
);

fn invocation(workspace: PathBuf) -> Invocation {
    let effects = effects(Names::of(&[]), Vec::new());
    let binding = bind(
        &effects,
        effective(WRITE.0, WRITE.1),
        Limits::default(),
        &[],
    );
    let places = Places {
        workspace: Some(workspace),
        ..Places::default()
    };
    let services = binding.services(Surroundings {
        places,
        ..Surroundings::default()
    });
    Invocation {
        services: services.unwrap(),
        ..Invocation::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(super) async fn no_race_leads_out_of_the_workspace() {
    let place = Place::new();
    place.put("workspace/a/secret", "inside");
    symlink("../outside", place.path("workspace/b")).unwrap();
    let race = Race::start(place.path("workspace/a"), place.path("workspace/b"));
    let invocation = invocation(place.path("workspace"));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let verdict = plugin().run(&invocation, call("race 200")).await.unwrap();
        seen.extend(verdict.message.split(' ').map(str::to_owned));
    }
    assert!(race.end() > 10, "there was a race");
    let may_be = [
        "inside",
        "a/new",
        "a/secret",
        "policy.fs",
        "fs.not-found",
        "fs.failed",
    ];
    assert!(
        seen.iter().all(|one| may_be.contains(&one.as_str())),
        "{seen:?}"
    );
    assert!(seen.contains("inside"), "{seen:?}");
    assert_eq!(place.text("outside/secret"), "secret");
    assert!(!place.path("outside/new").exists());
    next_is_unaffected().await;
}
