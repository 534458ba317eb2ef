/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/tls.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

/* Forward secrecy and AEADs only, as Go's defaults; TLS 1.3 suites are OpenSSL's own. */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL";

struct tls_context {
	atomic_uint refs;
	pthread_mutex_t lock; /* guards ssl_ctx */
	SSL_CTX *ssl_ctx;
	struct tls_options options; /* with strings of our own */
	char *strings[8];
	size_t n_strings;
	uint8_t *alpn_wire; /* length-prefixed names */
	size_t alpn_wire_len;
};

struct tls_session {
	SSL *ssl;
	struct slice in;  /* what the peer sent and OpenSSL has not read */
	struct buf *wire; /* where OpenSSL writes; set for the length of a call */
	bool established, closed;
};

DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)
DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)

static int tls_err(struct err *err, enum err_code code, const char *what)
{
	char text[256] = "unknown error";
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	if (reason)
		snprintf(text, sizeof(text), "%s", reason);
	else if (e)
		ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	return err_set(err, code, "%s: %s", what, text);
}

/* --- a BIO over a slice (in) and a buf (out) ------------------------------------------------- */

static int bio_read(BIO *bio, char *out, int n)
{
	struct tls_session *s = BIO_get_data(bio);
	size_t take = MIN((size_t)MAX(n, 0), s->in.len);

	BIO_clear_retry_flags(bio);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, s->in.data, take);
	s->in = slice_skip(s->in, take);
	return (int)take;
}

static int bio_write(BIO *bio, const char *data, int n)
{
	struct tls_session *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (n <= 0 || !s->wire)
		return -1;
	buf_add(s->wire, data, (size_t)n);
	return n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : 0;
}

static BIO_METHOD *bio_method;

static void bio_method_init(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kubec session");
	if (!bio_method)
		abort();
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* --- contexts -------------------------------------------------------------------------------- */

static BIO *open_pem(const char *file, struct slice pem)
{
	if (file)
		return BIO_new_file(file, "r");
	return BIO_new_mem_buf(pem.data, (int)MIN(pem.len, (size_t)INT_MAX));
}

static bool has_pem(const char *file, struct slice pem)
{
	return file || pem.len;
}

static int load_pair(SSL_CTX *ctx, const struct tls_options *o, struct err *err)
{
	const char *cert_name = o->cert_file ? o->cert_file : "certificate";
	const char *key_name = o->key_file ? o->key_file : "key";
	_cleanup_(BIO_free_all_p) BIO *cert = open_pem(o->cert_file, o->cert_pem);
	_cleanup_(X509_free_p) X509 *leaf =
	    cert ? PEM_read_bio_X509_AUX(cert, NULL, NULL, NULL) : NULL;
	if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1)
		return tls_err(err, ERR_BAD_REQUEST, cert_name);

	X509 *next;
	while ((next = PEM_read_bio_X509(cert, NULL, NULL, NULL))) {
		if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
			X509_free(next);
			return tls_err(err, ERR_BAD_REQUEST, cert_name);
		}
	}
	ERR_clear_error(); /* the end of the file */

	_cleanup_(BIO_free_all_p) BIO *key_bio = open_pem(o->key_file, o->key_pem);
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *key =
	    key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL) : NULL;
	if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1)
		return tls_err(err, ERR_BAD_REQUEST, key_name);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return tls_err(err, ERR_BAD_REQUEST, key_name);
	return 0;
}

