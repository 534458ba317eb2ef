/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/x509.h"
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

enum { CHAIN_MAX = 10, NAMES_LIMIT = 256 };

/* The subject attribute that carries a user's UID (Kubernetes' own arc). */
static const char UID_OID[] = "1.3.6.1.4.1.57683.2";

struct x509_verifier {
	char *ca_file;
	pthread_mutex_t lock; /* of store and seen */
	X509_STORE *store;
	struct stat seen;
	atomic_uint_fast64_t generation;
};

static void x509_free_p(X509 **p)
{
	X509_free(*p);
}

static void chain_free_p(STACK_OF(X509) * *p)
{
	sk_X509_pop_free(*p, X509_free);
}

static void ctx_free_p(X509_STORE_CTX **p)
{
	X509_STORE_CTX_free(*p);
}

/* --- the bundle ------------------------------------------------------------------------------ */

static int store_load(const char *path, X509_STORE **ret, struct err *err)
{
	FILE *f = fopen(path, "re");
	X509_STORE *store = X509_STORE_new();
	X509 *cert;
	size_t n = 0;

	if (!f || !store) {
		X509_STORE_free(store);
		if (f)
			fclose(f);
		return err_set(err, ERR_IO, "cannot read the CA file %s", path);
	}
	while ((cert = PEM_read_X509(f, NULL, NULL, NULL))) {
		X509_STORE_add_cert(store, cert);
		X509_free(cert);
		n++;
	}
	fclose(f);
	if (!n) {
		X509_STORE_free(store);
		return err_set(err, ERR_INVALID, "no certificate in the CA file %s", path);
	}
	*ret = store;
	return 0;
}

int x509_verifier_new(const char *ca_file, struct x509_verifier **ret, struct err *err)
{
	X509_STORE *store;
	int r = store_load(ca_file, &store, err);

	if (r < 0)
		return r;
	struct x509_verifier *v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->ca_file = strdup(ca_file);
	v->store = store;
	v->generation = 1;
	pthread_mutex_init(&v->lock, NULL);
	if (stat(ca_file, &v->seen) < 0)
		v->seen = (struct stat){0};
	*ret = v;
	return 0;
}

void x509_verifier_free(struct x509_verifier *v)
{
	if (!v)
		return;
	X509_STORE_free(v->store);
	pthread_mutex_destroy(&v->lock);
	free(v->ca_file);
	free(v);
}

uint64_t x509_verifier_generation(const struct x509_verifier *v)
{
	return atomic_load(&v->generation);
}

static bool unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int x509_verifier_reload(struct x509_verifier *v, struct err *err)
{
	X509_STORE *store, *old;
	struct stat now;

	if (stat(v->ca_file, &now) < 0)
		return err_set(err, ERR_IO, "cannot read the CA file %s", v->ca_file);
	if (unchanged(&now, &v->seen))
		return 0;
	int r = store_load(v->ca_file, &store, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	old = v->store;
	v->store = store;
	v->seen = now;
	pthread_mutex_unlock(&v->lock);
	atomic_fetch_add(&v->generation, 1);
	X509_STORE_free(old);
	return 0;
}

static X509_STORE *store_ref(struct x509_verifier *v)
{
	X509_STORE *store;

	pthread_mutex_lock(&v->lock);
	store = v->store;
	X509_STORE_up_ref(store);
	pthread_mutex_unlock(&v->lock);
	return store;
}

/* --- reading a subject ------------------------------------------------------------------------ */

/* The text of a name's entry in the arena; NULL when it cannot be a name of ours. */
static const char *entry_text(const X509_NAME_ENTRY *e, struct arena *a)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
	const char *text = NULL;

	if (n >= 0 && !memchr(utf8, 0, (size_t)n))
		text = arena_strndup(a, utf8, (size_t)n);
	OPENSSL_free(utf8);
	return text;
}

