/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of the Raft log, opened from a disk in memory. The input is a list of steps, a byte
 * each: bytes as they are, a record with a right checksum and place in the chain, or the next
 * segment. What opens once has had its tail cut and opens the same again. */
#include <assert.h>
#include <fcntl.h>
#include "raftstore/log/internal.h"
#include "tests/lib/simdisk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENTS_MAX = 3, STEP_BYTES = 3, STEP_RAW = 6, STEP_SEGMENT = 7 };

static const struct raftlog_identity identity = {.cluster_id = 1, .member_id = 2};

/* The image of the segments. */
struct image {
	struct simdisk *disk;
	struct buf bytes;
	uint64_t number;
	uint32_t chain;
	struct raft_mark last;
};

static void begin(struct image *m)
{
	m->number++;
	record_add_header(
	    &m->bytes, &m->chain,
	    &(struct segment_header){.number = m->number, .identity = identity, .last = m->last});
}

static void flush(struct image *m)
{
	const struct log_io *io = &m->disk->io;
	char name[SEGMENT_NAME_BYTES];

	segment_name(name, m->number);
	int fd = io->open(io->ctx, 1, name, true);
	ssize_t n = io->pwrite(io->ctx, fd, m->bytes.data, m->bytes.len, 0);
	assert(n == (ssize_t)m->bytes.len);
	io->close(io->ctx, fd);
	buf_clear(&m->bytes);
}

/* An entry that follows, unless the payload is long enough to say all by itself. */
static void add_record(struct image *m, enum record_type type, uint8_t flags, struct slice payload)
{
	struct record_place place = {m->number, m->bytes.len};

	if (type != RECORD_ENTRY || payload.len >= RECORD_ENTRY_PREFIX_BYTES) {
		record_add(&m->bytes, place, &m->chain, type, flags, payload, SLICE_EMPTY);
		return;
	}
	struct raft_entry e = {.index = ++m->last.index,
	                       .term = m->last.term += flags,
	                       .type = RAFT_ENTRY_COMMAND,
	                       .data = blob_dup(payload)};
	record_add_entry(&m->bytes, place, &m->chain, flags, &e);
	blob_unref(e.data);
}

static void build(struct image *m, struct slice in)
{
	begin(m);
	while (in.len >= STEP_BYTES) {
		uint8_t what = in.data[0] & 7, flags = in.data[1] & 1;
		size_t n = MIN((size_t)in.data[2], in.len - STEP_BYTES);
		struct slice payload = slice_of(in.data + STEP_BYTES, n);

		if (what == STEP_SEGMENT && m->number < SEGMENTS_MAX) {
			flush(m);
			begin(m);
		} else if (what >= STEP_RAW) {
			buf_slice(&m->bytes, payload);
		} else {
			add_record(m, what, flags, payload);
		}
		in = slice_skip(in, STEP_BYTES + n);
	}
	flush(m);
}

static void on_report(void *arg, const struct raftlog_report *report)
{
	(void)arg;
	(void)report;
}

static int open_and_close(struct simdisk *disk, struct raftlog_boot *boot)
{
	struct raftlog_options opt = {.dir = "log",
	                              .identity = identity,
	                              .segment_bytes = 4096,
	                              .io = &disk->io,
	                              .report = on_report};
	struct raftlog *l;
	int r = raftlog_open(&opt, &l, boot, NULL);

	if (r == 0)
		raftlog_close(l);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct simdisk disk;
	struct image m = {.disk = &disk};
	struct raftlog_boot boot = {0}, again = {0};

	simdisk_init(&disk);
	build(&m, slice_of(data, size));
	if (open_and_close(&disk, &boot) == 0) {
		for (size_t i = 0; i < boot.entries.n; i++)
			assert(boot.entries.at[i].index == boot.mark.index + 1 + i);
		int r = open_and_close(&disk, &again);
		assert(r == 0 && again.torn_bytes == 0);
		assert(again.entries.n == boot.entries.n && again.mark.index == boot.mark.index);
		assert(again.hard_state.term == boot.hard_state.term);
		raft_entries_deinit(&boot.entries);
		raft_entries_deinit(&again.entries);
	}
	buf_deinit(&m.bytes);
	simdisk_deinit(&disk);
	return 0;
}
