//! `plugin!`: what a component exports, and what it carries about itself.

/// Makes a crate a plugin: names its kinds, and puts its manifest and the JSON schemas of its settings into the component.
///
/// ```
/// # use piper_plugin::prelude::*;
/// # #[settings] struct Config {}
/// # #[settings] struct Upload {}
/// # #[settings] struct Download {}
/// # #[settings] struct Chat {}
/// # impl StepRunner<Config> for Upload { fn run(&self, _: &Step<Config>) -> Result<Verdict> { Ok(Verdict::passed()) } }
/// # impl StepRunner<Config> for Download { fn run(&self, _: &Step<Config>) -> Result<Verdict> { Ok(Verdict::passed()) } }
/// # impl Notifier<Config> for Chat { fn tell(&self, _: &Event, _: &Rule<Config>) -> Result<()> { Ok(()) } }
/// piper_plugin::plugin! {
/// #   manifest: "tests/piper-plugin.toml",
///     config: Config,
///     step_runner: { "upload" => Upload, "download" => Download },
///     notifier: Chat,
/// }
/// # fn main() {}
/// ```
///
/// * `manifest: "path",` is a file below the crate's folder; without it, `piper-plugin.toml`. It must be there.
/// * `config: Type,` is the plugin's [configuration](mod@crate::settings), `()` without it. Every kind of the plugin gets it.
/// * Then one or more of `step_planner`, `step_runner`, `notifier`, `log_sink`, `log_reader`, `trigger_poll`, `trigger_webhook` and
///   `config_check`: each a type, or, if the manifest names several, their names and types.
#[macro_export]
macro_rules! plugin {
    (manifest: $manifest:literal, config: $config:ty, $($kinds:tt)+) => {
        $crate::__plugin!([$manifest] [$config] $($kinds)+);
    };
    (manifest: $manifest:literal, $($kinds:tt)+) => {
        $crate::__plugin!([$manifest] [()] $($kinds)+);
    };
    (config: $config:ty, $($kinds:tt)+) => {
        $crate::__plugin!([] [$config] $($kinds)+);
    };
    ($($kinds:tt)+) => {
        $crate::__plugin!([] [()] $($kinds)+);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    ([$($manifest:literal)?] [$config:ty] $($kind:ident: $what:tt),+ $(,)?) => {
        const _: () = {
            type __Config = $config;
            #[cfg(target_family = "wasm")]
            struct __Component;
            const MANIFEST_LENGTH: usize = $crate::__manifest!($($manifest)?).len();
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "piper:manifest"), used)]
            static MANIFEST: [u8; MANIFEST_LENGTH] = *$crate::__manifest!($($manifest)?);
            const CONFIG_SCHEMA: $crate::settings::Schema = $crate::settings::Schema::Join(&[
                $crate::settings::Schema::Text("{"),
                <__Config as $crate::settings::Setting>::SCHEMA,
                $crate::settings::Schema::Text("}"),
            ]);
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "piper:config-schema"), used)]
            static CONFIG_SECTION: [u8; $crate::settings::length(&CONFIG_SCHEMA)] =
                $crate::settings::render(&CONFIG_SCHEMA);
            const OPTIONS_SCHEMA: $crate::settings::Schema = $crate::settings::Schema::Join(&[
                $crate::settings::Schema::Text("{"),
                $crate::settings::Schema::Object(&[$(($crate::__kind_name!($kind), $crate::__options!($kind __Config $what))),+]),
                $crate::settings::Schema::Text("}"),
            ]);
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "piper:options-schema"), used)]
            static OPTIONS_SECTION: [u8; $crate::settings::length(&OPTIONS_SCHEMA)] =
                $crate::settings::render(&OPTIONS_SCHEMA);
            // Used here too, so that nothing differs outside of a component but that nobody reads them.
            const _: [&[u8]; 3] = [&MANIFEST, &CONFIG_SECTION, &OPTIONS_SECTION];
            $($crate::__kind!($kind __Config $what);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __manifest {
    () => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/piper-plugin.toml"))
    };
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __kind_name {
    (step_planner) => {
        "step-planner"
    };
    (step_runner) => {
        "step-runner"
    };
    (notifier) => {
        "notifier"
    };
    (log_sink) => {
        "log-sink"
    };
    (log_reader) => {
        "log-reader"
    };
    (trigger_poll) => {
        "trigger-poll"
    };
    (trigger_webhook) => {
        "trigger-webhook"
    };
    (config_check) => {
        "config-check"
    };
    ($other:ident) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is no kind of plugin; the kinds are step_planner, step_runner, notifier, log_sink, ",
            "log_reader, trigger_poll, trigger_webhook and config_check"
        ))
    };
}

/// The schemas of a kind's options, by name.
#[doc(hidden)]
#[macro_export]
macro_rules! __options {
    (config_check $config:ident $ty:ident) => { $crate::settings::Schema::Text("") };
    (log_sink $config:ident { $($name:literal => $ty:ty),+ $(,)? }) => {
        $crate::settings::Schema::Object(&[
            $(($name, <<$ty as $crate::log_sink::LogSink<$config>>::Options as $crate::settings::Setting>::SCHEMA)),+
        ])
    };
    ($kind:ident $config:ident { $($name:literal => $ty:ty),+ $(,)? }) => {
        $crate::settings::Schema::Object(&[$(($name, <$ty as $crate::settings::Setting>::SCHEMA)),+])
    };
    ($kind:ident $config:ident $ty:ident) => { $crate::__options!($kind $config { "" => $ty }) };
}