static int read_subject(X509 *leaf, struct arena *a, struct x509_identity *ret, struct err *err)
{
	X509_NAME *subject = X509_get_subject_name(leaf);
	int n = X509_NAME_entry_count(subject);

	if (n > NAMES_LIMIT)
		return err_set(err, ERR_LIMIT, "the certificate's subject has too many names");
	const char **groups = arena_array(a, const char *, n + 1);

	ret->name = ret->uid = "";
	ret->groups = groups;
	for (int i = 0; i < n; i++) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
		const ASN1_OBJECT *oid = X509_NAME_ENTRY_get_object(e);
		const char *text = entry_text(e, a);
		char dotted[64];

		if (!text)
			return err_set(err, ERR_INVALID, "the certificate's subject is malformed");
		if (OBJ_obj2nid(oid) == NID_commonName)
			ret->name = text;
		else if (OBJ_obj2nid(oid) == NID_organizationName)
			groups[ret->n_groups++] = text;
		else if (OBJ_obj2txt(dotted, sizeof(dotted), oid, 1) > 0 &&
		         strcmp(dotted, UID_OID) == 0)
			ret->uid = text;
	}
	return 0;
}

static const char *credential_id(struct slice der, struct arena *a)
{
	static const char PREFIX[] = "X509SHA256=";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char *out = arena_alloc(a, sizeof(PREFIX) + 2 * sizeof(hash));

	SHA256(der.data, der.len, hash);
	memcpy(out, PREFIX, sizeof(PREFIX));
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(out + sizeof(PREFIX) - 1 + 2 * i, 3, "%02x", hash[i]);
	return out;
}

/* --- verifying -------------------------------------------------------------------------------- */

static X509 *parse(struct slice der)
{
	const unsigned char *p = der.data;

	return d2i_X509(NULL, &p, (long)der.len);
}

static int64_t epoch(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

static void chain_validity(STACK_OF(X509) * chain, struct x509_identity *ret)
{
	ret->not_before_s = INT64_MIN;
	ret->not_after_s = INT64_MAX;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		const X509 *c = sk_X509_value(chain, i);

		ret->not_before_s = MAX(ret->not_before_s, epoch(X509_get0_notBefore(c)));
		ret->not_after_s = MIN(ret->not_after_s, epoch(X509_get0_notAfter(c)));
	}
}

static int verify_chain(X509_STORE *store, X509 *leaf, STACK_OF(X509) * others, int64_t now_s,
                        struct x509_identity *ret, struct err *err)
{
	_cleanup_(ctx_free_p) X509_STORE_CTX *ctx = X509_STORE_CTX_new();

	if (!ctx || !X509_STORE_CTX_init(ctx, store, leaf, others))
		return err_set(err, ERR_NOMEM, "cannot verify the certificate");
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), now_s);
	X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), CHAIN_MAX);
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
	if (X509_verify_cert(ctx) != 1)
		return err_set(err, ERR_UNAUTHORIZED, "x509: %s",
		               X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	chain_validity(X509_STORE_CTX_get0_chain(ctx), ret);
	return 0;
}

int x509_verify(struct x509_verifier *v, const struct slice *certs, size_t n_certs, int64_t now_s,
                struct arena *a, struct x509_identity *ret, struct err *err)
{
	if (n_certs == 0 || n_certs > CHAIN_MAX)
		return err_set(err, ERR_UNAUTHORIZED, "x509: %zu certificates", n_certs);
	_cleanup_(x509_free_p) X509 *leaf = parse(certs[0]);
	_cleanup_(chain_free_p) STACK_OF(X509) *others = sk_X509_new_null();

	if (!leaf || !others)
		return err_set(err, ERR_UNAUTHORIZED, "x509: malformed certificate");
	for (size_t i = 1; i < n_certs; i++) {
		X509 *c = parse(certs[i]);

		if (!c || !sk_X509_push(others, c)) {
			X509_free(c);
			return err_set(err, ERR_UNAUTHORIZED, "x509: malformed certificate");
		}
	}
	struct x509_identity id = {.generation = x509_verifier_generation(v)};
	X509_STORE *store = store_ref(v);
	int r = verify_chain(store, leaf, others, now_s, &id, err);

	X509_STORE_free(store);
	if (r < 0)
		return r;
	r = read_subject(leaf, a, &id, err);
	if (r < 0)
		return r;
	id.credential_id = credential_id(certs[0], a);
	*ret = id;
	return 0;
}
