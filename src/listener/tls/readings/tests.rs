//! Files that change in every way in which operators and their tools change them.

use std::fs;

use super::super::super::certificates::tests::Directory;
use super::*;

/// Reads the file and then makes it look as old as one that nobody has touched for a while.
fn settled(path: &Path) -> Readings {
    age(path);
    let mut readings = Readings::default();
    readings.read(path).unwrap();
    assert!(!readings.are_outdated(), "nothing has happened");
    readings
}

fn age(path: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(long_ago).unwrap();
}

#[test]
fn a_file_that_is_written_over_has_changed() {
    let home = Directory::new();
    let path = home.file("a", "one");
    let before = settled(&path);
    home.file("a", "two");
    assert!(before.are_outdated());
    assert!(!before.are_as(&settled(&path)));
}

/// As tools do that want the file whole at any time. It may even be older than the one that it replaces.
#[test]
fn a_file_that_is_renamed_onto_another_has_changed() {
    let home = Directory::new();
    let path = home.file("a", "one");
    let before = settled(&path);
    let other = home.file("b", "two");
    age(&other);
    fs::rename(other, &path).unwrap();
    assert!(before.are_outdated());
}

/// As orchestrators do with what they mount: the link that is swapped is that of a folder on the way.
#[cfg(unix)]
#[test]
fn a_link_that_points_elsewhere_has_changed() {
    use std::os::unix::fs::symlink;
    let home = Directory::new();
    for (folder, text) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(home.path().join(folder)).unwrap();
        age(&home.file(&format!("{folder}/a"), text));
    }
    symlink("v1", home.path().join("now")).unwrap();
    let path = home.path().join("now/a");
    let before = settled(&path);
    symlink("v2", home.path().join("next")).unwrap();
    fs::rename(home.path().join("next"), home.path().join("now")).unwrap();
    assert!(before.are_outdated());
}

#[test]
fn a_missing_file_is_an_error_until_it_is_there() {
    let home = Directory::new();
    let path = home.path().join("a");
    let mut readings = Readings::default();
    let error = readings.read(&path).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    assert!(!readings.are_outdated(), "it is still missing");
    home.file("a", "one");
    assert!(readings.are_outdated());
}

/// The clock of the file system may stand still between two changes, and the length stay as it was.
#[test]
fn a_file_that_was_young_is_looked_at_again_and_its_contents_tell() {
    let home = Directory::new();
    let path = home.file("a", "one");
    let mut young = Readings::default();
    young.read(&path).unwrap();
    assert!(young.are_outdated());
    let again = settled(&path);
    assert!(young.are_as(&again), "nothing was written");
}
