// SPDX-License-Identifier: GPL-2.0
/*
 * crowd COMMAND DIR...: many processes on the same directories at once. What each of them has done is known, so that the
 * outcome can be compared after a remount.
 */
#include "test.h"
#include <dirent.h>
#include <sys/mman.h>

#define SLOTS 24
#define DIRS 3
#define MAX_LEN 30000

struct slot {
	int dir;                /* -1: there is no such file */
	uint64_t seed;
	size_t len;
};

static unsigned char bytes[MAX_LEN];

static void path_of(char *path, const char *top, int dir, int who, int slot)
{
	sprintf(path, "%s/d%d/p%d-%d", top, dir, who, slot);
}

static void put(const char *path, int flags, uint64_t seed, size_t at, size_t len)
{
	int fd = must(open(path, flags, 0644));

	fill(bytes, seed, at, len);
	expect(pwrite(fd, bytes, len, at) == (ssize_t)len);
	if (seed % 8 == 0)
		must(fsync(fd));
	must(close(fd));
}

/* One step of one process on one of its names, which nobody else uses; the directories are everybody's. */
static void churn_step(const char *top, int who, struct slot *slots, uint64_t *state)
{
	int n = next_random(state) % SLOTS, other = next_random(state) % SLOTS;
	struct slot *s = &slots[n];
	char path[4096], to[4096];

	if (s->dir < 0) {
		s->dir = next_random(state) % DIRS;
		s->seed = next_random(state);
		s->len = next_random(state) % (MAX_LEN / 2);
		path_of(path, top, s->dir, who, n);
		put(path, O_CREAT | O_EXCL | O_WRONLY, s->seed, 0, s->len);
		return;
	}
	path_of(path, top, s->dir, who, n);
	switch (next_random(state) % 5) {
	case 0:
		must(unlink(path));
		s->dir = -1;
		break;
	case 1: {                       /* append */
		size_t more = next_random(state) % (MAX_LEN - s->len);

		put(path, O_WRONLY, s->seed, s->len, more);
		s->len += more;
		break;
	}
	case 2:                         /* replace the contents */
		s->seed = next_random(state);
		s->len = next_random(state) % (MAX_LEN / 2);
		put(path, O_WRONLY | O_TRUNC, s->seed, 0, s->len);
		break;
	default:                        /* rename, perhaps over another name of ours, perhaps to another directory */
		if (other == n)
			break;
		if (slots[other].dir < 0)
			slots[other].dir = next_random(state) % DIRS;
		path_of(to, top, slots[other].dir, who, other);
		must(rename(path, to));
		slots[other].seed = s->seed;
		slots[other].len = s->len;
		s->dir = -1;
	}
}

static void churn_one(const char *top, int who, uint64_t seed, long steps, const char *manifest)
{
	struct slot slots[SLOTS];
	uint64_t state = seed * 977 + who;
	char path[4096];
	FILE *list;

	for (int i = 0; i < SLOTS; i++)
		slots[i].dir = -1;
	for (long i = 0; i < steps; i++) {
		churn_step(top, who, slots, &state);
		if (i % 16)
			continue;
		/* Directories come and go beside the files. */
		sprintf(path, "%s/d%d/dir%d", top, (int)(i / 16 % DIRS), who);
		must(mkdir(path, 0755));
		must(rmdir(path));
	}
	sprintf(path, "%s.%d", manifest, who);
	list = fopen(path, "w");
	expect(list);
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].dir < 0)
			continue;
		path_of(path, top, slots[i].dir, who, i);
		fprintf(list, "%s %zu %llu\n", path, slots[i].len, (unsigned long long)slots[i].seed);
	}
	fclose(list);
}

static void join(pid_t *children, int n)
{
	for (int i = 0; i < n; i++) {
		int status = wait_for(children[i], 200);

		if (status)
			fail("process %d: status %#x", i, status);
	}
}

/* churn DIR MANIFEST SEED STEPS PROCESSES */
static int do_churn(char **argv)
{
	int n = number(argv[4]);
	pid_t children[64];
	char path[4096];

	for (int d = 0; d < DIRS; d++) {
		sprintf(path, "%s/d%d", argv[0], d);
		must(mkdir(path, 0755));
	}
	for (int i = 0; i < n; i++) {
		children[i] = must(fork());
		if (!children[i]) {
			churn_one(argv[0], i, number(argv[2]), number(argv[3]), argv[1]);
			exit(0);
		}
	}
	join(children, n);
	return 0;
}

