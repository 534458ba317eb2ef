/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Certificates and keys for gRPC servers and clients.
 *
 * Each of ca, cert and key is a file or PEM text (the text wins). Files are looked at again at
 * every new connection of a server, and at most once a second: a renewed certificate is served
 * without a restart. A file that became unreadable or does not parse keeps the last good state.
 *
 * A client checks the server's chain against ca and its names against server_name or, without
 * one, against the hosts of all endpoints of its channel. */
#include <stdbool.h>
#include "common/base/err.h"

enum tls_creds_client_auth {
	TLS_CLIENT_NONE,     /* no certificate asked for */
	TLS_CLIENT_OPTIONAL, /* asked for; verified when there is one */
	TLS_CLIENT_REQUIRED, /* no connection without a verified one */
};

struct tls_creds_options {
	const char *ca_file, *cert_file, *key_file;
	const char *ca_pem, *cert_pem, *key_pem;
	enum tls_creds_client_auth client_auth; /* servers */
	const char *server_name;          /* clients; NULL: the hosts of the endpoints */
	bool insecure_skip_verify;        /* clients */
};

/* PEM texts, loaded. */
struct tls_pem {
	char *ca, *cert, *key; /* NULL where not configured */
};

/* Reads the files of o, and checks that the certificate parses and the key fits it. */
int tls_pem_load(struct tls_pem *pem, const struct tls_creds_options *o, struct err *err);
void tls_pem_deinit(struct tls_pem *pem);

/* gRPC's credential objects; the caller releases them. hosts (clients): NULL-terminated. */
struct grpc_server_credentials;
struct grpc_channel_credentials;
/* *ret_state holds what reloading needs; freed with tls_server_state_free after the server. */
struct tls_server_state;
int tls_server_creds_new(const struct tls_creds_options *o, struct grpc_server_credentials **ret,
                         struct tls_server_state **ret_state, struct err *err);
void tls_server_state_free(struct tls_server_state *s);
int tls_channel_creds_new(const struct tls_creds_options *o, const char *const *hosts,
                          struct grpc_channel_credentials **ret, struct err *err);
