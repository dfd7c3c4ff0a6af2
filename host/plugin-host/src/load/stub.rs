//! Stands in for functions of the contract that this host does not have, because a plugin was built against a later one.
//!
//! Interpreters import their whole world, called or not; such a plugin works until it calls what is not there, and is then told so.

use crate::{
    crash::Unsupported,
    instance::Sandbox,
    linker::{has_wasi, ours},
    log::Level,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use wasmtime::{
    Engine, Result,
    component::{
        Component, Linker, LinkerInstance, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentInstance, ComponentItem},
    },
};

/// The imports that nobody can answer.
pub(super) fn unknown(engine: &Engine, component: &Component) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let is_known = match import.ty {
            ComponentItem::ComponentInstance(_) => name.starts_with("piper:") || has_wasi(name),
            // Types that a world names have no implementation.
            ComponentItem::Type(_) => true,
            _ => false,
        };
        if !is_known {
            unknown.push(name.to_owned());
        }
    }
    unknown
}

/// Links stubs for what is of the contract and unknown here, and names its functions.
pub(super) fn fill(
    linker: &mut Linker<Sandbox>,
    engine: &Engine,
    component: &Component,
) -> Result<Vec<String>> {
    let mut stubs = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        if !name.starts_with("piper:") {
            continue;
        }
        if let ComponentItem::ComponentInstance(instance) = import.ty {
            // Our own instance of the same track, so that what we have and what we lack are found in one place.
            let at = ours(name).unwrap_or(name);
            let mut linker = linker.instance(at)?;
            stubs.extend(fill_instance(&mut linker, engine, name, &instance));
        }
    }
    Ok(stubs)
}

fn fill_instance(
    linker: &mut LinkerInstance<'_, Sandbox>,
    engine: &Engine,
    interface: &str,
    instance: &ComponentInstance,
) -> Vec<String> {
    let mut stubs = Vec::new();
    for (name, export) in instance.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                let warned = Arc::new(AtomicBool::new(false));
                let full: Arc<str> = format!("{interface}#{name}").into();
                let stub = full.to_string();
                let linked = linker.func_new(name, move |mut store, ty, _, results| {
                    if !warned.swap(true, Ordering::Relaxed) {
                        warn(store.data_mut(), &full);
                    }
                    answer(&full, &ty, results)
                });
                // It fails if the name is taken, which means that we have the function.
                if linked.is_ok() {
                    stubs.push(stub);
                }
            }
            ComponentItem::Resource(_) => {
                // Nobody can make one, so its destructor has nothing to do.
                let _ = linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()));
            }
            _ => {}
        }
    }
    stubs
}

fn warn(store: &mut Sandbox, function: &str) {
    let message = format!(
        "this piper ({}) does not have `{function}`; a later one does",
        env!("CARGO_PKG_VERSION")
    );
    store.log.write(Level::Warn, &message, Vec::new());
}

/// Says so in the function's own words, or traps if it has none for it.
fn answer(function: &str, ty: &ComponentFunc, results: &mut [Val]) -> Result<()> {
    let message = format!("this piper does not have `{function}`");
    let failure = match ty.results().next() {
        Some(Type::Result(result)) => result.err().and_then(|err| failure(&err, &message)),
        _ => None,
    };
    match (failure, results) {
        (Some(failure), [result]) => {
            *result = Val::Result(Err(Some(Box::new(failure))));
            Ok(())
        }
        _ => Err(Unsupported(function.to_owned()).into()),
    }
}

/// A `failure` of the contract, if that is what the type is.
fn failure(ty: &Type, message: &str) -> Option<Val> {
    let Type::Record(record) = ty else {
        return None;
    };
    let mut fields = Vec::new();
    for field in record.fields() {
        let value = match (field.name, &field.ty) {
            ("kind", Type::Enum(_)) => Val::Enum("permanent".into()),
            ("code", Type::String) => Val::String("host.unsupported".into()),
            ("message", Type::String) => Val::String(message.into()),
            (_, Type::Option(_)) => Val::Option(None),
            _ => return None,
        };
        fields.push((field.name.to_owned(), value));
    }
    Some(Val::Record(fields))
}
