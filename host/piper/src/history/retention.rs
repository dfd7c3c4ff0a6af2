//! Which builds have been kept long enough: a pure rule over a list.
//!
//! Nothing here removes anything or knows where it lies.

use piper_core::{id::BuildId, record::BuildSummary, time::Timestamp, wire::v1::Outcome};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::Duration,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long and how much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How old a build may become.
    pub age: Duration,
    /// How many builds of one project there may be.
    pub builds: u64,
    /// How many bytes all builds together may have.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A month back is further than anybody looks on his own machine.
            age: 30 * DAY,
            // A long day's work; the list stays one that can be read.
            builds: 100,
            // Some 10 GiB of text as it was printed. Less than the build folder of one project.
            bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// How many builds more than [`builds`](Self::builds) a project may gather before its old ones are removed: not at every build,
    /// because each removal costs a transaction.
    pub fn slack(&self) -> u64 {
        self.builds / 10 + 1
    }
}

/// The builds that have been kept long enough, out of all that there are, newest first.
///
/// Never one that runs, and never the newest good one of a pipeline as long as `exists` says that its project's root is there:
/// without that, every checkout in a scratch folder would leave a build for ever.
pub(super) fn expendable(
    newest_first: &[BuildSummary],
    limits: Limits,
    now: Timestamp,
    exists: impl Fn(&Path) -> bool,
) -> Vec<BuildId> {
    let mut good = HashSet::new();
    let mut projects: HashMap<&Path, (u64, bool)> = HashMap::new();
    let mut bytes = 0_u64;
    let mut expendable = Vec::new();
    for build in newest_first {
        let (count, there) = projects
            .entry(&build.root)
            .or_insert_with(|| (0, exists(&build.root)));
        *count += 1;
        let Some(end) = &build.end else { continue };
        let is_newest_good = end.outcome == Outcome::Succeeded
            && good.insert((&build.root, &build.target, &build.cell));
        let too_many = *count > limits.builds;
        let too_old = now.since(build.created) > limits.age;
        // From the first that does not fit on, so that a small old build does not outlive a large newer one.
        let too_large = bytes.saturating_add(end.size) > limits.bytes;
        if !(is_newest_good && *there) && (too_many || too_old || too_large) {
            expendable.push(build.id);
            if too_large && !too_many && !too_old {
                bytes = u64::MAX;
            }
        } else {
            bytes = bytes.saturating_add(end.size);
        }
    }
    expendable
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::record::BuildEnd;
    use proptest::prelude::*;
    use test_case::test_case;

    const GENEROUS: Limits = Limits {
        age: Duration::from_secs(1000),
        builds: 1000,
        bytes: 1000,
    };

    /// `outcome`: `+` succeeded, `-` failed, `.` running; `age` in seconds.
    fn build(n: u64, root: &str, target: &str, outcome: char, age: u64, size: u64) -> BuildSummary {
        let outcome = match outcome {
            '+' => Some(Outcome::Succeeded),
            '-' => Some(Outcome::Failed),
            _ => None,
        };
        BuildSummary {
            id: BuildId::from_random(u128::from(n)),
            root: root.into(),
            project: "p".to_owned(),
            target: target.to_owned(),
            cell: String::new(),
            environment: "local".to_owned(),
            revision: None,
            version: None,
            created: Timestamp((10_000 - age) * 1_000_000),
            end: outcome.map(|outcome| BuildEnd {
                outcome,
                reason: None,
                duration: Duration::ZERO,
                size,
            }),
        }
    }

    fn gone(builds: &[BuildSummary], limits: Limits) -> Vec<usize> {
        let now = Timestamp(10_000 * 1_000_000);
        let gone = expendable(builds, limits, now, |root| root != "/gone");
        let place = |id: &BuildId| builds.iter().position(|build| build.id == *id).unwrap();
        gone.iter().map(place).collect()
    }

    #[test_case(GENEROUS, &[]; "nothing when there is room")]
    #[test_case(Limits { age: Duration::from_secs(25), ..GENEROUS }, &[3]; "what is too old, but not the newest good one")]
    #[test_case(Limits { builds: 2, ..GENEROUS }, &[3]; "what is too many in one project")]
    #[test_case(Limits { bytes: 15, ..GENEROUS }, &[1, 3]; "what is too large, from the first that does not fit on")]
    #[test_case(Limits { builds: 0, ..GENEROUS }, &[1, 3]; "all that may be, when nothing is to be kept")]
    fn old_builds_go(limits: Limits, expected: &[usize]) {
        let builds = [
            build(0, "/a", "build", '.', 5, 0),
            build(1, "/a", "build", '-', 10, 20),
            build(2, "/a", "build", '+', 30, 10),
            build(3, "/a", "build", '+', 40, 1),
        ];
        assert_eq!(gone(&builds, limits), expected);
    }

    #[test]
    fn each_pipeline_of_each_project_keeps_its_newest_good_build_and_a_lost_project_none() {
        let builds = [
            build(0, "/a", "build", '+', 10, 1),
            build(1, "/a", "deploy", '+', 20, 1),
            build(2, "/b", "build", '+', 30, 1),
            build(3, "/gone", "build", '+', 40, 1),
            build(4, "/a", "build", '+', 50, 1),
        ];
        let limits = Limits {
            age: Duration::ZERO,
            builds: 0,
            bytes: 0,
        };
        assert_eq!(gone(&builds, limits), [3, 4]);
    }

    fn builds() -> impl Strategy<Value = Vec<BuildSummary>> {
        let one = ("/[ab]", "[xy]", "[-+.]", 0_u64..50, 0_u64..50);
        proptest::collection::vec(one, 0..40).prop_map(|rows| {
            let mut builds: Vec<_> = (0..)
                .zip(rows)
                .map(|(n, (root, target, outcome, age, size))| {
                    build(
                        n,
                        &root,
                        &target,
                        outcome.chars().next().unwrap(),
                        age,
                        size,
                    )
                })
                .collect();
            builds.sort_by_key(|build| std::cmp::Reverse(build.created));
            builds
        })
    }

    proptest! {
        #[test]
        fn the_newest_good_build_and_running_ones_never_go_and_the_rest_is_within_the_limits(
            builds in builds(), age in 0_u64..60, count in 0_u64..20, bytes in 0_u64..500,
        ) {
            let limits = Limits { age: Duration::from_secs(age), builds: count, bytes };
            let gone: HashSet<_> = gone(&builds, limits).into_iter().collect();
            let mut good = HashSet::new();
            let (mut total, mut protected) = (0, 0);
            let mut of_root: HashMap<&Path, u64> = HashMap::new();
            for (place, build) in builds.iter().enumerate() {
                let newest_good = build.end.as_ref().is_some_and(|end| end.outcome == Outcome::Succeeded)
                    && good.insert((&build.root, &build.target));
                *of_root.entry(&build.root).or_default() += 1;
                let size = build.end.as_ref().map_or(0, |end| end.size);
                if newest_good || build.end.is_none() {
                    prop_assert!(!gone.contains(&place));
                    protected += size;
                } else if !gone.contains(&place) {
                    total += size;
                    prop_assert!(of_root[build.root.as_path()] <= count);
                    prop_assert!(Timestamp(10_000_000_000).since(build.created).as_secs() <= age);
                }
            }
            prop_assert!(total <= bytes, "{total} and {protected} protected");
        }
    }
}
