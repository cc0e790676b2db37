//! The database in the living castle: held until it was verified, whole to the last archived row, on an archive of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab_world::Database;

use crate::{inspect, lab::Lab, verdicts::Verdicts};

/// The query whose answer was kept when the old castle burnt.
const ORDERS: &str =
    "select count(*) || ' ' || md5(string_agg(id || ' ' || customer || ' ' || cents, ',' order by id)) from orders";

/// All of it. `console` is what the laptop wrote.
pub async fn look(lab: &Lab, console: &str, verdicts: &mut Verdicts) -> Result<()> {
    let before = lab.world.database().context("the old castle had no database")?;
    let lines = || console.lines().filter(|line| line.contains("restore.db"));
    let held = lines()
        .find_map(|line| {
            line.split("the gate of ")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u32>()
                .ok()
        })
        .unwrap_or(0);
    verdicts.must(
        held > 0,
        "the database's pod was held by its gate until the database was verified",
        format!("{held} pods were let go"),
    );
    let told = lines().find_map(|line| Some(line.split("it will archive to ").nth(1)?.trim().to_owned()));
    let below = told
        .as_deref()
        .and_then(|path| path.strip_prefix("pgbackrest/"))
        .unwrap_or_default()
        .to_owned();

    let password = &lab.world.credentials().database_password;
    let orders = tokio::task::block_in_place(|| until_it_answers(lab, password))?;
    verdicts.must(
        orders == before.orders,
        "the application's role logs in with its secret and finds every order, those that were only in the WAL too",
        format!("{orders} (recorded: {})", before.orders),
    );
    archive(lab, before, &below, verdicts).await
}

/// A row of the new castle goes to the new path, and the old one stays as it was.
async fn archive(lab: &Lab, before: &Database, below: &str, verdicts: &mut Verdicts) -> Result<()> {
    let write = "insert into orders (customer, cents) values ('the first one after the fire', 1); select pg_walfile_name(pg_switch_wal())";
    let segment = tokio::task::block_in_place(|| psql(lab, "postgres", "", write))?;
    let end = Instant::now() + Duration::from_secs(40);
    let mut new = String::new();
    while !below.is_empty() && Instant::now() < end {
        new = before.list(&format!("{below}/")).await?;
        if new.contains(&segment) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    verdicts.must(
        !segment.is_empty() && new.contains(&segment) && new.contains("backup.manifest"),
        "the reborn database archives to a path of its own, where its first backup lies already",
        format!("pgbackrest/{below} has {segment}"),
    );
    let same = before.list("").await? == before.objects;
    verdicts.must(
        same && before.objects.len() > 100,
        "the old castle's archive got no new object",
        format!("{} bytes of pgbackrest's own listing", before.objects.len()),
    );
    Ok(())
}

fn until_it_answers(lab: &Lab, password: &str) -> Result<String> {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        match psql(lab, "shop", password, ORDERS) {
            Ok(answer) => return Ok(answer),
            Err(e) if Instant::now() > end => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// Asks inside the database's own container: as an application over TCP, or as the superuser through the socket.
fn psql(lab: &Lab, role: &str, password: &str, query: &str) -> Result<String> {
    let find = "pgrep -o -f '^/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/data/pgdata'";
    let workers = inspect::machines(lab).into_iter().filter(|m| m.name.starts_with('w'));
    let mut found = None;
    for machine in workers {
        if let Ok(pid) = lab.machines.run_in(&machine.id, &["sh", "-c", find]) {
            found = Some((machine.id, pid.trim().to_owned()));
        }
    }
    let (machine, pid) = found.context("no machine runs the database")?;
    let host = if password.is_empty() { "/tmp" } else { "127.0.0.1" };
    let password = format!("PGPASSWORD={password}");
    let command = [
        "nsenter",
        "-t",
        &pid,
        "-m",
        "-n",
        "--",
        "env",
        &password,
        "/usr/lib/postgresql/15/bin/psql",
        "-XAtq",
        "-h",
        host,
        "-U",
        role,
        "-d",
        "shop",
        "-c",
        query,
    ];
    Ok(lab.machines.run_in(&machine, &command)?.trim().to_owned())
}
