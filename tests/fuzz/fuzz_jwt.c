/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens: the input as it is, and, when it has two lines, as the header and the claims of a
 * well-formed token. */
#include <assert.h>
#include "apiserver/auth/jwt.h"
#include "common/codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read of a token stands within it and is whole. */
static void check(struct slice token, struct arena *a)
{
	struct jwt j;
	size_t sum = 0;

	if (jwt_parse(token, a, &j, NULL) < 0)
		return;
	assert(token.len <= JWT_BYTES_MAX);
	assert(j.input.data == token.data && j.input.len < token.len);
	assert(jvalue_is(j.claims, JVALUE_OBJECT));
	for (size_t i = 0; i < j.n_audiences; i++)
		sum += strlen(j.audiences[i]);
	sum += strlen(j.alg) + strlen(j.kid) + strlen(j.issuer) + strlen(j.subject) + strlen(j.id);
	/* A bad byte of a text is read as U+FFFD, three bytes. */
	assert(sum <= 3 * token.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf token = BUF_INIT;
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;

	check(slice_of(data, size), &a);
	if (!nl)
		return 0;
	size_t n = (size_t)(nl - data);
	base64url_encode(slice_of(data, n), &token);
	buf_byte(&token, '.');
	base64url_encode(slice_of(nl + 1, size - n - 1), &token);
	buf_slice(&token, SLICE_LIT(".c2ln"));
	check(buf_view(&token), &a);
	return 0;
}
