// SPDX-License-Identifier: GPL-2.0
/*
 * fsop COMMAND ARGUMENT...: single operations on files that a shell cannot do or cannot look into. Prints what the
 * command's comment says; on failure the name of the errno to standard error, and exits with 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerrorname_np(errno));
	return 1;
}

static int expect(int ok, const char *what)
{
	if (!ok)
		fprintf(stderr, "not so: %s (errno %s)\n", what, strerrorname_np(errno));
	return !ok;
}

static long number(const char *s)
{
	char *end;
	long n = strtol(s, &end, 0);

	switch (*end) {
	case 'K': return n << 10;
	case 'M': return n << 20;
	case 'G': return n << 30;
	}
	return n;
}

/* errno CALL ARG...: makes the call; prints "ok" or the name of the errno, exits with 0 either way. */
static int cmd_errno(char **a)
{
	const char *c = a[0];
	int r;

	if (!strcmp(c, "creat"))
		r = open(a[1], O_CREAT | O_WRONLY | O_EXCL, 0644);
	else if (!strcmp(c, "open"))
		r = open(a[1], O_RDONLY);
	else if (!strcmp(c, "openw"))
		r = open(a[1], O_WRONLY);
	else if (!strcmp(c, "mkdir"))
		r = mkdir(a[1], 0755);
	else if (!strcmp(c, "rmdir"))
		r = rmdir(a[1]);
	else if (!strcmp(c, "unlink"))
		r = unlink(a[1]);
	else if (!strcmp(c, "link"))
		r = link(a[1], a[2]);
	else if (!strcmp(c, "symlink"))
		r = symlink(a[1], a[2]);
	else if (!strcmp(c, "socket"))
		r = mknod(a[1], S_IFSOCK | 0644, 0);
	else if (!strcmp(c, "rename"))
		r = rename(a[1], a[2]);
	else if (!strcmp(c, "noreplace"))
		r = renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], RENAME_NOREPLACE);
	else if (!strcmp(c, "exchange"))
		r = renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], RENAME_EXCHANGE);
	else if (!strcmp(c, "truncate"))
		r = truncate(a[1], number(a[2]));
	else if (!strcmp(c, "chmod"))
		r = chmod(a[1], strtol(a[2], NULL, 8));
	else if (!strcmp(c, "chown"))
		r = chown(a[1], number(a[2]), number(a[3]));
	else if (!strcmp(c, "mount"))
		r = mount(a[1], a[2], "pfnfs", a[3] && strstr(a[3], "ro") ? MS_RDONLY : 0, a[3] && strcmp(a[3], "ro") ? a[3] : NULL);
	else if (!strcmp(c, "umount"))
		r = umount(a[1]);
	else
		return fprintf(stderr, "errno: no such call: %s\n", c), 2;
	puts(r < 0 ? strerrorname_np(errno) : "ok");
	return 0;
}

/* longname CHAR N: prints a name of N bytes. */
static int cmd_longname(char **a)
{
	for (long n = number(a[1]); n > 0; n--)
		putchar(a[0][0]);
	putchar('\n');
	return 0;
}

/* append FILE: two descriptors with O_APPEND, written in turn, interleave and lose nothing. */
static int cmd_append(char **a)
{
	char line[16];
	struct stat st;
	int fd[2], bad = 0;

	for (int i = 0; i < 2; i++) {
		fd[i] = open(a[0], O_CREAT | O_RDWR | O_APPEND, 0644);
		if (fd[i] < 0)
			return fail("open");
	}
	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "%07d\n", i);
		if (write(fd[i & 1], line, 8) != 8)
			return fail("write");
	}
	/* pwrite() with O_APPEND appends on Linux, wherever it is told to write. */
	bad |= expect(pwrite(fd[0], "the end\n", 8, 0) == 8, "pwrite appends");
	bad |= expect(!fstat(fd[1], &st) && st.st_size == 2001 * 8, "the size is that of all writes");
	for (int i = 0; i < 2000 && !bad; i++) {
		char want[16];

		snprintf(want, sizeof(want), "%07d\n", i);
		bad |= expect(pread(fd[1], line, 8, i * 8) == 8 && !memcmp(line, want, 8), "each line is in its place");
	}
	bad |= expect(pread(fd[1], line, 8, 2000 * 8) == 8 && !memcmp(line, "the end\n", 8), "pwrite's line is the last");
	return bad;
}

/* seek data|hole FILE OFFSET: prints the offset found. */
static int cmd_seek(char **a)
{
	int fd = open(a[1], O_RDONLY);
	off_t at;

	if (fd < 0)
		return fail("open");
	at = lseek(fd, number(a[2]), !strcmp(a[0], "data") ? SEEK_DATA : SEEK_HOLE);
	if (at < 0)
		return fail("lseek");
	printf("%lld\n", (long long)at);
	return 0;
}

