//! Whether what a component exports has the contract's types.
//!
//! Wasmtime finds another type only when a function is called for the first time; this finds it when the component is loaded, in words
//! that its author knows. The contract's side is a table of texts, so that nothing has to parse WIT here.

use crate::{kind::Kind, linker::track};
use std::borrow::Cow;
use wasmtime::{
    Engine,
    component::{
        Component, Type,
        types::{ComponentFunc, ComponentItem},
    },
};

/// What each kind's interface has, one line a function: the interface, the function, its type in full.
/// Test: `the_table_of_exports_is_what_the_contract_says`.
pub(super) const CONTRACT: &str = include_str!("exports.txt");

/// The functions of a kind, each with its type.
fn wanted(kind: Kind) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_kind = CONTRACT
        .lines()
        .filter_map(move |line| line.strip_prefix(kind.interface())?.strip_prefix(' '));
    of_kind.filter_map(|line| line.split_once(' '))
}

/// Everything in which the exports of these kinds differ from the contract.
pub(super) fn misfits(engine: &Engine, component: &Component, kinds: &[Kind]) -> Vec<String> {
    let component = component.component_type();
    let mut misfits = Vec::new();
    for kind in kinds {
        let export = component
            .exports(engine)
            .find(|(name, _)| track(name) == track(kind.interface()));
        // A kind is one because there is such an export.
        let Some((interface, export)) = export else {
            continue;
        };
        let ComponentItem::ComponentInstance(instance) = export.ty else {
            misfits.push(format!("`{interface}` is not an interface"));
            continue;
        };
        for (function, wanted) in wanted(*kind) {
            match instance.get_export(engine, function).map(|found| found.ty) {
                Some(ComponentItem::ComponentFunc(found)) => {
                    let found = signature(&found);
                    if found != wanted {
                        let (here, there) = difference(&found, wanted);
                        misfits.push(format!(
                            "`{function}` of `{interface}` is `{found}`, and the contract has `{there}` instead of `{here}`"
                        ));
                    }
                }
                Some(_) => misfits.push(format!("`{function}` of `{interface}` is no function")),
                None => misfits.push(format!(
                    "`{interface}` lacks `{function}`, which the contract has as `{wanted}`"
                )),
            }
        }
    }
    misfits
}

/// The contract's side, as a component has it that exports all of it.
#[cfg(test)]
pub(super) fn exports(engine: &Engine, component: &Component) -> String {
    let component = component.component_type();
    let mut lines = String::new();
    for kind in Kind::ALL {
        let interface = kind.interface();
        let export = component.get_export(engine, interface);
        let Some(ComponentItem::ComponentInstance(instance)) = export.map(|export| export.ty)
        else {
            panic!("{interface} is not exported");
        };
        for (name, function) in instance.exports(engine) {
            if let ComponentItem::ComponentFunc(function) = function.ty {
                lines.push_str(&format!("{interface} {name} {}\n", signature(&function)));
            }
        }
    }
    lines
}

/// The type of a function in full. The names of its parameters do not matter: they are not passed.
fn signature(function: &ComponentFunc) -> String {
    let of = |ty: Type| shown(&ty).into_owned();
    let params = joined(function.params().map(|(_, ty)| of(ty)));
    let is_async = if function.async_() { "async " } else { "" };
    match function.results().next() {
        Some(result) => format!("{is_async}func({params}) -> {}", shown(&result)),
        None => format!("{is_async}func({params})"),
    }
}

fn shown(ty: &Type) -> Cow<'static, str> {
    let braced = |word: &str, parts: String| format!("{word} {{{parts}}}");
    let optional =
        |ty: Option<Type>| ty.map_or(Cow::Borrowed("_"), |ty| shown(&ty).into_owned().into());
    Cow::Owned(match ty {
        Type::Bool => return "bool".into(),
        Type::S8 => return "s8".into(),
        Type::U8 => return "u8".into(),
        Type::S16 => return "s16".into(),
        Type::U16 => return "u16".into(),
        Type::S32 => return "s32".into(),
        Type::U32 => return "u32".into(),
        Type::S64 => return "s64".into(),
        Type::U64 => return "u64".into(),
        Type::Float32 => return "f32".into(),
        Type::Float64 => return "f64".into(),
        Type::Char => return "char".into(),
        Type::String => return "string".into(),
        Type::Own(_) => return "a resource".into(),
        Type::Borrow(_) => return "borrow<a resource>".into(),
        Type::Future(_) => return "future".into(),
        Type::Stream(_) => return "stream".into(),
        Type::ErrorContext => return "error-context".into(),
        Type::List(list) => format!("list<{}>", shown(&list.ty())),
        Type::FixedLengthList(list) => format!("list<{}, {}>", shown(&list.ty()), list.len()),
        Type::Map(map) => format!("map<{}, {}>", shown(&map.key()), shown(&map.value())),
        Type::Option(option) => format!("option<{}>", shown(&option.ty())),
        Type::Result(result) => format!(
            "result<{}, {}>",
            optional(result.ok()),
            optional(result.err())
        ),
        Type::Tuple(tuple) => format!("tuple<{}>", joined(tuple.types().map(|ty| shown(&ty)))),
        Type::Enum(list) => braced("enum", joined(list.names())),
        Type::Flags(flags) => braced("flags", joined(flags.names())),
        Type::Record(record) => {
            let field = record.fields();
            let field = field.map(|field| format!("{}: {}", field.name, shown(&field.ty)));
            braced("record", joined(field))
        }
        Type::Variant(variant) => {
            let case = variant.cases().map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, shown(&ty)),
                None => case.name.to_owned(),
            });
            braced("variant", joined(case))
        }
    })
}

