/* SPDX-License-Identifier: Apache-2.0 */
/* Identities of clients. The auth context of a connection carries the certificate as PEM; parsing
 * it for every call would cost more than the call, so that identities are kept by their PEM text.
 */
#include <assert.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/net/rpc_call.h"

/* Beyond this many different certificates the cache starts afresh. */
enum { CACHED_PEERS = 4096 };

struct peer {
	struct rpc_peer pub; /* first: rpc_peer_unref casts back */
	atomic_uint refs;
	struct arena arena;
};

static const struct rpc_peer nobody = {.common_name = ""};
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct map cache; /* PEM -> struct peer, one reference each */

static const char *entry_text(struct arena *a, X509_NAME_ENTRY *entry)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
	if (n < 0)
		return NULL;
	/* An embedded NUL would make two names look alike. */
	const char *out = memchr(utf8, 0, (size_t)n) ? NULL : arena_strndup(a, utf8, (size_t)n);
	OPENSSL_free(utf8);
	return out;
}

static void read_subject(struct peer *p, X509_NAME *subject)
{
	int n = X509_NAME_entry_count(subject);
	const char **orgs = arena_array(&p->arena, const char *, n + 1);
	for (int i = 0; i < n; i++) {
		X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
		const char *text = entry_text(&p->arena, entry);
		if (text && nid == NID_commonName)
			p->pub.common_name = text;
		else if (text && nid == NID_organizationName)
			orgs[p->pub.n_organizations++] = text;
	}
	p->pub.organizations = orgs;
}

static struct peer *peer_parse(struct slice pem)
{
	struct peer *p = calloc(1, sizeof *p);
	if (!p)
		abort();
	atomic_init(&p->refs, 1);
	arena_init(&p->arena);
	p->pub.common_name = "";
	p->pub.pem = arena_strndup(&p->arena, pem.data, pem.len);
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (cert)
		read_subject(p, X509_get_subject_name(cert));
	X509_free(cert);
	BIO_free(bio);
	return p;
}

void rpc_peer_unref(const struct rpc_peer *pub)
{
	if (!pub || pub == &nobody)
		return;
	struct peer *p = (struct peer *)(uintptr_t)pub;
	if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_deinit(&p->arena);
	free(p);
}

static void cache_clear_locked(void)
{
	MAP_FOREACH (&cache, slot)
		rpc_peer_unref(&((struct peer *)slot->value)->pub);
	map_deinit(&cache);
	map_init(&cache, 0);
}

void rpc_peer_cache_clear(void)
{
	pthread_mutex_lock(&cache_lock);
	cache_clear_locked();
	pthread_mutex_unlock(&cache_lock);
}

/* The cached identity with a new reference. */
static const struct rpc_peer *peer_lookup(struct slice pem)
{
	pthread_mutex_lock(&cache_lock);
	struct peer *p = map_get(&cache, pem);
	if (!p) {
		if (cache.n >= CACHED_PEERS)
			cache_clear_locked();
		p = peer_parse(pem);
		map_put(&cache, pem, p);
	}
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&cache_lock);
	return &p->pub;
}

const struct rpc_peer *rpc_peer_of(grpc_call *call)
{
	grpc_auth_context *ctx = grpc_call_auth_context(call);
	if (!ctx)
		return &nobody;
	grpc_auth_property_iterator it =
	    grpc_auth_context_find_properties_by_name(ctx, GRPC_X509_PEM_CERT_PROPERTY_NAME);
	const grpc_auth_property *pem = grpc_auth_property_iterator_next(&it);
	const struct rpc_peer *p = pem && pem->value_length
	                               ? peer_lookup(slice_of(pem->value, pem->value_length))
	                               : &nobody;
	grpc_auth_context_release(ctx);
	return p;
}