/* fallocate MODE FILE OFFSET LENGTH: MODE is 0, keep, punch or zero. */
static int cmd_fallocate(char **a)
{
	int fd = open(a[1], O_CREAT | O_RDWR, 0644);
	int mode = !strcmp(a[0], "keep") ? FALLOC_FL_KEEP_SIZE :
		   !strcmp(a[0], "punch") ? FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE :
		   !strcmp(a[0], "zero") ? FALLOC_FL_ZERO_RANGE : 0;

	if (fd < 0)
		return fail("open");
	return fallocate(fd, mode, number(a[2]), number(a[3])) ? fail("fallocate") : 0;
}

/* comb FILE: every second block of the file becomes a hole. */
static int cmd_comb(char **a)
{
	int fd = open(a[0], O_RDWR);
	off_t end = lseek(fd, 0, SEEK_END);

	if (fd < 0)
		return fail("open");
	for (off_t at = 0; at < end; at += 8192)
		if (fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at, 4096))
			return fail("fallocate");
	return 0;
}

struct handle {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* handle PATH OUT: stores the file handle of PATH in OUT. */
static int cmd_handle(char **a)
{
	struct handle h = { .h.handle_bytes = MAX_HANDLE_SZ };
	int id, out;

	if (name_to_handle_at(AT_FDCWD, a[0], &h.h, &id, 0))
		return fail("name_to_handle_at");
	out = open(a[1], O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (out < 0 || write(out, &h, sizeof(h)) != sizeof(h))
		return fail("write");
	return 0;
}

/* openhandle MOUNT IN: opens the handle stored in IN and copies the file to standard output; for a directory its path. */
static int cmd_openhandle(char **a)
{
	int in = open(a[1], O_RDONLY), mnt = open(a[0], O_RDONLY | O_DIRECTORY), fd;
	struct handle h;
	struct stat st;
	char buf[4096], link[64];
	ssize_t n;

	if (in < 0 || mnt < 0 || read(in, &h, sizeof(h)) != sizeof(h))
		return fail("read");
	fd = open_by_handle_at(mnt, &h.h, O_RDONLY);
	if (fd < 0)
		return fail("open_by_handle_at");
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, buf, sizeof(buf));
		return n < 0 ? fail("readlink") : (printf("%.*s\n", (int)n, buf), 0);
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
	return n < 0 ? fail("read") : 0;
}

/* unlinked FILE [SECONDS]: a file that was unlinked while open works as before, and so after SECONDS. */
static int cmd_unlinked(char **a)
{
	static char buf[1 << 20], got[1 << 20];
	int fd = open(a[0], O_CREAT | O_EXCL | O_RDWR, 0644), bad = 0;
	struct stat st;

	if (fd < 0)
		return fail("open");
	memset(buf, 'u', sizeof(buf));
	if (write(fd, buf, sizeof(buf)) != sizeof(buf))
		return fail("write");
	if (unlink(a[0]))
		return fail("unlink");
	bad |= expect(access(a[0], F_OK) && errno == ENOENT, "the name is gone");
	bad |= expect(!fstat(fd, &st) && st.st_nlink == 0 && st.st_size == sizeof(buf), "no links, the size as it was");
	bad |= expect(pwrite(fd, "more", 4, sizeof(buf)) == 4, "it still grows");
	bad |= expect(pread(fd, got, sizeof(got), 0) == sizeof(got) && !memcmp(buf, got, sizeof(buf)), "it still reads");
	bad |= expect(!ftruncate(fd, 100) && !fstat(fd, &st) && st.st_size == 100, "it still shrinks");
	if (a[1])
		sleep(number(a[1]));
	return bad;
}

/* tmpfile DIR NAME: a file made by O_TMPFILE is invisible until it gets NAME. */
static int cmd_tmpfile(char **a)
{
	int fd = open(a[0], O_TMPFILE | O_RDWR, 0600), bad = 0;
	char path[64], got[8];
	struct stat st;

	if (fd < 0)
		return fail("open");
	bad |= expect(!fstat(fd, &st) && st.st_nlink == 0, "no links");
	bad |= expect(write(fd, "content", 7) == 7, "it can be written");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, AT_FDCWD, a[1], AT_SYMLINK_FOLLOW))
		return fail("linkat");
	bad |= expect(!stat(a[1], &st) && st.st_nlink == 1 && st.st_size == 7, "it has one name now");
	bad |= expect(pread(fd, got, 8, 0) == 7 && !memcmp(got, "content", 7), "and its contents");
	return bad;
}

/* as UID GID COMMAND...: runs a command as somebody else, without further groups. */
static int cmd_as(char **a)
{
	if (setgroups(0, NULL) || setgid(number(a[1])) || setuid(number(a[0])))
		return fail("setuid");
	execvp(a[2], a + 2);
	return fail(a[2]);
}

/* settimes FILE ATIME MTIME: sets times given as SECONDS.NANOSECONDS. */
static int cmd_settimes(char **a)
{
	struct timespec t[2];

	for (int i = 0; i < 2; i++) {
		char *dot;

		t[i].tv_sec = strtoll(a[1 + i], &dot, 10);
		t[i].tv_nsec = *dot == '.' ? strtol(dot + 1, NULL, 10) : 0;
	}
	return utimensat(AT_FDCWD, a[0], t, AT_SYMLINK_NOFOLLOW) ? fail("utimensat") : 0;
}

/* times FILE: prints atime, mtime, ctime and btime as SECONDS.NANOSECONDS. */
static int cmd_times(char **a)
{
	struct statx x;

	if (statx(AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &x))
		return fail("statx");
	if (!(x.stx_mask & STATX_BTIME))
		return expect(0, "there is a time of birth");
	printf("%lld.%09u %lld.%09u %lld.%09u %lld.%09u\n",
	       (long long)x.stx_atime.tv_sec, x.stx_atime.tv_nsec, (long long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec,
	       (long long)x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec, (long long)x.stx_btime.tv_sec, x.stx_btime.tv_nsec);
	return 0;
}

/* fsid PATH: prints f_fsid. */
static int cmd_fsid(char **a)
{
	struct statfs s;
	uint64_t id;

	if (statfs(a[0], &s))
		return fail("statfs");
	memcpy(&id, &s.f_fsid, sizeof(id));
	printf("%016" PRIx64 "\n", id);
	return id == 0;
}

/* many DIR COUNT: makes COUNT files f0, f1, ... */
static int cmd_many(char **a)
{
	int dir = open(a[0], O_RDONLY | O_DIRECTORY);

	if (dir < 0)
		return fail("open");
	for (long i = 0; i < number(a[1]); i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "f%ld", i);
		fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0) {
			fprintf(stderr, "%s: ", name);
			return fail("openat");
		}
		close(fd);
	}
	return 0;
}

/* list DIR COUNT: readdir(3) gives f0 to f(COUNT-1) once each, also if it is interrupted by telldir and seekdir. */
static int cmd_list(char **a)
{
	long want = number(a[1]), n = 0, bad = 0, marks[64];
	unsigned char *seen = calloc(want, 1);
	struct dirent *e;
	char names[64][256];
	int marked = 0;
	DIR *d = opendir(a[0]);

	if (!d)
		return fail("opendir");
	for (;;) {
		long at = telldir(d), i;

		e = readdir(d);
		if (!e)
			break;
		if (e->d_name[0] != 'f')
			continue;
		i = strtol(e->d_name + 1, NULL, 10);
		bad |= expect(i >= 0 && i < want && !seen[i]++, e->d_name);
		bad |= expect(e->d_type == DT_REG, "d_type of a regular file");
		if (n++ % (want / 64 + 1) == 0 && marked < 64) {
			marks[marked] = at;
			strcpy(names[marked++], e->d_name);
		}
	}
	bad |= expect(n == want, "as many entries as were made");
	while (marked-- > 0) {
		seekdir(d, marks[marked]);
		e = readdir(d);
		bad |= expect(e && !strcmp(e->d_name, names[marked]), "seekdir leads back to the entry");
	}
	return bad;
}

/* purge DIR: removes every entry of DIR while reading it. */
static int cmd_purge(char **a)
{
	DIR *d = opendir(a[0]);
	struct dirent *e;

	if (!d)
		return fail("opendir");
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(d), e->d_name, 0))
			return fail(e->d_name);
	return 0;
}

/* deep DIR N: makes N nested directories with names of 30 bytes, a file at the end, and finds its way back. */
static int cmd_deep(char **a)
{
	char name[31] = { [0 ... 29] = 'd' }, got[8];
	int fd;

	if (chdir(a[0]))
		return fail("chdir");
	for (long i = 0; i < number(a[1]); i++)
		if (mkdir(name, 0755) || chdir(name))
			return fail("mkdir");
	fd = open("bottom", O_CREAT | O_RDWR, 0644);
	if (fd < 0 || write(fd, "bottom\n", 7) != 7)
		return fail("bottom");
	for (long i = 0; i < number(a[1]); i++)
		if (chdir(".."))
			return fail("chdir ..");
	fd = open("top", O_CREAT | O_RDWR, 0644);
	if (fd < 0 || chdir(a[0]) || access("top", F_OK))
		return expect(0, "the way up ends where the way down began");
	for (long i = 0; i < number(a[1]); i++)
		if (chdir(name))
			return fail("chdir");
	fd = open("bottom", O_RDONLY);
	return expect(fd >= 0 && read(fd, got, 8) == 7 && !memcmp(got, "bottom\n", 7), "the file at the end");
}

