/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/websocket.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

/* --- reading --------------------------------------------------------------------------------- */

static bool is_control(enum ws_opcode o)
{
	return o & 8;
}

/* How long a head is whose first two bytes are known. */
static unsigned head_bytes(const uint8_t *head)
{
	unsigned len = head[1] & 0x7f;

	return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (head[1] & 0x80 ? 4 : 0);
}

/* The length, or UINT64_MAX when it is not written as short as it could be. */
static uint64_t payload_bytes(const uint8_t *head)
{
	uint64_t len = head[1] & 0x7f;

	if (len == 126) {
		len = (uint64_t)head[2] << 8 | head[3];
		return len < 126 ? UINT64_MAX : len;
	}
	if (len < 126)
		return len;
	len = 0;
	for (int i = 2; i < 10; i++)
		len = len << 8 | head[i];
	return len <= UINT16_MAX || len >> 63 ? UINT64_MAX : len;
}

static int begin_message(struct ws_parser *p)
{
	if ((p->opcode == WS_CONTINUATION) != p->in_message)
		return -WS_CLOSE_PROTOCOL;
	if (p->opcode != WS_CONTINUATION) {
		p->kind = p->opcode;
		p->first = true;
		p->seen = 0;
	}
	p->in_message = !p->fin;
	if (p->message_bytes && p->left > p->message_bytes - p->seen)
		return -WS_CLOSE_TOO_BIG;
	p->seen += p->left;
	return 0;
}

static int begin_frame(struct ws_parser *p)
{
	const uint8_t *head = p->head;
	bool masked = head[1] & 0x80;

	p->fin = head[0] & 0x80;
	p->opcode = head[0] & 0x0f;
	p->left = payload_bytes(head);
	if (head[0] & 0x70 || masked != p->server || p->left == UINT64_MAX)
		return -WS_CLOSE_PROTOCOL;
	memset(p->mask, 0, sizeof(p->mask));
	if (masked)
		memcpy(p->mask, head + p->head_len - 4, 4);
	p->mask_at = 0;
	p->in_frame = true;
	if (is_control(p->opcode)) {
		p->control_len = 0;
		return p->opcode > WS_PONG || !p->fin || p->left > WS_CONTROL_BYTES_MAX
		           ? -WS_CLOSE_PROTOCOL
		           : 0;
	}
	return p->opcode > WS_BINARY ? -WS_CLOSE_PROTOCOL : begin_message(p);
}

/* 1: the head is whole. */
static int take_head(struct ws_parser *p, struct slice *in)
{
	while (in->len) {
		p->head[p->head_len++] = in->data[0];
		*in = slice_skip(*in, 1);
		if (p->head_len < 2 || p->head_len < head_bytes(p->head))
			continue;
		int r = begin_frame(p);
		p->head_len = 0;
		return r < 0 ? r : 1;
	}
	return 0;
}

static void unmask(struct ws_parser *p, uint8_t *out, const uint8_t *in, size_t n)
{
	uint8_t mask[8];

	for (unsigned i = 0; i < 8; i++)
		mask[i] = p->mask[(p->mask_at + i) % 4];
	p->mask_at = (unsigned)((p->mask_at + n) % 4);
	uint64_t word, key;
	memcpy(&key, mask, 8);
	for (; n >= 8; n -= 8, in += 8, out += 8) {
		memcpy(&word, in, 8);
		word ^= key;
		memcpy(out, &word, 8);
	}
	for (size_t i = 0; i < n; i++)
		out[i] = in[i] ^ mask[i];
}

static int take_control(struct ws_parser *p, struct slice *in, struct ws_piece *ret)
{
	size_t n = MIN((uint64_t)in->len, p->left);

	unmask(p, p->control + p->control_len, in->data, n);
	*in = slice_skip(*in, n);
	p->control_len += (unsigned)n;
	p->left -= n;
	if (p->left)
		return 0;
	p->in_frame = false;
	*ret = (struct ws_piece){p->opcode, true, true, slice_of(p->control, p->control_len)};
	return 1;
}

static int take_data(struct ws_parser *p, struct slice *in, struct ws_piece *ret)
{
	size_t n = MIN(MIN((uint64_t)in->len, p->left), (uint64_t)WS_PIECE_BYTES);

	unmask(p, p->space, in->data, n);
	*in = slice_skip(*in, n);
	p->left -= n;
	p->in_frame = p->left;
	*ret = (struct ws_piece){p->kind, p->first, p->fin && !p->left, slice_of(p->space, n)};
	p->first = false;
	return 1;
}

