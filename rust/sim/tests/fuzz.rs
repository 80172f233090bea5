// SPDX-License-Identifier: GPL-2.0

//! Hostile images: the corpus, and the first of what `scripts/fuzz` tries. A panic is a failure as well: of the core (overflow
//! checks are on), of an access outside the media, of work without end.

use std::path::Path;

use pfnfs_sim::fuzz::arena::Arena;
use pfnfs_sim::fuzz::base;
use pfnfs_sim::fuzz::case::{self, Case};
use pfnfs_sim::fuzz::exercise::Depth;

#[test]
fn corpus_and_first_images() {
    let bases = base::all();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut cases: Vec<Case> = case::load_all(&corpus).unwrap().into_iter().map(|(_, case)| case).collect();
    cases.extend((0..800 * pfnfs_sim::effort()).map(|image| Case::of_seed(&bases, 1, image)));
    let mut deep = 0;
    for case in &cases {
        println!("{case}");
        let base = case.base(&bases).unwrap();
        let outcome = case.run(&Arena::new(base.image.clone()), base).unwrap();
        assert!(case.depth.is_none_or(|depth| depth == outcome.depth), "{:?}", outcome.depth);
        deep += usize::from(outcome.depth >= Depth::Table);
    }
    assert!(deep * 2 > cases.len(), "most images get past superblock and log");
}

#[test]
fn a_case_is_what_its_text_says() {
    let bases = base::all();
    let file = std::env::temp_dir().join(format!("pfnfs-case-{}", std::process::id()));
    for image in 0..500 {
        let case = Case::of_seed(&bases, 1, image);
        std::fs::write(&file, case.to_string()).unwrap();
        assert_eq!(Case::load(&file).unwrap().mutations, case.mutations);
    }
    std::fs::remove_file(&file).unwrap();
}
