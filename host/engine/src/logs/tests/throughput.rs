//! How fast the log plane is. Run with `cargo test --release -p piper-engine -- --ignored --nocapture how_fast`.

use super::*;
use std::{io::Read, time::Instant};

/// One hundred megabytes in lines of one hundred bytes, like those of a compiler: mostly words that were there before.
fn hundred_megabytes() -> Vec<u8> {
    let mut text = Vec::with_capacity(100_000_000);
    let mut random = 1_u64;
    for line in 0..1_000_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let start = text.len();
        text.extend_from_slice(
            format!(
                "[{line:>7}] Compiling module_{:04} in src/lib/part_{}.rs: ",
                random >> 52,
                random % 97
            )
            .as_bytes(),
        );
        text.resize(start + 99, b'.');
        text.push(b'\n');
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
fn stopwatch() -> impl Fn() -> f64 {
    let start = Instant::now();
    move || start.elapsed().as_secs_f64()
}

fn cpu(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of the type that the call writes.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[test]
#[ignore = "a measurement"]
fn how_fast_a_million_lines_are_kept() {
    let text = hundred_megabytes();
    let folder = TempDir::new().unwrap();
    for _ in 0..3 {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        let before = cpu(libc::CLOCK_THREAD_CPUTIME_ID);
        let zstd_len: usize = text
            .chunks(256 * 1024)
            .map(|chunk| compressor.compress(chunk).unwrap().len())
            .sum();
        println!(
            "zstd -1 alone: {:.3} s, {zstd_len} bytes",
            cpu(libc::CLOCK_THREAD_CPUTIME_ID) - before
        );

        let path = folder.path().join("build.plog");
        let _ = std::fs::remove_file(&path);
        let (options, _) = options(Some(path.clone()));
        let wall = stopwatch();
        let all = cpu(libc::CLOCK_PROCESS_CPUTIME_ID);
        let (mut writer, handle) = start(options);
        let capture = cpu(libc::CLOCK_THREAD_CPUTIME_ID);
        let source = writer.register(StepIx(0), 1, "many");
        for (i, bytes) in text.chunks(READ_SIZE).enumerate() {
            writer.append(source, Stream::Stdout, bytes, Timestamp(i as u64));
            writer.publish();
        }
        writer.close(source, Stream::Stdout, Timestamp(9999));
        drop(writer);
        let capture = cpu(libc::CLOCK_THREAD_CPUTIME_ID) - capture;
        let end = handle.finish();
        let all = cpu(libc::CLOCK_PROCESS_CPUTIME_ID) - all;
        println!(
            "log: {:.3} s, CPU {all:.3} s, of it capture {capture:.3} s, {} bytes",
            wall(),
            end.bytes
        );
        let wall = stopwatch();
        let selection = Selection {
            lines: Some(900_000..=900_000),
            ..Selection::default()
        };
        assert_eq!(read_all(&path, selection).len(), 1);
        println!("line 900,000: {:.4} s", wall());
    }
}

#[test]
#[ignore = "a measurement"]
fn how_fast_a_tiny_build_is_kept() {
    let folder = TempDir::new().unwrap();
    for i in 0..5 {
        let (options, _) = options(Some(folder.path().join(format!("{i}.plog"))));
        let wall = stopwatch();
        let (writer, handle) = start(options);
        handle.event(&warning("started"));
        let started = wall();
        drop(writer);
        thread::sleep(Duration::from_millis(2));
        let wall = stopwatch();
        handle.event(&build_finished());
        handle.finish();
        println!(
            "start {:.0} µs, finish {:.0} µs",
            started * 1e6,
            wall() * 1e6
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn how_fast_lines_are_read_back() {
    let folder = TempDir::new().unwrap();
    let (mut writer, handle, path) = start_in(&folder);
    let text = hundred_megabytes();
    let source = writer.register(StepIx(0), 1, "many");
    text.chunks(READ_SIZE)
        .for_each(|bytes| writer.append(source, Stream::Stdout, bytes, Timestamp(1)));
    drop(writer);
    handle.finish();
    let wall = stopwatch();
    let batches = PlogReader::open(&path)
        .unwrap()
        .select(Selection::default());
    let bytes: usize = batches
        .map(|batch| {
            batch
                .unwrap()
                .records()
                .map(|record| record.text.len() + 1)
                .sum::<usize>()
        })
        .sum();
    println!("{bytes} bytes read in {:.3} s", wall());
    let mut copy = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut copy).unwrap();
    println!("{} bytes in the file", copy.len());
}
