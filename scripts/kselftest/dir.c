// SPDX-License-Identifier: GPL-2.0
/*
 * dir COMMAND ARG...: directories with many entries, read while they change.
 */
#include "test.h"
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define MAX_ENTRIES 100000

static DIR *open_dir(const char *path)
{
	DIR *d = opendir(path);

	if (!d)
		fail("opendir %s: %s", path, errname(errno));
	return d;
}

/* The number in a name made by make_name, or -1. */
static long index_of(const char *name)
{
	return *name == 'f' ? strtol(name + 1, NULL, 10) : -1;
}

static void make_name(char *name, const char *dir, long i)
{
	sprintf(name, "%s/f%ld", dir, i);
}

/* fill DIR FIRST COUNT: empty files. */
static int do_fill(char **argv)
{
	long first = number(argv[1]), count = number(argv[2]);
	char name[4096];

	for (long i = first; i < first + count; i++) {
		make_name(name, argv[0], i);
		must(close(must(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
	}
	return 0;
}

/*
 * seek DIR COUNT: telldir positions of all entries; then every third entry is removed, and
 * each remaining one must still be found at its position.
 */
static int do_seek(char **argv)
{
	static long position[MAX_ENTRIES];
	static char order[MAX_ENTRIES][16];
	long count = number(argv[1]), n = 0, at;
	DIR *d = open_dir(argv[0]);
	char name[4096];

	for (;;) {
		struct dirent *e;

		at = telldir(d);
		e = readdir(d);
		if (!e)
			break;
		if (index_of(e->d_name) < 0)
			continue;
		position[n] = at;
		snprintf(order[n++], sizeof(order[0]), "%.15s", e->d_name);
	}
	expect(n == count);
	for (long i = 0; i < n; i += 3) {
		snprintf(name, sizeof(name), "%s/%s", argv[0], order[i]);
		must(unlink(name));
	}
	for (long i = n - 1; i >= 0; i--) {
		struct dirent *e;

		if (i % 3 == 0)
			continue;
		seekdir(d, position[i]);
		e = readdir(d);
		if (!e || strcmp(e->d_name, order[i]))
			fail("at %ld is %s, not %s", position[i], e ? e->d_name : "the end",
			     order[i]);
	}
	/* A position whose entry is gone leads to the next one that is there. */
	seekdir(d, position[0]);
	if (n > 1) {
		struct dirent *e = readdir(d);

		expect(e && !strcmp(e->d_name, order[1]));
	}
	return 0;
}

/*
 * changing DIR COUNT: while the directory is read, entries come and go. Those that were there
 * all the time are seen exactly once.
 */
static int do_changing(char **argv)
{
	static unsigned char seen[MAX_ENTRIES];
	long count = number(argv[1]), step = 0;
	DIR *d = open_dir(argv[0]);
	char name[4096];

	for (struct dirent *e; (e = readdir(d)); step++) {
		long i = index_of(e->d_name);

		if (i >= 0 && i < count)
			seen[i]++;
		/* Odd numbers go, in an order of their own; new ones come. */
		if (step < count / 2) {
			make_name(name, argv[0], (step * 7919 % (count / 2)) * 2 + 1);
			unlink(name);
			make_name(name, argv[0], count + step);
			must(close(must(open(name, O_CREAT | O_WRONLY, 0644))));
		}
	}
	for (long i = 0; i < count; i++)
		if (i % 2 ? seen[i] > 1 : seen[i] != 1)
			fail("entry %ld seen %d times", i, seen[i]);
	return 0;
}

/* small DIR COUNT: getdents with the smallest buffer that can hold an entry gives all, too. */
static int do_small(char **argv)
{
	char buf[32];
	long total = 0, n;
	int fd = must(open(argv[0], O_RDONLY | O_DIRECTORY));

	while ((n = must(syscall(SYS_getdents64, fd, buf, sizeof(buf)))) > 0)
		total++;
	if (total != (long)number(argv[1]) + 2)
		fail("%ld entries", total - 2);
	expect(syscall(SYS_getdents64, fd, buf, 8L) == 0);
	must(lseek(fd, 0, SEEK_SET));
	expect(syscall(SYS_getdents64, fd, buf, 8L) == -1 && errno == EINVAL);
	return 0;
}

static sigjmp_buf none;

static void no_calls(int sig)
{
	(void)sig;
	siglongjmp(none, 1);
}

/* A system call of a program of 32 bits. Pointers are below 4 GiB. */
static long call32(long call, long a, long b, long c)
{
	int result;

	asm volatile("int $0x80" : "=a"(result) : "a"(call), "b"(a), "c"(b), "d"(c)
		     : "memory", "r8", "r9", "r10", "r11");
	if (result < 0 && result > -4096) {
		errno = -result;
		return -1;
	}
	return result;
}

#define GETDENTS64_32 220
#define LSEEK_32 19

/* Whether this kernel runs programs of 32 bits. */
static bool has_call32(int fd)
{
	signal(SIGSEGV, no_calls);
	if (sigsetjmp(none, 1))
		return false;
	return call32(LSEEK_32, fd, 0, SEEK_SET) == 0;
}

/*
 * narrow DIR COUNT: a program of 32 bits reads all entries, each at a position of 31 bits that
 * it can go back to. A kernel without such programs passes.
 */
static int do_narrow(char **argv)
{
	static long at[MAX_ENTRIES];
	static char order[MAX_ENTRIES][16];
	long total = 0, got, here = 0;
	int fd = must(open(argv[0], O_RDONLY | O_DIRECTORY));
	char *buf = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	expect(buf != MAP_FAILED);
	if (!has_call32(fd))
		return 0;
	/* Two or three entries at a time: most calls go on where the last one ended. */
	while ((got = must(call32(GETDENTS64_32, fd, (long)buf, 96))) > 0) {
		for (long next = 0; next < got;) {
			struct dirent64 *e = (void *)(buf + next);

			if (e->d_off < 0 || e->d_off > INT32_MAX)
				fail("%s is followed by position %#lx", e->d_name, (long)e->d_off);
			at[total] = here;
			snprintf(order[total++], sizeof(order[0]), "%.15s", e->d_name);
			here = e->d_off;
			next += e->d_reclen;
		}
	}
	if (total != (long)number(argv[1]) + 2)
		fail("%ld entries", total - 2);
	for (long i = total - 1; i >= 0; i--) {
		must(call32(LSEEK_32, fd, at[i], SEEK_SET));
		expect(must(call32(GETDENTS64_32, fd, (long)buf, 96)) > 0);
		if (strcmp(((struct dirent64 *)buf)->d_name, order[i]))
			fail("at %#lx is not %s", at[i], order[i]);
	}
	must(call32(LSEEK_32, fd, here, SEEK_SET));
	expect(call32(GETDENTS64_32, fd, (long)buf, 96) == 0);
	return 0;
}

static const struct command commands[] = {
	{ "fill", 3, do_fill },
	{ "seek", 2, do_seek }, { "changing", 2, do_changing },
	{ "small", 2, do_small }, { "narrow", 2, do_narrow },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
