// SPDX-License-Identifier: GPL-2.0
/*
 * cachestat COMMAND FILE: calls that look at the page cache of a file, while the file's mapping has
 * entries of all kinds. There is nothing in the page cache to tell of, whatever is mapped, and
 * nothing may happen to what is.
 */
#include "map.h"
#include <grp.h>
#include <sys/syscall.h>

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct range {
	uint64_t off, len;
};

struct counts {
	uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

static long call(int fd, uint64_t off, uint64_t len, unsigned int flags, struct counts *counts)
{
	struct range range = { off, len };

	return syscall(SYS_cachestat, fd, &range, counts, flags);
}

/* Nothing of @len bytes from @off on is in the page cache, nor was. */
static void expect_none(int fd, uint64_t off, uint64_t len)
{
	static const struct counts none;
	struct counts counts;

	memset(&counts, 0xff, sizeof(counts));
	must(call(fd, off, len, 0, &counts));
	if (memcmp(&counts, &none, sizeof(none)))
		fail("cachestat of %llu bytes from %llu: cached %llu, dirty %llu, evicted %llu",
		     (unsigned long long)len, (unsigned long long)off,
		     (unsigned long long)counts.cache, (unsigned long long)counts.dirty,
		     (unsigned long long)counts.evicted);
}

static void expect_none_anywhere(int fd)
{
	expect_none(fd, 0, 0);
	expect_none(fd, 0, 1);
	expect_none(fd, 0, 10 * HUGE);
	expect_none(fd, PAGE, PAGE);
	expect_none(fd, HUGE - PAGE, 3 * PAGE);
	expect_none(fd, 3 * HUGE + 5, HUGE);
	expect_none(fd, 1UL << 40, 0);
	expect_none(fd, 0, ~0UL);
}

/*
 * Four times 2 MiB, and entries of all kinds: 2 MiB ones, a clean and a dirty one; 4 KiB ones,
 * both; holes, that were read and that nobody has touched. The contents are those of the pattern 1
 * but for the last 2 MiB, which is a hole but for a page.
 */
static unsigned char *make_all(const char *path, int *fd)
{
	unsigned char *p;

	*fd = make_file(path, 4 * HUGE, false);
	must(posix_fallocate(*fd, 0, 2 * HUGE) ? -1 : 0);
	/* Without its first page 2 MiB cannot be one entry. */
	must(posix_fallocate(*fd, 2 * HUGE + PAGE, HUGE - PAGE) ? -1 : 0);
	p = map_shared(*fd, 4 * HUGE);
	fill(p, 1, 0, 2 * HUGE);
	must(msync(p, HUGE, MS_SYNC));
	fill(p + 2 * HUGE + PAGE, 1, 2 * HUGE + PAGE, 8 * PAGE);
	must(msync(p + 2 * HUGE + PAGE, 4 * PAGE, MS_SYNC));
	p[3 * HUGE + 9 * PAGE] = 9;
	expect(p[3 * HUGE] == 0 && p[3 * HUGE + 7 * PAGE] == 0);
	return p;
}

static void expect_all(unsigned char *p, int fd)
{
	expect_bytes(p, 1, 0, 2 * HUGE);
	expect_file(fd, 1, 2 * HUGE + PAGE, 8 * PAGE);
	expect(p[3 * HUGE + 9 * PAGE] == 9 && p[3 * HUGE] == 0 && p[3 * HUGE + 8 * PAGE] == 0);
}

/* kinds FILE: by descriptors of all kinds; the arguments are checked. */
static int do_kinds(char **argv)
{
	int early = make_file(argv[0], 0, false), fd, late, path;
	unsigned char *p = make_all(argv[0], &fd);
	struct counts counts;

	late = must(open(argv[0], O_RDONLY));
	path = must(open(argv[0], O_PATH));
	expect_none_anywhere(fd);
	expect_none_anywhere(early);
	expect_none_anywhere(late);
	expect(call(path, 0, 0, 0, &counts) == -1 && errno == EBADF);
	expect(call(fd, 0, 0, 1, &counts) == -1 && errno == EINVAL);
	expect(call(fd, 0, 0, 0, NULL) == -1 && errno == EFAULT);
	must(unlink(argv[0]));
	expect_none_anywhere(fd);
	expect_all(p, fd);
	must(munmap(p, 4 * HUGE));
	expect_none_anywhere(fd);
	must(ftruncate(fd, 0));
	expect_none_anywhere(fd);
	return 0;
}

/* nameless DIR: a file that never had a name. */
static int do_nameless(char **argv)
{
	int fd = must(open(argv[0], O_TMPFILE | O_RDWR, 0600));
	unsigned char *p;

	must(posix_fallocate(fd, 0, HUGE) ? -1 : 0);
	p = map_shared(fd, HUGE);
	p[5] = 5;
	expect_none_anywhere(fd);
	return 0;
}

/* handle FILE DIR: opened by its handle. */
static int do_handle(char **argv)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	int id, fd, dir = must(open(argv[1], O_RDONLY | O_DIRECTORY));
	unsigned char *p = make_all(argv[0], &fd);
	int by_handle;

