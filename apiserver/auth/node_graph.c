/* SPDX-License-Identifier: Apache-2.0 */
/* Who refers to what. What pods refer to is counted under "<kind>ns/name|node"; of the pods
 * themselves nothing is kept: whoever takes one back tells what it was. */
#include <stdio.h>
#include "apiserver/auth/node.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "proto/meta_v1.pb-c.h"

typedef VEC(char *) key_list;

/* A volume. */
struct owner {
	char *claim;      /* "ns/name", or NULL */
	key_list secrets; /* keys of graph->secret_pvs */
};

struct node_graph {
	struct map edges;       /* "<kind>ns/name|node" -> number of pods */
	struct map pvs;         /* "name" -> owner */
	struct map attachments; /* "name" -> the node's name */
	struct map secret_pvs;  /* "ns/name" -> pv_names */
	node_graph_pod_fn pod_is_on;
	void *arg;
};

struct pv_names {
	VEC(const struct owner *) at;
};

enum { KEY_BYTES = 1024 };

static struct slice edge_key(char out[KEY_BYTES], enum node_object kind, const char *ns,
                             const char *name, const char *node)
{
	int n = snprintf(out, KEY_BYTES, "%c%s/%s|%s", (char)kind, ns, name, node);

	return slice_of(out, n < KEY_BYTES ? (size_t)n : KEY_BYTES - 1);
}

static void edge_add(struct node_graph *g, struct slice key)
{
	uintptr_t count = (uintptr_t)map_get(&g->edges, key);

	map_put(&g->edges, key, (void *)(count + 1));
}

static void edge_drop(struct node_graph *g, struct slice key)
{
	uintptr_t count = (uintptr_t)map_get(&g->edges, key);

	if (count > 1)
		map_put(&g->edges, key, (void *)(count - 1));
	else
		map_del(&g->edges, key);
}

static void secret_pv_drop(struct node_graph *g, const char *secret, const struct owner *pv)
{
	struct pv_names *names = map_get_str(&g->secret_pvs, secret);

	for (size_t i = 0; names && i < names->at.n; i++) {
		if (names->at.at[i] == pv) {
			vec_swap_remove(&names->at, i);
			break;
		}
	}
	if (names && !names->at.n) {
		map_del_str(&g->secret_pvs, secret);
		vec_deinit(&names->at);
		free(names);
	}
}

static void owner_free(struct node_graph *g, struct owner *o)
{
	if (!o)
		return;
	VEC_FOREACH (&o->secrets, s) {
		secret_pv_drop(g, *s, o);
		free(*s);
	}
	vec_deinit(&o->secrets);
	free(o->claim);
	free(o);
}

static void map_empty(struct map *m)
{
	map_deinit(m);
	map_init(m, 0);
}

/* --- life cycle ------------------------------------------------------------------------------ */

struct node_graph *node_graph_new(node_graph_pod_fn pod_is_on, void *arg)
{
	struct node_graph *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	map_init(&g->edges, 0);
	map_init(&g->pvs, 0);
	map_init(&g->attachments, 0);
	map_init(&g->secret_pvs, 0);
	g->pod_is_on = pod_is_on;
	g->arg = arg;
	return g;
}

void node_graph_free(struct node_graph *g)
{
	if (!g)
		return;
	node_graph_clear_pvs(g);
	node_graph_clear_attachments(g);
	map_deinit(&g->pvs);
	map_deinit(&g->attachments);
	map_deinit(&g->secret_pvs);
	map_deinit(&g->edges);
	free(g);
}

void node_graph_clear_pods(struct node_graph *g)
{
	map_empty(&g->edges);
}

void node_graph_clear_pvs(struct node_graph *g)
{
	MAP_FOREACH (&g->pvs, it)
		owner_free(g, it->value);
	map_empty(&g->pvs);
}

void node_graph_clear_attachments(struct node_graph *g)
{
	MAP_FOREACH (&g->attachments, it)
		free(it->value);
	map_empty(&g->attachments);
}

/* --- pods ------------------------------------------------------------------------------------ */

struct pod_edges {
	struct node_graph *g;
	const char *node;
	void (*to)(struct node_graph *g, struct slice key);
};

static void on_ref(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct pod_edges *e = arg;
	char key[KEY_BYTES];

	e->to(e->g, edge_key(key, kind, ns, name, e->node));
}

