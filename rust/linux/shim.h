/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C inlines and macros as functions that Rust can call. No logic: at most ten lines and no branch beyond a NULL check
 * (a function that needs one belongs into Rust). Included by shim.c and read by bindgen.
 */
#ifndef PFNFS_SHIM_H
#define PFNFS_SHIM_H

#include <linux/pgtable.h>
#include <linux/types.h>

/* --- dev --- */

/*
 * pmem: a fence that orders earlier write-backs and non-temporal stores; loads that survive a machine check: copies
 * words one by one, returns how many are missing.
 */
void pfnfs_pmem_wmb(void);
unsigned long pfnfs_read_mc(u64 *dst, const u64 *src, unsigned long words);

/* SRCU (rust/linux/srcu.rs): all domains have one lock class. */
struct srcu_struct;
int pfnfs_srcu_init(struct srcu_struct *ssp);
int pfnfs_srcu_read_lock(struct srcu_struct *ssp);
void pfnfs_srcu_read_unlock(struct srcu_struct *ssp, int id);

/* Sections in which copies from and to user memory stop where it is not present (rust/linux/nofault.rs). */
void pfnfs_pagefault_disable(void);
void pfnfs_pagefault_enable(void);

/* The lock of rust/linux/sync.rs, initialised at build time. */
void pfnfs_static_lock(void);
void pfnfs_static_unlock(void);

struct nd_namespace_common;
struct resource;
struct device;
struct resource *pfnfs_namespace_resource(struct nd_namespace_common *ndns);
int pfnfs_dev_to_node(struct device *dev);
int pfnfs_pxm_to_node(int domain);
void pfnfs_mark_hwpoison(unsigned long pfn, bool failed);
void pfnfs_clear_hwpoison(unsigned long pfn, unsigned long nr);
unsigned long pfnfs_first_unmapped(unsigned long pfn, unsigned long end);

/* --- vfs --- */
struct delayed_call;
struct dentry;
struct dir_context;
struct file;
struct iattr;
struct inode;
struct kmem_cache;
struct mnt_idmap;
struct super_block;

struct kmem_cache *pfnfs_inode_cache(const char *name, unsigned int size, unsigned int align, void (*ctor)(void *));
void *pfnfs_inode_alloc(struct super_block *sb, struct kmem_cache *cache);
bool pfnfs_inode_is_new(struct inode *inode);
bool pfnfs_inode_is_dirty(struct inode *inode);
void pfnfs_inode_lock(struct inode *inode);
void pfnfs_inode_unlock(struct inode *inode);
void pfnfs_sync_inodes(struct super_block *sb);
bool pfnfs_super_trylock(struct super_block *sb);
void pfnfs_super_unlock(struct super_block *sb);
void pfnfs_umount_leave(struct super_block *sb);
void pfnfs_umount_enter(struct super_block *sb);
void pfnfs_inode_lock_shared(struct inode *inode);
void pfnfs_inode_unlock_shared(struct inode *inode);
loff_t pfnfs_i_size_read(struct inode *inode);
void pfnfs_i_size_write(struct inode *inode, loff_t size);
void pfnfs_set_times(struct inode *inode, struct timespec64 atime, struct timespec64 mtime, struct timespec64 ctime);
void pfnfs_mark_times(struct inode *inode);
void pfnfs_set_uuid(struct super_block *sb, const u8 *uuid);
void pfnfs_new_owner(struct mnt_idmap *idmap, struct inode *dir, umode_t *mode, u32 *uid, u32 *gid);
void pfnfs_attr_owner(struct mnt_idmap *idmap, struct inode *inode, const struct iattr *attr, u32 *uid, u32 *gid);
umode_t pfnfs_attr_mode(struct mnt_idmap *idmap, struct inode *inode, const struct iattr *attr);
int pfnfs_finish_tmpfile(struct file *file, struct inode *inode);
int pfnfs_file_open(struct inode *inode, struct file *file);
void pfnfs_file_accessed(struct file *file);
bool pfnfs_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino, unsigned int type);
bool pfnfs_dir_emit_dots(struct file *file, struct dir_context *ctx);
bool pfnfs_dir_is_narrow(struct file *file);
struct dentry *pfnfs_dget(struct dentry *dentry);
unsigned int pfnfs_nofs_save(void);
void pfnfs_nofs_restore(unsigned int flags);
bool pfnfs_try_intwrite(struct super_block *sb);
void pfnfs_end_intwrite(struct super_block *sb);
bool pfnfs_inode_shared(struct inode *inode);
bool pfnfs_inode_drops(struct inode *inode);
bool pfnfs_inode_stays(struct inode *inode);
void pfnfs_inode_hold_locked(struct inode *inode);
void pfnfs_inode_unhold_locked(struct inode *inode);
bool pfnfs_super_frozen(struct super_block *sb);
struct rw_semaphore;
void pfnfs_down_write_nested(struct rw_semaphore *sem, unsigned int subclass);

