//! The `settings` attribute of `piper-plugin-sdk`, which is where it is documented.
//!
//! A procedural macro and not a rule, for one reason: the JSON schema of a type must stand in the compiled component, and only here can it
//! be made of names, doc comments and defaults while the plugin is compiled.

mod attributes;
mod schema;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, parse_macro_input};

/// Makes a type a plugin's settings: read from JSON, with a JSON schema. See `piper_plugin::settings`.
#[proc_macro_attribute]
pub fn settings(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    let arguments = proc_macro2::TokenStream::from(arguments);
    let expanded = if arguments.is_empty() {
        expand(item)
    } else {
        Err(Error::new_spanned(
            arguments,
            "`settings` takes no arguments; fields take `#[setting(…)]`",
        ))
    };
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

fn expand(mut item: DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "settings cannot be generic: each has one schema",
        ));
    }
    let name = item.ident.clone();
    let about = attributes::doc(&item.attrs);
    let schema = match &mut item.data {
        Data::Struct(data) => schema::of_struct(&name, about.as_deref(), data)?,
        Data::Enum(data) => schema::of_enum(&name, about.as_deref(), data)?,
        Data::Union(data) => {
            return Err(Error::new_spanned(
                data.union_token,
                "settings are a struct or an enum",
            ));
        }
    };
    let (deny, default_functions) = (schema.deny_unknown, schema.default_functions);
    let implementations = schema.implementations;
    Ok(quote! {
        #[derive(
            ::core::fmt::Debug,
            ::core::clone::Clone,
            ::piper_plugin::__private::serde::Serialize,
            ::piper_plugin::__private::serde::Deserialize,
        )]
        #[serde(crate = "::piper_plugin::__private::serde", rename_all = "kebab-case" #deny)]
        #item
        #default_functions
        #implementations
    })
}
