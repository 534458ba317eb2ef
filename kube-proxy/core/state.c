/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/state.h"

#include "common/base/heap.h"
#include "common/base/map.h"
#include "kube-proxy/core/wanted.h"

/* A service by name, whether its object or only its slices are known. */
struct entry {
	char *key;
	struct service *svc;
	slice_list slices;
	struct {
		uint8_t *bytes; /* packed elements that the kernel has, sorted */
		size_t len;
		bool dirty, denied; /* denied: wants a frontend that another service holds */
	} have[FAMILIES];
};

/* An element that several services hold: it is in the kernel while one of them does. */
struct shared {
	struct element element;
	size_t holders;
	bool in_kernel, touched;
};

struct owner {
	struct entry *entry;
	uint64_t round; /* of the last claim */
};

typedef VEC(struct entry *) entry_list;

/* What one family's table holds. */
struct family_state {
	bool full; /* nothing yet: the next plan makes the table */
	entry_list dirty;
	struct map owners; /* frontend -> owner */
	struct map shared; /* set and key -> shared */
	VEC(struct shared *) touched;
};

struct proxy_state {
	struct layout_config config;
	struct map entries; /* service key -> entry */
	struct map slices;  /* slice key -> endpoint_slice */
	struct family_state family[FAMILIES];
	uint64_t round;
};

void proxy_plan_deinit(struct proxy_plan *p)
{
	vec_deinit(&p->chains_add);
	vec_deinit(&p->dels);
	vec_deinit(&p->adds);
	vec_deinit(&p->chains_del);
	vec_deinit(&p->flows);
	vec_deinit(&p->flow_endpoints);
}

struct proxy_state *proxy_state_new(void)
{
	struct proxy_state *s = heap_new(struct proxy_state);
	for (enum family f = 0; f < FAMILIES; f++)
		s->family[f].full = true;
	return s;
}

static void free_values(struct map *m)
{
	MAP_FOREACH (m, it)
		free(it->value);
	map_deinit(m);
}

static void entry_free(struct entry *e)
{
	for (enum family f = 0; f < FAMILIES; f++)
		free(e->have[f].bytes);
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
	for (enum family f = 0; f < FAMILIES; f++) {
		free_values(&s->family[f].owners);
		free_values(&s->family[f].shared);
		vec_deinit(&s->family[f].touched);
		vec_deinit(&s->family[f].dirty);
	}
	layout_config_deinit(&s->config);
	free(s);
}

/* --- what changes --- */

static void mark_dirty(struct proxy_state *s, struct entry *e, enum family f)
{
	if (!e->have[f].dirty)
		*vec_push(&s->family[f].dirty) = e;
	e->have[f].dirty = true;
}

static struct entry *entry_get(struct proxy_state *s, const char *key)
{
	struct entry *e = map_get_str(&s->entries, key);
	if (e)
		return e;
	e = heap_new(struct entry);
	e->key = heap_strdup(key);
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
	for (enum family f = 0; f < FAMILIES; f++)
		mark_dirty(s, e, f);
}