/// Calls the type that is meant.
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ($ty:ident, $enter:path, $config:ident, $call:ident, $arguments:tt) => {{
        use $enter as enter;
        enter::<$ty, $config> $arguments
    }};
    ({ $($name:literal => $ty:ty),+ $(,)? }, $enter:path, $config:ident, $call:ident, $arguments:tt) => {{
        use $enter as enter;
        match $call.name.clone().as_str() {
            $($name => enter::<$ty, $config> $arguments,)+
            other => Err($crate::__private::unknown_name(other, &[$($name),+])),
        }
    }};
}

/// What one kind exports.
#[doc(hidden)]
#[macro_export]
macro_rules! __kind {
    (step_planner $config:ident $what:tt) => {
        fn plan(call: $crate::__private::RawCall) -> $crate::Result<$crate::step_planner::Plan> {
            $crate::__dispatch!($what, $crate::step_planner::enter, $config, call, (call))
        }
        $crate::__export!(step_planner piper::step::step_planner, plan,
            fn plan(call: Call) -> Result<String, Failure>);
    };
    (step_runner $config:ident $what:tt) => {
        fn run(call: $crate::__private::RawCall) -> $crate::Result<$crate::step_runner::Verdict> {
            $crate::__dispatch!($what, $crate::step_runner::enter, $config, call, (call))
        }
        $crate::__export!(step_runner piper::step::step_runner, run,
            fn run(call: Call) -> Result<Verdict, Failure>);
    };
    (notifier $config:ident $what:tt) => {
        fn notify(
            call: $crate::__private::RawCall,
            events: Vec<$crate::notifier::Event>,
        ) -> $crate::Result<Vec<$crate::notifier::Undelivered>> {
            $crate::__dispatch!($what, $crate::notifier::enter, $config, call, (call, events))
        }
        $crate::__export!(notifier piper::notify::notifier, notify,
            fn notify(call: Call, events: Vec<Event>) -> Result<Vec<Undelivered>, Failure>);
    };
    (log_sink $config:ident $what:tt) => {
        fn open(call: $crate::__private::RawCall) -> $crate::Result<Box<dyn $crate::__private::Sink>> {
            $crate::__dispatch!($what, $crate::log_sink::enter, $config, call, (call))
        }
        $crate::__export!(log_sink piper::logs::log_sink, open,
            fn open(call: Call) -> Result<(), Failure>;
            fn write(batches: Vec<Batch>) -> Result<Receipt, Failure>;
            fn close() -> Result<(), Failure>);
    };
    (log_reader $config:ident $what:tt) => {
        fn read(
            call: $crate::__private::RawCall,
            request: $crate::log_reader::RawRead,
        ) -> $crate::Result<$crate::log_reader::Page> {
            $crate::__dispatch!($what, $crate::log_reader::enter_read, $config, call, (call, request))
        }
        fn search(
            call: $crate::__private::RawCall,
            request: $crate::log_reader::RawSearch,
        ) -> $crate::Result<$crate::log_reader::Found> {
            $crate::__dispatch!($what, $crate::log_reader::enter_search, $config, call, (call, request))
        }
        const LOG_READER: (
            fn($crate::__private::RawCall, $crate::log_reader::RawRead) -> $crate::Result<$crate::log_reader::Page>,
            fn($crate::__private::RawCall, $crate::log_reader::RawSearch) -> $crate::Result<$crate::log_reader::Found>,
        ) = (read, search);
        $crate::__export!(log_reader piper::logs::log_reader, LOG_READER,
            fn read(call: Call, range: String, cursor: Option<String>, max_entries: u32, max_bytes: u32) -> Result<Page, Failure>;
            fn search(call: Call, query: String, cursor: Option<String>, limit: u32) -> Result<Found, Failure>);
    };
    (trigger_poll $config:ident $what:tt) => {
        fn poll(
            call: $crate::__private::RawCall,
            cursor: Option<String>,
        ) -> $crate::Result<$crate::trigger_poll::Polled> {
            $crate::__dispatch!($what, $crate::trigger_poll::enter, $config, call, (call, cursor))
        }
        $crate::__export!(trigger_poll piper::trigger::trigger_poll, poll,
            fn poll(call: Call, cursor: Option<String>) -> Result<Outcome, Failure>);
    };
    (trigger_webhook $config:ident $what:tt) => {
        fn receive(
            call: $crate::__private::RawCall,
            request: $crate::trigger_webhook::Request,
        ) -> $crate::Result<$crate::trigger_webhook::Received> {
            $crate::__dispatch!($what, $crate::trigger_webhook::enter, $config, call, (call, request))
        }
        $crate::__export!(trigger_webhook piper::trigger::trigger_webhook, receive,
            fn receive(call: Call, delivery: Delivery) -> Result<Outcome, Failure>);
    };
    (config_check $config:ident $ty:ident) => {
        fn check(call: $crate::__private::RawCall) -> Vec<$crate::config_check::Problem> {
            $crate::config_check::enter::<$ty>(&call)
        }
        $crate::__export!(config_check piper::base::config_check, check,
            fn check(call: Call) -> Vec<Problem>);
    };
    // An unknown kind was refused already, with better words.
    ($($other:tt)*) => {};
}

/// Joins a kind's function to its interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($kind:ident $a:ident :: $b:ident :: $c:ident, $function:ident, $(fn $export:ident($($name:ident: $ty:ty),*) -> $answer:ty);+) => {
        // Outside of a component, that it has the right type is all that matters.
        #[cfg(not(target_family = "wasm"))]
        const _: () = { let _ = $function; };
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::__private::bindings::{$kind as bindings, imports::piper::base::types::{Call, Failure}};
            use bindings::exports::$a::$b::$c::*;
            impl Guest for __Component {
                $(fn $export($($name: $ty),*) -> $answer {
                    $crate::__private::exports::$kind::$export(&$function $(, $name)*)
                })+
            }
            bindings::export!(__Component with_types_in $crate::__private::bindings::$kind);
        };
    };
}
