/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* WebSocket frames (RFC 6455), both sides, as bytes in and bytes out: no socket, no clock.
 *
 *     while ((r = ws_next(&p, &in, &piece)) > 0)
 *             ...piece is a part of a message, or a whole ping, pong or close...
 *
 * Messages are handed on piece by piece as they come and never gathered, so that a message of any
 * length costs one buffer. Text is not checked to be UTF-8: whoever reads it does. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10,
};

enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_NO_STATUS = 1005, /* a close frame without a code; never sent */
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
};

enum { WS_PIECE_BYTES = 16 << 10, WS_CONTROL_BYTES_MAX = 125, WS_HEAD_BYTES_MAX = 14 };

/* A part of a message (WS_TEXT, WS_BINARY), or a whole control frame. */
struct ws_piece {
	enum ws_opcode opcode;
	bool first, last;  /* of its message */
	struct slice data; /* unmasked; good until the next call */
};

struct ws_parser {
	/* The user's; constant. */
	bool server;            /* frames must be masked (we are the server), or must not be */
	uint64_t message_bytes; /* a longer message is refused; 0: none is */

	/* Its own; zero at the start. */
	uint8_t head[WS_HEAD_BYTES_MAX];
	unsigned head_len;
	bool in_frame, in_message, fin, first;
	enum ws_opcode opcode; /* of the frame */
	enum ws_opcode kind;   /* of the message */
	uint64_t left, seen;   /* of the frame; of the message so far */
	uint8_t mask[4];
	unsigned mask_at, control_len;
	uint8_t control[WS_CONTROL_BYTES_MAX];
	uint8_t space[WS_PIECE_BYTES];
};

/* 1: a piece; 0: all of `in` is used and more is needed; else minus the close code with which the
 * connection has to end. Takes what it used off `in`. */
int ws_next(struct ws_parser *p, struct slice *in, struct ws_piece *ret);

/* Writes the head of a frame; returns its length. mask: 4 bytes from a client, NULL from a server.
 */
size_t ws_head(uint8_t out[WS_HEAD_BYTES_MAX], enum ws_opcode opcode, bool fin, uint64_t len,
               const uint8_t *mask);
/* Appends a whole frame. */
void ws_frame(struct buf *out, enum ws_opcode opcode, bool fin, struct slice payload,
              const uint8_t *mask);
/* Appends a close frame; WS_CLOSE_NO_STATUS: without a code. */
void ws_close_frame(struct buf *out, unsigned code, const char *reason, const uint8_t *mask);
/* The code of a close frame: WS_CLOSE_NO_STATUS when there is none, 0 when it is malformed. */
unsigned ws_close_code(struct slice payload);

/* --- the handshake --- */

enum { WS_ACCEPT_BYTES = 29 };

/* Is this a Sec-WebSocket-Key (16 bytes in base64)? */
bool ws_key_valid(struct slice key);
/* The Sec-WebSocket-Accept that answers a key. */
void ws_accept(struct slice key, char ret[WS_ACCEPT_BYTES]);
/* Walks the tokens of a header such as "chat, v5.channel.k8s.io": false at the end. */
bool ws_next_token(struct slice *rest, struct slice *ret);
/* Whether a header's list has a token, in any case. */
bool ws_has_token(struct slice list, const char *token);
