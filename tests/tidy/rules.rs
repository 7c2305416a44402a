//! The rules, each a function from the tree to what breaks it, one line a violation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::paths::{self, Mention, Module, Outline, Resolver, Target, module_of};
use super::source::{Source, Token};

/// Longest file, in lines.
pub const FILE_LINES: usize = 800;
/// Longest function, in lines from `fn` to its closing brace.
pub const FUNCTION_LINES: usize = 70;

/// The rooms from the roof down. A room may import those on lower floors, never one beside it.
pub const FLOORS: [&[&str]; 11] = [
    &["main"],
    &["cli"],
    &["server"],
    &["config"],
    &["listener", "http", "control"],
    &["broker"],
    &["session", "pubsub", "store", "cluster", "auth"],
    &["queue"],
    &["message"],
    &["codec"],
    &["topic"],
];

/// Rooms that know no runtime, no socket, no clock and no lock: time and effects are arguments.
pub const PURE_ROOMS: [&str; 6] = ["topic", "codec", "message", "queue", "session", "pubsub"];

/// What a pure room does not name, as the beginning of a path.
const IMPURE: [&[&str]; 8] = [
    &["tokio"],
    &["parking_lot"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "sync", "Mutex"],
    &["std", "sync", "RwLock"],
    &["std", "time", "Instant", "now"],
    &["std", "time", "SystemTime", "now"],
];

/// Modules that implement a room's trait; only the server chooses among them.
const ENGINES: [&[&str]; 3] = [
    &["store", "memory"],
    &["store", "disk"],
    &["cluster", "single"],
];

/// The files the rules look at.
pub struct Tree {
    pub files: Vec<Source>,
    /// What the files of `src/` declare and name, by path.
    outlines: BTreeMap<String, Outline>,
    /// The module that a file of `src/` holds.
    modules: BTreeMap<String, Vec<String>>,
    resolver: Resolver,
}

impl Tree {
    pub fn new(files: Vec<Source>) -> Self {
        let broker = || files.iter().filter(|file| file.is_broker());
        let mut modules: BTreeMap<_, _> = broker()
            .map(|file| (file.path.clone(), module_of(&file.path)))
            .collect();
        let mut outlines = BTreeMap::new();
        // A file that `#[path]` puts elsewhere in the tree of modules is read again in its place.
        let mut waiting: Vec<&Source> = broker().collect();
        while let Some(file) = waiting.pop() {
            let outline = paths::outline(file, &modules[&file.path]);
            for (moved, module) in outline
                .modules
                .iter()
                .filter_map(|it| moved(&file.path, it))
            {
                if modules.get(&moved).is_some_and(|known| *known != module) {
                    modules.insert(moved.clone(), module);
                    waiting.extend(files.iter().filter(|file| file.path == moved));
                }
            }
            outlines.insert(file.path.clone(), outline);
        }
        let resolver = Resolver::new(outlines.values());
        Self {
            files,
            outlines,
            modules,
            resolver,
        }
    }

