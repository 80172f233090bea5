// SPDX-License-Identifier: GPL-2.0
/*
 * mapper OP ARG... [OP ARG...]...: what a shell cannot do with files and mappings, one operation after the other, until one
 * fails. There is one current file and one current mapping; offsets count from the mapping's start unless they are of the
 * file. Numbers may end in k, M or G.
 *
 *   open FILE r|rw|rwc|sync|direct                          open (rwc: create; sync: O_SYNC)
 *   close
 *   map LEN OFF shared|private|sync rw|r [odd]              2 MiB aligned, but for "odd"
 *   unmap                         rest OFF LEN              take all away, or a part
 *   put OFF LEN BYTE              get OFF LEN BYTE          store; load and compare
 *   bus OFF r|w                   expect SIGBUS
 *   stops OFF                     store what is there until SIGBUS comes
 *   lost OFF r|w                  the same, for failed memory there (BUS_MCEERR_AR)
 *   early                         ask to be told of failing memory before it is touched
 *   told OFF SECONDS              be told of memory that failed there (BUS_MCEERR_AO)
 *   huge N                        expect N pages of 2 MiB in the page table (PAGEMAP_SCAN)
 *   msync OFF LEN  fsync  syncfs  fdatasync                 make durable
 *   fput OFF LEN BYTE             fget OFF LEN BYTE         pwrite; pread and compare; offsets of the file
 *   truncate SIZE  punch OFF LEN  alloc OFF LEN             change the file
 *   protect OFF LEN none|r|rw     advise OFF LEN dontneed|poison|collapse|cold|pageout
 *   remap                         mremap to another aligned address
 *   freeze  thaw                  remount DIR ro|rw         the file's file system; what is mounted on DIR
 *   pin OFF [LEN]                 unpin                     vmsplice pages into a pipe; drain it
 *   pinned OFF BYTE               drain it and compare the first byte
 *   dread FILE OFF LEN            dwrite FILE OFF LEN       O_DIRECT from the start of FILE into the mapping, and back
 *   selfwrite FROM AT LEN         selfread AT TO LEN        pwrite from the mapping; pread into it
 *   unlink FILE                   drop                      drop_caches
 *   child OP... end               run in a child, wait, fail if it fails
 *   bg OP... end                  run in a child            wait: for all of them
 *   loop SECONDS OP... end        again and again           sleep MILLISECONDS
 *   ignore OP ARG...              do not care if it fails, or gets SIGBUS
 *   alarm SECONDS                 fail after that time
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#define HUGE (2UL << 20)

static char **arg;
static int fd = -1, pipe_fd[2] = { -1, -1 }, quiet;
static unsigned char *map;
static size_t map_len;
static sigjmp_buf jump;
static volatile sig_atomic_t expecting, code;
static unsigned char *volatile where;

static int fail(const char *what)
{
	if (!quiet)
		fprintf(stderr, "mapper: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	return -1;
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	code = info->si_code;
	where = info->si_addr;
	if (expecting && sig == SIGBUS)
		siglongjmp(jump, 1);
	if (!quiet)
		fprintf(stderr, "mapper: unexpected signal %d\n", sig);
	_exit(sig == SIGALRM ? 3 : 2);
}

static const char *next(void)
{
	if (!*arg) {
		fprintf(stderr, "mapper: an argument is missing\n");
		exit(4);
	}
	return *arg++;
}

static unsigned long num(void)
{
	char *end;
	unsigned long n = strtoul(next(), &end, 0);

	if (*end == 'k')
		n <<= 10;
	else if (*end == 'M')
		n <<= 20;
	else if (*end == 'G')
		n <<= 30;
	return n;
}

static int is(const char *s, const char *t)
{
	return !strcmp(s, t);
}

static void *aligned(size_t len, size_t odd)
{
	char *p = mmap(NULL, len + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *q = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	if (p == MAP_FAILED)
		return NULL;
	munmap(p, len + 2 * HUGE);
	return q + odd;
}

static int do_map(void)
{
	size_t len = num(), odd = 0;
	off_t off = num();
	const char *how = next(), *prot = next();
	int flags = is(how, "private") ? MAP_PRIVATE : is(how, "sync") ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;

	if (*arg && is(*arg, "odd")) {
		arg++;
		odd = 4096;
	}
	map = mmap(aligned(len, odd + off % HUGE), len, is(prot, "r") ? PROT_READ : PROT_READ | PROT_WRITE,
		   flags | MAP_FIXED, fd, off);
	map_len = len;
	return map == MAP_FAILED ? fail("mmap") : 0;
}

static int compare(const unsigned char *p, size_t off, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == byte)
			continue;
		if (!quiet)
			fprintf(stderr, "mapper: at %zu: %#x instead of %#x\n", off + i, p[i], byte);
		errno = 0;
		return -1;
	}
	return 0;
}

static int do_bus(int lost)
{
	size_t off = num();
	int write = is(next(), "w");

	expecting = 1;
	if (!sigsetjmp(jump, 1)) {
		if (write)
			*(volatile unsigned char *)(map + off) = 1;
		else
			(void)*(volatile unsigned char *)(map + off);
		expecting = 0;
		errno = 0;
		return fail("no SIGBUS");
	}
	expecting = 0;
	errno = 0;
	return lost && (code != BUS_MCEERR_AR || where != map + off) ? fail("another kind of SIGBUS") : 0;
}

static int do_stops(void)
{
	volatile unsigned char *p = map + num();

	expecting = 1;
	if (!sigsetjmp(jump, 1)) {
		for (;;) {
			*p = *p;
			usleep(1000);
		}
	}
	expecting = 0;
	errno = 0;
	return 0;
}

static int do_told(void)
{
	size_t off = num(), seconds = num();

	expecting = 1;
	if (!sigsetjmp(jump, 1)) {
		sleep(seconds);
		expecting = 0;
		errno = 0;
		return fail("not told");
	}
	expecting = 0;
	errno = 0;
	return code != BUS_MCEERR_AO || where != map + off ? fail("told something else") : 0;
}

static int do_huge(void)
{
	unsigned long want = num(), got = 0;
	struct page_region regions[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan), .start = (uintptr_t)map, .end = (uintptr_t)map + map_len,
		.vec = (uintptr_t)regions, .vec_len = 64,
		.category_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT, .return_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT,
	};
	int pagemap = open("/proc/self/pagemap", O_RDONLY), n;

	do {
		n = ioctl(pagemap, PAGEMAP_SCAN, &scan);
		if (n < 0)
			return fail("PAGEMAP_SCAN");
		for (int i = 0; i < n; i++)
			got += (regions[i].end - regions[i].start) / HUGE;
		scan.start = scan.walk_end;
	} while (scan.start < scan.end);
	close(pagemap);
	errno = 0;
	if (got == want)
		return 0;
	if (!quiet)
		fprintf(stderr, "mapper: %lu pages of 2 MiB instead of %lu\n", got, want);
	return -1;
}

static int do_file_io(int write)
{
	off_t off = num();
	size_t len = num();
	int byte = num(), r;
	unsigned char *buf = malloc(len);

	if (write)
		memset(buf, byte, len);
	errno = 0;
	if ((write ? pwrite(fd, buf, len, off) : pread(fd, buf, len, off)) != (ssize_t)len)
		r = fail(write ? "pwrite" : "pread");
	else
		r = write ? 0 : compare(buf, off, len, byte);
	free(buf);
	return r;
}

static int do_direct(int write)
{
	int other = open(next(), (write ? O_WRONLY | O_CREAT : O_RDONLY) | O_DIRECT, 0600);
	size_t off = num(), len = num();
	ssize_t n;

	if (other < 0)
		return fail("open with O_DIRECT");
	errno = 0;
	n = write ? pwrite(other, map + off, len, 0) : pread(other, map + off, len, 0);
	close(other);
	return n == (ssize_t)len ? 0 : fail("direct I/O");
}

static int do_pin(void)
{
	size_t off = num(), len = 4096;
	struct iovec v;

	if (*arg && **arg >= '0' && **arg <= '9')
		len = num();
	if (pipe(pipe_fd))
		return fail("pipe");
	fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20);
	v = (struct iovec){ map + off, len };
	return vmsplice(pipe_fd[1], &v, 1, 0) == (ssize_t)len ? 0 : fail("vmsplice");
}

static int unpin(int byte)
{
	unsigned char c = 0;
	int r = 0;

	errno = 0;
	if (byte >= 0 && (read(pipe_fd[0], &c, 1) != 1 || c != byte))
		r = fail("what was pinned has changed");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return r;
}

static int do_protect(void)
{
	size_t off = num(), len = num();
	const char *p = next();

	return mprotect(map + off, len, is(p, "none") ? PROT_NONE : is(p, "r") ? PROT_READ : PROT_READ | PROT_WRITE) ?
		fail("mprotect") : 0;
}

static int do_advise(void)
{
	size_t off = num(), len = num();
	const char *a = next();
	int advice = is(a, "dontneed") ? MADV_DONTNEED : is(a, "poison") ? 100 : is(a, "collapse") ? 25 :
		     is(a, "cold") ? 20 : 21;

	return madvise(map + off, len, advice) ? fail("madvise") : 0;
}

static int do_remap(void)
{
	unsigned char *to = mremap(map, map_len, map_len, MREMAP_MAYMOVE | MREMAP_FIXED, aligned(map_len, 0));

	if (to == MAP_FAILED)
		return fail("mremap");
	map = to;
	return 0;
}

static int do_drop(void)
{
	int f = open("/proc/sys/vm/drop_caches", O_WRONLY), n = write(f, "3", 1);

	close(f);
	return n == 1 ? 0 : fail("drop_caches");
}

static char **end_of(char **a)
{
	for (int depth = 1; *a; a++) {
		if (is(*a, "child") || is(*a, "bg") || is(*a, "loop"))
			depth++;
		else if (is(*a, "end") && !--depth)
			return a;
	}
	fprintf(stderr, "mapper: no end\n");
	exit(4);
}

static int run(char **end);

static int do_child(int wait_for_it)
{
	char **end = end_of(arg);
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(run(end) ? 1 : 0);
	arg = end + 1;
	if (!wait_for_it)
		return 0;
	waitpid(pid, &status, 0);
	errno = 0;
	return status ? fail("the child failed") : 0;
}

static int do_wait(void)
{
	int status, bad = 0;

	while (wait(&status) > 0)
		bad |= status;
	errno = 0;
	return bad ? fail("a child in the background failed") : 0;
}

static int do_loop(void)
{
	time_t until = time(NULL) + num();
	char **start = arg, **end = end_of(arg);
	int r = 0;

	while (!r && time(NULL) < until) {
		arg = start;
		r = run(end);
	}
	arg = end + 1;
	return r;
}

static int step(void);

static int do_ignore(void)
{
	int was = quiet;

	quiet = expecting = 1;
	if (!sigsetjmp(jump, 1))
		step();
	expecting = 0;
	quiet = was;
	return 0;
}

static int check(int r, const char *what)
{
	return r ? fail(what) : 0;
}

static int step(void)
{
	const char *op = next();
	size_t off, len;

	errno = 0;
	if (is(op, "open")) {
		const char *file = next(), *mode = next();

		fd = open(file, is(mode, "r") ? O_RDONLY : is(mode, "rw") ? O_RDWR :
			  is(mode, "rwc") ? O_RDWR | O_CREAT : O_RDWR | (is(mode, "sync") ? O_SYNC : O_DIRECT), 0600);
		return check(fd < 0, file);
	}
	if (is(op, "close"))
		return check(close(fd), op);
	if (is(op, "map"))
		return do_map();
	if (is(op, "unmap"))
		return check(munmap(map, map_len), op);
	if (is(op, "rest")) {
		off = num();
		return check(munmap(map + off, num()), op);
	}
	if (is(op, "put")) {
		off = num();
		len = num();
		memset(map + off, num(), len);
		return 0;
	}
	if (is(op, "get")) {
		off = num();
		len = num();
		return compare(map + off, off, len, num());
	}
	if (is(op, "bus") || is(op, "lost"))
		return do_bus(op[0] == 'l');
	if (is(op, "stops"))
		return do_stops();
	if (is(op, "early"))
		return check(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0), op);
	if (is(op, "told"))
		return do_told();
	if (is(op, "huge"))
		return do_huge();
	if (is(op, "msync")) {
		off = num();
		return check(msync(map + off, num(), MS_SYNC), op);
	}
	if (is(op, "fsync"))
		return check(fsync(fd), op);
	if (is(op, "fdatasync"))
		return check(fdatasync(fd), op);
	if (is(op, "syncfs"))
		return check(syncfs(fd), op);
	if (is(op, "fput") || is(op, "fget"))
		return do_file_io(op[1] == 'p');
	if (is(op, "truncate"))
		return check(ftruncate(fd, num()), op);
	if (is(op, "punch") || is(op, "alloc")) {
		off = num();
		return check(fallocate(fd, is(op, "punch") ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0, off, num()), op);
	}
	if (is(op, "protect"))
		return do_protect();
	if (is(op, "advise"))
		return do_advise();
	if (is(op, "remap"))
		return do_remap();
	if (is(op, "freeze") || is(op, "thaw"))
		return check(ioctl(fd, is(op, "thaw") ? FITHAW : FIFREEZE, 0), op);
	if (is(op, "remount")) {
		const char *dir = next();

		return check(mount(NULL, dir, NULL, MS_REMOUNT | (is(next(), "ro") ? MS_RDONLY : 0), NULL), op);
	}
	if (is(op, "pin"))
		return do_pin();
	if (is(op, "unpin"))
		return unpin(-1);
	if (is(op, "pinned"))
		return unpin(num());
	if (is(op, "dread") || is(op, "dwrite"))
		return do_direct(op[1] == 'w');
	if (is(op, "selfwrite") || is(op, "selfread")) {
		size_t a = num(), b = num();

		len = num();
		return check((op[4] == 'w' ? pwrite(fd, map + a, len, b) : pread(fd, map + b, len, a)) != (ssize_t)len, op);
	}
	if (is(op, "unlink"))
		return check(unlink(next()), op);
	if (is(op, "drop"))
		return do_drop();
	if (is(op, "child") || is(op, "bg"))
		return do_child(is(op, "child"));
	if (is(op, "wait"))
		return do_wait();
	if (is(op, "loop"))
		return do_loop();
	if (is(op, "sleep"))
		return usleep(num() * 1000);
	if (is(op, "alarm"))
		return alarm(num()), 0;
	if (is(op, "ignore"))
		return do_ignore();
	fprintf(stderr, "mapper: unknown operation %s\n", op);
	exit(4);
}

static int run(char **end)
{
	while (arg < end)
		if (step())
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGALRM, &act, NULL);
	arg = argv + 1;
	return run(argv + argc) ? 1 : 0;
}
