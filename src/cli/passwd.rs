//! `postbud passwd`: users and their passwords into the files that the broker reads.
//!
//! ```text
//!   password ─┬─> Argon2id hash        ─> FILE            ([auth.password] file)
//!             └─> SCRAM-SHA-256 verifier ─> --scram-file  ([auth.scram] file)
//! ```
//!
//! A file is replaced whole or not at all, and every line that is not the user's stays as it was: it may be one
//! that mosquitto_passwd has made. Nothing is written that the broker could not read.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::auth::entries::{self, Flaw};
use crate::auth::password::{CannotHash, Hash};
use crate::auth::scram::{self, CannotMake, Verifier};

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct Passwd {
    /// The password file; made if it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who is to have the password
    #[arg(value_name = "USER")]
    user: String,
    /// Read the password from the first line of standard input, not from the terminal
    #[arg(long, conflicts_with = "delete")]
    stdin: bool,
    /// Take the user out
    #[arg(long)]
    delete: bool,
    /// FILE is one of verifiers for SCRAM-SHA-256, not a password file
    #[arg(long, conflicts_with = "scram_file")]
    scram: bool,
    /// Do the same with this file of verifiers for SCRAM-SHA-256
    #[arg(long, value_name = "FILE")]
    scram_file: Option<PathBuf>,
}

/// Why nothing, or not everything, was done.
#[derive(Debug)]
enum Failure {
    Name(Flaw),
    Terminal(io::Error),
    Input(io::Error),
    Unlike,
    Length,
    NotText,
    Hash(CannotHash),
    Verifier(CannotMake),
    File(entries::Error),
    Nobody(String),
    Write(PathBuf, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(Flaw::Name(expected)) => {
                write!(f, "this cannot be a user name; expected {expected}")
            }
            Self::Name(flaw) => flaw.fmt(f),
            Self::Terminal(_) => f.write_str("no terminal to ask for the password; try --stdin"),
            Self::Input(_) => f.write_str("cannot read the password"),
            Self::Unlike => f.write_str("the two passwords are not the same; nothing was changed"),
            Self::Length => f.write_str("expected a password of 1 to 65,535 bytes"),
            Self::NotText => f.write_str("the password is not UTF-8, which SCRAM needs"),
            Self::Hash(error) => error.fmt(f),
            Self::Verifier(error) => error.fmt(f),
            Self::File(error) => error.fmt(f),
            Self::Nobody(user) => write!(f, "there is no user {user:?}"),
            Self::Write(path, _) => write!(f, "{}: cannot be written", path.display()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Terminal(error) | Self::Input(error) | Self::Write(_, error) => Some(error),
            Self::File(error) => error.source(),
            _ => None,
        }
    }
}

/// A file, and how its lines are read.
#[derive(Clone, Copy)]
struct Kept<'a> {
    path: &'a Path,
    scram: bool,
}

impl Kept<'_> {
    /// Whether the broker could read this.
    fn check(&self, text: &[u8]) -> Result<(), Failure> {
        let checked = match self.scram {
            true => entries::parse(self.path, text, scram::entry).map(drop),
            false => entries::parse(self.path, text, |_, it| Hash::parse(it)).map(drop),
        };
        checked.map_err(Failure::File)
    }

    /// What is kept of a password.
    fn secret(&self, password: &[u8]) -> Result<String, Failure> {
        if self.scram {
            let text = std::str::from_utf8(password).map_err(|_| Failure::NotText)?;
            let verifier = Verifier::new(text).map_err(Failure::Verifier)?;
            return Ok(verifier.to_string());
        }
        let hash = Hash::new(password).map_err(Failure::Hash)?;
        Ok(hash.to_string())
    }
}

/// Does what was asked for.
pub(super) fn run(asked: &Passwd) -> Result<(), Box<dyn Error>> {
    let first = Kept {
        path: &asked.file,
        scram: asked.scram,
    };
    let second = asked.scram_file.as_deref();
    let second = second.map(|path| Kept { path, scram: true });
    let files: Vec<Kept<'_>> = [first].into_iter().chain(second).collect();
    let done = match asked.delete {
        true => delete(&files, &asked.user),
        false => set(&files, asked),
    };
    Ok(done?)
}

