//! Whether what a component exports has the contract's types.
//!
//! Wasmtime finds another type only when a function is called for the first time; this finds it when the component is loaded, in words
//! that its author knows. The contract's side is a table of texts, so that nothing has to parse WIT here.

use crate::{kind::Kind, linker::track};
use std::{
    borrow::Cow,
    fmt::{self, Write},
};
use wasmtime::{
    Engine,
    component::{
        Component, Type,
        types::{ComponentFunc, ComponentItem},
    },
};

/// What each kind's interface has, one line a function: the interface, the function, its type in full.
/// Test: `the_table_of_exports_is_what_the_contract_says`.
const CONTRACT: &str = include_str!("exports.txt");

/// A number that changes with the contract, made when piper is compiled: FNV-1a of the table.
pub(super) const CONTRACT_HASH: u64 = {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < CONTRACT.len() {
        hash = (hash ^ CONTRACT.as_bytes()[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    hash
};

/// The functions of a kind, each with its type.
fn wanted(kind: Kind) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_kind = CONTRACT
        .lines()
        .filter_map(move |line| line.strip_prefix(kind.interface())?.strip_prefix(' '));
    of_kind.filter_map(|line| line.split_once(' '))
}

/// Everything in which the exports of these kinds differ from the contract, up to what anybody reads. A component may have several
/// versions of an interface, and all of a track must fit: which one is called is not ours to choose.
pub(super) fn misfits(engine: &Engine, component: &Component, kinds: &[Kind]) -> Vec<String> {
    let component = component.component_type();
    let of_kind = |kind: &Kind| {
        let kind = *kind;
        let wanted_track = track(kind.interface());
        let of_track = component
            .exports(engine)
            .filter(move |(name, _)| track(name) == wanted_track);
        of_track.flat_map(move |(interface, export)| {
            of_interface(engine, kind, &cut(interface), export.ty)
        })
    };
    kinds.iter().flat_map(of_kind).take(MOST_MISFITS).collect()
}

/// More than all functions of the contract, so that only somebody who means harm has more misfits.
const MOST_MISFITS: usize = 16;

fn of_interface(
    engine: &Engine,
    kind: Kind,
    interface: &str,
    export: ComponentItem,
) -> Vec<String> {
    let ComponentItem::ComponentInstance(instance) = export else {
        return vec![format!("`{interface}` is not an interface")];
    };
    let misfit = |(function, wanted): (&str, &str)| {
        let found = match instance.get_export(engine, function).map(|found| found.ty) {
            Some(ComponentItem::ComponentFunc(found)) => signature(&found),
            Some(_) => return Some(format!("`{function}` of `{interface}` is no function")),
            None => {
                return Some(format!(
                    "`{interface}` lacks `{function}`, which the contract has as `{wanted}`"
                ));
            }
        };
        match found {
            Ok(found) if found == wanted => None,
            Ok(found) => {
                let (here, there) = difference(&found, wanted);
                Some(format!(
                    "`{function}` of `{interface}` is `{}`, and the contract has `{there}` instead of `{}`",
                    cut(&found),
                    cut(here)
                ))
            }
            Err(TooLong(begin)) => Some(format!(
                "`{function}` of `{interface}` is `{}`, and the contract has `{wanted}`",
                cut(&begin)
            )),
        }
    };
    wanted(kind).filter_map(misfit).collect()
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
                let Ok(signature) = signature(&function) else {
                    panic!("`{name}` of {interface} is longer than {LONGEST}");
                };
                lines.push_str(&format!("{interface} {name} {signature}\n"));
            }
        }
    }
    lines
}

/// How much of a name or a type somebody reads.
const MOST_SHOWN: usize = 400;

/// The beginning of a text that may be without end.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// How long a type may be in full: several times the contract's longest. A few kilobytes of wasm can have a type of gigabytes
/// (test: `a_type_without_end_is_refused_before_it_is_written_out`).
const LONGEST: usize = 4 << 10;

/// A type that is longer, so that it is another than the contract's; it begins with this.
struct TooLong(String);

