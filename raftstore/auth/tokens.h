/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Simple tokens: whom each stands for, until when. Known by their hashes alone, so that neither
 * the log nor a memory dump has one that works, and looking one up tells nothing by its time.
 * Times are the caller's milliseconds. Not thread-safe. */
#include "common/base/map.h"

enum { TOKEN_HASH_BYTES = 32, TOKENS_MAX = 100000 };

struct token {
	uint64_t stamp, index, expires_ms;
	size_t user_len;
	char user[];
};

struct tokens {
	struct map by_hash;
	uint64_t ttl_ms;
	size_t sweep_at; /* so many: look for expired ones */
};

void tokens_init(struct tokens *t, uint64_t ttl_ms, uint64_t seed);
void tokens_deinit(struct tokens *t);
/* False: there are too many. */
bool tokens_add(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES], struct slice user,
                uint64_t stamp, uint64_t index, uint64_t now_ms);
/* NULL: unknown or expired. A use makes it live longer. */
const struct token *tokens_use(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES],
                               uint64_t now_ms);
void tokens_clear(struct tokens *t);
