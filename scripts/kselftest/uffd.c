// SPDX-License-Identifier: GPL-2.0
/*
 * uffd COMMAND FILE: a mapping that userfaultfd write-protects asynchronously, as those do who copy a running process: each
 * page says whether it was stored to since. No access may fail or fault for ever, no store may be missed, and the file
 * stays what it is. Each makes the file anew. A command that hangs is ended by its alarm.
 */
#include "map.h"
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/syscall.h>

static int watch(unsigned char *p, size_t len)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register range = {
		.range = { (uintptr_t)p, len }, .mode = UFFDIO_REGISTER_MODE_WP,
	};
	int fd = must(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY));

	must(ioctl(fd, UFFDIO_API, &api));
	must(ioctl(fd, UFFDIO_REGISTER, &range));
	return fd;
}

static void protect(int uffd, unsigned char *p, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)p, len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	must(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
}

/* How many bytes of [@p, @p + @len) were stored to since they were protected; with @again they are protected anew. */
static size_t stored(unsigned char *p, size_t len, bool again)
{
	static __thread struct page_region regions[1024];
	int fd = must(open("/proc/self/pagemap", O_RDONLY));
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = again ? PM_SCAN_WP_MATCHING : 0,
		.start = (uintptr_t)p, .end = (uintptr_t)p + len,
		.vec = (uintptr_t)regions, .vec_len = ARRAY_SIZE(regions),
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};
	int n = must(ioctl(fd, PAGEMAP_SCAN, &arg));
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += regions[i].end - regions[i].start;
	must(close(fd));
	return total;
}

/* pages FILE: pages that nobody has touched in this mapping: loads, stores, and both. */
static int do_pages(char **argv)
{
	size_t len = 16 * PAGE;
	int fd = make_file(argv[0], len, true), uffd;
	unsigned char *p = map_shared(fd, len), copy[16 * PAGE];

	fill(copy, 1, 0, len);
	expect(pwrite(fd, copy, len, 0) == (ssize_t)len);
	uffd = watch(p, len);
	protect(uffd, p, len);
	expect_bytes(p, 1, 0, 4 * PAGE);
	expect(stored(p, len, false) == 0);
	p[PAGE] = 7;
	p[8 * PAGE] = 7;
	expect(stored(p, len, false) == 2 * PAGE);
	expect(stored(p, len, true) == 2 * PAGE);
	expect(stored(p, len, false) == 0);
	p[8 * PAGE + 1] = 8;
	expect(stored(p, len, false) == PAGE);
	expect(pread(fd, copy, len, 0) == (ssize_t)len);
	expect(copy[PAGE] == 7 && copy[8 * PAGE] == 7 && copy[8 * PAGE + 1] == 8);
	return 0;
}

/* huge FILE: a mapping of 2 MiB pages, which protecting splits: each of its pages, once loaded and once stored to. */
static int do_huge(char **argv)
{
	size_t len = 2 * HUGE;
	int fd = make_file(argv[0], len, true), uffd;
	unsigned char *p = map_shared(fd, len);

	fill(p, 2, 0, len);
	if (huge_bytes(p, len) != len)
		fail("%zu bytes are mapped by 2 MiB entries", huge_bytes(p, len));
	uffd = watch(p, len);
	protect(uffd, p, len);
	expect(huge_bytes(p, len) == 0);
	for (size_t at = 0; at < HUGE; at += 2 * PAGE) {
		expect(p[at] == pattern(2, at));
		p[HUGE + at] = 3;
	}
	expect(stored(p, HUGE, false) == 0);
	expect(stored(p + HUGE, HUGE, false) == HUGE / 2);
	for (size_t at = 0; at < HUGE; at += PAGE)
		p[at] = 4;
	expect(stored(p, len, false) == HUGE + HUGE / 2);
	expect(blocks_of(fd) == (off_t)len / 512);
	return 0;
}

