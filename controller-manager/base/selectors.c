/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/selectors.h"

#include <string.h>

#include "common/base/vec.h"
#include "common/client/meta_peek.h"

enum { META = 1, META_LABELS = 11, SERVICE_SPEC = 2, SPEC_SELECTOR = 2, KEY = 1, VALUE = 2 };

struct service_selector {
	char *key; /* of the Service */
	struct arena arena;
	struct label_selector selector;
};

struct ns_services {
	VEC(struct service_selector *) at;
};

/* The pairs of a map field. */
static struct label_set pairs_of(struct slice message, uint32_t field, struct arena *a)
{
	struct pb_field f;
	size_t n = 0;
	for (struct slice m = message; pb_next_field(&m, &f) == 1;)
		n += f.number == field;
	struct label_pair *at = arena_array(a, struct label_pair, n);
	n = 0;
	while (pb_next_field(&message, &f) == 1)
		if (f.number == field) {
			struct slice k = pb_peek_path(f.bytes, KEY),
			             v = pb_peek_path(f.bytes, VALUE);
			at[n++] = (struct label_pair){arena_strndup(a, k.data, k.len),
			                              arena_strndup(a, v.data, v.len)};
		}
	return (struct label_set){at, n};
}

struct label_set object_labels(const struct informer_object *o, struct arena *a)
{
	return pairs_of(pb_peek_path(o->bytes, META), META_LABELS, a);
}

static void selector_free(struct service_selector *x)
{
	arena_deinit(&x->arena);
	free(x->key);
	free(x);
}

void service_selectors_deinit(struct service_selectors *s)
{
	MAP_FOREACH (&s->by_ns, it) {
		struct ns_services *ns = it->value;
		VEC_FOREACH (&ns->at, x)
			selector_free(*x);
		vec_deinit(&ns->at);
		free(ns);
	}
	map_deinit(&s->by_ns);
}

void service_selectors_del(struct service_selectors *s, const struct informer_object *service)
{
	struct ns_services *ns = map_get_str(&s->by_ns, service->ns);
	for (size_t i = 0; ns && i < ns->at.n; i++)
		if (!strcmp(ns->at.at[i]->key, service->key)) {
			selector_free(ns->at.at[i]);
			vec_swap_remove(&ns->at, i);
			return;
		}
}

void service_selectors_put(struct service_selectors *s, const struct informer_object *service)
{
	service_selectors_del(s, service);
	struct service_selector *x = calloc(1, sizeof(*x));
	if (!x || !(x->key = strdup(service->key)))
		abort();
	struct label_set set =
	    pairs_of(pb_peek_path(service->bytes, SERVICE_SPEC), SPEC_SELECTOR, &x->arena);
	if (!set.n) {
		selector_free(x);
		return;
	}
	x->selector = label_selector_from_set(&set, &x->arena);
	struct ns_services *ns = map_get_str(&s->by_ns, service->ns);
	if (!ns) {
		ns = calloc(1, sizeof(*ns));
		if (!ns)
			abort();
		map_put_str(&s->by_ns, service->ns, ns);
	}
	*vec_push(&ns->at) = x;
}

void service_selectors_match(const struct service_selectors *s, const struct informer_object *pod,
                             void (*fn)(const char *key, void *arg), void *arg)
{
	_cleanup_arena_ struct arena a = {0};
	const struct ns_services *ns = map_get_str(&s->by_ns, pod->ns);
	if (!ns)
		return;
	struct label_set labels = object_labels(pod, &a);
	VEC_FOREACH (&ns->at, x)
		if (label_selector_match_set(&(*x)->selector, &labels))
			fn((*x)->key, arg);
}
