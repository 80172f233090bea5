// SPDX-License-Identifier: GPL-2.0
//! A QEMU TCG plugin that logs what the guest does to one physical range, its NVDIMM: stores with their values, write-backs, fences,
//! and markers that the guest emits.
//!
//! Layer: entry point and options. [`callbacks`] is called by QEMU, [`trace`] holds the state, [`guest`] reads registers and page
//! tables, [`decode`] knows the instructions, [`api`] is the foreign interface and, with [`guest`] and [`callbacks`], all that is unsafe.
//!
//! Options: `log=PATH,base=ADDR,size=BYTES[,count=on][,reads=on][,hot=PATH]`. `count` counts instructions for the markers, `reads` bytes loaded;
//! `hot` gets the code addresses that cost markers enclose, with instructions executed.
//! Not seen: devices that write to the range by DMA (the replay of a whole log against the final image tells).
#![deny(unsafe_op_in_unsafe_fn)]

mod api;
mod callbacks;
mod decode;
mod guest;
mod hot;
mod trace;

use std::ffi::{c_char, c_int, CStr};
use std::path::PathBuf;

/// The API version that QEMU checks before anything else.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = api::VERSION;

#[derive(Default)]
struct Options {
    log: PathBuf,
    base: u64,
    size: u64,
    count: bool,
    reads: bool,
    hot: Option<PathBuf>,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is not a number"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text} is neither on nor off")),
    }
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Options::default();
        for arg in args {
            match arg.split_once('=') {
                Some(("log", path)) => options.log = path.into(),
                Some(("base", n)) => options.base = number(n)?,
                Some(("size", n)) => options.size = number(n)?,
                Some(("count", v)) => options.count = switch(v)?,
                Some(("hot", path)) => options.hot = Some(path.into()),
                Some(("reads", v)) => options.reads = switch(v)?,
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        if options.log.as_os_str().is_empty()
            || options.size == 0
            || options.base % 4096 != 0
            || options.size % 4096 != 0
        {
            return Err("log=, base= and size= are needed, the last two in whole pages".into());
        }
        Ok(options)
    }
}

/// # Safety
///
/// Called once by QEMU, with `argc` valid strings in `argv`.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _: *const api::Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let args: Vec<String> = (0..argc as usize)
        // SAFETY: by the contract above.
        .map(|n| unsafe { CStr::from_ptr(*argv.add(n)) }.to_string_lossy().into_owned())
        .collect();
    match Options::parse(&args).and_then(|options| callbacks::install(id, &options)) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("store-trace: {why}");
            -1
        }
    }
}
