//! Durations as people write them: `90s`, `10m`, `1h30m`, `500ms`.

use std::time::Duration;

/// The units, largest first, with how many milliseconds each has.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration. Whoever adds one to a point in time need not think of overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// What the schema says of a duration: no part of it is longer than the longest. An expression cannot add, so the sum is the parser's.
pub(super) fn pattern() -> String {
    let part = |(unit, factor): (&str, u64)| {
        let most = LONGEST.as_millis() as u64 / factor;
        format!("(0*({}){unit})?", at_most(most))
    };
    UNITS.into_iter().map(part).collect()
}

/// An expression for the numbers from zero to `most`, without leading zeros.
fn at_most(most: u64) -> String {
    let digits = most.to_string();
    let shorter = format!("[0-9]{{1,{}}}", (digits.len() - 1).max(1));
    // Alike up to some digit, smaller there, and anything behind it.
    let smaller = digits
        .char_indices()
        .filter(|(_, digit)| *digit > '0')
        .map(|(at, digit)| {
            let below = char::from(digit as u8 - 1);
            format!(
                "{}[0-{below}][0-9]{{{}}}",
                &digits[..at],
                digits.len() - at - 1
            )
        });
    let mut all: Vec<String> = smaller.collect();
    all.extend([shorter, digits.clone()]);
    all.join("|")
}

/// Reads whole numbers with units, each unit at most once, the larger before the smaller; `None` for anything else.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = amount(rest)?;
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        millis = millis.checked_add(number.checked_mul(*factor)?)?;
        rest = after;
    }
    let duration = Duration::from_millis(millis);
    (!text.is_empty() && duration <= LONGEST).then_some(duration)
}

/// What somebody may have meant who wrote `10 minutes`, `5 sec` or `600`.
pub fn guess(text: &str) -> Option<String> {
    let lower: String = text.to_lowercase().split_whitespace().collect();
    let mut rest = lower.as_str();
    let mut guess = String::new();
    while !rest.is_empty() {
        let (number, unit, after) = amount(rest)?;
        let unit = match unit {
            "" => "s",
            _ if unit.starts_with("ms") || unit.starts_with("mil") => "ms",
            // A month is no unit; a guess of one minute would be worse than none.
            _ if unit.starts_with("mo") => return None,
            _ => UNITS.iter().find(|(name, _)| unit.starts_with(name))?.0,
        };
        guess.push_str(number);
        guess.push_str(unit);
        rest = after;
    }
    parse(&guess).is_some().then_some(guess)
}

/// Splits a number and a unit off the beginning.
fn amount(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, rest) = rest.split_at(letters);
    (digits > 0).then_some((number, unit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("90s", 90_000)]
    #[test_case("10m", 600_000)]
    #[test_case("1h30m", 5_400_000)]
    #[test_case("500ms", 500)]
    #[test_case("1d2h3m4s5ms", 93_784_005)]
    #[test_case("0s", 0)]
    #[test_case("365d", 31_536_000_000)]
    fn a_duration_is_whole_numbers_with_units(text: &str, millis: u64) {
        assert_eq!(parse(text), Some(Duration::from_millis(millis)));
    }

    #[test_case(""; "empty")]
    #[test_case("10"; "no unit")]
    #[test_case("m"; "no number")]
    #[test_case("1.5s"; "a fraction")]
    #[test_case("-1s"; "negative")]
    #[test_case("1s1m"; "the smaller first")]
    #[test_case("1s1s"; "a unit twice")]
    #[test_case("1 s"; "a space")]
    #[test_case("1é"; "not ascii")]
    #[test_case("366d"; "more than a year")]
    #[test_case("99999999999999999999d"; "overflow of the number")]
    #[test_case("9999999999999999999d"; "overflow of the product")]
    fn anything_else_is_refused(text: &str) {
        assert_eq!(parse(text), None);
    }

    #[test_case("600", Some("600s"))]
    #[test_case("10 minutes", Some("10m"))]
    #[test_case("1 hour 30 min", Some("1h30m"))]
    #[test_case("250 millis", Some("250ms"))]
    #[test_case("soon", None)]
    #[test_case("5 parsecs", None)]
    fn a_near_miss_gets_a_guess(text: &str, expected: Option<&str>) {
        assert_eq!(guess(text).as_deref(), expected);
    }
}
