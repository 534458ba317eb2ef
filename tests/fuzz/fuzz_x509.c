/* SPDX-License-Identifier: Apache-2.0 */
/* Client certificates: the input as a chain of one, and as the subject (a DER Name) of a
 * certificate that our CA signed. Who is let in is named by whole texts of the subject, never by
 * parts. */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "apiserver/auth/x509.h"
#include "common/net/test_pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct test_ca ca;
static struct x509_verifier *verifier;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[] = "/tmp/fuzz_x509_XXXXXX";
	int fd = mkstemp(path);

	test_ca_init(&ca, "fuzz");
	assert(fd >= 0 && write(fd, ca.pem, strlen(ca.pem)) == (ssize_t)strlen(ca.pem));
	close(fd);
	int r = x509_verifier_new(path, &verifier, NULL);
	unlink(path);
	assert(r == 0);
	return 0;
}

/* Whether a text is all of some entry of the subject of this type. */
static bool is_entry(X509_NAME *name, int nid, const char *text)
{
	for (int i = -1; (i = X509_NAME_get_index_by_NID(name, nid, i)) >= 0;) {
		ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
		unsigned char *utf8 = NULL;
		int n = ASN1_STRING_to_UTF8(&utf8, s);
		bool same =
		    n >= 0 && (size_t)n == strlen(text) && memcmp(utf8, text, (size_t)n) == 0;

		OPENSSL_free(utf8);
		if (same)
			return true;
	}
	return false;
}

static void check(const uint8_t *der, int len, X509_NAME *name, struct arena *a)
{
	struct slice chain[] = {slice_of(der, (size_t)len), slice_of(der, (size_t)len / 2)};
	struct x509_identity who;

	if (x509_verify(verifier, chain, 1, time(NULL), a, &who, NULL) == 0) {
		assert(name && who.name && who.uid);
		assert(!who.name[0] || is_entry(name, NID_commonName, who.name));
		for (size_t i = 0; i < who.n_groups; i++)
			assert(is_entry(name, NID_organizationName, who.groups[i]));
		assert(who.not_before_s <= who.not_after_s);
	}
	ERR_IGNORE(x509_verify(verifier, chain, 2, time(NULL), a, &who, NULL)); /* lives */
}

/* A certificate for clients with this subject; NULL: it cannot be one. */
static X509 *issue(X509_NAME *subject)
{
	X509 *x = X509_new();
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "clientAuth");
	bool ok = x && e && X509_set_version(x, 2) && X509_set_subject_name(x, subject) &&
	          X509_set_issuer_name(x, X509_get_subject_name(ca.cert)) &&
	          ASN1_INTEGER_set(X509_get_serialNumber(x), 7) &&
	          X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
	          X509_gmtime_adj(X509_getm_notAfter(x), 3600) && X509_set_pubkey(x, ca.key) &&
	          X509_add_ext(x, e, -1) && X509_sign(x, ca.key, EVP_sha256());

	X509_EXTENSION_free(e);
	if (ok)
		return x;
	X509_free(x);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	const unsigned char *at = data;
	unsigned char *der = NULL;

	if (size > 1 << 16)
		return 0;
	check(data, (int)size, NULL, &a);
	X509_NAME *subject = d2i_X509_NAME(NULL, &at, (long)size);
	X509 *x = subject ? issue(subject) : NULL;
	int n = x ? i2d_X509(x, &der) : 0;
	if (n > 0)
		check(der, n, X509_get_subject_name(x), &a);
	OPENSSL_free(der);
	X509_free(x);
	X509_NAME_free(subject);
	return 0;
}
