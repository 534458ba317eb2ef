/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/jwt.h"
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "common/codec/base64.h"
#include "common/codec/duration.h"
#include "common/codec/json_writer.h"
#include "common/codec/jvalue.h"

enum { TOKEN_MAX = 16 << 10, KEY_FILE_MAX = 64 << 10, TTL_DEFAULT_S = 300 };

enum family { FAMILY_HS, FAMILY_RS, FAMILY_PS, FAMILY_ES, FAMILY_ED };

static const struct method {
	const char *name;
	enum family family;
	int bits;
	int curve_bytes; /* of each half of an ECDSA signature */
} methods[] = {
    {"HS256", FAMILY_HS, 256, 0},  {"HS384", FAMILY_HS, 384, 0},  {"HS512", FAMILY_HS, 512, 0},
    {"RS256", FAMILY_RS, 256, 0},  {"RS384", FAMILY_RS, 384, 0},  {"RS512", FAMILY_RS, 512, 0},
    {"PS256", FAMILY_PS, 256, 0},  {"PS384", FAMILY_PS, 384, 0},  {"PS512", FAMILY_PS, 512, 0},
    {"ES256", FAMILY_ES, 256, 32}, {"ES384", FAMILY_ES, 384, 48}, {"ES512", FAMILY_ES, 512, 66},
    {"EdDSA", FAMILY_ED, 0, 0},
};

struct jwt_keys {
	const struct method *method;
	EVP_PKEY *private, *public;
	struct buf secret; /* of HS */
	int64_t ttl_s;
};

static const EVP_MD *digest(const struct method *m)
{
	switch (m->bits) {
	case 256:
		return EVP_sha256();
	case 384:
		return EVP_sha384();
	case 512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

/* --- keys --- */

static int read_file(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_INVALID, "--auth-token: %s: %s", path, strerror(errno));
	buf_reserve(out, KEY_FILE_MAX);
	out->len = fread(out->data, 1, KEY_FILE_MAX, f);
	fclose(f);
	return 0;
}

static EVP_PKEY *parse_public(BIO *bio)
{
	EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	if (key)
		return key;
	ERR_IGNORE(BIO_reset(bio)); /* a memory BIO */
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	key = x ? X509_get_pubkey(x) : NULL;
	X509_free(x);
	return key;
}

static bool fits(const struct method *m, EVP_PKEY *key)
{
	switch (m->family) {
	case FAMILY_RS:
	case FAMILY_PS:
		return EVP_PKEY_is_a(key, "RSA");
	case FAMILY_ES:
		return EVP_PKEY_is_a(key, "EC") &&
		       (EVP_PKEY_get_bits(key) + 7) / 8 == m->curve_bytes;
	case FAMILY_ED:
		return EVP_PKEY_is_a(key, "ED25519");
	default:
		return false;
	}
}

static int load_key(const struct jwt_keys *k, const char *path, bool is_private, EVP_PKEY **ret,
                    struct err *err)
{
	_cleanup_buf_ struct buf pem = BUF_INIT;
	int r = read_file(path, &pem, err);
	if (r)
		return r;
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	*ret = is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : parse_public(bio);
	BIO_free(bio);
	OPENSSL_cleanse(pem.data, pem.len);
	ERR_clear_error();
	if (!*ret || !fits(k->method, *ret))
		return err_set(err, ERR_INVALID, "--auth-token: %s: not a key for %s", path,
		               k->method->name);
	return 0;
}

static int load_keys(struct jwt_keys *k, const char *private, const char *public, struct err *err)
{
	if (!*private && !*public)
		return err_set(err, ERR_INVALID, "--auth-token: missing key data");
	if (k->method->family == FAMILY_HS)
		return read_file(*private ? private : public, &k->secret, err);
	int r = *private ? load_key(k, private, true, &k->private, err) : 0;
	if (!r && *public)
		r = load_key(k, public, false, &k->public, err);
	if (!r && k->private && k->public && EVP_PKEY_eq(k->private, k->public) != 1)
		r = err_set(err, ERR_INVALID, "--auth-token: public and private keys don't match");
	return r;
}

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	}
	return NULL;
}

static int parse_ttl(const char *text, int64_t *ret_s, struct err *err)
{
	int64_t ns;
	if (duration_parse(slice_str(text), &ns, NULL) || ns < 1000000000)
		return err_set(err, ERR_INVALID, "--auth-token: bad ttl: %s", text);
	*ret_s = ns / 1000000000;
	return 0;
}

