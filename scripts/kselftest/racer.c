// SPDX-License-Identifier: GPL-2.0
/*
 * racer FILE SIZE SECONDS WHAT...: threads of one process meet in one shared mapping of FILE, SIZE MiB long.
 *
 *   load, store       touch pages at random (SIGBUS is allowed)
 *   fsync, msync      clean
 *   truncate, punch   take pages away: contents are then not checked
 *   zap               MADV_DONTNEED on 2 MiB at random
 *   split             unmap and map one 2 MiB window again
 *   pin               vmsplice a page, hold it for a moment
 *   drop              drop_caches
 *
 * Each "store" thread owns one byte of each page and remembers what it wrote there. Without truncate and punch, every byte
 * is compared in the end, through the mapping and through read(2).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HUGE (2UL << 20)
#define PAGE 4096UL

static int fd, lossy, stores;
static unsigned char *map;
static size_t size;
static time_t until;
static __thread sigjmp_buf jump;
static __thread volatile sig_atomic_t guarded;

struct racer {
	const char *what;
	unsigned int seed;
	int slot;
	unsigned char *wrote;
	unsigned long count;
	pthread_t thread;
};

static void on_bus(int sig)
{
	if (guarded)
		siglongjmp(jump, 1);
	_exit(sig);
}

static void pin(unsigned char *page)
{
	struct iovec v = { page, PAGE };
	int p[2];

	if (pipe(p))
		return;
	if (vmsplice(p[1], &v, 1, 0) > 0)
		usleep(5000);
	close(p[0]);
	close(p[1]);
}

static void once(struct racer *r)
{
	size_t page = rand_r(&r->seed) % (size / PAGE), window = page * PAGE & ~(HUGE - 1);

	if (!strcmp(r->what, "load")) {
		(void)*(volatile unsigned char *)(map + page * PAGE);
	} else if (!strcmp(r->what, "store")) {
		unsigned char byte = rand_r(&r->seed) | 1;

		*(volatile unsigned char *)(map + page * PAGE + r->slot) = byte;
		r->wrote[page] = byte;
	} else if (!strcmp(r->what, "fsync")) {
		fsync(fd);
	} else if (!strcmp(r->what, "msync")) {
		msync(map + window, HUGE, MS_SYNC);
	} else if (!strcmp(r->what, "truncate")) {
		if (ftruncate(fd, page * PAGE) || ftruncate(fd, size))
			perror("ftruncate");
	} else if (!strcmp(r->what, "punch")) {
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, window, HUGE))
			perror("fallocate");
	} else if (!strcmp(r->what, "zap")) {
		madvise(map + window, HUGE, MADV_DONTNEED);
	} else if (!strcmp(r->what, "split")) {
		mmap(map + window, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, window);
	} else if (!strcmp(r->what, "drop")) {
		int f = open("/proc/sys/vm/drop_caches", O_WRONLY);

		if (write(f, "3", 1) != 1)
			perror("drop_caches");
		close(f);
		usleep(100000);
	} else if (!strcmp(r->what, "pin")) {
		pin(map + page * PAGE);
	} else {
		fprintf(stderr, "racer: what is %s?\n", r->what);
		exit(4);
	}
	r->count++;
}

static void *race(void *arg)
{
	struct racer *r = arg;

	while (time(NULL) < until) {
		guarded = 1;
		if (!sigsetjmp(jump, 1))
			once(r);
		guarded = 0;
	}
	return NULL;
}

static int compare(struct racer *r, const unsigned char *page, size_t nr, const char *how)
{
	if (page[r->slot] == r->wrote[nr])
		return 0;
	fprintf(stderr, "racer: page %zu of thread %d by %s: %#x instead of %#x\n", nr, r->slot, how, page[r->slot],
		r->wrote[nr]);
	return 1;
}

int main(int argc, char **argv)
{
	struct racer *racers = calloc(argc, sizeof(*racers));
	int bad = 0, n = argc - 4;
	unsigned char buf[PAGE];
	char *room;

	if (argc < 5)
		return 4;
	size = strtoul(argv[2], NULL, 0) << 20;
	until = time(NULL) + atoi(argv[3]);
	signal(SIGBUS, on_bus);
	fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, size))
		return perror(argv[1]), 1;
	room = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	room += -(unsigned long)room % HUGE;
	map = mmap(room, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (map == MAP_FAILED)
		return perror("mmap"), 1;
	for (int i = 0; i < n; i++) {
		struct racer *r = racers + i;

		*r = (struct racer){ .what = argv[i + 4], .seed = i + 1, .slot = i };
		r->wrote = calloc(size / PAGE, 1);
		lossy |= !strcmp(r->what, "truncate") || !strcmp(r->what, "punch");
		stores += !strcmp(r->what, "store");
	}
	for (int i = 0; i < n; i++)
		pthread_create(&racers[i].thread, NULL, race, racers + i);
	for (int i = 0; i < n; i++) {
		pthread_join(racers[i].thread, NULL);
		printf("%s: %lu times\n", racers[i].what, racers[i].count);
		bad |= !racers[i].count;
	}
	for (size_t nr = 0; !lossy && stores && nr < size / PAGE; nr++) {
		if (pread(fd, buf, PAGE, nr * PAGE) != (ssize_t)PAGE)
			return perror("pread"), 1;
		for (int i = 0; i < n; i++) {
			bad |= compare(racers + i, buf, nr, "read");
			bad |= compare(racers + i, map + nr * PAGE, nr, "load");
		}
	}
	return bad;
}
