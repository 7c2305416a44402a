//! Sockets in the file system.
//!
//! Invariants:
//!
//! - Nothing but a socket is ever removed or replaced, and no socket on which somebody listens.
//! - At the end only our own file is removed: who moved another one into its place keeps it.
//! - There is no moment in which somebody can connect whom the permissions would keep out.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// The file of a socket that is bound. It is removed when this is dropped.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl File {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // The next start removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket with these permissions, in place of one that was left behind. Must be called inside the
/// runtime.
///
/// # Errors
///
/// The path is taken by something else, somebody listens there, or it is not allowed.
pub fn bind(path: &Path, mode: u32, backlog: i32) -> io::Result<(UnixListener, File)> {
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = File {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    // Nobody can connect before it listens.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.set_nonblocking(true)?;
    socket.listen(backlog)?;
    let listener = UnixListener::from_std(net::UnixListener::from(socket))?;
    Ok((listener, file))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket that nobody listens on any more.
fn clear(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        let what = "there is something else than a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let knock = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    knock.set_nonblocking(true)?;
    match knock.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => {
            let what = "another process listens there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificates::tests::Directory;
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_and_is_gone_with_its_listener() {
        let home = Directory::new();
        let path = home.path().join("socket");
        let (listener, file) = bind(&path, 0o640, 16).unwrap();
        assert_eq!(mode(&path), 0o640);
        drop(listener);
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_crash_left_behind_is_replaced_and_who_listens_is_not() {
        let home = Directory::new();
        let path = home.path().join("socket");
        let (listener, file) = bind(&path, 0o600, 16).unwrap();
        let error = bind(&path, 0o600, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // The process ends without a goodbye: nobody listens, and the file stays.
        drop(listener);
        std::mem::forget(file);
        let (_listener, _file) = bind(&path, 0o600, 16).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let home = Directory::new();
        let path = home.path().join("letter");
        fs::write(&path, "dear reader").unwrap();
        let error = bind(&path, 0o600, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear reader");
    }

    #[tokio::test]
    async fn a_file_that_somebody_put_in_its_place_stays() {
        let home = Directory::new();
        let path = home.path().join("socket");
        let (_listener, file) = bind(&path, 0o600, 16).unwrap();
        fs::rename(&path, home.path().join("elsewhere")).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
