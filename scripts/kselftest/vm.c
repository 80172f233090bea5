// SPDX-License-Identifier: GPL-2.0
/*
 * vm COMMAND ...: what the kernel's memory management does to mappings beside their faults.
 *
 *   guard FILE SECONDS   guard markers come and go in pages of 4 KiB and 2 MiB that are being stored
 *                        to: a store gets through, or SIGSEGV
 *   cut FILE             private copies of pages that are cut off go with them; others stay
 *   many DIR COUNT       makes so many files of which a page was stored by a mapping
 *   look DIR COUNT       they hold what was stored
 *   pinned DIR SECONDS   files without a name whose last user has a page pinned, one after the other:
 *                        they are gone, but for the last ones, when it ends
 */
#include "map.h"
#include <pthread.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define PLACES 4

static unsigned char *map;
static double end;
static long stores, guards;

static void *store(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	while (now() < end) {
		uint64_t r = next_random(&state);
		int sig = touch(map + r % PLACES * PAGE, true);

		if (sig && sig != SIGSEGV)
			fail("a store got signal %d", sig);
		__atomic_fetch_add(&stores, !sig, __ATOMIC_RELAXED);
		__atomic_fetch_add(&guards, !!sig, __ATOMIC_RELAXED);
		if (r % 7 == 0)
			must(madvise(map, HUGE, MADV_DONTNEED));
		else
			must(madvise(map, PLACES * PAGE, MADV_DONTNEED));
	}
	return NULL;
}

static int guard(char **argv)
{
	int fd = make_file(argv[0], HUGE, true);
	pthread_t threads[2];
	uint64_t state = 1;

	map = map_shared(fd, HUGE);
	catch_faults();
	end = now() + number(argv[1]);
	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		if (pthread_create(&threads[i], NULL, store, (void *)(i + 1)))
			fail("no thread");
	while (now() < end) {
		unsigned char *p = map + next_random(&state) % PLACES * PAGE;

		if (madvise(p, PAGE, MADV_GUARD_INSTALL) && errno != EINTR)
			die("MADV_GUARD_INSTALL");
		must(madvise(p, PAGE, MADV_GUARD_REMOVE));
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	printf("%ld stores, %ld guards\n", stores, guards);
	expect(stores && guards);
	for (size_t i = 0; i < PLACES; i++)
		expect(touch(map + i * PAGE, true) == 0);
	return 0;
}

static int cut(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true);
	unsigned char *p = map_at(fd, 2 * HUGE, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	catch_faults();
	for (size_t at = 0; at < 2 * HUGE; at += HUGE / 8)
		p[at] = 1;
	p[HUGE + PAGE] = p[HUGE + 2 * PAGE] = 1;
	must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	expect(p[0] == 1);
	/* In the second page of the second half. */
	must(ftruncate(fd, HUGE + PAGE + 100));
	expect(p[0] == 1 && p[HUGE] == 1 && p[HUGE + PAGE] == 1);
	if (touch(p + HUGE + 2 * PAGE, false) != SIGBUS || touch(p + HUGE + HUGE / 8, false) != SIGBUS)
		fail("a private copy of a page that was cut off is still there");
	must(ftruncate(fd, 2 * HUGE));
	expect(p[HUGE + PAGE] == 1);
	expect(p[HUGE + 2 * PAGE] == 0 && p[HUGE + HUGE / 8] == 0);
	return 0;
}

/* File @i of @dir, whose one page that is mapped is the first one, or another. */
static int open_file(const char *dir, long i, int flags, off_t *at)
{
	char name[256];
	int fd;

	snprintf(name, sizeof(name), "%s/%ld", dir, i);
	fd = must(open(name, flags, 0644));
	*at = i % 4 * PAGE;
	return fd;
}

static int many(char **argv)
{
	for (long i = 0; i < (long)number(argv[1]); i++) {
		off_t at;
		int fd = open_file(argv[0], i, O_RDWR | O_CREAT, &at);
		unsigned char *p;

		must(ftruncate(fd, at + PAGE));
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
		if (p == MAP_FAILED)
			die("mmap");
		fill(p, i, 0, 64);
		must(munmap(p, PAGE));
		must(close(fd));
	}
	return 0;
}

static int look(char **argv)
{
	for (long i = 0; i < (long)number(argv[1]); i++) {
		unsigned char is[64], want[64];
		off_t at;
		int fd = open_file(argv[0], i, O_RDONLY, &at);

		expect(must(pread(fd, is, 64, at)) == 64);
		fill(want, i, 0, 64);
		expect(!memcmp(is, want, 64));
		must(close(fd));
	}
	return 0;
}

static int pinned(char **argv)
{
	struct statfs before, after;
	long made = 0, left;
	int pipes[2];

	must(pipe(pipes));
	must(statfs(argv[0], &before));
	end = now() + number(argv[1]);
	while (now() < end) {
		char byte;
		int fd = must(open(argv[0], O_RDWR | O_TMPFILE, 0644));
		unsigned char *p;
		struct iovec iov;

		must(ftruncate(fd, PAGE));
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			die("mmap");
		*p = 1;
		iov = (struct iovec){ p, 1 };
		expect(must(vmsplice(pipes[1], &iov, 1, 0)) == 1);
		must(munmap(p, PAGE));
		must(close(fd));
		/* Only now. */
		expect(must(read(pipes[0], &byte, 1)) == 1);
		made++;
	}
	must(statfs(argv[0], &after));
	left = before.f_ffree - after.f_ffree;
	printf("%ld files, %ld of them are still there\n", made, left);
	expect(left < made / 2 + 16);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "guard", 2, guard }, { "cut", 1, cut }, { "many", 2, many }, { "look", 2, look },
		{ "pinned", 2, pinned },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
