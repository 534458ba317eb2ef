/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/state.h"

#include <stdio.h>

#include "common/base/map.h"

struct frontend {
	struct frontend_key key;
	enum frontend_kind kind;
	uint32_t n;
	struct backend *backends;
};

struct frontends {
	VEC(struct frontend) list;
};

/* A service by name, whether its object or only its slices are known. */
struct entry {
	char *key;
	struct service *svc;
	VEC(struct endpoint_slice *) slices;
	struct frontends have;
	bool dirty;
	bool denied; /* wants a frontend that another service holds */
};

struct counter {
	uint32_t n;
};

struct proxy_state {
	struct map entries; /* service key -> entry */
	struct map slices;  /* slice key -> endpoint_slice */
	struct map owners;  /* frontend key bytes -> entry */
	struct map chains;  /* kind and count -> counter */
	struct map hairpin; /* ip -> counter */
	VEC(struct entry *) dirty;
	bool full;
};

struct proxy_state *proxy_state_new(void)
{
	struct proxy_state *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->full = true;
	return s;
}

static void frontends_deinit(struct frontends *f)
{
	VEC_FOREACH (&f->list, it)
		free(it->backends);
	vec_deinit(&f->list);
}

static void free_counters(struct map *m)
{
	MAP_FOREACH (m, it)
		free(it->value);
	map_deinit(m);
}

static void entry_free(struct entry *e)
{
	frontends_deinit(&e->have);
	service_free(e->svc);
	vec_deinit(&e->slices);
	free(e->key);
	free(e);
}

void proxy_state_free(struct proxy_state *s)
{
	if (!s)
		return;
	MAP_FOREACH (&s->entries, it)
		entry_free(it->value);
	MAP_FOREACH (&s->slices, it)
		endpoint_slice_free(it->value);
	map_deinit(&s->entries);
	map_deinit(&s->slices);
	map_deinit(&s->owners);
	free_counters(&s->chains);
	free_counters(&s->hairpin);
	vec_deinit(&s->dirty);
	free(s);
}

static void mark_dirty(struct proxy_state *s, struct entry *e)
{
	if (!e->dirty)
		*vec_push(&s->dirty) = e;
	e->dirty = true;
}

static struct entry *entry_get(struct proxy_state *s, const char *key)
{
	struct entry *e = map_get_str(&s->entries, key);
	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->key = strdup(key)))
		abort();
	map_put_str(&s->entries, key, e);
	return e;
}

void proxy_state_set_service(struct proxy_state *s, const char *key, struct service *svc)
{
	if (!svc && !map_get_str(&s->entries, key))
		return;
	struct entry *e = entry_get(s, key);
	service_free(e->svc);
	e->svc = svc;
	mark_dirty(s, e);
}

static void detach_slice(struct proxy_state *s, struct endpoint_slice *slice)
{
	struct entry *e = map_get_str(&s->entries, slice->service_key);
	for (size_t i = 0; e && i < e->slices.n; i++) {
		if (e->slices.at[i] != slice)
			continue;
		vec_swap_remove(&e->slices, i);
		mark_dirty(s, e);
		return;
	}
}

void proxy_state_set_slice(struct proxy_state *s, const char *key, struct endpoint_slice *slice)
{
	struct endpoint_slice *old =
	    slice ? map_put_str(&s->slices, key, slice) : map_del_str(&s->slices, key);
	if (old) {
		detach_slice(s, old);
		endpoint_slice_free(old);
	}
	if (!slice)
		return;
	struct entry *e = entry_get(s, slice->service_key);
	*vec_push(&e->slices) = slice;
	mark_dirty(s, e);
}

bool proxy_state_pending(const struct proxy_state *s)
{
	return s->full || s->dirty.n;
}

/* Endpoints of one service port */

enum { POLICY_READY, POLICY_TERMINATING };

static int backend_cmp(const void *a, const void *b)
{
	const struct backend *x = a, *y = b;
	int r = memcmp(&x->ip, &y->ip, sizeof(x->ip));
	return r ? r : (x->port > y->port) - (x->port < y->port);
}