struct delayed_work;
struct work_struct;
void pfnfs_init_delayed_work(struct delayed_work *work, void (*fn)(struct work_struct *));
void pfnfs_hasten_delayed_work(struct delayed_work *work, unsigned int ms);
void pfnfs_queue_delayed_work(struct delayed_work *work, unsigned int ms);

/* --- dax --- */
struct address_space;
struct page;
struct vm_area_desc;
struct vm_fault;
struct xa_state;

void pfnfs_xas_lock_irq(struct xa_state *xas);
void pfnfs_xas_unlock_irq(struct xa_state *xas);
int pfnfs_xas_error(const struct xa_state *xas);

struct page *pfnfs_pfn_to_page(unsigned long pfn);
unsigned long pfnfs_zero_pfn(void);
struct page *pfnfs_zero_page(void);
bool pfnfs_page_idle(struct page *page);
int pfnfs_page_count(struct page *page);
bool pfnfs_page_pinned(struct page *page);
bool pfnfs_page_is_device(struct page *page);
void pfnfs_folio_make_huge(struct page *head);
void pfnfs_folio_associate(struct page *head, struct address_space *mapping, unsigned long index);
void pfnfs_folio_ref_inc(struct page *page);
void pfnfs_folio_put(struct page *page);
struct page *pfnfs_zeroed_page(void);
void pfnfs_page_lock(struct page *page);
void pfnfs_page_unlock(struct page *page);
void pfnfs_wait_for_tasks(void);
void pfnfs_page_free(struct page *page);

void pfnfs_front_init(struct address_space *front, struct inode *inode);
void pfnfs_front_mark(struct address_space *front, bool dirty);
bool pfnfs_mapping_dirty(struct address_space *mapping);
void pfnfs_mapping_set_error(struct address_space *mapping, int error);
void pfnfs_invalidate_lock(struct address_space *mapping);
void pfnfs_invalidate_unlock(struct address_space *mapping);
void pfnfs_invalidate_lock_shared(struct address_space *mapping);
void pfnfs_invalidate_unlock_shared(struct address_space *mapping);

bool pfnfs_fault_shared(const struct vm_fault *vmf);
bool pfnfs_fault_sync(const struct vm_fault *vmf);
bool pfnfs_fault_fits_pmd(const struct vm_fault *vmf);
bool pfnfs_fault_marker(const struct vm_fault *vmf);
bool pfnfs_fault_watched(const struct vm_fault *vmf);
int pfnfs_fault_make_writable(struct vm_fault *vmf, unsigned long pfn);
int pfnfs_fault_make_inserted_writable(struct vm_fault *vmf, struct page *page);
void pfnfs_fault_make_huge_writable(struct vm_fault *vmf, unsigned long pfn);
bool pfnfs_pmd_none(pmd_t *pmd);
bool pfnfs_pmd_trans_huge(pmd_t *pmd);
void pfnfs_start_pagefault(struct inode *inode);
void pfnfs_end_pagefault(struct inode *inode);
bool pfnfs_desc_sync(const struct vm_area_desc *desc);
void pfnfs_desc_huge(struct vm_area_desc *desc);

bool pfnfs_ratelimit(void);

/* trace.c */
void pfnfs_trace_fault(dev_t dev, u64 ino, u64 index, u32 order, bool write, u32 outcome);
void pfnfs_trace_populate(dev_t dev, u64 ino, u64 start, u64 end, bool write, u64 inserted, int error);
void pfnfs_trace_clean(dev_t dev, u64 ino, u64 start, u64 end);
void pfnfs_trace_remove(dev_t dev, u64 ino, u64 start, u64 end);

#endif
