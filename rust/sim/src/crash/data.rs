// SPDX-License-Identifier: GPL-2.0

//! Operations on the data of files that take several steps, convert many blocks at once, have edges
//! within blocks, or place blocks in runs of 2 MiB; with the setups that they are for.

/// Each only by itself.
pub(super) const DATA: &[(&str, &[&str])] = &[
    (
        "steps",
        &[
            "write /g - 4096 70000",
            "write /g - 100 97000",
            "write /g - 70000 40000",
            "write /f - 4990 500",
            "store /g - 40000 2",
            "store /g - 5000 3",
            "store /g - 73720 1; write /g - 50000 300",
            "storehuge /g - 40000 2",
            "storehuge /g - 16384 6",
            "write /n0 - 0 64; store /g - 40000 2",
            "write /g - 20000 100; store /g - 40000 2",
            "truncate /g - 60000; store /g - 40000 2",
            "unlink /f; storehuge /g - 30000 2",
            "mkdir /m; storehuge /g - 50000 2",
            "chmod /g - 384; store /g - 8192 1",
            "punch /g - 5 2; store /g - 50000 1",
            "storehuge /g - 60000 1; write /g - 96000 9000",
            "storehuge /g - 40000 2; fsync /g",
            "storehuge /g - 81920 1; truncate /g - 20000",
            "punchbytes /g - 3000 60000",
            "punchbytes /g - 100 300",
            "punchbytes /f - 100 300",
            "punchbytes /f - 4000 400",
            "punchbytes /f - 100 9000",
            "zerobytes /f - 100 300",
            "zerobytes /f - 1000 3096",
            "zerobytes /g - 3000 9000",
            "store /f - 4200 3; truncate /f - 4600",
            "fill /n0 - 0; store /g - 40000 2",
        ],
    ),
    (
        "large",
        &[
            "write /h - 2093056 9000",
            "write /n0 - 2096000 6000",
            "reserve /h - 512 3",
            "reserve /n0 - 510 4",
            "reserve /n0 - 1024 1",
            "write /n0 - 2097152 100",
            "write /n0 - 2097152 700",
            "write /h - 2097160 400",
            "fallocate /n0 - 2000000 2200000",
            "storehuge /u - 2100000 2",
            "storehuge /u - 8 1",
            "store /u - 8 1",
            "truncate /u - 2100000",
            "punchbytes /u - 2096000 30000",
        ],
    ),
];
