// SPDX-License-Identifier: GPL-2.0

//! Operations on names and attributes. Each is one record.

use crate::media::format::{self, Inode, Time};
use crate::media::{check, Error, Result, BLOCK};
use crate::meta::alloc::Number;
use crate::meta::change::Change;
use crate::meta::dir::{self, Found};
use crate::meta::inode::{self, Live, LINKS_MAX, SYMLINK_MAX, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::meta::log::Stage;
use crate::meta::span::patiently;
use crate::meta::{table, Durable, Machine, Volume};
use crate::plat::crc32c;

/// What a new file is.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symlink to this target, of 1 to 4095 bytes.
    Symlink(&'a [u8]),
    /// A device node with this number, a fifo or a socket, as the mode says.
    Node(u32),
}

/// A new file.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Type and permissions; the type must agree with `what`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The time.
    pub now: Time,
    /// What it is.
    pub what: What<'a>,
}

/// A change of attributes: what is `Some` is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permissions; the type bits are ignored.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Time>,
    /// Last change of the contents.
    pub mtime: Option<Time>,
    /// Last change of the inode.
    pub ctime: Option<Time>,
}

/// A rename.
pub struct Rename<'a> {
    /// The directory it is in.
    pub from: &'a mut Live,
    /// Its name there.
    pub from_name: &'a [u8],
    /// The directory it goes to; `None` if it stays in `from`.
    pub to: Option<&'a mut Live>,
    /// Its name there.
    pub to_name: &'a [u8],
    /// What is renamed.
    pub moved: &'a mut Live,
    /// What has that name, and loses it.
    pub victim: Option<&'a mut Live>,
    /// The time.
    pub now: Time,
}

/// A directory that entries can be put into.
fn must_live(dir: &Live) -> Result {
    if !dir.is_dir() {
        return Err(Error::NotDir);
    }
    if dir.nlink() == 0 {
        return Err(Error::NotFound);
    }
    Ok(())
}

/// One link more.
fn link_to(raw: &mut Inode) -> Result {
    let nlink = raw.nlink.get();
    if nlink >= LINKS_MAX {
        return Err(Error::TooManyLinks);
    }
    raw.nlink = nlink.saturating_add(1).into();
    Ok(())
}

/// One link less. A directory in use keeps its own two, whatever a bad image says: without any it
/// would be freed.
fn unlink_from(raw: &mut Inode, at: u64) -> Result {
    let own = if raw.mode.get() & S_IFMT == S_IFDIR { 2 } else { 0 };
    let nlink = raw.nlink.get().checked_sub(1).filter(|nlink| *nlink >= own);
    raw.nlink = nlink.ok_or(Error::Corrupt { at, why: "number of links" })?.into();
    Ok(())
}

/// Fills in an inode for a reserved number, which the record takes. `parent` is the directory it goes to.
fn prepare<'v, 's, M: Machine>(
    change: &mut Change<'v, 's, M>,
    volume: &'v Volume<M>,
    number: &'s Number<'v, M>,
    parent: u64,
    new: &New<'_>,
) -> Result<Live> {
    inode::valid_time(new.now)?;
    let mut live = table::fresh(volume, number.ino())?;
    change.record().take_number(number)?;
    let raw = &mut live.raw;
    raw.mode = new.mode.into();
    raw.uid = new.uid.into();
    raw.gid = new.gid.into();
    raw.nlink = 1.into();
    raw.btime = new.now;
    raw.atime = new.now;
    raw.mtime = new.now;
    raw.ctime = new.now;
    let kind = new.mode & S_IFMT;
    let agrees = match new.what {
        What::File => kind == S_IFREG,
        What::Dir => kind == S_IFDIR,
        What::Symlink(_) => kind == S_IFLNK,
        What::Node(_) => inode::special(kind),
    };
    if !agrees {
        return Err(Error::Invalid("type of a new file"));
    }
    match new.what {
        What::File => {}
        What::Dir => {
            raw.nlink = 2.into();
            raw.parent = parent.into();
        }
        What::Symlink(target) => symlink(change, raw, target)?,
        What::Node(rdev) => raw.rdev = rdev.into(),
    }
    Ok(live)
}

