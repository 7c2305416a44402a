//! Sockets of the internet, and what the system is told about them.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

use super::options::TcpOptions;

/// How often the system asks a silent peer, a keepalive time apart each, before it gives the connection up.
const PROBES: u32 = 3;

/// Binds an address. The port is free again at once after a stop. Must be called inside the runtime.
///
/// What is told of the sockets is told once, to the one that listens: those that it accepts inherit it. The
/// buffers could not be told later at all, for what they allow is agreed on while a connection is made.
///
/// # Errors
///
/// The address is taken, not this machine's, or not allowed.
pub fn bind(address: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(options.nodelay)?;
    if !options.keepalive.is_zero() {
        let keepalive = TcpKeepalive::new()
            .with_time(options.keepalive)
            .with_interval(options.keepalive)
            .with_retries(PROBES);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::*;

    async fn accepted(options: &TcpOptions) -> TcpStream {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), options).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        accepted.unwrap().0
    }

    // Breaks if: an option is not set before `listen`, or not inherited.
    #[tokio::test]
    async fn accepted_sockets_are_as_the_options_say() {
        let stream = accepted(&TcpOptions {
            nodelay: false,
            keepalive: Duration::from_secs(77),
            backlog: 7,
            receive_buffer: Some(10_000),
            send_buffer: Some(20_000),
        })
        .await;
        let socket = SockRef::from(&stream);
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 77);
        assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 77);
        // Linux adds as much again for its own use.
        assert_eq!(socket.recv_buffer_size().unwrap(), 20_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 40_000);
    }

    #[tokio::test]
    async fn by_default_small_writes_leave_at_once_and_the_rest_is_the_systems() {
        let stream = accepted(&TcpOptions::default()).await;
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
    }
}
