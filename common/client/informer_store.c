/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/informer_store.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

/* Where an object stands in a bucket of an index. */
struct place {
	struct bucket *bucket;
	uint32_t index, at;
};

/* One allocation: the struct, its strings, its bytes. */
struct object {
	struct informer_object pub; /* first */
	atomic_uint refs;
	uint64_t generation;
	VEC(struct place) places;
	uint8_t data[];
};

struct bucket {
	VEC(const struct informer_object *) objects;
	VEC(uint32_t) place_of; /* which of the object's places this is */
};

static struct object *object_of(const struct informer_object *o)
{
	return (struct object *)(uintptr_t)o;
}

const struct informer_object *informer_object_ref(const struct informer_object *o)
{
	atomic_fetch_add_explicit(&object_of(o)->refs, 1, memory_order_relaxed);
	return o;
}

void informer_object_unref(const struct informer_object *pub)
{
	struct object *o = object_of(pub);
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	vec_deinit(&o->places);
	free(o);
}

static const char *put_text(uint8_t **at, struct slice s)
{
	char *out = (char *)*at;
	if (s.len)
		memcpy(out, s.data, s.len);
	out[s.len] = 0;
	*at += s.len + 1;
	return out;
}

static int64_t revision_of(struct slice version)
{
	int64_t v = 0;
	for (size_t i = 0; i < version.len && i < 18; i++) {
		if (version.data[i] < '0' || version.data[i] > '9')
			return 0;
		v = v * 10 + (version.data[i] - '0');
	}
	return v;
}

static struct object *object_new(struct slice bytes, const struct meta_peek *m)
{
	size_t text = 2 * (m->ns.len + m->name.len) + m->uid.len + m->owner_uid.len + 8;
	struct object *o = calloc(1, sizeof *o + text + bytes.len);
	if (!o)
		abort();
	uint8_t *at = o->data;
	atomic_init(&o->refs, 1);
	o->pub.key = (char *)at;
	if (m->ns.len) {
		memcpy(at, m->ns.data, m->ns.len);
		at += m->ns.len;
		*at++ = '/';
	}
	(void)put_text(&at, m->name); /* ends the key */
	o->pub.ns = put_text(&at, m->ns);
	o->pub.name = put_text(&at, m->name);
	o->pub.uid = put_text(&at, m->uid);
	o->pub.owner_uid = put_text(&at, m->owner_uid);
	o->pub.revision = revision_of(m->resource_version);
	o->pub.deleting = m->deleting;
	if (bytes.len)
		memcpy(at, bytes.data, bytes.len);
	o->pub.bytes = slice_of(at, bytes.len);
	return o;
}

/* --- indexes --- */

struct emit_arg {
	struct informer_store *store;
	struct object *object;
	uint32_t index;
};

static void emit(void *arg, struct slice value)
{
	struct emit_arg *e = arg;
	struct object *o = e->object;
	struct informer_index *index = &e->store->indexes.at[e->index];
	struct bucket *b = map_get(&index->buckets, value);
	VEC_FOREACH (&o->places, p)
		if (p->bucket == b)
			return;
	if (!b) {
		b = calloc(1, sizeof *b);
		if (!b)
			abort();
		map_put(&index->buckets, value, b);
	}
	*vec_push(&b->objects) = &o->pub;
	*vec_push(&b->place_of) = (uint32_t)o->places.n;
	*vec_push(&o->places) = (struct place){b, e->index, (uint32_t)(b->objects.n - 1)};
}

static void index_add(struct informer_store *s, struct object *o, uint32_t index)
{
	struct emit_arg e = {s, o, index};
	s->indexes.at[index].fn(&o->pub, emit, &e);
}

/* Empty buckets stay: their values tend to come back. */
static void index_remove(struct object *o)
{
	VEC_FOREACH (&o->places, p) {
		struct bucket *b = p->bucket;
		vec_swap_remove(&b->objects, p->at);
		vec_swap_remove(&b->place_of, p->at);
		if (p->at < b->objects.n)
			object_of(b->objects.at[p->at])->places.at[b->place_of.at[p->at]].at =
			    p->at;
	}
	vec_clear(&o->places);
}

