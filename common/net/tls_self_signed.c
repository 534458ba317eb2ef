/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/rng.h"
#include "common/net/tls.h"
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(BIO, BIO_free_all)

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool is_address(const char *host)
{
	uint8_t bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool add_names(X509 *cert, const char *const *hosts, size_t n_hosts)
{
	_cleanup_buf_ struct buf list = BUF_INIT;

	for (size_t i = 0; i < n_hosts; i++)
		buf_printf(&list, "%s%s:%s", i ? "," : "", is_address(hosts[i]) ? "IP" : "DNS",
		           hosts[i]);
	return n_hosts == 0 || add_extension(cert, NID_subject_alt_name, (const char *)list.data);
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *const *hosts, size_t n_hosts, int64_t now_s)
{
	enum { HOUR_S = 3600, YEAR_S = 365 * 24 * 3600 };
	uint64_t serial;
	rng_system(&serial, sizeof(serial));
	X509_NAME *name = X509_get_subject_name(cert);
	const char *cn = n_hosts ? hosts[0] : "localhost";

	return X509_set_version(cert, 2) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
	       ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now_s - HOUR_S)) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(now_s + YEAR_S)) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1,
	                                  0) == 1 &&
	       X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
	       add_extension(cert, NID_key_usage,
	                     "critical,digitalSignature,keyEncipherment,keyCertSign") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") &&
	       add_names(cert, hosts, n_hosts) && X509_sign(cert, key, EVP_sha256()) > 0;
}

static void drain(BIO *bio, struct buf *out)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	if (len > 0)
		buf_add(out, text, (size_t)len);
}

int tls_self_signed(const char *const *hosts, size_t n_hosts, int64_t now_s, struct buf *cert_pem,
                    struct buf *key_pem, struct err *err)
{
	_cleanup_(X509_free_p) X509 *cert = X509_new();
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(BIO_free_all_p) BIO *cert_bio = BIO_new(BIO_s_mem());
	_cleanup_(BIO_free_all_p) BIO *key_bio = BIO_new(BIO_s_secmem());

	if (!cert || !key || !cert_bio || !key_bio || !fill(cert, key, hosts, n_hosts, now_s) ||
	    PEM_write_bio_X509(cert_bio, cert) != 1 ||
	    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return err_set(err, ERR_INTERNAL, "a self-signed certificate could not be made");
	drain(cert_bio, cert_pem);
	drain(key_bio, key_pem);
	return 0;
}