static bool eligible(const struct slice_endpoint *e, int policy, bool local_only)
{
	if (local_only && !e->local)
		return false;
	return policy == POLICY_READY ? e->ready : e->serving && e->terminating;
}

static size_t collect(const struct entry *e, const struct service_port *port, int policy,
                      bool local_only, struct backend **ret)
{
	VEC(struct backend) out = {0};
	VEC_FOREACH (&e->slices, it) {
		const struct endpoint_slice *slice = *it;
		for (size_t p = 0; p < slice->n_ports; p++) {
			const struct slice_port *sp = &slice->ports[p];
			if (sp->protocol != port->protocol || strcmp(sp->name, port->name))
				continue;
			for (size_t i = 0; i < slice->n_endpoints; i++)
				if (eligible(&slice->endpoints[i], policy, local_only))
					*vec_push(&out) =
					    (struct backend){slice->endpoints[i].ip, sp->port};
		}
	}
	if (out.n)
		qsort(out.at, out.n, sizeof(*out.at), backend_cmp);
	size_t n = 0;
	for (size_t i = 0; i < out.n; i++)
		if (!n || backend_cmp(&out.at[n - 1], &out.at[i]))
			out.at[n++] = out.at[i];
	*ret = out.at;
	return n;
}

static size_t backends_of(const struct entry *e, const struct service_port *port, bool local_only,
                          struct backend **ret)
{
	size_t n = collect(e, port, POLICY_READY, local_only, ret);
	if (n)
		return n;
	free(*ret);
	return collect(e, port, POLICY_TERMINATING, local_only, ret);
}

/* Frontends that a service should have */

static struct slice key_bytes(const struct frontend_key *key, uint8_t out[7])
{
	memcpy(out, &key->ip, 4);
	memcpy(out + 4, &key->port, 2);
	out[6] = key->protocol;
	return slice_of(out, 7);
}

static void want(struct proxy_state *s, struct entry *e, struct frontends *out,
                 const struct service_port *port, uint32_t ip, enum frontend_kind kind)
{
	bool node_port = frontend_is_node_port(kind);
	struct frontend f = {.key = {ip, node_port ? port->node_port : port->port, port->protocol},
	                     .kind = kind};
	uint8_t bytes[7];
	struct slice key = key_bytes(&f.key, bytes);
	struct entry *owner = map_get(&s->owners, key);
	if (owner && owner != e) {
		e->denied = true;
		return;
	}
	VEC_FOREACH (&out->list, it)
		if (!memcmp(&it->key.ip, &f.key.ip, 4) && it->key.port == f.key.port &&
		    it->key.protocol == f.key.protocol)
			return;
	if (!owner)
		map_put(&s->owners, key, e);
	bool local = kind == FRONTEND_CLUSTER ? e->svc->internal_local : e->svc->external_local;
	f.n = (uint32_t)backends_of(e, port, local, &f.backends);
	*vec_push(&out->list) = f;
}

static void want_all(struct proxy_state *s, struct entry *e, struct frontends *out)
{
	e->denied = false;
	for (size_t p = 0; e->svc && p < e->svc->n_ports; p++) {
		const struct service_port *port = &e->svc->ports[p];
		bool local = e->svc->external_local;
		want(s, e, out, port, e->svc->cluster_ip, FRONTEND_CLUSTER);
		for (size_t i = 0; i < e->svc->n_external_ips; i++)
			want(s, e, out, port, e->svc->external_ips[i],
			     local ? FRONTEND_EXTERNAL_LOCAL : FRONTEND_EXTERNAL);
		if (port->node_port)
			want(s, e, out, port, 0,
			     local ? FRONTEND_NODE_PORT_LOCAL : FRONTEND_NODE_PORT);
	}
}

/* Reference counts of what services share */

