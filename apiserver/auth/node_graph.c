/* SPDX-License-Identifier: Apache-2.0 */
/* Who refers to what. Each object and node has one count under the key "<kind>ns/name|node"; a pod,
 * volume or attachment keeps the keys that it counts in, to take them back. */
#include <stdio.h>
#include "apiserver/auth/node.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "proto/meta_v1.pb-c.h"

typedef VEC(char *) key_list;

struct owner {
	key_list keys;    /* counts in graph->edges */
	char *claim;      /* of a volume: "ns/name", or NULL */
	key_list secrets; /* of a volume: keys of graph->secret_pvs */
	char *name;
};

struct node_graph {
	struct map edges;       /* "<kind>ns/name|node" -> count */
	struct map pods;        /* "ns/name" -> owner */
	struct map pvs;         /* "name" -> owner */
	struct map attachments; /* "name" -> owner */
	struct map secret_pvs;  /* "ns/name" -> pv_names */
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

static void edge_add(struct node_graph *g, struct owner *o, struct slice key)
{
	uintptr_t count = (uintptr_t)map_get(&g->edges, key);

	map_put(&g->edges, key, (void *)(count + 1));
	char *copy = strndup((const char *)key.data, key.len);
	if (!copy)
		abort();
	*vec_push(&o->keys) = copy;
}

static void edge_drop(struct node_graph *g, const char *key)
{
	uintptr_t count = (uintptr_t)map_get_str(&g->edges, key);

	if (count > 1)
		map_put_str(&g->edges, key, (void *)(count - 1));
	else
		map_del_str(&g->edges, key);
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
	VEC_FOREACH (&o->keys, k) {
		edge_drop(g, *k);
		free(*k);
	}
	VEC_FOREACH (&o->secrets, s) {
		secret_pv_drop(g, *s, o);
		free(*s);
	}
	vec_deinit(&o->keys);
	vec_deinit(&o->secrets);
	free(o->claim);
	free(o->name);
	free(o);
}

static struct owner *owner_new(const char *name)
{
	struct owner *o = calloc(1, sizeof(*o));

	if (!o || !(o->name = strdup(name)))
		abort();
	return o;
}

static void owners_clear(struct node_graph *g, struct map *m)
{
	MAP_FOREACH (m, it)
		owner_free(g, it->value);
	map_deinit(m);
	map_init(m, 0);
}

/* --- life cycle ----------------------------------------------------------------------------------
 */

struct node_graph *node_graph_new(void)
{
	struct node_graph *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	map_init(&g->edges, 0);
	map_init(&g->pods, 0);
	map_init(&g->pvs, 0);
	map_init(&g->attachments, 0);
	map_init(&g->secret_pvs, 0);
	return g;
}

void node_graph_free(struct node_graph *g)
{
	if (!g)
		return;
	owners_clear(g, &g->pods);
	owners_clear(g, &g->pvs);
	owners_clear(g, &g->attachments);
	map_deinit(&g->pods);
	map_deinit(&g->pvs);
	map_deinit(&g->attachments);
	map_deinit(&g->secret_pvs);
	map_deinit(&g->edges);
	free(g);
}

void node_graph_clear_pods(struct node_graph *g)
{
	owners_clear(g, &g->pods);
}

void node_graph_clear_pvs(struct node_graph *g)
{
	owners_clear(g, &g->pvs);
}

void node_graph_clear_attachments(struct node_graph *g)
{
	owners_clear(g, &g->attachments);
}

/* --- pods
 * ------------------------------------------------------------------------------------------ */

struct pod_edges {
	struct node_graph *g;
	struct owner *o;
	const char *node;
};

static void on_ref(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct pod_edges *e = arg;
	char key[KEY_BYTES];

	edge_add(e->g, e->o, edge_key(key, kind, ns, name, e->node));
}

void node_graph_remove_pod(struct node_graph *g, const char *ns, const char *name)
{
	char key[KEY_BYTES];

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	owner_free(g, map_del_str(&g->pods, key));
}

void node_graph_set_pod(struct node_graph *g, const CoreV1__Pod *pod)
{
	const char *ns = pod->metadata->namespace_, *name = pod->metadata->name;
	char key[KEY_BYTES], edge[KEY_BYTES];

	node_graph_remove_pod(g, ns, name);
	if (!pod->spec->node_name[0])
		return;
	struct pod_edges e = {g, owner_new(name), pod->spec->node_name};

	edge_add(g, e.o, edge_key(edge, NODE_POD, ns, name, e.node));
	/* The kubelet of a finished pod still reports and deletes it, but reads nothing for it. A
	 * mirror pod may refer to nothing. */
	bool mirror = false;
	for (size_t i = 0; i < pod->metadata->n_annotations; i++)
		mirror |=
		    !strcmp(pod->metadata->annotations[i]->key, "kubernetes.io/config.mirror");
	if (!mirror)
		pod_refs(pod, on_ref, &e);
	snprintf(key, sizeof(key), "%s/%s", ns, name);
	map_put_str(&g->pods, key, e.o);
}

/* --- volumes
 * ---------------------------------------------------------------------------------------- */

static void on_pv_secret(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct pod_edges *e = arg;
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
	struct pod_edges e = {g, owner_new(pv->metadata->name), NULL};

	snprintf(key, sizeof(key), "%s/%s", claim->namespace_, claim->name);
	e.o->claim = strdup(key);
	pv_secrets(pv, on_pv_secret, &e);
	map_put_str(&g->pvs, pv->metadata->name, e.o);
}

void node_graph_remove_attachment(struct node_graph *g, const char *name)
{
	owner_free(g, map_del_str(&g->attachments, name));
}

void node_graph_set_attachment(struct node_graph *g, const StorageV1__VolumeAttachment *va)
{
	char edge[KEY_BYTES];

	node_graph_remove_attachment(g, va->metadata->name);
	struct owner *o = owner_new(va->metadata->name);
	edge_add(g, o,
	         edge_key(edge, NODE_ATTACHMENT, "", va->metadata->name, va->spec->node_name));
	map_put_str(&g->attachments, va->metadata->name, o);
}

/* --- questions
 * --------------------------------------------------------------------------------------- */

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
	if (kind == NODE_PV)
		return pv_reached(g, map_get_str(&g->pvs, name), node);
	if (has_edge(g, kind, ns, name, node))
		return true;
	return kind == NODE_SECRET && secret_by_volume(g, ns, name, node);
}