/// Puts a symlink's target into the inode, or into a block of its own.
fn symlink<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, target: &[u8]) -> Result {
    if target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid("target of a symlink"));
    }
    if target.len() > SYMLINK_MAX {
        return Err(Error::NameTooLong);
    }
    raw.size = (target.len() as u64).into();
    if target.len() <= format::INLINE_SYMLINK {
        raw.inline_len = target.len() as u8;
        for (to, from) in raw.inline.iter_mut().zip(target) {
            *to = *from;
        }
        return Ok(());
    }
    let block = change.node(0)?;
    let at = block.saturating_mul(BLOCK);
    change.store_fresh(at, target)?;
    raw.root = block.into();
    raw.blocks = 1.into();
    let crc = crc32c(check::target_seed(change.geometry().uuid(), raw), target);
    raw.inline_len = inode::LINK_CRC as u8;
    for (to, from) in raw.inline.iter_mut().zip(crc.to_le_bytes()) {
        *to = from;
    }
    Ok(())
}

/// Reserves a number for a file that is to be made close to the one of number `near`: the caller can see to it that who looks for the
/// number waits until the file is there.
///
/// # Errors
///
/// `NoInodes`, `NoSpace`, `ReadOnly`.
pub fn number<M: Machine>(volume: &Volume<M>, near: u64) -> Result<Number<'_, M>> {
    table::number(volume, near)
}

/// Creates a file in a directory, with a number of its own.
///
/// # Errors
///
/// As of [`create_as`] and [`number`].
pub fn create<M: Machine>(volume: &Volume<M>, dir: &mut Live, name: &[u8], new: &New<'_>) -> Result<Durable<Live>> {
    let number = number(volume, dir.ino())?;
    create_as(volume, dir, name, new, number)
}

/// Creates a file of this number in a directory.
///
/// # Errors
///
/// `Exists`, `NotDir`, `NotFound` (the directory was removed), `NameTooLong`, `TooManyLinks`, `NoSpace`, `Invalid`,
/// `ReadOnly`.
// Apart, so that its frame is not on the stack while the inode table grows.
#[inline(never)]
pub fn create_as<'v, M: Machine>(
    volume: &'v Volume<M>,
    dir: &mut Live,
    name: &[u8],
    new: &New<'_>,
    number: Number<'v, M>,
) -> Result<Durable<Live>> {
    dir::valid(name)?;
    must_live(dir)?;
    patiently(|| try_create(volume, dir, name, new, &number))
}

fn try_create<'v, M: Machine>(
    volume: &'v Volume<M>,
    dir: &mut Live,
    name: &[u8],
    new: &New<'_>,
    number: &Number<'v, M>,
) -> Result<Durable<Live>> {
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let mut live = prepare(&mut change, volume, number, dir.ino(), new)?;
    let mut parent = dir.next();
    dir::insert(&mut change, &mut parent, name, Found { ino: live.ino(), kind: inode::kind(new.mode) })?;
    if live.is_dir() {
        link_to(&mut parent)?;
    }
    super::touch(&mut parent, new.now);
    inode::stage(&mut change, dir, &mut parent)?;
    inode::stage_new(&mut change, &mut live)?;
    let durable = change.commit(())?;
    dir.accept(&parent);
    Ok(durable.map(|()| live))
}

/// Creates a regular file of this number without a name: an orphan until [`link`] gives it one.
///
/// # Errors
///
/// As of [`create_as`].
// Apart, as `create_as`: the table may have to grow before.
#[inline(never)]
pub fn tmpfile<'v, M: Machine>(volume: &'v Volume<M>, new: &New<'_>, number: Number<'v, M>) -> Result<Durable<Live>> {
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let mut live = prepare(&mut change, volume, &number, 0, new)?;
    if !live.is_file() {
        return Err(Error::Invalid("type of a file without a name"));
    }
    live.raw.nlink = 0.into();
    live.raw.orphan = format::ORPHAN_UNLINKED;
    change.record().orphan(live.ino(), true)?;
    inode::stage_new(&mut change, &mut live)?;
    change.commit(live)
}

