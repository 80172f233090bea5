// SPDX-License-Identifier: GPL-2.0

//! Layer fs: one `write(2)`: the locks around the steps that the core makes of it
//! (`meta::file::Write`).

use kernel::iov::IovIterSource;
use kernel::prelude::*;

use super::carrier::User;
use super::gate::Storing;
use super::inode::{self, media_time, Locked};
use super::map;
use crate::linux::mm::Mapping;
use crate::meta::file::{self, Carried, Write};

/// Writes from `pos` on what `from` has. Returns the bytes written, all of them durable, or the
/// error if there are none.
pub(super) fn write(l: &Locked<'_>, store: &Storing<'_>, pos: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
    if pos > l.size() {
        let (mut guard, mut carrier) = (inode::alone(l), store);
        let prepared = file::prepare_end(store.volume(), guard.get()?, pos, &mut carrier);
        prepared.map_err(|e| l.sb().data().failed(l.ino(), e))?;
    }
    let (mut write, mut buffer, mut done) = (Write::new(pos), KVVec::new(), 0usize);
    let mut outcome = Ok(());
    while !from.is_empty() {
        match step(l, store, &mut write, &mut buffer, from) {
            Ok(n) => done = done.wrapping_add(n),
            Err(e) => {
                outcome = Err(e);
                break;
            }
        }
    }
    if done > 0 {
        map::stored(l);
    }
    if write.overwrote() {
        // The bytes are there, and that is what is told; who asks for durability is told of the
        // times.
        let _ = inode::touch(l).inspect_err(|&e| Mapping::of(l).set_error(e));
    }
    if done == 0 {
        outcome?;
    }
    Ok(done)
}

/// One step. No lock but `i_rwsem` is held while bytes are copied from the user's memory: a page
/// fault may need it.
fn step(
    l: &Locked<'_>,
    store: &Storing<'_>,
    write: &mut Write,
    buffer: &mut KVVec<u8>,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let (mounted, volume) = (l.sb().data(), store.volume());
    let next = {
        let guard = inode::share(l);
        write.next(volume, guard.get()?, from.len() as u64).map_err(|e| mounted.fail(l.ino(), e))?
    };
    let mut user = User::new(store, buffer, from);
    let carried = write.carry(volume, next, &mut user).map_err(|e| mounted.failed(l.ino(), e))?;
    let n = match carried {
        Carried::Done(n) => n,
        Carried::Again => 0,
        carried => {
            let mut guard = inode::alone(l);
            let live = guard.get()?;
            let done = write.record(volume, live, carried, &mut user, media_time(l.now()));
            let done = done.map_err(|e| mounted.failed(l.ino(), e))?;
            drop(guard);
            if !done.filled.is_empty() {
                map::filled(l, done.filled);
            }
            done.bytes
        }
    } as usize;
    user.keep(n);
    Ok(n)
}
