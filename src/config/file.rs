//! A configuration file's text to assignments, each with its place.
//!
//! The TOML parser keeps the span of every key and value; walking its tree against the list of
//! [`super::keys`] finds unknown names here, and leaves what a value may be to the key.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::assignments::{Assignments, Slot};
use super::error::{Lines, Place, Problem};
use super::keys::{Array, KEYS, paths};
use super::suggestion::nearest;
use super::value::Value;

/// Reads `text`, which came from the file `name`. What is wrong is added to `problems`, and what is
/// right is returned: if the text is not TOML at all, nothing is.
pub fn read(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Assignments> {
    let mut reader = Reader {
        name: name.into(),
        lines: Lines::of(text),
        problems,
        written: Assignments::default(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.document(table.get_ref()),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let message = error.message().replace('\n', ", ");
            reader.problem(offset, format!("not TOML: {message}"));
            return None;
        }
    }
    Some(reader.written)
}

struct Reader<'a> {
    name: Arc<str>,
    lines: Lines<'a>,
    problems: &'a mut Vec<Problem>,
    written: Assignments,
}

/// The part of the list of keys that a table is read against.
#[derive(Clone, Copy)]
struct Scope<'a> {
    within: Option<(Array, usize)>,
    /// Table names down to here, each followed by a dot.
    prefix: &'a str,
}

impl Scope<'_> {
    /// Every path there is in the document or in this table of an array.
    fn all(self) -> Vec<&'static str> {
        match self.within {
            None => paths(KEYS).collect(),
            Some((array, _)) => array.keys(),
        }
    }

    /// The array of this path.
    fn array(self, path: &str) -> Option<Array> {
        let mut arrays = Array::ALL.into_iter().filter(|_| self.within.is_none());
        arrays.find(|array| array.path() == path)
    }

    /// What may stand in this table: keys, and names of tables in it.
    fn names(self) -> Vec<&'static str> {
        let mut paths = self.all();
        if self.within.is_none() {
            paths.insert(0, Array::Listener.path());
            paths.extend(Array::ALL.map(Array::path));
        }
        let mut names: Vec<&str> = Vec::new();
        for path in paths {
            let Some(rest) = path.strip_prefix(self.prefix) else {
                continue;
            };
            let name = rest.split('.').next().unwrap_or(rest);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// How a name in this table is told to people.
    fn show(self, name: &str) -> String {
        match self.within {
            None => format!("{}{name}", self.prefix),
            Some((array, index)) => format!("{}.{index}.{}{name}", array.path(), self.prefix),
        }
    }
}

impl Reader<'_> {
    fn document(&mut self, table: &DeTable<'_>) {
        self.table(
            table,
            Scope {
                within: None,
                prefix: "",
            },
        );
    }

    fn table(&mut self, table: &DeTable<'_>, scope: Scope<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let path = format!("{}{name}", scope.prefix);
            let below = format!("{path}.");
            let known = scope.all();
            if let Some(array) = scope.array(&path) {
                self.array(array, value);
            } else if let Some(path) = known.iter().find(|known| **known == path) {
                let slot = Slot {
                    within: scope.within,
                    path,
                };
                let place = self.place(value.span().start);
                self.written
                    .values
                    .insert(slot, (plain(value.get_ref()), place));
            } else if known.iter().any(|known| known.starts_with(&below)) {
                match value.get_ref() {
                    DeValue::Table(table) => self.table(
                        table,
                        Scope {
                            prefix: &below,
                            ..scope
                        },
                    ),
                    other => {
                        let found = plain(other);
                        let shown = scope.show(name);
                        let header = match scope.within {
                            None => path,
                            Some((array, _)) => format!("{}.{path}", array.path()),
                        };
                        let text = format!("{shown} is {found}; expected a table [{header}]");
                        self.problem(value.span().start, text);
                    }
                }
            } else {
                self.problem(at, unknown(name, scope));
            }
        }
    }

    fn array(&mut self, array: Array, value: &Spanned<DeValue<'_>>) {
        let path = array.path();
        let expected = format!(
            "expected [[{path}]], as often as there are {}",
            array.plural()
        );
        let DeValue::Array(tables) = value.get_ref() else {
            let text = match value.get_ref() {
                DeValue::Table(_) => format!("[{path}] is one table; {expected}"),
                other => format!("{path} is {}; {expected}", plain(other)),
            };
            self.problem(value.span().start, text);
            self.written.malformed.insert(array);
            return;
        };
        for table in tables {
            let at = table.span().start;
            let place = self.place(at);
            let known = self.written.tables.entry(array).or_default();
            let index = known.len();
            known.push(place);
            match table.get_ref() {
                DeValue::Table(table) => {
                    self.table(
                        table,
                        Scope {
                            within: Some((array, index)),
                            prefix: "",
                        },
                    );
                }
                other => {
                    self.problem(
                        at,
                        format!("{path}.{index} is {}; {expected}", plain(other)),
                    );
                }
            }
        }
    }

    fn place(&self, offset: usize) -> Place {
        Place::File {
            name: self.name.clone(),
            position: Some(self.lines.position(offset)),
        }
    }

    fn problem(&mut self, offset: usize, text: String) {
        let place = self.place(offset);
        self.problems.push(Problem::new(place, text));
    }
}

/// What to say of a name that does not exist: a misspelling, a key of another table, or neither.
fn unknown(name: &str, scope: Scope<'_>) -> String {
    let siblings = scope.names();
    let expected = if let Some(near) = nearest(name, siblings.iter().copied()) {
        format!("did you mean {}?", scope.show(near))
    } else if let Some(elsewhere) = paths(KEYS).find(|path| path.rsplit('.').next() == Some(name)) {
        format!("did you mean {elsewhere}?")
    } else {
        format!("expected one of {}", siblings.join(", "))
    };
    let shown: String = scope.show(name).chars().take(100).collect();
    format!("unknown key {}; {expected}", shown.escape_debug())
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(items) => {
            let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Some(text.clone().into_owned()),
                _ => None,
            };
            let texts = items.iter().map(text).collect::<Option<_>>();
            texts.map_or(Value::Other("an array"), Value::Strings)
        }
        DeValue::Table(_) => Value::Other("a table"),
    }
}

#[cfg(test)]
mod tests;
