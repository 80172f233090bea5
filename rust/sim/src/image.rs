// SPDX-License-Identifier: GPL-2.0

//! The words of a memory, in pages that copies share until one of them is changed: an image of a
//! large volume of which little was ever stored to is as cheap as one of a small volume.

use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::random::mix;

/// Words in a page.
const PAGE: usize = 512;
/// Bytes in a page.
const BYTES: usize = PAGE * 8;

type Page = Arc<[u64; PAGE]>;

/// The memory. A page that nobody has stored to is noise: no zeroes.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pages: Vec<Option<Page>>,
    words: usize,
}

/// What is in a word that nobody has stored to.
fn noise(word: usize) -> u64 {
    mix(word as u64) | 1
}

fn noise_page(page: usize) -> Page {
    Arc::new(std::array::from_fn(|word| noise(page * PAGE + word)))
}

impl Image {
    /// So many words of noise.
    pub fn noise(words: usize) -> Self {
        Self { pages: vec![None; words.div_ceil(PAGE)], words }
    }

    /// Words.
    pub fn len(&self) -> usize {
        self.words
    }

    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    pub fn get(&self, word: usize) -> u64 {
        assert!(word < self.words, "past the end of the image");
        self.pages[word / PAGE].as_ref().map_or_else(|| noise(word), |page| page[word % PAGE])
    }

    fn page_mut(&mut self, page: usize) -> &mut [u64; PAGE] {
        Arc::make_mut(self.pages[page].get_or_insert_with(|| noise_page(page)))
    }

    pub fn set(&mut self, word: usize, value: u64) {
        assert!(word < self.words, "past the end of the image");
        self.page_mut(word / PAGE)[word % PAGE] = value;
    }

    /// Copies bytes out, which lie within the image.
    pub fn read(&self, at: usize, into: &mut [u8]) {
        let (mut at, mut into) = (at, into);
        while !into.is_empty() {
            let (page, offset) = (at / BYTES, at % BYTES);
            let (piece, rest) = into.split_at_mut(into.len().min(BYTES - offset));
            match &self.pages[page] {
                Some(words) => piece.copy_from_slice(&words.as_bytes()[offset..offset + piece.len()]),
                None => piece.copy_from_slice(&noise_page(page).as_bytes()[offset..offset + piece.len()]),
            }
            (at, into) = (at + piece.len(), rest);
        }
    }

    /// Calls `each` with the parts of a range that lie in one page, and where they begin in it.
    pub fn change(&mut self, range: std::ops::Range<usize>, mut each: impl FnMut(&mut [u8], usize)) {
        let mut at = range.start;
        while at < range.end {
            let (page, offset) = (at / BYTES, at % BYTES);
            let len = (range.end - at).min(BYTES - offset);
            each(&mut self.page_mut(page).as_mut_bytes()[offset..offset + len], at - range.start);
            at += len;
        }
    }

    /// The words that somebody has stored to: position and value.
    pub fn stored(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let pages = self.pages.iter().enumerate().filter_map(|(page, words)| Some((page, words.as_ref()?)));
        pages.flat_map(|(page, words)| words.iter().enumerate().map(move |(word, value)| (page * PAGE + word, *value)))
    }

    pub fn to_vec(&self) -> Vec<u64> {
        (0..self.words).map(|word| self.get(word)).collect()
    }
}

impl From<Vec<u64>> for Image {
    fn from(words: Vec<u64>) -> Self {
        let page = |words: &[u64]| {
            let mut page = [0; PAGE];
            page[..words.len()].copy_from_slice(words);
            Some(Arc::new(page))
        };
        Self { pages: words.chunks(PAGE).map(page).collect(), words: words.len() }
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        let same = |(page, (one, two)): (usize, (&Option<Page>, &Option<Page>))| match (one, two) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one == two,
            (Some(page_of), None) | (None, Some(page_of)) => *page_of == noise_page(page),
        };
        self.words == other.words && self.pages.iter().zip(&other.pages).enumerate().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_changed_apart() {
        let mut one = Image::noise(3 * PAGE);
        let before = one.clone();
        assert!(one == before && one.get(700) == noise(700));
        one.set(700, 5);
        let mut two = one.clone();
        two.change(BYTES - 3..BYTES + 2, |piece, from| piece.fill(from as u8 + 1));
        assert_eq!((one.get(700), two.get(700), before.get(700)), (5, 5, noise(700)));
        let mut bytes = [0; 6];
        two.read(BYTES - 4, &mut bytes);
        assert_eq!(bytes[1..], [1, 1, 1, 4, 4]);
        assert!(one != two && one != before);
        assert_eq!(one.stored().count(), PAGE);
        assert!(Image::from(before.to_vec()) == before);
    }
}