	must(name_to_handle_at(AT_FDCWD, argv[0], &handle.head, &id, 0));
	by_handle = must(open_by_handle_at(dir, &handle.head, O_RDWR));
	expect_none_anywhere(by_handle);
	expect(mmap(NULL, HUGE, PROT_READ, MAP_SHARED | MAP_POPULATE, by_handle, 0) != MAP_FAILED);
	expect_none_anywhere(by_handle);
	expect_all(p, fd);
	return 0;
}

/* readonly FILE: of a file system that cannot be written. */
static int do_readonly(char **argv)
{
	int fd = must(open(argv[0], O_RDONLY));
	unsigned char *p = mmap(NULL, 4 * HUGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);

	expect(p != MAP_FAILED);
	expect_none_anywhere(fd);
	expect_all(p, fd);
	return 0;
}

/* user FILE UID: any user who owns the file. */
static int do_user(char **argv)
{
	unsigned char *p;
	int fd;

	must(setgroups(0, NULL));
	must(setgid(number(argv[1])));
	must(setuid(number(argv[1])));
	p = make_all(argv[0], &fd);
	expect_none_anywhere(fd);
	expect_all(p, fd);
	return 0;
}

/* advice FILE: all that asks for pages to be read or thrown away. */
static int do_advice(char **argv)
{
	static const int file[] = {
		POSIX_FADV_NORMAL, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL,
		POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE,
	};
	static const int memory[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED,
	};
	unsigned char vec[4 * HUGE / PAGE];
	int fd;
	unsigned char *p = make_all(argv[0], &fd);

	for (size_t i = 0; i < ARRAY_SIZE(file); i++) {
		must(posix_fadvise(fd, 0, 0, file[i]) ? -1 : 0);
		must(posix_fadvise(fd, HUGE - PAGE, 2 * HUGE, file[i]) ? -1 : 0);
	}
	expect(posix_fadvise(fd, 0, 0, 77) == EINVAL);
	must(readahead(fd, 0, 4 * HUGE));
	expect_all(p, fd);
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		must(madvise(p, 3 * HUGE, memory[i]));
	expect(madvise(p, HUGE, MADV_COLLAPSE) == -1 && errno == EINVAL);
	expect(madvise(p, HUGE, MADV_FREE) == -1 && errno == EINVAL);
	expect_all(p, fd);
	must(madvise(p, 4 * HUGE, MADV_DONTNEED));
	/* Present in the page table is what counts. */
	must(mincore(p, 4 * HUGE, vec));
	for (size_t i = 0; i < ARRAY_SIZE(vec); i++)
		expect(!(vec[i] & 1));
	expect(p[5 * PAGE] == pattern(1, 5 * PAGE));
	must(mincore(p, 4 * HUGE, vec));
	expect(vec[5] & 1 && !(vec[2 * HUGE / PAGE] & 1));
	must(madvise(p, HUGE, MADV_REMOVE));
	expect_zeroes(p, HUGE);
	expect_none_anywhere(fd);
	return 0;
}

