/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Client certificates: verifies a chain against a bundle of CAs and reads who it is for (apiserver
 * pkg/authentication/request/x509). Any thread.
 *
 * An identity is good between its two times and while the bundle is the one that verified it
 * (`generation`); the caller caches it on the connection and asks again afterwards. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/err.h"

struct x509_verifier;

struct x509_identity {
	const char *name; /* the common name; "" when there is none: not an identity */
	const char *uid;
	const char *const *groups; /* organizations */
	size_t n_groups;
	const char *credential_id;         /* "X509SHA256=..." */
	int64_t not_before_s, not_after_s; /* of the whole chain */
	uint64_t generation;
};

int x509_verifier_new(const char *ca_file, struct x509_verifier **ret, struct err *err);
void x509_verifier_free(struct x509_verifier *v);
/* Reads the file again when it has changed; on failure the bundle stays as it was. */
int x509_verifier_reload(struct x509_verifier *v, struct err *err);
uint64_t x509_verifier_generation(const struct x509_verifier *v);

/* certs: DER, leaf first. The identity is allocated in the arena. */
int x509_verify(struct x509_verifier *v, const struct slice *certs, size_t n_certs, int64_t now_s,
                struct arena *a, struct x509_identity *ret, struct err *err);