/* holes FILE: loads of holes take no blocks; who fills them, by a store or by write(2), is seen by all. */
static int do_holes(char **argv)
{
	size_t len = 16 * PAGE;
	int fd = make_file(argv[0], len, false), uffd;
	unsigned char *p = map_shared(fd, len), *q = map_shared(fd, len), copy[PAGE];

	uffd = watch(p, len);
	protect(uffd, p, len);
	expect_zeroes(p, len);
	expect(blocks_of(fd) == 0);
	expect(stored(p, len, false) == 0);
	p[0] = 9;
	expect(q[0] == 9 && p[1] == 0);
	q[PAGE] = 9;
	expect(p[PAGE] == 9);
	fill(copy, 3, 0, PAGE);
	expect(pwrite(fd, copy, PAGE, 2 * PAGE) == (ssize_t)PAGE);
	expect(!memcmp(p + 2 * PAGE, copy, PAGE));
	expect_zeroes(p + 3 * PAGE, 13 * PAGE);
	expect(stored(p, len, false) == PAGE);
	/* What was a hole, and then was no part of the file, and is again. */
	must(ftruncate(fd, 4 * PAGE));
	catch_faults();
	expect(touch(p + 5 * PAGE, false) == SIGBUS && fault_code == BUS_ADRERR);
	must(ftruncate(fd, len));
	expect(pwrite(fd, copy, PAGE, 5 * PAGE) == (ssize_t)PAGE);
	expect(!memcmp(p + 5 * PAGE, copy, PAGE));
	return 0;
}

/* private FILE: stores to a private mapping are noted and stay private. */
static int do_private(char **argv)
{
	size_t len = 8 * PAGE;
	int fd = make_file(argv[0], len, false), uffd;
	unsigned char *p = map_at(fd, len, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE), copy[2 * PAGE];

	fill(copy, 4, 0, 2 * PAGE);
	expect(pwrite(fd, copy, 2 * PAGE, 0) == 2 * (ssize_t)PAGE);
	uffd = watch(p, len);
	protect(uffd, p, len);
	expect_bytes(p, 4, 0, 2 * PAGE);
	expect_zeroes(p + 2 * PAGE, 6 * PAGE);
	expect(stored(p, len, false) == 0);
	for (size_t at = 0; at < len; at += 2 * PAGE)
		p[at] = 5;
	protect(uffd, p, len);
	for (size_t at = 0; at < len; at += PAGE)
		p[at] = 6;
	expect(stored(p, len, false) == len);
	expect_file(fd, 4, 0, 2 * PAGE);
	expect(blocks_of(fd) == 2 * (off_t)PAGE / 512);
	return 0;
}

/* readonly FILE: of a file system that cannot be written: data, and holes. */
static int do_readonly(char **argv)
{
	int fd = must(open(argv[0], O_RDONLY)), uffd;
	struct stat st;
	unsigned char *p, *copy;

	must(fstat(fd, &st));
	/* A shared mapping would have to be of a descriptor that may write. */
	p = map_at(fd, st.st_size, 0, PROT_READ, MAP_PRIVATE);
	copy = malloc(st.st_size);
	expect(copy && pread(fd, copy, st.st_size, 0) == st.st_size);
	uffd = watch(p, st.st_size);
	protect(uffd, p, st.st_size);
	expect(!memcmp(p, copy, st.st_size));
	return 0;
}

/* store FILE: two stores to the same page with an fsync in between, for who looks at the entries. */
static int do_store(char **argv)
{
	int fd = make_file(argv[0], PAGE, true), uffd;
	unsigned char *p = map_shared(fd, PAGE);

	uffd = watch(p, PAGE);
	protect(uffd, p, PAGE);
	p[0] = 1;
	must(fsync(fd));
	expect(stored(p, PAGE, true) == PAGE);
	p[1] = 2;
	return 0;
}

struct racer {
	unsigned char *p;
	size_t len;
	int fd, uffd;
	unsigned int seed;
};

static volatile bool over;

