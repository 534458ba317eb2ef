/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/tool/tool.h"
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *first, *second; /* second NULL: a command of one word */
	int (*run)(int argc, char **argv);
} commands[] = {
    {"snapshot", "status", snapshot_status},
    {"snapshot", "restore", snapshot_restore},
    {"check", NULL, check_data_dir},
};

bool tool_wanted(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (!strcmp(argv[1], commands[i].first))
			return true;
	}
	return false;
}

int tool_main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = &commands[i];
		int words = c->second ? 2 : 1;
		if (argc > words && !strcmp(argv[1], c->first) &&
		    (!c->second || !strcmp(argv[2], c->second)))
			return c->run(argc - words, argv + words);
	}
	fprintf(stderr, "Usage: raftstore snapshot status|restore FILE [flags]\n"
	                "       raftstore check --data-dir DIR\n");
	return 2;
}

int tool_flags(const struct flag_group *group, const char *usage, int argc, char **argv,
               struct arena *a, size_t n, flag_list *args)
{
	struct err err = ERR_INIT;
	int r = flags_parse(group, 1, argc, argv, NULL, a, args, &err);
	if (!r && args->n == n)
		return 0;
	_cleanup_buf_ struct buf help = BUF_INIT;
	flags_help(group, 1, &help);
	FILE *to = r > 0 ? stdout : stderr;
	if (r < 0)
		fprintf(to, "Error: %s\n", err.text);
	fprintf(to, "Usage: raftstore %s\n\n%.*s", usage, SLICE_FMT(buf_view(&help)));
	return r > 0 ? 1 : 3;
}

int tool_fail(const struct err *err)
{
	fprintf(stderr, "Error: %s\n", err->text);
	return 1;
}

void tool_size(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)bytes;
	size_t unit = 0;
	while (v >= 1000 && unit + 1 < ARRAY_LEN(units)) {
		v /= 1000;
		unit++;
	}
	/* To a tenth first, then to what is printed, as theirs. */
	v = (double)(uint64_t)(v * 10 + 0.5) / 10;
	snprintf(out, 32, unit && v < 10 ? "%.1f %s" : "%.0f %s", v, units[unit]);
}
