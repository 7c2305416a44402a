#!/usr/bin/env python3
"""Are the conformance tests awake? Breaks statements in the source, one at a time, and looks for red.

    tests/conformance/mutants.py                    every mutant of mutants/*.toml
    tests/conformance/mutants.py --list             what there is
    tests/conformance/mutants.py "No Local" 3.8.4   those whose name or statements contain one of the words
    tests/conformance/mutants.py --sample 20        some at random; --seed repeats a choice

A mutant is a small change of the source that breaks one or more statements:

    [[mutant]]
    name = "a Packet Identifier of 0 is taken for 1"
    statements = ["5 2.2.1-3", "3.1.1 2.3.1-1"]
    file = "src/codec/reader.rs"
    find = "PacketId::new(self.u16()?)"             # occurs exactly once
    replace = "PacketId::new(self.u16()?.max(1))"

Where one change is not enough, because a rule is guarded twice, `[[mutant.also]]` has a further `file`, `find`
and `replace`. The tests named after the statements run against the broken broker; for each of the statements
one of them has to fail. `tests = [...]` names others instead.

The source is copied to target/mutants/tree and built there, without debug information and in a target folder of
its own; nothing of the working tree is touched. While the tests of some mutants run, and mostly wait for what
does not come, the next is built. Before all that, the same tests have to pass on the source as it is. A mutant that is not found, does not compile or
survives is a failure; the table at the end has them all, and the exit code is 1.
"""

import argparse
import concurrent.futures
import filecmp
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/conformance"
TREE = ROOT / "target/mutants/tree"
BUILD = ROOT / "target/mutants/build"
COPIED = ["Cargo.toml", "Cargo.lock", "src", "config", "benches", "tests"]
NOT_COPIED = {".tools", "node_modules", "__pycache__"}
# Tests whose broker is in their own process have to be built with the broken source.
IN_PROCESS = "riddle::"
# A test ends itself long before: it has deadlines of its own.
TESTS_TIMEOUT = 180
# Mutants whose tests run at a time.
TESTERS = 4


class Mutant:
    """One entry of a list."""

    def __init__(self, entry, tests):
        self.name = entry["name"]
        self.statements = entry["statements"]
        self.edits = [entry, *entry.get("also", [])]
        self.groups = {it: [t for t in tests if t.startswith(prefix(it))] for it in self.statements}
        if "tests" in entry:
            self.groups = {"the tests named": entry["tests"]}
        self.tests = sorted({test for group in self.groups.values() for test in group})
        self.in_process = any(tests[test] for test in self.tests if test in tests)
        self.unknown = [t for t in self.tests if t not in tests]
        self.unknown += [it for it, group in self.groups.items() if not group]

    def break_source(self):
        """Changes the copy of the source; returns why that is not possible, if it is not."""
        if self.unknown:
            return f"no test: {', '.join(self.unknown)}"
        texts = {}
        for edit in self.edits:
            path = edit["file"]
            text = texts.get(path) or (ROOT / path).read_text()
            count = text.count(edit["find"])
            if count != 1:
                return f"found {count} times in {path}"
            texts[path] = text.replace(edit["find"], edit["replace"])
        for path, text in texts.items():
            (TREE / path).write_text(text)
        return None

    def restore_source(self):
        for edit in self.edits:
            (TREE / edit["file"]).write_text((ROOT / edit["file"]).read_text())

    def verdict(self, red):
        """What the tests that failed say about this mutant."""
        asleep = [it for it, group in self.groups.items() if not red.intersection(group)]
        return f"SURVIVED {', '.join(asleep)}" if asleep else f"red: {len(red)} of {len(self.tests)}"


def prefix(statement):
    """The beginning of the names of a statement's tests: "5 3.1.2-24" to "mqtt5_3_1_2_24_"."""
    version, number = statement.split(" ")
    return f"mqtt{version.replace('.', '')}_{number.replace('.', '_').replace('-', '_')}_"


def statement_tests():
    """The tests named after statements, and whether their broker runs in their own process."""
    tests = {}
    for path in sorted(HERE.glob("mqtt*/*.rs")):
        text = path.read_text()
        for line in text.splitlines():
            if line.startswith("fn mqtt"):
                tests[line[3 : line.index("(")]] = IN_PROCESS in text
    return tests


