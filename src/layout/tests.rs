use super::*;

#[test]
fn any_file_of_services_gives_a_port_or_none() {
    let seeds = ["ganeti-confd 2814/udp # ours\nother 5090/tcp x ganeti-rapi\n", "ganeti-confd\t1/udp"];
    crate::testing::fuzz::fuzz_text(&seeds, |text| {
        let found = port_in(text, "ganeti-confd", "udp");
        assert!(found.is_none() || text.contains("ganeti-confd"));
    });
}

fn layout(root: &str, host: &str) -> Result<Layout, LayoutError> {
    Layout::new(Some(root.into()), Some(host.into()))
}

#[test]
fn a_real_node_uses_debian_paths() {
    let layout = Layout::new(None, Some(OsString::new())).unwrap();
    assert_eq!(layout.pause_file(), Path::new("/var/lib/ganeti/watcher.pause"));
    assert_eq!(layout.luxi_socket(), Path::new("/var/run/ganeti/socket/ganeti-query"));
    assert_eq!(layout.virtual_host(), None);
}

#[test]
fn a_virtual_node_has_every_path_below_its_root_but_not_daemon_util() {
    let layout = layout("/srv/cluster/./x/../node1.example.com/", "node1.example.com").unwrap();
    assert_eq!(
        layout.group_state("u"),
        Path::new("/srv/cluster/node1.example.com/var/lib/ganeti/watcher.u.data")
    );
    assert_eq!(layout.daemon_util(), Path::new("/usr/lib/ganeti/daemon-util"));
    assert_eq!(layout.virtual_host(), Some("node1.example.com"));
}

#[test]
fn a_site_s_own_port_counts_when_its_line_is_for_the_right_protocol() {
    let text =
        "# services\nganeti-confd 1/tcp\nganeti-confd\t2814/udp # ours\nother 5090/tcp x ganeti-rapi\nodd\n";
    assert_eq!(port_in(text, "ganeti-confd", "udp"), Some(2814));
    assert_eq!(port_in(text, "ganeti-rapi", "tcp"), Some(5090));
    assert_eq!(port_in("ganeti-rapi 99999/tcp\nganeti-rapix 1/tcp", "ganeti-rapi", "tcp"), None);
    let layout = Layout::new(None, None).unwrap().with_machine(Path::new("/nonexistent"));
    assert_eq!((layout.port(Service::Confd).unwrap(), layout.port(Service::Rapi).unwrap()), (1814, 5080));
}

#[test]
fn contradicting_variables_are_refused() {
    assert_eq!(Layout::new(Some("/a".into()), None).unwrap_err(), LayoutError::OnlyOne);
    assert_eq!(layout("a/n", "n").unwrap_err(), LayoutError::NotAbsolute("a/n".into()));
    assert_eq!(layout("/a/n", "a/n").unwrap_err(), LayoutError::BadHostname("a/n".into()));
    assert!(matches!(layout("/a/m", "n").unwrap_err(), LayoutError::Mismatch { .. }));
}
