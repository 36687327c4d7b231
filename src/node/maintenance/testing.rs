//! A node below a temporary directory, with programs that write down how they are called.

use std::fs;
use std::path::Path;

use crate::files::replace;
use crate::layout::Layout;
use crate::node::process::testing::script;

pub(super) struct Fixture {
    directory: tempfile::TempDir,
    pub(super) layout: Layout,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let root = directory.path().join("node3.example.com");
        let layout = Layout::new(Some(root.into()), Some("node3.example.com".into()))
            .unwrap()
            .with_machine(directory.path());
        Self { directory, layout }
    }

    pub(super) fn file(&self, path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(path, content.as_bytes(), |_| Ok(())).map(drop).unwrap();
    }

    pub(super) fn run_file(&self, relative: &str, content: &str) {
        self.file(&self.layout.run_dir(relative), content);
    }

    pub(super) fn ssconf(&self, key: &str, content: &str) {
        self.file(&self.layout.ssconf(key), content);
    }

    pub(super) fn program(&self, name: &str, text: &str) {
        let calls = self.directory.path().join("calls");
        let text = format!("echo {name} \"$@\" >> {}\n{text}", calls.display());
        script(&self.layout.program(name), &text);
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
