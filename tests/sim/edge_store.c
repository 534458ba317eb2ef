/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine's tables in memory, in the place of raftstore/store: transactions, checkpoints
 * that alone survive a crash, copies and their installation. Each commit tells the checkers. */
#include <assert.h>
#include "common/base/buf.h"
#include "tests/sim/check.h"
#include "tests/sim/edges.h"

struct item {
	unsigned refs;
	struct slice key, value;
	uint8_t bytes[];
};

struct table {
	struct item **at;
	size_t n, cap;
};

struct tables {
	struct table table[KV_TABLES];
	struct state_hash state;
};

/* What survives: the tables of the newest checkpoint. */
struct store_disk {
	struct tables durable;
	struct store_mark mark;
	bool full;
	unsigned failing;
};

struct undo {
	enum kv_table table;
	struct item *old; /* NULL: there was none */
	struct slice key; /* of the new one */
	struct item *now;
};

struct store {
	struct store_disk *disk;
	struct tables now, pinned;
	bool pinning;
	struct store_mark pinned_mark;
	struct buf received;
	bool writing;
};

struct txn {
	struct kv_txn kv;
	struct store *store;
	struct tables *tables;
	bool write;
	VEC(struct undo) undo;
	VEC(struct item *) held; /* slices of them may be in use until the end */
	struct state_hash before;
};

struct store_copy {
	struct buf bytes;
};

/* --- items and tables --- */

static struct item *item_new(struct slice key, struct slice value)
{
	struct item *i = malloc(sizeof(*i) + key.len + value.len);
	i->refs = 1;
	i->key = slice_of(i->bytes, key.len);
	i->value = slice_of(i->bytes + key.len, value.len);
	if (key.len)
		memcpy(i->bytes, key.data, key.len);
	if (value.len)
		memcpy(i->bytes + key.len, value.data, value.len);
	return i;
}

static void item_drop(struct item *i, unsigned refs)
{
	if (!i)
		return;
	i->refs -= refs;
	if (!i->refs)
		free(i);
}

static void item_unref(struct item *i)
{
	item_drop(i, 1);
}

