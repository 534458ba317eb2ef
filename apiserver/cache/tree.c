/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/tree.h"

#include <assert.h>

enum { NODE_MAX = 32, NODE_MIN = 8 };

/* A node is one's own to change while it has one reference and all its ancestors do: copying a
 * shared node gives each of its children one more reference, so that going down from the root and
 * copying what is shared meets every case. */
struct cache_node {
	atomic_uint refs;
	uint16_t n;
	bool leaf;
	struct cache_sum sum; /* of the objects below */
	union {
		struct cache_object *object;
		struct cache_node *child;
	} at[NODE_MAX];
	/* Inner nodes: the lowest object below each child, borrowed from it. */
	const struct cache_object *low[];
};

static void sum_add(struct cache_sum *s, struct cache_sum more)
{
	s->count += more.count;
	s->weight += more.weight;
}

static void sum_sub(struct cache_sum *s, struct cache_sum less)
{
	s->count -= less.count;
	s->weight -= less.weight;
}

static struct cache_sum sum_of(const struct cache_object *o)
{
	return (struct cache_sum){1, o->weight};
}

static struct cache_node *node_new(bool leaf)
{
	size_t low_bytes = leaf ? 0 : NODE_MAX * sizeof(const struct cache_object *);
	struct cache_node *n = malloc(sizeof(*n) + low_bytes);

	if (!n)
		abort();
	n->refs = 1;
	n->n = 0;
	n->leaf = leaf;
	n->sum = (struct cache_sum){0};
	return n;
}

static void node_ref(struct cache_node *n)
{
	atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
}

static void node_unref(struct cache_node *n)
{
	if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < n->n; i++) {
		if (n->leaf)
			cache_object_unref(n->at[i].object);
		else
			node_unref(n->at[i].child);
	}
	free(n);
}

/* Makes the node in the slot the tree's own, copying it when a snapshot shares it. */
static struct cache_node *node_own(struct cache_node **slot)
{
	struct cache_node *n = *slot, *copy;

	if (atomic_load_explicit(&n->refs, memory_order_acquire) == 1)
		return n;
	copy = node_new(n->leaf);
	copy->n = n->n;
	copy->sum = n->sum;
	memcpy(copy->at, n->at, n->n * sizeof(n->at[0]));
	if (!n->leaf)
		memcpy(copy->low, n->low, n->n * sizeof(n->low[0]));
	for (unsigned i = 0; i < n->n; i++) {
		if (n->leaf)
			cache_object_ref(n->at[i].object);
		else
			node_ref(n->at[i].child);
	}
	node_unref(n);
	return *slot = copy;
}

static const struct cache_object *node_low(const struct cache_node *n)
{
	return n->leaf ? n->at[0].object : n->low[0];
}

