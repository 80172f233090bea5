// SPDX-License-Identifier: GPL-2.0
/*
 * filetime COMMAND ARGUMENT...: whether times, and what else stat(2) shows, stay true. The rules hold on every file system.
 *
 *	pairs DIR SAVE N	all pairs of calls, or one in N, on an object of their own each: each call moves the times that it has to,
 *				to the present, and no others; what stat(2) shows in the end goes to SAVE
 *	sync SAVE TO		fsync(2) of the files and directories of SAVE; TO has only these
 *	same SAVE		stat(2) shows the same as then
 */
#include "filetime.h"

/* What a call does to a time. */
enum moves { STAY, MOVE, MAY, GIVEN };

#define ANY (FILES | DIRS | LINKS | FIFOS)
#define NAMED (FILES | LINKS | FIFOS)
#define CONTENT { STAY, MOVE, MOVE }
#define INODE { STAY, STAY, MOVE }
#define READ { MAY, STAY, STAY }

static const struct op {
	const char *name;
	int kinds;
	int (*prepare)(const char *path, int step);
	int (*run)(const char *path, int step);
	enum moves moves[3];
} ops[] = {
	{ "append", FILES, NULL, append, CONTENT },
	{ "append of blocks", FILES, NULL, append_long, CONTENT },
	{ "overwrite", FILES, NULL, overwrite, CONTENT },
	{ "overwrite with O_SYNC", FILES, NULL, overwrite_sync, CONTENT },
	{ "write into a hole", FILES, NULL, write_hole, CONTENT },
	{ "write of nothing", FILES, NULL, write_nothing, { STAY, STAY, STAY } },
	{ "store by a mapping", FILES, NULL, store_there, { MAY, MOVE, MOVE } },
	{ "store into a hole", FILES, NULL, store_hole, { MAY, MOVE, MOVE } },
	{ "store into an unwritten block", FILES, NULL, store_unwritten, { MAY, MOVE, MOVE } },
	{ "load by a mapping", FILES, NULL, load, READ },
	{ "truncate up", FILES, NULL, grow, CONTENT },
	{ "truncate down", FILES, NULL, shrink, CONTENT },
	{ "truncate to the same", FILES, NULL, same_size, CONTENT },
	{ "open with O_TRUNC", FILES, NULL, cut, CONTENT },
	{ "punch bytes", FILES, NULL, punch_bytes, CONTENT },
	{ "punch a block", FILES, NULL, punch_block, CONTENT },
	{ "zero bytes", FILES, NULL, zero_bytes, CONTENT },
	{ "zero a block", FILES, NULL, zero_block, CONTENT },
	{ "allocate what is there", FILES, NULL, allocate_there, { STAY, MAY, MAY } },
	{ "allocate a hole", FILES, NULL, allocate_hole, { STAY, MAY, MOVE } },
	{ "chmod", FILES | DIRS | FIFOS, NULL, change_mode, INODE },
	{ "chown", ANY, NULL, change_owner, INODE },
	{ "utimens", ANY, NULL, set_times, { GIVEN, GIVEN, MOVE } },
	{ "utimens to now", ANY, NULL, set_now, { MOVE, MOVE, MOVE } },
	{ "link", NAMED, NULL, add_link, INODE },
	{ "unlink", NAMED, prepare_name, remove_link, INODE },
	{ "rename", ANY, NULL, move, INODE },
	{ "rename over it", NAMED, prepare_victim, replace_link, INODE },
	{ "read", FILES, NULL, get, READ },
	{ "fsync", FILES | DIRS, NULL, sync_it, { STAY, STAY, STAY } },
	{ "readdir", DIRS, NULL, list, READ },
	{ "readlink", LINKS, NULL, follow, READ },
	{ "write and read of a fifo", FIFOS, NULL, pipe_through, { MAY, MOVE, MOVE } },
	{ "create in it", DIRS, NULL, make_in, CONTENT },
	{ "mkdir in it", DIRS, NULL, mkdir_in, CONTENT },
	{ "unlink in it", DIRS, prepare_in, unlink_in, CONTENT },
	{ "rmdir in it", DIRS, prepare_mkdir, rmdir_in, CONTENT },
	{ "rename in it", DIRS, prepare_in, rename_in, CONTENT },
	{ "rename out of it", DIRS, prepare_mkdir, rename_out, CONTENT },
};

/* An object, and what is done to it. */
struct pair {
	struct shown shown;
	const struct op *op[2];
	bool skip;
};

static struct pair *pairs;
static size_t count;

