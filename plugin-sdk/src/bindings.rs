//! What `wit-bindgen` makes of the contract: the imports once, and each kind's world on its own, so that a plugin carries no other.
//!
//! Not for plugins: the names here are those of the contract and change with it.

/// What all kinds may import.
pub mod imports {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        inline: "
            package piper:sdk;
            world everything-imported {
                include piper:base/imports@0.1.0;
                import piper:step/step-context@0.1.0;
                import piper:trigger/trigger-types@0.1.0-draft.1;
                import piper:trigger/vcs@0.1.0-draft.1;
                import piper:logs/log-types@0.1.0-draft.1;
                import piper:notify/mail@0.1.0-draft.1;
                import piper:notify/builds@0.1.0-draft.1;
            }
        ",
        world: "piper:sdk/everything-imported",
        generate_all,
        generate_unused_types: true,
    });
}

/// Bindings of one kind: its exports, on the types and functions of [`imports`].
macro_rules! kind {
    ($(#[$about:meta])* $module:ident, $world:literal, [$($interface:literal => $place:ident :: $name:ident),*]) => {
        $(#[$about])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit/v0.1",
                world: $world,
                pub_export_macro: true,
                with: { $($interface: crate::bindings::imports::piper::$place::$name),* },
            });
        }
    };
}

kind!(
    /// Plans a step.
    step_planner, "piper:step/step-planner-plugin@0.1.0", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log
]);

kind!(
    /// Runs a step.
    step_runner, "piper:step/step-runner-plugin@0.1.0", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:step/step-context@0.1.0" => step::step_context
]);

kind!(
    /// Asks for changes.
    trigger_poll, "piper:trigger/trigger-poll-plugin@0.1.0-draft.1", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:trigger/trigger-types@0.1.0-draft.1" => trigger::trigger_types,
    "piper:trigger/vcs@0.1.0-draft.1" => trigger::vcs
]);

kind!(
    /// Turns requests into builds.
    trigger_webhook, "piper:trigger/trigger-webhook-plugin@0.1.0-draft.1", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:trigger/trigger-types@0.1.0-draft.1" => trigger::trigger_types,
    "piper:trigger/vcs@0.1.0-draft.1" => trigger::vcs
]);

kind!(
    /// Ships logs.
    log_sink, "piper:logs/log-sink-plugin@0.1.0-draft.1", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:logs/log-types@0.1.0-draft.1" => logs::log_types
]);

kind!(
    /// Reads logs back.
    log_reader, "piper:logs/log-reader-plugin@0.1.0-draft.1", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:logs/log-types@0.1.0-draft.1" => logs::log_types
]);

kind!(
    /// Tells somebody.
    notifier, "piper:notify/notifier-plugin@0.1.0-draft.1", [
    "piper:base/types@0.1.0" => base::types,
    "piper:base/log@0.1.0" => base::log,
    "piper:base/control@0.1.0" => base::control,
    "piper:base/http@0.1.0" => base::http,
    "piper:base/files@0.1.0" => base::files,
    "piper:base/secrets@0.1.0" => base::secrets,
    "piper:base/state@0.1.0" => base::state,
    "piper:base/exec@0.1.0" => base::exec,
    "piper:notify/mail@0.1.0-draft.1" => notify::mail,
    "piper:notify/builds@0.1.0-draft.1" => notify::builds
]);

kind!(
    /// Checks a configuration.
    config_check, "piper:base/check-plugin@0.1.0", [
    "piper:base/types@0.1.0" => base::types
]);
