//! The addresses of a network interface, as the kernel has them now.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// The addresses of the interface of this name, such as `br0`, in the kernel's order; empty when there is no
/// such interface.
///
/// # Errors
/// The kernel's.
pub(super) fn addresses(interface: &str) -> io::Result<Vec<IpAddr>> {
    let own = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    Ok(own
        .filter_map(|entry| {
            let address = entry.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address_and_none_has_none() {
        assert!(addresses("lo").unwrap().contains(&"127.0.0.1".parse().unwrap()));
        assert_eq!(addresses("no such one").unwrap(), Vec::<IpAddr>::new());
    }
}