int ws_next(struct ws_parser *p, struct slice *in, struct ws_piece *ret)
{
	for (;;) {
		if (!p->in_frame) {
			int r = take_head(p, in);
			if (r <= 0)
				return r;
		}
		if (p->left && !in->len)
			return 0;
		if (!is_control(p->opcode)) {
			/* An empty frame inside of a message says nothing. */
			if (p->left || p->fin)
				return take_data(p, in, ret);
			p->in_frame = false;
			continue;
		}
		int r = take_control(p, in, ret);
		if (r)
			return r;
	}
}

unsigned ws_close_code(struct slice payload)
{
	if (!payload.len)
		return WS_CLOSE_NO_STATUS;
	if (payload.len < 2)
		return 0;
	unsigned code = (unsigned)payload.data[0] << 8 | payload.data[1];
	bool known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
	return known || (code >= 3000 && code < 5000) ? code : 0;
}

/* --- writing --------------------------------------------------------------------------------- */

size_t ws_head(uint8_t out[WS_HEAD_BYTES_MAX], enum ws_opcode opcode, bool fin, uint64_t len,
               const uint8_t *mask)
{
	size_t n = 2;

	out[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
	out[1] = mask ? 0x80 : 0;
	if (len < 126) {
		out[1] |= (uint8_t)len;
	} else if (len <= UINT16_MAX) {
		out[1] |= 126;
		out[n++] = (uint8_t)(len >> 8);
		out[n++] = (uint8_t)len;
	} else {
		out[1] |= 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			out[n++] = (uint8_t)(len >> shift);
	}
	if (mask) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

void ws_frame(struct buf *out, enum ws_opcode opcode, bool fin, struct slice payload,
              const uint8_t *mask)
{
	uint8_t head[WS_HEAD_BYTES_MAX];

	buf_add(out, head, ws_head(head, opcode, fin, payload.len, mask));
	size_t at = out->len;
	buf_slice(out, payload);
	for (size_t i = 0; mask && i < payload.len; i++)
		out->data[at + i] ^= mask[i % 4];
}

void ws_close_frame(struct buf *out, unsigned code, const char *reason, const uint8_t *mask)
{
	uint8_t payload[WS_CONTROL_BYTES_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
	size_t n = MIN(strlen(reason), sizeof(payload) - 2);

	memcpy(payload + 2, reason, n);
	ws_frame(out, WS_CLOSE, true,
	         code == WS_CLOSE_NO_STATUS ? SLICE_EMPTY : slice_of(payload, n + 2), mask);
}

/* --- the handshake --------------------------------------------------------------------------- */

bool ws_key_valid(struct slice key)
{
	enum { KEY_BYTES = 16, TEXT_BYTES = 24 };
	uint8_t raw[TEXT_BYTES];

	/* The decoder counts the two signs of padding as bytes. */
	return key.len == TEXT_BYTES && key.data[22] == '=' && key.data[23] == '=' &&
	       EVP_DecodeBlock(raw, key.data, TEXT_BYTES) == KEY_BYTES + 2;
}

void ws_accept(struct slice key, char ret[WS_ACCEPT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	buf_slice(&text, key);
	buf_str(&text, guid);
	if (EVP_Digest(text.data, text.len, digest, &n, EVP_sha1(), NULL) != 1 || n != 20)
		abort(); /* the library has no SHA-1: nothing of this can work */
	EVP_EncodeBlock((unsigned char *)ret, digest, 20);
}

bool ws_next_token(struct slice *rest, struct slice *ret)
{
	while (rest->len && (*rest->data == ',' || *rest->data == ' ' || *rest->data == '\t'))
		*rest = slice_skip(*rest, 1);
	if (!rest->len)
		return false;
	const uint8_t *comma = memchr(rest->data, ',', rest->len);
	size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
	*ret = slice_of(rest->data, n);
	*rest = slice_skip(*rest, n);
	while (ret->len && (ret->data[ret->len - 1] == ' ' || ret->data[ret->len - 1] == '\t'))
		ret->len--;
	return true;
}

bool ws_has_token(struct slice list, const char *token)
{
	size_t n = strlen(token);

	for (struct slice t; ws_next_token(&list, &t);)
		if (t.len == n && !strncasecmp((const char *)t.data, token, n))
			return true;
	return false;
}
