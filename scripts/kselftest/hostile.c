// SPDX-License-Identifier: GPL-2.0
/*
 * hostile IMAGES NODE DEVICE DIR COUNT: put the first COUNT images of a file (made by scripts/fuzz export) on a device,
 * one after the other, mount each and use it. Any errno is an answer; to be able to unmount is a must. Each image's number
 * is in the kernel's log before it is mounted.
 */
#include "test.h"
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#define DEPTH 8
#define ENTRIES 120             /* of one image that are looked at */
#define CHANGED 12              /* and those that are changed */
#define START 0xffffffffu       /* an image that is only the start of others */

static unsigned char *start, *image;
static uint32_t size;
static unsigned int mounted, refused, calls, errors;
static int entries, changed;
static sigjmp_buf out;

static void on_sigbus(int sig)
{
	siglongjmp(out, sig);
}

/* Count a call and its failure; both are fine. */
static long did(long result)
{
	calls++;
	errors += result < 0;
	return result;
}

static bool get32(FILE *in, uint32_t *value)
{
	return fread(value, sizeof(*value), 1, in) == 1;
}

/* Read the next image into @image: what differs from the last start. Returns false at the end of the file. */
static bool next_image(FILE *in, uint32_t *number)
{
	uint32_t at, len;

	if (!get32(in, number))
		return false;
	if (*number == START)
		memset(image, 0, size);
	else
		memcpy(image, start, size);
	for (;;) {
		expect(get32(in, &at) && get32(in, &len) && at <= size && len <= size - at);
		if (!len)
			break;
		expect(fread(image + at, 1, len, in) == len);
	}
	if (*number == START)
		memcpy(start, image, size);
	return true;
}

/* Load and store through a mapping; a page that cannot be had is a SIGBUS. */
static void touch(int fd, bool writable)
{
	volatile unsigned char *map;

	map = mmap(NULL, 4 * PAGE, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (did((long)map == -1 ? -1 : 0) < 0)
		return;
	if (!sigsetjmp(out, 1)) {
		for (size_t at = 0; at < 4 * PAGE; at += PAGE) {
			(void)map[at];
			if (writable)
				map[at + 8] = 1;
		}
	}
	if (writable)
		did(msync((void *)map, 4 * PAGE, MS_SYNC));
	munmap((void *)map, 4 * PAGE);
}

static void use_file(const char *path, bool change)
{
	static char buffer[65536];
	int fd = did(open(path, (change ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOFOLLOW));

	if (fd < 0)
		return;
	did(read(fd, buffer, sizeof(buffer)));
	did(lseek(fd, 0, SEEK_HOLE));
	touch(fd, change);
	if (change) {
		did(pwrite(fd, buffer, 9000, 3000));
		did(fallocate(fd, 0, 20000, 30000));
		did(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
		did(pwrite(fd, buffer, 100, 60000));
		did(ftruncate(fd, 10000));
		did(fsync(fd));
	}
	close(fd);
}

static void change_dir(const char *dir)
{
	char path[4200], other[4200];
	int fd;

	sprintf(path, "%s/made", dir);
	fd = did(open(path, O_RDWR | O_CREAT, 0644));
	if (fd >= 0) {
		did(write(fd, path, 4100));
		close(fd);
	}
	sprintf(other, "%s/linked", dir);
	did(link(path, other));
	sprintf(path, "%s/renamed", dir);
	did(rename(other, path));
	sprintf(path, "%s/sub", dir);
	did(mkdir(path, 0755));
	sprintf(path, "%s/symlink", dir);
	did(symlink("target", path));
	fd = did(open(dir, O_TMPFILE | O_RDWR, 0600));
	if (fd >= 0)
		close(fd);
}

static void use_dir(const char *dir, int depth);

static void use(const char *dir, const char *name, int depth)
{
	char path[4200], target[300];
	bool change = changed < CHANGED;
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= 4000 || did(lstat(path, &st)) < 0)
		return;
	if (S_ISDIR(st.st_mode) && depth < DEPTH) {
		use_dir(path, depth + 1);
		if (change)
			did(rmdir(path));
	} else if (S_ISLNK(st.st_mode)) {
		did(readlink(path, target, sizeof(target)));
	} else if (S_ISREG(st.st_mode)) {
		use_file(path, change);
	}
	if (change && !S_ISDIR(st.st_mode)) {
		changed++;
		if (changed % 3 == 0)
			did(chmod(path, 0600));
		else
			did(unlink(path));
	}
}

static void use_dir(const char *dir, int depth)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	did(d ? 0 : -1);
	if (!d)
		return;
	while (entries < ENTRIES && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		entries++;
		use(dir, e->d_name, depth);
	}
	closedir(d);
	if (depth < 3)
		change_dir(dir);
}

static void put_image(const char *node)
{
	int fd = must(open(node, O_WRONLY));

	for (uint32_t at = 0; at < size; at += 1 << 18)
		expect(pwrite(fd, image + at, 1 << 18, at) == 1 << 18);
	must(close(fd));
}

static void try_image(uint32_t number, const char *node, const char *device, const char *dir)
{
	int log = must(open("/dev/kmsg", O_WRONLY));
	unsigned long flags = number % 8 ? 0 : MS_RDONLY;
	struct statfs fs;

	dprintf(log, "<6>hostile: image %u\n", number);
	close(log);
	put_image(node);
	if (mount(device, dir, "pfnfs", flags, "")) {
		refused++;
		return;
	}
	mounted++;
	entries = 0;
	changed = 0;
	did(statfs(dir, &fs));
	use_dir(dir, 0);
	if (umount(dir))
		fail("image %u: umount: %s", number, errname(errno));
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigbus };
	uint32_t number, count;
	FILE *in;

	expect(argc == 6);
	count = number = 0;
	in = fopen(argv[1], "r");
	if (!in)
		die(argv[1]);
	must(sigaction(SIGBUS, &action, NULL));
	expect(get32(in, &size) && size % (1 << 18) == 0);
	start = malloc(size);
	image = malloc(size);
	expect(start && image);
	while (next_image(in, &number)) {
		if (number == START || number >= strtoul(argv[5], NULL, 0))
			continue;
		try_image(number, argv[2], argv[3], argv[4]);
		count++;
	}
	printf("%u images: %u mounted, %u refused; %u calls, %u errors\n", count, mounted, refused, calls, errors);
	return mounted * 2 < count;
}
