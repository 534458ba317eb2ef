/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/test_parts.h"

struct dealer {
	struct rng *rng;
	struct arena *a;
};

static bool is_key(struct field_type list, const char *name)
{
	const char *keys[FIELD_TYPE_KEYS_MAX];
	size_t n = field_type_keys(list, keys);

	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i], name) == 0)
			return true;
	return false;
}

static struct halves deal(struct dealer *d, const struct jvalue *v, struct field_type t);

static void deal_member(struct dealer *d, const char *name, const struct jvalue *v,
                        struct field_type t, struct halves *h)
{
	struct halves part = deal(d, v, t);

	if (part.left)
		jvalue_set(d->a, h->left, name, part.left);
	if (part.right)
		jvalue_set(d->a, h->right, name, part.right);
}

/* `keyed`: the list that it is an item of, whose keys both halves need. */
static struct halves deal_object(struct dealer *d, const struct jvalue *v, struct field_type t,
                                 const struct field_type *keyed)
{
	struct halves h = {jvalue_object(d->a), jvalue_object(d->a)};
	struct field_type of;
	bool left = false, right = false;

	for (uint32_t i = 0; i < v->n; i++) {
		const char *name = v->members[i].key;

		if (keyed && is_key(*keyed, name)) {
			jvalue_set(d->a, h.left, name, v->members[i].value);
			jvalue_set(d->a, h.right, name, v->members[i].value);
			continue;
		}
		field_type_member(t, slice_str(name), &of);
		deal_member(d, name, v->members[i].value, of, &h);
		left |= jvalue_get(h.left, name) != NULL;
		right |= jvalue_get(h.right, name) != NULL;
	}
	/* An item with nothing but its keys is dealt out like a scalar. */
	if (!left && !right) {
		left = rng_below(d->rng, 2);
		right = !left;
	}
	return (struct halves){left ? h.left : NULL, right ? h.right : NULL};
}

static struct halves deal_list(struct dealer *d, const struct jvalue *v, struct field_type t)
{
	struct halves h = {jvalue_array(d->a), jvalue_array(d->a)}, part;

	for (uint32_t i = 0; i < v->n; i++) {
		if (t.set || field_type_item(t).atomic) {
			bool left = rng_below(d->rng, 2);
			part =
			    (struct halves){left ? v->items[i] : NULL, left ? NULL : v->items[i]};
		} else {
			part = deal_object(d, v->items[i], field_type_item(t), &t);
		}
		if (part.left)
			jvalue_append(d->a, h.left, part.left);
		if (part.right)
			jvalue_append(d->a, h.right, part.right);
	}
	return (struct halves){h.left->n ? h.left : NULL, h.right->n ? h.right : NULL};
}

static struct halves deal(struct dealer *d, const struct jvalue *v, struct field_type t)
{
	bool left = rng_below(d->rng, 2);
	struct jvalue *whole = jvalue_copy(d->a, v);

	t = field_type_deduce(t, value_of_tree(v, d->a));
	if (!t.atomic && v->kind == JVALUE_OBJECT && v->n)
		return deal_object(d, v, t, NULL);
	if (!t.atomic && v->kind == JVALUE_ARRAY && v->n)
		return deal_list(d, v, t);
	return (struct halves){left ? whole : NULL, left ? NULL : whole};
}

struct halves test_halves(const struct jvalue *doc, struct field_type root, struct rng *rng,
                          struct arena *a)
{
	struct dealer dealer = {rng, a}, *d = &dealer;
	static const char *const both[] = {"apiVersion", "kind"};
	struct halves h = deal_object(d, doc, root, NULL);
	struct jvalue *parts[] = {h.left ? h.left : jvalue_object(d->a),
	                          h.right ? h.right : jvalue_object(d->a)};

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < ARRAY_LEN(both); j++)
			jvalue_set(d->a, parts[i], both[j], jvalue_get(doc, both[j]));
		if (!jvalue_get(parts[i], "metadata"))
			jvalue_set(d->a, parts[i], "metadata", jvalue_object(d->a));
		jvalue_set(d->a, jvalue_get(parts[i], "metadata"), "name", jvalue_str(d->a, "x"));
	}
	return (struct halves){parts[0], parts[1]};
}
