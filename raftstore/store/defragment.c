/* SPDX-License-Identifier: Apache-2.0 */
/* Defragmenting while transactions go on. The writer notes which keys its committed transactions
 * have changed; another thread copies what is live into the next generation, and then what was
 * noted meanwhile, until little is left; the writer brings over that little and swaps. The new file
 * counts from the next checkpoint on: until that is durable the old one, to which nothing is
 * written any more, stays what a crash goes back to. */
#include "raftstore/store/internal.h"

enum {
	NOTE_HEAD_BYTES = 3, /* table, key bytes */
	LITTLE_BYTES = 32 << 10,
	ROUNDS_MAX = 100,
};

void note_change(struct buf *notes, enum kv_table table, struct slice key)
{
	uint16_t n = (uint16_t)key.len;
	buf_byte(notes, (uint8_t)table);
	buf_add(notes, &n, sizeof(n));
	buf_slice(notes, key);
}

void notes_commit(struct store *s, struct buf *notes)
{
	if (!s->noting || !notes->len)
		return;
	pthread_mutex_lock(&s->lock);
	buf_slice(&s->notes, buf_view(notes));
	pthread_mutex_unlock(&s->lock);
}

static struct buf notes_take(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct buf b = s->notes;
	s->notes = BUF_INIT;
	pthread_mutex_unlock(&s->lock);
	return b;
}

/* Makes the key in `to` what it is in `from`. */
static int bring_key(struct store *s, MDB_txn *from, MDB_txn *to, unsigned table, MDB_val k)
{
	MDB_val v;
	int r = mdb_get(from, s->tables[table], &k, &v);
	if (!r)
		return mdb_put(to, s->fresh->tables[table], &k, &v, 0);
	if (r != MDB_NOTFOUND)
		return r;
	r = mdb_del(to, s->fresh->tables[table], &k, NULL);
	return r == MDB_NOTFOUND ? 0 : r;
}

static int bring_all(struct store *s, MDB_txn *from, MDB_txn *to, struct slice notes)
{
	int r = 0;
	while (!r && notes.len >= NOTE_HEAD_BYTES) {
		uint16_t n;
		memcpy(&n, notes.data + 1, sizeof(n));
		MDB_val k = {n, (void *)(notes.data + NOTE_HEAD_BYTES)};
		r = bring_key(s, from, to, notes.data[0], k);
		notes = slice_skip(notes, NOTE_HEAD_BYTES + (size_t)n);
	}
	return r;
}

/* What was noted before is committed, so that a transaction that begins now sees it. */
static int bring_noted(struct store *s, size_t *ret_bytes)
{
	_cleanup_buf_ struct buf notes = notes_take(s);
	MDB_txn *from = NULL, *to = NULL;
	*ret_bytes = notes.len;
	if (!notes.len)
		return 0;
	int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &from);
	if (!r)
		r = mdb_txn_begin(s->fresh->env, NULL, 0, &to);
	if (!r)
		r = bring_all(s, from, to, buf_view(&notes));
	if (from)
		mdb_txn_abort(from);
	if (r && to)
		mdb_txn_abort(to);
	return r ? r : mdb_txn_commit(to);
}

static void notes_end(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->noting = false;
	buf_deinit(&s->notes);
	pthread_mutex_unlock(&s->lock);
}

void store_defragment_abort(struct store *s)
{
	struct store *fresh = TAKE(s->fresh);
	notes_end(s);
	if (fresh)
		store_discard(s, fresh, true);
	free(fresh);
}

int store_defragment_begin(struct store *s, struct err *err)
{
	if (s->fresh || s->retired)
		return err_set(err, ERR_TOO_MANY_REQUESTS, "a defragmentation is under way");
	struct store *fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		abort();
	fresh->generation = s->generation + 1;
	fresh->page_bytes = s->page_bytes;
	s->fresh = fresh;
	store_remove(s, fresh->generation);
	pthread_mutex_lock(&s->lock);
	s->noting = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_defragment_copy(struct store *s, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, s->fresh->generation, "", &path);
	int r = store_copy(s, (char *)path.data, err);
	if (!r)
		r = generation_open(s, s->fresh->generation, &s->fresh->env, err);
	if (!r)
		r = tables_open(s->fresh->env, false, s->fresh->tables, err);
	if (r)
		return r;
	/* Most goes to the disk here, so that the next checkpoint has little to wait for. */
	r = s->no_sync ? 0 : mdb_env_sync(s->fresh->env, 1);
	size_t bytes = LITTLE_BYTES;
	for (int i = 0; !r && bytes >= LITTLE_BYTES && i < ROUNDS_MAX; i++)
		r = bring_noted(s, &bytes);
	return r ? store_err(err, r, "defragmentation") : 0;
}

/* The rest, and the swap; no transaction is open. */
static int end_locked(struct store *s, struct err *err)
{
	size_t bytes;
	int r = bring_noted(s, &bytes);
	if (r)
		return store_err(err, r, "defragmentation");
	struct store *fresh = TAKE(s->fresh);
	notes_end(s);
	store_replace(s, fresh);
	free(fresh);
	return 0;
}

int store_defragment_end(struct store *s, bool wait, struct err *err)
{
	if (wait)
		pthread_rwlock_wrlock(&s->swap);
	else if (pthread_rwlock_trywrlock(&s->swap))
		return -ERR_TOO_MANY_REQUESTS;
	int r = end_locked(s, err);
	pthread_rwlock_unlock(&s->swap);
	if (r)
		store_defragment_abort(s);
	return r;
}
