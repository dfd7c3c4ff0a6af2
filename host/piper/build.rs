//! Links the programs at fixed addresses.
//!
//! A program that may lie anywhere has a pointer to mend for each of its tables when it starts: 37,000, most of them WebAssembly's, on 200 pages
//! that it then has for itself. That is a fifth of what a build of one step takes. Heap, stack and libraries still lie where nobody knows.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