/* One byte of each page is this thread's: it must hold what was stored last. */
static void *storer(void *arg)
{
	struct racer *r = arg;
	uint64_t state = r->seed;
	unsigned char last[256] = { 0 };

	while (!over) {
		size_t page = next_random(&state) % (r->len / PAGE);
		unsigned char *at = r->p + page * PAGE + r->seed;

		if (*(volatile unsigned char *)at != last[page])
			fail("thread %u, page %zu: %u, not %u", r->seed, page, *at, last[page]);
		*(volatile unsigned char *)at = ++last[page];
	}
	return NULL;
}

static void *protector(void *arg)
{
	struct racer *r = arg;
	uint64_t state = r->seed;

	while (!over) {
		size_t page = next_random(&state) % (r->len / PAGE);

		switch (next_random(&state) % 4) {
		case 0:
			protect(r->uffd, r->p, r->len);
			break;
		case 1:
			stored(r->p, r->len, true);
			break;
		case 2:
			must(madvise(r->p + page * PAGE, PAGE, MADV_DONTNEED));
			break;
		default:
			must(fsync(r->fd));
		}
	}
	return NULL;
}

/* race FILE ROUNDS: stores to holes while others protect, drop page table entries and fsync. */
static int do_race(char **argv)
{
	size_t len = 64 * PAGE;
	unsigned int rounds = number(argv[1]);

	for (unsigned int round = 0; round < rounds; round++) {
		int fd = make_file(argv[0], len, round % 2);
		struct racer r[4];
		pthread_t threads[4];

		over = false;
		for (unsigned int i = 0; i < 4; i++) {
			r[i] = (struct racer){ map_shared(fd, len), len, fd, 0, i };
			if (i)
				must(munmap(r[i].p, len)), r[i].p = r[0].p, r[i].uffd = r[0].uffd;
			else
				r[0].uffd = watch(r[0].p, len);
		}
		for (unsigned int i = 0; i < 4; i++)
			expect(!pthread_create(&threads[i], NULL, i < 2 ? storer : protector, &r[i]));
		usleep(300000);
		over = true;
		for (unsigned int i = 0; i < 4; i++)
			expect(!pthread_join(threads[i], NULL));
		must(munmap(r[0].p, len));
		must(close(r[0].uffd));
		must(close(fd));
	}
	return 0;
}

/* fill FILE ROUNDS: a thread loads a hole again and again while write(2) fills it: it is never empty afterwards. */
static volatile size_t filled;

static void *loader(void *arg)
{
	struct racer *r = arg;

	while (!over) {
		size_t until = __atomic_load_n(&filled, __ATOMIC_ACQUIRE);

		for (size_t page = 0; page < r->len / PAGE; page++) {
			unsigned char seen = *(volatile unsigned char *)(r->p + page * PAGE);

			if (page < until && !seen)
				fail("page %zu is empty, %zu were filled", page, until);
		}
	}
	return NULL;
}

static int do_fill(char **argv)
{
	size_t len = 64 * PAGE;
	unsigned int rounds = number(argv[1]);
	unsigned char page[PAGE];

	memset(page, 1, sizeof(page));
	for (unsigned int round = 0; round < rounds; round++) {
		int fd = make_file(argv[0], len, false);
		unsigned char *p = map_shared(fd, len);
		struct racer r = { p, len, fd, watch(p, len), 0 };
		pthread_t threads[2];

		protect(r.uffd, p, len);
		over = false;
		filled = 0;
		for (int i = 0; i < 2; i++)
			expect(!pthread_create(&threads[i], NULL, loader, &r));
		for (size_t at = 0; at < len; at += PAGE) {
			expect(pwrite(fd, page, PAGE, at) == (ssize_t)PAGE);
			__atomic_store_n(&filled, at / PAGE + 1, __ATOMIC_RELEASE);
		}
		over = true;
		for (int i = 0; i < 2; i++)
			expect(!pthread_join(threads[i], NULL));
		must(munmap(p, len));
		must(close(r.uffd));
		must(close(fd));
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "pages", 1, do_pages }, { "huge", 1, do_huge }, { "holes", 1, do_holes },
		{ "private", 1, do_private }, { "readonly", 1, do_readonly }, { "store", 1, do_store },
		{ "race", 2, do_race }, { "fill", 2, do_fill },
	};

	alarm(300);
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
