//! No bytes make the loader of plugins panic, and what it takes for one says the same of itself before and after it was compiled.

#![no_main]

use libfuzzer_sys::fuzz_target;
use piper_plugin_host::{
    Host, HostOptions,
    load::{self, Error},
};
use std::sync::LazyLock;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    Host::new(HostOptions {
        cache: None,
        component_bytes: 1 << 20,
        has_pool: true,
    })
});

fuzz_target!(|component: &[u8]| {
    let described = load::describe(component);
    match HOST.load(component) {
        Ok(plugin) => {
            let described = described.expect("a plugin can be described");
            assert!(!plugin.kinds().is_empty());
            assert_eq!(plugin.kinds(), described.kinds);
            assert_eq!(plugin.manifest(), described.manifest.as_deref());
            assert_eq!(plugin.config_schema(), described.config_schema.as_deref());
            assert_eq!(plugin.size(), component.len());
        }
        Err(error) => {
            // Neither the machine nor a folder can be at fault here.
            let is_ours = matches!(
                error,
                Error::Engine(_) | Error::Cache { .. } | Error::ForeignCache { .. }
            );
            assert!(!is_ours, "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
});