fn joined(parts: impl Iterator<Item: AsRef<str>>) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(part.as_ref());
    }
    text
}

/// The smallest part in which two types differ, in each of them.
fn difference<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let same = |pair: &(u8, u8)| pair.0 == pair.1;
    let begin = one.bytes().zip(other.bytes()).take_while(same).count();
    let rest = one.len().min(other.len()) - begin;
    let end = one.bytes().rev().zip(other.bytes().rev());
    let end = end.take(rest).take_while(same).count();
    // Nothing but ASCII is in names of the component model, and a boundary is where a part of a type begins or ends.
    let mut begin = boundary_before(one, begin);
    let mut end = boundary_after(one, one.len() - end);
    while let Some(odd) = unbalanced(&one[begin..end]) {
        match odd {
            Odd::Closed => begin = boundary_before(one, begin - 1),
            Odd::Open => end = boundary_after(one, end + 1),
        }
    }
    let same_after = one.len() - end;
    (&one[begin..end], &other[begin..other.len() - same_after])
}

fn boundary_before(text: &str, at: usize) -> usize {
    let head = &text[..at];
    let after = |mark: &str| head.rfind(mark).map(|found| found + mark.len());
    let found = ["(", "<", "{", ", ", "-> "]
        .iter()
        .filter_map(|mark| after(mark));
    found.max().unwrap_or(0)
}

fn boundary_after(text: &str, at: usize) -> usize {
    let tail = &text[at..];
    // The `>` of an arrow closes nothing.
    let ends = tail.char_indices().find(|(index, mark)| match mark {
        ',' | '}' | ')' => true,
        '>' => !text[..at + index].ends_with('-'),
        _ => false,
    });
    ends.map_or(text.len(), |(index, _)| at + index)
}

/// What keeps a part from being whole.
enum Odd {
    /// It closes what it did not open.
    Closed,
    /// It leaves something open.
    Open,
}

fn unbalanced(part: &str) -> Option<Odd> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for mark in part.chars() {
        match mark {
            '(' | '<' | '{' => depth += 1,
            '>' if before == '-' => {}
            ')' | '>' | '}' if depth == 0 => return Some(Odd::Closed),
            ')' | '>' | '}' => depth -= 1,
            _ => {}
        }
        before = mark;
    }
    (depth > 0).then_some(Odd::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("func(string)", "func(u32)", "string", "u32"; "a parameter")]
    #[test_case("func(string)", "func(string, u32)", "string", "string, u32"; "one more")]
    #[test_case("func()", "func(u32)", "", "u32"; "one at all")]
    #[test_case("func(list<string>)", "func(option<list<string>>)", "list<string>", "option<list<string>>"; "one around another")]
    #[test_case("func(record {a: u32, b: string})", "func(record {a: u8, b: string})", "a: u32", "a: u8"; "a field")]
    #[test_case("func() -> result<_, string>", "func() -> result<u32, string>", "_", "u32"; "a part of the result")]
    #[test_case("func()", "func() -> string", "func()", "func() -> string"; "a result")]
    #[test_case("func(f<g<a>, b>)", "func(f<g<c>>)", "g<a>, b", "g<c>"; "what ends elsewhere")]
    fn the_part_in_which_two_types_differ_is_found(
        one: &str,
        other: &str,
        here: &str,
        there: &str,
    ) {
        assert_eq!(difference(one, other), (here, there));
    }

    fn a_type() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![Just("u8".to_owned()), Just("string".to_owned())];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|ty| format!("list<{ty}>")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("result<{a}, {b}>")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("record {{a: {a}, b: {b}}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn putting_the_one_part_in_the_place_of_the_other_makes_one_type_the_other(one in a_type(), other in a_type()) {
            let (one, other) = (format!("func({one}) -> {other}"), format!("func({other}) -> {one}"));
            prop_assume!(one != other);
            let (here, there) = difference(&one, &other);
            prop_assert_ne!(here, there);
            prop_assert!(unbalanced(here).is_none());
            let at = here.as_ptr() as usize - one.as_ptr() as usize;
            let mended = format!("{}{there}{}", &one[..at], &one[at + here.len()..]);
            prop_assert_eq!(mended, other);
        }
    }
}
