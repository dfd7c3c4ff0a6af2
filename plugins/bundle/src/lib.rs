//! The plugins that are a part of piper: the bytes of each component, compiled when piper is.
//!
//! Only data: nothing here runs a plugin or knows what is in one. Their sources are the folders beside this one; `build.rs` compiles them.

/// A plugin that is a part of piper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// What it is called: its folder, and the `name` of its manifest.
    pub name: &'static str,
    /// Its component.
    pub component: &'static [u8],
    /// The SHA-256 of the component.
    pub digest: [u8; 32],
    /// Its `piper-plugin.toml`, which the component holds too.
    pub manifest: &'static str,
}

/// All of them, by name.
pub static ALL: &[Builtin] = &include!(concat!(env!("OUT_DIR"), "/table.rs"));

const _: () = assert!(!ALL.is_empty(), "piper has built-in plugins");

/// The one of this name.
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::{fs, path::Path};

    #[test]
    fn the_table_is_the_folders() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut folders: Vec<String> = fs::read_dir(plugins)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir() && entry.file_name() != "bundle")
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        folders.sort();
        let names: Vec<_> = ALL.iter().map(|builtin| builtin.name).collect();
        assert_eq!(names, folders);
    }

    #[test]
    fn each_is_a_small_component_with_its_manifest() {
        for builtin in ALL {
            let name = builtin.name;
            // The magic number, and the version that says that it is a component.
            assert!(
                builtin.component.starts_with(b"\0asm\x0d\0\x01\0"),
                "{name}"
            );
            assert!(
                builtin.component.len() <= 270_000,
                "{name}: {}",
                builtin.component.len()
            );
            assert!(
                builtin.manifest.contains(&format!("name = \"{name}\"\n")),
                "{name}"
            );
            let manifest = builtin.manifest.as_bytes();
            let mut windows = builtin.component.windows(manifest.len());
            assert!(windows.any(|window| window == manifest), "{name}");
        }
    }

    #[test]
    fn nothing_in_a_component_says_where_it_was_built() {
        let here = env!("CARGO_MANIFEST_DIR")
            .trim_end_matches("/plugins/bundle")
            .as_bytes();
        for builtin in ALL {
            let mut windows = builtin.component.windows(here.len());
            assert!(!windows.any(|window| window == here), "{}", builtin.name);
        }
    }

    #[test]
    fn each_has_a_readme_that_names_its_permissions() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for builtin in ALL {
            let readme = fs::read_to_string(plugins.join(builtin.name).join("README.md")).unwrap();
            assert!(readme.contains("## Permissions"), "{}", builtin.name);
        }
    }
}
