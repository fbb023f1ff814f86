//! TCP between hosts.

use nix::sys::socket::sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpNoDelay, TcpUserTimeout};
use nix::sys::socket::{AddressFamily, SockaddrLike as _, setsockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::AsFd;

/// After so many seconds without an answer a connection is taken for broken, whether anything was sent or not: keep-alive
/// says nothing while data waits for an answer, and the other limit says nothing while none does.
const SILENCE: u32 = 10;

/// Listens at this port of all addresses of this host; 0 is any free port.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    // A host may have no IPv6.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Has a connection end when its other end doesn't answer any more, and small messages leave at once.
pub fn watch_over(connection: &impl AsFd) -> io::Result<()> {
    setsockopt(connection, TcpNoDelay, &true)?;
    setsockopt(connection, KeepAlive, &true)?;
    setsockopt(connection, TcpKeepIdle, &(SILENCE / 2))?;
    setsockopt(connection, TcpKeepInterval, &1)?;
    setsockopt(connection, TcpKeepCount, &(SILENCE / 2))?;
    setsockopt(connection, TcpUserTimeout, &(SILENCE * 1000))?;
    Ok(())
}

/// The addresses of this host's interfaces that are up, but for those that only a neighbour on the same wire could use.
pub fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut found = Vec::new();
    for address in interfaces.filter_map(|interface| interface.address) {
        let ip = match address.family() {
            Some(AddressFamily::Inet) => address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip())),
            Some(AddressFamily::Inet6) => address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())),
            _ => None,
        };
        if let Some(ip) = ip
            && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_found_at_its_addresses() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let local = addresses().into_iter().find(IpAddr::is_loopback).expect("there is a loopback");
        let connection = std::net::TcpStream::connect((local, port)).unwrap();
        watch_over(&connection).unwrap();
        assert!(listen(port).is_err(), "the port is taken");
    }
}
