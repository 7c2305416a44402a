//! Files that change under a listener: rightly, wrongly, half, and back.

use rcgen::CertificateParams;

use super::super::super::certificates::tests::Directory;
use super::super::authority::{Authority, named};
use super::*;

struct Home {
    directory: Directory,
    authority: Authority,
    keeper: Arc<Keeper>,
}

const FIRST: &str = "first.example.com";

impl Home {
    fn new() -> Self {
        let directory = Directory::new();
        let authority = Authority::new("CA");
        write(&directory, &authority, &named(FIRST));
        let options = options(&directory);
        let keeper = Keeper::new("door".into(), &options).unwrap();
        Self {
            directory,
            authority,
            keeper: Arc::new(keeper),
        }
    }

    /// Puts another certificate and its key in place.
    fn write(&self, parameters: &CertificateParams) {
        write(&self.directory, &self.authority, parameters);
    }

    /// The name in the certificate that clients are shown.
    fn shown(&self) -> String {
        let setup = self.keeper.acceptor().setup();
        let until = setup.dates[0].until.unwrap();
        format!("{until}")
    }

    fn tally(&self) -> (u64, u64, bool) {
        let tally = self.keeper.status().tally;
        (tally.successes, tally.failures, tally.failing)
    }
}

fn options(directory: &Directory) -> TlsOptions {
    let path = |name| directory.path().join(name);
    TlsOptions::showing(path("a.pem"), path("a.key"))
}

fn write(directory: &Directory, authority: &Authority, parameters: &CertificateParams) {
    let leaf = authority.sign(parameters);
    directory.file("a.pem", leaf.certificate.pem());
    directory.file("a.key", leaf.key.serialize_pem());
}

/// A certificate that can be told from others by its last day.
fn until(days: u32) -> CertificateParams {
    let mut parameters = named(FIRST);
    parameters.not_after = (SystemTime::now() + DAY * days).into();
    parameters
}

#[test]
fn what_changes_is_in_force_and_what_does_not_is_not_counted() {
    let home = Home::new();
    let first = home.shown();
    home.keeper.look();
    assert_eq!((home.shown(), home.tally()), (first.clone(), (0, 0, false)));
    let setup = home.keeper.acceptor().setup();
    home.write(&until(100));
    home.keeper.look();
    assert_ne!(home.shown(), first);
    assert_eq!(home.tally(), (1, 0, false));
    // Who is in the middle of something keeps what it began with.
    assert_eq!(format!("{}", setup.dates[0].until.unwrap()), first);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_once_until_it_changes_again() {
    let home = Home::new();
    let first = home.shown();
    for (round, wrong) in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nA"]
        .into_iter()
        .enumerate()
    {
        home.directory.file("a.pem", wrong);
        for _ in 0..3 {
            home.keeper.look();
        }
        assert_eq!(home.tally(), (0, round as u64 + 1, true));
        assert_eq!(home.shown(), first);
    }
    let last_success = home.keeper.status().tally.last_success;
    home.write(&until(100));
    home.keeper.look();
    assert_ne!(home.shown(), first);
    assert_eq!(home.tally(), (1, 3, false));
    assert!(home.keeper.status().tally.last_success > last_success);
}

#[test]
fn the_old_file_that_comes_back_ends_the_failure() {
    let home = Home::new();
    let first = home.shown();
    let old = std::fs::read(home.directory.path().join("a.pem")).unwrap();
    std::fs::remove_file(home.directory.path().join("a.pem")).unwrap();
    home.keeper.look();
    assert_eq!(home.tally(), (0, 1, true));
    home.directory.file("a.pem", old);
    home.keeper.look();
    assert_eq!((home.shown(), home.tally()), (first, (1, 1, false)));
}

/// Certificate first, key later, as most tools write them.
#[test]
fn a_certificate_waits_for_its_key() {
    let home = Home::new();
    let first = home.shown();
    let leaf = home.authority.sign(&until(100));
    home.directory.file("a.pem", leaf.certificate.pem());
    home.keeper.look();
    assert_eq!((home.shown(), home.tally()), (first.clone(), (0, 1, true)));
    home.directory.file("a.key", leaf.key.serialize_pem());
    home.keeper.look();
    assert_ne!(home.shown(), first);
    assert_eq!(home.tally(), (1, 1, false));
}

#[test]
fn one_that_has_expired_does_not_replace_one_that_has_not() {
    let home = Home::new();
    let first = home.shown();
    let mut expired = named(FIRST);
    expired.not_after = (SystemTime::now() - DAY / 2).into();
    home.write(&expired);
    home.keeper.look();
    assert_eq!((home.shown(), home.tally()), (first.clone(), (0, 1, true)));
    let error = home
        .keeper
        .prepare(&options(&home.directory))
        .err()
        .unwrap();
    assert!(matches!(error, Error::NotNow { .. }), "{error}");
    // At the start there is nothing better.
    let keeper = Keeper::new("door".into(), &options(&home.directory));
    keeper.expect("it has no other");
}

#[test]
fn a_reload_is_prepared_and_then_applied_or_not() {
    let home = Home::new();
    let first = home.shown();
    let other = Directory::new();
    write(&other, &home.authority, &until(100));
    let prepared = home.keeper.prepare(&options(&other)).unwrap();
    assert_eq!((home.shown(), home.tally()), (first.clone(), (0, 0, false)));
    prepared.apply();
    let second = home.shown();
    assert_ne!(second, first);
    assert_eq!(home.tally(), (1, 0, false));
    // From now on it is those files that are looked after.
    home.write(&until(200));
    home.keeper.look();
    assert_eq!(home.shown(), second);
    write(&other, &home.authority, &until(200));
    home.keeper.look();
    assert_ne!(home.shown(), second);
    assert!(home.keeper.prepare(&options(&Directory::new())).is_err());
    assert_eq!(home.tally(), (2, 1, true));
}

#[tokio::test]
async fn the_watch_notices_by_itself() {
    let home = Home::new();
    let first = home.shown();
    let mut options = options(&home.directory);
    options.reload_interval = Duration::from_millis(10);
    home.keeper.prepare(&options).unwrap().apply();
    let watch = tokio::spawn(Arc::clone(&home.keeper).watch());
    home.write(&until(100));
    let noticed = async {
        while home.shown() == first || home.tally().2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(20), noticed).await;
    noticed.expect("the new certificate within 20 seconds");
    watch.abort();
}

#[test]
fn what_ends_soon_is_told() {
    let now = SystemTime::now();
    let told = |content, until: Option<i64>| {
        let until = until.map(|hours| unix(now) + hours * 3600);
        let path = "a".into();
        ending(
            &Date {
                path,
                content,
                until,
            },
            now,
        )
    };
    for content in [Content::Certificate, Content::Authorities] {
        assert_eq!(told(content, Some(14 * 24 + 1)), None);
        let soon = told(content, Some(13 * 24 + 1)).unwrap();
        assert_eq!(soon, "a certificate expires in 13 days");
        let late = told(content, Some(-1)).unwrap();
        assert_eq!(late, "a certificate has expired");
    }
    assert_eq!(told(Content::RevocationList, Some(1)), None);
    assert_eq!(told(Content::RevocationList, None), None);
    assert!(told(Content::RevocationList, Some(-1)).is_some());
}
