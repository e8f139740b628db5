//! Serves answers from a folder to the client over real HTTP and prints what it makes of them. `scripts/sdk-answers` makes
//! such a folder; each file is `{"endpoint", "model", "change", "field", "body"}`.
#![allow(missing_docs)]

use exchange_client::{Client, Credentials, Settings, StopIntent, Submission, Symbol};
use exchange_sim::{Canned, Fault, Instead, Sim, SimConfig, When};
use rust_decimal::Decimal;
use serde_json::Value;
use std::{collections::BTreeMap, error::Error, process::ExitCode};

/// How many answers of a model ended in which way.
#[derive(Default)]
struct Row {
    answers: usize,
    read: usize,
    /// Refused with an error that names the field that is missing.
    named: usize,
    wrong: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("digest_answers <folder>")?;
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    files.sort();
    let (mut rows, mut wholes) = (BTreeMap::<String, Row>::new(), BTreeMap::new());
    for file in files {
        let answer: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (endpoint, model, change) = (word("endpoint"), word("model"), word("change"));
        let read = ask(&endpoint, &answer["body"]).await?;
        let row = rows.entry(format!("{endpoint} | {model}")).or_default();
        row.answers += 1;
        let what = format!("{change} {}", word("field"));
        match read {
            Ok(value) => {
                let whole: &String = wholes.entry(endpoint).or_insert_with(|| value.clone());
                // A number is the same number, however it is written.
                match matches!(&*change, "exponent" | "number") && value != *whole {
                    true => row.wrong.push(format!("{what}: {value} and not {whole}")),
                    false => row.read += 1,
                }
            }
            Err(error) => {
                let missing = matches!(&*change, "left out" | "null");
                match missing && error.contains(&word("field")) {
                    true => row.named += 1,
                    false => row.wrong.push(format!("{what}: {error}")),
                }
            }
        }
    }
    println!("| endpoint | model | answers | read | refused, naming the field | wrong |");
    println!("|---|---|--:|--:|--:|--:|");
    let mut wrong = Vec::new();
    for (name, row) in rows {
        let Row {
            answers,
            read,
            named,
            ..
        } = row;
        println!(
            "| {name} | {answers} | {read} | {named} | {} |",
            row.wrong.len()
        );
        wrong.extend(row.wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    for what in &wrong {
        println!("wrong: {what}");
    }
    Ok(match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What the client reads out of this answer, or its error.
async fn ask(endpoint: &str, body: &Value) -> Result<Result<String, String>, Box<dyn Error>> {
    // A venue each: its count of the weight is none of theirs.
    let position = Decimal::from_str_exact("0.0124")?;
    let config = SimConfig::default().position("BTCUSDT", position);
    let sim = Sim::start(config).await?;
    let venue = sim.handle();
    let credentials = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)?;
    let client = Client::new(sim.url().parse()?, credentials, Settings::default())?;
    let symbol: Symbol = "BTCUSDT".parse()?;
    let (method, path) = endpoint.split_once(' ').ok_or("no endpoint")?;
    let canned = || {
        let instead = Instead::Reply(Canned::raw(200, &body.to_string()));
        venue.script(Fault::not_executed(When::request(method, path), instead).always());
    };
    if method == "POST" {
        client.warm_up().await?;
        let held = client.fetch_positions(Some(&symbol)).await?;
        let held = held.first().ok_or("flat")?;
        let rules = client.fetch_rules(&symbol).await?;
        let mode = client.fetch_position_mode().await?;
        let quantity = Decimal::from_str_exact("0.009")?;
        canned();
        return Ok(if path.ends_with("/order") {
            let order = client.prepare_close(held, mode, &rules, "al-1".parse()?)?;
            let ending = client.submit(order, rules.cut_quantity(quantity)?).await;
            digest(ending, |report| {
                format!(
                    "{} {}",
                    report.executed_quantity.normalize(),
                    report.status_word()
                )
            })
        } else {
            let stop = StopIntent::for_position(
                held,
                mode,
                &rules,
                Decimal::from(60_000),
                "al-1".parse()?,
            )?
            .over(quantity, &rules)?;
            digest(client.submit_stop(&stop).await, |report| {
                format!(
                    "{} {:?}",
                    report.algo_id,
                    report.trigger_price.map(|p| p.normalize())
                )
            })
        });
    }
    canned();
    let number = |number: Option<Decimal>| number.map(|number| number.normalize().to_string());
    let stop = |stop: exchange_client::StopReport| {
        format!(
            "{} {:?} {:?}",
            stop.algo_id,
            number(stop.quantity),
            number(stop.trigger_price)
        )
    };
    let asked = match endpoint {
        "GET /fapi/v1/time" => client.measure_clock().await.map(|_| "a time".to_owned()),
        "GET /fapi/v1/exchangeInfo" => client.fetch_rules(&symbol).await.map(|rules| {
            format!(
                "{:?} {:?}",
                number(rules.market_lot.step),
                number(rules.largest_quantity())
            )
        }),
        "GET /fapi/v1/premiumIndex" => client
            .fetch_mark_price(&symbol)
            .await
            .map(|price| price.normalize().to_string()),
        "GET /fapi/v1/positionSide/dual" => client
            .fetch_position_mode()
            .await
            .map(|mode| format!("{mode:?}")),
        "GET /fapi/v3/positionRisk" => client.fetch_positions(Some(&symbol)).await.map(|held| {
            held.iter()
                .map(|held| held.amount.normalize().to_string())
                .collect()
        }),
        "GET /fapi/v1/order" => client
            .fetch_order(&symbol, &"al-1".parse()?)
            .await
            .map(|report| {
                report.map_or("none".to_owned(), |r| {
                    r.executed_quantity.normalize().to_string()
                })
            }),
        "GET /fapi/v1/userTrades" => client.fetch_trades(&symbol, 7).await.map(|fills| {
            fills
                .iter()
                .map(|fill| fill.quantity.normalize().to_string())
                .collect()
        }),
        "GET /fapi/v1/algoOrder" => client
            .fetch_stop(&"al-1".parse()?)
            .await
            .map(|found| found.map_or("none".to_owned(), stop)),
        "GET /fapi/v1/openAlgoOrders" => client
            .fetch_open_stops(&symbol)
            .await
            .map(|open| open.into_iter().map(stop).collect()),
        "DELETE /fapi/v1/algoOrder" => client
            .cancel_stop(21)
            .await
            .map(|()| "cancelled".to_owned()),
        other => return Err(format!("{other} is not among the questions of this client").into()),
    };
    Ok(asked.map_err(|error| error.to_string()))
}

fn digest<R>(ending: Submission<R>, read: impl Fn(&R) -> String) -> Result<String, String> {
    match ending {
        Submission::Accepted(report) => Ok(read(&report)),
        Submission::Rejected(no) => Err(no.to_string()),
        Submission::NotSent(not) => Err(not.to_string()),
        Submission::Unknown(unknown) => Err(unknown.to_string()),
    }
}
