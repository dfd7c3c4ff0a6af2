//! The targets of a makefile, and the one that `make` makes if none is named.
//!
//! Read line by line, as make reads rules; nothing is expanded and nothing is included, so what depends on that is unknown here.
//! Whether an included file is there is asked, because without it make does nothing.

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
    /// The files without which make ends at once.
    includes: Vec<String>,
    /// Targets with a `%`.
    patterns: Vec<String>,
    /// How many conditionals the line at hand stands in.
    conditionals: u32,
}

/// Lines that begin with one of these are no rules, whatever stands in them.
const DIRECTIVES: [&str; 9] = [
    "ifeq", "ifneq", "ifdef", "ifndef", "else", "endif", "unexport", "vpath", "undefine",
];
/// What may stand before an assignment or a definition.
const MODIFIERS: [&str; 3] = ["export", "override", "private"];
const INCLUDES: [&str; 3] = ["include", "-include", "sinclude"];
/// Functions that come to nothing; what any other comes to may be a rule.
const SILENT: [&str; 4] = ["info", "warning", "error", "shell"];

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
            includes: Vec::new(),
            patterns: Vec::new(),
            conditionals: 0,
        };
        let mut chosen = None;
        let mut is_defining = false;
        // A backslash at its end makes a line go on.
        for line in text.replace("\r\n", "\n").replace("\\\n", " ").lines() {
            let (modified, line) = unmodified(line.split('#').next().unwrap_or_default());
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "endef" => is_defining = false,
                "define" => is_defining = true,
                _ => {}
            }
            if is_defining || line.starts_with('\t') {
                continue;
            }
            match word {
                "ifeq" | "ifneq" | "ifdef" | "ifndef" => makefile.conditionals += 1,
                "endif" => makefile.conditionals = makefile.conditionals.saturating_sub(1),
                _ => {}
            }
            if INCLUDES.contains(&word) {
                makefile.meet(Goal::Hidden);
                // In a conditional, and behind a variable or a pattern of the shell, only make knows.
                if word == "include" && makefile.conditionals == 0 {
                    let files = line.split_whitespace().skip(1).map(str::to_owned);
                    makefile.includes.extend(
                        files.filter(|file| !file.contains(['$', '*', '?', '[', '(', ')'])),
                    );
                }
            } else if let Some(goal) = line.trim_start().strip_prefix(".DEFAULT_GOAL") {
                let goal = goal.trim_start_matches([' ', ':', '?', '=']).trim();
                let is_seen = makefile.conditionals == 0 && !goal.is_empty() && !goal.contains('$');
                chosen = Some(match is_seen {
                    true => Goal::Named(goal.to_owned()),
                    false => Goal::Hidden,
                });
            } else if !modified && !DIRECTIVES.contains(&word) {
                makefile.rule(&folded(line));
            }
        }
        if let Some(chosen) = chosen {
            makefile.goal = chosen;
        }
        makefile
    }

    fn rule(&mut self, line: &str) {
        let Some((names, rest)) = line.split_once(':') else {
            if line.trim() == "$" {
                self.meet(Goal::Hidden);
            }
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
            if is_special {
                continue;
            }
            if name.contains('%') {
                self.patterns.push(name.to_owned());
            } else if name.contains('$') {
                self.meet(Goal::Hidden);
            } else {
                self.meet(Goal::Named(name.to_owned()));
                self.targets.push(name.to_owned());
            }
        }
    }

    /// The first is the goal, if make comes by it for sure.
    fn meet(&mut self, target: Goal) {
        if self.goal == Goal::None {
            self.goal = match self.conditionals {
                0 => target,
                _ => Goal::Hidden,
            };
        }
    }

    /// The first file that it includes, that is not there, and that none of its rules makes.
    pub(super) fn missing_include(&self, is_there: impl Fn(&str) -> bool) -> Option<&str> {
        let is_made = |file: &str| {
            let makes = |pattern: &String| {
                let (before, behind) = pattern.split_once('%').unwrap_or((pattern, ""));
                file.starts_with(before) && file.ends_with(behind)
            };
            self.has(file) || self.patterns.iter().any(makes)
        };
        let mut includes = self.includes.iter().map(String::as_str);
        includes.find(|file| !is_made(file) && !is_there(file))
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
        let makes_nothing = |target: &&String| NO_BUILD.contains(&target.as_str());
        match &self.goal {
            Goal::None => Err("it has no target".to_owned()),
            Goal::Named(goal) if makes_nothing(&goal) => Err(format!(
                "`make` alone makes `{goal}`, and none of its targets is `all` or `build`"
            )),
            Goal::Named(_) => Ok(("make", "make")),
            Goal::Hidden => match self.targets.iter().find(makes_nothing) {
                Some(target) => Err(format!(
                    "`make` alone may make `{target}`, and none of its targets is `all` or `build`"
                )),
                None => Ok(("make", "make")),
            },
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
    words.next().is_some_and(is_name) && words.all(|word| MODIFIERS.contains(&word))
}

/// The line behind its modifiers, and whether it has any.
fn unmodified(line: &str) -> (bool, &str) {
    let mut rest = line;
    while let Some((word, behind)) = rest.trim_start_matches(' ').split_once([' ', '\t'])
        && MODIFIERS.contains(&word)
    {
        rest = behind;
    }
    (rest.len() < line.len(), rest)
}

/// The line with `$` for all that make puts something in the place of, and nothing for what comes to nothing.
fn folded(line: &str) -> String {
    let mut folded = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('$') {
        folded.push_str(before);
        let end = closing(behind).unwrap_or(0);
        let (inside, after) = behind.split_at(end);
        let function = inside
            .trim_start_matches(['(', '{'])
            .split_whitespace()
            .next();
        if !function.is_some_and(|function| SILENT.contains(&function)) {
            folded.push('$');
        }
        rest = after;
    }
    folded + rest
}

/// Where the bracket that `text` begins with is closed, and the text behind it begins.
fn closing(text: &str) -> Option<usize> {
    let (open, close) = match text.chars().next()? {
        '(' => ('(', ')'),
        '{' => ('{', '}'),
        _ => return None,
    };
    let mut depth = 0;
    text.char_indices().find_map(|(at, char)| {
        if char == open {
            depth += 1;
        } else if char == close {
            depth -= 1;
        }
        (depth == 0).then_some(at + 1)
    })
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
    #[test_case("x:\n.DEFAULT_GOAL := help  # note\n", "help"; "chosen, with a comment")]
    #[test_case("x:\noverride .DEFAULT_GOAL = y\n", "y"; "chosen, whoever says otherwise")]
    #[test_case("$(info project: demo (1))\n${warning a:b}\nclean:\n", "clean"; "what make says is no rule")]
    #[test_case("override define F\nx: y\nendef\nreal:\n", "real"; "nothing in a definition that overrides")]
    #[test_case("export A = b:c\nunexport D\nreal:\n", "real"; "no variable for the commands")]
    fn the_goal_is_what_make_takes(text: &str, goal: &str) {
        assert_eq!(Makefile::read(text).goal, Goal::Named(goal.to_owned()));
    }

    #[test_case("", Goal::None; "nothing")]
    #[test_case("%.o: %.c\n.PHONY: x\n", Goal::None; "no target")]
    #[test_case("-include rules.mk\nx:\n", Goal::Hidden; "in another file")]
    #[test_case("$(OUT): x\ny:\n", Goal::Hidden; "in a variable")]
    #[test_case("x:\n.DEFAULT_GOAL = $(Y)\n", Goal::Hidden; "chosen by a variable")]
    #[test_case("$(eval $(call rules,a:b))\nx:\n", Goal::Hidden; "made by a function")]
    #[test_case("$(SRC:.c=.o): x\ny:\n", Goal::Hidden; "in a variable with another ending")]
    #[test_case("ifdef A\nx:\nendif\ny:\n", Goal::Hidden; "in a conditional")]
    #[test_case("x:\nifdef A\n.DEFAULT_GOAL := y\nendif\n", Goal::Hidden; "chosen in a conditional")]
    fn what_cannot_be_seen_is_not_guessed(text: &str, goal: Goal) {
        assert_eq!(Makefile::read(text).goal, goal);
    }

    #[test_case("include a b\n", Some("a"); "the first of two")]
    #[test_case("include there a # note\n", Some("a"); "beside one that is there")]
    #[test_case("a: a.in\n\tcp\ninclude a\n", None; "made by a rule")]
    #[test_case("%.d: %.c\n\tcc\ninclude x.d\n", None; "made by a rule with a pattern")]
    #[test_case("%.d: %.c\n\tcc\ninclude x.mk\n", Some("x.mk"); "made by no pattern")]
    #[test_case("-include a\nsinclude a\n", None; "one that need not be there")]
    #[test_case("ifdef X\ninclude a\nendif\n", None; "perhaps")]
    #[test_case("include $(DEPS) *.mk\n", None; "behind a variable or a pattern")]
    fn an_include_that_ends_make_is_found(text: &str, missing: Option<&str>) {
        let makefile = Makefile::read(text);
        assert_eq!(makefile.missing_include(|file| file == "there"), missing);
    }

    #[test_case("include x\nprog:\nclean:\n", Err("`make` alone may make `clean`, and none of its targets is `all` or `build`"); "a hidden goal beside one that makes nothing")]
    #[test_case("include x\nprog:\n", Ok("make"); "a hidden goal")]
    #[test_case("include x\nclean:\nall:\n", Ok("make all"); "a hidden goal beside a known one")]
    #[test_case("$(info project: demo)\nclean:\n", Err("`make` alone makes `clean`, and none of its targets is `all` or `build`"); "one that makes nothing")]
    fn what_may_make_nothing_is_no_build(text: &str, build: Result<&str, &str>) {
        let own = Makefile::read(text).build();
        assert_eq!(
            own.as_ref().map(|(_, run)| *run).map_err(String::as_str),
            build
        );
    }
}