static void detach_slice(struct proxy_state *s, struct endpoint_slice *slice)
{
	struct entry *e = map_get_str(&s->entries, slice->service_key);
	for (size_t i = 0; e && i < e->slices.n; i++) {
		if (e->slices.at[i] != slice)
			continue;
		vec_swap_remove(&e->slices, i);
		mark_dirty(s, e, slice->family);
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
	mark_dirty(s, e, slice->family);
}

const struct layout_config *proxy_state_config(const struct proxy_state *s)
{
	return &s->config;
}

void proxy_state_set_config(struct proxy_state *s, const struct layout_config *c)
{
	if (layout_config_eq(&s->config, c))
		return;
	layout_config_deinit(&s->config);
	layout_config_copy(c, &s->config);
	for (enum family f = 0; f < FAMILIES; f++)
		proxy_state_reset(s, f);
}

void proxy_state_reset(struct proxy_state *s, enum family f)
{
	struct family_state *fs = &s->family[f];
	fs->full = true;
	free_values(&fs->owners);
	free_values(&fs->shared);
	vec_clear(&fs->touched);
	MAP_FOREACH (&s->entries, it) {
		struct entry *e = it->value;
		free(e->have[f].bytes);
		e->have[f].bytes = NULL;
		e->have[f].len = 0;
		mark_dirty(s, e, f);
	}
}

bool proxy_state_pending(const struct proxy_state *s, enum family f)
{
	return s->family[f].full || s->family[f].dirty.n;
}

/* --- frontends and their owners --- */

struct claimer {
	struct proxy_state *state;
	struct family_state *family;
	struct entry *entry;
};

enum { OWNER_KEY_BYTES = 20 };

static struct slice owner_key(const struct frontend *fe, uint8_t out[OWNER_KEY_BYTES])
{
	memcpy(out, fe->addr.bytes, 16);
	memcpy(out + 16, &fe->port, 2);
	out[18] = fe->protocol;
	out[19] = fe->node_port;
	return slice_of(out, OWNER_KEY_BYTES);
}

static bool claim(void *arg, const struct frontend *fe)
{
	struct claimer *c = arg;
	uint8_t bytes[OWNER_KEY_BYTES];
	struct slice key = owner_key(fe, bytes);
	struct owner *o = map_get(&c->family->owners, key);
	if (o && (o->entry != c->entry || o->round == c->state->round))
		return false;
	if (!o) {
		o = heap_new(struct owner);
		o->entry = c->entry;
		map_put(&c->family->owners, key, o);
	}
	o->round = c->state->round;
	return true;
}

static bool names_frontend(enum set_id set, bool *node_port)
{
	*node_port = set == SET_NODE_PORTS || set == SET_NO_ENDPOINT_NODE_PORTS;
	return *node_port || set == SET_SERVICE_IPS || set == SET_NO_ENDPOINT_SERVICES;
}

/* Lets go of the frontends that were held and not claimed again; true when there were any. */
static bool release(struct claimer *c, enum family f, const element_list *have)
{
	bool released = false;
	VEC_FOREACH (have, e) {
		bool node_port;
		uint8_t bytes[OWNER_KEY_BYTES];
		if (!names_frontend(e->set, &node_port))
			continue;
		struct frontend fe = frontend_of_words(f, e->key, node_port);
		struct slice key = owner_key(&fe, bytes);
		struct owner *o = map_get(&c->family->owners, key);
		if (!o || o->entry != c->entry || o->round == c->state->round)
			continue;
		free(map_del(&c->family->owners, key));
		released = true;
	}
	return released;
}

/* --- shared elements --- */

static struct slice shared_key(const struct element *e, uint8_t out[1 + KEY_WORDS_MAX * 4])
{
	out[0] = e->set;
	memcpy(out + 1, e->key, sizeof(e->key));
	return slice_of(out, 1 + sizeof(e->key));
}

static void hold(struct family_state *fs, const struct element *e, bool more)
{
	uint8_t bytes[1 + KEY_WORDS_MAX * 4];
	struct slice key = shared_key(e, bytes);
	struct shared *sh = map_get(&fs->shared, key);
	if (!sh) {
		sh = heap_new(struct shared);
		sh->element = *e;
		map_put(&fs->shared, key, sh);
	}
	sh->holders += more ? 1 : (size_t)-1;
	if (!sh->touched)
		*vec_push(&fs->touched) = sh;
	sh->touched = true;
}

static int shared_cmp(const void *a, const void *b)
{
	return element_cmp(&(*(struct shared *const *)a)->element,
	                   &(*(struct shared *const *)b)->element);
}

/* Lists what came and went over the whole plan. */
static void settle_shared(struct family_state *fs, struct proxy_plan *plan)
{
	if (fs->touched.n)
		qsort(fs->touched.at, fs->touched.n, sizeof(*fs->touched.at), shared_cmp);
	VEC_FOREACH (&fs->touched, it) {
		struct shared *sh = *it;
		bool chain = sh->element.set == SET_CHAINS, wanted = sh->holders > 0;
		sh->touched = false;
		if (wanted && !sh->in_kernel)
			*vec_push(chain ? &plan->chains_add : &plan->adds) = sh->element;
		else if (!wanted && sh->in_kernel)
			*vec_push(chain ? &plan->chains_del : &plan->dels) = sh->element;
		sh->in_kernel = wanted;
		if (!wanted) {
			uint8_t bytes[1 + KEY_WORDS_MAX * 4];
			map_del(&fs->shared, shared_key(&sh->element, bytes));
			free(sh);
		}
	}
	vec_clear(&fs->touched);
}

static bool is_shared(enum set_id set)
{
	return set == SET_CHAINS || set_infos[set].shared;
}

/* --- stale flows --- */

/* The first element that endpoints of a frontend may have. */
static struct element first_backend(const struct element *e)
{
	struct element probe = {.set = e->set == SET_NODE_PORTS ? SET_NODE_PORT_BACKENDS
	                                                        : SET_BACKENDS};
	memcpy(probe.key, e->key, sizeof(probe.key));
	return probe;
}

static bool is_backend(const element_list *l, size_t i, const struct element *probe, unsigned words)
{
	return i < l->n && l->at[i].set == probe->set &&
	       !memcmp(l->at[i].key, probe->key, words * 4);
}

static int flow_endpoint_cmp(const void *a, const void *b)
{
	return backend_cmp(a, b);
}

static void add_flows(struct proxy_plan *plan, const struct frontend *fe, bool sticky,
                      const struct element *probe, unsigned words, const element_list *now)
{
	struct stale_flows *flows = vec_push(&plan->flows);
	*flows = (struct stale_flows){
	    .frontend = *fe, .sticky = sticky, .first = plan->flow_endpoints.n};
	for (size_t i = elements_lower_bound(now, probe); is_backend(now, i, probe, words); i++)
		*vec_push(&plan->flow_endpoints) = backend_of_words(plan->family, now->at[i].value);
	flows->n = plan->flow_endpoints.n - flows->first;
	if (flows->n)
		qsort(plan->flow_endpoints.at + flows->first, flows->n, sizeof(struct backend),
		      flow_endpoint_cmp);
}

/* Frontends whose flows (UDP) or clients (affinity) may lead to an endpoint that has gone, or, when
 * the frontend is new, anywhere. `lost`: elements that go, sorted. */
static void find_stale(struct proxy_plan *plan, const element_list *have, const element_list *now,
                       const element_list *lost)
{
	enum family f = plan->family;
	for (int pass = 0; pass < 2; pass++) {
		VEC_FOREACH (pass ? have : now, e) {
			if (e->set != SET_SERVICE_IPS && e->set != SET_NODE_PORTS)
				continue;
			unsigned words = element_key_words(f, e->set);
			struct frontend fe = frontend_of_words(f, e->key, e->set == SET_NODE_PORTS);
			const struct element *other =
			    elements_find(pass ? now : have, e->set, e->key, words);
			bool sticky = e->shape.affinity_s || (other && other->shape.affinity_s);
			if (fe.protocol != PROTOCOL_UDP && !sticky)
				continue;
			struct element probe = first_backend(e);
			bool moved =
			    is_backend(lost, elements_lower_bound(lost, &probe), &probe, words);
			if (pass ? !other : !other || moved)
				add_flows(plan, &fe, sticky, &probe, words, now);
		}
	}
}

/* --- the difference --- */

static void load(const struct entry *e, enum family f, element_list *out)
{
	struct slice packed = slice_of(e->have[f].bytes, e->have[f].len);
	struct element el;
	vec_clear(out);
	while (element_unpack(f, &packed, &el))
		*vec_push(out) = el;
}

static void store(struct entry *e, enum family f, const element_list *l)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC_FOREACH (l, it)
		element_pack(f, it, &b);
	free(e->have[f].bytes);
	e->have[f].len = b.len;
	e->have[f].bytes = b.len ? memcpy(heap_zalloc(b.len), b.data, b.len) : NULL;
}

