// SPDX-License-Identifier: GPL-2.0
/*
 * stress COMMAND ...: everything at once, by many processes on the same few names, for a time.
 *
 * Nobody knows what a file should hold then, but every byte is known that it may hold: zero, or the one that belongs to
 * this inode at this place. So a block of another file, or at another place, or never written, is seen.
 */
#include "test.h"
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define DIRS 4
#define NAMES 12
#define LIMIT (4UL << 20)       /* no file grows beyond */
#define PIECE 65536UL

static uint64_t state;          /* of this process's generator */
static sigjmp_buf cut_off;      /* where a SIGBUS goes: somebody has truncated the file under our mapping */
static uint64_t buffer[PIECE / 8];

static size_t below(size_t n)
{
	return next_random(&state) % n;
}

static uint64_t word(uint64_t ino, uint64_t at)
{
	return scramble(ino * 0x100000001b3 + at / 8) | 0x0101010101010101;
}

/* Each byte is zero or the one that belongs there. @at is a multiple of 8; torn words are allowed. */
static void check(const volatile uint64_t *bytes, uint64_t ino, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t got = bytes[i], want = word(ino, at + i * 8);

		if (!got || got == want)
			continue;
		for (int shift = 0; shift < 64; shift += 8) {
			uint8_t byte = got >> shift;

			if (byte && byte != (uint8_t)(want >> shift))
				fail("inode %llu at %llu: %#llx, not %#llx", (unsigned long long)ino,
				     (unsigned long long)(at + i * 8), (unsigned long long)got, (unsigned long long)want);
		}
	}
}

static const char *some_name(char *path)
{
	sprintf(path, "d%zu/f%zu", below(DIRS), below(NAMES));
	return path;
}

static const char *some_dir(char *path)
{
	sprintf(path, "d%zu/s%zu", below(DIRS), below(3));
	return path;
}

static int open_some(int flags, struct stat *st)
{
	char path[64];
	int fd = open(some_name(path), flags, 0644);

	if (fd >= 0 && fstat(fd, st) < 0)
		die("fstat");
	return fd;
}

/* A place in a file, and a length up to a piece. */
static size_t place(off_t *at)
{
	size_t len = (1 + below(below(4) ? 512 : PIECE / 8)) * 8;

	*at = below((LIMIT - len) / 8) * 8;
	if (below(2))
		*at &= PIECE - 8;       /* often near the beginning, where others are */
	return len;
}

/* An operation returns 0 or more if it did something, -1 with errno. */
static int do_create(void)
{
	struct stat st;
	int fd = open_some(O_CREAT | O_RDWR | (below(2) ? O_EXCL : O_TRUNC), &st);

	return fd < 0 ? -1 : close(fd);
}

static int do_write(void)
{
	struct stat st;
	off_t at;
	size_t len = place(&at);
	int fd = open_some(O_RDWR | (below(4) ? 0 : O_CREAT), &st), rc, err;

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < len / 8; i++)
		buffer[i] = word(st.st_ino, at + i * 8);
	rc = pwrite(fd, buffer, len, at);
	if (rc > 0 && below(4) == 0 && fsync(fd) < 0)
		rc = -1;
	err = errno;
	close(fd);
	errno = err;
	return rc;
}

static int do_read(void)
{
	struct stat st;
	off_t at;
	size_t len = place(&at);
	int fd = open_some(O_RDONLY, &st), rc;

	if (fd < 0)
		return -1;
	rc = pread(fd, buffer, len, at);
	close(fd);
	if (rc > 0)
		check(buffer, st.st_ino, at, rc);
	return rc;
}

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(cut_off, 1);
}

static int do_map(void)
{
	struct stat st;
	int fd = open_some(O_RDWR, &st);
	size_t len = LIMIT / 2, half = below(2) * len;
	volatile uint64_t *map;

	if (fd < 0)
		return -1;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, half);
	close(fd);
	if (map == MAP_FAILED)
		return -1;
	if (!sigsetjmp(cut_off, 1)) {
		for (int n = 0; n < 8; n++) {
			size_t at = below(len / PAGE) * PAGE;

			for (size_t i = 0; i < PAGE / 8; i += 64)
				map[at / 8 + i] = word(st.st_ino, half + at + i * 8);
			check(map + at / 8, st.st_ino, half + at, PAGE);
		}
		if (below(4) == 0)
			msync((void *)map, len, MS_SYNC);
	}
	return munmap((void *)map, len);
}

static int do_truncate(void)
{
	char path[64];
	off_t at;

	place(&at);
	return truncate(some_name(path), below(3) ? at : (off_t)LIMIT);
}