static size_t lower_bound(const struct table *t, struct slice key)
{
	size_t from = 0, to = t->n;
	/* Revisions come in order. */
	if (to && slice_cmp(t->at[to - 1]->key, key) < 0)
		return to;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (slice_cmp(t->at[mid]->key, key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static bool is_at(const struct table *t, size_t i, struct slice key)
{
	return i < t->n && slice_eq(t->at[i]->key, key);
}

static void table_insert(struct table *t, size_t i, struct item *it)
{
	vec_reserve(t, 1);
	memmove(t->at + i + 1, t->at + i, (t->n - i) * sizeof(it));
	t->at[i] = it;
	t->n++;
}

static void tables_clear(struct tables *t)
{
	for (int k = 0; k < KV_TABLES; k++) {
		VEC_FOREACH (&t->table[k], i)
			item_unref(*i);
		vec_deinit(&t->table[k]);
	}
	memset(t, 0, sizeof(*t));
}

static void tables_copy(struct tables *to, const struct tables *from)
{
	tables_clear(to);
	for (int k = 0; k < KV_TABLES; k++) {
		const struct table *f = &from->table[k];
		vec_reserve(&to->table[k], f->n);
		for (size_t i = 0; i < f->n; i++) {
			to->table[k].at[i] = f->at[i];
			f->at[i]->refs++;
		}
		to->table[k].n = f->n;
	}
	to->state = from->state;
}

/* --- transactions --- */

static struct txn *txn_of(struct kv_txn *t)
{
	return CONTAINER_OF(t, struct txn, kv);
}

static int txn_get(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice *ret)
{
	const struct table *t = &txn_of(kv)->tables->table[table];
	size_t i = lower_bound(t, key);
	if (!is_at(t, i, key))
		return -ERR_NOT_FOUND;
	*ret = t->at[i]->value;
	return 0;
}

static int txn_put(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice value)
{
	struct txn *x = txn_of(kv);
	struct table *t = &x->tables->table[table];
	struct item *it = item_new(key, value);
	struct undo u = {.table = table, .key = it->key, .now = it};
	it->refs++; /* the undo's */
	size_t i = lower_bound(t, key);
	if (is_at(t, i, key)) {
		u.old = t->at[i];
		t->at[i] = it;
	} else {
		table_insert(t, i, it);
	}
	*vec_push(&x->undo) = u;
	state_hash_put(&x->tables->state, table, it->key, it->value);
	return 0;
}

static int txn_del(struct kv_txn *kv, enum kv_table table, struct slice key)
{
	struct txn *x = txn_of(kv);
	struct table *t = &x->tables->table[table];
	size_t i = lower_bound(t, key);
	if (!is_at(t, i, key))
		return -ERR_NOT_FOUND;
	struct undo u = {.table = table, .old = t->at[i], .key = t->at[i]->key};
	vec_remove(t, i);
	*vec_push(&x->undo) = u;
	state_hash_del(&x->tables->state, table, u.key);
	return 0;
}

static int cursor_show(struct kv_cursor *c, size_t i)
{
	const struct table *t = &txn_of(c->txn)->tables->table[c->table];
	c->state[0] = (void *)(uintptr_t)i;
	if (i >= t->n)
		return -ERR_NOT_FOUND;
	c->key = t->at[i]->key;
	c->value = t->at[i]->value;
	return 0;
}

static int cursor_open(struct kv_cursor *c)
{
	c->state[0] = (void *)(uintptr_t)txn_of(c->txn)->tables->table[c->table].n;
	return 0;
}

static void cursor_close(struct kv_cursor *c)
{
}

static int cursor_seek(struct kv_cursor *c, struct slice key)
{
	return cursor_show(c, lower_bound(&txn_of(c->txn)->tables->table[c->table], key));
}

static int cursor_next(struct kv_cursor *c)
{
	size_t i = (uintptr_t)c->state[0], n = txn_of(c->txn)->tables->table[c->table].n;
	return cursor_show(c, MIN(i + 1, n));
}

static int cursor_prev(struct kv_cursor *c)
{
	size_t i = (uintptr_t)c->state[0];
	return i ? cursor_show(c, i - 1) : -ERR_NOT_FOUND;
}

static const struct kv_ops ops = {
    .get = txn_get,
    .put = txn_put,
    .del = txn_del,
    .cursor_open = cursor_open,
    .cursor_close = cursor_close,
    .cursor_seek = cursor_seek,
    .cursor_next = cursor_next,
    .cursor_prev = cursor_prev,
};

int store_begin(struct store *s, bool write, struct kv_txn **ret)
{
	struct txn *x = calloc(1, sizeof(*x));
	x->kv.ops = &ops;
	x->store = s;
	x->tables = &s->now;
	x->write = write;
	x->before = s->now.state;
	assert(!write || !s->writing);
	s->writing |= write;
	*ret = &x->kv;
	return 0;
}

static void txn_free(struct txn *x)
{
	VEC_FOREACH (&x->undo, u) {
		item_unref(u->old);
		item_unref(u->now);
	}
	vec_deinit(&x->undo);
	if (x->write)
		x->store->writing = false;
	free(x);
}

static void roll_back(struct txn *x)
{
	while (x->undo.n) {
		struct undo u = vec_pop(&x->undo);
		struct table *t = &x->tables->table[u.table];
		size_t i = lower_bound(t, u.key);
		if (u.now && u.old)
			t->at[i] = u.old;
		else if (u.now)
			vec_remove(t, i);
		else
			table_insert(t, i, u.old);
		item_drop(u.now, 2); /* the table's and the undo's */
	}
	x->tables->state = x->before;
}

int store_commit(struct kv_txn *kv, struct err *err)
{
	struct txn *x = txn_of(kv);
	struct store *s = x->store;
	member_disk_operation(sim_member(), 0, false);
	if (s->disk->full && x->undo.n) {
		roll_back(x);
		txn_free(x);
		return err_set(err, ERR_NO_SPACE, "cannot commit: No space left on device");
	}
	sim.stats.commits++;
	VEC_FOREACH (&x->undo, u)
		if (u->table == KV_REV && u->now)
			check_change(sim_member(), u->now->key, u->now->value);
	check_commit(sim_member(), kv, &s->now.state);
	txn_free(x);
	return 0;
}

void store_end(struct kv_txn *kv)
{
	if (!kv)
		return;
	struct txn *x = txn_of(kv);
	roll_back(x);
	txn_free(x);
}

/* --- life --- */

struct store_disk *store_disk_new(void)
{
	return calloc(1, sizeof(struct store_disk));
}

/* Checkpoints replace each other atomically: a power cut changes nothing. */
void store_disk_crash(struct store_disk *d)
{
	d->failing = 0;
}

void store_disk_set_full(struct store_disk *d, bool full)
{
	d->full = full;
}

struct store_mark store_disk_mark(const struct store_disk *d)
{
	return d->mark;
}

void store_disk_set_failing(struct store_disk *d, unsigned syncs)
{
	d->failing = syncs;
}

int store_open(const struct store_options *o, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	s->disk = sim_member()->store;
	tables_copy(&s->now, &s->disk->durable);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	tables_clear(&s->now);
	tables_clear(&s->pinned);
	free(s);
}

struct store_mark store_durable(struct store *s)
{
	return s->disk->mark;
}

void store_write_out(struct store *s)
{
}

int store_checkpoint_begin(struct store *s, struct store_mark mark)
{
	if (s->pinning)
		return -ERR_TOO_MANY_REQUESTS;
	tables_copy(&s->pinned, &s->now);
	s->pinned_mark = mark;
	s->pinning = true;
	return 0;
}

int store_checkpoint_finish(struct store *s, struct err *err)
{
	member_disk_operation(sim_member(), 1 << 20, true);
	s->pinning = false;
	if (s->disk->failing) {
		s->disk->failing--;
		return err_set(err, ERR_IO, "cannot sync the tables");
	}
	if (s->disk->full && sim_chance(500))
		return err_set(err, ERR_NO_SPACE, "cannot write the checkpoint");
	tables_copy(&s->disk->durable, &s->pinned);
	s->disk->mark = s->pinned_mark;
	member_disk_operation(sim_member(), 0, true);
	return 0;
}

void store_sizes(struct store *s, struct store_sizes *ret)
{
	*ret = (struct store_sizes){.file_bytes = store_file_bytes(s)};
	ret->used_bytes = ret->file_bytes;
}

uint64_t store_file_bytes(struct store *s)
{
	return 4096 + s->now.table[KV_REV].n * 100;
}

int store_defragment_begin(struct store *s, struct err *err)
{
	return 0;
}

int store_defragment_copy(struct store *s, struct err *err)
{
	return 0;
}

int store_defragment_end(struct store *s, bool wait, struct err *err)
{
	assert(!s->pinning);
	return 0;
}

void store_defragment_abort(struct store *s)
{
}

int store_copy(struct store *s, const char *path, struct err *err)
{
	return err_set(err, ERR_IO, "no such file");
}

/* --- copies: the state's hash, then each table as a count and its items --- */

static void out_bytes_of(struct buf *b, const void *p, size_t n)
{
	uint32_t len = (uint32_t)n;
	buf_add(b, &len, sizeof(len));
	buf_add(b, p, n);
}

int store_copy_new(struct store *s, int (*look)(void *arg, struct kv_txn *kv), void *arg,
                   struct store_copy **ret, struct err *err)
{
	member_disk_operation(sim_member(), 1 << 20, true);
	struct kv_txn *kv;
	ERR_IGNORE(store_begin(s, false, &kv)); /* it does not fail */
	int r = look ? look(arg, kv) : 0;
	store_end(kv);
	if (r < 0)
		return r;
	struct store_copy *c = calloc(1, sizeof(*c));
	c->bytes = BUF_INIT;
	buf_add(&c->bytes, &s->now.state, sizeof(s->now.state));
	for (int k = 0; k < KV_TABLES; k++) {
		uint32_t n = (uint32_t)s->now.table[k].n;
		buf_add(&c->bytes, &n, sizeof(n));
		VEC_FOREACH (&s->now.table[k], i) {
			out_bytes_of(&c->bytes, (*i)->key.data, (*i)->key.len);
			out_bytes_of(&c->bytes, (*i)->value.data, (*i)->value.len);
		}
	}
	sim.stats.snapshots++;
	*ret = c;
	return 0;
}

void store_copy_free(struct store_copy *c)
{
	if (!c)
		return;
	buf_deinit(&c->bytes);
	free(c);
}

uint64_t store_copy_bytes(const struct store_copy *c)
{
	return c->bytes.len;
}

int store_copy_read(const struct store_copy *c, uint64_t offset, void *to, size_t len,
                    struct err *err)
{
	if (offset + len > c->bytes.len)
		return err_set(err, ERR_IO, "cannot read behind the end of a copy");
	memcpy(to, c->bytes.data + offset, len);
	return 0;
}

int store_receive_begin(struct store *s, struct err *err)
{
	buf_clear(&s->received);
	return 0;
}

int store_receive_write(struct store *s, uint64_t offset, struct slice bytes, struct err *err)
{
	member_disk_operation(sim_member(), bytes.len, false);
	if (s->disk->full)
		return err_set(err, ERR_NO_SPACE, "cannot write what is received");
	if (offset > s->received.len)
		return err_set(err, ERR_INTERNAL, "a gap in what is received");
	s->received.len = offset;
	buf_add(&s->received, bytes.data, bytes.len);
	return 0;
}

static bool in_bytes(struct slice *in, void *p, size_t n)
{
	if (in->len < n)
		return false;
	memcpy(p, in->data, n);
	*in = slice_skip(*in, n);
	return true;
}

static bool in_slice(struct slice *in, struct slice *ret)
{
	uint32_t n;
	if (!in_bytes(in, &n, sizeof(n)) || in->len < n)
		return false;
	*ret = slice_of(in->data, n);
	*in = slice_skip(*in, n);
	return true;
}

static bool tables_decode(struct tables *t, struct slice in)
{
	if (!in_bytes(&in, &t->state, sizeof(t->state)))
		return false;
	for (int k = 0; k < KV_TABLES; k++) {
		uint32_t n;
		if (!in_bytes(&in, &n, sizeof(n)))
			return false;
		for (uint32_t i = 0; i < n; i++) {
			struct slice key, value;
			if (!in_slice(&in, &key) || !in_slice(&in, &value))
				return false;
			*vec_push(&t->table[k]) = item_new(key, value);
		}
	}
	return !in.len;
}

int store_install(struct store *s, struct store_mark mark,
                  int (*adopt)(void *arg, struct kv_txn *kv), void *arg, struct err *err)
{
	struct tables got = {0}, old = s->now;
	assert(!s->writing && !s->pinning);
	member_disk_operation(sim_member(), s->received.len, true);
	if (!tables_decode(&got, buf_view(&s->received)))
		return err_set(err, ERR_CORRUPT, "these are no tables");
	s->now = got;
	struct kv_txn *kv;
	ERR_IGNORE(store_begin(s, true, &kv)); /* it does not fail */
	int r = adopt ? adopt(arg, kv) : 0;
	if (r) {
		store_end(kv);
		tables_clear(&s->now);
		s->now = old;
		return r;
	}
	txn_free(txn_of(kv));
	check_install(sim_member(), mark.index, &s->now.state);
	tables_copy(&s->disk->durable, &s->now);
	s->disk->mark = mark;
	tables_clear(&old);
	buf_clear(&s->received);
	/* A crash after this moment finds it. */
	member_disk_operation(sim_member(), 0, true);
	return 0;
}