static void lose(struct family_state *fs, const struct element *e, element_list *lost)
{
	if (is_shared(e->set))
		hold(fs, e, false);
	else
		*vec_push(lost) = *e;
}

static void gain(struct family_state *fs, const struct element *e, struct proxy_plan *plan)
{
	if (is_shared(e->set))
		hold(fs, e, true);
	else
		*vec_push(&plan->adds) = *e;
}

static void difference(struct family_state *fs, const element_list *have, const element_list *now,
                       struct proxy_plan *plan, element_list *lost)
{
	size_t i = 0, j = 0;
	while (i < have->n || j < now->n) {
		int r = i == have->n  ? 1
		        : j == now->n ? -1
		                      : element_cmp(&have->at[i], &now->at[j]);
		bool same = !r && element_same_value(&have->at[i], &now->at[j]);
		if (r <= 0 && !same)
			lose(fs, &have->at[i], lost);
		if (r >= 0 && !same)
			gain(fs, &now->at[j], plan);
		i += r <= 0;
		j += r >= 0;
	}
}

/* Scratch of one plan. */
struct planner {
	struct proxy_state *state;
	struct proxy_plan *plan;
	element_list have, lost;
	struct wanted wanted;
	bool released;
};

static void plan_entry(struct planner *p, struct entry *e)
{
	enum family f = p->plan->family;
	struct family_state *fs = &p->state->family[f];
	struct claimer c = {p->state, fs, e};
	p->state->round++;
	load(e, f, &p->have);
	p->wanted.svc = e->svc;
	p->wanted.slices = &e->slices;
	p->wanted.have = &p->have;
	p->wanted.arg = &c;
	wanted_elements(&p->wanted);
	e->have[f].denied = p->wanted.denied;
	vec_clear(&p->lost);
	difference(fs, &p->have, &p->wanted.list, p->plan, &p->lost);
	find_stale(p->plan, &p->have, &p->wanted.list, &p->lost);
	VEC_FOREACH (&p->lost, it)
		*vec_push(&p->plan->dels) = *it;
	p->released |= release(&c, f, &p->have);
	store(e, f, &p->wanted.list);
}

