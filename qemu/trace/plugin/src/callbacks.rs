// SPDX-License-Identifier: GPL-2.0
//! What QEMU calls: at translation to choose instructions, at run time to log them.
//!
//! Layer: between [`crate::api`] and [`crate::trace`]. Run-time callbacks run on the vCPU's own thread.

use crate::decode::{self, Role};
use crate::hot::Hot;
use crate::trace::{Trace, CPUS};
use crate::{api, guest, Options};
use iced_x86::{Instruction, Register};
use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};
use store_log::{Event, Fence, Mark, Store, StoreKind, TASK_MARK};

struct Plugin {
    trace: Trace,
    /// Counts instructions and locked ones; `None` if not asked for.
    counters: Option<Counters>,
    reads: bool,
    hot: Option<Hot>,
    /// Write-backs that were translated, kept for ever: their callbacks point here. There are few sites.
    flushes: Mutex<HashMap<(u64, [u8; 15]), &'static Instruction>>,
}

#[derive(Clone, Copy)]
struct Counters {
    insns: api::Counter,
    locked: api::Counter,
}

// SAFETY: the pointer within names QEMU's scoreboard, which QEMU guards itself.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

/// The marker that begins a counted operation.
const COST: u64 = 10;

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

pub fn install(id: u64, options: &Options) -> Result<(), String> {
    let trace = Trace::create(&options.log, options.base, options.size)
        .map_err(|e| format!("{}: {e}", options.log.display()))?;
    let counters = options.count.then(|| {
        // SAFETY: no precondition; two words per vCPU, as used below.
        let score = unsafe { api::qemu_plugin_scoreboard_new(16) };
        Counters { insns: api::Counter { score, offset: 0 }, locked: api::Counter { score, offset: 8 } }
    });
    let plugin = Plugin {
        trace,
        counters,
        reads: options.reads,
        hot: options.hot.clone().map(Hot::new),
        flushes: Mutex::default(),
    };
    PLUGIN.set(plugin).map_err(|_| "loaded twice")?;
    // SAFETY: `id` is the one QEMU gave; the functions live as long as the process.
    unsafe {
        api::qemu_plugin_register_vcpu_init_cb(id, on_init);
        api::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
        api::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    Ok(())
}

extern "C" fn on_init(_: u64, vcpu: c_uint) {
    guest::learn_registers();
    if vcpu as usize >= CPUS {
        eprintln!("store-trace: vCPU {vcpu}: loads are counted for the first {CPUS} only");
    }
}

extern "C" fn on_exit(_: u64, _: *mut c_void) {
    if let Some(plugin) = PLUGIN.get() {
        plugin.trace.finish();
        if let Some(Err(why)) = plugin.hot.as_ref().map(Hot::finish) {
            eprintln!("store-trace: the hot blocks cannot be written: {why}");
        }
    }
}

extern "C" fn on_translate(_: u64, tb: *mut api::Tb) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: `tb` is valid during this callback, and so are its instructions.
    unsafe {
        if plugin.hot.is_some() {
            let data = Box::leak(Box::new((api::qemu_plugin_tb_vaddr(tb), api::qemu_plugin_tb_n_insns(tb) as u64)));
            api::qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, api::CB_NO_REGS, std::ptr::from_mut(data).cast());
        }
        for n in 0..api::qemu_plugin_tb_n_insns(tb) {
            let insn = api::qemu_plugin_tb_get_insn(tb, n);
            if !insn.is_null() {
                instrument(plugin, insn);
            }
        }
    }
}

/// # Safety
///
/// `insn` belongs to the block under translation.
unsafe fn instrument(plugin: &'static Plugin, insn: *mut api::Insn) {
    let mut code = [0; 15];
    // SAFETY: by the contract; `code` has room for the bytes asked for.
    let (len, vaddr) = unsafe {
        (api::qemu_plugin_insn_data(insn, code.as_mut_ptr().cast(), code.len()), api::qemu_plugin_insn_vaddr(insn))
    };
    let decoded = decode::decode(code.get(..len).unwrap_or_default(), vaddr);
    let role = decode::role(&decoded);
    let null = std::ptr::null_mut();
    // SAFETY: by the contract; data pointers are small numbers or point to what is never freed.
    unsafe {
        if let Some(counters) = plugin.counters {
            count(insn, counters.insns);
            if decode::is_locked(&decoded) {
                count(insn, counters.locked);
            }
        }
        match role {
            Role::Flush(_) => {
                let kept = plugin.keep((vaddr, code), decoded);
                api::qemu_plugin_register_vcpu_insn_exec_cb(insn, on_flush, api::CB_R_REGS, kept.cast());
            }
            Role::Fence(kind) => {
                api::qemu_plugin_register_vcpu_insn_exec_cb(
                    insn,
                    on_fence,
                    api::CB_NO_REGS,
                    kind as usize as *mut c_void,
                );
            }
            Role::Mark => api::qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, api::CB_R_REGS, null),
            Role::Other => {}
        }
        let kind = site(vaddr, decode::store_kind(&decoded));
        api::qemu_plugin_register_vcpu_mem_cb(insn, on_store, api::CB_R_REGS, api::MEM_W, kind);
        if plugin.reads {
            api::qemu_plugin_register_vcpu_mem_cb(insn, on_load, api::CB_NO_REGS, api::MEM_R, null);
        }
    }
}

/// An instruction and the kind of its stores in one pointer: the two highest bits of an address repeat the one below them.
fn site(vaddr: u64, kind: StoreKind) -> *mut c_void {
    (vaddr << 2 | kind as u64) as *mut c_void
}

