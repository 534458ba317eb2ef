/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include "common/codec/crc32c.h"
#include "raftstore/mvcc/etcd_form.h"
#include "raftstore/tool/snapshot_file.h"
#include "raftstore/tool/tool.h"

struct status {
	uint32_t hash;
	int64_t revision;
	uint64_t keys, bytes;
	bool is_key; /* the bucket "key" is being read */
};

static int on_pair(void *arg, struct slice key, struct slice value)
{
	struct status *st = arg;
	struct revision rev;
	bool deleted;
	st->hash = crc32c(crc32c(st->hash, key.data, key.len), value.data, value.len);
	st->keys++;
	if (!st->is_key)
		return 0;
	if (!etcd_revision_decode(key, &rev, &deleted))
		return -ERR_CORRUPT;
	st->revision = rev.main;
	return 0;
}

static int on_bucket(void *arg, struct slice name, const struct bbolt_bucket *b)
{
	struct status *st = arg;
	st->is_key = slice_eq_str(name, "key");
	st->hash = crc32c(st->hash, name.data, name.len);
	return bbolt_each(b, on_pair, st);
}

static void print_table(const struct status *st)
{
	char cell[4][32];
	static const char *const head[4] = {"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"};
	snprintf(cell[0], 32, "%" PRIx32, st->hash);
	snprintf(cell[1], 32, "%" PRId64, st->revision);
	snprintf(cell[2], 32, "%" PRIu64, st->keys);
	tool_size(st->bytes, cell[3]);
	char line[160] = "", *p = line;
	int width[4];
	for (int i = 0; i < 4; i++) {
		width[i] = (int)MAX(strlen(cell[i]), strlen(head[i]));
		*p++ = '+';
		memset(p, '-', (size_t)width[i] + 2);
		p += width[i] + 2;
	}
	*p = '+';
	printf("%s\n|", line);
	for (int i = 0; i < 4; i++) {
		int left = (width[i] - (int)strlen(head[i])) / 2;
		printf(" %*s%-*s |", left, "", width[i] - left, head[i]);
	}
	printf("\n%s\n|", line);
	for (int i = 0; i < 4; i++)
		printf(" %*s |", width[i], cell[i]);
	printf("\n%s\n", line);
}

static int print(const struct status *st, const char *form)
{
	char size[32];
	if (!strcmp(form, "table")) {
		print_table(st);
	} else if (!strcmp(form, "json")) {
		printf("{\"hash\":%" PRIu32 ",\"revision\":%" PRId64 ",\"totalKey\":%" PRIu64
		       ",\"totalSize\":%" PRIu64 "}\n",
		       st->hash, st->revision, st->keys, st->bytes);
	} else if (!strcmp(form, "simple")) {
		tool_size(st->bytes, size);
		printf("%" PRIx32 ", %" PRId64 ", %" PRIu64 ", %s\n", st->hash, st->revision,
		       st->keys, size);
	} else {
		fprintf(stderr, "Error: unsupported output format %s\n", form);
		return 2;
	}
	return 0;
}

static int run(const char *path, const char *form)
{
	struct err err = ERR_INIT;
	struct snapshot_file f;
	struct status st = {0};
	int r = snapshot_file_open(&f, path, &err);
	if (r)
		return tool_fail(&err);
	if (f.has_hash)
		r = snapshot_file_check_hash(&f, &err);
	if (!r) {
		r = bbolt_each_bucket(&f.db, on_bucket, &st);
		if (r)
			err_set(&err, ERR_CORRUPT,
			        "snapshot file integrity check failed: its pages are damaged");
	}
	st.bytes = f.db.pages * f.db.page_bytes;
	snapshot_file_close(&f);
	return r ? tool_fail(&err) : print(&st, form);
}

int snapshot_status(int argc, char **argv)
{
	const char *form = "simple";
	struct flag flags[] = {
	    {.name = "write-out",
	     .kind = FLAG_KIND_STR,
	     .str = &form,
	     .shorthand = 'w',
	     .help = "simple, table or json."},
	};
	struct flag_group group = FLAG_GROUP("Snapshot", flags);
	struct arena a;
	flag_list args = {0};
	arena_init(&a);
	int r = tool_flags(&group, "snapshot status FILE [flags]", argc, argv, &a, 1, &args);
	r = r ? r - 1 : run(args.at[0], form);
	vec_deinit(&args);
	arena_deinit(&a);
	return r;
}
