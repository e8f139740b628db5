//! A disk that hangs, is full, or is not there any more.

use apply_tests::{Service, ServiceBuilder, Stage, apply_layer_faulty};
use std::{fs, path::PathBuf, time::Instant};
use tokio::process::Command;

/// A plan with all its permits.
async fn approved(stage: &Stage, symbol: &str) -> String {
    stage.propose(symbol, "PARTIAL_75").await;
    let plan = stage.only_plan(symbol).await;
    let quantity = if symbol == "SOLUSDT" { "1" } else { "0.009" };
    stage.approve(&plan, quantity).await;
    plan.get("plan_id").to_owned()
}

/// A service that reports no order for the next plan, and is not ready.
async fn places_nothing(stage: &Stage, service: &Service, why: &str) {
    service.readiness("503", why).await;
    service.line("Not ready:").await;
    let waits = ["BTCUSDT", "ETHUSDT"].map(|symbol| stage.propose(symbol, "PARTIAL_75"));
    for wait in waits {
        wait.await;
    }
    service.readiness("503", why).await;
    assert_eq!(stage.orders(), []);
}

fn warnings(service: &Service) -> usize {
    let log = service.log();
    log.iter()
        .filter(|line| line.contains("Not ready:"))
        .count()
}

#[tokio::test]
async fn while_the_disk_hangs_nothing_is_ready_and_no_order_leaves() {
    let stage = Stage::open().await;
    let hang = std::env::temp_dir().join(format!("apply-hang-{}", std::process::id()));
    let service = stage
        .service()
        .program(apply_layer_faulty())
        .env("APPLY_FAULT_DISK", hang.display().to_string())
        .env("APPLY_PERMIT_WAIT_MS", "3000")
        .ready()
        .await;
    fs::write(&hang, "hangs").unwrap();
    let id = approved(&stage, "BTCUSDT").await;
    let began = Instant::now();
    service.readiness("503", "[-] Journal: ").await;
    println!(
        "not ready {:?} after the permits were there",
        began.elapsed()
    );
    let result = tokio::select! {
        result = stage.result_of(&id) => Some(result),
        () = tokio::time::sleep(std::time::Duration::from_secs(5)) => None,
    };
    assert!(result.is_none_or(|result| result.get("executed") == "False"));
    assert_eq!(stage.orders(), []);
    service.line("Not ready:").await;
    assert_eq!(warnings(&service), 1);
    fs::remove_file(&hang).unwrap();
    service.readiness("200", "[+] Journal: ").await;
    stage.result_of(&id).await;
    let next = approved(&stage, "ETHUSDT").await;
    assert_eq!(stage.result_of(&next).await.get("executed"), "True");
    assert_eq!(stage.orders().len(), 1);
    service.stopped_well().await;
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let stage = Stage::open().await;
    let hang = std::env::temp_dir().join(format!("apply-hang-end-{}", std::process::id()));
    let service = stage
        .service()
        .program(apply_layer_faulty())
        .env("APPLY_FAULT_DISK", hang.display().to_string())
        .ready()
        .await;
    let id = approved(&stage, "BTCUSDT").await;
    stage.result_of(&id).await;
    // The note that it was published is still to be written.
    fs::write(&hang, "hangs").unwrap();
    let ended = service.stopped().await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    fs::remove_file(&hang).unwrap();
}

/// A service whose state lies on a file system of its own, which only it sees.
struct OwnDisk {
    service: Service,
    /// Its directory, as it is reached from here.
    directory: PathBuf,
    how: ServiceBuilder,
}

impl OwnDisk {
    async fn of(how: ServiceBuilder, size: &str) -> Self {
        let state = how.state_directory().to_owned();
        fs::create_dir_all(&state).unwrap();
        let mount = format!(
            r#"mount -t tmpfs -o size={size},mode=700 none "$APPLY_STATE_DIR" && exec "$0" "$@""#
        );
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount];
        let path = std::env::var("PATH").unwrap();
        let service = how.clone().through(&words).env("PATH", path).ready().await;
        let root = PathBuf::from(format!("/proc/{}/root", service.id().unwrap()));
        let directory = root.join(state.strip_prefix("/").unwrap());
        assert!(directory.join("journal.redb").exists());
        Self {
            service,
            directory,
            how,
        }
    }

    /// As when a disk goes away under those who use it.
    async fn unmount(&self) {
        let id = self.service.id().unwrap().to_string();
        let status = Command::new("nsenter")
            .args(["--target", &id, "--user", "--mount", "umount", "--lazy"])
            .arg(self.how.state_directory())
            .status()
            .await;
        assert!(status.is_ok_and(|status| status.success()), "not unmounted");
    }
}

