/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>
#include "apiserver/auth/jwt.h"
#include "common/net/keys.h"
#include "common/codec/base64.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(&arena);
	return 0;
}

/* header.claims.signature, each part encoded. */
static struct slice token_of(const char *header, const char *claims, struct slice signature)
{
	struct buf b = BUF_INIT;

	base64url_encode(slice_str(header), &b);
	buf_byte(&b, '.');
	base64url_encode(slice_str(claims), &b);
	buf_byte(&b, '.');
	base64url_encode(signature, &b);
	struct slice s = slice_of(arena_memdup(&arena, b.data, b.len), b.len);
	buf_deinit(&b);
	return s;
}

static void reads_claims(void **state)
{
	struct slice t = token_of("{\"alg\":\"RS256\",\"kid\":\"k\"}",
	                          "{\"iss\":\"i\",\"sub\":\"s\",\"aud\":[\"a\",\"b\"],\"exp\":10,"
	                          "\"nbf\":1.5,\"jti\":\"j\"}",
	                          SLICE_LIT("sig"));
	struct jwt j;

	assert_int_equal(jwt_parse(t, &arena, &j, NULL), 0);
	assert_string_equal(j.alg, "RS256");
	assert_string_equal(j.kid, "k");
	assert_string_equal(j.issuer, "i");
	assert_string_equal(j.id, "j");
	assert_int_equal(j.n_audiences, 2);
	assert_string_equal(j.audiences[1], "b");
	assert_int_equal(j.expires_s, 10);
	assert_int_equal(j.not_before_s, 1);
	assert_int_equal(j.issued_s, 0);
	assert_true(slice_eq_str(j.signature, "sig"));
}

static void refuses_malformed(void **state)
{
	static const char *const CLAIMS[] = {
	    "[]",
	    "{\"iss\":1}",
	    "{\"aud\":[1]}",
	    "{\"aud\":{}}",
	    "{\"exp\":\"1\"}",
	    "{\"exp\":-1.5}",
	    "{\"sub\":\"a\\u0000b\"}",
	    "{",
	};
	static const char *const WHOLE[] = {
	    "", ".", "..", "a.b", "a.b.c.d", "e30.e30", "!!.e30.e30", "e30=.e30.e30", "nope"};
	struct jwt j;

	for (size_t i = 0; i < ARRAY_LEN(CLAIMS); i++)
		assert_true(jwt_parse(token_of("{\"alg\":\"RS256\"}", CLAIMS[i], SLICE_LIT("s")),
		                      &arena, &j, NULL) < 0);
	for (size_t i = 0; i < ARRAY_LEN(WHOLE); i++)
		assert_true(jwt_parse(slice_str(WHOLE[i]), &arena, &j, NULL) < 0);
	assert_true(
	    jwt_parse(token_of("{\"alg\":\"RS256\",\"crit\":[\"x\"]}", "{}", SLICE_LIT("s")),
	              &arena, &j, NULL) < 0);
	assert_true(jwt_parse(token_of("{\"alg\":1}", "{}", SLICE_LIT("s")), &arena, &j, NULL) < 0);
	char *huge = arena_alloc(&arena, JWT_BYTES_MAX + 1);
	memset(huge, 'a', JWT_BYTES_MAX + 1);
	assert_true(jwt_parse(slice_of(huge, JWT_BYTES_MAX + 1), &arena, &j, NULL) < 0);
}

/* Every prefix and every changed byte of a token parses or is refused, and nothing else happens. */
static void survives_damage(void **state)
{
	struct slice t = token_of("{\"alg\":\"ES256\"}", "{\"iss\":\"i\",\"aud\":\"a\",\"exp\":99}",
	                          SLICE_LIT("0123456789"));
	struct jwt j;

	for (size_t n = 0; n < t.len; n++)
		ERR_IGNORE(
		    jwt_parse(slice_of(t.data, n), &arena, &j, NULL)); /* only not to crash */
	for (size_t n = 0; n < t.len; n++) {
		uint8_t *copy = arena_memdup(&arena, t.data, t.len);

		copy[n] ^= 0x15;
		ERR_IGNORE(
		    jwt_parse(slice_of(copy, t.len), &arena, &j, NULL)); /* only not to crash */
	}
	assert_int_equal(jwt_parse(t, &arena, &j, NULL), 0);
}

/* --- keys ---------------------------------------------------------------------------------------
 */

static void write_key(const char *path, EVP_PKEY *k)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	EVP_PKEY_free(k);
}

static void signs_and_verifies(void **state)
{
	char rsa[] = "/tmp/jwt_test_XXXXXX", ec[] = "/tmp/jwt_test_XXXXXX";
	struct slice input = SLICE_LIT("header.claims"), other = SLICE_LIT("header.claimz");
	struct keys k = {.signer = -1};

	close(mkstemp(rsa));
	close(mkstemp(ec));
	write_key(rsa, EVP_RSA_gen(2048));
	write_key(ec, EVP_EC_gen("P-256"));
	int loaded = keys_set_signer(&k, rsa, NULL);
	int added = keys_add_file(&k, ec, NULL);
	int again = keys_add_file(&k, ec, NULL);
	unlink(rsa);
	unlink(ec);
	assert_int_equal(loaded, 0);
	assert_int_equal(added, 0);
	assert_int_equal(again, 0);
	assert_int_equal(k.at.n, 2);
	assert_int_equal(k.signer, 0);
	for (size_t i = 0; i < 2; i++) {
		const struct key *key = &k.at.at[i];
		_cleanup_buf_ struct buf sig = BUF_INIT;

		assert_int_equal(strlen(key->id), 43);
		assert_int_equal(key_sign(key, input, &sig, NULL), 0);
		assert_true(key_verify(key, key->alg, input, buf_view(&sig)));
		assert_false(key_verify(key, key->alg, other, buf_view(&sig)));
		assert_false(key_verify(key, "none", input, buf_view(&sig)));
		assert_false(key_verify(key, "HS256", input, buf_view(&sig)));
		assert_false(key_verify(key, i ? "RS256" : "ES256", input, buf_view(&sig)));
		assert_false(key_verify(&k.at.at[1 - i], key->alg, input, buf_view(&sig)));
		sig.data[0] ^= 1;
		assert_false(key_verify(key, key->alg, input, buf_view(&sig)));
	}
	_cleanup_buf_ struct buf jwks = BUF_INIT;
	keys_jwks(&k, &jwks);
	assert_non_null(strstr((char *)jwks.data, "\"crv\":\"P-256\""));
	assert_non_null(strstr((char *)jwks.data, "\"e\":\"AQAB\""));
	keys_deinit(&k);
}

static void wants_keys_in_files(void **state)
{
	struct keys k = {.signer = -1};
	struct err err = ERR_INIT;

	assert_true(keys_add_file(&k, "/nonexistent", &err) < 0);
	assert_true(keys_add_file(&k, "/dev/null", &err) < 0);
	assert_int_equal(k.at.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(reads_claims, setup, teardown),
	    cmocka_unit_test_setup_teardown(refuses_malformed, setup, teardown),
	    cmocka_unit_test_setup_teardown(survives_damage, setup, teardown),
	    cmocka_unit_test(signs_and_verifies),
	    cmocka_unit_test(wants_keys_in_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
