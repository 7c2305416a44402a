//! Runs cases against one target: the corpus first, then what chance brings.
//!
//! | variable | what it does |
//! |---|---|
//! | none | a fixed number of cases, the same in every run |
//! | `POSTBUD_FUZZ_SECONDS=600` | cases for so long, from a seed that is new in each run and printed |
//! | `POSTBUD_FUZZ_SEED=0x1f` | this one case only |
//! | `POSTBUD_FUZZ_INPUT=file` | the cases of this file only, written as those of the corpus |
//!
//! A case that fails is made smaller for as long as it still fails. Then its seed, the command that runs
//! it again, and what is left of it are printed: the latter is a case for the corpus.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::dice::Dice;

/// An input of a target: a number of pieces (bytes, packets, steps) that can be left out.
pub trait Case: Clone {
    /// Reads it as [`Case::write`] writes it, over one or several lines.
    fn read(text: &str) -> Self;
    /// Writes it as text, without an empty line.
    fn write(&self) -> String;
    /// How many pieces there are.
    fn pieces(&self) -> usize;
    /// The same without the pieces from `from` to before `to`.
    fn without(&self, from: usize, to: usize) -> Self;
}

/// What is run: a name, which is that of its folder in the corpus, and how many cases a short run has.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub cases: u64,
}

/// How long a failing case may take to become smaller.
const SHRINKING: Duration = Duration::from_secs(20);

/// Makes the seeds of a run's cases into ones that are far apart.
const STRIDE: u64 = 0xD134_2543_DE82_EF95;

impl Target {
    /// Runs the target: `generate` makes a case, `check` panics if it shows a fault.
    pub fn run<C: Case>(&self, generate: impl Fn(&mut Dice) -> C, check: impl Fn(&C)) {
        if let Some(file) = std::env::var_os("POSTBUD_FUZZ_INPUT") {
            return self.replay::<C>(Path::new(&file), &check);
        }
        if let Some(seed) = variable("POSTBUD_FUZZ_SEED") {
            return self.one(seed, &generate, &check);
        }
        for file in self.corpus() {
            self.replay::<C>(&file, &check);
        }
        let started = Instant::now();
        let seconds = variable("POSTBUD_FUZZ_SECONDS").map(Duration::from_secs);
        let seed = match seconds {
            Some(_) => RandomState::new().hash_one(self.name),
            None => 0,
        };
        let mut count = 0;
        println!("fuzz {}: seed {seed:#x}", self.name);
        while seconds.map_or(count < self.cases, |long| started.elapsed() < long) {
            count += 1;
            self.one(
                seed.wrapping_add(STRIDE.wrapping_mul(count)),
                &generate,
                &check,
            );
        }
        let took = started.elapsed().as_secs_f32();
        println!(
            "fuzz {}: {count} cases in {took:.1} s, seed {seed:#x}",
            self.name
        );
    }

    fn one<C: Case>(&self, seed: u64, generate: &impl Fn(&mut Dice) -> C, check: &impl Fn(&C)) {
        let case = generate(&mut Dice::new(seed));
        let again = format!(
            "POSTBUD_FUZZ_SEED={seed:#x} cargo nextest run --test fuzz -E 'test({})'",
            self.name
        );
        self.judge(&case, check, &again);
    }

    fn replay<C: Case>(&self, file: &Path, check: &impl Fn(&C)) {
        let text = std::fs::read_to_string(file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let cases = text.split("\n\n").map(uncommented);
        let mut count = 0;
        for case in cases.filter(|case| !case.trim().is_empty()) {
            let from = format!("it is in {}", file.display());
            self.judge(&C::read(&case), check, &from);
            count += 1;
        }
        assert!(count > 0, "{}: no case", file.display());
    }

    fn judge<C: Case>(&self, case: &C, check: &impl Fn(&C), again: &str) {
        if !fails(case, check) {
            return;
        }
        let hook = take_hook();
        set_hook(Box::new(|_| {}));
        let smaller = shrink(case.clone(), check);
        set_hook(hook);
        println!("fuzz {}: a case fails. Again: {again}", self.name);
        println!("What is left of it:\n\n{}\n", smaller.write());
        check(&smaller);
        panic!("it fails, but not every time: see the first panic above");
    }

    fn corpus(&self) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/fuzz/corpus").join(self.name);
        let files = std::fs::read_dir(&folder);
        let files = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = files
            .map(|file| file.expect("it is readable").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{}: no file", folder.display());
        files
    }
}

fn fails<C: Case>(case: &C, check: &impl Fn(&C)) -> bool {
    catch_unwind(AssertUnwindSafe(|| check(case))).is_err()
}

/// Leaves pieces out, many at once and then fewer, for as long as what is left fails.
fn shrink<C: Case>(mut case: C, check: &impl Fn(&C)) -> C {
    let end = Instant::now() + SHRINKING;
    let mut size = case.pieces().max(1);
    loop {
        let mut at = 0;
        let before = case.pieces();
        while at < case.pieces() && Instant::now() < end {
            let smaller = case.without(at, case.pieces().min(at + size));
            if fails(&smaller, check) {
                case = smaller;
            } else {
                at += size;
            }
        }
        let done = size == 1 && case.pieces() == before;
        if done || Instant::now() >= end {
            return case;
        }
        size = (size / 2).max(1);
    }
}

/// The text without its comments: lines that begin with `# `.
fn uncommented(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    let lines: Vec<&str> = lines.collect();
    lines.join("\n").trim().to_owned()
}

/// A number of the environment, in decimal or, after `0x`, in hexadecimal.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}
