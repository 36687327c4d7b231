use super::*;

struct Fixture {
    directory: tempfile::TempDir,
    path: PathBuf,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.u.data");
    Fixture { directory, path }
}

fn content(path: &Path) -> String {
    crate::files::read_text(path, 1000).unwrap()
}

#[test]
fn a_second_run_is_kept_out_until_the_first_ends_also_after_a_save() {
    let Fixture { directory: _directory, path } = fixture();
    let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    let refused = StateFile::open(&Armed::for_test(), &path, "1").unwrap_err().to_string();
    assert!(refused.starts_with("Can't acquire lock on state file "), "{refused}");
    state.set_boot_id("n", "b");
    file.save(&state).unwrap();
    assert!(StateFile::open(&Armed::for_test(), &path, "1").is_err());
    drop(file);
    let (_file, loaded) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    assert_eq!(loaded.boot_id("n"), Some("b"));
}

#[test]
fn a_peek_changes_nothing_whatever_it_finds() {
    let Fixture { directory, path } = fixture();
    assert_eq!(StateFile::peek(&path).unwrap(), State::default());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    replace(&path, b"nonsense", |_| Ok(())).unwrap();
    assert_eq!(StateFile::peek(&path).unwrap(), State::default());
    replace(&path, br#"{"node":{"n":{"bootid":"b"}}}"#, |_| Ok(())).unwrap();
    let holder = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    assert_eq!(StateFile::peek(&path).unwrap().boot_id("n"), Some("b"), "locked or not");
    drop(holder);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_unchanged_state_is_only_touched() {
    let Fixture { directory: _directory, path } = fixture();
    let text = r#"{"node":{"n":{"bootid":"b"}}}"#;
    replace(&path, text.as_bytes(), |_| Ok(())).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH;
    File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    file.save(&state).unwrap();
    assert_eq!(content(&path), text, "the original text is kept to the byte");
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > long_ago);
}

#[test]
fn bad_content_is_set_aside_and_the_run_goes_on() {
    for bad in [&b"{\"instance\": {"[..], b"nonsense", b"[]", b"\xff\xfe", b"{\"node\": {\"n\": 1}}"] {
        let Fixture { directory: _directory, path } = fixture();
        replace(&path, bad, |_| Ok(())).unwrap();
        let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "20261122-101632").unwrap();
        assert_eq!(state, State::default());
        file.save(&state).unwrap();
        let aside = path.with_file_name("watcher.u.data.bad-20261122-101632");
        assert_eq!(fs::read(aside).unwrap(), bad);
        assert_eq!(content(&path), State::default().to_text());
    }
}

/// Without a temporary file, for which there may be no room.
fn write(path: &Path, text: &str) {
    io::Write::write_all(&mut File::create(path).unwrap(), text.as_bytes()).unwrap();
}

/// A name so long that the file can be opened, but neither a second name nor a temporary file can be created
/// next to it, as on a full disk.
fn cramped(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join(format!("watcher.{}.data", "u".repeat(237)))
}

#[test]
fn a_state_that_cannot_be_written_is_good_for_a_run_and_each_save_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = cramped(&directory);
    for content in [None, Some("")] {
        if let Some(content) = content {
            write(&path, content);
        }
        let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert!(file.save_first(&state).is_err());
        state.set_boot_id("n", "b");
        assert!(file.save_change(&state).unwrap_err().to_string().starts_with("cannot write '"));
        assert!(file.save(&state).is_err());
        assert!(StateFile::open(&Armed::for_test(), &path, "1").is_err(), "it is locked");
    }
}

#[test]
fn bad_content_that_cannot_be_kept_is_not_overwritten_and_the_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = cramped(&directory);
    write(&path, "nonsense");
    let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    state.set_boot_id("n", "b");
    let refused = file.save(&state).unwrap_err().to_string();
    assert!(refused.ends_with("so it is not replaced"), "{refused}");
    assert_eq!(content(&path), "nonsense");
}

#[test]
fn what_has_the_name_for_bad_content_already_is_not_overwritten_either() {
    let Fixture { directory: _directory, path } = fixture();
    write(&path, "nonsense");
    let aside = path.with_file_name("watcher.u.data.bad-1");
    write(&aside, "earlier");
    let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    assert!(file.save_first(&state).is_err());
    assert_eq!((content(&path), content(&aside)), ("nonsense".into(), "earlier".into()));
    fs::remove_file(&aside).unwrap();
    file.save(&state).unwrap();
    assert_eq!((content(&path), content(&aside)), (state.to_text(), "nonsense".into()));
}

#[test]
fn what_is_no_file_in_its_place_is_set_aside() {
    type Make = fn(&Path);
    let make: [Make; 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
    ];
    for make in make {
        let Fixture { directory, path } = fixture();
        make(&path);
        assert_eq!(StateFile::peek(&path).unwrap(), State::default());
        let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        file.save(&state).unwrap();
        let aside = directory.path().join("watcher.u.data.bad-1");
        assert!(!fs::symlink_metadata(aside).unwrap().is_file());
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }
}

/// F6: one EIO set the state aside, and with it all tries. Reading at an impossible offset is a kernel error.
#[test]
fn an_error_of_reading_is_no_bad_content() {
    let Fixture { directory, path } = fixture();
    replace(&path, b"{}", |_| Ok(())).unwrap();
    let only_writable = File::options().write(true).open(&path).unwrap();
    let error = read(&only_writable, &path).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the state file"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_one() {
    let Fixture { directory, path } = fixture();
    replace(&directory.path().join("watcher.u.dataAbCd3f.new"), b"{", |_| Ok(())).unwrap();
    let _held = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_file_is_an_empty_state_and_nothing_is_set_aside() {
    let Fixture { directory, path } = fixture();
    replace(&path, b"", |_| Ok(())).unwrap();
    let (_file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
    assert_eq!(state, State::default());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
