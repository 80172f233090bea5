/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: kernel headers that kernel::bindings lacks, prototypes that the kernel exports but declares only
 * in private headers, and constants that bindgen cannot evaluate by itself (RUST_CONST_HELPER_X becomes X).
 */
#ifndef PFNFS_BINDINGS_HELPER_H
#define PFNFS_BINDINGS_HELPER_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/backing-dev.h>
#include <linux/badblocks.h>
#include <linux/cdev.h>
#include <linux/crc32.h>
#include <linux/dax.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fserror.h>
#include <linux/iomap.h>
#include <linux/ioport.h>
#include <linux/iversion.h>
#include <linux/libnvdimm.h>
#include <linux/magic.h>
#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/namei.h>
#include <linux/nd.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/rmap.h>
#include <linux/set_memory.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/uio.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>
#include <linux/xattr.h>

#include "../shim.h"

/* --- dev --- */

/* Exported by drivers/dax/super.c, declared in drivers/dax/dax-private.h. */
struct inode *dax_inode(struct dax_device *dax_dev);

/* Exported by drivers/nvdimm, declared in drivers/nvdimm/nd.h. */
struct nd_namespace_common *nvdimm_namespace_common_probe(struct device *dev);
bool is_nd_btt(struct device *dev);
bool is_nd_pfn(struct device *dev);
bool is_nd_dax(const struct device *dev);
void nvdimm_badblocks_populate(struct nd_region *nd_region, struct badblocks *bb, const struct range *range);
long nvdimm_clear_poison(struct device *dev, phys_addr_t phys, unsigned int len);

const unsigned int RUST_CONST_HELPER_FMODE_WRITE = (__force unsigned int)FMODE_WRITE;

/* --- vfs --- */

const u32 RUST_CONST_HELPER_IOCB_SYNC = (u32)IOCB_SYNC;
const u32 RUST_CONST_HELPER_LOOKUP_FOLLOW = LOOKUP_FOLLOW;
const u32 RUST_CONST_HELPER_SB_RDONLY = SB_RDONLY;
const u32 RUST_CONST_HELPER_SB_ACTIVE = SB_ACTIVE;
const fop_flags_t RUST_CONST_HELPER_FOP_MMAP_SYNC = FOP_MMAP_SYNC;

/* --- dax --- */

const u32 RUST_CONST_HELPER_XA_CHUNK_SHIFT = XA_CHUNK_SHIFT;
const u32 RUST_CONST_HELPER_I_DIRTY_PAGES = I_DIRTY_PAGES;

#endif
