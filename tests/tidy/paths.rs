//! The modules of the crate and the paths that each file names.
//!
//! A path is collected wherever one stands: in a `use` tree, expanded leaf by leaf, and in the middle of
//! an expression or type. It is then resolved to an absolute one (`crate::room::…`), through `self`,
//! `super`, child modules, and the names that the same file imported:
//!
//! ```text
//!   in src/session/window.rs          absolute
//!   use crate::store;                 store
//!   store::memory::Memory::new()      store, memory, Memory, new
//!   super::packet_ids::PacketIds      session, packet_ids, PacketIds
//!   std::sync::Mutex                  (outside) std, sync, Mutex
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, Token};

/// A path as a file names it.
#[derive(Clone, Debug)]
pub struct Mention {
    /// Module in which it is written, from the crate's root.
    pub module: Vec<String>,
    /// Its segments as written; `*` for a glob.
    pub segments: Vec<String>,
    /// For a leaf of a `use`: the name it has in this file from here on.
    pub name: Option<String>,
    /// Part of a `pub use`.
    pub exported: bool,
    /// Inside code that only tests compile.
    pub test: bool,
    pub line: usize,
}

/// A `mod` line or block.
#[derive(Clone, Debug)]
pub struct Module {
    /// Absolute path, own name included.
    pub path: Vec<String>,
    /// `mod name;`: the body is in a file of its own.
    pub in_file: bool,
    /// Behind `#[cfg(test)]`.
    pub test: bool,
    /// The value of its `#[path]`: a file beside the one that declares it.
    pub beside: Option<String>,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into this crate; the segments after `crate`.
    Inside(Vec<String>),
    /// Another crate, or a name that is local to the file.
    Outside(Vec<String>),
}

/// What one file declares and names.
pub struct Outline {
    pub modules: Vec<Module>,
    pub mentions: Vec<Mention>,
}

/// The module a file of `src/` holds: `src/topic/trie.rs` is `topic::trie`; the roots are empty.
pub fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    if matches!(inner, "lib" | "main") {
        module.clear();
    }
    module
}

/// Reads the modules and paths of one file that holds `module` (see [`module_of`]).
pub fn outline(source: &Source, module: &[String]) -> Outline {
    let tokens = source.tokens();
    let mut walk = Walk {
        source,
        tokens: &tokens,
        at: 0,
        module: module.to_vec(),
        blocks: Vec::new(),
        pending_test: false,
        pending_path: None,
        found: Outline {
            modules: Vec::new(),
            mentions: Vec::new(),
        },
    };
    while walk.at < tokens.len() {
        walk.step();
    }
    walk.found
}

/// One pass over the tokens, knowing at each point in which inline module it is.
struct Walk<'a> {
    source: &'a Source,
    tokens: &'a [Token<'a>],
    at: usize,
    /// The module of the file, then one name for each block around this point, empty if it is no module.
    module: Vec<String>,
    /// The blocks around this point: whether each is for tests.
    blocks: Vec<bool>,
    /// A `#[cfg(test)]` was read and what it belongs to has not ended yet.
    pending_test: bool,
    /// As above, for the value of a `#[path]`.
    pending_path: Option<String>,
    found: Outline,
}

