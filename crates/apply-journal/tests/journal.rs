//! The journal on real files: what is kept, what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{ApplyResult, Entry, Journal, Publisher, Recorded, SwitchNote};
use apply_journal::{JournalReader, JournalSettings, OpenError, RedbJournal};
use common::*;
use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[tokio::test]
async fn what_was_written_is_there_when_it_is_opened_again() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    let name = journal.name().to_owned();
    assert_eq!(journal.record_intent(&intent(1)).await, Ok(Recorded::Now));
    assert_eq!(journal.record_intent(&intent(2)).await, Ok(Recorded::Now));
    journal
        .record_result(&result(2, "order_not_sent"), None)
        .await
        .unwrap();
    journal
        .record_published(&plan(2), 1_769_301_010)
        .await
        .unwrap();
    drop(journal);
    let journal = dir.open().unwrap();
    assert_eq!(journal.name(), name);
    let unfinished = journal.fetch_unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(unfinished[0].intent, Some(intent(1)));
    let entry = journal.look_up(&plan(2)).await.unwrap().unwrap();
    assert_eq!(entry.result, Some(result(2, "order_not_sent")));
    assert_eq!(entry.published_at, Some(1_769_301_010));
    assert_eq!(journal.look_up(&plan(3)).await, Ok(None));
}

#[tokio::test]
async fn a_plan_is_written_down_once_and_what_was_published_of_it_stays() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    journal.record_intent(&intent(1)).await.unwrap();
    let again = journal.record_intent(&intent(1)).await.unwrap();
    assert!(matches!(again, Recorded::Before(entry) if entry.intent == Some(intent(1))));
    let first = result(1, "order_unresolved");
    assert_eq!(journal.record_result(&first, None).await.unwrap(), first);
    let later = result(1, "order_not_executed");
    let stands = async |result| journal.record_result(&result, None).await.unwrap();
    assert_eq!(
        stands(later.clone()).await,
        later,
        "the first is not confirmed yet"
    );
    journal.record_published(&plan(1), 7).await.unwrap();
    assert_eq!(stands(first).await, later, "it was published");
    // What the venue says later counts more, and stays.
    let executed = ApplyResult {
        executed: true,
        ..result(1, "none")
    };
    assert_eq!(stands(executed.clone()).await, executed);
    let unfinished = journal.fetch_unfinished().await.unwrap();
    assert_eq!(
        unfinished[0].result,
        Some(executed.clone()),
        "to be published"
    );
    journal.record_published(&plan(1), 9).await.unwrap();
    assert_eq!(stands(later).await, executed);
    assert_eq!(journal.fetch_unfinished().await.unwrap(), []);
    // A plan that ended without an intent is as known as any.
    journal
        .record_result(&result(2, "permit_timeout_or_missing:missing_p33"), None)
        .await
        .unwrap();
    let known = journal.record_intent(&intent(2)).await.unwrap();
    assert!(matches!(known, Recorded::Before(entry) if entry.intent.is_none()));
}

#[tokio::test]
async fn a_claim_is_known_to_the_next_process_and_keeps_no_intent_from_being_written() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    for n in 1..=2 {
        journal.record_claim(&claim(n)).await.unwrap();
    }
    assert_eq!(journal.record_intent(&intent(1)).await, Ok(Recorded::Now));
    journal.record_claim(&claim(1)).await.unwrap();
    drop(journal);
    let journal = dir.open().unwrap();
    let entry = async |n| journal.look_up(&plan(n)).await.unwrap().unwrap();
    assert_eq!(
        entry(1).await.intent,
        Some(intent(1)),
        "more is known of it"
    );
    let claimed = entry(2).await;
    assert!(claimed.is_only_claimed());
    assert_eq!(claimed.claim, Some(claim(2)));
    assert_eq!(journal.fetch_unfinished().await.unwrap().len(), 2);
    assert_eq!(journal.record_intent(&intent(2)).await, Ok(Recorded::Now));
}

