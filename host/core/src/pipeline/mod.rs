//! From the text of `piper.toml` to a [`Project`](crate::project::Project).
