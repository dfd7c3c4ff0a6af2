/work/main/examples/rust/target/debug/deps/greeting-485b118ffec43804.d: src/main.rs

/work/main/examples/rust/target/debug/deps/greeting-485b118ffec43804: src/main.rs

src/main.rs:
