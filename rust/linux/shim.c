// SPDX-License-Identifier: GPL-2.0
#include <acpi/acpi_numa.h>
#include <linux/compat.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/leafops.h>
#include <linux/userfaultfd_k.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>
#include <linux/mutex.h>
#include <linux/nd.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/barrier.h>
#include <asm/pgtable.h>

#include "shim.h"

/* --- dev --- */

void pfnfs_pmem_wmb(void)
{
	pmem_wmb();
}

/* EX_TYPE_DEFAULT_MCE_SAFE is what lets the machine check handler resume at label 2 instead of panicking. */
unsigned long pfnfs_read_mc(u64 *dst, const u64 *src, unsigned long words)
{
	u64 val;

	asm volatile("1:	movq (%[src]), %[val]\n"
		     "	movq %[val], (%[dst])\n"
		     "	addq $8, %[src]\n"
		     "	addq $8, %[dst]\n"
		     "	decq %[words]\n"
		     "	jnz 1b\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE(1b, 2b, EX_TYPE_DEFAULT_MCE_SAFE)
		     : [val] "=&r" (val), [src] "+r" (src), [dst] "+r" (dst), [words] "+r" (words)
		     : : "memory", "cc");
	return words;
}

int pfnfs_srcu_init(struct srcu_struct *ssp)
{
	return init_srcu_struct(ssp);
}

int pfnfs_srcu_read_lock(struct srcu_struct *ssp)
{
	return srcu_read_lock(ssp);
}

void pfnfs_srcu_read_unlock(struct srcu_struct *ssp, int id)
{
	srcu_read_unlock(ssp, id);
}

void pfnfs_pagefault_disable(void)
{
	pagefault_disable();
}

void pfnfs_pagefault_enable(void)
{
	pagefault_enable();
}

static DEFINE_MUTEX(pfnfs_static_mutex);

void pfnfs_static_lock(void)
{
	mutex_lock(&pfnfs_static_mutex);
}

void pfnfs_static_unlock(void)
{
	mutex_unlock(&pfnfs_static_mutex);
}

struct resource *pfnfs_namespace_resource(struct nd_namespace_common *ndns)
{
	return &to_nd_namespace_io(&ndns->dev)->res;
}

void pfnfs_mark_hwpoison(unsigned long pfn, bool failed)
{
	struct page *page = pfn_to_page(pfn);

	if (PageHWPoison(page) == failed)
		return;
	if (failed)
		SetPageHWPoison(page);
	else
		ClearPageHWPoison(page);
}

void pfnfs_clear_hwpoison(unsigned long pfn, unsigned long nr)
{
	struct page *page = pfn_to_page(pfn), *end = page + nr;

	for (; page < end; page++)
		if (unlikely(PageHWPoison(page)))
			ClearPageHWPoison(page);
}

/* The first of these page frames that set_mce_nospec() has taken out of the direct mapping; @end if there is none. */
unsigned long pfnfs_first_unmapped(unsigned long pfn, unsigned long end)
{
	while (pfn < end) {
		unsigned int level = PG_LEVEL_4K;
		pte_t *pte = lookup_address((unsigned long)pfn_to_kaddr(pfn), &level);

		if (!pte || !(pte_flags(*pte) & _PAGE_PRESENT))
			return pfn;
		pfn = ALIGN(pfn + 1, page_level_size(level) >> PAGE_SHIFT);
	}
	return end;
}

int pfnfs_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

int pfnfs_pxm_to_node(int domain)
{
	return pxm_to_node(domain);
}

/* --- vfs --- */

struct kmem_cache *pfnfs_inode_cache(const char *name, unsigned int size, unsigned int align, void (*ctor)(void *))
{
	return kmem_cache_create(name, size, align, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, ctor);
}

