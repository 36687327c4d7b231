//! Where RAPI listens, according to the running daemon's command line.
//!
//! Source: `daemon.py: GenericMain`, which reads its options with Python's optparse. The original asks a
//! fixed port over TLS and restarts, in every run, a healthy daemon that was told to listen elsewhere or
//! without TLS.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::cluster::{LONGEST_QUOTE, quoted};
use crate::files::read_text;
use crate::layout::{Layout, Service};
use crate::node::daemons::RAPI;
use crate::node::proc::{self, pid_in};

/// Where and how to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Addresses or names. The daemon listens at one of them at least; empty if unknown.
    pub(super) hosts: Vec<String>,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// Why it may listen elsewhere. A missing answer then means nothing.
    pub(super) doubt: Option<String>,
}

/// What is known about the daemon's arguments.
#[derive(Debug, PartialEq, Eq)]
enum CommandLine {
    /// Those after the program's name.
    Arguments(Vec<String>),
    /// The pid file names a process that has ended.
    Gone,
    /// They cannot be determined, and why.
    Unknown(String),
}

/// Gives the addresses of an interface.
pub(super) type Interfaces<'a> = &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

impl Endpoint {
    /// That of the running daemon; if nothing is known of it, `rapi_ip` and the usual port, with a doubt.
    pub(super) fn find(layout: &Layout, rapi_ip: &str, interfaces: Interfaces<'_>) -> Self {
        let port = match layout.port(Service::Rapi) {
            Ok(port) => port,
            Err(error) => {
                return Self { hosts: Vec::new(), port: 0, tls: true, doubt: Some(error.to_string()) };
            }
        };
        match command_line(layout) {
            CommandLine::Arguments(arguments) => Self::of(port, rapi_ip, &arguments, interfaces),
            CommandLine::Gone => Self::of(port, rapi_ip, &[], interfaces),
            CommandLine::Unknown(why) => {
                Self { doubt: Some(why), ..Self::of(port, rapi_ip, &[], interfaces) }
            }
        }
    }

    fn of(usual_port: u16, rapi_ip: &str, arguments: &[String], interfaces: Interfaces<'_>) -> Self {
        let mut endpoint = Self { hosts: Vec::new(), port: usual_port, tls: true, doubt: None };
        // Without an address it is the unspecified one of the cluster's family (`daemon.py: GenericMain`).
        let (mut bind, mut interface) = ("::", None);
        for (option, value) in options(arguments) {
            match option {
                Known::NoSsl => endpoint.tls = false,
                Known::Port => match value.parse() {
                    Ok(port) => endpoint.port = port,
                    Err(_) => endpoint.doubt = Some(format!("its port is {}", quoted(value, LONGEST_QUOTE))),
                },
                Known::Bind => bind = value,
                Known::Interface => interface = Some(value),
            }
        }
        match interface {
            Some(interface) => match listening(interface, interfaces) {
                Ok(hosts) => endpoint.hosts = hosts,
                Err(why) => endpoint.doubt = Some(why),
            },
            None => endpoint.hosts = bound(bind, rapi_ip),
        }
        endpoint
    }
}

/// Where to find a daemon that listens at `bind`. Bound to everything it is found at the usual address too;
/// but not over IPv4 when the kernel keeps the families apart (`net.ipv6.bindv6only`).
fn bound(bind: &str, rapi_ip: &str) -> Vec<String> {
    let everywhere: &[&str] = match bind.parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => &["127.0.0.1"],
        Ok(IpAddr::V6(address)) if address.is_unspecified() => &["127.0.0.1", "::1"],
        _ if bind.is_empty() => &["127.0.0.1"],
        _ => return vec![bind.to_owned()],
    };
    let loopback = everywhere.iter().copied().filter(|host| *host != rapi_ip);
    std::iter::once(rapi_ip).chain(loopback).map(str::to_owned).collect()
}

/// The addresses of an interface, of which Ganeti takes the first of the cluster's family. It cannot listen
/// at a link-local one.
fn listening(interface: &str, interfaces: Interfaces<'_>) -> Result<Vec<String>, String> {
    let named = quoted(interface, LONGEST_QUOTE);
    let addresses = interfaces(interface)
        .map_err(|error| format!("the addresses of its interface {named} cannot be read: {error}"))?;
    let is_of_one_link =
        |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let hosts: Vec<String> =
        addresses.iter().filter(|address| !is_of_one_link(address)).map(IpAddr::to_string).collect();
    match hosts.is_empty() {
        true => Err(format!("its interface {named} is not there or has no address")),
        false => Ok(hosts),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Bind,
    Interface,
    NoSsl,
    Port,
}

fn command_line(layout: &Layout) -> CommandLine {
    let path = layout.pid_file(RAPI);
    let text = match read_text(&path, 64) {
        Ok(text) => text,
        Err(error) => return CommandLine::Unknown(format!("cannot read '{}': {error}", path.display())),
    };
    let Some(pid) = pid_in(&text) else {
        let found = quoted(&text, LONGEST_QUOTE);
        return CommandLine::Unknown(format!(
            "'{}' contains {found} instead of a process number",
            path.display()
        ));
    };
    let bytes = match proc::look(layout, pid) {
        Ok(Some(seen)) => seen.command_line,
        Ok(None) => return CommandLine::Gone,
        Err(error) => return CommandLine::Unknown(error.to_string()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let arguments: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    let is_rapi = |argument: &String| Path::new(argument).file_name().is_some_and(|name| name == RAPI);
    // The first words are Python and its own options.
    match arguments.iter().position(is_rapi) {
        Some(program) => CommandLine::Arguments(arguments[program + 1..].to_vec()),
        None => {
            CommandLine::Unknown(format!("'{}' names process {pid}, which is not {RAPI}", path.display()))
        }
    }
}

/// The options that matter, each with its value, in order. Long ones may be shortened; short ones may share a
/// word.
fn options(arguments: &[String]) -> Vec<(Known, &str)> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            match long_option(name) {
                Some(Known::NoSsl) => found.push((Known::NoSsl, "")),
                Some(option) => found.extend(value.or_else(|| rest.next()).map(|value| (option, value))),
                None => {}
            }
        } else if let Some(cluster) = argument.strip_prefix('-') {
            // -f and -d have no value; the first option that has one takes the rest of the word, or the next
            // word.
            let with_value = cluster.trim_start_matches(['f', 'd']);
            let mut letters = with_value.chars();
            let Some(letter) = letters.next() else { continue };
            let value = Some(letters.as_str()).filter(|value| !value.is_empty()).or_else(|| rest.next());
            let option = match letter {
                'b' => Known::Bind,
                'i' => Known::Interface,
                'p' => Known::Port,
                _ => continue,
            };
            found.extend(value.map(|value| (option, value)));
        }
    }
    found
}

