//! What a rebirth would make, cost and take, before anything is made.

use std::{fmt::Write, time::Duration};

use serde::Serialize;
use skykeep_cloud::cost;
use skykeep_core::Trouble;

use crate::{
    engine::{Outline, outlook},
    estate::Estate,
    records,
    revision::Revision,
};

/// How many earlier rebirths are looked at.
const RUNS: usize = 5;

/// What lies ahead.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// The castle.
    pub castle: String,
    /// Where.
    pub region: String,
    /// The commit of the repository.
    pub revision: Option<Revision>,
    /// The steps, without the checks.
    pub steps: Vec<Planned>,
    /// What costs money by the hour: kind and number.
    pub needs: Vec<(String, u64)>,
    /// What that costs; none when castle.lock has no price list.
    pub cost: Option<Cost>,
    /// By the budgets of the steps, seconds.
    pub expected_s: u64,
    /// What earlier rebirths of this castle took from nothing to their end, seconds; the last one first.
    pub earlier_s: Vec<u64>,
    /// Treasures that come back.
    pub restored: Vec<String>,
    /// Keys that the old castle loses before the names move.
    pub taken_away: Vec<String>,
    /// Claims that castle.yaml gives up: `namespace/claim` and why.
    pub given_up: Vec<(String, String)>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// Id.
    pub id: String,
    /// For people.
    pub title: String,
    /// Seconds.
    pub budget_s: u64,
}

/// A cost by a price list.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Millionths of the currency for an hour.
    pub micros_per_hour: u64,
    /// The currency.
    pub currency: String,
    /// The day of the price list.
    pub date: String,
    /// What the list has no price for.
    pub without: Vec<String>,
}

/// Looks ahead. Reads the reports of earlier rebirths; changes nothing.
pub async fn forecast(estate: &Estate) -> Result<Forecast, Trouble> {
    let castle = &estate.castle;
    let outline = crate::graph(castle)?.outline();
    let earlier = records::whole_rebirths(estate, RUNS).await?;
    let needs = cost::needs(&castle.cloud);
    let cost = estate.lock.prices.as_ref().map(|prices| {
        let (micros_per_hour, without) = cost::hourly(&needs, prices);
        Cost {
            micros_per_hour,
            currency: prices.currency.clone(),
            date: prices.date.clone(),
            without,
        }
    });
    Ok(Forecast {
        castle: castle.name.clone(),
        region: castle.cloud.place().to_owned(),
        revision: estate.revision.get().ok().cloned(),
        steps: planned(&outline),
        needs,
        cost,
        expected_s: outlook(&outline, &std::collections::BTreeMap::new()).left.as_secs(),
        earlier_s: earlier.iter().map(Duration::as_secs).collect(),
        restored: castle.treasures.iter().map(|t| t.name.clone()).collect(),
        taken_away: castle
            .old_castle
            .take_away
            .as_ref()
            .map(crate::keys::names)
            .unwrap_or_default(),
        given_up: castle
            .disposable
            .iter()
            .map(|d| (format!("{}/{}", d.namespace, d.claim), d.why.clone()))
            .collect(),
    })
}

fn planned(outline: &[Outline]) -> Vec<Planned> {
    let made = outline.iter().filter(|step| !step.id.starts_with("check."));
    made.map(|step| Planned {
        id: step.id.clone(),
        title: step.title.clone(),
        budget_s: step.budget.as_secs(),
    })
    .collect()
}