void *pfnfs_inode_alloc(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

bool pfnfs_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

bool pfnfs_inode_is_dirty(struct inode *inode)
{
	return inode_state_read_once(inode) & I_DIRTY_ALL;
}

void pfnfs_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void pfnfs_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

/* @sb's s_umount is held. */
void pfnfs_sync_inodes(struct super_block *sb)
{
	sync_inodes_sb(sb);
}

/* The lock of a mounted super block, which then stays mounted. */
bool pfnfs_super_trylock(struct super_block *sb)
{
	if (!down_read_trylock(&sb->s_umount))
		return false;
	if (sb->s_root && (sb->s_flags & SB_ACTIVE))
		return true;
	up_read(&sb->s_umount);
	return false;
}

void pfnfs_super_unlock(struct super_block *sb)
{
	up_read(&sb->s_umount);
}

/* For ->kill_sb: all who come by @sb meanwhile find it as it was, and cannot come to use it. */
void pfnfs_umount_leave(struct super_block *sb)
{
	up_write(&sb->s_umount);
}

void pfnfs_umount_enter(struct super_block *sb)
{
	down_write(&sb->s_umount);
}

void pfnfs_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

void pfnfs_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

loff_t pfnfs_i_size_read(struct inode *inode)
{
	return i_size_read(inode);
}

void pfnfs_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

void pfnfs_set_times(struct inode *inode, struct timespec64 atime, struct timespec64 mtime, struct timespec64 ctime)
{
	inode_set_atime_to_ts(inode, atime);
	inode_set_mtime_to_ts(inode, mtime);
	inode_set_ctime_to_ts(inode, ctime);
}

void pfnfs_mark_times(struct inode *inode)
{
	__mark_inode_dirty(inode, inode->i_sb->s_flags & SB_LAZYTIME ? I_DIRTY_TIME : I_DIRTY_SYNC);
}

void pfnfs_set_uuid(struct super_block *sb, const u8 *uuid)
{
	super_set_uuid(sb, uuid, UUID_SIZE);
}

/* As inode_init_owner(), before there is an inode. */
void pfnfs_new_owner(struct mnt_idmap *idmap, struct inode *dir, umode_t *mode, u32 *uid, u32 *gid)
{
	*uid = __kuid_val(mapped_fsuid(idmap, i_user_ns(dir)));
	*gid = __kgid_val(dir->i_mode & S_ISGID ? dir->i_gid : mapped_fsgid(idmap, i_user_ns(dir)));
	if (dir->i_mode & S_ISGID && S_ISDIR(*mode))
		*mode |= S_ISGID;
}

void pfnfs_attr_owner(struct mnt_idmap *idmap, struct inode *inode, const struct iattr *attr, u32 *uid, u32 *gid)
{
	*uid = __kuid_val(from_vfsuid(idmap, i_user_ns(inode), attr->ia_vfsuid));
	*gid = __kgid_val(from_vfsgid(idmap, i_user_ns(inode), attr->ia_vfsgid));
}

/* The mode that setattr_copy() would set. */
umode_t pfnfs_attr_mode(struct mnt_idmap *idmap, struct inode *inode, const struct iattr *attr)
{
	vfsgid_t gid = attr->ia_valid & ATTR_GID ? attr->ia_vfsgid : i_gid_into_vfsgid(idmap, inode);

	return in_group_or_capable(idmap, inode, gid) ? attr->ia_mode : attr->ia_mode & ~S_ISGID;
}

/* As d_tmpfile() for a new inode that has no link to lose; takes over the reference to it, and unlocks it. */
int pfnfs_finish_tmpfile(struct file *file, struct inode *inode)
{
	d_mark_tmpfile(file, inode);
	d_instantiate_new(file->f_path.dentry, inode);
	return finish_open_simple(file, 0);
}

int pfnfs_file_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT;
	return generic_file_open(inode, file);
}

void pfnfs_file_accessed(struct file *file)
{
	file_accessed(file);
}

bool pfnfs_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

