// SPDX-License-Identifier: GPL-2.0
/*
 * looks COMMAND FILE...: what in the kernel looks at the pages of a mapping, page tables or struct
 * pages, from a process. FILE has 8 MiB of the pattern 1. Each command fails if what was there is
 * not there any more.
 */
#include "map.h"
#include <linux/mempolicy.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define LEN (4 * HUGE)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* make FILE: 2 MiB entries but for the last, which are small. */
static int do_make(char **argv)
{
	int fd = make_file(argv[0], LEN, false);
	unsigned char *p;

	must(posix_fallocate(fd, 0, LEN - HUGE) ? -1 : 0);
	must(posix_fallocate(fd, LEN - HUGE + PAGE, HUGE - PAGE) ? -1 : 0);
	p = map_shared(fd, LEN);
	fill(p, 1, 0, LEN);
	must(fsync(fd));
	return 0;
}

/* The beginning of each page. */
static void expect_pages(const unsigned char *p)
{
	for (size_t at = 0; at < LEN; at += PAGE)
		expect_bytes(p + at, 1, at, 32);
}

static int open_all(const char *path, unsigned char **p)
{
	int fd = must(open(path, O_RDWR));

	*p = map_shared(fd, LEN);
	expect_pages(*p);
	return fd;
}

/* same FILE: by another mapping, and by read(2). */
static int do_same(char **argv)
{
	unsigned char *p;
	int fd = open_all(argv[0], &p);

	for (size_t at = 0; at < LEN; at += PAGE)
		expect_file(fd, 1, at, 32);
	return 0;
}

/* whole FILE: the same of all bytes. */
static int do_whole(char **argv)
{
	unsigned char *p;

	expect_file(open_all(argv[0], &p), 1, 0, LEN);
	return 0;
}

/* hold FILE: maps it until it is killed. */
static int do_hold(char **argv)
{
	unsigned char *p;

	open_all(argv[0], &p);
	puts("holds");
	while (!usleep(10000)) {
		expect_bytes(p, 1, 0, PAGE);
		expect_bytes(p + LEN - PAGE, 1, LEN - PAGE, PAGE);
	}
	return 0;
}

static void say(const char *what, long got)
{
	printf("# %s: %s\n", what, got < 0 ? errname(errno) : "ok");
}

/* place FILE: move_pages(2), migrate_pages(2), mbind(2). */
static int do_place(char **argv)
{
	unsigned char *p;
	int nodes[3] = { 0, 0, 0 }, status[3];
	unsigned long mask = 1;
	void *pages[3];

	open_all(argv[0], &p);
	pages[0] = p, pages[1] = p + HUGE + 5 * PAGE, pages[2] = p + LEN - PAGE;
	say("move_pages, asked", syscall(SYS_move_pages, 0, 3, pages, NULL, status, 0));
	printf("# status %d %d %d\n", status[0], status[1], status[2]);
	say("move_pages to node 0",
	    syscall(SYS_move_pages, 0, 3, pages, nodes, status, MPOL_MF_MOVE_ALL));
	printf("# status %d %d %d\n", status[0], status[1], status[2]);
	say("migrate_pages", syscall(SYS_migrate_pages, 0, 8, &mask, &mask));
	say("mbind, move",
	    syscall(SYS_mbind, p, LEN, MPOL_BIND, &mask, 8, MPOL_MF_MOVE | MPOL_MF_STRICT));
	say("mbind, move all", syscall(SYS_mbind, p, LEN, MPOL_BIND, &mask, 8, MPOL_MF_MOVE_ALL));
	expect_pages(p);
	return 0;
}

/* merge FILE: KSM is asked to join equal pages, khugepaged small ones; until it is killed. */
static int do_merge(char **argv)
{
	unsigned char *p, *q, *other;
	int fd = open_all(argv[0], &p);

	/* Neither comes by if nobody has anything for it. */
	other = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(other != MAP_FAILED);
	madvise(other, 2 * HUGE, MADV_HUGEPAGE);
	memset(other, 7, 16 * PAGE);
	say("MADV_MERGEABLE, 16 equal pages of memory", madvise(other, 16 * PAGE, MADV_MERGEABLE));
	q = map_at(fd, LEN, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	expect_pages(q);
	say("MADV_MERGEABLE", madvise(p, LEN, MADV_MERGEABLE));
	say("MADV_MERGEABLE, private", madvise(q, LEN, MADV_MERGEABLE));
	say("MADV_HUGEPAGE", madvise(p, LEN, MADV_HUGEPAGE));
	say("MADV_HUGEPAGE, private", madvise(q, LEN, MADV_HUGEPAGE));
	say("MADV_COLLAPSE", madvise(p + LEN - HUGE, HUGE, MADV_COLLAPSE));
	say("MADV_COLLAPSE, private", madvise(q + LEN - HUGE, HUGE, MADV_COLLAPSE));
	puts("merges");
	do {
		expect_pages(p);
		expect_pages(q);
	} while (!usleep(100000));
	return 0;
}

/* guard FILE: guard pages, and what they hide. */
static int do_guard(char **argv)
{
	unsigned char *p;
	long got;

	open_all(argv[0], &p);
	catch_faults();
	got = madvise(p + HUGE + 5 * PAGE, 3 * PAGE, MADV_GUARD_INSTALL);
	say("MADV_GUARD_INSTALL", got);
	if (got)
		return errno != EINVAL;
	expect(touch(p + HUGE + 5 * PAGE, false) == SIGSEGV);
	expect(touch(p + HUGE + 8 * PAGE, false) == 0);
	must(madvise(p, LEN, MADV_DONTNEED));
	expect(touch(p + HUGE + 7 * PAGE, true) == SIGSEGV);
	must(madvise(p, LEN, MADV_GUARD_REMOVE));
	expect_pages(p);
	return 0;
}

/* offline FILE: pages are to be taken out of use while they are good. */
static int do_offline(char **argv)
{
	unsigned char *p;

	open_all(argv[0], &p);
	expect(madvise(p + HUGE, PAGE, MADV_SOFT_OFFLINE) == -1);
	say("MADV_SOFT_OFFLINE", -1);
	expect(madvise(p + LEN - PAGE, PAGE, MADV_SOFT_OFFLINE) == -1);
	expect_pages(p);
	return 0;
}

/* lock FILE: mlock(2) in all ways. */
static int do_lock(char **argv)
{
	unsigned char *p;

	open_all(argv[0], &p);
	must(mlock(p, LEN));
	must(munlock(p + PAGE, HUGE));
	must(mlock2(p, LEN, MLOCK_ONFAULT));
	must(mlockall(MCL_CURRENT | MCL_FUTURE));
	must(munlockall());
	expect_pages(p);
	return 0;
}

/* scan FILE: what /proc/self says; and soft-dirty bits and references are cleared. */
static int do_scan(char **argv)
{
	static char text[1 << 16];
	static const char *const files[] = {
		"/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/numa_maps",
	};
	unsigned char *p;
	uint64_t word = 0;
	int fd;

	open_all(argv[0], &p);
	expect(huge_bytes(p, LEN) == LEN - HUGE);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		fd = open(files[i], O_RDONLY);
		if (fd < 0)
			continue;
		while (must(read(fd, text, sizeof(text))) > 0)
			;
		close(fd);
	}
	fd = must(open("/proc/self/pagemap", O_RDONLY));
	expect(pread(fd, &word, 8, (uintptr_t)p / PAGE * 8) == 8);
	printf("# pagemap: %#llx\n", (unsigned long long)word);
	fd = must(open("/proc/self/clear_refs", O_WRONLY));
	for (const char *what = "12345"; *what; what++) {
		expect_pages(p);
		must(write(fd, what, 1));
	}
	expect_pages(p);
	return 0;
}

