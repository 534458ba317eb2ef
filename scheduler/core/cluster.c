/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "scheduler/core/cluster_internal.h"

struct cluster *cluster_new(void)
{
	struct cluster *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->symbols = symbols_new();
	list_init(&c->waiting);
	tallies_init(&c->tallies, c->symbols);
	return c;
}

struct symbols *cluster_symbols(const struct cluster *c)
{
	return c->symbols;
}

static void node_free(struct node_info *n)
{
	node_spec_unref(n->spec);
	node_info_copy_deinit(n);
	free(n->name);
	free(n);
}

static void placed_free(struct placed_pod *p)
{
	list_del(&p->waiting);
	pod_info_unref(p->pod);
	free(p->having);
	free(p);
}

static void nomination_free(struct nomination *n)
{
	pod_info_unref(n->pod);
	free(n);
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	MAP_FOREACH (&c->pods, it)
		placed_free(it->value);
	MAP_FOREACH (&c->nominations, it)
		nomination_free(it->value);
	MAP_FOREACH (&c->nodes, it)
		node_free(it->value);
	map_deinit(&c->nodes);
	map_deinit(&c->pods);
	map_deinit(&c->nominations);
	vec_deinit(&c->by_id);
	vec_deinit(&c->unused_ids);
	cluster_order_deinit(c);
	cluster_owners_deinit(c);
	tallies_deinit(&c->tallies);
	symbols_free(c->symbols);
	free(c);
}

/* Nodes */

struct node_info *cluster_node_get(struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n || !(n->name = strdup(name)))
		abort();
	n->symbols = c->symbols;
	if (c->unused_ids.n) {
		n->id = vec_pop(&c->unused_ids);
		c->by_id.at[n->id] = n;
	} else {
		n->id = (uint32_t)c->by_id.n;
		*vec_push(&c->by_id) = n;
	}
	map_put_str(&c->nodes, name, n);
	return n;
}

void cluster_node_drop(struct cluster *c, struct node_info *n)
{
	if (n->spec || n->pods.n || n->nominated.n)
		return;
	map_del_str(&c->nodes, n->name);
	c->by_id.at[n->id] = NULL;
	*vec_push(&c->unused_ids) = n->id;
	node_free(n);
}

unsigned cluster_set_node(struct cluster *c, struct node_spec *spec, struct node_spec **old)
{
	struct node_info *n = cluster_node_get(c, spec->name_text);
	struct node_spec *was = n->spec;
	unsigned kinds = was ? node_spec_changes(was, spec) : EVENT_NODE_ADD;
	node_info_set_spec(n, spec);
	cluster_order_node(c, n, was);
	if (old)
		*old = was;
	else
		node_spec_unref(was);
	return kinds;
}

struct node_spec *cluster_remove_node(struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	if (!n || !n->spec)
		return NULL;
	struct node_spec *was = n->spec;
	node_info_set_spec(n, NULL);
	cluster_order_node(c, n, was);
	cluster_node_drop(c, n);
	return was;
}

struct node_info *cluster_find(const struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	return n && n->spec ? n : NULL;
}

struct node_info *cluster_by_id(const struct cluster *c, uint32_t id)
{
	struct node_info *n = id < c->by_id.n ? c->by_id.at[id] : NULL;
	return n && n->spec ? n : NULL;
}

uint32_t cluster_n_ids(const struct cluster *c)
{
	return (uint32_t)c->by_id.n;
}

/* Pods */

static void place(struct cluster *c, const struct pod_info *pod, const char *node, bool assumed)
{
	struct pod_info *fresh = pod_info_ref(pod); /* may be the one that is there */
	pod_info_unref(cluster_remove_pod(c, pod->key));
	struct placed_pod *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->pod = fresh;
	p->node = cluster_node_get(c, node);
	p->assumed = assumed;
	list_init(&p->waiting);
	node_info_add(p->node, pod);
	cluster_tallies_placed(c, p);
	map_put_str(&c->pods, pod->key, p);
}

void cluster_set_pod(struct cluster *c, const struct pod_info *p)
{
	assert(*p->node_name);
	place(c, p, p->node_name, false);
}

void cluster_assume(struct cluster *c, const struct pod_info *p, const char *node)
{
	place(c, p, node, true);
}

struct pod_info *cluster_remove_pod(struct cluster *c, const char *key)
{
	struct placed_pod *p = map_del_str(&c->pods, key);
	if (!p)
		return NULL;
	struct pod_info *pod = pod_info_ref(p->pod);
	cluster_tallies_removed(c, p);
	node_info_remove(p->node, p->pod);
	cluster_node_drop(c, p->node);
	placed_free(p);
	return pod;
}

void cluster_bound(struct cluster *c, const char *key, uint64_t expires_ms)
{
	struct placed_pod *p = map_get_str(&c->pods, key);
	if (!p || !p->assumed)
		return;
	p->expires_ms = expires_ms;
	list_del(&p->waiting);
	list_add_tail(&c->waiting, &p->waiting);
}

bool cluster_forget(struct cluster *c, const char *key)
{
	const struct placed_pod *p = map_get_str(&c->pods, key);
	if (!p || !p->assumed)
		return false;
	pod_info_unref(cluster_remove_pod(c, key));
	return true;
}

uint64_t cluster_deadline(const struct cluster *c)
{
	return list_empty(&c->waiting)
	           ? UINT64_MAX
	           : list_first(&c->waiting, struct placed_pod, waiting)->expires_ms;
}

const char *cluster_expire(struct cluster *c, uint64_t now_ms, struct arena *a)
{
	if (cluster_deadline(c) > now_ms)
		return NULL;
	const char *key =
	    arena_strdup(a, list_first(&c->waiting, struct placed_pod, waiting)->pod->key);
	pod_info_unref(cluster_remove_pod(c, key));
	return key;
}

const struct placed_pod *cluster_pod(const struct cluster *c, const char *key)
{
	return map_get_str(&c->pods, key);
}

size_t cluster_n_pods(const struct cluster *c)
{
	return c->pods.n;
}

/* Nominations */

bool cluster_unnominate(struct cluster *c, const char *key)
{
	struct nomination *n = map_del_str(&c->nominations, key);
	if (!n)
		return false;
	for (size_t i = 0; i < n->node->nominated.n; i++)
		if (n->node->nominated.at[i] == n->pod) {
			vec_remove(&n->node->nominated, i);
			pod_info_unref(n->pod);
			break;
		}
	cluster_node_drop(c, n->node);
	nomination_free(n);
	return true;
}

void cluster_nominate(struct cluster *c, const struct pod_info *p, const char *node)
{
	struct nomination *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->pod = pod_info_ref(p);
	cluster_unnominate(c, p->key);
	n->node = cluster_node_get(c, node);
	*vec_push(&n->node->nominated) = pod_info_ref(p);
	map_put_str(&c->nominations, p->key, n);
}

const char *cluster_nomination(const struct cluster *c, const char *key)
{
	const struct nomination *n = map_get_str(&c->nominations, key);
	return n ? n->node->name : NULL;
}

bool cluster_has_nominations(const struct cluster *c)
{
	return c->nominations.n > 0;
}
