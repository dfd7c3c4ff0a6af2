use super::*;
use proptest::prelude::*;

fn read(input: &[u8], at_once: usize) -> io::Result<String> {
    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(self.1);
            self.0.read(&mut into[..most])
        }
    }
    let mut text = String::new();
    Bounded::new(Slow(input, at_once)).read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn what_is_long_is_cut_and_ends_as_it_should() {
    let long = "x".repeat(3 * KEPT);
    for (begin, end) in [
        ("<![CDATA[", "]]>"),
        ("<!--", "-->"),
        ("<?", "?>"),
        ("", "<a>"),
    ] {
        let text = read(format!("{begin}{long}{end}b").as_bytes(), 1 << 20).unwrap();
        assert!(text.len() < 2 * KEPT);
        assert!(
            text.starts_with(begin) && text.ends_with(&format!("x{end}b")),
            "{begin}"
        );
    }
}

#[test]
fn an_end_that_begins_where_the_cut_is_stays_an_end() {
    for length in KEPT - 4..KEPT + 4 {
        for brackets in 0..4 {
            let inner = "x".repeat(length) + &"]".repeat(brackets);
            let text = read(format!("<![CDATA[{inner}]]><b/>").as_bytes(), 1 << 20).unwrap();
            assert!(text.ends_with("]]><b/>"), "{length} {brackets}");
            assert_eq!(text.matches("]]>").count(), 1);
        }
    }
}

proptest! {
    #[test]
    fn what_is_short_stays_as_it_is(text in "(<a b='>' c=\"<\">|</a>|<!-- - -->|<!\\[CDATA\\[ <a> \\]\\] \\]\\]>|<\\?x \\? \\?>|é|x){0,30}", at_once in 1_usize..20) {
        prop_assert_eq!(read(text.as_bytes(), at_once).unwrap(), text);
    }

    #[test]
    fn it_is_always_text(bytes in prop::collection::vec(any::<u8>(), 0..100), at_once in 1_usize..20) {
        if let Ok(text) = read(&bytes, at_once) {
            prop_assert!(text.len() <= bytes.len() * 3);
        }
    }
}
