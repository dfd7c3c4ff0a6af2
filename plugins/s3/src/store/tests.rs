use super::*;
use proptest::prelude::*;
use test_case::test_case;

#[test_case("<a><Key>x</Key></a>", &["x"])]
#[test_case("<Key>a&amp;b &lt;&#65;&#x42;&gt;</Key><Key/><Key></Key>", &["a&b <AB>", ""])]
#[test_case("<Key>a&b;c&;&#0;&#xd800;&</Key>", &["a&b;c&;\u{0}&#xd800;&"]; "what is no entity stays")]
#[test_case("<Key>a", &[]; "cut off")]
fn elements_have_texts(xml: &str, expected: &[&str]) {
    assert_eq!(elements(xml, "Key").collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn any_answer_can_be_read(xml in "(<Key>|</Key>|&|;|#|x|1|é){0,30}") {
        let _ = elements(&xml, "Key").count();
    }
}