static void make_pairs(const char *dir, size_t of)
{
	pairs = calloc(4 * ARRAY_SIZE(ops) * ARRAY_SIZE(ops), sizeof(*pairs));
	for (int kind = FILES; kind <= FIFOS; kind *= 2) {
		for (size_t n = 0; n < ARRAY_SIZE(ops) * ARRAY_SIZE(ops); n++) {
			struct pair *p = &pairs[count];

			p->op[0] = &ops[n / ARRAY_SIZE(ops)];
			p->op[1] = &ops[n % ARRAY_SIZE(ops)];
			if (!(p->op[0]->kinds & p->op[1]->kinds & kind) || n % of)
				continue;
			snprintf(p->shown.path, sizeof(p->shown.path), "%s/o%zu", dir, count);
			make(p->shown.path, kind);
			for (int step = 0; step < 2; step++) {
				if (p->op[step]->prepare)
					must(p->op[step]->prepare(p->shown.path, step));
			}
			count++;
		}
	}
}

/* Whether the call has moved time @which as it has to: to between @from and @to if it moved. */
static void judge(const struct pair *p, int step, int which, const struct timespec *old, const struct timespec bounds[2])
{
	const struct timespec *new = &p->shown.time[which];
	enum moves moves = p->op[step]->moves[which];
	bool moved = cmp(new, old), now = cmp(new, &bounds[0]) >= 0 && cmp(new, &bounds[1]) <= 0;
	bool right = moves == STAY ? !moved : moves == MOVE ? now : moves == GIVEN ? !cmp(new, &given[which]) : !moved || now;

	if (!right)
		wrong("%s: %s%s%s: %s was %lld.%09ld, is %lld.%09ld, in a call from %lld.%09ld to %lld.%09ld", p->shown.path,
		      step ? p->op[0]->name : "", step ? ", then " : "", p->op[step]->name, time_name[which],
		      (long long)old->tv_sec, old->tv_nsec, (long long)new->tv_sec, new->tv_nsec,
		      (long long)bounds[0].tv_sec, bounds[0].tv_nsec, (long long)bounds[1].tv_sec, bounds[1].tv_nsec);
}

static void run_step(int step)
{
	struct timespec bounds[2];

	clock_gettime(CLOCK_REALTIME_COARSE, &bounds[0]);
	for (size_t n = 0; n < count; n++) {
		if (pairs[n].op[step]->run(pairs[n].shown.path, step)) {
			if (errno != EOPNOTSUPP)
				fail("%s: %s: %s", pairs[n].shown.path, pairs[n].op[step]->name, errname(errno));
			pairs[n].skip = true;
		}
	}
	clock_gettime(CLOCK_REALTIME, &bounds[1]);
	for (size_t n = 0; n < count; n++) {
		struct shown old = pairs[n].shown;

		look(&pairs[n].shown);
		for (int which = 0; which < 3 && !pairs[n].skip; which++)
			judge(&pairs[n], step, which, &old.time[which], bounds);
	}
}

static int cmd_pairs(char **a)
{
	make_pairs(a[0], number(a[2]));
	for (size_t n = 0; n < count; n++)
		look(&pairs[n].shown);
	for (int step = 0; step < 2; step++) {
		tick();
		run_step(step);
	}
	printf("%zu pairs\n", count);
	return save(a[1], &pairs->shown, sizeof(*pairs), count);
}

static struct shown *saved(const char *file, size_t *n)
{
	struct shown *all = NULL;
	FILE *f = fopen(file, "r");

	if (!f)
		die(file);
	for (*n = 0; all = realloc(all, (*n + 1) * sizeof(*all)), fread(&all[*n], sizeof(*all), 1, f); (*n)++)
		;
	fclose(f);
	return all;
}

static int cmd_same(char **a)
{
	size_t n;
	struct shown *all = saved(a[0], &n);

	for (size_t i = 0; i < n; i++) {
		struct shown old = all[i], *new = &all[i];

		look(new);
		for (int t = 0; t < 3; t++)
			if (cmp(&old.time[t], &new->time[t]))
				wrong("%s: %s was %lld.%09ld, is %lld.%09ld", old.path, time_name[t], (long long)old.time[t].tv_sec,
				      old.time[t].tv_nsec, (long long)new->time[t].tv_sec, new->time[t].tv_nsec);
		if (old.mode != new->mode || old.uid != new->uid || old.gid != new->gid || old.links != new->links ||
		    old.size != new->size || old.blocks != new->blocks)
			wrong("%s: mode %o, owner %u:%u, %u links, %llu bytes, %llu blocks; was %o, %u:%u, %u, %llu, %llu", old.path,
			      new->mode, new->uid, new->gid, new->links, new->size, new->blocks, old.mode, old.uid, old.gid,
			      old.links, old.size, old.blocks);
	}
	if (bad)
		fprintf(stderr, "%d of %zu\n", bad, n);
	return bad != 0;
}

static int cmd_sync(char **a)
{
	size_t n, kept = 0;
	struct shown *all = saved(a[0], &n);

	for (size_t i = 0; i < n; i++) {
		if (!S_ISREG(all[i].mode) && !S_ISDIR(all[i].mode))
			continue;
		must(sync_it(all[i].path, 0));
		all[kept++] = all[i];
	}
	return save(a[1], all, sizeof(*all), kept);
}

static const struct command commands[] = {
	{ "pairs", 3, cmd_pairs }, { "sync", 2, cmd_sync }, { "same", 1, cmd_same },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
