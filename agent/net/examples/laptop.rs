//! The laptop's network by itself, for the tests: it brings the network up as `key=value` words say, tells what happens line by line, keeps the network until it
//! is ended, and meanwhile does what standard input asks. With `hosts=` it goes on until these told the time; the clock is not set.

use skykeep_core::explain::chain;
use skykeep_core::{Explain, Progress, http::Trust, progress::Event};
use skykeep_net::{Disguise, Half, Link, Need, Options, reach, typed_addresses, typed_tag, up};
use std::time::{Duration, SystemTime};

type Failure = Box<dyn std::error::Error>;

fn wanted() -> Result<(Options, Need), Failure> {
    let mut options = Options::default();
    let mut need = Need {
        hosts: Vec::new(),
        trust: Trust::public(),
        not_before: SystemTime::UNIX_EPOCH,
    };
    for word in std::env::args().skip(1) {
        let (key, value) = word.split_once('=').ok_or("key=value")?;
        let seconds = || value.parse().map(Duration::from_secs);
        match key {
            "cards" => options.cards = value.into(),
            "card" => options.card = seconds()?,
            "cable" => options.cable = seconds()?,
            "address" => options.address = seconds()?,
            "fixed" => options.fixed = Some(typed_addresses(value)?),
            "vlan" => options.vlan = Some(typed_tag(value)?),
            "proxy" => options.proxy = Some(value.parse()?),
            "disguise" => options.disguise = Some(Disguise::default()),
            "hosts" => need.hosts = value.split(',').map(str::to_owned).collect(),
            "ca" => need.trust = Trust::with_extra_pem(&std::fs::read(value)?).map_err(|e| e.to_string())?,
            _ => return Err(format!("what is {key}?").into()),
        }
    }
    Ok((options, need))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (options, need) = wanted()?;
    let (progress, mut events) = Progress::channel("network");
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if let Event::Note { text, .. } = event {
                println!("note {text}");
            }
        }
    });
    let link = if need.hosts.is_empty() {
        up(&options, &progress)
            .await
            .map_err(|error| format!("{} | {} | {}", error.what(), error.why(), error.remedy()))
    } else {
        let reached = reach(&options, &need, &progress).await;
        reached
            .map(|(link, _)| link)
            .map_err(|diagnosis| diagnosis.page().replace('\n', " | "))
    };
    // What was noted on the way is said before.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let link = match link {
        Ok(link) => link,
        Err(page) => {
            println!("failed {page}");
            return Ok(());
        }
    };
    let shown = |half: Half| format!(" {}/{} {}", half.address, half.prefix, half.router);
    let halves: String = [link.four, link.six].into_iter().flatten().map(shown).collect();
    println!("up {}{halves} {:?} {:?}", link.card, link.dns, link.way);
    let trust = need.trust.by(link.way.clone());
    let (tell, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send(order).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => println!("{}", obey(&order, &link, &trust).await),
                None => return Ok(()),
            },
            () = link.lost() => {
                println!("lost {}", link.card);
                return Ok(());
            }
        }
    }
}

/// `get URL PASSWORD`, `send URL BYTES`, `dial ADDRESS:PORT`, and `pinned ADDRESS:PORT URL`.
async fn obey(order: &str, link: &Link, trust: &Trust) -> String {
    let words: Vec<&str> = order.split(' ').collect();
    let limit = Duration::from_secs(40);
    let http = || trust.http(limit).map_err(|e| e.to_string());
    let answer = async {
        match words.as_slice() {
            ["get", url, password] => {
                let answer = http()?
                    .get(*url)
                    .bearer_auth(password)
                    .send()
                    .await
                    .map_err(|e| chain(&e))?;
                let status = answer.status().as_u16();
                Ok(format!(
                    "{status} {}",
                    answer.bytes().await.map_err(|e| chain(&e))?.len()
                ))
            }
            ["send", url, bytes] => {
                let body = vec![b'x'; bytes.parse::<usize>().map_err(|e| e.to_string())?];
                let answer = http()?.post(*url).body(body).send().await.map_err(|e| chain(&e))?;
                Ok(answer.status().as_u16().to_string())
            }
            ["dial", at] => {
                let at = at.parse().map_err(|_| "no address".to_owned())?;
                let dialled = tokio::time::timeout(limit, link.way.connect_to(at))
                    .await
                    .map_err(|e| e.to_string())?;
                dialled.map(|_| "connected".into()).map_err(|e| e.to_string())
            }
            ["pinned", at, url] => {
                let at = at.parse().map_err(|_| "no address".to_owned())?;
                let url = url.parse::<reqwest::Url>().map_err(|e| e.to_string())?;
                let (status, body) = skykeep_core::pinned::get(trust, &url, at, limit).await?;
                Ok(format!("{status} {}", body.len()))
            }
            _ => Err("no such order".to_owned()),
        }
    };
    let answer = answer.await.unwrap_or_else(|e: String| format!("error {e}"));
    format!("{}: {answer}", words.first().unwrap_or(&""))
}