/// Gives a file another name, or a file without any its first.
///
/// # Errors
///
/// `Exists`, `IsDir`, `TooManyLinks`, and as of [`create`].
pub fn link<M: Machine>(
    volume: &Volume<M>,
    dir: &mut Live,
    name: &[u8],
    target: &mut Live,
    now: Time,
) -> Result<Durable<()>> {
    dir::valid(name)?;
    inode::valid_time(now)?;
    must_live(dir)?;
    if target.is_dir() {
        return Err(Error::IsDir);
    }
    patiently(|| try_link(volume, dir, name, target, now))
}

fn try_link<M: Machine>(
    volume: &Volume<M>,
    dir: &mut Live,
    name: &[u8],
    target: &mut Live,
    now: Time,
) -> Result<Durable<()>> {
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let (mut parent, mut linked) = (dir.next(), target.next());
    link_to(&mut linked)?;
    linked.ctime = now;
    if linked.orphan == format::ORPHAN_UNLINKED {
        linked.orphan = format::ORPHAN_NONE;
        change.record().orphan(target.ino(), false)?;
    }
    dir::insert(&mut change, &mut parent, name, Found { ino: target.ino(), kind: inode::kind(target.mode()) })?;
    super::touch(&mut parent, now);
    inode::stage(&mut change, dir, &mut parent)?;
    inode::stage(&mut change, target, &mut linked)?;
    let durable = change.commit(())?;
    dir.accept(&parent);
    target.accept(&linked);
    Ok(durable)
}

/// The victim of an unlink or of a rename loses its link; the last one makes it an orphan.
fn bereave<M: Machine>(change: &mut Change<'_, '_, M>, victim: &Live, raw: &mut Inode, now: Time) -> Result {
    if victim.is_dir() {
        raw.nlink = 0.into();
    } else {
        unlink_from(raw, victim.at)?;
    }
    raw.ctime = now;
    if raw.nlink.get() == 0 {
        // The bit is set already if a truncation was interrupted.
        raw.orphan = format::ORPHAN_UNLINKED;
        change.record().orphan(victim.ino(), true)?;
    }
    inode::stage(change, victim, raw)
}

fn unlink_any<M: Machine>(
    volume: &Volume<M>,
    dir: &mut Live,
    name: &[u8],
    victim: &mut Live,
    now: Time,
) -> Result<Durable<()>> {
    inode::valid_time(now)?;
    must_live(dir)?;
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let (mut parent, mut gone) = (dir.next(), victim.next());
    dir::remove(&mut change, &mut parent, name, victim.ino())?;
    if victim.is_dir() {
        unlink_from(&mut parent, dir.at)?;
    }
    super::touch(&mut parent, now);
    inode::stage(&mut change, dir, &mut parent)?;
    bereave(&mut change, victim, &mut gone, now)?;
    let durable = change.commit(())?;
    dir.accept(&parent);
    victim.accept(&gone);
    Ok(durable)
}

/// Removes a name of a file that is no directory. Without links the file is an orphan, to be freed by
/// [`evict`](super::evict).
///
/// # Errors
///
/// `IsDir`, `NotDir`, `NotFound` if the name is not the victim's. Never `NoSpace`.
pub fn unlink<M: Machine>(
    volume: &Volume<M>,
    dir: &mut Live,
    name: &[u8],
    victim: &mut Live,
    now: Time,
) -> Result<Durable<()>> {
    if victim.is_dir() {
        return Err(Error::IsDir);
    }
    unlink_any(volume, dir, name, victim, now)
}

/// Removes an empty directory, which is an orphan then.
///
/// # Errors
///
/// `NotEmpty`, `NotDir`, `NotFound` if the name is not the victim's. Never `NoSpace`.
pub fn rmdir<M: Machine>(
    volume: &Volume<M>,
    dir: &mut Live,
    name: &[u8],
    victim: &mut Live,
    now: Time,
) -> Result<Durable<()>> {
    if !victim.is_dir() {
        return Err(Error::NotDir);
    }
    if !dir::is_empty(volume, victim) {
        return Err(Error::NotEmpty);
    }
    unlink_any(volume, dir, name, victim, now)
}

/// Whether what is moved can take the victim's place.
fn replaceable<M: Machine>(volume: &Volume<M>, moved: &Live, victim: &Live) -> Result {
    match (moved.is_dir(), victim.is_dir()) {
        (false, true) => Err(Error::IsDir),
        (true, false) => Err(Error::NotDir),
        (true, true) if !dir::is_empty(volume, victim) => Err(Error::NotEmpty),
        _ if moved.ino() == victim.ino() => Err(Error::Invalid("a file cannot replace itself")),
        _ => Ok(()),
    }
}

