/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/auth.h"

#include <string.h>

static bool is_below(const char *path, const char *root)
{
	size_t n = strlen(root);
	return !strncmp(path, root, n) && (!path[n] || path[n] == '/');
}

static const char *verb_of(const char *method)
{
	static const char *const verbs[][2] = {
	    {"POST", "create"}, {"GET", "get"},     {"HEAD", "get"},
	    {"PUT", "update"},  {"PATCH", "patch"}, {"DELETE", "delete"},
	};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(method, verbs[i][0]))
			return verbs[i][1];
	return "";
}

struct auth_question auth_question_of(const char *method, const char *path)
{
	static const struct {
		const char *path, *subresource;
		bool fine; /* or nodes/proxy */
	} table[] = {
	    {"/stats", "stats", false},    {"/metrics", "metrics", false},
	    {"/logs", "log", false},       {"/checkpoint", "checkpoint", false},
	    {"/pods", "pods", true},       {"/runningpods", "pods", true},
	    {"/healthz", "healthz", true}, {"/configz", "configz", true},
	};
	struct auth_question q = {.verb = verb_of(method)};
	for (size_t i = 0; i < ARRAY_LEN(table) && !q.n; i++) {
		if (!is_below(path, table[i].path))
			continue;
		q.subresources[q.n++] = table[i].subresource;
		if (table[i].fine)
			q.subresources[q.n++] = "proxy";
	}
	if (!q.n)
		q.subresources[q.n++] = "proxy";
	return q;
}