static void flags_of(const char *path, unsigned long pfn)
{
	uint64_t word = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return;
	if (pread(fd, &word, 8, pfn * 8) == 8)
		printf("# %s: %#llx\n", path, (unsigned long long)word);
	else
		printf("# %s: nothing\n", path);
	close(fd);
}

/* frames PFN...: what is said of these page frames. */
static int do_frames(char **argv)
{
	for (; *argv; argv++) {
		flags_of("/proc/kpageflags", number(*argv));
		flags_of("/proc/kpagecount", number(*argv));
		flags_of("/proc/kpagecgroup", number(*argv));
	}
	return 0;
}

/* remote FILE: another process advises, reads, and stores what is there already. */
static int do_remote(char **argv)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_COLLAPSE };
	unsigned char *p, copy[3 * PAGE];
	const ssize_t len = sizeof(copy);
	struct iovec far, near = { copy, sizeof(copy) };
	char path[64];
	int fd = open_all(argv[0], &p), pidfd, status;
	pid_t pid = must(fork());

	if (!pid)
		for (;;)
			pause();
	pidfd = must(syscall(SYS_pidfd_open, pid, 0));
	far = (struct iovec){ p, LEN };
	for (size_t i = 0; i < ARRAY_SIZE(advice); i++)
		say("process_madvise", syscall(SYS_process_madvise, pidfd, &far, 1, advice[i], 0));
	far = (struct iovec){ p + HUGE - PAGE, sizeof(copy) };
	expect(process_vm_readv(pid, &near, 1, &far, 1, 0) == sizeof(copy));
	expect_bytes(copy, 1, HUGE - PAGE, sizeof(copy));
	expect(process_vm_writev(pid, &near, 1, &far, 1, 0) == sizeof(copy));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	must(ptrace(PTRACE_ATTACH, pid, 0, 0));
	expect(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	fd = must(open(path, O_RDWR));
	expect(pread(fd, copy, len, (off_t)(uintptr_t)(p + LEN - len)) == len);
	expect_bytes(copy, 1, LEN - len, len);
	expect(pwrite(fd, copy, len, (off_t)(uintptr_t)(p + LEN - len)) == len);
	errno = 0;
	must(ptrace(PTRACE_POKEDATA, pid, p, ptrace(PTRACE_PEEKDATA, pid, p, 0)));
	must(ptrace(PTRACE_KILL, pid, 0, 0));
	must(kill(pid, SIGKILL));
	expect(waitpid(pid, &status, 0) == pid);
	expect_pages(p);
	return 0;
}

/* build: this program lies on the file system; it has a build id, and the kernel reads it. */
static int do_build(char **argv)
{
	struct query {
		uint64_t size, flags, addr, vma_start, vma_end, vma_flags, vma_page_size;
		uint64_t vma_offset, inode;
		uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
		uint64_t vma_name_addr, build_id_addr;
	} q = { .size = sizeof(q), .addr = (uintptr_t)do_build };
	unsigned char id[20];
	int fd = must(open("/proc/self/maps", O_RDONLY));

	(void)argv;
	q.build_id_size = sizeof(id);
	q.build_id_addr = (uintptr_t)id;
	must(ioctl(fd, _IOWR('f', 17, struct query), &q));
	printf("# a build id of %u bytes\n", q.build_id_size);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "make", 1, do_make }, { "same", 1, do_same }, { "whole", 1, do_whole },
		{ "hold", 1, do_hold }, { "place", 1, do_place }, { "merge", 1, do_merge },
		{ "guard", 1, do_guard }, { "offline", 1, do_offline }, { "lock", 1, do_lock },
		{ "scan", 1, do_scan }, { "frames", 1, do_frames }, { "remote", 1, do_remote },
		{ "build", 0, do_build },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
