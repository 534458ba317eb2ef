/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/garbage-collector/plan/graph.h"

#include <stdlib.h>
#include <string.h>

/* One allocation: the struct, its owners, all strings. */
static size_t text_bytes(const struct gc_node *n)
{
	size_t bytes = strlen(n->uid) + strlen(n->ns) + strlen(n->name) + 3;
	for (uint32_t i = 0; i < n->n_owners; i++)
		bytes += strlen(n->owners[i].uid) + strlen(n->owners[i].api_version) +
		         strlen(n->owners[i].kind) + strlen(n->owners[i].name) + 4;
	return bytes;
}

static const char *put_text(char **at, const char *text)
{
	size_t n = strlen(text) + 1;
	char *out = memcpy(*at, text, n);
	*at += n;
	return out;
}

static struct gc_node *node_copy(const struct gc_node *from)
{
	size_t bytes = sizeof(*from) + from->n_owners * sizeof(*from->owners);
	struct gc_node *n = malloc(bytes + text_bytes(from));
	if (!n)
		abort();
	memcpy(n, from, bytes);
	char *at = (char *)n + bytes;
	n->uid = put_text(&at, from->uid);
	n->ns = put_text(&at, from->ns);
	n->name = put_text(&at, from->name);
	for (uint32_t i = 0; i < n->n_owners; i++) {
		struct gc_owner *o = &n->owners[i];
		o->uid = put_text(&at, o->uid);
		o->api_version = put_text(&at, o->api_version);
		o->kind = put_text(&at, o->kind);
		o->name = put_text(&at, o->name);
	}
	return n;
}

const struct gc_node *gc_graph_get(const struct gc_graph *g, const char *uid)
{
	return map_get_str(&g->nodes, uid);
}

const gc_nodes *gc_graph_dependents(const struct gc_graph *g, const char *uid)
{
	return map_get_str(&g->dependents, uid);
}

static void link_owners(struct gc_graph *g, struct gc_node *n)
{
	for (uint32_t i = 0; i < n->n_owners; i++) {
		gc_nodes *d = map_get_str(&g->dependents, n->owners[i].uid);
		if (!d) {
			d = calloc(1, sizeof(*d));
			if (!d)
				abort();
			map_put_str(&g->dependents, n->owners[i].uid, d);
		}
		*vec_push(d) = n;
	}
}

static void unlink_owners(struct gc_graph *g, const struct gc_node *n)
{
	for (uint32_t i = 0; i < n->n_owners; i++) {
		gc_nodes *d = map_get_str(&g->dependents, n->owners[i].uid);
		for (size_t k = 0; d && k < d->n; k++)
			if (d->at[k] == n) {
				vec_swap_remove(d, k);
				break;
			}
		if (d && !d->n) {
			map_del_str(&g->dependents, n->owners[i].uid);
			vec_deinit(d);
			free(d);
		}
	}
}

static void wake_dependents(const struct gc_graph *g, const char *uid)
{
	const gc_nodes *d = gc_graph_dependents(g, uid);
	for (size_t i = 0; d && i < d->n; i++)
		g->wake(d->at[i]->uid, g->arg);
}

/* Owners on their way out that wait for what happens to their dependents. */
static void wake_waiting_owners(const struct gc_graph *g, const struct gc_node *n)
{
	for (uint32_t i = 0; i < n->n_owners; i++) {
		const struct gc_node *o = gc_graph_get(g, n->owners[i].uid);
		if (o && o->deleting && (o->foreground || o->orphan))
			g->wake(o->uid, g->arg);
	}
}

/* An owner that is not known here, or that takes its dependents along. */
static bool has_doubtful_owner(const struct gc_graph *g, const struct gc_node *n)
{
	for (uint32_t i = 0; i < n->n_owners; i++) {
		const struct gc_node *o = gc_graph_get(g, n->owners[i].uid);
		if (!o || (o->deleting && o->foreground))
			return true;
	}
	return false;
}

void gc_graph_put(struct gc_graph *g, const struct gc_node *node)
{
	struct gc_node *n = node_copy(node), *old = map_put_str(&g->nodes, n->uid, n);
	if (old) {
		unlink_owners(g, old);
		wake_waiting_owners(g, old);
		free(old);
	}
	link_owners(g, n);
	if (n->deleting && (n->foreground || n->orphan))
		g->wake(n->uid, g->arg);
	if (n->deleting && n->foreground)
		wake_dependents(g, n->uid);
	if (has_doubtful_owner(g, n))
		g->wake(n->uid, g->arg);
}

void gc_graph_del(struct gc_graph *g, const char *uid)
{
	struct gc_node *n = map_del_str(&g->nodes, uid);
	if (!n)
		return;
	unlink_owners(g, n);
	wake_waiting_owners(g, n);
	wake_dependents(g, n->uid);
	free(n);
}

void gc_graph_sweep(struct gc_graph *g, uint32_t resource, uint32_t generation)
{
	gc_nodes stale = {0};
	MAP_FOREACH (&g->nodes, it) {
		struct gc_node *n = it->value;
		if (n->resource == resource && n->generation != generation)
			*vec_push(&stale) = n;
	}
	VEC_FOREACH (&stale, it)
		gc_graph_del(g, (*it)->uid);
	vec_deinit(&stale);
}

void gc_graph_deinit(struct gc_graph *g)
{
	MAP_FOREACH (&g->nodes, it)
		free(it->value);
	MAP_FOREACH (&g->dependents, it) {
		gc_nodes *d = it->value;
		vec_deinit(d);
		free(d);
	}
	map_deinit(&g->nodes);
	map_deinit(&g->dependents);
}