/* As ext4 and f2fs decide. */
bool pfnfs_dir_is_narrow(struct file *file)
{
	if (file->f_mode & (FMODE_32BITHASH | FMODE_64BITHASH))
		return file->f_mode & FMODE_32BITHASH;
	return in_compat_syscall();
}

bool pfnfs_dir_emit_dots(struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

struct dentry *pfnfs_dget(struct dentry *dentry)
{
	return dget(dentry);
}

unsigned int pfnfs_nofs_save(void)
{
	return memalloc_nofs_save();
}

void pfnfs_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

bool pfnfs_try_intwrite(struct super_block *sb)
{
	return sb_start_intwrite_trylock(sb);
}

void pfnfs_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

/* Whether somebody has a reference besides the caller's one. */
bool pfnfs_inode_shared(struct inode *inode)
{
	return icount_read_once(inode) > 1;
}

bool pfnfs_inode_drops(struct inode *inode)
{
	return inode_generic_drop(inode);
}

/* Whether an inode that ->drop_inode does not want to be dropped stays. */
bool pfnfs_inode_stays(struct inode *inode)
{
	return (inode->i_sb->s_flags & SB_ACTIVE) && !(inode_state_read(inode) & I_DONTCACHE);
}

/* From ->drop_inode, which has i_lock: a reference for an inode that has none, and back. */
void pfnfs_inode_hold_locked(struct inode *inode)
{
	__iget(inode);
}

void pfnfs_inode_unhold_locked(struct inode *inode)
{
	lockdep_assert_held(&inode->i_lock);
	atomic_dec(&inode->i_count);
}

/* @sb's s_umount is held, so that this stays true or false. */
bool pfnfs_super_frozen(struct super_block *sb)
{
	return sb->s_writers.frozen != SB_UNFROZEN;
}

void pfnfs_init_delayed_work(struct delayed_work *work, void (*fn)(struct work_struct *))
{
	static_assert(offsetof(struct delayed_work, work) == 0);
	INIT_DELAYED_WORK(work, fn);
}

/* At that time at the latest: who asks again and again puts nothing off. */
void pfnfs_hasten_delayed_work(struct delayed_work *work, unsigned int ms)
{
	unsigned long delay = msecs_to_jiffies(ms);

	if (!delayed_work_pending(work) || time_after(READ_ONCE(work->timer.expires), jiffies + delay))
		mod_delayed_work(system_dfl_wq, work, delay);
}

void pfnfs_queue_delayed_work(struct delayed_work *work, unsigned int ms)
{
	queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(ms));
}

void pfnfs_down_write_nested(struct rw_semaphore *sem, unsigned int subclass)
{
	down_write_nested(sem, subclass);
}

/* --- dax --- */

void pfnfs_xas_lock_irq(struct xa_state *xas)
{
	xas_lock_irq(xas);
}

void pfnfs_xas_unlock_irq(struct xa_state *xas)
{
	xas_unlock_irq(xas);
}

int pfnfs_xas_error(const struct xa_state *xas)
{
	return xas_error(xas);
}

struct page *pfnfs_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

unsigned long pfnfs_zero_pfn(void)
{
	return zero_pfn(0);
}

struct page *pfnfs_zero_page(void)
{
	return ZERO_PAGE(0);
}

/* In no file and in no page table, and pinned by nobody. */
bool pfnfs_page_idle(struct page *page)
{
	struct folio *folio = page_folio(page);

	return !folio_test_large(folio) && !folio_ref_count(folio) && !folio->mapping && !folio->share;
}

int pfnfs_page_count(struct page *page)
{
	return folio_ref_count(page_folio(page));
}

/*
 * Whether there may be references that are no mappings. Mappings may go meanwhile; if one comes (fork), the
 * count of mappings changes under our eyes, or the reference that it comes with is counted for one too many.
 */