#[tokio::test]
async fn on_a_disk_that_is_full_no_order_leaves_and_nothing_is_ready() {
    let stage = Stage::open().await;
    let disk = OwnDisk::of(stage.service(), "8m").await;
    let mut filler = fs::File::create(disk.directory.join("filler")).unwrap();
    let chunk = vec![0; 1 << 16];
    while std::io::Write::write_all(&mut filler, &chunk).is_ok() {}
    // Room that the journal has already is used first.
    let mut orders = 0;
    for _ in 0..200 {
        // Before the proposal: its plan is on the stream as soon as it is looked for.
        let known = stage.entries(apply_tests::PLANS).await;
        let known = known.iter().map(|entry| entry.get("plan_id").to_owned());
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        let plan = stage.plan("BTCUSDT", &known.collect()).await;
        stage.approve(&plan, "0.001").await;
        let result = stage.result_of(plan.get("plan_id")).await;
        if result.get("executed") != "True" {
            assert_eq!(result.get("error"), "journal_unavailable");
            break;
        }
        orders += 1;
    }
    println!("{orders} orders on a full disk");
    assert_eq!(stage.orders().len(), orders);
    disk.service.readiness("503", "No space left").await;
    // Logged before it is answered; the line may be on its way still.
    disk.service.line("Not ready:").await;
    assert_eq!(warnings(&disk.service), 1);
    disk.service.stopped_well().await;
}

#[tokio::test]
async fn a_journal_that_was_removed_is_noticed_and_no_order_leaves() {
    let stage = Stage::open().await;
    let how = stage.service().env("APPLY_PERMIT_WAIT_MS", "300");
    let service = how.clone().ready().await;
    fs::remove_file(how.state_directory().join("journal.redb")).unwrap();
    places_nothing(&stage, &service, "journal.redb is not there any more").await;
    assert_eq!(warnings(&service), 1);
    service.stopped_well().await;
    // Its id says that there was one.
    let ended = how.ended().await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    assert!(ended.output().contains("journal.id"), "{}", ended.output());
}

#[tokio::test]
async fn a_disk_that_went_away_is_missed_and_the_next_start_begins_no_new_journal_unasked() {
    let stage = Stage::open().await;
    let how = stage.service().env("APPLY_PERMIT_WAIT_MS", "3000");
    let disk = OwnDisk::of(how, "64m").await;
    let id = approved(&stage, "BTCUSDT").await;
    assert_eq!(stage.result_of(&id).await.get("executed"), "True");
    disk.unmount().await;
    disk.service.readiness("503", "is not there any more").await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    disk.service.stopped_well().await;

    let directory = disk.how.state_directory().display().to_string();
    for _ in 0..2 {
        let ended = disk.how.clone().ended().await;
        assert_eq!(ended.code, Some(78), "{}", ended.output());
        for part in [
            directory.as_str(),
            "mount the disk",
            "apply-layer new-journal",
        ] {
            assert!(ended.output().contains(part), "{}", ended.output());
        }
    }
    let accept = |yes: &'static [&str]| {
        let words: Vec<&str> = ["new-journal"].iter().chain(yes).copied().collect();
        stage
            .program(&words)
            .env("APPLY_STATE_DIR", &directory)
            .ended()
    };
    let asked = accept(&[]).await;
    assert_eq!(asked.code, Some(2), "{}", asked.output());
    let ended = disk.how.clone().ended().await;
    assert_eq!(ended.code, Some(78), "no reviewer has said yes");
    let accepted = accept(&["--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.output());
    let service = disk.how.clone().ready().await;
    let next = approved(&stage, "SOLUSDT").await;
    assert_eq!(stage.result_of(&next).await.get("executed"), "True");
    service.stopped_well().await;
    disk.how.ready().await.stopped_well().await;
    assert_eq!(
        stage
            .orders()
            .iter()
            .filter(|order| order.symbol.as_deref() == Some("BTCUSDT"))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_halt_on_a_full_disk_says_that_it_halts_and_what_could_not_be_written() {
    let stage = Stage::open().await;
    let halt = |reason: &str| {
        let words = ["halt", "--reason", reason];
        stage.program(&words)
    };
    let how = halt("venue misbehaves");
    let file = how.state_directory().join("HALT");
    let full = r#"trap '' XFSZ; ulimit -f 0; exec "$0" "$@""#;
    let ended = how.clone().through(&["sh", "-c", full]).ended().await;
    assert!(file.exists());
    assert_eq!(ended.code, Some(69), "{}", ended.output());
    let (said, errors) = (ended.log.join("\n"), ended.errors.join("\n"));
    assert!(
        said.contains(&format!("halted by {}", file.display())),
        "{said}"
    );
    assert!(said.contains("halted in Redis"), "{said}");
    assert!(errors.contains("halted, but not recorded:"), "{errors}");
    assert!(!errors.contains("not everything was halted"), "{errors}");
    for place in ["HALT", "halt.log"] {
        assert!(errors.contains(place), "{errors}");
    }
}