unsigned informer_store_add_index(struct informer_store *s, const char *name, informer_index_fn fn)
{
	for (unsigned i = 0; i < s->indexes.n; i++)
		if (!strcmp(s->indexes.at[i].name, name))
			return i;
	struct informer_index *index = vec_push(&s->indexes);
	*index = (struct informer_index){.name = name, .fn = fn};
	map_init(&index->buckets, 0);
	MAP_FOREACH (&s->objects, slot)
		index_add(s, slot->value, (uint32_t)(s->indexes.n - 1));
	return (unsigned)(s->indexes.n - 1);
}

const struct informer_object *const *informer_store_lookup(const struct informer_store *s,
                                                           unsigned index, const char *value,
                                                           size_t *ret_n)
{
	assert(index < s->indexes.n);
	struct bucket *b = map_get_str(&s->indexes.at[index].buckets, value);
	*ret_n = b ? b->objects.n : 0;
	return b ? b->objects.at : NULL;
}

void informer_index_ns(const struct informer_object *o, void (*put)(void *, struct slice),
                       void *emit_arg)
{
	put(emit_arg, slice_str(o->ns));
}

void informer_index_owner(const struct informer_object *o, void (*put)(void *, struct slice),
                          void *emit_arg)
{
	if (*o->owner_uid)
		put(emit_arg, slice_str(o->owner_uid));
}

void informer_index_pod_node(const struct informer_object *o, void (*put)(void *, struct slice),
                             void *emit_arg)
{
	put(emit_arg, pb_peek_path(o->bytes, 2, 10)); /* Pod.spec.nodeName */
}

/* --- objects --- */

void informer_store_init(struct informer_store *s)
{
	*s = (struct informer_store){0};
	map_init(&s->objects, 0);
}

void informer_store_deinit(struct informer_store *s)
{
	MAP_FOREACH (&s->objects, slot) {
		struct object *o = slot->value;
		vec_clear(&o->places);
		informer_object_unref(&o->pub);
	}
	map_deinit(&s->objects);
	VEC_FOREACH (&s->indexes, index) {
		MAP_FOREACH (&index->buckets, slot) {
			struct bucket *b = slot->value;
			vec_deinit(&b->objects);
			vec_deinit(&b->place_of);
			free(b);
		}
		map_deinit(&index->buckets);
	}
	vec_deinit(&s->indexes);
}

int informer_store_put(struct informer_store *s, struct slice bytes, uint64_t generation,
                       const struct informer_object **ret_old,
                       const struct informer_object **ret_new)
{
	struct meta_peek m;
	if (!meta_peek(bytes, &m) || !m.name.len)
		return -ERR_CORRUPT;
	struct object *o = object_new(bytes, &m);
	struct object *old = map_get_str(&s->objects, o->pub.key);
	o->generation = generation;
	if (old && o->pub.revision && old->pub.revision == o->pub.revision) {
		old->generation = generation;
		informer_object_unref(&o->pub);
		return 0;
	}
	map_put_str(&s->objects, o->pub.key, o);
	if (old)
		index_remove(old);
	for (uint32_t i = 0; i < s->indexes.n; i++)
		index_add(s, o, i);
	*ret_old = old ? &old->pub : NULL;
	*ret_new = &o->pub;
	return 0;
}

const struct informer_object *informer_store_delete(struct informer_store *s, struct slice bytes)
{
	struct meta_peek m;
	if (!meta_peek(bytes, &m) || !m.name.len)
		return NULL;
	struct object *probe = object_new(SLICE_EMPTY, &m);
	struct object *old = map_del_str(&s->objects, probe->pub.key);
	informer_object_unref(&probe->pub);
	if (!old)
		return NULL;
	index_remove(old);
	return &old->pub;
}

void informer_store_take_stale(struct informer_store *s, uint64_t generation, informer_objects *ret)
{
	MAP_FOREACH (&s->objects, slot) {
		struct object *o = slot->value;
		if (o->generation == generation)
			continue;
		map_del_str(&s->objects, o->pub.key);
		index_remove(o);
		*vec_push(ret) = &o->pub;
	}
}

const struct informer_object *informer_store_get(const struct informer_store *s, const char *key)
{
	struct object *o = map_get_str(&s->objects, key);
	return o ? &o->pub : NULL;
}

void informer_store_each(const struct informer_store *s,
                         void (*fn)(const struct informer_object *o, void *arg), void *arg)
{
	MAP_FOREACH (&s->objects, slot)
		fn(&((struct object *)slot->value)->pub, arg);
}