#[tokio::test]
async fn in_whose_name_a_result_is_published_is_kept_and_that_another_has_published_one_ends_the_plan()
 {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    let publisher = Publisher {
        attempt: "host.7".parse().unwrap(),
        generation: "g-1".into(),
    };
    let found_out = result(1, "order_not_sent");
    journal
        .record_result(&found_out, Some(&publisher))
        .await
        .unwrap();
    drop(journal);
    let journal = dir.open().unwrap();
    let entry = journal.look_up(&plan(1)).await.unwrap().unwrap();
    assert_eq!(entry.publisher, Some(publisher));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    journal
        .record_published_by_another(&plan(1), now)
        .await
        .unwrap();
    drop(journal);
    let journal = dir.open().unwrap();
    let entry = journal.look_up(&plan(1)).await.unwrap().unwrap();
    assert!(entry.published_by_another && entry.published_at == Some(now));
    assert_eq!(journal.fetch_unfinished().await.unwrap(), []);
}

#[tokio::test]
async fn how_the_switch_was_seen_last_is_known_to_the_next_process() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    assert_eq!(journal.fetch_switch().await, Ok(None));
    for on in [false, true] {
        let generation = Some("g-1".to_owned());
        let switch = SwitchNote { on, generation };
        journal.record_switch(&switch).await.unwrap();
        assert_eq!(journal.fetch_switch().await, Ok(Some(switch)));
    }
    drop(journal);
    assert!(
        dir.open()
            .unwrap()
            .fetch_switch()
            .await
            .unwrap()
            .unwrap()
            .on
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_write_down_the_same_plan_one_does() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.record_intent(&intent(n % 4)).await.unwrap() })
        })
        .collect();
    let mut now = 0;
    for writer in writers {
        now += usize::from(writer.await.unwrap() == Recorded::Now);
    }
    assert_eq!(now, 4);
}

#[tokio::test]
async fn a_second_process_is_refused_and_may_read() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    journal.record_intent(&intent(1)).await.unwrap();
    let error = dir.open().unwrap_err();
    assert!(matches!(&error, OpenError::InUse(_)) && error.may_pass());
    assert!(error.to_string().contains("APPLY_STATE_DIR"), "{error}");
    let reader = JournalReader::open(dir.path()).unwrap();
    let entry = reader.look_up(&plan(1)).unwrap().unwrap();
    assert_eq!(entry.intent, Some(intent(1)));
    journal.record_intent(&intent(2)).await.unwrap();
    assert_eq!(reader.entries().unwrap().len(), 2, "it follows the writer");
    drop(journal);
    assert!(dir.open().is_ok(), "the directory is free again");
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_put_into_the_present_form_and_nothing_of_it_is_lost() {
    let dir = Dir::new();
    let name = dir.open().unwrap().name().to_owned();
    let publisher = Publisher {
        attempt: "host.7".parse().unwrap(),
        generation: "g-1".into(),
    };
    let concluded = Entry::intending(intent(3))
        .with_result(&result(3, "order_not_sent"), Some(&publisher))
        .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (earlier, now) = (now.as_secs() - 1, now.as_secs());
    let entries = [
        Entry::claimed(claim(1)),
        Entry::intending(intent(2)),
        concluded.clone(),
        Entry::intending(intent(4)).with_end(now, true).unwrap(),
        Entry::concluded(result(5, "permit_timeout_or_missing:missing_p33"))
            .with_end(earlier, false)
            .unwrap(),
    ];
    fs::remove_file(dir.database()).unwrap();
    write_in_the_former_format(&dir.database(), &name, &entries);
    // Before the first start of this version its commands read it as it is.
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!(reader.entries().unwrap(), entries);
    for entry in &entries {
        let found = reader.look_up(&entry.plan).unwrap();
        assert_eq!(found.as_ref(), Some(entry));
    }
    drop(reader);
    for _ in 0..2 {
        let journal = dir.open().unwrap();
        assert_eq!(journal.name(), name);
        assert!(journal.fetch_switch().await.unwrap().unwrap().on);
        for entry in &entries {
            let found = journal.look_up(&entry.plan).await.unwrap();
            assert_eq!(found.as_ref(), Some(entry));
        }
        assert_eq!(journal.fetch_unfinished().await.unwrap(), entries[..3]);
        let published = journal.fetch_published(9).await.unwrap();
        assert_eq!(published, [entries[3].clone(), entries[4].clone()]);
    }
    let read = JournalReader::open(dir.path()).unwrap().entries().unwrap();
    assert_eq!(read, entries);
    // And it goes on where it was.
    let journal = dir.open().unwrap();
    let executed = ApplyResult {
        executed: true,
        ..result(4, "none")
    };
    journal.record_result(&executed, None).await.unwrap();
    let unfinished = journal.fetch_unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 4);
    assert_eq!(unfinished[3].result, Some(executed));
    assert!(matches!(
        journal.record_intent(&intent(2)).await.unwrap(),
        Recorded::Before(_)
    ));
}