static int do_allocate(void)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE };
	struct stat st;
	int fd = open_some(O_RDWR, &st), mode = modes[below(ARRAY_SIZE(modes))], rc, err;
	off_t at;
	size_t len = place(&at);

	if (fd < 0)
		return -1;
	rc = below(3) ? fallocate(fd, mode, at, len) : fallocate(fd, mode, 0, LIMIT);
	err = errno;
	close(fd);
	errno = err;
	return rc;
}

static int do_fsync(void)
{
	struct stat st;
	int fd = open_some(O_RDONLY, &st), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int do_rename(void)
{
	char from[64], to[64];

	return below(4) ? rename(some_name(from), some_name(to)) : rename(some_dir(from), some_dir(to));
}

static int do_link(void)
{
	char from[64], to[64];

	return link(some_name(from), some_name(to));
}

static int do_unlink(void)
{
	char path[64];

	return unlink(some_name(path));
}

static int do_mkdir(void)
{
	char path[64], in[72];
	int rc = mkdir(some_dir(path), 0755);

	sprintf(in, "%s/x", path);
	if (rc == 0 && below(2))
		close(open(in, O_CREAT | O_WRONLY, 0644));
	return rc;
}

static int do_rmdir(void)
{
	char path[64], in[72];

	sprintf(in, "%s/x", some_dir(path));
	unlink(in);
	return rmdir(path);
}

static int do_readdir(void)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int n = 0;

	sprintf(path, "d%zu", below(DIRS));
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((e = readdir(dir)))
		n++;
	if (n < 2 || n > 3 * (NAMES + 5))
		fail("%d names in %s", n, path);
	return closedir(dir);
}

static const struct {
	const char *name;
	int (*run)(void);
	int share;
} ops[] = {
	{ "create", do_create, 4 }, { "write", do_write, 6 }, { "read", do_read, 6 }, { "map", do_map, 4 },
	{ "truncate", do_truncate, 2 }, { "allocate", do_allocate, 2 }, { "fsync", do_fsync, 2 }, { "rename", do_rename, 4 },
	{ "link", do_link, 2 }, { "unlink", do_unlink, 4 }, { "mkdir", do_mkdir, 2 }, { "rmdir", do_rmdir, 2 },
	{ "readdir", do_readdir, 2 },
};

/* What may happen when others do as they like; a directory that was renamed into itself is EINVAL. */
static bool allowed(int err)
{
	return err == ENOENT || err == EEXIST || err == ENOTEMPTY || err == ENOSPC || err == EINVAL;
}

static void work(uint64_t *done, double seconds)
{
	double end = now() + seconds;
	size_t shares = 0;

	signal(SIGBUS, on_bus);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		shares += ops[i].share;
	while (now() < end) {
		size_t n = below(shares), i = 0;

		while (n >= (size_t)ops[i].share)
			n -= ops[i++].share;
		if (ops[i].run() >= 0)
			__atomic_add_fetch(&done[i], 1, __ATOMIC_RELAXED);
		else if (!allowed(errno))
			fail("%s: %s", ops[i].name, errname(errno));
	}
}

/* run DIR SECONDS PROCESSES SEED: all of it; each kind of operation must have been done. */
static int run(char **argv)
{
	double seconds = number(argv[1]);
	int processes = number(argv[2]), bad = 0, status;
	uint64_t *done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[64];

	must(chdir(argv[0]));
	for (int d = 0; d < DIRS; d++) {
		sprintf(path, "d%d", d);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			die("mkdir");
	}
	for (int p = 0; p < processes; p++)
		if (must(fork()) == 0) {
			state = number(argv[3]) * 1000 + p;
			work(done, seconds);
			exit(0);
		}
	while (wait(&status) > 0)
		bad += status != 0;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		printf("# %s: %llu\n", ops[i].name, (unsigned long long)done[i]);
		bad += done[i] == 0;
	}
	return bad != 0;
}

/* Takes all memory that there is, and gives it back; whoever runs out of memory meanwhile kills this. */
static void press(void)
{
	char line[128];
	unsigned long kb = 0;
	FILE *info = fopen("/proc/meminfo", "r");
	int fd = must(open("/proc/self/oom_score_adj", O_WRONLY));

	must(write(fd, "1000", 4));
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "MemAvailable: %lu", &kb) == 1)
			break;
	kb += 8192;
	for (char *p = mmap(NULL, kb << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *end = p + (kb << 10);
	     p != MAP_FAILED && p < end; p += PAGE)
		*p = 1;
	exit(0);
}

/* memory SECONDS: memory runs out, again and again. */
static int memory(char **argv)
{
	double end = now() + number(argv[0]);

	while (now() < end) {
		pid_t pid = must(fork());

		if (pid == 0)
			press();
		waitpid(pid, NULL, 0);
		usleep(200000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = { { "run", 4, run }, { "memory", 1, memory } };

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