/// The address and the kind's number in such a pointer.
fn site_of(data: *mut c_void) -> (u64, usize) {
    ((data as i64 >> 2) as u64, data as usize & 3)
}

/// # Safety
///
/// `insn` belongs to the block under translation.
unsafe fn count(insn: *mut api::Insn, counter: api::Counter) {
    // SAFETY: by the contract; the scoreboard is never freed.
    unsafe { api::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, api::INLINE_ADD_U64, counter, 1) };
}

impl Plugin {
    fn keep(&self, key: (u64, [u8; 15]), insn: Instruction) -> *mut Instruction {
        let mut kept = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        std::ptr::from_ref(*kept.entry(key).or_insert_with(|| Box::leak(Box::new(insn)))).cast_mut()
    }
}

extern "C" fn on_block(_: c_uint, data: *mut c_void) {
    let Some(hot) = PLUGIN.get().and_then(|p| p.hot.as_ref()) else { return };
    // SAFETY: registered with a pair that is never freed nor changed.
    let (vaddr, insns) = unsafe { *data.cast::<(u64, u64)>() };
    hot.block(vaddr, insns);
}

extern "C" fn on_flush(vcpu: c_uint, data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: registered with an instruction that is never freed nor changed.
    let insn: &Instruction = unsafe { &*data.cast::<Instruction>() };
    let Role::Flush(kind) = decode::role(insn) else {
        return;
    };
    let register = |reg: Register| match reg {
        Register::FS => guest::register("fs_base"),
        Register::GS => guest::register("gs_base"),
        _ => guest::register(&format!("{reg:?}").to_lowercase()),
    };
    match decode::address(insn, register) {
        Some(vaddr) => plugin.trace.flush(vcpu, kind, vaddr),
        None => plugin.trace.put(vcpu, &Event::Lost { vaddr: 0 }),
    }
}

extern "C" fn on_fence(vcpu: c_uint, data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let kind = [Fence::Sfence, Fence::Mfence, Fence::Locked, Fence::Serialising].get(data as usize).copied();
    plugin.trace.fence(vcpu, kind.unwrap_or(Fence::Serialising));
}

extern "C" fn on_mark(vcpu: c_uint, _: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let argument = |name| guest::register(name).unwrap_or(0);
    let (insns, locked) = plugin.counters.map_or((0, 0), |c| {
        // SAFETY: the vCPU exists and the scoreboard is never freed.
        unsafe { (api::qemu_plugin_u64_get(c.insns, vcpu), api::qemu_plugin_u64_get(c.locked, vcpu)) }
    });
    let mark = Mark {
        id: argument("rdi"),
        args: [argument("rsi"), argument("rdx")],
        insns,
        locked,
        loaded: plugin.trace.loaded(vcpu),
    };
    if let Some(hot) = &plugin.hot {
        hot.mark(mark.id == COST, mark.args);
    }
    if mark.id == TASK_MARK {
        plugin.trace.watch_tasks(mark.args[0]);
    }
    plugin.trace.put(vcpu, &Event::Mark(mark));
}

/// The physical address of the access under way, unless it is a device's. Learns the direct map on the way.
fn physical(trace: &Trace, info: u32, vaddr: u64) -> Option<u64> {
    if let Some(physical) = trace.by_direct_map(vaddr) {
        return Some(physical);
    }
    // SAFETY: called in the memory callback that gave `info`; the handle is used within it.
    let physical = unsafe {
        let hwaddr = api::qemu_plugin_get_hwaddr(info, vaddr);
        if hwaddr.is_null() || api::qemu_plugin_hwaddr_is_io(hwaddr) {
            return None;
        }
        api::qemu_plugin_hwaddr_phys_addr(hwaddr)
    };
    trace.learn(vaddr, physical);
    Some(physical)
}

extern "C" fn on_store(vcpu: c_uint, info: u32, vaddr: u64, data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let Some(physical) = physical(&plugin.trace, info, vaddr) else {
        return;
    };
    // SAFETY: called in the memory callback that gave `info`.
    let (shift, value) = unsafe { (api::qemu_plugin_mem_size_shift(info), api::qemu_plugin_mem_get_value(info)) };
    if shift > 4 {
        plugin.trace.put(vcpu, &Event::Lost { vaddr });
        return;
    }
    // SAFETY: any bits are a number; those beyond the access's size are cut off.
    let words = unsafe {
        if shift == 4 {
            value.data.wide
        } else {
            [value.data.small, 0]
        }
    };
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(words.iter().flat_map(|w| w.to_le_bytes())).take(1 << shift) {
        *to = from;
    }
    let (site, kind) = site_of(data);
    let kind = [StoreKind::Plain, StoreKind::NonTemporal, StoreKind::Locked].get(kind).copied();
    let store = Store { kind: kind.unwrap_or(StoreKind::Plain), at: 0, len: 1 << shift, bytes };
    plugin.trace.store(vcpu, vaddr, physical, site, store);
}

extern "C" fn on_load(vcpu: c_uint, info: u32, vaddr: u64, _: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    if let Some(physical) = physical(&plugin.trace, info, vaddr) {
        // SAFETY: called in the memory callback that gave `info`.
        let shift = unsafe { api::qemu_plugin_mem_size_shift(info) };
        plugin.trace.load(vcpu, physical, 1 << shift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_keeps_its_address_and_kind() {
        for vaddr in [0, 0x7fff_ffff_fff1, 0xffff_8880_0000_0003, 0xffff_ffff_8100_0002] {
            assert_eq!(site_of(site(vaddr, StoreKind::Locked)), (vaddr, StoreKind::Locked as usize));
        }
    }
}