#[tokio::test]
async fn a_file_of_an_earlier_version_that_contradicts_itself_is_refused_and_left_as_it_is() {
    let entry = Entry::intending(intent(1));
    let finished = entry.with_end(7, false).unwrap();
    for (case, entries, unfinished, ended) in [
        ("no entry", vec![], vec![1], vec![]),
        ("nowhere listed", vec![entry.clone()], vec![], vec![]),
        ("listed twice", vec![finished], vec![1], vec![(7, 1)]),
    ] {
        let dir = Dir::new();
        let name = dir.open().unwrap().name().to_owned();
        fs::remove_file(dir.database()).unwrap();
        let lists = (&unfinished[..], &ended[..]);
        write_former_tables(&dir.database(), &name, &entries, lists);
        for _ in 0..2 {
            let error = dir.open().unwrap_err();
            assert!(
                matches!(error, OpenError::Damaged { .. }),
                "{case}: {error}"
            );
        }
    }
    // Another directory's file is not touched.
    let dir = Dir::new();
    drop(dir.open().unwrap());
    fs::remove_file(dir.database()).unwrap();
    write_in_the_former_format(&dir.database(), "another", &[entry]);
    let before = fs::read(dir.database()).unwrap();
    let error = dir.open().unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!(reader.entries().unwrap().len(), 1);
    assert_eq!(fs::read(dir.database()).unwrap().len(), before.len());
}

#[tokio::test]
async fn an_entry_of_an_earlier_version_that_cannot_be_read_keeps_its_plan_from_being_ordered() {
    let dir = Dir::new();
    let name = dir.open().unwrap().name().to_owned();
    fs::remove_file(dir.database()).unwrap();
    let ended = Entry::intending(intent(1)).with_end(7, false).unwrap();
    write_in_the_former_format(&dir.database(), &name, &[ended]);
    let database = redb::Database::open(dir.database()).unwrap();
    let change = database.begin_write().unwrap();
    let text: &[u8] = br#"{"plan":"0000000000000001","intent":"of another kind"}"#;
    let mut table = change.open_table(FORMER_ENTRIES).unwrap();
    table.insert(plan(1).as_str(), text).unwrap();
    drop(table);
    change.commit().unwrap();
    drop(database);
    let journal = dir.open().unwrap();
    assert!(journal.look_up(&plan(1)).await.is_err());
    assert!(journal.record_intent(&intent(1)).await.is_err());
}

#[tokio::test]
async fn a_journal_that_is_missing_is_no_reason_to_begin_a_new_one() {
    let dir = Dir::new();
    dir.open().unwrap().record_intent(&intent(1)).await.unwrap();
    fs::remove_file(dir.database()).unwrap();
    for leave in ["nothing", "an empty file"] {
        let error = dir.open().unwrap_err();
        assert!(
            matches!(error, OpenError::Missing { .. }),
            "{leave}: {error}"
        );
        assert!(error.to_string().contains("journal.id"), "{error}");
        fs::write(dir.database(), "").unwrap();
    }
    assert_eq!(fs::metadata(dir.database()).unwrap().len(), 0, "untouched");
}

