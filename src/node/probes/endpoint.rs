//! Where RAPI listens, by the command line of the running daemon.
//!
//! Source: `daemon.py: GenericMain`, which reads its options with Python's optparse. The original asks a fixed port over
//! TLS and restarts, in every run, a healthy daemon that was told to listen elsewhere or without TLS.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::files::read_text;
use crate::layout::{Layout, Service};
use crate::node::daemons::RAPI;

/// Where and how to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// An address or a name.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Endpoint {
    /// That of the running daemon; without one, or without options, `rapi_ip` and the usual port.
    pub(super) fn find(layout: &Layout, rapi_ip: &str) -> Self {
        let usual = Self { host: rapi_ip.to_owned(), port: layout.port(Service::Rapi), tls: true };
        match command_line(layout) {
            Some(arguments) => usual.with_options(&arguments),
            None => usual,
        }
    }

    fn with_options(mut self, arguments: &[String]) -> Self {
        for (option, value) in options(arguments) {
            match option {
                Known::NoSsl => self.tls = false,
                Known::Port => self.port = value.parse().unwrap_or(self.port),
                // Bound to everything it is found at the usual address too.
                Known::Bind if value.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) => {}
                Known::Bind if value.is_empty() => {}
                Known::Bind => value.clone_into(&mut self.host),
            }
        }
        self
    }

    /// For messages and the `Host` header.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Bind,
    NoSsl,
    Port,
}

/// The arguments after the program's name; `None` when the pid file leads to no running RAPI.
fn command_line(layout: &Layout) -> Option<Vec<String>> {
    let pid: u32 = read_text(&layout.pid_file(RAPI), 64).ok()?.trim().parse().ok()?;
    let bytes = fs::read(layout.proc().join(pid.to_string()).join("cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let arguments: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    let is_rapi = |argument: &String| Path::new(argument).file_name().is_some_and(|name| name == RAPI);
    // The first words are Python and its own options.
    let program = arguments.iter().position(is_rapi)?;
    Some(arguments[program + 1..].to_vec())
}

/// The options that matter, each with its value, in order. Long ones may be shortened; short ones may share a word.
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
            // -f and -d have no value; whatever comes first with one takes the rest of the word, or the next.
            let with_value = cluster.trim_start_matches(['f', 'd']);
            let mut letters = with_value.chars();
            let Some(letter) = letters.next() else { continue };
            let value = Some(letters.as_str()).filter(|value| !value.is_empty()).or_else(|| rest.next());
            let option = match letter {
                'b' => Known::Bind,
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
        crate::fuzz_tests::fuzz_text(&seeds, |text| {
            let arguments: Vec<&str> = text.split('\0').collect();
            drop(with(&arguments));
        });
    }

    fn with(arguments: &[&str]) -> (String, bool) {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let usual = Endpoint { host: "127.0.0.1".into(), port: 5080, tls: true };
        let endpoint = usual.with_options(&arguments);
        (endpoint.authority(), endpoint.tls)
    }

    #[test]
    fn the_daemon_s_own_options_say_where_it_listens() {
        for (arguments, authority, tls) in [
            (&["-b", "127.0.0.1", "--require-authentication"][..], "127.0.0.1:5080", true),
            (&["-b", "0.0.0.0"], "127.0.0.1:5080", true),
            (&["-b", "::"], "127.0.0.1:5080", true),
            (&["-b", ""], "127.0.0.1:5080", true),
            (&["--bind=10.0.0.5", "--port=5081"], "10.0.0.5:5081", true),
            (&["--bi", "fd00::1", "--po", "5081", "--no-s"], "[fd00::1]:5081", false),
            (&["-fdb10.0.0.5", "-p5081"], "10.0.0.5:5081", true),
            (&["-f", "-d", "-p", "1", "-p", "2"], "127.0.0.1:2", true),
            (&["--no-ssl", "--no-user-checks", "--syslog", "no"], "127.0.0.1:5080", false),
            (&["-K", "-b", "-p", "x"], "127.0.0.1:5080", true),
            (&["-i", "-p5"], "127.0.0.1:5080", true),
            (&["--", "-p", "7"], "127.0.0.1:5080", true),
            (&["-p"], "127.0.0.1:5080", true),
            (&["-"], "127.0.0.1:5080", true),
        ] {
            assert_eq!(with(arguments), (authority.to_owned(), tls), "{arguments:?}");
        }
    }
}
