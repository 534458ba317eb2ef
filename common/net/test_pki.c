/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/test_pki.h"

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static char *pem_text(X509 *cert, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	if (cert)
		PEM_write_bio_X509(bio, cert);
	else
		PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	char *out = strndup(data, (size_t)n);
	BIO_free(bio);
	return out;
}

static void add_name(X509_NAME *name, const char *field, const char *value)
{
	int r = X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value,
	                                   -1, -1, 0);
	assert(r == 1);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static X509 *new_cert(EVP_PKEY *key, long serial, const char *common_name, const char *orgs)
{
	X509 *cert = X509_new();
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME *name = X509_get_subject_name(cert);
	char *list = strdup(orgs ? orgs : ""), *save = NULL;
	for (char *o = strtok_r(list, ",", &save); o; o = strtok_r(NULL, ",", &save))
		add_name(name, "O", o);
	free(list);
	add_name(name, "CN", common_name);
	return cert;
}

void test_ca_init(struct test_ca *ca, const char *common_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = new_cert(key, 1, common_name, NULL);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,digitalSignature");
	X509_sign(cert, key, EVP_sha256());
	*ca = (struct test_ca){key, cert, pem_text(cert, NULL), 1};
}

void test_ca_deinit(struct test_ca *ca)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	free(ca->pem);
}

void test_leaf_init(struct test_leaf *leaf, struct test_ca *ca, const char *common_name,
                    const char *orgs, const char *san)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = new_cert(key, ++ca->serial, common_name, orgs);
	X509_set_issuer_name(cert, X509_get_subject_name(ca->cert));
	add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth");
	if (san)
		add_extension(cert, ca->cert, NID_subject_alt_name, san);
	X509_sign(cert, ca->key, EVP_sha256());
	leaf->cert_pem = pem_text(cert, NULL);
	leaf->key_pem = pem_text(NULL, key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void test_leaf_deinit(struct test_leaf *leaf)
{
	free(leaf->cert_pem);
	free(leaf->key_pem);
}
