// SPDX-License-Identifier: GPL-2.0
//! The model of a power cut, case by case. `w(n)` is a word whose eight bytes are n.

use super::*;
use crate::event::Flush;
use std::collections::BTreeSet;

fn store(kind: StoreKind, at: u64, n: u8) -> Event {
    Event::Store(Store { kind, at, len: 8, bytes: [n; 16] })
}

fn plain(at: u64, n: u8) -> Event {
    store(StoreKind::Plain, at, n)
}

fn nt(at: u64, n: u8) -> Event {
    store(StoreKind::NonTemporal, at, n)
}

fn clwb(at: u64) -> Event {
    Event::Flush { kind: Flush::Clwb, at }
}

const SFENCE: Event = Event::Fence(Fence::Sfence);
const LOCKED: Event = Event::Fence(Fence::Locked);

fn after_in(domain: Domain, events: &[Event]) -> Media {
    let mut media = Media::new(vec![0; 4096], domain);
    for event in events {
        assert!(media.apply(event));
    }
    media
}

fn after(events: &[Event]) -> Media {
    after_in(Domain::Explicit, events)
}

fn dropped(events: &[Event]) -> Vec<u8> {
    after(events).cut(Rest::Dropped)
}

/// The first bytes of the words in `words`, over many seeds.
fn outcomes(media: &Media, words: &[usize]) -> BTreeSet<Vec<u8>> {
    let of = |image: Vec<u8>| words.iter().map(|w| image[w * 8]).collect();
    (0..400).map(|seed| of(media.cut(Rest::Seeded(seed)))).collect()
}

#[test]
fn a_store_alone_is_dropped_and_kept_on_request() {
    let media = after(&[plain(0, 1), nt(64, 2)]);
    assert_eq!(media.cut(Rest::Dropped), vec![0; 4096]);
    let kept = media.cut(Rest::Kept);
    assert_eq!((kept[0], kept[64]), (1, 2));
}

#[test]
fn neither_a_write_back_nor_a_fence_alone_is_enough() {
    assert_eq!(dropped(&[plain(0, 1), clwb(0)])[0], 0);
    assert_eq!(dropped(&[plain(0, 1), SFENCE])[0], 0);
    assert_eq!(dropped(&[plain(0, 1), SFENCE, clwb(0)])[0], 0);
    assert_eq!(dropped(&[clwb(0), plain(0, 1), SFENCE])[0], 0);
    assert_eq!(dropped(&[plain(0, 1), clwb(0), SFENCE])[0], 1);
}

#[test]
fn a_non_temporal_store_needs_only_the_fence() {
    assert_eq!(dropped(&[nt(0, 1), clwb(0)])[0], 0);
    assert_eq!(dropped(&[nt(0, 1), SFENCE])[0], 1);
}

#[test]
fn the_fence_must_be_of_the_same_cpu() {
    assert_eq!(dropped(&[nt(0, 1), Event::Cpu(1), SFENCE])[0], 0);
    assert_eq!(dropped(&[plain(0, 1), clwb(0), Event::Cpu(1), SFENCE])[0], 0);
    assert_eq!(dropped(&[plain(0, 1), Event::Cpu(1), clwb(0), SFENCE])[0], 1);
    assert_eq!(dropped(&[nt(0, 1), Event::Cpu(1), SFENCE, Event::Cpu(0), SFENCE])[0], 1);
}

#[test]
fn a_write_back_covers_what_was_stored_before_it() {
    let media = after(&[plain(0, 1), plain(8, 2), clwb(0), plain(0, 3), plain(16, 4), SFENCE]);
    let image = media.cut(Rest::Dropped);
    assert_eq!((image[0], image[8], image[16]), (1, 2, 0));
    assert_eq!(outcomes(&media, &[0, 1, 2]), [vec![1, 2, 0], vec![3, 2, 0], vec![3, 2, 4]].into());
}

#[test]
fn a_line_is_evicted_in_order_and_lines_independently() {
    let media = after(&[plain(0, 1), plain(8, 2), plain(64, 3)]);
    let all = [[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 0, 3], [1, 0, 3], [1, 2, 3]];
    assert_eq!(outcomes(&media, &[0, 1, 8]), all.iter().map(|o| o.to_vec()).collect());
}

#[test]
fn non_temporal_words_arrive_in_any_order() {
    let media = after(&[nt(0, 1), nt(8, 2)]);
    let all = [[0, 0], [1, 0], [0, 2], [1, 2]];
    assert_eq!(outcomes(&media, &[0, 1]), all.iter().map(|o| o.to_vec()).collect());
}

#[test]
fn an_older_plain_store_never_covers_a_fenced_non_temporal_one() {
    let media = after(&[plain(0, 1), plain(8, 5), nt(0, 2), SFENCE]);
    assert_eq!(outcomes(&media, &[0, 1]), [vec![2, 0], vec![2, 5]].into());
    assert_eq!(media.cut(Rest::Kept)[0], 2);
}

#[test]
fn a_wide_store_tears_only_between_words() {
    let wide = |at| Event::Store(Store { kind: StoreKind::NonTemporal, at, len: 16, bytes: [7; 16] });
    let media = after(&[wide(4)]);
    for seed in 0..100 {
        let image = media.cut(Rest::Seeded(seed));
        for part in [4..8, 8..16, 16..20] {
            let part = &image[part];
            assert!(part.iter().all(|b| *b == part[0]));
        }
    }
    assert_eq!(outcomes(&after(&[wide(56)]), &[7, 8]).len(), 4);
}

#[test]
fn a_locked_instruction_is_a_fence_to_the_hardware_only() {
    let events = [plain(0, 1), clwb(0), nt(64, 2), LOCKED];
    assert_eq!(dropped(&events)[0], 0);
    let image = after_in(Domain::Hardware, &events).cut(Rest::Dropped);
    assert_eq!((image[0], image[64]), (1, 2));
}

#[test]
fn a_settled_line_starts_a_new_history() {
    let media = after(&[
        plain(0, 1),
        clwb(0),
        Event::Cpu(1),
        clwb(0),
        Event::Cpu(0),
        SFENCE,
        plain(0, 2),
        Event::Cpu(1),
        SFENCE,
    ]);
    assert_eq!(media.cut(Rest::Dropped)[0], 1, "the second CPU's write-back was of the first value");
    assert_eq!(media.unsafe_lines(), 1);
}

#[test]
fn open_lines_are_counted() {
    let media = after(&[plain(0, 1), nt(64, 2), nt(72, 2), SFENCE, nt(128, 3)]);
    assert_eq!((media.unsafe_lines(), media.unfenced_lines()), (2, 1));
}

#[test]
fn a_store_beyond_the_image_is_told() {
    let mut media = Media::new(vec![0; 64], Domain::Explicit);
    assert!(!media.apply(&plain(64, 1)));
    assert!(!media.apply(&plain(60, 1)));
    assert!(media.apply(&plain(56, 1)));
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let events: Vec<_> = (0..64).map(|i| if i % 3 == 0 { nt(i * 8, 1) } else { plain(i * 8, 2) }).collect();
    let media = after(&events);
    assert_eq!(media.cut(Rest::Seeded(5)), media.cut(Rest::Seeded(5)));
    assert_ne!(media.cut(Rest::Seeded(5)), media.cut(Rest::Seeded(6)));
}