/// Ends what is written into it when there is too much of it.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > LONGEST {
            // A single name may be all of it.
            self.0.push_str(&cut(part));
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

/// The type of a function in full. The names of its parameters do not matter: they are not passed.
fn signature(function: &ComponentFunc) -> Result<String, TooLong> {
    let mut text = Bounded::default();
    match write_function(function, &mut text) {
        Ok(()) => Ok(text.0),
        Err(fmt::Error) => Err(TooLong(text.0)),
    }
}

fn write_function(function: &ComponentFunc, to: &mut Bounded) -> fmt::Result {
    to.write_str(if function.async_() {
        "async func("
    } else {
        "func("
    })?;
    each(to, function.params(), |to, (_, ty)| write_type(&ty, to))?;
    to.write_str(")")?;
    match function.results().next() {
        Some(result) => {
            to.write_str(" -> ")?;
            write_type(&result, to)
        }
        None => Ok(()),
    }
}

fn write_type(ty: &Type, to: &mut Bounded) -> fmt::Result {
    match ty {
        Type::Bool => to.write_str("bool"),
        Type::S8 => to.write_str("s8"),
        Type::U8 => to.write_str("u8"),
        Type::S16 => to.write_str("s16"),
        Type::U16 => to.write_str("u16"),
        Type::S32 => to.write_str("s32"),
        Type::U32 => to.write_str("u32"),
        Type::S64 => to.write_str("s64"),
        Type::U64 => to.write_str("u64"),
        Type::Float32 => to.write_str("f32"),
        Type::Float64 => to.write_str("f64"),
        Type::Char => to.write_str("char"),
        Type::String => to.write_str("string"),
        Type::Own(_) => to.write_str("a resource"),
        Type::Borrow(_) => to.write_str("borrow<a resource>"),
        Type::Future(_) => to.write_str("future"),
        Type::Stream(_) => to.write_str("stream"),
        Type::ErrorContext => to.write_str("error-context"),
        Type::List(list) => parts(to, "list<", [Some(list.ty())], ">"),
        Type::FixedLengthList(list) => {
            parts(to, "list<", [Some(list.ty())], "")?;
            write!(to, ", {}>", list.len())
        }
        Type::Map(map) => parts(to, "map<", [Some(map.key()), Some(map.value())], ">"),
        Type::Option(option) => parts(to, "option<", [Some(option.ty())], ">"),
        Type::Result(result) => parts(to, "result<", [result.ok(), result.err()], ">"),
        Type::Tuple(tuple) => parts(to, "tuple<", tuple.types().map(Some), ">"),
        Type::Enum(list) => names(to, "enum {", list.names()),
        Type::Flags(flags) => names(to, "flags {", flags.names()),
        Type::Record(record) => {
            to.write_str("record {")?;
            each(to, record.fields(), |to, field| {
                to.write_str(field.name)?;
                to.write_str(": ")?;
                write_type(&field.ty, to)
            })?;
            to.write_str("}")
        }
        Type::Variant(variant) => {
            to.write_str("variant {")?;
            each(to, variant.cases(), |to, case| {
                to.write_str(case.name)?;
                match case.ty {
                    Some(ty) => parts(to, "(", [Some(ty)], ")"),
                    None => Ok(()),
                }
            })?;
            to.write_str("}")
        }
    }
}

/// Types side by side, with a `_` where there is none.
fn parts(
    to: &mut Bounded,
    open: &str,
    types: impl IntoIterator<Item = Option<Type>>,
    close: &str,
) -> fmt::Result {
    to.write_str(open)?;
    each(to, types, |to, ty| match ty {
        Some(ty) => write_type(&ty, to),
        None => to.write_str("_"),
    })?;
    to.write_str(close)
}

fn names<'a>(
    to: &mut Bounded,
    open: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> fmt::Result {
    to.write_str(open)?;
    each(to, names, |to, name| to.write_str(name))?;
    to.write_str("}")
}

fn each<T>(
    to: &mut Bounded,
    parts: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Bounded, T) -> fmt::Result,
) -> fmt::Result {
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            to.write_str(", ")?;
        }
        write(to, part)?;
    }
    Ok(())
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
