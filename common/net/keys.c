/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/keys.h"
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "common/codec/base64.h"

enum { EC_BYTES_MAX = 66 };

/* --- loading
 * --------------------------------------------------------------------------------------- */

static const char *algorithm(EVP_PKEY *k)
{
	if (EVP_PKEY_base_id(k) == EVP_PKEY_RSA)
		return "RS256";
	if (EVP_PKEY_base_id(k) != EVP_PKEY_EC)
		return NULL;
	switch (EVP_PKEY_bits(k)) {
	case 256:
		return "ES256";
	case 384:
		return "ES384";
	case 521:
		return "ES512";
	default:
		return NULL;
	}
}

static char *key_id(EVP_PKEY *k)
{
	unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH];
	struct buf out = BUF_INIT;
	int n = i2d_PUBKEY(k, &der);

	SHA256(der, n > 0 ? (size_t)n : 0, hash);
	OPENSSL_free(der);
	base64url_encode(slice_of(hash, sizeof(hash)), &out);
	return buf_steal_str(&out);
}

static EVP_PKEY *pkey_of(const char *name, const unsigned char *data, long len, bool *ret_private)
{
	*ret_private = strstr(name, "PRIVATE KEY") != NULL;
	if (*ret_private)
		return d2i_AutoPrivateKey(NULL, &data, len);
	if (!strcmp(name, PEM_STRING_PUBLIC))
		return d2i_PUBKEY(NULL, &data, len);
	if (!strcmp(name, PEM_STRING_RSA_PUBLIC))
		return d2i_PublicKey(EVP_PKEY_RSA, NULL, &data, len);
	if (!strcmp(name, PEM_STRING_X509)) {
		X509 *cert = d2i_X509(NULL, &data, len);
		EVP_PKEY *k = cert ? X509_get_pubkey(cert) : NULL;

		X509_free(cert);
		return k;
	}
	return NULL;
}

/* Takes the key over, unless it is there already. */
static ssize_t add(struct keys *k, EVP_PKEY *pkey, bool is_private)
{
	struct key key = {.pkey = pkey, .alg = algorithm(pkey), .can_sign = is_private};

	if (!key.alg) {
		EVP_PKEY_free(pkey);
		return -1;
	}
	key.id = key_id(pkey);
	for (size_t i = 0; i < k->at.n; i++) {
		struct key *have = &k->at.at[i];

		if (strcmp(have->id, key.id) != 0)
			continue;
		free(key.id);
		if (is_private && !have->can_sign) {
			EVP_PKEY_free(have->pkey);
			have->pkey = pkey;
			have->can_sign = true;
		} else {
			EVP_PKEY_free(pkey);
		}
		return (ssize_t)i;
	}
	*vec_push(&k->at) = key;
	return (ssize_t)k->at.n - 1;
}

/* The index of the last key, or an error. */
static ssize_t add_file(struct keys *k, const char *path, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	ssize_t last = -1;
	long len;

	if (!f)
		return err_set(err, ERR_IO, "cannot read the key file %s", path);
	while (PEM_read(f, &name, &header, &data, &len)) {
		bool is_private;
		EVP_PKEY *pkey = pkey_of(name, data, len, &is_private);

		if (pkey)
			last = add(k, pkey, is_private);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t)len);
	}
	fclose(f);
	if (last < 0)
		return err_set(err, ERR_INVALID, "no RSA or elliptic curve key in the key file %s",
		               path);
	return last;
}

int keys_add_file(struct keys *k, const char *path, struct err *err)
{
	ssize_t r = add_file(k, path, err);

	return r < 0 ? (int)r : 0;
}

int keys_set_signer(struct keys *k, const char *path, struct err *err)
{
	ssize_t r = add_file(k, path, err);

	if (r < 0)
		return (int)r;
	if (!k->at.at[r].can_sign)
		return err_set(err, ERR_INVALID, "no private key in the key file %s", path);
	k->signer = r;
	return 0;
}

void keys_deinit(struct keys *k)
{
	VEC_FOREACH (&k->at, key) {
		EVP_PKEY_free(key->pkey);
		free(key->id);
	}
	vec_deinit(&k->at);
}

/* --- signatures
 * ------------------------------------------------------------------------------------- */

static const EVP_MD *digest_of(const char *alg)
{
	if (!strcmp(alg + 2, "256"))
		return EVP_sha256();
	if (!strcmp(alg + 2, "384"))
		return EVP_sha384();
	return !strcmp(alg + 2, "512") ? EVP_sha512() : NULL;
}

