//! gotk-sync.yaml against the castle file.

use super::{Finding, Lint};
use crate::repository::{normal, text};

/// `https://host/owner/name` without the differences that mean nothing.
fn plain_url(url: &str) -> String {
    url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase()
}

impl Lint<'_> {
    pub(super) fn bootstrap(&mut self) {
        let Some(contract) = self.contract else {
            return;
        };
        let (source, root) = (&self.root.source, &self.root.root);
        let gitops = &contract.castle.gitops;
        let url = text(&source.value, "/spec/url");
        if plain_url(url) != plain_url(gitops.url.as_str()) {
            let what = format!(
                "its GitRepository has the url `{url}`, castle.yaml has `{}`",
                gitops.url
            );
            let remedy = "Make the two the same (https, not ssh: the castle has a token).";
            self.say(Finding::error(self.at(source, "/spec/url"), what, remedy));
        }
        let branch = text(&source.value, "/spec/ref/branch");
        if branch != gitops.branch {
            let what = format!(
                "its GitRepository follows the branch `{branch}`, castle.yaml has `{}`",
                gitops.branch
            );
            let place = self.at(source, "/spec/ref/branch");
            self.say(Finding::error(place, what, "Make the two the same."));
        }
        for other in ["commit", "tag", "semver", "name"] {
            let pointer = format!("/spec/ref/{other}");
            if !text(&source.value, &pointer).is_empty() {
                let what = format!(
                    "its GitRepository has `ref.{other}`, which fights with the commit that a rebirth is pinned to"
                );
                let remedy = "Leave only `ref.branch`, and name a commit in `gitops.revision`.";
                self.say(Finding::error(self.at(source, &pointer), what, remedy));
            }
        }
        let path = text(&root.value, "/spec/path");
        if normal("", path) != normal("", &gitops.path) {
            let what = format!(
                "its root Kustomization has the path `{path}`, castle.yaml has `{}`",
                gitops.path
            );
            let place = self.at(root, "/spec/path");
            self.say(Finding::error(place, what, "Make the two the same."));
        }
        if text(&source.value, "/spec/secretRef/name").is_empty() {
            let what = "its GitRepository has no `secretRef`, so Flux would ask without the token";
            let remedy = "Add `secretRef: {name: flux-system}`.";
            self.say(Finding::error(self.at(source, "/spec"), what, remedy));
        }
    }
}