impl Walk<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| token.text)
    }

    fn in_test(&self) -> bool {
        self.pending_test || self.blocks.contains(&true)
    }

    fn step(&mut self) {
        match self.text(0) {
            "#" => self.attribute(),
            "mod" if self.tokens.get(self.at + 1).is_some_and(Token::is_word) => self.module(),
            "use" if self.text(1) != "<" => self.use_item(),
            "{" => {
                // The body of what `#[cfg(test)]` stands on is for tests as well.
                self.blocks.push(std::mem::take(&mut self.pending_test));
                self.module.push(String::new());
                self.at += 1;
            }
            "}" => self.close(),
            ";" => {
                self.pending_test = false;
                self.at += 1;
            }
            _ if self.tokens[self.at].is_word() && !self.continues() => self.expression(),
            _ => self.at += 1,
        }
    }

    /// Whether the token here goes on with a path whose start was not a word, as in `<T>::new`.
    fn continues(&self) -> bool {
        self.at > 0 && self.tokens[self.at - 1].text == "::"
    }

    fn close(&mut self) {
        self.pending_test = false;
        if self.blocks.pop().is_some() {
            self.module.pop();
        }
        self.at += 1;
    }

    /// Remembers a `cfg` that asks for `test`; the paths inside of attributes are read as any other.
    fn attribute(&mut self) {
        let mut words = Vec::new();
        let from = self.at + 1 + usize::from(self.text(1) == "!");
        let mut nested = 0_usize;
        for token in &self.tokens[from..] {
            match token.text {
                "[" => nested += 1,
                "]" => nested -= 1,
                word => words.push(word),
            }
            if nested == 0 {
                break;
            }
        }
        if words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not") {
            self.pending_test = true;
        }
        if words.starts_with(&["path", "="]) {
            // The value is blanked in the code; the text still has it.
            let line = self.source.text.lines().nth(self.tokens[from].line - 1);
            self.pending_path = line
                .and_then(|line| line.split('"').nth(1))
                .map(str::to_owned);
        }
        self.at += 1;
    }

    fn module(&mut self) {
        let name = self.text(1).to_owned();
        let mut path = self.here();
        path.push(name.clone());
        let in_file = self.text(2) == ";";
        let (test, beside) = (self.in_test(), self.pending_path.take());
        self.found.modules.push(Module {
            path,
            in_file,
            test,
            beside,
        });
        if in_file {
            self.at += 2;
        } else {
            self.blocks.push(test);
            self.module.push(name);
            self.pending_test = false;
            self.at += 3;
        }
    }

    /// The module around this point.
    fn here(&self) -> Vec<String> {
        self.module
            .iter()
            .filter(|name| !name.is_empty())
            .cloned()
            .collect()
    }

    fn use_item(&mut self) {
        let exported = self.at > 0 && matches!(self.tokens[self.at - 1].text, "pub" | ")");
        self.at += 1;
        if self.text(0) == "::" {
            self.at += 1;
        }
        self.use_tree(&[], exported);
    }

    /// `a::b`, `a::{b, c::*}`, `a as b`: one mention for each leaf.
    fn use_tree(&mut self, prefix: &[String], exported: bool) {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        loop {
            match self.text(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "" | ";") {
                        self.use_tree(&segments, exported);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "::" => {}
                "," | "}" | ";" | "" | "as" => break,
                word => segments.push(word.to_owned()),
            }
            self.at += 1;
        }
        let mut name = segments.last().cloned();
        if name.as_deref() == Some("self") && segments.len() > 1 {
            segments.pop();
            name = segments.last().cloned();
        }
        if self.text(0) == "as" {
            name = Some(self.text(1).to_owned());
            self.at += 2;
        }
        self.mention(segments, name, exported, line);
    }

    fn expression(&mut self) {
        let line = self.tokens[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        if segments.len() > 1 {
            self.mention(segments, None, false, line);
        }
    }

    fn mention(
        &mut self,
        segments: Vec<String>,
        name: Option<String>,
        exported: bool,
        line: usize,
    ) {
        let (module, test) = (self.here(), self.in_test());
        self.found.mentions.push(Mention {
            module,
            segments,
            name,
            exported,
            test,
            line,
        });
    }
}

/// Everything needed to resolve the paths of a crate.
pub struct Resolver {
    modules: BTreeSet<Vec<String>>,
    /// What a `pub use` of one of the crate's own items is called from outside, and what it is.
    exports: BTreeMap<Vec<String>, Vec<String>>,
}

