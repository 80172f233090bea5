// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: what it says, in words or as JSON lines.

use std::path::Path;

use pfnfs_core::media::{format, Error, BLOCK};
use pfnfs_core::meta::walk::{Fix, Problem};
use serde::Serialize;

use super::names::Names;
use super::survey::Survey;

/// Where output goes, and in which form.
pub struct Report {
    json: bool,
    verbose: bool,
    name: String,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Problem {
        what: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        inode: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        block: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        repair: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        repaired: Option<bool>,
    },
    Summary {
        inodes: u64,
        directories: u64,
        orphans: u64,
        entries: u64,
        extents: u64,
        blocks: u64,
        problems: usize,
        dirty: bool,
    },
    Skipped,
    Error {
        what: String,
    },
    Exit {
        code: u8,
    },
}

/// What an error says, and the byte it is about.
fn words(error: &Error) -> (&'static str, Option<u64>) {
    match *error {
        Error::Corrupt { at, why } => (why, Some(at)),
        Error::Poison { at } => ("cannot be read", Some(at)),
        Error::Damaged(why) => (why, None),
        _ => ("cannot be checked", None),
    }
}

impl Report {
    pub fn new(json: bool, verbose: bool, device: &Path) -> Self {
        Self { json, verbose, name: device.display().to_string() }
    }

    fn line(&self, line: &Line<'_>) {
        if self.json {
            // Plain numbers and strings: always JSON.
            println!("{}", serde_json::to_string(line).unwrap_or_default());
        }
    }

    /// Something is wrong, and was repaired, or could not be, or was not tried.
    pub fn problem(&mut self, problem: &Problem, names: &Names, repaired: Option<bool>) {
        let (what, at) = words(&problem.error);
        let path = problem.ino.filter(|ino| *ino != format::TABLE_INO).and_then(|ino| names.path(ino));
        let count = if let Fix::Bits(_, count, _) = problem.fix { Some(count) } else { None };
        if self.json {
            let (inode, block, repair) = (problem.ino, at.map(|at| at / BLOCK), problem.fix.verb());
            self.line(&Line::Problem { what, inode, path, at, block, count, repair, repaired });
            return;
        }
        let whose = match (problem.ino, path) {
            (Some(format::TABLE_INO), _) => "inode table: ".to_owned(),
            (Some(ino), Some(path)) => format!("inode {ino} ({path}): "),
            (Some(ino), None) => format!("inode {ino}: "),
            (None, _) => String::new(),
        };
        let place = at.map_or_else(String::new, |at| format!(", block {}, byte {at:#x}", at / BLOCK));
        let more = count.filter(|count| *count > 1).map_or_else(String::new, |count| format!(", {count} blocks"));
        let state = match repaired {
            Some(true) => format!(": repaired ({})", problem.fix.verb()),
            Some(false) => ": NOT repaired".to_owned(),
            None => String::new(),
        };
        println!("{whose}{what}{place}{more}{state}");
    }

    /// A repair failed.
    pub fn unrepaired(&mut self, problem: &Problem, names: &Names, error: &anyhow::Error) {
        self.problem(problem, names, Some(false));
        if !self.json {
            println!("  {error:#}");
        }
    }

    /// It was unmounted in order, and is not looked at.
    pub fn skipped(&mut self) {
        self.line(&Line::Skipped);
        if !self.json {
            println!("{}: clean; -f checks it nevertheless", self.name);
        }
    }

    /// Only safe repairs are wanted.
    pub fn unexpected(&mut self) {
        if !self.json {
            println!("{}: UNEXPECTED INCONSISTENCY; run fsck.pfnfs without -p", self.name);
        }
    }

    /// What there is.
    pub fn summary(&mut self, found: &Survey) {
        let sum = &found.summary;
        let problems = found.problems.len();
        self.line(&Line::Summary {
            inodes: sum.inodes,
            directories: sum.dirs,
            orphans: sum.orphans,
            entries: sum.entries,
            extents: sum.extents,
            blocks: sum.blocks,
            problems,
            dirty: found.dirty,
        });
        if self.json {
            return;
        }
        let state = match problems {
            0 => "clean".to_owned(),
            1 => "1 problem".to_owned(),
            _ => format!("{problems} problems"),
        };
        println!("{}: {state}, {} inodes, {} blocks in use", self.name, sum.inodes, sum.blocks);
        if self.verbose {
            println!("  {} directories, {} entries, {} extents", sum.dirs, sum.entries, sum.extents);
            println!("  {} orphans, which the next mount frees", sum.orphans);
            if found.dirty {
                println!("  the log was replayed in memory; the next mount does it for good");
            }
        }
    }

    /// It cannot be checked.
    pub fn failed(&mut self, error: &anyhow::Error) {
        self.line(&Line::Error { what: format!("{error:#}") });
        if !self.json {
            eprintln!("fsck.pfnfs: {}: {error:#}", self.name);
        }
    }

    /// The end.
    pub fn end(&mut self, code: u8) {
        self.line(&Line::Exit { code });
    }
}
