/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of struct tokens. Internal to token.c and token_request.c. */
#include <pthread.h>
#include "apiserver/auth/token.h"

enum { TOKEN_HASH_BYTES = 32, TOKEN_SLOTS = 4096 };

struct tokens {
	struct pipeline *p;
	struct keys keys;
	const char *const *issuers;
	size_t n_issuers;
	const char *const *audiences; /* the API server's */
	size_t n_audiences;
	int64_t max_expiration_s;
	bool extend;
	struct arena arena;

	pthread_mutex_t lock;                            /* of verified */
	uint8_t verified[TOKEN_SLOTS][TOKEN_HASH_BYTES]; /* SHA-256; a slot by its first bytes */
};
