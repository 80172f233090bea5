/* SPDX-License-Identifier: GPL-2.0 */
/* Common to the helper programs that test mappings: files, mappings, faults that are expected to fail, 2 MiB entries. */
#ifndef PFNFS_KSELFTEST_MAP_H
#define PFNFS_KSELFTEST_MAP_H

#include "test.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/fs.h>

/* A file of @size bytes that has all its blocks, or none of them. */
static inline int make_file(const char *path, off_t size, bool allocate)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		fail("open %s: %s", path, errname(errno));
	must(allocate && size ? posix_fallocate(fd, 0, size) ? -1 : 0 : ftruncate(fd, size));
	return fd;
}

/*
 * A mapping of @len bytes from @at of the file, at an address that allows 2 MiB entries. It replaces a part of its own
 * reservation: between a munmap and a second mmap another thread could take the place.
 */
static inline unsigned char *map_at(int fd, size_t len, off_t at, int prot, int flags)
{
	unsigned char *room = mmap(NULL, len + 2 * HUGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *start, *end;

	if (room == MAP_FAILED)
		die("mmap");
	start = (unsigned char *)(((uintptr_t)room + HUGE - 1) & -HUGE) + at % HUGE;
	end = (unsigned char *)(((uintptr_t)start + len + 4095) & -4096UL);
	if (mmap(start, len, prot, flags | MAP_FIXED, fd, at) == MAP_FAILED)
		die("mmap");
	if (start > room)
		must(munmap(room, start - room));
	if (end < room + len + 2 * HUGE)
		must(munmap(end, room + len + 2 * HUGE - end));
	return start;
}

static inline unsigned char *map_shared(int fd, size_t len)
{
	return map_at(fd, len, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
}

static __thread sigjmp_buf fault_jump;
static __thread int fault_code;
static __thread void *fault_address;

static inline void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault_code = sig == SIGBUS ? info->si_code : -1;
	fault_address = info->si_addr;
	siglongjmp(fault_jump, sig);
}

static inline void catch_faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	must(sigaction(SIGBUS, &sa, NULL));
	must(sigaction(SIGSEGV, &sa, NULL));
}

/* The signal that touching @p brings, or 0. Signals must be caught. */
static inline int touch(unsigned char *p, bool write)
{
	int sig = sigsetjmp(fault_jump, 1);

	if (sig)
		return sig;
	if (write)
		__atomic_store_n(p, 0x5a, __ATOMIC_RELAXED);
	else
		__atomic_load_n(p, __ATOMIC_RELAXED);
	return 0;
}

/* How many bytes of [@p, @p + @len) this process maps with 2 MiB entries. smaps does not count these pages. */
static inline size_t huge_bytes(const void *p, size_t len)
{
	static struct page_region regions[1024];
	int fd = must(open("/proc/self/pagemap", O_RDONLY));
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = (uintptr_t)p, .end = (uintptr_t)p + len,
		.vec = (uintptr_t)regions, .vec_len = ARRAY_SIZE(regions),
		.category_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT,
	};
	int n = must(ioctl(fd, PAGEMAP_SCAN, &arg));
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += regions[i].end - regions[i].start;
	must(close(fd));
	return total;
}

static inline void expect_bytes(const unsigned char *p, uint64_t seed, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern(seed, at + i))
			fail("byte %llu is %#x, not %#x", (unsigned long long)(at + i), p[i],
			     pattern(seed, at + i));
}

static inline void expect_zeroes(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			fail("byte %zu is %#x, not 0", i, p[i]);
}

/* The same of the file, by read(2). */
static inline void expect_file(int fd, uint64_t seed, off_t at, size_t len)
{
	unsigned char *copy = malloc(len);

	expect(copy && pread(fd, copy, len, at) == (ssize_t)len);
	expect_bytes(copy, seed, at, len);
	free(copy);
}

static inline off_t blocks_of(int fd)
{
	struct stat st;

	must(fstat(fd, &st));
	return st.st_blocks;
}

#endif