bool pfnfs_page_pinned(struct page *page)
{
	struct folio *folio = page_folio(page);
	int mapped = folio_mapcount(folio);

	smp_rmb();	/* mappings before references */
	if (folio_ref_count(folio) != mapped)
		return true;
	smp_rmb();	/* and references before mappings again */
	return folio_mapcount(folio) != mapped;
}

bool pfnfs_page_is_device(struct page *page)
{
	return is_zone_device_page(page) && page_pgmap(page) && page_pgmap(page)->type == MEMORY_DEVICE_FS_DAX;
}

/*
 * 512 idle pages become one idle folio, as dax_folio_init() does with the unexported prep_compound_page(). What
 * zone_device_page_init() takes for a user (a reference, the lock, references to the pgmap) is given back.
 */
void pfnfs_folio_make_huge(struct page *head)
{
	struct dev_pagemap *pgmap = page_pgmap(head);
	struct folio *folio = (struct folio *)head;

	zone_device_page_init(head, pgmap, PMD_ORDER);
	INIT_LIST_HEAD(&folio->_deferred_list);
	folio_unlock(folio);
	folio_ref_dec(folio);
	percpu_ref_put_many(&pgmap->ref, 1UL << PMD_ORDER);
}

void pfnfs_folio_associate(struct page *head, struct address_space *mapping, unsigned long index)
{
	struct folio *folio = (struct folio *)head;

	folio->mapping = mapping;
	folio->index = index;
}

void pfnfs_folio_ref_inc(struct page *page)
{
	folio_ref_inc(page_folio(page));
}

void pfnfs_folio_put(struct page *page)
{
	folio_put(page_folio(page));
}

/* A page of our own, charged to who is running; it may be mapped. */
struct page *pfnfs_zeroed_page(void)
{
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

void pfnfs_page_lock(struct page *page)
{
	lock_page(page);
}

void pfnfs_page_unlock(struct page *page)
{
	unlock_page(page);
}

/*
 * Until each task has slept, or been in user mode, and each section without preemption or interrupts that has begun
 * has ended.
 */
void pfnfs_wait_for_tasks(void)
{
	synchronize_rcu_tasks();
}

void pfnfs_page_free(struct page *page)
{
	put_page(page);
}

/* Its locks have classes of their own: those of the mapping behind it are taken inside them. */
void pfnfs_front_init(struct address_space *front, struct inode *inode)
{
	address_space_init_once(front);
	init_rwsem(&front->i_mmap_rwsem);
	init_rwsem(&front->invalidate_lock);
	front->host = inode;
}

/* What mapping_tagged() looks at, of a mapping without entries. */
void pfnfs_front_mark(struct address_space *front, bool dirty)
{
	XA_STATE(xas, &front->i_pages, 0);

	xas_lock_irq(&xas);
	xas_load(&xas);
	if (dirty)
		xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
	else
		xas_clear_mark(&xas, PAGECACHE_TAG_DIRTY);
	xas_unlock_irq(&xas);
}

bool pfnfs_mapping_dirty(struct address_space *mapping)
{
	return mapping_tagged(mapping, PAGECACHE_TAG_DIRTY);
}

void pfnfs_mapping_set_error(struct address_space *mapping, int error)
{
	mapping_set_error(mapping, error);
}

void pfnfs_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

void pfnfs_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

void pfnfs_invalidate_lock_shared(struct address_space *mapping)
{
	filemap_invalidate_lock_shared(mapping);
}

void pfnfs_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

bool pfnfs_fault_shared(const struct vm_fault *vmf)
{
	return vmf->vma->vm_flags & VM_SHARED;
}

bool pfnfs_fault_sync(const struct vm_fault *vmf)
{
	return vmf->vma->vm_flags & VM_SYNC;
}

/* File and addresses are aligned alike, and the VMA covers the 2 MiB. */
bool pfnfs_fault_fits_pmd(const struct vm_fault *vmf)
{
	unsigned long start = vmf->address & PMD_MASK;

	return ((vmf->pgoff ^ (vmf->address >> PAGE_SHIFT)) & ((PMD_SIZE >> PAGE_SHIFT) - 1)) == 0 &&
	       start >= vmf->vma->vm_start && start + PMD_SIZE <= vmf->vma->vm_end;
}

/* The page table has a note of userfaultfd where the page is missing: that it is to be write-protected when it comes. */
bool pfnfs_fault_marker(const struct vm_fault *vmf)
{
	return userfaultfd_wp(vmf->vma) && (vmf->flags & FAULT_FLAG_ORIG_PTE_VALID) &&
	       pte_is_uffd_wp_marker(vmf->orig_pte);
}

/* There may be such a note at any time. */
bool pfnfs_fault_watched(const struct vm_fault *vmf)
{
	return userfaultfd_wp(vmf->vma);
}

struct pfnfs_make_writable {
	struct vm_fault *vmf;
	unsigned long pfn;
	bool unchanged;
};

static int make_writable(pte_t *pte, unsigned long addr, void *data)
{
	struct pfnfs_make_writable *make = data;
	struct vm_fault *vmf = make->vmf;
	pte_t entry = ptep_get(pte);

	if (make->unchanged && !pte_same(entry, vmf->orig_pte))
		return 0;
	/* Who is watched by userfaultfd meanwhile is told of the store: it comes again. */
	if (pte_present(entry) && pte_pfn(entry) == make->pfn && !pte_uffd_wp(entry)) {
		entry = pte_mkdirty(pte_mkyoung(pte_mkwrite_novma(entry)));
		set_pte_at(vmf->vma->vm_mm, addr, pte, entry);
	}
	return 0;
}

/* As finish_mkwrite_fault(): if the page table still has what it had when the fault began. */
int pfnfs_fault_make_writable(struct vm_fault *vmf, unsigned long pfn)
{
	struct pfnfs_make_writable make = { vmf, pfn, true };

	return apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK, PAGE_SIZE,
				   make_writable, &make);
}

