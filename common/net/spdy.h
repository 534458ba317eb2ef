/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SPDY/3.1 frames as Kubernetes uses them (exec, attach, port-forward), as bytes in and bytes out:
 * no socket, no clock.
 *
 *     while ((r = spdy_next(&reader, &in, &frame, &err)) > 0)
 *             ...frame is one control frame, or a piece of a stream's data...
 *
 * Data is handed on piece by piece and never gathered. Header blocks of one connection share one
 * compression state a direction, so that every control frame must be read, and written frames must
 * go out in their order. No flow control: the peers that speak this (moby/spdystream on both sides
 * of Kubernetes) neither grant nor heed windows; TCP's own is the back-pressure. */
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>
#include "common/base/buf.h"
#include "common/base/err.h"

enum spdy_type {
	SPDY_DATA = 0, /* ours: the wire has a bit for it */
	SPDY_SYN_STREAM = 1,
	SPDY_SYN_REPLY = 2,
	SPDY_RST_STREAM = 3,
	SPDY_SETTINGS = 4,
	SPDY_PING = 6,
	SPDY_GOAWAY = 7,
	SPDY_HEADERS = 8,
	SPDY_WINDOW_UPDATE = 9,
};

enum spdy_rst {
	SPDY_RST_PROTOCOL_ERROR = 1,
	SPDY_RST_INVALID_STREAM = 2,
	SPDY_RST_REFUSED_STREAM = 3,
	SPDY_RST_CANCEL = 5,
};

enum {
	SPDY_HEAD_BYTES = 8,
	SPDY_CONTROL_BYTES_MAX = 32 << 10, /* of a control frame, compressed */
	SPDY_BLOCK_BYTES_MAX = 64 << 10,   /* of a header block, inflated */
	SPDY_HEADERS_MAX = 64,
	SPDY_DATA_BYTES_MAX = (1 << 24) - 1,
};

struct spdy_header {
	struct slice name, value;
};

struct spdy_frame {
	enum spdy_type type;
	uint32_t stream_id; /* GOAWAY: the last good one */
	bool fin;           /* the sender's half of the stream ends with this */
	/* SPDY_DATA: a piece; `fin` only with the last one. In the reader's input. */
	struct slice data;
	uint32_t number; /* status (RST_STREAM, GOAWAY), ping's id, window's delta */
	/* Of SYN_STREAM, SYN_REPLY and HEADERS; good until the next call. */
	struct spdy_header headers[SPDY_HEADERS_MAX];
	size_t n_headers;
};

struct spdy_reader {
	z_stream inflate;
	bool inflating; /* the state above is set up */
	uint8_t head[SPDY_HEAD_BYTES];
	unsigned head_len;
	bool in_frame, control;
	uint8_t flags;
	uint32_t type, stream_id, left;
	struct buf body;  /* of a control frame */
	struct buf block; /* inflated */
};

/* A zeroed reader is ready. */
void spdy_reader_deinit(struct spdy_reader *r);
/* 1: a frame; 0: all of `in` is used and more is needed; -ERR_x: the connection is beyond repair.
 * Takes what it used off `in`. Frames of unknown types are passed over. */
int spdy_next(struct spdy_reader *r, struct slice *in, struct spdy_frame *ret, struct err *err);
/* Value of a frame's header; data NULL when absent. */
struct slice spdy_header_get(const struct spdy_frame *f, const char *name);

struct spdy_writer {
	z_stream deflate;
	bool deflating;
};

/* A zeroed writer is ready. */
void spdy_writer_deinit(struct spdy_writer *w);
/* SYN_STREAM, SYN_REPLY or HEADERS. Names must be lower case. */
void spdy_write_headers(struct spdy_writer *w, struct buf *out, enum spdy_type type,
                        uint32_t stream_id, bool fin, const struct spdy_header *headers, size_t n);
/* The head of a data frame; len <= SPDY_DATA_BYTES_MAX. */
void spdy_data_head(uint8_t out[SPDY_HEAD_BYTES], uint32_t stream_id, size_t len, bool fin);
void spdy_write_data(struct buf *out, uint32_t stream_id, struct slice data, bool fin);
/* RST_STREAM, PING (stream_id not used), GOAWAY, WINDOW_UPDATE. */
void spdy_write_number(struct buf *out, enum spdy_type type, uint32_t stream_id, uint32_t number);