/* fill FILE CHUNK: writes until it fails; prints the bytes written and the errno. */
static int cmd_fill(char **a)
{
	long chunk = number(a[1]);
	char *buf = malloc(chunk);
	int fd = open(a[0], O_CREAT | O_WRONLY, 0644);
	long long total = 0;
	ssize_t n;

	if (fd < 0)
		return fail("open");
	memset(buf, 'f', chunk);
	while ((n = write(fd, buf, chunk)) > 0)
		total += n;
	printf("%lld %s\n", total, n < 0 ? strerrorname_np(errno) : "0");
	return 0;
}

/* partial FILE: a writev whose second part is not mapped writes the first part, and nothing wrong after it. */
static int cmd_partial(char **a)
{
	static char first[6000];
	struct iovec v[2] = { { first, sizeof(first) }, { (void *)8, 4096 } };
	int fd = open(a[0], O_CREAT | O_TRUNC | O_RDWR, 0644), bad = 0;
	char got[8192];
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fail("open");
	memset(first, 'p', sizeof(first));
	n = writev(fd, v, 2);
	bad |= expect(n > 0 && n <= (ssize_t)sizeof(first), "some of the first part was written");
	bad |= expect(!fstat(fd, &st) && st.st_size == n, "the size is what was written");
	bad |= expect(pread(fd, got, sizeof(got), 0) == n, "it can be read");
	for (ssize_t i = 0; i < n; i++)
		if (got[i] != 'p')
			return expect(0, "only bytes of the first part");
	bad |= expect(writev(fd, v + 1, 1) < 0 && errno == EFAULT, "EFAULT when nothing can be written");
	return bad;
}

static uint32_t crc32c(uint32_t crc, const unsigned char *p, size_t n)
{
	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return crc;
}

/*
 * superblock DEVICE OFFSET VALUE: stores a 64-bit value at OFFSET of both copies of the superblock, and makes their checksums
 * right again: what is refused then is refused for what it says.
 */
static int cmd_superblock(char **a)
{
	enum { SIZE = 256, CRC = 252, UUID = 48 };
	int fd = open(a[0], O_RDWR);
	off_t end = lseek(fd, 0, SEEK_END);
	uint64_t at[2] = { 0, end - 4096 };

	if (fd < 0 || end < 8192)
		return fail("open");
	for (int i = 0; i < 2; i++) {
		uint64_t value = strtoull(a[2], NULL, 0);
		unsigned char sb[SIZE];
		uint32_t crc;

		if (pread(fd, sb, SIZE, at[i]) != SIZE)
			return fail("pread");
		memcpy(sb + number(a[1]), &value, 8);
		crc = crc32c(~0u, sb + UUID, 16);
		crc = crc32c(crc, (unsigned char *)&at[i], 8);
		crc = crc32c(crc, sb, CRC);
		memcpy(sb + CRC, &crc, 4);
		if (pwrite(fd, sb, SIZE, at[i]) != SIZE)
			return fail("pwrite");
	}
	return fsync(fd) ? fail("fsync") : 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **a);
} commands[] = {
	{ "errno", 2, cmd_errno }, { "longname", 2, cmd_longname }, { "append", 1, cmd_append }, { "seek", 3, cmd_seek },
	{ "fallocate", 4, cmd_fallocate }, { "handle", 2, cmd_handle }, { "openhandle", 2, cmd_openhandle },
	{ "unlinked", 1, cmd_unlinked }, { "tmpfile", 2, cmd_tmpfile }, { "as", 3, cmd_as }, { "settimes", 3, cmd_settimes },
	{ "times", 1, cmd_times }, { "fsid", 1, cmd_fsid }, { "many", 2, cmd_many }, { "list", 2, cmd_list },
	{ "purge", 1, cmd_purge }, { "deep", 2, cmd_deep }, { "fill", 2, cmd_fill }, { "partial", 1, cmd_partial },
	{ "superblock", 3, cmd_superblock }, { "comb", 1, cmd_comb },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (argc > 1 && !strcmp(argv[1], commands[i].name)) {
			if (argc - 2 < commands[i].args)
				break;
			return commands[i].run(argv + 2);
		}
	fprintf(stderr, "usage: fsop COMMAND ARGUMENT...\n");
	return 2;
}