impl Resolver {
    pub fn new<'a>(outlines: impl Iterator<Item = &'a Outline> + Clone) -> Self {
        let modules = outlines.clone().flat_map(|outline| &outline.modules);
        let modules = modules.map(|module| module.path.clone()).collect();
        let mut resolver = Self {
            modules,
            exports: BTreeMap::new(),
        };
        let mut exports = BTreeMap::new();
        for mention in outlines
            .flat_map(|outline| &outline.mentions)
            .filter(|it| it.exported)
        {
            let named = mention
                .name
                .clone()
                .map(|name| [&mention.module[..], &[name]].concat());
            let target = resolver.resolve(mention, &BTreeMap::new());
            if let (Some(named), Target::Inside(target)) = (named, target) {
                exports.insert(named, target);
            }
        }
        resolver.exports = exports;
        resolver
    }

    pub fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains(path)
    }

    /// Where the item really lives, if `path` is what a `pub use` calls it.
    pub fn origin(&self, path: &[String]) -> Vec<String> {
        for length in (1..=path.len()).rev() {
            if let Some(origin) = self.exports.get(&path[..length]) {
                return [&origin[..], &path[length..]].concat();
            }
        }
        path.to_vec()
    }

    /// Resolves a path; `names` are those the file imports (see [`names`]).
    pub fn resolve(&self, mention: &Mention, names: &BTreeMap<String, Vec<String>>) -> Target {
        let mut base = mention.module.clone();
        let mut segments = &mention.segments[..];
        let first = segments[0].as_str();
        match first {
            "crate" | "postbud" => base.clear(),
            "self" => {}
            "super" => {
                while segments[0] == "super" && segments.len() > 1 {
                    base.pop();
                    segments = &segments[1..];
                }
                return Target::Inside([&base[..], segments].concat());
            }
            _ if self.is_module(&[&base[..], &segments[..1]].concat()) => {
                return Target::Inside([&base[..], segments].concat());
            }
            _ => {
                // A leaf of a `use` cannot stand on another: only expressions look names up.
                let known = names.get(first).filter(|_| mention.name.is_none());
                let Some(known) = known else {
                    return Target::Outside(segments.to_vec());
                };
                let path = [&known[..], &segments[1..]].concat();
                let again = Mention {
                    segments: path,
                    ..mention.clone()
                };
                return self.resolve(&again, &BTreeMap::new());
            }
        }
        Target::Inside([&base[..], &segments[1..]].concat())
    }
}

/// The names a file imports and the paths they stand for.
pub fn names(outline: &Outline) -> BTreeMap<String, Vec<String>> {
    let leaves = outline.mentions.iter();
    leaves
        .filter_map(|leaf| Some((leaf.name.clone()?, leaf.segments.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(path: &str, text: &str) -> Vec<String> {
        let outline = outline(&Source::new(path, text), &module_of(path));
        let resolver = Resolver::new([&outline].into_iter());
        let names = names(&outline);
        let shown = |mention: &Mention| match resolver.resolve(mention, &names) {
            Target::Inside(path) => format!("crate::{}", path.join("::")),
            Target::Outside(path) => path.join("::"),
        };
        outline.mentions.iter().map(shown).collect()
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use crate::{a::{self, b}, c::*};\npub use super::x as y;";
        let paths = resolved("src/room/file.rs", text);
        assert_eq!(
            paths,
            ["crate::a", "crate::a::b", "crate::c::*", "crate::room::x"]
        );
    }

    #[test]
    fn expressions_follow_imported_names() {
        let text = "use crate::store;\nfn f() { store::memory::open(); Vec::<u8>::new(); }";
        assert_eq!(
            resolved("src/room.rs", text),
            ["crate::store", "crate::store::memory::open"]
        );
        let text = "use std::sync;\nstatic A: sync::Mutex<u8> = crate::x::Y;";
        let expected = ["std::sync", "std::sync::Mutex", "crate::x::Y"];
        assert_eq!(resolved("src/room.rs", text), expected);
    }

    #[test]
    fn inline_modules_move_super() {
        let text = "mod inner { use super::super::other::X; }\nuse super::other::Y;";
        let paths = resolved("src/room/file.rs", text);
        assert_eq!(paths, ["crate::room::other::X", "crate::room::other::Y"]);
        let text = "fn f() { if a { super::x::y(); } }";
        assert_eq!(resolved("src/room/file.rs", text), ["crate::room::x::y"]);
    }

    #[test]
    fn strings_and_comments_name_nothing() {
        let text = "// crate::a::b\n/// [`crate::c`]\nconst A: &str = \"crate::d::e\";";
        assert!(resolved("src/room.rs", text).is_empty());
    }

    #[test]
    fn test_modules_are_marked() {
        let text = "#[cfg(test)]\nmod tests { use a::b; }\nmod real;\n#[cfg(test)]\n#[path = \"b.rs\"]\nmod more;";
        let source = Source::new("src/room/mod.rs", text);
        let outline = outline(&source, &module_of(&source.path));
        let marks: Vec<_> = outline
            .modules
            .iter()
            .map(|it| (it.test, it.in_file))
            .collect();
        assert_eq!(marks, [(true, false), (false, true), (true, true)]);
        assert!(outline.mentions[0].test);
        assert_eq!(outline.modules[1].path, ["room", "real"]);
        assert_eq!(outline.modules[1].beside, None);
        assert_eq!(outline.modules[2].beside.as_deref(), Some("b.rs"));
    }
}
