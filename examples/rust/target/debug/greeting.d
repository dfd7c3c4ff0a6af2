/work/main/examples/rust/target/debug/greeting: /work/main/examples/rust/src/main.rs
