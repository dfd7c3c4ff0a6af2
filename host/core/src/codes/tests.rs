use super::*;
use crate::{pipeline, problem::Source};
use std::{collections::HashSet, fs, path::Path, sync::Arc};

/// The first fenced blocks of a language, in order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str())
        .skip(1)
        .map(|block| block.split("```").next().expect("a split has a first part"))
        .collect()
}

fn load(text: &str) -> pipeline::Loaded {
    pipeline::load(Arc::new(Source {
        path: "piper.toml".into(),
        text: text.to_owned(),
    }))
}

#[test]
fn the_first_example_of_a_page_triggers_its_code_alone_and_the_second_is_mended() {
    for (code, _, page) in CODES {
        let examples = blocks(page, "toml");
        if examples.is_empty() {
            assert_eq!(blocks(page, "console").len(), 1, "{code} has an example");
            assert!(
                code.0 >= 300 || matches!(code.0, 1 | 8 | 9),
                "{code} can be shown as a file"
            );
            continue;
        }
        let codes: HashSet<Code> = load(examples[0])
            .problems
            .iter()
            .map(|problem| problem.code)
            .collect();
        assert_eq!(codes, HashSet::from([*code]), "{code}");
        for example in &examples[1..] {
            assert_eq!(load(example).problems, [], "{code}");
        }
    }
}

#[test]
fn pages_are_in_order_and_begin_with_code_and_title() {
    assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    for (code, title, page) in CODES {
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
        assert_eq!(find(*code), Some((*title, *page)));
    }
    assert_eq!(find(Code(9999)), None);
}

#[test]
fn every_page_belongs_to_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codes");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(code) = name.strip_suffix(".md") {
            assert!(
                CODES.iter().any(|(known, ..)| known.to_string() == code),
                "{name}"
            );
        }
    }
}
