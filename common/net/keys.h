/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The keys that verify and sign service account tokens: RSA and elliptic curves, from PEM files.
 * Immutable once loaded; any thread. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/vec.h"

struct key {
	void *pkey;      /* EVP_PKEY */
	char *id;        /* base64url(sha256(PKIX DER)), as upstream's kid */
	const char *alg; /* "RS256", "ES256", "ES384", "ES512": what it signs with */
	bool can_sign;
};

struct keys {
	VEC(struct key) at;
	ssize_t signer; /* index; -1: none */
};

/* Adds all keys of a PEM file (public keys, certificates, private keys). */
int keys_add_file(struct keys *k, const char *path, struct err *err);
/* The private key of a PEM file signs (and verifies). */
int keys_set_signer(struct keys *k, const char *path, struct err *err);
void keys_deinit(struct keys *k);

/* Whether `signature` (as JWS has it) of `input` is of the key by `alg`, one of RS256, RS384,
 * RS512, PS256, PS384, PS512, ES256, ES384, ES512. */
bool key_verify(const struct key *k, const char *alg, struct slice input, struct slice signature);
/* Appends the JWS signature by the key's own algorithm. */
int key_sign(const struct key *k, struct slice input, struct buf *out, struct err *err);

/* The JWKS document of all public keys. */
void keys_jwks(const struct keys *k, struct buf *out);
