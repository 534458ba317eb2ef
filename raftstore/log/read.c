/* SPDX-License-Identifier: Apache-2.0 */
/* Reading entries back: from the window, else from their segments. */
#include <errno.h>
#include <inttypes.h>
#include "raftstore/log/internal.h"

static int check_slot(const struct log_slot *slot, struct slice bytes, struct raft_entry *ret)
{
	struct record rec;
	struct slice data;
	struct record_place place = {slot->segment, slot->offset};
	if (!record_read(bytes, place, &rec) || !record_entry(&rec, ret, &data) ||
	    ret->index != slot->index || ret->term != slot->term || data.len != slot->len)
		return -ERR_CORRUPT;
	ret->data = blob_dup(data);
	return 0;
}

static int read_slot(struct raftlog *l, const struct log_slot *slot, struct raft_entry *ret,
                     struct err *err)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, slot->segment);
	int fd = l->io.open(l->io.ctx, l->dir, name, false);
	if (fd == -ENOENT)
		return err_set(err, ERR_NOT_FOUND, "entry %" PRIu64 " is compacted", slot->index);
	if (fd < 0)
		return log_errno(err, fd, "cannot open", name);
	size_t n = record_size(RECORD_ENTRY_PREFIX_BYTES + slot->len);
	uint8_t *bytes = malloc(n);
	if (!bytes)
		abort();
	int r = log_read_all(l, fd, bytes, n, slot->offset);
	l->io.close(l->io.ctx, fd);
	if (r < 0)
		r = log_errno(err, r, "cannot read", name);
	else if (check_slot(slot, slice_of(bytes, n), ret) < 0)
		r = err_set(err, ERR_CORRUPT, "log segment %s is corrupt at offset %" PRIu32, name,
		            slot->offset);
	free(bytes);
	return r;
}

int raftlog_entries(struct raftlog *l, uint64_t from, uint64_t to, size_t limit_bytes,
                    struct raft_entries *list, struct err *err)
{
	size_t bytes = 0;
	for (uint64_t i = from; i < to; i++) {
		struct log_slot slot = {0};
		pthread_mutex_lock(&l->lock);
		const struct log_slot *found = log_index_at(&l->index, i);
		if (found) {
			slot = *found;
			blob_ref(slot.data);
		}
		pthread_mutex_unlock(&l->lock);
		if (!found)
			return i > from ? 0
			                : err_set(err, ERR_NOT_FOUND,
			                          "entry %" PRIu64 " is not in the log", i);
		bytes += slot.len;
		if (i > from && bytes > limit_bytes) {
			blob_unref(slot.data);
			return 0;
		}
		struct raft_entry e = {slot.index, slot.term, slot.type, slot.data};
		int r = slot.data || slot.len == 0 ? 0 : read_slot(l, &slot, &e, err);
		if (r < 0)
			return r;
		*vec_push(list) = e;
	}
	return 0;
}