#[tokio::test]
async fn a_journal_whose_file_is_gone_or_another_writes_nothing_more() {
    for replace in [false, true] {
        let dir = Dir::new();
        let journal = dir.open().unwrap();
        journal.record_intent(&intent(1)).await.unwrap();
        assert_eq!(journal.condition(), Ok(()));
        let copy = fs::read(dir.database()).unwrap();
        fs::remove_file(dir.database()).unwrap();
        if replace {
            fs::write(dir.database(), copy).unwrap();
        }
        let error = journal.record_intent(&intent(2)).await.unwrap_err();
        assert!(error.to_string().contains("journal.redb"), "{error}");
        assert!(error.to_string().contains("start again"), "{error}");
        for known in [1, 2] {
            assert_eq!(journal.look_up(&plan(known)).await, Err(error.clone()));
        }
        assert_eq!(journal.probe().await, Err(error));
    }
}

/// As by `: > journal.redb`, or a copy back that broke off.
#[tokio::test]
async fn a_journal_that_is_cut_short_is_noticed_and_writes_nothing_more() {
    for (part, wait) in [(0, true), (1, true), (2, true), (1, false)] {
        let dir = Dir::new();
        let journal = dir.open().unwrap();
        journal.record_intent(&intent(1)).await.unwrap();
        let length = fs::metadata(dir.database()).unwrap().len();
        let cut = [0, length / 2, length - 1][part];
        let file = fs::OpenOptions::new().write(true).open(dir.database());
        file.unwrap().set_len(cut).unwrap();
        if wait {
            let until = std::time::Instant::now() + Duration::from_secs(30);
            while journal.condition().is_ok() {
                assert!(std::time::Instant::now() < until, "it is not noticed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let error = journal.record_intent(&intent(2)).await.unwrap_err();
        let why = format!("was cut short, to {cut} of its {length} bytes");
        assert!(error.to_string().contains(&why), "{error}");
        assert_eq!(journal.look_up(&plan(1)).await, Err(error.clone()));
        assert_eq!(journal.probe().await, Err(error));
        assert_eq!(fs::metadata(dir.database()).unwrap().len(), cut, "as it is");
    }
}

#[tokio::test]
async fn that_the_file_is_gone_is_noticed_without_a_write() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while journal.condition().is_ok() {
        assert!(std::time::Instant::now() < until, "it is not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_an_interrupted_first_start_left_is_begun_anew() {
    let dir = Dir::new();
    fs::create_dir(dir.path()).unwrap();
    let draft = dir.path().join("journal.redb.new");
    fs::write(&draft, [0; 4096]).unwrap();
    dir.open().unwrap().record_intent(&intent(1)).await.unwrap();
    assert!(dir.database().exists() && !draft.exists());
    // The same bytes in the journal's own place are no beginning.
    let other = Dir::new();
    fs::create_dir(other.path()).unwrap();
    fs::write(other.database(), [0; 4096]).unwrap();
    let error = other.open().unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn another_directorys_journal_is_refused() {
    let (ours, theirs) = (Dir::new(), Dir::new());
    drop(ours.open().unwrap());
    drop(theirs.open().unwrap());
    fs::copy(theirs.database(), ours.database()).unwrap();
    let error = ours.open().unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn damage_is_named_or_harmless_and_never_loses_an_entry() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    for n in 0..50 {
        journal.record_intent(&intent(n)).await.unwrap();
    }
    drop(journal);
    let sound = fs::read(dir.database()).unwrap();
    let mut refused = 0;
    let damages = (0..sound.len()).step_by(sound.len() / 150 + 1);
    for at in damages {
        let mut damaged = sound.clone();
        damaged[at] ^= 0xff;
        fs::write(dir.database(), &damaged).unwrap();
        match dir.open() {
            Ok(journal) => {
                let entries = journal.fetch_unfinished().await.unwrap();
                assert_eq!(entries.len(), 50, "byte {at} was lost silently");
            }
            Err(error @ OpenError::Damaged { .. }) => {
                assert!(error.to_string().contains("restore it"), "{error}");
                refused += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > 5, "{refused}");
    for length in [1, 100, 4096, sound.len() / 2, sound.len() - 1] {
        fs::write(dir.database(), &sound[..length]).unwrap();
        let error = dir.open().unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{length} bytes: {error}"
        );
        assert_eq!(
            fs::read(dir.database()).unwrap(),
            sound[..length],
            "left as it was found"
        );
    }
    fs::write(dir.database(), vec![0; sound.len()]).unwrap();
    assert!(matches!(dir.open().unwrap_err(), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn what_is_old_and_published_is_pruned_and_what_is_not_published_stays() {
    let dir = Dir::new();
    let settings = JournalSettings {
        keep: Duration::from_secs(3600),
    };
    let journal = RedbJournal::open(dir.path(), settings).unwrap();
    for n in 1..=3 {
        journal
            .record_result(&result(n, "order_not_sent"), None)
            .await
            .unwrap();
    }
    journal.record_published(&plan(1), 1_000).await.unwrap();
    let recent = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    journal.record_published(&plan(2), recent).await.unwrap();
    drop(journal);
    // The first write of a process looks for what is old.
    let journal = RedbJournal::open(dir.path(), settings).unwrap();
    journal.record_intent(&intent(9)).await.unwrap();
    for (n, there) in [(1, false), (2, true), (3, true), (9, true)] {
        let entry = journal.look_up(&plan(n)).await.unwrap();
        assert_eq!(entry.is_some(), there, "plan {n}");
    }
}

#[tokio::test]
async fn what_was_published_last_is_found_and_counts_from_when_it_was_published_first() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    for n in 1..=4 {
        let ended = result(n, "order_not_sent");
        journal.record_result(&ended, None).await.unwrap();
    }
    for (n, at) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
        journal.record_published(&plan(n), at).await.unwrap();
    }
    let published = async |most| {
        let published = journal.fetch_published(most).await.unwrap().into_iter();
        published
            .map(|entry| (entry.plan, entry.published_at.unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(published(2).await, [(plan(3), 3_000), (plan(2), 2_000)]);
    journal.record_published(&plan(1), 4_000).await.unwrap();
    // Else a store that forgets again and again would have the same results written for ever.
    journal
        .record_published_by_another(&plan(2), 5_000)
        .await
        .unwrap();
    let all = [(plan(3), 3_000), (plan(2), 2_000), (plan(1), 1_000)];
    assert_eq!(published(9).await, all);
}

#[tokio::test]
async fn a_note_of_a_publication_reaches_the_disk_by_itself() {
    let dir = Dir::new();
    let journal = dir.open().unwrap();
    let ended = result(1, "order_not_sent");
    journal.record_result(&ended, None).await.unwrap();
    journal.record_published(&plan(1), 1_000).await.unwrap();
    // No further write comes to go with.
    let reader = JournalReader::open(dir.path()).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while reader.look_up(&plan(1)).unwrap().unwrap().published_at != Some(1_000) {
        assert!(std::time::Instant::now() < until, "it never came");
        std::thread::yield_now();
    }
    journal
        .record_result(&result(2, "order_not_sent"), None)
        .await
        .unwrap();
    journal.record_published(&plan(2), 2_000).await.unwrap();
    let unfinished = journal.fetch_unfinished().await;
    assert_eq!(unfinished, Ok(vec![]), "noted before the question");
}

/// A journal that has dealt with plan 1, and its entry as another process reads it.
async fn dealt_with(dir: &Dir) -> (RedbJournal, JournalReader, Entry) {
    let journal = dir.open().unwrap();
    let ended = result(1, "permit_timeout_or_missing:missing_p33");
    journal.record_intent(&intent(1)).await.unwrap();
    journal.record_result(&ended, None).await.unwrap();
    journal.record_published(&plan(1), 1_000).await.unwrap();
    // With it goes the note of the publication.
    journal.fetch_unfinished().await.unwrap();
    let reader = JournalReader::open(dir.path()).unwrap();
    let entry = reader.look_up(&plan(1)).unwrap().unwrap();
    (journal, reader, entry)
}

fn marks(dir: &Dir) -> usize {
    let files = fs::read_dir(dir.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().contains("forgotten"))
        .count()
}

#[tokio::test]
async fn a_plan_is_forgotten_on_the_word_of_another_process_and_can_be_dealt_with_again() {
    let dir = Dir::new();
    let (journal, reader, entry) = dealt_with(&dir).await;
    reader.forget(&entry).unwrap();
    assert_eq!(journal.look_up(&plan(1)).await, Ok(None));
    assert_eq!(marks(&dir), 0);
    assert_eq!(journal.record_intent(&intent(1)).await, Ok(Recorded::Now));
    assert!(journal.look_up(&plan(1)).await.unwrap().is_some(), "once");
    drop(journal);
    let journal = dir.open().unwrap();
    assert_eq!(journal.fetch_unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_word_to_forget_that_was_taken_back_or_is_of_another_entry_counts_for_nothing() {
    let dir = Dir::new();
    let (journal, reader, entry) = dealt_with(&dir).await;
    reader.forget(&entry).unwrap();
    reader.keep(&plan(1)).unwrap();
    assert_eq!(
        journal.look_up(&plan(1)).await.unwrap(),
        Some(entry.clone())
    );
    let other = Entry {
        published_at: Some(999),
        ..entry.clone()
    };
    reader.forget(&other).unwrap();
    assert_eq!(journal.look_up(&plan(1)).await.unwrap(), Some(entry));
    fs::write(dir.path().join(format!("forgotten.{}", plan(1))), "{").unwrap();
    assert!(journal.look_up(&plan(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_under_way_executed_or_not_published_yet_is_never_forgotten() {
    let dir = Dir::new();
    let (journal, reader, entry) = dealt_with(&dir).await;
    let executed = ApplyResult {
        executed: true,
        ..result(1, "")
    };
    for (standing, why) in [
        (Entry::intending(intent(1)), "under way"),
        (
            Entry::concluded(result(1, "p33_permit_denied")),
            "not noted",
        ),
        (
            Entry {
                result: Some(executed),
                ..entry.clone()
            },
            "executed",
        ),
    ] {
        let refused = reader.forget(&standing).unwrap_err();
        assert!(refused.0.contains(why), "{refused}");
    }
    assert_eq!(marks(&dir), 0);
    // Nor where somebody lays a mark of it by hand.
    journal.record_intent(&intent(2)).await.unwrap();
    let open = journal.look_up(&plan(2)).await.unwrap().unwrap();
    let mark = serde_json::to_vec(&open).unwrap();
    fs::write(dir.path().join(format!("forgotten.{}", plan(2))), mark).unwrap();
    assert_eq!(journal.look_up(&plan(2)).await.unwrap(), Some(open));
}

#[test]
fn a_directory_that_cannot_be_made_is_named_with_the_fix() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path()).unwrap();
    fs::write(dir.path().join("plain"), "").unwrap();
    let settings = JournalSettings::for_claims_of(Duration::from_secs(60));
    let error = RedbJournal::open(&dir.path().join("plain/state"), settings).unwrap_err();
    assert!(matches!(error, OpenError::Disk { .. }));
    assert!(error.to_string().contains("mode 0700"), "{error}");
    assert!(matches!(
        JournalReader::open(dir.path()).err().unwrap(),
        OpenError::None(_)
    ));
    // Who only reads is shown no mode to change.
    let error = JournalReader::open(&dir.path().join("plain")).err();
    let error = error.unwrap().to_string();
    assert!(
        error.contains("ask as root or as the service's user") && !error.contains("0700"),
        "{error}"
    );
}
