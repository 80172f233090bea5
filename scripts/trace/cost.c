// SPDX-License-Identifier: GPL-2.0
/*
 * cost ops DIR [sync]: does each operation some times in DIR, between markers that carry its name; store-cut prints what they cost.
 * With "sync" an operation is followed by what makes it durable where the call alone does not.
 * cost mount NAME SOURCE DIR TYPE OPTIONS: mounts and unmounts.
 * cost files DIR COUNT: creates files, uncounted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mark.h"

#define COST 10
#define COST_END 11
#define RUNS 21
#define HUGE (2UL << 20)
#define HUGE_RUNS 7

static bool sync_too;
static int dir;
static char buffer[8192];

static void fail(const char *what)
{
	fprintf(stderr, "cost: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long check(long rc, const char *what)
{
	if (rc < 0)
		fail(what);
	return rc;
}

/* The name travels in the marker, 16 bytes of it. */
static void emit(unsigned long id, const char *name)
{
	unsigned long words[2] = { 0 };

	memcpy(words, name, strnlen(name, sizeof(words)));
	mark(id, words[0], words[1]);
}

#define COUNTED(name, call) do {			\
	emit(COST, name);				\
	check(call, name);				\
	emit(COST_END, name);				\
} while (0)

static int durable(int fd)
{
	return sync_too ? fsync(fd) : 0;
}

/* 12 bytes, as the documents reckon. */
static const char *name(const char *what, int n)
{
	static char text[2][32];
	static int turn;
	char number[16];

	turn ^= 1;
	snprintf(number, sizeof(number), "%011d", n);
	snprintf(text[turn], sizeof(text[turn]), "%s-%s", what, number + strlen(what));
	return text[turn];
}

static long nothing(void)
{
	return 0;
}

static long create(const char *path, int *fd)
{
	*fd = openat(dir, path, O_CREAT | O_EXCL | O_RDWR, 0644);
	return *fd < 0 ? -1 : durable(*fd);
}

static long and_sync(long rc)
{
	return rc < 0 ? rc : durable(dir);
}

static void namespace(void)
{
	int fd;

	for (int n = 0; n < RUNS; n++) {
		COUNTED("nothing", nothing());
		COUNTED("create", create(name("file", n), &fd));
		close(fd);
		COUNTED("mkdir", and_sync(mkdirat(dir, name("dir", n), 0755)));
		COUNTED("link", and_sync(linkat(dir, name("file", n), dir, name("link", n), 0)));
		COUNTED("rename", and_sync(renameat(dir, name("link", n), dir, name("other", n))));
		COUNTED("symlink", and_sync(symlinkat("target", dir, name("sym", n))));
		COUNTED("unlink one link", and_sync(unlinkat(dir, name("other", n), 0)));
		COUNTED("stat", fstatat(dir, name("file", n), &(struct stat){ 0 }, 0));
		COUNTED("chmod", and_sync(fchmodat(dir, name("file", n), 0600, 0)));
		check(create(name("over", n), &fd), "create");
		close(fd);
		COUNTED("rename over", and_sync(renameat(dir, name("over", n), dir, name("file", n))));
	}
	for (int n = 0; n < RUNS; n++) {
		COUNTED("unlink", and_sync(unlinkat(dir, name("file", n), 0)));
		COUNTED("rmdir", and_sync(unlinkat(dir, name("dir", n), AT_REMOVEDIR)));
		check(unlinkat(dir, name("sym", n), 0), "unlink");
	}
}

static long append(int fd, size_t len)
{
	return write(fd, buffer, len) == (ssize_t)len ? durable(fd) : -1;
}

static long overwrite(int fd, int n)
{
	return pwrite(fd, buffer, 4096, n * 4096L) == 4096 ? durable(fd) : -1;
}