static int entry_cmp(const void *a, const void *b)
{
	return strcmp((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

static void drop_if_empty(struct proxy_state *s, struct entry *e)
{
	if (e->svc || e->slices.n || e->have[FAMILY_IPV4].len || e->have[FAMILY_IPV6].len ||
	    e->have[FAMILY_IPV4].dirty || e->have[FAMILY_IPV6].dirty)
		return;
	map_del_str(&s->entries, e->key);
	entry_free(e);
}

static void plan_dirty(struct planner *p)
{
	enum family f = p->plan->family;
	entry_list *dirty = &p->state->family[f].dirty;
	p->released = false;
	qsort(dirty->at, dirty->n, sizeof(*dirty->at), entry_cmp);
	VEC_FOREACH (dirty, it) {
		(*it)->have[f].dirty = false;
		plan_entry(p, *it);
	}
	VEC_FOREACH (dirty, it)
		drop_if_empty(p->state, *it);
	vec_clear(dirty);
	if (!p->released)
		return;
	MAP_FOREACH (&p->state->entries, it)
		if (((struct entry *)it->value)->have[f].denied)
			mark_dirty(p->state, it->value, f);
}

/* After the first round, services that were denied a frontend which another one has let go get a
 * second one: they only gain by it. */
void proxy_state_plan(struct proxy_state *s, enum family f, struct proxy_plan *ret)
{
	struct family_state *fs = &s->family[f];
	struct planner p = {.state = s, .plan = ret};
	p.wanted = (struct wanted){.family = f, .config = &s->config, .claim = claim};
	ret->family = f;
	ret->replace = fs->full;
	fs->full = false;
	for (int round = 0; fs->dirty.n && round < 2; round++)
		plan_dirty(&p);
	settle_shared(fs, ret);
	vec_deinit(&p.have);
	vec_deinit(&p.lost);
	vec_deinit(&p.wanted.list);
}

/* --- looking in --- */

void proxy_state_elements(const struct proxy_state *s, enum family f, element_list *out)
{
	element_list one = {0};
	MAP_FOREACH (&s->entries, it) {
		load(it->value, f, &one);
		VEC_FOREACH (&one, e)
			*vec_push(out) = *e;
	}
	vec_deinit(&one);
	elements_sort(out);
}

static void count_element(struct proxy_counts *c, const struct service *svc, enum family f,
                          const struct element *e)
{
	c->elements[e->set]++;
	if (e->verdict != VERDICT_DROP || !svc)
		return;
	struct frontend fe = frontend_of_words(f, e->key, e->set == SET_NO_ENDPOINT_NODE_PORTS);
	if (!fe.node_port && !addr_cmp(&fe.addr, &svc->family[f].cluster_ip))
		c->no_local_internal++;
	else
		c->no_local_external++;
}

struct proxy_counts proxy_state_counts(const struct proxy_state *s)
{
	struct proxy_counts c = {.slices = s->slices.n};
	MAP_FOREACH (&s->entries, it) {
		const struct entry *e = it->value;
		c.services += e->svc != NULL;
		for (enum family f = 0; f < FAMILIES; f++) {
			struct slice packed = slice_of(e->have[f].bytes, e->have[f].len);
			struct element el;
			while (element_unpack(f, &packed, &el))
				count_element(&c, e->svc, f, &el);
		}
	}
	return c;
}

void proxy_state_each_health(const struct proxy_state *s,
                             void (*fn)(const struct service *svc, size_t local_endpoints,
                                        void *arg),
                             void *arg)
{
	MAP_FOREACH (&s->entries, it) {
		const struct entry *e = it->value;
		if (e->svc && e->svc->health_port)
			fn(e->svc, endpoints_local_ready(&e->slices), arg);
	}
}
