/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON web tokens as etcd makes them (--auth-token jwt,...): claims username, revision, exp; signed
 * by RS, PS, ES 256 to 512, HS 256 to 512 or EdDSA. A member that has the public key alone verifies
 * what others have signed. Immutable once made: any thread. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

struct jwt_keys;

struct jwt_claims {
	struct slice user; /* in the arena */
	uint64_t revision;
	int64_t expires_s;
};

/* Options as etcd's: "sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m". */
_must_use_ int jwt_keys_load(const char *options, struct jwt_keys **ret, struct err *err);
void jwt_keys_free(struct jwt_keys *k); /* accepts NULL */
int64_t jwt_ttl_s(const struct jwt_keys *k);
/* -ERR_FORBIDDEN: there is no private key. */
_must_use_ int jwt_sign(const struct jwt_keys *k, const struct jwt_claims *c, struct buf *out);
/* False: not ours, or expired. */
bool jwt_verify(const struct jwt_keys *k, struct slice token, int64_t now_s, struct arena *a,
                struct jwt_claims *ret);