/* Returns true when the counter came into being. */
static bool count_up(struct map *m, struct slice key)
{
	struct counter *c = map_get(m, key);
	if (c) {
		c->n++;
		return false;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->n = 1;
	map_put(m, key, c);
	return true;
}

/* Returns true when the counter is gone. */
static bool count_down(struct map *m, struct slice key)
{
	struct counter *c = map_get(m, key);
	if (--c->n)
		return false;
	free(map_del(m, key));
	return true;
}

static void hairpin_up(struct proxy_state *s, struct proxy_ops *ops, struct backend b)
{
	if (count_up(&s->hairpin, slice_of(&b.ip, 4)))
		*vec_push(&ops->list) = (struct proxy_op){.op = OP_HAIRPIN_ADD, .backend = b};
}

static void hairpin_down(struct proxy_state *s, struct proxy_ops *ops, struct backend b)
{
	if (count_down(&s->hairpin, slice_of(&b.ip, 4)))
		*vec_push(&ops->list) = (struct proxy_op){.op = OP_HAIRPIN_DEL, .backend = b};
}

static struct slice chain_key(enum frontend_kind kind, uint32_t count, uint32_t out[2])
{
	out[0] = kind;
	out[1] = count;
	return slice_of(out, 8);
}

static void chain_up(struct proxy_state *s, struct proxy_ops *ops, const struct frontend *f)
{
	uint32_t bytes[2];
	if (f->n && count_up(&s->chains, chain_key(f->kind, f->n, bytes)))
		*vec_push(&ops->list) =
		    (struct proxy_op){.op = OP_CHAIN_ADD, .kind = f->kind, .count = f->n};
}

static void chain_down(struct proxy_state *s, struct proxy_ops *ops, const struct frontend *f)
{
	uint32_t bytes[2];
	if (f->n && count_down(&s->chains, chain_key(f->kind, f->n, bytes)))
		*vec_push(&ops->list) =
		    (struct proxy_op){.op = OP_CHAIN_DEL, .kind = f->kind, .count = f->n};
}

/* The difference */

static void push_backend(struct proxy_ops *ops, enum proxy_op_kind op, const struct frontend *f,
                         uint32_t index)
{
	*vec_push(&ops->list) = (struct proxy_op){.op = op,
	                                          .kind = f->kind,
	                                          .key = f->key,
	                                          .index = index,
	                                          .backend = f->backends[index]};
}

static void push_frontend(struct proxy_ops *ops, enum proxy_op_kind op, const struct frontend *f)
{
	*vec_push(&ops->list) =
	    (struct proxy_op){.op = op, .kind = f->kind, .key = f->key, .count = f->n};
}

static void frontend_add(struct proxy_state *s, struct proxy_ops *ops, const struct frontend *f)
{
	chain_up(s, ops, f);
	for (uint32_t i = 0; i < f->n; i++) {
		push_backend(ops, OP_BACKEND_ADD, f, i);
		hairpin_up(s, ops, f->backends[i]);
	}
	push_frontend(ops, OP_FRONTEND_ADD, f);
}

static void frontend_del(struct proxy_state *s, struct proxy_ops *ops, const struct frontend *f)
{
	push_frontend(ops, OP_FRONTEND_DEL, f);
	for (uint32_t i = 0; i < f->n; i++) {
		push_backend(ops, OP_BACKEND_DEL, f, i);
		hairpin_down(s, ops, f->backends[i]);
	}
	chain_down(s, ops, f);
	uint8_t bytes[7];
	map_del(&s->owners, key_bytes(&f->key, bytes));
}

/* Reorders the sorted backends of `now` so that those that `have` has keep their index where that
 * is below the new count; the others fill the holes in order. */
static void keep_indexes(const struct frontend *have, struct frontend *now)
{
	if (!now->n)
		return;
	struct backend *out = calloc(now->n, sizeof(*out));
	bool *placed = calloc(now->n, sizeof(*placed)), *filled = calloc(now->n, sizeof(*filled));
	if (!out || !placed || !filled)
		abort();
	for (uint32_t i = 0; i < have->n && i < now->n; i++) {
		struct backend *at =
		    bsearch(&have->backends[i], now->backends, now->n, sizeof(*at), backend_cmp);
		if (!at)
			continue;
		out[i] = *at;
		filled[i] = placed[at - now->backends] = true;
	}
	for (uint32_t i = 0, from = 0; i < now->n; i++) {
		if (filled[i])
			continue;
		while (placed[from])
			from++;
		out[i] = now->backends[from++];
	}
	free(now->backends);
	now->backends = out;
	free(placed);
	free(filled);
}

static void frontend_change(struct proxy_state *s, struct proxy_ops *ops,
                            const struct frontend *have, const struct frontend *now)
{
	bool dispatch = have->n != now->n || have->kind != now->kind;
	if (dispatch)
		chain_up(s, ops, now);
	for (uint32_t i = 0; i < have->n || i < now->n; i++) {
		bool same = i < have->n && i < now->n &&
		            !backend_cmp(&have->backends[i], &now->backends[i]);
		if (same)
			continue;
		if (i < have->n)
			push_backend(ops, OP_BACKEND_DEL, have, i);
		if (i < now->n) {
			push_backend(ops, OP_BACKEND_ADD, now, i);
			hairpin_up(s, ops, now->backends[i]);
		}
		if (i < have->n)
			hairpin_down(s, ops, have->backends[i]);
	}
	if (!dispatch)
		return;
	push_frontend(ops, OP_FRONTEND_DEL, have);
	push_frontend(ops, OP_FRONTEND_ADD, now);
	chain_down(s, ops, have);
}

static struct frontend *find(struct frontends *in, const struct frontend_key *key)
{
	VEC_FOREACH (&in->list, it)
		if (it->key.ip == key->ip && it->key.port == key->port &&
		    it->key.protocol == key->protocol)
			return it;
	return NULL;
}

/* Returns true when a frontend was let go. */
static bool plan_entry(struct proxy_state *s, struct entry *e, struct proxy_ops *ops)
{
	struct frontends now = {0};
	bool released = false;
	want_all(s, e, &now);
	VEC_FOREACH (&e->have.list, it)
		if (!find(&now, &it->key)) {
			frontend_del(s, ops, it);
			released = true;
		}
	VEC_FOREACH (&now.list, it) {
		struct frontend *have = find(&e->have, &it->key);
		if (!have) {
			frontend_add(s, ops, it);
			continue;
		}
		keep_indexes(have, it);
		frontend_change(s, ops, have, it);
	}
	frontends_deinit(&e->have);
	e->have = now;
	return released;
}

static int entry_cmp(const void *a, const void *b)
{
	return strcmp((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

static void drop_if_empty(struct proxy_state *s, struct entry *e)
{
	if (e->svc || e->slices.n || e->have.list.n)
		return;
	map_del_str(&s->entries, e->key);
	entry_free(e);
}

static void plan_dirty(struct proxy_state *s, struct proxy_ops *ops)
{
	bool released = false;
	qsort(s->dirty.at, s->dirty.n, sizeof(*s->dirty.at), entry_cmp);
	VEC_FOREACH (&s->dirty, it) {
		(*it)->dirty = false;
		released |= plan_entry(s, *it, ops);
	}
	VEC_FOREACH (&s->dirty, it)
		drop_if_empty(s, *it);
	vec_clear(&s->dirty);
	if (!released)
		return;
	MAP_FOREACH (&s->entries, it)
		if (((struct entry *)it->value)->denied)
			mark_dirty(s, it->value);
}

void proxy_state_reset(struct proxy_state *s)
{
	s->full = true;
	free_counters(&s->chains);
	free_counters(&s->hairpin);
	map_deinit(&s->owners);
	MAP_FOREACH (&s->entries, it) {
		struct entry *e = it->value;
		frontends_deinit(&e->have);
		mark_dirty(s, e);
	}
}

bool proxy_state_plan(struct proxy_state *s, struct proxy_ops *ret)
{
	bool full = s->full;
	s->full = false;
	for (int round = 0; s->dirty.n && round < 2; round++)
		plan_dirty(s, ret);
	return full;
}

struct proxy_counts proxy_state_counts(const struct proxy_state *s)
{
	struct proxy_counts c = {.slices = s->slices.n};
	MAP_FOREACH (&s->entries, it) {
		const struct entry *e = it->value;
		c.services += e->svc != NULL;
		c.frontends += e->have.list.n;
		VEC_FOREACH (&e->have.list, f)
			c.backends += f->n;
	}
	return c;
}
