/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/auth/tokens.h"

enum { SWEEP_LEAST = 1000 };

void tokens_init(struct tokens *t, uint64_t ttl_ms, uint64_t seed)
{
	*t = (struct tokens){.ttl_ms = ttl_ms, .sweep_at = SWEEP_LEAST};
	map_init(&t->by_hash, seed);
}

void tokens_clear(struct tokens *t)
{
	uint64_t seed = t->by_hash.seed;
	MAP_FOREACH (&t->by_hash, it)
		free(it->value);
	map_deinit(&t->by_hash);
	map_init(&t->by_hash, seed);
}

void tokens_deinit(struct tokens *t)
{
	tokens_clear(t);
	map_deinit(&t->by_hash);
}

static void sweep(struct tokens *t, uint64_t now_ms)
{
	MAP_FOREACH (&t->by_hash, it) {
		struct token *token = it->value;
		if (token->expires_ms <= now_ms)
			free(map_del(&t->by_hash, slice_of(it->key, it->key_len)));
	}
	t->sweep_at = MAX(t->by_hash.n * 2, (size_t)SWEEP_LEAST);
}

bool tokens_add(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES], struct slice user,
                uint64_t stamp, uint64_t index, uint64_t now_ms)
{
	if (t->by_hash.n >= MIN(t->sweep_at, (size_t)TOKENS_MAX))
		sweep(t, now_ms);
	if (t->by_hash.n >= TOKENS_MAX)
		return false;
	struct token *token = malloc(sizeof(*token) + user.len);
	if (!token)
		abort();
	*token = (struct token){
	    .stamp = stamp, .index = index, .expires_ms = now_ms + t->ttl_ms, .user_len = user.len};
	if (user.len)
		memcpy(token->user, user.data, user.len);
	free(map_put(&t->by_hash, slice_of(hash, TOKEN_HASH_BYTES), token));
	return true;
}

const struct token *tokens_use(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES],
                               uint64_t now_ms)
{
	struct slice key = slice_of(hash, TOKEN_HASH_BYTES);
	struct token *token = map_get(&t->by_hash, key);
	if (!token)
		return NULL;
	if (token->expires_ms <= now_ms) {
		free(map_del(&t->by_hash, key));
		return NULL;
	}
	token->expires_ms = now_ms + t->ttl_ms;
	return token;
}