/* Trusts every certificate of the bundle; servers also send their names to clients. */
static int load_ca(SSL_CTX *ctx, const struct tls_options *o, struct err *err)
{
	const char *name = o->ca_file ? o->ca_file : "CA bundle";
	_cleanup_(BIO_free_all_p) BIO *bio = open_pem(o->ca_file, o->ca_pem);
	if (!bio)
		return tls_err(err, ERR_BAD_REQUEST, name);

	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	size_t n = 0;
	for (;; n++) {
		_cleanup_(X509_free_p) X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (!ca)
			break;
		if (X509_STORE_add_cert(store, ca) != 1 ||
		    (o->server && SSL_CTX_add_client_CA(ctx, ca) != 1))
			return tls_err(err, ERR_BAD_REQUEST, name);
	}
	ERR_clear_error();
	return n ? 0 : err_set(err, ERR_BAD_REQUEST, "%s: no certificate found", name);
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
	struct tls_context *c = arg;

	if (SSL_select_next_proto((unsigned char **)out, out_len, c->alpn_wire,
	                          (unsigned int)c->alpn_wire_len, in,
	                          in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* The certificates of clients are shown to the caller, who knows several CAs and answers 401. */
static int take_any_certificate(X509_STORE_CTX *store, void *arg)
{
	return 1;
}

static int set_verification(SSL_CTX *ctx, const struct tls_options *o, struct err *err)
{
	if (has_pem(o->ca_file, o->ca_pem)) {
		int r = load_ca(ctx, o, err);
		if (r < 0)
			return r;
	} else if (!o->server && !o->insecure_skip_verify) {
		SSL_CTX_set_default_verify_paths(ctx);
	}
	if (!o->server) {
		SSL_CTX_set_verify(ctx, o->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
		                   NULL);
		return 0;
	}
	switch (o->client_auth) {
	case TLS_CLIENT_AUTH_NONE:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		break;
	case TLS_CLIENT_AUTH_REQUEST:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(ctx, take_any_certificate, NULL);
		break;
	case TLS_CLIENT_AUTH_REQUIRE:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		break;
	}
	return 0;
}

/* OpenSSL's name of a suite that IANA calls `name`; NULL: there is none. */
static const char *openssl_name(SSL_CTX *ctx, struct slice name)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
		const char *standard = SSL_CIPHER_standard_name(c);
		if (slice_eq_str(name, SSL_CIPHER_get_name(c)) ||
		    (standard && slice_eq_str(name, standard)))
			return SSL_CIPHER_get_name(c);
	}
	return NULL;
}

static int set_ciphers(SSL_CTX *ctx, const char *suites, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_INIT;

	if (!suites)
		return SSL_CTX_set_cipher_list(ctx, default_ciphers) == 1
		           ? 0
		           : tls_err(err, ERR_INTERNAL, "cipher suites");
	if (SSL_CTX_set_cipher_list(ctx, "ALL") != 1)
		return tls_err(err, ERR_INTERNAL, "cipher suites");
	for (const char *at = suites; *at;) {
		size_t n = strcspn(at, ",");
		struct slice name = slice_of(at, n);
		const char *ours = openssl_name(ctx, name);
		if (!ours)
			return err_set(err, ERR_BAD_REQUEST,
			               "cipher suite %.*s is not known or not supported",
			               SLICE_FMT(name));
		/* Those of TLS 1.3 are on in any case and not in this list. */
		if (strncmp(ours, "TLS_", 4) != 0)
			buf_printf(&list, "%s%s", list.len ? ":" : "", ours);
		at += n + (at[n] == ',');
	}
	if (SSL_CTX_set_cipher_list(ctx, list.len ? (const char *)list.data : default_ciphers) != 1)
		return tls_err(err, ERR_BAD_REQUEST, "cipher suites");
	return 0;
}

static int build_ctx(struct tls_context *c, SSL_CTX **ret, struct err *err)
{
	const struct tls_options *o = &c->options;
	_cleanup_(SSL_CTX_free_p) SSL_CTX *ctx =
	    SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
	if (!ctx)
		return tls_err(err, ERR_INTERNAL, "TLS context");

	bool tls13 = o->min_version && strcmp(o->min_version, "VersionTLS13") == 0;
	SSL_CTX_set_min_proto_version(ctx, tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                             SSL_OP_IGNORE_UNEXPECTED_EOF |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* Certificates of clients must be asked for on every connection. */
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	int r = set_ciphers(ctx, o->cipher_suites, err);
	if (r < 0)
		return r;
	if (has_pem(o->cert_file, o->cert_pem)) {
		r = load_pair(ctx, o, err);
		if (r < 0)
			return r;
	} else if (o->server) {
		return err_set(err, ERR_BAD_REQUEST, "a TLS server needs a certificate");
	}
	r = set_verification(ctx, o, err);
	if (r < 0)
		return r;
	if (c->alpn_wire_len && o->server)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, c);
	else if (c->alpn_wire_len)
		SSL_CTX_set_alpn_protos(ctx, c->alpn_wire, (unsigned int)c->alpn_wire_len);
	*ret = TAKE(ctx);
	return 0;
}

static const char *keep(struct tls_context *c, const char *s)
{
	if (!s)
		return NULL;
	char *copy = strdup(s);
	if (!copy)
		abort();
	c->strings[c->n_strings++] = copy;
	return copy;
}

static struct slice keep_slice(struct tls_context *c, struct slice s)
{
	if (!s.len)
		return SLICE_EMPTY;
	char *copy = malloc(s.len + 1);
	if (!copy)
		abort();
	memcpy(copy, s.data, s.len);
	copy[s.len] = 0;
	c->strings[c->n_strings++] = copy;
	return slice_of(copy, s.len);
}

static void keep_options(struct tls_context *c, const struct tls_options *o)
{
	c->options = *o;
	c->options.cert_file = keep(c, o->cert_file);
	c->options.key_file = keep(c, o->key_file);
	c->options.ca_file = keep(c, o->ca_file);
	c->options.cert_pem = o->cert_file ? SLICE_EMPTY : keep_slice(c, o->cert_pem);
	c->options.key_pem = o->key_file ? SLICE_EMPTY : keep_slice(c, o->key_pem);
	c->options.ca_pem = o->ca_file ? SLICE_EMPTY : keep_slice(c, o->ca_pem);
	c->options.server_name = keep(c, o->server_name);
	c->options.min_version = keep(c, o->min_version);
	c->options.cipher_suites = keep(c, o->cipher_suites);
	c->options.alpn = NULL;

	struct buf wire = BUF_INIT;
	for (const char *const *p = o->alpn; p && *p; p++) {
		buf_byte(&wire, (uint8_t)strlen(*p));
		buf_str(&wire, *p);
	}
	c->alpn_wire = wire.data;
	c->alpn_wire_len = wire.len;
}

int tls_context_new(const struct tls_options *o, struct tls_context **ret, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, bio_method_init);

	struct tls_context *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	atomic_init(&c->refs, 1);
	pthread_mutex_init(&c->lock, NULL);
	keep_options(c, o);
	int r = build_ctx(c, &c->ssl_ctx, err);
	if (r < 0) {
		tls_context_unref(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void tls_context_unref(struct tls_context *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(c->ssl_ctx);
	for (size_t i = 0; i < c->n_strings; i++) {
		OPENSSL_cleanse(c->strings[i], strlen(c->strings[i]));
		free(c->strings[i]);
	}
	free(c->alpn_wire);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int tls_context_reload(struct tls_context *c, struct err *err)
{
	SSL_CTX *fresh;
	int r = build_ctx(c, &fresh, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	SSL_CTX *old = c->ssl_ctx;
	c->ssl_ctx = fresh;
	pthread_mutex_unlock(&c->lock);
	SSL_CTX_free(old);
	return 0;
}

/* --- sessions -------------------------------------------------------------------------------- */

static void set_peer_name(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return;
	SSL_set_tlsext_host_name(ssl, host);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	X509_VERIFY_PARAM_set1_host(param, host, 0);
}

struct tls_session *tls_session_new(struct tls_context *c, const char *host)
{
	struct tls_session *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	pthread_mutex_lock(&c->lock);
	s->ssl = SSL_new(c->ssl_ctx);
	pthread_mutex_unlock(&c->lock);
	BIO *bio = BIO_new(bio_method);
	if (!s->ssl || !bio)
		abort();
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	if (c->options.server) {
		SSL_set_accept_state(s->ssl);
	} else {
		const char *name = c->options.server_name ? c->options.server_name : host;
		SSL_set_connect_state(s->ssl);
		if (name && *name)
			set_peer_name(s->ssl, name);
	}
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	free(s);
}

static int session_failure(struct tls_session *s, int n, struct err *err)
{
	int why = SSL_get_error(s->ssl, n);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return 0;
	s->closed = true;
	if (why == SSL_ERROR_ZERO_RETURN)
		return -ERR_EOF;
	long verify = SSL_get_verify_result(s->ssl);
	if (verify != X509_V_OK && !s->established && !SSL_is_server(s->ssl)) {
		ERR_clear_error();
		return err_set(err, ERR_IO, "certificate verification failed: %s",
		               X509_verify_cert_error_string(verify));
	}
	return tls_err(err, ERR_IO, s->established ? "TLS" : "TLS handshake");
}

static int read_plain(struct tls_session *s, struct buf *plain, struct err *err)
{
	for (;;) {
		enum { STEP = 16384 };
		buf_reserve(plain, STEP);
		size_t room = MIN(plain->cap - plain->len - 1, (size_t)INT_MAX);
		int n = SSL_read(s->ssl, plain->data + plain->len, (int)room);
		if (n <= 0)
			return session_failure(s, n, err);
		plain->len += (size_t)n;
	}
}

int tls_session_feed(struct tls_session *s, struct slice from_peer, struct buf *plain,
                     struct buf *wire, struct err *err)
{
	int r = 0;

	if (s->closed)
		return err_set(err, ERR_IO, "the TLS session is closed");
	ERR_clear_error();
	s->in = from_peer;
	s->wire = wire;
	if (!s->established) {
		int n = SSL_do_handshake(s->ssl);
		if (n == 1)
			s->established = true;
		else
			r = session_failure(s, n, err);
	}
	if (r == 0 && s->established)
		r = read_plain(s, plain, err);
	s->in = SLICE_EMPTY;
	s->wire = NULL;
	return r;
}

bool tls_session_established(const struct tls_session *s)
{
	return s->established;
}

int tls_session_seal(struct tls_session *s, struct slice plain, struct buf *wire, struct err *err)
{
	if (s->closed)
		return err_set(err, ERR_IO, "the TLS session is closed");
	ERR_clear_error();
	s->wire = wire;
	int r = 0;
	while (plain.len) {
		int n = SSL_write(s->ssl, plain.data, (int)MIN(plain.len, (size_t)1 << 30));
		if (n <= 0) {
			r = session_failure(s, n, err);
			if (r == 0)
				r = err_set(err, ERR_IO, "TLS write out of turn");
			break;
		}
		plain = slice_skip(plain, (size_t)n);
	}
	s->wire = NULL;
	return r;
}

void tls_session_close(struct tls_session *s, struct buf *wire)
{
	if (s->closed || !s->established)
		return;
	s->wire = wire;
	SSL_shutdown(s->ssl);
	ERR_clear_error();
	s->wire = NULL;
	s->closed = true;
}

const char *tls_session_alpn(const struct tls_session *s)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(s->ssl, &name, &len);
	if (len == 2 && memcmp(name, "h2", 2) == 0)
		return "h2";
	return len == 8 && memcmp(name, "http/1.1", 8) == 0 ? "http/1.1" : "";
}

static struct blob *cert_der(X509 *cert)
{
	int len = i2d_X509(cert, NULL);
	if (len <= 0)
		return NULL;
	struct blob *b = blob_new((size_t)len);
	uint8_t *at = b->data;
	i2d_X509(cert, &at);
	return b;
}

size_t tls_session_peer_certs(const struct tls_session *s, struct blob **ret, size_t max)
{
	size_t n = 0;
	X509 *leaf = SSL_get0_peer_certificate(s->ssl);
	if (!leaf || max == 0)
		return 0;
	if ((ret[n] = cert_der(leaf)))
		n++;
	/* A server's chain leaves the leaf out, a client's has it first. */
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(s->ssl);
	int first = SSL_is_server(s->ssl) ? 0 : 1;
	for (int i = first; i < sk_X509_num(chain) && n < max; i++) {
		if ((ret[n] = cert_der(sk_X509_value(chain, i))))
			n++;
	}
	return n;
}
