//! What is written at a field: its doc comment and `#[setting(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, ExprUnary, Lit, LitStr, Meta, Token, UnOp, bracketed,
    parse::ParseStream, punctuated::Punctuated, token::Bracket,
};

/// The doc comment, lines joined, paragraphs kept.
pub(crate) fn doc(attributes: &[Attribute]) -> Option<String> {
    let mut text = String::new();
    for attribute in attributes {
        let Meta::NameValue(meta) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(line),
            ..
        }) = &meta.value
        else {
            continue;
        };
        if !meta.path.is_ident("doc") {
            continue;
        }
        let line = line.value();
        match line.trim() {
            "" => text.push_str("\n\n"),
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What stands for a field that is not given.
pub(crate) enum Preset {
    /// The type's own default; not in the schema.
    OfType,
    /// A literal, or several in brackets; in the schema too.
    Literal {
        /// As an expression that becomes the field's type by itself.
        value: TokenStream,
        json: String,
    },
}

/// `#[setting(…)]` of one field or variant.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) default: Option<Preset>,
    pub(crate) name: Option<String>,
    /// The least, the most, and what a text must match, as JSON.
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) pattern: Option<String>,
}

impl Setting {
    /// Takes the attribute off the field: the compiler does not know it.
    pub(crate) fn take(attributes: &mut Vec<Attribute>) -> syn::Result<Self> {
        let mut setting = Self::default();
        for attribute in attributes.extract_if(.., |attribute| attribute.path().is_ident("setting"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    setting.default = Some(match meta.input.peek(syn::Token![=]) {
                        true => preset(meta.value()?)?,
                        false => Preset::OfType,
                    });
                } else if meta.path.is_ident("name") {
                    setting.name = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("min") {
                    setting.min = Some(number(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("max") {
                    setting.max = Some(number(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("pattern") {
                    setting.pattern = Some(quoted(&meta.value()?.parse::<LitStr>()?.value()));
                } else {
                    return Err(meta.error("known here are `default`, `default = …`, `name = \"…\"`, `min = …`, `max = …`, `pattern = \"…\"`"));
                }
                Ok(())
            })?;
        }
        Ok(setting)
    }
}

fn preset(input: ParseStream<'_>) -> syn::Result<Preset> {
    if !input.peek(Bracket) {
        let (value, is_text, json) = literal(input.parse()?)?;
        let value = match is_text {
            true => quote!(::core::convert::From::from(#value)),
            false => quote!(#value),
        };
        return Ok(Preset::Literal { value, json });
    }
    let inside;
    bracketed!(inside in input);
    let items = Punctuated::<Expr, Token![,]>::parse_terminated(&inside)?;
    let items: Vec<_> = items.into_iter().map(literal).collect::<syn::Result<_>>()?;
    let values = items.iter().map(|(value, ..)| value);
    let json: Vec<_> = items.iter().map(|(.., json)| json.as_str()).collect();
    let into = match items.iter().all(|(_, is_text, _)| *is_text) {
        true => quote!(.map(::core::convert::Into::into)),
        false => quote!(),
    };
    if items.is_empty() {
        return Ok(Preset::Literal {
            value: quote!(::core::iter::empty().collect()),
            json: "[]".to_owned(),
        });
    }
    Ok(Preset::Literal {
        value: quote!(::core::iter::IntoIterator::into_iter([#(#values),*])#into.collect()),
        json: format!("[{}]", json.join(",")),
    })
}

/// A literal, whether it is a text, and it as JSON.
fn literal(value: Expr) -> syn::Result<(Expr, bool, String)> {
    let (is_text, json) = match &value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => (true, quoted(&text.value())),
        Expr::Lit(ExprLit {
            lit: Lit::Bool(value),
            ..
        }) => (false, value.value.to_string()),
        other => (false, number(other)?),
    };
    Ok((value, is_text, json))
}

/// A number as JSON writes it.
fn number(value: &Expr) -> syn::Result<String> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(int), ..
        }) => Ok(int.base10_digits().to_owned()),
        Expr::Lit(ExprLit {
            lit: Lit::Float(float),
            ..
        }) => match float.base10_digits() {
            // Rust takes `1.`, JSON does not.
            digits if digits.ends_with('.') => Ok(format!("{digits}0")),
            digits => Ok(digits.to_owned()),
        },
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => Ok(format!("-{}", number(expr)?)),
        other => Err(Error::new_spanned(
            other,
            "this must be a literal: it stands in the JSON schema, which is made while the plugin is compiled",
        )),
    }
}

/// A text as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\t' => json.push_str("\\t"),
            c if (c as u32) < 0x20 => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
