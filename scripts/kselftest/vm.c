// SPDX-License-Identifier: GPL-2.0
/*
 * vm COMMAND ...: what the kernel's memory management does to mappings beside their faults.
 *
 *   guard FILE SECONDS   guard markers come and go in pages of 4 KiB and 2 MiB that are being stored
 *                        to: a store gets through, or SIGSEGV
 *   cut FILE             private copies of pages that are cut off go with them; others stay
 */
#include "map.h"
#include <pthread.h>

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

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "guard", 2, guard }, { "cut", 1, cut },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
