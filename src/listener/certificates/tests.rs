//! The development set as clients, attackers and interrupted starts meet it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::super::options::{Inside, TlsOptions, TlsVersion};
use super::super::tls;
use super::{AUTHORITY, CERTIFICATE, Error, Existing, Generated, KEY, Set, VALIDITY, ensure, plan};

/// An empty directory of one test's own, removed with this value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("postbud-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        [AUTHORITY, CERTIFICATE, KEY]
            .map(|name| fs::read(self.0.join(name)).unwrap())
            .to_vec()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(directory: &Path) -> TlsOptions {
    TlsOptions {
        certificate: directory.join(CERTIFICATE),
        key: directory.join(KEY),
        minimum_version: TlsVersion::V1_2,
        inside: Inside::Mqtt,
    }
}

#[test]
fn an_empty_directory_gets_a_whole_set_and_nothing_else() {
    let home = Directory::new();
    assert_eq!(plan(home.path()).unwrap(), Generated::Created);
    assert!(home.names().is_empty());
    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Created
    );
    assert_eq!(home.names(), [AUTHORITY, KEY, CERTIFICATE]);
    assert_eq!(plan(home.path()).unwrap(), Generated::Nothing);
    tls::server_config(&options(home.path())).unwrap();
}

#[test]
fn a_missing_directory_is_created() {
    let home = Directory::new();
    let deep = home.path().join("a/b");
    assert_eq!(
        ensure(&deep, SystemTime::now()).unwrap(),
        Generated::Created
    );
    tls::server_config(&options(&deep)).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let home = Directory::new();
    ensure(home.path(), SystemTime::now()).unwrap();
    let mode = |name| {
        fs::metadata(home.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(KEY), 0o600);
    // The umask may take away more, but the certificate is no secret to its owner's group.
    assert_eq!(mode(CERTIFICATE) & !0o644, 0);
}

#[test]
fn a_set_that_is_there_stays() {
    let home = Directory::new();
    ensure(home.path(), SystemTime::now()).unwrap();
    let before = home.contents();
    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Nothing
    );
    assert_eq!(home.contents(), before);
}

#[test]
fn an_expired_set_is_made_anew_and_one_day_less_is_not() {
    let home = Directory::new();
    let long_ago = SystemTime::now() - VALIDITY;
    ensure(home.path(), long_ago).unwrap();
    let before = home.contents();
    let last_day = long_ago + VALIDITY - Duration::from_secs(36 * 3600);
    assert_eq!(ensure(home.path(), last_day).unwrap(), Generated::Nothing);
    assert_eq!(home.contents(), before);

    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Renewed
    );
    for (old, new) in before.iter().zip(home.contents()) {
        assert_ne!(*old, new);
    }
    assert_eq!(home.names(), [AUTHORITY, KEY, CERTIFICATE]);
    tls::server_config(&options(home.path())).unwrap();
    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Nothing
    );
}

/// An expired certificate of somebody's own, beside a CA of whatever kind, is not ours to replace.
#[test]
fn an_expired_pair_of_others_stays() {
    let home = Directory::new();
    ensure(home.path(), SystemTime::now()).unwrap();
    let mut theirs = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    theirs.not_before = rcgen::date_time_ymd(2001, 1, 1);
    theirs.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    home.file(CERTIFICATE, theirs.self_signed(&key).unwrap().pem());
    home.file(KEY, key.serialize_pem());
    let before = home.contents();
    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Nothing
    );
    assert_eq!(home.contents(), before);
}

#[test]
fn a_pair_without_an_authority_is_enough() {
    let home = Directory::new();
    ensure(home.path(), SystemTime::now()).unwrap();
    fs::remove_file(home.path().join(AUTHORITY)).unwrap();
    assert_eq!(
        ensure(home.path(), SystemTime::now()).unwrap(),
        Generated::Nothing
    );
    assert_eq!(home.names(), [KEY, CERTIFICATE]);
}

#[test]
fn a_half_set_is_an_error_that_names_both_halves() {
    let cases: [(&[&str], &str); 3] = [
        (
            &[KEY],
            "server.key is there but server.pem and ca.pem are missing",
        ),
        (
            &[AUTHORITY],
            "ca.pem is there but server.pem and server.key are missing",
        ),
        (
            &[CERTIFICATE, AUTHORITY],
            "server.pem and ca.pem are there but server.key is missing",
        ),
    ];
    for (present, expected) in cases {
        let home = Directory::new();
        for name in present {
            home.file(name, "mine");
        }
        let error = ensure(home.path(), SystemTime::now()).unwrap_err();
        assert!(matches!(error, Error::Incomplete { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(
            text.starts_with(&home.path().display().to_string()),
            "{text}"
        );
        for name in present {
            assert_eq!(fs::read(home.path().join(name)).unwrap(), b"mine");
        }
        assert_eq!(home.names().len(), present.len());
    }
}

/// Two brokers start at once in one directory: the later one must not mix its files into the set
/// of the earlier one.
#[test]
fn a_file_that_appears_meanwhile_stops_the_set_and_leaves_nothing_of_it() {
    let home = Directory::new();
    let set = Set::generate(SystemTime::now()).unwrap();
    home.file(CERTIFICATE, "theirs");
    let error = set.write(home.path(), Existing::Keep).unwrap_err();
    assert!(error.to_string().contains(CERTIFICATE), "{error}");
    assert_eq!(home.names(), [CERTIFICATE]);
    assert_eq!(fs::read(home.path().join(CERTIFICATE)).unwrap(), b"theirs");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let home = Directory::new();
    let file = home.file("certs", "a file, not a directory");
    let error = ensure(&file, SystemTime::now()).unwrap_err();
    assert!(
        error.to_string().starts_with(&file.display().to_string()),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_some());
}
