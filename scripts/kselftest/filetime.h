/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What stat(2) shows, and calls that change it: for filetime.c and timerace.c.
 */
#ifndef PFNFS_KSELFTEST_FILETIME_H
#define PFNFS_KSELFTEST_FILETIME_H

#include "test.h"

#include <dirent.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#define TICK 12000000L					/* nanoseconds: more than the clock of file times takes */
#define FILES 1						/* kinds of objects */
#define DIRS 2
#define LINKS 4
#define FIFOS 8

static const char *const time_name[] = { "atime", "mtime", "ctime" };
static const struct timespec given[] = { { 1000000001, 123456789 }, { 2000000002, 987654321 } };
static int bad;

static inline void wrong(const char *what, ...)
{
	va_list args;

	if (bad++ >= 20)
		return;
	va_start(args, what);
	vfprintf(stderr, what, args);
	va_end(args);
	fputc('\n', stderr);
}

/* A name of the object's own, for this step; lasts until the next but one is asked for. */
static inline const char *own(const char *path, char between, const char *what, int step)
{
	static __thread char names[2][512];
	static __thread int turn;
	char *name = names[turn++ % 2];

	snprintf(name, sizeof(names[0]), "%s%c%s%d", path, between, what, step);
	return name;
}

static inline const char *beside(const char *path, const char *what, int step)
{
	return own(path, '.', what, step);
}

static inline const char *inside(const char *path, const char *what, int step)
{
	return own(path, '/', what, step);
}

/* What stat(2) shows. */
struct shown {
	char path[128];
	unsigned int mode, uid, gid, links;
	unsigned long long ino, size, blocks;
	struct timespec time[3];
};

static void look(struct shown *s)
{
	struct stat st;

	must(lstat(s->path, &st));
	s->mode = st.st_mode, s->uid = st.st_uid, s->gid = st.st_gid, s->links = st.st_nlink;
	s->ino = st.st_ino, s->size = st.st_size, s->blocks = st.st_blocks;
	s->time[0] = st.st_atim, s->time[1] = st.st_mtim, s->time[2] = st.st_ctim;
}

static int cmp(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

static int opened(const char *path, int flags)
{
	return must(open(path, flags));
}

static int done(int fd, long result)
{
	int err = errno;

	close(fd);
	errno = err;
	return result < 0 ? -1 : 0;
}

static int put(const char *path, int flags, off_t at, size_t n)
{
	static const char bytes[8192] = { 1 };
	int fd = opened(path, O_WRONLY | flags);

	return done(fd, flags & O_APPEND ? write(fd, bytes, n) : pwrite(fd, bytes, n, at));
}

static int store(const char *path, off_t at, int write)
{
	int fd = opened(path, O_RDWR);
	volatile char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);

	if (m == MAP_FAILED)
		die("mmap");
	if (write)
		m[7] = m[7] + 1;
	else
		(void)m[7];
	munmap((void *)m, PAGE);
	return done(fd, 0);
}

static int allocate(const char *path, int mode, off_t at, off_t n)
{
	int fd = opened(path, O_RDWR);

	return done(fd, fallocate(fd, mode, at, n));
}

static int truncated(const char *path, off_t by)
{
	int fd = opened(path, O_RDWR);
	struct stat st;

	must(fstat(fd, &st));
	return done(fd, ftruncate(fd, st.st_size + by));
}

