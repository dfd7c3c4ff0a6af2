//! Every code that a [`Problem`](crate::problem::Problem) can have, each with a page for `piper explain`.
//!
//! Codes are for ever: one that is not used any more is not given to something else. They stand in groups: `P00xx` reading the
//! file, `P01xx` keys and values, `P02xx` steps and pipelines together, `P03xx` the command line, `P06xx` what
//! plugins ask for and may do.

use crate::problem::Code;

macro_rules! codes {
    ($($number:literal $name:ident $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code(parse($number));
        )*

        /// All codes with title and page, in order.
        pub static CODES: &[(Code, &str, &str)] = &[
            $(($name, $title, include_str!(concat!("P", $number, ".md"))),)*
        ];
    };
}

/// The number in four digits. They are text in the table so that the same token names the page's file.
const fn parse(digits: &str) -> u16 {
    let bytes = digits.as_bytes();
    assert!(bytes.len() == 4);
    let mut number = 0;
    let mut i = 0;
    while i < bytes.len() {
        assert!(bytes[i].is_ascii_digit());
        number = number * 10 + (bytes[i] - b'0') as u16;
        i += 1;
    }
    number
}

codes! {
    "0001" NOT_UTF8 "the file is not UTF-8";
    "0002" SYNTAX "the file is not TOML";
    "0003" UNQUOTED "a text without quotes";
    "0004" NO_EQUALS "a key without `=`";
    "0005" DUPLICATE_KEY "a key twice";
    "0006" UNCLOSED "a string, list or table that is not closed";
    "0007" TOO_DEEP "nested too deeply";
    "0008" UNREADABLE "the file cannot be read";
    "0009" TOO_LARGE "the file is too large";
    "0101" WRONG_TYPE "a value of the wrong type";
    "0102" MISSING_KEY "a key is missing";
    "0103" EXCLUSIVE_KEYS "keys that exclude each other";
    "0104" NOT_IMPLEMENTED "not implemented in this version";
    "0105" BAD_NAME "not a name";
    "0106" BAD_DURATION "not a duration";
    "0107" UNKNOWN_KEY "unknown key";
    "0108" BAD_VALUE "a value that the key does not take";
    "0109" QUOTE_IT "a number or a date that must be quoted";
    "0110" EMPTY "nothing where something is needed";
    "0111" NUL_BYTE "a NUL byte";
    "0112" OUT_OF_RANGE "a number out of range";
    "0113" LISTED_TWICE "the same thing twice in a list";
    "0114" BAD_VARIABLE "not the name of an environment variable";
    "0115" RESERVED_VARIABLE "a variable that piper sets itself";
    "0116" OUTSIDE_WORKSPACE "a folder outside the workspace";
    "0117" DEFAULT_NOT_A_CHOICE "a default that is not among the choices";
    "0118" BAD_EXCLUDE "an exclusion that excludes nothing";
    "0119" MATRIX_TOO_LARGE "a matrix with too many cells";
    "0120" MATRIX_EMPTY "a matrix without cells";
    "0121" BAD_REFERENCE "not a reference";
    "0122" BUILT_IN_ENVIRONMENT "an environment that exists already";
    "0123" SAME_VARIABLE "two names for one variable";
    "0124" NOT_A_PLUGIN "not a plugin";
    "0125" GRANT_IN_PROJECT "a grant in the project file";
    "0126" BAD_PATTERN "not a pattern";
    "0201" UNKNOWN_STEP "unknown step";
    "0202" CYCLE "steps that wait for each other";
    "0203" STEP_TWICE "a step twice in one pipeline";
    "0204" NEED_NOT_LISTED "a needed step is not in the pipeline";
    "0205" NEED_LISTED_LATER "a needed step is listed later";
    "0206" UNDECLARED_PARAM "a reference to an undeclared parameter";
    "0207" UNDECLARED_AXIS "a reference to an undeclared axis";
    "0208" UNDECLARED_ENVIRONMENT "unknown environment";
    "0209" IMPOSSIBLE_CONDITION "a condition that can never hold";
    "0210" AXIS_TWICE "an axis in a step and in its pipeline";
    "0211" UNKNOWN_PIPELINE "unknown pipeline";
    "0250" PIPE_WITHOUT_PIPEFAIL "a pipe that hides failures";
    "0301" UNKNOWN_TARGET "unknown pipeline or step";
    "0302" UNKNOWN_ENVIRONMENT "unknown environment on the command line";
    "0303" UNKNOWN_PARAM "undeclared parameter on the command line";
    "0304" PARAM_REQUIRED "a parameter has no value";
    "0305" NOT_A_CHOICE "a value that is not among the choices";
    "0306" UNKNOWN_BUILD "unknown build";
    "0307" SECRET_MISSING "a secret is missing";
    "0308" NO_PROJECT "no project file found";
    "0309" FOREIGN_PROJECT "the project file belongs to somebody else";
    "0310" BAD_ARGUMENT "not `name=value`";
    "0311" NO_COMMIT "no commit to make a clean copy of";
    "0312" UNKNOWN_STEP_ARGUMENT "unknown step on the command line";
    "0313" UNUSED_ARGUMENTS "arguments that no step takes";
    "0314" AMBIGUOUS_BUILD "a prefix of several builds";
    "0315" FILE_EXISTS "a file exists already";
    "0316" UNKNOWN_CODE "unknown code";
    "0317" BAD_ANSWER "a plan that cannot be used";
    "0318" NO_ANSWER_OF_GIT "git has no answer";
    "0319" PARAM_TWICE "a parameter with two values";
    "0320" BAD_USAGE "wrong options or arguments";
    "0601" BAD_HTTP_RULE "not a rule for requests";
    "0602" RULE_TOO_WIDE "a rule that reaches strangers";
    "0603" BAD_TEMPLATE "not a template";
    "0604" BAD_NETWORK "not a network";
    "0605" UNKNOWN_PERMISSION "unknown kind of permission";
    "0606" MANIFEST_VERSION "a manifest of another version";
    "0607" DECLARED_TWICE "declared twice";
    "0608" UNDECLARED_SECRET "a secret that is not declared";
    "0609" BAD_SIZE "not a size";
    "0610" BAD_VERSION "not a version";
    "0611" BAD_PATH "not a path or pattern inside the workspace";
    "0612" BAD_COMMAND "not a command that can be granted";
    "0613" BAD_SOURCE "not a source of a plugin";
    "0614" BAD_DIGEST "not a digest";
    "0615" BAD_ORIGIN "not an origin";
    "0616" BAD_SECRET_SOURCE "not a source of a secret";
    "0617" NOT_GRANTED "a permission that is not granted";
    "0618" PLUGIN_CHANGED "a plugin that changed";
    "0619" SECRET_IN_THE_CLEAR "a secret without encryption";
    "0620" NOT_LOADABLE "a component that cannot be loaded";
    "0621" UNKNOWN_PLUGIN "unknown plugin";
    "0622" NOT_PINNED "a plugin that is not pinned";
    "0623" BAD_OPTIONS "options that a plugin does not take";
}

/// The title and the page of a code.
pub fn find(code: Code) -> Option<(&'static str, &'static str)> {
    CODES
        .binary_search_by_key(&code, |(code, _, _)| *code)
        .ok()
        .map(|at| (CODES[at].1, CODES[at].2))
}

#[cfg(test)]
mod tests;
