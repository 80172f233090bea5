// SPDX-License-Identifier: GPL-2.0
/*
 * plenty COMMAND DIR COUNT SECONDS: so many files, in directories of 20,000. Each command says how long one of them took, and fails
 * if all took longer than that.
 */
#include "test.h"
#include <dirent.h>

/* Files of a directory. */
#define PER 20000UL
/* Handles are of one file in so many, as they are kept. */
#define EACH 16UL

struct handle {
	struct file_handle h;
	char room[MAX_HANDLE_SZ];
};

static const char *name(const char *dir, uint64_t n)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/d%lu/file-%lu", dir, n / PER, n);
	return path;
}

/* Calls @one for each file; in a scrambled order, which names each once: the step is prime. */
static int all(char **argv, bool scrambled, void (*one)(const char *dir, uint64_t n, uint64_t turn))
{
	uint64_t count = number(argv[1]), step = scrambled ? 1000003 : 1;
	double begun = now(), most = number(argv[2]), took;

	expect(!scrambled || count % step);
	for (uint64_t i = 0; i < count; i++)
		one(argv[0], i * step % count, i);
	took = now() - begun;
	printf("# %.1f s, of one %.0f us\n", took, took * 1e6 / count);
	if (took > most)
		fail("that is longer than %.0f s", most);
	return 0;
}

static void make(const char *dir, uint64_t n, uint64_t turn)
{
	if (turn % PER == 0) {
		char path[512];

		snprintf(path, sizeof(path), "%s/d%lu", dir, n / PER);
		must(mkdir(path, 0755));
	}
	must(mknod(name(dir, n), S_IFREG | (n % 512), 0));
}

static void look(const char *dir, uint64_t n, uint64_t turn)
{
	struct stat st;

	must(lstat(name(dir, n), &st));
	expect(st.st_mode == (S_IFREG | (n % 512)) && st.st_nlink == 1);
	/* Of a directory that exists, or not. */
	if (turn % 64 == 0)
		expect(lstat(name(dir, n + 7 * PER * 1000), &st) < 0 && errno == ENOENT);
}

static void drop(const char *dir, uint64_t n, uint64_t turn)
{
	(void)turn;
	must(unlink(name(dir, n)));
}

static int do_make(char **argv)
{
	return all(argv, false, make);
}

static int do_look(char **argv)
{
	return all(argv, true, look);
}

static int do_drop(char **argv)
{
	return all(argv, true, drop);
}

/* list: each directory has what it has to, once. */
static int do_list(char **argv)
{
	uint64_t count = number(argv[1]);
	unsigned char *seen = calloc(count, 1);
	double begun = now(), most = number(argv[2]), took;

	for (uint64_t d = 0; d < (count + PER - 1) / PER; d++) {
		char path[512];
		struct dirent *e;
		DIR *list;

		snprintf(path, sizeof(path), "%s/d%lu", argv[0], d);
		list = opendir(path);
		expect(list);
		while ((e = readdir(list))) {
			unsigned long n;

			if (e->d_name[0] == '.')
				continue;
			expect(sscanf(e->d_name, "file-%lu", &n) == 1 && n < count && n / PER == d && !seen[n]);
			seen[n] = 1;
		}
		closedir(list);
	}
	for (uint64_t n = 0; n < count; n++)
		expect(seen[n]);
	took = now() - begun;
	printf("# %.1f s, of one %.0f us\n", took, took * 1e6 / count);
	expect(took <= most);
	return 0;
}

/* remember DIR COUNT SECONDS FILE: handles go to a file of another file system. */
static int do_remember(char **argv)
{
	uint64_t count = number(argv[1]);
	FILE *f = fopen(argv[3], "w");

	expect(f);
	for (uint64_t n = 0; n < count; n += EACH) {
		struct handle h = { .h.handle_bytes = MAX_HANDLE_SZ };
		int id;

		must(name_to_handle_at(AT_FDCWD, name(argv[0], n), &h.h, &id, 0));
		expect(fwrite(&h, sizeof(h), 1, f) == 1);
	}
	expect(!fclose(f));
	return 0;
}

/* handles DIR COUNT SECONDS FILE found|stale: what became of them. */
static int do_handles(char **argv)
{
	uint64_t count = number(argv[1]);
	double begun = now(), most = number(argv[2]), took;
	bool stale = !strcmp(argv[4], "stale");
	int root = must(open(argv[0], O_RDONLY | O_DIRECTORY));
	FILE *f = fopen(argv[3], "r");

	expect(f);
	for (uint64_t n = 0; n < count; n += EACH) {
		struct handle h;
		struct stat st;
		int fd;

		expect(fread(&h, sizeof(h), 1, f) == 1);
		fd = open_by_handle_at(root, &h.h, O_PATH);
		if (stale) {
			expect(fd < 0 && errno == ESTALE);
			continue;
		}
		if (fd < 0)
			die("open_by_handle_at");
		must(fstat(fd, &st));
		expect(st.st_mode == (S_IFREG | (n % 512)));
		must(close(fd));
	}
	took = now() - begun;
	printf("# %.1f s, of one %.0f us\n", took, took * 1e6 * EACH / count);
	expect(took <= most);
	return 0;
}

static const struct command commands[] = {
	{ "make", 3, do_make }, { "look", 3, do_look }, { "list", 3, do_list }, { "drop", 3, do_drop },
	{ "remember", 4, do_remember }, { "handles", 5, do_handles },
};

int main(int argc, char **argv)
{
	umask(0);
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