/* A mirror pod may refer to nothing. */
static bool is_mirror(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->metadata->n_annotations; i++)
		if (!strcmp(pod->metadata->annotations[i]->key, "kubernetes.io/config.mirror"))
			return true;
	return false;
}

static void each_edge(struct node_graph *g, const CoreV1__Pod *pod,
                      void (*to)(struct node_graph *g, struct slice key))
{
	struct pod_edges e = {g, pod->spec->node_name, to};

	if (e.node[0] && !is_mirror(pod))
		pod_refs(pod, on_ref, &e);
}

void node_graph_add_pod(struct node_graph *g, const CoreV1__Pod *pod)
{
	each_edge(g, pod, edge_add);
}

void node_graph_remove_pod(struct node_graph *g, const CoreV1__Pod *pod)
{
	each_edge(g, pod, edge_drop);
}

/* --- volumes --------------------------------------------------------------------------------- */

struct pv_edges {
	struct node_graph *g;
	struct owner *o;
};

static void on_pv_secret(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct pv_edges *e = arg;
	char key[KEY_BYTES];

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	struct pv_names *names = map_get_str(&e->g->secret_pvs, key);
	if (!names) {
		names = calloc(1, sizeof(*names));
		if (!names)
			abort();
		map_put_str(&e->g->secret_pvs, key, names);
	}
	*vec_push(&names->at) = e->o;
	char *copy = strdup(key);
	if (!copy)
		abort();
	*vec_push(&e->o->secrets) = copy;
}

void node_graph_remove_pv(struct node_graph *g, const char *name)
{
	owner_free(g, map_del_str(&g->pvs, name));
}

void node_graph_set_pv(struct node_graph *g, const CoreV1__PersistentVolume *pv)
{
	const CoreV1__ObjectReference *claim = pv->spec->claim_ref;
	char key[KEY_BYTES];

	node_graph_remove_pv(g, pv->metadata->name);
	if (!claim)
		return;
	struct pv_edges e = {g, calloc(1, sizeof(*e.o))};

	if (!e.o)
		abort();
	snprintf(key, sizeof(key), "%s/%s", claim->namespace_, claim->name);
	e.o->claim = strdup(key);
	pv_secrets(pv, on_pv_secret, &e);
	map_put_str(&g->pvs, pv->metadata->name, e.o);
}

void node_graph_remove_attachment(struct node_graph *g, const char *name)
{
	free(map_del_str(&g->attachments, name));
}

void node_graph_set_attachment(struct node_graph *g, const StorageV1__VolumeAttachment *va)
{
	char *node = strdup(va->spec->node_name);

	if (!node)
		abort();
	free(map_put_str(&g->attachments, va->metadata->name, node));
}

/* --- questions ------------------------------------------------------------------------------- */

static bool has_edge(const struct node_graph *g, enum node_object kind, const char *ns,
                     const char *name, const char *node)
{
	char key[KEY_BYTES];

	return map_get(&g->edges, edge_key(key, kind, ns, name, node)) != NULL;
}

/* A claim's "ns/name" is one text already. */
static bool pv_reached(const struct node_graph *g, const struct owner *pv, const char *node)
{
	char key[KEY_BYTES];
	int n =
	    pv && pv->claim ? snprintf(key, sizeof(key), "%c%s|%s", NODE_PVC, pv->claim, node) : -1;

	return n > 0 && (size_t)n < sizeof(key) &&
	       map_get(&g->edges, slice_of(key, (size_t)n)) != NULL;
}

static bool secret_by_volume(const struct node_graph *g, const char *ns, const char *name,
                             const char *node)
{
	char key[KEY_BYTES];

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	const struct pv_names *names = map_get_str(&g->secret_pvs, key);
	for (size_t i = 0; names && i < names->at.n; i++)
		if (pv_reached(g, names->at.at[i], node))
			return true;
	return false;
}

bool node_graph_reaches(const struct node_graph *g, const char *node, enum node_object kind,
                        const char *ns, const char *name)
{
	const char *attached;

	if (kind == NODE_POD)
		return g->pod_is_on(g->arg, ns, name, node);
	if (kind == NODE_ATTACHMENT)
		return (attached = map_get_str(&g->attachments, name)) && !strcmp(attached, node);
	if (kind == NODE_PV)
		return pv_reached(g, map_get_str(&g->pvs, name), node);
	if (has_edge(g, kind, ns, name, node))
		return true;
	return kind == NODE_SECRET && secret_by_volume(g, ns, name, node);
}