def mutants():
    tests = statement_tests()
    for path in sorted((HERE / "mutants").glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["mutant"]:
            yield Mutant(entry, tests)


def copy_source():
    """Makes the tree equal to the source. What is equal already keeps its time, so that little is built."""
    wanted = set()
    for name in COPIED:
        top = ROOT / name
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and not NOT_COPIED.intersection(path.relative_to(ROOT).parts):
                wanted.add(path.relative_to(ROOT))
    for path in wanted:
        source, copy = ROOT / path, TREE / path
        if not copy.is_file() or not filecmp.cmp(source, copy, shallow=False):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    for path in TREE.rglob("*"):
        if path.is_file() and path.relative_to(TREE) not in wanted:
            path.unlink()


def build(what, folder, target=None):
    """Builds in a folder; returns the executables that came of it by name, or what the compiler said."""
    environment = dict(os.environ, CARGO_INCREMENTAL="1", CARGO_TERM_COLOR="never")
    if target:
        environment |= {"CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_DEV_DEBUG": "0"}
    command = ["cargo", *what, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, done.stderr
    executables = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            executables[message["target"]["name"]] = message["executable"]
    return executables, ""


def build_tree(in_process):
    what = ["build", "--bin", "postbud"]
    if in_process:
        what = ["test", "--no-run", "--test", "conformance"]
    built, complaint = build(what, TREE, BUILD)
    return (built | {"postbud": str(BUILD / "debug/postbud")}, "") if built is not None else (None, complaint)


def run_tests(runner, broker, names):
    """Runs tests against a broker; returns those that did not pass."""
    paths = {}
    listed = subprocess.run([runner, "--list"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        path = line.removesuffix(": test")
        paths[path.rsplit("::", 1)[-1]] = path
    command = [runner, "--exact", "--test-threads", "8", *(paths[name] for name in names)]
    environment = dict(os.environ, BROKER_UNDER_TEST=str(broker))
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TESTS_TIMEOUT, check=False)
        output = done.stdout
    except subprocess.TimeoutExpired as hung:
        output = (hung.stdout or b"").decode()
    passed = {line.split(" ")[1].rsplit("::", 1)[-1] for line in output.splitlines() if line.endswith("... ok")}
    return set(names) - passed


def try_mutant(mutant, runner, number):
    """Builds a mutant and returns a function that tests it, which may go on while the next one is built."""
    problem = mutant.break_source()
    if problem:
        return lambda: problem.upper()
    built, complaint = build_tree(mutant.in_process)
    mutant.restore_source()
    if built is None:
        return lambda: f"DOES NOT COMPILE\n{complaint}"
    # The next mutant is built where this one was.
    broken = {name: BUILD / f"{name}-{number}" for name in built}
    for name, path in built.items():
        shutil.copy2(path, broken[name])
    tests = broken["conformance"] if mutant.in_process else runner

    def run():
        red = run_tests(tests, broken["postbud"], mutant.tests)
        for path in broken.values():
            path.unlink()
        return mutant.verdict(red)

    return run


def check_green(chosen, runner):
    """Builds the source as it is; returns the tests that fail on it."""
    in_process = any(mutant.in_process for mutant in chosen)
    built, complaint = build_tree(in_process)
    if built is None:
        sys.exit(f"the source does not compile\n{complaint}")
    names = sorted({test for mutant in chosen for test in mutant.tests if not mutant.unknown})
    return run_tests(runner, built["postbud"], names) if names else set()


def try_all(chosen, runner):
    """Tries mutant after mutant; returns their verdicts by name."""

    def test(mutant, run, started):
        with room:
            verdict = run()
        seconds = time.monotonic() - started
        print(f"{seconds:4.0f} s  {mutant.name}: {verdict.splitlines()[0]}", flush=True)
        return verdict

    room = threading.Semaphore(TESTERS)
    running = {}
    with concurrent.futures.ThreadPoolExecutor(TESTERS) as testers:
        for number, mutant in enumerate(chosen):
            # Broken brokers take space on the disk: none is built long before its turn.
            with room:
                pass
            started = time.monotonic()
            run = try_mutant(mutant, runner, number)
            running[mutant.name] = testers.submit(test, mutant, run, started)
    return {name: future.result() for name, future in running.items()}


def report(results):
    failed = {name: verdict for name, verdict in results.items() if not verdict.startswith("red")}
    print(f"\n{len(results)} mutants, {len(results) - len(failed)} noticed, {len(failed)} failed")
    for name, verdict in failed.items():
        print(f"  {name}: {verdict}")
    return 1 if failed else 0


def choose(arguments):
    chosen = list(mutants())
    if arguments.words:
        texts = lambda it: [it.name, *it.statements]
        chosen = [it for it in chosen if any(word in text for word in arguments.words for text in texts(it))]
    if arguments.sample is not None:
        seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
        print(f"--sample {arguments.sample} --seed {seed}")
        chosen = random.Random(seed).sample(chosen, min(arguments.sample, len(chosen)))
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="of a name or statement")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--sample", type=int, help="so many at random")
    parser.add_argument("--seed", type=int, help="of the choice at random")
    arguments = parser.parse_args()
    chosen = choose(arguments)
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}  [{', '.join(mutant.statements)}]")
        return 0
    if not chosen:
        sys.exit("no mutant is called that")

    began = time.monotonic()
    copy_source()
    built, complaint = build(["test", "--no-run", "--test", "conformance"], ROOT)
    if built is None:
        sys.exit(complaint)
    runner = built["conformance"]
    red = check_green(chosen, runner)
    if red:
        sys.exit(f"red on the source as it is: {', '.join(sorted(red))}")
    print(f"green on the source as it is: {time.monotonic() - began:.0f} s", flush=True)

    return report(try_all(chosen, runner))


if __name__ == "__main__":
    sys.exit(main())
