//! Host mode as an ordinary user meets it on this very system: the owner's part from an HTTPS address, what is promised and
//! what is not, and no file that was changed.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const PASS: &str = "seven lanterns over the quiet harbour";
/// An ordinary user; the tests themselves run as root.
const NOBODY: &str = "65534";
const SERVER: &str = "
import functools, http.server, ssl, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=sys.argv[1]))
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[2] + '/cert.pem', sys.argv[2] + '/key.pem')
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

struct Stage {
    folder: tempfile::TempDir,
    server: Child,
    from: String,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn sh(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["part", "tls", "home"] {
            fs::create_dir(at(name)).unwrap();
        }
        // Not by this process: a child that another test starts meanwhile would hold the file open for writing, and nobody could run it.
        sh(Command::new("cp").args([env!("CARGO_BIN_EXE_skykeep").as_ref(), at("skykeep").as_os_str()]));
        let castle =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/castle/castle.yaml")).unwrap();
        // Nobody answers there: the run ends behind the prompt.
        fs::write(
            at("part/castle.yaml"),
            castle.replace("https://eu.infisical.com", "https://localhost:1"),
        )
        .unwrap();
        let lock = r#"{"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": []}"#;
        fs::write(at("part/castle.lock"), lock).unwrap();
        let vault = at("part/vault.skv");
        let vault = vault.to_str().unwrap();
        let typed = |args: &[&str], text: &str| {
            let mut child = Command::new(at("skykeep"))
                .args(args)
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{args:?}");
        };
        typed(&["vault", "init", "--memory-mib", "64", vault], &format!("{PASS}\n"));
        for path in ["infisical/client-id", "infisical/client-secret"] {
            typed(&["vault", "put", vault, path], &format!("{PASS}\nvalue\n"));
        }
        let tls = at("tls");
        sh(Command::new("openssl").current_dir(&tls).args(
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
             -addext basicConstraints=critical,CA:FALSE"
                .split_whitespace(),
        ));
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .args([folder.path(), &tls])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        sh(Command::new("chown").args(["-R", NOBODY]).arg(at("home")));
        let from = format!("https://localhost:{}/part", port.trim());
        Stage { folder, server, from }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `apply` as an ordinary user and waits for the question; what was said until then.
    fn begin(&self, more: &[&str]) -> (Child, String) {
        let mut child = Command::new("setpriv")
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"])
            .arg(self.at("skykeep"))
            .args(["apply", "--from", &self.from, "--ca"])
            .arg(self.at("tls/cert.pem"))
            .args(more)
            .current_dir(self.at("home"))
            .env("HOME", self.at("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"Passphrase: ") && child.stderr.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            said.push(byte[0]);
        }
        (child, String::from_utf8(said).unwrap())
    }
}

/// Every file below a folder with size, owner, mode and times.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, u32, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let m = path.symlink_metadata().unwrap();
        if m.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        all.insert(
            path,
            (
                m.size(),
                m.uid(),
                m.mode(),
                m.mtime_nsec() + m.mtime() * 1_000_000_000,
                m.ctime_nsec(),
            ),
        );
    }
    all
}

fn typed(mut child: Child, line: &str) -> (String, i32) {
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    (
        String::from_utf8_lossy(&out.stderr).into_owned(),
        out.status.code().unwrap_or(-1),
    )
}

#[test]
fn an_ordinary_user_works_from_an_address_and_changes_no_file() {
    assert!(
        nix::unistd::Uid::current().is_root(),
        "this test becomes an ordinary user: run it as root"
    );
    let stage = Stage::new();
    let before = listing(stage.folder.path());
    let (child, said) = stage.begin(&["--accept-host"]);
    assert!(
        said.contains("protects your secrets less") && said.contains("Castle `rossi`, owner's part "),
        "{said}"
    );
    let pid = child.id().to_string();
    let allowed = Command::new("setpriv")
        .args([
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            "unshare",
            "-Ur",
            "true",
        ])
        .status()
        .unwrap()
        .success();
    assert_eq!(
        said.contains("no file of this system can be changed"),
        allowed,
        "{said}"
    );
    if allowed {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let writable: Vec<&str> = mounts
            .lines()
            .filter(|line| {
                line.split(' ')
                    .nth(5)
                    .is_some_and(|o| o.split(',').any(|word| word == "rw"))
            })
            .filter_map(|line| line.split(' ').nth(4))
            .collect();
        assert_eq!(writable, ["/dev/shm"], "{mounts}");
        // Root itself, looking through the same eyes, can't write there; here it can.
        let touch = |name: &str, inside: bool| {
            let path = stage.at("home").join(name);
            let mut command = if inside {
                let mut command = Command::new("nsenter");
                command.args(["-t", &pid, "-m", "touch"]);
                command
            } else {
                Command::new("touch")
            };
            command.arg(path).output().unwrap()
        };
        let refused = touch("x", true);
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"),
            "{refused:?}"
        );
        assert!(!stage.at("home/x").exists());
    }
    let (said, code) = typed(child, PASS);
    assert!(
        said.contains("Infisical at localhost can't be reached") && code == 1,
        "{said}"
    );
    let (child, _) = stage.begin(&["--accept-host"]);
    let (said, code) = typed(child, "a wrong passphrase");
    assert!(said.contains("what:") && code == 1, "{said}");
    assert_eq!(listing(stage.folder.path()), before);
    fs::write(stage.at("home/x"), "x").unwrap();
    assert_ne!(listing(stage.folder.path()), before, "the listing sees a new file");
}

#[test]
fn without_being_accepted_nothing_is_fetched_or_asked() {
    let stage = Stage::new();
    let (child, said) = stage.begin(&[]);
    assert!(
        said.contains("was not accepted") && !said.contains("Passphrase"),
        "{said}"
    );
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn an_address_that_gives_no_owners_part_is_told_in_three_parts() {
    let mut stage = Stage::new();
    let good = stage.from.clone();
    let mut told = String::new();
    fs::remove_file(stage.at("part/castle.lock")).unwrap();
    for (name, from) in [
        ("a file is missing", good.clone()),
        ("plain HTTP", good.replace("https", "http")),
        ("nobody listens", "https://localhost:1/part".to_owned()),
    ] {
        stage.from = from;
        let (child, said) = stage.begin(&["--accept-host"]);
        assert!(!said.contains("Passphrase"), "{said}");
        let _ = child.wait_with_output();
        let said = said.split("what:").nth(1).unwrap_or(&said);
        told.push_str(&format!("{name}\nwhat:{said}\n"));
    }
    insta::assert_snapshot!(told);
}
