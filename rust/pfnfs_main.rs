// SPDX-License-Identifier: GPL-2.0

//! The root of the module: which layers there are, the module's parameters, and the order in which things come up.
//!
//! Layers, an arrow meaning "may import": `fs -> dax -> linux`, `fs -> dev -> linux`, `fs -> meta -> media`.
//! `unsafe` exists below `linux` and nowhere else.

#![crate_name = "pfnfs"]
#![deny(unsafe_code)]

mod dax;
mod dev;
mod fs;
mod linux;
#[path = "core/media/mod.rs"]
#[allow(dead_code, reason = "also a library for the tools, which use more of it")]
mod media;
#[path = "core/meta/mod.rs"]
#[allow(dead_code, reason = "also a library for the tools, which use more of it")]
mod meta;
#[path = "linux/plat.rs"]
mod plat;

use kernel::prelude::*;

module! {
    type: Pfnfs,
    name: "pfnfs",
    authors: ["The pfnfs authors"],
    description: "Persistent memory devices and a file system mounted directly on them",
    license: "GPL v2",
    alias: ["fs-pfnfs"],
    params: {
        phys: u64 {
            default: 0,
            description: "physical address of persistent memory that no firmware table describes",
        },
        size: u64 {
            default: 0,
            description: "size in bytes of the memory at phys",
        },
    },
}

/// What lives as long as the module, in its static memory: lock classes of the file system type are in there. Fields are
/// dropped in their order.
#[pin_data]
struct Pfnfs {
    #[pin]
    _fs: fs::Registration,
    _debug: fs::debug::Root,
    _dev: dev::Layer,
}

impl kernel::InPlaceModule for Pfnfs {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        if let Some(mutant) = linux::pmem::MUTANT {
            pr_warn!("built with {}: data WILL be lost, for tests only\n", mutant);
        }
        let parameters = (*module_parameters::phys.value(), *module_parameters::size.value());
        try_pin_init!(Self {
            _dev: dev::Layer::new(module, parameters.0, parameters.1)?,
            _debug: fs::debug::Root::new(),
            _fs <- fs::Registration::new(module),
        })
    }
}