/// Moves a name, over another file's if there is a victim. The caller sees to it that no directory is moved below itself.
///
/// # Errors
///
/// `Exists` if the new name exists and there is no victim; `NotFound` if a name is not that of the inode given; `IsDir`,
/// `NotDir`, `NotEmpty`, `TooManyLinks`, `NoSpace`, `NameTooLong`.
pub fn rename<M: Machine>(volume: &Volume<M>, mut rename: Rename<'_>) -> Result<Durable<()>> {
    let Rename { from, to, to_name, moved, victim, now, .. } = &rename;
    dir::valid(to_name)?;
    inode::valid_time(*now)?;
    must_live(from)?;
    to.as_deref().map_or(Ok(()), must_live)?;
    victim.as_deref().map_or(Ok(()), |victim| replaceable(volume, moved, victim))?;
    patiently(|| try_rename(volume, &mut rename))
}

fn try_rename<M: Machine>(volume: &Volume<M>, rename: &mut Rename<'_>) -> Result<Durable<()>> {
    let Rename { from, from_name, to, to_name, moved, victim, now } = rename;
    let now = *now;
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let mut source = from.next();
    let mut target = to.as_deref().map(|to| to.next());
    let found = Found { ino: moved.ino(), kind: inode::kind(moved.mode()) };
    let into = target.as_mut().unwrap_or(&mut source);
    match &victim {
        Some(victim) => dir::replace(&mut change, into, to_name, victim.ino(), found)?,
        None => dir::insert(&mut change, into, to_name, found)?,
    }
    dir::remove(&mut change, &mut source, from_name, moved.ino())?;
    if moved.is_dir() {
        unlink_from(&mut source, from.at)?;
        let into = target.as_mut().unwrap_or(&mut source);
        // The victim, a directory too, gives its link to the moved one.
        if victim.is_none() {
            link_to(into)?;
        }
    }
    super::touch(&mut source, now);
    inode::stage(&mut change, from, &mut source)?;
    if let (Some(to), Some(target)) = (to.as_deref(), target.as_mut()) {
        super::touch(target, now);
        inode::stage(&mut change, to, target)?;
    }
    let mut renamed = moved.next();
    renamed.ctime = now;
    if let (true, Some(to)) = (moved.is_dir(), to.as_deref()) {
        renamed.parent = to.ino().into();
    }
    inode::stage(&mut change, moved, &mut renamed)?;
    let mut gone = victim.as_deref().map(|victim| victim.next());
    if let (Some(victim), Some(gone)) = (victim.as_deref(), gone.as_mut()) {
        bereave(&mut change, victim, gone, now)?;
    }
    let durable = change.commit(())?;
    from.accept(&source);
    moved.accept(&renamed);
    if let (Some(to), Some(target)) = (to, target) {
        to.accept(&target);
    }
    if let (Some(victim), Some(gone)) = (victim.as_mut(), gone) {
        victim.accept(&gone);
    }
    Ok(durable)
}

/// Sets attributes, and makes those durable that [`Live::touch`] and [`Live::accessed`] have set.
///
/// # Errors
///
/// `Invalid` for times that cannot be.
pub fn set_attr<M: Machine>(volume: &Volume<M>, live: &mut Live, attr: &SetAttr) -> Result<Durable<()>> {
    [attr.atime, attr.mtime, attr.ctime].into_iter().flatten().try_for_each(inode::valid_time)?;
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let mut raw = Inode { atime: live.atime(), ..live.next() };
    if let Some(mode) = attr.mode {
        raw.mode = (live.mode() & S_IFMT | mode & !S_IFMT).into();
    }
    raw.uid = attr.uid.map_or(raw.uid, Into::into);
    raw.gid = attr.gid.map_or(raw.gid, Into::into);
    raw.atime = attr.atime.unwrap_or(raw.atime);
    raw.mtime = attr.mtime.unwrap_or(raw.mtime);
    raw.ctime = attr.ctime.unwrap_or(raw.ctime);
    inode::stage(&mut change, live, &mut raw)?;
    let durable = change.commit(())?;
    live.accept_all(&raw);
    Ok(durable)
}