static long entries(const char *path)
{
	DIR *d = opendir(path);
	long n = -2;

	expect(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* verify DIR MANIFEST PROCESSES: exactly these files, each with its bytes. */
static int do_verify(char **argv)
{
	static unsigned char want[MAX_LEN];
	long count = 0, found = 0;
	char path[4096], name[4096];
	struct stat st;

	for (int i = 0; i < (int)number(argv[2]); i++) {
		unsigned long long seed;
		size_t len;
		FILE *list;

		sprintf(name, "%s.%d", argv[1], i);
		list = fopen(name, "r");
		expect(list);
		while (fscanf(list, "%4095s %zu %llu", path, &len, &seed) == 3) {
			int fd = open(path, O_RDONLY);

			if (fd < 0)
				fail("%s: %s", path, errname(errno));
			must(fstat(fd, &st));
			if (st.st_size != (off_t)len || st.st_nlink != 1)
				fail("%s: %lld bytes, not %zu", path, (long long)st.st_size, len);
			expect(read(fd, bytes, MAX_LEN) == (ssize_t)len);
			fill(want, seed, 0, len);
			if (memcmp(bytes, want, len))
				fail("%s: other bytes", path);
			must(close(fd));
			count++;
		}
		fclose(list);
	}
	for (int d = 0; d < DIRS; d++) {
		sprintf(path, "%s/d%d", argv[0], d);
		found += entries(path);
	}
	if (found != count)
		fail("%ld entries, not %ld", found, count);
	return 0;
}

/* race DIR ROUNDS PROCESSES: of all who want the same thing at the same time, exactly one gets it. */
static int do_race(char **argv)
{
	int rounds = number(argv[1]), n = number(argv[2]);
	struct { int at[5]; } *won = mmap(NULL, rounds * sizeof(*won), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[64];

	expect(won != MAP_FAILED);
	for (int i = 0; i < n; i++) {
		children[i] = must(fork());
		if (children[i])
			continue;
		must(chdir(argv[0]));
		for (int r = 0; r < rounds; r++) {
			char a[32], b[32], c[32];

			sprintf(a, "a%d", r);
			sprintf(b, "b%d-%d", r, i);
			sprintf(c, "c%d", r);
#define GOT(which, call) do {								\
	if ((call) >= 0)								\
		__atomic_add_fetch(&won[r].at[which], 1, __ATOMIC_SEQ_CST);		\
	else if (errno != EEXIST && errno != ENOENT)					\
		die(#call);								\
} while (0)
			GOT(0, open(a, O_CREAT | O_EXCL | O_WRONLY, 0644));
			GOT(1, mkdir(c, 0755));
			GOT(2, rename(a, b));
			GOT(3, rmdir(c));
			GOT(4, link(b, a));
			unlink(b);
			unlink(a);
		}
		exit(0);
	}
	join(children, n);
	/* Whoever comes later than the removal may win again, but what was made was taken away exactly as often. */
	for (int r = 0; r < rounds; r++) {
		expect(won[r].at[0] >= 1 && won[r].at[1] >= 1);
		if (won[r].at[1] != won[r].at[3])
			fail("round %d: mkdir %d times, rmdir %d times", r, won[r].at[1], won[r].at[3]);
	}
	expect(entries(argv[0]) == 0);
	return 0;
}

/* swap DIR ROUNDS: two directories are renamed into each other and apart by several processes: no loop, nothing lost. */
static int do_swap(char **argv)
{
	static const char *const dirs[] = { "x", "x/y", "z", "z/y", "w", "z/x" };
	int rounds = number(argv[1]), n = 4;
	pid_t children[4];
	int fd;

	must(chdir(argv[0]));
	must(mkdir("x", 0755));
	must(mkdir("z", 0755));
	must(mkdir("x/y", 0755));
	must(close(must(open("x/y/deep", O_CREAT | O_WRONLY, 0644))));
	for (int i = 0; i < n; i++) {
		uint64_t state = i;

		children[i] = must(fork());
		if (children[i])
			continue;
		for (int r = 0; r < rounds; r++)
			rename(dirs[next_random(&state) % ARRAY_SIZE(dirs)],
			       dirs[next_random(&state) % ARRAY_SIZE(dirs)]);
		exit(0);
	}
	join(children, n);
	/* The one file is still somewhere below. */
	fd = must(open("/tmp/swap.out", O_CREAT | O_TRUNC | O_RDWR, 0600));
	must(dup2(fd, 1));
	expect(system("find . -name deep | wc -l") == 0);
	expect(pread(fd, bytes, 2, 0) == 2 && !memcmp(bytes, "1\n", 2));
	return 0;
}

static const struct command commands[] = {
	{ "churn", 5, do_churn }, { "verify", 3, do_verify }, { "race", 3, do_race }, { "swap", 2, do_swap },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