/* keep FILE SECONDS: a file with entries of all kinds, for others to look at. */
static int do_keep(char **argv)
{
	int fd;

	make_all(argv[0], &fd);
	puts("made");
	sleep(number(argv[1]));
	return 0;
}

/* store FILE PAGE...: stores to these pages. */
static int do_store(char **argv)
{
	int fd = must(open(argv[0], O_RDWR));
	unsigned char *p = map_shared(fd, 4 * HUGE);

	for (argv++; *argv; argv++)
		p[number(*argv) * PAGE]++;
	return 0;
}

/* look FILE: whatever it has. */
static int do_look(char **argv)
{
	expect_none_anywhere(must(open(argv[0], O_RDONLY)));
	return 0;
}

/* range FILE OFF LEN: sync_file_range(2). */
static int do_range(char **argv)
{
	int fd = must(open(argv[0], O_RDONLY));

	must(sync_file_range(fd, number(argv[1]), number(argv[2]),
			     SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	return 0;
}

static void looks(int fd, unsigned char *p, uint64_t *seed)
{
	(void)p;
	expect_none(fd, next_random(seed) % (4 * HUGE), next_random(seed) % (4 * HUGE));
	expect_none(fd, 0, 0);
}

static void load(int fd, unsigned char *p, uint64_t *seed)
{
	(void)fd;
	touch(p + next_random(seed) % (4 * HUGE), false);
}

static void store(int fd, unsigned char *p, uint64_t *seed)
{
	(void)fd;
	touch(p + next_random(seed) % (4 * HUGE), true);
}

static void cut(int fd, unsigned char *p, uint64_t *seed)
{
	(void)p;
	must(ftruncate(fd, next_random(seed) % (4 * HUGE)));
	must(ftruncate(fd, 4 * HUGE));
	must(posix_fallocate(fd, next_random(seed) % HUGE, 3 * HUGE) ? -1 : 0);
}

static void punch(int fd, unsigned char *p, uint64_t *seed)
{
	int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	(void)p;
	must(fallocate(fd, how, next_random(seed) % (3 * HUGE), HUGE));
}

static void again(int fd, unsigned char *p, uint64_t *seed)
{
	uint64_t at = next_random(seed) % 4 * HUGE;

	must(munmap(p + at, HUGE));
	expect(mmap(p + at, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, at) == p + at);
}

static void clean(int fd, unsigned char *p, uint64_t *seed)
{
	switch (next_random(seed) % 4) {
	case 0:
		must(fsync(fd));
		break;
	case 1:
		must(msync(p, 4 * HUGE, MS_SYNC));
		break;
	case 2:
		must(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
		break;
	default:
		must(syncfs(fd));
	}
}

static void child(int fd, unsigned char *p, uint64_t *seed)
{
	pid_t pid = must(fork());

	if (!pid) {
		load(fd, p, seed);
		store(fd, p, seed);
		_exit(0);
	}
	expect(wait_for(pid, 60) == 0);
}

/* race FILE SECONDS: one process for each of the above, and three that look. */
static int do_race(char **argv)
{
	static void (*const what[])(int, unsigned char *, uint64_t *) = {
		looks, looks, looks, load, load, store, cut, punch, again, clean, child,
	};
	double end = now() + number(argv[1]);
	int bad = 0, status;

	close(make_file(argv[0], 4 * HUGE, true));
	for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
		uint64_t seed = i;
		unsigned char *p;
		int fd;

		if (must(fork()))
			continue;
		fd = must(open(argv[0], O_RDWR));
		p = map_shared(fd, 4 * HUGE);
		catch_faults();
		while (now() < end)
			what[i](fd, p, &seed);
		_exit(0);
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "kinds", 1, do_kinds }, { "nameless", 1, do_nameless },
		{ "handle", 2, do_handle }, { "readonly", 1, do_readonly }, { "user", 2, do_user },
		{ "advice", 1, do_advice }, { "keep", 2, do_keep }, { "store", 2, do_store },
		{ "look", 1, do_look }, { "range", 3, do_range }, { "race", 2, do_race },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