/* If the page table has this page. */
int pfnfs_fault_make_inserted_writable(struct vm_fault *vmf, struct page *page)
{
	struct pfnfs_make_writable make = { vmf, page_to_pfn(page), false };

	return apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK, PAGE_SIZE,
				   make_writable, &make);
}

/* The same for 2 MiB. */
void pfnfs_fault_make_huge_writable(struct vm_fault *vmf, unsigned long pfn)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	spinlock_t *ptl = pmd_lock(mm, vmf->pmd);
	pmd_t entry = pmdp_get(vmf->pmd);

	if (pmd_present(entry) && pmd_trans_huge(entry) && pmd_pfn(entry) == pfn && !pmd_uffd_wp(entry)) {
		entry = pmd_mkdirty(pmd_mkyoung(pmd_mkwrite_novma(entry)));
		set_pmd_at(mm, vmf->address & PMD_MASK, vmf->pmd, entry);
	}
	spin_unlock(ptl);
}

bool pfnfs_pmd_none(pmd_t *pmd)
{
	return pmd_none(pmdp_get_lockless(pmd));
}

bool pfnfs_pmd_trans_huge(pmd_t *pmd)
{
	return pmd_trans_huge(pmdp_get_lockless(pmd));
}

void pfnfs_start_pagefault(struct inode *inode)
{
	sb_start_pagefault(inode->i_sb);
}

void pfnfs_end_pagefault(struct inode *inode)
{
	sb_end_pagefault(inode->i_sb);
}

bool pfnfs_desc_sync(const struct vm_area_desc *desc)
{
	return vma_desc_test(desc, VMA_SYNC_BIT);
}

void pfnfs_desc_huge(struct vm_area_desc *desc)
{
	vma_desc_set_flags(desc, VMA_HUGEPAGE_BIT);
}

bool pfnfs_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(state, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&state);
}