fn set(files: &[Kept<'_>], asked: &Passwd) -> Result<(), Failure> {
    let user = &*asked.user;
    entries::check_name(user).map_err(Failure::Name)?;
    if files.iter().any(|file| file.scram) {
        scram::check_name(user).map_err(Failure::Name)?;
    }
    let password = match asked.stdin {
        true => from_input(&mut io::stdin().lock())?,
        false => from_terminal(user)?,
    };
    if !(1..=usize::from(u16::MAX)).contains(&password.len()) {
        return Err(Failure::Length);
    }
    // All of them first: nothing is written if one cannot be made.
    let secrets = files.iter().map(|file| file.secret(&password));
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    for (file, secret) in files.iter().zip(secrets) {
        replace(file.path, |old| {
            let new = entries::with(old, user, &secret);
            file.check(&new)?;
            Ok(new)
        })?;
    }
    Ok(())
}

fn delete(files: &[Kept<'_>], user: &str) -> Result<(), Failure> {
    let mut found = false;
    for file in files {
        let replaced = replace(file.path, |old| {
            let new = entries::without(old, user);
            let new = new.ok_or_else(|| Failure::Nobody(user.to_owned()))?;
            file.check(&new)?;
            Ok(new)
        });
        match replaced {
            Ok(()) => found = true,
            Err(Failure::Nobody(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    match found {
        true => Ok(()),
        false => Err(Failure::Nobody(user.to_owned())),
    }
}

/// The first line, without its end.
fn from_input(input: &mut impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let longest = u64::from(u16::MAX) + 3;
    let read = input.take(longest).read_until(b'\n', &mut line);
    read.map_err(Failure::Input)?;
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    Ok(line)
}

/// What is typed, twice the same, and not shown.
fn from_terminal(user: &str) -> Result<Vec<u8>, Failure> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(Failure::Terminal);
    let first = ask(&format!("Password for {user}: "))?;
    match ask("The same again: ")? == first {
        true => Ok(first.into_bytes()),
        false => Err(Failure::Unlike),
    }
}

/// Replaces a file with what `edit` makes of it, or of nothing if it is not there. Whoever opens it meanwhile sees
/// the old or the new one, whole; two of us do it one after the other.
fn replace(
    path: &Path,
    edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    let failed = |error| Failure::Write(path.to_owned(), error);
    // What a link leads to is replaced, not the link.
    let target = match fs::canonicalize(path) {
        Ok(target) => Cow::Owned(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Cow::Borrowed(path),
        Err(error) => return Err(failed(error)),
    };
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = File::open(folder).map_err(failed)?;
    // The file itself is another one afterwards, so that its folder is what can be locked.
    folder.lock().map_err(failed)?;
    let before = match fs::metadata(&target) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let old = match &before {
        Some(_) => entries::read(&target).map_err(Failure::File)?,
        None => Vec::new(),
    };
    let new = edit(&old)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let aside = target.with_file_name(name);
    let written = write(&aside, &new, before.as_ref())
        .and_then(|()| fs::rename(&aside, &target))
        .and_then(|()| folder.sync_all());
    written.map_err(|error| {
        // If it is there at all.
        let _ = fs::remove_file(&aside);
        failed(error)
    })
}

/// Writes a new file, with the mode and, where that is allowed, the owner of the old one; without one, nobody but
/// its owner may read it.
fn write(aside: &Path, text: &[u8], like: Option<&fs::Metadata>) -> io::Result<()> {
    // Somebody was stopped half way: the folder is locked, so nobody is at it.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(aside)?;
    file.write_all(text)?;
    if let Some(like) = like {
        let same = file.metadata()?;
        if (same.uid(), same.gid()) != (like.uid(), like.gid()) {
            // Only root may give files away.
            let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o777))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::certificates::tests::Directory;

    fn asked(file: &Path) -> Passwd {
        Passwd {
            file: file.to_owned(),
            user: "anna".to_owned(),
            stdin: true,
            delete: false,
            scram: false,
            scram_file: None,
        }
    }

    #[test]
    fn a_line_of_input_is_a_password() {
        for (input, password) in [
            ("secret\n", "secret"),
            ("secret\r\nmore\n", "secret"),
            (" a:b ", " a:b "),
            ("\n", ""),
            ("", ""),
        ] {
            let read = from_input(&mut input.as_bytes()).expect("it can be read");
            assert_eq!(read, password.as_bytes(), "{input:?}");
        }
        let long = vec![b'x'; 100_000];
        let read = from_input(&mut &long[..]).expect("it can be read");
        assert!(read.len() > 65_535 && read.len() < 70_000);
    }

    // Breaks if: a replaced file is readable by others than before, or something is left beside it.
    #[test]
    fn a_file_is_replaced_with_its_mode_and_a_new_one_is_private() {
        let home = Directory::new();
        let path = home.path().join("users");
        let mode = || fs::metadata(&path).expect("it is there").mode() & 0o777;
        replace(&path, |old| Ok([old, b"a\n"].concat())).expect("it can be made");
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("it is ours");
        home.file("users.new", "somebody was stopped half way");
        replace(&path, |old| Ok([old, b"b\n"].concat())).expect("it can be replaced");
        assert_eq!(mode(), 0o640);
        assert_eq!(fs::read(&path).expect("it is there"), b"a\nb\n");
        let names = fs::read_dir(home.path()).expect("it is there");
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn what_a_link_leads_to_is_replaced() {
        let home = Directory::new();
        let file = home.file("file", "old");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, |_| Ok(b"new".to_vec())).expect("it can be replaced");
        assert!(
            fs::symlink_metadata(&link)
                .expect("it is there")
                .is_symlink()
        );
        assert_eq!(fs::read(&file).expect("it is there"), b"new");
    }

    // Breaks if: a file that is wrong elsewhere is written again, or is harmed by a user that cannot be.
    #[test]
    fn nothing_is_written_that_could_not_be_read() {
        let home = Directory::new();
        let path = home.file("users", "bo:plain\n");
        let kept = Kept {
            path: &path,
            scram: false,
        };
        let secret = kept.secret(b"secret").expect("randomness");
        let failure = replace(&path, |old| {
            let new = entries::with(old, "anna", &secret);
            kept.check(&new)?;
            Ok(new)
        });
        let text = failure.expect_err("bo has no hash").to_string();
        assert!(text.contains("users:1: "), "{text}");
        assert_eq!(fs::read(&path).expect("it is there"), b"bo:plain\n");
        for user in ["", "a:b", "#a"] {
            let mut asked = asked(&path);
            asked.user = user.to_owned();
            assert!(run(&asked).is_err(), "{user:?}");
        }
        // In the form of SASLprep it would be another name.
        let mut asked = asked(&path);
        asked.user = "\u{2168}".to_owned();
        asked.scram = true;
        let text = run(&asked).expect_err("nobody could be it").to_string();
        assert!(text.contains("SASLprep"), "{text}");
    }

    #[test]
    fn a_user_is_deleted_where_it_is() {
        let home = Directory::new();
        let verifier = Verifier::new("secret").expect("randomness");
        let users = home.file("users", "#anna:\n");
        let verifiers = home.file("verifiers", format!("bo:{verifier}\nanna:{verifier}\n"));
        let mut asked = asked(&users);
        asked.delete = true;
        asked.scram_file = Some(verifiers.clone());
        run(&asked).expect("it is in one of them");
        let left = fs::read_to_string(&verifiers).expect("it is there");
        assert_eq!(left, format!("bo:{verifier}\n"));
        let text = run(&asked).expect_err("it is gone").to_string();
        assert_eq!(text, "there is no user \"anna\"");
    }
}