/* First object of a leaf with a key >= key; *ret_equal when it is that key. */
static unsigned leaf_find(const struct cache_node *n, struct slice key, bool *ret_equal)
{
	unsigned lo = 0, hi = n->n;

	*ret_equal = false;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int r = slice_cmp(cache_object_key(n->at[mid].object), key);

		if (r == 0) {
			*ret_equal = true;
			return mid;
		}
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The child that holds the key if anything does: the last one whose low is <= key, or the first. */
static unsigned inner_find(const struct cache_node *n, struct slice key)
{
	unsigned lo = 1, hi = n->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (slice_cmp(cache_object_key(n->low[mid]), key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

static struct cache_sum slot_sum(const struct cache_node *n, unsigned i)
{
	return n->leaf ? sum_of(n->at[i].object) : n->at[i].child->sum;
}

/* Moves `n` slots from from[i...] to to[j...], which are different nodes; makes room and closes. */
static void slots_move(struct cache_node *to, unsigned j, struct cache_node *from, unsigned i,
                       unsigned n)
{
	struct cache_sum sum = {0};

	for (unsigned k = i; k < i + n; k++)
		sum_add(&sum, slot_sum(from, k));
	memmove(&to->at[j + n], &to->at[j], (to->n - j) * sizeof(to->at[0]));
	memcpy(&to->at[j], &from->at[i], n * sizeof(to->at[0]));
	memmove(&from->at[i], &from->at[i + n], (from->n - i - n) * sizeof(to->at[0]));
	if (!to->leaf) {
		memmove(&to->low[j + n], &to->low[j], (to->n - j) * sizeof(to->low[0]));
		memcpy(&to->low[j], &from->low[i], n * sizeof(to->low[0]));
		memmove(&from->low[i], &from->low[i + n], (from->n - i - n) * sizeof(to->low[0]));
	}
	to->n += n;
	from->n -= n;
	sum_add(&to->sum, sum);
	sum_sub(&from->sum, sum);
}

static void leaf_insert(struct cache_node *n, unsigned i, struct cache_object *o)
{
	memmove(&n->at[i + 1], &n->at[i], (n->n - i) * sizeof(n->at[0]));
	n->at[i].object = cache_object_ref(o);
	n->n++;
	sum_add(&n->sum, sum_of(o));
}

static void inner_insert(struct cache_node *n, unsigned i, struct cache_node *child)
{
	memmove(&n->at[i + 1], &n->at[i], (n->n - i) * sizeof(n->at[0]));
	memmove(&n->low[i + 1], &n->low[i], (n->n - i) * sizeof(n->low[0]));
	n->at[i].child = child;
	n->low[i] = node_low(child);
	n->n++;
	sum_add(&n->sum, child->sum);
}

/* Splits a full node before slot i is inserted. Appending at the end leaves the left one full, so
 * that loading in key order packs the tree. Returns the right one. */
static struct cache_node *node_split(struct cache_node *n, unsigned i)
{
	struct cache_node *right = node_new(n->leaf);

	if (i < NODE_MAX)
		slots_move(right, 0, n, NODE_MAX / 2, NODE_MAX - NODE_MAX / 2);
	return right;
}

struct put_result {
	struct cache_object *old;
	struct cache_node *split; /* a new right sibling of the node */
};

static void leaf_put(struct cache_node *n, struct cache_object *o, struct put_result *ret)
{
	bool equal;
	unsigned i = leaf_find(n, cache_object_key(o), &equal);

	if (equal) {
		ret->old = n->at[i].object;
		n->at[i].object = cache_object_ref(o);
		sum_sub(&n->sum, sum_of(ret->old));
		sum_add(&n->sum, sum_of(o));
		return;
	}
	if (n->n == NODE_MAX) {
		ret->split = node_split(n, i);
		if (i > n->n || n->n == NODE_MAX) {
			i -= n->n;
			n = ret->split;
		}
	}
	leaf_insert(n, i, o);
}

static void node_put(struct cache_node **slot, struct cache_object *o, struct put_result *ret)
{
	struct cache_node *n = node_own(slot);

	if (n->leaf) {
		leaf_put(n, o, ret);
		return;
	}
	unsigned i = inner_find(n, cache_object_key(o));
	struct put_result below = {0};

	sum_sub(&n->sum, n->at[i].child->sum);
	node_put(&n->at[i].child, o, &below);
	sum_add(&n->sum, n->at[i].child->sum);
	n->low[i] = node_low(n->at[i].child);
	ret->old = below.old;
	if (!below.split)
		return;
	i++;
	if (n->n == NODE_MAX) {
		ret->split = node_split(n, i);
		if (i > n->n || n->n == NODE_MAX) {
			i -= n->n;
			n = ret->split;
		}
	}
	inner_insert(n, i, below.split);
}

struct cache_object *cache_tree_put(struct cache_tree *t, struct cache_object *o)
{
	struct put_result r = {0};

	if (!t->root)
		t->root = node_new(true);
	node_put(&t->root, o, &r);
	if (r.split) {
		struct cache_node *root = node_new(false);

		inner_insert(root, 0, t->root);
		inner_insert(root, 1, r.split);
		t->root = root;
	}
	return r.old;
}

static void inner_remove(struct cache_node *n, unsigned i)
{
	memmove(&n->at[i], &n->at[i + 1], (n->n - i - 1u) * sizeof(n->at[0]));
	memmove(&n->low[i], &n->low[i + 1], (n->n - i - 1u) * sizeof(n->low[0]));
	n->n--;
}

/* Child i of n has few slots left: joins it with a neighbour, or takes some of the neighbour's. */
static void inner_rebalance(struct cache_node *n, unsigned i)
{
	unsigned l = i ? i - 1 : 0, r = l + 1;

	if (n->n < 2)
		return;
	struct cache_node *left = node_own(&n->at[l].child);
	struct cache_node *right = node_own(&n->at[r].child);
	unsigned sum = left->n + right->n;

	if (sum <= NODE_MAX) {
		slots_move(left, left->n, right, 0, right->n);
		inner_remove(n, r);
		node_unref(right);
	} else if (left->n < sum / 2) {
		slots_move(left, left->n, right, 0, sum / 2 - left->n);
	} else {
		unsigned give = left->n - sum / 2;

		slots_move(right, 0, left, left->n - give, give);
	}
	n->low[l] = node_low(left);
	if (r < n->n)
		n->low[r] = node_low(n->at[r].child);
}

static struct cache_object *node_del(struct cache_node **slot, struct slice key)
{
	struct cache_node *n = node_own(slot);

	if (n->leaf) {
		bool equal;
		unsigned i = leaf_find(n, key, &equal);
		struct cache_object *old = n->at[i].object;

		assert(equal);
		memmove(&n->at[i], &n->at[i + 1], (n->n - i - 1u) * sizeof(n->at[0]));
		n->n--;
		sum_sub(&n->sum, sum_of(old));
		return old;
	}
	unsigned i = inner_find(n, key);
	struct cache_object *old = node_del(&n->at[i].child, key);
	struct cache_node *child = n->at[i].child;

	sum_sub(&n->sum, sum_of(old));
	if (child->n == 0) {
		inner_remove(n, i);
		node_unref(child);
		return old;
	}
	n->low[i] = node_low(child);
	if (child->n < NODE_MIN)
		inner_rebalance(n, i);
	return old;
}

struct cache_object *cache_tree_del(struct cache_tree *t, struct slice key)
{
	if (!cache_tree_get(t, key))
		return NULL;
	struct cache_object *old = node_del(&t->root, key);

	while (t->root && (t->root->n == 0 || (!t->root->leaf && t->root->n == 1))) {
		struct cache_node *root = t->root;

		t->root = root->n ? root->at[0].child : NULL;
		root->n = 0;
		node_unref(root);
	}
	return old;
}

struct cache_object *cache_tree_get(const struct cache_tree *t, struct slice key)
{
	const struct cache_node *n = t->root;
	bool equal;

	if (!n)
		return NULL;
	while (!n->leaf)
		n = n->at[inner_find(n, key)].child;
	unsigned i = leaf_find(n, key, &equal);

	return equal ? n->at[i].object : NULL;
}

struct cache_sum cache_tree_sum(const struct cache_tree *t)
{
	return t->root ? t->root->sum : (struct cache_sum){0};
}

struct cache_sum cache_tree_sum_below(const struct cache_tree *t, struct slice key)
{
	const struct cache_node *n = t->root;
	struct cache_sum sum = {0};
	bool equal;

	while (n) {
		unsigned i = n->leaf ? leaf_find(n, key, &equal) : inner_find(n, key);

		for (unsigned k = 0; k < i; k++)
			sum_add(&sum, slot_sum(n, k));
		n = n->leaf ? NULL : n->at[i].child;
	}
	return sum;
}

struct cache_tree cache_tree_snapshot(const struct cache_tree *t)
{
	if (t->root)
		node_ref(t->root);
	return *t;
}

void cache_tree_deinit(struct cache_tree *t)
{
	node_unref(t->root);
	t->root = NULL;
}

void cache_cursor_seek(struct cache_cursor *c, const struct cache_tree *t, struct slice key)
{
	const struct cache_node *n = t->root;
	bool equal;

	c->depth = -1;
	if (!n)
		return;
	for (;;) {
		assert(c->depth + 1 < CACHE_TREE_DEPTH_MAX);
		c->depth++;
		c->node[c->depth] = n;
		c->at[c->depth] =
		    (uint16_t)(n->leaf ? leaf_find(n, key, &equal) : inner_find(n, key));
		if (n->leaf)
			return;
		n = n->at[c->at[c->depth]].child;
	}
}

/* The leaf is used up: goes to the next one. */
static void cursor_climb(struct cache_cursor *c)
{
	while (--c->depth >= 0) {
		const struct cache_node *n = c->node[c->depth];

		if (c->at[c->depth] + 1u >= n->n)
			continue;
		c->at[c->depth]++;
		do {
			n = n->at[c->at[c->depth]].child;
			c->depth++;
			c->node[c->depth] = n;
			c->at[c->depth] = 0;
		} while (!n->leaf);
		return;
	}
}

struct cache_object *cache_cursor_next(struct cache_cursor *c)
{
	while (c->depth >= 0) {
		const struct cache_node *leaf = c->node[c->depth];

		if (c->at[c->depth] < leaf->n)
			return leaf->at[c->at[c->depth]++].object;
		cursor_climb(c);
	}
	return NULL;
}

/* The height of a valid subtree, or -1. */
static int node_height(const struct cache_node *n, const struct cache_object **last)
{
	struct cache_sum sum = {0};
	int height = 0;

	if (n->n == 0 || n->n > NODE_MAX)
		return -1;
	for (unsigned i = 0; i < n->n; i++) {
		if (n->leaf) {
			const struct cache_object *o = n->at[i].object;

			if (*last && slice_cmp(cache_object_key(*last), cache_object_key(o)) >= 0)
				return -1;
			*last = o;
			sum_add(&sum, sum_of(o));
			continue;
		}
		const struct cache_node *child = n->at[i].child;
		int h = n->low[i] == node_low(child) ? node_height(child, last) : -1;

		if (h < 0 || (i && h + 1 != height))
			return -1;
		height = h + 1;
		sum_add(&sum, child->sum);
	}
	return sum.count == n->sum.count && sum.weight == n->sum.weight ? height : -1;
}

bool cache_tree_valid(const struct cache_tree *t)
{
	const struct cache_object *last = NULL;

	return !t->root || node_height(t->root, &last) >= 0;
}
