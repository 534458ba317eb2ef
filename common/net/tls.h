/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS 1.2 and 1.3 over memory (OpenSSL 3): a session takes and gives bytes and knows no socket.
 *
 * A tls_context holds certificates and is shared by sessions on any thread; tls_context_reload
 * swaps what new sessions see. A session belongs to one loop. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include <stdbool.h>

struct tls_context;
struct tls_session;

enum tls_client_auth {
	TLS_CLIENT_AUTH_NONE,
	TLS_CLIENT_AUTH_REQUEST, /* asked for, any or none is taken; the caller verifies */
	TLS_CLIENT_AUTH_REQUIRE, /* one that `ca` verifies is needed */
};

/* Files in PEM, or (when the file is NULL) PEM text. */
struct tls_options {
	bool server;
	const char *cert_file, *key_file;
	struct slice cert_pem, key_pem;
	/* Servers: whom TLS_CLIENT_AUTH_REQUIRE accepts, and the names sent with REQUEST. Clients:
	 * who may sign the server's certificate; none: the system's. */
	const char *ca_file;
	struct slice ca_pem;
	enum tls_client_auth client_auth;
	bool insecure_skip_verify; /* clients: takes any server */
	const char *server_name;   /* clients: instead of the host (SNI and verification) */
	const char *const *alpn;   /* preferred first, ends in NULL; NULL: none */
	const char *min_version;   /* "VersionTLS12" (default) or "VersionTLS13" */
	/* For TLS 1.2: names as IANA's registry or OpenSSL spells them, separated by commas; NULL:
	 * forward secret AEADs. */
	const char *cipher_suites;
};

int tls_context_new(const struct tls_options *o, struct tls_context **ret, struct err *err);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* NULL does nothing */
/* Reads the files again; on failure the context stays as it was. Any thread. */
int tls_context_reload(struct tls_context *c, struct err *err);
DEFINE_CLEANUP(struct tls_context, tls_context_unref)

/* host: clients' SNI and name to verify (DNS name or IP address); NULL on servers. */
struct tls_session *tls_session_new(struct tls_context *c, const char *host);
void tls_session_free(struct tls_session *s);
/* Takes bytes from the peer and appends decrypted ones to plain and bytes for the peer to wire.
 * 0, -ERR_EOF once the peer has closed the session, or an error (the session is dead; wire may
 * hold an alert). A client's first call has no bytes. */
int tls_session_feed(struct tls_session *s, struct slice from_peer, struct buf *plain,
                     struct buf *wire, struct err *err);
bool tls_session_established(const struct tls_session *s);
/* Encrypts; only once established. Appends to wire. */
int tls_session_seal(struct tls_session *s, struct slice plain, struct buf *wire, struct err *err);
/* Appends a close_notify. */
void tls_session_close(struct tls_session *s, struct buf *wire);
/* "" when none was agreed on. */
const char *tls_session_alpn(const struct tls_session *s);
/* The certificates that the peer showed, leaf first, DER: writes up to `max`, each a blob that the
 * caller releases; returns their number. */
size_t tls_session_peer_certs(const struct tls_session *s, struct blob **ret, size_t max);

/* Writes a self-signed serving certificate for the names and addresses (in that order: the first is
 * the common name) and its new key, as PEM; valid for a year from `now`. */
int tls_self_signed(const char *const *hosts, size_t n_hosts, int64_t now_s, struct buf *cert_pem,
                    struct buf *key_pem, struct err *err);
