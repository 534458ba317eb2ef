/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "kubelet/server/server.h"

struct server_auth {
	X509_STORE *store; /* NULL: nobody is known */
};

/* What was found out about a connection. */
struct identity {
	enum server_access access;
	char name[256];
};

static const char *const groups_allowed[] = {"system:masters", "kubeadm:cluster-admins"};
static const char *const names_allowed[] = {"kube-apiserver-kubelet-client"};

int server_auth_new(const char *client_ca_file, struct server_auth **ret, struct err *err)
{
	struct server_auth *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	if (*client_ca_file) {
		a->store = X509_STORE_new();
		if (!a->store || X509_STORE_load_file(a->store, client_ca_file) != 1) {
			server_auth_free(a);
			return err_set(err, ERR_INVALID, "cannot read certificates from %s",
			               client_ca_file);
		}
	}
	*ret = a;
	return 0;
}

void server_auth_free(struct server_auth *a)
{
	if (!a)
		return;
	X509_STORE_free(a->store);
	free(a);
}

static X509 *parse(struct slice der)
{
	const unsigned char *p = der.data;
	return d2i_X509(NULL, &p, (long)der.len);
}

static bool is_signed(struct server_auth *a, X509 *leaf, const struct http_peer *peer)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = sk_X509_new_null();
	bool good = false;
	for (size_t i = 1; chain && i < peer->n_certs; i++) {
		X509 *c = parse(peer->certs[i]);
		if (c)
			sk_X509_push(chain, c);
	}
	if (ctx && chain && X509_STORE_CTX_init(ctx, a->store, leaf, chain) == 1) {
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
		good = X509_verify_cert(ctx) == 1;
	}
	X509_STORE_CTX_free(ctx);
	sk_X509_pop_free(chain, X509_free);
	return good;
}

/* Is any value of this part of the subject among the list? Embedded NULs match nothing. */
static bool subject_has(X509_NAME *subject, int nid, const char *const *list, size_t n)
{
	for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0;) {
		ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		struct slice text =
		    slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
		for (size_t i = 0; i < n; i++)
			if (slice_eq_str(text, list[i]))
				return true;
	}
	return false;
}

static struct identity *identify(struct server_auth *a, const struct http_peer *peer)
{
	struct identity *id = calloc(1, sizeof(*id));
	if (!id)
		abort();
	id->access = ACCESS_ANONYMOUS;
	X509 *leaf = a->store && peer->n_certs ? parse(peer->certs[0]) : NULL;
	if (leaf && is_signed(a, leaf, peer)) {
		X509_NAME *subject = X509_get_subject_name(leaf);
		X509_NAME_get_text_by_NID(subject, NID_commonName, id->name, sizeof(id->name));
		bool good =
		    subject_has(subject, NID_organizationName, groups_allowed,
		                ARRAY_LEN(groups_allowed)) ||
		    subject_has(subject, NID_commonName, names_allowed, ARRAY_LEN(names_allowed));
		id->access = good ? ACCESS_GRANTED : ACCESS_DENIED;
	}
	X509_free(leaf);
	return id;
}

enum server_access server_auth_check(struct server_auth *a, struct http_peer *peer,
                                     const char **ret_user)
{
	if (!peer->data) {
		peer->data = identify(a, peer);
		peer->data_free = free;
	}
	const struct identity *id = peer->data;
	*ret_user = id->name;
	return id->access;
}
