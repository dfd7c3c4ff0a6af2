//! A contract as one line an item, so that two of them can be compared and a released one can be read in review.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use wit_parser::{
    Function, Handle, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem, WorldKey,
};

/// The signatures of some packages, without versions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signatures {
    /// By name: `piper:base/state` is an interface, `piper:base/state.get` is something in it.
    pub(super) items: BTreeMap<String, String>,
    /// The interfaces that some world exports.
    pub(super) exported: BTreeSet<String>,
}

impl Signatures {
    pub(super) fn parse(text: &str) -> Self {
        let mut signatures = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, signature) = line.split_once(" = ").expect("a line is NAME = SIGNATURE");
            if signature == "interface, exported" {
                signatures.exported.insert(name.to_owned());
            }
            signatures
                .items
                .insert(name.to_owned(), signature.to_owned());
        }
        signatures
    }
}

impl fmt::Display for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Written by the tests of host/plugin-host/src/contract."
        )?;
        for (name, signature) in &self.items {
            writeln!(f, "{name} = {signature}")?;
        }
        Ok(())
    }
}

/// The signatures of the packages with these names.
pub(super) fn signatures(resolve: &Resolve, packages: &[&str]) -> Signatures {
    let mut signatures = Signatures::default();
    for (_, world) in &resolve.worlds {
        for item in world.exports.values() {
            if let WorldItem::Interface { id, .. } = item
                && let Some(name) = resolve.id_of(*id)
            {
                signatures.exported.insert(unversioned(&name));
            }
        }
    }
    for (_, package) in &resolve.packages {
        let package_name = format!("{}:{}", package.name.namespace, package.name.name);
        if !packages.contains(&package_name.as_str()) {
            continue;
        }
        for (name, id) in &package.interfaces {
            let at = format!("{package_name}/{name}");
            let direction = match signatures.exported.contains(&at) {
                true => "interface, exported",
                false => "interface",
            };
            signatures.items.insert(at.clone(), direction.to_owned());
            let interface = &resolve.interfaces[*id];
            for (name, id) in &interface.types {
                let text = definition(resolve, *id);
                signatures.items.insert(format!("{at}.{name}"), text);
            }
            for (name, function) in &interface.functions {
                let text = signature(resolve, function);
                signatures.items.insert(format!("{at}.{name}"), text);
            }
        }
        for (name, id) in &package.worlds {
            let world = &resolve.worlds[*id];
            for (verb, keys) in [("imports", &world.imports), ("exports", &world.exports)] {
                for key in keys.keys() {
                    let WorldKey::Interface(id) = key else {
                        continue;
                    };
                    let interface = resolve.id_of(*id).expect("interfaces of worlds are named");
                    let item = format!("{package_name}/{name} {verb} {}", unversioned(&interface));
                    signatures.items.insert(item, "yes".to_owned());
                }
            }
        }
    }
    let Signatures { items, exported } = &mut signatures;
    exported.retain(|name| items.contains_key(name));
    signatures
}

/// Whether a type is only the name, by `use`, of a type of another interface.
pub(super) fn is_alias(resolve: &Resolve, id: TypeId) -> bool {
    let definition = &resolve.types[id];
    match definition.kind {
        TypeDefKind::Type(Type::Id(target)) => resolve.types[target].owner != definition.owner,
        _ => false,
    }
}

fn unversioned(name: &str) -> String {
    name.split_once('@')
        .map_or(name, |(name, _)| name)
        .to_owned()
}

fn definition(resolve: &Resolve, id: TypeId) -> String {
    let definition = &resolve.types[id];
    match &definition.kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            braced(
                "record",
                fields.map(|f| format!("{}: {}", f.name, shown(resolve, &f.ty))),
            )
        }
        TypeDefKind::Enum(list) => braced("enum", list.cases.iter().map(|c| c.name.clone())),
        TypeDefKind::Flags(flags) => braced("flags", flags.flags.iter().map(|f| f.name.clone())),
        TypeDefKind::Variant(variant) => {
            let case = |c: &wit_parser::Case| match &c.ty {
                Some(ty) => format!("{}({})", c.name, shown(resolve, ty)),
                None => c.name.clone(),
            };
            braced("variant", variant.cases.iter().map(case))
        }
        TypeDefKind::Resource => "resource".to_owned(),
        TypeDefKind::Type(Type::Id(target)) if is_alias(resolve, id) => {
            let target = &resolve.types[*target];
            let TypeOwner::Interface(owner) = target.owner else {
                panic!("only interfaces define types");
            };
            let owner = resolve.id_of(owner).expect("interfaces are named");
            let name = target.name.as_ref().expect("what is used has a name");
            format!("use {}.{name}", unversioned(&owner))
        }
        TypeDefKind::Type(ty) => format!("type {}", shown(resolve, ty)),
        _ => format!("type {}", kind(resolve, &definition.kind)),
    }
}

fn braced(word: &str, parts: impl Iterator<Item = String>) -> String {
    format!("{word} {{{}}}", Vec::from_iter(parts).join(", "))
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function
        .params
        .iter()
        .map(|p| format!("{}: {}", p.name, shown(resolve, &p.ty)));
    let params = Vec::from_iter(params).join(", ");
    match &function.result {
        Some(result) => format!("func({params}) -> {}", shown(resolve, result)),
        None => format!("func({params})"),
    }
}

fn shown(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[*id] {
            named if named.name.is_some() => named.name.clone().unwrap_or_default(),
            anonymous => kind(resolve, &anonymous.kind),
        },
        primitive => format!("{primitive:?}").to_lowercase(),
    }
}

fn kind(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map_or("_".into(), |ty| shown(resolve, ty));
    let name = |id: TypeId| resolve.types[id].name.clone().unwrap_or_default();
    match kind {
        TypeDefKind::List(ty) => format!("list<{}>", shown(resolve, ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", shown(resolve, ty)),
        TypeDefKind::Result(result) => {
            format!(
                "result<{}, {}>",
                optional(&result.ok),
                optional(&result.err)
            )
        }
        TypeDefKind::Tuple(tuple) => {
            let types = tuple.types.iter().map(|ty| shown(resolve, ty));
            format!("tuple<{}>", Vec::from_iter(types).join(", "))
        }
        TypeDefKind::Handle(Handle::Own(id)) => name(*id),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(*id)),
        other => panic!("the contract is synchronous and has no {}", other.as_str()),
    }
}
