/work/main/examples/rust/target/debug/deps/greeting-89bae9bd81ed4317.d: src/main.rs

/work/main/examples/rust/target/debug/deps/greeting-89bae9bd81ed4317: src/main.rs

src/main.rs:
