//! The JSON schema of a type, in pieces that the compiler joins: text that is known here, and the schemas of the fields' types.

use crate::attributes::{Preset, Setting, doc, quoted};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{DataEnum, DataStruct, Error, Fields, Type, parse_quote};

pub(crate) struct Expanded {
    pub(crate) deny_unknown: TokenStream,
    pub(crate) default_functions: TokenStream,
    pub(crate) implementations: TokenStream,
}

/// Whether a type is one that stands for several, by its name: what it is is known only later.
fn is_list(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == "Vec" || last.ident == "OneOrMore")
}

/// An object with a property for each field.
pub(crate) fn of_struct(
    name: &Ident,
    about: Option<&str>,
    data: &mut DataStruct,
) -> syn::Result<Expanded> {
    let fields = match &mut data.fields {
        Fields::Named(fields) => &mut fields.named,
        Fields::Unit => {
            return Err(Error::new_spanned(
                name,
                "write `struct Name {}`: settings are an object, if an empty one",
            ));
        }
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(
                fields,
                "settings need names: they are keys in a file that people write",
            ));
        }
    };
    let mut pieces = Vec::new();
    let mut required = Vec::new();
    let mut functions = TokenStream::new();
    for (at, field) in fields.iter_mut().enumerate() {
        let ident = field.ident.clone().expect("a named field has a name");
        let about = doc(&field.attrs);
        let setting = Setting::take(&mut field.attrs)?;
        let key = setting.name.unwrap_or_else(|| kebab(&ident.to_string()));
        field.attrs.push(parse_quote!(#[serde(rename = #key)]));
        let ty = &field.ty;
        let mut head = format!("{}{}:{{", if at == 0 { "" } else { "," }, quoted(&key));
        if let Some(about) = about {
            head.push_str(&format!("\"description\":{},", quoted(&about)));
        }
        if let Some(pattern) = setting.pattern {
            if is_list(ty) {
                return Err(Error::new_spanned(
                    ty,
                    "a `pattern` is one of a text, and this is a list",
                ));
            }
            head.push_str(&format!("\"pattern\":{pattern},"));
        }
        let minimum = bound(ty, "minimum", setting.min);
        let maximum = bound(ty, "maximum", setting.max);
        match setting.default {
            None => required.push(quote! {
                (#key, <#ty as ::piper_plugin::settings::Setting>::OPTIONAL)
            }),
            Some(Preset::OfType) => field.attrs.push(parse_quote!(#[serde(default)])),
            Some(Preset::Literal { value, json }) => {
                head.push_str(&format!("\"default\":{json},"));
                let function = format_ident!("__{}_{}", name, ident);
                let path = function.to_string();
                field.attrs.push(parse_quote!(#[serde(default = #path)]));
                functions.extend(quote! {
                    #[doc(hidden)]
                    #[expect(non_snake_case, reason = "the name is the type's and the field's")]
                    fn #function() -> #ty { #value }
                });
            }
        }
        pieces.push(quote! {
            ::piper_plugin::settings::Schema::Text(#head),
            <#ty as ::piper_plugin::settings::Setting>::SCHEMA,
            #minimum,
            #maximum,
            ::piper_plugin::settings::Schema::Text("}"),
        });
    }
    let head = format!(
        "{}\"type\":\"object\",\"additionalProperties\":false,\"properties\":{{",
        described(about)
    );
    let implementations = quote! {
        impl ::piper_plugin::settings::Setting for #name {
            const SCHEMA: ::piper_plugin::settings::Schema = ::piper_plugin::settings::Schema::Join(&[
                ::piper_plugin::settings::Schema::Text(#head),
                #(#pieces)*
                ::piper_plugin::settings::Schema::Text("}"),
                ::piper_plugin::settings::Schema::Required(&[#(#required),*]),
            ]);
        }
        impl ::piper_plugin::settings::Settings for #name {}
    };
    Ok(Expanded {
        deny_unknown: quote!(, deny_unknown_fields),
        default_functions: functions,
        implementations,
    })
}

/// What the field says, or else its type.
fn bound(ty: &Type, name: &str, said: Option<String>) -> TokenStream {
    match said {
        Some(said) => {
            let text = format!(",\"{name}\":{said}");
            quote!(::piper_plugin::settings::Schema::Text(#text))
        }
        None => {
            let constant = format_ident!("{}", name.to_uppercase());
            quote!(<#ty as ::piper_plugin::settings::Setting>::#constant)
        }
    }
}

/// One of a few words.
pub(crate) fn of_enum(
    name: &Ident,
    about: Option<&str>,
    data: &mut DataEnum,
) -> syn::Result<Expanded> {
    let mut words = Vec::new();
    for variant in &mut data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "a setting that is an enum is one of a few words; for more, use a struct with optional fields",
            ));
        }
        let setting = Setting::take(&mut variant.attrs)?;
        let word = setting
            .name
            .unwrap_or_else(|| kebab(&variant.ident.to_string()));
        variant.attrs.push(parse_quote!(#[serde(rename = #word)]));
        words.push(quoted(&word));
    }
    let text = format!("{}\"enum\":[{}]", described(about), words.join(","));
    Ok(Expanded {
        deny_unknown: TokenStream::new(),
        default_functions: TokenStream::new(),
        implementations: quote! {
            impl ::piper_plugin::settings::Setting for #name {
                const SCHEMA: ::piper_plugin::settings::Schema = ::piper_plugin::settings::Schema::Text(#text);
            }
        },
    })
}

/// As keys of `piper.toml` are written.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.trim_start_matches("r#").chars() {
        match c {
            '_' => kebab.push('-'),
            c if c.is_uppercase() => {
                if !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.extend(c.to_lowercase());
            }
            c => kebab.push(c),
        }
    }
    kebab
}

/// The type's own words; a field's come first and are the ones that count, so none are repeated.
fn described(about: Option<&str>) -> String {
    about.map_or_else(String::new, |about| format!("\"title\":{},", quoted(about)))
}
