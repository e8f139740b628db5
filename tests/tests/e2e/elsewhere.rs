//! Commands that were given other settings than the service that runs beside them.

use apply_tests::{ServiceBuilder, Stage};

/// The same machine's command with another state directory, where the service is to be asked.
async fn command(how: ServiceBuilder, words: &[&str], port: u16) -> apply_tests::Ended {
    how.instead(words)
        .env("APPLY_METRICS_PORT", port.to_string())
        .ended()
        .await
}

#[tokio::test]
async fn a_command_that_would_look_elsewhere_than_the_service_says_so() {
    let stage = Stage::open().await;
    let how = stage.service();
    let service = how.clone().ready().await;
    let theirs = how.state_directory().display().to_string();
    service
        .line(&format!(
            "State directory {theirs}, halted by the file {theirs}/HALT"
        ))
        .await;
    let port = service.address().await.port();
    let other = || stage.service();

    // The service keeps its journal elsewhere, so this file halts nothing.
    let halted = command(other(), &["halt", "--file-only"], port).await;
    assert_eq!(halted.code, Some(78), "{}", halted.output());
    let output = halted.output();
    assert!(
        output.contains(&format!("is halted by {theirs}/HALT, not by ")),
        "{output}"
    );
    assert!(
        output.contains(&format!("APPLY_STATE_DIR={theirs}")),
        "{output}"
    );
    assert!(!output.contains("can be executed any more"), "{output}");

    // The file that does halt it is looked at by the commands that report the state.
    std::fs::write(format!("{theirs}/HALT"), "").unwrap();
    let status = command(other(), &["status"], port).await;
    assert_eq!(status.code, Some(5), "{}", status.output());
    let output = status.output();
    assert!(
        output.contains("elsewhere    the service on http://"),
        "{output}"
    );
    assert!(
        output.contains(&format!("ON, by {theirs}/HALT")),
        "{output}"
    );
    let check = command(other(), &["check"], port).await;
    assert_eq!(check.code, Some(78), "{}", check.output());
    assert!(
        check.output().contains("keeps its journal in"),
        "{}",
        check.output()
    );

    let plan = "0123456789abcdef";
    let printed = command(other(), &["plan", plan], port).await.output();
    assert!(printed.contains("keeps its journal in"), "{printed}");
    for words in [&["forget", plan, "--yes"][..], &["new-journal", "--yes"]] {
        let refused = command(other(), words, port).await;
        assert_eq!(refused.code, Some(78), "{}", refused.output());
        assert!(refused.output().contains("nothing was changed"));
    }

    // With the service's settings nothing of it is said.
    let status = command(how.clone(), &["status"], port).await.output();
    assert!(!status.contains("elsewhere"), "{status}");
    let resumed = command(how, &["resume", "--file-only"], port).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.output());
    service.stopped_well().await;
}