fn long_option(name: &str) -> Option<Known> {
    let is = |full: &str, shortest: usize| name.len() >= shortest && full.starts_with(name);
    if is("bind", 1) {
        Some(Known::Bind)
    } else if is("interface", 1) {
        Some(Known::Interface)
    } else if is("port", 1) {
        Some(Known::Port)
    } else if is("no-ssl", 4) {
        Some(Known::NoSsl)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_line_of_rapis_leads_somewhere() {
        let seeds = ["-b\x000.0.0.0\0--port=5081\0--no-ssl", "-fdb10.0.0.5\0-p5081", "--bi\0fd00::1\0--\0-p"];
        crate::testing::fuzz::fuzz_text(&seeds, |text| {
            let arguments: Vec<&str> = text.split('\0').collect();
            drop(with(&arguments));
        });
    }

    fn interfaces(name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses: &[&str] = match name {
            "br0" => &["10.0.0.5", "fe80::1", "fd00::5"],
            "link" => &["fe80::1"],
            "broken" => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => &[],
        };
        Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    fn with(arguments: &[&str]) -> Endpoint {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Endpoint::of(5080, "127.0.0.1", &arguments, &interfaces)
    }

    const BOTH: &str = "127.0.0.1 ::1";

    #[test]
    fn the_daemon_s_own_options_say_where_it_listens() {
        for (arguments, hosts, port, tls) in [
            (&[][..], BOTH, 5080, true),
            (&["-b", "127.0.0.1", "--require-authentication"], "127.0.0.1", 5080, true),
            (&["-b", "0.0.0.0"], "127.0.0.1", 5080, true),
            (&["-b", "::"], BOTH, 5080, true),
            (&["-b", ""], "127.0.0.1", 5080, true),
            (&["--bind=10.0.0.5", "--port=5081"], "10.0.0.5", 5081, true),
            (&["--bi", "fd00::1", "--po", "5081", "--no-s"], "fd00::1", 5081, false),
            (&["-fdb10.0.0.5", "-p5081"], "10.0.0.5", 5081, true),
            (&["-f", "-d", "-p", "1", "-p", "2"], BOTH, 2, true),
            (&["--no-ssl", "--no-user-checks", "--syslog", "no"], BOTH, 5080, false),
            (&["--", "-p", "7"], BOTH, 5080, true),
            (&["-p"], BOTH, 5080, true),
            (&["-"], BOTH, 5080, true),
        ] {
            let Endpoint { hosts: found, port: found_port, tls: found_tls, doubt } = with(arguments);
            let found = (found.join(" "), found_port, found_tls, doubt);
            assert_eq!(found, (hosts.to_owned(), port, tls, None), "{arguments:?}");
        }
    }

    #[test]
    fn r22_an_interface_is_asked_at_its_addresses() {
        for arguments in [&["-i", "br0"][..], &["-fi", "br0"], &["--interface=br0"], &["--i", "br0"]] {
            let endpoint = with(arguments);
            assert_eq!((endpoint.hosts.join(" ").as_str(), endpoint.doubt), ("10.0.0.5 fd00::5", None));
        }
        for name in ["br1", "link", "broken", "-p5"] {
            let endpoint = with(&["-i", name]);
            assert_eq!(endpoint.hosts, Vec::<String>::new());
            assert!(endpoint.doubt.unwrap().contains(&format!("its interface '{name}'")), "{name}");
        }
    }

    #[test]
    fn a_port_that_python_reads_and_we_do_not_is_in_doubt() {
        assert_eq!(with(&["-p", "0x13d8"]).doubt.as_deref(), Some("its port is '0x13d8'"));
    }

    #[test]
    fn everything_is_asked_by_the_given_address_first() {
        assert_eq!(bound("::", "192.0.2.9"), ["192.0.2.9", "127.0.0.1", "::1"]);
        assert_eq!(bound("::", "::1"), ["::1", "127.0.0.1"]);
    }
}