/* ECDSA in JWS is r and s side by side; OpenSSL wants them in DER. NULL: malformed. */
static unsigned char *der_of(const struct key *k, struct slice raw, int *ret_len)
{
	size_t half = ((size_t)EVP_PKEY_bits(k->pkey) + 7) / 8;
	unsigned char *der = NULL;
	ECDSA_SIG *sig;

	if (raw.len != 2 * half || !(sig = ECDSA_SIG_new()))
		return NULL;
	ECDSA_SIG_set0(sig, BN_bin2bn(raw.data, (int)half, NULL),
	               BN_bin2bn(raw.data + half, (int)half, NULL));
	*ret_len = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return der;
}

static bool fits(const struct key *k, const char *alg)
{
	if (EVP_PKEY_base_id(k->pkey) == EVP_PKEY_EC)
		return !strcmp(alg, k->alg);
	return !strncmp(alg, "RS", 2) || !strncmp(alg, "PS", 2);
}

static bool verify(const struct key *k, const char *alg, const EVP_MD *md, struct slice input,
                   const unsigned char *sig, size_t sig_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool ok = ctx && EVP_DigestVerifyInit(ctx, &pctx, md, NULL, k->pkey) == 1;

	if (ok && alg[0] == 'P')
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(ctx, sig, sig_len, input.data, input.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool key_verify(const struct key *k, const char *alg, struct slice input, struct slice signature)
{
	const EVP_MD *md = strlen(alg) == 5 ? digest_of(alg) : NULL;
	unsigned char *der;
	int len;

	if (!md || !fits(k, alg))
		return false;
	if (alg[0] != 'E')
		return verify(k, alg, md, input, signature.data, signature.len);
	der = der_of(k, signature, &len);
	bool ok = der && len > 0 && verify(k, alg, md, input, der, (size_t)len);
	OPENSSL_free(der);
	return ok;
}

static int raw_of(const struct key *k, const unsigned char *der, size_t len, struct buf *out)
{
	int half = (EVP_PKEY_bits(k->pkey) + 7) / 8;
	unsigned char raw[2 * EC_BYTES_MAX];
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	if (!sig)
		return -ERR_INTERNAL;
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half);
	ECDSA_SIG_free(sig);
	buf_add(out, raw, 2 * (size_t)half);
	return 0;
}

int key_sign(const struct key *k, struct slice input, struct buf *out, struct err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t len = sizeof(sig);
	bool ok = ctx && EVP_PKEY_size(k->pkey) <= (int)sizeof(sig) &&
	          EVP_DigestSignInit(ctx, NULL, digest_of(k->alg), NULL, k->pkey) == 1 &&
	          EVP_DigestSign(ctx, sig, &len, input.data, input.len) == 1;

	EVP_MD_CTX_free(ctx);
	if (ok && k->alg[0] == 'E')
		ok = raw_of(k, sig, len, out) == 0;
	else if (ok)
		buf_add(out, sig, len);
	return ok ? 0 : err_set(err, ERR_INTERNAL, "cannot sign the token");
}

/* --- JWKS
 * -------------------------------------------------------------------------------------------- */

static void number(EVP_PKEY *k, const char *param, const char *member, int width, struct buf *out)
{
	unsigned char bytes[1024];
	BIGNUM *n = NULL;

	if (EVP_PKEY_get_bn_param(k, param, &n) != 1)
		return;
	int len = width ? width : BN_num_bytes(n);
	if (len <= (int)sizeof(bytes) && BN_bn2binpad(n, bytes, len) == len) {
		buf_printf(out, ",\"%s\":\"", member);
		base64url_encode(slice_of(bytes, (size_t)len), out);
		buf_byte(out, '"');
	}
	BN_free(n);
}

void keys_jwks(const struct keys *k, struct buf *out)
{
	buf_str(out, "{\"keys\":[");
	for (size_t i = 0; i < k->at.n; i++) {
		const struct key *key = &k->at.at[i];
		bool ec = key->alg[0] == 'E';

		buf_printf(out, "%s{\"use\":\"sig\",\"kty\":\"%s\",\"kid\":\"%s\"", i ? "," : "",
		           ec ? "EC" : "RSA", key->id);
		if (ec) {
			int half = (EVP_PKEY_bits(key->pkey) + 7) / 8;

			buf_printf(out, ",\"crv\":\"P-%d\"", EVP_PKEY_bits(key->pkey));
			buf_printf(out, ",\"alg\":\"%s\"", key->alg);
			number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, "x", half, out);
			number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, "y", half, out);
		} else {
			buf_printf(out, ",\"alg\":\"%s\"", key->alg);
			number(key->pkey, OSSL_PKEY_PARAM_RSA_N, "n", 0, out);
			number(key->pkey, OSSL_PKEY_PARAM_RSA_E, "e", 0, out);
		}
		buf_byte(out, '}');
	}
	buf_str(out, "]}");
}
