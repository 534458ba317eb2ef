/* SPDX-License-Identifier: Apache-2.0 */
#include <crypt.h>
#include <openssl/crypto.h>
#include "common/base/rng.h"
#include "common/codec/base64.h"
#include "raftstore/server/auth.h"

enum { SALT_BYTES = 16 };

/* The hash of a password with a setting, which may be another hash. False: the setting is bad. */
static bool hash(const char *password, const char *setting, char out[CRYPT_OUTPUT_SIZE])
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	if (!data)
		abort();
	const char *r = crypt_r(password, setting, data);
	bool ok = r && *r != '*';
	if (ok)
		memcpy(out, r, strlen(r) + 1);
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return ok;
}

static void make_setting(unsigned cost, char out[CRYPT_GENSALT_OUTPUT_SIZE])
{
	char salt[SALT_BYTES];
	rng_system(salt, sizeof(salt));
	if (!crypt_gensalt_rn("$2b$", cost, salt, sizeof(salt), out, CRYPT_GENSALT_OUTPUT_SIZE))
		abort();
}

void password_hash(const char *password, unsigned cost, struct buf *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], hashed[CRYPT_OUTPUT_SIZE];
	make_setting(cost, setting);
	if (!hash(password, setting, hashed))
		abort();
	base64_encode(slice_str(hashed), out);
}

bool password_matches(const struct auth_user *u, const char *password, unsigned cost)
{
	char setting[CRYPT_OUTPUT_SIZE] = "", hashed[CRYPT_OUTPUT_SIZE];
	if (!u) {
		make_setting(cost, setting);
		hash(password, setting, hashed);
		return false;
	}
	const ProtobufCBinaryData *is = &u->stored->password;
	if (is->len >= sizeof(setting) || is->len < strlen("$2b$"))
		return false;
	memcpy(setting, is->data, is->len);
	if (!hash(password, setting, hashed))
		return false;
	return strlen(hashed) == is->len && !CRYPTO_memcmp(hashed, is->data, is->len);
}