    /// Reads every text file below `root` that could be committed.
    pub fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the tree is readable") {
                let path = entry.expect("an entry of the tree is readable").path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                // In a second work tree of a repository `.git` is a file.
                let skipped = [
                    "target",
                    "data",
                    ".git",
                    ".tools",
                    "node_modules",
                    "__pycache__",
                ];
                if skipped.contains(&name.as_str()) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    let relative = path.strip_prefix(root).expect("below the root");
                    files.push(Source::new(&relative.to_string_lossy(), &text));
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::new(files)
    }

    /// Rust of the broker, its tests and its benches.
    fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// Every path named in `src/`, with its file, resolved.
    fn mentions(&self) -> impl Iterator<Item = (&str, &Mention, Target)> {
        self.outlines.iter().flat_map(move |(file, outline)| {
            let names = paths::names(outline);
            outline.mentions.iter().map(move |mention| {
                (
                    file.as_str(),
                    mention,
                    self.resolver.resolve(mention, &names),
                )
            })
        })
    }

    /// The room a file belongs to: `src/topic/trie.rs` is in `topic`, `src/main.rs` in `main`.
    fn room(&self, file: &str) -> &str {
        self.modules[file].first().map_or("main", String::as_str)
    }

    /// Files that only tests compile: a `#[cfg(test)] mod name;` and what is below it.
    fn is_test_file(&self, path: &str) -> bool {
        let module = &self.modules[path];
        let declared = self.outlines.values().flat_map(|outline| &outline.modules);
        declared
            .filter(|it| it.test)
            .any(|it| module.starts_with(&it.path))
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// Arrows run downward only: a room imports from lower floors.
pub fn imports_run_downward(tree: &Tree) -> Vec<String> {
    let mut broken = BTreeSet::new();
    for path in tree.outlines.keys().filter(|path| *path != "src/lib.rs") {
        if floor(tree.room(path)).is_none() {
            broken.insert(format!(
                "{path}: `{}` is no room of the house",
                tree.room(path)
            ));
        }
    }
    for (file, mention, target) in tree.mentions() {
        let Target::Inside(target) = target else {
            continue;
        };
        let (from, Some(to)) = (tree.room(file), target.first()) else {
            continue;
        };
        let (Some(above), Some(below)) = (floor(from), floor(to)) else {
            continue;
        };
        if from != to && above >= below {
            let line = mention.line;
            broken.insert(format!("{file}:{line}: `{from}` may not import `{to}`"));
        }
    }
    broken.into_iter().collect()
}

/// A module with children in files either gathers them (a roof) or is what they stand on (a floor).
pub fn roofs_are_no_floors(tree: &Tree) -> Vec<String> {
    let declared = tree.outlines.values().flat_map(|outline| &outline.modules);
    let children: Vec<_> = declared
        .filter(|it| it.in_file && !it.test)
        .map(|it| &it.path)
        .collect();
    let parents: BTreeSet<_> = children
        .iter()
        .map(|path| &path[..path.len() - 1])
        .filter(|it| !it.is_empty())
        .collect();
    // Only what the broker itself is made of: a test may look at its module from wherever it is.
    let mentions = tree.mentions();
    let mentions = mentions.filter(|(file, it, _)| !it.test && !tree.is_test_file(file));
    let inside: Vec<_> = mentions
        .filter_map(|(file, mention, target)| match target {
            Target::Inside(target) => Some((file, mention.line, target)),
            Target::Outside(_) => None,
        })
        .collect();
    let mut broken = Vec::new();
    for parent in parents {
        let (mut roof, mut floor) = (None, None);
        let into = |target: &[String]| target.starts_with(parent) && target.len() > parent.len();
        for (file, line, target) in inside.iter().filter(|(_, _, target)| into(target)) {
            let here = &tree.modules[*file];
            let child = target[..=parent.len()].to_vec();
            let below = here.starts_with(parent) && here.len() > parent.len();
            if here == parent && children.contains(&&child) {
                roof = roof.or(Some(format!("{file}:{line}")));
            } else if below && !tree.resolver.is_module(&child) {
                floor = floor.or(Some(format!("{file}:{line}")));
            }
        }
        if let (Some(roof), Some(floor)) = (roof, floor) {
            let name = parent.join("::");
            broken.push(format!("`{name}` is a roof ({roof}) and a floor ({floor})"));
        }
    }
    broken
}

/// Every file of `src/` is reached by `mod` lines from a root, and lies where its name says; only tests
/// may lie beside what they test (`#[path = "trie_tests.rs"] mod tests;`).
pub fn no_file_is_orphan(tree: &Tree) -> Vec<String> {
    let outlines = tree.outlines.iter();
    let declared: Vec<_> = outlines
        .flat_map(|(file, it)| it.modules.iter().map(move |it| (file, it)))
        .collect();
    let known: BTreeSet<_> = declared
        .iter()
        .map(|(_, module)| &module.path[..])
        .collect();
    let roots = ["src/lib.rs", "src/main.rs"];
    let mut broken = Vec::new();
    for (file, module) in tree
        .modules
        .iter()
        .filter(|(file, _)| !roots.contains(&file.as_str()))
    {
        // All modules on the way must be declared, not only the last one.
        if !(1..=module.len()).all(|length| known.contains(&module[..length])) {
            broken.push(format!("{file}: no `mod` line leads here"));
        }
    }
    for (file, module) in declared {
        if module.beside.is_some() && !module.test {
            let module = module.path.join("::");
            broken.push(format!(
                "{file}: `{module}` lies where its name does not say"
            ));
        }
    }
    broken
}

/// The file and the module of a declaration that has a `#[path]`.
fn moved(declaring: &str, module: &Module) -> Option<(String, Vec<String>)> {
    let folder = declaring.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some((
        format!("{folder}/{}", module.beside.as_ref()?),
        module.path.clone(),
    ))
}

pub fn files_are_short(tree: &Tree) -> Vec<String> {
    let counted = tree
        .rust()
        .map(|file| (&file.path, file.text.lines().count()));
    let long = counted.filter(|&(_, lines)| lines > FILE_LINES);
    long.map(|(path, lines)| format!("{path}: {lines} lines, at most {FILE_LINES}"))
        .collect()
}

pub fn functions_are_short(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.rust() {
        let tokens = file.tokens();
        for (at, pair) in tokens.windows(2).enumerate() {
            if pair[0].text != "fn" || !pair[1].is_word() {
                continue;
            }
            let lines = body_end(&tokens[at..]).map_or(0, |end| end - pair[0].line + 1);
            if lines > FUNCTION_LINES {
                let (path, line, name) = (&file.path, pair[0].line, pair[1].text);
                broken.push(format!(
                    "{path}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES}"
                ));
            }
        }
    }
    broken
}

/// The line on which the function that begins here ends; none for one without a body.
fn body_end(tokens: &[Token<'_>]) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for token in tokens {
        match token.text {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets = brackets.saturating_sub(1),
            "{" => braces += 1,
            "}" if braces == 1 && brackets == 0 => return Some(token.line),
            "}" => braces = braces.saturating_sub(1),
            ";" if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The rooms below the broker are tested without a runtime and on a virtual clock.
pub fn pure_rooms_stay_pure(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, mention, target) in tree.mentions() {
        let Target::Outside(target) = target else {
            continue;
        };
        if !PURE_ROOMS.contains(&tree.room(file)) {
            continue;
        }
        // `core` and `std` are one; `Instant::now` counts without its path too.
        let mut segments: Vec<_> = target.iter().map(String::as_str).collect();
        match segments[0] {
            "core" => segments[0] = "std",
            "Instant" | "SystemTime" => drop(segments.splice(0..0, ["std", "time"])),
            _ => {}
        }
        if let Some(named) = IMPURE
            .into_iter()
            .find(|impure| segments.starts_with(impure))
        {
            let (line, room, named) = (mention.line, tree.room(file), named.join("::"));
            broken.push(format!("{file}:{line}: `{room}` knows no `{named}`"));
        }
    }
    broken
}

/// A room asks for `dyn`/`impl` the trait; which engine stands behind it is the server's choice.
pub fn only_the_server_names_engines(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, mention, target) in tree.mentions() {
        let Target::Inside(target) = target else {
            continue;
        };
        let target = tree.resolver.origin(&target);
        let segments: Vec<_> = target.iter().map(String::as_str).collect();
        let engine = ENGINES
            .into_iter()
            .find(|engine| segments.starts_with(engine));
        let Some(engine) = engine.filter(|engine| engine[0] != tree.room(file)) else {
            continue;
        };
        if tree.room(file) != "server" && !mention.test && !tree.is_test_file(file) {
            let (line, engine) = (mention.line, engine.join("::"));
            broken.push(format!("{file}:{line}: names the engine `{engine}`"));
        }
    }
    broken
}

/// The ids of `statements.tsv` as comments cite them: `MQTT5-3.1.2-24`, `MQTT311-3.1.2-24`.
pub fn statement_ids(table: &str) -> BTreeSet<String> {
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|row| format!("MQTT{}-{}", row[0].replace('.', ""), row[1]))
        .collect()
}

/// A statement that a comment cites exists, and says of which version it is.
pub fn statements_exist(tree: &Tree, known: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.rust() {
        for (index, line) in file.comments.lines().enumerate() {
            for cited in citations(line).filter(|cited| !known.contains(*cited)) {
                broken.push(format!(
                    "{}:{}: no statement `{cited}`",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    broken
}

/// Whatever in the line looks like an id: `MQTT`, a version that may be missing, a dash, a digit.
fn citations(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("MQTT").filter_map(|(at, _)| {
        let id = &line[at..];
        let version = id[4..].find(|c: char| !c.is_ascii_digit() && c != '.')? + 4;
        let number = id[version..].strip_prefix('-')?;
        let length = number.find(|c: char| !matches!(c, '0'..='9' | '.' | '-'));
        let number = number[..length.unwrap_or(number.len())].trim_end_matches(['.', '-']);
        number
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| &id[..version + 1 + number.len()])
    })
}

/// The crate's root is the map: documentation, attributes and `mod` lines.
pub fn the_root_is_a_map(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.files.iter().filter(|file| file.path == "src/lib.rs") {
        let tokens = file.tokens();
        let mut nested = 0_usize;
        let mut item: Vec<&str> = Vec::new();
        for token in &tokens {
            match token.text {
                "[" => nested += 1,
                "]" => nested = nested.saturating_sub(1),
                _ if nested > 0 => {}
                "#" | "!" | "pub" | "(" | "crate" | ")" => {}
                ";" => {
                    if !(item.len() == 2 && item[0] == "mod") {
                        broken.push(format!("src/lib.rs:{}: more than `mod` lines", token.line));
                    }
                    item.clear();
                }
                word => item.push(word),
            }
        }
        if !item.is_empty() {
            broken.push(format!(
                "src/lib.rs: more than `mod` lines: {}",
                item.join(" ")
            ));
        }
    }
    broken
}

/// Nothing is left for later: no stub, no marker, no test that is skipped without a reason.
pub fn nothing_is_left_over(tree: &Tree) -> Vec<String> {
    // Cut in two, so that the words are not found here.
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let stubs = ["todo", "dbg", "unimplemented"];
    let mut broken = Vec::new();
    for file in tree.rust() {
        for (index, line) in file.text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(marker) = words.find(|word| markers.contains(word)) {
                broken.push(format!("{}:{}: `{marker}`", file.path, index + 1));
            }
        }
        for tokens in file.tokens().windows(4) {
            let [a, b, c, d] = tokens else { continue };
            if stubs.contains(&a.text) && b.text == "!" && matches!(c.text, "(" | "[" | "{") {
                broken.push(format!("{}:{}: `{}!`", file.path, a.line, a.text));
            }
            if [a.text, b.text, c.text, d.text] == ["#", "[", "ignore", "]"] {
                broken.push(format!(
                    "{}:{}: skipped without a reason",
                    file.path, a.line
                ));
            }
        }
    }
    broken
}

/// The tree is the same on every machine: no path and no package registry of one of them.
pub fn no_machine_is_named(tree: &Tree) -> Vec<String> {
    let folders = ["work", "root", "home", "tmp"].map(|folder| format!("/{folder}"));
    let hosts = [
        concat!("registry.", "npmjs.org"),
        concat!("files.", "pythonhosted.org"),
    ];
    let mut broken = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (index, line) in file.text.lines().enumerate() {
            let named = folders
                .iter()
                .find(|folder| begins_a_path(line, folder))
                .map(String::as_str);
            let host = hosts.into_iter().find(|host| line.contains(host));
            if let Some(named) = named.or(host) {
                broken.push(format!("{}:{}: names `{named}`", file.path, index + 1));
            }
        }
    }
    broken
}

/// Whether `folder` stands in the line as an absolute path or its beginning, as opposed to the middle
/// of a topic (`$share/home/…`).
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at + folder.len()..].chars().next().unwrap_or(' ');
        let starts = before.is_whitespace() || "\"'`(=:,<[".contains(before);
        let ends = !after.is_alphanumeric() && !matches!(after, '_' | '-' | '.');
        starts && ends
    })
}