int jwt_keys_load(const char *options, struct jwt_keys **ret, struct err *err)
{
	_cleanup_arena_ struct arena a;
	const char *private = "", *public = "", *method = "", *ttl = "";
	arena_init(&a);
	for (char *at = arena_strdup(&a, options), *end; at && *at; at = end) {
		end = strchr(at, ',');
		if (end)
			*end++ = 0;
		char *value = strchr(at, '=');
		if (!value)
			return err_set(err, ERR_INVALID, "--auth-token: invalid auth options");
		*value++ = 0;
		const char **to = !strcmp(at, "priv-key")      ? &private
		                  : !strcmp(at, "pub-key")     ? &public
		                  : !strcmp(at, "sign-method") ? &method
		                  : !strcmp(at, "ttl")         ? &ttl
		                                               : NULL;
		if (!to || **to)
			return err_set(err, ERR_INVALID, "--auth-token: invalid auth options");
		*to = value;
	}
	struct jwt_keys *k = calloc(1, sizeof(*k));
	if (!k)
		abort();
	k->ttl_s = TTL_DEFAULT_S;
	k->method = find_method(method);
	int r = k->method ? 0
	                  : err_set(err, ERR_INVALID,
	                            "--auth-token: invalid auth signature method: \"%s\"", method);
	if (!r && *ttl)
		r = parse_ttl(ttl, &k->ttl_s, err);
	if (!r)
		r = load_keys(k, private, public, err);
	if (r)
		jwt_keys_free(k);
	else
		*ret = k;
	return r;
}

void jwt_keys_free(struct jwt_keys *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->private);
	EVP_PKEY_free(k->public);
	if (k->secret.len)
		OPENSSL_cleanse(k->secret.data, k->secret.len);
	buf_deinit(&k->secret);
	free(k);
}

int64_t jwt_ttl_s(const struct jwt_keys *k)
{
	return k->ttl_s;
}

/* --- signatures --- */

static void mac(const struct jwt_keys *k, struct slice text, struct buf *out)
{
	unsigned n = EVP_MAX_MD_SIZE;
	buf_reserve(out, n);
	HMAC(digest(k->method), k->secret.data, (int)k->secret.len, text.data, text.len, out->data,
	     &n);
	out->len = n;
}

static bool set_padding(const struct method *m, EVP_PKEY_CTX *c)
{
	return m->family != FAMILY_PS ||
	       (EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
	        EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0);
}

/* ASN.1 to the two numbers side by side, as JWT has them. */
static bool ec_to_raw(const struct method *m, struct buf *sig)
{
	const uint8_t *p = sig->data;
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)sig->len);
	if (!s)
		return false;
	int n = m->curve_bytes;
	buf_clear(sig);
	buf_reserve(sig, (size_t)n * 2);
	bool ok = BN_bn2binpad(ECDSA_SIG_get0_r(s), sig->data, n) == n &&
	          BN_bn2binpad(ECDSA_SIG_get0_s(s), sig->data + n, n) == n;
	sig->len = (size_t)n * 2;
	ECDSA_SIG_free(s);
	return ok;
}

static bool ec_from_raw(const struct method *m, struct slice raw, struct buf *out)
{
	int n = m->curve_bytes;
	if (raw.len != (size_t)n * 2)
		return false;
	ECDSA_SIG *s = ECDSA_SIG_new();
	BIGNUM *a = BN_bin2bn(raw.data, n, NULL), *b = BN_bin2bn(raw.data + n, n, NULL);
	if (!s || !a || !b || !ECDSA_SIG_set0(s, a, b))
		abort();
	int len = i2d_ECDSA_SIG(s, NULL);
	if (len > 0) {
		buf_reserve(out, (size_t)len);
		uint8_t *p = out->data;
		out->len = (size_t)i2d_ECDSA_SIG(s, &p);
	}
	ECDSA_SIG_free(s);
	return len > 0;
}

static bool signature_make(const struct jwt_keys *k, struct slice text, struct buf *out)
{
	if (k->method->family == FAMILY_HS) {
		mac(k, text, out);
		return true;
	}
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pc = NULL;
	size_t n = 0;
	bool ok = EVP_DigestSignInit(c, &pc, digest(k->method), NULL, k->private) > 0 &&
	          set_padding(k->method, pc) &&
	          EVP_DigestSign(c, NULL, &n, text.data, text.len) > 0;
	if (ok) {
		buf_reserve(out, n);
		ok = EVP_DigestSign(c, out->data, &n, text.data, text.len) > 0;
		out->len = n;
	}
	EVP_MD_CTX_free(c);
	return ok && (k->method->family != FAMILY_ES || ec_to_raw(k->method, out));
}