/* Not every call needs to know which of two it is. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OP(f) static inline int f(const char *p, int step)

OP(append)
{
	return put(p, O_APPEND, 0, 100);
}

OP(append_long)
{
	return put(p, O_APPEND, 0, 8192);
}

OP(overwrite)
{
	return put(p, 0, 5, 10);
}

OP(overwrite_sync)
{
	return put(p, O_SYNC, 5, 10);
}

OP(write_hole)
{
	return put(p, 0, (20 + step) * PAGE, 10);
}

OP(write_nothing)
{
	return put(p, 0, 5, 0);
}

OP(store_there)
{
	return store(p, 0, 1);
}

OP(store_hole)
{
	return store(p, (24 + step) * PAGE, 1);
}

OP(store_unwritten)
{
	return store(p, (28 + step) * PAGE, 1);
}

OP(load)
{
	return store(p, 0, 0);
}

OP(grow)
{
	return truncated(p, 3000);
}

OP(shrink)
{
	return truncated(p, -3000);
}

OP(same_size)
{
	return truncated(p, 0);
}

OP(cut)
{
	int fd = opened(p, O_WRONLY | O_TRUNC);

	return done(fd, ftruncate(fd, 40 * PAGE));
}

OP(punch_bytes)
{
	return allocate(p, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100);
}

OP(punch_block)
{
	return allocate(p, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (1 + step) * PAGE, PAGE);
}

OP(zero_bytes)
{
	return allocate(p, FALLOC_FL_ZERO_RANGE, 0, 100);
}

OP(zero_block)
{
	return allocate(p, FALLOC_FL_ZERO_RANGE, (1 + step) * PAGE, PAGE);
}

OP(allocate_there)
{
	return allocate(p, 0, 0, PAGE);
}

OP(allocate_hole)
{
	return allocate(p, FALLOC_FL_KEEP_SIZE, (30 + step) * PAGE, PAGE);
}

OP(change_mode)
{
	return chmod(p, step ? 0700 : 0711);
}

OP(change_owner)
{
	return lchown(p, 1 + step, 3);
}

OP(set_times)
{
	return utimensat(AT_FDCWD, p, given, AT_SYMLINK_NOFOLLOW);
}

OP(set_now)
{
	return utimensat(AT_FDCWD, p, NULL, AT_SYMLINK_NOFOLLOW);
}

OP(list)
{
	DIR *d = opendir(p);

	while (readdir(d))
		;
	return closedir(d);
}

OP(follow)
{
	char to[9];

	return readlink(p, to, 9) < 0 ? -1 : 0;
}

OP(sync_it)
{
	int fd = opened(p, O_RDONLY);

	return done(fd, fsync(fd));
}

OP(get)
{
	char b[9];
	int fd = opened(p, O_RDONLY);

	return done(fd, pread(fd, b, 9, 0));
}

OP(pipe_through)
{
	char b;
	int fd = opened(p, O_RDWR);

	must(write(fd, "x", 1));
	return done(fd, read(fd, &b, 1));
}

/* Another name of the object, made before the times are looked at. */
OP(prepare_name)
{
	return link(p, beside(p, "u", step));
}

OP(add_link)
{
	return link(p, beside(p, "l", step));
}

OP(remove_link)
{
	return unlink(beside(p, "u", step));
}

OP(prepare_victim)
{
	return prepare_name(p, step) || mknod(beside(p, "s", step), S_IFREG | 0644, 0);
}

OP(replace_link)
{
	return rename(beside(p, "s", step), beside(p, "u", step));
}

OP(move)
{
	const char *n = beside(p, "m", step);

	return rename(p, n) || rename(n, p);
}

OP(make_in)
{
	return mknod(inside(p, "f", step), S_IFREG | 0644, 0);
}

OP(mkdir_in)
{
	return mkdir(inside(p, "d", step), 0755);
}

OP(prepare_in)
{
	return mknod(inside(p, "p", step), S_IFREG | 0644, 0);
}

OP(unlink_in)
{
	return unlink(inside(p, "p", step));
}

OP(prepare_mkdir)
{
	return mkdir(inside(p, "q", step), 0755);
}

OP(rmdir_in)
{
	return rmdir(inside(p, "q", step));
}

OP(rename_in)
{
	return rename(inside(p, "p", step), inside(p, "r", step));
}

OP(rename_out)
{
	return rename(inside(p, "q", step), beside(p, "o", step));
}

static inline void make(const char *path, int kind)
{
	if (kind == FILES) {
		int fd = must(open(path, O_RDWR | O_CREAT | O_EXCL, 0644));
		char bytes[5 * PAGE];

		memset(bytes, 7, sizeof(bytes));
		must(write(fd, bytes, sizeof(bytes)));
		/* Before its size: what is beyond is a hole, and two unwritten blocks. */
		must(ftruncate(fd, 40 * PAGE));
		must(fallocate(fd, 0, 28 * PAGE, 2 * PAGE));
		close(fd);
	} else if (kind == DIRS) {
		must(mkdir(path, 0755));
	} else if (kind == LINKS) {
		must(symlink("nowhere", path));
	} else {
		must(mknod(path, S_IFIFO | 0644, 0));
	}
}

static inline void tick(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = TICK }, NULL);
}

static inline int save(const char *file, const struct shown *shown, size_t size, size_t n)
{
	FILE *f = fopen(file, "w");

	for (size_t i = 0; i < n; i++)
		fwrite((const char *)shown + i * size, sizeof(*shown), 1, f);
	if (!f || fclose(f))
		die(file);
	if (bad > 20)
		fprintf(stderr, "and %d more\n", bad - 20);
	return bad != 0;
}

#endif
