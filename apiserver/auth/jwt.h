/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The compact form of signed JSON Web Tokens (RFC 7515, RFC 7519), parsed strictly: three parts of
 * base64url without padding, a header with an algorithm and no critical extensions, claims that are
 * an object. Nothing is verified here. Pure. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/codec/jvalue.h"

enum { JWT_BYTES_MAX = 64 * 1024 };

struct jwt {
	struct slice input; /* what the signature is of */
	struct slice signature;
	const char *alg, *kid; /* "" when there is no key id */
	const struct jvalue *claims;
	const char *issuer, *subject, *id; /* "" when absent */
	const char *const *audiences;
	size_t n_audiences;
	int64_t expires_s, not_before_s, issued_s; /* 0: absent */
};

int jwt_parse(struct slice token, struct arena *a, struct jwt *ret, struct err *err);