static bool signature_holds(const struct jwt_keys *k, struct slice text, struct slice sig)
{
	_cleanup_buf_ struct buf own = BUF_INIT;
	if (k->method->family == FAMILY_HS) {
		mac(k, text, &own);
		return sig.len == own.len && !CRYPTO_memcmp(sig.data, own.data, own.len);
	}
	if (k->method->family == FAMILY_ES) {
		if (!ec_from_raw(k->method, sig, &own))
			return false;
		sig = buf_view(&own);
	}
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pc = NULL;
	EVP_PKEY *key = k->public ? k->public : k->private;
	bool ok = EVP_DigestVerifyInit(c, &pc, digest(k->method), NULL, key) > 0 &&
	          set_padding(k->method, pc) &&
	          EVP_DigestVerify(c, sig.data, sig.len, text.data, text.len) > 0;
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok;
}

/* --- tokens --- */

int jwt_sign(const struct jwt_keys *k, const struct jwt_claims *c, struct buf *out)
{
	_cleanup_buf_ struct buf part = BUF_INIT, sig = BUF_INIT;
	if (!k->private && k->method->family != FAMILY_HS)
		return -ERR_FORBIDDEN;
	size_t from = out->len;
	buf_printf(&part, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", k->method->name);
	base64url_encode(buf_view(&part), out);
	buf_byte(out, '.');
	buf_clear(&part);
	buf_printf(&part, "{\"exp\":%lld,\"revision\":%llu,\"username\":", (long long)c->expires_s,
	           (unsigned long long)c->revision);
	json_write_string(&part, c->user);
	buf_byte(&part, '}');
	base64url_encode(buf_view(&part), out);
	if (!signature_make(k, slice_skip(buf_view(out), from), &sig))
		return -ERR_INTERNAL;
	buf_byte(out, '.');
	base64url_encode(buf_view(&sig), out);
	return 0;
}

static struct jvalue *decode_part(struct slice text, struct arena *a)
{
	struct slice json;
	struct jvalue *v;
	if (base64url_decode(text, a, &json, NULL) || jvalue_parse(json, a, NULL, &v, NULL))
		return NULL;
	return v;
}

static bool claims_read(const struct jvalue *v, int64_t now_s, struct jwt_claims *ret)
{
	const struct jvalue *user = jvalue_get(v, "username"),
	                    *revision = jvalue_get(v, "revision");
	if (!jvalue_is(user, JVALUE_STRING) || !user->n || !jvalue_is(revision, JVALUE_INT) ||
	    revision->i <= 0)
		return false;
	ret->user = jvalue_slice(user);
	ret->revision = (uint64_t)revision->i;
	ret->expires_s = jvalue_get_int(v, "exp", 0);
	return ret->expires_s > now_s && jvalue_get_int(v, "nbf", 0) <= now_s;
}

bool jwt_verify(const struct jwt_keys *k, struct slice token, int64_t now_s, struct arena *a,
                struct jwt_claims *ret)
{
	struct slice part[3], rest = token, sig;
	if (token.len > TOKEN_MAX)
		return false;
	for (size_t i = 0; i < 3; i++) {
		const uint8_t *dot = rest.len ? memchr(rest.data, '.', rest.len) : NULL;
		if ((i < 2) != (dot != NULL))
			return false;
		size_t n = dot ? (size_t)(dot - rest.data) : rest.len;
		part[i] = slice_of(rest.data, n);
		rest = slice_skip(rest, n + 1);
	}
	/* The method is ours to choose, never the token's. */
	struct jvalue *head = decode_part(part[0], a);
	if (!head || strcmp(jvalue_get_str(head, "alg", ""), k->method->name) ||
	    base64url_decode(part[2], a, &sig, NULL))
		return false;
	struct slice text = slice_of(token.data, part[0].len + 1 + part[1].len);
	if (!signature_holds(k, text, sig))
		return false;
	const struct jvalue *claims = decode_part(part[1], a);
	return claims && claims_read(claims, now_s, ret);
}
