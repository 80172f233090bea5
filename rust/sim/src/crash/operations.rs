// SPDX-License-Identifier: GPL-2.0

//! The operations that workloads are made of, as lines of calls.

/// The operations of which all sequences are tried. A line is one operation: what it needs before, and the last call.
pub(super) const OPERATIONS: &[&str] = &[
    "create /c",
    "create /d/c",
    "mkdir /m",
    "mkfifo /q",
    "link /f /d/k",
    "symlink /t - 30",
    "symlink /t - 300",
    "unlink /f",
    "unlink /l",
    "unlink /s",
    "symlink /y - 200; unlink /y",
    "mkdir /m; create /m/c; unlink /m/c",
    "rmdir /e",
    "rename /f /r",
    "rename /n0 /f",
    "rename /e /d/s",
    "rename /f /d/x",
    "rename /p /f",
    "rename /f /d/f",
    "rename /d/s /e/s",
    "write /f - 0 64",
    "write /f - 0 4500",
    "write /f - 1001 30",
    "write /f - 5000 600",
    "write /f - 5000 3400",
    "write /n0 - 0 100",
    "write /g - 4096 4096",
    "write /g - 5000 20",
    "write /g - 100 200",
    "write /g - 16000 10",
    "truncate /f - 0",
    "truncate /f - 4096",
    "truncate /f - 4500",
    "truncate /g - 5000",
    "truncate /f - 5100",
    "truncate /f - 9000",
    "fallocate /g - 4096 4096",
    "fallocate /f - 4096 9000",
    "reserve /n0 - 2 2",
    "punch /g - 2 1",
    "punch /f - 0 1",
    "chmod /f - 420",
    "unlinkopen /f",
    "unlinkopen /f; close",
    "unlinkopen /f; write @ - 5000 300",
    "tmpfile",
    "tmpfile; link @ /w",
    "store /f - 8 3",
    "store /f - 5000 2",
    "store /g - 4096 2",
    "store /g - 0 1",
    "store /f - 8 3; fsync /f",
    "store /g - 4096 2; fsync /g",
    "write /f - 0 8; fsync /f",
    "checkpoint",
    // What fails gives everything back.
    "create /f",
    "symlink /f - 300",
    "link /f /l",
    "rename /f /d",
    "rmdir /d",
    "zero /g - 1 2",
    "zero /f - 0 1",
    "remount",
];

/// More of them, each only by itself, on the setups named: on files of many extents, with volumes that have only so many free
/// blocks, so that each block that an operation takes is the one that is not there.
pub(super) const EXTRA: &[(&str, &[&str])] = &[
    (
        "pieces",
        &[
            "unlink /g",
            "unlinkopen /g; close",
            "rename /n0 /g",
            "truncate /g - 0",
            "truncate /g - 30000",
            "punch /g - 0 72",
            "punch /g - 3 40",
            "zero /g - 0 72",
            "zero /g - 5 50",
            "write /g - 4096 4096",
            "store /g - 4096 2",
            "fill /n0 - 0; zero /g - 0 72",
            "fill /n0 - 0; punch /g - 0 72",
            "fill /n0 - 0; write /g - 4096 4096",
            "chown /g - 7 70000",
            "remount",
        ],
    ),
    (
        "extents",
        &[
            "fill /n0 - 0; zero /f - 0 1",
            "fill /n0 - 1; zero /f - 0 1",
            "fill /n0 - 0; zero /g - 2 1",
            "fill /n0 - 0; write /f - 12288 9",
            "fill /n0 - 1; write /f - 12288 9",
            "fill /n0 - 2; write /f - 12288 9",
            "fill /n0 - 0; store /f - 12288 2",
            "fill /n0 - 1; store /f - 12288 2",
            "fill /n0 - 1; reserve /f - 10 9",
        ],
    ),
    (
        "split",
        &[
            "fill /n0 - 0; create /c",
            "fill /n0 - 1; create /c",
            "fill /n0 - 2; create /c",
            "fill /n0 - 3; create /c",
            "fill /n0 - 1; symlink /t - 300",
            "fill /n0 - 2; link /f /k",
            "fill /n0 - 2; rename /f /longer",
            "fill /n0 - 1; mkdir /m",
        ],
    ),
    (
        "small",
        &["chown /f - 7 70000", "chown /d - 7 70000; remount", "remount; create /c", "create /c; remount; unlink /c"],
    ),
    (
        "inodes",
        &[
            "fill /f - 0; create /c",
            "fill /f - 16; create /c",
            "fill /f - 17; create /c",
            "unlink /k60; fill /f - 0; create /c",
        ],
    ),
];

/// Those on a file of more than one leaf of extents: in `make check-full`.
pub(super) const MANY: &[&str] = &[
    "unlink /g",
    "rename /n0 /g",
    "truncate /g - 9000",
    "punch /g - 0 200",
    "punch /g - 30 130",
    "zero /g - 0 200",
    "zero /g - 11 100",
    "fill /n0 - 0; zero /g - 0 200",
];

/// Where `checkpoint` is in the list.
pub(super) const CHECKPOINT: usize = 54;
const _: () = assert!(matches!(OPERATIONS[CHECKPOINT].as_bytes(), b"checkpoint"));
/// Where `remount` is in the list.
pub(super) const REMOUNT: usize = 62;
const _: () = assert!(matches!(OPERATIONS[REMOUNT].as_bytes(), b"remount"));

/// Pairs of those that make the inode table grow, or come after it.
pub(super) const GROWING: [[usize; 2]; 6] = [[0, 1], [0, 2], [2, 0], [3, 0], [5, 0], [6, 3]];