static void data(void)
{
	int small = check(openat(dir, "append-1K", O_CREAT | O_RDWR | O_APPEND, 0644), "append-1K");
	int large = check(openat(dir, "append-4K", O_CREAT | O_RDWR | O_APPEND, 0644), "append-4K");
	int over = check(openat(dir, "append-4K", O_RDWR), "append-4K");
	int fd;

	memset(buffer, 'x', sizeof(buffer));
	/* Three of four appends of 1 KiB go into the last block, one into a new one. */
	for (int n = 0; n < 4 * RUNS; n++)
		COUNTED(n % 4 ? "append 1K" : "append 1K, block", append(small, 1024));
	for (int n = 0; n < RUNS; n++)
		COUNTED("append 4K", append(large, 4096));
	for (int n = 0; n < RUNS; n++) {
		COUNTED("overwrite 4K", overwrite(over, n));
		COUNTED("read 4K", pread(large, buffer, 4096, n * 4096L));
		COUNTED("fsync", fsync(large));
	}
	for (int n = 0; n < RUNS; n++) {
		check(create(name("data", n), &fd), "create");
		check(append(fd, 4096), "append");
		close(fd);
		COUNTED("unlink with 4K", and_sync(unlinkat(dir, name("data", n), 0)));
	}
	for (int n = 0; n < RUNS; n++) {
		check(ftruncate(small, 65536), "truncate");
		COUNTED("truncate", and_sync(ftruncate(small, 1000)));
	}
	close(over);
	close(small);
	close(large);
}

static long touch(volatile char *p, bool write)
{
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

static void faults(void)
{
	int fd = check(openat(dir, "append-4K", O_RDWR), "append-4K");
	char *map = mmap(NULL, RUNS * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		fail("mmap");
	for (int n = 0; n < RUNS; n++)
		COUNTED("read fault, miss", touch(map + n * 4096L, false));
	check(madvise(map, RUNS * 4096, MADV_DONTNEED), "madvise");
	for (int n = 0; n < RUNS; n++)
		COUNTED("read fault, hit", touch(map + n * 4096L, false));
	for (int n = 0; n < RUNS; n++)
		touch(map + n * 4096L, true);
	check(madvise(map, RUNS * 4096, MADV_DONTNEED), "madvise");
	for (int n = 0; n < RUNS; n++)
		COUNTED("write fault, hit", touch(map + n * 4096L, true));
	munmap(map, RUNS * 4096);
	close(fd);
}

static void huge_faults(void)
{
	size_t len = HUGE_RUNS * HUGE;
	int fd = check(openat(dir, "huge", O_CREAT | O_RDWR, 0644), "huge");
	char *area, *map;

	if (fallocate(fd, 0, 0, len)) {
		close(fd);
		check(unlinkat(dir, "huge", 0), "huge");
		return;
	}
	area = mmap(NULL, len + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map = (char *)(((unsigned long)area + HUGE - 1) & ~(HUGE - 1));
	map = mmap(map, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (map == MAP_FAILED)
		fail("mmap huge");
	for (int n = 0; n < HUGE_RUNS; n++)
		COUNTED("2M write, first", touch(map + n * HUGE, true));
	check(madvise(map, len, MADV_DONTNEED), "madvise");
	for (int n = 0; n < HUGE_RUNS; n++)
		COUNTED("2M write, hit", touch(map + n * HUGE, true));
	munmap(area, len + HUGE);
	close(fd);
	check(unlinkat(dir, "huge", 0), "unlink");
}

static void mounts(char **argv)
{
	for (int n = 0; n < 5; n++) {
		COUNTED(argv[2], mount(argv[3], argv[4], argv[5], 0, argv[6]));
		check(umount(argv[4]), "umount");
	}
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "mount")) {
		mounts(argv);
		return 0;
	}
	if (argc < 3)
		return 2;
	dir = check(open(argv[2], O_RDONLY | O_DIRECTORY), argv[2]);
	if (!strcmp(argv[1], "files") && argc == 4) {
		for (int n = 0; n < atoi(argv[3]); n++)
			close(check(openat(dir, name("many", n), O_CREAT | O_EXCL | O_RDWR, 0644), "create"));
		return 0;
	}
	if (strcmp(argv[1], "ops"))
		return 2;
	sync_too = argc > 3;
	namespace();
	data();
	faults();
	huge_faults();
	return 0;
}
