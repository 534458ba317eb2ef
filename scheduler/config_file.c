/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/codec/yaml.h"

enum { LIMIT_BYTES = 1 << 20 };

const char *config_file_flag(int argc, char **argv)
{
	const char *found = NULL;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strncmp(argv[i], "--config=", 9))
			found = argv[i] + 9;
		else if (!strcmp(argv[i], "--config") && i + 1 < argc)
			found = argv[++i];
	}
	return found && *found ? found : NULL;
}

static int read_text(const char *path, struct buf *text, struct err *err)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
	char part[4096];
	size_t n;
	while ((n = fread(part, 1, sizeof(part), f)) && text->len <= LIMIT_BYTES)
		buf_add(text, part, n);
	bool failed = ferror(f);
	fclose(f);
	if (failed || text->len > LIMIT_BYTES)
		return err_set(err, ERR_IO, "read %s: %s", path,
		               failed ? "input/output error" : "too large");
	return 0;
}

static void add_flag(const struct jvalue *v, const char *name, struct arena *a, config_argv *out)
{
	if (jvalue_is(v, JVALUE_BOOL))
		*vec_push(out) = arena_printf(a, "--%s=%s", name, v->b ? "true" : "false");
	else if (jvalue_is(v, JVALUE_STRING) && v->n)
		*vec_push(out) = arena_printf(a, "--%s=%s", name, v->str);
}

int config_file_read(const char *path, int argc, char **argv, struct arena *a,
                     struct jvalue **ret_doc, config_argv *ret_argv, struct err *err)
{
	static const char *const flags[][2] = {
	    {"clientConnection.kubeconfig", "kubeconfig"},
	    {"leaderElection.leaderElect", "leader-elect"},
	    {"leaderElection.leaseDuration", "leader-elect-lease-duration"},
	    {"leaderElection.renewDeadline", "leader-elect-renew-deadline"},
	    {"leaderElection.retryPeriod", "leader-elect-retry-period"},
	    {"leaderElection.resourceName", "leader-elect-resource-name"},
	    {"leaderElection.resourceNamespace", "leader-elect-resource-namespace"},
	};
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = read_text(path, &text, err);
	if (!r)
		r = yaml_parse(slice_of(arena_memdup(a, text.data, text.len), text.len), a, NULL,
		               ret_doc, err);
	if (r)
		return err_prefix(err, "%s", path);
	*vec_push(ret_argv) = argv[0];
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		add_flag(jvalue_path(*ret_doc, flags[i][0]), flags[i][1], a, ret_argv);
	for (int i = 1; i < argc; i++)
		*vec_push(ret_argv) = argv[i];
	*vec_push(ret_argv) = NULL;
	return 0;
}
