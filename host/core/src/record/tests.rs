use super::*;
use crate::{address::Address, problem::Code};
use test_case::test_case;

/// Stricter than a real one: lists only what was put in, and refuses to forget what it does not know.
struct Kept(Vec<BuildSummary>);

impl History for Kept {
    fn list(&self, filter: &Filter) -> Result<Vec<BuildSummary>, HistoryError> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|b| passes(b, filter))
            .cloned()
            .collect();
        found.sort_by_key(|build| std::cmp::Reverse(build.created));
        found.truncate(filter.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    fn remove(&mut self, builds: &[BuildId]) -> Result<(), HistoryError> {
        for id in builds {
            let at = self.0.iter().position(|b| b.id == *id);
            self.0.remove(at.ok_or_else(|| HistoryError {
                doing: format!("forget build {id}"),
                source: "it is not there".into(),
            })?);
        }
        Ok(())
    }
}

fn passes(build: &BuildSummary, filter: &Filter) -> bool {
    let outcome = build.end.as_ref().map(|end| end.outcome);
    filter.root.as_ref().is_none_or(|root| *root == build.root)
        && filter
            .target
            .as_ref()
            .is_none_or(|target| *target == build.target)
        && filter.outcome.is_none_or(|wanted| outcome == Some(wanted))
        && filter
            .id_prefix
            .as_ref()
            .is_none_or(|prefix| build.id.as_str().starts_with(prefix))
}

fn build(
    id: &str,
    root: &str,
    target: &str,
    created: u64,
    outcome: Option<Outcome>,
) -> BuildSummary {
    BuildSummary {
        id: BuildId::parse(id).unwrap(),
        root: root.into(),
        project: "hello".to_owned(),
        target: target.to_owned(),
        cell: String::new(),
        environment: "local".to_owned(),
        revision: None,
        version: None,
        created: Timestamp(created),
        end: outcome.map(|outcome| BuildEnd {
            outcome,
            reason: None,
            duration: Duration::from_secs(1),
            size: 1,
        }),
    }
}

fn kept() -> Kept {
    Kept(vec![
        build("bcdfghjklmnpqrst", "/a", "build", 1, Some(Outcome::Failed)),
        build(
            "bcdfxxxxxxxxxxxx",
            "/a",
            "build",
            2,
            Some(Outcome::Succeeded),
        ),
        build(
            "cccccccccccccccc",
            "/a",
            "deploy",
            3,
            Some(Outcome::Succeeded),
        ),
        build("dddddddddddddddd", "/b", "build", 4, None),
    ])
}

fn find(address: &str, root: Option<&str>) -> Result<String, FindError> {
    let address = Address::parse(address).unwrap();
    let found = kept().find(&address.build, root.map(Path::new))?;
    Ok(found.id.as_str()[..4].to_owned())
}

#[test_case("@", Some("/a"), "cccc"; "newest here")]
#[test_case("@", None, "dddd"; "newest of all")]
#[test_case("@build", Some("/a"), "bcdf"; "newest of a pipeline")]
#[test_case("@failed", Some("/a"), "bcdf"; "newest failed")]
#[test_case("bcdfg", Some("/b"), "bcdf"; "a unique beginning, of any project")]
#[test_case("dddddddddddddddd", Some("/a"), "dddd"; "a whole id")]
fn a_build_is_found(address: &str, root: Option<&str>, id: &str) {
    assert_eq!(find(address, root).unwrap(), id);
}

#[test_case("@", Some("/c"), UNKNOWN_BUILD, "the project in `/c` has no build", "`piper exec` runs one"; "an empty project")]
#[test_case("@nope", Some("/a"), UNKNOWN_BUILD, "the project in `/a` has no build of `nope`", "`ccccccc` (deploy), `bcdfxxx` (build)"; "a pipeline without builds")]
#[test_case("@failed", Some("/b"), UNKNOWN_BUILD, "the project in `/b` has no failed build", "`ddddddd` (build)"; "nothing failed")]
#[test_case("bcdgfhj", Some("/a"), UNKNOWN_BUILD, "no build whose id begins with `bcdgfhj`", "did you mean `bcdfghjklmnpqrst`?"; "a slip")]
#[test_case("zz", Some("/a"), UNKNOWN_BUILD, "no build whose id begins with `zz`", "the newest builds are"; "nothing like it")]
#[test_case("bcdf", Some("/a"), AMBIGUOUS_BUILD, "several builds begin with `bcdf`", "`bcdfxxxxxxxxxxxx` is `build` of hello, created 1970"; "several")]
fn a_build_that_is_not_found_says_which_there_are(
    address: &str,
    root: Option<&str>,
    code: Code,
    message: &str,
    help: &str,
) {
    let FindError::Problem(problem) = find(address, root).unwrap_err() else {
        panic!("the history can be read");
    };
    assert_eq!(problem.code, code);
    assert!(problem.message.contains(message), "{}", problem.message);
    assert!(problem.help.join("\n").contains(help), "{:?}", problem.help);
}
