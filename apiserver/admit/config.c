/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admit/config.h"
#include <errno.h>
#include <stdio.h>
#include "common/codec/yaml.h"

enum { CONFIG_MAX_BYTES = 1 << 20 };

static int read_yaml(const char *path, struct arena *a, struct jvalue **ret, struct err *err)
{
	char *text = arena_alloc(a, CONFIG_MAX_BYTES);
	FILE *f = fopen(path, "re");

	if (!f)
		return err_set(err, ERR_INVALID,
		               "unable to read admission control configuration from \"%s\": %s",
		               path, strerror(errno));
	size_t n = fread(text, 1, CONFIG_MAX_BYTES, f);
	bool whole = !ferror(f) && n < CONFIG_MAX_BYTES;
	fclose(f);
	if (!whole)
		return err_set(err, ERR_INVALID,
		               "unable to read admission control configuration from \"%s\"", path);
	return yaml_parse(slice_of(text, n), a, NULL, ret, err);
}

int admit_config_read(const char *file, struct arena *a, struct admit_config **ret, struct err *err)
{
	const char *slash = strrchr(file, '/');
	struct jvalue *doc;
	int r = read_yaml(file, a, &doc, err), n = 0;

	if (r < 0)
		return r;
	if (strcmp(jvalue_get_str(doc, "kind", ""), "AdmissionConfiguration") ||
	    strncmp(jvalue_get_str(doc, "apiVersion", ""), "apiserver.config.k8s.io/", 24))
		return err_set(err, ERR_INVALID,
		               "\"%s\" is no AdmissionConfiguration of apiserver.config.k8s.io",
		               file);
	const struct jvalue *plugins = jvalue_get(doc, "plugins");
	size_t count = jvalue_is(plugins, JVALUE_ARRAY) ? plugins->n : 0;
	*ret = arena_array(a, struct admit_config, count);
	for (size_t i = 0; i < count; i++) {
		const struct jvalue *p = plugins->items[i];
		const char *path = jvalue_get_str(p, "path", "");
		struct jvalue *configuration = jvalue_get(p, "configuration");

		if (!configuration && *path) {
			if (*path != '/' && slash)
				path = arena_printf(a, "%.*s/%s", (int)(slash - file), file, path);
			r = read_yaml(path, a, &configuration, err);
			if (r < 0)
				return r;
		}
		(*ret)[n++] = (struct admit_config){arena_strdup(a, jvalue_get_str(p, "name", "")),
		                                    configuration};
	}
	return n;
}
