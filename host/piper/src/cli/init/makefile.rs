//! The targets of a makefile, and the one that `make` makes if none is named.
//!
//! Read line by line, as make reads rules; nothing is expanded and nothing is included, so what depends on that is unknown here.

/// What `make` makes if no target is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// There is no target.
    None,
    /// Make knows: it stands in an included file, or its name in a variable.
    Hidden,
    /// This target.
    Named(String),
}

/// The plain targets: no patterns, no variables, no special ones.
#[derive(Debug)]
pub(super) struct Makefile {
    targets: Vec<String>,
    pub(super) goal: Goal,
}

/// Lines that begin with one of these are no rules, whatever stands in them.
const DIRECTIVES: [&str; 13] = [
    "ifeq", "ifneq", "ifdef", "ifndef", "else", "endif", "export", "unexport", "override",
    "private", "vpath", "undefine", "define",
];
const INCLUDES: [&str; 3] = ["include", "-include", "sinclude"];

/// Targets that make nothing, by the habits of those who write makefiles: what `piper exec` does must not be one of them.
const NO_BUILD: [&str; 12] = [
    "clean",
    "distclean",
    "mrproper",
    "help",
    "usage",
    "list",
    "install",
    "uninstall",
    "deploy",
    "publish",
    "release",
    "run",
];

impl Makefile {
    pub(super) fn read(text: &str) -> Self {
        let mut makefile = Self {
            targets: Vec::new(),
            goal: Goal::None,
        };
        let mut chosen = None;
        let mut is_defining = false;
        // A backslash at its end makes a line go on.
        for line in text.replace("\r\n", "\n").replace("\\\n", " ").lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "endef" => is_defining = false,
                "define" => is_defining = true,
                _ => {}
            }
            if is_defining || line.starts_with('\t') || DIRECTIVES.contains(&word) {
                continue;
            }
            if INCLUDES.contains(&word) {
                makefile.meet(Goal::Hidden);
            } else if let Some(goal) = line.trim_start().strip_prefix(".DEFAULT_GOAL") {
                let goal = goal.trim_start_matches([' ', ':', '?', '=']).trim();
                chosen = Some(match goal.contains('$') {
                    true => Goal::Hidden,
                    false => Goal::Named(goal.to_owned()),
                });
            } else {
                makefile.rule(line.split('#').next().unwrap_or_default());
            }
        }
        if let Some(chosen) = chosen {
            makefile.goal = chosen;
        }
        makefile
    }

    fn rule(&mut self, line: &str) {
        let Some((names, rest)) = line.split_once(':') else {
            return;
        };
        // `name := value`, `name ::= value`; and a variable of one target, which is no rule for it.
        let value = rest.trim_start_matches(':');
        if value.starts_with('=') || names.contains('=') || is_assignment(value) {
            return;
        }
        // `a b &: c` makes both at once.
        for name in names.trim_end_matches('&').split_whitespace() {
            let is_special = name.starts_with('.') && !name.contains('/');
            if is_special || name.contains('%') {
                continue;
            }
            if name.contains('$') {
                self.meet(Goal::Hidden);
            } else {
                self.meet(Goal::Named(name.to_owned()));
                self.targets.push(name.to_owned());
            }
        }
    }

    /// The first is the goal.
    fn meet(&mut self, target: Goal) {
        if self.goal == Goal::None {
            self.goal = target;
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.targets.iter().any(|own| own == name)
    }

    /// The target that a person names to build, with the step's name; else what `make` alone builds, if it does.
    pub(super) fn build(&self) -> Result<(&'static str, &'static str), String> {
        if self.has("all") {
            return Ok(("make-all", "make all"));
        }
        if self.has("build") {
            return Ok(("make-build", "make build"));
        }
        match &self.goal {
            Goal::None => Err("it has no target".to_owned()),
            Goal::Named(goal) if NO_BUILD.contains(&goal.as_str()) => Err(format!(
                "`make` alone makes `{goal}`, and none of its targets is `all` or `build`"
            )),
            Goal::Named(_) | Goal::Hidden => Ok(("make", "make")),
        }
    }
}

/// `NAME = value`, also with `+=` and the like.
fn is_assignment(text: &str) -> bool {
    let Some((name, _)) = text.split_once('=') else {
        return false;
    };
    let name = name.trim_end_matches([':', '+', '?', '!']).trim();
    let mut words = name.split_whitespace().rev();
    let is_name = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    words.next().is_some_and(is_name)
        && words.all(|word| ["export", "override", "private"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("prog: prog.c\n\tcc\n", "prog"; "the first target")]
    #[test_case(".PHONY: x\n.SUFFIXES:\n%.o: %.c\nreal:\n", "real"; "no special one and no pattern")]
    #[test_case("./x: y\n", "./x"; "a path is not special")]
    #[test_case("A = b:c\nB := c:d\nC ::= x\nexport D ?= e:f\ng:\n", "g"; "no assignment")]
    #[test_case("x: CFLAGS = -g\nx: export A += b\ny:\n", "y"; "no variable of a target")]
    #[test_case("SRC = a \\\n  b:c \\\n  d:e\nreal:\n", "real"; "no line that another goes on in")]
    #[test_case("define F\nx: y\nendef\nreal:\n", "real"; "nothing in a definition")]
    #[test_case("# x: y\nreal: # z: w\n", "real"; "no comment")]
    #[test_case("x:\n\ta: b\n.DEFAULT_GOAL := y\ny:\n", "y"; "the one that is chosen")]
    #[test_case("a b &: c\n", "a"; "of a group")]
    #[test_case("rel: ; @X=1 echo\n", "rel"; "with its recipe beside it")]
    #[test_case("ifeq (a:b,c)\nendif\n  x: y\n", "x"; "indented by spaces")]
    fn the_goal_is_what_make_takes(text: &str, goal: &str) {
        assert_eq!(Makefile::read(text).goal, Goal::Named(goal.to_owned()));
    }

    #[test_case("", Goal::None; "nothing")]
    #[test_case("%.o: %.c\n.PHONY: x\n", Goal::None; "no target")]
    #[test_case("-include rules.mk\nx:\n", Goal::Hidden; "in another file")]
    #[test_case("$(OUT): x\ny:\n", Goal::Hidden; "in a variable")]
    #[test_case("x:\n.DEFAULT_GOAL = $(Y)\n", Goal::Hidden; "chosen by a variable")]
    fn what_cannot_be_seen_is_not_guessed(text: &str, goal: Goal) {
        assert_eq!(Makefile::read(text).goal, goal);
    }
}