impl Forecast {
    /// For a screen of 80 columns.
    pub fn text(&self) -> String {
        let mut out = format!("A rebirth of `{}` in {} would:\n", self.castle, self.region);
        // Writing into a String can't fail.
        for step in &self.steps {
            let _ = writeln!(out, "  + {:<50} {:<18} {:>4} s", step.title, step.id, step.budget_s);
        }
        if let Some(revision) = &self.revision {
            let _ = writeln!(out, "From {}", revision.text());
        }
        let needs: Vec<String> = self.needs.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let _ = writeln!(out, "It takes {}.", needs.join(", "));
        let _ = match &self.cost {
            None => writeln!(out, "Its cost is not known: castle.lock has no `prices`."),
            Some(cost) => writeln!(out, "{}", cost.text()),
        };
        if self.needs.iter().any(|(kind, _)| kind.ends_with(cost::SPOT)) {
            let _ = writeln!(
                out,
                "Spot machines are counted at the full price; AWS asks less, and may take them away at any moment."
            );
        }
        let _ = write!(out, "Expected: {} by the steps' budgets", minutes(self.expected_s));
        let _ = match (self.earlier_s.iter().min(), self.earlier_s.iter().max()) {
            (Some(least), Some(most)) => writeln!(
                out,
                "; the last {} rebirths from nothing took {} to {}.",
                self.earlier_s.len(),
                minutes(*least),
                minutes(*most)
            ),
            _ => writeln!(out, "; no earlier rebirth has left a report."),
        };
        let _ = writeln!(out, "Comes back: {}.", listed(&self.restored));
        for key in &self.taken_away {
            let _ = writeln!(out, "The old castle loses its {key}.");
        }
        for (claim, why) in &self.given_up {
            let _ = writeln!(out, "Does NOT come back: {claim} ({why})");
        }
        let _ = writeln!(
            out,
            "Does NOT come back: anything else that no treasure of castle.yaml names."
        );
        out
    }
}

impl Cost {
    fn text(&self) -> String {
        let cents = self.micros_per_hour.div_ceil(10_000);
        let mut text = format!(
            "It costs about {}.{:02} {} an hour by the prices of {}, without traffic.",
            cents / 100,
            cents % 100,
            self.currency,
            self.date
        );
        if !self.without.is_empty() {
            let _ = write!(text, "\nNot in it, for want of a price: {}.", self.without.join(", "));
        }
        text
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    names.join(", ")
}

fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use skykeep_gitops::{Commit, Distance};

    use super::*;

    fn commit(id: &str, subject: &str) -> Commit {
        Commit {
            id: id.into(),
            when: "2026-11-30 22:10 UTC".into(),
            subject: subject.into(),
        }
    }

    fn example() -> Forecast {
        Forecast {
            castle: "rossi".into(),
            region: "eu-central-1".into(),
            revision: Some(Revision {
                asked: false,
                because: "the last commit at which castle home was all green".into(),
                distance: Distance {
                    at: commit("0123456789ab", "the blog is new"),
                    head: commit("fedcba987654", "try something"),
                    further: 1,
                    newest: vec![commit("fedcba987654", "try something")],
                },
            }),
            steps: vec![Planned {
                id: "cloud.network".into(),
                title: "network, zones, rules".into(),
                budget_s: 6,
            }],
            needs: vec![("t3.large".into(), 5), ("public-address".into(), 8)],
            cost: Some(Cost {
                micros_per_hour: 538_200,
                currency: "USD".into(),
                date: "2026-11-24".into(),
                without: vec!["load-balancer".into()],
            }),
            expected_s: 265,
            earlier_s: vec![250, 301],
            restored: vec!["site".into()],
            taken_away: vec!["API token 41ac at Cloudflare".into()],
            given_up: vec![("web/cache".into(), "it fills itself".into())],
        }
    }

    #[test]
    fn a_person_reads_what_it_makes_costs_takes_and_what_stays_lost() {
        insta::assert_snapshot!(example().text());
    }

    #[test]
    fn spot_machines_are_said_to_be_what_they_are() {
        let mut forecast = example();
        forecast.needs = vec![("t3.large".into(), 3), (format!("t3.large{}", cost::SPOT), 2)];
        let text = forecast.text();
        let said = text.lines().filter(|line| line.to_lowercase().contains("spot"));
        insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn nothing_is_guessed_without_prices_and_without_earlier_runs() {
        let mut forecast = example();
        (forecast.cost, forecast.earlier_s) = (None, Vec::new());
        let text = forecast.text();
        assert!(
            text.contains("cost is not known") && text.contains("no earlier rebirth"),
            "{text}"
        );
    }
}
