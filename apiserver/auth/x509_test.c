/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "apiserver/auth/x509.h"
#include "common/net/test_pki.h"

static struct test_ca ours, theirs;
static struct x509_verifier *v;
static char ca_file[] = "/tmp/x509_test_XXXXXX";
static struct arena arena;

static void write_file(const char *text)
{
	FILE *f = fopen(ca_file, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	arena_init(&arena);
	test_ca_init(&ours, "ours");
	test_ca_init(&theirs, "theirs");
	close(mkstemp(ca_file));
	write_file(ours.pem);
	return x509_verifier_new(ca_file, &v, NULL);
}

static int teardown(void **state)
{
	x509_verifier_free(v);
	unlink(ca_file);
	test_ca_deinit(&ours);
	test_ca_deinit(&theirs);
	arena_deinit(&arena);
	return 0;
}

static struct slice der_of(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	struct slice s = slice_of(arena_memdup(&arena, der, (size_t)n), (size_t)n);

	OPENSSL_free(der);
	X509_free(cert);
	BIO_free(bio);
	return s;
}

static int verify(struct test_ca *ca, const char *orgs, int64_t now_s, struct x509_identity *ret)
{
	struct test_leaf leaf;

	test_leaf_init(&leaf, ca, "alice", orgs, NULL);
	struct slice der = der_of(leaf.cert_pem);
	test_leaf_deinit(&leaf);
	return x509_verify(v, &der, 1, now_s, &arena, ret, NULL);
}

static void reads_the_subject(void **state)
{
	struct x509_identity id;
	int64_t now = time(NULL);

	assert_int_equal(verify(&ours, "devs,ops", now, &id), 0);
	assert_string_equal(id.name, "alice");
	assert_int_equal(id.n_groups, 2);
	assert_string_equal(id.groups[0], "devs");
	assert_string_equal(id.groups[1], "ops");
	assert_true(id.not_before_s < now && now < id.not_after_s);
	assert_int_equal(strlen(id.credential_id), strlen("X509SHA256=") + 64);
	assert_string_equal(id.uid, "");
}

static void refuses_strangers(void **state)
{
	struct slice garbage = SLICE_LIT("garbage");
	struct x509_identity id;

	assert_true(verify(&theirs, NULL, time(NULL), &id) < 0);
	assert_true(x509_verify(v, &garbage, 1, time(NULL), &arena, &id, NULL) < 0);
	assert_true(x509_verify(v, NULL, 0, time(NULL), &arena, &id, NULL) < 0);
}

static void checks_the_time(void **state)
{
	struct x509_identity id;

	assert_true(verify(&ours, NULL, time(NULL) + 2 * 86400, &id) < 0);
	assert_true(verify(&ours, NULL, time(NULL) - 86400, &id) < 0);
}

static void follows_the_file(void **state)
{
	uint64_t generation = x509_verifier_generation(v);
	struct x509_identity id;

	assert_int_equal(x509_verifier_reload(v, NULL), 0);
	assert_int_equal(x509_verifier_generation(v), generation);
	write_file("nothing");
	assert_true(x509_verifier_reload(v, NULL) < 0);
	assert_int_equal(verify(&ours, NULL, time(NULL), &id), 0);
	write_file(theirs.pem);
	assert_int_equal(x509_verifier_reload(v, NULL), 0);
	assert_int_equal(x509_verifier_generation(v), generation + 1);
	assert_int_equal(verify(&theirs, NULL, time(NULL), &id), 0);
	assert_true(verify(&ours, NULL, time(NULL), &id) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_the_subject),
	    cmocka_unit_test(refuses_strangers),
	    cmocka_unit_test(checks_the_time),
	    cmocka_unit_test(follows_the_file),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
