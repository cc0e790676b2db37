//! Asking.

use super::verdict::{Interface, QUESTIONS, Question, Reply, Seen, Verdict, seen, verdict};
use skykeep_core::http::Trust;
use std::time::Duration;
use tokio::task::JoinSet;

/// For one question: a portal answers at once.
const PATIENCE: Duration = Duration::from_secs(6);
/// Of an answer's text no more is read.
const MOST: usize = 4096;

/// Asks everybody at once. `announced`: the interface that the DHCP server named.
pub(crate) async fn look(announced: Option<&str>, trust: &Trust) -> Verdict {
    let mut asking = JoinSet::new();
    for question in &QUESTIONS {
        asking.spawn(one(question, trust.clone()));
    }
    let interface = match announced {
        Some(url) => interface(url, trust).await,
        None => None,
    };
    let answers = asking.join_all().await;
    verdict(&answers, interface.as_ref())
}

async fn one(question: &'static Question, trust: Trust) -> Seen {
    let Ok(tls) = trust.tls() else { return Seen::Nothing };
    let answered = async {
        // No TLS here, and no redirect is followed: where it leads to is the answer.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        let mut response = client.get(question.url).send().await?;
        let location = response.headers().get(reqwest::header::LOCATION);
        let mut reply = Reply {
            status: response.status().as_u16(),
            location: location.and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: String::new(),
        };
        while reply.body.len() < MOST
            && let Some(piece) = response.chunk().await?
        {
            reply.body.push_str(&String::from_utf8_lossy(&piece));
        }
        Ok::<_, reqwest::Error>(reply)
    };
    answered.await.map_or(Seen::Nothing, |reply| seen(question, &reply))
}

/// With a wrong clock its certificate may look expired: then the other questions decide.
async fn interface(url: &str, trust: &Trust) -> Option<Interface> {
    let client = trust.http(PATIENCE).ok()?;
    let wanted = client.get(url).header("accept", "application/captive+json");
    wanted.send().await.ok()?.json().await.ok()
}
