//! The vault's command line as a person meets it: each test is a session whose whole text is pinned by a snapshot.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const PASS: &str = "seven lanterns over the quiet harbour";
const OTHER: &str = "nine umbrellas beside a sleepy volcano";
const WORK: &str = "--memory-mib 64";

struct Session {
    folder: tempfile::TempDir,
    text: String,
}

struct Ran {
    stdout: String,
}

impl Session {
    fn new() -> Self {
        Session {
            folder: tempfile::tempdir().unwrap(),
            text: String::new(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skykeep"));
        command
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .env_remove("EDITOR")
            .env_remove("VISUAL");
        command.args(line.split(' ').map(|word| word.replace('~', " ")));
        command
    }

    /// Runs a command (a `~` stands for a space within a word) and adds it to the session's text.
    fn run(&mut self, line: &str, stdin: &str) -> Ran {
        let command = self.command(line);
        self.finish(command, line, stdin)
    }

    fn finish(&mut self, mut command: Command, line: &str, stdin: &str) -> Ran {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that has refused by now no longer reads.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let out = child.wait_with_output().unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        let folder = self.path().to_str().unwrap().to_owned();
        let code = out.status.code().map_or("by signal".into(), |c| c.to_string());
        for part in [
            format!("$ skykeep {line}\n"),
            stdout.to_string(),
            stderr.to_string(),
            format!("-> {code}\n\n"),
        ] {
            self.text
                .push_str(&part.replace(&folder, "[folder]").replace("> \n", ">\n"));
            if !self.text.ends_with('\n') {
                self.text.push('\n');
            }
        }
        Ran {
            stdout: stdout.into_owned(),
        }
    }

    fn init(&mut self) {
        self.run(&format!("vault init {WORK} v.skv"), &format!("{PASS}\n"));
    }
}

#[test]
fn a_vault_is_made_filled_read_and_emptied() {
    let mut s = Session::new();
    s.init();
    s.run(
        "vault put v.skv infisical/client-id --note Infisical,~machine~identity",
        &format!("{PASS}\nad27b04f\n"),
    );
    s.run(
        "vault put v.skv tls/key --expires 2027-03-31",
        &format!("{PASS}\n-----BEGIN\nx\n"),
    );
    s.run("vault ls v.skv", &format!("{PASS}\n"));
    s.run("vault ls v.skv -o json", &format!("{PASS}\n"));
    s.run("vault get v.skv tls/key", &format!("{PASS}\n"));
    s.run("vault put v.skv tls/key", &format!("{PASS}\nrolled\n"));
    s.run("vault ls v.skv", &format!("{PASS}\n"));
    s.run("vault put v.skv tls/key --expires never", &format!("{PASS}\nrolled\n"));
    s.run("vault put v.skv infisical/client-id", &format!("{PASS}\nanother\n"));
    s.run("vault unlock v.skv --check", &format!("{PASS}\n"));
    s.run("vault rm v.skv tls/key", &format!("{PASS}\n"));
    s.run("vault rm v.skv tls/key", &format!("{PASS}\n"));
    s.run("vault get v.skv ../x", &format!("{PASS}\n"));
    s.run("vault put v.skv ../x", &format!("{PASS}\nv\n"));
    s.run("vault ls v.skv", &format!("{PASS}\n"));
    insta::assert_snapshot!(s.text);
}

#[test]
fn bad_passphrases_and_files_are_told_in_three_parts() {
    let mut s = Session::new();
    s.run(&format!("vault init {WORK} v.skv"), "hunter2\n");
    s.run(&format!("vault init {WORK} v.skv"), "");
    s.run(
        &format!("vault init {WORK} v.skv"),
        &format!("{}\n", "x".repeat(10_000)),
    );
    s.run("vault init --memory-mib 32 v.skv", &format!("{PASS}\n"));
    s.run("vault init --passes 2 v.skv", &format!("{PASS}\n"));
    assert!(!s.path().join("v.skv").exists(), "nothing half-made is left");
    s.init();
    s.init();
    s.run("vault ls v.skv", "Seven lanterns over the quiet harbour\n");
    s.run("vault ls v.skv", "\n");
    s.run("vault ls v.skv", "");
    s.run("vault ls v.skv", &format!("{}\n", "x".repeat(10_000)));
    s.run("vault ls missing.skv", "");
    let file = s.path().join("v.skv");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    // Said before anything is asked for.
    s.run("vault ls v.skv", "");
    std::fs::write(&file, vec![0; 5 << 20]).unwrap();
    s.run("vault put v.skv a", "");
    insta::assert_snapshot!(s.text);
}

#[test]
fn accents_typed_on_another_keyboard_open_the_vault() {
    let mut s = Session::new();
    s.run(
        &format!("vault init {WORK} v.skv"),
        "perch\u{e9} no, cavallo batteria\n",
    );
    s.run("vault unlock v.skv --check", "perche\u{301} no, cavallo batteria\n");
    assert!(s.text.trim_end().ends_with("-> 0"), "{}", s.text);
}

#[test]
fn slots_come_and_go_but_never_the_last() {
    let mut s = Session::new();
    s.init();
    let code = s
        .run(
            &format!("vault slot add {WORK} v.skv paper --recovery"),
            &format!("{PASS}\n"),
        )
        .stdout;
    let words: Vec<&str> = code
        .lines()
        .map(|line| line.trim().split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(words.len(), 12);
    for word in &words {
        s.text = s.text.replacen(&format!(" {word}\n"), " [word]\n", 1);
    }
    s.run("vault slot ls v.skv", "");
    s.run("vault slot ls v.skv -o json", "");
    s.run(
        "vault unlock v.skv --check",
        &format!("{}\n", words.join("-").to_uppercase()),
    );
    s.run(
        &format!("vault slot add {WORK} v.skv paper"),
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(
        &format!("vault slot add {WORK} v.skv Two~Words"),
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(&format!("vault passwd {WORK} v.skv"), &format!("{PASS}\n{OTHER}\n"));
    s.run("vault unlock v.skv --check", &format!("{PASS}\n"));
    s.run("vault slot rm v.skv paper", &format!("{OTHER}\n"));
    s.run("vault slot rm v.skv passphrase", &format!("{OTHER}\n"));
    s.run("vault slot rm v.skv nothing", &format!("{OTHER}\n"));
    insta::assert_snapshot!(s.text);
}

#[test]
fn a_compromised_vault_lists_what_to_roll() {
    let mut s = Session::new();
    s.init();
    s.run(
        "vault put v.skv infisical/client-id --note Infisical,~machine~identity",
        &format!("{PASS}\nad27b04f\n"),
    );
    s.run("vault put v.skv github-token", &format!("{PASS}\nghp\n"));
    std::fs::copy(s.path().join("v.skv"), s.path().join("old.skv")).unwrap();
    let castle = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/castle/castle.yaml");
    std::fs::copy(castle, s.path().join("castle.yaml")).unwrap();
    s.run(
        "vault unlock v.skv --check --castle-file castle.yaml",
        &format!("{PASS}\n"),
    );
    s.run(
        &format!("vault compromised {WORK} --castle-file castle.yaml v.skv"),
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run("vault unlock v.skv --check", &format!("{PASS}\n"));
    s.run("vault unlock old.skv --check", &format!("{PASS}\n"));
    s.run("vault put v.skv github-token", &format!("{OTHER}\nnew\n"));
    s.run("vault ls v.skv", &format!("{OTHER}\n"));
    insta::assert_snapshot!(s.text);
}

#[test]
fn two_programs_never_change_one_vault_at_once() {
    let mut s = Session::new();
    s.init();
    let mut first = s
        .command("vault put v.skv a")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first one holds the lock while it waits for its passphrase.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    s.run("vault put v.skv b", &format!("{PASS}\nvalue\n"));
    first
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{PASS}\nvalue\n").as_bytes())
        .unwrap();
    assert!(first.wait_with_output().unwrap().status.success());
    s.run("vault ls v.skv", &format!("{PASS}\n"));
    insta::assert_snapshot!(s.text);
}

#[test]
fn a_folder_that_is_full_or_closed_keeps_the_old_vault() {
    let mut s = Session::new();
    s.init();
    let file = s.path().join("v.skv");
    let before = std::fs::read(&file).unwrap();
    // A vault of 3 MiB does not take another megabyte: refused before anything is replaced.
    std::fs::write(s.path().join("large"), vec![7; 3 << 20]).unwrap();
    s.run("vault put v.skv large --from large", &format!("{PASS}\n"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(s.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "no file is left beside it: {names:?}");
    insta::assert_snapshot!(s.text);
}

fn editor(s: &Session, script: &str) -> String {
    let path = s.path().join("editor");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_edit_happens_in_memory_only_and_leaves_nothing() {
    let swap = std::fs::read_to_string("/proc/swaps").unwrap().lines().count() > 1;
    let mut s = Session::new();
    s.init();
    s.run(
        "vault put v.skv note --expires 2027-03-31",
        &format!("{PASS}\nbefore\n"),
    );
    // The editor writes down where it was called, and leaves a backup behind as real ones do.
    let script = "cp \"$1\" \"$1~\"; echo x > \"$HOME/.history\"; stat -f -c %T \"$1\" > seen; dirname \"$1\" >> seen; printf 'after\\n' > \"$1\"";
    let name = editor(&s, script);
    let mut command = s.command("vault edit v.skv note");
    command.env("EDITOR", name).env_remove("XDG_RUNTIME_DIR");
    s.finish(command, "vault edit v.skv note", &format!("{PASS}\n"));
    if swap {
        assert!(s.text.contains("this system has swap"), "{}", s.text);
        return;
    }
    let seen = std::fs::read_to_string(s.path().join("seen")).unwrap();
    let (kind, folder) = seen.trim().split_once('\n').unwrap();
    assert_eq!(kind, "tmpfs");
    assert!(!Path::new(folder).exists(), "the folder is gone");
    s.run("vault ls v.skv", &format!("{PASS}\n"));
    s.run("vault get v.skv note", &format!("{PASS}\n"));
    s.run("vault edit v.skv note", &format!("{PASS}\n"));
    let name = editor(&s, "exit 3");
    let mut command = s.command("vault edit v.skv note");
    command.env("VISUAL", name).env_remove("XDG_RUNTIME_DIR");
    s.finish(command, "vault edit v.skv note", &format!("{PASS}\n"));
    insta::assert_snapshot!(s.text);
}

#[test]
fn tazpods_owner_moves_in_and_out_again() {
    let mut s = Session::new();
    s.init();
    s.run("vault put v.skv tazpod/github-token", &format!("{PASS}\nghp_x\n"));
    s.run(
        "vault put v.skv tazpod/ssh/lushycorp-vault/id_ed25519",
        &format!("{PASS}\n-----BEGIN\nx\n\n"),
    );
    s.run("vault put v.skv elsewhere", &format!("{PASS}\nnot exported\n"));
    s.run(
        "vault export v.skv --prefix tazpod --to vault.tar.aes",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run("vault export v.skv --to vault.tar.aes", "");
    s.run(&format!("vault init {WORK} new.skv"), &format!("{PASS}\n"));
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes --dry-run",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes -o json",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run("vault put new.skv github-token", &format!("{PASS}\nmine\n"));
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes --replace",
        &format!("{PASS}\n{OTHER}\n"),
    );
    s.run(
        "vault import new.skv --from tazpod vault.tar.aes",
        &format!("{PASS}\n{PASS}\n"),
    );
    s.run("vault get new.skv ssh/lushycorp-vault/id_ed25519", &format!("{PASS}\n"));
    insta::assert_snapshot!(s.text);
}

/// Runs Debian's gpg with a keyring of its own.
fn gpg(home: &Path, args: &[&str], stdin: &str) {
    let mut child = Command::new("gpg")
        .env("GNUPGHOME", home)
        .args([
            "--batch",
            "--quiet",
            "--yes",
            "--trust-model",
            "always",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ])
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("gpg is installed by tests/install-needs");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "gpg {args:?}");
}

#[test]
fn a_gopass_store_made_by_gpg_is_taken_over() {
    let mut s = Session::new();
    s.init();
    let home = s.path().join("gnupg");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    gpg(
        &home,
        &[
            "--quick-generate-key",
            "ada@example.org",
            "future-default",
            "default",
            "never",
        ],
        "",
    );
    let store = s.path().join("store");
    for (name, text) in [
        ("github-token", "ghp_x\n"),
        ("web/my site", "hunter2\nuser: ada\nurl: https://example.org\n"),
        (
            "ssh/id_ed25519",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAA\n-----END OPENSSH PRIVATE KEY-----\n",
        ),
        (
            "kubeconfig",
            "\ncontent-disposition: attachment; filename=\"k\"\ncontent-transfer-encoding: Base64\n\nYXBpVmVyc2lvbjogdjEK\n",
        ),
        (".git/objects", "not an entry\n"),
    ] {
        let path = store.join(format!("{name}.gpg"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        gpg(
            &home,
            &[
                "--encrypt",
                "--recipient",
                "ada@example.org",
                "--output",
                path.to_str().unwrap(),
            ],
            text,
        );
    }
    std::fs::write(store.join(".gpg-id"), "ada@example.org\n").unwrap();
    let import = |s: &mut Session, line: &str| {
        let mut command = s.command(line);
        command.env("GNUPGHOME", &home);
        s.finish(command, line, &format!("{PASS}\n"));
    };
    import(
        &mut s,
        "vault import v.skv --from gopass store --prefix gopass --dry-run",
    );
    import(&mut s, "vault import v.skv --from gopass store --prefix gopass");
    import(&mut s, "vault import v.skv --from gopass store --prefix gopass");
    for path in ["github-token", "web/my-site", "web/my-site.more", "kubeconfig"] {
        s.run(&format!("vault get v.skv gopass/{path}"), &format!("{PASS}\n"));
    }
    // Two names that become one path, and an entry that was cut short: nothing is taken over.
    std::fs::copy(store.join("web/my site.gpg"), store.join("web/my+site.gpg")).unwrap();
    import(&mut s, "vault import v.skv --from gopass store --prefix again");
    let whole = std::fs::read(store.join("github-token.gpg")).unwrap();
    std::fs::write(store.join("web/my+site.gpg"), &whole[..whole.len() / 2]).unwrap();
    let before = std::fs::read(s.path().join("v.skv")).unwrap();
    let line = "vault import v.skv --from gopass store --prefix again";
    let mut command = s.command(line);
    command.env("GNUPGHOME", &home);
    let told = s.text.len();
    s.finish(command, line, &format!("{PASS}\n"));
    // gpg's own words differ between versions: only ours are pinned.
    let said = s.text.split_off(told);
    assert!(
        said.contains("was not decrypted, and nothing was imported") && said.contains("-> 1"),
        "{said}"
    );
    assert_eq!(std::fs::read(s.path().join("v.skv")).unwrap(), before);
    let _ = Command::new("gpgconf")
        .env("GNUPGHOME", &home)
        .args(["--kill", "all"])
        .status();
    insta::assert_snapshot!(s.text);
}
